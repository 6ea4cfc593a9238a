//! What all cases share: the folder, the servers, one file with every module,
//! and one process of each program that serves it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Barrier};

use probity_tests::support::http;

use super::assertion;
use super::case::{Ask, Bench, Case, Request};
use super::certificates::Certificates;
use super::names::{self, Files, Surroundings};
use super::peers::RealPeers;
use super::program::{Process, Program};
use super::server::{Places, Running, Seen, Server, fill};
use super::view::{Fields, logged, see};

/// Ready for all cases.
pub(crate) struct World {
    folder: tempfile::TempDir,
    upstream: Side,
    ours: Side,
    /// By the case's index.
    standings: Vec<Standing>,
    /// If there can be any.
    surroundings: Option<Surroundings>,
    _peers: RealPeers,
}

/// One of the two programs.
struct Side {
    program: Program,
    process: Process,
    /// The one that has DNS servers of ours.
    named: Option<Process>,
    /// The file that it serves.
    config: String,
    /// Why it does not take a case's module, by name of the case.
    refused: BTreeMap<String, String>,
}

/// What stands ready for one case.
struct Standing {
    servers: Vec<Running>,
    places: Places,
}

impl World {
    /// Starts everything.
    pub(crate) fn start(upstream: &Path, cases: &[Case]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = Arc::new(Certificates::make(folder.path()));
        for (name, text) in super::cases::FILES {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        let peers = RealPeers::start(folder.path());
        let mut common = peers.places.clone();
        let path = folder.path().to_str().expect("a path of text");
        common.insert("folder".to_owned(), path.to_owned());
        let has_names = cases.iter().any(|case| case.names.is_some());
        let surroundings =
            (has_names && names::missing().is_none()).then(|| Surroundings::start(folder.path()));
        let stand = |case: &Case| {
            let servers = Server::start_all(&case.servers, &certificates);
            let mut places = common.clone();
            for server in &servers {
                let port = server.address.port();
                places.insert(server.name.to_owned(), server.address.to_string());
                places.insert(format!("{}-port", server.name), port.to_string());
            }
            if let Some((surroundings, names)) = surroundings.as_ref().zip(case.names.as_ref()) {
                surroundings.know(&case.name, names, &mut places);
            }
            for server in &servers {
                server.know(&places);
            }
            Standing { servers, places }
        };
        let standings: Vec<Standing> = cases.iter().map(stand).collect();
        let modules: Vec<(&str, String)> = cases
            .iter()
            .zip(&standings)
            .filter_map(|(case, standing)| {
                let module = case.module.as_ref()?;
                Some((case.name.as_str(), fill(module, &standing.places)))
            })
            .collect();
        let upstream = Program::Upstream(upstream.to_owned());
        let start = |program, file| {
            let mut side = Side::start(program, folder.path(), file, &modules);
            side.named = surroundings
                .as_ref()
                .map(|surroundings| side.serve(Some(surroundings.shared())));
            side
        };
        let upstream = start(upstream, "upstream.yml");
        let ours = start(Program::Ours, "ours.yml");
        Self {
            folder,
            upstream,
            ours,
            standings,
            surroundings,
            _peers: peers,
        }
    }

    /// What each of the two programs shows.
    pub(crate) fn compare(&self, index: usize, case: &Case) -> [Fields; 2] {
        [&self.upstream, &self.ours].map(|side| self.show(side, &self.standings[index], case))
    }

    /// What the reference shows.
    pub(crate) fn reference(&self, index: usize, case: &Case) -> Fields {
        self.show(&self.upstream, &self.standings[index], case)
    }

    fn show(&self, side: &Side, standing: &Standing, case: &Case) -> Fields {
        let mut fields = Fields::new();
        if let Some(why) = side.refused.get(&case.name) {
            fields.insert("module".to_owned(), why.clone());
            return fields;
        }
        let asked = self.surroundings.as_ref().zip(case.names.as_ref());
        let files = asked
            .map(|(surroundings, names)| surroundings.files(self.folder.path(), &case.name, names));
        // A process for this case alone, if it has files of its own.
        let own = files.as_ref().filter(|_| {
            let names = case.names.as_ref();
            names.is_some_and(|names| names.resolv_conf.is_some())
        });
        let own = own.map(|files| side.serve(Some(files)));
        let shared = match case.names {
            Some(_) => side.named.as_ref().expect("there are DNS servers"),
            None => &side.process,
        };
        let process = own.as_ref().unwrap_or(shared);
        match &case.ask {
            Ask::Requests(requests) => ask(&mut fields, process, standing, case, requests),
            Ask::Together(requests) => {
                ask_together(&mut fields, process, standing, case, requests);
            }
            Ask::Own {
                flags,
                variables,
                requests,
            } => {
                let filled = |text: &str| fill(text, &standing.places);
                let mut args = vec![format!("--config.file={}", side.config)];
                args.extend(flags.iter().map(|flag| filled(flag)));
                let variables: Vec<(&str, String)> = variables
                    .iter()
                    .map(|(name, value)| (*name, filled(value)))
                    .collect();
                match side.program.serve_in(&args, &variables, files.as_ref()) {
                    Ok(process) => ask(&mut fields, &process, standing, case, requests),
                    Err(_) => {
                        fields.insert("process".to_owned(), "ended".to_owned());
                    }
                }
            }
            Ask::Check(file) => {
                let name = case.name.replace("::", "-");
                let path = self.folder.path().join(format!("{name}.yml"));
                fs::write(&path, fill(file, &standing.places)).expect("a file");
                check(&mut fields, &side.program, &path);
            }
            Ask::Custom(run) => {
                let folder = tempfile::tempdir_in(self.folder.path()).expect("a folder");
                let bench = Bench {
                    program: &side.program,
                    fill: &|text| fill(text, &standing.places),
                    folder: folder.path(),
                };
                fields = run(&bench)
                    .unwrap_or_else(|_| Fields::from([("process".to_owned(), "ended".to_owned())]));
            }
        }
        for server in &standing.servers {
            let mut seen = server.seen();
            if let Ask::Together(_) = case.ask {
                // Nobody says who comes first.
                seen.sort_by(|one, other| one.bytes.cmp(&other.bytes));
            }
            told(&mut fields, server.name, &seen);
        }
        if let (Some(surroundings), Some(_)) = (&self.surroundings, &case.names) {
            for (server, asked) in surroundings.asked(&case.name) {
                let way = if asked.datagram { "udp" } else { "tcp" };
                let question = format!("{server} {way} question {} {}", asked.name, asked.kind);
                fields.insert(question, "asked".to_owned());
            }
        }
        fields
    }
}

impl Side {
    /// Starts a program with those modules that it takes.
    fn start(program: Program, folder: &Path, file: &str, modules: &[(&str, String)]) -> Self {
        let path = folder.join(file);
        let config = path.to_str().expect("a path of text").to_owned();
        let write = |modules: &[&(&str, String)]| {
            let lines: String = modules
                .iter()
                .map(|(name, module)| format!("  \"{name}\": {module}\n"))
                .collect();
            fs::write(&path, format!("modules:\n{lines}")).expect("a file");
        };
        let check = || {
            let args = [
                "--config.check".to_owned(),
                format!("--config.file={config}"),
            ];
            let ended = program.run(&args);
            (ended.code != Some(0)).then(|| complaint(&ended.said))
        };
        let mut refused = BTreeMap::new();
        // Halves, and halves of those that are refused: few are.
        let mut suspects: Vec<Vec<&(&str, String)>> = vec![modules.iter().collect()];
        let mut taken = Vec::new();
        while let Some(some) = suspects.pop() {
            write(&some);
            match (check(), &some[..]) {
                (None, _) => taken.extend(some),
                (Some(why), [(name, _)]) => {
                    refused.insert((*name).to_owned(), why);
                }
                (Some(_), _) => {
                    let (one, other) = some.split_at(some.len() / 2);
                    suspects.extend([one.to_vec(), other.to_vec()]);
                }
            }
        }
        write(&taken);
        let process = serve(&program, &config, None);
        Self {
            program,
            process,
            named: None,
            config,
            refused,
        }
    }

