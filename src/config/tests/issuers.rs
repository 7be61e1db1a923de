//! Settings of Mercure 1.0: what a hub speaks, and whose tokens it takes.

use super::*;
use crate::api::keyring::Issuer;
use crate::mercure::audience::Authorization;
use crate::mercure::dialect::Dialects;
use crate::services::discovery::Discovery;
use crate::services::key_sets::KeySetLocation;

const URL: (&str, &str) = ("PUBLIC_URL", "https://hub.e.x/.well-known/mercure");
const NAME: (&str, &str) = ("ISSUER", "https://e.x");
const PUBLISHER: (&str, &str) = ("ISSUER_PUBLISHER_KEY", KEY);
const SUBSCRIBER: (&str, &str) = ("ISSUER_SUBSCRIBER_KEY", KEY);
const PEM: &str = include_str!("../../../tests/data/keys/rsa-public.pem");

/// A hub of 08 alone, and these settings.
fn modern(settings: &[(&str, &str)]) -> Options {
    and(&given(&[URL, NAME, PUBLISHER, SUBSCRIBER]), settings)
}

fn errors(options: &Options) -> Vec<String> {
    read(options, &[]).err().expect("a mistake")
}

/// With a file `/issuers` of this content.
fn with_file(content: &str, settings: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let read_file = |path: &str| match path {
        "/issuers" => Ok(content.to_owned()),
        "/key" => Ok(format!("{KEY}\n")),
        _ => Err(std::io::Error::from(std::io::ErrorKind::NotFound)),
    };
    let environment = Environment { read_file: &read_file, cpus: &[0], memory: None, variables: &[] };
    let options = and(&given(&[URL, ("ISSUERS_FILE", "/issuers")]), settings);
    Config::read(&options, &environment).map_err(|errors| errors.iter().map(ConfigError::to_string).collect())
}

#[test]
fn the_dialects_follow_from_the_keys() {
    let dialects = |options: &Options| {
        let config = valid(options, &[]);
        written::dialects(config.settings.api.dialects)
    };
    let targets = ("AUTHORIZATION", "targets");
    for (options, expected) in [
        (keyed(&[]), "07"),
        (keyed(&[targets]), "04"),
        (keyed(&[("PROTOCOL", "04")]), "04"),
        (modern(&[]), "08"),
        (modern(&[("JWT_KEY", KEY)]), "07,08"),
        (modern(&[("JWT_KEY", KEY), targets]), "04,08"),
        (modern(&[("JWT_KEY", KEY), ("PROTOCOL", "08,04")]), "04,08"),
        (given(&[("DEMO", "1")]), "07,08"),
        (given(&[("DEMO", "1"), targets]), "04,08"),
        (given(&[("DEMO", "1"), ("PROTOCOL", "08")]), "08"),
        (keyed(&[("DEMO", "1")]), "07"),
        (modern(&[("DEMO", "1")]), "08"),
    ] {
        assert_eq!(dialects(&options), expected);
    }
    let four = valid(&keyed(&[("PROTOCOL", "04")]), &[]).settings.api;
    assert_eq!(four.authorization, Authorization::Targets);
}

