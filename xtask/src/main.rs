//! The project's own tasks: `cargo xtask test`, `bench`, `fuzz`.

mod bench;
mod windows;

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["windows"] => windows::run(),
        ["bench", "lock"] => bench::lock::run(),
        ["bench", "lock-peer", how, path] => bench::lock::peer(how, path.as_ref()),
        other => bail!("no such task: {other:?}"),
    }
}
