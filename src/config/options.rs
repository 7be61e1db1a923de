//! The settings as they are given: flags and environment variables, unread.

use clap::Args;

const LISTENING: &str = "Listening";
const AUTHORIZATION: &str = "Authorization";
const HISTORY: &str = "History";
const LIMITS: &str = "Limits and timeouts";
const CORES: &str = "Cores";
const LOGS: &str = "Logs";
const METRICS: &str = "Metrics";

/// Every setting of this version, as text: [`super::Config::read`] reads them all and lists every mistake at once.
/// It holds secrets, so it cannot be printed; those of which `hide_env_values` is set are masked wherever settings are shown.
#[derive(Args, Clone, Default)]
pub struct Options {
    /// Address to listen on: `:3000` (all addresses), `127.0.0.1:3000`, `[::1]:3000`. Sockets that a service manager hands
    /// over (LISTEN_FDS) are taken in its place [default: :80; :443 with TLS; :3000 in demo mode]
    #[arg(long, env = "ADDR", value_name = "ADDRESS", help_heading = LISTENING)]
    pub addr: Option<String>,
    /// The certificate for TLS, and those that lead from it to an authority, in PEM form; read again when it changes, and
    /// at SIGHUP. With a certificate every connection is TLS, with HTTP/2 [default: none]
    #[arg(long, env = "CERT_FILE", value_name = "PATH", help_heading = LISTENING)]
    pub cert_file: Option<String>,
    /// The private key of CERT_FILE, in PEM form, without a passphrase; one of the two without the other is a mistake
    /// [default: none]
    #[arg(long, env = "KEY_FILE", value_name = "PATH", help_heading = LISTENING)]
    pub key_file: Option<String>,
    /// Hosts for which certificates are obtained and renewed by themselves, separated by commas or spaces:
    /// `hub.example.com`. Whoever sets this agrees to the terms of the authority. Not beside CERT_FILE [default: none]
    #[arg(long, env = "ACME_HOSTS", value_name = "HOSTS", help_heading = LISTENING)]
    pub acme_hosts: Option<String>,
    /// Folder for the certificate of ACME_HOSTS, its key and the account, for the hub's user alone; to be kept, since an
    /// authority gives only so many certificates a week [default: acme]
    #[arg(long, env = "ACME_CERT_DIR", value_name = "PATH", help_heading = LISTENING)]
    pub acme_cert_dir: Option<String>,
    /// The directory of the authority for ACME_HOSTS [default: Let's Encrypt,
    /// https://acme-v02.api.letsencrypt.org/directory]
    #[arg(long, env = "ACME_DIRECTORY_URL", value_name = "URL", hide_env_values = true, help_heading = LISTENING)]
    pub acme_directory_url: Option<String>,
    /// Mail address that the authority may write to [default: none]
    #[arg(long, env = "ACME_EMAIL", value_name = "ADDRESS", help_heading = LISTENING)]
    pub acme_email: Option<String>,
    /// Whom to trust for HTTPS to the authority, in PEM form: for one of your own [default: whom the host trusts]
    #[arg(long, env = "ACME_CA_FILE", value_name = "PATH", help_heading = LISTENING)]
    pub acme_ca_file: Option<String>,
    /// Address for plain HTTP beside ACME_HOSTS, which answers the authority (http-01) and redirects all else to HTTPS;
    /// `off` for none [default: :80]
    #[arg(long, env = "ACME_HTTP_ADDR", value_name = "ADDRESS", help_heading = LISTENING)]
    pub acme_http_addr: Option<String>,
    /// Demo mode: a debugger at /, and where nothing else is set port 3000, a development key that everybody knows, and
    /// anonymous subscribers. Never in production [default: 0]
    #[arg(long, env = "DEMO", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub demo: Option<String>,
    /// As DEMO, and logs at the level debug, the contents of updates included [default: 0]
    #[arg(long, env = "DEBUG", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub debug: Option<String>,
    /// Origins whose pages may read answers (CORS), separated by commas or spaces: `https://app.example.com`; `*` for all,
    /// without cookies. A page of the hub's own origin needs none [default: none]
    #[arg(long, env = "CORS_ALLOWED_ORIGINS", value_name = "ORIGINS", help_heading = LISTENING)]
    pub cors_allowed_origins: Option<String>,
    /// Behind a proxy: believe what it says in Forwarded, X-Forwarded-For, -Proto, -Host and X-Real-IP of who the client is
    /// and which URL it asked for. Of a list the last element counts. Without a proxy that sets or removes all of them,
    /// clients can pass for anybody [default: 0]
    #[arg(long, env = "USE_FORWARDED_HEADERS", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub use_forwarded_headers: Option<String>,
    /// Streams and pages are compressed for clients that accept zstd or gzip, each update once for all of them [default: 1]
    #[arg(long, env = "COMPRESS", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub compress: Option<String>,
    /// Active subscriptions: an API that lists them, and a private update when one begins or ends. Not with AUTHORIZATION=targets
    /// [default: 0]
    #[arg(long, env = "SUBSCRIPTIONS", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LISTENING)]
    pub subscriptions: Option<String>,

