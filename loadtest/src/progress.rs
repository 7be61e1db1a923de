//! The progress bar on a terminal; elsewhere nothing is drawn.
//!
//! Each line drawn names one phase and counts only that phase: its name, its total and its position
//! change together.

use std::fmt;
use std::sync::{Arc, Mutex};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// Draws a second: they take time from the generator's processor.
const DRAWS_PER_SECOND: u8 = 4;

/// The current phase, and the unit of its count.
#[derive(Debug, Clone, Copy, Default)]
struct Phase {
    name: &'static str,
    unit: &'static str,
}

/// The progress of a run.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
    phase: Arc<Mutex<Phase>>,
}

impl Progress {
    /// A bar on standard error, if that is a terminal, which begins with `label`.
    pub(crate) fn new(label: &str) -> Self {
        Self::on(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND), label)
    }

    fn on(target: ProgressDrawTarget, label: &str) -> Self {
        let phase = Arc::new(Mutex::new(Phase::default()));
        // The bar's own message is not used: setting message, length and position draws three
        // times, and the first two drawings mix this phase with the last.
        let word = |of: fn(Phase) -> &'static str| {
            let phase = Arc::clone(&phase);
            move |_: &ProgressState, out: &mut dyn fmt::Write| {
                let phase = phase.lock().map(|phase| *phase).unwrap_or_default();
                let _ = out.write_str(of(phase));
            }
        };
        let style = ProgressStyle::with_template("{prefix}: {phase:<12} [{bar:32}] {pos}/{len} {unit}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("phase", word(|phase| phase.name))
            .with_key("unit", word(|phase| phase.unit))
            .progress_chars("=> ");
        let bar = ProgressBar::with_draw_target(None, target).with_style(style).with_prefix(label.to_owned());
        Self { bar, phase }
    }

    /// Begins a phase of `total` steps, each of one `unit`.
    pub(crate) fn begin(&self, name: &'static str, total: u64, unit: &'static str) {
        self.bar.update(|state| {
            if let Ok(mut phase) = self.phase.lock() {
                *phase = Phase { name, unit };
            }
            state.set_len(total);
            state.set_pos(0);
        });
    }

    /// Sets the number of steps of the phase that are done.
    pub(crate) fn set(&self, done: u64) {
        debug_assert!(
            self.bar.length().is_none_or(|total| done <= total),
            "{done} of {:?}",
            self.bar.length()
        );
        self.bar.set_position(done);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use indicatif::TermLike;

    use super::*;

    /// A terminal that keeps everything written to it.
    #[derive(Debug, Clone, Default)]
    struct Recorder(Arc<Mutex<Vec<String>>>);

    impl Recorder {
        /// The lines that name a phase.
        fn lines(&self) -> Vec<String> {
            let written = self.0.lock().expect("no panic");
            written.iter().filter(|line| line.contains('[')).map(|line| line.trim().to_owned()).collect()
        }
    }

    impl TermLike for Recorder {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().expect("no panic").push(text.to_owned());
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn no_line_counts_one_phase_by_the_total_of_another() {
        let terminal = Recorder::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let progress = Progress::on(target, "hub");
        progress.begin("subscribing", 300, "streams");
        progress.set(300);
        progress.begin("publishing", 20, "updates");
        progress.set(20);
        let lines = terminal.lines();
        let ends = lines.iter().map(|line| {
            let (phase, count) = (&line[..line.find('[').unwrap_or(0)], &line[line.find(']').unwrap_or(0)..]);
            format!("{}{}", phase.trim_end(), count.trim_start_matches(']'))
        });
        let ends: Vec<String> = ends.collect();
        let whole = ["hub: subscribing 0/300 streams", "hub: subscribing 300/300 streams"];
        let then = ["hub: publishing 0/20 updates", "hub: publishing 20/20 updates"];
        assert_eq!(ends, [whole, then].concat());
    }

    #[test]
    fn the_bar_outlives_the_first_of_its_handles() {
        let terminal = Recorder::default();
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let progress = Progress::on(target, "hub");
        let first = progress.clone();
        first.begin("publishing", 20, "updates");
        drop(first);
        progress.begin("watching", 3, "s");
        assert!(terminal.lines().last().is_some_and(|line| line.contains("watching")));
    }
}
