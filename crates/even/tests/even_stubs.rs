//! The stubs of MS-EVEN's operations: round trips, hostile bytes, and what Samba's
//! `ndrdump` reads in them.

use std::collections::BTreeSet;
use std::process::Command;

use proptest::prelude::*;
use quarry_even::even::*;
use quarry_even::wire::{Direction, Message};
use quarry_rpc::ndr::ContextHandle;
use quarry_rpc::smb::NtStatus;
use uuid::Uuid;

struct Sample {
    opnum: Opnum,
    direction: Direction,
    stub: Vec<u8>,
}

fn sample<M: Message>(opnum: Opnum, direction: Direction, message: M) -> Sample {
    Sample { opnum, direction, stub: message.encode().unwrap() }
}

macro_rules! samples {
    ($($operation:ident: $request:expr => $response:expr;)*) => {
        vec![$(
            sample(<$operation as Operation>::OPNUM, Direction::Request, $request),
            sample(<$operation as Operation>::OPNUM, Direction::Response, $response),
        )*]
    };
}

fn samples() -> Vec<Sample> {
    let log = LogHandle(ContextHandle { attributes: 0, uuid: Uuid::from_u128(0x0102_0304) });
    let none = LogHandle::default();
    let server = ServerName(None);
    let (status, major, minor) = (NtStatus::SUCCESS, 1, 1);
    let name = || "Röck 岩 Log".into();
    let empty = || "".into();
    samples! {
        ClearELFW: ClearELFWRequest { log, backup: None } => ClearELFWResponse { status };
        ClearELFW: ClearELFWRequest { log, backup: Some(name()) } =>
            ClearELFWResponse { status: NtStatus::ACCESS_DENIED };
        BackupELFW: BackupELFWRequest { log, backup: name() } => BackupELFWResponse { status };
        CloseEL: CloseELRequest { log } => CloseELResponse { log: none, status };
        DeregisterEventSource: DeregisterEventSourceRequest { log } =>
            DeregisterEventSourceResponse { log: none, status };
        NumberOfRecords: NumberOfRecordsRequest { log } =>
            NumberOfRecordsResponse { records: 4711, status };
        OldestRecord: OldestRecordRequest { log } => OldestRecordResponse { oldest: 812, status };
        ChangeNotify: ChangeNotifyRequest { log, process: 1, thread: 2, event: 3 } =>
            ChangeNotifyResponse { status };
        OpenELW: OpenELWRequest { server, module: name(), reg_module: empty(), major, minor } =>
            OpenELWResponse { log, status };
        OpenELW: OpenELWRequest {
            server: ServerName(Some(0x5c)), module: "Security".into(), reg_module: empty(), major,
            minor,
        } => OpenELWResponse { log: none, status: NtStatus::OBJECT_PATH_INVALID };
        RegisterEventSourceW: RegisterEventSourceWRequest {
            server, module: name(), reg_module: empty(), major, minor,
        } => RegisterEventSourceWResponse { log, status };
        OpenBELW: OpenBELWRequest { server, backup: name(), major, minor } =>
            OpenBELWResponse { log, status };
        ReadELW: ReadELWRequest {
            log, flags: ReadFlags::SEEK | ReadFlags::FORWARDS, offset: 812, wanted: UpTo(7),
        } => ReadELWResponse { buffer: Buffer(b"records".to_vec()), read: 5, needed: 9, status };
        GetLogInformation: GetLogInformationRequest { log, level: 0, wanted: UpTo(4) } =>
            GetLogInformationResponse { buffer: Buffer(vec![1, 0, 0, 0]), needed: 4, status };
    }
}

#[test]
fn every_operation_that_reads_survives_a_round_trip() {
    let mut seen = BTreeSet::new();
    for sample in samples() {
        let again = reencode(sample.opnum, sample.direction, &sample.stub).unwrap();
        assert_eq!(again.as_ref(), Ok(&sample.stub), "{}", sample.opnum);
        seen.insert(sample.opnum);
    }
    for opnum in Opnum::ALL {
        let is_here = reencode(*opnum, Direction::Request, &[]).is_some();
        assert_eq!(is_here, seen.contains(opnum), "{opnum}");
        assert_eq!(Opnum::from_number(*opnum as u16), Some(*opnum));
    }
    assert_eq!(Opnum::from_number(19), None);
}

#[test]
fn every_truncation_of_a_stub_is_an_error_and_never_a_panic() {
    for sample in samples() {
        for len in 0..sample.stub.len() {
            let again = reencode(sample.opnum, sample.direction, &sample.stub[..len]).unwrap();
            assert!(again.is_err(), "{} {len} bytes", sample.opnum);
        }
    }
}

