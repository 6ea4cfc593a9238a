//! A guest in the text format.

use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The parts of a guest that tests change. Addresses: its texts are below 512, the
/// answer at 512, actions from 1024, what the host writes from 4096 to 65536.
pub(crate) struct Guest {
    /// What `on-event` does: leaves the address of an answer. It has `$event`
    /// (0 connected, 1 data, 2 secured, 3 timer, 4 closed), `$now`, `$p0` (the
    /// address of data, the number of a timer) and `$p1` (the length of data).
    pub(crate) on_event: String,
    /// What it imports on top: those come first in the text format.
    pub(crate) imports: &'static str,
    /// Further fields of the module.
    pub(crate) fields: String,
    /// The version of the world.
    pub(crate) version: &'static str,
    /// What `cabi_realloc` leaves.
    pub(crate) realloc: &'static str,
    /// What `describe` leaves.
    pub(crate) describe: &'static str,
}

impl Default for Guest {
    /// Sends `who` and is content with any answer.
    fn default() -> Self {
        Self::answering(SEND_THEN_UP)
    }
}

/// See [`Guest::default`].
pub(crate) const SEND_THEN_UP: &str = "
    (if (i32.eqz (local.get $event))
      (then (call $action (i32.const 0) (i32.const 0) (i32.const 32) (i32.const 3)))
      (else (call $action (i32.const 0) (i32.const 6) (i32.const 0) (i32.const 0))))
    (call $answer (i32.const 1))";

impl Guest {
    pub(crate) fn answering(on_event: impl Into<String>) -> Self {
        Self {
            on_event: on_event.into(),
            imports: "",
            fields: String::new(),
            version: "0.1.0",
            realloc: "(global.get $next)
                (global.set $next (i32.add (global.get $next)
                  (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8))))",
            describe: "(i32.const 128)",
        }
    }

    pub(crate) fn text(&self) -> String {
        let Self {
            on_event,
            imports,
            fields,
            version,
            realloc,
            describe,
        } = self;
        let world = format!("probity:check/guest@{version}");
        format!(
            r#"(module
  (import "[export]{world}" "[resource-new]session" (func $new (param i32) (result i32)))
  {imports}
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 4096))
  (global $count (mut i32) (i32.const 0))
  (data (i32.const 16) "toy")
  (data (i32.const 24) "1.0.0")
  (data (i32.const 32) "who")
  (data (i32.const 40) "depth_bytes")
  (data (i32.const 56) "How deep it is")
  (data (i32.const 80) "hello")
  ;; name, version, default-port, metrics, phases, config-schema
  (data (i32.const 128) "\10\00\00\00\03\00\00\00\18\00\00\00\05\00\00\00\01\00\92\10")
  (data (i32.const 148) "\c0\00\00\00\01\00\00\00\f0\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00")
  ;; one metric: name, help, kind, labels
  (data (i32.const 192) "\28\00\00\00\0b\00\00\00\38\00\00\00\0e\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  ;; one phase
  (data (i32.const 240) "\50\00\00\00\05\00\00\00")
  ;; a refusal
  (data (i32.const 256) "\01\00\00\00\38\00\00\00\0e\00\00\00")
  (func (export "cabi_realloc")
    (param $old i32) (param $had i32) (param $align i32) (param $size i32) (result i32)
    {realloc})
  (func (export "{world}#describe") (result i32) {describe})
  (func (export "{world}#validate") (param $at i32) (param $length i32) (result i32)
    (select (i32.const 256) (i32.const 280) (i32.gt_u (local.get $length) (i32.const 2))))
  (func (export "{world}#[constructor]session") (param i32) (result i32)
    (call $new (i32.const 1)))
  (func $action (param $i i32) (param $what i32) (param $a i32) (param $b i32)
    (local $at i32)
    (local.set $at (i32.add (i32.const 1024) (i32.shl (local.get $i) (i32.const 5))))
    (i32.store8 (local.get $at) (local.get $what))
    (i32.store offset=8 (local.get $at) (local.get $a))
    (i32.store offset=12 (local.get $at) (local.get $b)))
  (func $list (param $at i32) (param $length i32) (result i32)
    (i32.store (i32.const 512) (local.get $at))
    (i32.store (i32.const 516) (local.get $length))
    (i32.const 512))
  (func $answer (param $length i32) (result i32)
    (call $list (i32.const 1024) (local.get $length)))
  (func (export "{world}#[method]session.on-event")
    (param $self i32) (param $now i64) (param $event i32) (param $p0 i32) (param $p1 i32)
    (param i32 i32 i32 i32 i32 i32 i64) (result i32)
    (local $i i32)
    {on_event})
  {fields}
)"#
        )
    }

    /// The core module, with the description of its world.
    pub(crate) fn module(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        describe(&mut module, self.version);
        module
    }
}

/// Writes the world of this version into a core module.
pub(crate) fn describe(module: &mut Vec<u8>, version: &str) {
    let wit = include_str!("../../../../wasm-checks/wit/check.wit");
    let wit = wit.replace("@0.1.0", &format!("@{version}"));
    let mut resolve = Resolve::default();
    let package = resolve.push_str("check.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8).unwrap();
}
