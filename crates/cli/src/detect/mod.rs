//! `quarry detect`: the events of the sources that match Sigma rules.

mod by;
mod explain;
mod load;
mod plan;
mod summary;

use std::mem::ManuallyDrop;
use std::process::ExitCode;
use std::sync::Arc;

use quarry_collect::Detect;
use quarry_detect::{Engine, RuleError};
use quarry_event::filter::{Ids, Route};

use crate::args::{DetectArgs, Format, ScanFormat, TailArgs};
use crate::console::Console;
use crate::error::{Failure, Outcome};
use crate::{scan, tail};
use summary::named;

pub(crate) fn run(mut args: DetectArgs) -> Result<ExitCode, Failure> {
    let console = Console::of(&args.scan.show.terminal);
    // The system takes all memory back when the program ends; nobody waits for thousands of rules to
    // give theirs back piece by piece.
    let rules = ManuallyDrop::new(Detection::load(&args, &console)?);
    // These rules, and no others, are what events are tested for.
    args.scan.read.filter.rule.clear();
    if let Some(rule) = &args.explain {
        return explain::run(&rules, rule, &args.scan);
    }
    if args.plan {
        return plan::run(&rules, args.scan);
    }
    match args.by {
        Some(by) => by::run(&rules, by, args.scan).map(Outcome::exit_code),
        None if args.follow => follow(&rules, args),
        None => scan::read(&args.scan, Some(&rules)).map(Outcome::exit_code),
    }
}

fn follow(rules: &Detection, args: DetectArgs) -> Result<ExitCode, Failure> {
    let scan = args.scan;
    let output = match scan.output {
        Some(ScanFormat::Evtx) => {
            return Err(Failure::new("-o evtx: a log file has an end, and --follow has none")
                .hint("leave out --follow, or choose another format"));
        }
        output => output.and_then(ScanFormat::text),
    };
    let args = TailArgs {
        read: scan.read,
        lines: scan.lines.unwrap_or(0),
        cursor_file: args.cursor_file,
        code_page: scan.show.code_page,
        output: output as Option<Format>,
        fields: scan.fields,
        texts: scan.show.texts,
        terminal: scan.show.terminal,
    };
    tail::follow(&args, Some(rules))
}

/// The rules that events are tested for, and how that goes.
pub(crate) struct Detection {
    detect: Arc<Detect>,
    /// Rules that are refused.
    refused: Vec<RuleError>,
    /// How many were left out, as the options say.
    left_out: usize,
}

impl Detection {
    /// What events pass through.
    pub(crate) fn stage(&self) -> Arc<Detect> {
        Arc::clone(&self.detect)
    }

    fn engine(&self) -> &Engine {
        self.detect.engine()
    }

    /// The events that the rules look at.
    pub(crate) fn routes(&self) -> Vec<Route> {
        let channels = self.engine().plan().channels();
        let route = |one: quarry_detect::ChannelIds| Route {
            channel: one.channel,
            ids: one.ids.map(Ids::of),
        };
        channels.into_iter().map(route).collect()
    }
}
