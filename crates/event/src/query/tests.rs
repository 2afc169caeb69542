//! Tests of queries as a whole; see `tests/xpath_lxml.py` for a second opinion.

use proptest::prelude::*;

use super::*;
use crate::testing::{TypedEvent, event, events, now, queries, query_lists};

const EVENT: &str = r#"<Event xmlns="http://schemas.microsoft.com/win/2004/08/events/event"><System>
    <Provider Name="Microsoft-Windows-Security-Auditing"
     Guid="{54849625-5478-4994-a5ba-3e3b0328c30d}"/>
    <EventID>4624</EventID><Version>2</Version><Level>0</Level>
    <Keywords>0x8020000000000000</Keywords>
    <TimeCreated SystemTime="2026-08-22T10:00:00.1234567Z"/><EventRecordID>812</EventRecordID>
    <Channel>Security</Channel><Computer>DC01.corp</Computer><Security/></System>
    <EventData><Data Name="TargetUserName">alice</Data><Data Name="LogonType">3</Data>
    <Data Name="Empty"></Data><Data>last</Data></EventData></Event>"#;

const USER_EVENT: &str = r#"<Event><System><Level>1</Level></System><UserData><Job xmlns="x">
    <PrinterName>MyPrinter</PrinterName><Item n="1">a</Item><Item n="2">b</Item></Job></UserData>
    </Event>"#;

fn selects(query: &str, xml: &str) -> bool {
    let query = Query::parse(query).unwrap_or_else(|e| panic!("{e}\n{}", e.place.snippet()));
    let now = EventTime::parse("2026-08-22T11:00:00Z").unwrap();
    query.compile(now).matches(&event(xml), &mut Scratch::default())
}

#[test]
fn queries_select_what_windows_documents() {
    for query in [
        "*",
        "Event",
        "*[System/EventID=4624]",
        "Event/System[EventID=4624]",
        "Event/System/EventID=4624",
        "*[System[(Level <= 3) and TimeCreated[timediff(@SystemTime) <= 86400000]]]",
        "*[System[TimeCreated[timediff(@SystemTime) = 3599876]]]",
        "*[System[TimeCreated[timediff(@SystemTime,'2026-08-22T09:00:00.000Z') < 0]]]",
        "*[System[Provider[@Name='Microsoft-Windows-Security-Auditing']]]",
        "*[System[Provider[@Guid='{54849625-5478-4994-A5BA-3E3B0328C30D}']]]",
        "*[System[band(Keywords,9007199254740992)]]",
        "*[System[Keywords='0x8020000000000000']]",
        "*[System[TimeCreated[@SystemTime>='2026-08-22T10:00:00.123Z' and \
          @SystemTime<='2026-08-22T10:00:00.124Z']]]",
        "*[EventData[Data[@Name='TargetUserName']='alice']]",
        "*[EventData[Data[@Name='LogonType']=3 and Data[@Name=\"TargetUserName\"]='alice']]",
        "*[EventData[Data[@Name='LogonType'] and (Data='alice')]]",
        "*[EventData/Data[@Name='Empty']='']",
        "*[EventData[Data[2]=3]]",
        "*[EventData/Data[position()=4]='last']",
        "*[EventData/Data[text()='alice']]",
        "*[EventData/Data[@Name!='LogonType']=\"last\" or System/Level=0]",
        "*[child::System/child::Provider/attribute::Name]",
        "*[System[Security] and */EventID]",
    ] {
        assert!(selects(query, EVENT), "{query}");
    }
    assert!(selects("*[UserData/*/PrinterName=\"MyPrinter\" and System/Level=1]", USER_EVENT));
    assert!(selects("*[UserData/Job/Item[@n='2'][1]='b']", USER_EVENT));
}

#[test]
fn queries_leave_out_what_differs() {
    for query in [
        "*[System/EventID!=4624]",
        "*[System[Security[@UserID!='S-1-5-18']]]",
        "*[System[Provider[@Name='microsoft-windows-security-auditing']]]",
        "*[EventData[Data[@Name='TargetUserName']='Alice']]",
        "*[EventData[Data[@Name='LogonType']=3][Data[@Name='Absent']]]",
        "*[EventData[Data[1]=3]]",
        "*[EventData[TargetUserName='alice']]",
        "*[UserData]",
        "*[System[band(Keywords,1)]]",
        "*[System='']",
        "*[@xmlns]",
        "*[EventData[Data[@Name='Empty']/text()]]",
    ] {
        assert!(!selects(query, EVENT), "{query}");
    }
}

