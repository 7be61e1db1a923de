//! A hub inside any Rust program: [`Hub`].
//!
//! It has the settings of the binary, but only from [`Builder::set`]: it reads none from the
//! environment, handles no signals, and starts no log (it uses `tracing`). For HTTPS, the
//! environment of the host does set the trusted certificates and the proxy (`SSL_CERT_FILE`,
//! `HTTPS_PROXY`).

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Config, Environment, Options, shown};
use crate::error_text::chain;
use crate::history::redb::OpenError;
use crate::mercure::audience::Authorization;
use crate::mercure::public_url::PublicUrl;
use crate::mercure::update::{Draft, Update, UpdateError, UpdateRules};
use crate::ops::host;
use crate::server::embedded::Embedded;
use crate::server::error::RunError;
use crate::server::receipt::{CommitError, Receipt};
use crate::sse::frame::Frame;

/// Settings of the binary's log. A program with an embedded hub configures its own.
const OF_THE_BINARY: [&str; 2] = ["LOG_LEVEL", "LOG_FORMAT"];

/// A hub that runs inside this program, on its own threads.
///
/// [`Hub::stop`] waits for its end; its port and history are then free. A dropped hub stops, but
/// nothing waits for it: both are free a little later, and until then another hub cannot use them
/// (the history is "held by another process"). A program that returns from `main` does not wait
/// either: streams are cut off, and the next start may have to repair the history. So call
/// [`Hub::stop`].
///
/// [`Builder::start`], [`Hub::stop`] and [`Receipt::wait`] block their thread; everything else
/// returns at once.
///
/// ```no_run
/// use petasos::{Draft, Hub};
///
/// let hub = Hub::builder()
///     .set("ADDR", "127.0.0.1:3000")
///     .set("JWT_KEY", "a key that nobody can guess, of 32 bytes or more")
///     .set("ALLOW_ANONYMOUS", "1")
///     .set("DB_PATH", ":memory:")
///     .start()?;
/// let topics = ["https://example.com/books/1"];
/// let receipt = hub.publish(&Draft { topics: &topics, data: "in stock", ..Draft::default() })?;
/// println!("{} is stored; {} subscribers are connected", receipt.wait()?, hub.subscribers());
/// hub.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Hub {
    embedded: Embedded,
    authorization: Authorization,
    /// The hub's URL, if it speaks draft 08.
    draft08: Option<PublicUrl>,
    /// `MAX_BODY_SIZE`
    body_bytes_max: u64,
    warnings: Vec<String>,
}

/// The settings of a [`Hub`], under the names of their variables; `petasos --help` lists them all.
/// They have the same effect as in the binary, with these exceptions:
///
/// - `LOG_LEVEL` and `LOG_FORMAT` are refused: the program's `tracing` subscriber decides which
///   events are logged, and in which form. `ACCESS_LOG=1` emits the events of requests, at the
///   level info and with the target `petasos::access`; `DEBUG=1` emits events with the contents of
///   posted updates, at the level debug.
/// - SIGHUP is not handled: a key file (`JWT_KEY_FILE`) is read only at start. A certificate is
///   read again when it changes.
/// - No socket is taken from a service manager, and none is notified of the hub's state.
///
/// The `{:?}` output shows no secret.
#[derive(Clone, Default)]
pub struct Builder {
    /// Name and value, as they were set.
    settings: Vec<(String, String)>,
}

/// Why a hub does not start. The text includes the causes, so there is no `source`.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong; one text for each error.
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
    /// The history file cannot be used.
    #[error("{}", chain(.0))]
    History(OpenError),
    /// The host lacks something, or the address is in use.
    #[error("{}", chain(.0))]
    Run(RunError),
}

/// Why an update is not published. The text includes the cause, like that of [`StartError`].
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It breaks a rule of the protocol.
    #[error("{0}")]
    Invalid(UpdateError),
    /// It is larger than `MAX_BODY_SIZE`.
    #[error("the update has {bytes} bytes, more than MAX_BODY_SIZE ({bytes_max})")]
    TooLarge {
        /// The bytes of its topics, targets, data, id and type.
        bytes: u64,
        /// `MAX_BODY_SIZE`, in bytes.
        bytes_max: u64,
    },
    /// The hub cannot take it now.
    #[error("{0}")]
    Refused(CommitError),
}

