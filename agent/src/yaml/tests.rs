use std::path::Path;

use super::{
    fields::{Fields, FromNode, Reading, Table},
    *,
};

fn problems_of(text: &str) -> String {
    let file = Path::new("x.yaml");
    match parse(file, text) {
        Err(problems) => problems.to_string(),
        Ok(node) => {
            let mut problems = Problems::new();
            read_sample(&node, &mut Reading { file, problems: &mut problems });
            problems.to_string()
        }
    }
}

fn read_sample(node: &Node, reading: &mut Reading<'_>) {
    let Some(mut fields) = Fields::of(node, reading) else { return };
    let _: Option<String> = fields.required("reason", reading);
    let _: Option<Vec<String>> = fields.optional("stores", reading);
    let _: Option<u64> = fields.optional("ttl_seconds", reading);
    let _: Option<bool> = fields.optional("weak", reading);
    let _: Option<Table<Vec<String>>> = fields.optional("path_env", reading);
    fields.finish(reading);
}

#[test]
fn a_right_file_has_no_problem() {
    let text = "reason: because\nstores: [a, b]\nttl_seconds: null\nweak: true\npath_env: {HOME: ['{}/x']}\n";
    assert_eq!(problems_of(text), "");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let text = "resaon: x\nstores: a\nttl_seconds: -1\nweak: [1]\nstores: [1, b, true]\n";
    assert_eq!(
        problems_of(text),
        "x.yaml:1:1: error: \"reason\" is missing\n\
         x.yaml:1:1: error: unknown key \"resaon\"; did you mean \"reason\"?\n\
         x.yaml:2:9: error: must be a list, this is text; write it as [one, two] or as lines that start with \"- \"\n\
         x.yaml:3:14: error: must be 0 or more, this is -1\n\
         x.yaml:4:7: error: must be true or false, this is a list\n\
         x.yaml:5:1: error: key \"stores\" is already given in line 2"
    );
}

#[test]
fn every_element_of_a_list_is_looked_at() {
    let text = "reason: x\nstores:\n  - 1\n  - b\n  - yes: no\n";
    assert_eq!(
        problems_of(text),
        "x.yaml:3:5: error: must be text, this is a number; put it in quotes\n\
         x.yaml:5:5: error: must be text, this is a map"
    );
}

#[test]
fn broken_syntax_is_told_with_its_place() {
    let text = "reason: [a\nstores: b\n";
    let said = problems_of(text);
    assert!(said.starts_with("x.yaml:"), "{said}");
    assert!(said.contains(": error: "), "{said}");
}

#[test]
fn an_alias_bomb_and_deep_nesting_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..12 {
        let prior = format!("*a{}", i - 1);
        bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![prior; 10].join(", ")));
    }
    assert!(parse(Path::new("x.yaml"), &bomb).is_err());
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    assert!(parse(Path::new("x.yaml"), &deep).is_err());
}

#[test]
fn merge_keys_and_second_documents_are_refused() {
    assert!(parse(Path::new("x.yaml"), "a: &a {b: 1}\nc:\n  <<: *a\n").is_err());
    assert!(parse(Path::new("x.yaml"), "a: 1\n---\nb: 2\n").is_err());
}

#[test]
fn a_quoted_number_stays_text() {
    let node = parse(Path::new("x.yaml"), "['0600', 0600, no, ~]").unwrap();
    let Value::List(list) = node.value else { panic!("no list") };
    assert_eq!(list[0].value, Value::Text("0600".into()));
    assert_eq!(list[1].value.kind(), "a number", "so that a mode without quotes is asked to have them");
    assert_eq!(list[2].value, Value::Text("no".into()));
    assert_eq!(list[3].value, Value::Null);
}

#[test]
fn files_that_others_can_write_are_refused_when_the_agent_runs_by_them() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("a.yaml");
    std::fs::write(&file, "a: 1\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(read(&file, Guard::Trusted).unwrap(), "a: 1\n");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let said = read(&file, Guard::Trusted).unwrap_err().to_string();
    assert!(said.contains("dangerous permission 0666"), "{said}");
    assert_eq!(read(&file, Guard::Looked).unwrap(), "a: 1\n");
    assert_eq!(super::directory(directory.path()).unwrap(), vec![file]);
    assert_eq!(super::directory(Path::new("/nonexistent/x")).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn numbers_are_not_text() {
    let node = parse(Path::new("x.yaml"), "7").unwrap();
    let mut problems = Problems::new();
    let mut reading = Reading { file: Path::new("x.yaml"), problems: &mut problems };
    assert_eq!(String::from_node(&node, &mut reading), None);
    assert_eq!(u64::from_node(&node, &mut reading), Some(7));
}
