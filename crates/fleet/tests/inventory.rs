//! What an inventory says, asked as its users ask.

use std::path::PathBuf;

use quarry_cred::SecretSource;
use quarry_fleet::Protocol;
use quarry_fleet::inventory::{Authentication, Inventory, SelectError, ServerEntry};

const CORP: &str = r#"
credential = "corp"

[credentials.corp]
username = 'CORP\ann'
password-file = "corp.password"

[credentials.lab]
username = "lab@corp.example"
password-env = "LAB_PASSWORD"

[credentials.dmz]
username = '.\dmz'

[servers."dc[08:10].corp"]
groups = ["dcs"]

[groups]
web = ["web[1:3].corp", "fred", "@dcs"]
all-web = ["WEB*", "@web"]
everything = ["@all"]

[servers.fred]
address = "127.0.0.1"
mapper-port = 40135
endpoint = 49664
credential = "lab"
authentication = "ntlm"
logs = ["System", "Security"]

[servers."2001:db8::1"]

[servers."gw[a:b].dmz.corp"]
address = "10.0.0.[1:2]"
logs = ["Application"]

[overrides."*.corp"]
mapper-port = 1135
logs = ["System", "Microsoft-Windows-*/Operational"]

[overrides."*.DMZ.corp"]
credential = "dmz"
authentication = "ntlm"

[overrides."web[2:3].corp"]
mapper-port = 2135
"#;

fn corp() -> Inventory {
    Inventory::parse(CORP).unwrap()
}

fn names<'s>(servers: impl IntoIterator<Item = &'s ServerEntry>) -> Vec<&'s str> {
    servers.into_iter().map(|server| &*server.name).collect()
}

fn selected(text: &str) -> Vec<String> {
    let inventory = corp();
    names(inventory.select(text).unwrap()).into_iter().map(str::to_owned).collect()
}

#[test]
fn servers_are_in_the_order_of_the_text_and_those_of_groups_are_among_them() {
    let expected = [
        "dc08.corp",
        "dc09.corp",
        "dc10.corp",
        "web1.corp",
        "web2.corp",
        "web3.corp",
        "fred",
        "2001:db8::1",
        "gwa.dmz.corp",
        "gwb.dmz.corp",
    ];
    // fred's table is below the group that names it, and its place is its table's.
    assert_eq!(names(corp().servers()), expected);
}

#[test]
fn a_server_has_what_its_table_says() {
    let fred = corp().server("Fred");
    assert_eq!((&*fred.name, &*fred.address), ("fred", "127.0.0.1"));
    assert_eq!((fred.mapper_port, fred.endpoint), (40135, Some(49664)));
    assert_eq!(fred.credential.as_deref(), Some("lab"));
    assert_eq!(fred.authentication, Authentication::Ntlm);
    assert_eq!(&*fred.logs, ["System", "Security"]);
    let groups: Vec<_> = fred.groups.iter().map(|group| &**group).collect();
    assert_eq!(groups, ["web", "all-web", "everything"]);
}

#[test]
fn a_server_without_settings_has_the_defaults() {
    let server = corp().server("2001:DB8:0::1");
    let expected = ServerEntry::new("[2001:db8::1]");
    assert_eq!((&server.name, &server.address), (&expected.name, &expected.address));
    assert_eq!(server.address, "2001:db8::1");
    assert_eq!((server.mapper_port, server.endpoint), (135, None));
    assert_eq!(server.credential.as_deref(), Some("corp"));
    assert_eq!(server.authentication, Authentication::Negotiate);
    assert!(server.logs.is_empty());
    assert_eq!(Inventory::default().server("x"), ServerEntry::new("x"));
}

#[test]
fn later_overrides_win_over_earlier_ones_and_a_servers_own_settings_over_all() {
    let inventory = corp();
    let ports = |name| inventory.server(name).mapper_port;
    assert_eq!([ports("web1.corp"), ports("web2.corp"), ports("web3.corp")], [1135, 2135, 2135]);
    let gateway = inventory.server("gwb.dmz.corp");
    assert_eq!(gateway.address, "10.0.0.2");
    assert_eq!(gateway.mapper_port, 1135);
    assert_eq!(gateway.credential.as_deref(), Some("dmz"));
    assert_eq!(gateway.authentication, Authentication::Ntlm);
    assert_eq!(&*gateway.logs, ["Application"]);
}

