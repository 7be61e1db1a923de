//! Which dialects the hub speaks: `PROTOCOL`, or what follows from the keys that are configured.
//!
//! Invariant: what contradicts is an error that names the setting; nothing is ignored silently.

use super::reader::Reader;
use super::setting::Declared;
use super::settings::authorization::{
    AUTHORIZATION, JWKS_URL, JWT_KEY, JWT_KEY_FILE, PUBLISHER_JWKS_URL, PUBLISHER_JWT_KEY,
    PUBLISHER_JWT_KEY_FILE, SUBSCRIBER_JWKS_URL, SUBSCRIBER_JWT_KEY, SUBSCRIBER_JWT_KEY_FILE,
};
use super::settings::issuers::{ISSUER, ISSUERS_FILE, PROTOCOL};
use super::written;
use crate::mercure::audience::Authorization;
use crate::mercure::dialect::Dialects;

/// The settings that give tokens of drafts 04 and 07 a key.
const LEGACY_KEYS: [&dyn Declared; 9] = [
    &JWT_KEY,
    &JWT_KEY_FILE,
    &JWKS_URL,
    &PUBLISHER_JWT_KEY,
    &PUBLISHER_JWT_KEY_FILE,
    &PUBLISHER_JWKS_URL,
    &SUBSCRIBER_JWT_KEY,
    &SUBSCRIBER_JWT_KEY_FILE,
    &SUBSCRIBER_JWKS_URL,
];
const ISSUERS: [&dyn Declared; 2] = [&ISSUER, &ISSUERS_FILE];

/// Whether no key and no issuer is given. Only then does demo mode add its own, whose key is
/// public: beside one of the operator's, it would let everyone in.
pub(super) fn has_no_keys(reader: &Reader<'_>) -> bool {
    LEGACY_KEYS.into_iter().chain(ISSUERS).all(|setting| reader.text(setting).is_none())
}

/// The dialects, and the errors in what they follow from.
pub(super) fn dialects(reader: &mut Reader<'_>, demo: bool) -> Dialects {
    let given = reader.given(&PROTOCOL);
    let authorization = reader.given(&AUTHORIZATION);
    let key = LEGACY_KEYS.into_iter().find(|key| reader.text(*key).is_some());
    let issuer = ISSUERS.into_iter().find(|issuer| reader.text(*issuer).is_some());
    let Some(dialects) = given else {
        let has_draft08 = issuer.is_some() || demo && key.is_none();
        let has_legacy = key.is_some() || issuer.is_none() || authorization == Some(Authorization::Targets);
        let legacy = has_legacy.then(|| authorization.unwrap_or_default());
        return match (legacy, has_draft08) {
            (Some(legacy), false) => Dialects::legacy(legacy),
            (legacy, _) => Dialects::with_draft08(legacy),
        };
    };
    let text = written::dialects(dialects);
    let legacy = dialects.legacy_authorization();
    if authorization.is_some() && authorization != legacy {
        let expected = match legacy {
            Some(Authorization::Targets) => format!("targets, or nothing, with PROTOCOL={text}"),
            Some(Authorization::Selectors) => format!("selectors, or nothing, with PROTOCOL={text}"),
            None => format!("nothing with PROTOCOL={text}"),
        };
        reader.error(&AUTHORIZATION, reader.text(&AUTHORIZATION), expected);
    }
    if let (Some(key), None) = (key, legacy) {
        let expected = format!(
            "nothing with PROTOCOL={text}: it verifies only tokens of drafts 04 and 07. Name an ISSUER with its \
             own key, or set PROTOCOL=07,08"
        );
        reader.error(key, None, expected);
    }
    if let (Some(issuer), false) = (issuer, dialects.has_draft08()) {
        let expected = format!("nothing with PROTOCOL={text}: only tokens of draft 08 have an issuer");
        reader.error(issuer, None, expected);
    }
    // The issuer of demo mode has a public key: it is added only where no key is given.
    if dialects.has_draft08() && issuer.is_none() && !(demo && key.is_none()) {
        let expected = format!(
            "the issuer of the tokens, or several in ISSUERS_FILE: PROTOCOL={text} includes 08, whose tokens \
             no JWT_KEY verifies"
        );
        reader.error(&ISSUER, None, expected);
    }
    dialects
}
