//! Rounds: the same scenario again and again, the hub and the limit in turn, so that both see the same machine.

use std::io::Write as _;

use crate::args::Common;
use crate::ledger::Tally;
use crate::net;
use crate::scenario::{Bench, Outcome, Scenario};
use crate::server::{self, Server, Subject};

/// The outcomes of all rounds.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    /// Of the server under measurement.
    pub(crate) subject: Vec<Outcome>,
    /// Of the limit server; empty when it was not asked for.
    pub(crate) limit: Vec<Outcome>,
    /// Why no round could be made.
    pub(crate) failure: Option<String>,
}

impl Rounds {
    /// The sum of the counts of the server under measurement.
    pub(crate) fn tally(&self) -> Tally {
        self.subject.iter().fold(Tally::default(), |sum, outcome| sum.plus(outcome.tally))
    }

    /// Why the figures cannot be trusted, if so.
    pub(crate) fn invalid(&self) -> Option<String> {
        if self.failure.is_some() {
            return self.failure.clone();
        }
        let limit_fault = self.limit.iter().find(|outcome| !outcome.tally.is_sound());
        if let Some(outcome) = limit_fault {
            return Some(format!("the limit server was not sound: {:?}", outcome.tally));
        }
        self.subject.iter().chain(&self.limit).find_map(|outcome| outcome.invalid.clone())
    }
}

/// Runs `scenario` `count` times, each time against a server of its own, in turn with the limit when asked for.
pub(crate) fn run(
    common: &Common,
    scenario: &Scenario,
    count: usize,
    with_limit: bool,
) -> Result<Rounds, String> {
    let connections = scenario.connections();
    let allowed = net::raise_descriptor_limit();
    if connections as u64 > allowed {
        return Err(format!(
            "{connections} connections need more open files than the {allowed} that the hard limit of this process \
             leaves: raise it (ulimit -Hn, or LimitNOFILE) for generator and server"
        ));
    }
    server::pin_to(common.client_cpu)?;
    let mut rounds = Rounds::default();
    for round in 1..=count {
        let _ = writeln!(std::io::stderr(), "{} round {round}/{count}", scenario.name());
        rounds.subject.push(once(common, scenario, common.subject)?);
        if with_limit {
            rounds.limit.push(once(common, scenario, Subject::Limit)?);
        }
    }
    Ok(rounds)
}

fn once(common: &Common, scenario: &Scenario, subject: Subject) -> Result<Outcome, String> {
    let server = Server::start(common, subject)?;
    let outcome = scenario.run(&Bench { common, server: &server });
    outcome.map_err(|error| format!("{} against the {}: {error}", scenario.name(), subject.name()))
}

/// The median of a figure over rounds; `None` when no round has it.
pub(crate) fn median(outcomes: &[Outcome], figure: &str) -> Option<f64> {
    let mut values: Vec<f64> = outcomes.iter().filter_map(|outcome| outcome.get(figure)).collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[length / 2]),
        length => Some(f64::midpoint(values[length / 2 - 1], values[length / 2])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(values: &[f64]) -> Vec<Outcome> {
        let outcome = |&value: &f64| {
            let mut outcome = Outcome::default();
            outcome.push("x", "ns", value);
            outcome
        };
        values.iter().map(outcome).collect()
    }

    #[test]
    fn the_median_ignores_one_disturbed_round() {
        assert_eq!(median(&outcomes(&[1.0, 900.0, 3.0]), "x"), Some(3.0));
        assert_eq!(median(&outcomes(&[1.0, 2.0, 4.0, 900.0]), "x"), Some(3.0));
        assert_eq!(median(&outcomes(&[]), "x"), None);
        assert_eq!(median(&outcomes(&[1.0]), "y"), None);
    }
}
