//! Types of components may be written inside each other, and wasmparser calls itself to read
//! them, as deep as they go: so a few thousand of them take all of the stack, and the process
//! with it. They are counted before it reads any.
//!
//! Nothing else that it reads can nest without end. A declaration (`0x01`) of a type of a
//! component (`0x41`) or an instance (`0x42`) is the only way from one `ComponentType` to
//! another: core types, the types of values, aliases, and what is imported or exported hold
//! at most each other, in that order, or name others by their numbers. Each such place has
//! two bytes of its own, so that types are no deeper than there are pairs of them.

use wasmparser::BinaryReader;

use crate::load::malformed;
use crate::looks::{COMPONENT, CORE_MODULE, DEEPEST, HEADER, NESTED, sized};

/// Types that may be inside others, in one section. Those are counted too that only look
/// like it. What tools make has four.
const MOST_TYPES: usize = 256;

const CUSTOM: u8 = 0;
const TYPES: u8 = 7;
const DECLARED: u8 = 0x01;
const COMPONENT_TYPE: u8 = 0x41;
const INSTANCE_TYPE: u8 = 0x42;
/// What a core module says about its world is in sections with names that begin so.
const DESCRIPTION: &str = "component-type";
/// What WebAssembly begins with.
const MAGIC: &[u8] = b"\0asm";

/// Holds what is read of components in a file to its bound: of itself, of those in it, and
/// of those with which core modules describe their worlds.
///
/// # Errors
/// What was expected, and what was found.
pub(crate) fn check(bytes: &[u8]) -> Result<(), String> {
    within(bytes, DEEPEST)
}

fn within(bytes: &[u8], deepest: usize) -> Result<(), String> {
    let deepest = deepest.checked_sub(1).ok_or_else(|| {
        format!("expected components in components at most {DEEPEST} deep, found more")
    })?;
    let (header, sections) = bytes
        .split_at_checked(HEADER)
        .ok_or("expected WebAssembly, found a file that is cut short")?;
    let is_component = header[4..] == COMPONENT;
    let mut reader = BinaryReader::new(sections, HEADER);
    while !reader.eof() {
        let number = reader.read_u8().map_err(malformed)?;
        let contents = sized(&mut reader).map_err(malformed)?;
        match (is_component, number) {
            (true, TYPES) => check_types(contents)?,
            (true, CORE_MODULE | NESTED) => within(contents, deepest)?,
            (false, CUSTOM) => check_description(contents, deepest)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_types(contents: &[u8]) -> Result<(), String> {
    let is_inside = |pair: &&[u8]| matches!(**pair, [DECLARED, COMPONENT_TYPE | INSTANCE_TYPE]);
    let found = contents.windows(2).filter(is_inside).count();
    if found > MOST_TYPES {
        return Err(format!(
            "expected at most {MOST_TYPES} types of components and instances inside others, found {found}"
        ));
    }
    Ok(())
}

/// There was another format for what describes a world, which the encoder still reads: a
/// component that begins somewhere behind a name. No tool has made it for years.
fn check_description(custom: &[u8], deepest: usize) -> Result<(), String> {
    let mut reader = BinaryReader::new(custom, 0);
    if !reader
        .read_string()
        .map_err(malformed)?
        .starts_with(DESCRIPTION)
    {
        return Ok(());
    }
    let description = &custom[reader.original_position()..];
    if !description.starts_with(MAGIC) {
        return Err("expected the description of a world as a component, found another".into());
    }
    within(description, deepest)
}
