//! wasmtime, set up for many small guests, and how many there is room for.

use std::fs;

use probity_engine::guest::Limits;
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OperatorCost, PoolingAllocationConfig,
};

/// Core instances of one component: Rust makes up to three, C four.
pub(crate) const CORE_INSTANCES: u32 = 6;
/// Tables of one component.
pub(crate) const TABLES: u32 = 3;
/// Elements of a table.
pub(crate) const TABLE_ELEMENTS: usize = 1_024;
/// Bytes of the stack of a call.
const STACK_BYTES: usize = 256 << 10;
/// Memory mappings that are left to the rest of the process.
const MAPPINGS_LEFT: u32 = 8_192;
/// Mappings of one instance that is in use.
const MAPPINGS_EACH: u32 = 2;
/// Fewer instances than that are not tried.
const FEWEST: u32 = 16;

/// How many instances there is room for, of those that were asked for.
///
/// Where a process may have no further mapping, every allocation fails, not only
/// ours: so far it must not get.
pub(crate) fn room(wanted: u32) -> u32 {
    let most = fs::read_to_string("/proc/sys/vm/max_map_count");
    let most = most.ok().and_then(|text| text.trim().parse().ok());
    clamp(wanted, most)
}

fn clamp(wanted: u32, mappings: Option<u32>) -> u32 {
    let most = mappings.map_or(u32::MAX, |mappings| {
        mappings.saturating_sub(MAPPINGS_LEFT) / MAPPINGS_EACH
    });
    wanted.min(most).max(1)
}

/// An engine with a pool of so many instances, or of as many as the address space
/// has room for, and how many that are.
///
/// # Errors
/// If there is no room at all, or this machine cannot run guests.
pub(crate) fn engine(instances: u32) -> Result<(Engine, u32), String> {
    let mut instances = room(instances);
    loop {
        match Engine::new(&config(instances)) {
            Ok(engine) => return Ok((engine, instances)),
            Err(_) if instances > FEWEST => instances = (instances / 2).max(FEWEST),
            Err(error) => {
                let error = format!("{error:#}");
                return Err(format!("checks in Wasm cannot be run here: {error}"));
            }
        }
    }
}

fn config(instances: u32) -> Config {
    let slot = Limits::MOST.memory;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(1)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(slot as usize)
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
        // The data of a small guest is a few KiB: copying it is cheaper than the
        // mappings that an image takes.
        .memory_init_cow(false)
        .consume_fuel(true)
        .operator_cost(cost())
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false)
        .concurrency_support(false)
        .max_wasm_stack(STACK_BYTES)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        // The same input is to give the same answer on every machine.
        .wasm_relaxed_simd(false)
        .cranelift_nan_canonicalization(true)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    config
}

/// What takes much longer than its instruction.
fn cost() -> OperatorCost {
    OperatorCost {
        MemoryGrow: 50,
        TableGrow: 50,
        ..OperatorCost::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_bound_the_instances() {
        for (wanted, mappings, room) in [
            (10_000, Some(65_530), 10_000),
            (100_000, Some(65_530), 28_669),
            (10_000, Some(8_192), 1),
            (10_000, Some(100), 1),
            (10_000, None, 10_000),
            (0, None, 1),
        ] {
            assert_eq!(clamp(wanted, mappings), room, "{wanted} {mappings:?}");
        }
    }
}
