//! The unit, and its drop-in for accounts, started by systemd in a container that boots this machine's system from
//! a layer over its files. How the program is confined is what the kernel says of its processes.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use quarry_testkit::Visitor;
use quarry_testkit::accounts::PASSWORD;

use super::accounts::{address, counted};
use super::*;

/// Boots: a layer over the files of this machine, of which nothing is left afterwards, with those of a folder
/// in it.
const BOOT: &str = r#"
set -e
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" none "$1/root"
cp -r "$2/." "$1/root"
mkdir -p -m 700 "$1/root/var/lib/private"
exec systemd-nspawn --quiet --register=no --keep-unit --machine=quarry --directory="$1/root" \
    --bind="$3:$4" --bind-ro="$5:/usr/bin/quarryd" --boot -- --unit=basic.target
"#;

/// The state of the unit, which has a user of its own each time.
const OF_DYNAMIC_USER: &str = "/var/lib/private/quarry";
/// The state of a user who stays.
const OF_USER: &str = "/var/lib/quarry";

/// Files that a container has besides those of this machine.
struct Files(PathBuf);

impl Files {
    /// Those that both units need: a configuration of a fleet with secrets at a place, and more of it.
    fn of(fleet: &Fleet, secrets: &str, more: &str) -> Self {
        let files = Files(fleet.root().join("files"));
        files.copy("etc/systemd/system/quarryd.service", "dist/quarryd.service");
        // A secret that only root can read, as the unit says.
        let password = std::fs::read_to_string(fleet.root().join("fleet.password")).unwrap();
        files.put("etc/quarry/secrets/fleet.password", 0o600, &password);
        let inventory = fleet.sim.inventory(secrets);
        let usual = USUAL.replace("\"events\"", "\"/var/lib/quarry/events\"");
        files.put("etc/quarry/quarryd.toml", 0o644, &format!("{inventory}\n{usual}{more}"));
        files
    }

    fn put(&self, path: &str, mode: u32, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    /// One of the project's.
    fn copy(&self, path: &str, from: &str) -> String {
        let text = std::fs::read_to_string(quarry_testkit::root().join(from)).unwrap();
        self.put(path, 0o644, &text);
        text
    }
}

/// What the kernel says of a process.
struct Status(String);

impl Status {
    fn of(&self, name: &str) -> Vec<&str> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace().collect()
    }

    /// The real, effective, saved and file system's user, who are one.
    fn user(&self) -> u32 {
        let ids: Vec<u32> = self.of("Uid").iter().map(|id| id.parse().unwrap()).collect();
        assert!(ids.len() == 4 && ids.iter().all(|id| *id == ids[0]), "{}", self.0);
        ids[0]
    }

    /// The capabilities that it has, and the most that it can get.
    fn capabilities(&self) -> [u64; 2] {
        ["CapEff", "CapBnd"].map(|set| u64::from_str_radix(self.of(set)[0], 16).unwrap())
    }
}

/// A container that has booted, until it is dropped.
struct Machine {
    container: Child,
    /// The process that is the first one in it.
    init: Pid,
    log: PathBuf,
}

impl Machine {
    /// Boots with files, and a folder that keeps the state of a unit; `None` after saying what is missing.
    fn boot(Files(files): &Files, state: (&Path, &str)) -> Option<Self> {
        let programs = [("systemd-nspawn", "systemd-container"), ("nsenter", "util-linux")];
        if !programs.iter().all(|(name, package)| quarry_testkit::has_program(name, package)) {
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            quarry_testkit::skip("systemd", "a container has to be started by root");
            return None;
        }
        let layer = files.parent().unwrap().join("layer");
        let log = files.parent().unwrap().join("boot.log");
        std::fs::create_dir(&layer).unwrap();
        let said = File::create(&log).unwrap();
        let container = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", BOOT, "sh"])
            .args([&layer, files, state.0])
            .arg(state.1)
            .arg(program())
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let mut machine = Machine { init: Pid::from_child(&container), container, log };
        let id = machine.container.id();
        wait(
            || {
                let children = format!("/proc/{id}/task/{id}/children");
                let children = std::fs::read_to_string(children).unwrap_or_default();
                let is_systemd = |child: &&str| {
                    let name = std::fs::read_to_string(format!("/proc/{child}/comm"));
                    name.is_ok_and(|name| name.trim() == "systemd")
                };
                let found = children.split_whitespace().find(is_systemd);
                let found = found.and_then(|child| Pid::from_raw(child.parse().ok()?));
                machine.init = found.unwrap_or(machine.init);
                found.is_some()
            },
            || std::fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default(),
        );
        wait(|| machine.run(&["systemctl", "is-active", "basic.target"]).0, || machine.said());
        Some(machine)
    }

