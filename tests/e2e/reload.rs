//! Reloads: all or nothing, and nobody who did not change notices.

use std::fs;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::http::encode;
use probity_tests::support::metrics::Samples;
use probity_tests::support::{Peer, Probity, until};
use probity_tests::trials;
use rustix::process::Signal;

use crate::Folder;

pub(crate) fn trials() -> Vec<Trial> {
    trials!("reload":
        what_did_not_change_keeps_its_counters_and_its_moment,
        a_bad_file_changes_nothing,
        sighup_reloads,
        a_changed_module_applies_to_its_targets,
        a_token_file_counts_when_it_is_there_and_when_it_changes,
        a_probe_does_not_wait_for_a_file_longer_than_its_time_allows,
        the_look_at_a_file_is_taken_out_of_the_time_of_the_run,
        a_changed_file_is_found_without_being_told,
        a_file_that_is_gone_is_told_and_is_found_again,
    )
}

const INTERVAL: f64 = 2.0;

fn config(peer: &Peer, targets: std::ops::Range<usize>) -> String {
    let targets: Vec<String> = targets
        .map(|n| format!("'http://{}/{n}'", peer.address))
        .collect();
    format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - {{job_name: web, module: web, interval: {INTERVAL}s, static_configs: [{{targets: [{}]}}]}}
",
        targets.join(", ")
    )
}

/// Name, successes, and when within the interval it is probed.
fn moments(server: &Probity) -> Vec<(String, u64, f64)> {
    let mut moments: Vec<_> = server
        .targets("")
        .iter()
        .map(|target| {
            let name = target["target"].as_str().expect("a target").to_owned();
            let successes = target["results"]["success"].as_u64().expect("a number");
            let next = target["next"].as_f64().expect("a time");
            (name, successes, next.rem_euclid(INTERVAL))
        })
        .collect();
    moments.sort_by(|a, b| a.0.cmp(&b.0));
    moments
}

fn what_did_not_change_keeps_its_counters_and_its_moment() {
    let peer = Peer::status(200, Duration::ZERO);
    let folder = Folder::with(&config(&peer, 0..30));
    let server = Probity::serve(&folder.config());
    let before = until("all were probed twice", || {
        let moments = moments(&server);
        moments
            .iter()
            .all(|(_, successes, _)| *successes >= 2)
            .then_some(moments)
    });
    // Ten go, twenty stay, ten come.
    folder.write("probity.yml", &config(&peer, 10..40));
    server.reload().ok();
    let after = moments(&server);
    assert_eq!(after.len(), 30);
    let mut kept = 0;
    for (name, successes, moment) in &before {
        let Some((_, later, new)) = after.iter().find(|(other, ..)| other == name) else {
            continue;
        };
        kept += 1;
        assert!(
            later >= successes,
            "{name}: {successes} successes, then {later}"
        );
        let apart = (new - moment).abs();
        assert!(
            apart.min(INTERVAL - apart) < 0.01,
            "{name} moved from {moment} to {new}"
        );
    }
    assert_eq!(kept, 20);
    // The new ones are spread too, not started together.
    until("the new ones were probed", || {
        moments(&server)
            .iter()
            .all(|(_, n, _)| *n >= 1)
            .then_some(())
    });
    let all: Vec<f64> = moments(&server)
        .iter()
        .map(|(_, _, moment)| *moment)
        .collect();
    let early = all
        .iter()
        .filter(|moment| **moment < INTERVAL / 2.0)
        .count();
    assert!((3..=27).contains(&early), "bunched: {all:?}");
    let fleet = server.samples("/fleet");
    assert_eq!(fleet.all("probe_success", &[]).count(), 30);
    server.stop();
}

fn a_bad_file_changes_nothing() {
    let peer = Peer::status(200, Duration::ZERO);
    let folder = Folder::with(&config(&peer, 0..3));
    let server = Probity::serve(&folder.config());
    until("they were probed", || {
        moments(&server)
            .iter()
            .all(|(_, n, _)| *n >= 1)
            .then_some(())
    });
    let config_before = server.get("/config").ok().text().to_owned();

    folder.write(
        "probity.yml",
        "modules: {web: {prober: http, timeot: 5s}}\n",
    );
    let answer = server.reload();
    assert_eq!(answer.status, 500);
    for part in ["probity.yml:1:", "timeot", "timeout"] {
        assert!(
            answer.text().contains(part),
            "no {part} in {}",
            answer.text()
        );
    }
    let reloaded = |server: &Probity| {
        server
            .samples("/metrics")
            .value("blackbox_exporter_config_last_reload_successful", &[])
    };
    assert_eq!(reloaded(&server), Some(0.0));
    assert_eq!(server.get("/config").ok().text(), config_before);
    assert_eq!(moments(&server).len(), 3);
    let count = |server: &Probity| moments(server).iter().map(|(_, n, _)| n).sum::<u64>();
    let now = count(&server);
    until("probing goes on", || {
        (count(&server) >= now + 3).then_some(())
    });

    folder.write("probity.yml", &config(&peer, 0..2));
    server.reload().ok();
    assert_eq!(reloaded(&server), Some(1.0));
    assert_eq!(moments(&server).len(), 2);
    server.stop();
}

