//! The resource that a request asks for (PROTOCOL section 1).
//!
//! Paths are compared byte by byte, undecoded: `/%68ub` is not `/hub`. So if a proxy guards a path,
//! it guards the only spelling that the hub accepts.

use http::Method;
use percent_encoding::percent_decode_str;

use super::subscribe_query::has_topic;
use crate::http::request::Request;
use crate::mercure::dialect::{Dialect, Dialects};
use crate::mercure::names::{
    HEALTH_PATH, HUB_PATH, HUB_PATH_2019, METADATA_PATH, READY_PATH, SUBSCRIPTIONS_PATH,
    SUBSCRIPTIONS_PATH_2019,
};
use crate::mercure::selector::MatcherType;

/// The resource and action of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Subscribe.
    Subscribe {
        /// A `HEAD`: respond with the head of the stream, without a subscription.
        head_only: bool,
    },
    /// Subscribe by `QUERY`: the body has parameters, too (draft 08).
    SubscribeByQuery,
    /// Publish.
    Publish,
    /// List active subscriptions; see [`below_subscriptions`].
    ListSubscriptions,
    /// `OPTIONS` of any path: [`crate::http::headers::cors::Cors::preflight`].
    Preflight,
    /// The protected resource metadata (draft 08).
    Metadata,
    /// Liveness.
    Health,
    /// Readiness.
    Ready,
    /// The page at `/`.
    Welcome,
    /// There is nothing at this path.
    NotFound,
    /// The path is known, but does not support the method.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: &'static str,
        /// Whether the resource supports `QUERY`.
        has_query: bool,
    },
    /// The method is unknown.
    NotImplemented,
}

impl Route {
    /// Whether it is to publish, to subscribe, or for the active subscriptions.
    pub(super) fn is_of_protocol(self) -> bool {
        let of_hub = [Self::Publish, Self::SubscribeByQuery, Self::ListSubscriptions];
        of_hub.contains(&self) || matches!(self, Self::Subscribe { .. })
    }
}

/// The route of a request on a hub that speaks these dialects. Its headers are not used. `/hub` is
/// an address of draft 04 and 07 alone.
pub fn route(request: &Request<'_>, dialects: Dialects) -> Route {
    if !request.has_known_method() {
        return Route::NotImplemented;
    }
    if request.method == Method::OPTIONS {
        return Route::Preflight;
    }
    let has_draft08 = dialects.has_draft08();
    match request.path {
        path if !has_path(path, dialects) => Route::NotFound,
        HUB_PATH | HUB_PATH_2019 => match request.method {
            Method::GET => Route::Subscribe { head_only: false },
            Method::HEAD => Route::Subscribe { head_only: true },
            Method::POST => Route::Publish,
            _ if has_draft08 && request.is_query() => Route::SubscribeByQuery,
            _ => hub_allows(has_draft08),
        },
        METADATA_PATH if has_draft08 => readable(&request.method, Route::Metadata),
        HEALTH_PATH => readable(&request.method, Route::Health),
        READY_PATH => readable(&request.method, Route::Ready),
        "/" => readable(&request.method, Route::Welcome),
        path if below_subscriptions(path).is_some() => readable(&request.method, Route::ListSubscriptions),
        _ => Route::NotFound,
    }
}

/// Whether a hub of these dialects may have something at a path: at `/hub` and below it, only one
/// that speaks draft 04 or 07 has.
pub(super) fn has_path(path: &str, dialects: Dialects) -> bool {
    let below = path.strip_prefix(HUB_PATH_2019);
    let is_of_2019 = below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    !is_of_2019 || dialects.legacy_dialect().is_some()
}

fn hub_allows(has_query: bool) -> Route {
    let allow = if has_query { "GET, HEAD, POST, QUERY, OPTIONS" } else { "GET, HEAD, POST, OPTIONS" };
    Route::MethodNotAllowed { allow, has_query }
}

