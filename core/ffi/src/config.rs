//! Files, modules and targets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::probity_engine::check::TargetParams;
use ::probity_engine::config::Files;
use ::probity_engine::threshold::{self, Kind};
use ::probity_engine::{GroupId, Schedule, Spec, TargetId};
use probity_spec::{
    DEFAULT, File, Fleet, Groups, Labels, SystemFiles, Target, WithoutFiles, identity,
};

use crate::boundary::{self, Said, Sized_};
use crate::handle::Table;
use crate::result::{Result, probity_result};
use crate::types::{probity_buffer, probity_text};

/// A parsed configuration: modules, jobs and targets. Immutable; may be used for
/// any number of engines and drivers, and freed while these still use its
/// targets.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_config {
    /// Never 0 for a handle that was given out.
    pub bits: u64,
}

static CONFIGS: Table<Arc<Parsed>> = Table::new(1);

pub(crate) struct Parsed {
    file: File,
    targets: Vec<Target>,
    /// Those of each target as one text.
    labels: Vec<String>,
}

/// No file is read for it, and no variable of the environment: not those that modules refer
/// to (certificates, passwords), so that runs of a module that names one are unknown,
/// `local_file`, and not /etc/services, so that ports have numbers or the few names that
/// every machine knows (`http`). Where TLS is the library's it reads the system's roots all
/// the same.
pub const PROBITY_FILES_NONE: u32 = 0;
/// They are read while the configuration is parsed; /etc/services once, when the first
/// target of a job names its port.
pub const PROBITY_FILES_SYSTEM: u32 = 1;

/// Parses a configuration: the file of the exporter, in YAML or JSON. `name` is
/// what errors call it. The empty text stands for the built-in modules
/// (`http_2xx`, `tcp_connect`, ...) and no jobs. Targets are those of
/// `static_configs`; `file_sd_configs` are for the host to follow.
///
/// A module of a prober that this library has not (`icmp`, `dns`, `wasm`, ...) is left out:
/// what names it later gets `PROBITY_RESULT_NO_MODULE`, and a job of this file that does is
/// a mistake.
///
/// `files` is one of `PROBITY_FILES_...`.
///
/// Ownership: the handle is the caller's, to be freed by `probity_config_free`; texts are
/// copied. Threads: any, also at the same moment; it waits for the files that it reads.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_CONFIG` (`error` has a line for each
/// mistake: file, line, column, field, what was expected and what was found; a thread that the
/// system does not give for an expression in CEL is one, too); `PROBITY_RESULT_BAD_ARGUMENT`
/// (`files` is none of these, or a text is not UTF-8); `PROBITY_RESULT_BAD_POINTER` (`config`
/// or a text); `PROBITY_RESULT_FULL` (there are 4,294,967,295 configurations).
///
/// # Safety
/// Texts must have their lengths; `config` and `error` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_config_parse(
    name: probity_text,
    text: probity_text,
    files: u32,
    config: *mut probity_config,
    error: *mut probity_buffer,
) -> probity_result {
    let body = || {
        boundary::can_put(config)?;
        // SAFETY: the caller's promise.
        let (name, text) = unsafe { (boundary::text(name)?, boundary::text(text)?) };
        let files: &dyn Files = match files {
            PROBITY_FILES_NONE => &WithoutFiles,
            PROBITY_FILES_SYSTEM => &SystemFiles,
            _ => return Err(probity_result::BadArgument.into()),
        };
        let text = if text.is_empty() { DEFAULT } else { text };
        let parsed = Parsed::parse(name, text, files)?;
        let bits = CONFIGS.insert(Arc::new(parsed))?;
        // SAFETY: the caller's promise.
        unsafe { boundary::put(config, probity_config { bits }) }?;
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary::guard_saying(error, body) }
}

impl Parsed {
    fn parse(name: &str, text: &str, files: &dyn Files) -> std::result::Result<Self, Said> {
        let file = File::parse(name, text, files)
            .map_err(|errors| Said(probity_result::BadConfig, errors.to_string()))?;
        let fleet = Fleet::build(file.jobs(), &BTreeMap::new(), &mut Groups::default());
        let labels = fleet.targets.iter().map(|target| labels(&target.labels));
        Ok(Self {
            labels: labels.collect(),
            targets: fleet.targets,
            file,
        })
    }
}

