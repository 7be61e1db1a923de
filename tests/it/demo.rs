//! Demo mode from outside (PROTOCOL section 9): every header of the playground, the matcher and the
//! debugger's page, over both versions of HTTP. Without demo mode, none of it exists. The behaviour
//! of the page is tested in `tests/web/debugger.py`.

use crate::common::http2::{Http2, field, request};
use crate::common::tls::{Files, Pair, any};
use crate::common::{HttpResponse, Hub, Stream, token};
use serde_json::{Value, json};

const MATCH: &str = "/.well-known/mercure/match";

fn demo() -> Hub {
    Hub::start(&[("DEMO", "1")])
}

fn ask(hub: &Hub, method: &str, target: &str, headers: &str) -> HttpResponse {
    let mut client = hub.connect();
    client.send(&format!("{method} {target} HTTP/1.1\r\nHost: hub\r\n{headers}\r\n"));
    match method {
        "HEAD" => {
            let Stream { status, head, .. } = Stream::open(client);
            HttpResponse { status, head, body: String::new() }
        }
        _ => client.answer(),
    }
}

fn all<'a>(answer: &'a HttpResponse, name: &str) -> Vec<&'a str> {
    let fields = answer.head.lines().filter_map(|line| line.split_once(": "));
    fields.filter(|(key, _)| *key == name).map(|(_, value)| value).collect()
}

#[test]
fn the_playground_answers_every_header_over_both_versions() {
    let hub = demo();
    let jwt = token(&json!({ "subscribe": ["*"] }), None);
    let target = format!("/demo/books/1.jsonld?body=%7B%22a%22:1%7D&jwt={jwt}");
    let own = format!("<{target}>; rel=\"self\"");
    let cookie = format!("mercureAuthorization={jwt}; Path=/.well-known/mercure; HttpOnly; SameSite=Strict");
    let answer = ask(&hub, "GET", &target, "");
    assert_eq!((answer.status, &*answer.body), (200, "{\"a\":1}"));
    assert_eq!(all(&answer, "Link"), ["</.well-known/mercure>; rel=\"mercure\"", &*own]);
    let expected = [
        ("Content-Type", "application/ld+json"),
        ("Set-Cookie", &*cookie),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
        (
            "Content-Security-Policy",
            "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox",
        ),
    ];
    for (name, value) in expected {
        assert_eq!(all(&answer, name), [value], "{name}");
    }
    let head = ask(&hub, "HEAD", &target, "");
    let without_date = |head: &str| head.lines().filter(|line| !line.starts_with("Date")).collect::<String>();
    assert_eq!(without_date(&head.head), without_date(&answer.head), "HEAD is GET without the body");

    let client = Http2::connect(&hub);
    let reply = client.ask(request("GET", &target), "");
    assert_eq!((reply.status, &*reply.body), (200, "{\"a\":1}"));
    for (name, value) in expected {
        assert_eq!(field(&reply.headers, &name.to_lowercase()), Some(value), "{name}");
    }
    let links: Vec<_> = reply.headers.get_all("link").iter().collect();
    assert_eq!(links, ["</.well-known/mercure>; rel=\"mercure\"", &*own]);
    let reply = client.ask(request("HEAD", &target), "");
    assert_eq!((reply.status, &*reply.body), (200, ""));
    assert_eq!(field(&reply.headers, "content-length"), Some("7"));
}

/// The playground sets the cookie that the hub reads.
#[test]
fn the_cookie_of_the_playground_opens_a_stream() {
    let hub = Hub::start(&[("DEMO", "1"), ("ALLOW_ANONYMOUS", "0"), ("COOKIE_NAME", "other")]);
    let jwt = token(&json!({ "subscribe": ["*"] }), None);
    let answer = ask(&hub, "GET", &format!("/demo/?jwt={jwt}"), "");
    let cookie = answer.header("Set-Cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");
    let mut stream = hub.subscribe_with("topic=*", &format!("Cookie: {cookie}\r\n"));
    assert_eq!(stream.status, 200);
    hub.publish("topic=a&private=on&id=p");
    assert_eq!(stream.ids(1), ["p"]);
}

#[test]
fn without_a_token_the_cookie_expires() {
    let (hub, both) = (demo(), Hub::start(&[("DEMO", "1"), ("PROTOCOL", "07,08"), ("JWT_KEY", "")]));
    for target in ["/demo/", "/demo/a?jwt=", "/demo/a?body=b"] {
        let gone = |name: &str| {
            format!(
                "{name}=; Path=/.well-known/mercure; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; \
                 HttpOnly; SameSite=Strict"
            )
        };
        let cookies = ["mercureAuthorization", "mercure_access_token"].map(gone);
        assert_eq!(all(&ask(&hub, "GET", target, ""), "Set-Cookie"), cookies[..1], "{target}");
        assert_eq!(all(&ask(&both, "GET", target, ""), "Set-Cookie"), cookies, "{target}");
    }
}

#[test]
fn the_cookie_is_secure_over_https_and_where_a_trusted_proxy_says_so() {
    let is_secure = |hub: &Hub, headers: &str| {
        ask(hub, "GET", "/demo/?jwt=a", headers).header("Set-Cookie").expect("a cookie").ends_with("; Secure")
    };
    let says_https = "X-Forwarded-Proto: https\r\n";
    let plain = demo();
    assert!(!is_secure(&plain, "") && !is_secure(&plain, says_https));
    let behind = Hub::start(&[("DEMO", "1"), ("USE_FORWARDED_HEADERS", "1")]);
    assert!(is_secure(&behind, says_https) && is_secure(&behind, "Forwarded: proto=https\r\n"));
    assert!(!is_secure(&behind, ""));
    let pair = Pair::new();
    let https = Files::new("demo", &pair).start(&[("DEMO", "1")], &any(&pair));
    assert!(is_secure(&https, ""));
}

