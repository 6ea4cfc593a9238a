//! What is known without asking, and who waits for what is not.

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use hickory_proto::op::ResponseCode;

use super::{ONE, SECOND, TWO, World, one, only_v4, servers, spec, with_soa};
use crate::check::cx::{Names, Resolution};
use crate::check::tcp;
use crate::limits::{Limits, MAX_OPENED};
use crate::map::Map;
use crate::resolve::{Left, Resolver, ResolverConfig};
use crate::{Families, Input, Instant, Outcome, Reason, RunId};

#[test]
fn an_answer_is_remembered_for_its_ttl() {
    let mut world = one();
    world.run("web.example");
    world.answer_all(|asked| asked.addresses(&["2001:db8::1"], 20));
    world.result().unwrap();
    world.advance(19 * SECOND);
    world.scheduled("WEB.example");
    assert_eq!(world.result().unwrap(), "2001:db8::1", "in any case");
    let stats = world.stats();
    assert_eq!(
        (stats.cache_hits, stats.cache_misses, stats.cached_names),
        (1, 1, 1)
    );
    world.advance(2 * SECOND);
    world.scheduled("web.example");
    assert_eq!(world.asked.len(), 2, "and then asked for again");
}

/// Whoever waits for a run wants to know how long the look-up takes.
#[test]
fn a_run_that_is_waited_for_takes_no_remembered_answer() {
    let mut world = one();
    for number in 1..=3 {
        let address = format!("192.0.2.{number}");
        world.run_v4("web.example");
        world.run_v4("web.example");
        assert_eq!(world.asked.len(), 1, "they share a question");
        world.answer_all(|asked| asked.addresses(&[&address], 60));
        world.reports.pop();
        assert_eq!(world.result().unwrap(), address);
        world.scheduled_v4("web.example");
        assert_eq!(
            world.result().unwrap(),
            address,
            "the last one is remembered"
        );
    }
    // That there is no such name is not believed for longer, either.
    world.run_v4("web.example");
    world.answer_all(|asked| with_soa(asked.code(ResponseCode::NXDomain), 60));
    assert_eq!(world.reason(), Reason::DnsNotFound);
    world.run_v4("web.example");
    assert_eq!(world.asked.len(), 1);
    let stats = world.stats();
    assert_eq!((stats.cache_hits, stats.cache_misses), (3, 8));
}

#[test]
fn a_long_ttl_is_cut_and_a_ttl_of_zero_is_not_remembered() {
    let mut world = one();
    world.run_v4("web.example");
    world.answer_all(|asked| asked.addresses(&["192.0.2.1"], 86_400));
    world.advance(29 * SECOND);
    world.scheduled_v4("web.example");
    assert!(world.asked.is_empty());
    world.advance(2 * SECOND);
    world.scheduled_v4("web.example");
    world.answer_all(|asked| asked.addresses(&["192.0.2.1"], 0));
    world.scheduled_v4("web.example");
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn that_a_name_does_not_exist_is_remembered() {
    for (soa, held, gone) in [
        (Some(10), 9_000, 11_000),
        (None, 900, 1_100),
        (Some(0), 900, 1_100),
    ] {
        let mut world = one();
        world.run("web.example");
        world.answer_all(|asked| {
            let reply = asked.code(ResponseCode::NXDomain);
            match soa {
                Some(ttl) => with_soa(reply, ttl),
                None => reply,
            }
        });
        world.reason();
        let then = world.now;
        world.advance(Duration::from_millis(held));
        world.scheduled("web.example");
        assert_eq!(world.reason(), Reason::DnsNotFound, "{soa:?}");
        world.now = then;
        world.advance(Duration::from_millis(gone));
        world.scheduled("web.example");
        assert_eq!(world.asked.len(), 2, "{soa:?}");
    }
}

#[test]
fn failures_are_not_remembered() {
    let mut world = one();
    world.run_v4("web.example");
    world.answer_all(|asked| asked.code(ResponseCode::ServFail));
    world.reason();
    world.scheduled_v4("web.example");
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn many_runs_wait_for_one_query() {
    let mut world = one();
    for _ in 0..100 {
        world.run("web.example");
    }
    let prefer_v4 = tcp::Config {
        preferred_ip_protocol: "ip4".into(),
        ..tcp::Config::default()
    };
    let v4 = world.run_with("web.example", prefer_v4);
    assert_eq!(world.asked.len(), 2);
    world.answer_all(|asked| asked.addresses(&["192.0.2.1", "2001:db8::1"], 60));
    assert_eq!(world.reports.len(), 101);
    for (run, outcome, address, _) in &world.reports {
        assert_eq!(*outcome, Outcome::Success);
        let expected = if *run == v4 {
            "192.0.2.1"
        } else {
            "2001:db8::1"
        };
        assert_eq!(address.unwrap().ip().to_string(), expected);
    }
    assert_eq!(world.stats().joined, 100);
}

#[test]
fn look_ups_beyond_the_limit_wait_their_turn() {
    let limits = Limits {
        lookups: 2,
        ..Limits::default()
    };
    let mut world = World::with_limits(servers(&[ONE]), limits);
    for n in 0..5 {
        world.run_v4(&format!("n{n}.example"));
    }
    let stats = world.stats();
    assert_eq!((stats.lookups_in_flight, stats.lookups_queued), (2, 3));
    assert_eq!(world.asked.len(), 2);
    let mut order = Vec::new();
    while let Some(asked) = world.asked.pop_front() {
        order.push(asked.message.queries[0].name().to_string());
        world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 60));
        assert!(world.stats().lookups_in_flight <= 2);
    }
    let expected: Vec<_> = (0..5).map(|n| format!("n{n}.example.")).collect();
    assert_eq!(order, expected);
    assert_eq!(world.reports.len(), 5);
}

