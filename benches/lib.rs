//! Benchmarks of the pieces; each file in `benches/` is one program.
//!
//! `cargo bench -p probity-benches` measures, `cargo test -p probity-benches
//! --benches` runs each once to see that it works. Compare ratios within one
//! run: machines are noisy.
