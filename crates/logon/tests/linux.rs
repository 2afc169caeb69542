//! Logging on and becoming users on Linux, with real accounts in a mount namespace of the test's.
#![cfg(target_os = "linux")]
#![allow(clippy::print_stdout, reason = "what a process said before it was aborted")]

mod common;

use std::{
    fs,
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Command, Stdio},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use common::{Status, log_on, logon, output_of, status_of, status_of_this, token, try_log_on};
use quarry_cred::Secret;
use quarry_logon::{Environment, Error, Folder, Identity, LogonType, PrincipalId, Token};
use quarry_testkit::accounts::{self, CROWD, PASSWORD, WRONG};

#[test]
fn the_right_password_is_accepted_and_the_token_knows_the_user() {
    if !accounts::inside("the_right_password_is_accepted_and_the_token_knows_the_user") {
        return;
    }
    let token = token("alice");
    let identity = token.identity();
    assert_eq!(identity.user(), "alice");
    assert_eq!(identity.domain(), None);
    assert_eq!(identity.id(), &PrincipalId::Unix(7101));
    let groups = [7101, 7201, 7202].map(PrincipalId::Unix);
    assert_eq!(identity.groups(), groups);
    assert_eq!(identity.home(), Some(&*accounts::folder().join("alice")));
    assert_eq!(identity.shell(), Some("/bin/sh".as_ref()));
    assert_eq!(token.network_credential().map(|_| ()), None);
    // `.\alice` is an account of this machine, which is what alice is.
    assert_eq!(log_on(r".\alice", LogonType::Network).identity().id(), identity.id());
}

