//! An update as its publisher sent it.
//!
//! Publications have two constructors: [`Update::parse`], and [`Update::build`] for a publisher
//! inside the program. Both check every rule of PROTOCOL section 3 that does not need a token, so
//! an `Update` can be encoded and dispatched without further checks. The hub's own updates come
//! from [`Update::of_subscription`]. Authorization is checked by [`crate::mercure::grant::Grant`].

use std::borrow::Cow;

use crate::limits::{EVENT_ID_BYTES_MAX, TARGETS_MAX, TOPIC_BYTES_MAX, TOPICS_MAX};
use crate::mercure::audience::{Audience, Authorization};
use crate::mercure::characters::{has_control, has_control_or_format};
use crate::mercure::event_id::{EventId, EventIdError};
use crate::mercure::form::{self, FormError};
use crate::mercure::names::{
    EVENT_TYPE_HUB, PARAM_DATA, PARAM_ID, PARAM_PRIVATE, PARAM_RETRY, PARAM_TARGET, PARAM_TOPIC, PARAM_TYPE,
};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::subscription::Subscription;
use crate::mercure::topic::{Topic, TopicError};

/// The rules for a publication. A token of draft 08 lists topics, as one of draft 07 does; on a hub
/// that speaks draft 08, its stricter rules hold for every publisher (MERCURE-1.0, section 12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateRules<'h> {
    /// What the publisher's token lists: it decides between `private` and `target`.
    pub authorization: Authorization,
    /// The hub's URL, on a hub that speaks draft 08.
    pub draft08: Option<&'h PublicUrl>,
}

impl From<Authorization> for UpdateRules<'_> {
    /// The rules of a hub without draft 08.
    fn from(authorization: Authorization) -> Self {
        Self { authorization, draft08: None }
    }
}

/// A valid publication (draft-07, section "Publication").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update<'a> {
    topics: Box<[Topic]>,
    audience: Audience,
    id: EventId,
    has_made_id: bool,
    is_subscription_event: bool,
    event_type: Option<Cow<'a, str>>,
    retry_ms: Option<u64>,
    data: Cow<'a, str>,
}

/// The values of an update that its encoded form keeps.
#[derive(Debug)]
pub struct UpdateParts {
    /// The canonical topic first, then the alternates; never empty.
    pub topics: Box<[Topic]>,
    /// The subscribers that may receive it.
    pub audience: Audience,
    /// Its event id.
    pub id: EventId,
    /// Whether the id was generated here.
    pub has_made_id: bool,
    /// Whether it announces the start or the end of a subscription.
    pub is_subscription_event: bool,
}

/// The fields of an update from a publisher inside the program. [`Update::build`] checks them;
/// [`UpdateError`] names the bound that is broken. The size of the data is not checked here: the
/// caller compares it with `MAX_BODY_SIZE`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Draft<'a> {
    /// The canonical topic first, then the alternates: 1 to [`TOPICS_MAX`], each of at most
    /// [`TOPIC_BYTES_MAX`] bytes. A topic must not be empty, be `*`, or hold a control character.
    /// On any host, its path must not be the hub's own path (`/.well-known/mercure`) or a path
    /// below it. With draft 08, it must not hold a format character, as must the id and the type.
    pub topics: &'a [&'a str],
    /// The content; it may be empty. Every line end (CR LF, CR or LF) arrives as LF.
    pub data: &'a str,
    /// Draft-07: only for subscribers whose token grants one of the topics. Refused with
    /// `AUTHORIZATION=targets`.
    pub private: bool,
    /// Draft-04: only for subscribers whose token lists one of these. At most [`TARGETS_MAX`], none
    /// empty; without targets the update is public. Any target is refused unless
    /// `AUTHORIZATION=targets`.
    pub targets: &'a [&'a str],
    /// The event id; one is generated when it is `None` or empty. At most [`EVENT_ID_BYTES_MAX`]
    /// bytes, without control characters, without a space at either end, not beginning with `#`,
    /// and not `earliest`.
    pub id: Option<&'a str>,
    /// The SSE event type; none when it is empty. At most [`EVENT_ID_BYTES_MAX`] bytes, without
    /// control characters. `mercure` is refused with draft 08.
    pub event_type: Option<&'a str>,
    /// The SSE reconnection time, in milliseconds; any number.
    pub retry_ms: Option<u64>,
}