#[test]
fn overrides_hold_for_hosts_that_the_inventory_does_not_list() {
    let host = corp().server("New.dmz.Corp");
    assert_eq!((&*host.name, &*host.address), ("New.dmz.Corp", "New.dmz.Corp"));
    assert_eq!(host.credential.as_deref(), Some("dmz"));
    assert_eq!(host.mapper_port, 1135);
    assert_eq!(&*host.logs, ["System", "Microsoft-Windows-*/Operational"]);
    assert!(host.groups.is_empty());
    assert_eq!(corp().server("elsewhere").mapper_port, 135);
}

#[test]
fn credentials_are_accounts_and_where_their_secrets_are() {
    let inventory = corp();
    let corp = inventory.credential("corp").unwrap();
    assert_eq!(corp.account.to_string(), r"CORP\ann");
    // The path as it is written: only the caller knows the inventory's folder.
    assert_eq!(corp.secret, SecretSource::File(PathBuf::from("corp.password")));
    let lab = inventory.credential("lab").unwrap();
    assert_eq!(lab.secret, SecretSource::Environment("LAB_PASSWORD".to_owned()));
    assert_eq!(inventory.credential("dmz").unwrap().secret, SecretSource::Prompt);
    assert_eq!(inventory.credential("Corp"), None);
    let all: Vec<_> = inventory.credentials().map(|(name, _)| name).collect();
    assert_eq!(all, ["corp", "lab", "dmz"]);
}

#[test]
fn a_text_selects_a_group_a_glob_a_range_or_a_name() {
    assert_eq!(selected("@dcs"), ["dc08.corp", "dc09.corp", "dc10.corp"]);
    assert_eq!(selected("@DCs"), selected("@dcs"));
    let web =
        ["dc08.corp", "dc09.corp", "dc10.corp", "web1.corp", "web2.corp", "web3.corp", "fred"];
    assert_eq!(selected("@web"), web);
    assert_eq!(selected("@all-web"), web);
    assert_eq!(selected("@all").len(), 10);
    assert_eq!(selected("@everything"), selected("@all"));
    assert_eq!(selected("*.DMZ.*"), ["gwa.dmz.corp", "gwb.dmz.corp"]);
    assert_eq!(selected("dc0[8-9].corp"), ["dc08.corp", "dc09.corp"]);
    assert_eq!(selected("dc[09:10].corp"), ["dc09.corp", "dc10.corp"]);
    assert_eq!(selected("{web,dc}[1:3]*"), ["dc10.corp", "web1.corp", "web2.corp", "web3.corp"]);
    assert_eq!(selected("FRED."), ["fred"]);
    assert_eq!(selected("[2001:db8::1]"), ["2001:db8::1"]);
    let groups = corp();
    assert_eq!(groups.groups().collect::<Vec<_>>(), ["dcs", "web", "all-web", "everything"]);
}

#[test]
fn what_selects_nothing_says_why_and_what_is_near() {
    let inventory = corp();
    for (text, message) in [
        ("@dc", "the inventory has no group `@dc`; did you mean @dcs?"),
        ("@nobody", "the inventory has no group `@nobody`"),
        ("@al", "the inventory has no group `@al`; did you mean @all?"),
        ("fredd", "the inventory has no server `fredd`; did you mean fred?"),
        ("dc[08:11].corp", "the inventory has no server `dc11.corp`; did you mean dc10.corp?"),
        ("*.example", "`*.example` matches no server of the inventory"),
        (
            "dc[1-",
            "a bracket is not closed; globs have *, ?, [a-z], [!a-z] and {a,b}; in brackets a wildcard stands for itself: [*], [[]",
        ),
        ("dc[3:1]", "the range `[3:1]` ends before it begins"),
        ("fred:135", "`fred:135` is neither a name nor an IPv6 address"),
        ("", "a server's name is missing"),
        ("x[1:2000]*", "a text selects by at most 1000 globs"),
    ] {
        assert_eq!(inventory.select(text).unwrap_err().to_string(), message);
    }
    let empty = Inventory::parse("[groups]\nnone = []").unwrap();
    assert_eq!(empty.select("@none"), Err(SelectError::EmptyGroup("none".to_owned())));
    assert_eq!(empty.select("@all"), Err(SelectError::EmptyGroup("all".to_owned())));
}

#[test]
fn names_and_ranges_resolve_to_servers_that_are_not_listed_too() {
    let inventory = corp();
    let servers = inventory.resolve("web[3:4].corp").unwrap();
    assert_eq!(names(&servers), ["web3.corp", "web4.corp"]);
    assert_eq!([servers[0].mapper_port, servers[1].mapper_port], [2135, 1135]);
    assert_eq!(
        names(&inventory.resolve("@dcs").unwrap()),
        names(inventory.select("@dcs").unwrap())
    );
    assert!(matches!(inventory.resolve("*.example"), Err(SelectError::NoMatch(_))));
    assert!(matches!(inventory.resolve("a b"), Err(SelectError::Name(_))));
}

