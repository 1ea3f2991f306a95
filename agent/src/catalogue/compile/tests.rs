use std::{ffi::OsString, path::Path};

use tokenhound_common::limits::{KEY_NAME_BYTES, MAX_NAME_KEYS};

use super::*;
use crate::catalogue::{
    homes::{EnvOverrides, Homes},
    tests::shipped_catalogue,
};

fn keys_of(path: &str) -> (Vec<String>, Watch) {
    let pattern = Pattern::parse(path).unwrap();
    let (keys, watch) = cover(pattern.anchor(), pattern.parts());
    let show = |name: &Option<String>| name.clone().unwrap_or_else(|| "*".into());
    let text = |key: &Key| format!("{}/{}/{}", show(&key.grandparent), show(&key.parent), show(&key.name));
    (keys.iter().map(text).collect(), watch)
}

#[test]
fn each_path_gets_the_most_selective_key() {
    for (path, keys, watch) in [
        ("~/.netrc", vec!["*/*/.netrc"], Watch::Names),
        ("~/.aws/credentials", vec!["*/.aws/credentials"], Watch::Names),
        ("~/.aws/sso/cache/*.json", vec!["sso/cache/*"], Watch::Names),
        ("~/.ssh/id_*", vec!["*/.ssh/*"], Watch::Names),
        ("~/.config/gcloud/legacy_credentials/*/adc.json", vec!["legacy_credentials/*/adc.json"], Watch::Names),
        ("/etc/kubernetes/pki/*.key", vec!["kubernetes/pki/*"], Watch::Names),
        ("/run/credentials/*/*", vec!["credentials/*/*"], Watch::Names),
        ("**/.npmrc", vec!["*/*/.npmrc"], Watch::Names),
        ("~/.granted/secure-storage/**", vec![".granted/secure-storage/*", "secure-storage/*/*"], Watch::Tree),
        ("~/.acme.sh/**/*.key", vec!["*/.acme.sh/*", ".acme.sh/*/*"], Watch::Tree),
        ("~/**/*.kdbx", vec![], Watch::Search),
        ("**/*.minisign.key", vec![], Watch::Search),
        ("~/*.ovpn", vec![], Watch::Directory),
        ("~/.config/google-chrome*/*/Local*", vec![], Watch::Directory),
        ("~/.aws/cli/cache/*.json", vec!["cli/cache/*"], Watch::Names),
        ("/etc/**/*.keytab", vec![], Watch::Search),
        ("/tmp/krb5cc_*", vec![], Watch::Search),
        ("**/vsts-agent*/.credentials*", vec![], Watch::Search),
        ("/run/secrets/*", vec!["*/secrets/*"], Watch::Names),
        (
            "/run/secrets/kubernetes.io/serviceaccount/token",
            vec!["*/serviceaccount/token", "*///token", "//*/token"],
            Watch::Names,
        ),
        ("/etc/shadow", vec!["*/etc/shadow"], Watch::Names),
        ("~/.x/**/config", vec![], Watch::Directory),
        ("~/Downloads/*-[0-9a-f]*.json", vec![], Watch::Directory),
        ("/a/*/data/*", vec![], Watch::Directory),
    ] {
        assert_eq!(keys_of(path), (keys.iter().map(|key| (*key).to_owned()).collect(), watch), "{path}");
    }
}

#[test]
fn a_mounted_volume_is_matched_by_what_the_kernel_calls_its_directories() {
    let plan = shipped_catalogue().watch_plan();
    // `/run` is a file system of its own: the kernel's name for it is `/`.
    assert!(plan.matches("db_password", "secrets", "/"));
    // A projected volume: token -> ..data/token -> ..2026_01_02/token, below the top of a tmpfs.
    assert!(plan.matches("token", "..2026_01_02_03_04_05.1", "/"));
    assert!(!plan.matches("token", "..2026_01_02_03_04_05.1", "x"));
}

/// Every way to fill in a pattern's wildcards that the test knows: several values for `*`, depths for `**`.
fn samples(pattern: &Pattern) -> Vec<String> {
    let base = match pattern.anchor() {
        Anchor::Home => "/home/ann",
        Anchor::Root => "",
        Anchor::Anywhere => "/home/ann/w",
        Anchor::Variable(_) => return Vec::new(),
    };
    let mut all = vec![base.to_owned()];
    for part in pattern.parts() {
        let fillings: Vec<String> = match part {
            Part::Name(name) => vec![format!("/{name}")],
            Part::Wild(text) => vec![format!("/{}", fill(text, "x")), format!("/{}", fill(text, ""))],
            Part::Deep => vec![String::new(), "/one".into(), "/one/two".into(), "/one/two/three".into()],
        };
        all = all.iter().flat_map(|start| fillings.iter().map(move |filling| format!("{start}{filling}"))).collect();
    }
    if pattern.parts().last() == Some(&Part::Deep) {
        all = all.iter().map(|directory| format!("{directory}/file")).collect();
    }
    all.retain(|path| !path.contains("//") && !path.contains("/../") && !path.ends_with('/'));
    all
}

