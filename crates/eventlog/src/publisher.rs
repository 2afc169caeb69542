//! What a source knows of the publishers of its events: message text, names, definitions.

use quarry_even::wire::EventDescriptor;

use crate::log::BoxFuture;
use crate::types::LogError;

/// A publisher as a source knows it. It renders text; each is a call.
pub trait Publisher: Send + Sync {
    /// Renders a text of an event, with some values inserted. `None` where the source has none.
    ///
    /// # Errors
    /// [`LogError`]: the source didn't answer, or with a text that is longer than
    /// [`MAX_TEXT`](crate::Rendering::MAX_TEXT).
    fn render<'a>(
        &'a self,
        what: Rendering,
        event: EventDescriptor,
        values: &'a [String],
    ) -> BoxFuture<'a, Result<Option<String>, LogError>>;

    /// The definitions of the publisher's events, up to [`EventMetadata::MOST`] of them and up to
    /// [`EventMetadata::MOST_TEXT`] bytes of templates.
    ///
    /// # Errors
    /// [`LogError`]: the source didn't answer, or refused.
    fn events(&self) -> BoxFuture<'_, Result<Vec<EventMetadata>, LogError>>;

    /// Gives it back to the source. That this fails is of no consequence.
    fn close(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// What is rendered of an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Rendering {
    /// The message of the event with this id and version.
    Event,
    /// The name of its level.
    Level,
    /// The name of its task.
    Task,
    /// The name of its opcode.
    Opcode,
    /// The name of its keyword; of several, the first one's.
    Keyword,
    /// The message with this identifier, whatever the event.
    Message(u32),
}

impl Rendering {
    /// The longest text that is taken, in bytes of UTF-16.
    pub const MAX_TEXT: u32 = 256 << 10;
}

/// The definition of an event.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventMetadata {
    /// Its numbers.
    pub descriptor: EventDescriptor,
    /// The identifier of its message, where it has one.
    pub message: Option<u32>,
    /// Its fields, as an XML element `<template>`; empty where it has none.
    pub template: String,
}

impl EventMetadata {
    /// The most definitions that are taken of a publisher.
    pub const MOST: usize = 1 << 16;

    /// The most bytes that their templates take together.
    pub const MOST_TEXT: usize = 32 << 20;
}
