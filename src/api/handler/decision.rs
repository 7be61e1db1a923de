//! What the handler decides about a request: a response, or what is needed for one.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;

use crate::api::refusal::{Refusal, Unavailable};
use crate::http::headers::accept_encoding::Negotiated;
use crate::http::headers::cors::CorsDecision;
use crate::http::headers::etag::is_current;
use crate::http::request::Lines;
use crate::http::response::Response;
use crate::mercure::grant::Grant;
use crate::mercure::resume::Resume;
use crate::mercure::selector::Selector;
use crate::mercure::subscription::{Announcement, ListingQuery};
use crate::sse::framing::Framing;

pub(super) const RETRY_AFTER_S: u32 = 1;
/// A client that met a limit should wait longer than one that met a short failure.
pub(super) const RETRY_AFTER_LIMIT_S: u32 = 10;

/// What to do with a request.
pub enum Decision {
    /// Send this response.
    Respond(ApiResponse),
    /// A granted subscription.
    Subscribe(Box<GrantedSubscription>),
    /// A granted request for a list of active subscriptions: ask the shards, then call
    /// [`RequestHandler::listed`](super::RequestHandler::listed).
    List(Box<Listing>),
    /// A publisher with some publish grant: read the body, then call
    /// [`RequestHandler::publish`](super::RequestHandler::publish).
    ReadBody(Publisher),
    /// Close without a response: the hub stops. An `EventSource` reconnects after a network error,
    /// but not after an error response.
    HangUp,
}

/// A response, with the reason if it is a refusal.
#[derive(Debug)]
pub struct ApiResponse {
    /// The response, complete.
    pub response: Response,
    /// Why the request is refused; `None` if it is not.
    pub refusal: Option<Refusal>,
}

/// A granted subscription.
pub struct GrantedSubscription {
    /// A `HEAD`: send the head of the stream, without a subscription.
    pub head_only: bool,
    /// The selectors; never empty.
    pub selectors: Vec<Selector>,
    /// How each selector is announced; empty if the hub does not track subscriptions.
    pub announcements: Box<[Announcement]>,
    /// The updates it may receive.
    pub grant: Rc<Grant>,
    /// A number that identifies its token; `None` without a token.
    pub token: Option<u64>,
    /// When its token expires, in [`Now::ms`](crate::time::Now::ms).
    pub expires_ms: u64,
    /// Where it resumes.
    pub resume: Option<Resume>,
    /// The framing of its stream.
    pub framing: Framing,
    /// The context for its response.
    pub context: ResponseContext,
}

/// A publisher whose body should be read.
pub struct Publisher {
    pub(super) grant: Rc<Grant>,
    /// The context for its response.
    pub context: ResponseContext,
}

/// A granted request for a list; the shards must be asked.
pub struct Listing {
    /// The requested list.
    pub wanted: Arc<ListingQuery>,
    /// `If-None-Match`, each line.
    pub(super) if_none_match: Vec<Box<[u8]>>,
    /// The context for its response.
    pub context: ResponseContext,
}

/// The properties of a request that its response depends on.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext {
    /// Which cross-origin headers the response gets.
    pub(super) cors: CorsDecision,
    /// The coding of a stream or a page; every other response is too short for one.
    pub(super) negotiated: Negotiated,
    /// Whether the URL held the token.
    pub(super) has_token_in_url: bool,
}

/// A refusal before it becomes an [`ApiResponse`].
pub(super) struct Refused {
    pub(super) response: Response,
    pub(super) refusal: Refusal,
}

impl Refused {
    pub(super) fn new(response: Response, reason: impl fmt::Display) -> Self {
        Self { response, refusal: Refusal::new(reason) }
    }

    pub(super) fn unavailable(cause: Unavailable, reason: impl fmt::Display) -> Self {
        Self { response: Response::unavailable(RETRY_AFTER_S), refusal: Refusal::unavailable(cause, reason) }
    }

    pub(super) fn bad_request(error: &impl fmt::Display) -> Self {
        Self::new(Response::bad_request(error), error)
    }

    pub(super) fn forbidden(reason: impl fmt::Display) -> Self {
        Self::new(Response::status_only(StatusCode::FORBIDDEN), reason)
    }
}

impl Listing {
    /// Whether the client has the copy with this entity tag.
    pub(super) fn has_copy(&self, tag: &str) -> bool {
        let lines: Lines<'_> = self.if_none_match.iter().map(|line| &**line).collect();
        is_current(&lines, tag)
    }
}
