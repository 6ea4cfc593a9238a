//! What stands below a check in Wasm: an allocator and the end of a panic.
//!
//! A fresh instance is made for every run, and each page of memory that it
//! touches costs as much as many calls. So the allocator lives in what is left
//! of the first page, behind the stack and the data, and grows memory only when
//! that is used up. Sizes are powers of two, with a list of free blocks each: a
//! run is short, and nothing need be joined again.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::cell::UnsafeCell;
use core::ptr;

const PAGE: usize = 64 * 1024;
/// The smallest block: a pointer fits, and anything is aligned.
const LEAST: usize = 16;
const CLASSES: usize = 28;

#[global_allocator]
static ALLOCATOR: Blocks = Blocks(UnsafeCell::new(State {
    next: 0,
    end: 0,
    free: [ptr::null_mut(); CLASSES],
}));

unsafe extern "C" {
    /// The linker's: the first byte that is neither stack nor data.
    static __heap_base: u8;
}

struct Blocks(UnsafeCell<State>);

struct State {
    /// First byte that was never given away, and the end of memory.
    next: usize,
    end: usize,
    /// The first free block of each size; each begins with the next one.
    free: [*mut u8; CLASSES],
}

// SAFETY: a component of this world has one thread.
unsafe impl Sync for Blocks {}

/// The class of a layout, and the bytes of its blocks.
fn class(layout: &Layout) -> (usize, usize) {
    let size = layout.size().max(layout.align()).max(LEAST);
    let class = usize::BITS - (size - 1).leading_zeros();
    (class as usize, 1_usize.checked_shl(class).unwrap_or(0))
}

impl State {
    fn take(&mut self, size: usize, align: usize) -> *mut u8 {
        if self.end == 0 {
            self.next = ptr::addr_of!(__heap_base) as usize;
            self.end = wasm32::memory_size::<0>() * PAGE;
        }
        let begin = self.next.next_multiple_of(align.max(LEAST));
        let Some(next) = begin.checked_add(size) else {
            return ptr::null_mut();
        };
        if next > self.end {
            let pages = (next - self.end).div_ceil(PAGE);
            // Nobody else grows it: what is new follows what was there.
            if wasm32::memory_grow::<0>(pages) == usize::MAX {
                return ptr::null_mut();
            }
            self.end += pages * PAGE;
        }
        self.next = next;
        begin as *mut u8
    }
}

// SAFETY: blocks do not overlap, are as large and as aligned as asked for, and
// are in a list of free ones only after they were given back.
unsafe impl GlobalAlloc for Blocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and nothing below calls the allocator.
        let state = unsafe { &mut *self.0.get() };
        let (class, size) = class(&layout);
        let Some(free) = state.free.get_mut(class) else {
            return ptr::null_mut();
        };
        if free.is_null() {
            return state.take(size, layout.align());
        }
        let block = *free;
        // SAFETY: a free block holds the address of the next one.
        *free = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        let state = unsafe { &mut *self.0.get() };
        if let Some(free) = state.free.get_mut(class(&layout).0) {
            // SAFETY: the block is ours again, and has room for an address.
            unsafe { block.cast::<*mut u8>().write(*free) };
            *free = block;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let larger = Layout::from_size_align(size, layout.align());
        let Ok(larger) = larger else {
            return ptr::null_mut();
        };
        if class(&layout) == class(&larger) {
            return block;
        }
        // SAFETY: the caller's promises about `block` and `size`.
        unsafe {
            let moved = self.alloc(larger);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// The host sees that the check panicked; what it said is lost.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    wasm32::unreachable()
}
