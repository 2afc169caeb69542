//! Becoming somebody on Windows, with the process's own token: what a guard does to the thread can
//! be seen without another account. Tests with real accounts are those of `docs/verify-windows.ps1`.
#![cfg(windows)]
#![allow(clippy::print_stdout, reason = "what a process said before it was aborted")]

use std::{
    os::windows::io::{FromRawHandle, OwnedHandle},
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    ptr, thread,
};

use quarry_logon::{Environment, Folder, PrincipalId, Token};
use windows_sys::Win32::{
    Foundation::{ERROR_NO_TOKEN, GetLastError},
    Security::{RevertToSelf, TOKEN_QUERY},
    System::Threading::{GetCurrentThread, OpenThreadToken},
};

/// Whether the thread has a token of its own, by the system and not by us.
fn has_token() -> bool {
    let mut token = ptr::null_mut();
    // SAFETY: the pseudo handle needs no closing, and the result can be written to.
    let opened = unsafe { OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, 1, &mut token) };
    if opened == 0 {
        // SAFETY: takes nothing.
        assert_eq!(unsafe { GetLastError() }, ERROR_NO_TOKEN);
        return false;
    }
    // SAFETY: it was opened for us.
    drop(unsafe { OwnedHandle::from_raw_handle(token) });
    true
}

fn me() -> Token {
    Token::current().expect("the process has a token")
}

#[test]
fn the_process_has_a_user_with_groups() {
    let me = me();
    let identity = me.identity();
    let is_sid = |id: &PrincipalId| matches!(id, PrincipalId::Sid(sid) if sid.starts_with("S-1-"));
    assert!(is_sid(identity.id()) && !identity.user().is_empty(), "{identity:?}");
    assert!(!identity.groups().is_empty() && identity.groups().iter().all(is_sid), "{identity:?}");
}

#[test]
fn inside_the_thread_has_a_token_and_afterwards_none() {
    let me = me();
    assert!(!has_token());
    for _ in 0..100 {
        assert!(me.run(has_token).expect("becoming oneself"));
        assert!(!has_token());
    }
}

#[test]
fn guards_nest_and_may_be_dropped_in_any_order() {
    let me = me();
    let first = me.impersonate().expect("becoming oneself");
    assert!(me.run(has_token).expect("becoming oneself"));
    assert!(has_token());
    let second = me.impersonate().expect("becoming oneself");
    drop(first);
    assert!(has_token());
    drop(second);
    assert!(!has_token());
}

#[test]
fn after_a_panic_inside_the_thread_is_itself_again() {
    let me = me();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        me.run(|| {
            assert!(has_token());
            panic!("as meant by the test");
        })
    }));
    assert!(panicked.is_err());
    assert!(!has_token());
}

#[test]
fn threads_made_inside_are_the_process_again() {
    let made = me().run(|| thread::spawn(has_token).join().expect("no panic"));
    assert!(!made.expect("becoming oneself"));
}

#[test]
fn run_blocking_is_the_user_on_a_thread_of_its_own() {
    let me = me();
    let here = thread::current().id();
    let work = move || (thread::current().id(), has_token());
    let (there, had_token) = me.run_blocking(work).wait().expect("becoming oneself");
    assert!(had_token && there != here && !has_token());
    // Made by a thread that is somebody, too.
    let task = me.run(|| me.run_blocking(has_token)).expect("becoming oneself");
    assert!(task.wait().expect("becoming oneself"));
}

#[test]
fn sixty_four_threads_at_once() {
    let threads: Vec<_> = (0..64)
        .map(|_| {
            let me = me();
            thread::spawn(move || {
                for _ in 0..100 {
                    assert!(me.run(has_token).expect("becoming oneself"));
                    assert!(!has_token());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().expect("nothing was wrong"));
}

/// Runs a test of this file on its own, and gives how it ended and what it said.
fn alone(test: &str) -> Option<(Option<i32>, String)> {
    const ALONE: &str = "QUARRY_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return None;
    }
    let output = Command::new(std::env::current_exe().expect("a path"))
        .args([test, "--exact", "--nocapture"])
        .env(ALONE, "yes")
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    Some((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn a_thread_that_somebody_else_changed_aborts_the_process() {
    if let Some((code, said)) = alone("a_thread_that_somebody_else_changed_aborts_the_process") {
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains("BEFORE") && !said.contains("AFTER"), "{said}");
        assert!(said.contains("somebody else changed who the thread is"), "{said}");
        return;
    }
    let _ = me().run(|| {
        println!("BEFORE");
        // SAFETY: takes nothing.
        assert_ne!(unsafe { RevertToSelf() }, 0);
    });
    println!("AFTER");
}

#[test]
fn a_program_is_started_with_the_token_and_its_exit_code_has_all_bits() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.txt");
    let mut child = me()
        .command("cmd")
        .args(["/c", "echo %OURS%& exit 1000000"])
        .env("OURS", "yes and no")
        .folder(Folder::At(folder.path().to_owned()))
        .stdout(std::fs::File::create(&path).expect("a file"))
        .spawn()
        .expect("one's own token will do");
    assert_eq!(child.wait().expect("it ends").code(), Some(1_000_000));
    assert_eq!(child.try_wait().expect("it has").and_then(|status| status.code()), Some(1_000_000));
    assert_eq!(std::fs::read_to_string(path).expect("text").trim(), "yes and no");
    let mut child = me()
        .command("cmd")
        .args(["/c", "exit 3"])
        .environment(Environment::Users)
        .spawn()
        .expect("one's own token will do");
    assert_eq!(child.wait().expect("it ends").code(), Some(3));
}

#[test]
fn what_is_no_program_is_not_started() {
    assert!(me().command("no-such-program-anywhere").spawn().is_err());
    let batch = me().command("x.bat").arg("& calc").spawn().expect_err("cmd.exe would read it");
    assert!(batch.to_string().contains("cmd /c"), "{batch}");
}
