//! One worker: a shard of the engine, its sockets, and the loop that joins
//! them. It is the loop that the engine's documentation describes.
//!
//! What is done between two waits is bounded: events ([`EVENTS`]), reads per
//! socket, bytes that are sent, commands, rows that are copied, runs that the
//! engine starts. What is left over is done in the next turn, after another look at
//! the sockets.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Event;
use mio::{Events, Poll, Token};
use probity_engine::limits::STARTS_PER_TURN;
use probity_engine::{
    Closed, Conn, Engine, GroupId, Input, Instant, Outcome, Output, Phase, Reason, Report,
    ResolveError, RunId, TargetId,
};

use crate::clock::Clock;
use crate::crew::Crew;
use crate::handle::Change;
use crate::inbox::{Answer, Command, Inbox, mark_thread};
use crate::limits::{
    DEFERRED_PER_TURN, EVENTS, GROUPS_PER_TURN, NOTICES, READ_BUFFER, READS_PER_VISIT,
    REVISITS_PER_TURN, UNTIMED_TURNS,
};
use crate::names::Follower;
use crate::net::{Connect, Got, Line, Net, Told, is_up};
use crate::notices::{self, Notice};
use crate::report::Done;
use crate::snapshot::{FleetJob, StatsJob};
use crate::sockets::{Io, Key, Stage};
use crate::stats::{Busy, GroupStats, Groups, ShardStats, WorkerStats};

/// The token of a worker's waker: a slot that no socket reaches.
pub(crate) const WAKE: Token = Token(usize::MAX);

/// See the top of this file.
#[derive(Debug)]
pub(crate) struct Worker {
    number: usize,
    clock: Arc<Clock>,
    engine: Engine,
    /// Looks whether names are resolved in another way now.
    follower: Option<Follower>,
    net: Net,
    book: Book,
    inboxes: Arc<[Inbox]>,
    crew: Crew,
    answers: Vec<Answer>,
    /// The inbox held more than a turn's worth.
    more_commands: bool,
    commands: Vec<Command>,
    copies: VecDeque<Copy>,
    buffer: Box<[u8]>,
    busy: Busy,
    turns: u64,
    /// Single runs for which the engine had no room: those it never saw.
    refused: u64,
    /// Turns since the engine was last told of the time.
    untimed: usize,
    /// Set once the worker was told to stop: when it has to be done.
    stop_at: Option<Instant>,
}

/// A copy under way, and how far it is.
#[derive(Debug)]
enum Copy {
    Fleet(Arc<FleetJob>, u32),
    Stats(Arc<StatsJob>, GroupId, Vec<(GroupId, GroupStats)>),
}

/// Where reports go.
#[derive(Debug)]
struct Book {
    groups: Groups,
    waiting: HashMap<RunId, Done>,
    /// Of this turn.
    collected: Vec<Notice>,
    notices: Arc<notices::Queue>,
}

/// Runs when a worker ends, in whatever way.
struct End {
    number: usize,
    inboxes: Arc<[Inbox]>,
    notices: Arc<notices::Queue>,
}

impl Drop for End {
    fn drop(&mut self) {
        // Not told to: it panics. Then all stop, see the crate's page.
        if std::thread::panicking() {
            for inbox in &*self.inboxes {
                inbox.stop(Instant::ZERO);
            }
        }
        // Whoever waits for what was not begun is told when it is dropped.
        let mut left = Vec::new();
        while self.inboxes[self.number].take(&mut left) {
            left.clear();
        }
        drop(left);
        self.notices.worker_ended();
    }
}

impl Worker {
    pub(crate) fn new(
        number: usize,
        poll: Poll,
        config: probity_engine::Config,
        follower: Option<Follower>,
        clock: Arc<Clock>,
        (inboxes, crew): (Arc<[Inbox]>, Crew),
        notices: Arc<notices::Queue>,
    ) -> Self {
        let now = clock.now();
        Self {
            number,
            engine: Engine::new(config, now),
            follower,
            net: Net::new(poll, Arc::clone(&clock)),
            book: Book {
                groups: Groups::default(),
                waiting: HashMap::new(),
                collected: Vec::new(),
                notices,
            },
            inboxes,
            crew,
            answers: Vec::new(),
            more_commands: false,
            commands: Vec::new(),
            copies: VecDeque::new(),
            buffer: vec![0; READ_BUFFER].into(),
            busy: Busy::new(now),
            turns: 0,
            refused: 0,
            untimed: 0,
            stop_at: None,
            clock,
        }
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) {
        mark_thread();
        let _end = End {
            number: self.number,
            inboxes: Arc::clone(&self.inboxes),
            notices: Arc::clone(&self.book.notices),
        };
        let mut events = Events::with_capacity(EVENTS);
        while !self.is_over() {
            let before = self.clock.now();
            let patience = self.patience(before);
            self.net.wait(&mut events, patience);
            let now = self.clock.now();
            self.busy.waited(now - before, now);
            self.follow_names(now);
            self.turn(&events);
        }
        self.engine.shutdown(self.clock.now());
        self.drain();
        self.book.flush();
    }

