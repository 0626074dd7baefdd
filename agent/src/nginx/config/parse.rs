//! A small reader of nginx's language, written from nginx's tokenizer, that the printer is tested against.

/// A directive as nginx sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub words: Vec<String>,
    pub block: Option<Vec<Node>>,
}

/// Reads a whole text.
pub fn parse(text: &str) -> Result<Vec<Node>, String> {
    let mut rest = text.chars().peekable();
    let nodes = nodes(&mut rest, false)?;
    Ok(nodes)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn nodes(rest: &mut Chars<'_>, inside: bool) -> Result<Vec<Node>, String> {
    let mut nodes = Vec::new();
    let mut words = Vec::new();
    while let Some(&c) = rest.peek() {
        match c {
            ' ' | '\t' | '\r' | '\n' => {
                rest.next();
            }
            '#' => while rest.next().is_some_and(|c| c != '\n') {},
            ';' => {
                rest.next();
                let words = std::mem::take(&mut words);
                nodes.push(Node { words, block: None });
            }
            '{' => {
                rest.next();
                let words = std::mem::take(&mut words);
                let block = Some(self::nodes(rest, true)?);
                nodes.push(Node { words, block });
            }
            '}' if inside && words.is_empty() => {
                rest.next();
                return Ok(nodes);
            }
            '}' => return Err("unexpected }".to_owned()),
            '"' | '\'' => words.push(quoted(rest)?),
            _ => words.push(bare(rest)),
        }
    }
    if inside || !words.is_empty() {
        return Err("unexpected end".to_owned());
    }
    Ok(nodes)
}

fn quoted(rest: &mut Chars<'_>) -> Result<String, String> {
    let quote = rest.next();
    let mut word = String::new();
    while let Some(c) = rest.next() {
        match c {
            '\\' => escaped(rest, &mut word),
            c if Some(c) == quote => {
                return match rest.peek() {
                    Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(word),
                    other => Err(format!("unexpected {other:?} after a quote")),
                };
            }
            c => word.push(c),
        }
    }
    Err("unterminated quote".to_owned())
}

fn bare(rest: &mut Chars<'_>) -> String {
    let mut word = String::new();
    while let Some(&c) = rest.peek() {
        match c {
            ' ' | '\t' | '\r' | '\n' | ';' => break,
            '{' if !word.ends_with('$') => break,
            '\\' => {
                rest.next();
                escaped(rest, &mut word);
            }
            c => {
                rest.next();
                word.push(c);
            }
        }
    }
    word
}

fn escaped(rest: &mut Chars<'_>, word: &mut String) {
    match rest.next() {
        Some(c @ ('"' | '\'' | '\\')) => word.push(c),
        Some('t') => word.push('\t'),
        Some('r') => word.push('\r'),
        Some('n') => word.push('\n'),
        Some(c) => word.extend(['\\', c]),
        None => word.push('\\'),
    }
}
