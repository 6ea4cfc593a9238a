//! Distinguished names as Go's `pkix.Name.String` prints them.
//!
//! blackbox_exporter puts that string into the labels `subject` and `issuer`,
//! so the form is part of a metric's identity. Go does not print the name that
//! is in the certificate: it sorts the attributes it knows into fields and
//! prints those in a fixed order (all values of one field joined with `+`),
//! followed by the attributes that it does not know, last one first: text as
//! `1.2.3=text`, anything else as `1.2.3=#` and the hex of its DER. (Releases
//! of Go differ here; this is what blackbox_exporter 0.28.0 shows.)

use std::fmt::Write;

use x509_parser::asn1_rs::{Any, Class, Oid, Tag};
use x509_parser::x509::X509Name;

use crate::text::hex;

/// Attribute types with a field of their own in Go's `pkix.Name`: the last arc
/// below 2.5.4 and the short name, in the order in which they are printed.
const FIELDS: [(u64, &str); 9] = [
    (5, "SERIALNUMBER"),
    (3, "CN"),
    (11, "OU"),
    (10, "O"),
    (17, "POSTALCODE"),
    (9, "STREET"),
    (7, "L"),
    (8, "ST"),
    (6, "C"),
];

/// The fields that hold one value: a later attribute replaces an earlier one.
const SINGLE: [u64; 2] = [5, 3];

/// `name` as Go prints it: `CN=Example,O=Example Org`.
pub(crate) fn go_string(name: &X509Name<'_>) -> String {
    let mut fields: [Vec<String>; FIELDS.len()] = Default::default();
    let mut others = Vec::new();
    for attribute in name.iter_attributes() {
        let (oid, value) = (attribute.attr_type(), attribute.attr_value());
        let Some(index) = field(oid) else {
            others.push(unknown(oid, value));
            continue;
        };
        // A known attribute that is not a string is not printed at all.
        let Some(text) = decode(value) else { continue };
        if SINGLE.contains(&FIELDS[index].0) {
            fields[index].clear();
            // Go cannot tell an empty value from none.
            if text.is_empty() {
                continue;
            }
        }
        fields[index].push(text);
    }
    let mut out = String::new();
    for ((_, short), values) in FIELDS.iter().zip(&fields) {
        for (index, value) in values.iter().enumerate() {
            if !out.is_empty() {
                out.push(if index == 0 { ',' } else { '+' });
            }
            // Writing to a String cannot fail.
            let _ = write!(out, "{short}=");
            escape(value, &mut out);
        }
    }
    for other in others.iter().rev() {
        if !out.is_empty() {
            out.push(',');
        }
        out.push_str(other);
    }
    out
}

/// An attribute that Go has no field for.
fn unknown(oid: &Oid<'_>, value: &Any<'_>) -> String {
    let mut out = format!("{}=", oid.to_id_string());
    match decode(value) {
        Some(text) => escape(&text, &mut out),
        None => {
            out.push('#');
            out.push_str(&hex(&tlv(identifier(value), value.data)));
        }
    }
    out
}

/// Position in [`FIELDS`], if Go has a field for `oid`.
fn field(oid: &Oid<'_>) -> Option<usize> {
    let mut arcs = oid.iter()?;
    let known = (arcs.next(), arcs.next(), arcs.next()) == (Some(2), Some(5), Some(4));
    let last = arcs.next()?;
    if !known || arcs.next().is_some() {
        return None;
    }
    FIELDS.iter().position(|(arc, _)| *arc == last)
}

/// Escapes as RFC 2253 section 2.4 wants it, which is also what Go does.
fn escape(value: &str, out: &mut String) {
    for (at, c) in value.char_indices() {
        let special = match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at + 1 == value.len(),
            '#' => at == 0,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(c);
    }
}

/// The text of an attribute value, if it is of one of the string types.
fn decode(value: &Any<'_>) -> Option<String> {
    if value.class() != Class::Universal {
        return None;
    }
    match value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString => {
            Some(String::from_utf8_lossy(value.data).into_owned())
        }
        // T.61 is dead; everybody reads it as ISO 8859-1.
        Tag::T61String => Some(value.data.iter().copied().map(char::from).collect()),
        Tag::BmpString => {
            let units = value
                .data
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            Some(
                char::decode_utf16(units)
                    .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                    .collect(),
            )
        }
        _ => None,
    }
}

/// The identifier octet. Attribute values have low tag numbers; a higher one
/// would need more octets and is shown by its low bits.
fn identifier(value: &Any<'_>) -> u8 {
    let header = &value.header;
    let constructed = if header.is_constructed() { 0x20 } else { 0 };
    ((header.class() as u8) << 6) | constructed | (value.tag().0 & 0x1f) as u8
}

