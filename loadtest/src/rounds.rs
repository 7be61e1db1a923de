//! Rounds: the same scenario repeatedly, on all servers in turn, so that all run under the same
//! conditions.

use std::io::Write as _;

use crate::about::About;
use crate::book::Times;
use crate::error_text::chain;
use crate::ledger::Tally;
use crate::options::Common;
use crate::reference::Reference;
use crate::scenario::{Outcome, RoundContext, RoundError, Scenario};
use crate::server::{self, Contestant, Server, ServerError};
use crate::{meter, net, progress::Progress};

/// The results of the rounds of one server.
#[derive(Debug)]
pub(crate) struct Column {
    /// The server's name.
    pub(crate) name: String,
    /// Its role, if it is the reference that the others are compared with.
    pub(crate) reference: Option<Reference>,
    /// Its description in a report.
    pub(crate) about: About,
    /// One outcome for each round.
    pub(crate) outcomes: Vec<Outcome>,
    /// The reason why there are no further rounds.
    pub(crate) failure: Option<String>,
}

/// The rounds of all servers; the first is the one under measurement.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// A column for each server.
    pub(crate) columns: Vec<Column>,
}

/// A figure divided by the limit's.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Ratio {
    /// The median over the rounds.
    pub(crate) median: f64,
    /// The smallest of all rounds.
    pub(crate) least: f64,
    /// The largest of all rounds.
    pub(crate) most: f64,
}

impl Column {
    /// A server that has not been measured yet.
    pub(crate) fn new(name: &str, about: About) -> Self {
        Self { name: name.to_owned(), reference: None, about, outcomes: Vec::new(), failure: None }
    }

    /// Whether it is the reference that the others are compared with.
    pub(crate) fn is_limit(&self) -> bool {
        self.reference.is_some()
    }

    /// The sum of the counts of all rounds.
    pub(crate) fn tally(&self) -> Tally {
        self.outcomes.iter().fold(Tally::default(), |sum, outcome| sum.plus(outcome.tally))
    }

    /// The median of a figure; `None` if no round has it.
    pub(crate) fn median(&self, figure: &str) -> Option<f64> {
        let mut values: Vec<f64> = self.outcomes.iter().filter_map(|outcome| outcome.get(figure)).collect();
        values.sort_by(f64::total_cmp);
        median(&values)
    }

    /// The latencies of all rounds together.
    pub(crate) fn times(&self) -> Option<Times> {
        let mut rounds = self.outcomes.iter().filter_map(|outcome| outcome.times.as_ref());
        let mut sum = rounds.next()?.clone();
        rounds.for_each(|times| sum.merge(times));
        Some(sum)
    }

    /// The reason why its figures cannot be trusted, if any.
    pub(crate) fn invalid(&self) -> Option<String> {
        let unsound_limit =
            || Some(format!("it was not sound: {:?}", self.tally())).filter(|_| !self.tally().is_sound());
        self.failure
            .clone()
            .or_else(|| self.is_limit().then(unsound_limit).flatten())
            .or_else(|| self.outcomes.iter().find_map(|outcome| outcome.invalid.clone()))
            .map(|reason| format!("{}: {reason}", self.name))
    }
}

impl Rounds {
    /// Rounds that could not run.
    pub(crate) fn failed(reason: String) -> Self {
        let mut column = Column::new("hub", About::default());
        column.failure = Some(reason);
        Self { columns: vec![column] }
    }

    /// The server under measurement.
    pub(crate) fn subject(&self) -> &Column {
        &self.columns[0]
    }

    /// The limit server, if it was measured too.
    pub(crate) fn limit(&self) -> Option<&Column> {
        self.columns[1..].iter().find(|column| column.is_limit())
    }

    /// A figure divided by the limit's, round by round. Runs next to each other see the same
    /// machine conditions, so their ratios vary less than the figures do.
    pub(crate) fn ratio(&self, column: &Column, figure: &str) -> Option<Ratio> {
        let limits = self.limit()?.outcomes.iter().map(|outcome| outcome.get(figure));
        let values = column.outcomes.iter().map(|outcome| outcome.get(figure));
        let mut ratios: Vec<f64> = values
            .zip(limits)
            .filter_map(|(value, limit)| Some(value? / limit.filter(|limit| *limit > 0.0)?))
            .collect();
        ratios.sort_by(f64::total_cmp);
        Some(Ratio { median: median(&ratios)?, least: *ratios.first()?, most: *ratios.last()? })
    }

    /// Whether every server except the limit delivered everything, once, in order, and nothing
    /// else.
    pub(crate) fn are_sound(&self) -> bool {
        self.columns.iter().all(|column| column.is_limit() || column.tally().is_sound())
    }

    /// The reason why the figures cannot be trusted, if any.
    pub(crate) fn invalid(&self) -> Option<String> {
        self.columns.iter().find_map(Column::invalid)
    }

    /// A disturbance that may have affected times and rates, if any.
    pub(crate) fn disturbed(&self) -> Option<&str> {
        let mut outcomes = self.columns.iter().flat_map(|column| &column.outcomes);
        outcomes.find_map(|outcome| outcome.disturbed.as_deref())
    }
}

/// Why no round, or not this one, can be run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoundsError {
    #[error(
        "{0} connections need more open files than the {1} that the hard limit of this process leaves: \
         raise it (ulimit -Hn, or LimitNOFILE) for generator and server"
    )]
    Descriptors(usize, u64),
    #[error(
        "{connections} connections need more open files than the {files} that the limit of process {process} \
         ({name}) allows: raise it there (ulimit -n, or LimitNOFILE)"
    )]
    ServerDescriptors { connections: usize, files: u64, process: u32, name: String },
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Round(#[from] RoundError),
}

