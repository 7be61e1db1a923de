//! One HTTP/1 connection before it becomes a stream: its socket, the HTTP machine, and what its
//! request waits for. `shard::h1` drives it.

use std::net::SocketAddr;

use crate::api::handler::{AwaitedBody, ResponseContext};
use crate::http::h1::machine::{Connection, Phase};
use crate::http::h2::request::Prior;
use crate::http::request::Version;
use crate::io::transport::{self, Gone, ReadOutcome, Transport};
use crate::limits::{
    BULK_BODY_BYTES, KEEP_ALIVE_IDLE_MS, LINGER_BYTES_MAX, LINGER_MS, MEMORY_QUIET_MS, TLS_HANDSHAKE_MS,
};
use crate::ops::access_log::Caller;
use crate::ops::metrics::MemoryKind;
use crate::server::memory::{MemoryPermit, ShardMemory};
use crate::server::timeouts::{Timeouts, after, body_due_ms};
use crate::server::waiting::Waiting;
use crate::sse::wire::Sent;

/// A connection that makes HTTP/1 requests.
pub(crate) struct Http1Conn {
    pub(crate) transport: Transport,
    pub(crate) peer: Option<SocketAddr>,
    /// The client of the current request.
    pub(crate) caller: Caller,
    pub(crate) http: Connection,
    /// Set once the connection is known to speak HTTP/1.
    is_http1: bool,
    /// The number of the current request, for the replies of other threads.
    pub(crate) serial: u32,
    pub(crate) state: RequestState,
    /// Response bytes that the socket has not taken.
    out: Vec<u8>,
    out_sent: usize,
    /// Properties of the current request that its response needs.
    pub(crate) version: Version,
    pub(crate) head_only: bool,
    pub(crate) context: Option<ResponseContext>,
    /// Set while a response is in `out`; the value says whether the connection continues after it.
    responding: Option<bool>,
    /// When that response began.
    response_since_ms: u64,
    /// When the connection was opened, or its last response was written.
    idle_since_ms: u64,
    /// When the first byte of the current request arrived.
    request_since_ms: Option<u64>,
    /// When the socket last took a byte, or the connection began to linger.
    wrote_ms: u64,
    /// When the timer wheel fires for it.
    pub(crate) armed_ms: u64,
    /// While lingering: how many more bytes may be read and discarded.
    lingering: Option<usize>,
    served: bool,
    /// Accepted while the hub stops: it is not closed as idle before it has sent a request.
    pub(crate) is_late: bool,
    /// The socket was empty after the last read: read again only after the next event.
    pub(crate) is_drained: bool,
    /// The client sends nothing more. The epoll set reports this once, perhaps before the
    /// connection becomes a stream.
    pub(crate) has_ended: bool,
    /// Held while a long response is in `out`.
    pub(crate) memory_permit: Option<MemoryPermit>,
    /// Counts the memory of the request that is arriving.
    request_permit: Option<MemoryPermit>,
    /// When the body began that is arriving.
    body_since_ms: u64,
}

/// What a connection is waiting for.
pub(crate) enum RequestState {
    /// The next bytes of the client.
    Client,
    /// The request body.
    Body(AwaitedBody),
    /// Another thread.
    Waits(Waiting),
}

/// The result of a read.
pub(crate) enum Received {
    /// This many bytes; 0 when the call was interrupted and must be repeated.
    Some(usize),
    Nothing,
    End,
}

/// The result of writing the bytes in `out`.
pub(crate) enum FlushOutcome {
    All,
    Blocked,
    Gone,
}

/// What to do about a deadline that has passed.
pub(crate) enum Http1Overdue {
    Nothing,
    Close,
    /// 408, then close.
    Timeout,
}

