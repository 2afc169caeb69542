//! What docs/detection.md decides where the specification leaves something open, and names of fields:
//! each line of its table by events for which it makes the difference.

use std::sync::Arc;

use quarry_detect::{Engine, Mapping, Rule};
use quarry_event::{Element, Event, Node};

/// Names and values of data, in their order.
type Data<'t> = &'t [(&'t str, &'t str)];

fn leaf(name: &str, text: &str) -> Element {
    let children = if text.is_empty() { Vec::new() } else { vec![Node::Text(text.into())] };
    Element { name: name.into(), children, ..Element::default() }
}

fn parent(name: &str, children: Vec<Element>) -> Element {
    let children = children.into_iter().map(Node::Element).collect();
    Element { name: name.into(), children, ..Element::default() }
}

fn system() -> Element {
    let mut provider = leaf("Provider", "");
    provider.attributes.push(("Name".into(), "Service Control Manager".into()));
    let mut execution = leaf("Execution", "");
    execution.attributes.push(("ProcessID".into(), "788".into()));
    let fields = [("EventID", "104"), ("Level", "4"), ("Channel", "Test"), ("Computer", "dc01")];
    let fields = fields.map(|(name, text)| leaf(name, text));
    parent("System", [vec![provider, execution], fields.to_vec()].concat())
}

/// An event with these values as `EventData`; those without a name have none there either.
fn event(data: Data<'_>) -> Event {
    let data = data.iter().map(|(name, value)| {
        let mut element = leaf("Data", value);
        if !name.is_empty() {
            element.attributes.push(("Name".into(), (*name).into()));
        }
        element
    });
    Event { root: parent("Event", vec![system(), parent("EventData", data.collect())]) }
}

/// The same as `UserData`.
fn user_data(data: Data<'_>) -> Event {
    let data = data.iter().map(|(name, value)| leaf(name, value)).collect();
    let data = parent("UserData", vec![parent("LogFileCleared", data)]);
    Event { root: parent("Event", vec![system(), data]) }
}

/// Whether a rule with one search, or with searches and a condition, matches an event.
fn matches(detection: &str, event: &Event) -> bool {
    let condition = if detection.contains("condition:") { "" } else { "\n  condition: s" };
    let search = if detection.contains("condition:") { "" } else { "s: " };
    let text = format!(
        "title: t\nlogsource: {{ category: test }}\ndetection:\n  {search}{detection}{condition}\n"
    );
    let test = "[category.test]\nsources = [{ channel = \"Test\" }]";
    let mapping = Mapping::builtin().overridden(Mapping::parse(test).unwrap()).unwrap();
    let rules = Rule::parse("t.yml", &text).into_iter().map(Result::unwrap).collect();
    let engine = Arc::new(Engine::new(rules, mapping));
    let fast = !engine.matcher().matches(event).is_empty();
    assert_eq!(engine.matches_plainly(0, event), fast, "{detection} {event:?}");
    fast
}

