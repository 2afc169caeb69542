//! Checks that no more than a few files of a crate use each other in a circle.
//!
//! A file uses another where a path of it (`crate::…`, `super::…`, or a child's name in a private
//! `use`) leads to an item of the other, through re-exports. Tests may use what they like.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The most files of a circle.
const MOST: usize = 5;

/// Re-exports of re-exports that are followed.
const MOST_REEXPORTS: usize = 8;

/// A module's path in its crate.
type Module = Vec<String>;

/// Fails when a crate in `crates` or this one has a circle of more than [`MOST`] files.
pub(crate) fn check() -> Result<()> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::from("xtask")];
    for entry in fs::read_dir("crates").context("crates")? {
        folders.push(entry?.path());
    }
    folders.sort();
    for folder in &folders {
        let mut files = BTreeMap::new();
        read(&folder.join("src"), &Vec::new(), &mut files)?;
        for circle in circles(&files) {
            let names = circle.iter().map(|module| format!("\n    {}", name(module)));
            found.push(format!(
                "{}: {} files use each other:{}",
                folder.display(),
                circle.len(),
                names.collect::<String>()
            ));
        }
    }
    if !found.is_empty() {
        bail!("no circle may have over {MOST} files\n  {}", found.join("\n  "));
    }
    println!("no circle of over {MOST} files in {} crates", folders.len());
    Ok(())
}

fn name(module: &Module) -> String {
    if module.is_empty() { "the crate's root".to_owned() } else { module.join("::") }
}

/// The text of each module's file.
fn read(folder: &Path, module: &Module, files: &mut BTreeMap<Module, String>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let child = || module.iter().cloned().chain([stem.clone()]).collect::<Module>();
        if path.is_dir() {
            read(&path, &child(), files)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") && stem != "tests" {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            let module = match &*stem {
                "mod" | "lib" | "main" => module.clone(),
                _ => child(),
            };
            files.entry(module).or_default().push_str(&text);
        }
    }
    Ok(())
}

/// What a file says of others.
#[derive(Default)]
struct Uses {
    /// Absolute paths that it uses.
    paths: Vec<Vec<String>>,
    /// Names that it re-exports, and what they are.
    reexports: HashMap<String, Vec<String>>,
}

fn circles(files: &BTreeMap<Module, String>) -> Vec<Vec<&Module>> {
    let is_module = |path: &[String]| files.contains_key(path);
    let uses: BTreeMap<&Module, Uses> =
        files.iter().map(|(module, text)| (module, uses(module, text, &is_module))).collect();
    let target = |path: &[String]| {
        let mut path = path.to_vec();
        for _ in 0..MOST_REEXPORTS {
            let length = (0..=path.len()).rev().find(|length| is_module(&path[..*length]))?;
            let reexports = &uses.get(&path[..length].to_vec())?.reexports;
            match path.get(length).and_then(|name| reexports.get(name)) {
                Some(to) if to.len() > length || to[..] != path[..] => {
                    path = to.iter().chain(&path[length + 1..]).cloned().collect();
                }
                _ => return Some(path[..length].to_vec()),
            }
        }
        None
    };
    let edges: BTreeMap<&Module, BTreeSet<Module>> = uses
        .iter()
        .map(|(module, uses)| {
            let targets = uses.paths.iter().filter_map(|path| target(path));
            (*module, targets.filter(|target| target != *module).collect())
        })
        .collect();
    let reach: BTreeMap<&Module, BTreeSet<&Module>> =
        edges.keys().map(|module| (*module, reachable(module, &edges))).collect();
    let mut circles: Vec<Vec<&Module>> = Vec::new();
    for (module, reached) in &reach {
        let is_back = |other: &&&Module| reach[*other].contains(*module);
        let circle: Vec<&Module> = reached.iter().filter(is_back).copied().collect();
        if circle.len() > MOST && circle.first() == Some(module) {
            circles.push(circle);
        }
    }
    circles
}

