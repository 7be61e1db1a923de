//! What `petasos token` takes from the settings of a hub: the issuer of a token of 1.0, its
//! resource and the key to sign it with.
//!
//! The settings hold keys that verify. A shared secret signs, too; of a public key, the private one
//! has to be given. Invariant: a key signs for its own issuer and role only, so that no token is
//! made that the hub refuses.

use std::fmt;

use super::DEMO_KEY;
use super::access::demo_url;
use super::environment::Environment;
use super::error::ConfigError;
use super::issuers::{self, IssuerEntry, RoleEntry, only_one, read_entries};
use super::keys::{self, Given, given};
use super::protocol::has_no_keys;
use super::reader::Reader;
use super::setting::Declared;
use super::settings;
use super::settings::issuers::{ISSUER, ISSUERS_FILE, PUBLIC_URL, RESOURCE_IDENTIFIER};
use super::settings::listening::ADDR;
use super::texts::{SettingSource, Texts};
use super::values::Expected;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::token::{Algorithm, KeyError, VerificationKey};
use crate::ops::host::read_key_file;

/// The settings of the environment, as far as they are about tokens.
pub(crate) struct SigningSettings {
    texts: Texts,
    is_demo: bool,
}

/// For whom a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SigningRole {
    Publisher,
    Subscriber,
}

/// A key with its algorithm. It is secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningKey {
    pub(crate) text: String,
    pub(crate) algorithm: Algorithm,
}

/// Why the settings have no key to sign with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SigningError {
    #[error("{0}")]
    Setting(ConfigError),
    #[error(
        "ADDR has port 0: only the running hub knows its port. Expected PUBLIC_URL, as the hub's metadata show it"
    )]
    AnyPort,
    #[error("ISSUERS_FILE: expected {0}")]
    File(Expected),
    #[error("ISSUERS_FILE: {issuer:?}: expected {expected}")]
    Entry { issuer: String, expected: Expected },
    #[error(
        "expected an issuer: --issuer, ISSUER, an ISSUERS_FILE with one issuer, or DEMO=1, which adds one only \
         where no key and no issuer is set"
    )]
    NoIssuer,
    #[error(
        "expected a key to sign with as a {role} of {issuer:?}: --key, --key-file, or that issuer with its key in \
         ISSUER or ISSUERS_FILE. JWT_KEY is the key of 0.x tokens"
    )]
    UnknownIssuer { issuer: String, role: SigningRole },
    #[error("{issuer:?} has no {role} in ISSUERS_FILE: its tokens have no such right")]
    NoRole { issuer: String, role: SigningRole },
    #[error(
        "the settings have no key that signs as a {role} of {issuer:?}, at most a public key or a key set: \
         expected a shared secret there, as in ISSUER_PUBLISHER_KEY and ISSUER_SUBSCRIBER_KEY, or the issuer's \
         private key in --key or --key-file"
    )]
    OnlyVerifies { issuer: String, role: SigningRole },
    #[error("expected {0}")]
    Key(KeyError),
}

impl fmt::Display for SigningRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publisher => "publisher",
            Self::Subscriber => "subscriber",
        })
    }
}

/// The key of a role of an issuer, as the settings have it.
struct RoleKey {
    /// A shared secret or a public key; `None` for a key set.
    text: Option<String>,
    allowed: Option<Vec<Algorithm>>,
}

impl SigningSettings {
    /// Takes them from variables. `is_demo` is whether they are those of demo mode.
    pub(crate) fn new(variable: impl Fn(&str) -> Option<String>, is_demo: bool) -> Self {
        let mut texts = Texts::default();
        for setting in settings::all() {
            let text = variable(setting.name()).unwrap_or_default();
            texts.set(setting.name(), &text, SettingSource::Environment);
        }
        Self { texts, is_demo }
    }

    fn text(&self, setting: &dyn Declared) -> Option<&str> {
        self.texts.text(setting.name())
    }

