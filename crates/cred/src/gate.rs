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
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    fn refusal(server: &str) -> Refusal {
        Refusal { server: server.into(), reason: "access denied".into() }
    }

    fn go(gate: &Gate) -> Ticket {
        match gate.try_enter() {
            Entry::Go(ticket) => ticket,
            other => panic!("expected a ticket, got {other:?}"),
        }
    }

    #[test]
    fn a_gate_that_closed_after_an_acceptance_lets_one_try_again_after_each_pause() {
        let gate = Gate::default();
        let (pause, began) = (Duration::from_secs(600), Instant::now());
        let close = |count: u32| (0..count).for_each(|_| go(&gate).refused(refusal("dc")));
        go(&gate).accepted();
        close(3);
        assert!(gate.refusal().is_some());
        // The first who asks begins the pause; however many ask, one passes at its end.
        assert!(!gate.reconsider(began, pause));
        assert!(!gate.reconsider(began + pause / 2, pause));
        assert!(gate.reconsider(began + pause, pause));
        assert!(!gate.reconsider(began + pause, pause));
        let ticket = go(&gate);
        assert!(matches!(gate.try_enter(), Entry::Wait));
        ticket.refused(refusal("still"));
        assert_eq!(gate.refusal().unwrap().server, "still");
        // And so on, until a server accepts it again.
        assert!(!gate.reconsider(began + pause, pause));
        assert!(gate.reconsider(began + 2 * pause, pause));
        go(&gate).accepted();
        assert!(gate.is_proven());
        close(2);
        assert!(gate.refusal().is_none());
    }

    #[test]
    fn a_credential_that_no_server_has_accepted_is_never_tried_again() {
        let gate = Gate::default();
        go(&gate).refused(refusal("fred"));
        let now = Instant::now();
        for hours in 0..48 {
            let now = now + Duration::from_secs(3600 * hours);
            assert!(!gate.reconsider(now, Duration::from_secs(600)));
        }
        assert!(matches!(gate.try_enter(), Entry::Refused(_)));
    }

    #[test]
    fn the_first_attempt_goes_alone_until_it_is_settled() {
        let gate = Gate::default();
        let first = go(&gate);
        assert!(matches!(gate.try_enter(), Entry::Wait));
        first.accepted();
        let (_a, _b) = (go(&gate), go(&gate));
    }

    #[test]
    fn a_refused_first_attempt_closes_the_gate_and_names_who_refused() {
        let gate = Gate::default();
        go(&gate).refused(refusal("dc01"));
        match gate.try_enter() {
            Entry::Refused(r) => assert_eq!(r.server, "dc01"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_unsettled_attempt_lets_the_next_one_try() {
        let gate = Gate::default();
        drop(go(&gate));
        let _second = go(&gate);
    }

    #[test]
    fn after_an_acceptance_one_refusal_is_that_servers_own_and_three_in_a_row_are_not() {
        let gate = Gate::default();
        go(&gate).accepted();
        go(&gate).refused(refusal("standalone"));
        assert!(!gate.is_proven());
        let probe = go(&gate);
        assert!(matches!(gate.try_enter(), Entry::Wait), "in doubt it goes one at a time");
        probe.accepted();
        assert!(gate.is_proven());
        for server in ["a", "b"] {
            go(&gate).refused(refusal(server));
            assert_eq!(gate.refusal(), None);
        }
        go(&gate).refused(refusal("c"));
        assert_eq!(gate.refusal().unwrap().server, "c");
    }

    #[test]
    fn a_slow_server_may_step_aside_but_attempts_stay_few() {
        let gate = Gate::default();
        let mut slow = go(&gate);
        slow.step_aside();
        let mut slower = go(&gate);
        assert!(matches!(gate.try_enter(), Entry::Wait));
        slower.step_aside();
        assert!(matches!(gate.try_enter(), Entry::Wait), "two are unsettled already");
        drop(slow);
        let _third = go(&gate);
        slower.accepted();
        assert!(gate.is_proven());
    }

    #[test]
    fn a_refusal_is_final_whatever_earlier_attempts_report_later() {
        let gate = Gate::default();
        let mut slow = go(&gate);
        slow.step_aside();
        go(&gate).refused(refusal("dc02"));
        slow.accepted();
        assert!(gate.refusal().is_some());
    }

    #[test]
    fn a_ticket_that_is_given_back_makes_room_and_is_heard_all_the_same() {
        let gate = Gate::default();
        let (mut one, mut other) = (go(&gate), None);
        for _ in 0..10 {
            one.step_aside();
            let mut next = go(&gate);
            next.step_aside();
            assert!(matches!(gate.try_enter(), Entry::Wait));
            one.give_back();
            other = Some(std::mem::replace(&mut one, next));
        }
        other.unwrap().refused(refusal("slow"));
        assert_eq!(gate.refusal().unwrap().server, "slow");
    }

    /// What happens to one of several attempts, which may be at any point.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        /// It waits for a ticket, or is polled if it does and was woken.
        Enter,
        /// It waits no longer.
        Cancel,
        MakeWay,
        GiveBack,
        HangUp,
        /// The server says honestly what it thinks of the credential.
        Settle,
    }

    #[derive(Default)]
    struct Woken(std::sync::atomic::AtomicBool);

    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    enum Attempt {
        Idle,
        Waiting(Enter, Arc<Woken>),
        Presenting { ticket: Ticket, counts: bool, alone: bool },
    }

    /// The gate with attempts that are driven by hand.
    struct Model {
        gate: Gate,
        is_right: bool,
        attempts: Vec<Attempt>,
        presented: u32,
        /// Attempts that were given back or hung up.
        unsettled: u32,
        refused: u32,
        accepted: u32,
    }

    impl Model {
        fn poll(&mut self, n: usize) {
            let Attempt::Waiting(enter, woken) = &mut self.attempts[n] else { return };
            woken.0.store(false, Ordering::SeqCst);
            let waker = Waker::from(Arc::clone(woken));
            match Pin::new(enter).poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => {}
                Poll::Ready(Err(_)) => self.attempts[n] = Attempt::Idle,
                Poll::Ready(Ok(ticket)) => {
                    assert_eq!(self.refused, 0, "presented after a refusal");
                    self.presented += 1;
                    self.attempts[n] = Attempt::Presenting { ticket, counts: true, alone: true };
                }
            }
        }

        fn poll_woken(&mut self) {
            let is_woken = |attempt: &Attempt| match attempt {
                Attempt::Waiting(_, woken) => woken.0.load(Ordering::SeqCst),
                _ => false,
            };
            while let Some(n) = self.attempts.iter().position(is_woken) {
                self.poll(n);
            }
        }

        fn step(&mut self, n: usize, step: Step) {
            let attempt = &mut self.attempts[n];
            match (step, attempt) {
                (Step::Enter, attempt @ Attempt::Idle) => {
                    *attempt = Attempt::Waiting(self.gate.enter(), Arc::default());
                    self.poll(n);
                }
                (Step::Enter, _) => self.poll(n),
                (Step::Cancel, attempt @ Attempt::Waiting(..)) => *attempt = Attempt::Idle,
                (Step::MakeWay, Attempt::Presenting { ticket, alone, .. }) => {
                    *alone = false;
                    ticket.step_aside();
                }
                (Step::GiveBack, Attempt::Presenting { ticket, counts, .. }) => {
                    self.unsettled += u32::from(std::mem::take(counts));
                    ticket.give_back();
                }
                (Step::HangUp, attempt @ Attempt::Presenting { .. }) => {
                    let Attempt::Presenting { counts, .. } = attempt else { unreachable!() };
                    self.unsettled += u32::from(*counts);
                    *attempt = Attempt::Idle;
                }
                (Step::Settle, attempt @ Attempt::Presenting { .. }) => {
                    let Attempt::Presenting { ticket, .. } =
                        std::mem::replace(attempt, Attempt::Idle)
                    else {
                        unreachable!()
                    };
                    if self.is_right {
                        self.accepted += 1;
                        ticket.accepted();
                    } else {
                        self.refused += 1;
                        ticket.refused(refusal("honest"));
                    }
                }
                _ => {}
            }
        }

        fn check(&self) {
            let GatePolicy { unsettled: at_once, .. } = GatePolicy::default();
            let counting =
                |attempt: &&Attempt| matches!(attempt, Attempt::Presenting { counts: true, .. });
            let counting = self.attempts.iter().filter(counting).count() as u32;
            if self.accepted == 0 {
                assert!(counting <= at_once, "{counting} at once");
                // Whatever happens, nobody sees it but the one who refuses, those who never
                // settled it, and those who are still to.
                assert!(self.presented <= self.refused + self.unsettled + counting);
            }
            // Nobody waits in vain.
            let alone = |attempt: &Attempt| {
                matches!(attempt, Attempt::Presenting { counts: true, alone: true, .. })
            };
            let waits = self.attempts.iter().any(|attempt| matches!(attempt, Attempt::Waiting(..)));
            let is_held = counting >= at_once || self.attempts.iter().any(alone);
            assert!(!waits || self.accepted == 0 && self.refused == 0 && is_held);
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(2000))]

        /// A wrong credential is refused once, whoever hangs, drips, hangs up or waits no longer;
        /// and a right one is held back only by attempts that count.
        #[test]
        fn a_wrong_credential_is_refused_once_and_nobody_waits_in_vain(
            is_right: bool,
            steps in proptest::collection::vec((0usize..6, 0u8..6), 1..60),
        ) {
            let attempts = (0..6).map(|_| Attempt::Idle).collect();
            let (presented, unsettled, refused, accepted) = (0, 0, 0, 0);
            let gate = Gate::default();
            let mut model =
                Model { gate, is_right, attempts, presented, unsettled, refused, accepted };
            for (n, step) in steps {
                let step = [
                    Step::Enter,
                    Step::Cancel,
                    Step::MakeWay,
                    Step::GiveBack,
                    Step::HangUp,
                    Step::Settle,
                ][usize::from(step)];
                model.step(n, step);
                model.poll_woken();
                model.check();
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_five_thousand_servers_one_sees_the_wrong_password() {
        let gate = Gate::default();
        let tried = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..5000)
            .map(|n| {
                let (gate, tried) = (gate.clone(), Arc::clone(&tried));
                tokio::spawn(async move {
                    match gate.enter().await {
                        Ok(ticket) => {
                            tried.fetch_add(1, Ordering::SeqCst);
                            tokio::task::yield_now().await;
                            ticket.refused(refusal(&format!("server{n}")));
                            true
                        }
                        Err(_) => false,
                    }
                })
            })
            .collect();
        let mut passed = 0;
        for task in tasks {
            passed += usize::from(task.await.unwrap());
        }
        assert_eq!((passed, tried.load(Ordering::SeqCst)), (1, 1));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn cancelled_and_hung_up_attempts_leave_nobody_waiting() {
        let gate = Gate::default();
        let tasks: Vec<_> = (0..400)
            .map(|n| {
                let gate = gate.clone();
                tokio::spawn(async move {
                    let wait = gate.enter();
                    let ticket = if n % 3 == 0 {
                        // Give up waiting at once, or shortly after.
                        match tokio::time::timeout(Duration::from_micros(n), wait).await {
                            Ok(ticket) => ticket,
                            Err(_) => return,
                        }
                    } else {
                        wait.await
                    };
                    let ticket = ticket.unwrap();
                    tokio::task::yield_now().await;
                    if n == 399 { ticket.accepted() } else { drop(ticket) }
                })
            })
            .collect();
        for task in tasks {
            tokio::time::timeout(Duration::from_secs(20), task)
                .await
                .expect("nobody hangs")
                .unwrap();
        }
    }
}
