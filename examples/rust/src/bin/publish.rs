//! Publishes an update, and prints its id. In examples/, with `HUB` and `JWT_KEY` as README.md sets them:
//!
//! $ cargo run --manifest-path rust/Cargo.toml --bin publish https://example.com/books/1 '{"stock": 3}' private

use std::error::Error;

use mercure::client::PublishUpdatePrivacy;
use mercure::{Client, HubUrl, PublisherJwt, Topic, TopicSelector};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (topic, data) = (arguments.next().ok_or("no topic")?, arguments.next().ok_or("no data")?);
    let privacy = match arguments.next().as_deref() {
        Some("private") => PublishUpdatePrivacy::Private,
        _ => PublishUpdatePrivacy::Public,
    };
    // The crate makes its token itself, from the hub's key.
    let key = std::env::var("JWT_KEY")?.into_bytes().into();
    let jwt = PublisherJwt::new(&key, vec![TopicSelector::Wildcard])?;
    let hub = HubUrl::try_from(std::env::var("HUB")?.parse::<url::Url>()?)?;
    let client = Client::new(reqwest::Client::new(), hub, jwt);
    println!("{}", client.publish_update(Topic::new(topic.parse()?, vec![]), Some(&data), privacy).await?);
    Ok(())
}
