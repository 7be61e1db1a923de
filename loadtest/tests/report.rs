//! Goal: all forms of the report say the same about subject, machine and method, without secrets.
//! The progress bar counts the phase that it names.
//!
//! Method: the real binary with small runs, against its limit server or a server of a few lines;
//! its progress on a pseudo-terminal.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const PROGRAM: &str = env!("CARGO_BIN_EXE_petasos-loadtest");
const CPUS: [&str; 4] = ["--server-cpu", "0", "--client-cpu", "0"];
const SMALL: [&str; 5] = ["fanout", "--subscribers", "10", "--updates", "20"];

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).args(CPUS).output().expect("the binary runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The value of the row `name` in a printed report.
#[track_caller]
fn row<'a>(report: &'a str, name: &str) -> &'a str {
    let is_row = |line: &&str| line.get(2..26).is_some_and(|own| own.trim_end() == name);
    let line = report.lines().find(is_row).unwrap_or_else(|| panic!("no {name:?} in\n{report}"));
    &line[26..]
}

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Text as escaped in a page.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const ROWS: [&str; 12] = [
    "date",
    "duration",
    "machine",
    "kernel",
    "generator",
    "command line",
    "processors",
    "limits",
    "arguments",
    "limit",
    "limit load",
    "limit counts",
];

#[test]
fn the_report_is_a_record_and_says_the_same_in_all_forms() {
    let folder = scratch("record");
    let (json, html) = (folder.join("record.json"), folder.join("record.html"));
    let files = ["--json", path(&json), "--html", path(&html)];
    let secrets = ["--key", "a-very-secret-key", "--server-env", "PUBLISHER_JWT_KEY=another-secret"];
    let rest = ["--subject", "limit", "--limit", "--rounds", "2"];
    let output = run(&[&SMALL[..], &files, &secrets, &rest].concat());
    let report = text(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    let page = fs::read_to_string(&html).expect("a page");
    let document = fs::read_to_string(&json).expect("a document");
    for form in [&report, &page, &document] {
        assert!(!form.contains("secret"), "{form}");
    }

    for name in ROWS {
        let cell = escaped(row(&report, name));
        let cells = format!("<tr><th scope=\"row\">{name}</th><td class=\"l\">{cell}</td></tr>");
        assert!(page.contains(&cells), "no {cells:?} in\n{page}");
    }

    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    let (record, server) = (&document["record"], &document["servers"][0]);
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    let date = text(&record["started_at"]);
    assert!(date.len() == 20 && date.ends_with('Z') && row(&report, "date").starts_with(&date), "{date}");
    assert!(row(&report, "machine").starts_with(&text(&record["machine"]["processor"])));
    assert_eq!(row(&report, "kernel"), text(&record["kernel"]));
    let version = text(&record["generator"]["version"]);
    assert!(row(&report, "generator").starts_with(&format!("petasos-loadtest {version}")));
    let line: Vec<String> = record["command_line"].as_array().expect("a list").iter().map(text).collect();
    assert!(line.starts_with(&["petasos-loadtest", "fanout"].map(str::to_owned)), "{line:?}");
    assert!(row(&report, "command line").contains("--key '***' --server-env 'PUBLISHER_JWT_KEY=***'"));
    assert!(row(&report, "processors").starts_with("server 0, generator 0; they compete"));
    assert_eq!((&record["processors"]["server"], &record["processors"]["generator"]), (&0.into(), &0.into()));
    let files = record["limits"]["generator_open_files"].as_u64().expect("a number").to_string();
    assert!(row(&report, "limits").contains(&files));

    assert_eq!(
        (&document["arguments"]["subscribers"], &document["arguments"]["updates"]),
        (&10.into(), &20.into())
    );
    assert!(row(&report, "arguments").contains("--subscribers 10 --updates 20"));
    assert_eq!((&server["load"]["subscribers"], &server["load"]["publishers"]), (&10.into(), &1.into()));
    assert_eq!(
        (&server["load"]["payload_bytes"], &server["load"]["frame_bytes"]),
        (&142.into(), &200.into())
    );
    let load = "2 rounds; 10 subscribers and 1 publisher in each; payload 142 bytes; frame 200 bytes; on the wire 206.0 bytes";
    assert!(row(&report, "limit load").starts_with(load), "{report}");
    assert!(row(&report, "limit counts").contains("expected 800, received 800"), "{report}");
    assert_eq!((&server["rounds"], &server["tally"]["received"]), (&2.into(), &800.into()));
    assert_eq!(&server["about"]["processors"], "0");

    let meaning = text(&document["ratio_meaning"]);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(meaning.contains("divided by the figure of the limit server"), "{meaning}");
    assert!(words(&report).contains(&meaning) && page.contains(&escaped(&meaning)), "{report}");
}

#[test]
fn a_report_without_a_reference_explains_no_ratio() {
    let output = run(&[&SMALL[..], &["--subject", "limit"]].concat());
    let report = text(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    assert!(!report.contains("A ratio"), "{report}");
}

#[test]
fn the_bars_have_a_record_too() {
    let folder = scratch("bars");
    let (json, html) = (folder.join("bars.json"), folder.join("bars.html"));
    let files = ["--json", path(&json), "--html", path(&html)];
    let rest = ["--rounds", "1", "--subject", "limit", "--key", "a-very-secret-key"];
    let output = run(&[&["bars", "--only", "CPU per connection"], &files[..], &rest].concat());
    let report = text(&output);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{report}");
    let page = fs::read_to_string(&html).expect("a page");
    let document: serde_json::Value =
        serde_json::from_slice(&fs::read(&json).expect("a document")).expect("JSON");
    for name in ["date", "machine", "kernel", "command line", "duration", "arguments", "limit load"] {
        assert!(page.contains(&escaped(row(&report, name))), "{name}: {page}");
    }
    assert!(row(&report, "limit load").contains("5200 subscribers"), "{report}");
    assert_eq!(document["record"]["command_line"][1], "bars");
    assert_eq!(document["runs"][0]["servers"][0]["load"]["subscribers"], 5_200);
    assert!(!report.contains("secret") && !page.contains("secret"), "{report}");
    assert!(page.contains("A ratio is the figure") && report.contains("A ratio is the figure"), "{report}");
}

#[test]
fn the_version_of_a_hub_that_is_started_is_its_binarys() {
    let script = scratch("version/dist").join("petasos");
    let hub = format!(
        "[ \"$1\" = --version ] && echo petasos 9.9.9 && exit\nexec {PROGRAM} limit-server --listen $ADDR"
    );
    fs::write(&script, format!("#!/bin/sh\n{hub}\n")).expect("a file");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("a mode");
    let output = run(&[&SMALL[..], &["--server", path(&script), "--server-env", "SHARDS=2"]].concat());
    let report = text(&output);
    assert_eq!(output.status.code(), Some(0), "{report}");
    let hub = row(&report, "hub");
    assert!(
        hub.starts_with("petasos 9.9.9 (dist build); started for each round; HTTP/1.1 in clear text;"),
        "{hub}"
    );
    assert!(hub.contains("; processors 0; open files ") && hub.ends_with(" SHARDS=2"), "{hub}");
}

/// A server that opens every stream, and calls itself `name`.
fn server(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut sockets = Vec::new();
        for mut socket in listener.incoming().map_while(Result::ok) {
            let head =
                BufReader::new(&socket).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            // A connection that closes without a request is not a client.
            if head.count() > 0 {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
                let _ = write!(socket, "{head}{name}\r\n:\n");
                sockets.push(socket);
            }
        }
    });
    address
}

