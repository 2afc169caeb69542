//! What is stored, as the page asks it: rows by place, exact counts, and how far each log is.
//!
//! The store answers each question under what the person may read ([`access`]); the page tests what
//! comes back once more.

mod titles;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quarry_event::output::{Column, Member};
use quarry_event::{EventTime, Texts};
use quarry_fleet::eventlog::LogInfo;
use quarry_store::{
    Access, Ask, Bookmark, By, Format, Limits, Page, Place, Store, StoreError, StoredEvent,
    WriteError,
};
use quarry_web::access::Person;
use quarry_web::sources::{
    Asked, Backend, Counted, Feed, Health, Hub, LogHealth, Reached, SourceInfo, SourceKind, Tally,
    Trouble, bar_width,
};
use quarry_web::view::Bars;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::status::Status;
pub(crate) use titles::Titles;

/// Values of a field that are counted apart.
const VALUES: usize = 20_000;
/// Events that are fetched at once where all are wanted.
const STREAMED: usize = 5_000;
/// The bars of a histogram at most. The page shows fewer, in steps that it chooses.
const BARS: u64 = 2_000;
/// How long what the logs hold is shown before it is counted again.
const FRESH: Duration = Duration::from_secs(30);
/// What each log of each host holds.
const LOGS: &str = "SELECT host, log, count(*) AS records, min(time) AS oldest, max(time) AS newest \
                    FROM events GROUP BY host, log";

/// A server whose events are stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredServer {
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    /// What its events' identities may call it.
    pub(crate) addresses: Vec<String>,
}

/// The stored events of servers.
pub(crate) struct Stored(Arc<Inner>);

struct Inner {
    store: Store,
    status: Arc<Status>,
    runtime: Handle,
    infos: Vec<SourceInfo>,
    /// What the server is called whose address this is.
    names: HashMap<String, String>,
    logs: Mutex<Logs>,
    titles: Titles,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Logs {
    /// What was counted, by host.
    known: BTreeMap<String, Vec<LogHealth>>,
    counted: Option<Instant>,
    is_counting: bool,
}

impl Stored {
    pub(crate) fn new(
        store: Store,
        status: Arc<Status>,
        runtime: Handle,
        servers: Vec<StoredServer>,
        titles: Titles,
    ) -> Self {
        let (mut infos, mut names) = (Vec::new(), HashMap::new());
        for StoredServer { name, groups, addresses } in servers {
            names.extend(addresses.into_iter().map(|address| (address, name.clone())));
            infos.push(SourceInfo::new(name, SourceKind::Stored).in_groups(groups));
        }
        let (logs, changed) = (Mutex::default(), watch::channel(0).0);
        Stored(Arc::new(Inner { store, status, runtime, infos, names, logs, titles, changed }))
    }
}

/// What a person may read, as the store takes it.
pub(crate) fn access(person: &Person) -> Access {
    if person.scope().is_everything() {
        return Access::everything();
    }
    let key = person.key().to_owned();
    let person = person.clone();
    Access::by(key, move |whence| person.may_read(whence.host, whence.log, whence.channel))
}

impl Inner {
    fn logs(&self) -> MutexGuard<'_, Logs> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, asked: &Asked, sources: &[usize]) -> Ask {
        let filter = self.titles.by_id(asked.filter());
        let mut ask = Ask::new(filter, access(asked.person()), asked.now());
        ask.logs = asked.logs().to_vec();
        if sources.len() < self.infos.len() {
            ask.hosts = Some(self.names_of(sources));
        }
        ask
    }

    fn names_of(&self, sources: &[usize]) -> Vec<String> {
        sources.iter().map(|&n| self.infos[n].name.clone()).collect()
    }

    /// Whether there are events of servers that the page doesn't show, as they were added since it is served
    /// or are followed no more: rows and counts alike are without them.
    async fn has_others(&self, now: EventTime) -> Result<bool, StoreError> {
        let all = Ask::new(Default::default(), Access::everything(), now);
        let hosts = self.store.top(&all, &by(Counted::Source), VALUES).await?;
        let shown: HashSet<&str> = self.infos.iter().map(|info| &*info.name).collect();
        let is_other = |(host, _): &(String, u64)| !shown.contains(host.as_str());
        Ok(hosts.distinct > hosts.values.len() || hosts.values.iter().any(is_other))
    }

    /// Answers a question. Blocks, on a thread that is none of the runtime's.
    fn answer(&self, asked: &Asked, sources: &[usize], feed: &Feed) -> Result<(), StoreError> {
        let mut ask = self.ask(asked, sources);
        if ask.hosts.is_none() && self.runtime.block_on(self.has_others(asked.now()))? {
            ask.hosts = Some(self.names_of(sources));
        }
        let mut places = HashMap::new();
        for (n, &source) in sources.iter().enumerate() {
            feed.open(n);
            places.insert(self.infos[source].name.as_str(), n);
        }
        self.rows(asked, &ask, &places, feed)?;
        if asked.counts() && !feed.is_over() {
            let tally = self.runtime.block_on(self.tally(asked, &ask, &places))?;
            feed.tally(asked, tally);
        }
        if !feed.is_over() {
            (0..sources.len()).for_each(|n| feed.done(n));
        }
        Ok(())
    }

