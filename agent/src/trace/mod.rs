//! The way of a token, as `tokenhound trace` shows it: as a tree, as JSON and as a graph. Pure: the rows come from the
//! history.

pub mod graph;
pub mod html;
pub mod text;

use serde_json::{Value, json};

use crate::{
    finding::visible,
    history::{
        egress::Egress,
        read::{Access, Copy, Place, Told},
        trail::Trail,
    },
};

/// A trail in the order in which one thing led to another.
#[derive(Debug, Default)]
pub struct Tree<'t> {
    /// Files of stores with what lay in them.
    pub roots: Vec<Root<'t>>,
    /// What belongs to none of them.
    pub rest: Rest<'t>,
}

/// A file of a store.
#[derive(Debug)]
pub struct Root<'t> {
    /// The tokens that lie or lay in it; never empty.
    pub tokens: Vec<&'t Place>,
    /// Who got at them.
    pub accesses: Vec<Branch<'t>>,
    /// The rest of what is known.
    pub rest: Rest<'t>,
}

/// Who got at a token, and what came of it.
#[derive(Debug)]
pub struct Branch<'t> {
    /// Who.
    pub access: &'t Access,
    /// What came of it.
    pub rest: Rest<'t>,
}

/// Something with the findings about it.
pub type Leaf<'t, T> = (&'t T, Vec<&'t Told>);

/// Copies, connections and findings.
#[derive(Debug, Default)]
pub struct Rest<'t> {
    /// Who got at whoever keeps it; only where no file of the store is known.
    pub accesses: Vec<Branch<'t>>,
    /// Copies, each with its findings.
    pub copies: Vec<Leaf<'t, Copy>>,
    /// Where it was carried to, each with its findings.
    pub egress: Vec<Leaf<'t, Egress>>,
    /// Findings.
    pub findings: Vec<&'t Told>,
}

impl<'t> Tree<'t> {
    /// The tree of a trail. Everything of it is there once.
    #[must_use]
    pub fn of(trail: &'t Trail) -> Self {
        let mut tree = Self::default();
        for place in &trail.places {
            let root = |root: &&mut Root<'_>| {
                let first = root.tokens.first();
                first.is_some_and(|first| (&first.store, &first.path) == (&place.store, &place.path))
            };
            match tree.roots.iter_mut().find(root) {
                Some(root) => root.tokens.push(place),
                None => {
                    tree.roots.push(Root { tokens: vec![place], accesses: Vec::new(), rest: Rest::default() });
                }
            }
        }
        for access in &trail.accesses {
            let branch = Branch { access, rest: Rest::default() };
            match tree.roots.iter_mut().find(|root| root.has(access)) {
                Some(root) => root.accesses.push(branch),
                None => tree.rest.accesses.push(branch),
            }
        }
        trail.copies.iter().for_each(|copy| tree.copy(copy));
        trail.egress.iter().for_each(|egress| tree.egress(egress));
        trail.findings.iter().for_each(|told| tree.finding(told));
        tree
    }

    fn branch(&mut self, access: Option<i64>) -> Option<&mut Branch<'t>> {
        let access = access?;
        let roots = self.roots.iter_mut().flat_map(|root| &mut root.accesses);
        roots.chain(&mut self.rest.accesses).find(|branch| branch.access.id == access)
    }

    fn copy(&mut self, copy: &'t Copy) {
        if let Some(branch) = self.branch(copy.access) {
            return branch.rest.copies.push((copy, Vec::new()));
        }
        let root = self.roots.iter_mut().find(|root| root.holds(&copy.fingerprint));
        root.map_or(&mut self.rest, |root| &mut root.rest).copies.push((copy, Vec::new()));
    }

    fn egress(&mut self, egress: &'t Egress) {
        if let Some(branch) = self.branch(egress.access) {
            return branch.rest.egress.push((egress, Vec::new()));
        }
        let about = |root: &&mut Root<'_>| {
            let store = root.tokens.iter().any(|place| place.store == egress.store);
            egress.fingerprint.as_ref().map_or(store, |fingerprint| root.holds(fingerprint))
        };
        let root = self.roots.iter_mut().find(about);
        root.map_or(&mut self.rest, |root| &mut root.rest).egress.push((egress, Vec::new()));
    }

    /// What findings may hang on.
    fn leaves(&mut self) -> impl Iterator<Item = (&mut Vec<Leaf<'t, Copy>>, &mut Vec<Leaf<'t, Egress>>)> {
        let Self { roots, rest: Rest { accesses, copies, egress, .. } } = self;
        let (below, roots): (Vec<_>, Vec<_>) =
            roots.iter_mut().map(|root| (root.accesses.iter_mut(), &mut root.rest)).unzip();
        let branches = accesses.iter_mut().chain(below.into_iter().flatten()).map(|branch| &mut branch.rest);
        let rests = branches.chain(roots).map(|rest| (&mut rest.copies, &mut rest.egress));
        std::iter::once((copies, egress)).chain(rests)
    }

    fn finding(&mut self, told: &'t Told) {
        let path = told.path.as_deref();
        let of_copy = |copy: &Copy| path == Some(&*crate::state::path::text(&copy.path));
        let of_egress = |egress: &Egress| egress.finding.as_ref() == Some(&told.uid);
        for (copies, egress) in self.leaves() {
            let copy = copies.iter_mut().find(|(copy, _)| of_copy(copy)).map(|(_, findings)| findings);
            let sent = egress.iter_mut().find(|(egress, _)| of_egress(egress)).map(|(_, findings)| findings);
            if let Some(findings) = copy.or(sent) {
                return findings.push(told);
            }
        }
        if let Some(branch) = self.branch(told.access) {
            return branch.rest.findings.push(told);
        }
        let about = |root: &&mut Root<'_>| {
            let file = root.tokens.iter().any(|place| path == Some(&*crate::state::path::text(&place.path)));
            file || told.fingerprint.as_ref().is_some_and(|fingerprint| root.holds(fingerprint))
        };
        let root = self.roots.iter_mut().find(about);
        root.map_or(&mut self.rest, |root| &mut root.rest).findings.push(told);
    }
}

