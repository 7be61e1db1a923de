//! Goal: selectors match as RFC 6570 and the reference define it, and the topic index agrees with
//! the selectors.
//!
//! Method: vectors made with the regular expressions of yosida95/uritemplate v3.0.2, the
//! reference's matcher; expansions by `uritemplate-next`, random ones and, for small alphabets, all
//! of them; random histories of the index, compared with a linear scan. proptest prints the failing
//! case and keeps its seed.

use std::collections::HashSet;

use petasos::mercure::selector::Selector;
use petasos_fuzz_properties::pattern;
use petasos_fuzz_properties::template::{IndexModel, SLOTS};
use proptest::prelude::*;
use uritemplate::UriTemplate;

fn selector(text: &str) -> Selector {
    Selector::parse(text).expect("a selector")
}

/// Each line is `selector TAB topic TAB 0|1`. Named operators and prefix lengths are left out:
/// there the hub differs from the reference.
#[test]
fn the_answers_are_those_of_the_reference() {
    let vectors = include_str!("data/template_vectors.tsv");
    for line in vectors.lines() {
        let [template, topic, expected] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not a vector: {line}");
        };
        assert_eq!(selector(template).matches(topic), expected == "1", "{line}");
    }
}

/// The value of a variable (RFC 6570, section 2.3).
#[derive(Clone, Debug)]
enum Value {
    Undefined,
    Text(String),
    List(Vec<String>),
    Map(Vec<(String, String)>),
}

fn expand(template: &str, values: &[(&str, &Value)]) -> String {
    let mut expansion = UriTemplate::new(template);
    for &(name, value) in values {
        match value {
            Value::Undefined => &mut expansion,
            Value::Text(text) => expansion.set(name, text.as_str()),
            Value::List(list) => expansion.set(name, list.as_slice()),
            Value::Map(map) => expansion.set(name, map.as_slice()),
        };
    }
    expansion.build()
}

/// A string, a list, a map, or undefined. Keys are unreserved and not empty: RFC 6570 section 3.2.1
/// treats those of `{?map*}` like literals, and the hub is narrower.
fn value() -> impl Strategy<Value = Value> {
    let text = "[a-c/?#=,;&.%é ~]{0,4}";
    prop_oneof![
        Just(Value::Undefined),
        text.prop_map(Value::Text),
        prop::collection::vec(text, 0..3).prop_map(Value::List),
        prop::collection::vec(("[a-c_.]{1,3}", text), 0..3).prop_map(Value::Map),
    ]
}

/// A value that a prefix length applies to (RFC 6570, section 2.4.1). ASCII only: the oracle splits
/// characters.
fn string() -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Undefined), 3 => "[a-c/ ,=]{0,5}".prop_map(Value::Text)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_expansion_is_matched(
        parts in prop::collection::vec(("[+#./;?&]?", "[xyz][*]?(,[xyz][*]?)?", "[a-c/,;=?&]{0,3}"), 1..4),
        x in value(), y in value(), z in value(),
    ) {
        let template: String = parts.iter().map(|(operator, variables, tail)| {
            // Like the reference, the hub allows no `=` in the first place of `{x,y*}`: explode
            // both or none.
            let uneven = variables.contains(',') && !matches!(operator.as_str(), ";" | "?" | "&");
            let variables = if uneven { variables.replace('*', "") } else { variables.clone() };
            format!("{{{operator}{variables}}}{tail}")
        }).collect();
        let topic = expand(&template, &[("x", &x), ("y", &y), ("z", &z)]);
        prop_assert!(selector(&template).matches(&topic), "{template} {topic}");
    }

    #[test]
    fn every_expansion_of_a_prefix_is_matched(
        operator in "[+#./;?&]?", tail in "[a-c/]{0,2}", length in 1..5_u16, x in string(), y in value(), z in string(),
    ) {
        for modifier in ["", "*"] {
            let template = format!("{{{operator}x:{length},y{modifier},z:2}}{tail}{{z:1}}");
            let topic = expand(&template, &[("x", &x), ("y", &y), ("z", &z)]);
            prop_assert!(selector(&template).matches(&topic), "{template} {topic}");
        }
    }

    #[test]
    fn a_text_of_any_kind_is_a_selector_or_an_error(text in "[{}a-b,:*+1é% \\\\]{0,12}") {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert!(selector.matches(&text));
            selector.matches("/a%41é");
        }
    }
}