#[test]
fn what_is_refused_is_not_told_apart() {
    if !accounts::inside("what_is_refused_is_not_told_apart") {
        return;
    }
    let mut told = Vec::new();
    for (user, password) in [
        ("alice", WRONG),
        ("no-such-user", PASSWORD),
        ("locked", PASSWORD),
        ("expired", WRONG),
        ("aged", WRONG),
        ("nopass", WRONG),
        (r"NOWHERE\alice", PASSWORD),
    ] {
        let error = try_log_on(user, password).expect_err(user);
        assert!(matches!(error, Error::Refused(_)), "{user}: {error:?}");
        assert!(error.is_refusal());
        told.push((error.to_string(), format!("{error:?}")));
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn of_an_account_that_may_not_log_on_only_who_knows_its_password_is_told() {
    if !accounts::inside("of_an_account_that_may_not_log_on_only_who_knows_its_password_is_told") {
        return;
    }
    let error = try_log_on("expired", PASSWORD).expect_err("it has expired");
    assert!(matches!(error, Error::Restricted(_)), "{error:?}");
    for user in ["aged", "fresh"] {
        let error = try_log_on(user, PASSWORD).expect_err("its password has expired");
        assert!(matches!(error, Error::PasswordExpired { .. }), "{user}: {error:?}");
    }
    let error = logon("alice").service("nobody").log_on(common::secret(PASSWORD));
    assert!(matches!(error, Err(Error::Restricted(_))), "{error:?}");
}

#[test]
fn an_account_is_asked_about_without_its_password() {
    if !accounts::inside("an_account_is_asked_about_without_its_password") {
        return;
    }
    let alice = logon("alice").check().expect("it is good");
    assert_eq!(&alice, token("alice").identity());
    let of = |name: &str| Identity::of(&name.parse().expect("a name")).expect("it answers");
    assert_eq!(of("alice").as_ref(), Some(&alice));
    assert_eq!(of("no-such-user"), None);
    // What id(1) says.
    let id = output_of(Command::new("id").args(["-Gn", "alice"]));
    let mut names = alice.group_names().expect("the name service answers");
    let mut of_id: Vec<&str> = id.split_whitespace().collect();
    names.sort_unstable();
    of_id.sort_unstable();
    assert_eq!(names, of_id);
    assert!(matches!(logon("expired").check(), Err(Error::Restricted(_))));
    for user in ["aged", "fresh"] {
        assert!(matches!(logon(user).check(), Err(Error::PasswordExpired { .. })), "{user}");
    }
    assert!(logon("no-such-user").check().is_err());
    assert!(matches!(logon("alice").service("nobody").check(), Err(Error::Restricted(_))));
    // An account that is taken away while somebody is logged on.
    let passwd = fs::read_to_string("/etc/passwd").expect("it is the test's");
    let without: String =
        passwd.lines().filter(|line| !line.starts_with("bob:")).map(|l| format!("{l}\n")).collect();
    assert!(logon("bob").check().is_ok());
    fs::write("/etc/passwd", without).expect("it is the test's");
    assert!(logon("bob").check().is_err());
}

#[test]
fn a_service_that_pam_does_not_have_is_not_a_wrong_password() {
    if !accounts::inside("a_service_that_pam_does_not_have_is_not_a_wrong_password") {
        return;
    }
    for service in ["no-such-service", "../pam.d/open"] {
        let error = logon("alice").service(service).log_on(common::secret(PASSWORD));
        assert!(matches!(error, Err(Error::NotSetUp { .. })), "{service}: {error:?}");
    }
}

#[test]
fn pamtester_and_su_give_the_same_verdicts() {
    if !accounts::inside("pamtester_and_su_give_the_same_verdicts") {
        return;
    }
    let verdict = |mut command: Command, password: &str| {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let mut stdin = child.stdin.take().expect("a pipe");
        // It may have ended without reading.
        let _ = stdin.write_all(format!("{password}\n").as_bytes());
        drop(stdin);
        child.wait().expect("it ends").success()
    };
    let has_pamtester = quarry_testkit::has_program("pamtester", "pamtester");
    let mut accepted = 0;
    for user in
        ["alice", "bob", "locked", "expired", "aged", "fresh", "nopass", "u63", "no-such-user"]
    {
        for password in [PASSWORD, WRONG] {
            let ours = try_log_on(user, password).is_ok();
            accepted += u32::from(ours);
            if has_pamtester {
                let mut pamtester = Command::new("pamtester");
                pamtester.args(["quarry", user, "authenticate(PAM_DISALLOW_NULL_AUTHTOK)"]);
                pamtester.arg("acct_mgmt");
                assert_eq!(ours, verdict(pamtester, password), "pamtester: {user}, {password}");
            }
            // pam_unix lets su's service log on without a password where there is none, so su is
            // not asked about that.
            if user != "nopass" {
                let mut su = Command::new("setpriv");
                su.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
                su.args(["su", user, "-c", "true"]);
                assert_eq!(ours, verdict(su, password), "su: {user}, {password}");
            }
        }
    }
    assert_eq!(accepted, 3);
}

#[test]
fn a_refusal_is_delayed_and_a_success_is_not() {
    if !accounts::inside("a_refusal_is_delayed_and_a_success_is_not") {
        return;
    }
    let delay = Duration::from_secs(4);
    let timed = |user, password| {
        let began = Instant::now();
        let result = logon(user).refusal_delay(delay).log_on(common::secret(password));
        (result.is_ok(), began.elapsed())
    };
    let (accepted, time) = timed("alice", PASSWORD);
    assert!(accepted && time < delay, "{time:?}");
    for user in ["alice", "no-such-user"] {
        let (accepted, time) = timed(user, WRONG);
        assert!(!accepted && time >= delay, "{user}: {time:?}");
    }
}

#[test]
fn inside_the_thread_is_the_user_with_all_groups_and_no_capabilities() {
    if !accounts::inside("inside_the_thread_is_the_user_with_all_groups_and_no_capabilities") {
        return;
    }
    let before = status_of_this();
    for (name, expected_groups) in [("alice", vec![7101, 7201, 7202]), ("bob", vec![7102])] {
        let (uid, _) = accounts::ids(name);
        let inside = token(name).run(status_of_this).expect("root may become anybody");
        // Real, effective, saved and for files; the saved one is the way back.
        assert_eq!(inside.uids, [uid, uid, 0, uid]);
        assert_eq!(inside.gids, [uid; 4]);
        assert_eq!(inside.groups, expected_groups);
        assert_eq!(inside.effective, 0);
        // A second opinion on what the groups of a new session would be.
        let id = output_of(Command::new("id").args(["-G", name]));
        let mut of_id: Vec<u32> =
            id.split_whitespace().map(|group| group.parse().expect("a number")).collect();
        of_id.sort_unstable();
        assert_eq!(of_id, expected_groups);
    }
    assert_eq!(status_of_this(), before);
}

/// Without the capabilities to read everything, root is refused like everybody else.
#[test]
fn a_file_that_only_the_user_may_read_is_read_inside_and_refused_outside() {
    let starter = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let test = "a_file_that_only_the_user_may_read_is_read_inside_and_refused_outside";
    if !accounts::inside_as(test, &starter) {
        return;
    }
    let (alice, bob) = (token("alice"), token("bob"));
    let path = accounts::folder().join("alice/secret");
    alice.run(|| fs::write(&path, "hers")).expect("becoming").expect("it is her folder");
    let metadata = alice.run(|| fs::metadata(&path)).expect("becoming").expect("it is there");
    assert_eq!((metadata.uid(), metadata.gid()), (7101, 7101));

    assert_eq!(alice.run(|| fs::read_to_string(&path)).expect("becoming").expect("hers"), "hers");
    for refused in [
        fs::read_to_string(&path),
        bob.run(|| fs::read_to_string(&path)).expect("becoming"),
        fs::read_to_string(&path),
    ] {
        let error = refused.expect_err("only alice may");
        assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    }
}

#[test]
fn a_group_lets_its_members_read() {
    if !accounts::inside("a_group_lets_its_members_read") {
        return;
    }
    let path = accounts::folder().join("for-readers");
    fs::write(&path, "theirs").expect("the folder is root's");
    std::os::unix::fs::chown(&path, Some(0), Some(7201)).expect("root may");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o040)).expect("root may");
    let read = |user| token(user).run(|| fs::read_to_string(&path)).expect("becoming").is_ok();
    assert!(read("alice"));
    assert!(!read("bob"));
}

