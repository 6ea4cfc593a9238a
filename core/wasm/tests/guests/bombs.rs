//! Little files that would grow while they are compiled, until there is no memory or no end:
//! they are refused before.

use std::fs;
use std::time::{Duration, Instant};

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::support::refused;

/// Generous: none of them takes 10 ms.
const MOST_TIME: Duration = Duration::from_secs(5);
/// Of the whole process: each of them would take more alone.
const MOST_MEMORY_KIB: u64 = 1 << 20;

/// `each` for the numbers up to `count`, in a row.
fn row(count: u32, each: impl Fn(u32) -> String) -> String {
    (0..count).map(each).collect()
}

/// Each component is in the next one, which instantiates it twice.
fn nested(depth: u32) -> String {
    (0..depth).fold("(component $c)".into(), |inner, _| {
        format!("(component $c {inner} {TWICE})")
    })
}

const TWICE: &str = "(instance (instantiate $c)) (instance (instantiate $c))";

/// Each is beside the last one, which it has from outside.
fn beside(depth: u32) -> String {
    let more = row(depth, |i| {
        let next = i + 1;
        format!("(component $c{next} (alias outer $root $c{i} (component $c)) {TWICE})")
    });
    format!("(component $root (component $c0) {more} (instance (instantiate $c{depth})))")
}

/// Each is made for the last one, which is its argument.
fn passed(depth: u32) -> String {
    let more = row(depth, |i| {
        let next = i + 1;
        format!(
            r#"(component $f{next} (import "c" (component $c))
                 (component $d (alias outer 1 $c (component $c)) {TWICE})
                 (export "d" (component $d)))
               (instance $i{next} (instantiate $f{next} (with "c" (component $d{i}))))
               (alias export $i{next} "d" (component $d{next}))"#
        )
    });
    format!("(component (component $d0) {more} (instance (instantiate $d{depth})))")
}

/// Each is handed out by an instance of what it is in.
fn handed_out(depth: u32) -> String {
    let more = row(depth, |i| {
        let next = i + 1;
        format!(
            r#"(component $f{next}
                 (component $d (alias outer $root $d{i} (component $c)) {TWICE})
                 (export "d" (component $d)))
               (instance $i{next} (instantiate $f{next}))
               (alias export $i{next} "d" (component $d{next}))"#
        )
    });
    format!("(component $root (component $d0) {more} (instance (instantiate $d{depth})))")
}

/// Each type is the last one twice.
fn types(depth: u32) -> String {
    let more = row(depth, |i| {
        let next = i + 1;
        format!("(type $t{next} (tuple $t{i} $t{i}))")
    });
    format!(r#"(component (type $t0 u8) {more} (import "f" (func (param "x" $t{depth}))))"#)
}

/// The same of types of instances.
fn types_of_instances(depth: u32) -> String {
    let more = row(depth, |i| {
        let next = i + 1;
        format!(
            r#"(type $t{next} (instance (alias outer $root $t{i} (type $t))
                 (export "a" (instance (type $t))) (export "b" (instance (type $t)))))"#
        )
    });
    format!(
        r#"(component $root (type $t0 (instance)) {more} (import "i" (instance (type $t{depth}))))"#
    )
}

/// Each type is a list of the last one.
fn lists(depth: u32) -> String {
    let more = row(depth, |i| format!("(type $t{} (list $t{i}))", i + 1));
    format!(r#"(component (type $t0 u8) {more} (import "f" (func (param "x" $t{depth}))))"#)
}

/// Tables that hold something at their end.
fn tables(count: u32, elements: u32) -> String {
    let last = elements - 1;
    let tables = row(count, |i| {
        format!("(table $t{i} {elements} funcref) (elem (table $t{i}) (i32.const {last}) func $f)")
    });
    format!("(component (core module (func $f) {tables}))")
}

fn modules(components: u32) -> String {
    let inner = format!("(component {})", "(core module)".repeat(1_000));
    format!("(component {})", inner.repeat(components as usize))
}

fn locals(functions: u32) -> String {
    let function = format!("(func (local {}))", "i32 ".repeat(50_000));
    format!(
        "(component (core module {}))",
        function.repeat(functions as usize)
    )
}

/// The most memory that this process has had.
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap()
}

/// What is said of it, soon and without much memory.
#[track_caller]
fn defused(name: &str, bytes: &[u8]) -> String {
    let begun = Instant::now();
    let why = refused(bytes);
    let (took, peak) = (begun.elapsed(), peak_kib());
    assert!(took < MOST_TIME, "{name}: {took:?}: {why}");
    assert!(peak < MOST_MEMORY_KIB, "{name}: {peak} KiB: {why}");
    why
}

