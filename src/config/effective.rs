//! The effective settings, one by one, for `petasos config`.
//!
//! Invariants: every setting is listed once, in the order of the help; no value contains a secret.

use url::Url;

use super::configuration::Config;
use super::options::Options;
use super::setting::{Declared, ValueKind};
use super::settings;
use super::settings::limits::MEMORY_MAX;
use super::texts::{SettingSource, Texts};

/// The replacement for a secret.
const MASK: &str = "********";

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The name of the variable; the flag is the same in lower case with hyphens.
    pub name: &'static str,
    /// Its value, in the form in which it could be set; `None` if there is none. A secret is
    /// masked.
    pub value: Option<String>,
    /// The source of the value.
    pub source: SettingSource,
    /// What a default comes from that depends on the host.
    pub note: Option<String>,
}

impl Config {
    /// Every setting with its effective value and the source of that. `options` are those from
    /// which this configuration was read.
    pub fn effective(&self, options: &Options) -> Vec<Effective> {
        let texts = &options.texts;
        let effective = |setting: &dyn Declared| Effective {
            name: setting.name(),
            value: setting.in_force(self, texts).map(|value| masked(setting.kind(), &value)),
            source: source(setting.name(), texts),
            note: self.memory_note.clone().filter(|_| setting.name() == MEMORY_MAX.name),
        };
        settings::all().map(effective).collect()
    }
}

/// The part of a setting's value that may be shown. An unknown name is masked: it may be a
/// misspelled secret.
pub(crate) fn shown(name: &str, value: &str) -> String {
    masked(settings::find(name).map_or(ValueKind::Key, Declared::kind), value)
}

/// A key is masked. Of a URL the query is masked, or all of it if it may contain a password.
fn masked(kind: ValueKind, value: &str) -> String {
    let url = match kind {
        ValueKind::Switch | ValueKind::Public(_) => return value.to_owned(),
        ValueKind::Key => None,
        ValueKind::Url => Url::parse(value).ok().filter(Url::has_authority),
    };
    match url {
        Some(url) if url.username().is_empty() && url.password().is_none() => {
            value.find(['?', '#']).map_or(value.to_owned(), |end| format!("{}{MASK}", &value[..=end]))
        }
        _ => MASK.to_owned(),
    }
}

fn source(name: &str, texts: &Texts) -> SettingSource {
    // Only a secret has a `_FILE` setting.
    let from_file = || texts.source(&format!("{name}_FILE")).map(|_| SettingSource::File);
    texts.source(name).or_else(from_file).unwrap_or(SettingSource::Default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Environment;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn given(settings: &[(&'static str, &str, SettingSource)]) -> Options {
        let mut texts = Texts::default();
        settings.iter().for_each(|(name, text, source)| texts.set(name, text, *source));
        Options { texts }
    }

    fn config(options: &Options) -> Config {
        let read_file = |_: &str| Ok(SECRET.to_owned());
        let environment = Environment { read_file: &read_file, cpus: &[0, 2], memory: None, variables: &[] };
        Config::read(options, &environment).unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    fn one<'r>(rows: &'r [Effective], name: &str) -> (Option<&'r str>, SettingSource) {
        let row = rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name}"));
        (row.value.as_deref(), row.source)
    }

    #[test]
    fn values_are_those_in_force_and_no_secret_is_among_them() {
        let (flag, variable) = (SettingSource::Flag, SettingSource::Environment);
        let key_set = format!("https://a.example/keys?key={SECRET}");
        let options = given(&[
            ("DEMO", "1", variable),
            ("JWT_KEY_FILE", "/run/key", variable),
            ("SUBSCRIBER_JWT_KEY", SECRET, variable),
            ("HEARTBEAT_INTERVAL", "1m 30s", flag),
            ("MAX_BODY_SIZE", "524288", flag),
            ("COOKIE_NAME", "", variable),
            ("PUBLISHER_JWKS_URL", &key_set, flag),
        ]);
        let rows = config(&options).effective(&options);
        for (name, value, source) in [
            ("ADDR", Some("[::]:3000"), SettingSource::Default),
            ("ALLOW_ANONYMOUS", Some("1"), SettingSource::Default),
            ("COOKIE_NAME", Some("mercureAuthorization"), SettingSource::Default),
            ("CPUS", Some("0,2"), SettingSource::Default),
            ("CERT_FILE", None, SettingSource::Default),
            ("DEMO", Some("1"), SettingSource::Environment),
            ("HEARTBEAT_INTERVAL", Some("1m 30s"), SettingSource::Flag),
            ("MAX_BODY_SIZE", Some("512KiB"), SettingSource::Flag),
            ("JWT_KEY", Some(MASK), SettingSource::File),
            ("JWT_KEY_FILE", Some("/run/key"), SettingSource::Environment),
            ("PUBLISHER_JWT_KEY", None, SettingSource::Default),
            ("SUBSCRIBER_JWT_KEY", Some(MASK), SettingSource::Environment),
            ("READ_TIMEOUT", Some("0s"), SettingSource::Default),
            ("PUBLISHER_JWKS_URL", Some("https://a.example/keys?********"), SettingSource::Flag),
            ("PUBLISHER_JWT_ALGORITHM", None, SettingSource::Default),
            ("SUBSCRIBER_JWT_ALGORITHM", Some("HS256"), SettingSource::Default),
        ] {
            assert_eq!(one(&rows, name), (value, source), "{name}");
        }
        assert!(!format!("{rows:?}").contains(SECRET));
    }

    /// Also before it is read: a program may print the settings before it starts a hub with them.
    #[test]
    fn nothing_is_shown_of_a_secret_and_of_what_may_be_one() {
        for (name, value, text) in [
            ("ADDR", ":3000", ":3000"),
            ("COOKIE_NAME", "https://a.example/?b", "https://a.example/?b"),
            ("JWT_KEY", "https://a.example/", MASK),
            ("SUBSCRIBER_JWT_KEY", SECRET, MASK),
            ("JWT_KEI", SECRET, MASK),
            ("JWK_URL", "https://a.example/keys", MASK),
            ("JWKS_URL", "https://a.example/keys", "https://a.example/keys"),
            ("JWKS_URL", "https://a.example/keys#b", "https://a.example/keys#********"),
            ("JWKS_URL", "https://me:secret@a.example/keys", MASK),
            ("PUBLISHER_JWKS_URL", "me:secret@a.example", MASK),
            ("ACME_DIRECTORY_URL", "https://a.example/d?key=b", "https://a.example/d?********"),
        ] {
            assert_eq!(shown(name, value), text, "{name} {value}");
        }
    }
}
