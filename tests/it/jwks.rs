//! Goal: tokens are verified with the current keys of an issuer. A set that cannot be fetched makes
//! no token valid and no valid token invalid. Method: the binary, and a scripted issuer in the
//! test's process.

use crate::common;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::tls::{Files, Pair};
use crate::common::{Hub, command, eventually, post};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use petasos::mercure::token::sign;
use rustls::{ServerConfig, ServerConnection};
use serde_json::{Value, json};

const EC256: &str = include_str!("../data/keys/ec256-private.pem");
const EC256_PUBLIC: &str = include_str!("../data/keys/ec256-public.pem");
const ED25519: &str = include_str!("../data/keys/ed25519-private.pem");

/// An issuer of tokens that publishes its keys.
struct Issuer {
    address: SocketAddr,
    answer: Arc<Mutex<String>>,
    requests: Arc<AtomicUsize>,
}

impl Issuer {
    fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (answer, requests) = (Arc::new(Mutex::new(status(503))), Arc::new(AtomicUsize::new(0)));
        let issuer = Self { address, answer: Arc::clone(&answer), requests: Arc::clone(&requests) };
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let answer = answer.lock().expect("no panic").clone();
                serve(socket, tls.as_ref(), &answer, &requests);
            }
        });
        issuer
    }

    fn answers(&self, answer: String) {
        *self.answer.lock().expect("no panic") = answer;
    }

    fn publishes(&self, keys: &[Value]) {
        self.answers(document(&json!({ "keys": keys }).to_string()));
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// A hub that trusts this issuer.
    fn hub(&self, settings: &[(&str, &str)]) -> Hub {
        let mut command = command();
        command.env("ADDR", "127.0.0.1:0").env("DB_PATH", ":memory:").env("JWKS_URL", self.url());
        command.envs(settings.iter().copied());
        Hub::run(command)
    }
}

/// Answers one request and counts it. A client that does not trust the issuer, or has read enough,
/// closes the connection.
fn serve(
    socket: TcpStream,
    tls: Option<&Arc<ServerConfig>>,
    answer: &str,
    requests: &AtomicUsize,
) -> Option<()> {
    let Some(config) = tls else { return talk(socket, answer, requests) };
    let connection = ServerConnection::new(Arc::clone(config)).expect("a session");
    let mut stream = rustls::StreamOwned::new(connection, socket);
    talk(&mut stream, answer, requests)?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

fn talk(mut stream: impl Read + Write, answer: &str, requests: &AtomicUsize) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    assert!(head.starts_with(b"GET /"), "{:?}", String::from_utf8_lossy(&head));
    requests.fetch_add(1, Ordering::SeqCst);
    stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).ok()
}

