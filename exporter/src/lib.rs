//! The control plane of probity: everything around the engine that a person
//! or a Prometheus server meets.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod app;
pub mod bridge;
pub mod cli;
pub mod control;
pub mod demo;
pub mod discovery;
pub mod events;
pub mod exposition;
pub mod files;
pub mod guests;
pub mod history;
pub mod http;
pub mod journal;
pub mod render;
pub mod seldom;
