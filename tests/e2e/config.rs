//! Files with mistakes, and what is said about them.

use libtest_mimic::Trial;
use probity_tests::support::probity::run;
use probity_tests::trials;

use crate::Folder;

pub(crate) fn trials() -> Vec<Trial> {
    trials!("config":
        mistakes_are_named_with_file_line_and_column,
        a_good_file_passes,
        what_is_legal_and_of_no_use_is_said,
        every_flag_of_help_is_one,
        serve_refuses_a_bad_file,
    )
}

const GOOD: &str = "\
modules:
  web: {prober: http}
jobs:
  - job_name: web
    module: web
    interval: 15s
    static_configs: [{targets: ['http://127.0.0.1:1']}]
";

fn mistakes_are_named_with_file_line_and_column() {
    for (from, to, place, parts) in [
        (
            "interval: 15s",
            "intervall: 15s",
            ":6:5:",
            &["intervall", "interval"][..],
        ),
        (
            "interval: 15s",
            "interval: often",
            ":6:15:",
            &["interval", "often"],
        ),
        ("module: web", "module: wep", ":5:13:", &["wep", "web"]),
        (
            "{prober: http}",
            "{prober: http, htpp: {}}",
            ":2:23:",
            &["htpp", "http"],
        ),
        ("{prober: http}", "{prober: http", ":3:", &["YAML"]),
        ("jobs:", "job:", ":3:1:", &["job", "jobs"]),
        (
            "http://127.0.0.1:1",
            "ftp://127.0.0.1:1",
            ":7:33:",
            &["targets[0]", "ftp"],
        ),
        (
            "interval: 15s",
            "timeout: 90s",
            ":6:14:",
            &["timeout", "1m"],
        ),
    ] {
        let folder = Folder::with(&GOOD.replace(from, to));
        let config = folder.config();
        let config = config.to_str().expect("text");
        let ended = run(&["--config.check", "--config.file", config]);
        assert_eq!(ended.code, Some(1), "{to}: {ended:?}");
        let place = format!("probity.yml{place}");
        assert!(
            ended.stderr.contains(&place),
            "{to}: no {place} in {}",
            ended.stderr
        );
        for part in parts {
            assert!(
                ended.stderr.contains(part),
                "{to}: no {part} in {}",
                ended.stderr
            );
        }
    }
}

fn a_good_file_passes() {
    let folder = Folder::with(GOOD);
    let config = folder.config();
    let ended = run(&[
        "--config.check",
        "--config.file",
        config.to_str().expect("text"),
    ]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stderr.contains("Config file is ok exiting..."),
        "{ended:?}"
    );
    // The embedded default is good too.
    assert_eq!(run(&["--config.check"]).code, Some(0));
}

fn what_is_legal_and_of_no_use_is_said() {
    let more = "modules:
  three: {prober: http, http: {enable_http3: true, enable_http2: false}}
  ftp: {prober: http, http: {proxy_url: 'ftp://127.0.0.1'}}
";
    let twice = "    file_sd_configs: [{files: [none/a.yml, b.yml]}]
    static_configs: [{targets: ['http://127.0.0.1:1', 'http://127.0.0.1:1']}]
";
    let from = "    static_configs: [{targets: ['http://127.0.0.1:1']}]\n";
    let text = GOOD.replace("modules:\n", more).replace(from, twice);
    let folder = Folder::with(&text);
    let config = folder.config();
    let config = config.to_str().expect("text");
    let ended = run(&["--config.check", "--config.file", config]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for parts in [
        [
            "modules.three.http.enable_http3: ",
            "the module is rejected",
        ],
        ["modules.ftp.http.proxy_url: ", "the module is rejected"],
        ["jobs[0].static_configs[0].targets[1]: ", "probed once"],
        ["none/a.yml", "Cannot list files"],
        ["b.yml", "Found no discovery file"],
    ] {
        let said = |line: &str| {
            line.contains("level=WARN") && parts.iter().all(|part| line.contains(part))
        };
        assert!(ended.stderr.lines().any(said), "{parts:?}: {ended:?}");
    }
}

fn every_flag_of_help_is_one() {
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0), "{help:?}");
    assert!(help.stdout.contains("--config.file"), "{help:?}");
    for flag in ["--help-long", "--help-man"] {
        let ended = run(&[flag]);
        assert_eq!(
            (ended.code, &ended.stdout),
            (Some(0), &help.stdout),
            "{flag}"
        );
    }
}

fn serve_refuses_a_bad_file() {
    let folder = Folder::with("modules: 3\n");
    let config = folder.config();
    let args = [
        "--web.listen-address=127.0.0.1:0",
        "--config.file",
        config.to_str().expect("text"),
    ];
    let ended = run(&args);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("probity.yml:1:"), "{ended:?}");
}
