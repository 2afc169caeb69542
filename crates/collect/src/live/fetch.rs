//! Asking a server for texts: over connections of their own, several calls at a time.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::try_join_all;
use quarry_eventlog::{EventDescriptor, EventLog, LogError, Publisher, Rendering};
use quarry_message::{Asked, Carrier, TextOf};
use tokio::sync::OnceCell;
use tracing::debug;

use super::server::{Item, ServerTexts};
use super::{Opened, lock};

/// Calls to a server at once.
pub(super) const CALLS: usize = 8;

/// How long a connection is kept that nothing is asked over.
const IDLE: Duration = Duration::from_secs(30);

/// The longest name of a task and its like, in bytes; a longer one is none.
const MAX_NAME: usize = 1024;

/// How many refusals in a row mean that the server tells nothing.
const MOST_REFUSALS: u32 = 8;

/// Fetches what is wanted of a server, until nothing has been wanted for a while or it turns out
/// that the server has no texts.
pub(super) async fn run(server: Arc<ServerTexts>, opened: Arc<Opened>) {
    loop {
        let fetched = fetch(&server, &opened).await;
        if let Err(why) = &fetched {
            debug!(source = server.source.name(), why, "no message text");
        }
        if server.end(&opened, fetched.err()) {
            return;
        }
    }
}

async fn fetch(server: &ServerTexts, opened: &Arc<Opened>) -> Result<(), String> {
    // Nobody closes it.
    let _connection = server.shared.connections.acquire().await;
    let first = Line::open(server).await?;
    let calls = first.log.calls_at_once().clamp(1, CALLS);
    let mut most = CALLS / calls;
    let mut lines = vec![first];
    let refusals = Refusals::default();
    loop {
        let items = server.take();
        if items.is_empty() {
            let _ = server.has_caught_up();
            tokio::select! {
                () = server.work.notified() => continue,
                () = tokio::time::sleep(IDLE) => {}
            }
            // What goes on for ever isn't saved when it ends only.
            let opened = Arc::clone(opened);
            if let Ok(Err((path, error))) =
                tokio::task::spawn_blocking(move || opened.store.save()).await
            {
                debug!(%error, path = %path.display(), "message text is not kept");
            }
            break;
        }
        debug!(source = server.source.name(), texts = items.len(), "fetching message text");
        let wanted = items.len().div_ceil(calls).min(most);
        while lines.len() < wanted {
            match Line::open(server).await {
                Ok(line) => lines.push(line),
                // One will do.
                Err(_) => most = lines.len(),
            }
            if most == lines.len() {
                break;
            }
        }
        let queue = Mutex::new(VecDeque::from(items));
        let (queue, refusals) = (&queue, &refusals);
        let workers = lines.iter().flat_map(|line| {
            let worker = move |_| line.work(server, opened, queue, refusals);
            (0..calls).map(worker)
        });
        try_join_all(workers).await?;
    }
    for line in lines {
        line.close().await;
    }
    Ok(())
}

/// Answers that say no, without one that doesn't.
#[derive(Default)]
struct Refusals(std::sync::atomic::AtomicU32);

impl Refusals {
    fn served(&self) {
        // What is served once is served.
        self.0.store(u32::MAX, std::sync::atomic::Ordering::Relaxed);
    }

