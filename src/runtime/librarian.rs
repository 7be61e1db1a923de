//! The librarian: a thread for each shard that reads the history, which may block, so that the shard never does.
//!
//! Questions and answers go over bounded queues, and the bell tells the shard of an answer: nothing of it depends on the
//! executor's own turns. A panic ends the process, as that of any thread does.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::wake::Bell;
use crate::history::{HistoryError, HistoryReader, Origin, Resume, Stretch, resolve};
use crate::hub::shard::Read;
use crate::limits::{CATCH_UP_BYTES, CATCH_UP_UPDATES, HISTORY_QUESTIONS_MAX, HISTORY_READS_MAX};

/// What a shard asks.
pub(super) enum Question {
    /// The next stretch for a subscriber that catches up.
    Read(Read),
    /// Where a subscription begins.
    Resolve { connection: u32, serial: u32, resume: Resume },
}

/// What the history says.
pub(super) enum Answer {
    Read(Read, Result<Stretch, HistoryError>),
    Resolved { connection: u32, serial: u32, origin: Result<Origin, HistoryError> },
}

/// The shard's end.
pub(super) struct Librarian {
    questions: Sender<Question>,
    answers: Receiver<Answer>,
}

/// The thread's end.
pub(super) struct Desk {
    questions: Receiver<Question>,
    answers: Sender<Answer>,
    history: Arc<dyn HistoryReader>,
    bell: Arc<Bell>,
}

/// Both ends.
pub(super) fn open(history: Arc<dyn HistoryReader>, bell: Arc<Bell>) -> (Librarian, Desk) {
    let (ask, questions) = bounded(HISTORY_QUESTIONS_MAX);
    // As many answers as questions, and the one in hand: the thread never waits for room.
    let (answers, hear) = bounded(2 * HISTORY_QUESTIONS_MAX + 1);
    (Librarian { questions: ask, answers: hear }, Desk { questions, answers, history, bell })
}

impl Librarian {
    /// Asks, without waiting.
    ///
    /// # Errors
    /// Too many questions wait already.
    pub(super) fn ask(&self, question: Question) -> Result<(), HistoryError> {
        // Lookups leave room for the reads, of which a shard has a bounded number under way: a crowd that comes back must
        // not end the streams of those that catch up. Answers that are not taken count too, so that their queue keeps its
        // bound.
        let lookups_max = HISTORY_QUESTIONS_MAX - HISTORY_READS_MAX;
        let waiting = self.questions.len().max(self.answers.len());
        if matches!(question, Question::Resolve { .. }) && waiting >= lookups_max {
            return Err(HistoryError("too many lookups in the history wait".to_owned()));
        }
        self.questions
            .try_send(question)
            .map_err(|_| HistoryError("too many questions for the history wait".to_owned()))
    }

    /// The next answer, if there is one.
    pub(super) fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }

    pub(super) fn has_answer(&self) -> bool {
        !self.answers.is_empty()
    }
}

impl Desk {
    /// Answers until the shard is gone.
    pub(super) fn run(self) {
        for question in &self.questions {
            let answer = match question {
                Question::Read(read) => {
                    Answer::Read(read, self.history.read(read.after, CATCH_UP_UPDATES, CATCH_UP_BYTES))
                }
                Question::Resolve { connection, serial, resume } => {
                    Answer::Resolved { connection, serial, origin: resolve(&*self.history, &resume) }
                }
            };
            if self.answers.send(answer).is_err() {
                return;
            }
            self.bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::memory::MemoryHistory;
    use crate::history::{History as _, Position, Retention};

    #[test]
    fn a_crowd_that_comes_back_leaves_room_for_those_that_catch_up() {
        let history = MemoryHistory::new(Retention::default());
        let (librarian, desk) = open(history.reader(), Arc::new(Bell::new().expect("a bell")));
        let lookup = || Question::Resolve { connection: 0, serial: 0, resume: Resume::Earliest };
        let mut lookups = 0;
        while librarian.ask(lookup()).is_ok() {
            lookups += 1;
            assert!(lookups <= HISTORY_QUESTIONS_MAX);
        }
        for slot in 0..HISTORY_READS_MAX as u32 {
            let read = Read { slot, generation: 0, after: Position::START };
            assert_eq!(librarian.ask(Question::Read(read)), Ok(()), "the {slot}th");
        }
        drop(desk);
    }
}
