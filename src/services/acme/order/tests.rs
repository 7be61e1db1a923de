//! How an authority's errors are read; whole orders are tested in `tests/it/acme.rs`.

use super::*;

fn problem(text: &str) -> TryError {
    TryError::Authority(Error::Api(serde_json::from_str(text).expect("a problem document")))
}

#[test]
fn an_authority_that_was_asked_too_often_is_given_time() {
    let limited =
        problem(r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates"}"#);
    assert_eq!(limited.failure(), Failure::Limited);
    assert_eq!(limited.to_string(), "it says: too many certificates");
    let other = problem(r#"{"type": "urn:ietf:params:acme:error:serverInternal", "status": 500}"#);
    assert_eq!(other.failure(), Failure::Unreached);
    assert_eq!(other.to_string(), "it says: urn:ietf:params:acme:error:serverInternal");
    let refusal =
        |host: &str| RefusedHost { host: host.to_owned(), challenge: "http-01", text: "no".to_owned() };
    let refused = TryError::Refused(vec![refusal("a.example"), refusal("b.example")]);
    assert_eq!(refused.failure(), Failure::Refused);
    assert_eq!(
        refused.to_string(),
        "it refused a.example by http-01: no; it refused b.example by http-01: no"
    );
    // A certificate was issued, which counts against the rate limit.
    assert_eq!(TryError::WrongName("a.example".to_owned()).failure(), Failure::Limited);
}

/// A log line stays one line, whatever an authority says.
#[test]
fn what_an_authority_says_is_one_line_of_a_bounded_length() {
    let long = problem(&format!(r#"{{"detail": "a\nb\u001b[31m{}"}}"#, "\u{e9}".repeat(10_000))).to_string();
    assert!(long.starts_with("it says: a b [31m\u{e9}"), "{long}");
    assert_eq!(long.chars().count(), "it says: ".len() + ACME_TEXT_CHARS_MAX);
    let parts = r#"{"detail": "several", "subproblems": [{"type": "urn:ietf:params:acme:error:caa",
        "detail": "forbidden", "identifier": {"type": "dns", "value": "a.example"}}]}"#;
    let parts = problem(parts).to_string();
    assert!(
        parts.contains("several; ") && parts.contains("forbidden") && parts.contains("a.example"),
        "{parts}"
    );
}

#[test]
fn an_error_is_told_with_its_causes() {
    let cause = std::io::Error::other("refused");
    let unreachable = TryError::Authority(Error::Other(Box::new(cause)));
    assert_eq!(unreachable.to_string(), "refused");
    let outer = Error::Json(serde_json::from_str::<u8>("x").expect_err("no number"));
    let text = TryError::Authority(outer).to_string();
    assert!(text.starts_with("failed to (de)serialize JSON: expected value"), "{text}");
    assert_eq!(text.matches("expected value").count(), 1, "{text}");
}
