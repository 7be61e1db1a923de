//! The bars: every figure that the hub promises, measured and judged.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Value, json};

use crate::error_text::chain;
use crate::options::Common;
use crate::record::Record;
use crate::report::{
    OutputError, Page, json_of, paragraph, ratio_meaning, rows_text, scenario_text, shown, tally_text, write,
    write_file, write_json,
};
use crate::rounds::{self, Ratio, Rounds};
use crate::scenario::{
    Attack, Commit, Compress, Connect, Fanout, Firehose, Hostile, Idle, Replay, Scenario, Selectors, Slow,
};
use crate::wire::coding::Coding;

const HEAD: [&str; 6] = ["figure", "value", "limit", "ratio (least-most)", "bar", "verdict"];

/// The condition that a figure must meet.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Its ratio to the limit's figure is at most this.
    RatioAtMost(f64),
    /// Its ratio to the limit's figure is at least this.
    RatioAtLeast(f64),
    /// The figure itself is at most this.
    AtMost(f64),
    /// The figure itself is at least this.
    AtLeast(f64),
}

impl Rule {
    fn is_ratio(self) -> bool {
        matches!(self, Self::RatioAtMost(_) | Self::RatioAtLeast(_))
    }
}

/// One promise.
struct Bar {
    name: &'static str,
    figure: &'static str,
    rule: Rule,
    /// The bar is about throughput: an overloaded generator only understates it, so it cannot pass
    /// wrongly.
    understated_is_fine: bool,
}

/// One scenario and the bars that it judges.
struct Run {
    scenario: Scenario,
    rounds: usize,
    /// Over TLS, compared with a hub in clear text.
    tls: bool,
    /// Over HTTP/2, compared with a hub over HTTP/1.1.
    http2: bool,
    /// Compared with sends in batches.
    ring: bool,
    /// Compared with the hub of `--before`.
    before: bool,
    bars: Vec<Bar>,
}

impl Run {
    /// Nothing yet, over HTTP/1.1 in clear text.
    fn plain() -> Self {
        Self {
            scenario: Scenario::Fanout(Fanout::closed(0, 0)),
            rounds: 0,
            tls: false,
            http2: false,
            ring: false,
            before: false,
            bars: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Pass,
    Fail,
    Invalid,
    /// It compares with an older binary, and none was given.
    #[serde(rename = "not compared")]
    NotCompared,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "FAIL",
            Self::Invalid => "INVALID",
            Self::NotCompared => "not compared",
        }
    }
}

#[derive(Debug, Serialize)]
struct Judgement {
    bar: &'static str,
    figure: &'static str,
    value: Option<f64>,
    limit: Option<f64>,
    ratio: Option<Ratio>,
    rule: String,
    verdict: Verdict,
    note: Option<String>,
}

/// Why the bars cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BarsError {
    #[error("the bars judge one hub: --compare goes with a scenario")]
    Compare,
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Runs the bars whose name contains `only`; true when all are met and all deliveries were sound.
pub(crate) fn run(common: &Common, record: &Record, only: Option<&str>) -> Result<bool, BarsError> {
    if !common.compare.is_empty() {
        return Err(BarsError::Compare);
    }
    let mut lines: Vec<Judgement> = Vec::new();
    let mut sound = true;
    let mut details = Page::new("bars");
    let mut documents: Vec<Value> = Vec::new();
    let (mut texts, mut meanings) = (String::new(), Vec::new());
    write(&rows_text(&record.rows()))?;
    let [figure, value, limit, ratio, rule, verdict] = HEAD;
    write(&format!("{figure:<34}{value:>12}{limit:>12}{ratio:>21}  {rule:<16}{verdict}\n"))?;
    for mut run in all_runs() {
        run.bars.retain(|bar| only.is_none_or(|only| bar.name.contains(only)));
        let before = common.before.clone().filter(|_| run.before);
        if run.before && before.is_none() {
            for bar in run.bars.extract_if(.., |bar| bar.rule.is_ratio()) {
                let line = Judgement::not_compared(&bar);
                write(&line.text())?;
                lines.push(line);
            }
        }
        if run.bars.is_empty() {
            continue;
        }
        let with_limit = !run.before && run.bars.iter().any(|bar| bar.rule.is_ratio());
        let count = common.rounds.unwrap_or(run.rounds);
        let (tls, http2, ring) = (common.tls || run.tls, common.http2 || run.http2, common.ring || run.ring);
        let common = &Common { tls, http2, ring, before, ..common.clone() };
        let rounds = match rounds::run(common, &run.scenario, count, with_limit) {
            Ok(rounds) => rounds,
            // A scenario that cannot run does not hide the results of the others.
            Err(error) => Rounds::failed(chain(&error)),
        };
        documents.push(json_of(&run.scenario, &rounds));
        for bar in &run.bars {
            let line = judge(bar, &rounds);
            write(&line.text())?;
            lines.push(line);
        }
        let tally = rounds.subject().tally();
        if !tally.is_sound() {
            sound = false;
            write(&format!("  UNSOUND {}", tally_text(&tally)))?;
        }
        let titles: Vec<&str> = run.bars.iter().map(|bar| bar.name).collect();
        let title = titles.join("; ");
        details.section(&title, &run.scenario, &rounds);
        let _ = write!(texts, "{title}\n{}", scenario_text(&run.scenario, &rounds));
        meanings.extend(ratio_meaning(&rounds).filter(|meaning| !meanings.contains(meaning)));
    }
    texts.extend(meanings.into_iter().map(paragraph));
    let duration = record.duration();
    write(&format!("{texts}{}", rows_text(std::slice::from_ref(&duration))))?;
    if let Some(path) = &common.json {
        write_json(path, &json!({ "record": record.json(), "bars": lines, "runs": documents }))?;
    }
    if let Some(path) = &common.html {
        let mut page = Page::new("bars");
        page.rows(&[record.rows(), vec![duration]].concat());
        page.table(&HEAD, &lines.iter().map(|line| line.cells().to_vec()).collect::<Vec<_>>());
        page.append(&details);
        write_file(path, &page.finish())?;
    }
    let mut judged = lines.iter().filter(|line| line.verdict != Verdict::NotCompared).peekable();
    Ok(sound && judged.peek().is_some() && judged.all(|line| line.verdict == Verdict::Pass))
}