#[test]
fn a_time_in_a_query_is_utc_where_it_has_no_zone() {
    // The event's time is 2026-08-22T10:00:00.1234567Z.
    for (text, expected) in [
        (">='2026-08-22T10:00:00'", true),
        (">='2026-08-22T10:00:00.000'", true),
        (">='2026-08-22 10:00'", true),
        (">='2026-08-22'", true),
        (">='2026-08-22T12:00:00+02:00'", true),
        (">='2026-08-22T10:00:01'", false),
        ("<'2026-08-22 10:00:01'", true),
        ("!='2026-08-22 10:00:00.1234567'", false),
        ("!='2026-08-22 10:00'", true),
    ] {
        let system = format!("System[TimeCreated[@SystemTime{text}]]");
        assert_eq!(selects(&format!("*[{system}]"), EVENT), expected, "{text}");
        let suppress = format!(
            "<QueryList><Query><Select>*</Select><Suppress>*[{}]</Suppress></Query></QueryList>",
            system.replace('<', "&lt;")
        );
        assert_eq!(selects(&suppress, EVENT), !expected, "{suppress}");
    }
    assert!(selects("*[System[TimeCreated[timediff(@SystemTime,'2026-08-22 09:00')<0]]]", EVENT));
    // Elsewhere it is text.
    assert!(selects("*[EventData[Data[@Name='TargetUserName']!='2026-08-22']]", EVENT));
    let list = "<QueryList><Query><Select>*</Select><Suppress>*[System[TimeCreated[@SystemTime&lt;'x']]]\
                </Suppress></Query></QueryList>";
    assert!(Query::parse(list).unwrap_err().to_string().contains("`x` is none"));
}

#[test]
fn text_is_looked_for_in_any_node_of_a_path() {
    for (query, expected) in [
        ("*[EventData[Data[contains(.,'lic')]]]", true),
        ("*[EventData[Data[contains(., 'LIC')]]]", false),
        ("*[EventData[contains(Data,'lic')]]", true),
        ("*[contains(EventData/Data,\"lic\")]", true),
        ("*[EventData[Data[starts-with(.,'ali')]]]", true),
        ("*[EventData[Data[starts-with(.,'lic')]]]", false),
        ("*[System[Provider[starts-with(@Name,'Microsoft-')]]]", true),
        ("*[System[contains(Provider/@Name,'Auditing') and EventID=4624]]", true),
        ("*[System[contains(Channel,'x')] or System[Level=0]]", true),
        ("*[not(EventData[Data[contains(.,'lic')]])]", false),
        ("*[not(System[EventID=1]) and not(contains(System/Computer,'zzz'))]", true),
        ("*[contains(EventData/Data[@Name='Empty'],'')]", true),
        ("*[contains(EventData/Data[@Name='Absent'],'')]", false),
    ] {
        assert_eq!(selects(query, EVENT), expected, "{query}");
    }
}

#[test]
fn lists_select_by_channel_and_suppress() {
    let list = |query: &str| format!("<?xml version='1.0'?><QueryList>{query}</QueryList>");
    for (query, expected) in [
        ("<Query><Select>*</Select></Query>", true),
        ("<Query Id='0' Path='security'><Select>*</Select></Query>", true),
        ("<Query Path='System'><Select>*</Select></Query>", false),
        ("<Query Path='System'><Select Path='Security'>*</Select></Query>", true),
        ("<Query Path='file://c:/a.evtx'><Select>*[System[Level=0]]</Select></Query>", true),
        ("<Query><Select>*</Select><Suppress>*[System[EventID=4624]]</Suppress></Query>", false),
        ("<Query><Suppress>*[System[EventID=1]]</Suppress><Select>*</Select></Query>", true),
        ("<Query><Select>*</Select><Suppress Path='System'>*</Suppress></Query>", true),
        (
            "<Query><Select>*</Select><Suppress>*</Suppress></Query>\
             <Query><Select><!-- < -->*[System[Level &lt;= 3<![CDATA[ and EventID>4000]]>]]\
             </Select></Query>",
            true,
        ),
    ] {
        assert_eq!(selects(&list(query), EVENT), expected, "{query}");
    }
    assert!(!selects(&list("<Query Path='A'><Select>*</Select></Query>"), "<Event/>"));
}

