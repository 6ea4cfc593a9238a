//! The control plane of probity: everything around the engine that a person
//! or a Prometheus server meets.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod exposition;
