//! The keys of the two roles: from the role's own setting, from the common one, or from demo mode.
//! Each is a key, or the URL of a key set.

use std::path::PathBuf;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily};
use url::{Host, Url};

use super::{DEMO_KEY, Options, Reader};
use crate::api::keyring::{KeySource, SharedKey, SharedKeys};
use crate::mercure::token::VerificationKey;
use crate::services::key_sets::KeySetSource;
use crate::services::reload::KeyFile;

/// The content of the settings for a key.
#[derive(Clone)]
enum Given {
    Nothing,
    /// It is set but invalid. The error is already reported, so a role that would use it reports no
    /// other.
    Wrong,
    /// The name of the setting, and the key.
    Key(&'static str, String),
    /// The name of the setting, its file, and the key in it.
    File(&'static str, String, String),
    /// The URL of a key set.
    Url(Url),
}

impl Given {
    fn or(self, other: &Self) -> Self {
        if matches!(self, Self::Nothing) { other.clone() } else { self }
    }
}

/// The settings of a role, or of both: the names of the variables, and the given values.
struct Names<'o> {
    key: (&'static str, &'o Option<String>),
    file: (&'static str, &'o Option<String>),
    url: (&'static str, &'o Option<String>),
    algorithm: (&'static str, &'o Option<String>),
}

/// The keys of the roles; `None` for one that is missing or invalid.
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

impl Reader<'_> {
    /// The keys of publishers and of subscribers.
    pub(super) fn keys(&mut self, o: &Options, demo: bool) -> Keys {
        let [both, publisher, subscriber] = names(o);
        let given = [&both, &publisher, &subscriber].map(|names| self.given(names));
        let algorithms = [&both, &publisher, &subscriber]
            .map(|names| self.value(names.algorithm.0, names.algorithm.1, algorithm));
        let [for_both, for_publisher, for_subscriber] = given;
        let (mut for_publisher, mut for_subscriber) =
            (for_publisher.or(&for_both), for_subscriber.or(&for_both));
        if demo && [&for_publisher, &for_subscriber].into_iter().any(|given| matches!(given, Given::Nothing))
        {
            let demo_key = Given::Key("JWT_KEY", DEMO_KEY.to_owned());
            (for_publisher, for_subscriber) = (for_publisher.or(&demo_key), for_subscriber.or(&demo_key));
        }
        let [common, own_publisher, own_subscriber] = algorithms;
        let mut origins = KeyOrigins::default();
        let publisher = self.source(&publisher, for_publisher, (own_publisher, common), &mut origins);
        let subscriber = self.source(&subscriber, for_subscriber, (own_subscriber, common), &mut origins);
        Keys { publisher, subscriber, origins }
    }

    /// The source of the key for a role's tokens. `own` is the algorithm of the role's own setting,
    /// `common` that of both roles.
    fn source(
        &mut self,
        names: &Names<'_>,
        given: Given,
        (own, common): (Option<Algorithm>, Option<Algorithm>),
        origins: &mut KeyOrigins,
    ) -> Option<KeySource> {
        match given {
            Given::Wrong => None,
            Given::Nothing => {
                let expected = "a key in JWT_KEY (for both roles) or here, or the address of a key set in JWKS_URL; \
                                `openssl rand -base64 48` makes a key. To try the hub, start it with DEMO=1";
                self.error(names.key.0, None, expected.to_owned());
                None
            }
            Given::Key(source, text) => {
                self.key(source, &text, own.or(common).unwrap_or(Algorithm::HS256)).map(KeySource::Fixed)
            }
            Given::File(name, path, text) => {
                let key = self.key(name, &text, own.or(common).unwrap_or(Algorithm::HS256))?;
                Some(KeySource::File(read_again(name, path.into(), key, &mut origins.files)))
            }
            Given::Url(url) => {
                let is_public = |algorithm: &Algorithm| algorithm.family() != AlgorithmFamily::Hmac;
                if own.is_some_and(|own| !is_public(&own)) {
                    let expected = "an algorithm with a public key: no shared secret is taken from a key set";
                    self.error(names.algorithm.0, names.algorithm.1.clone(), expected.to_owned());
                    return None;
                }
                // A common algorithm with a shared secret belongs to the other role's key.
                let only = own.or(common.filter(is_public));
                Some(KeySource::Fetched(shared(url, only, &mut origins.sets)))
            }
        }
    }

