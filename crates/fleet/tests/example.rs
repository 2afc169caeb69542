//! The example, as it stands there, against simulated servers.

#[path = "../examples/errors.rs"]
mod errors;

use std::sync::Arc;

use quarry_cred::{Gate, Secret};
use quarry_even::ConnectOptions;
use quarry_fleet::{Server, Source};
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
    let gate = Some(Gate::default());
    let source = |server: &quarry_sim::SimServer| {
        let connect = ConnectOptions {
            mapper_port: server.mapper_port(),
            gate: gate.clone(),
            ..ConnectOptions::new("127.0.0.1", sim.credential().clone())
        };
        Arc::new(Server::new(server.name(), connect)) as Arc<dyn Source>
    };
    let sources: Vec<Arc<dyn Source>> = sim.servers().iter().map(source).collect();
    let (found, failed) = errors::errors(sources).await.unwrap();

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
