//! Which token is used, and when none may be (PROTOCOL section 4).

use super::*;
use crate::http::headers::names::WWW_AUTHENTICATE;
use crate::http::request::Version;
use crate::mercure::names::COOKIE_NAME;

const ORIGINS: &str = "https://a.example https://b.example:8443";

fn request<'a>(method: Method, query: Option<&'a str>, fields: &[(&str, &'a str)]) -> Request<'a> {
    let mut request = Request::new(method, Version::Http11, "/.well-known/mercure", query);
    for (name, value) in fields {
        request.field(name, value.as_bytes()).expect("a field");
    }
    request
}

fn find_with<'a>(
    request: &Request<'a>,
    origins: &str,
    query_parameter: bool,
) -> Result<Option<Credential<'a>>, CredentialError> {
    let origins = OriginList::parse(origins).expect("origins");
    let cookie = CookieRules { name: COOKIE_NAME, publish_origins: &origins };
    let rules = CredentialRules { cookie, second_cookie: None, query_parameter };
    Credential::find(request, &rules)
}

/// The token of a `GET` and its source.
fn find(
    query: Option<&str>,
    fields: &[(&str, &str)],
) -> Result<Option<(String, TokenSource)>, CredentialError> {
    find_with(&request(Method::GET, query, fields), ORIGINS, true)
        .map(|found| found.map(|credential| (credential.token.into_owned(), credential.source)))
}

fn token(text: &str, source: TokenSource) -> Result<Option<(String, TokenSource)>, CredentialError> {
    Ok(Some((text.to_owned(), source)))
}

#[test]
fn the_header_goes_before_the_query_and_the_query_before_the_cookie() {
    let header = ("Authorization", "Bearer h");
    let cookie = ("Cookie", "mercureAuthorization=c");
    let query = Some("topic=a&authorization=q");
    assert_eq!(find(query, &[header, cookie]), token("h", TokenSource::Header));
    assert_eq!(find(query, &[cookie]), token("q", TokenSource::Query));
    assert_eq!(find(None, &[cookie]), token("c", TokenSource::Cookie));
    assert_eq!(find(Some("authorization="), &[cookie]), token("c", TokenSource::Cookie));
    assert_eq!(find(Some("topic=a"), &[]), Ok(None));
}

#[test]
fn a_header_that_is_refused_does_not_fall_back_to_another_place() {
    for (value, expected) in [
        ("Basic dXNlcjpwYXNz", CredentialError::OtherScheme),
        ("", CredentialError::OtherScheme),
        ("token", CredentialError::OtherScheme),
        ("Bearerx y", CredentialError::OtherScheme),
        ("Bearer\tx", CredentialError::OtherScheme),
        ("Bearer", CredentialError::Malformed),
        ("Bearer  ", CredentialError::Malformed),
        ("Bearer a b", CredentialError::Malformed),
        ("Bearer a\tb", CredentialError::Malformed),
        ("Bearer é", CredentialError::Malformed),
    ] {
        let fields = [("Authorization", value), ("Cookie", "mercureAuthorization=c")];
        assert_eq!(find(Some("authorization=q"), &fields), Err(expected), "{value:?}");
        assert_eq!(expected.to_response().status(), StatusCode::UNAUTHORIZED);
    }
}

#[test]
fn two_authorization_headers_are_401_even_when_equal() {
    for second in ["Bearer a", "Bearer b", "Basic x"] {
        let error = find(None, &[("Authorization", "Bearer a"), ("authorization", second)]);
        assert_eq!(error, Err(CredentialError::Several));
    }
    assert_eq!(CredentialError::Several.to_response().status(), StatusCode::UNAUTHORIZED);
}

#[test]
fn the_scheme_is_read_in_any_case() {
    for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "Bearer   a.b.c "] {
        assert_eq!(find(None, &[("Authorization", value)]), token("a.b.c", TokenSource::Header), "{value:?}");
    }
}

#[test]
fn the_query_parameter_is_decoded_and_may_be_given_once() {
    assert_eq!(find(Some("authorization=a%2Eb"), &[]), token("a.b", TokenSource::Query));
    assert_eq!(find(Some("Authorization=a"), &[]), Ok(None), "names are case-sensitive");
    for query in ["authorization=a&authorization=a", "authorization=&authorization=a"] {
        assert_eq!(find(Some(query), &[]), Err(CredentialError::Several), "{query}");
    }
    for query in ["authorization=a+b", "authorization=%0d%0a", "authorization=%C3%A9"] {
        assert_eq!(find(Some(query), &[]), Err(CredentialError::MalformedValue), "{query}");
    }
    for (query, error) in [("authorization=%ff", FormError::Utf8), ("a=%", FormError::Escape)] {
        assert_eq!(find(Some(query), &[]), Err(CredentialError::Query(error)));
        assert_eq!(CredentialError::Query(error).to_response().status(), StatusCode::BAD_REQUEST);
    }
}

