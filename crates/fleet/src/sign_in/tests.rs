//! What is read, once and only when it is needed, and what signs in.

use std::cell::RefCell;

use super::*;

const INVENTORY: &str = r#"
    [credentials.ann]
    username = 'CORP\ann'
    password-file = "ann.password"
    [credentials.asked]
    username = 'CORP\asked'
    [credentials.key]
    username = 'key@CORP'
    keytab = "key.keytab"
    [credentials.broken]
    username = 'CORP\broken'
    password-env = "BROKEN"

    [servers.one]
    credential = "ann"
    [servers.two]
    credential = "ann"
    [servers.kerberos]
    credential = "ann"
    authentication = "kerberos"
    [servers.ntlm]
    credential = "ann"
    authentication = "ntlm"
    [servers.asked]
    credential = "asked"
    [servers.key]
    credential = "key"
    [servers.ntlm-key]
    credential = "key"
    authentication = "ntlm"
    [servers.nobody]
    [servers.broken]
    credential = "broken"
    [servers.too]
    credential = "broken"
    [servers.theirs]
    credential = "broken"
    authentication = "ntlm"
    as = "person"
"#;

/// Reads what there is, and notes what was asked for.
#[derive(Default)]
struct Noted {
    asked: RefCell<Vec<String>>,
    has_keytabs: bool,
}

impl Secrets for &Noted {
    type Error = String;

    fn password(&mut self, account: &Account, source: &SecretSource) -> Result<Secret, String> {
        self.asked.borrow_mut().push(format!("{account} {source}"));
        match source {
            SecretSource::Environment(name) => Err(format!("there is no variable {name}")),
            _ => Secret::new("Pebbles-7".to_owned()).map_err(|e| e.to_string()),
        }
    }

    fn keytab(&mut self, path: &Path) -> Result<Option<Keytab>, String> {
        self.asked.borrow_mut().push(format!("keytab {}", path.display()));
        match self.has_keytabs {
            true => Err(format!("{}: empty", path.display())),
            false => Ok(None),
        }
    }

    fn ticket_cache(&mut self) -> Result<Option<String>, String> {
        self.asked.borrow_mut().push("cache".to_owned());
        Ok(None)
    }
}

fn sign_in(noted: &Noted, options: SignInOptions) -> SignIn<&Noted> {
    SignIn::new(Inventory::parse(INVENTORY).unwrap(), options, noted)
}

fn ann() -> Account {
    r"CORP\ann".parse().unwrap()
}

/// By what a server is signed in to, or why it isn't.
fn how(sign_in: &mut SignIn<&Noted>, server: &str) -> Result<&'static str, SignInError<String>> {
    let entry = sign_in.inventory().server(server);
    let (logon, _) = sign_in.logon(&entry)?;
    Ok(match logon {
        LogOn::Ntlm(_) => "NTLM",
        LogOn::Kerberos(tickets) => match tickets.account() {
            Some(_) => "Kerberos",
            None => "Kerberos of whoever has tickets",
        },
        LogOn::KerberosOrNtlm(..) => "Kerberos or NTLM",
        _ => "something else",
    })
}

#[test]
fn a_secret_is_read_once_and_only_if_a_server_needs_it() {
    let noted = Noted::default();
    let mut sign_in = sign_in(&noted, SignInOptions::new().folder("/etc/quarry"));
    assert!(noted.asked.borrow().is_empty());
    for server in ["one", "two", "kerberos", "ntlm", "one"] {
        how(&mut sign_in, server).unwrap();
    }
    let file = Path::new("/etc/quarry").join("ann.password");
    assert_eq!(*noted.asked.borrow(), [format!(r"CORP\ann file:{}", file.display())]);
}

#[test]
fn what_cannot_be_read_is_asked_for_once_and_every_server_says_so() {
    let noted = Noted::default();
    let mut sign_in = sign_in(&noted, SignInOptions::new());
    for server in ["broken", "too"] {
        let error = how(&mut sign_in, server).unwrap_err();
        assert_eq!(error, SignInError::Secret("there is no variable BROKEN".to_owned()));
    }
    assert_eq!(noted.asked.borrow().len(), 1);
}

/// A wrong password is tried once, by whatever protocol: that is what one gate is for.
#[test]
fn one_password_has_one_gate_for_all_servers_and_ways_and_another_has_another() {
    let noted = Noted::default();
    let mut sign_in = sign_in(&noted, SignInOptions::new());
    let mut gate = |server: &str| {
        let entry = sign_in.inventory().server(server);
        sign_in.logon(&entry).unwrap().1
    };
    let (ntlm, other_way, other) = (gate("one"), gate("kerberos"), gate("asked"));
    let quarry_cred::Entry::Go(ticket) = ntlm.try_enter() else { panic!("nobody was there") };
    let reason = quarry_cred::Refusal { server: "one".to_owned(), reason: "wrong".to_owned() };
    ticket.refused(reason);
    assert!(other_way.refusal().is_some());
    assert!(other.refusal().is_none());
}

