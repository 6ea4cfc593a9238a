//! What will happen, in order of time and, at one time, in order of planning.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use probity_engine::Instant;

/// A queue of events.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    planned: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Instant,
    sequence: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            planned: 0,
        }
    }

    pub(crate) fn plan(&mut self, at: Instant, event: E) {
        let sequence = self.planned;
        self.planned += 1;
        self.heap.push(Reverse(Entry {
            at,
            sequence,
            event,
        }));
    }

    /// When the next event happens.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes the next event, if it happens by `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<(Instant, E)> {
        self.next_at().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse(it)| (it.at, it.event))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_one_time_happen_in_the_order_of_planning() {
        let mut queue = Queue::new();
        let at = Instant::from_nanos;
        for (time, name) in [(5, "c"), (1, "a"), (5, "d"), (3, "b")] {
            queue.plan(at(time), name);
        }
        let mut names = Vec::new();
        while let Some((_, name)) = queue.pop(at(5)) {
            names.push(name);
        }
        assert_eq!(names, ["a", "b", "c", "d"]);
        queue.plan(at(9), "e");
        assert!(queue.pop(at(8)).is_none());
    }
}
