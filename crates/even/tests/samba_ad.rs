//! Bind, endpoint mapper, signatures and faults against Samba's AD domain
//! controller (the rig `samba`), which serves MS-EVEN6 over TCP but no events:
//! by NTLM, and by Kerberos with a password, a keytab and a cache.
//!
//! Needs root, network namespaces and Samba.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "the inner run tells the outer one")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quarry_cred::{Credential, KerberosCredential, Keytab, Secret};
use quarry_even::even::{ConnectPipeOptions, EvenClient};
use quarry_even::*;
use quarry_rpc::security::kerberos::KerberosError;
use quarry_rpc::smb::{Cipher, Dialect, SigningAlgorithm};
use quarry_rpc::tcp::{Target, Timeouts, resolve_port};
use quarry_rpc::tickets::{Configuration, Tickets};
use quarry_rpc::{Error as RpcError, FaultStatus};
use quarry_testkit::SambaDomain;

const HOST: &str = SambaDomain::HOST;
/// Where the inner run finds the domain's files.
const FOLDER: &str = "QUARRY_DOMAIN_FOLDER";
/// What the inner run prints at its end.
const DONE: &str = "every answer was as it should be";

#[test]
fn sambas_domain_controller_answers_us() {
    let Some(domain) = SambaDomain::start() else { return };
    let folder = format!("{FOLDER}={}", domain.folder().display());
    let cache = domain.folder().join("fred.cache").display().to_string();
    let kinit = domain.run("pebbles1!\n", &["kinit", "-c", &cache, "fred@BEDROCK.TEST"]);
    assert!(kinit.status.success(), "{kinit:?}");
    // The test itself, once more, inside the client's namespace.
    let program = std::env::current_exe().unwrap().display().to_string();
    let test = ["--ignored", "--exact", "inside_the_clients_namespace", "--nocapture"];
    let output = domain.run("", &[&["env", &folder, &program], &test[..]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains(DONE), "{text}\n{errors}");
}

#[tokio::test]
#[ignore = "run by sambas_domain_controller_answers_us"]
async fn inside_the_clients_namespace() {
    let timeouts = Timeouts { connect: Duration::from_secs(5), silence: Duration::from_secs(10) };
    let mapper = Target::new(HOST, 135);
    let port = resolve_port(&mapper, INTERFACE, timeouts).await.unwrap();
    assert!(port >= 1024, "{port}");
    let unknown = quarry_rpc::SyntaxId { major: 9, ..INTERFACE };
    let error = resolve_port(&mapper, unknown, timeouts).await.unwrap_err();
    assert!(matches!(error, RpcError::InterfaceRefused(_)), "{error:?}");

    let forward = QueryFlags::CHANNEL_PATH | QueryFlags::FORWARD;
    for authentication in [Authentication::Negotiate, Authentication::Ntlm] {
        for account in [r"BEDROCK\fred", "fred@bedrock.test", r"bedrock\FRED"] {
            let options = options(account, "pebbles1!", authentication, timeouts);
            let client = EventClient::connect(&options).await.unwrap();
            println!(
                "{account}, {authentication:?}: bound, header signing {}",
                client.rpc().header_signing()
            );
            // Samba's MS-EVEN6 says yes to any query and never has a record.
            let query = client.register_log_query(Some("System"), "*", forward).await.unwrap();
            for _ in 0..3 {
                let next = client.query_next(query.handle, 100, Duration::from_secs(1)).await;
                assert_eq!(next, Ok(Next::Events(Default::default())));
            }
            assert!(client.rpc().is_proven());
            let error = client.channels().await.unwrap_err();
            assert_eq!(error, Error::Rpc(RpcError::Fault(FaultStatus::OP_RANGE)));
            // The fault was the call's: the association lives on.
            client.register_log_query(Some("Security"), "*", forward).await.unwrap();
        }
        for (account, password) in [(r"BEDROCK\fred", "wrong"), (r"BEDROCK\nobody", "x")] {
            let options = options(account, password, authentication, timeouts);
            let error = match EventClient::connect(&options).await {
                Ok(client) => {
                    client.register_log_query(Some("System"), "*", forward).await.unwrap_err()
                }
                Err(error) => error,
            };
            println!("{account}, {authentication:?}, wrong password: {error}");
            assert!(matches!(error, Error::Rpc(RpcError::LogonRefused(_))), "{error:?}");
        }
    }
    by_kerberos(timeouts, forward).await;
    over_smb(timeouts).await;
    println!("{DONE}");
}

async fn by_kerberos(timeouts: Timeouts, forward: QueryFlags) {
    let folder = PathBuf::from(std::env::var_os(FOLDER).unwrap());
    let keytab = std::fs::read(folder.join("fred.keytab")).unwrap();
    let keytab = Arc::new(Keytab::from_bytes(keytab).unwrap());
    let configuration = || Configuration::load(["/etc/krb5.conf"]).unwrap();
    let tickets = |credential| Tickets::new(credential, configuration(), timeouts.connect, None);
    let name = Some(format!("FILE:{}", folder.join("fred.cache").display()));
    let password = |password| KerberosCredential::Password(credential("fred", password));
    for (what, credential) in [
        ("password", password("pebbles1!")),
        ("keytab", KerberosCredential::Keytab { account: None, keytab }),
        ("cache", KerberosCredential::Cache { account: None, name }),
    ] {
        let tickets = tickets(credential);
        for authentication in [Authentication::Negotiate, Authentication::Kerberos] {
            let options = ConnectOptions {
                authentication,
                timeouts,
                ..ConnectOptions::new(HOST, tickets.clone())
            };
            let client = EventClient::connect(&options).await.unwrap();
            println!("Kerberos, {what}, {authentication:?}: bound");
            assert!(client.rpc().header_signing() && client.rpc().is_proven());
            // Sealed both ways: a signature out of order would end the connection.
            for _ in 0..5 {
                let query = client.register_log_query(Some("System"), "*", forward).await.unwrap();
                let next = client.query_next(query.handle, 100, Duration::from_secs(1)).await;
                assert_eq!(next, Ok(Next::Events(Default::default())));
            }
            let error = client.channels().await.unwrap_err();
            assert_eq!(error, Error::Rpc(RpcError::Fault(FaultStatus::OP_RANGE)));
            client.register_log_query(Some("Security"), "*", forward).await.unwrap();
        }
    }
    let error = |logon: LogOn, host: &str| {
        let options = ConnectOptions { timeouts, ..ConnectOptions::new(host, logon) };
        async move { EventClient::connect(&options).await.map(drop).unwrap_err() }
    };
    let wrong = error(tickets(password("wrong")).into(), HOST).await;
    let expected = KerberosError::WrongPassword("fred@BEDROCK.TEST".into());
    assert_eq!(wrong, Error::Rpc(RpcError::Kerberos(expected)));
    let address = error(tickets(password("pebbles1!")).into(), SambaDomain::ADDRESS).await;
    let expected = KerberosError::NotAName(SambaDomain::ADDRESS.into());
    assert_eq!(address, Error::Rpc(RpcError::Kerberos(expected)));
    // A ticket for one server, shown to another, is none.
    let foreign = tickets(password("pebbles1!")).service("host", "nobody.bedrock.test").await;
    assert_eq!(
        foreign.err(),
        Some(KerberosError::UnknownService("host/nobody.bedrock.test".into()))
    );
    // NTLM where it was allowed, and where Kerberos can't be.
    let either = LogOn::KerberosOrNtlm(
        tickets(password("pebbles1!")),
        credential(r"BEDROCK\fred", "pebbles1!"),
    );
    let options = ConnectOptions { timeouts, ..ConnectOptions::new(SambaDomain::ADDRESS, either) };
    EventClient::connect(&options).await.unwrap();
}

/// Kerberos' session keys through every dialect of SMB, signed and encrypted in each way.
async fn over_smb(timeouts: Timeouts) {
    let configuration = Configuration::load(["/etc/krb5.conf"]).unwrap();
    let password = KerberosCredential::Password(credential("fred", "pebbles1!"));
    let tickets = Tickets::new(password, configuration, timeouts.connect, None);
    let connect = async |dialect: Dialect, cipher: Option<Cipher>, signing: SigningAlgorithm| {
        let mut options = ConnectPipeOptions::new(HOST, tickets.clone());
        options.timeouts = timeouts;
        options.pipe.dialects = vec![dialect];
        options.pipe.ciphers = cipher.into_iter().collect();
        options.pipe.signing = vec![signing];
        let client = EvenClient::connect(&options).await.unwrap();
        assert!(client.is_sealed());
        assert_eq!((client.dialect(), client.facts().cipher), (dialect, cipher));
        let log = client.open("System").await.unwrap();
        assert_eq!(client.records(log).await, Ok(0));
        println!("Kerberos, {dialect}, {cipher:?}, {signing:?}: read");
    };
    for dialect in Dialect::ALL {
        let signing = match dialect {
            Dialect::Smb202 | Dialect::Smb210 => SigningAlgorithm::HmacSha256,
            _ => SigningAlgorithm::AesCmac,
        };
        connect(dialect, None, signing).await;
        if matches!(dialect, Dialect::Smb300 | Dialect::Smb302) {
            connect(dialect, Some(Cipher::Aes128Ccm), signing).await;
        }
    }
    for cipher in Cipher::ALL {
        connect(Dialect::Smb311, Some(cipher), SigningAlgorithm::AesGmac).await;
    }
    for signing in SigningAlgorithm::ALL {
        connect(Dialect::Smb311, None, signing).await;
    }
}

fn options(
    account: &str,
    password: &str,
    authentication: Authentication,
    timeouts: Timeouts,
) -> ConnectOptions {
    ConnectOptions {
        authentication,
        timeouts,
        ..ConnectOptions::new(HOST, credential(account, password))
    }
}

fn credential(account: &str, password: &str) -> Credential {
    let secret = Secret::new(password.into()).unwrap();
    Credential::new(account.parse().unwrap(), secret)
}
