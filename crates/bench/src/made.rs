//! Events as a fleet has them.

use std::ops::ControlFlow;

use quarry_event::{DataName, EventTime, Field, FieldSource, Guid, Keywords, Sink, Value};

/// The beginning of the events, in the FILETIME of 2026-10-01, and how long they go on.
pub(crate) const BEGIN: u64 = 134_352_864_000_000_000;
const DAYS: u64 = 30;
/// How many hosts they are of.
pub(crate) const HOSTS: u64 = 100;

/// An event as Windows' auditing makes most of them.
pub(crate) struct Made {
    pub(crate) number: u64,
    pub(crate) time: EventTime,
    pub(crate) host: String,
    user: String,
    address: String,
    process: &'static str,
}

impl Made {
    pub(crate) fn new(number: u64, rows: u64) -> Self {
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
