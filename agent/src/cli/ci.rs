//! What `watch` and `run --ci` leave behind when all is over: summary, SARIF, and what the CI system wants to be told.

use std::{
    fs::{self, File},
    io::{IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use super::{CliError, session};
use crate::{
    catalogue::Catalogue,
    finding::{annotation, ocsf, sarif, severity::Severity, text, touched::Touched, visible},
    lineage::ci::{self, Protocol},
    pipeline::Report,
};

/// Whether to work as in a CI job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum When {
    /// If the variables here say that this is one.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// Where the reports go.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Reports {
    /// Write what was touched to this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub(super) summary: Option<PathBuf>,
    /// Write the findings to this file, as SARIF 2.1.0.
    #[arg(long, value_name = "FILE")]
    pub(super) sarif: Option<PathBuf>,
    /// Write the annotations of a CI job to this file instead of standard error.
    #[arg(long, value_name = "FILE")]
    pub(super) annotations: Option<PathBuf>,
}

/// From which level on findings make a command fail; `None` for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FailOn(pub(super) Option<Severity>);

impl FailOn {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// The words that it could be.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|level| Self(Some(level)))
            .map_err(|_| "expected one of: none, informational, low, medium, high, critical".to_owned())
    }

    /// Whether what was found is bad enough.
    pub(super) fn is_reached(self, touched: &Touched) -> bool {
        self.0.is_some_and(|level| touched.reached(level))
    }
}

/// The files, opened before anything starts: a path that cannot be written is a mistake of the caller.
pub(super) struct Closing {
    summary: Option<Output>,
    sarif: Option<Output>,
    annotations: Option<Output>,
    /// The file that the CI system has for the step.
    step: Option<Output>,
    /// How our own variables say that this is a job.
    protocol: Option<Protocol>,
    job: bool,
    when: When,
    catalogue: Arc<Catalogue>,
}

struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    fn create(path: &Path) -> Result<Self, CliError> {
        Ok(Self { path: path.to_owned(), file: create(path)? })
    }

    fn write(&mut self, text: &str) -> Result<(), CliError> {
        self.file
            .write_all(text.as_bytes())
            .map_err(|error| CliError::failure(format!("write {}: {error}", self.path.display())))
    }
}

impl Closing {
    /// Opens what is asked for, and what the CI system has where it is a job.
    ///
    /// # Errors
    ///
    /// When a file cannot be made.
    pub(super) fn open(reports: &Reports, when: When, catalogue: Arc<Catalogue>) -> Result<Self, CliError> {
        let actors = catalogue.actors();
        let system = match when {
            When::Never => None,
            When::Auto | When::Always => ci::detect(actors, |name| std::env::var_os(name)).map(|(_, system)| system),
        };
        let open = |path: &Option<PathBuf>| path.as_deref().map(Output::create).transpose();
        let step = system.and_then(|system| std::env::var_os(system.summary.as_deref()?)).map(PathBuf::from);
        Ok(Self {
            summary: open(&reports.summary)?,
            sarif: open(&reports.sarif)?,
            annotations: open(&reports.annotations)?,
            step: step.and_then(append),
            protocol: system.and_then(|system| system.annotations),
            job: system.is_some() || when == When::Always,
            when,
            catalogue: Arc::clone(&catalogue),
        })
    }

    /// Leaves alone the file that the CI system has for this step, which will be over when all of this ends.
    pub(super) fn of_later_step(mut self) -> Self {
        self.step = None;
        self
    }

    /// The protocol of the job that readers ran in: our own variables may have been taken from us (sudo).
    fn protocol_of(&self, touched: &Touched) -> Option<Protocol> {
        let job = touched.job().filter(|_| self.when != When::Never)?;
        self.catalogue.actors().rules().iter().find(|rule| rule.id == job.system)?.ci.as_ref()?.annotations
    }

    /// Writes all of it.
    ///
    /// # Errors
    ///
    /// When a file takes no more.
    pub(super) fn close(mut self, touched: &Touched) -> Result<(), CliError> {
        let markdown = touched.markdown();
        for output in [&mut self.summary, &mut self.step].into_iter().flatten() {
            output.write(&markdown)?;
        }
        if let Some(output) = &mut self.sarif {
            output.write(&sarif::document(touched.findings()))?;
        }
        if self.job || (self.when == When::Auto && touched.job().is_some()) {
            tell(&touched.table());
        }
        let Some(protocol) = self.protocol.or_else(|| self.protocol_of(touched)) else { return Ok(()) };
        let mut lines = annotation::lines(protocol, touched.findings());
        if let Some(path) = self.summary.and_then(|summary| fs::canonicalize(summary.path).ok()) {
            lines.push_str(&annotation::upload_summary(protocol, &path));
        }
        match &mut self.annotations {
            Some(output) => output.write(&lines)?,
            None => tell(&lines),
        }
        Ok(())
    }
}

/// Takes in reports until the pipeline ends; each finding also becomes a line of `file`.
///
/// # Errors
///
/// When the file takes no more.
pub(super) fn collect(reports: &mpsc::Receiver<Report>, mut file: Option<&mut File>) -> Result<Touched, CliError> {
    let mut touched = Touched::default();
    let host = session::host();
    for report in reports {
        match report {
            Report::Finding(finding) => {
                if let Some(file) = &mut file {
                    writeln!(file, "{}", ocsf::line(&finding, &host))
                        .map_err(|error| CliError::failure(format!("write the findings file: {error}")))?;
                }
                touched.finding(*finding);
            }
            Report::Read { store, verdict, reader, ci } => touched.read(store, verdict, reader, ci.as_deref()),
        }
    }
    Ok(touched)
}

/// The findings as text, and how many there were, on standard error.
pub(super) fn report(touched: &Touched) {
    let colour = std::io::stderr().is_terminal();
    let mut out = String::new();
    for finding in touched.findings() {
        out.push_str(&text::render(finding, text::Style { colour }));
        out.push('\n');
    }
    out.push_str(&format!("tokenhound: {}\n", touched.line()));
    tell(&out);
}

/// Standard error may be closed; the exit code still tells.
fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Makes a file, only for its owner; what was in it goes.
///
/// # Errors
///
/// When it cannot be made.
pub(super) fn create(path: &Path) -> Result<File, CliError> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| CliError::usage(format!("create {}: {error}", path.display())))
}

/// The file that a variable names, to be added to. We may be root and the variable somebody else's: never through a link,
/// and nothing but a file that is there.
fn append(path: PathBuf) -> Option<Output> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = fs::OpenOptions::new().append(true).custom_flags(flags.bits().cast_signed()).open(&path);
    match opened.and_then(|file| Ok((file.metadata()?.is_file(), file))) {
        Ok((true, file)) => Some(Output { path, file }),
        Ok((false, _)) => {
            tell(&visible::inert(&format!("tokenhound: no step summary: {} is no file\n", visible::path(&path))));
            None
        }
        Err(error) => {
            tell(&visible::inert(&format!("tokenhound: no step summary: open {}: {error}\n", visible::path(&path))));
            None
        }
    }
}
