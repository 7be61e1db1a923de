//! The rows of a report about one scenario: arguments, servers, load and counts. The printed text
//! and the page share them. Also the meaning of a ratio.

use serde_json::{Value, json};

use crate::ledger::Tally;
use crate::load::Load;
use crate::record::{Row, count};
use crate::reference::Reference;
use crate::rounds::{Column, Rounds};
use crate::scenario::Scenario;

/// The arguments of a scenario as on a command line, including defaults.
pub(super) fn arguments(scenario: &Scenario) -> Row {
    let arguments = scenario.arguments();
    let mut words = vec![scenario.name().to_owned()];
    for (name, value) in arguments.as_object().into_iter().flatten() {
        let option = format!("--{}", name.replace('_', "-"));
        match value {
            Value::Null | Value::Bool(false) => {}
            Value::Bool(true) => words.push(option),
            Value::String(text) => words.push(format!("{option} {text}")),
            other => words.push(format!("{option} {other}")),
        }
    }
    ("arguments".to_owned(), words.join(" "))
}

/// For each server: its description, its load and its counts.
pub(super) fn servers(rounds: &Rounds) -> Vec<Row> {
    let rows = |column: &Column| {
        let Column { name, about, failure, .. } = column;
        let counts = tally_text(&column.tally());
        let mut rows = vec![
            (name.clone(), about.text()),
            (format!("{name} load"), load_text(column)),
            (format!("{name} counts"), counts.trim_end().to_owned()),
        ];
        rows.extend(failure.iter().map(|failure| (format!("{name} failed"), failure.clone())));
        rows
    };
    rounds.columns.iter().flat_map(rows).collect()
}

/// The load of the last round. Rounds differ only in the sizes that were measured.
fn load(column: &Column) -> Option<&Load> {
    column.outcomes.last().map(|outcome| &outcome.load)
}

fn load_text(column: &Column) -> String {
    let mut out = count(column.outcomes.len(), "round");
    let Some(load) = load(column) else { return out };
    let subscribers = count(load.subscribers, "subscriber");
    out.push_str(&format!("; {subscribers} and {} in each", count(load.publishers, "publisher")));
    if load.data_bytes > 0 {
        out.push_str(&format!("; payload {} bytes", load.data_bytes));
    }
    if load.event_bytes > 0 {
        out.push_str(&format!("; frame {} bytes", load.event_bytes));
    }
    if let Some(bytes) = load.wire_bytes_per_delivery() {
        out.push_str(&format!("; on the wire {bytes:.1} bytes per delivery"));
    }
    out
}

/// The same for programs.
pub(super) fn load_json(column: &Column) -> Value {
    let Some(load) = load(column) else { return Value::Null };
    let known = |bytes: usize| (bytes > 0).then_some(bytes);
    json!({
        "subscribers": load.subscribers,
        "publishers": load.publishers,
        "payload_bytes": known(load.data_bytes),
        "frame_bytes": known(load.event_bytes),
        "wire_bytes_per_delivery": load.wire_bytes_per_delivery(),
    })
}

/// One line with the conclusion.
pub(super) fn verdict(rounds: &Rounds) -> String {
    let unsound: Vec<&str> = rounds
        .columns
        .iter()
        .filter(|column| !column.is_limit() && !column.tally().is_sound())
        .map(|column| column.name.as_str())
        .collect();
    match rounds.invalid() {
        _ if !unsound.is_empty() => {
            format!(
                "UNSOUND: {} did not deliver what was accepted, once, in order and to none else",
                unsound.join(", ")
            )
        }
        Some(reason) => format!("INVALID: {reason}"),
        None => "sound: nothing lost, duplicated, out of order, corrupted or misdelivered".to_owned(),
    }
}

/// The counts as text.
pub(crate) fn tally_text(tally: &Tally) -> String {
    let Tally {
        published,
        refused,
        expected,
        received,
        lost,
        duplicated,
        out_of_order,
        misdelivered,
        corrupted,
        disconnected,
    } = tally;
    format!(
        "published {published}, refused {refused}; deliveries: expected {expected}, received {received}, lost {lost}, \
         duplicated {duplicated}, out of order {out_of_order}, misdelivered {misdelivered}, corrupted {corrupted}; \
         disconnected {disconnected}\n"
    )
}

/// The meaning of the ratios of these rounds; `None` without ratios.
pub(crate) fn ratio_meaning(rounds: &Rounds) -> Option<&'static str> {
    rounds.limit()?.reference.map(meaning)
}

