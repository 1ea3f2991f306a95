//! Manual pages and completions, from what the parser itself says.

use std::{fs, io, path::Path};

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};

use super::{Arguments, CliError, Exit};

/// Writes `man/` and `completions/` below the directory.
///
/// # Errors
/// When something cannot be written.
pub(super) fn write(directory: &Path) -> Result<Exit, CliError> {
    let failed = |error: io::Error| CliError::failure(format!("write pages to {}: {error}", directory.display()));
    let (man, completions) = (directory.join("man"), directory.join("completions"));
    for part in [&man, &completions] {
        fs::create_dir_all(part).map_err(failed)?;
    }
    let mut root = without_hidden(Arguments::command());
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut root, "tokenhound", &completions).map_err(failed)?;
    }
    // Bash looks for a file that is called like the program.
    fs::rename(completions.join("tokenhound.bash"), completions.join("tokenhound")).map_err(failed)?;
    clap_mangen::generate_to(without_hidden(Arguments::command()), &man).map_err(failed)?;
    Ok(Exit::Success)
}

/// Nobody is to be offered what the agent does with itself.
fn without_hidden(root: Command) -> Command {
    let shown: Vec<Command> = root.get_subcommands().filter(|below| !below.is_hide_set()).cloned().collect();
    let bare = Command::new("tokenhound")
        .version(env!("CARGO_PKG_VERSION"))
        .about(root.get_about().cloned().unwrap_or_default());
    bare.subcommands(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_and_hidden_ones_are_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path()).unwrap();
        let man = directory.path().join("man");
        for name in ["tokenhound.1", "tokenhound-run.1", "tokenhound-policy-check.1"] {
            assert!(fs::read_to_string(man.join(name)).unwrap().contains("tokenhound"), "{name}");
        }
        for file in ["tokenhound", "_tokenhound", "tokenhound.fish"] {
            let text = fs::read_to_string(directory.path().join("completions").join(file)).unwrap();
            assert!(text.contains("doctor") && !text.contains("demo-actor"), "{file}");
        }
        assert!(!man.join("tokenhound-demo-actor.1").exists());
    }
}
