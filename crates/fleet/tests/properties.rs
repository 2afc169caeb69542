//! What holds for every inventory: one that is written comes back as it was meant, and any text is
//! read or refused at a place in it.

#[path = "../../../fuzz/targets/inventory.rs"]
mod inventory;

use std::collections::BTreeSet;
use std::fmt::Write;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use quarry_cred::SecretSource;
use quarry_fleet::inventory::{Authentication, Inventory, MAPPER_PORT, ProtocolChoice};

/// What a test means to say in an inventory, without ranges and overrides.
#[derive(Clone, Debug)]
struct Meant {
    credential: Option<&'static str>,
    credentials: Vec<(&'static str, SecretSource)>,
    servers: Vec<(String, Own)>,
    /// Names of servers, in `servers` or not.
    groups: Vec<(String, Vec<String>)>,
}

#[derive(Clone, Debug)]
struct Own {
    address: Option<String>,
    mapper_port: Option<u16>,
    endpoint: Option<u16>,
    smb_port: Option<u16>,
    protocol: Option<(&'static str, ProtocolChoice)>,
    credential: Option<&'static str>,
    authentication: Option<Authentication>,
    logs: Option<Vec<String>>,
    groups: Vec<String>,
}

const PROTOCOLS: [(&str, ProtocolChoice); 3] = [
    ("any", ProtocolChoice::Any),
    ("even6", ProtocolChoice::Even6),
    ("even", ProtocolChoice::Even),
];

const CREDENTIALS: [&str; 3] = ["corp", "lab \"1\"", "ü"];

fn names() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[a-cé_]{1,3}(\\.[a-c0-9]{1,2}){0,2}", "10\\.0\\.0\\.[0-9]"]
}

fn own() -> impl Strategy<Value = Own> {
    let port = || option::of(1u16..);
    let ways = vec![Authentication::Negotiate, Authentication::Ntlm, Authentication::Kerberos];
    let logs = vec("[A-Za-z\"\\\\' /-]{1,8}", 0..3);
    (
        (option::of(names()), port(), port(), option::of(select(&CREDENTIALS[..]))),
        (port(), option::of(select(&PROTOCOLS[..]))),
        (option::of(select(ways)), option::of(logs), vec("[g-h]{1,2}", 0..3)),
    )
        .prop_map(
            |(
                (address, mapper_port, endpoint, credential),
                (smb_port, protocol),
                (authentication, logs, groups),
            )| Own {
                smb_port,
                protocol,
                address,
                mapper_port,
                endpoint,
                credential,
                authentication,
                logs,
                groups,
            },
        )
}

fn meant() -> impl Strategy<Value = Meant> {
    let secrets = prop_oneof![
        Just(SecretSource::Prompt),
        "[a-z\\\\/ .]{1,9}".prop_map(|path| SecretSource::File(path.into())),
        "[A-Z_]{1,9}".prop_map(SecretSource::Environment),
    ];
    (
        option::of(select(&CREDENTIALS[..])),
        vec(secrets, 3),
        btree_map(names(), own(), 0..6),
        btree_map("[g-h]{1,2}|[i-k]", vec(names(), 0..4), 0..4),
    )
        .prop_map(|(credential, secrets, servers, groups)| Meant {
            credential,
            credentials: CREDENTIALS.into_iter().zip(secrets).collect(),
            servers: servers.into_iter().collect(),
            groups: groups.into_iter().collect(),
        })
}

/// A TOML text, as a basic string with everything escaped that can be (TOML 1.0, String).
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '-' => quoted.push(c),
            _ => write!(quoted, "\\u{:04x}", u32::from(c)).unwrap(),
        }
    }
    quoted + "\""
}

