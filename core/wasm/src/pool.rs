//! wasmtime, set up for many small guests, and how many there is room for.

use std::fs;

use probity_engine::guest::Class;
use rustix::process::{Resource, getrlimit};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig,
};

/// What instances of a class are made of at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Core instances of one component: Rust makes up to three, C four; an interpreter
    /// with its libraries dozens.
    pub(crate) core_instances: u32,
    pub(crate) memories: u32,
    pub(crate) tables: u32,
    /// Elements of a table.
    pub(crate) table_elements: usize,
    /// Bytes of what wasmtime keeps of an instance beside memories and tables.
    instance: usize,
    /// Bytes of the stack of a call.
    stack: usize,
    /// Whether what memory holds at first is mapped from the module and copied when it is
    /// written to. The data of a small guest is a few KiB: copying it is cheaper than the
    /// mappings that this takes. That of an interpreter is megabytes.
    is_mapped: bool,
}

/// What instances of `class` are made of at most.
pub(crate) const fn shape(class: Class) -> Shape {
    match class {
        Class::Native => Shape {
            core_instances: 6,
            memories: 1,
            tables: 3,
            table_elements: 1_024,
            instance: 64 << 10,
            stack: 256 << 10,
            is_mapped: false,
        },
        Class::Script => Shape {
            core_instances: 48,
            memories: 4,
            tables: 8,
            table_elements: 20_000,
            instance: 1 << 20,
            stack: 1 << 20,
            is_mapped: true,
        },
    }
}

/// Memory mappings that are left to the rest of the process, in which scripts have theirs.
const MAPPINGS_LEFT: u32 = 8_192;
/// Mappings of one instance that is in use.
const MAPPINGS_EACH: u32 = 2;
/// Instances of scripts: each may have a dozen mappings.
pub(crate) const MOST_SCRIPTS: u32 = 256;
/// Fewer instances than that are not tried.
const FEWEST: u32 = 16;

/// How many instances there is room for, of those that were asked for.
///
/// Where a process may have no further mapping, every allocation fails, not only
/// ours: so far it must not get. And a run needs a connection, so that more instances than
/// descriptors would never be used.
pub(crate) fn room(wanted: u32) -> u32 {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count");
    let most = most.ok().and_then(|text| text.trim().parse().ok());
    // The hard limit: the driver raises the other to it, now or later.
    clamp(wanted, most, getrlimit(Resource::Nofile).maximum)
}

fn clamp(wanted: u32, mappings: Option<u32>, descriptors: Option<u64>) -> u32 {
    let most = mappings.map_or(u32::MAX, |mappings| {
        mappings.saturating_sub(MAPPINGS_LEFT) / MAPPINGS_EACH
    });
    let connections = descriptors.and_then(|most| u32::try_from(most).ok());
    wanted.min(most).min(connections.unwrap_or(u32::MAX)).max(1)
}

/// An engine with a pool of so many instances, or of as many as the address space
/// has room for, and how many that are.
///
/// # Errors
/// If there is no room at all, or this machine cannot run guests.
pub(crate) fn engine(class: Class, instances: u32) -> Result<(Engine, u32), String> {
    let mut instances = match class {
        Class::Native => room(instances),
        Class::Script => room(instances).min(MOST_SCRIPTS),
    };
    loop {
        match Engine::new(&config(class, instances)) {
            Ok(engine) => return Ok((engine, instances)),
            Err(_) if instances > FEWEST => instances = (instances / 2).max(FEWEST),
            Err(error) => {
                let error = format!("{error:#}");
                return Err(format!("checks in Wasm cannot be run here: {error}"));
            }
        }
    }
}