/// Test 127 of MERCURE-1.0, section 13.
#[test]
fn a_contradiction_stops_the_start_and_names_the_setting() {
    let both = |settings: &[(&str, &str)]| and(&modern(&[("JWT_KEY", KEY)]), settings);
    for (options, name, part) in [
        (both(&[("PROTOCOL", "04,07")]), "PROTOCOL", "not both"),
        (modern(&[("PUBLIC_URL", "")]), "PUBLIC_URL", "the hub's URL"),
        (keyed(&[URL, ("PROTOCOL", "08")]), "JWT_KEY", "Name an ISSUER"),
        (keyed(&[URL, ("PROTOCOL", "08")]), "ISSUER", "no JWT_KEY verifies"),
        (keyed(&[URL, ("PROTOCOL", "07,08")]), "ISSUER", "no JWT_KEY verifies"),
        (both(&[("PROTOCOL", "08")]), "JWT_KEY", "nothing with PROTOCOL=08"),
        (both(&[("PROTOCOL", "07")]), "ISSUER", "nothing with PROTOCOL=07"),
        (modern(&[("ISSUER_PUBLISHER_KEY", PEM)]), "ISSUER_PUBLISHER_KEY", "not a PEM document"),
        (
            both(&[("ACCESS_TOKEN_COOKIE_NAME", "mercureAuthorization")]),
            "ACCESS_TOKEN_COOKIE_NAME",
            "another",
        ),
        (modern(&[("PROTOCOL", "04,08"), ("AUTHORIZATION", "selectors")]), "AUTHORIZATION", "targets"),
        (modern(&[("ISSUER_SUBSCRIBER_KEY", "")]), "ISSUER_SUBSCRIBER_KEY", "both or neither"),
        (modern(&[("ISSUER", ""), ("DEMO", "1")]), "ISSUER", "the issuer of ISSUER_PUBLISHER_KEY"),
        (modern(&[("ISSUERS_FILE", "/issuers")]), "ISSUERS_FILE", "not both"),
        (modern(&[("ISSUER_PUBLISHER_ALGORITHMS", "HS256,HS512")]), "ISSUER_PUBLISHER_ALGORITHMS", "one"),
        (modern(&[("ISSUER_PUBLISHER_JWKS_URL", "https://e.x/")]), "ISSUER_PUBLISHER_JWKS_URL", "not both"),
        (given(&[URL, ("ISSUER", "urn:x")]), "ISSUER_PUBLISHER_ALGORITHMS", "a key or a key set"),
        (modern(&[("PUBLIC_URL", "https://hub.e.x/hub")]), "PUBLIC_URL", "path"),
    ] {
        let errors = errors(&options);
        let is_told = errors.iter().any(|error| error.starts_with(name) && error.contains(part));
        assert!(is_told && errors.iter().all(|error| !error.contains(KEY)), "{name}: {errors:#?}");
    }
    let one_cookie = modern(&[("ACCESS_TOKEN_COOKIE_NAME", "mercureAuthorization")]);
    assert!(read(&one_cookie, &[]).is_ok(), "alone, a dialect may have any cookie");
}

#[test]
fn an_issuer_has_keys_a_key_set_or_metadata() {
    let config =
        valid(&modern(&[("ISSUER_PUBLISHER_KEY", PEM), ("ISSUER_PUBLISHER_ALGORITHMS", "PS256")]), &[]);
    let api = &config.settings.api;
    let [Issuer { name, publisher, subscriber, is_advertised }] = &*api.issuers else { panic!("one issuer") };
    assert_eq!((&**name, *is_advertised), ("https://e.x", false));
    let algorithm = |source: &Option<KeySource>| match source {
        Some(KeySource::Fixed(key)) => key.algorithm(),
        _ => panic!("a key"),
    };
    assert_eq!((algorithm(publisher), algorithm(subscriber)), (Algorithm::PS256, Algorithm::HS256));
    assert!(api.publisher_key.is_none() && api.subscriber_key.is_none());
    assert_eq!(api.dialects, Dialects::with_draft08(None));
    assert_eq!(api.audiences[..], [Box::from(URL.1)]);
    assert_eq!(api.access_token_cookie_name, "__Secure-mercure_access_token");

    let sets = |settings: &[(&str, &str)]| {
        let config = valid(&given(&[&[URL, NAME], settings].concat()), &[]);
        let sets = config.settings.key_sets.into_iter().map(|set| (set.location, set.allowed));
        (sets.collect::<Vec<_>>(), config.settings.api.issuers[0].is_advertised)
    };
    let discovery = Discovery { issuer: "https://e.x".into(), allows_private: false };
    let recommended = vec![Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256];
    assert_eq!(sets(&[]), (vec![(KeySetLocation::Metadata(discovery), recommended)], true));
    let (publisher, subscriber) =
        (("ISSUER_PUBLISHER_JWKS_URL", "https://e.x/a"), ("ISSUER_SUBSCRIBER_JWKS_URL", "https://e.x/b"));
    let (two, _) = sets(&[publisher, subscriber, ("ISSUER_SUBSCRIBER_ALGORITHMS", "ES384 ES256")]);
    let allowed: Vec<_> = two.iter().map(|(_, allowed)| allowed.len()).collect();
    assert_eq!(allowed, [3, 2]);
    let secret = given(&[URL, NAME, publisher, subscriber, ("ISSUER_PUBLISHER_ALGORITHMS", "HS256")]);
    assert!(errors(&secret)[0].contains("no shared secret is taken from a key set"), "trap 39");
}

