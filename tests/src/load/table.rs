//! The report as tables for a reader.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint, Table, presets};

use super::failure::Example;
use super::histogram::Latency;
use super::report::{Report, Verdict};

/// Examples shown of each class; all that were kept are in the JSON.
const SHOWN: usize = 3;

impl Report {
    /// Prints the report as text of several lines.
    pub fn table(&self) -> String {
        let mut text = format!("{}\n", self.requests());
        if !self.counts.generations.is_empty() {
            let mut table = new_table(&["generation", "answers"]);
            for (generation, answers) in &self.counts.generations {
                table.add_row([generation.to_string(), answers.to_string()]);
            }
            line(&mut text, &table);
        }
        if !self.failures.is_empty() {
            line(&mut text, self.failures());
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
    table
        .load_style(presets::UTF8_HORIZONTAL_ONLY)
        .set_header(header.iter().copied());
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
