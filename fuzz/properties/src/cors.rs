//! CORS: an origin gets what the list says, and nothing of a request is echoed that is not listed.

use petasos::http::headers::cors::{Cors, CorsDecision, OriginList};
use petasos::http::response::Response;
use url::Url;

/// The property, for a list of origins, an `Origin` and a `Referer`, each on a line of `bytes`.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let [list, origin, referer] = [(); 3].map(|()| lines.next().unwrap_or_default());
    let Ok(list) = std::str::from_utf8(list) else { return };
    let (Ok(cors), Ok(origins)) = (Cors::parse(list), OriginList::parse(list)) else {
        assert!(Cors::parse(list).is_err() && OriginList::parse(list).is_err(), "{list:?}");
        return;
    };
    let parts = || list.split([',', ' ', '\t', '\r', '\n']).filter(|part| !part.is_empty());
    let has_any = parts().any(|part| part == "*");
    // A listed `*` becomes the label `x`, and so does the first label of an origin that is compared
    // with it.
    let (stars, plain): (Vec<_>, Vec<_>) =
        parts().filter(|part| *part != "*").partition(|it| it.contains('*'));
    let listed: Vec<String> = plain.into_iter().filter_map(origin_of).collect();
    let below: Vec<String> = stars.iter().filter_map(|part| origin_of(&part.replace('*', "x"))).collect();
    let is_one = |origin: &[u8]| listed.iter().any(|listed| listed.as_bytes() == origin);
    let is_below = |origin: &[u8]| {
        let origin = std::str::from_utf8(origin).ok().and_then(with_label_x);
        origin.is_some_and(|origin| below.contains(&origin))
    };
    let is_listed = |origin: &[u8]| is_one(origin) || is_below(origin);
    assert_eq!(origins.is_empty(), parts().next().is_none(), "{list:?}");
    for origin in [Some(origin), None, Some(b"null".as_slice())] {
        let decision = cors.decide(origin);
        let expected = match origin {
            _ if origins.is_empty() => CorsDecision::Off,
            Some(origin) if is_one(origin) => {
                assert!(matches!(decision, CorsDecision::Listed(_)), "{list:?} {origin:?}");
                decision
            }
            Some(origin) if is_below(origin) => {
                assert!(matches!(decision, CorsDecision::ListedBelow(..)), "{list:?} {origin:?}");
                decision
            }
            _ if has_any => CorsDecision::Any { varies: !(listed.is_empty() && below.is_empty()) },
            _ => CorsDecision::NotListed,
        };
        assert_eq!(decision, expected, "{list:?} {origin:?}");
        check_response(&cors.preflight(decision), decision, origin);
        if let Some(origin) = origin {
            let allowed = is_listed(origin) || (has_any && !origin.is_empty() && origin != b"null");
            assert_eq!(origins.allows(origin), allowed, "{list:?} {origin:?}");
        }
    }
    let own = std::str::from_utf8(referer).ok().and_then(origin_of);
    let allowed = own.is_some_and(|own| is_listed(own.as_bytes()) || (has_any && own != "null"));
    assert_eq!(origins.allows_origin_of(referer), allowed, "{list:?} {referer:?}");
}

fn check_response(response: &Response, decision: CorsDecision, origin: Option<&[u8]>) {
    let field = |name: &str| {
        let is_it = |other: &str| other.eq_ignore_ascii_case(name);
        response.fields().find(|(other, _)| is_it(other.as_str())).map(|(_, value)| value.as_bytes())
    };
    let (allowed, credentials) =
        (field("Access-Control-Allow-Origin"), field("Access-Control-Allow-Credentials"));
    let varies = field("Vary").is_some_and(|vary| vary.eq_ignore_ascii_case(b"Origin"));
    let (expected, with_credentials, must_vary) = match decision {
        CorsDecision::Off => (None, None, false),
        CorsDecision::NotListed => (None, None, true),
        CorsDecision::Any { varies } => (Some(b"*".as_slice()), None, varies),
        CorsDecision::Listed(_) | CorsDecision::ListedBelow(..) => (origin, Some(b"true".as_slice()), true),
    };
    assert_eq!((allowed, credentials, varies), (expected, with_credentials, must_vary), "{decision:?}");
    assert_eq!(field("Access-Control-Allow-Methods").is_some(), allowed.is_some(), "{decision:?}");
}

/// An origin with `x` as its first label; `None` if that is not one label.
fn with_label_x(origin: &str) -> Option<String> {
    let (scheme, host) = origin.split_once("://")?;
    let (label, parent) = host.split_once('.')?;
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let fits = (1..=63).contains(&label.len()) && label.bytes().all(is_label);
    fits.then(|| format!("{scheme}://x.{parent}"))
}

/// The origin of a URL as a browser sends it.
fn origin_of(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}", url.scheme()))
}
