//! The examples in C, C++ and Python, against servers of the test, and what
//! valgrind has to say about them.
//!
//! Without valgrind or python3 their tests say so and look at nothing, unless
//! `PROBITY_REQUIRE_PEERS` insists on them, as the gate does.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::{env, fs, thread};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256};
use rustls::pki_types::PrivateKeyDer;
use rustls::version::TLS13;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the library, which is built first.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "-p", "probity-ffi"])
            .current_dir(folder())
            .status();
        assert!(built.is_ok_and(|status| status.success()), "cargo build");
        // .../target/debug/deps/c-0123: two up is where libraries are put.
        let this = env::current_exe().expect("a test knows where it is");
        let folder = this.ancestors().nth(2).expect("it is in target/*/deps");
        assert!(
            folder.join("libprobity.so").exists(),
            "{}",
            folder.display()
        );
        folder.to_owned()
    })
}

/// Compiles an example; warnings are errors.
fn compile(compiler: &[&str], source: &str) -> PathBuf {
    let program = library().join(format!("{}-{source}.out", compiler[0]));
    let made = Command::new(compiler[0])
        .args(&compiler[1..])
        .args([
            "-O1",
            "-g",
            "-Wall",
            "-Wextra",
            "-pedantic",
            "-Werror",
            "-D_GNU_SOURCE",
        ])
        .arg("-I")
        .arg(folder().join("include"))
        .arg(folder().join("examples").join(source))
        .arg("-o")
        .arg(&program)
        .arg("-L")
        .arg(library())
        .arg("-lprobity")
        .arg(format!("-Wl,-rpath,{}", library().display()))
        .output()
        .expect("a C compiler is needed to build this project");
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    program
}

/// Answers every request with 200. It ends with the test.
fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream);
        }
    });
    port
}

fn answer(mut stream: TcpStream) {
    let mut request = [0; 4096];
    // A peer that leaves is no concern of ours.
    let _ = stream.read(&mut request);
    let _ =
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
}

/// A port where nobody listens. One that the system has just given and taken back it
/// may give to the next server.
const fn nobody() -> u16 {
    1
}

fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was just made or found");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin
        .write_all(input.as_bytes())
        .expect("it reads its targets");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    assert!(
        output.status.success(),
        "{:?}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Targets that are up, and some that are down.
fn targets(up: usize, down: usize) -> String {
    let (server, nobody) = (server(), nobody());
    let mut lines = String::new();
    for number in 0..up {
        writeln!(lines, "http://127.0.0.1:{server}/{number}").expect("a string");
    }
    for number in 0..down {
        writeln!(lines, "http://127.0.0.1:{nobody}/{number}").expect("a string");
    }
    lines
}

/// How many lines say that something went up, and down.
fn flips(output: &Output) -> (usize, usize) {
    let text = String::from_utf8_lossy(&output.stdout);
    let count = |word| {
        text.lines()
            .filter(|line| line.split(' ').nth(1) == Some(word))
            .count()
    };
    (count("up"), count("down"))
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    let required = env::var("PROBITY_REQUIRE_PEERS").unwrap_or_default();
    assert!(
        found || !required.split(' ').any(|it| it == program),
        "{program} is required and not there"
    );
    if !found {
        eprintln!("{program} is not there: not tested");
    }
    found
}

const C: &[&str] = &["cc", "-std=c11"];
const CPP: &[&str] = &["c++", "-x", "c++", "-std=c++11"];

/// Errors of memory and leaks end the program with this.
const MEMCHECK: &[&str] = &[
    "--quiet",
    "--error-exitcode=99",
    "--leak-check=full",
    "--show-leak-kinds=definite,indirect",
    "--errors-for-leak-kinds=definite,indirect",
];

#[test]
fn an_agent_with_its_own_loop_probes_a_thousand_targets() {
    let text = fs::read_to_string(folder().join("examples/own_loop.c")).expect("the example");
    assert!(text.lines().count() < 150);
    let program = compile(C, "own_loop.c");
    let output = run(
        Command::new(program).args(["http_2xx", "4"]),
        &targets(990, 10),
    );
    assert_eq!(flips(&output), (990, 10));
}

#[test]
fn memcheck_has_no_complaint_about_the_half_without_io() {
    if is_there("valgrind") {
        let program = compile(C, "own_loop.c");
        let mut command = Command::new("valgrind");
        command.args(MEMCHECK).arg(program).args(["http_2xx", "4"]);
        assert_eq!(flips(&run(&mut command, &targets(30, 5))), (30, 5));
    }
}

/// Answers as [`server`] does, and tells who asks.
fn curious_server() -> (u16, mpsc::Receiver<IpAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let port = listener.local_addr().expect("it is bound").port();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        while let Ok((stream, from)) = listener.accept() {
            // Nobody listens once the test is over.
            let _ = sender.send(from.ip());
            answer(stream);
        }
    });
    (port, receiver)
}

