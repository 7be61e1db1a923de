//! The clients of the soak: publishers, and subscribers that leave and come back. Each belongs to
//! one thread during a round, and speaks one version of the protocol.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::common::http2::{self, Events, Http2};
use crate::common::{Client, Hub, Stream, get, id, post};
use crate::generation::Generation;
use crate::oracle::{MARKS, Oracle, Publication, Selection, Stored, TOPICS, Topics, topic};

/// The longest data of an update, but for its length and its id.
const FILL_BYTES_MAX: usize = 4_000;
/// One of so many updates is this many times longer.
const LONG_ONE_IN: usize = 50;
const LONG_TIMES: usize = 20;
/// One of so many publications is broken off.
const BROKEN_ONE_IN: usize = 40;
/// Events after which a subscriber leaves, at most.
const EVENTS_MAX: usize = 150;
/// How the ids of marks between two rounds begin.
pub(crate) const OBSERVED: &str = "observed-";
/// The longest pause of a publisher between two updates, and of a slow reader between two events.
const PAUSE_MS_MAX: u64 = 8;

/// The counts of the run, which show that everything was exercised.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) broken_off: u64,
    pub(crate) refused: u64,
    pub(crate) received: u64,
    /// Streams that were opened, by protocol and coding.
    pub(crate) opened: std::collections::BTreeMap<&'static str, u64>,
    pub(crate) resumed: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, other: Self) {
        self.published += other.published;
        self.broken_off += other.broken_off;
        self.refused += other.refused;
        self.received += other.received;
        self.resumed += other.resumed;
        for (name, count) in other.opened {
            *self.opened.entry(name).or_default() += count;
        }
    }
}

/// The data of an update tell their own length and id, so each receiver can check them.
fn data(id: &str, bytes: usize) -> String {
    let fill: String = id.chars().cycle().take(bytes).collect();
    format!("{id}~{bytes}~{fill}")
}

fn check_data(event: &str) {
    let found: Vec<_> = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    let found = found.join("\n");
    let id = id(event);
    let bytes = found.split('~').nth(1).and_then(|text| text.parse().ok());
    assert_eq!(bytes.map(|bytes| data(&id, bytes)), Some(found), "the data of {id} were changed");
}

/// The way of a client to the hub.
enum Way {
    Http1(Option<Client>),
    Http2(Option<Http2>),
}

pub(crate) struct Publisher {
    number: usize,
    sequence: u64,
    way: Way,
    rng: Rng,
    token: String,
}

impl Publisher {
    pub(crate) fn new(number: usize, rng: Rng) -> Self {
        let way = if number.is_multiple_of(2) { Way::Http1(None) } else { Way::Http2(None) };
        // Over both transports each.
        let token = Generation::of(number / 2).everything();
        Self { number, sequence: 0, way, rng, token }
    }

    /// Publishes until then.
    pub(crate) fn run(&mut self, hub: &Hub, until: Instant, oracle: &Mutex<Oracle>) -> Counts {
        let mut counts = Counts::default();
        // The hub closes connections that are idle between two rounds.
        match &mut self.way {
            Way::Http1(connection) => *connection = None,
            Way::Http2(connection) => *connection = None,
        }
        while Instant::now() < until {
            let (id, body, mut publication) = self.next();
            publication.fate = self.publish(hub, &id, &body, &mut counts);
            counts.published += u64::from(publication.fate == Stored::Yes);
            oracle.lock().expect("no panic").publish(id, publication);
            std::thread::sleep(Duration::from_millis(self.rng.u64(0..=PAUSE_MS_MAX)));
        }
        counts
    }

    fn next(&mut self) -> (String, String, Publication) {
        self.sequence += 1;
        let id = format!("p{}-{}", self.number, self.sequence);
        let is_private = self.rng.usize(0..3) == 0;
        let count = if is_private { 1 } else { self.rng.usize(1..=2) };
        let topics = Topics::of((0..count).map(|_| self.rng.usize(0..TOPICS)));
        let times = if self.rng.usize(0..LONG_ONE_IN) == 0 { LONG_TIMES } else { 1 };
        let data = data(&id, self.rng.usize(0..FILL_BYTES_MAX) * times);
        let named: Vec<_> = topics.numbers().map(|number| format!("topic={}", topic(number))).collect();
        let private = if is_private { "&private=on" } else { "" };
        let body = format!("{}&id={id}{private}&data={data}", named.join("&"));
        let (publisher, sequence, fate) = (self.number, self.sequence, Stored::No);
        (id, body, Publication { publisher, sequence, topics, is_private, fate })
    }

