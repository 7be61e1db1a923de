//! The settings of a handler, and what follows from them for the tokens of each role.

use std::sync::Arc;

use crate::api::demo::Demo;
use crate::api::keyring::verifier::Verifier;
use crate::api::keyring::{Issuer, KeySource, SharedIssuers};
use crate::api::subscribe_query::SelectorBounds;
use crate::http::headers::cors::{Cors, OriginList};
use crate::mercure::audience::Authorization;
use crate::mercure::dialect::Dialects;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::token::AccessRules;

/// For what a token is used.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Publisher,
    Subscriber,
}

/// The settings of a [`RequestHandler`].
#[derive(Clone)]
pub struct ApiSettings {
    /// `AUTHORIZATION`.
    pub authorization: Authorization,
    /// `PROTOCOL`.
    pub dialects: Dialects,
    /// `PUBLIC_URL`; draft 08 needs it.
    pub public_url: Option<PublicUrl>,
    /// `RESOURCE_IDENTIFIER`, by default the public URL; draft 08 needs it.
    pub resource_identifier: Option<Box<str>>,
    /// What `aud` of an access token may be: `RESOURCE_IDENTIFIER`, then `AUDIENCES`. Only the
    /// first is advertised.
    pub audiences: Arc<[Box<str>]>,
    /// `ISSUER` or `ISSUERS_FILE`: the issuers of access tokens (draft 08), each with a name of its
    /// own.
    pub issuers: Arc<[Issuer]>,
    /// The same while the hub runs, if they are of `ISSUERS_FILE`.
    pub issuers_of_file: Option<Arc<SharedIssuers>>,
    /// `ALLOW_ANONYMOUS`: subscribers without a token.
    pub allow_anonymous: bool,
    /// Verifies the tokens of publishers of drafts 04 and 07; `None` if the hub speaks neither.
    pub publisher_key: Option<KeySource>,
    /// Verifies the tokens of subscribers of drafts 04 and 07.
    pub subscriber_key: Option<KeySource>,
    /// `CORS_ALLOWED_ORIGINS`.
    pub cors: Cors,
    /// `PUBLISH_ALLOWED_ORIGINS`.
    pub publish_origins: OriginList,
    /// `COOKIE_NAME`: the cookie of drafts 04 and 07.
    pub cookie_name: String,
    /// `ACCESS_TOKEN_COOKIE_NAME`: the cookie of draft 08.
    pub access_token_cookie_name: String,
    /// `MAX_SELECTORS`.
    pub selectors: SelectorBounds,
    /// `MAX_SELECTORS_ANONYMOUS`, `MAX_SELECTOR_BYTES_ANONYMOUS`.
    pub selectors_anonymous: SelectorBounds,
    /// `MAX_BODY_SIZE`.
    pub body_bytes_max: u64,
    /// `COMPRESS`.
    pub compress: bool,
    /// The resources of demo mode, if it is on.
    pub demo: Option<Arc<Demo>>,
    /// `SUBSCRIPTIONS`.
    pub subscriptions: bool,
}

impl ApiSettings {
    /// The settings of a hub whose listener has this port. Where the public URL was made of an
    /// address with port 0 (demo mode), it and what was made of it get the port.
    #[must_use]
    pub fn at_port(self, port: u16) -> Self {
        let Some(before) = self.public_url.clone().filter(|url| url.url().port() == Some(0)) else {
            return self;
        };
        let Some(public_url) = before.at_port(port) else { return self };
        let moved = |text: &str| -> Box<str> {
            if text == before.as_str() { public_url.as_str().into() } else { text.into() }
        };
        let issuers =
            self.issuers.iter().map(|issuer| Issuer { name: moved(&issuer.name), ..issuer.clone() });
        Self {
            resource_identifier: self.resource_identifier.as_deref().map(moved),
            audiences: self.audiences.iter().map(|text| moved(text)).collect(),
            issuers: issuers.collect(),
            demo: self.demo.as_ref().map(|demo| Arc::new(demo.moved(public_url.clone(), moved))),
            public_url: Some(public_url),
            ..self
        }
    }

