//! Mistakes in an inventory: each is told with its line, its column and what is wrong.

use quarry_fleet::inventory::{Inventory, InventoryError, limits};

fn error(text: &str) -> InventoryError {
    match Inventory::parse(text) {
        Err(error) => error,
        Ok(inventory) => panic!("taken: {text}\n{inventory:?}"),
    }
}

/// Each inventory has the mistake where the mark ▸ stands, which is not part of it.
fn check(cases: &[(&str, &str, Option<&str>)]) {
    for (marked, message, hint) in cases {
        let (before, after) = marked.split_once('▸').expect("a mark");
        let text = format!("{before}{after}");
        let error = error(&text);
        let line = before.split('\n').count();
        let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
        let said = error.problem.to_string();
        if *message == PARSER {
            assert!(said.starts_with(PARSER) && said.len() > PARSER.len(), "{said}");
        } else {
            assert_eq!(said, *message, "{text}");
        }
        assert_eq!((error.line, error.column), (line, column), "{text}");
        assert_eq!(error.hint().as_deref(), *hint, "{text}");
        assert_eq!(error.to_string(), format!("line {line}, column {column}: {said}"));
        let caret = error.snippet().lines().last().unwrap();
        assert_eq!(caret.chars().count(), column, "{text}");
        assert!(caret.ends_with('^'));
    }
}

/// Before what the TOML parser says, in its own words.
const PARSER: &str = "not TOML: ";
const BACKSLASH: &str = "in double quotes a backslash begins an escape; write accounts and Windows \
                         paths in single quotes: 'CORP\\ann'";

#[test]
fn what_is_no_toml_is_told_where_it_begins_to_be_none() {
    check(&[
        ("a = ▸", PARSER, None),
        ("[servers.fred]\naddress = ▸localhost", PARSER, None),
        ("[credentials.corp]\nusername = \"CORP\\▸ann\"", PARSER, Some(BACKSLASH)),
        ("[credentials.corp]\npassword-file = \"C:\\u▸sers\\ann\"", PARSER, Some(BACKSLASH)),
        ("[servers.fred▸", PARSER, None),
        ("credential = \"corp▸\n", PARSER, None),
    ]);
}

#[test]
fn keys_that_there_are_not_are_told_with_those_that_there_are() {
    check(&[
        (
            "▸server = 1",
            "an inventory has no `server`; it has credential, credentials, servers, groups, overrides",
            Some("did you mean servers?"),
        ),
        (
            "[servers.fred]\n  ▸adress = \"10.0.0.1\"",
            "a server has no `adress`; it has address, protocol, mapper-port, endpoint, smb-port, credential, \
             authentication, as, logs, groups",
            Some("did you mean address?"),
        ),
        (
            "[servers.fred]\n▸mapper_port = 1",
            "a server has no `mapper_port`; it has address, protocol, mapper-port, endpoint, smb-port, credential, \
             authentication, as, logs, groups",
            Some("did you mean mapper-port?"),
        ),
        (
            "[credentials.c]\nusername = \"a\"\n▸\"key\\ntab\" = 'x'",
            r"a credential has no `key\ntab`; it has username, password-file, password-env, keytab",
            Some("did you mean keytab?"),
        ),
        (
            "[overrides.\"*\"]\n▸log = []",
            "an override has no `log`; it has protocol, mapper-port, endpoint, smb-port, credential, \
             authentication, as, logs",
            Some("did you mean logs?"),
        ),
        (
            "[overrides.\"*\"]\n▸address = 'x'",
            "`address` has no place here",
            Some("one address can't be that of many servers; it belongs in [servers]"),
        ),
        (
            "[overrides.\"*\"]\n▸groups = []",
            "`groups` has no place here",
            Some("write the glob into the group: [groups] NAME = [\"GLOB\"]"),
        ),
        (
            "▸endpoint = 1",
            "`endpoint` has no place here",
            Some(
                "what is said of a server goes into its table, [servers.NAME]; what is said of \
                 all, into [overrides.\"*\"]",
            ),
        ),
    ]);
}

