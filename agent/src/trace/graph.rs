//! A trail as a graph in four columns: files of stores, who got at them, where the tokens were found or carried to, what was told.
//!
//! Everything hangs below one thing that led to it, and has the rows beside it to itself: no line crosses another, and none
//! passes behind a box.

use super::{Branch, Rest, Root, Tree, destination, did, moment, sender, span, times, when, who};
use crate::{
    finding::visible,
    history::{
        egress::Egress,
        read::{Copy, Told},
    },
};

/// Columns.
pub const COLUMNS: [&str; 4] = ["Store", "Who got at it", "Went to", "Told"];

/// One box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Column.
    pub column: usize,
    /// Row, from 0; no two of a column share one.
    pub row: usize,
    /// What it hangs on.
    pub parent: Option<usize>,
    /// First line.
    pub title: String,
    /// Second line.
    pub detail: String,
    /// Everything, for whoever points at it.
    pub full: String,
    /// How it is painted: `store`, `expected`, `tolerated`, `unexpected`, `copy`, `gone`, `egress`, a severity.
    pub class: &'static str,
}

/// The boxes, each after what it hangs on.
#[derive(Debug, Default)]
pub struct Graph {
    /// All of them.
    pub nodes: Vec<Node>,
    /// Rows there are.
    pub rows: usize,
}

impl Graph {
    /// The graph of a tree.
    #[must_use]
    pub fn of(tree: &Tree<'_>) -> Self {
        let mut graph = Self::default();
        for root in &tree.roots {
            graph.root(root);
        }
        graph.rest(&tree.rest, None);
        graph
    }

    fn add(&mut self, column: usize, parent: Option<usize>, node: Node) -> usize {
        // The first thing that hangs on another stands beside it.
        let beside = parent.is_some() && parent == self.nodes.len().checked_sub(1);
        self.rows += usize::from(!beside);
        let row = self.rows - 1;
        self.nodes.push(Node { column, row, parent, ..node });
        self.nodes.len() - 1
    }

    fn root(&mut self, root: &Root<'_>) {
        let Some(first) = root.tokens.first() else { return };
        let left = root.tokens.iter().filter(|place| place.gone.is_some()).count();
        let count = match (root.tokens.len(), left) {
            (1, 0) => "1 token".to_owned(),
            (1, _) => "1 token, gone".to_owned(),
            (all, 0) => format!("{all} tokens"),
            (all, left) => format!("{all} tokens, {left} gone"),
        };
        let fingerprints: Vec<&str> = root.tokens.iter().map(|place| place.fingerprint.as_str()).collect();
        let path = visible::path(&first.path);
        let full = format!("{path}\n{}\n{}", first.store, fingerprints.join("\n"));
        let at = self.add(0, None, node(path, format!("{}: {count}", first.store), full, "store"));
        for branch in &root.accesses {
            self.branch(branch, Some(at));
        }
        self.rest(&root.rest, Some(at));
    }

    fn branch(&mut self, branch: &Branch<'_>, parent: Option<usize>) {
        let access = branch.access;
        let class = match access.verdict.as_str() {
            "expected" => "expected",
            "tolerated" => "tolerated",
            _ => "unexpected",
        };
        let above: Vec<&str> = access.lineage.iter().map(|one| one.program.as_str()).collect();
        let program = access.script.clone().unwrap_or_else(|| visible::path(&access.program));
        let full = format!("{}: {}; {}\nbelow {}", who(access), did(access), when(access), above.join(" < "));
        let detail = format!("{} {}, {}, {}", access.way, times(access.count), access.actor, access.verdict);
        let at = self.add(1, parent, node(program, detail, full, class));
        self.rest(&branch.rest, Some(at));
    }

    fn rest(&mut self, rest: &Rest<'_>, parent: Option<usize>) {
        for branch in &rest.accesses {
            self.branch(branch, parent);
        }
        // Before the copies: their lines would pass behind those.
        for told in &rest.findings {
            self.add(3, parent, of_finding(told));
        }
        for (copy, findings) in &rest.copies {
            let at = self.add(2, parent, of_copy(copy));
            for told in findings {
                self.add(3, Some(at), of_finding(told));
            }
        }
        for (egress, findings) in &rest.egress {
            let at = self.add(2, parent, of_egress(egress));
            for told in findings {
                self.add(3, Some(at), of_finding(told));
            }
        }
    }
}

fn node(title: String, detail: String, full: String, class: &'static str) -> Node {
    Node { column: 0, row: 0, parent: None, title, detail, full: visible_lines(&full), class }
}

/// Visible text that keeps its lines.
fn visible_lines(text: &str) -> String {
    text.lines().map(visible::text).collect::<Vec<_>>().join("\n")
}

fn of_copy(copy: &Copy) -> Node {
    let (path, state) = (visible::path(&copy.path), copy.state.name());
    let class = if state == "gone" { "gone" } else { "copy" };
    let full = format!(
        "{path}\n{} ({}), written by {}\nfound {}, {state} at {}\n{}",
        copy.class,
        copy.encoding,
        copy.writer,
        moment(copy.first),
        moment(copy.seen),
        copy.fingerprint
    );
    node(path, visible::text(&format!("{}, {state}", copy.class)), full, class)
}

fn of_egress(egress: &Egress) -> Node {
    let place = destination(egress);
    let span = span(egress.first, egress.last);
    let full = format!("{place}\nconnected to by {}\n{}, {span}", sender(egress), times(egress.count));
    let detail = format!("connected to by {}", visible::path(&egress.program));
    node(place, detail, full, "egress")
}

fn of_finding(told: &Told) -> Node {
    let full = format!("{}\n{} {}\nfinding {}", told.message, told.detector, moment(told.time), told.uid);
    let detail = format!("{}, {}", told.severity, moment(told.time));
    node(told.detector.clone(), detail, full, told.severity.name())
}
