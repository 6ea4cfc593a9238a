//! How the network and the machine misbehave.

use std::time::Duration;

use crate::rng::{Ppm, Rng};

/// Latency, and how often what goes wrong. The default is a quick network
/// without faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Least time in one direction.
    pub latency: Duration,
    /// Added to it, at most.
    pub jitter: Duration,
    /// Into which pieces streams are cut.
    pub pieces: Pieces,
    /// A SYN is lost, and sent again after 1, 2, 4, ... seconds.
    pub syn_loss: Ppm,
    /// A connection is refused, whoever listens.
    pub refuse: Ppm,
    /// There is suddenly no route.
    pub unreachable: Ppm,
    /// An established connection is reset some time later.
    pub reset: Ppm,
    /// A piece of a stream is lost and arrives up to two seconds late; what
    /// follows waits for it.
    pub stall: Ppm,
    /// The machine has no descriptor, source port or memory for a connection,
    /// or may not make it.
    pub local: Ppm,
    /// A datagram is lost.
    pub datagram_loss: Ppm,
    /// A datagram arrives twice.
    pub datagram_twice: Ppm,
    /// A datagram is overtaken by those of the next 300 ms.
    pub datagram_late: Ppm,
    /// A DNS server fails, lies or is silent, whatever it should say.
    pub dns: Ppm,
    /// The driver wakes up late ...
    pub lag: Ppm,
    /// ... by at most this.
    pub longest_lag: Duration,
    /// Something is told about a connection after the engine closed it.
    pub late_news: Ppm,
}

/// Sizes of the pieces that streams are cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// As they were sent.
    Whole,
    /// As an Ethernet carries them: 1,448 bytes.
    Segments,
    /// Of random sizes, often tiny.
    Random,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(200),
            jitter: Duration::from_micros(100),
            pieces: Pieces::Whole,
            syn_loss: 0,
            refuse: 0,
            unreachable: 0,
            reset: 0,
            stall: 0,
            local: 0,
            datagram_loss: 0,
            datagram_twice: 0,
            datagram_late: 0,
            dns: 0,
            lag: 0,
            longest_lag: Duration::ZERO,
            late_news: 0,
        }
    }
}

impl Faults {
    /// Swarm testing: some faults are off, the others between rare and heavy,
    /// so that no fault hides what another one would show.
    pub fn swarm(rng: &mut Rng) -> Self {
        let mut often = |heavy: u64| -> Ppm {
            if rng.chance(500_000) {
                return 0;
            }
            // Uniform on a logarithmic scale, from a hundredth of `heavy`.
            let part = 1 << rng.below(7);
            rng.between(heavy / 100, heavy) as Ppm / part
        };
        let (syn_loss, refuse, unreachable) = (often(300_000), often(200_000), often(200_000));
        let (reset, stall, local) = (often(300_000), often(200_000), often(200_000));
        let (loss, twice, late) = (often(300_000), often(300_000), often(300_000));
        let (dns, lag, late_news) = (often(500_000), often(100_000), often(500_000));
        Self {
            latency: Duration::from_micros(rng.between(20, 20_000)),
            jitter: Duration::from_micros(rng.between(0, 20_000)),
            pieces: *rng.pick(&[Pieces::Whole, Pieces::Segments, Pieces::Random]),
            syn_loss,
            refuse,
            unreachable,
            reset,
            stall,
            local,
            datagram_loss: loss,
            datagram_twice: twice,
            datagram_late: late,
            dns,
            lag,
            longest_lag: Duration::from_millis(*rng.pick(&[1, 20, 200, 1_000])),
            late_news,
        }
    }

    /// The same network without faults. What only reorders or repeats stays:
    /// it excuses nobody.
    #[must_use]
    pub fn calm(self) -> Self {
        Self {
            latency: self.latency,
            jitter: self.jitter,
            pieces: self.pieces,
            late_news: self.late_news,
            datagram_twice: self.datagram_twice,
            ..Self::default()
        }
    }

    /// One way through the network.
    pub(crate) fn way(&self, rng: &mut Rng) -> Duration {
        self.latency + rng.duration(self.jitter)
    }
}

impl Pieces {
    /// Bytes of the next piece, at least 1.
    pub(crate) fn next(self, rng: &mut Rng) -> usize {
        match self {
            Self::Whole => usize::MAX,
            Self::Segments => 1_448,
            Self::Random => {
                let most = 1 << rng.below(12);
                rng.between(1, most) as usize
            }
        }
    }
}
