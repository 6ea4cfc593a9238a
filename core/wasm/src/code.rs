//! What the functions of a file may come to while they are compiled.
//!
//! The compiler notes, for each place that is reached by more than one way, what each local
//! and each operand is there: that is a product of two numbers, of which a byte or two may
//! raise either. So functions are gone through with the validator that it has itself, which
//! knows at every operator how many locals and operands there are.

use std::fmt::Display;
use std::mem;

use wasmparser::{
    BlockType, CompositeInnerType, ConstExpr, DataKind, ElementItems, ElementKind,
    ElementSectionReader, Encoding, FrameKind, FuncToValidate, FuncType, FuncValidator,
    FuncValidatorAllocations, FunctionBody, Operator, Parser, Payload, SubType, TryTable,
    TypeSectionReader, ValidPayload, Validator, ValidatorResources, WasmModuleResources,
};

use crate::load::malformed;
use crate::looks::takes_long;
use crate::pool::Shape;

/// Results of a function or a block, and parameters of a block: no tool makes more than one.
const MOST_RESULTS: usize = 8;
const MOST_PARAMETERS: usize = 8;
/// Those of all blocks of a function. The compiler's memory grows by their square, and what
/// is made of JavaScript has 1,254.
const MOST_BLOCK_VALUES: usize = 8_000;
/// Bytes of a function. The largest of Python has 426,843.
const MOST_BYTES: usize = 1 << 20;
/// Bytes of what a global begins with, or where a segment does, which are compiled too.
const MOST_CONSTANT: usize = 256;
/// Locals of a function, with its parameters. The check for HTTP has 540.
const MOST_LOCALS: u32 = 2_500;
/// Operands of a function at once. What is made of JavaScript has 64.
const MOST_OPERANDS: u32 = 256;
/// Loops in loops. What is made of JavaScript has 21.
const MOST_LOOPS: u32 = 100;
/// Blocks in blocks. Python has 782: a `switch` has one for each of its cases.
const MOST_BLOCKS: u32 = 3_200;
/// Values that are noted for a function. JavaScript has 727,677.
const MOST_NOTED: u64 = 3_000_000;
/// The same of a file, beside a few for each of its bytes: real ones have at most 1.5.
const NOTED: u64 = 250_000;
const NOTED_EACH_BYTE: u64 = 6;
/// Functions of a file. Python has 13,486, and none has fewer than 400 bytes for each.
const MOST_FUNCTIONS: u64 = 50_000;
/// Segments of data of a file. What is made of JavaScript has 10,000, in 12 MB.
const MOST_SEGMENTS: u64 = 20_000;
/// Of both, a small file may have so many, and one more for each of so many bytes.
const FEW: u64 = 1_000;
const BYTES_EACH: u64 = 64;

/// Holds functions, and the tables that they are put into, to their bounds.
///
/// # Errors
/// What was expected, and what was found.
pub(crate) fn check(bytes: &[u8], shape: &Shape) -> Result<(), String> {
    let length = bytes.len() as u64;
    let mut found = Found::default();
    // Of the module that is being read: there is none inside another.
    let mut module = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        match &payload {
            Payload::Version {
                encoding: Encoding::Module,
                ..
            } => module = Some(Validator::new()),
            // Before there are any operands of those types.
            Payload::TypeSection(types) => check_types(types)?,
            Payload::FunctionSection(functions) => {
                found.functions += u64::from(functions.count());
                let most = MOST_FUNCTIONS.min(FEW + length / BYTES_EACH);
                at_most(most, found.functions, "functions in a file of its size")?;
            }
            Payload::GlobalSection(globals) => {
                for global in globals.clone() {
                    check_constant(&global.map_err(malformed)?.init_expr)?;
                }
            }
            Payload::DataSection(segments) => {
                found.segments += u64::from(segments.count());
                let most = MOST_SEGMENTS.min(FEW + length / BYTES_EACH);
                at_most(
                    most,
                    found.segments,
                    "segments of data in a file of its size",
                )?;
                for segment in segments.clone() {
                    if let DataKind::Active { offset_expr, .. } = segment.map_err(malformed)?.kind {
                        check_constant(&offset_expr)?;
                    }
                }
            }
            Payload::ElementSection(segments) => {
                found.add_elements(segments)?;
                let most = 2 * shape.table_elements as u64;
                at_most(most, found.elements, "elements and segments of them")?;
            }
            _ => {}
        }
        let Some(validator) = &mut module else {
            continue;
        };
        match validator.payload(&payload).map_err(malformed)? {
            ValidPayload::Func(function, body) => {
                found.add_function(function, &body)?;
                let most = NOTED + NOTED_EACH_BYTE * length;
                at_most(
                    most,
                    found.noted,
                    "values at the blocks and calls of a file of its size",
                )?;
            }
            ValidPayload::End(_) => module = None,
            _ => {}
        }
    }
    Ok(())
}

/// What there is in a file, as far as it was read.
#[derive(Default)]
struct Found {
    functions: u64,
    segments: u64,
    elements: u64,
    noted: u64,
    /// What one validator of a function leaves to the next.
    allocations: FuncValidatorAllocations,
}

