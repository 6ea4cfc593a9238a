//! `probity.wasm`, which `core/ffi/build-wasm` builds, gives the transcripts of the
//! engine itself in scripted worlds also under wasmtime. `core/ffi/tests/wasm.rs`
//! has what Node has to say about it.
//!
//! Without the module the test says so and looks at nothing, unless
//! `PROBITY_REQUIRE_PEERS` insists on it, as the gate does.

mod host;
mod module;

use probity_transcript::{Native, difference, play, scripts, wasm_module};

use self::host::Wasm;
use self::module::Probity;

#[test]
fn scripted_worlds_under_wasmtime_give_the_transcripts_of_the_engine_itself() {
    let Some(path) = wasm_module() else { return };
    let mut probity = Probity::load(&path);
    for (seed, script) in scripts().iter().enumerate() {
        let native = play(&mut Native::new(script), script);
        let wasm = play(&mut Wasm::new(&mut probity, script), script);
        assert_eq!(difference(&native, &wasm), None, "seed {seed}");
    }
}
