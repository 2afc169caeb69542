//! A live server as an [`EventLog`], over MS-EVEN6. Sections are those of its specification.

mod batches;
mod info;
pub(crate) mod position;
pub(crate) mod recovery;
pub(crate) mod size;
mod subscription;

use std::time::Duration;

use quarry_even::{ConnectOptions, EventClient};
use quarry_event::filter::Filter;

use crate::error::LogError;
use crate::log::{
    Batches, BoxFuture, Direction, EventLog, LogInfo, LogName, MAX_LOGS, Query, Subscription,
};
use batches::QueryBatches;
use subscription::SubscriptionBatches;

/// How a server is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadOptions {
    /// The time-out that calls carry. A server that has found nothing by then says so, which
    /// shows that it lives; so it has to be well below the silence that ends a connection.
    pub heartbeat: Duration,
    /// The same of subscriptions, which mostly have nothing to say: the longer, the less an idle
    /// log costs, and the later it shows that a server is gone.
    pub idle_heartbeat: Duration,
    /// How many bytes a batch should have. Larger ones cost fewer round trips, smaller ones less
    /// memory.
    pub batch_bytes: usize,
}

impl Default for ReadOptions {
    /// 5 s, 20 s for subscriptions, and 512 KiB.
    fn default() -> Self {
        ReadOptions {
            heartbeat: Duration::from_secs(5),
            idle_heartbeat: Duration::from_secs(20),
            batch_bytes: 512 << 10,
        }
    }
}

/// A server's logs.
#[derive(Clone, Debug)]
pub struct ServerLog {
    source: String,
    client: EventClient,
    options: ReadOptions,
}

impl ServerLog {
    /// Connects and signs in. `source` is the server's name in an event's identity, such as
    /// `even6://dc01.corp`.
    ///
    /// # Errors
    /// [`LogError::Server`].
    pub async fn connect(
        source: String,
        connect: &ConnectOptions,
        options: ReadOptions,
    ) -> Result<Self, LogError> {
        let client = EventClient::connect(connect).await?;
        Ok(ServerLog::new(source, client, options))
    }

    /// The logs of a server that one is connected to.
    pub fn new(source: String, client: EventClient, options: ReadOptions) -> Self {
        ServerLog { source, client, options }
    }

    /// The connection.
    pub fn client(&self) -> &EventClient {
        &self.client
    }
}

impl EventLog for ServerLog {
    fn source(&self) -> &str {
        &self.source
    }

    fn calls_at_once(&self) -> usize {
        self.client.rpc().max_calls()
    }

    fn logs(&self) -> BoxFuture<'_, Result<Vec<LogName>, LogError>> {
        Box::pin(async {
            let channels = self.client.channels().await?;
            Ok(channels.iter().map(|name| LogName(name.to_string())).collect())
        })
    }

    fn info<'a>(&'a self, log: &'a LogName) -> BoxFuture<'a, Result<LogInfo, LogError>> {
        Box::pin(info::info(&self.client, self.options, log))
    }

    fn query<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(async move {
            check_logs(&query.logs)?;
            let batches =
                QueryBatches::open(self.client.clone(), self.options, query.clone()).await?;
            Ok(Box::new(batches) as Box<dyn Batches>)
        })
    }

    fn subscribe<'a>(
        &'a self,
        subscription: &'a Subscription,
    ) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(async move {
            check_logs(&subscription.logs)?;
            let (client, options) = (self.client.clone(), self.options);
            let batches = SubscriptionBatches::open(client, options, subscription).await?;
            Ok(Box::new(batches) as Box<dyn Batches>)
        })
    }
}

pub(crate) fn check_logs(logs: &[LogName]) -> Result<(), LogError> {
    match logs.len() {
        1..=MAX_LOGS => Ok(()),
        many => Err(LogError::HowManyLogs(many)),
    }
}

/// What is asked of a server: a path and a query on it, or a structured query without a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct QueryText {
    pub(crate) path: Option<String>,
    pub(crate) query: String,
    /// Whether every record that passes the filter, and no other, is selected.
    pub(crate) exact: bool,
    /// Whether anything is filtered.
    pub(crate) filters: bool,
}

impl QueryText {
    /// The filter as far as a server can test it (2.2.15, 2.2.16).
    pub(crate) fn new(logs: &[LogName], filter: &Filter) -> Self {
        if let Some(document) = document(logs, filter) {
            return QueryText { path: None, query: document, exact: false, filters: true };
        }
        let pushed = filter.to_xpath(&Default::default());
        let filters = pushed.selects != ["*"];
        QueryText { filters, exact: pushed.exact, ..QueryText::of(logs, &pushed.selects) }
    }

    /// Everything.
    pub(crate) fn everything(logs: &[LogName]) -> Self {
        QueryText::of(logs, &["*".to_owned()])
    }

    fn of(logs: &[LogName], selects: &[String]) -> Self {
        let (exact, filters) = (false, false);
        match (logs, selects) {
            ([log], [select]) => {
                QueryText { path: Some(log.0.clone()), query: select.clone(), exact, filters }
            }
            _ => {
                let names: Vec<&str> = logs.iter().map(|log| &*log.0).collect();
                // One list, since there are at most `MAX_LOGS` logs.
                let query = quarry_event::filter::query_lists(&names, selects).concat();
                QueryText { path: None, query, exact, filters }
            }
        }
    }
}

/// A structured query that is all that is asked for, of just these logs, as it is.
fn document(logs: &[LogName], filter: &Filter) -> Option<String> {
    let query = filter.query.as_ref().filter(|query| query.is_list() && !query.needs_clock())?;
    let channels = query.channels();
    let is_one = |log: &LogName| channels.iter().any(|name| name.eq_ignore_ascii_case(&log.0));
    let rest = Filter { query: None, ..filter.clone() };
    let is_all = channels.len() == logs.len() && logs.iter().all(is_one) && rest.is_empty();
    is_all.then(|| query.to_string())
}

/// The logs of a result set: the server's names, in its order.
fn result_logs(channels: &[quarry_even::wire::ChannelInfo], asked: &[LogName]) -> Vec<LogName> {
    if channels.is_empty() {
        return asked.to_vec();
    }
    let name = |(n, channel): (usize, &quarry_even::wire::ChannelInfo)| match &channel.name {
        Some(name) => LogName(name.to_string()),
        None => asked.get(n).cloned().unwrap_or_else(|| LogName::from("")),
    };
    channels.iter().enumerate().map(name).collect()
}

/// 3.1.4.12's flag for a direction.
fn direction_flag(direction: Direction) -> quarry_even::QueryFlags {
    match direction {
        Direction::Forward => quarry_even::QueryFlags::FORWARD,
        Direction::Backward => quarry_even::QueryFlags::REVERSE,
    }
}
