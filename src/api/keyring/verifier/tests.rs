//! Goal: a token is verified by the one key that its form and its issuer choose.
//! Method: two issuers and a legacy key in one verifier; the clock is an argument.

use std::sync::Arc;

use super::*;
use crate::api::keyring::{SharedKey, SharedKeys};
use crate::limits::JWKS_ASK_EVERY_MS;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::token::{Algorithm, KeySet, VerificationKey, sign, sign_access};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

const EC256: &str = include_str!("../../../../tests/data/keys/ec256-private.pem");
const NOW: Now = Now { ms: 1_000, unix_ms: 1_600_000_000_000 };

fn key() -> EncodingKey {
    // The first call of our own code chooses the cryptography provider.
    sign(&json!({}), b"x", Algorithm::HS256).expect("a token");
    EncodingKey::from_ec_pem(EC256.as_bytes()).expect("a key")
}

fn set(id: &str) -> KeySet {
    let mut jwk =
        serde_json::to_value(Jwk::from_encoding_key(&key(), Algorithm::ES256).expect("a key")).expect("JSON");
    jwk["kid"] = json!(id);
    KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes(), &[]).expect("a key set")
}

fn token(id: &str) -> String {
    let header = Header { kid: Some(id.to_owned()), ..Header::new(Algorithm::ES256) };
    jsonwebtoken::encode(&header, &json!({"mercure": {"publish": ["*"]}}), &key()).expect("a token")
}

fn legacy(source: KeySource) -> Verifier {
    Verifier::new(Dialects::legacy(Authorization::Selectors), Some(source), Vec::new())
}

fn grants(verifier: &mut Verifier, id: &str, now: Now) -> Result<(), AuthError> {
    verifier.grant(&token(id), now).map(|_| ())
}

#[test]
fn before_the_first_set_nothing_is_valid_and_that_is_said() {
    let shared = SharedKeys::new();
    let mut verifier = legacy(KeySource::Fetched(Arc::clone(&shared)));
    assert!(!verifier.has_keys());
    assert!(matches!(grants(&mut verifier, "a", NOW), Err(AuthError::NotYet(_))));
    shared.replace(set("a"));
    assert!(verifier.has_keys());
    assert_eq!(grants(&mut verifier, "a", NOW), Ok(()));
}

/// A withdrawn key verifies no token, not even one that it verified before.
#[test]
fn with_a_new_set_the_tokens_of_the_old_one_are_verified_again() {
    let shared = SharedKeys::new();
    let mut verifier = legacy(KeySource::Fetched(Arc::clone(&shared)));
    shared.replace(set("a"));
    let old = token("a");
    let granted = |verifier: &mut Verifier| verifier.grant(&old, NOW);
    assert!(granted(&mut verifier).is_ok() && granted(&mut verifier).is_ok());
    assert_eq!(verifier.cache.len(), 1);
    shared.replace(set("b"));
    assert!(granted(&mut verifier).is_err(), "it was remembered");
    assert_eq!(grants(&mut verifier, "b", NOW), Ok(()));
    shared.replace(KeySet::default());
    assert!(grants(&mut verifier, "b", NOW).is_err());
}

/// A replaced key verifies no token, not even one that it verified before.
#[test]
fn with_a_new_key_the_tokens_of_the_old_one_are_verified_again() {
    let key = |secret: &str| VerificationKey::new(Algorithm::HS256, secret.as_bytes()).expect("a key");
    let claims = json!({"mercure": {"publish": ["*"]}});
    let [old, new] =
        ["old", "new"].map(|secret| sign(&claims, secret.as_bytes(), Algorithm::HS256).expect("signed"));
    let shared = SharedKey::new(key("old"));
    let mut verifier = legacy(KeySource::File(Arc::clone(&shared)));
    let mut is_granted = |token: &str| verifier.grant(token, NOW).is_ok();
    assert_eq!([&old, &old, &new].map(|token| is_granted(token)), [true, true, false]);
    shared.replace(key("new"));
    assert_eq!([&old, &new].map(|token| is_granted(token)), [false, true]);
}