#[test]
fn values_of_another_kind_are_told_with_what_is_expected() {
    check(&[
        ("servers = ▸1", "a table is expected here, not a whole number", None),
        ("servers.fred = ▸[]", "a table is expected here, not a list", None),
        ("▸[[servers]]", "a table is expected here, not a list", None),
        ("credential = ▸1.5", "a text in quotes is expected here, not a number with a point", None),
        (
            "groups.web = ▸'fred'",
            "a list of texts, such as [\"a\", \"b\"], is expected here, not a text",
            None,
        ),
        (
            "groups.web = [\n  'a',\n  ▸true]",
            "a text in quotes is expected here, not true or false",
            None,
        ),
        ("servers.a.address = ▸2026-11-22", "a text in quotes is expected here, not a time", None),
        ("servers.a.logs = [▸{}]", "a text in quotes is expected here, not a table", None),
        ("servers.a.endpoint = ▸'135'", "a port's number is expected here, not a text", None),
        ("servers.a.endpoint = ▸0", "a port is a whole number from 1 to 65535", None),
        ("servers.a.endpoint = ▸65536", "a port is a whole number from 1 to 65535", None),
        ("servers.a.mapper-port = ▸-1", "a port is a whole number from 1 to 65535", None),
        ("servers.a.address = ▸''", "the text is empty", None),
        ("servers.▸'' = {}", "the text is empty", None),
        ("servers.a.logs = ['▸\t']", "the text has the control character '\\t'", None),
        ("servers.a.logs = [▸\"x\\u0007\"]", "the text has the control character '\\u{7}'", None),
        (
            "servers.a.protocol = ▸'smb'",
            "`smb` is not a protocol; there are any, even6 and even",
            None,
        ),
        (
            "servers.a.authentication = ▸'kerberos5'",
            "`kerberos5` is not a way to authenticate; there are negotiate, ntlm and kerberos",
            None,
        ),
        (
            "[overrides.'*']\nas = ▸'people'",
            "`as` is `service` or `person`, and `people` is neither",
            Some(
                "with `service` the page asks with the inventory's credential, with `person` by the \
                 Kerberos ticket of who is signed in",
            ),
        ),
        (
            "▸as = 'person'",
            "`as` has no place here",
            Some(
                "what is said of a server goes into its table, [servers.NAME]; what is said of all, \
                 into [overrides.\"*\"]",
            ),
        ),
        (
            "servers.a.logs = ['System', 'Sec▸[']",
            "a bracket is not closed; globs have *, ?, [a-z], [!a-z] and {a,b}; in brackets a wildcard stands for itself: [*], [[]",
            None,
        ),
    ]);
}

#[test]
fn names_that_no_server_can_have_are_refused() {
    let wildcard = Some(
        "a range of servers is written dc[01:12]; settings for every server that a glob matches \
         go into [overrides.\"GLOB\"]",
    );
    let ports = Some(
        "ports have keys of their own, mapper-port, endpoint and smb-port; an IPv6 address may stand in \
         brackets",
    );
    let only_the_name = Some(r"only the name: fred, neither \\fred nor even6://fred");
    check(&[
        ("[servers.\"dc▸[1-3]\"]", "a server's name may not contain the wildcard '['", wildcard),
        ("[servers.\"dc▸*\"]", "a server's name may not contain the wildcard '*'", wildcard),
        ("[servers.\"▸dc*[1:2]\"]", "a server's name may not contain the wildcard '*'", wildcard),
        ("[servers.\"fred▸:135\"]", "`fred:135` is neither a name nor an IPv6 address", ports),
        (r"[servers.'▸\\fred']", r"a server's name may not contain '\\'", only_the_name),
        ("groups.a = ['x', 'b▸/c']", "a server's name may not contain '/'", only_the_name),
        ("servers.a.address = 'b▸ c'", "a server's name may not contain ' '", None),
        (
            "servers.a.address = '10.0.0.▸*'",
            "a server's name may not contain the wildcard '*'",
            wildcard,
        ),
        ("[servers.'a.▸.b']", "between the dots of a server's name are 1 to 63 bytes", None),
        ("[servers.▸-a]", "a server's name doesn't begin with a hyphen", None),
        (
            "[servers.'▸@all']",
            "a server's name may not contain '@'",
            Some("groups are members of groups only, as in web = [\"@dcs\"]"),
        ),
        ("[overrides.'a▸ b']", "a server's name may not contain ' '", None),
    ]);
}

