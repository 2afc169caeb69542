//! What is traced of a connection: each step by its name, and never a secret.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use quarry_cred::{Credential, Secret};
use quarry_rpc::security::{Accounts, NegotiateAcceptor, NegotiateInitiator, NtHash};
use quarry_rpc::security::{NtlmAcceptor, NtlmTarget};
use quarry_rpc::tcp::{
    CallContext, Client, Reply, Service, Target, connect_stream, serve_connection,
};
use quarry_rpc::{
    Associations, ClientConfig, IncomingCall, ServedInterface, ServerConfig, SyntaxId,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const PASSWORD: &str = "Yabba-dabba-d0o!";
const INTERFACE: SyntaxId =
    SyntaxId::new(uuid::uuid!("12345678-1234-5678-9abc-def012345678"), 1, 0);

/// Writes all that is traced into one text.
#[derive(Clone, Default)]
struct Written {
    text: Arc<Mutex<String>>,
    spans: Arc<AtomicU64>,
}

struct Fields<'a>(&'a mut String);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Written {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("quarry_rpc")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut text = self.text.lock().unwrap();
        write!(text, "\nspan {}", span.metadata().name()).unwrap();
        span.record(&mut Fields(&mut text));
        Id::from_u64(1 + self.spans.fetch_add(1, Ordering::Relaxed))
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut Fields(&mut self.text.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = self.text.lock().unwrap();
        text.push('\n');
        event.record(&mut Fields(&mut text));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Echo;

impl Service for Echo {
    type Association = ();

    async fn call(self: Arc<Self>, _: CallContext<()>, call: IncomingCall) -> Reply {
        Reply::Stub(call.stub)
    }
}

struct Alice;

impl Accounts for Alice {
    fn nt_hash(&self, _: &str, _: &str) -> Option<NtHash> {
        Some(NtHash::of_password(PASSWORD))
    }
}

#[test]
fn the_connection_the_bind_and_each_call_are_traced_without_a_secret() {
    let written = Written::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(written.clone(), || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let target = Arc::new(NtlmTarget {
                netbios_domain: "LAB".into(),
                netbios_computer: "SIM".into(),
                dns_domain: "lab.test".into(),
                dns_computer: "sim.lab.test".into(),
            });
            let served = ServedInterface { syntax: INTERFACE, privacy: true };
            let config = ServerConfig::new(
                vec![served],
                port,
                Arc::new(move |_| {
                    let ntlm = NtlmAcceptor::new(Arc::clone(&target), Arc::new(Alice));
                    Some(Box::new(NegotiateAcceptor::new(ntlm)))
                }),
            );
            tokio::spawn(async move {
                let (stream, _) = listener.accept().await.unwrap();
                let associations = Associations::default();
                serve_connection(stream, config, associations, Arc::new(Echo)).await
            });
            let (limit, silence) = (Duration::from_secs(20), Duration::from_secs(20));
            let stream = connect_stream(&Target::new("127.0.0.1", port), limit).await.unwrap();
            let secret = Secret::new(PASSWORD.to_owned()).unwrap();
            let credential = Credential::new(r"LAB\alice".parse().unwrap(), secret);
            let initiator = Box::new(NegotiateInitiator::new(&credential).unwrap());
            let config = ClientConfig::new(INTERFACE);
            let client = Client::bind(stream, config, Some(initiator), silence).await.unwrap();
            let stub = b"what is asked is the caller's".to_vec();
            client.call(7, stub).await.unwrap();
        });
    });
    let text = written.text.lock().unwrap();
    for step in ["span connect target=127.0.0.1:", "span bind interface=", "span call opnum=7"] {
        assert_eq!(text.matches(step).count(), 1, "{step}: {text}");
    }
    assert!(text.contains("proven=true"), "{text}");
    assert!(!text.to_lowercase().contains("yabba") && !text.contains("what is asked"), "{text}");
}