fn reachable<'m>(
    from: &Module,
    edges: &BTreeMap<&'m Module, BTreeSet<Module>>,
) -> BTreeSet<&'m Module> {
    let mut reached = BTreeSet::new();
    let mut waiting: Vec<&Module> = edges[from].iter().collect();
    while let Some(module) = waiting.pop() {
        let Some((module, next)) = edges.get_key_value(module) else { continue };
        if reached.insert(*module) {
            waiting.extend(next);
        }
    }
    reached
}

/// Finds the paths of a file, without its tests.
fn uses(module: &Module, text: &str, is_module: &impl Fn(&[String]) -> bool) -> Uses {
    let tokens = tokens(text);
    let mut uses = Uses::default();
    let mut at = 0;
    let mut is_public = false;
    while at < tokens.len() {
        if is_test(&tokens[at..]) {
            at = after_item(&tokens, at);
            continue;
        }
        match &*tokens[at] {
            "use" => {
                let end = tokens[at..].iter().position(|token| token == ";");
                let end = end.map_or(tokens.len(), |end| at + end);
                for (path, alias) in tree(&tokens[at + 1..end]) {
                    let Some(path) = absolute(module, &path, is_module) else { continue };
                    if is_public {
                        uses.reexports.insert(alias, path);
                    } else {
                        uses.paths.push(path);
                    }
                }
                at = end;
            }
            "crate" | "super" if at == 0 || tokens[at - 1] != "(" && tokens[at - 1] != "::" => {
                let mut path = vec![tokens[at].clone()];
                while tokens.get(at + 1).is_some_and(|token| token == "::")
                    && tokens.get(at + 2).is_some_and(|token| is_name(token))
                {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                uses.paths.extend(absolute(module, &path, is_module));
            }
            _ => {}
        }
        // `pub use`, `pub(crate) use`, `pub(in crate::a) use`.
        is_public = match tokens.get(at).map_or("", |token| token) {
            "pub" => true,
            "(" | ")" | "crate" | "super" | "in" | "self" => is_public,
            _ => false,
        };
        at += 1;
    }
    uses
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// A path from the crate's root; nothing where it leads out of the crate.
fn absolute(
    module: &Module,
    path: &[String],
    is_module: &impl Fn(&[String]) -> bool,
) -> Option<Vec<String>> {
    let mut from = module.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            from.clear();
            rest = &path[1..];
        }
        "super" | "self" => {
            while let Some((first, more)) = rest.split_first() {
                match first.as_str() {
                    "super" => drop(from.pop()?),
                    "self" => {}
                    _ => break,
                }
                rest = more;
            }
        }
        first => {
            let child: Vec<String> = from.iter().cloned().chain([first.to_owned()]).collect();
            if !is_module(&child) {
                return None;
            }
        }
    }
    from.extend_from_slice(rest);
    Some(from)
}

/// The paths of a `use`, each with the name that it gives.
fn tree(tokens: &[String]) -> Vec<(Vec<String>, String)> {
    let (mut found, mut prefix) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        match &*tokens[at] {
            "{" => {
                let end = closing(tokens, at);
                let mut from = at + 1;
                let (mut depth, mut here) = (0, at + 1);
                while here <= end {
                    match tokens.get(here).map_or("}", |token| token) {
                        "{" => depth += 1,
                        "}" if here < end => depth -= 1,
                        "," | "}" if depth == 0 => {
                            for (path, alias) in tree(&tokens[from..here.min(tokens.len())]) {
                                let is_self = path.last().is_some_and(|last| last == "self");
                                let mut whole: Vec<String> =
                                    prefix.iter().cloned().chain(path).collect();
                                let mut alias = alias;
                                if is_self {
                                    whole.pop();
                                    alias = whole.last().cloned().unwrap_or_default();
                                }
                                found.push((whole, alias));
                            }
                            from = here + 1;
                        }
                        _ => {}
                    }
                    here += 1;
                }
                return found;
            }
            "as" => {
                let alias = tokens.get(at + 1).cloned().unwrap_or_default();
                return vec![(prefix, alias)];
            }
            "::" => {}
            token => prefix.push(token.to_owned()),
        }
        at += 1;
    }
    if let Some(last) = prefix.last().cloned() {
        found.push((prefix, last));
    }
    found
}

