//! The table of PROTOCOL section 5, and the bound on the work.

use super::*;

fn template(text: &str) -> Template {
    Template::parse(text).expect("a template")
}

fn check(text: &str, matched: &[&str], refused: &[&str]) {
    let template = template(text);
    for topic in matched {
        assert!(template.matches(topic), "{text} should match {topic:?}");
    }
    for topic in refused {
        assert!(!template.matches(topic), "{text} should not match {topic:?}");
    }
}

#[test]
fn simple_expressions_take_unreserved_characters_and_commas() {
    check(
        "https://example.com/books/{id}",
        &["https://example.com/books/1", "https://example.com/books/a,b", "https://example.com/books/"],
        &[
            "https://example.com/books/1/2",
            "https://example.com/books/1?x=y",
            "https://example.com/books",
            "",
        ],
    );
    check(
        "{x,y}",
        &["", "a", "a,b", "%C3%A9", "-._~"],
        &["a/b", "é", "%", "%4", "%zz", "a b", "a=b", "a:b", "a!"],
    );
    check("{a}{b}", &["", "a", "a,b"], &["/"]);
    check("{a}%41{b}", &["%41", "x%41", "%41%41%41", "%4141"], &["%4%41", "A", "%4"]);
}

#[test]
fn reserved_and_fragment_expressions_take_reserved_characters() {
    check("{+x}", &["", "https://a/b?c=d#e", "a,b", "%20", "[]"], &["é", "%", "a b", "{", "\\"]);
    check("a{#x}", &["a", "a#", "a#b/c", "a##"], &["ab", "a/"]);
    check("{+a}{b}{c}", &["", "/"], &[" "]);
}

#[test]
fn labels_and_path_segments_have_their_prefix() {
    check("a{.x,y}", &["a", "a.", "a.b", "a.b.c", "a.b,c"], &["ab", "a/b"]);
    check("a{/x}", &["a", "a/", "a/b", "a/b,c"], &["ab", "a/b/c", "a/b=c"]);
    check("a{/x,y}", &["a", "a/b/c", "a//"], &["a/b/c/d"]);
    check("a{/x*}", &["a", "a/b/c/d", "a/b=c"], &["ab", "a/?"]);
}

#[test]
fn named_expressions_take_their_own_names_in_order() {
    check(
        "a{?x,y}",
        &["a", "a?x=", "a?x=1", "a?y=2", "a?x=1&y=2", "a?x=1,2"],
        &[
            "a?",
            "a?x",
            "a?z=1",
            "a?y=2&x=1",
            "a?x=1&x=1",
            "a?x=1&",
            "a&x=1",
            "a?x=1&z=2",
            "a?xy=1",
            "a?x=a=b",
        ],
    );
    check("a{;x,y}", &["a", "a;x", "a;x=1;y", "a;y=2"], &["a;", "a;x=", "a;x1", "a;y;x", "a;x;x"]);
    check("a{&x}", &["a", "a&x=", "a&x=1"], &["a?x=1", "a&y=1"]);
    check("a{?x*}", &["a", "a?x=1", "a?x=1&x=2", "a?k=v&l="], &["a?k", "a?k=v&", "a?k=a,b", "a?k/l=v"]);
    check("a{;x*}", &["a", "a;x", "a;x;x=2", "a;k=v"], &["a;k=", "a;k=v=w"]);
    check("{?a.b,c%20d}", &["?a.b=1", "?c%20d=1", "?a.b=1&c%20d=2"], &["?c d=1", "?a=1"]);
}

#[test]
fn a_prefix_length_counts_characters_and_triplets() {
    check("{x:3}", &["", "a", "abc", "a%20b", "%C3%A9a"], &["abcd", "a,b", "a%20bc", "%C3%A9ab"]);
    check("{x:3}z", &["z", "zz", "zzzz"], &["zzzzz", "abc"]);
    check("{+x:2}/b", &["/b", "//b", "a//b"], &["aa//b"]);
    check("{x:2}{y:1}", &["abc"], &["abcd"]);
    check("{/x:1,y}", &["/a", "/a/bcd", "/bcd", ""], &["/bcd/a/", "/ab/c"]);
    check("{?x:2}", &["?x=ab", "?x=", ""], &["?x=abc"]);
    check("{;x:2}", &[";x=ab", ";x", ""], &[";x=abc", ";x="]);
    check("{x:9999}", &["", &"a".repeat(9999)], &[&"a".repeat(10_000)]);
    // Of two ways into one prefix, the one that took less survives, whichever comes first.
    check("a{+x}b{y:2}", &["ab", "abbbbbbbb", "abcbcc", "abcccb"], &["abccc", "accc"]);
}

#[test]
fn literals_are_compared_byte_by_byte() {
    check("/é{id}", &["/é1", "/é"], &["/%C3%A91", "/e1"]);
    check("/%c3%a9{id}", &["/%c3%a91"], &["/é1", "/%C3%A91"]);
}

