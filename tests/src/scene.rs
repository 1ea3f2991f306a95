//! Several acts under one `tokenhound watch`: thefts and innocent reads, each in a home of its own, each with what must
//! come of it.
//!
//! A director (a `dash` script) plays them one after the other. An act that ends with `exec PROGRAM` has the lineage
//! program, director, tokenhound.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    finding::Finding,
    stage::Stage,
    store::Store,
    watch::{Watch, Watched},
};

/// What must come of an act.
enum Outcome {
    /// A finding.
    Theft,
    /// An expected read in the summary, and no finding.
    Innocent,
    /// Neither a finding nor a read.
    Nothing,
}

/// One act.
pub struct Act {
    name: String,
    store: Option<Store>,
    script: String,
    outcome: Outcome,
    /// In every finding of this act, and in none of another.
    mark: String,
    reader: String,
    detector: &'static str,
    severity: &'static str,
    below: Vec<String>,
    script_of_reader: Option<String>,
    known_as: Option<PathBuf>,
    code: i32,
}

/// All of them.
pub struct Scene<'s> {
    stage: &'s Stage,
    acts: Vec<Act>,
    sweeps: usize,
    also: Option<&'static str>,
    user: Option<&'static str>,
}

impl Act {
    /// The program that reads, by its path; links are followed.
    #[must_use]
    pub fn reader(mut self, program: impl AsRef<Path>) -> Self {
        let program = program.as_ref();
        self.reader = fs::canonicalize(program).unwrap_or_else(|_| program.to_owned()).display().to_string();
        self
    }

    /// Processes between the reader and the director.
    #[must_use]
    pub fn below(mut self, names: &[&str]) -> Self {
        self.below = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The script that the reader runs: a path, `inline`, or `module NAME`.
    #[must_use]
    pub fn script(mut self, script: impl AsRef<Path>) -> Self {
        self.script_of_reader = Some(script.as_ref().display().to_string());
        self
    }

    /// The name by which the store is known, where another one is opened.
    #[must_use]
    pub fn known_as(mut self, path: impl AsRef<Path>) -> Self {
        self.known_as = Some(path.as_ref().to_owned());
        self
    }

    /// Text that only findings of this act hold, instead of its home.
    #[must_use]
    pub fn mark(mut self, mark: impl Into<String>) -> Self {
        self.mark = mark.into();
        self
    }

    /// Another detector than `unexpected-reader`.
    #[must_use]
    pub fn detector(mut self, detector: &'static str) -> Self {
        self.detector = detector;
        self
    }

    /// Another severity than `High`.
    #[must_use]
    pub fn severity(mut self, severity: &'static str) -> Self {
        self.severity = severity;
        self
    }

    /// Its exit code, where that is not 0.
    #[must_use]
    pub fn ends_with(mut self, code: i32) -> Self {
        self.code = code;
        self
    }
}

impl<'s> Scene<'s> {
    /// An empty one.
    #[must_use]
    pub fn new(stage: &'s Stage) -> Self {
        Self { stage, acts: Vec::new(), sweeps: 0, also: None, user: None }
    }

    /// Everything is done by `nobody`, whose home each home is.
    #[must_use]
    pub fn by_nobody(mut self) -> Self {
        self.user = Some("nobody");
        self
    }

    /// Findings of `credential-sweep` that the whole of it amounts to.
    #[must_use]
    pub fn sweeps(mut self, count: usize) -> Self {
        self.sweeps = count;
        self
    }

    /// One finding of this detector comes of the whole of it as well.
    #[must_use]
    pub fn also(mut self, detector: &'static str) -> Self {
        self.also = Some(detector);
        self
    }

    /// The home of an act.
    #[must_use]
    pub fn home(&self, act: &str) -> PathBuf {
        self.stage.path(&format!("homes/{act}"))
    }

    fn act(&self, name: &str, store: Option<Store>, script: &str, outcome: Outcome) -> Act {
        self.stage.directory(&format!("homes/{name}"));
        if let Some(store) = store {
            store.put(self.stage, &self.home(name));
        }
        Act {
            name: name.to_owned(),
            store,
            script: script.to_owned(),
            outcome,
            mark: format!("/homes/{name}/"),
            reader: String::new(),
            detector: "unexpected-reader",
            severity: "High",
            below: Vec::new(),
            script_of_reader: None,
            known_as: None,
            code: 0,
        }
    }

    /// A theft of `$STORE`, which lies in the act's `$HOME`. `$LOOT` is where to put it.
    #[must_use]
    pub fn theft(&self, name: &str, store: Store, script: &str) -> Act {
        self.act(name, Some(store), script, Outcome::Theft)
    }

    /// A theft from something that is no store, or lies elsewhere.
    #[must_use]
    pub fn other_theft(&self, name: &str, script: &str) -> Act {
        self.act(name, None, script, Outcome::Theft)
    }

    /// The right program reads its own store.
    #[must_use]
    pub fn innocent(&self, name: &str, store: Store, script: &str) -> Act {
        self.act(name, Some(store), script, Outcome::Innocent)
    }

    /// Something of which nothing at all is to be said.
    #[must_use]
    pub fn nothing(&self, name: &str, store: Option<Store>, script: &str) -> Act {
        self.act(name, store, script, Outcome::Nothing)
    }

    /// Adds an act.
    pub fn add(&mut self, act: Act) {
        self.acts.push(act);
    }

