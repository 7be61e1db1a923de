//! The resource that a request asks for (PROTOCOL section 1).
//!
//! Paths are compared byte by byte, undecoded: `/%68ub` is not `/hub`. So if a proxy guards a path,
//! it guards the only spelling that the hub accepts.

use http::Method;

use crate::http::request::Request;
use crate::mercure::names::{
    HEALTH_PATH, HUB_PATH, HUB_PATH_2019, READY_PATH, SUBSCRIPTIONS_PATH, SUBSCRIPTIONS_PATH_2019,
};

/// The resource and action of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Subscribe.
    Subscribe {
        /// A `HEAD`: respond with the head of the stream, without a subscription.
        head_only: bool,
    },
    /// Publish.
    Publish,
    /// List active subscriptions; see [`below_subscriptions`].
    ListSubscriptions,
    /// `OPTIONS` of any path: [`crate::http::headers::cors::Cors::preflight`].
    Preflight,
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
    },
    /// The method is unknown.
    NotImplemented,
}

/// The route of a request. Its headers are not used.
pub fn route(request: &Request<'_>) -> Route {
    if !request.has_known_method() {
        return Route::NotImplemented;
    }
    if request.method == Method::OPTIONS {
        return Route::Preflight;
    }
    match request.path {
        HUB_PATH | HUB_PATH_2019 => match request.method {
            Method::GET => Route::Subscribe { head_only: false },
            Method::HEAD => Route::Subscribe { head_only: true },
            Method::POST => Route::Publish,
            _ => Route::MethodNotAllowed { allow: "GET, HEAD, POST, OPTIONS" },
        },
        HEALTH_PATH => readable(&request.method, Route::Health),
        READY_PATH => readable(&request.method, Route::Ready),
        "/" => readable(&request.method, Route::Welcome),
        path if below_subscriptions(path).is_some() => readable(&request.method, Route::ListSubscriptions),
        _ => Route::NotFound,
    }
}

/// The rest of the path after the path of the active subscriptions, under either name of the hub:
/// empty, or starting with a slash.
pub fn below_subscriptions(path: &str) -> Option<&str> {
    let rest =
        [SUBSCRIPTIONS_PATH, SUBSCRIPTIONS_PATH_2019].iter().find_map(|base| path.strip_prefix(base))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn readable(method: &Method, route: Route) -> Route {
    match *method {
        Method::GET | Method::HEAD => route,
        _ => Route::MethodNotAllowed { allow: "GET, HEAD, OPTIONS" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Version;

    #[test]
    fn every_method_of_every_path() {
        let hub = Route::MethodNotAllowed { allow: "GET, HEAD, POST, OPTIONS" };
        let page = Route::MethodNotAllowed { allow: "GET, HEAD, OPTIONS" };
        for (method, path, expected) in [
            ("GET", "/.well-known/mercure", Route::Subscribe { head_only: false }),
            ("HEAD", "/.well-known/mercure", Route::Subscribe { head_only: true }),
            ("POST", "/.well-known/mercure", Route::Publish),
            ("GET", "/hub", Route::Subscribe { head_only: false }),
            ("POST", "/hub", Route::Publish),
            ("DELETE", "/hub", hub),
            ("CONNECT", "/hub", hub),
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
            let method = method.parse().expect("a token");
            let request = Request::new(method, Version::Http11, path, Some("topic=a"));
            assert_eq!(route(&request), expected, "{} {path}", request.method);
        }
    }
}
