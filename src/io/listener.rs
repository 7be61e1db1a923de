//! Listening sockets. By default each shard binds its own socket to the same address. Alternatively
//! the hub takes sockets that a service manager holds (sd_listen_fds(3)); these outlive the hub.
//!
//! The sockets are made here, not by glommio: its listener panics on a bad address, has a fixed
//! backlog, and lets two hubs share a port without an error.
//!
//! A held socket has one queue for all shards. The shard that accepts a connection hands it off to
//! the next shard in turn, so streams are spread as evenly as over one socket per shard.

#![expect(unsafe_code, reason = "what a service manager hands over is a number")]

use std::cell::Cell;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt};

use crate::io::ProcessRole;
use crate::io::socket::Socket;
use crate::io::waker::ShardWaker;
use crate::limits::{
    HANDED_OFF_MAX, LISTEN_BACKLOG, PEER_TIMEOUT_MS_MAX, PEER_TIMEOUT_MS_MIN, SUBSCRIBER_SOCKET_BYTES,
};

/// Why the hub cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("cannot listen on {0}")]
    Address(SocketAddr, #[source] io::Error),
    /// The metrics address cannot be bound.
    #[error("cannot listen on {0} (METRICS_ADDR)")]
    Metrics(SocketAddr, #[source] io::Error),
    /// `LISTEN_FDS` or `LISTEN_PID` is not a number, or names a descriptor that is not open.
    #[error("cannot take the sockets that the service manager hands over (LISTEN_FDS)")]
    Handed(#[source] io::Error),
    /// A descriptor of `LISTEN_FDS` is not a listening TCP socket; its position, counted from 1.
    #[error(
        "descriptor {0} of LISTEN_FDS is no listening TCP socket: the socket unit takes ListenStream= with a port"
    )]
    NotListening(usize),
}

/// An accepted connection.
pub(crate) type Accepted = (Socket, Option<SocketAddr>);

/// The source of one shard's connections.
pub(crate) struct Listener {
    /// Emptied when the hub stops.
    pub(crate) sockets: Vec<Socket>,
    /// Index of the socket to try first.
    first: Cell<usize>,
    /// Present with held sockets.
    handoff: Option<Handoff>,
    peer_timeout_ms: u32,
}

/// Chooses the shard that gets the next connection.
struct Handoff {
    own: usize,
    next: Arc<AtomicUsize>,
    shards: Arc<[(Sender<Accepted>, Arc<ShardWaker>)]>,
    inbox: Receiver<Accepted>,
}

/// Takes the sockets that a service manager hands over, or binds the address. Returns the bound
/// address (port 0 replaced by the real port) and one listener per waker.
pub(crate) fn open(
    address: SocketAddr,
    wakers: &[Arc<ShardWaker>],
    heartbeat_ms: u64,
    role: ProcessRole,
) -> Result<(SocketAddr, Vec<Listener>), ListenError> {
    let peer_timeout_ms = peer_timeout_ms(heartbeat_ms);
    let held = match role {
        ProcessRole::Service => handed_over()?,
        ProcessRole::Program => Vec::new(),
    };
    let Some(first) = held.first() else {
        let failed = |error| ListenError::Address(address, error);
        let (address, sockets) = bind_all(address, wakers.len(), peer_timeout_ms).map_err(failed)?;
        let listener = |socket| Listener::of_socket(Socket::Kernel(socket), peer_timeout_ms);
        return Ok((address, sockets.into_iter().map(listener).collect()));
    };
    let address = getsockname(first).and_then(SocketAddr::try_from);
    let address = address.map_err(|error| ListenError::Handed(error.into()))?;
    let listeners = share(&held, wakers, peer_timeout_ms).map_err(ListenError::Handed)?;
    Ok((address, listeners))
}

/// Divides held sockets among the shards of these wakers: one listener for each.
///
/// # Errors
/// No descriptor is left.
pub(crate) fn share(
    held: &[OwnedFd],
    wakers: &[Arc<ShardWaker>],
    peer_timeout_ms: u32,
) -> io::Result<Vec<Listener>> {
    let (senders, inboxes): (Vec<_>, Vec<_>) = wakers.iter().map(|_| bounded(HANDED_OFF_MAX)).unzip();
    let shards: Arc<[_]> = senders.into_iter().zip(wakers.iter().cloned()).collect();
    let next = Arc::new(AtomicUsize::new(0));
    let listener = |(own, inbox): (usize, Receiver<Accepted>)| {
        // Each socket has a shard, and each shard has a socket.
        let numbers = (0..held.len().max(wakers.len())).filter(|number| number % wakers.len() == own);
        let clone = |number: usize| held[number % held.len()].try_clone().map(Socket::Kernel);
        let sockets: io::Result<_> = numbers.map(clone).collect();
        let handoff = Handoff { own, next: Arc::clone(&next), shards: Arc::clone(&shards), inbox };
        Ok(Listener { sockets: sockets?, first: Cell::new(0), handoff: Some(handoff), peer_timeout_ms })
    };
    inboxes.into_iter().enumerate().map(listener).collect()
}

