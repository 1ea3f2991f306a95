use super::*;
use crate::finding::samples;

/// Fails with the whole text, ready to be read.
fn snapshot(finding: &Finding, expected: &str) {
    let text = plain(finding);
    assert!(text.trim_end() == expected.trim(), "the text is now:\n{text}");
}

fn plain(finding: &Finding) -> String {
    render(finding, Style::default())
}

#[test]
fn snapshot_unexpected_reader() {
    snapshot(
        &samples::unexpected_reader(),
        r"
HIGH  /usr/bin/cat read /home/ann/.aws/credentials (AWS shared credentials file)
  2025-11-24T16:00:00.250Z · store aws-credentials · unexpected-reader
  who did it
    systemd (1) /usr/lib/systemd/systemd, uid 0
    └─ sshd (800) /usr/sbin/sshd, uid 0
       └─ bash (812) /usr/bin/bash, ann
          └─ node (4100) /usr/bin/node, script /usr/lib/node_modules/npm/bin/npm-cli.js, ann
             └─ dash (4200) /usr/bin/dash, ann
                └─ cat (4242) /usr/bin/cat, ann  <- this one
  on whose behalf
    - package-script: npm
    - above the reader is npm (pid 4100, /usr/bin/node running
      /usr/lib/node_modules/npm/bin/npm-cli.js), in a place that its user cannot write
  why it counts
    - aws-credentials is a tier 1 store: its token alone is enough to act as its owner
    - the reader is not among those the catalogue lists
    - code of a package acts: nobody typed this, and no install needs it
  what to do
    - Find out what the reader is and who started it: the lineage names every program above it.
    - If it had no business there, treat the token as stolen: revoke it, then log in again.
    - If it is in order, add a policy exception for this store and this reader.
      $ aws iam delete-access-key --access-key-id <ID>
  details
    - the reader is /usr/bin/cat, device 8:1, inode 745099, owner uid 0, mode 0755; its user cannot
      change it
    - the file is /home/ann/.aws/credentials opened for reading; owner uid 1000, mode 0600
    - finding 70a2310c9edbcea309246806732c27d6
",
    );
}

#[test]
fn snapshot_credential_sweep() {
    snapshot(
        &samples::credential_sweep(),
        r"
CRITICAL  programs under find (pid 4200) read 3 kinds of token within 2.0 s: aws-credentials,
          ssh-keys, npmrc
  2025-11-24T16:00:02.000Z · stores aws-credentials, ssh-keys, npmrc · credential-sweep
  who did it
    systemd (1) /usr/lib/systemd/systemd, uid 0
    └─ sshd (800) /usr/sbin/sshd, uid 0
       └─ bash (812) /usr/bin/bash, ann
          └─ find (4200) /usr/bin/find, ann
             └─ cp (4244) /usr/bin/cp, ann  <- this one
  on whose behalf
    - no known program, terminal or runner is in its lineage
  why it counts
    - 3 store families within 2.0 s under one ancestor: aws-credentials, ssh-keys, npmrc
    - a tier 1 store is among them
    - none of the reads is expected by catalogue or policy
  what to do
    - Stop the common ancestor and keep its files for analysis.
    - Treat every listed token as stolen: revoke them all, those of tier 1 first.
    - Look for what started it: a package's install script, an editor extension, a downloaded
      script.
      $ aws iam delete-access-key --access-key-id <ID>
      $ ssh revoke --all
      $ npm revoke --all
  details
    - /home/ann/.ssh/id_ed25519 (ssh-keys) read by /usr/bin/cp
    - /home/ann/.npmrc (npmrc) read by /usr/bin/cp
    - /home/ann/.aws/credentials (aws-credentials) read by /usr/bin/cp
    - common ancestor: /usr/bin/find, pid 4200
    - the reader is /usr/bin/cp, device 8:1, inode 669208, owner uid 0, mode 0755; its user cannot
      change it
    - finding da63049a3db574a461cf99eb01722e98
",
    );
}

#[test]
fn snapshot_process_inspection() {
    snapshot(
        &samples::process_inspection(),
        r"
HIGH  /usr/bin/ps read the environment of node (pid 900)
  2025-11-24T16:00:00.000Z · process-inspection
  who did it
    systemd (1) /usr/lib/systemd/systemd, uid 0
    └─ sshd (800) /usr/sbin/sshd, uid 0
       └─ bash (812) /usr/bin/bash, ann
          └─ ps (4242) /usr/bin/ps, ann  <- this one
  on whose behalf
    - no known program, terminal or runner is in its lineage
  why it counts
    - an environment often holds tokens that were handed over in variables
    - it belongs to another user (uid 0, the reader is uid 1000)
    - the arguments of ps ask to show environments, or cannot be known
  what to do
    - Find out what the reader is and who started it.
    - Replace every secret that the inspected processes hold: those in their environment first.
    - Hand secrets over in files or descriptors instead of the environment; set
      kernel.yama.ptrace_scope to 1 or more.
  details
    - the target is /usr/bin/node, pid 900, uid 0
    - the reader is /usr/bin/ps, device 8:1, inode 669614, owner uid 0, mode 0755; its user cannot
      change it
    - finding 6e7d877931a97d27623325ce4a28077b
",
    );
}

#[test]
fn snapshot_sensor_degraded() {
    snapshot(
        &samples::lost().unwrap(),
        r"
HIGH  17 records were lost (hits_ring_full)
  2025-11-24T16:00:00.000Z · sensor-degraded
  why it counts
    - reads of stores may be among the lost records
  what to do
    - Run `tokenhound doctor`: it tests every probe and names the remedy.
    - If findings were given up, look why the sink fails (`tokenhound doctor`) or why the disk is
      full, and at what is kept of them: `tokenhound incidents`.
    - If records were lost under load, find the process that makes the storm; the life and hit rings
      are separate for this reason.
    - Treat the interval as unobserved: check the stores' access times and run `tokenhound audit`.
  details
    - reason hits_ring_full: 17 since the last report, 17 since the start
    - finding 4bb4ed49f3b0a41d82c75c4e52938ab0
",
    );
}

#[test]
fn awkward_names_stay_inside_the_width_and_act_on_nothing() {
    let text = plain(&samples::awkward());
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
    assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
    assert!(!text.contains('\u{202e}'));
    assert!(text.contains(r"/tmp/\x1b[31mpython3"), "{text}");
    assert!(text.contains("(12 more between)"), "{text}");
    assert!(text.contains("older ancestors are not known"), "{text}");
    assert!(text.contains("docker 0123456789ab"), "{text}");
    let coloured = render(&samples::awkward(), Style { colour: true });
    assert!(!coloured.contains("\x1b[31mpython3"), "only our own colours");
}

#[test]
fn colour_adds_nothing_but_colour() {
    let finding = samples::unexpected_reader();
    let coloured = render(&finding, Style { colour: true });
    let mut stripped = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        stripped.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    stripped.push_str(rest);
    assert_ne!(coloured, stripped);
    assert_eq!(stripped, plain(&finding));
}

#[test]
fn long_words_are_broken_and_short_ones_kept_whole() {
    assert_eq!(wrap("one two three", 8), ["one two", "three"]);
    assert_eq!(wrap("abcdefghijk lm", 8), ["abcdefgh", "ijk lm"]);
    assert_eq!(wrap("", 8), [""]);
    assert_eq!(wrap("12345678 9", 8), ["12345678", "9"]);
}