#[test]
fn what_windows_does_not_have_is_refused_at_its_place() {
    for (query, at, about) in [
        ("", 0, "* is every event"),
        ("  ", 2, "* is every event"),
        ("System[EventID=1]", 0, "begins with * or Event"),
        ("@Name", 0, "begins with * or Event"),
        ("/Event", 0, "absolute paths"),
        ("//Data", 0, "name every step"),
        ("*[System//EventID=1]", 8, "name every step"),
        ("*[EventData[substring(Data,1)]]", 12, "the function substring()"),
        ("*[contains(1,'x')]", 11, "contains() takes"),
        ("*[contains(System,1)]", 18, "contains() takes"),
        ("*[starts-with(.)]", 15, "expected `,`"),
        ("contains(.,'x')", 9, "contains() takes"),
        ("*[contains(..,'x')]", 11, "`..` is not allowed"),
        ("*[contains(System,'x')='y']", 2, "can't be compared"),
        ("*[not()]", 6, "found `)`"),
        ("*[not('x')]", 6, "text in quotes by itself"),
        ("*[System/TimeCreated[@SystemTime>='yesterday']]", 34, "compared with a time"),
        ("*[System/TimeCreated[@SystemTime>=5]]", 34, "compared with a time"),
        ("*['2024-13-01'<System/TimeCreated/@SystemTime]", 2, "`2024-13-01` is none"),
        ("*[node()]", 2, "the function node()"),
        ("*[System/count(x)]", 9, "the function count()"),
        ("*[ancestor::x]", 2, "the axis `ancestor`"),
        ("*[.='x']", 2, "`.` is not allowed"),
        ("*[System/../x]", 9, "`..` is not allowed"),
        ("*[a:b='x']", 2, "leave out the prefix `a:`"),
        ("*[A|B]", 3, "`|` is not allowed"),
        ("* | *", 2, "`|` is not allowed"),
        ("*[A=1+1]", 5, "no arithmetic"),
        ("*[A=-1]", 4, "no arithmetic"),
        ("*[A mod 2=1]", 4, "`mod` is not allowed"),
        ("*[A * 2]", 4, "`*` is not allowed"),
        ("*[$x=1]", 2, "variables"),
        ("*[A=0x10]", 4, "written in quotes: '0x10'"),
        ("*[A&lt;1]", 3, "`&lt;` belongs in a <QueryList>"),
        ("*[A='x]", 4, "doesn't end"),
        ("*[A=B]", 4, "one side of a comparison"),
        ("*[1=2]", 4, "one side of a comparison"),
        ("*['x']", 2, "text in quotes by itself is no condition"),
        ("*[A and 1]", 8, "a number by itself"),
        ("*[(A=1)=2]", 2, "can't be compared"),
        ("*[A=1=2]", 5, "can't be compared"),
        ("*[System[band(A,1)=1]]", 9, "can't be compared"),
        ("*[A==1]", 4, "expected a path"),
        ("*[A=1 B=2]", 6, "expected `and`, `or` or `]`, found `B`"),
        ("*[A=1", 5, "found the end"),
        ("*[]", 2, "found `]`"),
        ("*[(A=1]", 6, "expected `and`, `or` or `)`"),
        ("* x", 2, "expected `and`, `or` or the end, found `x`"),
        ("*[1]", 2, "place of an event in its log"),
        ("*[position()=1]", 2, "place of an event in its log"),
        ("*[System[position()='x']]", 20, "position() is compared with a number"),
        ("*[System[timediff(@x)]]", 9, "timediff() by itself"),
        ("*[System[timediff('x')=1]]", 18, "timediff() takes"),
        ("*[System[timediff('2026-01-01T00:00:00Z')=1]]", 18, "timediff() takes"),
        ("*[band(1,2)]", 9, "band() takes"),
        ("*[band(A,'x')]", 9, "band() takes"),
        ("*[band(A)]", 8, "expected `,`"),
        ("*[@a/b]", 4, "ends with an attribute"),
        ("*[@a[1]]", 4, "ends with an attribute"),
        ("*[A[1][1][1][1][1][1][1][1][1]]", 27, "at most 8 predicates"),
        ("*[A=2026-01-01T00:00:00Z]", 4, "a time in quotes"),
        ("*[A=5x]", 4, "expected a number, found `5x`"),
    ] {
        let error = Query::parse(query).expect_err(query);
        assert!(error.to_string().contains(about), "{query}: {error}");
        assert_eq!(error.place.byte(), at, "{query}: {error}");
    }
}