    fn is_over(&self) -> bool {
        self.stop_at
            .is_some_and(|at| self.engine.in_flight() == 0 || at <= self.clock.now())
    }

    /// How long to wait for events; `None` is until there is one.
    fn patience(&self, now: Instant) -> Option<Duration> {
        if self.more_commands || self.net.has_work() || !self.copies.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = self.engine.poll_timeout();
        let at = match (next, self.stop_at) {
            (Some(next), Some(stop)) => Some(next.min(stop)),
            (next, stop) => next.or(stop),
        };
        at.map(|at| at - now)
    }

    /// Everything that is done between two waits.
    fn turn(&mut self, events: &Events) {
        self.turns += 1;
        let mut ready = 0;
        for event in events {
            ready += 1;
            if event.token() != WAKE {
                self.ready(event);
            }
        }
        self.visit_again();
        self.tell_deferred();
        // Asked first, and in every turn: a mark that outlives the wake-up that
        // came with it would keep the next one from being sent.
        let signalled = self.inboxes[self.number].is_signalled();
        if signalled || self.more_commands {
            self.obey();
        }
        // Before anybody's time is over.
        self.tell_lines();
        // A full batch leaves others waiting in the kernel, among them answers
        // that came in time: they are looked at before anybody is called late.
        if ready == EVENTS && self.untimed < UNTIMED_TURNS {
            self.untimed += 1;
        } else {
            self.keep_time();
        }
        // When all is known that is to be sent, so that they share the turn.
        self.net.send_on();
        self.tell_lines();
        self.copy();
        self.book.flush();
    }

    /// Before anything begins that may ask for a name.
    fn follow_names(&mut self, now: Instant) {
        let look = |follower: &mut Follower| follower.look(now);
        if let Some(resolver) = self.follower.as_mut().and_then(look) {
            self.engine.set_resolver(resolver);
        }
    }

    /// Does what is due: a turn's worth for each turn that has left it out.
    fn keep_time(&mut self) {
        for _ in 0..=mem::take(&mut self.untimed) {
            let now = self.clock.now();
            if self.engine.poll_timeout().is_none_or(|at| at > now) {
                return;
            }
            self.engine.handle_deadlines(now);
            self.drain();
            self.start_due();
        }
    }

    /// Starts what is due, each run with its own reading of the clock.
    fn start_due(&mut self) {
        for _ in 0..STARTS_PER_TURN {
            if !self.engine.start_due(self.clock.now()) {
                return;
            }
            self.drain();
        }
    }

    /// Tells the engine of one event, with a fresh clock reading, and does
    /// what it asks for in answer.
    fn tell(&mut self, run: RunId, input: Input<'_>) {
        self.engine.handle_input(run, input, self.clock.now());
        self.drain();
    }

    /// Does what the engine asks for.
    fn drain(&mut self) {
        loop {
            self.do_outputs();
            let Some((run, errand)) = self.engine.poll_errand() else {
                return;
            };
            if let Err(reason) = self.crew.give(self.number, run, errand) {
                let now = self.clock.now();
                self.engine.handle_errand(run, Err(reason), now);
            }
        }
    }

    fn do_outputs(&mut self) {
        while let Some((run, output)) = self.engine.poll_output() {
            match output {
                Output::Open(conn, endpoint) => self.net.open(run, conn, endpoint),
                Output::Secure(conn, params) => self.net.secure(run, conn, &params),
                Output::Send(conn, bytes) => self.net.send(run, conn, bytes),
                Output::Flush(conn) => {
                    if self.net.flush(run, conn) {
                        let now = self.clock.now();
                        self.engine.handle_input(run, Input::Flushed(conn), now);
                    }
                }
                Output::Close(conn) => self.net.close(run, conn),
                Output::Report(report) => self.book.report(run, &report),
                Output::Resolve(..) => self.net.told.push_back((run, Told::Unresolved)),
            }
        }
    }

