//! The limit: the performance of this machine's kernel with nothing between a publication and its
//! sends.
//!
//! One thread. A `GET` gets a fixed head, and its socket joins the list of its topic. A `POST` is
//! answered, framed once, and sent to every socket of the list in a plain loop. It parses only the
//! end of the head and the text after `topic=`; it has no templates, no authorization, no history
//! and no heartbeat. No single-threaded hub that sends one frame at a time can be faster. With a
//! [`Ring`], the sends are made in batches; then no hub can be faster that makes one send for each
//! subscriber.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::limit_ring::Ring;
use crate::net::{self, Interest, Poll};
use crate::options::Fault;

const LISTENER: u64 = u64::MAX;
const ACCEPT_BATCH: usize = 64;
const BACKLOG: i32 = 4_096;
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\nPragma: no-cache\r\nExpires: 0\r\n\
    X-Accel-Buffering: no\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n:\n\r\n";
/// A faulty server fails at every update of this period.
const FAULT_PERIOD: u64 = 10;

/// A connection.
enum Connection {
    /// Its request is being read, or it publishes.
    Talking { socket: OwnedFd, input: Vec<u8> },
    /// A subscriber: its socket is in this list.
    Listening { list: usize },
}

/// A subscriber: its slot and its socket.
type Subscriber = (usize, OwnedFd);

struct Limit {
    poll: Poll,
    listener: OwnedFd,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// The index of each topic's list; topics stay percent-encoded.
    topics: HashMap<Vec<u8>, usize>,
    lists: Vec<Vec<Subscriber>>,
    published: u64,
    frame: Vec<u8>,
    fault: Fault,
    held: Option<Vec<u8>>,
    ring: Option<Ring>,
}

/// Why the limit server cannot serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LimitServerError {
    #[error("prctl")]
    ParentDeath(#[source] Errno),
    #[error("limit server on {0}")]
    Serve(SocketAddr, #[source] Errno),
    #[error("the kernel refuses an io_uring (--ring)")]
    Ring(#[source] std::io::Error),
}

/// Serves until it is killed or its parent ends.
pub(crate) fn run(address: SocketAddr, fault: Fault, has_ring: bool) -> Result<(), LimitServerError> {
    let descriptors = net::raise_descriptor_limit();
    let ring = has_ring.then(|| Ring::new(descriptors)).transpose().map_err(LimitServerError::Ring)?;
    let parent_death = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM));
    parent_death.map_err(LimitServerError::ParentDeath)?;
    serve(address, fault, ring).map_err(|error| LimitServerError::Serve(address, error))
}

fn serve(address: SocketAddr, fault: Fault, ring: Option<Ring>) -> Result<(), Errno> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let listener =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&listener, true)?;
    rustix::net::bind(&listener, &address)?;
    rustix::net::listen(&listener, BACKLOG)?;
    let poll = Poll::new()?;
    poll.add(&listener, LISTENER, Interest::Read)?;
    let mut limit = Limit {
        poll,
        listener,
        connections: Vec::new(),
        free: Vec::new(),
        topics: HashMap::new(),
        lists: Vec::new(),
        published: 0,
        frame: Vec::new(),
        fault,
        held: None,
        ring,
    };
    let mut keys = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        keys.clear();
        limit.poll.wait(None, &mut keys)?;
        for &key in &keys {
            if key == LISTENER {
                limit.accept()?;
            } else {
                limit.read(key as usize, &mut buffer)?;
            }
        }
    }
}

impl Limit {
    fn accept(&mut self) -> Result<(), Errno> {
        for _ in 0..ACCEPT_BATCH {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let socket = match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => socket,
                Err(Errno::AGAIN) => break,
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            sockopt::set_tcp_nodelay(&socket, true)?;
            let slot = self.free.pop().unwrap_or(self.connections.len());
            self.poll.add(&socket, slot as u64, Interest::Read)?;
            let connection = Some(Connection::Talking { socket, input: Vec::new() });
            match self.connections.get_mut(slot) {
                Some(entry) => *entry = connection,
                None => self.connections.push(connection),
            }
        }
        Ok(())
    }