#[test]
fn only_the_thread_that_becomes_the_user_changes() {
    if !accounts::inside("only_the_thread_that_becomes_the_user_changes") {
        return;
    }
    let token = token("alice");
    let idle: Vec<_> = (0..4).map(|_| thread::spawn(thread::park)).collect();
    let before = status_of_this();
    let (ask, asked) = std::sync::mpsc::channel();
    let (tell, told) = std::sync::mpsc::channel();
    // /proc is looked at by a thread that is root.
    thread::spawn(move || {
        for () in asked {
            let tasks = fs::read_dir("/proc/self/task").expect("it is there");
            let of_task =
                |task: fs::DirEntry| (task.file_name(), status_of(&task.path().join("status")));
            let all: Vec<_> = tasks.map_while(Result::ok).map(of_task).collect();
            tell.send(all).expect("it is waited for");
        }
    });
    let look = || {
        ask.send(()).expect("it is there");
        told.recv().expect("it answers")
    };
    // SAFETY: takes nothing.
    let this = unsafe { libc::gettid() }.to_string();
    let of_others = |all: Vec<(std::ffi::OsString, Status)>| {
        let (this, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|task| task.0 == *this);
        assert!(others.len() >= 5, "{others:?}");
        (this[0].1.clone(), others)
    };
    let (outside, others_before) = of_others(look());
    assert_eq!(outside, before);
    let (inside, others_inside) = token.run(|| of_others(look())).expect("becoming");
    assert_eq!(inside.uids, [7101, 7101, 0, 7101]);
    assert_eq!(inside.groups, [7101, 7201, 7202]);
    assert_eq!(others_inside, others_before);
    let (after, others_after) = of_others(look());
    assert_eq!(after, before);
    assert_eq!(others_after, others_before);
    idle.into_iter().for_each(|thread| {
        thread.thread().unpark();
        thread.join().expect("it ends");
    });
}

