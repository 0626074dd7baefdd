//! The lines that steer a run of `stratus-load` through its standard input.

use std::str::FromStr;

/// One line of control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// `allow 43`: a switch to 43 is about to begin.
    Allow(u32),
    /// `mark 43`: the switch to 43 has returned.
    Mark(u32),
    /// `snapshot`: print the report so far, as JSON.
    Snapshot,
    /// `stop`: begin no further request.
    Stop,
}

/// A line that means nothing. It ends the run: a mark that was misspelt would check nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not `allow NUMBER`, `mark NUMBER`, `snapshot` or `stop`")]
pub struct ControlError(String);

impl FromStr for Control {
    type Err = ControlError;

    fn from_str(line: &str) -> Result<Self, ControlError> {
        let wrong = || ControlError(line.trim().chars().take(80).collect());
        let mut words = line.split_ascii_whitespace();
        let (verb, number) = (words.next(), words.next());
        let number = number.map(str::parse).transpose().map_err(|_| wrong())?;
        match (verb, number, words.next()) {
            (Some("allow"), Some(generation), None) => Ok(Self::Allow(generation)),
            (Some("mark"), Some(generation), None) => Ok(Self::Mark(generation)),
            (Some("snapshot"), None, None) => Ok(Self::Snapshot),
            (Some("stop"), None, None) => Ok(Self::Stop),
            _ => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verb_is_read() {
        assert_eq!("allow 43".parse(), Ok(Control::Allow(43)));
        assert_eq!(" mark  43\r".parse(), Ok(Control::Mark(43)));
        assert_eq!("snapshot".parse(), Ok(Control::Snapshot));
        assert_eq!("stop".parse(), Ok(Control::Stop));
    }

    #[test]
    fn a_misspelt_line_is_an_error_and_not_ignored() {
        for line in [
            "",
            "mrak 43",
            "mark",
            "mark x",
            "mark -1",
            "mark 43 44",
            "stop 1",
            "Stop",
        ] {
            assert!(line.parse::<Control>().is_err(), "{line}");
        }
    }
}
