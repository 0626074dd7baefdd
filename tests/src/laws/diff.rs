//! Says in which lines two values differ.

use std::fmt::Debug;

/// Ends the test unless both are equal.
pub fn assert_same<T: Debug + PartialEq>(complaint: &str, case: &str, expected: &T, found: &T) {
    if expected == found {
        return;
    }
    let (expected, found) = (format!("{expected:#?}"), format!("{found:#?}"));
    let missing = only_in(&expected, &found, '-');
    let extra = only_in(&found, &expected, '+');
    panic!("{complaint}: {case}\n{missing}{extra}\nexpected {expected}\nfound {found}");
}

fn only_in(text: &str, other: &str, mark: char) -> String {
    let lines = text.lines();
    let missing = lines.filter(|line| !other.lines().any(|l| l == *line));
    missing.fold(String::new(), |text, line| {
        text + &format!("{mark} {line}\n")
    })
}
