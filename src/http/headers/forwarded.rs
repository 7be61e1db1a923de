//! The fields that a proxy adds to a request: `Forwarded` (RFC 7239), `X-Forwarded-For`, `-Proto`
//! and `-Host`, `X-Real-IP`.
//!
//! A client can send these fields too, so they are used only if a proxy sets them
//! (`USE_FORWARDED_HEADERS`). Invariants: only the last element of a list is trusted, which the
//! nearest proxy has added; earlier elements may come from the client. A field that cannot be read
//! is ignored; it is never an error.

use std::net::{IpAddr, SocketAddr};

use crate::http::scheme::Scheme;
use crate::http::target::valid_host;

/// The last line of each of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardedFields<'a> {
    forwarded: Option<&'a [u8]>,
    x_for: Option<&'a [u8]>,
    x_proto: Option<&'a [u8]>,
    x_host: Option<&'a [u8]>,
    x_real_ip: Option<&'a [u8]>,
}

/// The values of the fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forwarded<'a> {
    /// The address of the client.
    pub client: Option<IpAddr>,
    /// The scheme the client used.
    pub scheme: Option<Scheme>,
    /// The host the client addressed; always a valid host with an optional port.
    pub host: Option<&'a str>,
}

impl<'a> ForwardedFields<'a> {
    /// Stores one of these fields; `name` may have any case. Returns false for any other field.
    pub(crate) fn take(&mut self, name: &str, value: &'a [u8]) -> bool {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let place = match name.len() {
            9 if is("forwarded") => &mut self.forwarded,
            9 if is("x-real-ip") => &mut self.x_real_ip,
            15 if is("x-forwarded-for") => &mut self.x_for,
            16 if is("x-forwarded-host") => &mut self.x_host,
            17 if is("x-forwarded-proto") => &mut self.x_proto,
            _ => return false,
        };
        *place = Some(value);
        true
    }

    /// Reads the fields. `Forwarded` takes precedence over the others, and `X-Forwarded-For` over
    /// `X-Real-IP`.
    pub fn read(&self) -> Forwarded<'a> {
        let standard = self.forwarded.and_then(as_text).and_then(last_of_forwarded).unwrap_or_default();
        let last = |list: Option<&'a [u8]>| list.and_then(as_text).and_then(last_of_list);
        Forwarded {
            client: standard.client.or_else(|| last(self.x_for).and_then(address)).or_else(|| {
                let real_ip = self.x_real_ip.and_then(as_text);
                real_ip.and_then(|text| address(text.trim()))
            }),
            scheme: standard.scheme.or_else(|| last(self.x_proto).and_then(Scheme::parse)),
            host: standard.host.or_else(|| last(self.x_host).and_then(|text| valid_host(text.as_bytes()))),
        }
    }
}

fn as_text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// The last non-empty element of a list (RFC 9110, section 5.6.1).
fn last_of_list(list: &str) -> Option<&str> {
    list.rsplit(',').map(str::trim).find(|element| !element.is_empty())
}

/// The last element of `Forwarded` (RFC 7239, section 4); `None` if the list cannot be read to its
/// end.
fn last_of_forwarded(list: &str) -> Option<Forwarded<'_>> {
    let elements = split(list, b',')?;
    let element = elements.into_iter().rev().map(str::trim).find(|element| !element.is_empty())?;
    let mut forwarded = Forwarded::default();
    let mut names = Vec::new();
    for pair in split(element, b';')? {
        let (name, value) = pair.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        // No parameter may occur twice (section 4): one of the two may come from the client.
        if names.contains(&name) {
            return None;
        }
        let value = value.trim();
        let value = match value.strip_prefix('"') {
            // No value that is read here needs a backslash.
            Some(quoted) => quoted.strip_suffix('"').filter(|text| !text.contains(['"', '\\']))?,
            None => value,
        };
        match name.as_str() {
            "for" => forwarded.client = address(value),
            "proto" => forwarded.scheme = Scheme::parse(value),
            "host" => forwarded.host = valid_host(value.as_bytes()),
            _ => {}
        }
        names.push(name);
    }
    Some(forwarded)
}

