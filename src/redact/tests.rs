//! Goal: no secret of a client is in a text for the log, however it is spelled and wherever it is,
//! and the rest of the text is.
//!
//! Method: each spelling by name; then random texts with real tokens in random spellings. A part
//! of a token counts as found if 16 characters of it are in the output, or in what percent-decoding
//! makes of it. `REDACTED_LINES` sets the number of lines, `REDACTED_SEED` replays a run.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::collections::HashSet;

use fastrand::Rng;
use percent_encoding::percent_decode;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::*;
use crate::mercure::token::{Algorithm, sign};

const HEADER: &str = "eyJhbGciOiJIUzI1NiJ9";
const PAYLOAD: &str = "eyJtZXJjdXJlIjp7InB1Ymxpc2giOlsiKiJdfX0";
const SIGNATURE: &str = "Zr9kQ-uXv0_8cWnq3bT5yLhJ2mPdSfGa7oVtEiRxUw1";

fn token() -> String {
    [HEADER, PAYLOAD, SIGNATURE].join(".")
}

fn shown(text: &str) -> String {
    Redacted::new(text).to_string()
}

/// Percent-encodes every byte.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn a_text_without_a_secret_is_shown_as_it_came() {
    for text in [
        "",
        "/hub",
        "/hub?",
        "*",
        "/.well-known/mercure?topic=a%20b&topic=*&x",
        "/.well-known/mercure?topic=https%3A%2F%2Fexample.com%2Fbooks%2F{id}&lastEventID=urn:uuid:1",
        "topic=https://example.com/books/0195f2a4-7a5e-7c3b-9f3e-1d2c3b4a5f60",
        "topic=https://example.com/keyJson/monkeys/eyes/Iceland/Donkey?a=b@c",
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "100% of %zz and %e %2 %",
        "tokens and keys are words; a token is one, too",
        "é%C3%A9\u{1F600}",
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn a_token_is_not_shown_wherever_it_is() {
    let token = token();
    for (before, after) in [
        ("topic=a?authorization=", ""),
        ("topic=a%3Fauthorization%3D", ""),
        ("topic=a%26authorization%3D", ""),
        ("topic=a;authorization=", ""),
        ("topic=a&authorization:", ""),
        ("topic=a&x=\"", "\""),
        ("topic=a&x=Bearer:", ""),
        ("app (token=", ")"),
        ("app (", "; x) y"),
        ("/hub/", "/z"),
        ("/hub;", ";z"),
        ("/hub=", "=z"),
        ("https://example.com/", "#z"),
        ("https://", "@example.com/"),
        ("a.b.", ""),
        ("tokens_", ""),
        ("X", ""),
        ("12345678901234567890", ""),
        ("%6", ""),
        ("%2", ""),
        ("%25%36", ""),
        ("%", ""),
        ("'", "'"),
        ("[\"", "\",1]"),
        ("{\\\"a\\\":\\\"", "\\\"}"),
        ("é", "é"),
        ("\u{fffd}\n", "\n"),
    ] {
        for spelled in [
            token.clone(),
            encoded(&token),
            encoded(&token).to_lowercase(),
            encoded(&encoded(&token)),
            token.replace('.', "%2E"),
            token.replace('.', "%252e"),
            token.replacen("eyJ", "%65%79%4a", 1),
            token.replacen('e', "%252565", 1),
            token.replacen('e', "%%36%35", 1),
            token.replacen('e', "%2565", 3),
            token.replace('.', "=."),
            token.replace('.', "==."),
            token.replace('.', "\r\n."),
            token.replace('.', ".+"),
            token[..HEADER.len() + 20].to_owned(),
            format!("{HEADER}."),
            format!("{PAYLOAD}.{SIGNATURE}"),
            format!("{token}~WyJzYWx0IiwibmFtZSIsInZhbHVlIl0~"),
        ] {
            let text = format!("{before}{spelled}{after}");
            let output = shown(&text);
            assert_eq!(found(&output, &pieces(&token)), None, "{text}: {output}");
            assert!(output.contains(MASK), "{text}: {output}");
        }
    }
}

/// The first bytes of a header that is written with white space, or after some (RFC 8259, section
/// 2).
#[test]
fn a_header_with_white_space_begins_a_token_too() {
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{ "alg":"HS256"}"#,
        "{\n  \"alg\": \"HS256\"\n}",
        "{\r\n\"alg\":\"HS256\"}",
        "{\t\"alg\":\"HS256\"}",
        "{  \"alg\":\"HS256\"}",
        " {\"alg\":\"HS256\"}",
        "\n{\"alg\":\"HS256\"}",
        "\r\n{\"alg\":\"HS256\"}",
        "\t \n {\"alg\":\"HS256\"}",
        r#"{"\u0061lg":"HS256"}"#,
        r#"{"é":1,"alg":"HS256"}"#,
        r#"{"":1,"alg":"HS256"}"#,
    ] {
        // A payload that is no object, so that it does not show where the token is.
        let token = format!("{}.{}.{SIGNATURE}", base64url(header.as_bytes()), base64url(b"an opaque text"));
        for before in ["", "x=", "Bearer ", "word"] {
            assert_eq!(shown(&format!("{before}{token}")), format!("{before}{MASK}"), "{header}");
        }
    }
}

