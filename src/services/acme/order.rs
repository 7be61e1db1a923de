//! One attempt to get a certificate (RFC 8555, section 7): the account, the order, a challenge for
//! each host, and the result.
//!
//! A host is validated by tls-alpn-01 first. If that is refused and there is a plain HTTP listener,
//! a second order uses http-01, and the host keeps the challenge that was accepted. One order, and
//! one certificate, covers all hosts.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder,
    Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use rustls::crypto::CryptoProvider;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::challenges::{ChallengeError, Challenges};
use super::client::HttpsClient;
use super::schedule::Failure;
use super::settings::AcmeSettings;
use super::store::{CertificateStore, StoreError};
use crate::error_text::chain;
use crate::io::tls::certificate::CertificateError;
use crate::limits::{ACME_ORDER_MS, ACME_TEXT_CHARS_MAX, ACME_TRY_MS};
use crate::redact::Redacted;
use crate::services::https::{NoAuthorities, Trust};

const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
const LIMITED: &str = "urn:ietf:params:acme:error:rateLimited";

/// How long to wait for an authority, and how often to poll it meanwhile.
const PATIENCE: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_millis(ACME_ORDER_MS));

/// A host that the authority checked and refused.
#[derive(Debug)]
pub(super) struct RefusedHost {
    host: String,
    /// The name of the challenge.
    challenge: &'static str,
    /// The authority's explanation.
    text: String,
}

/// Why an attempt failed; displayed as a sentence for the log, of which the authority is the
/// subject.
#[derive(Debug, thiserror::Error)]
pub(super) enum TryError {
    /// The account or the new certificate cannot be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are no trusted authorities.
    #[error(transparent)]
    Trust(#[from] NoAuthorities),
    /// The authority cannot be reached, or rejects a request. The text has the causes and a bound.
    #[error("{}", authority_text(.0))]
    Authority(Error),
    /// The authority checked these hosts and refused them.
    #[error("{}", refusals(.0))]
    Refused(Vec<RefusedHost>),
    /// The authority offers no usable challenge for this host.
    #[error("it offers neither tls-alpn-01 nor, on a port that is open here, http-01 for {0}")]
    NoChallenge(String),
    /// A key or certificate of our own cannot be generated.
    #[error("a key or a certificate of our own cannot be made")]
    Challenge(#[from] ChallengeError),
    /// The issued certificate cannot be served.
    #[error("the issued certificate cannot be used")]
    Unfit(#[source] CertificateError),
    /// The issued certificate does not name this host.
    #[error("the issued certificate does not name {0}")]
    WrongName(String),
    /// The attempt took longer than [`ACME_TRY_MS`].
    #[error("it was not done within {} s", ACME_TRY_MS / 1_000)]
    TimedOut,
}

impl TryError {
    /// The kind of failure, for scheduling the next attempt.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Refused(_) => Failure::Refused,
            Self::Authority(Error::Api(problem)) if problem.r#type.as_deref() == Some(LIMITED) => {
                Failure::Limited
            }
            // An issued certificate counts against the rate limit, even if it cannot be used.
            Self::Unfit(_) | Self::WrongName(_) => Failure::Limited,
            _ => Failure::Unreached,
        }
    }
}

impl From<Error> for TryError {
    fn from(error: Error) -> Self {
        Self::Authority(error)
    }
}

/// How an authority validates a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChallengeKind {
    Tls,
    Http,
}

impl ChallengeKind {
    fn challenge(self) -> ChallengeType {
        match self {
            Self::Tls => ChallengeType::TlsAlpn01,
            Self::Http => ChallengeType::Http01,
        }
    }

    fn of(challenge: &ChallengeType) -> Option<Self> {
        [Self::Tls, Self::Http].into_iter().find(|kind| kind.challenge() == *challenge)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls-alpn-01",
            Self::Http => "http-01",
        }
    }
}

/// Places orders.
pub(super) struct Orders<'o> {
    pub(super) settings: &'o AcmeSettings,
    pub(super) store: &'o CertificateStore,
    pub(super) trust: &'o Trust,
    pub(super) challenges: &'o Challenges,
    pub(super) provider: &'o CryptoProvider,
    /// Whether a listener for http-01 runs.
    pub(super) has_http: bool,
    /// The hosts that are validated by http-01.
    pub(super) by_http: &'o mut HashSet<String>,
}

/// The account in its stored form.
#[derive(Serialize, Deserialize)]
struct Stored {
    directory: String,
    email: Option<String>,
    credentials: AccountCredentials,
}

