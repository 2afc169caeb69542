//! How a run goes and how it went, as data.

use quarry_fleet::Failure;

/// What has become of a run's sources, and what they gave.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Files that are read once.
    pub files: Tally,
    /// Servers, and whatever else is followed.
    pub servers: Tally,
    /// Records that were read.
    pub records: u64,
    /// Events that matched.
    pub matched: u64,
    /// Events that matched and are without their message text, as it didn't come in time.
    pub late: u64,
    /// Holes in what was read: records that a source skipped, or that were gone before they were
    /// read, though nobody had asked to leave them out. Each is one or more records.
    pub holes: u64,
    /// Why servers, or logs of theirs that were named, can't be read.
    pub failures: Vec<Failure>,
    /// Of each server its name, and how it stands.
    states: Vec<(String, State)>,
}

/// Sources of a kind, and what has become of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// All of them.
    pub all: u64,
    /// Those that were read to their end; of followed ones, those that were reached.
    pub read: u64,
    /// Those that failed, wholly or in part.
    pub failed: u64,
}

impl Tally {
    /// How many are done with.
    pub fn done(self) -> u64 {
        self.read + self.failed
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Something of it is still to come: its answer, its end, its connection.
    Awaited,
    /// It is followed.
    Followed,
    Ended,
    Failed,
}

/// Sources that failed alike.
#[derive(Clone, Debug)]
pub struct Alike<'s> {
    /// What happened, without a source's name.
    pub what: String,
    /// Each source's failure, by name.
    pub failures: Vec<&'s Failure>,
}

impl Summary {
    /// Nothing has been read of so many files and of these servers.
    pub fn new(files: usize, servers: impl IntoIterator<Item = String>) -> Self {
        let states: Vec<_> = servers.into_iter().map(|name| (name, State::Awaited)).collect();
        let all = |all: usize| Tally { all: all as u64, ..Tally::default() };
        Summary { files: all(files), servers: all(states.len()), states, ..Summary::default() }
    }

    /// Adds files and servers that failed before anything was read of them.
    pub fn add_unread(&mut self, files: u64, servers: u64) {
        for (tally, failed) in [(&mut self.files, files), (&mut self.servers, servers)] {
            tally.all += failed;
            tally.failed += failed;
        }
    }

    /// Adds what another run came to.
    pub fn add(&mut self, other: Summary) {
        for (tally, other) in [(&mut self.files, other.files), (&mut self.servers, other.servers)] {
            tally.all += other.all;
            tally.read += other.read;
            tally.failed += other.failed;
        }
        self.records += other.records;
        self.matched += other.matched;
        self.late += other.late;
        self.holes += other.holes;
        self.failures.extend(other.failures);
        self.states.extend(other.states);
    }

    /// The sources of the fleet that are still waited for: those that have not ended or, if they
    /// are followed, are not connected.
    pub fn awaited(&self) -> impl Iterator<Item = &str> {
        let is_awaited = |state: &&(String, State)| state.1 == State::Awaited;
        self.states.iter().filter(is_awaited).map(|(name, _)| &**name)
    }

    /// The failures, those alike together: the most frequent first, each by name rather than by
    /// chance.
    pub fn failures_alike(&self) -> Vec<Alike<'_>> {
        let mut failures: Vec<&Failure> = self.failures.iter().collect();
        failures.sort_by_key(|failure| &failure.source);
        let mut groups: Vec<Alike<'_>> = Vec::new();
        for failure in failures {
            let what = failure.what();
            match groups.iter_mut().find(|group| group.what == what) {
                Some(group) => group.failures.push(failure),
                None => groups.push(Alike { what, failures: vec![failure] }),
            }
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.failures.len()));
        groups
    }

    /// A file was read to its end, or could not be.
    pub fn file_ended(&mut self, is_read: bool) {
        match is_read {
            true => self.files.read += 1,
            false => self.files.failed += 1,
        }
    }

    /// A source of the fleet is followed.
    pub(crate) fn followed(&mut self, server: usize) {
        if let Some((_, state @ State::Awaited)) = self.states.get_mut(server) {
            *state = State::Followed;
            self.servers.read += 1;
        }
    }

    /// The connection to a followed source was lost.
    pub(crate) fn lost(&mut self, server: usize) {
        if let Some((_, state @ State::Followed)) = self.states.get_mut(server) {
            *state = State::Awaited;
            self.servers.read -= 1;
        }
    }

    /// A server, or a log of it, can't be read.
    pub fn failed(&mut self, server: usize, failure: Failure) {
        self.failures.push(failure);
        let Some((_, state)) = self.states.get_mut(server) else { return };
        if *state == State::Followed {
            self.servers.read -= 1;
        }
        if *state != State::Failed {
            *state = State::Failed;
            self.servers.failed += 1;
        }
    }

    /// Nothing more comes of a server. It was read, if nothing of it failed.
    pub fn ended(&mut self, server: usize) {
        let Some((_, state)) = self.states.get_mut(server) else { return };
        if matches!(state, State::Awaited | State::Followed) {
            if *state == State::Awaited {
                self.servers.read += 1;
            }
            *state = State::Ended;
        }
    }
}
