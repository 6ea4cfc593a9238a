//! The example of an agent, run as its user does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use std::{env, thread};

/// Only to fail rather than to hang.
const LIMIT: Duration = Duration::from_secs(30);

/// Ends the process, if the test does before it.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where cargo puts the example beside this test.
fn example() -> PathBuf {
    let test = env::current_exe().expect("a path");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("target/debug/deps/agent-...");
    let path = profile.join("examples/agent");
    assert!(path.exists(), "{path:?}: build it with --examples");
    path
}

#[test]
fn an_agent_takes_targets_while_it_runs_and_says_what_changes() {
    let mut agent = Agent(
        Command::new(example())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts"),
    );
    let mut input = agent.0.stdin.take().expect("a pipe");
    let output = BufReader::new(agent.0.stdout.take().expect("a pipe"));
    let (line, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for read in output.lines() {
            line.send(read.expect("text")).unwrap_or_default();
        }
    });
    let next = || lines.recv_timeout(LIMIT).expect("a line in time");
    assert_eq!(next(), "+ host:port adds a target, - host:port removes it");
    writeln!(input, "+ nonsense").expect("it reads");
    assert!(next().contains("nonsense"));
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let target = server.local_addr().expect("an address");
    writeln!(input, "+ {target}").expect("it reads");
    assert_eq!(next().trim_end(), format!("{target} is up"));
    // Three failures in a row, two seconds apart.
    drop(server);
    let down = next();
    assert!(
        down.starts_with(&format!("{target} is down connect ")),
        "{down}"
    );
    writeln!(input, "- {target}").expect("it reads");
    drop(input);
    let ended = agent.0.wait().expect("it ends");
    assert!(ended.success(), "{ended}");
    reader.join().expect("it was text");
}