fn sighup_reloads() {
    let peer = Peer::status(200, Duration::ZERO);
    let folder = Folder::with(&config(&peer, 0..1));
    let server = Probity::serve(&folder.config());
    assert_eq!(moments(&server).len(), 1);
    folder.write("probity.yml", &config(&peer, 0..5));
    server.signal(Signal::HUP);
    until("the new targets are there", || {
        (moments(&server).len() == 5).then_some(())
    });
    // A bad one leaves a line in the log and the rest as it was.
    folder.write("probity.yml", "jobs: 3\n");
    server.signal(Signal::HUP);
    until("the mistake is told", || {
        (!server
            .log()
            .lines(&["level=ERROR", "probity.yml:1:"])
            .is_empty())
        .then_some(())
    });
    assert_eq!(moments(&server).len(), 5);
    server.stop();
}

fn a_changed_module_applies_to_its_targets() {
    let peer = Peer::status(503, Duration::ZERO);
    let text = config(&peer, 0..1).replace("interval: 2s", "interval: 200ms, failure_threshold: 1");
    let folder = Folder::with(&text);
    let server = Probity::serve(&folder.config());
    let up = |server: &Probity| server.samples("/fleet").value("probity_target_up", &[]);
    until("it is down", || (up(&server) == Some(0.0)).then_some(()));
    let accepting = "{prober: http, http: {valid_status_codes: [503]}}";
    folder.write("probity.yml", &text.replace("{prober: http}", accepting));
    server.reload().ok();
    until("it is up", || (up(&server) == Some(1.0)).then_some(()));
    server.stop();
}

/// 200 for the token `two`, else 401.
fn guarded() -> Peer {
    Peer::new(|mut conn| {
        let request = conn.request();
        let request = String::from_utf8_lossy(&request);
        let right = request.contains("\r\nAuthorization: Bearer two\r\n");
        conn.answer(if right { 200 } else { 401 });
    })
}

fn a_token_file_counts_when_it_is_there_and_when_it_changes() {
    let peer = guarded();
    let folder = Folder::with("");
    let token = folder.path().join("token");
    let text = config(&peer, 0..1).replace(
        "{prober: http}",
        &format!(
            "{{prober: http, http: {{bearer_token_file: {}}}}}",
            token.display()
        ),
    );
    folder.write("probity.yml", &text);
    let server = Probity::serve(&folder.config());
    assert!(
        !server
            .log()
            .lines(&["level=WARN", "probity.yml:1:", "bearer_token_file"])
            .is_empty()
    );
    let path = format!("/probe?module=web&target={}", encode(&peer.url()));
    let probe = || server.get(&path);
    // Not the target's failure, on either way.
    let refused = probe();
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("local_file"), "{}", refused.text());
    until("the job's target is unknown", || {
        let unknown = server.targets("")[0]["results"]["unknown"].as_u64();
        (unknown > Some(0)).then_some(())
    });
    folder.write("token", "one\n");
    assert!(
        probe()
            .ok()
            .text()
            .contains("\nprobe_http_status_code 401\n")
    );
    folder.write("token", "two\n");
    assert!(probe().ok().text().contains("\nprobe_success 1\n"));
    until("the job's target is well", || {
        let success = server.targets("")[0]["results"]["success"].as_u64();
        (success > Some(0)).then_some(())
    });
    server.stop();
}

/// A file system that does not answer, played by a pipe.
fn a_probe_does_not_wait_for_a_file_longer_than_its_time_allows() {
    let peer = guarded();
    let folder = Folder::with("");
    let token = folder.path().join("token");
    folder.write(
        "probity.yml",
        &format!(
            "modules: {{web: {{prober: http, http: {{bearer_token_file: {}}}}}}}\n",
            token.display()
        ),
    );
    folder.write("token", "one\n");
    let server = Probity::serve(&folder.config());
    let path = format!("/probe?module=web&target={}", encode(&peer.url()));
    let status = |code| {
        let timeout = [("X-Prometheus-Scrape-Timeout-Seconds", "3")];
        let answer = server.request("GET", &path, &timeout).ok();
        let line = format!("\nprobe_http_status_code {code}\n");
        answer.text().contains(&line)
    };
    assert!(status(401));
    fs::remove_file(&token).expect("a file");
    let made = Command::new("mkfifo").arg(&token).status();
    assert!(made.expect("mkfifo").success());
    assert!(status(401), "what is in force is probed with");
    assert!(status(401), "also while the file is still being read");
    // Now it answers.
    let pipe = folder.path().join("pipe");
    fs::rename(&token, &pipe).expect("a pipe");
    folder.write("token", "two\n");
    fs::write(&pipe, "three\n").expect("somebody reads");
    until("what the file holds counts", || status(200).then_some(()));
    server.stop();
}

