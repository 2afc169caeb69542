//! `quarry messages`: build message catalogues, and look into them.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use quarry_collect::{ServerCatalogue, read_server};
use quarry_event::text::harmless;
use quarry_eventlog::{Direction, EventLog};
use quarry_message::build::{BuildOptions, build};
use quarry_message::{
    Catalogue, CatalogueBuilder, CatalogueInfo, CatalogueKind, Error, LanguageId, Manifest,
    ProviderTexts, import,
};

use crate::args::{
    BuildArgs, CataloguesArgs, ImportArgs, MessagesArgs, MessagesCommand, OutputArgs,
    ShowMessageArgs, TerminalArgs, VerifyArgs, When, WorkArgs,
};
use crate::catalogues::{EXTENSION, data_folder, installed};
use crate::console::Console;
use crate::error::{Closed, Failure, delivered, plain};
use crate::listing::{self, Cell, Column};
use crate::run::Run;
use crate::servers::{Server, Servers};

const NO_CATALOGUES: &str = "there are no catalogues";
const MAKE_ONE: &str =
    "quarry messages build --from PATH makes one, and quarry messages import too";

pub(crate) fn run(args: &MessagesArgs) -> Result<ExitCode, Failure> {
    match &args.command {
        MessagesCommand::Build(args) => build_catalogue(args),
        MessagesCommand::Import(args) => import_database(args),
        MessagesCommand::List(args) => list(args),
        MessagesCommand::Show(args) => show(args),
        MessagesCommand::Verify(args) => verify(args),
    }
}

fn build_catalogue(args: &BuildArgs) -> Result<ExitCode, Failure> {
    let console = Console::new(When::Auto, args.output.quiet);
    let language = LanguageId::from_name(&args.language).ok_or_else(|| {
        Failure::new(format!("--language: {} is not a language that Windows has", args.language))
            .hint("say it as Windows does, as in de-DE")
    })?;
    if let Some(server) = &args.server {
        return build_of_server(server, language, args, &console);
    }
    let mut options = BuildOptions::default();
    options.language = language;
    options.language_name = args.language.clone();
    let unreadable = args.from.iter().find_map(|path| Some((path, fs::metadata(path).err()?)));
    if let Some((path, error)) = unreadable {
        return Err(Failure::io(&path.display().to_string(), &error));
    }
    let mut built = build(&args.from, &options).map_err(|e| failure("--from", &e))?;
    for (path, error) in &built.failures {
        console.warning(&format!("{}: {}", path.display(), text(error)));
    }
    if built.builder.is_empty() {
        return Err(Failure::new("there are no messages in what --from names")
            .hint("name provider files, a folder of them, or the root of a mounted Windows disk"));
    }
    let missing = built.missing.len();
    if missing > 0 {
        console.warning(&format!("{missing} files that the registry names are not there"));
    }
    if built.other_language > 0 {
        let files = files(built.other_language, "has", "have");
        console.warning(&format!(
            "{files} messages in another language than {}, which serve in its place",
            args.language
        ));
    }
    if let Some(first) = built.without_mui.first() {
        let files = files(built.without_mui.len(), "has its", "have their");
        console.warning(&format!(
            "{files} messages in a .mui file that isn't there: {}/{}.mui",
            args.language,
            first.file_name().unwrap_or_default().display()
        ));
    }
    let builder = std::mem::take(&mut built.builder);
    write(builder, built.info, &args.output, &console, None)?;
    Ok(ExitCode::SUCCESS)
}

fn files(count: usize, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 file {one}"),
        count => format!("{count} files {many}"),
    }
}

