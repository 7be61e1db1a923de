//! Goal: a hub takes the tokens of its dialects, each by its own rules and with its own keys.
//! Method: the binary, tokens signed here, and an issuer with metadata in the test's process.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use petasos::mercure::token::{sign, sign_access};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::{Hub, KEY, command, eventually, get, post, token};

const HUB: &str = "https://hub.e.x/.well-known/mercure";
const ISSUER: &str = "https://e.x";
const ISSUER_KEY: &str = "fedcba9876543210fedcba9876543210";
const EC256: &str = include_str!("../../data/keys/ec256-private.pem");

/// A hub that speaks 07 and 08.
fn mixed(settings: &[(&str, &str)]) -> Hub {
    let issuer = [
        ("PUBLIC_URL", HUB),
        ("ISSUER", ISSUER),
        ("ISSUER_PUBLISHER_KEY", ISSUER_KEY),
        ("ISSUER_SUBSCRIBER_KEY", ISSUER_KEY),
    ];
    Hub::start(&[&issuer, settings].concat())
}

fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// The claims of a valid token with one entry.
fn claims(issuer: &str, audience: &str, actions: &[&str], topic: &str) -> Value {
    let entry = json!({
        "type": "https://mercure.rocks/authorization-detail",
        "actions": actions,
        "topics": [{ "match": topic }],
    });
    json!({"iss": issuer, "aud": audience, "exp": unix_s() + 600, "authorization_details": [entry]})
}

fn signed(claims: &Value, key: &str) -> String {
    sign_access(claims, key.as_bytes(), Algorithm::HS256).expect("signed")
}

/// A valid token for this topic.
fn access(actions: &[&str], topic: &str) -> String {
    signed(&claims(ISSUER, HUB, actions, topic), ISSUER_KEY)
}

