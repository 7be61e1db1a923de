//! The resources of demo mode (PROTOCOL section 9): the debugger at `/`, the playground for
//! discovery under `/demo/`, and the hub's matcher over HTTP. They do not exist without demo mode.
//!
//! The playground returns any content of any media type that its URL asks for, on the hub's own
//! origin. So every document it returns is sandboxed, and no policy of this origin that allows
//! scripts may contain `'self'`: the policy of the [`debugger`] names its script by hash.

pub mod debugger;
mod error;
mod hub;
pub mod matcher;
pub mod playground;

use http::Method;

use crate::api::demo::debugger::Debugger;
use crate::http::headers::accept_encoding::Negotiated;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::mercure::names::{DEMO_PATH, MATCH_PATH, MATCH_PATH_2019};
use crate::mercure::public_url::PublicUrl;

pub use error::DemoError;
pub use hub::DemoHub;

/// The resources of demo mode.
pub struct Demo {
    debugger: Debugger,
    hub: DemoHub,
}

impl Demo {
    /// The resources of this hub.
    pub fn new(hub: DemoHub) -> Self {
        Self { debugger: Debugger::new(&hub), hub }
    }

    /// The same for a hub whose URL and what is made of it are other ones.
    #[must_use]
    pub fn moved(&self, public_url: PublicUrl, moved: impl Fn(&str) -> Box<str>) -> Self {
        let DemoHub { audience, issuer, .. } = &self.hub;
        Self::new(DemoHub {
            public_url: Some(public_url),
            audience: audience.as_deref().map(&moved),
            issuer: issuer.as_deref().map(&moved),
            ..self.hub.clone()
        })
    }

    /// The response to a request for one of them; the debugger's page in the negotiated coding.
    /// `None` if the request is for another resource.
    pub fn respond(
        &self,
        request: &Request<'_>,
        negotiated: Negotiated,
    ) -> Option<Result<Response, DemoError>> {
        let is_matcher = matches!(request.path, MATCH_PATH | MATCH_PATH_2019);
        let is_playground = request.path.starts_with(DEMO_PATH);
        if !(is_matcher || is_playground || request.path == "/") {
            return None;
        }
        match request.method {
            Method::GET | Method::HEAD => {}
            Method::OPTIONS => return None,
            _ if !request.has_known_method() => return None,
            _ => return Some(Err(DemoError::Method)),
        }
        Some(match () {
            () if is_matcher => matcher::respond(request, &self.hub),
            () if is_playground => playground::respond(request, &self.hub),
            () => Ok(self.debugger.response(negotiated)),
        })
    }
}

#[cfg(test)]
mod tests;
