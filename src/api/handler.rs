//! Decides what a request may do, before any of it is done.
//!
//! It turns a request into a [`Decision`]: a response, a granted subscription or list, a body to
//! read, or to hang up.
//! The client gets the status of PROTOCOL section 4; the reason goes to the log with the response,
//! and never holds a token. The handler fails closed: if it cannot decide, it refuses.

mod announce;
mod decision;
mod listing;
mod metadata;
mod responses;
mod settings;
mod subscribing;

use std::hash::{DefaultHasher, Hasher as _};
use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;

use crate::api::demo::DemoError;
use crate::api::history_health::HistoryHealth;
use crate::api::keyring::verifier::{AuthError, TokenCounts, Verifier};
use crate::api::page::{WELCOME, coding_for};
use crate::api::refusal::Unavailable;
use crate::api::request_counts::{RequestCounts, SpokenDialects};
use crate::api::routes::{Route, below_subscriptions, dialect_of, has_path, route};
use crate::http::headers::accept_encoding::Negotiated;
use crate::http::headers::cors::OriginList;
use crate::http::headers::credentials::{CookieRules, Credential, CredentialRules, TokenSource};
use crate::http::request::Request;
use crate::http::response::{Challenge, Response};
use crate::mercure::audience::Authorization;
use crate::mercure::dialect::Dialect;
use crate::mercure::grant::{Grant, PublishDenial};
use crate::mercure::names::{HUB_PATH, HUB_PATH_2019};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::token::{KeyNumber, TokenForm};
use crate::mercure::topic::Topic;
use crate::mercure::update::{Update, UpdateError, UpdateRules};
use crate::sse::frame::Frame;
use crate::time::Now;

use decision::{RETRY_AFTER_S, Refused};
use metadata::metadata;
use settings::Role;

pub use crate::api::subscribe_query::SelectorBounds;
pub use decision::{
    ApiResponse, AwaitedBody, Decision, GrantedSubscription, Listing, Publisher, ResponseContext,
};
pub use settings::ApiSettings;
#[cfg(test)]
pub(crate) use settings::settings_for_tests;

/// Why a request with a valid token is refused after it has waited.
const KEY_WITHDRAWN: &str = "the key of the token was withdrawn";
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// The handler of one shard.
pub struct RequestHandler {
    settings: ApiSettings,
    anonymous: Rc<Grant>,
    publishers: Verifier,
    subscribers: Verifier,
    history: HistoryHealth,
    /// The URL of the metadata, if the hub speaks draft 08.
    metadata_url: Option<Box<str>>,
    /// Origins whose documents may publish with the cookie of draft 08: the hub's own, too.
    publish_origins_08: OriginList,
    /// Which list of `ISSUERS_FILE` is in use.
    issuers_generation: u64,
    requests: RequestCounts,
    /// Of the request that was decided last.
    spoken: SpokenDialects,
    /// Whether the hub stops: `/readyz` is then not ready.
    leaving: bool,
    /// Whether new work is refused, too.
    draining: bool,
}

/// What a token grants.
struct Granted {
    grant: Rc<Grant>,
    /// A number that identifies the token; `None` for a publisher.
    token: Option<u64>,
    /// The key that verified it.
    key: KeyNumber,
}

impl RequestHandler {
    /// A handler with these settings.
    pub fn new(mut settings: ApiSettings) -> Self {
        let hub = settings.public_url.clone().filter(|_| settings.dialects.has_draft08());
        if hub.is_some() {
            settings.cors = settings.cors.with_draft08();
        }
        let own_origin = hub.as_ref().map(PublicUrl::origin);
        Self {
            publish_origins_08: own_origin
                .map_or_else(OriginList::default, |origin| settings.publish_origins.clone().with(&origin)),
            metadata_url: hub.map(|hub| hub.metadata_url().into()),
            requests: RequestCounts::default(),
            spoken: SpokenDialects::default(),
            issuers_generation: 0,
            publishers: settings.verifier(Role::Publisher),
            subscribers: settings.verifier(Role::Subscriber),
            settings,
            anonymous: Rc::new(Grant::anonymous()),
            history: HistoryHealth::default(),
            leaving: false,
            draining: false,
        }
    }

