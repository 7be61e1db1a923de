//! Why the generator cannot go on.

use std::net::SocketAddr;

use rustix::io::Errno;

use crate::publisher::PublishError;
use crate::wire::coding::CodingError;
use crate::wire::http::HeadError;
use crate::wire::http2::SessionError;

/// A wait fails after this time without progress, in seconds.
pub(super) const PATIENCE_S: u64 = 5;

/// Why a subscription cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("a subscription was answered with status {0}")]
    Status(u16),
    #[error("a subscription was answered with something else than text/event-stream")]
    ContentType,
    #[error("the chunks are malformed")]
    Chunks,
    #[error("the coding is malformed")]
    Coding,
    #[error("an event is too long")]
    TooLong,
    #[error(transparent)]
    Head(#[from] HeadError),
    #[error(transparent)]
    Decoder(#[from] CodingError),
}

/// Why the load cannot be put on the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("epoll")]
    Poll(#[source] Errno),
    #[error("connection {0} to {1}")]
    Connect(usize, SocketAddr, #[source] Errno),
    #[error("connection {0}")]
    Established(usize, #[source] Errno),
    #[error("connection {0}: the request was not taken")]
    Untaken(usize),
    #[error("connection {0}")]
    Shared(usize, #[source] Box<EngineError>),
    #[error("subscriber {0}")]
    Subscriber(u64, #[source] StreamError),
    #[error("subscription {0} was broken off instead of answered")]
    BrokenOff(usize),
    #[error("{0} subscriptions were not answered within {PATIENCE_S} s")]
    Unanswered(usize),
    #[error("the hub left a publication unanswered for {PATIENCE_S} s")]
    NoAnswer,
    #[error("the hub closed a connection instead of answering a publication")]
    Closed,
    /// A shared connection cannot be established; its number is added by who reads it.
    #[error(transparent)]
    Socket(Errno),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Publish(#[from] PublishError),
}
