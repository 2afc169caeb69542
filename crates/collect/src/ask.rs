//! Questions to many sources, answered on the calling thread.

use quarry_fleet::{Answer, Ask};
use tokio::runtime::Handle;

use crate::stop::Stop;

/// Takes the answers to a question as they come, until all have come or the run is to end. Blocks
/// the calling thread, which is not one of the runtime's.
///
/// # Panics
/// On a thread of a runtime.
pub fn ask<T: Send + 'static>(
    runtime: &Handle,
    stop: &Stop,
    mut question: Ask<T>,
    mut take: impl FnMut(Answer<T>),
) {
    let mut next = || {
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = stop.wait() => None,
                answer = question.next() => answer,
            }
        })
    };
    while let Some(answer) = next() {
        take(answer);
    }
}
