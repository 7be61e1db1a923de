//! An axum application with a hub: updates stored through its API are published to all subscribers.
//!
//! Run `cargo run --example axum`, then:
//!
//! ```sh
//! curl -N 'http://127.0.0.1:3000/.well-known/mercure?topic=http://127.0.0.1:8080/books/%7Bid%7D'
//! curl -X PUT http://127.0.0.1:8080/books/1 \
//!   -H 'Content-Type: application/json' -d '{"title": "in stock"}'
//! ```
//!
//! Ctrl-C (or SIGTERM) first ends the application, with its open requests, and then the hub, with
//! its streams.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use petasos::{Draft, Hub, PublishError};
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::oneshot;

struct Shop {
    /// The application's own URL: its topics begin with it.
    origin: String,
    books: Mutex<HashMap<u64, Value>>,
    hub: Hub,
}

async fn read(State(shop): State<Arc<Shop>>, Path(id): Path<u64>) -> Result<Json<Value>, StatusCode> {
    let books = shop.books.lock().unwrap_or_else(PoisonError::into_inner);
    books.get(&id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

async fn write(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<u64>,
    Json(book): Json<Value>,
) -> Result<StatusCode, StatusCode> {
    let data = book.to_string();
    shop.books.lock().unwrap_or_else(PoisonError::into_inner).insert(id, book);
    let topic = format!("{}/books/{id}", shop.origin);
    let update = Draft { topics: &[&topic], data: &data, ..Draft::default() };
    let receipt = shop.hub.publish(&update).map_err(|error| match error {
        PublishError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        PublishError::Invalid(_) => StatusCode::BAD_REQUEST,
        PublishError::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
    })?;
    // No thread waits: the receipt is a future.
    receipt.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::NO_CONTENT)
}

fn setting(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The program handles the signals; the hub handles none.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        signals.forever().next();
        // It may have ended already.
        let _ = tell.send(());
    });
    // This blocks while the history is opened. No runtime exists yet, so no task has to wait.
    let mut builder = Hub::builder()
        .set("ADDR", setting("HUB_ADDR", "127.0.0.1:3000"))
        .set("JWT_KEY", "a key that nobody can guess, of 32 bytes or more")
        .set("ALLOW_ANONYMOUS", "1")
        .set("CORS_ALLOWED_ORIGINS", "*")
        .set("DB_PATH", ":memory:")
        .set("HISTORY_SIZE", "1000")
        .set("DRAIN_TIMEOUT", "1s");
    // With an issuer, it speaks Mercure 1.0 beside 0.x.
    for name in ["PUBLIC_URL", "ISSUER", "ISSUER_PUBLISHER_KEY", "ISSUER_SUBSCRIBER_KEY"] {
        if let Ok(value) = std::env::var(name) {
            builder = builder.set(name, value);
        }
    }
    let hub = builder.start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind(setting("ADDR", "127.0.0.1:8080")))?;
    let shop =
        Arc::new(Shop { origin: format!("http://{}", listener.local_addr()?), books: Mutex::default(), hub });
    runtime.block_on(serve(listener, Arc::clone(&shop), told))?;
    // Dropping the runtime drops its tasks, which share the hub. `stop` blocks until the last
    // stream ends.
    drop(runtime);
    Arc::into_inner(shop).ok_or("somebody has the hub still")?.hub.stop()?;
    Ok(())
}

/// Serves until `told` resolves and all open requests are answered.
async fn serve(
    listener: tokio::net::TcpListener,
    shop: Arc<Shop>,
    told: oneshot::Receiver<()>,
) -> io::Result<()> {
    writeln!(io::stdout(), "{}/books/1 http://{}/.well-known/mercure", shop.origin, shop.hub.address())?;
    let application = Router::new().route("/books/{id}", get(read).put(write)).with_state(shop);
    let end = async {
        // It also ends if the sender is dropped.
        let _ = told.await;
    };
    axum::serve(listener, application).with_graceful_shutdown(end).await
}