#[test]
fn ranges_that_are_none_are_refused() {
    check(&[
        (
            "[servers.\"dc▸[1:]\"]",
            "`[1:]` is not a range; ranges are [1:12], [01:12], [a:f] and, with a step, [0:100:5]",
            None,
        ),
        ("[servers.\"dc▸[12:1]\"]", "the range `[12:1]` ends before it begins", None),
        (
            "groups.a = ['dc▸[01:100]']",
            "the ends of the range `[01:100]` have zeros in front but not the same number of digits",
            Some("write both ends with as many digits, such as [001:100]"),
        ),
        (
            "groups.a = ['dc▸[1:100001]']",
            "this stands for more than the 100000 names that are allowed",
            None,
        ),
        ("[overrides.'dc▸[1:9:0]*']", "the step of the range `[1:9:0]` is 0", None),
        (
            "[servers.'dc[1:3]']\naddress = ▸'10.0.0.1'",
            "1 address for 3 servers",
            Some("an address may have ranges too, such as address = \"10.0.0.[1:12]\""),
        ),
        (
            "[servers.'dc[1:3]']\naddress = ▸'10.0.0.[1:4]'",
            "4 addresses for 3 servers",
            Some("an address may have ranges too, such as address = \"10.0.0.[1:12]\""),
        ),
    ]);
}

#[test]
fn two_servers_of_one_name_are_told_with_both_places() {
    let one_table = Some("write all of a server's settings into one table");
    check(&[
        (
            "[servers.fred]\n[servers.▸FRED]",
            "there is a server `FRED` already, at line 1, column 10",
            one_table,
        ),
        (
            "[servers]\n  'dc[01:12]' = {}\n▸dc07 = {}",
            "there is a server `dc07` already, at line 2, column 3",
            one_table,
        ),
        (
            "[servers.'dc[1:3]']\n[servers.▸'dc[3:5]']",
            "there is a server `dc3` already, at line 1, column 10",
            one_table,
        ),
        (
            "[servers.'fe80::1']\n[servers.▸'[FE80:0::1]']",
            "there is a server `FE80:0::1` already, at line 1, column 10",
            one_table,
        ),
        (
            "[servers.fred]\n[servers.▸'fred.']",
            "there is a server `fred.` already, at line 1, column 10",
            one_table,
        ),
        // Those that TOML itself refuses.
        (
            "# é\n[servers.'fred']\n[servers.barney]\n[groups]\nfred = []\n[servers.▸fred]\n",
            "`fred` was there before, at line 2, column 10",
            None,
        ),
        (
            "[servers]\nfred = {}\nbarney = {}\n[servers.▸\"fred\"]",
            "`fred` was there before, at line 2, column 1",
            None,
        ),
        (
            "[groups]\nfred = []\n[servers]\nfred = {}\n▸'fred' = {}",
            "`fred` was there before, at line 4, column 1",
            None,
        ),
        ("a = {b = 1, ▸b = 2}", "`b` was there before, at line 1, column 6", None),
        (
            "[servers]\n[groups]\n[▸servers]",
            "`servers` was there before, at line 1, column 2",
            None,
        ),
    ]);
}

