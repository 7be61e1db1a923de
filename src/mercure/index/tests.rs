//! Properties that the test in `tests/selectors.rs` cannot see: steps, nodes, and sequences of
//! changes that it would rarely generate.

use super::*;
use crate::limits::{MATCH_COST_END, MATCH_COST_NODE, MATCH_COST_RUN, MATCH_COST_SETUP};

fn selectors(texts: &[&str]) -> Vec<Selector> {
    texts.iter().map(|text| Selector::parse(text).expect("a selector")).collect()
}

pub(super) fn matches(index: &mut TopicIndex, topics: &[&str]) -> Vec<u32> {
    let mut slots = Vec::new();
    let topics: Vec<_> = topics.iter().copied().map(ComparedTopic::new).collect();
    index.for_each_match(&topics, |slot| slots.push(slot));
    slots.sort_unstable();
    slots
}

/// The cost of one topic, in units and lookups.
fn steps(index: &mut TopicIndex, topic: &str) -> u64 {
    let before = index.templates.figures().0 + index.spent();
    matches(index, &[topic]);
    index.templates.figures().0 + index.spent() - before
}

#[test]
fn a_slot_that_several_selectors_and_topics_name_is_answered_once() {
    let mut index = TopicIndex::new();
    index.insert(3, &selectors(&["*", "/a/1", "/a/{x}", "/a/{y}", "/a/1", "{+all}"]));
    index.insert(0, &selectors(&["/a/{x}"]));
    assert_eq!(matches(&mut index, &["/a/1", "/a/2", "/a/1"]), [0, 3]);
    assert_eq!(matches(&mut index, &["/b"]), [3]);
    assert_eq!(index.selectors_of(3).collect::<Vec<_>>(), ["*", "/a/1", "/a/{x}", "/a/{y}", "{+all}"]);
    assert_eq!(index.len(), 5);
}

#[test]
fn a_template_matches_itself_as_a_string() {
    let mut index = TopicIndex::new();
    index.insert(1, &selectors(&["/a/{x}"]));
    assert_eq!(matches(&mut index, &["/a/{x}"]), [1]);
    assert_eq!(matches(&mut index, &["/a/{y}"]), [0_u32; 0]);
    assert!(index.slot_matches(1, &ComparedTopic::new("/a/{x}")));
}

#[test]
fn leaving_frees_every_node_and_spares_the_others() {
    let mut index = TopicIndex::new();
    let texts =
        ["/books/{id}", "/boats/{id}", "/bo{x}/1", "/bo{x}/2", "/books{?page}", "/b", "*", "/books/{id}/x"];
    for (slot, text) in (0..).zip(texts) {
        index.insert(slot, &selectors(&[text, "/books/{id}"]));
    }
    assert_eq!(matches(&mut index, &["/bo/2"]), [3, 6]);
    assert_eq!(matches(&mut index, &["/books/7"]), [0, 1, 2, 3, 4, 5, 6, 7]);
    for slot in 0..texts.len() as u32 {
        index.remove(slot);
        index.remove(slot);
    }
    assert!(index.is_empty());
    assert_eq!(index.templates.figures().1, 0, "no head, tail or node is left");
    assert_eq!(matches(&mut index, &["/books/7"]), [0_u32; 0]);
    index.remove(1_000);
}

#[test]
fn heads_of_every_length_are_found_and_leave_nothing_behind() {
    let mut index = TopicIndex::new();
    let topic = "https://example.com/".repeat(4);
    // Every beginning is a head, including the empty one. Every third one is shared by two tails.
    for bytes in 0..topic.len() {
        let head = &topic[..bytes];
        let texts = [format!("{head}{{+x}}"), format!("{head}{{y}}{{+z}}/")];
        let count = if bytes % 3 == 0 { 2 } else { 1 };
        let texts: Vec<&str> = texts[..count].iter().map(String::as_str).collect();
        index.insert(bytes as u32, &selectors(&texts));
    }
    let all: Vec<u32> = (0..topic.len() as u32).collect();
    assert_eq!(matches(&mut index, &[&topic]), all);
    assert_eq!(matches(&mut index, &[&topic[..9]]), all[..10]);
    for slot in (0..topic.len() as u32).filter(|slot| slot % 2 == 0) {
        index.remove(slot);
    }
    let odd: Vec<u32> = all.iter().copied().filter(|slot| slot % 2 == 1).collect();
    assert_eq!(matches(&mut index, &[&topic]), odd);
    odd.iter().for_each(|&slot| index.remove(slot));
    assert_eq!(index.templates.figures().1, 0);
    assert_eq!(matches(&mut index, &[&topic]), [0_u32; 0]);
}

