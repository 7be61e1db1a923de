//! The gate: what a request may do, before anything of it is done.
//!
//! It turns a request into a [`Decision`]: an answer, a subscription that is granted, or a body worth reading. The client
//! is told the status that PROTOCOL section 4 gives; the reason goes to the log with the answer, and never holds a token.
//! It fails closed: whatever cannot be decided is refused.

mod answers;
mod listing;

use std::fmt;
use std::hash::{DefaultHasher, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;

use crate::history::Resume;
use crate::http::accept_encoding::Negotiated;
use crate::http::cors::{Cors, CorsDecision, OriginList};
use crate::http::credentials::{Credential, CredentialRules, TokenSource};
use crate::http::demo::{Demo, DemoError};
use crate::http::page::{WELCOME, coding_for};
use crate::http::request::{Request, Version};
use crate::http::response::{Challenge, Response};
use crate::http::route::{Route, below_subscriptions, route};
use crate::http::status::Status;
use crate::http::subscribe_query::SubscribeQuery;
use crate::hub::Now;
use crate::hub::framing::{Framing, Transfer};
use crate::hub::keys::{AuthError, KeySource, Verifier};
use crate::hub::refusal::{Refusal, Unavailable};
use crate::limits::SUBSCRIPTION_STATES_MAX;
use crate::protocol::frame::Frame;
use crate::protocol::grant::{Authorization, Grant};
use crate::protocol::names::HUB_PATH;
use crate::protocol::selector::Selector;
use crate::protocol::topic::Topic;
use crate::protocol::update::{Update, UpdateError};

pub use listing::Listing;

const FORM: &[u8] = b"application/x-www-form-urlencoded";
const RETRY_AFTER_S: u32 = 1;
/// Whoever finds no place comes back later than whoever met a short trouble.
const RETRY_AFTER_FULL_S: u32 = 10;

/// What a gate needs to know of the settings.
#[derive(Clone)]
pub struct GateSettings {
    /// `AUTHORIZATION`.
    pub authorization: Authorization,
    /// `ALLOW_ANONYMOUS`: subscribers without a token.
    pub allow_anonymous: bool,
    /// Verifies the tokens of publishers.
    pub publisher_key: KeySource,
    /// Verifies the tokens of subscribers.
    pub subscriber_key: KeySource,
    /// `CORS_ALLOWED_ORIGINS`.
    pub cors: Cors,
    /// `PUBLISH_ALLOWED_ORIGINS`.
    pub publish_origins: OriginList,
    /// `COOKIE_NAME`.
    pub cookie_name: String,
    /// `MAX_SELECTORS`.
    pub selectors_max: usize,
    /// `MAX_BODY_SIZE`.
    pub body_bytes_max: u64,
    /// `COMPRESS`.
    pub compress: bool,
    /// What demo mode has besides.
    pub demo: Option<Arc<Demo>>,
    /// `SUBSCRIPTIONS`.
    pub subscriptions: bool,
}

/// What the gate knows of a request that it has let pass, or answered.
#[derive(Clone, Copy, Debug)]
pub struct ResponseContext {
    /// Which cross-origin headers its answer gets.
    cors: CorsDecision,
    /// Which coding a stream or a page gets; every other answer is too short to have one.
    negotiated: Negotiated,
    /// Its URL held the token.
    has_token_in_url: bool,
}

/// What is to be done with a request.
pub enum Decision {
    /// Answer it.
    Respond(GateResponse),
    /// A granted subscription.
    Subscribe(Box<GrantedSubscription>),
    /// A granted request for a list of active subscriptions: ask the shards, then [`Gate::listed`].
    List(Box<Listing>),
    /// A publisher that may publish something: read the body, then [`Gate::publish`].
    ReadBody(Publisher),
    /// No answer at all: the hub stops, and an `EventSource` that is answered does not come back, while one that meets an error of
    /// the network does.
    HangUp,
}

/// A response, with the reason when it is a refusal.
#[derive(Debug)]
pub struct GateResponse {
    /// The response, complete.
    pub response: Response,
    /// Why the request is refused; `None` when it is not.
    pub refusal: Option<Refusal>,
}

/// A subscription that is granted.
pub struct GrantedSubscription {
    /// A `HEAD`: the head of the stream, and no subscription.
    pub head_only: bool,
    /// What it selects; never empty.
    pub selectors: Vec<Selector>,
    /// What it may receive.
    pub grant: Rc<Grant>,
    /// What tells its token from others; `None` when there is none.
    pub token: Option<u64>,
    /// When its token expires, in [`Now::ms`].
    pub expires_ms: u64,
    /// Where it resumes.
    pub resume: Option<Resume>,
    /// How its stream is framed.
    pub framing: Framing,
    /// For its answer.
    pub context: ResponseContext,
}

/// A publisher whose body is worth reading.
pub struct Publisher {
    grant: Rc<Grant>,
    /// For its answer.
    pub context: ResponseContext,
}

/// The gate of one shard.
pub struct Gate {
    settings: GateSettings,
    anonymous: Rc<Grant>,
    publishers: Verifier,
    subscribers: Verifier,
    /// The hub stops: it is not ready any more.
    leaving: bool,
    /// And nothing new begins.
    draining: bool,
}

/// What a token grants, and what tells it from others when it is a subscriber's.
type Granted = (Rc<Grant>, Option<u64>);

#[derive(Clone, Copy)]
enum Role {
    Publisher,
    Subscriber,
}

/// A refusal on its way to become a [`GateResponse`].
struct Refused {
    response: Response,
    refusal: Refusal,
}

impl Refused {
    fn new(response: Response, reason: impl fmt::Display) -> Self {
        Self { response, refusal: Refusal::new(reason) }
    }

    fn unavailable(cause: Unavailable, reason: impl fmt::Display) -> Self {
        Self { response: Response::unavailable(RETRY_AFTER_S), refusal: Refusal::unavailable(cause, reason) }
    }

    fn bad_request(error: &impl fmt::Display) -> Self {
        Self::new(Response::bad_request(error), error)
    }

    fn forbidden(reason: impl fmt::Display) -> Self {
        Self::new(Response::status_only(Status::Forbidden), reason)
    }
}

impl Gate {
    /// A gate with these settings.
    pub fn new(settings: GateSettings) -> Self {
        Self {
            publishers: Verifier::new(settings.publisher_key.clone()),
            subscribers: Verifier::new(settings.subscriber_key.clone()),
            settings,
            anonymous: Rc::new(Grant::anonymous()),
            leaving: false,
            draining: false,
        }
    }

    /// From now on `/readyz` says that the hub stops.
    pub fn begin_leave(&mut self) {
        self.leaving = true;
    }

    /// From now on nothing new begins either: 503, and no answer to a subscriber.
    pub fn begin_drain(&mut self) {
        self.leaving = true;
        self.draining = true;
    }

    /// The most bytes a body may have.
    pub fn body_bytes_max(&self) -> u64 {
        self.settings.body_bytes_max
    }

    /// What any answer to a request of this origin is [completed](Gate::complete) with, when nothing more is known of it.
    ///
    /// Where the origin of a request could not be read (it is asked for with `None`), the answer says what holds for every
    /// origin: `*` when all are allowed, else no more than `Vary`. A page of a listed origin then sees a network error, as
    /// Fetch has it for any answer that does not name it; to echo an origin that nobody has read would be a guess.
    pub fn context(&self, origin: Option<&[u8]>) -> ResponseContext {
        let negotiated = Negotiated::OFF;
        ResponseContext { cors: self.settings.cors.decide(origin), negotiated, has_token_in_url: false }
    }

    /// Decides about a request, before its body is read.
    pub fn decide(&mut self, request: &Request<'_>, now: Now) -> Decision {
        let mut context = self.context(request.origin);
        if self.settings.compress {
            context.negotiated = Negotiated::new(&request.accept_encoding);
        }
        let route = match route(request) {
            Route::ListSubscriptions | Route::MethodNotAllowed { .. } if self.lacks(request.path) => {
                Route::NotFound
            }
            route => route,
        };
        match route {
            Route::Subscribe { head_only: false } if self.draining => return Decision::HangUp,
            Route::Health | Route::Ready | Route::Preflight => {}
            _ if self.draining => {
                return Decision::Respond(self.unavailable(Unavailable::Stopping, "the hub stops", context));
            }
            _ => {}
        }
        let demo = self.settings.demo.as_ref();
        if let Some(shown) =
            demo.and_then(|demo| demo.answer(request, coding_for(request, context.negotiated)))
        {
            let refuse = |error: DemoError| self.refuse(Refused::new(error.to_response(), error), context);
            let complete = |response| self.complete(GateResponse { response, refusal: None }, context);
            return Decision::Respond(shown.map_or_else(refuse, complete));
        }
        let decision = match route {
            Route::Publish => self.admit_publisher(request, &mut context, now).map(Decision::ReadBody),
            Route::Subscribe { head_only } => self
                .admit_subscriber(request, head_only, &mut context, now)
                .map(|subscription| Decision::Subscribe(Box::new(subscription))),
            Route::ListSubscriptions => self
                .admit_listing(request, &mut context, now)
                .map(|listing| Decision::List(Box::new(listing))),
            Route::Preflight => {
                let response = self.settings.cors.preflight(context.cors);
                return Decision::Respond(GateResponse { response, refusal: None });
            }
            Route::Health => Ok(answer(Response::healthy())),
            Route::Ready if self.leaving || !self.has_keys() => {
                Ok(answer(Response::unavailable(RETRY_AFTER_S)))
            }
            Route::Ready => Ok(answer(Response::healthy())),
            Route::Welcome => Ok(answer(Response::page(&WELCOME, coding_for(request, context.negotiated)))),
            Route::NotFound => {
                let text = format!("Not Found. The hub is at {HUB_PATH}.");
                Err(Refused::new(Response::text(Status::NotFound, text), "no such path"))
            }
            Route::MethodNotAllowed { allow } => {
                Err(Refused::new(Response::method_not_allowed(allow), "method not allowed"))
            }
            Route::NotImplemented => {
                Err(Refused::new(Response::status_only(Status::NotImplemented), "unknown method"))
            }
        };
        match decision {
            Ok(Decision::Respond(answer)) => Decision::Respond(self.complete(answer, context)),
            Ok(decision) => decision,
            Err(refused) => Decision::Respond(self.refuse(refused, context)),
        }
    }

    /// Decides about the body of a publisher: the update, encoded, or the answer. `random` becomes the event id when the
    /// publisher chose none.
    ///
    /// # Errors
    /// The answer to a body that is no publication, or to one that is not granted.
    pub fn publish(
        &self,
        publisher: &Publisher,
        body: &[u8],
        random: [u8; 16],
    ) -> Result<Arc<Frame>, GateResponse> {
        self.encode(publisher, body, random).map_err(|refused| self.refuse(refused, publisher.context))
    }

    fn admit_publisher(
        &mut self,
        request: &Request<'_>,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<Publisher, Refused> {
        let Some((grant, _)) = self.grant(Role::Publisher, request, context, now)? else {
            return Err(Refused::new(Response::unauthorized(Challenge::Missing), "no token"));
        };
        if !grant.may_publish_anything() {
            return Err(Refused::forbidden("the token has no publish claim, or an empty one"));
        }
        if !is_form(request.content_type) {
            let text = "Unsupported Media Type: expected application/x-www-form-urlencoded";
            let response = Response::text(Status::UnsupportedMediaType, text);
            return Err(Refused::new(response, "the body is not application/x-www-form-urlencoded"));
        }
        Ok(Publisher { grant, context: *context })
    }

    fn encode(&self, publisher: &Publisher, body: &[u8], random: [u8; 16]) -> Result<Arc<Frame>, Refused> {
        let update =
            Update::parse(body, self.settings.authorization, random).map_err(|error| match error {
                UpdateError::ReservedTopic => {
                    Refused::new(Response::text(Status::Forbidden, error.to_string()), &error)
                }
                error => Refused::bad_request(&error),
            })?;
        let topics = update.topics().iter().map(Topic::as_str);
        publisher.grant.may_publish(topics, update.audience()).map_err(Refused::forbidden)?;
        Ok(Arc::new(Frame::encode(&update)))
    }

    fn admit_subscriber(
        &mut self,
        request: &Request<'_>,
        head_only: bool,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<GrantedSubscription, Refused> {
        let (grant, token) = match self.grant(Role::Subscriber, request, context, now)? {
            Some(granted) => granted,
            None if self.settings.allow_anonymous => (Rc::clone(&self.anonymous), None),
            None => return Err(Refused::new(Response::unauthorized(Challenge::Missing), "no token")),
        };
        let query = SubscribeQuery::parse(request, self.settings.selectors_max)
            .map_err(|error| Refused::bad_request(&error))?;
        let selectors: Result<Vec<_>, _> = query.topics.iter().map(|text| Selector::parse(text)).collect();
        let invalid = |error: &dyn fmt::Display| {
            let text = format!("Invalid \"topic\" parameter: {error}");
            Refused::new(Response::bad_request(&text), text)
        };
        let selectors = selectors.map_err(|error| invalid(&error))?;
        if selectors.iter().map(Selector::match_cost).fold(0, u32::saturating_add) > SUBSCRIPTION_STATES_MAX {
            let error = format!(
                "together, the URI Templates must not have more than {SUBSCRIPTION_STATES_MAX} states"
            );
            return Err(invalid(&error));
        }
        if self.settings.subscriptions {
            listing::check_events(&selectors, &grant).map_err(|error| invalid(&error))?;
        }
        let transfer = match request.version {
            Version::Http11 => Transfer::Chunked,
            Version::Http10 | Version::Http2 => Transfer::Plain,
        };
        Ok(GrantedSubscription {
            head_only,
            selectors,
            expires_ms: expires_ms(&grant, now),
            grant,
            token,
            resume: query.last_event_id.as_deref().map(Resume::parse),
            framing: Framing { transfer, coding: context.negotiated.coding },
            context: *context,
        })
    }

    /// What the request's token grants, and what tells a subscriber's from others; `None` when it has none.
    fn grant(
        &mut self,
        role: Role,
        request: &Request<'_>,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<Option<Granted>, Refused> {
        let settings = &self.settings;
        let rules = CredentialRules {
            cookie_name: &settings.cookie_name,
            query_parameter: settings.authorization == Authorization::Selectors,
            publish_origins: &settings.publish_origins,
        };
        let credential =
            Credential::find(request, &rules).map_err(|error| Refused::new(error.to_response(), error))?;
        let Some(credential) = credential else { return Ok(None) };
        context.has_token_in_url = credential.source == TokenSource::Query;
        let verifier = match role {
            Role::Publisher => &mut self.publishers,
            Role::Subscriber => &mut self.subscribers,
        };
        let granted = verifier.grant(&credential.token, settings.authorization, now);
        let with_number =
            |grant| (grant, matches!(role, Role::Subscriber).then(|| token_number(&credential.token)));
        granted.map(|grant| Some(with_number(grant))).map_err(|error| match error {
            AuthError::Invalid(reason) => {
                Refused::new(Response::unauthorized(Challenge::InvalidToken), reason)
            }
            AuthError::NotYet(reason) => Refused::unavailable(Unavailable::Keys, reason),
        })
    }

    /// Whether there is nothing at this path, though other hubs have something.
    fn lacks(&self, path: &str) -> bool {
        !self.settings.subscriptions && below_subscriptions(path).is_some()
    }

    /// Whether tokens of both roles can be verified.
    fn has_keys(&self) -> bool {
        self.publishers.has_keys() && self.subscribers.has_keys()
    }
}

/// A number for a token that is verified, the same in every shard. Nobody without the key can choose tokens, so none can be made
/// that shares its number with another.
fn token_number(token: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(token.as_bytes());
    hasher.finish()
}

fn answer(response: Response) -> Decision {
    Decision::Respond(GateResponse { response, refusal: None })
}

/// Parameters such as `charset` are ignored (PROTOCOL section 3).
fn is_form(content_type: Option<&[u8]>) -> bool {
    let media_type = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
    media_type.is_some_and(|media_type| media_type.trim_ascii().eq_ignore_ascii_case(FORM))
}

/// `exp` on the clock that never jumps: the subscriber is disconnected when it is reached.
fn expires_ms(grant: &Grant, now: Now) -> u64 {
    grant.expires_at().map_or(u64::MAX, |exp_s| {
        let left_ms = exp_s.saturating_mul(1_000).saturating_sub(now.unix_ms);
        now.ms.saturating_add(left_ms)
    })
}
