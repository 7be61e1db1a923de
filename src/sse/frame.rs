//! The encoded update: the bytes that every subscriber receives, made once.
//!
//! The bytes are the SSE event (WHATWG HTML, section 9.2.5) framed as one HTTP/1.1 chunk (RFC 9112,
//! section 7.1); the bare event is a slice of the same buffer. Subscribers with compression share
//! one [`EncodedFrame`] for each coding, made when it is first sent. A frame also carries the
//! topics, the audience and the id, which decide who receives it.
//!
//! Invariant: a frame holds exactly one event, since an [`Update`] cannot hold a line break outside
//! its data.

use memchr::memchr2;

use crate::mercure::audience::Audience;
use crate::mercure::event_id::EventId;
use crate::mercure::names::EVENT_TYPE_HUB;
use crate::mercure::topic::Topic;
use crate::mercure::update::{Update, UpdateParts};
use crate::sse::chunk::Chunk;
use crate::sse::coding::{Coding, EncodedFrame, EncodedFrames};
use crate::sse::held::HeldBytes;

/// The comment that opens every stream and is its heartbeat.
pub const COMMENT: &[u8] = b":\n";

/// The name of a line of data.
const DATA: &[u8] = b"data: ";

/// One update, encoded, with the values that decide who receives it.
#[derive(Debug)]
pub struct Frame {
    plain: Chunk,
    encoded: EncodedFrames,
    id: EventId,
    has_made_id: bool,
    is_subscription_event: bool,
    topics: Box<[Topic]>,
    audience: Audience,
    /// Counts its memory, without the encoded frames.
    _held: HeldBytes,
}

/// The fields of an event, read back from its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventFields<'f> {
    /// The event type, if there is one.
    pub event_type: Option<&'f str>,
    /// The reconnection time in milliseconds, in digits, if there is one.
    pub retry: Option<&'f str>,
    /// The event id.
    pub id: &'f str,
    /// The data. Each line end has become a line feed.
    pub data: String,
}

impl Frame {
    /// Encodes an update: `event`, `retry`, `id`, `data`, in this order (PROTOCOL section 2). The
    /// bytes are written once, and the other values are moved.
    pub fn encode(update: Update<'_>) -> Self {
        let retry = update.retry_ms().map(|retry_ms| retry_ms.to_string());
        let head = [
            ("event: ", update.event_type()),
            ("retry: ", retry.as_deref()),
            ("id: ", Some(update.id().as_str())),
        ];
        let head_bytes: usize = head.iter().map(|(name, value)| field_bytes(name, *value)).sum();
        let data = update.data().as_bytes();
        let plain = Chunk::write(head_bytes + data_bytes(data) + 1, |out| {
            for (name, value) in head {
                if let Some(value) = value {
                    push_field(out, name.as_bytes(), value.as_bytes());
                }
            }
            push_data(out, data);
            out.push(b'\n');
        });
        let UpdateParts { topics, audience, id, has_made_id, is_subscription_event } = update.into_parts();
        Self { is_subscription_event, ..Self::new(plain, id, has_made_id, topics, audience) }
    }

    /// Frames an event that was encoded before, as in a stored record.
    pub fn from_event(event: &[u8], id: EventId, topics: Box<[Topic]>, audience: Audience) -> Self {
        Self::new(Chunk::new(event), id, false, topics, audience)
    }

    fn new(plain: Chunk, id: EventId, has_made_id: bool, topics: Box<[Topic]>, audience: Audience) -> Self {
        let mut frame = Self {
            plain,
            encoded: EncodedFrames::default(),
            id,
            has_made_id,
            is_subscription_event: false,
            topics,
            audience,
            _held: HeldBytes::new(0),
        };
        frame._held = HeldBytes::new(frame.bytes_held());
        frame
    }

    /// The same without its event type, if that is the one that draft 08 reserves for events of the
    /// hub, and it is none (MERCURE-1.0, trap 14); `None` if nothing is to be removed.
    pub(crate) fn without_reserved_type(&self) -> Option<Self> {
        let rest = self.event().strip_prefix(b"event: ")?.strip_prefix(EVENT_TYPE_HUB.as_bytes())?;
        let rest = rest.strip_prefix(b"\n").filter(|_| !self.is_subscription_event)?;
        Some(Self::from_event(rest, self.id.clone(), self.topics.clone(), self.audience.clone()))
    }

    /// The same, but it announces the start or the end of a subscription.
    pub fn into_subscription_event(self) -> Self {
        Self { is_subscription_event: true, ..self }
    }

    /// The event as one HTTP/1.1 chunk.
    pub fn chunk(&self) -> &[u8] {
        self.plain.framed()
    }

    /// The event alone, as HTTP/1.0 and HTTP/2 send it.
    pub fn event(&self) -> &[u8] {
        self.plain.content()
    }

    /// The event in a coding. It is compressed on the first call.
    pub fn encoded(&self, coding: Coding) -> &EncodedFrame {
        self.encoded.get_or_make(coding, self.event())
    }

    /// Whether the result of [`Frame::encoded`] exists already.
    pub fn has_encoded(&self, coding: Coding) -> bool {
        self.encoded.has(coding)
    }

