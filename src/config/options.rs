//! The settings as given, not yet parsed: flags and environment variables.

use clap::Args;

const LISTENING: &str = "Listening";
const AUTHORIZATION: &str = "Authorization";
const HISTORY: &str = "History";
const LIMITS: &str = "Limits and timeouts";
const CORES: &str = "Cores";
const LOGS: &str = "Logs";
const METRICS: &str = "Metrics";

/// Every setting of this version, as text. [`super::Config::read`] reads them all and lists every
/// mistake at once. The struct holds secrets, so it is not `Debug`; settings with `hide_env_values`
/// are masked wherever they are shown.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// Address to listen on: `:3000` (all addresses), `127.0.0.1:3000`, `[::1]:3000`. Not used when
    /// a service manager passes sockets (LISTEN_FDS) [default: :80; :443 with TLS; :3000 in demo
    /// mode]
    #[arg(long, env = "ADDR", value_name = "ADDRESS", help_heading = LISTENING)]
    pub addr: Option<String>,
    /// TLS certificate with its chain, in PEM form. It is reloaded when the file changes and at
    /// SIGHUP. With a certificate, every connection uses TLS, and clients can use HTTP/2 [default:
    /// none]
    #[arg(long, env = "CERT_FILE", value_name = "PATH", help_heading = LISTENING)]
    pub cert_file: Option<String>,
    /// Private key of CERT_FILE, in PEM form, without a passphrase. Set both or neither [default:
    /// none]
    #[arg(long, env = "KEY_FILE", value_name = "PATH", help_heading = LISTENING)]
    pub key_file: Option<String>,
    /// Host names for which the hub obtains and renews a certificate automatically (ACME),
    /// separated by commas or spaces: `hub.example.com`. By setting this, you agree to the terms of
    /// the certificate authority. Cannot be combined with CERT_FILE [default: none]
    #[arg(long, env = "ACME_HOSTS", value_name = "HOSTS", help_heading = LISTENING)]
    pub acme_hosts: Option<String>,
    /// Directory for the certificate of ACME_HOSTS, its key and the ACME account. Only the hub's
    /// user has access. Keep it: a certificate authority limits how many certificates it issues per
    /// week [default: acme]
    #[arg(long, env = "ACME_CERT_DIR", value_name = "PATH", help_heading = LISTENING)]
    pub acme_cert_dir: Option<String>,
    /// ACME directory URL of the certificate authority for ACME_HOSTS [default: Let's Encrypt,
    /// https://acme-v02.api.letsencrypt.org/directory]
    #[arg(long, env = "ACME_DIRECTORY_URL", value_name = "URL", hide_env_values = true, help_heading = LISTENING)]
    pub acme_directory_url: Option<String>,
    /// Contact email address for the certificate authority [default: none]
    #[arg(long, env = "ACME_EMAIL", value_name = "ADDRESS", help_heading = LISTENING)]
    pub acme_email: Option<String>,
    /// Root certificates, in PEM form, that the hub trusts for HTTPS to the certificate authority.
    /// For a private authority [default: those of the host]
    #[arg(long, env = "ACME_CA_FILE", value_name = "PATH", help_heading = LISTENING)]
    pub acme_ca_file: Option<String>,
    /// Address of the plain HTTP listener for ACME_HOSTS. It responds to http-01 challenges and
    /// redirects all other requests for these hosts to HTTPS; `off`: no listener [default: :80]
    #[arg(long, env = "ACME_HTTP_ADDR", value_name = "ADDRESS", help_heading = LISTENING)]
    pub acme_http_addr: Option<String>,
    /// Demo mode: a debugger at /. The defaults change to port 3000, a well-known development key,
    /// and anonymous subscribers allowed. Never use it in production [default: 0]
    #[arg(long, env = "DEMO", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub demo: Option<String>,
    /// Like DEMO. LOG_LEVEL is debug unless it is set, and the contents of updates are logged at
    /// that level [default: 0]
    #[arg(long, env = "DEBUG", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub debug: Option<String>,
    /// Origins whose pages may read responses (CORS), separated by commas or spaces:
    /// `https://app.example.com`; `*`: all origins, without cookies. Not needed for pages of the
    /// hub's own origin [default: none]
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_name = "ORIGINS", help_heading = LISTENING)]
    pub cors_allowed_origins: Option<String>,
    /// Only behind a reverse proxy: take the client's address, the scheme and the host from
    /// Forwarded, X-Forwarded-For, -Proto, -Host and X-Real-IP. The last element of a list counts.
    /// If the proxy does not set or remove every one of these fields, clients can forge them
    /// [default: 0]
    #[arg(long, env = "USE_FORWARDED_HEADERS", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub use_forwarded_headers: Option<String>,
    /// Compress streams and pages for clients that accept zstd or gzip. An update is compressed
    /// once for all subscribers, not once for each [default: 1]
    #[arg(long, env = "COMPRESS", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub compress: Option<String>,
    /// Active subscriptions: an API that lists them, and a private update when one begins or ends.
    /// Not available with AUTHORIZATION=targets [default: 0]
    #[arg(long, env = "SUBSCRIPTIONS", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub subscriptions: Option<String>,

    /// Key that verifies the tokens of publishers and subscribers: a shared secret, or a public key
    /// in PEM form (see JWT_ALGORITHM). The hub does not start when a role has no key [default:
    /// none; in demo mode !ChangeThisMercureHubJWTSecretKey!]
    #[arg(long, env = "JWT_KEY", value_name = "KEY", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub jwt_key: Option<String>,
    /// File that contains the key, instead of JWT_KEY. Line ends at the end of the file are
    /// removed. It is reloaded at SIGHUP, like the key files of the two roles [default: none]
    #[arg(long, env = "JWT_KEY_FILE", value_name = "PATH", help_heading = AUTHORIZATION)]
    pub jwt_key_file: Option<String>,
    /// URL of a key set (JWKS), instead of JWT_KEY. Its public keys, chosen by `kid`, verify
    /// tokens. It is fetched at start, every five minutes, at SIGHUP, and when a token names an
    /// unknown key. Until the first fetch succeeds, requests with a token get 503 [default: none]
    #[arg(long, env = "JWKS_URL", value_name = "URL", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub jwks_url: Option<String>,
    /// Algorithm of the tokens: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512,
    /// ES256, ES384, EdDSA [default: HS256; with a key set, that of each key]
    #[arg(long, env = "JWT_ALGORITHM", value_name = "NAME", help_heading = AUTHORIZATION)]
    pub jwt_algorithm: Option<String>,
    /// Key for publishers only, instead of JWT_KEY [default: JWT_KEY]
    #[arg(long, env = "PUBLISHER_JWT_KEY", value_name = "KEY", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub publisher_jwt_key: Option<String>,
    /// File that contains the key for publishers, instead of PUBLISHER_JWT_KEY [default: none]
    #[arg(long, env = "PUBLISHER_JWT_KEY_FILE", value_name = "PATH", help_heading = AUTHORIZATION)]
    pub publisher_jwt_key_file: Option<String>,
    /// URL of a key set for publishers only, instead of PUBLISHER_JWT_KEY [default: JWKS_URL]
    #[arg(long, env = "PUBLISHER_JWKS_URL", value_name = "URL", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub publisher_jwks_url: Option<String>,
    /// Algorithm of publishers' tokens [default: JWT_ALGORITHM]
    #[arg(long, env = "PUBLISHER_JWT_ALGORITHM", value_name = "NAME", help_heading = AUTHORIZATION)]
    pub publisher_jwt_algorithm: Option<String>,
    /// Key for subscribers only, instead of JWT_KEY [default: JWT_KEY]
    #[arg(long, env = "SUBSCRIBER_JWT_KEY", value_name = "KEY", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub subscriber_jwt_key: Option<String>,
    /// File that contains the key for subscribers, instead of SUBSCRIBER_JWT_KEY [default: none]
    #[arg(long, env = "SUBSCRIBER_JWT_KEY_FILE", value_name = "PATH", help_heading = AUTHORIZATION)]
    pub subscriber_jwt_key_file: Option<String>,
    /// URL of a key set for subscribers only, instead of SUBSCRIBER_JWT_KEY [default: JWKS_URL]
    #[arg(long, env = "SUBSCRIBER_JWKS_URL", value_name = "URL", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub subscriber_jwks_url: Option<String>,
    /// Algorithm of subscribers' tokens [default: JWT_ALGORITHM]
    #[arg(long, env = "SUBSCRIBER_JWT_ALGORITHM", value_name = "NAME", help_heading = AUTHORIZATION)]
    pub subscriber_jwt_algorithm: Option<String>,
    /// What the lists in tokens contain, for the whole hub. `selectors`: topic selectors, for
    /// publishing and for receiving private updates (draft-07). `targets`: audiences, as in the
    /// 2019 protocol (draft-04) [default: selectors]
    #[arg(long, env = "AUTHORIZATION", value_name = "RULE", help_heading = AUTHORIZATION)]
    pub authorization: Option<String>,
    /// Allow subscribers without a token. They receive public updates [default: 0; 1 in demo mode]
    #[arg(long, env = "ALLOW_ANONYMOUS", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = AUTHORIZATION)]
    pub allow_anonymous: Option<String>,
    /// Origins whose pages may publish with a cookie, separated by commas or spaces. Not needed for
    /// publishers that send `Authorization: Bearer` [default: none]
    #[arg(long, env = "PUBLISH_ALLOWED_ORIGINS", value_name = "ORIGINS", help_heading = AUTHORIZATION)]
    pub publish_allowed_origins: Option<String>,
    /// Name of the cookie that carries a token [default: mercureAuthorization]
    #[arg(long, env = "COOKIE_NAME", value_name = "NAME", help_heading = AUTHORIZATION)]
    pub cookie_name: Option<String>,

    /// File of the history. A relative path starts at the working directory. `:memory:`: the
    /// history is kept in memory and is lost at a restart [default: updates.db]
    #[arg(long, env = "DB_PATH", value_name = "PATH", help_heading = HISTORY)]
    pub db_path: Option<String>,
    /// When an acknowledged update is on the disk. `always`: before the 200. `interval`: within a
    /// second; a crash of the hub or of the host loses the updates of that second. `never`: when
    /// the kernel writes it; a crash of the hub loses nothing, but a power cut may lose the whole
    /// file [default: always]
    #[arg(long, env = "HISTORY_SYNC", value_name = "WHEN", help_heading = HISTORY)]
    pub history_sync: Option<String>,
    /// Number of updates that the history keeps; 0: all [default: 0]
    #[arg(long, env = "HISTORY_SIZE", value_name = "COUNT", help_heading = HISTORY)]
    pub history_size: Option<String>,
    /// Bytes that the history keeps (`512MiB`, `1000GB`). This is about the size of its file; leave
    /// half as much again free on the disk; 0: all [default: 0]
    #[arg(long, env = "HISTORY_MAX_BYTES", value_name = "SIZE", help_heading = HISTORY)]
    pub history_max_bytes: Option<String>,
    /// How long the history keeps an update (`30d`); 0s: for ever [default: 0s]
    #[arg(long, env = "HISTORY_MAX_AGE", value_name = "DURATION", help_heading = HISTORY)]
    pub history_max_age: Option<String>,
    /// 0: never remove an update, whatever HISTORY_SIZE, HISTORY_MAX_BYTES and HISTORY_MAX_AGE say.
    /// Any other value up to 1: these bounds hold exactly, at any time [default: 0.3]
    #[arg(long, env = "HISTORY_CLEANUP_FREQUENCY", value_name = "0..1", help_heading = HISTORY)]
    pub history_cleanup_frequency: Option<String>,

    /// A stream on which nothing was sent for this long gets a comment, so that proxies do not
    /// close it as idle; 0s: never. A client that acknowledges nothing for about as long (at least
    /// 5s, at most 2m) is disconnected [default: 15s]
    #[arg(long, env = "HEARTBEAT_INTERVAL", value_name = "DURATION", help_heading = LIMITS)]
    pub heartbeat_interval: Option<String>,
    /// Time limit for the head of a request; 0s: no limit [default: 10s]
    #[arg(long, env = "HEADER_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub header_timeout: Option<String>,
    /// Time limit for a whole request; 0s: no limit [default: 0s]
    #[arg(long, env = "READ_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub read_timeout: Option<String>,
    /// Time limit for a whole response. A stream ends after 80 to 100 % of it, and its client
    /// reconnects; 0s: no limit [default: 0s]
    #[arg(long, env = "WRITE_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub write_timeout: Option<String>,
    /// A connection is closed when data waits for it and its socket accepts no byte for this long;
    /// 0s: never [default: 30s]
    #[arg(long, env = "DISPATCH_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub dispatch_timeout: Option<String>,
    /// Graceful shutdown: streams end one after the other, spread over this time, so that clients
    /// do not all reconnect at once; 0s: all end at once [default: 10s]
    #[arg(long, env = "DRAIN_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub drain_timeout: Option<String>,
    /// Largest body of a publication. A larger one gets 413 [default: 1MiB]
    #[arg(long, env = "MAX_BODY_SIZE", value_name = "SIZE", help_heading = LIMITS)]
    pub max_body_size: Option<String>,
    /// Most selectors in one subscription. More get 400 [default: 1000]
    #[arg(long, env = "MAX_SELECTORS", value_name = "COUNT", help_heading = LIMITS)]
    pub max_selectors: Option<String>,
    /// Connection limit. At the limit, new connections get 503 (with TLS they are closed); existing
    /// connections are not affected [default: what the limit of open files allows]
    #[arg(long, env = "MAX_CONNECTIONS", value_name = "COUNT", help_heading = LIMITS)]
    pub max_connections: Option<String>,
    /// Connection limit per IPv4 address, or per IPv6 network (/64). At the limit, new connections
    /// get 429 (with TLS they are closed). With USE_FORWARDED_HEADERS, the limit counts the streams
    /// of the address that the proxy reports; 0: no limit [default: 0]
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", value_name = "COUNT", help_heading = LIMITS)]
    pub max_connections_per_address: Option<String>,
    /// Most subscriptions that one token can have at a time. More get 429; 0: no limit [default: 0]
    #[arg(long, env = "MAX_SUBSCRIPTIONS_PER_TOKEN", value_name = "COUNT", help_heading = LIMITS)]
    pub max_subscriptions_per_token: Option<String>,
    /// Bytes that may wait for a slow subscriber. Beyond that, the subscriber is served from the
    /// history [default: 256KiB]
    #[arg(long, env = "SUBSCRIBER_BUFFER", value_name = "SIZE", help_heading = LIMITS)]
    pub subscriber_buffer: Option<String>,

    /// Number of shards. Each runs on one core; they use the first cores of CPUS [default: one for
    /// each core]
    #[arg(long, env = "SHARDS", value_name = "COUNT", help_heading = CORES)]
    pub shards: Option<String>,
    /// Cores to use, such as `0,2-3` [default: those the process may run on]
    #[arg(long, env = "CPUS", value_name = "LIST", help_heading = CORES)]
    pub cpus: Option<String>,

    /// Log level: `error`, `warn`, `info`, `debug` or `trace`. Each level includes those before it.
    /// The reason for a refused request is logged at `info` [default: info; debug with DEBUG]
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", help_heading = LOGS)]
    pub log_level: Option<String>,
    /// Format of the log. `TEXT`: lines for people. `JSON`: one object on each line. `FLUENTD`: the
    /// same with the fields that Fluentd expects (`time` in seconds, `severity`, `message`)
    /// [default: TEXT]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", help_heading = LOGS)]
    pub log_format: Option<String>,
    /// Log one line for each request, at any LOG_LEVEL. A stream has two: one when it begins and
    /// one when it ends. Tokens are never logged [default: 0]
    #[arg(long, env = "ACCESS_LOG", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LOGS)]
    pub access_log: Option<String>,

    /// Address of a separate listener for Prometheus, such as `127.0.0.1:9464`. It serves only
    /// /metrics and /healthz, without TLS and without authorization: do not expose it to the public
    /// [default: none: no metrics]
    #[arg(long, env = "METRICS_ADDR", value_name = "ADDRESS", help_heading = METRICS)]
    pub metrics_addr: Option<String>,
}
