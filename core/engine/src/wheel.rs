//! A hierarchical timing wheel: every timer of a shard in one place.
//!
//! A fleet's worth of timers is set and cancelled far more often than it
//! fires (each run cancels its deadline), so both are O(1) here and touch one
//! node and its neighbours. Timers are known by a small integer, their state
//! lives in one array indexed by it, and the lists of a slot are threaded
//! through that array: nothing is allocated unless a larger id appears.
//!
//! # How it works
//!
//! Time is cut into ticks of 2^17 ns (131 us). A timer belongs to the first
//! tick that begins at or after its deadline, which is why it is never early
//! and less than a tick late. (So short because runs that begin together get in each
//! other's way, and what that costs is in the latencies that they tell.) Ticks are written in base 64; the wheel has one
//! level per digit and a timer lives on the level of the highest digit in
//! which its tick differs from the current one, in the slot that this digit
//! names. Two facts follow and carry the whole file:
//!
//! - everything on a level is due before anything on the level above, and on
//!   one level no occupied slot lies before the current digit, so the next
//!   slot is the lowest set bit of the lowest non-empty level;
//! - when time enters a slot of an upper level its timers agree with the
//!   current tick in that digit too, and are dealt out to lower levels.
//!
//! Eight levels are 48 bits of ticks, more than [`Instant`] can express, so no
//! deadline is ever out of range. Empty stretches are never walked.
//!
//! The price is paid in lumps: a slot of level 3 is 34 s wide, and all its
//! timers are dealt out at the moment that time enters it.

use alloc::vec::Vec;
use core::fmt;

use crate::time::Instant;

/// log2 of the tick in nanoseconds.
const TICK_BITS: u32 = 17;
/// log2 of the number of slots in a level: one bit of a `u64` for each.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Enough for the 48 bits of the last tick.
const LEVELS: usize = 8;
/// No node.
const NIL: u32 = u32::MAX;
/// [`Node::slot`] of a timer that is not set.
const UNARMED: u16 = u16::MAX;

/// One timer. 24 bytes, of which a fleet has one million.
#[derive(Clone, Copy)]
struct Node {
    at: Instant,
    /// Neighbours in the ring of the slot.
    next: u32,
    prev: u32,
    /// `level * SLOTS + slot`, or [`UNARMED`].
    slot: u16,
}

const _: () = assert!(size_of::<Node>() <= 24);

impl Node {
    const EMPTY: Self = Self {
        at: Instant::ZERO,
        next: NIL,
        prev: NIL,
        slot: UNARMED,
    };
}

/// Timers by id, at most one for each.
pub(crate) struct Wheel {
    /// Latest time that [`Wheel::expire`] was told.
    now: Instant,
    /// The tick that the levels are relative to: everything before it has
    /// been taken. Behind `now` only between the calls of one expire loop.
    tick: u64,
    /// One bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    /// One bit for each level that is not empty.
    levels: u32,
    /// First node of each slot's ring.
    heads: [[u32; SLOTS]; LEVELS],
    nodes: Vec<Node>,
}