/// Why a body is not a publication. The text is for the client. On a hub with draft 08 the status
/// is 413 if [`UpdateError::is_too_large`], else 400. On any other it is 403 for
/// [`UpdateError::ReservedTopic`], else 400. Whether the token grants the topics is checked later
/// (`Grant::may_publish`).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// The body is not a strict urlencoded form.
    #[error("{0}")]
    Form(#[source] FormError),
    /// No `topic` field.
    #[error("Missing \"topic\" parameter")]
    MissingTopic,
    /// No `data` field although the hub authorizes by targets (draft-04).
    #[error("Missing \"data\" parameter")]
    MissingData,
    /// A field that may be given only once is repeated.
    #[error("Invalid \"{0}\" parameter: it must be given once at most")]
    Repeated(&'static str),
    /// More than [`TOPICS_MAX`] topics.
    #[error("Invalid \"topic\" parameter: more than {TOPICS_MAX} of them")]
    TooManyTopics,
    /// More than [`TARGETS_MAX`] targets.
    #[error("Invalid \"target\" parameter: more than {TARGETS_MAX} of them")]
    TooManyTargets,
    /// A `topic` that is not a topic.
    #[error("Invalid \"topic\" parameter: {0}")]
    Topic(#[source] TopicError),
    /// A `topic` longer than [`TOPIC_BYTES_MAX`].
    #[error("Invalid \"topic\" parameter: it must not be longer than {TOPIC_BYTES_MAX} bytes")]
    TopicTooLong,
    /// A `topic` inside the hub's own namespace.
    #[error("Forbidden \"topic\" parameter: it is in the hub's own namespace")]
    ReservedTopic,
    /// An `id` that is not an event id.
    #[error("Invalid \"id\" parameter: {0}")]
    Id(#[source] EventIdError),
    /// A `type` with a control character.
    #[error("Invalid \"type\" parameter: it must not hold a control character")]
    Type,
    /// A `type` with a format character (draft 08).
    #[error("Invalid \"type\" parameter: it must not hold a control or format character")]
    TypeFormat,
    /// A `type` longer than [`EVENT_ID_BYTES_MAX`].
    #[error("Invalid \"type\" parameter: it must not be longer than {EVENT_ID_BYTES_MAX} bytes")]
    TypeTooLong,
    /// The `type` of the hub's own events (draft 08).
    #[error("Invalid \"type\" parameter: \"{EVENT_TYPE_HUB}\" is reserved for the hub's own events")]
    ReservedType,
    /// A `retry` that is not a number of milliseconds.
    #[error("Invalid \"retry\" parameter")]
    Retry,
    /// `target` with a token that lists topics. Ignoring it would publish to every subscriber.
    #[error("Unsupported \"target\" parameter: this publisher is authorized by topics, not by targets")]
    TargetNotSupported,
    /// `private` with a token that lists targets. Ignoring it would publish to every subscriber.
    #[error("Unsupported \"private\" parameter: this publisher is authorized by targets, not by topics")]
    PrivateNotSupported,
    /// An empty `target`.
    #[error("Invalid \"target\" parameter: it must not be empty")]
    EmptyTarget,
    /// `target[]`, `target[0]`, or `private` in the same way. Ignoring it would publish to every
    /// subscriber.
    #[error("Invalid \"{0}\" parameter: its name has no brackets")]
    Brackets(&'static str),
}

impl UpdateError {
    /// Whether the publication has too many fields, or one of them is too long.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Form(FormError::TooManyFields)
                | Self::TooManyTopics
                | Self::TooManyTargets
                | Self::TopicTooLong
                | Self::TypeTooLong
                | Self::Id(EventIdError::TooLong)
        )
    }
}

impl<'a> Update<'a> {
    /// Reads the body of a publication. `rules` follow from the hub and from the token; an
    /// [`Authorization`] alone is that of a hub without draft 08. `random` becomes the id when the
    /// publisher gave none.
    ///
    /// An empty `id`, `type` or `retry` counts as not given, as an HTML form sends it.
    ///
    /// # Errors
    /// [`UpdateError`] names the first rule that the body breaks.
    pub fn parse<'h>(
        body: &'a [u8],
        rules: impl Into<UpdateRules<'h>>,
        random: [u8; 16],
    ) -> Result<Self, UpdateError> {
        UpdateFields::collect(body, rules.into())?.into_update(random)
    }

    /// Checks a draft by the same rules.
    ///
    /// # Errors
    /// As [`Update::parse`].
    pub fn build<'h>(
        draft: &Draft<'a>,
        rules: impl Into<UpdateRules<'h>>,
        random: [u8; 16],
    ) -> Result<Self, UpdateError> {
        let mut fields = UpdateFields {
            private: draft.private.then_some(Cow::Borrowed("")),
            id: draft.id.map(Cow::Borrowed),
            event_type: draft.event_type.map(Cow::Borrowed),
            retry: draft.retry_ms.map(|retry_ms| Cow::Owned(retry_ms.to_string())),
            data: Some(Cow::Borrowed(draft.data)),
            ..UpdateFields::new(rules.into())
        };
        draft.topics.iter().try_for_each(|topic| fields.add_topic(topic))?;
        draft.targets.iter().try_for_each(|target| fields.add_target(target))?;
        fields.into_update(random)
    }

    /// The update that announces the start or the end of a subscription (PROTOCOL section 7). It is
    /// private, and its topic is in the hub's own namespace, where clients may not publish.
    /// `random` becomes its id.
    pub fn of_subscription(subscription: &Subscription<'_>, random: [u8; 16]) -> Self {
        Self {
            topics: Box::new([Topic::of_subscription(subscription)]),
            audience: Audience::Private,
            id: EventId::from_random_bytes(random),
            has_made_id: true,
            is_subscription_event: true,
            event_type: subscription.written_as.event_type().map(Cow::Borrowed),
            retry_ms: None,
            data: Cow::Owned(subscription.event_data()),
        }
    }

    /// The canonical topic first, then the alternates; never empty.
    pub fn topics(&self) -> &[Topic] {
        &self.topics
    }

    /// The subscribers that may receive it.
    pub fn audience(&self) -> &Audience {
        &self.audience
    }

    /// Its event id, chosen by the publisher or generated here.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// Whether its event id was generated here from random bytes. Then no earlier update has it.
    pub fn has_made_id(&self) -> bool {
        self.has_made_id
    }

    /// The SSE event type.
    pub fn event_type(&self) -> Option<&str> {
        self.event_type.as_deref()
    }

    /// The SSE reconnection time, in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// The content; empty when none was given.
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Its values without the content, once that is encoded.
    pub fn into_parts(self) -> UpdateParts {
        let Self { topics, audience, id, has_made_id, is_subscription_event, .. } = self;
        UpdateParts { topics, audience, id, has_made_id, is_subscription_event }
    }
}

