//! Association groups (C706 9): connections of one
//! client that share context handles. What is kept for a group goes when its
//! last connection does.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::limits::MAX_ASSOCIATION_GROUPS;
use crate::pdu::NakReason;
use crate::server::GroupAssigner;

/// The association groups of a server, each with a `T`.
#[derive(Debug)]
pub struct Associations<T> {
    groups: Arc<Mutex<Groups<T>>>,
}

impl<T> Clone for Associations<T> {
    fn clone(&self) -> Self {
        Self { groups: Arc::clone(&self.groups) }
    }
}

impl<T> Default for Associations<T> {
    fn default() -> Self {
        let groups = Groups { last: 0x0001_0000, members: HashMap::new() };
        Self { groups: Arc::new(Mutex::new(groups)) }
    }
}

#[derive(Debug)]
struct Groups<T> {
    last: u32,
    /// The group's value and how many connections it has.
    members: HashMap<u32, (Arc<T>, usize)>,
}

/// A connection's place in its group; empty until it binds.
pub type Seat<T> = Arc<OnceLock<Member<T>>>;

impl<T: Default + Send + Sync + 'static> Associations<T> {
    /// For one connection: what its [`ServerHalf`](crate::ServerHalf) asks for a
    /// group, and where its membership then is. A wish for a group that does not
    /// exist is answered with a new one, as Windows does.
    pub fn seat(&self) -> (GroupAssigner, Seat<T>) {
        let seat: Seat<T> = Arc::default();
        let (groups, filled) = (Arc::clone(&self.groups), Arc::clone(&seat));
        let assigner = Box::new(move |wish| {
            let member = Member::join(groups, wish)?;
            let id = member.id;
            // Asked for once only.
            let _ = filled.set(member);
            Ok(id)
        });
        (assigner, seat)
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        lock(&self.groups).members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Membership in a group; leaves it when dropped.
pub struct Member<T> {
    groups: Arc<Mutex<Groups<T>>>,
    id: u32,
    value: Arc<T>,
}

impl<T: Default> Member<T> {
    fn join(groups: Arc<Mutex<Groups<T>>>, wish: u32) -> Result<Self, NakReason> {
        let (id, value) = {
            let mut locked = lock(&groups);
            if let Some((value, count)) = locked.members.get_mut(&wish) {
                *count += 1;
                (wish, Arc::clone(value))
            } else {
                if locked.members.len() >= MAX_ASSOCIATION_GROUPS {
                    return Err(NakReason::LocalLimitExceeded);
                }
                let mut id = locked.last;
                loop {
                    id = id.wrapping_add(1).max(1);
                    if !locked.members.contains_key(&id) {
                        break;
                    }
                }
                locked.last = id;
                let value = Arc::new(T::default());
                locked.members.insert(id, (Arc::clone(&value), 1));
                (id, value)
            }
        };
        Ok(Self { groups, id, value })
    }
}

impl<T> Member<T> {
    /// The group's number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What is kept for the group.
    pub fn value(&self) -> &Arc<T> {
        &self.value
    }
}

impl<T> Deref for Member<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Drop for Member<T> {
    fn drop(&mut self) {
        let gone = {
            let mut groups = lock(&self.groups);
            match groups.members.get_mut(&self.id) {
                Some((_, count)) if *count > 1 => {
                    *count -= 1;
                    None
                }
                _ => groups.members.remove(&self.id),
            }
        };
        // What a group keeps is dropped outside of the lock.
        drop(gone);
    }
}

impl<T> fmt::Debug for Member<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Member({})", self.id)
    }
}

fn lock<T>(groups: &Mutex<Groups<T>>) -> MutexGuard<'_, Groups<T>> {
    groups.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn connections_of_a_group_share_and_the_last_one_takes_it_along() {
        let associations = Associations::<AtomicU32>::default();
        let (assign, first) = associations.seat();
        let id = assign(0).unwrap();
        let (assign, second) = associations.seat();
        assert_eq!(assign(id), Ok(id));
        let (first, second) = (Arc::into_inner(first).unwrap(), Arc::into_inner(second).unwrap());
        assert!(Arc::ptr_eq(first.get().unwrap().value(), second.get().unwrap().value()));
        drop(first);
        assert_eq!(associations.len(), 1);
        drop(second);
        assert!(associations.is_empty());
    }

    #[test]
    fn an_unknown_group_is_answered_with_a_new_one() {
        let associations = Associations::<AtomicU32>::default();
        let (assign, _seat) = associations.seat();
        assert_ne!(assign(77).unwrap(), 77);
    }
}
