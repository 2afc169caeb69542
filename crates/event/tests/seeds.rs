//! The seeds of the fuzz target `event_query`, so that each change is tested on them.

use quarry_event::query::Query;

#[test]
fn every_seed_is_refused_or_the_same_when_read_again() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/event_query");
    let (mut queries, mut refused) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        match Query::parse(&text) {
            Ok(query) => {
                assert_eq!(Query::parse(&query.to_string()), Ok(query));
                queries += 1;
            }
            Err(error) => {
                assert!(!error.place.snippet().is_empty());
                refused += 1;
            }
        }
    }
    assert!(queries >= 13 && refused >= 3, "{queries} read, {refused} refused");
}
