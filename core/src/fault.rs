//! Whether a failure may pass by itself: the one thing `decide` needs to know of an error.

use serde::{Deserialize, Serialize};

/// What kind of failure an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It may pass: the step is tried again, a bounded number of times.
    Transient,
    /// Trying again changes nothing: the operation unwinds.
    Permanent,
}

/// An error that knows which [`Fault`] it is.
pub trait Faulty: std::error::Error {
    /// The kind of failure.
    fn fault(&self) -> Fault;
}

/// The text of an error and of everything below it, joined with `: `.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
