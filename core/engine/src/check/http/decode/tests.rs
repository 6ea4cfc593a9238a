//! Coded bodies, whole, in pieces, damaged, and hostile.

use alloc::vec::Vec;
use alloc::{format, vec};

use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};
use proptest::prelude::*;

use super::*;

/// `hello world` ten times in Brotli, as its reference encoder writes it.
pub(in crate::check::http) const BROTLI: &[u8] = &[
    0x1b, 0x6d, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0x96, 0x6c, 0x20, 0x6f, 0x35,
    0x0b, 0x60, 0x15, 0x40, 0x06, 0xc4, 0xdd, 0x01,
];

fn text() -> Vec<u8> {
    b"hello world".repeat(10)
}

fn crc(bytes: &[u8]) -> u32 {
    // Bit by bit, unlike what is tested.
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            1 => crc >> 1 ^ 0xedb8_8320,
            _ => crc >> 1,
        })
    };
    !bytes.iter().fold(!0, step)
}

/// One member; `flags` say which optional parts its header has.
pub(in crate::check::http) fn member(content: &[u8], flags: u8) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
    if flags & 4 != 0 {
        bytes.extend([3, 0, b'x', b'y', b'z']);
    }
    if flags & 8 != 0 {
        bytes.extend(b"name\0");
    }
    if flags & 16 != 0 {
        bytes.extend(b"comment\0");
    }
    if flags & 2 != 0 {
        let [low, high, ..] = crc(&bytes).to_le_bytes();
        bytes.extend([low, high]);
    }
    bytes.extend(compress_to_vec(content, 6));
    bytes.extend(crc(content).to_le_bytes());
    bytes.extend((content.len() as u32).to_le_bytes());
    bytes
}

/// What comes out if the input arrives in these pieces and the output is taken
/// `room` bytes at a time.
fn decode(coding: Coding, parts: &[&[u8]], room: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = coding.decoder().unwrap();
    let mut output = vec![0; room];
    let mut decoded = Vec::new();
    for part in parts {
        let mut input = *part;
        loop {
            match decoder.decode(&mut input, &mut output)? {
                0 => break,
                length => decoded.extend_from_slice(&output[..length]),
            }
            assert!(decoded.len() < 1 << 24);
        }
        assert!(input.is_empty());
    }
    decoder.finish().map(|()| decoded)
}

#[test]
fn codings_are_named_in_any_case() {
    for (name, coding) in [
        ("gzip", Coding::Gzip),
        ("GZip", Coding::Gzip),
        ("Deflate", Coding::Deflate),
        ("BR", Coding::Brotli),
        ("identity", Coding::Identity),
        ("zstd", Coding::Unsupported),
        ("gzip ", Coding::Unsupported),
    ] {
        assert_eq!(Coding::named(name), coding, "{name}");
    }
}

#[test]
fn every_coding_decodes_whatever_the_pieces() {
    let text = text();
    let bodies = [
        (Coding::Gzip, member(&text, 0)),
        (Coding::Gzip, member(&text, 2 | 4 | 8 | 16)),
        (
            Coding::Gzip,
            [
                member(&text[..50], 8),
                member(b"", 0),
                member(&text[50..], 2),
            ]
            .concat(),
        ),
        (Coding::Deflate, compress_to_vec(&text, 6)),
        (Coding::Deflate, compress_to_vec_zlib(&text, 6)),
        (Coding::Deflate, compress_to_vec(&text, 0)),
        (Coding::Brotli, BROTLI.to_vec()),
    ];
    for (coding, body) in bodies {
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        for (parts, room) in [(&[&body[..]][..], 4096), (&bytes, 7), (&bytes, 1)] {
            assert_eq!(decode(coding, parts, room), Ok(text.clone()), "{coding:?}");
        }
        for cut in 0..body.len() {
            let ended = decode(coding, &[&body[..cut]], 64);
            let whole_members = coding == Coding::Gzip && ended.is_ok();
            assert!(
                matches!(ended, Err(DecodeError::Truncated(_))) || whole_members,
                "{coding:?} cut at {cut}: {ended:?}"
            );
        }
    }
}

