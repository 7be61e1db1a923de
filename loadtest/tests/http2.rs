//! Goal: over HTTP/2 the generator passes a sound server and fails an unsound one.
//!
//! Method: the real binary against a hub of a few lines. The hub can be set to misbehave, or only
//! to behave differently.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Ping, Reason, RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// The update at which a server misbehaves.
const AT_UPDATE: u64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Sound,
    /// Small windows for bodies, and few streams.
    Narrow,
    /// It sends a GOAWAY on every connection during the run, and serves the open streams.
    Leave,
    /// One stream does not get one update.
    Lose,
    /// It resets one stream.
    Reset,
    /// It responds with something other than an event stream.
    Page,
    /// It refuses every publication.
    Refuse,
}

struct Hub {
    conduct: Conduct,
    /// Topics, percent-encoded, and their streams.
    streams: Mutex<Vec<(String, SendStream<Bytes>)>>,
    published: AtomicU64,
    goodbye: Notify,
}

/// A hub on a separate address, for as long as the tests run.
fn hub(conduct: Conduct) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    let streams = Mutex::new(Vec::new());
    let hub = Arc::new(Hub { conduct, streams, published: AtomicU64::new(0), goodbye: Notify::new() });
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).expect("a socket");
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, Arc::clone(&hub)));
            }
        });
    });
    address
}

async fn connection(socket: TcpStream, hub: Arc<Hub>) -> Result<(), h2::Error> {
    let mut builder = Builder::new();
    // Churn resets many streams, some before this single-threaded server has handled them.
    builder.max_pending_accept_reset_streams(1_000).max_local_error_reset_streams(None);
    if hub.conduct == Conduct::Narrow {
        builder.initial_window_size(1_000).max_concurrent_streams(7);
    }
    let mut connection = builder.handshake(socket).await?;
    let mut pings = connection.ping_pong().expect("the first of it");
    tokio::spawn(async move { pings.ping(Ping::opaque()).await });
    loop {
        tokio::select! {
            request = connection.accept() => {
                let Some(request) = request else { return Ok(()) };
                let (request, respond) = request?;
                tokio::spawn(exchange(request, respond, Arc::clone(&hub)));
            }
            () = hub.goodbye.notified() => connection.graceful_shutdown(),
        }
    }
}

async fn exchange(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    hub: Arc<Hub>,
) -> Result<(), h2::Error> {
    if request.method() == Method::GET {
        let content =
            if hub.conduct == Conduct::Page { "text/html" } else { "text/event-stream; charset=utf-8" };
        let head = Response::builder().header("content-type", content).header("server", "a-hub/1.0").body(());
        let mut stream = respond.send_response(head.expect("valid"), false)?;
        stream.send_data(Bytes::from_static(b":\n"), false)?;
        let topic = after(request.uri().query().unwrap_or_default(), "topic=");
        hub.streams.lock().expect("no panic").push((topic, stream));
        return Ok(());
    }
    let form = body(request.into_body()).await?;
    if hub.conduct == Conduct::Refuse {
        respond.send_reset(Reason::REFUSED_STREAM);
        return Ok(());
    }
    hub.publish(&after(&form, "topic="), &format!("id: 1\ndata: {}\n\n", after(&form, "data=")));
    let mut answer = respond.send_response(Response::new(()), false)?;
    answer.send_data(Bytes::from_static(b"urn:uuid:1"), true)
}

async fn body(mut stream: RecvStream) -> Result<String, h2::Error> {
    let mut form = Vec::new();
    while let Some(bytes) = stream.data().await {
        let bytes = bytes?;
        stream.flow_control().release_capacity(bytes.len())?;
        form.extend_from_slice(&bytes);
    }
    Ok(String::from_utf8(form).expect("UTF-8"))
}

/// The text after `name`, up to the next parameter.
fn after(text: &str, name: &str) -> String {
    let rest = text.split(name).nth(1).unwrap_or_default();
    rest.split('&').next().unwrap_or_default().to_owned()
}

impl Hub {
    fn publish(&self, topic: &str, event: &str) {
        let is_due = self.published.fetch_add(1, Ordering::Relaxed) + 1 == AT_UPDATE;
        let mut streams = self.streams.lock().expect("no panic");
        for (number, (_, stream)) in streams.iter_mut().filter(|(own, _)| own == topic).enumerate() {
            let is_struck = is_due && number == 0;
            if is_struck && self.conduct == Conduct::Reset {
                stream.send_reset(Reason::INTERNAL_ERROR);
            } else if !is_struck || self.conduct != Conduct::Lose {
                // A subscriber that has left does not matter.
                let _ = stream.send_data(Bytes::copy_from_slice(event.as_bytes()), false);
            }
        }
        if is_due && self.conduct == Conduct::Leave {
            self.goodbye.notify_waiters();
        }
    }
}

