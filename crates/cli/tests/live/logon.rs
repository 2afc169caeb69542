//! Signing in: whose fault it is, how often it is tried, and that no secret is shown.

use quarry_sim::Fault;

use super::*;

fn logons(fleet: &Fleet) -> Vec<u64> {
    fleet.sim.servers().iter().map(|server| server.stats().logons).collect()
}

#[test]
fn a_wrong_password_is_tried_on_one_server_of_twenty() {
    let fleet = Fleet::new(servers(20), 10);
    fleet.write_password("not this one");
    let ran = fleet.scan(&["@all"]);
    let logons = logons(&fleet);
    assert_eq!(logons.iter().sum::<u64>(), 1, "{logons:?}");
    let refused_by = name(1 + logons.iter().position(|logons| *logons == 1).unwrap());
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{}", ran.shown());
    assert_eq!(ran.errors().len(), 20);
    ran.line(&format!("error: logon refused for {ACCOUNT} on {refused_by}"));
    for server in fleet.sim.servers().iter().map(|server| server.name()) {
        if server != refused_by {
            let not_asked =
                format!("error: {server} was not asked: {refused_by} refused {ACCOUNT}");
            assert!(ran.errors().contains(&&*not_asked), "{}", ran.shown());
        }
    }
    ran.line("0 of 20 servers answered, 20 failed; ");
    // One line for the nineteen.
    let summed = ran.stderr.lines().filter(|line| line.starts_with("  ") && line.contains("more"));
    assert_eq!(summed.count(), 1, "{}", ran.shown());
}

#[test]
fn a_server_that_refuses_what_others_accept_is_the_only_one_or_the_first() {
    let mut options = servers(20);
    options[6].faults.push(Fault::RefuseLogon);
    let fleet = Fleet::new(options, 50);
    let ran = fleet.scan(&["@all"]);
    let logons = logons(&fleet);
    assert_eq!(logons[6], 1);
    ran.line(&format!("error: logon refused for {ACCOUNT} on server07"));
    let mut expected = fleet.everywhere(|_| true);
    expected.remove("server07");
    // Which of them is asked first is chance.
    if ran.errors().len() == 1 {
        assert_eq!((ran.status, ran.by_host()), (Some(3), expected));
    } else {
        assert_eq!((ran.status, ran.errors().len()), (Some(2), 20), "{}", ran.shown());
        assert_eq!(logons.iter().sum::<u64>(), 1);
    }
}

/// Of twenty, six answer the challenge as they should and then drip, or put SMB's logon off. Two at
/// a time may have the password unsettled; none has it for ever.
#[test]
fn servers_that_hang_after_their_challenge_keep_no_other_waiting_for_ever() {
    for fault in ["drip:1000", "pending"] {
        let mut options = servers(20);
        for server in &mut options[..6] {
            server.faults.push(fault.parse().unwrap());
        }
        let fleet = Fleet::new(options, 50);
        let ran = fleet.scan(&["@all"]);
        let mut expected = fleet.everywhere(|_| true);
        for n in 1..=6 {
            expected.remove(&name(n));
        }
        assert_eq!((ran.status, ran.by_host()), (Some(3), expected), "{fault}: {}", ran.shown());
        assert_eq!(ran.errors().len(), 6, "{fault}: {}", ran.shown());
    }
}

/// Whoever calls itself busy settles nothing: it has seen the wrong password, and so has one of
/// those who say what they think of it.
#[test]
fn a_wrong_password_goes_to_one_server_though_others_say_that_they_are_busy() {
    let mut options = servers(20);
    for server in &mut options[..4] {
        server.faults.push(Fault::Busy);
    }
    let fleet = Fleet::new(options, 10);
    fleet.write_password("not this one");
    let how = |_: &str| "authentication = \"ntlm\"\n".to_owned();
    fleet.write_inventory(&fleet.inventory_with(how));
    let ran = fleet.scan(&["@all"]);
    let logons = logons(&fleet);
    assert_eq!(logons[4..].iter().sum::<u64>(), 1, "{logons:?}\n{}", ran.shown());
    assert_eq!((ran.status, &*ran.stdout), (Some(2), ""), "{}", ran.shown());
}

