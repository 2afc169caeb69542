//! How sources come back that were lost together: with a clock that stands still while anybody has
//! something to do, so that the times are exact.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quarry_even::Error as CallError;
use quarry_eventlog::{
    Batch, Batches, BoxFuture, Detail, EventLog, LogError, LogInfo, LogName, Query, Subscription,
};
use quarry_fleet::{
    Follow, FollowOptions, FollowReport, FollowRequest, Job, Options, Report, Request, Scan, Source,
};
use quarry_rpc::{Error as RpcError, LogonRefusal, NetworkError, NetworkErrorKind, Stage};
use tokio::time::Instant;

/// Sources that are lost at once.
const SOURCES: usize = 1000;

/// When, after they were opened.
const LOST_AFTER: Duration = Duration::from_secs(10);

fn network(during: Stage, kind: NetworkErrorKind) -> LogError {
    of_rpc(RpcError::Network(NetworkError { during, kind }))
}

fn of_rpc(error: RpcError) -> LogError {
    LogError::Server(CallError::Rpc(error))
}

fn reset() -> LogError {
    network(Stage::Call, NetworkErrorKind::Reset)
}

/// What an attempt comes to.
#[derive(Clone)]
enum Attempt {
    /// It can't be opened.
    Refused(LogError),
    /// It is open, and subscriptions and queries are refused.
    Denied(LogError),
    /// It is open, and reset after some time.
    ResetAfter(Duration),
    /// It is open, and stays so: a subscription is silent, a query ends.
    Stays,
}

/// A source whose attempts go as they are written down; the last is for all that follow.
struct Scripted {
    name: String,
    script: Vec<Attempt>,
    attempts: AtomicUsize,
    opened: Times,
    /// When the credential's gate was asked to let an attempt pass again.
    reconsidered: Times,
}

impl Source for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> &str {
        &self.name
    }

    fn reconsider_credential(&self) {
        self.reconsidered.lock().unwrap().push(Instant::now());
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, LogError>> {
        Box::pin(async {
            let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
            self.opened.lock().unwrap().push(Instant::now());
            match self.script[attempt.min(self.script.len() - 1)].clone() {
                Attempt::Refused(error) => Err(error),
                attempt => Ok(Arc::new(Opened(attempt)) as Arc<dyn EventLog>),
            }
        })
    }
}

struct Opened(Attempt);

impl Opened {
    fn batches(&self) -> Result<Box<dyn Batches>, LogError> {
        match &self.0 {
            Attempt::Denied(error) => Err(error.clone()),
            Attempt::ResetAfter(time) => Ok(Box::new(Stream { ends: Some(*time) })),
            _ => Ok(Box::new(Stream { ends: None })),
        }
    }
}

impl EventLog for Opened {
    fn source(&self) -> &str {
        "scripted"
    }

    fn logs(&self) -> BoxFuture<'_, Result<Vec<LogName>, LogError>> {
        Box::pin(std::future::ready(Ok(vec!["System".into()])))
    }

    fn info<'a>(&'a self, _: &'a LogName, _: Detail) -> BoxFuture<'a, Result<LogInfo, LogError>> {
        Box::pin(std::future::ready(Ok(LogInfo::default())))
    }

    /// A follower looks for the newest record, of which there is none.
    fn query<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        let batches = match query.limit {
            Some(_) => Ok(Box::new(Ended) as Box<dyn Batches>),
            None => match &self.0 {
                Attempt::Stays => Ok(Box::new(Ended) as Box<dyn Batches>),
                _ => self.batches(),
            },
        };
        Box::pin(std::future::ready(batches))
    }

    fn subscribe<'a>(
        &'a self,
        _: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(std::future::ready(self.batches()))
    }
}

struct Ended;

impl Batches for Ended {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(std::future::ready(None))
    }
}

struct Stream {
    ends: Option<Duration>,
}

impl Batches for Stream {
    fn next(&mut self) -> BoxFuture<'_, Option<Result<Batch, LogError>>> {
        Box::pin(async {
            match self.ends {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
            Some(Err(reset()))
        })
    }
}

type Times = Arc<Mutex<Vec<Instant>>>;

fn sources(count: usize, script: &[Attempt]) -> (Vec<Arc<dyn Source>>, Times) {
    let opened = Times::default();
    let source = |n| scripted(n, script, &opened, &Times::default());
    ((0..count).map(source).collect(), opened)
}

