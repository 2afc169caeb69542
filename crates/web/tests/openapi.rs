//! The API against its own description: schemathesis makes requests out of `/openapi.json`, those that
//! it allows and those that it doesn't, of somebody who is signed in and of nobody.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use quarry_event::{Element, Event, EventTime, Node};
use quarry_web::access::Gate;
use quarry_web::access::clock::Clock;
use quarry_web::access::token::ApiToken;
use quarry_web::sources::Memory;
use quarry_web::{App, Sources, router, serve};
use tokio::net::TcpListener;

/// Requests of each kind for each operation.
const EXAMPLES: &str = "12";
/// What is the same in each run.
const SEED: &str = "4625";

/// Some events, of two sources.
fn memory() -> Memory {
    let memory = Memory::new(["dc01".to_owned(), "dc02".to_owned()]);
    for n in 0..300_u64 {
        let text = |name: &str, text: String| Element {
            children: vec![Node::Text(text)],
            ..Element::new(name)
        };
        let time = EventTime::from_filetime(133_000_000_000_000_000 + n * 7 * EventTime::SECOND);
        let with = |name: &str, attribute: &str, value: String| Element {
            attributes: vec![(attribute.to_owned(), value)],
            ..Element::new(name)
        };
        let system = [
            with("Provider", "Name", format!("provider{}", n % 3)),
            text("EventID", (4624 + n % 3).to_string()),
            text("Level", (n % 6).to_string()),
            with("TimeCreated", "SystemTime", time.to_string()),
            text("Channel", "System".to_owned()),
        ];
        let system =
            Element { children: system.map(Node::Element).into(), ..Element::new("System") };
        let root = Element { children: vec![Node::Element(system)], ..Element::new("Event") };
        memory.store(usize::try_from(n % 2).unwrap_or_default(), "System", n + 1, Event { root });
    }
    memory
}

/// Runs schemathesis against a page, and gives what it said where it found something.
fn find(python: &Path, description: &Path, page: &str, token: Option<&str>) -> Option<String> {
    let mut command = Command::new(python);
    command
        // It leaves a cache where it runs.
        .current_dir(description.parent().expect("it is in a folder"))
        .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"])
        .arg(description)
        .args(["--url", page, "--seed", SEED, "--max-examples", EXAMPLES])
        .args(["--generation-deterministic", "--request-timeout", "60", "--warnings", "off"])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        .env("NO_COLOR", "1");
    if let Some(token) = token {
        command.args(["-H", &format!("Authorization: Bearer {token}")]);
    }
    let output = command.output().expect("Python runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (!output.status.success()).then_some(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_that_can_be_made_out_of_the_description_is_answered_against_it() {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi/requirements.txt");
    let python = quarry_testkit::python("schemathesis", &requirements);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback");
    let address = listener.local_addr().expect("an address");
    let gate = Arc::new(Gate::owner(address, "ann", Clock::system()).expect("the loopback"));
    let made = jiff::Timestamp::now();
    let token = ApiToken {
        name: "schemathesis".to_owned(),
        person: "ann".to_owned(),
        session: None,
        made,
        ends: made + jiff::SignedDuration::from_hours(1),
    };
    let token = gate.tokens().make(token).expect("randomness");
    let app = Arc::new(App::new(Sources::new().with(Arc::new(memory()))));
    let serving = serve(listener, None, gate.guard(router(Arc::clone(&app))));
    let page = format!("http://{address}");

    // The description is for who is signed in.
    let folder = tempfile::tempdir().expect("a folder");
    let description = folder.path().join("openapi.json");
    let described = tokio::task::spawn_blocking({
        let (python, page, token) = (python.clone(), page.clone(), token.to_string());
        let description = description.clone();
        move || {
            let fetch = "import sys, urllib.request as r; open(sys.argv[3], 'wb').write(r.urlopen(\
                         r.Request(sys.argv[1] + '/openapi.json', headers={'Authorization': \
                         'Bearer ' + sys.argv[2]})).read())";
            Command::new(python)
                .args(["-c", fetch, &page, &token])
                .arg(description)
                .status()
                .expect("Python runs")
        }
    });
    assert!(described.await.expect("no panic").success());
    for token in [Some(token.to_string()), None] {
        let (python, description, page) = (python.clone(), description.clone(), page.clone());
        let who = if token.is_some() { "signed in" } else { "signed out" };
        let found = tokio::task::spawn_blocking(move || {
            find(&python, &description, &page, token.as_deref())
        });
        if let Some(said) = found.await.expect("no panic") {
            panic!("{who}: {said}");
        }
    }
    app.stop();
    serving.stop().await;
}
