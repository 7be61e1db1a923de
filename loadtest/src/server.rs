//! The measured process: a hub or the limit server, started on a separate processor and stopped
//! afterwards.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::about::About;
use crate::binary::{self, NoBinary};
use crate::options::{Common, Fault, Subject};
use crate::record::masked_setting;
use crate::reference::Reference;
use crate::settings::{HubNeeds, SettingError, folder_of_history, hub_settings};
use crate::tls::{CERTIFICATE_FILE, CertificateError, KEY_FILE};
use crate::wire::request::{Wire, WireError};

/// How long a server may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// One server that rounds measure.
#[derive(Debug, Clone)]
pub(crate) struct Contestant {
    /// Its name in tables.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A hub that each round starts anew, with or without TLS, over HTTP/2 or 1.1; from the binary
    /// of `--before` or from that of the run.
    Start { tls: bool, http2: bool, before: bool },
    /// A server that is already running.
    Running { wire: Box<Wire>, process: Option<u32> },
    /// The limit server, also started anew by each round.
    Limit,
}

/// Why a server cannot be measured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    #[error("the limit server speaks HTTP/1.1 alone")]
    LimitHttp2,
    #[error("--pid names the process of a running server: give its --url, too")]
    Pid,
    #[error("{0}: expected URL or URL,PID")]
    Compared(String),
    #[error(transparent)]
    Setting(#[from] SettingError),
    #[error("no free port")]
    Port(#[source] io::Error),
    #[error("{}", .0.display())]
    Folder(PathBuf, #[source] io::Error),
    #[error("own path")]
    OwnPath(#[source] io::Error),
    #[error("{0}")]
    Spawn(String, #[source] io::Error),
    #[error("the server ended before it listened: {0}")]
    Ended(ExitStatus),
    #[error("the server does not listen on {0} after {START_PATIENCE:?}")]
    Silent(SocketAddr),
    #[error("processor {0} cannot be used")]
    Processor(usize, #[source] Errno),
    #[error("affinity")]
    Affinity(#[source] Errno),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    NoBinary(#[from] NoBinary),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

impl Contestant {
    /// The server that the command line names first.
    pub(crate) fn subject(common: &Common) -> Result<Self, ServerError> {
        if common.subject == Subject::Limit {
            return match common.http2 {
                true => Err(ServerError::LimitHttp2),
                false => Ok(Self::limit()),
            };
        }
        let runs = common.url.is_some() || common.templates.is_given();
        let kind = if runs {
            let wire = Box::new(Wire::parse(common.url.as_deref(), &common.templates)?);
            Kind::Running { wire, process: common.pid }
        } else if common.pid.is_some() {
            return Err(ServerError::Pid);
        } else {
            Kind::Start { tls: common.tls, http2: common.http2, before: false }
        };
        Ok(Self { name: "hub".to_owned(), kind })
    }

    /// A hub of `--compare`, as `URL` or `URL,PID`.
    pub(crate) fn compared(text: &str) -> Result<Self, ServerError> {
        let (url, process) = match text.rsplit_once(',') {
            Some((url, pid)) => (url, Some(pid.parse().map_err(|_| ServerError::Compared(text.to_owned()))?)),
            None => (text, None),
        };
        let wire = Box::new(Wire::mercure(url)?);
        let name = url.trim_start_matches("http://").split('/').next().unwrap_or(url).to_owned();
        Ok(Self { name, kind: Kind::Running { wire, process } })
    }

    /// The limit server.
    fn limit() -> Self {
        Self { name: "limit".to_owned(), kind: Kind::Limit }
    }

    /// The server that ratios compare with.
    pub(crate) fn reference(reference: Reference, common: &Common) -> Self {
        let hub = |name: &str, tls| {
            let kind = Kind::Start { tls, http2: false, before: false };
            Self { name: name.to_owned(), kind }
        };
        match reference {
            Reference::Before => {
                let kind = Kind::Start { tls: common.tls, http2: common.http2, before: true };
                Self { name: "before".to_owned(), kind }
            }
            Reference::Limit | Reference::Ring => Self::limit(),
            Reference::Http1 => hub("HTTP/1.1", common.tls),
            Reference::ClearText => hub("plain", false),
        }
    }

    /// Its description in a report, before it is started for a scenario with these needs.
    pub(crate) fn about(&self, common: &Common, needs: &HubNeeds) -> Result<About, ServerError> {
        let mut about = About { protocol: self.protocol(common), ..About::default() };
        match self.kind {
            Kind::Running { .. } => {}
            Kind::Limit => {
                about.is_started = true;
                about.software = Some(
                    concat!("limit server of ", env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"))
                        .to_owned(),
                );
                about.profile = std::env::current_exe().ok().and_then(|own| binary::profile(&own));
            }
            Kind::Start { before, .. } => {
                let program = hub_program(common, before)?;
                about.is_started = true;
                about.software = binary::version(&program);
                about.profile = binary::profile(&program);
                let history = needs.history_sync.map(|sync| ("FOLDER".into(), sync));
                let settings = hub_settings(common, history, needs)?;
                about.settings =
                    settings.iter().map(|(name, value)| masked_setting(&format!("{name}={value}"))).collect();
            }
        }
        Ok(about)
    }

    /// Its protocol, in words.
    fn protocol(&self, common: &Common) -> String {
        let is_tls = matches!(self.kind, Kind::Start { tls: true, .. });
        let below = if is_tls { "over TLS" } else { "in clear text" };
        let mut out = match self.streams_per_connection(common) {
            Some(streams) => format!("HTTP/2 {below}, {streams} streams per connection"),
            None => format!("HTTP/1.1 {below}"),
        };
        if let Some(coding) = common.compress {
            out.push_str(&format!(", asked for {}", coding.name()));
        }
        out
    }

    /// The number of streams that share a connection to it; `None` for HTTP/1.1.
    pub(crate) fn streams_per_connection(&self, common: &Common) -> Option<usize> {
        let is_http2 = match self.kind {
            Kind::Start { http2, .. } => http2,
            Kind::Running { .. } => common.http2,
            Kind::Limit => false,
        };
        is_http2.then_some(common.streams_per_connection as usize)
    }

    /// Its process id, if it already runs and the id is known.
    pub(crate) fn process(&self) -> Option<u32> {
        match self.kind {
            Kind::Running { process, .. } => process,
            Kind::Start { .. } | Kind::Limit => None,
        }
    }
}

/// A server under measurement.
#[derive(Debug)]
pub(crate) struct Server {
    child: Option<Child>,
    process: Option<u32>,
    wire: Wire,
    /// The folder of its history, removed with it.
    scratch: Option<PathBuf>,
    /// A folder on the disk of its history, if it is on one and that is known.
    history_folder: Option<PathBuf>,
    /// Where a started hub serves its metrics, if the scenario needs them.
    metrics: Option<SocketAddr>,
}

impl Server {
    /// Starts the contestant, unless it already runs, for a scenario with these needs.
    pub(crate) fn start(
        common: &Common,
        contestant: &Contestant,
        needs: &HubNeeds,
    ) -> Result<Self, ServerError> {
        let (mut scratch, mut tls, mut metrics, mut history_folder) = (None, None, None, None);
        let streams_per_connection = contestant.streams_per_connection(common);
        let address = free_address()?;
        let mut command = match &contestant.kind {
            Kind::Running { wire, process } => {
                let mut wire = Wire::clone(wire);
                wire.streams_per_connection = streams_per_connection;
                history_folder = common.scratch.clone();
                return Ok(Self { child: None, process: *process, wire, scratch, history_folder, metrics });
            }
            Kind::Start { tls: is_tls, http2, before } => {
                let needs_folder = needs.history_sync.is_some() || *is_tls;
                scratch = needs_folder.then(|| scratch_folder(common)).transpose()?;
                let program = hub_program(common, *before)?;
                let settings = hub_settings(common, scratch.clone().zip(needs.history_sync), needs)?;
                history_folder = folder_of_history(&settings);
                let mut command = Command::new(program);
                command.env("ADDR", address.to_string()).envs(settings);
                if needs.metrics {
                    let address = free_address()?;
                    metrics = Some(address);
                    command.env("METRICS_ADDR", address.to_string());
                }
                if let Some(folder) = scratch.as_deref().filter(|_| *is_tls) {
                    tls = Some(crate::tls::prepare(folder, *http2)?);
                    command
                        .env("CERT_FILE", folder.join(CERTIFICATE_FILE))
                        .env("KEY_FILE", folder.join(KEY_FILE));
                }
                command
            }
            Kind::Limit => limit_command(common, address)?,
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = pinned(common.server_cpu, || command.spawn())?
            .map_err(|error| ServerError::Spawn(command.get_program().display().to_string(), error))?;
        let process = Some(child.id());
        let mut wire = Wire::local(address)?;
        wire.tls = tls;
        wire.streams_per_connection = streams_per_connection;
        let mut server = Self { child: Some(child), process, wire, scratch, history_folder, metrics };
        server.await_listening()?;
        Ok(server)
    }

    /// The requests that it takes.
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Its process id, if known.
    pub(crate) fn process(&self) -> Option<u32> {
        self.process
    }

    /// Whether it was started here, and stops when this value is dropped.
    pub(crate) fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// A folder on the disk of its history; `None` if that is in memory, or not known.
    pub(crate) fn history_folder(&self) -> Option<&Path> {
        self.history_folder.as_deref()
    }

    /// Where it serves its metrics, if the scenario needs them and it was started.
    pub(crate) fn metrics(&self) -> Option<SocketAddr> {
        self.metrics
    }

    fn await_listening(&mut self) -> Result<(), ServerError> {
        let started = Instant::now();
        let address = self.wire.subscribers();
        while TcpStream::connect(address).is_err() {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(ServerError::Ended(status));
            }
            if started.elapsed() > START_PATIENCE {
                return Err(ServerError::Silent(address));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if let Some(scratch) = &self.scratch {
            let _ = std::fs::remove_dir_all(scratch);
        }
    }
}

impl Server {
    fn stop(&mut self) {
        let Some(child) = &mut self.child else { return };
        // The child has not been waited for, so its id has not been reused.
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let started = Instant::now();
        while started.elapsed() < STOP_PATIENCE {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Pins this thread to one processor.
pub(crate) fn pin_to(cpu: usize) -> Result<(), ServerError> {
    let mut set = CpuSet::new();
    if cpu < CpuSet::MAX_CPU {
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|error| ServerError::Processor(cpu, error))
}

/// Runs `spawn` on processor `cpu`, which its children inherit, then restores the affinity.
fn pinned<T>(cpu: usize, spawn: impl FnOnce() -> T) -> Result<T, ServerError> {
    let before = sched_getaffinity(None).map_err(ServerError::Affinity)?;
    pin_to(cpu)?;
    let outcome = spawn();
    sched_setaffinity(None, &before).map_err(ServerError::Affinity)?;
    Ok(outcome)
}

/// A new folder for the history of one hub.
fn scratch_folder(common: &Common) -> Result<PathBuf, ServerError> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = common.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = folder.join(format!("petasos-loadtest-{}-{number}", std::process::id()));
    if let Err(error) = std::fs::create_dir_all(&folder) {
        return Err(ServerError::Folder(folder, error));
    }
    Ok(folder)
}

/// The binary of a hub that is started: that of `--before`, or that of the run.
fn hub_program(common: &Common, before: bool) -> Result<PathBuf, ServerError> {
    let given = if before { &common.before } else { &common.server };
    Ok(given.clone().map_or_else(binary::find, Ok)?)
}

fn limit_command(common: &Common, address: SocketAddr) -> Result<Command, ServerError> {
    let program = std::env::current_exe().map_err(ServerError::OwnPath)?;
    let mut command = Command::new(program);
    command.args(["limit-server", "--listen", &address.to_string()]);
    if common.fault != Fault::None {
        command.args(["--fault", common.fault.name()]);
    }
    if common.ring {
        command.arg("--ring");
    }
    Ok(command)
}

fn free_address() -> Result<SocketAddr, ServerError> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(ServerError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compared_hub_may_name_its_process() {
        let hub = Contestant::compared("http://127.0.0.1:3001/hub,42").expect("valid");
        assert_eq!((hub.name.as_str(), hub.process()), ("127.0.0.1:3001", Some(42)));
        let hub = Contestant::compared("http://127.0.0.1:3001").expect("valid");
        assert_eq!((hub.name.as_str(), hub.process()), ("127.0.0.1:3001", None));
        assert!(Contestant::compared("http://127.0.0.1:3001,hub").is_err());
        assert!(Contestant::compared("127.0.0.1:3001").is_err());
    }

    #[test]
    fn the_command_line_overrides_the_settings_of_a_hub_and_a_report_masks_their_secrets() {
        let common = Common::given(&[
            "--server",
            "/bin/false",
            "--server-env",
            "SHARDS=2",
            "--server-env",
            "PUBLISHER_JWT_KEY=abc",
        ]);
        let hub = Contestant::subject(&common).expect("valid");
        let about = hub
            .about(&common, &HubNeeds { history_sync: Some("always"), ..HubNeeds::default() })
            .expect("valid");
        let expected = [
            "DEMO=1",
            "CPUS=0",
            "LOG_LEVEL=error",
            "DB_PATH=FOLDER/updates.db",
            "HISTORY_SYNC=always",
            "SHARDS=2",
            "PUBLISHER_JWT_KEY=***",
        ];
        assert_eq!((about.settings, about.software), (expected.map(str::to_owned).to_vec(), None));
        let settings = hub_settings(&common, None, &HubNeeds::default()).expect("valid");
        assert!(settings.contains(&("PUBLISHER_JWT_KEY".to_owned(), "abc".to_owned())));
        assert!(settings.contains(&("DB_PATH".to_owned(), ":memory:".to_owned())));
    }

    #[test]
    fn an_older_binary_is_compared_over_the_same_protocol() {
        let common = Common::given(&["--before", "/old", "--server", "/new", "--http2", "--tls"]);
        assert_eq!(Reference::of(&common), Reference::Before);
        let before = Contestant::reference(Reference::Before, &common);
        let subject = Contestant::subject(&common).expect("valid");
        assert_eq!(before.protocol(&common), subject.protocol(&common));
        let program = |before| hub_program(&common, before).expect("given");
        assert_eq!((program(true), program(false)), ("/old".into(), "/new".into()));
    }

    #[test]
    fn a_report_says_how_a_server_is_spoken_to() {
        let protocol = |arguments: &[&str]| {
            let common = Common::given(arguments);
            let reference = Contestant::reference(Reference::of(&common), &common);
            let subject = Contestant::subject(&common).expect("valid");
            [subject.protocol(&common), reference.protocol(&common)]
        };
        let http2 = "HTTP/2 over TLS, 7 streams per connection";
        assert_eq!(
            protocol(&["--tls", "--http2", "--streams-per-connection", "7"]),
            [http2, "HTTP/1.1 over TLS"]
        );
        assert_eq!(protocol(&["--tls"]), ["HTTP/1.1 over TLS", "HTTP/1.1 in clear text"]);
        let compressed = "HTTP/1.1 in clear text, asked for zstd";
        assert_eq!(protocol(&["--compress", "zstd"]), [compressed, compressed]);
    }
}
