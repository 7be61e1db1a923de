//! Subscribes to the topics of its command line, and prints each update, until one of type `end`
//! comes. Run it in examples/, with `HUB` and `TOKEN` as README.md sets them:
//!
//! $ cargo run --manifest-path rust/Cargo.toml --bin subscribe 'https://example.com/books/{id}'
//!
//! For Mercure 1.0, `PARAMETER` is `match` or `match_urlpattern`.

use std::error::Error;
use std::time::Duration;

use eventsource_client::{Client as _, ClientBuilder, Error as Failure, ReconnectOptions, SSE};
use futures::TryStreamExt as _;
use serde_json::json;
use url::Url;

/// The log, on standard error.
struct Told;

impl log::Log for Told {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("again in a moment: {}", record.args());
    }

    fn flush(&self) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut url = Url::parse(&std::env::var("HUB")?)?;
    let parameter = std::env::var("PARAMETER").unwrap_or_else(|_| "topic".to_owned());
    url.query_pairs_mut().extend_pairs(std::env::args().skip(1).map(|topic| (&parameter, topic)));
    // It reconnects automatically, with its last event id; failed attempts appear only in the log.
    log::set_boxed_logger(Box::new(Told))?;
    log::set_max_level(log::LevelFilter::Warn);
    let reconnection =
        ReconnectOptions::reconnect(true).retry_initial(true).delay(Duration::from_secs(1)).build();
    let client = ClientBuilder::for_url(url.as_str())?
        .header("Authorization", &format!("Bearer {}", std::env::var("TOKEN")?))?
        .reconnect(reconnection)
        .build_http();
    let mut events = client.stream();
    loop {
        match events.try_next().await {
            Ok(Some(SSE::Event(event))) => {
                println!("{}", json!({ "id": event.id, "type": event.event_type, "data": event.data }));
                if event.event_type == "end" {
                    return Ok(());
                }
            }
            Ok(Some(SSE::Connected(_) | SSE::Comment(_))) => {}
            Ok(None) => return Err("the stream is over".into()),
            Err(Failure::UnexpectedResponse(answer, _)) if (400..500).contains(&answer.status()) => {
                return Err(format!("status {}", answer.status()).into());
            }
            // Reported; the next poll for an event tries again.
            Err(error) => eprintln!("{error}"),
        }
    }
}