impl Http1Conn {
    pub(crate) fn new(transport: Transport, peer: Option<SocketAddr>, now_ms: u64) -> Self {
        Self {
            transport,
            peer,
            caller: Caller::peer(peer),
            http: Connection::new(),
            is_http1: false,
            serial: 0,
            state: RequestState::Client,
            out: Vec::new(),
            out_sent: 0,
            version: Version::Http11,
            head_only: false,
            context: None,
            responding: None,
            response_since_ms: now_ms,
            idle_since_ms: now_ms,
            request_since_ms: None,
            wrote_ms: now_ms,
            armed_ms: u64::MAX,
            lingering: None,
            served: false,
            is_late: false,
            is_drained: false,
            has_ended: false,
            memory_permit: None,
            request_permit: None,
            body_since_ms: now_ms,
        }
    }

    /// The HTTP version: with TLS as negotiated (RFC 9113, section 3.2), else detected from the
    /// first bytes.
    pub(crate) fn prior(&mut self) -> Prior {
        if self.is_http1 || self.is_lingering() || self.transport.is_handshaking() {
            return Prior::Http1;
        }
        let prior = match self.transport.is_http2() {
            Some(true) => Prior::Http2,
            Some(false) => Prior::Http1,
            None => Prior::of(self.http.received()),
        };
        self.is_http1 = prior == Prior::Http1;
        prior
    }

    /// Takes the transport and the bytes received so far, for a connection that speaks HTTP/2.
    pub(crate) fn into_received(self) -> (Transport, Vec<u8>) {
        (self.transport, self.http.into_received())
    }

    /// Stops writing; reads and discards what the client still sends for a while.
    pub(crate) fn end(&mut self, now_ms: u64) {
        self.transport.end();
        self.linger(now_ms);
    }

    /// Queues bytes for the client. With `Some`, they are the response, and the value says whether
    /// the connection continues.
    pub(crate) fn queue(&mut self, bytes: Vec<u8>, goes_on: Option<bool>, now_ms: u64) {
        if self.out.is_empty() {
            self.wrote_ms = now_ms;
        }
        match self.out.is_empty() {
            // Avoid copying a long response again.
            true => self.out = bytes,
            false => self.out.extend_from_slice(&bytes),
        }
        self.responding = goes_on;
        self.response_since_ms = now_ms;
    }

    /// Writes what is queued.
    pub(crate) fn flush(&mut self, now_ms: u64) -> FlushOutcome {
        match self.transport.flush() {
            Ok(transport::Flushed::All) => {}
            Ok(transport::Flushed::Some) => {
                self.wrote_ms = now_ms;
                return FlushOutcome::Blocked;
            }
            Ok(transport::Flushed::Nothing) => return FlushOutcome::Blocked,
            Err(Gone) => return FlushOutcome::Gone,
        }
        while self.out_sent < self.out.len() {
            match self.transport.send(&self.out[self.out_sent..]) {
                Sent::Bytes(taken) => {
                    self.out_sent += taken;
                    self.wrote_ms = now_ms;
                }
                Sent::Held(taken) => {
                    self.out_sent += taken;
                    self.wrote_ms = now_ms;
                    return FlushOutcome::Blocked;
                }
                Sent::Full => return FlushOutcome::Blocked,
                Sent::Gone => return FlushOutcome::Gone,
            }
        }
        self.out = Vec::new();
        self.out_sent = 0;
        FlushOutcome::All
    }

    /// Everything is written: continues with the next request, or begins to close.
    pub(crate) fn written(&mut self, now_ms: u64) {
        let Some(goes_on) = self.responding.take() else { return };
        self.http.response_sent();
        self.served = true;
        self.memory_permit = None;
        self.idle_since_ms = now_ms;
        self.request_since_ms = None;
        // Reset everything of this request: the head of the next one may be unreadable.
        self.context = None;
        self.caller = Caller::peer(self.peer);
        self.version = Version::Http11;
        self.head_only = false;
        if !goes_on || self.http.phase() == Phase::Closed {
            // If the socket were closed now with unread bytes, the kernel would reset the
            // connection and the response could be lost.
            self.end(now_ms);
        }
    }

    fn linger(&mut self, now_ms: u64) {
        self.lingering = Some(LINGER_BYTES_MAX);
        self.wrote_ms = now_ms;
    }

