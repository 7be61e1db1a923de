//! The driver of the simulation: sockets, their events and the time are those of a network in
//! memory. Whatever a kernel may choose, a seed of the test chooses ([`SimChoices`]).
//!
//! - A send takes what the socket has room for, and an event reports room only as a kernel would:
//!   after a send that found the socket full.
//! - Events come in any order, late, together, or for no reason; each edge is reported once.
//! - Other threads of a hub are steps that the test makes, also in the middle of a round
//!   ([`SimBetween`]).

mod choices;
mod driver;
mod network;

pub(crate) use choices::{SimBetween, SimChoices, SimTime};
pub(crate) use driver::SimDriver;
pub use network::SimClientState;
pub(crate) use network::{SimNetwork, SimSocket};
