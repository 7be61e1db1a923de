//! HTTP/2 connections, each shared by the streams of many requests. A request has a key, by which
//! its events are known.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use super::error::EngineError;
use crate::connection::Connection;
use crate::net::{Interest, Poll};
use crate::wire::http2::{Event, Session, SessionError};

/// Marks the key of a shared connection in the epoll set.
pub(super) const SHARED: u64 = 1 << 33;
/// While more bytes wait for a socket, nothing is read from it: a server that does not read its
/// connection must not fill the memory with acknowledgements.
const WAITING_BYTES_MAX: usize = 1 << 20;

/// What a connection is opened with.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) address: SocketAddr,
    /// The TLS configuration; `None` for clear text.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// The window of each stream.
    pub(super) stream_window_bytes: u32,
}

/// A stream of a shared connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SharedStream {
    connection: usize,
    /// Its number in the session.
    stream: usize,
}

/// A connection that streams share.
struct Shared {
    route: Route,
    /// `None` after it has ended.
    socket: Option<Connection>,
    session: Session,
    is_established: bool,
    /// The events that its socket is watched for.
    interest: Interest,
    /// The connection that replaced this one when it took no more streams.
    successor: Option<usize>,
}

/// All connections that streams share, by number.
#[derive(Default)]
pub(super) struct SharedConnections(Vec<Shared>);

impl SharedConnections {
    /// Starts a connection, and returns its number.
    pub(super) fn start(&mut self, poll: &Poll, route: Route) -> Result<usize, EngineError> {
        let number = self.0.len();
        let socket = Connection::start(route.address, number, None, route.tls.as_ref())
            .map_err(|error| EngineError::Connect(number, route.address, error))?;
        let interest = Interest::Write;
        poll.add(&socket, SHARED | number as u64, interest).map_err(EngineError::Poll)?;
        let session = Session::new(route.tls.is_some(), route.stream_window_bytes)?;
        let socket = Some(socket);
        self.0.push(Shared { route, socket, session, is_established: false, interest, successor: None });
        Ok(number)
    }

    /// Sends a request on the connection `home`, or on its replacement.
    pub(super) fn request(
        &mut self,
        poll: &Poll,
        home: usize,
        key: u64,
        request: &[u8],
    ) -> Result<SharedStream, EngineError> {
        let connection = self.usable(poll, home)?;
        let stream = self.0[connection].session.request(key, request)?;
        self.flush(poll, connection)?;
        Ok(SharedStream { connection, stream })
    }

    /// The connection `home`, or its replacement.
    fn usable(&mut self, poll: &Poll, home: usize) -> Result<usize, EngineError> {
        let mut number = home;
        while let Some(successor) = self.0[number].successor {
            number = successor;
        }
        let shared = &mut self.0[number];
        if shared.socket.is_some() && !shared.session.is_leaving() {
            return Ok(number);
        }
        let route = shared.route.clone();
        let successor = self.start(poll, route)?;
        self.0[number].successor = Some(successor);
        Ok(successor)
    }

    /// Resets a stream, unless it has ended.
    pub(super) fn cancel(&mut self, poll: &Poll, of: SharedStream) -> Result<(), EngineError> {
        self.0[of.connection].session.cancel(of.stream);
        self.flush(poll, of.connection)
    }

    /// Stops reading a stream.
    pub(super) fn stall(&mut self, of: SharedStream) {
        self.0[of.connection].session.stall(of.stream, true);
    }

    /// Reads a stream again. Returns the number of its connection, which may have events.
    pub(super) fn resume(&mut self, of: SharedStream) -> usize {
        self.0[of.connection].session.stall(of.stream, false);
        of.connection
    }

    /// Reads available bytes of a connection that is ready, without parsing them. `None`: nothing
    /// now; 0: the server has closed it.
    pub(super) fn receive(&mut self, number: usize, buffer: &mut [u8]) -> Result<Option<usize>, EngineError> {
        let shared = &mut self.0[number];
        let Some(socket) = &mut shared.socket else { return Ok(None) };
        if !shared.is_established {
            socket.established().map_err(EngineError::Socket)?;
            shared.is_established = true;
            return Ok(None);
        }
        Ok(socket.receive(buffer).unwrap_or(Some(0)))
    }

    /// Parses the first `bytes` bytes of `buffer`; [`Self::next`] then returns what they hold.
    pub(super) fn parse(
        &mut self,
        number: usize,
        buffer: &mut Vec<u8>,
        bytes: usize,
    ) -> Result<(), SessionError> {
        let session = &mut self.0[number].session;
        if bytes == 0 { session.end() } else { session.receive(buffer, bytes) }
    }

    /// The next event of a connection; `None` when its input is used up.
    pub(super) fn next(&mut self, number: usize) -> Result<Option<Event>, SessionError> {
        self.0[number].session.next()
    }

    /// Sends waiting bytes, as far as the socket takes them.
    pub(super) fn flush(&mut self, poll: &Poll, number: usize) -> Result<(), EngineError> {
        let Shared { socket, session, is_established, interest, .. } = &mut self.0[number];
        session.write_pending()?;
        let Some(socket) = socket.as_mut().filter(|_| *is_established) else { return Ok(()) };
        let mut wanted = Interest::Read;
        while !session.unsent().is_empty() || socket.is_holding() {
            // A broken connection is noticed when it is read.
            match socket.send(session.unsent()).unwrap_or(0) {
                0 if !session.unsent().is_empty() || socket.is_holding() => {
                    let is_full = session.unsent().len() > WAITING_BYTES_MAX;
                    wanted = if is_full { Interest::Write } else { Interest::ReadWrite };
                    break;
                }
                sent => session.taken(sent),
            }
        }
        if *interest != wanted {
            *interest = wanted;
            poll.change(&*socket, SHARED | number as u64, wanted).map_err(EngineError::Poll)?;
        }
        Ok(())
    }

    /// Closes a connection that has ended. Returns the keys of its requests without a complete
    /// response.
    pub(super) fn close_ended(&mut self, number: usize) -> Vec<u64> {
        let shared = &mut self.0[number];
        if !shared.session.is_over() || shared.socket.take().is_none() {
            return Vec::new();
        }
        shared.session.unanswered()
    }
}
