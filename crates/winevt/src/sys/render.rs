//! Rendering: values, and XML.

use std::cell::RefCell;
use std::ptr;

use windows_sys::Win32::System::EventLog::{
    EVT_RENDER_CONTEXT_FLAGS, EVT_RENDER_FLAGS, EvtCreateRenderContext, EvtRender,
    EvtRenderContextSystem, EvtRenderContextUser, EvtRenderEventValues, EvtRenderEventXml,
};

use super::call::{Buffer, Handle};
use super::results::Event;
use crate::error::Error;
use crate::event::{Render, RenderedEvent};
use crate::variant::Values;

/// Renders events, in memory that it uses again. A thread has one.
#[derive(Debug)]
pub struct Renderer {
    system: Handle,
    data: Handle,
    /// The properties of `<System>` of the event that is being read.
    values: Buffer,
    /// What else of it is rendered.
    other: Buffer,
}

impl Renderer {
    /// A renderer.
    ///
    /// # Errors
    /// [`Error`]: `EvtCreateRenderContext` failed.
    pub fn new() -> Result<Self, Error> {
        Ok(Renderer {
            system: context(EvtRenderContextSystem)?,
            data: context(EvtRenderContextUser)?,
            values: Buffer::default(),
            other: Buffer::default(),
        })
    }

    /// Renders an event's properties of `<System>`, and calls `take` with it.
    ///
    /// # Errors
    /// [`Error`]: `EvtRender` failed.
    pub fn read<R>(
        &mut self,
        event: &Event,
        take: impl FnOnce(&RenderedEvent<'_>) -> R,
    ) -> Result<R, Error> {
        let count = render(Some(&self.system), event, EvtRenderEventValues, &mut self.values)?;
        let values = Values::new(self.values.bytes(), self.values.address(), count);
        let source = Source { event, data: &self.data, buffer: RefCell::new(&mut self.other) };
        Ok(take(&RenderedEvent::new(values, &source)))
    }
}

/// An event of which more may be wanted.
struct Source<'r> {
    event: &'r Event,
    data: &'r Handle,
    buffer: RefCell<&'r mut Buffer>,
}

impl Render for Source<'_> {
    fn xml(&self) -> Result<String, Error> {
        let mut buffer = self.buffer.borrow_mut();
        render(None, self.event, EvtRenderEventXml, &mut buffer)?;
        Ok(buffer.text())
    }

    fn data(&self, take: &mut dyn FnMut(Values<'_>)) -> Result<(), Error> {
        let mut buffer = self.buffer.borrow_mut();
        let count = render(Some(self.data), self.event, EvtRenderEventValues, &mut buffer)?;
        take(Values::new(buffer.bytes(), buffer.address(), count));
        Ok(())
    }
}

fn context(flags: EVT_RENDER_CONTEXT_FLAGS) -> Result<Handle, Error> {
    // SAFETY: these two contexts have no paths.
    let raw = unsafe { EvtCreateRenderContext(0, ptr::null(), flags) };
    // SAFETY: it was just made.
    unsafe { Handle::new("EvtCreateRenderContext", raw) }
}

/// Renders into a buffer; gives the number of values.
fn render(
    context: Option<&Handle>,
    event: &Event,
    flags: EVT_RENDER_FLAGS,
    buffer: &mut Buffer,
) -> Result<usize, Error> {
    let mut count = 0;
    buffer.fill("EvtRender", |place, size, used| {
        count = 0;
        // SAFETY: the place has as many bytes as is said, aligned for what values are rendered to,
        // and is written to in this call only; the handles are open, and XML has no context.
        unsafe {
            EvtRender(
                context.map_or(0, Handle::raw),
                event.handle().raw(),
                flags,
                size,
                place.cast(),
                used,
                &raw mut count,
            ) != 0
        }
    })?;
    Ok(count as usize)
}
