//! The counts themselves: records in, tallies out. No I/O.

use std::collections::{BTreeMap, HashMap};

use stratus_core::traffic::Tally;
use stratus_core::{EnvironmentName, Generation, OperationId};

use super::record::{Message, Outcome, Record, parse};

/// Connections whose count of requests is remembered.
const CONNECTIONS_MAX: usize = 65_536;

/// What came in, and which operations it is counted for.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Datagrams, marks included.
    received: u64,
    /// How many had come in before a mark.
    pub(super) marks: HashMap<String, u64>,
    marks_made: u64,
    connections: HashMap<u64, u64>,
    windows: HashMap<OperationId, Window>,
}

#[derive(Debug)]
struct Window {
    environment: EnvironmentName,
    /// What was out of balance when it began; `None` when that was not known.
    balance: Option<i64>,
    served: BTreeMap<Generation, u64>,
    unattributed: u64,
    lost: u64,
    cut: u64,
    /// When the new generation was let go, milliseconds since 1970.
    let_go_ms: Option<u64>,
    held: u64,
    longest_hold_ms: u64,
    /// A record is missing, or could not be read.
    damaged: bool,
}

impl Ledger {
    /// Enters a datagram.
    pub(super) fn take(&mut self, datagram: &[u8]) {
        match parse(datagram) {
            Some(Message::Mark(mark)) => {
                // Only ours: whoever else asks nginx's private socket leaves no trace here.
                if mark
                    .parse::<u64>()
                    .is_ok_and(|number| number <= self.marks_made)
                {
                    self.marks.insert(mark, self.received);
                }
            }
            Some(Message::Record(record)) => self.enter(&record),
            None => self.damage(),
        }
        self.received += 1;
    }

    /// A mark that was not used before.
    pub(super) fn next_mark(&mut self) -> String {
        // Those that came too late are not asked for any more.
        self.marks.clear();
        self.marks_made += 1;
        self.marks_made.to_string()
    }

    /// Whether `operation` is being counted for.
    pub(super) fn has(&self, operation: &OperationId) -> bool {
        self.windows.contains_key(operation)
    }

    /// Begins to count for `operation`.
    pub(super) fn begin(
        &mut self,
        operation: &OperationId,
        environment: &EnvironmentName,
        balance: Option<i64>,
    ) {
        let fresh = Window {
            environment: environment.clone(),
            balance,
            served: BTreeMap::new(),
            unattributed: 0,
            lost: 0,
            cut: 0,
            let_go_ms: None,
            held: 0,
            longest_hold_ms: 0,
            damaged: false,
        };
        self.windows.entry(operation.clone()).or_insert(fresh);
    }

    /// The balance that `operation` began with.
    pub(super) fn balance_of(&self, operation: &OperationId) -> Option<i64> {
        self.windows.get(operation)?.balance
    }

    /// Requests of `operation` that began before `at_ms`, milliseconds since 1970, have waited until then.
    pub(super) fn let_go(&mut self, operation: &OperationId, at_ms: u64) {
        if let Some(window) = self.windows.get_mut(operation) {
            window.let_go_ms.get_or_insert(at_ms);
        }
    }

    /// Ends the count; `None` when it was not begun here, or a record is known to be missing.
    pub(super) fn end(
        &mut self,
        operation: &OperationId,
        old: Generation,
        new: Generation,
    ) -> Option<Tally> {
        let mut window = self.windows.remove(operation)?;
        let mut of = |generation| window.served.remove(&generation).unwrap_or(0);
        let (served_new, served_old) = (of(new), of(old));
        let strangers: u64 = window.served.values().sum();
        (!window.damaged).then_some(Tally {
            served_old,
            served_new,
            lost: window.lost,
            cut: window.cut,
            unattributed: window.unattributed + strangers,
            held: window.held,
            longest_hold_ms: window.longest_hold_ms,
        })
    }

    fn enter(&mut self, record: &Record) {
        if self.is_gap(record) {
            self.damage();
        }
        let verdict = record.verdict();
        let mine = |w: &&mut Window| w.environment.as_str() == record.environment;
        for window in self.windows.values_mut().filter(mine) {
            window.cut += u64::from(verdict.repeated);
            match verdict.outcome {
                Outcome::Served(Some(by)) => {
                    *window.served.entry(by).or_insert(0) += 1;
                    window.hold(record);
                }
                Outcome::Served(None) => window.unattributed += 1,
                Outcome::Lost => window.lost += 1,
                Outcome::Aside => {}
            }
        }
    }

    /// Whether a request of the same connection is missing before this one.
    fn is_gap(&mut self, record: &Record) -> bool {
        let (Ok(connection), Ok(number)) = (
            record.connection.parse(),
            record.connection_requests.parse::<u64>(),
        ) else {
            return true;
        };
        if self.connections.len() >= CONNECTIONS_MAX {
            self.connections.clear();
        }
        // A lower number is another connection: nginx was started anew and counts from 1.
        let before = self.connections.insert(connection, number);
        before.is_some_and(|before| number > before + 1)
    }

