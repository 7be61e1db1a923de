//! The strangers of `hostile`: a few blocking threads beside the engine, so that a hub that leaves
//! strangers without an answer does not stop the measurement.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use rustix::net::{AddressFamily, SocketType};
use serde::Serialize;

use crate::wire::http::ResponseHead;
use crate::wire::http2::{Event, SHORT_WINDOW_BYTES, Session};

/// How long a stranger waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The time between two looks at a connection that is held.
const LOOK: Duration = Duration::from_millis(100);
/// Looks between two bytes of an unfinished body: a second.
const LOOKS_PER_BYTE: u64 = 10;
/// How long sending an unfinished body may take.
const BODY_PATIENCE: Duration = Duration::from_secs(1);
/// The length of a body that is announced: the default of `MAX_BODY_SIZE`.
const BODY_BYTES: usize = 1 << 20;
/// What is missing of a body at first.
const MISSING_BYTES: usize = 1_000;
/// Threads of `presence` at most: they share the generator's processor.
const THREADS_MAX: usize = 16;

/// The attack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Attack {
    /// Subscriptions full of URI Templates that every byte of a topic is compared with, over
    /// HTTP/1.1, each from an address of its own.
    Templates,
    /// The same on the streams of HTTP/2 connections.
    TemplatesHttp2,
    /// Subscriptions full of URL Patterns (Mercure 1.0) that every byte of a topic is compared
    /// with, half of them with regexps of their own, over HTTP/1.1, each from an address of its
    /// own.
    Patterns,
    /// The same on the streams of HTTP/2 connections.
    PatternsHttp2,
    /// Subscriptions that come and go, with active subscriptions (`SUBSCRIPTIONS=1`) and a history
    /// in a file.
    Presence,
    /// Bodies of publications that are never finished.
    Bodies,
}

/// The attack in numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) attack: Attack,
    pub(super) strangers: usize,
    /// Streams that share an HTTP/2 connection, at least 1.
    pub(super) per_connection: usize,
    /// Selectors of each, at least 1.
    pub(super) selectors: usize,
}

/// What the strangers were answered.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answers {
    pub(super) accepted: usize,
    pub(super) refused: usize,
    /// Selectors of each.
    pub(super) selectors: usize,
}

/// The strangers and how far they are.
pub(super) struct Strangers {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

struct State {
    hub: SocketAddr,
    token: String,
    plan: Plan,
    /// Threads that are still coming.
    coming: AtomicUsize,
    accepted: AtomicUsize,
    refused: AtomicUsize,
    is_over: AtomicBool,
}

impl Strangers {
    pub(super) fn start(plan: Plan, hub: SocketAddr, token: String) -> Self {
        let threads = if plan.attack == Attack::Presence { plan.strangers.clamp(1, THREADS_MAX) } else { 1 };
        let mut state = State {
            hub,
            token,
            plan,
            coming: AtomicUsize::new(threads),
            accepted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        };
        state.lower_selectors();
        let state = Arc::new(state);
        let threads = (0..threads)
            .map(|number| {
                let state = Arc::clone(&state);
                std::thread::spawn(move || state.attack(number))
            })
            .collect();
        Self { state, threads }
    }

    /// Whether all have come.
    pub(super) fn are_there(&self) -> bool {
        self.state.coming.load(Ordering::Acquire) == 0
    }

    /// Closes their connections.
    pub(super) fn leave(self) -> Answers {
        self.state.is_over.store(true, Ordering::Release);
        for thread in self.threads {
            // A thread that panicked has closed its connections, too.
            let _ = thread.join();
        }
        Answers {
            accepted: self.state.accepted.load(Ordering::Relaxed),
            refused: self.state.refused.load(Ordering::Relaxed),
            selectors: self.state.plan.selectors,
        }
    }
}

impl State {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    fn count(&self, is_accepted: bool) {
        let count = if is_accepted { &self.accepted } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// Halves the selectors until a subscription is accepted.
    fn lower_selectors(&mut self) {
        if self.plan.attack == Attack::Bodies {
            self.plan.selectors = 0;
        }
        while self.plan.selectors > 1 && self.subscribe(self.plan.strangers).is_none() {
            self.plan.selectors /= 2;
        }
    }

