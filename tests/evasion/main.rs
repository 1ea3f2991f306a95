//! Reads one store in every way we know of, each of which can run alone; and does what is no read.
//!
//! `evasion list` names them. `evasion run NAME --store PATH --dir DIR` runs one: exit code 0 if it really got the
//! content, 77 if this kernel or file system does not offer it, with the reason. What it says on the way is compared with
//! what the agent says (`tests/tests/evasion`).
#![allow(unsafe_code, reason = "most of these ways have no safe interface")]

mod below;
mod calls;
mod connect;
mod handover;
mod identity;
mod innocent;
mod inspection;
mod mounts;
mod names;
mod opens;
mod place;
mod ring;
mod roles;
mod stop;
mod sys;
mod technique;
mod tell;
mod victim;

use std::{env, path::PathBuf, process::ExitCode};

use tokenhound_tests::evasion::ABSENT;

use crate::{
    place::Place,
    stop::{Outcome, Stop, fail},
    technique::Technique,
    victim::Victim,
};

/// Every technique, by group.
const GROUPS: &[(&str, &[Technique])] = &[
    ("open", opens::TABLE),
    ("name", names::TABLE),
    ("mount", mounts::TABLE),
    ("call", calls::TABLE),
    ("io_uring", ring::TABLE),
    ("handover", handover::TABLE),
    ("identity", identity::TABLE),
    ("inspection", inspection::TABLE),
    ("connect", connect::TABLE),
    ("below", below::TABLE),
    ("innocent", innocent::TABLE),
];

fn main() -> ExitCode {
    tell::remember_program();
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => list(),
        ["run", name, "--store", store, "--dir", dir] => run(name, PathBuf::from(store), PathBuf::from(dir)),
        ["role", ref role @ ..] => roles::play(role),
        _ => fail("usage: evasion list | evasion run NAME --store PATH --dir DIR"),
    };
    ExitCode::from(u8::try_from(report(outcome)).unwrap_or(1))
}

/// Says why it went wrong. Returns the exit code.
fn report(outcome: Outcome) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(Stop::Absent(reason)) => {
            tell::absent(&reason);
            ABSENT
        }
        Err(Stop::Failed(reason)) => {
            eprintln!("evasion: {reason}");
            1
        }
    }
}

fn list() -> Outcome {
    for (group, techniques) in GROUPS {
        techniques.iter().for_each(|technique| println!("{}", technique.declared(group)));
    }
    Ok(())
}

/// Acts in a child: whatever the technique is, nobody has done anything in its name before, and its parent is nobody
/// else's.
fn run(name: &str, store: PathBuf, dir: PathBuf) -> Outcome {
    let Some(technique) = GROUPS.iter().flat_map(|(_, list)| *list).find(|technique| technique.name == name) else {
        return fail(format!("there is no technique {name}: see `evasion list`"));
    };
    let mut place = Place::new(&store, &dir)?;
    tell::host_path(&place.store);
    if technique.victim {
        place.victim = Some(Victim::start(&place.store)?);
    }
    sys::in_child(|| (technique.act)(&place))
}