#[test]
fn sixty_four_threads_are_different_users_at_once() {
    if !accounts::inside("sixty_four_threads_are_different_users_at_once") {
        return;
    }
    let all_inside = Arc::new(Barrier::new(CROWD as usize));
    let threads: Vec<_> = (0..CROWD)
        .map(|number| {
            let all_inside = Arc::clone(&all_inside);
            thread::spawn(move || {
                let name = format!("u{number}");
                let token = token(&name);
                let place = accounts::folder().join(&name);
                let uid = 7300 + number;
                for round in 0..50 {
                    let path = place.join(round.to_string());
                    token
                        .run(|| {
                            if round == 25 {
                                all_inside.wait();
                                assert_eq!(status_of_this().uids, [uid, uid, 0, uid]);
                            }
                            fs::write(&path, "mine").expect("it is the user's folder");
                            let neighbour = format!("u{}/0", (number + 1) % CROWD);
                            fs::read(accounts::folder().join(neighbour))
                                .expect_err("others may not look into it");
                        })
                        .expect("becoming");
                    assert_eq!(fs::metadata(&path).expect("it is there").uid(), uid);
                }
                assert_eq!(status_of_this().uids, [0; 4]);
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("nothing was wrong"));
}

#[test]
fn after_a_panic_inside_the_thread_is_itself_again() {
    if !accounts::inside("after_a_panic_inside_the_thread_is_itself_again") {
        return;
    }
    let token = token("alice");
    let before = status_of_this();
    for _ in 0..3 {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            token.run(|| {
                assert_eq!(status_of_this().uids[1], 7101);
                panic!("as meant by the test");
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(status_of_this(), before);
    }
}

#[test]
fn users_nest_and_guards_may_be_dropped_in_any_order() {
    if !accounts::inside("users_nest_and_guards_may_be_dropped_in_any_order") {
        return;
    }
    let (alice, bob, me) = (token("alice"), token("bob"), Token::current().expect("this"));
    let uid = || status_of_this().uids[1];
    let before = status_of_this();
    alice
        .run(|| {
            assert_eq!(uid(), 7101);
            bob.run(|| {
                assert_eq!(uid(), 7102);
                assert_eq!(status_of_this().groups, [7102]);
                alice.run(|| assert_eq!(uid(), 7101)).expect("becoming");
                me.run(|| assert_eq!(status_of_this(), before)).expect("becoming oneself");
                assert_eq!(uid(), 7102);
            })
            .expect("becoming");
            assert_eq!(uid(), 7101);
            assert_eq!(status_of_this().groups, [7101, 7201, 7202]);
        })
        .expect("becoming");
    assert_eq!(status_of_this(), before);

    let first = alice.impersonate().expect("becoming");
    let second = bob.impersonate().expect("becoming");
    drop(first);
    assert_eq!(uid(), 7102, "the thread is whom the youngest guard is for");
    let third = alice.impersonate().expect("becoming");
    drop(third);
    assert_eq!(uid(), 7102);
    drop(second);
    assert_eq!(status_of_this(), before);
}

#[test]
fn a_thread_that_cannot_be_itself_again_aborts_the_process() {
    let test = "a_thread_that_cannot_be_itself_again_aborts_the_process";
    if let Some((signal, said)) = accounts::killed_inside(test) {
        assert_eq!(signal, libc::SIGABRT, "{said}");
        assert!(said.contains("BEFORE"), "{said}");
        assert!(said.contains("can't be itself again"), "{said}");
        assert!(!said.contains("AFTER"), "{said}");
    }
    if !accounts::is_inside() {
        return;
    }
    let token = token("alice");
    let _ = token.run(|| {
        println!("BEFORE");
        // SAFETY: numbers only. The way back, which is the saved id, is thrown away.
        assert_eq!(unsafe { libc::syscall(libc::SYS_setresuid, 7101, 7101, 7101) }, 0);
    });
    println!("AFTER");
}

/// The C library makes every thread call it. For a thread that is a user it fails where for the
/// others it succeeds, and the C library ends a process that is left with different users.
#[test]
fn a_setuid_of_the_c_library_elsewhere_to_another_user_ends_the_process() {
    let test = "a_setuid_of_the_c_library_elsewhere_to_another_user_ends_the_process";
    if let Some((signal, said)) = accounts::killed_inside(test) {
        assert_eq!(signal, libc::SIGABRT, "{said}");
        assert!(said.contains("BEFORE") && !said.contains("AFTER"), "{said}");
    }
    if !accounts::is_inside() {
        return;
    }
    let token = token("alice");
    let elsewhere = elsewhere(|| {
        println!("BEFORE");
        // SAFETY: numbers only.
        unsafe { libc::setuid(7102) };
        println!("AFTER");
    });
    let _ = token.run(elsewhere);
    println!("AFTER");
}

/// To the saved id the call succeeds in every thread: the one that was the user is root from then
/// on. It is detected at the latest when the thread is to be itself again.
#[test]
fn a_setuid_of_the_c_library_elsewhere_to_the_saved_user_is_detected() {
    let test = "a_setuid_of_the_c_library_elsewhere_to_the_saved_user_is_detected";
    if let Some((signal, said)) = accounts::killed_inside(test) {
        assert_eq!(signal, libc::SIGABRT, "{said}");
        assert!(said.contains("BECAME 0"), "{said}");
        assert!(said.contains("somebody else changed who the thread is"), "{said}");
        assert!(!said.contains("AFTER"), "{said}");
    }
    if !accounts::is_inside() {
        return;
    }
    let token = token("alice");
    let elsewhere = elsewhere(|| {
        // SAFETY: numbers only.
        assert_eq!(unsafe { libc::setuid(0) }, 0);
    });
    let _ = token.run(|| {
        assert_eq!(status_of_this().uids[1], 7101);
        elsewhere();
        println!("BECAME {}", status_of_this().uids[1]);
    });
    println!("AFTER");
}

/// Makes a thread that is root, which does the work when it is asked to.
fn elsewhere(work: impl FnOnce() + Send + 'static) -> impl FnOnce() {
    let (ask, asked) = std::sync::mpsc::channel::<()>();
    let other = thread::spawn(move || {
        asked.recv().expect("it is asked");
        work();
    });
    move || {
        ask.send(()).expect("it is there");
        other.join().expect("no panic");
    }
}

#[test]
fn threads_made_inside_are_the_user_and_stay_so() {
    if !accounts::inside("threads_made_inside_are_the_user_and_stay_so") {
        return;
    }
    let (token, other) = (token("alice"), token("bob"));
    let made = token
        .run(|| {
            thread::spawn(move || {
                // It has no way to become somebody else, and is told so.
                let refused = other.run(|| ());
                assert!(
                    matches!(refused, Err(Error::Privilege { name: "CAP_SETUID", .. })),
                    "{refused:?}"
                );
                thread::park();
                status_of_this()
            })
        })
        .expect("becoming");
    made.thread().unpark();
    let status = made.join().expect("no panic");
    assert_eq!(status.uids, [7101, 7101, 0, 7101]);
    assert_eq!(status.groups, [7101, 7201, 7202]);
}

#[test]
fn programs_started_inside_by_other_means_are_the_user_for_good() {
    if !accounts::inside("programs_started_inside_by_other_means_are_the_user_for_good") {
        return;
    }
    let token = token("alice");
    for shell in ["sh", "bash"] {
        // bash without -p would go back to its real user by itself.
        let script = "cat /proc/$$/status; setpriv --reuid=0 true 2>/dev/null && echo BACK; true";
        let text =
            token.run(|| output_of(Command::new(shell).args(["-c", script]))).expect("becoming");
        let status = Status::parse(&text);
        assert_eq!(status.uids, [7101; 4], "{shell}");
        assert_eq!(status.gids, [7101; 4], "{shell}");
        assert_eq!((status.effective, status.permitted), (0, 0), "{shell}");
        assert!(!text.contains("BACK"), "{shell}");
    }
}

#[test]
fn where_becoming_the_user_fails_nothing_is_run() {
    let starter = ["setpriv", "--bounding-set=-setuid"];
    if !accounts::inside_as("where_becoming_the_user_fails_nothing_is_run", &starter) {
        return;
    }
    let before = status_of_this();
    let token = token("alice");
    let ran = AtomicBool::new(false);
    let result = token.run(|| ran.store(true, Ordering::Relaxed));
    assert!(!ran.load(Ordering::Relaxed));
    let error = result.expect_err("a capability is missing");
    assert!(matches!(error, Error::Privilege { name: "CAP_SETUID", .. }), "{error:?}");
    assert!(error.to_string().contains("CAP_SETUID"), "{error}");
    assert!(error.to_string().contains("root"), "{error}");
    assert_eq!(status_of_this(), before);
    let result = token.run_blocking(|| ()).wait();
    assert!(matches!(result, Err(Error::Privilege { name: "CAP_SETUID", .. })), "{result:?}");
    let result = token.command("true").spawn();
    assert!(matches!(result, Err(Error::Privilege { name: "CAP_SETUID", .. })), "{result:?}");
}

/// As systemd starts it with AmbientCapabilities: not root, and the capabilities would pass on to
/// every program.
#[test]
fn a_service_with_just_two_capabilities_becomes_users_and_passes_none_on() {
    let starter = [
        "setpriv",
        "--reuid=7900",
        "--regid=7900",
        "--clear-groups",
        "--inh-caps=-all,+setuid,+setgid",
        "--ambient-caps=-all,+setuid,+setgid",
    ];
    let test = "a_service_with_just_two_capabilities_becomes_users_and_passes_none_on";
    if !accounts::inside_as(test, &starter) {
        return;
    }
    let before = status_of_this();
    assert_eq!(before.uids, [7900; 4]);
    assert_eq!(before.effective, 0xc0);
    assert_eq!(before.ambient, 0xc0);
    let token = logon("alice").service("open").log_on(common::secret(PASSWORD)).expect("open");
    let (inside, program) = token
        .run(|| (status_of_this(), output_of(Command::new("cat").arg("/proc/self/status"))))
        .expect("becoming");
    assert_eq!(inside.uids, [7101, 7101, 7900, 7101]);
    assert_eq!(inside.gids, [7101; 4]);
    assert_eq!(inside.groups, [7101, 7201, 7202]);
    assert_eq!((inside.effective, inside.ambient), (0, 0));
    let program = Status::parse(&program);
    assert_eq!(program.uids, [7101; 4]);
    assert_eq!((program.effective, program.permitted, program.ambient), (0, 0, 0));
    assert_eq!(status_of_this(), before);

    let place = accounts::folder().join("alice");
    let output = tempfile::tempfile().expect("a file");
    let mut child = token
        .command("cat")
        .arg("/proc/self/status")
        .folder(Folder::At(place))
        .stdout(output.try_clone().expect("a file"))
        .spawn()
        .expect("it may");
    assert!(child.wait().expect("it ends").success());
    let status = Status::parse(&common::read_back(output));
    assert_eq!(status.uids, [7101; 4]);
    assert_eq!((status.effective, status.permitted, status.ambient), (0, 0, 0));
}

/// Where securebits keep the kernel from taking and giving capabilities as user ids change.
#[test]
fn securebits_do_not_leave_the_user_with_capabilities() {
    let starter = ["setpriv", "--securebits=+no_setuid_fixup"];
    if !accounts::inside_as("securebits_do_not_leave_the_user_with_capabilities", &starter) {
        return;
    }
    let before = status_of_this();
    assert_ne!(before.effective, 0);
    let token = token("alice");
    let inside = token.run(status_of_this).expect("becoming");
    assert_eq!((inside.uids, inside.effective), ([7101, 7101, 0, 7101], 0));
    assert_eq!(status_of_this(), before);
    let output = tempfile::tempfile().expect("a file");
    let mut child = token
        .command("cat")
        .arg("/proc/self/status")
        .stdout(output.try_clone().expect("a file"))
        .spawn()
        .expect("it may");
    assert!(child.wait().expect("it ends").success());
    let status = Status::parse(&common::read_back(output));
    assert_eq!((status.uids, status.effective, status.permitted), ([7101; 4], 0, 0));
}

/// Root that has given some capabilities up does not get them back by the detour.
#[test]
fn capabilities_that_were_given_up_stay_so() {
    let starter = ["setpriv", "--bounding-set=-sys_time,-sys_boot"];
    if !accounts::inside_as("capabilities_that_were_given_up_stay_so", &starter) {
        return;
    }
    // Effective ones less than the permitted ones, which being root again would all make effective.
    const CAP_KILL: u32 = 1 << 5;
    let header = [0x2008_0522_u32, 0];
    let mut sets = [[0_u32; 3]; 2];
    // SAFETY: the header is one of version 3, for which two triples are written, and then read.
    unsafe {
        assert_eq!(libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()), 0);
        sets[0][0] &= !CAP_KILL;
        assert_eq!(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()), 0);
    }
    let before = status_of_this();
    assert_eq!(before.permitted & !before.effective, u64::from(CAP_KILL));
    assert_eq!(token("alice").run(status_of_this).expect("becoming").effective, 0);
    assert_eq!(status_of_this(), before);
}

#[test]
fn becoming_oneself_needs_no_privilege() {
    let starter = ["setpriv", "--reuid=7101", "--regid=7101", "--init-groups"];
    if !accounts::inside_as("becoming_oneself_needs_no_privilege", &starter) {
        return;
    }
    assert!(quarry_logon::check_privileges().is_err());
    let me = Token::current().expect("this");
    assert_eq!(me.identity().user(), "alice");
    assert_eq!(me.run(|| status_of_this().uids).expect("nothing is needed"), [7101; 4]);
    let mut child = me.command("true").environment(Environment::Users).spawn().expect("it may");
    assert!(child.wait().expect("it ends").success());
    // pam_unix checks one's own password for anybody, by a helper.
    let token = token("alice");
    assert_eq!(token.run(|| status_of_this().uids).expect("nothing is needed"), [7101; 4]);
}

#[test]
fn run_blocking_is_the_user_on_a_thread_of_its_own() {
    if !accounts::inside("run_blocking_is_the_user_on_a_thread_of_its_own") {
        return;
    }
    let (alice, bob) = (token("alice"), token("bob"));
    let here = thread::current().id();
    let work = move || (thread::current().id(), status_of_this());
    let (there, status) = alice.run_blocking(work).wait().expect("becoming");
    assert_ne!(there, here);
    assert_eq!(status.uids, [7101, 7101, 0, 7101]);
    // A thread inherits who made it, so this one has to be made by root all the same.
    let task = bob.run(|| alice.run_blocking(status_of_this)).expect("becoming");
    let status = task.wait().expect("becoming");
    assert_eq!(status.uids, [7101, 7101, 0, 7101]);
    assert_eq!(status_of_this().uids, [0; 4]);
}

#[test]
fn no_thread_of_a_runtime_is_ever_a_user() {
    if !accounts::inside("no_thread_of_a_runtime_is_ever_a_user") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let token = logon("alice")
            .log_on_async(common::secret(PASSWORD))
            .await
            .expect("the password is right");
        let refused = logon("alice").log_on_async(common::secret(WRONG)).await;
        assert!(matches!(refused, Err(Error::Refused(_))));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let token = token.clone();
            tasks.spawn(async move {
                let inside = token.run_blocking(|| {
                    thread::sleep(Duration::from_millis(5));
                    status_of_this().uids
                });
                let inside = inside.await.expect("becoming");
                (inside, status_of_this().uids)
            });
        }
        while let Some(done) = tasks.join_next().await {
            assert_eq!(done.expect("no panic"), ([7101, 7101, 0, 7101], [0; 4]));
        }
    });
}

