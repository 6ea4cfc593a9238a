//! Checks in Wasm, from the file to the series.

use std::fs;
use std::io::Read as _;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use libtest_mimic::Trial;
use probity_tests::support::http::encode;
use probity_tests::support::probity::run;
use probity_tests::support::{Peer, Probity, until};
use probity_tests::trials;

use crate::Folder;
use crate::guest::Guest;

pub(crate) fn trials() -> Vec<Trial> {
    trials!("wasm":
        a_check_probes_a_fleet_and_who_is_asked_for,
        a_file_with_a_check_that_cannot_be_loaded_is_refused,
        a_file_that_becomes_bad_changes_nothing,
        a_file_that_becomes_another_check_is_used_by_the_next_run,
        there_are_no_more_instances_than_descriptors,
        a_check_that_breaks_fails_no_target,
        a_script_probes_a_fleet_and_who_is_asked_for,
        a_check_is_shown_and_tried,
        a_transcript_is_played_to_a_check,
    )
}

/// Asks `who` and reports how many bytes came in answer.
const MEASURES: &str = "
    (if (i32.eqz (local.get $event))
      (then
        (call $action (i32.const 0) (i32.const 0) (i32.const 32) (i32.const 3))
        (return (call $answer (i32.const 1)))))
    (call $action (i32.const 0) (i32.const 4) (i32.const 40) (i32.const 11))
    (f64.store (i32.const 1040) (f64.convert_i32_u (local.get $p1)))
    (i64.store (i32.const 1048) (i64.const 0))
    (call $action (i32.const 1) (i32.const 3) (i32.const 80) (i32.const 5))
    (call $action (i32.const 2) (i32.const 6) (i32.const 0) (i32.const 0))
    (call $answer (i32.const 3))";

/// A peer that answers `who` with seven bytes.
fn peer() -> Peer {
    Peer::new(|mut conn| {
        let mut asked = [0; 3];
        if conn.stream.read_exact(&mut asked).is_ok() && asked == *b"who" {
            conn.send(b"nobody\n");
        }
        conn.drain();
    })
}

fn folder(guest: &Guest) -> Folder {
    let folder = Folder::new();
    fs::write(folder.path().join("toy.wasm"), guest.module()).expect("a file");
    folder
}

fn config(folder: &Folder, section: &str, peer: &Peer) -> String {
    let path = folder.path().join("toy.wasm");
    format!(
        "modules:
  my-toy:
    prober: wasm
    wasm:
      path: {}
{section}
jobs:
  - {{job_name: toys, module: my-toy, interval: 200ms, static_configs: [{{targets: ['{}']}}]}}
",
        path.display(),
        peer.address
    )
}

/// The flag that keeps what is compiled where the test is.
fn cache(folder: &Folder) -> String {
    format!("--wasm.cache={}", folder.path().join("cache").display())
}

fn a_check_probes_a_fleet_and_who_is_asked_for() {
    let (folder, peer) = (folder(&Guest::answering(MEASURES)), peer());
    folder.write("probity.yml", &config(&folder, "", &peer));
    let flags = [&*cache(&folder), "--wasm.instances=8"];
    let server = Probity::serve_with(&folder.config(), &flags);
    let target = encode(&peer.address.to_string());
    let probed = server.samples(&format!("/probe?module=my-toy&target={target}"));
    assert_eq!(probed.value("probe_success", &[]), Some(1.0));
    let length = "probity_check_my_toy_depth_bytes";
    assert_eq!(probed.value(length, &[]), Some(7.0));
    let phase = "probity_check_my_toy_phase_duration_seconds";
    assert!(probed.value(phase, &[("phase", "hello")]).is_some());
    let instance = peer.address.to_string();
    let fleet = until("the fleet was probed", || {
        let samples = server.samples("/fleet");
        samples
            .value(length, &[("instance", &instance)])
            .map(|_| samples)
    });
    assert_eq!(
        fleet.value("probity_target_up", &[("job", "toys")]),
        Some(1.0)
    );
    let own = server.samples("/metrics");
    assert_eq!(own.value("probity_wasm_instances_max", &[]), Some(8.0));
    let module = ("module", "my-toy");
    for reason in ["wasm_fuel", "wasm_protocol"] {
        let faults = own.value("probity_wasm_faults_total", &[module, ("reason", reason)]);
        assert_eq!(faults, Some(0.0));
    }
    assert!(own.value("probity_wasm_fuel_total", &[module]) > Some(0.0));
    // Each run is opened and told of its connection and of data.
    assert!(own.value("probity_wasm_callback_seconds_count", &[module]) >= Some(6.0));
    assert!(own.value("probity_wasm_instances", &[module]).is_some());
    let info = own.value("probity_wasm_module_info", &[module, ("version", "1.0.0")]);
    assert_eq!(info, Some(1.0));
    let kept = fs::read_dir(folder.path().join("cache")).expect("a cache");
    assert_eq!(kept.count(), 1);
    // What is wrong with it changes nothing.
    folder.write(
        "probity.yml",
        &config(&folder, "      config: [earth]", &peer),
    );
    let refused = server.reload();
    assert_eq!(refused.status, 500);
    assert!(
        refused
            .text()
            .contains("modules.my-toy.wasm.config: How deep it is"),
        "{}",
        refused.text()
    );
    assert_eq!(
        server
            .samples("/fleet")
            .value("probity_target_up", &[("job", "toys")]),
        Some(1.0)
    );
}

