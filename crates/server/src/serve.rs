//! `quarryd serve`: the parts put together, and kept as the configuration says.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quarry_collect::{Detect, Stop};
use quarry_detect::{Engine, Mapping};
use quarry_event::EventTime;
use quarry_program::args::{MessagesFrom, TextArgs};
use quarry_program::error::Failure;
use quarry_program::public::{PublicPage, WebProcess};
use quarry_program::servers::Servers;
use quarry_program::texts::RunTexts;
use quarry_program::{error, network, public, trace};
use quarry_store::{DEAD, Membership, Options, Policy, RENEW, Store, StoreError, owner};
use tokio::runtime::Runtime;

use crate::args::ServeArgs;
use crate::collect::{Collector, Due, Means, Writer, console};
use crate::config::{Config, Followed, Messages, Writers};
use crate::page::Titles;
use crate::site::Page;
use crate::status::{Status, Trouble};
use crate::watch::{Event, Watch};

pub(crate) fn run(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let config = Config::load(&args.config)?;
    let public = config.page.as_ref().and_then(|page| page.public(&config.folder));
    let served = match &public {
        Some(public) if !args.unprivileged => return help(&args.config, public),
        Some(public) => serve(&args.config, config).map_err(|f| public::explained(f, public)),
        None => serve(&args.config, config),
    };
    served.map(|()| ExitCode::SUCCESS)
}

/// Is the helper of the process that does all else, until that ends.
fn help(path: &Path, public: &PublicPage) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    // The other process looks at the file.
    let mut watch = watch(Path::new(""), &runtime)?;
    let arguments = |command: &mut Command| {
        command.args(["serve", "--unprivileged"]).arg(path);
    };
    let hand_on = move |process: WebProcess| {
        loop {
            match runtime.block_on(watch.next()) {
                Event::Stop => return,
                Event::Reload => process.hang_up(),
                Event::Tick => {}
            }
        }
    };
    public::become_helper(public, arguments, hand_on)
}

fn serve(path: &Path, config: Config) -> Result<(), Failure> {
    trace::show_for_daemon(1, console());
    let runtime = runtime()?;
    let store = runtime.block_on(open(&config, false))?;
    let daemon = Daemon::start(config, store, &runtime)?;
    let result = watch(path, &runtime)
        .and_then(|watch| daemon.serve(watch, io::stdout().is_terminal(), &runtime));
    // A name that is being looked up isn't waited for.
    runtime.shutdown_background();
    result
}

/// Watches a configuration and what signals say.
pub(crate) fn watch(path: &Path, runtime: &Runtime) -> Result<Watch, Failure> {
    let _inside = runtime.enter();
    Watch::new(path).map_err(|e| Failure::io("signals", &e))
}

pub(crate) fn runtime() -> Result<Runtime, Failure> {
    network::runtime(None).map_err(|e| Failure::io("the network", &e))
}