    /// # Errors
    /// The reason, where nothing but refusals came.
    fn refused(&self, error: &LogError) -> Result<(), String> {
        let order = std::sync::atomic::Ordering::Relaxed;
        let count = |n: u32| if n == u32::MAX { None } else { Some(n + 1) };
        match self.0.fetch_update(order, order, count) {
            Ok(before) if before + 1 >= MOST_REFUSALS => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

/// A provider while it is opened and after that; nothing inside where the server doesn't have it.
type Opening = Arc<OnceCell<Option<Box<dyn Publisher>>>>;

/// A connection, and the providers that are open over it.
struct Line {
    log: Arc<dyn EventLog>,
    publishers: Mutex<HashMap<String, Opening>>,
}

impl Line {
    async fn open(server: &ServerTexts) -> Result<Self, String> {
        server.source.prepare().await;
        let log = server.source.open().await.map_err(|error| error.to_string())?;
        if !log.has_messages() {
            return Err(LogError::NoMessages.to_string());
        }
        Ok(Line { log, publishers: Mutex::default() })
    }

    async fn close(self) {
        let publishers = std::mem::take(&mut *lock(&self.publishers));
        for publisher in publishers.into_values() {
            let publisher = Arc::into_inner(publisher).and_then(OnceCell::into_inner);
            if let Some(Some(publisher)) = publisher {
                publisher.close().await;
            }
        }
    }

    async fn work(
        &self,
        server: &ServerTexts,
        opened: &Opened,
        queue: &Mutex<VecDeque<Item>>,
        refusals: &Refusals,
    ) -> Result<(), String> {
        loop {
            let Some(item) = lock(queue).pop_front() else { return Ok(()) };
            let is_untold = match self.fetch(server, opened, &item).await {
                Ok(is_known) => {
                    // Of a server that renders nothing, definitions may still come.
                    if is_known && item.of != TextOf::Definitions {
                        refusals.served();
                    }
                    !is_known
                }
                // A server that doesn't serve definitions may well render messages.
                Err(error)
                    if item.of == TextOf::Definitions && error.leaves_connection_usable() =>
                {
                    debug!(provider = item.provider, %error, "no definitions");
                    true
                }
                Err(error) if is_refusal(&error) => {
                    debug!(provider = item.provider, of = ?item.of, %error, "refused");
                    refusals.refused(&error)?;
                    true
                }
                Err(error) => return Err(error.to_string()),
            };
            server.settle(opened, &item, is_untold);
        }
    }

    /// Fetches a text, and says whether it is known from now on, or known not to be there.
    async fn fetch(
        &self,
        server: &ServerTexts,
        opened: &Opened,
        item: &Item,
    ) -> Result<bool, LogError> {
        let Item { provider, guid, of, example } = item;
        let event = &example.event;
        let cell = Arc::clone(lock(&self.publishers).entry(provider.clone()).or_default());
        let locale = server.shared.options.language.0.into();
        let open = || self.log.publisher(provider, locale);
        let Some(publisher) = cell.get_or_try_init(open).await? else {
            server.lacks(provider);
            return Ok(false);
        };
        let publisher = &**publisher;
        let store = &opened.store;
        if *of == TextOf::Definitions {
            let definitions = publisher.events().await?;
            store.learn(provider, *guid, |learned| {
                for definition in &definitions {
                    let of = &definition.descriptor;
                    learned.add_template(of.id, of.version, &definition.template);
                }
                learned.add_absent(TextOf::Definitions);
            });
            return Ok(true);
        }
        let text = match *of {
            TextOf::Event { .. } => message(publisher, *event, *of).await?,
            TextOf::Parameter(number) => {
                let carrier = || store.look(provider, *guid, |known| known.carrier(number));
                let mut found = carrier().flatten();
                if found.is_none() {
                    // The event's message may be on its way from another server.
                    if let Some(text) = message(publisher, *event, example.message).await? {
                        store.learn(provider, *guid, |learned| learned.add(example.message, text));
                        found = carrier().flatten();
                    }
                }
                match found {
                    Some(carrier) => parameter(publisher, *event, &carrier).await?,
                    None => return Ok(false),
                }
            }
            of => name(publisher, *event, of).await?,
        };
        store.learn(provider, *guid, |learned| match text {
            Some(text) => learned.add(*of, text),
            None => learned.add_absent(*of),
        });
        Ok(true)
    }
}

/// The message of an event.
async fn message(
    publisher: &dyn Publisher,
    event: EventDescriptor,
    of: TextOf,
) -> Result<Option<String>, LogError> {
    let rendered = render(publisher, event, of, &Asked::values()).await?;
    Ok(rendered.map(|text| Asked::message(&text)))
}

async fn parameter(
    publisher: &dyn Publisher,
    event: EventDescriptor,
    carrier: &Carrier,
) -> Result<Option<String>, LogError> {
    let rendered = render(publisher, event, carrier.of, &carrier.values).await?;
    Ok(rendered.as_deref().and_then(|text| carrier.parameter(text)).map(str::to_owned))
}

/// The text of an event with some values: by the identifier that the event makes with its
/// qualifiers, where it has some, or else by its number and version.
async fn render(
    publisher: &dyn Publisher,
    event: EventDescriptor,
    of: TextOf,
    values: &[String],
) -> Result<Option<String>, LogError> {
    let TextOf::Event { id, version, qualifiers } = of else { return Ok(None) };
    if let Some(qualifiers) = qualifiers {
        let message = Rendering::Message(u32::from(qualifiers) << 16 | u32::from(id));
        let text = publisher.render(message, event, values).await?;
        if text.is_some() {
            return Ok(text);
        }
    }
    let event = EventDescriptor { id, version, ..event };
    publisher.render(Rendering::Event, event, values).await
}

pub(super) async fn name(
    publisher: &dyn Publisher,
    event: EventDescriptor,
    of: TextOf,
) -> Result<Option<String>, LogError> {
    let (what, event) = match of {
        TextOf::Level(level) => (Rendering::Level, EventDescriptor { level, ..event }),
        TextOf::Task(task) => (Rendering::Task, EventDescriptor { task, ..event }),
        TextOf::Opcode { task, opcode } => {
            (Rendering::Opcode, EventDescriptor { task, opcode, ..event })
        }
        TextOf::Keyword(keywords) => (Rendering::Keyword, EventDescriptor { keywords, ..event }),
        _ => return Ok(None),
    };
    let name = publisher.render(what, event, &[]).await?;
    let name = name.map(|name| name.trim().to_owned());
    Ok(name.filter(|name| !name.is_empty() && name.len() <= MAX_NAME))
}

/// Whether the server says no, and can be asked for something else.
pub(super) fn is_refusal(error: &LogError) -> bool {
    error.leaves_connection_usable() && !error.is_not_served()
}
