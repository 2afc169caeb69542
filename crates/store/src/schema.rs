//! The columns of the table.
//!
//! Every number is of the next wider signed type, as Delta Lake has no unsigned ones and refuses
//! what doesn't fit. `record_id`, `log_record` and `keywords` have 64 bits and are the bits of a
//! long: what is above 2⁶³ shows as negative.

use std::sync::Arc;

use deltalake::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde_json::{Value, json};

use crate::StoreError;

/// The version of the layout that this crate writes and reads, in the table's configuration.
pub const LAYOUT: u32 = 1;
/// The key of the layout's version in the table's configuration.
pub(crate) const LAYOUT_KEY: &str = "quarry.layout";
/// The columns that a file's statistics have.
pub(crate) const STATISTICS: [&str; 6] =
    [column::TIME, column::HOST, column::EVENT_ID, column::LEVEL, column::CHANNEL, column::ODD];
/// What the name of a column that was chosen from an event's data begins with.
pub const DATA_PREFIX: &str = "data_";

/// The names of the columns.
pub mod column {
    /// When the event was created; microseconds, UTC. Null outside the years 1601 to 9999.
    pub const TIME: &str = "time";
    /// The seventh digit of the second, 0 to 9.
    pub const TICK: &str = "tick";
    /// The FILETIME of a time outside the years 1601 to 9999; null otherwise.
    pub const FILETIME: &str = "filetime";
    /// Where the event was read.
    pub const SOURCE: &str = "source";
    /// The host that it was read from, or that the event names.
    pub const HOST: &str = "host";
    /// The log that it was read from.
    pub const LOG: &str = "log";
    /// The record's number there.
    pub const LOG_RECORD: &str = "log_record";
    /// When the row was made; microseconds, UTC.
    pub const RECEIVED: &str = "received";
    /// The computer that the event names.
    pub const COMPUTER: &str = "computer";
    /// The channel that the event names.
    pub const CHANNEL: &str = "channel";
    /// The record's number that the event names.
    pub const RECORD_ID: &str = "record_id";
    /// The provider's name.
    pub const PROVIDER: &str = "provider";
    /// The provider's GUID, lowercase in braces.
    pub const PROVIDER_GUID: &str = "provider_guid";
    /// The user's SID.
    pub const USER_SID: &str = "user_sid";
    /// The activity, a GUID.
    pub const ACTIVITY_ID: &str = "activity_id";
    /// The activity that led to it, a GUID.
    pub const RELATED_ACTIVITY_ID: &str = "related_activity_id";
    /// The event's identifier.
    pub const EVENT_ID: &str = "event_id";
    /// Its qualifiers.
    pub const QUALIFIERS: &str = "qualifiers";
    /// Its version.
    pub const VERSION: &str = "version";
    /// Its level.
    pub const LEVEL: &str = "level";
    /// Its task.
    pub const TASK: &str = "task";
    /// Its opcode.
    pub const OPCODE: &str = "opcode";
    /// Its keywords, as the bits of a long.
    pub const KEYWORDS: &str = "keywords";
    /// The process.
    pub const PROCESS_ID: &str = "process_id";
    /// The thread.
    pub const THREAD_ID: &str = "thread_id";
    /// The values of `<EventData>` by name: unnamed ones are `#1`, `#2`, … by their place among all
    /// values; a name that comes again gets `#2`, `#3`, … after it.
    pub const DATA: &str = "data";
    /// `<UserData>` as JSON.
    pub const USER_DATA: &str = "user_data";
    /// What no other column has, as JSON.
    pub const OTHER: &str = "other";
    /// The values of `<EventData>` and `<UserData>`, a line each.
    pub const TEXT: &str = "text";
    /// The message text.
    pub const MESSAGE: &str = "message";
    /// Who knew the message text.
    pub const MESSAGE_SOURCE: &str = "message_source";
    /// The detection rules that the event matches, by identifier.
    pub const RULES: &str = "rules";
    /// What the row is: `event`, `gap`, `failure`, `recovery`.
    pub const KIND: &str = "kind";
    /// Which elements of `<System>` and `<EventData>` the event has, as bits; for this crate, which
    /// makes the event of its row again.
    pub const SHAPE: &str = "shape";
    /// The event whole, as JsonML, where the other columns can't give it back: with user data, with
    /// rendered text, with numbers that are none.
    pub const TREE: &str = "tree";
    /// 1 where a field of `<System>` has a text that its column can't hold; null otherwise.
    pub const ODD: &str = "odd";
}

