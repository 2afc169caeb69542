//! Generated queries, as text.

use proptest::prelude::*;

use super::events::{name, plain_value, time, value};
use crate::text::{Escape, XmlText};

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn operator() -> impl Strategy<Value = String> + Clone {
    one_of(&["=", "!=", "<", "<=", ">", ">=", " = ", " >= "])
}

fn quoted(text: &str) -> String {
    match (text.contains('\''), text.contains('"')) {
        (false, _) => format!("'{text}'"),
        (true, false) => format!("\"{text}\""),
        (true, true) => format!("'{}'", text.replace('\'', "")),
    }
}

/// A number, or text in quotes, of the pools that events are made of.
fn literal(plain: bool) -> BoxedStrategy<String> {
    let number = || one_of(&["0", "1", "2", "3", "5", "12", "1.5", "4624", "4625", ".5"]);
    if plain {
        let typical = one_of(&["provider", "Security", "web1", "S-1-5-18"]);
        return prop_oneof![
            2 => number(),
            2 => plain_value().prop_map(|text| quoted(&text)),
            1 => typical.prop_map(|text| quoted(&text)),
        ]
        .boxed();
    }
    let typical = one_of(&[
        "Service Control Manager",
        "provider",
        "Security",
        "DC01.corp",
        "web1",
        "S-1-5-18",
        "0x8020000000000000",
        "§",
        "",
    ]);
    prop_oneof![
        3 => number(),
        3 => value().prop_map(|text| quoted(&text)),
        1 => typical.prop_map(|text| quoted(&text)),
        1 => time().prop_map(|time| quoted(&time.to_string())),
    ]
    .boxed()
}

/// Conditions in `<System>`.
fn system(plain: bool) -> BoxedStrategy<String> {
    let path = one_of(&[
        "Keywords",
        "EventID",
        "Level",
        "Provider/@Name",
        "EventID/@Qualifiers",
        "EventID/text()",
        "Execution/@ProcessID",
        "child::Channel",
        "Computer",
        "Security/attribute::UserID",
    ]);
    let exists = one_of(&[
        "EventID",
        "Provider",
        "Provider/@Guid",
        "Execution/@*",
        "Nothing",
        "Computer/text()",
        "Correlation/@ActivityID",
        "*/@Name",
        "EventID/text()",
    ]);
    let fixed = if plain {
        one_of(&["Provider[@Name='provider' and @Guid]", "*[2]", "*[position()>=11]", "*[@UserID]"])
    } else {
        one_of(&[
            "Provider[@Name='provider' and @Guid]",
            "Provider[@Guid='{54849625-5478-4994-A5BA-3E3B0328C30D}']",
            "*[2]='4624'",
            "Level[position() = 1]",
            "TimeCreated[@SystemTime>='2026-08-22T10:00:00.123Z']",
            "Provider=''",
            "Security[@UserID!='']",
            "Computer[text()='web1']",
        ])
    };
    let bits = one_of(&[
        "band(Keywords,9007199254740992)",
        "band(4503599627370496, Keywords)",
        "band(Level,3)",
        "band(EventRecordID,'0x1')",
    ]);
    let milliseconds = one_of(&["0", "1", "'-1'", "1000", "1.5"]);
    let since = (operator(), milliseconds.clone())
        .prop_map(|(op, ms)| format!("TimeCreated[timediff(@SystemTime){op}{ms}]"));
    let between = (time(), operator(), milliseconds)
        .prop_map(|(time, op, ms)| format!("timediff(TimeCreated/@SystemTime, '{time}'){op}{ms}"));
    let compared = (path.clone(), operator(), literal(plain));
    let flipped = (literal(plain), operator(), path);
    if plain {
        return prop_oneof![
            6 => compared.prop_map(|(path, op, literal)| format!("{path}{op}{literal}")),
            1 => flipped.prop_map(|(literal, op, path)| format!("{literal}{op}{path}")),
            2 => exists,
            2 => fixed,
            1 => bits,
            1 => since.prop_filter("plain", |text| !text.contains('\'')),
        ]
        .boxed();
    }
    prop_oneof![
        6 => compared.prop_map(|(path, op, literal)| format!("{path}{op}{literal}")),
        1 => flipped.prop_map(|(literal, op, path)| format!("{literal}{op}{path}")),
        1 => exists,
        1 => fixed,
        1 => bits,
        1 => since,
        1 => between,
    ]
    .boxed()
}

