//! The example, as it stands there, against simulated servers.

#[path = "../examples/errors.rs"]
mod errors;

use std::fmt::Write as _;

use quarry_fleet::inventory::Inventory;
use quarry_fleet::{Account, Secret, SecretSource};
use quarry_sim::{Fault, ServerOptions, Sim, SimOptions};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_prints_the_errors_of_all_servers_and_why_one_failed() {
    let servers = vec![
        ServerOptions::new("fred"),
        ServerOptions::new("barney"),
        ServerOptions::new("wilma").with(Fault::PortClosed),
    ];
    let password = Secret::new("Pebbles-7".to_owned()).unwrap();
    let options = SimOptions::new(servers, r"BEDROCK\ann".parse().unwrap(), password);
    let sim = Sim::start(options).await.unwrap();
    let mut inventory = r#"
        credential = "ann"
        [credentials.ann]
        username = 'BEDROCK\ann'
        password-file = "ann.password"
    "#
    .to_owned();
    for server in sim.servers() {
        let (name, port) = (server.name(), server.mapper_port());
        writeln!(inventory, "[servers.{name}]\naddress = '127.0.0.1'\nmapper-port = {port}")
            .unwrap();
    }
    let mut read = 0;
    let read_password = |account: &Account, source: &SecretSource| {
        read += 1;
        assert_eq!(account.to_string(), r"BEDROCK\ann");
        assert_eq!(source, &SecretSource::File("ann.password".into()));
        Secret::new("Pebbles-7".to_owned()).map_err(|e| e.to_string())
    };
    let inventory = Inventory::parse(&inventory).unwrap();
    let names = ["fred", "barney", "wilma"].map(str::to_owned);
    let (found, failed) = errors::errors(inventory, &names, read_password).await.unwrap();

    assert_eq!(read, 1, "one secret for three servers");
    for name in ["fred", "barney"] {
        let of_server = || found.iter().filter(|line| line.starts_with(name));
        // Eight hours are 960 events, one every 30 s; some of them are errors.
        assert!((20..960).contains(&of_server().count()), "{name}: {}", of_server().count());
        assert!(of_server().all(|line| line.contains(" System ")));
    }
    let [why] = &*failed else { panic!("{failed:?}") };
    assert!(why.starts_with("cannot reach wilma: connection to port "), "{why}");
    // What the servers were asked.
    let queries = sim.queries();
    assert_eq!(queries.len(), 2);
    for query in queries {
        assert!(query.query.contains("TimeCreated[@SystemTime>="), "{}", query.query);
        assert!(query.query.contains("Level"), "{}", query.query);
    }
}
