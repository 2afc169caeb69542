//! Real accounts for a test, seen by nobody else: the test runs itself again in a mount namespace
//! of its own, where `passwd`, `shadow`, `group`, PAM's services and `/dev` are its own.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

/// The password of every account that has one.
pub const PASSWORD: &str = "correct horse";
/// Another password, which is nobody's.
pub const WRONG: &str = "other staple";
/// How many accounts `u0`, `u1`, … there are, with the ids 7300, 7301, …
pub const CROWD: u32 = 64;

/// `openssl passwd -6 -salt quarry 'correct horse'`
const HASH: &str = "$6$quarry$vZBoQopiFBcmncsWgj18S8rq4PP/S8o8TU4y7NDux776RWYwiYklrW7c.mkxFWnDijY9H4l.LSpT1X.WTwCvP.";

/// The group that reads `shadow`, which Debian's `unix_chkpwd` belongs to.
const SHADOW: u32 = 42;
/// The folder of the accounts' test, set while one is inside.
const FOLDER: &str = "QUARRY_TEST_ACCOUNTS";
/// Longest time that a test may take, in seconds.
const LONGEST: &str = "300";

/// The accounts: name, id, groups besides its own, and what stands in `shadow` after the name.
///
/// | name | is |
/// |---|---|
/// | alice | in two groups more |
/// | bob | in none more |
/// | locked | locked: its hash begins with an exclamation mark |
/// | expired | past its account's day |
/// | aged | past its password's day |
/// | fresh | to choose a new password first |
/// | nopass | without a password |
const ACCOUNTS: &[(&str, u32, &[&str], &str)] = &[
    ("alice", 7101, &["readers", "writers"], "$:19000:0:99999:7:::"),
    ("bob", 7102, &[], "$:19000:0:99999:7:::"),
    ("locked", 7103, &[], "!$:19000:0:99999:7:::"),
    ("expired", 7104, &[], "$:19000:0:99999:7::19001:"),
    ("aged", 7105, &[], "$:19000:0:10:7:::"),
    ("fresh", 7106, &[], "$:0:0:99999:7:::"),
    ("nopass", 7107, &[], ":19000:0:99999:7:::"),
    ("service", 7900, &[], "!:19000:0:99999:7:::"),
];

/// PAM's services. `quarry` is like the file that is shipped, without other files; `open` lets
/// everybody in; `session` writes down what becomes of its session; `hang` has a module that doesn't
/// come back for a minute.
const SERVICES: &[(&str, &str)] = &[
    (
        "quarry",
        "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n",
    ),
    (
        "other",
        "auth required pam_deny.so\naccount required pam_deny.so\nsession required pam_deny.so\n",
    ),
    (
        "open",
        "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n",
    ),
    (
        "su",
        "auth required pam_unix.so nodelay\naccount required pam_unix.so\nsession required pam_permit.so\n",
    ),
    (
        "session",
        "auth required pam_unix.so nodelay\nauth optional pam_group.so\naccount required pam_unix.so\n\
         session required pam_env.so conffile=@/env.conf readenv=0\n\
         session required pam_exec.so seteuid @/hook\n",
    ),
    ("hang", "auth required pam_exec.so quiet @/hang\n"),
    ("nobody", "auth required pam_unix.so nodelay\naccount required pam_deny.so\n"),
];

/// Whether this is the test inside, where it goes on. Outside it runs itself inside, and fails as
/// that does; where that is impossible it says so.
///
/// # Panics
/// Outside, if the test inside fails.
pub fn inside(test: &str) -> bool {
    inside_as(test, &[])
}

/// The same, started by a program that takes the test as its arguments: `setpriv …`.
///
/// # Panics
/// As [`inside`].
pub fn inside_as(test: &str, starter: &[&str]) -> bool {
    if env::var_os(FOLDER).is_some() {
        return true;
    }
    let Some(output) = run_inside(test, starter) else { return false };
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("test result: ok. 1 passed"),
        "{test}, inside: {}\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    false
}

/// For a test that ends its process by a signal: runs it inside, and gives the signal and what it
/// said. Nothing inside, where the test goes on, and where it is impossible.
///
/// # Panics
/// If it ended by itself.
pub fn killed_inside(test: &str) -> Option<(i32, String)> {
    if env::var_os(FOLDER).is_some() {
        return None;
    }
    let output = run_inside(test, &[])?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // timeout(1) ends by the same signal, or tells it as a shell does.
    let signal = output.status.signal().or_else(|| output.status.code().map(|code| code - 128));
    let signal = signal.filter(|&signal| signal > 0);
    Some((signal.unwrap_or_else(|| panic!("{test}, inside: {}\n{said}", output.status)), said))
}

/// Whether this is inside.
pub fn is_inside() -> bool {
    env::var_os(FOLDER).is_some()
}

/// The folder that is made for the test, which everybody may look into.
///
/// # Panics
/// Outside.
pub fn folder() -> PathBuf {
    env::var_os(FOLDER).expect("the test is inside").into()
}

/// The ids of an account: the user's, which its own group has too, and its other groups'.
///
/// # Panics
/// If there is no such account.
pub fn ids(name: &str) -> (u32, Vec<u32>) {
    let (_, uid, groups, _) =
        ACCOUNTS.iter().find(|account| account.0 == name).expect("one of the test's accounts");
    (*uid, groups.iter().map(|group| group_id(group)).collect())
}

