//! An engine, and a world of scripted peers around it.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use alloc::{format, vec};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::check::http::Config;
use crate::check::{ModuleConfig, TargetParams};
use crate::config::{Files, RsaAlgorithm, Signer, Stamp};
use crate::io::{Closed, Families, Input, Output};
use crate::limits::{Limits, MAX_REQUEST_BODY_BYTES};
use crate::resolve::ResolverConfig;
use crate::threshold;
use crate::tls::{TlsFailure, TlsInfo};
use crate::{Conn, Engine, GroupId, Instant, Outcome, Phase, Reason, Schedule};

/// What becomes of a connection.
#[derive(Clone, Default)]
pub(super) enum Opens {
    #[default]
    AtOnce,
    Fails(Closed),
    Never,
}

/// What a peer does once it has been asked.
#[derive(Clone, Default)]
pub(super) struct Peer {
    pub(super) opens: Opens,
    /// A millisecond apart.
    pub(super) sends: Vec<Vec<u8>>,
    pub(super) closes: Option<Closed>,
    /// Instead of a TLS handshake.
    pub(super) tls_failure: Option<Reason>,
    /// Whether a handshake agrees on HTTP/2.
    pub(super) is_h2: bool,
    /// What it does when it is asked for the n-th time, if not the same.
    pub(super) turns: Vec<Self>,
}

impl Peer {
    fn turn(self, number: usize) -> Self {
        match self.turns.get(number).or(self.turns.last()) {
            Some(turn) => turn.clone(),
            None => self,
        }
    }
}

pub(super) fn answers(text: &str) -> Peer {
    Peer {
        sends: vec![text.as_bytes().to_vec()],
        ..Peer::default()
    }
}

pub(super) fn closes(text: &str, closes: Closed) -> Peer {
    Peer {
        closes: Some(closes),
        ..answers(text)
    }
}

pub(super) fn redirects(status: u16, location: &str) -> Peer {
    answers(&format!(
        "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved"
    ))
}

pub(super) fn ok(body: &str) -> Peer {
    let length = body.len();
    answers(&format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

/// A host with few files.
pub(super) struct FewFiles;

impl Files for FewFiles {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        match path {
            "body" => Ok(b"Test Body".to_vec()),
            "large" => Ok(vec![b'x'; 10_000]),
            "too large" => Ok(vec![0; MAX_REQUEST_BODY_BYTES + 1]),
            path => Err(format!("{path}: no such file")),
        }
    }

    fn signer(&self, pem: &[u8], _: RsaAlgorithm) -> Result<Arc<dyn Signer>, String> {
        Ok(Arc::new(Key(pem == b"works")))
    }
}

/// A key that works, or does not.
#[derive(Debug)]
struct Key(bool);

impl Signer for Key {
    fn stamp(&self) -> Result<Stamp, String> {
        Ok(Stamp {
            unix_seconds: 1_792_490_400,
            random: [0; 16],
        })
    }

    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, String> {
        match self.0 {
            true => Ok(b"signed".to_vec()),
            false => Err("out of ink".into()),
        }
    }
}

/// All that can be seen of a run from outside.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) outcome: Outcome,
    pub(super) detail: String,
    /// Until it ended, and how much of that was the target's.
    pub(super) took: Duration,
    pub(super) total: Duration,
    pub(super) facts: BTreeMap<String, f64>,
    pub(super) phases: Vec<Phase>,
    pub(super) secured: bool,
    /// All that was sent, in pieces.
    pub(super) requests: Vec<String>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) names: Vec<String>,
    pub(super) looked_up: Vec<(String, Families)>,
    /// Connections that neither side has closed.
    pub(super) open: BTreeSet<Conn>,
    /// How often the engine asked to be told of the time.
    pub(super) turns: usize,
}

impl Seen {
    pub(super) fn fact(&self, name: &str) -> Option<f64> {
        self.facts.get(name).copied()
    }

    pub(super) fn failed(&self, reason: Reason, detail: &str) {
        assert_eq!(self.outcome, Outcome::Failure(reason), "{self:?}");
        assert_eq!(self.detail, detail);
        assert!(self.open.is_empty(), "every connection is closed");
    }

