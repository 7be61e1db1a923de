//! Goal: the requests of Laravel and Symfony, byte for byte, and their tokens.
//! Method: MERCURE-1.0, section 7.5, says what they send. The fields of a request and their order
//! were recorded from Symfony's HttpClient and from Chromium, which send them.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::access::{ISSUER_KEY, document, encoded, field, hub};
use crate::common::subscriptions::members;
use crate::common::{Hub, Stream, id};

const PAGE: &str = "https://e.x";
/// The presence channel `presence-room (1)`, and the private one `private-orders.7`.
const ROOM: &str = "https://laravel.alt/echo/channel/presence-room%20%281%29";
const ORDERS: &str = "https://laravel.alt/echo/channel/private-orders.7";
/// The header of a token by `web-token/jwt-library`, which Laravel and newer bundles use.
const WEB_TOKEN: &str = r#"{"alg":"HS256","typ":"at+jwt"}"#;
/// By `lcobucci/jwt`.
const LCOBUCCI: &str = r#"{"typ":"at+jwt","alg":"HS256"}"#;

fn signed(header: &str, claims: &str) -> String {
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, ISSUER_KEY.as_bytes()), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Laravel's token for its own publications: `json_encode` of PHP escapes each slash.
fn laravel_publisher() -> String {
    signed(
        WEB_TOKEN,
        concat!(
            r#"{"aud":"https:\/\/hub.e.x\/.well-known\/mercure","iss":"https:\/\/e.x","#,
            r#""client_id":"https:\/\/e.x","sub":"https:\/\/e.x","authorization_details":[{"#,
            r#""type":"https:\/\/mercure.rocks\/authorization-detail","actions":["publish"],"#,
            r#""topics":[{"match":"*"}]}],"iat":1785974400,"#,
            r#""jti":"5f0c1a9e8d7b6a5f4e3d2c1b0a998877","exp":4102444800}"#,
        ),
    )
}

/// Laravel's token in the cookie of a member of both channels.
fn laravel_member(user: &str) -> String {
    signed(
        WEB_TOKEN,
        &concat!(
            r#"{"sub":"USER","exp":4102444800,"aud":"https:\/\/hub.e.x\/.well-known\/mercure","#,
            r#""iss":"https:\/\/e.x","client_id":"https:\/\/e.x","authorization_details":[{"#,
            r#""type":"https:\/\/mercure.rocks\/authorization-detail","actions":["subscribe"],"#,
            r#""topics":[{"match":"https:\/\/laravel.alt\/echo\/channel\/private-orders.7"}]},{"#,
            r#""type":"https:\/\/mercure.rocks\/authorization-detail","actions":["subscribe"],"#,
            r#""topics":[{"match":"https:\/\/laravel.alt\/echo\/channel\/presence-room%20%281%29"},"#,
            r#"{"match":"\/.well-known\/mercure\/subscriptions\/:match_type\/"#,
            r#"https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fpresence-room%2520%25281%2529"#,
            r#"{\/:subscriber}?","#,
            r#""match_type":"urlpattern"}],"payload":{"id":USER,"name":"Zo\u00eb \/ USER"}},{"#,
            r#""type":"https:\/\/mercure.rocks\/authorization-detail","actions":["subscribe","#,
            r#""publish"],"topics":[{"#,
            r#""match":"https:\/\/laravel.alt\/echo\/whisper\/private-orders.7"},{"#,
            r#""match":"https:\/\/laravel.alt\/echo\/whisper\/presence-room%20%281%29"}]}],"#,
            r#""iat":1785974400,"jti":"00112233445566778899aabbccddeeff"}"#,
        )
        .replace("USER", user),
    )
}

/// A request of `Hub::publish` of Symfony's component, by `HttpClient` with PHP's own streams.
fn by_symfony(token: &str, body: &str) -> String {
    format!(
        "POST /.well-known/mercure HTTP/1.1\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Accept: */*\r\nContent-Length: {}\r\nAuthorization: Bearer {token}\r\nAccept-Encoding: gzip\r\n\
         User-Agent: Symfony HttpClient/Native\r\nHost: hub.e.x\r\n\r\n{body}",
        body.len()
    )
}

