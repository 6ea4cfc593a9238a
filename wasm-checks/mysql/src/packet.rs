//! Packets of the connection phase.

use probity_check::prelude::*;

const CLIENT_LONG_PASSWORD: u32 = 0x1;
const CLIENT_PROTOCOL_41: u32 = 0x200;
pub(crate) const CLIENT_SSL: u32 = 0x800;
const CLIENT_SECURE_CONNECTION: u32 = 0x8000;
const CLIENT_PLUGIN_AUTH: u32 = 0x8_0000;

const CAPABILITIES: u32 =
    CLIENT_LONG_PASSWORD | CLIENT_PROTOCOL_41 | CLIENT_SECURE_CONNECTION | CLIENT_PLUGIN_AUTH;
const MAX_PACKET: u32 = 0x00ff_ffff;
/// utf8mb4_general_ci, which both servers know.
const CHARSET: u8 = 45;

/// The length of a packet with its header, of which three bytes say how long
/// the payload is, and the fourth counts.
pub(crate) fn length(header: &[u8]) -> usize {
    header
        .iter()
        .take(3)
        .rev()
        .fold(0, |all, byte| (all << 8) | usize::from(*byte))
        + 4
}

/// Protocol::HandshakeV10
pub(crate) struct Greeting {
    pub(crate) version: String,
    pub(crate) connection: u32,
    pub(crate) capabilities: u32,
}

impl Greeting {
    pub(crate) fn read(payload: &[u8]) -> Result<Self, Finding> {
        let cut_off = || malformed("a greeting that is cut off");
        let rest = match payload {
            [10, rest @ ..] => rest,
            [version, ..] => return Err(malformed(format!("version {version} of the protocol"))),
            [] => return Err(malformed("an empty greeting")),
        };
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(cut_off)?;
        let (version, rest) = rest.split_at(end);
        // MariaDB puts this before its own, for replicas that know nothing else.
        let version = version.strip_prefix(b"5.5.5-").unwrap_or(version);
        let (connection, rest) = rest[1..].split_first_chunk().ok_or_else(cut_off)?;
        // Eight bytes of the challenge, and one that fills.
        let capabilities = rest.get(9..11).ok_or_else(cut_off)?;
        let capabilities = [capabilities[0], capabilities[1]];
        Ok(Self {
            version: shown(version),
            connection: u32::from_le_bytes(*connection),
            capabilities: u16::from_le_bytes(capabilities).into(),
        })
    }
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or(MAX_PACKET)
        .to_le_bytes();
    [&[length[0], length[1], length[2], sequence], payload].concat()
}

fn client(capabilities: u32) -> Vec<u8> {
    let mut payload = (CAPABILITIES | capabilities).to_le_bytes().to_vec();
    payload.extend(MAX_PACKET.to_le_bytes());
    payload.push(CHARSET);
    payload.extend([0; 23]);
    payload
}

/// Protocol::SSLRequest
pub(crate) fn ssl_request() -> Vec<u8> {
    packet(1, &client(CLIENT_SSL))
}

/// Protocol::HandshakeResponse41, of a user without a password.
pub(crate) fn login(sequence: u8, user: &str, capabilities: u32) -> Vec<u8> {
    let mut payload = client(capabilities);
    payload.extend_from_slice(user.as_bytes());
    // The end of the name, and a password of no bytes.
    payload.extend([0, 0]);
    payload.extend_from_slice(b"mysql_native_password\0");
    packet(sequence, &payload)
}
