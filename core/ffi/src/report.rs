//! What a finished run says.

use ::probity_engine::fact::{Fact, Facts, Shape, Source};
use ::probity_engine::tls::TlsInfo;
use ::probity_engine::{GroupId, Instant, Last, Outcome, Phase, Phases, Report, TargetId};

use crate::boundary::{Sized_, lend_text};
use crate::secure::Requests;
use crate::types::{probity_address, probity_text, probity_tls_info};
use crate::version::reason_number;

/// The target did all that was asked.
pub const PROBITY_OUTCOME_SUCCESS: u32 = 0;
/// Counts as success, but somebody should know why.
pub const PROBITY_OUTCOME_WARNING: u32 = 1;
/// The target's fault.
pub const PROBITY_OUTCOME_FAILURE: u32 = 2;
/// The prober could not look. Never counts against the target.
pub const PROBITY_OUTCOME_UNKNOWN: u32 = 3;

/// Name resolution; index into `probity_report.phases`.
pub const PROBITY_PHASE_RESOLVE: u32 = 0;
/// Until the transport connection is established.
pub const PROBITY_PHASE_CONNECT: u32 = 1;
/// The TLS handshake.
pub const PROBITY_PHASE_TLS: u32 = 2;
/// From a usable connection to the first byte of the answer.
pub const PROBITY_PHASE_PROCESSING: u32 = 3;
/// From the first byte of the answer to its end.
pub const PROBITY_PHASE_TRANSFER: u32 = 4;

/// Unknown yet, or `probity_report.transition`: none.
pub const PROBITY_HEALTH_UNKNOWN: u32 = 0;
/// Up.
pub const PROBITY_HEALTH_UP: u32 = 1;
/// Down.
pub const PROBITY_HEALTH_DOWN: u32 = 2;

/// A phase that was not completed.
pub const PROBITY_NOT_COMPLETED: u64 = u64::MAX;

/// A number that a check has found out.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_fact {
    /// The name of the series, `probe_http_status_code`.
    pub name: probity_text,
    /// The name of a label beside the target's own; empty: none.
    pub label: probity_text,
    /// Its value.
    pub label_value: probity_text,
    /// The number.
    pub value: f64,
}

/// The result of one run. All that it points to is lent until the next call with
/// the engine, or for the duration of the callback that got it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_report {
    /// Bytes of this struct.
    pub size: usize,
    /// Whose run it was; 0 for one that was asked for by itself.
    pub target: u64,
    /// The verdict on this one run, `PROBITY_OUTCOME_...`.
    pub outcome: u32,
    /// Why, see `probity_reason_name`; 0 for a plain success.
    pub reason: u32,
    /// One sentence for a person; empty for a plain success.
    pub detail: probity_text,
    /// The phase in which the run ended, `PROBITY_PHASE_...`.
    pub phase: u32,
    /// The health that this result has brought about, `PROBITY_HEALTH_...`;
    /// `PROBITY_HEALTH_UNKNOWN` if it has changed nothing.
    pub transition: u32,
    /// Runs that the report stands for: 1, or as many as came due before the
    /// prober looked again, all of them missed.
    pub runs: u64,
    /// When the run should have started, in nanoseconds of the host's clock.
    pub due: u64,
    /// When it did.
    pub started: u64,
    /// When it ended.
    pub finished: u64,
    /// How long the target took, in nanoseconds, without the time for which the
    /// prober itself held the run back.
    pub total: u64,
    /// How long each phase took, by `PROBITY_PHASE_...`, in nanoseconds;
    /// `PROBITY_NOT_COMPLETED` if it was not completed.
    pub phases: [u64; 5],
    /// The last address that the run connected to; family 0 for none.
    pub address: probity_address,
    /// The last handshake, complete or not; NULL for none.
    pub tls: *const probity_tls_info,
    /// Numbers that the check has found out.
    pub facts: *const probity_fact,
    /// How many.
    pub facts_length: usize,
}

/// A report with all that it points to, so that it can be lent, and what else is.
/// Everything is filled in where it was for the last one: nothing is allocated for
/// each.
pub(crate) struct Lent {
    numbers: Numbers,
    /// Those of other runs, of which the next one may be.
    others: Vec<Numbers>,
    /// Which of these is the next to be given up.
    oldest: usize,
    tls: Option<Box<probity_tls_info>>,
    report: Box<probity_report>,
    pub(crate) requests: Requests,
}

/// The numbers that runs of a table and a shape have.
struct Numbers {
    facts: Vec<probity_fact>,
    /// Where the value of each of these is.
    sources: Vec<Source>,
    table: *const [Fact],
    shape: Shape,
}

