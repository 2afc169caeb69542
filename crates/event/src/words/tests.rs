use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::RuleName;
use crate::testing::{event, now};

fn zoned() -> jiff::Zoned {
    now().to_timestamp().unwrap().to_zoned(jiff::tz::TimeZone::UTC)
}

fn word(key: Key, value: &str) -> Word {
    Word::new(key, value)
}

fn not(key: Key, value: &str) -> Word {
    Word::new(key, value).negated().unwrap()
}

fn parsed(text: &str) -> Vec<Word> {
    Words::parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).words
}

#[test]
fn the_definitions_are_in_the_order_of_the_keys() {
    for (i, key) in Key::all().enumerate() {
        assert_eq!(key as usize, i);
        assert_eq!(Key::parse(&key.name().to_uppercase()), Ok(key));
    }
}

#[test]
fn what_is_typed_becomes_words() {
    use Key::*;
    for (text, expected) in [
        ("", vec![]),
        ("  \n", vec![]),
        ("on:@dcs  Log:Security", vec![word(On, "@dcs"), word(Log, "Security")]),
        ("-provider:Foo*", vec![not(Provider, "Foo*")]),
        ("since:\"2 days ago\"", vec![word(Since, "2 days ago")]),
        ("data.User=bob data.User~=^b", vec![word(Data, "User=bob"), word(Data, "User~=^b")]),
        ("data.User!=bob data.User!~=^b", vec![not(Data, "User=bob"), not(Data, "User~=^b")]),
        ("-data.User=bob -data.User!=x", vec![not(Data, "User=bob"), word(Data, "User=x")]),
        ("rule:*katz* -Rule:\"A B\"", vec![word(Rule, "*katz*"), not(Rule, "A B")]),
        ("quarry scan --rule *katz* --not=rule:x", vec![word(Rule, "*katz*"), not(Rule, "x")]),
        ("data:\"A B=c\"", vec![word(Data, "A B=c")]),
        ("data.Path=\"a \\\"b\\\" \\\\c\"", vec![word(Data, "Path=a \"b\" \\c")]),
        ("data.A=", vec![word(Data, "A=")]),
        ("alice \"logon failure\"", vec![word(Grep, "alice"), word(Grep, "logon failure")]),
        ("a+b -C:\\x", vec![word(Grep, r"a\+b"), not(Grep, r"C:\\x")]),
        ("/a b|c/ -/x/", vec![word(Grep, "a b|c"), not(Grep, "x")]),
        ("/var/log", vec![word(Grep, "/var/log")]),
        ("10:42 -", vec![word(Grep, "10:42"), word(Grep, r"\-")]),
        ("*[System[EventID=1]]", vec![word(Xpath, "*[System[EventID=1]]")]),
        (" Event/System[Level=2] ", vec![word(Xpath, "Event/System[Level=2]")]),
        (
            "<QueryList><Query><Select>*</Select></Query></QueryList>",
            vec![word(Xpath, "<QueryList><Query><Select>*</Select></Query></QueryList>")],
        ),
        ("quarry scan @dcs -i 4625", vec![word(On, "@dcs"), word(Id, "4625")]),
        (
            "/usr/bin/quarry tail 'a b' --not=id:1 -S-1h -- -x",
            vec![word(On, "a b"), not(Id, "1"), word(Since, "-1h"), word(On, "-x")],
        ),
        (
            "quarry count -l=Security --level error",
            vec![word(Log, "Security"), word(Level, "error")],
        ),
    ] {
        assert_eq!(parsed(text), expected, "{text}");
    }
}

#[test]
fn a_mistake_is_shown_at_its_place() {
    for (text, at, about) in [
        ("on:x provder:y", 5, "no word `provder`, but provider"),
        ("on:x http://y", 5, "no word `http`;"),
        ("id:46x4", 3, "`46x4` is not an event id"),
        ("on:x id:1,x", 10, "`x` is not an event id"),
        ("-on:x", 0, "`on` can't be negated"),
        ("-since:8h", 0, "`since` can't be negated"),
        ("since:soon", 6, "is not a time"),
        ("since:1M", 6, "minutes or months"),
        ("since:8h since:9h", 9, "only one `since`"),
        ("on:", 3, "the name of a source"),
        ("provider:\"x", 9, "not closed"),
        ("provider:x\"y\"", 10, "around a whole value"),
        ("\"a\"b", 3, "around a whole value"),
        ("/a(/", 2, "unclosed group"),
        ("rule:[a", 5, "not closed"),
        ("data.=x", 6, "is not NAME=VALUE"),
        ("*[System[EventID=]]", 17, "expected"),
        ("quarry hosts list", 0, "asks for no events"),
        ("quarry scan 'x", 0, "not closed"),
        ("quarry scan x --jd 4", 0, "did you mean id?"),
        ("quarry scan x -o json", 0, "`-o` doesn't say which events"),
        ("quarry scan x -i", 0, "needs a value"),
    ] {
        let error = Words::parse(text).expect_err(text);
        assert!(error.to_string().contains(about), "{text}: {error}");
        assert_eq!(error.place.byte(), at, "{text}: {error}");
    }
    let error = Words::parse_address("on=x&levle=error").unwrap_err().to_string();
    assert!(error.contains("no word `levle`, but level"), "{error}");
    assert!(Words::parse_address("not=provider").is_err());
    let many = "x ".repeat(MAX_WORDS + 1);
    assert!(Words::parse(&many).unwrap_err().to_string().contains("1000 words"));
}

