//! The engine in a simulated world: scenarios by name, a swarm of seeds, and
//! the proof that the checkers see what is wrong.

mod addresses;
mod bad_input;
mod coded;
mod dialogue;
mod heavy;
mod http2;
mod lab;
mod load;
mod names;
mod proof;
mod proxies;
mod schedule;
mod scripts;
mod swarm;
mod tokens;
