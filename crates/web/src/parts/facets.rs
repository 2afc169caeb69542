//! How many events there are with each value of a field; each value is a link that asks for it, or
//! for what is without it.

use maud::{Markup, html};
use quarry_event::output::Column;
use quarry_event::words::{Key, Word};

use super::text::{brief_source, grouped, marked};
use crate::sources::{Facet, State, USUAL, Usual, literal_text};
use crate::view::{View, keep};

/// Values that are shown of a field at once.
const SHOWN: usize = 10;
/// Values that are listed besides, where a reader opens that.
const MORE: usize = 40;

/// The facets of an answer.
pub(crate) fn facets(view: &View, state: &State) -> Markup {
    let named = USUAL.iter().map(|usual| Field::Usual(*usual));
    let fields: Vec<Field<'_>> = named.chain(view.facets.iter().map(Field::Column)).collect();
    html! {
        @for (field, facet) in fields.iter().zip(&state.counts.facets) {
            @if field.is_shown(facet, state) { (one(view, field, facet)) }
        }
        form.add action="/events" method="get" {
            label for="facet" { "+ data field" }
            @for (name, value) in pairs(view) { input type="hidden" name=(name) value=(value); }
            @let known = view.facets.iter().map(|column| column.name().into_owned() + ",").collect::<String>();
            input #facet name="facets" value=(known) size="16" placeholder="data.IpAddress";
            button type="submit" { "Count" }
        }
    }
}

/// Names and values of a view's address, but for its facets and its place.
fn pairs(view: &View) -> Vec<(String, String)> {
    let plain = View { facets: Vec::new(), at: crate::view::At::Start, ..view.clone() };
    form_urlencoded::parse(plain.query().as_bytes()).into_owned().collect()
}

/// A field of which values are counted.
enum Field<'v> {
    Usual(Usual),
    Column(&'v Column),
}

impl Field<'_> {
    fn name(&self) -> String {
        match self {
            Field::Usual(Usual::Level) => "level".to_owned(),
            Field::Usual(Usual::On) => "server".to_owned(),
            Field::Usual(Usual::Log) => "log".to_owned(),
            Field::Usual(Usual::Id) => "id".to_owned(),
            Field::Usual(Usual::Provider) => "provider".to_owned(),
            Field::Usual(Usual::Computer) => "computer".to_owned(),
            Field::Usual(Usual::Rule) => "rule".to_owned(),
            Field::Column(column) => column.name().into_owned(),
        }
    }

    /// Whether it tells events apart; a field that was asked for is shown in any case.
    fn is_shown(&self, facet: &Facet, state: &State) -> bool {
        match self {
            Field::Usual(Usual::On) => state.sources.len() > 1,
            // Of a server it says what its name says.
            Field::Usual(Usual::Computer) => {
                facet.len() > 1
                    && state
                        .sources
                        .iter()
                        .any(|s| s.info.kind != crate::sources::SourceKind::Server)
            }
            Field::Usual(_) => facet.len() > 0,
            Field::Column(_) => true,
        }
    }

    /// The words that ask for a value; none where there are no words for it.
    fn words(&self, value: &str) -> Option<(Key, Vec<Word>)> {
        let word = |key, value: String| Some((key, vec![Word::new(key, value)]));
        match self {
            Field::Usual(Usual::Level) if value.starts_with("audit") => {
                word(Key::Level, value.to_owned())
            }
            Field::Usual(Usual::Level) => {
                let level = Word::new(Key::Level, format!("{value}..{value}"));
                let mut words = vec![level];
                if value == "information" {
                    // Audits rank with information.
                    let audits = Word::new(Key::Level, "audit-success,audit-failure");
                    words.extend(audits.negated().ok());
                }
                Some((Key::Level, words))
            }
            Field::Usual(Usual::On) => word(Key::On, literal_text(value)),
            Field::Usual(Usual::Log) => word(Key::Log, literal_text(value)),
            Field::Usual(Usual::Id) => word(Key::Id, value.to_owned()),
            Field::Usual(Usual::Provider) => word(Key::Provider, literal_text(value)),
            Field::Usual(Usual::Computer) => word(Key::Computer, literal_text(value)),
            Field::Usual(Usual::Rule) => word(Key::Rule, literal_text(value)),
            Field::Column(Column::Data(name)) => {
                word(Key::Data, format!("{name}={}", literal_text(value)))
            }
            Field::Column(_) => None,
        }
    }

    /// The view that asks for a value and no other one of the field.
    fn only(&self, view: &View, value: &str) -> Option<View> {
        let (key, words) = self.words(value)?;
        let replaces = key != Key::Data;
        let mut kept = keep(&view.words, |word| !(replaces && word.key() == key));
        words.into_iter().for_each(|word| drop(kept.push(word)));
        Some(view.with_words(kept))
    }

    /// The view that asks for what is without a value.
    fn without(&self, view: &View, value: &str) -> Option<View> {
        let (_, mut words) = self.words(value)?;
        match (words.pop(), words.pop()) {
            // What is between two words can't be left out by one.
            (Some(word), None) => Some(view.and(word.negated().ok()?)),
            _ => None,
        }
    }

    /// A value as it is shown.
    fn shown<'t>(&self, facet: &'t Facet, value: &'t str) -> &'t str {
        match self {
            Field::Usual(Usual::Rule) => facet.name(value),
            Field::Usual(Usual::On) => brief_source(value),
            _ => value,
        }
    }

    /// Whether the question asks for a value.
    fn is_chosen(&self, view: &View, value: &str) -> bool {
        self.words(value).is_some_and(|(_, words)| {
            words.iter().all(|word| view.words.iter().any(|known| known == word))
        })
    }
}