    /// The verifier of a role's tokens.
    pub(super) fn verifier(&self, role: Role) -> Verifier {
        let legacy = match role {
            Role::Publisher => self.publisher_key.clone(),
            Role::Subscriber => self.subscriber_key.clone(),
        };
        Verifier::new(self.dialects, legacy, self.issuers_of(role))
    }

    /// The issuers of a role's tokens, each with its source of keys.
    pub(super) fn issuers_of(&self, role: Role) -> Vec<(Option<KeySource>, AccessRules)> {
        let source = |issuer: &Issuer| match role {
            Role::Publisher => issuer.publisher.clone(),
            Role::Subscriber => issuer.subscriber.clone(),
        };
        // Without a public URL there is no draft 08, and no issuer is trusted.
        let issuers = self.public_url.iter().flat_map(|public_url| {
            self.issuers.iter().map(|issuer| {
                let rules = AccessRules {
                    issuer: issuer.name.clone(),
                    audiences: Arc::clone(&self.audiences),
                    public_url: public_url.clone(),
                };
                (source(issuer), rules)
            })
        });
        issuers.collect()
    }
}

/// The settings of a hub for tests, with one legacy key for both roles and no issuer.
#[cfg(test)]
pub(crate) fn settings_for_tests(dialects: Dialects, key: &[u8]) -> ApiSettings {
    use crate::limits::{BODY_BYTES_MAX_DEFAULT, REQUEST_TARGET_BYTES_MAX, SELECTORS_MAX_DEFAULT};
    use crate::mercure::names::{ACCESS_TOKEN_COOKIE_NAME, COOKIE_NAME};
    use crate::mercure::token::{Algorithm, VerificationKey};

    let bounds = SelectorBounds { count_max: SELECTORS_MAX_DEFAULT, bytes_max: REQUEST_TARGET_BYTES_MAX };
    let key = KeySource::from(VerificationKey::new(Algorithm::HS256, key).expect("a key"));
    ApiSettings {
        authorization: dialects.legacy_authorization().unwrap_or_default(),
        dialects,
        public_url: PublicUrl::parse("https://hub.e.x/.well-known/mercure").ok(),
        resource_identifier: None,
        audiences: Arc::default(),
        issuers: Arc::default(),
        issuers_of_file: None,
        allow_anonymous: true,
        publisher_key: Some(key.clone()),
        subscriber_key: Some(key),
        cors: Cors::parse("https://app.example").expect("an origin"),
        publish_origins: OriginList::default(),
        cookie_name: COOKIE_NAME.to_owned(),
        access_token_cookie_name: ACCESS_TOKEN_COOKIE_NAME.to_owned(),
        selectors: bounds,
        selectors_anonymous: bounds,
        body_bytes_max: BODY_BYTES_MAX_DEFAULT as u64,
        compress: false,
        demo: None,
        subscriptions: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A demo hub on port 0 is known by the port that the kernel chose.
    #[test]
    fn what_is_made_of_the_public_url_gets_the_port_of_the_listener() {
        let settings = |url: &str| ApiSettings {
            public_url: PublicUrl::parse(url).ok(),
            resource_identifier: Some(url.into()),
            audiences: ["urn:other".into(), url.into()].into(),
            issuers: ["https://e.x", url]
                .map(|name| Issuer {
                    name: name.into(),
                    publisher: None,
                    subscriber: None,
                    is_advertised: false,
                })
                .into(),
            ..settings_for_tests(Dialects::with_draft08(None), b"secret")
        };
        for (given, expected) in [
            ("http://localhost:0/.well-known/mercure", "http://localhost:4000/.well-known/mercure"),
            ("http://localhost:1/.well-known/mercure", "http://localhost:1/.well-known/mercure"),
        ] {
            let moved = settings(given).at_port(4_000);
            assert_eq!(moved.public_url.expect("a URL").as_str(), expected);
            assert_eq!(moved.resource_identifier.as_deref(), Some(expected));
            assert_eq!(moved.audiences[..], ["urn:other", expected].map(Box::from));
            let names: Vec<_> = moved.issuers.iter().map(|issuer| &*issuer.name).collect();
            assert_eq!(names, ["https://e.x", expected]);
        }
    }
}
