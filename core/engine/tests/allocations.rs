//! Nothing is allocated per run in the steady state: counted by the allocator,
//! so that a copy that is made by mistake shows up.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::{ModuleConfig, TargetParams};
use probity_engine::config::NoFiles;
use probity_engine::resolve::ResolverConfig;
use probity_engine::threshold::{self, Kind};
use probity_engine::{
    Closed, Config, Conn, Engine, GroupId, Input, Instant, Outcome, Output, RunId, Schedule, Spec,
    TargetId,
};
use serde_json::{Value, json};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator unchanged; the
// counter is a plain thread-local cell, which allocates nothing. What `realloc`
// does by default counts as an allocation too.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A multiple of a tick of the wheel, so that a target is always equally late:
/// the histogram of that meets no new value for ever.
const PERIOD: Duration = Duration::from_nanos(10_000 << 20);
const TARGETS: u64 = 8;
/// Time between what is asked and what comes of it.
const TRIP: Duration = Duration::from_millis(1);

/// What a server does, a trip apart.
#[derive(Clone, Copy)]
enum Turn {
    Says(&'static [u8]),
    Leaves,
}

/// What the world has still to tell.
#[derive(Clone, Copy)]
enum News {
    Opened(RunId, Conn),
    /// The n-th turn of the server.
    Turn(RunId, Conn, usize),
}

/// An engine, and a world that itself allocates nothing once it has begun.
struct World {
    engine: Engine,
    now: Instant,
    server: &'static [Turn],
    news: Vec<News>,
    next: Vec<News>,
    reports: u64,
    expected: fn(Outcome) -> bool,
}

impl World {
    fn new(section: Value, server: &'static [Turn], expected: fn(Outcome) -> bool) -> Self {
        let config: ModuleConfig = serde_json::from_value(section).expect("a module");
        let module = config.compile(&NoFiles).expect("a valid module");
        let now = Instant::ZERO;
        let mut engine = Engine::new(
            Config {
                resolver: ResolverConfig::default().hosts("192.0.2.9 named.example\n"),
                ..Config::default()
            },
            now,
        );
        for number in 0..TARGETS {
            let host = match number % 2 {
                0 => "192.0.2.7",
                _ => "named.example",
            };
            let target = format!("http://{host}:8080/health?n={number}");
            let spec = Spec {
                check: module
                    .target(&target, TargetParams::default())
                    .expect("a target"),
                schedule: Schedule::new(PERIOD, PERIOD / 2, Duration::ZERO).expect("a schedule"),
                threshold: threshold::Config::new(Kind::Plain, 1, 3).expect("thresholds"),
                group: GroupId(0),
            };
            engine
                .upsert(TargetId(number), Arc::new(spec), now)
                .expect("room");
        }
        engine.begin(now);
        Self {
            engine,
            now,
            server,
            news: Vec::with_capacity(64),
            next: Vec::with_capacity(64),
            reports: 0,
            expected,
        }
    }

    /// Lets `periods` pass, and counts what was allocated.
    fn pass(&mut self, periods: u32) -> u64 {
        let before = ALLOCATIONS.get();
        let end = self.now + PERIOD * periods;
        while self.now < end {
            self.turn();
        }
        ALLOCATIONS.get() - before
    }

