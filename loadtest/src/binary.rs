//! The hub's binary: its path, its version and its profile.

use std::ffi::OsStr;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The name of the binary.
const NAME: &str = "petasos";
/// The profiles whose folders are searched, the best first.
const BUILT: [&str; 2] = ["dist", "release"];
/// The folders that cargo names after a profile (`dev` is in `debug`).
const PROFILES: [&str; 3] = ["dist", "release", "debug"];
/// The time limit for printing the version.
const VERSION_PATIENCE: Duration = Duration::from_secs(2);
/// The maximum number of characters kept of a version.
const VERSION_CHARS_MAX: usize = 100;

/// There is no binary of the hub.
#[derive(Debug, thiserror::Error)]
#[error(
    "no {NAME} beside this program, in {0} or in PATH: build it (cargo build --profile dist --workspace), \
     or name one with --server, or measure a running hub with --url"
)]
pub(crate) struct NoBinary(String);

/// The hub's binary: beside this one, else in `dist` or `release` of the target folder, else in
/// `PATH`.
pub(crate) fn find() -> Result<PathBuf, NoBinary> {
    let own = std::env::current_exe().ok();
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    candidates(own.as_deref(), &target, &path).find(|candidate| candidate.is_file()).ok_or_else(|| {
        NoBinary(BUILT.map(|profile| target.join(profile).display().to_string()).join(", in "))
    })
}

/// The candidate paths, in order.
fn candidates(own: Option<&Path>, target: &Path, path: &OsStr) -> impl Iterator<Item = PathBuf> {
    let beside = own.and_then(Path::parent).map(Path::to_path_buf);
    let built = BUILT.map(|profile| target.join(profile));
    let folders = beside.into_iter().chain(built).chain(std::env::split_paths(path).collect::<Vec<_>>());
    folders.map(|folder| folder.join(NAME))
}

/// The profile of a binary, from the name of its cargo folder; `None` elsewhere.
pub(crate) fn profile(program: &Path) -> Option<&'static str> {
    let folder = program.canonicalize().ok()?;
    let folder = folder.parent()?.file_name()?;
    PROFILES.into_iter().find(|profile| folder == OsStr::new(profile))
}

/// The first line that the binary prints for `--version`.
pub(crate) fn version(program: &Path) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    let started = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if started.elapsed() < VERSION_PATIENCE => std::thread::sleep(Duration::from_millis(1)),
            // Another program, which does not know the option.
            Ok(None) | Err(_) => break None,
        }
    };
    if !status.is_some_and(|status| status.success()) {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let mut text = Vec::new();
    child.stdout?.take(4_096).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().next()?.trim();
    let plain = line.chars().filter(|letter| !letter.is_control()).take(VERSION_CHARS_MAX);
    Some(plain.collect()).filter(|line: &String| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A folder that a test removes at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("petasos-loadtest-{name}-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder");
            Self(folder)
        }

        fn script(&self, path: &str, text: &str) -> PathBuf {
            let file = self.0.join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(&file, format!("#!/bin/sh\n{text}\n")).expect("a file");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a mode");
            file
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_hub_is_looked_for_beside_the_program_then_in_dist_and_release_then_in_path() {
        let own = Path::new("/opt/load/petasos-loadtest");
        let found: Vec<PathBuf> = candidates(Some(own), Path::new("/t"), OsStr::new("/a:/b")).collect();
        let expected =
            ["/opt/load/petasos", "/t/dist/petasos", "/t/release/petasos", "/a/petasos", "/b/petasos"];
        assert_eq!(found, expected.map(PathBuf::from));
        let first = candidates(None, Path::new("target"), OsStr::new("")).next();
        assert_eq!(first, Some(PathBuf::from("target/dist/petasos")));
    }

    #[test]
    fn a_version_is_one_plain_line_or_not_known() {
        let folder = Folder::new("version");
        let says = folder.script("dist/says", "printf 'petasos 1.2.3\\033[1m\\nmore\\n'");
        assert_eq!(version(&says).as_deref(), Some("petasos 1.2.3[1m"));
        assert_eq!(version(&folder.script("fails", "echo 1; exit 1")), None);
        assert_eq!(version(&folder.script("silent", "exit 0")), None);
        assert_eq!(version(&folder.0.join("none")), None);
    }

    #[test]
    fn a_program_that_goes_on_has_no_version() {
        let folder = Folder::new("goes-on");
        assert_eq!(version(&folder.script("serves", "exec sleep 60")), None);
    }

    #[test]
    fn the_profile_is_the_name_of_cargos_folder() {
        let folder = Folder::new("profile");
        assert_eq!(profile(&folder.script("dist/x", "")), Some("dist"));
        assert_eq!(profile(&folder.script("debug/x", "")), Some("debug"));
        assert_eq!(profile(&folder.script("bin/x", "")), None);
        assert_eq!(profile(&folder.0.join("dist/none")), None);
    }
}
