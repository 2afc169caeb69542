//! The page: what is stored, and the servers as they are now, for who started the program, on this
//! machine, or for the accounts of this system; and how the program is, for whoever watches over it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use quarry_fleet::{Options, Source as _};
use quarry_program::error::Failure;
use quarry_program::public::PublicPage;
use quarry_program::servers::Servers as Signed;
use quarry_program::texts::RunTexts;
use quarry_program::{hints, public, visits};
use quarry_store::Store;
use quarry_web::access::Person;
use quarry_web::access::clock::Clock;
use quarry_web::keeper::{Keeper, KeeperHealth, SqlAnswer, SqlRefused};
use quarry_web::sources::{ServerSpec, Servers};
use quarry_web::{App, Site, Sources};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::collect::console;
use crate::config::Config;
use crate::page::{Stored, StoredServer, Titles};
use crate::serve::say;
use crate::sql;
use crate::status::Status;

/// The page while it is served.
pub(crate) struct Page {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Page {
    /// Serves the page of the servers that a configuration has, where it has one. Where it `is_told`, the
    /// address that lets somebody in is printed.
    pub(crate) fn serve(
        config: &Config,
        is_told: bool,
        (store, status, titles): (&Store, &Arc<Status>, &Titles),
        texts: &Arc<RunTexts>,
        runtime: &Runtime,
    ) -> Result<Option<Self>, Failure> {
        let Some(page) = &config.page else { return Ok(None) };
        let _inside = runtime.enter();
        let listener = runtime.block_on(TcpListener::bind(page.listen));
        let listener =
            listener.map_err(|e| Failure::io(&format!("page.listen {}", page.listen), &e))?;
        let address = listener.local_addr().map_err(|e| Failure::io("the address", &e))?;
        let public = page.public(&config.folder);
        let Live { servers, stored, as_persons } = live(config, public.as_ref(), texts, runtime);
        let (site, gone) = match &public {
            None => {
                let site = Site::owner(listener, "owner", Clock::system());
                (site.map_err(|error| Failure::new(error.to_string()))?, None)
            }
            Some(public) => {
                let tickets = as_persons.then_some(config.collect.timeouts().connect);
                let (site, gone) = public::site(listener, public, &config.inventory, tickets)?;
                (site, Some(gone))
            }
        };
        let stored = Stored::new(
            store.clone(),
            Arc::clone(status),
            runtime.handle().clone(),
            stored,
            titles.clone(),
        );
        let sources = Sources::new().with(Arc::new(stored)).with(Arc::new(servers)).stored_first();
        let kept = Kept { status: Arc::clone(status), store: store.clone() };
        let app = Arc::new(App::new(sources).keeping(Arc::new(kept)));
        let routes = quarry_web::router(Arc::clone(&app));
        match (&public, is_told) {
            (None, true) => {
                let first = site.first_address();
                say(&format!("{}\n", first.map_err(|e| Failure::new(e.to_string()))?))?;
                visits::on_enter(site.visits());
                console().note(
                    "Open this address within five minutes: it signs you in, once. Enter prints a \
                     new one.",
                );
            }
            (None, false) => tracing::warn!(
                %address,
                "the page is served, and lets nobody in: there is no terminal for the address that \
                 would; page.access lets accounts in"
            ),
            (Some(_), _) => {
                let first = site.first_address().map_err(|e| Failure::new(e.to_string()))?;
                tracing::info!(
                    address = first,
                    fingerprint = site.fingerprint(),
                    "the page is served"
                );
            }
        }
        let (stop, stopped) = oneshot::channel();
        let serving = runtime.spawn(async move {
            let gone = async {
                match gone {
                    Some(gone) => gone.await,
                    None => std::future::pending().await,
                }
            };
            // Whoever drops the sender wants it to end as well.
            let stopped = async { drop(stopped.await) };
            let stop = async {
                tokio::select! { () = stopped => {}, () = gone => {} }
            };
            site.serve(&app, routes, stop).await;
        });
        Ok(Some(Page { stop, serving }))
    }

    /// Becomes ready when it is served no more, though nobody has stopped it: its helper is gone.
    pub(crate) async fn ended(&mut self) {
        if !self.serving.is_finished() {
            // Where it panicked, it is served no more either.
            let _ = (&mut self.serving).await;
        }
    }

    /// Takes no more connections, and waits until those there are have been answered.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        if !self.serving.is_finished() {
            let _ = self.serving.await;
        }
    }
}

/// The servers of a page.
struct Live {
    /// As they are now.
    servers: Servers,
    /// Those whose events are stored.
    stored: Vec<StoredServer>,
    /// Whether any is asked as who signs in.
    as_persons: bool,
}

/// The servers as they are now, and those whose events are stored. The collector
/// reports one that can't be signed in to.
fn live(
    config: &Config,
    public: Option<&PublicPage>,
    texts: &Arc<RunTexts>,
    runtime: &Runtime,
) -> Live {
    let Config { inventory, folder, collect, followed, .. } = config;
    let mut signed = Signed::of(inventory.clone(), folder, collect.timeouts(), console());
    if public.is_some() {
        signed = signed.for_persons();
    }
    let (mut specs, mut stored, mut as_persons) = (Vec::new(), Vec::new(), false);
    for followed in followed {
        let groups: Vec<String> = followed.entry.groups.iter().map(ToString::to_string).collect();
        let mut addresses = Vec::new();
        if let Ok(server) = signed.open(&followed.entry) {
            addresses = server.addresses().into_iter().map(str::to_owned).collect();
            as_persons |= server.is_of_persons();
            specs.push(ServerSpec {
                source: server,
                groups: groups.clone(),
                texts: texts.shared(),
                live: texts.live().cloned(),
            });
        }
        stored.push(StoredServer { name: followed.entry.name.clone(), groups, addresses });
    }
    let remedy = Arc::new(hints::remedy);
    let servers = Servers::new(specs, Options::default(), runtime.handle().clone(), remedy);
    Live { servers, stored, as_persons }
}

/// How the program is.
struct Kept {
    status: Arc<Status>,
    store: Store,
}

impl Keeper for Kept {
    fn health(&self) -> KeeperHealth {
        let health = self.status.health();
        KeeperHealth { is_well: health.is_well, about: health.json }
    }

    fn metrics(&self, may_show: &dyn Fn(&str) -> bool, text: &mut String) {
        self.status.metrics(may_show, text);
    }

    fn query(
        &self,
        statement: String,
        format: String,
        person: Person,
    ) -> BoxFuture<'_, Result<SqlAnswer, SqlRefused>> {
        Box::pin(async move { sql::answer(&self.store, &statement, &format, &person).await })
    }
}
