//! `quarry detect` on files: rules from folders, files and archives, what is said of them, and what
//! is printed of events that they match.

use std::io::Write as _;

use super::*;

const FAILED: &str = "title: A logon failed
id: 5e9a3a5c-0000-4000-8000-000000000001
status: stable
level: high
tags: [attack.t1110, attack.credential-access]
logsource: { product: windows, service: security }
detection:
  failed:
    EventID: 4625
  not_bob:
    TargetUserName: BOB
  condition: failed and not not_bob
";

const ANY: &str = "title: Somebody
id: 5e9a3a5c-0000-4000-8000-000000000002
status: experimental
level: low
logsource: { product: windows, service: security }
detection:
  who: { TargetUserName: [alice, carol] }
  condition: who
";

const NOWHERE: &str = "title: Nowhere
id: 5e9a3a5c-0000-4000-8000-000000000003
logsource: { product: windows, category: image_load }
detection: { a: { Image: x }, condition: a }
---
title: On another system
logsource: { product: linux, service: auditd }
detection: { a: { Image: x }, condition: a }
";

const BROKEN: &str = "title: Broken
logsource: { service: security }
detection:
  a: { A|nosuch: 1 }
  condition: a
";

fn rules() -> TempDir {
    let folder = logs();
    let rules = folder.path().join("rules");
    fs::create_dir_all(rules.join("more")).unwrap();
    fs::write(rules.join("a_failed.yml"), FAILED).unwrap();
    fs::write(rules.join("more/any.yml"), ANY).unwrap();
    fs::write(rules.join("more/nowhere.YAML"), NOWHERE).unwrap();
    fs::write(rules.join("z_broken.yml"), BROKEN).unwrap();
    fs::write(rules.join("readme.txt"), "no rule").unwrap();
    folder
}

fn detect(folder: &TempDir, args: &[&str]) -> Ran {
    run(folder.path(), &[&["detect", "--rules", "rules"], args].concat())
}

/// Who each event is about, and its rules.
fn marks(ran: &Ran) -> Vec<(String, Vec<String>)> {
    let mark = |line: &str| {
        let event = json(line);
        let rules = event["rules"].as_array().unwrap().iter();
        let rules = rules.map(|rule| rule["title"].as_str().unwrap().to_owned()).collect();
        (event["data.TargetUserName"].as_str().unwrap().to_owned(), rules)
    };
    ran.stdout.lines().map(mark).collect()
}

const MARKS: [&str; 4] = ["-o", "jsonl", "--fields", "data.TargetUserName,rules"];

fn mark(user: &str, rules: &[&str]) -> (String, Vec<String>) {
    (user.to_owned(), rules.iter().map(|rule| (*rule).to_owned()).collect())
}

#[test]
fn events_that_match_are_printed_with_their_rules_and_the_summary_says_what_ran() {
    let folder = rules();
    let ran = detect(&folder, &[&["./"], &MARKS[..]].concat());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let expected = [
        mark("alice", &["Somebody"]),
        mark("carol", &["Somebody"]),
        mark("alice", &["Somebody"]),
        mark("Alice", &["A logon failed", "Somebody"]),
    ];
    assert_eq!(marks(&ran), expected);
    for line in [
        "warning: z_broken.yml:4: unknown modifier `nosuch`",
        "2 of 2 files read; 6 records, 4 matched",
        "5 rules: 2 ran, 1 had no event to look at, 1 can't run, 1 refused",
        "  2 had events of their channels in ./a.evtx, ./sub/b.evtx",
        "  can't run: 1 rule is for products other than windows",
        "  no event came of Microsoft-Windows-Sysmon/Operational (1)",
    ] {
        assert!(ran.stderr.lines().any(|said| said == line), "{line}\n{}", ran.stderr);
    }
}

