//! Samba's smbd, followed over MS-EVEN: its log grows, wraps and is cleared meanwhile. Needs root
//! and Samba; says so and passes where they aren't.

use quarry_testkit::SambaServer;

use super::*;

struct Followed {
    samba: SambaServer,
    folder: TempDir,
}

impl Followed {
    /// A server whose System log has records 1 to `records`.
    fn start(records: u64) -> Option<Self> {
        let samba = SambaServer::start(&[])?;
        samba.open_logs();
        samba.fill("System", &made(1..=records));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, SambaServer::PASSWORD).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Some(Followed { samba, folder })
    }

    fn tail(&self, arguments: &[&str]) -> Tail {
        let mut command = tail_in(self.folder.path(), arguments);
        command.arg(format!("even://127.0.0.1:{}", self.samba.port));
        command.args(["-u", SambaServer::USER, "--password-file", "password"]);
        Tail::start(command)
    }
}

/// Records whose event ids are these numbers.
fn made(ids: impl IntoIterator<Item = u64>) -> Vec<Json> {
    let record = |id| {
        serde_json::json!({
            "time_generated": 1_700_000_000, "time_written": 1_700_000_000, "event_id": id,
            "type": 4, "category": 0, "source": "Slate", "computer": "QUARRY", "sid": null,
            "strings": ["stone"], "data": "",
        })
    };
    ids.into_iter().map(record).collect()
}

#[test]
fn a_log_of_samba_is_followed_as_it_grows_and_where_it_was_left() {
    let Some(followed) = Followed::start(30) else { return };
    let arguments = ["-n", "5", "--cursor-file", "cursor"];
    let tail = followed.tail(&arguments);
    tail.wait_for(5);
    for burst in [31..=31, 32..=331, 332..=333] {
        let last = *burst.end();
        followed.samba.fill("System", &made(burst));
        tail.wait_for((last - 25) as usize);
    }
    let ended = tail.stop();
    assert_eq!(ended.came(), (26..=333).collect::<Vec<_>>());
    assert_eq!(ended.said, [""; 0]);
    // What comes while nobody follows comes when somebody does again.
    followed.samba.fill("System", &made(334..=340));
    let tail = followed.tail(&arguments);
    tail.wait_for(7);
    let ended = tail.stop();
    assert_eq!(ended.came(), (334..=340).collect::<Vec<_>>());
    assert_eq!(ended.said, [""; 0]);
}

#[test]
fn what_samba_has_dropped_unread_is_a_gap() {
    let Some(followed) = Followed::start(30) else { return };
    let arguments = ["-n", "5", "--cursor-file", "cursor"];
    let tail = followed.tail(&arguments);
    tail.wait_for(5);
    assert_eq!(tail.stop().came(), [26, 27, 28, 29, 30]);

    followed.samba.fill("System", &made(31..=60));
    followed.samba.wrap("System", 51, &[]);
    let tail = followed.tail(&arguments);
    tail.wait_for(10);
    let ended = tail.stop();
    assert_eq!(ended.came(), (51..=60).collect::<Vec<_>>());
    let gap = "warning: gap: records 31 to 50 of System on 127.0.0.1 were overwritten";
    assert_eq!(ended.gaps(), [gap]);

    followed.samba.clear("System", &made(1..=3));
    let tail = followed.tail(&arguments);
    tail.wait_for(3);
    let ended = tail.stop();
    assert_eq!(ended.came(), [1, 2, 3]);
    let gap = "warning: gap: System on 127.0.0.1 was cleared and counts anew; records from 61 on \
               may be missing";
    assert_eq!(ended.gaps(), [gap]);
}

#[test]
fn a_log_that_is_dropped_while_it_is_followed_has_a_gap_too() {
    let Some(followed) = Followed::start(30) else { return };
    let tail = followed.tail(&["-n", "5"]);
    tail.wait_for(5);
    followed.samba.clear("System", &made(1..=3));
    tail.wait_for(8);
    followed.samba.fill("System", &made(4..=4));
    tail.wait_for(9);
    let ended = tail.stop();
    assert_eq!(ended.came(), [26, 27, 28, 29, 30, 1, 2, 3, 4]);
    let gap = "warning: gap: System on 127.0.0.1 was cleared and counts anew; records from 31 on \
               may be missing";
    assert_eq!(ended.said, [gap]);
}
