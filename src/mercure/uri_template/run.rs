//! The simulation: one pass over a topic through a graph of literals and expressions.
//!
//! Invariants: at each byte, a node is visited once and a state is entered once, so a pass takes at
//! most (bytes of the topic) × (states of the graph) steps. Of two ways into [`NfaState::AtMost`],
//! the one that has taken less stays, since it can do everything that the other can.

use super::charset;
use super::compile::NfaState;

/// The graph that the simulation walks: nodes reached by a literal or by an expression, with the
/// simulation's marks on them.
pub(crate) trait Graph {
    /// The literal that leads to `node`. Called only for a node that [`Self::literal_child`]
    /// returned.
    fn literal(&self, node: u32) -> &[u8];
    /// The node after the literal that follows `node` and begins with `first`; there is at most
    /// one.
    fn literal_child(&self, node: u32, first: u8) -> Option<u32>;
    /// The nodes after the expressions that follow `node`, by index.
    fn expression_child(&self, node: u32, index: usize) -> Option<u32>;
    /// A state of the expression that leads to `node`; `None` after its last.
    fn state(&self, node: u32, pc: u16) -> Option<NfaState>;
    /// When `node` was last visited. Ticks only grow.
    fn visit(&mut self, node: u32) -> &mut u64;
    /// The mark on a state of the expression that leads to `node`.
    fn cell(&mut self, node: u32, pc: u16) -> &mut Cell;
    /// The topic ends at `node`.
    fn finish(&mut self, node: u32);
}

/// When a state was last entered, and how many units it had taken.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cell {
    tick: u64,
    taken: u16,
}

/// Buffers of the simulation, kept between passes, and its clock. A graph that outlives a pass
/// needs the same scratch for the next one.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    tick: u64,
    steps: u64,
    /// Positions to enter at this byte.
    todo: Vec<RunPosition>,
    /// Positions that read this byte.
    current: Vec<RunPosition>,
    /// Positions that read the next byte.
    next: Vec<RunPosition>,
    /// Positions to enter after the triplet that starts at this byte or shortly before.
    parked: Vec<RunPosition>,
}

#[derive(Clone, Copy, Debug)]
enum RunPosition {
    Node(u32),
    Literal { node: u32, offset: u32 },
    State { node: u32, pc: u16, taken: u16 },
}

impl Scratch {
    /// The steps of all passes so far.
    #[cfg(test)]
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }
}

/// Walks `graph` from `start` over the whole of `topic`. Calls [`Graph::finish`] for each node
/// where the topic ends.
pub(crate) fn run<G: Graph>(graph: &mut G, start: u32, topic: &[u8], scratch: &mut Scratch) {
    scratch.todo.clear();
    scratch.current.clear();
    scratch.parked.clear();
    let mut at = 0;
    let mut wake_at = 0;
    match descend(graph, start, topic, &mut at, scratch) {
        Some(node) => scratch.todo.push(RunPosition::Node(node)),
        None => return,
    }
    loop {
        enter(graph, topic, at, scratch);
        if at == topic.len() {
            return;
        }
        if let [RunPosition::Literal { node, offset: 0 }] = scratch.current[..]
            && scratch.parked.is_empty()
        {
            scratch.current.clear();
            let literal = graph.literal(node);
            if !topic[at..].starts_with(literal) {
                return;
            }
            at += literal.len();
            match descend(graph, node, topic, &mut at, scratch) {
                Some(node) => scratch.todo.push(RunPosition::Node(node)),
                None => return,
            }
            continue;
        }
        let is_triplet = charset::is_triplet(topic, at);
        if is_triplet {
            wake_at = at + 3;
        }
        step(graph, topic[at], is_triplet, scratch);
        at += 1;
        std::mem::swap(&mut scratch.current, &mut scratch.next);
        if !scratch.parked.is_empty() {
            if at == wake_at {
                scratch.todo.append(&mut scratch.parked);
            }
        } else if scratch.current.is_empty() && scratch.todo.is_empty() {
            return;
        }
    }
}

