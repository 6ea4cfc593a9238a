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

/// Decimal, `0x`, `0o` and `0b`, with `_` between digits; also a decimal
/// fraction whose value is an integer.
pub(crate) fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
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
