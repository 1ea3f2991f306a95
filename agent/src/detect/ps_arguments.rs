//! Does a `ps` command line ask to show the environment of processes?
//!
//! procps reads every `environ` on each call, whatever is asked, so only the arguments tell a listing from a theft.
//! procps accepts three styles: with a dash `-e` means "all processes"; without one the letter `e` means "show the
//! environment". When the dashed reading fails (`-x` is none of its letters, `-auxe` names a user that does not exist)
//! it reads *all* arguments again without their dashes: `ps -axe` and `ps -e -x` show environments. ps(1), and tried
//! with procps 4.0.2.

/// Dashed letters that take a value: attached, or the next argument.
const DASHED_VALUES: &str = "CDGOUgnopqstu";
/// Dashed letters without a value.
const DASHED_FLAGS: &str = "AFHLMNPTVZacdefjlmwy";
/// Letters without a dash that take a value.
const PLAIN_VALUES: &str = "NOUkopqt";
/// Long options that take a value.
const LONG_VALUES: &[&str] = &[
    "Group",
    "User",
    "cols",
    "columns",
    "format",
    "group",
    "lines",
    "pid",
    "ppid",
    "quick-pid",
    "rows",
    "sid",
    "sort",
    "tty",
    "user",
    "width",
];

/// Does `ps` with these arguments (its own name first) show environments? Where it is open, yes: an unknown user name,
/// or a personality that changes what letters mean, is a way to hide the question.
pub(super) fn show_environment(args: &[String], personality: bool) -> bool {
    let args = args.get(1..).unwrap_or_default();
    let dashed = read(args, false);
    dashed.environment || ((dashed.failed || personality) && read(args, true).environment)
}

#[derive(Default)]
struct Reading {
    environment: bool,
    /// procps will (or may) read everything again without dashes.
    failed: bool,
}

fn read(args: &[String], ignore_dashes: bool) -> Reading {
    let mut reading = Reading::default();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let takes_next = if let Some(long) = arg.strip_prefix("--") {
            LONG_VALUES.contains(&long)
        } else if let Some(letters) = arg.strip_prefix('-').filter(|_| !ignore_dashes) {
            dashed(letters, &mut reading)
        } else {
            plain(arg.trim_start_matches('-'), &mut reading)
        };
        if takes_next {
            rest.next();
        }
    }
    reading
}

/// Reads a group of dashed letters; true when the last one takes the next argument as its value.
fn dashed(letters: &str, reading: &mut Reading) -> bool {
    for (index, letter) in letters.char_indices() {
        if DASHED_VALUES.contains(letter) {
            let value = &letters[index + letter.len_utf8()..];
            // `-aux...`: the habit, not a user whose name begins with x.
            reading.failed |= matches!(letter, 'u' | 'U') && value.starts_with('x');
            return value.is_empty();
        }
        if !DASHED_FLAGS.contains(letter) {
            reading.failed = true;
        }
    }
    false
}

/// Reads a group of letters without a dash, or a list of process ids.
fn plain(letters: &str, reading: &mut Reading) -> bool {
    if letters.starts_with(|first: char| first.is_ascii_digit()) {
        return false;
    }
    for (index, letter) in letters.char_indices() {
        if letter == 'e' {
            reading.environment = true;
        }
        if PLAIN_VALUES.contains(letter) {
            return index + letter.len_utf8() == letters.len();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(line: &str) -> bool {
        show_environment(&line.split(' ').map(str::to_owned).collect::<Vec<_>>(), false)
    }

    #[test]
    fn listings_do_not_ask() {
        for line in [
            "ps",
            "ps -e",
            "ps -ef",
            "ps -eo pid,comm",
            "ps -eLf",
            "ps -A -o etime,args",
            "ps aux",
            "ps -aux",
            "ps auxww",
            "ps axo pid,etime",
            "ps axoe",
            "ps ax o etime",
            "ps -p 1 -o etime=",
            "ps -C sleep",
            "ps -u jenkins -f",
            "ps -ujenkins",
            "ps --pid 1 --format etime",
            "ps --format etime",
            "ps --sort=etime -ef",
            "ps k etime ax",
            "ps -o pid,ppid,stime --no-headers -p 12",
            "ps 4711",
            "ps U eve",
        ] {
            assert!(!asks(line), "{line}");
        }
    }

    #[test]
    fn questions_for_the_environment_are_seen() {
        for line in [
            "ps e",
            "ps auxe",
            "ps axe -o pid,args",
            "ps auxeww",
            "ps eww 4711",
            "ps 4711 e",
            "ps -p 1 e",
            "ps -e e",
            "ps -axe",
            "ps -xe",
            "ps -e -x",
            "ps -auxe",
            "ps -eaux",
            "ps --no-headers axe",
            "ps -o args e",
        ] {
            assert!(asks(line), "{line}");
        }
    }

    #[test]
    fn a_personality_makes_a_dashed_e_doubtful() {
        let args = ["ps".to_owned(), "-ef".to_owned()];
        assert!(!show_environment(&args, false));
        assert!(show_environment(&args, true));
    }
}
