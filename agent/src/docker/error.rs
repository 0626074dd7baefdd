//! What can go wrong between us and the engine, and what the caller can do about it.

use bollard::errors::Error;
use stratus_core::runtime::RuntimeError;
use stratus_core::tasks::TaskError;
use stratus_core::{Fault, Faulty};

/// Why the engine did not do something.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It cannot be reached, or it did not answer in time.
    #[error("{what}: the container engine at {socket} does not answer: {detail}")]
    Unavailable {
        /// What was asked.
        what: String,
        /// Where.
        socket: String,
        /// What came back.
        detail: String,
    },
    /// It answered with a failure of its own (5xx), which may pass.
    #[error("{what}: the container engine failed: {detail}")]
    Failed {
        /// What was asked.
        what: String,
        /// Its words.
        detail: String,
    },
    /// There is no such container, image, network or volume.
    #[error("{what}: {detail}")]
    NotFound {
        /// What was asked.
        what: String,
        /// The engine's words.
        detail: String,
    },
    /// A name is taken, or the object is in a state that forbids it.
    #[error("{what}: {detail}")]
    Conflict {
        /// What was asked.
        what: String,
        /// The engine's words.
        detail: String,
    },
    /// The engine refused the request, or its answer could not be understood.
    #[error("{what}: {detail}")]
    Refused {
        /// What was asked.
        what: String,
        /// The engine's words.
        detail: String,
    },
    /// A throw-away container did not end within its limit; it was removed.
    #[error("{what} did not end within {limit_ms} ms; its last output: {output}")]
    TimedOut {
        /// What ran.
        what: String,
        /// The limit.
        limit_ms: u128,
        /// What it had written.
        output: String,
    },
}

impl Faulty for EngineError {
    fn fault(&self) -> Fault {
        match self {
            Self::Unavailable { .. } | Self::Failed { .. } => Fault::Transient,
            _ => Fault::Permanent,
        }
    }
}

impl From<EngineError> for RuntimeError {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error.fault() {
            Fault::Transient => Self::Unavailable { detail },
            Fault::Permanent => Self::Refused { detail },
        }
    }
}

impl From<EngineError> for TaskError {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        match error.fault() {
            Fault::Transient => Self::Unavailable { detail },
            Fault::Permanent => Self::Refused { detail },
        }
    }
}

impl EngineError {
    /// Sorts an error of the client by what the caller can do about it.
    pub(crate) fn sort(what: &str, socket: &str, error: &Error) -> Self {
        let what = what.to_owned();
        if let Error::DockerResponseServerError {
            status_code,
            message,
        } = error
        {
            let detail = message.trim().to_owned();
            return match status_code {
                404 => Self::NotFound { what, detail },
                409 => Self::Conflict { what, detail },
                500..=599 => Self::Failed { what, detail },
                _ => Self::Refused { what, detail },
            };
        }
        let detail = stratus_core::fault::chain(error);
        if unreachable(error) {
            Self::Unavailable {
                what,
                socket: socket.to_owned(),
                detail,
            }
        } else {
            Self::Refused { what, detail }
        }
    }
}

/// Whether the request never got an answer.
fn unreachable(error: &Error) -> bool {
    matches!(
        error,
        Error::RequestTimeoutError
            | Error::IOError { .. }
            | Error::HyperResponseError { .. }
            | Error::HyperLegacyError { .. }
            | Error::SocketNotFoundError(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status_code: u16) -> EngineError {
        let error = Error::DockerResponseServerError {
            status_code,
            message: "no\n".to_owned(),
        };
        EngineError::sort("start x", "/run/docker.sock", &error)
    }

    #[test]
    fn a_failure_of_the_engines_own_may_pass_and_a_refusal_does_not() {
        assert_eq!(answered(503).fault(), Fault::Transient);
        assert_eq!(answered(400).fault(), Fault::Permanent);
        assert!(matches!(answered(404), EngineError::NotFound { .. }));
        assert!(matches!(answered(409), EngineError::Conflict { .. }));
    }

    #[test]
    fn an_engine_that_is_gone_is_unavailable() {
        let error = EngineError::sort("ping", "/x", &Error::SocketNotFoundError("/x".to_owned()));
        assert_eq!(error.fault(), Fault::Transient);
        assert!(matches!(
            RuntimeError::from(error),
            RuntimeError::Unavailable { .. }
        ));
    }
}
