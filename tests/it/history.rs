//! The history from outside: unusable files, restarts, bounds, a full disk, the commands.

use crate::common;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::common::subscriptions::{PATH, bearer, wait_for};
use crate::common::{Hub, KEY, eventually, get, id, post, publisher};
use petasos::history::redb::{HistorySync, RedbHistory};
use petasos::history::{History as _, Retention};
use petasos::mercure::audience::Authorization;
use petasos::mercure::update::Update;
use petasos::sse::frame::Frame;
use rustix::process::Signal;
use serde_json::{Value, json};

/// A directory for one test, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("petasos-history-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("updates.db")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn start(file: &Path, settings: &[(&str, &str)]) -> Hub {
    let path = file.to_str().expect("UTF-8");
    Hub::start(&[&[("DB_PATH", path), ("DRAIN_TIMEOUT", "0s")], settings].concat())
}

pub(crate) fn stop(mut hub: Hub) {
    hub.signal(Signal::TERM);
    assert_eq!(hub.wait().code(), Some(0));
}

/// Runs a command with `DB_PATH` set.
fn petasos(arguments: &[&str], file: &Path) -> Output {
    let mut command = common::command();
    command.args(arguments).env("DB_PATH", file).stdin(Stdio::null()).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Starts a hub that must fail to start; returns its error message.
fn refusal(mut command: Command, file: &Path) -> String {
    command.env("DB_PATH", file).env("JWT_KEY", KEY).env("ADDR", "127.0.0.1:0").env("LOG_FORMAT", "TEXT");
    let output = command.stdin(Stdio::null()).output().expect("the binary runs");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let said = text(&output.stderr).to_owned();
    let sentences: Vec<_> = said.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(sentences.len(), 1, "{said}");
    assert!(sentences[0].contains(file.to_str().expect("UTF-8")), "the path is named: {said}");
    sentences[0].to_owned()
}

#[test]
fn each_file_that_cannot_be_used_stops_the_start_with_its_own_sentence_and_is_left_as_it_is() {
    let directory = Directory::new("refused");
    let hub = || common::command();
    assert!(refusal(hub(), &directory.0).contains("is a directory or a device; expected a file"));

    let foreign = directory.0.join("foreign.db");
    fs::write(&foreign, "a letter to a friend").expect("writable");
    assert!(refusal(hub(), &foreign).contains("is not a history of petasos; it was left as it is"));
    assert_eq!(fs::read(&foreign).expect("readable"), b"a letter to a friend");

    let nowhere = directory.0.join("missing/updates.db");
    assert!(refusal(hub(), &nowhere).contains("No such file or directory"));

    let file = directory.file();
    let running = start(&file, &[]);
    running.publish(&format!("topic=t&id=1&data={}", "x".repeat(50_000)));
    let held = refusal(hub(), &file);
    assert!(held.contains("is held by another process: a hub that runs, or a command"), "{held}");
    for action in ["info", "verify", "export", "compact"] {
        let output = petasos(&["history", action], &file);
        assert_eq!(output.status.code(), Some(1), "{action}");
        assert!(text(&output.stderr).contains("is held by another process"), "{action}");
        assert!(output.stdout.is_empty(), "{action}");
    }
    stop(running);

    let newer = directory.0.join("newer.db");
    fs::copy(&file, &newer).expect("copied");
    let database = redb::Database::create(&newer).expect("a store");
    let transaction = database.begin_write().expect("writable");
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction.open_table(meta).expect("ours").insert("format", 77).expect("room");
    transaction.commit().expect("room");
    drop(database);
    let other = refusal(hub(), &newer);
    assert!(other.contains("has format version 77, this hub reads version 3"), "{other}");

    let whole = fs::read(&file).expect("readable");
    let torn = directory.0.join("torn.db");
    fs::write(&torn, &whole[..whole.len() / 2]).expect("writable");
    assert!(refusal(hub(), &torn).contains("is corrupt"));
    assert_eq!(fs::read(&torn).expect("readable").len(), whole.len() / 2);
    let scrambled = directory.0.join("scrambled.db");
    let mut bytes = whole;
    bytes[64..4_096].fill(0xA5);
    fs::write(&scrambled, &bytes).expect("writable");
    assert!(refusal(hub(), &scrambled).contains("is corrupt"));
    assert!(fs::read(&scrambled).expect("readable") == bytes, "the file was changed");
}

/// The superuser may open everything, so the hub runs as another user.
#[test]
fn a_file_without_permission_stops_the_start_with_its_own_sentence() {
    let directory = Directory::new("permission");
    let file = directory.file();
    fs::write(&file, "").expect("writable");
    let as_root = rustix::process::geteuid().is_root();
    if as_root {
        chown(&file, Some(65_534), Some(65_534)).expect("the superuser may");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("ours");
    let command = if as_root {
        let mut command = Command::new("setpriv");
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.args(["--bounding-set=-dac_override,-dac_read_search", env!("CARGO_BIN_EXE_petasos")]);
        command
    } else {
        common::command()
    };
    assert!(refusal(command, &file).contains("no permission to read and write it"));
}

#[test]
fn after_a_restart_a_returning_subscriber_gets_what_it_missed_before_anything_is_published() {
    let directory = Directory::new("restart");
    let hub = start(&directory.file(), &[]);
    for number in 1..=5 {
        hub.publish(&format!("topic=t&id={number}&data=x"));
    }
    stop(hub);
    let hub = start(&directory.file(), &[]);
    let mut stream = hub.subscribe_with("topic=t", "Last-Event-ID: 2\r\n");
    assert_eq!(stream.header("Last-Event-ID"), Some("2"));
    assert_eq!(stream.ids(3), ["3", "4", "5"]);
    let mut all = hub.subscribe("topic=t&lastEventID=earliest");
    assert_eq!(all.ids(5), ["1", "2", "3", "4", "5"]);
    hub.publish("topic=t&id=6");
    assert_eq!((stream.ids(1), all.ids(1)), (vec!["6".to_owned()], vec!["6".to_owned()]));
}

#[test]
fn bounds_hold_exactly_also_by_age_and_cleanup_can_be_switched_off() {
    let directory = Directory::new("bounds");
    let ids = |hub: &Hub, count: usize| hub.subscribe("topic=t&lastEventID=earliest").ids(count);
    let hub = start(&directory.file(), &[("HISTORY_SIZE", "3")]);
    for number in 1..=5 {
        hub.publish(&format!("topic=t&id={number}"));
    }
    assert_eq!(ids(&hub, 3), ["3", "4", "5"]);
    let unknown = hub.subscribe_with("topic=t", "Last-Event-ID: 2\r\n");
    assert_eq!(unknown.header("Last-Event-ID"), Some("earliest"), "the client can tell that it lost updates");
    stop(hub);

    let hub = start(&directory.file(), &[("HISTORY_SIZE", "1"), ("HISTORY_CLEANUP_FREQUENCY", "0")]);
    hub.publish("topic=t&id=6");
    assert_eq!(ids(&hub, 4), ["3", "4", "5", "6"]);
    stop(hub);

    let hub = start(&directory.file(), &[("HISTORY_MAX_AGE", "1500ms")]);
    let mut live = hub.subscribe("topic=t");
    hub.publish("topic=t&id=7");
    assert_eq!(live.ids(1), ["7"]);
    assert_eq!(hub.subscribe_with("topic=t", "Last-Event-ID: 7\r\n").header("Last-Event-ID"), Some("7"));
    // Nothing is published here: updates also expire without a publication.
    eventually("the update is too old", || {
        let head = hub.subscribe_with("topic=t", "Last-Event-ID: 7\r\n");
        head.header("Last-Event-ID") == Some("earliest")
    });
    hub.publish("topic=t&id=8");
    assert_eq!(live.ids(1), ["8"], "a live subscriber does not notice");
    assert_eq!(ids(&hub, 1), ["8"]);
}

#[test]
fn the_commands_tell_check_write_out_and_shrink() {
    let directory = Directory::new("commands");
    let file = directory.file();
    let missing = petasos(&["history", "info"], &file);
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("there is no such file"), "{missing:?}");
    assert!(!file.exists(), "looking makes no file");
    let memory = petasos(&["history", "info"], Path::new(":memory:"));
    assert_eq!(memory.status.code(), Some(2));

    let bodies = [
        "topic=a&topic=b&data=x%0Ay%26z&id=1&type=e&retry=5",
        "topic=a&data=%C3%A9&private=on&id=2",
        "topic=a&data=&id=3",
    ];
    let hub = start(&file, &[]);
    let before = bodies.map(|body| hub.publish(body));
    stop(hub);
    let info = petasos(&["history", "info", "--json"], &file);
    let info: Value = serde_json::from_slice(&info.stdout).expect("JSON");
    assert_eq!((&info["updates"], &info["format"]), (&json!(3), &json!(3)));
    assert_eq!((&info["first"]["id"], &info["last"]["id"]), (&json!("1"), &json!("3")));
    assert!(info["first"]["time"].as_str().is_some_and(|time| time.ends_with('Z')), "{info}");
    assert!(info["file_bytes"].as_u64() >= info["bytes"].as_u64(), "{info}");
    let plain = petasos(&["history", "info"], &file);
    assert!(text(&plain.stdout).contains("updates:    3\n"), "{plain:?}");

    let verify = petasos(&["history", "verify"], &file);
    assert_eq!(verify.status.code(), Some(0));
    assert_eq!(text(&verify.stdout), "sound: 3 updates and 0 events of subscriptions checked, 0 problems\n");

    let lines = petasos(&["history", "export"], &file);
    let lines: Vec<Value> =
        text(&lines.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let first = json!({ "topic": ["a", "b"], "data": "x\ny&z", "id": "1", "type": "e", "retry": "5" });
    assert_eq!(lines[0], first);
    assert_eq!(lines[1], json!({ "topic": ["a"], "data": "é", "private": "on", "id": "2" }));
    assert_eq!(lines[2], json!({ "topic": ["a"], "data": "", "id": "3" }));

    // The exported forms can be published unchanged, and give the same export again.
    let forms = petasos(&["history", "export", "--form"], &file);
    let again = directory.0.join("again.db");
    let hub = start(&again, &[]);
    let after: Vec<_> = text(&forms.stdout).lines().map(|body| hub.publish(body)).collect();
    stop(hub);
    assert_eq!(after, before);
    let forms_again = petasos(&["history", "export", "--form"], &again);
    assert_eq!(forms.stdout, forms_again.stdout);

    let compact = petasos(&["history", "compact"], &file);
    assert_eq!(compact.status.code(), Some(0));
    assert!(text(&compact.stdout).starts_with("file bytes: "), "{compact:?}");
    let verify = petasos(&["history", "verify"], &file);
    assert_eq!(text(&verify.stdout), "sound: 3 updates and 0 events of subscriptions checked, 0 problems\n");
    assert_eq!(start(&file, &[]).subscribe("topic=a&lastEventID=earliest").ids(1), ["1"]);
}

#[test]
fn a_damaged_update_is_found() {
    let directory = Directory::new("damaged");
    let file = directory.file();
    let hub = start(&file, &[]);
    hub.publish(&format!("topic=t&id=1&data={}", "x".repeat(50_000)));
    stop(hub);
    let mut bytes = fs::read(&file).expect("readable");
    let at = bytes.windows(100).position(|window| window == [b'x'; 100]).expect("the data");
    bytes[at + 50] ^= 1;
    fs::write(&file, &bytes).expect("writable");
    let verify = petasos(&["history", "verify"], &file);
    assert_eq!(verify.status.code(), Some(1));
    assert!(text(&verify.stdout).contains("DAMAGED"), "{verify:?}");
}

/// Strangers with many selectors must not take from a client that returns what it missed.
#[test]
fn events_of_subscriptions_push_no_update_out_of_a_bounded_history() {
    const UPDATES: u64 = 10_000;
    const SUBSCRIBERS: usize = 70;
    const SELECTORS: usize = 1_000;
    let directory = Directory::new("flood");
    let file = directory.file();
    let mut history = RedbHistory::open(&file, Retention::default(), HistorySync::Never).expect("a new file");
    let update = |number| {
        let body = format!("topic=t&data=x&id=u{number}");
        let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]);
        Arc::new(Frame::encode(update.expect("a valid body")))
    };
    history.append(&(0..UPDATES).map(update).collect::<Vec<_>>(), 1).expect("room");
    drop(history);

    let settings = [("HISTORY_SIZE", "10001"), ("SUBSCRIPTIONS", "1")];
    let hub = start(&file, &settings);
    let streams: Vec<_> = (0..SUBSCRIBERS)
        .map(|subscriber| {
            let query: Vec<_> = (0..SELECTORS).map(|number| format!("topic={subscriber}-{number}")).collect();
            // Each has a budget of events of its own.
            hub.subscribe_with(&query.join("&"), &bearer(&["*", &subscriber.to_string()]))
        })
        .collect();
    wait_for(&hub, PATH, SUBSCRIBERS * SELECTORS);
    // It follows the events, which are on the way.
    hub.publish("topic=t&id=last");
    let check = |hub: &Hub| {
        let missed: Vec<_> = (9_501..UPDATES).map(|number| format!("u{number}")).collect();
        assert_eq!(missed.len(), 499);
        let mut returning = hub.subscribe("topic=t&lastEventID=u9500");
        assert_eq!(returning.header("Last-Event-ID"), Some("u9500"));
        assert_eq!(returning.ids(499), missed);
        assert_eq!(returning.ids(1), ["last"]);
        let mut all = hub.subscribe("topic=t&lastEventID=u0");
        assert_eq!(all.header("Last-Event-ID"), Some("u0"));
        assert_eq!(all.ids(UPDATES as usize).last().map(String::as_str), Some("last"));
    };
    check(&hub);
    drop(streams);
    stop(hub);
    let verify = petasos(&["history", "verify"], &file);
    assert!(text(&verify.stdout).starts_with("sound: 10001 updates and "), "{verify:?}");
    let info = petasos(&["history", "info", "--json"], &file);
    let info: Value = serde_json::from_slice(&info.stdout).expect("JSON");
    assert_eq!((&info["updates"], &info["subscription_events"]), (&json!(10_001), &json!(10_000)));
    check(&start(&file, &settings));
}

