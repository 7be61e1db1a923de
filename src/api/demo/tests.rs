//! The responses of demo mode, field by field (PROTOCOL section 9).

use base64::Engine as _;
use http::StatusCode;

use super::*;
use crate::http::request::Version;
use crate::http::scheme::Scheme;
use crate::limits::{DEMO_COOKIE_BYTES_MAX, DEMO_TARGET_BYTES_MAX, MATCH_TOPICS_MAX, SELECTOR_BYTES_MAX};
use crate::mercure::audience::Authorization;
use crate::mercure::dialect::Dialects;
use crate::mercure::form::FormError;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::SelectorError;
use crate::mercure::topic::TopicError;

const PUBLIC_URL: &str = "https://hub.e.x/.well-known/mercure";

fn hub(dialects: Dialects) -> DemoHub {
    DemoHub {
        dialects,
        cookie_name: "mercureAuthorization".into(),
        access_token_cookie_name: "__Secure-mercure_access_token".into(),
        public_url: Some(PublicUrl::parse(PUBLIC_URL).expect("a URL")),
        audience: Some(PUBLIC_URL.into()),
        issuer: Some("https://e.x".into()),
    }
}

fn demo() -> Demo {
    Demo::new(hub(Dialects::legacy(Authorization::Selectors)))
}

fn request<'a>(method: &str, path: &'a str, query: Option<&'a str>) -> Request<'a> {
    Request::new(method.parse().expect("a token"), Version::Http11, path, query)
}

fn respond(request: &Request<'_>) -> Result<Response, DemoError> {
    demo().respond(request, Negotiated::OFF).expect("it is of demo mode")
}

fn get(path: &str, query: Option<&str>) -> Response {
    respond(&request("GET", path, query)).expect("a response")
}

fn all<'r>(response: &'r Response, name: &str) -> Vec<&'r str> {
    let values = response.fields().filter(|(other, _)| other.as_str() == name).map(|(_, value)| value);
    values.map(|value| value.to_str().expect("ASCII")).collect()
}

#[test]
fn the_playground_answers_the_body_with_its_links_and_the_cookie() {
    let response = get("/demo/books/1.jsonld", Some("body=%7B%22a%22%3A1%7D&jwt=a.b.c"));
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.body(), Some(b"{\"a\":1}".as_slice()));
    assert_eq!(all(&response, "Content-Type"), ["application/ld+json"]);
    let own = "</demo/books/1.jsonld?body=%7B%22a%22%3A1%7D&jwt=a.b.c>; rel=\"self\"";
    assert_eq!(all(&response, "Link"), ["</.well-known/mercure>; rel=\"mercure\"", own]);
    let cookie = "mercureAuthorization=a.b.c; Path=/.well-known/mercure; HttpOnly; SameSite=Strict";
    assert_eq!(all(&response, "Set-Cookie"), [cookie]);
    assert_eq!(all(&response, "Cache-Control"), ["no-store"]);
}

/// The topic of a resource is its URL as a client reads it, which is another text for some paths.
#[test]
fn the_own_link_is_what_a_client_resolves_it_to() {
    for (path, query, own) in [
        ("/demo/{id}", None, Some("/demo/%7Bid%7D")),
        ("/demo/a/../b", Some("'"), Some("/demo/b?%27")),
        ("/demo/%2e/a", None, Some("/demo/a")),
        ("/demo/a%2Fb", Some("{"), Some("/demo/a%2Fb?{")),
        ("/demo/..", None, None),
        ("/demo/%2E%2e/.well-known/mercure", None, None),
    ] {
        let response = get(path, query);
        let expected: Vec<_> = own.map(|own| format!("<{own}>; rel=\"self\"")).into_iter().collect();
        assert_eq!(all(&response, "Link")[1..], expected, "{path}");
        if let Some(own) = own {
            let base = url::Url::parse("https://hub.e.x/elsewhere").expect("a URL");
            assert_eq!(base.join(own).expect("a URL").as_str(), format!("https://hub.e.x{own}"), "{path}");
        }
    }
}

#[test]
fn without_a_token_the_cookie_expires_and_over_https_it_is_secure() {
    for query in [None, Some(""), Some("jwt="), Some("body=a")] {
        let mut request = request("HEAD", "/demo/", query);
        request.scheme = Scheme::Https;
        let response = respond(&request).expect("a response");
        let cookie = "mercureAuthorization=; Path=/.well-known/mercure; Max-Age=0; \
                      Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(all(&response, "Set-Cookie"), [cookie], "{query:?}");
    }
}