#[test]
fn each_form_is_that_of_the_documentation() {
    let text = "on:@dcs log:Security since:8h id:4624,!4634 data.User=bob \"logon failure\" \
                -provider:\"Foo Bar*\" -data.User~=^x";
    let words = Words::parse(text).unwrap();
    assert_eq!(words.to_string(), text);
    assert_eq!(
        words.to_address(),
        "on=%40dcs&log=Security&since=8h&id=4624%2C%214634&data=User%3Dbob&grep=logon+failure\
         &not=provider%3AFoo+Bar*&not=data%3AUser%7E%3D%5Ex"
    );
    assert_eq!(
        words.to_command("scan", Shell::Sh),
        "quarry scan '@dcs' -l Security -S 8h -i '4624,!4634' --data=User=bob -g 'logon failure' \
         '--not=provider:Foo Bar*' '--not=data:User~=^x'"
    );
    let quote = Words::parse("data.A=\"it's\"").unwrap();
    assert_eq!(quote.to_command("scan", Shell::Sh), r"quarry scan '--data=A=it'\''s'");
    assert_eq!(quote.to_command("scan", Shell::PowerShell), "quarry scan '--data=A=it''s'");
}

#[test]
fn words_become_a_filter() {
    let of = |text: &str| Words::parse(text).unwrap().filter(zoned).unwrap();
    let an_event = event(
        "<Event><System><EventID>4625</EventID><Channel>Security</Channel></System><EventData>\
         <Data Name='User'>Bob</Data></EventData></Event>",
    );
    for (text, expected) in [
        ("", true),
        ("id:4624 id:4625", true),
        ("data.user=bob bob /B.b/", true),
        ("bob alice", false),
        ("-id:4625", false),
        ("-id:4624 -data.Other=x -provider:*", true),
        ("-log:sec*", false),
        ("data.user!=bob", false),
        ("-xpath:*[System[EventID=4625]]", false),
    ] {
        assert_eq!(of(text).matcher(now()).matches(&an_event, None), expected, "{text}");
    }
    assert!(Words::parse("id:1").unwrap().filter(|| panic!("no time")).is_ok());
    let error = Words::parse("since:1h until:2h").unwrap().filter(zoned).unwrap_err();
    assert_eq!(error.key, Key::Since);
    assert!(error.to_string().contains("is after the last"), "{error}");
    let logs = Words::parse("log:A* -log:B").unwrap().logs().unwrap();
    assert_eq!(logs.len(), 1);
}

#[test]
fn rules_are_asked_for_by_identifier_and_title() {
    let rule = |id: &str, title: &str| {
        Arc::new(RuleName { id: id.into(), title: title.into(), ..RuleName::default() })
    };
    let rules = [rule("0022869c-47f4", "Mimikatz DC Sync"), rule("", "Shadow Copies Deletion")];
    for (text, expected, of_none) in [
        ("", true, true),
        ("rule:*MIMIKATZ*", true, false),
        ("rule:0022869C-*", true, false),
        ("rule:\"shadow copies deletion\"", true, false),
        // Any of several.
        ("rule:other rule:shadow*", true, false),
        ("rule:shadow", false, false),
        ("-rule:shadow", true, true),
        ("-rule:shadow*", false, true),
        ("rule:*sync -rule:*deletion", false, false),
        ("id:1 -id:2", true, true),
    ] {
        let filter = Words::parse(text).unwrap().filter(zoned).unwrap();
        assert_eq!(filter.rules_pass(&rules), expected, "{text}");
        assert_eq!(filter.rules_pass(&[]), of_none, "{text}");
        assert_eq!(filter.tests_rules(), text.contains("rule"), "{text}");
        assert_eq!(filter.matcher(now()).rules_pass(&rules), expected, "{text}");
    }
    // A rule without an identifier isn't one that any identifier is.
    let filter = Words::parse("rule:*").unwrap().filter(zoned).unwrap();
    assert!(!filter.rules_pass(&[rule("", "")]));
}

