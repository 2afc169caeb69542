//! Our stubs against those that the definitions in the rig make and read:
//! impacket's NDR engine, Scapy's, aiosmb's and the rig's own.

mod common;

use std::process::Command;

use common::{all_variants, handle};
use quarry_even::wire::*;
use quarry_even::*;
use quarry_rpc::ndr::{ContextHandle, WideString};
use quarry_testkit::even6_python;
use serde_json::Value;

/// Runs one of the rig's scripts, or a text of Python; one JSON value a line.
fn run(arguments: &[&str], script: Option<&str>) -> Option<Vec<Value>> {
    let (rig, python) = even6_python()?;
    let mut command = Command::new(python);
    command.current_dir(&rig).env("PYTHONPATH", &rig).env("PYTHONDONTWRITEBYTECODE", "1");
    match script {
        Some(script) => command.args(["-c", script]),
        None => command.arg("stubs.py"),
    };
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The places of referent ids and padding, whose values are free.
fn free(case: &Value) -> Vec<usize> {
    let places =
        |name: &str| case[name].as_array().unwrap().iter().map(|at| at.as_u64().unwrap() as usize);
    places("refs").flat_map(|at| at..at + 4).chain(places("pads")).collect()
}

fn assert_same(case: &Value, ours: &[u8]) {
    let theirs = bytes(case["rig"].as_str().unwrap());
    let name = format!("{} {}", case["name"], case["args"]);
    assert_eq!(ours.len(), theirs.len(), "{name}\n{}\n{}", hex(ours), hex(&theirs));
    let free = free(case);
    for at in 0..ours.len() {
        assert!(free.contains(&at) || ours[at] == theirs[at], "{name}: byte {at} differs");
    }
    for at in case["refs"].as_array().unwrap() {
        let at = at.as_u64().unwrap() as usize;
        assert_ne!(ours[at..at + 4], [0; 4], "{name}: a pointer is null");
    }
}

/// The request for a case's arguments.
fn request(op: u64, args: &Value) -> Vec<u8> {
    let text = |name: &str| args[name].as_str().map(WideString::from);
    let long = |name: &str| args[name].as_u64().unwrap() as u32;
    let handle = match args["handle"].as_str() {
        None => {
            let uuid = std::array::from_fn(|n| 0xa0 + n as u8);
            ContextHandle { attributes: 0, uuid: uuid::Uuid::from_bytes_le(uuid) }
        }
        Some(hex) => {
            let uuid = bytes(&hex[8..]).try_into().unwrap();
            ContextHandle { attributes: 0, uuid: uuid::Uuid::from_bytes_le(uuid) }
        }
    };
    let stub = match op {
        0 => RegisterRemoteSubscriptionRequest {
            channel: text("channel"),
            query: text("query").unwrap(),
            bookmark: text("bookmark"),
            flags: SubscribeFlags(long("flags")),
        }
        .encode(),
        2 => RemoteSubscriptionNextRequest {
            handle: SubscriptionHandle(handle),
            requested: long("n"),
            timeout: long("timeout"),
            flags: long("flags"),
        }
        .encode(),
        5 => RegisterLogQueryRequest {
            path: text("path"),
            query: text("query").unwrap(),
            flags: QueryFlags(long("flags")),
        }
        .encode(),
        9 => MessageRenderRequest {
            publisher: PublisherMetadataHandle(handle),
            event_id: bytes(args["event_id"].as_str().unwrap()),
            message_id: long("message_id"),
            values: args["values"].as_array().unwrap().iter().map(variant).collect(),
            flags: long("flags"),
            max_size: long("max"),
        }
        .encode(),
        11 => QueryNextRequest {
            query: LogQueryHandle(handle),
            requested: long("n"),
            timeout: long("timeout"),
            flags: long("flags"),
        }
        .encode(),
        12 => QuerySeekRequest {
            query: LogQueryHandle(handle),
            position: args["pos"].as_i64().unwrap(),
            bookmark: text("bookmark"),
            timeout: long("timeout"),
            flags: SeekFlags(long("flags")),
        }
        .encode(),
        13 => CloseRequest { handle }.encode(),
        14 => CancelRequest { control: OperationControlHandle(handle) }.encode(),
        17 => OpenLogHandleRequest {
            channel: text("channel").unwrap(),
            flags: QueryFlags(long("flags")),
        }
        .encode(),
        18 => GetLogFileInfoRequest {
            log: LogHandle(handle),
            property: long("property"),
            buffer_size: long("size"),
        }
        .encode(),
        19 => GetChannelListRequest { flags: long("flags") }.encode(),
        22 => GetPublisherListRequest { flags: long("flags") }.encode(),
        24 => GetPublisherMetadataRequest {
            publisher: text("publisher"),
            log_file: text("log_path"),
            locale: long("lcid"),
            flags: long("flags"),
        }
        .encode(),
        other => panic!("the rig has a case of opnum {other} that this test does not know"),
    };
    stub.unwrap()
}

fn variant(pair: &Value) -> VariantValue {
    match pair[0].as_u64().unwrap() {
        2 => VariantValue::UInt32(pair[1].as_u64().unwrap() as u32),
        3 => VariantValue::UInt64(pair[1].as_u64().unwrap()),
        4 => VariantValue::from(pair[1].as_str().unwrap()),
        other => panic!("a variant of type {other}"),
    }
}

#[test]
fn our_request_stubs_equal_those_of_other_definitions() {
    let Some(cases) = run(&["--json"], None) else { return };
    assert!(cases.len() >= 25, "{} cases", cases.len());
    for case in &cases {
        assert_same(case, &request(case["op"].as_u64().unwrap(), &case["args"]));
        let witnesses = case["same"].as_array().unwrap();
        assert!(!witnesses.is_empty(), "nobody but the rig agrees on {}", case["name"]);
    }
}

/// Each answer that the rig makes is read, and written again as it was (an empty
/// answer has two lawful forms, of which we write the one).
#[test]
fn responses_of_other_definitions_are_read_and_written_alike() {
    let Some(cases) = run(&["--json", "--responses"], None) else { return };
    assert!(cases.len() >= 16, "{} cases", cases.len());
    for case in &cases {
        let stub = bytes(case["rig"].as_str().unwrap());
        let again = match case["op"].as_u64().unwrap() {
            0 => again::<RegisterRemoteSubscriptionResponse>(&stub),
            2 => again::<RemoteSubscriptionNextResponse>(&stub),
            5 => again::<RegisterLogQueryResponse>(&stub),
            9 => again::<MessageRenderResponse>(&stub),
            11 => again::<QueryNextResponse>(&stub),
            12 => again::<QuerySeekResponse>(&stub),
            13 => again::<CloseResponse>(&stub),
            14 => again::<CancelResponse>(&stub),
            17 => again::<OpenLogHandleResponse>(&stub),
            18 => again::<GetLogFileInfoResponse>(&stub),
            19 => again::<GetChannelListResponse>(&stub),
            22 => again::<GetPublisherListResponse>(&stub),
            24 => again::<GetPublisherMetadataResponse>(&stub),
            other => panic!("the rig has a response of opnum {other} that this test does not know"),
        };
        if !case["case"].as_str().unwrap().contains("zero-length") {
            assert_same(case, &again);
        }
    }
    let zero = cases.iter().find(|case| case["case"].as_str().unwrap().contains("zero-length"));
    let stub = bytes(zero.unwrap()["rig"].as_str().unwrap());
    let response = QueryNextResponse::decode(&stub).unwrap();
    assert!(response.batch.is_empty() && response.status == Win32Error::NO_MORE_ITEMS);
}

fn again<M: Message>(stub: &[u8]) -> Vec<u8> {
    M::decode(stub).unwrap().encode().unwrap()
}

#[test]
fn the_values_of_a_decoded_answer_are_those_that_were_put_in() {
    let Some(cases) = run(&["--json", "--responses"], None) else { return };
    let stub = |name: &str| {
        let case = cases.iter().find(|case| case["case"].as_str().unwrap().starts_with(name));
        bytes(case.unwrap()["rig"].as_str().unwrap())
    };
    let query = RegisterLogQueryResponse::decode(&stub("success, two channels")).unwrap();
    let channels: Vec<_> =
        query.channels.iter().map(|c| (c.name.as_ref().unwrap().to_string(), c.status.0)).collect();
    assert_eq!(channels, [("Security".to_owned(), 0), ("Nope/Admin".to_owned(), 15007)]);
    let events = QueryNextResponse::decode(&stub("three events")).unwrap();
    let records: Vec<_> = events.batch.records().map(|r| (r[0], r.len())).collect();
    assert_eq!(records, [(0x40, 21), (0x41, 22), (0x42, 23)]);
    let records = GetLogFileInfoResponse::decode(&stub("records = 32")).unwrap();
    assert_eq!(BinXmlVariant::decode(&records.buffer), Some(BinXmlVariant::UInt64(32)));
    let channels = GetChannelListResponse::decode(&stub("three channels")).unwrap();
    assert_eq!(channels.channels[2], "Ü/東");
    let text = MessageRenderResponse::decode(&stub("text")).unwrap();
    assert_eq!(text.message.texts(), ["Error"]);
    let metadata = GetPublisherMetadataResponse::decode(&stub("12 variants")).unwrap().properties;
    let guid = uuid::uuid!("54849625-5478-4994-a5ba-3e3b0328c30d");
    assert_eq!(metadata.0[0].value, VariantValue::Guid(Some(guid)));
    assert_eq!(metadata.0[1].value, VariantValue::from("c:\\a.dll"));
    assert_eq!(metadata.0[8].value, VariantValue::UInt32Array(vec![0, 1]));
}

/// Variants, which Samba's definition has wrong, read by the corrected
/// definition on impacket's NDR engine and by the rig's own.
#[test]
fn variants_of_every_type_are_read_by_other_definitions() {
    const SCRIPT: &str = r"
import json, sys
import stubs, even6wire as w6
stub = bytes.fromhex(sys.argv[1])
x = stubs.EvtRpcGetPublisherMetadataResponse(stub)
print(json.dumps(stubs.plain(x['pubMetadataProps']['props'])))
again = x.getData()
print(json.dumps([i for i in range(min(len(stub), len(again))) if stub[i] != again[i]] + [len(again) - len(stub)]))
r = w6.R(stub)
print(json.dumps([[t, v] for t, v in w6.get_variant_list(r)]))
print(json.dumps([r.handle().hex(), r.u32(), len(r.rest())]))
";
    let response = GetPublisherMetadataResponse {
        properties: all_variants(),
        handle: PublisherMetadataHandle(handle(8)),
        status: Win32Error::SUCCESS,
    };
    let Some(lines) = run(&[&hex(&response.encode().unwrap())], Some(SCRIPT)) else { return };
    let [impacket, again, rig, rest] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(impacket.as_array().unwrap().len(), all_variants().0.len(), "{impacket}");
    let shown = impacket.to_string();
    // Strings and GUIDs are shown as the bytes that they are.
    let dll: String = "c:\\a.dll\0".encode_utf16().map(|unit| hex(&unit.to_le_bytes())).collect();
    let guid = "2596845478549449a5ba3e3b0328c30d";
    for part in ["3735928559", "72623859790382856", "18446744073709551615", &dll, guid] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    // impacket writes the same again but for its padding, which is not zero.
    assert_eq!(again.as_array().unwrap().last(), Some(&0.into()), "{again}");
    let guid = "{54849625-5478-4994-a5ba-3e3b0328c30d}";
    let nil = "{00000000-0000-0000-0000-000000000000}";
    let expected = serde_json::json!([
        [1, true],
        [0, 0],
        [3, 72623859790382856u64],
        [1, false],
        [2, 3735928559u32],
        [4, "c:\\a.dll"],
        [5, guid],
        [6, [true, false, true]],
        [7, [1, 2, 3]],
        [8, [u64::MAX, 1]],
        [9, ["A/Admin", "Ü/東😀"]],
        [10, [guid, nil]],
        [4, null],
        [5, null],
        [7, []],
        [9, []],
    ]);
    assert_eq!(rig, &expected);
    assert_eq!(rest, &serde_json::json!([format!("00000000{}", "08".repeat(16)), 0, 0]));
}
