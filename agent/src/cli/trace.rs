//! `tokenhound trace`: where a token went.

use std::{io::IsTerminal, path::Path};

use clap::ValueEnum;

use super::{CliError, Exit, decoy::State, policy, print};
use crate::{
    catalogue::Catalogue,
    finding::text::Style,
    history::{Database, trail::Subject},
    token::fingerprint::Fingerprint,
    trace,
};

/// Arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// A fingerprint (`th1:...`), the id of a store, or the path of a file that holds, or held, a token.
    #[arg(value_name = "FINGERPRINT|STORE|PATH")]
    of: String,
    /// How to write it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    state: State,
}

/// How it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tree.
    Text,
    /// Everything, for other programs.
    Json,
    /// A graph, as one page for a browser.
    Html,
}

/// Shows it. The agent may be running.
///
/// # Errors
/// When the history cannot be read, or nothing is known.
pub(super) fn execute(options: &Options) -> Result<Exit, CliError> {
    let (config, state) = options.state.read()?;
    let subject = subject(&options.of, &policy::catalogue(config.catalogue.as_deref())?)?;
    let trail = history(&state)?.trail(&subject).map_err(CliError::failure)?;
    if trail.is_empty() {
        return Err(CliError::failure(format!(
            "nothing is known of {}; `tokenhound tokens` lists what is",
            crate::finding::visible::text(&options.of)
        )));
    }
    print(&match options.format {
        Format::Text => trace::text::render(&trail, Style { colour: std::io::stdout().is_terminal() }),
        Format::Json => format!("{:#}\n", trace::json(&options.of, &trail)),
        Format::Html => trace::html::render(&options.of, &trail),
    })?;
    Ok(Exit::Success)
}

/// The history in that state directory.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(super) fn history(state: &Path) -> Result<Database, CliError> {
    Database::look(state).map_err(CliError::failure)?.ok_or_else(|| {
        CliError::failure(format!("there is no history in {}; `tokenhound run` writes it", state.display()))
    })
}

/// What begins as a fingerprint does is one, what is the id of a store in the catalogue is that, and everything else is a path. A
/// file of the same name as a store is asked for with a `/` in its path.
fn subject(of: &str, catalogue: &Catalogue) -> Result<Subject, CliError> {
    if of.starts_with("th1:") {
        return of.parse::<Fingerprint>().map(Subject::Token).map_err(CliError::usage);
    }
    if catalogue.store(of).is_some() {
        return Ok(Subject::Store(of.to_owned()));
    }
    std::path::absolute(of).map(Subject::File).map_err(CliError::usage)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::tests::shipped_catalogue;

    #[test]
    fn a_name_is_a_store_or_a_file_here() {
        let catalogue = shipped_catalogue();
        let of = |text: &str| subject(text, catalogue).unwrap();
        assert_eq!(of("aws-credentials"), Subject::Store("aws-credentials".into()));
        let here = std::env::current_dir().unwrap();
        assert_eq!(of("deploy.sh"), Subject::File(here.join("deploy.sh")));
        assert_eq!(of("./aws-credentials"), Subject::File(here.join("aws-credentials")));
        assert_eq!(of("/home/ann/.netrc"), Subject::File("/home/ann/.netrc".into()));
        assert!(subject("th1:short", catalogue).is_err());
    }
}
