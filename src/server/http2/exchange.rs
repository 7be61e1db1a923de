//! A request on an HTTP/2 stream, and its response.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE, HeaderValue};

use super::responder::StreamResponder;
use crate::api::handler::AwaitedBody;
use crate::http::headers::date::HttpDate;
use crate::http::response::Response;
use crate::limits::{LINGER_BYTES_MAX, LINGER_MS};
use crate::server::memory::MemoryPermit;
use crate::server::timeouts::{Timeouts, after, body_due_ms};
use crate::server::waiting::Waiting;

/// A request without a complete response.
pub(crate) struct Exchange {
    pub(crate) stage: ExchangeStage,
    /// When it began, or its client last took a byte of the response.
    since_ms: u64,
    began_ms: u64,
    waker: Waker,
}

/// What an exchange is waiting for.
pub(crate) enum ExchangeStage {
    /// The request body.
    Body {
        responder: StreamResponder,
        awaited: AwaitedBody,
        body: RecvStream,
        content: Vec<u8>,
        /// Counts the memory of `content`.
        memory: MemoryPermit,
    },
    /// Another thread.
    Waits { responder: StreamResponder, waiting: Waiting, head_only: bool },
    /// The client to take the rest of the response; a long one holds a permit.
    Send { stream: SendStream<Bytes>, rest: Bytes, memory_permit: Option<MemoryPermit> },
    /// The end of a body that is not needed. A reset after the response is allowed (RFC 9113,
    /// section 8.1), but some clients then drop the response.
    Linger { body: RecvStream, bytes_left: usize },
}

/// The result of reading a body.
pub(crate) enum BodyProgress {
    /// The body is complete.
    All,
    /// More has to come.
    Some,
    /// It exceeds its limit.
    TooMuch,
    /// The client reset the stream, or broke the protocol.
    Gone,
}

/// The progress of a response, or of discarding a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It is over.
    Done,
    /// It waits for the client.
    Waits,
}

impl Exchange {
    pub(crate) fn new(stage: ExchangeStage, waker: Waker, now_ms: u64) -> Self {
        Self { stage, since_ms: now_ms, began_ms: now_ms, waker }
    }

    /// The response was given before the body was complete.
    pub(crate) fn linger(body: RecvStream, waker: Waker, now_ms: u64) -> Self {
        Self::new(ExchangeStage::Linger { body, bytes_left: LINGER_BYTES_MAX }, waker, now_ms)
    }

    /// Bytes of its body received so far.
    pub(super) fn body_bytes(&self) -> usize {
        match &self.stage {
            ExchangeStage::Body { content, .. } => content.len(),
            _ => 0,
        }
    }

    /// Bytes of memory of its body.
    pub(crate) fn body_bytes_held(&self) -> usize {
        match &self.stage {
            ExchangeStage::Body { content, awaited, .. } => content.capacity() + awaited.bytes_held(),
            _ => 0,
        }
    }

    /// Whether its body is arriving, and too slowly.
    pub(crate) fn is_body_slow(&self, now_ms: u64) -> bool {
        matches!(self.stage, ExchangeStage::Body { .. }) && self.body_due_ms() <= now_ms
    }

    fn body_due_ms(&self) -> u64 {
        body_due_ms(self.since_ms, self.body_bytes())
    }

    pub(super) fn deadline_ms(&self, timeouts: &Timeouts) -> u64 {
        match &self.stage {
            ExchangeStage::Body { .. } => after(self.since_ms, timeouts.read_ms).min(self.body_due_ms()),
            ExchangeStage::Send { .. } => {
                after(self.since_ms, timeouts.write_ms).min(after(self.began_ms, timeouts.response_ms))
            }
            ExchangeStage::Linger { .. } => after(self.since_ms, LINGER_MS),
            ExchangeStage::Waits { .. } => u64::MAX,
        }
    }

    /// Reads the available part of the body, which may have at most `bytes_max` bytes.
    pub(crate) fn receive(&mut self, bytes_max: u64) -> BodyProgress {
        let ExchangeStage::Body { body, content, memory, awaited, .. } = &mut self.stage else {
            return BodyProgress::Some;
        };
        let mut context = Context::from_waker(&self.waker);
        loop {
            match body.poll_data(&mut context) {
                Poll::Ready(Some(Ok(data))) => {
                    if (content.len() + data.len()) as u64 > bytes_max {
                        return BodyProgress::TooMuch;
                    }
                    content.extend_from_slice(&data);
                    memory.resize(content.capacity() + awaited.bytes_held());
                    if body.flow_control().release_capacity(data.len()).is_err() {
                        return BodyProgress::Gone;
                    }
                }
                Poll::Ready(Some(Err(_))) => return BodyProgress::Gone,
                Poll::Ready(None) => return BodyProgress::All,
                Poll::Pending => return BodyProgress::Some,
            }
        }
    }

    /// Reads and discards the available part of the body.
    pub(crate) fn discard(&mut self) -> Progress {
        let ExchangeStage::Linger { body, bytes_left } = &mut self.stage else { return Progress::Waits };
        let mut context = Context::from_waker(&self.waker);
        loop {
            match body.poll_data(&mut context) {
                Poll::Ready(Some(Ok(data))) => {
                    let is_too_much = data.len() > *bytes_left;
                    *bytes_left = bytes_left.saturating_sub(data.len());
                    if is_too_much || body.flow_control().release_capacity(data.len()).is_err() {
                        return Progress::Done;
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => return Progress::Done,
                Poll::Pending => return Progress::Waits,
            }
        }
    }

    /// Queues as much of the response as the window allows.
    pub(crate) fn send(&mut self, now_ms: u64) -> Progress {
        let ExchangeStage::Send { stream, rest, .. } = &mut self.stage else { return Progress::Waits };
        stream.reserve_capacity(rest.len());
        let taken = stream.capacity().min(rest.len());
        if taken > 0 {
            self.since_ms = now_ms;
            let is_last = taken == rest.len();
            if stream.send_data(rest.split_to(taken), is_last).is_err() || is_last {
                return Progress::Done;
            }
        }
        match stream.poll_reset(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(_) => Progress::Done,
            Poll::Pending => Progress::Waits,
        }
    }

    /// Cancels the exchange.
    pub(crate) fn cancel(self) {
        match self.stage {
            ExchangeStage::Body { mut responder, .. } | ExchangeStage::Waits { mut responder, .. } => {
                responder.reset(Reason::CANCEL);
            }
            ExchangeStage::Send { mut stream, .. } => stream.send_reset(Reason::CANCEL),
            // Dropping the last handle resets the stream without an error.
            ExchangeStage::Linger { .. } => {}
        }
    }
}

/// The head of a response (RFC 9113, section 8.3.2).
pub(crate) fn head_of(response: &Response, date: &HttpDate) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = response.status();
    let fields = head.headers_mut();
    for (name, value) in response.fields() {
        fields.append(name.header_name(), value.clone());
    }
    if let Ok(date) = HeaderValue::from_bytes(date.as_bytes()) {
        fields.insert(DATE, date);
    }
    if let Some(length) = response.content_length() {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    head
}
