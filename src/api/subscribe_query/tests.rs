//! The parameters of subscriptions, by dialect.

use super::*;
use crate::mercure::audience::Authorization;

const BOUNDS: SelectorBounds = SelectorBounds { count_max: 3, bytes_max: 2 * SELECTOR_BYTES_MAX };
const ONLY_08: Dialects = Dialects::with_draft08(None);
const MIXED: Dialects = Dialects::with_draft08(Some(Authorization::Selectors));
const ONLY_07: Dialects = Dialects::legacy(Authorization::Selectors);

fn parse_as<'a>(
    dialects: Dialects,
    query: &'a str,
    body: Option<&'a str>,
    header: Option<&'a str>,
) -> Result<SubscribeQuery<'a>, SubscribeQueryError> {
    let body = body.map(str::as_bytes);
    SubscribeQuery::parse(
        &SubscribeParts { query: Some(query), body, last_event_id: header },
        BOUNDS,
        dialects,
    )
}

fn parse<'a>(
    query: Option<&'a str>,
    header: Option<&'a str>,
) -> Result<SubscribeQuery<'a>, SubscribeQueryError> {
    let parts = SubscribeParts { query, body: None, last_event_id: header };
    SubscribeQuery::parse(&parts, BOUNDS, ONLY_07)
}

#[test]
fn topics_keep_their_order_and_unknown_parameters_are_ignored() {
    let query =
        parse(Some("topic=https://e.x/%7Bid%7D&x=y&topic=a+b&topic=*&Topic=no"), None).expect("a query");
    assert_eq!(query.texts, ["https://e.x/{id}", "a b", "*"]);
    assert_eq!((query.dialect, query.matcher_types, query.last_event_id), (Dialect::Draft07, vec![], None));
}

#[test]
fn a_subscription_without_a_topic_is_told_so() {
    for query in [None, Some(""), Some("topics=a"), Some("lastEventID=a"), Some("Match=a")] {
        let error = parse(query, None).expect_err("no topic");
        assert_eq!(error.to_string(), "Missing \"topic\" parameter.");
    }
}

/// Test 34 of MERCURE-1.0, section 13.
#[test]
fn bounds_are_named() {
    for (dialects, name) in [(ONLY_07, "topic"), (ONLY_08, "match")] {
        let one = format!("{name}=a&");
        let parsed = |query: &str| parse_as(dialects, query, None, None).map(|_| ());
        assert_eq!(parsed(&one.repeat(4)), Err(SubscribeQueryError::TooMany(name, 3)));
        let long = format!("{name}={}", "a".repeat(SELECTOR_BYTES_MAX + 1));
        assert_eq!(parsed(&long), Err(SubscribeQueryError::TooLong(name)));
        let longest = &long[..long.len() - 1];
        assert_eq!(parsed(&format!("{longest}&{longest}")), Ok(()));
        assert_eq!(
            parsed(&format!("{longest}&{longest}&{one}")),
            Err(SubscribeQueryError::TooLongTogether(name, 2 * SELECTOR_BYTES_MAX))
        );
        assert_eq!(parsed(&format!("{name}=%ff")), Err(SubscribeQueryError::Form(FormError::Utf8)));
        assert_eq!(parsed(&format!("{one}x=%")), Err(SubscribeQueryError::Form(FormError::Escape)));
    }
}

#[test]
fn the_first_last_event_id_that_is_not_empty_wins() {
    let both = "topic=a&Last-Event-ID=old&lastEventID=new";
    for (query, header, expected) in [
        (both, Some("header"), Some("header")),
        (both, Some(""), Some("new")),
        (both, None, Some("new")),
        ("topic=a&Last-Event-ID=old&lastEventID=", None, Some("old")),
        ("topic=a&Last-Event-ID=old", None, Some("old")),
        ("topic=a&lastEventID=&lastEventID=b&lastEventID=c", None, Some("b")),
        ("topic=a&lasteventid=x", None, None),
        ("topic=a", Some(""), None),
        ("topic=a&lastEventID=a%20b", None, Some("a b")),
        ("topic=a&lastEventId=a", None, Some("a")),
        ("topic=a&last_event_id=a&Last-Event-ID=old", None, Some("old")),
    ] {
        let parsed = parse(Some(query), header).expect("a query");
        assert_eq!(parsed.last_event_id.as_deref(), expected, "{query} {header:?}");
    }
}

/// Tests 39, 98, 99 and 100 of MERCURE-1.0, section 13, and trap 25.
#[test]
fn the_cursor_of_draft_08_comes_from_the_header_then_the_query_then_the_body() {
    for (query, body, header, expected) in [
        ("match=a&last_event_id=x", Some("last_event_id=y"), Some("z"), Some("z")),
        ("match=a&last_event_id=x", Some("last_event_id=y"), None, Some("x")),
        ("match=a", Some("last_event_id=y"), None, Some("y")),
        ("match=a&lastEventID=old&last_event_id=x", None, None, Some("x")),
        ("match=a&lastEventID=old", None, None, Some("old")),
        ("match=a&last_event_id=", None, None, Some("")),
        ("match=a&lastEventID=", None, None, None),
        ("match=a&lastEventID=&Last-Event-ID=&lastEventId=", None, None, None),
        ("match=a", Some("lastEventID="), None, None),
        ("match=a&lastEventID=&last_event_id=", None, None, Some("")),
        ("match=a&lastEventID=", None, Some(""), Some("")),
        ("match=a&last_event_id", None, None, Some("")),
        ("match=a", None, Some(""), Some("")),
        ("match=a&last_event_id=x", None, Some(""), Some("x")),
        ("match=a", None, None, None),
    ] {
        let parsed = parse_as(ONLY_08, query, body, header).expect("a query");
        assert_eq!(parsed.last_event_id.as_deref(), expected, "{query} {body:?} {header:?}");
    }
}

