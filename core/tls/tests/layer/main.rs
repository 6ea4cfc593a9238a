//! The layer against a real rustls server, in memory, with certificates made
//! for each test. Time is fixed; see [`common::NOW`].

mod bounds;
mod bytes;
mod certificates;
mod clients;
mod common;
mod config;
mod constraints;
mod handshake;
mod hostile;
mod keys;
mod names;
mod policies;
mod signer;