/// Tag, length and value with a definite length (X.690 section 8.1.3).
fn tlv(identifier: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![identifier];
    if content.len() < 0x80 {
        out.push(content.len() as u8);
    } else {
        let length = content.len().to_be_bytes();
        let skip = length.iter().take_while(|byte| **byte == 0).count();
        out.push(0x80 | (length.len() - skip) as u8);
        out.extend_from_slice(&length[skip..]);
    }
    out.extend_from_slice(content);
    out
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::FromDer;

    use super::*;

    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    const T61: u8 = 0x14;
    const IA5: u8 = 0x16;
    const BMP: u8 = 0x1e;

    const CN: &[u8] = &[0x55, 4, 3];
    const SERIAL: &[u8] = &[0x55, 4, 5];
    const C: &[u8] = &[0x55, 4, 6];
    const L: &[u8] = &[0x55, 4, 7];
    const ST: &[u8] = &[0x55, 4, 8];
    const STREET: &[u8] = &[0x55, 4, 9];
    const O: &[u8] = &[0x55, 4, 10];
    const OU: &[u8] = &[0x55, 4, 11];
    const POSTAL: &[u8] = &[0x55, 4, 17];
    const EMAIL: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
    const PRIVATE: &[u8] = &[0x2a, 3];
    const DOMAIN: &[u8] = &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25];

    type Attribute<'a> = (&'a [u8], u8, &'a [u8]);

    fn print(rdns: &[&[Attribute<'_>]]) -> String {
        let mut sets = Vec::new();
        for rdn in rdns {
            let mut set = Vec::new();
            for (oid, tag, value) in *rdn {
                let pair = [tlv(0x06, oid), tlv(*tag, value)].concat();
                set.extend(tlv(0x30, &pair));
            }
            sets.extend(tlv(0x31, &set));
        }
        let der = tlv(0x30, &sets);
        let (rest, name) = X509Name::from_der(&der).expect("a well-formed name");
        assert!(rest.is_empty());
        go_string(&name)
    }

    #[test]
    fn names_print_as_go_prints_them() {
        let table: &[(&[&[Attribute<'_>]], &str)] = &[
            (&[], ""),
            (
                &[&[(O, UTF8, b"Example Org")], &[(CN, UTF8, b"Example")]],
                "CN=Example,O=Example Org",
            ),
            // Go's own order, not the certificate's.
            (
                &[&[(CN, UTF8, b"Example")], &[(O, UTF8, b"Example Org")]],
                "CN=Example,O=Example Org",
            ),
            (
                &[
                    &[(C, PRINTABLE, b"DE")],
                    &[(ST, UTF8, b"Bavaria")],
                    &[(L, UTF8, b"Munich")],
                    &[(STREET, UTF8, b"Road 1")],
                    &[(POSTAL, UTF8, b"80331")],
                    &[(O, UTF8, b"Org")],
                    &[(OU, UTF8, b"Unit")],
                    &[(CN, UTF8, b"host")],
                    &[(SERIAL, PRINTABLE, b"42")],
                ],
                "SERIALNUMBER=42,CN=host,OU=Unit,O=Org,POSTALCODE=80331,STREET=Road 1,L=Munich,ST=Bavaria,C=DE",
            ),
            // Several values of one type form one RDN, wherever they stood.
            (
                &[
                    &[(OU, UTF8, b"b")],
                    &[(OU, UTF8, b"a")],
                    &[(O, UTF8, b"x"), (CN, UTF8, b"y")],
                ],
                "CN=y,OU=b+OU=a,O=x",
            ),
            // The last common name wins; an empty one erases.
            (&[&[(CN, UTF8, b"a")], &[(CN, UTF8, b"b")]], "CN=b"),
            (&[&[(CN, UTF8, b"a")], &[(CN, UTF8, b"")]], ""),
            (
                &[&[(CN, UTF8, b"a, b+c \"d\" \\ <e>;f=#")]],
                r#"CN=a\, b\+c \"d\" \\ \<e\>\;f=#"#,
            ),
            (&[&[(CN, UTF8, b" # ")]], r"CN=\ #\ "),
            (&[&[(CN, UTF8, b"#1")]], r"CN=\#1"),
            (&[&[(CN, UTF8, b" ")]], r"CN=\ "),
            (
                &[&[(CN, UTF8, "M\u{fc}ller ".as_bytes())]],
                "CN=M\u{fc}ller\\ ",
            ),
            (&[&[(CN, T61, b"M\xfcller")]], "CN=M\u{fc}ller"),
            (&[&[(CN, BMP, b"\x00M\x00\xfc")]], "CN=M\u{fc}"),
            (
                &[&[(EMAIL, IA5, b"a@b")], &[(CN, UTF8, b"x")]],
                "CN=x,1.2.840.113549.1.9.1=a@b",
            ),
            (&[&[(PRIVATE, UTF8, b"a,b ")]], r"1.2.3=a\,b\ "),
            (&[&[(PRIVATE, 0x02, b"\x05")]], "1.2.3=#020105"),
            (
                &[
                    &[(DOMAIN, IA5, b"com")],
                    &[(DOMAIN, IA5, b"example")],
                    &[(CN, UTF8, b"x")],
                ],
                "CN=x,0.9.2342.19200300.100.1.25=example,0.9.2342.19200300.100.1.25=com",
            ),
        ];
        for (rdns, expected) in table {
            assert_eq!(print(rdns), *expected);
        }
    }

    #[test]
    fn long_values_have_long_lengths() {
        let long = [b'a'; 300];
        let printed = print(&[&[(PRIVATE, 0x04, &long)]]);
        assert!(printed.starts_with("1.2.3=#0482012c6161"), "{printed}");
    }
}
