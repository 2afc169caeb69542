//! Reading a log over MS-EVEN from Samba, beside impacket.
//!
//! | what | goal |
//! |---|---|
//! | processor time for the same records, beside impacket without decoding | a tenth |
//! | wall time, beside the processor time that the server takes meanwhile | no more than the server allows |

use anyhow::{Context, Result, bail, ensure};
use quarry_testkit::SambaServer;
use serde_json::{Value as Json, json};

use super::measure::{Cost, cost};
use crate::sh;

const RECORDS: u32 = 20_000;
const ROUNDS: usize = 3;

pub(crate) fn run() -> Result<()> {
    let mut build = sh::command("cargo", &["build", "--release", "--locked", "-p", "quarry-cli"]);
    sh::run_command(&mut build)?;
    let server = SambaServer::start(&[]).context("Samba's smbd can't be started here")?;
    server.open_logs();
    server.fill("System", &(1..=RECORDS).map(record).collect::<Vec<_>>());
    let (ours, theirs_of_server) = quarry(&server)?;
    let theirs = impacket(&server)?;
    println!("\n{RECORDS} records of Samba's over MS-EVEN, to JSON lines");
    println!(
        "processor time beside impacket's, which decodes nothing: 1/{:.0} (goal 1/10)",
        theirs / ours.cpu
    );
    println!(
        "wall time beside the processor time of the server meanwhile: {:.2}",
        ours.wall / theirs_of_server
    );
    Ok(())
}

fn record(n: u32) -> Json {
    let strings: Vec<String> = (0..n % 4).map(|k| format!("yabba dabba {n}.{k}")).collect();
    json!({
        "time_generated": 1_700_000_000 + n, "time_written": 1_700_000_000 + n,
        "event_id": n % 60_000, "type": 4, "category": n % 8, "source": "Slate",
        "computer": "QUARRY", "sid": null, "strings": strings, "data": "",
    })
}

/// The best of some runs, and the processor time that the server took in that one.
fn quarry(server: &SambaServer) -> Result<(Cost, f64)> {
    let password = tempfile::NamedTempFile::new()?;
    std::fs::write(password.path(), SambaServer::PASSWORD)?;
    let quarry = sh::target().join("release").join("quarry").to_string_lossy().into_owned();
    let url = format!("even://127.0.0.1:{}", server.port);
    let file = password.path().to_string_lossy().into_owned();
    let words = [
        &*quarry,
        "scan",
        &url,
        "-q",
        "-o",
        "jsonl",
        "-u",
        SambaServer::USER,
        "--password-file",
        &file,
    ]
    .map(str::to_owned);
    let mut best: Option<(Cost, f64)> = None;
    for _ in 0..ROUNDS {
        let before = server.processor_time();
        let new = cost(&words)?;
        let of_server = server.processor_time() - before;
        if best.is_none_or(|(best, _)| new.wall < best.wall) {
            best = Some((new, of_server));
        }
    }
    best.context("no rounds")
}

/// The processor time that impacket takes for the same records.
fn impacket(server: &SambaServer) -> Result<f64> {
    let folder = sh::root().join("xtask/src/bench/impacket");
    let python = quarry_testkit::python("bench-impacket", &folder.join("requirements.txt"));
    let script = folder.join("read_classic.py").to_string_lossy().into_owned();
    let port = server.port.to_string();
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        let words = [&*script, &port, SambaServer::USER, SambaServer::PASSWORD, "System"];
        let output = sh::output(&python.to_string_lossy(), &words)?;
        let numbers: Vec<f64> = output.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let &[records, cpu] = &*numbers else { bail!("read_classic.py printed {output:?}") };
        ensure!(records == f64::from(RECORDS), "impacket read {records} records");
        least = least.min(cpu);
    }
    Ok(least)
}
