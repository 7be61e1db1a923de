//! The data of one distinct selector in the index, in half a cache line.

use slab::Slab;

/// A number of one of two kinds, distinguished by its highest bit. Slots, entries and nodes are
/// always fewer than that bit's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Either(u32);

/// The two kinds of an [`Either`].
pub(super) enum Kind {
    One(u32),
    Other(u32),
}

const OTHER: u32 = 1 << 31;

impl Either {
    pub(super) const fn one(number: u32) -> Self {
        debug_assert!(number < OTHER);
        Self(number)
    }

    pub(super) const fn other(number: u32) -> Self {
        debug_assert!(number < OTHER);
        Self(number | OTHER)
    }

    pub(super) fn kind(self) -> Kind {
        if self.0 & OTHER == 0 { Kind::One(self.0) } else { Kind::Other(self.0 & !OTHER) }
    }
}

/// One distinct selector.
#[repr(align(32))]
pub(super) struct SelectorEntry {
    pub(super) text: Box<str>,
    pub(super) members: Members,
    /// The publication that it was last reported for.
    pub(super) stamp: u32,
    pub(super) template_ref: TemplateRef,
}

// The size is chosen for a million selectors: a lookup in a large index reads one cache line here,
// not two.
const _: () = assert!(size_of::<Option<SelectorEntry>>() == 32);

/// A slot that holds a selector.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) slot: u32,
    /// The index of this member among the slot's memberships.
    pub(super) membership: u32,
}

/// The slots that hold a selector; at least one.
#[derive(Clone, Copy)]
pub(super) struct Members {
    /// The slot, or the key of [`super::TopicIndex::shared`].
    first: Either,
    membership: u32,
}

/// The unpacked form of [`Members`].
pub(super) enum Holders {
    One(Member),
    /// A key of [`super::TopicIndex::shared`].
    Shared(u32),
}

impl Members {
    pub(super) fn one(member: Member) -> Self {
        Self { first: Either::one(member.slot), membership: member.membership }
    }

    pub(super) fn shared(key: u32) -> Self {
        Self { first: Either::other(key), membership: 0 }
    }

    pub(super) fn holders(self) -> Holders {
        match self.first.kind() {
            Kind::One(slot) => Holders::One(Member { slot, membership: self.membership }),
            Kind::Other(key) => Holders::Shared(key),
        }
    }
}

/// The members of an entry.
pub(super) fn members<'i>(
    entries: &Slab<SelectorEntry>,
    shared: &'i Slab<Vec<Member>>,
    entry: u32,
) -> impl Iterator<Item = Member> + use<'i> {
    let (one, several) = match entries[entry as usize].members.holders() {
        Holders::One(member) => (Some(member), &[][..]),
        Holders::Shared(key) => (None, &shared[key as usize][..]),
    };
    one.into_iter().chain(several.iter().copied())
}

/// The location of a template or of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TemplateRef(u32);

/// The unpacked form of a [`TemplateRef`].
pub(super) enum Found {
    /// It is neither a template nor a pattern.
    Nowhere,
    /// It is the only one with its head: its number among those.
    Alone(u32),
    /// It shares its head: a key of the templates' shared locations.
    Grouped(u32),
}

/// The kinds of selectors that are different even if their texts are equal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    /// `*`, or a topic.
    Text,
    Template,
    Pattern,
}

/// The bit of patterns.
const PATTERN: u32 = 1 << 30;

impl TemplateRef {
    /// The location of a selector that is neither.
    pub(super) const NOWHERE: Self = Self(u32::MAX);

    pub(super) fn alone(number: u32, is_pattern: bool) -> Self {
        debug_assert!(number < PATTERN);
        Self(number | if is_pattern { PATTERN } else { 0 })
    }

    pub(super) fn grouped(key: u32, is_pattern: bool) -> Self {
        Self(Self::alone(key, is_pattern).0 | OTHER)
    }

    pub(super) fn found(self) -> Found {
        let number = self.0 & !(OTHER | PATTERN);
        match self.0 & OTHER {
            _ if self == Self::NOWHERE => Found::Nowhere,
            0 => Found::Alone(number),
            _ => Found::Grouped(number),
        }
    }

    pub(super) fn kind(self) -> EntryKind {
        match self.0 & PATTERN {
            _ if self == Self::NOWHERE => EntryKind::Text,
            0 => EntryKind::Template,
            _ => EntryKind::Pattern,
        }
    }
}
