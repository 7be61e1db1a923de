//! The process that is measured: a hub or the limit server, started on a processor of its own and stopped afterwards.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::args::{Common, Fault};
use crate::tls::{CERTIFICATE_FILE, KEY_FILE};
use crate::wire::request::Wire;

/// How long a server may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// What `--subject` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// The hub.
    Hub,
    /// The limit: a loop of sends and nothing else.
    Limit,
}

/// One server that rounds measure.
#[derive(Debug, Clone)]
pub(crate) struct Contestant {
    /// What it is called in tables.
    pub(crate) name: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A hub that each round starts afresh, with TLS or without, and over HTTP/2 or 1.1.
    Start { tls: bool, http2: bool },
    /// A server that runs already.
    Running { wire: Box<Wire>, process: Option<u32> },
    /// The limit server, started afresh, too.
    Limit,
}

impl Contestant {
    /// What the command line names first.
    pub(crate) fn subject(common: &Common) -> Result<Self, String> {
        if common.subject == Subject::Limit {
            return match common.http2 {
                true => Err("the limit server speaks HTTP/1.1 alone".to_owned()),
                false => Ok(Self::limit()),
            };
        }
        let runs = common.url.is_some() || common.templates.is_given();
        let kind = if runs {
            let wire = Box::new(Wire::parse(common.url.as_deref(), &common.templates)?);
            Kind::Running { wire, process: common.pid }
        } else if common.pid.is_some() {
            return Err("--pid names the process of a running server: give its --url, too".to_owned());
        } else {
            Kind::Start { tls: common.tls, http2: common.http2 }
        };
        Ok(Self { name: "hub".to_owned(), kind })
    }

    /// A hub of `--compare`, as `URL` or `URL,PID`.
    pub(crate) fn compared(text: &str) -> Result<Self, String> {
        let (url, process) = match text.rsplit_once(',') {
            Some((url, pid)) => {
                (url, Some(pid.parse().map_err(|_| format!("{text}: expected URL or URL,PID"))?))
            }
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

    /// What ratios are over: the limit server, but a hub over HTTP/1.1 when HTTP/2 is measured, and one in clear text when TLS is.
    pub(crate) fn reference(common: &Common) -> Self {
        match common {
            Common { http2: true, tls, .. } => {
                Self { name: "HTTP/1.1".to_owned(), kind: Kind::Start { tls: *tls, http2: false } }
            }
            Common { tls: true, .. } => {
                Self { name: "plain".to_owned(), kind: Kind::Start { tls: false, http2: false } }
            }
            _ => Self::limit(),
        }
    }

    /// How many streams share a connection to it; `None`: it is spoken to over HTTP/1.1.
    pub(crate) fn streams_per_connection(&self, common: &Common) -> Option<usize> {
        let is_http2 = match self.kind {
            Kind::Start { http2, .. } => http2,
            Kind::Running { .. } => common.http2,
            Kind::Limit => false,
        };
        is_http2.then_some(common.streams_per_connection as usize)
    }

    /// Its process, when it runs already and is known.
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
    /// Where it keeps its history, removed with it.
    scratch: Option<PathBuf>,
}

impl Server {
    /// Starts the contestant, unless it runs already; a hub with its history in a file when `history_sync` says how.
    pub(crate) fn start(
        common: &Common,
        contestant: &Contestant,
        history_sync: Option<&str>,
    ) -> Result<Self, String> {
        let (mut scratch, mut tls) = (None, None);
        let streams_per_connection = contestant.streams_per_connection(common);
        let address = free_address()?;
        let mut command = match &contestant.kind {
            Kind::Running { wire, process } => {
                let mut wire = Wire::clone(wire);
                wire.streams_per_connection = streams_per_connection;
                return Ok(Self { child: None, process: *process, wire, scratch });
            }
            Kind::Start { tls: is_tls, http2 } => {
                let needs_folder = history_sync.is_some() || *is_tls;
                scratch = needs_folder.then(|| scratch_folder(common)).transpose()?;
                let mut command = hub_command(common, address, scratch.as_deref().zip(history_sync))?;
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
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let process = Some(child.id());
        let mut wire = Wire::local(address)?;
        wire.tls = tls;
        wire.streams_per_connection = streams_per_connection;
        let mut server = Self { child: Some(child), process, wire, scratch };
        server.await_listening()?;
        Ok(server)
    }

    /// How it is spoken to.
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Its process, when it is known.
    pub(crate) fn process(&self) -> Option<u32> {
        self.process
    }

    fn await_listening(&mut self) -> Result<(), String> {
        let started = Instant::now();
        let address = self.wire.subscribers();
        while TcpStream::connect(address).is_err() {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(format!("the server ended before it listened: {status}"));
            }
            if started.elapsed() > START_PATIENCE {
                return Err(format!("the server does not listen on {address} after {START_PATIENCE:?}"));
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
        // The child has not been waited for, so its id is still its own.
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
pub(crate) fn pin_to(cpu: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    if cpu < CpuSet::MAX_CPU {
        set.set(cpu);
    }
    sched_setaffinity(None, &set).map_err(|error| format!("processor {cpu} cannot be used: {error}"))
}

/// Runs `spawn` on processor `cpu`, which its children inherit, and comes back.
fn pinned<T>(cpu: usize, spawn: impl FnOnce() -> T) -> Result<T, String> {
    let before = sched_getaffinity(None).map_err(|error| format!("affinity: {error}"))?;
    pin_to(cpu)?;
    let outcome = spawn();
    sched_setaffinity(None, &before).map_err(|error| format!("affinity: {error}"))?;
    Ok(outcome)
}

/// A new folder for the history of one hub.
fn scratch_folder(common: &Common) -> Result<PathBuf, String> {
    let folder = common.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let folder = folder.join(format!("petasos-loadtest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder)
}

fn hub_command(
    common: &Common,
    address: SocketAddr,
    history: Option<(&Path, &str)>,
) -> Result<Command, String> {
    let program = match &common.server {
        Some(path) => path.clone(),
        None => find_hub()?,
    };
    let mut command = Command::new(program);
    command
        .env("DEMO", "1")
        .env("ADDR", address.to_string())
        .env("SHARDS", "1")
        .env("CPUS", common.server_cpu.to_string())
        .env("LOG_LEVEL", "error")
        .env("DB_PATH", ":memory:");
    if let Some((folder, sync)) = history {
        command.env("DB_PATH", folder.join("updates.db")).env("HISTORY_SYNC", sync);
    }
    for pair in &common.server_env {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair}: expected NAME=VALUE"))?;
        command.env(name, value);
    }
    Ok(command)
}

fn limit_command(common: &Common, address: SocketAddr) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let mut command = Command::new(program);
    command.args(["limit-server", "--listen", &address.to_string()]);
    if common.fault != Fault::None {
        command.args(["--fault", common.fault.name()]);
    }
    Ok(command)
}

/// The hub's binary: beside this one, in `target/release`, or in `PATH`.
fn find_hub() -> Result<PathBuf, String> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("petasos")));
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain([built.join("release/petasos")])
        .chain(std::env::split_paths(&path).map(|folder| folder.join("petasos")))
        .find(|candidate| Path::is_file(candidate))
        .ok_or_else(|| {
            "no petasos beside this program, in target/release or in PATH: build it (cargo build --release), \
             or name one with --server, or measure a running hub with --url"
                .to_owned()
        })
}

fn free_address() -> Result<SocketAddr, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|error| format!("no free port: {error}"))
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
}
