//! Stages between the filter and the work, and message text that a filter searches.

use quarry_collect::{Notes, Stage};
use quarry_event::filter::{Glob, Pattern};
use quarry_event::{AnyEvent, Field, MessageBy, MessageSource, NameOf, Origin, RuleName, Value};

use super::*;

/// Lets records pass whose number is a multiple, and notes it as a rule.
struct MultipleOf(u64);

impl Stage for MultipleOf {
    type Worker = ();

    fn worker(&self) {}

    fn passes<S: FieldSource>(
        &self,
        (): &mut (),
        _: &S,
        origin: &Origin<'_>,
        notes: &mut Notes,
    ) -> bool {
        let is_multiple = origin.log_record.unwrap().0.is_multiple_of(self.0);
        if is_multiple {
            let title = format!("multiple of {}", self.0);
            notes.rules.push(Arc::new(RuleName { title, ..RuleName::default() }));
        }
        is_multiple
    }
}

/// Checks the rules.
struct Rules(&'static [&'static str]);

impl Work for Rules {
    type Worker = ();
    type Output = Made;

    fn worker(&self) {}

    fn event<S: FieldSource>(&self, (): &mut (), event: &S, found: &Found<'_>, output: &mut Made) {
        let rules: Vec<&str> = found.notes.rules.iter().map(|rule| &*rule.title).collect();
        assert_eq!(found.texts.rules, &*found.notes.rules);
        assert_eq!(rules, self.0);
        Places.event(&mut (), event, found, output);
    }
}

#[test]
fn stages_follow_one_another_and_each_may_drop_an_event() {
    let (_folder, paths) = files();
    let mut kept = Kept::default();
    let pipeline = Pipeline::scan(inputs(&paths[2..], Selection::default()));
    let pipeline = pipeline.stage(MultipleOf(4)).stage(MultipleOf(6));
    let rules = Rules(&["multiple of 4", "multiple of 6"]);
    let (summary, result) = pipeline.run(&rules, &mut kept, None);
    result.unwrap();
    assert_eq!(kept.places, places("c", (1..=16).map(|n| 12 * n)));
    assert_eq!((summary.records, summary.matched), (200, 16));
}

#[test]
fn a_filter_s_rules_are_those_that_a_stage_found() {
    let (_folder, paths) = files();
    let glob = |text: &str| vec![Glob::parse(text).unwrap()];
    for (rules, not_rules, expected) in [
        (glob("multiple of 6"), Vec::new(), (1..=16).map(|n| 12 * n).collect::<Vec<u64>>()),
        (glob("multiple of 5"), Vec::new(), Vec::new()),
        (Vec::new(), glob("*of 6"), Vec::new()),
    ] {
        let filter = Filter { rules, not_rules, ..Filter::default() };
        let selection = Selection::new(Vec::new(), filter, EventTime::default()).unwrap();
        let pipeline = Pipeline::scan(inputs(&paths[2..], selection.clone()));
        let pipeline = pipeline.stage(MultipleOf(4)).stage(MultipleOf(6));
        let mut kept = Kept::default();
        let (summary, result) = pipeline.run(&Places, &mut kept, None);
        result.unwrap();
        assert_eq!(kept.places, places("c", expected.iter().copied()));
        assert_eq!(summary.matched, expected.len() as u64);
        // Where nobody tests for rules, none is matched.
        let has_any = !selection.filter().not_rules.is_empty();
        let mut kept = Kept::default();
        let (summary, result) =
            Pipeline::scan(inputs(&paths[2..], selection)).run(&Places, &mut kept, None);
        result.unwrap();
        assert_eq!(summary.matched, if has_any { 200 } else { 0 });
    }
}

/// Knows the message of every event.
struct Told;

impl MessageSource for Told {
    fn message(&self, event: &dyn AnyEvent, out: &mut Vec<u8>) -> Option<MessageBy> {
        let mut id = Vec::new();
        event.field(Field::EventId).push::<quarry_event::text::Plain>(&mut id);
        out.extend_from_slice(b"this is number ");
        out.extend_from_slice(&id);
        Some(MessageBy::Catalogue)
    }

    fn name(&self, _: &dyn AnyEvent, _: NameOf, _: &mut Vec<u8>) -> bool {
        false
    }

    fn words(&self, _: &dyn AnyEvent, _: &str, _: &Value<'_>, _: &mut Vec<u8>) -> bool {
        false
    }
}

/// Checks that the message that was searched is handed on.
struct Messages;

impl Work for Messages {
    type Worker = ();
    type Output = Made;

    fn worker(&self) {}

    fn event<S: FieldSource>(&self, (): &mut (), event: &S, found: &Found<'_>, output: &mut Made) {
        assert!(found.texts.source.is_some());
        let message = found.texts.message.unwrap();
        let number = found.origin.log_record.unwrap();
        assert_eq!(message.text, format!("this is number {number}"));
        Places.event(&mut (), event, found, output);
    }
}

#[test]
fn a_filter_searches_the_message_of_the_source_s_texts() {
    let (_folder, paths) = files();
    let grep = Some(Pattern::parse("number 1.?7$").unwrap());
    let filter = Filter { grep: grep.into_iter().collect(), ..Filter::default() };
    let selection = Selection::new(Vec::new(), filter, EventTime::default()).unwrap();
    let told = |input: FileInput| input.with_texts(Some(Arc::new(Told)));
    let files = inputs(&paths[2..], selection.clone()).into_iter().map(told).collect();
    let mut kept = Kept::default();
    let (_, result) = Pipeline::scan(files).run(&Messages, &mut kept, None);
    result.unwrap();
    let expected = [17, 107, 117, 127, 137, 147, 157, 167, 177, 187, 197];
    assert_eq!(kept.places, places("c", expected));
    // Without text there is nothing to be found.
    let mut kept = Kept::default();
    let (_, result) =
        Pipeline::scan(inputs(&paths[2..], selection)).run(&Messages, &mut kept, None);
    result.unwrap();
    assert_eq!(kept.places, []);
}
