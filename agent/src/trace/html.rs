//! A trail as one page that needs nothing else: no scripts, no fonts, no images from anywhere.

use std::collections::BTreeSet;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Tree,
    graph::{COLUMNS, Graph, Node},
    text,
};
use crate::{
    finding::{text::Style, visible},
    history::trail::Trail,
};

/// Sizes of the picture, in its own units.
const BOX: (usize, usize) = (300, 40);
const GAP: (usize, usize) = (70, 12);
const HEAD: usize = 34;

/// Characters of a line that fit into a box.
const LINE: usize = 37;

/// The trail as a page. `asked` is what it is the trail of.
#[must_use]
pub fn render(asked: &str, trail: &Trail) -> String {
    let title = format!("Trail of {}", visible::text(asked));
    let tree = Tree::of(trail);
    let graph = Graph::of(&tree);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Nothing is fetched and nothing runs, whatever names hold.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) " - tokenhound" }
                style { (PreEscaped(include_str!("../audit/report/style.css"))) (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header {
                    h1 { (title) }
                    p { "tokenhound " (env!("CARGO_PKG_VERSION")) }
                }
                main {
                    (counts(trail))
                    (picture(&graph))
                    @if trail.left_out > 0 { p { "And " (trail.left_out) " more, which found no room here." } }
                    h2 { "In words" }
                    pre { (text::render(trail, Style::default())) }
                }
            }
        }
    };
    page.into_string()
}

fn counts(trail: &Trail) -> Markup {
    let remaining = trail.copies.iter().filter(|copy| copy.state.name() != "gone").count();
    let destinations: BTreeSet<_> = trail.egress.iter().map(|egress| egress.peer).collect();
    let tile = |count: usize, one: &str, many: &str| {
        html! { div.tile { b { (count) } span { (if count == 1 { one } else { many }) } } }
    };
    html! {
        section.tiles {
            (tile(trail.fingerprints().len(), "token", "tokens"))
            (tile(trail.accesses.len(), "program", "programs"))
            (tile(remaining, "copy not known to be gone", "copies not known to be gone"))
            (tile(destinations.len(), "destination", "destinations"))
            (tile(trail.findings.len(), "finding", "findings"))
        }
        p.legend {
            span.key.expected {} " expected " span.key.tolerated {} " tolerated " span.key.unexpected {} " unexpected "
            span.key.copy {} " a copy " span.key.gone {} " a copy that is gone " span.key.egress {} " a machine that was connected to by who carried a token. "
            "Point at a box for everything that is known of it."
        }
    }
}

fn picture(graph: &Graph) -> Markup {
    let width = COLUMNS.len() * (BOX.0 + GAP.0) - GAP.0 + 4;
    let height = HEAD + graph.rows * (BOX.1 + GAP.1) + 4;
    html! {
        div.graph {
            svg width=(width) height=(height) viewBox=(format!("0 0 {width} {height}")) role="img"
                aria-label="Where the tokens went; the same in words is below" {
                @for (column, name) in COLUMNS.iter().enumerate() {
                    text.head x=(left(column)) y="18" { (name) }
                }
                @for node in &graph.nodes {
                    @if let Some(parent) = node.parent.and_then(|parent| graph.nodes.get(parent)) {
                        path.line d=(line(parent, node)) {}
                    }
                }
                @for node in &graph.nodes { (shape(node)) }
            }
        }
    }
}

const fn left(column: usize) -> usize {
    2 + column * (BOX.0 + GAP.0)
}

const fn top(row: usize) -> usize {
    HEAD + row * (BOX.1 + GAP.1)
}

fn line(from: &Node, to: &Node) -> String {
    let (x1, y1) = (left(from.column) + BOX.0, top(from.row) + BOX.1 / 2);
    let (x2, y2) = (left(to.column), top(to.row) + BOX.1 / 2);
    // It bends right after the box and goes on level: beside what it leads to there is no other box.
    let (half, bent) = (x1 + GAP.0 / 2, x1 + GAP.0);
    format!("M{x1} {y1} C{half} {y1} {half} {y2} {bent} {y2} H{x2}")
}

fn shape(node: &Node) -> Markup {
    let (x, y) = (left(node.column), top(node.row));
    html! {
        g class={ "node " (node.class) } {
            title { (node.full) }
            rect x=(x) y=(y) width=(BOX.0) height=(BOX.1) rx="5" {}
            text x=(x + 10) y=(y + 17) { (cut(&node.title)) }
            text.detail x=(x + 10) y=(y + 32) { (cut(&node.detail)) }
        }
    }
}

/// As much of a line as fits: its end tells more of a path than its middle.
fn cut(line: &str) -> String {
    let count = line.chars().count();
    if count <= LINE {
        return line.to_owned();
    }
    let head = LINE / 3;
    let start: String = line.chars().take(head).collect();
    let end: String = line.chars().skip(count - (LINE - head - 1)).collect();
    format!("{start}…{end}")
}
