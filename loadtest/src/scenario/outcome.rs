//! The results of one round: figures, counts, and whether they can be trusted.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::book::Times;
use crate::engine::{Engine, SECOND_NS};
use crate::ledger::Tally;
use crate::load::Load;
use crate::meter::Usage;

/// Above this share of its processor, the generator may be the bottleneck.
const OWN_SHARE_MAX: f64 = 0.95;
/// Below this share of its processor, the server is certainly not the bottleneck.
const SERVER_SHARE_MIN: f64 = 0.90;
/// The round is disturbed if the generator waits for its processor for a larger share of the time.
const OWN_WAIT_SHARE_MAX: f64 = 0.05;

/// A shorter measurement does not allow conclusions about processor shares.
const SHARES_NEED: Duration = Duration::from_millis(50);

/// One figure of one round.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// Its name, with the unit last.
    pub(crate) name: &'static str,
    /// The unit, for people.
    pub(crate) unit: &'static str,
    /// The value.
    pub(crate) value: f64,
}

/// The results of one round.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The figures, in the order in which they are printed.
    pub(crate) figures: Vec<Figure>,
    /// The counts of deliveries.
    pub(crate) tally: Tally,
    /// The load on the server.
    pub(crate) load: Load,
    /// The reason why the figures cannot be trusted, if any.
    pub(crate) invalid: Option<String>,
    /// A disturbance that may have affected times and rates, but not counts and processor time.
    pub(crate) disturbed: Option<String>,
    /// The latencies, if the scenario has any.
    pub(crate) times: Option<Times>,
}

impl Outcome {
    /// A round with the counts of a generator and no figures yet.
    pub(super) fn of(engine: &Engine) -> Self {
        let mut outcome = Self::default();
        outcome.count(engine);
        outcome
    }

    /// Takes the counts of a generator.
    pub(super) fn count(&mut self, engine: &Engine) {
        self.tally = engine.book.tally();
        self.load = engine.load();
    }

    /// Adds a figure.
    pub(crate) fn push(&mut self, name: &'static str, unit: &'static str, value: f64) {
        self.figures.push(Figure { name, unit, value });
    }

    /// The value of a figure.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }

    /// Adds the cost of the deliveries, and judges whether the generator kept up.
    pub(super) fn push_usage(&mut self, usage: &Usage, deliveries: u64, updates: u64) {
        if let (Some(cpu_ns), true) = (usage.server_cpu_ns, deliveries > 0) {
            let each = cpu_ns as f64 / deliveries as f64;
            self.push("cpu_per_delivery_ns", "ns of server CPU per delivery", each);
        }
        self.push("deliveries_per_s", "deliveries/s", deliveries as f64 / usage.elapsed.as_secs_f64());
        if let (Some(switches), true) = (usage.server_switches, updates > 0) {
            self.push("switches_per_update", "server context switches", switches as f64 / updates as f64);
        }
        self.push_shares(usage);
        self.judge_generator(usage);
    }

    /// Adds the use of the processors, and the time spent waiting for them.
    pub(super) fn push_shares(&mut self, usage: &Usage) {
        let percent = "% of one CPU";
        if let Some(share) = usage.server_share() {
            self.push("server_cpu_percent", percent, share * 100.0);
        }
        if let Some(share) = usage.server_wait_share() {
            self.push("server_wait_percent", "% of the time ready, but not run", share * 100.0);
        }
        self.push("generator_cpu_percent", percent, usage.own_share() * 100.0);
        self.push(
            "generator_wait_percent",
            "% of the time ready, but not run",
            usage.own_wait_share() * 100.0,
        );
        self.judge_machine(usage);
    }

    /// Marks the round disturbed if the generator had to wait for its processor.
    pub(super) fn judge_machine(&mut self, usage: &Usage) {
        if usage.elapsed >= SHARES_NEED && usage.own_wait_share() > OWN_WAIT_SHARE_MAX {
            self.disturbed = Some(format!(
                "the machine was busy with something else: the generator waited for its processor {:.0} % of the time",
                usage.own_wait_share() * 100.0
            ));
        }
    }

