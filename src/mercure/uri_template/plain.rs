//! Templates that leave no choice: one scan of the topic decides, without the simulation.
//!
//! Every expression is a run of one set, and the byte after a run ends it. Either the run is the
//! last part; or a literal follows that is the last part, or that begins with a byte that the run
//! cannot take. A percent-encoded triplet is one unit of every run. So the run could also take a
//! literal that begins with `%`, and there is a choice.
//! `https://example.com/users/{id}/orders/{n}.json` is plain, `/{a}.{b}` is not.

use super::charset::Charset;
use super::compile::Expression;
use super::part::{TailParts, TemplatePart};

impl TailParts<'_> {
    /// Whether a tail is plain.
    pub(super) fn is_plain(self) -> bool {
        let mut parts = self.parts;
        while let [TemplatePart::Expression(expression), behind @ ..] = parts {
            let Expression::Run(set) = *expression else { return false };
            match behind {
                [] | [TemplatePart::Literal { .. }] => return true,
                [TemplatePart::Literal { start, end }, rest @ ..] => {
                    let first = self.literal(*start, *end)[0];
                    if set.may_take(first) {
                        return false;
                    }
                    parts = rest;
                }
                [TemplatePart::Expression(_), ..] => return false,
            }
        }
        false
    }

    /// Whether a plain tail can produce the rest of `topic` from `at` on.
    pub(in crate::mercure) fn matches(self, topic: &[u8], at: usize) -> bool {
        self.matches_runs(topic, at, |set, at| at + set.run(&topic[at..]))
    }

    /// The same. `run_end` finds the end of the longest run of a set that begins at a byte of the
    /// topic.
    pub(in crate::mercure) fn matches_runs(
        self,
        topic: &[u8],
        mut at: usize,
        mut run_end: impl FnMut(Charset, usize) -> usize,
    ) -> bool {
        let mut parts = self.parts;
        while let [TemplatePart::Expression(Expression::Run(set)), behind @ ..] = parts {
            match behind {
                [TemplatePart::Literal { start, end }, next @ ..] => {
                    let literal = self.literal(*start, *end);
                    if next.is_empty() {
                        let value_end = topic.len().saturating_sub(literal.len());
                        return value_end >= at + usize::from(set.is_never_empty())
                            && topic.ends_with(literal)
                            && !set.divides_triplet(topic, at, value_end)
                            && run_end(*set, at) >= value_end;
                    }
                    let value_end = run_end(*set, at);
                    if !topic[value_end..].starts_with(literal) || (value_end == at && set.is_never_empty()) {
                        return false;
                    }
                    at = value_end + literal.len();
                    parts = next;
                }
                _ => return run_end(*set, at) == topic.len() && (at < topic.len() || !set.is_never_empty()),
            }
        }
        parts.is_empty() && at == topic.len()
    }
}
