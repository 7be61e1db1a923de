//! The summary, the check and the compaction of an archive.

use super::*;

#[test]
fn an_archive_tells_what_the_hub_wrote_and_finds_what_it_did_not() {
    let directory = Directory::new("archive");
    let missing = archive::Archive::open(&directory.file()).err().expect("none there");
    assert!(matches!(missing.cause(), OpenCause::Missing), "{missing:?}");
    assert!(!directory.file().exists(), "looking makes no file");
    let mut history = open(&directory);
    history.append(&[frame("a")], NOW_MS).expect("room");
    history.append(&[frame("b"), frame("c")], NOW_MS + 5).expect("room");
    let held = archive::Archive::open(&directory.file()).err().expect("held");
    assert!(matches!(held.cause(), OpenCause::Held), "{held:?}");
    drop(history);

    let mut archive = archive::Archive::open(&directory.file()).expect("ours");
    let summary = archive.summary().expect("readable");
    assert_eq!((summary.format, summary.updates), (FORMAT, 3));
    assert_eq!(summary.bytes, 3 * record::bytes(&frame("a")));
    let first = archive::Archived { unix_ms: NOW_MS, frame: Arc::into_inner(frame("a")).expect("one") };
    assert_eq!(summary.first, Some(first));
    assert_eq!(summary.last.expect("an update").unix_ms, NOW_MS + 5);
    let mut seen = Vec::new();
    let done = archive.for_each(|archived| {
        seen.push(archived.frame.id().to_string());
        if seen.len() < 2 { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    });
    assert_eq!(done.expect("readable").expect_err("the pipe broke").kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(seen, ["a", "b"]);
    drop(archive);

    // An id that is missing from the index, and a gap.
    let database = Database::create(directory.file()).expect("ours");
    let transaction = database.begin_write().expect("writable");
    let mut ids = transaction.open_table(index::IDS).expect("ours");
    let meta = meta::Meta::of(&database).expect("ours");
    let entry = (meta.hasher.hash("c"), 3);
    ids.insert(entry, ()).expect("room");
    drop(ids);
    let mut changes = sums::SumChanges::default();
    changes.added(entry);
    changes.write(&mut transaction.open_table(sums::ID_SUMS).expect("ours")).expect("room");
    let mut numbers = transaction.open_table(meta::META).expect("ours");
    meta::Meta { indexed: 3, ..meta }.write(&mut numbers).expect("room");
    drop(numbers);
    transaction.open_table(record::RECORDS).expect("ours").remove(2).expect("there");
    transaction.commit().expect("room");
    drop(database);
    let findings = archive::Archive::open(&directory.file()).expect("ours").verify().expect("readable");
    assert_eq!(findings.updates, 2);
    assert_eq!(
        findings.texts,
        ["the id of update 1 is not in the index", "update 3 follows 1"],
        "and nothing else"
    );
}

#[test]
fn a_flipped_bit_is_found() {
    let directory = Directory::new("flipped");
    let mut history = open(&directory);
    let data = format!("topic=t&id=i&data={}", "x".repeat(20_000));
    history.append(&[frame_of(&data, Authorization::Selectors)], NOW_MS).expect("room");
    drop(history);
    let mut bytes = std::fs::read(directory.file()).expect("readable");
    let at = bytes.windows(100).position(|window| window == [b'x'; 100]).expect("the data");
    bytes[at + 50] ^= 1;
    std::fs::write(directory.file(), &bytes).expect("writable");
    let findings = archive::Archive::open(&directory.file()).expect("ours").verify().expect("readable");
    assert!(findings.problems > 0);
}

#[test]
fn freed_pages_are_used_again_and_compaction_gives_the_rest_back() {
    let directory = Directory::new("reuse");
    let retention = Retention { updates_max: 200, ..Retention::default() };
    let mut history = open_with(&directory, retention);
    let mut number = 0;
    let mut fill = |history: &mut RedbHistory, batches: usize| {
        for _ in 0..batches {
            let batch: Vec<_> = (0..20)
                .map(|_| {
                    number += 1;
                    let body = format!("topic=t&id=u{number}&data={}", "x".repeat(2_000));
                    frame_of(&body, Authorization::Selectors)
                })
                .collect();
            history.append(&batch, NOW_MS).expect("room");
        }
    };
    let size = || std::fs::metadata(directory.file()).expect("a file").len();
    fill(&mut history, 40);
    let settled = size();
    fill(&mut history, 400);
    assert!(size() <= settled * 3 / 2, "{settled} bytes have grown to {}", size());
    drop(history);
    let mut archive = archive::Archive::open(&directory.file()).expect("ours");
    let (before, after) = archive.compact().expect("room");
    assert!(after <= before && after < 2 * 200 * 2_500, "{before} bytes became {after}");
    assert_eq!(archive.verify().expect("readable"), archive::Findings { updates: 220, ..Default::default() });
}

/// `HISTORY_MAX_BYTES` bounds the disk space of the file, whatever the size of the updates.
#[test]
fn the_bound_on_bytes_bounds_the_disk() {
    const BOUND: u64 = 4 << 20;
    for data_bytes in [20, 600, 1_500, 2_200, 9_000, 140_000] {
        let directory = Directory::new("disk");
        let mut history = open_with(&directory, Retention { bytes_max: BOUND, ..Retention::default() });
        let mut number = 0;
        let mut written = 0;
        while written < 4 * BOUND {
            // Pages freed by a commit are reused by the second commit after it, so commits are
            // small here.
            let batch: Vec<_> = (0..(20_000_usize.div_ceil(data_bytes)).min(8))
                .map(|_| {
                    number += 1;
                    let body = format!("topic=t&id=u{number}&data={}", "x".repeat(data_bytes));
                    frame_of(&body, Authorization::Selectors)
                })
                .collect();
            history.append(&batch, NOW_MS).expect("room");
            written += batch.iter().map(|frame| record::bytes(frame)).sum::<u64>();
        }
        history.maintain(NOW_MS).expect("room");
        drop(history);
        let summary = archive::Archive::open(&directory.file()).expect("ours").summary().expect("readable");
        let allocated = summary.allocated_bytes;
        assert!(summary.bytes <= BOUND, "{data_bytes}: {}", summary.bytes);
        assert!(allocated < BOUND * 3 / 2 + (1 << 20), "{data_bytes}: {allocated} of the disk for {BOUND}");
    }
}
