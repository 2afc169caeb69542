//! The rules of a group as atoms: what is asked of an event once, however many rules ask it.
//!
//! All texts that rules search a field for are one automaton. Its hits set the bits of atoms, and
//! only rules that have one of their *triggers* set, without which they can't hold, are looked at.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use quarry_event::Field;

use super::Member;
use super::routes::is_anything;
use crate::fields::{Origin, Slot};
use crate::mapping::{FieldMap, Mapping};
use crate::pattern::{Pattern, Piece, folded};
use crate::rule::{Expr, Match, Rule, Test};

/// The most texts that the dashes of a pattern may make of it.
pub(super) const MOST_DASHED: usize = crate::pattern::MOST_DASHED;
/// The most texts of an automaton that is a table.
const MOST_IN_TABLE: usize = 64;
/// What a table takes at most of each byte of its texts: a state, with 256 transitions of four bytes.
const TABLE_BYTES: usize = 1 << 10;

/// A group's rules, ready.
pub(super) struct Compiled {
    pub(super) slots: Vec<CompiledSlot>,
    /// The slots of each name of data.
    pub(super) names: HashMap<String, Vec<usize>>,
    /// The slot of every value.
    pub(super) every: Option<usize>,
    /// Of each atom the test, where it is one that is done when a rule needs it.
    pub(super) lazy: Vec<Option<Lazy>>,
    pub(super) verify: Vec<Verify>,
    pub(super) rules: Vec<CompiledRule>,
    /// The rules that have each atom as a trigger.
    pub(super) triggers: Vec<Vec<u32>>,
    /// The rules without triggers.
    pub(super) always: Vec<u32>,
}

pub(super) struct CompiledSlot {
    pub(super) slot: Slot,
    /// The slots that a computed one is made of.
    pub(super) inputs: Vec<usize>,
    pub(super) automaton: Option<AhoCorasick>,
    /// What each text of the automaton means.
    pub(super) hits: Vec<Vec<Hit>>,
}

/// That a text was found.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Hit {
    pub(super) atom: u32,
    pub(super) place: HitPlace,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum HitPlace {
    Anywhere,
    Start,
    End,
    Whole,
    /// Where the pattern matches the whole.
    Verify(u32),
}

pub(super) struct Verify {
    pub(super) pattern: Pattern,
    pub(super) cased: bool,
}

/// A test that no automaton does.
pub(super) struct Lazy {
    pub(super) slot: usize,
    pub(super) test: Test,
    /// The slot of the other field, of a test that has one; nothing where that can't be.
    pub(super) other: Option<usize>,
}

pub(super) struct CompiledRule {
    pub(super) rule: usize,
    pub(super) tree: Tree,
}

/// A rule's tree.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tree {
    Const(bool),
    Atom(u32),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
}

impl Tree {
    fn and(terms: Vec<Tree>) -> Tree {
        Tree::joined(terms, false)
    }

    fn or(terms: Vec<Tree>) -> Tree {
        Tree::joined(terms, true)
    }

    /// Terms of which one that is `settles` settles it.
    fn joined(terms: Vec<Tree>, settles: bool) -> Tree {
        let mut kept = Vec::new();
        for term in terms {
            match term {
                Tree::Const(value) if value == settles => return Tree::Const(settles),
                Tree::Const(_) => {}
                Tree::And(inner) if !settles => kept.extend(inner),
                Tree::Or(inner) if settles => kept.extend(inner),
                other => kept.push(other),
            }
        }
        match (kept.len(), settles) {
            (0, _) => Tree::Const(!settles),
            (1, _) => kept.remove(0),
            (_, true) => Tree::Or(kept),
            (_, false) => Tree::And(kept),
        }
    }

    fn not(term: Tree) -> Tree {
        match term {
            Tree::Const(value) => Tree::Const(!value),
            Tree::Not(inner) => *inner,
            other => Tree::Not(Box::new(other)),
        }
    }
}

/// What is asked of an event once.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Atom {
    /// Any of the patterns.
    Texts(usize, Vec<Test>),
    Lazy(usize, Test),
}

/// How many bytes of text the automata have of a rule.
pub(super) fn weight(expr: &Expr) -> usize {
    match expr {
        Expr::And(terms) | Expr::Or(terms) => {
            terms.iter().map(weight).fold(0, usize::saturating_add)
        }
        Expr::Not(term) => weight(term),
        Expr::Search(_, term) => weight(term),
        Expr::Match(one) => one.tests.iter().map(Test::text_bytes).sum(),
    }
}

