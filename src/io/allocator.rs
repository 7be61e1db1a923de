//! The allocator of the binary, mimalloc: how it gives memory back.
//!
//! mimalloc gives freed memory back to the host on the thread that happens to free or allocate
//! after a delay: a shard that sleeps never does, and one that works stands still for 100 ms and
//! more where a gigabyte is given back. So in the binary a thread of its own does it, at the
//! request of the others, and no other thread ever does. A program that embeds the hub keeps its
//! allocator's settings: there the thread that asks does the work. In a program with another
//! allocator all this does nothing.

#![expect(unsafe_code, reason = "the functions are mimalloc's, which is C")]

use std::ffi::{c_int, c_long};
use std::io;
use std::sync::OnceLock;
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

// Links the library.
use libmimalloc_sys as _;

/// `mi_option_purge_delay` of mimalloc.h: after how many milliseconds freed memory is given back.
const PURGE_DELAY: c_int = 15;
/// A day: longer than memory ever stays freed without a request to give it back.
const PURGE_DELAY_MS: c_long = 24 * 60 * 60 * 1000;

/// `MI_RETIRE_CYCLES` and one more: mimalloc keeps the last empty page of each size for that many
/// collections, unless it is to give everything back at once.
const COLLECTIONS: usize = 17;

/// When the thread that gives memory back looks once more. Of two threads that do so at the same
/// moment mimalloc lets one pass by without a trace.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The thread that gives memory back, once it runs.
static PURGER: OnceLock<Thread> = OnceLock::new();

// The declarations of mimalloc.h. They are sound for any argument and from any thread.
unsafe extern "C" {
    safe fn mi_collect(force: bool);
    safe fn mi_option_set(option: c_int, value: c_long);
    #[cfg(test)]
    safe fn mi_option_get(option: c_int) -> c_long;
}

/// Starts the thread that gives freed memory back, for the rest of the process.
///
/// # Errors
/// The thread cannot start; then the threads that ask for it give memory back themselves.
pub(crate) fn start_purger() -> io::Result<()> {
    let run = || loop {
        thread::park();
        mi_collect(true);
        loop {
            let began = Instant::now();
            // Another request ends the wait, too.
            thread::park_timeout(AGAIN_AFTER);
            mi_collect(true);
            if began.elapsed() >= AGAIN_AFTER {
                break;
            }
        }
    };
    let purger = thread::Builder::new().name("memory".to_owned()).spawn(run)?;
    if PURGER.set(purger.thread().clone()).is_ok() {
        mi_option_set(PURGE_DELAY, PURGE_DELAY_MS);
    }
    Ok(())
}

/// Gives the freed memory of this thread back to the host, or has it given back soon. It
/// visits every page of the thread a few times.
pub(crate) fn give_back() {
    match PURGER.get() {
        Some(purger) => {
            (0..COLLECTIONS).for_each(|_| mi_collect(false));
            purger.unpark();
        }
        None => mi_collect(true),
    }
}

/// Gives back the rest, which [`give_back`] does not find: pages that other threads have emptied.
/// Most was given back before, so this takes little time.
pub(crate) fn give_back_rest() {
    mi_collect(true);
    if let Some(purger) = PURGER.get() {
        purger.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_delay_of_purges() {
        // The option is a number in the header; this is the default of that one alone.
        assert_eq!(mi_option_get(PURGE_DELAY), 1_000);
    }
}
