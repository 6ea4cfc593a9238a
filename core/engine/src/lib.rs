#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
//! (docs follow)

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod outcome;
pub mod time;
pub mod tls;
