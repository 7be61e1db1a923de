//! The issuers of access tokens (draft 08): the one of `ISSUER`, those of `ISSUERS_FILE`, or that
//! of demo mode. Each role of an issuer has a key, or a key set.
//!
//! Invariants: issuers share no key set, and none with tokens of drafts 04 and 07; a key verifies
//! one algorithm (RFC 8725, section 3.1); no error contains a key.

use std::sync::Arc;

use jsonwebtoken::AlgorithmFamily;
use serde::Deserialize;

use super::configuration::DEMO_KEY;
use super::environment::Environment;
use super::keys::{Given, KeyOrigins, KeyPlaces, given, key, read_again, warn_of_plain, warn_of_weak};
use super::reader::Reader;
use super::setting::{Declared, Setting};
use super::settings::issuers::{
    ISSUER, ISSUER_PRIVATE_ADDRESSES, ISSUER_PUBLISHER_ALGORITHMS, ISSUER_PUBLISHER_JWKS_URL,
    ISSUER_PUBLISHER_KEY, ISSUER_PUBLISHER_KEY_FILE, ISSUER_SUBSCRIBER_ALGORITHMS,
    ISSUER_SUBSCRIBER_JWKS_URL, ISSUER_SUBSCRIBER_KEY, ISSUER_SUBSCRIBER_KEY_FILE, ISSUERS_FILE,
};
use super::texts::{SettingSource, Texts};
use super::urls;
use super::values::{self, Expected};
use crate::api::keyring::{Issuer, KeySource, SharedIssuers, SharedKeys};
use crate::limits::ISSUERS_MAX;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::token::{Algorithm, VerificationKey};
use crate::ops::host::read_key_file;
use crate::services::discovery::Discovery;
use crate::services::key_sets::{KeySetLocation, KeySetSource};
use crate::services::reload::{IssuersFile, IssuersRead};

/// The algorithms of a key set whose list is not given: those that the draft recommends.
const OF_KEY_SETS: [Algorithm; 3] = [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];

pub(super) const PUBLISHER: RoleSettings = RoleSettings {
    places: KeyPlaces {
        key: &ISSUER_PUBLISHER_KEY,
        file: &ISSUER_PUBLISHER_KEY_FILE,
        url: &ISSUER_PUBLISHER_JWKS_URL,
    },
    algorithms: &ISSUER_PUBLISHER_ALGORITHMS,
};
pub(super) const SUBSCRIBER: RoleSettings = RoleSettings {
    places: KeyPlaces {
        key: &ISSUER_SUBSCRIBER_KEY,
        file: &ISSUER_SUBSCRIBER_KEY_FILE,
        url: &ISSUER_SUBSCRIBER_JWKS_URL,
    },
    algorithms: &ISSUER_SUBSCRIBER_ALGORITHMS,
};

/// The settings of a role of `ISSUER`.
pub(super) struct RoleSettings {
    pub(super) places: KeyPlaces,
    pub(super) algorithms: &'static Setting<Vec<Algorithm>>,
}

/// One issuer of `ISSUERS_FILE`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IssuerEntry {
    pub(super) issuer: String,
    pub(super) publisher: Option<RoleEntry>,
    pub(super) subscriber: Option<RoleEntry>,
    advertise: Option<bool>,
}

/// A role of it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleEntry {
    pub(super) key: Option<String>,
    pub(super) key_file: Option<String>,
    jwks_url: Option<String>,
    #[serde(default)]
    algorithms: Vec<String>,
}

/// The issuers; `demo` is the name of the issuer of demo mode, which stands in if none is given.
pub(super) fn issuers(
    reader: &mut Reader<'_>,
    demo: Option<&PublicUrl>,
    origins: &mut KeyOrigins,
) -> (Vec<Issuer>, bool) {
    let allows_private = reader.value(&ISSUER_PRIVATE_ADDRESSES);
    let mut maker = Maker { allows_private, origins, fetched_before: &[] };
    let mut issuers = Vec::new();
    let has_file = reader.text(&ISSUERS_FILE).is_some();
    let has_one = reader.text(&ISSUER).is_some();
    issuers.extend(maker.of_settings(reader));
    match demo {
        _ if has_file && has_one => reader.error(&ISSUERS_FILE, None, "ISSUER or ISSUERS_FILE, not both"),
        _ if has_file => issuers = maker.of_file(reader).unwrap_or_default(),
        Some(public_url) if !has_one => issuers.push(demo_issuer(reader, public_url)),
        _ => {}
    }
    (issuers, allows_private)
}

