//! Compresses `assets/*`, names each by its hash, and writes a table of them for `src/assets.rs`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=assets");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut paths: Vec<PathBuf> =
        fs::read_dir("assets")?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.retain(|path| kind(path).is_some());
    paths.sort();
    let files = paths.iter().map(|path| Ok((name(path), fs::read(path)?)));
    let mut files = files.collect::<io::Result<Vec<(String, Vec<u8>)>>>()?;
    // Modules import each other by the names that they are served by. The hash of one doesn't
    // cover those of what it imports, so all scripts have one hash.
    let mut scripts = Sha256::new();
    files
        .iter()
        .filter(|(name, _)| name.ends_with(".js"))
        .for_each(|(_, text)| scripts.update(text));
    let scripts = hex(&scripts.finalize());
    let served = |name: &str, text: &[u8]| match name.strip_suffix(".js") {
        Some(stem) => format!("{stem}.{scripts}.js"),
        None => {
            let (stem, kind) = name.rsplit_once('.').unwrap_or((name, ""));
            format!("{stem}.{}.{kind}", hex(&Sha256::digest(text)))
        }
    };
    let names: Vec<(String, String)> =
        files.iter().map(|(name, text)| (name.clone(), served(name, text))).collect();
    for (name, text) in files.iter_mut().filter(|(name, _)| name.ends_with(".js")) {
        let source = String::from_utf8(std::mem::take(text))
            .map_err(|_| io::Error::other(format!("{name} is not UTF-8")))?;
        *text = names
            .iter()
            .fold(source, |source, (name, served)| {
                source.replace(&format!("\"./{name}\""), &format!("\"./{served}\""))
            })
            .into_bytes();
    }
    let mut table = String::from("pub(crate) const ASSETS: &[Asset] = &[\n");
    for ((name, text), (_, served)) in files.iter().zip(&names) {
        let (plain, packed) = (out.join(name), out.join(format!("{name}.gz")));
        fs::write(&plain, text)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text)?;
        fs::write(&packed, encoder.finish()?)?;
        let kind = kind(Path::new(name)).unwrap_or_default();
        let _ = writeln!(
            table,
            "    Asset {{ name: {name:?}, served: {served:?}, kind: {kind:?}, \
             plain: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")), \
             gzip: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}.gz\")) }},"
        );
    }
    table.push_str("];\n");
    fs::write(out.join("assets.rs"), table)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The media type of a file that is served.
fn kind(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()? {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}
