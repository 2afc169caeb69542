//! What there is to do: the files in their order, and what comes of the fleet in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use quarry_eventlog::{Batch, LogName, Strength};
use quarry_fleet::{Control, Follow, FollowReport, Report, Room, Scan};
use tokio::runtime::Handle;

use super::files::Files;
use super::order::Supply;
use crate::cursor::LogCursor;
use crate::sink::{Notice, Turn};
use crate::source::{FleetInput, Source, SourceId};
use crate::stop::Stop;

/// The next thing to do.
pub(super) enum Job {
    /// Things to report, in order.
    Notices(Arc<Source>, Vec<Notice>),
    /// Things to report, and then a cursor that has moved over records that nobody wants.
    Moved(Arc<Source>, Vec<Notice>, LogCursor),
    /// Records to decode.
    Batch(BatchJob),
}

/// Records to decode.
pub(super) struct BatchJob {
    pub(super) source: Arc<Source>,
    pub(super) log: Option<LogName>,
    pub(super) batch: Batch,
    /// The cursor after them.
    pub(super) cursor: Option<LogCursor>,
    pub(super) room: Room,
    pub(super) turn: Option<Turn>,
}

/// Where jobs come from besides the files.
pub(super) enum Origin {
    Files,
    Scan(Handle, Scan),
    Follow(Handle, Follow),
}

/// Sources of which no more is wanted.
#[derive(Clone)]
pub(super) struct Skips {
    each: Arc<[AtomicBool]>,
    /// What ends the fleet's, which come after so many files.
    control: Option<Control>,
    files: usize,
}

impl Skips {
    pub(super) fn is_skipped(&self, source: SourceId) -> bool {
        self.each[source.index()].load(Ordering::Relaxed)
    }

    /// Wants no more of a source.
    pub(super) fn skip(&self, source: SourceId) {
        // The sink may name one of another run.
        let Some(skipped) = self.each.get(source.index()) else { return };
        skipped.store(true, Ordering::Relaxed);
        if let (Some(control), Some(source)) = (&self.control, source.of_fleet(self.files)) {
            control.skip(source);
        }
    }
}

/// The jobs of a run. Asking for the next one may wait for the fleet.
pub(super) struct Jobs {
    files: Files,
    fleet: Vec<Member>,
    origin: Origin,
    /// Any of them ends the run.
    stops: [Stop; 2],
    skips: Skips,
}

/// A source of the fleet.
struct Member {
    input: FleetInput,
    /// As it was opened last.
    source: Arc<Source>,
    is_open: bool,
    /// Its loss was reported.
    is_lost: bool,
}

impl Jobs {
    pub(super) fn new(
        files: Files,
        fleet: Vec<FleetInput>,
        origin: Origin,
        stops: [Stop; 2],
    ) -> Self {
        let control = match &origin {
            Origin::Files => None,
            Origin::Scan(_, scan) => Some(scan.control()),
            Origin::Follow(_, follow) => Some(follow.control()),
        };
        let all = files.len() + fleet.len();
        let each = (0..all).map(|_| AtomicBool::new(false)).collect();
        let skips = Skips { each, control, files: files.len() };
        let member = |(n, input): (usize, FleetInput)| {
            let source = Arc::new(source_of(SourceId(skips.files + n), &input));
            Member { input, source, is_open: false, is_lost: false }
        };
        let fleet = fleet.into_iter().enumerate().map(member).collect();
        Jobs { files, fleet, origin, stops, skips }
    }

    pub(super) fn skips(&self) -> Skips {
        self.skips.clone()
    }

    /// What the fleet reports, if it has something to report already.
    fn next_at_once(&mut self) -> Option<Job> {
        loop {
            let job = match &mut self.origin {
                Origin::Files => return None,
                Origin::Scan(_, scan) => {
                    let report = scan.try_next()?;
                    of_scan(&mut self.fleet, report)
                }
                Origin::Follow(_, follow) => {
                    let report = follow.try_next()?;
                    of_follow(&mut self.fleet, report)
                }
            };
            if job.is_some() {
                return job;
            }
        }
    }

    /// What the fleet reports next; nothing when all of it has ended, or the run has.
    fn next_of_fleet(&mut self) -> Option<Job> {
        let [user, halt] = &self.stops;
        loop {
            let stop = async {
                tokio::select! {
                    () = user.wait() => {}
                    () = halt.wait() => {}
                }
            };
            let job = match &mut self.origin {
                Origin::Files => return None,
                Origin::Scan(runtime, scan) => {
                    let report = runtime.block_on(async {
                        tokio::select! { biased; () = stop => None, report = scan.next() => report }
                    })?;
                    of_scan(&mut self.fleet, report)
                }
                Origin::Follow(runtime, follow) => {
                    let report = runtime.block_on(async {
                        tokio::select! { biased; () = stop => None, report = follow.next() => report }
                    })?;
                    of_follow(&mut self.fleet, report)
                }
            };
            if job.is_some() {
                return job;
            }
        }
    }
}

