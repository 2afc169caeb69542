//! The rig's clients (impacket, Scapy, aiosmb) against a small server made of
//! our halves: endpoint mapper, NTLM and SPNEGO, sealing, one query with a fixed
//! answer.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Arc, Mutex};

use quarry_even::wire::*;
use quarry_even::*;
use quarry_rpc::ndr::ContextHandle;
use quarry_rpc::security::{
    Acceptor, Accounts, NegotiateAcceptor, NtHash, NtlmAcceptor, NtlmTarget,
};
use quarry_rpc::tcp::{CallContext, EndpointMap, Service, serve_connection};
use quarry_rpc::{
    AcceptorFactory, Associations, ENDPOINT_MAPPER, ServedInterface, ServerConfig, SyntaxId, pdu,
};
use quarry_testkit::even6_python;
use serde_json::Value;
use tokio::net::TcpListener;
use uuid::Uuid;

/// One channel with the same events for everybody.
struct Fixed {
    events: Vec<Vec<u8>>,
    queries: Mutex<Vec<String>>,
}

/// A client's queries: how many records each has given out.
#[derive(Default)]
struct Handles(Mutex<Vec<(ContextHandle, usize)>>);

type Context<'a> = &'a CallContext<Handles>;

impl Fixed {
    fn open(&self, context: Context<'_>) -> ContextHandle {
        let mut handles = context.association.0.lock().unwrap();
        let uuid = Uuid::from_u128(0x1000 + handles.len() as u128);
        let handle = ContextHandle { attributes: 0, uuid };
        handles.push((handle, 0));
        handle
    }
}

impl EventService for Fixed {
    type Association = Handles;

    async fn get_channel_list(
        &self,
        _: Context<'_>,
        _: GetChannelListRequest,
    ) -> Result<GetChannelListResponse, Refuse> {
        let channels = vec!["Security".into(), "Ünïcode/東京".into()];
        Ok(GetChannelListResponse { channels, status: Win32Error::SUCCESS })
    }

    async fn open_log_handle(
        &self,
        context: Context<'_>,
        _: OpenLogHandleRequest,
    ) -> Result<OpenLogHandleResponse, Refuse> {
        let (info, status) = (RpcInfo::default(), Win32Error::SUCCESS);
        Ok(OpenLogHandleResponse { handle: self.open(context).into(), info, status })
    }

    async fn get_log_file_info(
        &self,
        _: Context<'_>,
        request: GetLogFileInfoRequest,
    ) -> Result<GetLogFileInfoResponse, Refuse> {
        let value = match request.property {
            5 => BinXmlVariant::UInt64(self.events.len() as u64),
            6 => BinXmlVariant::UInt64(1),
            7 => BinXmlVariant::Bool(false),
            _ => BinXmlVariant::FileTime(7),
        };
        let mut buffer = value.encode().to_vec();
        buffer.resize(request.buffer_size as usize, 0);
        Ok(GetLogFileInfoResponse { buffer, length: 16, status: Win32Error::SUCCESS })
    }

    async fn register_log_query(
        &self,
        context: Context<'_>,
        request: RegisterLogQueryRequest,
    ) -> Result<RegisterLogQueryResponse, Refuse> {
        assert_eq!(context.identity.as_ref().unwrap().user, "alice");
        self.queries.lock().unwrap().push(request.query.to_string());
        let name = request.path.clone();
        Ok(RegisterLogQueryResponse {
            handle: self.open(context).into(),
            control: self.open(context).into(),
            channels: vec![ChannelInfo { name, status: Win32Error::SUCCESS }],
            info: RpcInfo::default(),
            status: Win32Error::SUCCESS,
        })
    }