fn document(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} Because\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn redirect(to: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

fn encoding(algorithm: Algorithm) -> EncodingKey {
    // The first call of `sign` selects the crypto provider.
    sign(&json!({}), b"x", Algorithm::HS256).expect("a token");
    let key = match algorithm {
        Algorithm::ES256 => EncodingKey::from_ec_pem(EC256.as_bytes()),
        _ => EncodingKey::from_ed_pem(ED25519.as_bytes()),
    };
    key.expect("a private key")
}

fn jwk(algorithm: Algorithm, id: &str) -> Value {
    let key = Jwk::from_encoding_key(&encoding(algorithm), algorithm).expect("a key");
    let mut key = serde_json::to_value(key).expect("JSON");
    key["kid"] = json!(id);
    key
}

fn token(algorithm: Algorithm, id: &str) -> String {
    signed(algorithm, id, &encoding(algorithm))
}

fn signed(algorithm: Algorithm, id: &str, key: &EncodingKey) -> String {
    let header = Header { kid: Some(id.to_owned()), ..Header::new(algorithm) };
    let claims = json!({"mercure": {"publish": ["*"], "subscribe": ["*"]}});
    jsonwebtoken::encode(&header, &claims, key).expect("a token")
}

fn published(hub: &Hub, token: &str) -> u16 {
    hub.request(&post("topic=a&data=b", Some(token))).status
}

fn ready(hub: &Hub) -> u16 {
    hub.request("GET /readyz HTTP/1.1\r\nHost: hub\r\n\r\n").status
}

fn wait_until_published(hub: &Hub, token: &str) {
    eventually("no set with this key is fetched", || published(hub, token) == 200);
}

#[test]
fn a_hub_without_its_key_set_says_so_and_fetches_it_until_it_is_there() {
    let issuer = Issuer::start(None);
    let mut hub = issuer.hub(&[("ALLOW_ANONYMOUS", "1")]);
    let token = token(Algorithm::ES256, "a");
    let line: Value =
        serde_json::from_str(&hub.wait_for_log("the key set cannot be fetched")).expect("a JSON line");
    assert!(line["message"].as_str().is_some_and(|text| text.contains("no token is valid")), "{line}");
    assert!(line["error"].as_str().is_some_and(|text| text.contains("503")), "{line}");
    // The hub cannot know whether this token is valid, so the client must retry.
    let answer = hub.request(&post("topic=a", Some(&token)));
    assert_eq!((answer.status, answer.header("Retry-After")), (503, Some("1")));
    assert_eq!(ready(&hub), 503);
    let mut stream = hub.subscribe("topic=a");
    assert_eq!(stream.status, 200, "who needs no token is served");
    issuer.publishes(&[jwk(Algorithm::ES256, "a")]);
    wait_until_published(&hub, &token);
    assert_eq!(ready(&hub), 200);
    assert!(stream.next().expect("an event").contains("data: b"));
}

#[test]
fn the_issuer_changes_its_keys() {
    let issuer = Issuer::start(None);
    issuer.publishes(&[jwk(Algorithm::ES256, "old")]);
    let hub = issuer.hub(&[]);
    let (old, new) = (token(Algorithm::ES256, "old"), token(Algorithm::EdDSA, "new"));
    wait_until_published(&hub, &old);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let mut stream = hub.subscribe_with("topic=b", &bearer(&old));
    // Issuers publish both keys for a while. Here only the new one remains; the hub learns it
    // within its refresh period.
    issuer.publishes(&[jwk(Algorithm::EdDSA, "new")]);
    assert_eq!(published(&hub, &new), 503, "it is fetched");
    wait_until_published(&hub, &new);
    assert_eq!(published(&hub, &old), 401, "the old one is withdrawn, also for tokens that were verified");
    assert_eq!(published(&hub, &new), 200);
    assert_eq!(stream.next(), None, "what it granted ends");
    assert_eq!(hub.subscribe_with("topic=b", &bearer(&old)).status, 401);
    assert_eq!(hub.subscribe_with("topic=b", &bearer(&new)).status, 200);
    assert_eq!(issuer.requests(), 2);
}

#[test]
fn tokens_with_unknown_keys_have_the_set_fetched_once_a_minute() {
    let issuer = Issuer::start(None);
    issuer.publishes(&[jwk(Algorithm::ES256, "a")]);
    let hub = issuer.hub(&[]);
    wait_until_published(&hub, &token(Algorithm::ES256, "a"));
    assert_eq!(issuer.requests(), 1);
    let unknown = |number: usize| token(Algorithm::ES256, &format!("unknown-{number}"));
    eventually("the fetch does not end", || published(&hub, &unknown(0)) == 401);
    assert_eq!(issuer.requests(), 2);
    assert!((1..50).all(|number| published(&hub, &unknown(number)) == 401));
    assert_eq!((issuer.requests(), published(&hub, &token(Algorithm::ES256, "a"))), (2, 200));
}

/// Whatever the issuer answers, its last valid keys stay in force, and each failed attempt logs a
/// warning.
#[test]
fn a_fetch_that_fails_leaves_the_last_set_in_force() {
    let issuer = Issuer::start(None);
    issuer.publishes(&[jwk(Algorithm::ES256, "a")]);
    let mut hub = issuer.hub(&[]);
    let token_a = token(Algorithm::ES256, "a");
    wait_until_published(&hub, &token_a);
    let endless = document(&"[".repeat(300 << 10));
    let loops = redirect(&issuer.url());
    for (number, (answer, error)) in
        [(document("<html>"), "list \\\"keys\\\""), (endless, "larger than"), (loops, "redirects")]
            .into_iter()
            .enumerate()
    {
        issuer.answers(answer);
        if number == 0 {
            assert_eq!(published(&hub, &token(Algorithm::EdDSA, "new")), 503);
        }
        // The next attempt starts by itself.
        let line = hub.wait_for_log(error);
        assert!(line.contains("WARN") && line.contains("the last one stays in force"), "{line}");
        assert_eq!((published(&hub, &token_a), ready(&hub)), (200, 200), "{error}");
    }
    let warnings = hub.logged().iter().filter(|line| line.contains("cannot be fetched"));
    let retries =
        warnings.map(|line| serde_json::from_str::<Value>(line).expect("a JSON line")["retry_s"].as_u64());
    assert!(retries.enumerate().all(|(try_, retry_s)| retry_s == Some(1 << try_)), "{:#?}", hub.log);
}

/// RFC 8725, sections 2.1 and 3.1.
#[test]
fn no_token_chooses_how_it_is_verified() {
    let issuer = Issuer::start(None);
    let secret = json!({"kty": "oct", "kid": "secret", "alg": "HS256", "k": "c2VjcmV0"});
    issuer.publishes(&[jwk(Algorithm::ES256, "a"), secret]);
    let hub = issuer.hub(&[]);
    wait_until_published(&hub, &token(Algorithm::ES256, "a"));
    let public_key = EncodingKey::from_secret(EC256_PUBLIC.as_bytes());
    assert_eq!(published(&hub, &signed(Algorithm::HS256, "a", &public_key)), 401);
    assert_eq!(published(&hub, &signed(Algorithm::EdDSA, "a", &encoding(Algorithm::EdDSA))), 401);
    let by_secret = signed(Algorithm::HS256, "secret", &EncodingKey::from_secret(b"secret"));
    eventually("a shared secret is in force", || published(&hub, &by_secret) == 401);
}

#[test]
fn each_role_has_keys_of_its_own() {
    let issuer = Issuer::start(None);
    issuer.publishes(&[jwk(Algorithm::ES256, "a")]);
    let mut command = command();
    command.env("ADDR", "127.0.0.1:0").env("DB_PATH", ":memory:").env("JWT_KEY", common::KEY);
    let hub = Hub::run({
        command.env("PUBLISHER_JWKS_URL", issuer.url());
        command
    });
    let of_issuer = token(Algorithm::ES256, "a");
    wait_until_published(&hub, &of_issuer);
    assert_eq!(published(&hub, &common::publisher()), 401);
    let subscribes =
        |token: &str| hub.subscribe_with("topic=a", &format!("Authorization: Bearer {token}\r\n")).status;
    assert_eq!((subscribes(&of_issuer), subscribes(&common::publisher())), (401, 200));
}

fn https(pair: &Pair) -> Arc<ServerConfig> {
    let key = rustls::pki_types::pem::PemObject::from_pem_slice(pair.key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth();
    Arc::new(config.with_single_cert(vec![pair.der.clone()], key).expect("a certificate"))
}

#[test]
fn over_https_the_issuer_is_the_one_whose_authority_this_host_trusts() {
    let pair = Pair::new();
    let files = Files::new("jwks", &pair);
    let stranger = Files::new("jwks-stranger", &Pair::new());
    let issuer = Issuer::start(Some(https(&pair)));
    issuer.publishes(&[jwk(Algorithm::ES256, "a")]);
    let url = format!("https://localhost:{}/keys", issuer.address.port());
    let token = token(Algorithm::ES256, "a");
    let trusting = |files: &Files| [("JWKS_URL", url.clone()), ("SSL_CERT_FILE", files.path("cert.pem"))];
    let start = |settings: [(&str, String); 2]| {
        let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        issuer.hub(&settings)
    };
    let hub = start(trusting(&files));
    wait_until_published(&hub, &token);

    let mut hub = start(trusting(&stranger));
    let line = hub.wait_for_log("the key set cannot be fetched");
    assert!(line.contains("certificate") || line.contains("UnknownIssuer"), "{line}");
    assert_eq!(published(&hub, &token), 503);

    // An attacker in front of plain HTTP could answer with other keys.
    let plain = Issuer::start(None);
    plain.publishes(&[jwk(Algorithm::ES256, "a")]);
    issuer.answers(redirect(&plain.url()));
    let mut hub = start(trusting(&files));
    hub.wait_for_log("the key set cannot be fetched");
    assert_eq!((published(&hub, &token), plain.requests()), (503, 0));
}
