//! Requests for lists of active subscriptions: authorization and response (PROTOCOL section 7;
//! MERCURE-1.0, sections 6.2 and 12.3).

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::decision::{ApiResponse, Listing, RETRY_AFTER_S, Refused, ResponseContext};
use super::{Granted, RequestHandler, Role};
use crate::api::refusal::{Refusal, Unavailable};
use crate::api::routes::below_subscriptions;
use crate::http::headers::etag::entity_tag;
use crate::http::headers::link::HubLink;
use crate::http::headers::names::{CACHE_CONTROL, ETAG, LINK};
use crate::http::request::Request;
use crate::http::response::{Challenge, Response};
use crate::mercure::audience::Audience;
use crate::mercure::dialect::{Dialect, Dialects};
use crate::mercure::grant::Grant;
use crate::mercure::names::{EARLIEST, EVENT_TYPE_HUB};
use crate::mercure::newest::Newest;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::subscription::{self, DocumentForm, ListingQuery};
use crate::time::Now;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
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
        let Some(Granted { grant, .. }) = self.grant(Role::Subscriber, request, context, now)? else {
            return Err(Refused::challenge(Challenge::Missing, "no token"));
        };
        let wanted = granted(request.path, &grant, self.settings.dialects)?;
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
        let hub = self.settings.public_url.as_ref();
        match respond(listing, hub, newest, is_settled, members) {
            Some(response) => self.complete(ApiResponse { response, refusal: None }, listing.context),
            None => self.refuse(nothing(), listing.context),
        }
    }

    /// The response if too many lists are in progress, or this one is too long.
    pub fn unlisted(&self, listing: &Listing, reason: &str) -> ApiResponse {
        let refusal = Refusal::unavailable(Unavailable::Crowded, reason);
        self.refuse(Refused::because(Response::unavailable(RETRY_AFTER_S), refusal), listing.context)
    }
}

/// The list at this path, if this grant allows it. The path itself is the topic that has to be
/// granted, in its canonical spelling.
fn granted(path: &str, grant: &Grant, dialects: Dialects) -> Result<ListingQuery, Refused> {
    let wanted = below_subscriptions(path)
        .and_then(|rest| ListingQuery::parse(rest, dialects, collection_form(grant, dialects)))
        .ok_or_else(nothing)?;
    if !grant.may_receive(std::iter::once(&*wanted.path()), &Audience::Private) {
        return Err(Refused::forbidden("the token does not grant this list of subscriptions"));
    }
    Ok(wanted)
}

/// The form of the list of all subscriptions: that of the token's dialect, since the path is the
/// same in all.
fn collection_form(grant: &Grant, dialects: Dialects) -> DocumentForm {
    match grant.dialect() {
        Some(Dialect::Draft08) => DocumentForm::Json,
        // Draft 04 has no lists.
        _ if dialects.has(Dialect::Draft07) => DocumentForm::JsonLd,
        _ => DocumentForm::Json,
    }
}

/// The response with these subscriptions; `None` if one was requested and does not exist.
fn respond(
    listing: &Listing,
    hub: Option<&PublicUrl>,
    newest: &Newest,
    is_settled: bool,
    members: &[u8],
) -> Option<Response> {
    let (id, form) = (newest.text(), listing.wanted.document_form());
    let document = match &*listing.wanted {
        ListingQuery::One { .. } => subscription::single(form, id, members)?,
        wanted => subscription::collection(form, &wanted.path(), id, members),
    };
    let (media_type, tag) = match form {
        DocumentForm::JsonLd => (JSON_LD, entity_tag(id.unwrap_or(EARLIEST))),
        DocumentForm::Json => (JSON, json_tag(id.unwrap_or(EARLIEST))),
    };
    let mut response = match newest.is_unique && is_settled && listing.has_copy(&tag) {
        true => Response::empty(StatusCode::NOT_MODIFIED),
        false => Response::with_body(StatusCode::OK, media_type, document),
    };
    if let Ok(tag) = HeaderValue::try_from(tag) {
        response.append(&ETAG, tag);
    }
    // The cursor. Draft 08 has no other place for it, so a 304 needs it as well.
    if form == DocumentForm::Json
        && let Some(link) = hub.and_then(|hub| hub_link(hub, id))
    {
        response.append(&LINK, link);
    }
    response.set(&CACHE_CONTROL, REVALIDATE);
    Some(response)
}