    /// Reads as much as the HTTP machine has room for; while lingering, as much as may be
    /// discarded.
    pub(crate) fn receive(&mut self, buffer: &mut [u8], now_ms: u64) -> Received {
        if self.lingering == Some(0) {
            return Received::End;
        }
        let room = self.lingering.unwrap_or_else(|| self.http.room()).min(buffer.len());
        if room == 0 {
            return Received::Nothing;
        }
        if self.is_drained {
            return Received::Nothing;
        }
        let read = match self.lingering {
            None => self.transport.receive(&mut buffer[..room]),
            Some(_) => self.transport.discard(&mut buffer[..room]),
        };
        // The end of the client is reported once. If it was reported before this read, no further
        // event will come, so the socket does not count as drained.
        self.is_drained = matches!(read, ReadOutcome::Last(_)) && !self.has_ended;
        match read {
            ReadOutcome::Bytes(0) => Received::Some(0),
            ReadOutcome::Bytes(count) | ReadOutcome::Last(count) => {
                if let Some(left) = &mut self.lingering {
                    *left -= count;
                } else {
                    // Empty lines before a request must not start its timer.
                    if self.request_since_ms.is_none() || self.http.phase() == Phase::Idle {
                        self.request_since_ms = Some(now_ms);
                    }
                    self.http.receive(&buffer[..count]);
                }
                Received::Some(count)
            }
            ReadOutcome::Nothing => Received::Nothing,
            ReadOutcome::End => Received::End,
            ReadOutcome::Broken => {
                // The TLS alert is on its way; closing with unread bytes would lose it.
                self.linger(now_ms);
                Received::Some(0)
            }
        }
    }

    /// Whether the socket has not taken all the bytes queued for it.
    pub(crate) fn is_blocked(&self) -> bool {
        !self.out.is_empty() || self.transport.is_held()
    }

    /// Whether the last response is being given time to arrive. If it was an HTTP/2 response,
    /// `http` has seen nothing, yet bytes already sent may still be lost.
    pub(crate) fn is_lingering(&self) -> bool {
        self.lingering.is_some()
    }

    /// Whether it has been idle for long enough that no request is likely to be on its way.
    pub(crate) fn is_quiet(&self, now_ms: u64) -> bool {
        self.is_idle() && now_ms >= self.idle_since_ms + MEMORY_QUIET_MS
    }

