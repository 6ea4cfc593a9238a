//! Modules of `prober: wasm`: where mistakes are, and what a check is told.

use std::sync::{Arc, Mutex};

use probity_engine::config::{Files, NoFiles};
use probity_engine::guest::{
    Context, Description, Fault, FaultKind, Plugin, Refusal, Session, Source,
};
use probity_spec::{File, SystemFiles, WithoutFiles};

/// A host that loads anything and takes any options without `wrong` in them.
#[derive(Debug, Default)]
struct Host {
    told: Arc<Mutex<Vec<String>>>,
}

#[derive(Debug)]
struct Loaded {
    description: Description,
    told: Arc<Mutex<Vec<String>>>,
}

impl Files for Host {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "toy.wasm" => Ok(Vec::new()),
            _ => Err(format!("{path}: no such file")),
        }
    }

    fn runs_guests(&self) -> bool {
        true
    }

    fn plugin(&self, _: &Source<'_>) -> Result<Arc<dyn Plugin>, Refusal> {
        Ok(Arc::new(Loaded {
            description: Description {
                name: "toy".into(),
                ..Description::default()
            },
            told: Arc::clone(&self.told),
        }))
    }
}

impl Plugin for Loaded {
    fn description(&self) -> &Description {
        &self.description
    }

    fn digest(&self) -> &[u8; 32] {
        &[0; 32]
    }

    fn validate(&self, config: &str) -> Result<(), String> {
        self.told.lock().unwrap().push(config.to_owned());
        match config.contains("wrong") {
            true => Err("name: expected another".into()),
            false => Ok(()),
        }
    }

    fn open(&self, _: &Context<'_>) -> Result<Box<dyn Session>, Fault> {
        Err(Fault::new(FaultKind::Load, "is never run"))
    }
}

/// A module with these lines in its section.
fn parse(section: &str) -> (Result<File, String>, Vec<String>) {
    let lines = section.lines().map(|line| format!("      {line}\n"));
    let lines: String = lines.collect();
    let text = format!("modules:\n  toy:\n    prober: wasm\n    wasm:\n{lines}");
    let host = Host::default();
    let file = File::parse("f.yml", &text, &host);
    let told = std::mem::take(&mut *host.told.lock().unwrap());
    (file.map_err(|errors| errors.to_string()), told)
}

#[test]
fn mistakes_are_at_their_line() {
    for (section, expected) in [
        (
            "path: no.wasm",
            "f.yml:5:13: modules.toy.wasm.path: no.wasm: no such file",
        ),
        (
            "path: toy.wasm\nconfig:\n  name: wrong",
            "f.yml:7:9: modules.toy.wasm.config: name: expected another",
        ),
        (
            "path: toy.wasm\nlimits:\n  memory_bytes: 1",
            "f.yml:7:23: modules.toy.wasm.limits.memory_bytes: expected 65536 to 2097152, found 1",
        ),
        (
            "path: toy.wasm\nsessions_per_instance: 8",
            "f.yml:6:30: modules.toy.wasm.sessions_per_instance: expected no more at once than an instance serves in all (runs_per_instance: 1), found 8",
        ),
        (
            "path: toy.wasm\nclass: js",
            "f.yml:6:14: modules.toy.wasm.class: expected native or script, found \"js\"",
        ),
        (
            "path: toy.wasm\nclass: script\nlimits: {fuel_per_event: 2000000000}",
            "f.yml:7:32: modules.toy.wasm.limits.fuel_per_event: expected 10000 to 1000000000, found 2000000000",
        ),
        (
            "path: toy.wasm\nsha256: 1234",
            "f.yml:6:15: modules.toy.wasm.sha256: expected the 64 hex digits of a SHA-256 digest, found \"1234\"",
        ),
        (
            "path: toy.wasm\nconfgi: {}",
            "f.yml:6:7: modules.toy.wasm: field confgi not found, did you mean `config`?",
        ),
        (
            "sha256: ''",
            "f.yml:5:7: modules.toy.wasm.path: expected the path of a check, found none",
        ),
    ] {
        assert_eq!(parse(section).0.unwrap_err(), expected, "{section}");
    }
    let (file, _) = parse("path: toy.wasm\nlimits: {fuel_per_run: 5000000}");
    assert!(file.unwrap().warnings().is_empty());
    let text = "modules: {toy: {prober: wasm}}\n";
    let error = File::parse("f.yml", text, &Host::default()).unwrap_err();
    assert!(error.to_string().contains("the path of a check"), "{error}");
}

#[test]
fn a_check_is_told_json_and_nobody_is_shown_it() {
    let section = "path: toy.wasm
config:
  name: earth
  port: 5
  share: 0.5
  deep: [yes it is, true, null, {a: '1'}]";
    let (file, told) = parse(section);
    let json = r#"{"deep":["yes it is",true,null,{"a":"1"}],"name":"earth","port":5,"share":0.5}"#;
    assert_eq!(told, [json]);
    let shown = file.unwrap().render().unwrap();
    assert!(
        !shown.contains("earth") && shown.contains("<secret>"),
        "{shown}"
    );
    let (_, told) = parse("path: toy.wasm");
    assert_eq!(told, ["{}"]);
}

#[test]
fn where_checks_in_wasm_are_not_run_their_module_is_rejected_alone() {
    let text = "modules:\n  toy: {prober: wasm, wasm: {path: toy.wasm}}\n  web: {prober: http}\n";
    let said = "f.yml:2:36: modules.toy.wasm.path: toy.wasm: checks in Wasm cannot be run here";
    let hosts: [&dyn Files; 3] = [&NoFiles, &WithoutFiles, &SystemFiles];
    for host in hosts {
        let file = File::parse("f.yml", text, host).unwrap();
        let warnings: Vec<_> = file.warnings().iter().map(ToString::to_string).collect();
        let rest = "; the module is rejected and cannot be probed, the others of the file serve";
        assert_eq!(warnings, [format!("{said}{rest}")]);
        assert!(file.module("web").unwrap().module().is_some());
        let toy = file.module("toy").unwrap();
        assert!(toy.module().is_none() && toy.files().is_empty());
        let rejection = toy.rejection().unwrap();
        assert!(rejection.contains(said), "{rejection}");
        // As with any prober that there is not, a job of it is a mistake.
        let jobs = format!("{text}jobs: [{{job_name: j, module: toy}}]\n");
        let error = File::parse("f.yml", &jobs, host).unwrap_err();
        let why =
            "the module \"toy\" cannot be used: checks of the prober \"wasm\" cannot be run here";
        assert!(error.to_string().ends_with(why), "{error}");
    }
}
