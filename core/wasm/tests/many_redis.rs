//! Ten thousand runs of the check for Redis at once, as it ships: what they take, in a
//! process of their own.
//!
//! Without the module the test says so and looks at nothing, unless
//! `PROBITY_REQUIRE_PEERS` insists on it, as the gate does.

#[path = "support/many.rs"]
mod many;

use probity_transcript::redis_check;

#[test]
fn ten_thousand_wait_for_redis_at_once() {
    let Some(path) = redis_check() else { return };
    let module = std::fs::read(&path).unwrap();
    many::wait_at_once(&module, b"+PONG\r\n");
}