#[test]
fn a_head_that_is_shared_finds_each_of_its_tails_and_is_alone_again() {
    let mut index = TopicIndex::new();
    index.insert(0, &selectors(&["/a/{x}"]));
    index.insert(1, &selectors(&["/a/{x}/b"]));
    index.insert(2, &selectors(&["/a/{y}"]));
    assert_eq!(matches(&mut index, &["/a/1"]), [0, 2]);
    let is_match = |topic| index.slot_matches(1, &ComparedTopic::new(topic));
    assert!(is_match("/a/1/b") && !is_match("/a/1"));
    index.remove(0);
    index.remove(1);
    assert_eq!(matches(&mut index, &["/a/1", "/a/1/b"]), [2]);
    index.remove(2);
    index.insert(5, &selectors(&["/a/{z}/b"]));
    assert_eq!(matches(&mut index, &["/a/1", "/a/1/b"]), [5]);
}

#[test]
fn the_last_stamps_are_wiped_when_the_epoch_starts_anew() {
    let mut index = TopicIndex::new();
    index.insert(0, &selectors(&["/a", "/{x}"]));
    assert_eq!(matches(&mut index, &["/a"]), [0]);
    index.epoch = u32::MAX;
    assert_eq!(matches(&mut index, &["/a"]), [0]);
    assert_eq!(matches(&mut index, &["/a"]), [0]);
}

#[test]
fn the_steps_do_not_grow_with_the_selectors() {
    let mut index = TopicIndex::new();
    let template = |n: u32| format!("https://example.com/books-{n}/{{id}}");
    let suffixed = |n: u32| format!("https://example.org/{{id}}/{n}");
    index.insert(0, &selectors(&[&template(7), &suffixed(7), "https://example.com/exact"]));
    let topics = ["https://example.com/books-7/1", "https://example.org/1/7", "https://example.com/exact"];
    let few = topics.map(|topic| steps(&mut index, topic));
    for n in 1..20_000 {
        index.insert(n, &selectors(&[&template(n), &suffixed(n)]));
    }
    let many = topics.map(|topic| steps(&mut index, topic));
    for (few, many) in few.into_iter().zip(many) {
        // A literal is cut at most once per digit.
        assert!(many <= few + 2 * 6, "{few} {many}");
    }
    assert_eq!(matches(&mut index, &topics), [0, 7]);
}

/// The price is known before any topic comes, and no topic costs more.
#[test]
fn no_topic_costs_more_than_the_price() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut nearest: f64 = 0.0;
    for _ in 0..300 {
        let mut index = TopicIndex::new();
        for slot in 0..random.u32(1..40) {
            let text = random_template(&mut random);
            let text = &text[random.usize(..2)..];
            index.insert(slot, &selectors(&[text]));
        }
        for _ in 0..20 {
            let mut topic = random_topic(&mut random, 400);
            topic.truncate(1_024);
            let before = index.spent();
            matches(&mut index, &[&topic]);
            // Templates alone on their head are not in the price: there is one for each beginning.
            let alone = u64::from(MATCH_COST_NODE + MATCH_COST_RUN) * 3;
            let (spent, price) = (index.spent() - before, u64::from(index.price()) + alone);
            assert!(spent <= price, "seed {seed}: {spent} of {price} for {topic}");
            nearest = nearest.max(spent as f64 / price as f64);
        }
    }
    assert!(nearest > 0.1, "seed {seed}: no topic came near the price, at most {nearest}");
}

#[test]
fn the_price_is_that_of_the_worst_topic_and_falls_when_templates_leave() {
    let mut index = TopicIndex::new();
    let empty = index.price();
    let costly = Selector::parse("{+a:9000,b:9999,c:8,d:22}").expect("a selector").match_cost();
    index.insert(0, &selectors(&["{+a:9000,b:9999,c:8,d:22}"]));
    assert_eq!(index.price(), empty + costly);
    // No topic begins with both: the more costly one counts.
    index.insert(1, &selectors(&["/a/{x}{?y}", "/a/{z}{?y}"]));
    let with_a = index.price();
    index.insert(2, &selectors(&["/b/{x}{?y}"]));
    // The literals meet in a node of their own.
    assert_eq!(index.price(), with_a + MATCH_COST_NODE);
    // A topic can begin with both.
    index.insert(3, &selectors(&["/a/b/{x}{?y}"]));
    assert!(index.price() > with_a + MATCH_COST_SETUP);
    // A selector that is held adds nothing.
    assert_eq!(index.price_of(9, &selectors(&["/b/{x}{?y}", "/b/{x}{?y}"])).added, 0);
    let priced = index.price_of(9, &selectors(&["{+b:7}", "/exact", "/c/{alone}"]));
    assert_eq!(priced.total, index.price() + priced.added);
    assert_eq!(priced.added, Selector::parse("{+b:7}").expect("a selector").match_cost());
    for slot in [1, 3, 2, 0] {
        index.remove(slot);
    }
    assert_eq!(index.price(), empty);
    assert_eq!(index.templates.figures().1, 0);
}