/// The issuer of demo mode: the hub's own URL, with the well-known key. The key of 0.x has the same
/// value, as MERCURE-1.0, section 12.1, allows: `typ` keeps their tokens apart, and a second value
/// that everybody knows would protect nothing.
fn demo_issuer(reader: &mut Reader<'_>, public_url: &PublicUrl) -> Issuer {
    let source = key(reader, &ISSUER_PUBLISHER_KEY, DEMO_KEY, Algorithm::HS256).map(KeySource::Fixed);
    let name = public_url.as_str().into();
    Issuer { name, publisher: source.clone(), subscriber: source, is_advertised: false }
}

/// Reads the issuers of a file like `ISSUERS_FILE` again, while the hub runs. The key sets that it
/// has in common with `fetched_before` are those.
///
/// # Errors
/// Each text names what is wrong, and holds no key.
fn read_again_all(
    path: &str,
    allows_private: bool,
    fetched_before: &[KeySetSource],
) -> Result<IssuersRead, Vec<String>> {
    let mut texts = Texts::default();
    texts.set(ISSUERS_FILE.name, path, SettingSource::Default);
    let environment = Environment { read_file: &read_key_file, cpus: &[], memory: None, variables: &[] };
    let mut reader = Reader::new(&texts, &environment);
    let mut origins = KeyOrigins::default();
    let issuers = Maker { allows_private, origins: &mut origins, fetched_before }.of_file(&mut reader);
    let (issuers, warnings) = reader
        .finish(issuers)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let KeyOrigins { sets: key_sets, files: key_files } = origins;
    Ok(IssuersRead { issuers: issuers.into(), key_sets, key_files, warnings })
}

/// `ISSUERS_FILE`, to be read again, and the issuers that it has now; `None` if it is not set.
pub(super) fn issuers_file(
    reader: &Reader<'_>,
    allows_private: bool,
    issuers: &Arc<[Issuer]>,
) -> Option<IssuersFile> {
    Some(IssuersFile {
        name: ISSUERS_FILE.name,
        path: reader.text(&ISSUERS_FILE)?.into(),
        allows_private,
        issuers: SharedIssuers::new(Arc::clone(issuers)),
        read: read_again_all,
    })
}

struct Maker<'o> {
    allows_private: bool,
    origins: &'o mut KeyOrigins,
    /// Key sets that are fetched already.
    fetched_before: &'o [KeySetSource],
}