#[test]
fn a_network_only_token_is_oneself_here_and_the_other_account_there() {
    if !accounts::inside("a_network_only_token_is_oneself_here_and_the_other_account_there") {
        return;
    }
    // Nobody checks it: only the other machine could.
    let token = log_on(r"CORP\ann", LogonType::NewCredentials);
    assert_eq!(token.identity().id(), &PrincipalId::Unix(0));
    assert_eq!(token.run(status_of_this).expect("nothing changes"), status_of_this());
    let credential = token.network_credential().expect("that is what it is for");
    assert_eq!(credential.account().to_string(), r"CORP\ann");
    assert_eq!(credential.secret().expose(), PASSWORD);
    assert!(!format!("{token:?}").contains(PASSWORD));
}

#[test]
fn a_program_of_the_users_has_nothing_left_of_ours() {
    if !accounts::inside("a_program_of_the_users_has_nothing_left_of_ours") {
        return;
    }
    let token = token("alice");
    // Not closed on exec, as a careless library leaves it.
    let left_open = fs::File::open("/etc/shadow").expect("root may");
    // SAFETY: numbers only.
    let number = unsafe { libc::dup(std::os::fd::AsRawFd::as_raw_fd(&left_open)) };
    assert!(number > 2);
    let run = |token: &Token| {
        let output = tempfile::tempfile().expect("a file");
        let mut child = token
            .command("sh")
            .args(["-c", "cat /proc/self/status; ls /proc/self/fd; setpriv --reuid=0 true && echo BACK; true"])
            .stdout(output.try_clone().expect("a file"))
            .stderr(output.try_clone().expect("a file"))
            .folder(Folder::Home)
            .spawn()
            .expect("it may");
        assert!(child.wait().expect("it ends").success());
        common::read_back(output)
    };
    let text = run(&token);
    let status = Status::parse(&text);
    assert_eq!(status.uids, [7101; 4]);
    assert_eq!(status.gids, [7101; 4]);
    assert_eq!(status.groups, [7101, 7201, 7202]);
    assert_eq!(
        (status.effective, status.permitted, status.inheritable, status.ambient),
        (0, 0, 0, 0)
    );
    let open: Vec<&str> = text.lines().filter(|line| line.parse::<u32>().is_ok()).collect();
    // The fourth is ls reading the folder.
    assert_eq!(open, ["0", "1", "2", "3"]);
    assert!(!text.contains("BACK"), "{text}");
    // From within another user it is the same.
    let bob = common::token("bob");
    let nested = bob.run(|| run(&token)).expect("becoming");
    assert_eq!(Status::parse(&nested).uids, [7101; 4]);
    assert_eq!(status_of_this().uids, [0; 4]);
}

