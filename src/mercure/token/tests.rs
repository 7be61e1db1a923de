//! Goal: a token is accepted when its signature, its algorithm and its dates are valid, and
//! otherwise refused.
//!
//! Method: tokens are signed here with the test keys, or built by hand where no library would make
//! them (RFC 8725, section 2, lists the attacks). The clock is an argument.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;

use super::*;

mod access;

const SECRET: &str = "a shared secret of at least thirty-two bytes";
const NOW: u64 = 1_600_000_000;
const NOW_MS: u64 = NOW * 1_000;
const RSA: (&str, &str) = (
    include_str!("../../../tests/data/keys/rsa-private.pem"),
    include_str!("../../../tests/data/keys/rsa-public.pem"),
);
const EC256: (&str, &str) = (
    include_str!("../../../tests/data/keys/ec256-private.pem"),
    include_str!("../../../tests/data/keys/ec256-public.pem"),
);
const EC384: (&str, &str) = (
    include_str!("../../../tests/data/keys/ec384-private.pem"),
    include_str!("../../../tests/data/keys/ec384-public.pem"),
);
const ED25519: (&str, &str) = (
    include_str!("../../../tests/data/keys/ed25519-private.pem"),
    include_str!("../../../tests/data/keys/ed25519-public.pem"),
);
const RSA_1024_PUBLIC: &str = include_str!("../../../tests/data/keys/rsa1024-public.pem");

/// Every algorithm with the key that signs and the key that verifies.
const ALGORITHMS: [(Algorithm, (&str, &str)); 12] = [
    (Algorithm::HS256, (SECRET, SECRET)),
    (Algorithm::HS384, (SECRET, SECRET)),
    (Algorithm::HS512, (SECRET, SECRET)),
    (Algorithm::RS256, RSA),
    (Algorithm::RS384, RSA),
    (Algorithm::RS512, RSA),
    (Algorithm::PS256, RSA),
    (Algorithm::PS384, RSA),
    (Algorithm::PS512, RSA),
    (Algorithm::ES256, EC256),
    (Algorithm::ES384, EC384),
    (Algorithm::EdDSA, ED25519),
];

fn hs256() -> VerificationKey {
    VerificationKey::from_secret(Algorithm::HS256, SECRET.as_bytes()).expect("a secret")
}

fn signed(claims: &Value) -> String {
    sign(claims, SECRET.as_bytes(), Algorithm::HS256).expect("a token")
}

fn verified(claims: &Value) -> Result<LegacyClaims, TokenError> {
    hs256().verify(&signed(claims), NOW_MS, &TokenRules::Legacy).map(|claims| legacy(&claims))
}

fn legacy(claims: &Claims) -> LegacyClaims {
    claims.legacy().expect("a legacy token").clone()
}

/// A token of raw JSON texts with a valid HS256 signature, whatever its header says.
fn signed_raw(header: &str, claims: &str) -> String {
    let message = format!("{}.{}", base64url(header.as_bytes()), base64url(claims.as_bytes()));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).expect("signed");
    format!("{message}.{signature}")
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn every_algorithm_verifies_its_own_tokens_and_no_other() {
    let claims = json!({"mercure": {"publish": ["*"]}});
    for (signs, (private, _)) in ALGORITHMS {
        let token = sign(&claims, private.as_bytes(), signs).expect("a token");
        for (verifies, (_, public)) in ALGORITHMS {
            let key = VerificationKey::new(verifies, public.as_bytes()).expect("a key");
            let result =
                key.verify(&token, NOW_MS, &TokenRules::Legacy).map(|claims| legacy(&claims).mercure.publish);
            if signs == verifies {
                assert_eq!(result, Ok(Some(vec!["*".to_owned()])), "{signs:?}");
            } else {
                assert_eq!(result, Err(TokenError::WrongAlgorithm), "{signs:?} by {verifies:?}");
            }
        }
    }
}

