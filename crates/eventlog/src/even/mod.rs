//! A live server as an [`EventLog`], over MS-EVEN: for servers of which only the
//! port of SMB is open, and for Samba.
//!
//! What the protocol can't say:
//!
//! * There is no list of logs. [`EventLog::logs`] gives the names that every
//!   Windows server has, so far as the server opens them.
//! * Windows answers a name that it doesn't know with Application. A log is therefore compared
//!   with what such a server opens for a name that nobody knows, before anything of it is
//!   shown, and refused as [`NoSuchLog`](LogError::NoSuchLog) where it is the same. While that
//!   log is empty, an unknown log can't be told from an empty one; neither has a record to show.
//! * There are no filters. Everything is read and tested here.
//! * Record numbers have 32 bits and times whole seconds.

mod check;
mod queries;
mod subscriptions;

use quarry_even::Error as CallError;
use quarry_even::even::{ConnectPipeOptions, EvenClient, LogHandle, Read, ReadFlags};
use quarry_event::EventTime;
use quarry_logfile::classic::ClassicRecord;
use quarry_rpc::smb::NtStatus;

use crate::log::{Batches, BoxFuture, Detail, EventLog, LogInfo};
use crate::types::{Direction, LogError, LogName, Query, ReadOptions, Subscription};
use queries::EvenBatches;
use subscriptions::PollingBatches;

/// A read for one record: most are far smaller.
const ONE_RECORD: u32 = 4096;

/// The logs that are looked for, since a server doesn't name its own.
const USUAL_LOGS: [&str; 11] = [
    "Application",
    "System",
    "Security",
    "Setup",
    "Directory Service",
    "DNS Server",
    "DFS Replication",
    "File Replication Service",
    "Active Directory Web Services",
    "Windows PowerShell",
    "HardwareEvents",
];

/// A server's logs, over MS-EVEN.
#[derive(Clone, Debug)]
pub struct EvenLog {
    source: String,
    client: EvenClient,
    options: ReadOptions,
}

impl EvenLog {
    /// Connects and signs in. `source` is the server's name in an event's identity, such as
    /// `even://nas.corp`.
    ///
    /// # Errors
    /// [`LogError::Server`].
    pub async fn connect(
        source: String,
        connect: &ConnectPipeOptions,
        options: ReadOptions,
    ) -> Result<Self, LogError> {
        let client = EvenClient::connect(connect).await?;
        Ok(EvenLog::new(source, client, options))
    }

    /// The logs of a server that one is connected to.
    pub fn new(source: String, client: EvenClient, options: ReadOptions) -> Self {
        EvenLog { source, client, options }
    }

    /// The connection.
    pub fn client(&self) -> &EvenClient {
        &self.client
    }

    /// Opens a log of this very name, not the server's default.
    async fn open(&self, log: &LogName) -> Result<Opened, LogError> {
        let opened = Opened::new(&self.client, log).await?;
        match check::is_default_log(&self.client, log, opened.handle).await {
            Ok(false) => Ok(opened),
            is_other => {
                opened.close(&self.client).await;
                is_other?;
                Err(LogError::NoSuchLog(log.clone()))
            }
        }
    }
}

impl EventLog for EvenLog {
    fn source(&self) -> &str {
        &self.source
    }

    fn logs(&self) -> BoxFuture<'_, Result<Vec<LogName>, LogError>> {
        Box::pin(async {
            let mut logs = Vec::new();
            for name in USUAL_LOGS {
                let name = LogName::from(name);
                match self.open(&name).await {
                    Ok(opened) => {
                        opened.close(&self.client).await;
                        logs.push(name);
                    }
                    Err(LogError::NoSuchLog(_)) => {}
                    // It is there, for others.
                    Err(LogError::AccessDenied(_)) => logs.push(name),
                    Err(error) => return Err(error),
                }
            }
            Ok(logs)
        })
    }

    fn info<'a>(&'a self, log: &'a LogName, _: Detail) -> BoxFuture<'a, Result<LogInfo, LogError>> {
        Box::pin(async move {
            let opened = self.open(log).await?;
            let info = info(&self.client, log, &opened).await;
            opened.close(&self.client).await;
            info
        })
    }

    /// Of one log: several are not read as one.
    fn query<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(async move {
            let [log] = &*query.logs else { return Err(LogError::HowManyLogs(query.logs.len())) };
            let opened = self.open(log).await?;
            let batches = EvenBatches::new(self.client.clone(), self.options, query, opened);
            Ok(Box::new(batches) as Box<dyn Batches>)
        })
    }

    /// Of one log, which is asked for its ends twice a second.
    fn subscribe<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(async move {
            let batches = PollingBatches::open(self.clone(), subscription).await?;
            Ok(Box::new(batches) as Box<dyn Batches>)
        })
    }
}

