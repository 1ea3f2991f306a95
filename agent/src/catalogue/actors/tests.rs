use super::*;
use crate::catalogue::{Catalogue, tests::shipped_catalogue};

fn problems(text: &str) -> String {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Catalogue::with_file(file.path()).map(|_| String::new()).unwrap_or_else(|problems| problems.to_string())
}

fn entry(text: &str) -> String {
    problems(&format!("actors:\n  - {{id: x, name: X, means: m, source: s, {text}}}\n"))
}

#[test]
fn mistakes_are_explained() {
    for (text, said) in [
        ("class: ai-agents, programs: [{exe: [x]}]", "unknown word \"ai-agents\"; did you mean \"ai-agent\"?"),
        ("class: ai-agent", "has neither \"programs\" nor \"markers\""),
        ("class: ai-agent, programs: [{commands: [x]}]", "names no program"),
        ("class: ai-agent, programs: [{exe: [x]}], terminal: window", "\"terminal\" goes with"),
        ("class: interactive, programs: [{exe: [x]}]", "\"terminal\" goes with"),
        (
            "class: interactive, terminal: window, programs: [{exe: [x]}], markers: [TERM]",
            "a variable proves no interactive",
        ),
        ("class: automation, programs: [{exe: [x]}], markers: [CRON]", "a variable proves no automation"),
        ("class: container, programs: [{exe: [x]}]", "is never given by a program"),
        ("class: ai-agent, markers: [X], details: {sesion: [S]}", "unknown word \"sesion\"; did you mean \"session\"?"),
        ("class: ci-job, markers: [X], ci: {facts: {jobs: [J]}}", "unknown word \"jobs\"; did you mean \"job\"?"),
        ("class: ci-job, markers: [X], ci: {facts: {url: ['{A']}}", "\"{A\" must be a variable's name"),
        ("class: ci-job, markers: [X], ci: {facts: {}, annotations: gitlab}", "unknown word \"gitlab\""),
        ("class: ai-agent, markers: [X], ci: {facts: {job: [J]}}", "\"ci\" goes with the class ci-job"),
        ("class: ci-job, programs: [{exes: [x]}]", "unknown key \"exes\"; did you mean \"exe\"?"),
    ] {
        let found = entry(text);
        assert!(found.contains(said), "{text}: {found}");
    }
    assert_eq!(entry("class: ai-agent, programs: [{exe: [x]}]"), "");
    let twice = "{id: x, name: X, class: ai-agent, means: m, source: s, programs: [{exe: [x]}]}";
    assert!(problems(&format!("actors: [{twice}, {twice}]")).contains("actor \"x\" is already given"));
    assert!(
        problems(&format!("actors: [{}]", twice.replace("id: x", "id: ci-job"))).contains("is the name of a class")
    );
}

#[test]
fn the_shipped_ones_say_what_they_are() {
    let actors = shipped_catalogue().actors();
    for class in Class::ALL.iter().filter(|class| !matches!(class, Class::Container | Class::Unknown)) {
        assert!(actors.rules().iter().any(|rule| rule.class == *class), "{class}");
    }
    for rule in actors.rules() {
        assert!(rule.means.len() > 4 && rule.source.len() > 4, "{}", rule.id);
    }
    let variables = actors.variables();
    for name in ["CLAUDECODE", "npm_lifecycle_event", "GITHUB_ACTIONS", "GITHUB_JOB"] {
        assert!(variables.contains(name), "{name}");
    }
    assert!(
        !variables.iter().any(|name| name.contains("TOKEN") || name.contains("SECRET") || name.contains("API_KEY"))
    );
}

#[test]
fn what_may_be_a_runner_is_told_by_its_name() {
    let catalogue = shipped_catalogue();
    let may = |name: &str| catalogue.actors().may_run_jobs(name, catalogue.interpreters());
    // Jenkins and TeamCity run on java; what it runs is looked at then.
    assert!(may("Runner.Worker") && may("gitlab-runner") && may("buildkite-agent") && may("java"));
    assert!(!may("bash") && !may("node") && !may("npm") && !may("cargo"));
}