#[test]
fn a_server_that_runs_already_is_what_it_calls_itself() {
    let url = |name| format!("http://{}", server(name));
    let report = |name, rest: &[&str]| {
        let output = run(&[&["connect", "--subscribers", "3", "--url", &url(name)], rest].concat());
        let text = text(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        row(&text, "hub").to_owned()
    };
    let hub = report("Server: tiny/1.0\r\n", &[]);
    assert_eq!(hub, "tiny/1.0; ran before; HTTP/1.1 in clear text; processors unknown; open files unknown");
    let own = std::process::id().to_string();
    let hub = report("", &["--pid", &own]);
    assert!(hub.starts_with("unknown; ran before; HTTP/1.1 in clear text; process "), "{hub}");
    assert!(!hub.ends_with("unknown"), "{hub}");
}

/// The output of the binary on a terminal.
fn drawn(arguments: &[&str]) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("a pseudo-terminal");
    let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("UTF-8");
    let other = File::options().read(true).write(true).open(name).expect("its other side");
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .args(CPUS)
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdout(std::process::Stdio::null())
        .stderr(other)
        .spawn()
        .expect("the binary runs");
    // The end is an error: the other side of the terminal is closed.
    let mut bytes = Vec::new();
    let _ = File::from(terminal).read_to_end(&mut bytes);
    assert!(child.wait().is_ok_and(|status| status.success()), "{}", String::from_utf8_lossy(&bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The phases drawn, each with its count.
fn phases(drawn: &str) -> Vec<(String, u64, u64)> {
    let phase = |line: &str| {
        let (name, rest) = line.split_once('[')?;
        let count = rest.split_once("] ")?.1.split_whitespace().next()?;
        let (done, total) = count.split_once('/')?;
        Some((name.trim().to_owned(), done.parse().ok()?, total.parse().ok()?))
    };
    drawn.split("limit: ").filter_map(phase).collect()
}

#[test]
fn the_progress_bar_counts_the_phase_that_it_names() {
    let sizes = ["fanout", "--subscribers", "300", "--updates", "400", "--subject", "limit", "--rounds", "2"];
    let phases = phases(&drawn(&sizes));
    assert!(phases.iter().any(|(name, ..)| name == "subscribing"), "{phases:?}");
    for (name, done, total) in &phases {
        let totals = if name == "subscribing" { &[300][..] } else { &[20, 400] };
        assert!(totals.contains(total) && done <= total, "{name} {done}/{total} in {phases:?}");
    }
}
