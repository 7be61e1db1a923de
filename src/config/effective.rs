//! The effective settings, one by one, for `petasos config`.
//!
//! Invariants: every setting is listed once, in the order of the help; no value contains a secret.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Args as _;
use url::Url;

use super::{Config, LogFormat, MEMORY, Options};
use crate::api::keyring::KeySource;
use crate::history::redb::HistorySync;
use crate::mercure::audience::Authorization;
use crate::services::acme::AcmeSettings;
use crate::services::certificates::CertificateSource;

/// The replacement for a secret.
const MASK: &str = "********";

/// The part of a setting's value that may be shown. Secrets are the settings whose values the help
/// hides (`declared` is [`Options`] as a command). A key is masked. Of a URL the query is masked,
/// or all of it if it may contain a password. An unknown name is masked too: it may be a misspelled
/// secret.
pub(crate) fn shown(declared: &clap::Command, name: &str, value: &str) -> String {
    let is_it = |argument: &&clap::Arg| argument.get_env().is_some_and(|env| env == name);
    let setting = declared.get_arguments().find(is_it);
    if setting.is_some_and(|setting| !setting.is_hide_env_values_set()) {
        return value.to_owned();
    }
    let is_address = setting.is_some() && name.ends_with("_URL");
    match Url::parse(value).ok().filter(|url| is_address && url.has_authority()) {
        Some(url) if url.username().is_empty() && url.password().is_none() => {
            value.find(['?', '#']).map_or(value.to_owned(), |end| format!("{}{MASK}", &value[..=end]))
        }
        _ => MASK.to_owned(),
    }
}

/// The source of a setting's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingSource {
    /// A flag of the command line.
    Flag,
    /// An environment variable.
    Environment,
    /// The file named by a setting ending in `_FILE`.
    File,
    /// The setting is not given: its default.
    Default,
}

impl fmt::Display for SettingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        })
    }
}

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
}

impl Config {
    /// Every setting with its effective value. `options` are those from which this configuration
    /// was read. `given` returns where the setting of a name was given, if it was and is not empty:
    /// a flag, or the environment.
    pub fn effective(
        &self,
        options: &Options,
        given: &dyn Fn(&str) -> Option<SettingSource>,
    ) -> Vec<Effective> {
        let rows = [
            self.listening(options),
            self.authorization(options),
            self.history(),
            self.limits(),
            self.cores_and_logs(),
        ];
        let declared = Options::augment_args(clap::Command::new("petasos"));
        let effective = |(name, value): (&'static str, Option<String>)| {
            let value = value.map(|value| shown(&declared, name, &value));
            let file = format!("{name}_FILE");
            let source = match given(name) {
                Some(source) => source,
                // Only a secret has a `_FILE` setting.
                None if given(&file).is_some() => SettingSource::File,
                None => SettingSource::Default,
            };
            Effective { name, value, source }
        };
        rows.into_iter().flatten().map(effective).collect()
    }

    fn listening(&self, o: &Options) -> Vec<(&'static str, Option<String>)> {
        let (files, acme) = match &self.settings.tls {
            None => (None, None),
            Some(CertificateSource::Files(files)) => (Some(files), None),
            Some(CertificateSource::Acme(acme)) => (None, Some(acme)),
        };
        let plain = |acme: &AcmeSettings| acme.http_address.map_or("off".to_owned(), |at| at.to_string());
        vec![
            ("ADDR", Some(self.settings.address.to_string())),
            ("CERT_FILE", files.map(|files| path(&files.certificate))),
            ("KEY_FILE", files.map(|files| path(&files.key))),
            ("ACME_HOSTS", acme.map(|acme| acme.hosts.join(","))),
            ("ACME_CERT_DIR", acme.map(|acme| path(&acme.folder))),
            ("ACME_DIRECTORY_URL", acme.map(|acme| acme.directory_url.clone())),
            ("ACME_EMAIL", acme.and_then(|acme| acme.email.clone())),
            ("ACME_CA_FILE", acme.and_then(|acme| acme.ca_file.as_deref()).map(path)),
            ("ACME_HTTP_ADDR", acme.map(plain)),
            ("DEMO", switch(self.demo)),
            ("DEBUG", switch(self.settings.log_updates)),
            ("CORS_ALLOWED_ORIGINS", text(&o.cors_allowed_origins)),
            ("USE_FORWARDED_HEADERS", switch(self.settings.trusts_proxy)),
            ("COMPRESS", switch(self.settings.gate.compress)),
            ("SUBSCRIPTIONS", switch(self.settings.gate.subscriptions)),
        ]
    }