#[test]
fn a_value_with_the_name_of_a_secret_is_not_shown_whatever_it_is() {
    for (text, expected) in [
        ("topic=a&authorization=s3cret", "topic=a&authorization=***"),
        ("authorization=s3cret&topic=a", "authorization=***&topic=a"),
        ("Authorization=s3cret", "Authorization=***"),
        ("%61uthorization=s3cret", "%61uthorization=***"),
        ("%2561uthorization%253Ds3cret", "%2561uthorization%253D***"),
        ("+authorization=s3cret", "+authorization=***"),
        ("authorization=s3cret=s3cret", "authorization=***"),
        ("authorization=s3cret%26s3cret&x=1", "authorization=***&x=1"),
        ("authorization=s3cret;s3cret,(s3cret)&x=1", "authorization=***&x=1"),
        ("a?authorization=s3cret", "a?authorization=***"),
        ("a%26authorization%3Ds3cret", "a%26authorization%3D***"),
        ("a;authorization=s3cret", "a;authorization=***"),
        ("authorization:s3cret", "authorization:***"),
        ("authorization[]=s3cret", "authorization[]=***"),
        ("authorization%5B%5D=s3cret", "authorization%5B%5D=***"),
        ("Authorization: Bearer s3cret", "Authorization: ***"),
        ("Authorization: Basic czNjcmV0 x", "Authorization: *** x"),
        ("Authorization            :            s3cret", "Authorization            :            ***"),
        ("mercureAuthorization=s3cret", "mercureAuthorization=***"),
        ("access_token=s3cret", "access_token=***"),
        ("id_token=s3cret&idToken=s3cret", "id_token=***&idToken=***"),
        ("jwt=s3cret", "jwt=***"),
        ("key=s3cret", "key=***"),
        ("api_key=s3cret&x-api-key: s3cret", "api_key=***&x-api-key: ***"),
        ("session-id=s3cret", "session-id=***"),
        ("Cookie: s3cret", "Cookie: ***"),
        ("password=s3cret", "password=***"),
        ("pass%77ord=\"s3 cret\" x", "pass%77ord=\"***\" x"),
        ("password=\"s3\"cret", "password=\"***"),
        ("{\"password\": \"s3 cret\", \"x\": 1}", "{\"password\": \"***\", \"x\": 1}"),
        ("{\\\"token\\\":\\\"s3cret\\\",\\\"x\\\":1}", "{\\\"token\\\":\\\"***\",\\\"x\\\":1}"),
        ("app (token=s3cret) x", "app (token=*** x"),
        ("Bearer s3cret", "Bearer ***"),
        ("x=bearer+s3cret&y", "x=bearer+***&y"),
        ("x=Bearer%20s3cret", "x=Bearer%20***"),
        ("x=Bearer:s3cret", "x=Bearer:***"),
        ("x=Basic%20czNjcmV0", "x=Basic%20***"),
        ("(Basic   \"s3cret\")", "(Basic   \"***\")"),
        ("https://user:s3cret@example.com/", "https://***@example.com/"),
        ("https%3A%2F%2Fs3cret%40example.com%2F", "https%3A%2F%2F***%40example.com%2F"),
        ("x=eyJs3cret.x.y", "x=***"),
        ("x=Bearer%20eyJs3cret.x.y", "x=Bearer%20***"),
        ("x=Bearer+%65yJs3cret.x.y", "x=Bearer+***"),
        ("/hub/eyJs3cret.x.y/z", "/hub/***/z"),
        ("token=&x=1", "token=&x=1"),
        ("token", "token"),
    ] {
        assert_eq!(shown(text), expected, "{text}");
        assert_eq!(Redacted::whole(text).to_string(), expected, "{text}");
        assert_eq!(Redacted::of(text).to_string(), expected, "{text}");
    }
    let target = Redacted::target("/a/authorization", Some("authorization=s3cret")).to_string();
    assert_eq!(target, "/a/authorization?authorization=***");
}

