//! Sockets and limits: thin, safe wrappers over the system calls of the generator and of the limit
//! server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Connections from one source address: far fewer than its ephemeral ports.
const CONNECTIONS_PER_ADDRESS: usize = 4_096;
/// Descriptors that are not connections.
const SPARE_FDS: u64 = 64;
/// The maximum number of events of one wait: few enough that a due publication is delayed by at
/// most a millisecond.
pub(crate) const EVENTS_MAX: usize = 256;

/// Raises the soft limit of descriptors to the hard one; returns the number of connections allowed.
pub(crate) fn raise_descriptor_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If this fails, the old limit remains; the caller compares it with its need.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX).saturating_sub(SPARE_FDS)
}

/// Starts a non-blocking connection to `address`. `number` spreads loopback connections over source
/// addresses. `receive_bytes` is its `SO_RCVBUF`; `None`: the system's default.
pub(crate) fn connect(
    address: SocketAddr,
    number: usize,
    receive_bytes: Option<usize>,
) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    if let Some(bytes) = receive_bytes {
        sockopt::set_socket_recv_buffer_size(&socket, bytes)?;
    }
    if let IpAddr::V4(ip) = address.ip()
        && ip.is_loopback()
    {
        // The kernel chooses the port here, not in connect(). One source address thus has only its
        // ephemeral ports, whatever its destinations, so each address gets a small share of the
        // connections.
        let block = u8::try_from(number / CONNECTIONS_PER_ADDRESS % 250).unwrap_or(0);
        rustix::net::bind(&socket, &SocketAddr::from((Ipv4Addr::new(127, 0, 1 + block, 1), 0)))?;
    }
    sockopt::set_tcp_nodelay(&socket, true)?;
    // Closing resets: thousands of sockets in TIME_WAIT would disturb the next round.
    sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// Reads available bytes. `Ok(None)`: nothing now.
pub(crate) fn receive(socket: impl AsFd, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
    match rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT) {
        Ok((bytes, _)) => Ok(Some(bytes)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes as much as the socket takes; 0 if it takes nothing now.
pub(crate) fn send(socket: impl AsFd, bytes: &[u8]) -> Result<usize, Errno> {
    match rustix::net::send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        other => other,
    }
}

/// An epoll set, level-triggered.
pub(crate) struct Poll {
    set: OwnedFd,
    events: Vec<epoll::Event>,
}

/// The events that a socket is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Bytes to read, or the end of the connection.
    Read,
    /// Space to write.
    Write,
    /// Either.
    ReadWrite,
}

impl Interest {
    fn flags(self) -> epoll::EventFlags {
        match self {
            Self::Read => epoll::EventFlags::IN,
            Self::Write => epoll::EventFlags::OUT,
            Self::ReadWrite => epoll::EventFlags::IN | epoll::EventFlags::OUT,
        }
    }
}

impl Poll {
    /// An empty set.
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self { set: epoll::create(epoll::CreateFlags::CLOEXEC)?, events: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Watches `socket`; its events carry `key`.
    pub(crate) fn add(&self, socket: impl AsFd, key: u64, interest: Interest) -> Result<(), Errno> {
        epoll::add(&self.set, socket, epoll::EventData::new_u64(key), interest.flags())
    }

    /// Changes the events that `socket` is watched for.
    pub(crate) fn change(&self, socket: impl AsFd, key: u64, interest: Interest) -> Result<(), Errno> {
        epoll::modify(&self.set, socket, epoll::EventData::new_u64(key), interest.flags())
    }

    /// Stops watching `socket`.
    pub(crate) fn remove(&self, socket: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.set, socket)
    }

    /// Waits at most `timeout` (`None`: for ever), and appends the keys of the ready sockets to
    /// `keys`.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, keys: &mut Vec<u64>) -> Result<(), Errno> {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        self.events.clear();
        match epoll::wait(&self.set, rustix::buffer::spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        keys.extend(self.events.iter().map(|event| event.data.u64()));
        Ok(())
    }
}
