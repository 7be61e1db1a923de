//! The generator's record of updates in flight: counts, latencies, and missing deliveries.

use std::collections::VecDeque;
use std::ops::Range;

use hdrhistogram::Histogram;

use crate::ledger::{Delivery, Ledger, Tally};
use crate::wire::stamp::{PADDING, STAMP_BYTES, Stamp, json};

/// The longest latency that is recorded exactly, in nanoseconds.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// The length of one step of [`Times::per_step`], in nanoseconds.
pub(crate) const STEP_NS: u64 = 100_000_000;
/// The maximum number of steps: ten minutes. Later deliveries count in the last step.
const STEPS_MAX: u64 = 6_000;

/// Latencies in nanoseconds, counted from the time a publication was due, not from when it was
/// sent.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    /// From the publication to each delivery.
    pub(crate) receive: Histogram<u64>,
    /// From the publication to the first delivery of an update.
    pub(crate) first: Histogram<u64>,
    /// From the publication to the last delivery of an update.
    pub(crate) last: Histogram<u64>,
    /// From the publication to the hub's answer.
    pub(crate) answer: Histogram<u64>,
    /// The delay of the generator itself.
    pub(crate) lag: Histogram<u64>,
    /// Start of the measurement, on the run's clock.
    started_ns: u64,
    /// Deliveries in each [`STEP_NS`] since then.
    pub(crate) per_step: Vec<u64>,
}

/// A histogram of latencies in nanoseconds.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3).expect("bounds that are constant and valid")
}

impl Times {
    fn new(started_ns: u64) -> Self {
        Self {
            receive: histogram(),
            first: histogram(),
            last: histogram(),
            answer: histogram(),
            lag: histogram(),
            started_ns,
            per_step: Vec::new(),
        }
    }

    /// Adds the latencies of another round; the steps stay those of the first round.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (mine, others) in [
            (&mut self.receive, &other.receive),
            (&mut self.first, &other.first),
            (&mut self.last, &other.last),
            (&mut self.answer, &other.answer),
            (&mut self.lag, &other.lag),
        ] {
            mine.add(others).expect("histograms of the same bounds");
        }
    }

    fn received(&mut self, now_ns: u64, due_ns: u64) {
        self.receive.saturating_record(now_ns.saturating_sub(due_ns));
        let step = (now_ns.saturating_sub(self.started_ns) / STEP_NS).min(STEPS_MAX - 1) as usize;
        if step >= self.per_step.len() {
            self.per_step.resize(step + 1, 0);
        }
        self.per_step[step] += 1;
    }
}

/// One subscriber as the book sees it.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    /// Its first cursor; it has one cursor for each stream in `streams`.
    pub(crate) cursor: usize,
    /// The streams that it may receive; any other delivery is misdelivered.
    pub(crate) streams: Range<u32>,
    /// Its deliveries are checked, but its latencies are not measured and nothing waits for it.
    pub(crate) background: bool,
}

/// An update that was published.
#[derive(Debug)]
struct Flight {
    due_ns: u64,
    /// Time of its first delivery; 0 before.
    first_ns: u64,
    /// Deliveries that measured readers still lack.
    left: u32,
    refused: bool,
}

#[derive(Debug, Default)]
struct Stream {
    published: u64,
    /// The sequence number of the first entry of `flights`.
    base: u64,
    flights: VecDeque<Flight>,
    readers: u64,
    measured: u32,
    /// Length of the data of each update, in bytes.
    data_bytes: usize,
}

/// The book of one run.
#[derive(Debug)]
pub(crate) struct Book {
    run: u32,
    /// The stamp may be anywhere in the data; the bytes around it are not checked.
    wraps_data: bool,
    padding: Vec<u8>,
    is_json: bool,
    ledger: Ledger,
    streams: Vec<Stream>,
    open: u64,
    tally: Tally,
    /// Length of the longest event delivered, in bytes.
    event_bytes: usize,
    pub(crate) times: Times,
}

