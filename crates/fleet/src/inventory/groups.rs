//! Groups: who is in them, directly or by another group.

use std::collections::HashMap;
use std::sync::Arc;

use super::limits::{MAX_GROUP_DEPTH, MAX_MEMBERSHIPS};

/// The groups of an inventory, with all their members.
#[derive(Clone, Default, Debug)]
pub(super) struct Groups {
    /// In the order of the text.
    groups: Vec<(Arc<str>, Vec<usize>)>,
    /// Places in `groups` by the name in lowercase.
    by_key: HashMap<String, usize>,
}

/// A group while its members are gathered.
#[derive(Debug)]
pub(super) struct Draft {
    /// Its name as it is written.
    pub(super) name: String,
    /// Where that is.
    pub(super) at: usize,
    /// Places of the servers that it names, in any order, maybe more than once.
    pub(super) servers: Vec<usize>,
    /// Places of the groups that it names, and where it does.
    pub(super) groups: Vec<(usize, usize)>,
}

/// Why groups can't be what they are; each with the byte of the text that says so.
#[derive(Debug)]
pub(super) enum GroupsProblem {
    /// Contain each other: the names, of which the first is also the last.
    Cycle(usize, Vec<String>),
    /// Deeper than [`MAX_GROUP_DEPTH`].
    TooDeep(usize),
    /// More than [`MAX_MEMBERSHIPS`].
    TooMany(usize),
}

impl Groups {
    /// Works out who is in each group. `drafts` are in the order of the text.
    pub(super) fn new(drafts: &[Draft]) -> Result<Self, GroupsProblem> {
        let mut resolver = Resolver { drafts, done: Vec::new(), open: Vec::new(), memberships: 0 };
        resolver.done.resize_with(drafts.len(), || None);
        for (place, draft) in drafts.iter().enumerate() {
            resolver.resolve(place, draft.at)?;
        }
        let members = resolver.done.into_iter().map(|done| done.unwrap_or_default().members);
        let names = drafts.iter().map(|draft| Arc::from(&*draft.name));
        let by_key = drafts.iter().enumerate();
        Ok(Groups {
            groups: names.zip(members).collect(),
            by_key: by_key.map(|(place, draft)| (draft.name.to_lowercase(), place)).collect(),
        })
    }

    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.groups.iter().map(|(name, _)| &**name)
    }

    /// Places of the servers of the group with a name in lowercase, in order.
    pub(super) fn members(&self, key: &str) -> Option<&[usize]> {
        self.by_key.get(key).map(|&place| &*self.groups[place].1)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Arc<str>, &[usize])> {
        self.groups.iter().map(|(name, members)| (name, &**members))
    }
}

struct Resolver<'d> {
    drafts: &'d [Draft],
    done: Vec<Option<Resolved>>,
    /// The groups that are being worked out, each in the one before.
    open: Vec<usize>,
    memberships: usize,
}

#[derive(Default)]
struct Resolved {
    members: Vec<usize>,
    /// 1 for a group without groups in it.
    depth: usize,
}

impl Resolver<'_> {
    /// Works out a group, which the text uses at a byte.
    fn resolve(&mut self, place: usize, used_at: usize) -> Result<(), GroupsProblem> {
        if self.done[place].is_some() {
            return Ok(());
        }
        if let Some(first) = self.open.iter().position(|&open| open == place) {
            let names = self.open[first..].iter().chain([&place]);
            let names = names.map(|&place| self.drafts[place].name.clone()).collect();
            return Err(GroupsProblem::Cycle(used_at, names));
        }
        if self.open.len() == MAX_GROUP_DEPTH {
            return Err(GroupsProblem::TooDeep(used_at));
        }
        self.open.push(place);
        let draft = &self.drafts[place];
        let mut resolved = Resolved { members: draft.servers.clone(), depth: 1 };
        for &(inner, at) in &draft.groups {
            self.resolve(inner, at)?;
            if let Some(inner) = &self.done[inner] {
                // Counted as they come: the same group again and again is work, too.
                self.memberships += inner.members.len();
                resolved.members.extend_from_slice(&inner.members);
                resolved.depth = resolved.depth.max(inner.depth + 1);
            }
            if resolved.depth > MAX_GROUP_DEPTH {
                return Err(GroupsProblem::TooDeep(at));
            }
            if self.memberships > MAX_MEMBERSHIPS {
                return Err(GroupsProblem::TooMany(at));
            }
        }
        self.memberships += draft.servers.len();
        if self.memberships > MAX_MEMBERSHIPS {
            return Err(GroupsProblem::TooMany(draft.at));
        }
        resolved.members.sort_unstable();
        resolved.members.dedup();
        self.open.pop();
        self.done[place] = Some(resolved);
        Ok(())
    }
}
