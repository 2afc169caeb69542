//! `cargo xtask bench logon`: what becoming a user costs, beside the bare system calls.
//!
//! | what | goal |
//! |---|---|
//! | becoming a user on a thread and being oneself again | at most 1.3 times the six calls that it takes |
//! | logging on in a task | no thread of the runtime waits for it |
//!
//! The six calls check nothing; ours looks at who the thread is before, inside and after.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use quarry_cred::Secret;
use quarry_logon::{Logon, LogonType};
use quarry_testkit::accounts;
use rustix::{
    fs::{Gid, Uid},
    thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid},
};

use super::lock::{report, say};

const ROUNDS: usize = 1_000;
const PAIRS: u32 = 100;
/// Refusals that are waited for at once, and how long each takes.
const REFUSALS: usize = 16;
const REFUSAL: Duration = Duration::from_secs(1);
/// A wait on the runtime's thread would last for [`REFUSAL`]; being held up by other processes
/// stays below this.
const LONGEST_GAP: Duration = Duration::from_millis(300);

/// Runs itself among accounts of its own, and prints what that prints.
pub(crate) fn run() -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    let output = accounts::run_program_inside("bench", &[], &program, &["bench", "logon-inside"]);
    ensure!(output.status.success(), "it failed (it needs root): {output:?}");
    say("what, ratio to the other, goal");
    for line in String::from_utf8(output.stdout)?.lines() {
        say(line);
    }
    Ok(())
}

/// Measures, among the accounts.
pub(crate) fn inside() -> anyhow::Result<()> {
    for user in ["bob", "alice"] {
        becoming(user)?;
    }
    tasks()
}

fn becoming(user: &str) -> anyhow::Result<()> {
    let (id, more) = accounts::ids(user);
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    let groups: Vec<Gid> = std::iter::once(id).chain(more).map(Gid::from_raw).collect();
    let token = logon(user).log_on(secret(accounts::PASSWORD)?)?;
    let own: Vec<Gid> = rustix::process::getgroups()?;
    let (root, roots) = (Uid::ROOT, Gid::ROOT);
    let bare = || {
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, root)?;
        black_box(());
        set_thread_res_uid(root, root, root)?;
        set_thread_res_gid(roots, roots, roots)?;
        set_thread_groups(&own)?;
        Ok(())
    };
    let ours = || Ok(token.run(|| black_box(()))?);
    // Whatever else the machine does only ever makes it slower, so the fastest round of each counts.
    let mut best = [Duration::MAX; 2];
    for _ in 0..ROUNDS {
        best = [best[0].min(time(bare)?), best[1].min(time(ours)?)];
    }
    let [bare, ours] = best;
    let what = format!("become and be oneself again, {} groups / the six calls", groups.len());
    report(&what, ours.as_secs_f64() / bare.as_secs_f64(), 1.3);
    say(&format!("  {:?} / {:?}", ours / PAIRS, bare / PAIRS));
    Ok(())
}

fn time(what: impl Fn() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let began = Instant::now();
    for _ in 0..PAIRS {
        what()?;
    }
    Ok(began.elapsed())
}

/// One thread that runs all tasks: had it to wait for PAM, nothing else would run meanwhile.
fn tasks() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let (gap, refused) = runtime.block_on(async {
        let mut logons = tokio::task::JoinSet::new();
        for _ in 0..REFUSALS {
            let wrong = secret(accounts::WRONG)?;
            logons.spawn(logon("alice").refusal_delay(REFUSAL).log_on_async(wrong));
        }
        let (mut gap, mut refused) = (Duration::ZERO, 0);
        let mut last = Instant::now();
        loop {
            tokio::select! {
                biased;
                done = logons.join_next() => match done {
                    None => break,
                    Some(result) => refused += usize::from(result?.is_err()),
                },
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
            gap = gap.max(last.elapsed());
            last = Instant::now();
        }
        anyhow::Ok((gap, refused))
    })?;
    say(&format!(
        "{refused} refusals of {REFUSAL:?} at once: nothing else ran for {gap:?} at most (goal: \
         under {LONGEST_GAP:?})"
    ));
    ensure!(refused == REFUSALS, "a wrong password was accepted");
    ensure!(gap < LONGEST_GAP, "a logon held the runtime up");
    Ok(())
}

fn logon(user: &str) -> Logon {
    let account = user.parse().expect("the accounts have names");
    Logon::new(account).logon_type(LogonType::Network)
}

fn secret(text: &str) -> anyhow::Result<Secret> {
    Secret::new(text.to_owned()).context("a password")
}
