//! Compares what the agent says with what the technique says of itself.

use std::path::Path;

use tokenhound_tests::{
    evasion::{ABSENT, Find},
    finding::Finding,
    store::Store,
};

use crate::{
    cell::{Cell, Seen},
    play::Played,
    told::{Reader, Told},
};

pub(crate) fn judge(played: &Played, tier: &str, series: &str) -> Cell {
    let (seen, problems) = look(played);
    let limit = played.declared.limit(tier, series);
    let (expected, detail) = match (seen, limit) {
        (Seen::Skipped, _) => (played.code == Some(ABSENT), problems.join("; ")),
        (Seen::Yes, Some(limit)) if !limit.sometimes => (false, format!("it is named as a limit: {}", limit.reason)),
        (Seen::No | Seen::WrongReader, Some(limit)) => (true, format!("limit: {}", limit.reason)),
        (Seen::Yes, _) => (problems.is_empty(), problems.join("; ")),
        (Seen::No, None) if played.declared.finds.is_empty() => (true, String::new()),
        (_, None) => (false, problems.join("; ")),
    };
    Cell { technique: played.declared.name.clone(), tier: tier.into(), seen, expected, detail }
}

/// What was seen, and what is wrong with it.
fn look(played: &Played) -> (Seen, Vec<String>) {
    match (played.code, played.told.reader()) {
        (Some(ABSENT), _) => return (Seen::Skipped, vec![played.told.absent.clone().unwrap_or_default()]),
        (Some(0), Some(_)) => {}
        (Some(0), None) if played.declared.finds.is_empty() => {}
        (code, _) => return (Seen::Skipped, vec![format!("it ended with {code:?}: {}", played.complaint)]),
    }
    let mut problems = Vec::new();
    if played.declared.finds.is_empty() {
        problems.extend(played.findings.iter().map(|finding| format!("found: {}", finding.brief())));
        return (if problems.is_empty() { Seen::No } else { Seen::Yes }, problems);
    }
    let reader = played.told.reader().cloned().unwrap_or_default();
    let mut seen = Seen::Yes;
    for find in &played.declared.finds {
        let (one, wrong) = one(find, &reader, played);
        // The worse one counts.
        if one != Seen::Yes && seen != Seen::No {
            seen = one;
        }
        problems.extend(wrong);
    }
    problems.extend(strangers(&reader, played));
    (seen, problems)
}

/// One of the findings that must be there.
fn one(find: &Find, reader: &Reader, played: &Played) -> (Seen, Vec<String>) {
    let fits = |finding: &&Finding| match find {
        Find::Reader(_) => finding.detector() == "unexpected-reader",
        Find::Inspection(object) => finding.detector() == "process-inspection" && finding.object() == object,
        Find::Connection => finding.detector() == "agent-socket-access",
    };
    let found: Vec<&Finding> = played.findings.iter().filter(fits).collect();
    let by_reader: Vec<&Finding> = found.iter().copied().filter(|finding| is_by(finding, reader)).collect();
    if by_reader.is_empty() {
        let others: Vec<String> = found.iter().map(|finding| finding.brief()).collect();
        let seen = if others.is_empty() { Seen::No } else { Seen::WrongReader };
        return (seen, vec![format!("{find} by {reader:?} is missing; {others:?}")]);
    }
    // Several of one reader differ in how it came to the content; one must be right in all.
    let wrongs: Vec<Vec<String>> = by_reader.iter().map(|finding| wrong(find, finding, &played.told)).collect();
    if wrongs.iter().any(Vec::is_empty) {
        return (Seen::Yes, Vec::new());
    }
    (Seen::Yes, wrongs.into_iter().next().unwrap_or_default())
}

/// Is it about this reader: process and executable?
fn is_by(finding: &Finding, reader: &Reader) -> bool {
    // A file without a name is called differently by procfs and by the kernel.
    let plain = |path: &str| path.trim_end_matches(" (deleted)").trim_start_matches('/').to_owned();
    finding.pid() == Some(reader.pid)
        && finding.reader_inode() == Some(reader.inode)
        && plain(finding.reader()) == plain(&reader.exe)
}

fn wrong(find: &Find, finding: &Finding, told: &Told) -> Vec<String> {
    let mut problems = Vec::new();
    let mut differ = |what: &str, is: String, should: String| {
        if is != should {
            problems.push(format!("{what} is {is}, not {should}"));
        }
    };
    let ways = match find {
        Find::Reader(ways) => ways,
        Find::Inspection(_) => {
            differ("target", format!("{:?}", finding.target_pid()), format!("{:?}", told.target));
            return problems;
        }
        Find::Connection => {
            differ("store", finding.stores().join(","), "gpg-agent-socket".into());
            return problems;
        }
    };
    differ("store", finding.stores().join(","), Store::AwsCredentials.id().into());
    let seen = Path::new(finding.path());
    match (&told.seen, &told.seen_end) {
        (_, Some(end)) if seen.ends_with(end) || end.as_os_str().is_empty() => {}
        (_, Some(end)) => differ("end of the name", finding.path().into(), end.display().to_string()),
        (Some(path), None) => differ("name", finding.path().into(), path.display().to_string()),
        (None, None) => differ("name", finding.path().into(), told.host.display().to_string()),
    }
    let host = if finding.known_as().is_empty() { finding.path() } else { finding.known_as() };
    differ("the store's own name", host.into(), told.host.display().to_string());
    // An agent that does not tell ways tells neither of these.
    if let Some(way) = finding.way() {
        if !ways.iter().any(|one| one == way) {
            differ("way", way.into(), ways.join(" or "));
        }
        let in_root = told.in_root.as_deref().map(|path| path.display().to_string());
        differ("name below the root", finding.path_in_root().unwrap_or("-").into(), in_root.unwrap_or("-".into()));
    }
    problems
}

/// Findings about others than the reader and those who helped, and of detectors that nobody declared.
fn strangers(reader: &Reader, played: &Played) -> Vec<String> {
    let told = &played.told;
    let may = |pid: u64| pid == reader.pid || told.helpers.contains(&pid) || told.target == Some(pid);
    let declared = |finding: &Finding| {
        played.declared.finds.iter().any(|find| match find {
            Find::Reader(_) => finding.detector() == "unexpected-reader",
            Find::Inspection(_) => finding.detector() == "process-inspection",
            Find::Connection => finding.detector() == "agent-socket-access",
        })
    };
    let helper = |finding: &Finding| finding.pid() != Some(reader.pid) && finding.detector() == "unexpected-reader";
    // Some techniques read by writing what they read to a file.
    let follows = |finding: &Finding| finding.detector() == "token-copied";
    let is_stranger = |finding: &&Finding| {
        let pid = finding.pid().unwrap_or_default();
        !may(pid) || !(declared(finding) || helper(finding) || follows(finding))
    };
    played.findings.iter().filter(is_stranger).map(|finding| format!("also found: {}", finding.brief())).collect()
}