fn a_file_with_a_check_that_cannot_be_loaded_is_refused() {
    let (folder, peer) = (folder(&Guest::default()), peer());
    let pinned = format!("      sha256: {}", "0".repeat(64));
    for (section, words) in [
        (&*pinned, "probity.yml:6:15: modules.my-toy.wasm.sha256: "),
        (
            "      limits: {memory_bytes: 5}",
            "probity.yml:6:30: modules.my-toy.wasm.limits.memory_bytes: ",
        ),
    ] {
        folder.write("probity.yml", &config(&folder, section, &peer));
        let path = folder.config();
        let checked = run(&[
            "--config.check",
            "--config.file",
            path.to_str().expect("text"),
            &cache(&folder),
        ]);
        assert_eq!(checked.code, Some(1));
        assert!(checked.stderr.contains(words), "{}", checked.stderr);
    }
    folder.write("toy.wasm", "no check at all");
    folder.write("probity.yml", &config(&folder, "", &peer));
    let path = folder.config();
    let checked = run(&[
        "--config.check",
        "--config.file",
        path.to_str().expect("text"),
        &cache(&folder),
    ]);
    assert_eq!(checked.code, Some(1));
    let words = "expected WebAssembly (a component or a core module)";
    assert!(checked.stderr.contains(words), "{}", checked.stderr);
}

/// Though the configuration is what it was.
fn a_file_that_becomes_bad_changes_nothing() {
    let (folder, peer) = (folder(&Guest::answering(MEASURES)), peer());
    let path = folder.path().join("toy.wasm");
    let good = fs::read(&path).expect("a file");
    let shown = run(&["wasm", "inspect", path.to_str().expect("text")]).stdout;
    let digest = shown.split("sha256 ").nth(1).expect("a digest").trim();
    let digest = digest.split_whitespace().next().expect("a digest");
    let pinned = config(&folder, &format!("      sha256: {digest}"), &peer);
    folder.write("probity.yml", &pinned);
    let flags = [
        &*cache(&folder),
        "--config.enable-auto-reload",
        "--config.auto-reload-interval=1",
    ];
    let server = Probity::serve_with(&folder.config(), &flags);
    let target = encode(&peer.address.to_string());
    let works = || {
        let probed = server.samples(&format!("/probe?module=my-toy&target={target}"));
        let length = probed.value("probity_check_my_toy_depth_bytes", &[]);
        assert_eq!(length, Some(7.0));
    };
    let successful = || {
        let own = server.samples("/metrics");
        own.value("blackbox_exporter_config_last_reload_successful", &[])
    };
    works();
    let another = Guest::default().module();
    let unpinned = config(&folder, "", &peer);
    for (text, bad, words) in [
        (
            &pinned,
            &*another,
            "probity.yml:6:15: modules.my-toy.wasm.sha256: ",
        ),
        (
            &unpinned,
            b"no check at all",
            "probity.yml:5:13: modules.my-toy.wasm.path: ",
        ),
    ] {
        folder.write("probity.yml", text);
        server.reload().ok();
        fs::write(&path, bad).expect("a file");
        // At every time.
        for _ in 0..2 {
            let refused = server.reload();
            assert_eq!(refused.status, 500, "{}", refused.text());
            assert!(refused.text().contains(words), "{}", refused.text());
            assert_eq!(successful(), Some(0.0));
            works();
        }
        // Nor is it forgotten by who looks without being told.
        std::thread::sleep(Duration::from_millis(1_500));
        assert_eq!(successful(), Some(0.0));
        works();
        fs::write(&path, &good).expect("a file");
        server.reload().ok();
        assert_eq!(successful(), Some(1.0));
        works();
    }
    let unknown = server.targets("")[0]["results"]["unknown"].as_u64();
    assert_eq!(unknown, Some(0));
    server.stop();
}

