//! What is known without asking, and who waits for what is not.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use hickory_proto::op::ResponseCode;

use super::{ONE, SECOND, TWO, World, one, servers, with_soa};
use crate::check::tcp;
use crate::limits::Limits;
use crate::resolve::ResolverConfig;
use crate::{Families, Input, Outcome, Reason};

#[test]
fn an_answer_is_remembered_for_its_ttl() {
    let mut world = one();
    world.run("web.example");
    world.answer_all(|asked| asked.addresses(&["2001:db8::1"], 20));
    world.result().unwrap();
    world.advance(19 * SECOND);
    world.run("WEB.example");
    assert_eq!(world.result().unwrap(), "2001:db8::1", "in any case");
    let stats = world.stats();
    assert_eq!(
        (stats.cache_hits, stats.cache_misses, stats.cached_names),
        (1, 1, 1)
    );
    world.advance(2 * SECOND);
    world.run("web.example");
    assert_eq!(world.asked.len(), 2, "and then asked for again");
}

#[test]
fn a_long_ttl_is_cut_and_a_ttl_of_zero_is_not_remembered() {
    let mut world = one();
    world.run_v4("web.example");
    world.answer_all(|asked| asked.addresses(&["192.0.2.1"], 86_400));
    world.advance(29 * SECOND);
    world.run_v4("web.example");
    assert!(world.asked.is_empty());
    world.advance(2 * SECOND);
    world.run_v4("web.example");
    world.answer_all(|asked| asked.addresses(&["192.0.2.1"], 0));
    world.run_v4("web.example");
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
        world.run("web.example");
        assert_eq!(world.reason(), Reason::DnsNotFound, "{soa:?}");
        world.now = then;
        world.advance(Duration::from_millis(gone));
        world.run("web.example");
        assert_eq!(world.asked.len(), 2, "{soa:?}");
    }
}

#[test]
fn failures_are_not_remembered() {
    let mut world = one();
    world.run_v4("web.example");
    world.answer_all(|asked| asked.code(ResponseCode::ServFail));
    world.reason();
    world.run_v4("web.example");
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

#[test]
fn the_queue_of_abandoned_look_ups_is_bounded() {
    let limits = Limits {
        in_flight: 1,
        once_in_flight: 4,
        lookups: 1,
        ..Limits::default()
    };
    let mut world = World::with_limits(servers(&[ONE]).timeout(30 * SECOND).attempts(5), limits);
    for n in 0..40 {
        if n % 4 == 0 {
            // Let the runs, but not the look-up under way, reach their end.
            world.advance(101 * SECOND);
        }
        world.run_v4(&format!("n{n}.example"));
    }
    let stats = world.stats();
    assert!(stats.lookups_queued <= 6, "{stats:?}");
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
    world.run_v4("n49.example");
    world.run_v4("n40.example");
    assert!(world.asked.is_empty(), "the latest are remembered");
    world.run_v4("n39.example");
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
    assert_eq!(world.opened, 32);
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
fn a_look_up_outlives_the_runs_that_wait_and_is_remembered() {
    let mut world = World::new(servers(&[ONE]).timeout(30 * SECOND).attempts(5));
    world.run_v4("web.example");
    for _ in 0..4 {
        world.asked.pop_front();
        world.advance(26 * SECOND);
    }
    assert_eq!(
        world.reports.pop().unwrap().1,
        Outcome::Failure(Reason::TimeoutResolve)
    );
    world.run_v4("web.example");
    world.answer_all(|asked| asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
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