/// Runs `scenario` `count` times on every server in turn; on the limit too if `with_limit` and the
/// scenario has one, and on the hub of `--before`.
pub(crate) fn run(
    common: &Common,
    scenario: &Scenario,
    count: usize,
    with_limit: bool,
) -> Result<Rounds, RoundsError> {
    let mut contestants = vec![Contestant::subject(common)?];
    let has_reference = common.before.is_some() || (with_limit && scenario.has_limit());
    let reference = has_reference.then(|| Reference::of(common));
    if let Some(reference) = reference {
        contestants.push(Contestant::reference(reference, common));
    } else if with_limit {
        let _ =
            writeln!(std::io::stderr(), "{}: not something that the limit server can do", scenario.name());
    }
    for text in &common.compare {
        contestants.push(Contestant::compared(text)?);
    }
    check_descriptors(common, scenario, &contestants)?;
    server::pin_to(common.client_cpu)?;
    let needs = scenario.needs();
    let column = |contestant: &Contestant| {
        contestant.about(common, &needs).map(|about| Column::new(&contestant.name, about))
    };
    let mut columns: Vec<Column> = contestants.iter().map(column).collect::<Result<_, _>>()?;
    // A limit server that is itself the subject is judged as a hub is.
    if reference.is_some() {
        columns[1].reference = reference;
    }
    for round in 1..=count.max(1) {
        let _ = writeln!(std::io::stderr(), "{} round {round}/{count}", scenario.name());
        let mut turn: Vec<_> = contestants.iter().zip(&mut columns).collect();
        // Every other round goes backwards, so that no server always runs after the same one.
        if round % 2 == 0 {
            turn.reverse();
        }
        for (contestant, column) in turn {
            if column.failure.is_some() {
                continue;
            }
            match once(common, scenario, contestant, &mut column.about) {
                Ok(outcome) => column.outcomes.push(outcome),
                Err(error) => column.failure = Some(format!("{}: {}", scenario.name(), chain(&error))),
            }
        }
    }
    Ok(Rounds { columns })
}

/// The median of sorted values.
fn median(values: &[f64]) -> Option<f64> {
    match values.len() {
        0 => None,
        length if length % 2 == 1 => Some(values[length / 2]),
        length => Some(f64::midpoint(values[length / 2 - 1], values[length / 2])),
    }
}

fn once(
    common: &Common,
    scenario: &Scenario,
    contestant: &Contestant,
    about: &mut About,
) -> Result<Outcome, RoundsError> {
    let server = Server::start(common, contestant, &scenario.needs())?;
    about.meet(server.process());
    let progress = Progress::new(&contestant.name);
    let outcome = scenario.run(&RoundContext { common, contestant, server: &server, progress })?;
    about.read(&outcome.load);
    Ok(outcome)
}

/// Checks that the generator and the servers may open enough connections.
fn check_descriptors(
    common: &Common,
    scenario: &Scenario,
    contestants: &[Contestant],
) -> Result<(), RoundsError> {
    let allowed = net::raise_descriptor_limit();
    for contestant in contestants {
        let connections = scenario.connections(contestant.streams_per_connection(common));
        if connections as u64 > allowed {
            return Err(RoundsError::Descriptors(connections, allowed));
        }
        let Some(process) = contestant.process() else { continue };
        if let Some(files) = meter::descriptors_max(process)
            && connections as u64 > files
        {
            let name = contestant.name.clone();
            return Err(RoundsError::ServerDescriptors { connections, files, process, name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A column whose rounds have these values of `x`.
    fn column(is_limit: bool, values: &[f64]) -> Column {
        let outcome = |&value: &f64| {
            let mut outcome = Outcome::default();
            outcome.push("x", "ns", value);
            outcome
        };
        let outcomes = values.iter().map(outcome).collect();
        let reference = is_limit.then_some(Reference::Limit);
        Column { reference, outcomes, ..Column::new("a", About::default()) }
    }

    #[test]
    fn the_median_ignores_one_disturbed_round() {
        assert_eq!(column(false, &[1.0, 900.0, 3.0]).median("x"), Some(3.0));
        assert_eq!(column(false, &[1.0, 2.0, 4.0, 900.0]).median("x"), Some(3.0));
        assert_eq!(column(false, &[]).median("x"), None);
        assert_eq!(column(false, &[1.0]).median("y"), None);
    }

    #[test]
    fn a_ratio_needs_a_limit() {
        // In the second round, the machine was twice as slow for both.
        let rounds =
            Rounds { columns: vec![column(false, &[3.0, 6.0, 4.0]), column(true, &[2.0, 4.0, 2.0])] };
        let ratio = Ratio { median: 1.5, least: 1.5, most: 2.0 };
        assert_eq!(rounds.ratio(rounds.subject(), "x"), Some(ratio));
        let rounds = Rounds { columns: vec![column(false, &[3.0])] };
        assert_eq!(rounds.ratio(rounds.subject(), "x"), None);
    }

    #[test]
    fn an_unsound_limit_makes_the_figures_invalid_and_an_unsound_hub_the_run_unsound() {
        let unsound = |is_limit| {
            let mut column = column(is_limit, &[1.0]);
            column.outcomes[0].tally.lost = 1;
            column
        };
        let rounds = Rounds { columns: vec![column(false, &[1.0]), unsound(true)] };
        assert!(rounds.are_sound() && rounds.invalid().is_some());
        let rounds = Rounds { columns: vec![column(false, &[1.0]), column(true, &[1.0]), unsound(false)] };
        assert!(!rounds.are_sound() && rounds.invalid().is_none());
    }
}