    fn rows(
        &self,
        asked: &Asked,
        ask: &Ask,
        places: &HashMap<&str, usize>,
        feed: &Feed,
    ) -> Result<(), StoreError> {
        if asked.rows() == 0 {
            return Ok(());
        }
        let mut bound = asked.bound().map(place);
        let wanted = if asked.is_stream() { STREAMED } else { asked.rows() };
        let mut rows = feed.take(asked);
        loop {
            let page = match asked.only() {
                Some(only) => {
                    let event = self.runtime.block_on(self.at(ask, &place(only)))?;
                    Page { events: event, has_more: false }
                }
                None => self.runtime.block_on(self.page(asked, ask, wanted, bound.as_ref()))?,
            };
            for event in &page.events {
                let host = event.host.as_deref().unwrap_or_default();
                if let Some(&n) = places.get(host) {
                    let rules = self.titles.of(event.rules());
                    let texts = Texts { rules: &rules, ..event.texts() };
                    rows.take(n, event, &event.origin(), texts);
                }
            }
            if !asked.is_stream() {
                if page.has_more {
                    feed.more();
                }
                return Ok(());
            }
            match page.events.last() {
                Some(last) if page.has_more && !feed.is_over() => bound = Some(Place::of(last)),
                _ => return Ok(()),
            }
        }
    }

    async fn page(
        &self,
        asked: &Asked,
        ask: &Ask,
        wanted: usize,
        bound: Option<&Place>,
    ) -> Result<Page, StoreError> {
        match asked.keeps_newest() {
            true => self.store.newest(ask, wanted, bound).await,
            false => self.store.oldest(ask, wanted, bound).await,
        }
    }

    async fn tally(
        &self,
        asked: &Asked,
        ask: &Ask,
        places: &HashMap<&str, usize>,
    ) -> Result<Tally, StoreError> {
        let mut tally = Tally {
            events: self.store.count(ask).await?,
            by_source: vec![0; places.len()],
            ..Tally::default()
        };
        let shown = asked.shown();
        for field in asked.counted() {
            // What there is of each source is part of how an answer went.
            if !shown.has_fields() && field != Counted::Source {
                tally.fields.push(Default::default());
                continue;
            }
            let top = self.store.top(ask, &by(field), VALUES).await?;
            if field == Counted::Source {
                for (name, events) in &top.values {
                    if let Some(&n) = places.get(name.as_str()) {
                        tally.by_source[n] = *events;
                    }
                }
            }
            if field == Counted::Rules {
                tally.rules = self.titles.known(top.values.iter().map(|(id, _)| &**id));
            }
            tally.fields.push((top.values, top.others));
        }
        if !shown.has_bars() {
            return Ok(tally);
        }
        let kind = match asked.bars() {
            Bars::Level => By::Level,
            Bars::On => By::Column(Column::Member(Member::Host)),
            Bars::Provider => By::Column(Column::Member(Member::Provider)),
        };
        tally.width = self.width(asked, ask).await?;
        let histogram = self.store.histogram(ask, tally.width, &kind).await?;
        for (time, events) in histogram.bars {
            let parts = histogram.series.iter().zip(events).filter(|(_, events)| *events > 0);
            tally.bars.extend(parts.map(|(series, events)| (time, series.clone(), events)));
        }
        Ok(tally)
    }

    /// The width of bars, in seconds: as fine as the times allow that are asked for, or that there are.
    async fn width(&self, asked: &Asked, ask: &Ask) -> Result<u64, StoreError> {
        let mut all = Ask::new(Default::default(), ask.access.clone(), ask.now);
        all.hosts.clone_from(&ask.hosts);
        let time = |page: Page| page.events.first().and_then(|event| event.time());
        let since = match asked.filter().since {
            Some(since) => Some(since),
            None => time(self.store.oldest(&all, 1, None).await?),
        };
        let until = time(self.store.newest(&all, 1, None).await?);
        let until = asked.filter().until.into_iter().chain(until).min();
        let (Some(since), Some(until)) = (since, until) else { return Ok(1) };
        let units = until.as_filetime().saturating_sub(since.as_filetime());
        Ok(bar_width(units / EventTime::SECOND, BARS))
    }

    /// The event at a place. Its source is not known yet where an address of the page names it.
    async fn at(&self, ask: &Ask, place: &Place) -> Result<Vec<StoredEvent>, StoreError> {
        if !place.source.is_empty() {
            return Ok(self.store.at(ask, place).await?.into_iter().collect());
        }
        // All of its time are looked at, of the one source that is asked.
        let page = self.store.newest(ask, STREAMED, None).await?;
        let is_it =
            |event: &StoredEvent| event.log == place.log && event.log_record == place.record;
        Ok(page.events.into_iter().filter(is_it).collect())
    }

