//! The report as tables for a reader.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint, LineStyle, Table, TableStyle, presets};

use super::failure::Example;
use super::histogram::Latency;
use super::report::{Report, Verdict};

const STYLE: TableStyle = presets::UTF8_HORIZONTAL_ONLY.row_separator(LineStyle::none());
/// Examples shown of each class; all that were kept are in the JSON.
const SHOWN: usize = 3;

impl Report {
    /// Prints the report as text of several lines.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n", self.requests().trim_fmt());
        if !self.counts.generations.is_empty() {
            let mut table = new_table(&["generation", "answers"]);
            for (generation, answers) in &self.counts.generations {
                table.add_row([generation.to_string(), answers.to_string()]);
            }
            line(&mut text, table.trim_fmt());
        }
        if !self.failures.is_empty() {
            line(&mut text, self.failures().trim_fmt());
            for failure in &self.failures {
                for example in failure.examples.iter().take(SHOWN) {
                    line(
                        &mut text,
                        format!("{}: {}", failure.class, describe(example)),
                    );
                }
            }
        }
        line(&mut text, self.summary());
        text
    }

    fn requests(&self) -> Table {
        let mut table = new_table(&[
            "request", "requests", "php", "static", "failed", "p50 ms", "p99 ms", "max ms",
        ]);
        for line in &self.by_request {
            let counts = [
                line.requests,
                line.answered_php,
                line.answered_static,
                line.failed,
            ];
            table.add_row(row(line.kind.name(), counts, line.latency));
        }
        let all = &self.counts;
        let counts = [
            all.requests,
            all.answered_php,
            all.answered_static,
            all.failed,
        ];
        table.add_row(row("all", counts, self.latency));
        table
    }

    fn failures(&self) -> Table {
        let mut table = new_table(&["failure", "requests"]);
        for line in &self.failures {
            table.add_row([line.class.to_string(), line.count.to_string()]);
        }
        table
    }

    fn summary(&self) -> String {
        let counts = &self.counts;
        let mut text = format!(
            "{} requests in {:.1} s over {} connections, {} reconnects",
            counts.requests,
            std::time::Duration::from_millis(self.elapsed_ms).as_secs_f64(),
            counts.connections,
            counts.reconnects,
        );
        let verdict = match self.verdict {
            Verdict::NothingSent => ": failed, nothing was sent".to_owned(),
            Verdict::Passed => ": 0 failed".to_owned(),
            Verdict::Failed => {
                format!(": {} failed, {} of them raced", counts.failed, counts.raced)
            }
        };
        text.push_str(&verdict);
        text
    }
}

fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header.iter().copied());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

fn row(name: &str, counts: [u64; 4], latency: Latency) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    row.extend(counts.map(|count| count.to_string()));
    row.extend([latency.p50_us, latency.p99_us, latency.max_us].map(milliseconds));
    row
}

/// Microseconds as milliseconds with one digit, without a detour over floats.
fn milliseconds(us: u64) -> String {
    format!("{}.{}", us / 1000, us % 1000 / 100)
}

fn describe(example: &Example) -> String {
    let reused = if example.reused { "kept" } else { "new" };
    format!(
        "{} by {} client on a {reused} connection at {} ms ({}): {}",
        example.path, example.client, example.since_start_ms, example.nonce, example.detail
    )
}

fn line(text: &mut String, what: impl std::fmt::Display) {
    writeln!(text, "{what}").expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::load::failure::{Class, Failure};
    use crate::load::mix::RequestKind;
    use crate::load::report::Phase;
    use crate::load::tally::{ClientKind, Ended, Tally};

    fn ended(kind: RequestKind, outcome: Result<Option<u32>, Failure>) -> Ended<'static> {
        Ended {
            client: ClientKind::KeepAlive,
            kind,
            path: "/doku.php",
            nonce: "00c0ffee",
            reused: true,
            raced: outcome.is_err(),
            since_start: Duration::from_millis(1234),
            began: Instant::now() + Duration::from_hours(1), // so every latency is zero
            outcome,
        }
    }

    #[test]
    fn a_failed_run_shows_figures_classes_and_examples() {
        let mut tally = Tally::default();
        tally.record(ended(RequestKind::Get, Ok(Some(42))));
        tally.record(ended(RequestKind::Get, Ok(Some(43))));
        tally.record(ended(RequestKind::Get, Ok(None)));
        let failure = Failure::new(Class::ServerError(502), "502 without a generation");
        tally.record(ended(RequestKind::Post, Err(failure)));
        let report = Report::new(&tally, Phase::Finished, Duration::from_secs(2), 0);
        insta::assert_snapshot!(report.table(), @r"
        ───────────────────────────────────────────────────────────────────────
         request   requests   php   static   failed   p50 ms   p99 ms   max ms
        ═══════════════════════════════════════════════════════════════════════
         get              3     2        1        0      0.0      0.0      0.0
         post             1     0        0        1      0.0      0.0      0.0
         all              4     2        1        1      0.0      0.0      0.0
        ───────────────────────────────────────────────────────────────────────
        ──────────────────────
         generation   answers
        ══════════════════════
         42                 1
         43                 1
        ──────────────────────
        ─────────────────────────────
         failure            requests
        ═════════════════════════════
         server error 502          1
        ─────────────────────────────
        server error 502: /doku.php by keep-alive client on a kept connection at 1234 ms (00c0ffee): 502 without a generation
        4 requests in 2.0 s over 0 connections, 0 reconnects: 1 failed, 1 of them raced
        ");
    }

    #[test]
    fn milliseconds_have_one_digit() {
        assert_eq!(milliseconds(0), "0.0");
        assert_eq!(milliseconds(12_345), "12.3");
    }
}
