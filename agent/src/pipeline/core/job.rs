//! The CI job that the agent itself was started in: what belongs to it, and what its runner is.
//!
//! Where lineage shows the runner, all that descends from it belongs to the job, and so does a look into the runner or
//! into one of those. Where it does not (the steps run in containers), what runs in our own container does, and what says
//! by its variables that it is of the same job. A variable never takes a process out of the job that lineage shows.

use super::{Core, World};
use crate::{
    catalogue::Catalogue,
    detect::access::{Access, Target},
    lineage::{
        actor::{Class, classify},
        ci::Ci,
        model::Container,
    },
};

/// The job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Job {
    /// What is known of it; `None` where nothing tells that we are in one.
    ci: Option<Box<Ci>>,
    /// Our own container.
    container: Option<Container>,
}

impl Core {
    /// Whether an access is one of our own job's. All are where we are in none.
    pub(super) fn is_of_job(&mut self, access: &Access, world: &mut dyn World) -> bool {
        let job = match &self.job {
            Some(job) => job.clone(),
            None => {
                let job = self.own_job(access, world);
                self.job.insert(job).clone()
            }
        };
        let Some(ci) = &job.ci else { return true };
        let Some(reader) = access.chain.processes.first() else { return false };
        if let Some(runner) = ci.runner {
            let looked_into = match &access.target {
                Target::Process(_, Some(process), _) => Some(process.key),
                _ => None,
            };
            return [Some(reader.key), looked_into]
                .into_iter()
                .flatten()
                .any(|key| self.processes.descends(key, runner));
        }
        let contained = job.container.is_some() && reader.container == job.container;
        contained || access.actor.ci.as_ref().is_some_and(|other| ci.same_job(other))
    }

    fn own_job(&mut self, access: &Access, world: &mut dyn World) -> Job {
        let own = self.processes.own();
        let chain = own.and_then(|own| self.processes.chain(own, access.time, world));
        let Some(chain) = chain else { return Job::default() };
        let actor = classify(&chain, self.catalogue.actors(), self.catalogue.interpreters(), None);
        let container = chain.processes.first().and_then(|process| process.container.clone());
        Job { ci: actor.ci, container }
    }
}

/// What to call the CI runner that is looked into, if it is one.
pub(super) fn runner(catalogue: &Catalogue, target: &Target) -> Option<String> {
    let Target::Process(_, Some(process), _) = target else { return None };
    let (rule, _) = catalogue.actors().of(process, None, catalogue.interpreters())?;
    (rule.class == Class::CiJob).then(|| rule.name.clone())
}