fn meaning(reference: Reference) -> &'static str {
    match reference {
        Reference::Limit => {
            "A ratio is the figure of a server divided by the figure of the limit server in the same round; the table shows the \
             median of the rounds. The limit server is one thread that writes the frame of an update once and then calls send \
             once for each subscriber. It is a yardstick, not a bound, so a ratio can be on either side of 1. Above 1, a cost, \
             a latency or a memory figure is worse than the limit server's: a hub also parses requests, checks tokens, matches \
             topics and keeps a history. Below 1, it is better: a server can send several updates in one call, or submit many \
             sends at once. For rates (deliveries/s) it is the other way round: above 1 is faster than the limit server. The \
             same loop of sends varies by about 15 % between rounds on loopback, so a ratio close to 1 on either side may be \
             chance."
        }
        Reference::Ring => {
            "A ratio is the figure of a server divided by the figure of the limit server in the same round; the table shows the \
             median of the rounds. The limit server is one thread that writes the frame of an update once and then submits the \
             sends to its subscribers to an io_uring, up to 512 in one system call. Above 1, a cost, a latency or a memory figure \
             is worse than the limit server's: a hub also parses requests, checks tokens, matches topics and keeps a history. \
             Below 1, it is better: a server can send several updates in one call. For rates (deliveries/s) it is the other way \
             round: above 1 is faster than the limit server. A ratio close to 1 on either side may be chance."
        }
        Reference::Http1 => {
            "A ratio is the figure of the hub over HTTP/2 divided by the figure of the same hub over HTTP/1.1 in the same round; \
             the table shows the median of the rounds. Above 1, a cost, a latency or a memory figure is what HTTP/2 adds: frames, \
             header compression and flow control. Below 1, HTTP/2 is cheaper: subscribers that share a connection also share \
             system calls and a socket. For rates (deliveries/s) it is the other way round: above 1 is faster than HTTP/1.1. A \
             ratio close to 1 on either side may be chance."
        }
        Reference::Before => {
            "A ratio is the figure of the hub divided by the figure of the other binary of --before in the same round; the table \
             shows the median of the rounds. Above 1, a cost, a latency or a memory figure has grown. Below 1, it has fallen. For \
             rates (deliveries/s, updates/s) it is the other way round: above 1 is faster than before. A ratio close to 1 on \
             either side may be chance."
        }
        Reference::ClearText => {
            "A ratio is the figure of the hub over TLS divided by the figure of the same hub in clear text in the same round; the \
             table shows the median of the rounds. Above 1, a cost, a latency or a memory figure is what TLS adds: encryption, \
             handshakes and buffers. Below 1, TLS would be cheaper than clear text, which is chance: rounds differ. For rates \
             (deliveries/s) it is the other way round: above 1 is faster than clear text."
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::about::About;
    use crate::args::{Cli, Command};
    use crate::scenario::Outcome;

    fn scenario(arguments: &[&str]) -> Scenario {
        let arguments = ["petasos-loadtest"].into_iter().chain(arguments.iter().copied());
        match Cli::try_parse_from(arguments).expect("valid").command {
            Some(Command::Scenario(scenario)) => scenario,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_arguments_are_complete_and_can_be_given_again() {
        for line in [
            &["fanout", "--subscribers", "7", "--closed"][..],
            &["fanout", "--rate", "2.5"],
            &["topics", "--templates"],
            &["compress", "--coding", "gzip"],
            &["slow"],
            &["selectors"],
        ] {
            let (name, text) = arguments(&scenario(line));
            let words: Vec<&str> = text.split(' ').collect();
            assert_eq!(
                (name.as_str(), arguments(&scenario(&words)).1),
                ("arguments", text.clone()),
                "{line:?}"
            );
        }
        let text = arguments(&scenario(&["fanout", "--subscribers", "7"])).1;
        assert!(text.contains("--subscribers 7") && text.contains("--data-bytes 142"), "{text}");
    }

    #[test]
    fn load_and_counts_are_said_of_every_server() {
        let load = Load {
            subscribers: 100,
            publishers: 1,
            data_bytes: 142,
            event_bytes: 200,
            wire_bytes: 20_600,
            deliveries: 100,
            server: None,
        };
        let outcome = || Outcome { load: load.clone(), ..Outcome::default() };
        let mut hub = Column::new("hub", About::default());
        hub.outcomes = vec![outcome(), outcome()];
        let expected = "2 rounds; 100 subscribers and 1 publisher in each; payload 142 bytes; frame 200 bytes; \
                        on the wire 206.0 bytes per delivery";
        assert_eq!(load_text(&hub), expected);
        let json = load_json(&hub);
        assert_eq!((json["payload_bytes"].as_u64(), json["frame_bytes"].as_u64()), (Some(142), Some(200)));
        assert_eq!(json["wire_bytes_per_delivery"].as_f64(), Some(206.0));
        let mut broken = Column::new("broken", About::default());
        broken.failure = Some("no server".to_owned());
        assert_eq!((load_text(&broken).as_str(), load_json(&broken)), ("0 rounds", Value::Null));
        let rows = servers(&Rounds { columns: vec![hub, broken] });
        let names: Vec<&str> = rows.iter().map(|row| row.0.as_str()).collect();
        let all =
            ["hub", "hub load", "hub counts", "broken", "broken load", "broken counts", "broken failed"];
        assert_eq!(names, all);
    }

    #[test]
    fn the_meaning_of_a_ratio_names_both_sides_of_1() {
        for reference in
            [Reference::Limit, Reference::Ring, Reference::Http1, Reference::ClearText, Reference::Before]
        {
            let text = meaning(reference);
            assert!(
                text.contains("divided by") && text.contains("Above 1") && text.contains("Below 1"),
                "{text}"
            );
            let mut columns =
                vec![Column::new("hub", About::default()), Column::new("other", About::default())];
            columns[1].reference = Some(reference);
            assert_eq!(ratio_meaning(&Rounds { columns }), Some(text));
        }
        assert_eq!(ratio_meaning(&Rounds::failed("no hub".to_owned())), None);
    }
}
