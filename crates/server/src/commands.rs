//! The commands that look at a configuration or at its store, and end.

use std::fmt::Write as _;
use std::path::Path;

use quarry_program::error::Failure;
use quarry_program::public;
use quarry_store::Leftover;

use crate::args::ExpireArgs;
use crate::collect::console;
use crate::config::{Config, Writers};
use crate::serve::{follower, of_store, open, policy, rules, runtime, say, servers, shown};

/// `quarryd check`: what a configuration means.
pub(crate) fn check(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    // What a collector would refuse when it starts is refused here.
    let address = config.store.address(&config.folder);
    quarry_store::check_address(&address).map_err(|error| of_store(&error))?;
    let columns = quarry_store::schema::schema(&config.store.columns);
    columns.map_err(|error| Failure::new(format!("store.columns: {error}")))?;
    rules(&config)?;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{name:<10} {value}");
    };
    line("store", config.store.address(&config.folder));
    line(
        "writers",
        match config.store.writers {
            Writers::One => "this process alone".to_owned(),
            Writers::Several => "several collectors, which share the servers".to_owned(),
        },
    );
    line(
        "keeps",
        match config.store.retention() {
            None => "every event, for ever".to_owned(),
            Some(time) => format!("events of the last {} days", time.as_secs() / 86_400),
        },
    );
    line(
        "commits",
        format!(
            "every {} s, or {} MB",
            config.store.flush_every().as_secs(),
            config.store.flush_bytes() >> 20
        ),
    );
    let page = match &config.page {
        None => "none".to_owned(),
        Some(page) => match page.public(&config.folder) {
            None => format!("on {}", page.listen),
            Some(public) => {
                public::check(&public, &config.inventory)?;
                let (listen, rules) = (page.listen, public.access.display());
                format!(
                    "on {listen}, for the accounts that {rules} lets in, served by {}",
                    public.run_as
                )
            }
        },
    };
    line("page", page);
    if !config.store.columns.is_empty() {
        line("columns", config.store.columns.join(", "));
    }
    if !config.detect.is_empty() {
        let paths = config.detect.iter().map(|path| path.display().to_string());
        line("rules", paths.collect::<Vec<_>>().join(", "));
    }
    line("follows", format!("{} servers", config.followed.len()));
    for followed in &config.followed {
        let logs = match (&*followed.logs, &*followed.entry.logs) {
            ([], []) => quarry_fleet::DEFAULT_LOG.to_owned(),
            ([], own) => own.join(", "),
            (logs, _) => logs.join(", "),
        };
        let _ = writeln!(text, "  {}: {logs}", followed.entry.name);
    }
    say(&text)?;
    // Whoever collects may be able to read what whoever checks isn't.
    let mut signed = servers(&config);
    for followed in &config.followed {
        if let Err(failure) = signed.open(&followed.entry) {
            console().warning(&format!("{}: {}", followed.entry.name, failure.message));
        }
    }
    Ok(())
}

/// `quarryd store info`.
pub(crate) fn info(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let store = runtime()?.block_on(open(&config, true))?;
    let mut text = format!("{}\nversion {}\n", store.url(), store.version());
    let mut bookmarks = store.bookmarks();
    bookmarks.sort_by(|a, b| (&a.source, &a.log).cmp(&(&b.source, &b.log)));
    for bookmark in bookmarks {
        let _ = writeln!(
            text,
            "{}  {}  record {}  {}",
            bookmark.source,
            bookmark.log,
            bookmark.record,
            shown(bookmark.time)
        );
    }
    say(&text)
}

/// `quarryd store maintain`.
pub(crate) fn maintain(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let runtime = runtime()?;
    // Nothing is made where a mistyped address leads.
    runtime.block_on(open(&config, true))?;
    let store = runtime.block_on(open(&config, false))?;
    let report = runtime.block_on(store.maintain(&policy(&config)));
    let report = report.map_err(|error| of_store(&error))?;
    if report.busy {
        return say("another process maintains the table\n");
    }
    say(&format!(
        "{} small files became {}; {} files with {} events were too old; {} files were deleted\n",
        report.merged, report.slices, report.expired_files, report.expired_rows, report.vacuumed
    ))
}

/// `quarryd store expire`.
pub(crate) fn expire(args: &ExpireArgs) -> Result<(), Failure> {
    let config = Config::load(&args.config)?;
    let runtime = runtime()?;
    runtime.block_on(open(&config, true))?;
    let store = runtime.block_on(open(&config, args.dry_run))?;
    let found = match args.dry_run {
        true => runtime.block_on(store.leftovers(args.older_than)).map(Some),
        false => runtime.block_on(store.expire(args.older_than)),
    };
    let Some(found) = found.map_err(|error| of_store(&error))? else {
        return say("another process maintains the table\n");
    };
    let mut text = String::new();
    for Leftover { path, bytes, age, .. } in &found {
        let hours = age.as_secs() / 3600;
        let _ = writeln!(text, "{path}  {bytes} bytes  {hours} hours old");
    }
    let bytes: u64 = found.iter().map(|file| file.bytes).sum();
    let done = if args.dry_run { "would be" } else { "were" };
    let _ = writeln!(text, "{} files with {bytes} bytes {done} deleted", found.len());
    say(&text)
}

/// `quarryd status`: who has what.
pub(crate) fn status(path: &Path) -> Result<(), Failure> {
    let config = Config::load(path)?;
    let runtime = runtime()?;
    let store = runtime.block_on(open(&config, true))?;
    let members = runtime.block_on(store.members()).map_err(|error| of_store(&error))?;
    let bookmarks = store.bookmarks();
    let mut text = String::new();
    if config.store.writers == Writers::Several {
        let _ = writeln!(text, "{} collectors", members.len());
        for member in &members {
            let _ = writeln!(
                text,
                "  {}  seen {} s ago  {}",
                member.name,
                member.age.as_secs(),
                member.id
            );
        }
    }
    let names = config.followed.iter().map(|followed| followed.entry.name.as_str());
    let width = names.map(|name| name.chars().count()).max().unwrap_or_default();
    for followed in &config.followed {
        let name = &followed.entry.name;
        let logs = bookmarks.iter().filter(|bookmark| host(&bookmark.source) == name.as_str());
        let newest = logs.filter_map(|bookmark| bookmark.time).max();
        let by = follower(&members, name).map_or_else(String::new, |by| format!("  by {by}"));
        let newest = match newest {
            Some(time) => format!("  stored to {time}"),
            None => "  nothing stored".to_owned(),
        };
        let _ = writeln!(text, "{:<width$}{newest}{by}", name.as_str());
    }
    say(&text)
}

/// The host in a source's address.
fn host(source: &str) -> &str {
    let rest = source.split_once("://").map_or(source, |(_, rest)| rest);
    let end = if rest.starts_with('[') {
        rest.find(']').map(|end| end + 1)
    } else {
        rest.find([':', '?'])
    };
    let host = &rest[..end.unwrap_or(rest.len())];
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn the_host_of_an_address_has_no_ports_and_no_brackets() {
        assert_eq!(host("even6://dc01.corp"), "dc01.corp");
        assert_eq!(host("even6://dc01.corp:40135?endpoint=5"), "dc01.corp");
        assert_eq!(host("even6://[::1]:40135"), "::1");
        assert_eq!(host("even://fred?endpoint=1"), "fred");
    }
}