impl Listener {
    /// A listener with a socket of its own.
    pub(crate) fn of_socket(socket: Socket, peer_timeout_ms: u32) -> Self {
        Self { sockets: vec![socket], first: Cell::new(0), handoff: None, peer_timeout_ms }
    }

    /// Whether another process holds the socket: after this hub has stopped, connections wait in it
    /// for the next hub.
    pub(crate) fn is_held(&self) -> bool {
        self.handoff.is_some()
    }

    /// Whether other shards have handed off connections to this one.
    pub(crate) fn has_handed_off(&self) -> bool {
        self.handoff.as_ref().is_some_and(|handoff| !handoff.inbox.is_empty())
    }

    /// Takes a connection that another shard accepted for this one.
    pub(crate) fn handed_off(&self) -> Option<Accepted> {
        self.handoff.as_ref()?.inbox.try_recv().ok()
    }

    /// Accepts a connection; `None` when it was handed off to another shard.
    ///
    /// # Errors
    /// The kernel's error; [`Errno::AGAIN`] when none waits, or the hub has stopped accepting.
    pub(crate) fn accept(&self) -> Result<Option<Accepted>, Errno> {
        let accepted = self.accept_here()?;
        let Some(handoff) = &self.handoff else { return Ok(Some(accepted)) };
        let next = handoff.next.fetch_add(1, Ordering::Relaxed) % handoff.shards.len();
        if next == handoff.own {
            return Ok(Some(accepted));
        }
        let (inbox, waker) = &handoff.shards[next];
        match inbox.try_send(accepted) {
            Ok(()) => {
                waker.wake();
                Ok(None)
            }
            // That shard is busy or has stopped: keep the connection here.
            Err(refused) => Ok(Some(refused.into_inner())),
        }
    }

    /// Accepts a connection for this shard.
    ///
    /// # Errors
    /// As [`Self::accept`].
    pub(crate) fn accept_here(&self) -> Result<Accepted, Errno> {
        // Start with another socket each time, so that a busy one does not starve the others.
        let first = self.first.replace(self.first.get().wrapping_add(1));
        let listeners =
            (0..self.sockets.len()).map(|nth| &self.sockets[first.wrapping_add(nth) % self.sockets.len()]);
        let mut accepted = listeners.map(Socket::accept);
        let accepted = accepted.find(|accepted| !matches!(accepted, Err(Errno::AGAIN)));
        let (socket, peer) = accepted.unwrap_or(Err(Errno::AGAIN))?;
        if self.handoff.is_some() {
            // The connection may be older than this hub and have inherited no options. If it is
            // already closed, setting them fails; the first read reports that.
            let _ = socket.descriptor().and_then(|socket| prepare(socket, self.peer_timeout_ms));
        }
        Ok((socket, peer))
    }
}

/// The sockets that the service manager hands over, made non-blocking and close-on-exec; empty
/// without such a manager.
fn handed_over() -> Result<Vec<OwnedFd>, ListenError> {
    let descriptors = sd_notify::listen_fds().map_err(ListenError::Handed)?;
    let take = |(number, descriptor)| {
        // SAFETY: the descriptor is open, else `listen_fds` would have failed to set a flag on it;
        // by the LISTEN_FDS protocol it is ours, and nothing else takes it: the hub calls this
        // once.
        let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
        let is_stream = sockopt::socket_type(&socket) == Ok(SocketType::STREAM);
        let is_tcp =
            [AddressFamily::INET, AddressFamily::INET6].map(Ok).contains(&sockopt::socket_domain(&socket));
        if !is_stream || !is_tcp || sockopt::socket_acceptconn(&socket) != Ok(true) {
            return Err(ListenError::NotListening(number + 1));
        }
        rustix::io::ioctl_fionbio(&socket, true).map_err(|error| ListenError::Handed(error.into()))?;
        Ok(socket)
    };
    descriptors.enumerate().map(take).collect()
}

