//! Settings, read in surroundings that the test makes up.

use super::*;

fn valid(options: &Options, environment: &[(&str, &str)]) -> Config {
    read(options, environment).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

fn read(options: &Options, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment: Vec<_> = environment.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    let read_file = |path: &str| match path {
        "/key" => Ok("a secret of at least thirty-two bytes\n".to_owned()),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    let surroundings = Surroundings { read_file: &read_file, cpus: &[0, 1, 5], environment: &environment };
    Config::read(options, &surroundings).map_err(|mistakes| mistakes.iter().map(Mistake::to_string).collect())
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
    assert_eq!(config.log_level, tracing::Level::INFO);
    assert_eq!(
        config.warnings,
        [
            "the history is kept in memory: it does not survive a restart",
            "the history in memory has no bound: set HISTORY_SIZE or HISTORY_MAX_BYTES",
        ]
    );
    let bounded = valid(&Options { history_size: some("10"), ..with_key() }, &[]);
    assert_eq!(bounded.warnings.len(), 1, "{:?}", bounded.warnings);
}

#[test]
fn every_mistake_is_listed_at_once_and_no_secret_is() {
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
        db_path: some("updates.db"),
        shards: some("4"),
        cpus: some("0,7"),
        log_format: some("XML"),
        cookie_name: some("a b"),
        ..Options::default()
    };
    let mistakes = read(&options, &[("COMPRESS", "1")]).err().expect("mistakes");
    let names: Vec<_> = mistakes.iter().filter_map(|line| line.split([' ', ':']).next()).collect();
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
        "DB_PATH",
        "SHARDS",
        "CPUS",
        "LOG_FORMAT",
        "COOKIE_NAME",
        "COMPRESS",
    ] {
        assert!(names.contains(&name), "{name} is not among {mistakes:#?}");
    }
    assert!(mistakes.iter().all(|line| !line.contains("secret-one")), "{mistakes:#?}");
}

#[test]
fn without_a_key_the_hub_does_not_start() {
    let mistakes = read(&Options::default(), &[]).err().expect("mistakes");
    assert!(mistakes.iter().any(|line| line.contains("JWT_KEY") && line.contains("DEMO=1")), "{mistakes:?}");
}

#[test]
fn demo_mode_is_loud() {
    let config = valid(&Options { demo: some("1"), ..Options::default() }, &[]);
    assert_eq!(config.settings.address.port(), 3_000);
    assert!(config.settings.gate.allow_anonymous);
    assert_eq!(config.warnings.len(), 5, "{:?}", config.warnings);
    let strict = Options { demo: some("1"), allow_anonymous: some("0"), ..with_key() };
    let config = valid(&strict, &[]);
    assert!(!config.settings.gate.allow_anonymous, "what is set wins over the demo's default");
    assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
}

#[test]
fn keys_come_from_files_and_short_ones_are_warned_of() {
    let options = Options { jwt_key_file: some("/key"), ..Options::default() };
    assert!(read(&options, &[]).is_ok());
    let missing = Options { jwt_key_file: some("/missing"), ..Options::default() };
    let mistakes = read(&missing, &[]).err().expect("mistakes");
    assert!(mistakes.iter().any(|line| line.contains("/missing")), "{mistakes:?}");
    let short = Options { jwt_key: some("short"), ..Options::default() };
    let warnings = valid(&short, &[]).warnings;
    assert_eq!(warnings.iter().filter(|line| line.contains("JWT_KEY is shorter")).count(), 1, "{warnings:?}");
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
    let environment = [
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
    let warnings = valid(&with_key(), &environment).warnings;
    assert!(
        warnings
            .contains(&"unknown variable HEARTBEAT_INTERVALL; did you mean HEARTBEAT_INTERVAL?".to_owned())
    );
    assert!(warnings.contains(&"unknown variable MERCURE_JWT_KEY; did you mean JWT_KEY?".to_owned()));
    assert_eq!(warnings.len(), 4, "{warnings:?}");
}