fn one(view: &View, field: &Field<'_>, facet: &Facet) -> Markup {
    let name = field.name();
    let top = facet.top(SHOWN + MORE);
    let most = top.first().map_or(1, |(_, events)| (*events).max(1));
    let (first, more) = top.split_at(top.len().min(SHOWN));
    let beyond = facet.len() - top.len();
    html! {
        details.facet open {
            summary { (name) @if !more.is_empty() { span.count { (grouped(facet.len() as u64)) " values" } } }
            ul {
                @for (value, events) in first { (line(view, field, facet, (value, *events), most)) }
                @if top.is_empty() { li.none { "no event has it" } }
            }
            @if !more.is_empty() {
                details.more {
                    summary { (grouped((more.len() + beyond) as u64)) " more" }
                    ul {
                        @for (value, events) in more { (line(view, field, facet, (value, *events), most)) }
                        @if beyond > 0 {
                            li.none { (grouped(beyond as u64)) " more are not listed: type a part of one into the box" }
                        }
                    }
                }
            }
            @if facet.others > 0 { p.none { "others " span.count { (grouped(facet.others)) } } }
        }
    }
}

/// A value, with its events.
fn line(
    view: &View,
    field: &Field<'_>,
    facet: &Facet,
    (value, events): (&str, u64),
    most: u64,
) -> Markup {
    let name = field.name();
    let chosen = field.is_chosen(view, value);
    html! {
        li.chosen[chosen] {
            meter min="0" max=(most) value=(events) aria-hidden="true" {}
            @match field.only(view, value) {
                Some(only) => a href=(only.address("/events")) title={"only " (marked(value))} { bdi { (marked(field.shown(facet, value))) } },
                None => bdi { (marked(value)) },
            }
            span.count { (grouped(events)) }
            @if let Some(without) = field.without(view, value) {
                a.not href=(without.address("/events")) aria-label={"not " (name) " " (marked(value))} title={"not " (marked(value))} { "\u{2212}" }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facet(values: usize) -> Facet {
        let mut facet = Facet::default();
        // The first has the most events.
        (0..values).for_each(|n| facet.add(&format!("server{n:03}"), (values - n) as u64));
        facet
    }

    fn shown(values: usize) -> String {
        one(&View::default(), &Field::Usual(Usual::On), &facet(values)).into_string()
    }

    #[test]
    fn what_is_beyond_the_first_values_is_one_step_away_and_nothing_is_left_out_silently() {
        let ten = shown(10);
        assert!(ten.contains("server009") && !ten.contains("more"), "{ten}");
        let eleven = shown(11);
        let (first, more) = eleven.split_once("<summary>1 more</summary>").expect("a way to it");
        assert!(first.contains("11 values") && !first.contains("server010"), "{first}");
        assert!(more.contains("server010") && !more.contains("not listed"), "{more}");
        let many = shown(SHOWN + MORE + 7);
        assert!(many.contains(&format!("{} more</summary>", MORE + 7)), "{many}");
        assert!(many.contains("7 more are not listed"), "{many}");
        assert_eq!(many.matches("<meter").count(), SHOWN + MORE);
    }

    #[test]
    fn a_field_of_data_is_called_as_it_was_asked_for() {
        let column = Column::parse("data.IpAddress").expect("a column");
        let view = View { facets: vec![column.clone()], ..View::default() };
        let markup = one(&view, &Field::Column(&column), &facet(1)).into_string();
        assert!(markup.contains("data.IpAddress"), "{markup}");
    }
}
