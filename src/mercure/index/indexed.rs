//! What the index needs to know of templates and of patterns, which it treats alike: a head that is
//! hashed, and a tail that is walked in a trie or compared.

use std::borrow::Cow;
use std::hash::{Hash as _, Hasher};
use std::sync::Arc;

use crate::mercure::uri_template::{Simulator, TailParts, Template};
use crate::mercure::url_pattern::TopicUrl;

/// A topic as a text that begins with heads: itself for templates, its key for patterns.
#[derive(Clone, Copy)]
pub(super) struct HeadedTopic<'t> {
    pub(super) bytes: &'t [u8],
    /// What patterns are compared with.
    pub(super) url: Option<&'t TopicUrl>,
}

impl<'t> HeadedTopic<'t> {
    pub(super) fn of_templates(topic: &'t str) -> Self {
        Self { bytes: topic.as_bytes(), url: None }
    }

    pub(super) fn of_patterns(topic: &'t TopicUrl) -> Self {
        Self { bytes: topic.key().as_bytes(), url: Some(topic) }
    }
}

/// A template or a pattern.
pub(super) trait Indexed {
    /// Whether it is a pattern.
    const IS_PATTERN: bool;
    /// The heads of those that are alone on theirs.
    type Heads: AloneHeads<Self>;

    fn head(&self) -> &str;
    /// The parts after the head, if it is plain.
    fn tail(&self) -> TailParts<'_>;
    fn is_plain(&self) -> bool;
    /// The cost of a comparison, if it is not plain.
    fn tail_cost(&self) -> u32;
    /// What is kept of it for its tail.
    fn to_tail(self: &Arc<Self>) -> Arc<Self>;
    fn has_tail_of(&self, other: &Self) -> bool;
    fn hash_tail(&self, state: &mut impl Hasher);
    /// Whether a tail takes the rest of a topic from `at` on. `is_read` is whether the simulator
    /// has read it.
    fn tail_matches(
        &self,
        topic: HeadedTopic<'_>,
        at: usize,
        simulator: &mut Simulator,
        is_read: &mut bool,
    ) -> bool;
}

/// Where the heads of templates or patterns that are alone on theirs are written.
pub(super) trait AloneHeads<T: ?Sized>: Default {
    /// Notes one with this head, text and tail; returns its number.
    fn add(&mut self, one: &T, head: &[u8], text: &str, tail: u32) -> u32;
    /// Forgets it; returns its tail.
    fn remove(&mut self, number: u32) -> u32;
    fn tail(&self, number: u32) -> u32;
    /// Its head; `text` is as it was added.
    fn head<'h>(&'h self, number: u32, text: &'h str) -> Cow<'h, [u8]>;
    fn is_head(&self, number: u32, text: &str, head: &[u8]) -> bool;
    /// Gives back memory that is not used.
    fn shrink(&mut self);
}

impl Indexed for Template {
    const IS_PATTERN: bool = false;
    type Heads = TemplateHeads;

    fn head(&self) -> &str {
        self.head()
    }

    fn tail(&self) -> TailParts<'_> {
        self.tail()
    }

    fn is_plain(&self) -> bool {
        self.is_plain()
    }

    fn tail_cost(&self) -> u32 {
        self.match_cost()
    }

    fn to_tail(self: &Arc<Self>) -> Arc<Self> {
        Arc::clone(self)
    }

    fn has_tail_of(&self, other: &Self) -> bool {
        self.tail() == other.tail()
    }

    fn hash_tail(&self, state: &mut impl Hasher) {
        self.tail().hash(state);
    }

    fn tail_matches(
        &self,
        topic: HeadedTopic<'_>,
        at: usize,
        simulator: &mut Simulator,
        is_read: &mut bool,
    ) -> bool {
        let rest = &topic.bytes[at..];
        if self.is_plain() {
            return self.tail_matches(rest, simulator);
        }
        self.tail_matches_read(rest, simulator, is_read)
    }
}

/// The head of a template is in its text, before the first brace; no literal holds one. Its number
/// is its tail.
#[derive(Default)]
pub(super) struct TemplateHeads;

impl AloneHeads<Template> for TemplateHeads {
    fn add(&mut self, _: &Template, _: &[u8], _: &str, tail: u32) -> u32 {
        tail
    }

    fn remove(&mut self, number: u32) -> u32 {
        number
    }

    fn tail(&self, number: u32) -> u32 {
        number
    }

    fn head<'h>(&'h self, _: u32, text: &'h str) -> Cow<'h, [u8]> {
        let end = memchr::memchr(b'{', text.as_bytes()).unwrap_or(text.len());
        Cow::Borrowed(&text.as_bytes()[..end])
    }

    fn is_head(&self, _: u32, text: &str, head: &[u8]) -> bool {
        text.as_bytes().starts_with(head) && text.as_bytes().get(head.len()) == Some(&b'{')
    }

    fn shrink(&mut self) {}
}
