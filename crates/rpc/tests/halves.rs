//! The client's half against the server's, over a stream in memory, with the
//! real handshakes and sealing.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use quarry_cred::{Credential, Secret};
use quarry_rpc::security::{
    Acceptor, Accounts, Initiator, NegotiateAcceptor, NegotiateInitiator, NtHash, NtlmAcceptor,
    NtlmInitiator, NtlmTarget,
};
use quarry_rpc::tcp::{CallContext, Client, EndpointMap, Reply, Service, serve_connection};
use quarry_rpc::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const INTERFACE: SyntaxId =
    SyntaxId::new(uuid::uuid!("12345678-1234-5678-9abc-def012345678"), 1, 0);

struct Alice;

impl Accounts for Alice {
    fn nt_hash(&self, user: &str, _domain: &str) -> Option<NtHash> {
        (user == "alice").then(|| NtHash::of_password("right"))
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

fn initiator(negotiate: bool, password: &str) -> Option<Box<dyn Initiator>> {
    let secret = Secret::new(password.into()).unwrap();
    let credential = Credential::new("alice".parse().unwrap(), secret);
    Some(if negotiate {
        Box::new(NegotiateInitiator::new(&credential).unwrap())
    } else {
        Box::new(NtlmInitiator::new(&credential))
    })
}

/// 0 echoes, 1 answers with a fault, 2 never answers, 3 waits to be cancelled,
/// 4 hangs up, 5 says who called, 6 answers with as many bytes as asked for, 7 takes 10 ms.
struct Echo;

impl Service for Echo {
    type Association = ();

    async fn call(self: Arc<Self>, mut context: CallContext<()>, call: IncomingCall) -> Reply {
        match call.opnum {
            0 => Reply::Stub(call.stub),
            1 => Reply::Fault(FaultStatus(0x1234_5678)),
            2 => Reply::Silence,
            3 => {
                let _ = context.cancelled.wait_for(|cancelled| *cancelled).await;
                Reply::Fault(FaultStatus::CALL_CANCELLED)
            }
            4 => Reply::Hangup,
            5 => {
                let identity = context.identity.unwrap();
                Reply::Stub(format!("{}\\{}", identity.domain, identity.user).into_bytes())
            }
            6 => {
                let len = u32::from_le_bytes(call.stub[..4].try_into().unwrap());
                Reply::Stub((0..len).map(|n| n as u8).collect())
            }
            7 => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Reply::Stub(call.stub)
            }
            _ => Reply::Fault(FaultStatus::OP_RANGE),
        }
    }
}

fn config(privacy: bool) -> ServerConfig {
    ServerConfig::new(vec![ServedInterface { syntax: INTERFACE, privacy }], 4711, acceptors())
}

type ServerEnd = tokio::task::JoinHandle<Result<()>>;

fn serve(config: ServerConfig) -> (DuplexStream, ServerEnd) {
    let (near, far) = duplex(64 * 1024);
    (near, tokio::spawn(serve_connection(far, config, Associations::default(), Arc::new(Echo))))
}

const SILENCE: Duration = Duration::from_secs(20);

async fn bound(negotiate: bool) -> (Client, ServerEnd) {
    let (stream, end) = serve(config(true));
    let config = ClientConfig::new(INTERFACE);
    let initiator = initiator(negotiate, "right");
    (Client::bind(stream, config, initiator, SILENCE).await.unwrap(), end)
}

#[tokio::test]
async fn stubs_of_any_size_go_both_ways_sealed() {
    for negotiate in [false, true] {
        let (client, _end) = bound(negotiate).await;
        assert_eq!(client.is_proven(), negotiate);
        assert!(client.header_signing());
        for len in [0, 1, 15, 16, 17, 5768, 5776, 5777, 11_536, 100_000, 3_000_000] {
            let stub: Vec<u8> = (0..len).map(|n: u32| (n * 7) as u8).collect();
            assert_eq!(client.call(0, stub.clone()).await, Ok(stub), "{len} bytes");
        }
        assert!(client.is_proven());
        assert_eq!(client.call(5, vec![]).await.unwrap(), b"\\alice");
    }
}

#[tokio::test]
async fn without_security_the_endpoint_mapper_answers() {
    let (stream, far) = duplex(4096);
    let map = EndpointMap { entries: vec![(INTERFACE, 49_200)], address: None };
    let config = ServerConfig::new(
        vec![ServedInterface { syntax: ENDPOINT_MAPPER, privacy: false }],
        135,
        acceptors(),
    );
    tokio::spawn(serve_connection(far, config, Associations::default(), Arc::new(map)));
    let client =
        Client::bind(stream, ClientConfig::new(ENDPOINT_MAPPER), None, SILENCE).await.unwrap();
    let ask = async |interface| {
        let stub = epm::MapRequest::tcp(interface).encode().unwrap();
        epm::MapResponse::decode(&client.call(epm::EPT_MAP, stub).await.unwrap()).unwrap()
    };
    assert_eq!(ask(INTERFACE).await.tcp_port(&INTERFACE), Some(49_200));
    let none = ask(ENDPOINT_MAPPER).await;
    assert_eq!((none.towers.len(), none.status), (0, epm::EPT_S_NOT_REGISTERED));
}

#[tokio::test]
async fn a_wrong_password_is_a_refused_logon_and_nothing_else() {
    for negotiate in [false, true] {
        let (stream, _end) = serve(config(true));
        let config = ClientConfig::new(INTERFACE);
        let initiator = initiator(negotiate, "wrong");
        let error = match Client::bind(stream, config, initiator, SILENCE).await {
            // NTLM shows it on the first call.
            Ok(client) if !negotiate => client.call(0, vec![1]).await.unwrap_err(),
            Ok(_) => panic!("bound with a wrong password"),
            Err(error) => error,
        };
        assert!(matches!(error, Error::LogonRefused(_)), "{error:?}");
        assert_eq!(error.blame(), Blame::Credential);
    }
}

/// `sspi` marks a hash so that is given in place of a password.
#[tokio::test]
async fn a_password_that_looks_like_a_marked_hash_is_a_password() {
    const MARKED: &str = "$NTLM$:8119935c5f7fa5f57135620c8073aaca";
    struct Bob;
    impl Accounts for Bob {
        fn nt_hash(&self, _: &str, _: &str) -> Option<NtHash> {
            Some(NtHash::of_password(MARKED))
        }
    }
    for negotiate in [false, true] {
        let target = Arc::new(NtlmTarget {
            netbios_domain: "LAB".into(),
            netbios_computer: "SIM".into(),
            dns_domain: "lab.test".into(),
            dns_computer: "sim.lab.test".into(),
        });
        let acceptors: AcceptorFactory = Arc::new(move |auth_type| {
            let ntlm = NtlmAcceptor::new(Arc::clone(&target), Arc::new(Bob));
            match auth_type {
                pdu::AuthType::NTLM => Some(Box::new(ntlm) as Box<dyn Acceptor>),
                _ => Some(Box::new(NegotiateAcceptor::new(ntlm))),
            }
        });
        let (stream, _end) = serve(ServerConfig { acceptors, ..config(true) });
        let (config, initiator) = (ClientConfig::new(INTERFACE), initiator(negotiate, MARKED));
        let client = Client::bind(stream, config, initiator, SILENCE).await.unwrap();
        assert_eq!(client.call(0, vec![9]).await, Ok(vec![9]));
    }
}

#[tokio::test]
async fn calls_without_a_logon_are_refused() {
    let (stream, _end) = serve(config(true));
    let client = Client::bind(stream, ClientConfig::new(INTERFACE), None, SILENCE).await.unwrap();
    let error = client.call(0, vec![1]).await.unwrap_err();
    assert_eq!(error, Error::Fault(FaultStatus::ACCESS_DENIED));
}

#[tokio::test]
async fn an_interface_that_is_not_served_is_named_so() {
    let (stream, _end) = serve(config(true));
    let config = ClientConfig::new(SyntaxId { major: 2, ..INTERFACE });
    let error = Client::bind(stream, config, initiator(true, "right"), SILENCE).await.unwrap_err();
    assert_eq!(error, Error::InterfaceRefused(pdu::ContextReason::AbstractSyntax));
    assert_eq!(error.blame(), Blame::Refusal);
}

#[tokio::test]
async fn a_fault_is_the_calls_and_the_connection_lives_on() {
    let (client, _end) = bound(true).await;
    let error = client.call(1, vec![]).await.unwrap_err();
    assert_eq!(error, Error::Fault(FaultStatus(0x1234_5678)));
    assert!(error.leaves_connection_usable());
    assert_eq!(client.call(99, vec![]).await, Err(Error::Fault(FaultStatus::OP_RANGE)));
    assert_eq!(client.call(0, vec![9]).await, Ok(vec![9]));
}

#[tokio::test]
async fn many_calls_are_open_at_once_and_each_gets_its_own_answer() {
    let (client, _end) = bound(true).await;
    let calls: Vec<_> = (0..500u32)
        .map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let stub = n.to_le_bytes().repeat(n as usize * 3 + 1);
                assert_eq!(client.call(0, stub.clone()).await, Ok(stub));
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_the_connection_to_the_others() {
    let (client, _end) = bound(true).await;
    for _ in 0..100 {
        let call = client.call(3, vec![1; 50]);
        let waited = tokio::time::timeout(Duration::from_millis(2), call).await;
        assert!(waited.is_err(), "it waits to be cancelled");
    }
    assert_eq!(client.call(0, vec![9]).await, Ok(vec![9]));
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up_and_a_slow_one_is_not() {
    let (client, _end) = bound(true).await;
    let before = tokio::time::Instant::now();
    let slow = client.clone();
    let kept = tokio::spawn(async move { slow.call_within(2, vec![], 10 * SILENCE).await });
    let error = client.call_within(2, vec![], Duration::from_secs(3)).await.unwrap_err();
    let Error::Network(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind, NetworkErrorKind::Silent(Duration::from_secs(3)));
    assert_eq!(before.elapsed().as_secs(), 3);
    assert!(kept.await.unwrap().is_err(), "the connection is given up as a whole");
    assert!(client.is_closed());
    assert!(matches!(client.call(0, vec![]).await, Err(Error::Network(_))));
}

#[tokio::test]
async fn a_server_is_not_silent_because_its_client_is_busy() {
    // The server has a thread of its own, and answers while the client's is kept busy.
    let (ports, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            ports.send(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            serve_connection(stream, config(true), Associations::default(), Arc::new(Echo)).await
        })
    });
    let stream = tokio::net::TcpStream::connect(port.recv().unwrap()).await.unwrap();
    let config = ClientConfig::new(INTERFACE);
    let client = Client::bind(stream, config, initiator(true, "right"), SILENCE).await.unwrap();
    for _ in 0..12 {
        let busy = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            std::thread::sleep(Duration::from_millis(50));
        };
        let call = client.call_within(7, vec![7], Duration::from_millis(30));
        assert_eq!(tokio::join!(call, busy).0, Ok(vec![7]));
    }
}

