//! Getting tickets: the exchanges with the key distribution centres, by the crate
//! `krb5`, for a whole fleet.
//!
//! There is one exchange for the ticket-granting ticket, however many servers
//! there are, and what comes of it holds for all: a wrong password is tried once.
//! Each service's ticket is then asked for once, and kept until it expires. The
//! user's own cache is read and never written.

mod cache;
mod configuration;
mod failure;
mod principal;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use krb5::{AsyncKdcClient, Credentials};
use quarry_cred::{Account, KerberosCredential};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use zeroize::Zeroizing;

pub use configuration::Configuration;

use crate::security::kerberos::{KerberosError, Principal, ServiceTicket};
use cache::Cached;
use failure::{Asked, error_of};
use principal::ClientName;

/// aes256- and aes128-cts-hmac-sha1-96: what sessions with services are sealed
/// with.
const SESSION_TYPES: [i32; 2] = [18, 17];
/// How many tickets are asked for at once.
const AT_ONCE: usize = 32;
/// A ticket that expires sooner than this is not used any more.
const MARGIN: Duration = Duration::from_secs(120);
/// How long it is believed that a key distribution centre doesn't answer, or that
/// a service is unknown.
const BELIEVED: Duration = Duration::from_secs(30);

/// Tickets for one account. Clones share them.
#[derive(Clone)]
pub struct Tickets {
    shared: Arc<Shared>,
}

struct Shared {
    credential: KerberosCredential,
    configuration: Configuration,
    timeout: Duration,
    granting: AsyncMutex<Option<Granting>>,
    services: Mutex<HashMap<String, Arc<AsyncMutex<Option<Service>>>>>,
    asking: Semaphore,
}

/// What the exchange for the ticket-granting ticket came to.
struct Granting {
    outcome: Result<Arc<Granted>, KerberosError>,
    at: Instant,
}

/// What service tickets come from.
struct Granted {
    principal: String,
    ticket: Option<Credentials>,
    /// What is said where there is none.
    none: Option<KerberosError>,
    /// Service tickets that were there from the beginning.
    found: Vec<Credentials>,
    client: Option<AsyncKdcClient>,
    /// Since when the realm's key distribution centres don't answer, and what was said then: those
    /// who come after need not find out for themselves.
    silent: Mutex<Option<(Instant, KerberosError)>>,
}

/// What asking for a service's ticket came to.
struct Service {
    outcome: Result<Arc<Credentials>, KerberosError>,
    at: Instant,
}

impl Tickets {
    /// Tickets for an account. Nothing is asked for yet. `timeout` is for one
    /// attempt at one key distribution centre.
    pub fn new(
        credential: KerberosCredential,
        configuration: Configuration,
        timeout: Duration,
    ) -> Self {
        let shared = Shared {
            credential,
            configuration,
            timeout,
            granting: AsyncMutex::new(None),
            services: Mutex::default(),
            asking: Semaphore::new(AT_ONCE),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Who signs in, as far as that was told.
    pub fn account(&self) -> Option<&Account> {
        self.shared.credential.account()
    }

    /// A ticket for a service, such as `host`, of a host, by its name.
    ///
    /// # Errors
    /// Any [`KerberosError`] that has to do with tickets.
    pub async fn service(&self, service: &str, host: &str) -> Result<ServiceTicket, KerberosError> {
        if is_address(host) {
            return Err(KerberosError::NotAName(host.to_owned()));
        }
        let host = host.trim_end_matches('.').to_lowercase();
        let slot = {
            let mut services = lock(&self.shared.services);
            Arc::clone(services.entry(format!("{service}/{host}")).or_default())
        };
        // Whoever comes second waits for what comes of the first.
        let mut slot = slot.lock().await;
        let known = slot.as_ref().filter(|known| match &known.outcome {
            Ok(ticket) => is_good(ticket),
            Err(_) => known.at.elapsed() < BELIEVED,
        });
        let outcome = match known {
            Some(known) => known.outcome.clone(),
            None => {
                let outcome = self.ask(service, &host).await.map(Arc::new);
                *slot = Some(Service { outcome: outcome.clone(), at: Instant::now() });
                outcome
            }
        };
        outcome.map(|ticket| service_ticket(&ticket))
    }

    async fn ask(&self, service: &str, host: &str) -> Result<Credentials, KerberosError> {
        let granted = self.granted().await?;
        let is_it = |ticket: &&Credentials| {
            let [of, at] = &ticket.server.components[..] else { return false };
            of.eq_ignore_ascii_case(service) && at.eq_ignore_ascii_case(host) && is_good(ticket)
        };
        if let Some(found) = granted.found.iter().find(is_it) {
            return Ok(found.clone());
        }
        let (Some(ticket), Some(client)) = (&granted.ticket, &granted.client) else {
            let none = || KerberosError::NoTicket(granted.principal.clone());
            return Err(granted.none.clone().unwrap_or_else(none));
        };
        let name = krb5::Principal::host_service(service, host, self.shared.configuration.inner());
        let _permit = self.shared.asking.acquire().await;
        if let Some((since, error)) = &*lock(&granted.silent)
            && since.elapsed() < BELIEVED
        {
            return Err(error.clone());
        }
        let what = format!("{service}/{host}");
        let asked = client.service_ticket(ticket, &name).await;
        asked.map_err(|error| error_of(error, &Asked::Service(what))).inspect_err(|error| {
            if matches!(error, KerberosError::NoKdc { realm, .. } if realm == client.client().realm())
            {
                *lock(&granted.silent) = Some((Instant::now(), error.clone()));
            }
        })
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
            *granting = Some(Granting { outcome: outcome.clone(), at: Instant::now() });
            outcome
        });
        task.await.unwrap_or_else(|_| Err(KerberosError::Nonsense("the exchange ended".into())))
    }
}