    fn attack(&self, thread: usize) {
        let (mut sockets, mut shared) = (Vec::new(), Vec::new());
        match self.plan.attack {
            Attack::Templates | Attack::Patterns => {
                sockets.extend((0..self.plan.strangers).filter_map(|number| {
                    let socket = self.subscribe(number);
                    self.count(socket.is_some());
                    socket
                }));
            }
            Attack::TemplatesHttp2 | Attack::PatternsHttp2 => {
                let connections = self.plan.strangers.div_ceil(self.plan.per_connection);
                shared.extend((0..connections).filter_map(|number| self.subscribe_shared(number)));
            }
            Attack::Presence => {}
            Attack::Bodies => {
                sockets.extend((0..self.plan.strangers).filter_map(|number| self.begin_body(number)));
            }
        }
        self.coming.fetch_sub(1, Ordering::Release);
        let (mut number, mut looks) = (thread, 0_u64);
        while !self.is_over() {
            match self.plan.attack {
                Attack::Presence => {
                    self.count(self.subscribe(number).is_some());
                    number += THREADS_MAX;
                    continue;
                }
                Attack::Templates | Attack::TemplatesHttp2 | Attack::Patterns | Attack::PatternsHttp2 => {}
                Attack::Bodies if looks % LOOKS_PER_BYTE == 0 => {
                    sockets.retain_mut(|socket| socket.write_all(b"x").is_ok());
                }
                Attack::Bodies => {}
            }
            for connection in &mut shared {
                connection.read(LOOK, |_, _| {});
            }
            looks += 1;
            std::thread::sleep(LOOK);
        }
    }

    /// The target of the subscription of a stranger; no two strangers have a selector in common.
    fn target(&self, number: usize) -> String {
        let selector = |at: usize| {
            let (one, other) = (1_000 + at % 9_000, 9_999 - number % 9_000);
            match (self.plan.attack, at % 2) {
                // They begin with what any text matches, so they stay possible up to the last
                // bytes, which no topic has.
                (Attack::Templates | Attack::TemplatesHttp2, _) => {
                    format!("topic=%7B%2Ba:{one},b:{other},c:8,d:22%7D~")
                }
                (Attack::Patterns | Attack::PatternsHttp2, 0) => {
                    format!("match_urlpattern=*://*/%7Ba%7D*%7Baa%7D*%7Baaa%7D*%7Ba%7D*{one}-{other}")
                }
                (Attack::Patterns | Attack::PatternsHttp2, _) => {
                    format!("match_urlpattern=https://example.com/(a*a*a*a*a*a*){one}-{other}")
                }
                (Attack::Presence | Attack::Bodies, _) => format!("topic=https://s.example/{number}/{at}"),
            }
        };
        let selectors: Vec<String> = (0..self.plan.selectors).map(selector).collect();
        format!("/.well-known/mercure?{}", selectors.join("&"))
    }

    fn request(&self, number: usize) -> String {
        format!("GET {} HTTP/1.1\r\nHost: hub\r\n\r\n", self.target(number))
    }

    /// A subscription over HTTP/1.1; `None` if it was refused.
    fn subscribe(&self, number: usize) -> Option<TcpStream> {
        let mut socket = self.connect(number)?;
        socket.write_all(self.request(number).as_bytes()).ok()?;
        let (mut head, mut buffer) = (Vec::new(), [0; 4_096]);
        loop {
            if let Some(head) = ResponseHead::parse(&head).ok()? {
                return (head.status == 200).then_some(socket);
            }
            let bytes = socket.read(&mut buffer).ok().filter(|bytes| *bytes > 0)?;
            head.extend_from_slice(&buffer[..bytes]);
        }
    }

    /// Subscriptions on one HTTP/2 connection; `None` if it broke.
    fn subscribe_shared(&self, connection: usize) -> Option<Shared> {
        let first = connection * self.plan.per_connection;
        let socket = self.connect(connection)?;
        let mut shared = Shared {
            socket,
            session: Session::new(false, SHORT_WINDOW_BYTES).ok()?,
            buffer: vec![0; 16 << 10],
        };
        // The SETTINGS of the hub say how many streams it allows.
        shared.read(LOOK, |_, _| {});
        let last = self.plan.strangers.min(first + self.plan.per_connection);
        let (mut waiting, until) = (0, Instant::now() + PATIENCE);
        for number in first..last {
            match shared.session.request(number as u64, self.request(number).as_bytes()) {
                Ok(_) => waiting += 1,
                Err(_) => self.count(false),
            }
            // One at a time: the windows and the limits of the hub apply.
            while waiting > 0 && Instant::now() < until {
                let is_open = shared.read(LOOK, |_, status| {
                    waiting -= 1;
                    self.count(status == Some(200));
                });
                if !is_open {
                    return None;
                }
            }
        }
        Some(shared)
    }