    fn damage(&mut self) {
        for window in self.windows.values_mut() {
            window.damaged = true;
        }
    }
}

impl Window {
    /// Counts a request that waited for the new generation to be let go.
    fn hold(&mut self, record: &Record) {
        let (Some(let_go), Some(began)) = (self.let_go_ms, record.began_ms()) else {
            return;
        };
        if let Some(waited) = let_go.checked_sub(began).filter(|waited| *waited > 0) {
            self.held += 1;
            self.longest_hold_ms = self.longest_hold_ms.max(waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> OperationId {
        "op-1".parse().unwrap()
    }

    fn datagram(environment: &str, connection: u64, number: u64, generation: &str) -> Vec<u8> {
        format!(
            r#"<190>Nov 22 13:00:00 stratus: {{"environment":"{environment}","method":"GET","status":"200","upstream_status":"200","generation":"{generation}","completion":"OK","connection":"{connection}","connection_requests":"{number}","header_time":"0.001","length":"","sent":"10","request_time":"0.001","time":"1.0"}}"#
        )
        .into_bytes()
    }

    fn counting() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.begin(&operation(), &"shop".parse().unwrap(), Some(0));
        ledger
    }

    fn end(mut ledger: Ledger) -> Option<Tally> {
        ledger.end(&operation(), Generation(1), Generation(2))
    }

    #[test]
    fn requests_are_counted_for_their_environment_and_generation() {
        let mut ledger = counting();
        for (number, (environment, generation)) in [
            ("shop", "1"),
            ("shop", "2"),
            ("shop", "2"),
            ("blog", "2"),
            ("shop", "7"),
            ("shop", ""),
        ]
        .into_iter()
        .enumerate()
        {
            ledger.take(&datagram(environment, 5, number as u64 + 1, generation));
        }
        let expected = Tally {
            served_old: 1,
            served_new: 2,
            unattributed: 2,
            ..Tally::default()
        };
        assert_eq!(end(ledger), Some(expected));
    }

    #[test]
    fn what_began_before_the_new_generation_was_let_go_has_waited_for_it() {
        let mut ledger = counting();
        // They end at 1 s and took 1 ms: they began at 0.999 s.
        ledger.take(&datagram("shop", 5, 1, "2"));
        ledger.let_go(&operation(), 1_600);
        ledger.let_go(&operation(), 9_999);
        ledger.take(&datagram("shop", 5, 2, "2"));
        ledger.take(&datagram("blog", 5, 3, "2"));
        let tally = end(ledger).unwrap();
        assert_eq!((tally.held, tally.longest_hold_ms), (1, 601));
        let mut ledger = counting();
        ledger.let_go(&operation(), 999);
        ledger.take(&datagram("shop", 5, 1, "2"));
        assert_eq!(end(ledger).unwrap().held, 0);
    }

    #[test]
    fn a_gap_in_a_connection_makes_the_count_void() {
        let mut ledger = counting();
        ledger.take(&datagram("shop", 5, 3, "1"));
        ledger.take(&datagram("shop", 6, 1, "1"));
        ledger.take(&datagram("shop", 5, 5, "1"));
        assert_eq!(end(ledger), None);
    }

    #[test]
    fn a_connection_number_that_begins_anew_is_no_gap() {
        let mut ledger = counting();
        ledger.take(&datagram("shop", 5, 30, "1"));
        ledger.take(&datagram("shop", 5, 1, "1"));
        ledger.take(&datagram("shop", 5, 2, "1"));
        assert_eq!(end(ledger).map(|tally| tally.served_old), Some(3));
    }

    #[test]
    fn what_cannot_be_read_makes_the_count_void() {
        let mut ledger = counting();
        ledger.take(b"\xff\xfe{");
        assert_eq!(end(ledger), None);
    }

    #[test]
    fn a_second_begin_changes_nothing_and_an_unknown_end_is_none() {
        let mut ledger = counting();
        ledger.take(&datagram("shop", 5, 1, "1"));
        ledger.begin(&operation(), &"shop".parse().unwrap(), None);
        assert_eq!(ledger.balance_of(&operation()), Some(0));
        assert!(
            ledger
                .end(&operation(), Generation(1), Generation(2))
                .is_some()
        );
        assert_eq!(end(ledger), None);
    }

    #[test]
    fn a_mark_tells_how_many_records_came_before_it() {
        let mut ledger = counting();
        let mark = ledger.next_mark();
        ledger.take(&datagram("shop", 5, 1, "1"));
        ledger.take(format!(r#"<190>Nov 22 13:00:00 stratus: {{"mark":"{mark}"}}"#).as_bytes());
        ledger.take(br#"<190>Nov 22 13:00:00 stratus: {"mark":"99"}"#);
        ledger.take(br#"<190>Nov 22 13:00:00 stratus: {"mark":""}"#);
        assert_eq!(ledger.marks, HashMap::from([(mark, 1)]));
        assert_eq!(ledger.received, 4);
    }
}