/// `HISTORY_REPLAY` sets the number of updates, 100,000 by default.
#[test]
fn a_client_that_missed_everything_gets_it_in_order_with_flat_memory() {
    const GROWTH_BYTES_MAX: u64 = 32 << 20;
    const BATCH: usize = 10_000;
    let updates = std::env::var("HISTORY_REPLAY").map_or(100_000, |text| text.parse().expect("a number"));
    let directory = Directory::new("replay");
    let file = directory.file();
    let mut history = RedbHistory::open(&file, Retention::default(), HistorySync::Never).expect("a new file");
    let numbers: Vec<usize> = (1..=updates).collect();
    for batch in numbers.chunks(BATCH) {
        let frames: Vec<_> = batch
            .iter()
            .map(|number| {
                let body = format!("topic=t&id={number}&data={}", "x".repeat(150));
                let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]);
                Arc::new(Frame::encode(update.expect("a valid body")))
            })
            .collect();
        history.append(&frames, 1).expect("room");
    }
    drop(history);
    let hub = start(&file, &[]);
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", hub.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    };
    let before = resident();
    let mut stream = hub.subscribe("topic=t&lastEventID=earliest");
    let mut most = before;
    for number in numbers {
        assert_eq!(id(&stream.next().expect("an event")), number.to_string());
        if number % 1_000 == 0 {
            most = most.max(resident());
        }
    }
    assert!(most - before < GROWTH_BYTES_MAX, "{before} bytes grew to {most}");
    hub.publish("topic=t&id=live");
    assert_eq!(stream.ids(1), ["live"], "and then live");
}

