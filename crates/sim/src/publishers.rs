//! What a simulated server answers about publishers and their messages (3.1.4.25 to 3.1.4.28,
//! 3.1.4.31, 3.1.4.32).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use quarry_even::wire::*;
use quarry_even::{FormatFlags, PublisherProperty, PublisherResource, Refuse, Win32Error};

use crate::fault::MessageFault;
use crate::server::Server;
use crate::texts::{Publisher, identifier, template};

/// The languages that there are: none in particular, and English.
const LOCALES: [u32; 2] = [0, 0x409];

/// No message.
const NONE: u32 = u32::MAX;

impl Server {
    /// Counts a call that is about messages, and lets a fault come.
    pub(crate) async fn serves_messages(&self) -> Result<(), Refuse> {
        self.counts.message_calls.fetch_add(1, Relaxed);
        if self.faults.messages == Some(MessageFault::Hang) {
            std::future::pending::<()>().await;
        }
        match self.faults.hollow {
            true => Err(Refuse::Fault(quarry_rpc::FaultStatus::OP_RANGE)),
            false => Ok(()),
        }
    }

    pub(crate) fn publisher(
        &self,
        request: &GetPublisherMetadataRequest,
    ) -> Result<Publisher, Win32Error> {
        if self.faults.messages == Some(MessageFault::Refuse) {
            return Err(Win32Error::ACCESS_DENIED);
        }
        if !LOCALES.contains(&request.locale) {
            return Err(Win32Error::EVT_MESSAGE_LOCALE_NOT_FOUND);
        }
        let name = request.publisher.as_ref().map(ToString::to_string).unwrap_or_default();
        Publisher::find(&name).ok_or(Win32Error::EVT_PUBLISHER_METADATA_NOT_FOUND)
    }

    pub(crate) fn render(
        &self,
        publisher: Result<Arc<Publisher>, Win32Error>,
        request: &MessageRenderRequest,
    ) -> (RenderedMessage, Win32Error) {
        match self.faults.messages {
            Some(MessageFault::Garbage) => return garbage(request),
            Some(MessageFault::Oversized) => {
                let message = RenderedMessage { needed_size: u32::MAX, bytes: Vec::new() };
                return (message, Win32Error::INSUFFICIENT_BUFFER);
            }
            _ => {}
        }
        let text = publisher.and_then(|publisher| {
            text(&publisher, request.flags, &request.event_id, request.message_id, &request.values)
        });
        rendered(text, request.max_size)
    }

    /// The names that every server knows by itself.
    pub(crate) fn render_default(
        &self,
        request: &MessageRenderDefaultRequest,
    ) -> (RenderedMessage, Win32Error) {
        let is_name = [FormatFlags::LEVEL, FormatFlags::TASK, FormatFlags::OPCODE]
            .contains(&FormatFlags(request.flags))
            || FormatFlags(request.flags) == FormatFlags::KEYWORD;
        let text = match is_name {
            true => text(&Publisher(""), request.flags, &request.event_id, 0, &request.values),
            false => Err(Win32Error::INVALID_PARAMETER),
        };
        rendered(text, request.max_size)
    }

    pub(crate) fn definitions(
        &self,
        listing: &(Publisher, AtomicUsize),
        requested: u32,
    ) -> (Vec<VariantList>, Win32Error) {
        let (publisher, listed) = listing;
        let requested = requested.min(quarry_even::limits::MAX_EVENT_METADATA_COUNT) as usize;
        let first = listed.fetch_add(requested, Relaxed);
        let described = publisher.kinds().filter(|kind| kind.guid.is_some());
        let lists: Vec<VariantList> = described
            .skip(first)
            .take(requested)
            .map(|kind| {
                let template = match self.faults.messages {
                    Some(MessageFault::Garbage) => "<template><data name='".repeat(40),
                    _ => template(kind),
                };
                let message = match publisher.event(kind.id, kind.version) {
                    Some(_) => identifier(kind),
                    None => NONE,
                };
                [
                    VariantValue::UInt32(kind.id.into()),
                    VariantValue::UInt32(kind.version.into()),
                    VariantValue::UInt32(0),
                    VariantValue::UInt32(kind.level.into()),
                    VariantValue::UInt32(kind.opcode.into()),
                    VariantValue::UInt32(kind.task.into()),
                    VariantValue::UInt64(kind.keywords),
                    VariantValue::UInt32(message),
                    VariantValue::String(Some(template.as_str().into())),
                ]
                .into_iter()
                .collect()
            })
            .collect();
        match lists.is_empty() {
            true => (lists, Win32Error::NO_MORE_ITEMS),
            false => (lists, Win32Error::SUCCESS),
        }
    }
}

