//! Goal: certificates come automatically from an authority that really checks the host; they are
//! stored and renewed. Whatever the authority does, the hub serves the certificate that it has.
//!
//! Method: Pebble, the test authority of Let's Encrypt, with its DNS server, in which every name is
//! this machine (tests/run installs both; Debian: pebble). The tests do not wait for pauses: SIGHUP
//! ends them, as it does for an operator.

use crate::common;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::common::pebble::{AcmeSetup, free_port, local};
use crate::common::tls::{DAY, Files, Pair, any, trusting};
use crate::common::{Client, Hub, command};
use petasos::limits::{SIDE_SERVER_CONNECTION_MS, SIDE_SERVER_CONNECTIONS_MAX};
use rcgen::{CertificateParams, KeyPair};
use rustix::process::Signal;
use rustls::ClientConfig;
use rustls::client::verify_server_name;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ParsedCertificate;
use rustls::version::TLS13;
use serde_json::{Value, json};

const OBTAINED: &str = "new connections get a new certificate";
const FAILED: &str = "no certificate for";

/// Makes a request over TLS, and returns the certificate.
fn served(hub: &Hub) -> CertificateDer<'static> {
    let mut client = hub.connect();
    client.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().body, "ok");
    let tls = client.tls.as_deref().expect("TLS");
    tls.peer_certificates().expect("certificates")[0].clone().into_owned()
}

/// The error of a handshake that must fail.
fn refusal(address: SocketAddr, config: &Arc<ClientConfig>) -> String {
    let mut client = Client::tls(TcpStream::connect(address).expect("the hub accepts"), config);
    let tls = client.tls.as_deref_mut().expect("TLS");
    tls.complete_io(&mut client.socket).expect_err("no handshake").to_string()
}

fn count(hub: &Hub, text: &str) -> usize {
    hub.log.iter().filter(|line| line.contains(text)).count()
}

/// Stores a certificate that is due for renewal, and returns it.
fn put_due(setup: &AcmeSetup) -> Pair {
    let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    parameters.not_before = (SystemTime::now() - 60 * DAY).into();
    parameters.not_after = (SystemTime::now() + 20 * DAY).into();
    let key = KeyPair::generate().expect("a key");
    let certificate = parameters.self_signed(&key).expect("a certificate");
    let pair =
        Pair { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() };
    fs::create_dir_all(setup.folder.join("acme")).expect("a folder");
    fs::write(setup.certificate(), format!("{}{}", pair.key, pair.certificate)).expect("written");
    pair
}

