//! Goal: an access token of draft 08 is accepted when every check of MERCURE-1.0, sections 5.2 and
//! 5.3 holds, and otherwise refused as a whole.
//!
//! Method: as in the parent. Two issuers have a key each; the token under test is that of the
//! first, with one thing changed.

use super::*;
use crate::limits::{DETAIL_TOPICS_MAX, DETAILS_MAX, DETAILS_PATTERNS_MAX};
use crate::mercure::audience::{Audience, Authorization};
use crate::mercure::grant::Grant;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::SelectorError;

const ISSUER: &str = "https://e.x";
const HUB: &str = "https://hub.e.x/.well-known/mercure";
const OTHER_SECRET: &str = "the secret of another issuer, also long enough";

fn rules() -> TokenRules {
    rules_of(ISSUER)
}

fn rules_of(issuer: &str) -> TokenRules {
    TokenRules::Access(AccessRules {
        issuer: issuer.into(),
        audiences: [HUB, "http://hub.internal/"].map(Box::from).into(),
        public_url: PublicUrl::parse(HUB).expect("a URL"),
    })
}

/// The claims of a valid token with these details.
fn claims(details: Value) -> Value {
    let mut claims = json!({"iss": ISSUER, "aud": HUB, "exp": NOW + 60});
    claims["authorization_details"] = details;
    claims
}

/// The same claims, one of them changed, or taken away.
fn with(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims(json!([]));
    let members = claims.as_object_mut().expect("an object");
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    claims
}

/// One Mercure entry.
fn detail(actions: Value, topics: Value) -> Value {
    let mut detail = json!({"type": "https://mercure.rocks/authorization-detail"});
    (detail["actions"], detail["topics"]) = (actions, topics);
    detail
}

fn accepted(claims: &Value) -> Result<AccessClaims, TokenError> {
    let token = sign_access(claims, SECRET.as_bytes(), Algorithm::HS256).expect("a token");
    let claims = hs256().verify(&token, NOW_MS, &rules())?;
    Ok(claims.access().expect("an access token").clone())
}

/// The fault of the first entry of the details.
fn fault(details: Value) -> Option<DetailFault> {
    match accepted(&claims(details)) {
        Ok(_) => None,
        Err(TokenError::Details(DetailError::Entry(_, fault))) => Some(fault),
        Err(error) => panic!("{error}"),
    }
}

fn grant(details: Value) -> Grant {
    let claims = Claims::Access(accepted(&claims(details)).expect("a valid token"));
    Grant::from_claims(&claims, Authorization::Selectors).expect("a grant")
}

/// Test 61 of MERCURE-1.0, section 13.
#[test]
fn a_token_without_the_claims_that_the_hub_does_not_check_is_accepted() {
    let details = json!([detail(json!(["publish", "subscribe"]), json!([{"match": "*"}]))]);
    let claims = accepted(&claims(details)).expect("a valid token");
    assert_eq!(claims.exp_ms, NOW_MS + 60_000);
    assert_eq!(claims.details[0].topics[..], [crate::mercure::selector::Selector::Any]);
}

