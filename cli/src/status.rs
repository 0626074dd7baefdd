//! gRPC statuses in human words. The one place that knows their codes.

use std::error::Error as _;

use tonic::{Code, Status};

use crate::error::CliError;

/// A status as a failure that says what to do.
pub fn to_error(status: &Status) -> CliError {
    let said = match status.message() {
        "" => status.code().description(),
        message => message,
    };
    match status.code() {
        _ if broken(status) => {
            CliError::failed("the connection to the server broke before it answered")
                .hint("see what the server says with: journalctl -u stratusd")
                .hint("then try again")
        }
        // The server names the operation that is in the way.
        Code::Aborted => CliError::failed(said)
            .hint("wait for it, see it with: stratus operations.list --unfinished"),
        Code::Unimplemented => CliError::failed("the server does not know this command")
            .hint("it is of another version than this program, update both"),
        Code::DeadlineExceeded => CliError::failed("the server did not answer in time")
            .hint("see what it does with: journalctl -u stratusd"),
        Code::Unavailable => CliError::failed(format!("the server cannot do this now: {said}"))
            .hint("try again later"),
        Code::Internal | Code::Unknown | Code::DataLoss => {
            CliError::failed(format!("the server failed: {said}"))
                .hint("see why with: journalctl -u stratusd")
        }
        // Written by the server for people: what is wrong and what to do.
        _ => CliError::failed(said),
    }
}

/// Whether the connection broke, so that nobody knows what the server did.
pub fn broken(status: &Status) -> bool {
    // A status that the server sent has no source; one that the transport made has.
    status.source().is_some()
}

/// Whether a stream that ended so may be opened again.
pub fn resumable(status: &Status) -> bool {
    broken(status) || matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_words_are_kept_where_it_wrote_them_for_people() {
        let status =
            Status::failed_precondition("there is no standby; run zerodowntime.init first");
        assert_eq!(
            to_error(&status).line(),
            "ERROR: Error: there is no standby; run zerodowntime.init first"
        );
    }

    #[test]
    fn every_code_gives_a_line_that_is_not_empty() {
        for code in 1..=16 {
            let line = to_error(&Status::new(Code::from_i32(code), "")).line();
            assert!(line.len() > "ERROR: Error: ".len() + 10, "{code}: {line}");
        }
    }
}