    pub(super) fn succeeded(&self) {
        assert_eq!(self.outcome, Outcome::Success, "{self:?}");
        assert!(self.open.is_empty(), "every connection is closed");
    }
}

fn info(peer: &Peer) -> Arc<TlsInfo> {
    Arc::new(TlsInfo {
        version: "TLS 1.3",
        cipher: "TLS_AES_128_GCM_SHA256",
        alpn: peer.is_h2.then(|| b"h2".as_slice().into()),
        chain: None,
    })
}

pub(super) fn run(target: &str, peers: &[Peer]) -> Seen {
    run_with(target, peers, |_| {})
}

/// Probes `target`; the n-th connection finds the n-th peer, or the last one.
pub(super) fn run_with(target: &str, peers: &[Peer], change: impl FnOnce(&mut Config)) -> Seen {
    run_among(target, &["192.0.2.80"], peers, change)
}

/// The same, where every name has these addresses, or none is answered for.
pub(super) fn run_among(
    target: &str,
    addresses: &[&str],
    peers: &[Peer],
    change: impl FnOnce(&mut Config),
) -> Seen {
    drive(
        spec_with(target, change),
        addresses,
        peers,
        Limits::default(),
    )
}

/// A target that is probed every second, with a second for it.
pub(super) fn spec_with(target: &str, change: impl FnOnce(&mut Config)) -> Arc<crate::Spec> {
    let mut config = Config::default();
    change(&mut config);
    let module = ModuleConfig {
        prober: "http".into(),
        http: Some(config),
        ..ModuleConfig::default()
    };
    let module = module.compile(&FewFiles).unwrap();
    let second = Duration::from_secs(1);
    Arc::new(crate::Spec {
        check: module.attempt(target, TargetParams::default()).unwrap(),
        schedule: Schedule::new(second, second, Duration::ZERO).unwrap(),
        threshold: threshold::Config::new(threshold::Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    })
}

/// What the world has still to tell the engine.
enum News {
    Address,
    Opened(Conn),
    Failed(Conn, Closed),
    Secured(Conn),
    Refused(Conn, Reason),
    Play(Conn, Peer),
}

pub(super) fn drive(
    spec: Arc<crate::Spec>,
    addresses: &[&str],
    peers: &[Peer],
    limits: Limits,
) -> Seen {
    let mut now = Instant::ZERO;
    let addresses: Vec<IpAddr> = addresses.iter().map(|it| it.parse().unwrap()).collect();
    let config = crate::Config {
        limits,
        resolver: ResolverConfig::delegated(),
        ..crate::Config::default()
    };
    let mut engine = Engine::new(config, now);
    let timeout = spec.schedule.timeout();
    let id = engine.run_once(spec, timeout, false, now).unwrap();
    let mut seen = Seen {
        outcome: Outcome::Success,
        detail: String::new(),
        took: Duration::ZERO,
        total: Duration::ZERO,
        facts: BTreeMap::new(),
        phases: Vec::new(),
        secured: false,
        requests: Vec::new(),
        addresses: Vec::new(),
        names: Vec::new(),
        looked_up: Vec::new(),
        open: BTreeSet::new(),
        turns: 0,
    };
    let peer = |conn: Conn| peers[usize::from(conn.0).min(peers.len() - 1)].clone();
    let mut asked = BTreeMap::<Conn, usize>::new();
    for _ in 0..1_000 {
        let mut news = Vec::new();
        while let Some((_, output)) = engine.poll_output() {
            match output {
                Output::Resolve(name, families) => {
                    seen.looked_up.push((name.into(), families));
                    news.push(News::Address);
                }
                Output::Open(conn, endpoint) => {
                    seen.open.insert(conn);
                    seen.addresses.push(endpoint.to);
                    match peer(conn).opens {
                        Opens::AtOnce => news.push(News::Opened(conn)),
                        Opens::Fails(why) => news.push(News::Failed(conn, why)),
                        Opens::Never => {}
                    }
                }
                Output::Secure(conn, params) => {
                    seen.names.push(params.server_name.into());
                    news.push(match peer(conn).tls_failure {
                        Some(reason) => News::Refused(conn, reason),
                        None => News::Secured(conn),
                    });
                }
                Output::Send(conn, bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    seen.requests.push(text.into());
                    let asked = asked.entry(conn).or_insert(0);
                    news.push(News::Play(conn, peer(conn).turn(*asked)));
                    *asked += 1;
                }
                Output::Flush(_) => unreachable!("a request is answered"),
                Output::Close(conn) => {
                    seen.open.remove(&conn);
                }
                Output::Report(report) => {
                    seen.outcome = report.outcome;
                    seen.detail = report.detail.into();
                    seen.took = report.finished - report.started;
                    seen.total = report.total;
                    seen.phases = report.phases.iter().map(|(phase, _)| phase).collect();
                    seen.secured = report.tls.is_some();
                    for fact in report.spec.check.facts() {
                        if let Some(value) = fact.read(report.facts, &report.phases) {
                            let label = fact.label.map_or("", |(_, label)| label);
                            let name = fact.name.trim_start_matches("probe_");
                            seen.facts.insert(format!("{name}{label}"), value);
                        }
                    }
                    return seen;
                }
            }
        }
        now += Duration::from_millis(1);
        if news.is_empty() {
            now = engine
                .poll_timeout()
                .expect("a run has a deadline")
                .max(now);
            engine.handle_timeout(now);
            seen.turns += 1;
        }
        for item in news {
            match item {
                News::Address if addresses.is_empty() => {}
                News::Address => {
                    engine.handle_input(id, Input::Resolved(Ok(&addresses)), now);
                }
                News::Opened(conn) => engine.handle_input(id, Input::Opened(conn), now),
                News::Failed(conn, why) => {
                    seen.open.remove(&conn);
                    engine.handle_input(id, Input::Closed(conn, why), now);
                }
                News::Secured(conn) => {
                    let info = info(&peer(conn));
                    engine.handle_input(id, Input::Secured(conn, &info), now);
                }
                News::Refused(conn, reason) => {
                    seen.open.remove(&conn);
                    engine.handle_input(id, Input::Closed(conn, failure(reason)), now);
                }
                News::Play(conn, peer) => {
                    for bytes in &peer.sends {
                        now += Duration::from_millis(1);
                        engine.handle_input(id, Input::Data(conn, bytes), now);
                    }
                    if let Some(why) = peer.closes {
                        seen.open.remove(&conn);
                        engine.handle_input(id, Input::Closed(conn, why), now);
                    }
                }
            }
        }
    }
    panic!("the run does not end");
}

/// Runs that have 100 ms from the same moment on, each of which is given its answer
/// `after` so many of them, on a prober that has one turn in `step` milliseconds and
/// looks at news after it. Gives when each ended, and how.
pub(super) fn among_each_other(
    step: usize,
    runs: &[(u64, Arc<crate::Spec>, &Peer)],
) -> Vec<(u64, Outcome, String)> {
    let at = |after: u64| Instant::ZERO + Duration::from_millis(after);
    let mut engine = Engine::new(crate::Config::default(), at(0));
    let time = Duration::from_millis(100);
    let start = |(_, spec, _): &(_, Arc<crate::Spec>, _)| {
        let run = engine.run_once(Arc::clone(spec), time, false, at(0));
        run.unwrap()
    };
    let ids: Vec<_> = runs.iter().map(start).collect();
    let mut ends = vec![None; runs.len()];
    for now in (0..=150).step_by(step) {
        engine.handle_timeout(at(now));
        for (id, (after, _, peer)) in ids.iter().zip(runs) {
            if *after == now {
                engine.handle_input(*id, Input::Opened(Conn(0)), at(now));
                engine.handle_input(*id, Input::Data(Conn(0), &peer.sends[0]), at(now));
            }
        }
        while let Some((id, output)) = engine.poll_output() {
            if let Output::Report(report) = output {
                let place = ids.iter().position(|it| *it == id).unwrap();
                ends[place] = Some((now, report.outcome, report.detail.into()));
            }
        }
    }
    ends.into_iter().map(Option::unwrap).collect()
}

pub(super) fn failure(reason: Reason) -> Closed {
    Closed::Tls(Box::new(TlsFailure {
        reason,
        detail: "bad record".into(),
        info: None,
    }))
}
