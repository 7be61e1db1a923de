//! Goal: a grant allows what its token lists, and nothing else, at a bounded cost.
//! Method: claims are made as the reader of a token makes them; costs are those of the budget, not
//! times.

use super::*;
use serde_json::json;

use crate::limits::{MATCH_COST_COMPARISON, MATCH_COST_NODE, MATCH_COST_URL, TOKEN_BYTES_MAX, TOPICS_MAX};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::MatcherType;
use crate::mercure::token::MercureClaim;

fn list(members: Option<&[&str]>) -> Option<Vec<String>> {
    members.map(|members| members.iter().map(ToString::to_string).collect())
}

fn publisher(authorization: Authorization, members: Option<&[&str]>) -> Grant {
    let mercure = MercureClaim { publish: list(members), ..MercureClaim::default() };
    Grant::from_claims(&LegacyClaims { mercure, exp_ms: None }.into(), authorization).expect("valid claims")
}

fn subscriber(authorization: Authorization, members: Option<&[&str]>) -> Grant {
    let mercure = MercureClaim { subscribe: list(members), ..MercureClaim::default() };
    Grant::from_claims(&LegacyClaims { mercure, exp_ms: None }.into(), authorization).expect("valid claims")
}

/// A grant of draft 08: for each entry whether it grants publishing and receiving, its exact
/// matchers, and its payload.
fn detailed(entries: &[(bool, bool, &[&str], Option<Value>)]) -> Grant {
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
    let matcher = |text: &&str| Selector::parse_matcher(MatcherType::Exact, text, &hub);
    let detail = |(publishes, subscribes, topics, payload): &(bool, bool, &[&str], Option<Value>)| Detail {
        publishes: *publishes,
        subscribes: *subscribes,
        topics: topics.iter().map(matcher).collect::<Result<_, _>>().expect("matchers"),
        payload: payload.clone(),
    };
    let claims = AccessClaims { details: entries.iter().map(detail).collect(), exp_ms: 7 };
    Grant::from_claims(&Claims::Access(claims), Authorization::Targets).expect("a grant")
}

fn targets(targets: &[&str]) -> Audience {
    Audience::Targets(targets.iter().map(|target| Box::from(*target)).collect())
}

/// The rows of PROTOCOL section 4 for `AUTHORIZATION=selectors`.
#[test]
fn with_selectors_every_topic_has_to_be_granted() {
    for (members, topics, allowed) in [
        (None, &["a"][..], false),
        (Some(&[][..]), &["a"], false),
        (Some(&["*"]), &["a", "b"], true),
        (Some(&["a"]), &["a"], true),
        (Some(&["a"]), &["a", "b"], false),
        (Some(&["/x/{id}", "b"]), &["/x/1", "b"], true),
    ] {
        let grant = publisher(Authorization::Selectors, members);
        for audience in [Audience::Public, Audience::Private] {
            let result = grant.may_publish(topics.iter().copied(), &audience);
            assert_eq!(result.is_ok(), allowed, "{members:?} {topics:?}");
        }
        assert_eq!(grant.may_publish_anything(), members.is_some_and(|members| !members.is_empty()));
    }
}

/// The same for `AUTHORIZATION=targets`. `[]` allows public updates only.
#[test]
fn with_targets_every_target_has_to_be_granted_and_topics_do_not_count() {
    for (members, audience, allowed) in [
        (None, Audience::Public, false),
        (Some(&[][..]), Audience::Public, true),
        (Some(&[]), targets(&["x"]), false),
        (Some(&["*"]), targets(&["x", "y"]), true),
        (Some(&["x"]), targets(&["x"]), true),
        (Some(&["x"]), targets(&["x", "y"]), false),
        (Some(&["x"]), Audience::Public, true),
        (Some(&["x"]), Audience::Private, false),
        (Some(&["{x}"]), targets(&["x"]), false),
    ] {
        let grant = publisher(Authorization::Targets, members);
        let result = grant.may_publish(["t"].into_iter(), &audience);
        assert_eq!(result.is_ok(), allowed, "{members:?} {audience:?}");
    }
}

