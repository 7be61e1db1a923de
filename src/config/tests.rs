//! Settings, read in an environment that the test provides.

mod issuers;
mod page;

use std::sync::Arc;

use super::*;
use crate::api::keyring::KeySource;
use crate::history::redb::HistorySync;
use crate::io::tls::certificate::Files;
use crate::limits::{
    BODY_BYTES_MAX_DEFAULT, SELECTOR_BYTES_ANONYMOUS_MAX_DEFAULT, SELECTORS_ANONYMOUS_MAX_DEFAULT,
    SELECTORS_MAX_DEFAULT, SUBSCRIBER_BUFFER_DEFAULT,
};
use crate::mercure::token::Algorithm;
use crate::services::acme::AcmeSettings;
use crate::services::certificates::CertificateSource;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn valid(options: &Options, variables: &[(&str, &str)]) -> Config {
    read(options, variables).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn read(options: &Options, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let variables: Vec<_> = variables.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    let read_file = |path: &str| match path {
        "/key" => Ok("a secret of at least thirty-two bytes\n".to_owned()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    let environment =
        Environment { read_file: &read_file, cpus: &[0, 1, 5], memory: None, variables: &variables };
    Config::read(options, &environment).map_err(|errors| errors.iter().map(ConfigError::to_string).collect())
}

/// These settings and a key.
fn keyed(settings: &[(&str, &str)]) -> Options {
    and(&given(&[("JWT_KEY", KEY)]), settings)
}

/// These settings alone.
fn given(settings: &[(&str, &str)]) -> Options {
    and(&Options::default(), settings)
}

/// More settings, or others; an empty one is not given.
fn and(options: &Options, settings: &[(&str, &str)]) -> Options {
    let mut options = options.clone();
    settings.iter().for_each(|(name, text)| options.set(name, text).expect("a setting"));
    options
}

#[test]
fn the_defaults_are_those_of_the_protocol_document() {
    let config = valid(&keyed(&[]), &[]);
    let settings = &config.settings;
    assert_eq!(settings.address.to_string(), "[::]:80");
    assert_eq!(settings.cpus, [0, 1, 5]);
    assert_eq!((settings.shard.heartbeat_ms, settings.drain_ms), (15_000, 10_000));
    assert_eq!(
        (settings.timeouts.header_ms, settings.timeouts.read_ms, settings.timeouts.write_ms),
        (10_000, 0, 30_000)
    );
    assert_eq!((settings.api.body_bytes_max, settings.api.selectors.count_max), (1 << 20, 1_000));
    assert_eq!(settings.api.cookie_name, "mercureAuthorization");
    assert!(!settings.api.allow_anonymous);
    assert!(settings.api.compress);
    assert!(!valid(&keyed(&[("COMPRESS", "0")]), &[]).settings.api.compress);
    assert_eq!(config.log_level, tracing::Level::INFO);
    assert_eq!(
        config.warnings,
        [
            "nothing bounds the history, it grows until the disk is full: set HISTORY_SIZE, HISTORY_MAX_BYTES or \
             HISTORY_MAX_AGE"
        ]
    );
    assert_eq!(config.history_file, Some("updates.db".into()));
    assert_eq!(config.history_sync, HistorySync::Always);
    let bounded = valid(&keyed(&[("HISTORY_SIZE", "10")]), &[]);
    assert_eq!(bounded.warnings, [""; 0]);
    assert!(bounded.retention.age_max_ms == 0 && bounded.retention.updates_max == 10);
    let old = valid(&keyed(&[("HISTORY_MAX_AGE", "30d")]), &[]);
    assert_eq!((old.retention.age_max_ms, old.warnings.len()), (30 * 24 * 3_600_000, 0));
    let kept = keyed(&[("HISTORY_SIZE", "10"), ("HISTORY_CLEANUP_FREQUENCY", "0")]);
    let kept = valid(&kept, &[]);
    assert!(kept.retention.is_unbounded() && kept.warnings[0].contains("HISTORY_CLEANUP_FREQUENCY=0"));
    let in_memory = valid(&keyed(&[("DB_PATH", ":memory:")]), &[]);
    assert_eq!(in_memory.history_file, None);
    assert_eq!(in_memory.warnings.len(), 2, "{:?}", in_memory.warnings);
}

#[test]
fn every_error_is_listed_at_once_and_no_secret_is() {
    let options = given(&[
        ("ADDR", "nowhere"),
        ("HEARTBEAT_INTERVAL", "15"),
        ("MAX_BODY_SIZE", "0"),
        ("ALLOW_ANONYMOUS", "yes"),
        ("AUTHORIZATION", "both"),
        ("JWT_ALGORITHM", "none"),
        ("PUBLISHER_JWT_KEY", "secret-one"),
        ("PUBLISHER_JWT_KEY_FILE", "/key"),
        ("CORS_ALLOWED_ORIGINS", "example.com"),
        ("HISTORY_SYNC", "sometimes"),
        ("HISTORY_MAX_AGE", "old"),
        ("HISTORY_CLEANUP_FREQUENCY", "2"),
        ("SHARDS", "4"),
        ("CPUS", "0,7"),
        ("LOG_FORMAT", "XML"),
        ("COOKIE_NAME", "a b"),
        ("COMPRESS", "zstd"),
        ("ACCESS_LOG", "yes"),
        ("USE_FORWARDED_HEADERS", "on"),
        ("WRITE_TIMEOUT", "60"),
        ("METRICS_ADDR", "9464"),
        ("SUBSCRIPTIONS", "on"),
    ]);
    let errors = read(&options, &[]).err().expect("mistakes");
    let names: Vec<_> = errors.iter().filter_map(|line| line.split([' ', ':']).next()).collect();
    for name in [
        "ADDR",
        "HEARTBEAT_INTERVAL",
        "MAX_BODY_SIZE",
        "ALLOW_ANONYMOUS",
        "AUTHORIZATION",
        "JWT_ALGORITHM",
        "PUBLISHER_JWT_KEY_FILE",
        "SUBSCRIBER_JWT_KEY",
        "CORS_ALLOWED_ORIGINS",
        "HISTORY_SYNC",
        "HISTORY_MAX_AGE",
        "HISTORY_CLEANUP_FREQUENCY",
        "SHARDS",
        "CPUS",
        "LOG_FORMAT",
        "COOKIE_NAME",
        "COMPRESS",
        "ACCESS_LOG",
        "USE_FORWARDED_HEADERS",
        "WRITE_TIMEOUT",
        "METRICS_ADDR",
        "SUBSCRIPTIONS",
    ] {
        assert!(names.contains(&name), "{name} is not among {errors:#?}");
    }
    assert!(errors.iter().all(|line| !line.contains("secret-one")), "{errors:#?}");
}

#[test]
fn without_a_key_the_hub_does_not_start() {
    let errors = read(&Options::default(), &[]).err().expect("mistakes");
    assert!(errors.iter().any(|line| line.contains("JWT_KEY") && line.contains("DEMO=1")), "{errors:?}");
}

#[test]
fn demo_mode_is_loud() {
    let config = valid(&given(&[("DEMO", "1")]), &[]);
    assert_eq!(config.settings.address.port(), 3_000);
    assert!(config.settings.api.allow_anonymous);
    assert_eq!(config.warnings.len(), 4, "{:?}", config.warnings);
    let strict = keyed(&[("DEMO", "1"), ("ALLOW_ANONYMOUS", "0")]);
    let config = valid(&strict, &[]);
    assert!(!config.settings.api.allow_anonymous, "what is set wins over the demo's default");
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn debug_is_demo_and_warns_that_it_logs_contents() {
    let config = valid(&given(&[("DEBUG", "1")]), &[]);
    assert!(config.settings.log_updates && config.settings.api.allow_anonymous);
    assert_eq!(config.log_level, tracing::Level::DEBUG);
    assert!(config.warnings.iter().any(|line| line.contains("contents")), "{:?}", config.warnings);
}

#[test]
fn keys_come_from_files_and_short_ones_are_warned_of() {
    let options = given(&[("JWT_KEY_FILE", "/key")]);
    assert!(read(&options, &[]).is_ok());
    let missing = given(&[("JWT_KEY_FILE", "/missing")]);
    let errors = read(&missing, &[]).err().expect("mistakes");
    assert!(errors.iter().any(|line| line.contains("/missing")), "{errors:?}");
    let short = given(&[("JWT_KEY", "short")]);
    let warnings = valid(&short, &[]).warnings;
    assert_eq!(warnings.iter().filter(|line| line.contains("JWT_KEY is shorter")).count(), 1, "{warnings:?}");
}

#[test]
fn a_key_that_is_wrong_is_not_said_to_be_missing_too() {
    let missing = given(&[("JWT_KEY_FILE", "/missing")]);
    let twice = keyed(&[("JWT_KEY_FILE", "/key")]);
    let wrong = keyed(&[("JWT_ALGORITHM", "RS256")]);
    for (options, name) in [(missing, "JWT_KEY_FILE"), (twice, "JWT_KEY_FILE"), (wrong, "JWT_KEY")] {
        for demo in ["", "1"] {
            let errors = read(&and(&options, &[("DEMO", demo)]), &[]).err().expect("a mistake");
            assert_eq!(errors.len(), 1, "{errors:#?}");
            assert!(errors[0].starts_with(name), "{errors:#?}");
        }
    }
}

/// The keys of the roles: the index of their set among the fetched ones, or the algorithm of a
/// fixed key.
fn sources(options: &Options) -> (Config, [Result<usize, String>; 2]) {
    let config = valid(options, &[]);
    let api = &config.settings.api;
    let sources =
        [&api.publisher_key, &api.subscriber_key].map(|source| match source.as_ref().expect("a key") {
            KeySource::Fixed(key) => Err(format!("{:?}", key.algorithm())),
            KeySource::File(key) => Err(format!("{:?}", key.algorithm())),
            KeySource::Fetched(keys) => {
                let sets = &config.settings.key_sets;
                Ok(sets.iter().position(|set| Arc::ptr_eq(&set.keys, keys)).expect("it is fetched"))
            }
        });
    (config, sources)
}

#[test]
fn a_role_takes_its_key_from_a_key_set_or_from_a_setting() {
    let url = "https://issuer.example/jwks";
    let fixed = || Err("HS256".to_owned());
    let (config, both) = sources(&given(&[("JWKS_URL", url)]));
    assert_eq!((both, config.settings.key_sets.len()), ([Ok(0), Ok(0)], 1));
    assert_eq!(config.settings.key_sets[0].allowed, []);
    let (_, one) = sources(&keyed(&[("PUBLISHER_JWKS_URL", url)]));
    assert_eq!(one, [Ok(0), fixed()]);
    let (_, one) = sources(&given(&[("JWKS_URL", url), ("SUBSCRIBER_JWT_KEY", KEY)]));
    assert_eq!(one, [Ok(0), fixed()]);
    let two = given(&[("PUBLISHER_JWKS_URL", url), ("SUBSCRIBER_JWKS_URL", url)]);
    let (config, same) = sources(&two);
    assert_eq!((same, config.settings.key_sets.len()), ([Ok(0), Ok(0)], 1), "an address is fetched once");
    let (config, other) = sources(&and(&two, &[("SUBSCRIBER_JWT_ALGORITHM", "ES256")]));
    assert_eq!(
        (other, config.settings.key_sets[1].allowed.clone()),
        ([Ok(0), Ok(1)], vec![Algorithm::ES256])
    );
    // A common algorithm with a shared secret belongs to the key, not to the set.
    let mixed = keyed(&[("PUBLISHER_JWKS_URL", url), ("JWT_ALGORITHM", "HS512")]);
    let (config, mixed) = sources(&mixed);
    assert_eq!((mixed, config.settings.key_sets[0].allowed.len()), ([Ok(0), Err("HS512".to_owned())], 0));
    assert!(config.warnings.iter().all(|warning| !warning.contains("JWKS")), "{:?}", config.warnings);
    let demo = given(&[
        ("DEMO", "1"),
        ("PUBLISHER_JWKS_URL", "http://issuer.example/"),
        ("SUBSCRIBER_JWT_KEY", KEY),
    ]);
    let (config, demo) = sources(&demo);
    assert_eq!(demo, [Ok(0), fixed()]);
    let warns = |text: &str| config.warnings.iter().any(|warning| warning.contains(text));
    assert!(
        warns("PUBLISHER_JWKS_URL is fetched without TLS") && !warns("demo key"),
        "{:?}",
        config.warnings
    );
}

#[test]
fn an_address_of_a_key_set_that_cannot_be_used_is_named_without_its_password() {
    for text in [
        "issuer.example",
        "ftp://issuer.example/",
        "https://",
        "https://a.example/#s3cret",
        "/etc/keys",
        "https://user:s3cret@a.example/",
        "https://s3cret@a.example/",
        "ftp://user:s3cret@a.example/",
        "x@s3cret",
    ] {
        let errors = read(&given(&[("JWKS_URL", text)]), &[]).err().expect("a mistake");
        assert!(errors.len() == 1 && errors[0].starts_with("JWKS_URL"), "{errors:?}");
        assert!(!errors[0].contains("s3cret"), "{errors:?}");
    }
    let directory = "https://user:s3cret@a.example/?k=s3cret";
    let acme = keyed(&[("ACME_HOSTS", "a.example"), ("ACME_DIRECTORY_URL", directory)]);
    let errors = read(&acme, &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && !errors[0].contains("s3cret"), "{errors:?}");
    let twice = keyed(&[("JWKS_URL", "https://a.example/")]);
    let errors = read(&twice, &[]).err().expect("a mistake");
    assert_eq!(errors, ["JWKS_URL: expected JWT_KEY or JWKS_URL, not both"]);
    let secret = keyed(&[("PUBLISHER_JWKS_URL", "https://a.example/"), ("PUBLISHER_JWT_ALGORITHM", "HS256")]);
    let errors = read(&secret, &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && errors[0].starts_with("PUBLISHER_JWT_ALGORITHM is"), "{errors:?}");
}

/// The demo key is public: beside a key of one role, it would let everyone have the other role.
#[test]
fn the_demo_key_stands_in_only_where_no_key_is_set() {
    let is_told =
        |options: &Options| valid(options, &[]).warnings.iter().any(|line| line.contains("demo key"));
    let demo = given(&[("DEMO", "1")]);
    assert!(is_told(&demo));
    for (own, missing) in
        [("PUBLISHER_JWT_KEY", "SUBSCRIBER_JWT_KEY"), ("SUBSCRIBER_JWT_KEY", "PUBLISHER_JWT_KEY")]
    {
        let errors = read(&and(&demo, &[(own, KEY)]), &[]).err().expect("a mistake");
        assert!(errors.len() == 1 && errors[0].starts_with(missing), "{errors:?}");
        assert!(errors[0].contains("DEMO=1, which adds its own public key only"), "{errors:?}");
    }
    assert!(!is_told(&and(&demo, &[("JWT_KEY", KEY)])));
    let each = and(&demo, &[("PUBLISHER_JWT_KEY", KEY), ("SUBSCRIBER_JWT_KEY", KEY)]);
    assert!(!is_told(&each));
    // If set explicitly, it is the same key.
    assert!(is_told(&and(&each, &[("DEMO", ""), ("SUBSCRIBER_JWT_KEY", DEMO_KEY)])));
    assert!(read(&and(&each, &[("DEMO", ""), ("SUBSCRIBER_JWT_KEY", "")]), &[]).is_err());
}

#[test]
fn tokens_of_targets_cannot_name_subscriptions() {
    let on = |authorization| keyed(&[("SUBSCRIPTIONS", "1"), ("AUTHORIZATION", authorization)]);
    let settings = valid(&on(""), &[]).settings;
    assert!(settings.api.subscriptions && settings.shard.tracks_subscriptions);
    assert!(!valid(&keyed(&[]), &[]).settings.api.subscriptions);
    let errors = read(&on("targets"), &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && errors[0].contains("AUTHORIZATION=targets"), "{errors:?}");
    // Beside draft 04, tokens of draft 08 can.
    let beside = and(
        &on("targets"),
        &[
            ("PUBLIC_URL", "https://hub.e.x/.well-known/mercure"),
            ("ISSUER", "https://e.x"),
            ("ISSUER_PUBLISHER_KEY", KEY),
            ("ISSUER_SUBSCRIBER_KEY", KEY),
        ],
    );
    assert!(valid(&beside, &[]).settings.shard.tracks_subscriptions);
}

#[test]
fn metrics_are_off_unless_they_have_an_address_and_strangers_are_warned_of() {
    assert!(valid(&keyed(&[]), &[]).settings.metrics.is_none());
    let given = |address: &str| valid(&keyed(&[("METRICS_ADDR", address)]), &[]);
    let is_warned = |config: &Config| config.warnings.iter().any(|warning| warning.contains("METRICS_ADDR"));
    let config = given("127.0.0.1:9464");
    let metrics = config.settings.metrics.as_ref().expect("an address");
    assert_eq!(metrics.address.to_string(), "127.0.0.1:9464");
    assert_eq!(metrics.history_file, config.history_file);
    assert!(!is_warned(&config) && is_warned(&given(":9464")));
}

#[test]
fn a_certificate_and_its_key_come_together_and_move_the_port() {
    let (cert, key) = ("/cert.pem", "/key.pem");
    let both = keyed(&[("CERT_FILE", cert), ("KEY_FILE", key)]);
    let settings = valid(&both, &[]).settings;
    let files = Files { certificate: "/cert.pem".into(), key: "/key.pem".into() };
    assert_eq!(settings.tls, Some(CertificateSource::Files(files)));
    assert_eq!(settings.address.to_string(), "[::]:443");
    let demo = valid(&and(&both, &[("DEMO", "1")]), &[]).settings;
    assert_eq!((demo.address.port(), demo.tls.is_some()), (3_000, true));
    let elsewhere = valid(&and(&both, &[("ADDR", ":8443")]), &[]).settings;
    assert_eq!(elsewhere.address.port(), 8_443);
    for (cert_file, key_file, missing) in [(cert, "", "KEY_FILE"), ("", key, "CERT_FILE")] {
        let errors =
            read(&keyed(&[("CERT_FILE", cert_file), ("KEY_FILE", key_file)]), &[]).err().expect("a mistake");
        assert!(errors.len() == 1 && errors[0].starts_with(missing), "{errors:?}");
    }
    assert_eq!(valid(&keyed(&[]), &[]).settings.tls, None);
}

#[test]
fn hosts_for_certificates_stand_alone_and_move_the_port() {
    let hosts = keyed(&[("ACME_HOSTS", "a.example,b.example")]);
    let settings = valid(&hosts, &[]).settings;
    assert_eq!(settings.address.to_string(), "[::]:443");
    let defaults = AcmeSettings {
        hosts: vec!["a.example".to_owned(), "b.example".to_owned()],
        folder: "acme".into(),
        directory_url: "https://acme-v02.api.letsencrypt.org/directory".to_owned(),
        email: None,
        ca_file: None,
        http_address: Some("[::]:80".parse().expect("an address")),
    };
    assert_eq!(settings.tls, Some(CertificateSource::Acme(defaults)));
    let both = and(&hosts, &[("CERT_FILE", "/cert.pem"), ("KEY_FILE", "/key.pem")]);
    let errors = read(&both, &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && errors[0].starts_with("ACME_HOSTS"), "{errors:?}");
    let wildcard = keyed(&[("ACME_HOSTS", "*.example"), ("ACME_EMAIL", "a@b.example")]);
    let errors = read(&wildcard, &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && errors[0].contains("dns-01"), "{errors:?}");
    let idle = keyed(&[("ACME_EMAIL", "a@b.example"), ("ACME_CERT_DIR", "acme")]);
    let config = valid(&idle, &[]);
    assert_eq!(config.settings.tls, None);
    assert!(config.warnings.iter().any(|line| line == "ACME_EMAIL does nothing without ACME_HOSTS"));
    assert!(!config.warnings.iter().any(|line| line.contains("ACME_CERT_DIR")), "{:?}", config.warnings);
}

/// The suffixes and bounds of sizes, through to the resulting settings.
#[test]
fn sizes_reach_the_settings_within_their_bounds() {
    let body =
        |text: &str| read(&keyed(&[("MAX_BODY_SIZE", text)]), &[]).map(|c| c.settings.api.body_bytes_max);
    for (text, bytes) in [("1048576", 1 << 20), ("1MiB", 1 << 20), ("512KiB", 512 << 10), ("1MB", 1_000_000)]
    {
        assert_eq!(body(text), Ok(bytes), "{text}");
    }
    assert!(body("256MiB").is_ok() && body("257MiB").is_err());
    let buffer = |text: &str| {
        let options = keyed(&[("SUBSCRIBER_BUFFER", text)]);
        read(&options, &[]).map(|config| config.settings.shard.subscriber_buffer_bytes)
    };
    assert_eq!((buffer("4KiB"), buffer("1GiB")), (Ok(4 << 10), Ok(1 << 30)));
    assert!(buffer("4095").is_err() && buffer("2GiB").is_err());
}

#[test]
fn cores_are_chosen() {
    let cpus = |shards: &str, cpus: &str| {
        let options = keyed(&[("SHARDS", shards), ("CPUS", cpus)]);
        read(&options, &[]).map(|config| config.settings.cpus)
    };
    assert_eq!(cpus("2", ""), Ok(vec![0, 1]));
    assert_eq!(cpus("", "5"), Ok(vec![5]));
    assert_eq!(cpus("1", "1,5"), Ok(vec![1]));
    assert!(cpus("3", "1,5").is_err());
    assert!(cpus("", "2").is_err());
}

#[test]
fn a_misspelled_variable_is_told_of_and_a_foreign_one_is_not() {
    let variables = [
        ("HEARTBEAT_INTERVALL", "1s"),
        ("MERCURE_JWT_KEY", "x"),
        ("PATH", "/bin"),
        ("HOME", "/root"),
        ("ADDRESS", "x"),
        ("DB_PASS", "x"),
        ("CDPATH", "x"),
        ("COMPRESS", "0"),
        ("LOGNAME", "x"),
        ("SHARD", "x"),
    ];
    let warnings = valid(&keyed(&[]), &variables).warnings;
    assert!(
        warnings
            .contains(&"unknown variable HEARTBEAT_INTERVALL; did you mean HEARTBEAT_INTERVAL?".to_owned())
    );
    assert!(warnings.contains(&"unknown variable MERCURE_JWT_KEY; did you mean JWT_KEY?".to_owned()));
    let of_others = [
        ("MERCURE_PUBLISHER_JWT_ALG", "; did you mean PUBLISHER_JWT_ALGORITHM?"),
        ("MERCURE_TRUSTED_ISSUERS", "; did you mean ISSUERS_FILE?"),
        ("MERCURE_LICENSE", ": it is of another hub, and does nothing here"),
        ("MERCURE_", ": it is of another hub, and does nothing here"),
    ];
    for (name, rest) in of_others {
        let config = valid(&keyed(&[("HISTORY_SIZE", "1")]), &[(name, "x")]);
        assert_eq!(config.warnings, [format!("unknown variable {name}{rest}")]);
    }
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

/// The help shows such a default, and a setting that is not given has it.
#[test]
fn every_default_in_the_help_is_valid_and_in_force() {
    let options = keyed(&[]);
    let rows = valid(&options, &[]).effective(&options);
    let mut count = 0;
    for (setting, row) in settings::all().zip(rows) {
        assert_eq!(setting.name(), row.name);
        let Some(default) = setting.default().value() else { continue };
        count += 1;
        assert_eq!(setting.error(default, &[0]), None, "{}", setting.name());
        // What has no value here depends on ACME_HOSTS.
        let value = row.value.unwrap_or_else(|| default.to_owned());
        assert_eq!(value, default, "{}", setting.name());
    }
    assert!(count > 25, "{count}");
    let settings = valid(&options, &[]).settings;
    assert_eq!(settings.api.body_bytes_max, BODY_BYTES_MAX_DEFAULT as u64);
    assert_eq!(settings.api.selectors.count_max, SELECTORS_MAX_DEFAULT);
    let anonymous = settings.api.selectors_anonymous;
    assert_eq!(anonymous.count_max, SELECTORS_ANONYMOUS_MAX_DEFAULT);
    assert_eq!(anonymous.bytes_max, SELECTOR_BYTES_ANONYMOUS_MAX_DEFAULT);
    assert_eq!(settings.shard.subscriber_buffer_bytes, SUBSCRIBER_BUFFER_DEFAULT);
}

/// A setting that nothing reads would be accepted with any value.
#[test]
fn every_setting_is_read() {
    let mut count = 0;
    for setting in settings::all() {
        let name = setting.name();
        let Some(expected) = setting.error("?", &[0, 1, 5]) else { continue };
        count += 1;
        // In demo mode, no key is missing.
        let errors = read(&given(&[("DEMO", "1"), (name, "?")]), &[]).err().expect("an error");
        let error = ConfigError { name, value: Some("?".to_owned()), expected };
        let without_value = ConfigError { value: None, ..error.clone() };
        let texts = [error.to_string(), without_value.to_string()];
        assert!(errors.iter().any(|error| texts.contains(error)), "{name}: {errors:?}");
    }
    assert!(count > 40, "{count}");
}
