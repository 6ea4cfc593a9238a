//! Answers that are remembered for a while: a bounded map.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::net::IpAddr;

use super::lookup::Ask;
use crate::io::ResolveError;
use crate::map::{Map, seeded};
use crate::time::Instant;

/// What a look-up found: addresses in the order of the answer, or why there
/// are none.
pub(crate) type Answer = Result<Arc<[IpAddr]>, ResolveError>;

/// Answers by question, each with the time at which it expires.
///
/// A name that is asked for with different families has an answer for each,
/// because the search list may have led them to different names.
#[derive(Debug)]
pub(super) struct Cache {
    answers: [Map<Arc<str>, Entry>; Ask::COUNT],
    /// The same, by expiry. The number makes the keys unique.
    order: BTreeMap<(Instant, u64), (Ask, Arc<str>)>,
    inserted: u64,
    capacity: usize,
}

#[derive(Debug)]
struct Entry {
    key: (Instant, u64),
    answer: Answer,
}

impl Cache {
    pub(super) fn new(capacity: usize, seed: u64) -> Self {
        Self {
            answers: core::array::from_fn(|_| seeded(seed)),
            order: BTreeMap::new(),
            inserted: 0,
            capacity,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Forgets all answers.
    pub(super) fn clear(&mut self) {
        self.answers.iter_mut().for_each(Map::clear);
        self.order.clear();
    }

    /// The answer for a name in lower case, if it has not expired.
    pub(super) fn get(&self, ask: Ask, name: &str, now: Instant) -> Option<&Answer> {
        let entry = self.answers[ask as usize].get(name)?;
        (now < entry.key.0).then_some(&entry.answer)
    }

    /// Remembers an answer until `expires`. What has expired makes room first,
    /// then what would expire next: it is the oldest, as far as TTLs agree.
    pub(super) fn insert(
        &mut self,
        ask: Ask,
        name: Arc<str>,
        answer: Answer,
        expires: Instant,
        now: Instant,
    ) {
        if self.capacity == 0 {
            return;
        }
        if let Some(old) = self.answers[ask as usize].remove(&name) {
            self.order.remove(&old.key);
        }
        while let Some(first) = self.order.first_entry() {
            if first.key().0 > now && self.order.len() < self.capacity {
                break;
            }
            self.evict();
        }
        let key = (expires, self.inserted);
        self.inserted += 1;
        self.order.insert(key, (ask, Arc::clone(&name)));
        self.answers[ask as usize].insert(name, Entry { key, answer });
    }

    fn evict(&mut self) {
        if let Some((_, (ask, name))) = self.order.pop_first() {
            self.answers[ask as usize].remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Reason;

    fn answer(last: u8) -> Answer {
        Ok([IpAddr::from([192, 0, 2, last])].into())
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn an_answer_is_forgotten_when_it_expires() {
        let mut cache = Cache::new(8, 0);
        cache.insert(Ask::Both, "a".into(), answer(1), at(30), at(0));
        assert_eq!(cache.get(Ask::Both, "a", at(29)), Some(&answer(1)));
        assert_eq!(cache.get(Ask::Both, "a", at(30)), None);
        assert_eq!(cache.get(Ask::V4, "a", at(0)), None, "another question");
        cache.insert(Ask::Both, "b".into(), answer(2), at(90), at(60));
        assert_eq!(cache.len(), 1, "and makes room");
    }

    #[test]
    fn the_latest_answer_counts() {
        let mut cache = Cache::new(8, 0);
        let error = ResolveError {
            reason: Reason::DnsNotFound,
            server: None,
            trouble: None,
        };
        cache.insert(Ask::V6, "a".into(), Err(error), at(5), at(0));
        cache.insert(Ask::V6, "a".into(), answer(2), at(30), at(6));
        assert_eq!(cache.get(Ask::V6, "a", at(7)), Some(&answer(2)));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn what_expires_first_goes_first() {
        let mut cache = Cache::new(2, 0);
        cache.insert(Ask::V4, "long".into(), answer(1), at(100), at(0));
        cache.insert(Ask::V4, "short".into(), answer(2), at(50), at(0));
        cache.insert(Ask::V4, "new".into(), answer(3), at(70), at(0));
        assert_eq!(cache.get(Ask::V4, "short", at(1)), None);
        assert_eq!(cache.get(Ask::V4, "long", at(1)), Some(&answer(1)));
        assert_eq!(cache.get(Ask::V4, "new", at(1)), Some(&answer(3)));
    }

    #[test]
    fn no_capacity_remembers_nothing() {
        let mut cache = Cache::new(0, 0);
        cache.insert(Ask::V4, "a".into(), answer(1), at(100), at(0));
        assert_eq!(cache.get(Ask::V4, "a", at(0)), None);
    }

    proptest! {
        #[test]
        fn it_never_exceeds_its_capacity(
            inserts in prop::collection::vec((0..40_u32, 0..3_u8, 1..60_u64, 0..4_u64), 0..200),
        ) {
            let mut cache = Cache::new(7, 0);
            let mut now = 0;
            for (name, ask, ttl, passed) in inserts {
                now += passed;
                let ask = [Ask::V4, Ask::V6, Ask::Both][usize::from(ask)];
                let name: Arc<str> = format!("{name}").into();
                cache.insert(ask, Arc::clone(&name), answer(1), at(now + ttl), at(now));
                prop_assert!(cache.get(ask, &name, at(now)).is_some());
                prop_assert!(cache.len() <= 7);
                let held: usize = cache.answers.iter().map(Map::len).sum();
                prop_assert_eq!(held, cache.len());
            }
        }
    }
}
