//! Goal: the properties of `fuzz/properties` hold for the seeds, and for what is made from them, on
//! a stable toolchain.
//!
//! Method: each target reads the seeds of `fuzz/seeds` and, for `FUZZ_SECONDS`, inputs that
//! `mutator` makes from them. It prints its seed; an input that fails is written to a file, and the
//! message names the command that repeats it. libFuzzer, which also looks for inputs that reach new
//! code, runs the same properties: CONTRIBUTING.md.
//!
//! | variable | meaning |
//! |---|---|
//! | `FUZZ_SECONDS` | seconds for each target; without it, the seeds alone |
//! | `FUZZ_SEED` | repeats the inputs of this seed |
//! | `FUZZ_INPUT` | reads this file alone |

mod mutator;

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, io};

use fastrand::Rng;
use petasos_fuzz_properties::{TARGETS, Target};

/// Where the crate for libFuzzer, the seeds and the dictionaries are.
fn fuzz_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// Not captured: it has to be seen also when the process aborts.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn fuzz(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target");
    if let Some(path) = env::var_os("FUZZ_INPUT") {
        return (target.check)(&read(Path::new(&path)));
    }
    let paths = files(&fuzz_folder().join("seeds").join(name));
    let seeds: Vec<Vec<u8>> = paths.iter().map(|path| read(path)).collect();
    for (path, bytes) in paths.iter().zip(&seeds) {
        let ran = catch_unwind(|| (target.check)(bytes));
        assert!(ran.is_ok(), "again: FUZZ_INPUT={} cargo test --test fuzz {name}", path.display());
    }
    if let Some(seconds) = number("FUZZ_SECONDS") {
        run_for(target, &seeds, Duration::from_secs(seconds));
    }
}

fn run_for(target: &Target, seeds: &[Vec<u8>], time: Duration) {
    let dictionary = fuzz_folder().join("dictionaries").join(format!("{}.dict", target.name));
    let words = mutator::words(&String::from_utf8(read(&dictionary)).expect("UTF-8"));
    let seed = number("FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    say(&format!("{}: FUZZ_SEED={seed}", target.name));
    let mut rng = Rng::with_seed(seed);
    let (begin, mut inputs) = (Instant::now(), 0_u64);
    while begin.elapsed() < time {
        let bytes = mutator::mutated(&mut rng, seeds, &words, target.input_bytes_max);
        inputs += 1;
        if catch_unwind(AssertUnwindSafe(|| (target.check)(&bytes))).is_err() {
            let path = keep(target.name, &bytes);
            panic!("again: FUZZ_INPUT={} cargo test --test fuzz {}", path.display(), target.name);
        }
    }
    say(&format!("{}: {inputs} inputs in {} s", target.name, time.as_secs()));
}

/// Writes an input that fails.
fn keep(name: &str, bytes: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    fs::create_dir_all(&folder).expect("a folder in the target folder");
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let path = folder.join(format!("{name}-{hash:016x}"));
    fs::write(&path, bytes).expect("a file in the target folder");
    path
}

/// A test for each target; the list is complete.
macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                fuzz(stringify!($name));
            }
        )*
        const TESTED: &[&str] = &[$(stringify!($name)),*];
    };
}

targets! {
    accept_encoding cors date etag form forwarded http1 http2 pattern record redact stream template token update
}

#[test]
fn every_target_is_tested_has_seeds_and_a_dictionary_and_runs_in_libfuzzer() {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, TESTED);
    let folder = fuzz_folder();
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).expect("the crate for libFuzzer");
    let mut all_bytes = 0;
    for Target { name, input_bytes_max, .. } in TARGETS {
        let seeds = files(&folder.join("seeds").join(name));
        assert!(seeds.len() >= 5, "{name} has {} seeds", seeds.len());
        for path in &seeds {
            let bytes = read(path).len();
            assert!(bytes <= input_bytes_max, "{} has {bytes} bytes", path.display());
            all_bytes += bytes;
        }
        let dictionary = folder.join("dictionaries").join(format!("{name}.dict"));
        assert!(!mutator::words(&String::from_utf8(read(&dictionary)).expect("UTF-8")).is_empty(), "{name}");
        let body = read(&folder.join("fuzz_targets").join(format!("{name}.rs")));
        let body = String::from_utf8(body).expect("UTF-8");
        assert!(body.contains(&format!("petasos_fuzz_properties::{name}::check")), "{name}: {body}");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is no binary of fuzz/Cargo.toml");
    }
    assert!(all_bytes < 300_000, "the seeds have {all_bytes} bytes");
}
