//! The texts of one server: what its batches wait for, and what serves its events.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, Weak};

use quarry_event::{
    AnyEvent, Generation, Guid, MessageBy, MessageForm, MessageSource, NameOf, Recipe, Value,
};
use quarry_eventlog::{Batch, BoxFuture, EventLog};
use quarry_message::{Sources, TextOf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::wanted::{Example, Known, Looker};
use super::{NoTexts, Opened, Shared, fetch, lock};
use crate::selection::Selection;

/// How often a server may be late before nothing waits for it any more.
const MOST_LATE: u32 = 3;

/// The message text of a server.
///
/// As a [`Prepare`](quarry_fleet::Prepare) it has what a batch needs fetched; as a
/// [`MessageSource`] it gives the text of the batch's events.
pub struct ServerTexts {
    pub(super) shared: Arc<Shared>,
    pub(super) source: Arc<dyn quarry_fleet::Source>,
    looker: Mutex<Looker>,
    /// What serves its events, once the server has said its build.
    opened: OnceLock<Arc<Opened>>,
    /// What serves them until then: the standard's names.
    standard: Sources,
    state: Mutex<State>,
    /// Says that there is something to fetch.
    pub(super) work: Notify,
    me: Weak<ServerTexts>,
}

#[derive(Default)]
struct State {
    /// What is to be fetched.
    queue: Vec<Item>,
    /// Texts that this server is asked for, for all of its build.
    claims: HashSet<(String, TextOf)>,
    /// Providers that it doesn't have, and texts that it doesn't tell: asked for once a run.
    unknown: HashSet<String>,
    untold: HashSet<(String, TextOf)>,
    is_fetching: bool,
    /// It has no texts at all.
    is_without: bool,
    /// A batch has waited in vain, and what it waited for is still to come.
    is_late: bool,
    late: u32,
}

/// A text to be fetched.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) provider: String,
    pub(super) guid: Option<Guid>,
    pub(super) of: TextOf,
    /// An event that has it.
    pub(super) example: Example,
}

impl std::fmt::Debug for ServerTexts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTexts").field("source", &self.source.name()).finish_non_exhaustive()
    }
}

