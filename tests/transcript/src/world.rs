//! The world of a script.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use crate::host::{Asked, Host, Told};
use crate::line::Text;
use crate::script::{Answer, Event, Happening, Plan, Script, What, bytes};

/// A script in which more happens does not end.
const MAX_TURNS: usize = 1_000_000;

/// Lets a script happen to an engine that was made for it at time 0, and gives
/// the transcript.
///
/// The clock goes from one thing to the next: to the earliest happening or to the
/// engine's next time-out, whichever comes first. Then all that has happened is
/// told, in order of time and, at the same time, of causes; then the time-out is
/// handled if it has come; then all outputs are taken, each of which may make
/// something happen later; and the next time-out is written down. Also what names
/// a connection that is closed already is told: hosts are late, too.
pub fn play(host: &mut impl Host, script: &Script) -> String {
    let mut world = World {
        script,
        host,
        now: 0,
        happenings: BTreeMap::new(),
        caused: 0,
        dialled: HashMap::new(),
        asked: HashMap::new(),
        conns: HashMap::new(),
        targets: Vec::new(),
        runs: Vec::new(),
        transcript: String::new(),
    };
    for command in &script.commands {
        world.happens(command.at, Cause::Command(&command.what));
    }
    world.play();
    world.transcript
}

struct World<'a, H> {
    script: &'a Script,
    host: &'a mut H,
    now: u64,
    /// By time and number of their causes.
    happenings: BTreeMap<(u64, u64), Cause<'a>>,
    caused: u64,
    /// How often each address was dialled.
    dialled: HashMap<String, usize>,
    /// How often each name was asked for.
    asked: HashMap<String, usize>,
    /// By run and number: the plan, and how often something was sent.
    conns: HashMap<(u64, u32), (&'a Plan, usize)>,
    /// Ids, and runs, that the host was given, in order of the commands.
    targets: Vec<Option<u64>>,
    runs: Vec<Option<u64>>,
    transcript: String,
}

