//! How a request can fail, and the failures kept as examples.

use std::fmt;
use std::io;

use serde::Serialize;

/// What became of a request that was not answered as it should be. Each failed request has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Nobody listened at the address.
    Refused,
    /// The connection was reset (RST), at any moment of the exchange.
    Reset,
    /// The connection ended (FIN) before the head of the answer was complete.
    EndBeforeResponse,
    /// The connection ended inside a body whose length, or whose last chunk, was announced.
    ShortBody,
    /// A status from 500 that was not expected.
    ServerError(u16),
    /// Any other status that was not expected.
    UnexpectedStatus(u16),
    /// No complete answer within the time for one request.
    Timeout,
    /// Answered by a generation that was not live any more, or not yet, when the request was sent.
    WrongGeneration,
    /// The answer lacks the marker or the digest that the request asked for.
    WrongContent,
    /// Not HTTP/1.1, or beyond the limits on what an answer may be.
    Malformed,
    /// The client's own trouble, such as no free port or descriptor. Still a failure of the run.
    Other,
}

impl Class {
    /// The class's name in JSON, without the status.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::EndBeforeResponse => "end_before_response",
            Self::ShortBody => "short_body",
            Self::ServerError(_) => "server_error",
            Self::UnexpectedStatus(_) => "unexpected_status",
            Self::Timeout => "timeout",
            Self::WrongGeneration => "wrong_generation",
            Self::WrongContent => "wrong_content",
            Self::Malformed => "malformed",
            Self::Other => "other",
        }
    }

    /// The status that made the class, where one did.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::ServerError(status) | Self::UnexpectedStatus(status) => Some(status),
            _ => None,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))?;
        match self.status() {
            Some(status) => write!(f, " {status}"),
            None => Ok(()),
        }
    }
}

/// One failed request, as it goes into the tally.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) class: Class,
    pub(crate) detail: String,
}

impl Failure {
    pub(crate) fn new(class: Class, detail: impl Into<String>) -> Self {
        Self {
            class,
            detail: detail.into(),
        }
    }

    /// Classifies what the operating system said while the request was at `moment`.
    pub(crate) fn from_io(error: &io::Error, moment: impl fmt::Display) -> Self {
        let class = match error.kind() {
            io::ErrorKind::ConnectionRefused => Class::Refused,
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Class::Reset,
            io::ErrorKind::TimedOut => Class::Timeout,
            _ => Class::Other,
        };
        Self::new(class, format!("{moment}: {error}"))
    }
}

/// A failure in full, kept for the first few of each class.
#[derive(Debug, Clone, Serialize)]
pub struct Example {
    /// The path and query that were asked for.
    pub path: String,
    /// `keep-alive` or `one-shot`.
    pub client: &'static str,
    /// Whether the connection had carried an answer before.
    pub reused: bool,
    /// When the request was begun, from the start of the run.
    pub since_start_ms: u64,
    /// The request's `X-Stratus-Load` header, to find it in the server's logs.
    pub nonce: String,
    /// What was seen.
    pub detail: String,
}