/// Conditions on data, user data and everything.
fn others(plain: bool) -> BoxedStrategy<String> {
    let leaf = literal(plain);
    let named = (name(), operator(), leaf.clone())
        .prop_map(|(name, op, value)| format!("EventData[Data[@Name='{name}']{op}{value}]"));
    let text = (name(), operator(), leaf.clone()).prop_map(|(name, op, value)| {
        format!("EventData/Data[@Name='{name}' and text(){op}{value}]")
    });
    let apart = (name(), leaf.clone())
        .prop_map(|(name, value)| format!("EventData[Data[@Name='{name}'] and (Data={value})]"));
    let place = (1..4u32, leaf.clone())
        .prop_map(|(place, value)| format!("EventData/Data[position()={place}]={value}"));
    let then = (name(), 1..3u32)
        .prop_map(|(name, place)| format!("EventData/Data[@Name='{name}'][{place}]/text()"));
    let any = (
        one_of(&[
            "EventData/*",
            "UserData/*/*",
            "UserData/*/B",
            "*/*",
            "UserData/X/A/text()",
            "*/*/@*",
        ]),
        leaf.clone(),
    )
        .prop_map(|(path, value)| format!("{path}={value}"));
    let user = (one_of(&["X", "Y", "*"]), name(), one_of(&["<", ">", "<="]), leaf)
        .prop_map(|(element, name, op, value)| format!("UserData/{element}[{name}{op}{value}]"));
    // Each of at most one node, of which XPath 1.0 looks at the first, and for that one of nodes
    // without elements inside, of which it takes all the text.
    let function = || one_of(&["contains", "starts-with"]);
    let in_text = if plain { "@Name" } else { "." };
    let wanted = prop_oneof![plain_value(), one_of(&["Target", "A", "User", "param"])];
    let search = prop_oneof![
        2 => (function(), wanted).prop_map(move |(function, text)| {
            format!("EventData/Data[{function}({in_text}, {})]", quoted(&text))
        }),
        1 => (function(), plain_value()).prop_map(|(function, text)| {
            format!("{function}(System/Computer,{})", quoted(&text))
        }),
        1 => name().prop_map(|name| format!("not(EventData/Data[@Name='{name}'])")),
        1 => Just("not(System[Level=2] or starts-with(System/Channel,'S'))".to_owned()),
    ];
    let exists = one_of(&[
        "UserData",
        "EventData/Data",
        "EventData/Data[@Name]",
        "*/*/*/*",
        "UserData/*[@id]",
        "*[3]",
        "*/*[2]/@Name",
        "EventData[Data[2]]",
        "@xmlns",
        "text()",
    ]);
    // Comparisons that may meet an element with elements inside, where XPath 1.0 takes all the
    // text there is, are for equality only: generated elements of that kind have a text that is
    // asked for nowhere.
    let equal = move |text: String| if plain { text.replace("!=", "=") } else { text };
    prop_oneof![
        4 => named.prop_map(equal),
        1 => text,
        1 => apart,
        1 => place,
        1 => then,
        2 => any,
        1 => user,
        1 => search,
        1 => exists,
    ]
    .boxed()
}

/// Conditions joined with `and` and `or`, in parentheses or not.
fn joined(leaf: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    leaf.prop_recursive(3, 8, 3, |inner| {
        let word = one_of(&[" and ", " or ", "\tor\n"]);
        let both = (inner.clone(), word, inner.clone());
        prop_oneof![
            2 => both.prop_map(|(a, word, b)| format!("{a}{word}{b}")),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("({a}) and ({b})")),
        ]
    })
}

fn xpath(plain: bool) -> impl Strategy<Value = String> {
    let in_system =
        joined(system(plain)).prop_map(|condition| format!("System[{condition}]")).boxed();
    let in_event = prop_oneof![
        3 => in_system.clone(),
        1 => system(plain).prop_map(|condition| format!("System[{condition}]")),
        2 => others(plain),
    ];
    let below = prop_oneof![
        in_system.prop_map(|path| format!("Event/{path}")),
        one_of(&[
            "Event/System",
            "*/EventData/Data",
            "Event/UserData/*",
            "Event",
            " * ",
            "*/@xmlns"
        ]),
    ];
    prop_oneof![
        6 => joined(in_event.boxed()).prop_map(|condition| format!("*[{condition}]")),
        1 => joined(system(plain)).prop_map(|condition| format!("Event[System[{condition}]][System]")),
        1 => below,
    ]
}

/// XPath expressions with all that event queries have.
pub fn queries() -> impl Strategy<Value = String> {
    xpath(false)
}

/// XPath expressions that XPath 1.0 understands as Windows does, on
/// [`plain_events`](super::plain_events).
pub fn plain_queries() -> impl Strategy<Value = String> {
    xpath(true)
}

/// `<QueryList>` documents.
pub fn query_lists() -> impl Strategy<Value = String> {
    let path = || {
        let paths =
            one_of(&["Security", "security", "A/Operational", "file://c:/x.evtx", "é&amp;"]);
        prop::option::of(paths)
            .prop_map(|path| path.map_or(String::new(), |path| format!(" Path=\"{path}\"")))
    };
    let element = move |name: &'static str| {
        (path(), queries()).prop_map(move |(path, xpath)| {
            let mut text = Vec::new();
            XmlText::push_str(&xpath, &mut text);
            format!("<{name}{path}>{}</{name}>", String::from_utf8_lossy(&text))
        })
    };
    let clauses = (
        prop::collection::vec(element("Select"), 1..3),
        prop::collection::vec(element("Suppress"), 0..2),
    );
    let query = (path(), clauses, 0..3i64).prop_map(|(path, (selects, suppresses), id)| {
        format!("<Query Id=\"{id}\"{path}>{}\n{}</Query>", selects.concat(), suppresses.concat())
    });
    prop::collection::vec(query, 1..3)
        .prop_map(|queries| format!("<QueryList>\n{}</QueryList>", queries.concat()))
}