    /// From now on `/readyz` reports, too, when this history fails.
    #[must_use]
    pub fn with_history(self, history: HistoryHealth) -> Self {
        Self { history, ..self }
    }

    /// From now on `/readyz` reports that the hub stops.
    pub fn begin_leave(&mut self) {
        self.leaving = true;
    }

    /// From now on all new work is refused, too: 503, and no response to a subscriber.
    pub fn refuse_new_work(&mut self) {
        self.leaving = true;
        self.draining = true;
    }

    /// The tokens that were accepted so far, of publishers and of subscribers.
    pub(crate) fn accepted_tokens(&self) -> [TokenCounts; 2] {
        [&self.publishers, &self.subscribers].map(Verifier::counts)
    }

    /// Whether there are newer keys than those in use.
    pub(crate) fn has_newer_keys(&self) -> bool {
        let issuers = self.settings.issuers_of_file.as_ref();
        issuers.is_some_and(|shared| shared.is_newer_than(self.issuers_generation))
            || self.publishers.is_outdated()
            || self.subscribers.is_outdated()
    }

    /// Takes the newest issuers and keys; returns the keys of subscribers' tokens that are
    /// withdrawn: the streams that they granted must end.
    pub(crate) fn renew_keys(&mut self) -> Vec<KeyNumber> {
        if let Some(shared) = &self.settings.issuers_of_file
            && shared.is_newer_than(self.issuers_generation)
        {
            self.settings.issuers = shared.newest(&mut self.issuers_generation);
            self.publishers.replace_issuers(self.settings.issuers_of(Role::Publisher));
            self.subscribers.replace_issuers(self.settings.issuers_of(Role::Subscriber));
        }
        self.publishers.take_withdrawn();
        self.subscribers.take_withdrawn()
    }

    /// The response to a subscription that has waited, if the key of its token was withdrawn
    /// meanwhile.
    pub fn withdrawn(&self, subscription: &GrantedSubscription) -> Option<ApiResponse> {
        if subscription.key.is_none_or(|key| self.subscribers.has_number(key)) {
            return None;
        }
        let refused = Refused::challenge(Challenge::InvalidToken, KEY_WITHDRAWN);
        Some(self.refuse(refused, subscription.context))
    }

    /// Whether it speaks draft 08 beside an older one.
    pub(crate) fn is_mixed(&self) -> bool {
        let dialects = self.settings.dialects;
        dialects.has_draft08() && dialects.legacy_authorization().is_some()
    }

    /// The maximum size of a body, in bytes.
    pub fn body_bytes_max(&self) -> u64 {
        self.settings.body_bytes_max
    }

    /// The context for a response when only the origin of its request is known; see
    /// [complete](RequestHandler::complete).
    ///
    /// If the origin could not be read (`None`), the response says what holds for every origin: `*`
    /// if all are allowed, else at most `Vary`. A page of a listed origin then sees a network
    /// error, as Fetch requires for any response that does not name the origin. Echoing an origin
    /// that was not read would be a guess.
    pub fn context(&self, origin: Option<&[u8]>) -> ResponseContext {
        let dialects = self.settings.dialects;
        let dialect = dialects.legacy_dialect().filter(|_| !dialects.has_draft08());
        ResponseContext {
            dialect: dialect.unwrap_or(Dialect::Draft08),
            cors: self.settings.cors.decide(origin),
            negotiated: Negotiated::OFF,
            has_token_in_url: false,
        }
    }

    /// The requests so far.
    pub fn request_counts(&self) -> RequestCounts {
        self.requests
    }

    /// The dialects of the request that was decided last.
    pub(crate) fn spoken(&self) -> SpokenDialects {
        self.spoken
    }

