//! The settings under "Mercure 1.0".

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::api::keyring::{Issuer, KeySource};
use crate::config::configuration::Config;
use crate::config::setting::{DefaultText, Group, Setting, ValueKind};
use crate::config::texts::Texts;
use crate::config::urls;
use crate::config::values;
use crate::config::written;
use crate::mercure::dialect::Dialects;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::token::Algorithm;

/// The settings under this heading.
pub(crate) static GROUP: Group = Group {
    heading: "Mercure 1.0",
    settings: &[
        &PROTOCOL,
        &PUBLIC_URL,
        &RESOURCE_IDENTIFIER,
        &AUDIENCES,
        &ISSUER,
        &ISSUER_PUBLISHER_KEY,
        &ISSUER_PUBLISHER_KEY_FILE,
        &ISSUER_PUBLISHER_JWKS_URL,
        &ISSUER_PUBLISHER_ALGORITHMS,
        &ISSUER_SUBSCRIBER_KEY,
        &ISSUER_SUBSCRIBER_KEY_FILE,
        &ISSUER_SUBSCRIBER_JWKS_URL,
        &ISSUER_SUBSCRIBER_ALGORITHMS,
        &ISSUERS_FILE,
        &ISSUER_PRIVATE_ADDRESSES,
        &ACCESS_TOKEN_COOKIE_NAME,
    ],
};

pub(crate) static PROTOCOL: Setting<Dialects> = Setting {
    name: "PROTOCOL",
    kind: ValueKind::Public("DIALECTS"),
    help: "Dialects that the hub speaks: `04` (the 2019 protocol), `07` (Mercure 0.x), `08` (Mercure 1.0), \
           `07,08` or `04,08`. 04 and 07 cannot be together: nothing in a token tells them apart",
    default: DefaultText::Description(
        "07 with a key under Authorization (04 with AUTHORIZATION=targets), 08 with an issuer, both with \
         both; in demo mode without keys 07,08",
    ),
    parse: |text, _| values::dialects(text),
    in_force: |config, _| Some(written::dialects(config.settings.api.dialects)),
};

pub(crate) static PUBLIC_URL: Setting<PublicUrl> = Setting {
    name: "PUBLIC_URL",
    kind: ValueKind::Public("URL"),
    help: "URL of the hub as its clients see it. 08 needs it: it is the base of relative URL patterns and the \
           resource that tokens are for. It never follows the request's Host",
    default: DefaultText::Description("none; in demo mode from ADDR"),
    parse: |text, _| urls::public_url(text),
    in_force: |config, _| config.settings.api.public_url.as_ref().map(ToString::to_string),
};

pub(crate) static RESOURCE_IDENTIFIER: Setting<String> = Setting {
    name: "RESOURCE_IDENTIFIER",
    kind: ValueKind::Public("URI"),
    help: "What `aud` of a 1.0 token must contain, byte by byte",
    default: DefaultText::Description("PUBLIC_URL"),
    parse: |text, _| urls::identifier(text),
    in_force: |config, _| config.settings.api.resource_identifier.as_deref().map(str::to_owned),
};

pub(crate) static AUDIENCES: Setting<Vec<String>> = Setting {
    name: "AUDIENCES",
    kind: ValueKind::Public("URIS"),
    help: "Further accepted values of `aud`, separated by commas or spaces, such as the URL by which publishers \
           of a private network reach the hub. They are not advertised",
    default: DefaultText::Description("none"),
    parse: |text, _| urls::identifiers(text),
    in_force: |_, texts| AUDIENCES.text(texts).map(str::to_owned),
};

pub(crate) static ISSUER: Setting<String> = Setting {
    name: "ISSUER",
    kind: ValueKind::Public("URI"),
    help: "Issuer of 1.0 tokens: `iss` must equal it byte by byte. Without a key or a key set for it below, \
           its key set is found through its metadata (RFC 8414)",
    default: DefaultText::Description("none; in demo mode without keys PUBLIC_URL"),
    parse: |text, _| urls::identifier(text),
    in_force: |config, texts| one(config, texts).map(|issuer| issuer.name.to_string()),
};