fn a_file_that_becomes_another_check_is_used_by_the_next_run() {
    let folder = folder(&Guest::answering(MEASURES));
    // It answers when it is told to.
    let (asked, was_asked) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    let gate = Mutex::new((asked, told));
    let slow = Peer::new(move |mut conn| {
        let mut who = [0; 3];
        if conn.stream.read_exact(&mut who).is_ok() {
            let (asked, told) = &*gate.lock().expect("a gate");
            let _ = asked.send(());
            let _ = told.recv();
            conn.send(b"nobody\n");
        }
        conn.drain();
    });
    let jobless = config(&folder, "", &slow);
    let jobless = jobless.split("jobs:").next().expect("modules");
    folder.write("probity.yml", jobless);
    let server = Probity::serve_with(&folder.config(), &[&cache(&folder)]);
    let target = encode(&slow.address.to_string());
    let length = || {
        let probed = server.samples(&format!("/probe?module=my-toy&target={target}"));
        probed.value("probity_check_my_toy_depth_bytes", &[])
    };
    let twice = "(i32.mul (local.get $p1) (i32.const 2))";
    let twice = Guest::answering(MEASURES.replace("(local.get $p1)", twice));
    std::thread::scope(|scope| {
        let before = scope.spawn(length);
        was_asked.recv().expect("a run");
        fs::write(folder.path().join("toy.wasm"), twice.module()).expect("a file");
        server.reload().ok();
        tell.send(()).expect("a peer");
        assert_eq!(before.join().expect("an answer"), Some(7.0));
    });
    tell.send(()).expect("a peer");
    assert_eq!(length(), Some(14.0));
    server.stop();
}

fn there_are_no_more_instances_than_descriptors() {
    let (folder, peer) = (folder(&Guest::default()), peer());
    folder.write("probity.yml", &config(&folder, "", &peer));
    let server = Probity::serve_within(600, &folder.config(), &[&cache(&folder)]);
    let own = server.samples("/metrics");
    assert_eq!(own.value("probity_wasm_instances_max", &[]), Some(600.0));
    let said = ["level=WARN", "fewer instances", "instances=600", "ulimit"];
    assert_eq!(server.log().lines(&said).len(), 1, "{:?}", server.log());
    server.stop();
}

fn a_check_that_breaks_fails_no_target() {
    let (folder, peer) = (
        folder(&Guest::answering("(loop $l (br $l)) unreachable")),
        peer(),
    );
    folder.write("probity.yml", &config(&folder, "", &peer));
    let server = Probity::serve_with(&folder.config(), &[&cache(&folder)]);
    let target = encode(&peer.address.to_string());
    let answer = server.get(&format!("/probe?module=my-toy&target={target}"));
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("wasm_"), "{}", answer.text());
    // It is tried again and again, and then left alone for a while.
    until("it is left alone", || {
        let own = server.samples("/metrics");
        let count = |reason| own.value("probity_unknown_total", &[("reason", reason)]);
        (count("wasm_fuel") >= Some(5.0) && count("wasm_backoff") > Some(0.0)).then_some(())
    });
    let fleet = server.samples("/fleet");
    assert_eq!(
        fleet.value("probity_results_total", &[("result", "failure")]),
        Some(0.0)
    );
    assert_eq!(fleet.value("probity_target_up", &[]), None);
}

