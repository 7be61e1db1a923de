//! The settings under "Authorization".

use std::path::PathBuf;
use std::sync::Arc;

use url::Url;

use crate::api::keyring::KeySource;
use crate::config::configuration::Config;
use crate::config::setting::{DefaultText, Group, Setting, ValueKind};
use crate::config::texts::Texts;
use crate::config::urls;
use crate::config::values;
use crate::config::written;
use crate::http::headers::cors::OriginList;
use crate::mercure::audience::Authorization;
use crate::mercure::token::Algorithm;

const RULES: [(&str, Authorization); 2] =
    [("selectors", Authorization::Selectors), ("targets", Authorization::Targets)];

/// The settings under this heading.
pub(crate) static GROUP: Group = Group {
    heading: "Authorization",
    settings: &[
        &JWT_KEY,
        &JWT_KEY_FILE,
        &JWKS_URL,
        &JWT_ALGORITHM,
        &PUBLISHER_JWT_KEY,
        &PUBLISHER_JWT_KEY_FILE,
        &PUBLISHER_JWKS_URL,
        &PUBLISHER_JWT_ALGORITHM,
        &SUBSCRIBER_JWT_KEY,
        &SUBSCRIBER_JWT_KEY_FILE,
        &SUBSCRIBER_JWKS_URL,
        &SUBSCRIBER_JWT_ALGORITHM,
        &AUTHORIZATION,
        &ALLOW_ANONYMOUS,
        &PUBLISH_ALLOWED_ORIGINS,
        &COOKIE_NAME,
    ],
};

pub(crate) static JWT_KEY: Setting<String> = Setting {
    name: "JWT_KEY",
    kind: ValueKind::Key,
    help: "Key that verifies the tokens of publishers and subscribers: a shared secret, or a public key \
           in PEM form (see JWT_ALGORITHM). The hub does not start when a role has no key",
    default: DefaultText::Description("none; in demo mode !ChangeThisMercureHubJWTSecretKey!"),
    parse: |text, _| values::any(text),
    in_force: |_, texts| is_set(JWT_KEY.text(texts).is_some() || JWT_KEY_FILE.text(texts).is_some()),
};

pub(crate) static JWT_KEY_FILE: Setting<PathBuf> = Setting {
    name: "JWT_KEY_FILE",
    kind: ValueKind::Public("PATH"),
    help: "File that contains the key, instead of JWT_KEY. Trailing newlines are removed. \
           It is reloaded at SIGHUP, like the key files of the two roles",
    default: DefaultText::Description("none"),
    parse: |text, _| values::path(text),
    in_force: |_, texts| JWT_KEY_FILE.text(texts).map(str::to_owned),
};

pub(crate) static JWKS_URL: Setting<Url> = Setting {
    name: "JWKS_URL",
    kind: ValueKind::Url,
    help: "URL of a key set (JWKS), instead of JWT_KEY. Its public keys, chosen by `kid`, verify tokens. \
           It is fetched at start, every five minutes, at SIGHUP, and when a token names an unknown key. \
           Until the first fetch succeeds, requests with a token get 503",
    default: DefaultText::Description("none"),
    parse: |text, _| urls::key_set(text),
    in_force: |_, texts| JWKS_URL.text(texts).map(str::to_owned),
};

pub(crate) static JWT_ALGORITHM: Setting<Algorithm> = Setting {
    name: "JWT_ALGORITHM",
    kind: ValueKind::Public("NAME"),
    help: "Algorithm of the tokens: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, \
           ES384, EdDSA",
    default: DefaultText::Description("HS256; with a key set, that of each key"),
    parse: |text, _| values::algorithm(text),
    in_force: |_, texts| algorithm_of_both(texts),
};

pub(crate) static PUBLISHER_JWT_KEY: Setting<String> = Setting {
    name: "PUBLISHER_JWT_KEY",
    kind: ValueKind::Key,
    help: "Key for publishers only, instead of JWT_KEY",
    default: DefaultText::Description("JWT_KEY"),
    parse: |text, _| values::any(text),
    in_force: |config, _| is_set(config.settings.api.publisher_key.as_ref().is_some_and(is_key)),
};

pub(crate) static PUBLISHER_JWT_KEY_FILE: Setting<PathBuf> = Setting {
    name: "PUBLISHER_JWT_KEY_FILE",
    kind: ValueKind::Public("PATH"),
    help: "File that contains the key for publishers, instead of PUBLISHER_JWT_KEY",
    default: DefaultText::Description("none"),
    parse: |text, _| values::path(text),
    in_force: |_, texts| PUBLISHER_JWT_KEY_FILE.text(texts).map(str::to_owned),
};

pub(crate) static PUBLISHER_JWKS_URL: Setting<Url> = Setting {
    name: "PUBLISHER_JWKS_URL",
    kind: ValueKind::Url,
    help: "URL of a key set for publishers only, instead of PUBLISHER_JWT_KEY",
    default: DefaultText::Description("JWKS_URL"),
    parse: |text, _| urls::key_set(text),
    in_force: |_, texts| PUBLISHER_JWKS_URL.text(texts).map(str::to_owned),
};

pub(crate) static PUBLISHER_JWT_ALGORITHM: Setting<Algorithm> = Setting {
    name: "PUBLISHER_JWT_ALGORITHM",
    kind: ValueKind::Public("NAME"),
    help: "Algorithm of publishers' tokens",
    default: DefaultText::Description("JWT_ALGORITHM"),
    parse: |text, _| values::algorithm(text),
    in_force: |config, _| algorithm(config, config.settings.api.publisher_key.as_ref()?),
};

