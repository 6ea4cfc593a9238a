//! What is wrong with PEM, without a byte of it: it may be a key.

use rustls::pki_types::pem::Error;

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
    fn labels_of_sections_are_named() {
        let pem = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        let error = CertificateDer::from_pem_slice(pem).unwrap_err();
        assert_eq!(found(pem, &error), "PUBLIC KEY");
        assert_eq!(found(b"", &error), "nothing");
        assert_eq!(found(b"abc", &error), "no PEM section in 3 bytes");
    }
}
