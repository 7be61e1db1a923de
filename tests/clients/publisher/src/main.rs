//! Publishes a public and a private update with the crate `mercure`, and reads both back with `Last-Event-ID`.

use std::error::Error;

use mercure::client::PublishUpdatePrivacy;
use mercure::{Client, HubUrl, PublisherJwt, Topic, TopicSelector};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = std::env::var("HUB")?;
    let token = std::env::var("TOKEN")?;
    let secret = b"!ChangeThisMercureHubJWTSecretKey!".to_vec().into();
    let jwt = PublisherJwt::new(&secret, vec![TopicSelector::Wildcard])?;
    let http = reqwest::Client::new();
    let client = Client::new(http.clone(), HubUrl::try_from(hub.parse::<reqwest::Url>()?)?, jwt);
    let topic = format!("https://example.com/crate/{}", std::process::id());
    for (data, privacy) in [("open", PublishUpdatePrivacy::Public), ("closed", PublishUpdatePrivacy::Private)] {
        client.publish_update(Topic::new(topic.parse()?, vec![]), Some(data), privacy).await?;
    }
    let url = format!("{hub}?topic={topic}&lastEventID=earliest");
    let mut stream = http.get(url).bearer_auth(token).send().await?.error_for_status()?;
    let mut text = String::new();
    while !text.contains("data: closed\n\n") {
        let chunk = stream.chunk().await?.ok_or("the stream ended before both updates came")?;
        text.push_str(std::str::from_utf8(&chunk)?);
    }
    assert!(text.contains("data: open\n\n"), "{text}");
    Ok(())
}
