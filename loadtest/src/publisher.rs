//! One publisher: one publication at a time, on a kept-alive connection or on one that the engine
//! shares.
//!
//! A hub may close a connection after a long idle time; the next publication opens another.

use std::net::SocketAddr;
use std::sync::Arc;

use h2::Reason;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustls::ClientConfig;

use crate::connection::Connection;
use crate::wire::chunked::Chunked;
use crate::wire::http::{HeadError, ResponseHead};
use crate::wire::http2::Event;
use crate::wire::stamp::Stamp;

/// The maximum length of an answer, in bytes.
const RESPONSE_BYTES_MAX: usize = 1 << 20;

/// The hub's answer to a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PublishResult {
    /// 2xx.
    Accepted,
    /// 429 or 503: the hub cannot take it now.
    Refused,
}

/// Why a publisher cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    #[error("a publisher's connection to {0}")]
    Connect(SocketAddr, #[source] Errno),
    #[error("publisher: not connected")]
    NotConnected,
    #[error("publisher")]
    Socket(#[source] Errno),
    #[error("a publisher's connection takes or brings no bytes")]
    Stuck,
    #[error("the hub sent an answer to no publication")]
    Unasked,
    #[error("the hub closed a connection instead of answering a publication")]
    Closed,
    #[error("a publication was reset with error {0:?} instead of answered")]
    Reset(Reason),
    #[error("a publication was answered with status {0}: {1}")]
    Status(u16, String),
    #[error("a publication was answered with an endless body")]
    Endless,
    #[error("a publication's answer has malformed chunks")]
    Chunks,
    #[error("an answer without a head")]
    NoHead,
    #[error(transparent)]
    Head(#[from] HeadError),
}

/// A publisher and its connection.
pub(crate) struct Publisher {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    /// `None` if the hub has closed it between two publications.
    socket: Option<Connection>,
    /// A publication awaits its answer.
    is_busy: bool,
    /// The answer so far. It includes the head over HTTP/1.1; over HTTP/2 `head` has it.
    answer: Vec<u8>,
    head: Option<ResponseHead>,
    /// The server's name for itself in its last answer.
    server: Option<String>,
    under_way: Stamp,
}

impl Publisher {
    /// A publisher that is not connected yet.
    pub(crate) fn new(address: SocketAddr, tls: Option<Arc<ClientConfig>>) -> Self {
        Self {
            address,
            tls,
            socket: None,
            is_busy: false,
            answer: Vec::new(),
            head: None,
            server: None,
            under_way: Stamp { run: 0, stream: 0, sequence: 0, due_ns: 0 },
        }
    }

    /// Connects, unless connected; returns a new socket, which must be watched for reading.
    pub(crate) fn connect(&mut self) -> Result<Option<&Connection>, PublishError> {
        if self.socket.is_some() {
            return Ok(None);
        }
        let address = self.address;
        let fault = |error| PublishError::Connect(address, error);
        let mut socket = Connection::start(self.address, 0, None, self.tls.as_ref()).map_err(fault)?;
        wait(&socket, PollFlags::OUT)?;
        socket.established().map_err(fault)?;
        while socket.is_handshaking() {
            socket.send(&[]).map_err(fault)?;
            wait(&socket, PollFlags::IN)?;
            socket.receive(&mut []).map_err(fault)?;
        }
        Ok(Some(self.socket.insert(socket)))
    }

    /// Begins the publication that carries `stamp`.
    pub(crate) fn begin(&mut self, stamp: Stamp) {
        self.under_way = stamp;
        self.is_busy = true;
    }

    /// Sends it; the publisher must be connected. Waits while the socket is full.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<(), PublishError> {
        let socket = self.socket.as_mut().ok_or(PublishError::NotConnected)?;
        let mut rest = request;
        while !rest.is_empty() || socket.is_holding() {
            match socket.send(rest).map_err(PublishError::Socket)? {
                0 => wait(socket, PollFlags::OUT)?,
                sent => rest = &rest[sent..],
            }
        }
        Ok(())
    }

    /// The stamp of the publication that was answered last or awaits its answer.
    pub(crate) fn answered(&self) -> Stamp {
        self.under_way
    }

    /// Reads available bytes; returns the answer when it is complete.
    pub(crate) fn ready(&mut self) -> Result<Option<PublishResult>, PublishError> {
        let mut buffer = [0; 4_096];
        let Some(socket) = &mut self.socket else { return Ok(None) };
        let mut closed = false;
        match socket.receive(&mut buffer) {
            Ok(None) => return Ok(None),
            Ok(Some(0)) | Err(_) if !self.is_busy => {
                self.socket = None;
                return Ok(None);
            }
            Ok(Some(_)) if !self.is_busy => return Err(PublishError::Unasked),
            Ok(Some(0)) => {
                closed = true;
                self.socket = None;
            }
            Ok(Some(bytes)) => self.answer.extend_from_slice(&buffer[..bytes]),
            Err(error) => return Err(PublishError::Socket(error)),
        }
        let complete = match ResponseHead::parse(&self.answer)? {
            Some(head) if is_complete(&head, &self.answer[head.bytes..], closed)? => Some(head),
            _ => None,
        };
        let Some(mut head) = complete else {
            return if closed { Err(PublishError::Closed) } else { Ok(None) };
        };
        self.server = head.server.take();
        let body = self.answer.split_off(head.bytes);
        self.answer.clear();
        self.is_busy = false;
        judge(head.status, &body).map(Some)
    }

    /// The server's name for itself in its last answer, if any.
    pub(crate) fn take_server(&mut self) -> Option<String> {
        self.server.take()
    }

    /// Takes a part of the answer over a shared connection; returns the answer when it is complete.
    pub(crate) fn receive(&mut self, event: Event) -> Result<Option<PublishResult>, PublishError> {
        match event {
            Event::Head { head, .. } => {
                self.head = Some(*head);
                self.answer.clear();
                Ok(None)
            }
            Event::Data { data, .. } => {
                self.answer.extend_from_slice(&data);
                if self.answer.len() > RESPONSE_BYTES_MAX { Err(PublishError::Endless) } else { Ok(None) }
            }
            Event::End { .. } => {
                let mut head = self.head.take().ok_or(PublishError::NoHead)?;
                self.server = head.server.take();
                self.is_busy = false;
                judge(head.status, &self.answer).map(Some)
            }
            Event::Reset { reason: Reason::REFUSED_STREAM, .. } => Ok(Some(PublishResult::Refused)),
            Event::Reset { reason, .. } => Err(PublishError::Reset(reason)),
        }
    }
}

/// The meaning of an answer.
fn judge(status: u16, body: &[u8]) -> Result<PublishResult, PublishError> {
    match status {
        200..=299 => Ok(PublishResult::Accepted),
        429 | 503 => Ok(PublishResult::Refused),
        _ => {
            let body = String::from_utf8_lossy(body);
            Err(PublishError::Status(status, body.trim().to_owned()))
        }
    }
}

/// Whether the body of an answer is complete (RFC 9112, section 6.3).
fn is_complete(head: &ResponseHead, body: &[u8], closed: bool) -> Result<bool, PublishError> {
    if body.len() > RESPONSE_BYTES_MAX {
        return Err(PublishError::Endless);
    }
    if head.chunked {
        let mut chunks = Chunked::new();
        let mut input = body;
        while chunks.next(&mut input).map_err(|_| PublishError::Chunks)?.is_some() {}
        return Ok(chunks.is_done());
    }
    Ok(match head.content_bytes {
        Some(bytes) => body.len() as u64 >= bytes,
        None => head.status == 204 || closed,
    })
}

fn wait(socket: &Connection, what: PollFlags) -> Result<(), PublishError> {
    let timeout = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
    match poll(&mut [PollFd::new(socket, what)], Some(&timeout)) {
        Ok(0) => Err(PublishError::Stuck),
        Ok(_) => Ok(()),
        Err(error) => Err(PublishError::Socket(error)),
    }
}
