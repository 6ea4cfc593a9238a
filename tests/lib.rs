//! What the suites beside it share. The suites are the `[[test]]` targets, one
//! folder each.

#[cfg(feature = "exporter")]
pub mod support;
