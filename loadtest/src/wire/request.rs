//! The requests of a run: those of a Mercure hub, unless templates replace them.

use std::fmt::Write as _;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use rustls::ClientConfig;

use super::coding::Coding;
use super::stamp::{STAMP_BYTES, Stamp};
use super::template::{Template, TemplateError, Values};

/// The path of a hub URL that has none.
const HUB_PATH: &str = "/.well-known/mercure";

/// The address and the name of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The address to connect to.
    pub(crate) address: SocketAddr,
    /// The `Host` header.
    host: String,
}

/// The templates of another server, as given on the command line.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    next_help_heading = "Another SSE server (places: {topic}, {topic_raw}, {data}, {token}, {last_event_id})"
)]
pub(crate) struct Templates {
    /// URL of a subscription, for instance http://127.0.0.1:8080/sub/{topic}.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) subscribe_url: Option<String>,
    /// A header of subscriptions instead of Authorization and Last-Event-ID; left out while a place
    /// in it has no value.
    #[arg(long, global = true, value_name = "NAME: VALUE")]
    pub(crate) subscribe_header: Vec<String>,
    /// URL of a publication.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) publish_url: Option<String>,
    /// Method of a publication.
    #[arg(long, global = true, value_name = "METHOD")]
    pub(crate) publish_method: Option<String>,
    /// A header of publications instead of Authorization and Content-Type.
    #[arg(long, global = true, value_name = "NAME: VALUE")]
    pub(crate) publish_header: Vec<String>,
    /// Body of a publication; {data} must stand in it or in the URL, once.
    #[arg(long, global = true, value_name = "BODY")]
    pub(crate) publish_body: Option<String>,
}

#[derive(Debug, Clone)]
struct Request {
    endpoint: Endpoint,
    method: String,
    target: Template,
    headers: Vec<Template>,
    body: Option<Template>,
}

/// The requests and the transport for a server.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    subscribe: Request,
    publish: Request,
    /// The stamp may be anywhere in the data: the server wraps published data.
    pub(crate) wraps_data: bool,
    /// The TLS configuration; `None` for clear text.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// The number of streams that share an HTTP/2 connection; `None` for HTTP/1.1.
    pub(crate) streams_per_connection: Option<usize>,
}

/// A publication, complete except for its stamp.
#[derive(Debug, Clone)]
pub(crate) struct Publication {
    request: Vec<u8>,
    data_at: usize,
    data_bytes: usize,
}

/// Why no request can be made of a URL and templates.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("{0}: only http:// URLs can be measured; --tls starts a hub with TLS")]
    Scheme(String),
    #[error("{0}")]
    Address(String, #[source] std::io::Error),
    #[error("{0}: no address")]
    NoAddress(String),
    #[error("a server without --url needs --subscribe-url and --publish-url")]
    NoUrl,
    #[error("{{data}} must stand once in the publication, and nowhere in the subscription")]
    Data,
    #[error("{0:?} is no method")]
    Method(String),
    #[error("{0:?}: a header is NAME: VALUE")]
    Header(String),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl Endpoint {
    /// The endpoint and the rest of an `http` URL. TLS is only for a hub that the generator starts
    /// (`--tls`), whose certificate is known.
    fn parse(url: &str) -> Result<(Self, &str), WireError> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(WireError::Scheme(url.to_owned()));
        };
        let (host, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        // The colon of a port comes after the bracket that closes an IPv6 address.
        let has_port = host.rfind(':') > host.rfind(']');
        let with_port = if has_port { host.to_owned() } else { format!("{host}:80") };
        let address = with_port
            .to_socket_addrs()
            .map_err(|error| WireError::Address(host.to_owned(), error))?
            .next()
            .ok_or_else(|| WireError::NoAddress(host.to_owned()))?;
        Ok((Self { address, host: host.to_owned() }, target))
    }
}

