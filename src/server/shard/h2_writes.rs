//! Sends to many HTTP/2 connections at once.

use std::cell::Ref;
use std::ops::Range;

use slab::Slab;

use super::action::ConnAction;
use super::connected::{ConnState, Connected};
use crate::io::driver::{Driver, Send};
use crate::io::transport::{Prepared, Transport};
use crate::limits::FLUSH_BYTES_MAX;
use crate::server::http2::Http2Conn;
use crate::sse::wire::Sent;

/// Sends what these connections have collected, and corrects what is to be done with them next.
pub(super) fn send_collected(
    mut polled: &mut [(u32, ConnAction)],
    connections: &mut Slab<Connected>,
    driver: &mut dyn Driver,
) {
    while !polled.is_empty() {
        let done = send_some(polled, connections, driver);
        polled = &mut polled[done..];
    }
}

/// As [`send_collected`], but of no more than [`FLUSH_BYTES_MAX`] bytes and one connection; returns
/// the number of connections.
fn send_some(
    polled: &mut [(u32, ConnAction)],
    connections: &mut Slab<Connected>,
    driver: &mut dyn Driver,
) -> usize {
    let mut sealed = Vec::new();
    let mut collected = Vec::with_capacity(polled.len());
    let mut done = 0;
    for (index, (number, _)) in polled.iter().enumerate() {
        if let Some(prepared) = conn_of(connections, *number).and_then(|conn| conn.prepare(&mut sealed)) {
            collected.push((index, prepared));
        }
        done = index + 1;
        if sealed.len() >= FLUSH_BYTES_MAX {
            break;
        }
    }
    let mut results = Vec::with_capacity(collected.len());
    make_sends(polled, &collected, &sealed, connections, driver, &mut results);
    let mut results = results.into_iter();
    for (index, prepared) in collected {
        let (number, action) = &mut polled[index];
        let Some(conn) = conn_of(connections, *number) else { continue };
        let sent = match &prepared {
            Prepared::Sealed(_) => results.next().unwrap_or(Sent::Gone),
            Prepared::Sent(sent) => *sent,
        };
        if !conn.sent(prepared, &sealed, sent) {
            *action = ConnAction::Closes;
        } else if conn.is_blocked() && !conn.is_closed() && matches!(action, ConnAction::Ends) {
            // It was idle but for these bytes.
            *action = ConnAction::Waits;
        }
    }
    done
}

/// Makes the sends of what was prepared, and appends their results.
fn make_sends(
    polled: &[(u32, ConnAction)],
    collected: &[(usize, Prepared)],
    sealed: &[u8],
    connections: &Slab<Connected>,
    driver: &mut dyn Driver,
    results: &mut Vec<Sent>,
) {
    let transport = |(index, prepared): &(usize, Prepared)| {
        let Prepared::Sealed(part) = prepared else { return None };
        let ConnState::Http2(conn) = &connections.get(polled[*index].0 as usize)?.state else { return None };
        Some((conn.transport(), part.clone()))
    };
    let parts: Vec<(Ref<'_, Transport>, Range<usize>)> = collected.iter().filter_map(transport).collect();
    let sends = parts.iter().map(|(to, part)| Send { socket: to.socket(), bytes: &sealed[part.clone()] });
    driver.send_all(&sends.collect::<Vec<_>>(), results);
}

fn conn_of(connections: &mut Slab<Connected>, number: u32) -> Option<&mut Http2Conn> {
    match &mut connections.get_mut(number as usize)?.state {
        ConnState::Http2(conn) => Some(conn),
        _ => None,
    }
}
