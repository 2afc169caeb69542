//! What is known of an event by its head is what its record says, and so does the decoded event:
//! each field, the data of each name, and what a filter makes of them.
#![allow(clippy::print_stdout)] // The counts are what the test is for.

#[path = "../../binxml/tests/generate/mod.rs"]
mod generate;

use std::collections::{BTreeSet, HashMap};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use generate::{Flavour, fragment};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use quarry_binxml::Decoder;
use quarry_binxml::write::{
    Content, Element, Fragment, Instance, Piece, Template, Templated, TypedValue, ValueType,
    templated, wire,
};
use quarry_event::filter::{DataTest, Filter, Ids, Matcher, Pattern, Verdict};
use quarry_event::output::{Column, CsvCells, CsvOptions, Member, Printer, Scratch};
use quarry_event::testing::{events, filters, now};
use quarry_event::{
    Event, EventTime, Field, FieldSource, Guid, Origin, PartialSource, RecordId, Texts,
};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, LogName, Visitor};
use quarry_logfile::EvtxWriter;

/// Names of data that a test asks for; a name that none has is one of them.
const MAX_NAMES: usize = 64;

/// What is known of an event.
#[derive(PartialEq, Debug)]
struct Known {
    /// Whether each field is NULL, and its text.
    fields: Vec<(bool, String)>,
    /// The values of each name, where they are known, and of all.
    data: Vec<Option<Vec<String>>>,
}

fn known<S: PartialSource>(source: &S, names: &BTreeSet<String>) -> Known {
    let field = |field| {
        let value = source.known_field(field);
        (value.is_null(), value.to_string())
    };
    let data = |name: Option<&str>| {
        let mut values = Vec::new();
        let flow = source.known_data(name, |value| {
            assert!(!value.is_null());
            values.push(value.to_string());
            ControlFlow::Continue(())
        });
        flow.map(|_| values)
    };
    Known {
        fields: Field::all().map(field).collect(),
        data: names.iter().map(|name| data(Some(name))).chain([data(None)]).collect(),
    }
}

/// Printers of columns that a head can be enough for, in each format that can print from one.
fn printers() -> Vec<Printer> {
    let columns = |names: &str| names.split(',').map(|name| Column::parse(name).unwrap()).collect();
    let lists: [Vec<Column>; 3] = [
        columns(
            "time,computer,event_id,provider,data.SubjectUserName,data.Data,data.A,data.NoSuchName",
        ),
        columns(
            "data.TargetUserName,keywords,level_name,user_sid,record_id,source,host,log,log_record,rules",
        ),
        Member::all().filter(|member| !WHOLE.contains(member)).map(Column::Member).collect(),
    ];
    let csv = |columns: &Vec<Column>, cells| {
        Printer::csv(CsvOptions { columns: Some(columns.clone()), cells, ..CsvOptions::default() })
    };
    lists
        .iter()
        .flat_map(|list| {
            [
                Printer::jsonl(Some(list.clone())),
                csv(list, CsvCells::Spreadsheet),
                csv(list, CsvCells::Exact),
            ]
        })
        .collect()
}

/// Members that take the whole event.
const WHOLE: [Member; 6] = [
    Member::Data,
    Member::UserData,
    Member::Message,
    Member::MessageSource,
    Member::Names,
    Member::Other,
];

const ORIGIN: Origin<'_> =
    Origin { source: "a", host: None, log: "l", log_record: Some(RecordId(3)), recovered: false };

/// Sees that head, record and decoded event of all events agree.
#[derive(Default)]
struct Checker {
    printers: Vec<Printer>,
    scratch: Scratch,
    /// What each printer made of a head that knows enough, where it is whole.
    printed: Option<Vec<Option<Vec<u8>>>>,
    /// Heads that are whole.
    whole: u64,
    /// Of each kind of events what the fields say that are the same for all of them.
    fixed: HashMap<u64, Vec<Option<String>>>,
    names: BTreeSet<String>,
    matchers: Vec<Matcher>,
    /// What the head of the event that comes next says, which filters rule it out, and which it is
    /// known to lack a word of.
    head: Option<(Known, Vec<bool>, Vec<bool>)>,
    heads: u64,
    /// Heads that know all data.
    with_data: u64,
    events: u64,
    matched: u64,
    ruled_out: u64,
    rejected: u64,
    lacking: u64,
}