/// Opens the store of a configuration.
pub(crate) async fn open(config: &Config, read_only: bool) -> Result<Store, Failure> {
    let writers = match config.store.writers {
        Writers::One => quarry_store::Writers::One,
        Writers::Several => quarry_store::Writers::Several,
    };
    let mut options = Options::default()
        .columns(config.store.columns.clone())
        .memory(config.store.memory())
        .writers(writers)
        .read_only(read_only)
        .environment(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
        .commit_time(Duration::from_secs(30));
    if let Some(folder) = &config.store.log_folder {
        options = options.log_folder(config.folder.join(folder));
    }
    let url = config.store.address(&config.folder);
    Store::open(&url, options).await.map_err(|error| of_store(&error))
}

/// A failure of the store, with what to do about it.
pub(crate) fn of_store(error: &StoreError) -> Failure {
    let failure = Failure::new(error.to_string());
    match error {
        StoreError::InUse { .. } => failure.hint(
            "another quarryd writes to this table, and maintains it by itself; stop it, or set \
             store.writers = \"several\" for both",
        ),
        StoreError::NoTable { .. } => failure.hint("quarryd serve makes it; is store.url right?"),
        StoreError::NoConditionalPut { .. } => {
            failure.hint("set store.writers = \"one\", or choose another storage")
        }
        StoreError::NotOurs { .. } => failure.hint("name an empty folder in store.url"),
        StoreError::Layout { .. } => {
            failure.hint("use the quarryd that wrote it, or name an empty folder in store.url")
        }
        StoreError::Storage { .. } => failure
            .hint("can it be reached, and are its credentials in the environment? docs/quarryd.md lists them"),
        _ => failure,
    }
}

/// What runs.
pub(crate) struct Daemon {
    config: Config,
    store: Store,
    status: Arc<Status>,
    writer: Arc<Writer>,
    collector: Arc<Collector>,
    servers: Servers<'static>,
    texts: Arc<RunTexts>,
    rules: Option<Arc<Detect>>,
    /// What they are called, for the page.
    titles: Titles,
    /// Ends the commits, once nothing more is pushed.
    ended: Stop,
    committer: Option<std::thread::JoinHandle<()>>,
    members: Option<Membership>,
    renewed: Instant,
}

impl Daemon {
    pub(crate) fn start(config: Config, store: Store, runtime: &Runtime) -> Result<Self, Failure> {
        let status = Arc::new(Status::default());
        let rules = rules(&config)?;
        let (ended, due) = (Stop::default(), due(&config));
        let writer = Writer::new(&store, due, ended.clone(), Arc::clone(&status));
        let writer = writer.map_err(|error| of_store(&error))?;
        status.set_flush_every(due.every);
        let collector = Arc::new(Collector::new(
            store.clone(),
            Arc::clone(&writer),
            Arc::clone(&status),
            runtime.handle().clone(),
        ));
        let committer = {
            let (writer, runtime, ended) =
                (Arc::clone(&writer), runtime.handle().clone(), ended.clone());
            std::thread::Builder::new()
                .name("commit".to_owned())
                .spawn(move || writer.commit_until_stopped(&runtime, &ended))
                .map_err(|e| Failure::io("a thread", &e))?
        };
        let members = match config.store.writers {
            Writers::One => None,
            Writers::Several => {
                let joined = runtime.block_on(store.join(&name(&config)));
                Some(joined.map_err(|error| of_store(&error))?)
            }
        };
        Ok(Daemon {
            servers: servers(&config),
            texts: texts(&config),
            titles: Titles::of_rules(rules.as_deref()),
            rules,
            config,
            store,
            status,
            writer,
            collector,
            ended,
            committer: Some(committer),
            members,
            renewed: Instant::now(),
        })
    }

    /// Serves until a signal ends it. The address that lets somebody in to the page is printed where
    /// it `is_told`.
    pub(crate) fn serve(
        mut self,
        mut watch: Watch,
        is_told: bool,
        runtime: &Runtime,
    ) -> Result<(), Failure> {
        let maintaining = self.maintain(runtime);
        self.follow();
        let kept = (&self.store, &self.status, &self.titles);
        let mut page = Page::serve(&self.config, is_told, kept, &self.texts, runtime)?;
        tracing::info!(
            store = self.store.url(),
            servers = self.config.followed.len(),
            "quarryd is up"
        );
        loop {
            let ended = async {
                match &mut page {
                    Some(page) => page.ended().await,
                    None => std::future::pending().await,
                }
            };
            let event = runtime.block_on(async {
                tokio::select! { event = watch.next() => event, () = ended => Event::Stop }
            });
            match event {
                Event::Stop => break,
                Event::Reload => self.reload(watch.path()),
                Event::Tick => {}
            }
            self.renew(runtime);
            self.follow();
        }
        tracing::info!("stopping: what is in hand is committed");
        self.collector.stop();
        self.ended.set();
        if self.committer.take().is_some_and(|committer| committer.join().is_err()) {
            tracing::error!("the thread that commits panicked");
        }
        maintaining.abort();
        if let Some(page) = page {
            runtime.block_on(page.stop());
        }
        if let Some(members) = self.members.take()
            && let Err(error) = runtime.block_on(members.leave())
        {
            tracing::warn!(%error, "others take over in half a minute");
        }
        self.texts.save(console());
        Ok(())
    }

    /// Follows what is this collector's to follow.
    fn follow(&mut self) {
        let mine = |followed: &&Followed| match &self.members {
            None => true,
            Some(members) => members.owns(&followed.entry.name),
        };
        let wanted: Vec<Followed> = self.config.followed.iter().filter(mine).cloned().collect();
        self.follow_these(wanted);
    }

    fn follow_these(&mut self, wanted: Vec<Followed>) {
        let mut means = Means {
            config: &self.config,
            servers: &mut self.servers,
            texts: Arc::clone(&self.texts),
            rules: self.rules.clone(),
        };
        self.collector.follow(wanted, &mut means);
    }

    /// Tells the other collectors that this one lives. Where it can't for too long, others have taken
    /// its servers over.
    fn renew(&mut self, runtime: &Runtime) {
        let Some(members) = &mut self.members else { return };
        if self.renewed.elapsed() < RENEW {
            return;
        }
        match runtime.block_on(members.renew()) {
            Ok(_) => self.renewed = Instant::now(),
            Err(error) => {
                tracing::warn!(%error, "the other collectors can't be told that this one lives");
                if self.renewed.elapsed() >= DEAD {
                    tracing::error!("it counts as dead by now, and gives its servers up");
                    self.follow_these(Vec::new());
                }
            }
        }
    }

    /// Takes up a changed configuration, or keeps the old one and says where the mistake is.
    fn reload(&mut self, path: &Path) {
        let read = Config::load(path).map_err(Failure::from);
        let read = read.and_then(|config| Ok((rules(&config)?, config)));
        let (rules, config) = match read {
            Ok(read) => read,
            Err(failure) => {
                console().error(&failure);
                tracing::error!("the configuration has a mistake; the old one is kept");
                let trouble = Trouble { what: failure.message, remedy: failure.hint };
                self.status.reloaded(Some(trouble));
                return;
            }
        };
        for (is_changed, what) in [
            (config.store.url != self.config.store.url, "store.url"),
            (config.store.columns != self.config.store.columns, "store.columns"),
            (config.store.writers != self.config.store.writers, "store.writers"),
            (config.store.retention() != self.config.store.retention(), "store.retention"),
            (
                config.store.maintain_every() != self.config.store.maintain_every(),
                "store.maintain-every",
            ),
            (config.page != self.config.page, "page"),
        ] {
            if is_changed {
                tracing::warn!("{what} was changed, which takes a restart");
            }
        }
        self.servers = servers(&config);
        if config.collect != self.config.collect || config.detect != self.config.detect {
            self.texts.save(console());
            self.texts = texts(&config);
            // What is followed is read in another way from now on.
            self.collector.begin_anew();
        }
        self.titles.take_up(rules.as_deref());
        self.rules = rules;
        self.writer.set_due(due(&config));
        self.status.set_flush_every(config.store.flush_every());
        self.config = config;
        self.status.wake();
        self.status.reloaded(None);
        tracing::info!(servers = self.config.followed.len(), "the configuration was taken up");
    }

    /// Maintains the table every now and then.
    fn maintain(&self, runtime: &Runtime) -> tokio::task::JoinHandle<()> {
        let store = self.store.clone();
        let policy = policy(&self.config);
        let every = self.config.store.maintain_every();
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                match store.maintain(&policy).await {
                    Ok(report) => tracing::info!(?report, "the table was maintained"),
                    Err(error) => tracing::warn!(%error, "the table can't be maintained"),
                }
            }
        })
    }
}

