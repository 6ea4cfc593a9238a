//! The driver against real sockets on loopback.

mod dns;
mod fleet;
mod http;
mod proxy;
mod scripts;
mod starttls;
mod stopping;
#[path = "../support/mod.rs"]
mod support;
mod tcp;
mod tls;
