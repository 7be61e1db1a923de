//! Responses to the events that the handler did not decide, and the headers of every response.

use http::StatusCode;

use super::RequestHandler;
use super::decision::{ApiResponse, RETRY_AFTER_LIMIT_S, Refused, ResponseContext};
use crate::api::refusal::{Refusal, Unavailable};
use crate::http::request_error::RequestError;
use crate::http::response::Response;
use crate::limits::{
    BODY_BYTES_PER_S_MIN, SUBSCRIPTIONS_ENDED_BYTES_MAX, SUBSCRIPTIONS_ENDED_BYTES_PER_CLIENT_MAX,
};
use crate::mercure::dialect::Dialect;
use crate::sse::frame::Frame;

impl RequestHandler {
    /// The response for an update that is stored and in its place.
    pub fn published(&self, frame: &Frame, context: ResponseContext) -> ApiResponse {
        self.complete(ApiResponse { response: Response::published(frame.id()), refusal: None }, context)
    }

    /// The response if the hub cannot do it now; nothing was done.
    pub fn unavailable(&self, cause: Unavailable, reason: &str, context: ResponseContext) -> ApiResponse {
        self.refuse(Refused::unavailable(cause, reason), context)
    }

    /// The response when the memory limit is reached; nothing was done. The client reads why.
    pub fn out_of_memory(&self, reason: &str, context: ResponseContext) -> ApiResponse {
        let response = Response::later_because(StatusCode::SERVICE_UNAVAILABLE, reason, RETRY_AFTER_LIMIT_S);
        self.refuse(Refused::because(response, Refusal::unavailable(Unavailable::Memory, reason)), context)
    }

    /// The response to a request that cannot be read.
    pub fn refused(&self, error: RequestError, context: ResponseContext) -> ApiResponse {
        self.refuse(Refused::new(Response::request_error(error), error), context)
    }

    /// The response to a request that did not arrive in time.
    pub fn timed_out(&self, context: ResponseContext) -> ApiResponse {
        let text = "Request Timeout: the request did not arrive in time";
        self.refuse(Refused::new(Response::text(StatusCode::REQUEST_TIMEOUT, text), "timeout"), context)
    }

    /// The response to a body that arrives too slowly.
    pub fn too_slow(&self, context: ResponseContext) -> ApiResponse {
        let text =
            format!("Request Timeout: a body must arrive at {BODY_BYTES_PER_S_MIN} bytes a second or faster");
        let reason = "the body arrives too slowly";
        self.refuse(Refused::new(Response::text(StatusCode::REQUEST_TIMEOUT, text), reason), context)
    }

    /// The response to a request that met a defect of the hub.
    pub fn failed(&self, context: ResponseContext) -> ApiResponse {
        let response = Response::status_only(StatusCode::INTERNAL_SERVER_ERROR);
        self.refuse(Refused::new(response, "a defect of the hub"), context)
    }

    /// The response to a client that has reached its limit.
    pub fn too_many(&self, reason: &str, context: ResponseContext) -> ApiResponse {
        let response = Response::too_many(RETRY_AFTER_LIMIT_S);
        self.refuse(
            Refused::because(response, Refusal::unavailable(Unavailable::ClientLimit, reason)),
            context,
        )
    }

    /// The response to a subscription whose templates cost too much beside those of others.
    pub fn too_costly(&self, reason: &'static str, context: ResponseContext) -> ApiResponse {
        let response = Response::later_because(StatusCode::SERVICE_UNAVAILABLE, reason, RETRY_AFTER_LIMIT_S);
        let refusal = Refusal::unavailable(Unavailable::MatchCost, reason);
        self.refuse(Refused::because(response, refusal), context)
    }

    /// The response to a subscription that cannot begin before events of ended subscriptions are
    /// published: the client's own, or those of all.
    pub fn events_wait(&self, is_own: bool, context: ResponseContext) -> ApiResponse {
        let (status, unavailable, what, bytes_max) = match is_own {
            true => (
                StatusCode::TOO_MANY_REQUESTS,
                Unavailable::ClientLimit,
                "the events of this client's ended subscriptions are published at a bounded rate",
                SUBSCRIPTIONS_ENDED_BYTES_PER_CLIENT_MAX,
            ),
            false => (
                StatusCode::SERVICE_UNAVAILABLE,
                Unavailable::Queue,
                "the events of all ended subscriptions are published at a bounded rate",
                SUBSCRIPTIONS_ENDED_BYTES_MAX,
            ),
        };
        let reason = format!("{what}, and those that wait take {bytes_max} bytes");
        let response = Response::later_because(status, &reason, RETRY_AFTER_LIMIT_S);
        self.refuse(Refused::because(response, Refusal::unavailable(unavailable, reason)), context)
    }

    /// The response at the connection limit of the hub.
    pub fn at_connection_limit(&self, reason: &str) -> ApiResponse {
        let response = Response::unavailable(RETRY_AFTER_LIMIT_S);
        self.refuse(
            Refused::because(response, Refusal::unavailable(Unavailable::Connections, reason)),
            self.context(None),
        )
    }

    /// Adds to any response the headers that its request requires: the coding of a stream,
    /// cross-origin headers, and `private` if the URL held the token.
    pub fn complete(&self, mut api_response: ApiResponse, context: ResponseContext) -> ApiResponse {
        if api_response.response.is_stream() {
            api_response.response.set_coding(context.negotiated);
        }
        self.settings.cors.apply(context.cors, &mut api_response.response);
        if context.has_token_in_url {
            api_response.response.mark_private();
        }
        api_response
    }

    pub(super) fn refuse(&self, refused: Refused, context: ResponseContext) -> ApiResponse {
        let Refused { response, refusal, challenge } = refused;
        let metadata_url = self.metadata_url.as_ref().filter(|_| context.dialect == Dialect::Draft08);
        let response = match challenge.zip(metadata_url) {
            Some((challenge, metadata_url)) => Response::challenge(challenge, metadata_url),
            None => response,
        };
        self.complete(ApiResponse { response, refusal: Some(refusal) }, context)
    }
}
