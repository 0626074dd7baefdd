//! What a script answered: status, headers, body, and how to show it to a person.

/// Most lines of a body that are shown.
const SHOWN_LINES: usize = 12;
/// Most characters of a line that are shown.
const SHOWN_COLUMNS: usize = 200;

/// A CGI answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status; 200 where the script said nothing.
    pub status: u16,
    /// Headers in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body, up to the client's cap.
    pub body: Vec<u8>,
    /// What went to the error stream.
    pub errors: Vec<u8>,
}

impl Answer {
    /// Reads the standard output of a CGI script: header lines, an empty line, the body. Never fails: what is no header
    /// is left out, and an answer without an empty line is all body.
    pub fn parse(output: &[u8], errors: Vec<u8>) -> Self {
        let (head, body) = split(output);
        let mut status = 200;
        let mut headers = Vec::new();
        for line in String::from_utf8_lossy(head).lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let value = value.trim();
            if name.eq_ignore_ascii_case("status") {
                let code = value.split(' ').next().unwrap_or_default();
                status = code.parse().unwrap_or(status);
            } else {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        let body = body.to_vec();
        Self {
            status,
            headers,
            body,
            errors,
        }
    }

    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Status, headers and the first lines of the body and of the error stream, bounded and with control characters
    /// escaped, one a line.
    pub fn excerpt(&self) -> String {
        let mut lines = vec![format!("status {}", self.status)];
        for (name, value) in self.headers.iter().take(SHOWN_LINES) {
            lines.push(format!("  {}: {}", printable(name), printable(value)));
        }
        for (title, bytes) in [("body", &self.body), ("error stream", &self.errors)] {
            if !bytes.is_empty() {
                lines.push(format!("{title}:\n{}", head_lines(bytes)));
            }
        }
        lines.join("\n")
    }
}

/// The first lines of some output, bounded, with control characters escaped.
pub fn head_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(64 * 1024)]);
    let shown: Vec<_> = text.lines().take(SHOWN_LINES).map(indented).collect();
    shown.join("\n")
}

/// The last `lines` lines of a log, bounded, with control characters escaped.
pub fn tail_lines(log: &str, lines: usize) -> String {
    let mut last: Vec<_> = log.lines().rev().take(lines).map(indented).collect();
    last.reverse();
    last.join("\n")
}

fn indented(line: &str) -> String {
    format!("  {}", printable(line))
}

/// A line that a terminal shows as it is: control characters (and what reverses text) escaped, and bounded.
fn printable(line: &str) -> String {
    let mut shown = String::new();
    for (column, c) in line.trim_end().chars().enumerate() {
        if column == SHOWN_COLUMNS {
            shown.push('…');
            break;
        }
        match c {
            '\t' => shown.push(' '),
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                shown.extend(c.escape_unicode());
            }
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// Head and body, at the first empty line.
fn split(output: &[u8]) -> (&[u8], &[u8]) {
    let find = |needle: &[u8]| output.windows(needle.len()).position(|w| w == needle);
    match (find(b"\r\n\r\n"), find(b"\n\n")) {
        (Some(crlf), lf) if lf.is_none_or(|lf| crlf < lf) => (&output[..crlf], &output[crlf + 4..]),
        (_, Some(lf)) => (&output[..lf], &output[lf + 2..]),
        _ => (&[], output),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_is_read_with_its_status() {
        let output =
            b"Status: 404 Not Found\r\nX-A: b\r\nContent-type: text/html\r\n\r\nnot here\n";
        let answer = Answer::parse(output, b"warning".to_vec());
        assert_eq!(answer.status, 404);
        assert_eq!(answer.header("x-a"), Some("b"));
        assert_eq!(answer.body, b"not here\n");
        insta::assert_snapshot!(answer.excerpt(), @"
        status 404
          X-A: b
          Content-type: text/html
        body:
          not here
        error stream:
          warning
        ");
    }

    #[test]
    fn an_answer_without_a_status_is_200_and_one_without_headers_is_all_body() {
        assert_eq!(Answer::parse(b"A: b\r\n\r\n", vec![]).status, 200);
        let bare = Answer::parse(b"oops", vec![]);
        assert_eq!((bare.status, bare.body), (200, b"oops".to_vec()));
    }

    #[test]
    fn an_excerpt_is_bounded_and_holds_no_control_character() {
        let mut output = b"A: \x1b[31mred\r\n\r\n".to_vec();
        output.extend_from_slice("\u{202e}\x07".as_bytes());
        output.extend_from_slice("x\n".repeat(10_000).as_bytes());
        let excerpt = Answer::parse(&output, vec![b'y'; 100_000]).excerpt();
        assert!(excerpt.len() < 2000, "{}", excerpt.len());
        let odd = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!excerpt.contains(odd), "{excerpt}");
    }

    #[test]
    fn the_tail_of_a_log_is_its_last_lines_in_order() {
        assert_eq!(tail_lines("a\nb\nc\n", 2), "  b\n  c");
    }

    proptest! {
        #[test]
        fn no_output_makes_the_reader_panic(output in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = Answer::parse(&output, output.clone()).excerpt();
        }
    }
}
