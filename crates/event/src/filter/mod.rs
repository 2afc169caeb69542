//! What a user asks for: a filter, its options read from text, tested on events and written as
//! XPath for a server.
//!
//! * [`Filter`] is the options put together; each option has a type that reads its text.
//! * [`Matcher`] tests events, millions a second; a thread has one of its own.
//! * [`Filter::to_xpath`] writes what a server can test, and never lets through less than the
//!   filter does; what comes back is tested again with a [`Matcher`].
//!
//! Names and values are compared without regard to case; a regular expression has smart case
//! ([`Pattern`]), and a Windows event query compares as Windows does.
//!
//! An event that lacks what a test looks at doesn't pass it, not even a negative one: an event
//! without an id doesn't match `!4634`. It does pass [`Filter::not`].

mod data;
mod error;
mod glob;
mod grep;
mod ids;
mod levels;
mod matcher;
mod names;
mod numbers;
mod pattern;
mod routes;
mod rules;
mod time;
mod users;
mod word;
mod xpath;

pub use data::DataTest;
pub use error::{FilterError, FilterProblem};
pub use glob::Glob;
pub use ids::Ids;
pub use levels::Levels;
pub use matcher::{Matcher, Verdict};
pub use names::{MissingName, Names};
pub use pattern::Pattern;
pub use routes::Route;
pub use time::{parse_time, parse_zone};
pub use word::Word;
pub use xpath::{MAX_CHANNELS, Pushed, Strength, XPathLimits, query_list, query_lists};

use crate::EventTime;
use crate::query::Query;

/// What events are asked for. An event has to pass every part that is there; the default filter
/// passes every event.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// The first `TimeCreated`, inclusive.
    pub since: Option<EventTime>,
    /// The last `TimeCreated`, inclusive.
    pub until: Option<EventTime>,
    /// Event ids.
    pub ids: Option<Ids>,
    /// Levels and audits.
    pub levels: Option<Levels>,
    /// Names of providers, of which any has to match.
    pub providers: Vec<Glob>,
    /// Names of computers, as the event has them, of which any has to match.
    pub computers: Vec<Glob>,
    /// Users that the event names, of which any has to match: the SID in `System/Security`, and
    /// the values of event data and user data whose name ends in `UserName`, `User`,
    /// `AccountName` or `Sid`. A glob with a backslash is matched against `DOMAIN\name`, put
    /// together of `XDomainName` and `XUserName`; one without also against the name in a value
    /// that has a domain in it.
    pub users: Vec<Glob>,
    /// Tests on data values, all of which have to pass.
    pub data: Vec<DataTest>,
    /// Regular expressions, each of which has to be in the message, in a value of the event's data
    /// or of what else it has besides `<System>`, or in a value with its name, `NAME=VALUE`.
    pub grep: Vec<Pattern>,
    /// A Windows event query.
    pub query: Option<Query>,
    /// Filters of which the event must not pass any. An event that lacks what one looks at doesn't
    /// pass that one, and stays. None passes one that tests rules: [`not_rules`](Self::not_rules) does.
    pub not: Vec<Filter>,
    /// Channels, as the event has them, of which none must match.
    pub not_channels: Vec<Glob>,
    /// Channels, each with the ids that are wanted of it, of which the event has to be one's; none
    /// for any. A server is asked for each channel's own ids.
    pub routes: Vec<Route>,
    /// Detection rules, by identifier or title, of which the event has to match any. Which rules it
    /// matches stands beside an event, so neither a [`Matcher`] nor a server tests this:
    /// [`rules_pass`](Self::rules_pass) does. An event that nobody tested for rules matches none.
    pub rules: Vec<Glob>,
    /// The same, of which it must not match any.
    pub not_rules: Vec<Glob>,
}

impl Filter {
    /// Whether the filter passes every event.
    pub fn is_empty(&self) -> bool {
        *self == Filter::default()
    }

    /// Something that tests events. `now` is what `timediff` in the query counts from.
    pub fn matcher(&self, now: EventTime) -> Matcher {
        Matcher::new(self, now)
    }

    /// XPath for a server: an event that the filter passes is selected by one of the selects.
    pub fn to_xpath(&self, limits: &XPathLimits) -> Pushed {
        self.select(Strength::Filter, limits)
    }

    /// The filter of one channel's events, without the routes, which it has settled; nothing where
    /// none is of the channel.
    pub fn of_channel(&self, channel: &str) -> Option<Filter> {
        if self.routes.is_empty() {
            return Some(self.clone());
        }
        let mut routes = self.routes.iter().filter(|route| route.is_of(channel));
        let first = routes.next()?;
        let of_routes =
            routes.fold(first.ids.clone(), |all, route| Some(all?.union(route.ids.as_ref()?)));
        let ids = match (&self.ids, of_routes) {
            (Some(ids), Some(of_routes)) => Some(ids.intersection(&of_routes)),
            (ids, of_routes) => of_routes.or_else(|| ids.clone()),
        };
        if ids.as_ref().is_some_and(Ids::is_empty) {
            return None;
        }
        Some(Filter { ids, routes: Vec::new(), ..self.clone() })
    }

    /// XPath for a server that doesn't take all of the filter: it selects what the filter passes,
    /// and the more besides, the less is written.
    pub fn select(&self, strength: Strength, limits: &XPathLimits) -> Pushed {
        xpath::push_down(self, strength, limits)
    }
}

#[cfg(test)]
mod tests;
