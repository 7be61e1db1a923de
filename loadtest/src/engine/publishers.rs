//! The publishers, and the publication of each stream of the book.

use std::collections::VecDeque;

use super::error::EngineError;
use super::shared::{Route, SharedConnections};
use crate::net::{Interest, Poll};
use crate::publisher::{PublishError, PublishResult, Publisher};
use crate::wire::http2::Event;
use crate::wire::request::Publication;
use crate::wire::stamp::Stamp;

/// Marks the key of a publisher in the epoll set, and that of its requests.
pub(super) const PUBLISHER: u64 = 1 << 32;

/// All publishers, by number.
pub(super) struct Publishers {
    route: Route,
    /// The number of publishers that share an HTTP/2 connection; `None` for HTTP/1.1.
    streams_per_connection: Option<usize>,
    publishers: Vec<Publisher>,
    /// The numbers of the connections that publishers share, in order.
    homes: Vec<usize>,
    /// The publication of each stream, complete except for the stamp.
    publications: Vec<Publication>,
    /// Publishers whose last publication was answered.
    idle: VecDeque<usize>,
}

impl Publishers {
    /// No publisher.
    pub(super) fn new(route: Route, streams_per_connection: Option<usize>) -> Self {
        Self {
            route,
            streams_per_connection,
            publishers: Vec::new(),
            homes: Vec::new(),
            publications: Vec::new(),
            idle: VecDeque::new(),
        }
    }

    /// The number of publishers.
    pub(super) fn len(&self) -> usize {
        self.publishers.len()
    }

    /// The number of publications that await their answer.
    pub(super) fn unanswered(&self) -> usize {
        self.publishers.len() - self.idle.len()
    }

    /// The number of the next stream.
    pub(super) fn next_stream(&self) -> u32 {
        u32::try_from(self.publications.len()).unwrap_or(u32::MAX)
    }

    /// Sets the publication of the next stream.
    pub(super) fn add_publication(&mut self, publication: Publication) {
        self.publications.push(publication);
    }

    /// Adds a publisher, on its own connection or on one that publishers share.
    pub(super) fn add(&mut self, poll: &Poll, shared: &mut SharedConnections) -> Result<(), EngineError> {
        let number = self.publishers.len();
        self.publishers.push(Publisher::new(self.route.address, self.route.tls.clone()));
        match self.streams_per_connection {
            None => self.connect(poll, number)?,
            Some(streams) if number.is_multiple_of(streams) => {
                self.homes.push(shared.start(poll, self.route.clone())?);
            }
            Some(_) => {}
        }
        self.idle.push_back(number);
        Ok(())
    }

    /// Takes the publisher that has been idle for the longest time, so that all connections are
    /// used.
    pub(super) fn take_idle(&mut self) -> Option<usize> {
        self.idle.pop_front()
    }

    /// Connects a publisher to be used next, unless it is connected or shares a connection.
    pub(super) fn connect(&mut self, poll: &Poll, number: usize) -> Result<(), EngineError> {
        if self.streams_per_connection.is_some() {
            return Ok(());
        }
        match self.publishers[number].connect()? {
            Some(socket) => {
                poll.add(socket, PUBLISHER | number as u64, Interest::Read).map_err(EngineError::Poll)
            }
            None => Ok(()),
        }
    }

    /// Sends the publication of the stream in `stamp` through a connected publisher.
    pub(super) fn publish(
        &mut self,
        poll: &Poll,
        shared: &mut SharedConnections,
        number: usize,
        stamp: Stamp,
    ) -> Result<(), EngineError> {
        let publication = &mut self.publications[stamp.stream as usize];
        publication.stamp(&stamp);
        let publisher = &mut self.publishers[number];
        publisher.begin(stamp);
        match self.streams_per_connection {
            None => Ok(publisher.send(publication.request())?),
            Some(streams) => {
                let (home, key) = (self.homes[number / streams], PUBLISHER | number as u64);
                shared.request(poll, home, key, publication.request()).map(|_| ())
            }
        }
    }

    /// Reads available bytes of a publisher's own connection; returns its answer when it is
    /// complete.
    pub(super) fn ready(&mut self, number: usize) -> Result<Option<PublishResult>, PublishError> {
        self.publishers[number].ready()
    }

    /// Takes a part of its answer over a shared connection; returns the answer when it is complete.
    pub(super) fn receive(
        &mut self,
        number: usize,
        event: Event,
    ) -> Result<Option<PublishResult>, PublishError> {
        self.publishers[number].receive(event)
    }

    /// Makes a publisher idle whose publication was answered. Returns the stamp of the publication,
    /// and the server's name for itself.
    pub(super) fn answered(&mut self, number: usize) -> (Stamp, Option<String>) {
        self.idle.push_back(number);
        let publisher = &mut self.publishers[number];
        (publisher.answered(), publisher.take_server())
    }
}