/// As Prometheus writes them: backslashes, quotes and line feeds escaped.
pub(crate) fn labels(labels: &Labels) -> String {
    let mut text = String::new();
    for (name, value) in labels.iter() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let value = value.replace('\n', "\\n");
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(&format!("{comma}{name}=\"{value}\""));
    }
    text
}

/// The targets of a configuration's jobs.
pub(crate) fn targets_of(config: probity_config) -> Result<Vec<Target>> {
    Ok(CONFIGS.share(config.bits)?.targets.clone())
}

/// Frees a configuration. Engines and drivers keep what they took from it; texts that it lent
/// are gone. Threads: any, also while calls of others use it.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn probity_config_free(config: probity_config) -> probity_result {
    boundary::guard(|| CONFIGS.remove(config.bits))
}

/// A target of the configuration's jobs.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_config_entry {
    /// Bytes of this struct, set by the caller.
    pub size: usize,
    /// By which the target is known to engines and drivers; stable across
    /// restarts, derived from job, target and labels.
    pub id: u64,
    /// Its job.
    pub job: probity_text,
    /// The target as it is written.
    pub target: probity_text,
    /// Its labels, `job` and `instance` among them, as Prometheus writes them:
    /// `a="b",c="d"`.
    pub labels: probity_text,
}

// SAFETY: numbers and pointers that the caller only receives.
unsafe impl Sized_ for probity_config_entry {
    const FIRST: usize = size_of::<Self>();
}

/// Tells how many targets the jobs of a configuration have. Threads: any, also at the same
/// moment.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_BAD_POINTER`
/// (`count`).
///
/// # Safety
/// `count` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_config_targets(
    config: probity_config,
    count: *mut usize,
) -> probity_result {
    boundary::guard(|| {
        let found = CONFIGS.share(config.bits)?.targets.len();
        // SAFETY: the caller's promise.
        unsafe { boundary::put(count, found) }
    })
}

/// Tells which target has a place in the list, from 0. Texts are lent until the configuration
/// is freed. Threads: any, also at the same moment.
///
/// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (`index` is beyond the end);
/// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_BAD_POINTER` (`entry`);
/// `PROBITY_RESULT_BAD_SIZE` (of `entry`).
///
/// # Safety
/// `entry` may be written, as many bytes as its size says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_config_target(
    config: probity_config,
    index: usize,
    entry: *mut probity_config_entry,
) -> probity_result {
    boundary::guard(|| {
        boundary::can_write_sized(entry)?;
        let parsed = CONFIGS.share(config.bits)?;
        let (Some(target), Some(labels)) = (parsed.targets.get(index), parsed.labels.get(index))
        else {
            return Err(probity_result::Nothing);
        };
        let found = probity_config_entry {
            size: size_of::<probity_config_entry>(),
            id: target.id.0,
            job: boundary::lend_text(parsed.file.jobs()[target.job].name()),
            target: boundary::lend_text(&target.name),
            labels: boundary::lend_text(labels),
        };
        // SAFETY: the caller's promise.
        unsafe { boundary::write_sized(entry, &found) }
    })
}

/// One target in the caller's own words: the common cases without a file. Begin
/// with zeros and `size = sizeof(probity_target)`; zeros and empty texts mean
/// what is said of each field. Times are nanoseconds.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_target {
    /// Bytes of this struct.
    pub size: usize,
    /// The configuration that has the module.
    pub config: probity_config,
    /// The name of the module, such as `http_2xx`. Required.
    pub module: probity_text,
    /// What to probe: a URL, or `host:port`. Required.
    pub target: probity_text,
    /// The Host header of `http`, the TLS server name of `tcp`; empty: from the
    /// target.
    pub hostname: probity_text,
    /// By which it will be known; must be the same after a restart, because it
    /// decides when within the interval the target is probed. 0: derived from
    /// module and target.
    pub id: u64,
    /// Time between two runs, from 1 ms to 366 days; 0: a minute.
    pub interval: u64,
    /// Time that a run may take, from 1 ms to 366 days; 0: the module's, else 10 s, and no more
    /// than the interval. If it is longer than that, as it may be, the next run starts
    /// when the one before has ended.
    pub timeout: u64,
    /// Time after it is added in which no run starts, at most 366 days; 0: none.
    pub initial_delay: u64,
    /// Successes in a row that make it up; 0: 1.
    pub success_threshold: u32,
    /// Failures in a row that make it down; 0: 3.
    pub failure_threshold: u32,
    /// What is decided about, `PROBITY_KIND_...`.
    pub kind: u32,
    /// Number of the group that it is counted with.
    pub group: u32,
}

