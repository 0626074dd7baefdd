//! nginx's language: a typed tree of directives and its printer.
//!
//! Text reaches a file of nginx's only through [`Arg`], whose constructors are total: what nginx's quoting can carry is
//! quoted, the rest is an error. A variable is its own kind of part, so that a `$` in a path never becomes one.
//! Source: `ngx_conf_read_token` in `src/core/ngx_conf_file.c`, nginx 1.30.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use stratus_core::EnvironmentName;

pub mod parse;

/// Text that no quoting of nginx's can carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} cannot stand in nginx's configuration: {rule}")]
pub struct Unprintable {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub rule: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Characters that mean themselves.
    Text(String),
    /// A variable, by its name.
    Variable(Cow<'static, str>),
    /// What a group of a regular expression matched, by its number.
    Capture(u8),
}

/// One argument of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arg(Vec<Part>);

impl Arg {
    /// A word of nginx's own language, or a text of ours.
    ///
    /// # Panics
    /// When the program's own text holds a control character or a `$`.
    pub fn word(text: &'static str) -> Self {
        Self::text(text).expect("a word of the program's own is printable")
    }

    /// Any text that means itself.
    ///
    /// # Errors
    /// Control characters, and `$`: nginx has no escape for it where variables are read.
    pub fn text(text: &str) -> Result<Self, Unprintable> {
        let refuse = |rule| {
            Err(Unprintable {
                text: text.to_owned(),
                rule,
            })
        };
        if text.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        if text.contains('$') {
            return refuse("nginx would read its `$` as a variable");
        }
        Ok(Self(vec![Part::Text(text.to_owned())]))
    }

    /// An absolute path.
    ///
    /// # Errors
    /// Paths that are relative, not UTF-8, or not printable.
    pub fn path(path: &Path) -> Result<Self, Unprintable> {
        let refuse = |rule| {
            Err(Unprintable {
                text: path.to_string_lossy().into_owned(),
                rule,
            })
        };
        match path.to_str() {
            None => refuse("the path is not UTF-8"),
            Some(_) if !path.is_absolute() => refuse("the path is not absolute"),
            Some(text) => Self::text(text),
        }
    }

    /// A server name: lower case letters, digits, hyphens and dots, with an optional leading `*.`.
    ///
    /// # Errors
    /// Everything else.
    pub fn host(host: &str) -> Result<Self, Unprintable> {
        let name = host.strip_prefix("*.").unwrap_or(host);
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b);
        let shaped = !name.is_empty() && name.len() <= 253 && !name.starts_with('.');
        if shaped && name.bytes().all(allowed) {
            Self::text(host)
        } else {
            Err(Unprintable {
                text: host.to_owned(),
                rule: "a host name has lower case letters, digits, hyphens and dots, and may begin with `*.`",
            })
        }
    }

    /// A variable of nginx's.
    pub fn var(name: &'static str) -> Self {
        Self(vec![Part::Variable(name.into())])
    }

    /// A variable of ours that an environment has for itself. Names of environments hold no `_`, so no two are the same.
    pub fn var_of(prefix: &'static str, environment: &EnvironmentName) -> Self {
        let own = environment.as_str().replace('-', "_");
        Self(vec![Part::Variable(format!("{prefix}_{own}").into())])
    }

