//! FPM's status page, with every process: who is not idle.
//!
//! "active processes" undercounts and "listen queue" is always 0 on unix sockets, so only the full list is read.

use serde::Deserialize;
use stratus_core::pool::STATUS_PATH;

/// What FPM says of a member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Status {
    /// Connections accepted since the start.
    #[serde(rename = "accepted conn", default)]
    pub accepted: u64,
    /// Every worker.
    pub processes: Vec<Process>,
}

/// One worker.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Process {
    /// What it does. Shape: `Idle`, `Running`, `Reading headers`.
    pub state: String,
    /// What it serves or served last.
    #[serde(rename = "request uri", default)]
    pub uri: String,
}

/// The page is not what FPM writes.
#[derive(Debug, thiserror::Error)]
#[error("the status page cannot be read")]
pub struct StatusError(#[from] serde_json::Error);

impl Status {
    /// Reads the page.
    ///
    /// # Errors
    /// When it is no status page.
    pub fn parse(page: &[u8]) -> Result<Self, StatusError> {
        // Request lines are bytes; JSON is not.
        Ok(serde_json::from_str(&String::from_utf8_lossy(page))?)
    }

    /// Workers that hold a request, less those that answer a status request of ours.
    pub fn busy(&self) -> u64 {
        let busy = self.processes.iter().filter(|p| p.is_busy()).count();
        busy.try_into().unwrap_or(u64::MAX)
    }
}

impl Process {
    fn is_busy(&self) -> bool {
        self.state != "Idle" && !(self.state == "Running" && self.uri.starts_with(STATUS_PATH))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As FPM 8.2 writes it, shortened.
    const PAGE: &str = r#"{"pool":"shop-g42","process manager":"static","start time":1,"start since":2,
        "accepted conn":9,"listen queue":0,"active processes":1,"processes":[
        {"pid":7,"state":"Running","start time":1,"requests":3,"request method":"GET",
         "request uri":"/.stratus/status?json&full","content length":0,"user":"-","script":"-"},
        {"pid":8,"state":"Idle","requests":3,"request uri":"/index.php"},
        {"pid":9,"state":"Reading headers","requests":3,"request uri":"/.stratus/status?json&full"},
        {"pid":10,"state":"Running","requests":3,"request uri":"/index.php"}]}"#;

    #[test]
    fn every_worker_that_is_not_idle_is_busy_but_the_one_that_answers() {
        let status = Status::parse(PAGE.as_bytes()).unwrap();
        assert_eq!((status.accepted, status.busy()), (9, 2));
    }

    #[test]
    fn a_page_that_is_none_is_an_error() {
        for page in ["", "ok", "{}", r#"{"processes":1}"#] {
            assert!(Status::parse(page.as_bytes()).is_err(), "{page}");
        }
    }

    proptest! {
        #[test]
        fn no_page_makes_the_reader_panic(page in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Status::parse(&page);
        }
    }
}
