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
    let listed: Vec<String> = parts().filter(|part| *part != "*").filter_map(origin_of).collect();
    let is_listed = |origin: &[u8]| listed.iter().any(|listed| listed.as_bytes() == origin);
    assert_eq!(origins.is_empty(), parts().next().is_none(), "{list:?}");
    for origin in [Some(origin), None, Some(b"null".as_slice())] {
        let decision = cors.decide(origin);
        let expected = match origin {
            _ if origins.is_empty() => CorsDecision::Off,
            Some(origin) if is_listed(origin) => {
                assert!(matches!(decision, CorsDecision::Listed(_)), "{list:?} {origin:?}");
                decision
            }
            _ if has_any => CorsDecision::Any { varies: !listed.is_empty() },
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
        CorsDecision::Listed(_) => (origin, Some(b"true".as_slice()), true),
    };
    assert_eq!((allowed, credentials, varies), (expected, with_credentials, must_vary), "{decision:?}");
    assert_eq!(field("Access-Control-Allow-Methods").is_some(), allowed.is_some(), "{decision:?}");
}

/// The origin of a URL as a browser sends it.
fn origin_of(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}", url.scheme()))
}
