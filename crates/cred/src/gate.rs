//! The rule that one wrong password is tried once.
//!
//! A fleet of 5,000 servers and one typing mistake would be 5,000 failed logons
//! of one account, and a locked account long before. So each credential has a
//! [`Gate`]. As long as no server has accepted the credential, one attempt at a
//! time passes; the others wait until it is settled. Accepted, all pass freely.
//! Refused, none passes any more and each is told who refused it and why.
//!
//! The gate knows no clock, no socket and no runtime: it hands out [`Ticket`]s,
//! and keeps the wakers of those who wait. Take a ticket when the credential is
//! about to be presented, with the server's challenge in hand, and not before
//! connecting, or a dead server keeps the living waiting. A server can hang after
//! its challenge, too: whoever holds a ticket lets it [step
//! aside](Ticket::step_aside) after a moment, and [gives it
//! back](Ticket::give_back) after a longer one.
//!
//! What settles a ticket is a server's proof that it knows the session's key, and
//! nothing less; or its refusal, which nothing can prove, as the two sides have no
//! key in common then. So a server that lies can close the gate, and is named as
//! the one that did; it can't open it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Guards the use of one credential over the whole fleet. Clones are the same
/// gate.
#[derive(Clone, Debug)]
pub struct Gate {
    shared: Arc<Shared>,
}

/// How many refusals close a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatePolicy {
    /// Refusals by servers before any has accepted. 1: tried once.
    pub before_acceptance: u32,
    /// Refusals in a row after a server has accepted. A single one then is
    /// that server's affair (it may not know the account); several in a row
    /// mean that the password was changed or the account locked meanwhile.
    pub after_acceptance: u32,
    /// Attempts that may be unsettled at once while the credential is unproven,
    /// counting those that [stepped aside](Ticket::step_aside) and not those that
    /// were [given back](Ticket::give_back).
    pub unsettled: u32,
}

impl Default for GatePolicy {
    fn default() -> Self {
        Self { before_acceptance: 1, after_acceptance: 3, unsettled: 2 }
    }
}

/// Who refused a credential first, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{server} refused the credential: {reason}")]
pub struct Refusal {
    /// The server that refused it.
    pub server: String,
    /// What the server said.
    pub reason: String,
}

/// What a gate answers to one who wants to pass.
#[derive(Debug)]
pub enum Entry {
    /// Present the credential and report what came of it.
    Go(Ticket),
    /// Another attempt is unsettled.
    Wait,
    /// The credential is refused and must not be presented again.
    Refused(Refusal),
}

impl Gate {
    /// A gate for a credential that no server has seen yet.
    pub fn new(policy: GatePolicy) -> Self {
        let state = State {
            phase: Phase::Unproven,
            refusals: 0,
            ever_accepted: false,
            closed: None,
            alone: None,
            aside: 0,
            next_id: 0,
            waiters: VecDeque::new(),
        };
        Self { shared: Arc::new(Shared { policy, state: Mutex::new(state) }) }
    }

    /// Asks for a ticket without waiting.
    pub fn try_enter(&self) -> Entry {
        let mut state = self.shared.lock();
        match &state.phase {
            Phase::Refused(refusal) => return Entry::Refused(refusal.clone()),
            Phase::Proven => {}
            Phase::Unproven => {
                if state.alone.is_some() || state.aside >= self.shared.policy.unsettled {
                    return Entry::Wait;
                }
            }
        }
        let id = state.new_id();
        let mut standing = Standing::Free;
        if matches!(state.phase, Phase::Unproven) {
            state.alone = Some(id);
            standing = Standing::Alone(id);
        }
        drop(state);
        Entry::Go(Ticket { shared: Arc::clone(&self.shared), standing })
    }

    /// Waits for a ticket. Those who wait are served in order; dropping the
    /// future gives the place up.
    pub fn enter(&self) -> Enter {
        Enter { gate: self.clone(), place: None, done: false }
    }

    /// The refusal, once the credential is refused for good.
    pub fn refusal(&self) -> Option<Refusal> {
        match &self.shared.lock().phase {
            Phase::Refused(refusal) => Some(refusal.clone()),
            _ => None,
        }
    }

    /// Lets one attempt pass again, if a server had accepted the credential before others closed the
    /// gate, and `pause` has gone by since this was first asked for after that. Then all depends on
    /// that attempt: refused, the gate is closed as before. Returns whether it does.
    ///
    /// Who runs for ever asks for it: a domain controller that was away, or an account that was
    /// locked, had servers refuse what is right. Take a pause within which a wrong password may be
    /// tried once without locking the account.
    pub fn reconsider(&self, now: Instant, pause: Duration) -> bool {
        let wake = {
            let mut state = self.shared.lock();
            if !state.ever_accepted || !matches!(state.phase, Phase::Refused(_)) {
                return false;
            }
            let closed = *state.closed.get_or_insert(now);
            if now.saturating_duration_since(closed) < pause {
                return false;
            }
            state.closed = None;
            state.phase = Phase::Unproven;
            state.refusals = self.shared.policy.after_acceptance.saturating_sub(1);
            state.take_one()
        };
        wake.into_iter().for_each(Waker::wake);
        true
    }

    /// Whether the last word on the credential was that it is right.
    pub fn is_proven(&self) -> bool {
        matches!(self.shared.lock().phase, Phase::Proven)
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(GatePolicy::default())
    }
}

/// The right to present the credential once. Say what came of it; a ticket that
/// is dropped unsettled (the server hung up, the scan was cancelled) lets the
/// next one try.
#[derive(Debug)]
#[must_use = "a ticket that is dropped settles nothing"]
pub struct Ticket {
    shared: Arc<Shared>,
    standing: Standing,
}

