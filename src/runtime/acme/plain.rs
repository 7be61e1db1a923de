//! Plain HTTP beside the hub (`ACME_HTTP_ADDR`): the answers to http-01 challenges, and the way to HTTPS for everything else.
//!
//! It runs on the thread that orders certificates, whose work is short. Invariants worth naming:
//! - a connection gets one answer, is over within [`ACME_HTTP_MS`], and there are [`ACME_HTTP_CONNECTIONS_MAX`] at most: for one
//!   more the oldest is closed, so that nobody who is slow keeps an authority out;
//! - it redirects to no host but those of `ACME_HOSTS`.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{CONTROLS, utf8_percent_encode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::challenges::{Challenges, HTTP_PATH};
use crate::http::connection::{Connection, Event};
use crate::http::date::HttpDate;
use crate::http::request::{Method, Request, Version};
use crate::http::response::{HeaderValue, Http1, Response};
use crate::http::status::Status;
use crate::limits::{ACCEPT_PAUSE_MS, ACME_HTTP_CONNECTIONS_MAX, ACME_HTTP_MS, LINGER_BYTES_MAX, LINGER_MS};
use crate::runtime::clock;

const BUFFER_BYTES: usize = 4 << 10;
const HTTPS_PORT: u16 = 443;

/// What is to be found there.
pub(super) struct Site {
    /// `ACME_HOSTS`.
    pub(super) hosts: Vec<String>,
    pub(super) challenges: Arc<Challenges>,
    /// Where the hub listens.
    pub(super) https_port: u16,
}

/// Answers whoever connects, for ever.
pub(super) async fn serve(listener: TcpListener, site: Arc<Site>) {
    let mut open = VecDeque::with_capacity(ACME_HTTP_CONNECTIONS_MAX);
    let mut has_warned = false;
    loop {
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                if !std::mem::replace(&mut has_warned, true) {
                    warn!(%error, "a connection for plain HTTP cannot be accepted");
                }
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                continue;
            }
        };
        open.retain(|task: &tokio::task::AbortHandle| !task.is_finished());
        if open.len() >= ACME_HTTP_CONNECTIONS_MAX
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let site = Arc::clone(&site);
        let attended = async move {
            match timeout(Duration::from_millis(ACME_HTTP_MS), attend(socket, &site)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "a connection for plain HTTP ended"),
                Err(_) => debug!("a connection for plain HTTP took too long"),
            }
        };
        open.push_back(tokio::spawn(attended).abort_handle());
    }
}

async fn attend(mut socket: TcpStream, site: &Site) -> io::Result<()> {
    let mut connection = Connection::new();
    let mut buffer = [0; BUFFER_BYTES];
    let (response, version, head_only) = loop {
        match connection.poll() {
            Event::Head(request) => {
                break (site.answer(&request), request.version, request.method == Method::Head);
            }
            Event::Refused(refusal) => break (Response::refusal(refusal), Version::Http11, false),
            Event::NeedMore | Event::Body(_) => {}
        }
        let room = connection.room().min(BUFFER_BYTES);
        match socket.read(&mut buffer[..room]).await? {
            0 => return Ok(()),
            count => connection.receive(&buffer[..count]),
        };
    };
    let date = HttpDate::from_unix_s(clock::unix_ms() / 1_000);
    let mut out = Vec::new();
    response.encode(&Http1 { version, head_only, keep_alive: false, date: Some(&date) }, &mut out);
    socket.write_all(&out).await?;
    socket.shutdown().await?;
    // Bytes that were not read when the socket is closed would take the answer with them.
    let discard = async {
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match socket.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(count) => left = left.saturating_sub(count),
            }
        }
    };
    // Whoever sends longer is cut off.
    let _ = timeout(Duration::from_millis(LINGER_MS), discard).await;
    Ok(())
}

impl Site {
    fn answer(&self, request: &Request<'_>) -> Response {
        if let Some(token) = request.path.strip_prefix(HTTP_PATH) {
            return match (self.challenges.text(token), request.method) {
                (None, _) => Response::status_only(Status::NotFound),
                (Some(text), Method::Get | Method::Head) => Response::text(Status::Ok, text),
                (Some(_), _) => Response::method_not_allowed("GET, HEAD"),
            };
        }
        let host = request.host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
        let host = host.map(str::to_ascii_lowercase).filter(|host| self.hosts.contains(host));
        let Some(host) = host.filter(|_| request.path.starts_with('/')) else {
            return Response::bad_request(&"Bad Request: this host is not served here");
        };
        let port = match self.https_port {
            HTTPS_PORT => String::new(),
            port => format!(":{port}"),
        };
        let query = request.query.map_or_else(String::new, |query| format!("?{query}"));
        let target = format!("{}{query}", request.path);
        let target = utf8_percent_encode(&target, CONTROLS);
        match HeaderValue::parse(format!("https://{host}{port}{target}")) {
            Ok(location) => {
                let mut response = Response::status_only(Status::PermanentRedirect);
                response.append("Location", location);
                response
            }
            Err(_) => Response::status_only(Status::BadRequest),
        }
    }
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
