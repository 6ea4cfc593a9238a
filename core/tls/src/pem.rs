//! What is wrong with PEM, without a byte of it: it may be a key.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject as _};

use crate::text::list;

/// Longest label that is shown: longer ones are none.
const LABEL: usize = 40;

/// Says what was found where a section of PEM was expected: the labels of the
/// sections, or that one of them is damaged. None of its content, whatever
/// it is: errors of the parser repeat lines, and the line may be the whole file.
pub fn found(pem: &[u8], error: &Error) -> String {
    match error {
        Error::NoItemsFound => sections(pem),
        Error::MissingSectionEnd { .. } => {
            "a section without an end, or one that is not in lines".into()
        }
        Error::IllegalSectionStart { .. } => "a malformed beginning of a section".into(),
        Error::Base64Decode(_) => "a section whose content is no base64".into(),
        _ => "a damaged section".into(),
    }
}

/// A certificate of a PEM file.
pub(crate) struct Section {
    /// Of the line that begins it, from 1.
    pub(crate) line: usize,
    /// The certificate, or what there is instead.
    pub(crate) certificate: Result<CertificateDer<'static>, String>,
}

/// All certificates of a PEM file, and what is damaged. Sound sections of other
/// kinds are passed over. A damaged one ends where the next begins, as it does
/// for Go, so that it takes no other with it.
pub(crate) fn certificates(pem: &[u8]) -> impl Iterator<Item = Section> {
    let mut starts = Vec::new();
    let (mut at, mut line) = (0, 1);
    for text in pem.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        if text.starts_with(b"-----BEGIN ") {
            starts.push((at, line));
        }
        at += text.len();
        line += usize::from(text.ends_with(b"\n"));
    }
    let ends = starts.clone().into_iter().skip(1).map(|(at, _)| at);
    let ends = ends.chain([pem.len()]);
    let sections = starts.into_iter().zip(ends);
    sections.filter_map(|((start, line), end)| {
        let section = &pem[start..end];
        let certificate = match CertificateDer::from_pem_slice(section) {
            Err(Error::NoItemsFound) => return None,
            read => read.map_err(|error| found(section, &error)),
        };
        Some(Section { line, certificate })
    })
}

/// The labels of the sections, or why there are none.
pub(crate) fn sections(pem: &[u8]) -> String {
    if pem.is_empty() {
        return "nothing".into();
    }
    let text = String::from_utf8_lossy(pem);
    let labels: Vec<String> = text.lines().filter_map(label).map(str::to_owned).collect();
    if labels.is_empty() {
        format!("no PEM section in {} bytes", pem.len())
    } else {
        list(&labels, 3)
    }
}

/// The label of a line that begins a section (RFC 7468 section 3), and holds
/// nothing else.
fn label(line: &str) -> Option<&str> {
    let (label, after) = line
        .trim()
        .strip_prefix("-----BEGIN ")?
        .split_once("-----")?;
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' ';
    let is_label = label.len() <= LABEL && label.bytes().all(is_plain);
    (after.is_empty() && is_label).then_some(label)
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};

    use super::*;

    const KEY: &str = "MHcCAQEEIBLUhYJ4tXk8fLSJvzhJTLqDWQ8mJbLoXnzqJ0nGjAoGCCqGSM49";

    #[test]
    fn no_part_of_a_key_is_shown() {
        for pem in [
            format!("-----BEGIN EC PRIVATE KEY----- {KEY} -----END EC PRIVATE KEY-----"),
            format!("-----BEGIN EC PRIVATE KEY-----\n{KEY}!!\n-----END EC PRIVATE KEY-----\n"),
            format!("-----BEGIN EC PRIVATE KEY-----\n{KEY}\n"),
            format!("-----BEGIN {KEY}-----\nAAAA\n-----END {KEY}-----\n"),
            format!("-----BEGIN {KEY}\n"),
            KEY.to_owned(),
        ] {
            let pem = pem.as_bytes();
            let errors = [
                PrivateKeyDer::from_pem_slice(pem).err(),
                CertificateDer::from_pem_slice(pem).err(),
            ];
            for error in errors.into_iter().flatten() {
                let sentence = found(pem, &error);
                let shown = KEY.as_bytes().windows(6);
                let mut shown = shown.filter(|part| {
                    sentence.contains(str::from_utf8(part).expect("base64 is text"))
                });
                assert_eq!(shown.next(), None, "{sentence}");
                // As numbers neither, which the parser's own sentence has.
                assert!(!sentence.contains("77, 72, 99"), "{sentence}");
            }
        }
    }

    #[test]
    fn a_damaged_section_takes_no_other_with_it() {
        let good = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        let read = |pem: String| -> Vec<_> {
            let sections = certificates(pem.as_bytes());
            let brief = |section: Section| (section.line, section.certificate.err());
            sections.map(brief).collect()
        };
        let bad = |what: &str| Some(what.to_owned());
        for (damaged, what) in [
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n",
                "a section without an end, or one that is not in lines",
            ),
            (
                "-----BEGIN CERTIFICATE-----\nA!AA\n-----END CERTIFICATE-----\n",
                "a section whose content is no base64",
            ),
            (
                "-----BEGIN CERTIFICATE----\nAAAA\n-----END CERTIFICATE-----\n",
                "a malformed beginning of a section",
            ),
        ] {
            let lines = damaged.lines().count();
            assert_eq!(
                read(format!("text\n{good}{key}{damaged}{good}{key}")),
                [(2, None), (8, bad(what)), (8 + lines, None)]
            );
            assert_eq!(read(damaged.to_owned()), [(1, bad(what))]);
        }
        assert_eq!(read(key.to_owned()), []);
        let twice = format!("{good}{good}");
        assert_eq!(read(twice.replace('\n', "\r\n")), [(1, None), (4, None)]);
        assert_eq!(read(twice.replace('\n', "\r")), [(1, None), (1, None)]);
    }

    #[test]
    fn labels_of_sections_are_named() {
        let pem = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let error = CertificateDer::from_pem_slice(pem).unwrap_err();
        assert_eq!(found(pem, &error), "PUBLIC KEY");
        assert_eq!(found(b"", &error), "nothing");
        assert_eq!(found(b"abc", &error), "no PEM section in 3 bytes");
    }
}