pub(super) fn compile(
    members: &[Member],
    rules: &[Rule],
    mapping: &Mapping,
    tables_left: &AtomicUsize,
) -> Compiled {
    let mut builder = Builder {
        mapping,
        slots: Vec::new(),
        known_slots: HashMap::new(),
        texts: Vec::new(),
        atoms: HashMap::new(),
        worth: Vec::new(),
        lazy: HashMap::new(),
        verify: Vec::new(),
    };
    let mut compiled = Vec::new();
    for member in members {
        let map = member.fields.as_deref().and_then(|name| mapping.field_map(name));
        let mut tree = builder.tree(&rules[member.rule].detection, map);
        builder.sort(&mut tree);
        if tree != Tree::Const(false) {
            compiled.push(CompiledRule { rule: member.rule, tree });
        }
    }
    let mut triggers = vec![Vec::new(); builder.worth.len()];
    let mut always = Vec::new();
    for (n, rule) in compiled.iter().enumerate() {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        match builder.triggers(&rule.tree) {
            Some((_, atoms)) => {
                for atom in atoms {
                    let of_atom: &mut Vec<u32> = &mut triggers[atom as usize];
                    if of_atom.last() != Some(&n) {
                        of_atom.push(n);
                    }
                }
            }
            None => always.push(n),
        }
    }
    builder.finish(compiled, triggers, always, tables_left)
}

struct Builder<'m> {
    mapping: &'m Mapping,
    slots: Vec<(Slot, Vec<usize>)>,
    known_slots: HashMap<Slot, usize>,
    /// Of each slot, what is searched for in it.
    texts: Vec<HashMap<String, Vec<Hit>>>,
    atoms: HashMap<Atom, u32>,
    /// Of each atom, how much it tells: the length of its shortest text; nothing for one that no
    /// automaton sets.
    worth: Vec<Option<usize>>,
    lazy: HashMap<u32, Lazy>,
    verify: Vec<Verify>,
}