/// The rest of the path after the path of the active subscriptions, under either name of the hub:
/// empty, or starting with a slash.
pub fn below_subscriptions(path: &str) -> Option<&str> {
    let rest =
        [SUBSCRIPTIONS_PATH, SUBSCRIPTIONS_PATH_2019].iter().find_map(|base| path.strip_prefix(base))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The dialect of a request as far as its method, path and parameters tell. What does not tell is
/// of draft 08 where that is on (MERCURE-1.0, section 12.3).
pub(super) fn dialect_of(request: &Request<'_>, route: Route, dialects: Dialects) -> Dialect {
    let is_legacy = match route {
        _ if !dialects.has_draft08() => true,
        Route::Subscribe { .. } => request.query.is_some_and(has_topic),
        Route::ListSubscriptions => {
            dialects.has(Dialect::Draft07) && below_subscriptions(request.path).is_some_and(is_of_legacy)
        }
        _ => false,
    };
    dialects.legacy_dialect().filter(|_| is_legacy).unwrap_or(Dialect::Draft08)
}

/// Whether a path below that of the active subscriptions names a selector of draft 04 or 07. Its
/// first segment, decoded as the lists decode it, is a matcher type in draft 08 (MERCURE-1.0, trap
/// 23).
fn is_of_legacy(below: &str) -> bool {
    let first = below.split('/').nth(1).map(|first| percent_decode_str(first).decode_utf8_lossy());
    first.is_some_and(|first| MatcherType::from_name(&first).is_none())
}

fn readable(method: &Method, route: Route) -> Route {
    match *method {
        Method::GET | Method::HEAD => route,
        _ => Route::MethodNotAllowed { allow: "GET, HEAD, OPTIONS", has_query: false },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Version;
    use crate::mercure::audience::Authorization;

    #[test]
    fn every_method_of_every_path() {
        let hub = hub_allows(false);
        let page = Route::MethodNotAllowed { allow: "GET, HEAD, OPTIONS", has_query: false };
        for (method, path, expected) in [
            ("GET", "/.well-known/mercure", Route::Subscribe { head_only: false }),
            ("HEAD", "/.well-known/mercure", Route::Subscribe { head_only: true }),
            ("POST", "/.well-known/mercure", Route::Publish),
            ("GET", "/hub", Route::Subscribe { head_only: false }),
            ("POST", "/hub", Route::Publish),
            ("DELETE", "/hub", hub),
            ("CONNECT", "/hub", hub),
            ("QUERY", "/hub", hub),
            ("GET", METADATA_PATH, Route::NotFound),
            ("OPTIONS", "/hub", Route::Preflight),
            ("OPTIONS", "*", Route::Preflight),
            ("OPTIONS", "/nothing", Route::Preflight),
            ("GET", "/.well-known/mercure/subscriptions", Route::ListSubscriptions),
            ("HEAD", "/hub/subscriptions/a%2Fb/c", Route::ListSubscriptions),
            ("POST", "/hub/subscriptions/a", page),
            ("GET", "/hub/subscriptionsx", Route::NotFound),
            ("GET", "/healthz", Route::Health),
            ("HEAD", "/healthz", Route::Health),
            ("POST", "/healthz", page),
            ("GET", "/readyz", Route::Ready),
            ("PUT", "/readyz", page),
            ("GET", "/", Route::Welcome),
            ("POST", "/", page),
            ("GET", "/hub/", Route::NotFound),
            ("GET", "/HUB", Route::NotFound),
            ("GET", "/%68ub", Route::NotFound),
            ("GET", "//hub", Route::NotFound),
            ("POST", "/nothing", Route::NotFound),
            ("get", "/hub", Route::NotImplemented),
            ("PURGE", "/nothing", Route::NotImplemented),
        ] {
            let legacy = Dialects::legacy(Authorization::Selectors);
            assert_eq!(route_of(method, path, legacy), expected, "{method} {path}");
        }
    }

    fn route_of(method: &str, path: &str, dialects: Dialects) -> Route {
        let method = method.parse().expect("a token");
        route(&Request::new(method, Version::Http11, path, Some("topic=a")), dialects)
    }

    /// Trap 23 of MERCURE-1.0: a list is of one dialect, however its path is spelled.
    #[test]
    fn the_name_of_a_matcher_type_is_one_in_any_spelling() {
        for below in ["", "/exact", "/exact/a", "/%65xact/a", "/%75rlpattern/a/b", "/urlpatter%6E/a"] {
            assert!(!is_of_legacy(below), "{below}");
        }
        for below in ["/a", "/Exact/a", "/%45xact/a", "/%2565xact/a", "/a/exact", "/%ff/a"] {
            assert!(is_of_legacy(below), "{below}");
        }
    }

    /// Traps 11 and 27 of MERCURE-1.0, and its test 94.
    #[test]
    fn draft_08_has_query_and_metadata_and_no_address_of_2019() {
        let [only, beside] = [None, Some(Authorization::Targets)].map(Dialects::with_draft08);
        let page = Route::MethodNotAllowed { allow: "GET, HEAD, OPTIONS", has_query: false };
        for (method, path, expected) in [
            ("QUERY", HUB_PATH, Route::SubscribeByQuery),
            ("query", HUB_PATH, Route::NotImplemented),
            ("DELETE", HUB_PATH, hub_allows(true)),
            ("GET", METADATA_PATH, Route::Metadata),
            ("HEAD", METADATA_PATH, Route::Metadata),
            ("POST", METADATA_PATH, page),
            ("QUERY", "/", page),
            ("GET", "/.well-known/oauth-protected-resource", Route::NotFound),
            ("GET", "/hubs", Route::NotFound),
        ] {
            for dialects in [only, beside] {
                assert_eq!(route_of(method, path, dialects), expected, "{method} {path} {dialects:?}");
            }
        }
        for (method, path, expected) in [
            ("GET", "/hub", Route::Subscribe { head_only: false }),
            ("QUERY", "/hub", Route::SubscribeByQuery),
            ("GET", "/hub/subscriptions", Route::ListSubscriptions),
        ] {
            assert_eq!(route_of(method, path, beside), expected, "{method} {path}");
            assert_eq!(route_of(method, path, only), Route::NotFound, "{method} {path}");
        }
    }
}
