//! What is asked of a source: the filter as far as the source takes it.

use quarry_event::filter::{Filter, MAX_CHANNELS, Pushed, Strength};

use crate::types::{LogError, LogName};

/// A path and a query on it, or a structured query without a path (MS-EVEN6 2.2.15, 2.2.16).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct QueryText {
    pub(crate) path: Option<String>,
    pub(crate) query: String,
    /// Whether every record that passes the filter, and no other, is selected.
    pub(crate) is_exact: bool,
    /// Whether anything is filtered.
    pub(crate) filters: bool,
    /// How much of the filter is asked for.
    pub(crate) strength: Strength,
}

impl QueryText {
    fn new(logs: &[LogName], filter: &Filter, strength: Strength) -> Self {
        if !filter.routes.is_empty() {
            return QueryText::routed(logs, filter, strength);
        }
        let pushed = filter.select(strength, &Default::default());
        let (is_exact, filters) = (pushed.exact, pushed.selects != ["*"]);
        let strength = match filters || strength == Strength::Filter {
            true => strength,
            false => Strength::Everything,
        };
        let (path, query) = match (logs, &*pushed.selects) {
            ([log], [select]) => (Some(log.0.clone()), select.clone()),
            (_, selects) => {
                let names: Vec<&str> = logs.iter().map(|log| &*log.0).collect();
                // One list, since there are at most `MAX_LOGS` logs.
                (None, quarry_event::filter::query_lists(&names, selects).concat())
            }
        };
        QueryText { path, query, is_exact, filters, strength }
    }

    /// Of each log what the filter wants of it.
    fn routed(logs: &[LogName], filter: &Filter, strength: Strength) -> Self {
        let push = |log: &LogName| {
            match filter.of_channel(&log.0) {
                Some(of_log) => of_log.select(strength, &Default::default()),
                // Nothing is wanted of it, and ids have 16 bits.
                None => {
                    Pushed { selects: vec!["*[System[EventID=65536]]".to_owned()], exact: true }
                }
            }
        };
        let mut pushed: Vec<Pushed> = logs.iter().map(push).collect();
        // A list has so many selects at most, and one each fits.
        if pushed.iter().map(|pushed| pushed.selects.len()).sum::<usize>() > MAX_CHANNELS {
            for pushed in pushed.iter_mut().filter(|pushed| pushed.selects.len() > 1) {
                *pushed = Pushed { selects: vec!["*".to_owned()], exact: false };
            }
        }
        let is_exact = pushed.iter().all(|pushed| pushed.exact);
        let filters = pushed.iter().any(|pushed| pushed.selects != ["*"]);
        let strength = match filters || strength == Strength::Filter {
            true => strength,
            false => Strength::Everything,
        };
        let (path, query) = match (logs, &*pushed) {
            ([log], [Pushed { selects, .. }]) if selects.len() == 1 => {
                (Some(log.0.clone()), selects[0].clone())
            }
            _ => {
                let logs = logs.iter().zip(&pushed);
                let logs = logs.map(|(log, pushed)| (&*log.0, &*pushed.selects));
                (None, quarry_event::filter::query_list(logs))
            }
        };
        QueryText { path, query, is_exact, filters, strength }
    }
}

/// The texts to try, the strongest first. A source that refuses one (15001 and its kin) gets the
/// next, and each lets through at least what the filter does: better to read too much than nothing,
/// as what comes is tested.
pub(crate) struct Ladder {
    /// The weakest first.
    texts: Vec<QueryText>,
    text: QueryText,
}

impl Ladder {
    pub(crate) fn new(logs: &[LogName], filter: &Filter) -> Self {
        let mut texts = documents(logs, filter);
        // What a document's parts don't say, nothing does.
        let rungs = match texts.is_empty() {
            true => &Strength::ALL[..],
            false => &[Strength::Everything],
        };
        texts.extend(rungs.iter().map(|&strength| QueryText::new(logs, filter, strength)));
        texts.dedup_by(|weaker, stronger| weaker.query == stronger.query);
        texts.reverse();
        let text = texts
            .pop()
            .unwrap_or_else(|| QueryText::new(logs, &Filter::default(), Strength::Everything));
        Ladder { texts, text }
    }

    /// The strongest text that was not refused.
    pub(crate) fn text(&self) -> &QueryText {
        &self.text
    }

    /// Goes on with the next weaker text, if the source refused this one as a query.
    ///
    /// # Errors
    /// The error, if it is another or the weakest text was refused.
    pub(crate) fn step_down(&mut self, error: LogError) -> Result<(), LogError> {
        match self.texts.pop() {
            Some(weaker) if error.is_query_refused() => {
                self.text = weaker;
                Ok(())
            }
            _ => Err(error),
        }
    }

    pub(crate) fn into_text(self) -> QueryText {
        self.text
    }
}

/// A structured query that is all that is asked for, of just these logs: as it is, and the weaker
/// ones that it becomes.
fn documents(logs: &[LogName], filter: &Filter) -> Vec<QueryText> {
    let query = filter.query.as_ref();
    let Some(query) = query.filter(|query| query.is_list() && query.is_for_servers()) else {
        return Vec::new();
    };
    let channels = query.channels();
    let is_one = |log: &LogName| channels.iter().any(|name| name.eq_ignore_ascii_case(&log.0));
    let rest = Filter { query: None, ..filter.clone() };
    if channels.len() != logs.len() || !logs.iter().all(is_one) || !rest.is_empty() {
        return Vec::new();
    }
    let text = |strength: Strength| {
        let part = strength.of_list(query)?;
        let tests = part.clauses().iter().any(|clause| clause.condition.to_string() != "*");
        if !tests && strength != Strength::Filter {
            return None;
        }
        let query = part.to_string();
        Some(QueryText { path: None, query, is_exact: false, filters: true, strength })
    };
    Strength::ALL.into_iter().filter_map(text).collect()
}
