//! petasos: a hub for the [Mercure protocol](https://mercure.rocks/spec), thread-per-core on
//! io_uring.
//!
//! As a library it is two things: a whole hub inside another program, [`Hub`]; and the protocol's
//! values without a server, for programs that have a server already.
//!
//! ```
//! use petasos::sse::frame::Frame;
//! use petasos::mercure::grant::{Authorization, Grant};
//! use petasos::mercure::selector::Selector;
//! use petasos::mercure::token::{Algorithm, VerificationKey, sign};
//! use petasos::mercure::update::Update;
//!
//! // What a publisher posts, checked and encoded once for all its subscribers.
//! let body = b"topic=https://example.com/books/1&data=in+stock&id=42&private=on";
//! let random = [0; 16];
//! let update = Update::parse(body, Authorization::Selectors, random)?;
//! let frame = Frame::encode(&update);
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
//! let grant = Grant::from_claims(&key.verify(&token, 1_700_000_000)?, Authorization::Selectors)?;
//! assert!(grant.may_receive(frame.topic_texts(), frame.audience()));
//! assert!(!Grant::anonymous().may_receive(frame.topic_texts(), frame.audience()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The dependency rule: `protocol` ← `http` ← `hub` ← `runtime` ← `config` ← `embed`, `main`.
//! `ring` knows only the type that it carries; `history` knows the frame and the event id. No
//! dependency goes the other way, and only `runtime` touches a socket, a clock or a thread.
//! `tests/tidy.rs` checks this; `docs/ARCHITECTURE.md` has a diagram.

pub mod api;
pub mod config;
mod embed;
pub mod error_text;
pub mod history;
pub mod http;
pub mod hub;
mod io;
pub mod limits;
pub mod mercure;
pub mod ops;
pub mod ring;
pub mod server;
pub mod services;
pub mod sse;
pub mod time;

pub use embed::{Builder, Hub, PublishError, StartError};
pub use history::redb::OpenError;
pub use mercure::event_id::EventId;
pub use mercure::update::{Draft, UpdateError};
pub use server::error::RunError;
pub use server::receipt::{CommitError, Receipt};