fn value_of(key: Key) -> BoxedStrategy<String> {
    let names = "[A-Za-z0-9 .\\\\:\"'=~!-]{1,8}|[ -~é]{1,12}|\\PC{1,6}";
    match key {
        Key::Since | Key::Until => {
            prop::sample::select(&["8h", "2 days ago", "-1h", "@1700000000"][..])
                .prop_map(str::to_owned)
                .boxed()
        }
        Key::Id => "(!?[0-9]{1,4}(-9999)?,){0,2}[0-9]{1,3}".boxed(),
        Key::Level => "error|warning\\.\\.error|audit-failure,2".boxed(),
        Key::Data => "[A-Za-z .~!\"\\\\-]{1,6}(=|~=|==)[a-z \"\\\\*é]{0,8}".boxed(),
        Key::Grep => prop_oneof![
            "[a-z /\\\\.\"-]{0,10}",
            "\\PC{0,8}".prop_map(|text| regex_syntax::escape(&text))
        ]
        .boxed(),
        Key::Xpath => crate::testing::queries().boxed(),
        _ => names.boxed(),
    }
}

fn any_word() -> impl Strategy<Value = Word> {
    let key = prop::sample::select(Key::all().collect::<Vec<_>>());
    key.prop_flat_map(|key| (Just(key), value_of(key), any::<bool>()))
        .prop_map(|(key, value, negated)| Word {
            key,
            value,
            negated: negated && key.can_be_negated(),
        })
        .prop_filter("a value that can be understood", |word| word.check().is_ok())
}

fn any_words() -> impl Strategy<Value = Words> {
    prop::collection::vec(any_word(), 0..6).prop_map(|some| {
        let mut words = Words::new();
        for word in some {
            let _ = words.push(word);
        }
        words
    })
}

#[test]
fn a_word_whose_value_ends_as_the_programs_path_does_is_no_command() {
    for text in ["xpath:*/quarry", "data.Image=/usr/bin/quarry", "-provider:x/quarry"] {
        let words = Words::parse(text).unwrap();
        assert_eq!(words.to_string(), text);
    }
    assert_eq!(Words::parse(r"C:\bin\quarry.exe scan dc01").unwrap().to_string(), "on:dc01");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn words_are_read_again_from_each_form(words in any_words()) {
        let read = Words::parse(&words.to_string());
        prop_assert_eq!(read.as_ref(), Ok(&words), "{}", words);
        let canonical = words.canonical();
        let address = words.to_address();
        let read = Words::parse_address(&address).unwrap();
        prop_assert_eq!(&read, &canonical, "{}", address);
        prop_assert_eq!(read.to_address(), address);
        let read = Words::from_args(words.to_args()).unwrap();
        prop_assert_eq!(&read.canonical(), &canonical, "{:?}", words.to_args());
        let command = words.to_command("scan", Shell::Sh);
        prop_assert_eq!(&Words::parse(&command).unwrap().canonical(), &canonical, "{}", command);
        let filter = words.filter(zoned);
        prop_assert_eq!(&canonical.filter(zoned).is_ok(), &filter.is_ok());
    }

    #[test]
    fn a_word_about_a_rule_and_its_negation_never_agree(
        glob in "[a-cA-C*?]{1,4}", titles in prop::collection::vec("[a-cA-C]{0,4}", 0..4),
    ) {
        let rules: Vec<Arc<RuleName>> = titles
            .into_iter()
            .map(|title| Arc::new(RuleName { title, ..RuleName::default() }))
            .collect();
        let of = |word: Word| {
            let filter = Words { words: vec![word] }.filter(zoned).unwrap();
            filter.rules_pass(&rules)
        };
        prop_assert_ne!(of(word(Key::Rule, &glob)), of(not(Key::Rule, &glob)));
    }

    #[test]
    fn any_text_is_words_or_refused_at_a_place(
        text in "([a-z]{1,3}|on:|data\\.|=|!|~|-|\"|/|\\\\|\\*|<|quarry | |'|é|id:|\\PC){0,12}"
    ) {
        match Words::parse(&text) {
            Ok(words) => {
                let again = Words::parse(&words.to_string());
                prop_assert_eq!(again.as_ref(), Ok(&words), "{}", words);
            }
            Err(error) => prop_assert!(error.place.byte() <= error.place.text().len()),
        }
        let _ = Words::parse_address(&text);
        let _ = Words::from_args(text.split(' '));
    }
}

#[test]
fn a_provider_is_found_by_the_name_that_tables_print() {
    let passes = |words: &str, provider: &str| {
        let filter = Words::parse(words).unwrap().filter(zoned).unwrap();
        let xml = format!("<Event><System><Provider Name='{provider}'/></System></Event>");
        filter.matcher(now()).matches(&event(&xml), None)
    };
    for (words, provider, expected) in [
        ("provider:Kernel-General", "Microsoft-Windows-Kernel-General", true),
        ("provider:kernel-*", "Microsoft-Windows-Kernel-General", true),
        ("provider:Kernel-General", "Kernel-General", true),
        ("provider:General", "Microsoft-Windows-Kernel-General", false),
        ("provider:microsoft-windows-kernel-general", "Microsoft-Windows-Kernel-General", true),
        ("-provider:Kernel-General", "Microsoft-Windows-Kernel-General", false),
        ("-provider:Kernel-General", "Microsoft-Windows-Kernel-Boot", true),
    ] {
        assert_eq!(passes(words, provider), expected, "{words} {provider}");
    }
}