    fn authorization(&self, o: &Options) -> Vec<(&'static str, Option<String>)> {
        let gate = &self.settings.gate;
        // Whether there is a key; its value is masked anyway.
        let key = |is_set: bool| is_set.then(String::new);
        let authorization = match gate.authorization {
            Authorization::Selectors => "selectors",
            Authorization::Targets => "targets",
        };
        // The key of the role, else that of both roles or of the demo.
        let in_force = |source: &KeySource| key(!matches!(source, KeySource::Fetched(_)));
        // With a key set, each key has its own algorithm, unless one is configured.
        let algorithm = |source: &KeySource| match source {
            KeySource::Fixed(key) => Some(format!("{:?}", key.algorithm())),
            KeySource::File(key) => Some(format!("{:?}", key.algorithm())),
            KeySource::Fetched(keys) => {
                let set = self.settings.key_sets.iter().find(|set| Arc::ptr_eq(&set.keys, keys))?;
                set.only.map(|only| format!("{only:?}"))
            }
        };
        let is_set = |given: &Option<String>| text(given).is_some();
        let common = match is_set(&o.jwks_url) {
            true => text(&o.jwt_algorithm),
            false => Some(text(&o.jwt_algorithm).unwrap_or_else(|| "HS256".to_owned())),
        };
        vec![
            ("JWT_KEY", key(is_set(&o.jwt_key) || is_set(&o.jwt_key_file))),
            ("JWT_KEY_FILE", text(&o.jwt_key_file)),
            ("JWKS_URL", text(&o.jwks_url)),
            ("JWT_ALGORITHM", common),
            ("PUBLISHER_JWT_KEY", in_force(&gate.publisher_key)),
            ("PUBLISHER_JWT_KEY_FILE", text(&o.publisher_jwt_key_file)),
            ("PUBLISHER_JWKS_URL", text(&o.publisher_jwks_url)),
            ("PUBLISHER_JWT_ALGORITHM", algorithm(&gate.publisher_key)),
            ("SUBSCRIBER_JWT_KEY", in_force(&gate.subscriber_key)),
            ("SUBSCRIBER_JWT_KEY_FILE", text(&o.subscriber_jwt_key_file)),
            ("SUBSCRIBER_JWKS_URL", text(&o.subscriber_jwks_url)),
            ("SUBSCRIBER_JWT_ALGORITHM", algorithm(&gate.subscriber_key)),
            ("AUTHORIZATION", Some(authorization.to_owned())),
            ("ALLOW_ANONYMOUS", switch(gate.allow_anonymous)),
            ("PUBLISH_ALLOWED_ORIGINS", text(&o.publish_allowed_origins)),
            ("COOKIE_NAME", Some(gate.cookie_name.clone())),
        ]
    }

    fn history(&self) -> Vec<(&'static str, Option<String>)> {
        let place = self.history_file.as_deref().map_or_else(|| MEMORY.to_owned(), path);
        let sync = match self.history_sync {
            HistorySync::Always => "always",
            HistorySync::Interval => "interval",
            HistorySync::Never => "never",
        };
        vec![
            ("DB_PATH", Some(place)),
            ("HISTORY_SYNC", Some(sync.to_owned())),
            ("HISTORY_SIZE", Some(self.retention.updates_max.to_string())),
            ("HISTORY_MAX_BYTES", size(self.retention.bytes_max)),
            ("HISTORY_MAX_AGE", duration(self.retention.age_max_ms)),
            ("HISTORY_CLEANUP_FREQUENCY", Some(self.cleanup_frequency.to_string())),
        ]
    }

    fn limits(&self) -> Vec<(&'static str, Option<String>)> {
        let settings = &self.settings;
        let (shard, timeouts, gate) = (&settings.shard, &settings.timeouts, &settings.gate);
        vec![
            ("HEARTBEAT_INTERVAL", duration(shard.heartbeat_ms)),
            ("HEADER_TIMEOUT", duration(timeouts.header_ms)),
            ("READ_TIMEOUT", duration(timeouts.read_ms)),
            ("WRITE_TIMEOUT", duration(timeouts.response_ms)),
            ("DISPATCH_TIMEOUT", duration(timeouts.write_ms)),
            ("DRAIN_TIMEOUT", duration(settings.drain_ms)),
            ("MAX_BODY_SIZE", size(gate.body_bytes_max)),
            ("MAX_SELECTORS", Some(gate.selectors_max.to_string())),
            ("MAX_CONNECTIONS", settings.connections_max.map(|count| count.to_string())),
            ("MAX_CONNECTIONS_PER_ADDRESS", Some(settings.per_client.connections_per_address.to_string())),
            ("MAX_SUBSCRIPTIONS_PER_TOKEN", Some(settings.per_client.subscriptions_per_token.to_string())),
            ("SUBSCRIBER_BUFFER", size(shard.subscriber_buffer_bytes as u64)),
        ]
    }

