//! The vectors of web-platform-tests, of patterns and inputs that are texts or objects.
//!
//! A topic is a URL. So an object that is an input is compared as a URL that agrees with it in all
//! components of which the pattern says something. An object that is a pattern is compiled as it
//! is, and, where a text means the same, from that text.

use std::collections::BTreeMap;

use serde_json::Value;
use urlpattern::quirks::{self, MatchInput, StringOrInit};

use super::*;

/// How the cases are checked, and how many. None differs from what it expects.
const CHECKED: [(Checked, usize); 7] = [
    (Checked::OfText, 240),
    (Checked::OfObject, 61),
    (Checked::NoUrl, 4),
    (Checked::Refused, 37),
    (Checked::IgnoresCase, 5),
    (Checked::ObjectWithBase, 2),
    (Checked::OutsideOfUrls, 3),
];

/// How a case was checked, or why it was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Checked {
    /// The pattern was compared with a topic. It is a text, or means the same as one.
    OfText,
    /// The same, but no text means the same, such as a search after a pathname of any length.
    OfObject,
    /// The input is no URL: no pattern matches it.
    NoUrl,
    /// The pattern is refused.
    Refused,
    /// Not checked: a matcher has no option to ignore letter case.
    IgnoresCase,
    /// Not checked: these are arguments that even a browser refuses.
    ObjectWithBase,
    /// Not checked: the input has components that no URL has together, such as a hostname without
    /// a protocol, and the pattern asks for one of them.
    OutsideOfUrls,
}

/// Test 130 of MERCURE-1.0, section 13. The numbers are of cases, of which none may be lost.
#[test]
fn the_vectors_of_web_platform_tests() {
    let cases = include_str!("../../../tests/data/urlpattern_wpt.json");
    let cases: Vec<Value> = serde_json::from_str(cases).expect("JSON");
    let mut counts = BTreeMap::new();
    for case in &cases {
        *counts.entry(check(case)).or_default() += 1;
    }
    assert_eq!(counts, BTreeMap::from(CHECKED));
}

/// Checks a case.
///
/// # Panics
/// It differs.
fn check(case: &Value) -> Checked {
    let pattern = case["pattern"].as_array().expect("a list");
    if pattern.iter().any(|it| it.get("ignoreCase").is_some()) {
        return Checked::IgnoresCase;
    }
    if matches!(pattern[..], [Value::Object(_), _]) || case.get("error_of_input").is_some() {
        return Checked::ObjectWithBase;
    }
    let compiled = compiled(pattern);
    if case.get("error").is_some() {
        assert!(compiled.is_err(), "{case}");
        return Checked::Refused;
    }
    let components = compiled.unwrap_or_else(|error| panic!("{case}: {error:?}"));
    let is_text = matches!(pattern.first(), Some(Value::String(_))) || has_text(pattern, &components);
    let Ok(topic) = topic_of(&case["inputs"], &components) else { return Checked::OutsideOfUrls };
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a hub's URL");
    let key = PatternKey::new(&components);
    let pattern = UrlPattern { text: "".into(), hub, components, key };
    let is_match = topic.as_ref().is_some_and(|topic| pattern.matches_url(topic));
    assert_eq!(Some(is_match), case["match"].as_bool(), "{case}");
    let is_found = topic.as_ref().is_some_and(|topic| matches_by_head_and_tail(&pattern, topic));
    assert_eq!(is_found, is_match, "{case}");
    match (topic, is_text) {
        (None, _) => Checked::NoUrl,
        (Some(_), true) => Checked::OfText,
        (Some(_), false) => Checked::OfObject,
    }
}

/// Compiles a text with its base, or an object.
fn compiled(pattern: &[Value]) -> Result<PatternComponents, ComponentsError> {
    let base = pattern.get(1).map(|base| base.as_str().expect("a text"));
    match pattern.first() {
        Some(Value::String(text)) => match base.map(Url::parse).transpose() {
            Ok(base) => components(text, base.as_ref()),
            Err(_) => Err(UrlPatternError::Component.into()),
        },
        object => components_of(|| init_of(object)),
    }
}

fn init_of(object: Option<&Value>) -> Result<UrlPatternInit, Error> {
    let init = object.map_or(Ok(quirks::UrlPatternInit::default()), |it| serde_json::from_value(it.clone()));
    quirks::process_construct_pattern_input(StringOrInit::Init(init.expect("components")), None)
}

