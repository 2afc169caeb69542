//! Calls that may wait, on threads that may.

use super::nonsense;
use crate::types::LogError;

/// Runs what may wait on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it whoever waits for this.
            Err(_) => std::future::pending().await,
        },
    }
}

/// What Windows has open: it is used, and closed, on threads that may wait.
pub(super) struct OnThreads<T: Send + 'static>(
    /// On its way to such a thread, during a call.
    Option<T>,
);

impl<T: Send + 'static> OnThreads<T> {
    pub(super) fn new(open: T) -> Self {
        OnThreads(Some(open))
    }

    /// What is open, unless a call is under way.
    pub(super) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// Uses it. A call that is given up before it has returned closes it.
    pub(super) async fn call<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut T) -> Result<R, LogError> + Send + 'static,
    ) -> Result<R, LogError> {
        let mut open = self.0.take().ok_or_else(|| nonsense("a call that was given up"))?;
        let (open, done) = blocking(move || {
            let done = work(&mut open);
            (open, done)
        })
        .await;
        self.0 = Some(open);
        done
    }

    /// Closes it, and waits for that.
    pub(super) async fn close(mut self) {
        let open = self.0.take();
        blocking(move || drop(open)).await;
    }
}

impl<T: Send + 'static> Drop for OnThreads<T> {
    fn drop(&mut self) {
        if let (Some(open), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(open));
        }
    }
}