/// A small file system for a test, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    /// `None`, with the reason on standard error, if the machine does not allow it.
    fn new(directory: &Directory, mebibytes: u64) -> Option<Self> {
        let image = directory.0.join("disk.img");
        let place = directory.0.join("disk");
        fs::create_dir_all(&place).expect("a directory");
        fs::File::create(&image).and_then(|file| file.set_len(mebibytes << 20)).expect("an image");
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
            output.status.success().then_some(()).ok_or_else(|| text(&output.stderr).trim().to_owned())
        };
        let (image, at) = (image.to_str().expect("UTF-8"), place.to_str().expect("UTF-8"));
        let made = run("mkfs.ext4", &["-q", "-F", "-m", "0", "-O", "^has_journal", image])
            .and_then(|()| run("mount", &["-o", "loop", image, at]));
        match made {
            Ok(()) => Some(Self(place)),
            Err(reason) => {
                use std::io::Write as _;
                let _ = writeln!(
                    std::io::stderr(),
                    "\nSKIPPED: a_full_file_system…: no file system can be mounted here: {reason}"
                );
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn ready(client: &mut common::Client) -> common::HttpResponse {
    client.send("GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n");
    client.answer()
}

#[test]
fn a_full_file_system_refuses_publications_and_nothing_else() {
    let directory = Directory::new("full");
    let Some(disk) = Mounted::new(&directory, 16) else { return };
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![1; 6 << 20]).expect("room");
    let file = disk.0.join("updates.db");
    let mut hub = start(&file, &[]);
    let mut stream = hub.subscribe("topic=t");
    let mut client = hub.connect();
    let data = "x".repeat(200_000);
    let mut acknowledged = Vec::new();
    let mut publish = |client: &mut common::Client, number: usize| {
        client.send(&post(&format!("topic=t&id={number}&data={data}"), Some(&publisher())));
        let answer = client.answer();
        if answer.status == 200 {
            acknowledged.push(answer.body);
        } else {
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.header("Retry-After").is_some(), "{answer:?}");
        }
        answer.status
    };
    let filled = (0..200).find(|number| publish(&mut client, *number) == 503).expect("the disk is full");
    hub.wait_for_log("the history refused updates; their publishers get 503");
    for number in filled + 1..filled + 5 {
        assert_eq!(publish(&mut client, number), 503, "nothing makes room");
    }
    client.send("GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(client.answer().status, 200, "the hub lives");
    hub.wait_for_log("the history cannot be written: /readyz is 503");
    // Longer than the time after which the hub tries again by itself.
    for _ in 0..25 {
        std::thread::sleep(Duration::from_millis(200));
        let answer = ready(&mut client);
        assert_eq!(answer.status, 503, "nothing makes room");
        let text = "Service Unavailable: the history cannot be written: publications are refused";
        assert_eq!(answer.body, text);
    }
    client.send(&get("topic=t", "").replace("GET", "HEAD"));
    assert_eq!(client.answer().status, 200, "subscribers are welcome");

    fs::remove_file(&filler).expect("there");
    eventually("/readyz stays 503, though there is room again", || ready(&mut client).status == 200);
    let logged = hub.wait_for_log("the history can be written again");
    assert!(logged.contains("INFO"), "{logged}");
    let changes = |text: &str| hub.log.iter().filter(|line| line.contains(text)).count();
    assert_eq!(
        (changes("/readyz is 503 until"), changes("/readyz is no longer 503")),
        (1, 1),
        "{:#?}",
        hub.log
    );
    // After a failure the store is not tried again for a moment.
    let resumed = (1_000..1_000_000).any(|number| publish(&mut client, number) == 200);
    assert!(resumed, "service resumes");
    assert!(acknowledged.len() > 5, "{acknowledged:?}");
    let streamed: Vec<_> = acknowledged.iter().map(|_| id(&stream.next().expect("an event"))).collect();
    assert_eq!(streamed, acknowledged, "what was stored was delivered, and nothing else");
    let query = "topic=t&lastEventID=earliest";
    assert_eq!(hub.subscribe(query).ids(acknowledged.len()), acknowledged);
    hub.signal(Signal::KILL);
    hub.wait();
    let hub = start(&file, &[]);
    assert_eq!(hub.subscribe(query).ids(acknowledged.len()), acknowledged, "after a crash");
    drop(hub);
    drop(disk);
}
