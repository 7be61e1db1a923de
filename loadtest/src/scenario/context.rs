//! What the scenarios share: the context of a round, and the ways to subscribe and to publish.

use std::io;
use std::path::PathBuf;

use crate::engine::{Engine, EngineError, SECOND_NS, Start, Subscription};
use crate::meter::Meter;
use crate::options::Common;
use crate::progress::Progress;
use crate::server::{Contestant, Server, ServerError};
use crate::settings::HubNeeds;
use crate::token::{self, SignError};
use crate::wire::coding::Coding;
use crate::wire::request::WireError;

/// The rest of a new set of subscribers before it is measured.
pub(super) const REST_NS: u64 = SECOND_NS / 5;
/// Data of an update that makes an event of 200 bytes with an id of the form `urn:uuid:…`.
pub(super) const DATA_BYTES: usize = 142;

/// The context of one round.
pub(crate) struct RoundContext<'a> {
    /// The command line.
    pub(crate) common: &'a Common,
    /// Of which kind the server is.
    pub(crate) contestant: &'a Contestant,
    /// The server.
    pub(crate) server: &'a Server,
    /// Shows the progress of the round.
    pub(crate) progress: Progress,
}

/// Why a round cannot be run to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoundError {
    #[error("too many publishers")]
    Publishers,
    #[error("{0} needs the hub's process: start it here, or give --pid")]
    NoProcess(&'static str),
    #[error("the memory of process {0} cannot be read")]
    Memory(u32),
    #[error("selectors are a Mercure hub's: templates of another server have no place here")]
    Templates,
    #[error("{0} of the connections receive: there must be as many, with a selector each")]
    Receivers(usize),
    #[error("the hub refused publications")]
    Refused,
    #[error("{}", .0.display())]
    DiskLoop(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Sign(#[from] SignError),
}

impl RoundContext<'_> {
    /// A generator for the server, with a book of `streams` streams.
    pub(super) fn engine(&self, streams: u32) -> Result<Engine, RoundError> {
        self.engine_accepting(streams, self.common.compress)
    }

    /// The same, whose subscribers ask for a coding.
    pub(super) fn engine_accepting(
        &self,
        streams: u32,
        coding: Option<Coding>,
    ) -> Result<Engine, RoundError> {
        let wire = self.server.wire().clone().accepting(coding)?;
        Ok(Engine::new(wire, streams, self.progress.clone())?)
    }

    /// A generator for another server.
    pub(super) fn engine_for(&self, server: &Server, streams: u32) -> Result<Engine, RoundError> {
        let wire = server.wire().clone().accepting(self.common.compress)?;
        Ok(Engine::new(wire, streams, self.progress.clone())?)
    }

    /// A second hub of the same kind, with its history in memory; `None` if the server was not
    /// started here.
    pub(super) fn in_memory_hub(&self) -> Result<Option<Server>, RoundError> {
        let needs = HubNeeds { in_memory: true, ..HubNeeds::default() };
        let start = || Server::start(self.common, self.contestant, &needs);
        Ok(self.server.is_started().then(start).transpose()?)
    }

    /// Starts measuring.
    pub(super) fn meter(&self) -> Meter {
        Meter::start(self.server.process())
    }

    /// A token that may publish and receive everything.
    pub(super) fn token(&self) -> Result<String, RoundError> {
        Ok(token::sign(&self.common.key, &["*"], &["*"])?)
    }

    /// Adds `count` publishers on `topic`, each with a separate stream and connection.
    pub(super) fn add_publishers(
        &self,
        engine: &mut Engine,
        count: u32,
        topic: &str,
        data_bytes: usize,
    ) -> Result<(), RoundError> {
        let token = self.token()?;
        for _ in 0..count {
            engine.add_stream(topic, false, &token, data_bytes);
            engine.add_publisher()?;
        }
        Ok(())
    }
}

/// A subscription of an anonymous client to one topic.
pub(super) fn subscription(topic: &str, streams: std::ops::Range<u32>) -> Subscription {
    Subscription {
        selector: topic.to_owned(),
        further: Vec::new(),
        token: None,
        streams,
        background: false,
        start: Start::Live,
        receive_bytes: None,
    }
}

/// The stream of a publisher, if each has a separate one.
pub(super) fn stream_of(publisher: usize) -> u32 {
    u32::try_from(publisher).unwrap_or(u32::MAX)
}

/// Publishes at `rate` a second for `seconds` from now on, and returns the number of updates.
/// Latencies count from the time an update is due: the delay of a hub or generator that is late is
/// included. Calls `meanwhile` after each update.
pub(super) fn publish_at_rate(
    engine: &mut Engine,
    rate: f64,
    seconds: f64,
    mut meanwhile: impl FnMut(&mut Engine, u64) -> Result<(), RoundError>,
) -> Result<u64, RoundError> {
    let start = engine.now_ns();
    let interval = SECOND_NS as f64 / rate;
    let count = (rate * seconds).ceil().max(1.0) as u64;
    // If all publishers await an answer, the delay is the hub's, not the generator's.
    let mut hub_late_until = start;
    engine.progress().begin("publishing", count, "updates");
    for number in 0..count {
        let due = start + (interval * number as f64) as u64;
        engine.poll_until(due)?;
        let lag = engine.now_ns().saturating_sub(due.max(hub_late_until));
        engine.book.times.lag.saturating_record(lag);
        let publisher = match engine.take_idle() {
            Some(publisher) => publisher,
            None => {
                let publisher = engine.await_idle()?;
                hub_late_until = engine.now_ns();
                publisher
            }
        };
        engine.publish(publisher, stream_of(publisher), due)?;
        meanwhile(engine, number)?;
        engine.progress().set(number + 1);
    }
    engine.poll_until(start + (interval * count as f64) as u64)?;
    Ok(count)
}