/// What maintenance is to do.
pub(crate) fn policy(config: &Config) -> Policy {
    Policy { keep: config.store.retention(), ..Policy::default() }
}

fn due(config: &Config) -> Due {
    Due { every: config.store.flush_every(), bytes: config.store.flush_bytes() }
}

/// The detection rules, which mark events and let all of them pass.
pub(crate) fn rules(config: &Config) -> Result<Option<Arc<Detect>>, Failure> {
    if config.detect.is_empty() {
        return Ok(None);
    }
    let loaded = quarry_program::rules::load(&config.detect, console())?;
    let engine = Engine::new(loaded.rules, Mapping::builtin());
    Ok(Some(Arc::new(Detect::new(Arc::new(engine)).passing_all())))
}

pub(crate) fn servers(config: &Config) -> Servers<'static> {
    let Config { inventory, folder, collect, .. } = config;
    Servers::of(inventory.clone(), folder, collect.timeouts(), console())
}

fn texts(config: &Config) -> Arc<RunTexts> {
    let messages = match config.collect.messages {
        Messages::Server => MessagesFrom::Server,
        Messages::Local => MessagesFrom::Local,
        Messages::Never => MessagesFrom::Never,
    };
    let message_timeout = config.collect.message_timeout();
    let folder = config.collect.catalogues.as_ref().map(|folder| config.folder.join(folder));
    let args = TextArgs { messages, message_timeout, folder };
    Arc::new(RunTexts::open(&args, true, console()))
}

/// What this collector is called.
pub(crate) fn name(config: &Config) -> String {
    let machine = || {
        let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let named = named.or_else(|| std::env::var("COMPUTERNAME").ok());
        named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty())
    };
    config.collect.name.clone().or_else(machine).unwrap_or_else(|| "quarryd".to_owned())
}

/// A time as it is shown.
pub(crate) fn shown(time: Option<EventTime>) -> String {
    time.map_or_else(String::new, |time| time.to_string())
}

/// Whose a server is.
pub(crate) fn follower<'m>(members: &'m [quarry_store::Member], server: &str) -> Option<&'m str> {
    owner(members, server).map(|member| &*member.name)
}

/// Text for standard output; who has closed it wants no more.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    error::delivered(out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Into::into))
}
