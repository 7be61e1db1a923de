//! Events of subscriptions: they are counted apart from updates, and push none out.

use super::*;
use crate::mercure::subscription::{SubscriberId, Subscription, WrittenAs};

fn events(count: usize, random: &mut fastrand::Rng) -> Vec<Arc<Frame>> {
    let subscriber = SubscriberId::from_random_bytes([7; 16]);
    let subscription =
        Subscription { written_as: WrittenAs::Topic, selector: "s", subscriber, active: true, payload: None };
    let mut event = || Update::of_subscription(&subscription, random.u128(..).to_ne_bytes());
    (0..count).map(|_| Arc::new(Frame::encode(event()))).collect()
}

/// The ids after an update, read in slices as a subscriber does.
fn follow(reader: &dyn HistoryReader, id: &str) -> (Vec<String>, usize) {
    let mut after = reader.locate(id).expect("readable").expect("held");
    let (mut ids, mut events) = (Vec::new(), 0);
    loop {
        let slice = reader.read(after, 1_000, usize::MAX).expect("readable");
        assert_eq!(slice.after, after, "nothing is missing");
        if slice.until == after {
            return (ids, events);
        }
        after = slice.until;
        for update in slice.updates {
            match update.frame.is_subscription_event() {
                true => events += 1,
                false => ids.push(update.frame.id().to_string()),
            }
        }
    }
}

#[test]
fn any_number_of_events_between_two_updates_pushes_none_out_and_leaves_the_file_small() {
    let directory = Directory::new("between");
    let mut random = fastrand::Rng::with_seed(1);
    let retention = Retention { updates_max: 10, ..Retention::default() };
    let mut history = open_with(&directory, retention);
    history.append(&[frame("a"), frame("b")], NOW_MS).expect("room");
    let size = || std::fs::metadata(directory.file()).expect("a file").len();
    let mut settled = 0;
    for batch in 0..60 {
        history.append(&events(1_000, &mut random), NOW_MS).expect("room");
        if batch == 25 {
            settled = size();
        }
    }
    assert!(size() <= settled * 5 / 4, "{settled} bytes have grown to {}", size());
    history.append(&[frame("c")], NOW_MS).expect("room");
    let check = |history: &RedbHistory| {
        let reader = history.reader();
        assert_eq!(follow(&*reader, "a"), (vec!["b".to_owned(), "c".to_owned()], 10_000));
        assert_eq!(follow(&*reader, "b"), (vec!["c".to_owned()], 10_000));
        assert_eq!(follow(&*reader, "c"), (vec![], 0));
        assert_eq!(history.held(), crate::history::HeldCounts { updates: 3, events: 10_000 });
        assert_eq!(reader.range().expect("readable").before_oldest, Position::START);
    };
    check(&history);
    drop(history);
    check(&open_with(&directory, retention));
    let mut archive = archive::Archive::open(&directory.file()).expect("ours");
    assert_eq!(archive.verify().expect("readable").texts, [""; 0]);
    let summary = archive.summary().expect("readable");
    assert_eq!((summary.updates, summary.events), (3, 10_000));
    let mut exported = Vec::new();
    let done = archive.for_each(|archived| {
        exported.push(archived.frame.id().to_string());
        Ok(())
    });
    done.expect("readable").expect("taken");
    assert_eq!(exported, ["a", "b", "c"], "events are not exported");
}

#[test]
fn a_discarded_event_is_unknown_and_one_that_is_held_leads_to_the_updates_after_it() {
    let directory = Directory::new("ids");
    let mut random = fastrand::Rng::with_seed(2);
    let retention = Retention { events_max: 3, ..Retention::default() };
    let mut history = open_with(&directory, retention);
    let first = events(2, &mut random);
    let later = events(3, &mut random);
    history.append(&[frame("a")], NOW_MS).expect("room");
    history.append(&first, NOW_MS).expect("room");
    history.append(&[frame("b")], NOW_MS).expect("room");
    history.append(&later, NOW_MS).expect("room");
    history.append(&[frame("c")], NOW_MS).expect("room");
    for _ in 0..2 {
        let reader = history.reader();
        assert_eq!(reader.locate(first[0].id().as_str()).expect("readable"), None);
        assert_eq!(follow(&*reader, later[1].id().as_str()), (vec!["c".to_owned()], 1));
        drop((history, reader));
        history = open_with(&directory, retention);
    }
}

/// A record that is gone although it was not discarded, whatever is around it.
#[test]
fn a_missing_update_or_event_is_an_error_and_not_taken_for_a_discarded_event() {
    for missing in 1..=12_u64 {
        let directory = Directory::new(&format!("missing{missing}"));
        let mut random = fastrand::Rng::with_seed(3);
        let retention = Retention { events_max: 2, ..Retention::default() };
        let mut history = open_with(&directory, retention);
        // u e e u u e e e u e e u: the events at 7, 8 and 10, 11 are the newest.
        let mut events = events(7, &mut random).into_iter();
        let updates = [1, 4, 5, 9, 12];
        for position in 1..=12_u64 {
            let update = match updates.contains(&position) {
                true => frame(&format!("u{position}")),
                false => events.next().expect("enough"),
            };
            history.append(&[update], NOW_MS).expect("room");
        }
        history.maintain(NOW_MS).expect("room");
        drop(history);
        let database = Database::create(directory.file()).expect("ours");
        let transaction = database.begin_write().expect("writable");
        let table = if updates.contains(&missing) { record::RECORDS } else { record::EVENTS };
        let was_there =
            transaction.open_table(table).expect("ours").remove(missing).expect("there").is_some();
        transaction.commit().expect("room");
        drop(database);
        assert_eq!(was_there, updates.contains(&missing) || missing > 9, "{missing}");
        let opened = RedbHistory::open(&directory.file(), retention, HistorySync::Never);
        let read = opened.as_ref().map(|history| {
            let reader = history.reader();
            (0..12).map(|after| reader.read(Position::new(after), 1, usize::MAX)).collect::<Vec<_>>()
        });
        match read {
            Err(_) => assert!(was_there, "{missing}"),
            Ok(reads) => {
                let failed = reads.iter().any(|read| {
                    read.as_ref().is_err_and(|error| error.position() == Some(Position::new(missing)))
                });
                assert_eq!(failed, was_there, "{missing}: {reads:?}");
                // A slice never leaves out an update.
                for slice in reads.into_iter().flatten() {
                    let range = slice.after.get() + 1..=slice.until.get();
                    let expected = updates.iter().filter(|position| range.contains(position)).count();
                    let held = slice.updates.iter().filter(|it| !it.frame.is_subscription_event());
                    assert_eq!(held.count(), expected, "{missing}");
                }
            }
        }
        drop(opened);
        let findings = archive::Archive::open(&directory.file()).map(|mut archive| archive.verify());
        let is_sound = matches!(&findings, Ok(Ok(findings)) if findings.problems == 0);
        assert_eq!(is_sound, !was_there, "{missing}: {findings:?}");
    }
}
