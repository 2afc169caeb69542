#![doc = include_str!("../README.md")]
//!
//! # Where is what
//!
//! Section numbers in this crate are those of the EventLog Remoting Protocol
//! Version 6.0 (MS-EVEN6), which is whole here: every type, operation, limit and
//! error code.
//!
//! [`even`] is MS-EVEN, the protocol before it, whole as far as it reads.
//!
//! Events travel as BinXML in [result sets](ResultSetRecord); what is in them is
//! the crate `quarry-binxml`'s business.
#![forbid(unsafe_code)]

mod binxml_variant;
mod bookmark;
mod client;
mod error;
mod flags;
mod logon;
mod opnum;
mod result_set;
mod server;

pub mod even;
pub mod limits;
pub mod wire;

pub use binxml_variant::{BINXML_VARIANT_LEN, BinXmlVariant};
pub use bookmark::{Bookmark, BookmarkEntry, BookmarkError};
pub use client::{ConnectOptions, EventClient, Next, RegisteredQuery, RegisteredSubscription};
pub use error::{Error, Result, Win32Error};
pub use flags::{
    ChannelProperty, EventMetadataProperty, FormatFlags, LogProperty, PublisherProperty,
    PublisherResource, QueryFlags, SeekFlags, SubscribeFlags,
};
pub use logon::{Authentication, LogOn, UnknownAuthentication};
pub use opnum::Opnum;
pub use result_set::{BookmarkData, ResultSetError, ResultSetRecord, SubqueryIds, encode_record};
pub use server::{EventServer, EventService, Refuse};

use quarry_rpc::SyntaxId;

/// The interface (1.9).
pub const INTERFACE: SyntaxId =
    SyntaxId::new(uuid::uuid!("f6beaff7-1e19-4fbb-9f8f-b89e2018337c"), 1, 0);