impl Templates {
    /// Whether any template is given.
    pub(crate) fn is_given(&self) -> bool {
        self.subscribe_url.is_some()
            || self.publish_url.is_some()
            || self.publish_method.is_some()
            || self.publish_body.is_some()
            || !self.subscribe_header.is_empty()
            || !self.publish_header.is_empty()
    }
}

impl Wire {
    /// The requests for the hub at `url`.
    pub(crate) fn mercure(url: &str) -> Result<Self, WireError> {
        Self::parse(Some(url), &Templates::default())
    }

    /// The same, with subscribers that ask for a coding.
    pub(crate) fn accepting(mut self, coding: Option<Coding>) -> Result<Self, WireError> {
        if let Some(coding) = coding {
            let header = format!("Accept-Encoding: {}", coding.name());
            self.subscribe.headers.push(Template::parse_line(&header)?);
        }
        Ok(self)
    }

    /// The hub at the default path of `address`.
    pub(crate) fn local(address: SocketAddr) -> Result<Self, WireError> {
        Self::mercure(&format!("http://{address}"))
    }

    /// The requests for the hub at `url`, except where templates replace them.
    pub(crate) fn parse(url: Option<&str>, templates: &Templates) -> Result<Self, WireError> {
        let subscribe = match (&templates.subscribe_url, url) {
            (Some(url), _) => Request::new("GET", url, "")?,
            (None, Some(url)) => Request::new("GET", url, "topic={topic}")?,
            (None, None) => return Err(WireError::NoUrl),
        };
        let headers = ["Authorization: Bearer {token}", "Last-Event-ID: {last_event_id}"];
        let mut subscribe = subscribe.with_headers(&templates.subscribe_header, &headers)?;
        subscribe.headers.push(Template::parse("Accept: text/event-stream")?);
        let method = templates.publish_method.as_deref().unwrap_or("POST");
        let publish_url = templates.publish_url.as_deref().or(url).ok_or(WireError::NoUrl)?;
        let mut publish = Request::new(method, publish_url, "")?.with_headers(
            &templates.publish_header,
            &["Authorization: Bearer {token}", "Content-Type: application/x-www-form-urlencoded"],
        )?;
        let in_url = publish.target.data_placeholders() > 0;
        publish.body = match &templates.publish_body {
            Some(body) => Some(Template::parse(body)?),
            None if in_url => None,
            None => Some(Template::parse("topic={topic}&{private}data={data}")?),
        };
        let wire = Self {
            subscribe,
            publish,
            wraps_data: templates.is_given(),
            tls: None,
            streams_per_connection: None,
        };
        if wire.publish.data_placeholders() != 1 || wire.subscribe.data_placeholders() != 0 {
            return Err(WireError::Data);
        }
        Ok(wire)
    }

    /// The address that subscribers connect to.
    pub(crate) fn subscribers(&self) -> SocketAddr {
        self.subscribe.endpoint.address
    }

    /// The address that publishers connect to.
    pub(crate) fn publishers(&self) -> SocketAddr {
        self.publish.endpoint.address
    }

    /// The request of a subscription. For a Mercure hub, `further` adds selectors to the same
    /// query.
    pub(crate) fn subscription(
        &self,
        selector: &str,
        further: &[String],
        token: Option<&str>,
        last_event_id: &[u8],
    ) -> Vec<u8> {
        let values = Values { topic: selector, token, private: false, last_event_id, data_bytes: 0 };
        self.subscribe.render(&values, &further_topics(further)).0
    }

    /// A publication. Its data is `data_bytes` long, and at least as long as a stamp.
    pub(crate) fn publication(
        &self,
        topic: &str,
        private: bool,
        token: &str,
        data_bytes: usize,
    ) -> Publication {
        let data_bytes = data_bytes.max(STAMP_BYTES);
        let values = Values { topic, token: Some(token), private, last_event_id: b"", data_bytes };
        let (request, data_at) = self.publish.render(&values, "");
        Publication { request, data_at, data_bytes }
    }
}

