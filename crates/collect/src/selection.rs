//! What is wanted of a source: which logs, which events, how many.

use std::sync::Arc;

use quarry_event::EventTime;
use quarry_event::filter::{Filter, FilterError, Glob, Matcher, Names};
use quarry_event::query::Query;

/// What is wanted of a source. Sources may share one, and threads test with clones of its
/// matchers.
#[derive(Clone)]
pub struct Selection {
    logs: Arc<[Glob]>,
    /// As it was given, but for times that count from now: a server's clock isn't this one.
    filter: Filter,
    /// Tests the events of a source whose logs were chosen when it was opened.
    matcher: Matcher,
    /// The same where the events say which log they are of, as in a file.
    mixed: Matcher,
    limit: Option<u64>,
}

impl std::fmt::Debug for Selection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selection")
            .field("logs", &self.logs)
            .field("filter", &self.filter)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Default for Selection {
    /// Every event of a source's default logs.
    fn default() -> Self {
        let matcher = Filter::default().matcher(EventTime::default());
        Selection {
            logs: Arc::default(),
            filter: Filter::default(),
            mixed: matcher.clone(),
            matcher,
            limit: None,
        }
    }
}

impl Selection {
    /// The events that pass a filter, of the logs that globs match: those of a structured query if
    /// there are none, and if it names none either, a source's default. `now` is what times in the
    /// query count from.
    ///
    /// # Errors
    /// [`FilterError`] if a channel of the query is too long for a name.
    pub fn new(logs: Vec<Glob>, filter: Filter, now: EventTime) -> Result<Self, FilterError> {
        let matcher = filter.matcher(now);
        // Of a server's log what is read is its events, whatever these say: forwarded ones name
        // their origin's. Those that the query's channels choose are chosen by the query itself.
        let mixed = matcher.clone().in_channels(&logs);
        let logs = match logs.is_empty() {
            true => {
                let channels = filter.query.iter().flat_map(Query::channels);
                channels.map(Glob::parse).collect::<Result<Vec<_>, _>>()?
            }
            false => logs,
        };
        let query = filter.query.as_ref().map(|query| query.fixed(now));
        let filter = Filter { query, ..filter };
        Ok(Selection { logs: logs.into(), filter, matcher, mixed, limit: None })
    }

    /// The same, and its matchers note which of the names occur.
    #[must_use]
    pub fn watching(self, names: &Arc<Names>) -> Self {
        let (matcher, mixed) = (self.matcher.watching(names), self.mixed.watching(names));
        Selection { matcher, mixed, ..self }
    }

    /// The same, and at most so many events of each source.
    #[must_use]
    pub fn with_limit(self, limit: Option<u64>) -> Self {
        Selection { limit, ..self }
    }

    /// The logs to read; none for a source's default.
    pub fn logs(&self) -> &[Glob] {
        &self.logs
    }

    /// What servers are asked for.
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// How many events of each source are wanted, where there is a limit.
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Whether every event of a log passes.
    pub fn passes_all(&self) -> bool {
        self.matcher.passes_all()
    }

    /// What tests events: of a source whose events `are_mixed`, each may be of another log.
    /// Nothing where every event passes.
    pub fn matcher(&self, are_mixed: bool) -> Option<Matcher> {
        let matcher = if are_mixed { &self.mixed } else { &self.matcher };
        (!matcher.passes_all()).then(|| matcher.clone())
    }
}
