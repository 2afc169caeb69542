//! What is wrong is said, with its place or with what to do.

use super::*;

/// What a command says where it fails.
fn fails(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = quarryd(fleet.root(), arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    said
}

#[test]
fn a_mistake_in_the_configuration_is_shown_where_it_is() {
    let fleet = Fleet::new(1, 0);
    std::fs::write(fleet.root().join("bad.toml"), "[servers.a]\n[store]\nretension = \"1d\"\n")
        .unwrap();
    let said = fails(&fleet, &["check", "bad.toml"]);
    assert!(said.contains("bad.toml: line 3, column 1: unknown field `retension`"), "{said}");
    assert!(said.contains("hint: did you mean retention?"), "{said}");
    assert!(fails(&fleet, &["serve", "none.toml"]).contains("none.toml: no such file"));
}

#[test]
fn what_a_configuration_means_is_said() {
    let fleet = Fleet::new(2, 0);
    fleet.configure("quarryd.toml", USUAL);
    let output = quarryd(fleet.root(), &["check", "quarryd.toml"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("follows    2 servers\n  server01: System, Application\n"), "{said}");
}

#[test]
fn what_a_collector_would_refuse_is_refused_by_check_and_what_it_would_lack_is_warned_of() {
    let fleet = Fleet::new(1, 0);
    for (usual, other, said) in [
        ("\"events\"", "\"s4://x\"", "is no address of a table"),
        ("url =", "columns = [\"Ip Address\"]\nurl =", "can't be a column"),
        ("[store]", "[detect]\nrules = [\"none\"]\n[store]", "none: no such file or directory"),
    ] {
        fleet.configure("bad.toml", &USUAL.replace(usual, other));
        let told = fails(&fleet, &["check", "bad.toml"]);
        assert!(told.contains(said), "{told}");
    }
    fleet.configure("quarryd.toml", USUAL);
    std::fs::remove_file(fleet.root().join("fleet.password")).unwrap();
    let output = quarryd(fleet.root(), &["check", "quarryd.toml"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("fleet.password: no such file"), "{said}");
}

#[test]
fn nothing_is_made_where_a_mistyped_address_leads() {
    let fleet = Fleet::new(1, 0);
    fleet.configure("quarryd.toml", USUAL);
    for command in ["maintain", "expire"] {
        let said = fails(&fleet, &["store", command, "quarryd.toml"]);
        assert!(said.contains("there is no table"), "{said}");
        assert!(!fleet.root().join("events").exists());
    }
}

#[test]
fn a_folder_that_holds_something_else_and_a_table_in_use_are_refused() {
    let fleet = Fleet::new(1, 3);
    fleet.configure("quarryd.toml", USUAL);
    let daemon = Daemon::start(&fleet, "quarryd.toml");
    daemon.wait_for("quarryd is up", 1);
    let said = fails(&fleet, &["serve", "quarryd.toml"]);
    assert!(said.contains("in use by another process"), "{said}");
    daemon.stop();
    fleet.configure("other.toml", &USUAL.replace("\"events\"", "\"fleet.password\""));
    let said = fails(&fleet, &["serve", "other.toml"]);
    assert!(said.contains("error: "), "{said}");
}

#[test]
fn storage_that_cannot_be_reached_and_tables_of_others_are_named_with_what_to_do() {
    let fleet = Fleet::new(1, 3);
    let other = fleet.root().join("other");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/quarryd");
    let python = quarry_testkit::python("deltalake", &here.join("requirements.txt"));
    let made = Command::new(python).arg(here.join("other.py")).arg(&other).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fleet.configure("other.toml", &USUAL.replace("\"events\"", "\"other\""));
    for arguments in [&["serve", "other.toml"][..], &["sql", "SELECT 1", "-c", "other.toml"]] {
        let said = fails(&fleet, arguments);
        assert!(said.contains("is not one of events"), "{said}");
        assert!(said.contains("hint: name an empty folder in store.url"), "{said}");
    }
    fleet.configure("quarryd.toml", USUAL);
    let said = fails(&fleet, &["sql", "SELECT 1", "-c", "quarryd.toml"]);
    assert!(said.contains("there is no table at "), "{said}");
    assert!(!fleet.table().exists());

    fleet.configure("cloud.toml", &USUAL.replace("\"events\"", "\"s3://nobody/events\""));
    // A port that nothing listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = quarryd(fleet.root(), &["store", "info", "cloud.toml"]);
    command.env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{port}"));
    command.env("AWS_ALLOW_HTTP", "true").env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", "somebody").env("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2");
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: cannot "), "{said}");
    assert!(said.contains("hint: can it be reached, and are its credentials"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}
