//! Request targets and hosts (RFC 9112, section 3.2; RFC 3986, section 3.2.2).

use http::Method;

use crate::http::request_error::RequestError;
use crate::limits::{HOST_BYTES_MAX, REQUEST_TARGET_BYTES_MAX};

/// A request target, split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestTarget<'a> {
    /// The path, or `*`.
    pub(crate) path: &'a str,
    /// The part after the first `?`.
    pub(crate) query: Option<&'a str>,
    /// The authority of an absolute target.
    pub(crate) authority: Option<&'a str>,
}

impl<'a> RequestTarget<'a> {
    /// Parses an origin, absolute or asterisk form. The authority form belongs to `CONNECT`, which
    /// no resource here supports.
    ///
    /// Characters that a URI should have escaped (`{`, `|`, raw UTF-8) are accepted: topic
    /// selectors are often typed by hand, and the hub reads them in one way only. A fragment is
    /// refused.
    pub(crate) fn parse(method: &Method, target: &'a str) -> Result<Self, RequestError> {
        if target.len() > REQUEST_TARGET_BYTES_MAX {
            return Err(RequestError::TargetTooLong);
        }
        if target.contains('#') {
            return Err(RequestError::Target);
        }
        if target == "*" {
            let asterisk = Self { path: target, query: None, authority: None };
            return if *method == Method::OPTIONS { Ok(asterisk) } else { Err(RequestError::Target) };
        }
        let (authority, origin) = if target.starts_with('/') {
            (None, target)
        } else {
            let behind_scheme = strip_prefix(target, "http://")
                .or_else(|| strip_prefix(target, "https://"))
                .ok_or(RequestError::Target)?;
            let end = behind_scheme.find(['/', '?']).unwrap_or(behind_scheme.len());
            let (authority, origin) = behind_scheme.split_at(end);
            (Some(valid_host(authority.as_bytes()).ok_or(RequestError::Target)?), origin)
        };
        let (path, query) = match origin.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (origin, None),
        };
        Ok(Self { path: if path.is_empty() { "/" } else { path }, query, authority })
    }
}

fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// `value` as text if it is a host with an optional port. It must not be empty or have user
/// information: the `http` and `https` schemes forbid both (RFC 9110, section 4.2).
pub(crate) fn valid_host(value: &[u8]) -> Option<&str> {
    if value.len() > HOST_BYTES_MAX {
        return None;
    }
    let text = std::str::from_utf8(value).ok()?;
    let (host, port) = match text.strip_prefix('[') {
        Some(literal) => {
            let (address, behind) = literal.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            match behind.strip_prefix(':') {
                Some(port) => (None, port),
                None if behind.is_empty() => (None, ""),
                None => return None,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), port),
            None => (Some(text), ""),
        },
    };
    let port_is_valid =
        port.is_empty() || (port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()));
    (port_is_valid && host.is_none_or(is_registered_name)).then_some(text)
}

/// `reg-name` of RFC 3986, section 3.2.2, but not empty.
fn is_registered_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let is_valid = match byte {
            b'%' => (0..2).all(|_| bytes.next().is_some_and(|digit| digit.is_ascii_hexdigit())),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte),
        };
        if !is_valid {
            return false;
        }
    }
    !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(target: &str) -> Result<(&str, Option<&str>, Option<&str>), RequestError> {
        RequestTarget::parse(&Method::GET, target).map(|parsed| (parsed.path, parsed.query, parsed.authority))
    }

    #[test]
    fn the_origin_form_is_split_at_the_first_question_mark() {
        assert_eq!(parts("/hub"), Ok(("/hub", None, None)));
        assert_eq!(parts("/hub?"), Ok(("/hub", Some(""), None)));
        assert_eq!(parts("/hub?topic=a?b"), Ok(("/hub", Some("topic=a?b"), None)));
        assert_eq!(parts("//x/y"), Ok(("//x/y", None, None)));
    }

    #[test]
    fn the_absolute_form_gives_the_host() {
        assert_eq!(parts("http://a.example:80/hub?x"), Ok(("/hub", Some("x"), Some("a.example:80"))));
        assert_eq!(parts("HTTPS://[::1]:3000"), Ok(("/", None, Some("[::1]:3000"))));
        assert_eq!(parts("http://a?x"), Ok(("/", Some("x"), Some("a"))));
    }

    #[test]
    fn other_forms_are_refused() {
        for target in [
            "",
            "*",
            "hub",
            "a.example:443",
            "ftp://a/b",
            "http:///hub",
            "http://u@a/",
            "/a#b",
            "http://a b/",
            "é",
        ] {
            assert_eq!(parts(target), Err(RequestError::Target), "{target:?}");
        }
        assert!(RequestTarget::parse(&Method::OPTIONS, "*").is_ok());
        assert!(RequestTarget::parse(&Method::OPTIONS, "*?a").is_err());
    }

    #[test]
    fn a_target_is_bounded() {
        let most = format!("/{}", "a".repeat(REQUEST_TARGET_BYTES_MAX - 1));
        assert!(parts(&most).is_ok());
        assert_eq!(parts(&format!("{most}a")), Err(RequestError::TargetTooLong));
    }

    #[test]
    fn hosts_are_checked() {
        for host in [
            "a",
            "a.example",
            "A-b_c.example:3000",
            "127.0.0.1:80",
            "[::1]",
            "[2001:db8::1]:443",
            "a:",
            "%41",
        ] {
            assert_eq!(valid_host(host.as_bytes()), Some(host));
        }
        for host in [
            "", ":80", "a b", "a/b", "a@b", "a:b", "a:80:80", "a:123456", "[::1", "[::1]x", "[a]", "::1",
            "a,b c", "%4", "%zz", "é", "a\tb", "a?b", "a#b", "<a>",
        ] {
            assert_eq!(valid_host(host.as_bytes()), None, "{host:?}");
        }
        assert_eq!(valid_host(&[b'a'; HOST_BYTES_MAX + 1]), None);
        assert_eq!(valid_host(b"\xff"), None);
    }
}
