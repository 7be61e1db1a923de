//! The keys of the two roles: from the role's own setting, from the common one, or from demo mode.
//! Each is a key, or the URL of a key set.

use std::path::PathBuf;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use url::Url;

use super::configuration::DEMO_KEY;
use super::reader::Reader;
use super::setting::{Declared, Setting};
use super::settings::authorization::{
    JWKS_URL, JWT_ALGORITHM, JWT_KEY, JWT_KEY_FILE, PUBLISHER_JWKS_URL, PUBLISHER_JWT_ALGORITHM,
    PUBLISHER_JWT_KEY, PUBLISHER_JWT_KEY_FILE, SUBSCRIBER_JWKS_URL, SUBSCRIBER_JWT_ALGORITHM,
    SUBSCRIBER_JWT_KEY, SUBSCRIBER_JWT_KEY_FILE,
};
use super::urls;
use crate::api::keyring::{KeySource, SharedKey, SharedKeys};
use crate::mercure::token::VerificationKey;
use crate::services::key_sets::{KeySetLocation, KeySetSource};
use crate::services::reload::KeyFile;

/// The settings that can hold the key of a role.
#[derive(Clone, Copy)]
pub(super) struct KeyPlaces {
    pub(super) key: &'static Setting<String>,
    pub(super) file: &'static Setting<PathBuf>,
    pub(super) url: &'static Setting<Url>,
}

/// The settings of a role, or of both.
pub(super) struct KeySettings {
    pub(super) places: KeyPlaces,
    pub(super) algorithm: &'static Setting<Algorithm>,
}

pub(super) const BOTH: KeySettings = KeySettings {
    places: KeyPlaces { key: &JWT_KEY, file: &JWT_KEY_FILE, url: &JWKS_URL },
    algorithm: &JWT_ALGORITHM,
};
const PUBLISHER: KeySettings = KeySettings {
    places: KeyPlaces { key: &PUBLISHER_JWT_KEY, file: &PUBLISHER_JWT_KEY_FILE, url: &PUBLISHER_JWKS_URL },
    algorithm: &PUBLISHER_JWT_ALGORITHM,
};
const SUBSCRIBER: KeySettings = KeySettings {
    places: KeyPlaces { key: &SUBSCRIBER_JWT_KEY, file: &SUBSCRIBER_JWT_KEY_FILE, url: &SUBSCRIBER_JWKS_URL },
    algorithm: &SUBSCRIBER_JWT_ALGORITHM,
};

