//! Tokens: only what was signed with the key is accepted, and only as it was signed.
//!
//! An input that begins with `{` is a header, a line break and claims; they are signed here, so
//! that the checks after the signature are reached. Another input is a token as a client sends it.

use std::sync::LazyLock;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use petasos::mercure::audience::Authorization;
use petasos::mercure::grant::Grant;
use petasos::mercure::public_url::PublicUrl;
use petasos::mercure::token::{
    AccessRules, Algorithm, KeySet, LegacyClaims, TokenForm, TokenRules, VerificationKey,
};
use serde_json::Value;

const SECRET: &[u8] = b"a shared secret of at least thirty-two bytes";
const ISSUER: &str = "https://e.x";
const HUB: &str = "https://hub.e.x/.well-known/mercure";
/// Unix time, in seconds.
const NOW: u64 = 1_700_000_000;
const NOW_MS: u64 = NOW * 1_000;

/// Every algorithm with its key, and the one token that was signed with it.
const SIGNED: [(Algorithm, &str, &str); 12] = [
    (Algorithm::HS256, "", include_str!("../../seeds/token/hs256")),
    (Algorithm::HS384, "", include_str!("../../seeds/token/hs384")),
    (Algorithm::HS512, "", include_str!("../../seeds/token/hs512")),
    (Algorithm::RS256, RSA, include_str!("../../seeds/token/rs256")),
    (Algorithm::RS384, RSA, include_str!("../../seeds/token/rs384")),
    (Algorithm::RS512, RSA, include_str!("../../seeds/token/rs512")),
    (Algorithm::PS256, RSA, include_str!("../../seeds/token/ps256")),
    (Algorithm::PS384, RSA, include_str!("../../seeds/token/ps384")),
    (Algorithm::PS512, RSA, include_str!("../../seeds/token/ps512")),
    (Algorithm::ES256, ES256, include_str!("../../seeds/token/es256")),
    (Algorithm::ES384, ES384, include_str!("../../seeds/token/es384")),
    (Algorithm::EdDSA, ED25519, include_str!("../../seeds/token/eddsa")),
];
const RSA: &str = include_str!("../../../tests/data/keys/rsa-public.pem");
const ES256: &str = include_str!("../../../tests/data/keys/ec256-public.pem");
const ES384: &str = include_str!("../../../tests/data/keys/ec384-public.pem");
const ED25519: &str = include_str!("../../../tests/data/keys/ed25519-public.pem");

/// The keys, and the token of each.
static KEYS: LazyLock<Vec<(VerificationKey, &str)>> = LazyLock::new(|| {
    let key = |(algorithm, pem, token): (Algorithm, &str, _)| {
        let key = if pem.is_empty() { SECRET } else { pem.as_bytes() };
        (VerificationKey::new(algorithm, key).expect("a key"), token)
    };
    SIGNED.into_iter().map(key).collect()
});

/// The property, for any bytes.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.starts_with('{') {
        let (header, claims) = text.split_once('\n').unwrap_or((text, "{}"));
        check_signed(header, claims);
        // A key set of an issuer is a document of a stranger, too.
        if let Ok(keys) = KeySet::parse(bytes, &[]) {
            KEYS.iter().for_each(|(_, token)| drop(keys.verify(token, NOW_MS, &TokenRules::Legacy)));
        }
    } else {
        check_token(text);
    }
}

/// A token as a client sends it. Nothing here is signed, except the token of each key.
fn check_token(token: &str) {
    for (key, signed) in &*KEYS {
        let verified = key.verify(token, NOW_MS, &TokenRules::Legacy);
        assert_eq!(verified.is_ok(), token == *signed, "{:?}: {token}", key.algorithm());
    }
}

/// A header and claims with a signature that is the key's.
fn check_signed(header: &str, claims: &str) {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
    for (key, _) in &KEYS[1..] {
        assert!(
            key.verify(&token, NOW_MS, &TokenRules::Legacy).is_err(),
            "only its own algorithm: {:?}",
            key.algorithm()
        );
    }
    check_access(&token, claims);
    let Ok(accepted) = KEYS[0].0.verify(&token, NOW_MS, &TokenRules::Legacy) else { return };
    assert_eq!(TokenForm::of(&token), Ok(TokenForm::Legacy), "a token has one form");
    let accepted = accepted.legacy().expect("a legacy token");
    let header: Value = serde_json::from_str(header).expect("an accepted header is JSON");
    assert_eq!(header["alg"], "HS256");
    for forbidden in ["jwk", "jku", "x5u", "crit"] {
        assert!(header.get(forbidden).is_none_or(Value::is_null), "{forbidden} is refused");
    }
    let claims: Value = serde_json::from_str(claims).expect("accepted claims are JSON");
    assert!(claims.is_object());
    let date = |name: &str| claims.get(name).map(|date| date.as_f64().expect("an accepted date is a number"));
    assert!(date("exp").is_none_or(|exp| exp > NOW as f64), "it has not expired");
    assert!(date("nbf").is_none_or(|nbf| nbf <= NOW as f64), "it is valid already");
    check_rights(&claims, accepted);
}

/// The same token, by the rules of draft 08: it is accepted only with everything that they ask for.
fn check_access(token: &str, claims: &str) {
    let rules = TokenRules::Access(AccessRules {
        issuer: ISSUER.into(),
        audiences: [Box::from(HUB)].into(),
        public_url: PublicUrl::parse(HUB).expect("a URL"),
    });
    let Ok(accepted) = KEYS[0].0.verify(token, NOW_MS, &rules) else { return };
    assert_eq!(TokenForm::of(token), Ok(TokenForm::Access), "a token has one form");
    let claims: Value = serde_json::from_str(claims).expect("accepted claims are JSON");
    assert_eq!(claims["iss"], ISSUER);
    assert!(claims["exp"].as_f64().is_some_and(|exp| exp > NOW as f64), "it has not expired");
    assert!(claims["aud"] == HUB || claims["aud"].as_array().is_some_and(|list| list.contains(&HUB.into())));
    assert!(claims.get("cnf").is_none());
    let entries = accepted.access().expect("an access token").details.len();
    let grant = Grant::from_claims(&accepted, Authorization::Targets).expect("a grant");
    assert!(entries > 0 || !grant.may_publish_anything(), "nothing is granted by default");
}

/// The rights are those that the claims list, and nothing else.
fn check_rights(claims: &Value, accepted: &LegacyClaims) {
    let listed = |right: &str| {
        let claim = claims.get("https://mercure.rocks/").into_iter().chain(claims.get("mercure"));
        let lists: Vec<&Value> = claim.filter_map(|claim| claim.get(right)).collect();
        lists
    };
    for (right, granted) in
        [("publish", &accepted.mercure.publish), ("subscribe", &accepted.mercure.subscribe)]
    {
        if let Some(granted) = granted {
            let granted = Value::from(granted.clone());
            assert!(listed(right).contains(&&granted), "{right}: {granted} is not in the claims");
        }
    }
    for authorization in [Authorization::Selectors, Authorization::Targets] {
        if let Ok(grant) = Grant::from_claims(&accepted.clone().into(), authorization) {
            let may_publish = grant.may_publish_anything();
            assert!(!may_publish || accepted.mercure.publish.is_some(), "nothing is granted by default");
        }
    }
}
