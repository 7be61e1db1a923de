//! The settings of the certificate: two files, or hosts for which an ACME authority issues it.

use super::reader::Reader;
use super::setting::Declared;
use super::settings::listening::{
    ACME_CA_FILE, ACME_CERT_DIR, ACME_DIRECTORY_URL, ACME_EMAIL, ACME_HOSTS, ACME_HTTP_ADDR, CERT_FILE,
    KEY_FILE,
};
use crate::io::tls::certificate::Files;
use crate::services::acme::AcmeSettings;
use crate::services::certificates::CertificateSource;

/// The source of the certificate, which is read when the hub starts, and again later.
pub(super) fn certificates(reader: &mut Reader<'_>) -> Option<CertificateSource> {
    let files = files(reader);
    let acme = acme(reader);
    if acme.is_some() && files.is_some() {
        let hosts = reader.text(&ACME_HOSTS);
        reader.error(&ACME_HOSTS, hosts, "nothing beside CERT_FILE: one of the two");
    }
    files.map(CertificateSource::Files).or(acme.map(CertificateSource::Acme))
}

fn files(reader: &mut Reader<'_>) -> Option<Files> {
    match (reader.given(&CERT_FILE), reader.given(&KEY_FILE)) {
        (Some(certificate), Some(key)) => return Some(Files { certificate, key }),
        (Some(_), None) => reader.error(&KEY_FILE, None, "the file of CERT_FILE's private key"),
        (None, Some(_)) => reader.error(&CERT_FILE, None, "the file of KEY_FILE's certificate"),
        (None, None) => {}
    }
    None
}

fn acme(reader: &mut Reader<'_>) -> Option<AcmeSettings> {
    let hosts = reader.given(&ACME_HOSTS);
    let acme = AcmeSettings {
        hosts: hosts.unwrap_or_default(),
        folder: reader.value(&ACME_CERT_DIR),
        directory_url: reader.value(&ACME_DIRECTORY_URL),
        email: reader.given(&ACME_EMAIL),
        ca_file: reader.given(&ACME_CA_FILE),
        http_address: reader.value(&ACME_HTTP_ADDR),
    };
    if reader.text(&ACME_HOSTS).is_none() {
        // The folder may be set permanently, as the unit in tuning/ does.
        let without_effect: [&dyn Declared; 4] =
            [&ACME_DIRECTORY_URL, &ACME_EMAIL, &ACME_CA_FILE, &ACME_HTTP_ADDR];
        for setting in without_effect {
            if reader.text(setting).is_some() {
                reader.warn(format!("{} does nothing without ACME_HOSTS", setting.name()));
            }
        }
    }
    // A list of hosts that is not valid is empty here, and an error already.
    (!acme.hosts.is_empty()).then_some(acme)
}