    /// Key that verifies the tokens of publishers and subscribers: a secret, or a public key in PEM form (JWT_ALGORITHM). A
    /// role without a key stops the start [default: none; in demo mode !ChangeThisMercureHubJWTSecretKey!]
    #[arg(long, env = "JWT_KEY", value_name = "KEY", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub jwt_key: Option<String>,
    /// File that holds JWT_KEY, instead of it; line ends at its end are left out; read again at SIGHUP, as are those of the
    /// two roles [default: none]
    #[arg(long, env = "JWT_KEY_FILE", value_name = "PATH", help_heading = AUTHORIZATION)]
    pub jwt_key_file: Option<String>,
    /// Address of a key set (JWKS), instead of JWT_KEY: its public keys verify tokens, chosen by `kid`. Fetched at start,
    /// every five minutes, and when a token names an unknown key; until it is there, who comes with a token gets 503
    /// [default: none]
    #[arg(long, env = "JWKS_URL", value_name = "URL", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub jwks_url: Option<String>,
    /// Algorithm of the tokens: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA
    /// [default: HS256; with a key set, that of each key]
    #[arg(long, env = "JWT_ALGORITHM", value_name = "NAME", help_heading = AUTHORIZATION)]
    pub jwt_algorithm: Option<String>,
    /// Key for publishers alone, instead of JWT_KEY [default: JWT_KEY]
    #[arg(long, env = "PUBLISHER_JWT_KEY", value_name = "KEY", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub publisher_jwt_key: Option<String>,
    /// File that holds PUBLISHER_JWT_KEY, instead of it [default: none]
    #[arg(long, env = "PUBLISHER_JWT_KEY_FILE", value_name = "PATH", help_heading = AUTHORIZATION)]
    pub publisher_jwt_key_file: Option<String>,
    /// Address of a key set for publishers alone, instead of PUBLISHER_JWT_KEY [default: JWKS_URL]
    #[arg(long, env = "PUBLISHER_JWKS_URL", value_name = "URL", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub publisher_jwks_url: Option<String>,
    /// Algorithm of publishers' tokens [default: JWT_ALGORITHM]
    #[arg(long, env = "PUBLISHER_JWT_ALGORITHM", value_name = "NAME", help_heading = AUTHORIZATION)]
    pub publisher_jwt_algorithm: Option<String>,
    /// Key for subscribers alone, instead of JWT_KEY [default: JWT_KEY]
    #[arg(long, env = "SUBSCRIBER_JWT_KEY", value_name = "KEY", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub subscriber_jwt_key: Option<String>,
    /// File that holds SUBSCRIBER_JWT_KEY, instead of it [default: none]
    #[arg(long, env = "SUBSCRIBER_JWT_KEY_FILE", value_name = "PATH", help_heading = AUTHORIZATION)]
    pub subscriber_jwt_key_file: Option<String>,
    /// Address of a key set for subscribers alone, instead of SUBSCRIBER_JWT_KEY [default: JWKS_URL]
    #[arg(long, env = "SUBSCRIBER_JWKS_URL", value_name = "URL", hide_env_values = true, help_heading = AUTHORIZATION)]
    pub subscriber_jwks_url: Option<String>,
    /// Algorithm of subscribers' tokens [default: JWT_ALGORITHM]
    #[arg(long, env = "SUBSCRIBER_JWT_ALGORITHM", value_name = "NAME", help_heading = AUTHORIZATION)]
    pub subscriber_jwt_algorithm: Option<String>,
    /// What the lists in tokens mean, for the whole hub: `selectors`, topics that may be published and received in private
    /// (draft-07); or `targets`, the audiences of the 2019 protocol (draft-04) [default: selectors]
    #[arg(long, env = "AUTHORIZATION", value_name = "RULE", help_heading = AUTHORIZATION)]
    pub authorization: Option<String>,
    /// Subscribers without a token are let in and receive public updates [default: 0; 1 in demo mode]
    #[arg(long, env = "ALLOW_ANONYMOUS", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = AUTHORIZATION)]
    pub allow_anonymous: Option<String>,
    /// Origins whose pages may publish with a cookie, separated by commas or spaces; publishers with `Authorization:
    /// Bearer` need none [default: none]
    #[arg(long, env = "PUBLISH_ALLOWED_ORIGINS", value_name = "ORIGINS", help_heading = AUTHORIZATION)]
    pub publish_allowed_origins: Option<String>,
    /// Name of the cookie that carries a token [default: mercureAuthorization]
    #[arg(long, env = "COOKIE_NAME", value_name = "NAME", help_heading = AUTHORIZATION)]
    pub cookie_name: Option<String>,

