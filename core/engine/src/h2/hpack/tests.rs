//! The worked examples of RFC 7541 appendix C, what a hostile peer may send,
//! and that what is encoded is what is decoded.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use alloc::{format, vec};

use proptest::prelude::*;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter_map(|byte| char::from(byte).to_digit(16))
        .map(|digit| digit as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn list(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = fields.all();
    fields
        .map(|(name, value)| (text(name), text(value)))
        .collect()
}

/// Decodes blocks one after another and shows each list as lines.
fn decoded(blocks: &[&str]) -> Vec<Vec<String>> {
    let mut decoder = Decoder::new();
    let mut fields = Fields::default();
    let mut lists = Vec::new();
    for block in blocks {
        decoder.decode(&bytes(block), &mut fields).unwrap();
        let lines = list(&fields).into_iter();
        lists.push(
            lines
                .map(|(name, value)| format!("{name}: {value}"))
                .collect(),
        );
    }
    lists
}

fn fails(block: &[u8]) -> Error {
    let decoded = Decoder::new().decode(block, &mut Fields::default());
    decoded.unwrap_err()
}

#[test]
fn each_representation_of_a_field() {
    for (block, field) in [
        (
            "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572",
            "custom-key: custom-header",
        ),
        ("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path"),
        (
            "1008 7061 7373 776f 7264 0673 6563 7265 74",
            "password: secret",
        ),
        ("82", ":method: GET"),
    ] {
        assert_eq!(decoded(&[block]), [[field]]);
    }
}

#[test]
fn requests_on_one_connection_plain_and_in_the_huffman_code() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let coded = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    let host = ":authority: www.example.com";
    let expected: [&[&str]; 3] = [
        &[":method: GET", ":scheme: http", ":path: /", host],
        &[
            ":method: GET",
            ":scheme: http",
            ":path: /",
            host,
            "cache-control: no-cache",
        ],
        &[
            ":method: GET",
            ":scheme: https",
            ":path: /index.html",
            host,
            "custom-key: custom-value",
        ],
    ];
    assert_eq!(decoded(&plain), expected);
    assert_eq!(decoded(&coded), expected);
}

/// The table has 256 bytes, so that fields are evicted.
#[test]
fn responses_that_overflow_the_table() {
    let plain = [
        "3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032
         303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "4803 3330 37c1 c0bf",
        "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04
         677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49
         553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
    ];
    let coded = [
        "3fe101 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b
         ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7
         821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed
         4ee5 b106 3d50 07",
    ];
    let (private, location) = (
        "cache-control: private",
        "location: https://www.example.com",
    );
    let expected: [&[&str]; 3] = [
        &[
            ":status: 302",
            private,
            "date: Mon, 21 Oct 2013 20:13:21 GMT",
            location,
        ],
        &[
            ":status: 307",
            private,
            "date: Mon, 21 Oct 2013 20:13:21 GMT",
            location,
        ],
        &[
            ":status: 200",
            private,
            "date: Mon, 21 Oct 2013 20:13:22 GMT",
            location,
            "content-encoding: gzip",
            "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        ],
    ];
    assert_eq!(decoded(&plain), expected);
    assert_eq!(decoded(&coded), expected);
}

#[test]
fn what_cannot_be_decompressed() {
    for (block, error) in [
        ("80", Error::Index(0)),
        ("be", Error::Index(62)),
        ("ff ff ff ff ff 00", Error::Number),
        ("7f ff ff ff ff ff ff ff ff ff", Error::Number),
        ("ff", Error::Truncated),
        ("40", Error::Truncated),
        ("40 05 61", Error::Truncated),
        ("40 01 61", Error::Truncated),
        ("40 01 61 02 61", Error::Truncated),
        // 4,097 bytes, one too many.
        ("3f e2 1f", Error::TableSize(4_097)),
        ("82 20", Error::LateTableSize),
        // EOS; padding with a zero; padding of a whole byte.
        ("00 01 61 84 ff ff ff ff", Error::Huffman),
        ("00 01 61 81 1e", Error::Huffman),
        ("00 01 61 82 1f ff", Error::Huffman),
    ] {
        assert_eq!(fails(&bytes(block)), error, "{block}");
    }
    assert_eq!(decoded(&["20 3f e1 1f 82"]), [[":method: GET"]]);
}

#[test]
fn a_small_block_does_not_become_a_large_list() {
    // A field of 4,064 bytes in the table, named again and again.
    let mut bomb = bytes("40 01 61 7f c0 1e");
    bomb.extend(vec![b'x'; 4_031]);
    assert!(Decoder::new().decode(&bomb, &mut Fields::default()).is_ok());
    bomb.extend(vec![0xbe; 10_000]);
    let mut fields = Fields::default();
    let error = Decoder::new().decode(&bomb, &mut fields).unwrap_err();
    assert_eq!(error, Error::ListTooLarge);
    assert!(fields.bytes() <= MAX_HEAD_BYTES);
    // Each as small as a field can be.
    let many = [0x90].repeat(MAX_HEADERS + 1);
    assert_eq!(fails(&many), Error::TooManyFields);
    assert!(Decoder::new().decode(&many[1..], &mut fields).is_ok());
}

#[test]
fn a_field_larger_than_the_table_empties_it() {
    let mut block = bytes("40 01 61 01 62 40 01 63 7f 81 20");
    block.extend(vec![b'x'; 4_224]);
    block.push(0xbe);
    assert_eq!(fails(&block), Error::Index(62));
}

#[test]
fn requests_are_short_and_never_indexed() {
    let mut block = Vec::new();
    encode(":method", b"GET", &mut block);
    encode(":scheme", b"https", &mut block);
    encode(":path", b"/x", &mut block);
    encode("X-Api-Key", b"secret", &mut block);
    let expected = [&b"\x82\x87\x14\x02/x\x10\x09x-api-key\x06secret"[..]].concat();
    assert_eq!(block, expected);
    for error in [Error::Truncated, Error::Index(70), Error::Huffman] {
        assert!(!error.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        sent in proptest::collection::vec(("[!-9;-@\\[-~]{0,300}", "[ -~]{0,300}"), 0..40),
    ) {
        let mut block = Vec::new();
        for (name, value) in &sent {
            encode(name, value.as_bytes(), &mut block);
        }
        let mut fields = Fields::default();
        Decoder::new().decode(&block, &mut fields).unwrap();
        prop_assert_eq!(list(&fields), sent);
    }

    #[test]
    fn no_block_makes_it_panic_or_hold_much(blocks: Vec<Vec<u8>>) {
        let mut decoder = Decoder::new();
        let mut fields = Fields::default();
        for block in &blocks {
            let _ = decoder.decode(block, &mut fields);
            prop_assert!(fields.bytes() <= MAX_HEAD_BYTES);
        }
    }
}