/// Follows the literals from `node` while nothing else can be followed. This is the common case and
/// needs no bookkeeping. Returns the first node that needs it, or `None` when the topic leaves the
/// graph.
fn descend<G: Graph>(
    graph: &G,
    mut node: u32,
    topic: &[u8],
    at: &mut usize,
    scratch: &mut Scratch,
) -> Option<u32> {
    while *at < topic.len() && graph.expression_child(node, 0).is_none() {
        scratch.steps += 1;
        node = graph.literal_child(node, topic[*at])?;
        // The first byte is known to be equal. So a literal of one byte, the common case deep in a
        // large trie, is not read.
        let literal = graph.literal(node);
        if !topic[*at + 1..].starts_with(&literal[1..]) {
            return None;
        }
        *at += literal.len();
    }
    Some(node)
}

/// Enters all positions of this byte, and all that can be reached from them without taking a byte.
fn enter<G: Graph>(graph: &mut G, topic: &[u8], at: usize, scratch: &mut Scratch) {
    scratch.tick += 1;
    let tick = scratch.tick;
    while let Some(position) = scratch.todo.pop() {
        scratch.steps += 1;
        match position {
            RunPosition::Node(node) => {
                if std::mem::replace(graph.visit(node), tick) == tick {
                    continue;
                }
                match topic.get(at) {
                    None => graph.finish(node),
                    Some(&byte) => {
                        let child = graph.literal_child(node, byte);
                        scratch.current.extend(child.map(|node| RunPosition::Literal { node, offset: 0 }));
                    }
                }
                let children = (0..).map_while(|index| graph.expression_child(node, index));
                scratch.todo.extend(children.map(|node| RunPosition::State { node, pc: 0, taken: 0 }));
            }
            RunPosition::State { node, pc, taken } => {
                let Some(state) = graph.state(node, pc) else {
                    scratch.todo.push(RunPosition::Node(node));
                    continue;
                };
                let cell = graph.cell(node, pc);
                if cell.tick == tick {
                    cell.taken = cell.taken.min(taken);
                    continue;
                }
                *cell = Cell { tick, taken };
                let to = |pc| RunPosition::State { node, pc, taken: 0 };
                match state {
                    NfaState::Byte(_) | NfaState::One(_) => scratch.current.push(position),
                    NfaState::Any(_) | NfaState::AtMost(..) => {
                        scratch.current.push(position);
                        scratch.todo.push(to(pc + 1));
                    }
                    NfaState::Or(other) => scratch.todo.extend([to(pc + 1), to(other)]),
                    NfaState::Goto(other) => scratch.todo.push(to(other)),
                }
            }
            // A literal in progress advances from byte to byte without being entered here.
            RunPosition::Literal { .. } => {}
        }
    }
}

/// Takes one byte, or begins one triplet.
fn step<G: Graph>(graph: &mut G, byte: u8, is_triplet: bool, scratch: &mut Scratch) {
    scratch.next.clear();
    scratch.steps += scratch.current.len() as u64;
    for &position in &scratch.current {
        match position {
            RunPosition::Literal { node, offset } => {
                let literal = graph.literal(node);
                if literal[offset as usize] != byte {
                    continue;
                }
                if offset as usize + 1 == literal.len() {
                    scratch.todo.push(RunPosition::Node(node));
                } else {
                    scratch.next.push(RunPosition::Literal { node, offset: offset + 1 });
                }
            }
            RunPosition::State { node, pc, .. } => {
                let taken = graph.cell(node, pc).taken;
                let after = match graph.state(node, pc) {
                    Some(NfaState::Byte(wanted)) if wanted == byte => {
                        scratch.todo.push(RunPosition::State { node, pc: pc + 1, taken: 0 });
                        continue;
                    }
                    Some(NfaState::One(set)) if is_triplet || set.holds(byte) => {
                        RunPosition::State { node, pc: pc + 1, taken: 0 }
                    }
                    Some(NfaState::Any(set)) if is_triplet || set.holds(byte) => position,
                    Some(NfaState::AtMost(set, most)) if taken < most && (is_triplet || set.holds(byte)) => {
                        RunPosition::State { node, pc, taken: taken + 1 }
                    }
                    _ => continue,
                };
                if is_triplet { scratch.parked.push(after) } else { scratch.todo.push(after) }
            }
            // A node is entered at once; it never waits for a byte.
            RunPosition::Node(_) => {}
        }
    }
}