#[test]
fn further_audiences_are_accepted_and_not_the_resource() {
    let config =
        valid(&modern(&[("RESOURCE_IDENTIFIER", "https://id.e.x/"), ("AUDIENCES", "http://a:1 urn:b")]), &[]);
    let api = &config.settings.api;
    assert_eq!(api.resource_identifier.as_deref(), Some("https://id.e.x/"));
    assert_eq!(api.audiences[..], ["https://id.e.x/", "http://a:1", "urn:b"].map(Box::from));
    let idle = valid(&keyed(&[("AUDIENCES", "urn:b")]), &[]);
    assert!(
        idle.warnings.iter().any(|line| line.starts_with("AUDIENCES does nothing")),
        "{:?}",
        idle.warnings
    );
}

#[test]
fn a_file_lists_several_issuers() {
    let content = format!(
        r#"[{{"issuer": "https://a.e.x", "publisher": {{"key": "{KEY}"}}}},
            {{"issuer": "https://b.e.x", "subscriber": {{"key_file": "/key", "algorithms": ["HS384"]}}, "advertise": true}},
            {{"issuer": "https://c.e.x", "publisher": {{"jwks_url": "https://c.e.x/k"}}, "subscriber": {{}}}},
            {{"issuer": "https://d.e.x/p"}}]"#
    );
    let config = with_file(&content, &[]).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let kinds: Vec<_> = config
        .settings
        .api
        .issuers
        .iter()
        .map(|issuer| {
            let kind = |source: &Option<KeySource>| match source {
                None => "-",
                Some(KeySource::Fixed(_)) => "key",
                Some(KeySource::File(_)) => "file",
                Some(KeySource::Fetched(_)) => "set",
            };
            (&*issuer.name, kind(&issuer.publisher), kind(&issuer.subscriber), issuer.is_advertised)
        })
        .collect();
    let expected = [
        ("https://a.e.x", "key", "-", false),
        ("https://b.e.x", "-", "file", true),
        ("https://c.e.x", "set", "set", true),
        ("https://d.e.x/p", "set", "set", true),
    ];
    assert_eq!(kinds, expected);
    assert_eq!((config.settings.key_sets.len(), config.settings.key_files.len()), (3, 1));
    let shown = config.effective(&given(&[URL, ("ISSUERS_FILE", "/issuers")]));
    assert!(!format!("{shown:?}").contains(KEY));
}

