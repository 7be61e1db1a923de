//! Sampled log lines: of the lines that come once per event, a bounded number is written in each
//! second and the rest is counted. So a flood of bad requests does not become a flood of lines.

use crate::limits::SAMPLED_LINES_PER_S;

const SECOND_MS: u64 = 1_000;

/// The lines of one kind, in one shard.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    second_began_ms: u64,
    lines: u32,
    left_out: u64,
}

/// Permission to write a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admitted {
    /// Lines of its kind that were dropped before it; `None` for none, so that the line omits the
    /// field.
    pub(crate) left_out: Option<u64>,
}

impl Sampler {
    /// Permission to write a line now; `None` if it is dropped.
    pub(crate) fn admit(&mut self, now_ms: u64) -> Option<Admitted> {
        if now_ms.saturating_sub(self.second_began_ms) >= SECOND_MS {
            self.second_began_ms = now_ms;
            self.lines = 0;
        }
        if self.lines >= SAMPLED_LINES_PER_S {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        let left_out = std::mem::take(&mut self.left_out);
        Some(Admitted { left_out: (left_out > 0).then_some(left_out) })
    }
}

/// The samplers of one shard.
#[derive(Debug, Default)]
pub(crate) struct Samplers {
    /// Requests that were refused.
    pub(crate) refused: Sampler,
    /// Requests with a panic.
    pub(crate) defects: Sampler,
    /// Failed reads of the history.
    pub(crate) history: Sampler,
    /// Connections and streams that the system cannot serve.
    pub(crate) sockets: Sampler,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_each_second_and_what_was_left_out_is_counted() {
        let mut sampler = Sampler::default();
        let mut written = 0;
        for now_ms in [5_000, 5_999] {
            written += (0..SAMPLED_LINES_PER_S).filter(|_| sampler.admit(now_ms).is_some()).count();
        }
        assert_eq!(written, SAMPLED_LINES_PER_S as usize, "within one second");
        let next = sampler.admit(6_000);
        assert_eq!(next, Some(Admitted { left_out: Some(u64::from(SAMPLED_LINES_PER_S)) }));
        assert_eq!(sampler.admit(6_000), Some(Admitted { left_out: None }), "it is told once");
    }
}