/// How many of these are kept. Checks of three kinds that succeed, fail to connect,
/// and fail later, have fewer.
const MOST_NUMBERS: usize = 16;

impl Default for Lent {
    fn default() -> Self {
        Self {
            numbers: Numbers::new(&[], Shape::default()),
            others: Vec::new(),
            oldest: 0,
            tls: None,
            report: Box::new(probity_report {
                size: size_of::<probity_report>(),
                // SAFETY: numbers and pointers, of which all zeros are one.
                ..unsafe { std::mem::zeroed() }
            }),
            requests: Requests::default(),
        }
    }
}

// SAFETY: pointers to what the engine holds or to constants; nobody follows
// them here, and the host is told for how long it may.
unsafe impl Send for Lent {}

impl Lent {
    /// Fills in what `report` says. The pointer is good until this is changed or
    /// what `report` borrows from is.
    #[inline(always)]
    pub(crate) fn fill(&mut self, report: &Report<'_>) -> *const probity_report {
        // A copy, so that no more than this has to be in one place, where a phase is
        // found by its number.
        let phases = report.phases;
        self.fill_facts(report.spec.check.facts(), report.facts, &phases);
        let tls = report.tls.map(|info| self.fill_tls(info));
        let it = &mut *self.report;
        it.target = report.target.map_or(0, |target| target.0);
        it.outcome = outcome_number(report.outcome);
        it.reason = report.outcome.reason().map_or(0, reason_number);
        it.detail = lend_text(report.detail);
        it.phase = phase_number(report.phase);
        it.transition = health(report.transition.map(|it| it.to));
        it.runs = report.runs;
        it.due = report.due.as_nanos();
        it.started = report.started.as_nanos();
        it.finished = report.finished.as_nanos();
        it.total = nanos(report.total);
        it.phases = Phase::ALL.map(|phase| phases.nanos(phase).unwrap_or(PROBITY_NOT_COMPLETED));
        it.address = report.address.map(Into::into).unwrap_or_default();
        it.tls = tls.unwrap_or(std::ptr::null());
        it.facts = self.numbers.facts.as_ptr();
        it.facts_length = self.numbers.facts.len();
        &raw const *it
    }

    /// Fills in the numbers of a check. Most runs have the same ones as one not long
    /// before, so that their names stay.
    #[inline(always)]
    fn fill_facts(&mut self, table: &'static [Fact], facts: &Facts, phases: &Phases) {
        let shape = Shape::of(facts, phases);
        if !self.numbers.are_of(table, shape) {
            self.find_numbers(table, shape);
        }
        let Numbers {
            facts: places,
            sources,
            ..
        } = &mut self.numbers;
        for (place, source) in places.iter_mut().zip(sources) {
            place.value = source.read(facts, phases);
        }
    }

    /// Goes on with the numbers of other runs.
    #[inline(never)]
    fn find_numbers(&mut self, table: &'static [Fact], shape: Shape) {
        let mut others = self.others.iter_mut();
        if let Some(found) = others.find(|it| it.are_of(table, shape)) {
            std::mem::swap(&mut self.numbers, found);
            return;
        }
        let before = std::mem::replace(&mut self.numbers, Numbers::new(table, shape));
        if before.table.is_empty() {
            // The first report.
        } else if self.others.len() + 1 < MOST_NUMBERS {
            self.others.push(before);
        } else {
            self.others[self.oldest] = before;
            self.oldest = (self.oldest + 1) % self.others.len();
        }
    }

    #[cold]
    fn fill_tls(&mut self, info: &TlsInfo) -> *const probity_tls_info {
        let filled = tls_info(info);
        match &mut self.tls {
            Some(place) => **place = filled,
            None => self.tls = Some(Box::new(filled)),
        }
        let place = self.tls.as_deref();
        place.map_or(std::ptr::null(), std::ptr::from_ref)
    }
}

impl Numbers {
    /// Their names; values are to be filled in.
    #[cold]
    fn new(table: &'static [Fact], shape: Shape) -> Self {
        let there = table.iter().filter_map(|fact| {
            let (label, label_value) = fact.label.unwrap_or_default();
            let named = probity_fact {
                name: lend_text(fact.name),
                label: lend_text(label),
                label_value: lend_text(label_value),
                value: 0.0,
            };
            Some((named, shape.source(fact)?))
        });
        let (facts, sources) = there.unzip();
        Self {
            facts,
            sources,
            table,
            shape,
        }
    }

    #[inline(always)]
    fn are_of(&self, table: &'static [Fact], shape: Shape) -> bool {
        self.shape == shape && std::ptr::eq(self.table, table)
    }
}

