//! Which programs print a token when they are told so. Asked for every program that starts, so it is settled by one word for
//! nearly all of them.

use std::collections::HashMap;

use super::model::Store;
use crate::yaml::fields::{Fields, Placed, Reading};

/// What a store's own program can be told, by the last word of it.
#[derive(Clone, Debug, Default)]
pub struct Prints {
    by_last: HashMap<String, Vec<(u32, String)>>,
}

impl Prints {
    /// The commands of `stores`; the position in the slice is the store's number.
    #[must_use]
    pub fn new(stores: &[Store]) -> Self {
        let mut by_last: HashMap<String, Vec<(u32, String)>> = HashMap::new();
        for (number, store) in stores.iter().enumerate() {
            for command in &store.prints {
                let last = command.rsplit(' ').next().unwrap_or_default();
                by_last.entry(last.to_owned()).or_default().push((number as u32, command.clone()));
            }
        }
        Self { by_last }
    }

    /// Numbers of the stores whose programs print a token when they are started with `args`, and the command. The words of a
    /// command but the first must be arguments in their order; options and their values may stand between.
    ///
    /// Whether the program is the store's own is not asked here.
    #[must_use]
    pub fn of<'a>(&self, args: impl Iterator<Item = &'a str> + Clone) -> Vec<(u32, &str)> {
        let later = args.skip(1);
        let mut found = Vec::new();
        for (number, command) in later.clone().filter_map(|arg| self.by_last.get(arg)).flatten() {
            let mut rest = later.clone();
            let told = command.split(' ').skip(1).all(|word| rest.any(|arg| arg == word));
            if told && !found.contains(&(*number, command.as_str())) {
                found.push((*number, command.as_str()));
            }
        }
        found
    }
}

/// Commands that print a token: the program's name and what it is told, with one space between words.
pub(super) fn parse_prints(fields: &mut Fields<'_>, reading: &mut Reading<'_>) -> Vec<String> {
    let commands: Vec<Placed<String>> = fields.optional("prints", reading).unwrap_or_default();
    let wrong = |command: &str| command.split(' ').any(str::is_empty) || !command.contains(' ');
    for command in commands.iter().filter(|command| wrong(&command.value)) {
        let message =
            format!("\"{}\" must be a program and what it is told, with one space between words", command.value);
        reading.error(command.place, message);
    }
    commands.into_iter().map(|command| command.value).collect()
}

#[cfg(test)]
mod tests {
    use crate::catalogue::tests::shipped_catalogue;

    /// Those of the program that the line starts, or of the script that it runs.
    fn asked(line: &str) -> String {
        let program = line.trim_start_matches("python3 /usr/bin/").split(' ').next().unwrap();
        let found = shipped_catalogue().prints(line.split(' '));
        let own = found.iter().find(|(_, command)| command.split(' ').next() == Some(program));
        own.map_or_else(String::new, |(store, command)| format!("{}: {command}", store.id))
    }

    #[test]
    fn commands_that_print_and_their_neighbours_that_do_not() {
        for (line, wanted) in [
            ("gh auth token", "gh-hosts: gh auth token"),
            ("gh auth token --hostname github.com", "gh-hosts: gh auth token"),
            ("gh auth status --show-token", "gh-hosts: gh auth status --show-token"),
            (
                "python3 /usr/bin/aws --profile x configure export-credentials",
                "aws-credentials: aws configure export-credentials",
            ),
            ("aws configure get default.aws_secret_access_key", ""),
            ("aws configure get aws_secret_access_key", "aws-credentials: aws configure get aws_secret_access_key"),
            ("git credential fill", "git-credentials: git credential fill"),
            ("kubectl config view --raw", "kubeconfig: kubectl config view --raw"),
            ("gh auth status", ""),
            ("gh pr list", ""),
            ("kubectl config view", ""),
            ("kubectl --raw view config", ""),
            ("git fill credential", ""),
            ("token", ""),
        ] {
            assert_eq!(asked(line), wanted, "{line}");
        }
    }
}
