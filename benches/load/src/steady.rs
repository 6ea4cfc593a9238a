//! What a plain HTTP run allocates once its target has been seen a few times: the
//! engine alone, and servers that always take as long. That nothing may be is a test
//! of the engine (`core/engine/tests/allocations.rs`, which has more kinds of runs).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use probity_driver::Change;
use probity_engine::{Config, Conn, Engine, Input, Instant, Output, RunId};

use crate::engine::specs;
use crate::farm;
use crate::report::{Bar, Report};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks it for.
pub(crate) struct Counting;

// SAFETY: everything is passed on to the system's allocator unchanged; the counter
// is a plain thread-local cell, which allocates nothing. `realloc` counts too.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

const TARGETS: u32 = 64;
/// A multiple of a tick of the wheel, so that a target is always equally late: its
/// histograms meet no new value for ever.
const PERIOD: Duration = Duration::from_nanos(10_000 << 20);
/// Time between what is asked and what comes of it.
const TRIP: Duration = Duration::from_millis(1);

/// What comes of what was asked.
#[derive(Clone, Copy)]
enum News {
    Opened(RunId, Conn),
    Answer(RunId, Conn),
}

struct World {
    engine: Engine,
    now: Instant,
    news: Vec<News>,
    next: Vec<News>,
    runs: u64,
}

pub(crate) fn measure(report: &mut Report) -> Result<(), String> {
    let place = ["127.0.0.1:9".parse().map_err(|_| "an address")?];
    let timeout = PERIOD / 2;
    let changes = specs(r#"{"prober":"http"}"#, &place, TARGETS, PERIOD, timeout)?;
    let now = Instant::ZERO;
    let mut engine = Engine::new(Config::default(), now);
    for change in changes {
        if let Change::Upsert(id, spec) = change {
            let added = engine.upsert(id, spec, now);
            added.map_err(|_| "no room for the fleet")?;
        }
    }
    engine.begin(now);
    let room = || Vec::with_capacity(2 * TARGETS as usize);
    let (news, next, runs) = (room(), room(), 0);
    let mut world = World {
        engine,
        now,
        news,
        next,
        runs,
    };
    // The first runs pay for what later ones use again.
    world.pass(20)?;
    let (runs, before) = (world.runs, ALLOCATIONS.get());
    world.pass(100)?;
    let (runs, allocations) = (world.runs - runs, ALLOCATIONS.get() - before);
    report.add(
        "http: heap allocations per run in the steady state",
        allocations as f64 / runs as f64,
        "",
        Bar::AtMost(0.0),
    );
    Ok(())
}

impl World {
    fn pass(&mut self, periods: u32) -> Result<(), String> {
        let end = self.now + PERIOD * periods;
        while self.now < end {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), String> {
        std::mem::swap(&mut self.news, &mut self.next);
        for news in self.news.drain(..) {
            let (run, input) = match news {
                News::Opened(run, conn) => (run, Input::Opened(conn)),
                News::Answer(run, conn) => (run, Input::Data(conn, farm::ANSWER)),
            };
            self.engine.handle_input(run, input, self.now);
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.engine.handle_timeout(self.now);
        }
        while let Some((run, output)) = self.engine.poll_output() {
            match output {
                Output::Open(conn, _) => self.next.push(News::Opened(run, conn)),
                Output::Send(conn, _) => self.next.push(News::Answer(run, conn)),
                Output::Report(report) if report.outcome.is_success() => self.runs += 1,
                Output::Report(report) => return Err(format!("a run failed: {}", report.detail)),
                _ => {}
            }
        }
        self.now = match self.engine.poll_timeout() {
            Some(at) if self.next.is_empty() => at.max(self.now + TRIP),
            _ => self.now + TRIP,
        };
        Ok(())
    }
}