impl Iterator for Jobs {
    type Item = Job;

    fn next(&mut self) -> Option<Job> {
        if self.stops.iter().any(Stop::is_set) {
            return None;
        }
        self.next_at_once()
            .or_else(|| self.files.next(&self.skips, &self.stops[0]))
            .or_else(|| self.next_of_fleet())
    }
}

impl Supply for Jobs {
    fn at_hand(&mut self) -> Option<Job> {
        if self.stops.iter().any(Stop::is_set) {
            return None;
        }
        // A file that is open is read at once. To open one may take long: it may be a pipe.
        self.next_at_once().or_else(|| match self.files.is_open() {
            true => self.files.next(&self.skips, &self.stops[0]),
            false => None,
        })
    }

    fn needs_no_wait(&self) -> bool {
        matches!(self.origin, Origin::Files)
    }
}

fn of_scan(fleet: &mut [Member], report: Report) -> Option<Job> {
    Some(match report {
        Report::Opened { source } => {
            let member = &mut fleet[source.index()];
            // It may be read in another way than it was at first.
            member.source = Arc::new(source_of(member.source.id, &member.input));
            Job::Notices(Arc::clone(&member.source), vec![Notice::Opened])
        }
        Report::Batch { source, batch, room } => {
            let source = Arc::clone(&fleet[source.index()].source);
            Job::Batch(BatchJob { source, log: None, batch, cursor: None, room, turn: None })
        }
        Report::Retrying { source, error, .. } => {
            Job::Notices(Arc::clone(&fleet[source.index()].source), vec![Notice::Lost(error)])
        }
        Report::Ended { source, failures, left_out, health } => {
            let is_weaker = health.strength > Strength::Filter;
            let weakened = is_weaker.then_some(Notice::Weakened(health.strength));
            let failed = failures.into_iter().map(Notice::Failed);
            let notices =
                weakened.into_iter().chain(failed).chain(left_out.into_iter().map(Notice::LeftOut));
            let source = Arc::clone(&fleet[source.index()].source);
            Job::Notices(source, notices.chain([Notice::Ended]).collect())
        }
        _ => return None,
    })
}

fn of_follow(fleet: &mut [Member], report: FollowReport) -> Option<Job> {
    Some(match report {
        FollowReport::Following { source, log, cursor } => {
            let member = &mut fleet[source.index()];
            let mut notices = Vec::new();
            let again = std::mem::take(&mut member.is_lost);
            let is_new = !std::mem::replace(&mut member.is_open, true);
            if is_new {
                member.source = Arc::new(source_of(member.source.id, &member.input));
                notices.push(Notice::Opened);
            }
            if is_new || again {
                notices.push(Notice::Following { log: log.clone(), again });
            }
            let address = member.input.source.address().to_owned();
            let cursor = LogCursor { source: address, log, cursor };
            Job::Moved(Arc::clone(&member.source), notices, cursor)
        }
        FollowReport::Batch { source, log, batch, cursor, room } => {
            let member = &fleet[source.index()];
            let address = member.input.source.address();
            let cursor = cursor.map(|cursor| {
                let (source, log) = (address.to_owned(), log.clone());
                LogCursor { source, log, cursor }
            });
            let source = Arc::clone(&member.source);
            Job::Batch(BatchJob { source, log: Some(log), batch, cursor, room, turn: None })
        }
        FollowReport::Gap { source, log, first, last } => {
            let notice = Notice::Gap { log, first, last };
            Job::Notices(Arc::clone(&fleet[source.index()].source), vec![notice])
        }
        FollowReport::Lost { source, error, .. } => {
            let member = &mut fleet[source.index()];
            if std::mem::replace(&mut member.is_lost, true) {
                return None;
            }
            Job::Notices(Arc::clone(&member.source), vec![Notice::Lost(error)])
        }
        FollowReport::LeftOut { source, failure } => {
            Job::Notices(Arc::clone(&fleet[source.index()].source), vec![Notice::LeftOut(failure)])
        }
        FollowReport::Failed { source, failure } => {
            Job::Notices(Arc::clone(&fleet[source.index()].source), vec![Notice::Failed(failure)])
        }
        _ => return None,
    })
}

/// A source of the fleet, as it is opened now.
fn source_of(id: SourceId, input: &FleetInput) -> Source {
    let source = &input.source;
    let shown = source.name().to_owned();
    Source {
        id,
        // A file's is the path that was given.
        name: if input.is_file { shown.clone() } else { source.address().to_owned() },
        host: (!input.is_file).then(|| shown.clone()),
        shown,
        log: None,
        remote: Some(Arc::clone(source)),
        selection: Arc::clone(&input.selection),
        texts: input.texts.clone(),
    }
}
