//! Regular expressions of a tenant: short, without what takes a worker of nginx for seconds, and such that nginx takes
//! them.
//!
//! nginx serves everybody on few threads: an expression that tries for ever holds up all sites, so one repetition may
//! not stand in another, and there may be few of them. What takes long all the same is ended by a limit that each is
//! printed with.

use serde::{Deserialize, Serialize};

/// Longest expression, in bytes.
const BYTES_MAX: usize = 256;
/// Repetitions without an end in one expression.
const REPETITIONS_MAX: usize = 6;
/// Largest number in `{n}`.
const COUNT_MAX: u32 = 64;
/// Steps of an expression that is tried at the beginning of a text only: less than a millisecond.
const ANCHORED_STEPS: u32 = 20_000;
/// Steps of one that is tried at every place of a text, for each place: 0.2 seconds in the longest text there is.
const STEPS: u32 = 2000;

/// An expression that was checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern(String);

/// Whether upper and lower case differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// They do.
    Sensitive,
    /// They are the same.
    Ignored,
}

/// What stands before the place that is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing that can be repeated.
    Nothing,
    /// Something without a repetition in it.
    Simple,
    /// A group with a repetition in it.
    Repeating,
}

/// A group that is open.
struct Group {
    /// Whether something in it is repeated.
    repeats: bool,
    /// Whether a numbered group in it holds what is held, or looked at, elsewhere, too.
    covers: bool,
    /// Its place among the numbered groups, if it is one.
    place: Option<usize>,
    /// Most characters that it can hold; `u32::MAX` is without an end.
    longest: u32,
}

struct Reader<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    groups: Vec<Group>,
    before: Before,
    endless: usize,
    /// Whether two numbered groups can hold the same characters.
    overlap: bool,
    /// Whether there is a choice outside all groups.
    choice: bool,
    /// Most characters of what stands before the place that is read, and of each numbered group.
    last: u32,
    numbered: Vec<u32>,
}