    /// Whether no request or response is in progress, so the connection can be closed unnoticed.
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_late
            && self.http.phase() == Phase::Idle
            && !self.is_blocked()
            && !self.is_lingering()
            && matches!(self.state, RequestState::Client)
    }

    /// Whether the body of a request is arriving.
    pub(crate) fn awaits_body(&self) -> bool {
        matches!(self.state, RequestState::Body(_))
    }

    /// Whether a long body is arriving.
    pub(crate) fn is_bulk(&self) -> bool {
        self.awaits_body() && self.http.body_bytes() > BULK_BODY_BYTES
    }

    /// Whether its request waits for another thread.
    pub(crate) fn awaits_reply(&self) -> bool {
        matches!(self.state, RequestState::Waits(_))
    }

    /// Takes the request that waits for the reply with this serial, if it still does.
    pub(crate) fn take_waiting(&mut self, serial: u32) -> Option<Waiting> {
        if self.serial != serial {
            return None;
        }
        match std::mem::replace(&mut self.state, RequestState::Client) {
            RequestState::Waits(waiting) => Some(waiting),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Begins to read the body of a request.
    pub(crate) fn begin_body(&mut self, awaited: AwaitedBody, now_ms: u64) {
        self.state = RequestState::Body(awaited);
        self.body_since_ms = now_ms;
    }

    /// Counts the memory of the request that is arriving; false if it may not hold that much.
    pub(crate) fn has_memory(&mut self, memory: &ShardMemory) -> bool {
        let head = match &self.state {
            RequestState::Body(awaited) => awaited.bytes_held(),
            RequestState::Client | RequestState::Waits(_) => 0,
        };
        let bytes = self.http.bytes_held() + self.transport.bytes_held() + head;
        match &mut self.request_permit {
            Some(permit) => permit.resize(bytes),
            None if bytes == 0 => {}
            None => self.request_permit = Some(memory.hold(MemoryKind::Requests, bytes)),
        }
        self.http.bytes_held() == 0 || self.is_lingering() || memory.fits_request(bytes)
    }

    /// Bytes of the request that is arriving, as they were last counted; `None` if none is.
    pub(crate) fn arriving_bytes(&self) -> Option<usize> {
        let is_arriving = matches!(self.http.phase(), Phase::Head | Phase::Body);
        is_arriving.then(|| self.request_permit.as_ref().map_or(0, MemoryPermit::bytes))
    }

    /// Whether a body is arriving, and too slowly.
    pub(crate) fn is_body_slow(&self, now_ms: u64) -> bool {
        self.awaits_body() && self.body_due_ms() <= now_ms
    }

    fn body_due_ms(&self) -> u64 {
        body_due_ms(self.body_since_ms, self.http.body_bytes())
    }

    /// Takes what the body that has arrived is for.
    pub(crate) fn take_awaited(&mut self) -> Option<AwaitedBody> {
        match std::mem::replace(&mut self.state, RequestState::Client) {
            RequestState::Body(awaited) => Some(awaited),
            RequestState::Client | RequestState::Waits(_) => None,
        }
    }

    /// Whether it has sent no request yet.
    pub(crate) fn is_silent(&self) -> bool {
        self.http.phase() == Phase::Idle && !self.served && !self.is_lingering()
    }

    /// When the current request began to arrive; now, if it arrived together with the previous one.
    pub(crate) fn began_ms(&self, now_ms: u64) -> u64 {
        self.request_since_ms.unwrap_or(now_ms)
    }

    /// The next moment when a timeout may pass; `u64::MAX` for none.
    pub(crate) fn deadline_ms(&self, timeouts: &Timeouts) -> u64 {
        if self.is_lingering() {
            return after(self.wrote_ms, LINGER_MS);
        }
        if self.transport.is_handshaking() {
            let handshake_ms = after(self.idle_since_ms, TLS_HANDSHAKE_MS);
            return handshake_ms.min(after(self.idle_since_ms, timeouts.header_ms));
        }
        if self.is_blocked() {
            let stalls_ms = after(self.wrote_ms, timeouts.write_ms);
            return stalls_ms.min(after(self.response_since_ms, timeouts.response_ms));
        }
        match self.http.phase() {
            Phase::Idle if self.served => after(self.idle_since_ms, KEEP_ALIVE_IDLE_MS),
            Phase::Idle => after(self.idle_since_ms, timeouts.header_ms),
            Phase::Head => {
                let since_ms = self.request_since_ms.unwrap_or(self.idle_since_ms);
                after(since_ms, timeouts.header_ms).min(after(since_ms, timeouts.read_ms))
            }
            Phase::Body => {
                let since_ms = self.request_since_ms.unwrap_or(self.idle_since_ms);
                after(since_ms, timeouts.read_ms).min(self.body_due_ms())
            }
            Phase::Responding | Phase::Closed => u64::MAX,
        }
    }

    /// What to do about a deadline that may have passed.
    pub(crate) fn overdue(&self, timeouts: &Timeouts, now_ms: u64) -> Http1Overdue {
        if self.deadline_ms(timeouts) > now_ms {
            Http1Overdue::Nothing
        } else if self.is_lingering() || self.is_blocked() || self.http.phase() == Phase::Idle {
            Http1Overdue::Close
        } else {
            Http1Overdue::Timeout
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts { header_ms: 1_000, read_ms: 0, write_ms: 1_000, response_ms: 0 };

    fn connected(now_ms: u64) -> (Http1Conn, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).expect("a pair");
        (Http1Conn::new(Transport::new(ours, None), None, now_ms), theirs)
    }

    fn receive(conn: &mut Http1Conn, theirs: &OwnedFd, bytes: &[u8], now_ms: u64) {
        send(theirs, bytes, SendFlags::empty()).expect("sent");
        // As a socket event would.
        conn.is_drained = false;
        assert!(matches!(conn.receive(&mut [0; 1_024], now_ms), Received::Some(_)));
    }

    /// A client that takes a byte now and then never stalls; without this it could hold a response
    /// forever.
    #[test]
    fn an_answer_as_a_whole_may_take_no_longer_than_its_time() {
        let (mut conn, theirs) = connected(0);
        conn.queue(vec![b'x'; 8 << 20], Some(true), 1_000);
        let timeouts = Timeouts { response_ms: 3_000, ..TIMEOUTS };
        for now_ms in [1_000, 1_900, 2_800, 3_700] {
            assert!(matches!(conn.flush(now_ms), FlushOutcome::Blocked));
            assert!(matches!(conn.overdue(&timeouts, now_ms), Http1Overdue::Nothing), "at {now_ms}");
            let mut some = vec![0; 256 << 10];
            rustix::net::recv(&theirs, &mut some, rustix::net::RecvFlags::empty()).expect("it reads");
        }
        assert!(matches!(conn.flush(3_900), FlushOutcome::Blocked));
        assert!(matches!(conn.overdue(&TIMEOUTS, 4_000), Http1Overdue::Nothing), "it takes bytes");
        assert!(matches!(conn.overdue(&timeouts, 4_000), Http1Overdue::Close));
    }

    /// RFC 9112, section 2.2: old clients end a body with an empty line, which belongs to no
    /// request.
    #[test]
    fn an_empty_line_long_before_a_request_does_not_let_its_time_run_out() {
        let (mut conn, theirs) = connected(0);
        receive(&mut conn, &theirs, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1);
        assert!(matches!(conn.http.poll(), crate::http::h1::machine::Http1Event::Head(_)));
        let goes_on = conn.http.begin_response();
        conn.queue(b"answer".to_vec(), Some(goes_on), 2);
        assert!(matches!(conn.flush(2), FlushOutcome::All));
        conn.written(2);
        receive(&mut conn, &theirs, b"\r\n", 3);
        assert!(matches!(conn.http.poll(), crate::http::h1::machine::Http1Event::NeedMore));
        receive(&mut conn, &theirs, b"GET / HT", 30_000);
        assert!(matches!(conn.http.poll(), crate::http::h1::machine::Http1Event::NeedMore));
        assert!(matches!(conn.overdue(&TIMEOUTS, 30_500), Http1Overdue::Nothing));
        assert!(matches!(conn.overdue(&TIMEOUTS, 31_000), Http1Overdue::Timeout));
        receive(&mut conn, &theirs, b"TP", 30_999);
        assert_eq!(conn.deadline_ms(&TIMEOUTS), 31_000, "more of the request gives no more time");
    }

    #[test]
    fn a_closing_connection_is_read_up_to_a_bound_of_bytes_and_of_time() {
        let (mut conn, theirs) = connected(0);
        let goes_on = conn.http.begin_response();
        conn.queue(b"answer".to_vec(), Some(goes_on), 10);
        assert!(matches!(conn.flush(10), FlushOutcome::All));
        conn.written(10);
        assert!(conn.is_lingering());
        let (chunk, mut buffer) = (vec![b'x'; 64 << 10], vec![0; 64 << 10]);
        let mut thrown_away = 0;
        loop {
            let sent = send(&theirs, &chunk, SendFlags::empty()).expect("sent");
            match conn.receive(&mut buffer, 20) {
                Received::Some(count) => thrown_away += count.min(sent),
                Received::End => break,
                Received::Nothing => panic!("bytes that are there are not seen"),
            }
            assert_eq!(conn.deadline_ms(&TIMEOUTS), 10 + LINGER_MS);
        }
        assert!(thrown_away <= LINGER_BYTES_MAX + chunk.len(), "{thrown_away}");
    }
}