#[derive(Clone, Copy)]
enum Cause<'a> {
    Command(&'a What),
    Answer(u64, &'a Answer),
    Event(u64, u32, &'a Happening),
    Flushed(u64, u32),
}

/// Of a list of which the last one goes on for ever.
fn nth<T>(list: Option<&Vec<T>>, index: usize) -> Option<&T> {
    list.and_then(|list| list.get(index).or(list.last()))
}

impl<'a, H: Host> World<'a, H> {
    fn play(&mut self) {
        for _ in 0..MAX_TURNS {
            let timeout = self.host.next_timeout();
            let first = self.happenings.keys().next().map(|(at, _)| *at);
            let Some(next) = first.into_iter().chain(timeout).min() else {
                break;
            };
            if next > self.script.until {
                break;
            }
            self.now = self.now.max(next);
            while let Some(first) = self.happenings.first_entry()
                && first.key().0 <= self.now
            {
                let cause = first.remove();
                self.happen(cause);
            }
            if self.host.next_timeout().is_some_and(|at| at <= self.now) {
                self.host.handle_timeout(self.now);
            }
            self.take_outputs();
            let next = self.host.next_timeout();
            let next = next.map_or("never".into(), |at| at.to_string());
            self.line(format_args!("next {next}"));
        }
        assert!(self.caused < MAX_TURNS as u64, "the script does not end");
        self.now = self.script.until;
        self.host.shutdown(self.now);
        self.take_outputs();
        for number in 0..self.targets.len() {
            let state = self.targets[number].and_then(|id| self.host.state(id));
            let state = state.map_or("gone".into(), |state| state.to_string());
            self.line(format_args!("target {number} {state}"));
        }
        let stats = self.host.stats(self.now);
        self.line(format_args!("stats {stats}"));
    }

    fn line(&mut self, what: std::fmt::Arguments<'_>) {
        writeln!(self.transcript, "@{} {what}", self.now).expect("a string");
    }

    fn happens(&mut self, at: u64, cause: Cause<'a>) {
        self.happenings.insert((at, self.caused), cause);
        self.caused += 1;
    }

    fn events(&mut self, run: u64, conn: u32, events: &'a [Event]) {
        for event in events {
            let cause = Cause::Event(run, conn, &event.what);
            self.happens(self.now + event.after, cause);
        }
    }

    fn happen(&mut self, cause: Cause<'a>) {
        let (now, host) = (self.now, &mut *self.host);
        match cause {
            Cause::Command(what) => self.command(what),
            Cause::Answer(run, answer) if answer.addresses.is_empty() => {
                host.tell(run, Told::Unresolved(&answer.reason), now);
            }
            Cause::Answer(run, answer) => host.tell(run, Told::Resolved(&answer.addresses), now),
            Cause::Flushed(run, conn) => host.tell(run, Told::Flushed(conn), now),
            Cause::Event(run, conn, what) => match what {
                Happening::Opened {} => host.tell(run, Told::Opened(conn), now),
                Happening::Secured(tls) => host.tell(run, Told::Secured(conn, tls), now),
                Happening::Data(text) => host.tell(run, Told::Data(conn, &bytes(text)), now),
                Happening::Closed(ended) => host.tell(run, Told::Closed(conn, ended), now),
            },
        }
    }

    fn command(&mut self, what: &What) {
        let now = self.now;
        let given = |given: &[Option<u64>], number: usize| given.get(number).copied().flatten();
        match what {
            What::Begin => self.host.begin(now),
            What::Drain => self.host.drain(now),
            What::Add { target } => {
                let added = self.host.add(target, now);
                self.answer("add", &added);
                self.targets.push(added.ok());
            }
            What::Run { target } => {
                let started = self.host.run(target, now);
                self.answer("run", &started);
                self.runs.push(started.ok());
            }
            What::Remove { number } => {
                let id = given(&self.targets, *number);
                let done = id.is_some_and(|id| self.host.remove(id, now));
                self.line(format_args!("remove {number} {done}"));
            }
            What::Trigger { number } => {
                let id = given(&self.targets, *number);
                let done = id.is_some_and(|id| self.host.trigger(id, now));
                self.line(format_args!("trigger {number} {done}"));
            }
            What::Cancel { number } => {
                if let Some(run) = given(&self.runs, *number) {
                    self.host.cancel(run, now);
                }
            }
        }
    }

    fn answer(&mut self, what: &str, answer: &Result<u64, String>) {
        match answer {
            Ok(number) => self.line(format_args!("{what} {number:016x}")),
            Err(error) => self.line(format_args!("{what} refused: {}", Text(error))),
        }
    }

    fn take_outputs(&mut self) {
        while let Some((run, asked)) = self.host.output() {
            self.line(format_args!("{run:016x} {asked}"));
            self.react(run, &asked);
        }
    }

    fn react(&mut self, run: u64, asked: &Asked) {
        let script = self.script;
        match asked {
            Asked::Resolve(name, _) => {
                let asked = self.asked.entry(name.clone()).or_default();
                *asked += 1;
                if let Some(answer) = nth(script.names.get(name), *asked - 1) {
                    self.happens(self.now + answer.after, Cause::Answer(run, answer));
                }
            }
            Asked::Open { conn, to, .. } => {
                let dialled = self.dialled.entry(to.to_string()).or_default();
                *dialled += 1;
                if let Some(plan) = nth(script.peers.get(to), *dialled - 1) {
                    self.conns.insert((run, *conn), (plan, 0));
                    self.events(run, *conn, &plan.open);
                }
            }
            Asked::Secure(conn, _) => {
                if let Some((plan, _)) = self.conns.get(&(run, *conn)) {
                    self.events(run, *conn, &plan.secure);
                }
            }
            Asked::Send(conn, _) => {
                if let Some((plan, sent)) = self.conns.get_mut(&(run, *conn)) {
                    *sent += 1;
                    let events = plan.send.get(*sent - 1).map_or(&[][..], Vec::as_slice);
                    self.events(run, *conn, events);
                }
            }
            Asked::Flush(conn) => self.happens(self.now, Cause::Flushed(run, *conn)),
            Asked::Close(_) | Asked::Report(_) => {}
        }
    }
}