#[test]
fn private_updates_reach_those_whose_selectors_match_one_topic() {
    for (members, allowed) in [
        (None, false),
        (Some(&[][..]), false),
        (Some(&["b"]), true),
        (Some(&["*"]), true),
        (Some(&["c"]), false),
    ] {
        let grant = subscriber(Authorization::Selectors, members);
        assert_eq!(grant.may_receive(["a", "b"].into_iter(), &Audience::Private), allowed, "{members:?}");
        assert!(grant.may_receive(["a"].into_iter(), &Audience::Public), "{members:?}");
        assert!(!grant.may_receive(["a"].into_iter(), &targets(&["b"])), "{members:?}");
    }
    assert!(!Grant::anonymous().may_receive(["a"].into_iter(), &Audience::Private));
}

#[test]
fn targeted_updates_reach_those_with_one_of_the_targets() {
    for (members, allowed) in [
        (None, false),
        (Some(&[][..]), false),
        (Some(&["y"]), true),
        (Some(&["*"]), true),
        (Some(&["z"]), false),
    ] {
        let grant = subscriber(Authorization::Targets, members);
        assert_eq!(grant.may_receive(["t"].into_iter(), &targets(&["x", "y"])), allowed, "{members:?}");
    }
}

#[test]
fn a_long_topic_that_is_not_granted_does_not_fill_the_log() {
    let grant = publisher(Authorization::Selectors, Some(&["x"]));
    for length in [LOGGED_TEXT_BYTES_MAX / 2, 1 << 20] {
        let topic = "\u{e9}".repeat(length);
        let denial = grant.may_publish([&*topic].into_iter(), &Audience::Public).expect_err("not granted");
        let text = denial.to_string();
        assert!(text.contains('\u{e9}') && text.len() <= LOGGED_TEXT_BYTES_MAX + 32, "{}", text.len());
    }
}

#[test]
fn a_list_that_cannot_be_understood_is_no_grant() {
    let claims = |members: Vec<String>| {
        let mercure = MercureClaim { publish: Some(members), ..MercureClaim::default() };
        Claims::from(LegacyClaims { mercure, exp_ms: None })
    };
    let too_many = claims(vec!["a".to_owned(); GRANTS_MAX + 1]);
    assert_eq!(Grant::from_claims(&too_many, Authorization::Selectors), Err(GrantError::TooMany("publish")));
    let too_long = claims(vec!["a".repeat(crate::limits::SELECTOR_BYTES_MAX + 1)]);
    assert!(matches!(
        Grant::from_claims(&too_long, Authorization::Selectors),
        Err(GrantError::Selector("publish", _))
    ));
}

#[test]
fn the_entries_of_an_access_token_add_up_and_every_topic_of_a_publication_counts() {
    let grant = detailed(&[
        (true, false, &["a"], None),
        (true, true, &["b", "c"], None),
        (false, true, &["d"], None),
        (false, false, &["*"], None),
    ]);
    assert_eq!((grant.dialect(), grant.expires_at_ms()), (Some(Dialect::Draft08), Some(7)));
    for (topics, allowed) in
        [(&["a"][..], true), (&["a", "b", "c"], true), (&["a", "d"], false), (&["e"], false)]
    {
        for audience in [Audience::Public, Audience::Private] {
            let result = grant.may_publish(topics.iter().copied(), &audience);
            assert_eq!(result.is_ok(), allowed, "{topics:?}");
        }
    }
    for (topics, allowed) in [(&["b"][..], true), (&["x", "d"], true), (&["a"], false), (&["{d}"], false)] {
        let result = grant.may_receive(topics.iter().copied(), &Audience::Private);
        assert_eq!(result, allowed, "{topics:?}");
    }
    let nothing = detailed(&[(false, false, &["*"], None)]);
    assert!(!nothing.may_publish_anything());
    assert!(!nothing.may_receive(["a"].into_iter(), &Audience::Private));
    assert!(nothing.may_receive(["a"].into_iter(), &Audience::Public));
}

