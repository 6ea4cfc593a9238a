//! The Huffman code of RFC 7541 section 5.2 and appendix B.
//!
//! The code is canonical: symbols of one length have consecutive codes in
//! order of their value, and shorter codes come first. So the lengths say all.

use alloc::vec::Vec;

/// Bits of the code of each byte, and at the end of EOS.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
     6, 10, 10, 12, 13,  6,  8, 11, 10, 10,  8, 11,  8,  6,  6,  6,
     5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8, 15,  6, 12, 10,
    13,  6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
     7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8, 13, 19, 13, 14,  6,
    15,  5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,
     6,  7,  6,  5,  5,  6,  7,  7,  7,  7,  7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

const SYMBOLS: usize = 257;
const LONGEST: usize = 30;

/// Codes of one length.
#[derive(Clone, Copy)]
struct Row {
    /// The first of them.
    code: u32,
    /// How many there are.
    count: u32,
    /// Where their symbols begin in [`Code::symbols`].
    at: u32,
}

struct Code {
    /// By length.
    rows: [Row; LONGEST + 1],
    /// By length, then by value.
    symbols: [u16; SYMBOLS],
}

const fn canonical() -> Code {
    let empty = Row {
        code: 0,
        count: 0,
        at: 0,
    };
    let mut rows = [empty; LONGEST + 1];
    let mut symbols = [0; SYMBOLS];
    let (mut length, mut code, mut at) = (1, 0, 0);
    while length <= LONGEST {
        code <<= 1;
        rows[length].code = code;
        rows[length].at = at;
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                symbols[at as usize] = symbol as u16;
                rows[length].count += 1;
                code += 1;
                at += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    // The code is complete: every sequence of bits begins with a code.
    assert!(at as usize == SYMBOLS && code == 1 << LONGEST);
    Code { rows, symbols }
}

static CODE: Code = canonical();

/// What is coded is no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// Appends the text that `coded` stands for, which has at most 8 / 5 of its
/// bytes.
pub(super) fn decode(coded: &[u8], text: &mut Vec<u8>) -> Result<(), Invalid> {
    let (mut code, mut length) = (0_u32, 0);
    for bit in coded
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1))
    {
        code = code << 1 | u32::from(bit);
        length += 1;
        let row = CODE.rows.get(length).ok_or(Invalid)?;
        let offset = code.wrapping_sub(row.code);
        if offset < row.count {
            let symbol = CODE.symbols[(row.at + offset) as usize];
            // EOS is no byte.
            text.push(u8::try_from(symbol).map_err(|_| Invalid)?);
            (code, length) = (0, 0);
        }
    }
    // Padding is less than a byte, and the beginning of EOS: all ones.
    let padding = (1 << length.min(8)) - 1;
    if length < 8 && code == padding {
        Ok(())
    } else {
        Err(Invalid)
    }
}