/// The example of RFC 7515, appendix A.1, with its key and its `exp` of 1300819380.
#[test]
fn the_example_of_the_rfc_verifies_until_it_expires() {
    let secret = [
        3, 35, 53, 75, 43, 15, 165, 188, 131, 126, 6, 101, 119, 123, 166, 143, 90, 179, 40, 230, 240, 84,
        201, 40, 169, 15, 132, 178, 210, 80, 46, 191, 211, 251, 90, 146, 210, 6, 71, 239, 150, 138, 180, 195,
        119, 98, 61, 34, 61, 46, 33, 114, 5, 46, 79, 8, 192, 205, 154, 245, 103, 208, 128, 163,
    ];
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
                 eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
                 dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let key = VerificationKey::from_secret(Algorithm::HS256, &secret).expect("a secret");
    let claims = LegacyClaims { mercure: MercureClaim::default(), exp_ms: Some(1_300_819_380_000) };
    assert_eq!(key.verify(token, 1_300_819_379_999, &TokenRules::Legacy), Ok(claims.into()));
    assert_eq!(key.verify(token, 1_300_819_380_000, &TokenRules::Legacy), Err(TokenError::Expired));
}

/// RFC 8725, section 2.1: a public key is no secret, so a token "signed" with it proves nothing.
#[test]
fn a_public_key_cannot_be_used_as_a_shared_secret() {
    let claims = json!({"mercure": {"publish": ["*"]}});
    for (algorithm, (_, public)) in ALGORITHMS.into_iter().skip(3) {
        let forged = sign(&claims, public.as_bytes(), Algorithm::HS256).expect("a token");
        let key = VerificationKey::from_pem(algorithm, public).expect("a key");
        assert_eq!(
            key.verify(&forged, NOW_MS, &TokenRules::Legacy),
            Err(TokenError::WrongAlgorithm),
            "{algorithm:?}"
        );
        // The same forgery when the operator forgot to set the algorithm.
        let refused = VerificationKey::new(Algorithm::HS256, public.as_bytes()).err();
        assert_eq!(refused, Some(KeyError::PemAsSecret(Algorithm::HS256)), "{algorithm:?}");
    }
}

