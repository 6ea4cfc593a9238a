//! A whole world from a seed.
//!
//! First the network, the machine, the servers and an operator misbehave, each
//! in some seeds and to different degrees; what is demanded is safety. Then all
//! faults stop, and every target must be published as what it is, in time.

mod kind;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use probity_engine::resolve::ResolverConfig;
use probity_engine::{Config, Limits, Spec, TargetId, threshold};

pub use self::kind::Kind;

use self::kind::{Failing, Home, Servers};
use crate::checker::{Condition, Culprit, TICK};
use crate::faults::Faults;
use crate::peer::{Answer, Zone};
use crate::prober::Prober;
use crate::rng::Rng;
use crate::spec::Plan;
use crate::world::{Options, World};

/// What happened in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Reports by [`Outcome::index`](probity_engine::Outcome::index).
    pub reports: [u64; 4],
    /// Reports of targets of each [`Kind`] that were there to the end.
    pub kinds: [[u64; 4]; Kind::ALL.len()],
    /// See [`World::digest`].
    pub digest: u64,
    /// Whether liveness was demanded: not of an engine without room.
    pub roomy: bool,
}

/// DNS: how long a server is waited for, how often all are asked, and how long
/// any answer is remembered.
const DNS_TIMEOUT: Duration = Duration::from_millis(500);
const DNS_ATTEMPTS: u8 = 2;
const DNS_MEMORY: Duration = Duration::from_secs(2);
const DNS_SERVERS: [SocketAddr; 2] = [server(53, 1), server(53, 2)];

const fn server(net: u8, host: u8) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 0, net, host)), 53)
}

