//! What is asked for, as a condition on rows.
//!
//! A [`Part`] is a condition and whether it is *exact*. Where it isn't, it lets through more than the
//! filter does (a superset), and each row that comes back is made an event again and tested by the
//! filter's own matcher. So an answer is always the matcher's.
//!
//! | part of a filter | condition | exact |
//! |---|---|---|
//! | times, ids, levels, providers, computers, channels | on their columns | yes |
//! | a plain word for `grep` | in `text` or `message` | yes, if no value's name has it |
//! | tests on data, users, other expressions | the longest text that has to be there, in `text` | no |
//! | a query, detection rules | none | no |
//! | `not` | the opposite, if the part is exact | as the part |

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use deltalake::arrow::array::{ArrayRef, BooleanArray};
use deltalake::arrow::datatypes::DataType;
use deltalake::datafusion::common::{Result as EngineResult, ScalarValue, exec_err};
use deltalake::datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, cast,
};
use deltalake::datafusion::prelude::{col, lit};
use quarry_event::EventTime;
use quarry_event::filter::{Filter, Glob, Ids, Levels, Pattern, Route};
use quarry_event::text::eq_ignore_case;

use crate::event::{EPOCH, Texts2};
use crate::schema::column;

/// What may be read, as the rules of whoever asks say.
///
/// It stands under every question, below all of it: on rows, counts, and whatever a statement of SQL
/// does.
#[derive(Clone, Default)]
pub struct Access(Option<Rule>);

#[derive(Clone)]
struct Rule {
    key: String,
    allows: Arc<Allows>,
}

type Allows = dyn Fn(&Whence<'_>) -> bool + Send + Sync;

/// Where an event was read, and what it says of that itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Whence<'a> {
    /// The source; empty where the row has none.
    pub source: &'a str,
    /// The host.
    pub host: &'a str,
    /// The log that it was read from.
    pub log: &'a str,
    /// The channel that it names; empty where it names none.
    pub channel: &'a str,
}

impl Access {
    /// Everything may be read.
    pub fn everything() -> Self {
        Access(None)
    }

    /// What a rule allows may be read. Two rules of the same key have to allow the same.
    pub fn by(
        key: impl Into<String>,
        allows: impl Fn(&Whence<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Access(Some(Rule { key: key.into(), allows: Arc::new(allows) }))
    }

    /// Whether nothing is hidden.
    pub fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// The rule as a condition on rows.
    pub(crate) fn expr(&self) -> Option<Expr> {
        let Rule { key, allows } = self.0.as_ref()?;
        let allows = Arc::clone(allows);
        let test = Test::new(format!("allowed({key})"), 4, move |row| {
            let [source, host, log, channel] = [0, 1, 2, 3].map(|n| row[n].unwrap_or_default());
            allows(&Whence { source, host, log, channel })
        });
        let columns = [column::SOURCE, column::HOST, column::LOG, column::CHANNEL];
        Some(test.call(columns.map(col).to_vec()))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Access").field(&self.0.as_ref().map(|rule| &rule.key)).finish()
    }
}

/// What is known of all rows that a condition is for, and lets it be simpler.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    /// Whether no field of any row is odd.
    pub(crate) none_odd: bool,
    /// Whether each row has a time.
    pub(crate) all_timed: bool,
    /// The names of values in all rows; nothing where they aren't known.
    pub(crate) names: Option<Arc<BTreeSet<String>>>,
}

/// A condition on rows.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// Nothing where every row passes.
    pub(crate) expr: Option<Expr>,
    /// Whether rows that pass are those that are wanted, rather than some more.
    pub(crate) exact: bool,
    /// Texts that each row which passes has in `text` or `message`, in whatever case.
    pub(crate) needs: Vec<String>,
}

impl Part {
    pub(crate) fn exact(expr: Expr) -> Self {
        Part { expr: Some(expr), exact: true, needs: Vec::new() }
    }

    fn superset(expr: Option<Expr>) -> Self {
        Part { expr, exact: false, needs: Vec::new() }
    }

    pub(crate) fn all() -> Self {
        Part { expr: None, exact: true, needs: Vec::new() }
    }

    fn needing(self, text: &str) -> Self {
        let needs = if self.expr.is_some() { vec![text.to_owned()] } else { Vec::new() };
        Part { needs, ..self }
    }

    pub(crate) fn and(self, other: Part) -> Self {
        let needs = [self.needs, other.needs].concat();
        let expr = match (self.expr, other.expr) {
            (Some(one), Some(other)) => Some(one.and(other)),
            (one, other) => one.or(other),
        };
        Part { expr, exact: self.exact && other.exact, needs }
    }

    fn not(self) -> Self {
        match (self.expr, self.exact) {
            (Some(expr), true) => Part::exact(expr.is_not_true()),
            (None, true) => Part::exact(lit(false)),
            (_, false) => Part::superset(None),
        }
    }
}

