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
//! Time is cut into ticks of 2^20 ns (1.05 ms). A timer belongs to the first
//! tick that begins at or after its deadline, which is why it is never early
//! and less than a tick late. Ticks are written in base 64; the wheel has one
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

use alloc::vec::Vec;
use core::fmt;

use crate::time::Instant;

/// log2 of the tick in nanoseconds.
const TICK_BITS: u32 = 20;
/// log2 of the number of slots in a level: one bit of a `u64` for each.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
/// Enough for the 45 bits of the last tick.
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

    /// When to call [`Wheel::expire`] next; `None` if nothing is set.
    ///
    /// No timer can be taken before it. A timer within the current 64 ticks
    /// can be taken at exactly this time; for a farther one it may be the
    /// moment at which the timer moves to a lower level, at most seven times
    /// in its life. Once `expire(now)` has returned `None`, this is later than
    /// `now`.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let (.., start) = self.next_slot()?;
        Some(start_of(start))
    }

    /// Takes the next timer whose deadline is not after `now`, in order of
    /// ticks. Call it until it returns `None`; setting and cancelling timers
    /// between two calls is fine.
    ///
    /// Time does not run backwards here: a `now` before that of an earlier
    /// call counts as the latest one.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<u32> {
        self.now = self.now.max(now);
        let limit = tick_of(self.now);
        loop {
            match self.next_slot() {
                Some((level, slot, start)) if start <= limit => {
                    self.tick = start;
                    let head = self.heads[level][slot];
                    if level == 0 {
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

    /// Level, slot and first tick of the earliest slot that is not empty.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let level = self.occupied.iter().position(|slots| *slots != 0)?;
        let slot = self.occupied[level].trailing_zeros();
        let shift = SLOT_BITS * level as u32;
        // The digits above this level are the current ones, those below zero.
        let above = self.tick >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        Some((level, slot as usize, above | u64::from(slot) << shift))
    }

    /// Deals the timers of an upper slot out to the levels below. The current
    /// tick is the slot's first, so that none of them comes back.
    fn cascade(&mut self, level: usize, slot: usize) {
        let head = self.heads[level][slot];
        self.heads[level][slot] = NIL;
        self.occupied[level] &= !(1 << slot);
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
        let mut tick = at.as_nanos().div_ceil(1 << TICK_BITS);
        if at <= self.now {
            // Due already: not in the next tick, and not in one that is over.
            tick = tick.min(tick_of(self.now)).max(self.tick);
        }
        let differing = (tick ^ self.tick) | (SLOTS as u64 - 1);
        let level = (differing.ilog2() / SLOT_BITS) as usize;
        let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;

        self.occupied[level] |= 1 << slot;
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

    /// Takes a node out of its ring, if it is in one.
    fn unlink(&mut self, id: u32) {
        let Node {
            next, prev, slot, ..
        } = self.nodes[id as usize];
        if slot == UNARMED {
            return;
        }
        let (level, slot) = (usize::from(slot) / SLOTS, usize::from(slot) % SLOTS);
        if next == id {
            self.heads[level][slot] = NIL;
            self.occupied[level] &= !(1 << slot);
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
            .field("next", &self.poll_timeout())
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

/// When `tick` begins, saturating at [`Instant::MAX`].
fn start_of(tick: u64) -> Instant {
    Instant::from_nanos(tick.saturating_mul(1 << TICK_BITS))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::vec;

    use proptest::prelude::*;

    use super::*;

    const TICK: u64 = 1 << TICK_BITS;

    fn ns(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    fn drain(wheel: &mut Wheel, now: u64) -> Vec<u32> {
        core::iter::from_fn(|| wheel.expire(ns(now))).collect()
    }

    #[test]
    fn fires_within_the_tick_after_its_deadline_and_never_before() {
        for at in [1, TICK - 1, TICK, TICK + 1, 64 * TICK, 4097 * TICK + 5] {
            let mut wheel = Wheel::new(Instant::ZERO);
            wheel.set(3, ns(at));
            assert_eq!(wheel.deadline(3), Some(ns(at)));
            assert_eq!(drain(&mut wheel, at - 1), vec![], "{at} is early");
            assert_eq!(drain(&mut wheel, at + TICK), vec![3], "{at} is late");
            assert!(!wheel.is_armed(3));
        }
    }

    #[test]
    fn a_deadline_in_the_past_is_taken_by_the_next_call() {
        let now = 1000 * TICK + 17;
        let mut wheel = Wheel::new(ns(now));
        wheel.set(0, ns(now));
        wheel.set(1, ns(now - 10));
        wheel.set(2, Instant::ZERO);
        assert!(wheel.poll_timeout().is_some_and(|at| at <= ns(now)));
        let mut taken = drain(&mut wheel, now);
        taken.sort_unstable();
        assert_eq!(taken, vec![0, 1, 2]);
        assert_eq!(wheel.poll_timeout(), None);
    }

    #[test]
    fn rearming_replaces_and_cancelling_forgets() {
        let mut wheel = Wheel::new(Instant::ZERO);
        wheel.set(1, ns(10 * TICK));
        wheel.set(2, ns(10 * TICK));
        wheel.set(1, ns(20 * TICK));
        wheel.cancel(2);
        wheel.cancel(2);
        wheel.cancel(77);
        assert_eq!(drain(&mut wheel, 15 * TICK), vec![]);
        assert_eq!(drain(&mut wheel, 20 * TICK), vec![1]);
        assert_eq!(drain(&mut wheel, u64::MAX), vec![]);
    }

    #[test]
    fn timers_may_be_changed_in_the_middle_of_a_loop() {
        let mut wheel = Wheel::new(Instant::ZERO);
        for id in 0..4 {
            wheel.set(id, ns(u64::from(id + 1) * 100 * TICK));
        }
        let now = ns(1000 * TICK);
        assert_eq!(wheel.expire(now), Some(0));
        wheel.cancel(1);
        wheel.set(0, ns(350 * TICK));
        wheel.set(2, ns(2000 * TICK));
        assert_eq!(drain(&mut wheel, 1000 * TICK), vec![0, 3]);
        assert_eq!(drain(&mut wheel, 2000 * TICK), vec![2]);
    }

    #[test]
    fn one_tick_is_first_come_first_served() {
        let mut wheel = Wheel::new(Instant::ZERO);
        for id in [5, 2, 9, 0] {
            wheel.set(id, ns(3 * TICK));
        }
        assert_eq!(drain(&mut wheel, 3 * TICK), vec![5, 2, 9, 0]);
    }

    #[test]
    fn the_end_of_time_is_in_range() {
        let mut wheel = Wheel::new(Instant::ZERO);
        wheel.set(0, Instant::MAX);
        wheel.set(1, ns(u64::MAX - 1));
        assert_eq!(drain(&mut wheel, u64::MAX - 2), vec![]);
        assert!(wheel.poll_timeout().is_some_and(|at| at > ns(u64::MAX - 2)));
        assert_eq!(drain(&mut wheel, u64::MAX), vec![0, 1]);
        assert_eq!(wheel.poll_timeout(), None);
    }

    #[test]
    fn following_poll_timeout_reaches_any_deadline_in_at_most_eight_steps() {
        for shift in 0..64 {
            let at = (1_u64 << shift) | 12345;
            let mut wheel = Wheel::new(ns(777));
            wheel.set(0, ns(at));
            let taken = (0..LEVELS).find_map(|_| {
                let now = wheel.poll_timeout()?;
                wheel.expire(now).map(|_| now)
            });
            let taken = taken.unwrap_or_else(|| panic!("2^{shift} was not reached"));
            assert!((at..at.saturating_add(TICK).max(778)).contains(&taken.as_nanos()));
        }
    }

    #[test]
    fn time_does_not_run_backwards() {
        let mut wheel = Wheel::new(ns(50 * TICK));
        assert_eq!(drain(&mut wheel, 10 * TICK), vec![]);
        wheel.set(0, ns(40 * TICK));
        assert_eq!(drain(&mut wheel, 30 * TICK), vec![0]);
    }

    #[derive(Clone, Debug)]
    enum Op {
        /// Distance from the present; negative is the past.
        Set(u32, i64),
        SetFar(u32, u64),
        Cancel(u32),
        /// Takes at most one timer, then goes on with the next operation.
        Step(u64),
        Advance(u64),
        /// Jumps to what `poll_timeout` says.
        Follow,
    }

    /// Distances of every magnitude, near the edges of slots and levels too.
    fn distance() -> impl Strategy<Value = u64> {
        prop_oneof![
            0..4 * TICK,
            0..200 * TICK,
            (0_u32..63).prop_flat_map(|bits| 0..=1_u64 << bits),
            (0_u32..7, 1_u64..64, 0_u64..3).prop_map(|(level, slot, off)| {
                ((slot << (TICK_BITS + SLOT_BITS * level)) + off).saturating_sub(1)
            }),
        ]
    }

    fn op() -> impl Strategy<Value = Op> {
        let id = 0_u32..24;
        prop_oneof![
            4 => (id.clone(), distance())
                .prop_map(|(id, d)| Op::Set(id, i64::try_from(d).unwrap_or(i64::MAX))),
            1 => (id.clone(), 0..300 * TICK as i64).prop_map(|(id, d)| Op::Set(id, -d)),
            1 => (id.clone(), any::<u64>()).prop_map(|(id, at)| Op::SetFar(id, at)),
            2 => id.prop_map(Op::Cancel),
            2 => distance().prop_map(Op::Step),
            3 => distance().prop_map(Op::Advance),
            2 => Just(Op::Follow),
        ]
    }

    /// What is set, and since when the wheel must give it out: the deadline's
    /// tick, or at once if the deadline had passed when it was set.
    struct Model {
        wheel: Wheel,
        now: u64,
        timers: BTreeMap<u32, (u64, bool)>,
    }

    impl Model {
        fn set(&mut self, id: u32, at: u64) {
            self.wheel.set(id, ns(at));
            self.timers.insert(id, (at, at <= self.now));
        }

        fn take(&mut self) -> Option<u32> {
            let id = self.wheel.expire(ns(self.now))?;
            let (at, _) = self.timers.remove(&id).expect("taken, but not set");
            assert!(at <= self.now, "{id} is {} ns early", at - self.now);
            assert!(!self.wheel.is_armed(id));
            Some(id)
        }

        fn drain(&mut self) {
            let mut last = 0;
            let before = self.timers.clone();
            while let Some(id) = self.take() {
                let (at, past) = before[&id];
                if !past {
                    let tick = at.div_ceil(TICK);
                    assert!(tick >= last, "out of order");
                    last = tick;
                }
            }
            for (id, (at, past)) in &self.timers {
                let latest = at.saturating_add(TICK);
                assert!(!past && self.now < latest, "{id} at {at} was not taken");
            }
            let earliest = self.timers.values().map(|(at, _)| *at).min();
            match (self.wheel.poll_timeout(), earliest) {
                (None, None) => {}
                (Some(next), Some(earliest)) => {
                    let fires = earliest.div_ceil(TICK).saturating_mul(TICK);
                    assert!(next > ns(self.now), "poll_timeout stands still");
                    assert!(next <= ns(fires), "poll_timeout is late");
                    if earliest.div_ceil(TICK) >> SLOT_BITS == self.now >> (TICK_BITS + SLOT_BITS) {
                        assert_eq!(next, ns(fires), "level 0 is exact");
                    }
                }
                (next, earliest) => panic!("{next:?} for {earliest:?}"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn agrees_with_a_sorted_map(
            origin in distance(),
            ops in proptest::collection::vec(op(), 1..120),
        ) {
            let mut model = Model {
                wheel: Wheel::new(ns(origin)),
                now: origin,
                timers: BTreeMap::new(),
            };
            for op in ops {
                match op {
                    Op::Set(id, offset) => model.set(id, model.now.saturating_add_signed(offset)),
                    Op::SetFar(id, at) => model.set(id, at),
                    Op::Cancel(id) => {
                        model.wheel.cancel(id);
                        model.timers.remove(&id);
                    }
                    Op::Step(by) => {
                        model.now = model.now.saturating_add(by);
                        model.take();
                    }
                    Op::Advance(by) => {
                        model.now = model.now.saturating_add(by);
                        model.drain();
                    }
                    Op::Follow => {
                        if let Some(next) = model.wheel.poll_timeout() {
                            model.now = model.now.max(next.as_nanos());
                        }
                        model.drain();
                    }
                }
                for id in 0..24 {
                    let set = model.timers.get(&id).map(|(at, _)| ns(*at));
                    prop_assert_eq!(model.wheel.deadline(id), set);
                }
            }
            // Whatever is left comes out exactly once at the end of time.
            model.now = u64::MAX;
            model.drain();
            prop_assert!(model.timers.is_empty());
        }
    }
}
