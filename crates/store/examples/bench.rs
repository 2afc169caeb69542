//! Makes a table of events as a fleet has them, and says how long questions about it take.
//!
//! ```text
//! bench make FOLDER ROWS     # a table of a hundred hosts over thirty days
//! bench ask FOLDER ROUNDS    # {"work": …, "seconds": …, "answer": …} a line, the best of the rounds
//! ```
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use quarry_event::filter::{Filter, Levels, Pattern};
use quarry_event::output::{Column, Member};
use quarry_event::{
    DataName, EventTime, Field, FieldSource, Guid, Keywords, Origin, Sink, Texts, Value,
};
use quarry_store::{Access, Ask, By, EventMeta, Move, Options, Policy, Store};

type Failed = Box<dyn Error>;

/// The beginning of the events, in the FILETIME of 2026-10-01, and how long they go on.
const BEGIN: u64 = 134_352_864_000_000_000;
const DAYS: u64 = 30;
const HOSTS: u64 = 100;
/// Rows that are pushed at once, and those of a commit.
const PUSHED: u64 = 50_000;
const COMMITTED: u64 = 500_000;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", folder, rows] => make(folder, rows.parse()?).await,
        ["ask", folder, rounds] => ask(folder, rounds.parse()?).await,
        _ => Err("bench make FOLDER ROWS, or bench ask FOLDER ROUNDS".into()),
    }
}

/// An event as Windows' auditing makes most of them.
struct Made {
    number: u64,
    time: EventTime,
    host: String,
    user: String,
    address: String,
    process: &'static str,
}

impl Made {
    fn new(number: u64, rows: u64) -> Self {
        let span = DAYS * 24 * 3600 * EventTime::SECOND;
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let time = BEGIN + (u128::from(span) * u128::from(number) / u128::from(rows)) as u64;
        Made {
            number,
            time: EventTime::from_filetime(time + mixed % 10),
            host: format!("host{:02}.corp.example", mixed % HOSTS),
            user: format!("user{}", mixed / 100 % 5000),
            address: format!("10.{}.{}.{}", mixed % 7, mixed / 7 % 250, mixed / 1750 % 250),
            // A word that few events have.
            process: match number % 100_000 {
                77 => r"C:\Users\Public\zebrafish.exe",
                n if n % 3 == 0 => r"C:\Windows\System32\svchost.exe",
                n if n % 3 == 1 => r"C:\Windows\System32\lsass.exe",
                _ => "-",
            },
        }
    }

    fn id(&self) -> u64 {
        match self.number % 20 {
            0 => 4688,
            1..5 => 4634,
            5 => 4672,
            _ if self.is_error() => 4625,
            _ => 4624,
        }
    }

    fn is_error(&self) -> bool {
        self.number % 200 == 19
    }

    fn data(&self) -> [(&'static str, Value<'_>); 8] {
        [
            ("SubjectUserSid", Value::Str("S-1-5-18")),
            ("SubjectUserName", Value::Str("SYSTEM")),
            ("TargetUserName", Value::Str(&self.user)),
            ("TargetDomainName", Value::Str("CORP")),
            ("LogonType", Value::UInt(3 + self.number % 3)),
            ("IpAddress", Value::Str(&self.address)),
            ("ProcessName", Value::Str(self.process)),
            ("TargetLogonId", Value::Hex(self.number.wrapping_mul(77) & 0xff_ffff)),
        ]
    }
}

const PROVIDER: &str = "Microsoft-Windows-Security-Auditing";

