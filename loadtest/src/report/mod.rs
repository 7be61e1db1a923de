//! The report of the rounds: on standard output, as JSON and as an HTML page.

mod html;
mod json;
mod rows;
mod svg;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use crate::args::Common;
use crate::ledger::Tally;
use crate::record::{Record, Row};
use crate::rounds::{self, Column, Ratio, Rounds};
use crate::scenario::Scenario;

pub(crate) use html::Page;
pub(crate) use json::of as json_of;
pub(crate) use rows::ratio_meaning;
use rows::{arguments, load_json, servers};

/// The default number of rounds when servers are compared.
const COMPARING_ROUNDS: usize = 5;

/// The width of a paragraph of the printed text, in columns.
const TEXT_COLUMNS: usize = 120;
/// The width of the names of rows in the printed text, in columns.
const NAME_COLUMNS: usize = 24;

/// Runs one scenario and prints its figures; true when the deliveries were sound.
pub(crate) fn run(common: &Common, record: &Record, scenario: &Scenario) -> Result<bool, String> {
    let compares = common.limit || !common.compare.is_empty();
    let count = common.rounds.unwrap_or(if compares { COMPARING_ROUNDS } else { 1 });
    let rounds = rounds::run(common, scenario, count, common.limit)?;
    let head = [record.rows(), vec![record.duration()]].concat();
    write(&format!("{}{}", rows_text(&head), text(scenario, &rounds)))?;
    if let Some(path) = &common.json {
        let mut document = json_of(scenario, &rounds);
        document["record"] = record.json();
        write_json(path, &document)?;
    }
    if let Some(path) = &common.html {
        let mut page = Page::new(scenario.name());
        page.rows(&head);
        page.section(scenario.name(), scenario, &rounds);
        write_file(path, &page.finish())?;
    }
    match rounds.invalid() {
        Some(reason) if rounds.are_sound() => Err(format!("INVALID run: {reason}")),
        _ => Ok(rounds.are_sound()),
    }
}

/// One figure of all servers.
struct FigureRow {
    name: &'static str,
    unit: &'static str,
    /// The median and its ratio to the limit, for each column.
    values: Vec<(Option<f64>, Option<Ratio>)>,
}

/// The figures, in the order of the first outcome.
fn lines(rounds: &Rounds) -> Vec<FigureRow> {
    let figures =
        rounds.columns.iter().find_map(|column| column.outcomes.first()).map(|outcome| &outcome.figures);
    figures
        .into_iter()
        .flatten()
        .map(|figure| {
            // The time spent waiting for a processor describes the machine, not the server.
            let comparable = !figure.name.ends_with("_wait_percent");
            let value = |column: &Column| {
                let ratio = rounds.ratio(column, figure.name).filter(|_| !column.is_limit() && comparable);
                (column.median(figure.name), ratio)
            };
            let values = rounds.columns.iter().map(value).collect();
            FigureRow { name: figure.name, unit: figure.unit, values }
        })
        .collect()
}

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

fn text(scenario: &Scenario, rounds: &Rounds) -> String {
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

/// One line with the conclusion.
fn verdict(rounds: &Rounds) -> String {
    let unsound: Vec<&str> = rounds
        .columns
        .iter()
        .filter(|column| !column.is_limit() && !column.tally().is_sound())
        .map(|column| column.name.as_str())
        .collect();
    match rounds.invalid() {
        _ if !unsound.is_empty() => {
            format!(
                "UNSOUND: {} did not deliver what was accepted, once, in order and to none else",
                unsound.join(", ")
            )
        }
        Some(reason) => format!("INVALID: {reason}"),
        None => "sound: nothing lost, duplicated, out of order, corrupted or misdelivered".to_owned(),
    }
}

/// The counts as text.
pub(crate) fn tally_text(tally: &Tally) -> String {
    let Tally {
        published,
        refused,
        expected,
        received,
        lost,
        duplicated,
        out_of_order,
        misdelivered,
        corrupted,
        disconnected,
    } = tally;
    format!(
        "published {published}, refused {refused}; deliveries: expected {expected}, received {received}, lost {lost}, \
         duplicated {duplicated}, out of order {out_of_order}, misdelivered {misdelivered}, corrupted {corrupted}; \
         disconnected {disconnected}\n"
    )
}

/// A figure with a suitable number of digits.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.3}"),
        small if small < 1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The same, or a dash.
pub(crate) fn shown(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), number)
}

/// The median of a ratio, or a dash.
fn ratio_text(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}", ratio.median))
}

/// The width of a server's column in the table.
fn width(column: &Column) -> usize {
    column.name.chars().count().max(10) + 2
}

/// Writes to standard output; a closed pipe is not an error.
pub(crate) fn write(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes a JSON file.
pub(crate) fn write_json(path: &Path, value: &serde_json::Value) -> Result<(), String> {
    write_file(path, &format!("{value:#}\n"))
}

/// Writes a file.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