#[test]
fn what_the_user_says_of_signing_in_counts_more_than_the_inventory() {
    use Authentication::{Kerberos, Negotiate, Ntlm};
    let password = || Some(SecretSource::Descriptor(0));
    let as_ann = || SignInOptions::new().account(ann(), password());
    let contradiction =
        |server: &str| Err(SignInError::Contradiction { server: server.to_owned() });
    let nobody = || Err(SignInError::NoAccount { server: "nobody".to_owned() });
    let new = SignInOptions::new;
    // The options, and what comes of them for a server.
    for (options, server, expected) in [
        (new(), "one", Ok("NTLM")),
        (new(), "ntlm", Ok("NTLM")),
        (new(), "kerberos", Ok("Kerberos")),
        (new(), "nobody", nobody()),
        (new(), "ntlm-key", contradiction("ntlm-key")),
        (new().authentication(Some(Kerberos)), "one", Ok("Kerberos")),
        (new().authentication(Some(Ntlm)), "kerberos", Ok("NTLM")),
        (new().authentication(Some(Ntlm)), "key", contradiction("key")),
        (new().authentication(Some(Negotiate)), "kerberos", Ok("Kerberos or NTLM")),
        (new().authentication(Some(Negotiate)), "one", Ok("NTLM")),
        (new().kerberos(true), "one", Ok("Kerberos")),
        (new().kerberos(true), "ntlm", Ok("Kerberos")),
        (new().kerberos(true), "nobody", Ok("Kerberos of whoever has tickets")),
        (new().kerberos(true), "asked", Ok("Kerberos")),
        (new().kerberos(true).authentication(Some(Ntlm)), "one", contradiction("one")),
        (new().kerberos(true).authentication(Some(Negotiate)), "one", Ok("Kerberos or NTLM")),
        (as_ann(), "nobody", Ok("NTLM")),
        (as_ann(), "key", Ok("NTLM")),
        (as_ann().kerberos(true), "nobody", Ok("Kerberos")),
        (as_ann().kerberos(true).authentication(Some(Negotiate)), "two", Ok("Kerberos or NTLM")),
    ] {
        let noted = Noted::default();
        let mut sign_in = sign_in(&noted, options.clone());
        assert_eq!(how(&mut sign_in, server), expected, "{server} with {options:?}");
    }
}

#[test]
fn nobody_is_asked_for_a_password_where_tickets_do() {
    let noted = Noted::default();
    let mut sign_in = sign_in(&noted, SignInOptions::new().kerberos(true));
    how(&mut sign_in, "asked").unwrap();
    how(&mut sign_in, "nobody").unwrap();
    assert_eq!(*noted.asked.borrow(), ["cache", "cache"]);
}

#[test]
fn a_keytab_is_read_from_beside_the_inventory_or_where_the_user_says() {
    for (has_keytabs, expected) in [
        (false, SignInError::NoKeytab("quarry/key.keytab".into())),
        (true, SignInError::Secret("quarry/key.keytab: empty".to_owned())),
    ] {
        let noted = Noted { has_keytabs, ..Noted::default() };
        let mut sign_in = sign_in(&noted, SignInOptions::new().folder("quarry"));
        assert_eq!(how(&mut sign_in, "key").unwrap_err(), expected);
        assert_eq!(*noted.asked.borrow(), ["keytab quarry/key.keytab"]);
    }
    let noted = Noted::default();
    let mut sign_in = sign_in(&noted, SignInOptions::new().keytab(Some("mine".into())));
    assert_eq!(how(&mut sign_in, "one").unwrap_err(), SignInError::NoKeytab("mine".into()));
}

#[test]
fn a_text_stands_for_servers_of_the_inventory_and_for_others() {
    let noted = Noted::default();
    let options = SignInOptions::new().account(ann(), Some(SecretSource::Descriptor(0)));
    let mut sign_in = sign_in(&noted, options);
    let mut names = |text: &str| -> Vec<String> {
        let servers = sign_in.servers(text).unwrap();
        servers.iter().map(|server| server.name().to_owned()).collect()
    };
    assert_eq!(names("one"), ["one"]);
    assert_eq!(names("n*"), ["ntlm", "ntlm-key", "nobody"]);
    assert_eq!(names("dc[1:2].corp"), ["dc1.corp", "dc2.corp"]);
    assert_eq!(names("even6://[::1]:4000"), ["::1"]);
    let error = sign_in.entries("even6://one:x").unwrap_err();
    assert_eq!(error.to_string(), "even6://one:x: the mapper's port is a number from 1 to 65535");
    assert!(matches!(sign_in.entries("@web"), Err(AddressError::Select { .. })));
}

#[test]
fn a_server_that_is_asked_as_a_person_is_left_to_them_where_they_sign_in_by_themselves() {
    let noted = Noted::default();
    let mut of_page = sign_in(&noted, SignInOptions::new()).for_persons();
    let entry = of_page.inventory().server("theirs");
    assert_eq!(entry.asked_as, AskedAs::Person);
    let server = of_page.server(&entry).unwrap();
    // Nothing is read for it, and nobody is signed in.
    assert!(noted.asked.borrow().is_empty());
    assert!(server.is_of_persons() && server.account().is_none());
    let over = quarry_rpc::security::kerberos::KerberosError::SessionOver("ann@CORP".to_owned());
    let tickets = Tickets::none(over);
    assert!(server.of_person(&tickets).is_some());
    // Another is asked with its credential, whoever asks.
    let entry = of_page.inventory().server("one");
    let own = of_page.server(&entry).unwrap();
    assert!(!own.is_of_persons() && own.of_person(&tickets).is_none());
    // Whoever reads without a page does that as the credential, too.
    assert!(matches!(
        how(&mut sign_in(&noted, SignInOptions::new()), "theirs"),
        Err(SignInError::Secret(_))
    ));
}