impl ServerTexts {
    pub(super) fn new(
        shared: Arc<Shared>,
        source: Arc<dyn quarry_fleet::Source>,
        selection: &Selection,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| ServerTexts {
            shared,
            source,
            looker: Mutex::new(Looker::new(selection.matcher(false))),
            opened: OnceLock::new(),
            standard: Sources::new(),
            state: Mutex::default(),
            work: Notify::new(),
            me: me.clone(),
        })
    }

    fn sources(&self) -> &Sources {
        self.opened.get().map_or(&self.standard, |opened| &opened.sources)
    }

    /// Finds what a batch needs that isn't known.
    fn look(&self, opened: &Opened, batch: &Batch) -> Vec<Item> {
        let known = Asked { texts: self, opened };
        let wanted = self.shared.read(|reader| lock(&self.looker).look(reader, batch, &known));
        let mut items = Vec::new();
        for (provider, of_provider) in wanted {
            let guid = of_provider.guid;
            for (of, example) in of_provider.texts {
                items.push(Item { provider: provider.clone(), guid, of, example });
            }
        }
        items
    }

    /// Whether nothing more is to come of a text from this server.
    fn is_settled(&self, opened: &Opened, provider: &str, guid: Option<Guid>, of: TextOf) -> bool {
        if opened.store.look(provider, guid, |learned| learned.knows(of)) == Some(true) {
            return true;
        }
        let state = lock(&self.state);
        state.unknown.contains(provider)
            || !state.untold.is_empty() && state.untold.contains(&(provider.to_owned(), of))
    }

    /// Has texts fetched that nobody is being asked for.
    fn claim(&self, opened: &Opened, items: &[Item]) {
        let mut state = lock(&self.state);
        if state.is_without {
            return;
        }
        for item in items {
            if opened.store.claim(&item.provider, item.of) {
                state.claims.insert((item.provider.clone(), item.of));
                state.queue.push(item.clone());
            }
        }
        if state.queue.is_empty() {
            return;
        }
        self.work.notify_one();
        if let (false, Some(me)) = (state.is_fetching, self.me.upgrade()) {
            state.is_fetching = true;
            let opened = self.opened.get().map(Arc::clone);
            if let Some(opened) = opened {
                tokio::spawn(fetch::run(me, opened));
            }
        }
    }

    /// Waits until the texts are known, or nothing more is to come of them; for a while only.
    async fn wait(&self, opened: &Opened, mut items: Vec<Item>) {
        let until = Instant::now() + self.shared.options.patience;
        loop {
            let changed = opened.store.changed.notified();
            tokio::pin!(changed);
            // From here on nothing that comes is missed.
            changed.as_mut().enable();
            items.retain(|item| !self.is_settled(opened, &item.provider, item.guid, item.of));
            if items.is_empty() {
                return;
            }
            self.claim(opened, &items);
            if !self.may_wait() {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(until) => return self.was_late(),
            }
        }
    }

    fn may_wait(&self) -> bool {
        let state = lock(&self.state);
        !(state.is_without || state.is_late || state.late >= MOST_LATE)
    }

    fn was_late(&self) {
        let mut state = lock(&self.state);
        state.is_late = true;
        state.late += 1;
    }

    /// The next texts to fetch: parameters by themselves and last, as they are asked for in
    /// messages that are known.
    pub(super) fn take(&self) -> Vec<Item> {
        let mut state = lock(&self.state);
        let is_parameter = |item: &Item| matches!(item.of, TextOf::Parameter(_));
        let (parameters, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.queue).into_iter().partition(is_parameter);
        if others.is_empty() {
            return parameters;
        }
        state.queue = parameters;
        others
    }

    /// A text is known now, or this server won't tell it.
    pub(super) fn settle(&self, opened: &Opened, item: &Item, is_untold: bool) {
        let key = (item.provider.clone(), item.of);
        opened.store.release(&key.0, key.1);
        let mut state = lock(&self.state);
        state.claims.remove(&key);
        if is_untold {
            state.untold.insert(key);
        }
        drop(state);
        opened.store.changed.notify_waiters();
    }

    /// The server doesn't have a provider.
    pub(super) fn lacks(&self, provider: &str) {
        lock(&self.state).unknown.insert(provider.to_owned());
    }

    /// All that was asked for has come: batches may wait again. False where more is wanted.
    pub(super) fn has_caught_up(&self) -> bool {
        let mut state = lock(&self.state);
        let is_done = state.queue.is_empty();
        state.is_late &= !is_done;
        is_done
    }

    /// The fetching ends: nothing is wanted any more, or there are no texts. False where it has
    /// to go on, as something is wanted.
    pub(super) fn end(&self, opened: &Opened, why: Option<String>) -> bool {
        let mut state = lock(&self.state);
        if why.is_none() && !state.queue.is_empty() {
            return false;
        }
        state.is_fetching = false;
        if let Some(why) = why {
            state.is_without = true;
            // Whoever no longer waits may be the last of the run: it is said before they go on.
            self.report(why);
        }
        state.queue.clear();
        let claims = std::mem::take(&mut state.claims);
        drop(state);
        claims.iter().for_each(|(provider, of)| opened.store.release(provider, *of));
        opened.store.changed.notify_waiters();
        true
    }

    fn report(&self, why: String) {
        let source = self.source.name().to_owned();
        lock(&self.shared.without).push(NoTexts { source, why });
    }
}

/// What is known of a server's texts.
struct Asked<'a> {
    texts: &'a ServerTexts,
    opened: &'a Opened,
}

impl Known for Asked<'_> {
    fn is_in_catalogue(&self, event: &dyn AnyEvent, text: TextOf) -> bool {
        self.opened.sources.knows(event, text)
    }

    fn is_settled(&self, provider: &str, guid: Option<Guid>, text: TextOf) -> bool {
        self.texts.is_settled(self.opened, provider, guid, text)
    }
}

impl quarry_fleet::Prepare for ServerTexts {
    fn prepare<'a>(&'a self, log: &'a dyn EventLog, batch: &'a Batch) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let opened = self.opened.get_or_init(|| self.shared.open(log));
            if !log.has_messages() {
                let is_first = !std::mem::replace(&mut lock(&self.state).is_without, true);
                if is_first {
                    self.report(quarry_eventlog::LogError::NoMessages.to_string());
                }
                return;
            }
            let items = self.look(opened, batch);
            if !items.is_empty() {
                self.wait(opened, items).await;
            }
        })
    }
}

impl MessageSource for ServerTexts {
    fn message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> Option<MessageBy> {
        self.sources().message(event, out)
    }

    fn name(&self, event: &dyn AnyEvent, of: NameOf, out: &mut Vec<u8>) -> bool {
        self.sources().name(event, of, out)
    }

    fn words(
        &self,
        event: &dyn AnyEvent,
        name: &str,
        value: &Value<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        self.sources().words(event, name, value, out)
    }

    fn generation(&self) -> Option<Generation> {
        self.sources().generation()
    }

    fn recipe(&self, event: &dyn AnyEvent, form: MessageForm) -> Recipe {
        self.sources().recipe(event, form)
    }

    fn awaits(&self, event: &dyn AnyEvent) -> bool {
        self.sources().awaits(event)
    }
}