#[test]
fn what_is_no_list_is_refused_at_its_place() {
    let query = |inner: &str| format!("<QueryList><Query>{inner}</Query></QueryList>");
    let cases = [
        ("<QueryList/>".to_owned(), 0, "needs a <Query>"),
        ("<Select>*</Select>".to_owned(), 0, "<Select> is not allowed here"),
        ("<QueryList><Select>*</Select></QueryList>".to_owned(), 11, "has elements <Query>"),
        (query(""), 11, "needs a <Select>"),
        (query("<Suppress>*</Suppress>"), 11, "needs a <Select>"),
        (query("<Select>*[System[Level &lt;= x]]</Select>"), 47, "one side"),
        (query("<Select>*[<![CDATA[Level]]>  = x]</Select>"), 49, "one side"),
        (query("<Select> </Select>"), 27, "* is every event"),
        (query("<Select Pfad='x'>*</Select>"), 18, "no attribute Pfad; it has Path"),
        (query("<Select>*<b/></Select>"), 27, "an XPath expression stands here"),
        (query("stray<Select>*</Select>"), 18, "text is only allowed in"),
        (query("<Select>*&nbsp;</Select>"), 27, "`&nbsp;` is not known"),
        (query("<Select>*&#1;</Select>"), 27, "XML can't hold"),
        (
            "<QueryList><Query Id='x'><Select>*</Select></Query></QueryList>".to_owned(),
            11,
            "not `x`",
        ),
        ("<!DOCTYPE x><QueryList/>".to_owned(), 0, "document type"),
        ("<QueryList><Query>".to_owned(), 18, "ends too early"),
        ("<QueryList><Query></QueryList>".to_owned(), 18, "not well-formed XML"),
        ("<QueryList".to_owned(), 0, "not well-formed XML"),
        ("<QueryList></QueryList><QueryList/>".to_owned(), 23, "is one <QueryList>"),
    ];
    for (text, at, about) in cases {
        let error = Query::parse(&text).expect_err(&text);
        assert!(error.to_string().contains(about), "{text}: {error}");
        assert_eq!(error.place.byte(), at, "{text}: {error}");
    }
}

#[test]
fn hostile_queries_meet_limits() {
    let nested = |depth: usize| format!("*{}{}", "[a".repeat(depth), "]".repeat(depth));
    assert!(Query::parse(&nested(MAX_DEPTH)).is_ok());
    let problem = |text: &str| Query::parse(text).unwrap_err().problem;
    assert_eq!(problem(&nested(MAX_DEPTH + 1)), QueryProblem::TooDeep);
    assert_eq!(problem(&format!("*[{}", "(".repeat(100_000))), QueryProblem::TooDeep);
    assert_eq!(problem(&format!("*{}", "/a".repeat(MAX_TERMS))), QueryProblem::TooMany);
    assert_eq!(problem(&" ".repeat(MAX_LENGTH + 1)), QueryProblem::TooLong);
    assert!(Query::parse(&format!("*[a{}]", " or a".repeat(10_000))).is_ok());
}

