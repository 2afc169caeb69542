//! What comes back of a store is what went in, and what is selected is what the filter selects.

use std::collections::{BTreeMap, BTreeSet};

use quarry_event::filter::{Filter, Pattern};
use quarry_event::output::{Column, Member, Printer, Scratch};
use quarry_event::testing::{filters, now};
use quarry_event::{
    Event, EventTime, FieldSource, Keywords, Level, LevelName, Origin, RecordId, Texts,
};
use quarry_store::{By, EventMeta, Move, Options, Place, Policy, Store};

use crate::stock::{Stocked, ask, filled, generate, stock};

fn json(event: &impl FieldSource, origin: &Origin<'_>, texts: Texts<'_>) -> String {
    let mut out = Vec::new();
    Printer::jsonl(None).event(event, origin, texts, &mut Scratch::default(), &mut out);
    String::from_utf8(out).unwrap()
}

fn xml(event: &impl FieldSource) -> String {
    let mut out = Vec::new();
    event.write_xml(&mut out);
    String::from_utf8(out).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stored_event_prints_as_the_original_did() {
    let folder = tempfile::tempdir().unwrap();
    let stock = stock(400);
    let store = filled(folder.path(), &stock).await;
    let page = store.newest(&ask(Filter::default()), 1000, None).await.unwrap();
    assert_eq!(page.events.len(), stock.len());
    for stored in &page.events {
        let original = &stock[stored.log_record.unwrap().0 as usize - 1];
        assert_eq!(stored.origin(), original.origin());
        assert_eq!(xml(stored), xml(&original.event));
        let texts = Texts::default();
        let printed = json(stored, &stored.origin(), stored.texts());
        assert_eq!(printed, json(&original.event, &original.origin(), texts));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_events_print_as_they_did_before_they_were_stored() {
    let mut printed: BTreeMap<(String, u64), (String, String)> = BTreeMap::new();
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap(), Options::default()).await.unwrap();
    let appender = store.appender().unwrap();
    for name in ["security", "system", "sysmon", "MSExchange_Management_wec", "issue_201"] {
        let file = format!("evtx-crate/{name}.evtx");
        let Some(path) = quarry_testkit::corpus_file(&file) else { continue };
        store.take(name).await.unwrap();
        let log = quarry_logfile::EvtxLog::open(std::fs::File::open(path).unwrap()).unwrap();
        let mut rows = store.rows().unwrap();
        let mut of_trees = store.rows().unwrap();
        let mut decoder = quarry_binxml::Decoder::new();
        let (mut buffer, mut items) = (Vec::new(), Vec::new());
        let mut last = 0;
        for n in 0..log.chunks() {
            let Ok(chunk) = log.chunk(n, &mut buffer) else { continue };
            chunk.items(&mut items);
            let mut decoder = decoder.chunk(chunk.bytes());
            for item in items.iter().take(50) {
                let quarry_logfile::Item::Record(record) = item else { continue };
                let Ok(event) = decoder.event(record.binxml.clone()) else { continue };
                if record.number <= last {
                    continue;
                }
                last = record.number;
                let origin = Origin {
                    source: name,
                    host: None,
                    log: name,
                    log_record: Some(RecordId(last)),
                    recovered: false,
                };
                let meta = EventMeta { origin, received: now(), texts: Texts::default() };
                rows.event(&event, &meta).unwrap();
                of_trees.event(&Event::from_source(&event), &meta).unwrap();
                let texts = (xml(&event), json(&event, &origin, Texts::default()));
                printed.insert((name.to_owned(), last), texts);
            }
        }
        let to = (RecordId(last), None);
        let of =
            |log: &str| Move { source: log.into(), log: log.into(), to, new_generation: false };
        appender.push(&rows, &[of(name)]).unwrap();
        // What is kept of records' layouts makes no difference.
        let [of_records, of_trees] = [rows, of_trees].map(|mut rows| rows.finish().unwrap());
        for (field, (one, other)) in of_records
            .schema()
            .fields()
            .iter()
            .zip(of_records.columns().iter().zip(of_trees.columns()))
        {
            assert_eq!(one, other, "{name}: {}", field.name());
        }
    }
    if printed.is_empty() {
        return;
    }
    appender.flush().await.unwrap();
    store.refresh().await.unwrap();
    let page = store.newest(&ask(Filter::default()), 10_000, None).await.unwrap();
    assert_eq!(page.events.len(), printed.len());
    for stored in &page.events {
        let (xml_before, json_before) =
            &printed[&(stored.source.clone(), stored.log_record.unwrap().0)];
        assert_eq!(&xml(stored), xml_before);
        // A file has no host; the row has the one that the event names.
        let origin = Origin { host: None, ..stored.origin() };
        assert_eq!(&json(stored, &origin, stored.texts()), json_before);
    }
}

/// The events of a stock that a filter passes, by their places, the newest first.
fn expected(stock: &[Stocked], filter: &Filter) -> Vec<Place> {
    let mut matcher = filter.matcher(now());
    let passing =
        stock.iter().filter(|one| matcher.matches(&one.event, None) && matcher.rules_pass(&[]));
    let mut places: Vec<Place> = passing.map(Stocked::place).collect();
    places.sort_unstable();
    places.reverse();
    places
}

/// How many events of a stock have each text of a column.
fn texts(stock: &[Stocked], filter: &Filter, column: &Column) -> BTreeMap<String, u64> {
    let mut matcher = filter.matcher(now());
    let mut counts = BTreeMap::new();
    for one in
        stock.iter().filter(|one| matcher.matches(&one.event, None) && matcher.rules_pass(&[]))
    {
        let mut text = Vec::new();
        let scratch = &mut Scratch::default();
        column.write(&one.event, &one.origin(), Texts::default(), scratch, &mut text);
        if !text.is_empty() {
            *counts.entry(String::from_utf8(text).unwrap()).or_default() += 1;
        }
    }
    counts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_store_selects_and_counts_is_what_the_matcher_passes() {
    let folder = tempfile::tempdir().unwrap();
    let stock = stock(300);
    let store = filled(folder.path(), &stock).await;
    let columns = ["event_id", "provider", "data.TargetUserName", "level"];
    let columns = columns.map(|name| Column::parse(name).unwrap());
    let (mut some, mut all) = (0, 0);
    let filters = [vec![Filter::default()], generate(filters(), 60)].concat();
    for (n, filter) in filters.iter().enumerate() {
        let wanted = expected(&stock, filter);
        let ask = ask(filter.clone());
        let page = store.newest(&ask, 1000, None).await.unwrap();
        let found: Vec<Place> = page.events.iter().map(Place::of).collect();
        assert_eq!(found, wanted, "{filter:?}");
        assert_eq!(store.count(&ask).await.unwrap(), wanted.len() as u64, "{filter:?}");
        let column = &columns[n % columns.len()];
        let top = store.top(&ask, &By::Column(column.clone()), 1000).await.unwrap();
        let top: BTreeMap<String, u64> = top.values.into_iter().collect();
        assert_eq!(top, texts(&stock, filter, column), "{filter:?} {column:?}");
        let bars = store.histogram(&ask, 3600, &By::Level).await.unwrap();
        let sum: u64 = bars.bars.values().flatten().sum();
        assert_eq!(sum + bars.untimed, wanted.len() as u64, "{filter:?}");
        some += usize::from(!wanted.is_empty());
        all += usize::from(wanted.len() == stock.len());
    }
    assert!(some > 15 && all < 10, "the filters say little: {some} {all}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_by_place_have_each_event_once_in_either_order() {
    let folder = tempfile::tempdir().unwrap();
    let stock = stock(150);
    let store = filled(folder.path(), &stock).await;
    let ask = ask(Filter::default());
    let mut wanted = expected(&stock, &Filter::default());
    for newest in [true, false] {
        let mut found: Vec<Place> = Vec::new();
        loop {
            let page = match newest {
                true => store.newest(&ask, 13, found.last()).await.unwrap(),
                false => store.oldest(&ask, 13, found.last()).await.unwrap(),
            };
            found.extend(page.events.iter().map(Place::of));
            if !page.has_more {
                break;
            }
            assert_eq!(page.events.len(), 13);
        }
        assert_eq!(found, wanted);
        wanted.reverse();
    }
    for one in stock.iter().step_by(10) {
        let stored = store.at(&ask, &one.place()).await.unwrap().expect("it is there");
        assert_eq!(xml(&stored), xml(&one.event));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_beside_the_table_are_those_of_a_scan() {
    let folder = tempfile::tempdir().unwrap();
    // Of the odd ones there is no field that a column is sure to hold.
    let stock: Vec<Stocked> = stock(400).into_iter().skip(1).step_by(2).collect();
    let store = filled(folder.path(), &stock).await;
    store.appender().unwrap().flush().await.unwrap();
    store.refresh().await.unwrap();
    let everything = ask(Filter::default());
    // The same events by another way: the condition passes all of them.
    let mut scanned = everything.clone();
    scanned.hosts = Some((0..3).map(|n| format!("host{n}")).collect());
    for by in [By::Level, By::Column(Column::Member(Member::Provider))] {
        let kept = store.top(&everything, &by, 100).await.unwrap();
        assert_eq!(kept, store.top(&scanned, &by, 100).await.unwrap());
        assert!(!kept.values.is_empty());
    }
    for step in [3600, 86_400] {
        let kept = store.histogram(&everything, step, &By::Level).await.unwrap();
        assert_eq!(kept, store.histogram(&scanned, step, &By::Level).await.unwrap());
    }
    // Whole minutes, some and all of those that have events; and one that isn't whole.
    let mut times: Vec<u64> = stock.iter().map(|one| one.place().time.as_filetime()).collect();
    // Some have none.
    times.retain(|time| *time > 0);
    times.sort_unstable();
    let minute = 60 * EventTime::SECOND;
    let first = times[0] / minute * minute;
    let middle = times[times.len() / 2] / minute * minute;
    let last = times[times.len() - 1] / minute * minute + minute;
    for (since, until) in [(first, last), (first, middle), (middle, last), (first + 7, middle)] {
        for step in [60, 600, 3600] {
            let mut span = everything.clone();
            span.filter.since = Some(EventTime::from_filetime(since));
            span.filter.until = Some(EventTime::from_filetime(until - 1));
            let kept = store.histogram(&span, step, &By::Level).await.unwrap();
            span.hosts = scanned.hosts.clone();
            assert_eq!(kept, store.histogram(&span, step, &By::Level).await.unwrap());
            let there = times.iter().filter(|time| (since..until).contains(*time)).count();
            assert_eq!(kept.bars.values().flatten().sum::<u64>(), there as u64);
        }
    }
    let word = |one: &Stocked| {
        let number = |field| one.event.field(field).as_u64().unwrap_or_default();
        let level = Level(u8::try_from(number(quarry_event::Field::Level)).unwrap_or(0));
        LevelName::of(level, Keywords(number(quarry_event::Field::Keywords))).word()
    };
    let errors = stock.iter().filter(|one| word(one) == "error").count() as u64;
    let top = store.top(&everything, &By::Level, 100).await.unwrap();
    assert!(top.values.contains(&("error".to_owned(), errors)), "{top:?}");
    // Who hasn't written the files makes their counts from them, and keeps those.
    drop(store);
    let counts = folder.path().join("_quarry/counts");
    assert!(!counts.exists());
    let store = Store::open(folder.path().to_str().unwrap(), Options::default()).await.unwrap();
    assert_eq!(store.top(&everything, &By::Level, 100).await.unwrap(), top);
    // Whatever happens to what is kept, it is made again.
    drop(store);
    let kept: Vec<_> = std::fs::read_dir(&counts).unwrap().flatten().collect();
    let files = std::fs::read_dir(folder.path()).unwrap().flatten();
    let is_data = |entry: &std::fs::DirEntry| entry.path().extension() == Some("parquet".as_ref());
    assert_eq!(kept.len(), files.filter(is_data).count());
    assert!(kept.len() >= 2);
    std::fs::write(kept[0].path(), b"{\"version\":2").unwrap();
    std::fs::remove_file(kept[1].path()).unwrap();
    let store = Store::open(folder.path().to_str().unwrap(), Options::default()).await.unwrap();
    assert_eq!(store.top(&everything, &By::Level, 100).await.unwrap(), top);
    // Maintenance makes what is missing of files that stay, before anybody asks.
    let gone = kept[1].path();
    drop(store);
    std::fs::remove_file(&gone).unwrap();
    let store = Store::open(folder.path().to_str().unwrap(), Options::default()).await.unwrap();
    let policy = quarry_store::Policy::default();
    store.maintain(&policy).await.unwrap();
    assert!(!gone.exists(), "small files are to be put together");
    store.maintain(&quarry_store::Policy { small_bytes: 1, ..policy }).await.unwrap();
    assert!(gone.is_file());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_follow_the_table_through_commits_compaction_and_retention() {
    use crate::support::{at, store as add};
    let folder = tempfile::tempdir().unwrap();
    let store = crate::support::open(folder.path(), Options::default()).await;
    let appender = store.appender().unwrap();
    let hosts = ["a", "b"];
    // As no condition lets it pass all, it is scanned.
    let whole = ask(Filter::default());
    let mut scanned = whole.clone();
    scanned.hosts = Some(hosts.map(str::to_owned).to_vec());
    let check = async |events: u64| {
        for by in [By::Level, By::Column(Column::Member(Member::Host))] {
            let known = store.top(&whole, &by, 10).await.unwrap();
            assert_eq!(known, store.top(&scanned, &by, 10).await.unwrap());
            assert_eq!(known.values.iter().map(|(_, n)| n).sum::<u64>(), events);
        }
        let minutes = |n: u64| Some(EventTime::from_filetime(at(n * 60).as_filetime() - 1));
        for (step, until) in [(3600, None), (60, minutes(1)), (60, minutes(9))] {
            let mut span = whole.clone();
            span.filter.until = until;
            span.filter.since = until.map(|_| at(0));
            let known = store.histogram(&span, step, &By::Level).await.unwrap();
            span.hosts = scanned.hosts.clone();
            assert_eq!(known, store.histogram(&span, step, &By::Level).await.unwrap());
        }
    };
    let policy =
        Policy { small_files: 100, small_bytes: 64 << 10, memory: 8 << 10, ..Policy::default() };
    let mut next = 1;
    for round in 0..3 {
        for source in hosts.map(|host| format!("even6://{host}")) {
            store.take(&source).await.unwrap();
            for from in (next..next + 40).step_by(4) {
                add(&appender, &store, &source, from..from + 4).await.unwrap();
            }
        }
        next += 40;
        store.refresh().await.unwrap();
        if round != 1 {
            check((next - 1) * 2).await;
        }
        // What was counted goes, with and without having been asked for meanwhile.
        let report = store.maintain(&policy).await.unwrap();
        assert!(report.slices > 0, "{round}: {report:?}");
        check((next - 1) * 2).await;
    }
    // The slices have their counts beside them, and nothing else has.
    let names = |folder: &std::path::Path| -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    };
    let counted = names(&folder.path().join("_quarry/counts"));
    assert!(counted.len() > 3 && counted.iter().all(|name| name.starts_with("slice-")));
    // Half of the time goes.
    let age = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let first = at(60).as_filetime() / EventTime::SECOND - 11_644_473_600;
    let keep = age - std::time::Duration::from_secs(first);
    let report = store.maintain(&Policy { keep: Some(keep), ..policy }).await.unwrap();
    assert!(report.expired_files > 0, "{report:?}");
    let left = store.count(&scanned).await.unwrap();
    assert!(left > 0 && left < (next - 1) * 2);
    check(left).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_what_only_a_name_has_in_whatever_case() {
    use quarry_event::filter::Pattern;
    let folder = tempfile::tempdir().unwrap();
    let named = |name: &str, more: &str| {
        quarry_event::testing::event(&format!(
            "<Event><System><EventID>1</EventID></System><EventData><Data Name='{name}'>x</Data>\
             </EventData>{more}</Event>"
        ))
    };
    let deep = format!("<UserData>{}<deepest/>{}</UserData>", "<a>".repeat(40), "</a>".repeat(40));
    let events = [
        // A long s, which expressions take for an s.
        named("\u{17f}tatus", ""),
        named("#first", ""),
        named("a", "<UserData><b>  </b></UserData>"),
        named("b", &deep),
    ];
    let stock: Vec<Stocked> = events
        .into_iter()
        .enumerate()
        .map(|(n, event)| Stocked {
            event,
            source: "even6://host0".into(),
            host: "host0".into(),
            log: "System",
            record: n as u64 + 1,
        })
        .collect();
    let store = filled(folder.path(), &stock).await;
    for text in ["status", "first", "  ", "b", "deepest", "x"] {
        let filter = Filter { grep: vec![Pattern::parse(text).unwrap()], ..Filter::default() };
        let wanted = expected(&stock, &filter);
        let page = store.newest(&ask(filter), 1000, None).await.unwrap();
        let found: Vec<Place> = page.events.iter().map(Place::of).collect();
        assert_eq!(found, wanted, "{text:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_is_looked_for_where_it_can_be() {
    const SOURCE: &str = "even6://a";
    const ROWS: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().to_str().unwrap(), Options::default()).await.unwrap();
    let appender = store.appender().unwrap();
    store.take(SOURCE).await.unwrap();
    let mut rows = store.rows().unwrap();
    for record in 1..=ROWS {
        let user = if record == 12_345 { "Zebrafish" } else { "alice" };
        let event = crate::support::logon(record, crate::support::at(record), "a", user);
        let meta = crate::support::meta(SOURCE, "Security", record, crate::support::at(record));
        rows.event(&event, &meta).unwrap();
    }
    let to = crate::support::to(SOURCE, "Security", ROWS);
    appender.push(&rows, &[to]).unwrap();
    appender.flush().await.unwrap();
    // One more is in memory.
    let mut rows = store.rows().unwrap();
    let event = crate::support::logon(ROWS + 1, crate::support::at(ROWS + 1), "a", "zebrafish");
    let received = crate::support::at(ROWS + 1);
    let meta = crate::support::meta(SOURCE, "Security", ROWS + 1, received);
    rows.event(&event, &meta).unwrap();
    let to = crate::support::to(SOURCE, "Security", ROWS + 1);
    appender.push(&rows, &[to]).unwrap();
    appender.sync().unwrap();
    let policy = quarry_store::Policy { small_bytes: 0, ..Default::default() };
    store.maintain(&policy).await.unwrap();
    let grams = std::fs::read_dir(folder.path().join("_quarry/grams")).unwrap().flatten();
    let [grams] = &*grams.map(|entry| entry.path()).collect::<Vec<_>>() else { panic!("one file") };
    let ask = |words: &[&str], not: &[&str]| {
        let of = |words: &[&str]| Filter {
            grep: words.iter().map(|word| Pattern::parse(word).unwrap()).collect(),
            ..Filter::default()
        };
        let not = not.iter().map(|word| of(&[word])).collect();
        ask(Filter { not, ..of(words) })
    };
    for (words, not, expected) in [
        (&["zebrafish"][..], &[][..], 2),
        (&["Zebrafish"], &[], 1),
        (&["zebra.*h"], &[], 2),
        (&["zebrafish", "10.0.0.95"], &[], 1),
        (&["zebrafish", "alice"], &[], 0),
        (&["alice"], &["zebrafish"], ROWS - 1),
        // Case counts, as there are uppercase letters.
        (&["TargetUserName=zebra"], &[], 1),
    ] {
        let ask = ask(words, not);
        assert_eq!(store.count(&ask).await.unwrap(), expected, "{words:?} without {not:?}");
        let page = store.newest(&ask, 10, None).await.unwrap();
        assert_eq!(page.events.len() as u64, expected.min(10), "{words:?} without {not:?}");
    }
    // Where it says that no row has a word, none is read; without it, all are.
    let whole = std::fs::read(grams).unwrap();
    let word = ask(&["zebrafish"], &[]);
    std::fs::write(grams, [&whole[..16], &vec![0; whole.len() - 16]].concat()).unwrap();
    assert_eq!(store.count(&word).await.unwrap(), 1, "the row in memory");
    for damaged in [&whole[..whole.len() - 1], b"", b"QUARRYG1"] {
        std::fs::write(grams, damaged).unwrap();
        assert_eq!(store.count(&word).await.unwrap(), 2);
    }
    std::fs::remove_file(grams).unwrap();
    assert_eq!(store.count(&word).await.unwrap(), 2);
}