    /// Whether a command in it succeeds, and what it prints.
    fn run(&self, command: &[&str]) -> (bool, String) {
        let output = Command::new("nsenter")
            .args(["--target", &self.init.as_raw_nonzero().to_string()])
            .args(["--mount", "--uts", "--ipc", "--pid"])
            .args(command)
            .output()
            .unwrap();
        let (said, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
        (output.status.success(), String::from_utf8(said).unwrap() + &errors)
    }

    /// The same of a command that has to succeed.
    fn does(&self, command: &[&str]) -> String {
        let (is_done, said) = self.run(command);
        assert!(is_done, "{command:?}: {said}\n{}", self.said());
        said
    }

    fn systemctl(&self, command: &str) {
        self.does(&["systemctl", command, "quarryd"]);
    }

    fn status(&self, process: &str) -> Status {
        Status(self.does(&["cat", &format!("/proc/{process}/status")]))
    }

    /// Waits until a table has so many events.
    fn follows(&self, table: &Path, events: usize) {
        wait(|| table.exists() && Rows::read(table).count() == events, || self.said());
    }

    /// A property of the unit.
    fn shows(&self, property: &str) -> String {
        let name = format!("--property={property}");
        self.run(&["systemctl", "show", "quarryd", "--value", &name]).1.trim().to_owned()
    }

    /// What the program has logged, and why the unit is as it is.
    fn said(&self) -> String {
        let (_, journal) = self.run(&["journalctl", "--unit=quarryd", "--output=cat"]);
        let (_, status) = self.run(&["systemctl", "status", "quarryd"]);
        format!("{journal}\n{status}\n{}", std::fs::read_to_string(&self.log).unwrap_or_default())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = kill_process(self.init, Signal::KILL);
        let _ = self.container.wait();
    }
}

#[test]
fn systemd_starts_the_unit_confined_and_starts_it_again() {
    let fleet = Fleet::new(2, 20);
    let secrets = "/run/credentials/quarryd.service/secret_fleet.password";
    let files = Files::of(&fleet, secrets, "[page]\nlisten = \"127.0.0.1:0\"\n");
    let state = fleet.root().join("state");
    std::fs::create_dir(&state).unwrap();
    let Some(machine) = Machine::boot(&files, (&state, OF_DYNAMIC_USER)) else { return };
    let table = state.join("events");
    machine.systemctl("start");
    machine.follows(&table, 80);
    let process = machine.shows("MainPID");
    let status = machine.status(&process);
    // The range that systemd takes dynamic users from.
    assert!((61_184..=65_519).contains(&status.user()), "{}", status.0);
    assert_eq!(status.capabilities(), [0, 0]);
    assert_eq!((status.of("NoNewPrivs"), status.of("Seccomp")), (vec!["1"], vec!["2"]));
    let mounts = machine.does(&["cat", &format!("/proc/{process}/mountinfo")]);
    let is_read_only = |place: &str| {
        let of = |line: &&str| line.split(' ').nth(4) == Some(place);
        mounts
            .lines()
            .rfind(of)
            .is_some_and(|line| line.split(' ').nth(5).unwrap().starts_with("ro"))
    };
    assert!(is_read_only("/") && !is_read_only(OF_DYNAMIC_USER), "{mounts}");
    // It takes a changed configuration up, and is started again when it dies.
    machine.systemctl("reload");
    wait(|| machine.said().contains("the configuration was taken up"), || machine.said());
    // The journal has the times.
    let (_, journal) = machine.run(&["journalctl", "--unit=quarryd", "--output=cat"]);
    let mut logged = journal.lines().filter(|line| line.contains("INFO quarry")).peekable();
    assert!(logged.peek().is_some(), "{journal}");
    logged.for_each(|line| assert!(line.trim_start().starts_with("INFO"), "{line}"));
    fleet.server(1).append_generated("System", 5).unwrap();
    machine.follows(&table, 85);
    assert_eq!(machine.shows("MainPID"), process);
    machine.does(&["kill", "-KILL", &process]);
    fleet.server(2).append_generated("Application", 5).unwrap();
    machine.follows(&table, 90);
    assert_eq!((&*machine.shows("NRestarts"), &*machine.shows("ActiveState")), ("1", "active"));
    fleet.server(2).append_generated("System", 5).unwrap();
    // What is in hand is committed before it ends, which is no failure.
    std::thread::sleep(Duration::from_secs(2));
    machine.systemctl("stop");
    assert_eq!((&*machine.shows("Result"), &*machine.shows("ExecMainStatus")), ("success", "0"));
    let rows = Rows::read(&table);
    assert_eq!((rows.count(), rows.repeated()), (95, vec![]));
}

#[test]
fn systemd_starts_the_drop_in_for_accounts() {
    let fleet = Fleet::new(2, 20);
    let page = "[page]\nlisten = \"127.0.0.1:0\"\naccess = \"access.toml\"\n\
                audit = \"/var/lib/quarryd/audit.jsonl\"\nrun-as = \"quarryd\"\n";
    let files = Files::of(&fleet, "/etc/quarry/secrets/fleet.password", page);
    let drop_in = "etc/systemd/system/quarryd.service.d/accounts.conf";
    let drop_in = files.copy(drop_in, "dist/quarryd-accounts.conf");
    files.copy("etc/pam.d/quarry", "crates/logon/assets/pam.d/quarry.debian");
    let rules = |servers: &str| {
        format!(
            "[sign-in]\ngroups = ['alice']\n\
             [access.alice]\ngroups = ['alice']\non = ['{servers}']\nlogs = ['System']\n"
        )
    };
    files.put("etc/quarry/access.toml", 0o644, &rules("server01"));
    let state = fleet.root().join("state");
    std::fs::create_dir(&state).unwrap();
    let Some(machine) = Machine::boot(&files, (&state, OF_USER)) else { return };
    // What the drop-in says is to be done before; its service of PAM is among the files.
    let mut steps = 0;
    for step in drop_in.lines().filter_map(|line| line.strip_prefix("#   ")) {
        if !step.starts_with("cp ") {
            machine.does(&["sh", "-c", step]);
            steps += 1;
        }
    }
    assert_eq!(steps, 3, "{drop_in}");
    for person in ["alice", "mallory"] {
        machine.does(&["useradd", person]);
        machine.does(&["sh", "-c", &format!("echo '{person}:{PASSWORD}' | chpasswd")]);
    }
    // Until then nobody but root may sign in on a machine that boots.
    machine.does(&["systemctl", "start", "systemd-user-sessions"]);
    let table = state.join("events");
    machine.systemctl("start");
    machine.follows(&table, 80);
    let user: u32 = machine.does(&["id", "-u", "quarryd"]).trim().parse().unwrap();
    assert_eq!(std::fs::metadata(&table).unwrap().uid(), user);
    let process = machine.shows("MainPID");
    let helper = machine.status(&process);
    // KILL, SETGID, SETUID, CHOWN, DAC_READ_SEARCH and AUDIT_WRITE (capability.h).
    let bits = [0, 2, 5, 6, 7, 29].map(|bit| 1 << bit).iter().sum::<u64>();
    assert_eq!((helper.user(), helper.capabilities()), (0, [bits, bits]));
    let children = machine.does(&["cat", &format!("/proc/{process}/task/{process}/children")]);
    let child = children.split_whitespace().next().expect("a process that faces the network");
    let facing = machine.status(child);
    assert_eq!((facing.user(), facing.capabilities()[0]), (user, 0));

    let visitor = || Visitor::of(&address(&machine.said()).unwrap_or_else(|| machine.said()));
    let of = |server: &str| [((server.to_owned(), "System".to_owned()), 20)].into();
    let page = visitor();
    assert_eq!(page.sign_in("mallory", PASSWORD)["status"], 403);
    assert_ne!(page.sign_in("alice", "wrong")["status"], 303);
    let alice = page.cookie_of("alice");
    assert_eq!(counted(&page, &alice), (of("server01"), 20));
    // A rule that changes, and a configuration.
    machine.does(&["sh", "-c", "sed -i s/server01/server02/ /etc/quarry/access.toml"]);
    machine.systemctl("reload");
    wait(|| machine.said().contains("the configuration was taken up"), || machine.said());
    wait(|| counted(&page, &alice).0 == of("server02"), || machine.said());
    // Started again, it can still write what is its own.
    machine.systemctl("restart");
    fleet.server(1).append_generated("Application", 5).unwrap();
    machine.follows(&table, 85);
    let audit = machine.does(&["cat", "/var/lib/quarryd/audit.jsonl"]);
    assert!(audit.lines().any(|line| line.contains("\"alice\"")), "{audit}");
    machine.systemctl("stop");
    assert_eq!((&*machine.shows("Result"), &*machine.shows("ExecMainStatus")), ("success", "0"));
    assert!(Rows::read(&table).repeated().is_empty());
}
