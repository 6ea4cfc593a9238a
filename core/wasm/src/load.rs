//! From the bytes of a file to a component that can be run.

use std::panic::{AssertUnwindSafe, catch_unwind};

use probity_engine::limits::MAX_FILE_BYTES;
use wasmparser::{Encoding, ExportSectionReader, Parser, Payload, TypeRef};
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;
use wit_component::ComponentEncoder;

use crate::pool::Shape;
use crate::{bounds, code, looks, nesting};

/// How code is made of a file: another number for another way, so that none that was kept
/// is taken for it.
pub(crate) const WAY: u32 = 2;

/// The interface that a check exports, and the versions of it that are spoken.
const INTERFACE: &str = "probity:check/guest";
const VERSIONS: &str = "0.1";

/// What becomes of an instance when its run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    /// It is over too: the guest need not be told to let go of its session.
    OneRun,
    /// It may serve another run.
    ManyRuns,
}

impl Life {
    /// In names of files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OneRun => "one",
            Self::ManyRuns => "many",
        }
    }
}

/// Makes a component of a file: as it is, or of a core module that describes its
/// world.
///
/// # Errors
/// What was expected, and what was found.
pub(crate) fn component(
    engine: &Engine,
    bytes: &[u8],
    life: Life,
    shape: &Shape,
) -> Result<Component, String> {
    if bytes.len() > MAX_FILE_BYTES {
        // As who reads files says it.
        return Err(format!("it has more than {MAX_FILE_BYTES} bytes"));
    }
    // What reads them is not ours, and a file may be anything.
    let made = catch_unwind(AssertUnwindSafe(|| {
        let encoding = encoding(bytes)?;
        nesting::check(bytes)?;
        code::check(bytes, shape)?;
        match encoding {
            Encoding::Component => compile(engine, bytes, shape),
            Encoding::Module => {
                check_imports(bytes)?;
                let component = match life {
                    Life::OneRun => encode(&without_ends(bytes)?),
                    Life::ManyRuns => encode(bytes),
                };
                compile(engine, &component?, shape)
            }
        }
    }));
    made.unwrap_or_else(|_| Err("expected a check in Wasm, found what cannot be read".into()))
}

fn encoding(bytes: &[u8]) -> Result<Encoding, String> {
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding),
        _ => {
            let start = bytes[..bytes.len().min(8)].escape_ascii();
            Err(format!(
                "expected WebAssembly (a component or a core module), found a file that begins with \"{start}\""
            ))
        }
    }
}

/// Refuses a core module that imports anything but what the canonical ABI has.
fn check_imports(bytes: &[u8]) -> Result<(), String> {
    for payload in Parser::new(0).parse_all(bytes) {
        let Payload::ImportSection(imports) = payload.map_err(malformed)? else {
            continue;
        };
        for import in imports.into_imports() {
            let import = import.map_err(malformed)?;
            let what = match import.ty {
                TypeRef::Func(_) | TypeRef::FuncExact(_) => "function",
                TypeRef::Memory(_) => "memory",
                TypeRef::Table(_) => "table",
                TypeRef::Global(_) => "global",
                TypeRef::Tag(_) => "tag",
            };
            // Handles of its own sessions.
            let is_own = import.module.starts_with("[export]");
            if what != "function" || !is_own {
                return Err(imported(
                    what,
                    &format!("{} {}", import.module, import.name),
                ));
            }
        }
    }
    Ok(())
}

/// A core module without the exports that end a session. A component of one that has
/// them is three instances with a table between them, because such a function is needed
/// before the instance that has it: a page of memory for each run, and microseconds.
fn without_ends(bytes: &[u8]) -> Result<Vec<u8>, String> {
    // What says that it is a module.
    let mut module = bytes.get(..8).unwrap_or_default().to_vec();
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        let Some((number, range)) = payload.as_section() else {
            continue;
        };
        let contents = match payload {
            Payload::ExportSection(exports) => exports_kept(bytes, exports)?,
            _ => bytes[range].to_vec(),
        };
        module.push(number);
        push_length(&mut module, contents.len());
        module.extend(contents);
    }
    Ok(module)
}

