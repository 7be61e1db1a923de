//! A start that has to go back from an acknowledged commit refuses, and one that has not does not.

use super::*;

/// The bytes of a file in use, as `kill -9` leaves them, with the last of its two commits damaged:
/// redb goes back to the one before. The first byte after the magic number has the number of the
/// slot of the last commit in its first bit; the slots have 128 bytes each, from byte 64.
fn without_last_commit(mut bytes: Vec<u8>) -> Vec<u8> {
    let slot = usize::from(bytes[9] & 1);
    bytes[64 + 128 * slot + 20] ^= 1;
    bytes
}

fn in_use(directory: &Directory, sync: HistorySync) -> Vec<u8> {
    let mut history = RedbHistory::open(&directory.file(), Retention::default(), sync).expect("usable");
    history.append(&[frame("a")], NOW_MS).expect("room");
    history.maintain(NOW_MS).expect("room");
    history.append(&[frame("b"), frame("c")], NOW_MS).expect("room");
    history.maintain(NOW_MS).expect("room");
    std::fs::read(directory.file()).expect("readable")
}

#[test]
fn a_start_without_an_acknowledged_update_is_refused_unless_the_loss_is_accepted() {
    for sync in [HistorySync::Always, HistorySync::Interval, HistorySync::Never] {
        let directory = Directory::new("lost");
        let bytes = in_use(&directory, sync);
        let damaged = without_last_commit(bytes.clone());
        let path = directory.0.join("copy.db");

        std::fs::write(&path, &bytes).expect("writable");
        let history = RedbHistory::open(&path, Retention::default(), sync).expect("nothing is lost");
        assert_eq!(held(&*history.reader()), ["a", "b", "c"]);
        drop(history);

        std::fs::write(&path, &damaged).expect("writable");
        let error = RedbHistory::open(&path, Retention::default(), sync).err().expect("refused");
        let text = chain(&error).to_string();
        assert!(text.contains("updates 2 to 3") && text.contains("HISTORY_ACCEPT_LOSS=1"), "{text}");
        assert!(damaged == std::fs::read(&path).expect("readable"), "the file was changed");
        let findings = archive::Archive::open(&path).expect("ours").verify().expect("readable");
        assert!(findings.texts[0].contains("updates 2 to 3"), "{findings:?}");
        assert!(damaged == std::fs::read(&path).expect("readable"), "a check changes nothing");

        let mut history =
            RedbHistory::open_accepting_loss(&path, Retention::default(), sync).expect("accepted");
        let lost = LostUpdates { first: Position::new(2), last: Position::new(3) };
        assert_eq!((history.lost(), held(&*history.reader())), (Some(lost), vec!["a".to_owned()]));
        history.append(&[frame("d")], NOW_MS).expect("room");
        drop(history);
        let history = RedbHistory::open(&path, Retention::default(), sync).expect("nothing is lost now");
        assert_eq!((history.lost(), held(&*history.reader())), (None, vec!["a".to_owned(), "d".to_owned()]));
    }
}

/// The slot of the commit before is intact, so redb would start with it as with any other.
#[test]
fn a_closed_file_whose_other_commit_is_chosen_never_starts_without_an_update() {
    let directory = Directory::new("other-slot");
    drop(in_use(&directory, HistorySync::Always));
    let mut bytes = std::fs::read(directory.file()).expect("readable");
    bytes[9] ^= 1;
    std::fs::write(directory.file(), &bytes).expect("writable");
    match RedbHistory::open(&directory.file(), Retention::default(), HistorySync::Always) {
        Ok(history) => assert_eq!(held(&*history.reader()), ["a", "b", "c"]),
        Err(error) => assert!(matches!(error.cause(), OpenCause::Lost(_)), "{error:?}"),
    }
}

#[test]
fn the_note_of_the_newest_update_is_kept_by_everything_that_redb_does_with_the_file() {
    let directory = Directory::new("note");
    let note = || {
        let file =
            Arc::new(std::fs::File::options().read(true).write(true).open(directory.file()).expect("it"));
        end_note::acknowledged(&file::SharedFile { file, syncs: true }).expect("readable")
    };
    let mut history = open(&directory);
    let mut newest = 0;
    for _ in 0..20 {
        let frames: Vec<_> = (0..400).map(|nth| frame(&format!("u{newest}-{nth}"))).collect();
        history.append(&frames, NOW_MS).expect("room");
        newest += 400;
        assert_eq!(note(), end_note::Acknowledged::Position(newest));
    }
    drop(history);
    assert_eq!(note(), end_note::Acknowledged::Position(newest));
    drop(open_with(&directory, Retention { updates_max: 10, ..Retention::default() }));
    let mut archive = archive::Archive::open(&directory.file()).expect("ours");
    assert_eq!(archive.verify().expect("readable").texts, [""; 0]);
    archive.compact().expect("room");
    drop(archive);
    assert_eq!(note(), end_note::Acknowledged::Position(newest));
}

#[test]
fn a_note_that_cannot_be_read_is_no_reason_to_start_in_silence() {
    let directory = Directory::new("no-note");
    let mut bytes = in_use(&directory, HistorySync::Always);
    bytes[1_000..3_000].fill(0xA5);
    std::fs::write(directory.file(), &bytes).expect("writable");
    let error = RedbHistory::open(&directory.file(), Retention::default(), HistorySync::Always).err();
    assert!(matches!(error.expect("refused").cause(), OpenCause::UnknownEnd));
    let opened =
        RedbHistory::open_accepting_loss(&directory.file(), Retention::default(), HistorySync::Always);
    assert_eq!(held(&*opened.expect("accepted").reader()), ["a", "b", "c"]);
    assert_eq!(held(&*open(&directory).reader()), ["a", "b", "c"]);
}
