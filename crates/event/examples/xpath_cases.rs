//! Prints generated events and queries with what this crate makes of them, a JSON object a line,
//! for `tests/xpath_lxml.py` to compare with another implementation of XPath.
//!
//! `xpath_cases [COUNT [SEED]]`
#![allow(clippy::print_stdout)]

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use quarry_event::FieldSource;
use quarry_event::query::{Query, Scratch};
use quarry_event::testing::{now, plain_events, plain_queries};
use quarry_event::text::{Escape, Json};

fn main() {
    let argument = |n: usize, default: u64| {
        std::env::args().nth(n).map_or(default, |text| text.parse().expect("a number"))
    };
    let (count, seed) = (argument(1, 2000), argument(2, 0));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let cases = (plain_events(), prop::collection::vec(plain_queries(), 5));
    let mut scratch = Scratch::default();
    for _ in 0..count.div_ceil(5) {
        let (event, queries) = cases.new_tree(&mut runner).expect("a case").current();
        let mut xml = Vec::new();
        event.write_xml(&mut xml);
        let xml = String::from_utf8(xml).expect("UTF-8");
        for text in queries {
            let query = Query::parse(&text).expect("a query").compile(now());
            let selected = query.matches(&event, &mut scratch);
            println!(
                "{{\"now\":{},\"xml\":{},\"query\":{},\"selected\":{selected}}}",
                now().as_filetime(),
                json(&xml),
                json(&text)
            );
        }
    }
}

fn json(text: &str) -> String {
    let mut out = vec![b'"'];
    Json::push_str(text, &mut out);
    out.push(b'"');
    String::from_utf8(out).expect("UTF-8")
}