#[test]
fn credentials_have_no_secrets_in_them() {
    let inline = Some(
        "put it into a file and name that with password-file, or name an environment variable \
         with password-env; with neither it is asked for on the terminal",
    );
    check(&[
        (
            "[credentials.corp]\nusername = 'a'\n▸password = 'hunter2'",
            "a password never stands in the inventory itself",
            inline,
        ),
        (
            "[credentials]\n▸corp = {}",
            "the credential `corp` has no username",
            Some(r"write username = 'CORP\ann'"),
        ),
        ("credentials.c.username = ▸'CORP\\'", "the account name has no user", None),
        (
            "[credentials.c]\nusername = 'a'\npassword-env = 'A'\n▸password-file = 'b'",
            "a credential has one of password-file, password-env and keytab",
            None,
        ),
        (
            "[credentials.c]\nusername = 'a'\nkeytab = 'A'\n▸password-env = 'b'",
            "a credential has one of password-file, password-env and keytab",
            None,
        ),
        (
            "credentials.c.password-env = ▸'A=B'",
            "this can't be the name of an environment variable",
            None,
        ),
        (
            "credential = ▸'copr'\ncredentials.corp.username = 'a'",
            "there is no credential `copr`",
            Some("did you mean corp?"),
        ),
        (
            "servers.a.credential = ▸'lab'",
            "there is no credential `lab`",
            Some("a table [credentials.lab] with a username would make it one"),
        ),
        (
            "[overrides.'*']\ncredential = ▸'lab'",
            "there is no credential `lab`",
            Some("a table [credentials.lab] with a username would make it one"),
        ),
    ]);
    for text in [
        "[credentials.corp]\npassword = 'hunter2'",
        "[credentials.corp]\npasword = 'hunter2'",
        "[credentials]\ncorp = { kennwort = 'hunter2' }",
        "[credentials.corp]\npassword = hunter2",
        "[credentials.corp]\npassword = 'hunter2",
        "[credentials.corp]\npassword = '''\nhunter2",
        "password = 'hunter2'",
        "[servers.fred]\nx = 'hunter2'",
    ] {
        let error = error(text);
        let all = format!("{error} {error:?} {:?} {}", error.hint(), error.snippet());
        assert!(!all.contains("hunter2"), "{all}");
    }
}

#[test]
fn groups_that_can_not_be_are_refused() {
    let apart = Some("take one of them out of the other");
    check(&[
        ("groups.a = [▸'@b']", "there is no group `@b`", None),
        (
            "groups.dcs = []\ngroups.a = [▸'@dc']",
            "there is no group `@dc`",
            Some("did you mean @dcs?"),
        ),
        ("groups.a = [▸'@a']", "these groups contain each other: @a has @a", apart),
        (
            "[groups]\na = ['@b']\nb = ['x', '@C']\nc = [▸'@B']",
            "these groups contain each other: @b has @c has @b",
            apart,
        ),
        ("groups.a = ['x', ▸'web*']", "`web*` matches no server of the inventory", None),
        ("groups.a = [▸'@ALL']", "`*` matches no server of the inventory", None),
        ("[groups]\n▸All = []", "the group `all` is every server by itself", None),
        ("servers.a.groups = [▸'all']", "the group `all` is every server by itself", None),
        (
            "servers.a.groups = ['▸@dcs']",
            "a group's name may not contain '@'",
            Some("the @ is only written where a group is used, not where it is named"),
        ),
        ("[groups]\n'a▸ b' = []", "a group's name may not contain ' '", None),
        ("[groups]\na = []\n▸A = []", "there is a group `A` already, at line 2, column 1", None),
        (
            "[groups]\na = ['x', 'y▸[']",
            "a bracket is not closed; globs have *, ?, [a-z], [!a-z] and {a,b}; in brackets a wildcard stands for itself: [*], [[]",
            None,
        ),
    ]);
}