    fn publish(&mut self, hub: &Hub, id: &str, body: &str, counts: &mut Counts) -> Stored {
        let breaks = self.rng.usize(0..BROKEN_ONE_IN) == 0;
        counts.broken_off += u64::from(breaks);
        let request = http2::request("POST", "/.well-known/mercure")
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", http2::FORM);
        match &mut self.way {
            Way::Http1(connection) => {
                let client = connection.get_or_insert_with(|| hub.connect());
                let text = post(body, Some(&self.token));
                if breaks {
                    let is_whole = self.rng.bool();
                    let length = if is_whole { text.len() } else { text.len() - 1 };
                    client.send(&text[..length]);
                    *connection = None;
                    return if is_whole { Stored::Perhaps } else { Stored::No };
                }
                client.send(&text);
                let answer = client.answer();
                acknowledged(answer.status, &answer.body, id, counts)
            }
            Way::Http2(connection) => {
                let client = connection.get_or_insert_with(|| Http2::connect(hub));
                if breaks {
                    // The head alone; the connection ends before the body.
                    drop(client.begin(request, false));
                    *connection = None;
                    return Stored::No;
                }
                let reply = client.ask(request, body.to_owned());
                acknowledged(reply.status, &reply.body, id, counts)
            }
        }
    }
}

fn acknowledged(status: u16, body: &str, id: &str, counts: &mut Counts) -> Stored {
    match status {
        200 => {
            assert_eq!(body, id);
            Stored::Yes
        }
        503 => {
            counts.refused += 1;
            Stored::No
        }
        _ => panic!("a publication gets {status}: {body}"),
    }
}

/// An open stream.
enum Open {
    Own(Box<Stream>),
    Shared(Box<Events>),
}

pub(crate) struct Subscriber {
    pub(crate) generation: Generation,
    pub(crate) selection: Selection,
    query: String,
    authorization: Option<String>,
    /// The number of its selectors.
    pub(crate) selectors: usize,
    stream: Option<Open>,
    /// The id of the last event, from which it resumes.
    last: Option<String>,
    /// What it has received in this round.
    pub(crate) received: Vec<String>,
    /// Events until it leaves; `None`: it stays.
    leaves_in: Option<usize>,
    stays: bool,
    is_slow: bool,
    rng: Rng,
}

/// A coding that a client asks for.
const CODINGS: [(&str, Option<&str>); 3] =
    [("identity", None), ("gzip", Some("gzip")), ("zstd", Some("zstd"))];

impl Subscriber {
    pub(crate) fn new(generation: Generation, mut rng: Rng) -> Self {
        let some = |rng: &mut Rng| Topics::of((0..TOPICS).filter(|_| rng.bool()));
        let (is_pattern, is_granted) = (rng.usize(0..3) == 0, rng.usize(0..3));
        let selected = if is_pattern { Topics::ALL } else { some(&mut rng) };
        let (query, selectors) = generation.query(selected, is_pattern);
        let granted = match is_granted {
            0 => Topics::default(),
            1 => some(&mut rng),
            _ => Topics::ALL,
        };
        // Without a grant it is anonymous.
        let authorization = (is_granted > 0).then(|| generation.subscriber(granted, is_granted == 2));
        let is_slow = rng.usize(0..5) == 0;
        Self {
            generation,
            selection: Selection { selected, granted },
            query,
            authorization,
            selectors,
            stream: None,
            last: None,
            received: Vec::new(),
            leaves_in: None,
            stays: false,
            is_slow,
            rng,
        }
    }

    /// One that receives everything, and never leaves.
    pub(crate) fn auditor(generation: Generation, rng: Rng) -> Self {
        let (query, selectors) = generation.query(Topics::ALL, true);
        Self {
            selection: Selection { selected: Topics::ALL, granted: Topics::ALL },
            query,
            authorization: Some(generation.subscriber(Topics::ALL, true)),
            selectors,
            stays: true,
            is_slow: false,
            ..Self::new(generation, rng)
        }
    }

