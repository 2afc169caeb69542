//! One simulated server: its logs, its faults, and what it has been asked.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use quarry_even::Win32Error;
use quarry_event::EventTime;
use tokio::sync::{Notify, watch};

use crate::channels::ChannelType;
use crate::fault::Faults;
use crate::files::FileLogs;
use crate::generate::CHANNELS;
use crate::journal::Journal;
use crate::log::{Base, Generator, Log, generated_channel};
use crate::plan::Testers;

/// What all servers share.
pub(crate) struct World {
    /// In order; all servers have the same.
    pub(crate) channels: Vec<String>,
    /// By lowercase name, the index of each.
    pub(crate) channel_index: HashMap<String, usize>,
    pub(crate) files: Option<Arc<FileLogs>>,
    /// How many bytes of appended records a log holds.
    pub(crate) log_size: usize,
    pub(crate) testers: Testers,
    pub(crate) journal: Journal,
}

pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) computer: String,
    pub(crate) world: Arc<World>,
    pub(crate) faults: Faults,
    pub(crate) generator: Arc<Generator>,
    /// By lowercase name; made when first asked for, since most channels have no events.
    logs: Mutex<HashMap<String, Arc<Log>>>,
    /// Says that some log has something new.
    pub(crate) appended: Notify,
    pub(crate) counts: Counts,
    /// What seeks are answered with, from now on; 0 if they are done.
    pub(crate) failing_seeks: AtomicU32,
    /// Connections that are closed are reset, from now on.
    pub(crate) dies: AtomicBool,
    /// How often it has stopped and started: while that is odd, it is stopped.
    pub(crate) turns: watch::Sender<u64>,
    /// The faults that come once and have come: a kind and a log.
    once: Mutex<HashSet<(&'static str, String)>>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) connections: AtomicU64,
    pub(crate) logons: AtomicU64,
    pub(crate) calls: AtomicU64,
    pub(crate) message_calls: AtomicU64,
    pub(crate) records_read: AtomicU64,
    pub(crate) records_sent: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
}

/// What a server has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections that came about, to the endpoint mapper and to the event log.
    pub connections: u64,
    /// Attempts to sign in, those that were refused among them.
    pub logons: u64,
    /// Calls to the event log.
    pub calls: u64,
    /// Those of them that are about publishers and their messages.
    pub message_calls: u64,
    /// Records that queries and subscriptions looked at.
    pub records_read: u64,
    /// Records that were selected and sent.
    pub records_sent: u64,
    /// What these took, in bytes, with their headers.
    pub bytes_sent: u64,
}

impl Counts {
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            connections: self.connections.load(Relaxed),
            logons: self.logons.load(Relaxed),
            calls: self.calls.load(Relaxed),
            message_calls: self.message_calls.load(Relaxed),
            records_read: self.records_read.load(Relaxed),
            records_sent: self.records_sent.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
        }
    }
}

impl Server {
    pub(crate) fn new(
        name: String,
        computer: String,
        world: Arc<World>,
        faults: Faults,
        generator: Generator,
    ) -> Self {
        Self {
            name,
            computer,
            world,
            faults,
            generator: Arc::new(generator),
            logs: Mutex::default(),
            appended: Notify::new(),
            counts: Counts::default(),
            failing_seeks: AtomicU32::new(0),
            dies: AtomicBool::new(false),
            turns: watch::channel(0).0,
            once: Mutex::default(),
        }
    }

    /// The log of a channel.
    ///
    /// # Errors
    /// What Windows answers for a channel that isn't there.
    pub(crate) fn log(&self, channel: &str) -> Result<Arc<Log>, Win32Error> {
        let key = channel.to_lowercase();
        let Some(&index) = self.world.channel_index.get(&key) else {
            return Err(Win32Error::EVT_CHANNEL_NOT_FOUND);
        };
        let name = &self.world.channels[index];
        let base = || match &self.world.files {
            Some(files) if files.logs.contains_key(name) => {
                Base::File(Arc::clone(files), name.clone())
            }
            Some(_) => Base::Empty,
            None => match generated_channel(name) {
                Some(channel) => Base::Generated(Arc::clone(&self.generator), channel),
                None => Base::Empty,
            },
        };
        let mut logs = lock(&self.logs);
        let log = logs
            .entry(key)
            .or_insert_with(|| Arc::new(Log::new(name.clone(), base(), self.world.log_size)));
        Ok(Arc::clone(log))
    }

    /// The log, for a caller that its access list lets in.
    pub(crate) fn readable(&self, channel: &str) -> Result<Arc<Log>, Win32Error> {
        let log = self.log(channel)?;
        match self.faults.denies(&log.name) {
            true => Err(Win32Error::ACCESS_DENIED),
            false => Ok(log),
        }
    }

    /// The same to read backwards, or to subscribe to.
    pub(crate) fn undirected(&self, channel: &str) -> Result<Arc<Log>, Win32Error> {
        let log = self.readable(channel)?;
        match ChannelType::of(&log.name).is_direct() {
            true => Err(Win32Error::EVT_SUBSCRIPTION_TO_DIRECT_CHANNEL),
            false => Ok(log),
        }
    }

    /// Notes that a fault that comes once a log has come.
    pub(crate) fn happens(&self, kind: &'static str, log: &str) {
        lock(&self.once).insert((kind, log.to_owned()));
    }

    /// Whether it has come.
    pub(crate) fn has_happened(&self, kind: &'static str, log: &str) -> bool {
        lock(&self.once).contains(&(kind, log.to_owned()))
    }

    /// Adds generated events of now to a log that has such; how many.
    pub(crate) fn append_generated(&self, log: &Log, count: u64) -> u64 {
        let Some(channel) = CHANNELS.iter().position(|name| *name == log.name) else { return 0 };
        for _ in 0..count {
            let mut state = log.write();
            let (number, time) = (state.next, now());
            let mut binxml = Vec::new();
            self.generator.write_at(channel, number, time, &mut binxml);
            state.append(time, binxml.into());
        }
        self.appended.notify_waiters();
        count
    }
}

/// This machine's time.
pub(crate) fn now() -> EventTime {
    /// 100 ns units between 1601 and 1970.
    const FILETIME_OF_1970: u64 = 116_444_736_000_000_000;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let units = u64::try_from(since.as_nanos() / 100).unwrap_or(u64::MAX);
    EventTime::from_filetime(units.saturating_add(FILETIME_OF_1970))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