impl Found {
    /// wasmtime writes out what is put into tables, or code that does it, which an empty
    /// segment has too.
    fn add_elements(&mut self, segments: &ElementSectionReader<'_>) -> Result<(), String> {
        for segment in segments.clone() {
            let segment = segment.map_err(malformed)?;
            if let ElementKind::Active { offset_expr, .. } = &segment.kind {
                check_constant(offset_expr)?;
            }
            let elements = match segment.items {
                ElementItems::Functions(functions) => functions.count(),
                ElementItems::Expressions(_, expressions) => {
                    for expression in expressions.clone() {
                        check_constant(&expression.map_err(malformed)?)?;
                    }
                    expressions.count()
                }
            };
            self.elements += 1 + u64::from(elements);
        }
        Ok(())
    }

    fn add_function(
        &mut self,
        function: FuncToValidate<ValidatorResources>,
        body: &FunctionBody<'_>,
    ) -> Result<(), String> {
        let mut validator = function.into_validator(mem::take(&mut self.allocations));
        self.noted += noted(&mut validator, body)?;
        self.allocations = validator.into_allocations();
        Ok(())
    }
}

/// Values that are noted for a function, which is held to its bounds.
fn noted(
    validator: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
) -> Result<u64, String> {
    at_most(MOST_BYTES, body.range().len(), "bytes of a function")?;
    let mut locals = body.get_binary_reader();
    validator.read_locals(&mut locals).map_err(malformed)?;
    let locals = validator.len_locals();
    at_most(MOST_LOCALS, locals, "locals of a function")?;
    let mut noted = 0;
    let mut loops = 0;
    let mut block_values = 0;
    let mut operators = body.get_operators_reader().map_err(malformed)?;
    while !operators.eof() {
        let offset = operators.original_position();
        let operator = operators.read().map_err(malformed)?;
        match operator {
            Operator::Loop { .. } => loops += 1,
            Operator::End => {
                let block = validator.get_control_frame(0);
                loops -= u32::from(block.is_some_and(|it| it.kind == FrameKind::Loop));
            }
            _ => {}
        }
        block_values += values_of_block(validator, &operator)?;
        at_most(
            MOST_BLOCK_VALUES,
            block_values,
            "results and parameters of blocks in a function",
        )?;
        validator.op(offset, &operator).map_err(malformed)?;
        let operands = validator.operand_stack_height();
        at_most(MOST_OPERANDS, operands, "operands at once")?;
        at_most(MOST_LOOPS, loops, "loops in loops")?;
        at_most(
            MOST_BLOCKS,
            validator.control_stack_height(),
            "blocks in blocks",
        )?;
        noted += u64::from(places(&operator)) * u64::from(locals + operands);
        at_most(
            MOST_NOTED,
            noted,
            "values at the blocks and calls of a function",
        )?;
    }
    Ok(noted)
}

/// Parameters and results of the block that begins with an operator, if one does.
fn values_of_block(
    validator: &FuncValidator<ValidatorResources>,
    operator: &Operator<'_>,
) -> Result<usize, String> {
    let (Operator::Block { blockty }
    | Operator::Loop { blockty }
    | Operator::If { blockty }
    | Operator::TryTable {
        try_table: TryTable { ty: blockty, .. },
    }) = operator
    else {
        return Ok(0);
    };
    match *blockty {
        BlockType::Empty => Ok(0),
        BlockType::Type(_) => Ok(1),
        BlockType::FuncType(index) => {
            let ty = validator.resources().sub_type_at(index);
            let ty = ty.and_then(function);
            let (parameters, results) =
                ty.map_or((0, 0), |ty| (ty.params().len(), ty.results().len()));
            at_most(MOST_PARAMETERS, parameters, "parameters of a block")?;
            Ok(parameters + results)
        }
    }
}

/// At how many places more than one way may lead to what follows an operator: where blocks
/// begin and end, or are left, and wherever `looks.rs` puts a loop.
fn places(operator: &Operator<'_>) -> u32 {
    match operator {
        Operator::BrTable { targets } => targets.len().saturating_add(1),
        Operator::Block { .. }
        | Operator::Loop { .. }
        | Operator::If { .. }
        | Operator::Else
        | Operator::TryTable { .. }
        | Operator::End
        | Operator::Br { .. }
        | Operator::BrIf { .. }
        | Operator::BrOnNull { .. }
        | Operator::BrOnNonNull { .. } => 1,
        operator => u32::from(takes_long(operator)),
    }
}

fn check_constant(expression: &ConstExpr<'_>) -> Result<(), String> {
    let found = expression.get_binary_reader().bytes_remaining();
    at_most(MOST_CONSTANT, found, "bytes of a constant")
}

fn check_types(types: &TypeSectionReader<'_>) -> Result<(), String> {
    for group in types.clone() {
        for ty in group.map_err(malformed)?.types().filter_map(function) {
            at_most(MOST_RESULTS, ty.results().len(), "results of a function")?;
        }
    }
    Ok(())
}

fn function(ty: &SubType) -> Option<&FuncType> {
    match &ty.composite_type.inner {
        CompositeInnerType::Func(ty) => Some(ty),
        _ => None,
    }
}

fn at_most<N: PartialOrd + Display>(most: N, found: N, what: &str) -> Result<(), String> {
    if found > most {
        return Err(format!("expected at most {most} {what}, found {found}"));
    }
    Ok(())
}
