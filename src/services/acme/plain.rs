//! Plain HTTP beside the hub (`ACME_HTTP_ADDR`): http-01 responses, and redirects to HTTPS for all
//! else.
//!
//! Invariant: it redirects only to hosts of `ACME_HOSTS`, on the default HTTPS port. An authority
//! also uses that port, even if the hub itself listens on another one, for example in a container.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::{HeaderValue, Method, StatusCode};
use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::challenges::{Challenges, HTTP_PATH};
use crate::http::headers::names::LOCATION;
use crate::http::request::Request;
use crate::http::response::Response;
use crate::services::side_server::SideServer;

/// Responds to requests on this port.
pub(crate) struct Handler {
    /// `ACME_HOSTS`.
    pub(super) hosts: Vec<String>,
    pub(super) challenges: Arc<Challenges>,
}

impl Handler {
    /// Serves until the hub has ended.
    pub(crate) fn serve(&self, side_server: SideServer, ended: &AtomicBool) {
        side_server.run(ended, |request| self.respond(request));
    }

    fn respond(&self, request: &Request<'_>) -> Response {
        if let Some(token) = request.path.strip_prefix(HTTP_PATH) {
            return match (self.challenges.text(token), &request.method) {
                (None, _) => Response::status_only(StatusCode::NOT_FOUND),
                (Some(text), &Method::GET | &Method::HEAD) => Response::text(StatusCode::OK, text),
                (Some(_), _) => Response::method_not_allowed("GET, HEAD"),
            };
        }
        let host = request.host.map(|host| host.rsplit_once(':').map_or(host, |(name, _)| name));
        let host = host.map(str::to_ascii_lowercase).filter(|host| self.hosts.contains(host));
        let Some(host) = host.filter(|_| request.path.starts_with('/')) else {
            return Response::bad_request(&"Bad Request: this host is not served here");
        };
        let query = request.query.map_or_else(String::new, |query| format!("?{query}"));
        let target = format!("{}{query}", request.path);
        let target = utf8_percent_encode(&target, CONTROLS);
        match HeaderValue::try_from(format!("https://{host}{target}")) {
            Ok(location) => {
                let mut response = Response::status_only(StatusCode::PERMANENT_REDIRECT);
                response.append(&LOCATION, location);
                response
            }
            Err(_) => Response::status_only(StatusCode::BAD_REQUEST),
        }
    }
}

#[cfg(test)]
mod tests;