impl Checker {
    fn head<S: PartialSource>(&mut self, head: &S) {
        let out = self.matchers.iter_mut().map(|matcher| matcher.rules_out(head)).collect();
        let lacks = self.matchers.iter().map(|matcher| matcher.lacks_a_word(head)).collect();
        assert!(self.head.replace((known(head, &self.names), out, lacks)).is_none());
        if let Some(kind) = head.kind() {
            let text =
                |field| head.is_fixed(field).then(|| format!("{:?}", head.known_field(field)));
            let fixed: Vec<_> = Field::all().map(text).collect();
            assert_eq!(self.fixed.entry(kind).or_insert_with(|| fixed.clone()), &fixed);
        }
        self.printed = head.is_whole().then(|| {
            let print = |printer: &Printer| {
                assert!(printer.is_known_early());
                let mut out = b"before".to_vec();
                let texts = Texts::default();
                let is_known = printer.known(head, &ORIGIN, texts, &mut self.scratch, &mut out);
                assert!(is_known || out == b"before");
                is_known.then_some(out)
            };
            self.printers.iter().map(print).collect()
        });
    }

    fn record<S: FieldSource>(&mut self, record: &S) {
        self.events += 1;
        let head = self.head.take();
        let decoded = Event::from_source(record);
        let whole = known(record, &self.names);
        assert_eq!(whole, known(&decoded, &self.names));
        if let Some(printed) = self.printed.take() {
            self.whole += 1;
            assert!(!record.has_more());
            for (printer, printed) in self.printers.iter().zip(&printed) {
                let mut out = b"before".to_vec();
                printer.event(record, &ORIGIN, Texts::default(), &mut self.scratch, &mut out);
                assert_eq!(printed.as_ref(), Some(&out));
            }
        }
        if let Some((head, ..)) = &head {
            self.heads += 1;
            assert_eq!(head.fields, whole.fields);
            for (i, (head, whole)) in head.data.iter().zip(&whole.data).enumerate() {
                assert!(
                    head.is_none() || head == whole,
                    "{:?} of {:?}",
                    self.names.iter().nth(i),
                    head
                );
            }
            self.with_data += u64::from(head.data.last().is_some_and(Option::is_some));
        }
        for (i, matcher) in self.matchers.iter_mut().enumerate() {
            let matches = matcher.matches(record, None);
            assert_eq!(matches, matcher.matches(&decoded, None));
            let ruled_out = matcher.rules_out(record);
            assert!(!(ruled_out && matches));
            if let Some((_, out, lacks)) = &head {
                assert!(!(out[i] && matches), "the head rules out what matches");
                self.ruled_out += u64::from(out[i]);
                if lacks[i] && !out[i] {
                    assert_eq!(matcher.verdict(record), Verdict::IfMessageMatches);
                    assert!(!matches, "what is in the event lacks");
                    self.lacking += 1;
                }
            }
            self.matched += u64::from(matches);
            self.rejected += u64::from(!matches);
        }
    }
}

impl Visitor for Checker {
    fn wants<S: PartialSource>(&mut self, head: &S) -> bool {
        self.head(head);
        true
    }

    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, _log_record: Option<RecordId>) {
        self.record(event);
    }

    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<RecordId>) {
        panic!("nobody asked for slack");
    }

    fn damage(&mut self, _damage: &Damage) {
        self.head = None;
        assert_eq!(self.printed, None, "an event that can't be read whole has a head that says so");
    }
}

/// Collects the names of data, and makes filters of some events that these pass.
struct Survey {
    names: BTreeSet<String>,
    filters: Vec<Filter>,
    events: usize,
}

