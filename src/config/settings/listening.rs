//! The settings under "Listening".

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::configuration::Config;
use crate::config::hosts;
use crate::config::setting::{DefaultText, Group, Setting, ValueKind};
use crate::config::urls;
use crate::config::values;
use crate::config::written;
use crate::http::headers::cors::Cors;
use crate::io::tls::certificate::Files;
use crate::services::acme::AcmeSettings;
use crate::services::certificates::CertificateSource;

/// The settings under this heading.
pub(crate) static GROUP: Group = Group {
    heading: "Listening",
    settings: &[
        &ADDR,
        &CERT_FILE,
        &KEY_FILE,
        &ACME_HOSTS,
        &ACME_CERT_DIR,
        &ACME_DIRECTORY_URL,
        &ACME_EMAIL,
        &ACME_CA_FILE,
        &ACME_HTTP_ADDR,
        &DEMO,
        &DEBUG,
        &CORS_ALLOWED_ORIGINS,
        &USE_FORWARDED_HEADERS,
        &COMPRESS,
        &SUBSCRIPTIONS,
    ],
};

pub(crate) static ADDR: Setting<SocketAddr> = Setting {
    name: "ADDR",
    kind: ValueKind::Public("ADDRESS"),
    help: "Address to listen on: `:3000` (all addresses), `127.0.0.1:3000`, `[::1]:3000`. Not used when a \
           service manager passes sockets (LISTEN_FDS)",
    default: DefaultText::Description(":80; :443 with TLS; :3000 in demo mode"),
    parse: |text, _| values::address(text),
    in_force: |config, _| Some(config.settings.address.to_string()),
};

pub(crate) static CERT_FILE: Setting<PathBuf> = Setting {
    name: "CERT_FILE",
    kind: ValueKind::Public("PATH"),
    help: "TLS certificate with its chain, in PEM form. It is reloaded when the file changes and at \
           SIGHUP. With a certificate, every connection uses TLS, and clients can use HTTP/2",
    default: DefaultText::Description("none"),
    parse: |text, _| values::path(text),
    in_force: |config, _| files(config).map(|files| written::path(&files.certificate)),
};

pub(crate) static KEY_FILE: Setting<PathBuf> = Setting {
    name: "KEY_FILE",
    kind: ValueKind::Public("PATH"),
    help: "Private key of CERT_FILE, in PEM form, without a passphrase. Set both or neither",
    default: DefaultText::Description("none"),
    parse: |text, _| values::path(text),
    in_force: |config, _| files(config).map(|files| written::path(&files.key)),
};

pub(crate) static ACME_HOSTS: Setting<Vec<String>> = Setting {
    name: "ACME_HOSTS",
    kind: ValueKind::Public("HOSTS"),
    help: "Host names for which the hub obtains and renews a certificate automatically (ACME), separated \
           by commas or spaces: `hub.example.com`. By setting this, you agree to the terms of the \
           certificate authority. Cannot be combined with CERT_FILE",
    default: DefaultText::Description("none"),
    parse: |text, _| hosts::hosts(text),
    in_force: |config, _| acme(config).map(|acme| acme.hosts.join(",")),
};

pub(crate) static ACME_CERT_DIR: Setting<PathBuf> = Setting {
    name: "ACME_CERT_DIR",
    kind: ValueKind::Public("PATH"),
    help: "Directory for the certificate of ACME_HOSTS, its key and the ACME account. Only the hub's user \
           has access. Keep it: a certificate authority limits how many certificates it issues per week",
    default: DefaultText::Value("acme"),
    parse: |text, _| values::path(text),
    in_force: |config, _| acme(config).map(|acme| written::path(&acme.folder)),
};

pub(crate) static ACME_DIRECTORY_URL: Setting<String> = Setting {
    name: "ACME_DIRECTORY_URL",
    kind: ValueKind::Url,
    help: "ACME directory URL of the certificate authority for ACME_HOSTS",
    default: DefaultText::Named("Let's Encrypt", "https://acme-v02.api.letsencrypt.org/directory"),
    parse: |text, _| urls::acme_directory(text),
    in_force: |config, _| acme(config).map(|acme| acme.directory_url.clone()),
};

pub(crate) static ACME_EMAIL: Setting<String> = Setting {
    name: "ACME_EMAIL",
    kind: ValueKind::Public("ADDRESS"),
    help: "Contact email address for the certificate authority",
    default: DefaultText::Description("none"),
    parse: |text, _| hosts::email(text),
    in_force: |config, _| acme(config)?.email.clone(),
};