#[test]
fn a_first_certificate_comes_by_tls_alpn_01_and_outlives_a_restart() {
    let setup = AcmeSetup::new("first");
    let authority = setup.authority(setup.hub, setup.plain, 90 * 24 * 3_600);
    let settings = [("ACME_HOSTS", "localhost,push.example"), ("ACME_EMAIL", "admin@hub.example")];
    let mut hub = setup.hub(&settings);
    hub.wait_for_log(OBTAINED);
    assert!(count(&hub, "there is no certificate yet") == 1 && count(&hub, FAILED) == 0, "{:#?}", hub.log);
    hub.tls = Some(setup.clients(&["http/1.1"]));
    let mut stream = hub.subscribe("topic=a");
    let id = hub.publish("topic=a");
    assert_eq!(stream.ids(1), [id]);
    let first = served(&hub);
    let parsed = ParsedCertificate::try_from(&first).expect("a certificate");
    for name in ["localhost", "push.example"] {
        verify_server_name(&parsed, &name.try_into().expect("a name")).expect("it is named");
    }
    // Other users cannot read the keys.
    for (path, mode) in
        [(setup.folder.join("acme"), 0o700), (setup.certificate(), 0o600), (setup.account(), 0o600)]
    {
        let found = fs::metadata(&path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!(found, mode, "{}", path.display());
    }
    hub.signal(Signal::HUP);
    hub.wait_for_log("the certificate is not due yet");
    hub.signal(Signal::TERM);
    assert!(hub.wait().success());
    // A restart makes no request to the authority.
    let clients = setup.clients(&["http/1.1"]);
    drop(authority);
    let mut hub = setup.hub(&settings);
    hub.tls = Some(clients);
    assert_eq!(served(&hub), first);
    hub.signal(Signal::TERM);
    hub.wait_for_log("stopped");
    assert!(
        hub.log.iter().all(|line| !line.contains("WARN") || line.contains("the history")),
        "{:#?}",
        hub.log
    );
}

#[test]
fn a_challenge_by_handshake_is_no_way_to_the_hub() {
    let setup = AcmeSetup::new("protocol");
    let _authority = setup.authority(setup.hub, setup.plain, 90 * 24 * 3_600);
    let mut hub = setup.hub(&[]);
    hub.wait_for_log(OBTAINED);
    // No challenge is active any more, so the handshake is refused.
    let alert = refusal(hub.address, &setup.clients(&["acme-tls/1"]));
    assert!(alert.contains("AccessDenied"), "{alert}");
    // A client that also offers a usable protocol gets that one. If there is none, the connection
    // ends after the handshake.
    hub.tls = Some(setup.clients(&["acme-tls/1", "http/1.1"]));
    served(&hub);
    let mut client = Client::tls(
        TcpStream::connect(hub.address).expect("the hub accepts"),
        &setup.clients(&["acme-tls/1", "spdy/3"]),
    );
    let tls = client.tls.as_deref_mut().expect("TLS");
    tls.complete_io(&mut client.socket).expect("a handshake");
    assert_eq!(tls.alpn_protocol(), Some(b"acme-tls/1".as_slice()));
    let _ = tls.writer().write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let _ = tls.complete_io(&mut client.socket);
    client.socket.set_read_timeout(Some(common::DEADLINE)).expect("a socket");
    let mut tls = client.tls.take().expect("TLS");
    while tls.read_tls(&mut client.socket).is_ok_and(|count| count > 0) {
        let state = tls.process_new_packets().expect("TLS");
        assert_eq!(state.plaintext_bytes_to_read(), 0, "an answer behind a challenge");
    }
    hub.tls = Some(setup.clients(&["http/1.1"]));
    served(&hub);
}

/// The authority cannot reach the TLS port, as with a proxy that terminates TLS.
#[test]
fn http_01_takes_over_and_everything_else_is_redirected() {
    let setup = AcmeSetup::new("http");
    let _authority = setup.authority(free_port(), setup.plain, 90 * 24 * 3_600);
    let plain = local(setup.plain);
    let mut hub = setup.hub(&[("ACME_HTTP_ADDR", &plain)]);
    hub.wait_for_log(OBTAINED);
    assert_eq!(count(&hub, FAILED), 0, "{:#?}", hub.log);
    hub.tls = Some(setup.clients(&["http/1.1"]));
    served(&hub);
    let ask = |request: &str| {
        let mut client = Client::new(TcpStream::connect(&plain).expect("it listens"));
        client.send(request);
        let answer = client.answer();
        assert!(client.is_closed());
        answer
    };
    let answer = ask("GET /.well-known/mercure?topic=a HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let target = "https://localhost/.well-known/mercure?topic=a";
    assert_eq!((answer.status, answer.header("Location")), (308, Some(target)));
    let body = "x".repeat(200_000);
    let post = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert_eq!(ask(&post).status, 308);
    assert_eq!(ask("GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 404);
    assert_eq!(ask("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").status, 400);
    assert_eq!(ask("GET / HTTP/1.1\r\n\r\n").status, 400);
    assert_eq!(ask("\u{16}\u{3}\u{1} nothing\r\n\r\n").status, 400);
    // Silent clients do not keep others out.
    let (began, limit) = (Instant::now(), Duration::from_millis(SIDE_SERVER_CONNECTION_MS));
    let idle: Vec<_> = (0..4 * SIDE_SERVER_CONNECTIONS_MAX)
        .map(|_| {
            let mut socket = TcpStream::connect(&plain).expect("it listens");
            socket.write_all(b"GET / HT").expect("written");
            socket
        })
        .collect();
    assert_eq!(ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 308);
    let mut first = Client::new(idle[0].try_clone().expect("a descriptor"));
    assert!(first.is_closed() && began.elapsed() < limit, "{:?}", began.elapsed());
    let mut last = Client::new(idle[idle.len() - 2].try_clone().expect("a descriptor"));
    assert!(last.is_closed() && began.elapsed() >= limit, "{:?}", began.elapsed());
    hub.signal(Signal::TERM);
    assert!(hub.wait().success());
}

#[test]
fn a_certificate_is_renewed_in_time_with_the_same_account() {
    let setup = AcmeSetup::new("renewal");
    let _authority = setup.authority_that_looks(setup.hub, setup.plain, 9, false);
    let mut hub = setup.hub(&[]);
    hub.wait_for_log(OBTAINED);
    hub.tls = Some(setup.clients(&["http/1.1"]));
    let account = fs::read(setup.account()).expect("an account");
    let mut stream = hub.subscribe("topic=a");
    let mut seen = vec![served(&hub)];
    for _ in 0..2 {
        hub.wait_for_log(OBTAINED);
        let next = served(&hub);
        assert!(!seen.contains(&next), "it is a new one");
        let stored = CertificateDer::from_pem_slice(&fs::read(setup.certificate()).expect("stored"));
        assert_eq!(stored.expect("PEM"), next);
        seen.push(next);
    }
    assert_eq!(fs::read(setup.account()).expect("an account"), account);
    assert!(count(&hub, FAILED) == 0, "{:#?}", hub.log);
    let id = hub.publish("topic=a");
    assert_eq!(stream.ids(1), [id]);
}

#[test]
fn while_the_authority_is_down_or_refuses_the_old_certificate_stays() {
    let setup = AcmeSetup::new("down");
    let due = put_due(&setup);
    let plain = local(setup.plain);
    let mut hub = setup.hub(&[("ACME_HTTP_ADDR", &plain)]);
    hub.tls = Some(any(&due));
    let mut stream = hub.subscribe("topic=a");
    // Fresh clients: a resumed session would not show the certificate.
    let mut old_is_served = |hub: &mut Hub| {
        let id = hub.publish("topic=a");
        assert_eq!(stream.ids(1), [id]);
        hub.tls = Some(any(&due));
        assert_eq!(served(hub), due.der);
    };
    // One warning for each attempt: the error, the certificate still in use, and the next attempt.
    let line = hub.wait_for_log(FAILED);
    let url = format!("no certificate for localhost from https://localhost:{}/dir: ", setup.authority);
    for part in [
        &url,
        "it cannot be reached: ",
        "Connection refused",
        "the certificate stays, which expires at",
        "WARN",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let pauses = |line: &str, seconds: std::ops::RangeInclusive<u64>| {
        let (_, pause) = line.split_once("next try in ").expect("a pause");
        let pause = pause.split('"').next().expect("a text");
        let pause = humantime::parse_duration(pause).expect("a duration");
        assert!(seconds.contains(&pause.as_secs()), "{line}");
    };
    pauses(&line, 54..=60);
    hub.signal(Signal::HUP);
    pauses(&hub.wait_for_log(FAILED), 108..=120);
    old_is_served(&mut hub);
    // An authority that checks the wrong ports refuses the host, with both challenges.
    let authority = setup.authority(free_port(), free_port(), 90 * 24 * 3_600);
    hub.signal(Signal::HUP);
    let line = hub.wait_for_log(FAILED);
    for part in
        ["it refused localhost by tls-alpn-01: ", "it refused localhost by http-01: ", "onnection refused"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    pauses(&line, 54 * 60..=60 * 60);
    old_is_served(&mut hub);
    assert_eq!(count(&hub, FAILED), 3, "{:#?}", hub.log);
    // The next authority does not know the account.
    drop(authority);
    let account = fs::read(setup.account()).expect("an account");
    let _authority = setup.authority(setup.hub, setup.plain, 90 * 24 * 3_600);
    hub.signal(Signal::HUP);
    hub.wait_for_log("the authority has forgotten the account");
    hub.wait_for_log(OBTAINED);
    assert_ne!(fs::read(setup.account()).expect("an account"), account);
    hub.tls = Some(setup.clients(&["http/1.1"]));
    assert_ne!(served(&hub), due.der);
    let id = hub.publish("topic=a");
    assert_eq!(stream.ids(1), [id]);
    assert_eq!(count(&hub, FAILED), 3, "{:#?}", hub.log);
}

#[test]
fn without_a_certificate_handshakes_fail_until_there_is_one() {
    let setup = AcmeSetup::new("none");
    // The stored file cannot be served: its key is not that of its certificate.
    fs::create_dir_all(setup.folder.join("acme")).expect("a folder");
    fs::write(setup.certificate(), format!("{}{}", setup.pair.certificate, Pair::new().key))
        .expect("written");
    // Another process has the port for plain HTTP.
    let taken = TcpListener::bind(("127.0.0.1", setup.plain)).expect("a port");
    let other = Pair::new();
    fs::write(setup.folder.join("other.pem"), &other.certificate).expect("written");
    let plain = local(setup.plain);
    let other_file = setup.path("other.pem");
    let mut hub = setup.hub(&[("ACME_HTTP_ADDR", &plain), ("ACME_CA_FILE", &other_file)]);
    let line = hub.wait_for_log("by tls-alpn-01 alone");
    assert!(line.contains(&plain) && line.contains("ACME_HTTP_ADDR"), "{line}");
    hub.wait_for_log("there is no certificate yet");
    assert_eq!(count(&hub, "is not that of the certificate in"), 1, "{:#?}", hub.log);
    hub.wait_for_log(FAILED);
    let alert = refusal(hub.address, &trusting(&[&other], &[&TLS13], &["http/1.1"]));
    assert!(alert.contains("AccessDenied"), "{alert}");
    // The hub sends nothing to an authority whose certificate it does not trust.
    let _authority = setup.authority(setup.hub, setup.plain, 90 * 24 * 3_600);
    hub.signal(Signal::HUP);
    let line = hub.wait_for_log(FAILED);
    assert!(line.contains("certificate") && line.contains("there is none yet"), "{line}");
    assert!(!setup.account().exists());
    drop(hub);
    let mut hub = setup.hub(&[]);
    hub.wait_for_log(OBTAINED);
    hub.tls = Some(setup.clients(&["http/1.1"]));
    let first = served(&hub);
    let account = || -> Value {
        serde_json::from_slice(&fs::read(setup.account()).expect("an account")).expect("JSON")
    };
    let before = account();
    drop(hub);
    // One more host: the stored certificate serves the others until there is a new one. The hub
    // sends the new contact to the authority.
    let settings = [("ACME_HOSTS", "localhost,push.example"), ("ACME_EMAIL", "admin@hub.example")];
    let mut hub = setup.hub(&settings);
    hub.wait_for_log(OBTAINED);
    let after = account();
    assert_eq!((&before["email"], &after["email"]), (&Value::Null, &json!("admin@hub.example")));
    assert_eq!(before["credentials"], after["credentials"]);
    let line = hub.log.iter().find(|line| line.contains("is not for every host")).expect("it is told");
    assert!(line.contains("push.example"), "{line}");
    assert_eq!(count(&hub, "there is no certificate yet"), 0, "{:#?}", hub.log);
    hub.tls = Some(setup.clients(&["http/1.1"]));
    assert_ne!(served(&hub), first);
    drop(taken);
}

/// A web server that is not an authority: a hub.
#[test]
fn an_answer_that_is_none_of_the_protocol_is_told_as_it_is() {
    let setup = AcmeSetup::new("web");
    let web = Files::new("acme-web", &setup.pair).start(&[], &any(&setup.pair));
    let url = format!("https://localhost:{}/dir", web.address.port());
    let mut hub = setup.hub(&[("ACME_DIRECTORY_URL", &url)]);
    let line = hub.wait_for_log(FAILED);
    assert!(line.contains("it returned 404 Not Found without an ACME error document"), "{line}");
}

#[test]
fn a_start_that_could_not_keep_certificates_says_why() {
    let setup = AcmeSetup::new("start");
    let start = |settings: &[(&str, &str)]| {
        let mut hub = command();
        hub.env("JWT_KEY", common::KEY).env("DB_PATH", ":memory:").envs(setup.settings());
        let output = hub.envs(settings.iter().copied()).stdin(Stdio::null()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, log) = start(&[("ACME_CA_FILE", "/nowhere/ca.pem")]);
    assert!(code == Some(1) && log.contains("/nowhere/ca.pem (ACME_CA_FILE) cannot be read"), "{log}");
    let key = setup.path("authority-key.pem");
    let (code, log) = start(&[("ACME_CA_FILE", &key)]);
    assert!(code == Some(1) && log.contains("holds no certificate of an authority"), "{log}");
    let (code, log) = start(&[("ACME_CERT_DIR", &format!("{key}/acme"))]);
    assert!(code == Some(1) && log.contains("(ACME_CERT_DIR) cannot be made"), "{log}");
    fs::set_permissions(&setup.folder, fs::Permissions::from_mode(0o755)).expect("ours");
    let (code, log) = start(&[("ACME_CERT_DIR", &setup.path("."))]);
    assert!(code == Some(1) && log.contains("is open to others (mode 755)"), "{log}");
    let (code, log) = start(&[("ACME_HOSTS", "*.example.com")]);
    assert!(code == Some(2) && log.contains("dns-01"), "{log}");
    let (code, log) = start(&[("CERT_FILE", &key), ("KEY_FILE", &key)]);
    assert!(code == Some(2) && log.contains("nothing beside CERT_FILE"), "{log}");
}