/// The most values of a list, and the most parts of a kind, that the engine is given as such: it goes
/// deeper into its thread's stack for each, and at some thousands the process ends.
const MOST_LISTED: usize = 500;
const MOST_PARTS: usize = 32;

/// The condition that a column has one of some texts.
pub(crate) fn among(name: &str, texts: &[String]) -> Expr {
    if texts.len() <= MOST_LISTED {
        return col(name).in_list(texts.iter().map(|text| lit(text.as_str())).collect(), false);
    }
    let texts: BTreeSet<String> = texts.iter().cloned().collect();
    let test = Test::new(format!("among({texts:?})"), 1, move |row| {
        row[0].is_some_and(|text| texts.contains(text))
    });
    test.call(vec![col(name)])
}

/// The condition of a filter.
pub(crate) fn of_filter(filter: &Filter, facts: &Facts) -> Part {
    let mut part = times(filter.since, filter.until, facts);
    part = part.and(filter.ids.as_ref().map_or_else(Part::all, |ids| of_ids(ids, facts)));
    part =
        part.and(filter.levels.as_ref().map_or_else(Part::all, |levels| of_levels(levels, facts)));
    part = part.and(names(column::PROVIDER, &filter.providers));
    part = part.and(names(column::COMPUTER, &filter.computers));
    if !filter.not_channels.is_empty() {
        part = part.and(names(column::CHANNEL, &filter.not_channels).not());
    }
    part = part.and(match filter.routes.len() {
        0 => Part::all(),
        1..=MOST_PARTS => of_routes(&filter.routes, facts),
        _ => Part::superset(None),
    });
    for pattern in filter.grep.iter().take(MOST_PARTS) {
        part = part.and(of_pattern(pattern, facts));
    }
    let lists = [filter.grep.len(), filter.data.len(), filter.not.len()];
    if lists.iter().any(|&length| length > MOST_PARTS) {
        part = part.and(Part::superset(None));
    }
    for test in filter.data.iter().take(MOST_PARTS) {
        let required = test.required();
        part = part.and(Part::superset(has(column::TEXT, &required)).needing(&required));
    }
    if !filter.users.is_empty() {
        part = part.and(Part::superset(of_users(&filter.users)));
    }
    if filter.query.is_some() || filter.tests_rules() {
        part = part.and(Part::superset(None));
    }
    // Nothing passes a filter among these that tests rules, so nothing is left out by it.
    for not in filter.not.iter().take(MOST_PARTS).filter(|not| !not.tests_rules()) {
        part = part.and(of_filter(not, facts).not());
    }
    part
}

/// The condition that the log is one of some, where any are named.
pub(crate) fn of_logs(logs: &[Glob]) -> Part {
    if logs.iter().any(Glob::matches_all) { Part::all() } else { names(column::LOG, logs) }
}

/// A microsecond as a literal that compares with the column `time`.
pub(crate) fn micros(time: i64) -> Expr {
    lit(ScalarValue::TimestampMicrosecond(Some(time), Some("UTC".into())))
}

/// The microseconds since 1970 of a time and its seventh digit. Times past the year 9999 are later
/// than all that the column has.
pub(crate) fn split(time: EventTime) -> (i64, i8) {
    let units = time.as_filetime();
    let micros = i64::try_from(units / 10).unwrap_or(i64::MAX).saturating_sub(EPOCH);
    (micros, (units % 10) as i8)
}

fn times(since: Option<EventTime>, until: Option<EventTime>, facts: &Facts) -> Part {
    if since.is_none() && until.is_none() {
        return Part::all();
    }
    let mut expr: Option<Expr> = None;
    let mut and = |other: Expr| {
        expr = Some(match expr.take() {
            Some(expr) => expr.and(other),
            None => other,
        });
    };
    if let Some(since) = since {
        let (time, tick) = split(since);
        and(col(column::TIME).gt_eq(micros(time)));
        if tick > 0 {
            and(col(column::TIME).gt(micros(time)).or(col(column::TICK).gt_eq(lit(tick))));
        }
    }
    if let Some(until) = until {
        let (time, tick) = split(until);
        and(col(column::TIME).lt_eq(micros(time)));
        if tick < 9 {
            and(col(column::TIME).lt(micros(time)).or(col(column::TICK).lt_eq(lit(tick))));
        }
    }
    let Some(mut expr) = expr else { return Part::all() };
    if !facts.all_timed {
        let long = |time: EventTime| lit(i64::try_from(time.as_filetime()).unwrap_or(i64::MAX));
        // A FILETIME past 2⁶³ shows as a negative number, and is later than any that is asked for.
        let mut far = col(column::FILETIME).is_not_null();
        if let Some(since) = since {
            let late = col(column::FILETIME).lt(lit(0_i64));
            far = far.and(col(column::FILETIME).gt_eq(long(since)).or(late));
        }
        if let Some(until) = until {
            let early = col(column::FILETIME).gt_eq(lit(0_i64));
            far = far.and(col(column::FILETIME).lt_eq(long(until)).and(early));
        }
        expr = expr.or(far);
    }
    Part::exact(expr)
}

