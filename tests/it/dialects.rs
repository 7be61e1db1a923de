//! Goal: on a hub that speaks 07 and 08, an operator sees who still speaks the older one, and when
//! the last old client is gone (MERCURE-1.0, section 12.6).
//!
//! Method: one old and one new client, and the queries of docs/operations.md as they are written
//! there, on the page of metrics and on the log.

use std::collections::BTreeMap;

use petasos::mercure::names::HUB_PATH;
use serde_json::{Value, json};

use crate::common::{Client, Hub, KEY, Stream, get, post, publisher, token};
use crate::mercure10::access::{self, token as access_token};
use crate::metrics::Metered;

const OLD: &str = "User-Agent: old-app/1.0\r\n";
const NEW: &str = "User-Agent: new-app/2.0\r\n";
/// What the section of the page is called.
const SECTION: &str = "## The last old client";

fn detail(actions: &[&str]) -> Value {
    json!({
        "type": "https://mercure.rocks/authorization-detail",
        "actions": actions,
        "topics": [{ "match": "*" }],
    })
}

/// A hub for both, on two shards, with metrics.
fn mixed(settings: &[(&str, &str)]) -> Hub {
    let all = [("JWT_KEY", KEY), ("SHARDS", "2"), ("METRICS_ADDR", "127.0.0.1:0")];
    access::hub(&[&all, settings].concat())
}

/// A request with these fields.
fn with(request: &str, fields: &str) -> String {
    request.replacen("\r\n", &format!("\r\n{fields}"), 1)
}

/// The lines of the code blocks of a language in the section.
fn commands(language: &str) -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
    let page = std::fs::read_to_string(path).expect("the page");
    let (_, section) = page.split_once(SECTION).expect("the section");
    let section = section.split("\n## ").next().expect("a text");
    let opening = format!("```{language}\n");
    let blocks = section.split(&opening).skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().expect("a block").lines());
    lines.map(str::to_owned).collect()
}

/// The sum of the samples that a query of the page selects. An `increase` is the difference of two
/// such sums.
fn evaluate(query: &str, samples: &BTreeMap<String, f64>) -> f64 {
    let (rest, _) = query.split_once("{dialect!=\"08\"}").expect("it selects the older dialects");
    let name = rest.rsplit('(').next().expect("a name");
    let of_older = |sample: &&String| {
        sample
            .strip_prefix(name)
            .is_some_and(|labels| labels.starts_with('{') && labels != "{dialect=\"08\"}")
    };
    let found: Vec<f64> = samples.keys().filter(of_older).map(|sample| samples[sample]).collect();
    assert_eq!(found.len(), 2, "{name} of 04 and of 07: {samples:#?}");
    found.iter().sum()
}

#[test]
fn an_operator_finds_the_last_old_client_and_sees_that_it_is_gone() {
    let metered = Metered::of(mixed(&[]));
    let queries = commands("promql");
    let [open, requests, tokens] = &*queries else { panic!("three queries: {queries:?}") };
    let filters = commands("sh");
    let filter = filters.iter().find_map(|line| line.split("-g '").nth(1)?.split('\'').next());
    let filter = filter.expect("a filter of the journal");

    // The old client subscribes and publishes, the new one as well.
    let (old_token, new_token) = (publisher(), access_token(&[detail(&["publish"])]));
    let mut old = metered.hub.subscribe_with("topic=a", OLD);
    let mut new = metered.hub.subscribe_with("match=a", NEW);
    assert_eq!((old.status, new.status), (200, 200));
    for (body, token, fields) in [("topic=a&id=1", &old_token, OLD), ("topic=a&id=2", &new_token, NEW)] {
        assert_eq!(metered.hub.request(&with(&post(body, Some(token)), fields)).status, 200);
    }
    assert_eq!((old.ids(2), new.ids(2)), (vec!["1".into(), "2".into()], vec!["1".into(), "2".into()]));
    metered.expect(&[
        ("petasos_subscribers{dialect=\"07\"}", 1.0),
        ("petasos_subscribers{dialect=\"08\"}", 1.0),
        ("petasos_requests_total{dialect=\"04\"}", 0.0),
        ("petasos_requests_total{dialect=\"07\"}", 2.0),
        ("petasos_requests_total{dialect=\"08\"}", 2.0),
        ("petasos_tokens_total{dialect=\"07\"}", 1.0),
        ("petasos_tokens_total{dialect=\"08\"}", 1.0),
    ]);
    let samples = metered.scrape();
    assert_eq!([open, requests, tokens].map(|query| evaluate(query, &samples)), [1.0, 2.0, 1.0]);

    // The log names it, and nothing of its token.
    let mut metered = metered;
    let named = |metered: &mut Metered| -> Vec<Value> {
        // Its lines are written before those of the request after them.
        let marker = "GET /marker HTTP/1.1\r\nHost: hub\r\n\r\n";
        assert_eq!(metered.hub.request(marker).status, 404);
        metered.hub.wait_for_log("no such path");
        let lines = metered.hub.log.iter().filter(|line| line.contains(filter));
        lines.map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
    };
    let lines = named(&mut metered);
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for (line, method, token_dialect) in [(&lines[0], "GET", Value::Null), (&lines[1], "POST", json!("07"))] {
        assert_eq!(line["client"], "127.0.0.1", "{line}");
        assert_eq!(line["user_agent"], "old-app/1.0", "{line}");
        assert_eq!((&line["method"], &line["dialect"]), (&json!(method), &json!("07")), "{line}");
        assert_eq!(line["token_dialect"], token_dialect, "{line}");
        assert!(line["path"].as_str().is_some_and(|path| path.starts_with(HUB_PATH)), "{line}");
        assert!(!line.to_string().contains(&old_token[..20]), "{line}");
    }

    // It leaves, and the new one goes on.
    drop(old);
    metered.expect(&[("petasos_subscribers{dialect=\"07\"}", 0.0)]);
    let before = metered.scrape();
    assert_eq!(metered.hub.request(&with(&post("topic=a&id=3", Some(&new_token)), NEW)).status, 200);
    assert_eq!(new.ids(1), ["3"]);
    metered.expect(&[("petasos_requests_total{dialect=\"08\"}", 3.0)]);
    let after = metered.scrape();
    assert_eq!(evaluate(open, &after), 0.0);
    for query in [requests, tokens] {
        assert_eq!(evaluate(query, &after), evaluate(query, &before), "{query}");
    }
    assert_eq!(named(&mut metered).len(), 2);
}