#[test]
fn groups_are_what_either_side_says() {
    let text =
        "[servers.a]\ngroups = ['X', 'y', 'x']\n[servers.b]\n[groups]\nx = ['b']\nz = ['@Y']";
    let inventory = Inventory::parse(text).unwrap();
    assert_eq!(names(inventory.select("@x").unwrap()), ["a", "b"]);
    assert_eq!(names(inventory.select("@z").unwrap()), ["a"]);
    // The group's own table says how its name is written.
    assert_eq!(inventory.groups().collect::<Vec<_>>(), ["x", "y", "z"]);
}

#[test]
fn any_way_to_write_toml_will_do() {
    let inventory = Inventory::parse(
        "\u{feff}servers.fred.address = \"10.0.0.1\"\r\nservers.\"barn\\u0065y\" = { endpoint = 0xC200 }\r\n",
    )
    .unwrap();
    assert_eq!(names(inventory.servers()), ["fred", "barney"]);
    assert_eq!(inventory.server("barney").endpoint, Some(49664));
    assert!(Inventory::parse("").unwrap().servers().is_empty());
}

#[test]
fn a_large_inventory_is_read() {
    let text =
        "[servers.\"s[000001:100000].corp\"]\ngroups = ['g']\n[overrides.'s1*']\nendpoint = 1";
    let inventory = Inventory::parse(text).unwrap();
    assert_eq!(inventory.servers().len(), 100_000);
    assert_eq!(inventory.server("S100000.corp").endpoint, Some(1));
    assert_eq!(inventory.server("s000100.corp").endpoint, None);
    assert_eq!(inventory.select("@g").unwrap().len(), 100_000);
}

#[test]
fn the_example_of_the_documentation_says_what_its_comments_say() {
    let page = include_str!("../../../docs/inventory.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let inventory = Inventory::parse(example).unwrap();
    assert_eq!(inventory.servers().len(), 12 + 1 + 2 + 3);
    assert_eq!(inventory.select("@dcs").unwrap().len(), 12);
    assert_eq!(inventory.select("@front").unwrap().len(), 6);
    let second = inventory.server("gw2.dmz.corp");
    assert_eq!((&*second.address, second.endpoint), ("192.0.2.12", Some(49664)));
    let credential = |host: &str| inventory.server(host).credential;
    assert_eq!(credential("dc12.corp").as_deref(), Some("corp"));
    assert_eq!(credential("fred").as_deref(), Some("lab"));
    assert_eq!(credential("elsewhere.dmz.corp").as_deref(), Some("dmz"));
    assert_eq!(inventory.credential("dmz").unwrap().secret, SecretSource::Prompt);
}

#[test]
fn what_is_spoken_is_said_or_told_by_the_ports_that_are_named() {
    let speaks = |said: &str| {
        let text = format!("[servers.fred]\n{said}");
        Inventory::parse(&text).unwrap().server("fred").speaks()
    };
    // Where nothing is said either will do.
    assert_eq!(speaks(""), None);
    assert_eq!(speaks("mapper-port = 135\nsmb-port = 445"), None);
    assert_eq!(speaks("mapper-port = 40135"), Some(Protocol::Even6));
    assert_eq!(speaks("endpoint = 49664"), Some(Protocol::Even6));
    assert_eq!(speaks("smb-port = 40445"), Some(Protocol::Even));
    assert_eq!(speaks("mapper-port = 40135\nsmb-port = 40445"), None);
    assert_eq!(speaks("protocol = 'any'\nmapper-port = 40135"), None);
    assert_eq!(speaks("protocol = 'even'\nendpoint = 49664"), Some(Protocol::Even));
    assert_eq!(speaks("protocol = 'even6'\nsmb-port = 40445"), Some(Protocol::Even6));
}

#[test]
fn a_keytab_stands_in_the_place_of_a_password() {
    let inventory = Inventory::parse(
        "[credentials.k]\nusername = 'ann@corp.example'\nkeytab = 'ann.keytab'\n\
         [servers.fred]\ncredential = 'k'\nauthentication = 'kerberos'\n",
    )
    .unwrap();
    let credential = inventory.credential("k").unwrap();
    assert_eq!(credential.keytab.as_deref(), Some(std::path::Path::new("ann.keytab")));
    assert_eq!(credential.secret, quarry_cred::SecretSource::Prompt);
    assert_eq!(inventory.servers()[0].authentication, Authentication::Kerberos);
}