/// A request of Chromium for a page at `PAGE`, with the fields of its kind and a cookie.
fn by_chromium(line: &str, fields: &str, token: &str, body: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: hub.e.x\r\nConnection: keep-alive\r\n{fields}sec-ch-ua-platform: \"Linux\"\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36\r\n\
         sec-ch-ua: \"Not:A-Brand\";v=\"8\", \"Chromium\";v=\"156\"\r\nsec-ch-ua-mobile: ?0\r\nOrigin: {PAGE}\r\n\
         Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nReferer: {PAGE}/\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
         Cookie: app_session=x%3D; __Secure-mercure_access_token={token}\r\n\r\n{body}"
    )
}

/// The stream of an `EventSource` with `withCredentials`.
fn event_source(hub: &Hub, query: &str, token: &str) -> Stream {
    const FIELDS: &str = "Pragma: no-cache\r\nCache-Control: no-cache\r\nAccept: text/event-stream\r\n";
    let mut client = hub.connect();
    client.send(&by_chromium(&format!("GET /.well-known/mercure?{query}"), FIELDS, token, ""));
    let stream = Stream::open(client);
    assert_eq!(stream.status, 200, "{query}");
    stream
}

/// Echo's first stream, in the order in which it writes its parameters.
fn echo_stream(hub: &Hub, rest: &str, token: &str) -> Stream {
    let query = "match=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fprivate-orders.7\
        &match=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fpresence-room%2520%25281%2529\
        &match_urlpattern=%2F.well-known%2Fmercure%2Fsubscriptions%2F%3Amatch_type%2Fhttps%253A%252F%252Flaravel.alt\
        %252Fecho%252Fchannel%252Fpresence-room%252520%2525281%252529%2F%3Asubscriber";
    event_source(hub, &format!("{query}{rest}"), token)
}

/// Section 7.5, Laravel: one update for each private channel, one for all public ones.
#[test]
fn laravel_broadcasts_byte_for_byte() {
    let hub = hub(&[("CORS_ALLOWED_ORIGINS", PAGE)]);
    let mut member = echo_stream(&hub, "", &laravel_member("1"));
    let own = document(&member.next().expect("its own event"));
    assert_eq!((&own["match"], &own["payload"]["name"]), (&json!(ROOM), &json!("Zoë / 1")));
    let mut all = hub.subscribe("match=*");

    let broadcast = |body: &str| {
        let answer = hub.request(&by_symfony(&laravel_publisher(), body));
        assert_eq!((answer.status, answer.header("Content-Type")), (200, Some("text/plain; charset=utf-8")));
        answer.body
    };
    let made = broadcast(
        "topic=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fprivate-orders.7&data=%7B%22channels%22%3A%5B%22private-orders.7%22\
         %5D%2C%22event%22%3A%22App%5C%5CEvents%5C%5COrderShipped%22%2C%22payload%22%3A%7B%22id%22%3A7%2C%22at%22%3A%22a%5C%2Fb\
         +%5Cu00e9%22%7D%2C%22socket%22%3A%22s%22%7D&private=on",
    );
    let event = member.next().expect("the broadcast");
    assert_eq!((id(&event), field(&event, "event")), (made, None));
    assert_eq!(
        field(&event, "data"),
        Some(concat!(
            r#"{"channels":["private-orders.7"],"event":"App\\Events\\OrderShipped","payload":{"#,
            r#""id":7,"at":"a\/b \u00e9"},"socket":"s"}"#,
        ))
    );
    let made = broadcast(
        "topic=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fnews&topic=https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fblog%257E\
         &data=%7B%22channels%22%3A%5B%22news%22%2C%22blog%7E%22%5D%2C%22event%22%3A%22Posted%22%2C%22payload%22%3A%5B%5D%7D",
    );
    assert_eq!(id(&all.next().expect("the public one, and nothing before it")), made);
}

