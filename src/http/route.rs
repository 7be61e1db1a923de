//! Which resource a request means (PROTOCOL section 1).
//!
//! Paths are compared byte by byte, undecoded: `/%68ub` is not `/hub`. A proxy in front that guards a path then guards
//! the only spelling of it that this hub knows.

use crate::http::request::{Method, Request};
use crate::protocol::names::{
    HEALTH_PATH, HUB_PATH, HUB_PATH_2019, READY_PATH, SUBSCRIPTIONS_PATH, SUBSCRIPTIONS_PATH_2019,
};

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Subscribe.
    Subscribe {
        /// A `HEAD`: answer the head of the stream, subscribe nobody.
        head_only: bool,
    },
    /// Publish.
    Publish,
    /// List active subscriptions: what [`below_subscriptions`] says.
    ListSubscriptions,
    /// `OPTIONS` of anything: [`crate::http::cors::Cors::preflight`].
    Preflight,
    /// Liveness.
    Health,
    /// Readiness.
    Ready,
    /// The page at `/`.
    Welcome,
    /// There is nothing at this path.
    NotFound,
    /// The path is known, the method is not for it.
    MethodNotAllowed {
        /// The value of `Allow`.
        allow: &'static str,
    },
    /// The method is unknown.
    NotImplemented,
}

/// What the request asks for. Its headers play no part.
pub fn route(request: &Request<'_>) -> Command {
    match request.method {
        Method::Unknown => return Command::NotImplemented,
        Method::Options => return Command::Preflight,
        Method::Get | Method::Head | Method::Post | Method::NotAllowed => {}
    }
    match request.path {
        HUB_PATH | HUB_PATH_2019 => match request.method {
            Method::Get => Command::Subscribe { head_only: false },
            Method::Head => Command::Subscribe { head_only: true },
            Method::Post => Command::Publish,
            _ => Command::MethodNotAllowed { allow: "GET, HEAD, POST, OPTIONS" },
        },
        HEALTH_PATH => readable(request.method, Command::Health),
        READY_PATH => readable(request.method, Command::Ready),
        "/" => readable(request.method, Command::Welcome),
        path if below_subscriptions(path).is_some() => readable(request.method, Command::ListSubscriptions),
        _ => Command::NotFound,
    }
}

/// What follows the path of the active subscriptions, under either name of the hub: nothing, or a slash and more.
pub fn below_subscriptions(path: &str) -> Option<&str> {
    let rest =
        [SUBSCRIPTIONS_PATH, SUBSCRIPTIONS_PATH_2019].iter().find_map(|base| path.strip_prefix(base))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn readable(method: Method, command: Command) -> Command {
    match method {
        Method::Get | Method::Head => command,
        _ => Command::MethodNotAllowed { allow: "GET, HEAD, OPTIONS" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Version;

    #[test]
    fn every_method_of_every_path() {
        let hub = Command::MethodNotAllowed { allow: "GET, HEAD, POST, OPTIONS" };
        let page = Command::MethodNotAllowed { allow: "GET, HEAD, OPTIONS" };
        for (method, path, command) in [
            ("GET", "/.well-known/mercure", Command::Subscribe { head_only: false }),
            ("HEAD", "/.well-known/mercure", Command::Subscribe { head_only: true }),
            ("POST", "/.well-known/mercure", Command::Publish),
            ("GET", "/hub", Command::Subscribe { head_only: false }),
            ("POST", "/hub", Command::Publish),
            ("DELETE", "/hub", hub),
            ("CONNECT", "/hub", hub),
            ("OPTIONS", "/hub", Command::Preflight),
            ("OPTIONS", "*", Command::Preflight),
            ("OPTIONS", "/nothing", Command::Preflight),
            ("GET", "/.well-known/mercure/subscriptions", Command::ListSubscriptions),
            ("HEAD", "/hub/subscriptions/a%2Fb/c", Command::ListSubscriptions),
            ("POST", "/hub/subscriptions/a", page),
            ("GET", "/hub/subscriptionsx", Command::NotFound),
            ("GET", "/healthz", Command::Health),
            ("HEAD", "/healthz", Command::Health),
            ("POST", "/healthz", page),
            ("GET", "/readyz", Command::Ready),
            ("PUT", "/readyz", page),
            ("GET", "/", Command::Welcome),
            ("POST", "/", page),
            ("GET", "/hub/", Command::NotFound),
            ("GET", "/HUB", Command::NotFound),
            ("GET", "/%68ub", Command::NotFound),
            ("GET", "//hub", Command::NotFound),
            ("POST", "/nothing", Command::NotFound),
            ("get", "/hub", Command::NotImplemented),
            ("PURGE", "/nothing", Command::NotImplemented),
        ] {
            let request =
                Request::new(Method::parse(method.as_bytes()), Version::Http11, path, Some("topic=a"));
            assert_eq!(route(&request), command, "{method} {path}");
        }
    }
}
