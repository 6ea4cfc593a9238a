//! Memory of a Wasm module, for a host that has none of its own in there.

use std::alloc::{Layout, alloc_zeroed, dealloc};

/// What every address is a multiple of: enough for all structs.
const ALIGN: usize = 16;

/// Gives `size` bytes of zeros in the module's memory, which are the host's until it gives
/// them back by `probity_deallocate`. Only in the Wasm build. Threads: the module has one.
///
/// Results: the address, a multiple of 16; NULL if there is no room, or for size 0.
#[unsafe(no_mangle)]
pub extern "C" fn probity_allocate(size: usize) -> *mut u8 {
    match Layout::from_size_align(size, ALIGN) {
        // SAFETY: the size is not 0.
        Ok(layout) if size > 0 => unsafe { alloc_zeroed(layout) },
        _ => std::ptr::null_mut(),
    }
}

/// Takes back what `probity_allocate` gave for that `size`. NULL is legal. Only in the Wasm
/// build, where nobody can keep a host from harming itself. Threads: the module has one.
///
/// Results: none. It cannot fail.
///
/// # Safety
/// `data` must be NULL or come from `probity_allocate(size)`, and not be given
/// back yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_deallocate(data: *mut u8, size: usize) {
    if let Ok(layout) = Layout::from_size_align(size, ALIGN)
        && !data.is_null()
    {
        // SAFETY: the caller's promise.
        unsafe { dealloc(data, layout) };
    }
}
