//! A small server for each side listener: metrics (`METRICS_ADDR`), and the plain HTTP port of ACME
//! (`ACME_HTTP_ADDR`). Each is one thread, which gives one response to each connection.
//!
//! Invariants:
//! - sockets do not block: one poll(2) waits for all of them;
//! - a connection ends within [`SIDE_SERVER_CONNECTION_MS`];
//! - there are at most [`SIDE_SERVER_CONNECTIONS_MAX`]: for one more, the oldest is closed, so slow
//!   clients never keep others out.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::debug;

use crate::http::h1::machine::{Connection, Http1Event};
use crate::http::headers::date::HttpDate;
use crate::http::request::{Request, Version};
use crate::http::response::{Http1, Response};
use crate::io::{clock, listener};
use crate::limits::{
    ACCEPT_PAUSE_MS, LINGER_BYTES_MAX, SIDE_SERVER_CONNECTION_MS, SIDE_SERVER_CONNECTIONS_MAX,
    SIDE_SERVER_POLL_MS,
};

const BUFFER_BYTES: usize = 4 << 10;

/// The listening socket, and the open connections.
pub(crate) struct SideServer {
    socket: TcpListener,
    /// Accepting failed; retry at this moment.
    paused_until: Option<Instant>,
    /// Oldest first.
    peers: VecDeque<Peer>,
}

/// One connection.
struct Peer {
    socket: TcpStream,
    until: Instant,
    stage: PeerStage,
}

enum PeerStage {
    Reading(Box<Connection>),
    Writing {
        bytes: Vec<u8>,
        sent: usize,
    },
    /// The response is sent. If the socket were closed now with unread bytes, the kernel would
    /// reset the connection and the response could be lost.
    Lingering {
        bytes_left: usize,
    },
}

impl SideServer {
    /// Listens on the address. Returns the bound address; port 0 is replaced by the real port.
    ///
    /// # Errors
    /// The kernel's error.
    pub(crate) fn open(address: SocketAddr) -> io::Result<(SocketAddr, Self)> {
        let (address, socket) = listener::bind_one(address)?;
        Ok((address, Self { socket: TcpListener::from(socket), paused_until: None, peers: VecDeque::new() }))
    }

    /// Serves until the hub has ended.
    pub(crate) fn run(mut self, ended: &AtomicBool, mut handle: impl FnMut(&Request<'_>) -> Response) {
        while !ended.load(Ordering::SeqCst) {
            self.wait();
            let now = Instant::now();
            self.accept(now);
            self.peers.retain_mut(|peer| now < peer.until && peer.advance(&mut handle).is_ok_and(|it| it));
        }
    }

    /// Sleeps until a socket has an event, or a timeout.
    fn wait(&self) {
        let now = Instant::now();
        let look = now + Duration::from_millis(SIDE_SERVER_POLL_MS);
        let until =
            self.peers.iter().map(|peer| peer.until).chain(self.paused_until).fold(look, Instant::min);
        // Round up: an early wake-up would find nothing to do.
        let left = until.saturating_duration_since(now) + Duration::from_millis(1);
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) };
        let peers = self.peers.iter().map(|peer| PollFd::new(&peer.socket, peer.stage.awaits()));
        let listener = self.paused_until.is_none().then(|| PollFd::new(&self.socket, PollFlags::IN));
        let mut sockets: Vec<_> = peers.chain(listener).collect();
        // After an interruption or an error, check all sockets anyway.
        let _ = poll(&mut sockets, Some(&left));
    }

    fn accept(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.paused_until = None;
        for _ in 0..SIDE_SERVER_CONNECTIONS_MAX {
            match self.socket.accept() {
                Ok((socket, _)) => {
                    if let Err(error) = socket.set_nonblocking(true) {
                        debug!(%error, "a connection beside the hub's own cannot be served");
                        continue;
                    }
                    if self.peers.len() == SIDE_SERVER_CONNECTIONS_MAX {
                        self.peers.pop_front();
                    }
                    let until = now + Duration::from_millis(SIDE_SERVER_CONNECTION_MS);
                    let stage = PeerStage::Reading(Box::default());
                    self.peers.push_back(Peer { socket, until, stage });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    debug!(%error, "a connection beside the hub's own cannot be accepted");
                    self.paused_until = Some(now + Duration::from_millis(ACCEPT_PAUSE_MS));
                    return;
                }
            }
        }
    }
}

impl PeerStage {
    fn awaits(&self) -> PollFlags {
        match self {
            Self::Reading(_) | Self::Lingering { .. } => PollFlags::IN,
            Self::Writing { .. } => PollFlags::OUT,
        }
    }
}

impl Peer {
    /// Advances as far as the socket allows; false when the connection is over.
    fn advance(&mut self, handle: &mut impl FnMut(&Request<'_>) -> Response) -> io::Result<bool> {
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            match &mut self.stage {
                PeerStage::Reading(connection) => {
                    if let Some(bytes) = respond(connection, handle) {
                        self.stage = PeerStage::Writing { bytes, sent: 0 };
                        continue;
                    }
                    let room = connection.room().min(BUFFER_BYTES);
                    match ready(self.socket.read(&mut buffer[..room]))? {
                        None => return Ok(true),
                        Some(0) => return Ok(false),
                        Some(count) => connection.receive(&buffer[..count]),
                    };
                }
                PeerStage::Writing { bytes, sent } => match ready(self.socket.write(&bytes[*sent..]))? {
                    None => return Ok(true),
                    Some(count) => {
                        *sent += count;
                        if *sent == bytes.len() {
                            self.socket.shutdown(Shutdown::Write)?;
                            self.stage = PeerStage::Lingering { bytes_left: LINGER_BYTES_MAX };
                        }
                    }
                },
                PeerStage::Lingering { bytes_left } => match ready(self.socket.read(&mut buffer))? {
                    None => return Ok(true),
                    Some(count) if count == 0 || count >= *bytes_left => return Ok(false),
                    Some(count) => *bytes_left -= count,
                },
            }
        }
    }
}

/// `None` if the socket is not ready.
fn ready(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The response, once the request is complete.
fn respond(
    connection: &mut Connection,
    handle: &mut impl FnMut(&Request<'_>) -> Response,
) -> Option<Vec<u8>> {
    let (response, version, head_only) = match connection.poll() {
        Http1Event::Head(request) => (handle(&request), request.version, request.method == Method::HEAD),
        Http1Event::Refused(error) => (Response::request_error(error), Version::Http11, false),
        Http1Event::NeedMore | Http1Event::Body(_) => return None,
    };
    let date = HttpDate::from_unix_s(clock::unix_ms() / 1_000);
    let mut bytes = Vec::new();
    response.encode(&Http1 { version, head_only, keep_alive: false, date: Some(&date) }, &mut bytes);
    Some(bytes)
}
