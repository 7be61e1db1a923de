//! Requests that subscribe: authorization, then parameters (PROTOCOL section 2; MERCURE-1.0,
//! section 2). Of a `QUERY`, the parameters are complete only with its body.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use http::StatusCode;

use super::announce::announce;
use super::decision::{
    AdmittedSubscriber, Decision, GrantedSubscription, QuerySubscriber, Refused, ResponseContext,
};
use super::{Granted, RequestHandler, Role, is_form};
use crate::api::subscribe_query::{SubscribeParts, SubscribeQuery};
use crate::http::headers::accept::accepts;
use crate::http::request::{Request, Version};
use crate::http::response::{Challenge, Response};
use crate::limits::{
    MATCH_COST_SUBSCRIPTION_MAX, PATTERN_OPENERS_OF_REQUEST_MAX, PATTERN_STATES_OF_REQUEST_MAX, WHEEL_TICK_MS,
};
use crate::mercure::dialect::Dialect;
use crate::mercure::grant::Grant;
use crate::mercure::index::TopicIndex;
use crate::mercure::names::{PARAM_MATCH, PARAM_TOPIC};
use crate::mercure::public_url::PublicUrl;
use crate::mercure::resume::Resume;
use crate::mercure::selector::{MatcherType, Selector, SelectorError};
use crate::mercure::url_pattern::{self, UrlPatternError};
use crate::sse::framing::{Framing, Transfer};
use crate::time::Now;

