//! The librarian: a thread for each shard that reads the history, which may block, so that the shard never does.
//!
//! Questions and answers go over bounded queues, and the bell tells the shard of an answer: nothing of it depends on the
//! executor's own turns. A panic ends the process, as that of any thread does.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::wake::Bell;
use crate::history::{HistoryError, HistoryReader, Origin, Resume, Stretch, resolve};
use crate::hub::shard::Read;
use crate::limits::{CATCH_UP_BYTES, CATCH_UP_UPDATES, HISTORY_QUESTIONS_MAX};

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
        // Answers that are not taken count too, so that their queue keeps its bound.
        if self.answers.len() >= HISTORY_QUESTIONS_MAX {
            return Err(HistoryError("too many answers of the history wait".to_owned()));
        }
        self.questions
            .try_send(question)
            .map_err(|_| HistoryError("too many reads of the history wait".to_owned()))
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