pub(crate) static ISSUER_PUBLISHER_KEY: Setting<String> = Setting {
    name: "ISSUER_PUBLISHER_KEY",
    kind: ValueKind::Key,
    help: "Key that verifies ISSUER's tokens of publishers: a shared secret, or a public key in PEM form. It \
           verifies no tokens of 04 and 07, as JWT_KEY verifies none of 08",
    default: DefaultText::Description("none; in demo mode without keys !ChangeThisMercureHubJWTSecretKey!"),
    parse: |text, _| values::any(text),
    in_force: |config, texts| is_set(publisher(config, texts)),
};

pub(crate) static ISSUER_PUBLISHER_KEY_FILE: Setting<PathBuf> = Setting {
    name: "ISSUER_PUBLISHER_KEY_FILE",
    kind: ValueKind::Public("PATH"),
    help: "File that contains the key, instead of ISSUER_PUBLISHER_KEY. It is reloaded at SIGHUP",
    default: DefaultText::Description("none"),
    parse: |text, _| values::path(text),
    in_force: |_, texts| ISSUER_PUBLISHER_KEY_FILE.text(texts).map(str::to_owned),
};

pub(crate) static ISSUER_PUBLISHER_JWKS_URL: Setting<Url> = Setting {
    name: "ISSUER_PUBLISHER_JWKS_URL",
    kind: ValueKind::Url,
    help: "URL of a key set (JWKS), instead of ISSUER_PUBLISHER_KEY. Only its public keys are used",
    default: DefaultText::Description("none"),
    parse: |text, _| urls::key_set(text),
    in_force: |_, texts| ISSUER_PUBLISHER_JWKS_URL.text(texts).map(str::to_owned),
};

pub(crate) static ISSUER_PUBLISHER_ALGORITHMS: Setting<Vec<Algorithm>> = Setting {
    name: "ISSUER_PUBLISHER_ALGORITHMS",
    kind: ValueKind::Public("NAMES"),
    help: "Accepted algorithms of ISSUER's tokens of publishers, separated by commas or spaces. A key has one",
    default: DefaultText::Description("HS256; with a key set EdDSA,ES256,RS256"),
    parse: |text, _| values::algorithms(text),
    in_force: |config, texts| algorithms_in_force(config, publisher(config, texts)?),
};

pub(crate) static ISSUER_SUBSCRIBER_KEY: Setting<String> = Setting {
    name: "ISSUER_SUBSCRIBER_KEY",
    kind: ValueKind::Key,
    help: "Key that verifies ISSUER's tokens of subscribers. Set it with ISSUER_PUBLISHER_KEY; both may be \
           the same",
    default: DefaultText::Description("none; in demo mode without keys !ChangeThisMercureHubJWTSecretKey!"),
    parse: |text, _| values::any(text),
    in_force: |config, texts| is_set(subscriber(config, texts)),
};

pub(crate) static ISSUER_SUBSCRIBER_KEY_FILE: Setting<PathBuf> = Setting {
    name: "ISSUER_SUBSCRIBER_KEY_FILE",
    kind: ValueKind::Public("PATH"),
    help: "File that contains the key, instead of ISSUER_SUBSCRIBER_KEY. It is reloaded at SIGHUP",
    default: DefaultText::Description("none"),
    parse: |text, _| values::path(text),
    in_force: |_, texts| ISSUER_SUBSCRIBER_KEY_FILE.text(texts).map(str::to_owned),
};

pub(crate) static ISSUER_SUBSCRIBER_JWKS_URL: Setting<Url> = Setting {
    name: "ISSUER_SUBSCRIBER_JWKS_URL",
    kind: ValueKind::Url,
    help: "URL of a key set (JWKS), instead of ISSUER_SUBSCRIBER_KEY. Only its public keys are used",
    default: DefaultText::Description("none"),
    parse: |text, _| urls::key_set(text),
    in_force: |_, texts| ISSUER_SUBSCRIBER_JWKS_URL.text(texts).map(str::to_owned),
};