    async fn query_next(
        &self,
        context: Context<'_>,
        request: QueryNextRequest,
    ) -> Result<QueryNextResponse, Refuse> {
        let mut handles = context.association.0.lock().unwrap();
        let handle = handles.iter_mut().find(|(handle, _)| *handle == request.query.0).unwrap();
        let first = handle.1;
        let (mut sizes, mut buffer) = (Vec::new(), Vec::new());
        for event in self.events[first..].iter().take(request.requested as usize) {
            handle.1 += 1;
            let before = buffer.len();
            encode_record(&mut buffer, event, &[], &[handle.1 as u64], 0, false);
            sizes.push((buffer.len() - before) as u32);
        }
        let end = sizes.is_empty();
        let batch = EventBatch::contiguous(sizes, buffer).unwrap();
        let status = if end { Win32Error::NO_MORE_ITEMS } else { Win32Error::SUCCESS };
        Ok(QueryNextResponse { batch, status })
    }

    async fn close(&self, _: Context<'_>, _: CloseRequest) -> Result<CloseResponse, Refuse> {
        Ok(CloseResponse { handle: ContextHandle::NULL, status: Win32Error::SUCCESS })
    }
}

struct Alice;

impl Accounts for Alice {
    fn nt_hash(&self, user: &str, _domain: &str) -> Option<NtHash> {
        (user == "alice").then(|| NtHash::of_password("Passw0rd!"))
    }
}

fn acceptors() -> AcceptorFactory {
    let target = Arc::new(NtlmTarget {
        netbios_domain: "LAB".into(),
        netbios_computer: "SIM".into(),
        dns_domain: "lab.test".into(),
        dns_computer: "sim.lab.test".into(),
    });
    Arc::new(move |auth_type| {
        let ntlm = NtlmAcceptor::new(Arc::clone(&target), Arc::new(Alice));
        match auth_type {
            pdu::AuthType::NTLM => Some(Box::new(ntlm) as Box<dyn Acceptor>),
            pdu::AuthType::NEGOTIATE => Some(Box::new(NegotiateAcceptor::new(ntlm))),
            _ => None,
        }
    })
}

/// Serves on a free port of the loopback.
async fn listen<V: Service>(interface: SyntaxId, privacy: bool, service: Arc<V>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let interfaces = vec![ServedInterface { syntax: interface, privacy }];
    let config = ServerConfig::new(interfaces, port, acceptors());
    tokio::spawn(async move {
        let associations = Associations::default();
        while let Ok((stream, _)) = listener.accept().await {
            let (config, service) = (config.clone(), Arc::clone(&service));
            let served = serve_connection(stream, config, associations.clone(), service);
            tokio::spawn(async move {
                // What a client did wrong shows in what the client says.
                let _ = served.await;
            });
        }
    });
    port
}

struct Stage {
    folder: PathBuf,
    python: PathBuf,
    mapper_port: u16,
    service: Arc<Fixed>,
}

