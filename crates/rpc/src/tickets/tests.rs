//! What is kept and what is asked again, with key distribution centres that count, hang and lie.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use krb5::Key;
use quarry_cred::{Credential, Entry, Secret};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const REALM: &str = "CORP";
const PASSWORD: &str = "pebbles";
const SALT: &[u8] = b"CORPfred";
const SESSION: [u8; 32] = [3; 32];
const LIMIT: Duration = Duration::from_millis(600);

/// What a key distribution centre does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// Its work.
    Works,
    /// It refuses each proof of the password with a code.
    Refuses(u32),
    /// It doesn't answer a proof of the password.
    HangsOnProof,
    /// It refuses services' tickets with a code.
    RefusesServices(u32),
    /// It doesn't answer at all.
    Hangs,
}

/// A key distribution centre, and how often it was asked for what.
#[derive(Clone)]
struct Centre {
    address: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    proofs: AtomicUsize,
    services: AtomicUsize,
    habit: Mutex<Option<Habit>>,
}

impl Centre {
    async fn start(habit: Habit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let centre = Centre { address, seen: Arc::default() };
        centre.is_now(habit);
        let seen = Arc::clone(&centre.seen);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let len = stream.read_u32().await.ok()? as usize;
                    let mut request = vec![0; len];
                    stream.read_exact(&mut request).await.ok()?;
                    match seen.answer(&request) {
                        Some(answer) => {
                            stream.write_u32(answer.len() as u32).await.ok()?;
                            stream.write_all(&answer).await.ok()
                        }
                        None => std::future::pending().await,
                    }
                });
            }
        });
        centre
    }

    fn is_now(&self, habit: Habit) {
        *lock(&self.seen.habit) = Some(habit);
    }

    fn proofs(&self) -> usize {
        self.seen.proofs.load(Ordering::SeqCst)
    }

    fn services(&self) -> usize {
        self.seen.services.load(Ordering::SeqCst)
    }
}

impl Seen {
    fn answer(&self, request: &[u8]) -> Option<Vec<u8>> {
        let habit = lock(&self.habit).unwrap();
        if habit == Habit::Hangs {
            return None;
        }
        // TGS-REQ.
        if request[0] == 0x6c {
            self.services.fetch_add(1, Ordering::SeqCst);
            return Some(match habit {
                Habit::RefusesServices(code) => error(code, None),
                _ => service_reply(request),
            });
        }
        // PA-ENC-TIMESTAMP.
        if find(request, &[0xa1, 3, 2, 1, 2, 0xa2]).is_none() {
            let kind = element(0x30, &[number(0, 18), field(1, &element(0x1b, SALT))].concat());
            let info = element(0x04, &element(0x30, &kind));
            let methods = [
                element(0x30, &[number(1, 2), field(2, &element(0x04, &[]))].concat()),
                element(0x30, &[number(1, 19), field(2, &info)].concat()),
            ];
            return Some(error(25, Some(&element(0x30, &methods.concat()))));
        }
        self.proofs.fetch_add(1, Ordering::SeqCst);
        match habit {
            Habit::Refuses(code) => Some(error(code, None)),
            Habit::HangsOnProof => None,
            _ => Some(granting_reply(request)),
        }
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let len = (content.len() as u16).to_be_bytes();
    [&[tag, 0x82, len[0], len[1]][..], content].concat()
}

fn field(n: u8, content: &[u8]) -> Vec<u8> {
    element(0xa0 | n, content)
}

/// As an `INTEGER` of one byte, short.
fn number(n: u8, value: u8) -> Vec<u8> {
    vec![0xa0 | n, 3, 2, 1, value]
}

fn name(kind: u8, parts: &[&str]) -> Vec<u8> {
    let parts: Vec<u8> = parts.iter().flat_map(|part| element(0x1b, part.as_bytes())).collect();
    element(0x30, &[number(0, kind), field(1, &element(0x30, &parts))].concat())
}

fn realm(n: u8) -> Vec<u8> {
    field(n, &element(0x1b, REALM.as_bytes()))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|found| found == wanted)
}