/// Asks a server for all that its providers define.
fn build_of_server(
    name: &str,
    language: LanguageId,
    args: &BuildArgs,
    console: &Console,
) -> Result<ExitCode, Failure> {
    let mut servers = Servers::new(&args.servers, console)?;
    let entries = servers.entries(name)?;
    let [entry] = &*entries else {
        let count = entries.len();
        return Err(Failure::new(format!("--server: {name} stands for {count} servers"))
            .hint("name one: a catalogue is of one build"));
    };
    let server: Server = servers.open(entry)?;
    let mut run = Run::new(
        &TerminalArgs::quiet(args.output.quiet),
        &WorkArgs { threads: None },
        Direction::Forward,
    );
    run.expect_servers(&args.servers);
    let question =
        move |_, log: Arc<dyn EventLog>| async move { read_server(&*log, language).await };
    let mut told = None;
    let asked = run.ask(&[server], question, |_, _, read, _| {
        told = Some(read);
        Vec::new()
    });
    if let Err(Closed::Failed(failure)) = asked {
        return Err(failure);
    }
    // What failed was said when it did.
    let Some(mut told): Option<ServerCatalogue> = told else { return Ok(ExitCode::from(2)) };
    for (publisher, error) in &told.failures {
        console.warning(&format!("{publisher}: {error}"));
    }
    if told.publishers.is_empty() {
        return Err(Failure::new(format!("{name} tells no messages of its providers"))
            .hint("quarry scan asks for the messages of the events that it finds"));
    }
    if args.output.output.is_none()
        && let Ok(known) = Catalogue::open(&default_path(&told.info, None)?)
    {
        told.add(&known);
    }
    write(told.builder(), told.info, &args.output, console, None)?;
    Ok(ExitCode::SUCCESS)
}

fn import_database(args: &ImportArgs) -> Result<ExitCode, Failure> {
    let console = Console::new(When::Auto, args.output.quiet);
    let name = args.database.display().to_string();
    let read = || -> Result<Vec<u8>, Error> {
        let metadata = fs::metadata(&args.database)?;
        if metadata.len() > import::MAX_DATABASE {
            let limit = import::MAX_DATABASE;
            return Err(Error::Limit { what: "bytes in a database", limit });
        }
        Ok(fs::read(&args.database)?)
    };
    let (builder, info) =
        read().and_then(|bytes| import::import(&bytes)).map_err(|e| failure(&name, &e))?;
    write(builder, info, &args.output, &console, args.database.file_stem())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a catalogue whole or not at all. One of the same build and language that is in the data
/// folder already stays part of it. `database` is what it was imported from.
fn write(
    mut builder: CatalogueBuilder,
    info: CatalogueInfo,
    args: &OutputArgs,
    console: &Console,
    database: Option<&OsStr>,
) -> Result<(), Failure> {
    let path = match &args.output {
        Some(path) => path.clone(),
        None => default_path(&info, database)?,
    };
    let shown = path.display().to_string();
    let mut before = None;
    // What a server told has been added to what is there.
    if args.output.is_none() && info.kind != CatalogueKind::Server && path.exists() {
        let known = open(&path)?;
        if *known.info() == info {
            builder.add_catalogue(&known).map_err(|e| failure(&shown, &e))?;
            before = Some(known.providers().len());
        }
    }
    let (providers, messages) = (builder.len(), builder.messages());
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if args.output.is_none() {
        fs::create_dir_all(folder).map_err(|e| Failure::io(&folder.display().to_string(), &e))?;
    }
    let io = |e: &std::io::Error| Failure::io(&shown, e);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|e| io(&e))?;
    let mut to = BufWriter::new(file.as_file_mut());
    builder.write(info, &mut to).map_err(|e| failure(&shown, &e))?;
    to.flush().map_err(|e| io(&e))?;
    drop(to);
    file.as_file().sync_all().map_err(|e| io(&e))?;
    file.persist(&path).map_err(|e| io(&e.error))?;
    let of = if providers == 1 { "provider" } else { "providers" };
    let added = before.map_or(String::new(), |before| {
        format!(", {} of which were added to those that it had", providers.saturating_sub(before))
    });
    console.note(&format!("{shown}: {messages} messages of {providers} {of}{added}"));
    Ok(())
}