impl Book {
    /// A book of `streams` streams; `run` marks its updates. `wraps_data`: the stamp may be
    /// anywhere in the received data.
    pub(crate) fn new(run: u32, streams: u32, wraps_data: bool) -> Self {
        Self {
            run: run % 100_000_000,
            wraps_data,
            padding: Vec::new(),
            is_json: false,
            ledger: Ledger::default(),
            streams: (0..streams).map(|_| Stream::default()).collect(),
            open: 0,
            tally: Tally::default(),
            event_bytes: 0,
            times: Times::new(0),
        }
    }

    /// Records that the data of each update of `stream` is `data_bytes` long.
    pub(crate) fn set_data_bytes(&mut self, stream: u32, data_bytes: usize) {
        self.streams[stream as usize].data_bytes = data_bytes;
        let padding = self.padding.len().max(data_bytes.saturating_sub(STAMP_BYTES));
        if self.is_json {
            self.padding = json(padding);
        } else {
            self.padding.resize(padding, PADDING);
        }
    }

    /// From now on the data after the stamps is JSON.
    pub(crate) fn publish_json(&mut self) {
        self.is_json = true;
    }

    /// The data after the stamps, as long as the longest update needs.
    pub(crate) fn padding(&self) -> &[u8] {
        &self.padding
    }

    /// Adds a reader of `streams`, which expects every later publication.
    pub(crate) fn join(&mut self, streams: Range<u32>, background: bool) -> Reader {
        let mut first = 0;
        for number in streams.clone().rev() {
            let stream = &mut self.streams[number as usize];
            stream.readers += 1;
            stream.measured += u32::from(!background);
        }
        for number in streams.clone() {
            let cursor = self.ledger.join(self.streams[number as usize].published);
            if number == streams.start {
                first = cursor;
            }
        }
        Reader { cursor: first, streams, background }
    }

    /// Adds a reader of `streams`, which expects every earlier and later publication on them. None
    /// of them may have been refused. Nothing waits until it has received the earlier ones.
    pub(crate) fn join_from_start(&mut self, streams: Range<u32>, background: bool) -> Reader {
        let reader = self.join(streams.clone(), background);
        for (at, number) in streams.enumerate() {
            self.ledger.rewind(reader.cursor + at);
            self.tally.expected += self.streams[number as usize].published;
        }
        reader
    }

    /// Records a publication on `stream` that is due at `due_ns`, and returns its stamp.
    pub(crate) fn publish(&mut self, stream: u32, due_ns: u64) -> Stamp {
        let entry = &mut self.streams[stream as usize];
        let sequence = entry.published;
        entry.published += 1;
        entry.flights.push_back(Flight { due_ns, first_ns: 0, left: entry.measured, refused: false });
        self.open += u64::from(entry.measured > 0);
        self.tally.published += 1;
        self.tally.expected += entry.readers;
        Stamp { run: self.run, stream, sequence, due_ns }
    }

    /// Records that the hub refused a publication: no delivery of it is expected.
    pub(crate) fn refuse(&mut self, stream: u32, sequence: u64) {
        let entry = &mut self.streams[stream as usize];
        self.tally.published -= 1;
        self.tally.refused += 1;
        self.tally.expected -= entry.readers;
        if let Some(flight) =
            sequence.checked_sub(entry.base).and_then(|at| entry.flights.get_mut(at as usize))
        {
            self.open -= u64::from(flight.left > 0);
            flight.left = 0;
            flight.refused = true;
        }
    }

    /// Records a stream that ended while the generator wanted it open.
    pub(crate) fn disconnect(&mut self) {
        self.tally.disconnected += 1;
    }

    /// Records data that a reader received at `now_ns`, in an event of `event_bytes`.
    pub(crate) fn deliver_event(&mut self, reader: &Reader, data: &[u8], event_bytes: usize, now_ns: u64) {
        let received = self.tally.received;
        self.deliver(reader, data, now_ns);
        if self.tally.received > received {
            self.event_bytes = self.event_bytes.max(event_bytes);
        }
    }

