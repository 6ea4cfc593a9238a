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
//! assert!(errors.to_string().starts_with("probity.yml:2:3: jobs[0]: unknown field `job_nam`"));
//! # Ok::<(), probity_spec::Errors>(())
//! ```

mod de;
mod defaults;
mod delta;
mod discovery;
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
mod suggest;
mod targets;
mod written;
mod yaml;

pub use defaults::DEFAULT;
pub use delta::Delta;
pub use discovery::{FilePattern, FileSd};
pub use error::{Error, Errors, Position};
pub use file::{File, NamedModule};
pub use files::SystemFiles;
pub use groups::{Format, Group, parse_groups};
pub use job::{FileSource, Job, Metrics};
pub use label::Labels;
pub use targets::{Dropped, Fleet, Groups, Target};
