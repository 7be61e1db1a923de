//! What a search may cost.

/// What a search may spend before it pauses, in the unit of
/// [`MATCH_COST_NODE`](crate::limits::MATCH_COST_NODE).
pub(super) struct MatchBudget {
    pub(super) spent: u64,
    pub(super) most: u64,
}

impl MatchBudget {
    pub(super) fn is_spent(&self) -> bool {
        self.spent > self.most
    }
}
