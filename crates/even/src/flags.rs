//! Flags and numbered properties of the operations.

use std::ops::BitOr;

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident { $($(#[$const_doc:meta])* $const:ident = $value:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $name(pub u32);

        impl $name {
            $($(#[$const_doc])* pub const $const: Self = Self($value);)*

            /// Whether all bits of `other` are set.
            pub fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl From<u32> for $name {
            fn from(bits: u32) -> Self {
                Self(bits)
            }
        }

        impl From<$name> for u32 {
            fn from(flags: $name) -> Self {
                flags.0
            }
        }
    )*};
}

flags! {
    /// How a query reads (3.1.4.12).
    QueryFlags {
        /// The path is a channel's name.
        CHANNEL_PATH = 0x0000_0001,
        /// The path is a file on the server.
        FILE_PATH = 0x0000_0002,
        /// Oldest first.
        FORWARD = 0x0000_0100,
        /// Newest first.
        REVERSE = 0x0000_0200,
        /// Do what can be done of a query with errors. For an `or` that may be
        /// its left part only: never for a query of one's own making.
        TOLERATE_ERRORS = 0x0000_1000,
    }
    /// How a subscription starts (3.1.4.8).
    SubscribeFlags {
        /// Events to come.
        FUTURE_EVENTS = 0x0000_0001,
        /// All there are, and those to come.
        START_AT_OLDEST = 0x0000_0002,
        /// Those after the bookmark.
        START_AFTER_BOOKMARK = 0x0000_0003,
        /// Do what can be done of a query with errors.
        TOLERATE_ERRORS = 0x0000_1000,
        /// Fail when events were missed; otherwise gaps go unseen.
        STRICT = 0x0001_0000,
        /// The client asks; without it the server answers when it has something.
        PULL = 0x1000_0000,
    }
    /// From where a query's position is moved (3.1.4.14).
    SeekFlags {
        /// From the first record.
        RELATIVE_TO_FIRST = 0x0000_0001,
        /// From the last.
        RELATIVE_TO_LAST = 0x0000_0002,
        /// From where it is.
        RELATIVE_TO_CURRENT = 0x0000_0003,
        /// From a bookmark.
        RELATIVE_TO_BOOKMARK = 0x0000_0004,
        /// Fail when the position is not there.
        STRICT = 0x0001_0000,
    }
    /// What a message render is to find (3.1.4.31).
    FormatFlags {
        /// The event's message.
        EVENT = 1,
        /// Its level's name.
        LEVEL = 2,
        /// Its task's name.
        TASK = 3,
        /// Its opcode's name.
        OPCODE = 4,
        /// Its keywords' names.
        KEYWORD = 5,
        /// Its channel's name.
        CHANNEL = 6,
        /// Its publisher's name.
        PROVIDER = 7,
        /// The message with an id.
        ID = 8,
    }
}

/// Properties of a log (3.1.4.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum LogProperty {
    /// When its file was made; a file time.
    CreationTime = 0,
    /// When its file was last read; a file time.
    LastAccessTime = 1,
    /// When its file was last written; a file time.
    LastWriteTime = 2,
    /// Its file's size in bytes.
    FileSize = 3,
    /// Its file's attributes.
    Attributes = 4,
    /// How many records it has.
    NumberOfLogRecords = 5,
    /// The number of its oldest record.
    OldestRecordNumber = 6,
    /// Whether it is full.
    Full = 7,
}

/// Properties of a channel: indices into a list of variants (3.1.4.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the definition's")]
pub enum ChannelProperty {
    Enabled = 0,
    Isolation = 1,
    /// 0 admin, 1 operational, 2 analytic, 3 debug.
    ChannelType = 2,
    OwningPublisher = 3,
    ClassicEventlog = 4,
    Access = 5,
    Retention = 6,
    AutoBackup = 7,
    MaxSize = 8,
    LogFilePath = 9,
    Level = 10,
    Keywords = 11,
    ControlGuid = 12,
    BufferSize = 13,
    MinBuffers = 14,
    MaxBuffers = 15,
    Latency = 16,
    ClockType = 17,
    SidType = 18,
    PublisherList = 19,
    FileMax = 20,
}

/// Properties of a publisher: indices into a list of variants (3.1.4.25, 3.1.4.26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the definition's")]
pub enum PublisherProperty {
    PublisherGuid = 0,
    ResourceFilePath = 1,
    ParameterFilePath = 2,
    MessageFilePath = 3,
    HelpLink = 4,
    PublisherMessageId = 5,
    ChannelReferencePath = 7,
    ChannelReferenceIndex = 8,
    ChannelReferenceId = 9,
    ChannelReferenceFlags = 10,
    ChannelReferenceMessageId = 11,
    LevelName = 13,
    LevelValue = 14,
    LevelMessageId = 15,
    TaskName = 17,
    TaskEventGuid = 18,
    TaskValue = 19,
    TaskMessageId = 20,
    OpcodeName = 22,
    OpcodeValue = 23,
    OpcodeMessageId = 24,
    KeywordName = 26,
    KeywordValue = 27,
    KeywordMessageId = 28,
}

/// Parts of a publisher's metadata to ask for (3.1.4.26).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum PublisherResource {
    /// Its help link.
    HelpLink = 0x04,
    /// Its name for people.
    FriendlyName = 0x05,
    /// Its levels.
    Levels = 0x0c,
    /// Its tasks.
    Tasks = 0x10,
    /// Its opcodes.
    Opcodes = 0x15,
    /// Its keywords.
    Keywords = 0x19,
}

/// Properties of an event's definition: indices into a list of variants (3.1.4.28).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
#[expect(missing_docs, reason = "the names are the definition's")]
pub enum EventMetadataProperty {
    EventId = 0,
    Version = 1,
    Channel = 2,
    Level = 3,
    Opcode = 4,
    Task = 5,
    Keyword = 6,
    MessageId = 7,
    Template = 8,
}