    /// A variable whose name is not the program's own.
    ///
    /// # Errors
    /// A name of anything but lower case letters, digits and underscores.
    pub fn variable(name: &str) -> Result<Self, Unprintable> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if !name.is_empty() && name.bytes().all(allowed) {
            return Ok(Self(vec![Part::Variable(name.to_owned().into())]));
        }
        Err(Unprintable {
            text: name.to_owned(),
            rule: "a variable's name has lower case letters, digits and underscores",
        })
    }

    /// What group `number` of the last regular expression matched, 1 to 9.
    ///
    /// # Errors
    /// Other numbers.
    pub fn capture(number: u8) -> Result<Self, Unprintable> {
        if (1..=9).contains(&number) {
            return Ok(Self(vec![Part::Capture(number)]));
        }
        Err(Unprintable {
            text: number.to_string(),
            rule: "groups are numbered from 1 to 9",
        })
    }

    /// A regular expression of the program's own. A `$` in it is an anchor.
    pub fn pattern(expression: &'static str) -> Self {
        Self(vec![Part::Text(expression.to_owned())])
    }

    /// A regular expression of somebody else. A `$` in it is an anchor: not for where variables are read.
    ///
    /// # Errors
    /// Control characters.
    pub fn expression(expression: &str) -> Result<Self, Unprintable> {
        if expression.chars().any(char::is_control) {
            return Err(Unprintable {
                text: expression.to_owned(),
                rule: "it holds a control character",
            });
        }
        Ok(Self(vec![Part::Text(expression.to_owned())]))
    }

    /// Text of several lines.
    ///
    /// # Errors
    /// As [`Arg::text`], but line breaks and tabs are none.
    pub fn lines(text: &str) -> Result<Self, Unprintable> {
        Self::text(&text.replace(['\n', '\r', '\t'], ""))?;
        Ok(Self(vec![Part::Text(text.to_owned())]))
    }

    /// A number.
    pub fn number(number: impl Into<u64>) -> Self {
        let number: u64 = number.into();
        Self(vec![Part::Text(number.to_string())])
    }

    /// A time, in whole seconds, rounded up.
    pub fn seconds(time: Duration) -> Self {
        let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
        Self(vec![Part::Text(format!("{whole}s"))])
    }

    /// This argument with `next` directly behind it.
    #[must_use]
    pub fn then(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }
}

impl From<&'static str> for Arg {
    fn from(word: &'static str) -> Self {
        Self::word(word)
    }
}

/// A directive: a name, arguments, and a block where it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    name: Arg,
    args: Vec<Arg>,
    block: Option<Vec<Directive>>,
}

impl Directive {
    /// A directive that ends with a semicolon.
    pub fn line(name: impl Into<Arg>, args: impl IntoIterator<Item = Arg>) -> Self {
        Self {
            name: name.into(),
            args: args.into_iter().collect(),
            block: None,
        }
    }

    /// A directive whose arguments are all words of the program's own.
    pub fn words(name: &'static str, args: &[&'static str]) -> Self {
        Self::line(name, args.iter().map(|arg| Arg::word(arg)))
    }

    /// A directive with a block.
    pub fn block(
        name: &'static str,
        args: impl IntoIterator<Item = Arg>,
        block: Vec<Directive>,
    ) -> Self {
        Self {
            name: name.into(),
            args: args.into_iter().collect(),
            block: Some(block),
        }
    }
}

/// Prints directives, one a line.
pub fn print(directives: &[Directive]) -> String {
    let mut text = String::new();
    for directive in directives {
        print_into(&mut text, directive, 0);
    }
    text
}

