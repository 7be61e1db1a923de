//! One connection before it becomes a stream: its socket, the HTTP machine, and what it waits for.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::http::connection::{Connection, Phase};
use crate::http::request::Version;
use crate::hub::gate::{Passage, Publisher, Subscription};
use crate::limits::{KEEP_ALIVE_IDLE_MS, LINGER_MS};
use crate::protocol::frame::Frame;

/// The timeouts of requests, in milliseconds; 0 is none.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// `HEADER_TIMEOUT`.
    pub header_ms: u64,
    /// `READ_TIMEOUT`.
    pub read_ms: u64,
    /// `DISPATCH_TIMEOUT`, for answers.
    pub write_ms: u64,
}

/// A connection that makes requests.
pub(super) struct Requesting {
    pub(super) socket: OwnedFd,
    pub(super) peer: Option<SocketAddr>,
    pub(super) http: Connection,
    pub(super) waiting: Waiting,
    /// Bytes of answers that the socket has not taken.
    out: Vec<u8>,
    out_sent: usize,
    /// What the current request is, for its answer.
    pub(super) version: Version,
    pub(super) head_only: bool,
    pub(super) passage: Option<Passage>,
    /// An answer is in `out`, and the connection goes on behind it, or does not.
    answering: Option<bool>,
    /// When it was opened, or its last answer was written.
    idle_since_ms: u64,
    /// When the first byte of the current request came.
    request_since_ms: Option<u64>,
    /// When the socket last took a byte, or the connection began to linger.
    wrote_ms: u64,
    lingering: bool,
    served: bool,
    pub(super) armed_ms: u64,
}

/// What a connection waits for.
pub(super) enum Waiting {
    /// For the client.
    Client,
    /// For the client's body.
    Body(Publisher),
    /// For its publication to come round the ring.
    Commit { serial: u32, frame: Arc<Frame>, passage: Passage },
    /// For the history to say where the subscription begins.
    Resolve { serial: u32, subscription: Box<Subscription> },
}

/// What a read of the socket found.
pub(super) enum Received {
    Some,
    Nothing,
    End,
}

/// What became of the bytes in `out`.
pub(super) enum Flushed {
    All,
    Blocked,
    Gone,
}

/// What a deadline that has passed asks for.
pub(super) enum Overdue {
    Nothing,
    Close,
    /// 408, then close.
    Timeout,
}

impl Requesting {
    pub(super) fn new(socket: OwnedFd, peer: Option<SocketAddr>, now_ms: u64) -> Self {
        Self {
            socket,
            peer,
            http: Connection::new(),
            waiting: Waiting::Client,
            out: Vec::new(),
            out_sent: 0,
            version: Version::Http11,
            head_only: false,
            passage: None,
            answering: None,
            idle_since_ms: now_ms,
            request_since_ms: None,
            wrote_ms: now_ms,
            lingering: false,
            served: false,
            armed_ms: u64::MAX,
        }
    }

    /// Queues bytes for the client; with `Some`, they are the answer, and say whether the connection goes on.
    pub(super) fn queue(&mut self, bytes: &[u8], goes_on: Option<bool>, now_ms: u64) {
        if self.out.is_empty() {
            self.wrote_ms = now_ms;
        }
        self.out.extend_from_slice(bytes);
        self.answering = goes_on;
    }

    /// Writes what is queued.
    pub(super) fn flush(&mut self, now_ms: u64) -> Flushed {
        while self.out_sent < self.out.len() {
            match send(&self.socket, &self.out[self.out_sent..], SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(taken) => {
                    self.out_sent += taken;
                    self.wrote_ms = now_ms;
                }
                Err(Errno::AGAIN) => return Flushed::Blocked,
                Err(Errno::INTR) => {}
                Err(_) => return Flushed::Gone,
            }
        }
        self.out = Vec::new();
        self.out_sent = 0;
        Flushed::All
    }

    /// Everything is written: goes on to the next request, or begins to close.
    pub(super) fn written(&mut self, now_ms: u64) {
        let Some(goes_on) = self.answering.take() else { return };
        self.http.answered();
        self.served = true;
        self.idle_since_ms = now_ms;
        self.request_since_ms = None;
        self.passage = None;
        if !goes_on || self.http.phase() == Phase::Closed {
            // Closed at once with unread bytes, the kernel would reset the connection and the answer could be lost.
            self.lingering = true;
            self.wrote_ms = now_ms;
            // A socket that cannot be shut down is gone already, which the next read tells.
            let _ = shutdown(&self.socket, Shutdown::Write);
        }
    }

    /// Reads what the HTTP machine has room for.
    pub(super) fn receive(&mut self, buffer: &mut [u8], now_ms: u64) -> Received {
        let room = if self.lingering { buffer.len() } else { self.http.room().min(buffer.len()) };
        if room == 0 {
            return Received::Nothing;
        }
        match recv(&self.socket, &mut buffer[..room], RecvFlags::DONTWAIT) {
            Ok((0, _)) => Received::End,
            Ok((count, _)) => {
                if !self.lingering {
                    self.request_since_ms.get_or_insert(now_ms);
                    self.http.receive(&buffer[..count]);
                }
                Received::Some
            }
            Err(Errno::AGAIN) => Received::Nothing,
            Err(Errno::INTR) => Received::Some,
            Err(_) => Received::End,
        }
    }

    /// The socket has not taken all that it is owed.
    pub(super) fn is_blocked(&self) -> bool {
        !self.out.is_empty()
    }

    pub(super) fn is_lingering(&self) -> bool {
        self.lingering
    }

    /// Nothing is owed either way: it can be closed without anybody noticing.
    pub(super) fn is_idle(&self) -> bool {
        self.http.phase() == Phase::Idle && self.out.is_empty() && matches!(self.waiting, Waiting::Client)
    }

    /// The next moment at which time changes something; `u64::MAX` when it does not.
    pub(super) fn deadline_ms(&self, timeouts: &Timeouts) -> u64 {
        let after = |since_ms: u64, period_ms: u64| match period_ms {
            0 => u64::MAX,
            period_ms => since_ms.saturating_add(period_ms),
        };
        if self.lingering {
            return after(self.wrote_ms, LINGER_MS);
        }
        if !self.out.is_empty() {
            return after(self.wrote_ms, timeouts.write_ms);
        }
        match self.http.phase() {
            Phase::Idle if self.served => after(self.idle_since_ms, KEEP_ALIVE_IDLE_MS),
            Phase::Idle => after(self.idle_since_ms, timeouts.header_ms),
            Phase::Head => {
                let since_ms = self.request_since_ms.unwrap_or(self.idle_since_ms);
                after(since_ms, timeouts.header_ms).min(after(since_ms, timeouts.read_ms))
            }
            Phase::Body => after(self.request_since_ms.unwrap_or(self.idle_since_ms), timeouts.read_ms),
            Phase::Answering | Phase::Closed => u64::MAX,
        }
    }

    /// What has to be done about a deadline that may have passed.
    pub(super) fn overdue(&self, timeouts: &Timeouts, now_ms: u64) -> Overdue {
        if self.deadline_ms(timeouts) > now_ms {
            Overdue::Nothing
        } else if self.lingering || !self.out.is_empty() || self.http.phase() == Phase::Idle {
            Overdue::Close
        } else {
            Overdue::Timeout
        }
    }
}
