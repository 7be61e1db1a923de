//! Heads: the literals before the first expression of templates, found by hashing the beginnings of
//! a topic.
//!
//! The beginning of the topic is hashed and looked up for each length of a head, but only if its
//! last byte is the last byte of such a head. Usually that is one lookup, however many heads there
//! are. All beginnings are hashed in one pass, eight bytes at a time, with random keys. At worst,
//! every beginning is looked up, up to the longest head.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use crate::shrink::shrink_table;

const WORD: usize = 8;

pub(super) struct Heads<T> {
    /// Each head by its hash.
    table: HashTable<(u32, T)>,
    /// The lengths of the heads, ascending.
    lengths: Vec<Length>,
    keys: [u64; 2],
}

/// The heads of one length.
struct Length {
    /// The last bytes of these heads, without their high bit. It may include bytes of removed
    /// heads.
    last_bytes: u128,
    heads: u32,
    bytes: u16,
}

impl<T> Default for Heads<T> {
    fn default() -> Self {
        let random = DefaultHashBuilder::default();
        Self {
            table: HashTable::new(),
            lengths: Vec::new(),
            keys: [random.hash_one(1_u64) | 1, random.hash_one(2_u64) | 1],
        }
    }
}

impl<T: Copy> Heads<T> {
    /// The value of `head`. `is` decides whether a value with the same hash belongs to `head`.
    pub(super) fn get_mut(&mut self, head: &[u8], is: impl Fn(T) -> bool) -> Option<&mut T> {
        let hash = self.hash(head);
        self.table.find_mut(widen(hash), |&(other, value)| other == hash && is(value)).map(|(_, value)| value)
    }

    /// Adds `head`, which is not there yet, with `value`.
    pub(super) fn insert(&mut self, head: &[u8], value: T) {
        let hash = self.hash(head);
        self.table.insert_unique(widen(hash), (hash, value), |&(hash, _)| widen(hash));
        let bytes = head.len() as u16;
        let at = match self.find_length(head) {
            Ok(at) => at,
            Err(at) => {
                self.lengths.insert(at, Length { last_bytes: 0, heads: 0, bytes });
                at
            }
        };
        self.lengths[at].heads += 1;
        self.lengths[at].last_bytes |= last_byte(head);
    }

    /// Removes `head`.
    pub(super) fn remove(&mut self, head: &[u8], is: impl Fn(T) -> bool) {
        let hash = self.hash(head);
        let same = |&(other, value): &(u32, T)| other == hash && is(value);
        let Ok(occupied) = self.table.find_entry(widen(hash), same) else { return };
        occupied.remove();
        if let Ok(at) = self.find_length(head) {
            self.lengths[at].heads -= 1;
            if self.lengths[at].heads == 0 {
                self.lengths.remove(at);
            }
        }
    }

    /// Adds to `hits` the length and the value of each head that `topic` begins with. Returns the
    /// number of lookups.
    pub(super) fn probe(
        &self,
        topic: &[u8],
        is: impl Fn(usize, T) -> bool,
        hits: &mut Vec<(usize, T)>,
    ) -> u64 {
        let mut looked_up = 0;
        let (words, _) = topic.as_chunks::<WORD>();
        let (mut hash, mut hashed_words) = (0, 0);
        for length in &self.lengths {
            let bytes = usize::from(length.bytes);
            let Some(beginning) = topic.get(..bytes) else { break };
            if length.last_bytes & last_byte(beginning) == 0 {
                continue;
            }
            for word in &words[hashed_words..bytes / WORD] {
                hash = self.hash_word(hash, u64::from_le_bytes(*word));
            }
            hashed_words = bytes / WORD;
            let whole = self.hash_end(hash, end_word(beginning, words), bytes);
            looked_up += 1;
            let same = |&(other, value): &(u32, T)| other == whole && is(bytes, value);
            hits.extend(self.table.find(widen(whole), same).map(|&(_, value)| (bytes, value)));
        }
        looked_up
    }

    /// Gives back memory that is not used.
    pub(super) fn shrink(&mut self) {
        shrink_table(&mut self.table, |&(hash, _)| widen(hash));
    }

    /// The number of heads.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        assert_eq!(self.lengths.iter().map(|length| length.heads as usize).sum::<usize>(), self.table.len());
        self.table.len()
    }

    fn find_length(&self, head: &[u8]) -> Result<usize, usize> {
        self.lengths.binary_search_by_key(&head.len(), |length| usize::from(length.bytes))
    }

    fn hash(&self, head: &[u8]) -> u32 {
        let (words, _) = head.as_chunks::<WORD>();
        let hash = words.iter().fold(0, |hash, word| self.hash_word(hash, u64::from_le_bytes(*word)));
        self.hash_end(hash, end_word(head, words), head.len())
    }

    fn hash_word(&self, hash: u64, word: u64) -> u64 {
        folded_product(hash ^ word ^ self.keys[0], self.keys[1])
    }

    fn hash_end(&self, hash: u64, end: u64, bytes: usize) -> u32 {
        (folded_product(hash ^ end ^ self.keys[1], self.keys[0] ^ ((bytes as u64) << 1)) >> 32) as u32
    }
}

/// The rest of `beginning` after its last whole word, as a number. `words` are the whole words of
/// the text that it begins; usually the next word holds the rest.
fn end_word(beginning: &[u8], words: &[[u8; WORD]]) -> u64 {
    let (whole, left) = (beginning.len() / WORD, beginning.len() % WORD);
    match words.get(whole) {
        Some(word) => u64::from_le_bytes(*word) & ((1 << (8 * left)) - 1),
        None => beginning[whole * WORD..].iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

/// The last byte as a bit; for an empty head, the bit of byte 0.
fn last_byte(head: &[u8]) -> u128 {
    1 << (head.last().copied().unwrap_or(0) & 0x7f)
}

fn folded_product(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    product as u64 ^ (product >> 64) as u64
}

/// A hash for the table, which takes the bucket from the low bits and the tag from the high ones.
pub(super) fn widen(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