fn all_runs() -> impl Iterator<Item = Run> {
    runs()
        .into_iter()
        .chain(ring_runs())
        .chain(history_runs())
        .chain(compression_runs())
        .chain(tls_runs())
        .chain(http2_runs())
        .chain(hostile_runs())
}

fn bar(name: &'static str, figure: &'static str, rule: Rule) -> Bar {
    Bar { name, figure, rule, understated_is_fine: false }
}

fn runs() -> Vec<Run> {
    use Rule::{AtMost, RatioAtLeast, RatioAtMost};
    let memory = |name, subscribers| Run {
        // Idling includes one heartbeat, which comes every 15 s.
        scenario: Scenario::Idle(Idle { subscribers, seconds: 16.0 }),
        rounds: 1,
        bars: vec![
            bar(name, "memory_per_connection_b", AtMost(600.0)),
            bar("idle CPU, %", "idle_cpu_percent", AtMost(1.0)),
        ],
        ..Run::plain()
    };
    vec![
        Run {
            scenario: Scenario::Fanout(Fanout::closed(1_000, 500)),
            rounds: 5,
            bars: vec![bar("CPU per delivery, 1,000, ns", "cpu_per_delivery_ns", RatioAtMost(0.90))],
            ..Run::plain()
        },
        Run {
            scenario: Scenario::Fanout(Fanout::closed(10_000, 60)),
            rounds: 5,
            bars: vec![bar("CPU per delivery, 10,000, ns", "cpu_per_delivery_ns", RatioAtMost(0.86))],
            ..Run::plain()
        },
        Run {
            scenario: Scenario::Firehose(Firehose::of(1_000, 32, 3.0)),
            rounds: 5,
            bars: vec![Bar {
                understated_is_fine: true,
                ..bar("firehose, 1,000, deliveries/s", "deliveries_per_s", RatioAtLeast(3.0))
            }],
            ..Run::plain()
        },
        memory("memory per connection, 10,000, B", 10_000),
        memory("memory per connection, 15,000, B", 15_000),
        Run {
            scenario: Scenario::Connect(Connect { subscribers: 5_000 }),
            rounds: 5,
            bars: vec![bar("CPU per connection, us", "cpu_per_connection_us", RatioAtMost(1.0))],
            ..Run::plain()
        },
        selectors(1, ["publish beside 1M to beside 10", "the same, topics differ"]),
        // A hub that never sleeps spends less on a publication, so the index has the most weight.
        selectors(10, ["publish beside 1M, hub busy", "the same, topics differ, hub busy"]),
        Run {
            scenario: Scenario::Fanout(Fanout::at_rate(10_000, 5.0, 10.0)),
            rounds: 3,
            bars: vec![bar("publish to last p99, 10,000, us", "last_p99_us", RatioAtMost(1.2))],
            ..Run::plain()
        },
        Run {
            scenario: Scenario::Slow(Slow::default()),
            rounds: 3,
            bars: vec![bar("p99 beside stalled readers, ratio", "p99_ratio", AtMost(1.2))],
            ..Run::plain()
        },
    ]
}

