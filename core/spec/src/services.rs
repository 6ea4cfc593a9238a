//! Ports by the names that this machine has for them: services(5).

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use probity_engine::check::TargetParams;

const FILE: &str = "/etc/services";

/// Parameters of a target that may name its port as this machine does, if `has_services`.
pub(crate) fn params(has_services: bool) -> TargetParams<'static> {
    match has_services {
        true => system_params(),
        false => TargetParams::default(),
    }
}

/// Parameters of a target that may name its port as this machine does.
pub fn system_params() -> TargetParams<'static> {
    TargetParams {
        ports: Some(port),
        ..TargetParams::default()
    }
}

/// The TCP port that this machine calls `name`, in any case. The file is read once,
/// when the first name is asked for, as Go does.
fn port(name: &str) -> Option<u16> {
    static PORTS: OnceLock<BTreeMap<String, u16>> = OnceLock::new();
    let ports = PORTS.get_or_init(|| {
        // A machine without the file has no such names.
        let content = fs::read(FILE).unwrap_or_default();
        parse(&String::from_utf8_lossy(&content))
    });
    ports.get(&name.to_ascii_lowercase()).copied()
}

/// Reads `name port/protocol aliases # comment` from each line; of two ports of one
/// name the last counts, as for Go.
fn parse(text: &str) -> BTreeMap<String, u16> {
    let mut ports = BTreeMap::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or(line);
        let mut words = line.split_ascii_whitespace();
        let (Some(name), Some(place)) = (words.next(), words.next()) else {
            continue;
        };
        let Some((port, "tcp")) = place.split_once('/') else {
            continue;
        };
        let Some(port) = port.parse::<u16>().ok().filter(|port| *port > 0) else {
            continue;
        };
        for name in words.chain([name]) {
            ports.insert(name.to_owned(), port);
        }
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_have_ports_and_aliases() {
        let ports = parse(
            "# services\n\
             tcpmux\t1/tcp\t\t\t# TCP port service multiplexer\n\
             http-alt 8080/tcp webcache\tx#y\n\
             tftp 69/udp\n\
             none 0/tcp\nlarge 65536/tcp\nwords x/tcp\nbare 7\nalone\n\
             twice 1000/tcp\ntwice 1001/tcp\n",
        );
        let expected = [
            ("http-alt", 8080),
            ("tcpmux", 1),
            ("twice", 1001),
            ("webcache", 8080),
            ("x", 8080),
        ];
        let found: Vec<(&str, u16)> = ports.iter().map(|(name, port)| (&**name, *port)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn this_machine_s_names_are_those_of_its_file() {
        let has = |name: &str| {
            let text = fs::read(FILE).unwrap_or_default();
            parse(&String::from_utf8_lossy(&text)).get(name).copied()
        };
        for name in ["http-alt", "postgresql", "gopherspace"] {
            assert_eq!(port(&name.to_ascii_uppercase()), has(name));
        }
    }
}
