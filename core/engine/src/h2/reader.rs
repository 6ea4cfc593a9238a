//! Takes a stream of bytes apart into frames, whatever the pieces in which it
//! comes. The payloads of DATA frames are passed on as they come, those of
//! unknown ones are skipped; the others are put together.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::FRAME_BYTES;
use super::error::Error;
use super::frame::{self, HEADER_BYTES, Header, Kind};
use crate::limits::MAX_HEAD_BYTES;

/// A part of the input.
#[derive(Debug)]
pub(super) enum Part<'d> {
    /// A frame begins.
    Begin(Header),
    /// The whole payload of a frame without content.
    Payload(Header, Cow<'d, [u8]>),
    /// A complete header block.
    Block {
        block: Cow<'d, [u8]>,
        /// Whether the stream ends with it: [`Part::End`] follows.
        end: bool,
    },
    /// Content of a DATA frame; never none.
    Content(&'d [u8]),
    /// The stream has ended.
    End,
}

/// Where in the stream of frames we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first frame, which must be SETTINGS (section 3.4).
    First,
    /// Between frames, or in the header of one.
    Between,
    /// In a payload that is put together.
    Payload(Header),
    /// Before the length of a DATA frame's padding.
    PadLength(Header),
    /// In the content of a DATA frame: so much is left of it and of what
    /// follows.
    Content { left: u32, padding: u32, end: bool },
    /// In bytes that mean nothing.
    Skipped { left: u32, end: bool },
}

#[derive(Debug)]
pub(super) struct Reader {
    place: Place,
    /// A frame's header, or its payload, of which not all has come.
    held: Vec<u8>,
    /// A header block that is not complete, and whether the stream ends with
    /// it.
    block: Option<(Vec<u8>, bool)>,
}

impl Reader {
    pub(super) const fn new() -> Self {
        Self {
            place: Place::First,
            held: Vec::new(),
            block: None,
        }
    }