/// Every text of at most `length` characters of `alphabet`.
fn texts(alphabet: &str, length: usize) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut from = 0;
    for _ in 0..length {
        let to = texts.len();
        for at in from..to {
            texts.extend(alphabet.chars().map(|c| format!("{}{c}", texts[at])).collect::<Vec<_>>());
        }
        from = to;
    }
    texts
}

/// Every value with strings of the letters `ax` whose text, joined by commas, has at most `length`
/// characters. Keys are not empty.
fn values(length: usize) -> Vec<Value> {
    let mut values = vec![Value::Undefined];
    for text in texts("ax,", length) {
        let list: Vec<String> = text.split(',').map(str::to_owned).collect();
        if list.len() == 1 {
            values.push(Value::Text(text.clone()));
        }
        if let (pairs, []) = list.as_chunks::<2>()
            && pairs.iter().all(|[key, _]| !key.is_empty())
        {
            let map = pairs.iter().map(|[key, value]| (key.clone(), value.clone())).collect();
            values.push(Value::Map(map));
        }
        values.push(Value::List(list));
    }
    values
}

#[test]
fn a_template_with_names_or_prefixes_matches_its_expansions_and_nothing_else() {
    const LENGTH: usize = 4;
    let few = values(LENGTH);
    let values = values(LENGTH + 1); // `{;x*}` drops the comma before an empty value.
    let undefined = vec![Value::Undefined];
    let is_string = |value: &&Value| matches!(value, Value::Undefined | Value::Text(_));
    let strings: Vec<Value> = values.iter().filter(is_string).cloned().collect();
    for (template, alphabet, x_is_string) in [
        ("{;x}", ";xa=,", false),
        ("{?x}", "?xa=,&", false),
        ("{&x}", "&xa=,", false),
        ("{;x*}", ";xa=,", false),
        ("{?x*}", "?xa=&", false),
        ("{;x,a}", ";xa=", false),
        ("{&x,a}", "&xa=", false),
        ("{;x:1}", ";xa=,", true),
        ("{?x:2,a}", "?xa=&", true),
        ("{x:2}", "xa,=", true),
        ("{x:1,a}", "xa,=", true),
        ("{x:1,a*}", "xa,=", true),
        ("{/x:1,a*}", "/xa,=", true),
        ("{/x:1,a}", "/xa,", true),
        ("a{x:1}x", "xa,", true),
    ] {
        let matcher = selector(template);
        let mut expansions = HashSet::new();
        let (firsts, others) = match (x_is_string, template.contains(",a")) {
            (true, false) => (&strings, &undefined),
            (true, true) => (&strings, &few),
            (false, false) => (&values, &undefined),
            (false, true) => (&few, &few),
        };
        for x in firsts {
            expansions.extend(others.iter().map(|a| expand(template, &[("x", x), ("a", a)])));
        }
        for topic in texts(alphabet, LENGTH) {
            // The oracle treats a list of empty strings as an empty list.
            let beyond_oracle = topic.ends_with(',') && topic.trim_end_matches(',').ends_with('=');
            let expected = expansions.contains(&topic);
            assert!(beyond_oracle || matcher.matches(&topic) == expected, "{template} {topic} {expected}");
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    Insert(u32, Vec<String>),
    Remove(u32),
    Publish(Vec<String>),
}

/// Short selectors that overlap, split each other's literals, and end where others begin.
fn overlapping_selector() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[ab/]{1,3}",
        2 => "\\{[+#./;?&]?[xyab][*]?\\}",
        1 => "\\{[+#./;?&]?[ab]:[12]\\}",
        1 => "\\{[+#./;?&]?[ab],[xy][*]?\\}",
        1 => Just("%41".to_owned()),
        1 => Just("%42".to_owned()),
    ];
    prop_oneof![
        12 => prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat()),
        1 => Just("*".to_owned()),
    ]
}

/// Its prefixes are heads that are prefixes of each other, shorter and longer than the hash takes
/// at once.
const NESTED: &str = "/ab/ab%41/ba/b/aab/b/";

/// Cuts [`NESTED`] anywhere except within a triplet.
fn nested() -> impl Strategy<Value = &'static str> {
    (0..=NESTED.len()).prop_map(|end| if (7..9).contains(&end) { NESTED } else { &NESTED[..end] })
}

fn nested_selector() -> impl Strategy<Value = String> {
    let tail = prop_oneof![
        2 => Just("{x}"),
        2 => prop::sample::select(&["{+x}", "{x}/b", "{x}b", "{x}/{y}", "{/x}", "{x:2}", "{?a}", "{x}%41", "{x}b/{y}/a"][..]),
        1 => Just(""),
    ];
    (nested(), tail).prop_map(|(head, tail)| {
        if head.is_empty() && tail.is_empty() { "{x}".into() } else { format!("{head}{tail}") }
    })
}

