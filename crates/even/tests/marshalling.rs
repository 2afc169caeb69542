//! Every operation's stubs: round trips, hostile bytes, and what Samba's
//! `ndrdump` and the rig's other definitions say of them.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use common::{Sample, samples};
use proptest::prelude::*;
use quarry_even::Opnum;

#[test]
fn records_that_overlap_are_refused() {
    use quarry_even::wire::EventBatch;
    let batch = |offsets: &[u32], sizes: &[u32]| {
        EventBatch::new(offsets.to_vec(), sizes.to_vec(), vec![0; 10]).map(|batch| batch.len())
    };
    assert_eq!(batch(&[0, 4], &[4, 6]), Ok(2));
    assert_eq!(batch(&[4, 0], &[6, 4]), Ok(2));
    assert_eq!(batch(&[0, 0], &[10, 1]), Err(0));
    assert_eq!(batch(&[0, 1, 2], &[4, 4, 4]), Err(2));
    assert_eq!(batch(&[0, 8], &[4, 3]), Err(8));
    assert_eq!(batch(&[u32::MAX], &[u32::MAX]), Err(u32::MAX));
}

#[test]
fn every_operation_has_a_request_and_a_response_that_survive_a_round_trip() {
    let mut seen = BTreeSet::new();
    for sample in samples() {
        let again = (sample.again)(&sample.stub);
        assert_eq!(again.as_ref(), Ok(&sample.stub), "{} {}", sample.opnum, sample.is_request);
        seen.insert((sample.opnum, sample.is_request));
    }
    for opnum in Opnum::ALL {
        assert!(seen.contains(&(opnum, true)) && seen.contains(&(opnum, false)), "{opnum}");
    }
}

#[test]
fn every_truncation_of_a_stub_is_an_error_and_never_a_panic() {
    for sample in samples() {
        for len in 0..sample.stub.len() {
            let again = (sample.again)(&sample.stub[..len]);
            assert!(again.is_err(), "{} {} bytes", sample.opnum, len);
        }
    }
}

/// Found by the fuzz target `ndr`: a size was written beside a null pointer.
#[test]
fn bytes_that_belong_to_no_record_are_not_written() {
    let batch = quarry_even::wire::EventBatch::new(vec![], vec![], vec![1, 2, 3]).unwrap();
    let status = quarry_even::Win32Error::SUCCESS;
    let response = quarry_even::wire::QueryNextResponse { batch, status };
    assert_eq!(quarry_even::wire::Message::encode(&response), Ok(vec![0; 24]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_stubs_decode_or_are_errors(
        which: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..4),
    ) {
        let samples = samples();
        let sample = which.get(&samples);
        let mut stub = sample.stub.clone();
        for (at, value) in changes {
            if stub.len() >= 4 {
                let at = at.index(stub.len() / 4) * 4;
                stub[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        let _ = (sample.again)(&stub);
    }

    #[test]
    fn any_bytes_decode_or_are_errors(
        which: prop::sample::Index, stub in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let samples = samples();
        let _ = (which.get(&samples).again)(&stub);
    }
}

/// Samba's definitions, written by other people from the same document.
///
/// Where they are wrong, other witnesses are in `stubs.rs`:
/// - `EvtRpcClose` has its handle behind a pointer there; given that pointer,
///   the rest is compared.
/// - The channel of `EvtRpcGetPublisherListForChannel` and the answer of
///   `EvtRpcGetClassicLogDisplayName` are single characters there.
/// - A variant's union is behind a pointer there, so only empty lists compare.
#[test]
fn sambas_ndrdump_accepts_every_stub_and_reads_what_we_wrote() {
    if !quarry_testkit::has_program("ndrdump", "samba-testsuite") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let samples = samples();
    let mut wrong = Vec::new();
    let mut accepted = BTreeSet::new();
    for (n, sample) in samples.iter().enumerate() {
        if sample.has_variants {
            continue;
        }
        let complaints = ndrdump(folder.path(), n, sample, &samples);
        match (sample.opnum, sample.is_request) {
            (Opnum::GetPublisherListForChannel, true) => {}
            (Opnum::GetClassicLogDisplayName, false) if sample.stub.len() > 8 => {}
            _ if complaints.is_empty() => {
                accepted.insert((sample.opnum, sample.is_request));
            }
            _ => wrong.push(format!("{} {:02x?}: {complaints:?}", sample.opnum, sample.stub)),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), samples.len(), wrong.join("\n"));
    for opnum in Opnum::ALL {
        let excused = opnum == Opnum::GetPublisherListForChannel;
        assert!(excused || accepted.contains(&(opnum, true)), "{opnum} request");
        assert!(accepted.contains(&(opnum, false)), "{opnum} response");
    }
}

fn ndrdump(folder: &Path, n: usize, sample: &Sample, samples: &[Sample]) -> Vec<String> {
    let for_samba = |sample: &Sample| match sample.opnum {
        Opnum::Close => [&[0, 0, 2, 0], &sample.stub[..]].concat(),
        _ => sample.stub.clone(),
    };
    let file = folder.join(format!("{n}.ndr"));
    std::fs::write(&file, for_samba(sample)).unwrap();
    let mut command = Command::new("ndrdump");
    command.arg("--validate");
    if !sample.is_request {
        // Some responses need a parameter of their request to be read.
        let of_request = |other: &&Sample| {
            other.is_request && other.opnum == sample.opnum && !other.has_variants
        };
        let context = folder.join(format!("{n}.context"));
        std::fs::write(&context, for_samba(samples.iter().find(of_request).unwrap())).unwrap();
        command.arg("-c").arg(context);
    }
    command.args(["eventlog6", &format!("eventlog6_{}", sample.opnum)]);
    command.arg(if sample.is_request { "in" } else { "out" }).arg(&file);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    let mut complaints: Vec<String> = text
        .lines()
        .filter(|line| !line.contains("context file"))
        .filter(|line| line.contains("WARNING") || line.contains("returned"))
        .filter(|line| !line.contains("returned Success"))
        .map(str::to_owned)
        .collect();
    if !output.status.success() || !text.contains("dump OK") {
        complaints.push(format!("{}: {text}", output.status));
    }
    complaints
}

/// Writes the seeds of the fuzz targets `ndr` and `result_set`.
#[test]
#[ignore = "writes into fuzz/seeds; run it when the samples change"]
fn write_the_seeds_of_the_fuzz_targets() {
    let seeds = quarry_testkit::root().join("fuzz/seeds");
    for (n, sample) in samples().iter().enumerate() {
        let stub = [&[sample.opnum as u8, u8::from(!sample.is_request)], &sample.stub[..]].concat();
        std::fs::write(seeds.join(format!("ndr/{n:02}-{}", sample.opnum)), stub).unwrap();
    }
    let batch = common::batch();
    let record = [&[0], batch.records().next().unwrap()].concat();
    std::fs::write(seeds.join("result_set/record"), record).unwrap();
    let variant = [&[2], &quarry_even::BinXmlVariant::UInt64(32).encode()[..]].concat();
    std::fs::write(seeds.join("result_set/variant"), variant).unwrap();
    let bookmark = quarry_even::Bookmark::single("Security", 2004).to_xml();
    let bookmark = [b"\x03", bookmark.as_bytes()].concat();
    std::fs::write(seeds.join("result_set/bookmark"), bookmark).unwrap();
}
