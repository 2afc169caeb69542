//! A live server as an [`EventLog`], over MS-EVEN6. Sections are those of its specification.

mod info;
mod publisher;
mod queries;
mod subscriptions;

use quarry_even::{ConnectOptions, EventClient};

use crate::log::{Batches, BoxFuture, Detail, EventLog, LogInfo};
use crate::publisher::Publisher;
use crate::types::{LogError, LogName, Query, ReadOptions, Subscription, check_logs};
use publisher::ServerPublisher;

/// A server's logs.
#[derive(Clone, Debug)]
pub struct Even6Log {
    source: String,
    client: EventClient,
    options: ReadOptions,
}

impl Even6Log {
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
        Ok(Even6Log::new(source, client, options))
    }

    /// The logs of a server that one is connected to.
    pub fn new(source: String, client: EventClient, options: ReadOptions) -> Self {
        Even6Log { source, client, options }
    }

    /// The connection.
    pub fn client(&self) -> &EventClient {
        &self.client
    }
}

impl EventLog for Even6Log {
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

    fn build(&self) -> Option<String> {
        self.client.rpc().server_version().map(|version| version.to_string())
    }

    fn has_messages(&self) -> bool {
        true
    }

    fn publishers(&self) -> BoxFuture<'_, Result<Vec<String>, LogError>> {
        Box::pin(async {
            let names = self.client.publishers().await?;
            Ok(names.iter().map(ToString::to_string).collect())
        })
    }

    fn publisher<'a>(
        &'a self,
        name: &'a str,
        locale: u32,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Publisher>>, LogError>> {
        Box::pin(async move {
            let publisher = ServerPublisher::open(self.client.clone(), name, locale).await?;
            Ok(publisher.map(|publisher| Box::new(publisher) as Box<dyn Publisher>))
        })
    }

    fn info<'a>(
        &'a self,
        log: &'a LogName,
        detail: Detail,
    ) -> BoxFuture<'a, Result<LogInfo, LogError>> {
        Box::pin(info::info(&self.client, self.options, log, detail))
    }

    fn query<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Box<dyn Batches>, LogError>> {
        Box::pin(async move {
            check_logs(&query.logs)?;
            let batches = queries::open(self.client.clone(), self.options, query).await?;
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
            let batches = subscriptions::open(client, options, subscription).await?;
            Ok(Box::new(batches) as Box<dyn Batches>)
        })
    }
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