/// The contents of the section, without those exports.
fn exports_kept(bytes: &[u8], exports: ExportSectionReader<'_>) -> Result<Vec<u8>, String> {
    let end = exports.range().end;
    let mut found = Vec::new();
    for export in exports.into_iter_with_offsets() {
        let (offset, export) = export.map_err(malformed)?;
        found.push((offset, !export.name.contains("#[dtor]")));
    }
    let mut contents = Vec::new();
    push_length(&mut contents, found.iter().filter(|it| it.1).count());
    let ends = found.iter().skip(1).map(|it| it.0).chain([end]);
    for ((begin, is_kept), end) in found.iter().zip(ends) {
        if *is_kept {
            contents.extend_from_slice(&bytes[*begin..end]);
        }
    }
    Ok(contents)
}

/// A length as WebAssembly has it (LEB128).
pub(crate) fn push_length(to: &mut Vec<u8>, mut length: usize) {
    while length > 0x7f {
        to.push(length as u8 | 0x80);
        length >>= 7;
    }
    to.push(length as u8);
}

fn imported(what: &str, name: &str) -> String {
    format!("imports the {what} {name:?}: expected a check without imports")
}

pub(crate) fn malformed(error: wasmparser::BinaryReaderError) -> String {
    format!("expected WebAssembly, found a mistake: {error}")
}

fn encode(module: &[u8]) -> Result<Vec<u8>, String> {
    let encoder = ComponentEncoder::default().validate(true).module(module);
    let made = encoder.and_then(|mut encoder| encoder.encode());
    made.map_err(|error| {
        format!("expected a core module that describes its world (see the SDK), found one of which no component can be made: {error:#}")
    })
}

fn compile(engine: &Engine, bytes: &[u8], shape: &Shape) -> Result<Component, String> {
    bounds::check(bytes, shape)?;
    let component = Component::new(engine, looks::added(bytes)?);
    let component = component
        .map_err(|error| format!("expected a component that can be compiled: {error:#}"))?;
    check_world(engine, &component)?;
    Ok(component)
}

/// Refuses a component that imports a function, or does not export our interface.
fn check_world(engine: &Engine, component: &Component) -> Result<(), String> {
    let ty = component.component_type();
    for (name, import) in ty.imports(engine) {
        check_import(engine, name, &import.ty)?;
    }
    let versions: Vec<&str> = ty
        .exports(engine)
        .filter_map(|(name, _)| name.strip_prefix(INTERFACE))
        .filter_map(|rest| rest.strip_prefix('@'))
        .collect();
    let is_known = |version: &&str| {
        let rest = version.strip_prefix(VERSIONS);
        rest.is_some_and(|rest| rest.starts_with('.'))
    };
    match versions.as_slice() {
        [] => Err(format!(
            "expected a component that exports {INTERFACE}, found one that does not"
        )),
        found if found.iter().any(is_known) => Ok(()),
        found => Err(format!(
            "expected version {VERSIONS} of {INTERFACE}, found {}",
            found.join(", ")
        )),
    }
}

fn check_import(engine: &Engine, name: &str, item: &ComponentItem) -> Result<(), String> {
    match item {
        ComponentItem::Type(_) => Ok(()),
        ComponentItem::ComponentInstance(instance) => {
            let mut exports = instance.exports(engine);
            exports.try_for_each(|(inner, item)| {
                check_import(engine, &format!("{name} {inner}"), &item.ty)
            })
        }
        ComponentItem::ComponentFunc(_) | ComponentItem::CoreFunc(_) => {
            Err(imported("function", name))
        }
        ComponentItem::Module(_) => Err(imported("module", name)),
        ComponentItem::Component(_) => Err(imported("component", name)),
        ComponentItem::Resource(_) => Err(imported("resource", name)),
    }
}
