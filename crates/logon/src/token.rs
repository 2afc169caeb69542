//! A user who is logged on, and a thread being that user.

use std::{fmt, marker::PhantomData, sync::Arc};

use quarry_cred::Credential;

use crate::{Command, Error, Identity, Task, child::Who, stack, sys, task};

/// A user who is logged on. It can be kept, cloned, sent to other threads and used many times;
/// the logon ends when its last clone, guard and child are gone.
#[derive(Clone)]
pub struct Token {
    inner: Arc<sys::Token>,
    identity: Arc<Identity>,
    network: Option<Credential>,
}

impl Token {
    pub(crate) fn new(inner: sys::Token, identity: Identity, network: Option<Credential>) -> Self {
        Self { inner: Arc::new(inner), identity: Arc::new(identity), network }
    }

    /// Whoever this process is. Becoming that needs no privilege and is checked all the same.
    ///
    /// # Errors
    /// What the system says when it is asked.
    pub fn current() -> Result<Self, Error> {
        let (inner, identity) = stack::as_base(sys::current)?;
        Ok(Self::new(inner, identity, None))
    }

    /// Who the token stands for on this machine.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the system said to the user when the password had been proven right, such as that it
    /// expires soon: on Unix the messages of PAM's modules, at most 32 of 200 characters.
    #[cfg(unix)]
    pub fn messages(&self) -> &[String] {
        &self.inner.said
    }

    /// The account to be towards other machines, for a token of
    /// [`LogonType::NewCredentials`](crate::LogonType::NewCredentials). RPC contexts are made
    /// with it; it is the type that a fleet's credentials have. On Windows a thread that became the
    /// token is that account for the system's own protocols as well.
    pub fn network_credential(&self) -> Option<&Credential> {
        self.network.as_ref()
    }

    /// Runs `work` as the user on this thread, and is itself again whatever happens, a panic
    /// included. It is the form that can't be misused: nothing can be awaited in it.
    ///
    /// # Errors
    /// If the thread can't become the user. `work` has not run then.
    ///
    /// # Aborts
    /// If the thread can't be itself again, or if somebody else changed its identity meanwhile.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> Result<R, Error> {
        let _guard = self.impersonate()?;
        Ok(work())
    }

    /// Makes this thread the user until the guard is dropped.
    ///
    /// # Errors
    /// If the thread can't become the user. It is whoever it was then.
    pub fn impersonate(&self) -> Result<Guard, Error> {
        let id = stack::push(&self.inner)?;
        Ok(Guard { id, _thread: PhantomData })
    }

    /// Runs `work` as the user on a thread made for it, so that no thread of a runtime is ever
    /// the user. Who that thread is is checked before and after; it ends with the work.
    ///
    /// # Errors
    /// The thread can't be made, isn't who the process is, or can't become the user.
    pub fn run_blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Task<Result<R, Error>> {
        let token = self.clone();
        let expected = match stack::as_base(sys::Base::of_new_thread) {
            Ok(base) => base,
            Err(error) => return Task::ready(Err(error)),
        };
        let work = move || {
            expected.verify().map_err(|found| Error::Mismatch {
                wanted: "whoever the process is, on a new thread".to_owned(),
                found,
            })?;
            let result = token.run(work);
            if let Err(found) = expected.verify() {
                stack::die(&found);
            }
            result
        };
        task::on_a_thread("quarry-run-as", work).unwrap_or_else(|error| Task::ready(Err(error)))
    }

    /// A program to be run as the user, who can't be left again by it.
    pub fn command(&self, program: impl Into<std::ffi::OsString>) -> Command {
        Command::new(Who::Token(self.clone()), program.into())
    }

    pub(crate) fn inner(&self) -> &sys::Token {
        &self.inner
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { inner: _, identity, network } = self;
        f.debug_struct("Token")
            .field("identity", identity)
            .field("network", network)
            .finish_non_exhaustive()
    }
}

/// A thread being somebody else. Dropping it makes the thread whoever it was.
///
/// Guards nest, and a thread is always whoever the youngest of its living guards is for. The guard
/// can't be sent to another thread, and a future that holds one across an `.await` can't be either:
///
/// ```compile_fail,E0277
/// fn spawn(_: impl Future + Send) {}
/// # fn f(token: quarry_logon::Token) {
/// spawn(async move {
///     let guard = token.impersonate();
///     std::future::ready(()).await;
///     drop(guard);
/// });
/// # }
/// ```
///
/// The same without awaiting compiles:
///
/// ```
/// fn spawn(_: impl Future + Send) {}
/// # fn f(token: quarry_logon::Token) {
/// spawn(async move {
///     let guard = token.impersonate();
///     drop(guard);
///     std::future::ready(()).await;
/// });
/// # }
/// ```
///
/// An executor that keeps its tasks on one thread asks for no [`Send`], so there the compiler is
/// silent. Use [`Token::run`], in which nothing can be awaited, or set Clippy's
/// `await-holding-invalid-types` as this workspace does.
///
/// A guard that is forgotten ([`std::mem::forget`]) leaves the thread as it is.
#[derive(Debug)]
#[must_use = "the thread is itself again as soon as the guard is dropped"]
pub struct Guard {
    id: u64,
    /// Neither `Send` nor `Sync`.
    _thread: PhantomData<*const ()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        stack::pop(self.id);
    }
}
