//! `/metrics` of the real binary: its values after known actions, access to it, and the cost of a
//! scrape.
//!
//! Goal: the metrics are correct. Method: each test does a known number of things to a hub, then
//! waits until a scrape shows them. Values that must not change are checked after all expected
//! changes have arrived. promtool (tests/run installs it) checks the page and the files of
//! `deploy/`.

use crate::common;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::tls::{Files, Pair, trusting};
use crate::common::{Client, DEADLINE, Hub, eventually, get, post, publisher, token};
use petasos::limits::SIDE_SERVER_CONNECTION_MS;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustls::version::TLS13;
use serde_json::{Value, json};

/// Every HTTP/2 client sends this first, then an empty SETTINGS frame (RFC 9113, section 3.4).
const HTTP2_PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A hub that serves metrics, and the address of the metrics.
pub(crate) struct Metered {
    pub(crate) hub: Hub,
    metrics: SocketAddr,
}

impl Metered {
    fn start(settings: &[(&str, &str)]) -> Self {
        let all = [&[("METRICS_ADDR", "127.0.0.1:0")], settings].concat();
        Self::of(Hub::start(&all))
    }

    pub(crate) fn of(mut hub: Hub) -> Self {
        let served = |line: &&String| line.contains("metrics are served");
        let line = hub.logged().iter().find(served).expect("a line that says where").clone();
        let line: Value = serde_json::from_str(&line).expect("a JSON line");
        let metrics = line["address"].as_str().and_then(|text| text.parse().ok()).expect("an address");
        Self { hub, metrics }
    }

    fn ask(&self, request: &str) -> common::HttpResponse {
        let mut client = Client::new(TcpStream::connect(self.metrics).expect("the hub accepts"));
        client.send(request);
        let answer = client.answer();
        assert!(client.is_closed(), "one answer for each connection");
        answer
    }

