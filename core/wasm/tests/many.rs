//! Ten thousand guests at once, in a process of their own: what they take of it.

#[path = "guests/guest.rs"]
mod guest;
#[path = "support/many.rs"]
mod many;

use guest::Guest;

#[test]
fn ten_thousand_wait_at_once_and_all_are_answered() {
    many::wait_at_once(&Guest::default().module(), b"me");
}
