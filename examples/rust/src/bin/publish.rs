//! Publishes an update, and prints its id. Run it in examples/, with `HUB` and `JWT_KEY` as
//! README.md sets them:
//!
//! ```console
//! $ cargo run --manifest-path rust/Cargo.toml --bin publish https://example.com/books/1 '{"stock": 3}' private
//! ```

use std::error::Error;
use std::process::ExitCode;

use mercure::client::PublishUpdatePrivacy;
use mercure::{Client, HubUrl, PublisherJwt, Topic, TopicSelector};

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
    let (topic, data, privacy) = match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [topic, data] => (*topic, *data, PublishUpdatePrivacy::Public),
        [topic, data, "private"] => (*topic, *data, PublishUpdatePrivacy::Private),
        _ => return Err("usage: publish TOPIC DATA [private]".into()),
    };
    // The crate makes its token itself, from the hub's key.
    let key = std::env::var("JWT_KEY")?.into_bytes().into();
    let jwt = PublisherJwt::new(&key, vec![TopicSelector::Wildcard])?;
    let hub = HubUrl::try_from(std::env::var("HUB")?.parse::<url::Url>()?)?;
    let client = Client::new(reqwest::Client::new(), hub, jwt);
    let answer =
        client.publish_update(Topic::new(topic.parse()?, vec![]), Some(data), privacy).await?.to_string();
    // The crate ignores the status and returns the body: an id, which this hub generates in this
    // form, or the text of an error.
    if answer.starts_with("urn:uuid:") {
        Ok(answer)
    } else {
        Err(format!("the hub answers: {answer}").into())
    }
}