impl Ticket {
    /// The server accepted the credential: everybody may pass. Report it on the
    /// server's first answer that proves it; NTLM's last message has none.
    pub fn accepted(mut self) {
        let wake = {
            let mut state = self.shared.lock();
            state.leave(&mut self.standing);
            if matches!(state.phase, Phase::Refused(_)) {
                return;
            }
            state.phase = Phase::Proven;
            state.ever_accepted = true;
            state.refusals = 0;
            state.alone = None;
            state.take_all()
        };
        wake.into_iter().for_each(Waker::wake);
    }

    /// The server refused the credential. Not for a server that refused the
    /// account a log: that is no word on the password.
    pub fn refused(mut self, refusal: Refusal) {
        let wake = {
            let mut state = self.shared.lock();
            state.leave(&mut self.standing);
            if matches!(state.phase, Phase::Refused(_)) {
                return;
            }
            state.refusals = state.refusals.saturating_add(1);
            let limit = if state.ever_accepted {
                self.shared.policy.after_acceptance
            } else {
                self.shared.policy.before_acceptance
            };
            if state.refusals >= limit {
                state.phase = Phase::Refused(refusal);
                state.take_all()
            } else {
                // In doubt again: one at a time until the next acceptance.
                state.phase = Phase::Unproven;
                state.take_one()
            }
        };
        wake.into_iter().for_each(Waker::wake);
    }

    /// The server takes long and no answer has come: lets one more try while
    /// this attempt goes on, up to [`GatePolicy::unsettled`] at once.
    pub fn step_aside(&mut self) {
        let wake = {
            let mut state = self.shared.lock();
            let Standing::Alone(id) = self.standing else { return };
            if state.alone == Some(id) {
                state.alone = None;
            }
            state.aside += 1;
            self.standing = Standing::Aside;
            if state.aside < self.shared.policy.unsettled { state.take_one() } else { Vec::new() }
        };
        wake.into_iter().for_each(Waker::wake);
    }

    /// No answer has come for so long that the attempt counts no longer, though
    /// it may go on: another takes its place. What is reported after all is heard.
    pub fn give_back(&mut self) {
        let wake = {
            let mut state = self.shared.lock();
            if state.leave(&mut self.standing) { state.take_one() } else { Vec::new() }
        };
        wake.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Waits for a [`Ticket`]; made by [`Gate::enter`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Enter {
    gate: Gate,
    place: Option<u64>,
    done: bool,
}

impl Future for Enter {
    type Output = Result<Ticket, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Between `try_enter` and taking a place the attempt may be settled and
        // its wake-up be lost, so look once more with the place taken.
        for last in [false, true] {
            match self.gate.try_enter() {
                Entry::Go(ticket) => {
                    self.finish();
                    return Poll::Ready(Ok(ticket));
                }
                Entry::Refused(refusal) => {
                    self.finish();
                    return Poll::Ready(Err(refusal));
                }
                Entry::Wait if last => return Poll::Pending,
                Entry::Wait => {
                    let shared = Arc::clone(&self.gate.shared);
                    let mut state = shared.lock();
                    let place = match self.place {
                        Some(place) => place,
                        None => state.new_id(),
                    };
                    self.place = Some(place);
                    match state.waiters.iter_mut().find(|(id, _)| *id == place) {
                        Some((_, waker)) => waker.clone_from(cx.waker()),
                        None => state.waiters.push_back((place, cx.waker().clone())),
                    }
                }
            }
        }
        Poll::Pending
    }
}

impl Enter {
    fn finish(&mut self) {
        self.done = true;
        if let Some(place) = self.place.take() {
            self.gate.shared.lock().waiters.retain(|(id, _)| *id != place);
        }
    }
}

impl Drop for Enter {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let Some(place) = self.place else { return };
        let wake = {
            let mut state = self.gate.shared.lock();
            let before = state.waiters.len();
            state.waiters.retain(|(id, _)| *id != place);
            // Not in the queue: this one was woken and will not go. Wake the next.
            if state.waiters.len() == before { state.take_one() } else { Vec::new() }
        };
        wake.into_iter().for_each(Waker::wake);
    }
}

#[derive(Debug)]
struct Shared {
    policy: GatePolicy,
    state: Mutex<State>,
}

impl Shared {
    /// No code that can panic runs under the lock, so a poisoned state is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Refusals since the last acceptance.
    refusals: u32,
    ever_accepted: bool,
    /// When it was closed, as far as anybody who asked for another attempt knows.
    closed: Option<Instant>,
    /// The ticket that holds the others back.
    alone: Option<u64>,
    /// Tickets that stepped aside and are unsettled.
    aside: u32,
    next_id: u64,
    waiters: VecDeque<(u64, Waker)>,
}

#[derive(Debug)]
enum Phase {
    Unproven,
    Proven,
    Refused(Refusal),
}

#[derive(Debug)]
enum Standing {
    /// Given out while the credential was proven.
    Free,
    Alone(u64),
    Aside,
    /// It counts no longer.
    Left,
}

impl State {
    fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Takes a ticket out of the count; true when that lets somebody in.
    fn leave(&mut self, standing: &mut Standing) -> bool {
        match std::mem::replace(standing, Standing::Left) {
            Standing::Alone(id) if self.alone == Some(id) => {
                self.alone = None;
                true
            }
            Standing::Aside => {
                self.aside -= 1;
                true
            }
            _ => false,
        }
    }

    fn take_one(&mut self) -> Vec<Waker> {
        self.waiters.pop_front().map(|(_, waker)| waker).into_iter().collect()
    }

    fn take_all(&mut self) -> Vec<Waker> {
        self.waiters.drain(..).map(|(_, waker)| waker).collect()
    }
}

#[cfg(test)]
mod tests;
