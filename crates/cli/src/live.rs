//! The servers of a run, read in the background while the files are read here.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use quarry_fleet::{Answer, Ask, Control, Job, Options, Report, Request, Scan};
use tokio::runtime::{Builder, Runtime};

use crate::args::ServerArgs;
use crate::error::Failure;
use crate::servers::Server;

/// How often it is looked whether reading shall end.
const GLANCE: Duration = Duration::from_millis(50);

/// A fleet that is being read.
pub(crate) struct Live {
    // Before the runtime: its end is what ends the tasks.
    scan: Scan,
    runtime: Option<Runtime>,
}

impl Live {
    pub(crate) fn begin(
        servers: &[Server],
        request: Request,
        options: Options,
        threads: NonZeroUsize,
    ) -> Result<Self, Failure> {
        let runtime = runtime(threads)?;
        let scan = {
            let _inside = runtime.enter();
            Scan::begin(Job::each(servers.iter().cloned(), request), options)
        };
        Ok(Live { scan, runtime: Some(runtime) })
    }

    pub(crate) fn control(&self) -> Control {
        self.scan.control()
    }

    /// The next report, if there is one already.
    pub(crate) fn try_next(&mut self) -> Option<Report> {
        self.scan.try_next()
    }

    /// The next report; nothing at the end, or soon after `stop` is set.
    pub(crate) fn next(&mut self, stop: &AtomicBool) -> Option<Report> {
        let runtime = self.runtime.as_ref()?;
        loop {
            if stop.load(Ordering::Relaxed) {
                self.scan.control().stop();
                return None;
            }
            let scan = &mut self.scan;
            let next = runtime.block_on(async { tokio::time::timeout(GLANCE, scan.next()).await });
            if let Ok(report) = next {
                return report;
            }
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.scan.control().stop();
        // A name that is being looked up isn't waited for.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Asks servers something, and takes the answers as they come, until `stop` is set.
pub(crate) fn ask<T: Send + 'static>(
    threads: NonZeroUsize,
    stop: &AtomicBool,
    begin: impl FnOnce() -> Ask<T>,
    mut take: impl FnMut(Answer<T>),
) -> Result<(), Failure> {
    let runtime = runtime(threads)?;
    let mut ask = {
        let _inside = runtime.enter();
        begin()
    };
    while !stop.load(Ordering::Relaxed) {
        let next = runtime.block_on(async { tokio::time::timeout(GLANCE, ask.next()).await });
        match next {
            Ok(Some(answer)) => take(answer),
            Ok(None) => break,
            Err(_) => {}
        }
    }
    drop(ask);
    runtime.shutdown_background();
    Ok(())
}

/// The budgets that the options ask for.
pub(crate) fn budgets(args: &ServerArgs) -> Options {
    let options = Options::default().deadline(args.deadline);
    match args.connections {
        Some(connections) => options.connections(connections.get()),
        None => options,
    }
}

fn runtime(threads: NonZeroUsize) -> Result<Runtime, Failure> {
    let runtime = Builder::new_multi_thread().worker_threads(threads.get()).enable_all().build();
    runtime.map_err(|e| Failure::io("the network", &e))
}
