//! The machine that this runs on.

use std::sync::Arc;
use std::time::Duration;

use quarry_event::filter::Glob;
use quarry_eventlog::{BoxFuture, EventLog, LocalLog, LogError, ReadOptions};

use crate::server::DEFAULT_LOG;
use crate::source::Source;

/// The machine that this runs on, read without a network. It is called as it calls itself.
#[derive(Clone, Debug)]
pub struct ThisMachine {
    log: LocalLog,
    logs: Vec<Glob>,
}

impl ThisMachine {
    /// This machine, whose calls show that they live well within the silence that is allowed.
    pub fn new(silence: Duration) -> Self {
        let options = ReadOptions::default();
        let heartbeat = options.heartbeat.min(silence / 3);
        let log = LocalLog::new(options.heartbeat(heartbeat).idle_heartbeat(silence * 2 / 3));
        ThisMachine { log, logs: Glob::parse(DEFAULT_LOG).into_iter().collect() }
    }
}

impl Source for ThisMachine {
    fn name(&self) -> &str {
        self.log.host()
    }

    fn address(&self) -> &str {
        self.log.source()
    }

    fn logs(&self) -> &[Glob] {
        &self.logs
    }

    fn is_this_machine(&self) -> bool {
        true
    }

    fn open(&self) -> BoxFuture<'_, Result<Arc<dyn EventLog>, LogError>> {
        Box::pin(std::future::ready(Ok(Arc::new(self.log.clone()) as Arc<dyn EventLog>)))
    }
}