impl Root<'_> {
    fn holds(&self, fingerprint: &str) -> bool {
        self.tokens.iter().any(|place| place.fingerprint == fingerprint)
    }

    /// Is it an access of this file, or of what keeps one of its tokens?
    fn has(&self, access: &Access) -> bool {
        let Some(first) = self.tokens.first() else { return false };
        if access.way == "read" {
            return access.what == first.path && access.store == first.store;
        }
        access.tokens.iter().any(|token| self.holds(token)) || (access.tokens.is_empty() && access.store == first.store)
    }
}

/// The trail as JSON. What is in no file of ours is in no field of it.
#[must_use]
pub fn json(asked: &str, trail: &Trail) -> Value {
    json!({
        "schema": "tokenhound-trace-1",
        "asked": asked,
        "places": trail.places,
        "accesses": trail.accesses,
        "copies": trail.copies,
        "egress": trail.egress,
        "findings": trail.findings,
        "left_out": trail.left_out,
    })
}

/// Who it was, in one line: `/usr/bin/python3, script /tmp/x.py, ann (package-script)`.
pub(crate) fn who(access: &Access) -> String {
    let mut text = visible::path(&access.program);
    if let Some(script) = &access.script {
        text.push_str(&format!(", script {script}"));
    }
    let user = access.user.as_ref().map_or_else(|| format!("uid {}", access.uid), |user| visible::text(user));
    text.push_str(&format!(", {user} ({})", access.actor));
    if let Some(container) = &access.container {
        text.push_str(&format!(", in {}", short_container(container)));
    }
    text
}

/// `docker 0123456789ab`.
pub(crate) fn short_container(container: &str) -> String {
    match container.split_once(' ') {
        Some((runtime, id)) => {
            let id: String = id.chars().take(12).collect();
            visible::text(&format!("{runtime} {id}"))
        }
        None => visible::text(container),
    }
}

/// What it did, and how often: `read it 3 times, unexpected`.
pub(crate) fn did(access: &Access) -> String {
    let what = visible::path(&access.what);
    let deed = match access.way.as_str() {
        "read" => "read it".to_owned(),
        "printed" => format!("printed it (`{what}`)"),
        "carried" => format!("was started with it ({what})"),
        _ => format!("connected to {what}"),
    };
    format!("{deed} {}, {}", times(access.count), access.verdict)
}

/// `2026-11-30 03:10:00 UTC`, or the span where it took longer.
pub(crate) fn when(access: &Access) -> String {
    span(access.first, access.last)
}

/// The span from the first time to the last.
fn span(first: jiff::Timestamp, last: jiff::Timestamp) -> String {
    let (first, last) = (moment(first), moment(last));
    if first == last { first } else { format!("{first} to {last}") }
}

/// Where it went: `203.0.113.7:443 (collector.invalid, as /etc/hosts has it)`.
pub(crate) fn destination(egress: &Egress) -> String {
    let called = egress.called.as_ref();
    let called = called.map(|called| format!(" ({}, {})", visible::text(&called.name), called.by.origin()));
    format!("{}{}", egress.peer, called.unwrap_or_default())
}

/// Who connected, in one line: `/usr/bin/curl (pid 4242), ann`.
pub(crate) fn sender(egress: &Egress) -> String {
    let mut text = format!("{} (pid {})", visible::path(&egress.program), egress.pid);
    if let Some(script) = &egress.script {
        text.push_str(&format!(", script {script}"));
    }
    let user = egress.user.as_ref().map_or_else(|| format!("uid {}", egress.uid), |user| visible::text(user));
    text.push_str(&format!(", {user}"));
    if let Some(container) = &egress.container {
        text.push_str(&format!(", in {}", short_container(container)));
    }
    text
}

/// `once`, `3 times`.
fn times(count: i64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

pub(crate) fn moment(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
pub(crate) mod tests;
