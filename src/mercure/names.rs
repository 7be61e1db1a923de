//! The names of the Mercure protocol: paths, parameters, headers, cookie and claim. Names of HTTP's
//! own header fields are in `http::headers::names`.

/// Path of the hub resource (draft-07, section "Discovery").
pub const HUB_PATH: &str = "/.well-known/mercure";
/// The hub's path in the 2019 protocol, served as the same resource.
pub const HUB_PATH_2019: &str = "/hub";
/// Path of the active subscriptions. Each one has a path below it (draft-07, section "Active
/// Subscriptions").
pub const SUBSCRIPTIONS_PATH: &str = "/.well-known/mercure/subscriptions";
/// The same path below the hub's path of 2019.
pub const SUBSCRIPTIONS_PATH_2019: &str = "/hub/subscriptions";
/// Liveness probe.
pub const HEALTH_PATH: &str = "/healthz";
/// Readiness probe.
pub const READY_PATH: &str = "/readyz";

/// Prefix of the paths of the playground (demo mode).
pub const DEMO_PATH: &str = "/demo/";
/// The matcher over HTTP (demo mode).
pub const MATCH_PATH: &str = "/.well-known/mercure/match";
/// The same path below the hub's path of 2019.
pub const MATCH_PATH_2019: &str = "/hub/match";

/// Subscription and publication: a topic selector, or a topic.
pub const PARAM_TOPIC: &str = "topic";
/// State reconciliation in the query (draft-07).
pub const PARAM_LAST_EVENT_ID: &str = "lastEventID";
/// State reconciliation in the query, as the 2019 protocol spelled it.
pub const PARAM_LAST_EVENT_ID_2019: &str = "Last-Event-ID";
/// State reconciliation in the query, as some libraries and the newest drafts spell it. If it were
/// ignored, updates would be lost silently.
pub const PARAM_LAST_EVENT_ID_OTHERS: [&str; 2] = ["lastEventId", "last_event_id"];
/// The token in the query (draft-07).
pub const PARAM_AUTHORIZATION: &str = "authorization";
/// Publication: the content.
pub const PARAM_DATA: &str = "data";
/// Publication: marks an update private (draft-07).
pub const PARAM_PRIVATE: &str = "private";
/// Publication: one member of the audience (draft-04).
pub const PARAM_TARGET: &str = "target";
/// Publication: the event id.
pub const PARAM_ID: &str = "id";
/// Publication: the SSE event type.
pub const PARAM_TYPE: &str = "type";
/// The event type of the hub's own events (draft-08). Publishers may not use it.
pub const EVENT_TYPE_HUB: &str = "mercure";
/// Publication: the SSE reconnection time in milliseconds.
pub const PARAM_RETRY: &str = "retry";

/// Playground: the content of the response.
pub const PARAM_BODY: &str = "body";
/// Playground: the token of the cookie.
pub const PARAM_JWT: &str = "jwt";
/// Matcher: the selector.
pub const PARAM_SELECTOR: &str = "selector";

/// State reconciliation as a header, of a request and of a response (WHATWG HTML, section 9.2).
pub const HEADER_LAST_EVENT_ID: &str = "Last-Event-ID";
/// Default name of the cookie that carries a token.
pub const COOKIE_NAME: &str = "mercureAuthorization";
/// The claim that holds the rights of a token.
pub const CLAIM: &str = "mercure";
/// The claim under its namespaced name. It wins when both are present.
pub const CLAIM_NAMESPACED: &str = "https://mercure.rocks/";
/// The event id that stands for "before the first one".
pub const EARLIEST: &str = "earliest";
/// The selector that matches every topic.
pub const ANY: &str = "*";
