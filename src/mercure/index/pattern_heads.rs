//! What the index needs to know of patterns, and where their heads are written.

use hashbrown::HashMap;
use slab::Slab;
use std::borrow::Cow;
use std::hash::Hasher;
use std::sync::Arc;

use super::indexed::{AloneHeads, HeadedTopic, Indexed};
use crate::mercure::uri_template::{Simulator, TailParts};
use crate::mercure::url_pattern::UrlPattern;
use crate::shrink::shrink_slab;

impl Indexed for UrlPattern {
    const IS_PATTERN: bool = true;
    type Heads = PatternHeads;

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
        self.tail_cost()
    }

    fn to_tail(self: &Arc<Self>) -> Arc<Self> {
        Arc::new(Self::to_tail(self))
    }

    fn has_tail_of(&self, other: &Self) -> bool {
        self.has_tail_of(other)
    }

    fn hash_tail(&self, state: &mut impl Hasher) {
        self.hash_tail(state);
    }

    fn tail_matches(
        &self,
        topic: HeadedTopic<'_>,
        at: usize,
        simulator: &mut Simulator,
        _: &mut bool,
    ) -> bool {
        if self.is_plain() {
            return self.tail().matches(topic.bytes, at);
        }
        topic.url.is_some_and(|url| self.tail_matches(url, at, simulator))
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
