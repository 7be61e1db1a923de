//! A connection of the generator, in clear text or over TLS.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::sockopt;
use rustls::ClientConfig;

use crate::net;
use crate::tls::Session;

/// A connection, in clear text or over TLS.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: OwnedFd,
    session: Option<Session>,
}

impl Connection {
    /// Starts a connection, as [`net::connect`] does; `tls`: over TLS.
    pub(crate) fn start(
        address: SocketAddr,
        number: usize,
        receive_bytes: Option<usize>,
        tls: Option<&Arc<ClientConfig>>,
    ) -> Result<Self, Errno> {
        let session = tls.map(Session::new).transpose()?;
        net::connect(address, number, receive_bytes).map(|socket| Self { socket, session })
    }

    /// Whether a connection that has become writable was established.
    pub(crate) fn established(&self) -> Result<(), Errno> {
        sockopt::socket_error(&self.socket)?
    }

    /// Reads available bytes. `Ok(None)`: nothing now; `Ok(Some(0))`: the peer has closed.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
        match &mut self.session {
            None => net::receive(&self.socket, buffer),
            Some(session) => session.receive(&self.socket, buffer),
        }
    }

    /// Writes as much as the socket takes; 0 if it takes nothing now.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        match &mut self.session {
            None => net::send(&self.socket, bytes),
            Some(session) => session.send(&self.socket, bytes),
        }
    }

    /// Whether accepted bytes still wait for the socket: an empty `send` sends them.
    pub(crate) fn is_holding(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_holding)
    }

    /// Whether a TLS handshake is in progress; empty sends and receives continue it.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.session.as_ref().is_some_and(Session::is_handshaking)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
