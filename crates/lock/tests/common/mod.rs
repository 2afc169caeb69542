//! A second process for the tests: this test program started again, taking orders on its
//! standard input, a line each.
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use quarry_lock::{Announcement, ByteRange, LockFile, Mode, Options, OwnedGuard, RangeFile};

const ORDERS_FOR: &str = "QUARRY_LOCK_TEST_PEER";
const ANSWER: &str = "peer: ";
const PATIENCE: Duration = Duration::from_secs(60);

/// Another process that locks the same file.
pub(crate) struct Peer {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Peer {
    pub(crate) fn new(path: &Path) -> Self {
        let this = std::env::current_exe().expect("the path of this test program");
        let mut child = Command::new(this)
            .args(["--exact", "common::the_other_process", "--ignored", "--nocapture"])
            .env(ORDERS_FOR, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this test program starts again");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // libtest may have begun the line before the first answer.
                if let Some((_, answer)) = line.split_once(ANSWER)
                    && sender.send(answer.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Self { orders: child.stdin.take(), child, answers }
    }

    /// Gives an order and returns the answer.
    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    pub(crate) fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("the peer takes orders");
        writeln!(orders, "{order}").expect("the peer listens");
    }

    pub(crate) fn answer(&mut self) -> String {
        self.answers.recv_timeout(PATIENCE).expect("the peer answers in time")
    }

    /// Whether no answer comes for a while, so that the peer must be waiting.
    pub(crate) fn is_silent_for(&mut self, time: Duration) -> bool {
        match self.answers.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => true,
            other => panic!("the peer should wait, but answered {other:?}"),
        }
    }

    /// SIGKILL, or what Windows has in its place.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the peer can be killed");
        self.child.wait().expect("the peer ends");
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.orders.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "not a test: the other process of the tests in this program, which start it"]
fn the_other_process() {
    let Some(path) = std::env::var_os(ORDERS_FOR) else { return };
    let path = Path::new(&path);
    let answer = |text: &str| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{ANSWER}{text}").and_then(|()| out.flush()).expect("the test listens");
    };
    let mut guard: Option<OwnedGuard> = None;
    let mut range_guard: Option<OwnedGuard<RangeFile>> = None;
    for order in std::io::stdin().lines() {
        let order = order.expect("orders are text");
        match order.split(' ').collect::<Vec<_>>()[..] {
            ["lock", how] => {
                guard = Some(open(path).lock_owned(mode(how)).expect("the peer can lock"));
                answer("held");
            }
            ["announce", how] => {
                let options = Options::new().announce(Announcement::new("being a test's peer"));
                guard = Some(options.lock(path, mode(how)).expect("the peer can lock"));
                answer("held");
            }
            ["try", how] => {
                guard = Options::new().try_lock(path, mode(how)).expect("the peer can ask");
                answer(if guard.is_some() { "held" } else { "contended" });
            }
            ["upgrade"] => {
                let upgraded = guard.as_mut().expect("held").try_upgrade();
                answer(if upgraded.expect("the peer can ask") { "upgraded" } else { "refused" });
            }
            ["downgrade"] => {
                guard.as_mut().expect("held").downgrade().expect("the peer can downgrade");
                answer("downgraded");
            }
            ["lock-range", start, len, how] => {
                let file = RangeFile::open(path).expect("the peer can open the file");
                let held = file.lock_owned(range(start, len), mode(how));
                range_guard = Some(held.expect("the peer can lock"));
                answer("held");
            }
            ["unlock"] => {
                guard.take().map(quarry_lock::Guard::unlock).transpose().expect("it unlocks");
                range_guard.take().map(quarry_lock::Guard::unlock).transpose().expect("it unlocks");
                answer("unlocked");
            }
            ["remove"] => {
                guard.take().expect("held").unlock_and_remove().expect("the peer can delete");
                answer("removed");
            }
            _ => panic!("an order the peer doesn't know: {order}"),
        }
    }
}

pub(crate) fn open(path: &Path) -> LockFile {
    LockFile::open(path).expect("the file can be opened")
}

pub(crate) fn range(start: &str, len: &str) -> ByteRange {
    let number = |text: &str| text.parse().expect("a number");
    ByteRange::new(number(start), number(len)).expect("a valid range")
}

fn mode(how: &str) -> Mode {
    match how {
        "shared" => Mode::Shared,
        "exclusive" => Mode::Exclusive,
        _ => panic!("a mode the peer doesn't know: {how}"),
    }
}
