//! What a peer sent, in a sentence for a person.

use core::fmt;

/// The first bytes of something, quoted and without anything unprintable.
pub(crate) struct Excerpt<'a>(pub(crate) &'a [u8]);

impl Excerpt<'_> {
    /// Bytes of it that are shown.
    pub(crate) const LONGEST: usize = 40;
}

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.0.len().min(Self::LONGEST);
        let more = if cut < self.0.len() { "\u{2026}" } else { "" };
        write!(f, "\"{}{more}\"", self.0[..cut].escape_ascii())
    }
}
