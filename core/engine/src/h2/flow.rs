//! Flow control: RFC 9113 sections 5.2 and 6.9.

use alloc::vec::Vec;

use super::error::Error;
use super::frame::{self, Kind};
use super::setting;

/// A window before anybody said anything.
pub(super) const INITIAL_WINDOW: u32 = 65_535;

/// What we allow to be on the way: Go's window for a stream, so that an answer
/// takes as long as it takes there. It costs no memory, because we use what
/// comes as it comes; a body's own limit ends it.
pub(super) const RECEIVE_WINDOW: u32 = 4 << 20;

const LARGEST: i64 = (1 << 31) - 1;

/// What a peer may still send.
#[derive(Debug)]
pub(super) struct ReceiveWindow(u32);

impl ReceiveWindow {
    pub(super) const fn new() -> Self {
        Self(RECEIVE_WINDOW)
    }

    /// Takes the payload of a DATA frame out of the window, and opens it again
    /// when half of it is used.
    pub(super) fn take(
        &mut self,
        length: u32,
        stream: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.0 = self.0.checked_sub(length).ok_or(Error::WindowExceeded)?;
        if self.0 < RECEIVE_WINDOW / 2 {
            write_update(out, stream, RECEIVE_WINDOW - self.0);
            self.0 = RECEIVE_WINDOW;
        }
        Ok(())
    }
}

/// What a peer allows us to send.
#[derive(Debug)]
pub(super) struct SendWindow {
    /// Below 0 after the peer took back what was spent already (section
    /// 6.9.2).
    room: i64,
    initial: i64,
}

impl SendWindow {
    pub(super) const fn new() -> Self {
        Self {
            room: INITIAL_WINDOW as i64,
            initial: INITIAL_WINDOW as i64,
        }
    }

    pub(super) fn room(&self) -> usize {
        usize::try_from(self.room).unwrap_or(0)
    }

    pub(super) fn spend(&mut self, length: usize) {
        self.room -= length as i64;
    }

    /// WINDOW_UPDATE.
    pub(super) fn grow(&mut self, increment: u32) -> Result<(), Error> {
        if increment == 0 {
            return Err(Error::ZeroIncrement);
        }
        self.add(i64::from(increment))
    }

    /// SETTINGS_INITIAL_WINDOW_SIZE, of a stream.
    pub(super) fn set_initial(&mut self, initial: u32) -> Result<(), Error> {
        let new = i64::from(initial);
        if new > LARGEST {
            return Err(Error::Setting(setting::INITIAL_WINDOW_SIZE, initial));
        }
        let change = new - self.initial;
        self.initial = new;
        self.add(change)
    }

    fn add(&mut self, change: i64) -> Result<(), Error> {
        self.room += change;
        match self.room {
            ..=LARGEST => Ok(()),
            _ => Err(Error::WindowOverflow),
        }
    }
}

/// Appends a WINDOW_UPDATE frame.
pub(super) fn write_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    frame::write(out, Kind::WindowUpdate, 0, stream, &increment.to_be_bytes());
}