/// Test 62 of MERCURE-1.0, section 13.
#[test]
fn the_signed_typ_says_which_form_a_token_has() {
    let claims = claims(json!([])).to_string();
    for (typ, form) in [
        ("", TokenForm::Legacy),
        (r#","typ":null"#, TokenForm::Legacy),
        (r#","typ":"JWT""#, TokenForm::Legacy),
        (r#","typ":"at+jwt;x""#, TokenForm::Legacy),
        (r#","typ":" at+jwt""#, TokenForm::Legacy),
        (r#","typ":"application/application/at+jwt""#, TokenForm::Legacy),
        (r#","typ":"applicatio\u00e9/at+jwt""#, TokenForm::Legacy),
        (r#","typ":"at+jwt""#, TokenForm::Access),
        (r#","typ":"AT+JWT""#, TokenForm::Access),
        (r#","typ":"application/at+jwt""#, TokenForm::Access),
        (r#","typ":"Application/At+Jwt""#, TokenForm::Access),
    ] {
        let token = signed_raw(&format!(r#"{{"alg":"HS256"{typ}}}"#), &claims);
        assert_eq!(TokenForm::of(&token), Ok(form), "{typ}");
        let as_access = hs256().verify(&token, NOW_MS, &rules());
        let as_legacy = hs256().verify(&token, NOW_MS, &TokenRules::Legacy);
        match form {
            TokenForm::Access => {
                assert!(as_access.is_ok(), "{typ}");
                assert_eq!(as_legacy, Err(TokenError::IsAccessToken), "{typ}");
            }
            TokenForm::Legacy => {
                assert_eq!(as_access, Err(TokenError::NotAccessToken), "{typ}");
                assert!(as_legacy.is_ok(), "{typ}");
            }
        }
    }
    for text in ["", "a.b.c", "e30.e30.e30"] {
        assert!(TokenForm::of(text).is_err() && claimed_issuer(text).is_err(), "{text}");
    }
}

/// Tests 63 and 64 of MERCURE-1.0, section 13.
#[test]
fn exp_is_required_and_dates_may_have_fractions() {
    for (claims, expected) in [
        (with("exp", None), Err(TokenError::Missing("exp"))),
        (with("exp", Some(json!(NOW))), Err(TokenError::Expired)),
        (with("exp", Some(json!(NOW as f64 + 0.5))), Ok(NOW_MS + 500)),
        (with("exp", Some(json!("1"))), Err(TokenError::NotADate("exp"))),
        (with("exp", Some(Value::Null)), Err(TokenError::NotADate("exp"))),
        (with("nbf", Some(json!(NOW + 1))), Err(TokenError::NotYetValid)),
        (with("nbf", Some(json!(NOW as f64 - 0.5))), Ok(NOW_MS + 60_000)),
        (with("nbf", Some(json!("0"))), Err(TokenError::NotADate("nbf"))),
    ] {
        assert_eq!(accepted(&claims).map(|claims| claims.exp_ms), expected, "{claims}");
    }
    assert!(TokenError::Missing("exp").to_string().starts_with("no exp"), "trap 31: the log says so");
}

/// Test 65 of MERCURE-1.0, section 13.
#[test]
fn aud_contains_the_hubs_identifier_byte_by_byte() {
    for (audience, expected) in [
        (None, Err(TokenError::Missing("aud"))),
        (Some(json!(HUB)), Ok(())),
        (Some(json!([HUB])), Ok(())),
        (Some(json!(["https://other.example", HUB])), Ok(())),
        (Some(json!("http://hub.internal/")), Ok(())),
        (Some(json!("https://hub.e.x/.well-known/mercure/")), Err(TokenError::WrongAudience)),
        (Some(json!("https://HUB.e.x/.well-known/mercure")), Err(TokenError::WrongAudience)),
        (Some(json!("https://hub.e.x:443/.well-known/mercure")), Err(TokenError::WrongAudience)),
        (Some(json!("https://hub.e.x")), Err(TokenError::WrongAudience)),
        (Some(json!("")), Err(TokenError::WrongAudience)),
        (Some(json!([])), Err(TokenError::WrongAudience)),
        (Some(json!([HUB, 1])), Err(TokenError::WrongAudience)),
        (Some(json!({ HUB: 1 })), Err(TokenError::WrongAudience)),
        (Some(Value::Null), Err(TokenError::WrongAudience)),
    ] {
        let claims = with("aud", audience);
        assert_eq!(accepted(&claims).map(|_| ()), expected, "{claims}");
    }
}

/// Test 66 of MERCURE-1.0, section 13.
#[test]
fn iss_is_the_issuer_whose_key_signed_byte_by_byte() {
    for (issuer, expected) in [
        (None, TokenError::Missing("iss")),
        (Some(json!("https://other.example")), TokenError::WrongIssuer),
        (Some(json!("https://e.x/")), TokenError::WrongIssuer),
        (Some(json!("https://e.")), TokenError::WrongIssuer),
        (Some(json!("HTTPS://e.x")), TokenError::WrongIssuer),
        (Some(json!([ISSUER])), TokenError::WrongIssuer),
        (Some(Value::Null), TokenError::WrongIssuer),
    ] {
        let claims = with("iss", issuer);
        assert_eq!(accepted(&claims).err(), Some(expected), "{claims}");
    }
    // The right name with the other issuer's key, and the other way round.
    let other = sign_access(&claims(json!([])), OTHER_SECRET.as_bytes(), Algorithm::HS256).expect("signed");
    assert_eq!(hs256().verify(&other, NOW_MS, &rules()), Err(TokenError::BadSignature));
    let own = sign_access(&claims(json!([])), SECRET.as_bytes(), Algorithm::HS256).expect("signed");
    let refused = hs256().verify(&own, NOW_MS, &rules_of("https://other.example"));
    assert_eq!(refused, Err(TokenError::WrongIssuer));
    assert_eq!(claimed_issuer(&own).as_deref(), Ok(ISSUER));
    let unnamed = sign_access(&json!({"iss": 1}), SECRET.as_bytes(), Algorithm::HS256).expect("signed");
    assert_eq!(claimed_issuer(&unnamed), Err(TokenError::WrongIssuer));
}

/// Test 67 of MERCURE-1.0, section 13.
#[test]
fn the_algorithm_is_the_keys() {
    let valid = claims(json!([]));
    for header in [r#"{"alg":"none","typ":"at+jwt"}"#, r#"{"alg":"NONE","typ":"at+jwt"}"#] {
        let token = signed_raw(header, &valid.to_string());
        assert_eq!(hs256().verify(&token, NOW_MS, &rules()), Err(TokenError::Header), "{header}");
    }
    let forged = sign_access(&valid, RSA.1.as_bytes(), Algorithm::HS256).expect("signed");
    let key = VerificationKey::from_pem(Algorithm::RS256, RSA.1).expect("a key");
    assert_eq!(key.verify(&forged, NOW_MS, &rules()), Err(TokenError::WrongAlgorithm));
    for (algorithm, (private, public)) in ALGORITHMS {
        let token = sign_access(&valid, private.as_bytes(), algorithm).expect("signed");
        let key = VerificationKey::new(algorithm, public.as_bytes()).expect("a key");
        assert!(key.verify(&token, NOW_MS, &rules()).is_ok(), "{algorithm:?}");
        if algorithm != Algorithm::HS256 {
            assert_eq!(hs256().verify(&token, NOW_MS, &rules()), Err(TokenError::WrongAlgorithm));
        }
    }
}

/// Test 68 of MERCURE-1.0, section 13.
#[test]
fn a_header_that_brings_its_own_key_is_refused() {
    for (member, name) in [
        (r#""jwk":{"kty":"oct","k":"YQ"}"#, "jwk"),
        (r#""jku":"https://evil.example/keys""#, "jku"),
        (r#""x5u":"https://evil.example/cert""#, "x5u"),
        (r#""crit":["b64"]"#, "crit"),
    ] {
        let header = format!(r#"{{"alg":"HS256","typ":"at+jwt",{member}}}"#);
        let token = signed_raw(&header, &claims(json!([])).to_string());
        assert_eq!(hs256().verify(&token, NOW_MS, &rules()), Err(TokenError::ForbiddenHeader(name)));
    }
}

/// Test 69 of MERCURE-1.0, section 13.
#[test]
fn a_token_that_is_bound_to_its_sender_is_refused() {
    for confirmation in [json!({"jkt": "x"}), json!({"x5t#S256": "x"}), json!({}), Value::Null] {
        let claims = with("cnf", Some(confirmation));
        assert_eq!(accepted(&claims), Err(TokenError::SenderConstrained), "{claims}");
    }
}

/// Test 70 of MERCURE-1.0, section 13: what such a token grants.
#[test]
fn without_details_a_token_is_valid_and_grants_nothing() {
    for claims in [with("authorization_details", None), claims(json!([]))] {
        let claims = Claims::Access(accepted(&claims).expect("a valid token"));
        let grant = Grant::from_claims(&claims, Authorization::Selectors).expect("a grant");
        assert!(!grant.may_publish_anything());
        assert!(!grant.may_receive(["a"].into_iter(), &Audience::Private));
        assert!(grant.may_receive(["a"].into_iter(), &Audience::Public));
    }
}

/// Test 71 of MERCURE-1.0, section 13.
#[test]
fn details_that_are_no_list_of_typed_objects_are_refused() {
    for details in [json!({}), json!("x"), json!(1), Value::Null] {
        let refused = accepted(&claims(details.clone())).err();
        assert_eq!(refused, Some(TokenError::Details(DetailError::NotAList)), "{details}");
    }
    for entry in [json!("x"), json!([]), Value::Null, json!({}), json!({"type": 1})] {
        assert_eq!(fault(json!([entry])), Some(DetailFault::NotTyped), "{entry}");
    }
}

/// Test 72 of MERCURE-1.0, section 13.
#[test]
fn entries_of_other_types_are_ignored_whatever_is_in_them() {
    for name in ["mercure", "https://mercure.rocks/authorization-detail/", "HTTPS://mercure.rocks/x", ""] {
        let entry = json!({"type": name, "actions": 1, "topics": [{"match": "*", "match_type": "x"}]});
        let claims = accepted(&claims(json!([entry]))).expect("a valid token");
        assert!(claims.details.is_empty(), "{name}");
    }
}

/// Test 73 of MERCURE-1.0, section 13.
#[test]
fn unknown_actions_grant_nothing_and_other_values_are_refused() {
    let all = || json!([{"match": "*"}]);
    for actions in
        [json!([]), json!(["subscribe", 1]), json!([null]), json!("publish"), json!({}), json!(null)]
    {
        assert_eq!(fault(json!([detail(actions.clone(), all())])), Some(DetailFault::Actions), "{actions}");
    }
    for action in ["delete", "Publish", "SUBSCRIBE", ""] {
        let grant = grant(json!([detail(json!([action]), all())]));
        assert!(!grant.may_publish_anything(), "{action}");
        assert!(!grant.may_receive(["a"].into_iter(), &Audience::Private), "{action}");
    }
    let known = grant(json!([detail(json!(["delete", "publish"]), all())]));
    assert!(known.may_publish_anything() && !known.may_receive(["a"].into_iter(), &Audience::Private));
    let missing = json!({"type": "https://mercure.rocks/authorization-detail", "topics": [{"match": "*"}]});
    assert_eq!(fault(json!([missing])), Some(DetailFault::Actions));
}

/// Test 74 of MERCURE-1.0, section 13.
#[test]
fn topics_are_a_list_of_objects_with_a_matcher() {
    for (topics, expected) in [
        (json!([]), DetailFault::Topics),
        (json!(["a"]), DetailFault::Topics),
        (json!({"match": "a"}), DetailFault::Topics),
        (json!([{}]), DetailFault::Match),
        (json!([{"match": 1}]), DetailFault::Match),
        (json!([{"match": ""}]), DetailFault::Matcher(SelectorError::Empty)),
        (json!([{"match": "a\u{200b}"}]), DetailFault::Matcher(SelectorError::Character)),
        (json!([{"match": "a\n"}]), DetailFault::Matcher(SelectorError::Character)),
        (json!([{"match": "a".repeat(4_097)}]), DetailFault::Matcher(SelectorError::TooLong)),
    ] {
        assert_eq!(fault(json!([detail(json!(["publish"]), topics.clone())])), Some(expected), "{topics}");
    }
    let missing = json!({"type": "https://mercure.rocks/authorization-detail", "actions": ["publish"]});
    assert_eq!(fault(json!([missing])), Some(DetailFault::Topics));
}

/// Tests 75 and 76 of MERCURE-1.0, section 13; of 75, the invalid URL pattern.
#[test]
fn an_unknown_matcher_type_is_refused_also_beside_a_star() {
    for name in [json!("URLPattern"), json!("regexp"), json!("Exact"), json!(""), json!(null), json!(1)] {
        for text in ["a", "*"] {
            let topics = json!([{"match": text, "match_type": name}]);
            let fault = fault(json!([detail(json!(["publish"]), topics)]));
            assert_eq!(fault, Some(DetailFault::MatchType), "{name} {text}");
        }
    }
    for name in ["exact", "urlpattern"] {
        let topics = json!([{"match": "*", "match_type": name}]);
        let grant = grant(json!([detail(json!(["publish"]), topics)]));
        assert!(grant.may_publish(["anything"].into_iter(), &Audience::Private).is_ok(), "{name}");
    }
    let topics = json!([{"match": "https://e.x/(", "match_type": "urlpattern"}]);
    let fault = fault(json!([detail(json!(["publish"]), topics)]));
    assert!(matches!(fault, Some(DetailFault::Matcher(SelectorError::Pattern(_)))), "{fault:?}");
}

/// Test 77 of MERCURE-1.0, section 13.
#[test]
fn one_invalid_entry_makes_the_token_invalid() {
    let good = detail(json!(["publish"]), json!([{"match": "a"}]));
    let bad = detail(json!(["publish"]), json!([{"match": "a"}, "b"]));
    for details in [json!([bad, good]), json!([good, bad]), json!([good, {"type": "x"}, bad, good])] {
        assert_eq!(fault(details), Some(DetailFault::Topics));
    }
    assert_eq!(fault(json!([good, {"type": "x"}, good])), None);
    let refused = accepted(&claims(json!([good, bad]))).expect_err("an invalid token");
    assert!(refused.to_string().contains("entry 2: \"topics\""), "{refused}");
}

/// Test 78 of MERCURE-1.0, section 13.
#[test]
fn a_token_beyond_a_limit_is_refused() {
    let entries = |count: usize| vec![detail(json!(["publish"]), json!([{"match": "a"}])); count];
    assert!(accepted(&claims(json!(entries(DETAILS_MAX)))).is_ok());
    let refused = accepted(&claims(json!(entries(DETAILS_MAX + 1)))).err();
    assert_eq!(refused, Some(TokenError::Details(DetailError::TooMany)));
    // Entries of other types, and what looks like patterns in them, count nowhere.
    let patterns = json!(vec![json!({"match_type": "urlpattern"}); DETAILS_PATTERNS_MAX + 1]);
    let mut mixed = vec![json!({"type": "x"}); DETAILS_MAX];
    mixed.push(json!({"type": "x", "topics": patterns}));
    mixed.extend(entries(2));
    assert_eq!(accepted(&claims(json!(mixed))).expect("a valid token").details.len(), 2);
    mixed.push(json!({"topics": []}));
    let refused = DetailError::Entry(DETAILS_MAX + 4, DetailFault::NotTyped);
    assert_eq!(accepted(&claims(json!(mixed))), Err(TokenError::Details(refused)));
    let entry = |count: usize| json!([detail(json!(["publish"]), json!(vec![json!({"match": "a"}); count]))]);
    assert_eq!(fault(entry(DETAIL_TOPICS_MAX)), None);
    assert_eq!(fault(entry(DETAIL_TOPICS_MAX + 1)), Some(DetailFault::TooManyTopics));
    let patterns = |text: &str, count: usize| {
        let topic = json!({"match": text, "match_type": "urlpattern"});
        let half = |count: usize| detail(json!(["publish"]), json!(vec![topic.clone(); count]));
        accepted(&claims(json!([half(count / 2), half(count - count / 2)]))).err()
    };
    assert_eq!(patterns("/:a", DETAILS_PATTERNS_MAX), None);
    let refused = patterns("/:a", DETAILS_PATTERNS_MAX + 1);
    assert_eq!(refused, Some(TokenError::Details(DetailError::TooManyPatterns)));
    let costly = "/(a*b*[ab]*a*b*[ab]*c*d*[cd]*)";
    assert_eq!(patterns(costly, 10), None);
    let refused = patterns(costly, DETAILS_PATTERNS_MAX);
    assert_eq!(refused, Some(TokenError::Details(DetailError::TooCostly)));
    let mut long = claims(json!([detail(json!(["publish"]), json!([{"match": "a"}]))]));
    long["more"] = json!("x".repeat(TOKEN_BYTES_MAX));
    assert_eq!(accepted(&long), Err(TokenError::TooLong));
}

/// Trap 33 of MERCURE-1.0, section 9.
#[test]
fn a_token_of_a_thousand_topics_is_accepted() {
    let topics: Vec<_> = (0..1_000).map(|n| json!({"match": format!("/books/{n:04}")})).collect();
    let claims = accepted(&claims(json!([detail(json!(["subscribe"]), json!(topics))])));
    assert_eq!(claims.expect("a valid token").details[0].topics.len(), 1_000);
}

/// Test 79 of MERCURE-1.0, section 13, and trap 15.
#[test]
fn an_access_token_is_not_read_as_a_legacy_one() {
    let all_claims = claims;
    let mut both = claims(json!([detail(json!(["subscribe"]), json!([{"match": "a"}]))]));
    both["mercure"] = json!({"publish": ["*"], "subscribe": ["*"], "payload": 1});
    both["https://mercure.rocks/"] = json!("not even an object");
    let claims = Claims::Access(accepted(&both).expect("a valid token"));
    let grant = Grant::from_claims(&claims, Authorization::Selectors).expect("a grant");
    assert!(!grant.may_publish_anything());
    assert!(grant.may_receive(["a"].into_iter(), &Audience::Private));
    assert!(!grant.may_receive(["b"].into_iter(), &Audience::Private));
    // And the reverse: a legacy token with details has what its `mercure` claim grants, nothing.
    let details = json!([detail(json!(["publish", "subscribe"]), json!([{"match": "*"}]))]);
    let legacy = all_claims(details);
    let claims = hs256().verify(&signed(&legacy), NOW_MS, &TokenRules::Legacy).expect("a valid token");
    let grant = Grant::from_claims(&claims, Authorization::Selectors).expect("a grant");
    assert!(!grant.may_publish_anything() && !grant.may_receive(["a"].into_iter(), &Audience::Private));
}

/// URL patterns in a token. Test 15 of MERCURE-1.0, section 13, and trap 1: the base of a relative
/// pattern is the hub's URL of the settings.
#[test]
fn a_url_pattern_in_a_token_grants_what_it_matches() {
    let pattern = |text: &str| json!([{"match": text, "match_type": "urlpattern"}]);
    let absolute = grant(json!([detail(json!(["publish"]), pattern("https://e.x/books/:id"))]));
    let may = |grant: &Grant, topic: &str| grant.may_publish([topic].into_iter(), &Audience::Private).is_ok();
    for (topic, expected) in [
        ("https://e.x/books/1", true),
        ("https://e.x/books/1/2", false),
        ("https://other.example/books/1", false),
    ] {
        assert_eq!(may(&absolute, topic), expected, "{topic}");
    }
    let relative = grant(json!([detail(json!(["publish"]), pattern("/users/:id"))]));
    for (topic, expected) in
        [("/users/1", true), ("https://hub.e.x/users/1", true), ("https://other.example/users/1", false)]
    {
        assert_eq!(may(&relative, topic), expected, "{topic}");
    }
    let mut entry = detail(json!(["subscribe"]), pattern("https://e.x/bar/:id"));
    entry["payload"] = json!(1);
    let own_text = crate::mercure::selector::Selector::Exact("https://e.x/bar/:id".into());
    let granted = grant(json!([entry]));
    let chosen = granted.choose_payloads(&[own_text]).expect("not costly").numbers[0];
    assert_eq!(granted.payload_at(chosen.expect("a payload")), Some(&json!(1)), "section 5.3, the example");
}
