//! A publication: an accepted body is exactly one event, in every coding, with the fields that were
//! posted.

use petasos::mercure::audience::Authorization;
use petasos::mercure::update::Update;
use petasos::sse::coding::Coding;
use petasos::sse::frame::Frame;
use petasos::sse::framing::{Framing, Transfer};

use crate::stream_oracle::{self, Event};

/// The property, for any body.
///
/// # Panics
/// It does not hold.
pub fn check(body: &[u8]) {
    for authorization in [Authorization::Selectors, Authorization::Targets] {
        let Ok(update) = Update::parse(body, authorization, [7; 16]) else { continue };
        let expected = event_of(&update);
        let topics = update.topics().iter().map(|topic| topic.as_str().to_owned()).collect::<Vec<_>>();
        let frame = Frame::encode(update);
        assert!(frame.topic_texts().eq(topics.iter().map(String::as_str)), "the topics are those posted");
        for transfer in [Transfer::Chunked, Transfer::Plain] {
            for coding in [None, Some(Coding::Gzip), Some(Coding::Zstd)] {
                let framing = Framing { transfer, coding };
                let stream = [framing.opening(), framing.bytes(&frame), framing.comment()].concat();
                let events = stream_oracle::events(&stream, framing);
                assert_eq!(events, std::slice::from_ref(&expected), "{framing:?}");
            }
        }
        let fields = frame.fields().expect("this hub encoded it");
        assert_eq!((fields.id, &fields.data), (expected.id.as_str(), &expected.data), "it reads back");
    }
}

/// What a subscriber should see of an update.
pub(crate) fn event_of(update: &Update<'_>) -> Event {
    Event {
        id: update.id().as_str().to_owned(),
        event_type: update.event_type().unwrap_or("message").to_owned(),
        data: update.data().replace("\r\n", "\n").replace('\r', "\n"),
        retry_ms: update.retry_ms(),
    }
}