/// The grants of test 128 of MERCURE-1.0, section 13: topics and targets are kept apart, `*`
/// included.
#[test]
fn no_grant_reaches_updates_of_another_kind() {
    let modern = detailed(&[(true, true, &["*"], None)]);
    let selectors =
        |read: fn(Authorization, Option<&[&str]>) -> Grant| read(Authorization::Selectors, Some(&["*"]));
    let of_targets = publisher(Authorization::Targets, Some(&["*"]));
    for grant in [&modern, &selectors(publisher)] {
        assert!(grant.may_publish(["a"].into_iter(), &Audience::Private).is_ok());
        let refused = grant.may_publish(["a"].into_iter(), &targets(&["x"]));
        assert_eq!(refused, Err(PublishDenial::Audience));
    }
    let refused = of_targets.may_publish(["a"].into_iter(), &Audience::Private);
    assert_eq!(refused, Err(PublishDenial::Audience));
    for grant in [&modern, &selectors(subscriber)] {
        assert!(grant.may_receive(["a"].into_iter(), &Audience::Private));
        assert!(!grant.may_receive(["a"].into_iter(), &targets(&["x"])));
    }
    let of_targets = subscriber(Authorization::Targets, Some(&["*"]));
    assert!(!of_targets.may_receive(["a"].into_iter(), &Audience::Private));
    assert!(of_targets.may_receive(["a"].into_iter(), &targets(&["x"])));
}

/// The choice of tests 109 and 110 of MERCURE-1.0, section 13.
#[test]
fn the_first_entry_that_matches_the_selector_has_the_payload() {
    let payload = |grant: &Grant, text: &str| {
        let chosen = grant.choose_payloads(&[Selector::Exact(text.into())]).expect("not costly");
        chosen.numbers[0].and_then(|number| grant.payload_at(number)).map(ToString::to_string)
    };
    let bytes =
        |grant: &Grant, selectors: &[Selector]| grant.choose_payloads(selectors).map(|chosen| chosen.bytes);
    let entries = [
        (false, true, &["a"][..], Some(json!({"n": 1}))),
        (true, false, &["b"], Some(json!(2))),
        (false, true, &["c"], None),
        (false, true, &["*"], Some(json!([3]))),
        (false, true, &["d"], Some(json!(4))),
    ];
    let grant = detailed(&entries);
    for (text, expected) in
        [("a", Some("{\"n\":1}")), ("b", Some("[3]")), ("c", None), ("d", Some("[3]")), ("*", Some("[3]"))]
    {
        assert_eq!(payload(&grant, text).as_deref(), expected, "{text}");
    }
    let selectors = ["a", "c", "d"].map(|text| Selector::Exact(text.into()));
    assert_eq!(bytes(&grant, &selectors), Some(7 + 3));
    let many = vec![Selector::Any; PAYLOADS_MATCH_COST_MAX as usize];
    assert_eq!(bytes(&grant, &many), None, "too costly");
    assert_eq!(payload(&detailed(&entries[1..3]), "c"), None);
    let both = [(false, true, &["*"][..], Some(json!(1))), (false, true, &["*"], Some(json!(2)))];
    assert_eq!(payload(&detailed(&both), "a").as_deref(), Some("1"), "the first of two `*`");
    let mercure = MercureClaim { payload: Some(json!({"n": 1})), ..MercureClaim::default() };
    let legacy = Claims::from(LegacyClaims { mercure, exp_ms: None });
    let legacy = Grant::from_claims(&legacy, Authorization::Selectors).expect("a grant");
    assert_eq!(payload(&legacy, "anything").as_deref(), Some("{\"n\":1}"));
    assert_eq!(bytes(&legacy, &selectors), Some(3 * 7));
}

/// Templates that each cost much to compare with a topic of these letters.
fn costly_templates(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{{a{number},b,c}}b{}", "{d,e}b".repeat(40))).collect()
}