#[test]
fn a_million_templates_that_differ_at_their_end_cost_a_topic_what_a_few_cost() {
    let mut index = TopicIndex::new();
    for n in 0..10_000 {
        index.insert(n, &selectors(&[&format!("https://example.com/{{shelf}}/{n}/{{page}}.html")]));
    }
    assert!(index.price() < 10 * (MATCH_COST_NODE + MATCH_COST_RUN), "{}", index.price());
}

/// A template that was alone costs nothing; a trial, or a neighbour that leaves, must not change
/// that.
#[test]
fn a_template_that_is_alone_again_costs_nothing_again() {
    let mut index = TopicIndex::new();
    let empty = index.price();
    index.insert(0, &selectors(&["/books/{id}/{page}"]));
    assert_eq!(index.price(), empty);
    let others = selectors(&["/books/{+all}", "/books/{id}{?page}", "/books/{id}.json"]);
    let priced = index.price_of(9, &others);
    let own: u32 = others.iter().map(Selector::match_cost).sum();
    assert!(priced.added > 0 && priced.added <= own, "{priced:?} of {own}");
    assert_eq!((index.price(), index.templates.figures().1), (empty, 2), "a head and a tail");
    for slot in 1..4 {
        index.insert(slot, &others[slot as usize - 1..][..1]);
    }
    assert_eq!(matches(&mut index, &["/books/1/2", "/books/1"]), [0, 1, 2]);
    (1..4).for_each(|slot| index.remove(slot));
    assert_eq!(index.price(), empty);
    assert_eq!(matches(&mut index, &["/books/1/2"]), [0]);
    // One that is long is not free, and costs one scan and the lookup of its end.
    let long = format!("/{}", "{x}/".repeat(500));
    index.insert(5, &selectors(&[&long]));
    let nodes = 2 * MATCH_COST_NODE * 501 + MATCH_COST_RUN - MATCH_COST_NODE + 1;
    assert_eq!(index.price(), empty + nodes + MATCH_COST_END + 1024 / 256);
}

/// Whatever came and went, the price is that of what is held.
#[test]
fn the_price_depends_on_what_is_held_alone() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let texts = [
        "/a/{x}",
        "/a/{y}",
        "/a/{x}/b",
        "/a/{x}.json",
        "/a/{x}.son",
        "/a/{+x}",
        "/a/{x}{?q}",
        "/ab{x}",
        "/a/b/{x}",
        "{+x}",
        "{x:3}",
        "/a/{x}/b/{y}",
        "/a/{x}/c/{+y}",
        "/a/{x}/{x}/{x}/{x}/{x}/{x}",
        "/{x}",
        "exact",
        "/a{x}z",
    ];
    let generated: Vec<String> = (0..12).map(|_| random_template(&mut random)).collect();
    let texts: Vec<&str> = texts.into_iter().chain(generated.iter().map(String::as_str)).collect();
    check_price_of_what_is_held(&texts, selectors, 3_000, seed);
}

/// Slots get and lose these selectors at random.
pub(super) fn check_price_of_what_is_held(
    texts: &[&str],
    selectors: impl Fn(&[&str]) -> Vec<Selector>,
    steps: usize,
    seed: u64,
) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut index = TopicIndex::new();
    let mut held: Vec<Vec<Selector>> = vec![Vec::new(); 6];
    for step in 0..steps {
        let slot = random.usize(..held.len());
        let some: Vec<_> = (0..random.usize(..4)).map(|_| texts[random.usize(..texts.len())]).collect();
        match random.u8(..3) {
            0 => {
                index.remove(slot as u32);
                held[slot] = Vec::new();
            }
            1 => {
                index.price_of(99, &selectors(&some));
            }
            _ => {
                held[slot] = selectors(&some);
                index.insert(slot as u32, &held[slot]);
            }
        }
        let mut fresh = TopicIndex::new();
        for (slot, selectors) in (0..).zip(&held) {
            fresh.insert(slot, selectors);
        }
        assert_eq!(index.price(), fresh.price(), "seed {seed}, step {step}: {held:?}");
    }
}

