//! `quarry messages`.

use quarry_testkit::{Package, package_file};

use super::*;

const PROVIDER: &str = "Microsoft-Windows-Security-Auditing";

fn security() -> Option<std::path::PathBuf> {
    package_file(Package::Crate { name: "evtx" }, "samples/dlls/adtschema.dll")
}

/// The program, with a data folder of its own.
fn messages(folder: &Path, args: &[&str]) -> Ran {
    let mut command = quarry(folder);
    command.env("XDG_DATA_HOME", folder).arg("messages").args(args);
    command.output().unwrap().into()
}

#[test]
fn a_catalogue_is_built_listed_shown_and_verified() {
    let Some(file) = security() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let built = messages(folder, &["build", "--from", file.to_str().unwrap()]);
    assert_eq!(built.status, Some(0), "{}", built.shown());
    assert!(built.stderr.contains("544 messages of 1 providers"), "{}", built.stderr);
    assert!(built.stderr.contains("10.0.26100-1033.catalogue"), "{}", built.stderr);

    let listed = messages(folder, &["list"]);
    let row = json(listed.lines()[0]);
    assert_eq!(row["build"], "10.0.26100");
    assert_eq!(row["language"], "en-US");
    assert_eq!(row["kind"], "files");
    assert_eq!(row["providers"], 1);
    let providers = messages(folder, &["list", row["catalogue"].as_str().unwrap()]);
    assert_eq!(json(providers.lines()[0])["provider"], PROVIDER);

    let shown = messages(folder, &["show", &PROVIDER.to_lowercase(), "4625"]);
    assert_eq!(shown.status, Some(0), "{}", shown.shown());
    assert!(shown.stdout.contains("An account failed to log on."), "{}", shown.stdout);
    assert!(shown.stdout.contains("TargetUserName win:UnicodeString"), "{}", shown.stdout);
    assert!(!shown.stdout.contains('\r'));
    let all = messages(folder, &["show", PROVIDER]);
    assert!(all.lines().len() > 900, "{}", all.lines().len());

    let verified = messages(folder, &["verify"]);
    assert_eq!(verified.status, Some(0), "{}", verified.shown());
}

#[test]
fn mistakes_about_catalogues_are_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("no.catalogue"), "something else").unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&["verify"], "there are no catalogues"),
        (&["verify", "no.catalogue"], "no.catalogue: not a message catalogue"),
        (&["show", "x", "--catalogue", "none"], "none: no such file or directory"),
        (&["build", "--from", "no.catalogue"], "there are no messages in what --from names"),
        (&["build", "--from", ".", "--language", "xx"], "not a language that Windows has"),
        (&["import", "no.catalogue"], "no.catalogue: not an SQLite database"),
    ];
    for (args, said) in cases {
        let ran = messages(folder, args);
        assert_eq!(ran.status, Some(2), "{args:?}: {}", ran.shown());
        assert!(ran.stderr.contains(said), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn a_failed_build_leaves_an_older_catalogue_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("old.catalogue"), "what was there").unwrap();
    fs::write(folder.join("a.dll"), "MZ").unwrap();
    let ran = messages(folder, &["build", "--from", "a.dll", "-o", "old.catalogue"]);
    assert_eq!(ran.status, Some(2));
    assert_eq!(fs::read_to_string(folder.join("old.catalogue")).unwrap(), "what was there");
}

/// A run with a data folder of its own.
fn scan(folder: &Path, args: &[&str]) -> Ran {
    let mut command = quarry(folder);
    command.env("XDG_DATA_HOME", folder).arg("scan").args(args);
    command.output().unwrap().into()
}

#[test]
fn events_read_as_in_event_viewer_with_a_catalogue_in_the_data_folder() {
    let (Some(provider), Some(log)) =
        (security(), quarry_testkit::corpus_file("evtx-crate/security.evtx"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let log = log.to_str().unwrap();
    let plain = scan(folder, &[log, "-i", "4624", "-n", "1"]);
    assert_eq!(json(plain.lines()[0])["message"], serde_json::Value::Null);
    let built = messages(folder, &["build", "--from", provider.to_str().unwrap(), "-q"]);
    assert_eq!(built.status, Some(0), "{}", built.shown());

    let ran = scan(folder, &[log, "-i", "4624", "-n", "1"]);
    let event = json(ran.lines()[0]);
    let text = event["message"].as_str().unwrap();
    assert!(text.starts_with("An account was successfully logged on.\r\n\r\nSubject:"), "{text}");
    let name = event["data"]["TargetUserName"].as_str().unwrap();
    assert!(text.contains(&format!("Account Name:\t\t{name}")), "{text}");
    assert_eq!(event["message_source"], "catalogue");
    assert_eq!(event["names"]["task"], "Logon");
    // Data stays as it is in the event.
    assert_eq!(event["data"], json(plain.lines()[0])["data"]);

    let found = scan(folder, &[log, "-g", "was successfully logged on"]);
    assert!(!found.lines().is_empty());
    assert!(found.lines().iter().all(|line| json(line)["event_id"] == 4624));
    let never = scan(folder, &[log, "-i", "4624", "-n", "1", "--messages", "never"]);
    assert_eq!(never.stdout, plain.stdout);
}

#[test]
fn an_exported_log_has_the_text_that_was_saved_beside_it() {
    let (Some(log), Some(mta)) = (
        quarry_testkit::corpus_file("messages/viewer.evtx"),
        quarry_testkit::corpus_file("messages/viewer_1033.MTA"),
    ) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::copy(log, folder.join("Viewer.evtx")).unwrap();
    fs::create_dir(folder.join("LocaleMetaData")).unwrap();
    fs::copy(mta, folder.join("LocaleMetaData/viewer_1033.MTA")).unwrap();
    let ran = scan(folder, &["Viewer.evtx"]);
    assert_eq!(ran.lines().len(), 239, "{}", ran.stderr);
    for line in ran.lines() {
        let event = json(line);
        assert_eq!(event["message_source"], "mta");
        assert!(event["message"].as_str().is_some_and(|text| text.ends_with('.')), "{line}");
    }
    // A damaged one is named, and the events come without.
    fs::write(folder.join("LocaleMetaData/viewer_1033.MTA"), "MTAFile\0").unwrap();
    let ran = scan(folder, &["Viewer.evtx"]);
    assert_eq!(ran.lines().len(), 239);
    assert_eq!(json(ran.lines()[0])["message"], serde_json::Value::Null);
    assert!(ran.stderr.contains("damaged MTA file"), "{}", ran.stderr);
}
