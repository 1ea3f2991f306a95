//! A trail as a tree for a terminal.

use super::{Branch, Rest, Root, Tree, destination, did, moment, sender, span, times, when, who};
use crate::{
    detect::lifecycle::report,
    finding::{
        severity::Severity,
        text::{Style, WIDTH, wrap},
        visible,
    },
    history::{
        egress::Egress,
        read::{Copy, Place, Told},
        trail::Trail,
    },
};

/// One line of the tree with what is below it.
struct Node {
    text: String,
    /// How it is painted.
    paint: &'static str,
    below: Vec<Node>,
}

/// The whole tree, several lines, each closed by a newline.
#[must_use]
pub fn render(trail: &Trail, style: Style) -> String {
    let tree = Tree::of(trail);
    let mut out = String::new();
    let mut nodes: Vec<Node> = tree.roots.iter().map(root).collect();
    let rest = below(&tree.rest);
    if !rest.is_empty() {
        nodes.push(Node { text: "not known of which file".to_owned(), paint: "1", below: rest });
    }
    for node in &nodes {
        node.write(&mut out, style, "", "", "");
    }
    if trail.left_out > 0 {
        out.push_str(&format!("and {} more, which found no room here\n", trail.left_out));
    }
    visible::inert(&out)
}

impl Node {
    fn new(text: String) -> Self {
        Self { text, paint: "0", below: Vec::new() }
    }

    /// Writes it after `first`, further lines after `rest`; what is below it after `below`.
    fn write(&self, out: &mut String, style: Style, first: &str, rest: &str, below: &str) {
        let continued = format!("{rest}{}", if self.below.is_empty() { "  " } else { "│ " });
        let room = WIDTH.saturating_sub(first.chars().count().max(continued.chars().count()));
        for (index, line) in wrap(&self.text, room).into_iter().enumerate() {
            let line = if self.paint == "0" { line } else { style.paint(self.paint, &line) };
            let lead = if index == 0 { first } else { &continued };
            out.push_str(&format!("{lead}{line}\n"));
        }
        for (index, node) in self.below.iter().enumerate() {
            let last = index + 1 == self.below.len();
            let (joint, bar) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            let deeper = format!("{below}{bar}");
            node.write(out, style, &format!("{below}{joint}"), &deeper, &deeper);
        }
    }
}

fn root(root: &Root<'_>) -> Node {
    let Some(first) = root.tokens.first() else { return Node::new(String::new()) };
    let text = format!("{}  {}", visible::path(&first.path), visible::text(&first.store));
    let mut nodes: Vec<Node> = root.tokens.iter().map(|place| Node::new(token(place))).collect();
    nodes.extend(root.accesses.iter().map(branch));
    nodes.extend(below(&root.rest));
    Node { text, paint: "1", below: nodes }
}

fn token(place: &Place) -> String {
    let facts = place.facts.as_ref().map_or_else(|| place.field.clone(), report::words);
    let since = moment(place.since);
    let span = place.gone.map_or_else(
        || format!("there since {since}"),
        |gone| format!("there from {since}, gone since {}", moment(gone)),
    );
    visible::text(&format!("token {}: {facts}; {span}", place.fingerprint))
}

fn branch(branch: &Branch<'_>) -> Node {
    let access = branch.access;
    let mut nodes = Vec::new();
    if !access.lineage.is_empty() {
        let above: Vec<String> =
            access.lineage.iter().map(|one| format!("{} ({})", visible::text(&one.program), one.pid)).collect();
        nodes.push(Node { paint: "2", ..Node::new(format!("below {}", above.join(" < "))) });
    }
    nodes.extend(below(&branch.rest));
    let paint = if access.verdict == "unexpected" { "1;31" } else { "0" };
    Node { text: format!("{}: {}; {}", who(access), did(access), when(access)), paint, below: nodes }
}

fn below(rest: &Rest<'_>) -> Vec<Node> {
    let copy = |(one, findings): &(&Copy, Vec<&Told>)| Node {
        paint: "1;33",
        below: findings.iter().map(|told| finding(told)).collect(),
        ..Node::new(self::copy(one))
    };
    let accesses = rest.accesses.iter().map(branch);
    let egress = |(one, findings): &(&Egress, Vec<&Told>)| Node {
        paint: "1;33",
        below: findings.iter().map(|told| finding(told)).collect(),
        ..Node::new(self::egress(one))
    };
    let leaves = rest.copies.iter().map(copy).chain(rest.egress.iter().map(egress));
    accesses.chain(leaves).chain(rest.findings.iter().map(|told| finding(told))).collect()
}

fn copy(copy: &Copy) -> String {
    let path = visible::path(&copy.path);
    let how = if copy.encoding == "raw" { String::new() } else { format!(" as {}", copy.encoding) };
    let text = format!(
        "copy in {path} ({}){how}, written by {}; found {}, {} at {}",
        copy.class,
        copy.writer,
        moment(copy.first),
        copy.state.name(),
        moment(copy.seen)
    );
    visible::text(&text)
}

fn egress(egress: &Egress) -> String {
    let text = format!(
        "carried to {} by {}; connected {}, {}",
        destination(egress),
        sender(egress),
        times(egress.count),
        span(egress.first, egress.last)
    );
    visible::text(&text)
}

fn finding(told: &Told) -> Node {
    let paint = match told.severity {
        Severity::Critical | Severity::High => "1;31",
        Severity::Medium => "1;33",
        Severity::Low | Severity::Informational => "36",
    };
    let text = format!("{} ({}); {}, finding {}", told.message, told.detector, moment(told.time), told.uid);
    Node { paint, ..Node::new(visible::text(&text)) }
}