fn scripted(n: usize, script: &[Attempt], opened: &Times, reconsidered: &Times) -> Arc<dyn Source> {
    Arc::new(Scripted {
        name: format!("server{n}"),
        script: script.to_vec(),
        attempts: AtomicUsize::new(0),
        opened: Arc::clone(opened),
        reconsidered: Arc::clone(reconsidered),
    })
}

fn system() -> Vec<quarry_event::filter::Glob> {
    vec![quarry_event::filter::Glob::parse("System").unwrap()]
}

/// Checks that they were opened, lost, and opened again one after the other.
fn assert_spread(began: Instant, opened: &Times) {
    let opened = opened.lock().unwrap();
    let after: Vec<Duration> = opened.iter().map(|time| *time - began).collect();
    let (first, again) = after.split_at(SOURCES);
    assert!(first.iter().all(|time| *time < LOST_AFTER));
    assert_eq!(again.len(), SOURCES);
    let mut pauses: Vec<Duration> = again.iter().map(|time| *time - LOST_AFTER).collect();
    pauses.sort_unstable();
    assert!(pauses[SOURCES - 1] < Duration::from_secs(6), "the last comes back soon enough");
    assert!(pauses[SOURCES / 2] > Duration::from_secs(1), "most don't come at once");
    // A tenth of a second sees a fair share of them, from the first to the last.
    for tenth in 0..60 {
        let from = Duration::from_millis(100 * tenth);
        let within =
            |pause: &&Duration| **pause >= from && **pause < from + Duration::from_millis(100);
        let count = pauses.iter().filter(within).count();
        assert!(count <= SOURCES / 12, "{count} of {SOURCES} come back {from:?} after the loss");
    }
}