/// Whoever has a keyring may read the keys in it, also those of root's.
#[test]
fn a_program_of_the_users_does_not_have_our_keyring() {
    if !accounts::inside("a_program_of_the_users_does_not_have_our_keyring") {
        return;
    }
    const SESSION_KEYRING: libc::c_int = -3;
    // SAFETY: the kernel makes a keyring without a name.
    let joined = unsafe { libc::syscall(libc::SYS_keyctl, 1, std::ptr::null::<u8>()) };
    if joined < 0 {
        quarry_testkit::skip("keyrings", "the kernel has none");
        return;
    }
    // SAFETY: the texts end with a NUL, and the value has the length that is said.
    let key = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            c"quarry-test-key".as_ptr(),
            b"secret".as_ptr(),
            6,
            SESSION_KEYRING,
        )
    };
    assert!(key > 0);
    let sees = |command: &mut Command| output_of(command).contains("quarry-test-key");
    assert!(sees(Command::new("cat").arg("/proc/keys")), "so the test would see it");
    let output = tempfile::tempfile().expect("a file");
    let mut child = token("alice")
        .command("cat")
        .arg("/proc/keys")
        .stdout(output.try_clone().expect("a file"))
        .spawn()
        .expect("it may");
    assert!(child.wait().expect("it ends").success());
    let seen = common::read_back(output);
    assert!(seen.contains("_ses") && !seen.contains("quarry-test-key"), "{seen}");
    // A program started inside by other means does have it: that is documented.
    let inherited = token("alice").run(|| sees(Command::new("cat").arg("/proc/keys")));
    assert!(inherited.expect("becoming"));
}