    /// The kernel says that a socket is ready.
    fn ready(&mut self, event: &Event) {
        let key = Key::from(event.token());
        let Some(socket) = self.net.sockets.get_mut(key) else {
            return;
        };
        if let Io::Stream(_, Stage::Connecting) = socket.io {
            match self.net.connected(key, is_up(event)) {
                Connect::Pending => return,
                Connect::Done(run, conn) => self.tell(run, Input::Opened(conn)),
                Connect::Failed(run, conn, closed) => {
                    return self.tell(run, Input::Closed(conn, closed));
                }
            }
        } else if event.is_writable() && socket.has_unsent() {
            self.net.goes_on(key);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            // A short read says nothing about an end that has come already.
            self.read(key, event.is_read_closed() || event.is_error());
        }
    }

    /// Reads what there is, within bounds. `to_the_end`: a short read is no
    /// reason to stop.
    fn read(&mut self, key: Key, to_the_end: bool) {
        for _ in 0..READS_PER_VISIT {
            if self.is_behind(key) {
                break;
            }
            let got = self.net.read(key, &mut self.buffer);
            let Some(socket) = self.net.sockets.get_mut(key) else {
                return;
            };
            let (run, conn) = (socket.run, socket.conn);
            let closed = match got {
                Got::Bytes(len, more) => {
                    self.received(key, run, conn, len);
                    if more || to_the_end {
                        continue;
                    }
                    return;
                }
                Got::Nothing => return,
                Got::End => match &mut socket.io {
                    Io::Stream(_, Stage::Secured(layers)) => layers.ended(),
                    _ => Closed::End,
                },
                Got::Over(closed) => closed,
            };
            return self.over(key, run, conn, closed);
        }
        self.net.look_again(key);
    }

    /// Tells that a connection is over, and closes it. A peer that has ended its own
    /// direction is sent what it is answered at once.
    fn over(&mut self, key: Key, run: RunId, conn: Conn, closed: Closed) {
        let ended = closed == Closed::End;
        if !ended {
            self.net.release(key);
        }
        self.tell(run, Input::Closed(conn, closed));
        if ended {
            self.net.release(key);
        }
    }

    /// Whether the run of a socket is busy with what was read before.
    fn is_behind(&mut self, key: Key) -> bool {
        let socket = self.net.sockets.get_mut(key);
        socket.is_some_and(|socket| self.engine.is_behind(socket.run))
    }

    /// Passes on what was read into the buffer.
    fn received(&mut self, key: Key, run: RunId, conn: Conn, len: usize) {
        let Net {
            sockets, scratch, ..
        } = &mut self.net;
        let bytes = &mut self.buffer[..len];
        let Some(socket) = sockets.get_mut(key) else {
            return;
        };
        let Io::Stream(_, Stage::Secured(layers)) = &mut socket.io else {
            let now = self.clock.now();
            self.engine.handle_input(run, Input::Data(conn, bytes), now);
            return self.drain();
        };
        scratch.clear();
        let (engine, clock) = (&mut self.engine, &self.clock);
        let closed = layers.feed(conn, bytes, scratch, |input| {
            engine.handle_input(run, input, clock.now());
        });
        // The handshake's last words go out before what the engine now wants
        // to send; so does the alert that says why it has failed.
        let records = mem::take(&mut self.net.scratch);
        self.net.write_scratch(key, records);
        let Some(closed) = closed else {
            return self.drain();
        };
        self.over(key, run, conn, closed);
    }

    /// Goes on with sockets that had more to read than a visit may take.
    fn visit_again(&mut self) {
        for _ in 0..self.net.revisits().min(REVISITS_PER_TURN) {
            let Some(key) = self.net.next_revisit() else {
                return;
            };
            self.read(key, true);
        }
    }

    /// Tells the engine what no event tells.
    fn tell_deferred(&mut self) {
        for _ in 0..DEFERRED_PER_TURN {
            let Some((run, told)) = self.net.told.pop_front() else {
                return;
            };
            let unresolved = ResolveError {
                reason: Reason::Internal,
                server: None,
                trouble: None,
            };
            self.tell(
                run,
                match told {
                    Told::Opened(conn) => Input::Opened(conn),
                    Told::Flushed(conn) => Input::Flushed(conn),
                    Told::Closed(conn, closed) => Input::Closed(conn, closed),
                    Told::Unresolved => Input::Resolved(Err(unresolved)),
                },
            );
        }
    }

    /// Tells the engine whose sending waits for us.
    fn tell_lines(&mut self) {
        for (run, line) in self.net.lines.drain(..) {
            match line {
                Line::Since(now) => self.engine.keep(run, now),
                Line::Until(now) => self.engine.end_keep(run, now),
            }
        }
    }

