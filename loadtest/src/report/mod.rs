//! The report of the rounds: on standard output, as JSON and as an HTML page.

mod charts;
mod figures;
mod html;
mod json;
mod output;
mod plot;
mod rows;
mod text;

use crate::options::Common;
use crate::record::Record;
use crate::rounds::{self, RoundsError};
use crate::scenario::Scenario;

pub(crate) use figures::shown;
pub(crate) use html::Page;
pub(crate) use json::of as json_of;
pub(crate) use output::{OutputError, write, write_file, write_json};
pub(crate) use rows::{ratio_meaning, tally_text};
pub(crate) use text::{paragraph, rows_text, scenario_text};

/// The default number of rounds when servers are compared.
const COMPARING_ROUNDS: usize = 5;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("INVALID run: {0}")]
    Invalid(String),
    #[error(transparent)]
    Rounds(#[from] RoundsError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Runs one scenario and prints its figures; true when the deliveries were sound.
pub(crate) fn run(common: &Common, record: &Record, scenario: &Scenario) -> Result<bool, ReportError> {
    let compares = common.limit || common.before.is_some() || !common.compare.is_empty();
    let count = common.rounds.unwrap_or(if compares { COMPARING_ROUNDS } else { 1 });
    let rounds = rounds::run(common, scenario, count, common.limit)?;
    let head = [record.rows(), vec![record.duration()]].concat();
    write(&format!("{}{}", rows_text(&head), text::text(scenario, &rounds)))?;
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
        Some(reason) if rounds.are_sound() => Err(ReportError::Invalid(reason)),
        _ => Ok(rounds.are_sound()),
    }
}