#[test]
fn the_grammar_is_that_of_the_rfc() {
    for text in [
        "{",
        "}",
        "{}",
        "a{",
        "{a}}",
        "{{a}}",
        "{é}",
        "{a b}",
        "{a-b}",
        "{.}",
        "{+}",
        "{a,}",
        "{,a}",
        "{a..b}",
        "{a.}",
        "{..a}",
        "{a%4}",
        "{a:}",
        "{a:0}",
        "{a:01}",
        "{a:10000}",
        "{a:+1}",
        "{a:3*}",
        "{a*:3}",
        "{a**}",
        "{=a}",
        "{,a}",
        "{!a}",
        "{@a}",
        "{|a}",
        "{a} ",
        "{a}%",
        "{a}%4",
        "{a}\"",
        "{a}<",
        "{a}\\",
        "{a}^",
        "{a}`",
        "{a}|",
        "{a}\u{80}",
        "{a}\u{7f}",
        "{a}\u{fdd0}",
        "{a}\u{ffff}",
        "{a}\u{e0001}",
    ] {
        assert!(matches!(Template::parse(text), Err(TemplateError::Syntax { .. })), "{text:?}");
    }
    assert_eq!(Template::parse("").map(|_| ()), Err(TemplateError::NoExpression));
    assert_eq!(Template::parse("a'b").map(|_| ()), Err(TemplateError::NoExpression));
    assert_eq!(Template::parse("a%{b}").map(|_| ()), Err(TemplateError::Syntax { at: 1 }));
    for text in ["{a}", "{a.b}", "{a%20}", "{_}", "{1}", "{a:9999}", "{.a.b}", "é{a}'\u{e000}"] {
        assert!(Template::parse(text).is_ok(), "{text:?}");
    }
}

#[test]
fn a_compiled_form_beyond_the_bound_is_refused() {
    let with_variables = |count: usize| format!("{{/{}a}}", "a,".repeat(count - 1));
    assert!(Template::parse(&with_variables(1_000)).is_ok());
    assert_eq!(Template::parse(&with_variables(2_000)).map(|_| ()), Err(TemplateError::TooComplex));
    let long = format!("{{a}}{}", "b".repeat(SELECTOR_BYTES_MAX));
    assert_eq!(Template::parse(&long).map(|_| ()), Err(TemplateError::TooComplex));
}

/// Patterns for which a backtracking matcher takes exponential or quadratic time.
#[test]
fn no_topic_costs_more_than_the_price_whatever_the_template() {
    for text in [
        "{a}{+b}{c*}{d}{e}{/f}{g}x".to_owned(),
        "{+a}x{+b}x{+c}x{+d}x{+e}x{+f}/".to_owned(),
        "{a*}{b*}{/c*}{/d*}{.e*}{.f*}!".to_owned(),
        "{?a*,b*,c*,d*}{&e*}{&f*}!".to_owned(),
        "{a:99}{b:99}{c:99}{d:99}!".to_owned(),
        // Repetitions that lead back from one word of positions to the one before.
        "{?abcdefghijkl*,b*,c*,d*,e*,f*,g*}{a:3}!".repeat(12),
        "{;a*}{;b*}{;c*}".repeat(40),
        "{+x}y".repeat(800),
        format!("{{/{}z*}}!", "a:3,".repeat(200)),
    ] {
        let template = template(&text);
        assert!(!template.is_plain(), "{text}");
        let price = u64::from(template.match_cost());
        for topic in ["x", "xy", "/", "a.", "%41", "?a=b&"] {
            for length in [500, 4_000] {
                let topic = topic.repeat(length);
                let mut simulator = Simulator::default();
                simulator.matches(&template, topic.as_bytes());
                let (spent, kib) = (simulator.take_spent(), topic.len() as u64 / 1024 + 1);
                assert!(spent <= price * kib, "{text}: {spent} of {price} for each of {kib} KiB");
            }
        }
    }
}

#[test]
fn a_plain_scan_answers_what_the_simulation_answers() {
    let units = ["a", "b", "/", "%41", "%", "4", "1", ",", "="];
    let mut topics = vec![String::new()];
    for start in 0..units.len().pow(3) + units.len().pow(2) + units.len() + 1 {
        topics.extend(units.map(|unit| format!("{}{unit}", topics[start])));
    }
    for text in [
        "{x}",
        "{+x}",
        "{x*}",
        "{x}a",
        "{x}/",
        "{x}/b",
        "{x}%41",
        "{x}41",
        "{x}1",
        "{x}/{y}",
        "{x}/a{y}b",
        "{x}={y}",
        "{x}/{+y}a",
    ] {
        let template = template(text);
        assert!(template.is_plain, "{text}");
        let mut simulator = Simulator::default();
        for topic in &topics {
            let rest = topic.as_bytes();
            assert_eq!(
                template.tail().matches(rest, 0),
                simulator.matches(&template, rest),
                "{text} {topic}"
            );
        }
    }
    for text in ["{x}a{y}", "{x}%41{y}", "{+x}/{y}", "{/x}", "{x:2}", "{x*}={y}", "{x}{+y}{?z}"] {
        assert!(!template(text).is_plain, "{text}");
    }
}

/// `docs/limits.md` quotes these.
#[test]
fn the_price_of_usual_templates() {
    assert_eq!(template("https://example.com/books{?page,sort}").match_cost(), 642);
    assert_eq!(template("https://example.com/books/{id:3}").match_cost(), 512);
}
