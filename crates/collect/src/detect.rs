//! Detection rules as a stage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use quarry_detect::{Channels, Engine, Matcher};
use quarry_event::{FieldSource, Origin, PartialSource};

use crate::sink::{Notes, Stage};
use crate::source::Source;

/// Marks events with the rules that they match, and counts each rule's events.
#[derive(Debug)]
pub struct Detect {
    engine: Arc<Engine>,
    /// Whether events without a rule go on as well.
    passes_all: bool,
    hits: Vec<AtomicU64>,
    channels: Arc<Channels>,
}

impl Detect {
    /// Lets events pass that match a rule.
    pub fn new(engine: Arc<Engine>) -> Self {
        let hits = engine.rules().iter().map(|_| AtomicU64::new(0)).collect();
        Detect { engine, passes_all: false, hits, channels: Arc::default() }
    }

    /// The same, and lets every event pass.
    #[must_use]
    pub fn passing_all(self) -> Self {
        Detect { passes_all: true, ..self }
    }

    /// The rules.
    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The channels, in lowercase, that the events so far were of, those without a rule too, by the place
    /// of their source. They are noted only where events without a rule end here.
    pub fn channels(&self) -> BTreeMap<usize, BTreeSet<String>> {
        self.channels.by_source()
    }

    /// How many events matched each rule so far, in the engine's order.
    pub fn hits(&self) -> Vec<u64> {
        self.hits.iter().map(|hits| hits.load(Ordering::Relaxed)).collect()
    }
}

impl Stage for Arc<Detect> {
    type Worker = Matcher;

    fn worker(&self) -> Matcher {
        let matcher = self.engine.matcher();
        if self.passes_all { matcher } else { matcher.noting(&self.channels) }
    }

    fn begins(&self, matcher: &mut Matcher, source: &Source) {
        matcher.begins(source.id.index());
    }

    #[inline]
    fn rules_out<S: PartialSource>(&self, matcher: &mut Matcher, event: &S) -> bool {
        !self.passes_all && matcher.rules_out(event)
    }

    fn passes<S: FieldSource>(
        &self,
        matcher: &mut Matcher,
        event: &S,
        _: &Origin<'_>,
        notes: &mut Notes,
    ) -> bool {
        let hits = matcher.matches(event);
        for &rule in hits {
            self.hits[rule].fetch_add(1, Ordering::Relaxed);
            notes.rules.push(Arc::clone(&self.engine.rules()[rule].name));
        }
        self.passes_all || !hits.is_empty()
    }
}
