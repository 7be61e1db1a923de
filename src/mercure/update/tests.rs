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
