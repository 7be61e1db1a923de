//! The fields of a proxy: what a client sends before the proxy's own element never changes what the
//! proxy says, and a host that is read is one.

use std::net::IpAddr;

use http::Method;
use petasos::http::headers::forwarded::Forwarded;
use petasos::http::request::{Request, Version};
use petasos::http::scheme::Scheme;

/// What the proxy adds.
const PROXY: &str = "192.0.2.1";

/// The property, for any value of the fields.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let own: Option<IpAddr> = PROXY.parse().ok();
    // As a client alone sends it.
    for name in ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP"] {
        read(&[(name, bytes)], |forwarded| {
            if let Some(host) = forwarded.host {
                let is_of_host = |byte: u8| byte.is_ascii_graphic() && !b"/?#@\\\"<>".contains(&byte);
                assert!(!host.is_empty() && host.bytes().all(is_of_host), "{host:?} is no host");
            }
        });
    }
    // A proxy appends to the list, or adds a line.
    let appended = |element: String| [bytes, b", ", element.as_bytes()].concat();
    let list = appended(PROXY.to_owned());
    // Nothing is read from a line that is not UTF-8.
    let of_line = own.filter(|_| std::str::from_utf8(bytes).is_ok());
    read(&[("X-Forwarded-For", &list)], |forwarded| assert_eq!(forwarded.client, of_line));
    read(&[("X-Forwarded-For", bytes), ("X-Forwarded-For", PROXY.as_bytes())], |forwarded| {
        assert_eq!(forwarded.client, own);
    });
    let element = format!("for={PROXY};proto=https;host=hub.example");
    let standard = appended(element.clone());
    read(&[("Forwarded", &standard)], |forwarded| {
        // A quoted string that the client leaves open makes the field unreadable, which is safe.
        let expected = Forwarded { client: own, scheme: Some(Scheme::Https), host: Some("hub.example") };
        assert!([expected, Forwarded::default()].contains(&forwarded), "{forwarded:?}");
    });
    read(&[("Forwarded", bytes), ("Forwarded", element.as_bytes())], |forwarded| {
        assert_eq!(forwarded.client, own);
    });
}

fn read(fields: &[(&str, &[u8])], look: impl FnOnce(Forwarded<'_>)) {
    let mut request = Request::new(Method::GET, Version::Http11, "/", None);
    for (name, value) in fields {
        request.field(name, value).expect("these fields may have any value");
    }
    look(request.forwarded.read());
}
