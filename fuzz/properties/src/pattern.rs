//! URL Patterns: every text is one or is refused, the index of selectors of all kinds gives the
//! result of a linear scan, and matching has a price.

use petasos::mercure::public_url::PublicUrl;
use petasos::mercure::selector::{ComparedTopic, MatcherType, Selector};

use crate::template::IndexModel;

/// The URL of a hub.
///
/// # Panics
/// Never.
pub fn hub() -> PublicUrl {
    PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a hub's URL")
}

/// A selector of the kind that the first byte says: `=` for a topic, `{` for a template, anything
/// else for a pattern, which has no such mark.
pub fn selector(text: &str, hub: &PublicUrl) -> Option<Selector> {
    match text.strip_prefix('=') {
        Some(exact) => Selector::parse_matcher(MatcherType::Exact, exact, hub).ok(),
        None => match text.strip_prefix('{') {
            Some(template) => Selector::parse(template).ok(),
            None => Selector::parse_matcher(MatcherType::UrlPattern, text, hub).ok(),
        },
    }
}

/// The property, for any text: selectors, one on each line, an empty line, and topics.
///
/// # Panics
/// It does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (selectors, topics) = text.split_once("\n\n").unwrap_or((text, text));
    let topics: Vec<&str> = topics.split('\n').collect();
    let hub = hub();
    let selectors = selectors.split('\n').filter_map(|text| {
        let selector = selector(text, &hub)?;
        for topic in &topics {
            let compared = ComparedTopic::new(topic);
            assert_eq!(selector.matches(topic), selector.matches_compared(&compared));
        }
        Some(selector)
    });
    IndexModel::check_selectors(selectors, &topics);
}
