//! Numbers as Go's exporters print them.
//!
//! `strconv.FormatFloat(v, 'g', -1, 64)`: the shortest digits that read back
//! as the same value, in exponent form when the decimal exponent is below -4
//! or at least 6, with two exponent digits or more. blackbox_exporter's own
//! output is made with it, and the parity of `/probe` is byte for byte.

/// Integers below this magnitude are printed as such.
const FIXED_LIMIT: u64 = 1_000_000;

/// Appends a sample's value: `0`, `100000`, `1e+06`, `1.2e-05`, `NaN`, `+Inf`.
///
/// Negative zero is written `0`, as `prometheus/common` does.
pub fn write_value(out: &mut Vec<u8>, value: f64) {
    let integer = value as i64;
    if integer as f64 == value && integer.unsigned_abs() < FIXED_LIMIT {
        out.extend_from_slice(itoa::Buffer::new().format(integer).as_bytes());
    } else if value.is_finite() {
        write_shortest(out, value);
    } else {
        out.extend_from_slice(match value {
            f64::INFINITY => b"+Inf",
            f64::NEG_INFINITY => b"-Inf",
            _ => b"NaN",
        });
    }
}

/// Appends a value of the label `le`: `0.005`, `1.0`, `1e+06`, `+Inf`.
///
/// A bound always shows that it is a float, in every format. That is the
/// spelling that OpenMetrics and protobuf ingestion arrive at, so a user who
/// changes the format keeps the series.
pub fn write_bound(out: &mut Vec<u8>, bound: f64) {
    let start = out.len();
    write_value(out, bound);
    if bound.is_finite() && !out[start..].iter().any(|b| matches!(b, b'.' | b'e')) {
        out.extend_from_slice(b".0");
    }
}

/// Appends an integer, whatever its size: counts of a histogram.
pub fn write_count(out: &mut Vec<u8>, count: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
}

fn write_shortest(out: &mut Vec<u8>, value: f64) {
    let mut buffer = zmij::Buffer::new();
    let decimal = Decimal::parse(buffer.format_finite(value.abs()).as_bytes());
    if value < 0.0 {
        out.push(b'-');
    }
    let (digits, exponent) = (decimal.digits(), decimal.exponent);
    if !(-4..6).contains(&exponent) {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
    } else if exponent < 0 {
        out.extend_from_slice(&b"0.000"[..(1 - exponent) as usize]);
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        out.extend_from_slice(&digits[..whole.min(digits.len())]);
        out.resize(out.len() + whole.saturating_sub(digits.len()), b'0');
        if digits.len() > whole {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// The significant digits of a positive number: `d.ddd * 10^exponent`.
struct Decimal {
    digits: [u8; 32],
    len: usize,
    exponent: i32,
}

impl Decimal {
    /// Reads what zmij writes: `0.00001`, `123.0`, `1.5e-7`, `1e21`; at most 17
    /// significant digits and fewer than 32 in all.
    fn parse(text: &[u8]) -> Self {
        let mut decimal = Self {
            digits: [0; 32],
            len: 0,
            exponent: 0,
        };
        let mut fraction = false;
        let mut point = 0;
        for (at, &byte) in text.iter().enumerate() {
            match byte {
                b'.' => fraction = true,
                b'e' => {
                    point += exponent(&text[at + 1..]);
                    break;
                }
                digit => {
                    let leading = decimal.len == 0 && digit == b'0';
                    // Leading zeros after the point move it to the left.
                    point += i32::from(!leading && !fraction) - i32::from(leading && fraction);
                    if !leading && decimal.len < decimal.digits.len() {
                        decimal.digits[decimal.len] = digit;
                        decimal.len += 1;
                    }
                }
            }
        }
        while decimal.len > 1 && decimal.digits[decimal.len - 1] == b'0' {
            decimal.len -= 1;
        }
        decimal.exponent = point - 1;
        decimal
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }
}

/// Reads `-7`, `+7` or `7`.
fn exponent(text: &[u8]) -> i32 {
    let magnitude = text
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .fold(0, |sum, &digit| sum * 10 + i32::from(digit - b'0'));
    if text.first() == Some(&b'-') {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(v: f64) -> String {
        let mut out = Vec::new();
        write_value(&mut out, v);
        String::from_utf8(out).unwrap()
    }

    fn bound(v: f64) -> String {
        let mut out = Vec::new();
        write_bound(&mut out, v);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_printed_as_go_prints_them() {
        // The right column is the output of Go's strconv.
        let table: &[(f64, &str)] = &[
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.0, "-1"),
            (200.0, "200"),
            (99999.0, "99999"),
            (100000.0, "100000"),
            (999999.0, "999999"),
            (-999999.0, "-999999"),
            (999999.5, "999999.5"),
            (1e6, "1e+06"),
            (-1e6, "-1e+06"),
            (1234567.0, "1.234567e+06"),
            (1234567.5, "1.2345675e+06"),
            (1.766e9, "1.766e+09"),
            (-62135596800.0, "-6.21355968e+10"),
            (0.1, "0.1"),
            (0.25, "0.25"),
            (-0.5, "-0.5"),
            (0.012345, "0.012345"),
            (0.001, "0.001"),
            (0.0001, "0.0001"),
            (0.00012, "0.00012"),
            (0.00009, "9e-05"),
            (0.000012, "1.2e-05"),
            (1.5e-7, "1.5e-07"),
            (3.5, "3.5"),
            (119.5, "119.5"),
            (12345.678, "12345.678"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e16, "1e+16"),
            (1e21, "1e+21"),
            (9007199254740993.0, "9.007199254740992e+15"),
            (u64::MAX as f64, "1.8446744073709552e+19"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::MIN_POSITIVE, "2.2250738585072014e-308"),
            (5e-324, "5e-324"),
            (1e-99, "1e-99"),
            (1e-100, "1e-100"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ];
        for &(v, text) in table {
            assert_eq!(value(v), text, "{v:?}");
        }
    }

    #[test]
    fn bounds_always_look_like_floats() {
        let table: &[(f64, &str)] = &[
            (0.005, "0.005"),
            (0.1, "0.1"),
            (1.0, "1.0"),
            (2.5, "2.5"),
            (10.0, "10.0"),
            (0.0, "0.0"),
            (100000.0, "100000.0"),
            (1e6, "1e+06"),
            (1e-5, "1e-05"),
            (f64::INFINITY, "+Inf"),
        ];
        for &(v, text) in table {
            assert_eq!(bound(v), text, "{v:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back_as_the_same_value(bits: u64) {
            let v = f64::from_bits(bits);
            prop_assume!(v.is_finite());
            let text = value(v);
            let back: f64 = text.parse().unwrap();
            prop_assert_eq!(back.to_bits(), v.to_bits(), "{}", text);
        }

        #[test]
        fn ordinary_durations_need_no_more_digits_than_rust_uses(nanos in 1u64..100_000_000_000) {
            let v = nanos as f64 / 1e9;
            let digits = |text: &str| {
                let mantissa = text.split('e').next().unwrap_or_default();
                mantissa.bytes().filter(u8::is_ascii_digit).collect::<Vec<_>>()
            };
            let trim = |digits: Vec<u8>| {
                String::from_utf8(digits).unwrap().trim_matches('0').to_owned()
            };
            prop_assert_eq!(trim(digits(&value(v))), trim(digits(&format!("{v}"))));
        }
    }
}
