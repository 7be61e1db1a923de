//! What the test decides: every choice, and the time.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::time::Now;

/// The Unix time at which each simulation begins.
const UNIX_MS: u64 = 1_700_000_000_000;
/// The longest time that one piece of work takes.
const WORK_US_MAX: u64 = 10_000;

type Choose = dyn FnMut(u64) -> u64 + Send;

/// The choices of a seed.
#[derive(Clone)]
pub(crate) struct SimChoices(Arc<Mutex<Box<Choose>>>);

impl fmt::Debug for SimChoices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimChoices").finish_non_exhaustive()
    }
}

impl SimChoices {
    /// `choose` returns a number below its argument.
    pub(crate) fn new(choose: impl FnMut(u64) -> u64 + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Box::new(choose))))
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&self, end: usize) -> usize {
        let choose = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        choose(end as u64) as usize
    }

    /// True in one of `many` cases.
    pub(crate) fn one_in(&self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub(crate) fn bytes(&self) -> [u8; 16] {
        std::array::from_fn(|_| self.below(256) as u8)
    }
}

/// What the other threads of the hub do while a shard works: called wherever the shard turns to its
/// sockets or to its clock.
#[derive(Clone, Default)]
pub(crate) struct SimBetween(Arc<Mutex<Option<Box<Between>>>>);

type Between = dyn FnMut() + Send;

impl fmt::Debug for SimBetween {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimBetween").finish_non_exhaustive()
    }
}

impl SimBetween {
    pub(crate) fn set(&self, between: impl FnMut() + Send + 'static) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(between));
    }

    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The others may make a step, unless it is one of them that asks.
    pub(super) fn happen(&self) {
        if let Ok(mut between) = self.0.try_lock()
            && let Some(between) = &mut *between
        {
            between();
        }
    }
}

/// The time of a simulation.
#[derive(Clone, Debug)]
pub(crate) struct SimTime {
    begin: Instant,
    us: Arc<AtomicU64>,
    choices: SimChoices,
    between: SimBetween,
    /// Work takes time in one of this many readings; 0 for never.
    work_in: usize,
}

impl SimTime {
    pub(crate) fn new(choices: SimChoices, between: SimBetween, work_in: usize) -> Self {
        Self { begin: Instant::now(), us: Arc::new(AtomicU64::new(1_000_000)), choices, between, work_in }
    }

    pub(crate) fn pass_us(&self, us: u64) {
        self.us.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn us(&self) -> u64 {
        self.us.load(Ordering::Relaxed)
    }

    /// The clocks of a thread of the hub.
    pub(crate) fn read(&self) -> Now {
        self.between.happen();
        self.now()
    }

    pub(crate) fn now(&self) -> Now {
        let ms = self.us() / 1_000;
        Now { ms, unix_ms: UNIX_MS + ms }
    }

    /// The milliseconds of [`Self::now`] at this moment.
    pub(crate) fn ms_at(&self, moment: Instant) -> u64 {
        (moment - self.begin).as_millis() as u64
    }

    /// The moment; what was done since the last reading may have taken a while.
    pub(crate) fn instant(&self) -> Instant {
        self.between.happen();
        if self.work_in > 0 && self.choices.one_in(self.work_in) {
            self.pass_us(self.choices.below(WORK_US_MAX as usize) as u64);
        }
        self.begin + Duration::from_micros(self.us())
    }
}