fn text(
    publisher: &Publisher,
    flags: u32,
    event: &[u8],
    message: u32,
    values: &VariantList,
) -> Result<String, Win32Error> {
    let values: Vec<String> = values
        .0
        .iter()
        .map(|variant| match &variant.value {
            VariantValue::String(Some(text)) => text.to_string(),
            _ => String::new(),
        })
        .collect();
    let flags = FormatFlags(flags);
    if flags == FormatFlags::ID {
        let text = publisher.message(message).ok_or(Win32Error::EVT_MESSAGE_ID_NOT_FOUND)?;
        return Ok(publisher.fill(text, &values));
    }
    let event: &[u8; 16] = event.try_into().map_err(|_| Win32Error::INVALID_PARAMETER)?;
    let event = EventDescriptor::from_bytes(event);
    let text = match flags {
        FormatFlags::EVENT => publisher
            .event(event.id, event.version)
            .map(|text| publisher.fill(text, &values))
            .ok_or(Win32Error::EVT_EVENT_DEFINITION_NOT_FOUND)?,
        FormatFlags::LEVEL => level(event.level).map(str::to_owned).ok_or(NOT_FOUND)?,
        FormatFlags::TASK => publisher.task(event.task).map(str::to_owned).ok_or(NOT_FOUND)?,
        FormatFlags::OPCODE => {
            publisher.opcode(event.opcode).map(str::to_owned).ok_or(NOT_FOUND)?
        }
        FormatFlags::KEYWORD => {
            let set = (0..64).map(|bit| 1u64 << bit).filter(|bit| event.keywords & bit != 0);
            let names: Vec<_> = set.filter_map(|bit| publisher.keyword(bit)).collect();
            match names.is_empty() {
                true => return Err(NOT_FOUND),
                // Each with a terminator.
                false => names.join("\0") + "\0",
            }
        }
        FormatFlags::CHANNEL => channels_of(publisher).next().ok_or(NOT_FOUND)?.to_owned(),
        FormatFlags::PROVIDER => publisher.0.to_owned(),
        _ => return Err(Win32Error::INVALID_PARAMETER),
    };
    Ok(text)
}

const NOT_FOUND: Win32Error = Win32Error::EVT_MESSAGE_NOT_FOUND;

fn level(level: u8) -> Option<&'static str> {
    Some(match level {
        0 | 4 => "Information",
        1 => "Critical",
        2 => "Error",
        3 => "Warning",
        5 => "Verbose",
        _ => return None,
    })
}

fn rendered(text: Result<String, Win32Error>, most: u32) -> (RenderedMessage, Win32Error) {
    match text.map(|text| RenderedMessage::from_text(&text)) {
        Ok(message) if message.needed_size > most => {
            let bytes = Vec::new();
            (RenderedMessage { bytes, ..message }, Win32Error::INSUFFICIENT_BUFFER)
        }
        Ok(message) => (message, Win32Error::SUCCESS),
        Err(status) => (RenderedMessage::default(), status),
    }
}