    /// The fields of the event, to publish it again. `None` when [`Frame::encode`] did not make the
    /// event.
    pub fn fields(&self) -> Option<EventFields<'_>> {
        let mut lines = std::str::from_utf8(self.event()).ok()?.strip_suffix("\n\n")?.split('\n').peekable();
        let mut field = |name: &str| {
            let value = lines.peek()?.strip_prefix(name)?;
            lines.next();
            Some(value)
        };
        let event_type = field("event: ");
        let retry = field("retry: ");
        let id = field("id: ")?;
        let mut data = field("data: ")?.to_owned();
        for line in lines {
            data.push('\n');
            data.push_str(line.strip_prefix("data: ")?);
        }
        Some(EventFields { event_type, retry, id, data })
    }

    /// Its event id.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// True if the hub generated the id just now: it is unique, so no lookup is needed.
    pub fn has_made_id(&self) -> bool {
        self.has_made_id
    }

    /// Whether it announces the start or the end of a subscription. The history counts these events
    /// apart from updates.
    pub fn is_subscription_event(&self) -> bool {
        self.is_subscription_event
    }

    /// Its topics, the canonical one first; never empty.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// Its topics as text.
    pub fn topic_texts(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().map(Topic::as_str)
    }

    /// The subscribers that may receive it.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Approximate memory of its encoded frames now, in bytes. They are made later, so they are not
    /// part of [`Frame::bytes_held`], which must never change.
    pub fn encoded_bytes_held(&self) -> usize {
        self.encoded.bytes_held()
    }

    /// Approximate memory without its encoded frames, in bytes, for the bounds on queues and tails.
    pub fn bytes_held(&self) -> usize {
        let topics: usize = self.topics.iter().map(|topic| topic.as_str().len() + size_of::<Topic>()).sum();
        let targets: usize = match &self.audience {
            Audience::Targets(targets) => {
                targets.iter().map(|target| target.len() + size_of::<Box<str>>()).sum()
            }
            Audience::Public | Audience::Private => 0,
        };
        size_of::<Self>() + self.plain.framed().len() + self.id.as_str().len() + topics + targets
    }
}

/// The encoded frames follow from the event, so equality ignores whether they exist.
impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.plain == other.plain
            && self.id == other.id
            && self.topics == other.topics
            && self.audience == other.audience
            && self.is_subscription_event == other.is_subscription_event
    }
}

impl Eq for Frame {}

/// The bytes of a field, if it has a value.
fn field_bytes(name: &str, value: Option<&str>) -> usize {
    value.map_or(0, |value| name.len() + value.len() + 1)
}

/// The bytes of `data` fields with this text: a field for each of its lines.
fn data_bytes(data: &[u8]) -> usize {
    let mut bytes = 0;
    for_each_line(data, |line| bytes += DATA.len() + line.len() + 1);
    bytes
}

fn push_data(event: &mut Vec<u8>, data: &[u8]) {
    for_each_line(data, |line| push_field(event, DATA, line));
}

/// Passes each line of a text on; CR LF, CR and LF end one.
fn for_each_line(text: &[u8], mut line: impl FnMut(&[u8])) {
    let mut rest = text;
    while let Some(end) = memchr2(b'\r', b'\n', rest) {
        line(&rest[..end]);
        let line_end = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + line_end..];
    }
    line(rest);
}

fn push_field(event: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    event.extend_from_slice(name);
    event.extend_from_slice(value);
    event.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mercure::audience::Authorization;

    fn event_of(body: &str) -> String {
        let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("valid body");
        let frame = Frame::encode(update);
        let text = String::from_utf8(frame.event().to_vec()).expect("UTF-8");
        assert_eq!(frame.chunk(), format!("{:x}\r\n{text}\r\n", text.len()).as_bytes());
        text
    }

    #[test]
    fn fields_come_in_the_order_of_the_protocol_and_only_when_given() {
        assert_eq!(
            event_of("data=d&retry=12&topic=t&type=e&id=i"),
            "event: e\nretry: 12\nid: i\ndata: d\n\n"
        );
        assert_eq!(event_of("topic=t&id=i"), "id: i\ndata: \n\n");
    }

    #[test]
    fn every_line_ending_starts_a_new_data_line() {
        assert_eq!(
            event_of("topic=t&id=i&data=a%0Db%0Ac%0D%0Ad%0A%0De"),
            "id: i\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \ndata: e\n\n"
        );
        assert_eq!(event_of("topic=t&id=i&data=a%0A"), "id: i\ndata: a\ndata: \n\n");
        assert_eq!(event_of("topic=t&id=i&data=%0D%0A"), "id: i\ndata: \ndata: \n\n");
    }

    #[test]
    fn the_fields_are_read_back_from_the_event() {
        let frame = |body: &str| {
            let update =
                Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("valid body");
            Frame::encode(update)
        };
        let full = frame("topic=t&id=i&type=e&retry=5&data=a%0Db%0A%0D%0Ac");
        let expected =
            EventFields { event_type: Some("e"), retry: Some("5"), id: "i", data: "a\nb\n\nc".to_owned() };
        assert_eq!(full.fields(), Some(expected));
        let bare = frame("topic=t&id=data:%20x");
        let expected = EventFields { event_type: None, retry: None, id: "data: x", data: String::new() };
        assert_eq!(bare.fields(), Some(expected));
        for foreign in ["id: i\n\n", "data: x\n\n", "id: i\ndata: x\n", "id: i\ndata: x\nid: j\n\n", ""] {
            let topics = full.topics().into();
            let frame = Frame::from_event(foreign.as_bytes(), full.id().clone(), topics, Audience::Public);
            assert_eq!(frame.fields(), None, "{foreign:?}");
        }
    }

    #[test]
    fn data_cannot_introduce_another_field() {
        assert_eq!(
            event_of("topic=t&id=i&data=x%0Aid:%20evil%0D%0Aevent:%20y"),
            "id: i\ndata: x\ndata: id: evil\ndata: event: y\n\n"
        );
    }
}
