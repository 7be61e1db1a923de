//! What the resources of demo mode know of the hub's settings.

use crate::mercure::dialect::Dialects;
use crate::mercure::public_url::PublicUrl;

/// The settings, of which some are shown in the debugger's page.
#[derive(Clone, Debug)]
pub struct DemoHub {
    /// `PROTOCOL`.
    pub dialects: Dialects,
    /// `COOKIE_NAME`.
    pub cookie_name: Box<str>,
    /// `ACCESS_TOKEN_COOKIE_NAME`.
    pub access_token_cookie_name: Box<str>,
    /// `PUBLIC_URL`: the base of relative URL patterns.
    pub public_url: Option<PublicUrl>,
    /// `RESOURCE_IDENTIFIER`: the audience of access tokens.
    pub audience: Option<Box<str>>,
    /// The first issuer of access tokens.
    pub issuer: Option<Box<str>>,
}
