//! Servers as they are now: the newest events of each, and older ones on demand.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quarry_collect::{
    Delivery, FleetInput, LiveTexts, Next, Notice, Pipeline, Selection, Sink, Source,
};
use quarry_event::MessageSource;
use quarry_event::filter::Glob;
use quarry_fleet::eventlog::{Detail, EventLog};
use quarry_fleet::{Ask, DEFAULT_LOG, Failure, Options, SourceId};
use tokio::sync::watch;

use super::files::{Feeding, limited};
use super::follow::follow;
use super::gather::{Allowed, Gather, Gathered};
use super::health::{Health, Known};
use super::search::{Feed, Trouble};
use super::{Asked, Backend, SourceInfo, SourceKind};
use crate::access::Person;
use crate::stream::hub::Hub;

/// When a live question has to be answered.
const DEADLINE: Duration = Duration::from_secs(10);

/// What to do about a server that failed, in the program's words.
pub type Remedy = Arc<dyn Fn(&Failure) -> Option<String> + Send + Sync>;

/// A server that can be asked.
#[derive(Clone)]
pub struct ServerSpec {
    /// What opens it.
    pub source: Arc<dyn quarry_fleet::Source>,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// What knows message text for its events.
    pub texts: Option<Arc<dyn MessageSource>>,
    /// What fetches its own text, in place of `texts`.
    pub live: Option<LiveTexts>,
}

impl ServerSpec {
    /// How it is listed.
    pub(super) fn info(&self) -> SourceInfo {
        SourceInfo::new(self.source.name(), SourceKind::Server).in_groups(self.groups.clone())
    }

    /// What is read of it.
    fn input(self, selection: &Arc<Selection>) -> FleetInput {
        let input = FleetInput::server(Arc::clone(&self.source), Arc::clone(selection));
        match self.live {
            Some(live) => input.with_live_texts(live.of_server(self.source, selection)),
            None => input.with_texts(self.texts),
        }
    }
}

/// Servers that are asked.
pub struct Servers {
    servers: Vec<ServerSpec>,
    infos: Vec<SourceInfo>,
    options: Options,
    runtime: tokio::runtime::Handle,
    remedy: Remedy,
    health: Arc<Known>,
}

impl std::fmt::Debug for Servers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Servers").field("servers", &self.infos).finish_non_exhaustive()
    }
}

impl Servers {
    /// Servers, asked on a runtime with I/O and time.
    pub fn new(
        servers: Vec<ServerSpec>,
        options: Options,
        runtime: tokio::runtime::Handle,
        remedy: Remedy,
    ) -> Self {
        let health = Known::new(servers.len());
        let infos = servers.iter().map(ServerSpec::info).collect();
        Servers { infos, servers, options, runtime, remedy, health }
    }
}

impl Backend for Servers {
    fn is_stored(&self) -> bool {
        false
    }

    fn sources(&self) -> &[SourceInfo] {
        &self.infos
    }

    fn reads_as_person(&self) -> bool {
        false
    }

    fn answer(&self, asked: Asked, sources: Vec<usize>, feed: Feed) {
        let servers: Vec<ServerSpec> = sources.iter().map(|&n| self.servers[n].clone()).collect();
        let deadline = (!asked.wanted.is_stream).then_some(DEADLINE);
        let options = self.options.clone().deadline(deadline).retries(0);
        let (runtime, remedy) = (self.runtime.clone(), Arc::clone(&self.remedy));
        self.runtime
            .spawn_blocking(move || read(&asked, servers, options, &runtime, &remedy, &feed));
    }

    fn state(&self) -> Option<u64> {
        None
    }

    fn follow(&self, asked: Asked, sources: Vec<usize>, hub: Arc<Hub>) -> bool {
        let selection = asked.question.selection(&asked.wanted, false, false);
        let Ok(selection) = selection.map(Arc::new) else { return false };
        let input = |n: usize| self.servers[n].clone().input(&selection);
        let servers: Vec<FleetInput> = sources.into_iter().map(input).collect();
        let (runtime, remedy) = (self.runtime.clone(), Arc::clone(&self.remedy));
        self.runtime.spawn_blocking(move || follow(&asked, servers, &runtime, Some(&remedy), &hub));
        true
    }

    fn health(&self, _: &Person) -> Vec<Health> {
        self.health.all()
    }