/// Where a catalogue goes that no name was given for: one of a build that isn't known has the name of the
/// database that it is of.
fn default_path(info: &CatalogueInfo, database: Option<&OsStr>) -> Result<PathBuf, Failure> {
    let folder = data_folder()
        .ok_or_else(|| Failure::new("the data folder is not known").hint("name one with -o"))?;
    let database = database.map(|name| name.to_string_lossy());
    let build = match (&*info.build, &database) {
        ("", Some(database)) => database,
        ("", None) => "unknown",
        (build, _) => build,
    };
    let kind = match info.kind {
        CatalogueKind::Foreign => "-foreign",
        // The one that scans of servers keep, too.
        CatalogueKind::Server => "-server",
        _ => "",
    };
    Ok(folder.join(format!("{build}-{}{kind}.{EXTENSION}", info.language)))
}

fn list(args: &CataloguesArgs) -> Result<ExitCode, Failure> {
    if let Some(path) = &args.catalogue {
        const COLUMNS: [Column; 2] = [Column::text("provider"), Column::text("guid").giving_way()];
        let catalogue = open(path)?;
        let rows: Vec<_> = catalogue
            .providers()
            .map(|(name, guid)| {
                vec![Cell::text(name), Cell::text(guid.map_or(String::new(), |g| g.to_string()))]
            })
            .collect();
        listing::print(&COLUMNS, &rows, &args.list)?;
        return Ok(ExitCode::SUCCESS);
    }
    const COLUMNS: [Column; 5] = [
        Column::text("catalogue").giving_way(),
        Column::text("build"),
        Column::text("language"),
        Column::text("kind"),
        Column::number("providers"),
    ];
    let console = Console::of(&args.list.terminal);
    let mut rows = Vec::new();
    let paths = installed();
    if paths.is_empty() {
        console.note(&format!("{NO_CATALOGUES}: {MAKE_ONE}"));
    }
    for path in paths {
        match open(&path) {
            Ok(catalogue) => {
                let info = catalogue.info();
                let providers = catalogue.providers().len();
                let language =
                    info.language.name().map_or_else(|| info.language.to_string(), str::to_owned);
                rows.push(vec![
                    Cell::new(
                        path.display().to_string(),
                        path.file_name().unwrap_or_default().to_string_lossy(),
                    ),
                    Cell::text(info.build.clone()),
                    Cell::text(language),
                    Cell::text(kind(info.kind)),
                    Cell::new(providers, providers.to_string()),
                ]);
            }
            Err(failure) => console.warning(&failure.to_string()),
        }
    }
    listing::print(&COLUMNS, &rows, &args.list)?;
    // A table has the files' names only.
    if let (Some(folder), false) = (data_folder(), rows.is_empty()) {
        console.note(&format!("they are in {}", folder.display()));
    }
    Ok(ExitCode::from(u8::from(rows.is_empty())))
}

fn kind(kind: CatalogueKind) -> &'static str {
    match kind {
        CatalogueKind::Files => "files",
        CatalogueKind::Server => "server",
        _ => "foreign",
    }
}

