//! The fixed costs of every request and every update: reading a head, reading a form, writing a
//! response, encoding a frame.
//!
//! All are to stay small compared with the microseconds of the system calls around them. Each is
//! measured beside the least work possible: a head beside finding the ends of its lines, a form and
//! a frame beside copying the same bytes.

mod common;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use memchr::memchr_iter;
use petasos::http::h1::head::parse_head;
use petasos::http::headers::date::HttpDate;
use petasos::http::request::Version;
use petasos::http::response::{Http1, Precedes, Response};
use petasos::mercure::audience::Authorization;
use petasos::mercure::dialect::Dialect;
use petasos::mercure::event_id::EventId;
use petasos::mercure::form;
use petasos::mercure::update::Update;
use petasos::sse::frame::Frame;

const SMALL_GET: &str = "GET /.well-known/mercure?topic=https%3A%2F%2Fexample.com%2Fbooks%2F1 HTTP/1.1\r\n\
    Host: hub.example.com\r\n\r\n";

/// Fifteen fields, as a browser's `EventSource` sends them.
const BROWSER_GET: &str = "GET /.well-known/mercure?topic=https%3A%2F%2Fexample.com%2Fbooks%2F%7Bid%7D HTTP/1.1\r\n\
    Host: hub.example.com\r\n\
    Connection: keep-alive\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\"\r\n\
    sec-ch-ua-mobile: ?0\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    Accept: text/event-stream\r\n\
    Origin: https://example.com\r\n\
    Sec-Fetch-Site: same-site\r\n\
    Sec-Fetch-Mode: cors\r\n\
    Sec-Fetch-Dest: empty\r\n\
    Referer: https://example.com/\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Cookie: mercureAuthorization=eyJhbGciOiJIUzI1NiJ9.eyJtZXJjdXJlIjp7InN1YnNjcmliZSI6WyIqIl19fQ.c2lnbmF0dXJl\r\n\r\n";

const POST: &str = "POST /.well-known/mercure HTTP/1.1\r\n\
    Host: hub.example.com\r\n\
    Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0.c2lnbmF0dXJl\r\n\
    Content-Type: application/x-www-form-urlencoded\r\n\
    Content-Length: 58\r\n\r\n";

fn heads(c: &mut Criterion) {
    let mut group = c.benchmark_group("parse a head");
    for (name, head) in [("small GET", SMALL_GET), ("browser GET", BROWSER_GET), ("POST", POST)] {
        assert!(parse_head(head.as_bytes()).is_ok_and(|found| found.is_some()));
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function(name, |b| b.iter(|| parse_head(black_box(head.as_bytes())).is_ok()));
        group.bench_function(format!("{name}, its line ends alone"), |b| {
            b.iter(|| memchr_iter(b'\n', black_box(head.as_bytes())).sum::<usize>());
        });
    }
    group.finish();
}

fn forms(c: &mut Criterion) {
    let small = "topic=https://example.com/books/1&data=hello".to_owned();
    let mut escaped = "topic=https%3A%2F%2Fexample.com%2Fbooks%2F1&data=".to_owned();
    while escaped.len() < 1_024 {
        escaped.push_str("%7B%22title%22%3A+%22Les+Mis%C3%A9rables%22%7D+");
    }
    let mut group = c.benchmark_group("parse a form");
    for (name, form) in [("small", &small), ("1 KiB with escapes", &escaped)] {
        assert!(form::fields(form.as_bytes()).all(|field| field.is_ok()));
        group.throughput(Throughput::Bytes(form.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                form::fields(black_box(form.as_bytes()))
                    .flatten()
                    .map(|(name, value)| name.len() + value.len())
                    .sum::<usize>()
            });
        });
        group.bench_function(format!("{name}, copied"), |b| b.iter(|| black_box(form.as_bytes()).to_vec()));
    }
    group.finish();
}

fn answers(c: &mut Criterion) {
    let id = EventId::from_random_bytes([7; 16]);
    let date = HttpDate::from_unix_s(1_700_000_000);
    let http1 = Http1 { version: Version::Http11, head_only: false, keep_alive: true, date: Some(&date) };
    let mut out = Vec::with_capacity(1_024);
    let mut group = c.benchmark_group("make and encode an answer");
    group.bench_function("published", |b| {
        b.iter(|| {
            out.clear();
            Response::published(black_box(&id)).encode(&http1, &mut out);
            out.len()
        });
    });
    group.bench_function("stream", |b| {
        b.iter(|| {
            out.clear();
            Response::stream(Some(Precedes::Event(black_box(&id))), Dialect::Draft07)
                .encode(&http1, &mut out);
            out.len()
        });
    });
    group.finish();
}

fn frames(c: &mut Criterion) {
    let small = format!("topic=https://example.com/books/1&data={}", "x".repeat(200));
    // A pretty-printed document: each of its lines becomes a field line.
    let mut lines = "topic=https://example.com/books/1&data=".to_owned();
    while lines.len() < 10_000 {
        lines.push_str("  \"title\": \"a line of about fifty bytes, as usual\",%0A");
    }
    let mut group = c.benchmark_group("encode a frame");
    for (name, body) in [("200 B", &small), ("10 KB of lines", &lines)] {
        let update =
            Update::parse(body.as_bytes(), Authorization::Selectors, [7; 16]).expect("a publication");
        let frame = Frame::encode(update.clone());
        group.throughput(Throughput::Bytes(frame.chunk().len() as u64));
        group.bench_function(name, |b| {
            b.iter_batched(|| update.clone(), Frame::encode, BatchSize::SmallInput);
        });
        group.bench_function(format!("{name}, copied"), |b| b.iter(|| black_box(frame.chunk()).to_vec()));
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = common::brief();
    targets = heads, forms, answers, frames
}
criterion_main!(benches);
