//! What a scrape of the fleet holds: counted by the allocator, so that neither a copy
//! of what the engine knows nor a family that is held back passes unseen.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use probity::exposition::{Encoder, Format};
use probity::render::fleet::{self, Entry, Index, JobView};
use probity_driver::Row;
use probity_engine::{Closed, Config, Engine, Input, Instant, Output, TargetId};
use probity_spec::{File, Fleet, Groups, SystemFiles};

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is passed on to the system's allocator unchanged; the
// counters are plain thread-local cells, which allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get() + layout.size() as isize);
        MOST.set(MOST.get().max(HELD.get()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.set(HELD.get() - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `act` yields, and how many bytes were held on top at once meanwhile.
fn on_top<T>(act: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    MOST.set(before);
    let yielded = act();
    let most = usize::try_from(MOST.get() - before);
    (yielded, most.expect("it began there"))
}

const TARGETS: usize = 5_000;
/// A row, and what a scrape keeps beside it.
const PER_TARGET: usize = 48 + 48;
/// Pieces on their way, and what does not depend on the fleet.
const BESIDE: usize = 192 * 1024;

/// A fleet, and an engine in which each target has had two results.
struct World {
    engine: Engine,
    index: Index,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let list: Vec<String> = (0..TARGETS)
            .map(|id| format!("'192.0.2.1:{}'", id + 1))
            .collect();
        let list = list.join(",");
        let text = format!(
            "jobs: [{{job_name: web, module: tcp_connect, static_configs: [{{targets: [{list}]}}]}}]"
        );
        let file = File::parse("t", &text, &SystemFiles).expect("a good file");
        let fleet = Fleet::build(file.jobs(), &BTreeMap::new(), &mut Groups::default());
        let now = Instant::ZERO;
        let mut engine = Engine::new(Config::default(), now);
        let entries = fleet.targets.into_iter().map(|target| {
            let added = engine.upsert(target.id, Arc::clone(&target.spec), now);
            added.expect("there is room");
            Entry {
                id: target.id,
                job: target.job,
                labels: fleet::labels(&target.labels).expect("names"),
                target: target.name,
                pairs: target.labels,
                spec: target.spec,
            }
        });
        let job = JobView {
            name: "web".into(),
            ..JobView::default()
        };
        let index = Index::new(vec![job], entries.collect());
        engine.begin(now);
        let mut world = Self { engine, index, now };
        world.probe_all();
        world.probe_all();
        world
    }

    /// Lets each target have a result.
    fn probe_all(&mut self) {
        let mut results = 0;
        while results < TARGETS {
            self.now = self.engine.poll_timeout().expect("there is more to come");
            self.engine.handle_timeout(self.now);
            let mut opened = Vec::new();
            loop {
                match self.engine.poll_output() {
                    Some((run, Output::Open(conn, _))) => opened.push((run, conn)),
                    Some((_, Output::Report(_))) => results += 1,
                    Some(_) => {}
                    None => match opened.pop() {
                        Some((run, conn)) => {
                            let refused = Input::Closed(conn, Closed::Refused);
                            self.engine.handle_input(run, refused, self.now);
                        }
                        None => break,
                    },
                }
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        let mut rows = Vec::with_capacity(TARGETS);
        let targets = self.engine.targets_in(0..self.engine.target_slots());
        rows.extend(targets.map(|target| Row::from(&target)));
        rows.sort_unstable_by_key(|row| row.id);
        rows
    }
}

/// Takes everything, and remembers how much there was at once.
#[derive(Default)]
struct Sink {
    all: usize,
    largest: usize,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.all += bytes.len();
        self.largest = self.largest.max(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_scrape_holds_a_hundred_bytes_of_a_target_in_every_format() {
    let world = World::new();
    for format in [Format::Text004, Format::OpenMetrics1, Format::Protobuf] {
        let (sink, held) = on_top(|| {
            let rows = world.rows();
            let mut encoder = Encoder::new(format, Sink::default());
            fleet::write(&mut encoder, &world.index, &rows).expect("a sink takes all");
            encoder.finish().expect("a sink takes all")
        });
        assert!(sink.all > 500 * TARGETS, "{format:?}: {} bytes", sink.all);
        assert!(
            sink.largest < 80_000,
            "{format:?}: {} at once",
            sink.largest
        );
        let most = TARGETS * PER_TARGET + BESIDE;
        assert!(held <= most, "{format:?}: {held} bytes, at most {most}");
    }
}

#[test]
fn a_copy_stays_what_it_was_and_costs_only_what_has_changed() {
    let mut world = World::new();
    let before = world.rows();
    let (_, shared) = on_top(|| world.probe_all());
    let after = world.rows();
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.results(), [0, 0, 2, 0]);
        assert_eq!(after.results(), [0, 0, 3, 0]);
        let counts = [before, after].map(|row| row.histogram().map(|it| it.count()));
        assert_eq!(counts, [Some(2), Some(3)]);
    }
    // With nobody looking, results are written where the last ones were.
    drop((before, after));
    let place = |world: &World, id: TargetId| {
        let target = world.engine.target(id).expect("it is registered");
        Arc::as_ptr(target.record.expect("it had results"))
    };
    let some = world.index.entries()[7].id;
    let was = place(&world, some);
    let (_, alone) = on_top(|| world.probe_all());
    assert_eq!(place(&world, some), was);
    assert!(
        shared > 300 * TARGETS && alone < 50 * TARGETS,
        "{shared} bytes beside a copy, {alone} without"
    );
}