fn published(hub: &Hub, body: &str, token: &str) -> u16 {
    hub.request(&post(body, Some(token))).status
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// Tests 118 to 120 of MERCURE-1.0, section 13; the reasons are in the log and nowhere else.
#[test]
fn each_dialect_has_its_own_keys_and_rules() {
    let mut hub = mixed(&[]);
    let old = token(&json!({"publish": ["*"]}), None);
    assert_eq!(published(&hub, "topic=a", &old), 200);
    assert_eq!(published(&hub, "topic=a", &access(&["publish"], "*")), 200);
    assert_eq!(published(&hub, "topic=a", &access(&["publish"], "a")), 200);
    assert_eq!(published(&hub, "topic=b", &access(&["publish"], "a")), 403);
    assert_eq!(published(&hub, "topic=a", &access(&["subscribe"], "a")), 403);
    let valid = || claims(ISSUER, HUB, &["publish"], "*");
    let without = |name: &str| {
        let mut claims = valid();
        claims.as_object_mut().expect("an object").remove(name);
        signed(&claims, ISSUER_KEY)
    };
    let mercure = json!({"mercure": {"publish": ["*"]}});
    let crossed = sign(&mercure, ISSUER_KEY.as_bytes(), Algorithm::HS256).expect("signed");
    for (token, reason) in [
        (signed(&valid(), KEY), "bad signature"),
        (crossed, "bad signature"),
        (without("exp"), "no exp"),
        (without("aud"), "no aud"),
        (without("iss"), "no iss"),
        (
            signed(&claims("https://other.example", HUB, &["publish"], "*"), ISSUER_KEY),
            "not a configured issuer",
        ),
        (signed(&claims(ISSUER, "https://hub.e.x", &["publish"], "*"), ISSUER_KEY), "RESOURCE_IDENTIFIER"),
    ] {
        let answer = hub.request(&post("topic=a", Some(&token)));
        assert_eq!((answer.status, &*answer.body), (401, "Unauthorized"), "{reason}: {answer:?}");
        let line = hub.wait_for_log("\"status\":401");
        assert!(line.contains(reason), "{reason}: {line}");
        assert!(token.split('.').all(|part| !line.contains(part)), "{line}");
    }
}

/// Test 117 of MERCURE-1.0, section 13: the grant of the one dialect, the update of the other. The
/// subscription is one of 07 both times: what routes and what grants are independent.
#[test]
fn a_private_update_of_one_dialect_reaches_the_grant_of_the_other() {
    let hub = mixed(&[]);
    let old = token(&json!({"publish": ["*"], "subscribe": ["a"]}), None);
    let modern = access(&["publish", "subscribe"], "a");
    let mut streams = [&modern, &old].map(|token| hub.subscribe_with("topic=a&topic=b", &bearer(token)));
    for (body, token) in [
        ("topic=b&private=on&data=hidden", &old),
        ("topic=a&private=on&data=one", &old),
        ("topic=a&private=on&data=two", &modern),
    ] {
        assert_eq!(published(&hub, body, token), 200);
    }
    for stream in &mut streams {
        for data in ["one", "two"] {
            assert!(stream.next().expect("an event").contains(&format!("data: {data}")));
        }
    }
}

/// Test 122 of MERCURE-1.0, section 13; and trap 16.
#[test]
fn an_invalid_token_is_not_anonymous_and_draft_08_has_none_in_the_url() {
    let mut hub = mixed(&[]);
    let valid = access(&["subscribe"], "a");
    let answer = hub.request(&get(&format!("topic=a&authorization={valid}"), ""));
    assert_eq!(answer.status, 401);
    assert!(hub.wait_for_log("\"refused\"").contains("in the URL"));
    let invalid = signed(&claims(ISSUER, HUB, &["subscribe"], "a"), "of nobody, but long enough to sign");
    assert_eq!(hub.request(&get("topic=a", &bearer(&invalid))).status, 401);
    assert_eq!(hub.subscribe("topic=a").status, 200, "without a token");
}

/// Test 126 of MERCURE-1.0, section 13: the token.
#[test]
fn a_hub_of_07_takes_no_access_token() {
    let mut hub = Hub::start(&[]);
    let with_its_key = signed(&claims(ISSUER, HUB, &["publish"], "*"), KEY);
    assert_eq!(published(&hub, "topic=a", &with_its_key), 401);
    assert!(hub.wait_for_log("\"refused\"").contains("an at+jwt token, and PROTOCOL has no 08"));
}

/// MERCURE-1.0, section 12.6: an operator sees when the last old client is gone.
#[test]
fn accepted_tokens_are_counted_by_dialect_and_old_ones_are_told_of() {
    let mut hub = mixed(&[("METRICS_ADDR", "127.0.0.1:0")]);
    let line: Value = serde_json::from_str(
        hub.log.iter().find(|line| line.contains("metrics are served")).expect("a line"),
    )
    .expect("a JSON line");
    let metrics: SocketAddr =
        line["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
    let old = token(&json!({"publish": ["*"]}), None);
    let modern = access(&["publish"], "*");
    assert_eq!(published(&hub, "topic=a", &modern), 200);
    assert!(!hub.logged().iter().any(|line| line.contains("draft 04 or 07")));
    for token in [&old, &old, &modern, &modern] {
        assert_eq!(published(&hub, "topic=a", token), 200);
    }
    assert_eq!(published(&hub, "topic=a", "a.b.c"), 401);
    let line: Value = serde_json::from_str(&hub.wait_for_log("draft 04 or 07")).expect("a JSON line");
    assert!(line["method"] == "POST" && line["token_dialect"] == "07" && line["requests"] == 1, "{line}");
    eventually("the counts are not on the page", || {
        let mut socket = std::net::TcpStream::connect(metrics).expect("it listens");
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n").expect("sent");
        let mut page = String::new();
        socket.read_to_string(&mut page).expect("a page");
        ["{dialect=\"04\"} 0", "{dialect=\"07\"} 2", "{dialect=\"08\"} 3"]
            .iter()
            .all(|count| page.contains(&format!("petasos_tokens_total{count}")))
    });
}

/// A withdrawn key verifies no token, as with the keys of 07.
#[test]
fn the_key_of_an_issuer_is_read_again_at_sighup() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("issuer.key");
    let write = |key: &str| std::fs::write(&path, format!("{key}\n")).expect("written");
    write("the first key, which is long enough");
    let mut hub = Hub::start(&[
        ("PUBLIC_URL", HUB),
        ("ISSUER", ISSUER),
        ("ISSUER_PUBLISHER_KEY_FILE", path.to_str().expect("UTF-8")),
        ("ISSUER_SUBSCRIBER_KEY", ISSUER_KEY),
    ]);
    let of = |key: &str| signed(&claims(ISSUER, HUB, &["publish"], "*"), key);
    let (first, second) = (of("the first key, which is long enough"), of(ISSUER_KEY));
    let statuses = |hub: &Hub| [&first, &second].map(|token| published(hub, "topic=a", token));
    assert_eq!(statuses(&hub), [200, 401]);
    write(ISSUER_KEY);
    hub.signal(Signal::HUP);
    hub.wait_for_log("ISSUER_PUBLISHER_KEY_FILE as it is now");
    assert_eq!(statuses(&hub), [401, 200]);
}

/// MERCURE-1.0, section 6.5: what a withdrawn key granted ends, also without a request.
#[test]
fn the_streams_of_a_withdrawn_key_end_and_get_401_when_they_return() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("issuer.key");
    let write = |key: &str| std::fs::write(&path, format!("{key}\n")).expect("written");
    let (first, second) = ("the first key, which is long enough", "the second key, which is long enough");
    write(first);
    let mut hub = Hub::start(&[
        ("PUBLIC_URL", HUB),
        ("ISSUER", ISSUER),
        ("ISSUER_PUBLISHER_KEY", ISSUER_KEY),
        ("ISSUER_SUBSCRIBER_KEY_FILE", path.to_str().expect("UTF-8")),
        ("HEARTBEAT_INTERVAL", "0s"),
        ("SHARDS", "2"),
    ]);
    let of = |key: &str| bearer(&signed(&claims(ISSUER, HUB, &["subscribe"], "*"), key));
    let old = token(&json!({"subscribe": ["*"]}), None);
    let mut theirs: Vec<_> = (0..8).map(|_| hub.subscribe_with("match=a", &of(first))).collect();
    let mut others = [hub.subscribe("match=a"), hub.subscribe_with("topic=a", &bearer(&old))];
    // The same key again changes nothing.
    hub.signal(Signal::HUP);
    hub.wait_for_log("ISSUER_SUBSCRIBER_KEY_FILE as it is now");
    let publisher = access(&["publish"], "*");
    let publish = |data: &str| assert_eq!(published(&hub, &format!("topic=a&data={data}"), &publisher), 200);
    publish("one");
    for stream in theirs.iter_mut().chain(&mut others) {
        assert!(stream.next().expect("an event").contains("data: one"));
    }
    write(second);
    hub.signal(Signal::HUP);
    for stream in &mut theirs {
        assert_eq!(stream.next(), None, "it ends");
    }
    let publish = |data: &str| assert_eq!(published(&hub, &format!("topic=a&data={data}"), &publisher), 200);
    publish("two");
    for stream in &mut others {
        assert!(stream.next().expect("an event").contains("data: two"), "of another key, or of none");
    }
    for (key, status) in [(first, 401), (second, 200)] {
        assert_eq!(hub.subscribe_with("match=a", &of(key)).status, status, "{key}");
    }
}