    /// Counts a request by its dialect. If nothing in a publication but its token tells, the token
    /// does, also if it is refused.
    fn count(&mut self, route: Route, context: ResponseContext) {
        if !route.is_of_protocol() {
            return;
        }
        let dialects = self.settings.dialects;
        let of_token = self.spoken.token.filter(|it| route == Route::Publish && dialects.has(*it));
        let dialect = of_token.unwrap_or(context.dialect);
        self.spoken.request = Some(dialect);
        self.requests.add(dialect);
    }

    /// Decides about a request, before its body is read.
    pub fn decide(&mut self, request: &Request<'_>, now: Now) -> Decision {
        self.spoken = SpokenDialects::default();
        let mut context = self.context(request.origin);
        if self.settings.compress {
            context.negotiated = Negotiated::new(&request.accept_encoding);
        }
        let route = match route(request, self.settings.dialects) {
            Route::ListSubscriptions | Route::MethodNotAllowed { .. } if self.lacks(request.path) => {
                Route::NotFound
            }
            route => route,
        };
        context.dialect = dialect_of(request, route, self.settings.dialects);
        match route {
            Route::Subscribe { head_only: false } | Route::SubscribeByQuery if self.draining => {
                return Decision::HangUp;
            }
            Route::Health | Route::Ready | Route::Preflight => {}
            _ if self.draining => {
                return Decision::Respond(self.unavailable(Unavailable::Stopping, "the hub stops", context));
            }
            _ => {}
        }
        let has_path = has_path(request.path, self.settings.dialects);
        let demo = self.settings.demo.as_ref().filter(|_| has_path);
        if let Some(shown) =
            demo.and_then(|demo| demo.respond(request, coding_for(request, context.negotiated)))
        {
            let refuse = |error: DemoError| self.refuse(Refused::new(error.to_response(), error), context);
            let complete = |response| self.complete(ApiResponse { response, refusal: None }, context);
            return Decision::Respond(shown.map_or_else(refuse, complete));
        }
        let decision = self.decide_route(route, request, &mut context, now);
        self.count(route, context);
        match decision {
            Ok(Decision::Respond(response)) => Decision::Respond(self.complete(response, context)),
            Ok(decision) => decision,
            Err(refused) => Decision::Respond(self.refuse(refused, context)),
        }
    }

    fn decide_route(
        &mut self,
        route: Route,
        request: &Request<'_>,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<Decision, Refused> {
        match route {
            Route::Publish => {
                let publisher = self.admit_publisher(request, context, now)?;
                Ok(Decision::ReadBody(AwaitedBody::Publication(publisher)))
            }
            Route::Subscribe { head_only } => {
                let subscription = self.admit_subscriber(request, head_only, context, now)?;
                Ok(Decision::Subscribe(Box::new(subscription)))
            }
            Route::SubscribeByQuery => {
                let subscriber = self.admit_query(request, context, now)?;
                Ok(Decision::ReadBody(AwaitedBody::Query(Box::new(subscriber))))
            }
            Route::ListSubscriptions => {
                self.admit_listing(request, context, now).map(|listing| Decision::List(Box::new(listing)))
            }
            Route::Preflight => Ok(respond(self.preflight(request, *context))),
            Route::Metadata => Ok(respond(metadata(&self.settings))),
            Route::Health => Ok(respond(Response::healthy())),
            Route::Ready => Ok(respond(self.readiness())),
            Route::Welcome => Ok(respond(WELCOME.response(coding_for(request, context.negotiated)))),
            Route::NotFound => {
                let text = format!("Not Found. The hub is at {HUB_PATH}.");
                Err(Refused::new(Response::text(StatusCode::NOT_FOUND, text), "no such path"))
            }
            Route::MethodNotAllowed { allow, has_query } => {
                let mut response = Response::method_not_allowed(allow);
                if has_query {
                    response.accept_query();
                }
                Err(Refused::new(response, "method not allowed"))
            }
            Route::NotImplemented => {
                Err(Refused::new(Response::status_only(StatusCode::NOT_IMPLEMENTED), "unknown method"))
            }
        }
    }

