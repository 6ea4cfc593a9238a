//! Lines of the log that would come too often.

use std::time::{Duration, Instant};

/// When something was last said that may happen at any rate.
#[derive(Debug, Default)]
pub struct Seldom {
    said: Option<Instant>,
}

impl Seldom {
    /// Time between two lines.
    const PAUSE: Duration = Duration::from_secs(10);

    /// Whether it is time for another line, which is then taken for said.
    pub fn says(&mut self, now: Instant) -> bool {
        let is_time = self.said.is_none_or(|said| now >= said + Self::PAUSE);
        if is_time {
            self.said = Some(now);
        }
        is_time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_then_one_in_ten_seconds() {
        let mut seldom = Seldom::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let times = [0, 1, 9, 11, 12, 20, 30].map(at);
        let said = times.map(|now| seldom.says(now));
        assert_eq!(said, [true, false, false, true, false, false, true]);
    }
}