/// The look at its files is part of a probe: Prometheus does not wait longer for
/// it. What is said to be its timeout is all of it.
fn the_look_at_a_file_is_taken_out_of_the_time_of_the_run() {
    let silent = Peer::new(|mut conn| conn.wait_for_close());
    let folder = Folder::with("");
    let token = folder.path().join("token");
    let module = format!(
        "modules: {{web: {{prober: http, timeout: 500ms, http: {{bearer_token_file: {}}}}}}}\n",
        token.display()
    );
    folder.write("probity.yml", &module);
    folder.write("token", "one\n");
    let server = Probity::serve(&folder.config());
    let path = format!("/probe?module=web&target={}", encode(&silent.url()));
    // How long the run took; `None` if the machine was too busy to tell.
    let took = || {
        let answer = server.get(&path);
        let samples = (answer.status == 200).then(|| Samples::parse(answer.text()))?;
        assert_eq!(samples.value("probe_timeout_seconds", &[]), Some(0.5));
        samples.value("probe_duration_seconds", &[])
    };
    until("a run has all of the time", || {
        took().filter(|took| *took >= 0.5)
    });
    fs::remove_file(&token).expect("a file");
    let made = Command::new("mkfifo").arg(&token).status();
    assert!(made.expect("mkfifo").success());
    // A tenth is gone before it begins. One with all of the time ends no earlier
    // than that is over.
    until("a run has less", || took().filter(|took| *took < 0.5));
    fs::write(&token, "two\n").expect("somebody reads");
    server.stop();
}

fn a_changed_file_is_found_without_being_told() {
    let peer = Peer::status(200, Duration::ZERO);
    let folder = Folder::with(&config(&peer, 0..1));
    let flags = [
        "--config.enable-auto-reload",
        "--config.auto-reload-interval=1",
    ];
    let server = Probity::serve_with(&folder.config(), &flags);
    folder.write("probity.yml", "jobs: 3\n");
    until("the mistake is told", || {
        let lines = server
            .log()
            .lines(&["level=ERROR", "error parsing config file: "]);
        (!lines.is_empty()).then_some(())
    });
    let successful = |server: &Probity| {
        let own = server.samples("/metrics");
        own.value("blackbox_exporter_config_last_reload_successful", &[])
    };
    assert_eq!(successful(&server), Some(0.0));
    // Another file with the same mistake.
    folder.write("probity.yml", "jobs: 3\n\n");
    until("the mistake is told again", || {
        let lines = server
            .log()
            .lines(&["level=ERROR", "expected a list of jobs"]);
        (lines.len() >= 2).then_some(())
    });
    // Back to what is in force.
    folder.write("probity.yml", &config(&peer, 0..1));
    until("all is well again", || {
        (successful(&server) == Some(1.0)).then_some(())
    });
    let mended = || server.log().lines(&["Configuration file is good again"]);
    until("that is told", || (!mended().is_empty()).then_some(()));
    folder.write("probity.yml", &config(&peer, 0..3));
    until("the new targets are there", || {
        (moments(&server).len() == 3).then_some(())
    });
    // Nothing new is a success too.
    server.reload().ok();
    until("that is in the log", || {
        let lines = server.log().lines(&["No changes detected."]);
        (!lines.is_empty()).then_some(())
    });
    // Once, however often the file was looked at since.
    assert_eq!(mended().len(), 1);
    server.stop();
}

/// Upstream's own cases of a checksum: appended to, replaced, emptied, restored,
/// missing, and a directory.
fn a_file_that_is_gone_is_told_and_is_found_again() {
    let peer = Peer::status(200, Duration::ZERO);
    let folder = Folder::with(&config(&peer, 0..1));
    let flags = [
        "--config.enable-auto-reload",
        "--config.auto-reload-interval=1",
    ];
    let server = Probity::serve_with(&folder.config(), &flags);
    let path = folder.config();
    let successful = || {
        let own = server.samples("/metrics");
        own.value("blackbox_exporter_config_last_reload_successful", &[]) == Some(1.0)
    };
    let targets = |count: usize| {
        until("the targets are those of the file", || {
            (moments(&server).len() == count && successful()).then_some(())
        });
    };
    let told = |what: &str| {
        until(what, || {
            let lines = server.log().lines(&["level=ERROR", what]);
            (!lines.is_empty() && !successful()).then_some(())
        });
        // What was in force stays so.
        assert_eq!(moments(&server).len(), 1);
    };
    let good = config(&peer, 0..1);

    folder.write("probity.yml", &format!("{good}{}", job("more", &peer)));
    targets(2);
    folder.write("probity.yml", &good);
    targets(1);

    folder.write("probity.yml", "");
    told("EOF: the file is empty");
    folder.write("probity.yml", &good);
    targets(1);

    fs::remove_file(&path).expect("a file");
    told("no such file or directory");
    folder.write("probity.yml", &good);
    targets(1);

    fs::remove_file(&path).expect("a file");
    fs::create_dir(&path).expect("a directory");
    told("is a directory");
    fs::remove_dir(&path).expect("a directory");
    folder.write("probity.yml", &good);
    targets(1);
    server.stop();
}

/// Another job, of one target.
fn job(name: &str, peer: &Peer) -> String {
    format!(
        "  - {{job_name: {name}, module: web, interval: {INTERVAL}s, static_configs: [{{targets: ['http://{}/{name}']}}]}}\n",
        peer.address
    )
}
