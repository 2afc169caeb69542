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
                let Attempt::Presenting { ticket, .. } = std::mem::replace(attempt, Attempt::Idle)
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
        tokio::time::timeout(Duration::from_secs(20), task).await.expect("nobody hangs").unwrap();
    }
}
