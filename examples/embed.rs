//! A hub inside another program: it publishes the time every second until Enter is pressed.
//!
//! Run `cargo run --example embed`, then
//! `curl -N 'http://127.0.0.1:3000/.well-known/mercure?topic=https://example.com/clock'`
//! (with `PUBLIC_URL`, `ISSUER` and its keys in the environment, `match` instead of `topic`, too).

use std::io::{Write as _, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use petasos::{Draft, Hub};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::var("ADDR").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let mut builder = Hub::builder()
        .set("ADDR", address)
        .set("JWT_KEY", "a key that nobody can guess, of 32 bytes or more")
        .set("ALLOW_ANONYMOUS", "1")
        .set("DB_PATH", ":memory:")
        .set("HISTORY_SIZE", "1000");
    // With an issuer, it speaks Mercure 1.0 beside 0.x.
    for name in ["PUBLIC_URL", "ISSUER", "ISSUER_PUBLISHER_KEY", "ISSUER_SUBSCRIBER_KEY"] {
        if let Ok(value) = std::env::var(name) {
            builder = builder.set(name, value);
        }
    }
    let hub = builder.start()?;
    let mut out = stdout();
    writeln!(out, "http://{}/.well-known/mercure?topic=https://example.com/clock", hub.address())?;
    let is_over = Arc::new(AtomicBool::new(false));
    let enter = Arc::clone(&is_over);
    std::thread::spawn(move || {
        // The end of the input also stops it.
        let _ = stdin().read_line(&mut String::new());
        enter.store(true, Ordering::Relaxed);
    });
    while !is_over.load(Ordering::Relaxed) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
        let update = Draft { topics: &["https://example.com/clock"], data: &now, ..Draft::default() };
        let id = hub.publish(&update)?.wait()?;
        writeln!(out, "{id} to {} subscribers", hub.subscribers())?;
        std::thread::sleep(Duration::from_secs(1));
    }
    hub.stop()?;
    Ok(())
}
