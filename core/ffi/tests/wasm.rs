//! `probity.wasm`, which `core/ffi/build-wasm` builds: it imports nothing, under
//! Node it gives the transcripts of the engine itself in scripted worlds, and an
//! agent with Node's own sockets comes to the verdicts of the driver.
//!
//! Without the module or Node these tests say so and look at nothing, unless
//! `PROBITY_REQUIRE_PEERS` insists on them, as the gate does. So they do with a
//! module that is older than the sources.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use probity_transcript::{
    Native, difference, json, play, required, scripts, wasm_module as module,
};

/// Node with one of the examples and what that is to be given first.
fn node(example: &str) -> Option<Command> {
    let module = module()?;
    let found = Command::new("node").arg("--version").output().is_ok();
    assert!(found || !required("node"), "node is required and not there");
    if !found {
        eprintln!("node is not there: not tested");
        return None;
    }
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut command = Command::new("node");
    command.arg(examples.join(example)).arg(module);
    Some(command)
}

/// A file for the duration of a test.
struct Written(PathBuf);

impl Written {
    fn new(name: &str, text: &str) -> Self {
        // Of several tests at once.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}-{name}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&path, text).expect("cargo has made the folder for this");
        Self(path)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // If it stays there it is in nobody's way.
        let _ = fs::remove_file(&self.0);
    }
}

/// What a program printed, with the end that it came to.
fn printed(output: &Output, code: i32) -> &str {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    str::from_utf8(&output.stdout).expect("it prints text")
}

/// A number in LEB128, and what follows it.
fn number(bytes: &[u8]) -> (usize, &[u8]) {
    let length = 1 + bytes.iter().take_while(|byte| **byte & 0x80 != 0).count();
    let (digits, rest) = bytes.split_at(length);
    let digits = digits.iter().rev().map(|digit| usize::from(digit & 0x7f));
    (digits.fold(0, |number, digit| number << 7 | digit), rest)
}

#[test]
fn it_imports_nothing() {
    let Some(path) = module() else { return };
    let bytes = fs::read(path).expect("it is there");
    let mut rest = bytes.strip_prefix(b"\0asm\x01\0\0\0").expect("a module");
    let mut sections = Vec::new();
    while let Some((id, after)) = rest.split_first() {
        let (length, content) = number(after);
        sections.push(*id);
        assert!(*id != 2 || number(content).0 == 0, "it has imports");
        rest = &content[length..];
    }
    let read = [1, 3, 7, 10].iter().all(|id| sections.contains(id));
    assert!(read, "types, functions, exports and code: {sections:?}");
}

#[test]
fn scripted_worlds_under_node_give_the_transcripts_of_the_engine_itself() {
    let Some(mut node) = node("transcript.mjs") else {
        return;
    };
    let file = Written::new("scripts.json", &json());
    let output = node.arg(&file.0).output().expect("node is there");
    let transcripts: Vec<&str> = printed(&output, 0).split_terminator('\0').collect();
    let scripts = scripts();
    assert_eq!(transcripts.len(), scripts.len());
    for (seed, (script, node)) in scripts.iter().zip(transcripts).enumerate() {
        let native = play(&mut Native::new(script), script);
        assert_eq!(difference(&native, node), None, "seed {seed}");
    }
}

#[cfg(feature = "driver")]
mod agent {
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::sync::{Arc, mpsc};
    use std::thread;
    use std::time::Duration;

    use probity_driver::{Config, Driver, Once};
    use probity_engine::check::TargetParams;
    use probity_engine::threshold::{self, Kind};
    use probity_engine::{Closed, GroupId, Reason, Schedule, Spec};
    use probity_spec::{File, WithoutFiles};

    use super::{Written, node, printed};

    const MODULES: &str = "
modules:
  web: {prober: http, timeout: 2s, http: {fail_if_body_matches_regexp: [broken], compression: gzip}}
  banner: {prober: tcp, timeout: 2s, tcp: {query_response: [{expect: '^220 (.*)$'}]}}
";

