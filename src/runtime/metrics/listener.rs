//! The listener of `METRICS_ADDR`: a thread of its own, with no more than one answer for each connection.
//!
//! Invariants worth naming:
//! - the thread waits for nobody: sockets do not block, and one poll(2) looks at all of them;
//! - a connection is over within [`METRICS_MS`], and there are [`METRICS_CONNECTIONS_MAX`] at most.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::{debug, info, warn};

use super::{Exporter, MetricsSettings};
use crate::http::connection::{Connection, Event};
use crate::http::date::HttpDate;
use crate::http::request::{Lines, Method, Request, Version};
use crate::http::response::{HeaderValue, Http1, Response};
use crate::http::status::Status;
use crate::limits::{ACCEPT_PAUSE_MS, LINGER_BYTES_MAX, METRICS_CONNECTIONS_MAX, METRICS_MS};
use crate::runtime::{ListenError, RunError, clock, listener};

const OPENMETRICS: &str = "application/openmetrics-text";
const OPENMETRICS_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT_TYPE: HeaderValue = HeaderValue::from_static(prometheus_text::CONTENT_TYPE);
const BUFFER_BYTES: usize = 4 << 10;

/// The listening socket.
pub(in crate::runtime) struct Listener {
    socket: TcpListener,
    /// Accepting failed; it is tried again at this moment.
    paused_until: Option<Instant>,
    /// Oldest first.
    peers: VecDeque<Peer>,
}

/// One connection.
struct Peer {
    socket: TcpStream,
    until: Instant,
    stage: Stage,
}

enum Stage {
    Asking(Box<Connection>),
    Answering {
        bytes: Vec<u8>,
        sent: usize,
    },
    /// The answer is sent. Closed with unread bytes, the kernel would reset the connection, and the answer could be lost.
    Leaving {
        bytes_left: usize,
    },
}

impl Listener {
    /// Listens where the settings say.
    ///
    /// # Errors
    /// [`RunError::Listen`].
    pub(in crate::runtime) fn open(settings: Option<&MetricsSettings>) -> Result<Option<Self>, RunError> {
        let Some(MetricsSettings { address, .. }) = settings else { return Ok(None) };
        let failed = |error| RunError::Listen(ListenError::Address(*address, error));
        let (address, socket) = listener::bind_one(*address).map_err(failed)?;
        let socket = TcpListener::from(socket);
        socket.set_nonblocking(true).map_err(failed)?;
        info!(%address, "metrics are served");
        Ok(Some(Self { socket, paused_until: None, peers: VecDeque::new() }))
    }

    /// Answers whoever connects, for ever.
    pub(in crate::runtime) fn run(mut self, exporter: Exporter) {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(exporter));
        loop {
            self.wait();
            let now = Instant::now();
            self.accept(now);
            self.peers.retain_mut(|peer| now < peer.until && peer.advance(&registry).is_ok_and(|it| it));
        }
    }

    /// Sleeps until a socket has something to do, or a time is over.
    fn wait(&self) {
        let now = Instant::now();
        let until = self.peers.iter().map(|peer| peer.until).chain(self.paused_until).min();
        let left = until.map(|until| {
            // Rounded up: woken too early, it would find nothing to do.
            let left = until.saturating_duration_since(now) + Duration::from_millis(1);
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: i64::from(left.subsec_nanos()) }
        });
        let peers = self.peers.iter().map(|peer| PollFd::new(&peer.socket, peer.stage.awaits()));
        let listener = self.paused_until.is_none().then(|| PollFd::new(&self.socket, PollFlags::IN));
        let mut sockets: Vec<_> = peers.chain(listener).collect();
        // Interrupted, or short of memory: what is to be done is looked for all the same.
        let _ = poll(&mut sockets, left.as_ref());
    }

    fn accept(&mut self, now: Instant) {
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.paused_until = None;
        for _ in 0..METRICS_CONNECTIONS_MAX {
            match self.socket.accept() {
                Ok((socket, _)) => {
                    if let Err(error) = socket.set_nonblocking(true) {
                        debug!(%error, "a connection for metrics cannot be served");
                        continue;
                    }
                    if self.peers.len() == METRICS_CONNECTIONS_MAX {
                        self.peers.pop_front();
                    }
                    let until = now + Duration::from_millis(METRICS_MS);
                    let stage = Stage::Asking(Box::default());
                    self.peers.push_back(Peer { socket, until, stage });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => {
                    debug!(%error, "a connection for metrics cannot be accepted");
                    self.paused_until = Some(now + Duration::from_millis(ACCEPT_PAUSE_MS));
                    return;
                }
            }
        }
    }
}