/// New parameters with an old token are an old client, too: the token has to go.
#[test]
fn a_stream_with_an_old_token_counts_as_old() {
    let metered = Metered::of(mixed(&[]));
    let token = token(&json!({ "subscribe": ["*"] }), None);
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let stream = metered.hub.subscribe_with("match=a", &bearer);
    assert_eq!(stream.status, 200);
    metered.expect(&[
        ("petasos_subscribers{dialect=\"07\"}", 1.0),
        ("petasos_subscribers{dialect=\"08\"}", 0.0),
        ("petasos_requests_total{dialect=\"07\"}", 0.0),
        ("petasos_requests_total{dialect=\"08\"}", 1.0),
        ("petasos_tokens_total{dialect=\"07\"}", 1.0),
    ]);
    drop(stream);
    metered.expect(&[("petasos_subscribers{dialect=\"07\"}", 0.0)]);
}

/// In the access log, and in the lines of refused requests.
#[test]
fn every_request_is_logged_with_its_dialect_and_that_of_its_token() {
    let mut hub = mixed(&[("ACCESS_LOG", "1")]);
    let (old, new) = (publisher(), access_token(&[detail(&["publish", "subscribe"])]));
    let (old_invalid, new_invalid) = (format!("{old}x"), format!("{new}x"));
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let hub_get = |query: &str, fields: &str| get(query, &format!("{fields}Accept: text/event-stream\r\n"));
    for (request, status, dialect, token_dialect) in [
        (post("topic=a", Some(&old)), 200, "07", "07"),
        (post("topic=a", Some(&new)), 200, "08", "08"),
        (post("topic=a", None), 401, "08", "-"),
        (post("topic=a", Some(&old_invalid)), 401, "07", "07"),
        (post("topic=a", Some(&new_invalid)), 401, "08", "08"),
        (post("topic=a", Some("a.b.c")), 401, "08", "-"),
        (hub_get("topic=a&match=b", ""), 400, "07", "-"),
        (hub_get("topic=a", &bearer(&new_invalid)), 401, "07", "08"),
        (hub_get("match=a", &bearer(&old_invalid)), 401, "08", "07"),
        (hub_get("Match=a", ""), 400, "08", "-"),
        (hub_get(&format!("topic=a&authorization={new}"), ""), 401, "07", "08"),
        ("GET /.well-known/mercure/subscriptions/a HTTP/1.1\r\nHost: h\r\n\r\n".into(), 401, "07", "-"),
        ("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n".into(), 200, "-", "-"),
    ] {
        let shown = format!("{} {dialect} {token_dialect}", &request[..30]);
        assert_eq!(hub.request(&request).status, status, "{shown}");
        let line: Value = serde_json::from_str(&hub.wait_for_log("\"answered\"")).expect("a JSON line");
        assert_eq!(
            (&line["dialect"], &line["token_dialect"]),
            (&json!(dialect), &json!(token_dialect)),
            "{line}"
        );
        let refused = hub.log.iter().rev().find(|line| line.contains("\"refused\""));
        if status < 400 {
            continue;
        }
        let line: Value = serde_json::from_str(refused.expect("a line")).expect("a JSON line");
        let field = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        assert_eq!((&*field("dialect"), &*field("token_dialect")), (dialect, token_dialect), "{line}");
        assert_eq!(line["status"], status, "{line}");
    }
    // Both lines of a stream.
    let mut client: Client = hub.connect();
    client.send(&get("match=a", &bearer(&new)));
    let stream = Stream::open(client);
    assert_eq!(stream.status, 200);
    drop(stream);
    for message in ["\"stream began\"", "\"stream ended\""] {
        let line: Value = serde_json::from_str(&hub.wait_for_log(message)).expect("a JSON line");
        assert_eq!((&line["dialect"], &line["token_dialect"]), (&json!("08"), &json!("08")), "{line}");
    }
}
