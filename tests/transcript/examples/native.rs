//! Writes the scripts as JSON to the file that is named, and prints the engine's
//! transcripts, each ended by a zero byte: to be compared by hand with those of
//! another host.
//!
//! ```text
//! cargo run -p probity-transcript --example native scripts.json > native.txt
//! node core/ffi/examples/transcript.mjs target/wasm/probity.wasm scripts.json | diff -a native.txt -
//! ```

use std::io::Write as _;

use probity_transcript::{Native, json, play, scripts};

fn main() -> std::io::Result<()> {
    if let Some(file) = std::env::args().nth(1) {
        std::fs::write(file, json())?;
    }
    let mut stdout = std::io::stdout().lock();
    for script in scripts() {
        let transcript = play(&mut Native::new(&script), &script);
        write!(stdout, "{transcript}\0")?;
    }
    Ok(())
}
