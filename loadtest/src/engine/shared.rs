//! HTTP/2 connections: the streams of many subscribers share one, and the publications of many
//! publishers another.
//!
//! Each call of [`Engine::subscribe`] opens new connections and fills them in turn. Consecutive
//! subscribers use different ones if there are several.

use super::subscriber::{Phase, StreamTransport};
use super::{Engine, PUBLISHER, PublishResult, SHARED};
use crate::net::{Connection, Interest};
use crate::wire::http2::{Event, REFUSED_STREAM, Session};

/// A connection that streams share.
pub(super) struct Shared {
    /// `None` after it has ended.
    socket: Option<Connection>,
    session: Session,
    is_established: bool,
    /// The events that its socket is watched for.
    interest: Interest,
    /// The connection that replaced this one when it took no more streams.
    successor: Option<usize>,
}

impl Engine {
    /// Starts a connection to the subscribers' or the publishers' address, and returns its index.
    pub(super) fn start_shared(&mut self, for_publishers: bool) -> Result<usize, String> {
        let number = self.shared.len();
        let address = if for_publishers { self.wire.publishers() } else { self.wire.subscribers() };
        let tls = self.wire.tls.as_ref();
        let socket = Connection::start(address, number, None, tls)
            .map_err(|error| format!("connection {number} to {address}: {error}"))?;
        let interest = Interest::Write;
        self.poll
            .add(&socket, SHARED | number as u64, interest)
            .map_err(|error| format!("epoll: {error}"))?;
        let session = Session::new(tls.is_some());
        self.shared.push(Shared {
            socket: Some(socket),
            session,
            is_established: false,
            interest,
            successor: None,
        });
        Ok(number)
    }

    /// The connection `home`, or its replacement.
    fn usable(&mut self, home: usize, for_publishers: bool) -> Result<usize, String> {
        let mut number = home;
        while let Some(successor) = self.shared[number].successor {
            number = successor;
        }
        let shared = &self.shared[number];
        if shared.socket.is_some() && !shared.session.is_leaving() {
            return Ok(number);
        }
        let successor = self.start_shared(for_publishers)?;
        self.shared[number].successor = Some(successor);
        Ok(successor)
    }

    /// Opens the stream of a subscriber on its connection.
    pub(super) fn open_stream(&mut self, number: usize) -> Result<(), String> {
        let connection = self.usable(self.subscribers[number].home, false)?;
        let subscriber = &mut self.subscribers[number];
        let asked = &subscriber.subscription;
        let token = asked.token.as_deref();
        let request = self.wire.subscription(&asked.selector, &asked.further, token, subscriber.events.id());
        let is_long = asked.receive_bytes.is_none();
        let stream = self.shared[connection].session.request(number as u64, &request, is_long)?;
        subscriber.restart();
        subscriber.transport = StreamTransport::Shared { connection, stream };
        subscriber.phase = Phase::Head;
        self.pending += 1;
        self.flush(connection)
    }

    /// Resets a stream, unless it has ended.
    pub(super) fn cancel(&mut self, connection: usize, stream: u32) -> Result<(), String> {
        self.shared[connection].session.cancel(stream);
        self.flush(connection)
    }

    /// Stops refilling the window of a stream, or refills it again.
    pub(super) fn stall_stream(
        &mut self,
        connection: usize,
        stream: u32,
        is_stalled: bool,
    ) -> Result<(), String> {
        self.shared[connection].session.stall(stream, is_stalled);
        self.flush(connection)
    }

    /// Publishes through a shared connection. The publisher has already recorded the stamp.
    pub(super) fn publish_shared(
        &mut self,
        publisher: usize,
        stream: u32,
        streams_per_connection: usize,
    ) -> Result<(), String> {
        let home = self.publisher_homes[publisher / streams_per_connection];
        let connection = self.usable(home, true)?;
        let request = self.publications[stream as usize].request();
        self.shared[connection].session.request(PUBLISHER | publisher as u64, request, false)?;
        self.flush(connection)
    }