    /// Plays all acts and checks what came of each; what else was found is too much.
    ///
    /// # Panics
    /// When something is missing, wrong or too much.
    pub fn play(self) -> Watched {
        let watch = Watch::new(self.stage);
        self.play_under(watch)
    }

    /// The same, under a `watch` with more options.
    ///
    /// # Panics
    /// As [`Scene::play`].
    pub fn play_under(self, mut watch: Watch<'_>) -> Watched {
        let director = self.stage.executable("director", self.direction());
        if let Some(user) = self.user {
            self.stage.open_to_others();
            Stage::give_to_nobody(&self.stage.path("homes"));
            watch = watch.arg("--user").arg(user);
        }
        let watched = watch.arg("--fail-on").arg("none").run(["dash".as_ref(), director.as_os_str()]);
        assert_eq!(watched.ended.code(), 0, "{}", watched.ended.err());
        let mut problems = Vec::new();
        for act in &self.acts {
            self.check(act, &watched, &mut problems);
        }
        let others: Vec<_> =
            watched.findings.iter().filter(|finding| !self.acts.iter().any(|act| act.made(finding))).collect();
        let (sweeps, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|finding| finding.detector() == "credential-sweep");
        if sweeps.len() != self.sweeps {
            problems.push(format!("{} sweeps, not {}", sweeps.len(), self.sweeps));
        }
        let (also, others): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|finding| Some(finding.detector()) == self.also);
        if also.len() != usize::from(self.also.is_some()) {
            problems.push(format!("{} findings of {}", also.len(), self.also.unwrap_or_default()));
        }
        problems.extend(others.into_iter().map(|finding| format!("too much: {}", finding.brief())));
        assert!(problems.is_empty(), "{}\n\n{}", problems.join("\n"), watched.story());
        watched
    }

    fn direction(&self) -> String {
        let mut text = String::from("set -u\n");
        for act in &self.acts {
            let home = self.home(&act.name);
            let store = act.store.map(|store| home.join(store.place())).unwrap_or_default();
            let out = self.stage.path("out");
            writeln!(
                text,
                "( export HOME='{home}' STORE='{store}' LOOT='{out}/{name}.loot' STAGE='{stage}'; cd \"$HOME\"\n\
                 {script}\n) </dev/null >'{out}/{name}.out' 2>&1\necho \"{name} $?\" >>'{out}/codes'",
                home = home.display(),
                store = store.display(),
                out = out.display(),
                stage = self.stage.path("").display(),
                name = act.name,
                script = act.script,
            )
            .expect("text takes text");
        }
        text
    }

    fn check(&self, act: &Act, watched: &Watched, problems: &mut Vec<String>) {
        let mut wrong = |what: String| problems.push(format!("{}: {what}", act.name));
        let codes = fs::read_to_string(self.stage.path("out/codes")).unwrap_or_default();
        if !codes.lines().any(|line| line == format!("{} {}", act.name, act.code)) {
            let said = fs::read(self.stage.path(&format!("out/{}.out", act.name))).unwrap_or_default();
            wrong(format!("did not end with {} ({codes:?}): {}", act.code, String::from_utf8_lossy(&said)));
        }
        let found: Vec<&Finding> = watched.findings.iter().filter(|finding| act.made(finding)).collect();
        match (&act.outcome, &found[..]) {
            (Outcome::Theft, [finding]) => act.check(finding, &mut wrong),
            (Outcome::Theft, []) => wrong("not found".to_owned()),
            (_, [_, ..]) => {
                found.iter().for_each(|finding| wrong(format!("found too often: {}", finding.brief())));
            }
            (Outcome::Innocent, []) => {
                let name = act.reader.rsplit('/').next().unwrap_or_default();
                let store = act.store.map_or("", Store::id);
                if watched.reads(store, name, "expected") == 0 {
                    wrong(format!("no expected read of {store} by {name} was seen"));
                }
            }
            (Outcome::Nothing, []) => {}
        }
    }
}

impl Act {
    /// Whether a finding is about this act.
    fn made(&self, finding: &Finding) -> bool {
        finding.detector() != "credential-sweep" && finding.mentions(&self.mark)
    }

    fn check(&self, finding: &Finding, wrong: &mut impl FnMut(String)) {
        let mut equal = |what: &str, is: &str, wanted: &str| {
            if is != wanted {
                wrong(format!("{what} is {is:?}, not {wanted:?}: {}", finding.brief()));
            }
        };
        equal("detector", finding.detector(), self.detector);
        equal("severity", finding.severity(), self.severity);
        equal("reader", finding.reader(), &self.reader);
        if let Some(store) = self.store {
            equal("store", finding.stores().first().copied().unwrap_or_default(), store.id());
        }
        if let Some(script) = &self.script_of_reader {
            equal("script", finding.script(), script);
        }
        let known_as = self.known_as.as_deref().unwrap_or(Path::new("")).display().to_string();
        equal("known as", finding.known_as(), &known_as);
        let reader = self.reader.rsplit('/').next().unwrap_or_default();
        let mut wanted = vec![reader];
        wanted.extend(self.below.iter().map(String::as_str));
        wanted.extend(["dash", "tokenhound"]);
        let lineage = finding.lineage();
        if lineage.get(..wanted.len()) != Some(&wanted) {
            wrong(format!("lineage is {lineage:?}, not {wanted:?}"));
        }
    }
}
