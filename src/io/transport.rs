//! The byte transport of a connection: its socket, with or without TLS.
//!
//! Invariants:
//! - a plain socket costs the send path one branch, and nothing is buffered here;
//! - with TLS, at most one handshake flight or one record waits for the socket, and while it waits
//!   nothing more is encrypted: a slow client looks the same as without TLS;
//! - nothing is written after [`Transport::end`].

use std::ops::Range;

pub(crate) use super::outcome::{Flushed, Gone, ReadOutcome};
use super::socket::Socket;
use super::tls::session::Session;
use crate::limits::TLS_RECORD_BYTES_MAX;
use crate::sse::wire::Sent;

/// A socket, or a socket and the TLS session on it.
pub(crate) struct Transport {
    socket: Socket,
    session: Option<Box<Session>>,
}

/// Bytes for a connection, to be sent together with those of others.
pub(crate) enum Prepared {
    /// In this part of the buffer.
    Sealed(Range<usize>),
    /// Nothing is left to do: there were more than one record takes, or the peer is gone.
    Sent(Sent),
}

impl Transport {
    /// A fresh connection.
    pub(crate) fn new(socket: impl Into<Socket>, session: Option<Box<Session>>) -> Self {
        Self { socket: socket.into(), session }
    }

    /// Hands bytes to the socket without waiting. With [`Sent::Held`] some wait here: call
    /// [`Self::flush`] when the socket takes bytes again.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Sent {
        match &mut self.session {
            None => self.socket.send(bytes),
            Some(session) => session.send(&self.socket, bytes),
        }
    }

    /// Whether a send to the socket may be made together with others: see [`Self::prepare`].
    pub(crate) fn may_prepare(&self) -> bool {
        self.session.as_ref().is_none_or(|session| session.may_seal())
    }

    /// Prepares bytes to be sent together with those of other connections: appends them to
    /// `sealed`, encrypted if the connection uses TLS. Requires [`Self::may_prepare`]. Pass the
    /// result of the send to [`Self::sent_sealed`] before anything else.
    pub(crate) fn prepare(&mut self, bytes: &[u8], sealed: &mut Vec<u8>) -> Prepared {
        let start = sealed.len();
        match &mut self.session {
            None => sealed.extend_from_slice(bytes),
            // One record at a time, and the next only when it was taken.
            Some(session) if bytes.len() > TLS_RECORD_BYTES_MAX => {
                return Prepared::Sent(session.send(&self.socket, bytes));
            }
            Some(session) => {
                if !session.seal_record(bytes, sealed) {
                    return Prepared::Sent(Sent::Gone);
                }
            }
        }
        Prepared::Sealed(start..sealed.len())
    }

    /// The result of the send of `sealed`, which is the encrypted form of `offered` bytes.
    pub(crate) fn sent_sealed(&mut self, offered: usize, sealed: &[u8], sent: Sent) -> Sent {
        let Some(session) = &mut self.session else { return sent };
        match session.sent_sealed(sealed, sent) {
            Ok(true) => Sent::Bytes(offered),
            Ok(false) => Sent::Held(offered),
            Err(Gone) => Sent::Gone,
        }
    }

    /// The socket, for the driver.
    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Writes the bytes that wait here.
    ///
    /// # Errors
    /// The peer is gone.
    pub(crate) fn flush(&mut self) -> Result<Flushed, Gone> {
        match &mut self.session {
            None => Ok(Flushed::All),
            Some(session) => session.flush(&self.socket),
        }
    }

    /// Whether bytes wait here.
    pub(crate) fn is_held(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_held())
    }

    /// Bytes of memory that wait here, in either direction.
    pub(crate) fn bytes_held(&self) -> usize {
        self.session.as_ref().map_or(0, |session| session.bytes_held())
    }

    /// Reads available bytes, at most `into.len()`.
    pub(crate) fn receive(&mut self, into: &mut [u8]) -> ReadOutcome {
        match &mut self.session {
            // A short read has emptied the socket (epoll(7), on edge-triggered events).
            None => match self.socket.receive(into) {
                ReadOutcome::Bytes(count) if (1..into.len()).contains(&count) => ReadOutcome::Last(count),
                read => read,
            },
            Some(session) => session.receive(&self.socket, into),
        }
    }

    /// Reads bytes to be thrown away, without decrypting them.
    pub(crate) fn discard(&mut self, into: &mut [u8]) -> ReadOutcome {
        self.socket.receive(into)
    }

    /// Reads what a client sends on a stream, where only its end is expected. False after that end,
    /// or if it sends too much. Without TLS, socket events report the end, and the kernel holds the
    /// bytes.
    pub(crate) fn read_stream_input(&mut self, buffer: &mut [u8]) -> bool {
        match &mut self.session {
            None => true,
            Some(session) => session.read_stream_input(&self.socket, buffer),
        }
    }

    /// Shuts down the write side, after the bytes that wait here.
    pub(crate) fn end(&mut self) {
        match &mut self.session {
            None => self.socket.end(),
            Some(session) => session.end(&self.socket),
        }
    }

    /// Call before closing with nothing left to send: with TLS, sends close_notify.
    pub(crate) fn part(&mut self) {
        if let Some(session) = &mut self.session {
            session.part(&self.socket);
        }
    }

    /// Whether a TLS handshake is under way.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_handshaking())
    }

    /// Whether HTTP/2 was negotiated; `None` without TLS, where nothing is negotiated.
    pub(crate) fn is_http2(&self) -> Option<bool> {
        self.session.as_ref().map(|session| session.is_http2())
    }

    /// Whether the connection uses TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.session.is_some()
    }
}