#[test]
fn a_weak_key_of_a_file_is_told_of_like_one_of_a_variable() {
    let content = r#"[{"issuer": "https://a.e.x", "publisher": {"key": "short"}}]"#;
    let config = with_file(content, &[]).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let expected = "a key of the issuer \"https://a.e.x\" is shorter than the output of HS256's hash";
    let warnings = &config.warnings;
    assert!(warnings.iter().any(|warning| warning.starts_with(expected)), "{warnings:?}");
    let demo = DEMO_KEY;
    let content = format!(r#"[{{"issuer": "https://a.e.x", "publisher": {{"key": "{demo}"}}}}]"#);
    let config = with_file(&content, &[]).unwrap_or_else(|errors| panic!("{errors:#?}"));
    let warnings = &config.warnings;
    assert!(warnings.iter().any(|warning| warning.contains("the demo key, which is public")), "{warnings:?}");
}

/// Of test 127 of MERCURE-1.0, section 13: two issuers of one name. No text quotes a key.
#[test]
fn a_file_that_cannot_be_used_is_an_error_without_its_secrets() {
    let issuer = |rest: &str| format!(r#"[{{"issuer": "https://a.e.x"{rest}}}]"#);
    let pem = serde_json::Value::from(PEM).to_string();
    for (content, part) in [
        (format!("[{0}, {0}]", issuer("").trim_matches(['[', ']'])), "two issuers of one name"),
        (issuer(&format!(r#", "publisher": {{"key": {pem}}}"#)), "not a PEM document"),
        (issuer(&format!(r#", "publisher": "{KEY}""#)), "line 1, column"),
        (issuer(&format!(r#", "publisher": {{"{KEY}": 1}}"#)), "line 1, column"),
        (issuer(r#", "publisher": {"key_file": "/none"}"#), "cannot be read"),
        (issuer(r#", "publisher": {"key": "x", "key_file": "/key"}"#), "expected one of"),
        (issuer(r#", "publisher": {"algorithms": ["HS256"]}"#), "no shared secret"),
        (issuer(r#", "publisher": {"algorithms": ["none"]}"#), "HS256, HS384"),
        (r#"[{"issuer": "a"}]"#.to_owned(), "an absolute URI"),
        ("[]".to_owned(), "1 to 32 issuers, not 0"),
        ("{}".to_owned(), "line 1, column"),
    ] {
        let errors = with_file(&content, &[]).err().expect("a mistake");
        assert!(errors.len() == 1 && errors[0].starts_with("ISSUERS_FILE"), "{errors:#?}");
        assert!(errors[0].contains(part) && !errors[0].contains(KEY), "{part}: {errors:#?}");
    }
}

#[test]
fn demo_mode_speaks_both_with_a_url_and_a_cookie_of_its_own() {
    let demo = |settings: &[(&str, &str)]| valid(&and(&given(&[("DEMO", "1")]), settings), &[]).settings.api;
    let api = demo(&[]);
    let url = "http://localhost:3000/.well-known/mercure";
    assert_eq!(api.public_url.expect("a URL").as_str(), url);
    assert_eq!((api.issuers.len(), &*api.issuers[0].name), (1, url));
    assert_eq!(api.access_token_cookie_name, "mercure_access_token");
    assert!(api.issuers[0].publisher.is_some() && api.issuers[0].subscriber.is_some());
    assert!(api.publisher_key.is_some() && api.subscriber_key.is_some());
    let tls = demo(&[("CERT_FILE", "/c"), ("KEY_FILE", "/k"), ("ADDR", "127.0.0.1:8443")]);
    assert_eq!(tls.public_url.expect("a URL").as_str(), "https://127.0.0.1:8443/.well-known/mercure");
    assert_eq!(tls.access_token_cookie_name, "__Secure-mercure_access_token");
    // A key of one's own is not undermined by an issuer whose key everybody knows.
    assert!(demo(&[("JWT_KEY", KEY)]).issuers.is_empty());
    // Nor where the dialect is asked for: then the start is refused, and the setting is named.
    let demo_of = |settings: &[(&str, &str)]| and(&given(&[("DEMO", "1"), URL]), settings);
    for (settings, missing) in [
        (&[("PROTOCOL", "07,08"), ("JWT_KEY", KEY)][..], "ISSUER"),
        (&[("PROTOCOL", "04,08"), ("JWKS_URL", "https://e.x/k")], "ISSUER"),
        (&[("PROTOCOL", "07,08"), NAME, PUBLISHER, SUBSCRIBER], "PUBLISHER_JWT_KEY"),
        (&[("PROTOCOL", "04,08"), NAME, PUBLISHER, SUBSCRIBER], "PUBLISHER_JWT_KEY"),
        (&[("AUTHORIZATION", "targets"), NAME, PUBLISHER, SUBSCRIBER], "PUBLISHER_JWT_KEY"),
        (&[("PROTOCOL", "07"), ("SUBSCRIBER_JWT_KEY", KEY)], "PUBLISHER_JWT_KEY"),
    ] {
        let errors = errors(&demo_of(settings));
        assert!(errors[0].starts_with(missing), "{settings:?}: {errors:#?}");
    }
    let both = &[("PROTOCOL", "07,08"), ("JWT_KEY", KEY), NAME, PUBLISHER, SUBSCRIBER];
    let both = valid(&demo_of(both), &[]);
    assert!(both.warnings.iter().all(|line| !line.contains("demo key")), "{:?}", both.warnings);
    let own = demo(&[NAME, PUBLISHER, SUBSCRIBER]);
    assert!(own.publisher_key.is_none() && own.issuers.len() == 1 && &*own.issuers[0].name == "https://e.x");
}