/// A log that is open, and its ends when it was opened.
#[derive(Clone, Copy, Debug)]
struct Opened {
    handle: LogHandle,
    records: u32,
    oldest: u32,
}

impl Opened {
    async fn new(client: &EvenClient, log: &LogName) -> Result<Self, LogError> {
        let fail = |error| of_log(error, log);
        let handle = client.open(&log.0).await.map_err(fail)?;
        let ends = async {
            let records = client.records(handle).await?;
            let oldest = if records == 0 { 0 } else { client.oldest(handle).await? };
            Ok(Opened { handle, records, oldest })
        };
        let opened: Result<Self, CallError> = ends.await;
        if opened.is_err() {
            let _ = client.close(handle).await;
        }
        opened.map_err(fail)
    }

    /// The number of the newest record, where there is one.
    fn newest(&self) -> Option<u32> {
        let before = self.records.checked_sub(1)?;
        Some(self.oldest.wrapping_add(before))
    }

    /// Gives the handle back. That this fails is of no consequence: it goes with the connection.
    async fn close(self, client: &EvenClient) {
        let _ = client.close(self.handle).await;
    }
}

async fn info(client: &EvenClient, log: &LogName, opened: &Opened) -> Result<LogInfo, LogError> {
    let mut times = [None, None];
    if let Some(newest) = opened.newest() {
        for (time, number) in times.iter_mut().zip([opened.oldest, newest]) {
            *time = record(client, log, opened.handle, number, |record| record.time_generated())
                .await?;
        }
    }
    let [oldest, newest]: [Option<EventTime>; 2] = times;
    Ok(LogInfo { records: opened.records.into(), oldest, newest, ..LogInfo::default() })
}

/// A record by its number, or what `take` takes of it. `None` where there is no such record.
async fn record<T>(
    client: &EvenClient,
    log: &LogName,
    handle: LogHandle,
    number: u32,
    take: impl Fn(ClassicRecord<'_>) -> T,
) -> Result<Option<T>, LogError> {
    let flags = ReadFlags::SEEK | ReadFlags::FORWARDS;
    let mut size = ONE_RECORD;
    loop {
        let read = client.read(handle, flags, number, size).await;
        let records = match read {
            Ok(Read::TooSmall { records, needed }) if records.is_empty() && needed > size => {
                size = needed;
                if size > quarry_even::even::limits::MAX_BATCH_BUFFER {
                    return Ok(None);
                }
                continue;
            }
            Ok(Read::Records(records) | Read::TooSmall { records, .. }) => records,
            Ok(Read::End) => return Ok(None),
            // Windows' word for a number that is not in the log.
            Err(error) if error.nt_status() == Some(NtStatus::INVALID_PARAMETER) => {
                return Ok(None);
            }
            Err(error) => return Err(of_log(error, log)),
        };
        if records.is_empty() {
            return Ok(None);
        }
        let (record, _) = ClassicRecord::split(&records).map_err(nonsense)?;
        return Ok((record.number() == number).then(|| take(record)));
    }
}

fn nonsense(_: quarry_logfile::classic::ClassicError) -> LogError {
    LogError::Nonsense("an answer that is not made of classic records")
}

/// What a status that an operation on a log returned means.
fn of_log(error: CallError, log: &LogName) -> LogError {
    match error.nt_status() {
        Some(
            NtStatus::OBJECT_PATH_INVALID
            | NtStatus::OBJECT_NAME_NOT_FOUND
            | NtStatus::OBJECT_NAME_INVALID,
        ) => LogError::NoSuchLog(log.clone()),
        Some(NtStatus::ACCESS_DENIED | NtStatus::PRIVILEGE_NOT_HELD) => {
            LogError::AccessDenied(log.clone())
        }
        _ => LogError::Server(error),
    }
}

/// MS-EVEN's flag for a direction.
fn direction_flag(direction: Direction) -> ReadFlags {
    match direction {
        Direction::Forward => ReadFlags::FORWARDS,
        Direction::Backward => ReadFlags::BACKWARDS,
    }
}