    /// Takes the next part off the front of `data`, or all of it.
    pub(super) fn next<'d>(&mut self, data: &mut &'d [u8]) -> Result<Option<Part<'d>>, Error> {
        loop {
            match self.place {
                Place::First | Place::Between => {
                    let Some(bytes) = self.gather(HEADER_BYTES, data) else {
                        return Ok(None);
                    };
                    let mut header = [0; HEADER_BYTES];
                    header.copy_from_slice(&bytes);
                    self.give_back(bytes);
                    return self.header(header).map(|header| Some(Part::Begin(header)));
                }
                Place::Payload(header) => {
                    let Some(payload) = self.gather(header.length as usize, data) else {
                        return Ok(None);
                    };
                    self.place = Place::Between;
                    return match header.kind {
                        Kind::Headers | Kind::Continuation => {
                            match self.fragment(header, payload)? {
                                Some(part) => Ok(Some(part)),
                                None => continue,
                            }
                        }
                        _ => Ok(Some(Part::Payload(header, payload))),
                    };
                }
                Place::PadLength(header) => {
                    let Some((padding, rest)) = data.split_first() else {
                        return Ok(None);
                    };
                    *data = rest;
                    let padding = u32::from(*padding);
                    let left = (header.length - 1)
                        .checked_sub(padding)
                        .ok_or(Error::Padding(header.kind))?;
                    self.place = Place::Content {
                        left,
                        padding,
                        end: header.has(frame::END_STREAM),
                    };
                }
                Place::Content {
                    left: 0,
                    padding: left,
                    end,
                } => self.place = Place::Skipped { left, end },
                Place::Content { left, padding, end } => {
                    let content = split(data, left);
                    if content.is_empty() {
                        return Ok(None);
                    }
                    let left = left - content.len() as u32;
                    self.place = Place::Content { left, padding, end };
                    return Ok(Some(Part::Content(content)));
                }
                Place::Skipped { left: 0, end } => {
                    self.place = Place::Between;
                    if end {
                        return Ok(Some(Part::End));
                    }
                }
                Place::Skipped { left, end } => {
                    let skipped = split(data, left).len() as u32;
                    if skipped == 0 {
                        return Ok(None);
                    }
                    let left = left - skipped;
                    self.place = Place::Skipped { left, end };
                }
            }
        }
    }

    /// Takes back the memory of a part, to use it again.
    pub(super) fn give_back(&mut self, bytes: Cow<'_, [u8]>) {
        if let Cow::Owned(mut bytes) = bytes {
            bytes.clear();
            self.held = bytes;
        }
    }

    /// The next `length` bytes, once all of them have come.
    fn gather<'d>(&mut self, length: usize, data: &mut &'d [u8]) -> Option<Cow<'d, [u8]>> {
        if self.held.is_empty() && data.len() >= length {
            return Some(Cow::Borrowed(split(data, length as u32)));
        }
        let missing = length - self.held.len();
        self.held.extend_from_slice(split(data, missing as u32));
        (self.held.len() == length).then(|| Cow::Owned(core::mem::take(&mut self.held)))
    }

    /// Checks what can be told from a header alone, and what may follow what.
    fn header(&mut self, bytes: [u8; HEADER_BYTES]) -> Result<Header, Error> {
        let header = Header::parse(bytes);
        let Header { kind, length, .. } = header;
        let settings = kind == Kind::Settings && !header.has(frame::ACK);
        if self.place == Place::First && !settings {
            return Err(Error::NotHttp2(bytes));
        }
        if self.block.is_some() && kind != Kind::Continuation {
            return Err(Error::Interrupted(kind));
        }
        if self.block.is_none() && kind == Kind::Continuation {
            return Err(Error::LoneContinuation);
        }
        if length as usize > FRAME_BYTES {
            return Err(Error::FrameTooLarge(kind, length));
        }
        let padded = header.has(frame::PADDED);
        self.place = match kind {
            Kind::Data if padded && length == 0 => return Err(Error::FrameLength(kind, length)),
            Kind::Data if padded => Place::PadLength(header),
            Kind::Data => Place::Content {
                left: length,
                padding: 0,
                end: header.has(frame::END_STREAM),
            },
            Kind::Priority if length != 5 => return Err(Error::FrameLength(kind, length)),
            Kind::Priority | Kind::Unknown(_) => Place::Skipped {
                left: length,
                end: false,
            },
            _ => Place::Payload(header),
        };
        Ok(header)
    }

    /// Adds the payload of HEADERS or CONTINUATION to the header block, and
    /// gives the block if it is complete.
    fn fragment<'d>(
        &mut self,
        header: Header,
        payload: Cow<'d, [u8]>,
    ) -> Result<Option<Part<'d>>, Error> {
        let complete = header.has(frame::END_HEADERS);
        let (mut block, end) = match (self.block.take(), header.kind) {
            (Some(held), _) => held,
            (None, _) => {
                let end = header.has(frame::END_STREAM);
                if complete && header.flags & (frame::PADDED | frame::PRIORITY) == 0 {
                    self.ends(end);
                    return Ok(Some(Part::Block {
                        block: payload,
                        end,
                    }));
                }
                (Vec::new(), end)
            }
        };
        let fragment = match header.kind {
            Kind::Headers => unpadded(header, &payload)?,
            _ => &payload,
        };
        if block.len() + fragment.len() > MAX_HEAD_BYTES {
            return Err(Error::HeadTooLarge);
        }
        block.extend_from_slice(fragment);
        self.give_back(payload);
        if complete {
            self.ends(end);
            let block = Cow::Owned(block);
            return Ok(Some(Part::Block { block, end }));
        }
        self.block = Some((block, end));
        Ok(None)
    }

    /// Lets [`Part::End`] follow if the stream ends.
    fn ends(&mut self, end: bool) {
        self.place = Place::Skipped { left: 0, end };
    }
}

/// The fragment in a HEADERS frame (section 6.2).
fn unpadded(header: Header, payload: &[u8]) -> Result<&[u8], Error> {
    let wrong = Error::FrameLength(header.kind, header.length);
    let (padding, rest) = match header.has(frame::PADDED) {
        true => payload.split_first().ok_or(wrong)?,
        false => (&0, payload),
    };
    let priority = if header.has(frame::PRIORITY) { 5 } else { 0 };
    let rest = rest.get(priority..).ok_or(wrong)?;
    let length = rest
        .len()
        .checked_sub(usize::from(*padding))
        .ok_or(Error::Padding(header.kind))?;
    Ok(&rest[..length])
}

/// Takes at most `length` bytes off the front.
fn split<'d>(data: &mut &'d [u8], length: u32) -> &'d [u8] {
    let length = data.len().min(length as usize);
    let (front, rest) = data.split_at(length);
    *data = rest;
    front
}