/// Numbers in ranges. What is no number of the column's type is not in the column.
fn ranges(name: &str, ranges: &[(u64, u64)], most: u64, number: impl Fn(u64) -> Expr) -> Expr {
    let wide = ranges.iter().filter(|(low, high)| low != high).count();
    if ranges.len() > MOST_LISTED || wide > MOST_PARTS {
        let ranges = ranges.to_vec();
        let test = Test::new(format!("in({ranges:?})"), 1, move |row| {
            let number = row[0].and_then(|text| text.parse::<u64>().ok());
            number.is_some_and(|n| ranges.iter().any(|&(low, high)| low <= n && n <= high))
        });
        return test.call(vec![cast(col(name), DataType::Utf8)]);
    }
    let mut any: Option<Expr> = None;
    let singles: Vec<Expr> = ranges
        .iter()
        .filter(|(low, high)| low == high && *low <= most)
        .map(|&(low, _)| number(low))
        .collect();
    if !singles.is_empty() {
        any = Some(match &*singles {
            [one] => col(name).eq(one.clone()),
            _ => col(name).in_list(singles, false),
        });
    }
    for &(low, high) in ranges.iter().filter(|(low, high)| low != high && *low <= most) {
        let mut one = col(name).gt_eq(number(low));
        if high < most {
            one = one.and(col(name).lt_eq(number(high)));
        }
        any = Some(match any {
            Some(any) => any.or(one),
            None => one,
        });
    }
    any.unwrap_or_else(|| lit(false))
}

/// Where a field may be odd, the rows where one is are let through too.
fn unless_odd(expr: Expr, facts: &Facts) -> Part {
    match facts.none_odd {
        true => Part::exact(expr),
        false => Part::superset(Some(expr.or(col(column::ODD).is_not_null()))),
    }
}

fn of_ids(ids: &Ids, facts: &Facts) -> Part {
    unless_odd(id_ranges(ids), facts)
}

fn id_ranges(ids: &Ids) -> Expr {
    ranges(column::EVENT_ID, ids.ranges(), i32::MAX as u64, |id| lit(id as i32))
}

fn of_levels(levels: &Levels, facts: &Facts) -> Part {
    let mut expr = ranges(column::LEVEL, levels.ranges(), i16::MAX as u64, |n| lit(n as i16));
    let audits = levels.audits().0 as i64;
    if audits != 0 {
        let keywords =
            deltalake::datafusion::logical_expr::bitwise_and(col(column::KEYWORDS), lit(audits));
        expr = expr.or(keywords.not_eq(lit(0_i64)));
    }
    unless_odd(expr, facts)
}

/// That a column has a name that any of some globs matches.
fn names(name: &str, globs: &[Glob]) -> Part {
    if globs.is_empty() {
        return Part::all();
    }
    let key = globs.iter().map(|glob| format!("{:?}", glob.as_str())).collect::<Vec<_>>().join(",");
    let globs = globs.to_vec();
    let test = Test::new(format!("matches({key})"), 1, move |row| {
        row[0].is_some_and(|name| !name.is_empty() && globs.iter().any(|glob| glob.is_match(name)))
    });
    Part::exact(test.call(vec![col(name)]))
}

fn of_routes(routes: &[Route], facts: &Facts) -> Part {
    let mut any: Option<Expr> = None;
    for Route { channel, ids } in routes {
        let wanted = channel.clone();
        let test = Test::new(format!("is({channel:?})"), 1, move |row| {
            eq_ignore_case(row[0].unwrap_or_default(), &wanted)
        });
        let mut one = test.call(vec![col(column::CHANNEL)]);
        if let Some(ids) = ids {
            one = one.and(id_ranges(ids));
        }
        any = Some(match any {
            Some(any) => any.or(one),
            None => one,
        });
    }
    unless_odd(any.unwrap_or_else(|| lit(false)), facts)
}

/// That a column has a text in it, in any case; nothing where there is none to look for. Runs of
/// spaces alone are no lines of `text`.
fn has(name: &str, text: &str) -> Option<Expr> {
    let pattern = in_any_case(text)?;
    Some(searched(&pattern, format!("has({text:?})"), name))
}

/// An expression for a text in any case.
fn in_any_case(text: &str) -> Option<Pattern> {
    if text.trim().is_empty() {
        return None;
    }
    let mut expression = "(?i)".to_owned();
    for c in text.chars() {
        expression.push_str(&format!("\\x{{{:x}}}", u32::from(c)));
    }
    Pattern::parse(&expression).ok()
}

