//! Goal: no URI Templates of strangers make the updates of others late, however many there are and
//! on whatever connections.
//!
//! Method: templates that begin with an expression and have no text in common stay possible on
//! every byte of a topic ([`super::costly`]).

use crate::hostile::costly::{self, Costly};

pub(super) const SHAPES: [Costly; 4] = [
    Costly::template("{+a:A,b:B,c:8,d:22}"),
    Costly::template("{+aA}x{bB}"),
    Costly::template("{aA}{+bB}"),
    Costly::template("{+aA*,bB:7}"),
];

#[test]
fn one_costly_subscription_delays_nobody() {
    costly::one_of_each("templates", &[], &SHAPES);
}

#[test]
fn many_costly_subscriptions_from_many_addresses_delay_nobody() {
    costly::many_addresses("templates", &[], SHAPES[0]);
}

#[test]
fn costly_streams_of_one_http2_connection_delay_nobody() {
    costly::one_connection("templates", &[], SHAPES[0]);
}

#[test]
fn costly_streams_of_several_http2_connections_delay_nobody() {
    costly::several_connections("templates", &[], &SHAPES);
}

#[test]
fn costly_subscriptions_that_come_and_go_delay_nobody_and_their_price_is_given_back() {
    costly::come_and_go("templates", &[], SHAPES[1]);
}
