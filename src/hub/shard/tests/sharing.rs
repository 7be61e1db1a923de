//! Subscribers that share a socket.

use super::*;
use crate::limits::FLUSH_SHARING_MAX;

/// A shard with so many shared sockets, so many subscribers at each, and one that has its own; they
/// join in turn. What opens their streams is sent.
fn shared(sockets: u32, each: u32) -> Shard {
    let mut shard = shard();
    for number in (0..each).flat_map(|_| 0..sockets) {
        let slot = shard.join(joining(&["a"], None), Now::default());
        shard.share_socket(slot, number);
    }
    shard.join(joining(&["a"], None), Now::default());
    shard.flush(usize::MAX, Now::default(), &mut Sends::default());
    while shard.has_work() {
        shard.flush(usize::MAX, Now::default(), &mut Sends::default());
    }
    shard
}

/// The slots that a call of this size writes to.
fn flushed(shard: &mut Shard, sockets_max: usize) -> Vec<u32> {
    let mut sends = Sends::default();
    shard.flush(sockets_max, Now::default(), &mut sends);
    sends.1.into_keys().collect()
}

#[test]
fn those_who_share_a_socket_are_written_to_together_and_count_as_one() {
    let mut shard = shared(3, 4);
    take(&mut shard, "a");
    assert_eq!(flushed(&mut shard, 1), [0, 3, 6, 9]);
    assert!(shard.has_unflushed());
    assert_eq!(flushed(&mut shard, 2), [1, 2, 4, 5, 7, 8, 10, 11]);
    assert!(shard.has_unflushed(), "the last one has its own");
    assert_eq!(flushed(&mut shard, 1), [12]);
    assert!(!shard.has_unflushed());
}

#[test]
fn one_that_leaves_is_not_written_to_nor_is_one_in_its_place_twice() {
    let mut shard = shared(1, 4);
    take(&mut shard, "a");
    shard.leave(2);
    assert_eq!(shard.next_closed(), Some((2, EndReason::Gone)));
    let slot = shard.join(joining(&["b"], None), Now::default());
    assert_eq!(slot, 2);
    shard.share_socket(slot, 0);
    assert_eq!(flushed(&mut shard, 1), [0, 1, 2, 3]);
    assert_eq!(flushed(&mut shard, 8), [4]);
    assert!(!shard.has_work());
}

#[test]
fn many_who_share_sockets_are_not_all_written_to_at_once() {
    let each = 200;
    let mut shard = shared(20, each);
    take(&mut shard, "a");
    let count = flushed(&mut shard, 64).len();
    assert!((FLUSH_SHARING_MAX..FLUSH_SHARING_MAX + each as usize).contains(&count), "{count}");
    assert!(shard.has_unflushed());
}