fn list(texts: &[String]) -> String {
    let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

fn written(meant: &Meant) -> String {
    let mut text = String::new();
    if let Some(credential) = meant.credential {
        writeln!(text, "credential = {}", quoted(credential)).unwrap();
    }
    for (name, secret) in &meant.credentials {
        writeln!(text, "[credentials.{}]\nusername = 'CORP\\ann'", quoted(name)).unwrap();
        match secret {
            SecretSource::File(path) => {
                writeln!(text, "password-file = {}", quoted(path.to_str().unwrap())).unwrap();
            }
            SecretSource::Environment(name) => writeln!(text, "password-env = {name:?}").unwrap(),
            _ => {}
        }
    }
    for (name, own) in &meant.servers {
        writeln!(text, "[servers.{}]", quoted(name)).unwrap();
        write_own(own, &mut text);
    }
    writeln!(text, "[groups]").unwrap();
    for (name, members) in &meant.groups {
        writeln!(text, "{} = {}", quoted(name), list(members)).unwrap();
    }
    text
}

fn write_own(own: &Own, text: &mut String) {
    let mut line = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            writeln!(text, "{key} = {value}").unwrap();
        }
    };
    line("address", own.address.as_deref().map(quoted));
    line("mapper-port", own.mapper_port.map(|port| port.to_string()));
    line("endpoint", own.endpoint.map(|port| format!("{port:#x}")));
    line("smb-port", own.smb_port.map(|port| port.to_string()));
    line("protocol", own.protocol.map(|(word, _)| quoted(word)));
    line("credential", own.credential.map(quoted));
    line("authentication", own.authentication.map(|way| quoted(&way.to_string())));
    line("logs", own.logs.as_deref().map(list));
    line("groups", (!own.groups.is_empty()).then(|| list(&own.groups)));
}

/// Overrides' names, and for each what it matches.
type Matches = fn(&str) -> bool;
const OVERRIDES: [(&str, Matches); 6] = [
    ("*", |_| true),
    ("a*", |name| name.starts_with('a')),
    ("*B", |name| name.ends_with('b')),
    ("[a:b]?", |name| name.len() == 2 && name.starts_with(['a', 'b'])),
    ("Ab", |name| name == "ab"),
    ("[b:c]b", |name| ["bb", "cb"].contains(&name)),
];