impl Stage {
    async fn new(events: usize) -> Option<Self> {
        let (folder, python) = even6_python()?;
        let text = "import json, sys, even6wire as w\n\
                    for line in sys.stdin: print(w.encode_event(json.loads(line)).hex())";
        let made = format!("{0} make_events.py {events} | {0} -c '{text}'", python.display());
        let out = std::process::Command::new("sh")
            .args(["-c", &made])
            .current_dir(&folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let events: Vec<_> = String::from_utf8(out.stdout).unwrap().lines().map(bytes).collect();
        let service = Arc::new(Fixed { events, queries: Mutex::default() });
        let port = listen(INTERFACE, true, Arc::new(EventServer::new(Arc::clone(&service)))).await;
        let map =
            EndpointMap { entries: vec![(INTERFACE, port)], address: Some(Ipv4Addr::LOCALHOST) };
        let mapper_port = listen(ENDPOINT_MAPPER, false, Arc::new(map)).await;
        Some(Self { folder, python, mapper_port, service })
    }

    /// Runs one of the rig's clients, which asks our mapper for the port.
    async fn client(&self, script: &str, password: &str, arguments: &[&str]) -> Output {
        tokio::process::Command::new(&self.python)
            .current_dir(&self.folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .args([script, "127.0.0.1", "--epm-port", &self.mapper_port.to_string()])
            .args(["--user", "alice", "--password", password, "--domain", "LAB"])
            .args(arguments)
            .output()
            .await
            .unwrap()
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn lines(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What each client says that it can do.
const CLIENTS: [(&str, &[&str]); 5] = [
    ("client_impacket.py", &[]),
    ("client_scapy.py", &["--auth", "ntlm"]),
    ("client_scapy.py", &["--auth", "spnego"]),
    ("client_scapy.py", &["--auth", "ntlm", "--no-mic"]),
    ("client_aiosmb.py", &[]),
];

fn with<'a>(options: &[&'a str], command: &[&'a str]) -> Vec<&'a str> {
    [options, command].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_reads_every_event_from_us() {
    let Some(stage) = Stage::new(600).await else { return };
    for (script, options) in CLIENTS {
        let command = with(options, &["query", "Security", "*", "--batch", "100"]);
        let events = lines(&stage.client(script, "Passw0rd!", &command).await);
        assert_eq!(events.len(), 600, "{script} {options:?}");
        for (n, event) in events.iter().enumerate() {
            let record = bytes(event["record"].as_str().unwrap());
            let record = ResultSetRecord::parse(&record).unwrap();
            assert_eq!(record.binxml, stage.service.events[n], "{script}");
            assert_eq!(event["record_id"], n + 1, "{script}");
        }
    }
    assert_eq!(*stage.service.queries.lock().unwrap(), vec!["*"; CLIENTS.len()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_client_reads_channels_and_log_information_from_us() {
    let Some(stage) = Stage::new(7).await else { return };
    for (script, options) in CLIENTS {
        let channels =
            lines(&stage.client(script, "Passw0rd!", &with(options, &["channels"])).await);
        assert_eq!(channels[0]["channel"], "Security", "{script}");
        assert_eq!(channels[1]["channel"], "Ünïcode/東京", "{script}");
        let info =
            lines(&stage.client(script, "Passw0rd!", &with(options, &["info", "Security"])).await);
        assert_eq!((&info[0]["records"], &info[0]["oldest"]), (&7.into(), &1.into()), "{script}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_less_than_packet_privacy_get_nobody_in() {
    let Some(stage) = Stage::new(1).await else { return };
    for (script, options) in CLIENTS {
        let output = stage.client(script, "wrong", &with(options, &["channels"])).await;
        assert!(!output.status.success(), "{script} {options:?} got in with a wrong password");
        assert!(output.stdout.is_empty());
    }
    // 2 connect, 4 packet, 5 integrity.
    for (script, options) in &CLIENTS[..3] {
        for level in ["2", "4", "5"] {
            let command = [options, &["--level", level, "channels"][..]].concat();
            let output = stage.client(script, "Passw0rd!", &command).await;
            assert!(!output.status.success(), "{script} {options:?} got in at level {level}");
            assert!(output.stdout.is_empty());
        }
    }
    // Without header signing Scapy leaves the header out of its signatures. With
    // NTLM's extended session security they must cover it all the same.
    let options = ["--auth", "ntlm", "--no-header-sign", "channels"];
    let output = stage.client("client_scapy.py", "Passw0rd!", &options).await;
    assert!(!output.status.success());
    assert!(stage.service.queries.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_many_fragments_is_put_together() {
    let Some(stage) = Stage::new(1).await else { return };
    let query = format!("*[System[EventID={}]]", "1 or EventID=".repeat(2000) + "1");
    let options = ["--max-request-frag", "1432", "query", "Security", &query];
    let events = lines(&stage.client("client_impacket.py", "Passw0rd!", &options).await);
    assert_eq!(events.len(), 1);
    assert_eq!(*stage.service.queries.lock().unwrap(), [query]);
}
