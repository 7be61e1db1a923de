//! Every setting of this version, by heading, in the order of the help.

pub(crate) mod authorization;
pub(crate) mod cores;
pub(crate) mod history;
pub(crate) mod issuers;
pub(crate) mod limits;
pub(crate) mod listening;
pub(crate) mod logs;
pub(crate) mod metrics;

use super::setting::{Declared, Group};

/// All groups.
pub(crate) static GROUPS: [&Group; 8] = [
    &listening::GROUP,
    &authorization::GROUP,
    &issuers::GROUP,
    &history::GROUP,
    &limits::GROUP,
    &cores::GROUP,
    &logs::GROUP,
    &metrics::GROUP,
];

/// All settings.
pub(crate) fn all() -> impl Iterator<Item = &'static dyn Declared> {
    GROUPS.iter().flat_map(|group| group.settings.iter().copied())
}

/// The setting of this name.
pub(crate) fn find(name: &str) -> Option<&'static dyn Declared> {
    all().find(|setting| setting.name() == name)
}