pub(crate) static ACME_CA_FILE: Setting<PathBuf> = Setting {
    name: "ACME_CA_FILE",
    kind: ValueKind::Public("PATH"),
    help: "Root certificates, in PEM form, that the hub trusts for HTTPS to the certificate authority. \
           For a private authority",
    default: DefaultText::Description("those of the host"),
    parse: |text, _| values::path(text),
    in_force: |config, _| acme(config)?.ca_file.as_deref().map(written::path),
};

pub(crate) static ACME_HTTP_ADDR: Setting<Option<SocketAddr>> = Setting {
    name: "ACME_HTTP_ADDR",
    kind: ValueKind::Public("ADDRESS"),
    help: "Address of the plain HTTP listener for ACME_HOSTS. It responds to http-01 challenges and \
           redirects all other requests for these hosts to HTTPS; `off`: no listener",
    default: DefaultText::Value(":80"),
    parse: |text, _| values::address_or_off(text),
    in_force: |config, _| acme(config).map(plain_listener),
};

pub(crate) static DEMO: Setting<bool> = Setting {
    name: "DEMO",
    kind: ValueKind::Switch,
    help: "Demo mode: a debugger at /. The defaults change to port 3000, a well-known development key, \
           and anonymous subscribers allowed. Never use it in production",
    default: DefaultText::Value("0"),
    parse: |text, _| values::switch(text),
    in_force: |config, _| Some(written::switch(config.demo)),
};

pub(crate) static DEBUG: Setting<bool> = Setting {
    name: "DEBUG",
    kind: ValueKind::Switch,
    help: "Like DEMO. LOG_LEVEL is debug unless it is set, and the contents of updates are logged at that \
           level",
    default: DefaultText::Value("0"),
    parse: |text, _| values::switch(text),
    in_force: |config, _| Some(written::switch(config.settings.log_updates)),
};

pub(crate) static CORS_ALLOWED_ORIGINS: Setting<Cors> = Setting {
    name: "CORS_ALLOWED_ORIGINS",
    kind: ValueKind::Public("ORIGINS"),
    help: "Origins whose pages may read responses (CORS), separated by commas or spaces: \
           `https://app.example.com`; `https://*.example.com`: hosts exactly one label below; `*`: all \
           origins, without cookies. Not needed for pages of the hub's own origin",
    default: DefaultText::Description("none"),
    parse: |text, _| Cors::parse(text).map_err(|error| error.to_string()),
    in_force: |_, texts| CORS_ALLOWED_ORIGINS.text(texts).map(str::to_owned),
};

pub(crate) static USE_FORWARDED_HEADERS: Setting<bool> = Setting {
    name: "USE_FORWARDED_HEADERS",
    kind: ValueKind::Switch,
    help: "Only behind a reverse proxy: take the client's address, the scheme and the host from \
           Forwarded, X-Forwarded-For, -Proto, -Host and X-Real-IP. The last element of a list counts. If \
           the proxy does not set or remove every one of these fields, clients can forge them",
    default: DefaultText::Value("0"),
    parse: |text, _| values::switch(text),
    in_force: |config, _| Some(written::switch(config.settings.trusts_proxy)),
};

pub(crate) static COMPRESS: Setting<bool> = Setting {
    name: "COMPRESS",
    kind: ValueKind::Switch,
    help: "Compress streams and pages for clients that accept zstd or gzip. An update is compressed once \
           for all subscribers, not once for each",
    default: DefaultText::Value("1"),
    parse: |text, _| values::switch(text),
    in_force: |config, _| Some(written::switch(config.settings.api.compress)),
};

pub(crate) static SUBSCRIPTIONS: Setting<bool> = Setting {
    name: "SUBSCRIPTIONS",
    kind: ValueKind::Switch,
    help: "Active subscriptions: an API that lists them, and a private update when one begins or ends. \
           With AUTHORIZATION=targets, only beside draft 08 and for its clients",
    default: DefaultText::Value("0"),
    parse: |text, _| values::switch(text),
    in_force: |config, _| Some(written::switch(config.settings.api.subscriptions)),
};

fn files(config: &Config) -> Option<&Files> {
    match &config.settings.tls {
        Some(CertificateSource::Files(files)) => Some(files),
        _ => None,
    }
}

fn acme(config: &Config) -> Option<&AcmeSettings> {
    match &config.settings.tls {
        Some(CertificateSource::Acme(acme)) => Some(acme),
        _ => None,
    }
}

fn plain_listener(acme: &AcmeSettings) -> String {
    acme.http_address.map_or_else(|| "off".to_owned(), |address| address.to_string())
}