/// Two modules: one that probes from another address of this machine, and one that would
/// from what is none of it.
const SOURCES: &str = "modules:
  here: {prober: http, http: {source_ip_address: 127.0.0.2}}
  nowhere: {prober: http, http: {source_ip_address: 192.0.2.1}}
";

#[test]
fn hosts_probe_from_the_address_that_they_are_told_or_not_at_all() {
    let from_there: IpAddr = [127, 0, 0, 2].into();
    let (port, asked) = curious_server();
    let url = format!("http://127.0.0.1:{port}/");
    let own_loop = compile(C, "own_loop.c");
    let mut command = Command::new(&own_loop);
    let output = run(command.args(["here", "1", SOURCES]), &url);
    assert_eq!(flips(&output), (1, 0));
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [from_there]);
    // What cannot be looked at is neither up nor down.
    let mut command = Command::new(&own_loop);
    let output = run(command.args(["nowhere", "3", SOURCES]), &url);
    assert_eq!(flips(&output), (0, 0));

    let file = library().join(format!("{}-sources.yml", std::process::id()));
    fs::write(&file, SOURCES).expect("the folder is there");
    let tls = compile(C, "tls.c");
    let said = |module| {
        let mut command = Command::new(&tls);
        let output = command.arg(&file).arg(module).arg(&url).output();
        let output = output.expect("the program was just made");
        String::from_utf8(output.stdout).expect("it prints text")
    };
    let (here, nowhere) = (said("here"), said("nowhere"));
    fs::remove_file(&file).expect("it was just made");
    assert!(here.starts_with("success "), "{here}");
    assert!(
        nowhere.starts_with("unknown ") && nowhere.contains(" no_source_port "),
        "{nowhere}"
    );
    assert_eq!(asked.try_iter().collect::<Vec<_>>(), [from_there]);
}

/// Servers whose certificates are good, expired and for another name, and one
/// without TLS; and a file with a module that trusts who vouches for them.
fn tls_servers() -> (PathBuf, [String; 4]) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = CertifiedIssuer::self_signed(params, key).expect("a CA");
    let serve = |name: &str, year| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        let cert = params.signed_by(&key, &ca).expect("a certificate");
        // Memcheck loses track of the bits of AES-GCM in ring's assembly.
        let provider = Arc::new(CryptoProvider {
            cipher_suites: vec![TLS13_CHACHA20_POLY1305_SHA256],
            ..ring::default_provider()
        });
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key);
        let config = Arc::new(config.expect("a server's configuration"));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let port = listener.local_addr().expect("it is bound").port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let tls = ServerConnection::new(Arc::clone(&config)).expect("a connection");
                let mut stream = StreamOwned::new(tls, stream);
                let mut request = [0; 4096];
                // A peer that leaves is no concern of ours.
                let _ = stream.read(&mut request);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        });
        format!("https://127.0.0.1:{port}/")
    };
    let targets = [
        serve("127.0.0.1", 4095),
        serve("127.0.0.1", 2001),
        serve("127.0.0.2", 4095),
        format!("https://127.0.0.1:{}/", server()),
    ];
    // Of several tests at once.
    static MADE: AtomicU32 = AtomicU32::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let pem = library().join(format!("{}-{number}-ca.pem", std::process::id()));
    fs::write(&pem, ca.pem()).expect("the folder is there");
    let file = pem.with_extension("yml");
    let module = format!(
        "{{prober: http, http: {{tls_config: {{ca_file: {}}}}}}}",
        pem.display()
    );
    fs::write(&file, format!("modules: {{web: {module}}}\n")).expect("as above");
    (file, targets)
}

/// Checks those servers with the example, and compares what it says.
fn check_tls_servers(command: &mut Command) {
    let (file, targets) = tls_servers();
    let output = command.arg(&file).arg("web").args(&targets).output();
    let output = output.expect("the program was just made or found");
    for file in [file.with_extension("pem"), file] {
        fs::remove_file(file).expect("it was just made");
    }
    let (text, said) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(1), "{text}\n{said}");
    let about = |number: usize| {
        let mut lines = text
            .lines()
            .skip_while(|line| !line.contains(&targets[number]));
        (
            lines.next().expect("one for each"),
            lines.next().unwrap_or_default(),
        )
    };
    let (verdict, tls) = about(0);
    assert!(verdict.starts_with("success "), "{text}");
    assert!(tls.starts_with("  TLS 1.3 expires=67"), "{text}");
    for (number, reason, learnt) in [
        (1, "tls_certificate_expired", "expires=10"),
        (2, "tls_name_mismatch", "expires=67"),
        (3, "tls_not_tls", ""),
    ] {
        let (verdict, tls) = about(number);
        assert!(verdict.starts_with("failure "), "{text}");
        assert!(verdict.contains(&format!(" {reason} ")), "{text}");
        assert!(tls.contains(learnt), "{text}");
    }
    assert!(said.is_empty(), "{said}");
}

