//! Getting tickets: the exchanges with the key distribution centres, by the crate
//! `krb5`, for a whole fleet.
//!
//! There is one exchange for the ticket-granting ticket, however many servers
//! there are, and what comes of it holds for all. What proves the password goes to
//! one address of one key distribution centre, over TCP, which doesn't repeat it.
//! The password's [`Gate`] opens and closes with it, so that NTLM doesn't try what
//! Kerberos was refused, nor the other way round. Each service's ticket is then
//! asked for once, and kept until it expires or the server doesn't take it. The
//! user's own cache is read and never written.

mod cache;
mod centre;
mod configuration;
mod failure;
mod principal;
mod session;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use krb5::Credentials;
use quarry_cred::{Account, Gate, KerberosCredential, Refusal};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::timeout;
use zeroize::Zeroizing;

pub use configuration::Configuration;
pub use session::{GrantingTicket, MAX_TICKET_BYTES};

use crate::security::kerberos::{KerberosError, Principal, ServiceTicket};
use crate::tcp::{Patience, Presentation};
use cache::Cached;
use centre::Centres;
use failure::{Asked, error_of};
use principal::ClientName;

/// aes256- and aes128-cts-hmac-sha1-96: what sessions with services are sealed
/// with.
const SESSION_TYPES: [i32; 2] = [18, 17];
/// How many tickets are asked for at once.
const AT_ONCE: usize = 32;
/// A ticket that expires sooner than this is not used any more.
const MARGIN: Duration = Duration::from_secs(120);
/// How long an error is believed that costs nothing to make again: that a key distribution centre
/// doesn't answer, or that a service is unknown.
const BELIEVED: Duration = Duration::from_secs(30);
/// The same where it may cost a counted attempt: no answer came to what proves the password.
const UNANSWERED: Duration = Duration::from_secs(300);
/// A ticket that a server refuses is asked for once more unless it is as young as this.
const FRESH: Duration = Duration::from_secs(60);
/// How many times as long as one attempt all of an exchange may take.
const ATTEMPTS: u32 = 3;

/// Tickets for one account. Clones share them.
#[derive(Clone)]
pub struct Tickets {
    shared: Arc<Shared>,
}

struct Shared {
    account: Option<Account>,
    proof: Mutex<Proof>,
    configuration: Configuration,
    timeout: Duration,
    gate: Option<Gate>,
    granting: AsyncMutex<Option<Granting>>,
    services: Mutex<HashMap<String, Arc<AsyncMutex<Slot>>>>,
    /// That there is no key distribution centre, for all services.
    silent: Mutex<Option<(KerberosError, Instant)>>,
    asking: Semaphore,
}

/// What tickets are got with.
#[derive(Clone, Debug)]
enum Proof {
    Credential(KerberosCredential),
    /// What somebody's session has in place of the password.
    Session(Arc<GrantingTicket>),
    /// Nothing, and why.
    Nothing(KerberosError),
}

/// Where a ticket-granting ticket is from.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Origin {
    /// A password or a keytab, which gets another one.
    Credential,
    /// The user's cache, by its name.
    Cache(String),
    /// Somebody's session.
    Session,
}

/// What the exchange for the ticket-granting ticket came to.
struct Granting {
    outcome: Result<Arc<Granted>, KerberosError>,
    at: Instant,
}

/// What service tickets come from.
struct Granted {
    principal: String,
    origin: Origin,
    /// What more tickets come from.
    granting: Result<(Credentials, Centres), KerberosError>,
    /// Service tickets that were there from the beginning.
    found: Vec<Credentials>,
}

/// The place of a service's ticket.
#[derive(Default)]
struct Slot {
    known: Option<Service>,
    /// The server has refused the one that the cache has.
    skips_found: bool,
}

/// What asking for a service's ticket came to.
struct Service {
    outcome: Result<Arc<Credentials>, KerberosError>,
    at: Instant,
    /// It was in the cache.
    is_found: bool,
}