/// The fields of a body, sorted by name and counted, but not parsed yet.
struct UpdateFields<'a, 'h> {
    rules: UpdateRules<'h>,
    topics: Vec<Topic>,
    targets: Vec<Box<str>>,
    private: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    event_type: Option<Cow<'a, str>>,
    retry: Option<Cow<'a, str>>,
    data: Option<Cow<'a, str>>,
}

impl<'a, 'h> UpdateFields<'a, 'h> {
    fn new(rules: UpdateRules<'h>) -> Self {
        Self {
            rules,
            topics: Vec::new(),
            targets: Vec::new(),
            private: None,
            id: None,
            event_type: None,
            retry: None,
            data: None,
        }
    }

    fn collect(body: &'a [u8], rules: UpdateRules<'h>) -> Result<Self, UpdateError> {
        let mut fields = Self::new(rules);
        for field in form::fields(body) {
            let (name, value) = field.map_err(UpdateError::Form)?;
            match &*name {
                PARAM_TOPIC => fields.add_topic(&value)?,
                PARAM_TARGET => fields.add_target(&value)?,
                PARAM_PRIVATE => once(&mut fields.private, PARAM_PRIVATE, value)?,
                PARAM_ID => once(&mut fields.id, PARAM_ID, value)?,
                PARAM_TYPE => once(&mut fields.event_type, PARAM_TYPE, value)?,
                PARAM_RETRY => once(&mut fields.retry, PARAM_RETRY, value)?,
                PARAM_DATA => once(&mut fields.data, PARAM_DATA, value)?,
                other => refuse_brackets(other)?,
            }
        }
        Ok(fields)
    }

