//! How each kind of parameter is written and read. A message names one of these
//! for each of its fields, which so have one definition for both directions.

use quarry_rpc::ndr::{ContextHandle, NdrReader, NdrWriter, WideString};
use quarry_rpc::{NdrError, UsageError};

use super::types::{ChannelInfo, EventBatch, RenderedMessage, RpcInfo};
use super::variant::VariantList;
use crate::Win32Error;
use crate::limits::*;

pub(super) trait Codec<T> {
    fn write(&self, w: &mut NdrWriter, value: &T) -> Result<(), UsageError>;
    fn read(&self, r: &mut NdrReader<'_>) -> Result<T, NdrError>;
}

/// A 32-bit integer.
pub(super) struct Long;

impl<T: Copy + Into<u32> + From<u32>> Codec<T> for Long {
    fn write(&self, w: &mut NdrWriter, value: &T) -> Result<(), UsageError> {
        w.u32((*value).into());
        Ok(())
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<T, NdrError> {
        r.u32().map(T::from)
    }
}

/// A 32-bit integer with a range.
pub(super) struct Within {
    pub(super) what: &'static str,
    pub(super) max: u32,
}

impl Codec<u32> for Within {
    fn write(&self, w: &mut NdrWriter, value: &u32) -> Result<(), UsageError> {
        w.count(self.what, *value as usize, 0..=self.max)
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<u32, NdrError> {
        r.count(self.what, 0..=self.max, 0).map(|value| value as u32)
    }
}

/// A signed 64-bit integer.
pub(super) struct SignedHyper;

impl Codec<i64> for SignedHyper {
    fn write(&self, w: &mut NdrWriter, value: &i64) -> Result<(), UsageError> {
        w.i64(*value);
        Ok(())
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<i64, NdrError> {
        r.i64()
    }
}

/// A context handle of any kind.
pub(super) struct Handle;

impl<T> Codec<T> for Handle
where
    T: Copy + Into<ContextHandle> + From<ContextHandle>,
{
    fn write(&self, w: &mut NdrWriter, value: &T) -> Result<(), UsageError> {
        w.context_handle(&(*value).into());
        Ok(())
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<T, NdrError> {
        r.context_handle().map(T::from)
    }
}

/// A string behind a reference pointer, or a unique one for an `Option`.
///
/// The definition's ranges begin at 0 or 1, which makes no difference: a string
/// has its terminator at least.
pub(super) struct Text {
    pub(super) what: &'static str,
    pub(super) max: u32,
}

impl Codec<WideString> for Text {
    fn write(&self, w: &mut NdrWriter, value: &WideString) -> Result<(), UsageError> {
        w.wide_string(self.what, value, 1..=self.max)
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<WideString, NdrError> {
        r.wide_string(self.what, 1..=self.max)
    }
}

impl Codec<Option<WideString>> for Text {
    fn write(&self, w: &mut NdrWriter, value: &Option<WideString>) -> Result<(), UsageError> {
        w.unique_wide_string(self.what, value.as_ref(), 1..=self.max)
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<Option<WideString>, NdrError> {
        r.unique_wide_string(self.what, 1..=self.max)
    }
}

/// A size, and a conformant array of as many bytes.
pub(super) struct SizedBytes {
    pub(super) what: &'static str,
    pub(super) max: u32,
}

impl Codec<Vec<u8>> for SizedBytes {
    fn write(&self, w: &mut NdrWriter, value: &Vec<u8>) -> Result<(), UsageError> {
        w.count(self.what, value.len(), 1..=self.max)?;
        w.u32(value.len() as u32);
        w.bytes(value);
        Ok(())
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<Vec<u8>, NdrError> {
        let size = r.count(self.what, 1..=self.max, 1)?;
        let size = r.same_count(self.what, size as u32, 1)?;
        r.bytes(size).map(<[u8]>::to_vec)
    }
}

/// A conformant array of bytes alone; its size is another parameter's affair.
pub(super) struct Bytes {
    pub(super) what: &'static str,
    pub(super) max: u32,
}

impl Codec<Vec<u8>> for Bytes {
    fn write(&self, w: &mut NdrWriter, value: &Vec<u8>) -> Result<(), UsageError> {
        w.count(self.what, value.len(), 0..=self.max)?;
        w.bytes(value);
        Ok(())
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<Vec<u8>, NdrError> {
        let size = r.count(self.what, 0..=self.max, 1)?;
        r.bytes(size).map(<[u8]>::to_vec)
    }
}

/// `RpcInfo`.
pub(super) struct Info;

impl Codec<RpcInfo> for Info {
    fn write(&self, w: &mut NdrWriter, value: &RpcInfo) -> Result<(), UsageError> {
        w.u32(value.error.0);
        w.u32(value.sub_error);
        w.u32(value.sub_error_parameter);
        Ok(())
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<RpcInfo, NdrError> {
        Ok(RpcInfo {
            error: Win32Error(r.u32()?),
            sub_error: r.u32()?,
            sub_error_parameter: r.u32()?,
        })
    }
}

/// A count, and a unique pointer to a conformant array (`size_is(,*n) T**`). An
/// empty answer comes as a null pointer or as an array of none.
fn read_array_count(
    r: &mut NdrReader<'_>,
    what: &'static str,
    max: u32,
    min_size: usize,
) -> Result<usize, NdrError> {
    let count = r.u32()?;
    if !r.pointer()? {
        // A failed call may leave any count beside its null pointer.
        return Ok(0);
    }
    let found = r.count(what, 0..=max, min_size)?;
    if found as u32 != count {
        return Err(NdrError::Disagree { what, one: count.into(), other: found as u64 });
    }
    Ok(found)
}

/// A list of names.
pub(super) struct Names {
    pub(super) what: &'static str,
    pub(super) max: u32,
}

impl Codec<Vec<WideString>> for Names {
    fn write(&self, w: &mut NdrWriter, names: &Vec<WideString>) -> Result<(), UsageError> {
        w.count(self.what, names.len(), 0..=self.max)?;
        w.pointer(!names.is_empty());
        if names.is_empty() {
            return Ok(());
        }
        w.u32(names.len() as u32);
        names.iter().for_each(|_| w.pointer(true));
        names.iter().try_for_each(|name| w.wide_string(self.what, name, 1..=MAX_STRING_LENGTH))
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<Vec<WideString>, NdrError> {
        let count = read_array_count(r, self.what, self.max, 4)?;
        let mut set = Vec::with_capacity(count);
        for _ in 0..count {
            set.push(r.pointer()?);
        }
        // A null among the names is nobody's name.
        set.into_iter()
            .filter(|set| *set)
            .map(|_| r.wide_string(self.what, 1..=MAX_STRING_LENGTH))
            .collect()
    }
}

/// The status of each channel of a query.
pub(super) struct Channels;

impl Codec<Vec<ChannelInfo>> for Channels {
    fn write(&self, w: &mut NdrWriter, channels: &Vec<ChannelInfo>) -> Result<(), UsageError> {
        w.count("queryChannelInfo", channels.len(), 0..=MAX_QUERY_CHANNEL_SIZE)?;
        w.pointer(!channels.is_empty());
        if channels.is_empty() {
            return Ok(());
        }
        w.u32(channels.len() as u32);
        for channel in channels {
            w.pointer(channel.name.is_some());
            w.u32(channel.status.0);
        }
        channels
            .iter()
            .filter_map(|channel| channel.name.as_ref())
            .try_for_each(|name| w.wide_string("channel name", name, 1..=MAX_CHANNEL_PATH_LENGTH))
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<Vec<ChannelInfo>, NdrError> {
        let count = read_array_count(r, "queryChannelInfo", MAX_QUERY_CHANNEL_SIZE, 8)?;
        let mut shells = Vec::with_capacity(count);
        for _ in 0..count {
            shells.push((r.pointer()?, Win32Error(r.u32()?)));
        }
        shells
            .into_iter()
            .map(|(set, status)| {
                let name = if set {
                    Some(r.wide_string("channel name", 1..=MAX_CHANNEL_PATH_LENGTH)?)
                } else {
                    None
                };
                Ok(ChannelInfo { name, status })
            })
            .collect()
    }
}

/// A batch of records: count, offsets, sizes, buffer size, buffer.
pub(super) struct Events;

impl Codec<EventBatch> for Events {
    fn write(&self, w: &mut NdrWriter, batch: &EventBatch) -> Result<(), UsageError> {
        let count = batch.len();
        w.count("numActualRecords", count, 0..=MAX_RECORD_COUNT)?;
        for part in [batch.offsets(), batch.sizes()] {
            w.pointer(count != 0);
            if count != 0 {
                w.u32(count as u32);
                w.u32_array(part);
            }
        }
        // Bytes that belong to no record are not sent.
        let buffer = if count == 0 { &[] } else { batch.buffer() };
        w.count("resultBufferSize", buffer.len(), 0..=MAX_BATCH_SIZE)?;
        w.pointer(count != 0);
        if count != 0 {
            w.u32(buffer.len() as u32);
            w.bytes(buffer);
        }
        Ok(())
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<EventBatch, NdrError> {
        let count = r.u32()?;
        let mut arrays = [Vec::new(), Vec::new()];
        for array in &mut arrays {
            if r.pointer()? {
                let found = r.count("records", 0..=MAX_RECORD_COUNT, 4)?;
                *array = r.u32_array(found)?;
            }
        }
        let [offsets, sizes] = arrays;
        let size = r.u32()?;
        let mut buffer = &[][..];
        if r.pointer()? {
            let found = r.count("resultBuffer", 0..=MAX_BATCH_SIZE, 1)?;
            buffer = r.bytes(found)?;
        }
        // A failed call's values mean nothing (3.1.4.13), so a batch without
        // arrays is an empty one, whatever its counts say.
        if offsets.is_empty() && sizes.is_empty() && buffer.is_empty() {
            return Ok(EventBatch::default());
        }
        let disagree = |what, one: u32, other: usize| {
            if one as usize == other {
                return Ok(());
            }
            Err(NdrError::Disagree { what, one: one.into(), other: other as u64 })
        };
        disagree("eventDataIndices", count, offsets.len())?;
        disagree("eventDataSizes", count, sizes.len())?;
        disagree("resultBufferSize", size, buffer.len())?;
        EventBatch::new(offsets, sizes, buffer.to_vec())
            .map_err(|offset| NdrError::BadValue { what: "event offset", value: offset.into() })
    }
}

/// A list of variants.
pub(super) struct Variants;

impl Codec<VariantList> for Variants {
    fn write(&self, w: &mut NdrWriter, list: &VariantList) -> Result<(), UsageError> {
        list.write_shell(w)?;
        list.write_referents(w)
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<VariantList, NdrError> {
        let shell = VariantList::read_shell(r)?;
        VariantList::read_referents(r, shell)
    }
}

/// An array of lists of variants.
pub(super) struct VariantLists;

impl Codec<Vec<VariantList>> for VariantLists {
    fn write(&self, w: &mut NdrWriter, lists: &Vec<VariantList>) -> Result<(), UsageError> {
        w.count("eventMetadataInstances", lists.len(), 0..=MAX_EVENT_METADATA_COUNT)?;
        w.pointer(!lists.is_empty());
        if lists.is_empty() {
            return Ok(());
        }
        w.u32(lists.len() as u32);
        lists.iter().try_for_each(|list| list.write_shell(w))?;
        lists.iter().try_for_each(|list| list.write_referents(w))
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<Vec<VariantList>, NdrError> {
        let count = read_array_count(r, "eventMetadataInstances", MAX_EVENT_METADATA_COUNT, 8)?;
        let mut shells = Vec::with_capacity(count);
        for _ in 0..count {
            shells.push(VariantList::read_shell(r)?);
        }
        shells.into_iter().map(|shell| VariantList::read_referents(r, shell)).collect()
    }
}

/// A rendered message: actual size, needed size, the bytes.
pub(super) struct Rendered;

impl Codec<RenderedMessage> for Rendered {
    fn write(&self, w: &mut NdrWriter, message: &RenderedMessage) -> Result<(), UsageError> {
        let bytes = &message.bytes;
        w.count("actualSizeString", bytes.len(), 0..=MAX_RENDERED_STRING_SIZE)?;
        w.u32(message.needed_size);
        w.pointer(!bytes.is_empty());
        if !bytes.is_empty() {
            w.u32(bytes.len() as u32);
            w.bytes(bytes);
        }
        Ok(())
    }

    fn read(&self, r: &mut NdrReader<'_>) -> Result<RenderedMessage, NdrError> {
        let size = r.u32()?;
        let needed_size = r.u32()?;
        let mut bytes = Vec::new();
        if r.pointer()? {
            let what = "string";
            let found = r.count(what, 0..=MAX_RENDERED_STRING_SIZE, 1)?;
            if found as u32 != size {
                return Err(NdrError::Disagree { what, one: size.into(), other: found as u64 });
            }
            bytes = r.bytes(found)?.to_vec();
        }
        Ok(RenderedMessage { needed_size, bytes })
    }
}
