//! `cargo xtask`: set up, build, run, test and measure tokenhound.
//!
//! Needs cargo and stable Rust only; [`setup`] brings the rest. Exit codes: 0 fine, 1 failed, 2 something is missing
//! that only the user can install.

mod bench;
mod bless;
mod cmd;
mod docs;
mod image;
mod package;
mod place;
mod setup;
mod test;
mod vm;

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::place::Place;
use crate::setup::Group;

/// Set up, build, run, test and measure tokenhound.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing: on Debian as root it does so, elsewhere it names exactly what to install.
    Setup {
        /// Only for these tasks; all without.
        #[arg(value_enum)]
        groups: Vec<Group>,
    },
    /// Build the agent with its kernel programs (optimised).
    Build,
    /// Make a .deb and an .rpm of the optimised agent.
    Package,
    /// Build the agent as a static program, and put it beside the recipe of its container image.
    Image,
    /// Build the agent and start it.
    Run {
        /// Arguments of `tokenhound`, after `--`; `run` without.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Test; ends with one line `N passed, N failed, N skipped`.
    Test(test::Options),
    /// Boot a guest with another kernel and run one shell command in it, with this checkout's agent as `tokenhound`.
    Guest {
        #[arg(long = "kernel", value_name = "SERIES", default_value = vm::DEFAULT_SERIES)]
        kernel: String,
        /// The command, after `--`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, default_value = "tokenhound doctor")]
        command: Vec<String>,
    },
    /// Measure what the agent costs, beside other programs that watch files; without WHAT, say what there is.
    Bench(bench::Options),
    /// Build the documents as a site and say where it is.
    Docs,
    /// Make anew what is under version control but made by a program.
    Bless {
        #[arg(value_enum)]
        what: bless::What,
        /// Ask only guests with these kernels; what is known of others stays.
        #[arg(long = "kernel", value_name = "SERIES")]
        kernels: Vec<String>,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().task.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(if error.is::<setup::Missing>() { 2 } else { 1 })
        }
    }
}

impl Task {
    fn run(self) -> anyhow::Result<ExitCode> {
        let place = Place::find()?;
        match self {
            Self::Setup { groups } => {
                let groups = if groups.is_empty() { Group::ALL.to_vec() } else { groups };
                setup::run(&place, &groups)?;
                println!("Everything is in place for: {}.", setup::names(&groups));
            }
            Self::Build => {
                setup::run(&place, &[Group::Build])?;
                println!("{}", build_agent(&place)?.display());
            }
            Self::Package => {
                setup::run(&place, &[Group::Package])?;
                for package in package::run(&place)? {
                    println!("{}", package.display());
                }
            }
            Self::Image => {
                setup::run(&place, &[Group::Image])?;
                println!("{}", image::run(&place)?.display());
            }
            Self::Run { arguments } => {
                setup::run(&place, &[Group::Build])?;
                let program = build_agent(&place)?;
                let arguments = if arguments.is_empty() { vec!["run".to_owned()] } else { arguments };
                let failure = Command::new(&program).args(arguments).exec();
                return Err(failure).with_context(|| format!("cannot start {}", program.display()));
            }
            Self::Test(options) => return test::run(&place, &options),
            Self::Guest { kernel, command } => return test::in_guest(&place, &kernel, &command.join(" ")),
            Self::Bench(options) => bench::run(&place, &options)?,
            Self::Docs => println!("{}", docs::build(&place)?.display()),
            Self::Bless { what, kernels } => bless::run(&place, what, &kernels)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Builds the optimised agent and returns where it is.
fn build_agent(place: &Place) -> anyhow::Result<std::path::PathBuf> {
    cmd::run(place.cargo().args(["build", "--release", "--package", "tokenhound", "--bin", "tokenhound"]))?;
    Ok(place.target.join("release/tokenhound"))
}
