//! Following: servers into the store, each by one run of one collector.
//!
//! A *run* is a pipeline on a thread of its own that follows some servers. When the configuration or
//! the members change, a server that isn't wanted any more is released: its run dismisses it, and
//! whatever it still pushes is left aside. Servers that are new get a run of their own, which begins
//! where their bookmarks are. Many such runs are put together into one again.

mod sink;
pub(crate) mod work;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use futures_util::{StreamExt as _, stream};
use quarry_collect::{Detect, FleetInput, Pipeline, RunError, Selection, Stop};
use quarry_event::filter::{Filter, Glob};
use quarry_fleet::{Cursors, FollowOptions};
use quarry_program::console::Console;
use quarry_program::servers::Servers;
use quarry_program::texts::RunTexts;
use quarry_store::{Store, StoreError};
use tokio::runtime::Handle;

use crate::config::{Config, Followed};
use crate::status::{Status, Trouble};
use sink::{Bookmarks, Run, Storing};
use work::{MakeRows, now};
pub(crate) use writer::{Due, Writer};

/// Servers whose bookmarks are read at once.
const TAKEN: usize = 16;
/// Runs at once before they are put together.
const RUNS: usize = 6;

/// What follows servers.
pub(crate) struct Collector {
    store: Store,
    writer: Arc<Writer>,
    status: Arc<Status>,
    runtime: Handle,
    /// Ends all runs.
    stop: Stop,
    columns: Arc<[String]>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What each server is followed for, by its name.
    followed: BTreeMap<String, Followed>,
    runs: Vec<Running>,
    next: u64,
}

struct Running {
    id: u64,
    stop: Stop,
    thread: JoinHandle<()>,
}

/// What runs are made with.
pub(crate) struct Means<'a> {
    pub(crate) config: &'a Config,
    /// Who signs in; the same for as long as the configuration is, so that a wrong password is tried
    /// once.
    pub(crate) servers: &'a mut Servers<'static>,
    pub(crate) texts: Arc<RunTexts>,
    pub(crate) rules: Option<Arc<Detect>>,
}

