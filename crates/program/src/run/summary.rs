//! How a run went, once it has ended: the sum, texts that were missing, failures grouped by cause.

use quarry_collect::{Alike, Searched, Summary};

use super::Run;
use crate::console::grouped;
use crate::error::{Closed, Failure, Outcome};
use crate::{hints, interrupt};

/// Servers that are named where several have something in common.
const MAX_NAMES: usize = 5;

impl Run {
    /// Says how it went, and what a command has to say besides, and returns it. `ended` is how the
    /// output ended.
    ///
    /// # Errors
    /// The output failed.
    pub fn conclude(
        &self,
        ended: Result<(), Closed>,
        more: impl FnOnce(&Self),
    ) -> Result<Outcome, Failure> {
        match ended {
            Err(Closed::Failed(failure)) => return Err(failure),
            // Whoever closed the pipe has seen enough.
            Err(Closed::Pipe) => {}
            Ok(()) => {
                self.summarize();
                more(self);
            }
        }
        Ok(self.outcome())
    }

    /// How it went.
    pub fn outcome(&self) -> Outcome {
        let Summary { files, servers, matched, holes, .. } = &self.summary;
        Outcome {
            matched: *matched > 0,
            read: files.read + servers.read,
            failed: files.failed + servers.failed,
            holes: *holes,
            mistakes: self.mistakes,
            interrupted: interrupt::is_set(),
        }
    }

    /// Warns of the names that were asked for and that no event had.
    pub fn warn_of_missing(&self) {
        if let Some(missing) = &self.missing {
            missing.warn(&self.console);
        }
    }

    /// Says how it went, after a warning of each name that was asked for and that no event had.
    pub fn summarize(&self) {
        self.warn_of_missing();
        let Summary { records, matched, .. } = self.summary;
        let name = if records == 1 { "record" } else { "records" };
        self.sum_up(&[format!("{} {name}, {} matched", grouped(records), grouped(matched))]);
        // Where nothing matched, it may be in another log.
        if matched == 0 && self.has_usual_logs && self.summary.servers.read > 0 {
            self.console.note(
                "  no log was named, so servers were read as usual: System, or what the inventory \
                 says; -l names others",
            );
        }
    }

    /// Says how it went with servers of which no records were read.
    pub fn summarize_servers(&self) {
        self.sum_up(&[]);
    }

    /// Says who was not connected when what is followed was interrupted.
    pub fn summarize_awaited(&self) {
        if let Some(awaited) = names(self.summary.awaited()) {
            self.console.note(&format!("not connected: {awaited}"));
        }
    }

    fn sum_up(&self, records: &[String]) {
        if self.summary.files.all + self.summary.servers.all == 0 {
            return;
        }
        let kinds = [
            (&self.summary.files, "file", "files", "read"),
            (&self.summary.servers, "server", "servers", "answered"),
        ];
        let mut parts = Vec::new();
        for (tally, one, many, done) in kinds {
            if tally.all > 0 {
                let (read, all) = (grouped(tally.read), grouped(tally.all));
                let name = if tally.all == 1 { one } else { many };
                let mut text = format!("{read} of {all} {name} {done}");
                if tally.failed > 0 {
                    text.push_str(&format!(", {} failed", grouped(tally.failed)));
                }
                parts.push(text);
            }
        }
        parts.extend_from_slice(records);
        let is_interrupted = interrupt::is_set();
        let before = if is_interrupted { "interrupted: " } else { "" };
        self.console.note(&format!("{before}{}", parts.join("; ")));
        if let (true, Some(awaited)) = (is_interrupted, names(self.summary.awaited())) {
            self.console.note(&format!("  still waited for: {awaited}"));
        }
        self.sum_up_texts();
        for Alike { what, failures } in self.summary.failures_alike() {
            let sources = names(failures.iter().map(|failure| &*failure.source));
            self.console.note(&format!("  {what}: {}", sources.unwrap_or_default()));
            // A remedy that names a server names the first, as an example.
            if let Some(remedy) = failures.first().copied().and_then(hints::remedy) {
                self.console.note(&format!("    {remedy}"));
            }
        }
    }

    /// Says which events are without their text, and why.
    fn sum_up_texts(&self) {
        let late = self.summary.late;
        if late > 0 {
            let (events, are, their) = match late {
                1 => ("event", "is", "its"),
                _ => ("events", "are", "their"),
            };
            let limit = self.texts.patience().as_secs_f64();
            self.console.note(&format!(
                "  {} {events} {are} without {their} text, which didn't come in {limit} s",
                grouped(late)
            ));
        }
        let mut reasons: Vec<&str> =
            self.without_texts.iter().map(|without| &*without.why).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for why in reasons {
            let alike = self.without_texts.iter().filter(|without| without.why == why);
            let sources = names(alike.map(|without| &*without.source)).unwrap_or_default();
            self.console.note(&format!("  no message text: {why}: {sources}"));
        }
        let is_blind =
            |searched: &Searched| searched.without > 0 && searched.without == searched.all;
        let mut blind: Vec<_> =
            self.searched.iter().filter(|(_, (_, searched))| is_blind(searched)).collect();
        blind.sort_by_key(|(index, _)| **index);
        if let Some(sources) = names(blind.iter().map(|(_, (name, _))| &**name)) {
            self.console.note(&format!(
                "  only values were searched, as no message text is known of {sources}"
            ));
        }
    }
}

/// Some names, if there are any.
pub(super) fn names<'n>(names: impl Iterator<Item = &'n str>) -> Option<String> {
    let (mut shown, mut more) = (Vec::new(), 0u64);
    for name in names {
        match shown.len() < MAX_NAMES {
            true => shown.push(name),
            false => more += 1,
        }
    }
    let text = shown.join(", ");
    match (shown.is_empty(), more) {
        (true, _) => None,
        (false, 0) => Some(text),
        (false, more) => Some(format!("{text} and {} more", grouped(more))),
    }
}