/// Passes the server's bytes on in drops of so many, a pause before each, from its `from`th PDU on.
fn dripping(server: DuplexStream, from: usize, drop: usize, pause: Duration) -> DuplexStream {
    let (near, far) = duplex(64 * 1024);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut from_client, mut to_client) = tokio::io::split(far);
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    tokio::spawn(async move {
        let mut frames = FrameBuffer::new();
        let mut count = 0;
        while from_server.read_buf(frames.space()).await.is_ok_and(|n| n > 0) {
            while let Some(pdu) = frames.next_pdu() {
                let drips = count >= from;
                count += 1;
                for part in pdu.chunks(if drips { drop } else { pdu.len() }) {
                    if drips {
                        tokio::time::sleep(pause).await;
                    }
                    if to_client.write_all(part).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    near
}

fn network(error: Error) -> NetworkError {
    match error {
        Error::Network(error) => error,
        error => panic!("{error:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_drips_is_over_when_a_silent_one_is() {
    // From its first answer on, and from the one after the challenge.
    for from in [0, 1] {
        let (stream, _end) = serve(config(true));
        let stream = dripping(stream, from, 1, Duration::from_secs(1));
        let before = tokio::time::Instant::now();
        let (config, initiator) = (ClientConfig::new(INTERFACE), initiator(true, "right"));
        let error = Client::bind(stream, config, initiator, SILENCE).await.unwrap_err();
        assert_eq!(network(error).kind, NetworkErrorKind::TooSlow(SILENCE));
        assert_eq!(before.elapsed(), SILENCE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_answer_drips_is_given_up_when_a_silent_one_is() {
    // With the handshake's two PDUs before it.
    let (stream, _end) = serve(config(true));
    let stream = dripping(stream, 2, 1, Duration::from_secs(1));
    let config = ClientConfig::new(INTERFACE);
    let client = Client::bind(stream, config, initiator(true, "right"), SILENCE).await.unwrap();
    let before = tokio::time::Instant::now();
    let error = client.call(6, 100_000u32.to_le_bytes().into()).await.unwrap_err();
    assert_eq!(network(error).kind, NetworkErrorKind::TooSlow(SILENCE));
    assert_eq!(before.elapsed(), SILENCE);
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_over_a_slow_line_takes_many_times_the_silence_allowed() {
    // About 2,000 bytes a second.
    let (stream, _end) = serve(config(true));
    let stream = dripping(stream, 2, 20, Duration::from_millis(10));
    let config = ClientConfig::new(INTERFACE);
    let silence = Duration::from_secs(10);
    let client = Client::bind(stream, config, initiator(true, "right"), silence).await.unwrap();
    let before = tokio::time::Instant::now();
    let stub = client.call(6, 200_000u32.to_le_bytes().into()).await.unwrap();
    assert_eq!(stub.len(), 200_000);
    assert!(before.elapsed() > 8 * silence, "{:?}", before.elapsed());
}

#[tokio::test]
async fn what_a_starved_client_finds_in_its_socket_is_heard() {
    // The server answers within 10 ms; the client gets to run each 300 ms only, and allows 100 ms.
    let (ports, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            ports.send(listener.local_addr().unwrap()).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            serve_connection(stream, config(true), Associations::default(), Arc::new(Echo)).await
        })
    });
    let stream = tokio::net::TcpStream::connect(port.recv().unwrap()).await.unwrap();
    let starving = tokio::spawn(async {
        loop {
            std::thread::sleep(Duration::from_millis(300));
            tokio::task::yield_now().await;
        }
    });
    let (config, initiator) = (ClientConfig::new(INTERFACE), initiator(true, "right"));
    let allowed = Duration::from_millis(100);
    let client = Client::bind(stream, config, initiator, allowed).await.unwrap();
    for _ in 0..4 {
        assert_eq!(client.call(7, vec![7]).await, Ok(vec![7]));
    }
    starving.abort();
}

#[tokio::test]
async fn a_fault_that_is_not_sealed_proves_no_password() {
    // A server that claims to be too busy to look at the password.
    let busy = ServerConfig { refusal: FaultStatus::SERVER_TOO_BUSY, ..config(true) };
    let (stream, _end) = serve(busy);
    let (config, initiator) = (ClientConfig::new(INTERFACE), initiator(false, "wrong"));
    let client = Client::bind(stream, config, initiator, SILENCE).await.unwrap();
    let error = client.call(0, vec![1]).await.unwrap_err();
    assert_eq!(error, Error::Fault(FaultStatus::SERVER_TOO_BUSY));
    assert!(!client.is_proven());
}

#[tokio::test]
async fn without_security_nothing_is_proven() {
    let (stream, far) = duplex(4096);
    let map = EndpointMap::default();
    let served = ServedInterface { syntax: ENDPOINT_MAPPER, privacy: false };
    let config = ServerConfig::new(vec![served], 135, acceptors());
    tokio::spawn(serve_connection(far, config, Associations::default(), Arc::new(map)));
    let config = ClientConfig::new(ENDPOINT_MAPPER);
    let client = Client::bind(stream, config, None, SILENCE).await.unwrap();
    let stub = epm::MapRequest::tcp(INTERFACE).encode().unwrap();
    client.call(epm::EPT_MAP, stub).await.unwrap();
    assert!(!client.is_proven());
}

#[tokio::test]
async fn the_credential_is_presented_when_the_challenge_is_there_and_not_before() {
    for negotiate in [false, true] {
        let (stream, _end) = serve(config(true));
        let (config, initiator) = (ClientConfig::new(INTERFACE), initiator(negotiate, "right"));
        let asked = std::cell::Cell::new(0);
        let ready = async || {
            asked.set(asked.get() + 1);
            Ok::<_, Error>(())
        };
        Client::bind_when(stream, config, initiator, SILENCE, ready).await.unwrap();
        assert_eq!(asked.get(), 1);
    }
    // An answer that is no challenge, and none at all.
    for answer in
        [&b"\x05\x00\x0c\x03\x10\0\0\0\x18\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0"[..], b"", b"\x05"]
    {
        let (near, mut far) = duplex(4096);
        far.write_all(answer).await.unwrap();
        let (config, initiator) = (ClientConfig::new(INTERFACE), initiator(true, "right"));
        let ready = async || -> Result<()> { panic!("it is not to be presented") };
        let silence = Duration::from_millis(50);
        Client::bind_when(near, config, initiator, silence, ready).await.unwrap_err();
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_is_named_so() {
    let (client, _end) = bound(true).await;
    let error = client.call(4, vec![]).await.unwrap_err();
    assert_eq!(error.to_string(), "calling: the server closed the connection");
    assert!(error.is_transient());
}

#[tokio::test]
async fn too_large_an_answer_is_refused_while_it_comes() {
    let (stream, _end) = serve(config(true));
    let config = ClientConfig { max_stub: 100_000, ..ClientConfig::new(INTERFACE) };
    let client = Client::bind(stream, config, initiator(true, "right"), SILENCE).await.unwrap();
    assert!(client.call(6, 100_000u32.to_le_bytes().into()).await.is_ok());
    let error = client.call(6, 100_001u32.to_le_bytes().into()).await.unwrap_err();
    assert!(matches!(error, Error::Protocol(ProtocolError::LimitExceeded { .. })), "{error:?}");
    assert_eq!(error.blame(), Blame::Peer);
}

#[tokio::test]
async fn fragments_are_as_large_as_both_sides_take() {
    for (ours, theirs) in [(1432, 5840), (5840, 1432), (65_535, 65_535), (4280, 4280)] {
        let (stream, _end) = serve(ServerConfig { max_fragment: theirs, ..config(true) });
        let config = ClientConfig { max_fragment: ours, ..ClientConfig::new(INTERFACE) };
        let client = Client::bind(stream, config, initiator(true, "right"), SILENCE).await.unwrap();
        let stub = vec![3; 200_000];
        assert_eq!(client.call(0, stub.clone()).await, Ok(stub));
    }
}

#[tokio::test]
async fn an_association_group_is_shared_and_a_new_one_is_new() {
    let associations = Associations::default();
    let connect = async |group| {
        let (near, far) = duplex(4096);
        let associations = Associations::clone(&associations);
        tokio::spawn(serve_connection(far, config(true), associations, Arc::new(Echo)));
        let config = ClientConfig { association_group: group, ..ClientConfig::new(INTERFACE) };
        Client::bind(near, config, initiator(true, "right"), SILENCE).await.unwrap()
    };
    let first = connect(0).await;
    let second = connect(first.association_group()).await;
    let third = connect(0).await;
    assert_ne!(first.association_group(), 0);
    assert_eq!(first.association_group(), second.association_group());
    assert_ne!(first.association_group(), third.association_group());
}

/// Passes bytes on; `meddle` may change what the server sends.
async fn with_meddling(
    negotiate: bool,
    mut meddle: impl FnMut(usize, &mut Vec<u8>) + Send + 'static,
) -> Result<Vec<u8>> {
    let (server, _end) = serve(config(true));
    let (near, far) = duplex(64 * 1024);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut from_client, mut to_client) = tokio::io::split(far);
    tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    tokio::spawn(async move {
        let mut frames = FrameBuffer::new();
        let mut count = 0;
        while from_server.read_buf(frames.space()).await.is_ok_and(|n| n > 0) {
            while let Some(pdu) = frames.next_pdu() {
                let mut pdu = pdu.to_vec();
                meddle(count, &mut pdu);
                count += 1;
                if to_client.write_all(&pdu).await.is_err() {
                    return;
                }
            }
        }
        let _ = to_client.shutdown().await;
    });
    let config = ClientConfig::new(INTERFACE);
    let initiator = initiator(negotiate, "right");
    let client = Client::bind(near, config, initiator, Duration::from_secs(2)).await?;
    client.call(6, 20_000u32.to_le_bytes().into()).await
}

#[tokio::test]
async fn a_change_in_any_part_of_a_sealed_answer_is_found() {
    // With NTLM the bind_ack is PDU 0 and the answer's fragments follow.
    for (at, what) in [(17, "alloc_hint"), (30, "body"), (5825, "trailer"), (5830, "signature")] {
        let answer = with_meddling(false, move |n, pdu| {
            if n == 2 {
                pdu[at] ^= 1;
            }
        });
        let error = answer.await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Protocol(
                    ProtocolError::BadSignature(_) | ProtocolError::WrongSecurityTrailer(_)
                )
            ),
            "{what}: {error:?}"
        );
        assert_eq!(error.blame(), Blame::Peer);
    }
}

/// It is what proves the password with SPNEGO: version, checksum and sequence number.
#[tokio::test]
async fn a_change_in_any_byte_of_the_servers_mech_list_mic_is_found() {
    for from_end in 1..=16 {
        let answer = with_meddling(true, move |n, pdu| {
            if n == 1 {
                let at = pdu.len() - from_end;
                pdu[at] ^= 1;
            }
        });
        let error = answer.await.unwrap_err();
        let is_found = matches!(error, Error::Security(SecurityError::HandshakeAltered));
        assert!(is_found, "{from_end} from the end: {error:?}");
    }
}

#[tokio::test]
async fn an_answer_stripped_of_its_protection_is_refused() {
    let answer = with_meddling(true, |n, pdu| {
        if n == 2 {
            let end = pdu.len() - 24;
            pdu.truncate(end);
            pdu[8..10].copy_from_slice(&(end as u16).to_le_bytes());
            pdu[10..12].copy_from_slice(&[0, 0]);
        }
    });
    let error = answer.await.unwrap_err();
    assert_eq!(error, Error::Protocol(ProtocolError::NotSealed(pdu::PduType::Response)));
}

#[tokio::test]
async fn a_bind_ack_stripped_of_its_token_is_refused() {
    let answer = with_meddling(true, |n, pdu| {
        if n == 0 {
            let token = usize::from(u16::from_le_bytes([pdu[10], pdu[11]]));
            let end = pdu.len() - token - 8;
            pdu.truncate(end);
            pdu[8..10].copy_from_slice(&(end as u16).to_le_bytes());
            pdu[10..12].copy_from_slice(&[0, 0]);
        }
    });
    let error = answer.await.unwrap_err();
    assert!(matches!(error, Error::Security(SecurityError::TooWeak(_))), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever a meddler does to what the server sends, the answer is right or
    /// there is a typed error; it never hangs and never panics.
    #[test]
    fn meddling_leads_to_errors_only(
        negotiate: bool, pdu in 0usize..5, at in 0usize..6000, flip in 1u8.., cut in prop::option::of(0usize..6000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all().start_paused(true).build().unwrap();
        let answer = runtime.block_on(with_meddling(negotiate, move |n, bytes| {
            if n == pdu {
                match cut {
                    Some(cut) => bytes.truncate(cut),
                    None => {
                        let at = at % bytes.len();
                        bytes[at] ^= flip;
                    }
                }
            }
        }));
        if let Ok(stub) = answer {
            let expected: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
            prop_assert_eq!(stub, expected);
        }
    }

    /// And whatever a client sends: the server's half answers with an error or
    /// not at all.
    #[test]
    fn a_hostile_client_gets_errors_only(bytes in prop::collection::vec(any::<u8>(), 0..300), header: bool) {
        let associations = Associations::<()>::default();
        let (assigner, _seat) = associations.seat();
        let mut half = ServerHalf::new(config(true), assigner);
        let mut bytes = bytes;
        if header && bytes.len() >= 16 {
            let len = bytes.len() as u16;
            bytes[..2].copy_from_slice(&[5, 0]);
            bytes[2] %= 20;
            bytes[4..8].copy_from_slice(&[0x10, 0, 0, 0]);
            bytes[8..10].copy_from_slice(&len.to_le_bytes());
            bytes[10..12].copy_from_slice(&[len as u8 % 24, 0]);
        }
        let _ = half.receive(&mut bytes);
    }
}

/// Writes the seeds of the fuzz targets `rpc_pdu` and `ept_tower`: whole
/// conversations, and the mapper's stubs.
#[test]
#[ignore = "writes into fuzz/seeds; run it when the protocol halves change"]
fn write_the_seeds_of_the_fuzz_targets() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/");
    let write = |name: &str, first: u8, bytes: &[u8]| {
        std::fs::write(format!("{seeds}{name}"), [&[first], bytes].concat()).unwrap();
    };
    for (name, initiator) in [
        ("none", None),
        ("ntlm", initiator(false, "right")),
        ("negotiate", initiator(true, "right")),
    ] {
        let (assigner, _seat) = Associations::<()>::default().seat();
        let mut server = ServerHalf::new(config(true), assigner);
        let mut client = ClientHalf::new(ClientConfig::new(INTERFACE), initiator).unwrap();
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        for round in 0..8 {
            if round == 4 {
                client.call(3, &[7; 100]).unwrap();
            }
            let mut frames = FrameBuffer::new();
            frames.space().append(client.output());
            while let Some(pdu) = frames.next_pdu() {
                to_server.extend_from_slice(pdu);
                if let Ok(Some(ServerEvent::Call(call))) = server.receive(pdu) {
                    server.respond(call.call_id, &call.stub).unwrap();
                }
            }
            frames.space().append(server.output());
            while let Some(pdu) = frames.next_pdu() {
                to_client.extend_from_slice(pdu);
                let _ = client.receive(pdu);
            }
        }
        write(&format!("rpc_pdu/to-server-{name}"), 3, &to_server);
        write(&format!("rpc_pdu/to-client-{name}"), 0, &to_client);
    }
    let tower = epm::Tower::tcp(INTERFACE, 49_200, std::net::Ipv4Addr::LOCALHOST);
    write("ept_tower/tower", 0, &tower.encode());
    write("ept_tower/request", 1, &epm::MapRequest::tcp(INTERFACE).encode().unwrap());
    let handle = ndr::ContextHandle::NULL;
    let response = epm::MapResponse { handle, towers: vec![tower], status: 0 };
    write("ept_tower/response", 2, &response.encode(4).unwrap());
}
