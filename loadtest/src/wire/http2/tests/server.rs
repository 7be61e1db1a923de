//! Goal: the session gets whole responses from a sound server, whatever the sizes of bodies,
//! windows and reads.
//!
//! Method: a server of `h2` on a socket pair.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;

use h2::SendStream;
use h2::server::{self, SendResponse};

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A session on one side of a socket pair, and the thread of the server on the other side.
struct Pair {
    client: Client,
    socket: UnixStream,
    server: JoinHandle<()>,
}

impl Pair {
    /// `serve` handles one request: its number, its body, and the sender of its response. The
    /// connection closes when the last is handled.
    fn new<F>(
        client: Client,
        builder: &server::Builder,
        requests: usize,
        serve: impl Fn(usize, Request<RecvStream>, SendResponse<Bytes>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let (socket, other) = UnixStream::pair().expect("a pair");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        other.set_nonblocking(true).expect("a socket");
        let builder = builder.clone();
        let server = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
            let tasks = tokio::task::LocalSet::new();
            tasks.block_on(&runtime.expect("a runtime"), async {
                let other = tokio::net::UnixStream::from_std(other).expect("a socket");
                let mut connection = builder.handshake(other).await.expect("a client of HTTP/2");
                let mut exchanges = Vec::new();
                while let Some(request) = connection.accept().await {
                    let Ok((request, respond)) = request else { break };
                    exchanges.push(tokio::task::spawn_local(serve(exchanges.len(), request, respond)));
                    if exchanges.len() == requests {
                        connection.graceful_shutdown();
                    }
                }
                for exchange in exchanges {
                    exchange.await.expect("no panic");
                }
            });
        });
        Self { client, socket, server }
    }

    /// Writes what waits.
    fn flush(&mut self) {
        let bytes = self.client.sent_bytes();
        // A server that has closed the connection is noticed when it is read.
        let _ = self.socket.write_all(&bytes);
    }

    /// Reads at most `step` bytes; false when the server has closed the connection.
    fn read(&mut self, step: usize) -> bool {
        let mut input = vec![0; step];
        let bytes = match self.socket.read(&mut input) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            read => read.expect("bytes in time"),
        };
        if bytes == 0 {
            self.client.session.end().expect("valid");
        } else {
            self.client.session.receive(&mut input, bytes).expect("valid");
        }
        self.client.take_events().expect("valid");
        self.flush();
        bytes > 0
    }

    fn read_to_end(mut self, step: usize) -> Client {
        while self.read(step) {}
        self.server.join().expect("no panic");
        self.client
    }
}

/// Sends all of `data`, as the windows allow.
async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes) {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
        let piece = data.split_to(capacity.expect("open").expect("valid").min(data.len()));
        stream.send_data(piece, false).expect("open");
    }
}

#[test]
fn many_streams_of_one_connection_go_beyond_its_windows() {
    const STREAMS: u64 = 120;
    const BYTES: usize = 300_000;
    for step in [1_000, 70_000] {
        let mut pair = Pair::new(
            Client::new(SHORT_WINDOW_BYTES),
            &server::Builder::new(),
            STREAMS as usize,
            |number, request, mut respond| async move {
                assert_eq!(request.uri(), "http://example.com/hub?topic=a");
                assert_eq!(request.headers()["accept"], "text/event-stream");
                let mut stream = respond.send_response(http::Response::new(()), false).expect("open");
                let letter = b'a' + (number % 26) as u8;
                send(&mut stream, Bytes::from(vec![letter; BYTES])).await;
                stream.send_data(Bytes::new(), true).expect("open");
            },
        );
        for key in 0..STREAMS {
            pair.client.session.request(key, GET).expect("a stream");
        }
        pair.flush();
        let client = pair.read_to_end(step);
        for key in 0..STREAMS {
            let letter = char::from(b'a' + (key % 26) as u8);
            let mut parts: Vec<&str> =
                client.events.iter().filter_map(|event| event.strip_prefix(&format!("{key} "))).collect();
            assert_eq!((parts.remove(0), parts.pop()), ("200", Some("end")));
            let text = parts.concat();
            assert!(text.len() == BYTES && text.chars().all(|other| other == letter), "{key}");
        }
        assert_eq!(client.data_bytes, STREAMS as usize * BYTES);
        assert!(client.session.unanswered().is_empty());
    }
}

#[test]
fn a_long_body_reaches_a_server_with_small_windows() {
    const BYTES: usize = 200_000;
    let mut builder = server::Builder::new();
    builder.initial_window_size(1_000);
    let serve = |_, request: Request<RecvStream>, mut respond: SendResponse<Bytes>| async move {
        assert_eq!(request.method(), http::Method::POST);
        assert_eq!(request.headers()["content-length"], "200000");
        let mut body = request.into_body();
        let mut bytes = 0;
        while let Some(data) = body.data().await {
            let data = data.expect("valid");
            bytes += data.len();
            body.flow_control().release_capacity(data.len()).expect("valid");
        }
        assert_eq!(bytes, BYTES);
        respond.send_response(http::Response::new(()), true).expect("open");
    };
    let mut pair = Pair::new(Client::new(SHORT_WINDOW_BYTES), &builder, 1, serve);
    let body = "y".repeat(BYTES);
    let request = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BYTES}\r\n\r\n{body}");
    pair.client.session.request(9, request.as_bytes()).expect("a stream");
    pair.flush();
    assert_eq!(pair.read_to_end(4_096).events, ["9 200", "9 end"]);
}

#[test]
fn a_stalled_stream_holds_back_itself_alone_and_gets_everything_in_the_end() {
    const BYTES: usize = 200_000;
    let serve = |_, _, mut respond: SendResponse<Bytes>| async move {
        let mut stream = respond.send_response(http::Response::new(()), false).expect("open");
        send(&mut stream, Bytes::from(vec![b'x'; BYTES])).await;
        stream.send_data(Bytes::new(), true).expect("open");
    };
    let mut pair = Pair::new(Client::new(SHORT_WINDOW_BYTES), &server::Builder::new(), 2, serve);
    let stalled = pair.client.session.request(0, GET).expect("a stream");
    pair.client.session.request(1, GET).expect("a stream");
    pair.client.session.stall(stalled, true);
    pair.flush();
    while !pair.client.events.contains(&"1 end".to_owned()) {
        assert!(pair.read(10_000));
    }
    assert!(!pair.client.events.iter().any(|event| event.starts_with('0')));
    assert_eq!(pair.client.session.unanswered(), [0]);
    pair.client.session.stall(stalled, false);
    pair.client.take_events().expect("valid");
    pair.flush();
    let client = pair.read_to_end(10_000);
    assert_eq!((client.data_bytes, client.events.contains(&"0 end".to_owned())), (2 * BYTES, true));
}