#[test]
fn more_than_is_allowed_is_refused() {
    let said = |text: &str| error(text).problem.to_string();
    assert_eq!(said(&" ".repeat(limits::MAX_TEXT_BYTES + 1)), "an inventory has at most 16 MiB");
    assert_eq!(
        said("servers.'a[1:60000]' = {}\nservers.'b[1:60000]' = {}"),
        "more than the 100000 servers that are allowed"
    );
    let ranges = "'a[1:100000]', ".repeat(6);
    assert_eq!(
        said(&format!("groups.a = [{ranges}]")),
        "more than the 500000 names by ranges that are allowed"
    );
    let globs: String = (0..1001).map(|n| format!("'*{n}', ")).collect();
    assert_eq!(said(&format!("groups.a = [{globs}]")), "more than the 1000 globs that are allowed");
    let globs: String = (0..500).map(|n| format!("'*{n}*', ")).collect();
    assert_eq!(
        said(&format!("servers.'a[1:20001]' = {{}}\ngroups.a = [{globs}]")),
        "more than the 10000000 names to try against globs (the globs times the servers) that are \
         allowed"
    );
    let groups: String = (0..10_001).map(|n| format!("g{n} = []\n")).collect();
    assert_eq!(said(&format!("[groups]\n{groups}")), "more than the 10000 groups that are allowed");
    let memberships = "more than the 2000000 servers in groups, counted in each group, that are \
                       allowed";
    let groups: String = (0..21).map(|n| format!("'g{n}', ")).collect();
    assert_eq!(said(&format!("servers.'a[1:100000]'.groups = [{groups}]")), memberships);
    let groups: String = (0..21).map(|n| format!("groups.g{n} = ['*']\n")).collect();
    assert_eq!(said(&format!("servers.'a[1:100000]' = {{}}\n{groups}")), memberships);
    let groups = "'@a', ".repeat(21);
    assert_eq!(said(&format!("groups.a = ['a[1:100000]']\ngroups.b = [{groups}]")), memberships);
    let logs = "'x', ".repeat(limits::MAX_LOGS + 1);
    assert_eq!(
        said(&format!("servers.a.logs = [{logs}]")),
        "more than the 512 logs of a server that are allowed"
    );
    let long = "x".repeat(1025);
    assert_eq!(
        said(&format!("servers.a.logs = ['{long}']")),
        "the text is longer than the 1024 bytes that are allowed"
    );
    let credentials: String =
        (0..1001).map(|n| format!("credentials.c{n}.username = 'a'\n")).collect();
    assert_eq!(said(&credentials), "more than the 1000 credentials that are allowed");
    let overrides: String = (0..10_001).map(|n| format!("overrides.a{n} = {{}}\n")).collect();
    assert_eq!(said(&overrides), "more than the 10000 overrides that are allowed");
}

#[test]
fn groups_are_only_so_deep_in_whatever_order_they_stand() {
    let chain = |length: usize, backwards: bool| {
        let mut lines: Vec<_> = (1..length).map(|n| format!("g{n} = ['@g{}']\n", n - 1)).collect();
        lines.insert(0, "g0 = ['fred']\n".to_owned());
        if backwards {
            lines.reverse();
        }
        format!("[groups]\n{}", lines.concat())
    };
    for backwards in [false, true] {
        let inventory = Inventory::parse(&chain(limits::MAX_GROUP_DEPTH, backwards)).unwrap();
        assert_eq!(inventory.server("fred").groups.len(), limits::MAX_GROUP_DEPTH);
        let error = error(&chain(limits::MAX_GROUP_DEPTH + 1, backwards));
        assert_eq!(error.problem.to_string(), "groups are at most 32 deep in each other");
    }
}

#[test]
fn keys_and_values_as_deep_as_one_likes_are_refused() {
    let deep = ["a.".repeat(1_000_000) + "a = 1", format!("[{}a]", "a.".repeat(1_000_000))];
    for text in deep.into_iter().chain(["a = ".to_owned() + &"[".repeat(100_000)]) {
        assert_eq!(error(&text).line, 1);
    }
}