/// An event of 200 elements, each with 20 in it, and the deepest query on it.
#[test]
fn a_deep_query_on_a_wide_event_ends_soon() {
    let inner = "<b/>".repeat(20);
    let xml = format!("<Event>{}</Event>", format!("<a>{inner}</a>").repeat(200));
    let query = format!("*{}[zzz]{}", "[*".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    assert!(!selects(&query, &xml));
}

#[test]
fn a_query_is_printed_in_one_form() {
    for (text, expected) in [
        (
            " *[ System [ ( Level = 1 or Level= 2 ) and ( EventID=7 ) ] ] ",
            "*[System[(Level=1 or Level=2) and EventID=7]]",
        ),
        ("Event[((a or b) or (c and (d and e)))]", "Event[a or b or c and d and e]"),
        ("*[child::a/attribute::b = \"it's\"]", "*[a/@b=\"it's\"]"),
        ("*[5 > a[ 1 ]]", "*[a[position()=1]<5]"),
        ("*[a[timediff( @b , @c )>=1.50]]", "*[a[timediff(@b,@c)>=1.50]]"),
        ("*[child::text() or text ( )]", "*[text() or text()]"),
        ("*[or or and and and or div]", "*[or or and and and or div]"),
    ] {
        assert_eq!(Query::parse(text).unwrap().to_string(), expected);
    }
    let list = "<QueryList> <Query Id='1' Path='A&amp;B'><Select Path=\"x&quot;\">*[a &lt; 1]</Select>\
                <Suppress><![CDATA[*]]></Suppress></Query></QueryList>";
    assert_eq!(
        Query::parse(list).unwrap().to_string(),
        "<QueryList><Query Id=\"1\" Path=\"A&amp;B\"><Select Path=\"x&quot;\">*[a&lt;1]</Select>\
         <Suppress>*</Suppress></Query></QueryList>"
    );
}

fn any_query() -> impl Strategy<Value = String> {
    prop_oneof![3 => queries(), 1 => query_lists()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_text_is_a_query_or_refused(text in "\\PC{0,60}") {
        let _ = Query::parse(&text);
    }

    #[test]
    fn text_like_a_query_is_one_or_refused(
        text in "([*/@\\[\\]()='\",.<>!|$&;:-]|Event|System|Data| or | and |band|timediff|text|0x1|\
                 5|é|<Query|List>|</|<Select>|&lt;|<!\\[CDATA\\[){0,24}"
    ) {
        match Query::parse(&text) {
            Ok(query) => prop_assert_eq!(Query::parse(&query.to_string()), Ok(query)),
            Err(error) => prop_assert!(!error.place.snippet().is_empty()),
        }
    }

    #[test]
    fn a_damaged_query_is_one_or_refused(text in any_query(), at in any::<usize>(), c in any::<char>()) {
        let at = text.floor_char_boundary(at % (text.len() + 1));
        let _ = Query::parse(&format!("{}{c}{}", &text[..at], &text[at..]));
        let _ = Query::parse(&text[..at]);
    }

    #[test]
    fn a_query_s_text_is_the_same_query(text in any_query()) {
        let query = Query::parse(&text).unwrap();
        prop_assert_eq!(Query::parse(&query.to_string()), Ok(query));
    }

    #[test]
    fn a_quick_look_agrees_with_the_tree(text in any_query(), event in events()) {
        let query = Query::parse(&text).unwrap().compile(now());
        prop_assert_eq!(
            query.matches(&event, &mut Scratch::default()),
            query.matches_slowly(&event),
            "{}", query_debug(&query)
        );
    }

    #[test]
    fn typed_and_decoded_events_are_selected_alike(
        text in any_query(),
        event in events(),
        seed in any::<u64>(),
    ) {
        let query = Query::parse(&text).unwrap().compile(now());
        let typed = TypedEvent::new(&event, seed);
        let mut scratch = Scratch::default();
        // Twice, so that room that is used again makes no difference.
        for _ in 0..2 {
            prop_assert_eq!(
                query.matches(&event, &mut scratch),
                query.matches(&typed, &mut scratch),
                "{:?}", typed
            );
        }
    }
}

fn query_debug(query: &CompiledQuery) -> String {
    format!("{query:?}")
}

#[test]
fn a_byte_order_mark_before_a_query_is_nothing() {
    let list =
        "\u{feff}<QueryList><Query><Select>*[System[EventID=1]]</Select></Query></QueryList>";
    assert!(Query::parse(list).is_ok());
    assert!(Query::parse("\u{feff}*[System[EventID=1]]").is_ok());
    let error = Query::parse("\u{feff}*[System[EventID=]]").unwrap_err();
    assert_eq!(error.place.byte(), 20);
    // Found by fuzzing: two byte order marks, and one before what is no document.
    assert!(Query::parse("\u{feff}\u{feff}<QueryList>").is_err());
    assert!(Query::parse("\u{feff}\r\r<").is_err());
}

#[test]
fn what_is_said_of_a_document_is_brief_however_long_its_tags_are() {
    // Found by fuzzing.
    let document = format!("<QueryList><Query></{}>", "x".repeat(5000));
    let error = Query::parse(&document).unwrap_err();
    assert!(error.to_string().len() < 400, "{error}");
    let document = format!("<QueryList><Query Id=\"{}\"></Query></QueryList>", "9".repeat(5000));
    assert!(Query::parse(&document).unwrap_err().to_string().len() < 400);
}

#[test]
fn the_clauses_of_a_list_say_where_they_look() {
    let query = Query::parse(
        "<QueryList><Query Id='3' Path='System'><Select>*[System[EventID=1 or EventID=2]]</Select>\
         <Suppress Path='Setup'>*</Suppress></Query><Query><Select>*</Select></Query></QueryList>",
    )
    .unwrap();
    let clauses = query.clauses();
    let places: Vec<_> =
        clauses.iter().map(|c| (c.query, c.id, c.path.as_deref(), c.suppresses)).collect();
    let expected = [
        (0, Some(3), Some("System"), false),
        (0, Some(3), Some("Setup"), true),
        (1, None, None, false),
    ];
    assert_eq!(places, expected);
    assert_eq!(clauses.iter().map(|c| c.expressions).collect::<Vec<_>>(), [2, 1, 1]);
    assert_eq!(clauses[0].condition.to_string(), "*[System[EventID=1 or EventID=2]]");
}
