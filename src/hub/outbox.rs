//! Outboxes: the pending updates of each subscriber, shared by all with the same ones.
//!
//! An outbox is a path of frames, and the paths of a shard form a tree. A subscriber holds the last
//! node of its path; a thousand subscribers with the same pending frames hold the same node.
//! Invariants:
//! - a node lives while a subscriber holds it or a node follows it; its gathered bytes live while a
//!   subscriber holds it;
//! - paths never mix framings, and never hold a frame twice.
//!
//! Outboxes do not limit their size: the owner compares [`Outboxes::bytes`] with the bound.

use std::sync::Arc;

use slab::Slab;

use crate::history::{Position, SequencedUpdate};
use crate::limits::GATHERED_KEPT_BYTES_MAX;
use crate::sse::crc::CrcPart;
use crate::sse::frame::Frame;
use crate::sse::framing::Framing;

const NOBODY: u32 = u32::MAX;

/// The end of one subscriber's path. Not `Clone`: each is held by one subscriber and counted.
#[derive(Debug, PartialEq, Eq)]
pub struct Pending(u32);

impl Pending {
    /// Nothing is pending.
    pub const NONE: Self = Self(NOBODY);

    /// Whether nothing is pending.
    pub fn is_none(&self) -> bool {
        self.0 == NOBODY
    }

    fn take(&mut self) -> u32 {
        std::mem::replace(&mut self.0, NOBODY)
    }
}

/// One frame after the frames of the node above it. Appending a frame is one step down.
struct Node {
    frame: Arc<Frame>,
    position: Position,
    framing: Framing,
    above: u32,
    /// The node that was last appended to this one, if it still exists. A path reuses it only at
    /// the same position.
    latest: u32,
    holders: u32,
    followers: u32,
    /// Bytes of the path from its start through this frame.
    path_bytes: usize,
    /// The effect of these bytes on the checksum of a stream, if the framing has one.
    path_crc: CrcPart,
    /// The bytes of the path, gathered at the first write: then one copy and one send per
    /// subscriber, whatever the number of frames.
    gathered: Option<Box<[u8]>>,
}

/// The rest of a path in one piece.
#[derive(Clone, Copy, Debug)]
pub struct Gathered {
    /// Its length.
    pub bytes: usize,
    /// Where it begins, if it was copied for one subscriber.
    scratch: Option<usize>,
}

impl Gathered {
    /// Nothing is pending.
    const NOTHING: Self = Self { bytes: 0, scratch: None };
}

/// The remaining path after frames are removed from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// How many bytes of the new path are already sent.
    pub sent: usize,
    /// The checksum of the removed frames, all of which were sent.
    pub gone: CrcPart,
}

/// All outboxes of one shard.
pub struct Outboxes {
    nodes: Slab<Node>,
    /// The latest node without a node above it, for each framing.
    latest_roots: [u32; Framing::COUNT],
    /// The gathered paths that only one subscriber holds, until [`Outboxes::forget_gathered`].
    scratch: Vec<u8>,
    /// Bytes of all gathered paths.
    gathered_bytes: usize,
}

impl Default for Outboxes {
    fn default() -> Self {
        Self {
            nodes: Slab::new(),
            latest_roots: [NOBODY; Framing::COUNT],
            scratch: Vec::new(),
            gathered_bytes: 0,
        }
    }
}

impl Outboxes {
    /// Appends an update to a path.
    pub fn append(&mut self, pending: &mut Pending, framing: Framing, update: &SequencedUpdate) {
        let above = pending.take();
        let latest = self.latest_of(above, framing);
        let node = match self.nodes.get(latest as usize) {
            Some(node) if node.position == update.position => latest,
            _ => self.follow(above, framing, update),
        };
        self.nodes[node as usize].holders += 1;
        if above != NOBODY {
            self.let_go(above);
        }
        pending.0 = node;
    }

    /// Bytes of the whole path, including sent ones.
    pub fn bytes(&self, pending: &Pending) -> usize {
        self.nodes.get(pending.0 as usize).map_or(0, |node| node.path_bytes)
    }