/// To the millisecond, whether the token is known from before or not.
#[test]
fn a_token_of_any_source_of_keys_ends_with_its_exp() {
    let claims = json!({"mercure": {"publish": ["*"]}, "exp": NOW.unix_ms / 1_000 + 1});
    let secret = || VerificationKey::new(Algorithm::HS256, b"secret").expect("a key");
    let signed = sign(&claims, b"secret", Algorithm::HS256).expect("signed");
    let header = Header { kid: Some("a".to_owned()), ..Header::new(Algorithm::ES256) };
    let named = jsonwebtoken::encode(&header, &claims, &key()).expect("a token");
    let fetched = SharedKeys::new();
    fetched.replace(set("a"));
    for (name, source, token) in [
        ("fixed", KeySource::from(secret()), &signed),
        ("file", KeySource::File(SharedKey::new(secret())), &signed),
        ("fetched", KeySource::Fetched(fetched), &named),
    ] {
        let is_valid = |verifier: &mut Verifier, later_ms: u64| {
            let now = Now { ms: NOW.ms + later_ms, unix_ms: NOW.unix_ms + later_ms };
            verifier.grant(token, now).is_ok()
        };
        assert!(!is_valid(&mut legacy(source.clone()), 1_000), "{name}: it is new");
        let mut verifier = legacy(source.clone());
        assert!(is_valid(&mut verifier, 0) && is_valid(&mut verifier, 999), "{name}");
        assert_eq!(verifier.cache.len(), 1, "{name}");
        assert!(!is_valid(&mut verifier, 1_000), "{name}: it was remembered");
    }
}

#[test]
fn an_unknown_key_has_the_set_fetched_once_in_a_while_and_is_invalid_otherwise() {
    let shared = SharedKeys::new();
    let mut verifier = legacy(KeySource::Fetched(Arc::clone(&shared)));
    shared.replace(set("a"));
    let at = |ms: u64| Now { ms, ..NOW };
    assert!(matches!(grants(&mut verifier, "b", at(0)), Err(AuthError::NotYet(_))), "asked");
    assert!(matches!(grants(&mut verifier, "c", at(1)), Err(AuthError::NotYet(_))), "under way");
    assert_eq!(shared.asks().try_iter().count(), 1);
    // The fetch has ended and brought nothing new.
    shared.set_fetching(false);
    for ms in [2, JWKS_ASK_EVERY_MS - 1] {
        assert!(matches!(grants(&mut verifier, "b", at(ms)), Err(AuthError::Invalid(_))), "at {ms}");
    }
    assert_eq!(shared.asks().try_iter().count(), 0, "no fetch in between");
    assert!(matches!(grants(&mut verifier, "b", at(JWKS_ASK_EVERY_MS)), Err(AuthError::NotYet(_))));
    assert_eq!(shared.asks().try_iter().count(), 1);
    assert_eq!(grants(&mut verifier, "a", at(3)), Ok(()), "known keys go on");
}

#[test]
fn other_errors_of_a_token_ask_for_nothing() {
    let shared = SharedKeys::new();
    let mut verifier = legacy(KeySource::Fetched(Arc::clone(&shared)));
    shared.replace(set("a"));
    let mut broken = token("a");
    broken.truncate(broken.len() - 2);
    for token in [broken.as_str(), "", "a.b.c"] {
        let refused = verifier.grant(token, NOW);
        assert!(matches!(refused, Err(AuthError::Invalid(_))), "{token}");
    }
    assert!(shared.asks().is_empty());
}

const HUB: &str = "https://hub.e.x/.well-known/mercure";
const SECRETS: [&str; 3] = [
    "the secret of the legacy key, long enough",
    "the secret of the first issuer, long enough",
    "the secret of the second issuer, long enough",
];
const FIRST: &str = "https://a.example";
const SECOND: &str = "https://b.example";

fn secret(at: usize) -> KeySource {
    VerificationKey::new(Algorithm::HS256, SECRETS[at].as_bytes()).expect("a key").into()
}

fn rules(issuer: &str) -> AccessRules {
    AccessRules {
        issuer: issuer.into(),
        audiences: [Box::from(HUB)].into(),
        public_url: PublicUrl::parse(HUB).expect("a URL"),
    }
}

