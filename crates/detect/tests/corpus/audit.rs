//! Subcategories of the audit policy against recorded Security logs, whose events say by their task
//! which one they are of.

use std::collections::BTreeSet;

use quarry_detect::{PolicyChange, Subcategory};
use quarry_event::{Field, FieldSource, RecordId};
use quarry_eventlog::{BatchReader, Damage, Direction, FileLog, Visitor};

use super::files;

#[derive(Default)]
struct Seen {
    /// Ids with tasks.
    pairs: BTreeSet<(u64, u64)>,
    changes: Vec<PolicyChange>,
}

impl Visitor for Seen {
    fn event<S: FieldSource>(&mut self, event: &S, _: &str, _: Option<RecordId>) {
        let is_audit =
            event.field(Field::ProviderName).is_text("Microsoft-Windows-Security-Auditing");
        if event.field(Field::Channel).is_text("Security") && is_audit {
            let (id, task) =
                (event.field(Field::EventId).as_u64(), event.field(Field::Task).as_u64());
            self.pairs.insert((id.unwrap(), task.unwrap()));
            self.changes.extend(PolicyChange::of(event));
        }
    }

    fn damage(&mut self, _: &Damage) {}
}

#[test]
fn events_of_recorded_logs_are_of_the_subcategories_that_their_tasks_name() {
    let Some(routes) = quarry_testkit::corpus_file("sigma/routes.json") else { return };
    let corpus = routes.parent().unwrap().parent().unwrap().to_owned();
    let logs = quarry_testkit::corpus_folder("sigma/regression.tar.xz").unwrap();
    let mut seen = Seen::default();
    for folder in [logs, corpus.join("mitre"), corpus.join("evtx-crate")] {
        for path in files(&folder, "evtx") {
            let Ok(log) = FileLog::open(&path) else { continue };
            let mut reader = BatchReader::default();
            log.batches(Direction::Forward).for_each(|batch| reader.read(&batch, &mut seen));
        }
    }
    assert!(seen.pairs.len() > 50, "{}", seen.pairs.len());
    let wrong: Vec<_> = seen
        .pairs
        .iter()
        // What the service says of itself (1108) is of no subcategory.
        .filter(|(_, task)| *task >= 12288)
        .filter(|(id, task)| !Subcategory::of_task(*task).is_some_and(|known| known.has(*id)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    // Each names a subcategory, and says what was done to it.
    for change in &seen.changes {
        assert!(change.subcategory.is_some() && change.what != "changed", "{change:?}");
    }
}