    fn into_update(mut self, random: [u8; 16]) -> Result<Update<'a>, UpdateError> {
        if self.topics.is_empty() {
            return Err(UpdateError::MissingTopic);
        }
        let audience = self.audience()?;
        if self.rules.authorization == Authorization::Targets && self.data.is_none() {
            return Err(UpdateError::MissingData);
        }
        let is_draft08 = self.rules.draft08.is_some();
        let parse_id = if is_draft08 { EventId::parse_draft08 } else { EventId::parse };
        let (id, has_made_id) = match self.id.filter(|id| !id.is_empty()) {
            Some(id) => (parse_id(&id).map_err(UpdateError::Id)?, false),
            None => (EventId::from_random_bytes(random), true),
        };
        let event_type = self.event_type.filter(|text| !text.is_empty());
        if let Some(text) = &event_type {
            check_type(text, is_draft08)?;
        }
        Ok(Update {
            topics: self.topics.into(),
            audience,
            id,
            has_made_id,
            is_subscription_event: false,
            event_type,
            retry_ms: self
                .retry
                .filter(|text| !text.is_empty())
                .map(|text| parse_retry(&text))
                .transpose()?,
            data: self.data.unwrap_or_default(),
        })
    }

    fn add_topic(&mut self, text: &str) -> Result<(), UpdateError> {
        if self.topics.len() == TOPICS_MAX {
            return Err(UpdateError::TooManyTopics);
        }
        if text.len() > TOPIC_BYTES_MAX {
            return Err(UpdateError::TopicTooLong);
        }
        let hub = self.rules.draft08;
        let parse = if hub.is_some() { Topic::parse_draft08 } else { Topic::parse };
        let topic = parse(text).map_err(UpdateError::Topic)?;
        if topic.in_hub_namespace(hub) {
            return Err(UpdateError::ReservedTopic);
        }
        self.topics.push(topic);
        Ok(())
    }

    fn add_target(&mut self, text: &str) -> Result<(), UpdateError> {
        if self.targets.len() == TARGETS_MAX {
            return Err(UpdateError::TooManyTargets);
        }
        if text.is_empty() {
            return Err(UpdateError::EmptyTarget);
        }
        self.targets.push(text.into());
        Ok(())
    }

    /// The audience; takes the targets.
    fn audience(&mut self) -> Result<Audience, UpdateError> {
        match self.rules.authorization {
            Authorization::Selectors if !self.targets.is_empty() => Err(UpdateError::TargetNotSupported),
            Authorization::Targets if self.private.is_some() => Err(UpdateError::PrivateNotSupported),
            _ if self.private.is_some() => Ok(Audience::Private),
            _ if !self.targets.is_empty() => Ok(Audience::Targets(std::mem::take(&mut self.targets).into())),
            _ => Ok(Audience::Public),
        }
    }
}

/// Some languages write lists in this form by default. Of the names that are ignored, these would
/// widen the audience.
fn refuse_brackets(name: &str) -> Result<(), UpdateError> {
    let is_meant = |meant: &&str| name.strip_prefix(*meant).is_some_and(|rest| rest.starts_with('['));
    match [PARAM_TARGET, PARAM_PRIVATE].into_iter().find(is_meant) {
        Some(meant) => Err(UpdateError::Brackets(meant)),
        None => Ok(()),
    }
}

fn once<'a>(
    place: &mut Option<Cow<'a, str>>,
    name: &'static str,
    value: Cow<'a, str>,
) -> Result<(), UpdateError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(UpdateError::Repeated(name)),
    }
}

/// Draft 08 reserves the type of the hub's own events: another publisher could forge them.
fn check_type(text: &str, is_draft08: bool) -> Result<(), UpdateError> {
    match () {
        () if text.len() > EVENT_ID_BYTES_MAX => Err(UpdateError::TypeTooLong),
        () if has_control(text) => Err(UpdateError::Type),
        () if is_draft08 && has_control_or_format(text) => Err(UpdateError::TypeFormat),
        () if is_draft08 && text == EVENT_TYPE_HUB => Err(UpdateError::ReservedType),
        () => Ok(()),
    }
}

fn parse_retry(text: &str) -> Result<u64, UpdateError> {
    // `u64::from_str` would accept a leading `+`.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| UpdateError::Retry)
    } else {
        Err(UpdateError::Retry)
    }
}

#[cfg(test)]
mod tests;
