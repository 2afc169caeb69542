//! Event queries from anyone: any text is refused at a place in it or is a query that is the same
//! when its text is read again, and that selects an event by the quick look as by its tree.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use quarry_event::Event;
use quarry_event::filter::{Filter, XPathLimits};
use quarry_event::query::{Query, Scratch};
use quarry_event::testing::{event, now};

static EVENTS: LazyLock<Vec<Event>> = LazyLock::new(|| {
    vec![
        event(
            r#"<Event xmlns="x"><System><Provider Name="P" Guid="{54849625-5478-4994-a5ba-3e3b0328c30d}"/>
            <EventID Qualifiers="0">4624</EventID><Level>2</Level><Keywords>0x8020000000000000</Keywords>
            <TimeCreated SystemTime="2026-08-22T10:00:00.1234567Z"/><Channel>Security</Channel>
            <Security/></System><EventData><Data Name="A">x</Data><Data Name="A">2</Data><Data>3</Data>
            <Data Name="B"/><Binary>00</Binary><ComplexData Name="C">y<Data>4</Data></ComplexData>
            </EventData></Event>"#,
        ),
        event("<Event><System/><UserData><X a='1'><Y>z</Y><Y b='2'>5</Y></X></UserData></Event>"),
    ]
});

fuzz_target!(|text: &str| {
    match Query::parse(text) {
        Err(error) => {
            assert!(error.place.byte() <= error.place.text().len());
            assert!(error.place.snippet().len() < 1000);
            assert!(error.to_string().len() < 1000);
        }
        Ok(query) => {
            assert_eq!(Query::parse(&query.to_string()).as_ref(), Ok(&query));
            let compiled = query.compile(now());
            let mut scratch = Scratch::default();
            let filter = Filter { query: Some(query), ..Filter::default() };
            let pushed = filter.to_xpath(&XPathLimits::default());
            // A query as deep as may be can be too deep by one inside another.
            let pushed = pushed.selects.iter().map(|select| Query::parse(select));
            let Ok(pushed) = pushed.collect::<Result<Vec<_>, _>>() else { return };
            let pushed: Vec<_> = pushed.iter().map(|query| query.compile(now())).collect();
            for event in &*EVENTS {
                let selected = compiled.matches(event, &mut scratch);
                assert_eq!(selected, compiled.matches_slowly(event));
                assert!(!selected || pushed.iter().any(|query| query.matches(event, &mut scratch)));
            }
        }
    }
});
