//! Questions about a table.

use std::time::{Duration, Instant};

use quarry_event::EventTime;
use quarry_event::filter::{Filter, Levels, Pattern};
use quarry_event::output::{Column, Member};
use quarry_store::{Access, Ask, By, Options, Store};

use crate::made::BEGIN;
use crate::{Failed, say};

pub(crate) async fn ask(folder: &str, rounds: usize) -> Result<(), Failed> {
    let store = Store::open(folder, Options::default().read_only(true)).await?;
    let column = |member| By::Column(Column::Member(member));
    let of = |filter: Filter| {
        let mut ask = Ask::new(filter, Access::everything(), EventTime::from_filetime(BEGIN));
        ask.limits = ask.limits.time(Duration::from_secs(600));
        ask
    };
    let everything = of(Filter::default());
    let mut host = of(Filter::default());
    host.hosts = Some(vec!["host07.corp.example".to_owned()]);
    let errors = of(Filter { levels: Some(Levels::parse("error")?), ..Filter::default() });
    let day = BEGIN + 15 * 24 * 3600 * EventTime::SECOND;
    let hour = of(Filter {
        since: Some(EventTime::from_filetime(day)),
        until: Some(EventTime::from_filetime(day + 3600 * EventTime::SECOND - 1)),
        ..Filter::default()
    });
    let word = of(Filter { grep: vec![Pattern::parse("zebrafish")?], ..Filter::default() });
    let names = ["newest", "newest of a host", "newest of errors", "an hour", "facets", "a word"];
    for name in names {
        let mut best = f64::INFINITY;
        let mut answer = 0;
        for _ in 0..rounds {
            let begun = Instant::now();
            answer = match name {
                "newest" => store.newest(&everything, 100, None).await?.events.len() as u64,
                "newest of a host" => store.newest(&host, 100, None).await?.events.len() as u64,
                "newest of errors" => store.newest(&errors, 100, None).await?.events.len() as u64,
                "an hour" => {
                    let bars = store.histogram(&hour, 60, &By::Level).await?;
                    bars.bars.values().flatten().sum()
                }
                "facets" => {
                    let mut sum = 0;
                    for by in [
                        By::Level,
                        column(Member::Host),
                        column(Member::Channel),
                        column(Member::EventId),
                        column(Member::Provider),
                    ] {
                        sum += store.top(&everything, &by, 10).await?.distinct as u64;
                    }
                    sum + store.histogram(&everything, 86_400, &By::Level).await?.bars.len() as u64
                }
                _ => store.count(&word).await?,
            };
            best = best.min(begun.elapsed().as_secs_f64());
        }
        say(name, best, answer)?;
    }
    Ok(())
}