/// One target, and what is really there.
struct Inhabitant {
    id: TargetId,
    spec: Arc<Spec>,
    plan: Plan,
    kind: Kind,
    at: SocketAddr,
    /// Who may stand on the way.
    between: SocketAddr,
    healthy: Servers,
    nature: Nature,
    /// Who is to blame, of one that fails for good.
    culprit: Culprit,
    named: bool,
    present: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nature {
    Healthy,
    Failing,
    Mixed,
}

/// Lives through the world of `seed`.
///
/// # Errors
/// Every rule that was broken, a line each.
pub fn run(seed: u64) -> Result<Summary, String> {
    run_around(seed, |engine| Box::new(engine))
}

/// The same with something around the engine.
///
/// # Errors
/// Every rule that was broken, a line each.
pub fn run_around(
    seed: u64,
    wrap: impl FnOnce(probity_engine::Engine) -> Box<dyn Prober>,
) -> Result<Summary, String> {
    let mut rng = Rng::new(seed);
    let (options, roomy) = options(seed, &mut rng);
    let mut world = World::around(options, wrap);
    let mut people = settle(&mut rng, &mut world);
    if rng.chance(500_000) {
        world.run_for(Duration::from_millis(rng.between(0, 5_000)));
    }
    world.begin();
    live(&mut rng, &mut world, &mut people);
    let mut complaints = Vec::new();
    calm(&mut world, &mut people);
    let bound = people.iter().map(Inhabitant::patience).max();
    let since = world.now();
    if roomy {
        recover(&mut world, &people, since, &mut complaints);
    } else {
        world.run_until(since + bound.unwrap_or_default());
    }
    let kinds = kinds(&world, &people);
    complaints.extend(world.finish().iter().map(ToString::to_string));
    if world.connections() > 0 {
        complaints.push(format!("{} connections are left", world.connections()));
    }
    if !complaints.is_empty() {
        return Err(complaints.join("\n"));
    }
    Ok(Summary {
        reports: world.counts(),
        kinds,
        digest: world.digest(),
        roomy,
    })
}

/// The temper of a world, and whether its engine has room for its targets.
fn options(seed: u64, rng: &mut Rng) -> (Options, bool) {
    let mut limits = Limits::default();
    let cramped = rng.chance(150_000);
    if cramped {
        limits.in_flight = rng.between(1, 6) as u32;
    }
    let throttled = rng.chance(100_000);
    if throttled {
        limits.starts_per_destination = rng.between(1, 20) as u32;
        limits.burst_per_destination = rng.between(1, 5) as u32;
    }
    let lookups = rng.chance(200_000);
    if lookups {
        limits.lookups = rng.between(1, 3) as u32;
        limits.cached_names = rng.between(1, 4) as u32;
    }
    let resolver = ResolverConfig::with_servers(&DNS_SERVERS)
        .timeout(DNS_TIMEOUT)
        .attempts(DNS_ATTEMPTS)
        .max_ttl(DNS_MEMORY)
        .rotate(rng.chance(500_000));
    let engine = Config {
        limits,
        resolver,
        seed: [0; 32],
    };
    let options = Options {
        seed,
        engine,
        faults: Faults::swarm(rng),
        keep_reports: false,
    };
    (options, !cramped && !throttled && !lookups)
}

/// Makes targets, their servers and their names.
fn settle(rng: &mut Rng, world: &mut World) -> Vec<Inhabitant> {
    let count = rng.between(1, 40) as u8;
    let mut names = Vec::new();
    let mut people = Vec::new();
    for number in 0..count {
        let mut one = inhabitant(rng, number, &mut names);
        let servers = match one.nature {
            Nature::Healthy | Nature::Mixed => one.healthy.clone(),
            Nature::Failing => {
                let Failing { servers, culprit } = one.failing(rng);
                one.culprit = culprit;
                servers
            }
        };
        serve(world, &servers);
        if one.named {
            world.name(&name(number), one.at.ip());
        }
        let added = world.upsert(one.id, Arc::clone(&one.spec));
        assert!(added.is_ok(), "a world has fewer targets than the limit");
        world.expect(one.id, one.condition());
        people.push(one);
    }
    let zone = Zone::new(names.iter().map(|(name, answer)| (&**name, answer.clone())));
    for server in DNS_SERVERS {
        world.serve(server, zone.clone().serve());
    }
    people
}

fn serve(world: &mut World, servers: &Servers) {
    for (at, behaviour) in servers {
        world.serve(*at, behaviour.clone());
    }
}

fn name(number: u8) -> String {
    format!("host{number}.example")
}

fn plan(rng: &mut Rng) -> Plan {
    let period = Duration::from_millis(rng.between(1_000, 4_000));
    let kind = *rng.pick(&[
        threshold::Kind::Plain,
        threshold::Kind::Plain,
        threshold::Kind::Readiness,
    ]);
    // Some runs may outlast their period, which the kubelet allows.
    let periods = if rng.chance(200_000) { 2 } else { 1 };
    let longest = period.as_millis() as u64 * periods;
    Plan {
        period,
        // Long enough for every healthy server on the slowest network.
        timeout: Duration::from_millis(rng.between(1_000, longest)),
        initial_delay: Duration::from_millis(if rng.chance(200_000) {
            rng.between(0, 5_000)
        } else {
            0
        }),
        kind,
        success: rng.between(1, 3) as u32,
        failure: rng.between(1, 4) as u32,
    }
}

fn inhabitant(rng: &mut Rng, number: u8, names: &mut Vec<(String, Answer)>) -> Inhabitant {
    let nature = *rng.pick(&[
        Nature::Healthy,
        Nature::Healthy,
        Nature::Failing,
        Nature::Mixed,
    ]);
    let plan = plan(rng);
    // A port of its own: whoever is led to a wrong address finds nobody.
    let at = SocketAddr::from(([192, 0, 2, number + 1], 8_000 + u16::from(number)));
    let between = SocketAddr::from(([198, 51, 100, number + 1], 3_128));
    // Only of healthy targets is the name looked up: what comes of a broken
    // answer is nobody's failure.
    let named = nature == Nature::Healthy && rng.chance(500_000);
    let host = if named {
        let name = name(number);
        name_of(rng, &name, at, names);
        format!("{name}:{}", at.port())
    } else {
        at.to_string()
    };
    let kind = *rng.pick(&Kind::ALL);
    let home = Home {
        kind,
        at,
        host: &host,
        between,
    };
    let (spec, healthy) = kind::healthy(rng, &home, &plan);
    Inhabitant {
        // Ids are hashes in real life.
        id: TargetId(rng.u64()),
        spec,
        plan,
        kind,
        at,
        between,
        healthy,
        nature,
        culprit: Culprit::Unclear,
        named,
        present: true,
    }
}

/// A name in DNS for an address, with some trouble that a resolver must cope
/// with.
fn name_of(rng: &mut Rng, name: &str, at: SocketAddr, names: &mut Vec<(String, Answer)>) {
    let ttl = rng.between(0, 4) as u32;
    let plain = Answer::Addresses(vec![at.ip()], ttl);
    let liar = Ipv4Addr::new(192, 0, 2, 254).into();
    let answer = match rng.below(6) {
        0 => Answer::Truncated(Box::new(plain)),
        1 => Answer::AfterLies(liar, Box::new(plain)),
        2 => Answer::Late(Duration::from_millis(50), Box::new(plain)),
        3 => {
            let canonical = format!("canonical-{name}");
            names.push((canonical.clone(), plain));
            Answer::Alias(canonical, ttl)
        }
        _ => plain,
    };
    names.push((name.into(), answer));
}

impl Inhabitant {
    fn condition(&self) -> Condition {
        let ways = self.healthy.iter().map(|(at, _)| *at);
        match self.nature {
            Nature::Healthy => Condition::Healthy(ways.collect()),
            Nature::Failing => Condition::FailingBy(self.culprit, ways.collect()),
            Nature::Mixed => Condition::Mixed,
        }
    }

    /// Servers with which its check cannot be content.
    fn failing(&self, rng: &mut Rng) -> Failing {
        let home = Home {
            kind: self.kind,
            at: self.at,
            host: "",
            between: self.between,
        };
        kind::failing(rng, &home, &self.healthy)
    }

