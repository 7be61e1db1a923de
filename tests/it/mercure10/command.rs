//! Goal: a token that `petasos token` makes is one that the hub with the same settings accepts, for
//! every option of 1.0; what the hub would refuse is not signed.
//! Method: the command and a hub, with the same environment.

use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::access::{ISSUER, ISSUER_KEY, PUBLIC_URL, bearer, encoded, field, hub, post};
use crate::common::subscriptions::{PATH, ask_with, members};
use crate::common::{Hub, command, get};

const OTHER_KEY: &str = "another key, which is long enough";
const EC_PRIVATE: &str = include_str!("../../data/keys/ec256-private.pem");
const EC_PUBLIC: &str = include_str!("../../data/keys/ec256-public.pem");

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = command();
    command.arg("token").args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::null()).output().expect("the binary runs")
}

/// The header line of the token that the command makes.
fn made(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {complaints}");
    bearer(std::str::from_utf8(&output.stdout).expect("UTF-8").trim_end())
}

/// What the command complains of.
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    assert_eq!((output.status.code(), &*output.stdout), (Some(2), &b""[..]), "{arguments:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

/// The settings of [`hub`], with a key of 0.x that the issuer's tokens must not be signed with.
fn settings() -> Vec<(&'static str, &'static str)> {
    vec![
        ("PUBLIC_URL", PUBLIC_URL),
        ("ISSUER", ISSUER),
        ("ISSUER_PUBLISHER_KEY", ISSUER_KEY),
        ("ISSUER_SUBSCRIBER_KEY", ISSUER_KEY),
        ("JWT_KEY", crate::common::KEY),
        ("JWT_ALGORITHM", "HS512"),
    ]
}

fn published(hub: &Hub, topic: &str, token: &str) -> u16 {
    hub.request(&post(&format!("topic={}&data=x&private=on", encoded(topic)), token)).status
}

#[test]
fn each_option_for_publishing_grants_what_it_says() {
    let hub = hub(&[]);
    for (option, granted, other) in [
        ("--publish-match", "a", "b"),
        ("--publish-match", "https://e.x/{id}", "https://e.x/1"),
        ("--publish-pattern", "https://e.x/:id", "https://e.x/1/2"),
        ("--publish-pattern", "/x/:id", "https://other.example/x/:id"),
    ] {
        let token = made(&[option, granted], &settings());
        assert_eq!(published(&hub, granted, &token), 200, "{option} {granted}");
        assert_eq!(published(&hub, other, &token), 403, "{option} {granted}");
    }
    let both =
        made(&["--publish-match", "a", "--publish-pattern", "/b/:c", "--publish-match", "d"], &settings());
    for topic in ["a", "/b/1", "d"] {
        assert_eq!(published(&hub, topic, &both), 200, "{topic}");
    }
    assert_eq!(published(&hub, "anything", &made(&["--publish-match", "*"], &settings())), 200);
    assert_eq!(published(&hub, "a", &made(&["--subscribe-match", "*"], &settings())), 403);
}

#[test]
fn each_option_for_subscribing_grants_what_it_says() {
    let hub = hub(&[]);
    let publisher = made(&["--publish-match", "*"], &settings());
    for (option, granted, topic) in [
        ("--subscribe-match", "a", "a"),
        ("--subscribe-match", "*", "https://e.x/anything"),
        ("--subscribe-pattern", "https://e.x/:id", "https://e.x/1"),
        ("--subscribe-pattern", "/x/:id", "/x/1"),
    ] {
        let payload = json!({"of": [granted]}).to_string();
        let token = made(&[option, granted, "--payload", &payload], &settings());
        let kind = if option.ends_with("pattern") { "urlpattern" } else { "exact" };
        let mut stream = hub.subscribe_with(&format!("match_{kind}={}", encoded(granted)), &token);
        assert_eq!(published(&hub, "https://e.x/1/2?hidden", &publisher), 200);
        assert_eq!(published(&hub, topic, &publisher), 200);
        let mut events = std::iter::from_fn(|| stream.next()).filter(|event| field(event, "event").is_none());
        assert!(events.next().is_some(), "{option} {granted}");
        // The payload is in the document of the subscription.
        let watcher = made(&["--subscribe-match", "*"], &settings());
        let list = ask_with(&hub, &format!("{PATH}/{kind}/{}", encoded(granted)), &watcher);
        let list: Value = serde_json::from_str(&list.body).expect("JSON");
        let shown = members(&list).iter().any(|member| member["payload"] == json!({"of": [granted]}));
        assert!(shown, "{option} {granted}: {list}");
    }
}

#[test]
fn audience_and_lifetime_are_those_that_were_asked_for() {
    const INTERNAL: &str = "http://mercure/.well-known/mercure";
    let hub = hub(&[("AUDIENCES", INTERNAL)]);
    let status = |arguments: &[&str]| {
        let arguments = [&["--publish-match", "*"], arguments].concat();
        published(&hub, "a", &made(&arguments, &settings()))
    };
    assert_eq!(status(&["--audience", INTERNAL]), 200);
    assert_eq!(status(&["--audience", "https://other.example", "--audience", PUBLIC_URL]), 200);
    assert_eq!(status(&["--audience", "https://other.example"]), 401);
    assert_eq!(status(&["--ttl", "1m"]), 200);
    assert_eq!(status(&["--ttl", "0s"]), 401);
    let named = super::access::hub(&[("RESOURCE_IDENTIFIER", "https://api.e.x")]);
    let token = made(
        &["--publish-match", "*"],
        &[&settings()[..], &[("RESOURCE_IDENTIFIER", "https://api.e.x")]].concat(),
    );
    assert_eq!(published(&named, "a", &token), 200);
}

/// Each role of the issuer has its key and its algorithm; `JWT_ALGORITHM` is that of 0.x.
#[test]
fn the_key_and_its_algorithm_are_those_of_the_issuer_for_the_role() {
    let keys = [
        ("ISSUER_PUBLISHER_KEY", OTHER_KEY),
        ("ISSUER_PUBLISHER_ALGORITHMS", "HS384"),
        ("ISSUER_SUBSCRIBER_KEY", EC_PUBLIC),
        ("ISSUER_SUBSCRIBER_ALGORITHMS", "ES256"),
    ];
    let hub = hub(&keys);
    let environment = [&settings()[..], &keys].concat();
    let publisher = made(&["--publish-match", "*"], &environment);
    assert_eq!(published(&hub, "a", &publisher), 200);
    let complaint = refused(&["--subscribe-match", "a"], &environment);
    assert!(complaint.contains("private key in --key or --key-file"), "{complaint}");
    // The algorithm is known, the key is not.
    let subscriber = made(&["--subscribe-match", "a", "--key", EC_PRIVATE], &environment);
    let mut stream = hub.subscribe_with("match=a&last_event_id=earliest", &subscriber);
    assert_eq!(stream.ids(1).len(), 1);
    let directory = tempfile::tempdir().expect("a folder");
    let file = directory.path().join("key.pem");
    std::fs::write(&file, EC_PRIVATE).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let subscriber = made(&["--subscribe-match", "a", "--key-file", file], &environment);
    assert_eq!(hub.subscribe_with("match=a", &subscriber).status, 200);
    let complaint = refused(&["--subscribe-match", "a", "--key", EC_PUBLIC], &environment);
    assert!(complaint.contains("private key"), "{complaint}");
    let two = [&settings()[..], &[("ISSUER_SUBSCRIBER_KEY", OTHER_KEY)]].concat();
    let complaint = refused(&["--publish-match", "a", "--subscribe-match", "a"], &two);
    assert!(complaint.contains("another for subscribers"), "{complaint}");
}

#[test]
fn the_issuers_of_a_file_are_known() {
    let directory = tempfile::tempdir().expect("a folder");
    let key_file = directory.path().join("key");
    std::fs::write(&key_file, format!("{OTHER_KEY}\n")).expect("a file");
    let issuers = json!([
        {"issuer": "https://one.example", "publisher": {"key": ISSUER_KEY}, "subscriber": {"key": ISSUER_KEY}},
        {"issuer": "https://two.example", "publisher": {"key_file": key_file, "algorithms": ["HS512"]}},
        {"issuer": "https://three.example", "publisher": {"jwks_url": "https://three.example/keys"}},
    ]);
    let file = directory.path().join("issuers.json");
    std::fs::write(&file, issuers.to_string()).expect("a file");
    let file = file.to_str().expect("UTF-8");
    let environment = [("PUBLIC_URL", PUBLIC_URL), ("ISSUERS_FILE", file), ("JWT_KEY", crate::common::KEY)];
    let mut started = command();
    started.envs([("ADDR", "127.0.0.1:0"), ("DB_PATH", ":memory:")]).envs(environment);
    let hub = Hub::run(started);
    for issuer in ["https://one.example", "https://two.example"] {
        let token = made(&["--issuer", issuer, "--publish-match", "*"], &environment);
        assert_eq!(published(&hub, "a", &token), 200, "{issuer}");
    }
    let reader = made(&["--issuer", "https://one.example", "--subscribe-match", "*"], &environment);
    assert_eq!(hub.subscribe_with("match=a", &reader).status, 200);
    assert_eq!(hub.request(&get("match=a", "")).status, 401, "the token is needed");
    for (arguments, complaint) in [
        (&["--issuer", "https://two.example", "--subscribe-match", "a"][..], "no subscriber in ISSUERS_FILE"),
        (&["--issuer", "https://three.example", "--publish-match", "a"], "private key in --key"),
        (&["--issuer", "https://four.example", "--publish-match", "a"], "JWT_KEY is the key of 0.x tokens"),
        (&["--publish-match", "a"], "--issuer"),
    ] {
        let complaints = refused(arguments, &environment);
        assert!(complaints.contains(complaint), "{arguments:?}: {complaints}");
        assert!(!complaints.contains(ISSUER_KEY) && !complaints.contains(OTHER_KEY), "{complaints}");
    }
}

/// The hub refuses a token with one of these; the text is the hub's.
#[test]
fn what_the_hub_would_refuse_is_not_signed() {
    let too_many = ["--publish-pattern", "/:a"].repeat(501);
    let long = format!("{}a", "/a".repeat(2_048));
    for (arguments, complaint) in [
        (
            &["--publish-pattern", "https://e.x/("][..],
            "--publish-pattern \"https://e.x/(\": a matcher is refused",
        ),
        (&["--subscribe-pattern", "/(a(?=b))"], "--subscribe-pattern"),
        (&["--publish-match", ""], "must not be empty"),
        (&["--subscribe-match", "a\u{200b}"], "control or format character"),
        (&["--publish-match", &long], "4096 bytes"),
        (&too_many, "more than 500 URL Patterns"),
        (&["--publish-match", "a", "--payload", "{"], "--payload"),
        (&["--publish-match", "a", "--payload", "1"], "--subscribe-match"),
        (&["--publish-match", "a", "--publish", "a"], "--publish-match"),
    ] {
        let complaints = refused(arguments, &settings());
        assert!(complaints.contains(complaint), "{complaint}: {complaints}");
    }
    let wrong = [&settings()[..], &[("ISSUER_PUBLISHER_ALGORITHMS", "HS256,ES256")]].concat();
    assert!(refused(&["--publish-match", "a"], &wrong).contains("one algorithm"));
    let wrong = [&settings()[..], &[("PUBLIC_URL", "hub")]].concat();
    assert!(refused(&["--publish-match", "a"], &wrong).contains("PUBLIC_URL"));
}