#[test]
fn a_loop_that_carries_bytes_checks_tls_servers() {
    check_tls_servers(&mut Command::new(compile(C, "tls.c")));
}

/// The header says how much stack a thread needs: with less, this would crash.
#[test]
fn the_librarys_tls_needs_no_more_stack_than_the_header_says() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -s 512 && exec \"$@\"", "sh"]);
    check_tls_servers(command.arg(compile(C, "tls.c")));
}

#[test]
fn memcheck_has_no_complaint_about_the_librarys_tls() {
    if is_there("valgrind") {
        let program = compile(C, "tls.c");
        check_tls_servers(Command::new("valgrind").args(MEMCHECK).arg(program));
    }
}

#[test]
fn an_agent_on_our_threads_is_told_what_happens_and_renders_its_fleet() {
    for compiler in [C, CPP] {
        let program = compile(compiler, "agent.c");
        let output = run(
            Command::new(program).args(["http_2xx", "23"]),
            &targets(20, 3),
        );
        assert_eq!(flips(&output), (20, 3));
        let text = String::from_utf8_lossy(&output.stdout);
        let count = |start| text.lines().filter(|line| line.starts_with(start)).count();
        assert_eq!(count("probity_target_up{"), 23);
        assert_eq!(count("probe_http_status_code{"), 23);
        assert_eq!(count("# TYPE probe_success gauge"), 1);
    }
}

#[test]
fn memcheck_has_no_complaint_about_the_half_with_threads() {
    if is_there("valgrind") {
        let program = compile(C, "agent.c");
        let mut command = Command::new("valgrind");
        command.args(MEMCHECK).arg(program).args(["http_2xx", "8"]);
        assert_eq!(flips(&run(&mut command, &targets(5, 3))), (5, 3));
    }
}

#[test]
fn an_agent_in_python_runs_single_checks() {
    if is_there("python3") {
        let (server, nobody) = (server(), nobody());
        let mut command = Command::new("python3");
        command
            .arg(folder().join("examples/agent.py"))
            .arg("http_2xx")
            .arg(format!("http://127.0.0.1:{server}/"))
            .arg(format!("http://127.0.0.1:{nobody}/"))
            .env("PROBITY_LIBRARY", library().join("libprobity.so"));
        let output = command.output().expect("python3 is there");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("success http://127.0.0.1:"), "{text}");
        assert!(lines[1].starts_with("failure http://127.0.0.1:"), "{text}");
        assert!(
            lines[1].contains(" connect_refused connect to 127.0.0.1"),
            "{text}"
        );
    }
}

/// What pkg-config says of the library that was installed under `prefix`.
fn pkg_config(prefix: &Path, options: &[&str]) -> Vec<String> {
    let output = Command::new("pkg-config")
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .args(options)
        .arg("probity")
        .output()
        .expect("pkg-config is there");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("options are text");
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn what_is_installed_is_found_by_pkg_config_and_links_both_ways() {
    if !is_there("pkg-config") {
        return;
    }
    let prefix = library().join("installed");
    let installed = Command::new(folder().join("install"))
        .arg(library())
        .env("PREFIX", &prefix)
        .env_remove("LIBDIR")
        .env_remove("DESTDIR")
        .status();
    assert!(installed.is_ok_and(|status| status.success()));
    for name in ["libprobity.so", "libprobity.so.1", "libprobity.a"] {
        assert!(prefix.join("lib").join(name).exists(), "{name}");
    }
    let agent = |options: Vec<String>| {
        let program = prefix.join("agent");
        let made = Command::new("cc")
            .args(["-std=c11", "-Wall", "-Werror"])
            .arg(folder().join("examples/agent.c"))
            .arg("-o")
            .arg(&program)
            .args(options)
            .output()
            .expect("a C compiler is there");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{said}");
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", prefix.join("lib"));
        let output = run(command.args(["http_2xx", "3"]), &targets(2, 1));
        assert_eq!(flips(&output), (2, 1));
    };
    agent(pkg_config(&prefix, &["--cflags", "--libs"]));
    // Without the shared library the linker takes the other one.
    for name in ["libprobity.so", "libprobity.so.1"] {
        fs::remove_file(prefix.join("lib").join(name)).expect("it was installed");
    }
    agent(pkg_config(&prefix, &["--cflags", "--libs", "--static"]));
}

#[test]
fn nothing_else_is_exported() {
    let output = Command::new("nm")
        .args(["-D", "--defined-only"])
        .arg(library().join("libprobity.so"))
        .output()
        .expect("binutils come with every linker");
    let text = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').next_back())
        .collect();
    assert!(names.contains(&"probity_engine_new"), "{text}");
    let others: Vec<_> = names
        .iter()
        .filter(|name| !name.starts_with("probity_"))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    let header = fs::read_to_string(folder().join("include/probity.h")).expect("it is committed");
    for name in names {
        assert!(
            header.contains(&format!("{name}(")),
            "{name} is not in the header"
        );
    }
}