/// `ISSUERS_FILE` is read again at SIGHUP; the log says what changed. One that cannot be used
/// changes nothing.
#[test]
fn the_list_of_issuers_is_read_again_at_sighup() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("issuers.json");
    let write = |text: &str| std::fs::write(&path, text).expect("written");
    let (one, two) = ("the key of the first issuer, long enough", "the key of the second issuer, long");
    let entry = |name: &str, key: &str| json!({"issuer": name, "publisher": {"key": key}, "subscriber": {"key": key}});
    let (a, b) = ("https://a.example", "https://b.example");
    write(&json!([entry(a, one)]).to_string());
    let mut hub = Hub::start(&[("PUBLIC_URL", HUB), ("ISSUERS_FILE", path.to_str().expect("UTF-8"))]);
    let of = |issuer: &str, key: &str| signed(&claims(issuer, HUB, &["publish", "subscribe"], "*"), key);
    let tokens = [of(a, one), of(b, two)];
    let statuses = |hub: &Hub| tokens.each_ref().map(|token| published(hub, "topic=a", token));
    assert_eq!(statuses(&hub), [200, 401]);
    let mut stream = hub.subscribe_with("match=b", &bearer(&tokens[0]));
    for bad in ["", "[]", "{", &json!([entry(a, one), entry(a, two)]).to_string()] {
        write(bad);
        hub.signal(Signal::HUP);
        let line = hub.wait_for_log("the issuers stay as they were");
        assert!(line.contains("\"ERROR\"") && line.contains("ISSUERS_FILE") && !line.contains(one), "{line}");
        assert_eq!(statuses(&hub), [200, 401], "{bad}");
    }
    write(&json!([entry(a, one), entry(b, two)]).to_string());
    hub.signal(Signal::HUP);
    let line: Value = serde_json::from_str(&hub.wait_for_log("the issuers are those of")).expect("JSON");
    let told =
        |line: &Value| ["added", "removed", "changed"].map(|name| line[name].as_str().map(str::to_owned));
    assert_eq!(told(&line), [b, "", ""].map(|text| Some(text.to_owned())));
    assert_eq!(statuses(&hub), [200, 200]);
    assert_eq!(published(&hub, "topic=b&data=still", &tokens[1]), 200);
    assert!(stream.next().expect("an event").contains("data: still"), "its issuer is as it was");
    write(&json!([entry(b, one)]).to_string());
    hub.signal(Signal::HUP);
    let line: Value = serde_json::from_str(&hub.wait_for_log("the issuers are those of")).expect("JSON");
    assert_eq!(told(&line), ["", a, b].map(|text| Some(text.to_owned())));
    assert_eq!(statuses(&hub), [401, 401]);
    assert_eq!(stream.next(), None, "its issuer is no longer trusted");
    assert_eq!(published(&hub, "topic=a", &of(b, one)), 200);
    // A key in a file is withdrawn there, whatever becomes of the list.
    let key = folder.path().join("issuer.key");
    std::fs::write(&key, one).expect("written");
    write(&json!([{"issuer": a, "publisher": {"key_file": key}}]).to_string());
    hub.signal(Signal::HUP);
    hub.wait_for_log("the issuers are those of");
    assert_eq!(statuses(&hub), [200, 401]);
    std::fs::write(&key, two).expect("written");
    write("[");
    hub.signal(Signal::HUP);
    hub.wait_for_log("ISSUERS_FILE as it is now");
    assert_eq!(statuses(&hub), [401, 401]);
    assert_eq!(published(&hub, "topic=a", &of(a, two)), 200);
}