impl Builder<'_> {
    fn slot(&mut self, slot: Slot) -> usize {
        if let Some(&known) = self.known_slots.get(&slot) {
            return known;
        }
        let inputs = match &slot.origin {
            Origin::Computed { inputs, .. } => inputs
                .clone()
                .into_iter()
                .map(|key| {
                    self.slot(Slot { origin: Origin::Data { key, or: None }, padded: false })
                })
                .collect(),
            _ => Vec::new(),
        };
        let n = self.slots.len();
        self.slots.push((slot.clone(), inputs));
        self.texts.push(HashMap::new());
        self.known_slots.insert(slot, n);
        n
    }

    fn tree(&mut self, expr: &Expr, map: Option<&FieldMap>) -> Tree {
        match expr {
            Expr::And(terms) => Tree::and(terms.iter().map(|term| self.tree(term, map)).collect()),
            Expr::Or(terms) => Tree::or(terms.iter().map(|term| self.tree(term, map)).collect()),
            Expr::Not(term) => Tree::not(self.tree(term, map)),
            Expr::Search(_, term) => self.tree(term, map),
            Expr::Match(one) => self.of_match(one, map),
        }
    }

    fn of_match(&mut self, one: &Match, map: Option<&FieldMap>) -> Tree {
        let Some(slot) = Slot::of(one.field.as_deref(), map, self.mapping) else {
            let terms = one.tests.iter().map(|test| Tree::Const(test.holds_of_nothing())).collect();
            return if one.all { Tree::and(terms) } else { Tree::or(terms) };
        };
        let padded = slot.padded;
        let slot = self.slot(slot);
        let tests = one.tests.iter();
        let tests: Vec<Test> = match padded {
            true => tests.map(Test::unpadded).collect(),
            false => tests.cloned().collect(),
        };
        if one.all {
            let terms = tests.into_iter().map(|test| match is_text(&test) {
                true => self.texts(slot, vec![test]),
                false => self.lazy(slot, test, map),
            });
            return Tree::and(terms.collect());
        }
        let (texts, others): (Vec<Test>, Vec<Test>) = tests.into_iter().partition(is_text);
        let mut terms = Vec::new();
        if !texts.is_empty() {
            terms.push(self.texts(slot, texts));
        }
        terms.extend(others.into_iter().map(|test| self.lazy(slot, test, map)));
        Tree::or(terms)
    }

    fn texts(&mut self, slot: usize, tests: Vec<Test>) -> Tree {
        let atom = Atom::Texts(slot, tests.clone());
        if let Some(&known) = self.atoms.get(&atom) {
            return Tree::Atom(known);
        }
        let n = u32::try_from(self.worth.len()).unwrap_or(u32::MAX);
        self.atoms.insert(atom, n);
        let mut worth = usize::MAX;
        for test in tests {
            let Test::Text { pattern, cased } = test else { continue };
            let forms = pattern.dashed(MOST_DASHED).unwrap_or_else(|| vec![pattern.clone()]);
            for form in forms {
                worth = worth.min(self.text(slot, n, form, cased));
            }
        }
        self.worth.push(Some(worth));
        Tree::Atom(n)
    }

    /// Adds a text to a slot's automaton, and gives its length.
    fn text(&mut self, slot: usize, atom: u32, pattern: Pattern, cased: bool) -> usize {
        let (text, mut place) = match pattern.pieces() {
            [Piece::Text(text)] => (text.clone(), Some(HitPlace::Whole)),
            [Piece::Any, Piece::Text(text)] => (text.clone(), Some(HitPlace::End)),
            [Piece::Text(text), Piece::Any] => (text.clone(), Some(HitPlace::Start)),
            [Piece::Any, Piece::Text(text), Piece::Any] => (text.clone(), Some(HitPlace::Anywhere)),
            pieces => (longest(pieces).unwrap_or_default().to_owned(), None),
        };
        if cased {
            place = None;
        }
        let text = if cased { folded(&text) } else { text };
        let place = place.unwrap_or_else(|| {
            self.verify.push(Verify { pattern, cased });
            HitPlace::Verify(u32::try_from(self.verify.len() - 1).unwrap_or(u32::MAX))
        });
        let length = text.len();
        let hits = self.texts[slot].entry(text).or_default();
        let hit = Hit { atom, place };
        if !hits.contains(&hit) {
            hits.push(hit);
        }
        length
    }

    fn lazy(&mut self, slot: usize, test: Test, map: Option<&FieldMap>) -> Tree {
        let other = match &test {
            Test::FieldRef { other, .. } => {
                Slot::of(Some(other), map, self.mapping).map(|slot| self.slot(slot))
            }
            _ => None,
        };
        // Where the other field is may depend on the map.
        let is_shared = !matches!(test, Test::FieldRef { .. });
        let atom = Atom::Lazy(slot, test.clone());
        if let Some(&known) = self.atoms.get(&atom).filter(|_| is_shared) {
            return Tree::Atom(known);
        }
        let n = u32::try_from(self.worth.len()).unwrap_or(u32::MAX);
        if is_shared {
            self.atoms.insert(atom, n);
        }
        self.worth.push(None);
        self.lazy.insert(n, Lazy { slot, test, other });
        Tree::Atom(n)
    }

    /// Puts what is cheap to test first.
    fn sort(&self, tree: &mut Tree) {
        if let Tree::And(terms) | Tree::Or(terms) = tree {
            terms.iter_mut().for_each(|term| self.sort(term));
            terms.sort_by_key(|term| self.cost(term));
        } else if let Tree::Not(term) = tree {
            self.sort(term);
        }
    }

    fn cost(&self, tree: &Tree) -> usize {
        match tree {
            Tree::Const(_) => 0,
            Tree::Atom(n) => match self.lazy.get(n).map(|lazy| &lazy.test) {
                None => 1,
                Some(Test::Regex(_)) => 1000,
                Some(_) => 20,
            },
            Tree::And(terms) | Tree::Or(terms) => terms.iter().map(|term| self.cost(term)).sum(),
            Tree::Not(term) => self.cost(term),
        }
    }

    /// Atoms of which one has to be set where the tree holds, with how much the worst tells;
    /// nothing where the tree may hold without any.
    fn triggers(&self, tree: &Tree) -> Option<(usize, Vec<u32>)> {
        match tree {
            Tree::Const(true) | Tree::Not(_) => None,
            Tree::Const(false) => Some((usize::MAX, Vec::new())),
            Tree::Atom(n) => self.worth[*n as usize].map(|worth| (worth, vec![*n])),
            Tree::And(terms) => terms
                .iter()
                .filter_map(|term| self.triggers(term))
                // Of those that tell alike, the fewest.
                .max_by_key(|(worth, atoms)| (*worth, std::cmp::Reverse(atoms.len()))),
            Tree::Or(terms) => {
                let terms: Option<Vec<_>> = terms.iter().map(|term| self.triggers(term)).collect();
                let terms = terms?;
                let worth = terms.iter().map(|(worth, _)| *worth).min().unwrap_or(usize::MAX);
                Some((worth, terms.into_iter().flat_map(|(_, atoms)| atoms).collect()))
            }
        }
    }

    fn finish(
        self,
        rules: Vec<CompiledRule>,
        triggers: Vec<Vec<u32>>,
        always: Vec<u32>,
        tables_left: &AtomicUsize,
    ) -> Compiled {
        let mut names: HashMap<String, Vec<usize>> = HashMap::new();
        let mut every = None;
        let mut slots = Vec::new();
        for (n, ((slot, inputs), texts)) in self.slots.into_iter().zip(self.texts).enumerate() {
            match &slot.origin {
                Origin::Data { key, .. } => names.entry(key.clone()).or_default().push(n),
                Origin::Every => every = Some(n),
                Origin::System(_) | Origin::Computed { .. } => {}
            }
            let mut texts: Vec<(String, Vec<Hit>)> = texts.into_iter().collect();
            texts.sort_by(|(a, _), (b, _)| a.cmp(b));
            let (texts, hits): (Vec<String>, Vec<Vec<Hit>>) = texts.into_iter().unzip();
            let automaton = automaton(&texts, tables_left);
            slots.push(CompiledSlot { slot, inputs, automaton, hits });
        }
        let mut lazy = self.lazy;
        let atoms = self.worth.len();
        Compiled {
            slots,
            names,
            every,
            lazy: (0..atoms).map(|n| lazy.remove(&u32::try_from(n).ok()?)).collect(),
            verify: self.verify,
            rules,
            triggers,
            always,
        }
    }
}

