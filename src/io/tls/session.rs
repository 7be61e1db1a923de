//! TLS on one connection: rustls between the bytes of the socket and those of HTTP, through its
//! unbuffered interface, with buffers that all sessions of a shard share. Invariants:
//! - an idle session keeps only its keys; else it keeps leftovers, each within a bound;
//! - every whole record is decrypted when it is read, so the input left over is the beginning of
//!   one;
//! - nothing is encrypted while encrypted bytes wait, so these are one record or one handshake
//!   flight;
//! - after a failure nothing is decrypted, and nothing follows the alert.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use tracing::{debug, error};

use super::protocols::{CHALLENGE, HTTP2};
use crate::io::outcome::{Flushed, Gone, ReadOutcome};
use crate::io::socket::Socket;
use crate::limits::{
    READ_BYTES_MAX, TLS_INCOMING_BYTES_MAX, TLS_OUTGOING_BYTES_MAX, TLS_RECORD_BYTES_MAX,
    TLS_SEALED_BYTES_MAX, TLS_STEPS_MAX, TLS_STREAM_BYTES_MAX,
};
use crate::redact::Redacted;
use crate::sse::wire::Sent;

/// The response to a request without TLS: an alert alone would be unreadable for people.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 50\r\nConnection: close\r\n\r\nBad Request: this port takes HTTPS, not plain HTTP";

/// The buffers that the sessions of a shard share.
pub(crate) struct TlsBuffers {
    /// Input: a session's leftover, followed by the bytes of the current read.
    input: Box<[u8]>,
    /// Output: one record, and what precedes it.
    output: Box<[u8]>,
}

impl TlsBuffers {
    /// The buffers of one shard.
    pub(crate) fn new() -> Self {
        Self {
            input: vec![0; TLS_INCOMING_BYTES_MAX + READ_BYTES_MAX].into(),
            output: vec![0; TLS_SEALED_BYTES_MAX].into(),
        }
    }
}

