//! What the handler decides about a request: a response, or what is needed for one.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::api::refusal::{Refusal, Unavailable};
use crate::http::headers::accept_encoding::Negotiated;
use crate::http::headers::cors::CorsDecision;
use crate::http::headers::etag::is_current;
use crate::http::request::Lines;
use crate::http::response::{Challenge, Response};
use crate::mercure::audience::Authorization;
use crate::mercure::dialect::Dialect;
use crate::mercure::grant::Grant;
use crate::mercure::resume::Resume;
use crate::mercure::selector::Selector;
use crate::mercure::subscription::{Announcement, ListingQuery};
use crate::mercure::token::KeyNumber;
use crate::sse::framing::{Framing, Transfer};

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
    /// Read the body, then go on as [`AwaitedBody`] says.
    ReadBody(AwaitedBody),
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

/// What a body is read for.
pub enum AwaitedBody {
    /// A publisher with some publish grant: call
    /// [`RequestHandler::publish`](super::RequestHandler::publish) with the body.
    Publication(Publisher),
    /// A subscriber whose parameters are in the body, too: call
    /// [`RequestHandler::query`](super::RequestHandler::query) with it.
    Query(Box<QuerySubscriber>),
}

impl AwaitedBody {
    /// The context for its response.
    pub fn context(&self) -> ResponseContext {
        match self {
            Self::Publication(publisher) => publisher.context,
            Self::Query(subscriber) => subscriber.context,
        }
    }

    /// Bytes of memory that it holds of the request's head.
    pub fn bytes_held(&self) -> usize {
        match self {
            Self::Publication(_) => 0,
            Self::Query(subscriber) => {
                let QuerySubscriber { query, last_event_id, .. } = &**subscriber;
                let texts = [query, last_event_id].into_iter().flatten();
                size_of::<QuerySubscriber>() + texts.map(|text| text.len()).sum::<usize>()
            }
        }
    }
}

/// An authorized subscriber by `QUERY` whose body should be read.
pub struct QuerySubscriber {
    pub(super) subscriber: AdmittedSubscriber,
    pub(super) query: Option<Box<str>>,
    pub(super) last_event_id: Option<Box<str>>,
    /// Whether the request names the media type of its body, which is then a form.
    pub(super) has_type: bool,
    pub(super) transfer: Transfer,
    /// The context for its response.
    pub context: ResponseContext,
}

/// Who subscribes.
pub(super) struct AdmittedSubscriber {
    pub(super) grant: Rc<Grant>,
    /// A number that identifies its token; `None` without a token.
    pub(super) token: Option<u64>,
    /// The key that verified the token.
    pub(super) key: Option<KeyNumber>,
}

/// A granted subscription.
pub struct GrantedSubscription {
    /// The dialect of its request.
    pub dialect: Dialect,
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
    /// The key that verified the token: the stream ends when it is withdrawn.
    pub key: Option<KeyNumber>,
    /// When its token expires, in [`Now::ms`](crate::time::Now::ms).
    pub expires_ms: u64,
    /// Where it resumes.
    pub resume: Option<Resume>,
    /// The framing of its stream.
    pub framing: Framing,
    /// The context for its response.
    pub context: ResponseContext,
}

impl GrantedSubscription {
    /// The dialect of its request or, if it is older, of its token.
    pub fn oldest_dialect(&self) -> Dialect {
        self.grant.dialect().filter(|of_token| *of_token != Dialect::Draft08).unwrap_or(self.dialect)
    }
}

/// A publisher whose body should be read.
pub struct Publisher {
    pub(super) grant: Rc<Grant>,
    /// What its token lists.
    pub(super) authorization: Authorization,
    /// The key that verified the token.
    pub(super) key: KeyNumber,
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
    /// The dialect of the request: names of fields, statuses and challenges depend on it.
    pub(super) dialect: Dialect,
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
    /// Set if the token is at fault. The response is that of a hub without draft 08; another
    /// replaces it for a request of draft 08.
    pub(super) challenge: Option<Challenge>,
}

impl Refused {
    pub(super) fn new(response: Response, reason: impl fmt::Display) -> Self {
        Self::because(response, Refusal::new(reason))
    }

    pub(super) fn because(response: Response, refusal: Refusal) -> Self {
        Self { response, refusal, challenge: None }
    }

    pub(super) fn challenge(challenge: Challenge, reason: impl fmt::Display) -> Self {
        let refused = Self::new(Response::unauthorized(challenge), reason);
        Self { challenge: Some(challenge), ..refused }
    }

    pub(super) fn unavailable(cause: Unavailable, reason: impl fmt::Display) -> Self {
        Self::because(Response::unavailable(RETRY_AFTER_S), Refusal::unavailable(cause, reason))
    }

    pub(super) fn bad_request(error: &impl fmt::Display) -> Self {
        Self::new(Response::bad_request(error), error)
    }

    pub(super) fn forbidden(reason: impl fmt::Display) -> Self {
        Self::challenge(Challenge::InsufficientScope, reason)
    }
}

impl Listing {
    /// Whether the client has the copy with this entity tag.
    pub(super) fn has_copy(&self, tag: &str) -> bool {
        let lines: Lines<'_> = self.if_none_match.iter().map(|line| &**line).collect();
        is_current(&lines, tag)
    }
}
