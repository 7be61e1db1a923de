//! A client of the simulated hub: what it sends and how fast it reads; and a reader of HTTP/1.1
//! responses that shares no code with the hub.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fastrand::Rng;
use petasos::mercure::grant::Grant;
use petasos::mercure::selector::Selector;
use petasos::server::simulated::{SimClientState, SimulatedHub};

/// What a client does.
pub(crate) enum Purpose {
    /// Publishes these updates, one request after the other.
    Publish(Vec<usize>),
    Subscribe(Box<Subscription>),
    /// Lists active subscriptions.
    List,
}

/// What a client subscribes to.
pub(crate) struct Subscription {
    pub(crate) selectors: Vec<Selector>,
    pub(crate) grant: Grant,
    /// The id in `Last-Event-ID`.
    pub(crate) resumes_after: Option<String>,
    /// When its token expires, in milliseconds of the hub's clock.
    pub(crate) expires_ms: u64,
    /// How many updates were committed when the client had received the head.
    pub(crate) committed_at_head: Option<usize>,
}

/// How a client has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    Stays,
    /// It sends nothing more, and reads on.
    Ended,
    Reset,
}

pub(crate) struct Client {
    /// Its number in the network.
    pub(crate) number: usize,
    pub(crate) purpose: Purpose,
    /// The requests, and how much was sent of them.
    pub(crate) requests: Vec<u8>,
    pub(crate) sent: usize,
    pub(crate) requests_count: usize,
    pub(crate) received: Vec<u8>,
    pub(crate) departure: Departure,
    pub(crate) connected_ms: u64,
    /// When all requests were sent.
    pub(crate) asked_ms: Option<u64>,
    /// What it takes at once, at most.
    pub(crate) takes: usize,
    /// When it last received something.
    pub(crate) received_ms: u64,
    /// It sends no more than this of its requests.
    pub(crate) sends_max: usize,
    /// It takes nothing any more.
    pub(crate) is_stalled: bool,
    /// Its stream must end with all that was committed.
    pub(crate) must_have_all: bool,
}

/// A response that arrived completely, or the head of a stream.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.field("content-type") == Some("text/event-stream")
    }

    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Client {
    pub(crate) fn connect(
        hub: &mut SimulatedHub,
        rng: &mut Rng,
        shard: usize,
        purpose: Purpose,
        requests: &[Vec<u8>],
    ) -> Option<Self> {
        let peer = IpAddr::V4(Ipv4Addr::new(192, 0, 2, rng.u8(..4)));
        let capacity = [16, 200, 1_000, 64 << 10][rng.usize(..4)];
        let number = hub.connect(shard, SocketAddr::new(peer, 4_000), capacity)?;
        Some(Self {
            number,
            purpose,
            requests: requests.concat(),
            sent: 0,
            requests_count: requests.len(),
            received: Vec::new(),
            departure: Departure::Stays,
            connected_ms: hub.now_ms(),
            asked_ms: None,
            takes: [1, 50, 1_000, usize::MAX][rng.usize(..4)],
            received_ms: hub.now_ms(),
            sends_max: if rng.u32(..12) == 0 { rng.usize(..300) } else { usize::MAX },
            is_stalled: false,
            must_have_all: false,
        })
    }

    /// Sends some of what is left; returns whether anything was sent.
    pub(crate) fn send(&mut self, hub: &mut SimulatedHub, bytes_max: usize) -> bool {
        let end = self.requests.len().min(self.sends_max).min(self.sent.saturating_add(bytes_max));
        if self.departure != Departure::Stays || self.sent >= end {
            return false;
        }
        let count = hub.arrive(self.number, &self.requests[self.sent..end]);
        self.sent += count;
        if self.sent == self.requests.len() {
            self.asked_ms = Some(hub.now_ms());
        }
        count > 0
    }

    /// Takes some of what has come; returns whether anything has.
    pub(crate) fn take(&mut self, hub: &mut SimulatedHub, bytes_max: usize, committed: usize) -> bool {
        if self.departure == Departure::Reset || self.is_stalled {
            return false;
        }
        let taken = hub.take(self.number, bytes_max);
        if taken.is_empty() {
            return false;
        }
        self.received_ms = hub.now_ms();
        self.received.extend(taken);
        let has_head = memchr::memmem::find(&self.received, b"\r\n\r\n").is_some();
        if let Purpose::Subscribe(subscription) = &mut self.purpose
            && subscription.committed_at_head.is_none()
            && has_head
        {
            subscription.committed_at_head = Some(committed);
        }
        true
    }

    pub(crate) fn leave(&mut self, hub: &mut SimulatedHub, departure: Departure) {
        if self.departure == Departure::Reset {
            return;
        }
        match departure {
            Departure::Stays => return,
            Departure::Ended => hub.end(self.number),
            Departure::Reset => hub.reset(self.number),
        }
        self.departure = departure;
    }

    /// For the message of a failure.
    pub(crate) fn describe(&self, hub: &SimulatedHub) -> String {
        let Self { number, connected_ms, asked_ms, received_ms, departure, sent, .. } = self;
        format!(
            "client {number}: {departure:?}, {:?}, closed {}, connected at {connected_ms}, asked at {asked_ms:?}, \
            received at {received_ms}, now {}\nsent {sent} of {}\nreceived {}",
            hub.client_state(*number),
            hub.is_closed(*number),
            hub.now_ms(),
            String::from_utf8_lossy(&self.requests),
            String::from_utf8_lossy(&self.received)
        )
    }

    pub(crate) fn is_open(&self, hub: &SimulatedHub) -> bool {
        self.departure == Departure::Stays && hub.client_state(self.number) == SimClientState::Open
    }

    /// The responses that have arrived; of a stream, its head, and what has arrived of its body.
    ///
    /// # Panics
    /// What has arrived is no response.
    pub(crate) fn responses(&self) -> Vec<Response> {
        let (mut rest, mut responses) = (&self.received[..], Vec::new());
        while let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") {
            let head = std::str::from_utf8(&rest[..end]).expect("UTF-8").to_owned();
            rest = &rest[end + 4..];
            let status = head.strip_prefix("HTTP/1.1 ").expect("a status line");
            let status: u16 = status[..3].parse().expect("a status");
            let mut response = Response { status, head, body: Vec::new() };
            if status == 100 {
                continue;
            }
            if response.is_stream() {
                response.body = rest.to_vec();
                responses.push(response);
                return responses;
            }
            let length = response.field("content-length").expect("a length").parse().expect("a number");
            let Some(body) = rest.get(..length) else { return responses };
            response.body = body.to_vec();
            rest = &rest[length..];
            responses.push(response);
        }
        responses
    }
}