/// The entity tag of a document of draft 08. It is none of [`entity_tag`], where two digits follow
/// a `%`: the list of all subscriptions has one path and two forms.
fn json_tag(id: &str) -> String {
    entity_tag(id).replacen('"', "\"%json:", 1)
}

fn hub_link(hub: &PublicUrl, newest: Option<&str>) -> Option<HeaderValue> {
    let last_event_id = newest.unwrap_or(EARLIEST);
    HubLink { hub, last_event_id, event_type: EVENT_TYPE_HUB, content_type: "application/json" }.value()
}

fn nothing() -> Refused {
    Refused::new(
        Response::text(StatusCode::NOT_FOUND, "Not Found. There is no such active subscription."),
        "no such subscription",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::headers::accept_encoding::Negotiated;
    use crate::http::headers::cors::CorsDecision;
    use crate::http::headers::names::{CONTENT_TYPE, FieldName};
    use crate::mercure::audience::Authorization;
    use crate::mercure::event_id::EventId;
    use crate::mercure::selector::MatcherType;
    use crate::mercure::subscription::{SubscriberId, Subscription, WrittenAs};
    use crate::mercure::token::{LegacyClaims, MercureClaim};

    const ALL: &str = "/.well-known/mercure/subscriptions";

    fn only_08() -> Dialects {
        Dialects::with_draft08(None)
    }

    fn mixed() -> Dialects {
        Dialects::with_draft08(Some(Authorization::Selectors))
    }

    fn grant(selectors: &[&str]) -> Grant {
        let subscribe = Some(selectors.iter().map(ToString::to_string).collect());
        let mercure = MercureClaim { subscribe, ..MercureClaim::default() };
        Grant::from_claims(&LegacyClaims { mercure, exp_ms: None }.into(), Authorization::Selectors)
            .expect("valid claims")
    }

    fn status(path: &str, grant: &Grant, dialects: Dialects) -> u16 {
        granted(path, grant, dialects).map_or_else(|refused| refused.response.status().as_u16(), |_| 200)
    }

    fn listing(rest: &str, if_none_match: &[&str]) -> Listing {
        let wanted = ListingQuery::parse(rest, only_08(), DocumentForm::Json).expect("a path");
        let context = ResponseContext {
            dialect: Dialect::Draft08,
            cors: CorsDecision::Off,
            negotiated: Negotiated::OFF,
            has_token_in_url: false,
        };
        let if_none_match = if_none_match.iter().map(|line| line.as_bytes().into()).collect();
        Listing { wanted: Arc::new(wanted), if_none_match, context }
    }

    fn newest(id: &str) -> Newest {
        Newest { id: Some(EventId::parse(id).expect("an id")), is_unique: true }
    }

    fn answer(listing: &Listing, newest: &Newest, members: &[u8]) -> Option<Response> {
        let hub = PublicUrl::parse("https://hub.e.x/.well-known/mercure").expect("a URL");
        respond(listing, Some(&hub), newest, true, members)
    }

    fn field<'r>(response: &'r Response, name: &FieldName) -> Option<&'r str> {
        let mut values = response.fields().filter(|(field, _)| *field == name).map(|(_, value)| value);
        let value = values.next().map(|value| value.to_str().expect("ASCII"));
        assert_eq!(values.next(), None, "once");
        value
    }

    fn member() -> Vec<u8> {
        let mut member = Vec::new();
        let subscription = Subscription {
            written_as: WrittenAs::Matcher(MatcherType::Exact),
            selector: "a",
            subscriber: SubscriberId::from_random_bytes([0; 16]),
            active: true,
            payload: None,
        };
        subscription.write_member(&mut member);
        member
    }

    fn link(id: &str) -> String {
        format!(
            "<https://hub.e.x/.well-known/mercure>; rel=\"mercure\"; last-event-id=\"{id}\"; \
             type=\"mercure\"; content-type=\"application/json\""
        )
    }

    /// Test 111 of MERCURE-1.0, section 13, without a hub.
    #[test]
    fn a_collection_of_draft_08_has_its_cursor_in_the_link() {
        for (rest, members) in [("", member()), ("/exact/a", member()), ("/exact/b", Vec::new())] {
            let response = answer(&listing(rest, &[]), &newest("urn:x:1"), &members).expect("a list");
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(field(&response, &CONTENT_TYPE), Some("application/json"));
            assert_eq!(field(&response, &LINK), Some(&*link("urn:x:1")));
            let document: Value = serde_json::from_slice(response.body().expect("a body")).expect("JSON");
            let count = document["subscriptions"].as_array().map(Vec::len);
            assert_eq!(count, Some(usize::from(!members.is_empty())));
            assert_eq!(document["id"], json!(format!("{ALL}{rest}")));
            assert_eq!(document["type"], "subscriptions");
            let names: Vec<_> = document.as_object().expect("an object").keys().collect();
            assert_eq!(names.len(), 3, "no cursor, no context: {names:?}");
        }
        let empty = answer(&listing("", &[]), &Newest::default(), &[]).expect("a list");
        assert_eq!(field(&empty, &LINK), Some(&*link("earliest")));
    }

    /// Tests 103 and 113 of MERCURE-1.0, section 13, without a hub.
    #[test]
    fn one_subscription_is_the_document_of_its_event_or_404() {
        let one = listing("/exact/a/urn%3Auuid%3A00000000-0000-4000-8000-000000000000", &[]);
        let response = answer(&one, &newest("urn:x:1"), &member()).expect("a document");
        assert_eq!(response.body(), Some(&*member()));
        assert_eq!(field(&response, &LINK), Some(&*link("urn:x:1")));
        assert!(answer(&one, &newest("urn:x:1"), &[]).is_none(), "not found");
    }

    /// Test 114 of MERCURE-1.0, section 13, without a hub (trap 21).
    #[test]
    fn a_304_has_the_cursor_too() {
        let first = answer(&listing("", &[]), &newest("urn:x:1"), &member()).expect("a list");
        let tag = field(&first, &ETAG).expect("a tag");
        let again = answer(&listing("", &[tag]), &newest("urn:x:1"), &member()).expect("a list");
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.body().unwrap_or_default(), b"");
        assert_eq!(field(&again, &LINK), Some(&*link("urn:x:1")));
        assert_eq!(field(&again, &ETAG), Some(tag));
        let later = answer(&listing("", &[tag]), &newest("urn:x:2"), &member()).expect("a list");
        assert_eq!(later.status(), StatusCode::OK);
        let legacy = entity_tag("urn:x:1");
        let other = answer(&listing("", &[&legacy]), &newest("urn:x:1"), &member()).expect("a list");
        assert_eq!(other.status(), StatusCode::OK, "the copy is of the other form");
    }

    /// Test 112 of MERCURE-1.0, section 13, without a hub and with templates in place of patterns.
    #[test]
    fn the_absolute_path_is_what_a_token_has_to_grant() {
        let one = format!("{ALL}/exact/a/urn%3Auuid%3A1");
        let everything = grant(&["*"]);
        let (to_a, each) = (format!("{ALL}/exact/a"), format!("{ALL}/{{type}}/{{match}}/{{subscriber}}"));
        let (to_a, each) = (grant(&[&to_a]), grant(&[&each]));
        for (path, by_to_a, by_each) in
            [(ALL.to_owned(), 403, 403), (format!("{ALL}/exact/a"), 200, 403), (one, 403, 200)]
        {
            assert_eq!(status(&path, &everything, only_08()), 200, "{path}");
            assert_eq!(status(&path, &to_a, only_08()), by_to_a, "{path}");
            assert_eq!(status(&path, &each, only_08()), by_each, "{path}");
            assert_eq!(status(&path, &grant(&[]), only_08()), 403, "{path}");
        }
        let below = |rest: &str| format!("{ALL}{rest}");
        for missing in ["/regexp/a", "/exact", "/Exact/a", "/exact/a/b/c"] {
            assert_eq!(status(&below(missing), &everything, only_08()), 404, "{missing}");
        }
        assert_eq!(status(&below("/exact/%61"), &to_a, only_08()), 200, "the spelling does not matter");
        assert_eq!(status(&below("/%65xact/a"), &to_a, mixed()), 200);
        assert_eq!(status(&below("/exact/b"), &to_a, mixed()), 403);
    }
}
