//! Queries without a clock: what one says relative to now, as fixed times.
//!
//! A server's clock is not ours, so `timediff(@SystemTime) <= 3600000` means another hour there.
//! Event Viewer writes it for "last hour", and such a query is worth sending.

use super::ast::{Argument, Expr, Kind, Literal, NodeTest, Op, Operand, Path, Step};
use super::{Body, Query, weaken::weakened};
use crate::EventTime;

impl Query {
    /// The query for a server: comparisons of `timediff` to `now` are comparisons of times, rounded
    /// outwards to whole milliseconds, so that it selects no less. Of a `<QueryList>`, what a server
    /// can't answer (see [`is_for_servers`](Self::is_for_servers)) is left out of what selects, and
    /// what suppresses is left out whole if it has such.
    pub fn fixed(&self, now: EventTime) -> Query {
        let mut query = self.clone();
        match &mut query.body {
            Body::XPath(expr) => fix(expr, now),
            Body::List(queries) => queries.iter_mut().for_each(|query| {
                // What suppresses must not suppress more.
                query.clauses.retain(|clause| !clause.suppresses || weakened(&clause.expr).is_same);
                for clause in query.clauses.iter_mut().filter(|clause| !clause.suppresses) {
                    fix(&mut clause.expr, now);
                    let every = || Step { test: NodeTest::Element(None), predicates: Vec::new() };
                    let weak = weakened(&clause.expr).expr;
                    clause.expr = weak.unwrap_or_else(|| Expr::Path(Path { steps: vec![every()] }));
                }
            }),
        }
        query
    }

    /// Whether a server can answer the query as it is: there is nothing that depends on the clock
    /// (`timediff`) or that Windows doesn't have (`contains`, `starts-with`, `not`).
    pub fn is_for_servers(&self) -> bool {
        match &self.body {
            Body::XPath(expr) => weakened(expr).is_same,
            Body::List(queries) => queries
                .iter()
                .flat_map(|query| &query.clauses)
                .all(|clause| weakened(&clause.expr).is_same),
        }
    }

    /// The channels that a `<QueryList>` selects from, each once, in its order. None for an XPath
    /// expression, and for a list with a clause that doesn't say where it looks.
    pub fn channels(&self) -> Vec<&str> {
        let Body::List(queries) = &self.body else { return Vec::new() };
        let mut channels: Vec<&str> = Vec::new();
        for query in queries {
            for clause in query.clauses.iter().filter(|clause| !clause.suppresses) {
                let Some(channel) = query.channel(clause) else { return Vec::new() };
                if !channels.iter().any(|known| known.eq_ignore_ascii_case(channel)) {
                    channels.push(channel);
                }
            }
        }
        channels
    }
}

fn fix(expr: &mut Expr, now: EventTime) {
    let fix_path = |path: &mut Path| {
        let predicates = |step: &mut Step| step.predicates.iter_mut().for_each(|e| fix(e, now));
        path.steps.iter_mut().for_each(predicates);
    };
    match expr {
        Expr::Or(terms) | Expr::And(terms) => terms.iter_mut().for_each(|term| fix(term, now)),
        Expr::Path(path) | Expr::Compare(Operand::Path(path), ..) => fix_path(path),
        Expr::Compare(Operand::TimeDiff(Argument::Path(path), None), op, literal) => {
            if let Some((op, literal)) = bound(*op, literal, now) {
                *expr = Expr::Compare(Operand::Path(path.clone()), op, literal);
            }
        }
        Expr::Compare(..) | Expr::Band(..) | Expr::Search(..) => {}
        // What is negated must not select more.
        Expr::Not(_) => {}
    }
}

/// What a time has to be for `timediff(time) op literal`.
fn bound(op: Op, literal: &Literal, now: EventTime) -> Option<(Op, Literal)> {
    const MS: u64 = EventTime::MILLISECOND;
    let Kind::Number(_) = literal.kind else { return None };
    let before: u64 = literal.text.parse().ok()?;
    let time = now.as_filetime().checked_sub(before.checked_mul(MS)?)?;
    // A millisecond more than rounding needs: whether the difference is rounded, nobody says.
    let (op, units) = match op {
        Op::Lt | Op::Le => (Op::Ge, (time / MS).checked_sub(1)? * MS),
        Op::Gt | Op::Ge => (Op::Le, time.div_ceil(MS).checked_add(1)?.checked_mul(MS)?),
        Op::Eq | Op::Ne => return None,
    };
    let time = EventTime::from_filetime(units);
    let text = time.to_string();
    // A year has four digits on a server, and a second three.
    let text = (text.len() == 28).then(|| format!("{}Z", &text[..23]))?;
    Some((op, Literal { text, kind: Kind::Time(time) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{events, now, queries};
    use proptest::prelude::*;

    fn fixed(text: &str) -> String {
        let now = "2026-11-22T12:00:00.1234567Z".parse::<jiff::Timestamp>().unwrap();
        Query::parse(text).unwrap().fixed(EventTime::from_timestamp(now)).to_string()
    }

    #[test]
    fn what_event_viewer_writes_for_the_last_hour_is_a_time() {
        assert_eq!(
            fixed(
                "*[System[(Level=1 or Level=2) and TimeCreated[timediff(@SystemTime) <= 3600000]]]"
            ),
            fixed(
                "*[System[(Level=1 or Level=2) and TimeCreated[@SystemTime>='2026-11-22T11:00:00.122Z']]]"
            ),
        );
        assert_eq!(
            fixed("*[System/TimeCreated[timediff(@SystemTime) > 1000]]"),
            fixed("*[System/TimeCreated[@SystemTime<='2026-11-22T11:59:59.125Z']]"),
        );
        let stays = "*[System[TimeCreated[timediff(@SystemTime)=5]]]";
        assert!(fixed(stays).contains("timediff"));
    }

    #[test]
    fn what_suppresses_by_the_clock_is_not_sent() {
        let list = "<QueryList><Query Path='A'><Select>*[System[TimeCreated[timediff(@SystemTime)\
                    &lt;=9]]]</Select><Suppress>*[System[TimeCreated[timediff(@SystemTime)&lt;=8]]]\
                    </Suppress></Query></QueryList>";
        let fixed = Query::parse(list).unwrap().fixed(now());
        assert!(fixed.is_for_servers());
        assert!(!fixed.to_string().contains("Suppress"));
        assert_eq!(fixed.channels(), ["A"]);
    }

    #[test]
    fn the_channels_of_a_list_are_those_it_selects_from() {
        let list = "<QueryList><Query Path='System'><Select>*</Select><Select Path='Security'>*\
                    </Select><Suppress Path='Setup'>*</Suppress></Query><Query><Select Path='system'>\
                    *</Select></Query></QueryList>";
        assert_eq!(Query::parse(list).unwrap().channels(), ["System", "Security"]);
        assert!(Query::parse("*").unwrap().channels().is_empty());
        let somewhere = "<QueryList><Query><Select>*</Select></Query></QueryList>";
        assert!(Query::parse(somewhere).unwrap().channels().is_empty());
    }

    proptest! {
        /// Of what a query selects, the fixed one misses nothing.
        #[test]
        fn a_fixed_query_selects_no_less(text in queries(), event in events()) {
            let Ok(query) = Query::parse(&text) else { return Ok(()) };
            let fixed = query.fixed(now());
            if query.compile(now()).matches(&event, &mut Default::default()) {
                prop_assert!(fixed.compile(now()).matches(&event, &mut Default::default()));
            }
            prop_assert_eq!(&Query::parse(&fixed.to_string()).unwrap(), &fixed);
        }
    }
}