#[test]
fn damage_is_noticed() {
    let text = text();
    let gzip = member(&text, 2);
    let damaged = |at: usize| {
        let mut bytes = gzip.clone();
        bytes[at] ^= 0x40;
        decode(Coding::Gzip, &[&bytes], 4096)
    };
    assert_eq!(damaged(0), Err(DecodeError::Header("gzip")));
    assert_eq!(damaged(2), Err(DecodeError::Header("gzip")));
    assert_eq!(damaged(5), Err(DecodeError::Checksum("gzip")), "its header");
    assert_eq!(damaged(gzip.len() - 1), Err(DecodeError::Checksum("gzip")));
    assert_eq!(damaged(gzip.len() - 6), Err(DecodeError::Checksum("gzip")));
    let trailing = [&gzip[..], b"x"].concat();
    assert_eq!(
        decode(Coding::Gzip, &[&trailing], 64),
        Err(DecodeError::Header("gzip"))
    );
    let mut zlib = compress_to_vec_zlib(&text, 6);
    *zlib.last_mut().unwrap() ^= 1;
    assert_eq!(
        decode(Coding::Deflate, &[&zlib], 64),
        Err(DecodeError::Data("deflate"))
    );
    // TestHandlingOfCompressionSetting: it is gzip, and deflate was said.
    assert_eq!(
        decode(Coding::Deflate, &[&gzip], 64),
        Err(DecodeError::Data("deflate"))
    );
    let trailing = [&compress_to_vec(&text, 6)[..], b"more"].concat();
    assert_eq!(decode(Coding::Deflate, &[&trailing], 64), Ok(text));
    assert_eq!(
        decode(Coding::Brotli, &[BROTLI, b"x"], 64),
        Err(DecodeError::Excess("br"))
    );
    assert_eq!(
        decode(Coding::Brotli, &[b"hello world"], 64),
        Err(DecodeError::Data("br"))
    );
    for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
        let empty = decode(coding, &[], 64);
        assert!(
            matches!(empty, Err(DecodeError::Truncated(_))),
            "{coding:?}"
        );
    }
    let shown = format!("{}", DecodeError::Header("gzip"));
    assert_eq!(shown, "expected a body in gzip, found something else");
}

#[test]
fn a_bomb_comes_out_in_pieces() {
    let bomb = member(&vec![0; 4 << 20], 0);
    assert!(bomb.len() < 8 << 10);
    let mut decoder = Coding::Gzip.decoder().unwrap();
    let mut output = [0; 1024];
    let mut input = &bomb[..];
    for _ in 0..100 {
        assert!(decoder.decode(&mut input, &mut output).unwrap() > 0);
    }
    assert!(!input.is_empty(), "no more is read than was asked for");
}

proptest! {
    #[test]
    fn what_was_coded_comes_back(
        content: Vec<u8>,
        cuts in proptest::collection::vec(0..300_usize, 0..4),
        room in 1..40_usize,
        flags in 0..32_u8,
    ) {
        for (coding, body) in [
            (Coding::Gzip, member(&content, flags & !1)),
            (Coding::Deflate, compress_to_vec(&content, 6)),
            (Coding::Deflate, compress_to_vec_zlib(&content, 6)),
        ] {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
            cuts.sort_unstable();
            let mut from = 0;
            let mut parts = Vec::new();
            for cut in cuts {
                parts.push(&body[from..cut]);
                from = cut;
            }
            parts.push(&body[from..]);
            prop_assert_eq!(decode(coding, &parts, room), Ok(content.clone()));
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, parts in 1..9_usize) {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
            let pieces: Vec<&[u8]> = bytes.chunks(parts).collect();
            let gzip = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0], &bytes[..]].concat();
            let _ = decode(coding, &pieces, 64);
            let _ = decode(coding, &[&gzip], 4096);
        }
    }
}