#[test]
fn a_component_that_would_grow_without_end_is_refused() {
    const LARGE: &str = "bytes besides its modules, with those that are in it written out";
    const STRANGE: &str =
        "expected components that are defined where they are used, found one that is ";
    let strange = |how| format!("{STRANGE}{how}");
    let rows = [
        ("nested", nested(28), LARGE.into()),
        ("barely too deep", nested(14), LARGE.into()),
        ("beyond all numbers", nested(31), LARGE.into()),
        ("beside", beside(28), LARGE.into()),
        ("longer than any number", beside(90), LARGE.into()),
        ("passed", passed(28), strange("imported")),
        ("handed out", handed_out(28), strange("exported")),
        ("types", types(30), "effective type size".into()),
        (
            "types of instances",
            types_of_instances(30),
            "effective type size".into(),
        ),
        ("large types", types(18), "imports the function".into()),
        (
            "large types of instances",
            types_of_instances(17),
            "exports probity:check".into(),
        ),
        ("lists", lists(1_000), "type nesting is too deep".into()),
        (
            "many tables",
            tables(100, 1 << 20),
            "at most 3 tables of a module, found 100".into(),
        ),
        (
            "wide tables",
            tables(3, 1 << 20),
            "at most 1024 elements, found 1048576".into(),
        ),
        (
            "modules",
            modules(10),
            "at most 6 modules, found 10000".into(),
        ),
        (
            "locals",
            locals(100),
            "at most 2500 locals of a function, found 50000".into(),
        ),
    ];
    for (name, text, words) in rows {
        let why = defused(name, &wat::parse_str(text).unwrap());
        assert!(why.contains(&words), "{name}: {why}\nexpected {words}");
    }
    // What is within the bounds is compiled, and is no check for another reason.
    for (name, text) in [("nested", nested(10)), ("beside", beside(10))] {
        let why = defused(name, &wat::parse_str(text).unwrap());
        assert!(why.contains("exports probity:check/guest"), "{name}: {why}");
    }
}

