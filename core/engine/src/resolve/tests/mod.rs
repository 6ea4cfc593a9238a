//! The resolver inside a real engine, with scripted DNS servers.

mod asking;
mod remembering;

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, SOA};
use hickory_proto::rr::{Name, RData, Record};

use super::{ResolverConfig, ResolverStats};
use crate::check::{ModuleConfig, TargetParams, tcp};
use crate::config::NoFiles;
use crate::limits::Limits;
use crate::threshold::{self, Kind};
use crate::{
    Closed, Config, Conn, Engine, Families, GroupId, Input, Instant, Outcome, Output, Reason,
    RunId, Schedule, Spec, TargetId, Transport,
};

const ONE: &str = "192.0.2.53:53";
const TWO: &str = "192.0.2.54:53";
const SECOND: Duration = Duration::from_secs(1);

/// A query on its way to a server.
#[derive(Clone, Debug)]
struct Asked {
    run: RunId,
    conn: Conn,
    transport: Transport,
    server: String,
    message: Message,
}

impl Asked {
    fn text(&self) -> String {
        let query = &self.message.queries[0];
        format!("{} {} @{}", query.query_type(), query.name(), self.server)
    }

    /// An empty answer of a recursive server.
    fn reply(&self) -> Message {
        let mut reply = Message::response(self.message.id, OpCode::Query);
        reply.metadata.recursion_available = true;
        reply.queries.clone_from(&self.message.queries);
        reply
    }

    fn code(&self, code: ResponseCode) -> Message {
        let mut reply = self.reply();
        reply.metadata.response_code = code;
        reply
    }

    /// Addresses for the question's type out of `addresses`.
    fn addresses(&self, addresses: &[&str], ttl: u32) -> Message {
        let mut reply = self.reply();
        let query = &self.message.queries[0];
        for address in addresses {
            let data = match address.parse().unwrap() {
                IpAddr::V4(address) => RData::A(A(address)),
                IpAddr::V6(address) => RData::AAAA(AAAA(address)),
            };
            if data.record_type() == query.query_type() {
                reply.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
            }
        }
        reply
    }
}

fn name(text: &str) -> Name {
    super::wire::name(text).unwrap()
}

/// `message` as a server without its own opinion on negative TTLs gives it.
fn with_soa(mut message: Message, ttl: u32) -> Message {
    let soa = SOA::new(name("ns.example"), name("admin.example"), 1, 1, 1, 1, ttl);
    message.add_authority(Record::from_rdata(name("example"), ttl, RData::SOA(soa)));
    message
}

fn framed(message: &Message) -> Vec<u8> {
    super::wire::framed(&message.to_vec().unwrap())
}

/// An engine, and what it asked for. Targets accept every connection.
struct World {
    engine: Engine,
    now: Instant,
    asked: VecDeque<Asked>,
    /// Sockets to DNS servers: how, to whom.
    open: Vec<(RunId, Conn, Transport, String)>,
    /// Whether TCP connections to DNS servers are never established.
    no_tcp: bool,
    /// Sockets opened to DNS servers so far.
    opened: usize,
    /// Of each finished run: what became of it, where it connected, and what
    /// it says.
    reports: Vec<(RunId, Outcome, Option<SocketAddr>, String)>,
    /// How long each of them took.
    totals: Vec<Duration>,
    /// Names that the host was asked for.
    delegated: Vec<(RunId, String, Families)>,
    /// Targets so far.
    targets: u64,
}