    /// Records data that a reader received at `now_ns`.
    fn deliver(&mut self, reader: &Reader, data: &[u8], now_ns: u64) {
        let stamp = Stamp::read(data).filter(|stamp| stamp.run == self.run);
        let stamp = stamp.or_else(|| self.wraps_data.then(|| Stamp::find(data, self.run)).flatten());
        let Some(stamp) = stamp else { return };
        if !reader.streams.contains(&stamp.stream) {
            self.tally.misdelivered += 1;
            return;
        }
        let stream = &mut self.streams[stamp.stream as usize];
        let flight =
            stamp.sequence.checked_sub(stream.base).and_then(|at| stream.flights.get_mut(at as usize));
        if stamp.sequence >= stream.published || flight.as_ref().is_some_and(|flight| flight.refused) {
            self.tally.misdelivered += 1;
            return;
        }
        let padding = &self.padding[..stream.data_bytes.saturating_sub(STAMP_BYTES)];
        if !self.wraps_data && data[STAMP_BYTES..] != *padding {
            self.tally.corrupted += 1;
            return;
        }
        let cursor = reader.cursor + (stamp.stream - reader.streams.start) as usize;
        match self.ledger.record(cursor, stamp.sequence) {
            Delivery::InOrder => {}
            Delivery::Late => self.tally.out_of_order += 1,
            Delivery::Duplicate => {
                self.tally.duplicated += 1;
                return;
            }
        }
        self.tally.received += 1;
        if reader.background {
            return;
        }
        self.times.received(now_ns, stamp.due_ns);
        let Some(flight) = flight else { return };
        if flight.first_ns == 0 {
            flight.first_ns = now_ns;
            self.times.first.saturating_record(now_ns.saturating_sub(flight.due_ns));
        }
        flight.left = flight.left.saturating_sub(1);
        if flight.left == 0 {
            self.open -= 1;
            self.times.last.saturating_record(now_ns.saturating_sub(flight.due_ns));
            stream.close_finished();
        }
    }

    /// Length of the data of an update in bytes, the longest of all streams; 0 without streams.
    pub(crate) fn data_bytes(&self) -> usize {
        self.streams.iter().map(|stream| stream.data_bytes).max().unwrap_or(0)
    }

    /// Length of the longest event delivered, in bytes, with its framing in the stream; 0 before.
    pub(crate) fn event_bytes(&self) -> usize {
        self.event_bytes
    }

    /// Updates that at least one measured reader still lacks.
    pub(crate) fn open(&self) -> u64 {
        self.open
    }

    /// Stops waiting for the updates in flight; their missing deliveries stay lost.
    pub(crate) fn give_up(&mut self) {
        self.open = 0;
        for stream in &mut self.streams {
            stream.base = stream.published;
            stream.flights.clear();
        }
    }

    /// The counts so far. Every expected delivery that has not come counts as lost.
    pub(crate) fn tally(&self) -> Tally {
        Tally { lost: self.tally.expected.saturating_sub(self.tally.received), ..self.tally }
    }

    /// Forgets the latencies so far, at the end of a warm-up at `now_ns`.
    pub(crate) fn forget_times(&mut self, now_ns: u64) {
        self.times = Times::new(now_ns);
    }
}

