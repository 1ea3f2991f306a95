use super::*;
use crate::{
    catalogue::tests::shipped_catalogue,
    lineage::actor::tests::{actor, lineage},
};

fn job(text: &str) -> Option<Ci> {
    actor(&lineage(text)).ci.map(|ci| *ci)
}

fn told(text: &str) -> String {
    let Some(ci) = job(text) else { return "none".to_owned() };
    let facts: Vec<String> = ci.facts.iter().map(|(fact, value)| format!("{}={value}", fact.name())).collect();
    format!("{} {} {}", ci.system, ci.proof.name(), facts.join(" "))
}

#[test]
fn every_system_and_what_its_variables_tell() {
    for (variables, wanted) in [
        (
            "$GITHUB_ACTIONS=true $GITHUB_REPOSITORY=o/r $GITHUB_WORKFLOW=CI $GITHUB_JOB=build $GITHUB_ACTION=__run_2 \
             $GITHUB_RUN_ID=77 $GITHUB_SERVER_URL=https://github.com",
            "github-actions marker repository=o/r workflow=CI job=build step=__run_2 run=77 \
             url=https://github.com/o/r/actions/runs/77",
        ),
        ("$ACT=true $GITHUB_JOB=build", "act marker job=build"),
        (
            "$GITLAB_CI=true $CI_PROJECT_PATH=g/p $CI_JOB_NAME=test $CI_PIPELINE_ID=9 $CI_JOB_URL=https://gitlab.invalid/g/p/-/jobs/5",
            "gitlab-runner marker repository=g/p job=test run=9 url=https://gitlab.invalid/g/p/-/jobs/5",
        ),
        (
            "$JENKINS_URL=http://j.invalid/ $JOB_NAME=folder/app $STAGE_NAME=Deploy $BUILD_TAG=jenkins-app-3 \
             $BUILD_URL=http://j.invalid/job/app/3/",
            "jenkins marker job=folder/app step=Deploy run=jenkins-app-3 url=http://j.invalid/job/app/3/",
        ),
        (
            "$BUILDKITE=true $BUILDKITE_REPO=git@github.com:o/r.git $BUILDKITE_PIPELINE_SLUG=app \
             $BUILDKITE_JOB_ID=018f-job $BUILDKITE_STEP_KEY=test $BUILDKITE_BUILD_ID=018f-build \
             $BUILDKITE_BUILD_URL=https://buildkite.com/o/app/builds/3",
            "buildkite marker repository=git@github.com:o/r.git workflow=app job=018f-job step=test run=018f-build \
             url=https://buildkite.com/o/app/builds/3#018f-job",
        ),
        (
            "$CIRCLECI=true $CIRCLE_PROJECT_USERNAME=o $CIRCLE_PROJECT_REPONAME=r $CIRCLE_JOB=build $CIRCLE_WORKFLOW_ID=w-1",
            "circleci marker repository=o/r job=build run=w-1",
        ),
        (
            "$TF_BUILD=True $BUILD_REPOSITORY_NAME=o/r $BUILD_DEFINITIONNAME=app $AGENT_JOBNAME=Linux \
             $SYSTEM_TASKDISPLAYNAME=CmdLine $BUILD_BUILDID=12 $SYSTEM_COLLECTIONURI=https://dev.azure.com/org/ \
             $SYSTEM_TEAMPROJECT=proj",
            "azure-pipelines marker repository=o/r workflow=app job=Linux step=CmdLine run=12 \
             url=https://dev.azure.com/org/proj/_build/results?buildId=12",
        ),
        (
            "$DRONE=true $DRONE_REPO=o/r $DRONE_STAGE_NAME=default $DRONE_STEP_NAME=test $DRONE_BUILD_NUMBER=4",
            "drone marker repository=o/r job=default step=test run=4",
        ),
        (
            "$CI=woodpecker $CI_REPO=o/r $CI_WORKFLOW_NAME=test $CI_STEP_NAME=unit $CI_PIPELINE_NUMBER=6",
            "woodpecker marker repository=o/r job=test step=unit run=6",
        ),
        (
            "$TEAMCITY_VERSION=2025.1 $TEAMCITY_PROJECT_NAME=App $TEAMCITY_BUILDCONF_NAME=Build $BUILD_NUMBER=8",
            "teamcity marker workflow=App job=Build run=8",
        ),
        (
            "$BITBUCKET_PIPELINE_UUID={p-1} $BITBUCKET_REPO_FULL_NAME=o/r $BITBUCKET_STEP_UUID={s-1} $BITBUCKET_BUILD_NUMBER=5",
            "bitbucket marker repository=o/r step={s-1} run=5",
        ),
        (
            "$TRAVIS=true $TRAVIS_REPO_SLUG=o/r $TRAVIS_JOB_NAME=linux $TRAVIS_BUILD_ID=10",
            "travis marker repository=o/r job=linux run=10",
        ),
        ("$CI=true $JOB_NAME=app $BUILD_NUMBER=3", "none"),
    ] {
        assert_eq!(told(&format!("/usr/bin/cat {variables}")), wanted);
    }
}

