//! `GET /.well-known/mercure/match?selector=S&topic=T…`: whether the selector matches each of these
//! topics, by the hub's own matcher (PROTOCOL section 5). A matcher of draft 08 has the name of its
//! parameter in the place of `selector`. A topic that cannot be published is invalid here. The path
//! is in the hub's own namespace, where publishers cannot have topics.

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::error::{DemoError, check_target};
use super::hub::DemoHub;
use crate::http::headers::names::CACHE_CONTROL;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::limits::{MATCH_COST_REQUEST_MAX, MATCH_TOPICS_MAX, SELECTOR_BYTES_MAX};
use crate::mercure::form;
use crate::mercure::names::{
    PARAM_MATCH, PARAM_MATCH_EXACT, PARAM_MATCH_URLPATTERN, PARAM_SELECTOR, PARAM_TOPIC,
};
use crate::mercure::selector::{ComparedTopic, MatcherType, Selector};
use crate::mercure::topic::Topic;

/// The response to a `GET` or `HEAD`: a JSON object with the selector, its kind (`any`, `exact`,
/// `template` or `pattern`), and for each topic in order whether it matches.
pub(super) fn respond(request: &Request<'_>, hub: &DemoHub) -> Result<Response, DemoError> {
    check_target(request)?;
    let (mut selectors, mut topics) = (Vec::new(), Vec::new());
    for field in form::fields(request.query.unwrap_or_default().as_bytes()) {
        let (name, value) = field.map_err(DemoError::Form)?;
        match name.as_ref() {
            PARAM_SELECTOR => selectors.push((None, value)),
            PARAM_MATCH | PARAM_MATCH_EXACT => selectors.push((Some(MatcherType::Exact), value)),
            PARAM_MATCH_URLPATTERN => selectors.push((Some(MatcherType::UrlPattern), value)),
            PARAM_TOPIC if value.len() > SELECTOR_BYTES_MAX => return Err(DemoError::TopicTooLong),
            PARAM_TOPIC => topics.push(Topic::parse(&value).map_err(DemoError::Topic)?),
            _ => {}
        }
    }
    let [(matcher_type, text)] = &*selectors else { return Err(DemoError::Selectors) };
    let selector = match (matcher_type, &hub.public_url) {
        (None, _) => Selector::parse(text).map_err(DemoError::Selector)?,
        (Some(matcher_type), Some(hub)) => {
            Selector::parse_matcher(*matcher_type, text, hub).map_err(DemoError::Matcher)?
        }
        (Some(_), None) => return Err(DemoError::NoPublicUrl),
    };
    if topics.is_empty() || topics.len() > MATCH_TOPICS_MAX {
        return Err(DemoError::Topics);
    }
    let kib: usize = topics.iter().map(|topic| topic.as_str().len().div_ceil(1024)).sum();
    if (selector.match_cost() as usize).saturating_mul(kib) > MATCH_COST_REQUEST_MAX {
        return Err(DemoError::TooCostly);
    }
    let matched = |topic: &Topic| {
        let topic = ComparedTopic::new(topic.as_str());
        json!({ "topic": topic.as_str(), "matches": selector.matches_compared(&topic) })
    };
    let matched: Vec<Value> = topics.iter().map(matched).collect();
    let kind = match selector {
        Selector::Any => "any",
        Selector::Exact(_) => "exact",
        Selector::Template(_) => "template",
        Selector::Pattern(_) => "pattern",
    };
    let document = json!({ "selector": selector.as_str(), "kind": kind, "topics": matched });
    let media_type = HeaderValue::from_static("application/json");
    let mut response = Response::with_body(StatusCode::OK, media_type, document.to_string().into_bytes());
    response.append(&CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