/// The server's side of one TLS connection.
pub(crate) struct Session {
    tls: UnbufferedServerConnection,
    buffers: Rc<RefCell<TlsBuffers>>,
    /// The beginning of a record.
    incoming: Vec<u8>,
    /// Decrypted, not yet read.
    plain: Vec<u8>,
    /// Encrypted, not yet taken by the socket.
    outgoing: Vec<u8>,
    outgoing_sent: usize,
    /// Bytes received since the connection became a stream; `None` before.
    stream_input_bytes: Option<usize>,
    state: TlsState,
    /// The client sent its close_notify.
    peer_closed: bool,
    /// Shut down the socket's write side after the last byte of `outgoing`.
    ends: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsState {
    /// No byte was received.
    Fresh,
    Handshaking,
    Open,
    /// Nothing more is encrypted, after our close_notify or a failure.
    Closed,
}

impl Session {
    /// A session that has received nothing.
    ///
    /// # Errors
    /// rustls rejects the configuration.
    pub(crate) fn new(
        config: Arc<ServerConfig>,
        buffers: Rc<RefCell<TlsBuffers>>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: UnbufferedServerConnection::new(config)?,
            buffers,
            incoming: Vec::new(),
            plain: Vec::new(),
            outgoing: Vec::new(),
            outgoing_sent: 0,
            stream_input_bytes: None,
            state: TlsState::Fresh,
            peer_closed: false,
            ends: false,
        })
    }

    /// See [`Transport::is_handshaking`](super::super::transport::Transport::is_handshaking).
    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(self.state, TlsState::Fresh | TlsState::Handshaking)
    }

    fn is_challenge(&self) -> bool {
        self.state == TlsState::Open && self.tls.alpn_protocol() == Some(CHALLENGE)
    }

    /// Whether HTTP/2 was negotiated.
    pub(crate) fn is_http2(&self) -> bool {
        self.tls.alpn_protocol() == Some(HTTP2)
    }

    /// Whether encrypted bytes wait for the socket.
    pub(crate) fn is_held(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// See [`Transport::bytes_held`](super::super::transport::Transport::bytes_held).
    pub(crate) fn bytes_held(&self) -> usize {
        self.incoming.capacity() + self.plain.capacity() + self.outgoing.capacity()
    }

    /// Encrypts bytes, one record at a time, while the socket takes each record whole.
    pub(crate) fn send(&mut self, socket: &Socket, bytes: &[u8]) -> Sent {
        match self.flush(socket) {
            Ok(Flushed::All) => {}
            Ok(Flushed::Some | Flushed::Nothing) => return Sent::Full,
            Err(Gone) => return Sent::Gone,
        }
        if self.state != TlsState::Open {
            return Sent::Gone;
        }
        let buffers = Rc::clone(&self.buffers);
        let output = &mut *buffers.borrow_mut().output;
        let mut taken = 0;
        for record in bytes.chunks(TLS_RECORD_BYTES_MAX) {
            let Some(sealed) = self.seal(Seal::Data(record), output) else { return Sent::Gone };
            taken += record.len();
            let sealed = &output[..sealed];
            match self.sent_sealed(sealed, socket.send(sealed)) {
                Ok(true) => {}
                Ok(false) => return Sent::Held(taken),
                Err(Gone) => return Sent::Gone,
            }
        }
        Sent::Bytes(taken)
    }

    /// Whether [`Self::seal_record`] may be called: no byte waits, and data may be encrypted.
    pub(crate) fn may_seal(&self) -> bool {
        self.state == TlsState::Open && !self.is_held()
    }

    /// Encrypts bytes as one record, which is appended to `sealed` and must be sent next, see
    /// [`Self::sent_sealed`]. False if that failed: the peer is as good as gone.
    pub(crate) fn seal_record(&mut self, bytes: &[u8], sealed: &mut Vec<u8>) -> bool {
        let buffers = Rc::clone(&self.buffers);
        let output = &mut *buffers.borrow_mut().output;
        let count = self.seal(Seal::Data(bytes), output);
        sealed.extend_from_slice(&output[..count.unwrap_or(0)]);
        count.is_some()
    }

    /// Keeps what the socket did not take of a sealed record; returns whether it took everything.
    ///
    /// # Errors
    /// The peer is gone.
    pub(crate) fn sent_sealed(&mut self, sealed: &[u8], sent: Sent) -> Result<bool, Gone> {
        let taken = match sent {
            Sent::Bytes(taken) => taken,
            Sent::Held(_) | Sent::Full => 0,
            Sent::Gone => return Err(Gone),
        };
        if taken < sealed.len() {
            self.outgoing = sealed[taken..].to_vec();
        }
        Ok(taken == sealed.len())
    }

    /// See [`Transport::flush`](super::super::transport::Transport::flush).
    pub(crate) fn flush(&mut self, socket: &Socket) -> Result<Flushed, Gone> {
        let before = self.outgoing_sent;
        while self.outgoing_sent < self.outgoing.len() {
            match socket.send(&self.outgoing[self.outgoing_sent..]) {
                Sent::Bytes(taken) => self.outgoing_sent += taken,
                Sent::Held(_) | Sent::Full if self.outgoing_sent > before => return Ok(Flushed::Some),
                Sent::Held(_) | Sent::Full => return Ok(Flushed::Nothing),
                Sent::Gone => return Err(Gone),
            }
        }
        if self.outgoing_sent > 0 {
            self.outgoing = Vec::new();
            self.outgoing_sent = 0;
        }
        if std::mem::take(&mut self.ends) {
            socket.end();
        }
        Ok(Flushed::All)
    }

    /// Reads and decrypts available data into `into`. Plaintext that does not fit is kept, at most
    /// one record.
    pub(crate) fn receive(&mut self, socket: &Socket, into: &mut [u8]) -> ReadOutcome {
        if !self.plain.is_empty() {
            let count = self.plain.len().min(into.len());
            into[..count].copy_from_slice(&self.plain[..count]);
            self.plain.drain(..count);
            if self.plain.is_empty() {
                self.plain = Vec::new();
            }
            return ReadOutcome::Bytes(count);
        }
        if self.peer_closed || self.state == TlsState::Closed {
            return ReadOutcome::End;
        }
        let buffers = Rc::clone(&self.buffers);
        let TlsBuffers { input, output } = &mut *buffers.borrow_mut();
        let kept = self.incoming.len();
        let room = into.len().min(READ_BYTES_MAX);
        let count = match socket.receive(&mut input[kept..kept + room]) {
            ReadOutcome::Bytes(count) if count > 0 => count,
            other => return other,
        };
        input[..kept].copy_from_slice(&self.incoming);
        if let Some(bytes) = &mut self.stream_input_bytes {
            *bytes += count;
        }
        if self.state == TlsState::Fresh {
            self.state = TlsState::Handshaking;
            if input[0].is_ascii_uppercase() {
                self.outgoing = NOT_TLS.to_vec();
                return self.fail(socket);
            }
        }
        let opened = self.open(&mut input[..kept + count], output, into);
        match (opened, self.flush(socket)) {
            (_, Err(Gone)) => ReadOutcome::End,
            (Err(Failed), _) => self.fail(socket),
            // The authority has validated the host; this connection carries no HTTP (RFC 8737).
            (Ok(_), _) if self.is_challenge() => self.fail(socket),
            (Ok(0), _) if self.peer_closed => ReadOutcome::End,
            (Ok(count), _) => ReadOutcome::Bytes(count),
        }
    }

    /// See [`Transport::read_stream_input`](super::super::transport::Transport::read_stream_input).
    pub(crate) fn read_stream_input(&mut self, socket: &Socket, buffer: &mut [u8]) -> bool {
        self.plain = Vec::new();
        while *self.stream_input_bytes.get_or_insert(0) <= TLS_STREAM_BYTES_MAX {
            match self.receive(socket, buffer) {
                ReadOutcome::Bytes(_) | ReadOutcome::Last(_) => {}
                ReadOutcome::Nothing => return true,
                ReadOutcome::End | ReadOutcome::Broken => return false,
            }
        }
        false
    }

    /// See [`Transport::end`](super::super::transport::Transport::end).
    pub(crate) fn end(&mut self, socket: &Socket) {
        self.ends = true;
        if self.state == TlsState::Open {
            self.state = TlsState::Closed;
            let buffers = Rc::clone(&self.buffers);
            let output = &mut *buffers.borrow_mut().output;
            if let Some(sealed) = self.seal(Seal::CloseNotify, output) {
                self.outgoing.extend_from_slice(&output[..sealed]);
            }
        }
        // Ignore a closed peer; the next read reports it.
        let _ = self.flush(socket);
    }

    /// See [`Transport::part`](super::super::transport::Transport::part).
    pub(crate) fn part(&mut self, socket: &Socket) {
        // After a record that was cut off, a clean end is impossible.
        if self.state == TlsState::Open && !self.is_held() {
            self.end(socket);
        }
    }

    fn fail(&mut self, socket: &Socket) -> ReadOutcome {
        self.state = TlsState::Closed;
        self.incoming = Vec::new();
        self.ends = true;
        match self.flush(socket) {
            Ok(_) => ReadOutcome::Broken,
            Err(Gone) => ReadOutcome::End,
        }
    }

    /// Encrypts one record into `output`, after the data that rustls must send first; returns the
    /// number of bytes.
    fn seal(&mut self, what: Seal<'_>, output: &mut [u8]) -> Option<usize> {
        let mut written = 0;
        for _ in 0..TLS_STEPS_MAX {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut self.incoming);
            match state.ok()? {
                ConnectionState::EncodeTlsData(mut data) => {
                    written += data.encode(&mut output[written..]).ok()?;
                }
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    let sealed = match what {
                        Seal::Data(bytes) => traffic.encrypt(bytes, &mut output[written..]),
                        Seal::CloseNotify => traffic.queue_close_notify(&mut output[written..]),
                    };
                    return Some(written + sealed.ok()?);
                }
                ConnectionState::PeerClosed => self.peer_closed = true,
                _ => return None,
            }
            self.incoming.drain(..discard);
        }
        None
    }

    /// Decrypts every whole record of `input`; returns the number of bytes written to `into`. Data
    /// to send is put in `outgoing`. A panic in here is a defect that one client triggered; it must
    /// not end the streams of all others.
    fn open(&mut self, input: &mut [u8], output: &mut [u8], into: &mut [u8]) -> Result<usize, Failed> {
        let opened = catch_unwind(AssertUnwindSafe(|| self.decipher(input, output, into)));
        opened.unwrap_or_else(|_| {
            error!("a TLS connection made the hub panic; it was closed");
            Err(Failed)
        })
    }

    fn decipher(&mut self, input: &mut [u8], output: &mut [u8], into: &mut [u8]) -> Result<usize, Failed> {
        let (mut start, mut filled) = (0, 0);
        for _ in 0..TLS_STEPS_MAX {
            let UnbufferedStatus { discard, state } = self.tls.process_tls_records(&mut input[start..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let payload = record.map_err(|_| Failed)?.payload;
                        let fits = payload.len().min(into.len() - filled);
                        into[filled..filled + fits].copy_from_slice(&payload[..fits]);
                        filled += fits;
                        self.plain.extend_from_slice(&payload[fits..]);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    let count = data.encode(output).map_err(|_| Failed)?;
                    self.outgoing.extend_from_slice(&output[..count]);
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.peer_closed = true,
                Ok(ConnectionState::WriteTraffic(_) | ConnectionState::BlockedHandshake) => {
                    if self.is_handshaking() && !self.tls.is_handshaking() {
                        self.state = TlsState::Open;
                        self.opened();
                    }
                    self.keep(&input[start + discard..])?;
                    return Ok(filled);
                }
                Ok(_) => return Err(Failed),
                Err(error) => {
                    debug!(error = %Redacted::of(error), "a TLS connection failed");
                    self.alert(&mut input[start + discard..], output);
                    return Err(Failed);
                }
            }
            start += discard;
        }
        Err(Failed)
    }

    /// Appends the alert of a failure, if any, and the data before it to `outgoing`. The input is
    /// not processed again, since that would fail again.
    fn alert(&mut self, input: &mut [u8], output: &mut [u8]) {
        while self.tls.wants_write() && self.outgoing.len() <= TLS_OUTGOING_BYTES_MAX {
            let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut data)), .. } =
                self.tls.process_tls_records(input)
            else {
                return;
            };
            let Ok(count) = data.encode(output) else { return };
            self.outgoing.extend_from_slice(&output[..count]);
        }
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), Failed> {
        self.incoming = rest.to_vec();
        let is_bounded =
            self.incoming.len() <= TLS_INCOMING_BYTES_MAX && self.outgoing.len() <= TLS_OUTGOING_BYTES_MAX;
        if is_bounded { Ok(()) } else { Err(Failed) }
    }

    fn opened(&self) {
        let protocol = self.tls.alpn_protocol().map(String::from_utf8_lossy);
        debug!(version = ?self.tls.protocol_version(), ?protocol, kind = ?self.tls.handshake_kind(), "TLS handshake");
    }
}

/// What to encrypt.
#[derive(Clone, Copy)]
enum Seal<'b> {
    Data(&'b [u8]),
    CloseNotify,
}

/// The bytes were not valid TLS for this server; the alert is in `outgoing`.
struct Failed;
