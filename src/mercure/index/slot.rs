//! The slots of an index, what they hold, and how far a search for them has come.

/// How far the search for the slots of one publication has come.
#[derive(Clone, Copy, Default)]
pub(super) struct Search {
    /// Topics that are done.
    pub(super) topics: usize,
    /// Of the next topic, the length of the next head to look up. If it is 0, the topic is not
    /// begun.
    pub(super) heads_from: usize,
    /// Whether its templates are done, and patterns are next.
    pub(super) in_patterns: bool,
    /// Whether a slot can be found twice, so that its stamp must be read.
    pub(super) are_several: bool,
}

/// An entry's place in the hash table, with enough of its hash to grow the table without reading
/// any text.
pub(super) struct Key {
    pub(super) hash: u32,
    pub(super) entry: u32,
}

/// The selectors a slot holds.
pub(super) enum SlotSelectors {
    None,
    One(Membership),
    /// A key of [`super::TopicIndex::memberships`].
    Many(u32),
}

#[derive(Clone, Copy)]
pub(super) struct Membership {
    pub(super) entry: u32,
    /// The index of this slot among the entry's members.
    pub(super) member: u32,
}

pub(super) struct Slot {
    pub(super) held: SlotSelectors,
    /// The publication that it was last reported for.
    pub(super) stamp: u32,
}

// These sizes are chosen for a million subscribers with one selector each.
const _: () = assert!(size_of::<Slot>() <= 16 && size_of::<Key>() <= 8);
