//! The access log (`ACCESS_LOG`): one line per request; for a stream, one line when it begins and
//! one when it ends.
//!
//! Invariant: no line holds a token ([`Redacted`]), and every line is bounded in length.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::StatusCode;
use tracing::info;

use crate::api::request_counts::SpokenDialects;
use crate::http::request::{Request, Version};
use crate::http::scheme::Scheme;
use crate::hub::shard::EndReason;
use crate::redact::Redacted;

/// The tracing target of access log events, which separates them from all others.
pub const ACCESS_TARGET: &str = "petasos::access";

/// Stands for an unknown value.
const UNKNOWN: &str = "-";

/// The client of a request, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// The other end of the connection.
    Peer(SocketAddr),
    /// The client that a proxy in front names (`USE_FORWARDED_HEADERS`).
    Forwarded(IpAddr),
    /// The address is unknown.
    Unknown,
}

impl Client {
    /// The other end of a connection.
    pub(crate) fn peer(peer: Option<SocketAddr>) -> Self {
        peer.map_or(Self::Unknown, Self::Peer)
    }

    /// Its IP address, if known.
    pub(crate) fn address(self) -> Option<IpAddr> {
        match self {
            Self::Peer(peer) => Some(peer.ip()),
            Self::Forwarded(address) => Some(address),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A dual-stack listener sees an IPv4 client as an IPv4-mapped IPv6 address.
            Self::Peer(peer) => SocketAddr::new(peer.ip().to_canonical(), peer.port()).fmt(f),
            Self::Forwarded(address) => address.to_canonical().fmt(f),
            Self::Unknown => f.write_str(UNKNOWN),
        }
    }
}

/// The settings that apply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// `ACCESS_LOG`
    pub(crate) is_logged: bool,
    /// `USE_FORWARDED_HEADERS`
    pub(crate) trusts_proxy: bool,
}

/// The client of a request, and its access log entry.
pub(crate) struct Caller {
    pub(crate) client: Client,
    /// What the request was found to speak when it was decided.
    pub(crate) spoken: SpokenDialects,
    /// `None` when the log is off, or before a request was read.
    pub(crate) access: Option<Box<Access>>,
}

impl Caller {
    /// Only the peer address is known.
    pub(crate) fn peer(peer: Option<SocketAddr>) -> Self {
        Self { client: Client::peer(peer), spoken: SpokenDialects::default(), access: None }
    }

    /// The client of a request that began to arrive at `began_ms`. Also sets the request's scheme
    /// and the fields that a proxy sends.
    pub(crate) fn read(
        rules: Rules,
        request: &mut Request<'_>,
        peer: Option<SocketAddr>,
        is_tls: bool,
        began_ms: u64,
    ) -> Self {
        if is_tls {
            request.scheme = Scheme::Https;
        }
        let forwarded = rules.trusts_proxy.then(|| request.trust_forwarded()).flatten();
        let client = forwarded.map_or_else(|| Client::peer(peer), Client::Forwarded);
        let access = rules.is_logged.then(|| Box::new(Access::new(request, client, began_ms)));
        Self { client, spoken: SpokenDialects::default(), access }
    }

    /// Notes what the request speaks.
    pub(crate) fn speaks(&mut self, spoken: SpokenDialects) {
        self.spoken = spoken;
        if let Some(access) = &mut self.access {
            [access.dialect, access.token_dialect] = spoken.names().map(|name| name.unwrap_or(UNKNOWN));
        }
    }

    /// Notes that the request becomes a stream. The first `head_bytes` bytes are its response head.
    pub(crate) fn streams(&mut self, head_bytes: usize, now_ms: u64) -> Option<Box<Access>> {
        let mut access = self.access.take()?;
        access.streams(head_bytes, now_ms);
        Some(access)
    }
}