/// Removes the challenge responses of an order when it ends, however it ends.
struct PendingResponses<'c>(&'c Challenges);

impl Drop for PendingResponses<'_> {
    fn drop(&mut self) {
        self.0.clear();
    }
}

impl Orders<'_> {
    /// Returns a new key and its certificate as PEM, the key first.
    ///
    /// # Errors
    /// Why the attempt failed.
    pub(super) async fn obtain(&mut self) -> Result<String, TryError> {
        // Issued certificates are rate-limited, so check first that one can be stored.
        self.store.check_writable()?;
        let tried = match self.account().await {
            Ok(account) => self.order_twice(&account).await,
            Err(error) => Err(error),
        };
        match tried {
            Err(TryError::Authority(Error::Api(problem)))
                if problem.r#type.as_deref() == Some(NO_ACCOUNT) =>
            {
                let authority = Redacted::whole(self.settings.directory_url.as_str());
                info!(%authority, "the authority has forgotten the account; it gets a new one");
                let account = self.new_account().await?;
                self.order_twice(&account).await
            }
            done => done,
        }
    }

    /// Places an order; if hosts were refused, places a second one with the other challenge for
    /// them.
    async fn order_twice(&mut self, account: &Account) -> Result<String, TryError> {
        let first = match self.order(account).await {
            Err(TryError::Refused(first)) if self.has_http => first,
            done => return done,
        };
        self.swap_challenge(&first);
        match self.order(account).await {
            Err(TryError::Refused(second)) => {
                self.swap_challenge(&first);
                Err(TryError::Refused(first.into_iter().chain(second).collect()))
            }
            done => done,
        }
    }

    fn swap_challenge(&mut self, refused: &[RefusedHost]) {
        for RefusedHost { host, .. } in refused {
            if !self.by_http.remove(host) {
                self.by_http.insert(host.clone());
            }
        }
    }

    async fn order(&self, account: &Account) -> Result<String, TryError> {
        let identifiers: Vec<_> = self.settings.hosts.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await?;
        let pending = PendingResponses(self.challenges);
        self.respond(&mut order).await?;
        let ready = order.poll_ready(&PATIENCE).await;
        if !matches!(ready, Ok(OrderStatus::Ready)) {
            let refused = self.refused(&mut order).await.unwrap_or_default();
            return Err(match ready {
                _ if !refused.is_empty() => TryError::Refused(refused),
                Ok(_) => TryError::Authority(Error::Str("the order is invalid, and it does not say why")),
                Err(error) => TryError::Authority(error),
            });
        }
        drop(pending);
        let (key, request) = self.request().map_err(|error| TryError::Challenge(error.into()))?;
        order.finalize_csr(&request).await?;
        Ok(key + &order.poll_certificate(&PATIENCE).await?)
    }

    /// Prepares the challenge response for each host that is not validated already, and asks the
    /// authority to validate it.
    async fn respond(&self, order: &mut Order) -> Result<(), TryError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let host = authorization.identifier().to_string();
            let offers = |kind: &ChallengeKind| {
                authorization.challenges.iter().any(|offered| offered.r#type == kind.challenge())
            };
            let kind = self.kinds(&host).into_iter().flatten().find(offers);
            let challenge = kind.and_then(|kind| Some((kind, authorization.challenge(kind.challenge())?)));
            let (kind, mut challenge) = challenge.ok_or_else(|| TryError::NoChallenge(host.clone()))?;
            let proof = challenge.key_authorization();
            match kind {
                ChallengeKind::Tls => {
                    let result = self.challenges.respond_tls(&host, proof.digest().as_ref(), self.provider);
                    result.map_err(TryError::Challenge)?;
                }
                ChallengeKind::Http => self.challenges.respond_http(&challenge.token, proof.as_str()),
            }
            challenge.set_ready().await?;
        }
        Ok(())
    }

    /// The challenges for a host, the preferred one first.
    fn kinds(&self, host: &str) -> [Option<ChallengeKind>; 2] {
        match (self.has_http, self.by_http.contains(host)) {
            (true, true) => [Some(ChallengeKind::Http), Some(ChallengeKind::Tls)],
            (true, false) => [Some(ChallengeKind::Tls), Some(ChallengeKind::Http)],
            (false, _) => [Some(ChallengeKind::Tls), None],
        }
    }

    /// The hosts that the authority has refused.
    async fn refused(&self, order: &mut Order) -> Result<Vec<RefusedHost>, Error> {
        let mut refused = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            authorization.refresh().await?;
            if authorization.status != AuthorizationStatus::Invalid {
                continue;
            }
            let host = authorization.identifier().to_string();
            let failed = authorization.challenges.iter().find(|challenge| challenge.error.is_some());
            let text = failed.and_then(|challenge| challenge.error.as_ref());
            let text = text.map_or_else(|| "it does not say why".to_owned(), said);
            let kind = failed.and_then(|challenge| ChallengeKind::of(&challenge.r#type));
            let challenge = kind.map_or("a challenge", ChallengeKind::name);
            refused.push(RefusedHost { host, challenge, text });
        }
        Ok(refused)
    }

    /// A new key, and the certificate signing request for it.
    fn request(&self) -> Result<(String, Vec<u8>), rcgen::Error> {
        let mut parameters = CertificateParams::new(self.settings.hosts.clone())?;
        parameters.distinguished_name = DistinguishedName::new();
        let key = KeyPair::generate()?;
        let request = parameters.serialize_request(&key)?;
        Ok((key.serialize_pem(), request.der().to_vec()))
    }

    /// The stored account, or a new one.
    async fn account(&self) -> Result<Account, TryError> {
        let path = self.store.account();
        let Some(bytes) = self.store.read(path)? else { return self.new_account().await };
        let Some(Stored { email, credentials, .. }) = self.stored(&bytes) else {
            warn!("{} holds no account with this authority; it is replaced by a new one", path.display());
            return self.new_account().await;
        };
        let builder = Account::builder_with_http(Box::new(self.client()?));
        let account = builder.from_credentials(credentials).await?;
        if email != self.settings.email {
            let contact = self.contact();
            account.update_contacts(&contact.iter().map(String::as_str).collect::<Vec<_>>()).await?;
            if let Some(Stored { credentials, .. }) = self.stored(&bytes) {
                self.keep(credentials)?;
            }
        }
        Ok(account)
    }

    fn stored(&self, bytes: &[u8]) -> Option<Stored> {
        let stored: Option<Stored> = serde_json::from_slice(bytes).ok();
        stored.filter(|stored| stored.directory == self.settings.directory_url)
    }

    async fn new_account(&self) -> Result<Account, TryError> {
        let contact = self.contact();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let wanted =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let builder = Account::builder_with_http(Box::new(self.client()?));
        let (account, credentials) =
            builder.create(&wanted, self.settings.directory_url.clone(), None).await?;
        self.keep(credentials)?;
        let authority = Redacted::whole(self.settings.directory_url.as_str());
        let id = Redacted::whole(account.id());
        info!(%authority, account = %id, "the authority has a new account");
        Ok(account)
    }

    fn client(&self) -> Result<HttpsClient, TryError> {
        Ok(HttpsClient::new(self.trust)?)
    }

    fn contact(&self) -> Option<String> {
        self.settings.email.as_ref().map(|email| format!("mailto:{email}"))
    }

    fn keep(&self, credentials: AccountCredentials) -> Result<(), TryError> {
        let (directory, email) = (self.settings.directory_url.clone(), self.settings.email.clone());
        let stored = serde_json::to_vec_pretty(&Stored { directory, email, credentials });
        Ok(self.store.write(self.store.account(), &stored.map_err(Error::Json)?)?)
    }
}

/// The authority's description of a problem.
fn said(problem: &Problem) -> String {
    let mut text = problem.detail.clone().or_else(|| problem.r#type.clone()).unwrap_or_default();
    for part in &problem.subproblems {
        // Writing to a String does not fail.
        let _ = write!(text, "; {part}");
    }
    bounded(&text)
}

fn authority_text(error: &Error) -> String {
    match error {
        Error::Api(problem) => format!("it says: {}", said(problem)),
        error => bounded(&chain(error).to_string()),
    }
}

fn refusals(hosts: &[RefusedHost]) -> String {
    let refusal = |RefusedHost { host, challenge, text }: &RefusedHost| {
        format!("it refused {host} by {challenge}: {text}")
    };
    hosts.iter().map(refusal).collect::<Vec<_>>().join("; ")
}

/// On one line, and at most [`ACME_TEXT_CHARS_MAX`] characters.
fn bounded(text: &str) -> String {
    let plain = |letter: char| if letter.is_control() { ' ' } else { letter };
    text.chars().take(ACME_TEXT_CHARS_MAX).map(plain).collect()
}

#[cfg(test)]
mod tests;
