//! The URL of the hub as its clients see it (`PUBLIC_URL`).
//!
//! It comes from the configuration alone: it is the base of relative URL patterns and topics, and
//! if it followed the request's `Host`, a client could choose whose topics a pattern grants.

use std::fmt;
use std::sync::Arc;

use url::Url;

use crate::mercure::names::HUB_PATH;

/// The hub's URL: `http` or `https`, with the hub's path, without user, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Arc<Url>);

/// Why a text is not the URL of a hub.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// It does not parse.
    #[error("it is not an absolute URL: {0}")]
    Syntax(#[from] url::ParseError),
    /// Another scheme.
    #[error("its scheme must be http or https")]
    Scheme,
    /// Another path.
    #[error("its path must be {HUB_PATH}")]
    Path,
    /// A user, a query or a fragment.
    #[error("it must not have a user, a query or a fragment")]
    Parts,
}

impl PublicUrl {
    /// Reads the URL.
    ///
    /// # Errors
    /// [`PublicUrlError`] names what is wrong.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(PublicUrlError::Scheme);
        }
        if url.path() != HUB_PATH {
            return Err(PublicUrlError::Path);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(PublicUrlError::Parts);
        }
        Ok(Self(Arc::new(url)))
    }

    /// The parsed URL.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// The same with another port.
    pub fn at_port(&self, port: u16) -> Option<Self> {
        let mut url = Url::clone(&self.0);
        url.set_port(Some(port)).ok()?;
        Some(Self(Arc::new(url)))
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Its origin, as in the header field `Origin`.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    /// The URL of the protected resource metadata (RFC 9728, section 3).
    pub fn metadata_url(&self) -> String {
        format!("{}/.well-known/oauth-protected-resource{HUB_PATH}", self.origin())
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_url_of_a_hub_is_accepted() {
        let url = PublicUrl::parse("https://hub.e.x:443/.well-known/mercure").expect("a URL");
        assert_eq!(url.as_str(), "https://hub.e.x/.well-known/mercure");
        assert_eq!(url.origin(), "https://hub.e.x");
        assert_eq!(
            url.metadata_url(),
            "https://hub.e.x/.well-known/oauth-protected-resource/.well-known/mercure"
        );
        for (text, error) in [
            ("ftp://e.x/.well-known/mercure", PublicUrlError::Scheme),
            ("https://e.x/", PublicUrlError::Path),
            ("https://e.x/hub", PublicUrlError::Path),
            ("https://u@e.x/.well-known/mercure", PublicUrlError::Parts),
            ("https://e.x/.well-known/mercure?a", PublicUrlError::Parts),
            ("https://e.x/.well-known/mercure#a", PublicUrlError::Parts),
        ] {
            assert_eq!(PublicUrl::parse(text), Err(error), "{text}");
        }
        assert!(matches!(PublicUrl::parse("/.well-known/mercure"), Err(PublicUrlError::Syntax(_))));
        let moved = PublicUrl::parse("http://[::1]:0/.well-known/mercure").expect("a URL").at_port(8_080);
        assert_eq!(moved.expect("a URL").as_str(), "http://[::1]:8080/.well-known/mercure");
    }
}