proptest! {
    #[test]
    fn what_is_written_comes_back(meant in meant()) {
        let text = written(&meant);
        let inventory = Inventory::parse(&text).map_err(|error| {
            TestCaseError::fail(format!("{error}\n{}", error.snippet()))
        })?;
        let mut expected: Vec<&str> = meant.servers.iter().map(|(name, _)| &**name).collect();
        for member in meant.groups.iter().flat_map(|(_, members)| members) {
            if !expected.contains(&&**member) {
                expected.push(member);
            }
        }
        let found: Vec<_> = inventory.servers().iter().map(|server| &*server.name).collect();
        prop_assert_eq!(&found, &expected);
        for (name, own) in &meant.servers {
            let server = inventory.server(name);
            prop_assert_eq!(&server.address, own.address.as_ref().unwrap_or(name));
            prop_assert_eq!(server.mapper_port, own.mapper_port.unwrap_or(MAPPER_PORT));
            prop_assert_eq!(server.endpoint, own.endpoint);
            prop_assert_eq!(server.smb_port, own.smb_port.unwrap_or(445));
            prop_assert_eq!(server.protocol, own.protocol.map(|(_, choice)| choice));
            prop_assert_eq!(server.credential.as_deref(), own.credential.or(meant.credential));
            prop_assert_eq!(server.authentication, own.authentication.unwrap_or_default());
            prop_assert_eq!(&*server.logs, own.logs.as_deref().unwrap_or_default());
        }
        for (name, secret) in &meant.credentials {
            prop_assert_eq!(&inventory.credential(name).unwrap().secret, secret);
        }
        // Who is in a group, asked of both sides.
        for group in inventory.groups() {
            let says_so = |own: &Own| own.groups.iter().any(|name| name == group);
            let members = meant.servers.iter().filter(|(_, own)| says_so(own));
            let mut members: BTreeSet<_> = members.map(|(name, _)| &**name).collect();
            let named = meant.groups.iter().filter(|(name, _)| name == group);
            members.extend(named.flat_map(|(_, members)| members).map(|name| &**name));
            let selected = inventory.select(&format!("@{group}")).unwrap_or_default();
            prop_assert_eq!(selected.len(), members.len());
            for server in inventory.servers() {
                let is_member = members.contains(&*server.name);
                prop_assert_eq!(selected.contains(&server), is_member);
                prop_assert_eq!(server.groups.iter().any(|name| &**name == group), is_member);
            }
        }
    }

    #[test]
    fn what_is_said_last_holds_and_a_servers_own_word_over_all(
        order in Just((0..OVERRIDES.len()).collect::<Vec<_>>()).prop_shuffle(),
        said in vec(own(), 0..OVERRIDES.len()),
        own in option::of(own()),
        name in "[a-c]{1,2}",
    ) {
        let said: Vec<_> = said
            .into_iter()
            .map(|own| Own { address: None, groups: Vec::new(), ..own })
            .zip(order.iter().map(|&place| OVERRIDES[place]))
            .collect();
        let mut text = String::new();
        for name in CREDENTIALS {
            writeln!(text, "[credentials.{}]\nusername = 'ann'", quoted(name)).unwrap();
        }
        if let Some(own) = &own {
            writeln!(text, "[servers.{name}]").unwrap();
            write_own(own, &mut text);
        }
        for (said, (name, _)) in &said {
            writeln!(text, "[overrides.{}]", quoted(name)).unwrap();
            write_own(said, &mut text);
        }
        let server = Inventory::parse(&text).unwrap().server(&name.to_uppercase());
        // Of those that say something, the last: a server's own table comes after all.
        let all: Vec<_> = said
            .iter()
            .filter(|(_, (_, matches))| matches(&name))
            .map(|(said, _)| said)
            .chain(&own)
            .collect();
        let last = |of: fn(&Own) -> Option<u16>| all.iter().rev().find_map(|said| of(said));
        prop_assert_eq!(server.mapper_port, last(|said| said.mapper_port).unwrap_or(135));
        prop_assert_eq!(server.endpoint, last(|said| said.endpoint));
        prop_assert_eq!(server.smb_port, last(|said| said.smb_port).unwrap_or(445));
        let protocol = all.iter().rev().find_map(|said| said.protocol);
        prop_assert_eq!(server.protocol, protocol.map(|(_, choice)| choice));
        let credential = all.iter().rev().find_map(|said| said.credential);
        prop_assert_eq!(server.credential.as_deref(), credential);
        let authentication = all.iter().rev().find_map(|said| said.authentication);
        prop_assert_eq!(server.authentication, authentication.unwrap_or_default());
        let logs = all.iter().rev().find_map(|said| said.logs.as_deref());
        prop_assert_eq!(&*server.logs, logs.unwrap_or_default());
    }

    #[test]
    fn any_text_is_read_or_refused_at_a_place_in_it(
        lines in vec(select(LINES), 0..12),
        junk in "\\PC{0,8}",
        at in any::<prop::sample::Index>(),
    ) {
        let mut text = lines.join("\n");
        let places: Vec<_> = (0..=text.len()).filter(|&at| text.is_char_boundary(at)).collect();
        text.insert_str(places[at.index(places.len())], &junk);
        inventory::run(&text);
    }

    #[test]
    fn lines_of_inventories_in_any_order_are_read_or_refused(
        lines in vec(select(LINES), 0..12),
    ) {
        inventory::run(&lines.join("\n"));
    }
}

const LINES: &[&str] = &[
    "credential = 'c'",
    "[credentials.c]",
    "username = 'CORP\\ann'",
    "password = \"x\"",
    "password-file = '''\nx'''",
    "password-env = 'X'",
    "[servers.fred]",
    "[servers.\"dc[01:12].corp\"]",
    "[servers.'dc[2:3]']",
    "[servers]",
    "'a[a:c]' = { address = '10.0.0.[1:3]', groups = ['g'] }",
    "address = '::1'",
    "endpoint = 0x10",
    "mapper-port = 135",
    "authentication = 'ntlm'",
    "logs = ['System', 'Microsoft-*/Operational']",
    "groups = ['g', 'h']",
    "[groups]",
    "g = ['fred', '@h', 'dc*']",
    "h = ['@g', 'web[1:3]']",
    "all = ['@all']",
    "[overrides.'*']",
    "[overrides.'dc[1:2]?.corp']",
    "# é",
];

#[test]
fn the_seeds_of_the_fuzz_target_are_read_or_refused() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/inventory");
    let (mut read, mut refused) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        inventory::run(&text);
        match Inventory::parse(&text) {
            Ok(_) => read += 1,
            Err(_) => refused += 1,
        }
        // And each as far as any place in it.
        for (at, _) in text.char_indices() {
            inventory::run(&text[..at]);
        }
    }
    assert!(read >= 4 && refused >= 4, "{read} read, {refused} refused");
}
