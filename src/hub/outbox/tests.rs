//! Outboxes compared with the plain definition: a list of frames for each subscriber.

use super::*;
use crate::mercure::audience::Authorization;
use crate::mercure::update::Update;
use crate::sse::coding::Coding;
use crate::sse::crc::CrcSum;
use crate::sse::framing::Transfer;

fn update(number: u64) -> SequencedUpdate {
    let body = format!("topic=t&id=i{number}&data={}", "x".repeat(number as usize % 7));
    let update = Update::parse(body.as_bytes(), Authorization::Selectors, [0; 16]).expect("valid body");
    SequencedUpdate {
        position: Position::new(number),
        frame: Arc::new(Frame::encode(update)),
        first_of_id: true,
    }
}

fn append(boxes: &mut Outboxes, pending: &mut Pending, numbers: &[u64]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in numbers {
        let update = update(*number);
        boxes.append(pending, Framing::CHUNKED, &update);
        bytes.extend_from_slice(update.frame.chunk());
    }
    bytes
}

/// The bytes of a path from `offset` on.
fn unsent(boxes: &mut Outboxes, pending: &Pending, offset: usize) -> Vec<u8> {
    let gathered = boxes.gather(pending, offset);
    let bytes = boxes.bytes_of(pending, gathered).to_vec();
    boxes.forget_gathered();
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
    let bytes: Vec<u8> = (1..=3).flat_map(|number| update(number).frame.chunk().to_vec()).collect();
    assert_eq!(unsent(&mut boxes, &a, 0), bytes);
    assert_eq!(unsent(&mut boxes, &c, 5), &other[5..]);
    assert!(boxes.gathered_bytes >= bytes.len(), "a path that two hold is gathered once");
    for mut pending in [a, b, c] {
        boxes.release(&mut pending);
        assert!(pending.is_none());
    }
    assert!(boxes.is_empty());
    assert_eq!(boxes.gathered_bytes, 0);
    boxes.shrink();
    assert_eq!(boxes.bytes_held(), 0);
}

#[test]
fn framings_do_not_mix() {
    let mut boxes = Outboxes::default();
    let (mut chunked, mut plain) = (Pending::NONE, Pending::NONE);
    let (mut gzip, mut zstd) = (Pending::NONE, Pending::NONE);
    let coded = |coding| Framing { transfer: Transfer::Plain, coding: Some(coding) };
    boxes.append(&mut chunked, Framing::CHUNKED, &update(1));
    boxes.append(&mut plain, Framing::PLAIN, &update(1));
    boxes.append(&mut gzip, coded(Coding::Gzip), &update(1));
    boxes.append(&mut zstd, coded(Coding::Zstd), &update(1));
    assert_eq!(unsent(&mut boxes, &plain, 0), update(1).frame.event());
    assert_eq!(unsent(&mut boxes, &chunked, 0), update(1).frame.chunk());
    for (pending, coding) in [(&gzip, Coding::Gzip), (&zstd, Coding::Zstd)] {
        assert_eq!(unsent(&mut boxes, pending, 0), update(1).frame.encoded(coding).chunk().content());
        assert_eq!(boxes.bytes(pending), update(1).frame.encoded(coding).chunk().content().len());
    }
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
        assert_eq!(unsent(&mut boxes, &pending, rest), &bytes[offset..], "offset {offset}");
        let first = boxes.first(&pending).map(Position::get).expect("a path");
        assert!(rest < update(first).frame.chunk().len(), "offset {offset}");
        boxes.release(&mut pending);
        assert!(boxes.is_empty());
    }
}

#[test]
fn a_cut_keeps_the_frame_that_was_begun_and_names_the_last_one_delivered() {
    let lengths: Vec<usize> = (1..=3).map(|number| update(number).frame.chunk().len()).collect();
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
        assert_eq!(unsent(&mut boxes, &pending, rest), &bytes[offset..end], "offset {offset}");
        boxes.release(&mut pending);
        assert!(boxes.is_empty());
    }
}

/// Cuts and rebases do not change the checksum: the stream ends with that of the sent bytes.
#[test]
fn the_checksums_of_what_is_gone_and_what_is_left_are_those_of_the_whole() {
    let framing = Framing { transfer: Transfer::Chunked, coding: Some(Coding::Gzip) };
    let mut texts = vec![Vec::new()];
    let mut boxes = Outboxes::default();
    let mut whole = Pending::NONE;
    for number in 1..=4 {
        boxes.append(&mut whole, framing, &update(number));
        texts.push([&texts[texts.len() - 1], update(number).frame.event()].concat());
    }
    let sum = |crc_parts: &[CrcPart]| {
        let mut crc_sum = CrcSum::default();
        crc_parts.iter().for_each(|crc_part| crc_sum.add(*crc_part));
        crc_sum
    };
    let is_sum_of = |crc_parts: &[CrcPart], frames: usize| {
        assert_eq!(sum(crc_parts), sum(&[CrcPart::of(&texts[frames])]));
    };
    is_sum_of(&[boxes.crc_part(&whole)], 4);
    for offset in 0..boxes.bytes(&whole) {
        let mut pending = Pending::NONE;
        (1..=4).for_each(|number| boxes.append(&mut pending, framing, &update(number)));
        let rest = boxes.rebase(&mut pending, offset);
        is_sum_of(&[rest.gone, boxes.crc_part(&pending)], 4);
        boxes.release(&mut pending);
        (1..=4).for_each(|number| boxes.append(&mut pending, framing, &update(number)));
        let (rest, last) = boxes.cut(&mut pending, offset);
        is_sum_of(&[rest.gone, boxes.crc_part(&pending)], last.map_or(0, Position::get) as usize);
        boxes.release(&mut pending);
    }
    boxes.release(&mut whole);
    assert!(boxes.is_empty());
}
