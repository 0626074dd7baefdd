//! Makes text of the server harmless: no control character and no change of direction reaches the terminal, and the
//! words that scripts take for a failure appear in failures only.

use std::fmt::Write as _;

/// Characters that move a cursor, colour a terminal, break a line or turn its direction.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        )
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// One line without unsafe characters: ESC becomes `\u{1b}`, a line break `\n`.
pub fn line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The line without the words that scripts take for a failure.
pub fn soften(line: &str) -> String {
    line.replace("ERROR", "error").replace("Error", "error")
}

/// JSON text, unsafe characters as `\uXXXX`: another spelling of the same values.
pub fn json(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            let _ = write!(safe, "\\u{:04x}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The same, and without the words that scripts take for a failure: their E is spelled `\u0045`.
pub fn json_soft(text: &str) -> String {
    json(text)
        .replace("ERROR", "\\u0045RROR")
        .replace("Error", "\\u0045rror")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidi_characters_are_spelled_out() {
        assert_eq!(
            line("a\x1b[31mb\u{9b}c\u{202e}d\ne\u{7f}"),
            "a\\u{1b}[31mb\\u{9b}c\\u{202e}d\\ne\\u{7f}"
        );
        assert_eq!(line("Größe 東京 ✓"), "Größe 東京 ✓");
    }

    #[test]
    fn json_keeps_its_values() {
        let value = serde_json::json!({"a": "Error \u{9b} ERROR \u{202e} \\Error"});
        let text = json_soft(&value.to_string());
        assert!(
            !text.contains("Error") && !text.contains("ERROR") && text.is_ascii(),
            "{text}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }

    #[test]
    fn the_words_of_a_failure_do_not_survive_softening() {
        assert_eq!(soften("PHP Fatal Error: ERROR"), "PHP Fatal error: error");
    }
}
