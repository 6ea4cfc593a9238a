//! file_sd: targets come and go with files, and a file that stops parsing
//! takes nothing with it.

use std::fs;
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::probity::run;
use probity_tests::support::{Peer, Probity, until};
use probity_tests::trials;

use crate::Folder;

pub(crate) fn trials() -> Vec<Trial> {
    trials!("discovery":
        targets_come_and_go_with_files,
        a_file_that_stops_parsing_keeps_its_last_good_content,
        a_reload_keeps_the_last_good_content_too,
        a_folder_that_cannot_be_listed_takes_nothing_with_it,
        relative_paths_begin_at_the_configuration_file,
        a_file_that_was_never_good_says_so_and_is_counted,
        a_target_that_cannot_be_probed_takes_nothing_with_it,
        config_check_reads_discovery_files_too,
    )
}

/// A server that discovers in `targets/` beside its configuration, and a peer
/// to discover.
fn start() -> (Folder, Peer, Probity) {
    let (folder, peer) = (Folder::new(), Peer::status(200, Duration::ZERO));
    fs::create_dir(folder.path().join("targets")).expect("a folder");
    let files = folder.path().join("targets");
    folder.write("probity.yml", &config(&files.display().to_string()));
    let server = Probity::serve(&folder.config());
    (folder, peer, server)
}

/// The refresh interval is so long that only a noticed change can count.
fn config(directory: &str) -> String {
    format!(
        "\
modules: {{web: {{prober: http}}}}
jobs:
  - job_name: found
    module: web
    interval: 200ms
    file_sd_configs: [{{files: ['{directory}/*.json', '{directory}/*.yml'], refresh_interval: 1h}}]
"
    )
}

