//! The patterns of an index, which are found by the keys of topics that were read as URLs.

use hashbrown::HashMap;
use slab::Slab;
use std::borrow::Cow;
use std::sync::Arc;

use super::budget::MatchBudget;
use super::entry::{SelectorEntry, TemplateRef};
use super::indexed::{AloneHeads, HeadedTopic};
use super::templates::Templates;
use crate::limits::MATCH_COST_URL;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::selector::ComparedTopic;
use crate::mercure::url_pattern::{TopicUrl, UrlPattern};
use crate::shrink::shrink_slab;

/// At least one pattern.
pub(super) struct Patterns {
    /// The URL against which topics are resolved.
    hub: PublicUrl,
    found: Templates<UrlPattern>,
    patterns: usize,
    /// The topic of the search, if it is begun.
    topic: Option<ReadTopic>,
}

/// A topic that was read as a URL, if it is one.
struct ReadTopic(Option<TopicUrl>);

impl Patterns {
    pub(super) fn new(hub: &PublicUrl) -> Self {
        Self { hub: hub.clone(), found: Templates::default(), patterns: 0, topic: None }
    }

    /// Makes `pattern` lead to `entry`, which the caller is about to add to `entries`.
    pub(super) fn insert(
        &mut self,
        pattern: &Arc<UrlPattern>,
        entry: u32,
        entries: &mut Slab<SelectorEntry>,
    ) -> TemplateRef {
        self.patterns += 1;
        self.found.insert(pattern, pattern.as_str(), entry, entries)
    }

    /// Removes `entry`, which has this text and location; returns whether it was the last one.
    pub(super) fn remove(
        &mut self,
        entry: u32,
        text: &str,
        template_ref: TemplateRef,
        entries: &mut Slab<SelectorEntry>,
    ) -> bool {
        self.found.remove(entry, text, template_ref, entries);
        self.patterns -= 1;
        self.patterns == 0
    }

    /// Ends a search that has paused.
    pub(super) fn end_search(&mut self) {
        self.found.end_search();
        self.topic = None;
    }

    /// Adds to `found` the entries of the patterns that match `topic`; pauses as
    /// [`Templates::find`] does. A topic is read as a URL once.
    pub(super) fn find(
        &mut self,
        topic: &str,
        entries: &Slab<SelectorEntry>,
        heads_from: &mut usize,
        found: &mut Vec<u32>,
        budget: &mut MatchBudget,
    ) -> bool {
        let read = self.topic.take().unwrap_or_else(|| {
            budget.spent += 1 + topic.len() as u64 * u64::from(MATCH_COST_URL) / 1024;
            ReadTopic(TopicUrl::parse(topic, &self.hub))
        });
        let is_done = match &read.0 {
            Some(url) => self.found.find(HeadedTopic::of_patterns(url), entries, heads_from, found, budget),
            None => true,
        };
        if !is_done {
            self.topic = Some(read);
        }
        is_done
    }

    /// Whether the pattern with this text and location matches a topic.
    pub(super) fn matches(&self, text: &str, template_ref: TemplateRef, topic: &ComparedTopic<'_>) -> bool {
        topic
            .url(&self.hub)
            .is_some_and(|url| self.found.matches(text, template_ref, HeadedTopic::of_patterns(url)))
    }

    /// The most that a topic of 1 KiB can cost, see
    /// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
    pub(super) fn price(&self) -> u32 {
        self.found.price().saturating_add(MATCH_COST_URL)
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        self.found.shrink();
    }

    /// The lookups so far, and the number of heads, tails and nodes.
    #[cfg(test)]
    pub(super) fn figures(&self) -> (u64, usize) {
        self.found.figures()
    }
}

/// The heads of patterns that are alone on theirs. Nearly all are written at the beginning of the
/// pattern, in relative ones without the hub's origin or directory.
#[derive(Default)]
pub(super) struct PatternHeads {
    patterns: Slab<AlonePattern>,
    /// The origin of the hub's URL, and its directory.
    bases: [Box<[u8]>; 2],
    /// Heads that are written in another way, by their number.
    own: HashMap<u32, Box<[u8]>>,
}

struct AlonePattern {
    tail: u32,
    /// How many bytes of the text are in the head.
    bytes: u16,
    before: BeforeText,
}

/// What a head has before the bytes of the text.
#[derive(Clone, Copy)]
enum BeforeText {
    Nothing,
    Origin,
    Directory,
    /// The head is not in the text.
    All,
}

impl PatternHeads {
    fn before(&self, before: BeforeText) -> &[u8] {
        match before {
            BeforeText::Origin => &self.bases[0],
            BeforeText::Directory => &self.bases[1],
            BeforeText::Nothing | BeforeText::All => &[],
        }
    }
}

impl AloneHeads<UrlPattern> for PatternHeads {
    fn add(&mut self, pattern: &UrlPattern, head: &[u8], text: &str, tail: u32) -> u32 {
        if self.bases[0].is_empty() {
            let url = pattern.hub().as_str();
            let directory = url.rfind('/').map_or(url, |at| &url[..=at]);
            self.bases = [pattern.hub().origin().into_bytes().into(), directory.as_bytes().into()];
        }
        let is_written = |before: &BeforeText| {
            let written = head.strip_prefix(self.before(*before));
            written.is_some_and(|written| text.as_bytes().starts_with(written))
        };
        let ways = [BeforeText::Nothing, BeforeText::Origin, BeforeText::Directory];
        let before = ways.into_iter().find(is_written).unwrap_or(BeforeText::All);
        let bytes = (head.len() - self.before(before).len()) as u16;
        let number = self.patterns.insert(AlonePattern { tail, bytes, before }) as u32;
        if matches!(before, BeforeText::All) {
            self.own.insert(number, head.into());
        }
        number
    }

    fn remove(&mut self, number: u32) -> u32 {
        let pattern = self.patterns.remove(number as usize);
        if matches!(pattern.before, BeforeText::All) {
            self.own.remove(&number);
        }
        pattern.tail
    }

    fn tail(&self, number: u32) -> u32 {
        self.patterns[number as usize].tail
    }

    fn head<'h>(&'h self, number: u32, text: &'h str) -> Cow<'h, [u8]> {
        let AlonePattern { bytes, before, .. } = self.patterns[number as usize];
        let written = &text.as_bytes()[..usize::from(bytes).min(text.len())];
        match before {
            BeforeText::Nothing => Cow::Borrowed(written),
            BeforeText::All => Cow::Borrowed(self.own.get(&number).map_or(&[], |head| head)),
            BeforeText::Origin | BeforeText::Directory => Cow::Owned([self.before(before), written].concat()),
        }
    }

    fn is_head(&self, number: u32, text: &str, head: &[u8]) -> bool {
        let AlonePattern { bytes, before, .. } = self.patterns[number as usize];
        if matches!(before, BeforeText::All) {
            return self.own.get(&number).is_some_and(|own| **own == *head);
        }
        head.strip_prefix(self.before(before)).is_some_and(|written| {
            written.len() == usize::from(bytes) && text.as_bytes().starts_with(written)
        })
    }

    fn shrink(&mut self) {
        shrink_slab(&mut self.patterns);
        self.own.shrink_to_fit();
    }
}
