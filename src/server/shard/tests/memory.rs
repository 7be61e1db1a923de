//! The memory limit: what is refused at each mark, what is ended, and what is not.

use super::*;
use crate::limits::{BODY_GRACE_MS, MEMORY_QUIET_MS, MEMORY_SHED_MS, MEMORY_SHED_SUBSCRIPTIONS_MAX};
use crate::ops::metrics::MemoryKind;
use crate::server::memory::{MEMORY_REACHED, MemoryPermit};

const GIB: usize = 1 << 30;
/// So much that this process, whose resident memory counts, makes no difference.
const MAX: u64 = 64 << 30;

/// A shard with this limit.
fn limited() -> Harness {
    let memory = ShardMemory::new(MemoryAccount::new(MAX));
    Harness::with(Setup { memory, ..Setup::default() })
}

/// Holds this much beside what the clients have.
fn hold(hub: &Harness, gibibytes: usize) -> Vec<MemoryPermit> {
    (0..gibibytes).map(|_| hub.shard.shared.memory.hold(MemoryKind::Http2, GIB)).collect()
}

/// A round with work, after the time between two rounds that end something.
fn shed(hub: &mut Harness) {
    hub.pass(MEMORY_SHED_MS);
    let client = hub.connect();
    send(&client, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", SendFlags::empty()).expect("sent");
    hub.round();
    assert_eq!(status(&received(&client)), "200");
}

fn subscribed(hub: &mut Harness) -> OwnedFd {
    let client = hub.connect();
    hub.request(&client, &subscription("topic=a"));
    hub.push(Vec::new());
    assert_eq!(status(&received(&client)), "200");
    client
}

#[test]
fn at_the_first_mark_subscriptions_are_refused_with_the_reason_and_publications_are_not() {
    let mut hub = limited();
    let held = hold(&hub, 50);
    let client = hub.connect();
    let refused = hub.request(&client, &subscription("topic=a"));
    assert_eq!(status(&refused), "503");
    assert!(
        refused.contains("Retry-After: 10\r\n") && refused.contains("Connection: close\r\n"),
        "{refused}"
    );
    assert!(refused.ends_with(MEMORY_REACHED), "{refused}");
    let publisher = hub.connect();
    hub.request(&publisher, &publication("topic=a&id=1"));
    hub.commit();
    assert!(received(&publisher).ends_with("\r\n\r\n1"));
    drop(held);
    subscribed(&mut hub);
}

#[test]
fn at_the_second_mark_a_publication_is_refused_unless_it_has_arrived_before() {
    let mut hub = limited();
    let (arrived, unfinished, idle) = (hub.connect(), hub.connect(), hub.connect());
    hub.request(&arrived, &publication("topic=a&id=1"));
    let whole = publication("topic=a&data=unfinished");
    hub.request(&unfinished, &whole[..whole.len() - 1]);
    // A request may be on its way on a connection that was just opened.
    hub.pass(MEMORY_QUIET_MS);
    let held = hold(&hub, 57);
    let late = hub.connect();
    let refused = hub.request(&late, &publication("topic=a&id=2"));
    assert_eq!(status(&refused), "503");
    assert!(refused.ends_with(MEMORY_REACHED), "{refused}");
    shed(&mut hub);
    let refused = received(&unfinished);
    assert_eq!(status(&refused), "503", "a body that is not complete is given up");
    assert!(refused.ends_with(MEMORY_REACHED), "{refused}");
    assert!(is_over(&idle), "an idle connection is, too");
    assert_eq!(received(&arrived), "");
    hub.commit();
    assert!(received(&arrived).ends_with("\r\n\r\n1"), "what has arrived is stored");
    drop(held);
}

#[test]
fn the_newest_subscriptions_end_first_and_only_so_many_at_once() {
    let mut hub = limited();
    let subscribers: Vec<_> = (0..MEMORY_SHED_SUBSCRIPTIONS_MAX + 6).map(|_| subscribed(&mut hub)).collect();
    let held: Vec<_> =
        (0..57).map(|_| hub.shard.shared.memory.hold(MemoryKind::Subscriptions, GIB)).collect();
    shed(&mut hub);
    let ended = |hub: &Harness| hub.shard.shared.streams.shard.len();
    assert_eq!(ended(&hub), 6);
    assert!(subscribers[..6].iter().all(|client| !is_over(client)), "the oldest stay");
    assert!(subscribers[6..].iter().all(is_over));
    hub.round();
    assert_eq!(ended(&hub), 6, "not in every round");
    drop(held);
    shed(&mut hub);
    assert_eq!(ended(&hub), 6, "there is room again");
}

#[test]
fn memory_that_others_hold_ends_no_subscription() {
    let mut hub = limited();
    let subscriber = subscribed(&mut hub);
    let held: Vec<_> = (0..57).map(|_| hub.shard.shared.memory.hold(MemoryKind::Responses, GIB)).collect();
    shed(&mut hub);
    assert!(!is_over(&subscriber), "it would free nothing");
    drop(held);
}

#[test]
fn a_body_without_the_least_rate_is_408_and_one_with_it_is_not() {
    let mut hub = limited();
    let slow = hub.connect();
    let whole = publication(&format!("topic=a&data={}", "x".repeat(30_000)));
    hub.request(&slow, &whole[..whole.len() - 29_000]);
    let fast = hub.connect();
    hub.request(&fast, &whole[..whole.len() - 10_000]);
    hub.pass(BODY_GRACE_MS + 3_000);
    hub.round();
    let refused = received(&slow);
    assert_eq!(status(&refused), "408");
    assert!(refused.ends_with("a body must arrive at 1024 bytes a second or faster"), "{refused}");
    assert_eq!(hub.request(&fast, &whole[whole.len() - 10_000..]), "", "it waits for the store");
    hub.commit();
    assert_eq!(status(&received(&fast)), "200");
}

#[test]
fn an_http2_connection_ends_if_all_its_bodies_are_unfinished_and_not_if_one_has_arrived() {
    let mut hub = limited();
    let (unfinished, arrived) = (hub.connect(), hub.connect());
    let token = token(&json!({ "publish": ["*"] }));
    for (client, is_whole) in [(&unfinished, false), (&arrived, true)] {
        let mut fields = Vec::new();
        for (name, value) in [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/.well-known/mercure"),
            (":authority", "a"),
            ("authorization", &*format!("Bearer {token}")),
            ("content-type", "application/x-www-form-urlencoded"),
        ] {
            for text in [name, value] {
                if text == name {
                    // A literal field that is not indexed (RFC 7541, section 6.2.2).
                    fields.push(0);
                }
                match u8::try_from(text.len()) {
                    Ok(length @ ..127) => fields.push(length),
                    _ => {
                        let rest = text.len() - 127;
                        fields.extend([127, (rest % 128) as u8 | 128, (rest / 128) as u8]);
                    }
                }
                fields.extend_from_slice(text.as_bytes());
            }
        }
        let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
            let length = (payload.len() as u32).to_be_bytes();
            [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
        };
        let bytes = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(4, 0, 0, b""),
            frame(1, 4, 1, &fields),
            frame(0, u8::from(is_whole), 1, b"topic=a"),
        ];
        send(client, &bytes.concat(), SendFlags::empty()).expect("sent");
        hub.shard.shared.budget.renew();
        hub.shard.take_events();
        hub.round();
    }
    assert_eq!(hub.queue.len(), 1, "one has arrived");
    let held = hold(&hub, 57);
    shed(&mut hub);
    received_bytes(&unfinished);
    received_bytes(&arrived);
    assert!(is_over(&unfinished), "a body that is not complete is given up");
    assert!(!is_over(&arrived), "one that has arrived is not");
    drop(held);
}
