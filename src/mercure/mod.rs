//! The values of the Mercure protocol, pure: bytes in, values out. No socket, no clock, no thread.
//!
//! Invariants: a value that matters has one constructor, which parses it
//! ([`update::Update::parse`], [`selector::Selector::parse`], [`event_id::EventId::parse`]); time
//! is an argument; every size is bounded in [`crate::limits`].

pub mod audience;
#[doc(hidden)]
pub mod characters;
pub mod dialect;
pub mod event_id;
#[doc(hidden)]
pub mod form;
pub mod grant;
#[doc(hidden)]
pub mod index;
#[doc(hidden)]
pub mod names;
pub mod newest;
pub mod public_url;
pub mod resume;
pub mod selector;
pub mod subscription;
pub mod token;
pub mod topic;
pub mod update;
#[doc(hidden)]
pub mod uri_template;
#[doc(hidden)]
pub mod url_pattern;
