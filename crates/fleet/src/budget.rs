//! What all sources of a fleet share.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::options::{FollowOptions, Options};

/// The unit of the byte budget: a semaphore counts to 2^29 at least, in steps of this many bytes.
const UNIT: usize = 1 << 10;

/// The budgets of a fleet.
#[derive(Debug)]
pub(crate) struct Budget {
    connections: Semaphore,
    connecting: Semaphore,
    room: Arc<Semaphore>,
    units: usize,
}

impl Budget {
    pub(crate) fn of_scan(options: &Options) -> Self {
        let Options { connections, connecting, bytes_in_flight, .. } = *options;
        Self::new(connections, connecting, bytes_in_flight)
    }

    pub(crate) fn of_follow(options: &FollowOptions) -> Self {
        let FollowOptions { connecting, bytes_in_flight, .. } = *options;
        Self::new(Semaphore::MAX_PERMITS, connecting, bytes_in_flight)
    }

    fn new(connections: usize, connecting: usize, bytes_in_flight: usize) -> Self {
        let units = (bytes_in_flight / UNIT).clamp(1, 1 << 28);
        Budget {
            connections: Semaphore::new(connections.clamp(1, Semaphore::MAX_PERMITS)),
            connecting: Semaphore::new(connecting.clamp(1, Semaphore::MAX_PERMITS)),
            room: Arc::new(Semaphore::new(units)),
            units,
        }
    }

    /// The right to have a source open.
    pub(crate) async fn connection(&self) -> Option<SemaphorePermit<'_>> {
        // They are never closed.
        self.connections.acquire().await.ok()
    }

    /// The right to make a connection.
    pub(crate) async fn connecting(&self) -> Option<SemaphorePermit<'_>> {
        self.connecting.acquire().await.ok()
    }

    /// Room for so many bytes, or for as many as there can be.
    pub(crate) async fn room(&self, bytes: usize) -> Room {
        let units = bytes.div_ceil(UNIT).clamp(1, self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Room { permit: Arc::clone(&self.room).acquire_many_owned(units).await.ok() }
    }
}

/// Room for a batch, given back when it is dropped: keep it as long as the batch, or what was
/// made of it.
#[derive(Debug, Default)]
pub struct Room {
    permit: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Gives back what isn't needed for so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.permit {
            let unused = permit.num_permits().saturating_sub(bytes.div_ceil(UNIT));
            drop(permit.split(unused));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn room_is_given_back_when_it_is_shrunk_and_when_it_is_dropped() {
        let budget = Budget::of_scan(&Options::default().bytes_in_flight(100 * UNIT));
        let mut one = budget.room(80 * UNIT).await;
        assert_eq!(budget.room.available_permits(), 20);
        one.shrink(30 * UNIT - 5);
        assert_eq!(budget.room.available_permits(), 70);
        one.shrink(1000 * UNIT);
        assert_eq!(budget.room.available_permits(), 70);
        drop(one);
        // More than there is can't be waited for.
        drop(budget.room(usize::MAX).await);
        assert_eq!(budget.room.available_permits(), 100);
    }
}