pub(crate) fn outcome_number(outcome: Outcome) -> u32 {
    match outcome {
        Outcome::Success => PROBITY_OUTCOME_SUCCESS,
        Outcome::Warning(_) => PROBITY_OUTCOME_WARNING,
        Outcome::Failure(_) => PROBITY_OUTCOME_FAILURE,
        Outcome::Unknown(_) => PROBITY_OUTCOME_UNKNOWN,
    }
}

pub(crate) fn phase_number(phase: Phase) -> u32 {
    match phase {
        Phase::Resolve => PROBITY_PHASE_RESOLVE,
        Phase::Connect => PROBITY_PHASE_CONNECT,
        Phase::Tls => PROBITY_PHASE_TLS,
        Phase::Processing => PROBITY_PHASE_PROCESSING,
        Phase::Transfer => PROBITY_PHASE_TRANSFER,
    }
}

pub(crate) fn health(up: Option<bool>) -> u32 {
    match up {
        None => PROBITY_HEALTH_UNKNOWN,
        Some(true) => PROBITY_HEALTH_UP,
        Some(false) => PROBITY_HEALTH_DOWN,
    }
}

pub(crate) fn nanos(spent: std::time::Duration) -> u64 {
    let seconds = spent.as_secs().checked_mul(1_000_000_000);
    let whole = seconds.and_then(|it| it.checked_add(spent.subsec_nanos().into()));
    whole.unwrap_or(u64::MAX - 1)
}

fn tls_info(info: &TlsInfo) -> probity_tls_info {
    let chain = info.chain.as_deref();
    let text = |text: Option<&str>| lend_text(text.unwrap_or_default());
    let alpn = info
        .alpn
        .as_deref()
        .map(|alpn| str::from_utf8(alpn).unwrap_or_default());
    probity_tls_info {
        size: size_of::<probity_tls_info>(),
        version: lend_text(info.version),
        cipher: lend_text(info.cipher),
        alpn: text(alpn),
        earliest_expiry: chain.map_or(0, |chain| chain.earliest_expiry),
        chain_expiry: chain.and_then(|chain| chain.chain_expiry).unwrap_or(0),
        fingerprint_sha256: text(chain.map(|chain| chain.fingerprint_sha256.as_str())),
        subject: text(chain.map(|chain| chain.subject.as_str())),
        issuer: text(chain.map(|chain| chain.issuer.as_str())),
        subject_alternative: text(chain.map(|chain| chain.subject_alternative.as_str())),
        serial: text(chain.map(|chain| chain.serial.as_str())),
    }
}

// SAFETY: numbers and pointers that the caller only receives.
unsafe impl Sized_ for probity_report {
    const FIRST: usize = size_of::<Self>();
}

/// What is known of a target. Begin with `size = sizeof(...)` where you make it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_target_state {
    /// Bytes of this struct.
    pub size: usize,
    /// Its id.
    pub id: u64,
    /// Its health after thresholds, `PROBITY_HEALTH_...`.
    pub health: u32,
    /// The group that it is counted with.
    pub group: u32,
    /// The verdict on its last run, `PROBITY_OUTCOME_...`; means nothing while
    /// `finished` is 0.
    pub outcome: u32,
    /// Why, see `probity_reason_name`; 0 for a plain success.
    pub reason: u32,
    /// One sentence about the last run, lent until the next call with the engine,
    /// or for the duration of the callback that got it.
    pub detail: probity_text,
    /// When the last run ended, in nanoseconds of the clock; 0: none has.
    pub finished: u64,
    /// How long the target took, in nanoseconds.
    pub total: u64,
    /// When its next run is due, in nanoseconds of the clock.
    pub next: u64,
    /// Results so far, by `PROBITY_OUTCOME_...`.
    pub results: [u64; 4],
}

// SAFETY: numbers and pointers that the caller only receives.
unsafe impl Sized_ for probity_target_state {
    const FIRST: usize = size_of::<Self>();
}

impl probity_target_state {
    /// What `last` borrows is lent on.
    pub(crate) fn new(
        id: TargetId,
        group: GroupId,
        up: Option<bool>,
        results: [u64; 4],
        next: Instant,
        last: Option<&Last>,
    ) -> Self {
        let outcome = last.map(|last| last.outcome);
        Self {
            size: size_of::<Self>(),
            id: id.0,
            health: health(up),
            group: group.0,
            outcome: outcome.map_or(0, outcome_number),
            reason: outcome.and_then(Outcome::reason).map_or(0, reason_number),
            detail: lend_text(last.map_or("", |last| &last.detail)),
            finished: last.map_or(0, |last| last.finished.as_nanos()),
            total: last.map_or(0, |last| nanos(last.total)),
            next: next.as_nanos(),
            results,
        }
    }
}
