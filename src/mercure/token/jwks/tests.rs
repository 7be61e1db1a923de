//! Goal: a token is verified by the key that it names, with that key's algorithm, and by no other
//! key.
//!
//! Method: the test keys form a document; tokens are signed with their private halves, with a
//! header that the test chooses.

use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;
use crate::mercure::token::sign;

const NOW: u64 = 1_600_000_000;
const NOW_MS: u64 = NOW * 1_000;
const RSA: &str = include_str!("../../../../tests/data/keys/rsa-private.pem");
const EC256: &str = include_str!("../../../../tests/data/keys/ec256-private.pem");
const EC384: &str = include_str!("../../../../tests/data/keys/ec384-private.pem");
const ED25519: &str = include_str!("../../../../tests/data/keys/ed25519-private.pem");

/// The public half of a private key, as an entry of a key set.
fn jwk(algorithm: Algorithm, private: &str, id: Option<&str>) -> Value {
    let mut key = serde_json::to_value(
        Jwk::from_encoding_key(&encoding(algorithm, private), algorithm).expect("a key"),
    )
    .expect("JSON");
    if let Some(id) = id {
        key["kid"] = json!(id);
    }
    key
}

fn encoding(algorithm: Algorithm, private: &str) -> EncodingKey {
    let key = match algorithm.family() {
        AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(private.as_bytes()),
        AlgorithmFamily::Ec => EncodingKey::from_ec_pem(private.as_bytes()),
        AlgorithmFamily::Ed => EncodingKey::from_ed_pem(private.as_bytes()),
        AlgorithmFamily::Hmac => Ok(EncodingKey::from_secret(private.as_bytes())),
    };
    key.expect("a private key")
}

fn token(algorithm: Algorithm, private: &str, id: Option<&str>) -> String {
    // Our first call chooses the cryptography.
    sign(&json!({}), b"x", Algorithm::HS256).expect("a token");
    let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
    let claims = json!({"mercure": {"publish": ["*"]}, "exp": NOW + 10});
    jsonwebtoken::encode(&header, &claims, &encoding(algorithm, private)).expect("a token")
}

fn set(keys: &[Value]) -> KeySet {
    restricted(keys, &[])
}

fn restricted(keys: &[Value], allowed: &[Algorithm]) -> KeySet {
    KeySet::parse(json!({ "keys": keys, "more": 1 }).to_string().as_bytes(), allowed).expect("a key set")
}

fn published(claims: &Claims) -> Option<Vec<String>> {
    claims.legacy().expect("a legacy token").mercure.publish.clone()
}

fn all() -> Vec<(Algorithm, &'static str, &'static str)> {
    vec![
        (Algorithm::RS256, RSA, "rsa"),
        (Algorithm::PS384, RSA, "rsa-pss"),
        (Algorithm::ES256, EC256, "p256"),
        (Algorithm::ES384, EC384, "p384"),
        (Algorithm::EdDSA, ED25519, "ed"),
    ]
}

#[test]
fn the_key_that_a_token_names_verifies_it_and_no_other_does() {
    let keys: Vec<_> =
        all().into_iter().map(|(algorithm, private, id)| jwk(algorithm, private, Some(id))).collect();
    let set = set(&keys);
    assert_eq!((set.len(), set.left_out()), (5, 0));
    for (algorithm, private, id) in all() {
        let verified = set.verify(&token(algorithm, private, Some(id)), NOW_MS, &TokenRules::Legacy);
        assert_eq!(verified.as_ref().map(published), Ok(Some(vec!["*".to_owned()])), "{id}");
        let expired = set.verify(&token(algorithm, private, Some(id)), NOW_MS + 10_000, &TokenRules::Legacy);
        assert_eq!(expired, Err(TokenError::Expired), "{id}");
        for (_, _, other) in all().into_iter().filter(|(_, _, other)| *other != id) {
            let verified = set.verify(&token(algorithm, private, Some(other)), NOW_MS, &TokenRules::Legacy);
            assert_eq!(verified, Err(TokenError::WrongAlgorithm), "{id} as {other}");
        }
        assert_eq!(
            set.verify(&token(algorithm, private, Some("new")), NOW_MS, &TokenRules::Legacy),
            Err(TokenError::UnknownKey)
        );
    }
}

