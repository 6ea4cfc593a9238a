//! What changes, and what does not, when files change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use probity_engine::check::CheckSpec;
use probity_engine::config::NoFiles;
use probity_spec::{Delta, File, FileSd, Fleet, Groups, Target};

const FILE: &str = "
modules:
  m:
    prober: http
    http:
      fail_if_body_not_matches_regexp: [ok]
      tls_config: {insecure_skip_verify: true}
  n: {prober: tcp}
jobs:
- job_name: web
  module: m
  interval: 15s
  static_configs: [{targets: ['http://a/', 'http://b/'], labels: {team: core}}]
- job_name: db
  module: n
  file_sd_configs: [{files: ['*.yml']}]
  static_configs: [{targets: ['c:1']}]
";

fn parse(text: &str) -> File {
    File::parse("f.yml", text, &NoFiles).unwrap_or_else(|errors| panic!("{errors}"))
}

fn targets(text: &str, groups: &mut Groups) -> Vec<Target> {
    Fleet::build(parse(text).jobs(), &BTreeMap::new(), groups).targets
}

fn names(targets: &[Target]) -> Vec<&str> {
    targets.iter().map(|target| &*target.name).collect()
}

#[test]
fn the_same_file_again_changes_nothing() {
    let mut groups = Groups::default();
    let old = targets(FILE, &mut groups);
    let mut new = targets(FILE, &mut groups);
    assert!(!Arc::ptr_eq(&old[0].spec, &new[0].spec));
    let delta = Delta::between(&old, &mut new);
    assert!(delta.is_empty());
    assert_eq!(delta.unchanged, 3);
    assert!(
        Arc::ptr_eq(&old[0].spec, &new[0].spec),
        "what the engine holds is kept"
    );
}

#[test]
fn only_what_changed_is_changed() {
    for (from, to, upsert, remove) in [
        (
            "'http://b/'",
            "'http://b/', 'http://d/'",
            vec!["http://d/"],
            vec![],
        ),
        ("'http://b/'", "", vec![], vec!["http://b/"]),
        (
            "interval: 15s",
            "interval: 30s",
            vec!["http://a/", "http://b/"],
            vec![],
        ),
        ("[ok]", "[okay]", vec!["http://a/", "http://b/"], vec![]),
        (
            "verify: true",
            "verify: false",
            vec!["http://a/", "http://b/"],
            vec![],
        ),
        (
            "prober: tcp",
            "prober: tcp, tcp: {tls: true}",
            vec!["c:1"],
            vec![],
        ),
        (
            "prober: tcp",
            "prober: tcp, http: {method: PUT}",
            vec![],
            vec![],
        ),
        (
            "team: core",
            "team: edge",
            vec!["http://a/", "http://b/"],
            vec!["http://a/", "http://b/"],
        ),
        ("job_name: db", "job_name: sql", vec!["c:1"], vec!["c:1"]),
        (
            "interval: 15s",
            "interval: 15s\n  metrics: minimal",
            vec![],
            vec![],
        ),
    ] {
        assert!(FILE.contains(from), "{from}");
        let mut groups = Groups::default();
        let old = targets(FILE, &mut groups);
        let mut new = targets(&FILE.replace(from, to), &mut groups);
        let delta = Delta::between(&old, &mut new);
        assert_eq!(names(&delta.upsert), upsert, "{to}");
        let mut gone: Vec<&str> = old
            .iter()
            .filter(|target| delta.remove.contains(&target.id))
            .map(|target| &*target.name)
            .collect();
        gone.sort_unstable();
        assert_eq!(gone, remove, "{to}");
        assert_eq!(delta.unchanged + delta.upsert.len(), new.len(), "{to}");
    }
}

#[test]
fn a_job_keeps_its_group_whatever_happens_around_it() {
    let mut groups = Groups::default();
    targets(FILE, &mut groups);
    let (web, db) = (groups.get("web").unwrap(), groups.get("db").unwrap());
    assert_ne!(web, db);
    let reordered =
        "jobs: [{job_name: new, module: tcp_connect}, {job_name: db, module: tcp_connect}]";
    targets(reordered, &mut groups);
    assert_eq!(groups.get("db"), Some(db));
    let new = groups.get("new").unwrap();
    assert!(new != web && new != db, "a number is not given twice");
    // One that is gone and comes back is counted anew.
    let file = File::parse("t", reordered, &NoFiles).unwrap();
    assert_eq!(groups.retain(file.jobs()), [web]);
    assert_eq!((groups.get("web"), groups.get("db")), (None, Some(db)));
    let again = groups.id("web");
    assert!(![web, db, new].contains(&again), "{again:?}");
}

/// If this fails, every target in the world moves within its period.
#[test]
fn identities_are_golden() {
    let ids: Vec<u64> = targets(FILE, &mut Groups::default())
        .iter()
        .map(|target| target.id.0)
        .collect();
    assert_eq!(
        ids,
        [
            0xc2bb_f3d1_2aa8_97c1,
            0x5848_026b_9e20_c744,
            0x0ed7_91fc_9960_8e2d
        ]
    );
}

