//! Arguments and exit codes, nothing else.

use std::process::ExitCode;

use clap::Parser;
use tokenhound::cli::{self, Arguments};

fn main() -> ExitCode {
    match Arguments::try_parse() {
        Ok(arguments) => cli::execute(arguments),
        Err(error) => {
            let help =
                matches!(error.kind(), clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion);
            // A closed pipe leaves nobody to tell.
            let _ = error.print();
            if help { ExitCode::SUCCESS } else { cli::Exit::Usage.into() }
        }
    }
}
