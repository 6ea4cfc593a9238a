//! Names for things: plain integers, cheap to copy and to pass over an FFI
//! boundary.

use core::fmt;

/// A target, by a 64-bit hash of its identity that its owner computes.
///
/// It must be stable across restarts: the moment at which a target is probed
/// within its period derives from it, so that a restart or a changed list
/// does not bunch the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetId(pub u64);

/// Targets that are counted together: a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// One run of one check.
///
/// Slots are small numbers and reused by later runs, so a driver can index an
/// array with them that grows; the generation tells runs of the same slot
/// apart. See [`Limits::slots`](crate::Limits::slots).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    slot: u32,
    generation: u32,
}

impl RunId {
    pub(crate) const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// Dense index of the run's slot.
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// Which user of the slot this is.
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// Both halves in one integer, for hosts that carry ids as numbers.
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The inverse of [`RunId::to_bits`]. Any value is legal; one that names
    /// no current run is ignored by the engine.
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            slot: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

/// One connection of a run, numbered from 0 in order of opening.
///
/// Numbers are never reused within a run. At most
/// [`MAX_OPEN`](crate::limits::MAX_OPEN) are open at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn(pub u8);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}
