//! Which of a realm's key distribution centres is asked.
//!
//! They are found out before anything is asked that counts: one that is down costs
//! its time once and not for each ticket, and what proves a password goes to one
//! address and never to a second one.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use krb5::{AsyncKdcClient, ClientError, Credentials};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::JoinSet;

use super::failure::of_configuration;
use crate::security::kerberos::{KerberosError, Principal, clock};
use crate::tcp::{Patience, Target, connect_stream};

/// How many key distribution centres are tried.
const MOST_TRIED: usize = 8;
/// How long one has before the next is tried as well.
const HEAD_START: Duration = Duration::from_secs(1);

/// The key distribution centres of a realm, and the one that answers.
pub(super) struct Centres {
    all: AsyncKdcClient,
    question: Vec<u8>,
    limit: Duration,
    near: Mutex<Near>,
    /// Held while another one is looked for.
    looking: AsyncMutex<()>,
}

/// A key distribution centre that has answered.
#[derive(Clone)]
struct Near {
    address: SocketAddr,
    client: AsyncKdcClient,
    /// How far this machine's clock is ahead of its own, in seconds.
    ahead: Option<i64>,
}

impl Centres {
    /// Finds one that answers. `limit` is for an attempt at one of them.
    pub(super) async fn find(
        all: AsyncKdcClient,
        name: &krb5::Principal,
        limit: Duration,
    ) -> Result<Self, KerberosError> {
        let krb5::Principal { name_type, components, realm } = name.clone();
        let question = clock::question(&Principal { name_type, components, realm });
        let near = look(&all, &question, limit).await?;
        let (near, looking) = (Mutex::new(near), AsyncMutex::new(()));
        Ok(Self { all, question, limit, near, looking })
    }

    /// A client of the one that has answered, and of no other.
    pub(super) fn client(&self) -> AsyncKdcClient {
        self.near().client
    }

    /// Says by how much the clock is off, where that is what is wrong.
    pub(super) fn with_clock(&self, error: KerberosError) -> KerberosError {
        match error {
            KerberosError::ClockSkew { whose, ahead: None } => {
                KerberosError::ClockSkew { whose, ahead: self.near().ahead }
            }
            error => error,
        }
    }

    /// A service's ticket. Another key distribution centre is looked for when the
    /// one that had answered doesn't any more.
    pub(super) async fn service_ticket(
        &self,
        granting: &Credentials,
        service: &krb5::Principal,
    ) -> Result<Credentials, ClientError> {
        let near = self.near();
        match near.client.service_ticket(granting, service).await {
            Err(ClientError::Unreachable { realm, last }) if realm == self.all.client().realm() => {
                let looking = self.looking.lock().await;
                // Somebody else may have found one meanwhile.
                if self.near().address == near.address {
                    match look(&self.all, &self.question, self.limit).await {
                        Ok(found) => {
                            *self.near.lock().unwrap_or_else(PoisonError::into_inner) = found
                        }
                        Err(_) => return Err(ClientError::Unreachable { realm, last }),
                    }
                }
                drop(looking);
                self.client().service_ticket(granting, service).await
            }
            outcome => outcome,
        }
    }

    fn near(&self) -> Near {
        self.near.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Asks one after the other for what counts as no attempt, until one answers.
async fn look(
    all: &AsyncKdcClient,
    question: &[u8],
    limit: Duration,
) -> Result<Near, KerberosError> {
    let realm = all.client().realm().to_owned();
    let mut left = all.client().kdcs().iter().take(MOST_TRIED);
    let mut asking = JoinSet::new();
    let mut why = "none is known".to_owned();
    let (address, theirs) = loop {
        if let Some(centre) = left.next() {
            asking.spawn(ask(target(centre), question.to_vec(), limit));
        } else if asking.is_empty() {
            return Err(KerberosError::NoKdc { realm, why });
        }
        let patience = if left.len() > 0 { HEAD_START } else { limit };
        match Patience::new(patience).wait(asking.join_next()).await {
            Ok(Some(Ok(Ok(answer)))) => break answer,
            Ok(Some(Ok(Err(error)))) => why = error,
            Ok(Some(Err(_)) | None) | Err(_) => {}
        }
    };
    let ours = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let ahead = theirs.map(|theirs| ours.as_secs() as i64 - theirs);
    let client = only(all, address).await.map_err(|error| match error {
        ClientError::Config(error) => of_configuration(error, &realm),
        error => KerberosError::Nonsense(error.to_string()),
    })?;
    Ok(Near { address, client, ahead })
}

/// The same client with but one key distribution centre of its realm. Those of other
/// realms are found as before.
async fn only(all: &AsyncKdcClient, address: SocketAddr) -> Result<AsyncKdcClient, ClientError> {
    /// No realm has this name.
    const NOWHERE: &str = "";
    let realm = all.client().realm().to_owned();
    let nowhere = all.client().clone().with_realm_kdcs(NOWHERE, Vec::<String>::new());
    let nowhere = AsyncKdcClient::new(nowhere).for_realm(NOWHERE).await?.into_client();
    let there = nowhere.with_realm_kdcs(realm.clone(), [address.to_string()]);
    AsyncKdcClient::new(there).for_realm(&realm).await
}

/// Asks what time a key distribution centre has: its address, and its time, if it
/// tells that.
async fn ask(
    target: Target,
    question: Vec<u8>,
    limit: Duration,
) -> Result<(SocketAddr, Option<i64>), String> {
    let shown = format!("{}:{}", target.host, target.port);
    let asking = async {
        let mut stream = connect_stream(&target, limit).await.map_err(|e| e.kind.to_string())?;
        let address = stream.peer_addr().map_err(|error| error.to_string())?;
        stream.write_all(&question).await.map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        loop {
            match clock::answer(&bytes) {
                clock::Answer::Whole(theirs) => return Ok((address, theirs)),
                clock::Answer::Nonsense => return Err("no answer of Kerberos".to_owned()),
                clock::Answer::Incomplete => {}
            }
            if stream.read_buf(&mut bytes).await.map_err(|error| error.to_string())? == 0 {
                return Err("it closed the connection".to_owned());
            }
        }
    };
    match Patience::new(limit).wait(asking).await {
        Ok(outcome) => outcome.map_err(|why| format!("{shown}: {why}")),
        Err(_) => Err(format!("{shown}: no answer in {} s", limit.as_secs_f32())),
    }
}

/// The place of a key distribution centre that is written as the crate has it:
/// `host`, `host:port`, `address` or `[address]:port`.
fn target(centre: &str) -> Target {
    const PORT: u16 = 88;
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    match centre.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            Target::new(bare(host), port.parse().unwrap_or(PORT))
        }
        _ => Target::new(bare(centre), PORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_distribution_centre_is_found_however_it_is_written() {
        for (text, host, port) in [
            ("dc01", "dc01", 88),
            ("dc01:8888", "dc01", 8888),
            ("192.0.2.1:88", "192.0.2.1", 88),
            ("fe80::1", "fe80::1", 88),
            ("[fe80::1]", "fe80::1", 88),
            ("[fe80::1]:89", "fe80::1", 89),
        ] {
            assert_eq!(target(text), Target::new(host, port), "{text}");
        }
    }
}