/// Where the brace closes that opens at a place; the end where it doesn't.
fn closing(tokens: &[String], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

/// Whether an item begins that is compiled for tests only.
fn is_test(tokens: &[String]) -> bool {
    ["#", "[", "cfg", "(", "test", ")", "]"]
        .iter()
        .enumerate()
        .all(|(n, token)| tokens.get(n).is_some_and(|found| found == token))
}

/// Where the item ends whose attribute stands at a place.
fn after_item(tokens: &[String], at: usize) -> usize {
    let mut at = at + 7;
    while at < tokens.len() {
        match &*tokens[at] {
            "{" => return closing(tokens, at) + 1,
            ";" | "," => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// The names and signs of a file, without comments and literals.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = literal(rest) {
            length
        } else if is_name(&rest[..first.len_utf8()]) {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of a text or character that begins here; nothing where none does.
fn literal(text: &str) -> Option<usize> {
    let prefix = text.bytes().take(3).position(|byte| matches!(byte, b'"' | b'\'' | b'#'))?;
    if !text[..prefix].chars().all(|c| matches!(c, 'b' | 'r' | 'c')) {
        return None;
    }
    let is_raw = text[..prefix].contains('r');
    let body = &text[prefix..];
    if is_raw {
        let hashes = body.len() - body.trim_start_matches('#').len();
        if !body[hashes..].starts_with('"') {
            return None;
        }
        let end = format!("\"{}", "#".repeat(hashes));
        let found = body[hashes + 1..].find(&end);
        return Some(found.map_or(text.len(), |at| prefix + hashes + 1 + at + end.len()));
    }
    let quote = body.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    // A lifetime is no character.
    if quote == '\'' {
        let mut characters = body[1..].chars();
        match (characters.next()?, characters.next()?) {
            ('\\', _) | (_, '\'') => {}
            _ => return None,
        }
    }
    let mut is_escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return Some(prefix + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str) -> Module {
        path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn files(files: &[(&str, &str)]) -> BTreeMap<Module, String> {
        files.iter().map(|(path, text)| (module(path), (*text).to_owned())).collect()
    }

    /// Six files, each of which uses the next.
    fn ring() -> Vec<(&'static str, &'static str)> {
        vec![
            ("", "mod a; mod b; mod c; mod d; mod e; mod f; pub use b::Beta;"),
            ("a", "use crate::Beta;"),
            ("b", "use super::{c::{self, Gamma}, x};"),
            ("c", "fn f() { crate::d::g(\"crate::a\") } // crate::b"),
            ("d", "use crate::e::*;"),
            ("e", "pub(crate) fn f(x: crate::f::Phi) {}"),
            ("f", "use crate::a::Alpha as Other; const QUOTE: char = '\"';"),
        ]
    }

    #[test]
    fn a_circle_of_six_files_is_found_through_reexports_and_paths() {
        let ring = files(&ring());
        let found = circles(&ring);
        let names: Vec<String> = found[0].iter().map(|module| name(module)).collect();
        assert_eq!(
            (found.len(), names),
            (1, ["a", "b", "c", "d", "e", "f"].map(String::from).into())
        );
    }

    #[test]
    fn a_chain_is_no_circle_and_what_tests_texts_and_comments_say_is_no_use() {
        for (at, text) in [
            (6, ""),
            (6, "#[cfg(test)]\nmod tests { use crate::a::Alpha; }"),
            (6, "const A: &str = r#\"\" use crate::a::Alpha; \"#; /* use crate::a; */"),
            (6, "#[cfg(test)]\nuse crate::a::Alpha;"),
        ] {
            let mut ring = ring();
            ring[at].1 = text;
            assert!(circles(&files(&ring)).is_empty(), "{text}");
        }
    }

    #[test]
    fn a_parent_that_uses_its_children_is_part_of_their_circle() {
        let children = ["a", "b", "c", "d", "e"];
        let uses: String = children.iter().map(|child| format!("use {child}::X;")).collect();
        let mut all = vec![("".to_owned(), uses)];
        all.extend(children.iter().map(|child| ((*child).to_owned(), "use super::Y;".to_owned())));
        let all = all.iter().map(|(module, text)| (&**module, &**text)).collect::<Vec<_>>();
        assert_eq!(circles(&files(&all))[0].len(), 6);
    }
}
