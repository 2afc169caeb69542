//! What is told on standard error while sources are read.

use quarry_collect::{Delivery, Notice, Observer, Searched, Source, Summary};

use super::Run;
use crate::console::Console;
use crate::error::Failure;
use crate::hints;

impl Observer for Run {
    fn delivery<O>(&mut self, delivery: &Delivery<O>) {
        let Source { id, shown, .. } = &*delivery.source;
        for damage in &delivery.damage {
            match hints::of_damage(damage) {
                // However quiet it is, as for gaps.
                _ if damage.is_hole() => self.tell(shown, damage, Console::caution),
                Some(hint) => self.warn(shown, &format_args!("{damage} ({hint})")),
                None => self.warn(shown, damage),
            }
        }
        let searched = delivery.searched;
        if searched.all > 0 && self.texts.are_wanted() {
            let nothing = || (shown.clone(), Searched::default());
            let (_, all) = self.searched.entry(*id).or_insert_with(nothing);
            all.all += searched.all;
            all.without += searched.without;
        }
    }

    fn notice(&mut self, source: &Source, notice: &Notice) {
        let (name, console) = (&source.shown, &self.console);
        match notice {
            Notice::Opened => {
                if let Some(remote) = source.remote.as_ref().filter(|_| source.is_server()) {
                    self.opened(&**remote);
                }
                self.sources.insert(source.id, name.clone());
            }
            Notice::Following { log, again: true } => {
                console.note(&format!("{name}: following {log} again"));
            }
            // All of them, whatever else is wrong: nothing else tells that records are missing.
            Notice::Gap { log, first, last: Some(last) } => console.caution(&format!(
                "gap: records {first} to {last} of {log} on {name} were overwritten"
            )),
            Notice::Gap { log, first, last: None } => console.caution(&format!(
                "gap: {log} on {name} was cleared and counts anew; records from {first} on may be \
                 missing"
            )),
            Notice::Lost(error) if self.follows => {
                console.warning(&format!("{error}; trying again"));
            }
            Notice::Lost(error) => {
                self.warn(&error.source, &format_args!("{}; trying again", error.what()));
            }
            Notice::Weakened(strength) => {
                console.detail(|| format!("{name}: refuses the filter, and sends {strength}"));
            }
            Notice::LeftOut(failure) => self.left_out(failure),
            Notice::Failed(failure) => self.server_failed(failure),
            Notice::FileFailed(error) => {
                let told = self.files.as_ref().and_then(|files| files.failure(source.id.index()));
                let failure = told.unwrap_or_else(|| Failure::new(format!("{name}: {error}")));
                console.error(&failure);
            }
            _ => {}
        }
    }

    fn progress(&mut self, summary: &Summary) {
        self.look_for_texts();
        self.show_progress(summary);
    }
}