/// Splits at each separator outside quoted strings (RFC 9110, section 5.6.4); `None` if a quoted
/// string does not end.
fn split(text: &str, separator: u8) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            byte if byte == separator && !is_quoted => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// An IP address, optionally in brackets and with a port (RFC 7239, section 6). `unknown` and
/// obfuscated names give `None`.
fn address(node: &str) -> Option<IpAddr> {
    if let Ok(address) = node.parse() {
        return Some(address);
    }
    if let Ok(address) = node.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'))?;
    bare.parse().ok().filter(IpAddr::is_ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &'static str)]) -> Forwarded<'static> {
        let mut taken = ForwardedFields::default();
        for (name, value) in fields {
            assert!(taken.take(name, value.as_bytes()), "{name}");
        }
        taken.read()
    }

    fn client(name: &str, value: &'static str) -> Option<String> {
        read(&[(name, value)]).client.map(|address| address.to_string())
    }

    #[test]
    fn the_last_element_of_a_list_is_the_nearest_proxys() {
        for (value, expected) in [
            ("192.0.2.1", Some("192.0.2.1")),
            ("198.51.100.7, 192.0.2.1", Some("192.0.2.1")),
            ("198.51.100.7,192.0.2.1:4711 , ,", Some("192.0.2.1")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]:4711", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("192.0.2.1, unknown", None),
            ("192.0.2.1, [192.0.2.1]", None),
            ("", None),
            (", ,", None),
            ("192.0.2.1.5", None),
            ("192.0.2.1; x", None),
        ] {
            assert_eq!(client("X-Forwarded-For", value).as_deref(), expected, "{value}");
        }
        let two = [("x-forwarded-for", "198.51.100.7"), ("X-Forwarded-For", "192.0.2.1")];
        assert_eq!(read(&two).client, "192.0.2.1".parse().ok(), "two lines are one list");
    }

    /// The examples of RFC 7239, sections 4 and 6, among others.
    #[test]
    fn forwarded_is_read_as_its_rfc_has_it() {
        for (value, expected) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", Some("192.0.2.60")),
            ("For=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17")),
            ("for=192.0.2.43, for=198.51.100.17", Some("198.51.100.17")),
            ("for=192.0.2.43;by=\"a,for=198.51.100.17\"", Some("192.0.2.43")),
            ("by=\"\\\"\";for=192.0.2.43", None),
            ("for=\"_gazonk\"", None),
            ("for=unknown", None),
            ("for=192.0.2.43, for=\"198.51.100.17", None),
            ("for=192.0.2.43, garbage", None),
            ("for=192.0.2.43;for=198.51.100.17", None),
            ("for=192.0.2.43;FOR=198.51.100.17", None),
            ("", None),
            (";", None),
            ("\"", None),
        ] {
            assert_eq!(client("Forwarded", value).as_deref(), expected, "{value}");
        }
        let whole = read(&[("Forwarded", "for=192.0.2.43; proto=HTTPS; host=\"a.example:8443\"")]);
        let client = "192.0.2.43".parse().ok();
        assert_eq!(whole, Forwarded { client, scheme: Some(Scheme::Https), host: Some("a.example:8443") });
    }

    proptest::proptest! {
        /// Garbage is not an error, and the reported address is the one that the last proxy has
        /// added.
        #[test]
        fn what_a_client_sends_before_the_proxy_changes_nothing(garbage in "[^\"\\\\]{0,60}") {
            let list = format!("{garbage}, for=192.0.2.1;proto=https");
            let mut fields = ForwardedFields::default();
            assert!(fields.take("forwarded", list.as_bytes()));
            assert_eq!(fields.read().client, "192.0.2.1".parse().ok(), "{list}");
            for name in ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"] {
                let mut fields = ForwardedFields::default();
                assert!(fields.take(name, garbage.as_bytes()));
                let host = fields.read().host;
                assert!(host.is_none_or(|host| valid_host(host.as_bytes()).is_some()), "{host:?}");
            }
        }
    }

    #[test]
    fn scheme_and_host_are_valid_or_absent() {
        let fields = [("X-Forwarded-Proto", "http, https"), ("X-Forwarded-Host", "evil.example, a.example")];
        let Forwarded { client, scheme, host } = read(&fields);
        assert_eq!((client, scheme, host), (None, Some(Scheme::Https), Some("a.example")));
        for (proto, host) in [("ftp", "a/b"), ("", ""), ("https://", "a b"), ("on", "user@a.example")] {
            let fields = read(&[("X-Forwarded-Proto", proto), ("X-Forwarded-Host", host)]);
            assert_eq!(fields, Forwarded::default(), "{proto} {host}");
        }
        let mut taken = ForwardedFields::default();
        assert!(taken.take("x-forwarded-host", b"\xff") && taken.take("forwarded", b"\xff"));
        assert_eq!(taken.read(), Forwarded::default());
        assert!(!taken.take("x-forwarded-port", b"1"));
    }

    #[test]
    fn the_standard_field_goes_before_the_others_and_they_fill_what_it_leaves_open() {
        let all = [
            ("X-Real-IP", "192.0.2.3"),
            ("X-Forwarded-For", "192.0.2.2"),
            ("X-Forwarded-Host", "x.example"),
            ("X-Forwarded-Proto", "http"),
            ("Forwarded", "for=192.0.2.1;proto=https"),
        ];
        let read_all = read(&all);
        assert_eq!((read_all.client, read_all.scheme), ("192.0.2.1".parse().ok(), Some(Scheme::Https)));
        assert_eq!(read_all.host, Some("x.example"));
        assert_eq!(read(&all[..2]).client, "192.0.2.2".parse().ok());
        assert_eq!(read(&all[..1]).client, "192.0.2.3".parse().ok());
        assert_eq!(client("X-Real-IP", "192.0.2.1, 192.0.2.3"), None, "it is no list");
    }
}