#[test]
fn an_event_s_json_has_its_rules_and_an_event_without_has_no_such_member() {
    let folder = rules();
    let ran = detect(&folder, &["sub", "-o", "jsonl", "--rule", "A logon failed"]);
    let event = json(ran.lines()[0]);
    let expected = serde_json::json!([{
        "id": "5e9a3a5c-0000-4000-8000-000000000001", "title": "A logon failed", "level": "high",
        "tags": ["attack.t1110", "attack.credential-access"],
    }]);
    assert_eq!(event["rules"], expected);
    let scan = run(folder.path(), &["scan", "sub", "-o", "jsonl"]);
    assert!(scan.lines().iter().all(|line| json(line).get("rules").is_none()));
    // Everything else is the same.
    let same = |line: &&&str| json(line)["log_record"] == event["log_record"];
    let mut plain = event.clone();
    plain.as_object_mut().unwrap().remove("rules");
    assert_eq!(json(scan.lines().iter().find(same).unwrap()), plain);
}

#[test]
fn rules_are_chosen_by_level_status_tag_name_and_a_file_of_exceptions() {
    let folder = rules();
    fs::write(folder.path().join("no.txt"), "# not this\nA LOGON failed # because\n").unwrap();
    let titles = |args: &[&str]| {
        let ran = detect(&folder, &[args, &["./"], &MARKS[..]].concat());
        let mut titles: Vec<String> =
            marks(&ran).into_iter().flat_map(|(_, rules)| rules).collect();
        titles.sort();
        titles.dedup();
        (titles.join(", "), ran)
    };
    for (args, expected) in [
        (&["--level", "medium"][..], "A logon failed"),
        (&["--level", "low"], "A logon failed, Somebody"),
        (&["--status", "experimental"], "Somebody"),
        (&["--status", "stable,experimental"], "A logon failed, Somebody"),
        (&["--tag", "attack.t11*"], "A logon failed"),
        (&["--rule", "5e9a3a5c-0000-4000-8000-000000000002"], "Somebody"),
        (&["--rule", "any"], "Somebody"),
        (&["--exclude", "no.txt"], "Somebody"),
    ] {
        let (titles, ran) = titles(args);
        assert_eq!(titles, expected, "{args:?} {}", ran.stderr);
        assert!(ran.stderr.contains(" left out, as asked for") || args[1] == "low");
    }
    let (_, ran) = titles(&["--rule", "nothing"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("none of the 4 rules"), "{}", ran.stderr);
    let (_, ran) = titles(&["--status", "new"]);
    assert!(ran.stderr.contains("there is no status `new`"), "{}", ran.stderr);
}

#[test]
fn events_that_match_a_rule_can_be_left_out_and_only_detect_knows_rules() {
    let folder = rules();
    let ran = detect(&folder, &[&["./", "--not", "rule:*logon*"], &MARKS[..]].concat());
    let somebody = |user| mark(user, &["Somebody"]);
    assert_eq!(marks(&ran), ["alice", "carol", "alice"].map(somebody));
    let ran = run(folder.path(), &["scan", "./", "--not", "rule:*logon*"]);
    assert_eq!(ran.status, Some(2));
    for args in [["scan", "./", "--rule", "any"], ["count", "./", "--rule", "any"]] {
        let ran = run(folder.path(), &args);
        assert_eq!(ran.status, Some(2), "{args:?}");
        for text in ["--rule: events of servers and files don't say", "quarry detect --rules"] {
            assert!(ran.stderr.contains(text), "{args:?} {}", ran.stderr);
        }
    }
}

#[test]
fn rules_in_a_zip_archive_are_those_of_the_folder() {
    let folder = rules();
    let mut zip = zip::ZipWriter::new(fs::File::create(folder.path().join("rules.zip")).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    for (name, text) in [("x/a_failed.yml", FAILED), ("x/any.yml", ANY), ("x/LICENSE", "no rule")] {
        zip.start_file(name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let args = [&["detect", "--rules", "rules.zip", "./"], &MARKS[..]].concat();
    let ran = run(folder.path(), &args);
    assert_eq!(marks(&ran), marks(&detect(&folder, &[&["./"], &MARKS[..]].concat())));
    assert!(ran.stderr.contains("2 rules: 2 ran"), "{}", ran.stderr);
    let ran = run(folder.path(), &["detect", "--rules", "sub", "./"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("there are no rules in sub"), "{}", ran.stderr);
}

#[test]
fn hits_are_counted_by_rule_host_and_level() {
    let folder = rules();
    let lines = |by: &str| {
        let ran = detect(&folder, &["./", "--by", by, "-o", "csv"]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let line = |line: &str| {
            line.split(',').take(if by == "rule" { 4 } else { 2 }).collect::<Vec<_>>().join(",")
        };
        ran.stdout.lines().skip(1).map(line).collect::<Vec<_>>()
    };
    let somebody = "low,Somebody,5e9a3a5c-0000-4000-8000-000000000002,4";
    let failed = "high,A logon failed,5e9a3a5c-0000-4000-8000-000000000001,1";
    assert_eq!(lines("rule"), [somebody, failed]);
    assert_eq!(lines("level"), ["high,1", "low,3"]);
    let hosts = lines("host");
    assert_eq!(hosts.len(), 1);
    assert!(hosts[0].ends_with(",4"), "{hosts:?}");
}

#[test]
fn a_plan_lists_where_each_rule_looks_and_reads_nothing() {
    let folder = rules();
    let ran = detect(&folder, &["--plan", "-o", "jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let find =
        |title: &str| ran.lines().into_iter().map(json).find(|line| line["rule"] == title).unwrap();
    let failed = find("A logon failed");
    assert_eq!((&failed["channel"], &failed["ids"]), (&"Security".into(), &"4625".into()));
    assert_eq!((&failed["runs"], &failed["because"]), (&"whole".into(), &serde_json::json!([])));
    assert_eq!(find("Somebody")["ids"], "all");
    let elsewhere = find("On another system");
    let why = serde_json::json!(["its product is linux, not windows"]);
    assert_eq!((&elsewhere["runs"], &elsewhere["because"]), (&"never".into(), &why));
    assert!(ran.stderr.contains("5 rules: 3 can run, 1 can't run, 1 refused"), "{}", ran.stderr);
}

const MADE: &str = "title: A process was created
id: 5e9a3a5c-0000-4000-8000-000000000004
logsource: { product: windows, service: security }
detection: { a: { EventID: 4688, NewProcessName: x }, condition: a }
";

#[test]
fn a_plan_of_files_says_of_each_what_is_in_it_and_what_can_t_match_there() {
    let folder = rules();
    fs::write(folder.path().join("rules/made.yml"), MADE).unwrap();
    let ran = detect(&folder, &["--plan", "a.evtx", "sub", "-o", "jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let lines: Vec<_> = ran.lines().into_iter().map(json).collect();
    assert_eq!(lines.len(), 2, "{}", ran.stdout);
    for (line, source, has) in [
        (&lines[0], "a.evtx", serde_json::json!(["Security 4624,4625,4634"])),
        (&lines[1], "b.evtx", serde_json::json!(["Security 4624,4625"])),
    ] {
        assert!(line["source"].as_str().unwrap().ends_with(source), "{line}");
        assert_eq!((&line["run"], &line["cannot"]), (&2.into(), &3.into()), "{line}");
        assert_eq!(line["has"], has);
        assert_eq!(line["unseen"], serde_json::Value::Null);
        let because = line["because"].to_string();
        for why in [
            "Security has none of 4688 (Process Creation) (1)",
            "no records of Microsoft-Windows-Sysmon/Operational (1)",
            "its product is linux, not windows (1)",
        ] {
            assert!(because.contains(why), "{because}");
        }
    }
    // The same that a detection says.
    let ran = detect(&folder, &["--plan", "nowhere.evtx", "-o", "jsonl"]);
    assert_eq!(ran.status, Some(2), "{} {}", ran.stdout, ran.stderr);
}

/// One that 4688 has half of, and one that looks at what it hasn't.
const HALF: &str = "title: Something that is said at some length about a process with a long name
id: 5e9a3a5c-0000-4000-8000-000000000005
level: critical
logsource: { product: windows, category: process_creation }
detection:
  a: { Image|endswith: x.exe }
  b: { OriginalFileName: x.exe, Company: y, Product: z }
  condition: a or b
---
title: Never of 4688
level: medium
logsource: { product: windows, category: process_creation }
detection: { a: { Hashes|contains: IMPHASH=0123456789abcdef }, condition: a }
";

#[test]
fn what_is_said_of_rules_fits_80_and_120_columns() {
    let folder = rules();
    fs::write(folder.path().join("rules/made.yml"), MADE).unwrap();
    fs::write(folder.path().join("rules/half.yml"), HALF).unwrap();
    let of_rules = ["detect", "--rules", "rules"];
    let commands = [
        &["--plan", "-o", "table"][..],
        &["--plan", "a.evtx", "sub", "-o", "table"],
        &["a.evtx", "sub", "-o", "table"],
        &["a.evtx", "sub", "--by", "rule", "-o", "table"],
    ];
    let commands = commands.map(|args| [&of_rules[..], args].concat());
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    insta::assert_snapshot!(at_both_widths(folder.path(), &commands));
}

#[test]
fn a_summary_tells_of_each_source_how_many_rules_had_events_there() {
    let folder = rules();
    let sysmon = "Microsoft-Windows-Sysmon/Operational";
    let of = |n: u64, channel: &'static str| {
        let id = if channel == sysmon { 7 } else { 4625 };
        Event { channel, ..event(n, n * 10, id, "dave") }
    };
    let logs: [(&str, &[&'static str]); 7] = [
        ("all", &["Security", sysmon, "One", "Two", "Three"]),
        ("four", &["Security", sysmon, "One"]),
        ("sysmon", &[sysmon]),
        ("sysmon2", &["System", sysmon]),
        ("three", &["Security", sysmon]),
        ("two", &["Security"]),
        ("system", &["System"]),
    ];
    for (name, channels) in logs {
        let events = channels.iter().zip(1..).map(|(channel, n)| of(n, channel)).collect();
        fs::write(folder.path().join(format!("logs_{name}.evtx")), file(&[events])).unwrap();
    }
    let mut mapping = String::new();
    let mut more = Vec::new();
    for name in ["One", "Two", "Three"] {
        mapping += &format!("[service.{name}]\nsources = [{{ channel = \"{name}\" }}]\n");
        more.push(format!(
            "title: {name}\nlogsource: {{ product: windows, service: {name} }}\n\
             detection: {{ a: {{ A: x }}, condition: a }}\n"
        ));
    }
    fs::write(folder.path().join("rules/mapped.yml"), more.join("---\n")).unwrap();
    fs::write(folder.path().join("mine.toml"), mapping).unwrap();
    let names: Vec<String> = logs.iter().map(|(name, _)| format!("logs_{name}.evtx")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let said = |args: &[&str]| {
        let ran = detect(&folder, &[&["--mapping", "mine.toml"], args].concat());
        // The only user is dave, whom one rule is about.
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        let lines = ran.stderr.lines().filter(|line| line.contains(" had "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = [
        "  6 had events of their channels in logs_all.evtx",
        "  4 had events of their channels in logs_four.evtx",
        "  3 had events of their channels in logs_three.evtx",
        "  2 had events of their channels in logs_two.evtx",
        "  1 had events of their channels in 2 more; --plan counts them by source",
        "  none had events of their channels in logs_system.evtx",
    ];
    assert_eq!(said(&names), expected);
    // The same of each file, as the plan counts.
    let plan = [&["--mapping", "mine.toml", "--plan", "-o", "jsonl"], &names[..]].concat();
    let run: Vec<u64> = detect(&folder, &plan)
        .lines()
        .into_iter()
        .map(|line| json(line)["run"].as_u64().unwrap())
        .collect();
    assert_eq!(run, [6, 4, 1, 1, 3, 2, 0]);
    // What is so of all is said once.
    assert_eq!(
        said(&["logs_two.evtx"]),
        ["8 rules: 2 ran, 4 had no event to look at, 1 can't run, 1 refused"]
    );
}

#[test]
fn a_rule_is_explained_test_by_test() {
    let folder = rules();
    let ran = detect(&folder, &["--explain", "a_failed"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    for line in [
        "  route    Security 4625: runs",
        "  XPath    *[System[EventID=4625]]",
        "  failed",
        "    EventID (line 9)",
    ] {
        assert!(ran.stdout.lines().any(|said| said == line), "{line}\n{}", ran.stdout);
    }
    // Of the event that its filter takes away, and of one that it matches.
    let ran = detect(&folder, &["--explain", "5e9a3a5c-0000-4000-8000-000000000001", "a.evtx#2"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    for line in [
        "a.evtx, record 2: it doesn't match",
        "no  all of",
        "yes   failed",
        "yes     EventID (line 9): `4625`",
        "no    not",
        "yes       TargetUserName (line 11): `bob`",
    ] {
        assert!(ran.stdout.lines().any(|said| said == line), "{line}\n{}", ran.stdout);
    }
    let ran = detect(&folder, &["--explain", "a_failed", "sub/b.evtx#2"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stdout);
    assert!(ran.stdout.contains("sub/b.evtx, record 2: it matches"), "{}", ran.stdout);
    // An event as it is printed, and one of fields alone.
    let printed = run(folder.path(), &["scan", "sub/b.evtx", "-i", "4625", "-o", "jsonl"]);
    fs::write(folder.path().join("event.jsonl"), printed.stdout).unwrap();
    let fields = r#"{"Channel":"Security","EventID":4625,"TargetUserName":null}"#;
    fs::write(folder.path().join("fields.json"), fields).unwrap();
    for file in ["event.jsonl", "fields.json"] {
        let ran = detect(&folder, &["--explain", "a_failed", file]);
        assert!(ran.stdout.contains(&format!("{file}, event 1: it matches")), "{}", ran.stdout);
    }
    // An array, as `scan -o json` prints it; what is in System is no data.
    let array = run(folder.path(), &["scan", "sub/b.evtx", "-i", "4625", "-o", "json"]).stdout;
    fs::write(folder.path().join("array.json"), array).unwrap();
    let ran = detect(&folder, &["--explain", "a_failed", "array.json"]);
    assert!(ran.stdout.contains("array.json, event 1: it matches"), "{}", ran.stdout);
    fs::write(folder.path().join("number.json"), "[1]").unwrap();
    let ran = detect(&folder, &["--explain", "a_failed", "number.json"]);
    assert_eq!(ran.status, Some(2));
    let keyword = FAILED.replace("failed:\n    EventID: 4625", "failed: ['4625']");
    fs::write(folder.path().join("rules/keyword.yml"), keyword.replace("0001", "0009")).unwrap();
    let ran = detect(&folder, &["--explain", "keyword", "fields.json"]);
    assert!(ran.stdout.contains("fields.json, event 1: it doesn't match"), "{}", ran.stdout);
    let ran = detect(&folder, &["--explain", "nosuch"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("there is no rule nosuch"), "{}", ran.stderr);
}

#[test]
fn an_explanation_has_nothing_of_its_rule_that_acts_on_a_terminal() {
    let folder = rules();
    let text = "title: \"T\\e]0;owned\\a\\nrow \\u202e x\"\nid: \"i\\e[7m\"\ntags: [\"a\\e[7m\"]\nlogsource: \
                { service: security }\ndetection:\n  \"s\\e[7m\": { \"F\\e[5m\": \"v\\e[0m\" }\n  condition: 1 of \
                them\n";
    fs::write(folder.path().join("rules/evil.yml"), text).unwrap();
    for args in [&["--explain", "evil"][..], &["--explain", "evil", "a.evtx#2"]] {
        let ran = detect(&folder, args);
        assert!(ran.stdout.contains("␛[7m") && ran.stdout.contains("␛[5m"), "{}", ran.stdout);
        assert!(!ran.stdout.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{:?}", ran.stdout);
        assert!(ran.stdout.starts_with("T␛]0;owned␇ row"), "{:?}", ran.stdout);
    }
}

#[test]
fn rules_are_excluded_by_titles_with_hashes_and_a_line_that_names_none_is_reported() {
    let folder = rules();
    fs::write(folder.path().join("rules/c.yml"), ANY.replace("Somebody", "C# IL Code")).unwrap();
    fs::write(folder.path().join("no.txt"), "\u{feff}C# IL code\n#all\nnosuch # typo\n").unwrap();
    let ran = detect(&folder, &["./", "--exclude", "no.txt"]);
    assert!(!ran.stdout.contains("C# IL Code"), "{}", ran.stdout);
    assert!(ran.stderr.contains("--exclude: nosuch is no rule"), "{}", ran.stderr);
    assert!(ran.stderr.contains("1 left out, as asked for"), "{}", ran.stderr);
}

#[test]
fn a_folder_named_twice_is_read_once_and_a_damaged_member_is_no_end() {
    let folder = rules();
    let twice =
        run(folder.path(), &["detect", "--rules", "rules", "--rules", "rules/../rules", "./"]);
    assert!(twice.stderr.contains("5 rules: 2 ran"), "{}", twice.stderr);
    let mut zip = zip::ZipWriter::new(fs::File::create(folder.path().join("rules.zip")).unwrap());
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, text) in [("a.yml", "title: damaged here"), ("b.yml", FAILED), ("c.yml", ANY)] {
        zip.start_file(name, options).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let path = folder.path().join("rules.zip");
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|part| part == b"damaged").unwrap();
    fs::write(&path, [&bytes[..at], b"DAMAGED", &bytes[at + 7..]].concat()).unwrap();
    let ran = run(folder.path(), &["detect", "--rules", "rules.zip", "./"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("rules.zip: a.yml: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("2 rules: 2 ran"), "{}", ran.stderr);
}

#[test]
fn what_is_after_a_last_separator_is_no_rule_and_all_that_are_refused_can_be_listed() {
    let folder = rules();
    fs::write(folder.path().join("rules/more/any.yml"), format!("{ANY}---\n")).unwrap();
    for n in 0..30 {
        let text = BROKEN.replace("nosuch", &format!("no{n}"));
        fs::write(folder.path().join(format!("rules/x{n}.yml")), text).unwrap();
    }
    let ran = detect(&folder, &["./"]);
    assert!(
        ran.stderr.contains("35 rules: 2 ran") && ran.stderr.contains("31 refused"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("11 more rules are refused: -v names them"), "{}", ran.stderr);
    let ran = detect(&folder, &["./", "-v"]);
    let named = (0..30).filter(|n| ran.stderr.contains(&format!("`no{n}`"))).count();
    assert_eq!(named, 30, "{}", ran.stderr);
    let ran = detect(&folder, &["--plan", "-o", "jsonl"]);
    let refused = ran.lines().into_iter().map(json);
    let refused = refused.filter(|line| line["runs"] == "refused");
    assert_eq!(refused.count(), 31, "{}", ran.stdout);
}

#[test]
fn options_that_would_have_no_effect_are_refused() {
    let folder = rules();
    for args in [
        &["./", "--by", "level", "--unique"][..],
        &["./", "--by", "level", "--sort", "time"],
        &["./", "--by", "level", "--fields", "time"],
        &["--explain", "a_failed", "-o", "csv"],
        &["--explain", "a_failed", "-S", "1d"],
        &["--plan", "./", "-i", "4624"],
        &["--plan", "./", "-S", "1d"],
    ] {
        let ran = detect(&folder, args);
        assert_eq!(ran.status, Some(2), "{args:?} {}", ran.stderr);
        assert!(ran.stderr.contains("cannot be used with"), "{args:?} {}", ran.stderr);
    }
    let ran = detect(&folder, &["./", "--rule", "logon"]);
    assert!(ran.stderr.contains("'*logon*'"), "{}", ran.stderr);
}

#[test]
fn a_mapping_of_one_s_own_is_put_over_quarry_s() {
    let folder = rules();
    let text = "[service.security]\nsources = [{ channel = \"Elsewhere\" }]\n";
    fs::write(folder.path().join("mine.toml"), text).unwrap();
    let ran = detect(&folder, &["--mapping", "mine.toml", "./"]);
    assert_eq!(ran.status, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("no event came of Elsewhere (2)"), "{}", ran.stderr);
    fs::write(folder.path().join("mine.toml"), "[service.security]\nsource = 1\n").unwrap();
    let ran = detect(&folder, &["--mapping", "mine.toml", "./"]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.stderr.contains("mine.toml"), "{}", ran.stderr);
}

#[test]
fn scan_s_options_hold_for_what_matches() {
    let folder = rules();
    let ran =
        detect(&folder, &[&["./", "-i", "4624", "--sort", "time", "-r"], &MARKS[..]].concat());
    assert_eq!(marks(&ran), [mark("carol", &["Somebody"]), mark("alice", &["Somebody"])]);
    let ran = detect(&folder, &[&["a.evtx", "-n", "1"], &MARKS[..]].concat());
    assert_eq!(marks(&ran), [mark("alice", &["Somebody"])]);
    // What is saved as a log is what is printed.
    let ran = quarry(folder.path())
        .args(["detect", "--rules", "rules", "a.evtx", "sub", "-o", "evtx"])
        .stdout(fs::File::create(folder.path().join("hits.evtx")).unwrap())
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let saved = run(folder.path(), &["scan", "hits.evtx", "-o", "jsonl"]);
    assert_eq!(saved.lines().len(), 4);
    let csv = detect(&folder, &["./", "-o", "csv"]);
    assert!(csv.lines()[0].contains(",rules,"), "{}", csv.lines()[0]);
    assert!(csv.stdout.contains("\"A logon failed (high), Somebody (low)\""), "{}", csv.stdout);
}

#[test]
fn the_hits_on_recorded_logs_are_those_on_which_two_other_engines_agree() {
    let Some(logs) = quarry_testkit::corpus_folder("sigma/regression.tar.xz") else { return };
    let rules = quarry_testkit::corpus_folder("sigma/rules.tar.xz").unwrap();
    let ran = run(&logs, &["detect", "--rules", rules.to_str().unwrap(), "./", "-o", "jsonl"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let mut hits = Vec::new();
    for event in ran.lines().into_iter().map(json) {
        for rule in event["rules"].as_array().unwrap() {
            let file = event["source"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            hits.push((
                rule["id"].as_str().unwrap().to_owned(),
                file,
                event["record_id"].to_string(),
            ));
        }
    }
    let table = quarry_testkit::corpus_file("sigma/regression.tsv").unwrap();
    let table = fs::read_to_string(table).unwrap();
    let mut expected: Vec<_> = table
        .lines()
        .skip(1)
        .map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>())
        .map(|cells| (cells[0].clone(), cells[2].clone(), cells[3].clone()))
        .collect();
    hits.sort();
    expected.sort();
    assert_eq!(hits, expected);
}