impl Granting {
    fn still_holds(&self) -> bool {
        match &self.outcome {
            Ok(granted) => match &granted.ticket {
                Some(ticket) => is_good(ticket),
                None => self.at.elapsed() < BELIEVED,
            },
            // A cache may be filled again, and a key distribution centre come back; nothing
            // makes a wrong password right.
            Err(
                KerberosError::NoKdc { .. }
                | KerberosError::NoCache { .. }
                | KerberosError::NoTicket(_)
                | KerberosError::TicketExpired { .. }
                | KerberosError::OtherPrincipal { .. }
                | KerberosError::ClockSkew { .. },
            ) => self.at.elapsed() < BELIEVED,
            Err(_) => true,
        }
    }
}

impl Shared {
    async fn sign_in(&self) -> Result<Granted, KerberosError> {
        let configuration = self.configuration.inner();
        let (name, secret) = match &self.credential {
            KerberosCredential::Password(credential) => {
                let name = principal::of_account(credential.account(), configuration)?;
                (name, Ok(credential))
            }
            KerberosCredential::Keytab { account, keytab } => {
                let name = principal::in_keytab(account.as_ref(), keytab)?;
                (name, Err(keytab))
            }
            KerberosCredential::Cache { account, name } => {
                return self.read_cache(account.clone(), name.clone()).await;
            }
        };
        let ClientName { principal, shown } = name;
        let client = self.configuration.client(&principal.realm, self.timeout).await?;
        let (asked, ticket) = match secret {
            Ok(credential) => {
                let password = credential.secret().expose();
                let asked = Asked::WithPassword(shown.clone());
                (asked, client.login_with_password(&principal, password).await)
            }
            Err(keytab) => {
                let asked = Asked::WithKeytab(shown.clone());
                let keytab = principal::keytab_of(keytab);
                (asked, client.login_with_keytab(&principal, &keytab).await)
            }
        };
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(error) => {
                let error = error_of(error, &asked);
                return Err(failure::with_clock(error, &principal, &client, self.timeout).await);
            }
        };
        Ok(Granted {
            principal: shown,
            ticket: Some(ticket),
            none: None,
            found: Vec::new(),
            client: Some(client),
            silent: Mutex::default(),
        })
    }

    async fn read_cache(
        &self,
        account: Option<Account>,
        name: Option<String>,
    ) -> Result<Granted, KerberosError> {
        let configuration = self.configuration.clone();
        let reading = move || cache::read(account.as_ref(), name.as_deref(), configuration.inner());
        let Cached { principal, realm, ticket, none, found } = tokio::task::spawn_blocking(reading)
            .await
            .map_err(|_| KerberosError::Nonsense("the cache's reader ended".into()))??;
        let client = match ticket {
            Some(_) => Some(self.configuration.client(&realm, self.timeout).await?),
            None => None,
        };
        Ok(Granted { principal, ticket, none, found, client, silent: Mutex::default() })
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
        f.debug_struct("Tickets")
            .field("credential", &self.shared.credential)
            .finish_non_exhaustive()
    }
}
