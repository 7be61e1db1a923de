//! The rules of the machine, one by one, and its memory. `tests/http_machine.rs` shows that the
//! split of the bytes does not matter.

use http::StatusCode;
use proptest::prelude::*;

use super::*;

const GET: &[u8] = b"GET /hub?topic=a HTTP/1.1\r\nHost: a\r\n\r\n";
const BOUND: u64 = 64;

fn connection(bytes: impl AsRef<[u8]>) -> Connection {
    let mut connection = Connection::new();
    assert_eq!(connection.receive(bytes.as_ref()), bytes.as_ref().len());
    connection
}

fn post(fields: &str, body: &str) -> String {
    format!("POST /hub HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

/// Polls for a head; returns its path.
fn path(connection: &mut Connection) -> String {
    match connection.poll() {
        Http1Event::Head(request) => request.path.to_owned(),
        other => panic!("{other:?} instead of a head"),
    }
}

#[test]
fn a_request_is_told_once_and_answered_once() {
    let mut connection = connection(GET);
    assert_eq!(connection.phase(), Phase::Head);
    assert_eq!(path(&mut connection), "/hub");
    assert_eq!(connection.phase(), Phase::Responding);
    assert_eq!(connection.poll(), Http1Event::NeedMore, "a decision is owed");
    assert!(connection.begin_response());
    assert!(connection.begin_response(), "asking again gives the same");
    assert_eq!(connection.poll(), Http1Event::NeedMore, "a response is owed");
    connection.response_sent();
    assert_eq!(connection.phase(), Phase::Idle);
    assert_eq!(connection.poll(), Http1Event::NeedMore);
}

#[test]
fn a_pipelined_request_is_not_looked_at_before_the_answer_is_out() {
    let mut connection =
        connection("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nbroken\n");
    assert_eq!(path(&mut connection), "/1");
    assert!(connection.begin_response());
    assert_eq!(connection.poll(), Http1Event::NeedMore);
    connection.response_sent();
    assert_eq!(path(&mut connection), "/2");
    assert_eq!(connection.poll(), Http1Event::NeedMore, "the broken one is not here yet");
    assert!(connection.begin_response(), "nor does it close the connection under the second");
    connection.response_sent();
    assert_eq!(connection.poll(), Http1Event::Refused(RequestError::LineEnding));
}

#[test]
fn a_body_is_taken_before_the_next_request() {
    let second = post("Transfer-Encoding: chunked\r\n", "3\r\ntwo\r\n0\r\n\r\n");
    let mut connection = connection(post("Content-Length: 3\r\n", "one") + &second + "GET");
    for content in ["one", "two"] {
        assert_eq!(path(&mut connection), "/hub");
        assert!(!connection.accept_body(BOUND), "nobody waits for 100 (Continue)");
        assert_eq!(connection.phase(), Phase::Body);
        assert_eq!(connection.poll(), Http1Event::Body(content.into()));
        assert_eq!(connection.phase(), Phase::Responding);
        assert!(connection.begin_response());
        connection.response_sent();
    }
    assert_eq!(connection.phase(), Phase::Head);
}

#[test]
fn a_request_without_a_body_has_an_empty_one() {
    for head in [post("", ""), post("Content-Length: 0\r\n", ""), post("Expect: 100-continue\r\n", "")] {
        let mut connection = connection(head);
        assert_eq!(path(&mut connection), "/hub");
        assert!(!connection.accept_body(BOUND));
        assert_eq!(connection.poll(), Http1Event::Body(Vec::new()));
        assert!(connection.begin_response());
    }
}

#[test]
fn the_connection_is_kept_unless_the_client_says_otherwise() {
    for (head, expected) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false),
        ("GET / HTTP/1.0\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", false),
    ] {
        let mut connection = connection(format!("{head}GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(path(&mut connection), "/");
        assert_eq!(connection.begin_response(), expected, "{head}");
        connection.response_sent();
        if expected {
            assert_eq!(path(&mut connection), "/");
        } else {
            assert_eq!(connection.phase(), Phase::Closed);
            assert_eq!(connection.poll(), Http1Event::NeedMore, "what follows is not read");
            assert_eq!((connection.room(), connection.receive(GET)), (0, 0));
        }
    }
}

#[test]
fn an_http_1_0_post_is_read_and_then_closed() {
    let mut connection = connection("POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(path(&mut connection), "/");
    assert!(!connection.accept_body(BOUND), "1.0 knows no interim response");
    connection.receive(b"ok");
    assert_eq!(connection.poll(), Http1Event::Body(b"ok".to_vec()));
    assert!(!connection.begin_response());
}

#[test]
fn a_waiting_client_is_told_to_go_on_once_its_body_is_wanted() {
    for fields in ["Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut connection = connection(post(&format!("Expect: 100-continue\r\n{fields}"), ""));
        assert_eq!(path(&mut connection), "/hub");
        assert!(connection.accept_body(BOUND));
        assert!(!connection.accept_body(BOUND), "told once");
        connection.receive(if fields.starts_with('C') { b"ok" } else { b"2\r\nok\r\n0\r\n\r\n" });
        assert_eq!(connection.poll(), Http1Event::Body(b"ok".to_vec()));
        assert!(connection.begin_response());
    }
}

#[test]
fn a_client_that_sends_its_body_at_once_is_not_told_to_go_on() {
    let mut connection = connection(post("Expect: 100-continue\r\nContent-Length: 2\r\n", "o"));
    assert_eq!(path(&mut connection), "/hub");
    assert!(!connection.accept_body(BOUND));
}

#[test]
fn a_waiting_client_that_is_refused_never_sends_its_body_so_the_connection_closes() {
    let mut connection = connection(post("Expect: 100-continue\r\nContent-Length: 2\r\n", ""));
    assert_eq!(path(&mut connection), "/hub");
    assert!(!connection.begin_response());
    connection.response_sent();
    assert_eq!(connection.phase(), Phase::Closed);
}

#[test]
fn a_body_nobody_wants_closes_the_connection_unless_it_is_here_as_a_whole() {
    for (fields, body, expected) in [
        ("Content-Length: 3\r\n", "one", true),
        ("Content-Length: 3\r\n", "on", false),
        ("Content-Length: 3\r\n", "", false),
        ("Transfer-Encoding: chunked\r\n", "3\r\none\r\n0\r\n\r\n", true),
        ("Transfer-Encoding: chunked\r\n", "3\r\none\r\n0\r\n\r", false),
        ("Transfer-Encoding: chunked\r\n", "3\r\none0\r\n\r\n", false),
        ("Content-Length: 18446744073709551615\r\n", "one", false),
    ] {
        let mut connection = connection(post(fields, body));
        assert_eq!(path(&mut connection), "/hub");
        assert_eq!(connection.begin_response(), expected, "{fields}{body}");
        connection.response_sent();
        if expected {
            connection.receive(GET);
            assert_eq!(path(&mut connection), "/hub", "the body was not taken for a request");
        } else {
            assert_eq!(connection.phase(), Phase::Closed);
        }
    }
}

#[test]
fn a_body_beyond_the_bound_is_413_as_soon_as_it_is_known_and_is_not_read() {
    for (fields, body) in [
        ("Content-Length: 65\r\n", ""),
        ("Expect: 100-continue\r\nContent-Length: 65\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "41\r"),
        ("Transfer-Encoding: chunked\r\n", "1\r\na\r\n40;"),
    ] {
        let mut connection = connection(post(fields, body));
        assert_eq!(path(&mut connection), "/hub");
        assert!(!connection.accept_body(BOUND), "the client is not asked to send it");
        assert_eq!(connection.poll(), Http1Event::Refused(RequestError::BodyTooLarge), "{fields}{body}");
        assert_eq!(connection.room(), 0);
        assert!(!connection.begin_response());
        connection.response_sent();
        assert_eq!(connection.phase(), Phase::Closed);
    }
    assert_eq!(RequestError::BodyTooLarge.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let mut most = connection(post("Content-Length: 64\r\n", &"a".repeat(64)));
    assert_eq!(path(&mut most), "/hub");
    assert!(!most.accept_body(BOUND));
    assert_eq!(most.poll(), Http1Event::Body(vec![b'a'; 64]));
}

#[test]
fn a_body_holds_what_has_arrived_whatever_its_length_is() {
    let mut connection = connection(post("Content-Length: 1000000000000\r\n", ""));
    assert_eq!(path(&mut connection), "/hub");
    assert!(!connection.accept_body(u64::MAX));
    assert_eq!((connection.body_bytes(), connection.bytes_held()), (0, 0));
    for arrived in 1..=20_000 {
        connection.receive(b"a");
        assert_eq!(connection.poll(), Http1Event::NeedMore);
        assert_eq!(connection.body_bytes(), arrived);
        assert!(connection.bytes_held() <= 2 * arrived, "{arrived}: {}", connection.bytes_held());
    }
}

#[test]
fn a_body_never_holds_more_than_its_length() {
    let mut connection = connection(post("Content-Length: 1000\r\n", ""));
    assert_eq!(path(&mut connection), "/hub");
    assert!(!connection.accept_body(BOUND.max(1_000)));
    for _ in 0..9 {
        connection.receive(&[b'a'; 111]);
        assert_eq!(connection.poll(), Http1Event::NeedMore);
        assert!(connection.bytes_held() <= 1_000, "{}", connection.bytes_held());
    }
}

#[test]
fn a_refused_head_or_body_closes_and_frees_the_buffer() {
    let broken_body = post("Transfer-Encoding: chunked\r\n", "1x\r\n");
    for bytes in ["GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "\x16\x03\x01", &broken_body] {
        let mut connection = connection(bytes);
        let mut event = connection.poll();
        if matches!(event, Http1Event::Head(_)) {
            assert!(!connection.accept_body(BOUND));
            event = connection.poll();
        }
        assert!(matches!(event, Http1Event::Refused(_)), "{event:?}");
        assert_eq!(connection.phase(), Phase::Responding);
        assert_eq!(connection.poll(), Http1Event::NeedMore, "told once");
        assert_eq!(connection.room(), 0);
        assert!(!connection.begin_response());
        assert_eq!(connection.buffer.capacity(), 0);
        connection.response_sent();
        assert_eq!(connection.phase(), Phase::Closed);
    }
}

#[test]
fn an_answer_without_a_request_closes_the_connection() {
    // A timeout: half a head or half a body gets a 408.
    let mut half_a_head = connection("GET /");
    assert_eq!(half_a_head.poll(), Http1Event::NeedMore);
    let mut half_a_body = connection(post("Content-Length: 3\r\n", "on"));
    assert_eq!(path(&mut half_a_body), "/hub");
    assert!(!half_a_body.accept_body(BOUND));
    assert_eq!(half_a_body.poll(), Http1Event::NeedMore);
    for connection in [&mut half_a_head, &mut half_a_body, &mut Connection::new()] {
        assert!(!connection.begin_response());
        connection.response_sent();
        assert_eq!((connection.phase(), connection.room()), (Phase::Closed, 0));
        connection.response_sent();
        assert!(!connection.accept_body(BOUND));
        assert_eq!(connection.poll(), Http1Event::NeedMore);
    }
}

#[test]
fn an_idle_connection_holds_no_memory() {
    let mut connection = Connection::new();
    for _ in 0..3 {
        assert_eq!(connection.buffer.capacity(), 0);
        assert_eq!(connection.receive(GET), GET.len());
        assert_eq!(path(&mut connection), "/hub");
        assert!(connection.begin_response());
        connection.response_sent();
        assert_eq!(connection.phase(), Phase::Idle);
    }
}

#[test]
fn a_flood_of_pipelined_requests_stays_in_the_clients_kernel() {
    let mut connection = connection(GET);
    assert_eq!(path(&mut connection), "/hub");
    assert_eq!(connection.receive(&vec![b'a'; READ_BUFFER_BYTES_MAX]), PIPELINED_BYTES_MAX);
    assert!(!connection.wants_read());
    assert!(connection.begin_response());
    assert!(!connection.wants_read());
    connection.response_sent();
    assert!(connection.wants_read(), "a head is being read again");
}

#[test]
fn a_head_of_any_allowed_size_fits_and_a_larger_one_is_refused_not_stuck() {
    let mut connection = connection("GET / HTTP/1.1\r\nHost: a\r\nX: ");
    assert_eq!(connection.poll(), Http1Event::NeedMore);
    while connection.wants_read() {
        connection.receive(&[b'a'; 1_000]);
        match connection.poll() {
            Http1Event::NeedMore => {}
            event => {
                assert_eq!(event, Http1Event::Refused(RequestError::HeadTooLong));
                return;
            }
        }
    }
    panic!("it neither reads on nor refuses");
}

#[test]
fn empty_lines_cut_in_two_count_once() {
    for cut in 0..=2 * EMPTY_LINES_MAX {
        let lines = "\r\n".repeat(EMPTY_LINES_MAX);
        let mut connection = connection(&lines[..cut]);
        assert_eq!(connection.poll(), Http1Event::NeedMore);
        connection.receive(&lines.as_bytes()[cut..]);
        connection.receive(GET);
        assert_eq!(path(&mut connection), "/hub", "{cut}");
    }
}

/// Input of clients and attackers, in pieces that sometimes fit together.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let texts = prop::sample::select(vec![
        "GET /hub HTTP/1.1\r\n",
        "POST / HTTP/1.1\r\n",
        "POST /hub HTTP/1.0\r\n",
        "Host: a\r\n",
        "\r\n",
        "\r\n\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 70000\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X: ",
        "\r",
        "\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n\r\n",
        "ffff\r\n",
        ";",
    ]);
    prop_oneof![
        8 => texts.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..32),
        1 => (1_usize..40_000).prop_map(|bytes| vec![b'a'; bytes]),
        2 => Just(post("Content-Length: 5\r\n", "hello").into_bytes()),
    ]
}

proptest! {
    #[test]
    fn nothing_a_client_sends_panics_or_exceeds_the_buffer(
        fragments in prop::collection::vec(fragment(), 0..24),
        cuts in prop::collection::vec(1_usize..30_000, 1..16),
        decisions in prop::collection::vec(0_u8..4, 1..8),
    ) {
        let input = fragments.concat();
        let (mut connection, mut at) = (Connection::new(), 0);
        let mut cuts = cuts.iter().cycle();
        let mut decisions = decisions.iter().cycle();
        let bound = 100_000;
        // Each turn takes bytes or responds to a request; the last turns drain the rest.
        for _ in 0..2 * input.len() + 8 {
            let cut = at + cuts.next().map_or(1, |&cut| cut).min(input.len() - at);
            let room = connection.room();
            let taken = connection.receive(&input[at..cut]);
            prop_assert_eq!(taken, room.min(cut - at));
            at += taken;
            prop_assert!(connection.buffer.len() <= READ_BUFFER_BYTES_MAX);
            prop_assert!(connection.buffer.capacity() <= READ_BUFFER_BYTES_MAX);
            let event = connection.poll();
            let is_head = matches!(event, Http1Event::Head(_));
            if let Http1Event::Body(content) = &event {
                prop_assert!(content.len() as u64 <= bound);
            }
            match decisions.next() {
                Some(0 | 1) if is_head => drop(connection.accept_body(bound)),
                Some(0 | 1) if connection.phase() == Phase::Responding => connection.response_sent(),
                Some(2) if is_head => drop(connection.begin_response()),
                _ => {}
            }
            if connection.phase() == Phase::Closed || (at == input.len() && taken == 0) {
                break;
            }
        }
    }
}
