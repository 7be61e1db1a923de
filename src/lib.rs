//! petasos: a hub for the [Mercure protocol](https://mercure.rocks/spec), thread-per-core.
//!
//! As a library it is two things: a whole hub inside another program, [`Hub`]; and the protocol's
//! values without a server, for programs that have a server already.
//!
//! ```
//! use petasos::sse::frame::Frame;
//! use petasos::mercure::audience::Authorization;
//! use petasos::mercure::grant::Grant;
//! use petasos::mercure::selector::Selector;
//! use petasos::mercure::token::{Algorithm, TokenRules, VerificationKey, sign};
//! use petasos::mercure::update::Update;
//!
//! // What a publisher posts, checked and encoded once for all its subscribers.
//! let body = b"topic=https://example.com/books/1&data=in+stock&id=42&private=on";
//! let random = [0; 16];
//! let update = Update::parse(body, Authorization::Selectors, random)?;
//! let frame = Frame::encode(update);
//! assert_eq!(frame.event(), b"id: 42\ndata: in stock\n\n");
//!
//! // What a subscriber selects, and what its token lets it have.
//! let selector = Selector::parse("https://example.com/books/{id}")?;
//! assert!(frame.topic_texts().any(|topic| selector.matches(topic)));
//! let key = VerificationKey::new(Algorithm::HS256, b"a key that nobody can guess, of 32 bytes or more")?;
//! let token = sign(
//!     &serde_json::json!({"mercure": {"subscribe": ["https://example.com/books/{id}"]}}),
//!     b"a key that nobody can guess, of 32 bytes or more",
//!     Algorithm::HS256,
//! )?;
//! let claims = key.verify(&token, 1_700_000_000, &TokenRules::Legacy)?;
//! let grant = Grant::from_claims(&claims, Authorization::Selectors)?;
//! assert!(grant.may_receive(frame.topic_texts(), frame.audience()));
//! assert!(!Grant::anonymous().may_receive(frame.topic_texts(), frame.audience()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Everything else belongs to the binary. The feature `internals` opens it to the tests and benches
//! of this repository; it promises nothing.

#[doc(hidden)]
pub mod cli;
mod embed;
mod io;
pub mod limits;
mod logging;
pub mod mercure;
mod panics;
mod shrink;
pub mod sse;

#[cfg(not(feature = "internals"))]
mod api;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod api;
#[cfg(not(feature = "internals"))]
mod config;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod config;
#[cfg(not(feature = "internals"))]
mod error_text;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod error_text;
#[cfg(not(feature = "internals"))]
mod history;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod history;
#[cfg(not(feature = "internals"))]
mod http;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod http;
#[cfg(not(feature = "internals"))]
mod hub;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod hub;
#[cfg(not(feature = "internals"))]
mod ops;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod ops;
#[cfg(not(feature = "internals"))]
mod redact;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod redact;
#[cfg(not(feature = "internals"))]
mod ring;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod ring;
#[cfg(not(feature = "internals"))]
mod server;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod server;
#[cfg(not(feature = "internals"))]
mod services;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod services;
#[cfg(not(feature = "internals"))]
mod time;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod time;

pub use embed::{Builder, Hub, PublishError, StartError};
pub use history::redb::OpenError;
pub use mercure::event_id::EventId;
pub use mercure::update::{Draft, UpdateError};
pub use server::error::RunError;
pub use server::receipt::{CommitError, Receipt};