#[test]
fn a_program_that_the_user_may_not_run_is_not_started() {
    if !accounts::inside("a_program_that_the_user_may_not_run_is_not_started") {
        return;
    }
    let path = accounts::folder().join("roots-own");
    fs::write(&path, "#!/bin/sh\n").expect("the folder is root's");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("root may");
    let token = token("alice");
    let kind = |result: Result<quarry_logon::Child, Error>| match result {
        Err(Error::Run { source, .. }) => source.kind(),
        other => panic!("{other:?}"),
    };
    use std::io::ErrorKind::{NotFound, PermissionDenied};
    assert_eq!(kind(token.command(&path).spawn()), PermissionDenied);
    // Whose search path is root's may meet folders there that the user may not look into.
    let nothing = token.command("no-such-program").environment(Environment::Users);
    assert_eq!(kind(nothing.spawn()), NotFound);
    let bobs = accounts::folder().join("bob");
    assert_eq!(kind(token.command("true").folder(Folder::At(bobs)).spawn()), PermissionDenied);
}

#[test]
fn a_session_is_opened_once_and_closed_with_the_token_by_whoever_opened_it() {
    let test = "a_session_is_opened_once_and_closed_with_the_token_by_whoever_opened_it";
    if !accounts::inside(test) {
        return;
    }
    let before = status_of_this();
    let sessions = || fs::read_to_string(accounts::folder().join("sessions")).unwrap_or_default();
    let logon = logon("alice")
        .service("session")
        .logon_type(LogonType::Interactive)
        .session(true)
        .terminal(Some("pts/77".into()))
        .asked_by(Some("root".into()))
        .asked_from(Some("192.0.2.7".into()));
    let token = logon.log_on(common::secret(PASSWORD)).expect("right");
    assert_eq!(sessions(), "open_session alice 0 0 pts/77 root 192.0.2.7\n");
    // pam_group has given her one more, and left this process as it was.
    assert_eq!(status_of_this(), before);
    let inside = token.run(status_of_this).expect("becoming");
    assert_eq!(inside.groups, [7101, 7201, 7202, 7203]);
    assert!(token.identity().groups().contains(&PrincipalId::Unix(7203)));

    let output = tempfile::tempfile().expect("a file");
    let mut child = token
        .command("sh")
        .args(["-c", "echo $QUARRY_FROM_PAM $USER $LOGNAME $HOME $SHELL $PATH $KRB5CCNAME; pwd"])
        .environment(Environment::Users)
        .folder(Folder::Home)
        .stdout(output.try_clone().expect("a file"))
        .spawn()
        .expect("it may");
    // The child keeps the session.
    drop(token);
    assert!(child.wait().expect("it ends").success());
    assert_eq!(sessions().lines().count(), 1);
    let home = accounts::folder().join("alice").display().to_string();
    assert_eq!(
        common::read_back(output),
        format!("yes alice alice {home} /bin/sh /usr/local/bin:/usr/bin:/bin\n{home}\n")
    );
    // Even where the thread is somebody else at the end.
    let bob = common::token("bob");
    bob.run(|| drop(child)).expect("becoming");
    assert_eq!(
        sessions(),
        "open_session alice 0 0 pts/77 root 192.0.2.7\nclose_session alice 0 0 pts/77 root 192.0.2.7\n"
    );

    // Types without a session have none, whatever is said.
    drop(logon.logon_type(LogonType::Network).log_on(common::secret(PASSWORD)).expect("right"));
    assert_eq!(sessions().lines().count(), 2);
}