    /// The file of the history, in the working directory when it has no `/`; `:memory:` keeps it in memory, and a restart
    /// forgets it [default: updates.db]
    #[arg(long, env = "DB_PATH", value_name = "PATH", help_heading = HISTORY)]
    pub db_path: Option<String>,
    /// When an acknowledged update is on the disk. `always`: before the 200; `interval`: within a second, so a crash of the
    /// hub or of the host loses that second; `never`: when the kernel likes, so a crash of the hub loses nothing, but a
    /// power cut may lose the whole file [default: always]
    #[arg(long, env = "HISTORY_SYNC", value_name = "WHEN", help_heading = HISTORY)]
    pub history_sync: Option<String>,
    /// Updates the history keeps; 0: all [default: 0]
    #[arg(long, env = "HISTORY_SIZE", value_name = "COUNT", help_heading = HISTORY)]
    pub history_size: Option<String>,
    /// Bytes the history keeps (`512MiB`, `1000GB`), about what its file takes of the disk; leave room for half as much
    /// again; 0: all [default: 0]
    #[arg(long, env = "HISTORY_MAX_BYTES", value_name = "SIZE", help_heading = HISTORY)]
    pub history_max_bytes: Option<String>,
    /// How long the history keeps an update (`30d`); 0s: for ever [default: 0s]
    #[arg(long, env = "HISTORY_MAX_AGE", value_name = "DURATION", help_heading = HISTORY)]
    pub history_max_age: Option<String>,
    /// 0: never remove anything, whatever the three bounds say; any other value up to 1: they hold, exactly, at any time
    /// [default: 0.3]
    #[arg(long, env = "HISTORY_CLEANUP_FREQUENCY", value_name = "0..1", help_heading = HISTORY)]
    pub history_cleanup_frequency: Option<String>,

