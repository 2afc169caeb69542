//! Events as they came, and their decoding.

use std::sync::Arc;

use quarry_binxml::Decoder;
use quarry_event::{FieldSource, PartialSource};
use quarry_logfile::{Chunk, Damage, DamageKind, EvtxLog, Item};

use crate::log::Direction;

/// Some events of a log, not decoded yet; a chunk of a file is not even read yet.
pub struct Batch {
    direction: Direction,
    raw: Raw,
}

enum Raw {
    /// Damage that concerns the file as a whole.
    Damage(Vec<Damage>),
    Chunk {
        log: Arc<EvtxLog>,
        n: u64,
    },
}

impl Batch {
    pub(crate) fn damage(damage: Vec<Damage>) -> Self {
        Batch { direction: Direction::Forward, raw: Raw::Damage(damage) }
    }

    pub(crate) fn chunk(log: Arc<EvtxLog>, n: u64, direction: Direction) -> Self {
        Batch { direction, raw: Raw::Chunk { log, n } }
    }
}

/// Takes what is in a batch, in its order.
pub trait Visitor {
    /// Whether an event is wanted, so far as its fields tell, which is asked before the rest of it
    /// is decoded. One that isn't is not visited. Events of an odd shape are, without asking.
    #[inline]
    fn wants<S: PartialSource>(&mut self, _event: &S) -> bool {
        true
    }

    /// An event, and its record number in the log it was read from.
    fn event<S: FieldSource>(&mut self, event: &S, log_record: Option<u64>);

    /// Something that couldn't be read.
    fn damage(&mut self, damage: &Damage);
}

/// Decodes batches; keeps buffers and compiled templates for the next. A thread has one.
pub struct BatchReader {
    decoder: Decoder,
    bytes: Vec<u8>,
    items: Vec<Item>,
}

impl Default for BatchReader {
    fn default() -> Self {
        BatchReader::new(Decoder::new())
    }
}

impl BatchReader {
    /// A reader that uses the given decoder.
    pub fn new(decoder: Decoder) -> Self {
        BatchReader { decoder, bytes: Vec::new(), items: Vec::new() }
    }

    /// Reads a batch.
    pub fn read(&mut self, batch: &Batch, visitor: &mut impl Visitor) {
        match &batch.raw {
            Raw::Damage(damage) => damage.iter().for_each(|damage| visitor.damage(damage)),
            Raw::Chunk { log, n } => match log.chunk(*n, &mut self.bytes) {
                Ok(chunk) => {
                    read_chunk(&mut self.decoder, &mut self.items, chunk, batch.direction, visitor)
                }
                Err(damage) => visitor.damage(&damage),
            },
        }
    }
}

fn read_chunk(
    decoder: &mut Decoder,
    items: &mut Vec<Item>,
    chunk: Chunk<'_>,
    direction: Direction,
    visitor: &mut impl Visitor,
) {
    chunk.items(items);
    if direction == Direction::Backward {
        items.reverse();
    }
    let mut decoder = decoder.chunk(chunk.bytes());
    for item in items {
        match item {
            Item::Damage(damage) => visitor.damage(damage),
            Item::Record(record) => {
                match decoder.event_if(record.binxml.clone(), |head| visitor.wants(head)) {
                    Ok(Some(event)) => visitor.event(&event, Some(record.number)),
                    Ok(None) => {}
                    Err(error) => visitor.damage(&Damage {
                        offset: record.offset,
                        record: Some(record.number),
                        kind: DamageKind::Record(error),
                    }),
                }
            }
        }
    }
}
