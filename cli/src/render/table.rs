//! Tables without lines: columns that a person reads and `awk` splits.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use super::escape;
use crate::output::Out;

/// Prints a heading and rows in aligned columns.
pub fn print<const N: usize>(out: &mut Out, heading: [&str; N], rows: Vec<[String; N]>) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(heading);
    for row in rows {
        table.add_row(row.map(|cell| escape::line(&cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for line in table.trim_fmt().lines() {
        out.line(line);
    }
}
