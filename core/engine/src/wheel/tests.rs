//! The wheel by example, and against a sorted map.

use std::collections::BTreeMap;
use std::vec;

use proptest::prelude::*;

use super::*;

const TICK: u64 = 1 << TICK_BITS;

fn ns(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

fn next(wheel: &Wheel) -> Option<Instant> {
    (wheel.levels != 0).then(|| wheel.next())
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
        assert_eq!(drain(&mut wheel, at - 1), [0_u32; 0], "{at} is early");
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
    assert!(next(&wheel).is_some_and(|at| at <= ns(now)));
    let mut taken = drain(&mut wheel, now);
    taken.sort_unstable();
    assert_eq!(taken, vec![0, 1, 2]);
    assert_eq!(next(&wheel), None);
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
    assert_eq!(drain(&mut wheel, 15 * TICK), [0_u32; 0]);
    assert_eq!(drain(&mut wheel, 20 * TICK), vec![1]);
    assert_eq!(drain(&mut wheel, u64::MAX), [0_u32; 0]);
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
    assert_eq!(drain(&mut wheel, u64::MAX - 2), [0_u32; 0]);
    assert!(next(&wheel).is_some_and(|at| at > ns(u64::MAX - 2)));
    assert_eq!(drain(&mut wheel, u64::MAX), vec![0, 1]);
    assert_eq!(next(&wheel), None);
}

#[test]
fn following_poll_timeout_reaches_any_deadline_in_at_most_eight_steps() {
    for shift in 0..64 {
        let at = (1_u64 << shift) | 12345;
        let mut wheel = Wheel::new(ns(777));
        wheel.set(0, ns(at));
        let taken = (0..LEVELS).find_map(|_| {
            let now = next(&wheel)?;
            wheel.expire(now).map(|_| now)
        });
        let taken = taken.unwrap_or_else(|| panic!("2^{shift} was not reached"));
        assert!((at..at.saturating_add(TICK).max(778)).contains(&taken.as_nanos()));
    }
}

#[test]
fn a_timer_that_is_alone_wakes_its_host_once() {
    for shift in 0..60 {
        let mut wheel = Wheel::new(ns(0));
        let at = (1_u64 << shift) + 12_345;
        wheel.set(3, ns(at));
        let wake = next(&wheel).expect("it is set");
        assert!(wake >= ns(at) && wake.as_nanos() - at < TICK);
        assert_eq!(wheel.expire(wake), Some(3), "after 2^{shift} ns");
    }
    // Two in different slots: once for each.
    let mut wheel = Wheel::new(ns(0));
    wheel.set(0, ns(1 << 40));
    wheel.set(1, ns(1 << 50));
    for id in [0, 1] {
        let wake = next(&wheel).expect("it is set");
        assert_eq!((wheel.expire(wake), wheel.expire(wake)), (Some(id), None));
    }
}

#[test]
fn an_idle_stretch_does_not_make_the_next_timeout_early() {
    let mut wheel = Wheel::new(Instant::ZERO);
    assert_eq!(drain(&mut wheel, 70 * TICK), [0_u32; 0]);
    wheel.set(0, ns(80 * TICK));
    assert_eq!(next(&wheel), Some(ns(80 * TICK)));
}

#[test]
fn time_does_not_run_backwards() {
    let mut wheel = Wheel::new(ns(50 * TICK));
    assert_eq!(drain(&mut wheel, 10 * TICK), [0_u32; 0]);
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
                assert!(tick + 1 >= last, "out of order");
                last = tick.max(last);
            }
        }
        for (id, (at, past)) in &self.timers {
            let latest = at.saturating_add(TICK);
            assert!(!past && self.now < latest, "{id} at {at} was not taken");
        }
        let earliest = self.timers.values().map(|(at, _)| *at).min();
        match (next(&self.wheel), earliest) {
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
                    if let Some(next) = next(&model.wheel) {
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
