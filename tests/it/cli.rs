//! Goal: the commands behave in scripts as documented: results on standard output, errors on
//! standard error, and exit status 0, 1 or 2. Method: the built binary, with an environment that
//! holds only what the test sets.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use petasos::mercure::public_url::PublicUrl;
use petasos::mercure::selector::Selector;
use petasos::mercure::token::{
    AccessClaims, AccessRules, Algorithm, LegacyClaims, TokenRules, VerificationKey,
};
use serde_json::json;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const OTHER_KEY: &str = "fedcba9876543210fedcba9876543210";
const HUB: &str = "https://hub.e.x/.well-known/mercure";
const DEMO_KEY: &str = "!ChangeThisMercureHubJWTSecretKey!";
const PRIVATE_KEY: &str = include_str!("../data/keys/ec256-private.pem");
const PUBLIC_KEY: &str = include_str!("../data/keys/ec256-public.pem");

fn petasos(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_petasos"));
    command.env_clear().envs(environment.iter().copied()).args(arguments);
    command
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    petasos(arguments, environment).stdin(Stdio::null()).output().expect("the binary runs")
}

fn run_with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = petasos(arguments, &[]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(input).expect("it reads");
    child.wait_with_output().expect("it ends")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

fn verified(output: &Output, algorithm: Algorithm, key: &str) -> LegacyClaims {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let token = text(&output.stdout).strip_suffix('\n').expect("one line");
    let key = VerificationKey::new(algorithm, key.as_bytes()).expect("a key");
    let claims = key.verify(token, unix_s() * 1_000, &TokenRules::Legacy).expect("a valid token");
    claims.legacy().expect("a legacy token").clone()
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

#[test]
fn version_and_help_are_told() {
    let output = run(&["--version"], &[]);
    assert_eq!(text(&output.stdout), concat!("petasos ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = run(&["--help"], &[("JWT_KEY", "not-to-be-shown")]);
    let help = text(&help.stdout);
    for part in
        ["Listening:", "Authorization:", "History:", "--heartbeat-interval", "HEARTBEAT_INTERVAL", "match"]
    {
        assert!(help.contains(part), "{part} is not in {help}");
    }
    for part in [
        "Limits and timeouts:",
        "Cores:",
        "Logs:",
        "Metrics:",
        "JWKS_URL",
        "USE_FORWARDED_HEADERS",
        "WRITE_TIMEOUT",
    ] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
    // Options before the first heading belong to the program, not to the hub. No others may be
    // there.
    let ungrouped =
        help.split("Options:").nth(1).and_then(|rest| rest.split("Listening:").next()).expect("headings");
    assert_eq!(ungrouped.matches("--").count(), 2, "{ungrouped}");
    assert!(!help.contains("not-to-be-shown"), "{help}");
    assert_eq!(run(&["--no-such-flag"], &[]).status.code(), Some(2));
}

#[test]
fn a_token_says_what_was_asked_for() {
    let arguments =
        ["token", "--publish", "a", "--publish", "/b/{c}", "--subscribe", "*", "--payload", r#"{"n":1}"#];
    let claims = verified(&run(&arguments, &[("JWT_KEY", KEY)]), Algorithm::HS256, KEY);
    assert_eq!(claims.mercure.publish, Some(vec!["a".to_owned(), "/b/{c}".to_owned()]));
    assert_eq!(claims.mercure.subscribe, Some(vec!["*".to_owned()]));
    assert_eq!(claims.mercure.payload, Some(json!({"n": 1})));
    assert_eq!(claims.exp_ms, None);

    let before = unix_s();
    let claims = verified(&run(&["token", "--ttl", "1h"], &[("JWT_KEY", KEY)]), Algorithm::HS256, KEY);
    assert_eq!((claims.mercure.publish, claims.mercure.subscribe), (None, None));
    let exp = claims.exp_ms.expect("an exp") / 1_000;
    assert!((before + 3_600..=unix_s() + 3_600).contains(&exp), "{exp}");
}

#[test]
fn a_token_is_signed_with_the_key_at_hand() {
    let flag = ["token", "--key", KEY, "--algorithm", "HS512"];
    verified(&run(&flag, &[("JWT_KEY", "another")]), Algorithm::HS512, KEY);
    verified(&run(&["token"], &[("DEMO", "1")]), Algorithm::HS256, DEMO_KEY);
    verified(&run(&["token"], &[("DEMO", "1"), ("JWT_KEY", KEY)]), Algorithm::HS256, KEY);
    let es256 = [("JWT_ALGORITHM", "ES256"), ("JWT_KEY", PRIVATE_KEY)];
    verified(&run(&["token"], &es256), Algorithm::ES256, PUBLIC_KEY);
}

/// The claims of an access token, by the rules of a hub that trusts this issuer.
fn verified_access(output: &Output, key: &str, issuer: &str) -> AccessClaims {
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let token = text(&output.stdout).strip_suffix('\n').expect("one line");
    let key = VerificationKey::new(Algorithm::HS256, key.as_bytes()).expect("a key");
    let rules = AccessRules {
        issuer: issuer.into(),
        audiences: [Box::from(HUB)].into(),
        public_url: PublicUrl::parse(HUB).expect("a URL"),
    };
    let claims = key.verify(token, unix_s() * 1_000, &TokenRules::Access(rules)).expect("a valid token");
    claims.access().expect("an access token").clone()
}

#[test]
fn an_access_token_says_what_was_asked_for() {
    let arguments = [
        &["token", "--issuer", "https://e.x", "--audience", HUB, "--publish-match", "a"][..],
        &["--subscribe-match", "b", "--subscribe-match", "*", "--payload", r#"{"n":1}"#],
    ];
    let before = unix_s();
    let key = ["--key", KEY];
    let output = run(&[&arguments.concat()[..], &key].concat(), &[]);
    let claims = verified_access(&output, KEY, "https://e.x");
    let [publish, subscribe] = &*claims.details else { panic!("{claims:?}") };
    assert!(publish.publishes && !publish.subscribes && publish.payload.is_none());
    assert!(subscribe.subscribes && !subscribe.publishes);
    assert_eq!(subscribe.payload, Some(json!({"n": 1})));
    let texts = |topics: &[Selector]| topics.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        (texts(&publish.topics), texts(&subscribe.topics)),
        (vec!["a".into()], vec!["b".into(), "*".into()])
    );
    assert!(
        (before + 3_600..=unix_s() + 3_600).contains(&(claims.exp_ms / 1_000)),
        "one hour: {}",
        claims.exp_ms
    );
}

#[test]
fn an_access_token_takes_the_issuer_and_its_key_from_the_environment() {
    let environment = [
        ("ISSUER", "https://e.x"),
        ("PUBLIC_URL", HUB),
        ("JWT_KEY", "the key of 0.x tokens"),
        ("ISSUER_PUBLISHER_KEY", KEY),
        ("ISSUER_SUBSCRIBER_KEY", OTHER_KEY),
    ];
    verified_access(&run(&["token", "--publish-match", "*"], &environment), KEY, "https://e.x");
    verified_access(&run(&["token", "--subscribe-match", "*"], &environment), OTHER_KEY, "https://e.x");
    let flag = ["token", "--publish-match", "*", "--key", OTHER_KEY];
    verified_access(&run(&flag, &environment), OTHER_KEY, "https://e.x");
    let demo = [("DEMO", "1"), ("PUBLIC_URL", HUB)];
    verified_access(&run(&["token", "--publish-match", "*"], &demo), DEMO_KEY, HUB);
    for (arguments, complaint) in [
        (&["token", "--publish-match", "a"][..], "--issuer"),
        (&["token", "--issuer", "https://e.x"], "--audience"),
        (&["token", "--issuer", "https://e.x", "--audience", HUB, "--publish", "a"], "--publish-match"),
        (&["token", "--issuer", "https://e.x", "--audience", HUB, "--payload", "1"], "--subscribe-match"),
    ] {
        let output = run(arguments, &[("JWT_KEY", KEY)]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(complaint), "{}", text(&output.stderr));
    }
}

#[test]
fn without_a_good_key_or_payload_there_is_no_token() {
    for (arguments, environment, complaint) in [
        (&["token"][..], &[][..], "JWT_KEY"),
        (&["token"], &[("DEMO", "0")], "JWT_KEY"),
        (&["token", "--payload", "{"], &[("JWT_KEY", KEY)], "--payload"),
        (&["token", "--ttl", "soon"], &[("JWT_KEY", KEY)], "--ttl"),
        (&["token", "--algorithm", "none"], &[("JWT_KEY", KEY)], "--algorithm"),
        (&["token"], &[("JWT_KEY", PUBLIC_KEY), ("JWT_ALGORITHM", "ES256")], "private key"),
    ] {
        let output = run(arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        let complaints = text(&output.stderr);
        assert!(complaints.contains(complaint) && !complaints.contains(KEY), "{arguments:?}: {complaints}");
    }
}

#[test]
fn match_knows_the_matchers_of_draft_08() {
    let base = ["--urlpattern", "--base", "https://hub.e.x/.well-known/mercure"];
    let run_match = |arguments: &[&str]| run(&[&["match"], arguments].concat(), &[]);
    let output = run_match(
        &[&base[..], &["/books/:id", "/books/1", "https://hub.e.x/books/2?q", "/authors/1"]].concat(),
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/books/1\nhttps://hub.e.x/books/2?q\n");
    let output = run_match(&["--urlpattern", "/books/:id", "/books/1"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/books/1\n");
    let output = run_match(&["--exact", "/books/{id}", "/books/1", "/books/{id}"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "/books/{id}\n");
    for arguments in
        [&["--urlpattern", "/(", "a"][..], &["--urlpattern", "--exact", "a", "a"], &["--exact", "", "a"]]
    {
        assert_eq!(run_match(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let output = run_with_input(&["match", "--urlpattern", "-"], b"/a/:b\t/a/1\n/a/:b\t/a\n");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1\n0\n");
}

#[test]
fn match_prints_the_topics_that_match() {
    let output = run(&["match", "/books/{id}", "/books/1", "/authors/1", "/books/{id}", "/books/1/2"], &[]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "/books/1\n/books/{id}\n"));
    let output = run(&["match", "a", "b"], &[]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""));
    let too_long = "x".repeat(4_097);
    for arguments in [&["match"][..], &["match", "a"], &["match", "", "a"], &["match", &too_long, "a"]] {
        let output = run(arguments, &[]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn match_answers_every_line() {
    let lines = b"*\ta\na\ta\na\tb\n/{x}\t/1\r\n{\t{\na\t\n";
    let output = run_with_input(&["match", "-"], lines);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "1\n1\n0\n1\n1\n0\n"));
    assert_eq!(run_with_input(&["match", "-"], b"").status.code(), Some(0));
}

#[test]
fn a_line_that_is_no_question_is_named() {
    for (lines, complaint) in [
        (&b"a\ta\nno tab\nb\tb\n"[..], "line 2: expected selector<TAB>topic"),
        (b"a\ta\n\ta\n", "line 2"),
        (b"a\ta\n\xff\ta\n", "line 2: expected UTF-8"),
    ] {
        let output = run_with_input(&["match", "-"], lines);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), "1\n"), "{complaint}");
        assert!(text(&output.stderr).contains(complaint), "{}", text(&output.stderr));
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut command = petasos(&["match", "-"], &[]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    drop(child.stdout.take());
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may end before it has read everything; the test is about this.
    let _ = stdin.write_all("a\ta\n".repeat(100_000).as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn every_mistake_in_the_settings_is_listed_and_no_secret() {
    let environment = [
        ("ADDR", "nowhere"),
        ("HEARTBEAT_INTERVAL", "15"),
        ("JWT_KEY", "the-secret"),
        ("JWT_ALGORITHM", "RS256"),
        ("CERT_FILE", "/cert.pem"),
        ("HISTORY_SYNC", "sometimes"),
    ];
    for arguments in [&["--max-body-size", "lots"][..], &["serve", "--max-body-size", "lots"]] {
        let output = run(arguments, &environment);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
        let complaints = text(&output.stderr);
        for part in [
            "ADDR",
            "nowhere",
            "HEARTBEAT_INTERVAL",
            "15s",
            "JWT_KEY",
            "CERT_FILE",
            "HISTORY_SYNC",
            "MAX_BODY_SIZE",
            "1MiB",
        ] {
            assert!(complaints.contains(part), "{part} is not in {complaints}");
        }
        assert!(!complaints.contains("the-secret"), "{complaints}");
    }
    let output = run(&[], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("JWT_KEY"), "{}", text(&output.stderr));
}

#[test]
fn config_prints_what_is_in_force_and_where_it_comes_from() {
    let environment =
        [("JWT_KEY", KEY), ("HEARTBEAT_INTERVAL", "30s"), ("COOKIE_NAME", ""), ("HISTORY_SIZE", "5")];
    let output = run(&["config", "--json", "--heartbeat-interval", "90s"], &environment);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (name, value, source) in [
        ("HEARTBEAT_INTERVAL", json!("1m 30s"), "flag"),
        ("HISTORY_SIZE", json!("5"), "environment"),
        ("COOKIE_NAME", json!("mercureAuthorization"), "default"),
        ("ADDR", json!("[::]:80"), "default"),
        ("CERT_FILE", json!(null), "default"),
        ("JWT_KEY", json!("********"), "environment"),
    ] {
        assert_eq!(document["settings"][name], json!({ "value": value, "source": source }), "{name}");
    }
    assert_eq!(document["warnings"], json!([]));

    let folder = std::env::temp_dir();
    let file = folder.join(format!("petasos-config-{}", std::process::id()));
    std::fs::write(&file, KEY).expect("a file");
    let output = run(&["config"], &[("JWT_KEY_FILE", file.to_str().expect("UTF-8"))]);
    std::fs::remove_file(&file).expect("removed");
    let lines = text(&output.stdout);
    let of = |name: &str| {
        let line = lines.lines().find(|line| line.split(' ').next() == Some(name)).expect("a line");
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of("JWT_KEY"), ["JWT_KEY", "file", "********"]);
    assert_eq!(of("CERT_FILE"), ["CERT_FILE", "default", "-"]);
    assert!(lines.contains("warning: nothing bounds the history"), "{lines}");
    assert!(!lines.contains(KEY) && !document.to_string().contains(KEY), "{lines}");
}

#[test]
fn config_lists_errors_as_a_start_does() {
    let output = run(&["config"], &[("ADDR", "nowhere"), ("JWT_KEY", KEY)]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), ""));
    assert!(text(&output.stderr).contains("ADDR is \"nowhere\""), "{}", text(&output.stderr));
}

#[test]
fn a_key_under_another_name_is_told_of_with_the_error() {
    for (name, said) in [
        (
            "MERCURE_PUBLISHER_JWT_KEY",
            "unknown variable MERCURE_PUBLISHER_JWT_KEY; did you mean PUBLISHER_JWT_KEY?",
        ),
        ("PUBLISHER_JWT_KEYS", "unknown variable PUBLISHER_JWT_KEYS; did you mean PUBLISHER_JWT_KEY?"),
    ] {
        let output = run(&[], &[(name, "the-secret")]);
        let complaints = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaints}");
        assert!(complaints.contains(said) && !complaints.contains("the-secret"), "{complaints}");
    }
}

/// A pipe could block the hub, and a device may have no end.
#[test]
fn a_key_file_that_is_no_file_is_an_error() {
    for path in ["/dev/zero", "/dev/stdin", "/"] {
        let output = run(&[], &[("JWT_KEY_FILE", path)]);
        let complaints = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{complaints}");
        assert!(complaints.contains("it is no regular file"), "{complaints}");
    }
}

/// A hub that cannot start logs the reason before the process ends, in every format.
#[test]
fn a_hub_that_cannot_listen_says_why_and_exits_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    for format in ["TEXT", "JSON", "FLUENTD"] {
        let output = run(
            &["serve"],
            &[("DEMO", "1"), ("DB_PATH", ":memory:"), ("ADDR", &address), ("LOG_FORMAT", format)],
        );
        let log = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout)), (Some(1), ""), "{log}");
        assert!(log.contains("ERROR") && log.contains(&address), "{log}");
    }
}