    /// Makes the bytes of the path from `offset` on one piece of memory, which [`Self::bytes_of`]
    /// returns.
    pub fn gather(&mut self, pending: &Pending, offset: usize) -> Gathered {
        let Self { nodes, scratch, gathered_bytes, .. } = self;
        let Some(node) = nodes.get(pending.0 as usize) else { return Gathered::NOTHING };
        let path_bytes = node.path_bytes;
        let bytes = path_bytes - offset;
        if node.above == NOBODY {
            // No gathering needed: the frame itself is sent.
        } else if node.holders == 1 && node.gathered.is_none() {
            let start = scratch.len();
            scratch.resize(start + bytes, 0);
            gather(nodes, pending.0, &mut scratch[start..]);
            return Gathered { bytes, scratch: Some(start) };
        } else if node.gathered.is_none() {
            let mut gathered = vec![0; path_bytes];
            gather(nodes, pending.0, &mut gathered);
            *gathered_bytes += path_bytes;
            nodes[pending.0 as usize].gathered = Some(gathered.into());
        }
        Gathered { bytes, scratch: None }
    }

    /// What was gathered of this path, which has not changed since.
    pub fn bytes_of(&self, pending: &Pending, gathered: Gathered) -> &[u8] {
        let Gathered { bytes, scratch } = gathered;
        if let Some(start) = scratch {
            return &self.scratch[start..start + bytes];
        }
        let Some(node) = self.nodes.get(pending.0 as usize) else { return &[] };
        let path = match &node.gathered {
            Some(path) => path,
            None => node.framing.bytes(&node.frame),
        };
        &path[path.len() - bytes..]
    }

    /// Ends the use of what was gathered last.
    pub fn forget(&mut self, gathered: Gathered) {
        if let Some(start) = gathered.scratch {
            self.scratch.truncate(start);
        }
    }

    /// Ends the use of everything that was gathered.
    pub fn forget_gathered(&mut self) {
        match self.scratch.capacity() > GATHERED_KEPT_BYTES_MAX {
            true => self.scratch = Vec::new(),
            false => self.scratch.clear(),
        }
    }

    /// The effect of the whole path on the checksum of its stream.
    pub fn crc_part(&self, pending: &Pending) -> CrcPart {
        self.nodes.get(pending.0 as usize).map_or(CrcPart::EMPTY, |node| node.path_crc)
    }

    /// Releases the path: everything was sent, or nothing more will be.
    pub fn release(&mut self, pending: &mut Pending) {
        let node = pending.take();
        if node != NOBODY {
            self.let_go(node);
        }
    }

    /// Restarts the path at the frame that contains `offset`, so that sent frames are not kept.
    pub fn rebase(&mut self, pending: &mut Pending, offset: usize) -> Rest {
        let mut frames = Vec::new();
        let mut start = 0;
        let mut at = pending.0;
        while let Some(node) = self.nodes.get(at as usize) {
            start = node.start();
            frames.push((self.update(at), node.framing));
            at = node.above;
            if start <= offset {
                break;
            }
        }
        let gone = self.nodes.get(at as usize).map_or(CrcPart::EMPTY, |node| node.path_crc);
        self.release(pending);
        for (update, framing) in frames.into_iter().rev() {
            self.append(pending, framing, &update);
        }
        Rest { sent: offset - start, gone }
    }

    /// Drops every frame of the path of which no byte was sent. Returns the rest, and the position
    /// of the last update that the subscriber has, or will have once the rest is sent; `None` if no
    /// update was begun.
    pub fn cut(&mut self, pending: &mut Pending, offset: usize) -> (Rest, Option<Position>) {
        let mut at = pending.0;
        while let Some(node) = self.nodes.get(at as usize) {
            let is_whole = offset == node.path_bytes;
            if is_whole || node.start() < offset {
                let (update, framing, start) = (self.update(at), node.framing, node.start());
                let above = self.nodes.get(node.above as usize).map_or(CrcPart::EMPTY, |node| node.path_crc);
                let gone = if is_whole { node.path_crc } else { above };
                self.release(pending);
                if !is_whole {
                    self.append(pending, framing, &update);
                }
                let sent = if is_whole { 0 } else { offset - start };
                return (Rest { sent, gone }, Some(update.position));
            }
            at = node.above;
        }
        self.release(pending);
        (Rest { sent: 0, gone: CrcPart::EMPTY }, None)
    }