/// The content of the settings for a key.
#[derive(Clone)]
pub(super) enum Given {
    Nothing,
    /// It is set but invalid. The error is already reported, so a role that would use it reports no
    /// other.
    Wrong,
    /// The setting, and the key.
    Key(&'static dyn Declared, String),
    /// The setting, its file, and the key in it.
    File(&'static dyn Declared, PathBuf, String),
    /// The URL of a key set.
    Url(Url),
}

impl Given {
    fn or(self, other: &Self) -> Self {
        if matches!(self, Self::Nothing) { other.clone() } else { self }
    }
}

/// The keys of the roles; `None` for one that is missing or invalid.
#[derive(Default)]
pub(super) struct Keys {
    pub(super) publisher: Option<KeySource>,
    pub(super) subscriber: Option<KeySource>,
    /// The sources of those that can be read again.
    pub(super) origins: KeyOrigins,
}

/// The sources that can be read again while the hub runs, each once.
#[derive(Default)]
pub(super) struct KeyOrigins {
    pub(super) sets: Vec<KeySetSource>,
    pub(super) files: Vec<KeyFile>,
}

/// The keys of publishers and of subscribers. `has_demo_key` is whether demo mode adds its own.
pub(super) fn keys(reader: &mut Reader<'_>, has_demo_key: bool) -> Keys {
    let [for_both, for_publisher, for_subscriber] =
        [&BOTH, &PUBLISHER, &SUBSCRIBER].map(|settings| given(reader, &settings.places));
    let [common, own_publisher, own_subscriber] =
        [&BOTH, &PUBLISHER, &SUBSCRIBER].map(|settings| reader.given(settings.algorithm));
    let (mut for_publisher, mut for_subscriber) = (for_publisher.or(&for_both), for_subscriber.or(&for_both));
    if has_demo_key {
        let demo_key = Given::Key(&JWT_KEY, DEMO_KEY.to_owned());
        (for_publisher, for_subscriber) = (demo_key.clone(), demo_key);
    }
    let mut origins = KeyOrigins::default();
    let publisher = source(reader, &PUBLISHER, for_publisher, (own_publisher, common), &mut origins);
    let subscriber = source(reader, &SUBSCRIBER, for_subscriber, (own_subscriber, common), &mut origins);
    Keys { publisher, subscriber, origins }
}

/// The source of the key for a role's tokens. `own` is the algorithm of the role's own setting,
/// `common` that of both roles.
fn source(
    reader: &mut Reader<'_>,
    settings: &KeySettings,
    given: Given,
    (own, common): (Option<Algorithm>, Option<Algorithm>),
    origins: &mut KeyOrigins,
) -> Option<KeySource> {
    let algorithm = own.or(common).unwrap_or(Algorithm::HS256);
    match given {
        Given::Wrong => None,
        Given::Nothing => {
            let expected = "a key in JWT_KEY (for both roles) or here, or the address of a key set in JWKS_URL; \
                            `openssl rand -base64 48` makes a key. To try the hub, start it with DEMO=1, which \
                            adds its own public key only where no key and no issuer is set";
            reader.error(settings.places.key, None, expected);
            None
        }
        Given::Key(setting, text) => key(reader, setting, &text, algorithm).map(KeySource::Fixed),
        Given::File(setting, path, text) => {
            let key = key(reader, setting, &text, algorithm)?;
            Some(KeySource::File(read_again(setting.name(), path, key, &mut origins.files)))
        }
        Given::Url(url) => {
            let is_public = |algorithm: &Algorithm| algorithm.family() != AlgorithmFamily::Hmac;
            if own.is_some_and(|own| !is_public(&own)) {
                let expected = "an algorithm with a public key: no shared secret is taken from a key set";
                reader.error(settings.algorithm, reader.text(settings.algorithm), expected);
                return None;
            }
            // A common algorithm with a shared secret belongs to the other role's key.
            let allowed = own.or(common.filter(is_public)).into_iter().collect();
            Some(KeySource::Fetched(shared(url, allowed, &mut origins.sets)))
        }
    }
}

pub(super) fn key(
    reader: &mut Reader<'_>,
    setting: &dyn Declared,
    text: &str,
    algorithm: Algorithm,
) -> Option<VerificationKey> {
    // A key for both roles is reported once.
    match VerificationKey::new(algorithm, text.as_bytes()) {
        Ok(key) => {
            warn_of_weak(reader, setting.name(), &key, text);
            Some(key)
        }
        Err(error) => {
            reader.error_once(setting, format!("a key for {algorithm:?}: {error}"));
            None
        }
    }
}

/// Warns of a key that others may know or guess. `name` says where it is from.
pub(super) fn warn_of_weak(reader: &mut Reader<'_>, name: &str, key: &VerificationKey, text: &str) {
    if key.is_short() {
        let algorithm = key.algorithm();
        reader.warn_once(format!(
            "{name} is shorter than the output of {algorithm:?}'s hash: use a longer one"
        ));
    }
    if text == DEMO_KEY {
        reader.warn_once("tokens are verified with the demo key, which is public".to_owned());
    }
}

/// A key as text, from its variable or its file, or the URL of a key set; only one of the three may
/// be set.
pub(super) fn given(reader: &mut Reader<'_>, places: &KeyPlaces) -> Given {
    let KeyPlaces { key, file, url } = places;
    let ways: [&'static dyn Declared; 3] = [*key, *file, *url];
    let set: Vec<_> = ways.into_iter().filter(|way| reader.text(*way).is_some()).collect();
    if let [_, second, ..] = set[..] {
        let names: Vec<_> = set.iter().map(|way| way.name()).collect();
        reader.error(second, None, format!("{}, not both", names.join(" or ")));
        return Given::Wrong;
    }
    if let Some(text) = reader.text(*key) {
        return Given::Key(*key, text.to_owned());
    }
    if let Some(path) = reader.text(*file) {
        return match (reader.environment.read_file)(path) {
            Ok(text) => Given::File(*file, path.into(), text.trim_end_matches(['\r', '\n']).to_owned()),
            Err(error) => {
                reader.error(*file, Some(path), format!("a file that can be read: {error}"));
                Given::Wrong
            }
        };
    }
    match reader.given(*url) {
        None if set.is_empty() => Given::Nothing,
        None => Given::Wrong,
        Some(address) => {
            warn_of_plain(reader, url.name, &address);
            Given::Url(address)
        }
    }
}

/// Warns of a key set that is fetched over a network without TLS.
pub(super) fn warn_of_plain(reader: &mut Reader<'_>, name: &str, address: &Url) {
    if address.scheme() == "http" && !urls::is_this_host(address) {
        reader.warn(format!(
            "{name} is fetched without TLS: an attacker on the network can replace the keys and forge tokens"
        ));
    }
}

/// The key of this file; both roles share it if they name the same file.
pub(super) fn read_again(
    name: &'static str,
    path: PathBuf,
    key: VerificationKey,
    files: &mut Vec<KeyFile>,
) -> Arc<SharedKey> {
    let algorithm = key.algorithm();
    if let Some(file) = files.iter().find(|file| file.path == path && file.key.algorithm() == algorithm) {
        return Arc::clone(&file.key);
    }
    let key = SharedKey::new(key);
    files.push(KeyFile { name, path, key: Arc::clone(&key) });
    key
}

/// The set of this URL; both roles share it if they name the same URL.
fn shared(url: Url, allowed: Vec<Algorithm>, sets: &mut Vec<KeySetSource>) -> Arc<SharedKeys> {
    let location = KeySetLocation::Url(url);
    let is_same =
        |set: &&KeySetSource| set.issuer.is_none() && set.location == location && set.allowed == allowed;
    if let Some(set) = sets.iter().find(is_same) {
        return Arc::clone(&set.keys);
    }
    let keys = SharedKeys::new();
    sets.push(KeySetSource { issuer: None, location, allowed, keys: Arc::clone(&keys) });
    keys
}
