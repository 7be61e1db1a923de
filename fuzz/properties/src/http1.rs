//! The HTTP/1.1 machine: its events depend on the bytes of a connection, not on how the network
//! splits them, and a request on nothing but its own bytes.

use http::Method;
use petasos::http::h1::machine::{Connection, Http1Event, Phase};
use petasos::http::request::Version;
use petasos::http::request_error::RequestError;
use petasos::limits::READ_BUFFER_BYTES_MAX;

use crate::pieces;

/// Requests of a pipeline that are read again without those before them.
const ALONE_MAX: usize = 8;

/// The longest body that is accepted.
pub const BODY_BYTES_MAX: u64 = 40;

/// The events of the machine, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A request.
    Head {
        /// Its method.
        method: Method,
        /// Its version.
        version: Version,
        /// Its path.
        path: String,
        /// Its query.
        query: Option<String>,
        /// Its host.
        host: Option<String>,
    },
    /// A complete body.
    Body(Vec<u8>),
    /// Comes before every refusal.
    RecoveredHead {
        /// Whether the method is `HEAD`.
        is_head: bool,
        /// `Origin`.
        origin: Option<Vec<u8>>,
    },
    /// A request that cannot be read.
    Refused(RequestError),
    /// A response was sent.
    Answered {
        /// Whether the connection goes on.
        keep_alive: bool,
    },
}

/// What a connection did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The events.
    pub told: Vec<Told>,
    /// For each request after which the connection went on: the events up to its end, and the
    /// bytes.
    pub ends: Vec<(usize, usize)>,
}

/// Feeds the pieces, accepts every body, answers every request, and stops when the machine closes.
///
/// # Panics
/// The machine takes nothing although it is not closed, or holds more than its bound.
pub fn drive<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Outcome {
    let mut connection = Connection::new();
    let mut outcome = Outcome::default();
    let mut received_bytes = 0;
    for mut piece in pieces {
        while !piece.is_empty() && connection.phase() != Phase::Closed {
            let taken = connection.receive(piece);
            assert!(taken > 0, "stuck in {:?} after {outcome:?}", connection.phase());
            assert!(connection.received().len() <= READ_BUFFER_BYTES_MAX, "the buffer has a bound");
            piece = &piece[taken..];
            received_bytes += taken;
            drain(&mut connection, received_bytes, &mut outcome);
        }
    }
    outcome
}

fn drain(connection: &mut Connection, received_bytes: usize, outcome: &mut Outcome) {
    let Outcome { told, ends } = outcome;
    loop {
        match connection.poll() {
            Http1Event::NeedMore => return,
            Http1Event::Head(request) => {
                told.push(Told::Head {
                    method: request.method,
                    version: request.version,
                    path: request.path.to_owned(),
                    query: request.query.map(str::to_owned),
                    host: request.host.map(str::to_owned),
                });
                // Whether 100 (Continue) is owed does depend on how much of the body has arrived.
                let _owes_continue = connection.accept_body(BODY_BYTES_MAX);
                continue;
            }
            Http1Event::Body(content) => told.push(Told::Body(content)),
            Http1Event::Refused(error) => {
                let recovered_head = connection.recovered_head();
                let origin = recovered_head.origin.map(<[u8]>::to_vec);
                told.push(Told::RecoveredHead { is_head: recovered_head.is_head, origin });
                told.push(Told::Refused(error));
            }
        }
        let keep_alive = connection.begin_response();
        told.push(Told::Answered { keep_alive });
        connection.response_sent();
        if keep_alive {
            ends.push((told.len(), received_bytes - connection.received().len()));
        }
    }
}

/// The property, for any bytes.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let whole = drive(std::iter::once(bytes));
    for length in [1, 2, 7, 61] {
        assert_eq!(drive(bytes.chunks(length)), whole, "pieces of {length} bytes");
    }
    assert_eq!(drive(pieces(bytes)), whole, "pieces of many lengths");
    for &(events, read_bytes) in whole.ends.iter().take(ALONE_MAX) {
        let rest = drive(std::iter::once(&bytes[read_bytes..]));
        assert_eq!(rest.told, whole.told[events..], "the request that begins at {read_bytes}, alone");
    }
    for told in &whole.told {
        if let Told::Body(content) = told {
            assert!(content.len() as u64 <= BODY_BYTES_MAX, "a body has a bound");
        }
    }
}