    /// The position of the first update of the path.
    pub fn first(&self, pending: &Pending) -> Option<Position> {
        let mut node = self.nodes.get(pending.0 as usize)?;
        while let Some(above) = self.nodes.get(node.above as usize) {
            node = above;
        }
        Some(node.position)
    }

    /// Bytes of memory beside the updates themselves.
    pub fn bytes_held(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>() + self.gathered_bytes + self.scratch.capacity()
    }

    /// Gives back memory that is not needed now.
    pub fn shrink(&mut self) {
        if self.nodes.is_empty() {
            self.nodes.shrink_to_fit();
            self.scratch = Vec::new();
        }
    }

    /// The number of live nodes, for the leak checks of the tests.
    #[cfg(any(test, feature = "internals"))]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no subscriber has anything pending.
    #[cfg(any(test, feature = "internals"))]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn update(&self, node: u32) -> SequencedUpdate {
        let node = &self.nodes[node as usize];
        SequencedUpdate { position: node.position, frame: Arc::clone(&node.frame), first_of_id: false }
    }

    fn latest_of(&self, above: u32, framing: Framing) -> u32 {
        self.nodes.get(above as usize).map_or(self.latest_roots[framing.index()], |node| node.latest)
    }

    fn set_latest(&mut self, above: u32, framing: Framing, latest: u32) {
        match self.nodes.get_mut(above as usize) {
            Some(node) => node.latest = latest,
            None => self.latest_roots[framing.index()] = latest,
        }
    }

    fn follow(&mut self, above: u32, framing: Framing, update: &SequencedUpdate) -> u32 {
        let (above_bytes, above_crc) =
            self.nodes.get_mut(above as usize).map_or((0, CrcPart::EMPTY), |node| {
                node.followers += 1;
                (node.path_bytes, node.path_crc)
            });
        let crc_part = framing.crc_part(&update.frame);
        let node = Node {
            frame: Arc::clone(&update.frame),
            position: update.position,
            framing,
            above,
            latest: NOBODY,
            holders: 0,
            followers: 0,
            path_bytes: above_bytes + framing.bytes(&update.frame).len(),
            path_crc: if framing.is_summed() { above_crc.then(crc_part) } else { crc_part },
            gathered: None,
        };
        let node = u32::try_from(self.nodes.insert(node)).expect("fewer nodes than bytes of memory");
        self.set_latest(above, framing, node);
        node
    }

    fn let_go(&mut self, node: u32) {
        let held = &mut self.nodes[node as usize];
        held.holders -= 1;
        if held.holders == 0 {
            self.gathered_bytes -= held.gathered.take().map_or(0, |bytes| bytes.len());
        }
        let mut at = node;
        while let Some(node) =
            self.nodes.get(at as usize).filter(|node| node.holders == 0 && node.followers == 0)
        {
            let (above, framing) = (node.above, node.framing);
            self.nodes.remove(at as usize);
            if self.latest_of(above, framing) == at {
                self.set_latest(above, framing, NOBODY);
            }
            if let Some(node) = self.nodes.get_mut(above as usize) {
                node.followers -= 1;
            }
            at = above;
        }
    }
}

impl Node {
    /// Bytes of the path before this frame.
    fn start(&self) -> usize {
        self.path_bytes - self.framing.bytes(&self.frame).len()
    }
}

/// Fills `bytes` with the end of the path of `node`.
fn gather(nodes: &Slab<Node>, node: u32, bytes: &mut [u8]) {
    let mut end = bytes.len();
    let mut at = node;
    while let Some(node) = nodes.get(at as usize).filter(|_| end > 0) {
        let frame = node.framing.bytes(&node.frame);
        let taken = frame.len().min(end);
        bytes[end - taken..end].copy_from_slice(&frame[frame.len() - taken..]);
        end -= taken;
        at = node.above;
    }
}

#[cfg(test)]
mod tests;