/// The distance to a server that makes its sends in batches and does nothing else.
fn ring_runs() -> Vec<Run> {
    let run = |name, subscribers, updates| Run {
        scenario: Scenario::Fanout(Fanout::closed(subscribers, updates)),
        rounds: 5,
        ring: true,
        bars: vec![bar(name, "cpu_per_delivery_ns", Rule::RatioAtMost(1.10))],
        ..Run::plain()
    };
    vec![
        run("CPU per delivery to a ring, 1,000", 1_000, 500),
        run("CPU per delivery to a ring, 10,000", 10_000, 60),
    ]
}

/// The limits on what compression costs, and on the bytes that it must save.
fn compression_runs() -> Vec<Run> {
    let run = |coding, [cpu, bytes]: [&'static str; 2]| Run {
        scenario: Scenario::Compress(Compress::to(coding)),
        rounds: 3,
        bars: vec![
            bar(cpu, "compressed_cpu_ratio", Rule::AtMost(1.2)),
            bar(bytes, "compressed_bytes_ratio", Rule::AtMost(0.5)),
        ],
        ..Run::plain()
    };
    vec![
        run(Coding::Zstd, ["zstd to plain, CPU per delivery", "zstd to plain, bytes per delivery"]),
        run(Coding::Gzip, ["gzip to plain, CPU per delivery", "gzip to plain, bytes per delivery"]),
    ]
}