    /// Starts another process with the same file.
    fn serve(&self, files: Option<&Files>) -> Process {
        serve(&self.program, &self.config, files)
    }
}

fn serve(program: &Program, config: &str, files: Option<&Files>) -> Process {
    program
        .serve_in(&[format!("--config.file={config}")], &[], files)
        .unwrap_or_else(|said| panic!("{program:?} ended: {said}"))
}

fn ask(
    fields: &mut Fields,
    process: &Process,
    standing: &Standing,
    case: &Case,
    requests: &[Request],
) {
    for (number, request) in requests.iter().enumerate() {
        let answer = answer(process, standing, case, request);
        let prefix = match requests.len() {
            1 => String::new(),
            _ => format!("answer {number}: "),
        };
        see(fields, &prefix, &answer, &request.view);
    }
}

fn ask_together(
    fields: &mut Fields,
    process: &Process,
    standing: &Standing,
    case: &Case,
    requests: &[Request],
) {
    let start = Barrier::new(requests.len());
    let ask = |request| {
        start.wait();
        answer(process, standing, case, request)
    };
    let answers: Vec<_> = std::thread::scope(|scope| {
        let asking = requests.iter().map(|request| scope.spawn(|| ask(request)));
        let asking: Vec<_> = asking.collect();
        let answers = asking.into_iter().map(|asking| asking.join());
        answers.map(|answer| answer.expect("a client")).collect()
    });
    for (number, (request, answer)) in requests.iter().zip(&answers).enumerate() {
        see(fields, &format!("answer {number}: "), answer, &request.view);
    }
}

fn answer(
    process: &Process,
    standing: &Standing,
    case: &Case,
    request: &Request,
) -> Result<http::Answer, String> {
    let path = request.path.replace("@module@", &http::encode(&case.name));
    let mut path = fill(&path, &standing.places);
    if let Some(target) = &request.target {
        path.push_str("&target=");
        path.push_str(&http::encode(&fill(target, &standing.places)));
    }
    let headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    http::try_request(process.address, request.method, &path, &headers)
}

fn check(fields: &mut Fields, program: &Program, path: &Path) {
    let path = path.to_str().expect("a path of text");
    let ended = program.run(&["--config.check".to_owned(), format!("--config.file={path}")]);
    let code = ended
        .code
        .map_or("a signal".to_owned(), |code| code.to_string());
    fields.insert("exit".to_owned(), code);
    if ended.code != Some(0) {
        fields.insert("sentence".to_owned(), complaint(&ended.said));
    }
}

/// Why a configuration is refused, as the log says it, without where.
pub(crate) fn complaint(said: &str) -> String {
    let line = said.lines().find(|line| line.contains(" err="));
    let Some(why) = line.and_then(|line| logged(line, "err")) else {
        return said.to_owned();
    };
    let why = why
        .strip_prefix("error parsing config file: ")
        .unwrap_or(&why);
    // The YAML library's words have a line and the name of a type of theirs.
    let unknown = why
        .split_once("field ")
        .and_then(|(_, rest)| rest.split_once(" not found"));
    match unknown {
        Some((field, _)) if !field.contains(' ') => format!("field {field} not found"),
        _ => why.to_owned(),
    }
}

/// What a server has been told.
fn told(fields: &mut Fields, server: &str, seen: &[Seen]) {
    let mut add = |name: String, value: String| fields.insert(format!("{server} {name}"), value);
    add("connections".to_owned(), seen.len().to_string());
    for (number, seen) in seen.iter().enumerate() {
        if let Some(hello) = &seen.hello {
            let name = hello.server_name.clone().unwrap_or_default();
            add(format!("{number} server name"), name);
            add(format!("{number} alpn"), hello.alpn.join(","));
        }
        if !seen.is_http {
            add(
                format!("{number} bytes"),
                seen.bytes.escape_ascii().to_string(),
            );
            continue;
        }
        let text = seen.bytes.escape_ascii().to_string();
        let (head, body) = text.split_once("\\r\\n\\r\\n").unwrap_or((&text, ""));
        let mut lines = head.split("\\r\\n");
        add(
            format!("{number} line"),
            lines.next().unwrap_or_default().to_owned(),
        );
        let mut order = Vec::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            order.push(name);
            let field = format!("{number} field {name}");
            let twice = order.iter().filter(|other| **other == name).count();
            match twice {
                1 => add(field, value.to_owned()),
                _ => add(format!("{field} #{twice}"), value.to_owned()),
            };
        }
        add(format!("{number} order"), order.join(" "));
        let body = assertion::shown(body).unwrap_or(body.to_owned());
        add(format!("{number} body"), body);
    }
}
