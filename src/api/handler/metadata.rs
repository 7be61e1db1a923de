//! The protected resource metadata (MERCURE-1.0, section 5.5; RFC 9728). Its absence is how a
//! client recognizes a hub without draft 08.

use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::ApiSettings;
use crate::http::headers::names::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use crate::http::response::Response;
use crate::mercure::names::DETAIL_TYPE;
use crate::mercure::public_url::PublicUrl;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const FOR_AN_HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The metadata of a hub with these settings. They need no token.
pub(super) fn metadata(settings: &ApiSettings) -> Response {
    let mut members = Map::new();
    let mut member = |name: &str, value: Value| {
        members.insert(name.to_owned(), value);
    };
    let identifier = settings.resource_identifier.as_deref();
    member("resource", json!(identifier.or(settings.public_url.as_ref().map(PublicUrl::as_str))));
    let advertised = settings.issuers.iter().filter(|issuer| issuer.is_advertised);
    let servers: Vec<&str> = advertised.map(|issuer| &*issuer.name).collect();
    if !servers.is_empty() {
        member("authorization_servers", json!(servers));
    }
    member("authorization_details_types_supported", json!([DETAIL_TYPE]));
    member("bearer_methods_supported", json!(["header"]));
    member("mercure_cookie", json!(settings.access_token_cookie_name));
    if settings.subscriptions {
        member("mercure_subscriptions", json!(true));
    }
    let body = Value::Object(members).to_string().into_bytes();
    let mut response = Response::with_body(StatusCode::OK, JSON, body);
    response.set(&CACHE_CONTROL, FOR_AN_HOUR);
    // Public: a page of any origin may read it. A listed origin replaces the `*`.
    response.set(&ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
