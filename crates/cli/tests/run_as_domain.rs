//! `quarry run-as` with accounts of a domain: on a member of an Active Directory domain, through
//! winbind, as the test rig brings it up in network namespaces. `pamtester` is asked the same.
#![cfg(target_os = "linux")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use quarry_testkit as testkit;

const QUARRY: &str = env!("CARGO_BIN_EXE_quarry");
const PASSWORD: &str = "pebbles1!";
const WRONG: &str = "pebbles2!";
/// What bringing the domain up may take, in seconds, on a busy machine.
const LONGEST: &str = "400";

/// A domain controller and a member of its domain, ended when dropped.
struct Domain {
    rig: PathBuf,
    folder: PathBuf,
}

impl Domain {
    fn up() -> Option<Self> {
        let rig = testkit::rig("samba")?;
        let may = Command::new("unshare").args(["--net", "--mount", "true"]).output();
        if !may.is_ok_and(|output| output.status.success()) {
            testkit::skip("a domain", "needs root and network namespaces");
            return None;
        }
        for (program, package) in [
            ("samba-tool", "samba samba-ad-provision samba-dsdb-modules"),
            ("winbindd", "winbind"),
            ("ip", "iproute2"),
            ("pamtester", "pamtester"),
            ("klist", "krb5-user"),
        ] {
            if !testkit::has_program(program, package) {
                return None;
            }
        }
        // Short, as sockets are in it, and open to all.
        let folder = PathBuf::from(format!("/tmp/quarry-ad-{}", std::process::id()));
        let domain = Self { rig, folder };
        for script in ["ad-up", "ad-member-up"] {
            let output = Command::new("timeout")
                .arg(LONGEST)
                .arg(domain.rig.join(script))
                .arg(&domain.folder)
                .output()
                .expect("timeout runs");
            assert!(output.status.success(), "{script}: {output:?}");
        }
        Some(domain)
    }

    /// Runs something on the member, with a line on its standard input.
    fn run(&self, line: &str, words: &[&str]) -> Output {
        let mut child = Command::new(self.rig.join("ad-in"))
            .arg(&self.folder)
            .arg("client")
            .args(words)
            .env_remove("KRB5CCNAME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the rig's script starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may have ended without reading.
        let _ = stdin.write_all(format!("{line}\n").as_bytes());
        drop(stdin);
        child.wait_with_output().expect("it ends")
    }

    /// `quarry run-as` on the member, with a password.
    fn run_as(&self, password: &str, user: &[&str], service: &str, command: &[&str]) -> Output {
        let head = [QUARRY, "run-as", "--password-fd=0", "--service", service];
        self.run(password, &[&head[..], user, &["--"], command].concat())
    }

    /// Gives the member one PAM service more.
    fn add_service(&self, name: &str, text: &str) {
        let namespace = fs::read_to_string(self.folder.join("ns-client")).expect("the rig's");
        let place = Path::new("/etc/netns").join(namespace.trim()).join("pam.d").join(name);
        fs::write(place, text).expect("root may");
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let _ = Command::new(self.rig.join("ad-down")).arg(&self.folder).status();
    }
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// Numbers, in any order.
fn numbers(text: &str) -> BTreeSet<u32> {
    text.split_whitespace().map(|number| number.parse().expect("a number")).collect()
}

#[test]
fn domain_accounts_are_logged_on_as_pamtester_does_it() {
    let Some(domain) = Domain::up() else { return };
    // Without Kerberos: the user is somebody here, and nobody on the network.
    domain.add_service(
        "plain",
        "auth required pam_winbind.so\naccount required pam_winbind.so\nsession required pam_permit.so\n",
    );
    let fred = r"BEDROCK\fred";
    let uid = printed(&domain.run("", &["id", "-u", fred]));
    // Where Kerberos looks for tickets if nobody says where, and what an earlier run may have left.
    let remove_tickets = || {
        for user in [fred, r"BEDROCK\barney"] {
            let uid = printed(&domain.run("", &["id", "-u", user]));
            let _ = fs::remove_file(format!("/tmp/krb5cc_{}", uid.trim()));
        }
    };
    remove_tickets();
    let output =
        domain.run_as(PASSWORD, &[fred], "plain", &["sh", "-c", "id -un; klist -s || echo none"]);
    assert_eq!(printed(&output), "BEDROCK\\fred\nnone\n");

    // Every way to write the name.
    let groups = numbers(&printed(&domain.run("", &["id", "-G", fred])));
    assert!(groups.len() >= 2, "{groups:?}");
    for user in [&[fred][..], &["fred", "--domain", "BEDROCK"], &["fred@BEDROCK.TEST"]] {
        let command = ["sh", "-c", "id -un; id -u; id -G"];
        let text = printed(&domain.run_as(PASSWORD, user, "bedrock", &command));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..2], [fred, uid.trim()], "{user:?}");
        assert_eq!(numbers(lines[2]), groups, "{user:?}");
    }

    // With Kerberos in the service's rules, the session has a ticket, by its environment.
    let output = domain.run_as(PASSWORD, &[fred], "bedrock", &["klist"]);
    assert!(printed(&output).contains("Default principal: fred@BEDROCK.TEST"), "{output:?}");

    let mut accepted = 0;
    for (user, password) in [
        (fred, PASSWORD),
        (fred, WRONG),
        (r"BEDROCK\barney", "bambam"),
        (r"BEDROCK\barney", PASSWORD),
        (r"BEDROCK\nobody-there", PASSWORD),
        (r"NOWHERE\fred", PASSWORD),
    ] {
        let ours = domain.run_as(password, &[user], "bedrock", &["true"]);
        let theirs =
            domain.run(password, &["pamtester", "bedrock", user, "authenticate", "acct_mgmt"]);
        assert_eq!(ours.status.success(), theirs.status.success(), "{user}: {ours:?} {theirs:?}");
        accepted += u32::from(ours.status.success());
        if !ours.status.success() {
            assert_eq!(ours.status.code(), Some(125), "{ours:?}");
            let said = String::from_utf8_lossy(&ours.stderr);
            assert!(said.contains("error: the logon was refused\n"), "{said}");
        }
    }
    assert_eq!(accepted, 2);
    remove_tickets();
}
