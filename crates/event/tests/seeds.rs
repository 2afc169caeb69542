//! The seeds of the fuzz targets `event_query` and `words`, so that each change is tested on them.

#[path = "../../../fuzz/targets/words.rs"]
#[cfg(feature = "testing")]
mod words;

use quarry_event::query::Query;

/// The texts of a target's seeds.
fn seeds(target: &str) -> Vec<String> {
    let folder = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(folder).unwrap();
    let text = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    entries.map(|entry| text(entry.unwrap().path())).collect()
}

#[test]
fn every_seed_is_refused_or_the_same_when_read_again() {
    let (mut queries, mut refused) = (0, 0);
    for text in seeds("event_query") {
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

/// And each beginning of one, and each without one of its characters.
#[cfg(feature = "testing")]
#[test]
fn every_seed_of_words_is_refused_or_the_same_in_each_form() {
    for text in seeds("words") {
        words::run(&text);
        for (at, c) in text.char_indices() {
            words::run(&text[..at]);
            words::run(&format!("{}{}", &text[..at], &text[at + c.len_utf8()..]));
        }
    }
}
