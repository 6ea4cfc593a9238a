//! What a text without quotes can be, when more than a text is asked for.

/// Every spelling that yaml.v3 takes where a boolean is asked for.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            Some(true)
        }
        "false" | "False" | "FALSE" | "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Some(false)
        }
        _ => None,
    }
}

/// Those that are left of them between quotes: of YAML 1.2 there are none, and
/// for those of YAML 1.1 yaml.v3 does not look whether there are any.
pub(crate) fn quoted_boolean(text: &str) -> Option<bool> {
    boolean(text).filter(|_| !matches!(text.len(), 4 | 5))
}

/// What yaml.v3 takes where Go's `int` is asked for: an [`integer`], or what is
/// left of a fraction without its digits after the point.
pub(crate) fn go_int(text: &str) -> Option<i128> {
    integer(text).or_else(|| {
        let number = float(text)?;
        // Both bounds are powers of two, and so exact.
        let (least, beyond) = (i64::MIN as f64, -(i64::MIN as f64));
        (least..beyond).contains(&number).then_some(number as i128)
    })
}

/// Decimal, octal with a leading zero, `0x`, `0o` and `0b`, with `_` between
/// digits; also a decimal fraction whose value is an integer.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some(_) if digits.starts_with('0') && digits.bytes().all(is_octal) => (8, digits),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let whole = if radix == 10 {
        digits.split_once('.')
    } else {
        None
    };
    let digits = match whole {
        Some((whole, zeros)) if zeros.bytes().all(|digit| digit == b'0') => whole,
        Some(_) => return None,
        None => digits,
    };
    let number = i128::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    Some(if negative { -number } else { number })
}

const fn is_octal(byte: u8) -> bool {
    matches!(byte, b'0'..=b'7' | b'_')
}

pub(crate) fn float(text: &str) -> Option<f64> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    match rest {
        ".inf" | ".Inf" | ".INF" => Some(sign * f64::INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        // Not the names that Rust has for infinities.
        _ if rest.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            rest.parse::<f64>().ok().map(|number| sign * number)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_those_of_yaml_1_1() {
        assert_eq!(boolean("yes"), Some(true));
        assert_eq!(boolean("OFF"), Some(false));
        for text in ["", "1", "yEs", "truee", "null"] {
            assert_eq!(boolean(text), None, "{text}");
        }
        for (text, value) in [
            ("yes", Some(true)),
            ("n", Some(false)),
            ("OFF", Some(false)),
            ("true", None),
            ("False", None),
            ("", None),
        ] {
            assert_eq!(quoted_boolean(text), value, "{text}");
        }
    }

    #[test]
    fn integers_may_have_a_base_and_a_fraction_of_nothing() {
        for (text, number) in [
            ("0", 0),
            ("-12", -12),
            ("+7", 7),
            ("200.0", 200),
            ("1_000", 1000),
            ("0x1F", 31),
            ("0o17", 15),
            ("-0b11", -3),
            ("007", 7),
            ("0310", 200),
            ("0389", 389),
        ] {
            assert_eq!(integer(text), Some(number), "{text}");
        }
        for text in [
            "", "-", "1.5", "0x", "0xg", "_1", "--1", "1e3", " 1", "99e", "0x-1",
        ] {
            assert_eq!(integer(text), None, "{text}");
        }
        assert_eq!(integer(&"9".repeat(60)), None);
    }

    #[test]
    fn a_go_int_may_be_cut_from_a_fraction() {
        for (text, number) in [
            ("200", 200),
            ("200.5", 200),
            ("-1.9", -1),
            ("2e2", 200),
            (".5", 0),
        ] {
            assert_eq!(go_int(text), Some(number), "{text}");
        }
        for text in ["", "x", ".inf", ".nan", "1e19", "9223372036854775808.5"] {
            assert_eq!(go_int(text), None, "{text}");
        }
    }

    #[test]
    fn floats_are_not_rusts_names_for_them() {
        for (text, number) in [
            ("1", 1.0),
            ("-.5", -0.5),
            ("2.5e3", 2500.0),
            ("+.inf", f64::INFINITY),
        ] {
            assert_eq!(float(text), Some(number), "{text}");
        }
        assert!(float(".nan").is_some_and(f64::is_nan));
        for text in ["", "inf", "nan", "infinity", "1x", "--1", "."] {
            assert_eq!(float(text), None, "{text}");
        }
    }
}