#[tokio::test(start_paused = true)]
async fn a_thousand_servers_that_a_scan_loses_at_once_come_back_spread_over_seconds() {
    let (sources, opened) = sources(SOURCES, &[Attempt::ResetAfter(LOST_AFTER), Attempt::Stays]);
    let began = Instant::now();
    let jobs = Job::each(sources, Request::new().logs(system()));
    let mut scan = Scan::begin(jobs, Options::default());
    let mut ended = 0;
    while let Some(report) = scan.next().await {
        if let Report::Ended { failures, health, .. } = report {
            assert!(failures.is_empty());
            assert_eq!(health.retries, 1);
            ended += 1;
        }
    }
    assert_eq!(ended, SOURCES);
    assert_spread(began, &opened);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_servers_that_a_follower_loses_at_once_come_back_spread_over_seconds() {
    let (sources, opened) = sources(SOURCES, &[Attempt::ResetAfter(LOST_AFTER), Attempt::Stays]);
    let began = Instant::now();
    let jobs = Job::each(sources, FollowRequest::new().logs(system()));
    let mut follow = Follow::begin(jobs, FollowOptions::default());
    let mut following = 0;
    while following < 2 * SOURCES {
        match follow.next().await.unwrap() {
            FollowReport::Following { .. } => following += 1,
            FollowReport::Opened { .. } | FollowReport::Lost { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_spread(began, &opened);
}

#[tokio::test(start_paused = true)]
async fn a_follower_waits_longer_each_time_for_a_server_that_stays_away() {
    let refused = network(Stage::Connect(135), NetworkErrorKind::Refused);
    let (sources, opened) =
        sources(1, &[Attempt::ResetAfter(LOST_AFTER), Attempt::Refused(refused)]);
    let jobs = Job::each(sources, FollowRequest::new().logs(system()));
    let mut follow = Follow::begin(jobs, FollowOptions::default());
    let hour = tokio::time::timeout(Duration::from_secs(3600), async {
        while let Some(report) = follow.next().await {
            assert!(!matches!(report, FollowReport::Failed { .. }), "it is given up");
        }
    });
    assert!(hour.await.is_err(), "it is still being followed");
    let opened = opened.lock().unwrap();
    let pauses: Vec<f64> =
        opened.windows(2).skip(1).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (n, pause) in pauses.iter().enumerate() {
        let longest = (0.6 * 2f64.powi(n as i32)).min(30.0);
        assert!(
            (longest / 2.0 - 0.01..=longest + 0.01).contains(pause),
            "{n}: {pause} of {longest}"
        );
    }
    assert!((120..=250).contains(&pauses.len()), "{} attempts in an hour", pauses.len());
}

/// What ended the following of a server for good, which had been followed before.
#[tokio::test(start_paused = true)]
async fn nothing_makes_a_follower_give_up_what_it_had_open() {
    let missing = LogError::NoSuchLog("System".into());
    let busy = of_rpc(RpcError::Fault(quarry_rpc::FaultStatus::SERVER_TOO_BUSY));
    let at_logon = network(Stage::Bind, NetworkErrorKind::Reset);
    let logon = of_rpc(RpcError::LogonRefused(LogonRefusal::Rejected));
    for trouble in [
        Attempt::Denied(missing),
        Attempt::Denied(LogError::AccessDenied("System".into())),
        Attempt::Denied(busy.clone()),
        Attempt::Refused(busy),
        Attempt::Refused(at_logon),
        Attempt::Refused(logon),
    ] {
        let (sources, _) = sources(1, &[Attempt::ResetAfter(LOST_AFTER), trouble, Attempt::Stays]);
        let jobs = Job::each(sources, FollowRequest::new().logs(system()));
        let mut follow = Follow::begin(jobs, FollowOptions::default());
        let (mut following, mut lost) = (0, 0);
        while following < 2 {
            match follow.next().await {
                Some(FollowReport::Following { .. }) => following += 1,
                Some(FollowReport::Lost { .. }) => lost += 1,
                Some(FollowReport::Opened { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(lost, 2);
    }
}

/// Once at once, as it may be the server's affair; then each attempt comes 15 to 30 minutes after
/// the one before: a wrong password must not lock an account. The gate is asked before each.
#[tokio::test(start_paused = true)]
async fn a_credential_that_was_right_and_is_refused_is_tried_again_every_few_minutes() {
    let logon = of_rpc(RpcError::LogonRefused(LogonRefusal::Rejected));
    let script = [Attempt::ResetAfter(LOST_AFTER), Attempt::Refused(logon)];
    let (opened, reconsidered) = (Times::default(), Times::default());
    let source = scripted(1, &script, &opened, &reconsidered);
    let jobs = vec![Job::new(source, FollowRequest::new().logs(system()))];
    let mut follow = Follow::begin(jobs, FollowOptions::default());
    let day = tokio::time::timeout(Duration::from_secs(86_400), async {
        while let Some(report) = follow.next().await {
            assert!(!matches!(report, FollowReport::Failed { .. }), "it is given up");
        }
    });
    assert!(day.await.is_err(), "it is still being followed");
    let (opened, reconsidered) = (opened.lock().unwrap(), reconsidered.lock().unwrap());
    let pauses: Vec<u64> =
        opened.windows(2).skip(1).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(pauses[0], 0);
    assert!(pauses[1..].iter().all(|pause| (900..=1800).contains(pause)), "{pauses:?}");
    assert!((48..=97).contains(&pauses.len()), "{} attempts in a day", pauses.len());
    assert_eq!(reconsidered[..], opened[2..]);
}

#[tokio::test(start_paused = true)]
async fn a_follower_gives_up_a_log_that_never_was_there_and_a_logon_that_never_was_right() {
    let missing = LogError::NoSuchLog("System".into());
    let logon = of_rpc(RpcError::LogonRefused(LogonRefusal::Rejected));
    for trouble in [Attempt::Denied(missing), Attempt::Refused(logon)] {
        let (sources, opened) = sources(1, &[trouble]);
        let jobs = Job::each(sources, FollowRequest::new().logs(system()));
        let mut follow = Follow::begin(jobs, FollowOptions::default());
        let mut failed = 0;
        while let Some(report) = follow.next().await {
            failed += u32::from(matches!(report, FollowReport::Failed { .. }));
        }
        assert_eq!((failed, opened.lock().unwrap().len()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_follower_ends_at_its_deadline_and_when_it_is_stopped() {
    let (sources, _) = sources(3, &[Attempt::Stays]);
    let begin = |deadline| {
        let jobs = Job::each(sources.clone(), FollowRequest::new().logs(system()));
        Follow::begin(jobs, FollowOptions::default().deadline(deadline))
    };
    let began = Instant::now();
    let mut follow = begin(Some(Duration::from_secs(60)));
    while follow.next().await.is_some() {}
    assert_eq!(began.elapsed().as_secs(), 60);

    let mut follow = begin(None);
    let control = follow.control();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        control.stop();
    });
    let began = Instant::now();
    while follow.next().await.is_some() {}
    assert_eq!(began.elapsed().as_secs(), 5);
}
