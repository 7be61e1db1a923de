//! The requests that are sent: those of a Mercure hub, and those of templates.

use super::*;

const STAMP: Stamp = Stamp { run: 1, stream: 2, sequence: 3, due_ns: 4 };

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn stamped(publication: &mut Publication) -> String {
    publication.stamp(&STAMP);
    text(publication.request())
}

fn templates(change: impl FnOnce(&mut Templates)) -> Templates {
    let mut templates = Templates::default();
    change(&mut templates);
    templates
}

#[test]
fn reads_hub_urls_with_and_without_port_path_and_query() {
    for (url, port, request) in [
        ("http://127.0.0.1:3000/hub", 3000, "GET /hub?topic=a "),
        ("http://127.0.0.1", 80, "GET /.well-known/mercure?topic=a "),
        ("http://127.0.0.1:81/hub?x=1", 81, "GET /hub?x=1&topic=a "),
        ("http://[::1]:82", 82, "GET /.well-known/mercure?topic=a "),
        ("http://[::1]", 80, "GET /.well-known/mercure?topic=a "),
    ] {
        let wire = Wire::mercure(url).expect(url);
        assert_eq!((wire.subscribers().port(), wire.publishers().port()), (port, port), "{url}");
        assert!(text(&wire.subscription("a", &[], None, b"")).starts_with(request), "{url}");
    }
    assert!(Wire::mercure("https://127.0.0.1/").is_err());
}

#[test]
fn a_subscription_names_token_and_last_event_id_only_when_it_has_them() {
    let wire = Wire::mercure("http://127.0.0.1:3000").expect("valid");
    assert_eq!(
        text(&wire.subscription("t/1", &[], None, b"")),
        "GET /.well-known/mercure?topic=t%2F1 HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nAccept: text/event-stream\r\n\r\n"
    );
    let whole = text(&wire.subscription("t", &[], Some("j.w.t"), b"urn:7"));
    assert!(whole.contains("\r\nAuthorization: Bearer j.w.t\r\nLast-Event-ID: urn:7\r\n"), "{whole}");
}

#[test]
fn a_publication_is_a_form_whose_length_is_right() {
    let wire = Wire::mercure("http://127.0.0.1:3000").expect("valid");
    let mut publication = wire.publication("t/1", true, "j", 60);
    let request = stamped(&mut publication);
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    let data = body.strip_prefix("topic=t%2F1&private=on&data=").expect("the form");
    assert_eq!((data.len(), Stamp::read(data.as_bytes())), (60, Some(STAMP)));
}

#[test]
fn templates_make_the_requests_of_another_server() {
    let wire = Wire::parse(
        None,
        &templates(|templates| {
            templates.subscribe_url = Some("http://127.0.0.1:1/sub/{topic}".to_owned());
            templates.subscribe_header =
                vec!["X-Key: {token}".to_owned(), "X-Last: {last_event_id}".to_owned()];
            templates.publish_url = Some("http://127.0.0.1:2/api".to_owned());
            templates.publish_method = Some("PUT".to_owned());
            templates.publish_header = vec!["Content-Type: application/json".to_owned()];
            templates.publish_body = Some(r#"{"channel":"{topic_raw}","data":"{data}"}"#.to_owned());
        }),
    )
    .expect("valid");
    assert_eq!((wire.subscribers().port(), wire.publishers().port()), (1, 2));
    let subscription = text(&wire.subscription("a b", &[], Some("k"), b""));
    assert!(subscription.starts_with("GET /sub/a%20b HTTP/1.1\r\n"), "{subscription}");
    assert!(subscription.contains("X-Key: k\r\n") && !subscription.contains("X-Last"), "{subscription}");
    let mut publication = wire.publication("a b", false, "k", 0);
    let request = stamped(&mut publication);
    assert!(request.starts_with("PUT /api HTTP/1.1\r\n"), "{request}");
    let (head, body) = request.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    let data = body.strip_prefix(r#"{"channel":"a b","data":""#).and_then(|rest| rest.strip_suffix(r#""}"#));
    assert_eq!(data.and_then(|data| Stamp::read(data.as_bytes())), Some(STAMP));
}

#[test]
fn the_data_may_stand_in_the_url_but_must_stand_somewhere_and_only_once() {
    let wire = |publish_url: &str, body: Option<&str>| {
        let templates = templates(|templates| {
            templates.publish_url = Some(publish_url.to_owned());
            templates.publish_body = body.map(str::to_owned);
        });
        Wire::parse(Some("http://127.0.0.1:1"), &templates)
    };
    let mut publication =
        wire("http://127.0.0.1:1/pub?d={data}", None).expect("valid").publication("t", false, "", 0);
    let request = stamped(&mut publication);
    let data = request.strip_prefix("POST /pub?d=").expect("the target");
    assert_eq!(Stamp::read(data.as_bytes()), Some(STAMP));
    assert!(request.ends_with("Content-Length: 0\r\n\r\n"), "{request}");
    assert!(wire("http://127.0.0.1:1/pub", Some("{topic}")).is_err());
    assert!(wire("http://127.0.0.1:1/pub?d={data}", Some("{data}")).is_err());
}

#[test]
fn further_selectors_go_into_the_query_and_escape_what_would_end_them() {
    let wire = Wire::mercure("http://127.0.0.1:1").expect("valid");
    let further = ["https://a/{b}?c=d&e+f".to_owned(), "é%#".to_owned()];
    let request = text(&wire.subscription("x", &further, None, b""));
    let target = "?topic=x&topic=https://a/%7Bb%7D?c=d%26e%2Bf&topic=%C3%A9%25%23 HTTP/1.1\r\n";
    assert!(request.contains(target), "{request}");
}
