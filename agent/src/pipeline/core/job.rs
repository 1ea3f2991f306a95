//! The CI job that an access is part of, and the one that the agent itself was started in.
//!
//! Where lineage shows the runner, all that descends from it belongs to the job, and so does a look into the runner or
//! into one of those. Where it does not (the steps run in containers), what runs in our own container does, and what says
//! by its variables that it is of the same job. A variable never takes a process out of the job that lineage shows.

use tokenhound_common::process::ProcessKey;

use super::{Core, World};
use crate::{
    catalogue::Catalogue,
    detect::access::{Access, Target},
    ingest::{observation::Observation, texts::Texts},
    lineage::{
        actor::{Class, classify},
        ci::Ci,
        model::Container,
    },
};

/// Our own job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Job {
    /// What is known of it; `None` where nothing tells that we are in one.
    ci: Option<Box<Ci>>,
    /// Our own container.
    container: Option<Container>,
}

impl Job {
    /// Whether an access is one of it. All are where we are in none.
    fn owns(&self, access: &Access, descends: impl Fn(ProcessKey, ProcessKey) -> bool) -> bool {
        let Some(ci) = &self.ci else { return true };
        let Some(reader) = access.chain.processes.first() else { return false };
        if let Some(runner) = ci.runner {
            let looked_into = match &access.target {
                Target::Process(_, Some(process), _) => Some(process.key),
                _ => None,
            };
            return [Some(reader.key), looked_into].into_iter().flatten().any(|key| descends(key, runner));
        }
        let contained = self.container.is_some() && reader.container == self.container;
        contained || access.actor.ci.as_ref().is_some_and(|other| ci.same_job(other))
    }
}

impl Core {
    /// Whether an access is one of our own job's. All are where we are in none.
    pub(super) fn is_of_job(&mut self, access: &Access, world: &mut dyn World) -> bool {
        let job = match self.job.take() {
            Some(job) => job,
            None => self.own_job(access, world),
        };
        let owns = job.owns(access, |key, runner| self.processes.descends(key, runner));
        self.job = Some(job);
        owns
    }

    /// A record holds only so much of an environment, and a runner puts its own variables last: the process that it has
    /// just started is asked for all that it has. By the time of a read it may be gone.
    pub(super) fn complete(&self, observation: &mut Observation, world: &mut dyn World) {
        let Observation::Exec(exec) = observation else { return };
        if !exec.environment_truncated || !self.is_runner(exec.task.parent) {
            return;
        }
        let Some(found) = world.resolve(exec.task.key) else { return };
        let texts = &exec.texts;
        let variables = found.environment.iter().map(|(name, value)| (name.as_str(), value.as_os_str()));
        exec.texts = Texts::new(texts.path(), texts.cwd(), texts.script(), texts.args(), variables);
    }

    fn is_runner(&self, key: ProcessKey) -> bool {
        let (actors, interpreters) = (self.catalogue.actors(), self.catalogue.interpreters());
        let name = self.processes.program(key).and_then(|path| path.file_name()?.to_str());
        if !name.is_some_and(|name| actors.may_run_jobs(name, interpreters)) {
            return false;
        }
        let process = self.processes.get(key);
        let rule = process.as_ref().and_then(|process| actors.of(process, None, interpreters));
        rule.is_some_and(|(rule, _)| rule.class == Class::CiJob)
    }

    fn own_job(&mut self, access: &Access, world: &mut dyn World) -> Job {
        let own = self.processes.own();
        let chain = own.and_then(|own| self.processes.chain(own, access.time, world));
        let Some(chain) = chain else { return Job::default() };
        let actor = classify(&chain, self.catalogue.actors(), self.catalogue.interpreters(), None);
        Job { ci: actor.ci, container: chain.processes.first().and_then(|process| process.container.clone()) }
    }
}

/// What to call the CI runner that is looked into, if it is one.
pub(super) fn runner(catalogue: &Catalogue, target: &Target) -> Option<String> {
    let Target::Process(_, Some(process), _) = target else { return None };
    let (rule, _) = catalogue.actors().of(process, None, catalogue.interpreters())?;
    (rule.class == Class::CiJob).then(|| rule.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detect::fixtures::{access_at, process, read_at},
        ingest::observation::Inspection,
        lineage::{actor::tests::lineage, model::Process},
    };

    fn read(text: &str, container: &str) -> Access {
        let mut chain = lineage(text);
        if !container.is_empty() {
            chain.processes[0].container = Some(Container::new(container.to_owned(), "docker"));
        }
        read_at(0.0, chain, "/home/ann/.netrc")
    }

    fn job_of(access: &Access) -> Job {
        Job { ci: access.actor.ci.clone(), container: access.chain.processes[0].container.clone() }
    }

    #[test]
    fn what_descends_from_the_runner_or_looks_into_it_is_of_the_job() {
        let own = job_of(&read("/usr/bin/tokenhound < /usr/bin/bash < RUNNER", ""));
        let runner = own.ci.as_ref().unwrap().runner.unwrap();
        let (ours, others) = (ProcessKey::new(10, 10), ProcessKey::new(20, 20));
        let descends = |key: ProcessKey, ancestor: ProcessKey| ancestor == runner && (key == ours || key == runner);
        let by = |key: ProcessKey, into: Option<ProcessKey>| {
            // Whatever it says of itself.
            let mut access = read("/usr/bin/cat $GITLAB_CI=true $CI_PIPELINE_ID=9", "");
            access.chain.processes[0].key = key;
            if let Some(key) = into {
                let target = Process { key, ..process(1, 0, "/usr/bin/node") };
                access = access_at(0.0, access.chain, Target::Process(Inspection::Mem, Some(Box::new(target)), None));
            }
            own.owns(&access, descends)
        };
        assert!(by(ours, None) && by(ours, Some(others)) && by(others, Some(ours)) && by(others, Some(runner)));
        assert!(!by(others, None) && !by(others, Some(others)));
    }

    #[test]
    fn without_a_runner_it_is_the_container_or_what_variables_say() {
        let build = "$GITHUB_ACTIONS=true $GITHUB_RUN_ID=1 $GITHUB_JOB=build";
        let other = "$GITHUB_ACTIONS=true $GITHUB_RUN_ID=1 $GITHUB_JOB=lint";
        let own = job_of(&read(&format!("/usr/bin/tokenhound {build}"), "abc"));
        let owns = |variables: &str, container: &str| {
            own.owns(&read(&format!("/usr/bin/cat {variables}"), container), |_, _| panic!("there is no runner"))
        };
        assert!(owns(build, "") && owns(build, "def"));
        // Nothing that it says takes it out of our container.
        assert!(owns(other, "abc") && owns("$X=y", "abc"));
        assert!(!owns(other, "") && !owns(other, "def") && !owns("$X=y", ""));
    }

    #[test]
    fn all_is_told_where_we_are_in_no_job() {
        assert!(Job::default().owns(&read("/usr/bin/cat", ""), |_, _| false));
    }
}