#[test]
fn what_the_runner_started_tells_the_step_and_nothing_below_it() {
    let honest = "/usr/bin/cat < /usr/bin/bash $GITHUB_ACTION=test $GITHUB_JOB=build < RUNNER";
    assert_eq!(told(honest), "github-actions place job=build step=test");
    let liar = "/usr/bin/cat $GITHUB_ACTION=innocent $GITHUB_RUN_ID=1 < /usr/bin/bash $GITHUB_ACTION=test < RUNNER";
    assert_eq!(told(liar), "github-actions place step=test run=1");
    // What the runner itself was started with is of no job.
    let runner = "/usr/bin/cat < /opt/runner/bin/Runner.Worker $GITHUB_ACTION=outer";
    assert_eq!(told(runner), "github-actions place ");
    // Another system's variable does not move it out of the one that lineage shows.
    let mover = "/usr/bin/cat $GITLAB_CI=true $CI_JOB_NAME=x < /usr/bin/bash $GITHUB_ACTION=test < RUNNER";
    assert_eq!(told(mover), "github-actions place step=test");
    // An agent that a job started works in the job.
    assert_eq!(told("/usr/bin/cat < CLAUDE $GITHUB_ACTION=ai < RUNNER"), "github-actions place step=ai");
    assert_eq!(told("/usr/bin/cat < SSH"), "none");
}

#[test]
fn facts_are_clean_and_short() {
    let token = format!("ghp_{}", "a1B2c3D4e5F6".repeat(3));
    let text = format!("/usr/bin/cat $GITHUB_ACTION=with-{token} $GITHUB_JOB={} < RUNNER", "j".repeat(500));
    let ci = job(&text).unwrap();
    assert!(!ci.fact(Fact::Step).unwrap().contains(&token[..12]), "{ci}");
    assert_eq!(ci.fact(Fact::Job).unwrap().len(), crate::lineage::actor::DETAIL);
}

#[test]
fn one_job_is_one_run_of_one_name() {
    let other = |text: &str| job(&format!("/usr/bin/cat {text}")).unwrap();
    let build = other("$GITLAB_CI=true $CI_PIPELINE_ID=1 $CI_JOB_NAME=build");
    assert!(build.same_job(&build.clone()));
    assert!(!build.same_job(&other("$GITLAB_CI=true $CI_PIPELINE_ID=2 $CI_JOB_NAME=build")));
    assert!(!build.same_job(&other("$GITLAB_CI=true $CI_PIPELINE_ID=1 $CI_JOB_NAME=test")));
    let bare = other("$GITLAB_CI=true");
    assert!(!bare.same_job(&bare.clone()), "nothing tells");
}

#[test]
fn our_own_variables_tell_where_a_summary_goes() {
    let actors = shipped_catalogue().actors();
    let with = |set: &'static [(&str, &str)]| {
        detect(actors, |name| set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()))
    };
    let (id, system) = with(&[("GITHUB_ACTIONS", "true")]).unwrap();
    assert_eq!((id, system.annotations), ("github-actions", Some(Protocol::Github)));
    assert_eq!(system.summary.as_deref(), Some("GITHUB_STEP_SUMMARY"));
    assert_eq!(with(&[("TF_BUILD", "True")]).unwrap().1.annotations, Some(Protocol::Azure));
    assert_eq!(with(&[("TEAMCITY_VERSION", "2025.1")]).unwrap().1.annotations, Some(Protocol::TeamCity));
    assert_eq!(with(&[("GITLAB_CI", "true")]).unwrap().1.annotations, None);
    assert!(with(&[("GITHUB_ACTIONS", "false"), ("CI", "true")]).is_none());
    assert!(with(&[]).is_none());
}

#[test]
fn templates() {
    for bad in ["", "{", "}", "{}", "a}b", "{a{b}", "{A}/}"] {
        assert_eq!(Template::parse(bad), None, "{bad}");
    }
    let names = |text: &str| Template::parse(text).unwrap().variables().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names("A"), ["A"]);
    assert_eq!(names("{A}/b/{C}"), ["A", "C"]);
}
