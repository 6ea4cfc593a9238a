//! From results to series and text.
//!
//! [`families`] is the one table of what a result looks like; `/probe`
//! ([`probe`]) and `/fleet` ([`fleet`]) both walk it. What checks declare themselves
//! is in [`samples`]. [`own`] is the exporter itself.

pub mod buckets;
pub mod families;
pub mod fleet;
pub mod guests;
pub mod own;
pub mod probe;
mod process;
pub mod samples;
pub mod spent;

#[cfg(test)]
pub(crate) mod bench;
#[cfg(test)]
mod tests;
