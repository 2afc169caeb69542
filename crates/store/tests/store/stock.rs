//! Stores with generated events in them.

use std::path::Path;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use quarry_event::testing::{TypedEvent, events, now, tidy_events};
use quarry_event::{Event, Field, FieldSource, Origin, RecordId, Texts};
use quarry_store::{Access, Ask, EventMeta, Move, Options, Place, Store};

/// An event and where it is said to be from.
#[derive(Clone, Debug)]
pub(crate) struct Stocked {
    pub(crate) event: Event,
    pub(crate) source: String,
    pub(crate) host: String,
    pub(crate) log: &'static str,
    pub(crate) record: u64,
}

impl Stocked {
    pub(crate) fn origin(&self) -> Origin<'_> {
        Origin {
            source: &self.source,
            host: Some(&self.host),
            log: self.log,
            log_record: Some(RecordId(self.record)),
            recovered: false,
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            time: self.event.field(Field::TimeCreated).as_time().unwrap_or_default(),
            source: self.source.clone(),
            log: self.log.to_owned(),
            record: Some(RecordId(self.record)),
        }
    }
}

/// The next values of a strategy, the same in each run.
pub(crate) fn generate<S: Strategy>(strategy: S, n: usize) -> Vec<S::Value> {
    let mut runner = TestRunner::deterministic();
    (0..n).map(|_| strategy.new_tree(&mut runner).expect("a value").current()).collect()
}

/// Odd and tidy events of three hosts with two logs each.
pub(crate) fn stock(n: usize) -> Vec<Stocked> {
    let odd = generate(events(), n / 2);
    let tidy = generate(tidy_events(), n - n / 2);
    let all = odd.into_iter().zip(tidy).flat_map(|(odd, tidy)| [odd, tidy]);
    let of = |(n, event): (usize, Event)| Stocked {
        event,
        source: format!("even6://host{}", n % 3),
        host: format!("host{}", n % 3),
        log: if n % 2 == 0 { "Security" } else { "System" },
        record: n as u64 + 1,
    };
    all.enumerate().map(of).collect()
}

/// A store with some events: a part in each of two commits, the rest in memory.
pub(crate) async fn filled(folder: &Path, stock: &[Stocked]) -> Store {
    let store = Store::open(folder.to_str().unwrap(), Options::default()).await.unwrap();
    let appender = store.appender().unwrap();
    for n in 0..3 {
        store.take(&format!("even6://host{n}")).await.unwrap();
    }
    let third = stock.len().div_ceil(3);
    for (n, part) in stock.chunks(third).enumerate() {
        let mut rows = store.rows().unwrap();
        let mut moves: Vec<Move> = Vec::new();
        for one in part {
            let meta = EventMeta { origin: one.origin(), received: now(), texts: Texts::default() };
            // As records have them: with types.
            rows.event(&TypedEvent::new(&one.event, one.record), &meta).unwrap();
            moves.retain(|other| (&*other.source, &*other.log) != (&*one.source, one.log));
            moves.push(Move {
                source: one.source.clone(),
                log: one.log.to_owned(),
                to: (RecordId(one.record), None),
                new_generation: false,
            });
        }
        appender.push(&rows, &moves).unwrap();
        if n < 2 {
            appender.flush().await.unwrap();
        }
    }
    appender.sync().unwrap();
    // Until the table is looked at again, what was committed is in memory too.
    store.refresh().await.unwrap();
    store
}

/// Everything that passes a filter.
pub(crate) fn ask(filter: quarry_event::filter::Filter) -> Ask {
    let mut ask = Ask::new(filter, Access::everything(), now());
    // Unoptimised, on a machine with other work.
    ask.limits = ask.limits.time(std::time::Duration::from_secs(300));
    ask
}
