#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! Modules and jobs as people write them, to the engine's valid specs.
//!
//! ```text
//! text --yaml--> Node --de--> as written --job, file--> File ---+
//!                                                               +--> Fleet --Delta--> engine
//! file_sd's files --groups--> Group --discovery--> FileSd ------+
//! ```
//!
//! # The file
//!
//! YAML (or JSON, which is YAML) of at most 16 MiB, of which the first document
//! is read; anchors, aliases and merge keys work. Unknown and duplicate keys are
//! mistakes.
//!
//! | key | value |
//! |---|---|
//! | `modules` | names to modules, as in blackbox_exporter. Without the key the modules of [`DEFAULT`] are there; with it, only those that it lists |
//! | `jobs` | a list of jobs |
//!
//! | key of a job | also | default | value |
//! |---|---|---|---|
//! | `job_name` | | | unique in the file |
//! | `module` | | | the name of a module |
//! | `interval` | `periodSeconds` | `1m` | from 1 ms to 366 d |
//! | `timeout` | `timeoutSeconds` | the module's, else `10s`; at most the interval | at most the interval |
//! | `initial_delay` | `initialDelaySeconds` | `0s` | |
//! | `success_threshold` | `successThreshold` | `1` | from 1 |
//! | `failure_threshold` | `failureThreshold` | `3` | from 1 |
//! | `static_configs` | | | list of `{targets: [...], labels: {...}}` |
//! | `file_sd_configs` | | | list of `{files: [...], refresh_interval: 5m}` |
//! | `metrics` | | `full` | `full` or `minimal` |
//! | `classic_buckets` | | `false` | ascending seconds, or `true` for Prometheus' usual ones |
//!
//! Names in the second column are those of the Kubernetes probe API: whole
//! seconds, and 0 stands for the default. Giving both names is a mistake.
//! Durations of jobs are Prometheus' (`1d12h`) or Go's (`1.5s`); the `timeout`
//! of modules is Go's alone. Labels follow Prometheus: those of a group may
//! set `job` and `instance`, an empty value is no label, names that begin with
//! `__` are refused, and so are names that the series themselves use.
//!
//! Files that modules refer to are relative to the working directory, as in
//! blackbox_exporter; where those of `file_sd_configs` begin is said by whoever
//! expands them ([`FilePattern::expand`]), in Prometheus the directory of the
//! file.
//!
//! # Use
//!
//! A [`File`] is valid: whoever has one can build a [`Fleet`] of it without
//! another check. Every mistake on the way there is an [`Error`] with its
//! file, line, column and field, what was expected and what was found.
//!
//! ```
//! use std::collections::BTreeMap;
//! use probity_engine::config::NoFiles;
//! use probity_spec::{File, Fleet, Groups};
//!
//! let text = "
//! jobs:
//!   - job_name: web
//!     module: tcp_connect
//!     interval: 15s
//!     static_configs: [{targets: ['192.0.2.7:80'], labels: {team: core}}]
//! ";
//! let file = File::parse("probity.yml", text, &NoFiles)?;
//! let fleet = Fleet::build(file.jobs(), &BTreeMap::new(), &mut Groups::default());
//! assert_eq!(fleet.targets[0].label("instance"), Some("192.0.2.7:80"));
//!
//! let errors = File::parse("probity.yml", "jobs:\n- job_nam: web", &NoFiles).unwrap_err();
//! assert!(errors.to_string().starts_with("probity.yml:2:3: jobs[0]: field job_nam not found"));
//! # Ok::<(), probity_spec::Errors>(())
//! ```

mod de;
mod defaults;
mod delta;
mod discovery;
mod document;
mod duration;
mod error;
mod file;
mod files;
mod groups;
pub mod identity;
mod job;
mod label;
mod node;
mod render;
mod scalar;
mod services;
mod suggest;
mod targets;
mod timestamp;
mod written;
mod yaml;

pub use defaults::DEFAULT;
pub use delta::Delta;
pub use discovery::{FilePattern, FileSd};
pub use document::read_document;
pub use error::{Error, Errors, LoadError, Position};
pub use file::{File, NamedModule};
pub use files::{SystemFiles, WithoutFiles, words};
pub use groups::{Format, Group, parse_groups};
pub use job::{FileSource, Job, Metrics};
pub use label::{Labels, TAKEN_LABELS};
pub use services::system_params;
pub use targets::{Dropped, Fleet, Groups, Target};
