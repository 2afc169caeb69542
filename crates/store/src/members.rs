//! Which processes share a table, and who of them takes which source.
//!
//! Each writes a file beside the table every ten seconds and lists the others'. A source goes to the
//! member with the highest hash of both (rendezvous hashing), so that when one comes or goes, only
//! its own sources change hands. It is for efficiency alone: should two take one source for a while,
//! the fence of commits keeps its rows single.

use std::time::Duration;

use object_store::path::Path;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::StoreError;
use crate::storage::MOST_OF_NOTE;
use crate::table::{FOLDER, Store};

/// How often a member has to [`renew`](Membership::renew).
pub const RENEW: Duration = Duration::from_secs(10);
/// A member that wasn't renewed for so long is dead.
pub const DEAD: Duration = Duration::from_secs(30);
/// A member's file is deleted when it wasn't renewed for so long.
const GONE: Duration = Duration::from_secs(10 * 60);

/// A process that shares the table.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Member {
    /// Its identifier, which is new each time it joins.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// How long ago it was renewed, by the storage's clock.
    pub age: Duration,
}

/// What a member's file has.
#[derive(Serialize, Deserialize)]
struct File {
    name: String,
    /// Counts the renewals, so that each is another file for a storage that compares.
    renewals: u64,
}

/// This process among those that share the table.
#[derive(Debug)]
pub struct Membership {
    store: Store,
    id: String,
    name: String,
    renewals: u64,
    members: Vec<Member>,
}

impl Store {
    /// Joins those that share the table.
    ///
    /// # Errors
    /// As [`Membership::renew`].
    pub async fn join(&self, name: &str) -> Result<Membership, StoreError> {
        let mut membership = Membership {
            store: self.clone(),
            id: Uuid::new_v4().to_string(),
            name: name.to_owned(),
            renewals: 0,
            members: Vec::new(),
        };
        membership.renew().await?;
        Ok(membership)
    }

    /// Those that share the table and are alive. Their ages count from the newest renewal of all, so
    /// that when all have died nobody is seen to.
    ///
    /// # Errors
    /// [`StoreError::Storage`].
    pub async fn members(&self) -> Result<Vec<Member>, StoreError> {
        let storage = &self.0.storage;
        let listed = storage.list(Some(&folder())).await?;
        let Some(now) = listed.iter().map(|file| file.last_modified).max() else {
            return Ok(Vec::new());
        };
        let mut members = Vec::new();
        for file in listed {
            let age = now.signed_duration_since(file.last_modified).to_std().unwrap_or_default();
            if age > GONE && !self.0.options.read_only {
                storage.delete(&file.location).await?;
            }
            if age > DEAD {
                continue;
            }
            // One that has left meanwhile, or wasn't written by this crate.
            let Some(bytes) = storage.read(&file.location, MOST_OF_NOTE).await? else { continue };
            let Ok(File { name, .. }) = serde_json::from_slice(&bytes) else { continue };
            let id = file.location.filename().unwrap_or_default().to_owned();
            members.push(Member { id, name, age });
        }
        members.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(members)
    }
}

impl Membership {
    /// Says that this member is alive, and looks who else is. To be called every [`RENEW`]; who
    /// couldn't for [`DEAD`] has to give its sources up, as others take them by then.
    ///
    /// # Errors
    /// [`StoreError::Storage`], [`StoreError::ReadOnly`].
    pub async fn renew(&mut self) -> Result<&[Member], StoreError> {
        if self.store.0.options.read_only {
            return Err(StoreError::ReadOnly);
        }
        self.renewals += 1;
        let file = File { name: self.name.clone(), renewals: self.renewals };
        let bytes = serde_json::to_vec(&file)
            .map_err(|error| StoreError::engine("write a member's file", error))?;
        self.store.0.storage.write(&folder().join(self.id.as_str()), bytes).await?;
        self.members = self.store.members().await?;
        Ok(&self.members)
    }

    /// This member's identifier.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Those that were alive when this member was last renewed.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether a source is this member's to follow.
    pub fn owns(&self, source: &str) -> bool {
        owner(&self.members, source).is_some_and(|owner| owner.id == self.id)
    }

    /// Leaves, so that others take over at once.
    ///
    /// # Errors
    /// [`StoreError::Storage`].
    pub async fn leave(self) -> Result<(), StoreError> {
        self.store.0.storage.delete(&folder().join(self.id.as_str())).await
    }
}

fn folder() -> Path {
    Path::from(FOLDER).join("members")
}

/// The member that a source belongs to: any of the members who asks gets the same answer.
pub fn owner<'m>(members: &'m [Member], source: &str) -> Option<&'m Member> {
    members.iter().max_by_key(|member| (weight(&member.id, source), &member.id))
}

/// A number that looks random and is the same everywhere: FNV-1a over both, mixed as in SplitMix64.
fn weight(member: &str, source: &str) -> u64 {
    let bytes = member.bytes().chain([0]).chain(source.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(n: usize) -> Vec<Member> {
        let id = |n| Uuid::from_u128(n as u128 * 0x1234_5678_9abc_def0_1234_5678).to_string();
        let member = |n| Member { id: id(n), name: String::new(), age: Duration::ZERO };
        (0..n).map(member).collect()
    }

    #[test]
    fn sources_are_spread_evenly() {
        let members = members(4);
        let mut counts = std::collections::HashMap::new();
        for n in 0..4000 {
            let owner = owner(&members, &format!("even6://srv-{n:04}.example")).unwrap();
            *counts.entry(&owner.id).or_insert(0) += 1;
        }
        // Four standard deviations of a fair draw: 4 * sqrt(4000 * 1/4 * 3/4) = 110.
        assert!(counts.values().all(|&count| (890..=1110).contains(&count)), "{counts:?}");
    }

    #[test]
    fn when_a_member_goes_only_its_sources_change_hands() {
        let all = members(5);
        let rest: Vec<Member> = all[1..].to_vec();
        for n in 0..1000 {
            let source = format!("srv-{n}");
            let before = owner(&all, &source).unwrap();
            let after = owner(&rest, &source).unwrap();
            assert!(before.id == all[0].id || before.id == after.id);
        }
        assert_eq!(owner(&[], "x"), None);
    }
}
