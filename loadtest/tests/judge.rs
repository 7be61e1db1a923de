//! Goal: the judge passes a sound server and fails an unsound one.
//!
//! Method: the real binary, with small scenarios, against its limit server, which can be set to
//! misbehave.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_petasos-loadtest"))
        .args(arguments)
        .args(["--subject", "limit", "--server-cpu", "0", "--client-cpu", "0"])
        .output()
        .expect("the binary runs")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[track_caller]
fn assert_sound(arguments: &[&str], counts: &str) {
    let output = run(arguments);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(counts), "no {counts:?} in\n{text}");
}

#[track_caller]
fn assert_unsound(fault: &str, counts: &str) {
    let output = run(&["fanout", "--subscribers", "20", "--updates", "40", "--fault", fault]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("UNSOUND") && text.contains(counts), "no {counts:?} in\n{text}");
}

#[test]
fn a_sound_server_passes_a_closed_fan_out() {
    assert_sound(
        &["fanout", "--subscribers", "50", "--updates", "100"],
        "expected 6000, received 6000, lost 0",
    );
}

#[test]
fn a_sound_server_passes_a_fan_out_at_a_fixed_rate() {
    let arguments = ["fanout", "--subscribers", "50", "--rate", "20", "--seconds", "1"];
    assert_sound(&arguments, "published 40, refused 0; deliveries: expected 2000, received 2000, lost 0");
}

#[test]
fn a_sound_server_passes_connect_and_idle() {
    assert_sound(&["connect", "--subscribers", "50"], "cpu_per_connection_us");
    assert_sound(&["idle", "--subscribers", "50", "--seconds", "0.2"], "memory_per_connection_b");
}

#[test]
fn publishers_at_full_speed_lose_nothing() {
    // On one processor the generator may be the bottleneck. This does not affect the counts.
    let output = run(&["firehose", "--subscribers", "50", "--publishers", "4", "--seconds", "0.5"]);
    let text = text(&output);
    assert!(matches!(output.status.code(), Some(0 | 2)), "{text}");
    assert!(text.contains("lost 0, duplicated 0, out of order 0, misdelivered 0"), "{text}");
}

#[test]
fn a_lost_update_fails_the_run() {
    assert_unsound("lose", "lost 6, duplicated 0, out of order 0");
}

#[test]
fn a_duplicated_update_fails_the_run() {
    assert_unsound("duplicate", "lost 0, duplicated 6, out of order 0");
}

#[test]
fn a_disordered_update_fails_the_run() {
    assert_unsound("reorder", "duplicated 0, out of order 5");
}

