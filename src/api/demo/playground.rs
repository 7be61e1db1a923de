//! `/demo/…`: a resource of any name, media type and content, for trying discovery (PROTOCOL
//! section 9).
//!
//! The author of the URL chooses the content, and PROTOCOL lets the extension choose the media
//! type, `text/html` and `image/svg+xml` among them. A link to it must not become a script on the
//! hub's origin, which holds the cookie. So the policy gives every such document an opaque origin
//! and lets it load and run nothing.

use std::borrow::Cow;

use http::{HeaderValue, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use url::{Position, Url};

use super::error::{DemoError, check_target};
use super::hub::DemoHub;
use crate::http::headers::names::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CROSS_ORIGIN_RESOURCE_POLICY, LINK, SET_COOKIE,
};
use crate::http::request::Request;
use crate::http::response::Response;
use crate::http::scheme::Scheme;
use crate::limits::DEMO_COOKIE_BYTES_MAX;
use crate::mercure::form;
use crate::mercure::names::{DEMO_PATH, HUB_PATH, PARAM_BODY, PARAM_JWT};
use crate::mercure::token::TokenForm;

/// The document loads, sends and runs nothing, has an opaque origin, and cannot be framed.
const POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox";
/// Characters that would end a `Link` target, and non-ASCII.
const LINK_ESCAPED: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`');

/// The parameters of a URL.
struct PlaygroundQuery<'a> {
    body: Cow<'a, str>,
    /// Not empty, and valid in a cookie.
    jwt: Option<Cow<'a, str>>,
}

/// The response to a `GET` or `HEAD`.
pub(super) fn respond(request: &Request<'_>, hub: &DemoHub) -> Result<Response, DemoError> {
    check_target(request)?;
    let PlaygroundQuery { body, jwt } = read(request.query.unwrap_or_default())?;
    let body = body.into_owned().into_bytes();
    let mut response = Response::with_body(StatusCode::OK, media_type(request.path), body);
    response.append(&LINK, value(format!("<{HUB_PATH}>; rel=\"mercure\"")));
    if let Some(target) = own_target(request) {
        let own_link = format!("<{}>; rel=\"self\"", utf8_percent_encode(&target, LINK_ESCAPED));
        response.append(&LINK, value(own_link));
    }
    for cookie in cookies(hub, jwt.as_deref(), request.scheme) {
        response.append(&SET_COOKIE, value(cookie));
    }
    response.append(&CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.append(&CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response.append(&CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Path and query as the parser of a client writes them: what it resolves the link to is then the
/// topic that it was told. `None` if that is no resource of the playground: `/demo/..`.
fn own_target(request: &Request<'_>) -> Option<String> {
    let target = match request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.to_owned(),
    };
    let url = Url::parse("https://petasos.invalid/").ok()?.join(&target).ok()?;
    let target = &url[Position::BeforePath..Position::AfterQuery];
    target.starts_with(DEMO_PATH).then(|| target.to_owned())
}

/// The first `body` and the first `jwt`; an empty `jwt` counts as none.
fn read(query: &str) -> Result<PlaygroundQuery<'_>, DemoError> {
    let (mut body, mut jwt) = (None, None);
    for field in form::fields(query.as_bytes()) {
        let (name, value) = field.map_err(DemoError::Form)?;
        match name.as_ref() {
            PARAM_BODY => body = body.or(Some(value)),
            PARAM_JWT => jwt = jwt.or(Some(value)),
            _ => {}
        }
    }
    let jwt = jwt.filter(|jwt: &Cow<'_, str>| !jwt.is_empty());
    match &jwt {
        Some(jwt) if !jwt.bytes().all(is_cookie_octet) => Err(DemoError::NoCookie),
        Some(jwt) if jwt.len() > DEMO_COOKIE_BYTES_MAX => Err(DemoError::CookieTooLong),
        _ => Ok(PlaygroundQuery { body: body.unwrap_or_default(), jwt }),
    }
}

/// `cookie-octet` of RFC 6265, section 4.1.1.
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

/// The media type for the path's extension; plain text if the extension is missing or unknown. All
/// text types are UTF-8 here.
fn media_type(path: &str) -> HeaderValue {
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match extension.as_deref().map(mime_guess::from_ext).and_then(|guess| guess.first()) {
        _ if extension.as_deref() == Some("jsonld") => HeaderValue::from_static("application/ld+json"),
        Some(known) if known.type_() == "text" => value(format!("{}; charset=utf-8", known.essence_str())),
        Some(known) => value(known.essence_str().to_owned()),
        None => HeaderValue::from_static("text/plain; charset=utf-8"),
    }
}

/// The cookies of the protocols that the hub speaks, of which the token's own gets the token. The
/// other one expires: the hub reads it first in some requests.
fn cookies(hub: &DemoHub, jwt: Option<&str>, scheme: Scheme) -> Vec<String> {
    let (has_legacy, has_draft08) = (hub.dialects.legacy_dialect().is_some(), hub.dialects.has_draft08());
    let is_access = match (has_legacy, has_draft08) {
        (true, true) => jwt.is_some_and(|jwt| matches!(TokenForm::of(jwt), Ok(TokenForm::Access))),
        (_, only_draft08) => only_draft08,
    };
    let legacy = has_legacy.then(|| cookie(&hub.cookie_name, jwt.filter(|_| !is_access), scheme));
    let access =
        has_draft08.then(|| cookie(&hub.access_token_cookie_name, jwt.filter(|_| is_access), scheme));
    legacy.into_iter().chain(access).collect()
}

/// The cookie with this token; an expired cookie if there is no token.
fn cookie(name: &str, jwt: Option<&str>, scheme: Scheme) -> String {
    let lifetime = if jwt.is_some() { "" } else { " Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT;" };
    // Browsers refuse a cookie of such a name without it. The hub may be behind a proxy that does
    // not say that it speaks HTTPS.
    let is_secure = scheme == Scheme::Https || name.starts_with("__Secure-");
    let secure = if is_secure { "; Secure" } else { "" };
    let jwt = jwt.unwrap_or_default();
    format!("{name}={jwt}; Path={HUB_PATH};{lifetime} HttpOnly; SameSite=Strict{secure}")
}

/// Control characters are encoded or refused before this point. If one got here, the field would be
/// empty.
fn value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}
