//! A guard can't cross an `.await` in a task that may be sent, decided by types: unlike a test that
//! expects an error of the compiler's, this can't pass because of some other mistake.

use std::marker::PhantomData;

use quarry_logon::{Error, Guard, LogonType, Task, Token};

/// Says of a type whether it is `Send`: the first `is_send` that applies is taken.
struct Asked<T>(PhantomData<T>);

impl<T: Send> Asked<T> {
    fn is_send(&self) -> bool {
        true
    }
}

trait Otherwise {
    fn is_send(&self) -> bool {
        false
    }
}

impl<T> Otherwise for Asked<T> {}

fn of<T>(_: &T) -> Asked<T> {
    Asked(PhantomData)
}

#[expect(clippy::await_holding_invalid_type, reason = "what the workspace's clippy.toml finds")]
async fn held_across_an_await(token: Token) -> Result<(), Error> {
    let guard = token.impersonate()?;
    std::future::ready(()).await;
    drop(guard);
    Ok(())
}

async fn dropped_before_an_await(token: Token) -> Result<(), Error> {
    let guard = token.impersonate()?;
    drop(guard);
    std::future::ready(()).await;
    Ok(())
}

#[test]
fn a_task_that_holds_a_guard_across_an_await_cannot_be_sent() {
    let Ok(token) = Token::current() else { panic!("this process is somebody") };
    assert!(!of(&held_across_an_await(token.clone())).is_send());
    // The same without holding it.
    assert!(of(&dropped_before_an_await(token)).is_send());
}

#[test]
fn a_guard_stays_on_its_thread_and_everything_else_may_go() {
    assert!(!Asked::<Guard>(PhantomData).is_send());
    assert!(!Asked::<&Guard>(PhantomData).is_send());
    assert!(Asked::<Token>(PhantomData).is_send());
    assert!(Asked::<&Token>(PhantomData).is_send());
    assert!(Asked::<Task<Result<Token, Error>>>(PhantomData).is_send());
    assert!(Asked::<LogonType>(PhantomData).is_send());
}
