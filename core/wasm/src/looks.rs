//! Guests look at their fuel wherever they could go on for long.
//!
//! wasmtime has them look where a function or a loop begins: one that has neither is never
//! stopped, and a function that has called itself a thousand times burns what it likes on
//! its way back. An empty loop is a look, and nothing besides.
//!
//! And calls of functions that are imported, which are ours, are paid for, and so is the way
//! into loops of functions with many locals, all of which may have to be moved: see `pool.rs`.

use std::borrow::Cow;

use wasmparser::{
    BinaryReader, BinaryReaderError, FunctionBody, ImportSectionReader, Operator, TypeRef,
};

use crate::load::{malformed, push_length};

/// `loop end`
const LOOK: [u8; 3] = [0x03, 0x40, 0x0b];
/// `nop`
const PAYMENT: u8 = 0x01;
/// Locals that are moved for nothing, and so many more for each payment.
const FEW: usize = 64;
const MOVED: usize = 256;
/// Operators in a row, at most.
const EVERY: usize = 1_000;
/// Components in components.
pub(crate) const DEEPEST: usize = 32;

/// What a file begins with: that it is WebAssembly, and of which kind.
pub(crate) const HEADER: usize = 8;
pub(crate) const COMPONENT: [u8; 4] = [0x0d, 0, 1, 0];
/// Sections that matter, of modules and of components.
const IMPORTS: u8 = 2;
const CODE: u8 = 10;
pub(crate) const CORE_MODULE: u8 = 1;
pub(crate) const NESTED: u8 = 4;

/// The component with looks in all of its functions.
///
/// # Errors
/// What is no WebAssembly.
pub(crate) fn added(bytes: &[u8]) -> Result<Vec<u8>, String> {
    within(bytes, DEEPEST)
}

fn within(bytes: &[u8], deepest: usize) -> Result<Vec<u8>, String> {
    let deepest = deepest.checked_sub(1).ok_or_else(|| {
        format!("expected components in components at most {DEEPEST} deep, found more")
    })?;
    let (header, sections) = bytes
        .split_at_checked(HEADER)
        .ok_or("expected WebAssembly, found a file that is cut short")?;
    let is_component = header[4..] == COMPONENT;
    let mut made = Vec::with_capacity(bytes.len());
    made.extend_from_slice(header);
    let mut imported = 0;
    let mut reader = BinaryReader::new(sections, HEADER);
    while !reader.eof() {
        let number = reader.read_u8().map_err(malformed)?;
        let contents = sized(&mut reader).map_err(malformed)?;
        if !is_component && number == IMPORTS {
            imported = functions(contents).map_err(malformed)?;
        }
        let contents = match (is_component, number) {
            (true, CORE_MODULE | NESTED) => Cow::Owned(within(contents, deepest)?),
            (false, CODE) => Cow::Owned(code(contents, imported).map_err(malformed)?),
            _ => Cow::Borrowed(contents),
        };
        made.push(number);
        push_sized(&mut made, &contents);
    }
    Ok(made)
}

/// How many functions are imported: those have the first numbers.
fn functions(contents: &[u8]) -> Result<u32, BinaryReaderError> {
    let mut functions = 0;
    let imports = ImportSectionReader::new(BinaryReader::new(contents, 0))?;
    for import in imports.into_imports() {
        let is_function = matches!(import?.ty, TypeRef::Func(_) | TypeRef::FuncExact(_));
        functions += u32::from(is_function);
    }
    Ok(functions)
}

fn code(contents: &[u8], imported: u32) -> Result<Vec<u8>, BinaryReaderError> {
    let mut reader = BinaryReader::new(contents, 0);
    let functions = reader.read_var_u32()?;
    let mut made = Vec::with_capacity(contents.len());
    push_length(&mut made, functions as usize);
    for _ in 0..functions {
        push_sized(&mut made, &function(sized(&mut reader)?, imported)?);
    }
    // Should there be more it is a mistake, which the compiler finds.
    made.extend_from_slice(&contents[reader.original_position()..]);
    Ok(made)
}

fn function(body: &[u8], imported: u32) -> Result<Vec<u8>, BinaryReaderError> {
    let reader = FunctionBody::new(BinaryReader::new(body, 0));
    let mut operators = reader.get_operators_reader()?;
    let mut made = body[..operators.original_position()].to_vec();
    let mut line = Line::default();
    let moves = locals(&reader)?.saturating_sub(FEW).div_ceil(MOVED);
    while !operators.eof() {
        let begin = operators.original_position();
        let operator = operators.read()?;
        let payments = match operator {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                usize::from(function_index < imported)
            }
            Operator::Loop { .. } | Operator::If { .. } => moves,
            _ => 0,
        };
        made.resize(made.len() + payments, PAYMENT);
        // Its own would be charged like ours, and do nothing.
        if !matches!(operator, Operator::Nop) {
            made.extend_from_slice(&body[begin..operators.original_position()]);
        }
        // Behind the last of them nothing may stand.
        if line.wants_look(&operator) && !operators.eof() {
            made.extend_from_slice(&LOOK);
        }
    }
    Ok(made)
}

/// Whether there is a look behind this in any case: who comes back may have burnt anything,
/// and what calls us takes long.
pub(crate) fn takes_long(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::RefFunc { .. }
            | Operator::ElemDrop { .. }
            | Operator::MemoryGrow { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::TableGrow { .. }
            | Operator::TableInit { .. }
    )
}

/// Those of a function besides its parameters.
fn locals(body: &FunctionBody<'_>) -> Result<usize, BinaryReaderError> {
    let mut locals = 0_usize;
    for group in body.get_locals_reader()? {
        locals = locals.saturating_add(group?.0 as usize);
    }
    Ok(locals)
}

/// How long a function has gone on without a look, whatever way it took.
#[derive(Default)]
struct Line {
    /// Operators since the last look.
    operators: usize,
    /// Of each block that is open: whether there was a look in it, which who leaves it
    /// early passes over.
    blocks: Vec<bool>,
}

impl Line {
    /// Whether there is to be a look behind the next operator.
    fn wants_look(&mut self, operator: &Operator<'_>) -> bool {
        self.operators += 1;
        let wants = match operator {
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } => {
                self.blocks.push(false);
                false
            }
            // Is one.
            Operator::Loop { .. } => {
                self.looked();
                self.blocks.push(false);
                false
            }
            Operator::End => self.blocks.pop().unwrap_or(false),
            operator => takes_long(operator),
        };
        let wants = wants || self.operators >= EVERY;
        if wants {
            self.looked();
        }
        wants
    }

    fn looked(&mut self) {
        self.operators = 0;
        if let Some(block) = self.blocks.last_mut() {
            *block = true;
        }
    }
}

pub(crate) fn sized<'a>(reader: &mut BinaryReader<'a>) -> Result<&'a [u8], BinaryReaderError> {
    let length = reader.read_var_u32()?;
    reader.read_bytes(length as usize)
}

fn push_sized(to: &mut Vec<u8>, contents: &[u8]) {
    push_length(to, contents.len());
    to.extend_from_slice(contents);
}