    fn page(&self) -> String {
        let answer = self.ask("GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    pub(crate) fn scrape(&self) -> BTreeMap<String, f64> {
        samples(&self.page())
    }

    /// Waits until each metric has its expected value.
    pub(crate) fn expect(&self, expected: &[(&str, f64)]) {
        let until = Instant::now() + DEADLINE;
        loop {
            let found = self.scrape();
            let wrong = expected.iter().find(|(name, value)| found.get(*name) != Some(value));
            let Some((name, value)) = wrong else { return };
            assert!(Instant::now() < until, "{name} is {:?}, not {value}: {found:#?}", found.get(*name));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The samples of a page: name and labels, and the value.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
        (name.to_owned(), value)
    };
    let samples: Vec<_> = lines.map(sample).collect();
    let count = samples.len();
    let by_name: BTreeMap<_, _> = samples.into_iter().collect();
    assert_eq!(by_name.len(), count, "a sample is there twice");
    by_name
}

/// Names without labels; for histograms, without suffixes.
fn families(page: &str) -> Vec<&str> {
    page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

#[test]
fn updates_and_subscribers_are_counted_by_the_names_of_the_reference_and_ours() {
    let hub = Metered::start(&[("SHARDS", "2"), ("HISTORY_SIZE", "4")]);
    let mut streams: Vec<_> = (0..3).map(|_| hub.hub.subscribe("topic=a")).collect();
    let other = hub.hub.subscribe("topic=b");
    for number in 0..5 {
        hub.hub.publish(&format!("topic=a&data={number}&id={number}"));
    }
    for stream in &mut streams {
        assert_eq!(stream.ids(5).len(), 5);
    }
    hub.expect(&[
        ("mercure_subscribers_connected", 4.0),
        ("mercure_subscribers_total", 4.0),
        ("mercure_updates_total", 5.0),
        ("petasos_deliveries_total", 15.0),
        ("petasos_catch_ups_total{cause=\"resumed\"}", 0.0),
        ("petasos_publish_duration_seconds_count", 5.0),
        ("petasos_publish_duration_seconds_bucket{le=\"+Inf\"}", 5.0),
        ("petasos_history_updates", 4.0),
        ("petasos_ring_entries", 0.0),
        ("petasos_shard_lag_entries{shard=\"0\"}", 0.0),
        ("petasos_shard_lag_entries{shard=\"1\"}", 0.0),
        ("petasos_publish_queue_bytes", 0.0),
        // One connection for each publication; its client has closed it.
        ("petasos_connections_accepted_total", 9.0),
        ("petasos_connections{protocol=\"http1\",tls=\"false\"}", 4.0),
        ("petasos_connections{protocol=\"http2\",tls=\"false\"}", 0.0),
    ]);
    let found = hub.scrape();
    let bytes: usize = streams.iter().map(|stream| stream.head.len() + stream.body.len()).sum();
    assert!(found["petasos_sent_bytes_total"] > bytes as f64, "{found:#?}");
    assert!((1.0..=5.0).contains(&found["petasos_commit_duration_seconds_count"]), "{found:#?}");
    let sum = found["petasos_publish_duration_seconds_sum"];
    assert!(sum > 0.0 && sum < DEADLINE.as_secs_f64(), "{found:#?}");
    let by_shard: f64 =
        (0..2).map(|shard| found[&format!("petasos_shard_subscribers{{shard=\"{shard}\"}}")]).sum();
    assert_eq!(by_shard, 4.0, "{found:#?}");

    drop((streams, other));
    hub.expect(&[
        ("mercure_subscribers_connected", 0.0),
        ("mercure_subscribers_total", 4.0),
        ("petasos_subscriptions_ended_total{reason=\"gone\"}", 4.0),
        ("petasos_connections{protocol=\"http1\",tls=\"false\"}", 0.0),
    ]);
    let mut resumed = hub.hub.subscribe("topic=a&lastEventID=2");
    assert_eq!(resumed.ids(2), ["3", "4"]);
    hub.expect(&[
        ("petasos_catch_ups_total{cause=\"resumed\"}", 1.0),
        ("petasos_catch_ups_total{cause=\"fell_behind\"}", 0.0),
        ("petasos_deliveries_total", 17.0),
    ]);
}

#[test]
fn refusals_are_counted_by_their_reason() {
    let hub = Metered::start(&[("ALLOW_ANONYMOUS", "0"), ("MAX_BODY_SIZE", "64")]);
    let subscriber = token(&json!({ "subscribe": ["*"] }), None);
    let bearer = format!("Authorization: Bearer {subscriber}\r\n");
    let refused = [
        (1, "unauthorized", get("topic=a", "")),
        (2, "forbidden", post("topic=a", Some(&subscriber))),
        (3, "bad_request", post("data=a", Some(&publisher()))),
        (2, "too_large", post(&format!("topic=a&data={}", "x".repeat(64)), Some(&publisher()))),
        (1, "not_found", "GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n".to_owned()),
        (1, "method", "DELETE /.well-known/mercure HTTP/1.1\r\nHost: hub\r\n\r\n".to_owned()),
        (
            1,
            "media_type",
            post("topic=a", Some(&publisher())).replace("application/x-www-form-urlencoded", "text/plain"),
        ),
    ];
    for (count, _, request) in &refused {
        for _ in 0..*count {
            let answer = hub.hub.request(request);
            assert!(answer.status >= 400, "{answer:?}");
        }
    }
    assert_eq!(hub.hub.subscribe_with("topic=a", &bearer).status, 200, "what is not refused is not counted");
    let names: Vec<_> = refused
        .iter()
        .map(|(count, reason, _)| {
            (format!("petasos_refusals_total{{reason=\"{reason}\"}}"), f64::from(*count))
        })
        .collect();
    let expected: Vec<_> = names.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    hub.expect(&expected);
    let found = hub.scrape();
    let all: f64 = found.iter().filter(|(name, _)| name.starts_with("petasos_refusals")).map(|it| it.1).sum();
    assert_eq!(all, 11.0, "{found:#?}");
}

#[test]
fn a_subscriber_that_falls_behind_is_counted_once() {
    let hub = Metered::start(&[("SUBSCRIBER_BUFFER", "4KiB"), ("SHARDS", "1")]);
    let stream = hub.hub.subscribe("topic=a");
    let data = "x".repeat(64 << 10);
    for _ in 0..64 {
        hub.hub.publish(&format!("topic=a&data={data}"));
    }
    hub.expect(&[
        ("petasos_catch_ups_total{cause=\"fell_behind\"}", 1.0),
        ("petasos_catch_ups_total{cause=\"resumed\"}", 0.0),
        ("mercure_updates_total", 64.0),
    ]);
    drop(stream);
}

#[test]
fn connections_are_told_apart_by_protocol_and_tls() {
    let hub = Metered::start(&[]);
    let http1 = hub.hub.subscribe("topic=a");
    let open_http2 = |hub: &Hub| {
        let mut client = hub.connect();
        client.send(HTTP2_PREFACE);
        assert!(client.read_some(Instant::now() + DEADLINE), "the hub's own SETTINGS");
        client
    };
    let http2: Vec<_> = (0..2).map(|_| open_http2(&hub.hub)).collect();
    let (one, two) = (
        "petasos_connections{protocol=\"http1\",tls=\"false\"}",
        "petasos_connections{protocol=\"http2\",tls=\"false\"}",
    );
    hub.expect(&[(one, 1.0), (two, 2.0)]);
    drop(http2);
    hub.expect(&[(one, 1.0), (two, 0.0)]);
    drop(http1);

    let pair = Pair::new();
    let files = Files::new("metrics", &pair);
    let h2 = files.start(&[("METRICS_ADDR", "127.0.0.1:0")], &trusting(&[&pair], &[&TLS13], &["h2"]));
    let mut hub = Metered::of(h2);
    let http2 = open_http2(&hub.hub);
    hub.hub.tls = Some(trusting(&[&pair], &[&TLS13], &["http/1.1"]));
    let http1 = hub.hub.subscribe("topic=a");
    hub.expect(&[
        ("petasos_connections{protocol=\"http1\",tls=\"true\"}", 1.0),
        ("petasos_connections{protocol=\"http2\",tls=\"true\"}", 1.0),
        ("mercure_subscribers_connected", 1.0),
    ]);
    drop((http1, http2));
}

#[test]
fn without_an_address_there_is_no_metric_anywhere_and_where_there_is_one_there_is_nothing_else() {
    let mut hub = Hub::start(&[]);
    let answer = hub.request("GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n");
    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(!hub.logged().iter().any(|line| line.contains("metrics are served")));

    let hub = Metered::start(&[]);
    let status = |line: &str| hub.ask(&format!("{line} HTTP/1.1\r\nHost: hub\r\n\r\n")).status;
    assert_eq!(hub.hub.request("GET /metrics HTTP/1.1\r\nHost: hub\r\n\r\n").status, 404);
    assert_eq!(
        (status("GET /healthz"), status("GET /"), status("GET /.well-known/mercure?topic=a")),
        (200, 404, 404)
    );
    assert_eq!(
        (status("GET /metrics?x=y"), status("GET /metrics/"), status("brew /metrics")),
        (200, 404, 405)
    );
    let answer = hub.ask("POST /metrics HTTP/1.1\r\nHost: hub\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("GET, HEAD")), "{answer:?}");
    assert_eq!(status("GET /metrics\r\nno header"), 400);
    let mut client = Client::new(TcpStream::connect(hub.metrics).expect("accepted"));
    client.send("HEAD /metrics HTTP/1.1\r\nHost: hub\r\n\r\n");
    let mut head = String::new();
    client.socket.read_to_string(&mut head).expect("an end");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn the_format_is_the_one_that_is_asked_for() {
    let hub = Metered::start(&[]);
    let ask = |accept: &str| {
        let answer = hub.ask(&format!("GET /metrics HTTP/1.1\r\nHost: hub\r\n{accept}\r\n"));
        (answer.header("Content-Type").expect("a type").to_owned(), answer.body)
    };
    let (content_type, page) = ask("");
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(page.contains("\n# TYPE mercure_updates_total counter\nmercure_updates_total 0\n"), "{page}");
    let (content_type, page) = ask("Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1\r\n");
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(page.contains("\n# TYPE mercure_updates counter\nmercure_updates_total 0\n"), "{page}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    // A histogram without its unbounded last bucket has no quantiles.
    for page in [ask("").1, page] {
        for name in ["petasos_publish_duration_seconds_bucket{", "petasos_commit_duration_seconds_bucket{"] {
            let buckets: Vec<_> = page.lines().filter(|line| line.starts_with(name)).collect();
            assert_eq!(buckets.len(), 17, "{buckets:#?}");
            assert!(buckets[16].contains("le=\"+Inf\""), "{buckets:#?}");
        }
    }
}

/// Slowloris with more connections than the server holds. The oldest are closed, and a valid
/// request is answered at once.
#[test]
fn clients_that_send_nothing_keep_no_scraper_out() {
    let hub = Metered::start(&[]);
    let mut slow: Vec<_> = (0..40).map(|_| TcpStream::connect(hub.metrics).expect("accepted")).collect();
    for socket in &mut slow {
        // The server may have closed some of them already.
        let _ = socket.write_all(b"GET /metrics HTTP/1.1\r\n");
    }
    let began = Instant::now();
    hub.page();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let began = Instant::now();
    for mut socket in slow {
        socket.set_read_timeout(Some(DEADLINE)).expect("a socket");
        // A socket closed with unread bytes is reset.
        assert!(matches!(socket.read(&mut [0; 64]), Ok(0) | Err(_)));
    }
    let within = Duration::from_millis(SIDE_SERVER_CONNECTION_MS) + Duration::from_secs(5);
    assert!(began.elapsed() < within, "they are closed in time: {:?}", began.elapsed());
    assert_eq!(hub.scrape()["mercure_subscribers_connected"], 0.0);
}

/// The CPU time of the threads of all shards (proc(5), `schedstat`).
fn shards_cpu(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the hub runs");
    let threads = threads.map(|thread| thread.expect("a thread").path());
    let read =
        |path: &Path, name: &str| std::fs::read_to_string(path.join(name)).expect("a thread that stays");
    let shards: Vec<_> = threads.filter(|thread| read(thread, "comm").starts_with("shard-")).collect();
    assert!(!shards.is_empty(), "no thread of a shard");
    let cpu_ns =
        |thread: &Path| read(thread, "schedstat").split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
    Duration::from_nanos(shards.iter().map(|thread| cpu_ns(thread).expect("nanoseconds")).sum())
}

/// 2,000 streams (`SCRAPED_STREAMS` for more) with continuous scrapes. Every update reaches every
/// stream, in order and in time.
#[test]
fn scrapes_stall_no_delivery() {
    const UPDATES: usize = 20;
    const SCRAPES: u32 = 500;
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("the soft limit may be raised");
    let wanted = std::env::var("SCRAPED_STREAMS").ok().and_then(|text| text.parse().ok());
    let wanted: usize = wanted.unwrap_or(2_000);
    let hub = Metered::start(&[("MAX_CONNECTIONS", &(2 * wanted).to_string())]);
    let mut streams: Vec<_> = (0..wanted).map(|_| hub.hub.subscribe("topic=a")).collect();
    hub.expect(&[("mercure_subscribers_connected", wanted as f64)]);
    let deliver = |streams: &mut [common::Stream], round: usize| {
        let began = Instant::now();
        for number in 0..UPDATES {
            hub.hub.publish(&format!("topic=a&data=x&id={round}-{number}"));
        }
        let expected: Vec<_> = (0..UPDATES).map(|number| format!("{round}-{number}")).collect();
        for stream in streams {
            assert_eq!(stream.ids(UPDATES), expected);
        }
        began.elapsed()
    };
    let before = shards_cpu(hub.hub.pid());
    (0..SCRAPES).for_each(|_| drop(hub.page()));
    let each = (shards_cpu(hub.hub.pid()) - before) / SCRAPES;
    assert!(each < Duration::from_millis(1), "a scrape costs the shards {each:?}");
    let alone = deliver(&mut streams, 0);
    let (scraped, scrapes) = std::thread::scope(|scope| {
        let (done, stop) = crossbeam_channel::bounded::<()>(0);
        let hub = &hub;
        let scraper = scope.spawn(move || {
            let mut count = 0;
            while matches!(stop.try_recv(), Err(crossbeam_channel::TryRecvError::Empty)) {
                assert_eq!(hub.scrape()["mercure_subscribers_connected"], wanted as f64);
                count += 1;
            }
            count
        });
        let took = deliver(&mut streams, 1);
        drop(done);
        (took, scraper.join().expect("every scrape was answered"))
    });
    assert!(scrapes > 0, "nothing was scraped meanwhile");
    // This test's scraper takes a core from the hub. If a shard waited for the scraper, delivery
    // would take far longer than twice the time.
    let bound = alone * 4 + Duration::from_secs(2);
    assert!(scraped < bound, "{scrapes} scrapes: {scraped:?}, without them {alone:?}");
    hub.expect(&[("petasos_deliveries_total", (2 * wanted * UPDATES) as f64)]);
}

fn promtool(arguments: &[&str], input: &str) {
    let child = Command::new("promtool")
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("promtool is there: tests/run installs it");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success() && output.stderr.is_empty(), "promtool {arguments:?}: {output:#?}");
}

#[test]
fn promtool_finds_nothing_to_say_of_the_page_and_of_the_rules() {
    let hub = Metered::start(&[]);
    hub.hub.publish("topic=a");
    promtool(&["check", "metrics"], &hub.page());
    promtool(&["check", "rules", "deploy/prometheus-rules.yml"], "");
    promtool(&["test", "rules", "deploy/prometheus-rules-test.yml"], "");
}

/// The names of our metrics in a text.
fn names_in(text: &str) -> Vec<&str> {
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    words
        .filter(|word| ["mercure_", "petasos_", "process_"].iter().any(|room| word.starts_with(room)))
        .collect()
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// docs/operations.md explains every alert of the rules, and no others.
#[test]
fn every_alert_is_explained() {
    let rules = read("deploy/prometheus-rules.yml");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let page = read("docs/operations.md");
    let explained: Vec<_> = page.split('`').filter(|word| word.starts_with("Petasos")).collect();
    assert!(alerts.len() > 5, "{alerts:?}");
    assert!(alerts.iter().all(|alert| explained.contains(alert)), "{alerts:?} {explained:?}");
    assert!(explained.iter().all(|alert| alerts.contains(alert)), "{alerts:?} {explained:?}");
}

/// Collects every expression of a dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "expr" || name == "query" || name == "definition" => {
                        found.push(text.clone());
                    }
                    field => expressions(field, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn every_metric_of_the_dashboard_and_the_rules_is_scraped_and_every_one_that_is_scraped_is_explained() {
    let database = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics.db");
    // It may exist from an earlier run.
    let _ = std::fs::remove_file(&database);
    let hub = Metered::start(&[("DB_PATH", database.to_str().expect("UTF-8"))]);
    hub.hub.publish("topic=a");
    let page = hub.page();
    let sampled: Vec<_> = samples(&page).into_keys().collect();
    let is_sampled = |name: &str| sampled.iter().any(|sample| sample.split('{').next() == Some(name));
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana-dashboard.json")).expect("JSON");
    let mut used = Vec::new();
    expressions(&dashboard, &mut used);
    assert!(used.len() > 10, "the dashboard has expressions: {used:?}");
    let rules = read("deploy/prometheus-rules.yml");
    used.extend(rules.lines().filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned));
    let names: Vec<_> = used.iter().flat_map(|text| names_in(text)).collect();
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        assert!(is_sampled(name), "{name} is used in deploy/, and is not in {sampled:#?}");
    }

    let page_of_operations = read("docs/operations.md");
    let explained = names_in(&page_of_operations);
    for family in families(&page) {
        assert!(explained.contains(&family), "docs/operations.md does not explain {family}");
    }
    for label in ["reason=\"", "cause=\"", "protocol=\""] {
        for value in sampled.iter().filter_map(|sample| sample.split_once(label)?.1.split('"').next()) {
            assert!(
                page_of_operations.contains(&format!("`{value}`")),
                "docs/operations.md does not explain {value}"
            );
        }
    }
    // Every metric that the page explains exists. A histogram may be named by its parts.
    for name in explained {
        let is_there = is_sampled(name) || families(&page).contains(&name);
        assert!(is_there, "docs/operations.md explains {name}, which nobody scrapes");
    }
    eventually("the size of the history's file is told", || hub.scrape()["petasos_history_file_bytes"] > 0.0);
}