impl Wheel {
    /// An empty wheel at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            now,
            tick: tick_of(now),
            occupied: [0; LEVELS],
            levels: 0,
            heads: [[NIL; SLOTS]; LEVELS],
            nodes: Vec::new(),
        }
    }

    /// Arms the timer `id` for `at`, whatever it was before.
    ///
    /// A deadline that has already passed is taken by the next
    /// [`Wheel::expire`]; a caller that sets such a timer for every one it
    /// takes never reaches the end of its loop. Memory grows with the largest
    /// id, which must be below `u32::MAX`.
    pub(crate) fn set(&mut self, id: u32, at: Instant) {
        debug_assert!(id != NIL, "the largest u32 is not an id");
        let index = id as usize;
        if index >= self.nodes.len() {
            self.nodes.resize(index + 1, Node::EMPTY);
        }
        self.unlink(id);
        self.nodes[index].at = at;
        self.link(id);
    }

    /// Disarms the timer `id`, if it is armed.
    pub(crate) fn cancel(&mut self, id: u32) {
        if self.is_armed(id) {
            self.unlink(id);
        }
    }

    /// Whether the timer `id` is set and has not been taken.
    pub(crate) fn is_armed(&self, id: u32) -> bool {
        self.deadline(id).is_some()
    }

    /// The deadline of the timer `id`, exactly as it was set.
    pub(crate) fn deadline(&self, id: u32) -> Option<Instant> {
        let node = self.nodes.get(id as usize)?;
        (node.slot != UNARMED).then_some(node.at)
    }

    /// When to call [`Wheel::expire`] next; [`Instant::MAX`] if nothing is set.
    ///
    /// Nothing has to be taken before it. A timer within the current 64 ticks, or
    /// one that is alone in its slot, can be taken at exactly this time; for
    /// others it may be the moment at which they move to a lower level, at most
    /// seven times in their life. Once `expire(now)` has returned `None`, this is
    /// later than `now`.
    #[inline]
    pub(crate) fn next(&self) -> Instant {
        let Some((level, slot)) = self.next_slot() else {
            return Instant::MAX;
        };
        let head = self.heads[level][slot];
        if level > 0
            && let Some(node) = self.nodes.get(head as usize)
            && node.next == head
            // One that was set when it was due already is not in the slot of its time.
            && node.at > self.now
        {
            // The begin of its tick.
            let late = node.at.as_nanos().checked_add((1 << TICK_BITS) - 1);
            return late.map_or(Instant::MAX, |late| {
                Instant::from_nanos(late >> TICK_BITS << TICK_BITS)
            });
        }
        start_of(self.first_tick(level, slot))
    }

    /// Takes the next timer whose deadline is not after `now`, in order of
    /// deadlines to about a tick; the same calls give the same order. Call it
    /// until it returns `None`; setting and cancelling timers between two
    /// calls is fine.
    ///
    /// Time does not run backwards here: a `now` before that of an earlier
    /// call counts as the latest one.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<u32> {
        let before = self.now;
        self.now = before.max(now);
        let limit = tick_of(self.now);
        loop {
            match self.next_slot() {
                Some((level, slot)) if self.first_tick(level, slot) <= limit => {
                    let start = self.first_tick(level, slot);
                    let head = self.heads[level][slot];
                    self.tick = start;
                    if level == 0 {
                        self.unlink(head);
                        return Some(head);
                    }
                    let Node { at, next, .. } = self.nodes[head as usize];
                    let tick = deadline_tick(at);
                    if next == head && at > before && tick <= limit {
                        // Nobody is to be dealt out with it.
                        self.tick = tick;
                        self.unlink(head);
                        return Some(head);
                    }
                    self.cascade(level, slot);
                }
                _ => {
                    self.tick = limit;
                    return None;
                }
            }
        }
    }

    /// Level and slot of the earliest slot that is not empty.
    #[inline]
    fn next_slot(&self) -> Option<(usize, usize)> {
        if self.levels == 0 {
            return None;
        }
        // Below LEVELS in any case, and the compiler sees that.
        let level = self.levels.trailing_zeros() as usize % LEVELS;
        Some((
            level,
            self.occupied[level].trailing_zeros() as usize % SLOTS,
        ))
    }

    /// The first tick of a slot. The digits above its level are the current ones,
    /// those below zero.
    #[inline]
    fn first_tick(&self, level: usize, slot: usize) -> u64 {
        let shift = SLOT_BITS * level as u32;
        let above = self.tick >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        above | (slot as u64) << shift
    }

    /// Deals the timers of an upper slot out to the levels below. The current
    /// tick is the slot's first, so that none of them comes back.
    fn cascade(&mut self, level: usize, slot: usize) {
        let head = self.heads[level][slot];
        self.vacate(level, slot);
        let mut id = head;
        loop {
            let next = self.nodes[id as usize].next;
            self.link(id);
            if next == head {
                break;
            }
            id = next;
        }
    }

    /// Appends a node that is in no ring to the one of its deadline.
    fn link(&mut self, id: u32) {
        let at = self.nodes[id as usize].at;
        let mut tick = deadline_tick(at);
        if at <= self.now {
            // Due already: not in the next tick, and not in one that is over.
            tick = tick.min(tick_of(self.now)).max(self.tick);
        }
        let differing = (tick ^ self.tick) | (SLOTS as u64 - 1);
        let level = (differing.ilog2() / SLOT_BITS) as usize % LEVELS;
        let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;

        self.occupied[level] |= 1 << slot;
        self.levels |= 1 << level;
        let head = self.heads[level][slot];
        let (next, prev) = if head == NIL {
            self.heads[level][slot] = id;
            (id, id)
        } else {
            (head, self.nodes[head as usize].prev)
        };
        let node = &mut self.nodes[id as usize];
        (node.next, node.prev) = (next, prev);
        node.slot = (level * SLOTS + slot) as u16;
        self.nodes[prev as usize].next = id;
        self.nodes[next as usize].prev = id;
    }

    /// Empties a slot; what was in it is somebody else's to mind.
    fn vacate(&mut self, level: usize, slot: usize) {
        self.heads[level][slot] = NIL;
        self.occupied[level] &= !(1 << slot);
        if self.occupied[level] == 0 {
            self.levels &= !(1 << level);
        }
    }

    /// Takes a node out of its ring, if it is in one.
    fn unlink(&mut self, id: u32) {
        let Node {
            next, prev, slot, ..
        } = self.nodes[id as usize];
        if slot == UNARMED {
            return;
        }
        let (level, slot) = (
            usize::from(slot) / SLOTS % LEVELS,
            usize::from(slot) % SLOTS,
        );
        if next == id {
            self.vacate(level, slot);
        } else {
            self.nodes[prev as usize].next = next;
            self.nodes[next as usize].prev = prev;
            if self.heads[level][slot] == id {
                self.heads[level][slot] = next;
            }
        }
        self.nodes[id as usize].slot = UNARMED;
    }
}

impl fmt::Debug for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("now", &self.now)
            .field("next", &self.next())
            .finish_non_exhaustive()
    }
}

/// The last tick that has begun by `now`. The tick after the last whole one
/// begins at [`Instant::MAX`], as [`start_of`] has it.
fn tick_of(now: Instant) -> u64 {
    if now == Instant::MAX {
        1 << (u64::BITS - TICK_BITS)
    } else {
        now.as_nanos() >> TICK_BITS
    }
}

/// The first tick that begins at `at` or after it.
fn deadline_tick(at: Instant) -> u64 {
    at.as_nanos().div_ceil(1 << TICK_BITS)
}

/// When `tick` begins, saturating at [`Instant::MAX`].
fn start_of(tick: u64) -> Instant {
    Instant::from_nanos(tick.saturating_mul(1 << TICK_BITS))
}

#[cfg(test)]
mod tests;
