//! Why something can't be written as BinXML. All of it is the caller's to mend.

use crate::write::ValueType;

/// Why a fragment can't be written.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// A name that XML doesn't allow.
    #[error("{0:?} is no name of an element or attribute")]
    Name(String),
    /// An element with two attributes of one name.
    #[error("an element has the attribute {0:?} twice")]
    DuplicateAttribute(String),
    /// A substitution or a dependency in an element that is in no template.
    #[error("an element outside of a template depends on a value")]
    StraySubstitution,
    /// An instance without all the values that its template uses.
    #[error("the template uses {needed} values and the instance has {given}")]
    MissingValues {
        /// Values that the template uses.
        needed: usize,
        /// Values that the instance has.
        given: usize,
    },
    /// A value whose bytes are more than a value's length can say (65,535).
    #[error("a value of {0} bytes is too long")]
    ValueTooLong(usize),
    /// An item of an array that can't be one: of another type, of a type that arrays don't have,
    /// or text with a NUL in it (MS-EVEN6 3.1.4.7.5).
    #[error("an array of {of:?} can't have this item")]
    ArrayItem {
        /// The array's type.
        of: ValueType,
    },
    /// Text that the code page doesn't have.
    #[error("the text can't be written in the code page")]
    CodePage,
    /// A time that the type has no place for.
    #[error("the time can't be written as a SYSTEMTIME")]
    Time,
    /// A bound of [`Limits`](crate::Limits) is passed.
    #[error("more {0} than allowed")]
    Limit(&'static str),
    /// The fragment doesn't fit in the room that is left for it: in the chunk, or in an event as
    /// MS-EVEN6 can send it.
    #[error("the event takes more than the {room} bytes there are for it")]
    TooLarge {
        /// The bytes that there are for it.
        room: usize,
    },
}
