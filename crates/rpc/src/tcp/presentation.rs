//! A credential that is being presented to one peer, and the ticket for that.

use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use quarry_cred::{Gate, Refusal, Ticket};
use tokio::sync::Notify;

use super::patience::elapse;
use crate::limits::{TICKET_LIFE, TICKET_PATIENCE};

/// One attempt to sign in, which takes a ticket of a credential's [`Gate`] on its way, if there is
/// a gate, and has it for a bounded time.
#[derive(Debug, Default)]
pub struct Presentation {
    ticket: Mutex<Option<Ticket>>,
    taken: Notify,
}

impl Presentation {
    /// An attempt that hasn't come to its credential yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits until the credential may be presented. Not before the peer has sent what the
    /// credential answers to, so that one that can't be reached, or hangs, holds up nobody.
    ///
    /// # Errors
    /// The [`Refusal`] that has closed the gate.
    pub async fn enter(&self, gate: Option<&Gate>) -> Result<(), Refusal> {
        if let Some(gate) = gate {
            let ticket = gate.enter().await?;
            *self.ticket() = Some(ticket);
            self.taken.notify_one();
        }
        Ok(())
    }

    /// Does what signs in. While that takes long, others are let through, as
    /// [`TICKET_PATIENCE`] and [`TICKET_LIFE`] say.
    pub async fn during<T>(&self, sign_in: impl Future<Output = T>) -> T {
        let overtaken = async {
            self.taken.notified().await;
            elapse(TICKET_PATIENCE).await;
            self.ticket().iter_mut().for_each(Ticket::step_aside);
            elapse(TICKET_LIFE.saturating_sub(TICKET_PATIENCE)).await;
            self.ticket().iter_mut().for_each(Ticket::give_back);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            outcome = sign_in => outcome,
            () = overtaken => unreachable!("it never ends"),
        }
    }

    /// The peer has accepted the credential, and has proved that it knows the session's key.
    pub fn accepted(&self) {
        if let Some(ticket) = self.take() {
            ticket.accepted();
        }
    }

    /// The peer says that the credential is wrong.
    pub fn refused(&self, refusal: Refusal) {
        if let Some(ticket) = self.take() {
            ticket.refused(refusal);
        }
    }

    fn take(&self) -> Option<Ticket> {
        self.ticket().take()
    }

    fn ticket(&self) -> MutexGuard<'_, Option<Ticket>> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;

    /// A peer that never settles what it was shown.
    async fn hangs(gate: &Gate) {
        let presentation = Presentation::new();
        let sign_in = async {
            presentation.enter(Some(gate)).await.unwrap();
            std::future::pending::<()>().await;
        };
        presentation.during(sign_in).await;
    }

    #[tokio::test(start_paused = true)]
    async fn peers_that_hang_after_their_challenge_hold_the_gate_for_a_bounded_time() {
        const HOSTILE: u32 = 10;
        let gate = Gate::default();
        for _ in 0..HOSTILE {
            let gate = gate.clone();
            tokio::spawn(async move { hangs(&gate).await });
        }
        tokio::task::yield_now().await;
        let begun = Instant::now();
        let presentation = Presentation::new();
        presentation.during(presentation.enter(Some(&gate))).await.unwrap();
        presentation.accepted();
        assert!(gate.is_proven());
        // Two at a time.
        assert!(begun.elapsed() <= TICKET_LIFE * (HOSTILE / 2) + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_that_comes_after_the_ticket_was_given_back_closes_the_gate() {
        let gate = Gate::default();
        let slow = Presentation::new();
        let sign_in = async {
            slow.enter(Some(&gate)).await.unwrap();
            tokio::time::sleep(2 * TICKET_LIFE).await;
            slow.refused(Refusal { server: "slow".into(), reason: "wrong".into() });
        };
        slow.during(sign_in).await;
        assert_eq!(gate.refusal().unwrap().server, "slow");
    }
}
