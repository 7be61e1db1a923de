//! Outboxes against the plain definition: a list of frames for each subscriber.

use super::*;
use crate::protocol::grant::Authorization;
use crate::protocol::update::Update;

fn placed(number: u64) -> Placed {
    let body = format!("topic=t&id=i{number}&data={}", "x".repeat(number as usize % 7));
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("valid body");
    Placed { position: Position::new(number), frame: Arc::new(Frame::encode(&update)), first_of_id: true }
}

fn append(boxes: &mut Outboxes, pending: &mut Pending, numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        let placed = placed(*number);
        boxes.append(pending, Framing::CHUNKED, &placed);
        bytes.extend_from_slice(placed.frame.chunk());
    }
    bytes
}

#[test]
fn subscribers_that_are_owed_the_same_share_one_path() {
    let mut boxes = Outboxes::default();
    let (mut a, mut b, mut c) = (Pending::NONE, Pending::NONE, Pending::NONE);
    for number in 1..=3 {
        for pending in [&mut a, &mut b] {
            append(&mut boxes, pending, &[number]);
        }
    }
    assert_eq!(boxes.len(), 3);
    let other = append(&mut boxes, &mut c, &[1, 3]);
    let bytes: Vec<u8> = (1..=3).flat_map(|number| placed(number).frame.chunk().to_vec()).collect();
    assert_eq!(boxes.unsent(&a, 0), bytes);
    assert_eq!(boxes.unsent(&c, 5), &other[5..]);
    for mut pending in [a, b, c] {
        boxes.release(&mut pending);
        assert!(pending.is_none());
    }
    assert!(boxes.is_empty());
}

#[test]
fn framings_do_not_mix() {
    let mut boxes = Outboxes::default();
    let (mut chunked, mut plain) = (Pending::NONE, Pending::NONE);
    boxes.append(&mut chunked, Framing::CHUNKED, &placed(1));
    boxes.append(&mut plain, Framing::PLAIN, &placed(1));
    assert_eq!(boxes.unsent(&plain, 0), placed(1).frame.event());
    assert_eq!(boxes.unsent(&chunked, 0), placed(1).frame.chunk());
}

#[test]
fn a_rebased_path_owes_the_same_bytes_and_keeps_no_sent_frame() {
    for offset in 0.. {
        let mut boxes = Outboxes::default();
        let mut pending = Pending::NONE;
        let bytes = append(&mut boxes, &mut pending, &[1, 2, 3, 4]);
        if offset == bytes.len() {
            break;
        }
        let rest = boxes.rebase(&mut pending, offset).sent;
        assert_eq!(boxes.unsent(&pending, rest), &bytes[offset..], "offset {offset}");
        let first = boxes.first(&pending).map(Position::get).expect("a path");
        assert!(rest < placed(first).frame.chunk().len(), "offset {offset}");
        boxes.release(&mut pending);
        assert!(boxes.is_empty());
    }
}

#[test]
fn a_cut_keeps_the_frame_that_was_begun_and_names_the_last_one_delivered() {
    let lengths: Vec<usize> = (1..=3).map(|number| placed(number).frame.chunk().len()).collect();
    for offset in 0..=lengths.iter().sum() {
        let mut boxes = Outboxes::default();
        let mut pending = Pending::NONE;
        let bytes = append(&mut boxes, &mut pending, &[1, 2, 3]);
        let (Rest { sent: rest, .. }, last) = boxes.cut(&mut pending, offset);
        let mut end = 0;
        let begun = lengths.iter().take_while(|length| {
            let begins = end < offset;
            end += if begins { **length } else { 0 };
            begins
        });
        let begun = begun.count();
        assert_eq!(last.map_or(0, Position::get), begun as u64, "offset {offset}");
        assert_eq!(boxes.unsent(&pending, rest), &bytes[offset..end], "offset {offset}");
        boxes.release(&mut pending);
        assert!(boxes.is_empty());
    }
}