/// Section 7.5, Echo: the stream, the list after it, a whisper, and going on after an event.
#[test]
fn echo_asks_byte_for_byte() {
    let hub = hub(&[("CORS_ALLOWED_ORIGINS", PAGE), ("PUBLISH_ALLOWED_ORIGINS", PAGE)]);
    let (anna, ben) = (laravel_member("1"), laravel_member("2"));
    let mut stream = echo_stream(&hub, "", &anna);
    assert_eq!(stream.header("Access-Control-Allow-Origin"), Some(PAGE));
    assert_eq!(stream.header("Access-Control-Allow-Credentials"), Some("true"));
    let own = document(&stream.next().expect("its own event"));

    let list = "GET /.well-known/mercure/subscriptions/exact/https%3A%2F%2Flaravel.alt%2Fecho%2Fchannel%2Fpresence-room%2520%25281%2529";
    let answer = hub.request(&by_chromium(list, "Accept: */*\r\n", &anna, ""));
    assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (200, Some(PAGE)));
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(members(&answer), &[own]);

    let mut whispers = event_source(
        &hub,
        "match=https%3A%2F%2Flaravel.alt%2Fecho%2Fwhisper%2Fprivate-orders.7\
         &match=https%3A%2F%2Flaravel.alt%2Fecho%2Fwhisper%2Fpresence-room%2520%25281%2529",
        &ben,
    );
    let body = "topic=https%3A%2F%2Flaravel.alt%2Fecho%2Fwhisper%2Fpresence-room%2520%25281%2529&data=%7B%22channels%22%3A%5B%22\
        presence-room+%281%29%22%5D%2C%22event%22%3A%22client-typing%22%2C%22payload%22%3A%7B%22by%22%3A%22Anna+*%7E%27%21%22%7D%2C\
        %22socket%22%3A%22s%22%7D&private=on";
    let fields = format!(
        "Content-Length: {}\r\nContent-Type: application/x-www-form-urlencoded;charset=UTF-8\r\nAccept: */*\r\n",
        body.len()
    );
    let answer = hub.request(&by_chromium("POST /.well-known/mercure", &fields, &anna, body));
    assert_eq!((answer.status, answer.header("Access-Control-Allow-Origin")), (200, Some(PAGE)));
    let event = whispers.next().expect("the whisper");
    let data: Value = serde_json::from_str(field(&event, "data").expect("data")).expect("JSON");
    assert_eq!(data["payload"]["by"], "Anna *~'!");

    // A whisper to a channel itself would be an event of the server's.
    let forged = body.replacen("whisper", "channel", 1);
    assert_eq!(hub.request(&by_chromium("POST /.well-known/mercure", &fields, &anna, &forged)).status, 403);

    let order = |data: &str| {
        let body = format!("topic={}&data={data}&private=on", encoded(ORDERS));
        hub.request(&by_symfony(&laravel_publisher(), &body)).body
    };
    let seen = order("seen");
    order("missed");
    let cursor = format!("&last_event_id={}", encoded(&seen));
    let mut back = echo_stream(&hub, &cursor, &ben);
    assert_eq!(back.header("Mercure-Last-Event-ID"), Some(&*seen));
    assert_eq!(field(&back.next().expect("an update"), "data"), Some("missed"));
}

/// Section 7.5, Laravel: up to 100 channels, so a token, and a URL, of many KiB.
#[test]
fn laravel_joins_a_hundred_channels() {
    let hub = hub(&[("CORS_ALLOWED_ORIGINS", PAGE)]);
    let topics = |kind: &str| -> Vec<String> {
        (1..=100).map(|number| format!("https://laravel.alt/echo/{kind}/private-orders.{number}")).collect()
    };
    let entry = |actions: &[&str], topics: &[String]| {
        let topics: Vec<Value> = topics.iter().map(|topic| json!({ "match": topic })).collect();
        json!({ "type": "https://mercure.rocks/authorization-detail", "actions": actions, "topics": topics })
    };
    let channels = topics("channel");
    let claims = json!({
        "sub": "1", "exp": 4_102_444_800_u64, "aud": "https://hub.e.x/.well-known/mercure", "iss": "https://e.x",
        "client_id": "https://e.x", "iat": 1_785_974_400, "jti": "00112233445566778899aabbccddeeff",
        "authorization_details":
            [entry(&["subscribe"], &channels), entry(&["subscribe", "publish"], &topics("whisper"))],
    });
    let token = signed(WEB_TOKEN, &claims.to_string().replace('/', "\\/"));
    assert!(token.len() > 16_384, "{} bytes", token.len());
    let query: Vec<String> = channels.iter().map(|topic| format!("match={}", encoded(topic))).collect();
    let mut stream = event_source(&hub, &query.join("&"), &token);
    let body = format!("topic={}&data=x&private=on", encoded(&channels[99]));
    let made = hub.request(&by_symfony(&laravel_publisher(), &body)).body;
    assert_eq!(id(&stream.next().expect("the update")), made);
}