    fn read(&mut self, slot: usize, buffer: &mut [u8]) -> Result<(), Errno> {
        let (socket, input) = match self.connections.get_mut(slot) {
            Some(Some(Connection::Talking { socket, input })) => (socket, input),
            Some(Some(Connection::Listening { list })) => {
                // A subscriber sends nothing, so it has closed.
                self.lists[*list].retain(|(listener, _)| *listener != slot);
                self.release(slot);
                return Ok(());
            }
            _ => return Ok(()),
        };
        match net::receive(&*socket, buffer) {
            Ok(None) => return Ok(()),
            Ok(Some(0)) | Err(_) => {
                self.release(slot);
                return Ok(());
            }
            Ok(Some(bytes)) => input.extend_from_slice(&buffer[..bytes]),
        }
        let Some(head_bytes) = memchr::memmem::find(input, b"\r\n\r\n").map(|at| at + 4) else {
            return Ok(());
        };
        if input.starts_with(b"GET") {
            let topic = after(&input[..head_bytes], b"topic=", b" &").to_vec();
            self.subscribe(slot, topic);
            return Ok(());
        }
        let length = content_bytes(&input[..head_bytes]);
        if input.len() < head_bytes + length {
            return Ok(());
        }
        let body = &input[head_bytes..head_bytes + length];
        let list = self.topics.get(after(body, b"topic=", b"&")).copied();
        let data = after(body, b"data=", b"");
        let id = format!("urn:uuid:00000000-0000-4000-8000-{:012x}", self.published);
        let event_bytes = b"id: ".len() + id.len() + b"\ndata: ".len() + data.len() + b"\n\n".len();
        self.frame.clear();
        self.frame.extend_from_slice(format!("{event_bytes:x}\r\nid: {id}\ndata: ").as_bytes());
        self.frame.extend_from_slice(data);
        self.frame.extend_from_slice(b"\n\n\r\n");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{id}", id.len());
        net::send(&*socket, answer.as_bytes())?;
        input.clear();
        self.published += 1;
        if let Some(list) = list {
            self.fan_out(list);
        }
        Ok(())
    }

    fn subscribe(&mut self, slot: usize, topic: Vec<u8>) {
        let list = *self.topics.entry(topic).or_insert(self.lists.len());
        if list == self.lists.len() {
            self.lists.push(Vec::new());
        }
        let talking = self.connections[slot].replace(Connection::Listening { list });
        match talking {
            Some(Connection::Talking { socket, .. }) if net::send(&socket, HEAD).is_ok() => {
                if let Some(ring) = &self.ring {
                    ring.register(slot, &socket);
                }
                self.lists[list].push((slot, socket));
            }
            _ => self.release(slot),
        }
    }

    fn release(&mut self, slot: usize) {
        if let Some(ring) = &self.ring {
            ring.forget(slot);
        }
        self.connections[slot] = None;
        self.free.push(slot);
    }

    fn fan_out(&mut self, list: usize) {
        let mut subscribers = std::mem::take(&mut self.lists[list]);
        let mut at = 0;
        if self.fault != Fault::None
            && let Some((_, first)) = subscribers.first()
        {
            self.send_faulty(first);
            at = 1;
        }
        if let Some(ring) = &mut self.ring {
            // What a ring has not sent completely is the business of the plain loop.
            let rest = ring.send_all(&subscribers[at..], &self.frame);
            for (number, sent) in rest.into_iter().rev() {
                if !send_all(&subscribers[at + number].1, &self.frame[sent..]) {
                    let (slot, _) = subscribers.swap_remove(at + number);
                    self.release(slot);
                }
            }
            at = subscribers.len();
        }
        while at < subscribers.len() {
            if send_all(&subscribers[at].1, &self.frame) {
                at += 1;
            } else {
                let (slot, _) = subscribers.swap_remove(at);
                self.release(slot);
            }
        }
        self.lists[list] = subscribers;
    }

    /// Sends to the first subscriber of a server with a fault; the judge must notice it.
    fn send_faulty(&mut self, socket: &OwnedFd) {
        let due = self.published.is_multiple_of(FAULT_PERIOD);
        match self.fault {
            Fault::Lose if due => return,
            Fault::Reorder if due => {
                self.held = Some(self.frame.clone());
                return;
            }
            Fault::Duplicate if due => {
                send_all(socket, &self.frame);
            }
            Fault::Corrupt if due => {
                // The last byte of the data, before the ends of the event and of the chunk.
                let mut spoilt = self.frame.clone();
                let at = spoilt.len() - b"x\n\n\r\n".len();
                spoilt[at] ^= 1;
                send_all(socket, &spoilt);
                return;
            }
            _ => {}
        }
        send_all(socket, &self.frame);
        if let Some(held) = self.held.take() {
            send_all(socket, &held);
        }
    }
}

/// The text after `name` up to one of `ends`; empty if `name` does not occur.
fn after<'a>(text: &'a [u8], name: &[u8], ends: &[u8]) -> &'a [u8] {
    let Some(at) = memchr::memmem::find(text, name) else { return &[] };
    let rest = &text[at + name.len()..];
    &rest[..rest.iter().position(|byte| ends.contains(byte)).unwrap_or(rest.len())]
}

/// Sends a frame, waiting up to a second for a full socket; false when the subscriber is gone.
fn send_all(socket: &OwnedFd, frame: &[u8]) -> bool {
    let mut rest = frame;
    loop {
        match net::send(socket, rest) {
            Ok(sent) if sent == rest.len() => return true,
            Ok(sent) => rest = &rest[sent..],
            Err(_) => return false,
        }
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        if !matches!(poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&second)), Ok(1)) {
            return false;
        }
    }
}

fn content_bytes(head: &[u8]) -> usize {
    let name = b"Content-Length: ";
    let Some(at) = memchr::memmem::find(head, name) else { return 0 };
    let digits = head[at + name.len()..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |value, byte| value * 10 + usize::from(byte - b'0'))
}
