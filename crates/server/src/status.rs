//! How the daemon is: what the page, `/healthz` and `/metrics` show.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use quarry_store::Waiting;

/// How long a log that isn't there is left alone before it is tried again.
const LOG_PAUSE: Duration = Duration::from_secs(3600);
/// How long a server that was given up is left alone before it is tried again.
const SERVER_PAUSE: Duration = Duration::from_secs(300);
/// How many times the usual time a row may wait for its commit before that is a failure.
const LATE: u32 = 4;

/// Why something isn't as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    pub(crate) remedy: Option<String>,
}

/// How a server is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Server {
    /// Whether a log of it is followed now.
    pub(crate) is_followed: bool,
    /// Why it isn't, and since when.
    pub(crate) trouble: Option<(Trouble, Timestamp)>,
    /// When something came of it for the last time.
    pub(crate) received: Option<Timestamp>,
    pub(crate) records: u64,
    pub(crate) events: u64,
    pub(crate) gaps: u64,
    pub(crate) failures: u64,
    /// When it is to be opened anew.
    retry: Option<Instant>,
    /// Whether it is left alone until then, as nothing of it is followed.
    rests: bool,
}

impl Server {
    /// How long it has been out of sight, in seconds; 0 while it is followed.
    pub(crate) fn behind(&self, now: Timestamp) -> u64 {
        let since = self.trouble.as_ref().map(|(_, since)| now.as_second() - since.as_second());
        since.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default()
    }
}

/// How everything is.
#[derive(Debug)]
pub(crate) struct Status {
    inner: Mutex<Inner>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Inner {
    servers: BTreeMap<String, Server>,
    waiting: (u64, u64, Duration),
    flush_every: Duration,
    commits: u64,
    commit_failures: u64,
    commit_seconds: f64,
    rows: u64,
    version: u64,
    committed: Option<Timestamp>,
    /// Since when commits fail, and why.
    failing: Option<(Timestamp, String)>,
    /// How often reading waited for the store.
    full: u64,
    configuration: Option<Trouble>,
    reloads: u64,
}

/// What `/healthz` says.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) is_well: bool,
    pub(crate) json: serde_json::Value,
}

impl Default for Status {
    fn default() -> Self {
        Status { inner: Mutex::default(), started: Instant::now() }
    }
}

impl Status {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn server<T>(&self, name: &str, change: impl FnOnce(&mut Server) -> T) -> T {
        let mut inner = self.lock();
        match inner.servers.get_mut(name) {
            Some(server) => change(server),
            None => change(inner.servers.entry(name.to_owned()).or_default()),
        }
    }

    /// How long a row waits for its commit at most, as it should be.
    pub(crate) fn set_flush_every(&self, every: Duration) {
        self.lock().flush_every = every;
    }

    /// A server is to be followed by this collector from now on.
    pub(crate) fn begun(&self, name: &str) {
        self.server(name, |server| (server.retry, server.rests) = (None, false));
    }

    /// A server isn't followed by this collector any more.
    pub(crate) fn left(&self, name: &str) {
        self.lock().servers.remove(name);
    }

    pub(crate) fn opened(&self, name: &str) {
        self.server(name, |server| server.trouble = None);
    }

    /// A log of a server is followed. Whether the server was lost before.
    pub(crate) fn followed(&self, name: &str) -> bool {
        self.server(name, |server| {
            server.is_followed = true;
            server.trouble.take().is_some()
        })
    }

    pub(crate) fn received(&self, name: &str, records: u64) {
        let now = Timestamp::now();
        self.server(name, |server| {
            server.records += records;
            server.received = Some(now);
        });
    }

    pub(crate) fn pushed(&self, name: &str, events: u64) {
        self.server(name, |server| server.events += events);
    }

    pub(crate) fn gap(&self, name: &str) {
        self.server(name, |server| server.gaps += 1);
    }

