//! Goal: the judge passes a server that is sound and fails one that is not.
//!
//! Method: the real binary, its scenarios made small, against its own limit server, which is told what to do wrong.

use std::process::{Command, Output};

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
    // On one processor the generator may be declared the bottleneck, which says nothing about the deliveries.
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
    // The limit server matches nothing: everyone gets everything.
    let output = run(&["private", "--subscribers", "8", "--updates", "5"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
}

#[test]
fn a_run_that_cannot_be_made_is_told_apart_from_an_unsound_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_petasos-loadtest"))
        .args(["fanout", "--url", "https://127.0.0.1:1/"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
}