/// A verifier of a hub that speaks 07 and 08.
fn mixed() -> Verifier {
    let issuers = vec![(Some(secret(1)), rules(FIRST)), (Some(secret(2)), rules(SECOND))];
    Verifier::new(Dialects::with_draft08(Some(Authorization::Selectors)), Some(secret(0)), issuers)
}

fn access_claims(issuer: &str) -> serde_json::Value {
    let entry = json!({
        "type": "https://mercure.rocks/authorization-detail",
        "actions": ["publish"],
        "topics": [{"match": "*"}],
    });
    json!({"iss": issuer, "aud": HUB, "exp": 1_600_000_100, "authorization_details": [entry]})
}

fn access(issuer: &str, key: usize) -> String {
    sign_access(&access_claims(issuer), SECRETS[key].as_bytes(), Algorithm::HS256).expect("signed")
}

fn old(key: usize) -> String {
    let claims = json!({"mercure": {"publish": ["*"]}});
    sign(&claims, SECRETS[key].as_bytes(), Algorithm::HS256).expect("signed")
}

fn dialect(verifier: &mut Verifier, token: &str) -> Result<Dialect, String> {
    match verifier.grant(token, NOW) {
        Ok((grant, _)) => Ok(grant.dialect().expect("a token has one")),
        Err(AuthError::Invalid(reason)) => Err(reason),
        Err(AuthError::NotYet(reason)) => panic!("{reason}"),
    }
}

/// Test 66 of MERCURE-1.0, section 13, and trap 2: `iss` chooses the key, and no other is tried.
#[test]
fn a_token_is_verified_with_the_key_of_its_issuer_alone() {
    let mut verifier = mixed();
    assert_eq!(dialect(&mut verifier, &access(FIRST, 1)), Ok(Dialect::Draft08));
    assert_eq!(dialect(&mut verifier, &access(SECOND, 2)), Ok(Dialect::Draft08));
    for (issuer, key) in [(FIRST, 2), (SECOND, 1), (FIRST, 0)] {
        let refused = dialect(&mut verifier, &access(issuer, key));
        assert_eq!(refused, Err("bad signature".to_owned()), "{issuer} {key}");
    }
    for issuer in ["https://a.example/", "https://a.exampl", "", "https://c.example"] {
        let refused = dialect(&mut verifier, &access(issuer, 1)).expect_err("an unknown issuer");
        assert!(refused.contains("not a configured issuer"), "{refused}");
    }
    let mut claims = access_claims(FIRST);
    claims.as_object_mut().expect("an object").remove("iss");
    let unnamed = sign_access(&claims, SECRETS[1].as_bytes(), Algorithm::HS256).expect("signed");
    assert!(dialect(&mut verifier, &unnamed).is_err_and(|reason| reason.starts_with("no iss")));
}

/// Trap 2 of MERCURE-1.0, section 9: two issuers can use one `kid`.
#[test]
fn a_key_id_does_not_lead_to_the_key_of_another_issuer() {
    let sets = [SharedKeys::new(), SharedKeys::new()];
    sets[0].replace(set("a"));
    sets[1].replace(KeySet::default());
    let issuers = [FIRST, SECOND].into_iter().zip(&sets);
    let issuers =
        issuers.map(|(name, set)| (Some(KeySource::Fetched(Arc::clone(set))), rules(name))).collect();
    let mut verifier = Verifier::new(Dialects::with_draft08(None), None, issuers);
    let token = |issuer: &str| {
        let mut header = Header::new(Algorithm::ES256);
        (header.kid, header.typ) = (Some("a".to_owned()), Some("at+jwt".to_owned()));
        jsonwebtoken::encode(&header, &access_claims(issuer), &key()).expect("signed")
    };
    assert!(verifier.grant(&token(FIRST), NOW).is_ok());
    assert!(verifier.grant(&token(SECOND), NOW).is_err());
}

