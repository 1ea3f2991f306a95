//! Which findings are one incident: each attack beside its innocent twin.

use super::*;

#[test]
fn forty_reads_of_one_install_are_one_and_two_installs_are_two() {
    let one: Vec<_> =
        (0..40).map(|n| read(&typed(install(5000 + n, 4100), 812), &format!("s{}", n % 7), f64::from(n))).collect();
    assert_eq!(incidents(&one), 1);
    let other = read(&typed(install(6000, 4500), 812), "npmrc", 90.0);
    assert_eq!(incidents(one.iter().chain([&other])), 2, "another install at the same prompt");
}

#[test]
fn an_install_that_starts_installs_is_one() {
    let nested = |pid: u32, inner: u32| {
        let mut all = install(pid, inner);
        all.extend(install(9999, 4100).split_off(1));
        typed(all, 812)
    };
    assert_eq!(incidents(&[read(&nested(5000, 4200), "a", 0.0), read(&nested(5001, 4300), "b", 60.0)]), 1);
}

#[test]
fn unrelated_thefts_at_one_prompt_are_two_and_one_loop_is_one() {
    let thief = |pid: u32, script: &str| {
        typed(vec![with_script(process(pid, 812, "/usr/bin/python3"), script, Writable::Yes)], 812)
    };
    let two = [read(&thief(5000, "/tmp/a.py"), "gh-hosts", 0.0), read(&thief(5001, "/tmp/b.py"), "npmrc", 60.0)];
    assert_eq!(incidents(&two), 2);
    // `for f in ...; do cp $f x; done`: the shell starts each by itself.
    let cp = |n: u32, id: &str, seconds| read(&typed(vec![process(5000 + n, 812, "/usr/bin/cp")], 812), id, seconds);
    let loop_: Vec<_> = (0..500).map(|n| cp(n, "gh-hosts", f64::from(n) * 7.0)).collect();
    assert_eq!(incidents(&loop_), 1, "the same store, again and again");
    let sweep: Vec<_> = (0..30).map(|n| cp(n, &format!("s{n}"), f64::from(n) * 0.1)).collect();
    assert_eq!(incidents(&sweep), 1, "many stores at once");
    let other = read(&typed(vec![process(5900, 912, "/usr/bin/cp")], 912), "s29", 3.0);
    assert_eq!(incidents(sweep.iter().chain([&other])), 2, "another terminal");
}

#[test]
fn a_pipeline_is_one() {
    let cat = read(&typed(vec![process(5000, 812, "/usr/bin/cat")], 812), "aws-credentials", 0.0);
    let curl = egress(&typed(vec![process(5001, 812, "/usr/bin/curl")], 812), "aws-credentials", 40.0);
    assert_eq!(incidents(&[cat, curl]), 1, "the token joins them");
}

#[test]
fn what_a_shell_reads_itself_goes_by_its_store() {
    let shell = chain(prompt(812));
    let reads = [read(&shell, "gh-hosts", 0.0), read(&shell, "gh-hosts", 600.0), read(&shell, "npmrc", 1200.0)];
    assert_eq!(incidents(&reads), 2);
}

#[test]
fn a_terminal_that_a_program_opened_belongs_to_it() {
    // `pty.spawn`: what is typed there is one doing, however far apart.
    let spawned = |pid: u32| {
        let shell = Process { session: 4200, tty: Some((136, 9)), ..process(4200, 4100, "/usr/bin/bash") };
        let reader = Process { session: 4200, tty: Some((136, 9)), ..process(pid, 4200, "/usr/bin/cat") };
        chain(vec![reader, shell, with_script(process(4100, 1, "/usr/bin/python3"), "/tmp/x.py", Writable::Yes)])
    };
    assert_eq!(incidents(&[read(&spawned(5000), "gh-hosts", 0.0), read(&spawned(5001), "npmrc", 600.0)]), 1);
}

#[test]
fn services_are_apart_and_a_job_that_comes_again_is_the_same() {
    let of = |pid, unit: &str, id: &str, seconds| read(&chain(service(pid, unit)), id, seconds);
    assert_eq!(incidents(&[of(5000, "a.service", "npmrc", 0.0), of(5100, "b.service", "npmrc", 1.0)]), 2);
    assert_eq!(incidents(&[of(5000, "cron.service", "npmrc", 0.0), of(5100, "cron.service", "npmrc", 300.0)]), 1);
    assert_eq!(incidents(&[of(5000, "cron.service", "npmrc", 0.0), of(5100, "cron.service", "gh-hosts", 300.0)]), 2);
    let systemd = |id, seconds| read(&chain(vec![init()]), id, seconds);
    assert_eq!(incidents(&[systemd("npmrc", 0.0), systemd("gh-hosts", 1.0), systemd("npmrc", 9.0)]), 2);
}

#[test]
fn an_agent_is_one_and_the_install_it_starts_another() {
    let agent = |reader: Vec<Process>| {
        let mut all = reader;
        all.push(process(4000, 812, "/usr/bin/claude"));
        typed(all, 812)
    };
    let tool = |pid, id, seconds| read(&agent(vec![process(pid, 4000, "/usr/bin/cat")]), id, seconds);
    assert_eq!(incidents(&[tool(5000, "gh-hosts", 0.0), tool(5001, "npmrc", 300.0)]), 1);
    // Seen between fork and exec: it still runs the agent's program.
    let forked = read(&agent(vec![process(5003, 4000, "/usr/bin/claude")]), "npmrc", 302.0);
    assert_eq!(incidents(&[tool(5000, "gh-hosts", 0.0), forked]), 1);
    let install = read(&agent(install(5002, 4100)), "aws-credentials", 301.0);
    assert_eq!(incidents(&[tool(5000, "gh-hosts", 0.0), install]), 2);
}

#[test]
fn steps_of_a_job_are_apart_from_each_other_and_from_the_runner() {
    let step = |pid: u32, shell: u32, id, seconds| {
        let runner = process(4000, 1, "/opt/runner/bin/Runner.Worker");
        read(
            &chain(vec![process(pid, shell, "/usr/bin/cat"), process(shell, 4000, "/usr/bin/bash"), runner]),
            id,
            seconds,
        )
    };
    assert_eq!(incidents(&[step(5000, 4100, "a", 0.0), step(5001, 4100, "b", 60.0), step(5002, 4200, "a", 90.0)]), 2);
}

#[test]
fn what_no_process_is_behind_goes_by_its_detector() {
    let lone = |detector, id, seconds| Finding {
        chain: None,
        actor: None,
        ..finding(detector, Severity::Low, &chain(prompt(812)), id, seconds)
    };
    let stale = |id, seconds| lone(DetectorId::StaleToken, id, seconds);
    assert_eq!(incidents(&[stale("a", 0.0), stale("b", 1.0), stale("c", 2.0)]), 1);
    assert_eq!(incidents(&[stale("a", 0.0), lone(DetectorId::StoreExposed, "a", 1.0)]), 2);
    let theft = copy(&typed(install(5000, 4100), 812), "a", 0.0, "/tmp/x");
    let image = Finding { fingerprint: theft.fingerprint.clone(), ..lone(DetectorId::ContainerExposure, "a", 60.0) };
    assert_eq!(incidents(&[theft.clone(), image.clone()]), 1, "a stolen token turns up");
    let other = Finding { fingerprint: Some("th1:other".to_owned()), ..image };
    assert_eq!(incidents(&[theft, other]), 2);
}
