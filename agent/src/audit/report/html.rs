//! A report as one page that needs nothing else: no scripts, no fonts, no images from anywhere.

use std::{collections::BTreeMap, path::Path};

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{File, age_days, by_file, by_severity, chart, counted, tokens};
use crate::{
    audit::model::{KeyKind, Report, StoreFile},
    finding::{severity::Severity, visible},
    token::model::{Known, Lifetime, Protection},
};

/// Most files with findings on the page.
const SHOWN: usize = 500;
/// Most files of stores on the page.
const STORES: usize = 2_000;

const STYLE: &str = include_str!("style.css");

/// The report as a page.
#[must_use]
pub fn render(report: &Report) -> String {
    let title = format!("Audit of {}", visible::text(&report.scope));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // Nothing is fetched and nothing runs, whatever names hold.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'";
                title { (title) " - tokenhound" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p { (subtitle(report)) }
                }
                main {
                    (summary(report))
                    (first(report))
                    (ages(report))
                    (posture(report))
                    (stores(report))
                    (looked_at(report))
                }
            }
        }
    };
    page.into_string()
}

fn subtitle(report: &Report) -> String {
    let time = report.time.strftime("%Y-%m-%d %H:%M UTC");
    let root = report.root.as_deref().map(|root| format!(", unpacked in {}", visible::path(root))).unwrap_or_default();
    format!("{time}{root}, tokenhound {}", env!("CARGO_PKG_VERSION"))
}

fn summary(report: &Report) -> Markup {
    let files = report.stores.len() as u64;
    html! {
        section.tiles {
            div.tile { b { (files) } span { (if files == 1 { "file of a store" } else { "files of stores" }) } }
            div.tile { b { (tokens(report)) } span { "tokens in them" } }
            @for (severity, count) in by_severity(report) {
                div class={ "tile " (severity.name()) } { b { (count) } span { (severity.name()) } }
            }
            @if report.findings.is_empty() { div.tile { b { "0" } span { "findings" } } }
        }
    }
}

fn first(report: &Report) -> Markup {
    let files = by_file(report);
    html! {
        section {
            h2 { "What to do first" }
            @if files.is_empty() { p { "Nothing: no store is exposed, no token is old, and none was found elsewhere." } }
            ol.findings {
                @for file in files.iter().take(SHOWN) { (one(file)) }
            }
            @if let Some(more) = files.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                p { "and " (counted(more as u64, "more file", "more files")) ", which the JSON report has" }
            }
        }
    }
}

fn one(file: &File<'_>) -> Markup {
    html! {
        li {
            p {
                (badge(file.severity())) " "
                code { (visible::path(file.path)) }
                @for store in file.stores() { " " span.store { (store) } }
            }
            ul {
                @for finding in &file.findings {
                    li {
                        @if let Some(line) = finding.line { "Line " (line) ": " }
                        (finding.headline)
                        @for fact in &finding.evidence { "; " (fact) }
                        " " span.rule { (finding.id()) }
                        @if let Some(fingerprint) = finding.fingerprint { " " span.rule { (fingerprint) } }
                    }
                }
            }
            @for step in file.steps() { p.step { (visible::text(step)) } }
        }
    }
}

fn badge(severity: Severity) -> Markup {
    html! { span class={ "badge " (severity.name()) } { (severity.name()) } }
}

fn ages(report: &Report) -> Markup {
    let ages: Vec<(i64, bool)> = report.stores.iter().flat_map(|store| of_store(store, report.time)).collect();
    html! {
        section {
            h2 { "Age of tokens" }
            @if ages.is_empty() {
                p { "No token was found." }
            } @else {
                p { "Since they were issued, or since their file was last written: they are at least that old." }
                (chart::ages(&ages))
            }
        }
    }
}

/// Age in days of each token, and whether it ends by itself.
fn of_store(store: &StoreFile, now: Timestamp) -> impl Iterator<Item = (i64, bool)> {
    store.tokens.iter().filter_map(move |token| {
        let since = token.facts.issued.or(store.written)?;
        let days = now.duration_since(since).as_secs() / super::DAY;
        Some((days.max(0), ends(token)))
    })
}

fn ends(token: &Known) -> bool {
    token.facts.expires.is_some() || matches!(token.facts.lifetime, Lifetime::Ephemeral | Lifetime::Limited)
}

/// One row for each store: how many files, tokens, and what is wrong.
fn posture(report: &Report) -> Markup {
    let mut rows: BTreeMap<&str, Vec<&StoreFile>> = BTreeMap::new();
    for store in &report.stores {
        rows.entry(&store.store).or_default().push(store);
    }
    html! {
        section {
            h2 { "Posture by store" }
            table {
                thead { tr { th { "Store" } th { "Tool" } th.number { "Files" } th.number { "Tokens" } th.number { "Plain, do not end" } th.number { "Oldest, days" } th { "Worst finding" } } }
                tbody {
                    @for (id, files) in &rows { (row(report, id, files)) }
                }
            }
        }
    }
}

fn row(report: &Report, id: &str, files: &[&StoreFile]) -> Markup {
    let tokens: Vec<&Known> = files.iter().flat_map(|file| &file.tokens).collect();
    let bad = tokens.iter().filter(|token| !ends(token) && token.facts.protection != Protection::Encrypted).count();
    let oldest =
        files.iter().filter(|file| !file.tokens.is_empty()).filter_map(|file| age_days(file, report.time)).max();
    let paths: Vec<&Path> = files.iter().map(|file| file.facts.path.as_path()).collect();
    let worst = report.findings.iter().filter(|finding| paths.contains(&finding.path.as_path()));
    let worst = worst.map(|finding| finding.severity).max();
    html! {
        tr {
            td { code { (id) } }
            td { (files.first().map(|file| visible::text(&file.tool)).unwrap_or_default()) }
            td.number { (files.len()) }
            td.number { (tokens.len()) }
            td.number { (bad) }
            td.number { @if let Some(days) = oldest { (days) } }
            td { @if let Some(worst) = worst { (badge(worst)) } @else { "none" } }
        }
    }
}

fn stores(report: &Report) -> Markup {
    html! {
        section {
            h2 { "Every file" }
            table {
                thead { tr { th { "Path" } th { "Owner" } th { "Mode" } th { "Holds" } } }
                tbody {
                    @for store in report.stores.iter().take(STORES) {
                        tr {
                            td { code { (visible::path(&store.facts.path)) } }
                            td { (store.owner.as_ref().map_or_else(|| store.facts.uid.to_string(), |name| visible::text(name))) }
                            td { (format!("{:04o}", store.facts.mode)) }
                            td { (super::text::contents(store, report)) }
                        }
                    }
                }
            }
            @if report.stores.len() > STORES { p { "The JSON report has " (report.stores.len() - STORES) " more." } }
        }
    }
}

fn looked_at(report: &Report) -> Markup {
    let counts = &report.counts;
    html! {
        section {
            h2 { "What was looked at" }
            p {
                (counted(counts.names, "name", "names")) ", the content of " (counted(counts.files, "file", "files")) " ("
                (format!("{:.1}", counts.bytes as f64 / 1e6)) " MB) and of the stores."
            }
            @if report.not_searched > 0 || !counts.skipped.is_empty() {
                ul {
                    @if report.not_searched > 0 { li { (report.not_searched) " tokens not looked for in other files: too short, or made of words" } }
                    @for (why, count) in &counts.skipped { li { (count) " " (why.words()) } }
                }
            }
            @if report.key == KeyKind::Ephemeral { p { "Fingerprints hold for this report only: the machine's key is root's." } }
        }
    }
}
