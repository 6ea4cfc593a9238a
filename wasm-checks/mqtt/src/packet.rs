//! The three packets of a session in which nothing is said.

use probity_check::prelude::*;

use crate::{Config, Version};

pub(crate) const DISCONNECT: [u8; 2] = [0xe0, 0];

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const CLEAN_SESSION: u8 = 0x02;
const PASSWORD: u8 = 0x40;
const USERNAME: u8 = 0x80;
/// Long enough for any run.
const KEEP_ALIVE_SECONDS: u16 = 60;

pub(crate) fn connect(config: &Config, client_id: &str) -> Vec<u8> {
    let (username, password) = (config.username.as_deref(), config.password.as_deref());
    let mut flags = CLEAN_SESSION;
    flags |= if username.is_some() { USERNAME } else { 0 };
    flags |= if password.is_some() { PASSWORD } else { 0 };
    let level = if config.version == Version::V5 { 5 } else { 4 };
    let mut body = text("MQTT");
    body.extend([level, flags]);
    body.extend(KEEP_ALIVE_SECONDS.to_be_bytes());
    if config.version == Version::V5 {
        // No properties.
        body.push(0);
    }
    for value in [Some(client_id), username, password].into_iter().flatten() {
        body.extend(text(value));
    }
    let mut packet = vec![CONNECT];
    let mut left = body.len();
    loop {
        let low = u8::try_from(left % 128).unwrap_or(0);
        left /= 128;
        packet.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

/// Two bytes of length before the text. `validate` has bounded it.
fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

/// The length of a packet with its fixed header (section 2.2), once that is
/// known. It must be a CONNACK: nothing else may come first.
pub(crate) fn total(held: &[u8]) -> Result<Option<usize>, Finding> {
    match held.first() {
        None => return Ok(None),
        Some(&CONNACK) => {}
        Some(other) => {
            let other = shown(&[*other]);
            return Err(malformed(format!(
                "expected CONNACK, found a packet that begins with {other}"
            )));
        }
    }
    let rest = variable(&held[1..])?;
    Ok(rest.map(|(length, bytes)| 1 + bytes + length))
}

/// A variable byte integer (5.0 section 1.5.5): seven bits a byte, at most four.
fn variable(bytes: &[u8]) -> Result<Option<(usize, usize)>, Finding> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() < 4 {
        return Ok(None);
    }
    Err(malformed("a length of more than four bytes"))
}

/// What the broker says to a CONNECT.
#[derive(Default)]
pub(crate) struct Connack {
    pub(crate) session_present: bool,
    code: u8,
    pub(crate) receive_maximum: Option<u32>,
    pub(crate) packet_limit: Option<u32>,
    pub(crate) keep_alive: Option<u32>,
    reason: Option<String>,
}

impl Connack {
    pub(crate) fn read(packet: &[u8], is_5: bool) -> Result<Self, Finding> {
        let cut_off = || malformed("a CONNACK that is cut off");
        let (_, bytes) = variable(packet.get(1..).unwrap_or_default())?.ok_or_else(cut_off)?;
        let body = packet.get(1 + bytes..).ok_or_else(cut_off)?;
        let [flags, code, rest @ ..] = body else {
            return Err(cut_off());
        };
        if flags & 0xfe != 0 {
            return Err(malformed(format!("CONNACK with flags {flags:#04x}")));
        }
        let mut connack = Self {
            session_present: *flags == 1,
            code: *code,
            ..Self::default()
        };
        // A broker that does not know 5.0 answers as 3.1.1 has it.
        if is_5 && !rest.is_empty() {
            let (length, bytes) = variable(rest)?.ok_or_else(cut_off)?;
            let properties = rest.get(bytes..).and_then(|rest| rest.get(..length));
            connack.properties(properties.ok_or_else(cut_off)?)?;
        }
        Ok(connack)
    }

    /// 5.0 section 3.2.2.3; the types are those of section 2.2.2.2.
    fn properties(&mut self, mut rest: &[u8]) -> Step {
        let cut_off = || malformed("a property that is cut off");
        while let [id, value @ ..] = rest {
            let length = match id {
                0x24 | 0x25 | 0x28 | 0x29 | 0x2a => 1,
                0x13 | 0x21 | 0x22 => 2,
                0x11 | 0x27 => 4,
                0x12 | 0x15 | 0x16 | 0x1a | 0x1c | 0x1f => prefixed(value),
                0x26 => {
                    let name = prefixed(value);
                    name + prefixed(value.get(name..).unwrap_or_default())
                }
                _ => return Err(malformed(format!("CONNACK with a property {id:#04x}"))),
            };
            let (value, next) = value.split_at_checked(length).ok_or_else(cut_off)?;
            let number = || {
                value
                    .iter()
                    .fold(0, |all, byte| (all << 8) | u32::from(*byte))
            };
            match id {
                0x13 => self.keep_alive = Some(number()),
                0x21 => self.receive_maximum = Some(number()),
                0x27 => self.packet_limit = Some(number()),
                0x1f => self.reason = value.get(2..).map(shown),
                _ => {}
            }
            rest = next;
        }
        Ok(())
    }

    /// Why the broker does not want us, if it does not.
    pub(crate) fn refusal(&self, is_5: bool) -> Option<Finding> {
        let said = self.reason.as_deref().unwrap_or_default();
        let finding = |make: fn(String) -> Finding, what: &str| {
            let joint = if said.is_empty() { "" } else { ": " };
            Some(make(format!(
                "code {:#04x}, {what}{joint}{said}",
                self.code
            )))
        };
        match self.code {
            0 => None,
            1 => finding(unexpected, "the version of the protocol is not spoken"),
            2 => finding(denied, "the client's name is refused"),
            3 => finding(not_ready, "the broker is not available"),
            4 => finding(denied, "wrong username or password"),
            5 => finding(denied, "not authorized"),
            _ if !is_5 => finding(malformed, "which there is not"),
            0x84 => finding(unexpected, "the version of the protocol is not spoken"),
            0x85 => finding(denied, "the client's name is refused"),
            0x86 => finding(denied, "wrong username or password"),
            0x87 => finding(denied, "not authorized"),
            0x8a => finding(denied, "banned"),
            0x8c => finding(denied, "another way to log in is wanted"),
            0x88 => finding(not_ready, "the broker is not available"),
            0x89 => finding(not_ready, "the broker is busy"),
            0x97 => finding(not_ready, "a quota is used up"),
            0x9f => finding(not_ready, "too many connections in this time"),
            0x9c | 0x9d => finding(unexpected, "another broker is to be used"),
            0x80.. => finding(server_error, "an error"),
            _ => finding(malformed, "which there is not"),
        }
    }
}

/// The bytes of a string or of binary data with its length.
fn prefixed(bytes: &[u8]) -> usize {
    let length = bytes
        .first_chunk()
        .map_or(0, |bytes| u16::from_be_bytes(*bytes));
    usize::from(length) + 2
}
