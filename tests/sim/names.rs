//! Names and the servers that know them, with real DNS messages.

use std::time::Duration;

use probity_engine::resolve::ResolverConfig;
use probity_engine::{Config, Limits, Outcome, Phase, Reason, ResolveError, TargetId};
use probity_simulator::checker::TICK;
use probity_simulator::spec::{Plan, module};
use probity_simulator::{Answer, Behaviour, Options, Record, World, Zone, http};
use serde_json::json;

use crate::lab::{TIMEOUT, address, assert_failure, phase, probe_in, server};

const DNS: &str = "10.0.0.53:53";
const OTHER_DNS: &str = "10.0.0.54:53";
const URL: &str = "http://web.example/";

fn good() -> Answer {
    Answer::Addresses(vec![server().ip()], 60)
}

fn resolver() -> ResolverConfig {
    ResolverConfig::with_servers(&[address(DNS)])
        .timeout(Duration::from_millis(300))
        .attempts(2)
}

fn world(resolver: ResolverConfig, zone: Zone) -> World {
    let engine = Config {
        resolver,
        ..Config::default()
    };
    let mut world = World::new(Options {
        engine,
        ..Options::quiet(1)
    });
    world.serve(server(), http::ok());
    world.serve(address(DNS), zone.serve());
    world
}

fn probe(answer: Answer) -> Record {
    let zone = Zone::new([("web.example", answer)]);
    probe_in(&mut world(resolver(), zone), &crate::lab::http(), URL)
}

#[test]
fn a_name_leads_to_its_address() {
    let record = probe(good());
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    assert_eq!(record.address, Some(server()));
    assert!(
        record
            .phases
            .iter()
            .any(|(phase, _)| *phase == Phase::Resolve)
    );
}

#[test]
fn names_that_do_not_exist_say_who_said_so() {
    let record = probe(Answer::NotFound(5));
    assert_failure(&record, Reason::DnsNotFound, "web.example does not exist");
    assert_failure(&record, Reason::DnsNotFound, DNS);
    let record = probe(Answer::NoData(5));
    assert_failure(&record, Reason::DnsNoAddress, "has no address");
}

#[test]
fn servers_that_fail_or_fall_silent_have_their_own_reasons() {
    let record = probe(Answer::Failure);
    let words = format!("no DNS server could answer for web.example (asked {DNS}): SERVFAIL");
    assert_failure(&record, Reason::DnsServerFailure, &words);
    let record = probe(Answer::Silence);
    let words = format!("no DNS server answered for web.example in time (asked {DNS})");
    assert_failure(&record, Reason::DnsTimeout, &words);
    let waited = Duration::from_millis(600);
    assert!(record.total >= waited && record.total < waited + Duration::from_millis(5));
    let record = probe(Answer::Garbage);
    assert!(
        matches!(
            record.outcome,
            Outcome::Failure(Reason::DnsMalformed | Reason::DnsTimeout)
        ),
        "{record:?}"
    );
}

#[test]
fn silence_beyond_the_deadline_is_a_timeout_of_the_run() {
    let patient = resolver().timeout(Duration::from_secs(30));
    let zone = Zone::new([("web.example", Answer::Silence)]);
    let record = probe_in(&mut world(patient, zone), &crate::lab::http(), URL);
    assert_failure(&record, Reason::TimeoutResolve, "resolving the name");
}

#[test]
fn truncation_leads_to_tcp() {
    let record = probe(Answer::Truncated(Box::new(good())));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
}

#[test]
fn lies_are_not_believed() {
    let liar = "192.0.2.66".parse().expect("an address");
    let record = probe(Answer::AfterLies(liar, Box::new(good())));
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    assert_eq!(record.address, Some(server()));
    let record = probe(Answer::AfterLies(liar, Box::new(Answer::Silence)));
    assert!(
        matches!(
            record.outcome,
            Outcome::Failure(Reason::DnsMalformed | Reason::DnsTimeout)
        ),
        "{record:?}"
    );
}

#[test]
fn aliases_are_followed_and_late_answers_are_answers() {
    let zone = Zone::new([
        ("web.example", Answer::Alias("b.example".into(), 60)),
        ("b.example", Answer::Alias("c.example".into(), 60)),
        ("c.example", good()),
    ]);
    let record = probe_in(&mut world(resolver(), zone), &crate::lab::http(), URL);
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    let late = Answer::Late(Duration::from_millis(250), Box::new(good()));
    let record = probe(late);
    assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    assert!(record.total >= Duration::from_millis(250));
}

#[test]
fn a_dead_server_is_passed_over() {
    for dead in [
        Behaviour::Refuse,
        Behaviour::Unreachable,
        Behaviour::Blackhole,
    ] {
        let servers = [address(OTHER_DNS), address(DNS)];
        let resolver = ResolverConfig::with_servers(&servers).timeout(Duration::from_millis(300));
        let mut world = world(resolver, Zone::new([("web.example", good())]));
        world.serve(address(OTHER_DNS), dead);
        let record = probe_in(&mut world, &crate::lab::http(), URL);
        assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
    }
}