impl Maker<'_> {
    /// The issuer of `ISSUER`.
    fn of_settings(&mut self, reader: &mut Reader<'_>) -> Option<Issuer> {
        let name = reader.given(&ISSUER);
        let [publisher, subscriber] = [&PUBLISHER, &SUBSCRIBER].map(|role| {
            let allowed = reader.given(role.algorithms);
            (given(reader, &role.places), allowed)
        });
        if reader.text(&ISSUER).is_none() {
            let parts = [&PUBLISHER, &SUBSCRIBER].into_iter().flat_map(RoleSettings::parts);
            if let Some(part) = { parts }.find(|part| reader.text(*part).is_some()) {
                reader.error(&ISSUER, None, format!("the issuer of {}", part.name()));
            }
            return None;
        }
        let has_none = [&publisher, &subscriber].map(|(given, _)| matches!(given, Given::Nothing));
        if has_none[0] != has_none[1] {
            let (missing, other) =
                if has_none[0] { (&PUBLISHER, &SUBSCRIBER) } else { (&SUBSCRIBER, &PUBLISHER) };
            let expected = format!(
                "a key or a key set, too, since the other role has one ({} …): both or neither",
                other.places.key.name()
            );
            reader.error(missing.places.key, None, expected);
            return None;
        }
        let name = name?;
        let publisher = self.source(reader, PUBLISHER.algorithms, &name, publisher);
        let subscriber = self.source(reader, SUBSCRIBER.algorithms, &name, subscriber);
        Some(issuer(name, publisher, subscriber, None))
    }

    /// The issuers of `ISSUERS_FILE`; `None` after an error.
    fn of_file(&mut self, reader: &mut Reader<'_>) -> Option<Vec<Issuer>> {
        let path = reader.text(&ISSUERS_FILE)?;
        let entries = read_entries(reader.environment, path);
        let entries = entries.map_err(|expected| reader.error(&ISSUERS_FILE, Some(path), expected)).ok()?;
        let mut issuers: Vec<Issuer> = Vec::new();
        for entry in entries {
            let name = entry.issuer.clone();
            let is_known = issuers.iter().any(|other| *other.name == *name);
            let made = if is_known {
                Err("two issuers of one name".to_owned())
            } else {
                self.of_entry(reader, entry)
            };
            match made {
                Ok(issuer) => issuers.push(issuer),
                Err(what) => {
                    let expected = format!("valid issuers: {name:?}: {what}");
                    reader.error(&ISSUERS_FILE, Some(path), expected);
                }
            }
        }
        Some(issuers)
    }

    fn of_entry(&mut self, reader: &mut Reader<'_>, entry: IssuerEntry) -> Result<Issuer, String> {
        let IssuerEntry { issuer: name, publisher, subscriber, advertise } = entry;
        let name = urls::identifier(&name).map_err(|expected| format!("\"issuer\": expected {expected}"))?;
        // An issuer without roles has both. One with a role has that alone.
        let roles = match (publisher, subscriber) {
            (None, None) => [Some(RoleEntry::default()), Some(RoleEntry::default())],
            (publisher, subscriber) => [publisher, subscriber],
        };
        let mut sources = [const { None }; 2];
        for ((source, role), label) in sources.iter_mut().zip(roles).zip(["publisher", "subscriber"]) {
            let Some(role) = role else { continue };
            let made = self.of_role(reader, &name, &role);
            *source = Some(made.map_err(|what| format!("\"{label}\": {what}"))?);
        }
        let [publisher, subscriber] = sources;
        Ok(issuer(name, publisher, subscriber, advertise))
    }

    fn of_role(
        &mut self,
        reader: &mut Reader<'_>,
        name: &str,
        role: &RoleEntry,
    ) -> Result<KeySource, String> {
        let allowed = role.allowed()?;
        let made = |text: &str| {
            let algorithm = only_one(allowed.as_deref())?;
            VerificationKey::new(algorithm, text.as_bytes())
                .map_err(|error| format!("expected a key for {algorithm:?}: {error}"))
        };
        match (&role.key, &role.key_file, &role.jwks_url) {
            (Some(text), None, None) => {
                let key = made(text)?;
                warn_of_weak(reader, &format!("a key of the issuer {name:?}"), &key, text);
                Ok(KeySource::Fixed(key))
            }
            (None, Some(path), None) => {
                let text = (reader.environment.read_file)(path)
                    .map_err(|error| format!("the file {path:?} cannot be read: {error}"))?;
                let text = text.trim_end_matches(['\r', '\n']);
                let key = made(text)?;
                warn_of_weak(reader, &format!("a key of the issuer {name:?}"), &key, text);
                let files = &mut self.origins.files;
                Ok(KeySource::File(read_again(ISSUERS_FILE.name, path.into(), key, files)))
            }
            (None, None, Some(url)) => {
                let url =
                    urls::key_set(url).map_err(|expected| format!("\"jwks_url\": expected {expected}"))?;
                warn_of_plain(reader, &format!("a key set of {}", ISSUERS_FILE.name), &url);
                self.fetched(name, KeySetLocation::Url(url), allowed)
            }
            (None, None, None) => self.discovered(name, allowed),
            _ => Err("expected one of \"key\", \"key_file\" and \"jwks_url\"".to_owned()),
        }
    }

    /// The source of a role of `ISSUER`.
    fn source(
        &mut self,
        reader: &mut Reader<'_>,
        setting: &'static Setting<Vec<Algorithm>>,
        name: &str,
        (given, allowed): (Given, Option<Vec<Algorithm>>),
    ) -> Option<KeySource> {
        let source = match given {
            Given::Wrong => return None,
            Given::Nothing => self.discovered(name, allowed),
            Given::Url(url) => self.fetched(name, KeySetLocation::Url(url), allowed),
            Given::Key(place, text) => match only_one(allowed.as_deref()) {
                Ok(algorithm) => return key(reader, place, &text, algorithm).map(KeySource::Fixed),
                Err(expected) => Err(expected),
            },
            Given::File(place, path, text) => match only_one(allowed.as_deref()) {
                Ok(algorithm) => {
                    let key = key(reader, place, &text, algorithm)?;
                    return Some(KeySource::File(read_again(
                        place.name(),
                        path,
                        key,
                        &mut self.origins.files,
                    )));
                }
                Err(expected) => Err(expected),
            },
        };
        source.map_err(|expected| reader.error(setting, reader.text(setting), expected)).ok()
    }

    fn discovered(&mut self, name: &str, allowed: Option<Vec<Algorithm>>) -> Result<KeySource, Expected> {
        let discovery = Discovery { issuer: name.into(), allows_private: self.allows_private };
        if discovery.metadata_url().is_err() {
            return Err(format!(
                "a key or a key set for the issuer {name:?}: only an https:// URL without a query has metadata \
                 that name one"
            ));
        }
        self.fetched(name, KeySetLocation::Metadata(discovery), allowed)
    }

    /// A key set; both roles of an issuer share it if it is the same.
    fn fetched(
        &mut self,
        name: &str,
        location: KeySetLocation,
        allowed: Option<Vec<Algorithm>>,
    ) -> Result<KeySource, Expected> {
        let allowed = allowed.unwrap_or_else(|| OF_KEY_SETS.to_vec());
        if allowed.iter().any(|algorithm| algorithm.family() == AlgorithmFamily::Hmac) {
            return Err("algorithms with a public key: no shared secret is taken from a key set".to_owned());
        }
        let is_same = |set: &&KeySetSource| {
            set.issuer.as_deref() == Some(name) && set.location == location && set.allowed == allowed
        };
        if let Some(set) = self.origins.sets.iter().find(is_same) {
            return Ok(KeySource::Fetched(Arc::clone(&set.keys)));
        }
        let before = self.fetched_before.iter().find(is_same).map(|set| Arc::clone(&set.keys));
        let keys = before.unwrap_or_else(SharedKeys::new);
        let set = KeySetSource { issuer: Some(name.into()), location, allowed, keys: Arc::clone(&keys) };
        self.origins.sets.push(set);
        Ok(KeySource::Fetched(keys))
    }
}