fn searched(pattern: &Pattern, key: String, name: &str) -> Expr {
    let pattern = pattern.clone();
    let test =
        Test::new(key, 1, move |row| row[0].is_some_and(|text| pattern.is_in(text.as_bytes())));
    test.uncached().call(vec![col(name)])
}

/// Users are named by SID, by name, and by domain and name, which may be two values.
fn of_users(globs: &[Glob]) -> Option<Expr> {
    if globs.len() > MOST_PARTS {
        return None;
    }
    let mut any = names(column::USER_SID, globs).expr?;
    for glob in globs {
        let required = glob.required();
        let name = required.rsplit_once('\\').map_or(required, |(_, name)| name);
        any = any.or(has(column::TEXT, name)?);
    }
    Some(any)
}

/// An expression is looked for in the message, in each value, and in each value with its name before
/// it. The column `text` has the values, a line each, without their names; so it decides where no
/// name has the text that is looked for.
fn of_pattern(pattern: &Pattern, facts: &Facts) -> Part {
    let Some(names) = &facts.names else { return Part::superset(None) };
    // Case as expressions fold it: a long s is an s.
    let is_in_names = |text: &str| match in_any_case(text) {
        Some(text) => names.iter().any(|name| text.is_in(name.as_bytes())),
        None => true,
    };
    let required = pattern.required();
    let is_whole = pattern.is_literal() && !required.contains(['=', '\n']);
    if is_whole && !required.is_empty() && !is_in_names(&required) {
        let key = || format!("finds({:?})", pattern.as_str());
        let text = searched(pattern, key(), column::TEXT);
        let found = text.or(searched(pattern, key(), column::MESSAGE));
        return Part::exact(found).needing(&required);
    }
    // Across the equals sign stand parts, of which each is in the name or in the value.
    let parts = required.split('=').filter(|part| !part.is_empty() && !is_in_names(part));
    let longest = parts.max_by_key(|part| part.len()).unwrap_or_default();
    let both =
        has(column::TEXT, longest).and_then(|text| Some(text.or(has(column::MESSAGE, longest)?)));
    Part::superset(both).needing(longest)
}

/// A test on texts of a row, which the engine calls. Two of the same name have to test the same.
#[derive(Clone)]
pub(crate) struct Test {
    name: String,
    signature: Signature,
    columns: usize,
    test: Arc<RowTest>,
    is_cached: bool,
}

type RowTest = dyn Fn(&[Option<&str>; Test::MOST]) -> bool + Send + Sync;

impl Test {
    /// The most columns that a test looks at.
    const MOST: usize = 4;

    fn new(
        name: String,
        columns: usize,
        test: impl Fn(&[Option<&str>; Test::MOST]) -> bool + Send + Sync + 'static,
    ) -> Self {
        let signature = Signature::any(columns, Volatility::Immutable);
        Test { name, signature, columns, test: Arc::new(test), is_cached: true }
    }

    /// For texts that rarely come again.
    fn uncached(self) -> Self {
        Test { is_cached: false, ..self }
    }

    fn call(self, columns: Vec<Expr>) -> Expr {
        ScalarUDF::from(self).call(columns)
    }

    fn rows(&self, columns: &[Texts2], rows: usize) -> BooleanArray {
        let mut values = [None; Test::MOST];
        let mut row_of = |row: usize| {
            for (value, column) in values.iter_mut().zip(columns) {
                *value = column.get(row);
            }
            values
        };
        if !self.is_cached {
            return (0..rows).map(|row| Some((self.test)(&row_of(row)))).collect();
        }
        // A column of names has few that differ, mostly the one of the row before.
        let mut last: Option<([Option<&str>; Test::MOST], bool)> = None;
        let mut known = std::collections::HashMap::new();
        let mut passes = |row: usize| {
            let texts = row_of(row);
            if let Some((before, passes)) = &last
                && *before == texts
            {
                return Some(*passes);
            }
            let passes = *known.entry(texts).or_insert_with(|| (self.test)(&texts));
            last = Some((texts, passes));
            Some(passes)
        };
        (0..rows).map(&mut passes).collect()
    }
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Test {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Test {}

impl Hash for Test {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Test {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> EngineResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> EngineResult<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let texts: Option<Vec<Texts2>> = arrays.iter().map(Texts2::new).collect();
        match texts {
            Some(texts) if texts.len() == self.columns => {
                let rows = texts.first().map_or(args.number_rows, Texts2::len);
                let passes: ArrayRef = Arc::new(self.rows(&texts, rows));
                Ok(ColumnarValue::Array(passes))
            }
            _ => exec_err!("{} is for text", self.name),
        }
    }
}