fn config(class: Class, instances: u32) -> Config {
    let slot = class.most().memory;
    let Shape {
        core_instances,
        memories,
        tables,
        table_elements,
        instance,
        stack,
        is_mapped,
    } = shape(class);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(core_instances))
        .total_memories(instances.saturating_mul(memories))
        .total_tables(instances.saturating_mul(tables))
        .max_core_instances_per_component(core_instances)
        .max_memories_per_component(memories)
        .max_tables_per_component(tables)
        .max_memories_per_module(1)
        .max_tables_per_module(tables)
        .table_elements(table_elements)
        .max_memory_size(slot as usize)
        // Of globals, names of functions and the like: no part of its memory, and of the
        // slot of each instance.
        .max_core_instance_size(instance)
        .max_component_instance_size(instance)
        // What a run has touched is cleared by hand. To give it back to the kernel
        // would cost each run two system calls, and workers would wait for each
        // other in them.
        .linear_memory_keep_resident(128 << 10)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    let mut config = Config::new();
    config
        .memory_reservation(u64::from(slot))
        // Bounds are checked explicitly in slots of this size.
        .memory_guard_size(0)
        .memory_init_cow(is_mapped)
        .consume_fuel(true)
        .operator_cost(cost(class))
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .concurrency_support(false)
        .max_wasm_stack(stack)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        // The same input is to give the same answer on every machine.
        .wasm_relaxed_simd(false)
        .cranelift_nan_canonicalization(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// What takes much longer than an instruction does: so dear that a unit of fuel lasts for
/// a nanosecond or so at most, whatever it is burnt with.
///
/// What makes a handle or drops one is none of the guest's code, and takes as long as
/// dozens of instructions. Where such a function is called a `nop` stands, which pays for it
/// (`looks.rs`); where a call through a table leads to cannot be told.
fn cost(class: Class) -> OperatorCost {
    let mut cost = OperatorCost::default();
    if class == Class::Native {
        cost_memory(&mut cost);
    }
    for (dear, units) in [
        // Those call us.
        (&mut cost.RefFunc, 200),
        (&mut cost.ElemDrop, 60),
        (&mut cost.MemoryGrow, 50),
        (&mut cost.TableGrow, 50),
        (&mut cost.MemoryFill, 255),
        (&mut cost.MemoryCopy, 10),
        (&mut cost.TableInit, 10),
        (&mut cost.Nop, IMPORTED),
        (&mut cost.Call, 10),
        (&mut cost.ReturnCall, 10),
        (&mut cost.CallIndirect, IMPORTED),
        (&mut cost.ReturnCallIndirect, IMPORTED),
        // The processor takes its time for those, each of which waits for the last.
        (&mut cost.I32DivS, DIVISION),
        (&mut cost.I32DivU, DIVISION),
        (&mut cost.I32RemS, DIVISION),
        (&mut cost.I32RemU, DIVISION),
        (&mut cost.I64DivS, DIVISION),
        (&mut cost.I64DivU, DIVISION),
        (&mut cost.I64RemS, DIVISION),
        (&mut cost.I64RemU, DIVISION),
        (&mut cost.F32Div, DIVISION),
        (&mut cost.F64Div, DIVISION),
        (&mut cost.F32x4Div, DIVISION),
        (&mut cost.F64x2Div, DIVISION),
        (&mut cost.F32Sqrt, DIVISION),
        (&mut cost.F64Sqrt, DIVISION),
        (&mut cost.F32x4Sqrt, DIVISION),
        (&mut cost.F64x2Sqrt, DIVISION),
        (&mut cost.F32Ceil, ROUNDING),
        (&mut cost.F32Floor, ROUNDING),
        (&mut cost.F32Trunc, ROUNDING),
        (&mut cost.F32Nearest, ROUNDING),
        (&mut cost.F64Ceil, ROUNDING),
        (&mut cost.F64Floor, ROUNDING),
        (&mut cost.F64Trunc, ROUNDING),
        (&mut cost.F64Nearest, ROUNDING),
        (&mut cost.F32x4Ceil, ROUNDING),
        (&mut cost.F32x4Floor, ROUNDING),
        (&mut cost.F32x4Trunc, ROUNDING),
        (&mut cost.F32x4Nearest, ROUNDING),
        (&mut cost.F64x2Ceil, ROUNDING),
        (&mut cost.F64x2Floor, ROUNDING),
        (&mut cost.F64x2Trunc, ROUNDING),
        (&mut cost.F64x2Nearest, ROUNDING),
        (&mut cost.I32x4TruncSatF32x4S, ROUNDING),
        (&mut cost.I32x4TruncSatF32x4U, ROUNDING),
        (&mut cost.I32x4TruncSatF64x2SZero, ROUNDING),
        (&mut cost.I32x4TruncSatF64x2UZero, ROUNDING),
        (&mut cost.F32ConvertI32S, ROUNDING),
        (&mut cost.F32ConvertI32U, ROUNDING),
        (&mut cost.F32ConvertI64S, ROUNDING),
        (&mut cost.F32ConvertI64U, ROUNDING),
        (&mut cost.F64ConvertI32S, ROUNDING),
        (&mut cost.F64ConvertI32U, ROUNDING),
        (&mut cost.F64ConvertI64S, ROUNDING),
        (&mut cost.F64ConvertI64U, ROUNDING),
        (&mut cost.I32TruncF32S, ROUNDING),
        (&mut cost.I32TruncF32U, ROUNDING),
        (&mut cost.I32TruncF64S, ROUNDING),
        (&mut cost.I32TruncF64U, ROUNDING),
        (&mut cost.I64TruncF32S, ROUNDING),
        (&mut cost.I64TruncF32U, ROUNDING),
        (&mut cost.I64TruncF64S, ROUNDING),
        (&mut cost.I64TruncF64U, ROUNDING),
        (&mut cost.I32TruncSatF32S, ROUNDING),
        (&mut cost.I32TruncSatF32U, ROUNDING),
        (&mut cost.I32TruncSatF64S, ROUNDING),
        (&mut cost.I32TruncSatF64U, ROUNDING),
        (&mut cost.I64TruncSatF32S, ROUNDING),
        (&mut cost.I64TruncSatF32U, ROUNDING),
        (&mut cost.I64TruncSatF64S, ROUNDING),
        (&mut cost.I64TruncSatF64U, ROUNDING),
        (&mut cost.F32Min, ROUNDING),
        (&mut cost.F32Max, ROUNDING),
        (&mut cost.F64Min, ROUNDING),
        (&mut cost.F64Max, ROUNDING),
        (&mut cost.F32x4Min, ROUNDING),
        (&mut cost.F32x4Max, ROUNDING),
        (&mut cost.F64x2Min, ROUNDING),
        (&mut cost.F64x2Max, ROUNDING),
        (&mut cost.F32x4ConvertI32x4S, ROUNDING),
        (&mut cost.F32x4ConvertI32x4U, ROUNDING),
        (&mut cost.F64x2ConvertLowI32x4S, ROUNDING),
        (&mut cost.F64x2ConvertLowI32x4U, ROUNDING),
        (&mut cost.I32x4ExtAddPairwiseI16x8S, ROUNDING),
        (&mut cost.I32x4ExtAddPairwiseI16x8U, ROUNDING),
        (&mut cost.I16x8ExtAddPairwiseI8x16S, ROUNDING),
        (&mut cost.I16x8ExtAddPairwiseI8x16U, ROUNDING),
        (&mut cost.F32Mul, SUBNORMAL),
        (&mut cost.F64Mul, SUBNORMAL),
        (&mut cost.F32x4Mul, SUBNORMAL),
        (&mut cost.F64x2Mul, SUBNORMAL),
        (&mut cost.F32DemoteF64, SUBNORMAL),
        (&mut cost.F64PromoteF32, SUBNORMAL),
        (&mut cost.F32x4DemoteF64x2Zero, SUBNORMAL),
        (&mut cost.F64x2PromoteLowF32x4, SUBNORMAL),
    ] {
        *dear = units;
    }
    cost
}

/// What a memory of 2 MiB has takes long where each address comes out of the last load. A
/// script, on a thread of its own, keeps nobody waiting.
fn cost_memory(cost: &mut OperatorCost) {
    for load in [
        &mut cost.I32Load,
        &mut cost.I64Load,
        &mut cost.F32Load,
        &mut cost.F64Load,
        &mut cost.I32Load8S,
        &mut cost.I32Load8U,
        &mut cost.I32Load16S,
        &mut cost.I32Load16U,
        &mut cost.I64Load8S,
        &mut cost.I64Load8U,
        &mut cost.I64Load16S,
        &mut cost.I64Load16U,
        &mut cost.I64Load32S,
        &mut cost.I64Load32U,
        &mut cost.V128Load,
        &mut cost.V128Load8x8S,
        &mut cost.V128Load8x8U,
        &mut cost.V128Load16x4S,
        &mut cost.V128Load16x4U,
        &mut cost.V128Load32x2S,
        &mut cost.V128Load32x2U,
        &mut cost.V128Load8Splat,
        &mut cost.V128Load16Splat,
        &mut cost.V128Load32Splat,
        &mut cost.V128Load64Splat,
        &mut cost.V128Load32Zero,
        &mut cost.V128Load64Zero,
        &mut cost.V128Load8Lane,
        &mut cost.V128Load16Lane,
        &mut cost.V128Load32Lane,
        &mut cost.V128Load64Lane,
    ] {
        *load = LOAD;
    }
    for store in [
        &mut cost.I32Store,
        &mut cost.I64Store,
        &mut cost.F32Store,
        &mut cost.F64Store,
        &mut cost.I32Store8,
        &mut cost.I32Store16,
        &mut cost.I64Store8,
        &mut cost.I64Store16,
        &mut cost.I64Store32,
        &mut cost.V128Store,
        &mut cost.V128Store8Lane,
        &mut cost.V128Store16Lane,
        &mut cost.V128Store32Lane,
        &mut cost.V128Store64Lane,
    ] {
        *store = STORE;
    }
}

/// See [`cost`].
const IMPORTED: u8 = 60;
const DIVISION: u8 = 16;
const ROUNDING: u8 = 6;
/// Subnormal numbers take some processors 150 cycles.
const SUBNORMAL: u8 = 40;
const LOAD: u8 = 10;
const STORE: u8 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_and_descriptors_bound_the_instances() {
        for (wanted, mappings, descriptors, room) in [
            (10_000, Some(65_530), Some(20_000), 10_000),
            (100_000, Some(65_530), Some(1 << 20), 28_669),
            (10_000, Some(8_192), None, 1),
            (10_000, Some(100), None, 1),
            (10_000, None, None, 10_000),
            (10_000, Some(65_530), Some(600), 600),
            (10_000, Some(8_392), Some(600), 100),
            (10_000, None, Some(1 << 40), 10_000),
            (10_000, None, Some(0), 1),
            (0, None, None, 1),
        ] {
            let found = clamp(wanted, mappings, descriptors);
            assert_eq!(found, room, "{wanted} {mappings:?} {descriptors:?}");
        }
    }
}