/// The public URL of a demo without `PUBLIC_URL` has the port that the kernel chose.
#[test]
fn a_demo_on_any_port_knows_its_url() {
    let mut demo = command();
    demo.envs([("DEMO", "1"), ("ADDR", "127.0.0.1:0"), ("DB_PATH", ":memory:")]);
    let hub = Hub::run(demo);
    let url = format!("http://{}/.well-known/mercure", hub.address);
    let metadata = hub.request(
        "GET /.well-known/oauth-protected-resource/.well-known/mercure HTTP/1.1\r\nHost: hub\r\n\r\n",
    );
    let metadata: Value = serde_json::from_str(&metadata.body).expect("JSON");
    assert_eq!(metadata["resource"], json!(url));
    // The debugger's page builds its tokens for that URL.
    let page = hub.request("GET / HTTP/1.1\r\nHost: hub\r\n\r\n").body;
    assert!(page.contains(&url) && !page.contains("127.0.0.1:0/"), "the page has another URL");
    let of = |url: &str| signed(&claims(url, url, &["publish"], "*"), "!ChangeThisMercureHubJWTSecretKey!");
    assert_eq!(published(&hub, "topic=a", &of(&url)), 200);
    assert_eq!(published(&hub, "topic=a", &of("http://127.0.0.1:0/.well-known/mercure")), 401);
    let mut command = command();
    command.envs([("DEMO", "1"), ("ADDR", "127.0.0.1:0")]).args(["token", "--publish-match", "*"]);
    let output = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && said.contains("PUBLIC_URL"), "{said}");
}

/// Demo mode speaks both, and `petasos token` makes tokens for both.
#[test]
fn a_demo_takes_the_tokens_that_the_command_line_makes() {
    let mut demo = command();
    demo.envs([("DEMO", "1"), ("ADDR", "127.0.0.1:0"), ("DB_PATH", ":memory:"), ("PUBLIC_URL", HUB)]);
    let hub = Hub::run(demo);
    let made = |arguments: &[&str]| {
        let mut command: Command = command();
        command.envs([("DEMO", "1"), ("PUBLIC_URL", HUB)]).arg("token").args(arguments);
        let output = command.output().expect("it runs");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    };
    assert_eq!(published(&hub, "topic=a", &made(&["--publish", "*"])), 200);
    assert_eq!(published(&hub, "topic=a", &made(&["--publish-match", "*"])), 200);
    assert_eq!(published(&hub, "topic=a", &made(&["--subscribe-match", "*"])), 403);
}

