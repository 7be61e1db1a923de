//! Tokens of draft 08 at a handler: where they may be, and what becomes of what they granted.

use super::*;
use crate::api::keyring::{SharedIssuers, SharedKey};
use crate::mercure::token::sign_access;

const HUB: &str = "https://hub.e.x/.well-known/mercure";
const ISSUER: &str = "https://e.x";

/// The settings of a hub whose subscribers' key of the issuer is this.
fn settings(dialects: Dialects, subscriber: &Arc<SharedKey>) -> ApiSettings {
    let publisher = VerificationKey::new(Algorithm::HS256, b"issuer").expect("a key");
    let issuer = Issuer {
        name: ISSUER.into(),
        publisher: Some(publisher.into()),
        subscriber: Some(KeySource::File(Arc::clone(subscriber))),
        is_advertised: true,
    };
    let audiences = [Box::from(HUB)].into();
    ApiSettings { issuers: [issuer].into(), audiences, ..handler(dialects).settings }
}

fn shared(secret: &str) -> Arc<SharedKey> {
    SharedKey::new(VerificationKey::new(Algorithm::HS256, secret.as_bytes()).expect("a key"))
}

fn access(secret: &str) -> String {
    let entry = json!({
        "type": "https://mercure.rocks/authorization-detail",
        "actions": ["subscribe", "publish"],
        "topics": [{ "match": "*" }],
    });
    let claims = json!({ "iss": ISSUER, "aud": HUB, "exp": 1_700_000_600, "authorization_details": [entry] });
    sign_access(&claims, secret.as_bytes(), Algorithm::HS256).expect("a token")
}

fn get_at(hub: &mut RequestHandler, query: &str, fields: &[(&str, &str)]) -> Decision {
    decide(hub, &Sent { method: "GET", path: HUB_PATH, query, fields })
}

/// Test 122 of MERCURE-1.0, section 13: a token of draft 08 is nowhere in a URL.
#[test]
fn an_access_token_in_the_url_is_refused_though_it_is_valid() {
    let mut hub = RequestHandler::new(settings(MIXED, &shared("issuer")));
    let token = access("issuer");
    let header = format!("Bearer {token}");
    for query in ["topic=a", "match=a"] {
        let fields = [("Authorization", header.as_str())];
        let subscription = subscribed(get_at(&mut hub, query, &fields));
        assert_eq!(subscription.grant.dialect(), Some(Dialect::Draft08), "{query}: it is valid");
        let (status, challenge) = refused(get_at(&mut hub, &format!("{query}&authorization={token}"), &[]));
        let challenge = challenge.expect("a challenge");
        assert_eq!(status, 401, "{query}");
        assert!(challenge.contains("invalid_token"), "{query}: {challenge}");
        assert_eq!(challenge.contains("resource_metadata="), query == "match=a", "{query}: {challenge}");
    }
    assert_eq!(hub.accepted_tokens()[1].by_dialect(), [0, 0, 2], "those in the URL are not counted");
    let sent = Sent {
        method: "POST",
        path: HUB_PATH,
        query: &format!("authorization={token}"),
        fields: &[FORM_TYPE[0]],
    };
    assert_eq!(refused(decide(&mut hub, &sent)).0, 401);
    // A legacy token has its place there, and the place does not exist without draft 07.
    let old = super::token(&json!({ "subscribe": ["*"] }));
    let subscription = subscribed(get_at(&mut hub, &format!("topic=a&authorization={old}"), &[]));
    assert_eq!(subscription.grant.dialect(), Some(Dialect::Draft07));
    let mut only_08 = RequestHandler::new(settings(ONLY_08, &shared("issuer")));
    let ignored = subscribed(get_at(&mut only_08, &format!("match=a&authorization={token}"), &[]));
    assert_eq!(ignored.token, None);
}

/// MERCURE-1.0, section 6.5.
#[test]
fn a_subscription_that_waits_is_refused_if_its_key_is_withdrawn_meanwhile() {
    let key = shared("issuer");
    let mut hub = RequestHandler::new(settings(MIXED, &key));
    assert!(hub.renew_keys().is_empty() && !hub.has_newer_keys());
    let header = format!("Bearer {}", access("issuer"));
    let fields = [("Authorization", header.as_str())];
    let theirs = subscribed(get_at(&mut hub, "match=a", &fields));
    let anonymous = subscribed(get_at(&mut hub, "match=a", &[]));
    assert!(hub.withdrawn(&theirs).is_none() && hub.withdrawn(&anonymous).is_none());
    key.replace(VerificationKey::new(Algorithm::HS256, b"another").expect("a key"));
    assert!(hub.has_newer_keys());
    assert_eq!(hub.renew_keys(), [theirs.key.expect("a key")]);
    assert!(!hub.has_newer_keys() && hub.withdrawn(&anonymous).is_none());
    let response = hub.withdrawn(&theirs).expect("it is refused").response;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(refused(get_at(&mut hub, "match=a", &fields)).0, 401);
}

#[test]
fn a_publication_whose_body_comes_late_needs_a_key_that_is_still_in_force() {
    let key = shared("issuer");
    let mut settings = settings(MIXED, &shared("other"));
    let issuer = Issuer { publisher: Some(KeySource::File(Arc::clone(&key))), ..settings.issuers[0].clone() };
    settings.issuers = [issuer].into();
    let mut hub = RequestHandler::new(settings);
    let header = format!("Bearer {}", access("issuer"));
    let fields = [FORM_TYPE[0], ("Authorization", header.as_str())];
    let sent = Sent { method: "POST", path: HUB_PATH, query: "", fields: &fields };
    let Decision::ReadBody(AwaitedBody::Publication(publisher)) = decide(&mut hub, &sent) else {
        panic!("no body is read")
    };
    assert!(hub.publish(&publisher, b"topic=a", [0; 16]).is_ok());
    key.replace(VerificationKey::new(Algorithm::HS256, b"another").expect("a key"));
    hub.renew_keys();
    let refused = hub.publish(&publisher, b"topic=a", [0; 16]).expect_err("the key is gone");
    assert_eq!(refused.response.status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn issuers_that_are_read_again_are_trusted_and_advertised() {
    let first = settings(ONLY_08, &shared("issuer"));
    let issuers = SharedIssuers::new(Arc::clone(&first.issuers));
    let mut hub = RequestHandler::new(ApiSettings { issuers_of_file: Some(Arc::clone(&issuers)), ..first });
    let header = format!("Bearer {}", access("issuer"));
    let fields = [("Authorization", header.as_str())];
    hub.renew_keys();
    let theirs = subscribed(get_at(&mut hub, "match=a", &fields));
    let other = Issuer { name: "https://b.example".into(), ..issuers.newest(&mut 0)[0].clone() };
    issuers.replace([other].into());
    assert!(hub.has_newer_keys());
    assert_eq!(hub.renew_keys(), [theirs.key.expect("a key")]);
    assert_eq!(refused(get_at(&mut hub, "match=a", &fields)).0, 401);
    let sent = Sent { method: "GET", path: METADATA_PATH, query: "", fields: &[] };
    let response = response(decide(&mut hub, &sent));
    let document: Value = serde_json::from_slice(response.body().expect("a body")).expect("JSON");
    assert_eq!(document["authorization_servers"], json!(["https://b.example"]));
}