#[test]
fn what_is_shown_is_bounded_and_its_end_is_no_part_of_a_token() {
    let long = "é".repeat(LOGGED_TEXT_BYTES_MAX);
    for text in [Redacted::new(&long), Redacted::target("/", Some(&long)), Redacted::of(&long)] {
        let text = text.to_string();
        assert!(text.ends_with("é…") && text.len() <= LOGGED_TEXT_BYTES_MAX + 3, "{text}");
    }
    assert_eq!(Redacted::whole(&long).to_string(), long);
    assert_eq!(Redacted::new(b"\xffcurl").to_string(), "\u{fffd}curl");
    assert_eq!(shown(&format!("x={}", HEADER.repeat(200))), "x=***…");
    let token = token();
    for begin in (0..=REDACTED_TEXT_BYTES_MAX).step_by(3) {
        let text = format!("{}&x={token}&authorization=s3cret", "a".repeat(begin));
        let output = shown(&text);
        assert_eq!(found(&output, &pieces(&token)), None, "{output}");
        assert!(!output.contains("s3"), "{output}");
    }
}

#[test]
fn a_line_loses_its_tokens_and_nothing_else() {
    let line = format!("INFO answered token=kept path=/x?topic={} key: kept\n", encoded(&token()));
    let expected = "INFO answered token=kept path=/x?topic=*** key: kept\n";
    assert_eq!(&*without_tokens(line.as_bytes()), expected.as_bytes());
    assert!(matches!(without_tokens(b"token=kept \xff\n"), Cow::Borrowed(_)));
}

