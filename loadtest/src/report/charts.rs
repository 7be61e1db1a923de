//! The plots of a scenario: latency by percentile, deliveries over time, and cost per round.

use super::plot::{Axis, Plot, Series};
use crate::book::STEP_NS;
use crate::engine::SECOND_NS;
use crate::rounds::{Column, Rounds};
use crate::scenario::micros;

/// The figures whose cost per round can be plotted; the first that a scenario has is used.
const COSTS: [(&str, &str, &str); 3] = [
    ("cpu_per_delivery_ns", "Server CPU per delivery", "ns"),
    ("cpu_per_connection_us", "Server CPU per connection", "µs"),
    ("memory_per_connection_b", "Memory per connection", "bytes"),
];
/// Percentiles are drawn up to this many nines.
const NINES: u32 = 5;
/// Points of a percentile line for each nine.
const POINTS_PER_NINE: u32 = 12;
/// The most marks of the rounds.
const ROUND_MARKS_MAX: usize = 10;

/// The plots for which the rounds have values.
pub(super) fn of(rounds: &Rounds) -> Vec<Plot> {
    [percentiles(rounds), over_time(rounds), costs(rounds)].into_iter().flatten().collect()
}

fn values(lines: &[Series]) -> impl Iterator<Item = f64> {
    lines.iter().flat_map(|line| line.points.iter().map(|point| point.1))
}

fn percentiles(rounds: &Rounds) -> Option<Plot> {
    let mut lines = Vec::new();
    for (colour, column) in rounds.columns.iter().enumerate() {
        let Some(times) = column.times() else { continue };
        for (what, histogram, is_dashed) in [("any", &times.receive, false), ("last", &times.last, true)] {
            // Beyond the nines that the samples can resolve, a percentile only repeats the maximum.
            let nines = (histogram.len().max(1) as f64).log10().min(f64::from(NINES));
            let points = (0..=NINES * POINTS_PER_NINE)
                .map(|point| f64::from(point) / f64::from(POINTS_PER_NINE))
                .filter(|at| *at <= nines)
                .map(|at| (at, micros(histogram, 1.0 - 10_f64.powf(-at))))
                .collect();
            if !histogram.is_empty() {
                let name = format!("{}, {what} subscriber", column.name);
                lines.push(Series { name, colour, is_dashed, points });
            }
        }
    }
    let last = lines.iter().filter_map(|line| line.points.last()).map(|point| point.0).reduce(f64::max)?;
    let nines = last.ceil().max(1.0);
    let marks = (0..=NINES).map(f64::from).filter(|mark| *mark <= nines).collect();
    Some(Plot {
        title: "Latency by percentile, all rounds",
        x_text: "percentile of the deliveries (or updates)",
        y_text: "µs after the publication was due",
        x: Axis::marked(0.0..nines, marks, percentile),
        y: Axis::decades(values(&lines)),
        lines,
    })
}

/// The percentile with this many nines: 90, 99, 99.9.
fn percentile(nines: f64) -> String {
    match nines.round() as usize {
        0 => "0".to_owned(),
        1 => "90".to_owned(),
        2 => "99".to_owned(),
        more => format!("99.{}", "9".repeat(more - 2)),
    }
}

fn over_time(rounds: &Rounds) -> Option<Plot> {
    let steps_per_second = SECOND_NS as f64 / STEP_NS as f64;
    let lines = lines(rounds, |column| {
        let Some(times) = column.outcomes.first().and_then(|outcome| outcome.times.as_ref()) else {
            return Vec::new();
        };
        let steps = &times.per_step;
        // The last step is incomplete.
        let whole = if steps.len() > 1 { &steps[..steps.len() - 1] } else { &steps[..] };
        let points = whole.iter().enumerate();
        points.map(|(at, count)| (at as f64 / steps_per_second, *count as f64 * steps_per_second)).collect()
    })?;
    let ends = lines.iter().flat_map(|line| line.points.last()).map(|point| point.0);
    Some(Plot {
        title: "Deliveries over time, first round",
        x_text: "seconds",
        y_text: "deliveries/s",
        x: Axis::linear(ends),
        y: Axis::linear(values(&lines)),
        lines,
    })
}

fn costs(rounds: &Rounds) -> Option<Plot> {
    let has = |figure: &str| rounds.columns.iter().any(|column| column.median(figure).is_some());
    let (figure, title, y_text) = COSTS.into_iter().find(|(figure, ..)| has(figure))?;
    let lines = lines(rounds, |column| {
        let points = column.outcomes.iter().enumerate();
        points.filter_map(|(round, outcome)| Some((round as f64 + 1.0, outcome.get(figure)?))).collect()
    })?;
    let last = rounds.columns.iter().map(|column| column.outcomes.len()).max().unwrap_or(1);
    let marks = (1..=last).step_by(last.div_ceil(ROUND_MARKS_MAX)).map(|round| round as f64).collect();
    Some(Plot {
        title,
        x_text: "round",
        y_text,
        x: Axis::marked(0.5..last as f64 + 0.5, marks, |round| round.to_string()),
        y: Axis::linear(values(&lines)),
        lines,
    })
}

/// A line for each server that has points; `None` if there are none.
fn lines(rounds: &Rounds, points: impl Fn(&Column) -> Vec<(f64, f64)>) -> Option<Vec<Series>> {
    let line = |(colour, column): (usize, &Column)| {
        let points = points(column);
        (!points.is_empty()).then(|| Series { name: column.name.clone(), colour, is_dashed: false, points })
    };
    let lines: Vec<Series> = rounds.columns.iter().enumerate().filter_map(line).collect();
    (!lines.is_empty()).then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_has_as_many_nines_as_asked_for() {
        let texts: Vec<String> = (0..=NINES).map(|nines| percentile(nines.into())).collect();
        assert_eq!(texts, ["0", "90", "99", "99.9", "99.99", "99.999"]);
    }
}
