//! What clients ask for, and the settings of the hub's interface.

use std::sync::Arc;

use fastrand::Rng;
use petasos::api::handler::{ApiSettings, SelectorBounds};
use petasos::http::headers::cors::{Cors, OriginList};
use petasos::limits::{BODY_BYTES_MAX_DEFAULT, REQUEST_TARGET_BYTES_MAX, SELECTORS_MAX_DEFAULT};
use petasos::mercure::audience::Authorization;
use petasos::mercure::dialect::Dialects;
use petasos::mercure::grant::Grant;
use petasos::mercure::selector::Selector;
use petasos::mercure::token::{Algorithm, LegacyClaims, MercureClaim, VerificationKey, sign};
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::client::Subscription;
use crate::{SELECTORS, TOPICS};

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const BOUNDS: SelectorBounds =
    SelectorBounds { count_max: SELECTORS_MAX_DEFAULT, bytes_max: REQUEST_TARGET_BYTES_MAX };
/// When the hub's clock was at 0.
const UNIX_MS: u64 = 1_700_000_000_000;
/// What a token lets its holder read; the first stands for no token.
const GRANTS: [&[&str]; 4] = [&[], &["a"], &["/x/{id}"], &["*"]];

pub(super) fn api(subscriptions: bool, compress: bool) -> ApiSettings {
    let key = || Some(VerificationKey::new(Algorithm::HS256, KEY).expect("a key").into());
    ApiSettings {
        authorization: Authorization::Selectors,
        dialects: Dialects::legacy(Authorization::Selectors),
        public_url: None,
        resource_identifier: None,
        audiences: Arc::default(),
        issuers: Arc::default(),
        issuers_of_file: None,
        allow_anonymous: true,
        publisher_key: key(),
        subscriber_key: key(),
        cors: Cors::parse("https://app.example").expect("an origin"),
        publish_origins: OriginList::default(),
        cookie_name: "mercureAuthorization".to_owned(),
        access_token_cookie_name: "access_token".to_owned(),
        selectors: BOUNDS,
        selectors_anonymous: BOUNDS,
        body_bytes_max: BODY_BYTES_MAX_DEFAULT as u64,
        compress,
        demo: None,
        subscriptions,
    }
}

/// The id of the update with this number.
pub(super) fn id_of(number: usize) -> String {
    format!("i{number}")
}

fn bearer(claims: &serde_json::Value) -> String {
    let token = sign(claims, KEY, Algorithm::HS256).expect("signed");
    format!("Authorization: Bearer {token}\r\n")
}

/// The request that publishes this update.
pub(super) fn publication(rng: &mut Rng, number: usize) -> Vec<u8> {
    let mut form = Serializer::new(String::new());
    form.append_pair("id", &id_of(number)).append_pair("data", &"d".repeat(rng.usize(..400)));
    for _ in 0..rng.usize(1..=2) {
        form.append_pair("topic", TOPICS[rng.usize(..TOPICS.len())]);
    }
    if rng.u32(..3) == 0 {
        form.append_pair("private", "on");
    }
    let body = form.finish();
    let token = bearer(&json!({ "mercure": { "publish": ["*"] } }));
    let expects = if rng.u32(..4) == 0 { "Expect: 100-continue\r\n" } else { "" };
    let length = match rng.bool() {
        true => format!("Content-Length: {}\r\n\r\n{body}", body.len()),
        false => format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
    };
    let head = "POST /.well-known/mercure HTTP/1.1\r\nHost: a\r\n\
        Content-Type: application/x-www-form-urlencoded\r\n";
    format!("{head}{token}{expects}{length}").into_bytes()
}

/// A subscription, and the request for it.
pub(super) fn subscription(
    rng: &mut Rng,
    now_ms: u64,
    resumes_after: Option<String>,
) -> (Subscription, Vec<u8>) {
    let texts: Vec<_> = (0..rng.usize(1..=3)).map(|_| SELECTORS[rng.usize(..SELECTORS.len())]).collect();
    let mut query = Serializer::new(String::new());
    query.extend_pairs(texts.iter().map(|text| ("topic", text)));
    let query = query.finish();
    let granted = GRANTS[rng.usize(..GRANTS.len())];
    let subscribe: Vec<String> = granted.iter().map(ToString::to_string).collect();
    let expires_s = (rng.u32(..4) == 0).then(|| (UNIX_MS + now_ms) / 1_000 + rng.u64(2..30));
    let mut claims = json!({ "mercure": { "subscribe": subscribe } });
    if let Some(expires_s) = expires_s {
        claims["exp"] = expires_s.into();
    }
    let has_token = !granted.is_empty() || expires_s.is_some();
    let token = if has_token { bearer(&claims) } else { String::new() };
    let mercure = MercureClaim { publish: None, subscribe: Some(subscribe), payload: None };
    let claims = LegacyClaims { mercure, exp_ms: None }.into();
    let coding = ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: zstd\r\n"][rng.usize(..3)];
    let last = resumes_after.as_ref().map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
    let request =
        format!("GET /.well-known/mercure?{query} HTTP/1.1\r\nHost: a\r\n{token}{coding}{last}\r\n");
    let subscription = Subscription {
        selectors: texts.iter().map(|text| Selector::parse(text).expect("a valid selector")).collect(),
        grant: match has_token {
            true => Grant::from_claims(&claims, Authorization::Selectors).expect("valid claims"),
            false => Grant::anonymous(),
        },
        resumes_after,
        expires_ms: expires_s.map_or(u64::MAX, |expires_s| expires_s * 1_000 - UNIX_MS),
        committed_at_head: None,
    };
    (subscription, request.into_bytes())
}

/// A request for the list of active subscriptions.
pub(super) fn list() -> Vec<u8> {
    let token = bearer(&json!({ "mercure": { "subscribe": ["*"] } }));
    format!("GET /.well-known/mercure/subscriptions HTTP/1.1\r\nHost: a\r\n{token}\r\n").into_bytes()
}
