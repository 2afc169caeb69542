//! The limits that the interface sets (2.3.1). Strings count UTF-16 units with
//! their terminator.

/// Base of the others, in bytes.
pub const MAX_PAYLOAD: u32 = 2 * 1024 * 1024;
/// A query, in units.
pub const MAX_QUERY_LENGTH: u32 = MAX_PAYLOAD / 2;
/// A channel's name, in units.
pub const MAX_CHANNEL_NAME_LENGTH: u32 = 512;
/// Channels in one query.
pub const MAX_QUERY_CHANNEL_SIZE: u32 = 512;
/// An event descriptor, in bytes.
pub const MAX_EVENT_ID_SIZE: u32 = 256;
/// A file's path, in units.
pub const MAX_FILE_PATH_LENGTH: u32 = 32_768;
/// A channel or file to query, in units.
pub const MAX_CHANNEL_PATH_LENGTH: u32 = 32_768;
/// A bookmark's XML, in units.
pub const MAX_BOOKMARK_LENGTH: u32 = MAX_PAYLOAD / 2;
/// A publisher's name, in units.
pub const MAX_PUBLISHER_ID_LENGTH: u32 = 2048;
/// A log property, in bytes.
pub const MAX_PROPERTY_BUFFER_SIZE: u32 = MAX_PAYLOAD;
/// A filter, in units.
pub const MAX_FILTER_LENGTH: u32 = MAX_QUERY_LENGTH;
/// Records in one batch.
pub const MAX_RECORD_COUNT: u32 = 1024;
/// One event, in bytes.
pub const MAX_EVENT_SIZE: u32 = MAX_PAYLOAD;
/// One batch, in bytes.
pub const MAX_BATCH_SIZE: u32 = MAX_PAYLOAD;
/// A rendered message, in bytes.
pub const MAX_RENDERED_STRING_SIZE: u32 = MAX_PAYLOAD;
/// Channels of a server.
pub const MAX_CHANNEL_COUNT: u32 = 8192;
/// Publishers of a server.
pub const MAX_PUBLISHER_COUNT: u32 = 8192;
/// Event definitions in one answer.
pub const MAX_EVENT_METADATA_COUNT: u32 = 256;
/// Variants in a list.
pub const MAX_VARIANT_LIST_COUNT: u32 = 256;
/// Booleans in an array. The definition divides by the size of a `BOOL`,
/// although the elements are octets.
pub const MAX_BOOL_ARRAY_COUNT: u32 = MAX_PAYLOAD / 4;
/// Longs in an array.
pub const MAX_UINT32_ARRAY_COUNT: u32 = MAX_PAYLOAD / 4;
/// Hypers in an array.
pub const MAX_UINT64_ARRAY_COUNT: u32 = MAX_PAYLOAD / 8;
/// Strings in an array.
pub const MAX_STRING_ARRAY_COUNT: u32 = MAX_PAYLOAD / 512;
/// GUIDs in an array.
pub const MAX_GUID_ARRAY_COUNT: u32 = MAX_PAYLOAD / 16;
/// A string in a variant, in units.
pub const MAX_STRING_LENGTH: u32 = MAX_PAYLOAD / 2;

/// Subquery ids of one record; ours, the definition sets none. A query has at
/// most a few hundred selects.
pub const MAX_SUBQUERY_IDS: u32 = 4096;
