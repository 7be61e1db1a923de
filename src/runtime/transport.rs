//! What a connection reads from and writes to: its socket, with TLS between or without.
//!
//! Invariants worth naming:
//! - a plain socket costs the send path one branch, and nothing is buffered here;
//! - with TLS, what the socket has not taken is one flight of a handshake or one record at most, and while there is any,
//!   nothing more is encrypted: a slow client is slow for the hub as it is without TLS;
//! - what is sent last is the end of the stream: behind [`Transport::end`] nothing is written any more.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use super::tls::session::Session;
use crate::hub::shard::Sent;

/// A socket, or a socket and the TLS session on it.
pub(super) struct Transport {
    socket: OwnedFd,
    session: Option<Box<Session>>,
}

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadOutcome {
    /// So many bytes; none when there may be more behind what was read, as after an interrupted call.
    Bytes(usize),
    /// So many bytes, and the socket has no more: an event tells of those that follow.
    Last(usize),
    Nothing,
    /// The client sends nothing more, or the socket is broken.
    End,
    /// What was sent is not TLS. The alert is on its way, and nothing else can be said.
    Broken,
}

impl Transport {
    /// A fresh connection.
    pub(super) fn new(socket: OwnedFd, session: Option<Box<Session>>) -> Self {
        Self { socket, session }
    }

    /// Hands bytes to the socket without waiting. [`Sent::Held`] when some wait here: [`Self::flush`] has to be called
    /// when the socket takes bytes again.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Sent {
        match &mut self.session {
            None => send_plain(&self.socket, bytes),
            Some(session) => session.send(&self.socket, bytes),
        }
    }

    /// Writes what waits here.
    ///
    /// # Errors
    /// The peer is gone.
    pub(super) fn flush(&mut self) -> Result<Flushed, Gone> {
        match &mut self.session {
            None => Ok(Flushed::All),
            Some(session) => session.flush(&self.socket),
        }
    }

    /// Whether bytes wait here.
    pub(super) fn is_held(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_held())
    }

    /// Reads what is there, as much as `into` has room for.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> ReadOutcome {
        match &mut self.session {
            // A read that comes back short has emptied the socket (epoll(7), on edge-triggered events).
            None => match receive_raw(&self.socket, into) {
                ReadOutcome::Bytes(count) if (1..into.len()).contains(&count) => ReadOutcome::Last(count),
                read => read,
            },
            Some(session) => session.receive(&self.socket, into),
        }
    }

    /// Reads what nobody wants, undeciphered.
    pub(super) fn discard(&mut self, into: &mut [u8]) -> ReadOutcome {
        receive_raw(&self.socket, into)
    }

    /// Reads what a client sends on a stream, where nothing is expected but its end; false when that has come, or when it
    /// sends what it should not. Without TLS the events of the socket tell, and the kernel holds the bytes.
    pub(super) fn read_stream_input(&mut self, buffer: &mut [u8]) -> bool {
        match &mut self.session {
            None => true,
            Some(session) => session.read_stream_input(&self.socket, buffer),
        }
    }

    /// Nothing more will be written: says so, behind what waits here.
    pub(super) fn end(&mut self) {
        match &mut self.session {
            None => {
                // A socket that cannot be shut down is gone already, which the next read tells.
                let _ = shutdown(&self.socket, Shutdown::Write);
            }
            Some(session) => session.end(&self.socket),
        }
    }

    /// The connection is about to be closed with nothing owed: with TLS the client is told that this is the end.
    pub(super) fn part(&mut self) {
        if let Some(session) = &mut self.session {
            session.part(&self.socket);
        }
    }

    /// Whether a TLS handshake is under way.
    pub(super) fn is_handshaking(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_handshaking())
    }

    /// Whether HTTP/2 was negotiated; `None` without TLS, where nothing is.
    pub(super) fn is_http2(&self) -> Option<bool> {
        self.session.as_ref().map(|session| session.is_http2())
    }

    /// Whether there is TLS on the socket.
    pub(super) fn is_tls(&self) -> bool {
        self.session.is_some()
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What became of the bytes that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    /// None waits any more.
    All,
    /// The socket took some, and is full.
    Some,
    /// The socket is full.
    Nothing,
}

/// The peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// Hands bytes to a socket, without waiting.
pub(super) fn send_plain(socket: &OwnedFd, bytes: &[u8]) -> Sent {
    loop {
        match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(taken) => return Sent::Bytes(taken),
            Err(Errno::AGAIN) => return Sent::Full,
            Err(Errno::INTR) => {}
            Err(_) => return Sent::Gone,
        }
    }
}

/// Reads from a socket, without waiting.
pub(super) fn receive_raw(socket: &OwnedFd, into: &mut [u8]) -> ReadOutcome {
    match recv(socket, into, RecvFlags::DONTWAIT) {
        Ok((0, _)) => ReadOutcome::End,
        Ok((count, _)) => ReadOutcome::Bytes(count),
        Err(Errno::AGAIN) => ReadOutcome::Nothing,
        Err(Errno::INTR) => ReadOutcome::Bytes(0),
        Err(_) => ReadOutcome::End,
    }
}