#[test]
fn the_price_of_ends_falls_when_they_leave() {
    let mut index = TopicIndex::new();
    index.insert(0, &selectors(&["h{x}.json"]));
    index.insert(1, &selectors(&["h{x}.jso"]));
    let before = index.price();
    for slot in 2..500 {
        index.insert(slot, &selectors(&[&format!("h{{v{slot}}}.json")]));
    }
    assert!(index.price() > before + 400);
    (2..500).for_each(|slot| index.remove(slot));
    assert_eq!(index.price(), before);
}

#[test]
fn a_search_that_pauses_reports_each_slot_once() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        let mut index = TopicIndex::new();
        for slot in 0..random.u32(1..30) {
            let texts: Vec<String> = (0..3).map(|_| random_template(&mut random)).collect();
            let texts: Vec<&str> = texts.iter().map(|text| &text[random.usize(..2)..]).collect();
            index.insert(slot, &selectors(&texts));
        }
        let topics: Vec<String> = (0..random.usize(1..6)).map(|_| random_topic(&mut random, 8)).collect();
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        let newcomers = selectors(&["{+new}", "h{new}{?a}"]);
        check_pausing_search(index, &topics, &newcomers, &mut random, seed);
    }
}

/// Searches with pauses, at which a slot may leave and another one come: those two may be reported
/// or not.
pub(super) fn check_pausing_search(
    mut index: TopicIndex,
    topics: &[&str],
    newcomers: &[Selector],
    random: &mut fastrand::Rng,
    seed: u64,
) {
    let (leaver, comer) = (random.u32(..30), 100);
    let mut expected = matches(&mut index, topics);
    expected.retain(|slot| *slot != leaver);
    let mut found = Vec::new();
    index.begin_search();
    let mut pauses = 0;
    let topics: Vec<_> = topics.iter().copied().map(ComparedTopic::new).collect();
    while !index.search(&topics, random.u64(..300), |slot| found.push(slot)) {
        pauses += 1;
        assert!(pauses < 10_000, "seed {seed}");
        if random.u8(..8) == 0 {
            index.remove(leaver);
            index.insert(comer, newcomers);
        }
    }
    found.retain(|slot| ![leaver, comer].contains(slot));
    found.sort_unstable();
    assert_eq!(found, expected, "seed {seed}");
}

/// Plain templates of one head are found by the trie, others by the simulation: both agree with the
/// plain definition, also where positions cross words and counts end.
#[test]
fn a_template_alone_and_a_template_in_a_trie_match_the_same_topics() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut matched = 0;
    for _ in 0..1_000 {
        let text = random_template(&mut random);
        let Ok(selector) = Selector::parse(&text) else { continue };
        let mut index = TopicIndex::new();
        index.insert(0, std::slice::from_ref(&selector));
        index.insert(1, &selectors(&["h{other}Q", "h{+other}QQ"]));
        for _ in 0..20 {
            let topic = random_topic(&mut random, 60);
            let is_match = selector.matches(&topic);
            matched += u32::from(is_match);
            assert_eq!(
                matches(&mut index, &[&topic]).contains(&0),
                is_match,
                "seed {seed}: {text} and {topic}"
            );
        }
    }
    assert!(matched > 500, "seed {seed}: only {matched} of 20,000 topics matched");
}

fn random_topic(random: &mut fastrand::Rng, most: usize) -> String {
    let units = ["a", "b", "a", "/", ",", "%41", "=", ";", "?a=", "&b=", ".", "aaaa", "ab=", "x", "#"];
    let mut topic = String::from("h");
    (0..random.usize(..most)).for_each(|_| topic.push_str(units[random.usize(..units.len())]));
    topic
}

fn random_template(random: &mut fastrand::Rng) -> String {
    let mut text = String::from("h");
    for _ in 0..random.usize(1..13) {
        if random.u8(..4) == 0 {
            let literals = ["a", "ab", "/", "%41", "b.", ",", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"];
            text.push_str(literals[random.usize(..literals.len())]);
            continue;
        }
        let operator = ["", "+", "#", ".", "/", ";", "?", "&"][random.usize(..8)];
        let variables: Vec<_> = (0..random.usize(1..6))
            .map(|_| {
                let name = ["a", "b", "ab", "%41", "x"][random.usize(..5)];
                match random.u8(..4) {
                    0 => format!("{name}*"),
                    1 => format!("{name}:{}", random.u8(1..41)),
                    2 => format!("{name}:{}", random.u8(1..4)),
                    _ => name.to_owned(),
                }
            })
            .collect();
        text.push_str(&format!("{{{operator}{}}}", variables.join(",")));
    }
    text
}
