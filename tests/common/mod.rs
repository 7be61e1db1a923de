//! A hub started as a user starts it, and clients on real sockets. All waits have a deadline.

// Each test binary uses only some of these items.
#![allow(dead_code, reason = "shared by several test binaries")]

pub(crate) mod frames;
pub(crate) mod http2;
pub(crate) mod mixed;
pub(crate) mod pebble;
pub(crate) mod subscriptions;
pub(crate) mod tls;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use petasos::mercure::token::{Algorithm, sign};
use rustls::{ClientConfig, ClientConnection};
use serde_json::{Value, json};

/// The longest time that one wait may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
pub(crate) const KEY: &str = "0123456789abcdef0123456789abcdef";

/// A running hub; killed when dropped.
pub(crate) struct Hub {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The clients' TLS configuration, if the hub takes TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    lines: Receiver<String>,
    /// The log so far.
    pub(crate) log: Vec<String>,
    /// How many of its lines were searched.
    searched: usize,
}

impl Hub {
    /// Starts a hub on a free port with a key, anonymous subscribers, and these additional
    /// settings.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        Self::run(Self::command(settings))
    }

    /// The command of such a hub.
    pub(crate) fn command(settings: &[(&str, &str)]) -> Command {
        let mut command = command();
        command.env("ADDR", "127.0.0.1:0").env("JWT_KEY", KEY).env("ALLOW_ANONYMOUS", "1");
        command.env("DB_PATH", ":memory:");
        if mixed::is_mixed() {
            command.envs(mixed::ISSUER_SETTINGS);
        }
        command.envs(settings.iter().copied());
        command
    }

    /// Runs a prepared command, and waits until the hub serves.
    pub(crate) fn run(mut command: Command) -> Self {
        command.env("LOG_FORMAT", "JSON").stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = unbounded();
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut hub = Self { child, address, tls: None, lines, log: Vec::new(), searched: 0 };
        let line = hub.wait_for_log("petasos serves");
        let line: Value = serde_json::from_str(&line).expect("a JSON line");
        hub.address = line["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        // Other threads of the hub may have logged before it.
        hub.searched = 0;
        hub
    }

    /// Waits for a log line that holds this text, after the one that was waited for before.
    pub(crate) fn wait_for_log(&mut self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            while let Some(line) = self.log.get(self.searched) {
                self.searched += 1;
                if line.contains(text) {
                    return line.clone();
                }
            }
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => self.log.push(line),
                Err(error) => panic!("{text:?} is not in the log ({error}): {:#?}", self.log),
            }
        }
    }

    /// The log so far, without waiting.
    pub(crate) fn logged(&mut self) -> &[String] {
        self.log.extend(self.lines.try_iter());
        &self.log
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("the hub runs");
    }

    /// Waits until the hub ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(Instant::now() < until, "the hub does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn connect(&self) -> Client {
        let socket = TcpStream::connect(self.address).expect("the hub accepts");
        match &self.tls {
            None => Client::new(socket),
            Some(config) => Client::tls(socket, config),
        }
    }

    /// Sends a request on a new connection and reads the whole response.
    pub(crate) fn request(&self, request: &str) -> HttpResponse {
        let mut client = self.connect();
        client.send(request);
        client.answer()
    }

    /// Publishes a form body; returns the id.
    pub(crate) fn publish(&self, body: &str) -> String {
        let answer = self.request(&post(body, Some(&publisher())));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    /// Subscribes with this query, and reads the head of the stream.
    pub(crate) fn subscribe(&self, query: &str) -> Stream {
        self.subscribe_with(query, "")
    }

    /// Subscribes with additional header lines, each with its CR LF.
    pub(crate) fn subscribe_with(&self, query: &str, headers: &str) -> Stream {
        let mut client = self.connect();
        client.send(&get(query, headers));
        Stream::open(client)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary, without any settings from the environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_petasos"));
    command.stdin(Stdio::null()).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

pub(crate) fn token(claim: &Value, exp: Option<u64>) -> String {
    let mut claims = json!({ "mercure": claim });
    if let Some(exp) = exp {
        claims["exp"] = json!(exp);
    }
    sign(&claims, KEY.as_bytes(), Algorithm::HS256).expect("signed")
}

pub(crate) fn publisher() -> String {
    token(&json!({ "publish": ["*"] }), None)
}

pub(crate) fn post(body: &str, token: Option<&str>) -> String {
    let authorization = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\n{authorization}Content-Type: \
         application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn get(query: &str, headers: &str) -> String {
    format!("GET /.well-known/mercure?{query} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n")
}

/// One connection.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    pub(crate) tls: Option<Box<ClientConnection>>,
    pub(crate) received: Vec<u8>,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl HttpResponse {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

impl Client {
    pub(crate) fn new(socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("a socket");
        Self { socket, tls: None, received: Vec::new() }
    }

    /// A client that knows the hub as `localhost`. The first bytes start the handshake.
    pub(crate) fn tls(socket: TcpStream, config: &Arc<ClientConfig>) -> Self {
        let name = "localhost".try_into().expect("a name");
        let connection = ClientConnection::new(Arc::clone(config), name).expect("a configuration");
        Self { tls: Some(Box::new(connection)), ..Self::new(socket) }
    }

    pub(crate) fn send(&mut self, text: &str) {
        // A hub that has refused the beginning may close before the end.
        let _ = match &mut self.tls {
            None => self.socket.write_all(text.as_bytes()),
            Some(connection) => {
                let mut stream = rustls::Stream::new(&mut **connection, &mut self.socket);
                stream.write_all(text.as_bytes()).and_then(|()| stream.flush())
            }
        };
    }

    /// Reads once; false at the end of the stream, which over TLS needs a close_notify.
    pub(crate) fn read_some(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "nothing more came: {:?}", String::from_utf8_lossy(&self.received));
        self.socket.set_read_timeout(Some(left)).expect("a socket");
        let mut buffer = [0; 65_536];
        let read = match &mut self.tls {
            None => self.socket.read(&mut buffer),
            Some(connection) => rustls::Stream::new(&mut **connection, &mut self.socket).read(&mut buffer),
        };
        match read {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => {
                panic!("{error}; received so far: {:?}", String::from_utf8_lossy(&self.received))
            }
        }
    }

    fn head(&mut self) -> String {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(end) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.received.drain(..end + 4).collect();
                return String::from_utf8(head).expect("UTF-8");
            }
            assert!(self.read_some(until), "closed: {:?}", String::from_utf8_lossy(&self.received));
        }
    }

    /// Reads the next response.
    pub(crate) fn answer(&mut self) -> HttpResponse {
        let head = self.head();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let length: usize = header(&head, "Content-Length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let until = Instant::now() + DEADLINE;
        while self.received.len() < length {
            assert!(self.read_some(until), "closed within the body of {head}");
        }
        let body = String::from_utf8(self.received.drain(..length).collect()).expect("UTF-8");
        HttpResponse { status, head, body }
    }

    /// Reads the next response; `None` if the hub closes the connection first.
    pub(crate) fn answer_if_any(&mut self) -> Option<HttpResponse> {
        let until = Instant::now() + DEADLINE;
        while !self.received.windows(4).any(|window| window == b"\r\n\r\n") {
            if !self.read_some(until) {
                return None;
            }
        }
        Some(self.answer())
    }

    /// Whether the hub closes the connection without sending another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        let until = Instant::now() + DEADLINE;
        self.received.is_empty() && !self.read_some(until)
    }
}

/// One event as it arrived, field by field, without the dispatching empty line.
pub(crate) type Event = String;

/// An open stream.
pub(crate) struct Stream {
    pub(crate) client: Client,
    pub(crate) status: u16,
    pub(crate) head: String,
    chunked: bool,
    /// The body so far, without its chunk framing.
    pub(crate) body: Vec<u8>,
    coding: Coding,
    text: String,
    pub(crate) ended: bool,
}

/// A streaming decoder: each input gives its output at once.
enum Coding {
    Identity,
    Gzip(flate2::write::GzDecoder<Vec<u8>>),
    Zstd(zstd::stream::write::Decoder<'static, Vec<u8>>),
}

impl Coding {
    fn of(name: Option<&str>) -> Self {
        match name {
            None => Self::Identity,
            Some("gzip") => Self::Gzip(flate2::write::GzDecoder::new(Vec::new())),
            Some("zstd") => Self::Zstd(zstd::stream::write::Decoder::new(Vec::new()).expect("a decoder")),
            Some(other) => panic!("{other} was not asked for"),
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Identity => bytes.to_vec(),
            Self::Gzip(decoder) => {
                decoder.write_all(bytes).expect("a member of gzip");
                decoder.flush().expect("a member of gzip");
                std::mem::take(decoder.get_mut())
            }
            Self::Zstd(decoder) => {
                decoder.write_all(bytes).expect("frames of zstd");
                decoder.flush().expect("frames of zstd");
                std::mem::take(decoder.get_mut())
            }
        }
    }
}

impl Stream {
    pub(crate) fn open(mut client: Client) -> Self {
        let head = client.head();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        let chunked = header(&head, "Transfer-Encoding") == Some("chunked");
        let coding = Coding::of(header(&head, "Content-Encoding"));
        let (body, text) = (Vec::new(), String::new());
        let mut stream = Self { client, status, head, chunked, body, coding, text, ended: false };
        // Events may have come with the head. Without this, a reader would wait for the heartbeat.
        stream.decode(true);
        stream
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The next event that is not a comment; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(event) = take_event(&mut self.text) {
                return Some(event);
            }
            if self.ended {
                assert!(self.text.is_empty(), "the stream ends within an event: {:?}", self.text);
                return None;
            }
            let open = self.client.read_some(until);
            self.decode(open);
        }
    }

    /// The ids of the next events.
    pub(crate) fn ids(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| id(&self.next().expect("an event"))).collect()
    }

    fn decode(&mut self, open: bool) {
        if !self.chunked {
            let bytes = std::mem::take(&mut self.client.received);
            self.take(&bytes);
            self.ended = !open;
            return;
        }
        while let Some(line) = self.client.received.windows(2).position(|window| window == b"\r\n") {
            let size = std::str::from_utf8(&self.client.received[..line]).expect("UTF-8");
            let size = usize::from_str_radix(size, 16).expect("a chunk size");
            let end = line + 2 + size + 2;
            if self.client.received.len() < end {
                break;
            }
            assert_eq!(&self.client.received[end - 2..end], b"\r\n");
            let chunk: Vec<u8> = self.client.received.drain(..end).collect();
            self.take(&chunk[line + 2..end - 2]);
            self.ended |= size == 0;
        }
        assert!(open || self.ended, "the stream was cut");
    }

    fn take(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
        let text = self.coding.decode(bytes);
        self.text.push_str(std::str::from_utf8(&text).expect("UTF-8"));
    }

    /// Waits for a text that no event taken so far contains.
    pub(crate) fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + DEADLINE;
        while !self.text.contains(text) {
            let open = self.client.read_some(until);
            self.decode(open);
        }
    }

    /// The whole body of a stream that has ended, read by a decoder that requires a clean end.
    pub(crate) fn whole(&self) -> String {
        assert!(self.ended, "the stream goes on");
        let mut text = Vec::new();
        match &self.coding {
            Coding::Identity => text.clone_from(&self.body),
            Coding::Gzip(_) => {
                let mut decoder = flate2::read::GzDecoder::new(&*self.body);
                decoder.read_to_end(&mut text).expect("a whole member of gzip");
                assert!(decoder.into_inner().is_empty(), "something follows the trailer");
            }
            Coding::Zstd(_) => text = zstd::decode_all(&*self.body).expect("whole frames of zstd"),
        }
        String::from_utf8(text).expect("UTF-8")
    }
}

/// Takes the first event of a text that is not a comment, if it is complete.
fn take_event(text: &mut String) -> Option<Event> {
    while let Some(rest) = text.strip_prefix(":\n") {
        *text = rest.to_owned();
    }
    let end = text.find("\n\n")?;
    let event = text[..end + 1].to_owned();
    text.drain(..end + 2);
    Some(event)
}

/// The id of an event.
pub(crate) fn id(event: &str) -> String {
    event.lines().find_map(|line| line.strip_prefix("id: ")).expect("an id").to_owned()
}

/// Waits until something holds.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
