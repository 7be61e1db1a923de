//! What the index keeps of one distinct selector, in half a cache line.

/// A number of one of two kinds, told apart by its highest bit: fewer slots, entries and nodes exist than that.
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
    /// The publication it was last answered for.
    pub(super) stamp: u32,
    pub(super) template_ref: TemplateRef,
}

// A million selectors are the measure: one that is looked up in a large index costs one cache line here, not two.
const _: () = assert!(size_of::<Option<SelectorEntry>>() == 32);

/// A slot that holds a selector.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) slot: u32,
    /// The index among the slot's memberships that names this member.
    pub(super) membership: u32,
}

/// The slots that hold a selector, at least one.
#[derive(Clone, Copy)]
pub(super) struct Members {
    /// The slot, or the key of [`super::TopicIndex::shared`].
    first: Either,
    membership: u32,
}

/// What [`Members`] are.
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

/// Where a template is found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct TemplateRef(Either);

/// What a [`TemplateRef`] is.
pub(super) enum Found {
    /// It is no template.
    Nowhere,
    /// It is the only one with its head, and has this tail.
    Alone(u32),
    /// It shares its head: a key of the templates' places.
    Grouped(u32),
}

impl TemplateRef {
    /// Of a selector that is no template.
    pub(super) const NOWHERE: Self = Self(Either(u32::MAX));

    pub(super) fn alone(tail: u32) -> Self {
        Self(Either::one(tail))
    }

    pub(super) fn grouped(key: u32) -> Self {
        Self(Either::other(key))
    }

    pub(super) fn found(self) -> Found {
        match self.0.kind() {
            _ if self == Self::NOWHERE => Found::Nowhere,
            Kind::One(tail) => Found::Alone(tail),
            Kind::Other(key) => Found::Grouped(key),
        }
    }
}