#[test]
fn the_media_type_is_that_of_the_extension() {
    for (path, media_type) in [
        ("/demo/a.jsonld", "application/ld+json"),
        ("/demo/a.JSONLD", "application/ld+json"),
        ("/demo/a.json", "application/json"),
        ("/demo/a.xml", "text/xml; charset=utf-8"),
        ("/demo/a.html", "text/html; charset=utf-8"),
        ("/demo/a.txt", "text/plain; charset=utf-8"),
        ("/demo/a.css", "text/css; charset=utf-8"),
        ("/demo/a.svg", "image/svg+xml"),
        ("/demo/a.b/c", "text/plain; charset=utf-8"),
        ("/demo/a.nobody-knows", "text/plain; charset=utf-8"),
        ("/demo/", "text/plain; charset=utf-8"),
    ] {
        assert_eq!(all(&get(path, None), "Content-Type"), [media_type], "{path}");
    }
}

/// PROTOCOL lets the extension choose `text/html`: such a document has an opaque origin and neither
/// runs nor loads anything.
#[test]
fn what_is_reflected_is_no_document_of_the_hub() {
    for path in ["/demo/a.html", "/demo/a.svg", "/demo/a.js", "/demo/a"] {
        let response = get(path, Some("body=%3Cscript%3Ealert(1)%3C/script%3E"));
        let [policy] = all(&response, "Content-Security-Policy")[..] else { panic!("one policy") };
        let directives: Vec<_> = policy.split("; ").collect();
        assert!(directives.contains(&"sandbox") && directives.contains(&"default-src 'none'"), "{policy}");
        assert_eq!(all(&response, "X-Content-Type-Options"), ["nosniff"]);
        assert_eq!(all(&response, "Cross-Origin-Resource-Policy"), ["same-origin"]);
    }
}

#[test]
fn nothing_in_a_url_makes_another_header() {
    for query in
        ["jwt=a%0D%0AX:%20y", "jwt=a;%20Domain=x", "jwt=%22a%22", "jwt=a%20b", "jwt=a,b", "jwt=%C3%A9"]
    {
        let error = respond(&request("GET", "/demo/a", Some(query))).expect_err(query);
        assert_eq!(error, DemoError::NoCookie);
        assert!(!error.to_string().contains("Domain"));
    }
    let response = get("/demo/<é>\"^", Some("body=a%0D%0AX:%20y>;\"é\u{85}"));
    let [_, own] = all(&response, "Link")[..] else { panic!("two links") };
    let escaped = "</demo/%3C%C3%A9%3E%22%5E?body=a%0D%0AX:%20y%3E;%22%C3%A9%C2%85>; rel=\"self\"";
    assert_eq!(own, escaped);
}

#[test]
fn queries_are_bounded() {
    let refused = |query: &str| respond(&request("GET", "/demo/", Some(query))).err();
    let room = DEMO_TARGET_BYTES_MAX - "/demo/?body=".len();
    assert_eq!(refused(&format!("body={}", "a".repeat(room))), None);
    assert_eq!(refused(&format!("body={}", "a".repeat(room + 1))), Some(DemoError::TargetTooLong));
    assert_eq!(DemoError::TargetTooLong.to_response().status(), StatusCode::URI_TOO_LONG);
    assert_eq!(refused(&format!("jwt={}", "a".repeat(DEMO_COOKIE_BYTES_MAX))), None);
    let jwt = format!("jwt={}", "a".repeat(DEMO_COOKIE_BYTES_MAX + 1));
    assert_eq!(refused(&jwt), Some(DemoError::CookieTooLong));
    assert!(DemoError::CookieTooLong.to_string().contains("4000"));
    assert_eq!(refused("body=%"), Some(DemoError::Form(FormError::Escape)));
    assert_eq!(DemoError::Form(FormError::Escape).to_response().status(), StatusCode::BAD_REQUEST);
}

#[test]
fn the_matcher_answers_for_each_topic() {
    let query = "selector=https://e.x/%7Bid%7D&topic=https://e.x/1&topic=https://e.x/1/2";
    let response = get(MATCH_PATH, Some(query));
    assert_eq!(all(&response, "Content-Type"), ["application/json"]);
    let document: serde_json::Value = serde_json::from_slice(response.body().expect("a body")).expect("JSON");
    assert_eq!(get(MATCH_PATH_2019, Some(query)), response);
    let expected = serde_json::json!({
        "selector": "https://e.x/{id}",
        "kind": "template",
        "topics": [
            { "topic": "https://e.x/1", "matches": true },
            { "topic": "https://e.x/1/2", "matches": false },
        ],
    });
    assert_eq!(document, expected);
    for (selector, kind) in [("*", "\"any\""), ("a", "\"exact\""), ("%7B", "\"exact\"")] {
        let response = get(MATCH_PATH, Some(&format!("selector={selector}&topic=a")));
        let text = String::from_utf8_lossy(response.body().expect("a body"));
        assert!(text.contains(&format!("\"kind\":{kind}")), "{text}");
    }
}