    /// Sends waiting bytes, as far as the socket takes them.
    fn flush(&mut self, number: usize) -> Result<(), String> {
        let Shared { socket, session, is_established, interest, .. } = &mut self.shared[number];
        let Some(socket) = socket.as_mut().filter(|_| *is_established) else { return Ok(()) };
        let mut wanted = Interest::Read;
        while !session.to_send().is_empty() || socket.is_holding() {
            // A broken connection is noticed when it is read.
            match socket.send(session.to_send()).unwrap_or(0) {
                0 if !session.to_send().is_empty() || socket.is_holding() => {
                    wanted = Interest::ReadWrite;
                    break;
                }
                sent => session.taken(sent),
            }
        }
        if *interest != wanted {
            *interest = wanted;
            let key = SHARED | number as u64;
            self.poll.change(&*socket, key, wanted).map_err(|error| format!("epoll: {error}"))?;
        }
        Ok(())
    }

    /// Handles a shared connection that is ready.
    pub(super) fn shared_ready(&mut self, number: usize) -> Result<(), String> {
        let shared = &mut self.shared[number];
        let Some(socket) = &mut shared.socket else { return Ok(()) };
        if !shared.is_established {
            socket.established().map_err(|error| format!("connection {number}: {error}"))?;
            shared.is_established = true;
            return self.flush(number);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let received = socket.receive(&mut buffer).unwrap_or(Some(0));
        let outcome = match received {
            None => self.flush(number),
            Some(0) => self.shared_ended(number),
            Some(bytes) => self.read_shared(number, &buffer[..bytes]).and_then(|()| self.flush(number)),
        };
        self.buffer = buffer;
        outcome.map_err(|fault| format!("connection {number}: {fault}"))
    }

    fn read_shared(&mut self, number: usize, bytes: &[u8]) -> Result<(), String> {
        let now_ns = self.now_ns();
        let mut input = bytes;
        while let Some(event) = self.shared[number].session.next(&mut input)? {
            match event {
                Event::Data { key, data, wire_bytes, ends } if key & PUBLISHER == 0 => {
                    self.wire_bytes += wire_bytes as u64;
                    let subscriber = key as usize;
                    self.subscribers[subscriber]
                        .read(data, now_ns, &mut self.book)
                        .map_err(|fault| format!("subscriber {subscriber}: {fault}"))?;
                    if ends {
                        self.ended(subscriber)?;
                    }
                }
                Event::Head { key, head, ends } if key & PUBLISHER == 0 => {
                    self.subscribers[key as usize].open(&head)?;
                    self.pending -= 1;
                    self.server = self.server.take().or(head.server);
                    if ends {
                        self.ended(key as usize)?;
                    }
                }
                Event::Reset { key, .. } if key & PUBLISHER == 0 => self.ended(key as usize)?,
                event => self.answer_shared(event)?,
            }
        }
        Ok(())
    }

    /// Handles a part of the answer to a publication.
    fn answer_shared(&mut self, event: Event<'_>) -> Result<(), String> {
        let (key, answer) = match event {
            Event::Head { key, head, ends } => {
                let publisher = &mut self.publishers[(key ^ PUBLISHER) as usize];
                publisher.begin_answer(head);
                (key, ends.then(|| publisher.end_answer()).transpose()?)
            }
            Event::Data { key, data, ends, .. } => {
                let publisher = &mut self.publishers[(key ^ PUBLISHER) as usize];
                publisher.go_on_with_answer(data)?;
                (key, ends.then(|| publisher.end_answer()).transpose()?)
            }
            Event::Reset { key, code: REFUSED_STREAM } => (key, Some(PublishResult::Refused)),
            Event::Reset { code, .. } => {
                return Err(format!("a publication was reset with error {code} instead of answered"));
            }
        };
        if let Some(answer) = answer {
            self.answered((key ^ PUBLISHER) as usize, answer);
        }
        Ok(())
    }

    /// Handles the end of a shared connection, which ends all its streams.
    fn shared_ended(&mut self, number: usize) -> Result<(), String> {
        let shared = &mut self.shared[number];
        shared.socket = None;
        for key in shared.session.unanswered() {
            if key & PUBLISHER != 0 {
                return Err("the hub closed a connection instead of answering a publication".to_owned());
            }
            self.ended(key as usize)?;
        }
        Ok(())
    }
}