/// Tests 118 to 120 of MERCURE-1.0, section 13.
#[test]
fn the_keys_of_the_dialects_are_apart() {
    let mut verifier = mixed();
    assert_eq!(dialect(&mut verifier, &old(0)), Ok(Dialect::Draft07));
    // An at+jwt token with the legacy key, and legacy tokens with the issuers' keys.
    assert_eq!(dialect(&mut verifier, &access(FIRST, 0)), Err("bad signature".to_owned()));
    assert_eq!(dialect(&mut verifier, &old(1)), Err("bad signature".to_owned()));
    assert_eq!(dialect(&mut verifier, &old(2)), Err("bad signature".to_owned()));
    for name in ["exp", "aud"] {
        let mut claims = access_claims(FIRST);
        claims.as_object_mut().expect("an object").remove(name);
        let token = sign_access(&claims, SECRETS[1].as_bytes(), Algorithm::HS256).expect("signed");
        let refused = dialect(&mut verifier, &token).expect_err("an incomplete token");
        assert!(refused.starts_with(&format!("no {name}")), "{refused}");
    }
    let counts = TokenCounts { draft04: 0, draft07: 1, draft08: 0 };
    assert_eq!(verifier.counts(), counts, "only accepted tokens count");
}

/// Test 126 of MERCURE-1.0, section 13: the token; and the reverse.
#[test]
fn a_token_of_a_dialect_that_is_off_is_refused_and_the_log_says_why() {
    let mut verifier = legacy(secret(1));
    let refused = dialect(&mut verifier, &access(FIRST, 1)).expect_err("no draft 08");
    assert_eq!(refused, "an at+jwt token, and PROTOCOL has no 08");
    let issuers = vec![(Some(secret(1)), rules(FIRST)), (None, rules(SECOND))];
    let mut verifier = Verifier::new(Dialects::with_draft08(None), None, issuers);
    let refused = dialect(&mut verifier, &old(1)).expect_err("no legacy dialect");
    assert!(refused.ends_with("PROTOCOL has neither 04 nor 07"), "{refused}");
    // Also with a key for such tokens.
    let mut keyed = Verifier::new(Dialects::with_draft08(None), Some(secret(1)), Vec::new());
    let refused = dialect(&mut keyed, &old(1)).expect_err("no legacy dialect");
    assert!(refused.ends_with("PROTOCOL has neither 04 nor 07"), "{refused}");
    let refused = dialect(&mut verifier, &access(SECOND, 2)).expect_err("no key for this role");
    assert_eq!(refused, "the issuer has no key for this role");
}

/// One new key may make any remembered token invalid; which one is not looked up.
#[test]
fn a_new_key_of_one_issuer_discards_every_remembered_token() {
    let secret_key =
        |at: usize| VerificationKey::new(Algorithm::HS256, SECRETS[at].as_bytes()).expect("a key");
    let shared = SharedKey::new(secret_key(1));
    let issuers =
        vec![(Some(KeySource::File(Arc::clone(&shared))), rules(FIRST)), (Some(secret(2)), rules(SECOND))];
    let mut verifier = Verifier::new(Dialects::with_draft08(None), None, issuers);
    for (issuer, key) in [(FIRST, 1), (SECOND, 2)] {
        assert!(dialect(&mut verifier, &access(issuer, key)).is_ok());
    }
    assert_eq!(verifier.cache.len(), 2);
    shared.replace(secret_key(0));
    assert!(dialect(&mut verifier, &access(FIRST, 1)).is_err(), "it was remembered");
    assert!(dialect(&mut verifier, &access(FIRST, 0)).is_ok());
    assert!(dialect(&mut verifier, &access(SECOND, 2)).is_ok());
}

/// The number of the key that verifies this token.
fn number(verifier: &mut Verifier, token: &str) -> KeyNumber {
    verifier.grant(token, NOW).expect("a valid token").1
}