#[test]
fn the_query_parameter_counts_only_where_the_protocol_has_it() {
    let both = request(Method::GET, Some("authorization=q"), &[("Cookie", "mercureAuthorization=c")]);
    let found = find_with(&both, ORIGINS, false).expect("a token").expect("a token");
    assert_eq!((found.token.as_ref(), found.source), ("c", TokenSource::Cookie));
}

#[test]
fn the_cookie_is_found_by_its_exact_name_and_loses_its_quotes() {
    for (cookie, expected) in [
        ("mercureAuthorization=c", Some("c")),
        ("a=b; mercureAuthorization=c; d=e", Some("c")),
        ("a=b;mercureAuthorization=c", Some("c")),
        (" mercureAuthorization = c ", Some("c")),
        ("mercureAuthorization=\"c\"", Some("c")),
        ("mercureAuthorization=\"c", Some("\"c")),
        ("mercureAuthorization=\"", Some("\"")),
        ("mercureAuthorization=a=b", Some("a=b")),
        ("mercureAuthorization=first; mercureAuthorization=second", Some("first")),
        ("mercureAuthorization=", None),
        ("mercureAuthorization=\"\"", None),
        ("mercureAuthorization", None),
        ("mercureauthorization=c", None),
        ("xmercureAuthorization=c", None),
        ("a=mercureAuthorization=c", None),
        ("", None),
        (";;=;", None),
    ] {
        let found = find(None, &[("Cookie", cookie)]);
        assert_eq!(found, Ok(expected.map(|text| (text.to_owned(), TokenSource::Cookie))), "{cookie:?}");
    }
    for cookie in ["mercureAuthorization=a b", "mercureAuthorization=é", "mercureAuthorization=\"a b\""] {
        assert_eq!(find(None, &[("Cookie", cookie)]), Err(CredentialError::MalformedValue), "{cookie:?}");
    }
}

#[test]
fn the_cookie_is_found_in_any_crumb() {
    let crumbs = [("cookie", "a=b"), ("cookie", "mercureAuthorization=c"), ("cookie", "d=e")];
    assert_eq!(find(None, &crumbs), token("c", TokenSource::Cookie));
}

#[test]
fn a_cookie_publishes_only_from_an_origin_that_may() {
    let listed = Some("https://a.example");
    for (origin, referer, expected) in [
        (listed, None, true),
        (Some("https://b.example:8443"), None, true),
        (listed, Some("https://evil.example/"), true),
        (None, Some("https://a.example/page?x=y"), true),
        (None, Some("https://a.example:443/"), true),
        (None, Some("https://b.example:8443/"), true),
        (None, None, false),
        (Some("null"), None, false),
        (Some(""), None, false),
        (Some("https://evil.example"), Some("https://a.example/"), false),
        (Some("null"), Some("https://a.example/"), false),
        (Some("http://a.example"), None, false),
        (Some("https://a.example:8443"), None, false),
        (Some("https://b.example"), None, false),
        (Some("https://a.example.evil.example"), None, false),
        (Some("https://a.example/"), None, false),
        (Some("https://a.example https://evil.example"), None, false),
        (None, Some("http://a.example/"), false),
        (None, Some("https://a.example.evil.example/"), false),
        (None, Some("https://a.example@evil.example/"), false),
        (None, Some("https://evil.example/https://a.example/"), false),
        (None, Some("https://evil.example/?https://a.example"), false),
        (None, Some("//a.example/"), false),
        (None, Some("a.example"), false),
        (None, Some(""), false),
    ] {
        let mut fields = vec![("Cookie", "mercureAuthorization=c")];
        fields.extend(origin.map(|value| ("Origin", value)));
        fields.extend(referer.map(|value| ("Referer", value)));
        let found = find_with(&request(Method::POST, None, &fields), ORIGINS, true);
        if expected {
            assert!(matches!(found, Ok(Some(_))), "{origin:?} {referer:?}");
        } else {
            assert_eq!(found, Err(CredentialError::ForeignOrigin), "{origin:?} {referer:?}");
        }
    }
    assert_eq!(CredentialError::ForeignOrigin.to_response().status(), StatusCode::FORBIDDEN);
}