#[test]
fn the_matcher_is_bounded_and_says_by_what() {
    let refused = |query: &str| respond(&request("GET", MATCH_PATH, Some(query))).expect_err(query);
    let many = format!("selector=a{}", "&topic=a".repeat(MATCH_TOPICS_MAX + 1));
    let long = format!("selector=a&topic={}", "a".repeat(SELECTOR_BYTES_MAX + 1));
    let wide = format!("selector=%7B/{}a%7D&topic=a", "a,".repeat(2_000));
    let costly =
        format!("selector={}{}", "{%26a}b".repeat(350), format!("&topic={}", "b".repeat(1_000)).repeat(8));
    for (query, error) in [
        ("", DemoError::Selectors),
        (costly.as_str(), DemoError::TooCostly),
        ("topic=a", DemoError::Selectors),
        ("selector=a&selector=b&topic=a", DemoError::Selectors),
        ("selector=&topic=a", DemoError::Selector(SelectorError::Empty)),
        ("selector=a", DemoError::Topics),
        ("selector=a&topic=", DemoError::Topic(TopicError::Empty)),
        ("selector=*&topic=*", DemoError::Topic(TopicError::Any)),
        ("selector=a&topic=a%00", DemoError::Topic(TopicError::ControlCharacter)),
        (many.as_str(), DemoError::Topics),
        (long.as_str(), DemoError::TopicTooLong),
        (wide.as_str(), DemoError::Selector(SelectorError::TooComplex)),
    ] {
        assert_eq!(refused(query), error);
        assert_eq!(error.to_response().status(), StatusCode::BAD_REQUEST);
    }
    let told = [
        (DemoError::Topics, "100"),
        (DemoError::TopicTooLong, "4096"),
        (DemoError::TooCostly, "a simpler selector"),
        (DemoError::TargetTooLong, "16384"),
    ];
    for (error, bound) in told {
        assert!(error.to_string().contains(bound), "{error}");
    }
    let longest =
        format!("selector={0}&topic={0}&topic={0}&topic={0}&topic={0}", "a".repeat(SELECTOR_BYTES_MAX));
    assert_eq!(refused(&longest), DemoError::TargetTooLong);
}