fn fill(wild: &str, with: &str) -> String {
    let mut out = String::new();
    let mut rest = wild;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '*' => out.push_str(with),
            '?' => out.push('q'),
            '[' => {
                out.push(rest.chars().next().unwrap());
                rest = &rest[rest.find(']').unwrap() + 1..];
            }
            other => out.push(other),
        }
    }
    out
}

#[test]
fn nothing_the_catalogue_names_is_missed() {
    let catalogue = shipped_catalogue();
    let plan = catalogue.watch_plan();
    let mut tried = 0;
    for (number, store) in catalogue.stores().iter().enumerate() {
        for pattern in store.watched_paths() {
            for path in samples(pattern) {
                tried += 1;
                let mut names = path.rsplit('/');
                let mut next = || names.next().filter(|name| !name.is_empty()).unwrap_or("/");
                let (name, parent, grandparent) = (next(), next(), next());
                let scanned = plan
                    .scan_roots()
                    .iter()
                    .any(|root| root.store == number && root.pattern == *pattern && root.watch != Watch::Names);
                assert!(
                    plan.matches(name, parent, grandparent) || scanned,
                    "{}: {path} (from {}) is not watched",
                    store.id,
                    pattern.text()
                );
            }
        }
    }
    assert!(tried > 1000, "only {tried} samples");
}

#[test]
fn samples_belong_to_their_store() {
    let catalogue = shipped_catalogue();
    let homes = Homes::default();
    for store in catalogue.stores().iter().filter(|store| store.exclude_paths.is_empty()) {
        for pattern in store.watched_paths() {
            for path in samples(pattern) {
                let found = catalogue.stores_for(Path::new(&path), &homes, &EnvOverrides::new());
                assert!(found.iter().any(|found| found.id == store.id), "{path} of {}", pattern.text());
            }
        }
    }
}

#[test]
fn broad_names_are_no_keys() {
    let plan = shipped_catalogue().watch_plan();
    for (name, parent, grandparent) in [
        ("libc.so.6", "lib", "usr"),
        ("x", "bin", "usr"),
        ("x.json", "cache", "app"),
        ("x", "tmp", "/"),
        ("abc.sh", "_temp", "_work"),
        ("data", "data", "data"),
        ("index.js", "lib", "left-pad"),
        ("config.json", "config", "app"),
        ("x.conf", ".config", "ann"),
        ("main.rs", "src", "project"),
        ("passwd", "etc", "/"),
        ("ld.so.cache", "etc", "/"),
    ] {
        assert!(!plan.matches(name, parent, grandparent), "{grandparent}/{parent}/{name}");
    }
}

#[test]
fn the_plan_fits_the_kernel() {
    let plan = shipped_catalogue().watch_plan();
    let keys = plan.name_keys();
    assert!(keys.len() < MAX_NAME_KEYS as usize / 4, "{}", keys.len());
    assert!(keys.iter().all(|(key, _)| key.shape != 0));
    let filter = plan.filter();
    // A name that is not watched passes with the share of slots that let it.
    let set = |table: &[u8], shape: Shape| table.iter().filter(|slot| u32::from(**slot) & shape.0 != 0).count();
    let alone =
        [(&filter.names, Shape::NAME), (&filter.parents, Shape::PARENT), (&filter.grandparents, Shape::GRANDPARENT)];
    for ((table, shape), most) in alone.into_iter().zip([200, 100, 60]) {
        assert!(set(table, shape) < most, "{shape:?}: {}", set(table, shape));
    }
}

#[test]
fn every_key_passes_the_filter() {
    let plan = shipped_catalogue().watch_plan();
    let filter = plan.filter();
    for key in plan.keys() {
        let names = [&key.name, &key.parent, &key.grandparent];
        let [name, parent, grandparent] = names.map(|name| name.as_deref().unwrap_or("something else").as_bytes());
        assert!(filter.may_match(name, parent, grandparent), "{key:?}");
    }
}

