use super::*;

const SERVERS: &str = r#"
[servers."dc[1:3]"]
groups = ["dcs"]
logs = ["Directory Service"]
[servers.web]
"#;

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(&Text::of_a_test(text))
}

fn logs(config: &Config) -> Vec<(&str, Vec<&str>)> {
    let mut all = Vec::new();
    for followed in &config.followed {
        all.push((&*followed.entry.name, followed.logs.iter().map(String::as_str).collect()));
    }
    all
}

#[test]
fn a_server_has_the_logs_of_every_key_that_selects_it() {
    let text = format!(
        "{SERVERS}\n[follow]\n\"@all\" = [\"System\"]\n\"@dcs\" = [\"Security\", \"system\"]\ndc2 = []"
    );
    let config = parse(&text).unwrap();
    assert_eq!(
        logs(&config),
        [
            ("dc1", vec!["System", "Security"]),
            ("dc2", vec!["System", "Security", "Directory Service"]),
            ("dc3", vec!["System", "Security"]),
            ("web", vec!["System"]),
        ]
    );
}

#[test]
fn without_a_word_on_it_every_server_is_followed() {
    let config = parse(SERVERS).unwrap();
    let names = config.followed.iter().map(|followed| &*followed.entry.name);
    assert_eq!(names.collect::<Vec<_>>(), ["dc1", "dc2", "dc3", "web"]);
    assert_eq!(config.collect.first(), EVERY_RECORD);
    assert_eq!(config.store.retention(), None);
}

#[test]
fn a_mistake_has_its_place_and_the_word_that_was_meant() {
    let cases = [
        ("[store]\nretension = \"1d\"", (2, 1), "unknown field `retension`", Some("retention")),
        ("[store]\nretention = \"soon\"", (2, 13), "retention is", None),
        ("[store]\nretention = \"6m\"", (2, 13), "a number and d, w or y", None),
        ("\n[stor]\nurl = \"a\"", (2, 2), "has no `stor`", Some("store")),
        ("[follow]\n\"@dc\" = []", (2, 1), "no group `@dc`; did you mean @dcs?", None),
        ("[follow]\nweb = [\"System\", \"[\"]", (2, 18), "", None),
        ("[page]\nlisten = \"here\"", (2, 10), "an address and a port", None),
        ("[store]\nwriters = \"several\"\nurl = 5", (3, 7), "invalid type", None),
        ("[detect]\nrule = []", (2, 1), "unknown field `rule`", Some("rules")),
        ("[collect]\nmessages = \"servers\"", (2, 12), "unknown variant", Some("server")),
    ];
    for (text, (line, column), message, near) in cases {
        let error = parse(&format!("{text}\n{SERVERS}")).expect_err(text);
        assert_eq!(error.place, Some((line, column)), "{text}: {error}");
        assert!(error.message.contains(message), "{text}: {error}");
        let hint = error.hint.unwrap_or_default();
        assert!(near.is_none_or(|near| hint.contains(near)), "{text}: {hint}");
    }
}

#[test]
fn an_empty_file_is_a_mistake() {
    for text in ["", "\n", "# nothing yet\n"] {
        let error = parse(text).expect_err(text);
        assert!(error.message.contains("it is empty"), "{error}");
    }
    assert!(parse("[servers]\n").unwrap().followed.is_empty());
}

#[test]
fn what_contradicts_itself_is_refused() {
    for text in [
        "[store]\nflush-megabytes = 0",
        "[store]\nflush-megabytes = 512",
        "[store]\nflush-every = \"2h\"",
        "[store]\nurl = \"\"",
        "[collect]\nfirst = 20000",
        "[page]\nlisten = \"0.0.0.0:8420\"",
    ] {
        assert!(parse(&format!("{SERVERS}\n{text}")).is_err(), "{text}");
    }
}

#[test]
fn paths_start_from_the_folder_of_the_file() {
    let mut text = Text::of_a_test("[detect]\nrules = \"rules\"\n[store]\nurl = \"events\"");
    assert_eq!(Config::parse(&text).unwrap().detect, [PathBuf::from("rules")]);
    text = Text::of_a_test("[store]\nurl = \"s3://bucket/events\"");
    let config = Config::parse(&text).unwrap();
    assert_eq!(config.store.address(Path::new("/etc/quarry")), "s3://bucket/events");
    let local = Store { url: "events".to_owned(), ..Store::default() };
    assert_eq!(local.address(Path::new("/etc/quarry")), "/etc/quarry/events");
}