impl Request {
    /// A request to `url`, with `parameter` added to its query.
    fn new(method: &str, url: &str, parameter: &str) -> Result<Self, WireError> {
        let (endpoint, target) = Endpoint::parse(url)?;
        let mut target = if target.is_empty() { HUB_PATH.to_owned() } else { target.to_owned() };
        if !parameter.is_empty() {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(parameter);
        }
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(WireError::Method(method.to_owned()));
        }
        Ok(Self {
            endpoint,
            method: method.to_owned(),
            target: Template::parse_line(&target)?,
            headers: Vec::new(),
            body: None,
        })
    }

    fn with_headers(mut self, given: &[String], default: &[&str]) -> Result<Self, WireError> {
        let texts: Vec<&str> =
            if given.is_empty() { default.to_vec() } else { given.iter().map(String::as_str).collect() };
        for text in texts {
            if !text.contains(':') {
                return Err(WireError::Header(text.to_owned()));
            }
            self.headers.push(Template::parse_line(text)?);
        }
        Ok(self)
    }

    fn data_placeholders(&self) -> usize {
        let templates = self.headers.iter().chain(&self.body).chain([&self.target]);
        templates.map(Template::data_placeholders).sum()
    }

    /// The request, and the offset of its data. `further` is appended to the target.
    fn render(&self, values: &Values<'_>, further: &str) -> (Vec<u8>, usize) {
        let mut out = format!("{} ", self.method).into_bytes();
        let mut data_at = None;
        let target = self.target.render(values);
        data_at = data_at.or(target.data_at.map(|at| at + out.len()));
        out.extend_from_slice(&target.bytes);
        out.extend_from_slice(further.as_bytes());
        out.extend_from_slice(format!(" HTTP/1.1\r\nHost: {}\r\n", self.endpoint.host).as_bytes());
        for header in self.headers.iter().map(|header| header.render(values)).filter(|header| !header.lacks) {
            data_at = data_at.or(header.data_at.map(|at| at + out.len()));
            out.extend_from_slice(&header.bytes);
            out.extend_from_slice(b"\r\n");
        }
        let body = self.body.as_ref().map(|body| body.render(values)).unwrap_or_default();
        if self.body.is_some() || self.method == "POST" {
            out.extend_from_slice(format!("Content-Length: {}\r\n", body.bytes.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        data_at = data_at.or(body.data_at.map(|at| at + out.len()));
        out.extend_from_slice(&body.bytes);
        (out, data_at.unwrap_or(0))
    }
}

/// Further parameters of a subscription's query. Only characters that a query must not contain are
/// escaped: hubs bound the length of a target.
fn further_topics(selectors: &[String]) -> String {
    let mut out = String::new();
    for selector in selectors {
        out.push_str("&topic=");
        for byte in selector.bytes() {
            match byte {
                b'!'
                | b'$'
                | b'\''..=b'*'
                | b','..=b';'
                | b'='
                | b'?'
                | b'@'
                | b'A'..=b'Z'
                | b'_'
                | b'a'..=b'z'
                | b'~' => out.push(char::from(byte)),
                _ => {
                    let _ = write!(out, "%{byte:02X}");
                }
            }
        }
    }
    out
}

impl Publication {
    /// Writes a stamp into the data.
    pub(crate) fn stamp(&mut self, stamp: &Stamp) {
        stamp.write(&mut self.request[self.data_at..self.data_at + self.data_bytes]);
    }

    /// The whole request.
    pub(crate) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Replaces the data after the stamp.
    pub(crate) fn fill(&mut self, padding: &[u8]) {
        let data = &mut self.request[self.data_at..self.data_at + self.data_bytes];
        data[STAMP_BYTES..].copy_from_slice(&padding[..self.data_bytes - STAMP_BYTES]);
    }

    /// The length of its data.
    pub(crate) fn data_bytes(&self) -> usize {
        self.data_bytes
    }
}

#[cfg(test)]
mod tests;