#[test]
fn an_update_for_others_fails_the_run() {
    // The limit server does not match: all subscribers get everything.
    let output = run(&["private", "--subscribers", "8", "--updates", "5"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

#[test]
fn a_changed_byte_fails_the_run() {
    assert_unsound("corrupt", "lost 6, duplicated 0, out of order 0, misdelivered 0, corrupted 6");
}

#[test]
fn topics_get_their_own_updates_alone() {
    assert_sound(
        &["topics", "--subscribers", "60", "--topics", "20", "--updates", "200"],
        "expected 660, received 660, lost 0",
    );
}

#[test]
fn many_selectors_are_beyond_a_server_that_matches_one() {
    // The limit server knows one topic of each connection: publications on the others are lost.
    let sizes = ["--connections", "10", "--selectors", "1", "--templates-percent", "0", "--updates", "50"];
    assert_sound(&[&["selectors"], &sizes[..]].concat(), "expected 240, received 240, lost 0");
    let output = run(&["selectors", "--connections", "10", "--selectors", "2", "--updates", "50"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

#[test]
fn subscribers_that_come_and_go_disturb_no_count() {
    let sizes = ["--subscribers", "50", "--churners", "30", "--rate", "20", "--seconds", "1"];
    assert_sound(&[&["churn"], &sizes[..]].concat(), "expected 1500, received 1500, lost 0");
}

#[test]
fn a_run_that_cannot_be_made_is_told_apart_from_an_unsound_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_petasos-loadtest"))
        .args(["fanout", "--url", "https://127.0.0.1:1/"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}

/// A limit server that the generator did not start, like an external hub.
struct Running {
    child: Child,
    url: String,
}

impl Running {
    fn start(fault: &str) -> Self {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let child = Command::new(env!("CARGO_BIN_EXE_petasos-loadtest"))
            .args(["limit-server", "--listen", &format!("127.0.0.1:{port}"), "--fault", fault])
            .stdin(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < deadline, "the limit server does not listen");
            std::thread::yield_now();
        }
        Self { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn generate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_petasos-loadtest"))
        .args(arguments)
        .args(["--server-cpu", "0", "--client-cpu", "0"])
        .output()
        .expect("the binary runs")
}

const SMALL: [&str; 5] = ["fanout", "--subscribers", "10", "--updates", "20"];

#[test]
fn servers_that_run_already_are_compared_and_each_is_judged() {
    let (sound, lossy) = (Running::start("none"), Running::start("lose"));
    let with_process = format!("{},{}", sound.url, sound.child.id());
    let compared = ["--url", &sound.url, "--compare", &with_process, &sound.url, "--rounds", "1", "--limit"];
    let output = generate(&[&SMALL[..], &compared].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let output =
        generate(&[&SMALL[..], &["--url", &sound.url, "--compare", &lossy.url, "--rounds", "1"]].concat());
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let name = lossy.url.trim_start_matches("http://");
    assert!(text.contains(&format!("UNSOUND: {name} ")), "{text}");
}

#[test]
fn templates_reach_a_server_that_is_no_hub() {
    let server = Running::start("none");
    let (subscribe, publish) = (format!("{}/sub?topic={{topic}}", server.url), format!("{}/pub", server.url));
    let templates = [
        "--subscribe-url",
        &subscribe,
        "--publish-url",
        &publish,
        "--publish-header",
        "Content-Type: text/plain",
        "--publish-body",
        r#"topic={topic}&data={"wrapped":"{data}"}"#,
    ];
    let output = generate(&[&SMALL[..], &templates].concat());
    let whole = text(&output);
    assert_eq!(output.status.code(), Some(0), "{whole}");
    assert!(whole.contains("expected 400, received 400, lost 0"), "{whole}");
}

#[test]
fn the_figures_are_written_as_json_and_as_a_page_of_its_own() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let (json, html) = (folder.join("judge.json"), folder.join("judge.html"));
    let files = ["--json", json.to_str().expect("UTF-8"), "--html", html.to_str().expect("UTF-8")];
    let output = run(&[&SMALL[..], &files, &["--rounds", "2"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let document: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&json).expect("a file")).expect("JSON");
    assert_eq!(document["sound"], true);
    let cost = &document["servers"][0]["figures"]["cpu_per_delivery_ns"];
    assert!(cost["median"].as_f64().is_some_and(|value| value > 0.0), "{cost}");
    assert_eq!(cost["rounds"].as_array().map(Vec::len), Some(2), "{cost}");
    let page = std::fs::read_to_string(&html).expect("a file");
    assert!(page.contains("<svg") && !page.contains("<script"), "{page}");
}

#[test]
fn bars_that_judged_nothing_are_not_met() {
    let output = run(&["bars", "--only", "no such bar"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

#[test]
fn a_bar_that_needs_an_older_binary_says_so() {
    let output = run(&["bars", "--only", "to before"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert_eq!(text.matches("not compared").count(), 2, "{text}");
    assert_eq!(text.matches("give --before PATH").count(), 2, "{text}");
}

#[test]
fn an_older_binary_that_does_not_start_makes_the_run_invalid() {
    let output = run(&[&SMALL[..], &["--before", "/bin/false", "--rounds", "1"]].concat());
    let text = text(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("INVALID") && text.contains("before: fanout: the server ended"), "{text}");
}

/// Small sizes of `commit`.
const COMMIT: [&str; 7] = ["commit", "--publishers", "4", "--seconds", "0.1", "--turns", "2"];

#[test]
fn durable_publications_are_measured_beside_a_server_in_memory() {
    let output = run(&COMMIT);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for figure in ["one_per_s", "all_per_s", "one_p50_us", "one_cpu_us", "memory_p50_us"] {
        assert!(text.contains(figure), "no {figure} in\n{text}");
    }
    // The limit server has no history, so there is no disk whose limit could be measured.
    assert!(!text.contains("loop_p50_us") && !text.contains("one_p50_share"), "{text}");
}

#[test]
fn the_disk_of_a_server_that_runs_already_is_that_of_the_scratch_folder() {
    let server = Running::start("none");
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("disk");
    std::fs::create_dir_all(&folder).expect("a folder");
    let scratch = ["--url", &server.url, "--scratch", folder.to_str().expect("UTF-8")];
    let output = generate(&[&COMMIT[..], &scratch].concat());
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for figure in ["loop_per_s", "loop_p50_us", "loop_rate_ratio"] {
        assert!(text.contains(figure), "no {figure} in\n{text}");
    }
    assert!(!text.contains("memory_p50_us"), "{text}");
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0, "the file of the loop is removed");
}

#[test]
fn a_scenario_with_more_connections_than_descriptors_says_so() {
    let output = run(&["idle", "--subscribers", "90000000"]);
    let text = text(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("LimitNOFILE"), "{text}");
}
