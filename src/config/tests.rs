//! Settings, read in an environment that the test provides.

use super::*;
use crate::api::keyring::KeySource;
use crate::io::tls::certificate::Files;
use crate::mercure::token::Algorithm;
use crate::services::acme::AcmeSettings;
use crate::services::certificates::CertificateSource;

fn valid(options: &Options, variables: &[(&str, &str)]) -> Config {
    read(options, variables).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn read(options: &Options, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let variables: Vec<_> = variables.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    let read_file = |path: &str| match path {
        "/key" => Ok("a secret of at least thirty-two bytes\n".to_owned()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    let environment = Environment { read_file: &read_file, cpus: &[0, 1, 5], variables: &variables };
    Config::read(options, &environment).map_err(|errors| errors.iter().map(ConfigError::to_string).collect())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn with_key() -> Options {
    Options { jwt_key: some("0123456789abcdef0123456789abcdef"), ..Options::default() }
}

#[test]
fn the_defaults_are_those_of_the_protocol_document() {
    let config = valid(&with_key(), &[]);
    let settings = &config.settings;
    assert_eq!(settings.address.to_string(), "[::]:80");
    assert_eq!(settings.cpus, [0, 1, 5]);
    assert_eq!((settings.shard.heartbeat_ms, settings.drain_ms), (15_000, 10_000));
    assert_eq!(
        (settings.timeouts.header_ms, settings.timeouts.read_ms, settings.timeouts.write_ms),
        (10_000, 0, 30_000)
    );
    assert_eq!((settings.gate.body_bytes_max, settings.gate.selectors_max), (1 << 20, 1_000));
    assert_eq!(settings.gate.cookie_name, "mercureAuthorization");
    assert!(!settings.gate.allow_anonymous);
    assert!(settings.gate.compress);
    assert!(!valid(&Options { compress: some("0"), ..with_key() }, &[]).settings.gate.compress);
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
    let bounded = valid(&Options { history_size: some("10"), ..with_key() }, &[]);
    assert_eq!(bounded.warnings, [""; 0]);
    assert!(bounded.retention.age_max_ms == 0 && bounded.retention.updates_max == 10);
    let old = valid(&Options { history_max_age: some("30d"), ..with_key() }, &[]);
    assert_eq!((old.retention.age_max_ms, old.warnings.len()), (30 * 24 * 3_600_000, 0));
    let kept = Options { history_size: some("10"), history_cleanup_frequency: some("0"), ..with_key() };
    let kept = valid(&kept, &[]);
    assert!(kept.retention.is_unbounded() && kept.warnings[0].contains("HISTORY_CLEANUP_FREQUENCY=0"));
    let in_memory = valid(&Options { db_path: some(":memory:"), ..with_key() }, &[]);
    assert_eq!(in_memory.history_file, None);
    assert_eq!(in_memory.warnings.len(), 2, "{:?}", in_memory.warnings);
}

#[test]
fn every_error_is_listed_at_once_and_no_secret_is() {
    let options = Options {
        addr: some("nowhere"),
        heartbeat_interval: some("15"),
        max_body_size: some("0"),
        allow_anonymous: some("yes"),
        authorization: some("both"),
        jwt_algorithm: some("none"),
        publisher_jwt_key: some("secret-one"),
        publisher_jwt_key_file: some("/key"),
        cors_allowed_origins: some("example.com"),
        history_sync: some("sometimes"),
        history_max_age: some("old"),
        history_cleanup_frequency: some("2"),
        shards: some("4"),
        cpus: some("0,7"),
        log_format: some("XML"),
        cookie_name: some("a b"),
        compress: some("zstd"),
        access_log: some("yes"),
        use_forwarded_headers: some("on"),
        write_timeout: some("60"),
        metrics_addr: some("9464"),
        subscriptions: some("on"),
        ..Options::default()
    };
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
    let config = valid(&Options { demo: some("1"), ..Options::default() }, &[]);
    assert_eq!(config.settings.address.port(), 3_000);
    assert!(config.settings.gate.allow_anonymous);
    assert_eq!(config.warnings.len(), 4, "{:?}", config.warnings);
    let strict = Options { demo: some("1"), allow_anonymous: some("0"), ..with_key() };
    let config = valid(&strict, &[]);
    assert!(!config.settings.gate.allow_anonymous, "what is set wins over the demo's default");
    assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
}

#[test]
fn debug_is_demo_and_warns_that_it_logs_contents() {
    let config = valid(&Options { debug: some("1"), ..Options::default() }, &[]);
    assert!(config.settings.log_updates && config.settings.gate.allow_anonymous);
    assert_eq!(config.log_level, tracing::Level::DEBUG);
    assert!(config.warnings.iter().any(|line| line.contains("contents")), "{:?}", config.warnings);
}

#[test]
fn keys_come_from_files_and_short_ones_are_warned_of() {
    let options = Options { jwt_key_file: some("/key"), ..Options::default() };
    assert!(read(&options, &[]).is_ok());
    let missing = Options { jwt_key_file: some("/missing"), ..Options::default() };
    let errors = read(&missing, &[]).err().expect("mistakes");
    assert!(errors.iter().any(|line| line.contains("/missing")), "{errors:?}");
    let short = Options { jwt_key: some("short"), ..Options::default() };
    let warnings = valid(&short, &[]).warnings;
    assert_eq!(warnings.iter().filter(|line| line.contains("JWT_KEY is shorter")).count(), 1, "{warnings:?}");
}

#[test]
fn a_key_that_is_wrong_is_not_said_to_be_missing_too() {
    let missing = Options { jwt_key_file: some("/missing"), ..Options::default() };
    let twice = Options { jwt_key_file: some("/key"), ..with_key() };
    let wrong = Options { jwt_algorithm: some("RS256"), ..with_key() };
    for (options, name) in [(missing, "JWT_KEY_FILE"), (twice, "JWT_KEY_FILE"), (wrong, "JWT_KEY")] {
        for demo in [None, some("1")] {
            let errors = read(&Options { demo, ..options.clone() }, &[]).err().expect("a mistake");
            assert_eq!(errors.len(), 1, "{errors:#?}");
            assert!(errors[0].starts_with(name), "{errors:#?}");
        }
    }
}

/// The keys of the roles: the index of their set among the fetched ones, or the algorithm of a
/// fixed key.
fn sources(options: &Options) -> (Config, [Result<usize, String>; 2]) {
    let config = valid(options, &[]);
    let gate = &config.settings.gate;
    let sources = [&gate.publisher_key, &gate.subscriber_key].map(|source| match source {
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
    let url = || some("https://issuer.example/jwks");
    let fixed = || Err("HS256".to_owned());
    let (config, both) = sources(&Options { jwks_url: url(), ..Options::default() });
    assert_eq!((both, config.settings.key_sets.len()), ([Ok(0), Ok(0)], 1));
    assert_eq!(config.settings.key_sets[0].only, None);
    let (_, one) = sources(&Options { publisher_jwks_url: url(), ..with_key() });
    assert_eq!(one, [Ok(0), fixed()]);
    let own_key = some("0123456789abcdef0123456789abcdef");
    let (_, one) = sources(&Options { jwks_url: url(), subscriber_jwt_key: own_key, ..Options::default() });
    assert_eq!(one, [Ok(0), fixed()]);
    let two = Options { publisher_jwks_url: url(), subscriber_jwks_url: url(), ..Options::default() };
    let (config, same) = sources(&two);
    assert_eq!((same, config.settings.key_sets.len()), ([Ok(0), Ok(0)], 1), "an address is fetched once");
    let (config, other) = sources(&Options { subscriber_jwt_algorithm: some("ES256"), ..two });
    assert_eq!((other, config.settings.key_sets[1].only), ([Ok(0), Ok(1)], Some(Algorithm::ES256)));
    // A common algorithm with a shared secret belongs to the key, not to the set.
    let mixed = Options { publisher_jwks_url: url(), jwt_algorithm: some("HS512"), ..with_key() };
    let (config, mixed) = sources(&mixed);
    assert_eq!((mixed, config.settings.key_sets[0].only), ([Ok(0), Err("HS512".to_owned())], None));
    assert!(config.warnings.iter().all(|warning| !warning.contains("JWKS")), "{:?}", config.warnings);
    let demo =
        Options { demo: some("1"), publisher_jwks_url: some("http://issuer.example/"), ..Options::default() };
    let (config, demo) = sources(&demo);
    assert_eq!(demo, [Ok(0), fixed()]);
    let warns = |text: &str| config.warnings.iter().any(|warning| warning.contains(text));
    assert!(warns("PUBLISHER_JWKS_URL is fetched without TLS") && warns("demo key"), "{:?}", config.warnings);
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
        let errors =
            read(&Options { jwks_url: some(text), ..Options::default() }, &[]).err().expect("a mistake");
        assert!(errors.len() == 1 && errors[0].starts_with("JWKS_URL"), "{errors:?}");
        assert!(!errors[0].contains("s3cret"), "{errors:?}");
    }
    let directory = "https://user:s3cret@a.example/?k=s3cret";
    let acme = Options { acme_hosts: some("a.example"), acme_directory_url: some(directory), ..with_key() };
    let errors = read(&acme, &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && !errors[0].contains("s3cret"), "{errors:?}");
    let twice = Options { jwks_url: some("https://a.example/"), ..with_key() };
    let errors = read(&twice, &[]).err().expect("a mistake");
    assert_eq!(errors, ["JWKS_URL: expected JWT_KEY or JWKS_URL, not both"]);
    let secret = Options {
        publisher_jwks_url: some("https://a.example/"),
        publisher_jwt_algorithm: some("HS256"),
        ..with_key()
    };
    let errors = read(&secret, &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && errors[0].starts_with("PUBLISHER_JWT_ALGORITHM is"), "{errors:?}");
}

#[test]
fn the_demo_key_stands_in_only_for_a_key_that_is_missing() {
    let is_told =
        |options: &Options| valid(options, &[]).warnings.iter().any(|line| line.contains("demo key"));
    let secret = || some("0123456789abcdef0123456789abcdef");
    let demo = || Options { demo: some("1"), ..Options::default() };
    assert!(is_told(&Options { publisher_jwt_key: secret(), ..demo() }), "subscribers have none");
    assert!(!is_told(&Options { jwt_key: secret(), ..demo() }));
    let each = Options { publisher_jwt_key: secret(), subscriber_jwt_key: secret(), ..demo() };
    assert!(!is_told(&each));
    // If set explicitly, it is the same key.
    assert!(is_told(&Options { demo: None, subscriber_jwt_key: some(DEMO_KEY), ..each.clone() }));
    assert!(read(&Options { demo: None, subscriber_jwt_key: None, ..each }, &[]).is_err());
}

#[test]
fn tokens_of_targets_cannot_name_subscriptions() {
    let on = |authorization| Options { subscriptions: some("1"), authorization, ..with_key() };
    let settings = valid(&on(None), &[]).settings;
    assert!(settings.gate.subscriptions && settings.shard.tracks_subscriptions);
    assert!(!valid(&with_key(), &[]).settings.gate.subscriptions);
    let errors = read(&on(some("targets")), &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && errors[0].contains("AUTHORIZATION=targets"), "{errors:?}");
}

#[test]
fn metrics_are_off_unless_they_have_an_address_and_strangers_are_warned_of() {
    assert!(valid(&with_key(), &[]).settings.metrics.is_none());
    let given = |address: &str| valid(&Options { metrics_addr: some(address), ..with_key() }, &[]);
    let is_warned = |config: &Config| config.warnings.iter().any(|warning| warning.contains("METRICS_ADDR"));
    let config = given("127.0.0.1:9464");
    let metrics = config.settings.metrics.as_ref().expect("an address");
    assert_eq!(metrics.address.to_string(), "127.0.0.1:9464");
    assert_eq!(metrics.history_file, config.history_file);
    assert!(!is_warned(&config) && is_warned(&given(":9464")));
}

#[test]
fn a_certificate_and_its_key_come_together_and_move_the_port() {
    let (cert, key) = (some("/cert.pem"), some("/key.pem"));
    let both = Options { cert_file: cert.clone(), key_file: key.clone(), ..with_key() };
    let settings = valid(&both, &[]).settings;
    let files = Files { certificate: "/cert.pem".into(), key: "/key.pem".into() };
    assert_eq!(settings.tls, Some(CertificateSource::Files(files)));
    assert_eq!(settings.address.to_string(), "[::]:443");
    let demo = valid(&Options { demo: some("1"), ..both.clone() }, &[]).settings;
    assert_eq!((demo.address.port(), demo.tls.is_some()), (3_000, true));
    let elsewhere = valid(&Options { addr: some(":8443"), ..both }, &[]).settings;
    assert_eq!(elsewhere.address.port(), 8_443);
    for (cert_file, key_file, missing) in [(cert, some(""), "KEY_FILE"), (None, key, "CERT_FILE")] {
        let errors = read(&Options { cert_file, key_file, ..with_key() }, &[]).err().expect("a mistake");
        assert!(errors.len() == 1 && errors[0].starts_with(missing), "{errors:?}");
    }
    assert_eq!(valid(&with_key(), &[]).settings.tls, None);
}

#[test]
fn hosts_for_certificates_stand_alone_and_move_the_port() {
    let hosts = Options { acme_hosts: some("a.example,b.example"), ..with_key() };
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
    let both = Options { cert_file: some("/cert.pem"), key_file: some("/key.pem"), ..hosts };
    let errors = read(&both, &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && errors[0].starts_with("ACME_HOSTS"), "{errors:?}");
    let wildcard = Options { acme_hosts: some("*.example"), acme_email: some("a@b.example"), ..with_key() };
    let errors = read(&wildcard, &[]).err().expect("a mistake");
    assert!(errors.len() == 1 && errors[0].contains("dns-01"), "{errors:?}");
    let idle = Options { acme_email: some("a@b.example"), acme_cert_dir: some("acme"), ..with_key() };
    let config = valid(&idle, &[]);
    assert_eq!(config.settings.tls, None);
    assert!(config.warnings.iter().any(|line| line == "ACME_EMAIL does nothing without ACME_HOSTS"));
    assert!(!config.warnings.iter().any(|line| line.contains("ACME_CERT_DIR")), "{:?}", config.warnings);
}

/// The suffixes and bounds of sizes, through to the resulting settings.
#[test]
fn sizes_reach_the_settings_within_their_bounds() {
    let body = |text: &str| {
        read(&Options { max_body_size: some(text), ..with_key() }, &[])
            .map(|c| c.settings.gate.body_bytes_max)
    };
    for (text, bytes) in [("1048576", 1 << 20), ("1MiB", 1 << 20), ("512KiB", 512 << 10), ("1MB", 1_000_000)]
    {
        assert_eq!(body(text), Ok(bytes), "{text}");
    }
    assert!(body("256MiB").is_ok() && body("257MiB").is_err());
    let buffer = |text: &str| {
        let options = Options { subscriber_buffer: some(text), ..with_key() };
        read(&options, &[]).map(|config| config.settings.shard.subscriber_buffer_bytes)
    };
    assert_eq!((buffer("4KiB"), buffer("1GiB")), (Ok(4 << 10), Ok(1 << 30)));
    assert!(buffer("4095").is_err() && buffer("2GiB").is_err());
}

#[test]
fn cores_are_chosen() {
    let cpus = |shards: Option<&str>, cpus: Option<&str>| {
        let options =
            Options { shards: shards.map(str::to_owned), cpus: cpus.map(str::to_owned), ..with_key() };
        read(&options, &[]).map(|config| config.settings.cpus)
    };
    assert_eq!(cpus(Some("2"), None), Ok(vec![0, 1]));
    assert_eq!(cpus(None, Some("5")), Ok(vec![5]));
    assert_eq!(cpus(Some("1"), Some("1,5")), Ok(vec![1]));
    assert!(cpus(Some("3"), Some("1,5")).is_err());
    assert!(cpus(None, Some("2")).is_err());
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
    let warnings = valid(&with_key(), &variables).warnings;
    assert!(
        warnings
            .contains(&"unknown variable HEARTBEAT_INTERVALL; did you mean HEARTBEAT_INTERVAL?".to_owned())
    );
    assert!(warnings.contains(&"unknown variable MERCURE_JWT_KEY; did you mean JWT_KEY?".to_owned()));
    let of_others = [
        ("MERCURE_PUBLISHER_JWT_ALG", "; did you mean PUBLISHER_JWT_ALGORITHM?"),
        ("MERCURE_LICENSE", ": it is of another hub, and does nothing here"),
        ("MERCURE_", ": it is of another hub, and does nothing here"),
    ];
    for (name, rest) in of_others {
        let config = valid(&Options { history_size: some("1"), ..with_key() }, &[(name, "x")]);
        assert_eq!(config.warnings, [format!("unknown variable {name}{rest}")]);
    }
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}