impl Visitor for Survey {
    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, _log_record: Option<RecordId>) {
        let mut data = Vec::new();
        let _ = event.each_data(|name, value| {
            data.extend(name.map(|name| (name.as_str().to_owned(), value.to_string())));
            ControlFlow::Continue(())
        });
        let room = MAX_NAMES - self.names.len();
        self.names.extend(data.iter().map(|(name, _)| name.clone()).take(room));
        self.events += 1;
        if self.events % 61 == 1 && self.filters.len() < 20 {
            let id = event.field(Field::EventId).to_string();
            self.filters.push(Filter { ids: Ids::parse(&id).ok(), ..Filter::default() });
            let last = data.last().map(|(name, value)| format!("{name}={value}"));
            let test = last.and_then(|test| DataTest::parse(&test).ok());
            self.filters.push(Filter { data: test.into_iter().collect(), ..Filter::default() });
            // The longest word of a value, in lowercase too.
            let words =
                data.iter().flat_map(|(_, value)| value.split(|c: char| !c.is_alphabetic()));
            let word = words.max_by_key(|word| word.len()).unwrap_or("none");
            for word in [word.to_owned(), word.to_lowercase(), format!("{word}.*x")] {
                let grep = Pattern::parse(&word).into_iter().collect();
                self.filters.push(Filter { grep, ..Filter::default() });
            }
        }
    }

    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<RecordId>) {
        panic!("nobody asked for slack");
    }

    fn damage(&mut self, _damage: &Damage) {}
}

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let mut files = Vec::new();
    for folder in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let entries = std::fs::read_dir(folder.path()).into_iter().flatten().flatten();
        files.extend(
            entries.map(|entry| entry.path()).filter(|p| p.extension() == Some("evtx".as_ref())),
        );
    }
    files.sort();
    if files.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "CI has the sample logs");
        println!("the sample logs are not here; only events made by the tests are read");
    }
    files
}

#[test]
fn every_record_of_the_samples_has_a_head_that_says_the_same() {
    let mut runner = TestRunner::deterministic();
    let (mut events, mut heads, mut with_data, mut whole) = (0, 0, 0, 0);
    let (mut matched, mut ruled_out, mut rejected, mut lacking) = (0, 0, 0, 0);
    let files = corpus();
    for path in &files {
        let Ok(log) = FileLog::open(path) else { continue };
        let mut reader = BatchReader::default();
        let mut survey = Survey {
            names: BTreeSet::from(["NoSuchName".to_owned()]),
            filters: Vec::new(),
            events: 0,
        };
        log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut survey));
        let generated = (0..6).map(|_| filters().new_tree(&mut runner).unwrap().current());
        let filters: Vec<Filter> = survey.filters.into_iter().chain(generated).collect();
        let mut checker = Checker {
            names: survey.names,
            matchers: filters.iter().map(|filter| filter.matcher(now())).collect(),
            printers: printers(),
            ..Checker::default()
        };
        // A reader that knows no template yet.
        let mut reader = BatchReader::default();
        log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut checker));
        events += checker.events;
        heads += checker.heads;
        with_data += checker.with_data;
        whole += checker.whole;
        matched += checker.matched;
        ruled_out += checker.ruled_out;
        rejected += checker.rejected;
        lacking += checker.lacking;
    }
    println!(
        "{events} events, {heads} heads, {with_data} that know all data, {whole} that are whole; {matched} matches, \
         {ruled_out} of {rejected} others ruled out, {lacking} more lack a word"
    );
    assert!(files.is_empty() || events > 15_000);
    // Else nothing is saved.
    assert!(heads * 100 >= events * 99);
    // Not user data.
    assert!(with_data * 10 >= events * 7);
    assert!(whole * 10 >= events * 7);
    assert!(files.is_empty() || matched > events);
    assert!(files.is_empty() || lacking > events);
    // An event may have the bytes of a word somewhere else than in its values.
    assert!((ruled_out + lacking) * 10 >= rejected * 7);
}

/// The event with its `<EventData>` and `<UserData>` in templates of their own, as Windows has it.
fn nested(event: &Event) -> Fragment<'static> {
    let is_inner = |node: &quarry_event::Node| matches!(node, quarry_event::Node::Element(e) if e.name == "EventData" || e.name == "UserData");
    let mut outer = event.clone();
    outer.root.children.retain(|node| !is_inner(node));
    let Templated { template, mut values } = templated(&outer).unwrap();
    let mut root = template.root().clone();
    for (at, node) in event.root.children.iter().enumerate() {
        if let quarry_event::Node::Element(element) = node
            && is_inner(node)
        {
            let id = values.len() as u16;
            let inner = templated(&Event { root: element.clone() }).unwrap();
            values.push(TypedValue::BinXml(Box::new(Fragment::from(inner))));
            let piece = Piece::Substitution { id, expected: ValueType::BinXml, optional: true };
            root.content.insert(at.min(root.content.len()), Content::Piece(piece));
        }
    }
    let template = Template::new(template.guid(), root).unwrap();
    Fragment::Instance(Instance { template, values })
}

