//! Properties that the test in `tests/selectors.rs` cannot see: steps, nodes, and sequences of
//! changes that it would rarely generate.

use super::*;

fn selectors(texts: &[&str]) -> Vec<Selector> {
    texts.iter().map(|text| Selector::parse(text).expect("a selector")).collect()
}

fn matches(index: &mut TopicIndex, topics: &[&str]) -> Vec<u32> {
    let mut slots = Vec::new();
    index.for_each_match(topics.iter().copied(), |slot| slots.push(slot));
    slots.sort_unstable();
    slots
}

/// The steps that one topic takes.
fn steps(index: &mut TopicIndex, topic: &str) -> u64 {
    let before = index.templates.figures().0;
    matches(index, &[topic]);
    index.templates.figures().0 - before
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
    assert!(index.slot_matches(1, ["/a/{x}"].into_iter()));
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
    assert!(index.slot_matches(1, ["/a/1/b"].into_iter()) && !index.slot_matches(1, ["/a/1"].into_iter()));
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

#[test]
fn templates_made_to_be_slow_share_their_states() {
    let mut index = TopicIndex::new();
    for n in 0..800 {
        let simple: String = (0..=n % 500).map(|variable| format!("{{v{variable}}}")).collect();
        let reserved = "{+a}x".repeat(n as usize + 1);
        index.insert(n, &selectors(&[&simple, &reserved]));
    }
    let topic = "x".repeat(1_000);
    let most = topic.len() as u64 * 4 * index.templates.figures().1 as u64;
    assert!(index.templates.figures().1 < 3_000);
    assert!(steps(&mut index, &topic) < most);
}

/// A trie of several templates is walked state by state, a template alone is simulated a word of
/// positions at a time: they agree, also where positions cross words and counts end.
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
            let units =
                ["a", "b", "a", "/", ",", "%41", "=", ";", "?a=", "&b=", ".", "aaaa", "ab=", "x", "#"];
            let mut topic = String::from("h");
            (0..random.usize(..60)).for_each(|_| topic.push_str(units[random.usize(..units.len())]));
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
