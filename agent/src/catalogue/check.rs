//! What is wrong with entries that can each be read: names that collide, readers that prove nothing.

use tokenhound_common::limits::KEY_NAME_BYTES;

use super::{
    compile::has_keys,
    interpreters::Interpreters,
    model::{Reader, Store},
    pattern::{Part, Pattern},
};
use crate::yaml::{Problems, fields::suggest};

/// No two entries of one layer may have the same id.
pub(super) fn unique(stores: &[Store], problems: &mut Problems) {
    let mut seen: std::collections::HashMap<&str, &Store> = std::collections::HashMap::new();
    for store in stores {
        if let Some(first) = seen.insert(&store.id, store) {
            let message = format!(
                "id \"{}\" is already used in {}:{}; ids must be unique",
                store.id,
                first.file.display(),
                first.place.line
            );
            problems.error(&store.file, store.place, message);
        }
    }
}

/// Rules that need the whole catalogue.
pub(super) fn together(stores: &[Store], interpreters: &Interpreters, problems: &mut Problems) {
    let known = |id: &str| stores.iter().any(|store| store.id == id);
    for store in stores {
        for id in store.shares_path_with.iter().filter(|id| !known(id)) {
            let hint = match suggest(id, stores.iter().map(|store| store.id.as_str())) {
                Some(near) => format!("; did you mean \"{near}\"?"),
                None => String::new(),
            };
            let message = format!("\"shares_path_with\" of \"{}\" names the unknown store \"{id}\"{hint}", store.id);
            problems.error(&store.file, store.place, message);
        }
        if store.source.trim().is_empty() {
            let message = format!("\"source\" of \"{}\" is empty; say where its facts come from", store.id);
            problems.error(&store.file, store.place, message);
        }
        for pattern in store.perhaps_paths.iter().filter(|pattern| !store.paths.contains(pattern)) {
            let message =
                format!("\"{}\" in \"perhaps_paths\" of \"{}\" is not in its \"paths\"", pattern.text(), store.id);
            problems.error(&store.file, store.place, message);
        }
        for pattern in store.watched_paths().chain(store.outlet_paths()).chain(&store.exclude_paths) {
            names(store, pattern, problems);
        }
        for pattern in store.outlet_paths().filter(|pattern| !has_keys(pattern)) {
            let message = format!(
                "\"{}\" of \"{}\": what is written is watched by names, and these are everywhere; give the name of the file \
                 or of a directory of its own",
                pattern.text(),
                store.id
            );
            problems.error(&store.file, store.place, message);
        }
        for reader in &store.readers {
            proves_something(store, reader, interpreters, problems);
        }
    }
}

fn names(store: &Store, pattern: &Pattern, problems: &mut Problems) {
    for part in pattern.parts() {
        if let Part::Name(name) = part
            && name.len() > KEY_NAME_BYTES
        {
            let message = format!(
                "\"{}\" of \"{}\": a name of {} bytes cannot be watched, at most {KEY_NAME_BYTES}; use \"*\" for a part of it",
                pattern.text(),
                store.id,
                name.len()
            );
            problems.error(&store.file, store.place, message);
        }
    }
}

fn proves_something(store: &Store, reader: &Reader, interpreters: &Interpreters, problems: &mut Problems) {
    if reader.weak {
        return;
    }
    let commands = |exe: &str| interpreters.named(exe).is_some_and(|interpreter| interpreter.commands);
    // What moves bytes and also logs in by itself: the arguments tell.
    let told = |exe: &str| interpreters.copies(exe) && !reader.cmdline_never.is_empty();
    for exe in reader.exe.iter().filter(|exe| interpreters.generic(exe) && !commands(exe) && !told(exe)) {
        let what = if interpreters.copies(exe) { "only moves bytes" } else { "is an interpreter" };
        let message = format!(
            "\"{exe}\" {what} and cannot be expected to read \"{}\" by its name; \
             give \"interpreter\" and \"scripts\", or \"weak: true\"",
            store.id
        );
        problems.error(&store.file, reader.place, message);
    }
    for exe in reader.exe.iter().filter(|exe| exe.as_str() == "*") {
        let message = format!("\"{exe}\" would expect every program to read \"{}\"", store.id);
        problems.error(&store.file, reader.place, message);
    }
}