fn instances(server: &Probity) -> Vec<String> {
    let fleet = server.samples("/fleet");
    fleet
        .values_of("instance")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn becomes(server: &Probity, expected: &[&str]) {
    until(&format!("the fleet is {expected:?}"), || {
        (instances(server) == expected).then_some(())
    });
}

fn json(peer: &Peer, instances: &[&str]) -> String {
    let group = |instance: &&str| {
        let url = format!("http://{}/{instance}", peer.address);
        serde_json::json!({"targets": [url], "labels": {"instance": instance, "zone": "z"}})
    };
    serde_json::Value::from_iter(instances.iter().map(group)).to_string()
}

fn targets_come_and_go_with_files() {
    let (folder, peer, server) = start();
    assert_eq!(instances(&server), Vec::<String>::new());
    folder.write("targets/a.json", &json(&peer, &["one", "two"]));
    becomes(&server, &["one", "two"]);
    let zones = server.samples("/fleet");
    assert_eq!(zones.values_of("zone"), ["z"]);
    folder.write(
        "targets/b.yml",
        &format!(
            "- targets: ['http://{}/']\n  labels: {{instance: three}}\n",
            peer.address
        ),
    );
    becomes(&server, &["one", "three", "two"]);
    let before = server.samples("/fleet").value(
        "probity_results_total",
        &[("instance", "two"), ("result", "success")],
    );
    folder.write("targets/a.json", &json(&peer, &["two"]));
    becomes(&server, &["three", "two"]);
    let after = server.samples("/fleet").value(
        "probity_results_total",
        &[("instance", "two"), ("result", "success")],
    );
    assert!(after >= before, "{after:?} after {before:?}");
    fs::remove_file(folder.path().join("targets/b.yml")).expect("a file");
    becomes(&server, &["two"]);
    // A file that is written in place and in pieces.
    fs::write(folder.path().join("targets/c.json"), json(&peer, &["four"])).expect("a file");
    becomes(&server, &["four", "two"]);
    assert_eq!(server.targets("").len(), 2);
    server.stop();
}

fn a_file_that_stops_parsing_keeps_its_last_good_content() {
    let (folder, peer, server) = start();
    folder.write("targets/a.json", &json(&peer, &["one"]));
    folder.write("targets/b.json", &json(&peer, &["two"]));
    becomes(&server, &["one", "two"]);
    for (content, told) in [
        ("[{\"targets\": [", "a.json:1:"),
        ("[{\"targetz\": []}]", "targetz"),
    ] {
        folder.write("targets/a.json", content);
        until(&format!("{told} is told"), || {
            let lines = server.log().lines(&["level=ERROR", "a.json", told]);
            (!lines.is_empty()).then_some(())
        });
        assert_eq!(instances(&server), ["one", "two"]);
    }
    // Others are not affected meanwhile, and it recovers.
    folder.write("targets/b.json", "[]");
    becomes(&server, &["one"]);
    folder.write("targets/a.json", &json(&peer, &["five"]));
    becomes(&server, &["five"]);
    server.stop();
}

fn a_reload_keeps_the_last_good_content_too() {
    let (folder, peer, server) = start();
    folder.write("targets/a.json", &json(&peer, &["one"]));
    becomes(&server, &["one"]);
    folder.write("targets/a.json", "nonsense");
    until("it is told", || {
        (!server.log().lines(&["level=ERROR", "a.json"]).is_empty()).then_some(())
    });
    server.reload().ok();
    assert_eq!(instances(&server), ["one"]);
    assert_eq!(server.targets("").len(), 1);
    server.stop();
}

fn a_folder_that_cannot_be_listed_takes_nothing_with_it() {
    let (folder, peer, server) = start();
    folder.write("targets/a.json", &json(&peer, &["one"]));
    becomes(&server, &["one"]);
    let (targets, away) = (folder.path().join("targets"), folder.path().join("away"));
    fs::rename(&targets, &away).expect("a folder");
    server.reload().ok();
    until("that is in the log", || {
        let lines = server.log().lines(&["Cannot list files"]);
        (!lines.is_empty()).then_some(())
    });
    assert_eq!(instances(&server), ["one"]);
    fs::rename(&away, &targets).expect("a folder");
    folder.write("targets/a.json", &json(&peer, &["two"]));
    server.reload().ok();
    becomes(&server, &["two"]);
    server.stop();
}

/// As in Prometheus, whose file_sd_configs these are.
fn relative_paths_begin_at_the_configuration_file() {
    let (folder, peer) = (
        Folder::with(&config("targets")),
        Peer::status(200, Duration::ZERO),
    );
    fs::create_dir(folder.path().join("targets")).expect("a folder");
    folder.write("targets/a.json", &json(&peer, &["one"]));
    let server = Probity::serve(&folder.config());
    becomes(&server, &["one"]);
    server.stop();
}

fn a_file_that_was_never_good_says_so_and_is_counted() {
    let (folder, peer) = (
        Folder::with(&config("targets")),
        Peer::status(200, Duration::ZERO),
    );
    fs::create_dir(folder.path().join("targets")).expect("a folder");
    folder.write("targets/a.json", "nonsense");
    folder.write("targets/b.json", &json(&peer, &["two"]));
    let server = Probity::serve(&folder.config());
    becomes(&server, &["two"]);
    let told = server.log().lines(&["level=ERROR", "a.json"]);
    assert!(told[0].contains("its targets are missing"), "{told:?}");
    assert!(!told[0].contains("last good content"), "{told:?}");
    let figures = server.samples("/metrics");
    assert_eq!(figures.value("probity_sd_files_failing", &[]), Some(1.0));
    let errors = figures.value("probity_sd_file_read_errors_total", &[]);
    assert!(errors >= Some(1.0), "{errors:?}");
    folder.write("targets/a.json", &json(&peer, &["one"]));
    becomes(&server, &["one", "two"]);
    let figures = server.samples("/metrics");
    assert_eq!(figures.value("probity_sd_files_failing", &[]), Some(0.0));
    assert!(figures.value("probity_sd_file_read_errors_total", &[]) >= errors);
    server.stop();
}

fn a_target_that_cannot_be_probed_takes_nothing_with_it() {
    let (folder, peer, server) = start();
    let mut groups: serde_json::Value =
        serde_json::from_str(&json(&peer, &["one"])).expect("groups");
    let bad = serde_json::json!({"targets": ["ftp://nowhere"], "labels": {"__meta_x": "y"}});
    groups.as_array_mut().expect("a list").push(bad);
    folder.write("targets/a.json", &groups.to_string());
    becomes(&server, &["ftp://nowhere", "one"]);
    until("both are judged", || {
        let bad = server.targets("reason=target_invalid");
        let good = server.targets("health=up");
        (bad.len() == 1 && good.len() == 1).then_some(())
    });
    assert_eq!(
        server.samples("/fleet").values_of("__meta_x"),
        [""; 0],
        "labels of discovery are not for series"
    );
    server.stop();
}

fn config_check_reads_discovery_files_too() {
    let (folder, peer) = (
        Folder::with(&config("targets")),
        Peer::status(200, Duration::ZERO),
    );
    let path = folder.config().display().to_string();
    let check = || run(&["--config.check", "--config.file", &path]);
    // What is not there may come: no mistake, and not silent either.
    let ended = check();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("Cannot list files"), "{ended:?}");
    fs::create_dir(folder.path().join("targets")).expect("a folder");
    folder.write("targets/a.json", &json(&peer, &["one", "two"]));
    let ended = check();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let counts = "modules=1 warnings=0 jobs=1 targets=2";
    assert!(ended.stderr.contains(counts), "{ended:?}");
    for (content, told) in [
        ("- targets: [", "b.yml:1:"),
        ("- targets: ['ftp://nowhere']", "ftp://nowhere"),
    ] {
        folder.write("targets/b.yml", content);
        let ended = check();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(told), "{ended:?}");
        assert!(!ended.stderr.contains("is ok"), "{ended:?}");
    }
}