/// The fixed columns, in the table's order.
pub(crate) fn fixed() -> Vec<Field> {
    use column::*;
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let text = || DataType::Utf8;
    [
        (TIME, time()),
        (TICK, DataType::Int8),
        (FILETIME, DataType::Int64),
        (SOURCE, text()),
        (HOST, text()),
        (LOG, text()),
        (LOG_RECORD, DataType::Int64),
        (RECEIVED, time()),
        (COMPUTER, text()),
        (CHANNEL, text()),
        (RECORD_ID, DataType::Int64),
        (PROVIDER, text()),
        (PROVIDER_GUID, text()),
        (USER_SID, text()),
        (ACTIVITY_ID, text()),
        (RELATED_ACTIVITY_ID, text()),
        (EVENT_ID, DataType::Int32),
        (QUALIFIERS, DataType::Int32),
        (VERSION, DataType::Int16),
        (LEVEL, DataType::Int16),
        (TASK, DataType::Int32),
        (OPCODE, DataType::Int32),
        (KEYWORDS, DataType::Int64),
        (PROCESS_ID, DataType::Int64),
        (THREAD_ID, DataType::Int64),
        (DATA, map()),
        (USER_DATA, text()),
        (OTHER, text()),
        (TEXT, text()),
        (MESSAGE, text()),
        (MESSAGE_SOURCE, text()),
        (RULES, DataType::List(Arc::new(element()))),
        (KIND, text()),
        (SHAPE, DataType::Int32),
        (TREE, text()),
        (ODD, DataType::Int8),
    ]
    .into_iter()
    .map(|(name, kind)| Field::new(name, kind, true))
    .collect()
}

/// The fields of an entry of a map, by the names that Delta Lake gives them.
pub(crate) fn map_entry() -> [Field; 2] {
    [Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)]
}

fn map() -> DataType {
    let entry = DataType::Struct(map_entry().into_iter().collect());
    DataType::Map(Arc::new(Field::new("key_value", entry, false)), false)
}

/// An element of a list, by the name that Delta Lake gives it.
pub(crate) fn element() -> Field {
    Field::new("element", DataType::Utf8, true)
}

/// The columns of a table with the values of the data that were chosen.
///
/// # Errors
/// [`StoreError::ColumnName`] for a name that is empty, longer than 200 bytes, has characters that
/// a column can't have (Parquet and Delta Lake: blanks, `,;{}()=`, controls), or comes twice
/// without regard to case.
pub fn schema(chosen: &[String]) -> Result<SchemaRef, StoreError> {
    let mut fields = fixed();
    let mut seen = std::collections::HashSet::new();
    for name in chosen {
        let refuse = |why| Err(StoreError::ColumnName { name: name.clone(), why });
        if name.is_empty() {
            return refuse("it is empty");
        }
        if name.len() > 200 {
            return refuse("it is longer than 200 bytes");
        }
        if name.chars().any(|c| c.is_control() || c.is_whitespace() || ",;{}()=".contains(c)) {
            return refuse("it has a blank, a control character or one of `,;{}()=`");
        }
        if !seen.insert(name.to_lowercase()) {
            return refuse("it is there twice");
        }
        fields.push(Field::new(format!("{DATA_PREFIX}{name}"), DataType::Utf8, true));
    }
    Ok(Arc::new(Schema::new(fields)))
}

/// A schema as the log has it (Delta Lake protocol, "Schema Serialization Format").
pub(crate) fn delta(schema: &Schema) -> Value {
    let fields = schema.fields().iter().map(|field| {
        json!({
            "name": field.name(),
            "type": delta_type(field.data_type()),
            "nullable": field.is_nullable(),
            "metadata": {},
        })
    });
    json!({ "type": "struct", "fields": fields.collect::<Vec<_>>() })
}

fn delta_type(kind: &DataType) -> Value {
    match kind {
        DataType::Int8 => "byte".into(),
        DataType::Int16 => "short".into(),
        DataType::Int32 => "integer".into(),
        DataType::Int64 => "long".into(),
        DataType::Timestamp(..) => "timestamp".into(),
        DataType::Map(..) => json!({
            "type": "map", "keyType": "string", "valueType": "string", "valueContainsNull": true,
        }),
        DataType::List(_) => json!({
            "type": "array", "elementType": "string", "containsNull": true,
        }),
        _ => "string".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_values_are_columns_after_the_fixed_ones() {
        let schema = schema(&["TargetUserName".into(), "IpAddress".into()]).unwrap();
        assert_eq!(schema.fields().len(), fixed().len() + 2);
        assert!(schema.field_with_name("data_IpAddress").is_ok());
        assert_eq!(schema.index_of("data_TargetUserName").ok(), Some(fixed().len()));
    }

    #[test]
    fn a_name_that_can_be_no_column_is_refused() {
        let long = "x".repeat(201);
        for names in [&[""][..], &["a b"], &["a="], &["A", "a"], &["a\n"], &[&long]] {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let refused = schema(&names);
            assert!(matches!(refused, Err(StoreError::ColumnName { .. })), "{names:?}");
        }
    }

    #[test]
    fn statistics_are_of_columns_that_there_are() {
        let schema = schema(&[]).unwrap();
        assert!(STATISTICS.iter().all(|name| schema.field_with_name(name).is_ok()));
    }
}