    /// A publication whose last bytes do not come.
    fn begin_body(&self, number: usize) -> Option<TcpStream> {
        let mut socket = self.connect(number)?;
        let head = format!(
            "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {}\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {BODY_BYTES}\r\n\r\ntopic=s&data=",
            self.token
        );
        let body = vec![b'x'; BODY_BYTES - MISSING_BYTES];
        socket.set_write_timeout(Some(BODY_PATIENCE)).ok()?;
        let is_sent = socket.write_all(head.as_bytes()).and_then(|()| socket.write_all(&body)).is_ok();
        self.count(is_sent);
        is_sent.then_some(socket)
    }

    /// A connection from an address of the stranger's own.
    fn connect(&self, number: usize) -> Option<TcpStream> {
        let is_loopback = self.hub.ip().is_loopback() && self.hub.is_ipv4();
        let socket = if is_loopback {
            let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).ok()?;
            let block = u8::try_from(number / 250 % 100).unwrap_or(0);
            let host = u8::try_from(number % 250 + 1).unwrap_or(1);
            rustix::net::bind(&socket, &SocketAddr::from(([127, 1, block, host], 0))).ok()?;
            rustix::net::connect(&socket, &self.hub).ok()?;
            TcpStream::from(socket)
        } else {
            TcpStream::connect(self.hub).ok()?
        };
        socket.set_read_timeout(Some(PATIENCE)).ok()?;
        socket.set_write_timeout(Some(PATIENCE)).ok()?;
        Some(socket)
    }
}

/// An HTTP/2 connection of strangers.
struct Shared {
    socket: TcpStream,
    session: Session,
    buffer: Vec<u8>,
}

impl Shared {
    /// Sends what waits, and reads for `patience` at most. Calls `answered` with the key of each
    /// request that has a status, or that was reset. False if the connection has ended.
    fn read(&mut self, patience: Duration, mut answered: impl FnMut(u64, Option<u16>)) -> bool {
        if self.flush().is_none() || self.socket.set_read_timeout(Some(patience)).is_err() {
            return false;
        }
        let bytes = match self.socket.read(&mut self.buffer) {
            Ok(0) => return false,
            Ok(bytes) => bytes,
            Err(error) => return matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if self.session.receive(&mut self.buffer, bytes).is_err() {
            return false;
        }
        loop {
            match self.session.next() {
                Ok(Some(Event::Head { key, head })) => answered(key, Some(head.status)),
                Ok(Some(Event::Reset { key, .. })) => answered(key, None),
                Ok(Some(Event::Data { .. } | Event::End { .. })) => {}
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        self.flush().is_some()
    }

    fn flush(&mut self) -> Option<()> {
        self.session.write_pending().ok()?;
        while !self.session.unsent().is_empty() {
            let sent = self.socket.write(self.session.unsent()).ok()?;
            self.session.taken(sent);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_strangers_have_a_selector_in_common_and_all_of_one_fit_a_request() {
        // More patterns are refused, whatever they are.
        for (attack, selectors) in
            [(Attack::Templates, 1_000), (Attack::Presence, 1_000), (Attack::PatternsHttp2, 128)]
        {
            let state = State {
                hub: SocketAddr::from(([127, 0, 0, 1], 1)),
                token: String::new(),
                plan: Plan { attack, strangers: 512, per_connection: 128, selectors },
                coming: AtomicUsize::new(0),
                accepted: AtomicUsize::new(0),
                refused: AtomicUsize::new(0),
                is_over: AtomicBool::new(false),
            };
            let targets: Vec<String> = (0..20).map(|number| state.target(number)).collect();
            assert!(targets.iter().all(|target| target.len() < 48 << 10));
            let all: HashSet<&str> =
                targets.iter().flat_map(|target| target.split(['?', '&']).skip(1)).collect();
            assert_eq!(all.len(), 20 * selectors, "{attack:?}");
        }
    }
}