impl Tickets {
    /// Tickets for an account. Nothing is asked for yet. `timeout` is for one
    /// attempt at one key distribution centre; three times that is the most for all
    /// of an exchange. The gate is the one of the credential's password, if that is
    /// used elsewhere as well.
    pub fn new(
        credential: KerberosCredential,
        configuration: Configuration,
        timeout: Duration,
        gate: Option<Gate>,
    ) -> Self {
        let account = credential.account().cloned();
        Self::with(account, Proof::Credential(credential), configuration, timeout, gate)
    }

    /// Services' tickets with a ticket-granting ticket that somebody's session has: until it expires
    /// or [`end`](Self::end) is called, as there is no password to get another one with.
    pub fn of_session(
        ticket: GrantingTicket,
        configuration: Configuration,
        timeout: Duration,
    ) -> Self {
        let account = ticket.principal().parse().ok();
        Self::with(account, Proof::Session(Arc::new(ticket)), configuration, timeout, None)
    }

    /// No tickets: whatever is asked for fails like this.
    pub fn none(why: KerberosError) -> Self {
        let configuration = Configuration::default();
        Self::with(None, Proof::Nothing(why), configuration, Duration::ZERO, None)
    }

    fn with(
        account: Option<Account>,
        proof: Proof,
        configuration: Configuration,
        timeout: Duration,
        gate: Option<Gate>,
    ) -> Self {
        let shared = Shared {
            account,
            proof: Mutex::new(proof),
            configuration,
            timeout,
            gate,
            granting: AsyncMutex::new(None),
            services: Mutex::default(),
            silent: Mutex::default(),
            asking: Semaphore::new(AT_ONCE),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Who signs in, as far as that was told.
    pub fn account(&self) -> Option<&Account> {
        self.shared.account.as_ref()
    }

    /// The ticket-granting ticket, for another process to use. Signs in to the realm, unless that was
    /// done.
    ///
    /// # Errors
    /// As of [`sign_in`](Self::sign_in).
    pub async fn granting(&self) -> Result<GrantingTicket, KerberosError> {
        let granted = self.granted().await?;
        let (ticket, _) = granted.granting.as_ref().map_err(Clone::clone)?;
        GrantingTicket::of(ticket)
    }

    /// Forgets what tickets are got with, and every ticket. Whoever asks for one later is told that
    /// the session is over.
    pub fn end(&self) {
        let principal = self.account().map_or_else(String::new, ToString::to_string);
        *lock(&self.shared.proof) = Proof::Nothing(KerberosError::SessionOver(principal));
        lock(&self.shared.services).clear();
        // Where an exchange is under way, its own end forgets it.
        if let Ok(mut granting) = self.shared.granting.try_lock() {
            *granting = None;
        }
    }

    /// Whether nothing can be got any more, whoever asks.
    pub fn has_ended(&self) -> bool {
        matches!(*lock(&self.shared.proof), Proof::Nothing(KerberosError::SessionOver(_)))
    }

    /// Signs in to the realm, unless that was done, and says what came of it.
    ///
    /// # Errors
    /// Any [`KerberosError`] that has to do with the account and its realm.
    pub async fn sign_in(&self) -> Result<(), KerberosError> {
        self.granted().await.map(drop)
    }

    /// A ticket for a service, such as `host`, of a host, by its name.
    ///
    /// # Errors
    /// Any [`KerberosError`] that has to do with tickets.
    pub async fn service(&self, service: &str, host: &str) -> Result<ServiceTicket, KerberosError> {
        if is_address(host) {
            return Err(KerberosError::NotAName(host.to_owned()));
        }
        let (host, slot) = self.slot(service, host);
        // Whoever comes second waits for what comes of the first.
        let mut slot = slot.lock().await;
        let known = slot.known.as_ref().filter(|known| match &known.outcome {
            Ok(ticket) => is_good(ticket),
            Err(_) => known.at.elapsed() < BELIEVED,
        });
        let outcome = match known {
            Some(known) => known.outcome.clone(),
            None => {
                let asked = self.ask(service, &host, slot.skips_found).await;
                let is_found = matches!(asked, Ok((_, true)));
                let outcome = asked.map(|(ticket, _)| Arc::new(ticket));
                slot.known =
                    Some(Service { outcome: outcome.clone(), at: Instant::now(), is_found });
                outcome
            }
        };
        outcome.map(|ticket| service_ticket(&ticket))
    }

    /// A server has refused a ticket. Whether another one may do better: not if this one was asked
    /// for just now.
    pub async fn forget(&self, service: &str, host: &str, refused: &ServiceTicket) -> bool {
        let (_, slot) = self.slot(service, host);
        let mut slot = slot.lock().await;
        let known = slot.known.as_ref();
        let Some(known) = known.filter(|known| known.is(refused)) else {
            // Somebody else was refused it, too.
            return true;
        };
        let is_found = known.is_found;
        if !is_found && known.at.elapsed() < FRESH {
            return false;
        }
        *slot = Slot { known: None, skips_found: slot.skips_found || is_found };
        true
    }

    fn slot(&self, service: &str, host: &str) -> (String, Arc<AsyncMutex<Slot>>) {
        let host = host.trim_end_matches('.').to_lowercase();
        let mut services = lock(&self.shared.services);
        let slot = Arc::clone(services.entry(format!("{service}/{host}")).or_default());
        (host, slot)
    }

    /// A service's ticket, and whether it was there from the beginning.
    async fn ask(
        &self,
        service: &str,
        host: &str,
        skips_found: bool,
    ) -> Result<(Credentials, bool), KerberosError> {
        let Shared { configuration, timeout: limit, silent, asking, .. } = &*self.shared;
        let granted = self.granted().await?;
        let name = krb5::Principal::host_service(service, host, configuration.inner());
        let is_it = |ticket: &&Credentials| is_for(ticket, &name) && is_good(ticket);
        if !skips_found && let Some(found) = granted.found.iter().find(is_it) {
            return Ok((found.clone(), true));
        }
        let (ticket, centres) = granted.granting.as_ref().map_err(Clone::clone)?;
        let permit = asking.acquire().await;
        let recent = lock(silent).clone().filter(|(_, at)| at.elapsed() < BELIEVED);
        if let Some((error, _)) = recent {
            return Err(error);
        }
        let asked = Asked::Service {
            service: format!("{service}/{host}"),
            principal: granted.principal.clone(),
            origin: granted.origin.clone(),
        };
        let realm = &ticket.server.realm;
        let limit = *limit * ATTEMPTS;
        let asking = centres.service_ticket(ticket, &name);
        let outcome = match Patience::new(limit).wait(asking).await {
            Ok(outcome) => outcome.map_err(|error| centres.with_clock(error_of(error, &asked))),
            Err(_) => Err(no_answer(realm, limit)),
        };
        drop(permit);
        match &outcome {
            Err(error @ KerberosError::NoKdc { realm: of, .. }) if of == realm => {
                *lock(silent) = Some((error.clone(), Instant::now()));
            }
            // The ticket for more tickets isn't taken any more; a password gets another one.
            Err(KerberosError::Refused { code: 20 | 32, .. })
                if granted.origin == Origin::Credential =>
            {
                let mut granting = self.shared.granting.lock().await;
                granting.take_if(|known| known.is(&granted));
            }
            _ => {}
        }
        outcome.map(|ticket| (ticket, false))
    }

    /// What the exchange for the ticket-granting ticket comes to, or came to.
    async fn granted(&self) -> Result<Arc<Granted>, KerberosError> {
        let shared = Arc::clone(&self.shared);
        // A task of its own: that a server is given up must not undo an attempt, and so
        // have a wrong password tried again.
        let task = tokio::spawn(async move {
            let mut granting = shared.granting.lock().await;
            if let Some(known) = granting.as_ref().filter(|known| known.still_holds()) {
                return known.outcome.clone();
            }
            let outcome = shared.sign_in().await.map(Arc::new);
            let has_ended = matches!(*lock(&shared.proof), Proof::Nothing(_));
            *granting =
                (!has_ended).then(|| Granting { outcome: outcome.clone(), at: Instant::now() });
            outcome
        });
        task.await.unwrap_or_else(|_| Err(KerberosError::Nonsense("the exchange ended".into())))
    }
}

impl Granting {
    fn still_holds(&self) -> bool {
        match &self.outcome {
            Ok(granted) => match &granted.granting {
                Ok((ticket, _)) => is_good(ticket),
                Err(_) => self.at.elapsed() < BELIEVED,
            },
            // To try these again would be a counted attempt, and nothing makes them right.
            Err(
                KerberosError::WrongPassword(_)
                | KerberosError::WrongKey(_)
                | KerberosError::PasswordExpired(_),
            ) => true,
            // An administrator unlocks an account, and the password was not found wrong.
            Err(KerberosError::NoAnswer { .. } | KerberosError::AccountRevoked(_)) => {
                self.at.elapsed() < UNANSWERED
            }
            // A cache may be filled again, and a key distribution centre come back.
            Err(_) => self.at.elapsed() < BELIEVED,
        }
    }

    fn is(&self, granted: &Arc<Granted>) -> bool {
        self.outcome.as_ref().is_ok_and(|known| Arc::ptr_eq(known, granted))
    }
}

impl Service {
    fn is(&self, ticket: &ServiceTicket) -> bool {
        self.outcome.as_ref().is_ok_and(|known| known.ticket == ticket.ticket)
    }
}

impl Shared {
    async fn sign_in(&self) -> Result<Granted, KerberosError> {
        let configuration = self.configuration.inner();
        let proof = lock(&self.proof).clone();
        let credential = match proof {
            Proof::Credential(credential) => credential,
            Proof::Session(ticket) => return self.of_session(&ticket).await,
            Proof::Nothing(why) => return Err(why),
        };
        let ClientName { principal, shown } = match &credential {
            KerberosCredential::Password(credential) => {
                principal::of_account(credential.account(), configuration)?
            }
            KerberosCredential::Keytab { account, keytab } => {
                principal::in_keytab(account.as_ref(), keytab)?
            }
            KerberosCredential::Cache { account, name } => {
                return self.read_cache(account.clone(), name.clone()).await;
            }
        };
        let centres = self.centres(&principal).await?;
        // Only now: where there is nobody to ask, nobody waits for it.
        let presentation = Presentation::new();
        presentation.enter(self.gate.as_ref()).await?;
        let exchange = self.login(credential, &principal, &shown, &centres);
        let outcome = presentation.during(exchange).await;
        settle(&presentation, &principal.realm, &outcome);
        let ticket = outcome.map_err(|error| centres.with_clock(error))?;
        let granting = Ok((ticket, centres));
        let origin = Origin::Credential;
        Ok(Granted { principal: shown, origin, granting, found: Vec::new() })
    }

    /// A session's ticket, which nothing renews.
    async fn of_session(&self, ticket: &GrantingTicket) -> Result<Granted, KerberosError> {
        let principal = ticket.principal().to_owned();
        let over = || KerberosError::SessionOver(principal.clone());
        let ticket = ticket.credentials().filter(is_good).ok_or_else(over)?;
        let centres = self.centres(&ticket.client).await?;
        let granting = Ok((ticket, centres));
        Ok(Granted { principal, origin: Origin::Session, granting, found: Vec::new() })
    }

    /// Finds the key distribution centres of somebody's realm.
    async fn centres(&self, name: &krb5::Principal) -> Result<Centres, KerberosError> {
        let limit = self.timeout * ATTEMPTS;
        let finding = async {
            let client = self.configuration.client(&name.realm, self.timeout).await?;
            Centres::find(client, name, self.timeout).await
        };
        let found = Patience::new(limit).wait(finding).await;
        found.unwrap_or_else(|_| Err(no_answer(&name.realm, limit)))
    }

    /// The exchange for the ticket-granting ticket. To make a key of a password takes a while, as
    /// long as the key distribution centre likes, so it is done where that holds up nobody.
    async fn login(
        &self,
        credential: KerberosCredential,
        principal: &krb5::Principal,
        shown: &str,
        centres: &Centres,
    ) -> Result<Credentials, KerberosError> {
        let name = principal.clone();
        let (client, limit) = (centres.client(), self.timeout * ATTEMPTS);
        let (asked, shown) = match credential {
            KerberosCredential::Keytab { .. } => (Asked::WithKeytab(shown.to_owned()), shown),
            _ => (Asked::WithPassword(shown.to_owned()), shown),
        };
        let runtime = tokio::runtime::Handle::current();
        let login = tokio::task::spawn_blocking(move || {
            // Whoever has been given up doesn't present the password any more.
            runtime.block_on(timeout(limit, async {
                match &credential {
                    KerberosCredential::Password(credential) => {
                        client.login_with_password(&name, credential.secret().expose()).await
                    }
                    KerberosCredential::Keytab { keytab, .. } => {
                        let keytab = principal::keytab_of(keytab, &name);
                        client.login_with_keytab(&name, &keytab).await
                    }
                    KerberosCredential::Cache { .. } => {
                        Err(krb5::ClientError::NoKey("a cache has none".to_owned()))
                    }
                }
            }))
        });
        // Nothing but its own end ends the making of a key.
        match Patience::new(limit).wait(login).await {
            Ok(Ok(Ok(outcome))) => outcome.map_err(|error| error_of(error, &asked)),
            Ok(Err(_)) => Err(KerberosError::Nonsense(format!("the exchange for {shown} ended"))),
            Ok(Ok(Err(_))) | Err(_) => {
                let why = format!("no ticket in {} s", limit.as_secs_f32());
                Err(KerberosError::NoAnswer { realm: principal.realm.clone(), why })
            }
        }
    }

    async fn read_cache(
        &self,
        account: Option<Account>,
        name: Option<String>,
    ) -> Result<Granted, KerberosError> {
        let configuration = self.configuration.clone();
        let reading = move || cache::read(account.as_ref(), name.as_deref(), configuration.inner());
        let Cached { cache, principal, owner, ticket, none, found } =
            tokio::task::spawn_blocking(reading)
                .await
                .map_err(|_| KerberosError::Nonsense("the cache's reader ended".into()))??;
        // What was found can be used without a key distribution centre.
        let granting = match ticket {
            Some(ticket) => self.centres(&owner).await.map(|centres| (ticket, centres)),
            None => Err(none.unwrap_or_else(|| KerberosError::NoTicket(cache.clone()))),
        };
        Ok(Granted { principal, origin: Origin::Cache(cache), granting, found })
    }
}

/// The gate hears what came of the password.
fn settle<T>(presentation: &Presentation, realm: &str, outcome: &Result<T, KerberosError>) {
    match outcome {
        // The answer was decrypted with the password's key.
        Ok(_) => presentation.accepted(),
        Err(
            error @ (KerberosError::WrongPassword(_)
            | KerberosError::PasswordExpired(_)
            | KerberosError::AccountRevoked(_)),
        ) => {
            let server = format!("the key distribution centre of {realm}");
            presentation.refused(Refusal { server, reason: error.to_string() });
        }
        Err(_) => {}
    }
}

fn no_answer(realm: &str, limit: Duration) -> KerberosError {
    let why = format!("no answer in {} s", limit.as_secs_f32());
    KerberosError::NoKdc { realm: realm.to_owned(), why }
}

/// Whether a ticket is for a service. Which realm that is in is not always known.
fn is_for(ticket: &Credentials, service: &krb5::Principal) -> bool {
    let (of, wanted) = (&ticket.server, service);
    let is_realm = wanted.realm.is_empty() || of.realm.is_empty() || of.realm == wanted.realm;
    let is_same = |(one, other): (&String, &String)| one.eq_ignore_ascii_case(other);
    is_realm
        && of.components.len() == wanted.components.len()
        && of.components.iter().zip(&wanted.components).all(is_same)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a ticket can be used for a while yet.
fn is_good(ticket: &Credentials) -> bool {
    let soon = SystemTime::now() + MARGIN;
    let soon = soon.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    !ticket.is_expired_at(soon as i64) && !ticket.is_invalid()
}

fn service_ticket(ticket: &Credentials) -> ServiceTicket {
    let krb5::Principal { name_type, components, realm } = ticket.client.clone();
    ServiceTicket {
        client: Principal { name_type, components, realm },
        ticket: ticket.ticket.clone(),
        key_type: ticket.session_key.enctype(),
        session_key: Zeroizing::new(ticket.session_key.bytes().to_vec()),
    }
}

/// Whether a host is named by an address.
pub fn is_address(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let unscoped = host.split('%').next().unwrap_or(host);
    unscoped.parse::<std::net::IpAddr>().is_ok()
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("proof", &*lock(&self.shared.proof)).finish_non_exhaustive()
    }
}