/// Texts that make a search with a bad bound look at their rest again and again.
#[test]
fn the_cost_is_linear() {
    for piece in [
        "%25",
        "%",
        "eyJ",
        "ey",
        "ICAg",
        "IC",
        "token=",
        "token=\"",
        "token='\"",
        "token ",
        "bearer ",
        "://",
        ":",
        "@",
        "=",
        "a.",
        "eyJhbGciOiJIUzI1NiJ9 ",
        "eyJ= ",
        " ",
        "\"",
    ] {
        let text = piece.repeat((256 << 10) / piece.len());
        // Not the time of day: the machine may be busy.
        let cpu_s = || clock_gettime(ClockId::ThreadCPUTime).tv_sec;
        let began_s = cpu_s();
        let length = Redacted::whole(&text).to_string().len();
        let took_s = cpu_s() - began_s;
        assert!(took_s < 5, "{piece:?}: {took_s} s for {length} bytes");
    }
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Every 16 characters in a row of the secret parts of a token.
fn pieces(token: &str) -> HashSet<&[u8]> {
    token.split('.').skip(1).flat_map(|part| part.as_bytes().windows(16)).collect()
}

/// A piece that is in the output, or in what decoding makes of it.
fn found(output: &str, pieces: &HashSet<&[u8]>) -> Option<String> {
    let mut text = output.as_bytes().to_vec();
    loop {
        if let Some(piece) = text.windows(16).find(|window| pieces.contains(window)) {
            return Some(String::from_utf8_lossy(piece).into_owned());
        }
        let decoded: Vec<u8> = percent_decode(&text).collect();
        if decoded == text {
            return None;
        }
        text = decoded;
    }
}

/// Signed tokens of several algorithms and lengths.
fn tokens(random: &mut Rng) -> Vec<String> {
    let keys = [
        (Algorithm::HS256, "a shared secret of at least thirty-two bytes"),
        (Algorithm::HS512, "a shared secret of at least thirty-two bytes"),
        (Algorithm::ES256, include_str!("../../tests/data/keys/ec256-private.pem")),
        (Algorithm::EdDSA, include_str!("../../tests/data/keys/ed25519-private.pem")),
        (Algorithm::RS256, include_str!("../../tests/data/keys/rsa-private.pem")),
    ];
    let mut tokens = Vec::new();
    for (algorithm, key) in keys {
        for length in [0, 20, 300] {
            let name: String = std::iter::repeat_with(|| random.alphanumeric()).take(length).collect();
            let claims = json!({ "mercure": { "publish": ["*"], "payload": name }, "exp": random.u32(..) });
            tokens.push(sign(&claims, key.as_bytes(), algorithm).expect("signed"));
        }
    }
    tokens
}

/// A random text of pieces that requests, logs and spellings of tokens have.
fn noise(random: &mut Rng, pieces_max: usize) -> String {
    const PIECES: [&str; 40] = [
        "&",
        "=",
        "%",
        "%2",
        "%25",
        "%6",
        "%3D",
        "%26",
        ";",
        ":",
        "\"",
        "'",
        " ",
        "+",
        "/",
        "?",
        "(",
        ")",
        ",",
        ".",
        "topic",
        "authorization",
        "token",
        "Bearer",
        "Basic",
        "eyJ",
        "ey",
        "key",
        "https://example.com/",
        "@",
        "{",
        "}",
        "\\",
        "\n",
        "é",
        "\u{1F600}",
        "-",
        "_",
        "~",
        "%u0065",
    ];
    let mut text = String::new();
    for _ in 0..random.usize(..=pieces_max) {
        match random.u8(..4) {
            0 => text.push(random.alphanumeric()),
            1 => text.push(random.char(..)),
            _ => text.push_str(PIECES[random.usize(..PIECES.len())]),
        }
    }
    text
}

/// A spelling of the token that percent-decoding, also as of JavaScript's `escape`, once or several
/// times, makes the token.
fn spelling(random: &mut Rng, token: &str) -> String {
    let (share, depth_max, upper) = (random.u8(..=100), random.usize(1..=4), random.bool());
    let is_regular = random.bool();
    let mut text = String::new();
    for byte in token.bytes() {
        let is_chosen = if is_regular { !byte.is_ascii_alphanumeric() } else { random.u8(..100) < share };
        if !is_chosen {
            text.push(char::from(byte));
            continue;
        }
        let is_upper = upper ^ (random.u8(..20) == 0);
        let code = if is_upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        match random.u8(..8) {
            // The digits themselves encoded.
            0 => text.push_str(&format!("%{}", encoded(&code))),
            1 => text.push_str(&format!("%u00{code}")),
            _ => text.push_str(&format!("%{}{code}", "25".repeat(random.usize(..depth_max)))),
        }
    }
    text
}

/// Whole, or cut anywhere.
fn whole_or_cut(random: &mut Rng, token: &str) -> String {
    let end = if random.u8(..4) == 0 { random.usize(..=token.len()) } else { token.len() };
    token[..end].to_owned()
}

#[test]
#[expect(clippy::print_stdout, reason = "a random test prints its seed")]
fn no_part_of_a_token_is_in_any_of_many_random_lines() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("REDACTED_SEED").unwrap_or_else(|| fastrand::u64(..));
    let lines = number("REDACTED_LINES").unwrap_or(20_000);
    println!("REDACTED_SEED={seed} REDACTED_LINES={lines}");
    let mut random = Rng::with_seed(seed);
    let tokens = tokens(&mut random);
    let tokens: Vec<_> = tokens.iter().map(|token| (token, pieces(token))).collect();
    let mut found_before = 0;
    for line in 0..lines {
        let (token, pieces) = &tokens[random.usize(..tokens.len())];
        let planted = whole_or_cut(&mut random, token);
        let (before, after) = (noise(&mut random, 30), noise(&mut random, 30));
        let text = format!("{before}{}{after}", spelling(&mut random, &planted));
        if line % 16 == 0 {
            found_before += 16 * u64::from(found(&text, pieces).is_some());
        }
        let outputs = match random.u8(..3) {
            0 => vec![Redacted::whole(&text).to_string()],
            1 => vec![shown(&text), Redacted::of(&text).to_string()],
            _ => vec![String::from_utf8_lossy(&without_tokens(text.as_bytes())).into_owned()],
        };
        for output in outputs {
            assert_eq!(
                found(&output, pieces),
                None,
                "seed {seed}, line {line}: {text:?} is shown as {output:?}"
            );
        }
    }
    // The search would find them.
    assert!(found_before > lines / 10 * 8, "seed {seed}: {found_before} of {lines}");
}