/// How long a peer may leave data unacknowledged: about one heartbeat, so that a vanished peer is
/// detected by the heartbeat after the next.
fn peer_timeout_ms(heartbeat_ms: u64) -> u32 {
    // A little less than a heartbeat, since the detection itself takes time.
    let timeout_ms = if heartbeat_ms == 0 { PEER_TIMEOUT_MS_MAX } else { heartbeat_ms / 10 * 9 };
    timeout_ms.clamp(PEER_TIMEOUT_MS_MIN, PEER_TIMEOUT_MS_MAX) as u32
}

/// Sets the peer timeout of a full socket to `DISPATCH_TIMEOUT`. The kernel counts the closed
/// window of a slow reader as silence, so the usual peer timeout would end a client that is still
/// there.
pub(crate) fn leave_to_dispatch_timeout(socket: &Socket, dispatch_timeout_ms: u64) {
    let timeout_ms = u32::try_from(dispatch_timeout_ms).unwrap_or(0);
    // Ignore errors: the socket is not TCP, or is closed already.
    let _ = socket.descriptor().map(|socket| sockopt::set_tcp_user_timeout(socket, timeout_ms));
}

/// A listening socket for short connections; it uses the longest peer timeout.
///
/// # Errors
/// The kernel's error, for example [`io::ErrorKind::AddrInUse`].
pub(crate) fn bind_one(address: SocketAddr) -> io::Result<(SocketAddr, OwnedFd)> {
    let (address, mut sockets) = bind_all(address, 1, PEER_TIMEOUT_MS_MAX as u32)?;
    Ok((address, sockets.pop().ok_or(io::ErrorKind::NotFound)?))
}

/// Binds `count` sockets to one address; the kernel spreads connections over them (`SO_REUSEPORT`).
/// Another process on the port is an error, although the option would allow it.
fn bind_all(
    address: SocketAddr,
    count: usize,
    peer_timeout_ms: u32,
) -> io::Result<(SocketAddr, Vec<OwnedFd>)> {
    match try_bind_all(address, count, peer_timeout_ms) {
        // A host without IPv6: the unspecified address then means every IPv4 address.
        Err(error) if error.raw_os_error() == Some(AFNOSUPPORT) && address.ip() == Ipv6Addr::UNSPECIFIED => {
            let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            try_bind_all(address, count, peer_timeout_ms)
        }
        result => result,
    }
}

const AFNOSUPPORT: i32 = Errno::AFNOSUPPORT.raw_os_error();

fn try_bind_all(
    address: SocketAddr,
    count: usize,
    peer_timeout_ms: u32,
) -> io::Result<(SocketAddr, Vec<OwnedFd>)> {
    // First bind without SO_REUSEPORT: this fails if another process has the port.
    let probe = make(address, false, peer_timeout_ms)?;
    let address = SocketAddr::try_from(getsockname(&probe)?)?;
    drop(probe);
    let sockets: io::Result<Vec<_>> = (0..count).map(|_| make(address, true, peer_timeout_ms)).collect();
    let sockets = sockets?;
    for socket in &sockets {
        listen(socket, LISTEN_BACKLOG)?;
    }
    Ok((address, sockets))
}

/// A bound socket. Connections inherit the options set here, which saves system calls for each.
fn make(address: SocketAddr, reuse_port: bool, peer_timeout_ms: u32) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, reuse_port)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    prepare(socket.as_fd(), peer_timeout_ms)?;
    bind(&socket, &address)?;
    Ok(socket)
}

/// Sets the options of every connection.
fn prepare(socket: BorrowedFd<'_>, peer_timeout_ms: u32) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    // Detect a vanished peer. While data is in flight, the kernel waits this long for an
    // acknowledgement; while none is, it probes after half of that time, and once more.
    sockopt::set_tcp_user_timeout(socket, peer_timeout_ms)?;
    sockopt::set_socket_keepalive(socket, true)?;
    let part = |divisor: u64| Duration::from_millis((u64::from(peer_timeout_ms) / divisor).max(1_000));
    sockopt::set_tcp_keepidle(socket, part(2))?;
    sockopt::set_tcp_keepintvl(socket, part(4))?;
    sockopt::set_tcp_keepcnt(socket, 2)?;
    // With the default size, a client that stopped reading takes in megabytes before sends block.
    sockopt::set_socket_send_buffer_size(socket, SUBSCRIBER_SOCKET_BYTES)?;
    Ok(())
}