#[test]
fn more_bytes_than_the_definition_allows_are_neither_written_nor_read() {
    let log = LogHandle::default();
    let flags = ReadFlags::default();
    let request = ReadELWRequest { log, flags, offset: 0, wanted: UpTo(0x8_0000) };
    assert!(request.encode().is_err());
    let mut stub =
        ReadELWRequest { log, flags, offset: 0, wanted: UpTo(0x7_ffff) }.encode().unwrap();
    let at = stub.len() - 4;
    stub[at..].copy_from_slice(&0x8_0000u32.to_le_bytes());
    assert!(ReadELWRequest::decode(&stub).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn changed_stubs_decode_or_are_errors(
        which: prop::sample::Index,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u32>()), 1..4),
    ) {
        let samples = samples();
        let sample = which.get(&samples);
        let mut stub = sample.stub.clone();
        for (at, value) in changes {
            let at = at.index(stub.len() / 4) * 4;
            stub[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        if let Some(Ok(once)) = reencode(sample.opnum, sample.direction, &stub) {
            let twice = reencode(sample.opnum, sample.direction, &once).unwrap();
            prop_assert_eq!(twice.as_ref(), Ok(&once));
        }
    }
}

/// Samba's definitions, written by other people from the same document.
#[test]
fn sambas_ndrdump_accepts_every_stub() {
    if !quarry_testkit::has_program("ndrdump", "samba-testsuite") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let samples = samples();
    let mut wrong = Vec::new();
    let mut texts = Vec::new();
    for (n, sample) in samples.iter().enumerate() {
        let name = match sample.opnum {
            Opnum::NumberOfRecords => "GetNumRecords",
            Opnum::OldestRecord => "GetOldestRecord",
            Opnum::CloseEL => "CloseEventLog",
            Opnum::OpenELW => "OpenEventLogW",
            Opnum::OpenBELW => "OpenBackupEventLogW",
            Opnum::ReadELW => "ReadEventLogW",
            Opnum::ClearELFW => "ClearEventLogW",
            Opnum::BackupELFW => "BackupEventLogW",
            other => &other.name()[4..],
        };
        // There it has no parameters.
        if sample.opnum == Opnum::ChangeNotify && sample.direction == Direction::Request {
            continue;
        }
        let file = folder.path().join(format!("{n}.ndr"));
        std::fs::write(&file, &sample.stub).unwrap();
        let mut command = Command::new("ndrdump");
        command.args(["--validate", "eventlog", &format!("eventlog_{name}")]);
        if sample.direction == Direction::Request {
            command.arg("in").arg(&file);
        } else {
            // Some responses need a parameter of their request to be read.
            let context = folder.path().join(format!("{n}.context"));
            std::fs::write(&context, &samples[n - 1].stub).unwrap();
            command.arg("-c").arg(&context).arg("out").arg(&file);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let complains = text
            .lines()
            .filter(|line| !line.contains("context file"))
            .filter(|line| !line.contains("returned Success"))
            .any(|line| line.contains("WARNING") || line.contains("returned"));
        if complains || !output.status.success() || !text.contains("dump OK") {
            wrong.push(format!("{}: {:02x?}: {text}", sample.opnum, sample.stub));
        }
        texts.push(text);
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), samples.len(), wrong.join("\n"));
    // That the right fields were read, not only as many.
    let all = texts.concat();
    for shown in [
        ": 'Röck 岩 Log'",
        ": 'Security'",
        "01020304",
        ": 0x0000032c (812)",
        ": 0x00001267 (4711)",
        "number_of_bytes          : 0x00000007 (7)",
        "NT_STATUS_OBJECT_PATH_INVALID",
        "1: EVENTLOG_SEEK_READ",
        "0: EVENTLOG_SEQUENTIAL_READ",
        "1: EVENTLOG_FORWARDS_READ",
    ] {
        assert!(all.contains(shown), "{shown} is not in\n{all}");
    }
}

/// Writes the seeds of the fuzz target `ndr_even`.
#[test]
#[ignore = "writes into fuzz/seeds; run it when the samples change"]
fn write_the_seeds_of_the_fuzz_target() {
    let folder = quarry_testkit::root().join("fuzz/seeds/ndr_even");
    std::fs::create_dir_all(&folder).unwrap();
    for (n, sample) in samples().iter().enumerate() {
        let direction = u8::from(sample.direction == Direction::Response);
        let stub = [&[sample.opnum as u8, direction], &sample.stub[..]].concat();
        std::fs::write(folder.join(format!("{n:02}-{}", sample.opnum)), stub).unwrap();
    }
}