impl Collector {
    pub(crate) fn new(
        store: Store,
        writer: Arc<Writer>,
        status: Arc<Status>,
        runtime: Handle,
    ) -> Self {
        let (stop, state) = (Stop::default(), Mutex::default());
        let columns = store.columns().into();
        Collector { store, writer, status, runtime, stop, columns, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all runs, so that servers are followed anew with other means.
    pub(crate) fn begin_anew(&self) {
        let mut state = self.state();
        self.end_runs(&mut state);
    }

    fn end_runs(&self, state: &mut State) {
        for run in &state.runs {
            run.stop.set();
        }
        for name in state.followed.keys() {
            self.writer.release(name);
        }
        state.end();
        // One that ended just then may have left its servers alone.
        self.status.wake();
    }

    /// Follows these servers, and no others. What was followed before and still is goes on.
    pub(crate) fn follow(&self, wanted: Vec<Followed>, means: &mut Means<'_>) {
        let mut state = self.state();
        state.reap();
        let mut wanted: BTreeMap<String, Followed> =
            wanted.into_iter().map(|followed| (followed.entry.name.clone(), followed)).collect();
        if state.runs.len() >= RUNS {
            tracing::info!(runs = state.runs.len(), "runs are put together");
            self.end_runs(&mut state);
        }
        let ended: Vec<String> = state
            .followed
            .iter()
            .filter(|(name, followed)| {
                wanted.get(*name) != Some(followed)
                    || self.status.is_retry_due(name)
                    || !(state.runs.iter().any(|run| self.writer.is_held(run.id, name))
                        || self.status.rests(name))
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in ended {
            self.writer.release(&name);
            state.followed.remove(&name);
            if !wanted.contains_key(&name) {
                self.status.left(&name);
                tracing::info!(server = name, "not followed here any more");
            }
        }
        wanted.retain(|name, _| !(state.followed.contains_key(name) || self.status.rests(name)));
        if wanted.is_empty() || self.stop.is_set() {
            return;
        }
        wanted.keys().for_each(|name| self.status.begun(name));
        let (inputs, cursors) = self.inputs(&wanted, means);
        if inputs.is_empty() {
            return;
        }
        let id = state.next;
        state.next += 1;
        let names: Vec<String> =
            inputs.iter().map(|input| input.source.name().to_owned()).collect();
        for name in &names {
            self.writer.hold(id, name);
            if let Some(followed) = wanted.remove(name) {
                state.followed.insert(name.clone(), followed);
            }
        }
        let stop = Stop::default();
        match self.start(id, inputs, cursors, names, stop.clone(), means) {
            Ok(thread) => state.runs.push(Running { id, stop, thread }),
            Err(error) => tracing::error!(%error, "no thread can be started"),
        }
    }

    /// The sources of a run, and where their logs go on. A server that can't be signed in to is
    /// reported, and tried again.
    fn inputs(
        &self,
        wanted: &BTreeMap<String, Followed>,
        means: &mut Means<'_>,
    ) -> (Vec<FleetInput>, Cursors) {
        let mut selections: HashMap<&[String], Arc<Selection>> = HashMap::new();
        let mut inputs = Vec::new();
        let mut opened = Vec::new();
        for (name, followed) in wanted {
            let server = match means.servers.open(&followed.entry) {
                Ok(server) => server,
                Err(failure) => {
                    tracing::warn!(server = name, "{failure}");
                    let trouble = Trouble { what: failure.message, remedy: failure.hint };
                    self.status.failed(name, trouble, false);
                    self.status.rest(name);
                    continue;
                }
            };
            opened.push((name, followed, server));
        }
        let taken: Vec<Result<Cursors, StoreError>> = self.runtime.block_on(
            stream::iter(&opened)
                .map(|(_, _, server)| async {
                    self.writer.take(&self.store, &server.addresses()).await
                })
                .buffered(TAKEN)
                .collect(),
        );
        let mut cursors = Cursors::new();
        for ((name, followed, server), taken) in opened.into_iter().zip(taken) {
            let taken = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::warn!(server = name, %error, "its bookmarks can't be read");
                    let trouble = Trouble { what: error.to_string(), remedy: None };
                    self.status.failed(name, trouble, false);
                    continue;
                }
            };
            server.keep_to(|address| taken.keys().any(|(source, _)| source == address));
            cursors.extend(taken);
            let selection = match selections.get(&*followed.logs) {
                Some(selection) => Arc::clone(selection),
                None => {
                    let logs = followed.logs.iter().filter_map(|log| Glob::parse(log).ok());
                    // Globs were checked with the configuration.
                    let selection = Selection::new(logs.collect(), Filter::default(), now());
                    let selection = Arc::new(selection.unwrap_or_default());
                    selections.insert(&followed.logs, Arc::clone(&selection));
                    selection
                }
            };
            inputs.push(means.texts.server(server, &selection));
        }
        (inputs, cursors)
    }

    fn start(
        &self,
        id: u64,
        inputs: Vec<FleetInput>,
        cursors: Cursors,
        names: Vec<String>,
        stop: Stop,
        means: &Means<'_>,
    ) -> std::io::Result<JoinHandle<()>> {
        tracing::info!(run = id, servers = names.len(), "following");
        let sources = inputs.iter().map(|input| Arc::clone(&input.source)).collect();
        let run = Run::new(id, names, &cursors, &self.writer, &self.status);
        let mut bookmarks = Bookmarks::new(run.clone(), Arc::new(cursors), sources);
        let mut sink = Storing(run);
        let work = MakeRows { columns: Arc::clone(&self.columns) };
        let first = means.config.collect.first();
        // One that is begun for a few servers more doesn't need all cores.
        let threads = match id {
            0 => std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            _ => NonZeroUsize::MIN,
        };
        let options = FollowOptions::default().gather(means.config.store.gather());
        let pipeline =
            Pipeline::follow(&self.runtime, inputs, first, options).threads(threads).stop(stop);
        let (rules, status) = (means.rules.clone(), Arc::clone(&self.status));
        std::thread::Builder::new().name(format!("follow-{id}")).spawn(move || {
            let ended = match rules {
                Some(rules) => pipeline.stage(rules).run(&work, &mut sink, Some(&mut bookmarks)).1,
                None => pipeline.run(&work, &mut sink, Some(&mut bookmarks)).1,
            };
            match ended {
                Ok(()) => {
                    tracing::info!(run = id, "nothing more is followed");
                    sink.0.rest();
                }
                Err(error) => {
                    let why = why(&error);
                    tracing::error!(run = id, "following ended: {why}; it begins anew");
                    status.commit_failed(&why);
                }
            }
            // Its servers are free to be followed anew from where they are.
            sink.0.end();
        })
    }

    /// Ends all runs, and waits for them: what they had decoded is pushed.
    pub(crate) fn stop(&self) {
        self.stop.set();
        let mut state = self.state();
        for run in &state.runs {
            run.stop.set();
        }
        state.end();
    }
}

impl State {
    /// Forgets runs that have ended.
    fn reap(&mut self) {
        self.runs.retain(|run| !run.thread.is_finished());
    }

    /// Waits for all runs.
    fn end(&mut self) {
        for run in self.runs.drain(..) {
            if run.thread.join().is_err() {
                tracing::error!(run = run.id, "a run panicked");
            }
        }
    }
}

fn why(error: &RunError<StoreError>) -> String {
    match error {
        RunError::Sink(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// A console for a daemon: what is said goes to standard error as it is.
pub(crate) fn console() -> &'static Console {
    static CONSOLE: std::sync::LazyLock<Console> =
        std::sync::LazyLock::new(|| Console::new(quarry_program::args::When::Never, false));
    &CONSOLE
}