/// Holds rules to what they are to say of events.
fn decide(cases: &[(&str, Data<'_>, bool)]) {
    for (detection, data, expected) in cases {
        assert_eq!(matches(detection, &event(data)), *expected, "{detection} {data:?}");
    }
}

#[test]
fn a_field_that_is_missing_is_another_thing_than_one_that_is_empty() {
    let not = "{ f: x }\n  condition: not s";
    let not = format!("s: {not}");
    decide(&[
        (&not, &[("g", "1")], true),
        ("{ f: null }", &[("g", "1")], true),
        ("{ f|exists: false }", &[("g", "1")], true),
        ("{ f: '*' }", &[("g", "1")], false),
        ("{ f: '' }", &[("g", "1")], false),
        ("{ f: null }", &[("f", "")], true),
        ("{ f|exists: true }", &[("f", "")], true),
        ("{ f: '*' }", &[("f", "")], true),
        ("{ f: '' }", &[("f", "")], true),
        ("{ f: '?' }", &[("f", "")], false),
        // As `not` does.
        ("{ f|neq: x }", &[("g", "1")], true),
        ("{ f|neq: [x, y] }", &[("f", "y")], false),
        ("{ f|neq: [x, y] }", &[("f", "z")], true),
    ]);
}

#[test]
fn several_values_of_a_name_are_any_of_them() {
    decide(&[
        ("{ f: b }", &[("f", "a"), ("f", "b")], true),
        ("{ f|contains|all: [a, b] }", &[("f", "a"), ("f", "b")], true),
        ("{ f|contains|all: [a, b] }", &[("f", "a"), ("f", "c")], false),
    ]);
}

#[test]
fn numbers_equal_their_text_and_are_compared_in_decimal_or_hexadecimal() {
    decide(&[
        ("{ f: 4688 }", &[("f", "4688")], true),
        ("{ f: 7 }", &[("f", "007")], false),
        ("{ f|gt: 5 }", &[("f", "10")], true),
        ("{ f|gt: 5 }", &[("f", "0x10")], true),
        ("{ f|gt: 16 }", &[("f", "0x10")], false),
        ("{ f|gte: 16 }", &[("f", "0x10")], true),
        ("{ f|lt: 5 }", &[("f", "many")], false),
    ]);
}

#[test]
fn case_is_ignored_by_simple_folding_but_by_cased_and_regular_expressions() {
    decide(&[
        ("{ f: ÄÖÜ }", &[("f", "äöü")], true),
        ("{ f: k }", &[("f", "\u{212a}")], true),
        ("{ f|cased: k }", &[("f", "\u{212a}")], false),
        ("{ f|re: k }", &[("f", "K")], false),
    ]);
}

#[test]
fn dashes_before_words_stand_for_all_five_each_for_itself() {
    for dash in ['-', '/', '\u{2013}', '\u{2014}', '\u{2015}'] {
        let value = format!("x {dash}foo-bar /z");
        decide(&[("{ f|windash|contains: ' -foo-bar -z' }", &[("f", &value)], true)]);
        let inside = format!("x -foo{dash}bar -z");
        let is_dash = dash == '-';
        decide(&[("{ f|windash|contains: ' -foo-bar -z' }", &[("f", &inside)], is_dash)]);
    }
}

#[test]
fn any_of_the_five_dashes_of_a_rule_stands_for_all() {
    decide(&[
        ("{ f|windash|contains: ' \u{2013}foo' }", &[("f", "x -foo")], true),
        ("{ f|windash|contains: ' \u{2013}foo' }", &[("f", "x +foo")], false),
        // Each form of ` -a` in base64: ` -a` is IC1h, ` /a` is IC9h.
        ("{ f|windash|base64|contains: ' -a' }", &[("f", "IC1h")], true),
        ("{ f|windash|base64|contains: ' -a' }", &[("f", "IC9h")], true),
        ("{ f|windash|base64|contains: ' -a' }", &[("f", "IC5h")], false),
    ]);
}

#[test]
fn what_is_no_placeholder_is_its_text() {
    decide(&[
        (r"{ f|expand: '50% of' }", &[("f", "50% of")], true),
        (r"{ f|expand: '\%a\%' }", &[("f", "%a%")], true),
    ]);
}

#[test]
fn addresses_are_compared_and_an_ipv4_one_may_be_written_as_ipv6() {
    decide(&[
        ("{ f|cidr: 10.0.0.0/8 }", &[("f", "::ffff:10.1.2.3")], true),
        ("{ f|cidr: 10.0.0.0/8 }", &[("f", "::ffff:11.1.2.3")], false),
    ]);
}

#[test]
fn keywords_are_in_values_of_data_and_not_in_system() {
    decide(&[
        ("[mimikatz]", &[("f", "x MIMIKATZ y")], true),
        ("[dc01]", &[("f", "x")], false),
        // Not over the border of two values.
        ("['a*b']", &[("f", "a"), ("g", "b")], false),
    ]);
    assert!(matches("[mimikatz]", &user_data(&[("Channel", "mimikatz")])));
}

#[test]
fn a_reference_to_a_field_ignores_case_and_has_a_place() {
    let data: Data<'_> = &[("f", "C:\\Ab"), ("g", "aB"), ("h", "c:")];
    decide(&[
        ("{ f|fieldref: g }", data, false),
        ("{ f|fieldref|endswith: g }", data, true),
        ("{ f|fieldref|startswith: g }", data, false),
        ("{ f|fieldref|startswith: h }", data, true),
        ("{ f|fieldref|contains: g }", data, true),
        ("{ f|fieldref: nothing }", data, false),
        ("{ f|fieldref|endswith|cased: g }", data, false),
        ("{ g|fieldref|cased: i }", &[("g", "aB"), ("i", "aB")], true),
        ("{ g|fieldref|cased: i }", &[("g", "aB"), ("i", "ab")], false),
    ]);
}

#[test]
fn names_of_fields_are_without_blanks_and_case_and_may_be_those_of_system() {
    decide(&[
        ("{ ThreatName: x }", &[("Threat Name", "x")], true),
        ("{ threatname: x }", &[("Threat Name", "x")], true),
        ("{ Provider_Name: service control manager }", &[], true),
        ("{ Execution_ProcessID: 788 }", &[], true),
        ("{ Level: 4 }", &[], true),
        // The event's own is what a rule about it means.
        ("{ Level: 4 }", &[("Level", "high")], false),
        ("{ Level: high }", &[("Level", "high")], true),
        ("{ EventID: 104 }", &[("EventID", "1")], true),
        ("{ EventID: 1 }", &[("EventID", "1")], false),
        ("{ Data|contains: b }", &[("", "abc")], true),
        ("{ f: b }", &[("", "b")], false),
    ]);
    // Which log was cleared, rather than which one records it (SigmaHQ's rules 100ef69e and
    // a62b37e0 divide the events of 104 so).
    let cleared = |log: &str| user_data(&[("SubjectUserName", "ann"), ("Channel", log)]);
    for (log, is_important) in [("Security", true), ("security", true), ("Contoso/Debug", false)] {
        let rule = "{ EventID: 104, Channel: [Security, Test] }";
        assert_eq!(matches(rule, &cleared(log)), is_important, "{log}");
        let rest = "s: { EventID: 104 }\n  f_1: { Channel: [Security, Test] }\n  condition: s and \
                    not 1 of f_*";
        assert_eq!(matches(rest, &cleared(log)), !is_important, "{log}");
    }
    assert!(matches("{ Channel: test }", &event(&[])));
}

/// The specification ("Field Usage", 2) strips the blanks of a log source's names; docs/detection.md
/// has case not count either. So another spelling of a name is the same rule.
#[test]
fn a_name_in_other_case_or_with_blanks_is_the_same_wherever_it_comes_from() {
    let plan = |category: &str, search: &str| {
        let text = format!(
            "title: t\nlogsource: {{ category: {category} }}\ndetection:\n  s: {search}\n  \
             condition: s\n"
        );
        let rules = Rule::parse("t.yml", &text).into_iter().map(Result::unwrap).collect();
        let engine = Engine::new(rules, Mapping::builtin());
        let routes = engine.plan().rules()[0].routes.clone();
        routes.iter().map(|r| format!("{} {:?} {}", r.channel, r.ids, r.reach)).collect::<Vec<_>>()
    };
    for (category, written, other) in [
        // Of System, which decides on the route; computed; of Windows' own names.
        ("ps_classic_start", "{ EventID: 400 }", "{ event ID: 400 }"),
        ("process_creation", "{ EventID: 4688 }", "{ eventid: 4688 }"),
        ("process_creation", "{ Image|endswith: x }", "{ image|endswith: x }"),
        ("process_creation", "{ CommandLine|contains: x }", "{ commandline|contains: x }"),
        ("process_creation", "{ TargetUserSid: x }", "{ 'target user sid': x }"),
    ] {
        assert_eq!(plan(category, written), plan(category, other), "{written} {other}");
    }
    decide(&[
        ("{ provider_name: service control manager }", &[], true),
        ("{ execution_processid: 788 }", &[], true),
        ("{ level: 4 }", &[], true),
        ("{ eventid: 104 }", &[("EventID", "1")], true),
        ("{ eventid: 1 }", &[("EventID", "1")], false),
        ("{ computer: dc01 }", &[("Computer", "other")], true),
        ("{ logonprocessname: NtLmSsp }", &[("LogonProcessName", "NtLmSsp ")], true),
        ("{ 'Logon Process Name': NtLmSsp }", &[("LogonProcessName", "NtLmSsp ")], true),
    ]);
}

/// The examples of Microsoft's pages "4657(S): A registry value was modified" and "5156(S): The Windows
/// Filtering Platform has permitted a connection", whose text says what each value stands for.
#[test]
fn documented_events_of_windows_own_auditing_are_those_of_sysmon_s_rules() {
    let security = |id: &str, data: Data<'_>| {
        let Event { root } = event(data);
        let fields = [("EventID", id), ("Channel", "Security"), ("Computer", "dc01")];
        let system = parent("System", fields.map(|(name, text)| leaf(name, text)).to_vec());
        let data = root.children.into_iter().nth(1).unwrap();
        let children = vec![Node::Element(system), data];
        Event { root: Element { name: "Event".into(), children, ..Element::default() } }
    };
    let modified = security(
        "4657",
        &[
            ("SubjectUserSid", "S-1-5-21-3457937927-2839227994-823803824-1104"),
            ("SubjectUserName", "dadmin"),
            ("SubjectDomainName", "CONTOSO"),
            ("SubjectLogonId", "0x364eb"),
            ("ObjectName", r"\REGISTRY\MACHINE"),
            ("ObjectValueName", "Name_New"),
            ("HandleId", "0x54"),
            ("OperationType", "%%1905"),
            ("OldValueType", "%%1873"),
            ("OldValue", ""),
            ("NewValueType", "%%1873"),
            ("NewValue", "Andrei"),
            ("ProcessId", "0xce4"),
            ("ProcessName", r"C:\Windows\regedit.exe"),
        ],
    );
    let permitted = security(
        "5156",
        &[
            ("ProcessID", "4556"),
            ("Application", r"\device\harddiskvolume2\documents\listener.exe"),
            ("Direction", "%%14592"),
            ("SourceAddress", "10.0.0.10"),
            ("SourcePort", "3333"),
            ("DestAddress", "10.0.0.100"),
            ("DestPort", "49278"),
            ("Protocol", "6"),
            ("FilterRTID", "70201"),
            ("LayerName", "%%14610"),
            ("LayerRTID", "44"),
        ],
    );
    let holds = |category: &str, search: &str, event: &Event| {
        let text = format!(
            "title: t\nlogsource: {{ product: windows, category: {category} }}\ndetection:\n  s: \
             {search}\n  condition: s\n"
        );
        let rules = Rule::parse("t.yml", &text).into_iter().map(Result::unwrap).collect();
        let engine = Arc::new(Engine::new(rules, Mapping::builtin()));
        let fast = !engine.matcher().matches(event).is_empty();
        assert_eq!(engine.matches_plainly(0, event), fast, "{search}");
        fast
    };
    for (search, expected) in [
        (r"{ TargetObject: 'HKLM\Name_New' }", true),
        (r"{ TargetObject|contains: 'REGISTRY' }", false),
        (r"{ Details: Andrei, EventType: SetValue }", true),
        (r"{ Image|endswith: '\regedit.exe', ProcessId: 3300 }", true),
        (r"{ User: 'CONTOSO\dadmin' }", true),
    ] {
        assert_eq!(holds("registry_set", search, &modified), expected, "{search}");
    }
    for (search, expected) in [
        (r"{ Image|endswith: '\listener.exe', ProcessId: 4556 }", true),
        (r"{ DestinationIp|cidr: 10.0.0.0/24, DestinationPort: 49278 }", true),
        (r"{ SourceIp: 10.0.0.10, SourcePort: 3333, Protocol: tcp }", true),
        (r"{ Initiated: 'false' }", true),
        (r"{ Initiated: 'true' }", false),
    ] {
        assert_eq!(holds("network_connection", search, &permitted), expected, "{search}");
    }
}

#[test]
fn blanks_at_the_end_count_but_where_windows_pads() {
    decide(&[
        ("{ LogonProcessName: NtLmSsp }", &[("LogonProcessName", "NtLmSsp ")], true),
        ("{ LogonProcessName: 'NtLmSsp ' }", &[("LogonProcessName", "NtLmSsp")], true),
        ("{ CommandLine: whoami }", &[("CommandLine", "whoami ")], false),
        ("{ CommandLine|endswith: ' ' }", &[("CommandLine", "whoami ")], true),
    ]);
}
