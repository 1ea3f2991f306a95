//! What the stories are made of.

/// What must come of a story.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Outcome {
    /// A finding of this detector that mentions all of this.
    Found(&'static str, &'static [&'static str]),
    /// No finding that speaks of where a token went.
    Silence,
}

/// Some lines of bash in a home of its own. `$STAGE` is the test's own directory, `$OUT` where to put what is none of the
/// story's, `$TOKEN` a file with the token of GitHub's command line that lies in the home.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Story {
    pub(crate) name: &'static str,
    /// Programs without which it cannot be played.
    pub(crate) tools: &'static [&'static str],
    pub(crate) script: &'static str,
    pub(crate) outcome: Outcome,
}

/// A token goes somewhere, and the same without a token: they differ in that alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) tools: &'static [&'static str],
    pub(crate) detector: &'static str,
    /// What the finding mentions.
    pub(crate) mentions: &'static [&'static str],
    pub(crate) attack: &'static str,
    pub(crate) twin: &'static str,
}

impl Pair {
    /// Both, by names that tell them apart.
    pub(crate) fn stories(&self) -> [(String, Story); 2] {
        let story = |script, outcome| Story { name: self.name, tools: self.tools, script, outcome };
        [
            (self.name.to_owned(), story(self.attack, Outcome::Found(self.detector, self.mentions))),
            (format!("{}-twin", self.name), story(self.twin, Outcome::Silence)),
        ]
    }
}