impl FieldSource for Made {
    fn field(&self, field: Field) -> Value<'_> {
        match field {
            Field::ProviderName => Value::Str(PROVIDER),
            Field::ProviderGuid => Guid::parse("{54849625-5478-4994-a5ba-3e3b0328c30d}")
                .map_or(Value::Null, Value::Guid),
            Field::EventId => Value::UInt(self.id()),
            Field::Version => Value::UInt(2),
            Field::Level => Value::UInt(if self.is_error() { 2 } else { 0 }),
            Field::Task => Value::UInt(12544),
            Field::Opcode => Value::UInt(0),
            Field::Keywords => Value::Hex(1 << 63 | Keywords::AUDIT_SUCCESS.0),
            Field::TimeCreated => Value::Time(self.time),
            Field::RecordId => Value::UInt(self.number + 1),
            Field::ProcessId => Value::UInt(712),
            Field::ThreadId => Value::UInt(self.number % 40),
            Field::Channel => Value::Str("Security"),
            Field::Computer => Value::Str(&self.host),
            _ => Value::Null,
        }
    }

    fn each_data<'a, F>(&'a self, mut visit: F) -> ControlFlow<()>
    where
        F: FnMut(Option<DataName<'a>>, Value<'a>) -> ControlFlow<()>,
    {
        self.data()
            .into_iter()
            .try_for_each(|(name, value)| visit(Some(DataName::new(name)), value))
    }

    fn has_distinct_names(&self) -> bool {
        true
    }

    fn walk<'a, S: Sink<'a>>(&'a self, sink: &mut S) {
        sink.open("Event");
        sink.attribute("xmlns", &[Value::Str(quarry_event::Event::NAMESPACE)]);
        sink.open("System");
        for name in [
            "Provider",
            "EventID",
            "Version",
            "Level",
            "Task",
            "Opcode",
            "Keywords",
            "TimeCreated",
            "EventRecordID",
            "Correlation",
            "Execution",
            "Channel",
            "Computer",
            "Security",
        ] {
            sink.open(name);
            let mut is_empty = true;
            for field in Field::all().filter(|field| field.element() == name) {
                let value = self.field(field);
                match field.attribute() {
                    _ if value.is_null() => {}
                    Some(attribute) => sink.attribute(attribute, &[value]),
                    None => {
                        sink.text(value);
                        is_empty = false;
                    }
                }
            }
            sink.close(name, is_empty);
        }
        sink.close("System", false);
        sink.open("EventData");
        for (name, value) in self.data() {
            sink.open("Data");
            sink.attribute("Name", &[Value::Str(name)]);
            sink.text(value);
            sink.close("Data", false);
        }
        sink.close("EventData", false);
        sink.close("Event", false);
    }

    fn has_more(&self) -> bool {
        false
    }
}

async fn make(folder: &str, rows: u64) -> Result<(), Failed> {
    let store = Store::open(folder, Options::default().memory(1 << 30)).await?;
    let appender = store.appender()?;
    let source = |host: &str| format!("even6://{host}");
    for n in 0..HOSTS {
        store.take(&source(&format!("host{n:02}.corp.example"))).await?;
    }
    let begun = Instant::now();
    let mut batch = store.rows()?;
    let mut last: std::collections::BTreeMap<String, (u64, Option<EventTime>)> = Default::default();
    for number in 0..rows {
        let event = Made::new(number, rows);
        let name = source(&event.host);
        let origin = Origin {
            source: &name,
            host: Some(&event.host),
            log: "Security",
            log_record: Some(number + 1),
            recovered: false,
        };
        let meta = EventMeta { origin, received: event.time, texts: Texts::default() };
        batch.event(&event, &meta)?;
        last.insert(name, (number + 1, Some(event.time)));
        let is_last = number + 1 == rows;
        if (number + 1) % PUSHED == 0 || is_last {
            let moves: Vec<Move> = std::mem::take(&mut last)
                .into_iter()
                .map(|(source, to)| Move {
                    source,
                    log: "Security".into(),
                    to,
                    new_generation: false,
                })
                .collect();
            appender.push(batch.finish()?, &moves)?;
        }
        if (number + 1) % COMMITTED == 0 || is_last {
            appender.flush().await?;
            store.refresh().await?;
        }
    }
    let made = begun.elapsed().as_secs_f64();
    store.maintain(&Policy::default()).await?;
    println!("{rows} rows in {made:.1} s");
    Ok(())
}

async fn ask(folder: &str, rounds: usize) -> Result<(), Failed> {
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
        println!("{{\"work\":\"{name}\",\"seconds\":{best},\"answer\":{answer}}}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