    pub(crate) fn lost(&self, name: &str, trouble: Trouble) {
        let now = Timestamp::now();
        self.server(name, |server| {
            server.is_followed = false;
            server.failures += 1;
            server.trouble = Some((trouble, now));
        });
    }

    /// A server, or a log of it, was given up. Whether this is news.
    pub(crate) fn failed(&self, name: &str, trouble: Trouble, is_of_log: bool) -> bool {
        let now = Timestamp::now();
        self.server(name, |server| {
            server.failures += 1;
            let is_news = server.trouble.as_ref().is_none_or(|(before, _)| *before != trouble);
            let since = server.trouble.take().map_or(now, |(_, since)| since);
            server.trouble = Some((trouble, since));
            server.is_followed &= is_of_log;
            let pause = if is_of_log { LOG_PAUSE } else { SERVER_PAUSE };
            server.retry.get_or_insert_with(|| Instant::now() + pause);
            is_news
        })
    }

    /// Another collector follows a server.
    pub(crate) fn given_up(&self, name: &str) {
        self.server(name, |server| server.is_followed = false);
    }

    /// Whether it is time to open a server anew that was given up.
    pub(crate) fn is_retry_due(&self, name: &str) -> bool {
        let inner = self.lock();
        let retry = inner.servers.get(name).and_then(|server| server.retry);
        retry.is_some_and(|retry| Instant::now() >= retry)
    }

    /// All that there was of a server was given up: it is left alone until it is to be opened anew.
    pub(crate) fn rest(&self, name: &str) {
        self.server(name, |server| server.rests = server.retry.is_some());
    }

    /// Whether a server is left alone.
    pub(crate) fn rests(&self, name: &str) -> bool {
        let inner = self.lock();
        let is_early = |server: &Server| server.retry.is_some_and(|retry| Instant::now() < retry);
        inner.servers.get(name).is_some_and(|server| server.rests && is_early(server))
    }

    /// Servers that are left alone can be tried at once: what is known of them has changed.
    pub(crate) fn wake(&self) {
        self.lock().servers.values_mut().for_each(|server| server.rests = false);
    }

    pub(crate) fn waiting(&self, waiting: Waiting) {
        let age = waiting.age.unwrap_or_default();
        self.lock().waiting = (waiting.rows as u64, waiting.bytes as u64, age);
    }

    /// Reading waits, as the store takes no more.
    pub(crate) fn full(&self) {
        self.lock().full += 1;
    }

    pub(crate) fn committed(&self, version: u64, rows: u64, took: Duration) {
        let mut inner = self.lock();
        inner.commits += 1;
        inner.rows += rows;
        inner.version = version;
        inner.commit_seconds += took.as_secs_f64();
        inner.committed = Some(Timestamp::now());
        inner.failing = None;
    }

    pub(crate) fn commit_failed(&self, why: &str) {
        let mut inner = self.lock();
        inner.commit_failures += 1;
        let since = inner.failing.take().map_or_else(Timestamp::now, |(since, _)| since);
        inner.failing = Some((since, why.to_owned()));
    }

    /// The configuration was read again; what is wrong with it, where the old one was kept.
    pub(crate) fn reloaded(&self, trouble: Option<Trouble>) {
        let mut inner = self.lock();
        inner.reloads += u64::from(trouble.is_none());
        inner.configuration = trouble;
    }

    /// How the servers are, by name.
    pub(crate) fn servers(&self) -> BTreeMap<String, Server> {
        self.lock().servers.clone()
    }