pub(crate) static ISSUER_SUBSCRIBER_ALGORITHMS: Setting<Vec<Algorithm>> = Setting {
    name: "ISSUER_SUBSCRIBER_ALGORITHMS",
    kind: ValueKind::Public("NAMES"),
    help: "The same for ISSUER's tokens of subscribers",
    default: DefaultText::Description("HS256; with a key set EdDSA,ES256,RS256"),
    parse: |text, _| values::algorithms(text),
    in_force: |config, texts| algorithms_in_force(config, subscriber(config, texts)?),
};

pub(crate) static ISSUERS_FILE: Setting<PathBuf> = Setting {
    name: "ISSUERS_FILE",
    kind: ValueKind::Public("PATH"),
    help: "File with several issuers, instead of ISSUER: a JSON list of objects with `issuer`, `publisher`, \
           `subscriber` and `advertise`; each of the two roles an object with `key`, `key_file` or `jwks_url`, \
           and `algorithms`. It may hold secrets. It is reloaded at SIGHUP",
    default: DefaultText::Description("none"),
    parse: |text, _| values::path(text),
    in_force: |_, texts| ISSUERS_FILE.text(texts).map(str::to_owned),
};

pub(crate) static ISSUER_PRIVATE_ADDRESSES: Setting<bool> = Setting {
    name: "ISSUER_PRIVATE_ADDRESSES",
    kind: ValueKind::Switch,
    help: "Allow that an issuer's metadata, and the key set that they name, are at addresses of a private \
           network, and that a proxy is asked for them. Key sets with a URL in the settings need no permission",
    default: DefaultText::Value("0"),
    parse: |text, _| values::switch(text),
    in_force: |config, _| Some(written::switch(config.issuers_private)),
};

pub(crate) static ACCESS_TOKEN_COOKIE_NAME: Setting<String> = Setting {
    name: "ACCESS_TOKEN_COOKIE_NAME",
    kind: ValueKind::Public("NAME"),
    help: "Name of the cookie that carries a 1.0 token. COOKIE_NAME is that of 04 and 07",
    default: DefaultText::Description(
        "__Secure-mercure_access_token; in demo mode without TLS mercure_access_token",
    ),
    parse: |text, _| values::cookie_name(text),
    in_force: |config, _| Some(config.settings.api.access_token_cookie_name.clone()),
};

/// The issuer of the settings, which is not from a file.
fn one<'c>(config: &'c Config, texts: &Texts) -> Option<&'c Issuer> {
    config.settings.api.issuers.first().filter(|_| ISSUERS_FILE.text(texts).is_none())
}

fn publisher<'c>(config: &'c Config, texts: &Texts) -> Option<&'c KeySource> {
    one(config, texts)?.publisher.as_ref()
}

fn subscriber<'c>(config: &'c Config, texts: &Texts) -> Option<&'c KeySource> {
    one(config, texts)?.subscriber.as_ref()
}

/// The text of a key, which is masked.
fn is_set(source: Option<&KeySource>) -> Option<String> {
    let is_key = |source: &&KeySource| !matches!(source, KeySource::Fetched(_));
    source.filter(is_key).map(|_| String::new())
}

/// The algorithms of this source, as they could be given.
fn algorithms_in_force(config: &Config, source: &KeySource) -> Option<String> {
    let algorithms = match source {
        KeySource::Fixed(key) => vec![key.algorithm()],
        KeySource::File(key) => vec![key.algorithm()],
        KeySource::Fetched(keys) => {
            let set = config.settings.key_sets.iter().find(|set| Arc::ptr_eq(&set.keys, keys))?;
            set.allowed.clone()
        }
    };
    Some(names_of(&algorithms))
}

/// A list of algorithms, as it could be given.
pub(crate) fn names_of(algorithms: &[Algorithm]) -> String {
    let names: Vec<_> = algorithms.iter().map(|algorithm| format!("{algorithm:?}")).collect();
    names.join(",")
}