fn group_id(name: &str) -> u32 {
    match name {
        "readers" => 7201,
        "writers" => 7202,
        "given" => 7203,
        _ => panic!("{name} is no group of the test's"),
    }
}

fn run_inside(test: &str, starter: &[&str]) -> Option<Output> {
    if !possible() {
        super::skip(test, "needs root, mount namespaces, pam_unix and util-linux");
        return None;
    }
    let program = env::current_exe().expect("this program has a path");
    let arguments = [test, "--exact", "--nocapture", "--test-threads=1"];
    Some(run_program_inside(test, starter, &program, &arguments))
}

/// Runs a program among the accounts. `name` is for the folder, [`folder`] for the program.
///
/// # Panics
/// If that is impossible.
pub fn run_program_inside(
    name: &str,
    starter: &[&str],
    program: &Path,
    arguments: &[&str],
) -> Output {
    let folder = env::temp_dir().join(format!("quarry-accounts-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    write(&folder);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-e", "-c", ENTER])
        .arg(&folder)
        .args(["timeout", "--kill-after=5", LONGEST])
        .args(starter)
        .arg(program)
        .args(arguments)
        .env(FOLDER, &folder);
    let output = command.output().expect("unshare runs");
    fs::remove_dir_all(&folder).expect("the test's folder can be removed");
    output
}

/// `$0` is the folder; the rest is what to run.
const ENTER: &str = r#"
for file in passwd shadow group gshadow nsswitch.conf; do
  [ ! -e "/etc/$file" ] || mount --bind "$0/etc/$file" "/etc/$file"
done
mount --bind "$0/etc/pam.d" /etc/pam.d
[ ! -e /etc/security/group.conf ] || mount --bind "$0/etc/group.conf" /etc/security/group.conf
mount -t tmpfs -o mode=755 none "$0/dev"
cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$0/dev"
mkdir "$0/dev/pts" "$0/dev/shm"
ln -s /proc/self/fd "$0/dev/fd"
ln -s pts/ptmx "$0/dev/ptmx"
mount --bind /dev/pts "$0/dev/pts"
mount --rbind "$0/dev" /dev
exec "$@"
"#;

fn possible() -> bool {
    Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c"])
        .arg("[ \"$(id -u)\" = 0 ] && mount -t tmpfs none /mnt && find /lib /usr/lib -name pam_unix.so | grep -q .")
        .output()
        .is_ok_and(|output| output.status.success())
}

fn write(folder: &Path) {
    let etc = folder.join("etc");
    fs::create_dir_all(etc.join("pam.d")).expect("the test's folder can be made");
    fs::create_dir_all(folder.join("dev")).expect("the test's folder can be made");
    for path in [folder, &etc, &etc.join("pam.d")] {
        set_mode(path, 0o755);
    }
    let mut passwd = String::from(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    );
    let mut shadow = String::from("root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n");
    let mut groups = String::from("root:x:0:\nshadow:x:42:\ntty:x:5:\nnogroup:x:65534:\n");
    let mut add = |name: &str, uid: u32, rest: &str| {
        let home = folder.join(name);
        fs::create_dir(&home).expect("a home folder can be made");
        std::os::unix::fs::chown(&home, Some(uid), Some(uid)).expect("root may give it away");
        set_mode(&home, 0o700);
        let _ = writeln!(passwd, "{name}:x:{uid}:{uid}:{name}:{}:/bin/sh", home.display());
        let _ = writeln!(shadow, "{name}:{}", rest.replace('$', HASH));
        let _ = writeln!(groups, "{name}:x:{uid}:");
    };
    for (name, uid, _, rest) in ACCOUNTS {
        add(name, *uid, rest);
    }
    for number in 0..CROWD {
        add(&format!("u{number}"), 7300 + number, "$:19000:0:99999:7:::");
    }
    for group in ["readers", "writers", "given"] {
        let members: Vec<&str> = ACCOUNTS
            .iter()
            .filter(|account| account.2.contains(&group))
            .map(|account| account.0)
            .collect();
        let _ = writeln!(groups, "{group}:x:{}:{}", group_id(group), members.join(","));
    }
    let put = |path: PathBuf, text: &str, mode| {
        fs::write(&path, text).expect("the test's folder can be written to");
        set_mode(&path, mode);
    };
    put(etc.join("passwd"), &passwd, 0o644);
    // pam_unix has a helper of this group, for everybody's own password.
    put(etc.join("shadow"), &shadow, 0o640);
    std::os::unix::fs::chown(etc.join("shadow"), None, Some(SHADOW)).expect("root may");
    put(etc.join("group"), &groups, 0o644);
    put(etc.join("gshadow"), "", 0o600);
    put(
        etc.join("nsswitch.conf"),
        "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
        0o644,
    );
    put(etc.join("group.conf"), "session;*;*;Al0000-2400;given\n", 0o644);
    put(folder.join("env.conf"), "QUARRY_FROM_PAM DEFAULT=yes\n", 0o644);
    let place = folder.display().to_string();
    let hook = format!(
        "#!/bin/sh\necho \"$PAM_TYPE $PAM_USER $(id -u) $(id -ru) $PAM_TTY $PAM_RUSER $PAM_RHOST\" >> {place}/sessions\n"
    );
    put(folder.join("hook"), &hook, 0o755);
    put(folder.join("hang"), "#!/bin/sh\nexec sleep 60\n", 0o755);
    for (name, text) in SERVICES {
        put(etc.join("pam.d").join(name), &text.replace('@', &place), 0o644);
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is root's");
}