/// An issuer without a key: its metadata name its key set (RFC 8414).
#[test]
fn the_key_set_of_an_issuer_is_found_through_its_metadata() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let issuer = format!("http://{address}/realm");
    sign(&json!({}), b"x", Algorithm::HS256).expect("this selects the cryptography");
    let key = EncodingKey::from_ec_pem(EC256.as_bytes()).expect("a key");
    let mut jwk =
        serde_json::to_value(Jwk::from_encoding_key(&key, Algorithm::ES256).expect("a key")).expect("JSON");
    jwk["kid"] = json!("k");
    let metadata = json!({"issuer": issuer, "jwks_uri": format!("http://{address}/keys")}).to_string();
    let keys = json!({ "keys": [jwk] }).to_string();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let (mut head, mut bytes) = (String::new(), [0; 1]);
            while !head.ends_with("\r\n\r\n") && socket.read_exact(&mut bytes).is_ok() {
                head.push(char::from(bytes[0]));
            }
            let body = match head.split(' ').nth(1) {
                Some("/.well-known/oauth-authorization-server/realm") => &metadata,
                Some("/keys") => &keys,
                _ => "",
            };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
            let _ = socket.write_all(answer.as_bytes());
        }
    });
    let settings = |private: &'static str| {
        let mut command = command();
        command.envs([("ADDR", "127.0.0.1:0"), ("DB_PATH", ":memory:"), ("PUBLIC_URL", HUB)]);
        command.env("ISSUER", &issuer).env("ISSUER_PRIVATE_ADDRESSES", private);
        command
    };
    let hub = Hub::run(settings("1"));
    let mut header = Header::new(Algorithm::ES256);
    (header.kid, header.typ) = (Some("k".to_owned()), Some("at+jwt".to_owned()));
    let token = |issuer: &str| {
        let claims = claims(issuer, HUB, &["publish"], "*");
        jsonwebtoken::encode(&header, &claims, &key).expect("signed")
    };
    eventually("the key set is not found", || published(&hub, "topic=a", &token(&issuer)) == 200);
    assert_eq!(published(&hub, "topic=a", &token("https://e.x")), 401);
    let output = settings("0").output().expect("it ends");
    assert_eq!(output.status.code(), Some(2), "plain HTTP needs the permission");
}

/// A document of others does not make the hub ask its own network.
#[test]
fn the_metadata_of_an_issuer_are_not_at_a_private_address() {
    let mut command = command();
    command.envs([("ADDR", "127.0.0.1:0"), ("DB_PATH", ":memory:"), ("PUBLIC_URL", HUB)]);
    command.env("ISSUER", "https://localhost:1");
    let mut hub = Hub::run(command);
    let line = hub.wait_for_log("the key set cannot be fetched");
    assert!(line.contains("host not found"), "{line}");
}

/// `petasos config` and `petasos check` show the dialects and the issuers, and no secret.
#[test]
fn commands_show_the_dialects_and_the_issuers() {
    let ask = |arguments: &[&str]| {
        let mut command = Hub::command(&[
            ("PUBLIC_URL", HUB),
            ("ISSUER", ISSUER),
            ("ISSUER_PUBLISHER_KEY", ISSUER_KEY),
            ("ISSUER_SUBSCRIBER_JWKS_URL", "https://e.x/keys?secret=s3cret"),
        ]);
        let output = command.args(arguments).output().expect("it runs");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let issuer =
        "https://e.x (publishers: key, HS256; subscribers: key set https://e.x/keys, EdDSA,ES256,RS256)";
    for (command, dialects) in [("config", "07,08"), ("check", "note  dialects: 07,08")] {
        let shown = ask(&[command]);
        assert!(shown.contains(dialects) && shown.contains(issuer), "{shown}");
        let document: Value = serde_json::from_str(&ask(&[command, "--json"])).expect("JSON");
        assert_eq!(document["dialects"], json!(["07", "08"]));
        assert_eq!(document["issuers"][0]["issuer"], ISSUER);
        for text in [shown, document.to_string()] {
            assert!(!text.contains("s3cret") && !text.contains(ISSUER_KEY) && !text.contains(KEY), "{text}");
        }
    }
}