    fn cores_and_logs(&self) -> Vec<(&'static str, Option<String>)> {
        let cpus: Vec<_> = self.settings.cpus.iter().map(usize::to_string).collect();
        let format = match self.log_format {
            LogFormat::Text => "TEXT",
            LogFormat::Json => "JSON",
            LogFormat::Fluentd => "FLUENTD",
        };
        vec![
            ("SHARDS", Some(cpus.len().to_string())),
            ("CPUS", Some(cpus.join(","))),
            ("LOG_LEVEL", Some(self.log_level.to_string().to_lowercase())),
            ("LOG_FORMAT", Some(format.to_owned())),
            ("ACCESS_LOG", switch(self.settings.access_log)),
            ("METRICS_ADDR", self.settings.metrics.as_ref().map(|metrics| metrics.address.to_string())),
        ]
    }
}

fn text(given: &Option<String>) -> Option<String> {
    given.clone().filter(|text| !text.is_empty())
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

fn switch(is_on: bool) -> Option<String> {
    Some(u8::from(is_on).to_string())
}

fn duration(ms: u64) -> Option<String> {
    Some(humantime::format_duration(Duration::from_millis(ms)).to_string())
}

/// In the largest unit of which it is a multiple.
fn size(bytes: u64) -> Option<String> {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.into_iter().find(|(unit, _)| bytes > 0 && bytes.is_multiple_of(*unit));
    Some(unit.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn config(options: &Options) -> Config {
        let read_file = |_: &str| Ok(SECRET.to_owned());
        let environment = Environment { read_file: &read_file, cpus: &[0, 2], variables: &[] };
        Config::read(options, &environment).unwrap_or_else(|errors| panic!("{errors:?}"))
    }

    fn one<'r>(rows: &'r [Effective], name: &str) -> (Option<&'r str>, SettingSource) {
        let row = rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("{name}"));
        (row.value.as_deref(), row.source)
    }

    /// A new setting that is missing here would be in force but not shown.
    #[test]
    fn every_setting_of_the_help_is_listed_once_and_in_its_order() {
        let options = Options { jwt_key: Some(SECRET.to_owned()), ..Options::default() };
        let listed: Vec<_> =
            config(&options).effective(&options, &|_| None).iter().map(|row| row.name).collect();
        let command = Options::augment_args(clap::Command::new("petasos"));
        let known: Vec<_> =
            command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn values_are_those_in_force_and_no_secret_is_among_them() {
        let options = Options {
            demo: Some("1".to_owned()),
            jwt_key_file: Some("/run/key".to_owned()),
            subscriber_jwt_key: Some(SECRET.to_owned()),
            heartbeat_interval: Some("1m 30s".to_owned()),
            max_body_size: Some("524288".to_owned()),
            cookie_name: Some(String::new()),
            publisher_jwks_url: Some(format!("https://a.example/keys?key={SECRET}")),
            ..Options::default()
        };
        let given = |name: &str| match name {
            "DEMO" | "JWT_KEY_FILE" | "SUBSCRIBER_JWT_KEY" => Some(SettingSource::Environment),
            "HEARTBEAT_INTERVAL" | "PUBLISHER_JWKS_URL" | "MAX_BODY_SIZE" => Some(SettingSource::Flag),
            _ => None,
        };
        let rows = config(&options).effective(&options, &given);
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
        let declared = Options::augment_args(clap::Command::new("petasos"));
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
            assert_eq!(shown(&declared, name, value), text, "{name} {value}");
        }
    }

    #[test]
    fn sizes_are_written_in_a_unit_that_holds_them_exactly() {
        for (bytes, written) in
            [(0, "0"), (1, "1"), (1 << 20, "1MiB"), (1_500 << 10, "1500KiB"), (3 << 30, "3GiB")]
        {
            assert_eq!(size(bytes).as_deref(), Some(written));
        }
    }
}