impl RoleEntry {
    /// The algorithms, if they are listed.
    pub(super) fn allowed(&self) -> Result<Option<Vec<Algorithm>>, Expected> {
        match self.algorithms.is_empty() {
            true => Ok(None),
            false => values::algorithms(&self.algorithms.join(",")).map(Some),
        }
    }
}

/// The issuers of a file like `ISSUERS_FILE`.
pub(super) fn read_entries(environment: &Environment<'_>, path: &str) -> Result<Vec<IssuerEntry>, Expected> {
    let text = (environment.read_file)(path);
    let text = text.map_err(|error| format!("a file that can be read: {error}"))?;
    // The text of the parser may quote a key: only its place is shown.
    let entries = serde_json::from_str::<Vec<IssuerEntry>>(&text).map_err(|error| {
        format!(
            "a JSON list of issuers, as in docs/configuration.md: not so at line {}, column {}",
            error.line(),
            error.column()
        )
    })?;
    match entries.len() {
        1..=ISSUERS_MAX => Ok(entries),
        count => Err(format!("1 to {ISSUERS_MAX} issuers, not {count}")),
    }
}

impl RoleSettings {
    fn parts(&self) -> [&'static dyn Declared; 4] {
        let KeyPlaces { key, file, url } = self.places;
        [key, file, url, self.algorithms]
    }
}

fn issuer(
    name: String,
    publisher: Option<KeySource>,
    subscriber: Option<KeySource>,
    advertise: Option<bool>,
) -> Issuer {
    let sources = [&publisher, &subscriber].into_iter().flatten();
    // An issuer with a key set is an authorization server; one with a key is an application.
    let has_set = { sources }.any(|source| matches!(source, KeySource::Fetched(_)));
    Issuer { name: name.into(), publisher, subscriber, is_advertised: advertise.unwrap_or(has_set) }
}

/// The one algorithm of a key.
pub(super) fn only_one(allowed: Option<&[Algorithm]>) -> Result<Algorithm, Expected> {
    match allowed {
        None => Ok(Algorithm::HS256),
        Some([one]) => Ok(*one),
        Some(_) => Err("one algorithm: a key has one (RFC 8725, section 3.1)".to_owned()),
    }
}