impl Stream {
    fn close_finished(&mut self) {
        while self.flights.front().is_some_and(|flight| flight.left == 0 && !flight.refused) {
            self.flights.pop_front();
            self.base += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(stamp: Stamp) -> Vec<u8> {
        let mut data = Vec::new();
        stamp.append(64, &mut data);
        data
    }

    fn book(streams: u32) -> Book {
        let mut book = Book::new(7, streams, false);
        (0..streams).for_each(|stream| book.set_data_bytes(stream, 64));
        book
    }

    #[test]
    fn first_and_last_are_counted_from_when_the_update_was_due() {
        let mut book = book(1);
        let (one, two) = (book.join(0..1, false), book.join(0..1, false));
        let update = data(book.publish(0, 1_000));
        book.deliver(&one, &update, 3_000);
        assert_eq!((book.open(), book.times.first.max(), book.times.last.len()), (1, 2_000, 0));
        book.deliver(&two, &update, 5_000);
        assert_eq!((book.open(), book.times.receive.len(), book.times.last.len()), (0, 2, 1));
        assert!(book.tally().is_sound());
    }

    #[test]
    fn what_did_not_come_is_lost_and_what_came_to_others_is_misdelivered() {
        let mut book = book(2);
        let (one, two) = (book.join(0..1, false), book.join(1..2, true));
        let update = data(book.publish(0, 0));
        book.deliver(&two, &update, 1);
        let tally = book.tally();
        assert_eq!((tally.expected, tally.received, tally.lost, tally.misdelivered), (1, 0, 1, 1));
        book.deliver(&one, &update, 1);
        book.deliver(&one, &update, 1);
        assert_eq!((book.tally().lost, book.tally().duplicated), (0, 1));
    }

    #[test]
    fn nobody_may_receive_a_refused_update_and_nobody_waits_for_it() {
        let mut book = book(1);
        let one = book.join(0..1, false);
        let stamp = book.publish(0, 0);
        book.refuse(0, stamp.sequence);
        assert_eq!((book.open(), book.tally().expected, book.tally().lost), (0, 0, 0));
        book.deliver(&one, &data(stamp), 1);
        assert_eq!(book.tally().misdelivered, 1);
    }

    #[test]
    fn a_reader_that_joins_later_lacks_nothing_of_before() {
        let mut book = book(1);
        let early = book.join(0..1, false);
        let first = data(book.publish(0, 0));
        book.deliver(&early, &first, 1);
        let late = book.join(0..1, false);
        let second = data(book.publish(0, 0));
        book.deliver(&early, &second, 2);
        book.deliver(&late, &second, 2);
        assert!(book.tally().is_sound());
        assert_eq!(book.open(), 0);
    }

    #[test]
    fn a_reader_from_the_start_lacks_everything_of_before() {
        let mut book = book(2);
        let (first, second) = (data(book.publish(0, 0)), data(book.publish(1, 0)));
        book.give_up();
        let reader = book.join_from_start(0..2, false);
        assert_eq!((book.tally().expected, book.open()), (2, 0));
        book.deliver(&reader, &first, 1);
        assert_eq!(book.tally().lost, 1);
        book.deliver(&reader, &second, 1);
        book.deliver(&reader, &second, 1);
        let tally = book.tally();
        assert_eq!((tally.lost, tally.duplicated, tally.out_of_order), (0, 1, 0));
    }

    #[test]
    fn updates_of_another_run_are_not_ours() {
        let mut book = book(1);
        let one = book.join(0..1, false);
        book.deliver(&one, &data(Stamp { run: 8, stream: 0, sequence: 0, due_ns: 0 }), 1);
        assert_eq!(book.tally(), Tally::default());
    }

    #[test]
    fn data_that_are_not_what_was_published_are_corrupted_and_lost() {
        let mut book = book(1);
        let one = book.join(0..1, false);
        let update = data(book.publish(0, 0));
        let mut spoilt = update.clone();
        spoilt[63] = b'y';
        for wrong in [&spoilt[..], &update[..63], &[&update[..], b"x"].concat()] {
            book.deliver(&one, wrong, 1);
        }
        assert_eq!((book.tally().corrupted, book.tally().lost), (3, 1));
    }

    #[test]
    fn wrapped_data_are_found_where_wrapping_is_allowed_alone() {
        for wraps_data in [false, true] {
            let mut book = Book::new(7, 1, wraps_data);
            let one = book.join(0..1, false);
            let wrapped = [br#"{"data":""#.to_vec(), data(book.publish(0, 0)), b"\"}".to_vec()].concat();
            book.deliver(&one, &wrapped, 1);
            assert_eq!(book.tally().is_sound(), wraps_data);
        }
    }

    #[test]
    fn deliveries_are_counted_over_time_from_the_end_of_the_warm_up() {
        let mut book = book(1);
        let one = book.join(0..1, false);
        for _ in 0..3 {
            let update = data(book.publish(0, 0));
            book.deliver(&one, &update, 1);
        }
        book.forget_times(STEP_NS);
        for at_ns in [STEP_NS, STEP_NS + 1, 3 * STEP_NS] {
            let update = data(book.publish(0, 0));
            book.deliver(&one, &update, at_ns);
        }
        assert_eq!(book.times.per_step, [2, 0, 1]);
    }
}
