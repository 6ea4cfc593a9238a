//! Expressions as deep as they may be, for callers with little stack. Who has too little
//! does not fail: the process ends.

use std::thread;

use super::*;

/// What calls [`compile`].
const COMPILING: usize = 64 << 10;
/// What evaluates: less than the header of the C ABI asks for.
const EVALUATING: usize = 384 << 10;

fn on<T: Send>(stack: usize, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(stack);
        let thread = thread.spawn_scoped(scope, work).unwrap();
        thread.join().unwrap()
    })
}

/// As many levels of brackets as the grammar takes, and as many operators within them as
/// there may be.
fn deepest() -> Vec<(String, String)> {
    let nested = |left: &str, inner: &str, right: &str| {
        format!("{}{inner}{}", left.repeat(95), right.repeat(95))
    };
    let chain = |operator: &str, left: usize| format!("1{}", operator.repeat(left));
    let text = "true".to_owned();
    vec![
        (nested("(", &chain(" + 1", 417), ") == 418"), "1".into()),
        (nested("[", "body", "]") + " == body", text.clone()),
        (
            nested("{1: ", &chain(" + 1", 410), "}") + " == body",
            text.clone(),
        ),
        (
            nested("[1].all(x, ", &chain(" * 1", 130), ")"),
            text.clone(),
        ),
        (nested("!(", "body", ")"), text),
        (
            format!("body{} == 1", ".a".repeat(510)),
            "{\"a\":".repeat(510) + "1" + &"}".repeat(510),
        ),
        (
            format!("body{}", "[0]".repeat(512)),
            "[".repeat(512) + "true" + &"]".repeat(512),
        ),
        (format!("{} == body", chain(" + 1", 510)), "511".into()),
        (format!("body{}", " == body".repeat(255)), "true".into()),
    ]
}

#[test]
fn the_deepest_expressions_need_little_of_who_compiles_and_evaluates_them() {
    let mut taken = 0;
    for (source, body) in deepest() {
        let made = on(COMPILING, || compile(&source));
        let Ok(made) = made else { continue };
        taken += 1;
        on(EVALUATING, || {
            let body = made.read(body.as_bytes()).unwrap();
            // What it says is for other tests.
            let _ = made.holds(&*body);
            drop(made);
        });
    }
    assert!(taken >= 6, "{taken}: most are expressions");
}