    /// Counts what each log holds.
    async fn count_logs(&self) -> Result<BTreeMap<String, Vec<LogHealth>>, StoreError> {
        let answer = self.store.query(LOGS, &Limits::default(), &Access::everything()).await?;
        let mut text = Vec::new();
        answer.write(Format::Jsonl, &mut text).await.map_err(|error| match error {
            WriteError::Store(error) => error,
            other => StoreError::Rows { why: other.to_string() },
        })?;
        let mut known: BTreeMap<String, Vec<LogHealth>> = BTreeMap::new();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(row) = serde_json::from_slice::<serde_json::Value>(line) else { continue };
            let text = |name: &str| row[name].as_str().map(str::to_owned);
            let (Some(host), Some(log)) = (text("host"), text("log")) else { continue };
            let info = LogInfo {
                records: row["records"].as_u64().unwrap_or_default(),
                oldest: text("oldest").and_then(|time| time_of(&time)),
                newest: text("newest").and_then(|time| time_of(&time)),
                ..LogInfo::default()
            };
            known.entry(host).or_default().push((log, Ok(info)));
        }
        Ok(known)
    }
}

fn time_of(text: &str) -> Option<EventTime> {
    let zoned = if text.ends_with('Z') { text.to_owned() } else { format!("{text}Z") };
    zoned.parse::<jiff::Timestamp>().ok().map(EventTime::from_timestamp)
}

fn place(place: &quarry_web::view::Place) -> Place {
    let quarry_web::view::Place { time, source, log, record } = place.clone();
    Place { time, source, log, record }
}

fn by(field: Counted<'_>) -> By {
    let member = |member| By::Column(Column::Member(member));
    match field {
        Counted::Level => By::Level,
        Counted::Source => member(Member::Host),
        Counted::Channel => member(Member::Channel),
        Counted::EventId => member(Member::EventId),
        Counted::Provider => member(Member::Provider),
        Counted::Computer => member(Member::Computer),
        Counted::Rules => By::Rules,
        Counted::Column(column) => By::Column(column.clone()),
    }
}

impl Backend for Stored {
    fn is_stored(&self) -> bool {
        true
    }

    fn sources(&self) -> &[SourceInfo] {
        &self.0.infos
    }

    fn reads_as_person(&self) -> bool {
        false
    }

    fn answer(&self, asked: Asked, sources: Vec<usize>, feed: Feed) {
        let inner = Arc::clone(&self.0);
        self.0.runtime.spawn_blocking(move || {
            if let Err(error) = inner.answer(&asked, &sources, &feed) {
                tracing::warn!(%error, "a question can't be answered");
                for (n, &source) in sources.iter().enumerate() {
                    let name = &inner.infos[source].name;
                    feed.failed(n, Trouble::new(name, error.to_string(), None));
                }
            }
        });
    }

    fn follow(&self, _: Asked, _: Vec<usize>, _: Arc<Hub>) -> bool {
        // What is stored doesn't happen.
        false
    }

    fn state(&self) -> Option<u64> {
        // Rows come all the time, and wait in memory before they are part of a version.
        None
    }

    fn health(&self, _: &Person) -> Vec<Health> {
        let servers = self.0.status.servers();
        let logs = self.0.logs();
        let of = |info: &SourceInfo| {
            let trouble = servers.get(&info.name).and_then(|server| server.trouble.as_ref());
            Health {
                checked: logs.counted,
                trouble: trouble
                    .map(|(t, _)| Trouble::new(&info.name, t.what.clone(), t.remedy.clone())),
                since: trouble.map(|(_, since)| *since),
                logs: logs.known.get(&info.name).cloned().unwrap_or_default(),
                activity: Vec::new(),
            }
        };
        self.0.infos.iter().map(of).collect()
    }

    fn survey(&self, _: &Person) -> watch::Receiver<u64> {
        let receiver = self.0.changed.subscribe();
        {
            let mut logs = self.0.logs();
            if logs.is_counting || logs.counted.is_some_and(|counted| counted.elapsed() < FRESH) {
                return receiver;
            }
            logs.is_counting = true;
        }
        let inner = Arc::clone(&self.0);
        self.0.runtime.spawn(async move {
            let counted = inner.count_logs().await;
            let mut logs = inner.logs();
            match counted {
                Ok(known) => logs.known = known,
                Err(error) => tracing::warn!(%error, "what the logs hold can't be counted"),
            }
            logs.counted = Some(Instant::now());
            logs.is_counting = false;
            drop(logs);
            inner.changed.send_modify(|count| *count = count.wrapping_add(1));
        });
        receiver
    }

    fn reached(&self) -> Vec<Reached> {
        let of = |bookmark: Bookmark| {
            let on = self.0.names.get(&bookmark.source)?.clone();
            let Bookmark { source, log, record, time, .. } = bookmark;
            Some(Reached { on, source, log, record, time })
        };
        self.0.store.bookmarks().into_iter().filter_map(of).collect()
    }
}

#[cfg(test)]
mod tests;
