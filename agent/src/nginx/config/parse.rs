//! A reader of nginx's language, written from nginx's tokenizer, with a limit on everything.
//!
//! It knows words and blocks, and no directive. What the printer prints is read back the same.
//! Source: `ngx_conf_read_token` in `src/core/ngx_conf_file.c`, nginx 1.30.

use std::iter::Peekable;
use std::str::Chars;

/// A directive as nginx sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it begins, counted from 1.
    pub line: u32,
    /// Its name and its arguments; at least one.
    pub words: Vec<String>,
    /// What is between its braces, if it has some.
    pub block: Option<Vec<Node>>,
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Directives in all.
    pub directives: usize,
    /// Blocks in each other.
    pub depth: usize,
    /// Words of one directive.
    pub words: usize,
    /// Bytes of one word.
    pub word_bytes: usize,
}

/// A text that is not nginx's language, or more of it than is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {rule}")]
pub struct Unreadable {
    /// Where, counted from 1.
    pub line: u32,
    /// What is wrong and what to do.
    pub rule: String,
}

/// Reads a whole text.
///
/// # Errors
/// What nginx's tokenizer refuses, and what is beyond `limits`.
pub fn parse(text: &str, limits: Limits) -> Result<Vec<Node>, Unreadable> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
        line: 1,
        directives: 0,
        limits,
    };
    reader.nodes(0)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: u32,
    directives: usize,
    limits: Limits,
}

/// The words of a directive that has not ended, and where it began.
#[derive(Default)]
struct Open {
    line: u32,
    words: Vec<String>,
}