    fn survey(&self, _: &Person) -> watch::Receiver<u64> {
        let changes = self.health.changes();
        if self.health.begin() {
            let (health, remedy) = (Arc::clone(&self.health), Arc::clone(&self.remedy));
            let patterns: Arc<[Vec<Glob>]> =
                self.servers.iter().map(|server| usual(&*server.source)).collect();
            let question = move |id: SourceId, log: Arc<dyn EventLog>| {
                let patterns = patterns[id.index()].clone();
                async move { quarry_fleet::survey(log, patterns, Detail::Properties).await }
            };
            let sources = self.servers.iter().map(|server| Arc::clone(&server.source)).collect();
            let options = self.options.clone().deadline(Some(DEADLINE)).retries(0);
            let _inside = self.runtime.enter();
            let mut ask = Ask::begin(sources, options, question);
            self.runtime.spawn(async move {
                while let Some(answer) = ask.next().await {
                    let logs = answer.result.map(|logs| {
                        let text = |(log, info): quarry_fleet::Surveyed| {
                            (log.0, info.map_err(|error| error.to_string()))
                        };
                        logs.into_iter().map(text).collect()
                    });
                    let logs = logs.map_err(|failure| {
                        Trouble::new(&*failure.source, failure.what(), remedy(&failure))
                    });
                    health.set(answer.source.index(), logs);
                }
                health.end();
            });
        }
        changes
    }
}

/// The logs of a server that are looked into where nobody asks for others.
fn usual(source: &dyn quarry_fleet::Source) -> Vec<Glob> {
    match source.logs() {
        [] => [DEFAULT_LOG, "Application", "Security"]
            .into_iter()
            .filter_map(|name| Glob::parse(name).ok())
            .collect(),
        logs => logs.to_vec(),
    }
}

fn read(
    asked: &Asked,
    servers: Vec<ServerSpec>,
    options: Options,
    runtime: &tokio::runtime::Handle,
    remedy: &Remedy,
    feed: &Feed,
) {
    let selection = match asked.question.selection(&asked.wanted, false, false) {
        Ok(selection) => selection,
        Err(problem) => {
            let trouble = Trouble::new("", problem.detail, None);
            return (0..servers.len()).for_each(|n| feed.trouble(n, trouble.clone(), true));
        }
    };
    // As many of each as are shown of all; one more tells whether there are more.
    let (selection, limit) = match asked.wanted.is_stream {
        true => (Arc::new(selection), None),
        false => limited(selection, asked.wanted.rows),
    };
    let input = |server: ServerSpec| server.input(&selection);
    // What was stored too is told apart by its row, so each has one there.
    let is_counted = asked.wanted.counts && !feed.has_stored();
    let gather = Gather::new(&asked.wanted, is_counted, &feed.threshold());
    let failed: Arc<Mutex<HashMap<usize, Trouble>>> = Arc::default();
    let feeding = Feeding { feed, failed, is_counted, limit };
    let mut sink = OfServers { feeding, remedy };
    let pipeline = Pipeline::scan(Vec::new())
        .and_servers(runtime, servers.into_iter().map(input).collect(), options)
        .direction(asked.wanted.direction())
        .stop(feed.stop())
        .stage(Allowed::new(asked, false));
    let (summary, _) = pipeline.run(&gather, &mut sink, None);
    tracing::debug!(records = summary.records, matched = summary.matched, "servers were read");
}

struct OfServers<'f, 'r> {
    feeding: Feeding<'f>,
    remedy: &'r Remedy,
}

impl Sink for OfServers<'_, '_> {
    type Output = Gathered;
    type Error = Infallible;

    fn take(&mut self, delivery: &mut Delivery<Gathered>) -> Result<Next, Infallible> {
        self.feeding.take(delivery)
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), Infallible> {
        let trouble = |failure: &Failure| {
            Trouble::new(&*failure.source, failure.what(), (self.remedy)(failure))
        };
        match &notice {
            Notice::Failed(failure) => {
                self.feeding.feed.trouble(source.id.index(), trouble(failure), true);
            }
            Notice::LeftOut(failure) => {
                self.feeding.feed.trouble(source.id.index(), trouble(failure), false);
            }
            _ => return self.feeding.notice(source, notice),
        }
        Ok(())
    }

    fn tick(&mut self, is_idle: bool) -> Result<(), Infallible> {
        self.feeding.tick(is_idle)
    }
}