    fn preflight(&self, request: &Request<'_>, context: ResponseContext) -> Response {
        let mut response = self.settings.cors.preflight(context.cors);
        let is_hub = matches!(request.path, HUB_PATH | HUB_PATH_2019);
        if is_hub && self.settings.dialects.has_draft08() {
            response.accept_query();
        }
        response
    }

    /// Decides about the body of a publisher. Returns the encoded update. `random` becomes the
    /// event id if the publisher chose none.
    ///
    /// # Errors
    /// The response to a body that is not a valid publication or that is not granted.
    pub fn publish(
        &self,
        publisher: &Publisher,
        body: &[u8],
        random: [u8; 16],
    ) -> Result<Arc<Frame>, ApiResponse> {
        self.encode(publisher, body, random).map_err(|refused| self.refuse(refused, publisher.context))
    }

    fn admit_publisher(
        &mut self,
        request: &Request<'_>,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<Publisher, Refused> {
        let granted = self.grant(Role::Publisher, request, context, now)?;
        let Some(Granted { grant, key, .. }) = granted else {
            return Err(Refused::challenge(Challenge::Missing, "no token"));
        };
        if !grant.may_publish_anything() {
            return Err(Refused::forbidden("the token has no publish claim, or an empty one"));
        }
        if !is_form(request.content_type) {
            let text = "Unsupported Media Type: expected application/x-www-form-urlencoded";
            let response = Response::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
            return Err(Refused::new(response, "the body is not application/x-www-form-urlencoded"));
        }
        // The audience is that of the token's dialect: only a token of draft 04 may name targets.
        let authorization = match grant.dialect() {
            Some(Dialect::Draft04) => Authorization::Targets,
            Some(Dialect::Draft07 | Dialect::Draft08) => Authorization::Selectors,
            None => self.settings.authorization,
        };
        Ok(Publisher { grant, authorization, key, context: *context })
    }

    /// The hub's URL, if it speaks draft 08.
    fn draft08(&self) -> Option<&PublicUrl> {
        self.settings.public_url.as_ref().filter(|_| self.settings.dialects.has_draft08())
    }

    fn encode(&self, publisher: &Publisher, body: &[u8], random: [u8; 16]) -> Result<Arc<Frame>, Refused> {
        if !self.publishers.has_number(publisher.key) {
            return Err(Refused::challenge(Challenge::InvalidToken, KEY_WITHDRAWN));
        }
        let rules = UpdateRules { authorization: publisher.authorization, draft08: self.draft08() };
        let update = Update::parse(body, rules, random).map_err(|error| {
            let status = match (&error, rules.draft08) {
                (error, Some(_)) if error.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
                (UpdateError::ReservedTopic, None) => StatusCode::FORBIDDEN,
                _ => StatusCode::BAD_REQUEST,
            };
            Refused::new(Response::text(status, error.to_string()), &error)
        })?;
        let topics = update.topics().iter().map(Topic::as_str);
        publisher.grant.may_publish(topics, update.audience()).map_err(|denial| match denial {
            PublishDenial::TooCostly => {
                let status = match rules.draft08 {
                    Some(_) => StatusCode::PAYLOAD_TOO_LARGE,
                    None => StatusCode::BAD_REQUEST,
                };
                Refused::new(Response::text(status, denial.to_string()), denial)
            }
            denial => Refused::forbidden(denial),
        })?;
        Ok(Arc::new(Frame::encode(update)))
    }

