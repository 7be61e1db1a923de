//! A topic read as a URL: once for each publication, for all patterns.

use url::{Position, Url};

use crate::mercure::public_url::PublicUrl;

/// The components of a URL, in the order of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum UrlPart {
    Protocol,
    Username,
    Password,
    Hostname,
    Port,
    Pathname,
    Search,
    Hash,
}

/// A topic as a URL. All its components are ASCII.
pub struct TopicUrl {
    url: Url,
    /// The key, if it is not a part of the URL.
    key: Option<Box<str>>,
}

#[cfg(test)]
thread_local! {
    static TIMES_READ: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

impl TopicUrl {
    /// How often this thread has read a topic.
    #[cfg(test)]
    pub(crate) fn times_read() -> u64 {
        TIMES_READ.get()
    }

    /// Reads a topic; a relative one is resolved against the hub's URL. `None` if it is no URL: no
    /// pattern matches it (MERCURE-1.0, section 3).
    pub fn parse(topic: &str, hub: &PublicUrl) -> Option<Self> {
        Self::resolve(topic, hub.url())
    }

    pub(super) fn resolve(topic: &str, base: &Url) -> Option<Self> {
        #[cfg(test)]
        TIMES_READ.set(TIMES_READ.get() + 1);
        let url = Url::options().base_url(Some(base)).parse(topic).ok()?;
        let has_user = !url.username().is_empty() || url.password().is_some();
        let is_plain = url.host_str().is_some_and(|host| !host.is_empty()) && !has_user;
        let is_opaque = url.cannot_be_a_base() && !url.path().is_empty();
        let key = (!is_plain && !is_opaque).then(|| {
            let host = url.host_str().unwrap_or("");
            key_of(url.scheme(), host, url::quirks::port(&url), url.path()).into()
        });
        Some(Self { url, key })
    }

    /// One of its components; empty if it has none.
    pub(super) fn component(&self, part: UrlPart) -> &str {
        match part {
            UrlPart::Protocol => self.url.scheme(),
            UrlPart::Username => self.url.username(),
            UrlPart::Password => self.url.password().unwrap_or(""),
            UrlPart::Hostname => self.url.host_str().unwrap_or(""),
            UrlPart::Port => url::quirks::port(&self.url),
            UrlPart::Pathname => self.url.path(),
            UrlPart::Search => self.url.query().unwrap_or(""),
            UrlPart::Hash => self.url.fragment().unwrap_or(""),
        }
    }

    /// Protocol, hostname, port and pathname in one text. Two URLs have the same key if and only
    /// if they have the same of these components. It has the form of a URL ([`key_of`]).
    pub(in crate::mercure) fn key(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.url[..Position::AfterPath])
    }
}

/// The key of a URL with these components. An opaque path, which does not begin with a slash, is
/// one without an authority: it follows the protocol.
pub(super) fn key_of(protocol: &str, hostname: &str, port: &str, pathname: &str) -> String {
    let is_opaque = hostname.is_empty() && port.is_empty() && !pathname.starts_with('/');
    match (is_opaque && !pathname.is_empty(), port) {
        (true, _) => format!("{protocol}:{pathname}"),
        (false, "") => format!("{protocol}://{hostname}{pathname}"),
        (false, port) => format!("{protocol}://{hostname}:{port}{pathname}"),
    }
}