/// A target that is due once within any test.
fn spec(host: &str, tcp: tcp::Config, timeout: Duration) -> Arc<Spec> {
    let module = ModuleConfig {
        prober: "tcp".into(),
        tcp: Some(tcp),
        ..ModuleConfig::default()
    };
    let module = module.compile(&NoFiles).unwrap();
    let target = format!("{host}:80");
    Arc::new(Spec {
        check: module.target(&target, TargetParams::default()).unwrap(),
        schedule: Schedule::new(3_600 * SECOND, timeout, Duration::ZERO).unwrap(),
        threshold: threshold::Config::new(Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    })
}

fn only_v4() -> tcp::Config {
    tcp::Config {
        preferred_ip_protocol: "ip4".into(),
        ip_protocol_fallback: false,
        ..tcp::Config::default()
    }
}

impl World {
    fn new(resolver: ResolverConfig) -> Self {
        Self::with_limits(resolver, Limits::default())
    }

    fn with_limits(resolver: ResolverConfig, limits: Limits) -> Self {
        let config = Config {
            resolver,
            limits,
            seed: [7; 32],
        };
        let now = Instant::from_nanos(1_000_000_000);
        Self {
            engine: Engine::new(config, now),
            now,
            asked: VecDeque::new(),
            open: Vec::new(),
            no_tcp: false,
            opened: 0,
            reports: Vec::new(),
            totals: Vec::new(),
            delegated: Vec::new(),
            targets: 0,
        }
    }

    /// Starts a run that its host waits for.
    fn run_with(&mut self, host: &str, tcp: tcp::Config) -> RunId {
        let timeout = 100 * SECOND;
        let spec = spec(host, tcp, timeout);
        let run = self.engine.run_once(spec, timeout, false, self.now);
        self.pump();
        run.unwrap()
    }

    /// Starts a run of the schedule, of a target that takes either family.
    fn scheduled(&mut self, host: &str) {
        self.schedule(host, tcp::Config::default(), 100 * SECOND);
    }

    fn schedule(&mut self, host: &str, tcp: tcp::Config, timeout: Duration) {
        self.targets += 1;
        let id = TargetId(self.targets);
        self.engine.begin(self.now);
        self.engine
            .upsert(id, spec(host, tcp, timeout), self.now)
            .unwrap();
        self.engine.trigger(id, self.now);
        self.engine.handle_timeout(self.now);
        self.pump();
    }

    /// Starts a run that takes either family, IPv6 preferred.
    fn run(&mut self, host: &str) -> RunId {
        self.run_with(host, tcp::Config::default())
    }

    /// Starts a run that takes IPv4 only: one question for each candidate.
    fn run_v4(&mut self, host: &str) -> RunId {
        self.run_with(host, only_v4())
    }

    /// The same as a run of the schedule.
    fn scheduled_v4(&mut self, host: &str) {
        self.schedule(host, only_v4(), 100 * SECOND);
    }

    fn pump(&mut self) {
        let mut opened = Vec::new();
        loop {
            while let Some((run, output)) = self.engine.poll_output() {
                match output {
                    Output::Open(conn, endpoint) => {
                        if endpoint.to.port() == 53 {
                            let server = endpoint.to.to_string();
                            self.open.push((run, conn, endpoint.transport, server));
                            self.opened += 1;
                            if self.no_tcp && endpoint.transport == Transport::Tcp {
                                continue;
                            }
                        }
                        opened.push((run, conn));
                    }
                    Output::Send(conn, bytes) => {
                        let socket = self.open.iter().find(|it| (it.0, it.1) == (run, conn));
                        let (_, _, transport, server) = socket.expect("sent on an open socket");
                        let message = match transport {
                            Transport::Udp => &*bytes,
                            Transport::Tcp => &bytes[2..],
                        };
                        self.asked.push_back(Asked {
                            run,
                            conn,
                            transport: *transport,
                            server: server.clone(),
                            message: Message::from_vec(message).unwrap(),
                        });
                    }
                    Output::Close(conn) => self.open.retain(|it| (it.0, it.1) != (run, conn)),
                    Output::Resolve(host, families) => {
                        self.delegated.push((run, host.to_string(), families));
                    }
                    Output::Report(report) => {
                        let detail = report.detail.to_string();
                        self.reports
                            .push((run, report.outcome, report.address, detail));
                        self.totals.push(report.total);
                    }
                    Output::Secure(..) => unreachable!("no TLS here"),
                    Output::Flush(_) => unreachable!("no dialogue here"),
                }
            }
            if opened.is_empty() {
                break;
            }
            for (run, conn) in opened.drain(..) {
                self.engine.handle_input(run, Input::Opened(conn), self.now);
            }
        }
    }

    fn tell(&mut self, asked: &Asked, input: Input<'_>) {
        self.engine.handle_input(asked.run, input, self.now);
        self.pump();
    }

    fn datagram(&mut self, asked: &Asked, message: &Message) {
        self.tell(asked, Input::Data(asked.conn, &message.to_vec().unwrap()));
    }

    fn closed(&mut self, asked: &Asked, why: Closed) {
        self.open
            .retain(|it| (it.0, it.1) != (asked.run, asked.conn));
        self.tell(asked, Input::Closed(asked.conn, why));
    }

    /// The next query, which must be this one.
    fn expect(&mut self, text: &str) -> Asked {
        let asked = self.asked.pop_front().expect(text);
        assert_eq!(asked.text(), text);
        asked
    }

    /// Answers every query, now and as they come, until there are none.
    fn answer_all(&mut self, reply: impl Fn(&Asked) -> Message) {
        while let Some(asked) = self.asked.pop_front() {
            self.datagram(&asked, &reply(&asked));
        }
    }

    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.engine.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.engine.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
    }

    /// What became of the only run that has finished since the last call.
    fn result(&mut self) -> Result<String, (Reason, String)> {
        assert!(self.asked.is_empty(), "unanswered: {:?}", self.asked);
        let report = self.reports.pop().expect("a finished run");
        assert_eq!(self.reports, []);
        match report {
            (_, Outcome::Success, Some(address), _) => Ok(address.ip().to_string()),
            (_, Outcome::Failure(reason) | Outcome::Unknown(reason), _, detail) => {
                Err((reason, detail))
            }
            other => panic!("{other:?}"),
        }
    }

    fn reason(&mut self) -> Reason {
        self.result().unwrap_err().0
    }

    fn stats(&self) -> ResolverStats {
        self.engine.stats(self.now).resolver
    }
}

fn servers(servers: &[&str]) -> ResolverConfig {
    let servers: Vec<SocketAddr> = servers.iter().map(|it| it.parse().unwrap()).collect();
    ResolverConfig::with_servers(&servers)
}

fn one() -> World {
    World::new(servers(&[ONE]))
}