/// Section 7.5, Symfony: all fields of an update; a token with fractions of seconds, an audience
/// that is the hub's internal URL, and a payload that is no object.
#[test]
fn symfony_publishes_and_subscribes_byte_for_byte() {
    let hub = hub(&[("CORS_ALLOWED_ORIGINS", PAGE), ("AUDIENCES", "http://mercure/.well-known/mercure")]);
    let claims = |audience: &str, details: &str| {
        format!(
            concat!(
                r#"{{"exp":4102444800.123457,"iss":"https://e.x","aud":"{audience}","sub":"app","#,
                r#""client_id":"app","authorization_details":[{details}],"iat":1785974400.654321,"#,
                r#""jti":"5f0c1a9e8d7b6a5f4e3d2c1b0a998877"}}"#,
            ),
            audience = audience,
            details = details,
        )
    };
    let publish = concat!(
        r#"{"type":"https://mercure.rocks/authorization-detail","actions":["publish"],"topics":[{"#,
        r#""match":"https://example.com/books/1"},{"match":"https://example.com/users/:id","#,
        r#""match_type":"urlpattern"}]}"#,
    );
    let subscribe = concat!(
        r#"{"type":"https://mercure.rocks/authorization-detail","actions":["subscribe"],"topics":[{"#,
        r#""match":"https://example.com/users/:id","match_type":"urlpattern"}],"payload":[]}"#,
    );
    let publisher = signed(LCOBUCCI, &claims("http://mercure/.well-known/mercure", publish));
    let reader = signed(LCOBUCCI, &claims("https://hub.e.x/.well-known/mercure", subscribe));
    // `mercure()` of Twig encodes as `rawurlencode`.
    let query = "match=https%3A%2F%2Fexample.com%2Fbooks%2F1&match_urlpattern=https%3A%2F%2Fexample.com%2Fusers%2F%3Aid";
    let mut stream = event_source(&hub, query, &reader);
    let body = "topic=https%3A%2F%2Fexample.com%2Fbooks%2F1&topic=https%3A%2F%2Fexample.com%2Fusers%2F%7Ea+b\
        &data=%7B%22status%22%3A%22a%5C%2Fb+%5Cu00e9%22%7D&private=on&id=urn%3Ax%3A1&type=kind&retry=1500";
    let answer = hub.request(&by_symfony(&publisher, body));
    assert_eq!((answer.status, &*answer.body), (200, "urn:x:1"));
    let event = stream.next().expect("the update");
    let fields = ["id", "event", "retry", "data"].map(|name| field(&event, name));
    assert_eq!(fields, [Some("urn:x:1"), Some("kind"), Some("1500"), Some(r#"{"status":"a\/b \u00e9"}"#)]);

    // The name that its older versions write is read as well.
    let mut back =
        event_source(&hub, &format!("{query}&lastEventID=earliest&Last-Event-ID=earliest"), &reader);
    assert_eq!(back.header("Mercure-Last-Event-ID"), Some("earliest"));
    assert_eq!(id(&back.next().expect("the update again")), "urn:x:1");

    // What it was not granted: it reads the status.
    let other = "topic=https%3A%2F%2Fexample.com%2Fbooks%2F2&data=x";
    assert_eq!(hub.request(&by_symfony(&publisher, other)).status, 403);
    assert_eq!(hub.request(&by_symfony(&reader, body)).status, 403);
}
