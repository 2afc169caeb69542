//! The unit, started by systemd in a container that boots this machine's system from a layer over its files.
//! How the program is confined is what the kernel says of its process.

use std::os::unix::fs::PermissionsExt as _;

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
    --bind="$3:/var/lib/private/quarry" --bind-ro="$4:/usr/bin/quarryd" --boot -- --unit=basic.target
"#;

/// A container that has booted, until it is dropped.
struct Machine {
    container: Child,
    /// The process that is the first one in it.
    init: Pid,
    log: PathBuf,
}

impl Machine {
    /// Boots with the files of a folder, and a folder that is `/var/lib/quarry`; `None` after saying what is
    /// missing.
    fn boot(files: &Path, state: &Path) -> Option<Self> {
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
            .args([&layer, files, state, &program()])
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

    fn systemctl(&self, command: &str) {
        let (is_done, said) = self.run(&["systemctl", command, "quarryd"]);
        assert!(is_done, "{said}\n{}", self.said());
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
    let (files, state) = (fleet.root().join("files"), fleet.root().join("state"));
    let write = |path: &str, mode: u32, text: String| {
        let path = files.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    let unit = quarry_testkit::root().join("dist/quarryd.service");
    write("etc/systemd/system/quarryd.service", 0o644, read(unit));
    // A secret that only root can read, as the unit says.
    write("etc/quarry/secrets/fleet.password", 0o600, read(fleet.root().join("fleet.password")));
    let inventory = fleet.sim.inventory("/run/credentials/quarryd.service/secret_fleet.password");
    let usual = USUAL.replace("\"events\"", "\"/var/lib/quarry/events\"");
    let page = "[page]\nlisten = \"127.0.0.1:0\"\n";
    write("etc/quarry/quarryd.toml", 0o644, format!("{inventory}\n{usual}{page}"));
    std::fs::create_dir(&state).unwrap();
    let Some(machine) = Machine::boot(&files, &state) else { return };
    let table = state.join("events");
    let follows = |events: usize| {
        wait(|| table.exists() && Rows::read(&table).count() == events, || machine.said());
    };
    machine.systemctl("start");
    follows(80);
    let process = machine.shows("MainPID");
    let (_, status) = machine.run(&["cat", &format!("/proc/{process}/status")]);
    let of = |name: &str| -> Vec<String> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
    };
    // The range that systemd takes dynamic users from.
    let ids: Vec<u32> = of("Uid").iter().map(|id| id.parse().unwrap()).collect();
    assert!(ids.len() == 4 && ids.iter().all(|id| (61_184..=65_519).contains(id)), "{status}");
    let none = ["0000000000000000".to_owned()];
    assert_eq!((of("CapEff"), of("CapBnd")), (none.to_vec(), none.to_vec()));
    assert_eq!((of("NoNewPrivs"), of("Seccomp")), (vec!["1".to_owned()], vec!["2".to_owned()]));
    let (_, mounts) = machine.run(&["cat", &format!("/proc/{process}/mountinfo")]);
    let is_read_only = |place: &str| {
        let of = |line: &&str| line.split(' ').nth(4) == Some(place);
        mounts
            .lines()
            .rfind(of)
            .is_some_and(|line| line.split(' ').nth(5).unwrap().starts_with("ro"))
    };
    assert!(is_read_only("/") && !is_read_only("/var/lib/private/quarry"), "{mounts}");
    // It takes a changed configuration up, and is started again when it dies.
    machine.systemctl("reload");
    wait(|| machine.said().contains("the configuration was taken up"), || machine.said());
    fleet.server(1).append_generated("System", 5).unwrap();
    follows(85);
    assert_eq!(machine.shows("MainPID"), process);
    assert!(machine.run(&["kill", "-KILL", &process]).0);
    fleet.server(2).append_generated("Application", 5).unwrap();
    follows(90);
    assert_eq!((&*machine.shows("NRestarts"), &*machine.shows("ActiveState")), ("1", "active"));
    fleet.server(2).append_generated("System", 5).unwrap();
    // What is in hand is committed before it ends, which is no failure.
    std::thread::sleep(Duration::from_secs(2));
    machine.systemctl("stop");
    assert_eq!((&*machine.shows("Result"), &*machine.shows("ExecMainStatus")), ("success", "0"));
    let rows = Rows::read(&table);
    assert_eq!((rows.count(), rows.repeated()), (95, vec![]));
}
