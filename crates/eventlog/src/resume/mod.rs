//! How reading goes on after whatever interrupts it, written once for every source that has result
//! sets: servers over MS-EVEN6 and this machine.
//!
//! A source implements [`ResultCursor`] for its queries and [`SubscriptionCursor`] for its
//! subscriptions, with one call of the protocol a method. [`ResumingQuery`] and
//! [`ResumingSubscription`] make [`Batches`](crate::Batches) of them: they adapt the number of
//! records to their size, ask again for what couldn't be sent, pass records that can't be sent at
//! all, go on after a gap, and report what is missing.

mod cursor;
mod ladder;
mod position;
mod query;
mod recovery;
mod size;
mod subscription;
#[cfg(test)]
mod tests;

pub(crate) use cursor::{
    Answer, Fetched, Place, Rest, ResultCursor, SeekTo, Sought, SubscriptionCursor,
};
pub(crate) use ladder::{Ladder, QueryText};
pub(crate) use query::ResumingQuery;
pub(crate) use subscription::ResumingSubscription;
