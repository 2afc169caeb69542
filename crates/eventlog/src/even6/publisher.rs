//! A publisher's metadata and messages (3.1.4.25, 3.1.4.27, 3.1.4.28, 3.1.4.31).

use quarry_even::wire::{
    EventDescriptor, MessageRenderRequest, PublisherMetadataHandle, Variant, VariantList,
    VariantValue,
};
use quarry_even::{EventClient, EventMetadataProperty, FormatFlags, Win32Error};
use tokio::sync::OnceCell;

use crate::log::BoxFuture;
use crate::publisher::{EventMetadata, Publisher, Rendering};
use crate::types::LogError;

/// Room for a text, in bytes: nearly all need less.
const USUAL_TEXT: u32 = 16 << 10;
/// Definitions a call.
const DEFINITIONS: u32 = 64;
/// No locale: the server's own (MS-LCID).
const NEUTRAL: u32 = 0;

/// A publisher that a server has open.
pub(super) struct ServerPublisher {
    client: EventClient,
    name: String,
    handle: PublisherMetadataHandle,
    /// The same in the server's own language, opened when the wanted one lacks a text.
    neutral: OnceCell<PublisherMetadataHandle>,
}

impl ServerPublisher {
    pub(super) async fn open(
        client: EventClient,
        name: &str,
        locale: u32,
    ) -> Result<Option<Self>, LogError> {
        match client.publisher_metadata(Some(name), None, locale).await {
            Ok((handle, _)) => {
                let (name, neutral) = (name.to_owned(), OnceCell::new());
                Ok(Some(ServerPublisher { client, name, handle, neutral }))
            }
            Err(error) if error.status().is_some_and(is_unknown) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn render_in(
        &self,
        handle: PublisherMetadataHandle,
        what: Rendering,
        event: EventDescriptor,
        values: &[String],
    ) -> Result<String, quarry_even::Error> {
        let (flags, message_id) = match what {
            Rendering::Event => (FormatFlags::EVENT, 0),
            Rendering::Level => (FormatFlags::LEVEL, 0),
            Rendering::Task => (FormatFlags::TASK, 0),
            Rendering::Opcode => (FormatFlags::OPCODE, 0),
            Rendering::Keyword => (FormatFlags::KEYWORD, 0),
            Rendering::Message(id) => (FormatFlags::ID, id),
        };
        let request = MessageRenderRequest {
            publisher: handle,
            event_id: event.to_bytes().to_vec(),
            message_id,
            values: values.iter().map(String::as_str).collect(),
            flags: flags.into(),
            max_size: USUAL_TEXT,
        };
        let rendered = self.client.message_render(&request, Rendering::MAX_TEXT).await?;
        Ok(rendered.texts().into_iter().next().unwrap_or_default())
    }
}

impl Publisher for ServerPublisher {
    fn render<'a>(
        &'a self,
        what: Rendering,
        event: EventDescriptor,
        values: &'a [String],
    ) -> BoxFuture<'a, Result<Option<String>, LogError>> {
        Box::pin(async move {
            let mut rendered = self.render_in(self.handle, what, event, values).await;
            let lacks_language = |error: &quarry_even::Error| {
                error.status() == Some(Win32Error::EVT_MESSAGE_LOCALE_NOT_FOUND)
            };
            if rendered.as_ref().is_err_and(lacks_language) {
                let open = || async {
                    let opened =
                        self.client.publisher_metadata(Some(&self.name), None, NEUTRAL).await;
                    opened.map(|(handle, _)| handle)
                };
                rendered = match self.neutral.get_or_try_init(open).await {
                    Ok(neutral) => self.render_in(*neutral, what, event, values).await,
                    Err(error) => Err(error),
                };
            }
            match rendered {
                Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
                Err(error) if error.status().is_some_and(is_missing) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn events(&self) -> BoxFuture<'_, Result<Vec<EventMetadata>, LogError>> {
        Box::pin(async {
            let listing = self.client.event_metadata(self.handle).await?;
            let (mut all, mut text) = (Vec::new(), 0);
            let listed = loop {
                match self.client.next_event_metadata(listing, DEFINITIONS).await {
                    Ok(lists) if lists.is_empty() => break Ok(()),
                    Ok(lists) => {
                        for definition in lists.iter().filter_map(definition) {
                            text += definition.template.len();
                            all.push(definition);
                        }
                        if all.len() >= EventMetadata::MOST || text >= EventMetadata::MOST_TEXT {
                            break Ok(());
                        }
                    }
                    Err(error) => break Err(error.into()),
                }
            };
            let _ = self.client.close(listing.into()).await;
            listed.map(|()| all)
        })
    }

    fn close(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(neutral) = self.neutral.get() {
                let _ = self.client.close((*neutral).into()).await;
            }
            let _ = self.client.close(self.handle.into()).await;
        })
    }
}

/// Whether a server says that there is no such text.
fn is_missing(status: Win32Error) -> bool {
    matches!(
        status,
        Win32Error::EVT_MESSAGE_NOT_FOUND
            | Win32Error::EVT_MESSAGE_ID_NOT_FOUND
            | Win32Error::EVT_MESSAGE_LOCALE_NOT_FOUND
            | Win32Error::EVT_EVENT_DEFINITION_NOT_FOUND
            | Win32Error::EVT_EVENT_TEMPLATE_NOT_FOUND
            | Win32Error::NOT_FOUND
    )
}

/// Whether a server says that it has no such publisher, or that its files are gone.
fn is_unknown(status: Win32Error) -> bool {
    matches!(
        status,
        Win32Error::EVT_PUBLISHER_METADATA_NOT_FOUND
            | Win32Error::EVT_INVALID_PUBLISHER_NAME
            | Win32Error::FILE_NOT_FOUND
            | Win32Error::PATH_NOT_FOUND
    )
}

/// Reads a definition; nothing where it has no number.
fn definition(list: &VariantList) -> Option<EventMetadata> {
    let value = |property: EventMetadataProperty| {
        list.0.get(property as usize).map(|Variant { value, .. }| value)
    };
    let number = |property| match value(property) {
        Some(VariantValue::UInt32(number)) => Some(u64::from(*number)),
        Some(VariantValue::UInt64(number)) => Some(*number),
        _ => None,
    };
    let small = |property| number(property).and_then(|number| u8::try_from(number).ok());
    let short = |property| number(property).and_then(|number| u16::try_from(number).ok());
    Some(EventMetadata {
        descriptor: EventDescriptor {
            id: short(EventMetadataProperty::EventId)?,
            version: small(EventMetadataProperty::Version).unwrap_or(0),
            channel: small(EventMetadataProperty::Channel).unwrap_or(0),
            level: small(EventMetadataProperty::Level).unwrap_or(0),
            opcode: small(EventMetadataProperty::Opcode).unwrap_or(0),
            task: short(EventMetadataProperty::Task).unwrap_or(0),
            keywords: number(EventMetadataProperty::Keyword).unwrap_or(0),
        },
        // All ones are none.
        message: number(EventMetadataProperty::MessageId)
            .and_then(|id| u32::try_from(id).ok())
            .filter(|id| *id != u32::MAX),
        template: match value(EventMetadataProperty::Template) {
            Some(VariantValue::String(Some(text))) => text.to_string(),
            _ => String::new(),
        },
    })
}