pub(crate) static SUBSCRIBER_JWT_KEY: Setting<String> = Setting {
    name: "SUBSCRIBER_JWT_KEY",
    kind: ValueKind::Key,
    help: "Key for subscribers only, instead of JWT_KEY",
    default: DefaultText::Description("JWT_KEY"),
    parse: |text, _| values::any(text),
    in_force: |config, _| is_set(config.settings.api.subscriber_key.as_ref().is_some_and(is_key)),
};

pub(crate) static SUBSCRIBER_JWT_KEY_FILE: Setting<PathBuf> = Setting {
    name: "SUBSCRIBER_JWT_KEY_FILE",
    kind: ValueKind::Public("PATH"),
    help: "File that contains the key for subscribers, instead of SUBSCRIBER_JWT_KEY",
    default: DefaultText::Description("none"),
    parse: |text, _| values::path(text),
    in_force: |_, texts| SUBSCRIBER_JWT_KEY_FILE.text(texts).map(str::to_owned),
};

pub(crate) static SUBSCRIBER_JWKS_URL: Setting<Url> = Setting {
    name: "SUBSCRIBER_JWKS_URL",
    kind: ValueKind::Url,
    help: "URL of a key set for subscribers only, instead of SUBSCRIBER_JWT_KEY",
    default: DefaultText::Description("JWKS_URL"),
    parse: |text, _| urls::key_set(text),
    in_force: |_, texts| SUBSCRIBER_JWKS_URL.text(texts).map(str::to_owned),
};

pub(crate) static SUBSCRIBER_JWT_ALGORITHM: Setting<Algorithm> = Setting {
    name: "SUBSCRIBER_JWT_ALGORITHM",
    kind: ValueKind::Public("NAME"),
    help: "Algorithm of subscribers' tokens",
    default: DefaultText::Description("JWT_ALGORITHM"),
    parse: |text, _| values::algorithm(text),
    in_force: |config, _| algorithm(config, config.settings.api.subscriber_key.as_ref()?),
};

pub(crate) static AUTHORIZATION: Setting<Authorization> = Setting {
    name: "AUTHORIZATION",
    kind: ValueKind::Public("RULE"),
    help: "What the lists in tokens contain, for the whole hub. `selectors`: topic selectors, for \
           publishing and for receiving private updates (draft-07). `targets`: audiences, as in the 2019 \
           protocol (draft-04)",
    default: DefaultText::Value("selectors"),
    parse: |text, _| values::word(&RULES, text),
    in_force: |config, _| written::word(&RULES, &config.settings.api.authorization),
};

pub(crate) static ALLOW_ANONYMOUS: Setting<bool> = Setting {
    name: "ALLOW_ANONYMOUS",
    kind: ValueKind::Switch,
    help: "Allow subscribers without a token. They receive public updates",
    default: DefaultText::Description("0; 1 in demo mode"),
    parse: |text, _| values::switch(text),
    in_force: |config, _| Some(written::switch(config.settings.api.allow_anonymous)),
};

pub(crate) static PUBLISH_ALLOWED_ORIGINS: Setting<OriginList> = Setting {
    name: "PUBLISH_ALLOWED_ORIGINS",
    kind: ValueKind::Public("ORIGINS"),
    help: "Origins whose pages may publish with a cookie, separated by commas or spaces, as for \
           CORS_ALLOWED_ORIGINS. For the cookie of draft 08, the hub's own origin (PUBLIC_URL) counts, too. \
           Not needed for publishers that send `Authorization: Bearer`",
    default: DefaultText::Description("none"),
    parse: |text, _| OriginList::parse(text).map_err(|error| error.to_string()),
    in_force: |_, texts| PUBLISH_ALLOWED_ORIGINS.text(texts).map(str::to_owned),
};

pub(crate) static COOKIE_NAME: Setting<String> = Setting {
    name: "COOKIE_NAME",
    kind: ValueKind::Public("NAME"),
    help: "Name of the cookie that carries a token",
    default: DefaultText::Value("mercureAuthorization"),
    parse: |text, _| values::cookie_name(text),
    in_force: |config, _| Some(config.settings.api.cookie_name.clone()),
};

/// The text of a key, which is masked: whether there is one.
fn is_set(is_set: bool) -> Option<String> {
    is_set.then(String::new)
}

/// Whether the tokens of a role are verified with a key: its own, that of both roles, or that of
/// demo mode.
fn is_key(source: &KeySource) -> bool {
    !matches!(source, KeySource::Fetched(_))
}

/// The algorithm of a role's tokens. With a key set, each key has its own, unless one is
/// configured.
fn algorithm(config: &Config, source: &KeySource) -> Option<String> {
    match source {
        KeySource::Fixed(key) => Some(format!("{:?}", key.algorithm())),
        KeySource::File(key) => Some(format!("{:?}", key.algorithm())),
        KeySource::Fetched(keys) => {
            let set = config.settings.key_sets.iter().find(|set| Arc::ptr_eq(&set.keys, keys))?;
            set.allowed.first().map(|only| format!("{only:?}"))
        }
    }
}

fn algorithm_of_both(texts: &Texts) -> Option<String> {
    let default = || JWKS_URL.text(texts).is_none().then_some("HS256");
    JWT_ALGORITHM.text(texts).or_else(default).map(str::to_owned)
}
