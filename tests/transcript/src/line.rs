//! How things are written in a transcript.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::host::{Asked, Fact, Reported, State, Stats};
use crate::script::Tls;

/// Bytes as ASCII.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            match byte {
                b'\n' => f.write_str("\\n")?,
                b'\r' => f.write_str("\\r")?,
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => write!(f, "{}", char::from(*byte))?,
                other => write!(f, "\\x{other:02x}")?,
            }
        }
        Ok(())
    }
}

/// A text likewise.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Bytes(self.0.as_bytes()).fmt(f)
    }
}

/// An address without abbreviations, with which languages differ.
struct Ip(IpAddr);

impl fmt::Display for Ip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => {
                let groups = v6.segments().map(|group| format!("{group:04x}"));
                write!(f, "[{}]", groups.join(":"))
            }
        }
    }
}

struct Address(SocketAddr);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Ip(self.0.ip()), self.0.port())
    }
}

struct Joined<'a>(&'a [u64]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u64::to_string).collect();
        f.write_str(&numbers.join(","))
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve(name, families) => write!(f, "resolve {families} {}", Text(name)),
            Self::Open {
                conn,
                transport,
                to,
                from,
            } => {
                write!(f, "open {conn} {transport} {}", Address(*to))?;
                match from {
                    Some(ip) => write!(f, " from {}", Ip(*ip)),
                    None => Ok(()),
                }
            }
            Self::Secure(conn, how) => write!(
                f,
                "secure {conn} {} alpn={} skip_verify={} versions={},{}",
                Text(&how.server_name),
                Text(&how.alpn.join(",")),
                how.skip_verify,
                how.min_version,
                how.max_version
            ),
            Self::Send(conn, bytes) => write!(f, "send {conn} {}", Bytes(bytes)),
            Self::Flush(conn) => write!(f, "flush {conn}"),
            Self::Close(conn) => write!(f, "close {conn}"),
            Self::Report(report) => write!(f, "report {report}"),
        }
    }
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let phase = |it: &Option<u64>| it.map_or("-".into(), |nanos| nanos.to_string());
        write!(
            f,
            "target={:016x} outcome={} reason={} phase={} transition={} runs={} due={} started={} \
             finished={} total={} phases={}",
            self.target,
            self.outcome,
            self.reason,
            self.phase,
            self.transition,
            self.runs,
            self.due,
            self.started,
            self.finished,
            self.total,
            self.phases.each_ref().map(phase).join(",")
        )?;
        if let Some(address) = self.address {
            write!(f, " address={}", Address(address))?;
        }
        write!(f, " detail={}", Text(&self.detail))?;
        if let Some(tls) = &self.tls {
            write!(f, "\n  {tls}")?;
        }
        self.facts
            .iter()
            .try_for_each(|fact| write!(f, "\n  {fact}"))
    }
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = [
            &self.version,
            &self.cipher,
            &self.alpn,
            &self.fingerprint_sha256,
            &self.subject,
            &self.issuer,
            &self.subject_alternative,
            &self.serial,
        ];
        let texts = texts.map(|it| Text(it).to_string());
        write!(
            f,
            "tls {} {} {}",
            self.earliest_expiry,
            self.chain_expiry,
            texts.join("|")
        )
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.label.is_empty() {
            write!(f, "{{{}={}}}", self.label, Text(&self.label_value))?;
        }
        let whole = self.value as i64;
        match whole as f64 == self.value && whole.unsigned_abs() < 1 << 53 {
            true => write!(f, " {whole}"),
            false => write!(f, " {:016x}", self.value.to_bits()),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "health={} outcome={} reason={} finished={} total={} next={} results={} detail={}",
            self.health,
            self.outcome,
            self.reason,
            self.finished,
            self.total,
            self.next,
            Joined(&self.results),
            Text(&self.detail)
        )
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "runs={} targets={} overdue={} in_flight={} queued={} start_lag_p99={}",
            Joined(&self.runs),
            self.targets,
            self.overdue,
            self.in_flight,
            self.queued,
            self.start_lag_p99
        )
    }
}
