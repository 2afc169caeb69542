//! The operations' numbers (3.1.4), in the one list from which the client's and
//! the server's stubs are made.

use std::fmt;

/// Calls a macro with all operations: number, name, method, name in the
/// definition.
macro_rules! with_operations {
    ($macro:ident) => {
        $macro! {
            0, RegisterRemoteSubscription, register_remote_subscription;
            1, RemoteSubscriptionNextAsync, remote_subscription_next_async;
            2, RemoteSubscriptionNext, remote_subscription_next;
            3, RemoteSubscriptionWaitAsync, remote_subscription_wait_async;
            4, RegisterControllableOperation, register_controllable_operation;
            5, RegisterLogQuery, register_log_query;
            6, ClearLog, clear_log;
            7, ExportLog, export_log;
            8, LocalizeExportLog, localize_export_log;
            9, MessageRender, message_render;
            10, MessageRenderDefault, message_render_default;
            11, QueryNext, query_next;
            12, QuerySeek, query_seek;
            13, Close, close;
            14, Cancel, cancel;
            15, AssertConfig, assert_config;
            16, RetractConfig, retract_config;
            17, OpenLogHandle, open_log_handle;
            18, GetLogFileInfo, get_log_file_info;
            19, GetChannelList, get_channel_list;
            20, GetChannelConfig, get_channel_config;
            21, PutChannelConfig, put_channel_config;
            22, GetPublisherList, get_publisher_list;
            23, GetPublisherListForChannel, get_publisher_list_for_channel;
            24, GetPublisherMetadata, get_publisher_metadata;
            25, GetPublisherResourceMetadata, get_publisher_resource_metadata;
            26, GetEventMetadataEnum, get_event_metadata_enum;
            27, GetNextEventMetadata, get_next_event_metadata;
            28, GetClassicLogDisplayName, get_classic_log_display_name;
        }
    };
}
pub(crate) use with_operations;

macro_rules! define {
    ($($number:literal, $name:ident, $method:ident;)*) => {
        /// An operation of the interface.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Opnum {
            $(#[doc = concat!("`EvtRpc", stringify!($name), "`.")] $name = $number,)*
        }

        impl Opnum {
            /// All of them, by number.
            pub const ALL: [Self; 29] = [$(Self::$name,)*];

            /// The operation's name in the interface's definition.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("EvtRpc", stringify!($name)),)*
                }
            }
        }
    };
}

with_operations!(define);

impl Opnum {
    /// The operation with a number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Opnum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_operations_are_one_to_one() {
        for (number, opnum) in Opnum::ALL.into_iter().enumerate() {
            assert_eq!(opnum as usize, number);
            assert_eq!(Opnum::from_number(number as u16), Some(opnum));
        }
        assert_eq!(Opnum::from_number(29), None);
        assert_eq!(Opnum::QueryNext.name(), "EvtRpcQueryNext");
    }
}