fn print_into(text: &mut String, directive: &Directive, depth: usize) {
    let Directive { name, args, block } = directive;
    let indent = "    ".repeat(depth);
    write!(text, "{indent}{name}").expect("writing to a string does not fail");
    for arg in args {
        write!(text, " {arg}").expect("writing to a string does not fail");
    }
    match block {
        None => text.push_str(";\n"),
        Some(block) => {
            text.push_str(" {\n");
            for inner in block {
                print_into(text, inner, depth + 1);
            }
            text.push_str(&indent);
            text.push_str("}\n");
        }
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Alone, a variable is `$name`: some directives (`map`) know no other form. Joined, it is `${name}`.
        if let [Part::Variable(name)] = self.0.as_slice() {
            return write!(f, "${name}");
        }
        let mut raw = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => raw.push_str(text),
                Part::Variable(name) => write!(raw, "${{{name}}}")?,
                // nginx knows no braces around a number.
                Part::Capture(number) => write!(raw, "${number}")?,
            }
        }
        if let [Part::Capture(_)] = self.0.as_slice() {
            return f.write_str(&raw);
        }
        if !raw.is_empty() && raw.bytes().all(is_plain) {
            return f.write_str(&raw);
        }
        f.write_char('"')?;
        for c in raw.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Bytes that need no quotes.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./:=@%,+~^*!()-".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::parse::{Limits, Node, parse};
    use super::*;

    /// What nginx reads back: names and arguments as it hands them to a directive.
    fn seen(directives: &[Directive]) -> Vec<Node> {
        let token = |arg: &Arg| match arg.0.as_slice() {
            [Part::Variable(name)] => format!("${name}"),
            parts => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.clone(),
                    Part::Variable(name) => format!("${{{name}}}"),
                    Part::Capture(number) => format!("${number}"),
                })
                .collect(),
        };
        directives
            .iter()
            .map(|d| Node {
                line: 0,
                words: std::iter::once(&d.name).chain(&d.args).map(token).collect(),
                block: d.block.as_deref().map(seen),
            })
            .collect()
    }

    /// The text as it is read, without its lines.
    fn read(text: &str) -> Vec<Node> {
        let limits = Limits {
            directives: 1000,
            depth: 8,
            words: 16,
            word_bytes: 1 << 20,
        };
        let mut nodes = parse(text, limits).expect("it parses");
        forget_lines(&mut nodes);
        nodes
    }

    fn forget_lines(nodes: &mut [Node]) {
        for node in nodes {
            node.line = 0;
            forget_lines(node.block.as_deref_mut().unwrap_or_default());
        }
    }

    fn args() -> impl Strategy<Value = Arg> {
        let text = any::<String>().prop_filter_map("printable", |text| Arg::text(&text).ok());
        let part = prop_oneof![
            4 => text,
            1 => "[ {};\"'\\\\#a/]{0,8}".prop_filter_map("printable", |t| Arg::text(&t).ok()),
            1 => Just(Arg::var("uri")),
            1 => any::<u64>().prop_map(Arg::number),
            1 => Just(Arg::pattern(r"\.php$")),
            1 => Just(Arg::capture(1).expect("a number")),
            1 => "[ \\n\\t\\ra;\\\\]{0,8}".prop_filter_map("printable", |t| Arg::lines(&t).ok()),
        ];
        prop::collection::vec(part, 1..4)
            .prop_map(|parts| parts.into_iter().reduce(Arg::then).expect("at least one"))
    }

    fn directives() -> impl Strategy<Value = Vec<Directive>> {
        let line =
            prop::collection::vec(args(), 0..4).prop_map(|args| Directive::line("line", args));
        let one = line.prop_recursive(3, 24, 4, |inner| {
            (
                prop::collection::vec(args(), 0..3),
                prop::collection::vec(inner, 0..4),
            )
                .prop_map(|(args, block)| Directive::block("block", args, block))
        });
        prop::collection::vec(one, 0..6)
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back_the_same(tree in directives()) {
            prop_assert_eq!(read(&print(&tree)), seen(&tree));
        }

        #[test]
        fn a_text_is_refused_or_stays_one_argument(text in any::<String>()) {
            if let Ok(arg) = Arg::text(&text) {
                let read = read(&print(&[Directive::line("d", [arg])]));
                prop_assert_eq!(read.len(), 1);
                prop_assert_eq!(&read[0].words, &["d".to_owned(), text]);
            }
        }
    }

    #[test]
    fn a_dollar_a_newline_and_a_nul_are_refused() {
        for bad in ["a$b", "a\nb", "a\0b", "\u{7f}"] {
            assert!(Arg::text(bad).is_err(), "{bad:?}");
        }
        assert!(Arg::path(Path::new("relative")).is_err());
    }

    #[test]
    fn only_host_names_are_server_names() {
        for good in ["a", "shop.example.test", "*.example.test", "xn--4ca.test"] {
            assert!(Arg::host(good).is_ok(), "{good}");
        }
        for bad in [
            "", "*", "*.", ".a", "~^x", "A", "a b", "a;b", "_", "a*", "ä",
        ] {
            assert!(Arg::host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_variable_is_braced_where_text_follows() {
        assert_eq!(Arg::var("uri").to_string(), "$uri");
        assert_eq!(Arg::var("uri").then("/".into()).to_string(), "\"${uri}/\"");
    }
}
