//! Is it a person, who typed it at the prompt of their own terminal? The one thing that lowers a severity, so every
//! step must be there: reader, the shell that leads the session, whoever opened the terminal, up to a login or a window.
//!
//! A shell that was started below another may read a script from its standard input (`curl ... | bash`), which nothing
//! tells from a prompt: only the one that leads the terminal's session counts.

use super::Proof;
use super::classify::Data;
use crate::{
    catalogue::actors::Terminal,
    lineage::model::{Chain, Process, Writable},
};

/// Why it is one; or, where it is not, what is missing. `None` where there is nothing to say.
pub(super) fn at_prompt(chain: &Chain, data: Data<'_>) -> Result<Option<String>, String> {
    let Some(reader) = chain.processes.first() else { return Ok(None) };
    if reader.tty.is_none() {
        return Ok(None);
    }
    let shell = shell(chain, data)?;
    let opener = opener(&chain.processes[shell + 1..], data)?;
    let name = chain.processes[shell].name();
    Ok(Some(format!("typed at the prompt of {name}, in a terminal that {opener} opened")))
}

/// The shell at whose prompt the reader was typed, or which is the reader.
fn shell(chain: &Chain, data: Data<'_>) -> Result<usize, String> {
    let reader = &chain.processes[0];
    let leads = |process: &Process| process.key.tgid == reader.session;
    // Some logins lead the session themselves, and start the shell in it.
    let login = |process: &Process| {
        leads(process) && data.rule(process).is_some_and(|(rule, _)| rule.terminal == Some(Terminal::Login))
    };
    let at = |index: usize| chain.processes.get(index);
    let leading = |index: usize| at(index).is_some_and(leads) || at(index + 1).is_some_and(login);
    let index = match (0..2).find(|index| leading(*index)) {
        Some(index) => index,
        None => return Err("what started it is not the shell that leads the terminal's session".to_owned()),
    };
    let shell = &chain.processes[index];
    if !data.actors.is_shell(shell) || shell.script.is_some() || shell.args_truncated {
        return Err("what leads the terminal's session is no shell with a prompt".to_owned());
    }
    if shell.executable.writable != Writable::No {
        return Err("the shell's program could be changed by its user".to_owned());
    }
    if shell.uid != reader.uid || reader.euid != reader.uid {
        return Err("it acts as another user than its shell".to_owned());
    }
    Ok(index)
}

/// Who opened the terminal, found among the ancestors of its session's leader.
fn opener(above: &[Process], data: Data<'_>) -> Result<String, String> {
    for (index, process) in above.iter().enumerate() {
        let terminal = data.rule(process).filter(|(rule, _)| rule.terminal.is_some());
        match terminal.map(|(rule, proof)| (rule, proof, rule.terminal)) {
            Some((rule, proof, _)) if proof != Proof::Place => {
                return Err(format!("{}, in whose terminal it was, could be changed by its user", rule.name));
            }
            Some((rule, _, Some(Terminal::Window))) => return Ok(rule.name.clone()),
            Some((rule, _, Some(Terminal::Login))) => {
                // It lets others in as root only; a user's own sshd lets in whom they please.
                let same = |process: &&Process| data.rule(process).is_some_and(|(other, _)| other.id == rule.id);
                let root = above[index..].iter().take_while(same).any(|process| process.uid == 0);
                let refused = || format!("{} runs for its user and lets in whom they please", rule.name);
                return if root { Ok(rule.name.clone()) } else { Err(refused()) };
            }
            Some(_) => {}
            None if data.actors.is_shell(process) && process.script.is_none() => {}
            None => return Err(format!("{} opened the terminal, or had it opened", process.name())),
        }
    }
    Err("who opened the terminal is not known".to_owned())
}
