//! The printed form of a report.

use std::fmt::Write as _;

use super::figures::{lines, ratio_text, shown};
use super::rows::{arguments, ratio_meaning, servers, verdict};
use crate::record::Row;
use crate::rounds::{Column, Rounds};
use crate::scenario::Scenario;

/// The width of a paragraph of the printed text, in columns.
const TEXT_COLUMNS: usize = 120;
/// The width of the names of rows in the printed text, in columns.
const NAME_COLUMNS: usize = 24;

/// Formats rows as lines.
pub(crate) fn rows_text(rows: &[Row]) -> String {
    let line = |(name, text): &Row| format!("  {name:<0$}{text}\n", NAME_COLUMNS.max(name.len() + 1));
    rows.iter().map(line).collect()
}

/// Wraps a text into lines of at most [`TEXT_COLUMNS`].
pub(crate) fn paragraph(text: &str) -> String {
    let mut out = String::from(" ");
    let mut column = 1;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if column + 1 + length > TEXT_COLUMNS {
            out.push_str("\n ");
            column = 1;
        }
        out.push(' ');
        out.push_str(word);
        column += 1 + length;
    }
    out.push('\n');
    out
}

/// The rows of a scenario as text.
pub(crate) fn scenario_text(scenario: &Scenario, rounds: &Rounds) -> String {
    let mut rows = vec![arguments(scenario)];
    rows.extend(servers(rounds));
    rows_text(&rows)
}

/// The printed text of a scenario.
pub(super) fn text(scenario: &Scenario, rounds: &Rounds) -> String {
    let count = rounds.columns.iter().map(|column| column.outcomes.len()).max().unwrap_or(0);
    let mut out = scenario_text(scenario, rounds);
    let _ = write!(out, "{}, median of {count} round(s)\n  {:<NAME_COLUMNS$}", scenario.name(), "figure");
    let has_limit = rounds.limit().is_some();
    for column in &rounds.columns {
        let _ = write!(out, "{:>1$}", column.name, width(column));
        if has_limit && !column.is_limit() {
            let _ = write!(out, "{:>7}", "ratio");
        }
    }
    out.push('\n');
    for line in lines(rounds) {
        let _ = write!(out, "  {:<NAME_COLUMNS$}", line.name);
        for (column, (value, ratio)) in rounds.columns.iter().zip(&line.values) {
            let _ = write!(out, "{:>1$}", shown(*value), width(column));
            if has_limit && !column.is_limit() {
                let _ = write!(out, "{:>7}", ratio_text(*ratio));
            }
        }
        let _ = writeln!(out, "  {}", line.unit);
    }
    if let Some(meaning) = ratio_meaning(rounds) {
        out.push_str(&paragraph(meaning));
    }
    if let Some(note) = rounds.disturbed() {
        let _ = writeln!(out, "  disturbed: {note}; trust counts and processor time alone");
    }
    let _ = writeln!(out, "{}", verdict(rounds));
    out
}

/// The width of a server's column in the table.
fn width(column: &Column) -> usize {
    column.name.chars().count().max(10) + 2
}
