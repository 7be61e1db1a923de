//! The bars: every figure that the hub promises, measured and judged.

use std::fmt::Write as _;

use serde::Serialize;

use crate::args::Common;
use crate::report::{number, tally_text, write, write_json};
use crate::rounds::{self, Rounds, median};
use crate::scenario::{Connect, Fanout, Firehose, Idle, Scenario, Slow};

/// What a figure must be.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Its ratio to the limit's is at most this.
    RatioAtMost(f64),
    /// Its ratio to the limit's is at least this.
    RatioAtLeast(f64),
    /// The figure itself is at most this.
    AtMost(f64),
}

/// One promise.
struct Bar {
    name: &'static str,
    figure: &'static str,
    rule: Rule,
    /// The bar of a later version, if it is harder.
    goal: Option<f64>,
    /// The promise is about throughput: a generator at its end understates it, which cannot make it pass.
    understated_is_fine: bool,
}

/// One scenario and the promises it judges.
struct Run {
    scenario: Scenario,
    rounds: usize,
    bars: Vec<Bar>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Goal,
    Pass,
    Fail,
    Invalid,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Goal => "pass, goal met",
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Invalid => "INVALID",
        }
    }
}

#[derive(Debug, Serialize)]
struct Line {
    bar: &'static str,
    figure: &'static str,
    value: Option<f64>,
    limit: Option<f64>,
    ratio: Option<f64>,
    rule: String,
    verdict: Verdict,
    note: Option<String>,
}

/// Runs the bars whose name contains `only`; true when all are met and every delivery was sound.
pub(crate) fn run(common: &Common, only: Option<&str>) -> Result<bool, String> {
    let mut lines = Vec::new();
    let mut sound = true;
    write(&format!("{:<34}{:>12}{:>12}{:>8}  {:<22}verdict\n", "figure", "value", "limit", "ratio", "bar"))?;
    for mut run in runs() {
        run.bars.retain(|bar| only.is_none_or(|only| bar.name.contains(only)));
        if run.bars.is_empty() {
            continue;
        }
        let with_limit = run.bars.iter().any(|bar| !matches!(bar.rule, Rule::AtMost(_)));
        let count = common.rounds.unwrap_or(run.rounds);
        let rounds = match rounds::run(common, &run.scenario, count, with_limit) {
            Ok(rounds) => rounds,
            // One scenario that cannot be run hides nothing of the others.
            Err(error) => Rounds { failure: Some(error), ..Rounds::default() },
        };
        for bar in &run.bars {
            let line = judge(bar, &rounds);
            write(&line.text())?;
            lines.push(line);
        }
        let tally = rounds.tally();
        if !tally.is_sound() {
            sound = false;
            write(&format!("  UNSOUND {}", tally_text(&tally)))?;
        }
    }
    write_json(common, &lines)?;
    Ok(sound
        && !lines.is_empty()
        && lines.iter().all(|line| matches!(line.verdict, Verdict::Goal | Verdict::Pass)))
}

fn bar(name: &'static str, figure: &'static str, rule: Rule, goal: Option<f64>) -> Bar {
    Bar { name, figure, rule, goal, understated_is_fine: false }
}

fn runs() -> Vec<Run> {
    use Rule::{AtMost, RatioAtLeast, RatioAtMost};
    let memory = |name, subscribers| Run {
        // One heartbeat, which comes every 15 s, belongs to what idling costs.
        scenario: Scenario::Idle(Idle { subscribers, seconds: 16.0 }),
        rounds: 1,
        bars: vec![
            bar(name, "memory_per_connection_b", AtMost(1_024.0), Some(600.0)),
            bar("idle CPU, %", "idle_cpu_percent", AtMost(1.0), None),
        ],
    };
    vec![
        Run {
            scenario: Scenario::Fanout(Fanout::closed(1_000, 500)),
            rounds: 5,
            bars: vec![bar(
                "CPU per delivery, 1,000, ns",
                "cpu_per_delivery_ns",
                RatioAtMost(1.25),
                Some(1.10),
            )],
        },
        Run {
            scenario: Scenario::Fanout(Fanout::closed(10_000, 60)),
            rounds: 5,
            bars: vec![bar(
                "CPU per delivery, 10,000, ns",
                "cpu_per_delivery_ns",
                RatioAtMost(1.25),
                Some(1.10),
            )],
        },
        Run {
            scenario: Scenario::Firehose(Firehose::of(1_000, 32, 3.0)),
            rounds: 5,
            bars: vec![Bar {
                understated_is_fine: true,
                ..bar("firehose, 1,000, deliveries/s", "deliveries_per_s", RatioAtLeast(3.0), None)
            }],
        },
        memory("memory per connection, 10,000, B", 10_000),
        memory("memory per connection, 15,000, B", 15_000),
        Run {
            scenario: Scenario::Connect(Connect { subscribers: 5_000 }),
            rounds: 5,
            bars: vec![bar("CPU per connection, us", "cpu_per_connection_us", RatioAtMost(1.5), None)],
        },
        Run {
            scenario: Scenario::Fanout(Fanout::at_rate(10_000, 5.0, 10.0)),
            rounds: 3,
            bars: vec![bar("publish to last p99, 10,000, us", "last_p99_us", RatioAtMost(1.2), None)],
        },
        Run {
            scenario: Scenario::Slow(Slow::default()),
            rounds: 3,
            bars: vec![bar("p99 beside stalled readers, ratio", "p99_ratio", AtMost(1.2), None)],
        },
    ]
}

fn judge(bar: &Bar, rounds: &Rounds) -> Line {
    let value = median(&rounds.subject, bar.figure);
    let limit = median(&rounds.limit, bar.figure);
    let ratio = value.zip(limit).map(|(value, limit)| value / limit);
    let (measured, met): (_, fn(f64, f64) -> bool) = match bar.rule {
        Rule::RatioAtMost(_) => (ratio, |measured, bound| measured <= bound),
        Rule::RatioAtLeast(_) => (ratio, |measured, bound| measured >= bound),
        Rule::AtMost(_) => (value, |measured, bound| measured <= bound),
    };
    let (Rule::RatioAtMost(bound) | Rule::RatioAtLeast(bound) | Rule::AtMost(bound)) = bar.rule;
    let note = rounds.invalid();
    let verdict = match measured {
        Some(measured) if note.is_none() || (bar.understated_is_fine && met(measured, bound)) => {
            match (met(measured, bound), bar.goal) {
                (true, Some(goal)) if met(measured, goal) => Verdict::Goal,
                (true, _) => Verdict::Pass,
                (false, _) => Verdict::Fail,
            }
        }
        _ => Verdict::Invalid,
    };
    Line { bar: bar.name, figure: bar.figure, value, limit, ratio, rule: rule_text(bar), verdict, note }
}

fn rule_text(bar: &Bar) -> String {
    let text = match bar.rule {
        Rule::RatioAtMost(bound) => format!("ratio <= {bound}"),
        Rule::RatioAtLeast(bound) => format!("ratio >= {bound}"),
        Rule::AtMost(bound) => format!("<= {bound}"),
    };
    bar.goal.map_or(text.clone(), |goal| format!("{text} (goal {goal})"))
}

impl Line {
    fn text(&self) -> String {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let mut out =
            format!("{:<34}{:>12}{:>12}{ratio:>8}  ", self.bar, shown(self.value), shown(self.limit));
        let _ = writeln!(out, "{:<22}{}", self.rule, self.verdict.word());
        if let Some(note) = &self.note {
            let _ = writeln!(out, "  note: {note}");
        }
        out
    }
}
