//! What is printed, and the JSON file.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;

use serde::Serialize;

use crate::args::Common;
use crate::ledger::Tally;
use crate::rounds::{self, Rounds, median};
use crate::scenario::Scenario;

/// One figure over all rounds.
#[derive(Debug, Serialize)]
struct Line {
    figure: &'static str,
    unit: &'static str,
    value: f64,
    limit: Option<f64>,
    ratio: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Report {
    scenario: &'static str,
    rounds: usize,
    figures: Vec<Line>,
    tally: Tally,
    invalid: Option<String>,
}

/// Runs one scenario and prints its figures; true when the deliveries were sound.
pub(crate) fn run(common: &Common, scenario: &Scenario) -> Result<bool, String> {
    let count = common.rounds.unwrap_or(if common.limit { 5 } else { 1 });
    let rounds = rounds::run(common, scenario, count, common.limit)?;
    let report = Report::of(scenario, &rounds);
    write(&report.text())?;
    write_json(common, &report)?;
    match &report.invalid {
        Some(reason) if report.tally.is_sound() => Err(format!("INVALID run: {reason}")),
        _ => Ok(report.tally.is_sound()),
    }
}

impl Report {
    fn of(scenario: &Scenario, rounds: &Rounds) -> Self {
        let first = rounds.subject.first().map_or(&[][..], |outcome| &outcome.figures);
        let figures = first.iter().filter_map(|figure| {
            let value = median(&rounds.subject, figure.name)?;
            let limit = median(&rounds.limit, figure.name);
            let ratio = limit.filter(|limit| *limit > 0.0).map(|limit| value / limit);
            Some(Line { figure: figure.name, unit: figure.unit, value, limit, ratio })
        });
        Self {
            scenario: scenario.name(),
            rounds: rounds.subject.len(),
            figures: figures.collect(),
            tally: rounds.tally(),
            invalid: rounds.invalid(),
        }
    }

    fn text(&self) -> String {
        let mut out = format!("{}, median of {} round(s)\n", self.scenario, self.rounds);
        let with_limit = self.figures.iter().any(|line| line.limit.is_some());
        let _ = write!(out, "  {:<26}{:>14}", "figure", "value");
        out.push_str(if with_limit { "         limit   ratio\n" } else { "\n" });
        for line in &self.figures {
            let _ = write!(out, "  {:<26}{:>14}", line.figure, number(line.value));
            if let Some(limit) = line.limit {
                let _ = write!(out, "{:>14}", number(limit));
            } else if with_limit {
                let _ = write!(out, "{:>14}", "-");
            }
            if let Some(ratio) = line.ratio {
                let _ = write!(out, "{ratio:>8.2}");
            } else if with_limit {
                let _ = write!(out, "{:>8}", "-");
            }
            let _ = writeln!(out, "  {}", line.unit);
        }
        out.push_str(&tally_text(&self.tally));
        out.push_str(match (&self.invalid, self.tally.is_sound()) {
            (_, false) => "UNSOUND: the hub did not deliver what it accepted\n",
            (Some(_), true) => "INVALID: see below\n",
            (None, true) => "sound: nothing lost, duplicated, out of order or misdelivered\n",
        });
        out
    }
}

/// The counts in words.
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
        disconnected,
    } = tally;
    format!(
        "  published {published}, refused {refused}; deliveries: expected {expected}, received {received}, lost {lost}, \
         duplicated {duplicated}, out of order {out_of_order}, misdelivered {misdelivered}; disconnected {disconnected}\n"
    )
}

/// A figure with as many digits as it deserves.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        small if small < 10.0 => format!("{value:.3}"),
        small if small < 1_000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Writes to the standard output; a closed pipe is no error of the run.
pub(crate) fn write(text: &str) -> Result<(), String> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("standard output: {error}"))
        }
        _ => Ok(()),
    }
}

/// Writes the JSON file, when it was asked for.
pub(crate) fn write_json(common: &Common, value: &impl Serialize) -> Result<(), String> {
    let Some(path) = &common.json else { return Ok(()) };
    let text = serde_json::to_string_pretty(value).map_err(|error| format!("JSON: {error}"))?;
    fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
}
