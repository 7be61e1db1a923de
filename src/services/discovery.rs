//! The key set of an issuer that has neither a key nor the address of a key set in the settings:
//! its metadata name it (RFC 8414).
//!
//! The document comes from outside, so it decides little. Invariants: it must name the issuer of
//! the settings, byte by byte; the address in it has HTTPS; unless `ISSUER_PRIVATE_ADDRESSES` is
//! set, neither it nor a redirect leads to an address that is not public.

use serde_json::Value;
use url::{Host, Url};

/// The path of the metadata, before the path of the issuer (RFC 8414, section 3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server";

/// An issuer whose key set is found through its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// Its identifier: an `https` URL without query and fragment; with `allows_private`, `http` on
    /// this host, too.
    pub issuer: Box<str>,
    /// `ISSUER_PRIVATE_ADDRESSES`: whether addresses that are not public are asked.
    pub allows_private: bool,
}

/// Why the metadata name no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DiscoveryError {
    #[error("the issuer's identifier is not an https:// URL without query and fragment")]
    Issuer,
    #[error("the issuer's metadata are not a JSON object")]
    NotAnObject,
    #[error("the metadata name another \"issuer\" (RFC 8414, section 3.3)")]
    OtherIssuer,
    #[error("the metadata have no \"jwks_uri\" that is an https:// URL without user and password")]
    NoKeySet,
}

impl Discovery {
    /// The address of the metadata.
    pub(crate) fn metadata_url(&self) -> Result<Url, DiscoveryError> {
        let mut url = Url::parse(&self.issuer).map_err(|_| DiscoveryError::Issuer)?;
        if !self.allows(&url) || url.query().is_some() || url.fragment().is_some() {
            return Err(DiscoveryError::Issuer);
        }
        let path = url.path().strip_suffix('/').unwrap_or(url.path());
        let path = format!("{WELL_KNOWN}{path}");
        url.set_path(&path);
        Ok(url)
    }

    /// The address of the key set in the metadata.
    pub(crate) fn key_set_url(&self, metadata: &[u8]) -> Result<Url, DiscoveryError> {
        let metadata: Value = serde_json::from_slice(metadata).map_err(|_| DiscoveryError::NotAnObject)?;
        let members = metadata.as_object().ok_or(DiscoveryError::NotAnObject)?;
        if members.get("issuer").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(DiscoveryError::OtherIssuer);
        }
        let url = members.get("jwks_uri").and_then(Value::as_str).and_then(|text| Url::parse(text).ok());
        url.filter(|url| self.allows(url)).ok_or(DiscoveryError::NoKeySet)
    }

    /// Whether a request may go there. Addresses behind a name are checked when they are known.
    fn allows(&self, url: &Url) -> bool {
        let is_anonymous = url.username().is_empty() && url.password().is_none();
        is_anonymous && (url.scheme() == "https" || self.allows_private && is_plain_here(url))
    }
}

/// Whether it is plain HTTP that stays on this host.
fn is_plain_here(url: &Url) -> bool {
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "http" && is_here
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(issuer: &str, allows_private: bool) -> Discovery {
        Discovery { issuer: issuer.into(), allows_private }
    }

    /// RFC 8414, section 3.1.
    #[test]
    fn the_path_of_the_issuer_comes_after_that_of_the_metadata() {
        for (issuer, url) in [
            ("https://a.example", "https://a.example/.well-known/oauth-authorization-server"),
            ("https://a.example/", "https://a.example/.well-known/oauth-authorization-server"),
            (
                "https://a.example:8443/x/y",
                "https://a.example:8443/.well-known/oauth-authorization-server/x/y",
            ),
            ("https://a.example/x/", "https://a.example/.well-known/oauth-authorization-server/x"),
        ] {
            assert_eq!(discovery(issuer, false).metadata_url().map(String::from).as_deref(), Ok(url));
        }
        for issuer in ["http://localhost/", "https://a.example?x", "https://u@a.example", "urn:x", "a"] {
            assert_eq!(discovery(issuer, false).metadata_url(), Err(DiscoveryError::Issuer), "{issuer}");
        }
        assert!(discovery("http://127.0.0.1:1/", true).metadata_url().is_ok());
        assert!(discovery("http://a.example/", true).metadata_url().is_err());
    }

    #[test]
    fn metadata_of_another_issuer_name_no_key_set() {
        let read = |document: &str| discovery("https://a.example", false).key_set_url(document.as_bytes());
        let good = r#"{"issuer":"https://a.example","jwks_uri":"https://keys.example/k?v=1"}"#;
        assert_eq!(read(good).map(String::from).as_deref(), Ok("https://keys.example/k?v=1"));
        for (document, error) in [
            ("", DiscoveryError::NotAnObject),
            ("[]", DiscoveryError::NotAnObject),
            (r#"{"jwks_uri":"https://keys.example/"}"#, DiscoveryError::OtherIssuer),
            (
                r#"{"issuer":"https://a.example/","jwks_uri":"https://keys.example/"}"#,
                DiscoveryError::OtherIssuer,
            ),
            (r#"{"issuer":"https://a.example"}"#, DiscoveryError::NoKeySet),
            (r#"{"issuer":"https://a.example","jwks_uri":"http://a.example/"}"#, DiscoveryError::NoKeySet),
            (r#"{"issuer":"https://a.example","jwks_uri":"http://localhost/"}"#, DiscoveryError::NoKeySet),
            (r#"{"issuer":"https://a.example","jwks_uri":"file:///etc/keys"}"#, DiscoveryError::NoKeySet),
            (
                r#"{"issuer":"https://a.example","jwks_uri":"https://u:p@a.example/"}"#,
                DiscoveryError::NoKeySet,
            ),
        ] {
            assert_eq!(read(document), Err(error), "{document}");
        }
    }
}
