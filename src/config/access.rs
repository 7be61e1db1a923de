//! The settings of draft 08 that are not keys: the hub's URL, what tokens must be for, the cookie.

use std::sync::Arc;

use super::configuration::ListenAddress;
use super::issuers::{issuers, issuers_file};
use super::keys::KeyOrigins;
use super::protocol::has_no_keys;
use super::reader::Reader;
use super::setting::Declared;
use super::settings::issuers::{
    ACCESS_TOKEN_COOKIE_NAME, AUDIENCES, ISSUER, PROTOCOL, PUBLIC_URL, RESOURCE_IDENTIFIER,
};
use super::values;
use crate::api::keyring::Issuer;
use crate::mercure::dialect::Dialects;
use crate::mercure::names::{ACCESS_TOKEN_COOKIE_NAME as SECURE_COOKIE, HUB_PATH};
use crate::mercure::public_url::PublicUrl;
use crate::services::reload::IssuersFile;

/// The cookie of demo mode without TLS: a browser takes a name that begins with `__Secure-` only
/// over HTTPS.
const PLAIN_COOKIE: &str = "mercure_access_token";

/// The values of the settings.
pub(super) struct AccessSettings {
    pub(super) public_url: Option<PublicUrl>,
    pub(super) resource_identifier: Option<Box<str>>,
    pub(super) audiences: Arc<[Box<str>]>,
    pub(super) issuers: Arc<[Issuer]>,
    pub(super) issuers_private: bool,
    pub(super) issuers_file: Option<IssuersFile>,
    pub(super) cookie_name: String,
}

/// Reads them. `legacy_cookie` is `COOKIE_NAME`.
pub(super) fn access(
    reader: &mut Reader<'_>,
    dialects: Dialects,
    demo: Option<ListenAddress>,
    legacy_cookie: &str,
    origins: &mut KeyOrigins,
) -> AccessSettings {
    let has_draft08 = dialects.has_draft08();
    let given = reader.given(&PUBLIC_URL);
    let public_url = match demo {
        Some(listen) if reader.text(&PUBLIC_URL).is_none() => url_of(listen),
        _ => given,
    };
    if has_draft08 && public_url.is_none() && reader.text(&PUBLIC_URL).is_none() {
        let expected = "the hub's URL as clients see it, such as https://hub.example.com/.well-known/mercure: \
                        with 08, URL patterns and tokens depend on it";
        reader.error(&PUBLIC_URL, None, expected);
    }
    let own = reader.given(&RESOURCE_IDENTIFIER);
    let resource: Option<Box<str>> =
        own.map(Into::into).or_else(|| public_url.as_ref().map(|url| url.as_str().into()));
    let others = reader.given(&AUDIENCES).unwrap_or_default();
    let audiences = resource.iter().cloned().chain(others.into_iter().map(Into::into)).collect();
    let has_demo_issuer = demo.is_some() && has_draft08 && has_no_keys(reader);
    let demo_issuer = public_url.as_ref().filter(|_| has_demo_issuer);
    let (issuers, issuers_private) = issuers(reader, demo_issuer, origins);
    let issuers: Arc<[Issuer]> = issuers.into();
    let issuers_file = issuers_file(reader, issuers_private, &issuers);
    let is_plain = public_url.as_ref().is_some_and(|url| url.url().scheme() == "http");
    let default_cookie = if demo.is_some() && is_plain { PLAIN_COOKIE } else { SECURE_COOKIE };
    let cookie_name = reader.given(&ACCESS_TOKEN_COOKIE_NAME).unwrap_or_else(|| default_cookie.to_owned());
    if has_draft08 && dialects.legacy_authorization().is_some() && cookie_name == legacy_cookie {
        let expected = "another name than COOKIE_NAME: each dialect has a cookie of its own";
        reader.error(&ACCESS_TOKEN_COOKIE_NAME, Some(&cookie_name), expected);
    }
    if !has_draft08 {
        let without_effect: [&dyn Declared; 3] =
            [&RESOURCE_IDENTIFIER, &AUDIENCES, &ACCESS_TOKEN_COOKIE_NAME];
        for setting in without_effect {
            if reader.text(setting).is_some() {
                let (name, protocol, issuer) = (setting.name(), PROTOCOL.name, ISSUER.name);
                reader.warn(format!("{name} does nothing: the hub does not speak 08 ({protocol}, {issuer})"));
            }
        }
    }
    AccessSettings {
        public_url,
        resource_identifier: resource,
        audiences,
        issuers_file,
        issuers,
        issuers_private,
        cookie_name,
    }
}

/// The URL of a demo hub without TLS whose `ADDR` is this; `None` if it is no address.
pub(crate) fn demo_url(address: Option<&str>) -> Option<PublicUrl> {
    let address = values::address(address.unwrap_or(":3000")).ok()?;
    url_of(ListenAddress { address, is_tls: false })
}

/// The URL of a hub that listens there, as a client of this host sees it.
fn url_of(ListenAddress { address, is_tls }: ListenAddress) -> Option<PublicUrl> {
    let scheme = if is_tls { "https" } else { "http" };
    let authority = match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    };
    PublicUrl::parse(&format!("{scheme}://{authority}{HUB_PATH}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_demo_follows_its_address() {
        let url = |address| demo_url(address).map(|url| url.to_string());
        assert_eq!(url(None).as_deref(), Some("http://localhost:3000/.well-known/mercure"));
        assert_eq!(url(Some("127.0.0.1:80")).as_deref(), Some("http://127.0.0.1/.well-known/mercure"));
        assert_eq!(url(Some("nowhere")), None);
    }

    #[test]
    fn the_url_of_a_demo_is_that_of_its_listener() {
        for (address, is_tls, url) in [
            ("[::]:3000", false, "http://localhost:3000/.well-known/mercure"),
            ("0.0.0.0:80", false, "http://localhost/.well-known/mercure"),
            ("127.0.0.1:8080", false, "http://127.0.0.1:8080/.well-known/mercure"),
            ("[::1]:3000", true, "https://[::1]:3000/.well-known/mercure"),
        ] {
            let listen = ListenAddress { address: address.parse().expect("an address"), is_tls };
            assert_eq!(url_of(listen).expect("a URL").as_str(), url);
        }
    }
}
