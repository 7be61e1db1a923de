//! The figures as JSON: every round, the medians, the percentiles, the counts.

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::figures::lines;
use super::rows::{load_json, ratio_meaning};
use crate::rounds::{Column, Rounds};
use crate::scenario::{Scenario, micros};

/// The percentiles in the output.
const QUANTILES: [f64; 7] = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0];

/// One scenario's rounds.
pub(crate) fn of(scenario: &Scenario, rounds: &Rounds) -> Value {
    let servers: Vec<Value> =
        rounds.columns.iter().enumerate().map(|(at, column)| server(rounds, at, column)).collect();
    json!({
        "scenario": scenario.name(),
        "arguments": scenario.arguments(),
        "ratio_meaning": ratio_meaning(rounds),
        "sound": rounds.are_sound(),
        "invalid": rounds.invalid(),
        "disturbed": rounds.disturbed(),
        "servers": servers,
    })
}

fn server(rounds: &Rounds, at: usize, column: &Column) -> Value {
    let mut figures = Map::new();
    for line in lines(rounds) {
        let (median, ratio) = line.values[at];
        let each: Vec<Option<f64>> = column.outcomes.iter().map(|outcome| outcome.get(line.name)).collect();
        let figure = json!({ "unit": line.unit, "median": median, "ratio_to_limit": ratio, "rounds": each });
        figures.insert(line.name.to_owned(), figure);
    }
    let percentiles = column.times().map(|times| {
        json!({
            "receive_us": percentiles(&times.receive),
            "first_us": percentiles(&times.first),
            "last_us": percentiles(&times.last),
            "answer_us": percentiles(&times.answer),
        })
    });
    json!({
        "name": column.name,
        "is_limit": column.is_limit(),
        "about": column.about,
        "load": load_json(column),
        "rounds": column.outcomes.len(),
        "failure": column.failure,
        "figures": figures,
        "percentiles_of_all_rounds": percentiles,
        "tally": column.tally(),
    })
}

fn percentiles(histogram: &Histogram<u64>) -> Value {
    let pairs = QUANTILES
        .iter()
        .filter(|_| !histogram.is_empty())
        .map(|quantile| (format!("p{}", quantile * 100.0), json!(micros(histogram, *quantile))));
    Value::Object(pairs.collect())
}