/// The dearest publication: as many topics as a body has, and a token full of templates.
#[test]
fn a_publication_whose_topics_cost_too_much_to_compare_is_refused() {
    let templates = costly_templates(100);
    assert!(templates.iter().map(String::len).sum::<usize>() < TOKEN_BYTES_MAX * 3 / 4);
    let members: Vec<&str> = templates.iter().map(String::as_str).collect();
    let grant = publisher(Authorization::Selectors, Some(&members));
    let topic = "/".repeat(1_000);
    let denied = grant.may_publish([&*topic].into_iter(), &Audience::Public);
    assert_eq!(denied, Err(PublishDenial::Topic(topic.clone())), "compared");
    // Each is granted, by the last template.
    let granted = |count: usize| vec![members[99]; count].into_iter();
    assert_eq!(grant.may_publish(granted(1), &Audience::Public), Ok(()));
    assert_eq!(grant.may_publish(granted(TOPICS_MAX), &Audience::Public), Err(PublishDenial::TooCostly));
    let text = PublishDenial::TooCostly.to_string();
    assert!(text.contains(&PUBLISH_MATCH_COST_MAX.to_string()), "{text}");
    // Exact topics are found, and templates that begin otherwise are passed over.
    let exact: Vec<String> = (0..GRANTS_MAX).map(|number| format!("t{number}")).collect();
    let members: Vec<&str> = exact.iter().map(String::as_str).collect();
    let grant = publisher(Authorization::Selectors, Some(&members));
    let published = members.iter().copied().take(TOPICS_MAX);
    assert_eq!(grant.may_publish(published, &Audience::Public), Ok(()));
    let apart: Vec<String> = (0..1_000).map(|number| format!("https://e.x/{number}/{{id}}")).collect();
    let members: Vec<&str> = apart.iter().map(String::as_str).collect();
    let grant = publisher(Authorization::Selectors, Some(&members));
    let published = vec!["https://e.x/999/a"; 100];
    assert_eq!(grant.may_publish(published.into_iter(), &Audience::Public), Ok(()));
}

/// The same for receiving, where nothing can be refused: the first topics are compared.
#[test]
fn topics_beyond_the_cost_of_a_comparison_are_not_granted() {
    let mut templates = costly_templates(50);
    templates.push("granted".to_owned());
    let members: Vec<&str> = templates.iter().map(String::as_str).collect();
    let grant = subscriber(Authorization::Selectors, Some(&members));
    let other = "/".repeat(1_000);
    let receives = |others: usize| {
        let topics = std::iter::repeat_n(&*other, others).chain(["granted"]);
        grant.receives(&topics.map(ComparedTopic::new).collect::<Vec<_>>(), &Audience::Private)
    };
    let (is_granted, cost) = receives(1);
    assert!(is_granted && (10_000..RECEIVE_MATCH_COST_MAX).contains(&cost), "{cost}");
    assert_eq!(receives(999), (false, RECEIVE_MATCH_COST_MAX));
    let mine = ["granted"].into_iter().chain(std::iter::repeat_n(&*other, 999));
    assert!(grant.may_receive(mine, &Audience::Private), "the first topics are compared");
    assert_eq!(grant.receives(&[ComparedTopic::new("a")], &Audience::Public), (true, 0));
}

/// The entries of Laravel for one user of these presence channels, and the matchers of Echo.
fn laravel(channels: usize) -> (Vec<Detail>, Vec<Selector>) {
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
    let exact = |text: &str| Selector::parse_matcher(MatcherType::Exact, text, &hub).expect("a matcher");
    let pattern =
        |text: &str| Selector::parse_matcher(MatcherType::UrlPattern, text, &hub).expect("a matcher");
    let (mut details, mut matchers) = (Vec::new(), Vec::new());
    for number in 0..channels {
        let topic = format!("https://laravel.alt/echo/channel/presence-room.{number}");
        let encoded = topic.replace(':', "%3A").replace('/', "%2F");
        let events = format!("/.well-known/mercure/subscriptions/:match_type/{encoded}");
        details.push(Detail {
            publishes: false,
            subscribes: true,
            topics: [exact(&topic), pattern(&format!("{events}{{/:subscriber}}?"))].into(),
            payload: Some(json!({ "user_id": number })),
        });
        matchers.push(exact(&topic));
        matchers.push(pattern(&format!("{events}/:subscriber")));
    }
    (details, matchers)
}