impl Pattern {
    /// Checks an expression.
    pub fn parse(expression: &str) -> Result<Self, String> {
        if expression.is_empty() || expression.len() > BYTES_MAX {
            return Err(format!(
                "the pattern is empty or longer than {BYTES_MAX} bytes; shorten it"
            ));
        }
        if expression.chars().any(char::is_control) {
            return Err("the pattern holds a control character; take it out".to_owned());
        }
        Reader::of(expression).map_err(|why| format!("the pattern {expression:?} {why}"))?;
        Ok(Self(expression.to_owned()))
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether two of its numbered groups can hold the same characters: `((a)b)`, `(?=(a))(a)`.
    pub fn overlaps(&self) -> bool {
        Reader::of(&self.0).is_ok_and(|reader| reader.overlap)
    }

    /// Most characters that the group with a number can hold, counted from 1: `u32::MAX` where there is no end, 0 where
    /// there is no such group. Never too few.
    pub fn longest(&self, group: u8) -> u32 {
        let Ok(reader) = Reader::of(&self.0) else {
            return u32::MAX;
        };
        let place = usize::from(group).checked_sub(1);
        let found = place.and_then(|place| reader.numbered.get(place));
        found.copied().unwrap_or_default()
    }
}

/// An expression with the limit that it is given to nginx with. Beyond it nginx takes a `map` as if nothing matched, and
/// answers 500 elsewhere.
pub fn limited(expression: &str) -> String {
    let begins = |start| expression.starts_with(start);
    let begins = begins("^") || begins("(?i)^") || begins(".*") || begins("(?i).*");
    let anchored = begins && Reader::of(expression).is_ok_and(|reader| !reader.choice);
    let steps = if anchored { ANCHORED_STEPS } else { STEPS };
    format!("(*LIMIT_MATCH={steps}){expression}")
}

impl<'a> Reader<'a> {
    /// Reads a whole expression.
    fn of(expression: &'a str) -> Result<Self, &'static str> {
        let mut reader = Self {
            rest: expression.chars().peekable(),
            groups: Vec::new(),
            before: Before::Nothing,
            endless: 0,
            overlap: false,
            choice: false,
            last: 0,
            numbered: Vec::new(),
        };
        reader.read()?;
        Ok(reader)
    }

    fn read(&mut self) -> Result<(), &'static str> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => {
                    self.escape()?;
                    if self.before == Before::Simple {
                        self.hold(1);
                    }
                }
                '[' => {
                    self.class()?;
                    self.hold(1);
                }
                '(' => self.open()?,
                ')' => {
                    let Group {
                        repeats,
                        place,
                        longest,
                        ..
                    } = self
                        .groups
                        .pop()
                        .ok_or("closes a group that is not open; take out `)`")?;
                    if let Some(held) = place.and_then(|place| self.numbered.get_mut(place)) {
                        *held = longest;
                    }
                    self.hold(longest);
                    if repeats && let Some(outer) = self.groups.last_mut() {
                        outer.repeats = true;
                    }
                    self.before = if repeats {
                        Before::Repeating
                    } else {
                        Before::Simple
                    };
                }
                '*' | '+' => self.repeat(None)?,
                '?' => self.repeat(Some(1))?,
                '{' => self.count()?,
                '|' | '^' | '$' => {
                    self.choice |= c == '|' && self.groups.is_empty();
                    self.before = Before::Nothing;
                }
                _ => {
                    self.before = Before::Simple;
                    self.hold(u32::try_from(c.len_utf8()).unwrap_or(u32::MAX));
                }
            }
        }
        if self.groups.is_empty() {
            Ok(())
        } else {
            Err("does not close a group; add `)`")
        }
    }

    /// Something of so many characters stands here.
    fn hold(&mut self, characters: u32) {
        self.last = characters;
        self.grow(characters);
    }

    fn grow(&mut self, characters: u32) {
        if let Some(group) = self.groups.last_mut() {
            group.longest = group.longest.saturating_add(characters);
        }
    }

    fn escape(&mut self) -> Result<(), &'static str> {
        match self.rest.next() {
            None => return Err("ends with a backslash; take it out"),
            Some('b' | 'B' | 'A' | 'z' | 'Z') => {
                self.before = Before::Nothing;
                return Ok(());
            }
            Some('d' | 'D' | 'w' | 'W' | 's' | 'S' | 't') => {}
            Some(c) if c.is_ascii_alphanumeric() => {
                return Err(
                    "holds an escape that is not allowed; use \\d, \\w, \\s, \\b or an escaped sign",
                );
            }
            Some(_) => {}
        }
        self.before = Before::Simple;
        Ok(())
    }

    fn class(&mut self) -> Result<(), &'static str> {
        self.rest.next_if_eq(&'^');
        // A bracket that comes first is a member.
        self.rest.next_if_eq(&']');
        loop {
            match self.rest.next() {
                None => return Err("does not close a class; add `]`"),
                Some(']') => break,
                Some('\\') => {
                    self.escape()?;
                }
                Some('[') if matches!(self.rest.peek(), Some(':' | '.' | '=')) => {
                    return Err("holds a named class; write its characters");
                }
                Some(_) => {}
            }
        }
        self.before = Before::Simple;
        Ok(())
    }

    fn open(&mut self) -> Result<(), &'static str> {
        const ONLY: &str = "holds a group of a kind that is not allowed; use (…), (?:…), (?=…), (?!…), (?<=…) or (?<!…)";
        self.before = Before::Nothing;
        let mut place = None;
        let covers = match self.rest.peek() {
            Some('*') => return Err(ONLY),
            Some('?') => {
                self.rest.next();
                match (self.rest.next(), self.rest.peek()) {
                    (Some(':'), _) => false,
                    (Some('=' | '!'), _) => true,
                    (Some('i'), Some(')')) => {
                        self.rest.next();
                        return Ok(());
                    }
                    (Some('i'), Some(':')) => {
                        self.rest.next();
                        false
                    }
                    (Some('<'), Some('=' | '!')) => {
                        self.rest.next();
                        true
                    }
                    _ => return Err(ONLY),
                }
            }
            _ => {
                self.overlap |= self.groups.iter().any(|group| group.covers);
                place = Some(self.numbered.len());
                // As long as it is open, it has no end.
                self.numbered.push(u32::MAX);
                true
            }
        };
        self.groups.push(Group {
            repeats: false,
            covers,
            place,
            longest: 0,
        });
        Ok(())
    }

    /// `{…}` is a repetition where it holds numbers, and text elsewhere.
    fn count(&mut self) -> Result<(), &'static str> {
        let inside: String = self.rest.clone().take_while(|c| *c != '}').collect();
        let (least, most) = match inside.split_once(',') {
            Some((least, most)) => (least, most),
            None => (inside.as_str(), inside.as_str()),
        };
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let closed = self.rest.clone().nth(inside.chars().count()) == Some('}');
        if !closed || !is_number(least) || !(most.is_empty() || is_number(most)) {
            self.before = Before::Simple;
            self.hold(1);
            return Ok(());
        }
        let within = |text: &str| text.parse::<u32>().is_ok_and(|n| n <= COUNT_MAX);
        if !within(least) || !(most.is_empty() || within(most)) {
            return Err("repeats something more than 64 times; use a smaller number");
        }
        for _ in 0..=inside.chars().count() {
            self.rest.next();
        }
        self.repeat(most.parse().ok())
    }

    /// A repetition, at most `most` times.
    fn repeat(&mut self, most: Option<u32>) -> Result<(), &'static str> {
        match (self.before, most) {
            (Before::Nothing, _) => {
                return Err("repeats nothing; put something before the `*`, `+`, `?` or `{`");
            }
            (Before::Simple, _) | (Before::Repeating, Some(0 | 1)) => {}
            (Before::Repeating, _) => {
                return Err(
                    "repeats a group that repeats something itself or can leave it out, which can take for ever; write it without one of the two",
                );
            }
        }
        if most.is_none() {
            self.endless += 1;
            if self.endless > REPETITIONS_MAX {
                return Err("holds more than 6 repetitions without an end; use fewer");
            }
        }
        if let Some(group) = self.groups.last_mut() {
            group.repeats = true;
        }
        self.grow(match most {
            Some(most) => self.last.saturating_mul(most.saturating_sub(1)),
            None => u32::MAX,
        });
        // Lazy or possessive.
        self.rest.next_if(|c| matches!(c, '?' | '+'));
        self.before = Before::Nothing;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patterns_of_everyday_are_taken() {
        for good in [
            r"\.(jpe?g|png|gif)$",
            r"^/old/(.*)$",
            r"^/(?!admin)[^/]+/x",
            r"^/(a|b){2,3}/.*?x",
            r"(?i)bot|crawl",
            r"^/[]a]{2}\{x",
            r"^/a{b}",
            "^",
            r"^(.*)/$",
            r"(?:a|b)*c",
        ] {
            Pattern::parse(good).unwrap_or_else(|why| panic!("{good}: {why}"));
        }
    }

    #[test]
    fn what_nginx_would_not_compile_or_could_try_for_ever_is_refused() {
        let long = "a".repeat(257);
        let many = ".*".repeat(7);
        for bad in [
            "",
            "(",
            ")",
            "[a",
            "a\\",
            "*a",
            "a**",
            "(?<uri>x)",
            "(?P<x>y)",
            "(?R)",
            "(*LIMIT_MATCH=9)",
            "(?#x)",
            "(a+)+",
            "(a*b)*",
            "((a+)b)+",
            "(?:x{2,}y)+",
            "(a{1,5}){1,5}",
            "(a?){64}a{64}",
            "\\1",
            "\\Qa\\E",
            "\\x41",
            "[[:alpha:]]",
            "a{65}",
            "a{1,99}",
            "x\ny",
            &long,
            &many,
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_repetition_may_be_optional_as_a_whole() {
        Pattern::parse("^/(?:[a-z]+/)?x").unwrap();
    }

    #[test]
    fn each_is_printed_with_a_limit_by_whether_it_is_tried_at_one_place_or_at_all() {
        for (expression, steps) in [
            ("^/a(?:b|c)*d", 20_000),
            ("(?i)^/a", 20_000),
            (".*bot", 20_000),
            ("^/a|b", 2000),
            ("[|]^", 2000),
            ("a", 2000),
        ] {
            let printed = format!("(*LIMIT_MATCH={steps}){expression}");
            assert_eq!(limited(expression), printed);
        }
    }

    #[test]
    fn the_most_that_a_group_can_hold_is_known() {
        let endless = u32::MAX;
        for (expression, longest) in [
            (r"^/(\d)(-[\w-]+)?/.+\.jpg$", [1, endless, 0]),
            (r"(\d{4})-(\d{1,2})?(x{2,})", [4, 2, endless]),
            ("(a|bc)(?:d)(e?)", [3, 1, 0]),
            ("((?:ab){3}c)(d)+([ef]*)", [7, 1, endless]),
            ("((a*)b)(c)", [endless, endless, 1]),
            ("(é{2})({)(\\.[.]{2}+)", [4, 1, 3]),
            ("(?i)(?:(a{3})|(b))x(?=(c))", [3, 1, 1]),
        ] {
            let pattern = Pattern::parse(expression).unwrap();
            let found = [1, 2, 3].map(|group| pattern.longest(group));
            assert_eq!(found, longest, "{expression}");
        }
    }

    #[test]
    fn groups_that_hold_the_same_are_known() {
        for (expression, overlaps) in [
            ("^/(a)/(?:(b)|c)", false),
            ("^/((a)b)", true),
            ("(?=(a))(a)", true),
            (r"\((a)", false),
            ("[(](a)", false),
            ("((?:(a)))", true),
        ] {
            let pattern = Pattern::parse(expression).unwrap();
            assert_eq!(pattern.overlaps(), overlaps, "{expression}");
        }
    }
}
