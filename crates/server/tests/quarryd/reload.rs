//! A changed configuration is taken up without a loss; a mistake in it changes nothing.

use std::collections::BTreeMap;

use super::*;

fn last(fleet: &Fleet, servers: std::ops::RangeInclusive<usize>) -> BTreeMap<table::Key, u64> {
    let of = |n| {
        let server = fleet.server(n);
        let records = server.records("System").unwrap();
        let last = records.last().map_or(0, |(number, _)| *number);
        ((server.name().to_owned(), "System".to_owned()), last)
    };
    servers.map(of).collect()
}

#[test]
fn a_server_that_is_added_while_it_runs_is_followed_and_nothing_is_lost() {
    let fleet = Fleet::new(3, 20);
    let follow = |servers: &str| {
        format!(
            "[follow]\n{servers} = [\"System\"]\n[collect]\nmessages = \"never\"\n[store]\nflush-every = \"1s\""
        )
    };
    fleet.configure("quarryd.toml", &follow("\"server[01:02]\""));
    let daemon = Daemon::start(&fleet, "quarryd.toml");
    wait(
        || {
            fleet.table().exists()
                && Rows::read(&fleet.table()).missing(&last(&fleet, 1..=2)).is_empty()
        },
        || daemon.said(),
    );
    // A mistake keeps the old one.
    fleet.configure("quarryd.toml", "[store]\nretension = \"1d\"");
    daemon.signal(Signal::HUP);
    daemon.wait_for("the old one is kept", 1);
    assert!(daemon.said().contains("did you mean retention?"), "{}", daemon.said());
    fleet.server(1).append_generated("System", 5).unwrap();
    fleet.configure("quarryd.toml", &follow("\"server[02:03]\""));
    daemon.signal(Signal::HUP);
    daemon.wait_for("the configuration was taken up", 1);
    fleet.server(2).append_generated("System", 5).unwrap();
    fleet.server(3).append_generated("System", 5).unwrap();
    wait(|| Rows::read(&fleet.table()).missing(&last(&fleet, 2..=3)).is_empty(), || daemon.said());
    // Without a signal the file is looked at.
    fleet.configure("quarryd.toml", &follow("\"server[01:03]\""));
    daemon.wait_for("the configuration was taken up", 2);
    fleet.server(1).append_generated("System", 5).unwrap();
    wait(|| Rows::read(&fleet.table()).missing(&last(&fleet, 1..=3)).is_empty(), || daemon.said());
    daemon.stop();
    let rows = Rows::read(&fleet.table());
    assert_eq!(rows.repeated(), []);
    assert_eq!(rows.missing(&last(&fleet, 1..=3)), []);
}

#[test]
fn servers_of_which_nothing_is_followed_are_left_alone_until_they_are_to_be_tried_again() {
    let fleet = Fleet::new(3, 10);
    let logs = |follow: &str| USUAL.replace("\"@all\" = [\"System\", \"Application\"]", follow);
    fleet.configure("quarryd.toml", &logs("\"server[01:02]\" = [\"Nope\"]"));
    let daemon = Daemon::start(&fleet, "quarryd.toml");
    let runs = || daemon.said().matches("following run=").count();
    // A tick is two seconds.
    let stays = |expected: usize| {
        std::thread::sleep(Duration::from_secs(7));
        assert_eq!(runs(), expected, "{}", daemon.said());
    };
    daemon.wait_for("nothing more is followed", 1);
    stays(1);

    // What is known of them has changed: they are tried at once.
    let change = |follow: &str, changes: usize| {
        fleet.configure("quarryd.toml", &logs(follow));
        daemon.wait_for("the configuration was taken up", changes);
    };
    change("\"server01\" = [\"System\"]\n\"server02\" = [\"Nope\"]", 1);
    wait(|| fleet.rows().count() == 10, || daemon.said());
    stays(2);
    // One that comes to one that is followed, and has nothing.
    change("\"server01\" = [\"System\"]\n\"server[02:03]\" = [\"Nope\"]", 2);
    daemon.wait_for("nothing more is followed", 2);
    let begun = runs();
    stays(begun);
    fleet.server(1).append_generated("System", 5).unwrap();
    wait(|| fleet.rows().count() == 15, || daemon.said());
    change("\"@all\" = [\"System\"]", 3);
    wait(|| fleet.rows().count() == 35, || daemon.said());
    daemon.stop();
}

#[test]
fn what_is_in_hand_is_committed_when_it_is_stopped() {
    let fleet = Fleet::new(1, 50);
    let slow = USUAL.replace("\"1s\"", "\"10m\"");
    fleet.configure("quarryd.toml", &slow);
    let daemon = Daemon::start(&fleet, "quarryd.toml");
    daemon.wait_for("quarryd is up", 1);
    // Nothing is committed for ten minutes: what it has read shows in its write-ahead log alone.
    std::thread::sleep(Duration::from_secs(5));
    daemon.stop();
    let rows = Rows::read(&fleet.table());
    assert_eq!(rows.missing(&last(&fleet, 1..=1)), []);
    assert_eq!(rows.repeated(), []);
}