/// The fields shared by the lines of one request.
pub(crate) struct Access {
    client: Client,
    method: &'static str,
    scheme: &'static str,
    host: String,
    path: String,
    version: &'static str,
    user_agent: String,
    /// The dialect of the request, and that of its token.
    dialect: &'static str,
    token_dialect: &'static str,
    began_ms: u64,
    /// Bytes of the stream so far, before TLS; `head_bytes` of them are not part of its body.
    bytes: u64,
    head_bytes: u64,
}

impl Access {
    /// A request that began to arrive at `began_ms`.
    pub(crate) fn new(request: &Request<'_>, client: Client, began_ms: u64) -> Self {
        let or_unknown = |value: Option<&[u8]>| {
            value.map_or_else(|| UNKNOWN.to_owned(), |value| Redacted::new(value).to_string())
        };
        Self {
            client,
            method: request.method_name(),
            scheme: request.scheme.as_str(),
            host: or_unknown(request.host.map(str::as_bytes)),
            path: Redacted::target(request.path, request.query).to_string(),
            version: match request.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
                Version::Http2 => "HTTP/2",
            },
            user_agent: or_unknown(request.user_agent),
            dialect: UNKNOWN,
            token_dialect: UNKNOWN,
            began_ms,
            bytes: 0,
            head_bytes: 0,
        }
    }

    /// A request whose head could not be read.
    pub(crate) fn unreadable(client: Client, began_ms: u64) -> Self {
        let unknown = || UNKNOWN.to_owned();
        let (host, path, user_agent) = (unknown(), unknown(), unknown());
        Self {
            client,
            method: UNKNOWN,
            scheme: UNKNOWN,
            host,
            path,
            version: UNKNOWN,
            user_agent,
            dialect: UNKNOWN,
            token_dialect: UNKNOWN,
            began_ms,
            bytes: 0,
            head_bytes: 0,
        }
    }

    /// Logs a response with a body of this many bytes.
    pub(crate) fn answered(&self, status: StatusCode, bytes: usize, now_ms: u64) {
        let Self { client, method, scheme, host, path, version, user_agent, dialect, token_dialect, .. } =
            self;
        let duration_ms = self.duration_ms(now_ms);
        let status = status.as_u16();
        info!(
            target: ACCESS_TARGET,
            %client, method, scheme, host, path, version, user_agent,
            dialect, token_dialect, status, bytes, duration_ms, "answered"
        );
    }

    /// Logs the begin of the stream.
    fn streams(&mut self, head_bytes: usize, now_ms: u64) {
        self.head_bytes = head_bytes as u64;
        let duration_ms = self.duration_ms(now_ms);
        let Self { client, method, scheme, host, path, version, user_agent, dialect, token_dialect, .. } =
            self;
        let status = StatusCode::OK.as_u16();
        info!(
            target: ACCESS_TARGET,
            %client, method, scheme, host, path, version, user_agent,
            dialect, token_dialect, status, duration_ms, "stream began"
        );
    }

    /// Counts bytes of the stream.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Logs the end of the stream.
    pub(crate) fn ended(&self, reason: EndReason, now_ms: u64) {
        let Self { client, method, scheme, host, path, version, user_agent, dialect, token_dialect, .. } =
            self;
        let bytes = self.bytes.saturating_sub(self.head_bytes);
        let duration_ms = self.duration_ms(now_ms);
        let status = StatusCode::OK.as_u16();
        info!(
            target: ACCESS_TARGET,
            %client, method, scheme, host, path, version, user_agent,
            dialect, token_dialect, status, bytes, duration_ms, ?reason, "stream ended"
        );
    }

    fn duration_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.began_ms)
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    /// Each text by itself: what is no JWT is not found in a whole line.
    #[test]
    fn an_entry_holds_no_secret_of_its_request() {
        let query = Some("topic=a&authorization=s3cret");
        let mut request = Request::new(Method::GET, Version::Http11, "/.well-known/mercure", query);
        request.field("user-agent", b"app token=s3cret").expect("a field");
        let access = Access::new(&request, Client::Unknown, 0);
        assert_eq!(access.path, "/.well-known/mercure?topic=a&authorization=***");
        assert_eq!(access.user_agent, "app token=***");
    }
}
