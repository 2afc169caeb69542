//! Bind, endpoint mapper, signatures and faults against Samba's AD domain
//! controller (the rig `samba`), which serves MS-EVEN6 over TCP but no events.
//!
//! Needs root, network namespaces and Samba, so it is not run by default:
//! `cargo test -p quarry-even --test samba_ad -- --ignored controller`. A
//! controller that runs already is used when `QUARRY_SAMBA_AD` names its folder.
#![expect(clippy::print_stdout, reason = "the inner run tells the outer one")]

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use quarry_cred::{Credential, Secret};
use quarry_even::*;
use quarry_rpc::tcp::{Target, Timeouts, resolve_port};
use quarry_rpc::{Error as RpcError, FaultStatus};

const HOST: &str = "granite.bedrock.test";
/// What the inner run prints at its end.
const DONE: &str = "every answer was as it should be";

#[test]
#[ignore = "needs root, network namespaces and Samba's AD DC"]
fn sambas_domain_controller_answers_us() {
    let Some(rig) = quarry_testkit::rig("samba") else { return };
    let files = tempfile::tempdir().unwrap();
    let running = std::env::var_os("QUARRY_SAMBA_AD").map(PathBuf::from);
    let folder = running.clone().unwrap_or_else(|| files.path().join("ad"));
    if running.is_none() {
        let status = Command::new(rig.join("ad-up")).arg(&folder).status().unwrap();
        assert!(status.success(), "ad-up");
    }
    // The test itself, once more, inside the client's namespace.
    let output = Command::new(rig.join("ad-in"))
        .arg(&folder)
        .arg("client")
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "inside_the_clients_namespace", "--nocapture"])
        .output()
        .unwrap();
    if running.is_none() {
        let _ = Command::new(rig.join("ad-down")).arg(&folder).status();
    }
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
    println!("{DONE}");
}

fn options(
    account: &str,
    password: &str,
    authentication: Authentication,
    timeouts: Timeouts,
) -> ConnectOptions {
    let secret = Secret::new(password.into()).unwrap();
    let credential = Credential::new(account.parse().unwrap(), secret);
    ConnectOptions { authentication, timeouts, ..ConnectOptions::new(HOST, credential) }
}
