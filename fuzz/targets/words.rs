//! Questions from anyone: any text is refused at a place in it, or is words that are the same when
//! they are read again from each of their forms.

use std::sync::Arc;

use quarry_event::RuleName;
use quarry_event::filter::Filter;
use quarry_event::testing::now;
use quarry_event::words::{Shell, Words};

pub(crate) fn run(text: &str) {
    let _ = Words::parse_address(text);
    let _ = Words::from_args(text.split('\n'));
    let words = match Words::parse(text) {
        Ok(words) => words,
        Err(error) => {
            assert!(error.place.byte() <= error.place.text().len());
            assert!(error.place.snippet().len() < 1000);
            assert!(error.to_string().len() < 2000);
            return;
        }
    };
    let canonical = words.canonical();
    assert_eq!(Words::parse(&words.to_string()).as_ref(), Ok(&words));
    assert_eq!(Words::parse_address(&words.to_address()).as_ref(), Ok(&canonical));
    let args = Words::from_args(words.to_args()).map(|read| read.canonical());
    assert_eq!(args.as_ref(), Ok(&canonical));
    if !text.contains('\0') {
        let command = Words::parse(&words.to_command("scan", Shell::Sh));
        assert_eq!(command.map(|read| read.canonical()).as_ref(), Ok(&canonical));
    }
    let zoned = || now().to_timestamp().expect("a time").to_zoned(jiff::tz::TimeZone::UTC);
    if let Ok(filter) = words.filter(zoned) {
        let title = words.iter().next().map_or("", |word| word.value()).to_owned();
        let rule = Arc::new(RuleName { title, ..RuleName::default() });
        // Of no rules, none is one that has to be there, and none one that must not.
        assert_eq!(filter.rules_pass(&[]), filter.rules.is_empty());
        let only = Filter { not_rules: Vec::new(), ..filter.clone() };
        let none = Filter { not_rules: filter.rules, ..Filter::default() };
        if none.tests_rules() {
            // A word and its negation never agree.
            let rules = [rule];
            assert_ne!(only.rules_pass(&rules), none.rules_pass(&rules));
        }
    }
    let _ = words.logs();
}