    /// A comment is sent on a stream when nothing else was for so long, so that nothing in between takes it for dead; a
    /// peer that has vanished is given up after as long (5s to 2m); 0s: never [default: 15s]
    #[arg(long, env = "HEARTBEAT_INTERVAL", value_name = "DURATION", help_heading = LIMITS)]
    pub heartbeat_interval: Option<String>,
    /// How long a request's head may take; 0s: no limit [default: 10s]
    #[arg(long, env = "HEADER_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub header_timeout: Option<String>,
    /// How long a whole request may take; 0s: no limit [default: 0s]
    #[arg(long, env = "READ_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub read_timeout: Option<String>,
    /// How long a whole response may take. A stream ends after 80 to 100 % of it, and its client comes back; 0s: no limit
    /// [default: 0s]
    #[arg(long, env = "WRITE_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub write_timeout: Option<String>,
    /// A socket that takes no byte for so long, though some are owed, is closed; 0s: never [default: 30s]
    #[arg(long, env = "DISPATCH_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub dispatch_timeout: Option<String>,
    /// Over how long a stop spreads the end of streams, so that clients do not come back all at once; 0s: they end at once
    /// [default: 10s]
    #[arg(long, env = "DRAIN_TIMEOUT", value_name = "DURATION", help_heading = LIMITS)]
    pub drain_timeout: Option<String>,
    /// Largest body of a publication; beyond, 413 [default: 1MiB]
    #[arg(long, env = "MAX_BODY_SIZE", value_name = "SIZE", help_heading = LIMITS)]
    pub max_body_size: Option<String>,
    /// Most selectors of one subscription; beyond, 400 [default: 1000]
    #[arg(long, env = "MAX_SELECTORS", value_name = "COUNT", help_heading = LIMITS)]
    pub max_selectors: Option<String>,
    /// Most connections; beyond, new ones get 503 (with TLS they are closed), and old ones never notice [default: what the
    /// limit of open files leaves]
    #[arg(long, env = "MAX_CONNECTIONS", value_name = "COUNT", help_heading = LIMITS)]
    pub max_connections: Option<String>,
    /// Most connections of one address of IPv4, or of one network of IPv6 (/64); beyond, new ones get 429 (with TLS they
    /// are closed). With USE_FORWARDED_HEADERS it counts the streams of the address that the proxy names; 0: no limit
    /// [default: 0]
    #[arg(long, env = "MAX_CONNECTIONS_PER_ADDRESS", value_name = "COUNT", help_heading = LIMITS)]
    pub max_connections_per_address: Option<String>,
    /// Most subscriptions that one token has at once; beyond, 429; 0: no limit [default: 0]
    #[arg(long, env = "MAX_SUBSCRIPTIONS_PER_TOKEN", value_name = "COUNT", help_heading = LIMITS)]
    pub max_subscriptions_per_token: Option<String>,
    /// Bytes a slow subscriber may owe before it is served from the history [default: 256KiB]
    #[arg(long, env = "SUBSCRIBER_BUFFER", value_name = "SIZE", help_heading = LIMITS)]
    pub subscriber_buffer: Option<String>,

    /// How many shards; each has a core of its own, the first ones of CPUS [default: one for each core]
    #[arg(long, env = "SHARDS", value_name = "COUNT", help_heading = CORES)]
    pub shards: Option<String>,
    /// Cores to use, `0,2-3` [default: those the process may run on]
    #[arg(long, env = "CPUS", value_name = "LIST", help_heading = CORES)]
    pub cpus: Option<String>,

    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`, each with those before it; why a request is refused is
    /// said at `info` [default: info; debug with DEBUG]
    #[arg(long, env = "LOG_LEVEL", value_name = "LEVEL", help_heading = LOGS)]
    pub log_level: Option<String>,
    /// How a line of the log looks. `TEXT`: for people; `JSON`: an object on each line; `FLUENTD`: the same with the fields
    /// that Fluentd expects (`time` in seconds, `severity`, `message`) [default: TEXT]
    #[arg(long, env = "LOG_FORMAT", value_name = "FORMAT", help_heading = LOGS)]
    pub log_format: Option<String>,
    /// A line for each request, whatever LOG_LEVEL says, and for each stream one when it begins and one when it ends;
    /// tokens are never in it [default: 0]
    #[arg(long, env = "ACCESS_LOG", value_name = "0|1", num_args = 0..=1, default_missing_value = "1", help_heading = LOGS)]
    pub access_log: Option<String>,

    /// Address of a listener of its own for Prometheus, which has /metrics and nothing else but /healthz, without TLS and
    /// without authorization: not for strangers. `127.0.0.1:9464` [default: none, and no metrics]
    #[arg(long, env = "METRICS_ADDR", value_name = "ADDRESS", help_heading = METRICS)]
    pub metrics_addr: Option<String>,
}
