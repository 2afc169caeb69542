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

/// Filters of all kinds.
pub fn filters() -> impl Strategy<Value = Filter> {
    let value = || {
        prop_oneof![
            4 => value().prop_map(|value| format!("={value}")),
            1 => one_of(&["=", "~=^a", "~=(?i)ALICE", "~=[0-9]{2}"]),
        ]
    };
    let name = prop_oneof![4 => name(), 1 => one_of(&["param3", "Data", "x y", "é", "or"])];
    let data = (name, value())
        .prop_map(|(name, value)| DataTest::parse(&format!("{name}{value}")).expect("a data test"));
    let users = &["alice", "corp\\bob", "bob", "CORP\\*", "*", "S-1-5-*", "corp\\alice"];
    let query = prop_oneof![3 => queries(), 1 => query_lists()]
        .prop_map(|text| Query::parse(&text).expect("a query"));
    let parts = (
        prop::collection::vec(data, 0..2),
        globs(users, 0.15),
        prop::option::weighted(0.15, one_of(&["alice", "^5$", "(?i)CORP", "§"])),
        prop::option::weighted(0.2, query),
        globs(&["service*", "PROVIDER", "provider", "*[kK]ernel"], 0.2),
        globs(&["web1", "WEB?", "*.corp"], 0.2),
    );
    (pushable_filters(), parts).prop_map(
        |(filter, (data, users, grep, query, providers, computers))| Filter {
            data,
            users,
            grep: grep.map(|text| Pattern::parse(&text).expect("a pattern")),
            query,
            providers: [filter.providers, providers].concat(),
            computers: [filter.computers, computers].concat(),
            ..filter
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
        globs(&["Service Control Manager", "Microsoft-Windows-Kernel"], 0.2),
        globs(&["DC01.corp", "WEB1"], 0.2),
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
