//! The subscribers that may receive an update, and the rule by which the hub authorizes (PROTOCOL
//! section 4). Both [updates](super::update) and [grants](super::grant) use them.

/// The subscribers that may receive an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Every subscriber that selected one of its topics.
    Public,
    /// Draft-07: subscribers whose token grants one of its topics.
    Private,
    /// Draft-04: subscribers whose token lists one of these targets; never empty.
    Targets(Box<[Box<str>]>),
}

/// What the lists of the claim mean (`AUTHORIZATION`). One rule applies to the whole hub.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Authorization {
    /// Draft-07: topic selectors.
    #[default]
    Selectors,
    /// Draft-04: targets.
    Targets,
}