fn check(fragments: &[Fragment<'_>], filters: &[Filter]) -> Checker {
    let mut checker = Checker {
        names: ["A", "Data", "EventID", "Name", "param1", "TargetUserName"]
            .map(str::to_owned)
            .into(),
        matchers: filters.iter().map(|filter| filter.matcher(now())).collect(),
        printers: printers(),
        ..Checker::default()
    };
    // The second time, templates are known.
    let mut writer = EvtxWriter::new(Cursor::new(Vec::new())).unwrap();
    for fragment in fragments.iter().chain(fragments) {
        writer.write(fragment, EventTime::from_filetime(1)).unwrap();
    }
    let file = Cursor::new(writer.finish().unwrap().into_inner());
    let log = FileLog::new("test".to_owned(), LogName("test".to_owned()), file).unwrap();
    let mut reader = BatchReader::default();
    log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut checker));
    let mut decoder = Decoder::new();
    for fragment in fragments.iter().chain(fragments) {
        let mut bytes = Vec::new();
        wire(fragment, &mut bytes).unwrap();
        let record = decoder.event_if(&bytes, |head| {
            checker.head(head);
            true
        });
        checker.record(&record.unwrap().unwrap());
    }
    assert_eq!(checker.events, 4 * fragments.len() as u64);
    checker
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_event_that_can_be_written_is_what_its_head_says(
        fragments in prop::collection::vec(fragment(Flavour::Any), 1..3),
        filters in prop::collection::vec(filters(), 1..3),
    ) {
        check(&fragments, &filters);
    }

    #[test]
    fn an_event_with_its_data_in_a_template_inside_is_what_its_head_says(
        events in prop::collection::vec(events(), 1..4),
        filters in prop::collection::vec(filters(), 1..6),
    ) {
        let fragments: Vec<_> = events.iter().map(nested).collect();
        check(&fragments, &filters);
    }
}

#[test]
fn generated_events_do_have_heads() {
    let mut runner = TestRunner::deterministic();
    let mut fragments = Vec::new();
    for _ in 0..200 {
        fragments.push(nested(&events().new_tree(&mut runner).unwrap().current()));
        fragments.push(fragment(Flavour::Any).new_tree(&mut runner).unwrap().current());
    }
    let filters: Vec<Filter> =
        (0..20).map(|_| filters().new_tree(&mut runner).unwrap().current()).collect();
    let checker = check(&fragments, &filters);
    println!("{} of {} have heads, {} with data", checker.heads, checker.events, checker.with_data);
    assert!(checker.heads * 3 > checker.events);
    // Of those that may have user data, the head knows none.
    assert!(checker.with_data * 12 > checker.events);
    assert!(checker.matched > 100 && checker.ruled_out > 100);
}

/// Visits events by their id.
struct OfId {
    id: u64,
    visited: Vec<u64>,
    asked: u64,
}

impl Visitor for OfId {
    fn wants<S: PartialSource>(&mut self, head: &S) -> bool {
        self.asked += 1;
        head.known_field(Field::EventId).as_u64() == Some(self.id)
    }

    fn event<S: FieldSource>(&mut self, event: &S, _log: &str, _log_record: Option<RecordId>) {
        self.visited.extend(event.field(Field::EventId).as_u64());
    }

    fn recovered<S: FieldSource>(&mut self, _event: &S, _log: &str, _log_record: Option<RecordId>) {
        panic!("nobody asked for slack");
    }

    fn damage(&mut self, damage: &Damage) {
        panic!("{damage}");
    }
}

#[test]
fn an_event_that_is_not_wanted_is_not_visited() {
    let mut writer = EvtxWriter::new(Cursor::new(Vec::new())).unwrap();
    for id in [1, 2, 3, 2, 1] {
        let event = quarry_event::testing::event(&format!(
            "<Event><System><EventID>{id}</EventID></System><EventData><Data>x</Data></EventData></Event>"
        ));
        writer.write(&nested(&event), EventTime::from_filetime(1)).unwrap();
    }
    let file = Cursor::new(writer.finish().unwrap().into_inner());
    let log = FileLog::new("test".to_owned(), LogName("test".to_owned()), file).unwrap();
    let mut visitor = OfId { id: 2, visited: Vec::new(), asked: 0 };
    let mut reader = BatchReader::default();
    log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut visitor));
    assert_eq!((visitor.asked, visitor.visited), (5, vec![2, 2]));
}