/// Whether a text means the same as this object: then it is compiled to the same.
fn has_text(pattern: &[Value], compiled: &PatternComponents) -> bool {
    let options = UrlPatternOptions::default;
    let init = init_of(pattern.first()).expect("an object");
    let object = urlpattern::UrlPattern::<RegexpText>::parse(init, options()).expect("a pattern");
    let [protocol, username, password, hostname, port, pathname, search, hash] = strings(&object);
    let users = match (username, password) {
        ("*", "*") => String::new(),
        _ => format!("{username}:{password}@"),
    };
    let port = if port.is_empty() { String::new() } else { format!(":{port}") };
    // What comes after the last one given is `*`, too.
    let tail = match (pathname, search, hash) {
        ("*", "*", "*") => String::new(),
        (_, "*", "*") => pathname.to_owned(),
        (_, _, "*") => format!("{pathname}?{search}"),
        _ => format!("{pathname}?{search}#{hash}"),
    };
    let texts = [format!("{protocol}://{users}{hostname}{port}{tail}"), format!("{protocol}:{tail}")];
    let means_the_same = |text: &String| {
        let init = UrlPatternInit::parse_constructor_string::<RegexpText>(text, None);
        let other = init.and_then(|init| urlpattern::UrlPattern::<RegexpText>::parse(init, options()));
        other.is_ok_and(|other| strings(&other) == strings(&object))
    };
    let Some(text) = texts.into_iter().find(means_the_same) else { return false };
    assert_eq!(components(&text, None).as_ref(), Ok(compiled), "{text}");
    true
}

fn strings(pattern: &urlpattern::UrlPattern<RegexpText>) -> [&str; 8] {
    [
        pattern.protocol(),
        pattern.username(),
        pattern.password(),
        pattern.hostname(),
        pattern.port(),
        pattern.pathname(),
        pattern.search(),
        pattern.hash(),
    ]
}

/// No URL has the components of an input that a pattern asks for.
struct NoSuchUrl;

/// The topic that an input stands for; `None` if the input is no URL.
fn topic_of(inputs: &Value, compiled: &PatternComponents) -> Result<Option<TopicUrl>, NoSuchUrl> {
    let no_base = Url::parse("none:").expect("a URL");
    let input = match inputs.get(0) {
        Some(Value::String(text)) => {
            let base = inputs.get(1).map(|base| Url::parse(base.as_str().expect("a text")));
            return Ok(match base.unwrap_or(Ok(no_base)) {
                Ok(base) => TopicUrl::resolve(text, &base),
                Err(_) => None,
            });
        }
        Some(object) => serde_json::from_value(object.clone()).expect("components"),
        None => quirks::UrlPatternInit::default(),
    };
    let input = quirks::process_match_input(StringOrInit::Init(input), None).expect("an input");
    let Some(input) = input.and_then(|(input, _)| quirks::parse_match_input(input)) else { return Ok(None) };
    let agrees = |topic: &TopicUrl| {
        compiled.0.iter().all(|(part, _)| topic.component(*part) == of_input(&input, *part))
    };
    let topics = urls_like(&input);
    let mut topics = topics.iter().filter_map(|topic| TopicUrl::resolve(topic, &no_base));
    topics.find(agrees).map(Some).ok_or(NoSuchUrl)
}

fn of_input(input: &MatchInput, part: UrlPart) -> &str {
    match part {
        UrlPart::Protocol => &input.protocol,
        UrlPart::Username => &input.username,
        UrlPart::Password => &input.password,
        UrlPart::Hostname => &input.hostname,
        UrlPart::Port => &input.port,
        UrlPart::Pathname => &input.pathname,
        UrlPart::Search => &input.search,
        UrlPart::Hash => &input.hash,
    }
}

/// Texts of URLs with these components, and others where there are none.
fn urls_like(input: &MatchInput) -> Vec<String> {
    let MatchInput { protocol, username, password, hostname, port, pathname, search, hash } = input;
    let users = match (&**username, &**password) {
        ("", "") => String::new(),
        _ => format!("{username}:{password}@"),
    };
    let port = if port.is_empty() { String::new() } else { format!(":{port}") };
    let hostname = if hostname.is_empty() { "e.x" } else { hostname };
    let protocols = if protocol.is_empty() { vec!["https", "x"] } else { vec![&**protocol] };
    let tail = format!("{pathname}?{search}#{hash}");
    let both =
        |protocol| [format!("{protocol}://{users}{hostname}{port}{tail}"), format!("{protocol}:{tail}")];
    protocols.into_iter().flat_map(both).collect()
}

/// The same as [`UrlPattern::matches_url`], as the topic index finds it: by head and tail.
fn matches_by_head_and_tail(pattern: &UrlPattern, topic: &TopicUrl) -> bool {
    let at = pattern.head().len();
    topic.key().starts_with(pattern.head())
        && match pattern.is_plain() {
            true => pattern.tail().matches(topic.key().as_bytes(), at),
            false => pattern.to_tail().tail_matches(topic, at, &mut Simulator::default()),
        }
}
