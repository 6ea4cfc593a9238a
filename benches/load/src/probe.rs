//! `/probe` to `/probe`: blackbox_exporter and the program, with one configuration,
//! asked by as many clients, round by round in turn.

use std::fmt::Write as _;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use crate::Plan;
use crate::client::Crowd;
use crate::cpu;
use crate::exporter::{Exporter, Program};
use crate::farm::Farm;
use crate::report::{Bar, Report, median};

/// For both programs.
const CONFIG: &str = "\
modules:
  http: {prober: http, timeout: 5s}
  tcp: {prober: tcp, timeout: 5s}
";

/// What every answer has to say.
const SUCCESS: &[u8] = b"\nprobe_success 1\n";

/// Checks per second of CPU that the engine made, where that was measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Engine {
    pub(crate) tcp: Option<f64>,
    pub(crate) http: Option<f64>,
}

/// Microseconds of CPU of a probe, one value a round.
#[derive(Debug, Default)]
struct Cost {
    total: Vec<f64>,
    user: Vec<f64>,
}

pub(crate) fn measure(
    plan: &Plan,
    farm: &Farm,
    engine: Engine,
    report: &mut Report,
) -> Result<(), String> {
    let mut start = |program: Result<Program, String>| match program {
        Ok(program) => {
            report.note(format!("{}: {}", program.name, program.version()));
            program.start(CONFIG, &[]).map(Some)
        }
        Err(sentence) => {
            report.note(sentence);
            Ok(None)
        }
    };
    let theirs = start(Program::blackbox_exporter())?;
    let ours = start(Program::probity())?;
    for (kind, places, engine) in [
        ("http", &farm.places.http, engine.http),
        ("tcp", &farm.places.silent, engine.tcp),
    ] {
        let (mut their_cost, mut our_cost) = (Cost::default(), Cost::default());
        let mut ratios = Vec::new();
        for _ in 0..plan.rounds {
            let their = round(plan, kind, places, theirs.as_ref(), &mut their_cost)?;
            let our = round(plan, kind, places, ours.as_ref(), &mut our_cost)?;
            ratios.extend(our.zip(their).map(|(our, their)| our / their));
        }
        let theirs = their_cost.tell(kind, "blackbox_exporter", report);
        our_cost.tell(kind, "probity", report);
        if !ratios.is_empty() {
            report.add(
                format!("/probe {kind}: CPU per probe, probity / blackbox_exporter"),
                median(ratios),
                "",
                Bar::AtMost(0.25),
            );
        }
        if let Some((engine, theirs)) = engine.zip(theirs) {
            report.add(
                format!("{kind}: checks per second of CPU, engine / blackbox_exporter"),
                engine / theirs,
                "",
                Bar::AtLeast(12.0),
            );
        }
    }
    Ok(())
}

impl Cost {
    /// Says what there is; probes per second of CPU.
    fn tell(self, kind: &str, name: &str, report: &mut Report) -> Option<f64> {
        if self.total.is_empty() {
            return None;
        }
        let (total, user) = (median(self.total), median(self.user));
        let of = |part| format!("/probe {kind}: CPU per probe, {name}{part}");
        report.add(of(""), total, "us", Bar::None);
        report.add(of(", in user space"), user, "us", Bar::None);
        let rate = 1e6 / total;
        report.add(
            format!("/probe {kind}: probes per second of CPU, {name}"),
            rate,
            "/s",
            Bar::None,
        );
        Some(rate)
    }
}

/// One round of one program, if there is one: what a probe took.
fn round(
    plan: &Plan,
    kind: &str,
    places: &[SocketAddrV4],
    exporter: Option<&Exporter>,
    cost: &mut Cost,
) -> Result<Option<f64>, String> {
    let Some(exporter) = exporter else {
        return Ok(None);
    };
    let paths = (0..plan.in_flight as usize).map(|client| {
        let place = places[client % places.len()];
        let target = match kind {
            "http" => format!("http://{place}/"),
            _ => place.to_string(),
        };
        format!("/probe?module={kind}&target={}", encode(&target))
    });
    let asked = cpu::beside(|| {
        let mut crowd = Crowd::connect(exporter.address, paths)?;
        // The first probes pay for what later ones use again.
        let mut ask = |time: Duration| {
            crowd
                .ask(Instant::now() + time, SUCCESS)
                .map(|()| crowd.answered)
        };
        let warm = ask(plan.round / 10)?;
        let before = exporter.spent();
        let answered = ask(plan.round)? - warm;
        Ok((answered, exporter.spent().since(before)))
    });
    let (answered, spent) = asked.map_err(|why| format!("{}: {why}", exporter.name))?;
    // In a round that is shorter than the kernel's ticks there may be none.
    if answered == 0 || spent.total() == 0.0 {
        return Ok(None);
    }
    let each = |seconds: f64| seconds * 1e6 / answered as f64;
    cost.total.push(each(spent.total()));
    cost.user.push(each(spent.user));
    Ok(Some(each(spent.total())))
}

/// A value for the query of a URL.
fn encode(value: &str) -> String {
    let mut encoded = String::new();
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