fn show(args: &ShowMessageArgs) -> Result<ExitCode, Failure> {
    let paths = match &args.catalogue {
        Some(path) => vec![path.clone()],
        None => installed(),
    };
    if paths.is_empty() {
        return Err(no_catalogues());
    }
    let mut out = Vec::new();
    let mut is_there = false;
    for path in &paths {
        let catalogue = open(path)?;
        if let Some(provider) = catalogue.provider(&args.provider, None) {
            is_there = true;
            describe(&provider, args.id, &mut out);
            if !out.is_empty() {
                break;
            }
        }
    }
    if out.is_empty() {
        let provider = &args.provider;
        let (what, hint) = match (args.id, is_there) {
            (Some(id), true) => (
                format!("no catalogue has event {id} of {provider}"),
                "without the number, quarry messages show lists the provider's events",
            ),
            (None, true) => (
                format!("no catalogue has messages of {provider}"),
                "its files may have them in .mui files, which quarry messages build reads beside them",
            ),
            (_, false) => (
                format!("no catalogue has the provider {provider}"),
                "quarry messages list FILE lists a catalogue's providers",
            ),
        };
        return Err(Failure::new(what).hint(hint));
    }
    // Messages are from files that anybody may have made.
    let plain = |c: char| if matches!(c, '\n' | '\t') { c } else { harmless(c) };
    let text: String = String::from_utf8_lossy(&out).replace('\r', "").chars().map(plain).collect();
    let mut out = io::stdout().lock();
    delivered(out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Closed::from))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes what is known of a provider's events, or of one: the events of its manifest, and where that has
/// none, the messages, whose identifiers end in the numbers of events.
fn describe(provider: &ProviderTexts, id: Option<u16>, out: &mut Vec<u8>) {
    if let Some(manifest) = &provider.provider().manifest {
        describe_events(provider, manifest, id, out);
    }
    if !out.is_empty() {
        return;
    }
    match id {
        Some(id) => {
            for message in provider.messages_of(id) {
                let text = message.1.trim_end();
                let _ = writeln!(out, "{id} (message {:#010x})\n{text}\n", message.0);
            }
        }
        None => {
            for (message, text) in provider.messages() {
                let first = text.lines().next().unwrap_or_default();
                let _ = writeln!(out, "{} (message {message:#010x})\n    {first}", message as u16);
            }
        }
    }
}

fn describe_events(
    provider: &ProviderTexts,
    manifest: &Manifest,
    id: Option<u16>,
    out: &mut Vec<u8>,
) {
    for event in manifest.events.iter().filter(|event| id.is_none_or(|id| id == event.id)) {
        let text = event.message.and_then(|id| provider.message(id)).unwrap_or_default();
        let _ = writeln!(out, "{} version {}", event.id, event.version);
        if id.is_none() {
            let first = text.lines().next().unwrap_or_default();
            let _ = writeln!(out, "    {first}");
            continue;
        }
        let _ = writeln!(out, "{}", text.trim_end());
        let template = event.template.and_then(|at| manifest.templates.get(at as usize));
        let fields = template.map_or(&[][..], |template| &template.fields);
        for (number, field) in fields.iter().enumerate() {
            let kind = field.in_type.as_str().unwrap_or("struct");
            let _ = writeln!(out, "    %{} {} {kind}", number + 1, field.name);
        }
        let _ = writeln!(out);
    }
}

fn verify(args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let console = Console::new(When::Auto, false);
    let paths = match args.catalogues.is_empty() {
        true => installed(),
        false => args.catalogues.clone(),
    };
    if paths.is_empty() {
        return Err(no_catalogues());
    }
    let mut damaged = 0;
    for path in &paths {
        let shown = path.display();
        match Catalogue::open(path).and_then(|catalogue| catalogue.verify()) {
            Ok(()) => console.note(&format!("{shown}: whole")),
            Err(error) => {
                console.error(&failure(&shown.to_string(), &error));
                damaged += 1;
            }
        }
    }
    Ok(ExitCode::from(match damaged {
        0 => 0,
        _ if damaged == paths.len() => 2,
        _ => 3,
    }))
}

fn no_catalogues() -> Failure {
    Failure::new(NO_CATALOGUES).hint(MAKE_ONE)
}

fn open(path: &Path) -> Result<Catalogue, Failure> {
    Catalogue::open(path).map_err(|e| failure(&path.display().to_string(), &e))
}

fn failure(what: &str, error: &Error) -> Failure {
    Failure::new(format!("{what}: {}", text(error)))
}

fn text(error: &Error) -> String {
    match error {
        Error::Io(error) => plain(error),
        error => error.to_string(),
    }
}
