//! Files under version control that are made by a program and not by hand.

mod dashboards;
mod image;
mod trim;
mod verifier;

use std::fs;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use tokenhound_common::fields::FIELDS;

use crate::cmd;
use crate::place::Place;
use crate::setup::{self, Group};
use crate::vm;

/// What to make.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Type information of Debian's kernels, cut down to what tests of the offset reader need.
    Btf,
    /// What each kernel program costs the verifier, on the kernels of the guests and on this one.
    Verifier,
    /// Captures of stories, played on this machine as root, and what is found in them.
    Captures,
    /// What comes of everyday commands and of attacks, played on this machine as root.
    Corpus,
    /// The Grafana dashboards.
    Dashboards,
}

/// Where the blobs go, from the root of the checkout.
const BTF_HOME: &str = "agent/src/kernel/testdata";

/// Kernels that tests know. Everything is named by series, so that a newer release replaces the older one.
const SERIES: [&str; 4] = ["5.10", "6.1", "6.12", "7.2"];

/// Largest blob that may be committed, in bytes.
const BTF_LIMIT: usize = 40_000;

/// `kernels` are the guests to ask, all without.
pub(crate) fn run(place: &Place, what: What, kernels: &[String]) -> anyhow::Result<()> {
    match what {
        What::Btf => btf(place),
        What::Verifier => {
            setup::run(place, &[Group::Test])?;
            let named: Vec<&str> = kernels.iter().map(String::as_str).collect();
            verifier::bless(place, if named.is_empty() { &SERIES } else { &named })
        }
        What::Captures => {
            play(place, "live", &["captures"])?;
            let mut replay = place.cargo();
            replay.args(["test", "--package", "tokenhound", "--locked", "--lib", "captures_of_stories"]);
            cmd::run(replay.env("TOKENHOUND_BLESS", "1"))
        }
        What::Corpus => play(place, "corpus", &[]),
        What::Dashboards => dashboards::bless(place),
    }
}

/// An end-to-end test plays what there is and keeps what comes of it. One at a time, so that numbers of files do not
/// depend on who comes first.
fn play(place: &Place, test: &str, filter: &[&str]) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("only root may load kernel programs: run this as root");
    }
    setup::run(place, &[Group::Test])?;
    let agent = crate::build_agent(place)?;
    let mut play = place.cargo();
    play.args(["test", "--package", "tokenhound-tests", "--locked", "--test", test]).args(filter);
    play.env("TOKENHOUND_BIN", agent).env("TOKENHOUND_VENV", place.venv()).env("TOKENHOUND_BLESS", "1");
    cmd::run(play.args(["--", "--test-threads=1"]))
}

fn btf(place: &Place) -> anyhow::Result<()> {
    let home = place.root.join(BTF_HOME);
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let mut releases = String::from("# Made by `cargo xtask bless btf`: series, release the blob comes from, bytes.\n");
    let mut offsets = Vec::new();
    for series in SERIES {
        let kernel = vm::kernel::fetch(place, series)?;
        let image = fs::read(&kernel.image).with_context(|| format!("cannot read {}", kernel.image.display()))?;
        let whole = || format!("cannot take the types out of {}", kernel.image.display());
        let full = image::btf(&image).with_context(whole)?;
        let blob = trim::trim(&full).with_context(whole)?;
        if blob.len() > BTF_LIMIT {
            bail!("the types of kernel {series} take {} bytes, more than {BTF_LIMIT}: keep less of them", blob.len());
        }
        let release = image::release(&image).with_context(whole)?;
        println!("{series}: {release}, {} of {} bytes", blob.len(), full.len());
        releases.push_str(&format!("{series} {release} {}\n", blob.len()));
        write(&home.join(format!("{series}.btf")), &blob)?;
        offsets.push(trim::offsets(&full).with_context(whole)?);
    }
    write(&home.join("releases.txt"), releases.as_bytes())?;
    write(&home.join("offsets.txt"), table(&offsets).as_bytes())
}

/// One line for each field, one column for each kernel.
fn table(kernels: &[Vec<Option<u32>>]) -> String {
    let mut text = format!("# Made by `cargo xtask bless btf`: field and its offset on {}.\n", SERIES.join(", "));
    for (index, field) in FIELDS.iter().enumerate() {
        text.push_str(field.name);
        for offsets in kernels {
            match offsets.get(index).copied().flatten() {
                Some(offset) => text.push_str(&format!(" {offset}")),
                None => text.push_str(" -"),
            }
        }
        text.push('\n');
    }
    text
}

fn write(path: &std::path::Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
