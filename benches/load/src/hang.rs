//! Servers that accept and never answer: every deadline fires, and when.

use std::time::Duration;

use probity_driver::Handle;
use probity_engine::Outcome;

use crate::Plan;
use crate::cpu;
use crate::engine::{driver, rows, specs, stats};
use crate::farm::Places;
use crate::report::{Bar, Report};

const TIMEOUT: Duration = Duration::from_secs(4);

pub(crate) fn measure(plan: &Plan, places: &Places, report: &mut Report) -> Result<(), String> {
    let targets: u32 = if plan.quick { 200 } else { 18_000 };
    // All are in flight nearly all the time: when a run is over the next is due.
    let interval = TIMEOUT;
    let changes = specs(
        r#"{"prober":"http"}"#,
        &places.silent,
        targets,
        interval,
        TIMEOUT,
    )?;
    let handle = driver(changes)?;
    stats(&handle)?;
    let before = cpu::resident();
    handle.begin().map_err(|error| error.to_string())?;
    // All have begun after one interval; the first have ended by then.
    let mut most = 0;
    let mut resident = before;
    let end = std::time::Instant::now() + 3 * interval;
    while std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(200));
        let now = stats(&handle)?;
        let open: u32 = now
            .workers
            .iter()
            .map(|worker| worker.connections_open)
            .sum();
        most = most.max(open);
        resident = resident.max(cpu::resident());
    }
    let stats = stats(&handle)?;
    let ends = Ends::of(&handle, TIMEOUT)?;
    handle.shutdown(Duration::ZERO);
    let Some((_, group)) = stats.groups.first() else {
        return Err("nothing has ended".into());
    };
    report.add(
        "hang: runs in flight at once",
        f64::from(most),
        "",
        Bar::AtLeast(f64::from(targets)),
    );
    report.add(
        "hang: runs ended by their deadline",
        group.runs[2] as f64,
        "",
        Bar::None,
    );
    report.add(
        "hang: runs that we could not make",
        group.runs[3] as f64,
        "",
        Bar::AtMost(0.0),
    );
    let late = ends.late(0.99);
    report.add("hang: deadline error, p99", late, "ms", Bar::AtMost(5.0));
    let early = ends.late(0.0);
    report.add("hang: earliest deadline", early, "ms", Bar::AtLeast(-0.1));
    let each = resident.saturating_sub(before) as f64 / f64::from(most.max(1));
    report.add(
        "hang: user-space bytes of a run in flight",
        each,
        "B",
        Bar::AtMost(4_096.0),
    );
    Ok(())
}

/// When the last run of each target was ended by its deadline: to the microsecond, which
/// the histograms of a job are not (at 4 s theirs have buckets of 2 ms).
pub(crate) struct Ends(Vec<f64>);

impl Ends {
    /// # Errors
    /// If no run has ended so, or the driver has gone.
    pub(crate) fn of(handle: &Handle, timeout: Duration) -> Result<Self, String> {
        let rows = rows(handle)?;
        let ended = rows.iter().filter_map(|row| row.last());
        let ended = ended.filter(|last| matches!(last.outcome, Outcome::Failure(_)));
        let ended = ended.map(|last| last.total.as_secs_f64() - timeout.as_secs_f64());
        let mut late: Vec<f64> = ended.map(|seconds| seconds * 1e3).collect();
        late.sort_by(f64::total_cmp);
        if late.is_empty() {
            return Err("no run was ended by its deadline".into());
        }
        Ok(Self(late))
    }

    /// Milliseconds beyond the deadline of which this part of the runs stays below; less
    /// than 0 before it. 0 is the earliest, 1 the latest.
    pub(crate) fn late(&self, part: f64) -> f64 {
        let at = (self.0.len() as f64 * part) as usize;
        self.0[at.min(self.0.len() - 1)]
    }
}
