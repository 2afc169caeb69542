//! The blocks of a log: where to cut it so that each part can be read by itself.

use std::io;

use super::span::Span;
use super::walk::{Piece, walk};
use crate::read_at::ReadAt;

/// A block ends with the record that makes it so long, in bytes.
const BLOCK: u64 = 65_536;

/// A part of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Block {
    /// Which span it is of.
    pub(super) span: usize,
    pub(super) at: u64,
    pub(super) len: u64,
    pub(super) kind: Kind,
    /// The number of the record before.
    pub(super) before: Option<u32>,
    /// Whether bytes that are no record stand right before it.
    pub(super) is_behind_gap: bool,
    /// The numbers of its first and last whole record.
    pub(super) numbers: Option<(u32, u32)>,
    pub(super) recovered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Records, and little that is none.
    Records,
    /// Much that is none.
    Gap,
}

/// The blocks of spans, whose records begin after the number `before`.
pub(super) fn index(
    file: &dyn ReadAt,
    spans: &[Span],
    before: Option<u32>,
    recovered: bool,
) -> io::Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut before = before;
    for (span, bytes) in spans.iter().enumerate() {
        let mut current: Option<Block> = None;
        let begin = |at, before, is_behind_gap| {
            let kind = Kind::Records;
            Block { span, at, len: 0, kind, before, is_behind_gap, numbers: None, recovered }
        };
        let mut is_behind_gap = false;
        walk(file, bytes, before, |at, piece, last| {
            before = piece.number().or(last);
            let len = piece.len() as u64;
            let is_skip = matches!(piece, Piece::Skip { .. });
            let was_behind_gap = std::mem::replace(&mut is_behind_gap, is_skip);
            let mut is_gap = is_skip && len >= BLOCK;
            // What goes on with a gap is one of it.
            if is_skip && current.is_none() {
                let last = blocks.last();
                is_gap |= last.is_some_and(|b| b.kind == Kind::Gap && b.at + b.len == at);
            }
            if is_gap {
                blocks.extend(current.take());
                match blocks.last_mut() {
                    Some(gap)
                        if gap.kind == Kind::Gap && gap.span == span && gap.at + gap.len == at =>
                    {
                        gap.len += len;
                    }
                    _ => blocks.push(Block { kind: Kind::Gap, len, ..begin(at, last, false) }),
                }
                return true;
            }
            let block = current.get_or_insert_with(|| begin(at, last, was_behind_gap));
            block.len += len;
            if let Piece::Record { number, .. } = piece {
                let first = block.numbers.map_or(number, |(first, _)| first);
                block.numbers = Some((first, number));
            }
            if block.len >= BLOCK {
                blocks.extend(current.take());
            }
            true
        })?;
        blocks.extend(current.take());
    }
    Ok(blocks)
}
