//! Where the token of a request is (PROTOCOL section 4; RFC 6750, section 2). Its validity is not
//! decided here.
//!
//! Invariants: two `Authorization` fields, or two query parameters, are refused (of several cookies
//! the first counts); a cookie token publishes only from an allowed origin; no token appears in
//! `Debug` output. [`TokenSource`] says how a place is added.

use std::borrow::Cow;
use std::fmt;

use http::{Method, StatusCode};

use crate::http::headers::cors::OriginList;
use crate::http::request::{Request, Single};
use crate::http::response::{Challenge, Response};
use crate::mercure::form::{self, FormError};
use crate::mercure::names::PARAM_AUTHORIZATION;

/// The places to look for a token.
#[derive(Clone, Copy, Debug)]
pub struct CredentialRules<'c> {
    /// The cookie.
    pub cookie: CookieRules<'c>,
    /// The cookie that is read if there is no other: a browser may hold cookies of two dialects
    /// (MERCURE-1.0, section 12.3).
    pub second_cookie: Option<CookieRules<'c>>,
    /// Whether the query parameter is read: in draft-07, not in draft-04 and draft-08.
    pub query_parameter: bool,
}

/// A cookie that may hold the token.
#[derive(Clone, Copy, Debug)]
pub struct CookieRules<'c> {
    /// Its name (`COOKIE_NAME`, `ACCESS_TOKEN_COOKIE_NAME`).
    pub name: &'c str,
    /// Origins whose documents may publish with it: `PUBLISH_ALLOWED_ORIGINS`, and in draft 08 the
    /// hub's own.
    pub publish_origins: &'c OriginList,
}

/// The token of a request. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The token, unchecked.
    pub token: Cow<'a, str>,
    /// Where it was.
    pub source: TokenSource,
}

