//! What detection rules are called. A stored event has their identifiers alone, and people ask by title.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use quarry_collect::Detect;
use quarry_event::RuleName;
use quarry_event::filter::{Filter, Glob};

/// The rules that the program has now, by identifier.
#[derive(Clone, Default)]
pub(crate) struct Titles(Arc<RwLock<HashMap<String, Arc<RuleName>>>>);

impl Titles {
    /// Those of a configuration.
    pub(crate) fn of_rules(rules: Option<&Detect>) -> Self {
        let titles = Titles::default();
        titles.take_up(rules);
        titles
    }

    /// Takes up those of another.
    pub(crate) fn take_up(&self, rules: Option<&Detect>) {
        let all = rules.map(|rules| rules.engine().rules()).unwrap_or_default();
        let named = all.iter().filter(|rule| !rule.name.id.is_empty());
        let by_id = named.map(|rule| (rule.name.id.clone(), Arc::clone(&rule.name))).collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = by_id;
    }

    /// A filter in which a glob that is a rule's by its title means its identifier too.
    pub(super) fn by_id(&self, filter: &Filter) -> Filter {
        let mut filter = filter.clone();
        if !filter.tests_rules() {
            return filter;
        }
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        for globs in [&mut filter.rules, &mut filter.not_rules] {
            let named = known.values().filter(|rule| globs.iter().any(|glob| rule.is_named(glob)));
            let ids: Vec<Glob> = named.filter_map(|rule| Glob::parse(&rule.id).ok()).collect();
            globs.extend(ids);
        }
        filter
    }

    /// Those of some identifiers that there are.
    pub(super) fn known<'i>(&self, ids: impl Iterator<Item = &'i str>) -> Vec<Arc<RuleName>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        ids.filter_map(|id| known.get(id).cloned()).collect()
    }

    /// Stored rules as they are called now; one that is gone keeps its identifier.
    pub(super) fn of(&self, stored: &[Arc<RuleName>]) -> Vec<Arc<RuleName>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        stored.iter().map(|rule| Arc::clone(known.get(&rule.id).unwrap_or(rule))).collect()
    }
}
