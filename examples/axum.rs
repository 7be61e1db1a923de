//! An axum application with a hub beside it: what is stored over its own API is published to everyone who looks at it.
//!
//! `cargo run --example axum`, then
//! `curl -N 'http://127.0.0.1:3000/.well-known/mercure?topic=http://127.0.0.1:8080/books/%7Bid%7D'` and
//! `curl -X PUT http://127.0.0.1:8080/books/1 -H 'Content-Type: application/json' -d '{"title": "in stock"}'`.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use petasos::{Draft, Hub};
use serde_json::Value;

struct Shop {
    /// How this application is reached: the topics begin with it.
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
    let receipt = shop.hub.publish(&update).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    // No thread waits: the receipt is a future.
    receipt.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    Ok(StatusCode::NO_CONTENT)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setting = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let hub = Hub::builder()
        .set("ADDR", setting("HUB_ADDR", "127.0.0.1:3000"))
        .set("JWT_KEY", "a key that nobody can guess, of 32 bytes or more")
        .set("ALLOW_ANONYMOUS", "1")
        .set("CORS_ALLOWED_ORIGINS", "*")
        .set("DB_PATH", ":memory:")
        .set("HISTORY_SIZE", "1000")
        .start()?;
    let listener = tokio::net::TcpListener::bind(setting("ADDR", "127.0.0.1:8080")).await?;
    let origin = format!("http://{}", listener.local_addr()?);
    writeln!(std::io::stdout(), "{origin}/books/1 http://{}/.well-known/mercure", hub.address())?;
    let shop = Arc::new(Shop { origin, books: Mutex::default(), hub });
    let application = Router::new().route("/books/{id}", get(read).put(write)).with_state(shop);
    axum::serve(listener, application).await?;
    Ok(())
}
