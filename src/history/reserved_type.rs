//! A reading end for a hub that speaks draft 08, where the event type `mercure` is reserved for the
//! hub's own events. Before it was switched on, any publisher could use the type: such updates are
//! read without it, or they would pass for events of the hub (MERCURE-1.0, trap 14). What is stored
//! does not change.

use std::sync::Arc;

use crate::history::{HistoryError, HistoryRange, HistoryReader, HistorySlice, Position};

/// Reads the updates of publishers without the reserved type.
pub(crate) struct WithoutReservedType(pub(crate) Arc<dyn HistoryReader>);

impl HistoryReader for WithoutReservedType {
    fn locate(&self, id: &str) -> Result<Option<Position>, HistoryError> {
        self.0.locate(id)
    }

    fn read(
        &self,
        after: Position,
        updates_max: usize,
        bytes_max: usize,
    ) -> Result<HistorySlice, HistoryError> {
        self.0.read(after, updates_max, bytes_max).map(without_type)
    }

    fn newest(&self, updates_max: usize, bytes_max: usize) -> Result<HistorySlice, HistoryError> {
        self.0.newest(updates_max, bytes_max).map(without_type)
    }

    fn range(&self) -> Result<HistoryRange, HistoryError> {
        self.0.range()
    }
}

fn without_type(mut slice: HistorySlice) -> HistorySlice {
    for update in &mut slice.updates {
        if let Some(frame) = update.frame.without_reserved_type() {
            update.frame = Arc::new(frame);
        }
    }
    slice
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::memory::MemoryHistory;
    use crate::history::{History as _, Retention};
    use crate::mercure::audience::Authorization;
    use crate::mercure::update::Update;
    use crate::sse::frame::Frame;

    /// Trap 14 of MERCURE-1.0.
    #[test]
    fn an_update_of_before_draft_08_cannot_pass_for_an_event_of_the_hub() {
        let frame = |body: &str| {
            let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("valid");
            Arc::new(Frame::encode(update))
        };
        let forged = frame("topic=t&id=1&type=mercure&retry=5&data=x");
        let own = Arc::new(
            Frame::from_event(
                forged.event(),
                forged.id().clone(),
                forged.topics().into(),
                forged.audience().clone(),
            )
            .into_subscription_event(),
        );
        let frames = [forged, frame("topic=t&id=2&type=mercurial&data=x"), own];
        let mut history = MemoryHistory::new(Retention::default());
        history.append(&frames, 0).expect("stored");
        let reader = WithoutReservedType(history.reader());
        let expected: [&[u8]; 3] = [
            b"retry: 5\nid: 1\ndata: x\n\n",
            b"event: mercurial\nid: 2\ndata: x\n\n",
            b"event: mercure\nretry: 5\nid: 1\ndata: x\n\n",
        ];
        for slice in [reader.read(Position::START, 9, usize::MAX), reader.newest(9, usize::MAX)] {
            let slice = slice.expect("readable");
            let events: Vec<_> = slice.updates.iter().map(|update| update.frame.event()).collect();
            assert_eq!(events, expected);
            assert_eq!(slice.updates[0].frame.topics(), frames[0].topics());
        }
    }
}
