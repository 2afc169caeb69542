//! Inventories from anyone: any text is refused at a place in it, in a few short lines, or is an
//! inventory whose servers are selected by what names them.

use quarry_fleet::inventory::Inventory;

/// Servers looked at one by one, so that one run is short.
const SERVERS: usize = 20;

pub(crate) fn run(text: &str) {
    let inventory = match Inventory::parse(text) {
        Ok(inventory) => inventory,
        Err(error) => {
            let line = text.split('\n').nth(error.line - 1).expect("a line of the text");
            assert!(error.column <= line.chars().count() + 1);
            assert!(error.snippet().len() < 1000);
            assert!(error.to_string().len() < 10_000);
            assert!(error.hint().is_none_or(|hint| !hint.is_empty()));
            return;
        }
    };
    let servers = inventory.servers();
    match inventory.select("@all") {
        Ok(all) => assert_eq!(all.len(), servers.len()),
        Err(_) => assert!(servers.is_empty()),
    }
    for server in servers.iter().take(SERVERS) {
        assert_eq!(&inventory.server(&server.name.to_ascii_uppercase()).name, &server.name);
        assert_eq!(inventory.select(&server.name).as_deref(), Ok(&[server][..]));
        assert!(server.mapper_port != 0 && server.endpoint != Some(0));
        assert!(server.credential.as_ref().is_none_or(|name| inventory.credential(name).is_some()));
        for group in &server.groups {
            let members = inventory.select(&format!("@{group}")).expect("a group with a server");
            assert!(members.contains(&server));
        }
    }
    let names: Vec<_> = inventory.groups().collect();
    for name in names.into_iter().take(SERVERS) {
        if let Ok(members) = inventory.select(&format!("@{name}")) {
            for server in members.into_iter().take(SERVERS) {
                assert!(server.groups.iter().any(|group| &**group == name));
            }
        }
    }
    // Whatever the text is, it may also be what somebody selects by.
    let line = text.lines().next().unwrap_or_default();
    if let Ok(selected) = inventory.select(line) {
        assert!(!selected.is_empty());
        let resolved = inventory.resolve(line).expect("what can be selected can be resolved");
        assert!(selected.iter().all(|server| resolved.contains(server)));
    }
}
