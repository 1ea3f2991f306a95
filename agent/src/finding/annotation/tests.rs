use std::path::PathBuf;

use super::*;
use crate::finding::samples;

/// What hostile names can do to a line, in one.
const HOSTILE: &str = "/w/x\n::set-output name=a::b\r\n::stop-commands::t,file=q:%0A::error::p ##[add-path]/e \
                       ##vso[task.setvariable variable=PATH]/e ##teamcity[buildStop comment='x' readdToQueue='true']'|]%AZP25";

fn hostile(count: usize) -> Vec<Finding> {
    let mut finding = samples::in_ci();
    let Target::File { path, .. } = &mut finding.target else { panic!("a file") };
    *path = PathBuf::from(HOSTILE);
    finding.headline = format!("/usr/bin/cat read {HOSTILE}");
    vec![finding; count]
}

/// The command of a line as the runner of GitHub reads it: `ActionCommand.cs`, newer syntax first.
fn github(line: &str) -> Option<(String, String, String)> {
    let text = line.trim_start();
    if let Some((info, data)) = text.strip_prefix("::").and_then(|text| text.split_once("::")) {
        let (name, properties) = info.split_once(' ').unwrap_or((info, ""));
        return Some((name.to_owned(), properties.to_owned(), data.to_owned()));
    }
    let (info, data) = text.split_once("##[")?.1.split_once(']')?;
    Some((info.to_owned(), String::new(), data.to_owned()))
}

fn unescaped(text: &str) -> String {
    text.replace("%0D", "\r").replace("%0A", "\n").replace("%3A", ":").replace("%2C", ",").replace("%25", "%")
}

#[test]
fn github_sees_one_error_for_each_finding_and_nothing_else() {
    let text = lines(Protocol::Github, &hostile(1));
    let all: Vec<_> = text.lines().map(github).collect();
    let [Some((command, properties, data))] = &all[..] else { panic!("{text}") };
    assert_eq!(command, "error");
    let properties: Vec<_> = properties.split(',').map(|property| property.split_once('=').unwrap()).collect();
    assert_eq!(properties.iter().map(|(key, _)| *key).collect::<Vec<_>>(), ["title", "file"]);
    let file = unescaped(properties[1].1);
    assert!(file.starts_with(r"/w/x\x0a::set-output name=a::b\x0d\x0a::stop-commands::t,file=q:%0A"), "{file}");
    assert!(!unescaped(data).contains(['\r', '\n']), "{data}");
    assert!(!text.contains("##"), "{text}");
}

#[test]
fn azure_and_teamcity_see_one_message_and_nothing_else() {
    let text = lines(Protocol::Azure, &hostile(1));
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(text.matches("##").count(), 1, "{text}");
    assert!(text.starts_with("##vso[task.logissue type=error]tokenhound unexpected-reader: high: "), "{text}");
    assert!(!text.contains('%'), "{text}");
    let text = lines(Protocol::TeamCity, &hostile(1));
    assert_eq!(text.lines().count(), 1, "{text}");
    assert_eq!(text.matches("##").count(), 1, "{text}");
    // With every escaped pair taken out, the message's own quotes and brackets are all that is left.
    let mut bare = String::new();
    let mut characters = text.trim_end().chars();
    while let Some(character) = characters.next() {
        if character == '|' {
            characters.next();
        } else {
            bare.push(character);
        }
    }
    assert_eq!(bare.matches(['[', ']']).count(), 2, "{bare}");
    assert_eq!(bare.matches('\'').count(), 4, "{bare}");
    assert!(bare.ends_with("' status='ERROR']"), "{bare}");
}

#[test]
fn levels_follow_severity_and_what_is_too_much_is_counted() {
    let mut some = hostile(25);
    some[0].severity = Severity::Informational;
    some[1].severity = Severity::Low;
    let text = lines(Protocol::Github, &some);
    let count = |command: &str| text.lines().filter(|line| line.starts_with(command)).count();
    assert_eq!((count("::error "), count("::warning "), count("::notice ")), (10, 1, 1));
    assert!(text.contains("::14 more findings: see the summary or the log\n"), "{text}");
    assert_eq!(lines(Protocol::Github, &[]), "");
}

#[test]
fn other_characters_reach_teamcity_as_it_wants_them() {
    assert_eq!(team_city("ä|[\u{1f600}]'\n"), "|0x00E4|||[|0xD83D|0xDE00|]|'|n");
}

#[test]
fn a_summary_is_uploaded_where_there_is_a_command_for_it() {
    let path = std::path::Path::new("/w/a]\n##vso[x]%.md");
    assert_eq!(upload_summary(Protocol::Azure, path), "##vso[task.uploadsummary]/w/a]\\x0a##vso[x]\\x25.md\n");
    assert_eq!(upload_summary(Protocol::Github, path), "");
}
