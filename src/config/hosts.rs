//! The formats of host names and email addresses.

use url::Host;

use super::values::Expected;
use crate::limits::ACME_HOSTS_MAX;

/// Maximum length of a DNS name (RFC 1035, section 2.3.4), written without its final dot.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
const EMAIL_BYTES_MAX: usize = 254;

/// DNS names, each once, in ASCII and lower case.
pub(super) fn hosts(text: &str) -> Result<Vec<String>, Expected> {
    let mut hosts = Vec::new();
    for name in text.split([',', ' ']).filter(|name| !name.is_empty()) {
        let name = host(name)?;
        if !hosts.contains(&name) {
            hosts.push(name);
        }
    }
    if (1..=ACME_HOSTS_MAX).contains(&hosts.len()) {
        Ok(hosts)
    } else {
        Err(format!("1 to {ACME_HOSTS_MAX} hosts, such as hub.example.com,push.example.com"))
    }
}

fn host(name: &str) -> Result<String, Expected> {
    if name.contains('*') {
        return Err(format!(
            "each host by its name: {name} takes the challenge dns-01, which this hub does not support"
        ));
    }
    let unbracketed = name.trim_start_matches('[').trim_end_matches(']');
    let is_address = unbracketed.parse::<std::net::IpAddr>().is_ok();
    match Host::parse(name) {
        Ok(Host::Domain(domain)) if !is_address && is_dns_name(&domain) => Ok(domain),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => {
            Err(format!("names: certificates for addresses ({name}) are not supported"))
        }
        _ if is_address => Err(format!("names: certificates for addresses ({name}) are not supported")),
        _ => Err(format!(
            "hosts by their names in the DNS, such as hub.example.com, without a scheme or a port: not {name:?}"
        )),
    }
}

/// Letters, digits and hyphens (RFC 1123, section 2.1).
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= HOST_BYTES_MAX && name.split('.').all(is_label)
}

/// An address that has no other meaning after `mailto:` (RFC 6068).
pub(super) fn email(text: &str) -> Result<String, Expected> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?&,;:<>()\"".contains(&byte);
    let parts = text.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && is_dns_name(domain));
    if text.len() <= EMAIL_BYTES_MAX && text.bytes().all(is_plain) && parts.is_some() {
        Ok(text.to_owned())
    } else {
        Err("one address, such as admin@example.com".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_in_the_dns() {
        assert_eq!(hosts("hub.example.com"), Ok(vec!["hub.example.com".to_owned()]));
        assert_eq!(
            hosts(" A.example, b.example A.EXAMPLE,"),
            Ok(vec!["a.example".to_owned(), "b.example".to_owned()])
        );
        assert_eq!(hosts("b\u{fc}cher.example"), Ok(vec!["xn--bcher-kva.example".to_owned()]));
        assert_eq!(hosts("localhost"), Ok(vec!["localhost".to_owned()]));
        for (text, part) in [
            ("*.example.com", "dns-01"),
            ("192.0.2.1", "addresses"),
            ("a.example,[2001:db8::1]", "addresses"),
            ("2001:db8::1", "addresses"),
            ("https://a.example", "without a scheme"),
            ("a.example:443", "without a scheme"),
            ("a_b.example", "names in the DNS"),
            ("-a.example", "names in the DNS"),
            ("a..example", "names in the DNS"),
            ("a.example.", "names in the DNS"),
            (",", "1 to 100"),
        ] {
            let expected = hosts(text).expect_err(text);
            assert!(expected.contains(part), "{text}: {expected}");
        }
        let many: Vec<_> = (0..=ACME_HOSTS_MAX).map(|number| format!("h{number}.example")).collect();
        assert!(hosts(&many.join(",")).is_err() && hosts(&many[1..].join(",")).is_ok());
        assert!(hosts(&format!("{}.example", "a".repeat(LABEL_BYTES_MAX + 1))).is_err());
        assert!(hosts(&["a"; 130].join(".")).is_err());
    }

    #[test]
    fn an_email_address_is_one_plain_address() {
        assert!(email("admin+hub@example.com").is_ok());
        for text in ["", "admin", "@example.com", "a@", "a@b c", "a@b,c@d", "a@b?cc=d@e", "mailto:a@b", "a@-"]
        {
            assert!(email(text).is_err(), "{text}");
        }
    }
}
