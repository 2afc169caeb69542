//! Sources that are followed, into a hub.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use quarry_collect::{Delivery, FleetInput, Next, Notice, Pipeline, Sink, Source};
use quarry_fleet::FollowOptions;
use serde_json::json;

use super::Asked;
use super::gather::{Allowed, Gather, Gathered};
use super::servers::Remedy;
use crate::access::rules::Scope;
use crate::stream::hub::Hub;

/// The last events of each log that a tail begins with.
const LAST: u64 = 20;

/// Follows sources until the hub is stopped. Blocks.
pub(super) fn follow(
    asked: &Asked,
    sources: Vec<FleetInput>,
    runtime: &tokio::runtime::Handle,
    remedy: Option<&Remedy>,
    hub: &Hub,
) {
    let threshold =
        Arc::new(AtomicU64::new(if asked.wanted.keeps_newest() { 0 } else { u64::MAX }));
    let gather = Gather::new(&asked.wanted, false, &threshold).at_pace(hub.pace());
    let pipeline = Pipeline::follow(runtime, sources, LAST, FollowOptions::default())
        .stop(hub.stop())
        .stage(Allowed::new(asked, false));
    let mut sink = Following { hub, remedy, scope: asked.question.person.scope() };
    let _ = pipeline.run(&gather, &mut sink, None);
}

struct Following<'h> {
    hub: &'h Hub,
    remedy: Option<&'h Remedy>,
    scope: &'h Scope,
}

impl Sink for Following<'_> {
    type Output = Gathered;
    type Error = Infallible;

    fn take(&mut self, delivery: &mut Delivery<Gathered>) -> Result<Next, Infallible> {
        let on: Arc<str> = delivery.source.shown.as_str().into();
        let Gathered { rows, skipped, .. } = &mut delivery.output;
        let rows = rows.drain(..).map(|mut row| {
            row.on = Arc::clone(&on);
            row
        });
        self.hub.rows(rows, skipped);
        Ok(Next::Go)
    }

    fn notice(&mut self, source: &Source, notice: Notice) -> Result<(), Infallible> {
        let on = &*source.shown;
        let what = match notice {
            // How many records a log had is not for those who may not read it.
            Notice::Following { log, .. } | Notice::Gap { log, .. }
                if !self.scope.has_log(on, &log.0) =>
            {
                return Ok(());
            }
            Notice::Following { log, again: true } => {
                json!({ "kind": "following", "on": on, "log": log.0, "what": format!("{on}: {log} is followed again") })
            }
            Notice::Gap { log, first, last } => {
                let records = match last {
                    Some(last) => format!("records {first} to {last}"),
                    None => format!("records from {first} on"),
                };
                json!({
                    "kind": "gap", "on": on, "log": log.0, "first": first.0, "last": last.map(|last| last.0),
                    "what": format!("gap: {records} of {log} on {on} were overwritten"),
                })
            }
            Notice::Lost(failure) | Notice::Failed(failure) => {
                let remedy = self.remedy.and_then(|remedy| remedy(&failure));
                json!({
                    "kind": "lost", "on": on, "remedy": remedy,
                    "what": format!("{on}: {}", failure.what()),
                })
            }
            _ => return Ok(()),
        };
        self.hub.source(what);
        Ok(())
    }

    fn tick(&mut self, _: bool) -> Result<(), Infallible> {
        self.hub.tick();
        Ok(())
    }
}
