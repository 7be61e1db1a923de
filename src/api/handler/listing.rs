//! Requests for lists of active subscriptions: authorization and response (PROTOCOL section 7).

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::decision::{ApiResponse, Listing, RETRY_AFTER_S, Refused, ResponseContext};
use super::{RequestHandler, Role};
use crate::api::refusal::{Refusal, Unavailable};
use crate::api::routes::below_subscriptions;
use crate::http::headers::etag::entity_tag;
use crate::http::headers::names::{CACHE_CONTROL, ETAG};
use crate::http::request::Request;
use crate::http::response::{Challenge, Response};
use crate::mercure::audience::Audience;
use crate::mercure::names::EARLIEST;
use crate::mercure::newest::Newest;
use crate::mercure::subscription::{self, ListingQuery};
use crate::time::Now;

const JSON_LD: HeaderValue = HeaderValue::from_static("application/ld+json");
/// A cache must revalidate its copy, which is stale after any publication.
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");

impl RequestHandler {
    pub(super) fn admit_listing(
        &mut self,
        request: &Request<'_>,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<Listing, Refused> {
        let Some((grant, _)) = self.grant(Role::Subscriber, request, context, now)? else {
            return Err(Refused::challenge(Challenge::Missing, "no token"));
        };
        let wanted = below_subscriptions(request.path).and_then(ListingQuery::parse).ok_or_else(nothing)?;
        let path = wanted.path();
        if !grant.may_receive(std::iter::once(&*path), &Audience::Private) {
            return Err(Refused::forbidden("the token does not grant this list of subscriptions"));
        }
        let if_none_match = request.if_none_match.iter().map(Box::from).collect();
        Ok(Listing { wanted: Arc::new(wanted), if_none_match, context: *context })
    }

    /// The response to a listing. `members` is the output of
    /// [`Subscriptions::list`](crate::hub::presence::Subscriptions::list) of every shard, each
    /// asked after `newest` was the newest update. `is_settled` means that every event was in its
    /// place in every shard then. Otherwise the list has changed though the newest update has not,
    /// and the client's copy is not current.
    pub fn listed(
        &self,
        listing: &Listing,
        newest: &Newest,
        is_settled: bool,
        members: &[u8],
    ) -> ApiResponse {
        let id = newest.text();
        let document = match &*listing.wanted {
            ListingQuery::One { .. } => subscription::single(id, members),
            wanted => Some(subscription::collection(&wanted.path(), id, members)),
        };
        let Some(document) = document else { return self.refuse(nothing(), listing.context) };
        let mut response = match newest.is_unique && is_settled && listing.is_current(id) {
            true => Response::empty(StatusCode::NOT_MODIFIED),
            false => Response::with_body(StatusCode::OK, JSON_LD, document),
        };
        if let Ok(tag) = HeaderValue::try_from(entity_tag(id.unwrap_or(EARLIEST))) {
            response.append(&ETAG, tag);
        }
        response.set(&CACHE_CONTROL, REVALIDATE);
        self.complete(ApiResponse { response, refusal: None }, listing.context)
    }

    /// The response if too many lists are in progress, or this one is too long.
    pub fn unlisted(&self, listing: &Listing, reason: &str) -> ApiResponse {
        let refusal = Refusal::unavailable(Unavailable::Crowded, reason);
        self.refuse(Refused::because(Response::unavailable(RETRY_AFTER_S), refusal), listing.context)
    }
}

fn nothing() -> Refused {
    Refused::new(
        Response::text(StatusCode::NOT_FOUND, "Not Found. There is no such active subscription."),
        "no such subscription",
    )
}