/// Publications for one subscriber, while a million selectors are held.
fn selectors(publishers: u32, [hot, varied]: [&'static str; 2]) -> Run {
    let at_most = |name, figure| bar(name, figure, Rule::AtMost(1.2));
    Run {
        scenario: Scenario::Selectors(Selectors::million(publishers)),
        rounds: 3,
        bars: vec![at_most(hot, "hot_ratio"), at_most(varied, "varied_ratio")],
        ..Run::plain()
    }
}

/// The bars of the history.
fn history_runs() -> Vec<Run> {
    use Rule::{AtLeast, AtMost, RatioAtLeast, RatioAtMost};
    vec![
        Run {
            scenario: Scenario::Commit(Commit::of_bars()),
            rounds: 5,
            before: true,
            bars: vec![
                bar("durable p50 to disk and memory", "one_p50_share", AtMost(1.0)),
                bar("durable publications/s to the disk", "loop_rate_ratio", AtLeast(0.6)),
                bar("64 durable publishers to before", "all_per_s", RatioAtLeast(1.3)),
                bar("CPU per durable one to before, us", "one_cpu_us", RatioAtMost(0.5)),
            ],
            ..Run::plain()
        },
        Run {
            scenario: Scenario::Replay(Replay::of(1_000, 1_000)),
            rounds: 3,
            bars: vec![bar("replay, 1,000 x 1,000, to live", "replay_to_live", AtLeast(0.5))],
            ..Run::plain()
        },
        Run {
            scenario: Scenario::Replay(Replay::of(1, 1_000_000)),
            rounds: 1,
            bars: vec![bar("replay of 1,000,000, MiB", "memory_growth_mib", AtMost(32.0))],
            ..Run::plain()
        },
    ]
}

/// The limits on the cost of TLS.
fn tls_runs() -> Vec<Run> {
    use Rule::{AtMost, RatioAtMost};
    vec![
        Run {
            scenario: Scenario::Fanout(Fanout::closed(1_000, 500)),
            rounds: 5,
            tls: true,
            bars: vec![bar("CPU per delivery, TLS to plain", "cpu_per_delivery_ns", RatioAtMost(1.6))],
            ..Run::plain()
        },
        Run {
            scenario: Scenario::Idle(Idle { subscribers: 2_000, seconds: 16.0 }),
            rounds: 1,
            tls: true,
            bars: vec![bar("memory per TLS connection, B", "memory_per_connection_b", AtMost(12_288.0))],
            ..Run::plain()
        },
    ]
}

/// The limits on the cost of HTTP/2, with the streams per connection of the command line.
fn http2_runs() -> Vec<Run> {
    use Rule::{AtMost, RatioAtMost};
    vec![
        Run {
            scenario: Scenario::Fanout(Fanout::closed(1_000, 500)),
            rounds: 5,
            http2: true,
            bars: vec![bar("CPU per delivery, HTTP/2 to 1.1", "cpu_per_delivery_ns", RatioAtMost(1.5))],
            ..Run::plain()
        },
        Run {
            scenario: Scenario::Idle(Idle { subscribers: 10_000, seconds: 16.0 }),
            rounds: 1,
            http2: true,
            bars: vec![bar("memory per HTTP/2 stream, B", "memory_per_connection_b", AtMost(4_096.0))],
            ..Run::plain()
        },
    ]
}

/// The limits on what strangers can do to others.
fn hostile_runs() -> Vec<Run> {
    use Rule::AtMost;
    let run = |attack, strangers, bars| Run {
        scenario: Scenario::Hostile(Hostile::of(attack, strangers)),
        rounds: 3,
        bars,
        ..Run::plain()
    };
    let of_selectors = |[p99, cpu, round]: [&'static str; 3]| {
        vec![
            bar(p99, "p99_bar_share", AtMost(1.0)),
            bar(cpu, "strangers_cpu_per_update_ms", AtMost(2.0)),
            bar(round, "longest_round_ms", AtMost(20.0)),
        ]
    };
    let alone =
        ["p99 beside costly templates", "CPU per update beside them, ms", "longest round beside them, ms"];
    let shared =
        ["p99 beside 512 such streams", "CPU per update beside these, ms", "longest round beside these, ms"];
    let patterns = [
        "p99 beside costly URL Patterns",
        "CPU per update beside patterns, ms",
        "longest round beside patterns, ms",
    ];
    let shared_patterns = [
        "p99 beside 512 streams of patterns",
        "CPU per update beside 512, ms",
        "longest round beside 512, ms",
    ];
    vec![
        run(Attack::Templates, 64, of_selectors(alone)),
        run(Attack::TemplatesHttp2, 512, of_selectors(shared)),
        run(Attack::Patterns, 64, of_selectors(patterns)),
        run(Attack::PatternsHttp2, 512, of_selectors(shared_patterns)),
        run(
            Attack::Presence,
            8,
            vec![
                bar("p99 beside churn", "p99_bar_share", AtMost(1.0)),
                bar("disk beside churn, B/s", "strangers_disk_bytes_per_s", AtMost(1e6)),
            ],
        ),
    ]
}

fn judge(bar: &Bar, rounds: &Rounds) -> Judgement {
    let value = rounds.subject().median(bar.figure);
    let limit = rounds.limit().and_then(|limit| limit.median(bar.figure));
    let ratio = rounds.ratio(rounds.subject(), bar.figure);
    let (measured, met): (_, fn(f64, f64) -> bool) = match bar.rule {
        Rule::RatioAtMost(_) => (ratio.map(|ratio| ratio.median), |measured, bound| measured <= bound),
        Rule::RatioAtLeast(_) => (ratio.map(|ratio| ratio.median), |measured, bound| measured >= bound),
        Rule::AtMost(_) => (value, |measured, bound| measured <= bound),
        Rule::AtLeast(_) => (value, |measured, bound| measured >= bound),
    };
    let (Rule::RatioAtMost(bound) | Rule::RatioAtLeast(bound) | Rule::AtMost(bound) | Rule::AtLeast(bound)) =
        bar.rule;
    let invalid = rounds.invalid();
    let verdict = match measured {
        Some(measured) if invalid.is_none() || (bar.understated_is_fine && met(measured, bound)) => {
            if met(measured, bound) { Verdict::Pass } else { Verdict::Fail }
        }
        _ => Verdict::Invalid,
    };
    let note = invalid.or_else(|| rounds.disturbed().map(str::to_owned));
    Judgement { bar: bar.name, figure: bar.figure, value, limit, ratio, rule: rule_text(bar), verdict, note }
}

fn rule_text(bar: &Bar) -> String {
    match bar.rule {
        Rule::RatioAtMost(bound) => format!("ratio <= {bound}"),
        Rule::RatioAtLeast(bound) => format!("ratio >= {bound}"),
        Rule::AtMost(bound) => format!("<= {bound}"),
        Rule::AtLeast(bound) => format!(">= {bound}"),
    }
}

impl Judgement {
    /// A bar that compares with an older binary, without one.
    fn not_compared(bar: &Bar) -> Self {
        Self {
            bar: bar.name,
            figure: bar.figure,
            value: None,
            limit: None,
            ratio: None,
            rule: rule_text(bar),
            verdict: Verdict::NotCompared,
            note: Some("give --before PATH, the binary to compare with".to_owned()),
        }
    }

    /// Figure, value, limit, ratio, bar, verdict.
    fn cells(&self) -> [String; 6] {
        let ratio = self.ratio.map_or_else(
            || "-".to_owned(),
            |ratio| format!("{:.2} ({:.2}-{:.2})", ratio.median, ratio.least, ratio.most),
        );
        let verdict = self.verdict.word().to_owned();
        [self.bar.to_owned(), shown(self.value), shown(self.limit), ratio, self.rule.clone(), verdict]
    }

    fn text(&self) -> String {
        let cells = self.cells();
        let [bar, value, limit, ratio, rule, verdict] = cells.each_ref();
        let mut out = format!("{bar:<34}{value:>12}{limit:>12}{ratio:>21}  {rule:<16}{verdict}\n");
        if let Some(note) = &self.note {
            let _ = writeln!(out, "  note: {note}");
        }
        out
    }
}
