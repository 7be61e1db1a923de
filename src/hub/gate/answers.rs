//! The answers to what the gate did not decide itself, and what belongs on every answer.

use super::{Answer, Gate, Passage, RETRY_AFTER_FULL_S, Refused};
use crate::http::refusal::Refusal;
use crate::http::response::Response;
use crate::http::status::Status;
use crate::hub::reason::{Lack, Reason};
use crate::protocol::frame::Frame;

impl Gate {
    /// The answer to an update that is stored and in its place.
    pub fn published(&self, frame: &Frame, passage: Passage) -> Answer {
        self.complete(Answer { response: Response::published(frame.id()), reason: None }, passage)
    }

    /// The answer when the hub cannot do it now; nothing was done.
    pub fn unavailable(&self, lack: Lack, reason: &str, passage: Passage) -> Answer {
        self.refuse(Refused::unavailable(lack, reason), passage)
    }

    /// The answer to a request that cannot be read.
    pub fn refused(&self, refusal: Refusal, passage: Passage) -> Answer {
        self.refuse(Refused::new(Response::refusal(refusal), refusal), passage)
    }

    /// The answer to a request that did not arrive in time.
    pub fn timed_out(&self, passage: Passage) -> Answer {
        let text = "Request Timeout: the request did not arrive in time";
        self.refuse(Refused::new(Response::text(Status::RequestTimeout, text), "timeout"), passage)
    }

    /// The answer to a request that has met a defect.
    pub fn failed(&self, passage: Passage) -> Answer {
        let response = Response::status_only(Status::InternalServerError);
        self.refuse(Refused::new(response, "a defect of the hub"), passage)
    }

    /// The answer to a client that has its share of what it asks for.
    pub fn too_many(&self, reason: &str, passage: Passage) -> Answer {
        let response = Response::too_many(RETRY_AFTER_FULL_S);
        self.refuse(Refused { response, reason: Reason::lacking(Lack::Share, reason) }, passage)
    }

    /// The answer when the hub holds as many connections as it may.
    pub fn full(&self, reason: &str) -> Answer {
        let response = Response::unavailable(RETRY_AFTER_FULL_S);
        self.refuse(Refused { response, reason: Reason::lacking(Lack::Places, reason) }, self.passage(None))
    }

    /// Adds to any answer what belongs to its request: the coding of a stream, cross-origin headers, and privacy when the
    /// URL held the token.
    pub fn complete(&self, mut answer: Answer, passage: Passage) -> Answer {
        if answer.response.is_stream() {
            answer.response.set_coding(passage.negotiated);
        }
        self.settings.cors.apply(passage.cors, &mut answer.response);
        if passage.has_token_in_url {
            answer.response.mark_private();
        }
        answer
    }

    pub(super) fn refuse(&self, refused: Refused, passage: Passage) -> Answer {
        let Refused { response, reason } = refused;
        self.complete(Answer { response, reason: Some(reason) }, passage)
    }
}