    /// Servers, by what a connection does there.
    fn serve(talk: fn(&mut TcpStream)) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("it is bound").port();
        // It ends with the test.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                thread::spawn(move || talk(&mut stream));
            }
        });
        port
    }

    /// Reads a request and answers it; a peer that leaves is no concern of ours.
    fn answer(stream: &mut TcpStream, answer: &[u8]) {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let _ = stream.write_all(answer);
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut request);
    }

    /// A port where nobody listens.
    fn nobody() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.local_addr().expect("it is bound").port()
    }

    /// Each module with targets for it.
    fn targets() -> [(&'static str, Vec<String>); 2] {
        let web: [fn(&mut TcpStream); 8] = [
            |it| answer(it, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            |it| answer(it, b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
            |it| answer(it, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nis broken"),
            |it| answer(it, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut"),
            |it| {
                answer(it, b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
            },
            |it| {
                answer(
                    it,
                    b"HTTP/1.0 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip",
                )
            },
            |it| answer(it, b"SSH-2.0-nobody\r\n"),
            |it| {
                let _ = it.read(&mut [0; 4096]);
                thread::sleep(Duration::from_secs(20));
            },
        ];
        let mut web: Vec<String> = web
            .map(serve)
            .map(|port| format!("http://127.0.0.1:{port}/"))
            .into();
        web.push(format!("http://127.0.0.1:{}/", nobody()));
        let banner: [fn(&mut TcpStream); 3] = [
            |it| drop(it.write_all(b"220 mail.test\r\n")),
            |it| drop(it.write_all(b"554 go away\r\n")),
            |_| {},
        ];
        let banner = banner.map(serve).map(|port| format!("127.0.0.1:{port}"));
        [("web", web), ("banner", banner.into())]
    }

    /// What the driver says of each, as the agent prints it.
    fn native(module: &str, targets: &[String]) -> Vec<String> {
        let file = File::parse("modules", MODULES, &WithoutFiles).expect("a valid file");
        let module = file.module(module).expect("it is there");
        let timeout = module.timeout().expect("it has one");
        let module = module.module().expect("its prober is there");
        let driver = Driver::start(Config::default()).expect("threads can be started");
        let said = targets.iter().map(|target| {
            let spec = Spec {
                check: module
                    .target(target, TargetParams::default())
                    .expect("a valid target"),
                schedule: Schedule::new(timeout, timeout, Duration::ZERO)
                    .expect("a valid schedule"),
                threshold: threshold::Config::new(Kind::Plain, 1, 1).expect("valid thresholds"),
                group: GroupId(0),
            };
            let (send, receive) = mpsc::channel();
            let once = Once {
                spec: Arc::new(spec),
                timeout,
                trace: false,
            };
            let started = driver.run_once(once, move |report| drop(send.send(report)));
            started.expect("nothing else is in flight");
            let report = receive.recv().expect("every run is reported");
            let reason = report.outcome.reason().map_or("", Reason::name);
            format!(
                "{} {target} {reason} {}",
                report.outcome.name(),
                report.detail
            )
        });
        said.collect()
    }

    #[test]
    fn with_sockets_of_node_comes_to_the_verdicts_of_the_driver() {
        let file = Written::new("modules.yml", MODULES);
        for (module, targets) in targets() {
            let Some(mut node) = node("agent.mjs") else {
                return;
            };
            let output = node.arg(&file.0).arg(module).args(&targets).output();
            let output = output.expect("node is there");
            let mut said: Vec<&str> = printed(&output, 1).lines().collect();
            let mut expected = native(module, &targets);
            said.sort_unstable();
            expected.sort_unstable();
            assert_eq!(said, expected);
        }
    }

    /// What the agent, with something done to Node first, says of targets of `web`.
    fn with_node(change: &str, modules: &str, targets: &[String], code: i32) -> Option<String> {
        let (file, change) = (
            Written::new("changed.yml", modules),
            Written::new("change.mjs", change),
        );
        let mut node = node("agent.mjs")?;
        let import = format!("--import=file://{}", change.0.display());
        let output = node
            .env("NODE_OPTIONS", import)
            .arg(&file.0)
            .arg("web")
            .args(targets)
            .output()
            .expect("node is there");
        Some(printed(&output, code).to_owned())
    }

    /// A peer may answer, and close, before it has read what it is sent: the agent's
    /// second write fails while the answer has not been read.
    #[test]
    fn what_has_arrived_is_told_before_a_send_that_fails() {
        // It is slow, so that the peer has closed before anything is sent.
        let slow = "import { Socket } from 'node:net';
            const emit = Socket.prototype.emit;
            Socket.prototype.emit = function (what, ...rest) {
              const wait = new Int32Array(new SharedArrayBuffer(4));
              if (what === 'connect') Atomics.wait(wait, 0, 0, 200);
              return emit.call(this, what, ...rest);
            };";
        // More than is sent at once: the first write makes the peer reset, the second fails.
        let modules = format!(
            "modules: {{web: {{prober: http, timeout: 5s, \
             http: {{method: POST, body: '{}', valid_status_codes: [413]}}}}}}",
            "x".repeat(200_000)
        );
        let port = serve(|it| {
            let _ = it.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno");
        });
        let targets = [format!("http://127.0.0.1:{port}/")];
        if let Some(said) = with_node(slow, &modules, &targets, 0) {
            assert!(said.starts_with("success http://127.0.0.1:"), "{said}");
        }
    }

    /// Node knows errors by their names: whose fault each is, is what the driver says.
    #[test]
    fn errors_are_billed_to_whom_the_driver_bills_them() {
        let planted = "import { Socket } from 'node:net';
            const codes = process.env.PLANTED.split(' ');
            Socket.prototype.connect = function ({ port }) {
              const error = Object.assign(new Error('planted'), { code: codes[port - 1000] });
              process.nextTick(() => this.destroy(error));
              return this;
            };";
        // As Linux counts them.
        let errors = [
            ("EPERM", 1),
            ("ENOMEM", 12),
            ("EACCES", 13),
            ("ENFILE", 23),
            ("EMFILE", 24),
            ("ENOSPC", 28),
            ("EADDRINUSE", 98),
            ("EADDRNOTAVAIL", 99),
            ("ENOBUFS", 105),
            ("EPIPE", 32),
            ("EAFNOSUPPORT", 97),
            ("ENETDOWN", 100),
            ("ENETUNREACH", 101),
            ("ECONNABORTED", 103),
            ("ECONNRESET", 104),
            ("ETIMEDOUT", 110),
            ("ECONNREFUSED", 111),
            ("EHOSTDOWN", 112),
            ("EHOSTUNREACH", 113),
        ];
        let codes: Vec<&str> = errors.iter().map(|(code, _)| *code).collect();
        let planted = planted.replace("process.env.PLANTED", &format!("'{}'", codes.join(" ")));
        // Connections are not made in the order of the targets.
        let at = |index: usize| format!("http://192.0.2.7:{}/{}", 1000 + index, errors[index].0);
        let targets: Vec<String> = (0..errors.len()).map(at).collect();
        let Some(said) = with_node(&planted, MODULES, &targets, 1) else {
            return;
        };
        for (code, number) in errors {
            let mut lines = said.lines().map(|line| line.split(' ').collect::<Vec<_>>());
            let words = lines.find(|words| words[1].ends_with(&format!("/{code}")));
            let words = words.unwrap_or_else(|| panic!("{code} is not in {said}"));
            let error = std::io::Error::from_raw_os_error(number);
            match (probity_driver::closed(&error), words[0]) {
                (Closed::Local(reason), "unknown") => assert_eq!(words[2], reason.name(), "{code}"),
                (Closed::Local(reason), _) => panic!("{code} is ours ({reason}): {words:?}"),
                (Closed::Refused, _) => assert_eq!(words[2], "connect_refused", "{code}"),
                (Closed::Unreachable, _) => assert_eq!(words[2], "connect_unreachable", "{code}"),
                (_, outcome) => assert_eq!(outcome, "failure", "{code}"),
            }
        }
    }
}
