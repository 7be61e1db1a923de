//! Publication bodies, as PROTOCOL section 3 lists them.

use super::*;

fn parse(body: &str) -> Result<Update<'_>, UpdateError> {
    Update::parse(body.as_bytes(), Authorization::Selectors, [7; 16])
}

#[test]
fn every_field_arrives() {
    let update = parse("topic=a&topic=b&data=x%0Ay&private&id=i&type=t&retry=07&unknown=1").expect("valid");
    assert_eq!(update.topics().iter().map(Topic::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(
        (update.data(), update.id().as_str(), update.event_type(), update.retry_ms()),
        ("x\ny", "i", Some("t"), Some(7))
    );
    assert_eq!(update.audience(), &Audience::Private);
}

#[test]
fn empty_optional_fields_count_as_absent() {
    let update = parse("topic=a&id=&type=&retry=&data=").expect("valid");
    assert!(update.id().as_str().starts_with("urn:uuid:"));
    assert_eq!((update.event_type(), update.retry_ms(), update.data()), (None, None, ""));
}

#[test]
fn data_is_optional_with_selectors_and_required_with_targets() {
    assert!(parse("topic=a").is_ok());
    let targets = |body: &'static str| Update::parse(body.as_bytes(), Authorization::Targets, [0; 16]);
    assert_eq!(targets("topic=a"), Err(UpdateError::MissingData));
    assert_eq!(targets("topic=a&data=").map(|u| u.audience), Ok(Audience::Public));
    let update = targets("topic=a&data=&target=x&target=y").expect("valid");
    assert_eq!(update.audience, Audience::Targets(["x".into(), "y".into()].into()));
}

#[test]
fn what_would_widen_the_audience_is_refused() {
    assert_eq!(parse("topic=a&target=x"), Err(UpdateError::TargetNotSupported));
    let body = b"topic=a&data=&private=0";
    assert_eq!(Update::parse(body, Authorization::Targets, [0; 16]), Err(UpdateError::PrivateNotSupported));
    let body = b"topic=a&data=&target=";
    assert_eq!(Update::parse(body, Authorization::Targets, [0; 16]), Err(UpdateError::EmptyTarget));
    for (name, meant) in [("target[]", "target"), ("target%5B0%5D", "target"), ("private[]", "private")] {
        let body = format!("topic=a&data=&{name}=x");
        for authorization in [Authorization::Targets, Authorization::Selectors] {
            let result = Update::parse(body.as_bytes(), authorization, [0; 16]);
            assert_eq!(result, Err(UpdateError::Brackets(meant)), "{name}");
        }
    }
    assert!(parse("topic=a&targets[]=x&[target]=x").is_ok(), "other names are ignored");
}

#[test]
fn a_field_cannot_break_its_line() {
    assert_eq!(parse("topic=a&id=x%0Adata:%20y"), Err(UpdateError::Id(EventIdError::ControlCharacter)));
    assert_eq!(parse("topic=a&type=x%0D"), Err(UpdateError::Type));
    assert_eq!(parse("topic=a&type=x%00"), Err(UpdateError::Type));
    for retry in ["-1", "%2B1", "1.5", "x", "99999999999999999999999", "1%0A"] {
        assert_eq!(parse(&format!("topic=a&retry={retry}")), Err(UpdateError::Retry), "{retry}");
    }
}

#[test]
fn reserved_ids_and_topics_are_refused() {
    for id in ["+x", "x+", "%20x%20", "+%20"] {
        let error = parse(&format!("topic=a&id={id}")).expect_err(id);
        assert_eq!(error, UpdateError::Id(EventIdError::SurroundingSpace), "{id:?}");
        assert!(error.to_string().starts_with("Invalid \"id\" parameter: "), "{error}");
    }
    assert_eq!(parse("topic=a&id=%23x"), Err(UpdateError::Id(EventIdError::Reserved)));
    assert_eq!(parse("topic=a&id=earliest"), Err(UpdateError::Id(EventIdError::Reserved)));
    assert_eq!(parse("topic=/.well-known/mercure/subscriptions/x"), Err(UpdateError::ReservedTopic));
    assert!(matches!(parse("topic=*"), Err(UpdateError::Topic(_))));
    assert!(matches!(parse("topic="), Err(UpdateError::Topic(_))));
    assert_eq!(parse("data=x"), Err(UpdateError::MissingTopic));
}

#[test]
fn single_fields_do_not_repeat() {
    for name in ["data", "id", "type", "retry", "private"] {
        assert_eq!(parse(&format!("topic=a&{name}=1&{name}=1")), Err(UpdateError::Repeated(name)));
    }
}

#[test]
fn the_number_of_topics_is_bounded() {
    assert!(parse(&"topic=a&".repeat(TOPICS_MAX)).is_ok());
    assert_eq!(parse(&"topic=a&".repeat(TOPICS_MAX + 1)), Err(UpdateError::TooManyTopics));
}

fn on_draft08(body: &str, authorization: Authorization) -> Result<Update<'_>, UpdateError> {
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
    let rules = UpdateRules { authorization, draft08: Some(&hub) };
    Update::parse(body.as_bytes(), rules, [7; 16])
}

fn draft08(body: &str) -> Result<Update<'_>, UpdateError> {
    on_draft08(body, Authorization::Selectors)
}