    /// Does a turn's worth of what was asked from outside.
    fn obey(&mut self) {
        let mut answers = mem::take(&mut self.answers);
        self.inboxes[self.number].take_answers(&mut answers);
        for (run, answer) in answers.drain(..) {
            self.engine.handle_errand(run, answer, self.clock.now());
            self.drain();
        }
        self.answers = answers;
        let mut commands = mem::take(&mut self.commands);
        let inbox = &self.inboxes[self.number];
        if let Some(at) = inbox.stop_at() {
            self.engine.drain(self.clock.now());
            self.stop_at = Some(at);
        }
        self.more_commands = inbox.take(&mut commands);
        if self.stop_at.is_some() {
            // What was not begun never will be; see `Done` and `Job`.
            commands.clear();
        }
        for command in commands.drain(..) {
            self.execute(command);
        }
        self.drain();
        self.commands = commands;
    }

    fn execute(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Apply(changes) => {
                for change in changes {
                    match change {
                        Change::Remove(id) => self.engine.remove(id, now),
                        Change::Forget(group) => {
                            // What its targets still have to say is counted first.
                            self.drain();
                            self.book.groups.forget(group);
                        }
                        Change::Upsert(id, spec) => {
                            if self.engine.upsert(id, spec, now).is_err() {
                                self.book.no_room_for(id, now);
                            }
                        }
                    }
                }
            }
            Command::Begin => self.engine.begin(now),
            Command::Once {
                spec,
                timeout,
                trace,
                done,
            } => match self.engine.run_once(spec, timeout, trace, now) {
                Ok(run) => {
                    self.book.waiting.insert(run, done);
                }
                Err(probity_engine::Full) => {
                    self.refused += 1;
                    done.refuse();
                }
            },
            Command::Cancel(number) => {
                let mut waiting = self.book.waiting.iter();
                // There are few of them; a number that is not there is over.
                if let Some((&run, _)) = waiting.find(|(_, done)| done.number() == number) {
                    self.engine.cancel(run, now);
                }
            }
            Command::Fleet(job) => self.copies.push_back(Copy::Fleet(job, 0)),
            Command::Stats(job) => self
                .copies
                .push_back(Copy::Stats(job, GroupId(0), Vec::new())),
        }
    }

    /// Copies one part of what was asked for first.
    fn copy(&mut self) {
        let next = match self.copies.pop_front() {
            None => return,
            Some(Copy::Fleet(job, cursor)) => {
                if job.is_cancelled() {
                    return;
                }
                let mut rows = Vec::new();
                let next = job.query.copy(&self.engine, cursor, &mut rows);
                job.add(rows);
                if next.is_none() {
                    job.answered();
                }
                next.map(|cursor| Copy::Fleet(job, cursor))
            }
            Some(Copy::Stats(job, cursor, mut groups)) => {
                if job.is_cancelled() {
                    return;
                }
                let next = self.book.groups.copy(cursor, GROUPS_PER_TURN, &mut groups);
                match next {
                    Some(cursor) => Some(Copy::Stats(job, cursor, groups)),
                    None => {
                        job.add([self.stats(groups)]);
                        job.answered();
                        None
                    }
                }
            }
        };
        if let Some(next) = next {
            self.copies.push_front(next);
        }
    }

    fn stats(&self, groups: Vec<(GroupId, GroupStats)>) -> ShardStats {
        let mut engine = self.engine.stats(self.clock.now());
        engine.count_refused(Reason::Overload, self.refused);
        ShardStats {
            engine,
            worker: WorkerStats {
                worker: self.number,
                busy_ratio: self.busy.ratio(),
                turns: self.turns,
                connections_open: u32::try_from(self.net.sockets.len()).unwrap_or(u32::MAX),
            },
            groups,
        }
    }
}

impl Book {
    fn report(&mut self, run: RunId, report: &Report<'_>) {
        self.groups.count(report);
        if let Some(notice) = notices::of(report) {
            self.collect(notice);
        }
        if report.target.is_none()
            && let Some(done) = self.waiting.remove(&run)
        {
            done.report(report);
        }
    }

    /// The engine has as many targets as it may.
    fn no_room_for(&mut self, target: TargetId, now: Instant) {
        self.collect(Notice {
            target,
            outcome: Outcome::Unknown(Reason::Overload),
            runs: 1,
            detail: "no room for another target: it is not probed".into(),
            phase: Phase::Resolve,
            at: now,
            transition: None,
        });
    }