#[test]
fn names_that_a_key_fixes_together_must_all_be_there() {
    let mut filter = Filter::EMPTY;
    for key in [("f", "d", ""), ("g", "", "e"), ("", "h", "i")] {
        let own = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let key = Key { name: own(key.0), parent: own(key.1), grandparent: own(key.2) };
        key.add_to(&mut filter);
    }
    let passes = |name: &str, parent: &str, grandparent: &str| {
        filter.may_match(name.as_bytes(), parent.as_bytes(), grandparent.as_bytes())
    };
    for (name, parent, grandparent) in [("f", "d", "x"), ("g", "x", "e"), ("x", "h", "i")] {
        assert!(passes(name, parent, grandparent), "{name} {parent} {grandparent}");
    }
    for (name, parent, grandparent) in [
        ("f", "x", "d"),
        ("x", "d", "x"),
        ("g", "e", "x"),
        ("x", "x", "e"),
        ("x", "h", "x"),
        ("x", "x", "i"),
        ("d", "f", "x"),
    ] {
        assert!(!passes(name, parent, grandparent), "{name} {parent} {grandparent}");
    }
}

#[test]
fn long_names_are_filtered_by_their_length() {
    let long = "n".repeat(40);
    let mut plan = WatchPlan::default();
    plan.add(0, Pattern::parse(&format!("~/.x/{long}")).unwrap());
    assert!(plan.filter().may_match(&[b'm'; 40], b".x", b"me"));
    assert!(!plan.filter().may_match(&[b'n'; 41], b".x", b"me"));
    let mut above = WatchPlan::default();
    above.add(0, Pattern::parse(&format!("~/{long}/*/token")).unwrap());
    assert!(above.filter().may_match(b"token", b"any", b"other"), "not asked for in the kernel");
    assert!(!above.filter().may_match(b"other", b"any", long.as_bytes()));
    let mut alone = WatchPlan::default();
    alone.add(0, Pattern::parse(&format!("~/{long}/*/*")).unwrap());
    assert_eq!(alone.name_keys(), [], "it would let everything through");
    let too_long = "n".repeat(KEY_NAME_BYTES + 1);
    let mut plan = WatchPlan::default();
    plan.add(0, Pattern::parse(&format!("~/.x/{too_long}")).unwrap());
    assert_eq!(plan.name_keys(), []);
    assert_eq!(plan.scan_roots()[0].watch, Watch::Directory, "covered by its directory instead");
}

#[test]
fn moved_stores_are_watched_where_they_are() {
    let environment = [
        ("AWS_SHARED_CREDENTIALS_FILE".to_owned(), OsString::from("/w/my[1]/creds")),
        ("XDG_CONFIG_HOME".to_owned(), OsString::from("/w/cfg")),
        ("GITHUB_WORKSPACE".to_owned(), OsString::from("/w/repo")),
    ];
    let overrides = EnvOverrides::of(&environment, None);
    let plan = shipped_catalogue().watch_plan_of(&overrides);
    assert!(plan.matches("creds", "my[1]", "w"));
    assert!(plan.matches("hosts.yml", "gh", "cfg"));
    assert!(plan.matches("config", ".git", "repo"));
    assert!(!plan.matches("creds", "other", "w"));
}

#[test]
fn histories_and_logs_are_watched_by_name_for_being_written() {
    let plan = shipped_catalogue().watch_plan();
    let watch = |name: &str| {
        let key = Key::new(Some(name), None, None).unwrap().name_key();
        plan.name_keys().into_iter().find(|(found, _)| *found == key).map(|(_, watch)| watch)
    };
    assert_eq!(watch(".bash_history"), Some(NameWatch::OUTLET));
    assert_eq!(watch(".netrc"), Some(NameWatch::STORE));
    for (name, parent, grandparent) in
        [("a-debug-0.log", "_logs", ".npm"), (".zsh_history", "ann", "home"), ("main.shada", "shada", "nvim")]
    {
        assert!(plan.matches(name, parent, grandparent), "{name}");
    }
    let stores: Vec<&Store> = shipped_catalogue().stores().iter().filter(|store| store.is_outlet()).collect();
    assert!(
        stores.len() >= 4
            && plan.scan_roots().iter().all(|root| { !shipped_catalogue().stores()[root.store].is_outlet() })
    );
}

#[test]
fn a_history_that_is_switched_off_is_no_file_to_watch() {
    let overrides = |value: &str| EnvOverrides::of(&[("HISTFILE".to_owned(), OsString::from(value))], None);
    let plan = |value: &str| shipped_catalogue().watch_plan_of(&overrides(value));
    assert!(plan("/w/mine").matches("mine", "w", "x"));
    assert_eq!(plan("/dev/null"), WatchPlan::default());
}
