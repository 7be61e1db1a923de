//! A request on a stream of its own, and its answer.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use super::reply::Reply;
use crate::http::date::HttpDate;
use crate::http::response::Response;
use crate::hub::gate::{GrantedSubscription, Publisher, ResponseContext};
use crate::limits::{LINGER_BYTES_MAX, LINGER_MS};
use crate::protocol::frame::Frame;
use crate::runtime::connection::{Timeouts, after};
use crate::runtime::shard::MemoryPermit;

/// A request that is not answered as a whole.
pub(in crate::runtime) struct Exchange {
    pub(in crate::runtime) stage: ExchangeStage,
    /// When it began, or its client last took a byte of the answer.
    since_ms: u64,
    began_ms: u64,
    waker: Waker,
}

/// What an exchange waits for.
pub(in crate::runtime) enum ExchangeStage {
    /// For the client's body.
    Body { respond: Reply, publisher: Publisher, body: RecvStream, content: Vec<u8> },
    /// For its publication to come round the ring.
    Commit { respond: Reply, frame: Arc<Frame>, context: ResponseContext },
    /// For the history to say where the subscription begins.
    Resolve { respond: Reply, subscription: Box<GrantedSubscription> },
    /// For the shards to list their subscriptions.
    List { respond: Reply, head_only: bool },
    /// For the client to take the rest of the answer; the permit is held when it is long.
    Send { stream: SendStream<Bytes>, rest: Bytes, memory_permit: Option<MemoryPermit> },
    /// For the end of a body that nobody wants. Its stream could be reset, which the answer allows (RFC 9113, section 8.1); but
    /// some clients forget the answer over it.
    Linger { body: RecvStream, bytes_left: usize },
}

/// What a look at a body found.
pub(in crate::runtime) enum BodyProgress {
    /// It is here as a whole.
    All,
    /// More has to come.
    Some,
    /// It has more bytes than it may have.
    TooMuch,
    /// The client gave up, or broke its own word.
    Gone,
}

/// What became of an answer, or of a body that nobody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Progress {
    /// It is over.
    Done,
    /// The client has to do something first.
    Waits,
}

impl Exchange {
    pub(in crate::runtime) fn new(stage: ExchangeStage, waker: Waker, now_ms: u64) -> Self {
        Self { stage, since_ms: now_ms, began_ms: now_ms, waker }
    }

    /// An answer was given before the body was here.
    pub(in crate::runtime) fn linger(body: RecvStream, waker: Waker, now_ms: u64) -> Self {
        Self::new(ExchangeStage::Linger { body, bytes_left: LINGER_BYTES_MAX }, waker, now_ms)
    }

    /// Bytes of its body that are here.
    pub(super) fn body_bytes(&self) -> usize {
        match &self.stage {
            ExchangeStage::Body { content, .. } => content.len(),
            _ => 0,
        }
    }

    pub(super) fn deadline_ms(&self, timeouts: &Timeouts) -> u64 {
        match &self.stage {
            ExchangeStage::Body { .. } => after(self.since_ms, timeouts.read_ms),
            ExchangeStage::Send { .. } => {
                after(self.since_ms, timeouts.write_ms).min(after(self.began_ms, timeouts.response_ms))
            }
            ExchangeStage::Linger { .. } => after(self.since_ms, LINGER_MS),
            ExchangeStage::Commit { .. } | ExchangeStage::Resolve { .. } | ExchangeStage::List { .. } => {
                u64::MAX
            }
        }
    }

    /// Reads what is here of the body, which may have so many bytes.
    pub(in crate::runtime) fn receive(&mut self, bytes_max: u64) -> BodyProgress {
        let ExchangeStage::Body { body, content, .. } = &mut self.stage else { return BodyProgress::Some };
        let mut context = Context::from_waker(&self.waker);
        loop {
            match body.poll_data(&mut context) {
                Poll::Ready(Some(Ok(data))) => {
                    if (content.len() + data.len()) as u64 > bytes_max {
                        return BodyProgress::TooMuch;
                    }
                    content.extend_from_slice(&data);
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

    /// Reads what is here of a body that nobody wants.
    pub(in crate::runtime) fn discard(&mut self) -> Progress {
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

    /// Queues what the window has room for of the answer.
    pub(in crate::runtime) fn send(&mut self, now_ms: u64) -> Progress {
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

    /// Gives up.
    pub(in crate::runtime) fn cancel(self) {
        match self.stage {
            ExchangeStage::Body { mut respond, .. }
            | ExchangeStage::Commit { mut respond, .. }
            | ExchangeStage::Resolve { mut respond, .. }
            | ExchangeStage::List { mut respond, .. } => {
                respond.send_reset(Reason::CANCEL);
            }
            ExchangeStage::Send { mut stream, .. } => stream.send_reset(Reason::CANCEL),
            // It is reset without an error when its last handle goes.
            ExchangeStage::Linger { .. } => {}
        }
    }
}

/// The head of an answer (RFC 9113, section 8.3.2).
pub(in crate::runtime) fn head_of(response: &Response, date: &HttpDate) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() =
        StatusCode::from_u16(response.status().code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let fields = head.headers_mut();
    for (name, value) in response.fields() {
        append(fields, name, value.as_bytes());
    }
    if let Ok(date) = HeaderValue::from_bytes(date.as_bytes()) {
        fields.insert(DATE, date);
    }
    if let Some(length) = response.content_length() {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    head
}

/// Adds a field; both parts of one are valid already, in any version of HTTP.
fn append(fields: &mut HeaderMap, name: &str, value: &[u8]) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
        fields.append(name, value);
    }
}