#[test]
fn a_last_event_id_that_no_event_can_have_is_not_an_error() {
    let long = "x".repeat(crate::limits::EVENT_ID_BYTES_MAX + 1);
    let query = format!("topic=a&lastEventID={long}");
    assert_eq!(parse(Some(&query), None).expect("a query").last_event_id.as_deref(), Some(&*long));
}

/// Tests 24 to 29, 121 and 126 of MERCURE-1.0, section 13, and the table of its section 12.3.
#[test]
fn the_names_of_the_parameters_decide_about_the_dialect() {
    use SubscribeQueryError::{Missing, Mixed, NoDraft08, NoTopic, ReservedName};
    for (query, on_07, on_08, on_both) in [
        ("topic=a", Ok(Dialect::Draft07), Err(NoTopic), Ok(Dialect::Draft07)),
        ("match=a", Err(NoDraft08), Ok(Dialect::Draft08), Ok(Dialect::Draft08)),
        ("match_exact=a", Err(NoDraft08), Ok(Dialect::Draft08), Ok(Dialect::Draft08)),
        ("match_urlpattern=a", Err(NoDraft08), Ok(Dialect::Draft08), Ok(Dialect::Draft08)),
        ("match", Err(NoDraft08), Ok(Dialect::Draft08), Ok(Dialect::Draft08)),
        ("topic=a&match=b", Err(NoDraft08), Err(NoTopic), Err(Mixed)),
        ("", Err(Missing("topic")), Err(Missing("match")), Err(Missing("match"))),
        ("x=y", Err(Missing("topic")), Err(Missing("match")), Err(Missing("match"))),
        ("topic=a&matching=b", Ok(Dialect::Draft07), Err(ReservedName), Err(ReservedName)),
    ] {
        for (dialects, expected) in [(ONLY_07, on_07), (ONLY_08, on_08), (MIXED, on_both)] {
            let parsed = parse_as(dialects, query, None, None).map(|it| it.dialect);
            assert_eq!(parsed, expected, "{query} {dialects:?}");
        }
    }
    for name in
        ["match_regexp", "Match", "match_URLPattern", "MATCH", "matching", "match[]", "match_", "m%61tchX"]
    {
        for query in [format!("{name}=a"), format!("match=a&{name}=a")] {
            assert_eq!(parse_as(ONLY_08, &query, None, None), Err(ReservedName), "{query}");
        }
    }
    assert!(parse_as(ONLY_08, "match=a&mat=b&xmatch=c&é=d&matc%C3%A9=d", None, None).is_ok());
}

/// Tests 35, 38 and 41 of MERCURE-1.0, section 13.
#[test]
fn a_query_method_subscribes_to_the_union_of_query_and_body() {
    let parsed = parse_as(MIXED, "match=a;b", Some("match_urlpattern=a+b"), None).expect("a query");
    assert_eq!(parsed.texts, ["a;b", "a b"]);
    assert_eq!(parsed.matcher_types, [MatcherType::Exact, MatcherType::UrlPattern]);
    for (query, body) in [("", "topic=a"), ("topic=a", ""), ("match=a", "topic=a")] {
        let parsed = parse_as(MIXED, query, Some(body), None);
        assert_eq!(parsed, Err(SubscribeQueryError::NoTopic), "{query} {body}");
    }
    assert_eq!(parse_as(ONLY_08, "", Some("Match=a"), None), Err(SubscribeQueryError::ReservedName));
    assert_eq!(
        parse_as(ONLY_08, "match=a&match=a", Some("match=a&match=a"), None),
        Err(SubscribeQueryError::TooMany("match", 3))
    );
}

#[test]
fn a_query_has_a_topic_under_that_name_alone() {
    for (query, expected) in
        [("topic=a", true), ("x&%74opic", true), ("match=topic", false), ("Topic=a", false)]
    {
        assert_eq!(has_topic(query), expected, "{query}");
    }
}

/// To read a pattern costs much more than to read a topic.
#[test]
fn the_patterns_of_one_request_are_bounded_in_number_and_bytes() {
    let parse_patterns = |count: usize, length: usize| {
        let query = vec![format!("match_urlpattern={}", "a".repeat(length)); count].join("&");
        let parts = SubscribeParts { query: Some(&query), ..SubscribeParts::default() };
        let bounds = SelectorBounds { count_max: 1_000, bytes_max: usize::MAX };
        SubscribeQuery::parse(&parts, bounds, Dialects::with_draft08(None)).map(|query| query.texts.len())
    };
    let most = PATTERNS_OF_REQUEST_MAX;
    assert_eq!(parse_patterns(most, 1), Ok(most));
    assert_eq!(parse_patterns(most + 1, 1), Err(SubscribeQueryError::TooManyPatterns));
    let (long, count) = (SELECTOR_BYTES_MAX, PATTERN_BYTES_OF_REQUEST_MAX / SELECTOR_BYTES_MAX);
    assert_eq!(parse_patterns(count, long), Ok(count));
    assert_eq!(parse_patterns(count + 1, long), Err(SubscribeQueryError::TooManyPatterns));
}