// SAFETY: numbers and pointers, which are looked at only by `boundary::text`.
unsafe impl Sized_ for probity_target {
    const FIRST: usize = size_of::<Self>();
}

/// Whether a target is up: unknown at first, then as the thresholds say.
pub const PROBITY_KIND_PLAIN: u32 = 0;
/// Whether a container must be restarted, as the kubelet decides it.
pub const PROBITY_KIND_LIVENESS: u32 = 1;
/// Whether a container may get traffic, likewise.
pub const PROBITY_KIND_READINESS: u32 = 2;
/// Whether a container has started, likewise.
pub const PROBITY_KIND_STARTUP: u32 = 3;

/// Why a target is not probed, for a log.
pub(crate) fn refusal(result: probity_result, text: &str) -> String {
    let text = match text {
        "" => result.text(),
        text => text,
    };
    format!("a target was refused: {text}")
}

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A valid target.
pub(crate) struct Wanted {
    pub(crate) id: TargetId,
    pub(crate) spec: Arc<Spec>,
    /// The labels with which it is rendered.
    #[cfg(feature = "driver")]
    pub(crate) labels: String,
}

/// Reads what the caller wants to be probed.
///
/// # Safety
/// `target` must be NULL or point to as many bytes as its size says, and its
/// texts must have their lengths.
pub(crate) unsafe fn wanted(target: *const probity_target) -> std::result::Result<Wanted, Said> {
    // SAFETY: the caller's promise.
    let (it, module, name, hostname) = unsafe {
        let it = boundary::read_sized(target)?;
        let texts = (boundary::text(it.module)?, boundary::text(it.target)?);
        (it, texts.0, texts.1, boundary::text(it.hostname)?)
    };
    let (module_name, mistake) = (module, |text| Said(probity_result::BadArgument, text));
    let parsed = CONFIGS.share(it.config.bits)?;
    let named = parsed.file.module(module_name);
    let unknown = |text| Said(probity_result::NoModule, text);
    let named = named.ok_or_else(|| {
        let names: Vec<_> = parsed.file.modules().map(|(name, _)| name).collect();
        let names = names.join(", ");
        unknown(format!(
            "expected a module of {names}, found {module_name:?}"
        ))
    })?;
    let (module, limit) = (named.module(), named.timeout());
    let module = module.ok_or_else(|| {
        let why = named.rejection().unwrap_or_default();
        unknown(format!("the module {module_name:?} cannot be used: {why}"))
    })?;
    let params = TargetParams {
        hostname: Some(hostname).filter(|it| !it.is_empty()),
        ports: None,
    };
    let check = module
        .target(name, params)
        .map_err(|error| mistake(error.to_string()))?;
    let or = |nanos: u64, usual: Duration| match nanos {
        0 => usual,
        nanos => Duration::from_nanos(nanos),
    };
    let interval = or(it.interval, DEFAULT_INTERVAL);
    let usual = limit.unwrap_or(DEFAULT_TIMEOUT).min(interval);
    let schedule = Schedule::new(
        interval,
        or(it.timeout, usual),
        Duration::from_nanos(it.initial_delay),
    )
    .map_err(|error| mistake(error.to_string()))?;
    let kind = match it.kind {
        PROBITY_KIND_PLAIN => Kind::Plain,
        PROBITY_KIND_LIVENESS => Kind::Liveness,
        PROBITY_KIND_READINESS => Kind::Readiness,
        PROBITY_KIND_STARTUP => Kind::Startup,
        _ => return Err(mistake("kind: expected one of PROBITY_KIND_...".into())),
    };
    let threshold = threshold::Config::new(kind, it.success_threshold, it.failure_threshold)
        .map_err(|error| mistake(error.to_string()))?;
    let id = match it.id {
        0 => identity::target_id(module_name, name, &Labels::default()),
        id => TargetId(id),
    };
    let spec = Arc::new(Spec {
        check,
        schedule,
        threshold,
        group: GroupId(it.group),
    });
    Ok(Wanted {
        id,
        spec,
        #[cfg(feature = "driver")]
        labels: labels(&Labels::from_iter([
            ("instance", name),
            ("module", module_name),
        ])),
    })
}