    /// How long after the last fault it may take until it is published as what
    /// it is: `threshold * period + timeout`, after what was under way.
    fn patience(&self) -> Duration {
        let plan = &self.plan;
        let results = match self.nature {
            Nature::Failing => plan.failure,
            Nature::Healthy | Nature::Mixed => plan.success,
        };
        // A look-up that is under way, and the memory of a false answer.
        let servers = DNS_SERVERS.len() as u32;
        let names = if self.named {
            DNS_TIMEOUT * servers * u32::from(DNS_ATTEMPTS) * 2 + DNS_MEMORY
        } else {
            Duration::ZERO
        };
        // A run may outlast its period.
        let each = plan.period.max(plan.timeout);
        plan.initial_delay + each * results + plan.timeout * 2 + names + TICK * 8
    }
}

/// Time under faults, in which an operator is busy too.
fn live(rng: &mut Rng, world: &mut World, people: &mut [Inhabitant]) {
    let end = world.now() + Duration::from_millis(rng.between(5_000, 40_000));
    let churn = if rng.chance(500_000) { 2_000 } else { 10_000 };
    while world.now() < end {
        world.run_for(Duration::from_millis(rng.between(1, churn)));
        let index = rng.below(people.len() as u64) as usize;
        let one = &mut people[index];
        match rng.below(8) {
            0 => {
                world.remove(one.id);
                one.present = false;
            }
            1 | 2 => {
                if one.present && rng.chance(500_000) {
                    one.plan.failure = rng.between(1, 4) as u32;
                    let mut spec = (*one.spec).clone();
                    spec.threshold = judged(&one.plan);
                    one.spec = Arc::new(spec);
                }
                add(world, one);
            }
            3 if one.present => world.trigger(one.id),
            4 => {
                // No room is an answer.
                let _ = world.run_once(Arc::clone(&one.spec), one.plan.timeout);
            }
            _ if one.nature == Nature::Mixed => {
                let servers = match rng.chance(500_000) {
                    true => one.failing(rng).servers,
                    false => one.healthy.clone(),
                };
                serve(world, &servers);
            }
            _ => {}
        }
    }
}

fn judged(plan: &Plan) -> threshold::Config {
    threshold::Config::new(plan.kind, plan.success, plan.failure).unwrap_or_default()
}

fn add(world: &mut World, one: &mut Inhabitant) {
    let added = world.upsert(one.id, Arc::clone(&one.spec));
    assert!(added.is_ok(), "a world has fewer targets than the limit");
    one.present = true;
}

/// The end of all faults.
fn calm(world: &mut World, people: &mut [Inhabitant]) {
    let faults = world.faults().calm();
    world.set_faults(faults);
    for one in people {
        if one.nature == Nature::Mixed {
            one.nature = Nature::Healthy;
            serve(world, &one.healthy);
            world.expect(one.id, Condition::Mixed);
        }
        add(world, one);
    }
}

/// Sums up what was reported of each kind of target.
fn kinds(world: &World, people: &[Inhabitant]) -> [[u64; 4]; Kind::ALL.len()] {
    let mut sums = [[0; 4]; Kind::ALL.len()];
    for one in people {
        let results = world.engine().target(one.id).map(|it| it.results);
        let sum = &mut sums[one.kind.index()];
        for (sum, more) in sum.iter_mut().zip(results.unwrap_or_default()) {
            *sum += more;
        }
    }
    sums
}

/// Waits until every target must be published as what it is, and sees that it
/// is.
fn recover(
    world: &mut World,
    people: &[Inhabitant],
    since: probity_engine::Instant,
    complaints: &mut Vec<String>,
) {
    let mut order: Vec<&Inhabitant> = people.iter().collect();
    order.sort_by_key(|one| one.patience());
    for one in &order {
        world.run_until(since + one.patience());
        expect_published(world, one, "did not recover", complaints);
    }
    // Nothing may change any more.
    for one in people {
        if one.nature == Nature::Healthy {
            world.expect(one.id, one.condition());
        }
    }
    world.run_for(Duration::from_secs(5));
    for one in &order {
        expect_published(world, one, "did not stay", complaints);
    }
}

fn expect_published(
    world: &World,
    one: &Inhabitant,
    complaint: &str,
    complaints: &mut Vec<String>,
) {
    let expected = Some(one.nature == Nature::Healthy);
    let target = world.engine().target(one.id);
    let up = target.and_then(|it| it.up);
    if up != expected {
        let last = target
            .and_then(|it| it.last)
            .map(|it| (it.outcome, it.finished));
        let (now, id, at, kind) = (world.now(), one.id, one.at, one.kind);
        complaints.push(format!(
            "[{now}] liveness: {id:?} ({kind:?} at {at}) {complaint}: published {up:?}, last {last:?}"
        ));
    }
}
