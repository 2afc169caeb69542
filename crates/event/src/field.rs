//! The fields every event has a place for: the children of `<System>` and their attributes
//! (MS-EVEN6 2.2.13, SystemPropertiesType).

/// A field of `<System>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)] // Each is the element and attribute that PLACES names.
pub enum Field {
    ProviderName,
    ProviderGuid,
    EventSourceName,
    EventId,
    Qualifiers,
    Version,
    Level,
    Task,
    Opcode,
    Keywords,
    TimeCreated,
    RecordId,
    ActivityId,
    RelatedActivityId,
    ProcessId,
    ThreadId,
    ProcessorId,
    SessionId,
    KernelTime,
    UserTime,
    ProcessorTime,
    Channel,
    Computer,
    UserId,
}

use Field::*;

/// Each field with the child of `<System>` it stands in, and the attribute where it is not the
/// child's text; in the order of an event's XML.
const PLACES: [(Field, &str, Option<&str>); Field::COUNT] = [
    (ProviderName, "Provider", Some("Name")),
    (ProviderGuid, "Provider", Some("Guid")),
    (EventSourceName, "Provider", Some("EventSourceName")),
    (EventId, "EventID", None),
    (Qualifiers, "EventID", Some("Qualifiers")),
    (Version, "Version", None),
    (Level, "Level", None),
    (Task, "Task", None),
    (Opcode, "Opcode", None),
    (Keywords, "Keywords", None),
    (TimeCreated, "TimeCreated", Some("SystemTime")),
    (RecordId, "EventRecordID", None),
    (ActivityId, "Correlation", Some("ActivityID")),
    (RelatedActivityId, "Correlation", Some("RelatedActivityID")),
    (ProcessId, "Execution", Some("ProcessID")),
    (ThreadId, "Execution", Some("ThreadID")),
    (ProcessorId, "Execution", Some("ProcessorID")),
    (SessionId, "Execution", Some("SessionID")),
    (KernelTime, "Execution", Some("KernelTime")),
    (UserTime, "Execution", Some("UserTime")),
    (ProcessorTime, "Execution", Some("ProcessorTime")),
    (Channel, "Channel", None),
    (Computer, "Computer", None),
    (UserId, "Security", Some("UserID")),
];

impl Field {
    /// How many fields there are.
    pub const COUNT: usize = 24;

    /// All fields, in the order of an event's XML.
    pub fn all() -> impl Iterator<Item = Field> {
        PLACES.iter().map(|&(field, ..)| field)
    }

    /// The child of `<System>` that the field stands in.
    pub fn element(self) -> &'static str {
        PLACES[self as usize].1
    }

    /// The attribute that the field is, where it is not the element's text.
    pub fn attribute(self) -> Option<&'static str> {
        PLACES[self as usize].2
    }

    /// The field in a place.
    pub fn at(element: &str, attribute: Option<&str>) -> Option<Field> {
        PLACES
            .iter()
            .find(|place| place.1 == element && place.2 == attribute)
            .map(|&(field, ..)| field)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_fields() {
        for (i, field) in Field::all().enumerate() {
            assert_eq!(field as usize, i);
            assert_eq!(Field::at(field.element(), field.attribute()), Some(field));
        }
    }
}