/// By which a timer may be late.
const TICK: Duration = Duration::from_millis(5);

/// The names of the queries so far, in order; they stay unanswered.
fn asked(world: &mut World) -> Vec<String> {
    let asked = world.asked.drain(..);
    asked
        .map(|asked| asked.message.queries[0].name().to_string())
        .collect()
}

/// One look-up at a time, with a server that is asked for longer than runs wait.
fn cramped() -> World {
    let limits = Limits {
        lookups: 1,
        ..Limits::default()
    };
    World::with_limits(servers(&[ONE]).timeout(30 * SECOND).attempts(5), limits)
}

#[test]
fn a_look_up_ends_with_the_last_run_that_waits_for_it() {
    let mut world = cramped();
    world.schedule("dead.example", only_v4(), 5 * SECOND);
    world.schedule("dead.example", only_v4(), 7 * SECOND);
    assert_eq!(asked(&mut world), ["dead.example."]);
    world.advance(6 * SECOND);
    let stats = world.stats();
    assert_eq!((world.open.len(), stats.lookups_in_flight), (1, 1));
    world.advance(SECOND + TICK);
    let stats = world.stats();
    assert_eq!((world.open.len(), stats.lookups_in_flight), (0, 0));
    assert_eq!(world.reports.len(), 2);
    let timeout = Outcome::Failure(Reason::TimeoutResolve);
    assert!(world.reports.drain(..).all(|it| it.1 == timeout));
    // The next one is asked for at once.
    world.run_v4("web.example");
    world.answer_all(|asked| asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
}

#[test]
fn look_ups_that_nobody_waits_for_never_begin() {
    let mut world = cramped();
    for n in 0..40 {
        world.schedule(&format!("n{n}.example"), only_v4(), 5 * SECOND);
    }
    for host in ["cancelled.example", "rejoined.example"] {
        let run = world.run_v4(host);
        world.engine.cancel(run, world.now);
    }
    world.run_v4("rejoined.example");
    assert_eq!(world.stats().lookups_queued, 40);
    world.advance(5 * SECOND + TICK);
    assert_eq!(asked(&mut world), ["n0.example.", "rejoined.example."]);
    let stats = world.stats();
    assert_eq!((stats.lookups_in_flight, stats.lookups_queued), (1, 0));
}

#[test]
fn the_queue_holds_no_more_than_can_be_waited_for() {
    let limits = Limits {
        in_flight: 1,
        once_in_flight: 4,
        lookups: 1,
        ..Limits::default()
    };
    let mut resolver = Resolver::new(servers(&[ONE]), &limits, 7);
    let ask = |resolver: &mut Resolver, host: &str, slot| {
        let run = RunId::new(slot, 0);
        let (families, now) = (Families::default(), Instant::ZERO);
        let answer = resolver.resolve(host, families, Names::Fresh, run, now);
        assert_eq!(answer, Resolution::Pending);
        run
    };
    ask(&mut resolver, "first.example", 0);
    for n in 0..40 {
        let run = ask(&mut resolver, &format!("n{n}.example"), 1);
        assert_eq!(resolver.leave(run), Some(Left::Unbegun(Instant::ZERO)));
        assert_eq!(resolver.leave(run), None);
    }
    ask(&mut resolver, "last.example", 1);
    assert!(resolver.queue.len() <= 6, "{}", resolver.queue.len());
    let waiting: usize = resolver.waiting.iter().map(Map::len).sum();
    assert!(waiting <= 6, "{waiting}");
    assert_eq!(resolver.stats().lookups_queued, 2);
    let begun = |resolver: &mut Resolver| resolver.next_lookup().map(|it| it.host().to_string());
    assert_eq!(begun(&mut resolver).as_deref(), Some("first.example"));
    assert_eq!(begun(&mut resolver), None, "there is room for one");
    resolver.in_flight = 0;
    assert_eq!(begun(&mut resolver).as_deref(), Some("last.example"));
    assert_eq!(resolver.stats().lookups_queued, 0);
}

/// Whose time was over when his look-up had not begun has learnt nothing of the
/// target, and who has waited for that is not charged with it.
#[test]
fn a_wait_for_a_look_up_to_begin_is_ours() {
    let mut world = cramped();
    world.schedule("dead.example", only_v4(), 4 * SECOND);
    world.schedule("late.example", only_v4(), 3 * SECOND);
    world.schedule("web.example", only_v4(), 5 * SECOND);
    let hurried = spec("web.example", only_v4(), 5 * SECOND);
    let engine = &mut world.engine;
    let hurried = engine
        .run_once(hurried, 5 * SECOND, false, world.now)
        .unwrap();
    world.advance(4 * SECOND + TICK);
    let busy = "the prober was too busy to look the name up";
    let overload = Outcome::Unknown(Reason::Overload);
    let late = world.reports.remove(0);
    assert_eq!((late.1, &*late.3), (overload, busy));
    let dead = world.reports.remove(0);
    assert_eq!(dead.1, Outcome::Failure(Reason::TimeoutResolve));
    let seconds = |world: &mut World| {
        let totals = world.totals.drain(..);
        totals.map(|it| it.as_secs()).collect::<Vec<_>>()
    };
    assert_eq!(seconds(&mut world), [0, 4]);
    let asked = world.asked.pop_back().unwrap();
    assert_eq!(asked.text(), "A web.example. @192.0.2.53:53");
    world.asked.clear();
    // Whoever said how long he waits is told in time that we were busy; a run of
    // the schedule has all of its time.
    world.advance(4 * SECOND);
    let told = world.reports.pop().unwrap();
    assert_eq!((told.0, told.1), (hurried, overload));
    assert_eq!(seconds(&mut world), [1]);
    world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
    assert_eq!(seconds(&mut world), [4]);
}

#[test]
fn the_cache_is_bounded() {
    let limits = Limits {
        cached_names: 10,
        ..Limits::default()
    };
    let mut world = World::with_limits(servers(&[ONE]), limits);
    for n in 0..50 {
        world.run_v4(&format!("n{n}.example"));
        world.answer_all(|asked| asked.addresses(&["192.0.2.1"], 60));
        assert!(world.stats().cached_names <= 10);
    }
    world.scheduled_v4("n49.example");
    world.scheduled_v4("n40.example");
    assert!(world.asked.is_empty(), "the latest are remembered");
    world.scheduled_v4("n39.example");
    assert_eq!(world.asked.len(), 1);
}

#[test]
fn a_look_up_opens_a_bounded_number_of_sockets() {
    let search = ["a", "b", "c", "d", "e", "f"];
    let config = servers(&[ONE, TWO, "192.0.2.55:53"])
        .attempts(5)
        .search(&search);
    let mut world = World::new(config);
    world.run_v4("web");
    world.answer_all(|asked| asked.code(ResponseCode::ServFail));
    assert_eq!(world.reason(), Reason::DnsServerFailure);
    assert_eq!(world.opened, usize::from(MAX_OPENED));
    assert!(world.open.is_empty());
}

#[test]
fn servers_can_take_turns() {
    let mut world = World::new(servers(&[ONE, TWO]).rotate(true));
    world.run_v4("a.example");
    world.run_v4("b.example");
    world.run_v4("c.example");
    world.expect("A a.example. @192.0.2.53:53");
    world.expect("A b.example. @192.0.2.54:53");
    world.expect("A c.example. @192.0.2.53:53");
}

#[test]
fn the_hosts_file_comes_first() {
    let hosts = "192.0.2.7 Web.example\n2001:db8::7 both\n192.0.2.8 both\n";
    let mut world = World::new(servers(&[ONE]).hosts(hosts));
    world.run("web.EXAMPLE.");
    assert_eq!(world.result().unwrap(), "192.0.2.7");
    world.run_v4("both");
    assert_eq!(world.result().unwrap(), "192.0.2.8");
    let v6 = tcp::Config {
        ip_protocol_fallback: false,
        ..tcp::Config::default()
    };
    world.run_with("web.example", v6);
    assert_eq!(world.reason(), Reason::DnsNoAddress);
}

#[test]
fn some_names_need_no_server() {
    let mut world = one();
    for host in ["localhost", "LOCALHOST.", "app.localhost"] {
        world.run(host);
        assert_eq!(world.result().unwrap(), "::1", "{host}");
        world.run_v4(host);
        assert_eq!(world.result().unwrap(), "127.0.0.1", "{host}");
    }
    for host in ["a..b", "-a", "hidden.onion", "1.2.3"] {
        world.run(host);
        assert_eq!(world.reason(), Reason::DnsNotFound, "{host}");
    }
    world.run("192.0.2.1");
    assert_eq!(world.result().unwrap(), "192.0.2.1");
    assert_eq!(world.opened, 0);
}

#[test]
fn a_host_can_resolve_names_itself() {
    let mut world = World::new(ResolverConfig::delegated());
    world.run("192.0.2.1");
    assert_eq!(world.result().unwrap(), "192.0.2.1");
    let run = world.run("web.example");
    let asked = (run, "web.example".to_string(), Families::default());
    assert_eq!(world.delegated, vec![asked]);
    let addresses = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let answer = Input::Resolved(Ok(&addresses));
    world.engine.handle_input(run, answer, world.now);
    world.pump();
    assert_eq!(world.result().unwrap(), "2001:db8::1");
    assert_eq!(world.opened, 0);
}

#[test]
fn nothing_is_looked_up_after_a_shutdown() {
    let limits = Limits {
        lookups: 1,
        ..Limits::default()
    };
    let mut world = World::with_limits(servers(&[ONE]), limits);
    world.run_v4("a.example");
    world.run_v4("b.example");
    world.engine.shutdown(world.now);
    world.pump();
    assert_eq!(world.opened, 1);
    assert!(world.open.is_empty());
    let stats = world.stats();
    assert_eq!((stats.lookups_in_flight, stats.lookups_queued), (0, 0));
    assert_eq!(world.reports.len(), 2);
}

#[test]
fn another_configuration_asks_its_servers_and_forgets_what_was() {
    let mut world = one();
    world.scheduled_v4("web.test");
    let asked = world.expect("A web.test. @192.0.2.53:53");
    world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 300));
    world.result().unwrap();
    // The same again changes nothing.
    world.engine.set_resolver(servers(&[ONE]));
    world.scheduled_v4("web.test");
    assert_eq!(world.result().unwrap(), "192.0.2.1");
    let other = servers(&[TWO]).hosts("192.0.2.7 other.test");
    world.engine.set_resolver(other);
    world.scheduled_v4("web.test");
    let asked = world.expect("A web.test. @192.0.2.54:53");
    world.datagram(&asked, &asked.addresses(&["192.0.2.2"], 300));
    assert_eq!(world.result().unwrap(), "192.0.2.2");
    world.run_v4("other.test");
    assert_eq!(world.result().unwrap(), "192.0.2.7", "nobody is asked");
    // Whose names are his own does not have to be told.
    world.engine.set_resolver(ResolverConfig::delegated());
    world.run_v4("other.test");
    assert_eq!(world.result().unwrap(), "192.0.2.7");
}
