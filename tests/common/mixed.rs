//! The tests of the older protocols against hubs that speak draft 08 beside them, with
//! `TEST_DRAFT08=1` (MERCURE-1.0, section 13, test 116). `tests/run processes` runs some twice. The
//! few things that differ there are here; all others are as before.

/// An issuer, which makes a hub speak draft 08 beside what its keys imply.
pub(crate) const ISSUER_SETTINGS: [(&str, &str); 4] = [
    ("PUBLIC_URL", "https://hub.e.x/.well-known/mercure"),
    ("ISSUER", "https://e.x"),
    ("ISSUER_PUBLISHER_KEY", "fedcba9876543210fedcba9876543210"),
    ("ISSUER_SUBSCRIBER_KEY", "fedcba9876543210fedcba9876543210"),
];

/// Whether the hubs of [`Hub::start`](super::Hub::start) speak draft 08, too.
pub(crate) fn is_mixed() -> bool {
    std::env::var_os("TEST_DRAFT08").is_some()
}

/// The answer to a subscription without selectors.
pub(crate) fn missing_selectors() -> &'static str {
    if is_mixed() { "Missing \"match\" parameter." } else { "Missing \"topic\" parameter." }
}

/// The challenge (`WWW-Authenticate`) with these parameters; of draft 08, with the metadata.
pub(crate) fn challenge(parameters: &[&str]) -> String {
    const METADATA: &str =
        "resource_metadata=\"https://hub.e.x/.well-known/oauth-protected-resource/.well-known/mercure\"";
    let metadata = is_mixed().then_some(METADATA);
    let parameters: Vec<&str> = parameters.iter().copied().chain(metadata).collect();
    format!("Bearer {}", parameters.join(", ")).trim_end().to_owned()
}

/// Whether a response with this status has a challenge: in draft 08, also one that lacks a grant.
pub(crate) fn has_challenge(status: u16) -> bool {
    status == 401 || (is_mixed() && status == 403)
}

/// The status of a publication with a topic in the hub's namespace: in draft 08, such a topic is
/// wrong from every publisher.
pub(crate) fn reserved_topic_status() -> u16 {
    if is_mixed() { 400 } else { 403 }
}