/// RFC 8725, section 2.1: neither the public key used as a shared secret, nor a secret listed in
/// the document.
#[test]
fn no_shared_secret_verifies_a_token() {
    let secret = "a shared secret of at least thirty-two bytes";
    let oct = json!({"kty": "oct", "kid": "oct", "alg": "HS256", "k": "YSBzaGFyZWQgc2VjcmV0IG9mIGF0IGxlYXN0IHRoaXJ0eS10d28gYnl0ZXM"});
    let bare = json!({"kty": "oct", "kid": "bare", "k": "YSBzaGFyZWQgc2VjcmV0IG9mIGF0IGxlYXN0IHRoaXJ0eS10d28gYnl0ZXM"});
    let mut lying = jwk(Algorithm::RS256, RSA, Some("lying"));
    lying["alg"] = json!("HS256");
    let rsa = jwk(Algorithm::RS256, RSA, Some("rsa"));
    let modulus = rsa["n"].as_str().expect("a modulus").to_owned();
    let set = set(&[oct, bare, lying, rsa]);
    assert_eq!((set.len(), set.left_out()), (1, 3));
    for (id, secret) in [("oct", secret), ("bare", secret), ("lying", &modulus), ("rsa", &modulus)] {
        let forged = token(Algorithm::HS256, secret, Some(id));
        let refused = set.verify(&forged, NOW_MS, &TokenRules::Legacy).expect_err("a forged token");
        let expected = if id == "rsa" { TokenError::WrongAlgorithm } else { TokenError::UnknownKey };
        assert_eq!(refused, expected, "{id}");
    }
    assert_eq!(
        set.verify(&token(Algorithm::HS256, secret, None), NOW_MS, &TokenRules::Legacy),
        Err(TokenError::WrongAlgorithm)
    );
}

#[test]
fn a_token_that_names_no_key_is_verified_when_one_alone_can_be_meant() {
    let rsa = jwk(Algorithm::RS256, RSA, Some("a"));
    let ec = jwk(Algorithm::ES256, EC256, None);
    let two = set(&[rsa.clone(), ec]);
    assert!(two.verify(&token(Algorithm::RS256, RSA, None), NOW_MS, &TokenRules::Legacy).is_ok());
    assert!(two.verify(&token(Algorithm::ES256, EC256, None), NOW_MS, &TokenRules::Legacy).is_ok());
    assert_eq!(
        two.verify(&token(Algorithm::EdDSA, ED25519, None), NOW_MS, &TokenRules::Legacy),
        Err(TokenError::WrongAlgorithm)
    );
    let twice = set(&[rsa.clone(), jwk(Algorithm::RS256, RSA, Some("b"))]);
    assert_eq!(
        twice.verify(&token(Algorithm::RS256, RSA, None), NOW_MS, &TokenRules::Legacy),
        Err(TokenError::NoKeyNamed)
    );
    let forged = token(Algorithm::RS256, RSA, Some("a"));
    let tampered = format!("{}AAAA", &forged[..forged.len() - 4]);
    assert_eq!(set(&[rsa]).verify(&tampered, NOW_MS, &TokenRules::Legacy), Err(TokenError::BadSignature));
}

#[test]
fn keys_of_several_kinds_may_share_an_id() {
    let keys = [jwk(Algorithm::RS256, RSA, Some("a")), jwk(Algorithm::ES256, EC256, Some("a"))];
    let set = set(&keys);
    assert!(set.verify(&token(Algorithm::RS256, RSA, Some("a")), NOW_MS, &TokenRules::Legacy).is_ok());
    assert!(set.verify(&token(Algorithm::ES256, EC256, Some("a")), NOW_MS, &TokenRules::Legacy).is_ok());
}