/// Test 49 of MERCURE-1.0, section 13, and trap 13.
#[test]
fn draft_08_refuses_format_characters_in_names() {
    for (field, error) in [
        ("id", UpdateError::Id(EventIdError::FormatCharacter)),
        ("type", UpdateError::TypeFormat),
        ("topic", UpdateError::Topic(TopicError::FormatCharacter)),
    ] {
        let body = format!("topic=a&{field}=x%E2%80%8D");
        assert_eq!(draft08(&body), Err(error), "{field}");
        assert!(parse(&body).is_ok(), "as before without draft 08: {field}");
    }
    assert!(draft08("topic=a&data=%E2%80%8D").is_ok(), "the data may hold anything");
}

/// Test 50 of MERCURE-1.0, section 13, and trap 14.
#[test]
fn draft_08_reserves_the_type_of_the_hubs_own_events() {
    for authorization in [Authorization::Selectors, Authorization::Targets] {
        let body = "topic=a&data=&type=mercure";
        assert_eq!(on_draft08(body, authorization), Err(UpdateError::ReservedType), "{authorization:?}");
        assert!(Update::parse(body.as_bytes(), authorization, [0; 16]).is_ok());
    }
    assert!(draft08("topic=a&type=Mercure").is_ok());
}

/// Tests 48, 51 and 52 of MERCURE-1.0, section 13.
#[test]
fn draft_08_refuses_what_is_reserved_or_malformed() {
    for id in ["%23a", "earliest"] {
        assert_eq!(draft08(&format!("topic=a&id={id}")), Err(UpdateError::Id(EventIdError::Reserved)));
    }
    for retry in ["-1", "1.5", "+1", "%EF%BC%91"] {
        assert_eq!(draft08(&format!("topic=a&retry={retry}")), Err(UpdateError::Retry), "{retry}");
    }
    assert_eq!(draft08("topic=a&retry=").map(|update| update.retry_ms()), Ok(None));
    assert_eq!(draft08("topic=a&topic=*"), Err(UpdateError::Topic(TopicError::Any)));
}

/// Test 53 of MERCURE-1.0, section 13: relative topics are resolved against the hub's URL.
#[test]
fn draft_08_reserves_the_namespace_for_canonical_and_alternate_topics() {
    for topic in ["/.well-known/mercure", "mercure/x", "?x", "https://other.example/.well-known/mercure/x"] {
        let encoded: String = url::form_urlencoded::byte_serialize(topic.as_bytes()).collect();
        for body in [format!("topic={encoded}"), format!("topic=a&topic={encoded}")] {
            assert_eq!(draft08(&body), Err(UpdateError::ReservedTopic), "{body}");
        }
    }
    assert!(draft08("topic=/hub&topic=https://x/hub&topic=.well-known/mercure").is_ok());
}

/// Tests 55 to 57 and 128 of MERCURE-1.0, section 13.
#[test]
fn the_audience_follows_from_the_token_on_a_hub_with_draft_08() {
    for private in ["private", "private=", "private=false", "private=0"] {
        let update = draft08(&format!("topic=a&foo=bar&{private}")).map(|update| update.audience);
        assert_eq!(update, Ok(Audience::Private), "{private}");
    }
    assert_eq!(draft08("topic=a&target=x"), Err(UpdateError::TargetNotSupported));
    let legacy = |body| on_draft08(body, Authorization::Targets);
    assert!(legacy("topic=a&data=&target=x").is_ok());
    assert_eq!(legacy("topic=a&data=&private"), Err(UpdateError::PrivateNotSupported));
}

/// Test 58 of MERCURE-1.0, section 13: these are 413.
#[test]
fn what_is_too_large_is_told_from_what_is_malformed() {
    for (body, is_too_large) in [
        ("topic=a&".repeat(TOPICS_MAX + 1), true),
        (format!("topic={}", "a".repeat(TOPIC_BYTES_MAX + 1)), true),
        (format!("topic=a&id={}", "a".repeat(EVENT_ID_BYTES_MAX + 1)), true),
        (format!("topic=a&type={}", "a".repeat(EVENT_ID_BYTES_MAX + 1)), true),
        ("x&".repeat(crate::limits::FORM_FIELDS_MAX + 1), true),
        ("topic=*".to_owned(), false),
        ("topic=a&retry=x".to_owned(), false),
        ("topic=%".to_owned(), false),
    ] {
        let error = draft08(&body).expect_err("refused");
        assert_eq!(error.is_too_large(), is_too_large, "{error}");
    }
}