#[test]
fn what_is_too_long_or_no_cookie_is_refused_with_the_bound() {
    let hub = demo();
    let long = format!("/demo/?body={}", "a".repeat(16 << 10));
    let many = format!("{MATCH}?selector=a{}", "&topic=a".repeat(101));
    for (target, status, text) in [
        (long.as_str(), 414, "16384 bytes"),
        ("/demo/?jwt=a%0d%0aSet-Cookie:%20b=c", 400, "\"jwt\""),
        ("/demo/?jwt=a;%20Domain=example.com", 400, "\"jwt\""),
        ("/demo/?body=%ff", 400, "UTF-8"),
        (many.as_str(), 400, "1 to 100 \"topic\""),
        ("/.well-known/mercure/match?topic=a", 400, "one \"selector\""),
        ("/.well-known/mercure/match?selector=%7Ba%7D&topic=", 400, "must not be empty"),
        ("/.well-known/mercure/match?selector=*&topic=*", 400, "must not be \"*\""),
    ] {
        let answer = ask(&hub, "GET", target, "");
        assert!(answer.status == status && answer.body.contains(text), "{target}: {answer:?}");
        assert_eq!(answer.header("Set-Cookie"), None);
    }
    for target in ["/", "/demo/a", MATCH] {
        let answer = ask(&hub, "POST", target, "Content-Length: 0\r\n");
        assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD, OPTIONS")), "{target}");
        assert_eq!(ask(&hub, "OPTIONS", target, "").status, 204);
    }
}

/// At its bound: other clients do not wait for it.
#[test]
fn the_matcher_is_the_hubs_own_and_is_quick_whatever_it_is_asked() {
    let hub = Hub::start(&[("DEMO", "1"), ("CORS_ALLOWED_ORIGINS", "https://page.example")]);
    let target = format!("{MATCH}?selector=/%7Ba%7D&topic=/1&topic=/1/2");
    let answer = ask(&hub, "GET", &target, "Origin: https://page.example\r\n");
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://page.example"));
    let topics = |body: &str| serde_json::from_str::<Value>(body).expect("JSON")["topics"].clone();
    let expected = json!([{ "topic": "/1", "matches": true }, { "topic": "/1/2", "matches": false }]);
    assert_eq!(topics(&answer.body), expected);
    let reply = Http2::connect(&hub).ask(request("GET", &target), "");
    assert_eq!(topics(&reply.body), expected);
    let (selector, topic) = ("%7Ba%7Db".repeat(160), "b".repeat(3_200));
    let target = format!("{MATCH}?selector={selector}&topic={topic}");
    let began = std::time::Instant::now();
    assert_eq!(ask(&hub, "GET", &target, "").status, 200);
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn the_debugger_is_at_the_root_under_its_own_policy() {
    let hub = demo();
    let answer = ask(&hub, "GET", "/", "");
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
    assert!(answer.body.contains("<title>petasos debugger</title>"));
    let [policy] = all(&answer, "Content-Security-Policy")[..] else { panic!("{}", answer.head) };
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert_eq!(all(&answer, "X-Frame-Options"), ["DENY"]);
    let head = ask(&hub, "HEAD", "/", "");
    assert_eq!(head.header("Content-Length"), answer.header("Content-Length"));
    let packed = ask(&hub, "HEAD", "/", "Accept-Encoding: gzip\r\n");
    assert_eq!(packed.header("Content-Encoding"), Some("gzip"));
    let reply = Http2::connect(&hub).ask(request("GET", "/"), "");
    assert_eq!(reply.body, answer.body);
    let targets = Hub::start(&[("DEMO", "1"), ("AUTHORIZATION", "targets")]);
    assert!(ask(&targets, "GET", "/", "").body.contains("data-protocols=\"04\""));
}

#[test]
fn without_demo_mode_there_is_nothing_of_it() {
    let hub = Hub::start(&[]);
    let root = ask(&hub, "GET", "/", "");
    assert!(root.status == 200 && root.body.contains("This is a hub") && !root.body.contains("<script"));
    let match_target = format!("{MATCH}?selector=a&topic=a");
    for target in ["/demo/", "/demo/a.html?body=a&jwt=b", &match_target] {
        for method in ["GET", "POST"] {
            let answer = ask(&hub, method, target, "Content-Length: 0\r\n");
            assert_eq!((answer.status, answer.header("Set-Cookie")), (404, None), "{method} {target}");
        }
        let reply = Http2::connect(&hub).ask(request("GET", target), "");
        assert_eq!(reply.status, 404);
    }
}

/// The token of the playground is not in the log.
#[test]
fn the_token_stays_out_of_the_log() {
    let mut hub = Hub::start(&[("DEMO", "1"), ("LOG_LEVEL", "debug"), ("ACCESS_LOG", "1")]);
    ask(&hub, "GET", "/demo/a?jwt=s3cret", "");
    ask(&hub, "GET", "/demo/a?jwt=s3cret%20", "");
    hub.wait_for_log("it holds what no token does");
    assert!(hub.logged().iter().all(|line| !line.contains("s3cret")), "{:#?}", hub.log);
}
