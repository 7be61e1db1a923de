//! How often a shard reads a topic as a URL.

use super::*;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::MatcherType;
use crate::mercure::token::{AccessClaims, Detail};
use crate::mercure::url_pattern::TopicUrl;

/// A subscription to this pattern and to others, with a grant of patterns.
fn joining_patterns(number: u32, resume_point: Option<ResumePoint>) -> Joining {
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a hub's URL");
    let pattern =
        |text: String| Selector::parse_matcher(MatcherType::UrlPattern, &text, &hub).expect("a pattern");
    let selectors = [
        pattern(format!("/books/:id{number}")),
        pattern(format!("/books/:id/{number}")),
        pattern(format!("/books/{number}{{/:page}}?")),
    ];
    let topics = [pattern(format!("/none/{number}")), pattern(format!("/:kind{number}/*"))];
    let detail = |topic| Detail { publishes: false, subscribes: true, topics: [topic].into(), payload: None };
    let claims = Claims::Access(AccessClaims { details: topics.map(detail).into(), exp_ms: u64::MAX });
    let grant = Grant::from_claims(&claims, Authorization::Selectors).expect("a grant");
    Joining { selectors: selectors.into(), grant: Rc::new(grant), ..joining(&[], resume_point) }
}

fn update_of(shard: &Shard, body: &str) -> SequencedUpdate {
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("a valid body");
    let position = shard.position().next();
    SequencedUpdate { position, frame: Arc::new(Frame::encode(update)), first_of_id: false }
}

/// Also if the update pauses, and for selectors and grants together.
#[test]
fn a_topic_is_read_as_a_url_once_for_all_patterns_of_selectors_and_grants() {
    let mut shard = shard();
    (0..2_000).for_each(|number| {
        shard.join(joining_patterns(number, None), Now::default());
    });
    for (body, topics) in [
        ("topic=https://hub.e.x/books/7&private=on", 1),
        ("topic=https://hub.e.x/books/7", 1),
        ("topic=/books/7&topic=/books/7/8&topic=https://elsewhere/&private=on", 3),
    ] {
        for work in [u64::MAX, 7] {
            let update = update_of(&shard, body);
            let (read, deliveries) = (TopicUrl::times_read(), shard.counters().deliveries);
            let mut calls = 1;
            while !shard.take_some(&update, shard.counters().work.saturating_add(work)) {
                calls += 1;
            }
            shard.moved();
            assert_eq!(TopicUrl::times_read() - read, topics, "{body}, {calls} calls");
            assert_eq!(shard.counters().deliveries - deliveries, 2_000, "{body}");
            assert_eq!(calls > 1, work == 7 && body.contains("private"), "{body}");
        }
    }
}

/// Each subscriber reads the history at a place of its own.
#[test]
fn a_topic_of_the_history_is_read_as_a_url_once_for_each_subscriber() {
    let mut shard = shard();
    for body in ["topic=/books/7", "topic=/books/7&topic=/none&private=on", "topic=/none&topic=/books/7"] {
        let update = update_of(&shard, body);
        shard.take(&update);
        shard.moved();
    }
    (0..20).for_each(|number| {
        shard.join(joining_patterns(number, earliest()), Now::default());
    });
    let (read, deliveries) = (TopicUrl::times_read(), shard.counters().deliveries);
    let mut sends = Sends::default();
    while shard.has_work() {
        round(&mut shard, &mut sends);
    }
    assert_eq!(TopicUrl::times_read() - read, 20 * 4, "no topic after the one that is selected");
    assert_eq!(shard.counters().deliveries - deliveries, 20 * 3);
}
