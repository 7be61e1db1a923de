//! HTTP/2 with a real client, that of the `h2` crate, on TCP or TLS, on a separate runtime. The
//! client reads and writes only while a test waits; between two waits it does not read its socket.

use std::future::{Future, poll_fn};
use std::sync::Arc;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::request::Builder as Request;
use http::{HeaderMap, StatusCode};
use rustls::ClientConfig;
use rustls::version::TLS13;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls::{Files, Pair, trusting};
use super::{Coding, DEADLINE, Event, Hub, id, publisher, take_event};

/// The content type of publications.
pub(crate) const FORM: &str = "application/x-www-form-urlencoded";

/// One connection.
pub(crate) struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// A response that has begun.
pub(crate) struct Events {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: RecvStream,
    coding: Coding,
    text: String,
    /// Bytes that were read and not returned to its window.
    pub(crate) held: usize,
    /// Whether bytes that are read are returned to its window.
    pub(crate) releases: bool,
    ended: Option<Result<(), h2::Error>>,
}

/// A field of a response, as text.
pub(crate) fn field<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).map(|value| value.to_str().expect("ASCII"))
}

pub(crate) fn builder() -> Builder {
    let mut builder = Builder::new();
    // The connection's window is wide, so that a stream with a closed window does not block the
    // others.
    builder.initial_connection_window_size(64 << 20);
    builder
}

/// A request to the hub.
pub(crate) fn request(method: &str, target: &str) -> Request {
    Request::new().method(method).uri(format!("http://hub.example{target}"))
}

pub(crate) fn get(query: &str) -> Request {
    request("GET", &format!("/.well-known/mercure?{query}"))
}

/// A publication whose token allows everything.
pub(crate) fn post() -> Request {
    let authorization = format!("Bearer {}", publisher());
    request("POST", "/.well-known/mercure")
        .header("authorization", authorization)
        .header("content-type", FORM)
}

impl Http2 {
    pub(crate) fn connect(hub: &Hub) -> Self {
        Self::with(hub, &builder(), None)
    }

    /// With other settings, and optionally a smaller receive buffer in the kernel.
    pub(crate) fn with(hub: &Hub, builder: &Builder, receive_bytes: Option<u32>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connected = runtime.block_on(async {
            let socket = TcpSocket::new_v4().expect("a socket");
            if let Some(bytes) = receive_bytes {
                socket.set_recv_buffer_size(bytes).expect("a socket");
            }
            let socket = socket.connect(hub.address).await.expect("the hub accepts");
            socket.set_nodelay(true).expect("a socket");
            match &hub.tls {
                None => open(socket, builder).await,
                Some(config) => {
                    let connector = TlsConnector::from(offering_http2(config));
                    let name = "localhost".try_into().expect("a name");
                    let stream = connector.connect(name, socket).await.expect("a handshake");
                    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
                    open(stream, builder).await
                }
            }
        });
        let (sender, driver) = connected.expect("HTTP/2");
        Self { runtime, sender, driver }
    }

    /// Waits for a future while the connection makes progress.
    pub(crate) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { timeout(DEADLINE, future).await.expect("it comes in time") })
    }

    /// Begins a request; its body may follow.
    pub(crate) fn begin(&self, request: Request, is_whole: bool) -> (ResponseFuture, SendStream<Bytes>) {
        let request = request.body(()).expect("a request");
        self.wait(async {
            let mut sender = self.sender.clone().ready().await.expect("the connection is open");
            sender.send_request(request, is_whole).expect("the connection is open")
        })
    }

    /// Sends a request, and waits for the complete response.
    pub(crate) fn ask(&self, request: Request, body: impl Into<Bytes>) -> Reply {
        let body = body.into();
        let (response, upload) = self.begin(request, body.is_empty());
        self.wait(async {
            // A refusal may come before everything is sent; the rest may then fail.
            let _ = send_all(upload, body).await;
            answer(response).await.expect("an answer")
        })
    }

    /// Sends many requests at once; returns the responses in the order of the requests.
    pub(crate) fn ask_all(&self, requests: impl IntoIterator<Item = (Request, String)>) -> Vec<Reply> {
        let asked: Vec<_> = requests
            .into_iter()
            .map(|(request, body)| {
                let sender = self.sender.clone();
                let request = request.body(()).expect("a request");
                self.runtime.spawn(async move {
                    let mut sender = sender.ready().await.expect("the connection is open");
                    let (response, upload) =
                        sender.send_request(request, body.is_empty()).expect("the connection is open");
                    let _ = send_all(upload, body.into()).await;
                    answer(response).await.expect("an answer")
                })
            })
            .collect();
        asked.into_iter().map(|reply| self.wait(reply).expect("no panic")).collect()
    }

    /// Publishes a form body; returns the id.
    pub(crate) fn publish(&self, body: &str) -> String {
        let reply = self.ask(post(), body.to_owned());
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body
    }

    /// The same, for a hub that may stop; `None` if it did not acknowledge the update.
    pub(crate) fn try_publish(&self, body: &str) -> Option<String> {
        let body = Bytes::from(body.to_owned());
        let request = post().body(()).expect("a request");
        self.wait(async {
            let mut sender = self.sender.clone().ready().await.ok()?;
            let (response, upload) = sender.send_request(request, false).ok()?;
            send_all(upload, body).await.ok()?;
            answer(response).await.ok().filter(|reply| reply.status == 200).map(|reply| reply.body)
        })
    }

    /// Subscribes with this query, and reads the head of the stream.
    pub(crate) fn subscribe(&self, query: &str) -> Events {
        self.open(get(query))
    }

    /// Sends a request, and reads the head of the response.
    pub(crate) fn open(&self, request: Request) -> Events {
        let (response, _) = self.begin(request, true);
        let (head, body) = self.wait(response).expect("an answer").into_parts();
        let coding = Coding::of(field(&head.headers, "content-encoding"));
        Events {
            status: head.status,
            headers: head.headers,
            body,
            coding,
            text: String::new(),
            held: 0,
            releases: true,
            ended: None,
        }
    }

    /// Waits until the hub ends the connection. Returns the reason of its GOAWAY, or `None` without
    /// one.
    pub(crate) fn end(self) -> Option<Reason> {
        let Self { runtime, sender, driver } = self;
        drop(sender);
        let ended = runtime.block_on(async { timeout(DEADLINE, driver).await.expect("it ends in time") });
        match ended.expect("no panic") {
            Ok(()) => Some(Reason::NO_ERROR),
            Err(error) => error.reason().filter(|_| error.is_remote() && error.is_go_away()),
        }
    }
}