    /// The grant of the request's token, and for a subscriber the number that identifies the token;
    /// `None` without a token.
    fn grant(
        &mut self,
        role: Role,
        request: &Request<'_>,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<Option<Granted>, Refused> {
        let settings = &self.settings;
        let (cookie, second_cookie) = self.cookies(*context);
        let query_parameter = settings.dialects.has(Dialect::Draft07);
        let rules = CredentialRules { cookie, second_cookie, query_parameter };
        let credential = Credential::find(request, &rules).map_err(|error| {
            let refused = Refused::new(error.to_response(), error);
            Refused { challenge: error.challenge(), ..refused }
        })?;
        let Some(credential) = credential else { return Ok(None) };
        context.has_token_in_url = credential.source == TokenSource::Query;
        if context.has_token_in_url && settings.dialects.has_draft08() && is_access_token(&credential.token) {
            self.spoken.token = Some(Dialect::Draft08);
            let reason = "an at+jwt token in the URL: draft 08 has no such place";
            return Err(Refused::challenge(Challenge::InvalidToken, reason));
        }
        let verifier = match role {
            Role::Publisher => &mut self.publishers,
            Role::Subscriber => &mut self.subscribers,
        };
        let granted = verifier.grant(&credential.token, now);
        self.spoken.token = match &granted {
            Ok((grant, _)) => grant.dialect(),
            Err(_) => match TokenForm::of(&credential.token) {
                Ok(TokenForm::Access) => Some(Dialect::Draft08),
                Ok(TokenForm::Legacy) => settings.dialects.legacy_dialect(),
                Err(_) => None,
            },
        };
        let (grant, key) = granted.map_err(|error| match error {
            AuthError::Invalid(reason) => Refused::challenge(Challenge::InvalidToken, reason),
            AuthError::NotYet(reason) => Refused::unavailable(Unavailable::Keys, reason),
        })?;
        let token = matches!(role, Role::Subscriber).then(|| token_number(&credential.token));
        Ok(Some(Granted { grant, token, key }))
    }

    /// The cookies that may hold the token, in the order in which they are read (MERCURE-1.0,
    /// section 12.3). Draft 08 counts the hub's own origin among those that may publish. The cookie
    /// of the older drafts does not: beside draft 08, it is protected as it is without it.
    fn cookies(&self, context: ResponseContext) -> (CookieRules<'_>, Option<CookieRules<'_>>) {
        let settings = &self.settings;
        let legacy = CookieRules { name: &settings.cookie_name, publish_origins: &settings.publish_origins };
        let of_08 = CookieRules {
            name: &settings.access_token_cookie_name,
            publish_origins: &self.publish_origins_08,
        };
        match (settings.dialects.legacy_dialect(), settings.dialects.has_draft08()) {
            (Some(_), false) => (legacy, None),
            (None, _) => (of_08, None),
            (Some(_), true) if context.dialect == Dialect::Draft08 => (of_08, Some(legacy)),
            (Some(_), true) => (legacy, Some(of_08)),
        }
    }

    /// Whether this path has no resource under these settings, though it has one under others.
    fn lacks(&self, path: &str) -> bool {
        !self.settings.subscriptions && below_subscriptions(path).is_some()
    }

    /// The response of `/readyz`.
    fn readiness(&self) -> Response {
        let why = match () {
            () if self.leaving => "the hub stops",
            () if !self.has_keys() => "a key set has not been fetched yet",
            () if self.history.fails() => "the history cannot be written: publications are refused",
            () => return Response::healthy(),
        };
        Response::not_ready(why, RETRY_AFTER_S)
    }

    /// Whether tokens of both roles can be verified.
    fn has_keys(&self) -> bool {
        self.publishers.has_keys() && self.subscribers.has_keys()
    }
}

fn is_access_token(token: &str) -> bool {
    TokenForm::of(token) == Ok(TokenForm::Access)
}

/// A number for a verified token, the same in every shard. Only holders of the key can create
/// tokens, so an attacker cannot make two tokens share a number.
fn token_number(token: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(token.as_bytes());
    hasher.finish()
}

fn respond(response: Response) -> Decision {
    Decision::Respond(ApiResponse { response, refusal: None })
}

/// Parameters such as `charset` are ignored (PROTOCOL section 3).
fn is_form(content_type: Option<&[u8]>) -> bool {
    let media_type = content_type.and_then(|value| value.split(|byte| *byte == b';').next());
    media_type.is_some_and(|media_type| media_type.trim_ascii().eq_ignore_ascii_case(FORM))
}

#[cfg(test)]
mod tests;
