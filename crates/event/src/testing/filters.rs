//! Generated filters.

use proptest::prelude::*;

use super::events::{name, time, value};
use super::queries::{queries, query_lists};
use crate::filter::{DataTest, Filter, Glob, Ids, Levels, Pattern};
use crate::query::Query;

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn globs(texts: &'static [&'static str], weight: f64) -> impl Strategy<Value = Vec<Glob>> {
    let some = prop::collection::vec(one_of(texts), 1..3);
    prop::option::weighted(weight, some).prop_map(|texts| {
        let texts = texts.unwrap_or_default();
        texts.iter().map(|text| Glob::parse(text).expect("a glob")).collect()
    })
}

fn ids() -> impl Strategy<Value = Option<Ids>> {
    let item = prop_oneof![
        3 => (4618..4632u32).prop_map(|id| id.to_string()),
        2 => (4618..4632u32, 0..5u32).prop_map(|(low, length)| format!("{low}-{}", low + length)),
        2 => (4618..4632u32).prop_map(|id| format!("!{id}")),
        1 => (0..4632u32, 4618..4632u32).prop_map(|(low, high)| format!("{low}-{}", low.max(high))),
    ];
    let list =
        prop::collection::vec(item, 1..5).prop_map(|items| Ids::parse(&items.join(",")).ok());
    prop::option::weighted(0.4, list).prop_map(Option::flatten)
}

fn levels() -> impl Strategy<Value = Option<Levels>> {
    let item = one_of(&[
        "critical",
        "error",
        "warning",
        "info",
        "verbose",
        "2..3",
        "0..0",
        "5..9",
        "audit-success",
        "audit-failure",
    ]);
    let list = prop::collection::vec(item, 1..3)
        .prop_map(|items| Levels::parse(&items.join(",")).expect("levels"));
    prop::option::weighted(0.4, list)
}

/// Filters with one test, as they are negated.
fn negated() -> impl Strategy<Value = Filter> {
    let none = Filter::default;
    let grep = one_of(&["alice", "5", "param1=", "^A=."]);
    prop_oneof![
        ids().prop_map(move |ids| Filter { ids, ..none() }),
        levels().prop_map(move |levels| Filter { levels, ..none() }),
        globs(&["provider", "S*"], 0.9).prop_map(move |providers| Filter { providers, ..none() }),
        globs(&["web1", "*.corp"], 0.9).prop_map(move |computers| Filter { computers, ..none() }),
        globs(&["alice", "S-1-*"], 0.9).prop_map(move |users| Filter { users, ..none() }),
        grep.prop_map(move |text| Filter {
            grep: vec![Pattern::parse(&text).expect("a pattern")],
            ..none()
        }),
        queries().prop_map(move |text| Filter {
            query: Some(Query::parse(&text).expect("a query")),
            ..none()
        }),
    ]
    .prop_filter("a test", |filter| !filter.is_empty())
}

/// Filters with one test on data.
fn data_filters() -> impl Strategy<Value = Filter> {
    (name(), value()).prop_map(|(name, value)| Filter {
        data: DataTest::parse(&format!("{name}={value}")).into_iter().collect(),
        ..Filter::default()
    })
}

/// Filters of all kinds.
pub fn filters() -> impl Strategy<Value = Filter> {
    let value = || {
        prop_oneof![
            4 => value().prop_map(|value| format!("={value}")),
            1 => one_of(&["=", "=a*", "=A?ice", "=1", "~=^a", "~=ALICE", "~=[0-9]{2}"]),
        ]
    };
    let name = prop_oneof![4 => name(), 1 => one_of(&["param3", "Data", "x y", "é", "or"])];
    let name = (name, any::<bool>())
        .prop_map(|(name, upper)| if upper { name.to_uppercase() } else { name });
    let data = (name, value())
        .prop_map(|(name, value)| DataTest::parse(&format!("{name}{value}")).expect("a data test"));
    let users = &["alice", "corp\\bob", "bob", "CORP\\*", "*", "S-1-5-*", "corp\\alice"];
    let query = prop_oneof![3 => queries(), 1 => query_lists()]
        .prop_map(|text| Query::parse(&text).expect("a query"));
    let parts = (
        prop::collection::vec(data, 0..2),
        globs(users, 0.15),
        prop::option::weighted(0.15, one_of(&["alice", "^5$", "(?i)CORP", "§", "a=1", "^B=", "A"])),
        prop::option::weighted(0.2, query),
        globs(&["service*", "PROVIDER", "provider", "*[kK]ernel"], 0.2),
        globs(&["web1", "WEB?", "*.corp"], 0.2),
        (globs(&["*katz*"], 0.1), globs(&["0022869c-*"], 0.1)),
    );
    let not = prop_oneof![
        Just(Vec::new()),
        prop_oneof![negated(), data_filters()].prop_map(|filter| vec![filter]),
    ];
    (pushable_filters(), parts, not).prop_map(
        |(filter, (data, users, grep, query, providers, computers, (rules, not_rules)), not)| {
            Filter {
                data,
                users,
                grep: grep.iter().map(|text| Pattern::parse(text).expect("a pattern")).collect(),
                not,
                rules,
                not_rules,
                query,
                providers: [filter.providers, providers].concat(),
                computers: [filter.computers, computers].concat(),
                ..filter
            }
        },
    )
}

/// Filters of which most are wholly written as XPath.
pub fn pushable_filters() -> impl Strategy<Value = Filter> {
    let times = (prop::option::weighted(0.4, time()), prop::option::weighted(0.4, time()));
    let whole = any::<bool>();
    let parts = (
        times,
        whole,
        ids(),
        levels(),
        globs(&["1.2", "3"], 0.1),
        globs(&["10.0.0.1", "WEB1", "a-1"], 0.2),
    );
    parts.prop_map(|((since, until), whole, ids, levels, providers, computers)| {
        let rounded = |time: crate::EventTime| match whole {
            true => crate::EventTime::from_filetime(time.as_filetime() / 10_000 * 10_000),
            false => time,
        };
        Filter {
            since: since.map(rounded),
            until: until.map(rounded),
            ids,
            levels,
            providers,
            computers,
            ..Filter::default()
        }
    })
}
