//! HTTPS clients: for an issuer's key sets and an authority's certificates. Blocking; use only on
//! threads that may block.
//!
//! Invariants: every response is bounded in bytes, time and redirects; an HTTPS request never
//! becomes plain HTTP.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;

use super::public_only::PublicOnly;

/// Which authorities are trusted.
#[derive(Clone)]
pub(crate) enum Trust {
    /// Those of the host (`SSL_CERT_FILE`, `SSL_CERT_DIR`), read when they are needed.
    Host,
    /// Only these.
    Given(Arc<[Certificate<'static>]>),
    /// Any certificate is accepted.
    Anybody,
}

/// The host has no trusted authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this host has no certificates of authorities: install its list (Debian: ca-certificates), or set SSL_CERT_FILE"
)]
pub(crate) struct NoAuthorities;

/// The limits of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Limit of a whole request, in milliseconds.
    pub(crate) within_ms: u64,
    pub(crate) redirects_max: u32,
    /// Whether an error status counts as an error.
    pub(crate) no_is_error: bool,
    /// Whether a proxy from the environment is used (`HTTPS_PROXY` and others).
    pub(crate) by_proxy: bool,
    /// Whether only public addresses are asked. It needs `by_proxy` to be false: a proxy would look
    /// names up itself.
    pub(crate) public_only: bool,
}

/// A client for HTTPS only.
///
/// # Errors
/// There are no trusted authorities.
pub(crate) fn https(trust: &Trust, terms: Terms) -> Result<Agent, NoAuthorities> {
    let provider = Arc::new(default_provider());
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    let authorities = match trust {
        Trust::Anybody => return Ok(client(terms, Some(tls.disable_verification(true).build()))),
        Trust::Given(authorities) => authorities.to_vec(),
        // Unreadable certificates are skipped: the handshake then reports an untrusted authority.
        Trust::Host => {
            let found = rustls_native_certs::load_native_certs().certs;
            found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
        }
    };
    if authorities.is_empty() {
        return Err(NoAuthorities);
    }
    let roots = RootCerts::from(authorities);
    Ok(client(terms, Some(tls.root_certs(roots).build())))
}

/// A client for plain HTTP.
pub(crate) fn http(terms: Terms) -> Agent {
    client(terms, None)
}

fn client(terms: Terms, tls: Option<TlsConfig>) -> Agent {
    let mut config = Agent::config_builder()
        .timeout_global(Some(Duration::from_millis(terms.within_ms)))
        .max_redirects(terms.redirects_max)
        // Where none is followed, a redirect is a response like others.
        .max_redirects_will_error(terms.redirects_max > 0)
        .http_status_as_error(terms.no_is_error)
        .https_only(tls.is_some())
        .user_agent(concat!("petasos/", env!("CARGO_PKG_VERSION")));
    if let Some(tls) = tls {
        config = config.tls_config(tls);
    }
    if !terms.by_proxy {
        config = config.proxy(None);
    }
    let config = config.build();
    match terms.public_only {
        true => Agent::with_parts(config, DefaultConnector::default(), PublicOnly::default()),
        false => Agent::new_with_config(config),
    }
}