/// The cost of choosing the payloads, in units of `MATCH_COST_NODE`.
fn payload_cost(grant: &Grant, matchers: &[Selector]) -> u64 {
    let Payloads::ByDetail(entries) = &grant.payloads else { panic!("no payloads") };
    let mut budget = ComparisonBudget::new(u64::MAX);
    entries.choose(matchers, &mut budget).expect("no bound");
    budget.spent()
}

/// Twice the channels that one token of Laravel may have cost twice as much, not four times.
#[test]
fn the_payloads_of_many_presence_channels_are_chosen_at_a_cost_that_grows_with_their_number() {
    let cost = |channels: usize| {
        let (details, matchers) = laravel(channels);
        let claims = AccessClaims { details: details.into(), exp_ms: 7 };
        let grant = Grant::from_claims(&Claims::Access(claims), Authorization::Targets).expect("a grant");
        let chosen = grant.choose_payloads(&matchers).expect("not costly");
        for (place, number) in chosen.numbers.iter().enumerate() {
            let payload = number.and_then(|number| grant.payload_at(number));
            assert_eq!(payload, Some(&json!({ "user_id": place / 2 })), "matcher {place}");
        }
        // The event of the last channel is compared with the pattern of that channel alone.
        let event = matchers.last().expect("a matcher").as_str().replace(":match_type", "exact");
        let (is_granted, of_event) = grant.receives(&[ComparedTopic::new(&event)], &Audience::Private);
        assert!(is_granted && of_event < 1_000, "{of_event}");
        payload_cost(&grant, &matchers)
    };
    let (hundred, two_hundred) = (cost(100), cost(200));
    assert!(hundred < PAYLOADS_MATCH_COST_MAX / 5, "{hundred}");
    assert!(two_hundred < hundred * 21 / 10, "{hundred} and {two_hundred}");
}

/// Also what no selector is run for costs: to look at each of a row, and to read the topic.
#[test]
fn what_comparisons_cost_counts_each_selector_and_the_reading_of_the_topic() {
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
    let spent = |selectors: Vec<Selector>, topic: &str| {
        let mut budget = ComparisonBudget::new(u64::MAX);
        let found = GrantedTopics::new(selectors).select(&ComparedTopic::new(topic), &mut budget);
        assert_eq!(found, Ok(false));
        budget.spent()
    };
    let templates = |count| (0..count).map(|at| Selector::parse(&format!("a{at}{{b}}")).expect("a template"));
    // The search in a row takes as many steps for the one as for the other; each selector found is
    // compared by its segments, for one unit.
    let more = spent(templates(31).collect(), "c") - spent(templates(16).collect(), "c");
    assert_eq!(more, 15 * (u64::from(MATCH_COST_COMPARISON) + 1));
    let deep = |count| (0..count).map(|at| Selector::parse(&("a/".repeat(at + 1) + "{b}")).expect("one"));
    let more = spent(deep(30).collect(), "c") - spent(deep(10).collect(), "c");
    assert_eq!(more, 20 * u64::from(MATCH_COST_NODE), "rows that need more segments");
    let pattern = Selector::parse_matcher(MatcherType::UrlPattern, "https://e.x/a/:b", &hub).expect("one");
    let topic = |kib: usize| format!("https://other.example/{}", "c".repeat(kib << 10));
    let more = spent(vec![pattern.clone()], &topic(30)) - spent(vec![pattern], &topic(10));
    let split_more = 20 * 1024 / 512;
    assert_eq!(more, 20 * u64::from(MATCH_COST_URL) + split_more);
}