    /// Opens its stream, from its last event on. `shared`: over HTTP/2.
    pub(crate) fn open(&mut self, hub: &Hub, shared: Option<&Http2>, counts: &mut Counts) {
        if self.stream.is_some() {
            return;
        }
        self.leaves_in = (!self.stays).then(|| self.rng.usize(0..EVENTS_MAX));
        let (name, coding) = CODINGS[self.rng.usize(0..CODINGS.len())];
        *counts.opened.entry(name).or_default() += 1;
        *counts.opened.entry(if shared.is_some() { "HTTP/2" } else { "HTTP/1.1" }).or_default() += 1;
        let version = if self.generation == Generation::New { "08" } else { "07" };
        *counts.opened.entry(version).or_default() += 1;
        // The first time from the beginning, so that nothing is missed.
        let last = self.last.clone().unwrap_or_else(|| "earliest".to_owned());
        let mut headers = Vec::new();
        headers.extend(coding.map(|coding| ("accept-encoding", coding.to_owned())));
        headers.extend(self.authorization.as_ref().map(|token| ("authorization", format!("Bearer {token}"))));
        let mut query = self.query.clone();
        if self.rng.bool() {
            headers.push(("last-event-id", last.clone()));
        } else {
            query.push_str(&format!("&{}={last}", self.generation.cursor_parameter()));
        }
        counts.resumed += u64::from(self.last.is_some());
        let told = match shared {
            None => {
                let lines: String =
                    headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                let mut client = hub.connect();
                client.send(&get(&query, &lines));
                let stream = Stream::open(client);
                assert_eq!(stream.status, 200, "{}", stream.head);
                let told = stream.header(self.generation.cursor_field()).map(str::to_owned);
                self.stream = Some(Open::Own(Box::new(stream)));
                told
            }
            Some(client) => {
                let request = headers
                    .iter()
                    .fold(http2::get(&query), |request, (name, value)| request.header(*name, value));
                let events = client.open(request);
                assert_eq!(events.status, 200);
                let told = http2::field(&events.headers, self.generation.cursor_field()).map(str::to_owned);
                self.stream = Some(Open::Shared(Box::new(events)));
                told
            }
        };
        assert_eq!(told, Some(last), "the hub does not hold what follows the last event");
    }

    /// Reads to the mark of the round. It may leave before, and comes back. Over HTTP/2, false: it
    /// wants the whole connection to break.
    pub(crate) fn run(&mut self, hub: &Hub, shared: Option<&Http2>, mark: &str, counts: &mut Counts) -> bool {
        loop {
            self.open(hub, shared, counts);
            if self.leaves_in == Some(0) {
                self.leave();
                if shared.is_some() && self.rng.usize(0..4) == 0 {
                    return false;
                }
                continue;
            }
            self.leaves_in = self.leaves_in.map(|left| left - 1);
            let event = match (self.stream.as_mut().expect("it was opened"), shared) {
                (Open::Own(stream), _) => stream.next(),
                (Open::Shared(events), Some(client)) => events.next(client),
                (Open::Shared(_), None) => unreachable!("it was opened on a connection that is shared"),
            };
            // The hub may end a stream; it may not cut one.
            let Some(event) = event else {
                self.leave();
                continue;
            };
            check_data(&event);
            let id = id(&event);
            self.last = Some(id.clone());
            if id == mark {
                return true;
            }
            if id.starts_with(OBSERVED) {
                continue;
            }
            counts.received += 1;
            self.received.push(id);
            if self.is_slow {
                std::thread::sleep(Duration::from_millis(self.rng.u64(0..=PAUSE_MS_MAX)));
            }
        }
    }

    /// Drops its stream.
    pub(crate) fn leave(&mut self) {
        self.stream = None;
    }
}

/// Publishes the mark of a round.
pub(crate) fn publish_mark(hub: &Hub, mark: &str) {
    hub.publish(&format!("topic={MARKS}&id={mark}&data={}", data(mark, 0)));
}

/// Subscribers that share an HTTP/2 connection.
pub(crate) struct Group {
    client: Option<Http2>,
    pub(crate) subscribers: Vec<Subscriber>,
}

impl Group {
    pub(crate) fn new(subscribers: Vec<Subscriber>) -> Self {
        Self { client: None, subscribers }
    }

    /// Runs each to the mark. While one reads, the windows of the others fill.
    pub(crate) fn run(&mut self, hub: &Hub, mark: &str) -> Counts {
        let mut counts = Counts::default();
        let mut at = 0;
        while at < self.subscribers.len() {
            let client = self.client.get_or_insert_with(|| Http2::connect(hub));
            self.subscribers.iter_mut().for_each(|it| it.open(hub, Some(client), &mut counts));
            if self.subscribers[at].run(hub, Some(client), mark, &mut counts) {
                at += 1;
            } else {
                self.subscribers.iter_mut().for_each(Subscriber::leave);
                self.client = None;
            }
        }
        // All of them are there when the subscriptions are counted.
        let client = self.client.get_or_insert_with(|| Http2::connect(hub));
        self.subscribers.iter_mut().for_each(|it| it.open(hub, Some(client), &mut counts));
        counts
    }
}