#[test]
fn a_bad_file_keeps_its_last_good_content() {
    let file = parse(FILE);
    let (path, other) = (Path::new("x.yml"), Path::new("y.json"));
    let mut found = FileSd::default();
    let good = "- targets: ['d:1', 'e:1']\n  labels: {team: a}\n";
    assert_eq!(found.update(path, Ok(good.as_bytes())), Ok(true));
    assert_eq!(found.update(path, Ok(good.as_bytes())), Ok(false));
    assert_eq!(
        found.update(other, Ok(br#"[{"targets": ["f:1"]}]"#)),
        Ok(true)
    );
    for (content, message) in [
        (
            Ok("- targets: [".as_bytes()),
            "x.yml:1:12: not valid YAML: unclosed bracket '['",
        ),
        (
            Ok(b"- targets:\xff".as_slice()),
            "x.yml:1:11: expected UTF-8, found the byte 0xff",
        ),
        (
            Err("cannot read x.yml: permission denied"),
            "x.yml: cannot read it: permission denied",
        ),
    ] {
        let before = found.clone();
        assert_eq!(
            found.update(path, content).unwrap_err().to_string(),
            message
        );
        assert_eq!(found, before);
    }
    let discovered = BTreeMap::from([("db".to_owned(), found.clone())]);
    let fleet = Fleet::build(file.jobs(), &discovered, &mut Groups::default());
    assert_eq!(names(&fleet.targets[2..]), ["c:1", "d:1", "e:1", "f:1"]);
    assert_eq!(fleet.targets[3].label("team"), Some("a"));

    assert_eq!(
        found.update(path, Ok(b"")),
        Ok(true),
        "empty is good, and empty"
    );
    assert!(found.retain(|path| path == other));
    assert!(!found.retain(|path| path == other));
    assert_eq!(
        found.files().map(|(path, _)| path).collect::<Vec<_>>(),
        [other]
    );
}

#[test]
fn what_is_discovered_cannot_shadow_another_target() {
    let file = parse(FILE);
    let mut found = FileSd::default();
    let content = "- targets: ['d:1']\n  labels: {instance: 'c:1'}\n- targets: ['c:1']\n";
    found
        .update(Path::new("x.yml"), Ok(content.as_bytes()))
        .unwrap();
    let discovered = BTreeMap::from([
        ("db".to_owned(), found),
        ("gone".to_owned(), FileSd::default()),
    ]);
    let fleet = Fleet::build(file.jobs(), &discovered, &mut Groups::default());
    assert_eq!(
        fleet.targets.len(),
        3,
        "the same target again is the same target"
    );
    let dropped: Vec<String> = fleet.dropped.iter().map(ToString::to_string).collect();
    assert_eq!(
        dropped,
        [
            "job \"db\": target \"d:1\" has the labels of another target, their series could not be told apart"
        ]
    );
}

/// One bad line of a file takes neither the file nor the rest of it with it.
#[test]
fn what_the_module_cannot_probe_is_a_check_that_fails() {
    let file = parse("jobs: [{job_name: a, module: tcp_connect}]");
    let mut found = FileSd::default();
    let content = b"- targets: ['127.0.0.1', 'b:1', 'http://a/']";
    assert_eq!(found.update(Path::new("x.yml"), Ok(content)), Ok(true));
    let fleet = Fleet::build(
        file.jobs(),
        &BTreeMap::from([("a".to_owned(), found)]),
        &mut Groups::default(),
    );
    assert_eq!(fleet.dropped, []);
    let fails: Vec<bool> = fleet
        .targets
        .iter()
        .map(|target| matches!(target.spec.check, CheckSpec::Unusable(..)))
        .collect();
    assert_eq!(fails, [true, false, true]);
}

/// Files that Prometheus reads too carry labels for it.
#[test]
fn labels_of_discovery_have_no_effect() {
    let file = parse(
        "jobs: [{job_name: a, module: tcp_connect, static_configs: [{targets: ['s:1'], labels: {__scheme__: https, zone: s}}]}]",
    );
    let mut found = FileSd::default();
    let long = "x".repeat(5_000);
    let content = format!(
        "[{{\"targets\": [\"f:1\"], \"labels\": {{\"__meta_x\": \"{long}\", \"__param_module\": \"m\", \"zone\": \"f\"}}}}]"
    );
    assert_eq!(
        found.update(Path::new("x.json"), Ok(content.as_bytes())),
        Ok(true)
    );
    let fleet = Fleet::build(
        file.jobs(),
        &BTreeMap::from([("a".to_owned(), found)]),
        &mut Groups::default(),
    );
    let labels = fleet.targets.iter().map(|target| {
        let pairs = target.labels.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join(",")
    });
    assert_eq!(
        labels.collect::<Vec<_>>(),
        ["instance=s:1,job=a,zone=s", "instance=f:1,job=a,zone=f"]
    );
}