    /// Reads a part of the settings.
    fn read<T>(&self, part: impl FnOnce(&mut Reader<'_>) -> T) -> Result<T, SigningError> {
        let environment = Environment { read_file: &read_key_file, cpus: &[], memory: None, variables: &[] };
        let mut reader = Reader::new(&self.texts, &environment);
        let read = part(&mut reader);
        let errors = match reader.finish(Some(read)) {
            Ok((read, _)) => return Ok(read),
            Err(errors) => errors,
        };
        Err(errors.into_iter().next().map_or(SigningError::NoIssuer, SigningError::Setting))
    }

    /// The hub's URL: `PUBLIC_URL`, or that of demo mode.
    pub(crate) fn hub(&self) -> Result<Option<PublicUrl>, SigningError> {
        let given = self.read(|reader| reader.given(&PUBLIC_URL))?;
        Ok(given.or_else(|| demo_url(self.text(&ADDR)).filter(|_| self.is_demo)))
    }

    /// The same as clients write it.
    pub(crate) fn named_hub(&self) -> Result<Option<String>, SigningError> {
        match self.hub()? {
            Some(hub) if hub.url().port() == Some(0) => Err(SigningError::AnyPort),
            hub => Ok(hub.map(|hub| hub.to_string())),
        }
    }

    /// What `aud` must contain, if that is not the hub's URL.
    pub(crate) fn resource(&self) -> Option<&str> {
        self.text(&RESOURCE_IDENTIFIER)
    }

    /// The issuer: the only one of the settings, or that of demo mode.
    pub(crate) fn issuer(&self) -> Result<String, SigningError> {
        if let Some(issuer) = self.text(&ISSUER) {
            return Ok(issuer.to_owned());
        }
        let [entry] = &self.entries()?[..] else {
            return self.demo_issuer()?.ok_or(SigningError::NoIssuer);
        };
        Ok(entry.issuer.clone())
    }

    /// The key with which an issuer signs tokens of this role.
    pub(crate) fn key(&self, issuer: &str, role: SigningRole) -> Result<SigningKey, SigningError> {
        let Some(RoleKey { text, allowed }) = self.role(issuer, role)? else {
            return Err(SigningError::UnknownIssuer { issuer: issuer.to_owned(), role });
        };
        let only_verifies = || SigningError::OnlyVerifies { issuer: issuer.to_owned(), role };
        let text = text.ok_or_else(only_verifies)?;
        let expected = |expected| SigningError::Entry { issuer: issuer.to_owned(), expected };
        let algorithm = only_one(allowed.as_deref()).map_err(expected)?;
        // As the hub reads it.
        match VerificationKey::new(algorithm, text.as_bytes()) {
            Ok(_) if text.trim_start().starts_with("-----BEGIN ") => Err(only_verifies()),
            Ok(_) => Ok(SigningKey { text, algorithm }),
            Err(error) => Err(SigningError::Key(error)),
        }
    }

    /// The algorithm of that key, if the settings have exactly one.
    pub(crate) fn algorithm(
        &self,
        issuer: &str,
        role: SigningRole,
    ) -> Result<Option<Algorithm>, SigningError> {
        let allowed = self.role(issuer, role)?.and_then(|key| key.allowed);
        Ok(allowed.and_then(|allowed| only_one(Some(&allowed)).ok()))
    }

    /// The key of 0.x tokens, if there is one.
    pub(crate) fn legacy_key(&self) -> Result<Option<String>, SigningError> {
        let given = self.read(|reader| given(reader, &keys::BOTH.places))?;
        Ok(match given {
            Given::Key(_, text) | Given::File(_, _, text) => Some(text),
            Given::Nothing if self.is_demo => Some(DEMO_KEY.to_owned()),
            Given::Nothing | Given::Url(_) | Given::Wrong => None,
        })
    }

    /// The algorithm of 0.x tokens.
    pub(crate) fn legacy_algorithm(&self) -> Result<Algorithm, SigningError> {
        Ok(self.read(|reader| reader.given(keys::BOTH.algorithm))?.unwrap_or(Algorithm::HS256))
    }

    /// The issuer that demo mode adds: the hub's URL, where nothing else is set.
    fn demo_issuer(&self) -> Result<Option<String>, SigningError> {
        let is_added = self.is_demo && self.read(|reader| has_no_keys(reader))?;
        if is_added { self.named_hub() } else { Ok(None) }
    }

    fn entries(&self) -> Result<Vec<IssuerEntry>, SigningError> {
        let Some(path) = self.text(&ISSUERS_FILE) else { return Ok(Vec::new()) };
        let environment = Environment { read_file: &read_key_file, cpus: &[], memory: None, variables: &[] };
        read_entries(&environment, path).map_err(SigningError::File)
    }

    /// The key of a role; `None` if the settings do not know the issuer.
    fn role(&self, issuer: &str, role: SigningRole) -> Result<Option<RoleKey>, SigningError> {
        if self.text(&ISSUER) == Some(issuer) {
            return self.role_of_settings(role).map(Some);
        }
        if let Some(entry) = self.entries()?.into_iter().find(|entry| entry.issuer == issuer) {
            return role_of_entry(entry, role).map(Some);
        }
        // One without a port of its own has no name.
        let is_demo = self.demo_issuer().ok().flatten().is_some_and(|demo| demo == issuer);
        Ok(is_demo.then(|| RoleKey { text: Some(DEMO_KEY.to_owned()), allowed: None }))
    }

    /// The role of `ISSUER`.
    fn role_of_settings(&self, role: SigningRole) -> Result<RoleKey, SigningError> {
        let settings = match role {
            SigningRole::Publisher => &issuers::PUBLISHER,
            SigningRole::Subscriber => &issuers::SUBSCRIBER,
        };
        let read = self.read(|reader| (given(reader, &settings.places), reader.given(settings.algorithms)));
        let (given, allowed) = read?;
        let text = match given {
            Given::Key(_, text) | Given::File(_, _, text) => Some(text),
            Given::Url(_) | Given::Nothing | Given::Wrong => None,
        };
        Ok(RoleKey { text, allowed })
    }
}

/// The role of an issuer of `ISSUERS_FILE`.
fn role_of_entry(entry: IssuerEntry, role: SigningRole) -> Result<RoleKey, SigningError> {
    let IssuerEntry { issuer, publisher, subscriber, .. } = entry;
    let has_none = publisher.is_none() && subscriber.is_none();
    let of_role = match role {
        SigningRole::Publisher => publisher,
        SigningRole::Subscriber => subscriber,
    };
    let of_role = match of_role {
        // An issuer without roles has both.
        None if has_none => RoleEntry::default(),
        None => return Err(SigningError::NoRole { issuer, role }),
        Some(of_role) => of_role,
    };
    let expected = |expected| SigningError::Entry { issuer: issuer.clone(), expected };
    let allowed = of_role.allowed().map_err(&expected)?;
    let text = match (of_role.key, of_role.key_file) {
        (Some(text), _) => Some(text),
        (None, Some(path)) => {
            let text = read_key_file(&path).map_err(|error| {
                expected(format!("a \"key_file\" that can be read, not {path:?}: {error}"))
            })?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        (None, None) => None,
    };
    Ok(RoleKey { text, allowed })
}