impl Reader<'_> {
    fn nodes(&mut self, depth: usize) -> Result<Vec<Node>, Unreadable> {
        if depth > self.limits.depth {
            let most = self.limits.depth;
            return self.refuse(format!(
                "blocks are nested more than {most} deep; write them side by side"
            ));
        }
        let mut nodes = Vec::new();
        let mut open = Open::default();
        while let Some(&c) = self.rest.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' => {
                    self.next();
                }
                '#' => while self.next().is_some_and(|c| c != '\n') {},
                ';' | '{' if open.words.is_empty() => {
                    return self.refuse(format!("unexpected `{c}`; a directive's name is missing"));
                }
                ';' => {
                    self.next();
                    nodes.push(self.directive(&mut open, None)?);
                }
                '{' => {
                    self.next();
                    let node = self.directive(&mut open, Some(Vec::new()))?;
                    let inside = self.nodes(depth + 1)?;
                    nodes.push(Node {
                        block: Some(inside),
                        ..node
                    });
                }
                '}' if depth > 0 && open.words.is_empty() => {
                    self.next();
                    return Ok(nodes);
                }
                '}' => return self.refuse("unexpected `}`; a `;` or a `{` is missing before it"),
                _ => self.word(&mut open)?,
            }
        }
        match (open.words.is_empty(), depth) {
            (false, _) => self.refuse("the file ends within a directive; end it with `;`"),
            (true, 0) => Ok(nodes),
            (true, _) => self.refuse("the file ends within a block; close it with `}`"),
        }
    }

    fn directive(&mut self, open: &mut Open, block: Option<Vec<Node>>) -> Result<Node, Unreadable> {
        self.directives += 1;
        if self.directives > self.limits.directives {
            let most = self.limits.directives;
            return self.refuse(format!("more than {most} directives; write fewer"));
        }
        let Open { line, words } = std::mem::take(open);
        Ok(Node { line, words, block })
    }

    fn word(&mut self, open: &mut Open) -> Result<(), Unreadable> {
        if open.words.is_empty() {
            open.line = self.line;
        }
        if open.words.len() >= self.limits.words {
            let most = self.limits.words;
            return self.refuse(format!(
                "a directive of more than {most} words; is a `;` missing?"
            ));
        }
        let word = match self.rest.peek() {
            Some(&quote @ ('"' | '\'')) => self.quoted(quote)?,
            _ => self.bare()?,
        };
        open.words.push(word);
        Ok(())
    }

    fn quoted(&mut self, quote: char) -> Result<String, Unreadable> {
        let begun = self.line;
        self.next();
        let mut word = String::new();
        while let Some(c) = self.next() {
            match c {
                '\\' => self.escaped(&mut word),
                c if c == quote => {
                    return match self.rest.peek() {
                        Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(word),
                        _ => self.refuse("a quoted word goes on after its quote; put a space"),
                    };
                }
                c => word.push(c),
            }
            self.bound(&word, begun)?;
        }
        Err(Unreadable {
            line: begun,
            rule: format!("the file ends within a quoted word; close it with `{quote}`"),
        })
    }

    fn bare(&mut self) -> Result<String, Unreadable> {
        let begun = self.line;
        let mut word = String::new();
        let mut after_dollar = false;
        while let Some(&c) = self.rest.peek() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' => break,
                '{' if !after_dollar => break,
                _ => {
                    self.next();
                }
            }
            after_dollar = c == '$';
            if c == '\\' {
                self.escaped(&mut word);
            } else {
                word.push(c);
            }
            self.bound(&word, begun)?;
        }
        Ok(word)
    }

    fn escaped(&mut self, word: &mut String) {
        match self.next() {
            Some(c @ ('"' | '\'' | '\\')) => word.push(c),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(c) => word.extend(['\\', c]),
            None => word.push('\\'),
        }
    }

    fn bound(&self, word: &str, line: u32) -> Result<(), Unreadable> {
        let most = self.limits.word_bytes;
        if word.len() <= most {
            return Ok(());
        }
        let rule = format!("a word of more than {most} bytes; is a quote or a `;` missing?");
        Err(Unreadable { line, rule })
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += u32::from(c == Some('\n'));
        c
    }

    fn refuse<T>(&self, rule: impl Into<String>) -> Result<T, Unreadable> {
        Err(Unreadable {
            line: self.line,
            rule: rule.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        directives: 100,
        depth: 3,
        words: 10,
        word_bytes: 100,
    };

    fn rule(text: &str) -> String {
        parse(text, LIMITS).unwrap_err().to_string()
    }

    #[test]
    fn words_quotes_comments_and_blocks_are_read_as_nginx_reads_them() {
        let text = "# c\na 'b c' \"d\\\"\\n\" e\\ f;\n if ($x ~ \"y\") {\n set ${x}z a;}";
        let read = parse(text, LIMITS).unwrap();
        assert_eq!(read[0].words, ["a", "b c", "d\"\n", "e\\ f"]);
        assert_eq!(read[1].words, ["if", "($x", "~", "y", ")"]);
        let block = read[1].block.as_ref().unwrap();
        assert_eq!(block[0].words, ["set", "${x}z", "a"]);
        assert_eq!((read[0].line, read[1].line, block[0].line), (2, 3, 4));
    }

    #[test]
    fn what_nginx_does_not_read_is_refused_with_its_line() {
        for (text, said) in [
            ("a b;\n}", "line 2: unexpected `}`"),
            ("a b", "line 1: the file ends within a directive"),
            ("a {\n b;", "line 2: the file ends within a block"),
            ("a 'b", "line 1: the file ends within a quoted word"),
            ("a 'b'c;", "line 1: a quoted word goes on"),
            (";", "unexpected `;`"),
            ("{}", "unexpected `{`"),
        ] {
            assert!(rule(text).contains(said), "{text}: {}", rule(text));
        }
    }

    #[test]
    fn nothing_is_read_without_end() {
        for (text, said) in [
            ("a {".repeat(1_000_000), "nested more than 3"),
            ("{".repeat(1_000_000), "unexpected `{`"),
            ("}".repeat(1_000_000), "unexpected `}`"),
            ("a{}".repeat(1_000_000), "more than 100 directives"),
            ("a ".repeat(1_000_000), "more than 10 words"),
            ("a".repeat(1_000_000), "more than 100 bytes"),
            (
                format!("'{}", "\n".repeat(1_000_000)),
                "line 1: a word of more",
            ),
        ] {
            assert!(rule(&text).contains(said), "{}", rule(&text));
        }
    }
}
