//! Reads and writes of a plain socket that never wait, and their results.

use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::sse::wire::Sent;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOutcome {
    /// This many bytes. 0 if more may be readable at once, as after an interrupted call.
    Bytes(usize),
    /// This many bytes, and the socket has no more: an event will report the next ones.
    Last(usize),
    Nothing,
    /// The client sends nothing more, or the socket is broken.
    End,
    /// The input was not valid TLS. The alert is on its way; nothing else can be sent.
    Broken,
}

/// The result of writing the bytes that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// None waits any more.
    All,
    /// The socket took some, and is full.
    Some,
    /// The socket is full.
    Nothing,
}

/// The peer is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Hands bytes to a socket without waiting.
pub(crate) fn send_plain(socket: impl AsFd, bytes: &[u8]) -> Sent {
    loop {
        match send(&socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(taken) => return Sent::Bytes(taken),
            Err(Errno::AGAIN) => return Sent::Full,
            Err(Errno::INTR) => {}
            Err(_) => return Sent::Gone,
        }
    }
}

/// Reads from a socket without waiting.
pub(crate) fn receive_raw(socket: &OwnedFd, into: &mut [u8]) -> ReadOutcome {
    match recv(socket, into, RecvFlags::DONTWAIT) {
        Ok((0, _)) => ReadOutcome::End,
        Ok((count, _)) => ReadOutcome::Bytes(count),
        Err(Errno::AGAIN) => ReadOutcome::Nothing,
        Err(Errno::INTR) => ReadOutcome::Bytes(0),
        Err(_) => ReadOutcome::End,
    }
}