impl Stage {
    fn awaits(&self) -> PollFlags {
        match self {
            Self::Asking(_) | Self::Leaving { .. } => PollFlags::IN,
            Self::Answering { .. } => PollFlags::OUT,
        }
    }
}

impl Peer {
    /// Goes as far as the socket allows; false when the connection is over.
    fn advance(&mut self, registry: &Registry) -> io::Result<bool> {
        let mut buffer = [0; BUFFER_BYTES];
        loop {
            match &mut self.stage {
                Stage::Asking(connection) => {
                    if let Some(bytes) = answer(connection, registry) {
                        self.stage = Stage::Answering { bytes, sent: 0 };
                        continue;
                    }
                    let room = connection.room().min(BUFFER_BYTES);
                    match ready(self.socket.read(&mut buffer[..room]))? {
                        None => return Ok(true),
                        Some(0) => return Ok(false),
                        Some(count) => connection.receive(&buffer[..count]),
                    };
                }
                Stage::Answering { bytes, sent } => match ready(self.socket.write(&bytes[*sent..]))? {
                    None => return Ok(true),
                    Some(count) => {
                        *sent += count;
                        if *sent == bytes.len() {
                            self.socket.shutdown(Shutdown::Write)?;
                            self.stage = Stage::Leaving { bytes_left: LINGER_BYTES_MAX };
                        }
                    }
                },
                Stage::Leaving { bytes_left } => match ready(self.socket.read(&mut buffer))? {
                    None => return Ok(true),
                    Some(count) if count == 0 || count >= *bytes_left => return Ok(false),
                    Some(count) => *bytes_left -= count,
                },
            }
        }
    }
}

/// `None` when the socket has to be waited for.
fn ready(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}

/// The answer to the request, when it is here as a whole.
fn answer(connection: &mut Connection, registry: &Registry) -> Option<Vec<u8>> {
    let (response, version, head_only) = match connection.poll() {
        Event::Head(request) => {
            (respond(&request, registry), request.version, request.method == Method::Head)
        }
        Event::Refused(refusal) => (Response::refusal(refusal), Version::Http11, false),
        Event::NeedMore | Event::Body(_) => return None,
    };
    let date = HttpDate::from_unix_s(clock::unix_ms() / 1_000);
    let mut bytes = Vec::new();
    response.encode(&Http1 { version, head_only, keep_alive: false, date: Some(&date) }, &mut bytes);
    Some(bytes)
}

fn respond(request: &Request<'_>, registry: &Registry) -> Response {
    match (request.path, request.method) {
        ("/metrics", Method::Get | Method::Head) => page(&request.accept, registry),
        ("/healthz", Method::Get | Method::Head) => Response::healthy(),
        ("/metrics" | "/healthz", _) => Response::method_not_allowed("GET, HEAD"),
        _ => Response::text(Status::NotFound, "Not Found. The metrics are at /metrics."),
    }
}

fn page(accept: &Lines<'_>, registry: &Registry) -> Response {
    let mut page = String::new();
    let (content_type, encoded) = match accepts_openmetrics(accept) {
        true => (OPENMETRICS_TYPE, text::encode(&mut page, registry)),
        false => (TEXT_TYPE, prometheus_text::encode(&mut page, registry)),
    };
    match encoded {
        Ok(()) => {
            let mut response = Response::with_body(Status::Ok, content_type, page.into_bytes());
            response.vary("Accept");
            response
        }
        Err(error) => {
            warn!(%error, "metrics cannot be written");
            Response::status_only(Status::InternalServerError)
        }
    }
}

/// Whether the client asks for OpenMetrics by its name, and does not say that it wants none of it (RFC 9110, section 12.5.1). Who
/// does not know it gets the text that everybody knows.
fn accepts_openmetrics(accept: &Lines<'_>) -> bool {
    let elements = accept.iter().flat_map(|line| line.split(|byte| *byte == b','));
    let mut named = elements.filter_map(|element| {
        let mut parts = std::str::from_utf8(element).ok()?.split(';').map(str::trim);
        let is_named = parts.next()?.eq_ignore_ascii_case(OPENMETRICS);
        is_named.then(|| parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000")))
    });
    named.any(|is_unwanted| !is_unwanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        for (line, expected) in [
            ("", false),
            ("*/*", false),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", false),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1",
                true,
            ),
            ("text/html , Application/OpenMetrics-Text; version=1.0.0; q=0.3", true),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-textual", false),
        ] {
            let mut request = Request::new(Method::Get, Version::Http11, "/metrics", None);
            request.field("Accept", line.as_bytes()).expect("taken");
            assert_eq!(accepts_openmetrics(&request.accept), expected, "{line}");
        }
    }
}