/// Text that no server would send: half characters, marks that stand for nothing, no end.
fn garbage(request: &MessageRenderRequest) -> (RenderedMessage, Win32Error) {
    let id = request.event_id.first().copied().unwrap_or(0);
    let text = match id % 3 {
        0 => "%%%1%%4294967296%99%\u{f8f1}0\u{f8f2}\u{f8f1}999\u{f8f2}\u{f8f1}",
        1 => "\u{1b}[2J\u{7}%0%!%",
        _ => "",
    };
    let mut bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // Half of a surrogate pair, and half of a unit.
    bytes.extend([0x00, 0xd8, 0x41]);
    (RenderedMessage { needed_size: 7, bytes }, Win32Error::SUCCESS)
}

fn channels_of(publisher: &Publisher) -> impl Iterator<Item = &'static str> {
    publisher.kinds().map(|kind| kind.channel)
}

/// The properties of a publisher when it is opened, by [`PublisherProperty`] (3.1.4.25).
pub(crate) fn metadata(publisher: &Publisher) -> VariantList {
    let mut values = vec![VariantValue::Null; PublisherProperty::KeywordMessageId as usize + 1];
    let mut set = |property: PublisherProperty, value| values[property as usize] = value;
    let guid = publisher.kinds().find_map(|kind| kind.guid);
    if let Some(guid) = guid.and_then(|guid| uuid::Uuid::parse_str(guid).ok()) {
        set(PublisherProperty::PublisherGuid, VariantValue::Guid(Some(guid)));
    }
    let file: String = publisher.0.chars().filter(char::is_ascii_alphanumeric).collect();
    let file = format!("%SystemRoot%\\system32\\{file}.dll");
    set(PublisherProperty::ResourceFilePath, file.as_str().into());
    set(PublisherProperty::MessageFilePath, file.as_str().into());
    let mut names: Vec<&str> = channels_of(publisher).collect();
    names.sort_unstable();
    names.dedup();
    let numbers = |first: u32| VariantValue::UInt32Array((first..).take(names.len()).collect());
    set(PublisherProperty::ChannelReferenceIndex, numbers(0));
    set(PublisherProperty::ChannelReferenceId, numbers(16));
    set(PublisherProperty::ChannelReferenceFlags, VariantValue::UInt32Array(vec![0; names.len()]));
    set(
        PublisherProperty::ChannelReferenceMessageId,
        VariantValue::UInt32Array(vec![NONE; names.len()]),
    );
    let names = names.iter().map(|name| Some((*name).into())).collect();
    set(PublisherProperty::ChannelReferencePath, VariantValue::StringArray(names));
    values.into_iter().collect()
}

/// A part of a publisher's metadata (3.1.4.26): names, values, messages.
pub(crate) fn part(publisher: &Publisher, property: u32) -> Option<VariantList> {
    let is = |part: PublisherResource| property == part as u32;
    if is(PublisherResource::HelpLink) {
        return Some([VariantValue::Null].into_iter().collect());
    }
    if is(PublisherResource::FriendlyName) {
        return Some([VariantValue::UInt32(NONE)].into_iter().collect());
    }
    let used = |value: fn(&crate::kinds::Kind) -> u64| {
        let mut values: Vec<u64> = publisher.kinds().map(value).collect();
        values.sort_unstable();
        values.dedup();
        values
    };
    let values = if is(PublisherResource::Levels) {
        used(|kind| kind.level.into())
    } else if is(PublisherResource::Tasks) {
        used(|kind| kind.task.into())
    } else if is(PublisherResource::Opcodes) {
        used(|kind| u64::from(kind.opcode) << 16)
    } else if is(PublisherResource::Keywords) {
        used(|kind| kind.keywords)
    } else {
        return None;
    };
    let names = values.iter().map(|value| Some(format!("value{value:#x}").as_str().into()));
    let names = VariantValue::StringArray(names.collect());
    let messages = VariantValue::UInt32Array(vec![NONE; values.len()]);
    let values = match is(PublisherResource::Keywords) {
        true => VariantValue::UInt64Array(values),
        false => VariantValue::UInt32Array(values.iter().map(|value| *value as u32).collect()),
    };
    Some([names, values, messages].into_iter().collect())
}