#[test]
fn many_runs_share_one_question_and_then_the_cache() {
    let mut world = world(resolver(), Zone::new([("web.example", good())]));
    let spec = Plan::default().spec(&crate::lab::http(), URL);
    for _ in 0..50 {
        let run = world.run_once(spec.clone(), TIMEOUT);
        run.expect("there is room");
    }
    world.run_for(TIMEOUT);
    // A target of the schedule is content with what is remembered; whoever waits
    // for a run is not.
    world.begin();
    world
        .upsert(TargetId(1), spec.clone())
        .expect("there is room");
    world.trigger(TargetId(1));
    world.run_for(TIMEOUT);
    let stats = world.engine().stats(world.now()).resolver;
    assert_eq!((stats.lookups, stats.joined, stats.cache_hits), (1, 49, 1));
    let run = world.run_once(spec, TIMEOUT);
    run.expect("there is room");
    world.run_for(TIMEOUT);
    let last = world.reports().last().expect("a report");
    assert!(phase(last, Phase::Resolve) > Some(Duration::ZERO));
    let stats = world.engine().stats(world.now()).resolver;
    assert_eq!((stats.lookups, stats.joined, stats.cache_hits), (2, 49, 1));
    assert_eq!(world.counts(), [52, 0, 0, 0]);
    world.assert_clean();
}

/// However many names wait for a server that says nothing: others are not said to
/// be down for that, and have their turn as soon as nobody waits any more.
#[test]
fn silent_servers_are_held_against_no_other_name() {
    let names: Vec<String> = (0..30).map(|n| format!("host{n}.example")).collect();
    let dead: Vec<String> = (0..500).map(|n| format!("dead{n}.example")).collect();
    let alive = names.iter().map(|name| (&**name, good()));
    let silent = dead.iter().map(|name| (&**name, Answer::Silence));
    let zone = Zone::new(alive.chain(silent));
    let mut world = World::new(Options {
        engine: Config {
            limits: Limits {
                lookups: 100,
                ..Limits::default()
            },
            resolver: ResolverConfig::with_servers(&[address(DNS)]),
            ..Config::default()
        },
        ..Options::quiet(1)
    });
    world.serve(server(), http::ok());
    world.serve(address(DNS), zone.serve());
    let start = |world: &mut World, names: &[String]| {
        for name in names {
            let spec = Plan::default().spec(&crate::lab::http(), &format!("http://{name}/"));
            world.run_once(spec, TIMEOUT).expect("there is room");
        }
    };
    start(&mut world, &dead);
    start(&mut world, &names);
    world.run_for(TIMEOUT + TICK);
    // The 100 that were asked for are down as far as can be told.
    assert_eq!(world.counts(), [0, 0, 100, 430]);
    let overload = Outcome::Unknown(Reason::Overload);
    let unknown = world.reports().iter().filter(|it| it.outcome == overload);
    assert!(
        unknown
            .clone()
            .all(|it| it.total < Duration::from_millis(1))
    );
    assert_eq!(unknown.count(), 430);
    start(&mut world, &names);
    world.run_for(TIMEOUT);
    assert_eq!(world.counts(), [30, 0, 100, 430]);
    let stats = world.engine().stats(world.now()).resolver;
    assert_eq!((stats.lookups_in_flight, stats.lookups_queued), (0, 0));
    world.assert_clean();
}

#[test]
fn the_wanted_family_decides() {
    let zone = || {
        let addresses = vec![server().ip(), "2001:db8::1".parse().expect("an address")];
        Zone::new([("web.example", Answer::Addresses(addresses, 60))])
    };
    for (section, expected) in [
        (json!({"preferred_ip_protocol": "ip4"}), "192.0.2.1:80"),
        (json!({"preferred_ip_protocol": "ip6"}), "[2001:db8::1]:80"),
    ] {
        let mut world = world(resolver(), zone());
        world.serve(address("[2001:db8::1]:80"), http::ok());
        let module = module(json!({"prober": "http", "http": section}));
        let record = probe_in(&mut world, &module, URL);
        assert_eq!(record.outcome, Outcome::Success, "{}", record.detail);
        assert_eq!(record.address, Some(address(expected)));
    }
    let only_v6 = json!({"preferred_ip_protocol": "ip6", "ip_protocol_fallback": false});
    let module = module(json!({"prober": "http", "http": only_v6}));
    let zone = Zone::new([("web.example", good())]);
    let record = probe_in(&mut world(resolver(), zone), &module, URL);
    assert_failure(&record, Reason::DnsNoAddress, "");
}

#[test]
fn a_host_may_resolve_names_itself() {
    let engine = Config {
        resolver: ResolverConfig::delegated(),
        ..Config::default()
    };
    let spec = Plan::default().spec(&crate::lab::http(), URL);
    let answers = [
        (Ok(server().ip()), Outcome::Success),
        (
            Err(Reason::DnsNotFound),
            Outcome::Failure(Reason::DnsNotFound),
        ),
        (
            Err(Reason::NoDescriptors),
            Outcome::Unknown(Reason::NoDescriptors),
        ),
    ];
    let mut world = World::new(Options {
        engine,
        ..Options::quiet(1)
    });
    world.serve(server(), http::ok());
    for (answer, expected) in answers {
        world
            .run_once(spec.clone(), TIMEOUT)
            .expect("there is room");
        let asked = match answer {
            Ok(address) => world.resolved(Ok(&[address])),
            Err(reason) => world.resolved(Err(ResolveError {
                reason,
                server: None,
                trouble: None,
            })),
        };
        assert_eq!(asked.as_deref(), Some("web.example"));
        world.run_for(TIMEOUT);
        let last = world.reports().last().expect("a report");
        assert_eq!(last.outcome, expected);
    }
    // An answer that never comes is a timeout like any other.
    world.run_once(spec, TIMEOUT).expect("there is room");
    world.run_for(TIMEOUT * 2);
    let last = world.reports().last().expect("a report");
    assert_eq!(last.outcome, Outcome::Failure(Reason::TimeoutResolve));
    world.assert_clean();
}
