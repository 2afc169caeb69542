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
use super::table::{Row, Table};
use crate::sh;

const RECORDS: u32 = 20_000;
const ROUNDS: usize = 3;

pub(super) fn run(table: &mut Table) -> Result<()> {
    let program = super::build()?;
    let server = SambaServer::start(&[]).context("Samba's smbd can't be started here")?;
    server.open_logs();
    server.fill("System", &(1..=RECORDS).map(record).collect::<Vec<_>>());
    let (ours, theirs_of_server) = quarry(&program, &server)?;
    let theirs = impacket(&server)?;
    println!("\n{RECORDS} records of Samba's over MS-EVEN, to JSON lines");
    table.add(Row {
        work: format!("{RECORDS} records over MS-EVEN, processor time"),
        against: "impacket, without decoding",
        ours: ours.cpu,
        theirs,
        unit: "s",
        goal: Some((0.1, 0.05)),
    });
    table.add(Row {
        work: "the same, wall time".to_owned(),
        against: "the server's processor time meanwhile",
        ours: ours.wall,
        theirs: theirs_of_server,
        unit: "s",
        goal: None,
    });
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
fn quarry(quarry: &str, server: &SambaServer) -> Result<(Cost, f64)> {
    let password = tempfile::NamedTempFile::new()?;
    std::fs::write(password.path(), SambaServer::PASSWORD)?;
    let url = format!("even://127.0.0.1:{}", server.port);
    let file = password.path().to_string_lossy().into_owned();
    let words = [
        quarry,
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