#[test]
fn the_log_has_the_reason_and_no_line_of_an_attackers_making() {
    if !accounts::inside("the_log_has_the_reason_and_no_line_of_an_attackers_making") {
        return;
    }
    let socket = std::os::unix::net::UnixDatagram::bind("/dev/log").expect("this /dev is ours");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("it can have one");
    let error = try_log_on("locked", PASSWORD).expect_err("it is locked");
    let account = "locked".parse().expect("a name");
    quarry_logon::log_refusal("quarry\n<0>kernel", &account, &error).expect("there is a log");
    let mut buffer = [0; 2048];
    // pam_unix says something itself.
    let ours = loop {
        let length = socket.recv(&mut buffer).expect("something was logged");
        let line = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(!line.contains(PASSWORD), "{line}");
        if line.contains("logon of") {
            break line;
        }
    };
    assert!(ours.starts_with("<85>quarry?<0>kernel["), "{ours}");
    assert!(ours.contains("logon of locked failed: Authentication failure"), "{ours}");
}

#[test]
fn a_secret_is_not_in_what_is_said_of_a_logon() {
    let logon = quarry_logon::Logon::new("ann".parse().expect("a name"));
    let secret = Secret::new(PASSWORD.to_owned()).expect("a password");
    assert!(!format!("{logon:?}{secret:?}").contains(PASSWORD));
}
