//! What is reported on standard error while sources are read.

use quarry_collect::{Delivery, Next, Notice, Searched, Sink, Source, Summary};

use super::{Run, Take};
use crate::console::Console;
use crate::error::{Closed, Failure};
use crate::hints;

/// Takes what a pipeline delivers, and reports the rest.
pub(super) struct Reporting<'r, T> {
    pub(super) run: &'r mut Run,
    pub(super) take: &'r mut T,
}

impl<T: Take> Sink for Reporting<'_, T> {
    type Output = T::Output;
    type Error = Closed;

    fn take(&mut self, delivery: &mut Delivery<T::Output>) -> Result<Next, Closed> {
        for damage in std::mem::take(&mut delivery.damage) {
            let source = &delivery.source.shown;
            match hints::of_damage(&damage) {
                // However quiet it is, as for gaps.
                _ if damage.is_hole() => self.run.tell(source, &damage, Console::caution),
                Some(hint) => self.run.warn(source, &format_args!("{damage} ({hint})")),
                None => self.run.warn(source, &damage),
            }
        }
        let searched = delivery.searched;
        if searched.all > 0 && self.run.texts.are_wanted() {
            let Source { index, shown, .. } = &*delivery.source;
            let (_, all) = self
                .run
                .searched
                .entry(*index)
                .or_insert_with(|| (shown.clone(), Searched::default()));
            all.all += searched.all;
            all.without += searched.without;
        }
        self.take.take(&self.run.console, delivery)
    }

    fn persist(&mut self) -> Result<(), Closed> {
        self.take.persist()
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), Closed> {
        let name = &source.shown;
        match notice {
            Notice::Opened => {
                if let Some(remote) = source.remote.as_ref().filter(|_| source.is_server()) {
                    self.run.opened(&**remote);
                }
                self.run.sources.insert(source.index, source.shown.clone());
                self.take.opened(source);
            }
            Notice::Ended => self.take.ended(&self.run.console, source)?,
            Notice::Following { log, again: true } => {
                self.run.console.note(&format!("{name}: following {log} again"));
            }
            // All of them, whatever else is wrong: nothing else tells that records are missing.
            Notice::Gap { log, first, last: Some(last) } => {
                self.run.console.caution(&format!(
                    "gap: records {first} to {last} of {log} on {name} were overwritten"
                ));
            }
            Notice::Gap { log, first, last: None } => {
                self.run.console.caution(&format!(
                    "gap: {log} on {name} was cleared and counts anew; records from {first} on may \
                     be missing"
                ));
            }
            Notice::Lost(error) if self.run.follows => {
                self.run.console.warning(&format!("{error}; trying again"));
            }
            Notice::Lost(error) => {
                let what = error.what();
                self.run.warn(&error.source, &format_args!("{what}; trying again"));
            }
            Notice::Weakened(strength) => self
                .run
                .console
                .detail(|| format!("{name}: refuses the filter, and sends {strength}")),
            Notice::LeftOut(failure) => self.run.left_out(&failure),
            Notice::Failed(failure) => self.run.server_failed(&failure),
            Notice::FileFailed(error) => {
                let told = self.run.files.as_ref().and_then(|files| files.failure(source.index));
                let failure = told.unwrap_or_else(|| Failure::new(format!("{name}: {error}")));
                self.run.console.error(&failure);
            }
            _ => {}
        }
        Ok(())
    }

    fn progress(&mut self, summary: &Summary, is_idle: bool) -> Result<(), Closed> {
        self.run.look_for_texts();
        self.run.show_progress(summary);
        if is_idle { self.take.check() } else { Ok(()) }
    }
}