/// An automaton of some texts. It takes some 30 bytes of each of theirs; a table, which is faster, up
/// to 1 KiB, so that there are only so many of these.
fn automaton(texts: &[String], tables_left: &AtomicUsize) -> Option<AhoCorasick> {
    if texts.is_empty() {
        return None;
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    let most = bytes.saturating_add(1).saturating_mul(TABLE_BYTES);
    let take = |left: usize| left.checked_sub(most);
    let is_table = texts.len() <= MOST_IN_TABLE
        && tables_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
    let kind = if is_table { AhoCorasickKind::DFA } else { AhoCorasickKind::ContiguousNFA };
    let automaton = AhoCorasick::builder().kind(Some(kind)).build(texts).ok();
    if is_table {
        let used = automaton.as_ref().map_or(0, AhoCorasick::memory_usage);
        tables_left.fetch_add(most.saturating_sub(used), Ordering::Relaxed);
    }
    automaton
}

/// Whether an automaton does the test.
fn is_text(test: &Test) -> bool {
    let Test::Text { pattern, .. } = test else { return false };
    !is_anything(pattern.pieces()) && longest(pattern.pieces()).is_some()
}

/// The longest text of a pattern.
fn longest(pieces: &[Piece]) -> Option<&str> {
    let texts = pieces.iter().filter_map(|piece| match piece {
        Piece::Text(text) => Some(&**text),
        _ => None,
    });
    texts.max_by_key(|text| text.len())
}

/// The fields of `<System>` that slots want where there is no data of their name.
pub(super) fn instead(slot: &Slot) -> Option<Field> {
    match &slot.origin {
        Origin::System(field) => Some(*field),
        Origin::Data { or, .. } => *or,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn automata_take_little_of_each_byte_of_their_texts_but_so_many_tables() {
        let left = AtomicUsize::new(1 << 20);
        let small: Vec<String> = (0..8).map(|n| format!("text {n}")).collect();
        assert_eq!(automaton(&small, &left).unwrap().kind(), AhoCorasickKind::DFA);
        let after = left.load(Ordering::Relaxed);
        assert!(after < 1 << 20 && after > 900 << 10, "{after}");
        // A long text as a table would take 256 MiB.
        let long = (b' '..=b'z').map(char::from).cycle().take(256 << 10);
        let long: Vec<String> = vec![long.collect()];
        let made = automaton(&long, &left).unwrap();
        assert_eq!(made.kind(), AhoCorasickKind::ContiguousNFA);
        assert!(made.memory_usage() < 32 * long[0].len(), "{}", made.memory_usage());
        assert_eq!(left.load(Ordering::Relaxed), after);
    }
}
