//! The process that is measured: a hub or the limit server, started on a processor of its own and stopped afterwards.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use crate::args::{Common, Fault};
use crate::wire::http::Target;

/// How long a server may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to stop before it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// Which server a round measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Subject {
    /// The hub.
    Hub,
    /// The limit: a loop of sends and nothing else.
    Limit,
}

impl Subject {
    /// What it is called in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Limit => "limit server",
        }
    }
}

/// A server under measurement.
#[derive(Debug)]
pub(crate) struct Server {
    child: Option<Child>,
    process: Option<u32>,
    target: Target,
}

impl Server {
    /// Starts the subject, or finds the hub that `--url` names.
    pub(crate) fn start(common: &Common, subject: Subject) -> Result<Self, String> {
        if let (Subject::Hub, Some(url)) = (subject, &common.url) {
            return Ok(Self { child: None, process: common.pid, target: Target::parse(url)? });
        }
        let address = free_address()?;
        let mut command = match subject {
            Subject::Hub => hub_command(common, address)?,
            Subject::Limit => limit_command(common, address)?,
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = pinned(common.server_cpu, || command.spawn())?
            .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
        let process = Some(child.id());
        let mut server = Self { child: Some(child), process, target: Target::local(address) };
        server.await_listening()?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Its process, when it is known.
    pub(crate) fn process(&self) -> Option<u32> {
        self.process
    }

    fn await_listening(&mut self) -> Result<(), String> {
        let started = Instant::now();
        while TcpStream::connect(self.target.address).is_err() {
            if let Some(Ok(Some(status))) = self.child.as_mut().map(Child::try_wait) {
                return Err(format!("the server ended before it listened: {status}"));
            }
            if started.elapsed() > START_PATIENCE {
                return Err(format!(
                    "the server does not listen on {} after {START_PATIENCE:?}",
                    self.target.address
                ));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
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

fn hub_command(common: &Common, address: SocketAddr) -> Result<Command, String> {
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