impl RequestHandler {
    pub(super) fn admit_subscriber(
        &mut self,
        request: &Request<'_>,
        head_only: bool,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<GrantedSubscription, Refused> {
        let subscriber = self.subscriber(request, context, now)?;
        let parts = SubscribeParts { query: request.query, body: None, last_event_id: request.last_event_id };
        let transfer = transfer_of(request.version);
        let subscription = self.subscription(subscriber, &parts, transfer, *context, now)?;
        Ok(GrantedSubscription { head_only, ..subscription })
    }

    pub(super) fn admit_query(
        &mut self,
        request: &Request<'_>,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<QuerySubscriber, Refused> {
        let subscriber = self.subscriber(request, context, now)?;
        check_content_type(request.content_type)?;
        Ok(QuerySubscriber {
            subscriber,
            query: request.query.map(Box::from),
            last_event_id: request.last_event_id.map(Box::from),
            has_type: request.content_type.is_some(),
            transfer: transfer_of(request.version),
            context: *context,
        })
    }

    /// Decides about a `QUERY` whose body is complete.
    pub fn query(&self, awaited: QuerySubscriber, body: &[u8], now: Now) -> Decision {
        if self.draining {
            return Decision::HangUp;
        }
        let QuerySubscriber { subscriber, query, last_event_id, has_type, transfer, context } = awaited;
        let parts = SubscribeParts {
            query: query.as_deref(),
            body: Some(body),
            last_event_id: last_event_id.as_deref(),
        };
        let subscription = match has_type || body.is_empty() {
            true => self.subscription(subscriber, &parts, transfer, context, now),
            false => Err(no_content_type()),
        };
        match subscription {
            Ok(subscription) => Decision::Subscribe(Box::new(subscription)),
            Err(refused) => Decision::Respond(self.refuse(refused, context)),
        }
    }

    /// Who subscribes, if they may.
    fn subscriber(
        &mut self,
        request: &Request<'_>,
        context: &mut ResponseContext,
        now: Now,
    ) -> Result<AdmittedSubscriber, Refused> {
        let subscriber = match self.grant(Role::Subscriber, request, context, now)? {
            Some(Granted { grant, token, key }) => AdmittedSubscriber { grant, token, key: Some(key) },
            None if self.settings.allow_anonymous => {
                AdmittedSubscriber { grant: Rc::clone(&self.anonymous), token: None, key: None }
            }
            None => return Err(Refused::challenge(Challenge::Missing, "no token")),
        };
        if context.dialect == Dialect::Draft08 && !accepts(&request.accept, "text", "event-stream") {
            let text = "Not Acceptable: the hub sends text/event-stream";
            let response = Response::text(StatusCode::NOT_ACCEPTABLE, text);
            return Err(Refused::new(response, "\"Accept\" excludes text/event-stream"));
        }
        Ok(subscriber)
    }

    fn subscription(
        &self,
        AdmittedSubscriber { grant, token, key }: AdmittedSubscriber,
        parts: &SubscribeParts<'_>,
        transfer: Transfer,
        context: ResponseContext,
        now: Now,
    ) -> Result<GrantedSubscription, Refused> {
        let bounds = match token {
            Some(_) => self.settings.selectors,
            None => self.settings.selectors_anonymous,
        };
        let query = SubscribeQuery::parse(parts, bounds, self.settings.dialects)
            .map_err(|error| Refused::bad_request(&error))?;
        let name = if query.dialect == Dialect::Draft08 { PARAM_MATCH } else { PARAM_TOPIC };
        let invalid = |error: &dyn fmt::Display| {
            let text = format!("Invalid \"{name}\" parameter: {error}");
            Refused::new(Response::bad_request(&text), text)
        };
        let selectors = selectors(&query, self.draft08()).map_err(|error| invalid(&error))?;
        if TopicIndex::price_alone(&selectors) > MATCH_COST_SUBSCRIPTION_MAX {
            let error = match query.dialect {
                Dialect::Draft08 => {
                    "together, the URL Patterns cost too much to match: expected fewer groups, wildcards and \
                     regexps, or fewer patterns"
                }
                Dialect::Draft04 | Dialect::Draft07 => {
                    "together, the URI Templates cost too much to match: expected fewer expressions, \
                     variables and prefix lengths, or fewer templates"
                }
            };
            return Err(invalid(&error));
        }
        let announcements = match self.settings.subscriptions {
            true => announce(&selectors, &query.matcher_types, &grant, self.settings.dialects)
                .map_err(|error| invalid(&error))?,
            false => Box::default(),
        };
        Ok(GrantedSubscription {
            dialect: query.dialect,
            head_only: false,
            selectors,
            announcements,
            expires_ms: expires_ms(&grant, now),
            grant,
            token,
            key,
            resume: query.last_event_id.as_deref().map(resume),
            framing: Framing { transfer, coding: context.negotiated.coding },
            context,
        })
    }
}

fn selectors(query: &SubscribeQuery<'_>, hub: Option<&PublicUrl>) -> Result<Vec<Selector>, SelectorError> {
    // Matchers are parsed only on a hub with draft 08, which has a URL.
    let Some(hub) = hub.filter(|_| query.dialect == Dialect::Draft08) else {
        return query.texts.iter().map(|text| Selector::parse(text)).collect();
    };
    let (mut openers, mut states) = (0, 0);
    let matchers = query.matcher_types.iter().zip(&query.texts);
    let parse = |(kind, text): (&MatcherType, &Cow<'_, str>)| {
        if *kind == MatcherType::UrlPattern {
            openers += url_pattern::openers(text);
        }
        if openers > PATTERN_OPENERS_OF_REQUEST_MAX {
            return Err(UrlPatternError::TooComplexTogether.into());
        }
        let selector = Selector::parse_matcher(*kind, text, hub)?;
        states += if let Selector::Pattern(pattern) = &selector { pattern.states() } else { 0 };
        match states > PATTERN_STATES_OF_REQUEST_MAX {
            true => Err(UrlPatternError::TooComplexTogether.into()),
            false => Ok(selector),
        }
    };
    matchers.map(parse).collect()
}

/// Only draft 08 has an empty last event id.
fn resume(text: &str) -> Resume {
    if text.is_empty() { Resume::Newest } else { Resume::parse(text) }
}

fn transfer_of(version: Version) -> Transfer {
    match version {
        Version::Http11 => Transfer::Chunked,
        Version::Http10 | Version::Http2 => Transfer::Plain,
    }
}

/// Checks the media type of a `QUERY`, if it names one: 400 if it is not a media type, 415 if it is
/// another one (MERCURE-1.0, section 7.3).
fn check_content_type(content_type: Option<&[u8]>) -> Result<(), Refused> {
    let Some(value) = content_type else { return Ok(()) };
    if is_form(content_type) {
        return Ok(());
    }
    let media_type = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let is_token = |text: &[u8]| {
        !text.is_empty()
            && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
    };
    let mut names = media_type.split(|byte| *byte == b'/');
    let is_media_type = names.clone().count() == 2 && names.all(is_token);
    if !is_media_type {
        return Err(no_content_type());
    }
    let text = "Unsupported Media Type: expected application/x-www-form-urlencoded";
    let mut response = Response::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    response.accept_query();
    Err(Refused::new(response, "the body is not application/x-www-form-urlencoded"))
}

fn no_content_type() -> Refused {
    Refused::bad_request(&"Missing or invalid Content-Type: expected application/x-www-form-urlencoded")
}

/// When the subscriber is disconnected, on the monotonic clock: no later than at `exp`, though a
/// timer fires up to a tick late.
fn expires_ms(grant: &Grant, now: Now) -> u64 {
    grant.expires_at_ms().map_or(u64::MAX, |exp_ms| {
        let left_ms = exp_ms.saturating_sub(now.unix_ms).saturating_sub(WHEEL_TICK_MS);
        now.ms.saturating_add(left_ms)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mercure::audience::Authorization;
    use crate::mercure::token::{LegacyClaims, MercureClaim};

    /// The timer of a stream may be late by a tick; the stream must not be.
    #[test]
    fn a_stream_ends_a_tick_before_its_token_at_the_latest() {
        let expires = |exp_ms, now| {
            let claims = LegacyClaims { mercure: MercureClaim::default(), exp_ms };
            let grant = Grant::from_claims(&claims.into(), Authorization::Selectors).expect("a grant");
            expires_ms(&grant, now)
        };
        let now = Now { ms: 5_000, unix_ms: 1_600_000_000_000 };
        assert_eq!(expires(Some(now.unix_ms + 9_000), now), now.ms + 9_000 - WHEEL_TICK_MS);
        assert_eq!(expires(Some(now.unix_ms + 1), now), now.ms);
        assert_eq!(expires(Some(u64::MAX), Now { ms: u64::MAX, ..now }), u64::MAX);
        assert_eq!(expires(None, now), u64::MAX);
    }
}