#[test]
fn a_token_without_signature_is_refused() {
    let claims = r#"{"mercure":{"publish":["*"]}}"#;
    for algorithm in ["none", "None", "NONE", "nOnE"] {
        let header = format!(r#"{{"alg":"{algorithm}","typ":"JWT"}}"#);
        let unsigned = format!("{}.{}.", base64url(header.as_bytes()), base64url(claims.as_bytes()));
        assert_eq!(
            hs256().verify(&unsigned, NOW_MS, &TokenRules::Legacy),
            Err(TokenError::Header),
            "{algorithm}"
        );
        assert_eq!(
            hs256().verify(&signed_raw(&header, claims), NOW_MS, &TokenRules::Legacy),
            Err(TokenError::Header),
            "{algorithm}"
        );
    }
    let token = signed_raw(r#"{"alg":"HS256"}"#, claims);
    assert!(
        hs256().verify(&token, NOW_MS, &TokenRules::Legacy).is_ok(),
        "the hand-made tokens of these tests are good ones"
    );
    let (message, _) = token.rsplit_once('.').expect("three parts");
    assert_eq!(
        hs256().verify(&format!("{message}."), NOW_MS, &TokenRules::Legacy),
        Err(TokenError::BadSignature)
    );
}

/// RFC 7515, section 4.1: keys chosen by the sender, and extensions that must be understood.
#[test]
fn a_header_that_brings_its_own_key_or_an_extension_is_refused() {
    for (header, name) in [
        (r#"{"alg":"HS256","jwk":{"kty":"oct","k":"YQ"}}"#, "jwk"),
        (r#"{"alg":"HS256","jku":"https://evil.example/keys"}"#, "jku"),
        (r#"{"alg":"HS256","x5u":"https://evil.example/cert"}"#, "x5u"),
        (r#"{"alg":"HS256","crit":["b64"],"b64":false}"#, "crit"),
        (r#"{"alg":"HS256","crit":[]}"#, "crit"),
        (r#"{"alg":"HS256","crit":null}"#, "crit"),
        (r#"{"alg":"HS256","crit":"exp"}"#, "crit"),
        (r#"{"alg":"HS256","crit":{}}"#, "crit"),
        (r#"{"alg":"HS256","crit":[1]}"#, "crit"),
        (r#"{"alg":"HS256","\u0063rit":null}"#, "crit"),
    ] {
        let result = hs256().verify(&signed_raw(header, "{}"), NOW_MS, &TokenRules::Legacy);
        assert_eq!(result, Err(TokenError::ForbiddenHeader(name)), "{header}");
    }
    for header in [r#"{"alg":"HS256","kid":"1"}"#, r#"{"alg":"HS256","typ":"x","other":{}}"#] {
        assert!(hs256().verify(&signed_raw(header, "{}"), NOW_MS, &TokenRules::Legacy).is_ok(), "{header}");
    }
    for header in ["", "{}", "[]", r#"{"alg":1}"#, r#"{"alg":"HS1024"}"#, r#"{"alg":"HS256""#] {
        assert_eq!(
            hs256().verify(&signed_raw(header, "{}"), NOW_MS, &TokenRules::Legacy),
            Err(TokenError::Header),
            "{header}"
        );
    }
}

/// Another reader may take the other of the two, and then check another algorithm or grant.
#[test]
fn a_token_with_a_member_twice_is_refused() {
    for (header, claims) in [
        (r#"{"alg":"HS256","alg":"HS256"}"#, "{}"),
        (r#"{"alg":"none","alg":"HS256"}"#, "{}"),
        (r#"{"alg":"HS256","crit":["b64"],"crit":null}"#, "{}"),
        (r#"{"alg":"HS256","typ":"JWT","\u0074yp":"JWT"}"#, "{}"),
        (r#"{"alg":"HS256","other":{"a":1,"a":1}}"#, "{}"),
        (r#"{"alg":"HS256"}"#, r#"{"exp":1,"exp":9999999999}"#),
        (r#"{"alg":"HS256"}"#, r#"{"mercure":{"publish":[]},"mercure":{"publish":["*"]}}"#),
        (r#"{"alg":"HS256"}"#, r#"{"mercure":{"publish":[],"publish":["*"]}}"#),
        (r#"{"alg":"HS256"}"#, r#"{"mercure":{"payload":{"a":1,"a":2}}}"#),
    ] {
        let result = hs256().verify(&signed_raw(header, claims), NOW_MS, &TokenRules::Legacy);
        assert_eq!(result, Err(TokenError::Repeated), "{header} {claims}");
    }
}

#[test]
fn a_changed_token_and_one_of_another_key_have_a_bad_signature() {
    let token = signed(&json!({"mercure": {"publish": []}}));
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let (header, _) = message.split_once('.').expect("three parts");
    let more = base64url(br#"{"mercure":{"publish":["*"]}}"#);
    for changed in [
        format!("{header}.{more}.{signature}"),
        format!("{message}.{}", &signature[1..]),
        format!("{message}.{signature}A"),
        format!("{message}.{signature}="),
        format!("{message}.not base64"),
    ] {
        assert_eq!(
            hs256().verify(&changed, NOW_MS, &TokenRules::Legacy),
            Err(TokenError::BadSignature),
            "{changed}"
        );
    }
    let other = VerificationKey::from_secret(Algorithm::HS256, b"another secret").expect("a secret");
    assert_eq!(other.verify(&token, NOW_MS, &TokenRules::Legacy), Err(TokenError::BadSignature));
}

#[test]
fn what_is_no_token_is_refused_before_its_signature_is_looked_at() {
    for text in ["", ".", "a", "a.b", "a.b.c.d", "....", "é.é"] {
        assert_eq!(hs256().verify(text, NOW_MS, &TokenRules::Legacy), Err(TokenError::Malformed), "{text:?}");
    }
    for text in ["..", "a.b.c", "é.é.é", "e30.e30.e30"] {
        assert_eq!(hs256().verify(text, NOW_MS, &TokenRules::Legacy), Err(TokenError::Header), "{text:?}");
    }
    assert_eq!(
        hs256().verify(&"a".repeat(TOKEN_BYTES_MAX + 1), NOW_MS, &TokenRules::Legacy),
        Err(TokenError::TooLong)
    );
    for claims in ["", "1", "null", "[]", r#"[1,2]"#, "{", "\u{0}"] {
        let token = signed_raw(r#"{"alg":"HS256"}"#, claims);
        assert_eq!(
            hs256().verify(&token, NOW_MS, &TokenRules::Legacy),
            Err(TokenError::Malformed),
            "{claims:?}"
        );
    }
}

#[test]
fn dates_are_enforced_to_the_millisecond_without_leeway() {
    for (claims, expected) in [
        (json!({"exp": NOW + 1}), Ok(Some(NOW_MS + 1_000))),
        (json!({"exp": NOW}), Err(TokenError::Expired)),
        (json!({"exp": NOW - 1}), Err(TokenError::Expired)),
        (json!({"exp": NOW as f64 + 0.5}), Ok(Some(NOW_MS + 500))),
        // Rounded to the side on which it grants less.
        (json!({"exp": NOW as f64 + 0.25 + 0.000_5}), Ok(Some(NOW_MS + 250))),
        (json!({"exp": NOW as f64 + 0.000_9}), Err(TokenError::Expired)),
        (json!({"nbf": NOW as f64 + 0.000_1}), Err(TokenError::NotYetValid)),
        (json!({"nbf": NOW as f64 - 0.000_1}), Ok(None)),
        (json!({"exp": NOW as f64 - 0.5}), Err(TokenError::Expired)),
        (json!({"exp": -1}), Err(TokenError::Expired)),
        (json!({"exp": 1e300}), Ok(Some(u64::MAX))),
        // In milliseconds, it is beyond the range of u64.
        (json!({"exp": u64::MAX}), Ok(Some(u64::MAX))),
        (json!({"nbf": u64::MAX / 1_000 + 1}), Err(TokenError::NotYetValid)),
        (json!({"nbf": NOW}), Ok(None)),
        (json!({"nbf": NOW as f64 + 0.5}), Err(TokenError::NotYetValid)),
        (json!({"nbf": NOW + 1}), Err(TokenError::NotYetValid)),
        (json!({"nbf": -1.5}), Ok(None)),
        (json!({"nbf": NOW + 1, "exp": NOW}), Err(TokenError::Expired)),
        (json!({"exp": NOW.to_string()}), Err(TokenError::NotADate("exp"))),
        (json!({"exp": null}), Err(TokenError::NotADate("exp"))),
        (json!({"exp": true}), Err(TokenError::NotADate("exp"))),
        (json!({"nbf": {}}), Err(TokenError::NotADate("nbf"))),
        (json!({}), Ok(None)),
    ] {
        assert_eq!(verified(&claims).map(|claims| claims.exp_ms), expected, "{claims}");
    }
}

#[test]
fn the_claim_has_two_names_and_the_namespaced_one_wins() {
    let publish = |claims: &Value| verified(claims).map(|claims| claims.mercure.publish);
    let list = |member: &str| Ok(Some(vec![member.to_owned()]));
    assert_eq!(publish(&json!({"mercure": {"publish": ["a"]}})), list("a"));
    assert_eq!(publish(&json!({"https://mercure.rocks/": {"publish": ["b"]}})), list("b"));
    let both = json!({"mercure": {"publish": ["a"]}, "https://mercure.rocks/": {"publish": ["b"]}});
    assert_eq!(publish(&both), list("b"));
    let emptied = json!({"mercure": {"publish": ["a"]}, "https://mercure.rocks/": {}});
    assert_eq!(publish(&emptied), Ok(None), "it wins also when it grants less");
    let nothing = json!({"mercure": {"publish": ["a"]}, "https://mercure.rocks/": null});
    assert_eq!(publish(&nothing), Ok(None), "or nothing");
}

#[test]
fn absent_lists_and_empty_ones_are_told_apart() {
    for (claims, expected) in [
        (json!({"sub": "x", "aud": ["y"], "iss": 7}), MercureClaim::default()),
        (json!({"mercure": null}), MercureClaim::default()),
        (json!({"mercure": {}}), MercureClaim::default()),
        (json!({"mercure": {"publish": null, "other": 1}}), MercureClaim::default()),
        (
            json!({"mercure": {"publish": []}}),
            MercureClaim { publish: Some(vec![]), ..MercureClaim::default() },
        ),
        (
            json!({"mercure": {"subscribe": ["a", "b"], "payload": {"n": [1]}}}),
            MercureClaim {
                publish: None,
                subscribe: Some(vec!["a".to_owned(), "b".to_owned()]),
                payload: Some(json!({"n": [1]})),
            },
        ),
    ] {
        assert_eq!(verified(&claims), Ok(LegacyClaims { mercure: expected, exp_ms: None }), "{claims}");
    }
}

#[test]
fn a_claim_of_another_shape_is_refused() {
    for name in ["mercure", "https://mercure.rocks/"] {
        for claim in [
            json!([]),
            json!([["*"], ["*"]]),
            json!("*"),
            json!(1),
            json!({"publish": "*"}),
            json!({"publish": {"0": "*"}}),
            json!({"publish": ["a", 1]}),
            json!({"subscribe": [null]}),
            json!({"subscribe": [["a"]]}),
        ] {
            let result = verified(&json!({ name: claim }));
            assert_eq!(result, Err(TokenError::WrongShape(name)), "{name}: {claim}");
        }
    }
}

#[test]
fn an_error_never_shows_the_token() {
    let token = signed(&json!({"exp": 1, "mercure": {"publish": ["topic-of-mine"]}}));
    let error = hs256().verify(&token, NOW_MS, &TokenRules::Legacy).expect_err("expired");
    assert!(token.split('.').all(|part| !error.to_string().contains(part)), "{error}");
    assert_eq!(format!("{:?}", hs256()), "VerificationKey(HS256)");
}

#[test]
fn a_key_that_could_never_verify_is_refused_at_once() {
    let refused = |algorithm, key: &str| VerificationKey::new(algorithm, key.as_bytes()).err();
    for (algorithm, key, error) in [
        (Algorithm::HS256, "", KeyError::Empty),
        (Algorithm::RS256, " \n", KeyError::Empty),
        (Algorithm::RS256, SECRET, KeyError::NotAPublicKey(Algorithm::RS256)),
        (Algorithm::RS256, RSA.0, KeyError::Private),
        (Algorithm::ES256, EC256.0, KeyError::Private),
        (Algorithm::RS256, EC256.1, KeyError::WrongKind(Algorithm::RS256)),
        (Algorithm::ES256, RSA.1, KeyError::WrongKind(Algorithm::ES256)),
        (Algorithm::ES256, EC384.1, KeyError::WrongKind(Algorithm::ES256)),
        (Algorithm::ES384, EC256.1, KeyError::WrongKind(Algorithm::ES384)),
        (Algorithm::EdDSA, EC256.1, KeyError::WrongKind(Algorithm::EdDSA)),
        (Algorithm::PS256, RSA_1024_PUBLIC, KeyError::RsaSize(1_024)),
        (Algorithm::HS512, RSA.0, KeyError::PemAsSecret(Algorithm::HS512)),
    ] {
        assert_eq!(refused(algorithm, key), Some(error), "{algorithm:?}");
    }
    let cut = RSA.1.replace('M', "");
    assert_eq!(refused(Algorithm::RS256, &cut), Some(KeyError::WrongKind(Algorithm::RS256)));
    let windows = RSA.1.replace('\n', "\r\n");
    assert_eq!(refused(Algorithm::RS256, &windows), None, "line ends of another system are no mistake");
}

/// RFC 7518, section 3.2: a key at least as long as the hash's output.
#[test]
fn a_short_secret_is_told() {
    for (algorithm, bytes) in [(Algorithm::HS256, 32), (Algorithm::HS384, 48), (Algorithm::HS512, 64)] {
        let is_short =
            |length| VerificationKey::from_secret(algorithm, &vec![b'x'; length]).map(|key| key.is_short());
        assert_eq!((is_short(bytes - 1), is_short(bytes)), (Ok(true), Ok(false)), "{algorithm:?}");
    }
}

#[test]
fn signing_takes_the_private_key_of_the_algorithm() {
    for (algorithm, (private, public)) in ALGORITHMS.into_iter().skip(3) {
        assert!(sign(&json!({}), private.as_bytes(), algorithm).is_ok(), "{algorithm:?}");
        for key in [SECRET, public] {
            assert!(sign(&json!({}), key.as_bytes(), algorithm).is_err(), "{algorithm:?}");
        }
    }
    assert_eq!(sign(&json!({}), b"", Algorithm::HS256), Err(SignError::Empty));
    let token = sign(&json!({}), SECRET.as_bytes(), Algorithm::HS384).expect("a token");
    let header = jsonwebtoken::decode_header(token).expect("a header");
    assert_eq!(header, Header::new(Algorithm::HS384));
}