/// An event of a template with these in `<Event>`, and values.
fn instance(content: Vec<Content>, values: Vec<TypedValue<'static>>) -> Fragment<'static> {
    let root = Element { name: "Event".to_owned(), content, ..Element::default() };
    let template = Template::new(Guid::from_bytes([9; 16]), root).unwrap();
    Fragment::Instance(Instance { template, values })
}

fn binxml(element: Element) -> TypedValue<'static> {
    TypedValue::BinXml(Box::new(Fragment::Element(element)))
}

/// An element of `<System>` with a text.
fn field(name: &str, text: &str) -> Element {
    Element::new(name).piece(Piece::Text(text.to_owned()))
}

#[test]
fn an_event_whose_fields_could_come_from_inside_or_of_too_many_values_has_no_head() {
    let slot = |id| Content::Piece(Piece::value(id, ValueType::BinXml));
    let system = |id: &str| Element::new("System").child(field("EventID", id));
    let in_place = |element| Content::Element(element);
    let before = instance(vec![slot(0), in_place(system("1"))], vec![binxml(system("7"))]);
    let dropped = instance(
        vec![in_place(Element { depends_on: Some(0), ..system("1") }), slot(1)],
        vec![TypedValue::Null, binxml(system("7"))],
    );
    let mut with_slot = system("7");
    with_slot.content.push(slot(0));
    let in_system = instance(vec![in_place(with_slot)], vec![binxml(field("Level", "3"))]);
    let in_field = instance(
        vec![in_place(
            system("7").child(Element::new("Level").piece(Piece::value(0, ValueType::BinXml))),
        )],
        vec![binxml(field("x", "3"))],
    );
    let text = instance(
        vec![in_place(system("7")), slot(0)],
        vec![binxml(Element::new("EventData").child(field("Data", "x")))],
    );
    let many = instance(vec![in_place(system("7"))], vec![TypedValue::Null; 300]);
    for (fragment, has_head) in [
        (before, false),
        (dropped, false),
        (in_system, false),
        (in_field, false),
        (many, false),
        (text, true),
    ] {
        let checker = check(std::slice::from_ref(&fragment), &[]);
        assert_eq!(checker.heads, if has_head { checker.events } else { 0 }, "{fragment:?}");
        let mut bytes = Vec::new();
        wire(&fragment, &mut bytes).unwrap();
        let mut decoder = Decoder::new();
        let record = decoder.event_if(&bytes, |_| !has_head);
        let id = record.unwrap().map(|record| record.field(Field::EventId).to_string());
        assert_eq!(id.as_deref(), (!has_head).then_some("7"));
    }
}

#[test]
fn a_head_does_not_take_the_first_of_two_templates_in_a_value_for_all() {
    let data = |text: &str| {
        let element = Element::new("EventData").child(field("Data", text).attribute("Name", "A"));
        let template = Template::new(Guid::from_bytes([8; 16]), element).unwrap();
        let mut bytes = Vec::new();
        let inner = Fragment::Instance(Instance { template, values: Vec::new() });
        wire(&inner, &mut bytes).unwrap();
        bytes.pop(); // Where the fragment ends, another one follows.
        bytes
    };
    let both = [data("x"), data("y"), vec![0]].concat();
    let len = both.len() as u16;
    let system = Element::new("System").child(field("EventID", "7"));
    let content =
        vec![Content::Element(system), Content::Piece(Piece::value(0, ValueType::BinXml))];
    let mut bytes = Vec::new();
    wire(&instance(content, vec![TypedValue::Binary(both.into())]), &mut bytes).unwrap();
    let [low, high] = len.to_le_bytes();
    let binary = [low, high, ValueType::Binary as u8, 0];
    let at = bytes.windows(4).position(|window| window == binary).unwrap();
    bytes[at + 2] = ValueType::BinXml as u8;
    let mut checker = Checker { names: ["A".to_owned()].into(), ..Checker::default() };
    let mut decoder = Decoder::new();
    for _ in 0..2 {
        let record = decoder.event_if(&bytes, |head| {
            checker.head(head);
            true
        });
        let record = record.unwrap().unwrap();
        let mut values = Vec::new();
        let _ = record.each_data_named("A", |value| {
            values.push(value.to_string());
            ControlFlow::Continue(())
        });
        assert_eq!(values, ["x", "y"]);
        checker.record(&record);
    }
    assert_eq!((checker.heads, checker.with_data), (2, 0));
}