/// Where a token was.
///
/// To add a place: a variant here and a branch in [`Credential::find`]; for a header field its
/// reading in [`crate::http::request`] and its name in [`Cors`] (preflight); for a query parameter
/// its name in `mercure::names` and in [`crate::redact`], so that no log shows it, and
/// `RequestHandler::grant` must count it as a token in the URL. Another scheme of `Authorization`
/// begins in `bearer`. A new form of token is verified in [`crate::mercure::token`].
///
/// [`Cors`]: crate::http::headers::cors::Cors
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer`.
    Header,
    /// The query parameter. A successful response must be marked private
    /// ([`Response::mark_private`]).
    Query,
    /// The cookie.
    Cookie,
}

/// Why a request's credentials are refused. `Display` is for the log;
/// [`CredentialError::to_response`] gives the client less detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Two `Authorization` headers, or two query parameters.
    #[error("several tokens in one place")]
    Several,
    /// `Authorization` with another scheme than `Bearer`.
    #[error("an authentication scheme other than Bearer")]
    OtherScheme,
    /// `Authorization` is present, but its token is empty or not printable ASCII without spaces.
    #[error("the token is not printable ASCII without spaces, or is empty")]
    Malformed,
    /// The same of the query parameter or the cookie.
    #[error("the token of the query or of the cookie is not printable ASCII without spaces")]
    MalformedValue,
    /// A cookie on `POST` from an origin that may not publish, or without an origin.
    #[error("a cookie on POST without an origin that may publish")]
    ForeignOrigin,
    /// The query cannot be read.
    #[error("the query cannot be read: {0}")]
    Query(#[source] FormError),
}

impl Credential<'_> {
    /// Finds the token: in the header, else the query parameter, else the cookie. Returns `None` if
    /// there is none; an empty query parameter or cookie counts as none.
    ///
    /// # Errors
    /// [`CredentialError`] if the token is ambiguous or must not be used.
    pub fn find<'a>(
        request: &Request<'a>,
        rules: &CredentialRules<'_>,
    ) -> Result<Option<Credential<'a>>, CredentialError> {
        match request.authorization {
            Single::Several => return Err(CredentialError::Several),
            Single::One(value) => {
                let token = Cow::Borrowed(bearer(value)?);
                return Ok(Some(Credential { token, source: TokenSource::Header }));
            }
            Single::Absent => {}
        }
        if let Some(query) = request.query.filter(|_| rules.query_parameter)
            && let Some(token) = from_query(query)?
        {
            return Ok(Some(Credential { token, source: TokenSource::Query }));
        }
        let mut cookies = [Some(rules.cookie), rules.second_cookie].into_iter().flatten();
        let found = cookies.find_map(|cookie| {
            let token = from_cookies(request, cookie.name).transpose()?;
            Some(token.map(|token| (token, cookie.publish_origins)))
        });
        let Some((token, publish_origins)) = found.transpose()? else { return Ok(None) };
        if request.method == Method::POST && !may_publish(request, publish_origins) {
            return Err(CredentialError::ForeignOrigin);
        }
        Ok(Some(Credential { token: Cow::Borrowed(token), source: TokenSource::Cookie }))
    }
}

/// The token of `Bearer <token>`; the scheme may have any case (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Result<&str, CredentialError> {
    let scheme_end = value.iter().position(|&byte| byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(scheme_end);
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(CredentialError::OtherScheme);
    }
    token(rest.trim_ascii()).filter(|token| !token.is_empty()).ok_or(CredentialError::Malformed)
}

fn from_query(query: &str) -> Result<Option<Cow<'_, str>>, CredentialError> {
    let mut found = None;
    for field in form::fields(query.as_bytes()) {
        let (name, value) = field.map_err(CredentialError::Query)?;
        if name == PARAM_AUTHORIZATION && found.replace(value).is_some() {
            return Err(CredentialError::Several);
        }
    }
    match found {
        Some(value) if token(value.as_bytes()).is_none() => Err(CredentialError::MalformedValue),
        found => Ok(found.filter(|value| !value.is_empty())),
    }
}

/// The first cookie with this name (RFC 6265, sections 4.2 and 5.2; names are case-sensitive),
/// without its quotes. Browsers send a cookie with a longer path first, so the first is the one set
/// for the hub.
fn from_cookies<'a>(request: &Request<'a>, cookie_name: &str) -> Result<Option<&'a str>, CredentialError> {
    let pairs = request.cookies.iter().flat_map(|line| line.split(|&byte| byte == b';'));
    for pair in pairs {
        let Some(equals) = memchr::memchr(b'=', pair) else { continue };
        if pair[..equals].trim_ascii() != cookie_name.as_bytes() {
            continue;
        }
        let value = pair[equals + 1..].trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
        let token = token(value).ok_or(CredentialError::MalformedValue)?;
        return Ok(Some(token).filter(|token| !token.is_empty()));
    }
    Ok(None)
}

/// A token is printable ASCII without spaces; the verifier checks the rest.
fn token(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Protection from cross-site request forgery: a browser adds the cookie to a `POST` from any site,
/// but never a false origin.
fn may_publish(request: &Request<'_>, origins: &OriginList) -> bool {
    match (request.origin, request.referer) {
        (Some(origin), _) => origins.allows(origin),
        (None, Some(referer)) => origins.allows_origin_of(referer),
        (None, None) => false,
    }
}

impl CredentialError {
    /// The response on a hub without draft 08, and to its requests: 403 to a foreign origin, 400 to
    /// a malformed query, else 401.
    pub fn to_response(self) -> Response {
        match self {
            Self::ForeignOrigin => Response::status_only(StatusCode::FORBIDDEN),
            Self::Query(error) => Response::bad_request(&error),
            Self::Several | Self::OtherScheme | Self::Malformed | Self::MalformedValue => {
                Response::unauthorized(Challenge::InvalidToken)
            }
        }
    }

    /// The challenge to a request of draft 08; `None` if the token is not at fault (MERCURE-1.0,
    /// section 5.4 and trap 18). Another scheme counts as no token.
    pub fn challenge(self) -> Option<Challenge> {
        match self {
            Self::ForeignOrigin | Self::Query(_) => None,
            Self::Several | Self::Malformed => Some(Challenge::InvalidRequest),
            Self::OtherScheme => Some(Challenge::Missing),
            Self::MalformedValue => Some(Challenge::InvalidToken),
        }
    }
}

impl fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("source", &self.source).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
