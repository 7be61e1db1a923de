//! Publishes an update with a token that somebody else made, of Mercure 0.x or 1.0, and prints its
//! id. Run it in examples/, with `HUB` and `TOKEN` as README.md sets them:
//!
//! ```console
//! $ cargo run --manifest-path rust/Cargo.toml --bin publish_with_token https://example.com/books/1 '{"stock": 3}' private
//! ```

use std::error::Error;
use std::process::ExitCode;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use url::form_urlencoded::Serializer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match publish().await {
        Ok(id) => println!("{id}"),
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

async fn publish() -> Result<String, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut form = Serializer::new(String::new());
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [topic, data] => form.append_pair("topic", topic).append_pair("data", data),
        [topic, data, "private"] => {
            form.append_pair("topic", topic).append_pair("data", data).append_pair("private", "on")
        }
        _ => return Err("usage: publish_with_token TOPIC DATA [private]".into()),
    };
    let response = reqwest::Client::new()
        .post(std::env::var("HUB")?)
        .header(AUTHORIZATION, format!("Bearer {}", std::env::var("TOKEN")?))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(form.finish())
        .send()
        .await?;
    let status = response.status();
    let text = response.text().await?;
    if status.is_success() { Ok(text) } else { Err(format!("{}: {text}", status.as_u16()).into()) }
}