    fn key(&mut self, source: &'static str, text: &str, algorithm: Algorithm) -> Option<VerificationKey> {
        match VerificationKey::new(algorithm, text.as_bytes()) {
            Ok(key) => {
                let short =
                    format!("{source} is shorter than the output of {algorithm:?}'s hash: use a longer one");
                let known = "tokens are verified with the demo key, which everybody knows".to_owned();
                for (is_weak, warning) in [(key.is_short(), short), (text == DEMO_KEY, known)] {
                    if is_weak && !self.warnings.contains(&warning) {
                        self.warnings.push(warning);
                    }
                }
                Some(key)
            }
            Err(error) => {
                let expected = format!("a key for {algorithm:?}: {error}");
                // A key for both roles is reported once.
                if !self.errors.iter().any(|error| error.name == source && error.expected == expected) {
                    self.error(source, None, expected);
                }
                None
            }
        }
    }

    /// A key as text, from its variable or its file, or the URL of a key set; only one of the three
    /// may be set.
    fn given(&mut self, names: &Names<'_>) -> Given {
        let set = |(name, value): (&'static str, &Option<String>)| {
            value.clone().filter(|text| !text.is_empty()).map(|text| (name, text))
        };
        match (set(names.key), set(names.file), set(names.url)) {
            (None, None, None) => Given::Nothing,
            (Some((name, text)), None, None) => Given::Key(name, text),
            (None, Some((name, path)), None) => match (self.environment.read_file)(&path) {
                Ok(text) => Given::File(name, path, text.trim_end_matches(['\r', '\n']).to_owned()),
                Err(error) => {
                    self.error(name, Some(path), format!("a file that can be read: {error}"));
                    Given::Wrong
                }
            },
            (None, None, Some((name, text))) => self.url(name, &text),
            (key, file, url) => {
                let both: Vec<_> = [key, file, url].into_iter().flatten().map(|(name, _)| name).collect();
                self.error(both[1], None, format!("{}, not both", both.join(" or ")));
                Given::Wrong
            }
        }
    }

    /// The URL of a key set. A URL with a password is not repeated in the message.
    fn url(&mut self, name: &'static str, text: &str) -> Given {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url.filter(|url| url.host().is_some() && url.fragment().is_none()) else {
            let expected = "an address such as https://issuer.example/.well-known/jwks.json";
            self.error(name, Some(text.to_owned()), expected.to_owned());
            return Given::Wrong;
        };
        if !url.username().is_empty() || url.password().is_some() {
            self.error(name, None, "an address without a user and a password".to_owned());
            return Given::Wrong;
        }
        if url.scheme() == "http" && !is_this_host(&url) {
            self.warnings.push(format!(
                "{name} is fetched without TLS: whoever can change the answer on its way can make tokens"
            ));
        }
        Given::Url(url)
    }
}

fn names(o: &Options) -> [Names<'_>; 3] {
    [
        Names {
            key: ("JWT_KEY", &o.jwt_key),
            file: ("JWT_KEY_FILE", &o.jwt_key_file),
            url: ("JWKS_URL", &o.jwks_url),
            algorithm: ("JWT_ALGORITHM", &o.jwt_algorithm),
        },
        Names {
            key: ("PUBLISHER_JWT_KEY", &o.publisher_jwt_key),
            file: ("PUBLISHER_JWT_KEY_FILE", &o.publisher_jwt_key_file),
            url: ("PUBLISHER_JWKS_URL", &o.publisher_jwks_url),
            algorithm: ("PUBLISHER_JWT_ALGORITHM", &o.publisher_jwt_algorithm),
        },
        Names {
            key: ("SUBSCRIBER_JWT_KEY", &o.subscriber_jwt_key),
            file: ("SUBSCRIBER_JWT_KEY_FILE", &o.subscriber_jwt_key_file),
            url: ("SUBSCRIBER_JWKS_URL", &o.subscriber_jwks_url),
            algorithm: ("SUBSCRIBER_JWT_ALGORITHM", &o.subscriber_jwt_algorithm),
        },
    ]
}

/// The key of this file; both roles share it if they name the same file.
fn read_again(
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
fn shared(url: Url, only: Option<Algorithm>, sets: &mut Vec<KeySetSource>) -> Arc<SharedKeys> {
    if let Some(set) = sets.iter().find(|set| set.url == url && set.only == only) {
        return Arc::clone(&set.keys);
    }
    let keys = SharedKeys::new();
    sets.push(KeySetSource { url, only, keys: Arc::clone(&keys) });
    keys
}

fn is_this_host(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let expected = "HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA";
    text.parse().map_err(|_| expected.to_owned())
}
