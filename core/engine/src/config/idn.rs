//! International names in ASCII: Punycode (RFC 3492), label by label.
//!
//! Nothing is mapped: who needs that has lower case and NFC written, as nearly
//! everybody does.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Characters of a label that is encoded. No name of DNS has a longer one, and the
/// time grows with their square.
const LONGEST: usize = 255;

/// The name with every label that is not ASCII as `xn--...`; one that cannot be
/// encoded stays as it is.
pub(crate) fn to_ascii(name: &str) -> Cow<'_, str> {
    if name.is_ascii() {
        return Cow::Borrowed(name);
    }
    let label = |label| match encode(label) {
        Some(encoded) => Cow::Owned(format!("xn--{encoded}")),
        None => Cow::Borrowed(label),
    };
    let labels: Vec<Cow<'_, str>> = name.split('.').map(label).collect();
    Cow::Owned(labels.join("."))
}

/// RFC 3492 section 6.3. `None` if there is nothing to encode, or too much.
fn encode(label: &str) -> Option<String> {
    let letters: Vec<u32> = label.chars().map(u32::from).collect();
    if label.is_ascii() || letters.len() > LONGEST {
        return None;
    }
    let mut encoded: String = label.chars().filter(char::is_ascii).collect();
    let basic = encoded.len() as u32;
    let mut handled = basic;
    if basic > 0 {
        encoded.push('-');
    }
    let (mut least, mut delta, mut bias) = (128, 0_u32, 72);
    while (handled as usize) < letters.len() {
        let next = *letters.iter().filter(|letter| **letter >= least).min()?;
        delta = delta.checked_add((next - least).checked_mul(handled + 1)?)?;
        for letter in &letters {
            if *letter < next {
                delta = delta.checked_add(1)?;
            }
            if *letter == next {
                number(delta, bias, &mut encoded);
                bias = adapted(delta, handled + 1, handled == basic);
                delta = 0;
                handled += 1;
            }
        }
        delta = delta.checked_add(1)?;
        least = next + 1;
    }
    Some(encoded)
}

/// A number of variable length, with thresholds by `bias`.
fn number(mut number: u32, bias: u32, out: &mut String) {
    let mut push = |digit: u32| {
        // a to z are 0 to 25, 0 to 9 are 26 to 35.
        let first = if digit < 26 { b'a' } else { b'0' - 26 };
        out.push(char::from(first + digit as u8));
    };
    for k in (36..).step_by(36) {
        let threshold = k.max(bias + 1).min(bias + 26) - bias;
        if number < threshold {
            break;
        }
        push(threshold + (number - threshold) % (36 - threshold));
        number = (number - threshold) / (36 - threshold);
    }
    push(number);
}

/// RFC 3492 section 6.1.
const fn adapted(delta: u32, handled: u32, first: bool) -> u32 {
    let mut delta = delta / if first { 700 } else { 2 };
    delta += delta / handled;
    let mut k = 0;
    while delta > 455 {
        delta /= 35;
        k += 36;
    }
    k + 36 * delta / (delta + 38)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_are_encoded_one_by_one() {
        for (name, ascii) in [
            ("a.example", "a.example"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("\u{fc}.\u{e9}.", "xn--tda.xn--9ca."),
            ("stra\u{df}e", "xn--strae-oqa"),
            ("\u{4f8b}\u{3048}.jp", "xn--r8jz45g.jp"),
            // RFC 3492 section 7.1 (A), (B) and (L).
            (
                "\u{644}\u{64a}\u{647}\u{645}\u{627}\u{628}\u{62a}\u{643}\u{644}\u{645}\u{648}\u{634}\u{639}\u{631}\u{628}\u{64a}\u{61f}",
                "xn--egbpdaj6bu4bxfgehfvwxn",
            ),
            (
                "\u{4ed6}\u{4eec}\u{4e3a}\u{4ec0}\u{4e48}\u{4e0d}\u{8bf4}\u{4e2d}\u{6587}",
                "xn--ihqwcrb4cv8a8dqg056pqjye",
            ),
            (
                "3\u{5e74}b\u{7d44}\u{91d1}\u{516b}\u{5148}\u{751f}",
                "xn--3b-ww4c5e180e575a65lsy2b",
            ),
        ] {
            assert_eq!(to_ascii(name), ascii);
        }
        let long = "\u{fc}".repeat(LONGEST + 1);
        assert_eq!(to_ascii(&long), long);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_ascii(name in "\\PC{0,80}") {
            prop_assert!(to_ascii(&name).is_ascii());
        }
    }
}