/// A script from the playground has the origin of the page: the policy of the page must allow
/// hashes only, never `'self'`.
#[test]
fn the_debugger_runs_its_own_script_and_no_other() {
    let response = get("/", None);
    assert_eq!(all(&response, "Content-Type"), ["text/html; charset=utf-8"]);
    let [policy] = all(&response, "Content-Security-Policy")[..] else { panic!("one policy") };
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    for word in ["'self'", "unsafe", "*", "blob:"] {
        assert!(!policy.contains(word), "{word} in {policy}");
    }
    let page = std::str::from_utf8(response.body().expect("a body")).expect("UTF-8");
    for (tag, end, directive) in
        [("<script type=\"module\">", "</script>", "script-src"), ("<style>", "</style>", "style-src")]
    {
        assert_eq!((page.matches("<script").count(), page.matches(end).count()), (1, 1));
        let content = page.split_once(tag).and_then(|(_, rest)| rest.split_once(end)).expect("an element").0;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content.as_bytes());
        let hash = base64::engine::general_purpose::STANDARD.encode(digest);
        assert!(policy.contains(&format!("{directive} 'sha256-{hash}'")), "{directive}");
    }
    for elsewhere in
        ["src=", "@import", ": url(", " style=", " onclick", "innerHTML", "eval(", "localStorage", "{{"]
    {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn the_debugger_knows_what_its_hub_speaks() {
    let page = |demo: &Demo| {
        let response =
            demo.respond(&request("GET", "/", None), Negotiated::OFF).expect("the page").expect("a response");
        String::from_utf8(response.body().expect("a body").to_vec()).expect("UTF-8")
    };
    assert!(page(&demo()).contains("data-protocols=\"07\" data-cookie=\"mercureAuthorization\""));
    let both = hub(Dialects::with_draft08(Some(Authorization::Targets)));
    let other = Demo::new(DemoHub { cookie_name: "a&b".into(), ..both });
    let shown = page(&other);
    for attribute in [
        "data-protocols=\"04 08\" data-cookie=\"a&amp;b\"",
        "data-access-token-cookie=\"__Secure-mercure_access_token\"",
        "data-audience=\"https://hub.e.x/.well-known/mercure\" data-issuer=\"https://e.x\"",
    ] {
        assert!(shown.contains(attribute), "{attribute}");
    }
    assert!(page(&Demo::new(hub(Dialects::with_draft08(None)))).contains("data-protocols=\"08\""));
}

/// A token goes into the cookie of its own protocol. The hub would read another one that is left
/// before it.
#[test]
fn the_cookie_is_that_of_the_tokens_protocol_and_the_other_one_expires() {
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let access = format!("{}.e30.x", encode(r#"{"alg":"HS256","typ":"AT+JWT"}"#));
    let legacy = format!("{}.e30.x", encode(r#"{"alg":"HS256","typ":"JWT"}"#));
    let cookies = |dialects, jwt: &str| {
        let query = format!("jwt={}", jwt.replace('+', "%2B"));
        let request = request("GET", "/demo/", Some(&query));
        let response = Demo::new(hub(dialects)).respond(&request, Negotiated::OFF).expect("it").expect("it");
        let cookies = all(&response, "Set-Cookie");
        cookies.into_iter().map(|cookie| cookie.split_once(';').expect("attributes").0.to_owned()).collect()
    };
    let [old, new] = ["mercureAuthorization", "__Secure-mercure_access_token"];
    let both = Dialects::with_draft08(Some(Authorization::Selectors));
    let cases: [(_, &str, Vec<String>); 8] = [
        (both, &access, vec![format!("{old}="), format!("{new}={access}")]),
        (both, &legacy, vec![format!("{old}={legacy}"), format!("{new}=")]),
        (both, "a.b.c", vec![format!("{old}=a.b.c"), format!("{new}=")]),
        (both, "", vec![format!("{old}="), format!("{new}=")]),
        (Dialects::with_draft08(None), &access, vec![format!("{new}={access}")]),
        (Dialects::with_draft08(None), &legacy, vec![format!("{new}={legacy}")]),
        (Dialects::with_draft08(None), "", vec![format!("{new}=")]),
        (Dialects::legacy(Authorization::Selectors), &access, vec![format!("{old}={access}")]),
    ];
    for (dialects, jwt, expected) in cases {
        let found: Vec<String> = cookies(dialects, jwt);
        assert_eq!(found, expected, "{dialects:?} {jwt}");
    }
    // A browser refuses a cookie of this name that is not secure.
    let only = Demo::new(hub(Dialects::with_draft08(None)));
    let response = only.respond(&request("GET", "/demo/", None), Negotiated::OFF).expect("it").expect("it");
    assert!(all(&response, "Set-Cookie")[0].ends_with("; Secure"));
}

#[test]
fn the_matcher_knows_the_matchers_of_draft_08() {
    let kind_and_matches = |query: &str| {
        let response = get(MATCH_PATH, Some(query));
        let document: serde_json::Value =
            serde_json::from_slice(response.body().expect("a body")).expect("JSON");
        let topics = document["topics"].as_array().expect("a list").clone();
        let matches: Vec<_> = topics.iter().map(|topic| topic["matches"] == true).collect();
        (document["kind"].as_str().expect("a text").to_owned(), matches)
    };
    for (query, kind, matches) in [
        ("match=/a/%7Bid%7D&topic=/a/1&topic=/a/%7Bid%7D", "exact", [false, true]),
        ("match_exact=a&topic=a&topic=b", "exact", [true, false]),
        ("match_urlpattern=/a/:id&topic=https://hub.e.x/a/1&topic=https://e.x/a/1", "pattern", [true, false]),
        ("match_urlpattern=*&topic=a&topic=b", "any", [true, true]),
    ] {
        assert_eq!(kind_and_matches(query), (kind.to_owned(), matches.to_vec()), "{query}");
    }
    let refused = |query: &str| respond(&request("GET", MATCH_PATH, Some(query))).expect_err(query);
    assert!(matches!(refused("match_urlpattern=/(&topic=a"), DemoError::Matcher(SelectorError::Pattern(_))));
    assert_eq!(refused("match=&topic=a"), DemoError::Matcher(SelectorError::Empty));
    assert_eq!(refused("match=a&selector=a&topic=a"), DemoError::Selectors);
    let nameless = DemoHub { public_url: None, ..hub(Dialects::legacy(Authorization::Selectors)) };
    let request = request("GET", MATCH_PATH, Some("match=a&topic=a"));
    let answer = Demo::new(nameless).respond(&request, Negotiated::OFF).expect("it is of demo mode");
    assert_eq!(answer.expect_err("no URL"), DemoError::NoPublicUrl);
}

#[test]
fn other_paths_and_methods_are_not_its_business() {
    for (method, path) in [
        ("GET", "/demo"),
        ("GET", "/Demo/"),
        ("GET", "/.well-known/mercure"),
        ("GET", "/.well-known/mercure/match/"),
        ("GET", "/healthz"),
        ("OPTIONS", "/demo/"),
        ("PURGE", "/"),
    ] {
        assert!(demo().respond(&request(method, path, None), Negotiated::OFF).is_none(), "{method} {path}");
    }
    for path in ["/", "/demo/", MATCH_PATH] {
        let error = respond(&request("POST", path, None)).expect_err(path);
        assert_eq!(error.to_response().status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
