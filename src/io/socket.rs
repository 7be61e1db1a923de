//! The socket of a connection, or one that listens: calls that never wait, and their results.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags, acceptfrom_with, recv, send, shutdown};

use super::outcome::ReadOutcome;
#[cfg(feature = "internals")]
use super::sim::SimSocket;
use crate::sse::wire::Sent;

/// A socket of the kernel; in the simulation, one of its network.
#[derive(Debug)]
pub(crate) enum Socket {
    Kernel(OwnedFd),
    #[cfg(feature = "internals")]
    Simulated(SimSocket),
}

impl From<OwnedFd> for Socket {
    fn from(descriptor: OwnedFd) -> Self {
        Self::Kernel(descriptor)
    }
}

impl Socket {
    /// Hands bytes to the socket.
    pub(crate) fn send(&self, bytes: &[u8]) -> Sent {
        match self {
            Self::Kernel(descriptor) => send_plain(descriptor, bytes),
            #[cfg(feature = "internals")]
            Self::Simulated(socket) => socket.send(bytes),
        }
    }

    /// Reads from the socket.
    pub(crate) fn receive(&self, into: &mut [u8]) -> ReadOutcome {
        match self {
            Self::Kernel(descriptor) => receive_raw(descriptor, into),
            #[cfg(feature = "internals")]
            Self::Simulated(socket) => socket.receive(into),
        }
    }

    /// Shuts down the write side. A failure means that the socket is closed; the next read reports
    /// that.
    pub(crate) fn end(&self) {
        match self {
            Self::Kernel(descriptor) => {
                let _ = shutdown(descriptor, Shutdown::Write);
            }
            #[cfg(feature = "internals")]
            Self::Simulated(socket) => socket.end(),
        }
    }

    /// Accepts a connection of a listening socket, and returns it with the address of its peer.
    ///
    /// # Errors
    /// The kernel's error; [`Errno::AGAIN`] when none waits.
    pub(crate) fn accept(&self) -> Result<(Self, Option<SocketAddr>), Errno> {
        match self {
            Self::Kernel(descriptor) => {
                // An accept that finds no connection has made a socket and a file for it by then:
                // 3 us, where the question costs 0.2.
                if !has_connection(descriptor)? {
                    return Err(Errno::AGAIN);
                }
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let (accepted, peer) = acceptfrom_with(descriptor, flags)?;
                Ok((Self::Kernel(accepted), peer.and_then(|peer| SocketAddr::try_from(peer).ok())))
            }
            #[cfg(feature = "internals")]
            Self::Simulated(socket) => {
                socket.accept().map(|(accepted, peer)| (Self::Simulated(accepted), Some(peer)))
            }
        }
    }

    /// The kernel's descriptor.
    ///
    /// # Errors
    /// The socket is simulated.
    pub(crate) fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Self::Kernel(descriptor) => Ok(descriptor.as_fd()),
            #[cfg(feature = "internals")]
            Self::Simulated(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// Whether a connection waits in this listening socket, or an error.
fn has_connection(listening: &OwnedFd) -> Result<bool, Errno> {
    let mut asked = [PollFd::new(listening, PollFlags::IN)];
    Ok(poll(&mut asked, Some(&Timespec::default()))? > 0)
}

fn send_plain(socket: &OwnedFd, bytes: &[u8]) -> Sent {
    loop {
        match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(taken) => return Sent::Bytes(taken),
            Err(Errno::AGAIN) => return Sent::Full,
            Err(Errno::INTR) => {}
            Err(_) => return Sent::Gone,
        }
    }
}

fn receive_raw(socket: &OwnedFd, into: &mut [u8]) -> ReadOutcome {
    match recv(socket, into, RecvFlags::DONTWAIT) {
        Ok((0, _)) => ReadOutcome::End,
        Ok((count, _)) => ReadOutcome::Bytes(count),
        Err(Errno::AGAIN) => ReadOutcome::Nothing,
        Err(Errno::INTR) => ReadOutcome::Bytes(0),
        Err(_) => ReadOutcome::End,
    }
}