impl Builder {
    /// Sets a setting: the name of its variable, such as `HEARTBEAT_INTERVAL`, and a value as the
    /// variable would have it. A second call replaces the value. [`Builder::start`] checks both.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.settings.retain(|(other, _)| *other != name);
        self.settings.push((name, value.into()));
        self
    }

    /// Starts the hub; it accepts connections when this returns. It blocks the thread until then:
    /// it opens the history, and after a crash repairs it, which takes longer for a larger history.
    /// An async program starts the hub before its runtime, as `examples/axum.rs` does, or where
    /// blocking is allowed (`tokio::task::spawn_blocking`).
    ///
    /// # Errors
    /// [`StartError`]
    pub fn start(self) -> Result<Hub, StartError> {
        let options = self.options().map_err(StartError::Settings)?;
        let cpus = host::own_cpus().map_err(|error| StartError::Run(RunError::Cpus(error)))?;
        let memory = host::MemoryLimit::read();
        let environment = Environment {
            read_file: &host::read_key_file,
            cpus: &cpus,
            memory: memory.as_ref(),
            variables: &[],
        };
        let config = Config::read(&options, &environment)
            .map_err(|errors| StartError::Settings(errors.iter().map(ToString::to_string).collect()))?;
        let history = config.open_history().map_err(StartError::History)?;
        let api = &config.settings.api;
        let (authorization, body_bytes_max) = (api.authorization, api.body_bytes_max);
        let draft08 = api.public_url.clone().filter(|_| api.dialects.has_draft08());
        let embedded = Embedded::start(config.settings, history).map_err(StartError::Run)?;
        Ok(Hub { embedded, authorization, draft08, body_bytes_max, warnings: config.warnings })
    }

    fn options(&self) -> Result<Options, Vec<String>> {
        let (mut options, mut errors) = (Options::default(), Vec::new());
        for (name, value) in &self.settings {
            if OF_THE_BINARY.contains(&name.as_str()) {
                errors.push(format!(
                    "{name} is of the binary alone: a program with a hub sets up `tracing` itself"
                ));
            } else if let Err(error) = options.set(name, value) {
                errors.push(error.to_string());
            }
        }
        if errors.is_empty() { Ok(options) } else { Err(errors) }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Builder");
        for (name, value) in &self.settings {
            text.field(name, &shown(name, value));
        }
        text.finish()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("address", &self.address())
            .field("is_running", &self.is_running())
            .field("subscribers", &self.subscribers())
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub with the default settings of the binary; at least a key must be set (`JWT_KEY`, or
    /// `DEMO`).
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The address on which it listens, with the actual port if 0 was set.
    pub fn address(&self) -> SocketAddr {
        self.embedded.address()
    }

    /// Warnings about the settings, for the operator.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The number of subscribers connected now.
    pub fn subscribers(&self) -> u64 {
        self.embedded.subscribers()
    }

    /// Whether it runs. It does not if one of its threads has failed; [`Hub::stop`] then returns
    /// the reason.
    pub fn is_running(&self) -> bool {
        self.embedded.is_running()
    }

    /// Publishes an update. The program needs no token, and may publish to any topic except the
    /// hub's own; a [`Draft`] has the same bounds as any publisher's update. `MAX_BODY_SIZE`
    /// (default 1 MiB) bounds the bytes of its topics, targets, data, id and type together. It
    /// neither blocks nor waits; [wait for](Receipt::wait) the receipt, or await it.
    ///
    /// # Errors
    /// [`PublishError`]: nothing was dispatched.
    pub fn publish(&self, draft: &Draft<'_>) -> Result<Receipt, PublishError> {
        let (bytes, bytes_max) = (bytes_of(draft), self.body_bytes_max);
        if bytes > bytes_max {
            return Err(PublishError::TooLarge { bytes, bytes_max });
        }
        let random = uuid::Uuid::new_v4().into_bytes();
        let rules = UpdateRules { authorization: self.authorization, draft08: self.draft08.as_ref() };
        let update = Update::build(draft, rules, random).map_err(PublishError::Invalid)?;
        self.embedded.publish(Arc::new(Frame::encode(update))).map_err(PublishError::Refused)
    }

    /// Begins to stop: from now on nothing is published, and streams end. [`Hub::stop`] waits for
    /// the end.
    pub fn begin_stop(&self) {
        self.embedded.begin_stop();
    }

    /// Stops, and blocks the thread until the last stream has ended (`DRAIN_TIMEOUT`), each with
    /// everything that was acknowledged. The hub's port and history are then free.
    ///
    /// # Errors
    /// [`RunError`]: one of its threads had failed; the cause is its `source()`.
    pub fn stop(self) -> Result<(), RunError> {
        self.embedded.stop()
    }
}

/// The bytes of its texts, as counted for `MAX_BODY_SIZE`.
fn bytes_of(draft: &Draft<'_>) -> u64 {
    let lists = [draft.topics, draft.targets].into_iter().flatten();
    let texts = lists.chain(&draft.id).chain(&draft.event_type).chain([&draft.data]);
    texts.map(|text| text.len() as u64).sum()
}
