//! The settings of the certificate: two files, or hosts for which an ACME authority issues it.

use std::net::SocketAddr;

use url::{Host, Url};

use super::values::{self, Expected};
use super::{Options, Reader};
use crate::io::tls::certificate::Files;
use crate::limits::ACME_HOSTS_MAX;
use crate::services::acme::AcmeSettings;
use crate::services::certificates::CertificateSource;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
const FOLDER_DEFAULT: &str = "acme";
/// Maximum length of a DNS name (RFC 1035, section 2.3.4), written without its final dot.
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;
const EMAIL_BYTES_MAX: usize = 254;

impl Reader<'_> {
    /// The source of the certificate, which is read when the hub starts, and again later.
    pub(super) fn certificates(&mut self, o: &Options) -> Option<CertificateSource> {
        let files = self.files(o);
        let acme = self.acme(o);
        if acme.is_some() && files.is_some() {
            let hosts = o.acme_hosts.clone();
            self.error("ACME_HOSTS", hosts, "nothing beside CERT_FILE: one of the two".to_owned());
        }
        files.map(CertificateSource::Files).or(acme.map(CertificateSource::Acme))
    }

    fn files(&mut self, o: &Options) -> Option<Files> {
        let given = |path: &Option<String>| path.as_ref().filter(|path| !path.is_empty()).map(Into::into);
        match (given(&o.cert_file), given(&o.key_file)) {
            (Some(certificate), Some(key)) => return Some(Files { certificate, key }),
            (Some(_), None) => {
                self.error("KEY_FILE", None, "the file of CERT_FILE's private key".to_owned());
            }
            (None, Some(_)) => {
                self.error("CERT_FILE", None, "the file of KEY_FILE's certificate".to_owned());
            }
            (None, None) => {}
        }
        None
    }

    fn acme(&mut self, o: &Options) -> Option<AcmeSettings> {
        let hosts = self.value("ACME_HOSTS", &o.acme_hosts, hosts);
        let folder = self.value("ACME_CERT_DIR", &o.acme_cert_dir, any);
        let directory_url = self.value("ACME_DIRECTORY_URL", &o.acme_directory_url, https_url);
        let email = self.value("ACME_EMAIL", &o.acme_email, email);
        let ca_file = self.value("ACME_CA_FILE", &o.acme_ca_file, any);
        let http_address = self.value("ACME_HTTP_ADDR", &o.acme_http_addr, address_or_off);
        let Some(hosts) = hosts else {
            // The folder may be set permanently, as the unit in tuning/ does.
            let idle = [
                ("ACME_DIRECTORY_URL", directory_url.is_some()),
                ("ACME_EMAIL", email.is_some()),
                ("ACME_CA_FILE", ca_file.is_some()),
                ("ACME_HTTP_ADDR", http_address.is_some()),
            ];
            if o.acme_hosts.as_ref().is_none_or(String::is_empty) {
                let names = idle.into_iter().filter(|(_, is_set)| *is_set);
                self.warnings
                    .extend(names.map(|(name, _)| format!("{name} does nothing without ACME_HOSTS")));
            }
            return None;
        };
        Some(AcmeSettings {
            hosts,
            folder: folder.unwrap_or_else(|| FOLDER_DEFAULT.to_owned()).into(),
            directory_url: directory_url.unwrap_or_else(|| LETS_ENCRYPT.to_owned()),
            email,
            ca_file: ca_file.map(Into::into),
            http_address: http_address
                .unwrap_or_else(|| Some(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 80)))),
        })
    }
}

fn any(text: &str) -> Result<String, Expected> {
    Ok(text.to_owned())
}

/// DNS names, each once, in ASCII and lower case.
fn hosts(text: &str) -> Result<Vec<String>, Expected> {
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
            "each host by its name: {name} takes the challenge dns-01, which this hub does not answer"
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

fn https_url(text: &str) -> Result<String, Expected> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.has_host());
    // The URL is logged and sent to the authority, so it must not hold a password.
    let url = url.filter(|url| url.username().is_empty() && url.password().is_none());
    url.map(|_| text.to_owned()).ok_or_else(|| {
        "the https:// URL of an authority's directory, such as https://acme-staging-v02.api.letsencrypt.org/directory".to_owned()
    })
}

/// An address that has no other meaning after `mailto:` (RFC 6068).
fn email(text: &str) -> Result<String, Expected> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?&,;:<>()\"".contains(&byte);
    let parts = text.rsplit_once('@').filter(|(local, domain)| !local.is_empty() && is_dns_name(domain));
    if text.len() <= EMAIL_BYTES_MAX && text.bytes().all(is_plain) && parts.is_some() {
        Ok(text.to_owned())
    } else {
        Err("one address, such as admin@example.com".to_owned())
    }
}

fn address_or_off(text: &str) -> Result<Option<SocketAddr>, Expected> {
    match text {
        "off" => Ok(None),
        _ => values::address(text).map(Some).map_err(|expected| format!("{expected}; or off")),
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
    fn authorities_and_addresses_are_checked() {
        assert!(https_url(LETS_ENCRYPT).is_ok());
        for text in ["http://a.example/dir", "a.example", "https://", "ftp://a.example", "data:,"] {
            assert!(https_url(text).is_err(), "{text}");
        }
        assert!(email("admin+hub@example.com").is_ok());
        for text in ["", "admin", "@example.com", "a@", "a@b c", "a@b,c@d", "a@b?cc=d@e", "mailto:a@b", "a@-"]
        {
            assert!(email(text).is_err(), "{text}");
        }
        assert_eq!(address_or_off("off"), Ok(None));
        assert_eq!(address_or_off(":8080").map(|at| at.map(|at| at.port())), Ok(Some(8_080)));
        assert!(address_or_off("on").is_err());
    }
}
