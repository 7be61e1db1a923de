//! Why a token is refused.

use super::details::DetailError;
use crate::limits::TOKEN_BYTES_MAX;

/// Why a token is refused: the text for the log. The client gets only a 401.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not three parts in base64url, or its claims are not a JSON object.
    #[error("the token is malformed")]
    Malformed,
    /// The header cannot be read. An algorithm that does not exist, such as `none`, is one reason.
    #[error("the token's header is malformed or names no known algorithm")]
    Header,
    /// The header names an algorithm other than the configured one.
    #[error("wrong algorithm")]
    WrongAlgorithm,
    /// The header names a key (`kid`) that is not in the key set. A newer key set may have it.
    #[error("the token names a key (\"kid\") that is not in the key set")]
    UnknownKey,
    /// The header names no key, and several keys of the set have its algorithm.
    #[error("the token names no key (\"kid\"), and several of the key set are of its algorithm")]
    NoKeyNamed,
    /// The header or the claims have a member twice, which two readers can understand differently
    /// (RFC 7515, section 4; RFC 7519, section 4).
    #[error("the token has a member twice in its header or in its claims")]
    Repeated,
    /// The header asks to fetch or trust another key, or to support an extension (RFC 7515, section
    /// 4.1).
    #[error("the token's header has \"{0}\", which is refused")]
    ForbiddenHeader(&'static str),
    /// The key verifies tokens of drafts 04 and 07, and the header says that this is one of draft
    /// 08.
    #[error("the token's \"typ\" is at+jwt: a key of drafts 04 and 07 verifies no such token")]
    IsAccessToken,
    /// The key verifies tokens of draft 08, and the header does not say that this is one.
    #[error("the token's \"typ\" is not at+jwt: an issuer's key verifies no other token")]
    NotAccessToken,
    /// The signature is not the key's.
    #[error("bad signature")]
    BadSignature,
    /// `exp` or `nbf` is not a number (RFC 7519, section 2, NumericDate).
    #[error("the claim \"{0}\" is not a number")]
    NotADate(&'static str),
    /// `exp` has passed.
    #[error("expired")]
    Expired,
    /// `nbf` is in the future.
    #[error("not valid yet")]
    NotYetValid,
    /// The claim of that name is not an object whose `publish` and `subscribe` are lists of
    /// strings.
    #[error("the claim \"{0}\" is not an object with lists of strings")]
    WrongShape(&'static str),
    /// An at+jwt token lacks a claim that it needs.
    #[error("no {0}: an at+jwt token needs this claim")]
    Missing(&'static str),
    /// `iss` is not the identifier of the issuer whose key verified the token.
    #[error("\"iss\" is not the issuer's identifier, byte by byte")]
    WrongIssuer,
    /// `aud` does not contain the hub's resource identifier.
    #[error("\"aud\" is not RESOURCE_IDENTIFIER (by default PUBLIC_URL) nor one of AUDIENCES, byte by byte")]
    WrongAudience,
    /// The token is bound to a key of its sender (RFC 7800). As a bearer token it would lose that
    /// protection.
    #[error("the token has \"cnf\": it is bound to its sender, which the hub cannot check")]
    SenderConstrained,
    /// The claim `authorization_details` is invalid.
    #[error("\"authorization_details\": {0}")]
    Details(#[from] DetailError),
}
