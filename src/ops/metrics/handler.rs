//! The requests on `METRICS_ADDR`: the metrics page, in two formats, and a liveness check.

use http::{HeaderValue, Method, StatusCode};
use prometheus_client::encoding::{prometheus_text, text};
use prometheus_client::registry::Registry;
use tracing::warn;

use super::Exporter;
use crate::http::request::{Lines, Request};
use crate::http::response::Response;

const OPENMETRICS: &str = "application/openmetrics-text";
const OPENMETRICS_TYPE: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
const TEXT_TYPE: HeaderValue = HeaderValue::from_static(prometheus_text::CONTENT_TYPE);

/// Responds to the requests on this port.
pub(crate) struct MetricsHandler {
    registry: Registry,
}

impl MetricsHandler {
    /// The handler for these counters.
    pub(crate) fn new(exporter: Exporter) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(exporter));
        Self { registry }
    }

    /// The response to a request.
    pub(crate) fn respond(&self, request: &Request<'_>) -> Response {
        match (request.path, &request.method) {
            ("/metrics", &Method::GET | &Method::HEAD) => page(&request.accept, &self.registry),
            ("/healthz", &Method::GET | &Method::HEAD) => Response::healthy(),
            ("/metrics" | "/healthz", _) => Response::method_not_allowed("GET, HEAD"),
            _ => Response::text(StatusCode::NOT_FOUND, "Not Found. The metrics are at /metrics."),
        }
    }
}

fn page(accept: &Lines<'_>, registry: &Registry) -> Response {
    let mut page = String::new();
    let (content_type, encoded) = match accepts_openmetrics(accept) {
        true => (OPENMETRICS_TYPE, text::encode(&mut page, registry)),
        false => (TEXT_TYPE, prometheus_text::encode(&mut page, registry)),
    };
    match encoded {
        Ok(()) => {
            let mut response = Response::with_body(StatusCode::OK, content_type, page.into_bytes());
            response.vary("Accept");
            response
        }
        Err(error) => {
            warn!(%error, "metrics cannot be written");
            Response::status_only(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// Whether `Accept` names OpenMetrics with a weight above 0 (RFC 9110, section 12.5.1). Other
/// clients get the Prometheus text format.
fn accepts_openmetrics(accept: &Lines<'_>) -> bool {
    let elements = accept.iter().flat_map(|line| line.split(|byte| *byte == b','));
    let mut named = elements.filter_map(|element| {
        let mut parts = std::str::from_utf8(element).ok()?.split(';').map(str::trim);
        let is_named = parts.next()?.eq_ignore_ascii_case(OPENMETRICS);
        is_named.then(|| parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000")))
    });
    named.any(|is_unwanted| !is_unwanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Version;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        for (line, expected) in [
            ("", false),
            ("*/*", false),
            ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", false),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1",
                true,
            ),
            ("text/html , Application/OpenMetrics-Text; version=1.0.0; q=0.3", true),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-textual", false),
        ] {
            let mut request = Request::new(Method::GET, Version::Http11, "/metrics", None);
            request.field("Accept", line.as_bytes()).expect("taken");
            assert_eq!(accepts_openmetrics(&request.accept), expected, "{line}");
        }
    }
}