#[test]
fn without_a_list_no_cookie_publishes_and_with_a_star_all_but_null_do() {
    let from = |origin: &'static str| {
        request(Method::POST, None, &[("Cookie", "mercureAuthorization=c"), ("Origin", origin)])
    };
    assert_eq!(find_with(&from("https://a.example"), "", true), Err(CredentialError::ForeignOrigin));
    assert!(find_with(&from("https://x.example"), "*", true).is_ok());
    assert_eq!(find_with(&from("null"), "*", true), Err(CredentialError::ForeignOrigin));
    let nowhere = request(Method::POST, None, &[("Cookie", "mercureAuthorization=c")]);
    assert_eq!(find_with(&nowhere, "*", true), Err(CredentialError::ForeignOrigin));
}

#[test]
fn what_a_browser_does_not_add_by_itself_needs_no_origin() {
    let evil = ("Origin", "https://evil.example");
    for method in [Method::GET, Method::HEAD] {
        let by_cookie = request(method, None, &[("Cookie", "mercureAuthorization=c"), evil]);
        assert!(matches!(find_with(&by_cookie, ORIGINS, true), Ok(Some(_))));
    }
    let by_header = request(Method::POST, None, &[("Authorization", "Bearer h"), evil]);
    assert!(matches!(find_with(&by_header, ORIGINS, true), Ok(Some(_))));
    let by_query = request(Method::POST, Some("authorization=q"), &[evil]);
    assert!(matches!(find_with(&by_query, ORIGINS, true), Ok(Some(_))));
    let anonymous = request(Method::POST, None, &[("Cookie", "other=c"), evil]);
    assert_eq!(find_with(&anonymous, ORIGINS, true), Ok(None));
}

#[test]
fn debug_output_and_errors_show_no_token() {
    let with_token = request(Method::GET, None, &[("Authorization", "Bearer s3cret")]);
    let found = find_with(&with_token, ORIGINS, true).expect("a token").expect("a token");
    assert_eq!(format!("{found:?}"), "Credential { source: Header, .. }");
    let malformed = find(None, &[("Authorization", "Bearer s3cret s3cret")]).expect_err("malformed");
    assert!(!format!("{malformed} {malformed:?}").contains("s3cret"));
    let response = malformed.to_response();
    assert_eq!(response.body(), Some(&b"Unauthorized"[..]));
    let challenge = response.fields().find(|(name, _)| *name == &WWW_AUTHENTICATE);
    assert_eq!(
        challenge.map(|(_, value)| value.as_bytes()),
        Some(b"Bearer error=\"invalid_token\"".as_slice())
    );
}

/// Test 123 and trap 34 of MERCURE-1.0: an invalid first cookie is not replaced by the second.
#[test]
fn of_two_cookies_the_first_that_is_not_empty_counts() {
    let origins = OriginList::default();
    let cookie = |name| CookieRules { name, publish_origins: &origins };
    let rules =
        CredentialRules { cookie: cookie("new"), second_cookie: Some(cookie("old")), query_parameter: false };
    for (cookies, expected) in [
        ("old=a; new=b", Ok(Some("b"))),
        ("old=a", Ok(Some("a"))),
        ("new=; old=a", Ok(Some("a"))),
        ("new=b c; old=a", Err(CredentialError::MalformedValue)),
        ("other=a", Ok(None)),
    ] {
        let request = request(Method::GET, None, &[("Cookie", cookies)]);
        let found = Credential::find(&request, &rules).map(|found| found.map(|it| it.token.into_owned()));
        assert_eq!(found, expected.map(|token| token.map(str::to_owned)), "{cookies}");
    }
}

/// Test 89 and trap 18 of MERCURE-1.0, and section 5.4 for another scheme.
#[test]
fn draft_08_tells_a_malformed_presentation_from_an_invalid_token() {
    for (error, challenge) in [
        (CredentialError::Several, Some(Challenge::InvalidRequest)),
        (CredentialError::Malformed, Some(Challenge::InvalidRequest)),
        (CredentialError::OtherScheme, Some(Challenge::Missing)),
        (CredentialError::MalformedValue, Some(Challenge::InvalidToken)),
        (CredentialError::ForeignOrigin, None),
    ] {
        assert_eq!(error.challenge(), challenge, "{error}");
    }
}