    fn collect(&mut self, notice: Notice) {
        self.collected.push(notice);
        // A turn in which everything fails at once.
        if self.collected.len() >= NOTICES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.collected.is_empty() {
            self.notices.append(&mut self.collected);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Waker;

    /// A worker, and a single run of it that is late by now.
    fn with_a_late_run() -> (Worker, std::sync::mpsc::Receiver<crate::OwnedReport>) {
        use probity_engine::check::{ModuleConfig, TargetParams};
        use probity_engine::{Schedule, Spec, threshold};

        let poll = Poll::new().expect("an epoll");
        let waker = Waker::new(poll.registry(), WAKE).expect("an eventfd");
        let clock = Arc::new(Clock::new());
        let config = probity_engine::Config::default();
        let inboxes = Arc::from([Inbox::new(waker)]);
        let notices = Arc::new(notices::Queue::new(1));
        let outside = (Arc::clone(&inboxes), Crew::new(inboxes));
        let mut worker = Worker::new(0, poll, config, None, clock, outside, notices);

        let module = ModuleConfig {
            prober: "tcp".into(),
            ..ModuleConfig::default()
        };
        // The worker is given no event of this socket.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address").to_string();
        let second = Duration::from_secs(1);
        let spec = Arc::new(Spec {
            check: module
                .compile(&probity_engine::config::NoFiles)
                .expect("a module")
                .target(&address, TargetParams::default())
                .expect("a target"),
            schedule: Schedule::new(second, second, Duration::ZERO).expect("a schedule"),
            threshold: threshold::Config::new(threshold::Kind::Plain, 1, 1).expect("thresholds"),
            group: GroupId(0),
        });
        let (tx, rx) = std::sync::mpsc::channel();
        let done = Box::new(move |report| tx.send(report).unwrap_or_default());
        let timeout = Duration::from_millis(1);
        worker.execute(Command::Once {
            done: Done::new(Arc::clone(&spec), Instant::ZERO, 0, done),
            spec,
            timeout,
            trace: false,
        });
        worker.drain();
        std::thread::sleep(10 * timeout);
        (worker, rx)
    }

    /// `count` events of sockets that the worker does not know.
    fn batch(count: usize) -> Events {
        let mut poll = Poll::new().expect("an epoll");
        let mut events = Events::with_capacity(EVENTS);
        let mut sockets = Vec::new();
        for _ in 0..count {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
            let mut socket = mio::net::UdpSocket::from_std(socket);
            poll.registry()
                .register(&mut socket, Token(77), mio::Interest::WRITABLE)
                .expect("registered");
            sockets.push(socket);
        }
        poll.poll(&mut events, None).expect("they are writable");
        assert_eq!(events.iter().count(), count);
        events
    }

    #[test]
    fn timers_wait_for_full_batches_but_not_forever() {
        let (mut worker, reports) = with_a_late_run();
        let full = batch(EVENTS);
        for turn in 0..UNTIMED_TURNS {
            worker.turn(&full);
            assert!(reports.try_recv().is_err(), "turn {turn}");
        }
        worker.turn(&full);
        let report = reports.try_recv().expect("not one turn longer");
        assert!(matches!(report.outcome, Outcome::Failure(_)), "{report:?}");
    }

    #[test]
    fn timers_are_looked_at_once_nothing_waits_in_the_kernel() {
        let (mut worker, reports) = with_a_late_run();
        worker.turn(&batch(EVENTS));
        assert!(reports.try_recv().is_err());
        worker.turn(&batch(EVENTS - 1));
        assert!(reports.try_recv().is_ok());
    }

    #[test]
    fn a_worker_that_panics_stops_them_all() {
        let polls: Vec<_> = (0..2).map(|_| Poll::new().expect("an epoll")).collect();
        let inboxes: Arc<[Inbox]> = polls
            .iter()
            .map(|poll| Inbox::new(Waker::new(poll.registry(), WAKE).expect("an eventfd")))
            .collect();
        let notices = Arc::new(notices::Queue::new(1));
        inboxes[1].push(Command::Begin).expect("running");
        let end = End {
            number: 1,
            inboxes: Arc::clone(&inboxes),
            notices: Arc::clone(&notices),
        };
        let worker = std::thread::spawn(move || {
            let _end = end;
            panic!("a test of what a panic does");
        });
        assert!(worker.join().is_err());
        for inbox in &*inboxes {
            assert!(inbox.push(Command::Begin).is_err(), "stopped");
        }
        assert!(!inboxes[1].take(&mut Vec::new()), "nothing is left in it");
        assert!(notices.take(Duration::from_secs(3600)).stopped);
    }
}