fn action() -> impl Strategy<Value = Action> {
    let selector = || prop_oneof![1 => overlapping_selector(), 1 => nested_selector()];
    let topic = prop_oneof![
        4 => (nested(), "([ab]|%41|/|%4|,|\\?a=b){0,4}", "[abx]").prop_map(|(head, rest, end)| format!("{head}{rest}{end}")),
        4 => "([ab/]|%41|%42|[a,;?&=#.]|%4){1,8}",
        1 => selector(),
    ];
    prop_oneof![
        3 => (0..SLOTS, prop::collection::vec(selector(), 0..6)).prop_map(|(slot, texts)| Action::Insert(slot, texts)),
        1 => (0..SLOTS).prop_map(Action::Remove),
        3 => prop::collection::vec(topic, 1..4).prop_map(Action::Publish),
    ]
}

/// Compares the index with a linear scan after each action.
fn check_history(actions: Vec<Action>, selector: impl Fn(&str) -> Option<Selector>) {
    let mut model = IndexModel::default();
    for action in actions {
        match action {
            Action::Insert(slot, texts) => {
                model.insert(slot, texts.iter().filter_map(|text| selector(text)).collect());
            }
            Action::Remove(slot) => model.remove(slot),
            Action::Publish(topics) => {
                topics.iter().for_each(|topic| model.check_price(topic));
                model.check_topics(&topics.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        model.check_held();
    }
    model.check_empties();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_index_answers_what_a_linear_scan_answers(actions in prop::collection::vec(action(), 1..80)) {
        check_history(actions, |text| Some(selector(text)));
    }
}

/// Patterns, and topics and templates with the same texts, which meet in heads, tails and nodes.
fn mixed_selector() -> impl Strategy<Value = String> {
    let beginning = prop::sample::select(
        &[
            "",
            "/",
            "/a",
            "https://e.x",
            "https://e.x/",
            "https://hub.e.x/",
            "http{s}?://e.x/",
            "*://*",
            "https://:h.x/",
            "urn\\:",
            "urn:",
            "foo://",
        ][..],
    );
    let piece = prop::sample::select(
        &[
            "a", "b", "/", "/", "/:x", ":x", "/*", "*", "{/b}?", "/:y?", "{a}*", "(a|b)", "/:z(a+)", ".a",
            "\\?q", "?*", "#a", "%41", "{x}", "é",
        ][..],
    );
    let pattern = (beginning, prop::collection::vec(piece, 0..5))
        .prop_map(|(head, rest)| format!("{head}{}", rest.concat()));
    prop_oneof![
        8 => pattern,
        2 => mixed_topic().prop_map(|topic| format!("={topic}")),
        1 => Just("=/a/{x}".to_owned()),
        1 => Just("{/a/{x}".to_owned()),
        1 => Just("/a/{x}".to_owned()),
        1 => overlapping_selector().prop_map(|template| format!("{{{template}")),
    ]
}

fn mixed_topic() -> impl Strategy<Value = String> {
    let beginning = prop::sample::select(
        &[
            "",
            "/",
            "/a",
            "https://e.x",
            "https://e.x/",
            "https://E.X:443/",
            "https://hub.e.x/",
            "http://e.x/",
            "https://u@e.x/",
            "urn:",
            "foo://",
            "foo:/",
        ][..],
    );
    let piece = prop::sample::select(
        &["a", "b", "/", "/", "/a", "/b", "aa", ".a", "?q", "#a", "%41", "é", ":1", "..", "{x}"][..],
    );
    (beginning, prop::collection::vec(piece, 0..6))
        .prop_map(|(head, rest)| format!("{head}{}", rest.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Test 129 of MERCURE-1.0, section 13.
    #[test]
    fn the_index_of_mixed_kinds_answers_what_a_linear_scan_answers(
        actions in prop::collection::vec(prop_oneof![
            3 => (0..SLOTS, prop::collection::vec(mixed_selector(), 0..6)).prop_map(|(slot, texts)| Action::Insert(slot, texts)),
            1 => (0..SLOTS).prop_map(Action::Remove),
            3 => prop::collection::vec(mixed_topic(), 1..4).prop_map(Action::Publish),
        ], 1..60),
    ) {
        let hub = pattern::hub();
        check_history(actions, |text| pattern::selector(text, &hub));
    }
}
