//! Goal: `petasos health` reports by its exit status, in one sentence and in time, whether a hub
//! can be used, whatever the other end is. Method: the binary with hubs, and with listeners that
//! send other answers or none.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::Output;
use std::time::{Duration, Instant};

use crate::common::tls::{Files, Pair, any};
use crate::common::{DEADLINE, Hub, command};

fn health(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    command()
        .arg("health")
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("UTF-8")
}

/// Checks that it printed one line, which contains `part`, on the stream that matches its status.
fn says(output: &Output, status: i32, part: &str) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}{err}");
    let (line, silent) = if status == 0 { (out, err) } else { (err, out) };
    assert!(silent.is_empty(), "{silent}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains(part), "{part:?} is not in {line}");
}

/// A server that reads one request and sends this answer.
fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).expect("a request");
            request.extend(byte);
        }
        // A client that has read enough may have closed.
        let _ = socket.write_all(answer.as_bytes());
    });
    address
}

#[test]
fn a_hub_is_asked_where_its_settings_say_that_it_listens() {
    let hub = Hub::start(&[]);
    let address = hub.address.to_string();
    let expected = format!("http://{address}/readyz returned 200 after ");
    says(&health(&[], &[("ADDR", &address)]), 0, &expected);
    says(&health(&["--addr", &address], &[]), 0, &expected);
    says(&health(&[], &[("ADDR", &format!("0.0.0.0:{}", hub.address.port()))]), 0, &expected);
    says(&health(&[], &[("ADDR", &format!(":{}", hub.address.port()))]), 0, &expected);
    says(&health(&[&format!("http://{address}")], &[]), 0, &expected);
    says(&health(&[&format!("http://{address}/healthz")], &[("ADDR", ":1")]), 0, "/healthz returned 200");
    says(&health(&[&format!("http://{address}/nowhere")], &[]), 1, "/nowhere returned 404");
}

#[test]
fn a_hub_with_a_certificate_is_asked_over_tls() {
    let pair = Pair::new();
    let files = Files::new("health", &pair);
    let hub = files.start(&[], &any(&pair));
    let (address, cert, key) = (hub.address.to_string(), files.path("cert.pem"), files.path("key.pem"));
    // The hub's certificate is for another name than the address.
    let settings = [("ADDR", address.as_str()), ("CERT_FILE", &cert), ("KEY_FILE", &key)];
    says(&health(&[], &settings), 0, "https://127.0.0.1:");
    let acme = [("ADDR", address.as_str()), ("ACME_HOSTS", "hub.example.com")];
    says(&health(&[], &acme), 0, "https://127.0.0.1:");
    let url = format!("https://localhost:{}", hub.address.port());
    says(&health(&[&url], &[("SSL_CERT_FILE", &cert)]), 0, "returned 200");
    says(&health(&[&url, "--insecure"], &[]), 0, "returned 200");
    let other = Files::new("health-other", &Pair::new());
    says(&health(&[&url], &[("SSL_CERT_FILE", &other.path("cert.pem"))]), 1, "/readyz: no response: ");
    says(&health(&[&format!("http://{address}")], &[]), 1, "returned 400: ");
}

/// If a probe followed a redirect, it could take another page for a healthy hub.
#[test]
fn what_is_not_ready_says_so() {
    let unavailable =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 30\r\n\r\nno key set yet\nand more of it\n";
    says(&health(&[&format!("http://{}", answering(unavailable))], &[]), 1, "returned 503: no key set yet\n");
    let moved = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    says(&health(&[&format!("http://{}", answering(moved))], &[]), 1, "returned 302");
    says(&health(&[&format!("http://{}", answering("SSH-2.0\r\n"))], &[]), 1, "/readyz: no response: ");
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address")
    };
    says(&health(&[&format!("http://{nobody}")], &[]), 1, "refused");
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let began = Instant::now();
    says(&health(&[&url, "--timeout", "100ms"], &[]), 1, "/readyz: no response: timeout");
    assert!((Duration::from_millis(100)..DEADLINE).contains(&began.elapsed()));
}

#[test]
fn a_wrong_call_is_told_from_a_hub_that_is_not_ready() {
    for (arguments, environment) in [
        (&["ftp://localhost"][..], &[][..]),
        (&["localhost:3000"], &[]),
        (&["--timeout", "soon"], &[]),
        (&[], &[("ADDR", "nowhere")]),
        (&[], &[("ADDR", "127.0.0.1:0")]),
        (&[], &[("CERT_FILE", "only-one-of-two")]),
        (&[], &[("ACME_HOSTS", "*.example.com")]),
    ] {
        let output = health(arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {environment:?}: {}", text(&output.stderr));
    }
}
