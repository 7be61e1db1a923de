//! The formats of URLs.

use url::{Host, Url};

use super::values::Expected;
use crate::mercure::public_url::{PublicUrl, PublicUrlError};

/// The directory of an ACME authority.
pub(super) fn acme_directory(text: &str) -> Result<String, Expected> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    // The URL is logged and sent to the authority, so it must not hold a password.
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    url.map(|_| text.to_owned()).ok_or_else(|| {
        "the https:// URL of an authority's directory, such as https://acme-staging-v02.api.letsencrypt.org/directory".to_owned()
    })
}

/// A key set (JWKS).
pub(super) fn key_set(text: &str) -> Result<Url, Expected> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.filter(|url| url.host().is_some() && url.fragment().is_none());
    let url = url.ok_or("an address such as https://issuer.example/.well-known/jwks.json")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address without a user and a password".to_owned());
    }
    Ok(url)
}

/// The hub's own URL.
pub(super) fn public_url(text: &str) -> Result<PublicUrl, Expected> {
    let example = "https://hub.example.com/.well-known/mercure";
    PublicUrl::parse(text).map_err(|error| match error {
        PublicUrlError::Syntax(_) => format!("a URL such as {example}"),
        _ => format!("a URL such as {example}: {error}"),
    })
}

/// An identifier: an absolute URI without a fragment (RFC 8707, section 2). It is compared byte by
/// byte, so it is kept as it is.
pub(super) fn identifier(text: &str) -> Result<String, Expected> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let url = Url::parse(text).ok().filter(|url| is_plain && url.fragment().is_none());
    url.map(|_| text.to_owned()).ok_or_else(|| "an absolute URI such as https://issuer.example".to_owned())
}

/// A list of them.
pub(super) fn identifiers(text: &str) -> Result<Vec<String>, Expected> {
    text.split([',', ' ']).filter(|part| !part.is_empty()).map(identifier).collect()
}

/// Whether a request for this URL stays on this host.
pub(super) fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_an_authority_has_https_and_no_password() {
        assert!(acme_directory("https://acme-v02.api.letsencrypt.org/directory").is_ok());
        for text in ["http://a.example/dir", "a.example", "https://", "ftp://a.example", "data:,"] {
            assert!(acme_directory(text).is_err(), "{text}");
        }
    }
}