/// With more memory than a check of the other class may have.
fn a_script_probes_a_fleet_and_who_is_asked_for() {
    let large = Guest {
        fields: "(func $grow (drop (memory.grow (i32.const 100)))) (start $grow)".into(),
        ..Guest::answering(MEASURES)
    };
    let (folder, peer) = (folder(&large), peer());
    folder.write(
        "probity.yml",
        &config(&folder, "      class: script", &peer),
    );
    let server = Probity::serve_with(&folder.config(), &[&*cache(&folder), "--wasm.instances=8"]);
    let target = encode(&peer.address.to_string());
    for _ in 0..3 {
        let answer = server.get(&format!("/probe?module=my-toy&target={target}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        assert!(text.contains("probe_success 1"), "{text}");
        assert!(
            text.contains("probity_check_my_toy_depth_bytes 7"),
            "{text}"
        );
    }
    until("the fleet is probed", || {
        let up = server.samples("/fleet");
        (up.value("probity_target_up", &[("job", "toys")]) == Some(1.0)).then_some(())
    });
    let own = server.samples("/metrics");
    assert_eq!(
        own.value("probity_wasm_script_instances_max", &[]),
        Some(8.0)
    );
    let file = folder.path().join("toy.wasm");
    let (file, address) = (file.to_str().expect("text"), peer.address.to_string());
    let tried = run(&["wasm", "check", file, &address, "--class", "script"]);
    assert_eq!(tried.code, Some(0), "{} {}", tried.stdout, tried.stderr);
    let shown = run(&["wasm", "inspect", file, "--class", "script"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    let wrong = run(&["wasm", "inspect", file, "--class", "js"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("expected native or script"),
        "{}",
        wrong.stderr
    );
}

fn a_check_is_shown_and_tried() {
    let (folder, peer) = (folder(&Guest::answering(MEASURES)), peer());
    let file = folder.path().join("toy.wasm");
    let file = file.to_str().expect("text");
    let shown = run(&["wasm", "inspect", file]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    for words in [
        "toy 1.0.0\n",
        "port         4242",
        "phase        hello",
        "gauge        depth_bytes: How deep it is",
        "sha256 ",
    ] {
        assert!(shown.stdout.contains(words), "{}", shown.stdout);
    }
    let address = peer.address.to_string();
    let tried = run(&["wasm", "check", file, &address]);
    assert_eq!(tried.code, Some(0), "{}", tried.stderr);
    let lines: Vec<&str> = tried.stdout.lines().map(str::trim).collect();
    let said: Vec<&str> = lines
        .iter()
        .map(|line| line.rsplit(" ms  ").next().unwrap_or(line))
        .collect();
    let expected = [
        "connected",
        "> \"who\"",
        "< \"nobody\\n\"",
        "sample depth_bytes 7",
        "mark hello",
        "up",
    ];
    assert_eq!(said[..expected.len()], expected, "{}", tried.stdout);
    assert!(lines[expected.len()].starts_with("OK"), "{}", tried.stdout);
    let dead = crate::dead().to_string();
    let failed = run(&["wasm", "check", file, &dead, "--timeout", "2s"]);
    assert_eq!(failed.code, Some(1), "{}", failed.stdout);
    let refused = run(&["wasm", "check", file, &address, "--config", r#"{"a": 1}"#]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("wasm.config: How deep it is"),
        "{}",
        refused.stderr
    );
    let missing = run(&["wasm", "inspect", "no.wasm"]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.took < Duration::from_secs(60));
}

fn a_transcript_is_played_to_a_check() {
    let folder = folder(&Guest::answering(MEASURES));
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    folder.write(
        "good.txt",
        "case an answer\n> \"who\"\n< \"me\"\nmark hello\nup\n\ncase a wish\nconfig {\"a\": 1}\nrejected \"How deep\"\n",
    );
    let played = run(&["wasm", "test", &path("toy.wasm"), &path("good.txt")]);
    assert_eq!(played.code, Some(0), "{} {}", played.stdout, played.stderr);
    assert!(
        played.stdout.contains("2 of 2 cases passed"),
        "{}",
        played.stdout
    );
    folder.write("bad.txt", "case another\n> \"what\"\n< \"me\"\nup\n");
    let played = run(&["wasm", "test", &path("toy.wasm"), &path("bad.txt")]);
    assert_eq!(played.code, Some(1));
    assert!(
        played.stdout.contains("line 2: another"),
        "{}",
        played.stdout
    );
    folder.write("none.txt", "nothing\n");
    let played = run(&["wasm", "test", &path("toy.wasm"), &path("none.txt")]);
    assert_eq!(played.code, Some(2));
}