    /// How it is, for whoever restarts it otherwise: not well while nothing can be committed, while
    /// rows wait too long, or while every server is out of sight.
    pub(crate) fn health(&self) -> Health {
        let now = Timestamp::now();
        let inner = self.lock();
        let all = inner.servers.len();
        let followed = inner.servers.values().filter(|server| server.is_followed).count();
        let behind = inner.servers.values().map(|server| server.behind(now)).max().unwrap_or(0);
        let (rows, bytes, age) = inner.waiting;
        let is_late = age > inner.flush_every.saturating_mul(LATE).max(Duration::from_secs(10));
        let mut problems = Vec::new();
        if let Some((since, why)) = &inner.failing {
            problems.push(format!("nothing can be committed since {since:.0}: {why}"));
        } else if is_late {
            problems.push(format!("rows have waited {} s for their commit", age.as_secs()));
        }
        if all > 0 && followed == 0 {
            problems.push("no server is followed".to_owned());
        }
        let is_well = problems.is_empty();
        let is_partly = followed < all || inner.configuration.is_some();
        let status = match (is_well, is_partly) {
            (false, _) => "failing",
            (true, true) => "degraded",
            (true, false) => "ok",
        };
        let json = serde_json::json!({
            "status": status,
            "seconds": self.started.elapsed().as_secs(),
            "problems": problems,
            "configuration": inner.configuration.as_ref().map(|trouble| &trouble.what),
            "servers": { "all": all, "followed": followed, "longest_out_of_sight_seconds": behind },
            "waiting": { "rows": rows, "bytes": bytes, "seconds": age.as_secs() },
            "committed": inner.committed.map(|time| format!("{time:.0}")),
        });
        Health { is_well, json }
    }

    /// The numbers of the daemon in the text format of Prometheus, of the servers that may be shown.
    pub(crate) fn metrics(&self, may_show: impl Fn(&str) -> bool, text: &mut String) {
        let now = Timestamp::now();
        let inner = self.lock();
        let (rows, bytes, age) = inner.waiting;
        let numbers: [(&str, &str, &str, f64); 10] = [
            ("quarryd_commits_total", "counter", "Commits.", inner.commits as f64),
            (
                "quarryd_commit_failures_total",
                "counter",
                "Commits that failed.",
                inner.commit_failures as f64,
            ),
            (
                "quarryd_commit_seconds_total",
                "counter",
                "Time that commits took.",
                inner.commit_seconds,
            ),
            (
                "quarryd_rows_committed_total",
                "counter",
                "Rows that were committed.",
                inner.rows as f64,
            ),
            (
                "quarryd_table_version",
                "gauge",
                "The table's version after the last commit.",
                inner.version as f64,
            ),
            ("quarryd_waiting_rows", "gauge", "Rows that wait for their commit.", rows as f64),
            ("quarryd_waiting_bytes", "gauge", "Bytes that wait for their commit.", bytes as f64),
            (
                "quarryd_waiting_seconds",
                "gauge",
                "How long the oldest of them has waited.",
                age.as_secs_f64(),
            ),
            (
                "quarryd_full_total",
                "counter",
                "Times that reading waited for the store.",
                inner.full as f64,
            ),
            (
                "quarryd_reloads_total",
                "counter",
                "Times that a changed configuration was taken up.",
                inner.reloads as f64,
            ),
        ];
        for (name, kind, help, number) in numbers {
            // Writing to a string can't fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {number}");
        }
        type Of = fn(&Server, Timestamp) -> u64;
        let each: [(&str, &str, &str, Of); 6] = [
            ("quarryd_server_followed", "gauge", "Whether a server is followed now.", |s, _| {
                u64::from(s.is_followed)
            }),
            (
                "quarryd_server_lag_seconds",
                "gauge",
                "How long a server has been out of sight.",
                |s, now| s.behind(now),
            ),
            ("quarryd_server_records_total", "counter", "Records that were read.", |s, _| {
                s.records
            }),
            ("quarryd_server_events_total", "counter", "Events that were stored.", |s, _| s.events),
            ("quarryd_server_gaps_total", "counter", "Gaps that were found.", |s, _| s.gaps),
            (
                "quarryd_server_failures_total",
                "counter",
                "Times that a server or a log failed.",
                |s, _| s.failures,
            ),
        ];
        for (name, kind, help, of) in each {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (server, state) in inner.servers.iter().filter(|(server, _)| may_show(server)) {
                let label = server.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                let _ = writeln!(text, "{name}{{server=\"{label}\"}} {}", of(state, now));
            }
        }
    }
}
