//! Records that gather at their source, against a simulated server.

use std::fmt::Write as _;
use std::time::Duration;

use quarry_event::filter::Glob;
use quarry_fleet::inventory::Inventory;
use quarry_fleet::{
    Account, EVERY_RECORD, Follow, FollowOptions, FollowReport, FollowRequest, Job, Secret,
    SecretSource, SignIn, SignInOptions,
};
use quarry_sim::{ServerOptions, Sim, SimOptions};
use tokio::time::Instant;

/// A server whose log `System` is empty.
async fn server() -> Sim {
    let password = Secret::new("Pebbles-7".to_owned()).unwrap();
    let account = r"BEDROCK\ann".parse().unwrap();
    let options = SimOptions::new(vec![ServerOptions::new("fred")], account, password);
    let sim = Sim::start(options).await.unwrap();
    sim.server("fred").unwrap().clear("System").unwrap();
    sim
}

/// Follows all that the log has and gets.
fn follow(sim: &Sim, gather: Duration) -> Follow {
    let mut inventory = String::from(
        "credential = \"ann\"\n[credentials.ann]\nusername = 'BEDROCK\\ann'\npassword-file = \"p\"\n",
    );
    for server in sim.servers() {
        let (name, port) = (server.name(), server.mapper_port());
        writeln!(inventory, "[servers.{name}]\naddress = '127.0.0.1'\nmapper-port = {port}")
            .unwrap();
    }
    let read = |_: &Account, _: &SecretSource| {
        Secret::new("Pebbles-7".to_owned()).map_err(|error| error.to_string())
    };
    let inventory = Inventory::parse(&inventory).unwrap();
    let mut sign_in = SignIn::new(inventory, SignInOptions::new(), read);
    let servers = sign_in.servers("fred").unwrap();
    let logs = vec![Glob::parse("System").unwrap()];
    let jobs = Job::each(servers, FollowRequest::new().logs(logs).last(EVERY_RECORD));
    Follow::begin(jobs, FollowOptions::default().gather(gather))
}

/// Waits until so many records came, and says in how many answers.
async fn answers(follow: &mut Follow, records: u64) -> usize {
    let (mut came, mut answers) = (0, 0);
    while came < records {
        match follow.next().await.expect("it is being followed") {
            FollowReport::Batch { batch, .. } => {
                came += batch.records();
                answers += 1;
            }
            FollowReport::Opened { .. } | FollowReport::Following { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(came, records);
    answers
}

async fn followed(follow: &mut Follow) {
    while !matches!(follow.next().await.expect("it is open"), FollowReport::Following { .. }) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn records_that_come_one_by_one_are_asked_for_a_few_at_a_time() {
    const GATHER: Duration = Duration::from_millis(400);
    let sim = server().await;
    let mut follow = follow(&sim, GATHER);
    followed(&mut follow).await;
    let began = Instant::now();
    let writing = async {
        for _ in 0..100 {
            sim.server("fred").unwrap().append_generated("System", 1).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let (answers, ()) = tokio::join!(answers(&mut follow, 100), writing);
    // Between two answers it was waited, however slow anything was.
    let most = began.elapsed().as_millis() / GATHER.as_millis() + 1;
    assert!(answers as u128 <= most, "{answers} answers where {most} fit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_behind_is_read_at_once() {
    let sim = server().await;
    sim.server("fred").unwrap().append_generated("System", 5_000).unwrap();
    // An answer that was waited for would come in an hour.
    let mut follow = follow(&sim, Duration::from_secs(3_600));
    let answers = answers(&mut follow, 5_000);
    let answers = tokio::time::timeout(Duration::from_secs(120), answers).await;
    let answers = answers.expect("nothing is waited for while there is more");
    assert!(answers > 1, "all came at once, so nothing was shown");
}