/// MERCURE-1.0, section 6.5: what a key granted ends with it, and nothing else does.
#[test]
fn a_key_that_is_no_longer_in_the_set_is_withdrawn_and_its_tokens_are_invalid_at_once() {
    let shared = SharedKeys::new();
    let mut verifier = legacy(KeySource::Fetched(Arc::clone(&shared)));
    let both = |ids: [&str; 2]| {
        let jwk = |id: &str| {
            let mut jwk =
                serde_json::to_value(Jwk::from_encoding_key(&key(), Algorithm::ES256).expect("a key"))
                    .expect("JSON");
            jwk["kid"] = json!(id);
            jwk
        };
        let document = json!({ "keys": ids.map(jwk) }).to_string();
        KeySet::parse(document.as_bytes(), &[]).expect("a key set")
    };
    shared.replace(both(["a", "b"]));
    let [a, b] = ["a", "b"].map(|id| number(&mut verifier, &token(id)));
    assert!(a != b && verifier.has_number(a) && verifier.has_number(b));
    assert!(verifier.take_withdrawn().is_empty());
    // In another order, beside another one.
    shared.replace(both(["c", "b"]));
    assert!(verifier.is_outdated());
    assert_eq!(verifier.take_withdrawn(), [a]);
    assert!(!verifier.is_outdated() && !verifier.has_number(a) && verifier.has_number(b));
    assert_eq!(number(&mut verifier, &token("b")), b, "it goes on");
    // The set was just fetched: asking for it again brings nothing, and the client shall know.
    assert!(matches!(grants(&mut verifier, "a", NOW), Err(AuthError::Invalid(_))));
    assert!(shared.asks().is_empty());
    shared.replace(both(["a", "b"]));
    let again = number(&mut verifier, &token("a"));
    assert!(again != a && verifier.has_number(again), "a new number");
    assert!(verifier.is_outdated(), "of c");
    // A token can bring the news of a new set, too.
    shared.replace(KeySet::default());
    assert!(grants(&mut verifier, "a", NOW).is_err());
    assert!(verifier.is_outdated());
    assert_eq!(verifier.take_withdrawn().len(), 3, "c, a and b");
}

#[test]
fn a_key_file_with_the_same_key_withdraws_nothing() {
    let key = |secret: &str| VerificationKey::new(Algorithm::HS256, secret.as_bytes()).expect("a key");
    let shared = SharedKey::new(key(SECRETS[0]));
    let mut verifier = legacy(KeySource::File(Arc::clone(&shared)));
    let first = number(&mut verifier, &old(0));
    shared.replace(key(SECRETS[0]));
    assert!(verifier.take_withdrawn().is_empty() && verifier.has_number(first));
    assert_eq!(number(&mut verifier, &old(0)), first);
    shared.replace(key(SECRETS[1]));
    assert_eq!(verifier.take_withdrawn(), [first]);
}

/// `ISSUERS_FILE` while the hub runs.
#[test]
fn issuers_that_are_replaced_keep_the_keys_that_they_have_in_common() {
    let mut verifier = mixed();
    let first = number(&mut verifier, &access(FIRST, 1));
    let second = number(&mut verifier, &access(SECOND, 2));
    let legacy = number(&mut verifier, &old(0));
    // The same key under the same name, another key under the other, and a name with no such role.
    verifier.replace_issuers(vec![
        (Some(secret(1)), rules(FIRST)),
        (Some(secret(1)), rules(SECOND)),
        (None, rules("https://c.example")),
    ]);
    assert_eq!(verifier.take_withdrawn(), [second]);
    assert_eq!(number(&mut verifier, &access(FIRST, 1)), first);
    assert!(dialect(&mut verifier, &access(SECOND, 2)).is_err(), "it was remembered");
    let renewed = number(&mut verifier, &access(SECOND, 1));
    verifier.replace_issuers(vec![(Some(secret(1)), rules(SECOND))]);
    assert_eq!(verifier.take_withdrawn(), [first]);
    assert!(dialect(&mut verifier, &access(FIRST, 1)).is_err(), "no longer trusted");
    assert!(verifier.has_number(renewed) && verifier.has_number(legacy));
    // A set that is fetched already goes on.
    let shared = SharedKeys::new();
    shared.replace(set("a"));
    let source = || Some(KeySource::Fetched(Arc::clone(&shared)));
    let mut verifier = Verifier::new(Dialects::with_draft08(None), None, vec![(source(), rules(FIRST))]);
    let mut header = Header::new(Algorithm::ES256);
    (header.kid, header.typ) = (Some("a".to_owned()), Some("at+jwt".to_owned()));
    let token = jsonwebtoken::encode(&header, &access_claims(FIRST), &key()).expect("signed");
    let fetched = number(&mut verifier, &token);
    verifier.replace_issuers(vec![(source(), rules(FIRST))]);
    assert!(verifier.take_withdrawn().is_empty());
    assert_eq!(number(&mut verifier, &token), fetched);
}