    /// Adds the latencies.
    pub(super) fn push_times(&mut self, times: &Times) {
        let latencies = [
            ("receive_p50_us", "µs, publish → any subscriber", &times.receive, 0.5),
            ("receive_p99_us", "µs", &times.receive, 0.99),
            ("receive_p999_us", "µs", &times.receive, 0.999),
            ("receive_max_us", "µs", &times.receive, 1.0),
            ("first_p50_us", "µs, publish → first subscriber", &times.first, 0.5),
            ("first_p99_us", "µs", &times.first, 0.99),
            ("last_p50_us", "µs, publish → last subscriber", &times.last, 0.5),
            ("last_p99_us", "µs", &times.last, 0.99),
            ("answer_p50_us", "µs, publish → answer", &times.answer, 0.5),
            ("answer_p99_us", "µs", &times.answer, 0.99),
            ("lag_p99_us", "µs the generator was late", &times.lag, 0.99),
        ];
        for (name, unit, histogram, quantile) in latencies {
            if !histogram.is_empty() {
                self.push(name, unit, micros(histogram, quantile));
            }
        }
        self.times = Some(times.clone());
    }

    /// Marks the round invalid if the generator, not the server, was the bottleneck.
    fn judge_generator(&mut self, usage: &Usage) {
        let server = usage.server_share().unwrap_or(1.0);
        let is_long = usage.elapsed >= SHARES_NEED;
        if is_long && usage.own_share() > OWN_SHARE_MAX && server < SERVER_SHARE_MIN {
            self.invalid = Some(format!(
                "the generator was the bottleneck (it used {:.0} % of its processor, the server {:.0} %)",
                usage.own_share() * 100.0,
                server * 100.0
            ));
        }
    }

    /// Marks the round invalid if the generator could not keep its schedule of `rate` updates a
    /// second.
    pub(super) fn judge_schedule(&mut self, times: &Times, rate: f64) {
        let interval_ns = (SECOND_NS as f64 / rate) as u64;
        let lag_ns = times.lag.value_at_quantile(0.99);
        if lag_ns > (interval_ns / 10).max(SECOND_NS / 100) {
            let lag_us = lag_ns / 1_000;
            self.invalid = Some(format!("the generator was late: its lag has a p99 of {lag_us} µs"));
        }
    }
}

/// A quantile in microseconds.
pub(crate) fn micros(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(own: u64, server: u64, waited: u64) -> Usage {
        Usage {
            elapsed: Duration::from_millis(100),
            server_cpu_ns: Some(server * 1_000_000),
            server_switches: Some(1),
            server_wait_ns: Some(0),
            own_cpu_ns: own * 1_000_000,
            own_wait_ns: waited * 1_000_000,
        }
    }

    fn judged(own: u64, server: u64, waited: u64) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.push_usage(&usage(own, server, waited), 10, 1);
        outcome
    }

    #[test]
    fn a_generator_at_its_end_beside_an_idle_server_makes_a_round_invalid() {
        assert!(judged(99, 50, 0).invalid.is_some());
        assert!(judged(99, 95, 0).invalid.is_none(), "both were busy");
        assert!(judged(80, 50, 0).invalid.is_none(), "nobody was");
    }

    #[test]
    fn a_generator_that_waited_for_its_processor_makes_a_round_disturbed() {
        assert!(judged(50, 50, 20).disturbed.is_some());
        assert!(judged(50, 50, 1).disturbed.is_none());
    }

    #[test]
    fn a_figure_without_samples_is_left_out() {
        let mut outcome = Outcome::default();
        let mut book = crate::book::Book::new(1, 1, false);
        book.times.receive.saturating_record(5_000);
        outcome.push_times(&book.times);
        assert_eq!(outcome.get("receive_p99_us").map(f64::round), Some(5.0));
        assert_eq!(outcome.get("lag_p99_us"), None);
    }
}