async fn open<T>(
    stream: T,
    builder: &Builder,
) -> Result<(SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>), h2::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = builder.handshake(stream).await?;
    Ok((sender, tokio::spawn(connection)))
}

/// A configuration that offers HTTP/2: this one, or one for nothing else.
fn offering_http2(config: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    if config.alpn_protocols.iter().any(|name| name == b"h2") {
        return Arc::clone(config);
    }
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

/// Sends a body as the windows allow.
pub(crate) async fn send_all(mut stream: SendStream<Bytes>, mut rest: Bytes) -> Result<(), h2::Error> {
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let Some(room) = poll_fn(|context| stream.poll_capacity(context)).await else { return Ok(()) };
        let room = room?.min(rest.len());
        let is_last = room == rest.len();
        stream.send_data(rest.split_to(room), is_last)?;
    }
    Ok(())
}

async fn answer(response: ResponseFuture) -> Result<Reply, h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    let body = String::from_utf8(bytes).expect("UTF-8");
    Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
}

impl Events {
    /// The next event that is not a comment; `None` at the end of the stream.
    pub(crate) fn next(&mut self, client: &Http2) -> Option<Event> {
        client.wait(async {
            loop {
                if let Some(event) = take_event(&mut self.text) {
                    return Some(event);
                }
                if !self.receive().await {
                    assert!(self.text.is_empty(), "the stream ends within an event: {:?}", self.text);
                    assert!(matches!(self.ended, Some(Ok(()))), "{:?}", self.ended);
                    return None;
                }
            }
        })
    }

    /// The ids of the next events.
    pub(crate) fn ids(&mut self, client: &Http2, count: usize) -> Vec<String> {
        (0..count).map(|_| id(&self.next(client).expect("an event"))).collect()
    }

    /// Reads without returning bytes to the window, until this many bytes are held.
    pub(crate) fn hold(&mut self, client: &Http2, bytes: usize) {
        self.releases = false;
        while self.held < bytes {
            assert!(client.wait(self.receive()), "the stream ends: {:?}", self.ended);
        }
    }

    /// Returns the held bytes to the window.
    pub(crate) fn release(&mut self) {
        self.releases = true;
        let held = std::mem::take(&mut self.held);
        self.body.flow_control().release_capacity(held).expect("it was held");
    }

    /// Reads to the end of the stream; the reason if it was reset.
    pub(crate) fn end(&mut self, client: &Http2) -> Result<(), Reason> {
        while client.wait(self.receive()) {}
        match &self.ended {
            Some(Err(error)) => Err(error.reason().expect("a reason")),
            _ => Ok(()),
        }
    }

    /// The whole body of a response that ends.
    pub(crate) fn whole(&mut self, client: &Http2) -> String {
        while client.wait(self.receive()) {}
        std::mem::take(&mut self.text)
    }

    /// Reads once; false at the end.
    async fn receive(&mut self) -> bool {
        match self.body.data().await {
            Some(Ok(data)) => {
                if self.releases {
                    self.body.flow_control().release_capacity(data.len()).expect("it was received");
                } else {
                    self.held += data.len();
                }
                let text = self.coding.decode(&data);
                self.text.push_str(std::str::from_utf8(&text).expect("UTF-8"));
                true
            }
            Some(Err(error)) => {
                self.ended = Some(Err(error));
                false
            }
            None => {
                self.ended = Some(Ok(()));
                false
            }
        }
    }
}

pub(crate) const ONE_SHARD: (&str, &str) = ("SHARDS", "1");

/// A hub with TLS, on one shard.
pub(crate) fn tls_hub(name: &str, settings: &[(&str, &str)]) -> (Hub, Pair) {
    let pair = Pair::new();
    let all = [&[ONE_SHARD], settings].concat();
    let clients = trusting(&[&pair], &[&TLS13], &["h2", "http/1.1"]);
    let hub = Files::new(&format!("http2-{name}"), &pair).start(&all, &clients);
    (hub, pair)
}

/// A plain hub and one with TLS.
pub(crate) fn both(name: &str, settings: &[(&str, &str)]) -> [Hub; 2] {
    [Hub::start(&[&[ONE_SHARD], settings].concat()), tls_hub(name, settings).0]
}

pub(crate) fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}