/// RFC 7517, section 4.4: `alg` is optional. Azure, for example, leaves it out.
#[test]
fn a_key_without_an_algorithm_has_that_of_its_kind() {
    for (algorithm, private, id) in all() {
        let mut key = jwk(algorithm, private, Some(id));
        key.as_object_mut().expect("an object").remove("alg");
        let verified =
            set(&[key.clone()]).verify(&token(algorithm, private, Some(id)), NOW_MS, &TokenRules::Legacy);
        if id == "rsa-pss" {
            assert_eq!(verified, Err(TokenError::WrongAlgorithm), "RS256 unless another is asked for");
        } else {
            assert!(verified.is_ok(), "{id}: {verified:?}");
        }
        assert!(
            restricted(&[key], &[algorithm])
                .verify(&token(algorithm, private, Some(id)), NOW_MS, &TokenRules::Legacy)
                .is_ok()
        );
    }
}

#[test]
fn with_an_algorithm_asked_for_all_other_keys_are_left_out() {
    let keys: Vec<_> =
        all().into_iter().map(|(algorithm, private, id)| jwk(algorithm, private, Some(id))).collect();
    let set = restricted(&keys, &[Algorithm::ES256]);
    assert_eq!((set.len(), set.left_out()), (1, 4));
    assert!(set.verify(&token(Algorithm::ES256, EC256, Some("p256")), NOW_MS, &TokenRules::Legacy).is_ok());
    assert_eq!(
        set.verify(&token(Algorithm::RS256, RSA, Some("rsa")), NOW_MS, &TokenRules::Legacy),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn a_key_that_cannot_be_used_is_left_out_and_spoils_no_other() {
    let with = |name: &str, value: Value| {
        let mut key = jwk(Algorithm::ES256, EC256, Some("x"));
        key[name] = value;
        key
    };
    let unfit = [
        json!(1),
        json!({}),
        json!({"kty": "other", "kid": "x"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "AA"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "RSA", "n": "!", "e": "AQAB"}),
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("alg", json!("ES384")),
        with("alg", json!("ECDH-ES")),
        with("x", json!("AA")),
        with("crv", json!("P-384")),
    ];
    for key in unfit {
        let set = set(&[key.clone(), with("key_ops", json!(["verify"])), with("use", json!("sig"))]);
        assert_eq!((set.len(), set.left_out()), (2, 1), "{key}");
    }
}

#[test]
fn what_is_not_a_key_set_is_refused_and_an_empty_one_verifies_nothing() {
    for document in ["", "[]", "null", "{}", "{\"keys\": 1}", "<html>", "{\"keys\": [}", "\u{0}"] {
        assert_eq!(
            KeySet::parse(document.as_bytes(), &[]).err(),
            Some(KeySetError::NotAKeySet),
            "{document}"
        );
    }
    let deep = "[".repeat(100_000);
    assert!(KeySet::parse(format!("{{\"keys\": {deep}").as_bytes(), &[]).is_err());
    let many = vec![json!({}); JWKS_KEYS_MAX + 1];
    let many = KeySet::parse(json!({ "keys": many }).to_string().as_bytes(), &[]);
    assert_eq!(many.err(), Some(KeySetError::TooManyKeys(JWKS_KEYS_MAX + 1)));
    let empty = set(&[]);
    assert!(empty.is_empty());
    assert_eq!(
        empty.verify(&token(Algorithm::RS256, RSA, Some("a")), NOW_MS, &TokenRules::Legacy),
        Err(TokenError::UnknownKey)
    );
    assert_eq!(empty.verify("a.b", NOW_MS, &TokenRules::Legacy), Err(TokenError::Malformed));
}
