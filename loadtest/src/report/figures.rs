//! The figures of all servers, and how numbers are written.

use crate::rounds::{Column, Ratio, Rounds};

/// One figure of all servers.
pub(super) struct FigureRow {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    /// The median and its ratio to the limit, for each column.
    pub(super) values: Vec<(Option<f64>, Option<Ratio>)>,
}

/// The figures, in the order of the first outcome.
pub(super) fn lines(rounds: &Rounds) -> Vec<FigureRow> {
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

/// A figure with a suitable number of digits.
fn number(value: f64) -> String {
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
pub(super) fn ratio_text(ratio: Option<Ratio>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.2}", ratio.median))
}