/// Templates and patterns by their segments, against one comparison after the other.
#[test]
fn the_first_entry_is_that_of_a_linear_search() {
    let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let ends =
        ["", "{/:x}?", "{/b}*", "/*", "*", ":x", "/:x", "/", "?q=:q", "{a}?", "/a{b/}?", "(/.*)?", "+"];
    let middles = ["a", "b", ":x", "a:x", ":x.b", "(a|b)", "(a+)", ".", "..", "%61", "*", "(.*)"];
    let begins =
        ["/", "", "https://e.x/", "https://hub.e.x/", "https://:h.e.x/", "*://e.x/", "urn\\:", "../"];
    let templates = ["{a}", "/{a}", "/a/{b}", "/a/{b}/c", "/a/b{+c}", "https://e.x/a/{b}", "a{b}", "/a{/b}"];
    let topics_begin =
        ["/", "", "https://e.x/", "https://hub.e.x/", "https://E.X:443/", "urn:", "http://[", "../"];
    let one = |random: &mut fastrand::Rng, of: &[&str]| of[random.usize(..of.len())].to_owned();
    let mut found = 0;
    for round in 0..300 {
        let mut selectors = Vec::new();
        for entry in 0..random.u16(1..60) {
            let count = random.usize(1..5);
            let middle: Vec<_> = (0..count).map(|_| one(&mut random, &middles)).collect();
            let text = one(&mut random, &begins) + &middle.join("/") + &one(&mut random, &ends);
            let selector = match random.u8(..8) {
                0 => Selector::parse(&one(&mut random, &templates)).ok(),
                1 => Selector::parse_matcher(MatcherType::Exact, &text, &hub).ok(),
                _ => Selector::parse_matcher(MatcherType::UrlPattern, &text, &hub).ok(),
            };
            selectors.extend(selector.map(|selector| (entry, selector)));
        }
        let granted = GrantedTopics::of_entries(selectors.iter().cloned());
        for _ in 0..100 {
            let count = random.usize(1..6);
            let words = ["a", "b", "aa", "", "c.b", "%61", "..", "{b}", "a?q=1"];
            let rest: Vec<_> = (0..count).map(|_| one(&mut random, &words)).collect();
            let topic = match selectors.get(random.usize(..selectors.len() * 4 + 1)) {
                Some((_, selector)) => selector.to_string(),
                None => one(&mut random, &topics_begin) + &rest.join("/"),
            };
            let compared = ComparedTopic::new(&topic);
            let expected = selectors.iter().find(|(_, it)| it.matches(&topic)).map(|(entry, _)| *entry);
            let mut budget = ComparisonBudget::new(u64::MAX);
            let first = granted.first(&compared, &mut budget);
            assert_eq!(first, Ok(expected), "seed {seed}, round {round}: {topic} in {selectors:?}");
            found += usize::from(expected.is_some());
        }
    }
    assert!(found > 3_000, "seed {seed}: {found} found");
}

/// What is compared before a selector is found costs something, too: segments that many share.
#[test]
fn finding_selectors_by_long_segments_costs_as_much_as_there_is_to_compare() {
    let shared = "/a".repeat(60);
    let cost = |count: usize, topic: &str| {
        let templates: Vec<String> = (0..count).map(|number| format!("{shared}/x{number}/{{id}}")).collect();
        let members: Vec<&str> = templates.iter().map(String::as_str).collect();
        let grant = subscriber(Authorization::Selectors, Some(&members));
        let (is_granted, cost) = grant.receives(&[ComparedTopic::new(topic)], &Audience::Private);
        assert!(!is_granted);
        cost
    };
    let topic = format!("{shared}/x/1");
    // A binary search compares 62 segments in each of its steps: up to 11 for 512, and one more.
    let compared = 62 * 12;
    let many = cost(512, &topic);
    assert!((compared / 10..compared / 4).contains(&many), "{many} for {compared} segments");
    assert!(cost(1, &topic) < many / 2);
    let long = cost(1, &"b".repeat(16 << 10));
    assert!(long >= 32, "{long} for a scan of 16 KiB");
}