#[cfg(unix)]
#[test]
fn servers_that_hang_while_one_signs_in_keep_no_other_waiting() {
    let fleet = Fleet::new(servers(12), 50);
    // They are first in the queue, and let one connect.
    let hung: Vec<std::net::TcpListener> =
        (0..4).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let port = |server: &str| {
        let n: usize = server[6..].parse().unwrap();
        hung.get(n - 1).map_or_else(String::new, |listener| {
            format!("endpoint = {}\n", listener.local_addr().unwrap().port())
        })
    };
    fleet.write_inventory(&fleet.inventory_with(port));
    let mut command = fleet.command(&["scan", "@all", "--timeout", "20s"]);
    command.args(PLACE);
    let turn = Turn::take();
    let running = spawn(command);
    let begun = Instant::now();
    let all_sent =
        || fleet.sim.servers()[4..].iter().all(|server| server.stats().records_sent == 50);
    while !all_sent() && begun.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(all_sent(), "they wait: {:?}", logons(&fleet));
    // What came is printed even if the rest is waited for no longer.
    interrupted::interrupt(&running.0);
    let ran = finish(running);
    drop(turn);
    assert_eq!(ran.status, Some(130));
}

#[test]
fn the_password_comes_out_of_a_file_a_descriptor_or_a_variable() {
    let fleet = Fleet::new(servers(1), 20);
    let server = &fleet.sim.servers()[0];
    let url = format!("even6://127.0.0.1:{}", server.mapper_port());
    let check = |ran: Ran| {
        assert_eq!(ran.status, Some(0), "{}", ran.shown());
        assert_eq!(ran.stdout.lines().count(), 20);
    };
    let scan = |args: &[&str]| {
        let mut command = fleet.bare();
        command.args(["scan", &url, "-u", ACCOUNT]).args(args).args(PLACE);
        command
    };
    check(run(scan(&["--password-file", PASSWORD_FILE])));
    let mut command = scan(&["--password-env", "FLINTSTONE"]);
    command.env("FLINTSTONE", PASSWORD);
    check(run(command));
    if cfg!(unix) {
        let mut command = Command::new("sh");
        command.current_dir(fleet.root()).stdin(Stdio::null());
        command.args(["-c", &format!("exec \"$0\" \"$@\" 7<{PASSWORD_FILE}")]);
        command.arg(env!("CARGO_BIN_EXE_quarry"));
        command.args(["scan", &url, "-u", ACCOUNT, "--password-fd", "7"]).args(PLACE);
        command.env("XDG_CONFIG_HOME", fleet.root()).env("HOME", fleet.root());
        check(run(command));
    }
    // As another way of signing in.
    check(run(scan(&["--password-file", PASSWORD_FILE, "--authentication", "ntlm"])));

    let refused = |command, status, what: &str| {
        let ran = run(command);
        assert_eq!((ran.status, &*ran.stdout), (Some(status), ""), "{}", ran.shown());
        assert!(ran.stderr.contains(what), "{}", ran.shown());
        assert!(!ran.stderr.contains(PASSWORD), "{}", ran.shown());
    };
    refused(scan(&["--password-env", "SLATE"]), 2, "SLATE");
    refused(scan(&["--password-file", "none"]), 2, "none: no such file or directory");
    refused(scan(&["--password-fd", "77"]), 2, "77");
    refused(scan(&["--password-file", PASSWORD_FILE, "--password-env", "X"]), 2, "cannot be used");
    // Nobody can be asked.
    refused(scan(&[]), 2, "--password-file");
    let mut command = fleet.bare();
    command.args(["scan", &url, "--password-file", PASSWORD_FILE]);
    refused(command, 2, "not whose it is");
    let mut command = fleet.bare();
    command.args(["scan", &url]);
    refused(command, 2, "no user name to sign in with");
}

#[cfg(target_os = "linux")]
#[test]
fn a_password_in_a_file_is_shown_nowhere() {
    let mut options = servers(6);
    options[0].faults.push("slow:900".parse().unwrap());
    options[1].faults.push(Fault::RefuseAccess(None));
    options[2].faults.push(Fault::Garbage);
    options[3].faults.push(Fault::Reset(10));
    options[4].faults.push(Fault::Oversized);
    let fleet = Fleet::new(options, 60);
    let mut command = fleet.command(&["scan", "@all", "--timeout", "2s"]);
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
    let running = spawn(command);
    // Until it has read the password and signed in.
    while fleet.sim.servers()[0].stats().logons == 0 {
        assert!(running.1.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    let proc = |name: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{}/{name}", running.0.id())).unwrap())
            .into_owned()
    };
    let (cmdline, environ) = (proc("cmdline"), proc("environ"));
    assert!(cmdline.contains("@all") && environ.contains("RUST_LOG"));
    let ran = finish(running);
    assert_eq!(ran.status, Some(3));
    for text in [&cmdline, &environ, &ran.stdout, &ran.stderr] {
        assert!(!text.contains(PASSWORD));
        assert!(!text.to_lowercase().contains("yabba"));
    }
}