fn error(code: u32, data: Option<&[u8]>) -> Vec<u8> {
    let now = time(Duration::ZERO);
    let mut fields = [
        number(0, 5),
        number(1, 30),
        field(4, &now),
        number(5, 0),
        number(6, code as u8),
        realm(9),
        field(10, &name(2, &["krbtgt", REALM])),
    ]
    .concat();
    if let Some(data) = data {
        fields.extend(field(12, &element(0x04, data)));
    }
    element(0x7e, &element(0x30, &fields))
}

/// `GeneralizedTime` of some time from now; good for as long as a test may run.
fn time(ahead: Duration) -> Vec<u8> {
    let at = SystemTime::now() + ahead;
    let seconds = at.duration_since(UNIX_EPOCH).unwrap().as_secs();
    // Days to a date, by Hinnant's algorithm.
    let (days, clock) = ((seconds / 86_400 + 719_468) as i64, seconds % 86_400);
    let (era, doe) = (days / 146_097, days % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    element(0x18, text.as_bytes())
}

/// `EncKDCRepPart` (RFC 4120 5.4.2), and around it the reply, for the request's number.
fn reply(
    tag: u8,
    kind: u8,
    request: &[u8],
    server: &[&str],
    seal: impl Fn(&[u8]) -> Vec<u8>,
) -> Vec<u8> {
    // [7] nonce, after [5] till: the crate writes them short.
    let till = (0..request.len())
        .rev()
        .find(|at| request[*at..].starts_with(&[0xa5, 17, 0x18, 15]))
        .unwrap();
    let nonce = &request[till + 19..];
    let nonce = &nonce[..2 + usize::from(nonce[1])];
    let nonce = field(2, &nonce[2..]);
    let key = element(0x30, &[number(0, 18), field(1, &element(0x04, &SESSION))].concat());
    let last = element(0x30, &[number(0, 0), field(1, &time(Duration::ZERO))].concat());
    let part = [
        field(0, &key),
        field(1, &element(0x30, &last)),
        nonce,
        field(4, &element(0x03, &[0; 5])),
        field(5, &time(Duration::ZERO)),
        field(7, &time(Duration::from_secs(3600))),
        realm(9),
        field(10, &name(2, server)),
    ];
    let part = element(tag, &element(0x30, &part.concat()));
    let encrypted =
        |bytes: &[u8]| element(0x30, &[number(0, 18), field(2, &element(0x04, bytes))].concat());
    // Different each time.
    let random = Key::random(18).unwrap();
    let ticket =
        [number(0, 5), realm(1), field(2, &name(2, server)), field(3, &encrypted(random.bytes()))];
    let fields = [
        number(0, 5),
        number(1, kind),
        realm(3),
        field(4, &name(1, &["fred"])),
        field(5, &element(0x61, &element(0x30, &ticket.concat()))),
        field(6, &encrypted(&seal(&part))),
    ];
    element(0x60 | kind, &element(0x30, &fields.concat()))
}

fn granting_reply(request: &[u8]) -> Vec<u8> {
    let key = Key::from_password(18, PASSWORD, SALT, None).unwrap();
    reply(0x79, 11, request, &["krbtgt", REALM], |part| key.encrypt(3, part).unwrap())
}

/// The authenticator's subkey is what a service's ticket comes under.
fn service_reply(request: &[u8]) -> Vec<u8> {
    let session = Key::new(18, SESSION.to_vec()).unwrap();
    let open = |at: usize| {
        let (len, from) = match *request.get(at + 1)? {
            0x81 => (usize::from(*request.get(at + 2)?), at + 3),
            0x82 => (
                usize::from(*request.get(at + 2)?) << 8 | usize::from(*request.get(at + 3)?),
                at + 4,
            ),
            len => (usize::from(len), at + 2),
        };
        session.decrypt(7, request.get(from..from + len)?).ok()
    };
    let octets = (0..request.len()).filter(|at| request[*at] == 0x04);
    let authenticator = octets.filter_map(open).next().expect("an authenticator");
    let sealing = match find(&authenticator, &[0xa1, 34, 4, 32]) {
        Some(at) => (Key::new(18, authenticator[at + 4..at + 36].to_vec()).unwrap(), 9),
        None => (session, 8),
    };
    let server = if find(request, b"other").is_some() { "other" } else { "nas" };
    reply(0x7a, 13, request, &["cifs", server], |part| sealing.0.encrypt(sealing.1, part).unwrap())
}

fn configuration(centres: &[&Centre]) -> Configuration {
    let kdcs: String =
        centres.iter().map(|centre| format!("  kdc = {}\n", centre.address)).collect();
    let text = format!(
        "[libdefaults]\n default_realm = {REALM}\n[realms]\n {REALM} = {{\n{kdcs} }}\n[domain_realm]\n nas = {REALM}\n other = {REALM}\n"
    );
    Configuration::parse(&text).unwrap()
}

fn tickets(centres: &[&Centre], gate: Option<Gate>) -> Tickets {
    let secret = Secret::new(PASSWORD.into()).unwrap();
    let credential = KerberosCredential::Password(Credential::new("fred".parse().unwrap(), secret));
    Tickets::new(credential, configuration(centres), LIMIT, gate)
}

/// A session's tickets, from the bytes of one that a password got.
async fn session(centre: &Centre, left: Duration) -> Tickets {
    let granted = tickets(&[centre], None).granted().await.unwrap();
    let mut ticket = granted.granting.as_ref().map(|(ticket, _)| ticket.clone()).ok().unwrap();
    let end = SystemTime::now() + left;
    ticket.endtime = end.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let bytes = GrantingTicket::of(&ticket).unwrap().as_bytes().to_vec();
    let ticket = GrantingTicket::from_bytes(Zeroizing::new(bytes)).unwrap();
    assert_eq!(ticket.principal(), "fred@CORP");
    Tickets::of_session(ticket, configuration(&[centre]), LIMIT)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_s_ticket_is_asked_for_once_and_after_a_refusal_only_if_it_is_old() {
    let centre = Centre::start(Habit::Works).await;
    let tickets = tickets(&[&centre], None);
    let (one, two) = tokio::join!(tickets.service("cifs", "nas"), tickets.service("cifs", "NAS."));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.ticket, two.ticket);
    tickets.service("cifs", "other").await.unwrap();
    assert_eq!((centre.proofs(), centre.services()), (1, 2));
    // Just got: another one would be the same.
    assert!(!tickets.forget("cifs", "nas", &one).await);
    assert_eq!(tickets.service("cifs", "nas").await.unwrap().ticket, one.ticket);
    {
        let (_, slot) = tickets.slot("cifs", "nas");
        let mut slot = slot.lock().await;
        let known = slot.known.as_mut().unwrap();
        known.at = Instant::now().checked_sub(FRESH).unwrap();
    }
    assert!(tickets.forget("cifs", "nas", &one).await);
    let fresh = tickets.service("cifs", "nas").await.unwrap();
    assert_ne!(fresh.ticket, one.ticket);
    // Whoever was refused the old one as well is told to use the new one.
    assert!(tickets.forget("cifs", "nas", &one).await);
    assert_eq!(tickets.service("cifs", "nas").await.unwrap().ticket, fresh.ticket);
    assert_eq!((centre.proofs(), centre.services()), (1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_proved_once_and_closes_its_gate() {
    for (code, expected) in [
        (24, KerberosError::WrongPassword("fred@CORP".into())),
        (18, KerberosError::AccountRevoked("fred@CORP".into())),
        (23, KerberosError::PasswordExpired("fred@CORP".into())),
    ] {
        let (one, two) =
            (Centre::start(Habit::Refuses(code)).await, Centre::start(Habit::Refuses(code)).await);
        let gate = Gate::default();
        let tickets = tickets(&[&one, &two], Some(gate.clone()));
        for host in ["nas", "other", "nas"] {
            assert_eq!(tickets.service("cifs", host).await.err(), Some(expected.clone()));
        }
        assert_eq!(tickets.sign_in().await, Err(expected.clone()));
        assert_eq!(one.proofs() + two.proofs(), 1, "{code}");
        let refusal = gate.refusal().expect("NTLM must not try it");
        assert_eq!(refusal.server, "the key distribution centre of CORP");
        // It is held for good, but for a lock that ends by itself.
        let mut granting = tickets.shared.granting.lock().await;
        let granting = granting.as_mut().unwrap();
        granting.at = Instant::now().checked_sub(UNANSWERED * 2).unwrap();
        assert_eq!(granting.still_holds(), code != 18, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_ntlm_was_refused_is_not_proved() {
    let centre = Centre::start(Habit::Works).await;
    let gate = Gate::default();
    let Entry::Go(entry) = gate.try_enter() else { panic!("nobody was before") };
    let refusal = Refusal { server: "nas".into(), reason: "logon refused".into() };
    entry.refused(refusal.clone());
    let tickets = tickets(&[&centre], Some(gate));
    let error = tickets.service("cifs", "nas").await.err();
    assert_eq!(error, Some(KerberosError::CredentialRefused(refusal)));
    assert_eq!(centre.proofs(), 0);
    // And one that Kerberos has accepted is NTLM's to use.
    let gate = Gate::default();
    super::tests::tickets(&[&centre], Some(gate.clone())).sign_in().await.unwrap();
    assert!(gate.is_proven());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_proves_the_password_goes_to_one_key_distribution_centre_and_is_not_repeated() {
    let late = Centre::start(Habit::HangsOnProof).await;
    let other = Centre::start(Habit::Works).await;
    let gate = Gate::default();
    let tickets = tickets(&[&late, &other], Some(gate.clone()));
    for _ in 0..2 {
        let error = tickets.service("cifs", "nas").await.err().unwrap();
        assert!(matches!(error, KerberosError::NoAnswer { .. }), "{error}");
        // It may have been counted, so NTLM doesn't try it either.
        assert!(!error.rules_kerberos_out());
    }
    assert_eq!((late.proofs(), other.proofs()), (1, 0));
    assert!(gate.refusal().is_none() && !gate.is_proven());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_given_up_does_not_undo_an_attempt() {
    let late = Centre::start(Habit::HangsOnProof).await;
    let tickets = tickets(&[&late], None);
    let hasty = timeout(Duration::from_millis(200), tickets.service("cifs", "nas")).await;
    assert!(hasty.is_err());
    let error = tickets.service("cifs", "other").await.err().unwrap();
    assert!(matches!(error, KerberosError::NoAnswer { .. }), "{error}");
    assert_eq!(late.proofs(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_distribution_centre_that_is_silent_costs_its_time_once_for_all_services() {
    let dead = Centre::start(Habit::Hangs).await;
    let tickets_of_none = tickets(&[&dead], None);
    let began = Instant::now();
    for host in ["nas", "other", "a", "b", "c", "d"] {
        let error = tickets_of_none.service("cifs", host).await.err().unwrap();
        assert!(matches!(error, KerberosError::NoKdc { .. }), "{error}");
    }
    assert!(began.elapsed() < LIMIT * 3, "{:?}", began.elapsed());
    // With one that lives, that is asked from then on.
    let lives = Centre::start(Habit::Works).await;
    let tickets = tickets(&[&dead, &lives], None);
    tickets.service("cifs", "nas").await.unwrap();
    let began = Instant::now();
    tickets.service("cifs", "other").await.unwrap();
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    // When it dies, too, the others are looked for, once.
    lives.is_now(Habit::Hangs);
    let began = Instant::now();
    for host in ["a.nas", "b.nas", "c.nas", "d.nas"] {
        let error = tickets.service("cifs", host).await.err().unwrap();
        assert!(matches!(error, KerberosError::NoKdc { .. }), "{error}");
    }
    assert!(began.elapsed() < LIMIT * (ATTEMPTS + 1), "{:?}", began.elapsed());
    // And when the first has come back, it is asked.
    *lock(&tickets.shared.silent) = None;
    dead.is_now(Habit::Works);
    tickets.slot("cifs", "nas").1.lock().await.known = None;
    tickets.service("cifs", "nas").await.unwrap();
    assert_eq!((dead.services(), dead.proofs(), lives.proofs()), (1, 0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_pass_is_believed_for_half_a_minute() {
    let centre = Centre::start(Habit::RefusesServices(7)).await;
    let tickets = tickets(&[&centre], None);
    let unknown = KerberosError::UnknownService("cifs/nas".into());
    for _ in 0..3 {
        assert_eq!(tickets.service("cifs", "nas").await.err(), Some(unknown.clone()));
    }
    let asked = centre.services();
    assert!(asked > 0);
    centre.is_now(Habit::Works);
    {
        let (_, slot) = tickets.slot("cifs", "nas");
        let mut slot = slot.lock().await;
        slot.known.as_mut().unwrap().at = Instant::now().checked_sub(BELIEVED).unwrap();
    }
    tickets.service("cifs", "nas").await.unwrap();
    assert_eq!((centre.proofs(), centre.services()), (1, asked + 1));
    // Whatever else a key distribution centre says to a password passes, too.
    for (code, holds) in [(60, false), (6, false), (14, false), (29, false), (18, true)] {
        let centre = Centre::start(Habit::Refuses(code)).await;
        let tickets = super::tests::tickets(&[&centre], None);
        assert!(tickets.sign_in().await.is_err());
        let mut granting = tickets.shared.granting.lock().await;
        let granting = granting.as_mut().unwrap();
        granting.at = Instant::now().checked_sub(BELIEVED).unwrap();
        assert_eq!(granting.still_holds(), holds, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_gets_services_tickets_without_the_password_until_its_own_expires_or_it_ends() {
    let centre = Centre::start(Habit::Works).await;
    let tickets = session(&centre, Duration::from_secs(3600)).await;
    assert_eq!(tickets.account().unwrap().to_string(), "fred@CORP");
    tickets.service("cifs", "nas").await.unwrap();
    tickets.service("cifs", "other").await.unwrap();
    assert_eq!((centre.proofs(), centre.services()), (1, 2));
    let over = KerberosError::SessionOver("fred@CORP".into());
    // One that the key distribution centre doesn't take any more, whatever our clock says.
    centre.is_now(Habit::RefusesServices(32));
    tickets.slot("cifs", "nas").1.lock().await.known = None;
    assert_eq!(tickets.service("cifs", "nas").await.err(), Some(over.clone()));
    centre.is_now(Habit::Works);
    let clone = tickets.clone();
    assert!(!clone.has_ended());
    tickets.end();
    assert!(clone.has_ended() && lock(&clone.shared.services).is_empty());
    assert!(clone.shared.granting.lock().await.is_none());
    // One that was got before isn't given any more either.
    assert_eq!(clone.service("cifs", "other").await.err(), Some(over.clone()));
    assert!(!format!("{tickets:?}").contains("Session("), "{tickets:?}");
    // Nothing asks for another one where it has expired.
    let old = session(&centre, MARGIN).await;
    assert_eq!(old.service("cifs", "nas").await.err(), Some(over));
    assert_eq!(centre.proofs(), 2, "by the two that the tests got");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_ticket_for_more_tickets_is_none_for_a_session() {
    let centre = Centre::start(Habit::Works).await;
    let granting = tickets(&[&centre], None).granting().await.unwrap();
    let bytes = |bytes: &[u8]| GrantingTicket::from_bytes(Zeroizing::new(bytes.to_vec()));
    let whole = granting.as_bytes();
    assert!(bytes(whole).is_ok());
    for cut in [0, 1, 20, whole.len() - 1] {
        assert!(bytes(&whole[..cut]).is_err(), "{cut}");
    }
    assert!(bytes(&vec![5; MAX_TICKET_BYTES + 1]).is_err());
    let service = tickets(&[&centre], None).ask("cifs", "nas", false).await.unwrap().0;
    let service = GrantingTicket::of(&service).unwrap();
    assert!(bytes(service.as_bytes()).is_err(), "a service's");
    let none = KerberosError::NoSessionTicket { account: "ann".into(), why: "so".into() };
    let tickets = Tickets::none(none.clone());
    assert_eq!(tickets.service("cifs", "nas").await.err(), Some(none));
    assert!(!format!("{granting:?}").contains("cache"));
}
