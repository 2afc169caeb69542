//! The parameters of the API as they are described. What reads them is [`View`](crate::view::View) and
//! an event's identity.

use utoipa::IntoParams;

/// The words of a question, each as often as wanted but for times; and how its answer is shown.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `View::parse` reads")]
pub(crate) struct Question {
    /// Servers, files, ranges, globs and @groups.
    on: Option<Vec<String>>,
    /// Logs (channels), as globs.
    log: Option<Vec<String>>,
    /// The first time: `8h`, `2026-11-29T10:00:00Z`.
    since: Option<String>,
    /// The last time.
    until: Option<String>,
    /// Event ids, lists and ranges of them: `4624,!4634`.
    id: Option<Vec<String>>,
    /// Levels and audits: `error`, `warning..error`, `audit-failure`.
    level: Option<Vec<String>>,
    /// Providers, as globs.
    provider: Option<Vec<String>>,
    /// Computers that events name, as globs.
    computer: Option<Vec<String>>,
    /// Users that events name, as globs.
    #[param(rename = "event-user")]
    event_user: Option<Vec<String>>,
    /// Detection rules that events match, by identifier or title, as globs; of stored events only.
    rule: Option<Vec<String>>,
    /// Values of data: `NAME=GLOB` or `NAME~=REGEX`.
    data: Option<Vec<String>>,
    /// Regular expressions that are anywhere in an event.
    grep: Option<Vec<String>>,
    /// A Windows event query.
    xpath: Option<String>,
    /// What events must not pass: `provider:Foo*`.
    not: Option<Vec<String>>,
    /// The words as they are typed into the box, in place of all of these.
    q: Option<String>,
    /// What is asked: `both`, `stored` or `live`.
    from: Option<String>,
    /// Which events come first: `newest` or `oldest`.
    order: Option<String>,
    /// The members of events that are wanted, with commas between.
    fields: Option<String>,
    /// The events of a page, 50 to 500.
    n: Option<u64>,
    /// The place that a page begins after, from the link of the page before.
    after: Option<String>,
    /// The place that a page ends before.
    before: Option<String>,
    /// What the bars of a histogram are made of: `level`, `on` or `provider`.
    hist: Option<String>,
    /// Fields of which values are counted besides the usual ones, with commas between.
    facets: Option<String>,
    /// The time zone of times without one, and that a page shows times in.
    tz: Option<String>,
    /// `json`, `ndjson`, `csv`, `xml` or `evtx`; else what the header `Accept` says.
    format: Option<String>,
}

/// An event by its identity.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it describes what `Wish::parse` reads")]
pub(crate) struct Identity {
    /// The name of its source.
    on: String,
    /// The log where it was read.
    log: String,
    /// The number of its record there.
    record: Option<u64>,
    /// When it was created, with all its digits.
    time: String,
}