/// The types that a core module describes are those of a component too.
#[test]
fn a_core_module_that_describes_large_types_is_refused() {
    let types = row(30, |i| format!("type t{} = tuple<t{i}, t{i}>;\n", i + 1));
    let wit = format!(
        "package toy:toy; interface i {{ type t0 = u8; {types} f: func(x: t30); }} world w {{ export i; }}"
    );
    let mut resolve = Resolve::default();
    let package = resolve.push_str("toy.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("w")).unwrap();
    let mut module = wat::parse_str("(module)").unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    let why = defused("described", &module);
    assert!(why.contains("effective type size"), "{why}");
}

#[test]
fn what_is_said_of_long_names_is_short() {
    let name = "x".repeat(90_000);
    let text = format!(r#"(component (import "{name}" (func)))"#);
    let why = defused("a name", &wat::parse_str(text).unwrap());
    assert!(why.starts_with("imports the function \"xxx"), "{why}");
    assert_eq!(why.len(), 1_024);
}

/// A component of one module.
fn of_module(text: &str) -> String {
    format!("(component (core module {text}))")
}

/// A component with a type that has so many in it, each in the last one.
fn nested_types(depth: usize) -> Vec<u8> {
    let mut types = vec![1];
    types.extend([0x42, 1, 1].repeat(depth));
    types.extend([0x42, 0]);
    let mut component = b"\0asm\x0d\0\x01\0\x07".to_vec();
    component.extend(leb(types.len()));
    component.extend(types);
    component
}

fn described(description: &[u8]) -> Vec<u8> {
    let mut section = b"\x10component-type:x".to_vec();
    section.extend(description);
    let mut module = b"\0asm\x01\0\0\0\0".to_vec();
    module.extend(leb(section.len()));
    module.extend(section);
    module
}

/// A length in three bytes.
fn leb(length: usize) -> [u8; 3] {
    let part = |shift: u32| (length >> shift & 0x7f) as u8;
    [part(0) | 0x80, part(7) | 0x80, part(14)]
}

#[test]
fn types_that_are_too_deep_for_the_stack_are_refused() {
    const WORDS: &str = "at most 256 types of components and instances inside others, found ";
    for depth in [256, 2_000, 20_000] {
        // With the number of types in the section, which looks like one more.
        let found = format!("{WORDS}{}", depth + 1);
        let component = nested_types(depth);
        for bytes in [&component, &described(&component)] {
            let why = defused("types in types", bytes);
            assert!(why.contains(&found), "{why}");
        }
    }
    let why = defused("barely", &nested_types(255));
    assert!(why.contains("exports probity:check/guest"), "{why}");
    defused("barely, described", &described(&nested_types(255)));
    // As it was written once.
    let mut old = b"\x03\0\x01x".to_vec();
    old.extend(nested_types(20_000));
    let why = defused("in the old format", &described(&old));
    assert!(
        why.contains("description of a world as a component"),
        "{why}"
    );
}

fn values(count: usize) -> String {
    "i64 ".repeat(count)
}

fn calls(results: usize) -> String {
    let drops = "drop ".repeat(results);
    let calls = format!("call $f {drops}").repeat(500);
    format!(
        "(func $f (result {}) unreachable) (func {calls})",
        values(results)
    )
}

fn blocks(parameters: usize, count: usize) -> String {
    let params = values(parameters);
    let begin = "i64.const 1 ".repeat(parameters);
    let blocks = format!("loop (param {params}) {} end ", "drop ".repeat(parameters));
    format!("(func {})", format!("{begin} {blocks}").repeat(count))
}

fn results_of_blocks(count: usize) -> String {
    let block = "block (result i64) local.get 0 end local.set 0 ";
    format!("(func (param i64) {})", block.repeat(count))
}

fn nested_blocks(kind: &str, depth: usize) -> String {
    format!(
        "(func {} {})",
        format!("{kind} ").repeat(depth),
        "end ".repeat(depth)
    )
}

fn operands(count: usize) -> String {
    let (begin, end) = ("local.get 0 ".repeat(count), "drop ".repeat(count));
    format!(
        "(func (param i64) {begin} {} {end})",
        "loop end ".repeat(100)
    )
}

fn conditions(locals: usize, count: usize) -> String {
    let conditions = "local.get 0 if local.get 0 local.set 1 end ".repeat(count);
    format!(
        "(func (param i32) (local {}) {conditions})",
        "i32 ".repeat(locals)
    )
}

fn elements(count: usize) -> String {
    let entries = "$f ".repeat(count);
    format!("(table 1 funcref) (func $f) (elem func {entries})")
}

fn constant(additions: usize) -> String {
    let terms = "i64.const 1 i64.add ".repeat(additions);
    format!("(global i64 i64.const 1 {terms})")
}

fn segments(count: usize) -> String {
    let segments = r#"(data (i32.const 0) "x")"#.repeat(count);
    format!("(memory 1) {segments}")
}

fn large(operators: usize) -> String {
    format!(
        "(func (param i64) {})",
        "local.get 0 drop ".repeat(operators)
    )
}

#[test]
fn functions_that_would_take_long_to_compile_are_refused() {
    let rows = [
        (
            calls(1_000),
            calls(8),
            "8 results of a function, found 1000",
        ),
        (
            blocks(9, 1),
            blocks(8, 500),
            "8 parameters of a block, found 9",
        ),
        (
            results_of_blocks(20_000),
            results_of_blocks(4_000),
            "8000 results and parameters of blocks",
        ),
        (
            nested_blocks("loop", 1_000),
            nested_blocks("loop", 100),
            "100 loops in loops, found 101",
        ),
        (
            nested_blocks("block", 100_000),
            nested_blocks("block", 3_000),
            "3200 blocks in blocks, found 3201",
        ),
        (
            operands(1_000),
            operands(256),
            "256 operands at once, found 257",
        ),
        (
            conditions(40_000, 1),
            conditions(2_400, 30),
            "2500 locals of a function, found 40001",
        ),
        (
            conditions(2_400, 2_000),
            conditions(2_400, 30),
            "values at the blocks and calls of a",
        ),
        (
            "(func)".repeat(20_000),
            "(func)".repeat(1_000),
            "functions in a file of its size, found 20000",
        ),
        (
            elements(100_000),
            elements(2_000),
            "2048 elements and segments of them, found 100001",
        ),
        (
            segments(10_000),
            segments(1_000),
            "segments of data in a file of its size, found 10000",
        ),
        (
            constant(10_000),
            constant(50),
            "256 bytes of a constant, found",
        ),
        (
            large(500_000),
            large(100_000),
            "1048576 bytes of a function, found",
        ),
    ];
    for (beyond, within, words) in rows {
        let why = defused(words, &wat::parse_str(of_module(&beyond)).unwrap());
        assert!(why.contains(words), "{why}\nexpected {words}");
        let why = defused(words, &wat::parse_str(of_module(&within)).unwrap());
        assert!(
            why.contains("exports probity:check/guest"),
            "{words}: {why}"
        );
    }
}