fn generate(conduct: Conduct, arguments: &[&str]) -> (Option<i32>, String) {
    let url = format!("http://{}", hub(conduct));
    let output: Output = Command::new(env!("CARGO_BIN_EXE_petasos-loadtest"))
        .args(arguments)
        .args(["--http2", "--url", &url, "--server-cpu", "0", "--client-cpu", "0"])
        .output()
        .expect("the binary runs");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

#[track_caller]
fn assert_run(conduct: Conduct, arguments: &[&str], code: i32, counts: &str) {
    let (status, text) = generate(conduct, arguments);
    assert_eq!(status, Some(code), "{text}");
    assert!(text.contains(counts), "no {counts:?} in\n{text}");
}

const SMALL: [&str; 5] = ["fanout", "--subscribers", "250", "--updates", "40"];

#[test]
fn a_sound_server_passes_whatever_the_streams_of_a_connection() {
    assert_run(Conduct::Sound, &SMALL, 0, "expected 15000, received 15000, lost 0");
    let hub = "a-hub/1.0; ran before; HTTP/2 in clear text, 100 streams per connection;";
    assert_run(Conduct::Sound, &SMALL, 0, hub);
    let single = [&SMALL[..], &["--streams-per-connection", "1"]].concat();
    assert_run(Conduct::Sound, &single, 0, "expected 15000, received 15000, lost 0");
}

#[test]
fn publishers_at_full_speed_share_a_connection_and_lose_nothing() {
    // On one processor the generator may be the bottleneck. This does not affect the counts.
    let arguments = ["firehose", "--subscribers", "50", "--publishers", "8", "--seconds", "0.5"];
    let (status, text) = generate(Conduct::Sound, &arguments);
    assert!(matches!(status, Some(0 | 2)), "{text}");
    assert!(text.contains("lost 0, duplicated 0, out of order 0, misdelivered 0"), "{text}");
}

#[test]
fn large_updates_wait_for_narrow_windows() {
    let sizes = ["--subscribers", "20", "--updates", "10", "--data-bytes", "200000"];
    let arguments = [&["fanout"], &sizes[..], &["--streams-per-connection", "7"]].concat();
    assert_run(Conduct::Narrow, &arguments, 0, "expected 600, received 600, lost 0");
}

#[test]
fn more_streams_than_the_server_allows_cannot_be_measured() {
    assert_run(Conduct::Narrow, &SMALL, 2, "--streams-per-connection 7");
}

#[test]
fn subscribers_that_come_and_go_disturb_no_count() {
    let sizes =
        ["--subscribers", "120", "--churners", "60", "--burst", "10", "--rate", "40", "--seconds", "1"];
    // After a GOAWAY, reconnections and publications use another connection.
    for conduct in [Conduct::Sound, Conduct::Leave] {
        let (status, text) = generate(conduct, &[&["churn"], &sizes[..]].concat());
        // On a busy machine the generator may be late. This does not affect the counts.
        assert!(matches!(status, Some(0 | 2)), "{text}");
        let counts = "expected 7200, received 7200, lost 0, duplicated 0, out of order 0, misdelivered 0";
        assert!(text.contains(counts), "{conduct:?}: {text}");
    }
}

#[test]
fn a_stream_without_an_update_fails_the_run() {
    assert_run(Conduct::Lose, &SMALL, 1, "lost 1, duplicated 0");
}

#[test]
fn a_reset_stream_is_a_disconnection_and_a_loss() {
    assert_run(
        Conduct::Reset,
        &SMALL,
        1,
        "lost 31, duplicated 0, out of order 0, misdelivered 0, corrupted 0; disconnected 1",
    );
}

#[test]
fn an_answer_that_is_no_event_stream_ends_the_run() {
    assert_run(Conduct::Page, &SMALL, 2, "something else than text/event-stream");
}

#[test]
fn refused_publications_are_expected_by_nobody() {
    assert_run(Conduct::Refuse, &SMALL, 0, "refused 60; deliveries: expected 0");
}

#[test]
fn a_server_of_http1_is_told_apart() {
    let mut limit = Command::new(env!("CARGO_BIN_EXE_petasos-loadtest"));
    let output = limit.args(["--http2", "--subject", "limit"]).args(SMALL).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