    fn turn(&mut self) {
        std::mem::swap(&mut self.news, &mut self.next);
        for news in self.news.drain(..) {
            match news {
                News::Opened(run, conn) => {
                    self.engine.handle_input(run, Input::Opened(conn), self.now);
                }
                News::Turn(run, conn, number) => {
                    let Some(turn) = self.server.get(number) else {
                        continue;
                    };
                    let input = match turn {
                        Turn::Says(bytes) => Input::Data(conn, bytes),
                        Turn::Leaves => Input::Closed(conn, Closed::End),
                    };
                    self.engine.handle_input(run, input, self.now);
                    self.next.push(News::Turn(run, conn, number + 1));
                }
            }
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.engine.handle_timeout(self.now);
        }
        while let Some((run, output)) = self.engine.poll_output() {
            match output {
                Output::Open(conn, _) => self.next.push(News::Opened(run, conn)),
                Output::Send(conn, _) => self.next.push(News::Turn(run, conn, 0)),
                Output::Report(report) => {
                    assert!((self.expected)(report.outcome), "{}", report.detail);
                    self.reports += 1;
                }
                Output::Resolve(..) | Output::Secure(..) | Output::Flush(_) | Output::Close(_) => {}
            }
        }
        self.now = match self.next.is_empty() {
            false => self.now + TRIP,
            true => self
                .engine
                .poll_timeout()
                .expect("a target is due some time")
                .max(self.now + TRIP),
        };
    }
}

/// The first runs may allocate: buffers are kept for the next ones, histograms
/// meet their values. After that nothing may.
#[track_caller]
fn assert_none(section: Value, server: &'static [Turn], expected: fn(Outcome) -> bool) {
    let mut world = World::new(section, server, expected);
    let first = world.pass(20);
    assert!(first > 0, "the allocator counts");
    let before = world.reports;
    let allocations = world.pass(100);
    let runs = world.reports - before;
    assert!(runs >= TARGETS * 99, "{runs} runs");
    assert_eq!(allocations, 0, "in {runs} runs");
}

fn http() -> Value {
    json!({"prober": "http"})
}

#[test]
fn a_plain_run_allocates_nothing() {
    assert_none(
        http(),
        &[Turn::Says(
            b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 5\r\n\
              Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\nhello",
        )],
        |outcome| outcome.is_success(),
    );
}

#[test]
fn nor_does_one_whose_answer_comes_in_pieces() {
    assert_none(
        http(),
        &[
            Turn::Says(b"HTTP/1.1 200 O"),
            Turn::Says(b"K\r\nTransfer-Encoding: chunked\r\n\r"),
            Turn::Says(b"\n5\r\nhel"),
            Turn::Says(b"lo\r\n1"),
            Turn::Says(b"0;x=y\r\n0123456789abcdef\r\n0\r\n\r\n"),
        ],
        |outcome| outcome.is_success(),
    );
    assert_none(
        http(),
        &[
            Turn::Says(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.0 200"),
            Turn::Says(b" OK\r\n\r\nuntil "),
            Turn::Says(b"the end"),
            Turn::Leaves,
        ],
        |outcome| outcome.is_success(),
    );
}

/// A fleet that is down must not cost more than one that is up.
#[test]
fn nor_does_one_that_fails() {
    assert_none(
        http(),
        &[Turn::Says(
            b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        )],
        |outcome| matches!(outcome, Outcome::Failure(_)),
    );
    assert_none(http(), &[Turn::Says(b"garbage")], |outcome| {
        matches!(outcome, Outcome::Failure(_))
    });
    // Nobody answers: the deadline ends it.
    assert_none(http(), &[], |outcome| {
        matches!(outcome, Outcome::Failure(_))
    });
}

#[test]
fn nor_does_one_that_is_sent_a_body_and_fields() {
    assert_none(
        json!({"prober": "http", "http": {
            "method": "POST",
            "body": "x".repeat(100),
            "headers": {"X-Team": "sre"},
            "basic_auth": {"username": "u", "password": "p"},
            "body_size_limit": "1KB",
        }}),
        &[Turn::Says(b"HTTP/1.1 204 No Content\r\n\r\n")],
        |outcome| outcome.is_success(),
    );
}

#[test]
fn nor_does_one_whose_body_and_fields_are_matched() {
    assert_none(
        json!({"prober": "http", "http": {
            "fail_if_body_not_matches_regexp": ["^all is w[a-z]+$"],
            "fail_if_body_matches_regexp": ["(?i)error", "panic"],
            "fail_if_header_not_matches": [{"header": "Server", "regexp": "x"}],
        }}),
        &[
            Turn::Says(b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 11\r\n\r\nall "),
            Turn::Says(b"is well"),
        ],
        |outcome| outcome.is_success(),
    );
}
