//! An observer of the active subscriptions of one version of the protocol: the list, and the events
//! that come after it, must agree.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clients::{OBSERVED, publish_mark};
use crate::common::subscriptions::{PATH, ask_with, members};
use crate::common::{Hub, Stream, id};
use crate::generation::Generation;
use crate::oracle::Topics;

/// Follows the active subscriptions: a list, and the events that come after it.
pub(crate) struct Observer {
    generation: Generation,
    stream: Stream,
    active: BTreeSet<String>,
}

/// The selectors of an observer, which are active subscriptions, too.
pub(crate) const SELECTORS: usize = 2;

impl Observer {
    pub(crate) fn new(hub: &Hub, generation: Generation) -> Self {
        let (active, last) = list(hub, generation);
        let (of_marks, _) = generation.query(Topics::default(), false);
        let (events, cursor) = (generation.events(), generation.cursor_parameter());
        let stream = hub.subscribe_with(&format!("{events}&{of_marks}&{cursor}={last}"), &bearer(generation));
        assert_eq!(stream.status, 200);
        Self { generation, stream, active }
    }

    /// Applies events until the mark.
    pub(crate) fn run(&mut self, mark: &str) {
        while self.apply() != mark {}
    }

    /// Applies one event; returns its id.
    fn apply(&mut self) -> String {
        let event = self.stream.next().expect("the stream goes on");
        let id = id(&event);
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).expect("data");
        let Ok(value) = serde_json::from_str::<Value>(data) else { return id };
        self.generation.check_document(&value);
        let is_typed = event.lines().any(|line| line == "event: mercure");
        assert_eq!(is_typed, self.generation == Generation::New, "{event}");
        let subscription = value["id"].as_str().expect("the id of a subscription").to_owned();
        if value["active"].as_bool().expect("active or not") {
            assert!(self.active.insert(subscription), "it began twice: {value}");
        } else {
            assert!(self.active.remove(&subscription), "it ended without a beginning: {value}");
        }
        id
    }

    /// Waits until the list has `expected` subscriptions and is what the events say; nothing
    /// changes meanwhile but what is already under way.
    pub(crate) fn check(&mut self, hub: &Hub, expected: usize, patience: Duration) {
        let until = Instant::now() + patience;
        let mut number = 0;
        loop {
            number += 1;
            let (listed, _) = list(hub, self.generation);
            // The events before the list are before this mark, too.
            let mark = format!("{OBSERVED}{number}-{}", fastrand::u64(..));
            publish_mark(hub, &mark);
            self.run(&mark);
            if listed == self.active && listed.len() == expected {
                return;
            }
            let differ: Vec<_> = listed.symmetric_difference(&self.active).take(5).collect();
            assert!(
                Instant::now() < until,
                "{} subscriptions are listed, the events say {}, and {expected} are open; they differ in {differ:?}",
                listed.len(),
                self.active.len(),
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn bearer(generation: Generation) -> String {
    format!("Authorization: Bearer {}\r\n", generation.everything())
}

/// The ids of the active subscriptions of a version, and the event id of the list.
fn list(hub: &Hub, generation: Generation) -> (BTreeSet<String>, String) {
    let answer = ask_with(hub, PATH, &bearer(generation));
    let media_type = match generation {
        Generation::Old => "application/ld+json",
        Generation::New => "application/json",
    };
    assert_eq!((answer.status, answer.header("Content-Type")), (200, Some(media_type)), "{answer:?}");
    let list: Value = serde_json::from_str(&answer.body).expect("JSON");
    let last = match generation {
        Generation::Old => list["lastEventID"].as_str().map(str::to_owned),
        Generation::New => {
            let link = answer.header("Link").expect("a link");
            link.split_once("last-event-id=\"").and_then(|(_, rest)| Some(rest.split('"').next()?.to_owned()))
        }
    };
    members(&list).iter().for_each(|document| generation.check_document(document));
    let ids = members(&list).iter().map(|member| member["id"].as_str().expect("an id").to_owned());
    (ids.collect(), last.expect("an id"))
}
