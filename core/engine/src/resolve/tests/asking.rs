//! How servers are asked.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use hickory_proto::op::{MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME};
use hickory_proto::rr::{RData, Record, RecordType};
use proptest::prelude::*;

use super::{ONE, SECOND, TWO, World, framed, name, one, servers};
use crate::resolve::ResolverConfig;
use crate::{Closed, Input, Outcome, Reason, Transport};

#[test]
fn both_families_are_asked_at_once_and_the_preferred_one_is_taken() {
    let mut world = one();
    world.run("web.example");
    let a = world.expect("A web.example. @192.0.2.53:53");
    let aaaa = world.expect("AAAA web.example. @192.0.2.53:53");
    assert_eq!((a.run, a.conn), (aaaa.run, aaaa.conn), "one socket");
    assert_ne!(a.message.id, aaaa.message.id);
    let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"];
    world.datagram(&a, &a.addresses(&addresses, 60));
    assert!(world.reports.is_empty(), "the other family is waited for");
    world.datagram(&aaaa, &aaaa.addresses(&addresses, 60));
    assert_eq!(world.result().unwrap(), "2001:db8::1");
    assert!(world.open.is_empty(), "the socket is closed");
}

#[test]
fn the_other_family_will_do_and_its_last_address_is_taken() {
    let mut world = one();
    world.run("web.example");
    world.answer_all(|asked| asked.addresses(&["192.0.2.1", "192.0.2.2"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.2");
}

#[test]
fn a_single_family_is_one_question() {
    let mut world = one();
    world.run_v4("web.example");
    let a = world.expect("A web.example. @192.0.2.53:53");
    world.datagram(&a, &a.reply());
    let (reason, detail) = world.result().unwrap_err();
    assert_eq!(reason, Reason::DnsNoAddress);
    assert_eq!(
        detail,
        "web.example has no IPv4 address (asked 192.0.2.53:53)"
    );
}

#[test]
fn aliases_are_followed() {
    let mut world = one();
    world.run_v4("web.example");
    let a = world.expect("A web.example. @192.0.2.53:53");
    let mut reply = a.reply();
    let alias = RData::CNAME(CNAME(name("real.example")));
    reply.add_answer(Record::from_rdata(name("web.example"), 60, alias));
    let address = RData::A(A::new(192, 0, 2, 9));
    reply.add_answer(Record::from_rdata(name("real.example"), 60, address));
    world.datagram(&a, &reply);
    assert_eq!(world.result().unwrap(), "192.0.2.9");
}

#[test]
fn the_search_list_is_walked_until_a_name_exists() {
    let mut world = World::new(servers(&[ONE]).search(&["a.example", "b.example"]));
    world.run_v4("web");
    let asked = world.expect("A web.a.example. @192.0.2.53:53");
    world.datagram(&asked, &asked.code(ResponseCode::NXDomain));
    let asked = world.expect("A web.b.example. @192.0.2.53:53");
    world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
    assert_eq!(world.opened, 2, "each with a socket of its own");
}

#[test]
fn a_name_that_exists_nowhere_is_not_found() {
    let mut world = World::new(servers(&[ONE, TWO]).search(&["a.example"]));
    world.run("web");
    world.answer_all(|asked| asked.code(ResponseCode::NXDomain));
    let (reason, detail) = world.result().unwrap_err();
    assert_eq!(reason, Reason::DnsNotFound);
    assert_eq!(detail, "web does not exist (asked 192.0.2.53:53)");
    assert_eq!(
        world.stats().queries,
        4,
        "two names, two families, one server"
    );
}

#[test]
fn no_address_outweighs_not_found_and_failure_both() {
    let run = |codes: [ResponseCode; 3]| {
        let config = servers(&[ONE]).attempts(1).search(&["a", "b"]);
        let mut world = World::new(config);
        world.run_v4("web");
        for code in codes {
            let asked = world.asked.pop_front().unwrap();
            world.datagram(&asked, &asked.code(code));
        }
        world.reason()
    };
    use ResponseCode::{NXDomain, NoError, ServFail};
    assert_eq!(run([NXDomain, NoError, NXDomain]), Reason::DnsNoAddress);
    assert_eq!(run([NXDomain, ServFail, NoError]), Reason::DnsServerFailure);
    assert_eq!(run([NXDomain, NXDomain, NXDomain]), Reason::DnsNotFound);
}

#[test]
fn a_server_that_fails_is_passed_over() {
    for code in [
        ResponseCode::ServFail,
        ResponseCode::Refused,
        ResponseCode::NotImp,
    ] {
        let mut world = World::new(servers(&[ONE, TWO]));
        world.run_v4("web.example");
        let asked = world.expect("A web.example. @192.0.2.53:53");
        world.datagram(&asked, &asked.code(code));
        let asked = world.expect("A web.example. @192.0.2.54:53");
        world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 60));
        assert_eq!(world.result().unwrap(), "192.0.2.1", "{code:?}");
    }
}

#[test]
fn what_is_known_is_not_asked_again() {
    let mut world = World::new(servers(&[ONE, TWO]).attempts(1));
    world.run("web.example");
    let a = world.expect("A web.example. @192.0.2.53:53");
    let aaaa = world.expect("AAAA web.example. @192.0.2.53:53");
    world.datagram(&aaaa, &aaaa.code(ResponseCode::ServFail));
    world.datagram(&a, &a.addresses(&["192.0.2.1"], 60));
    let aaaa = world.expect("AAAA web.example. @192.0.2.54:53");
    world.datagram(&aaaa, &aaaa.code(ResponseCode::ServFail));
    assert_eq!(world.result().unwrap(), "192.0.2.1", "one family is enough");
}

#[test]
fn every_server_failing_is_a_server_failure() {
    let mut world = World::new(servers(&[ONE, TWO]));
    world.run_v4("web.example");
    world.answer_all(|asked| asked.code(ResponseCode::Refused));
    assert_eq!(world.stats().queries, 4, "two rounds over two servers");
    assert_eq!(world.reason(), Reason::DnsServerFailure);
}

#[test]
fn silence_is_retried_and_then_a_timeout() {
    let mut world = World::new(servers(&[ONE, TWO]));
    world.run_v4("web.example");
    let mut ids = Vec::new();
    for round in 0..2 {
        for server in [ONE, TWO] {
            let asked = world.expect(&format!("A web.example. @{server}"));
            ids.push(asked.message.id);
            world.advance(Duration::from_millis(4_900));
            assert!(world.asked.is_empty(), "round {round}: not yet");
            world.advance(Duration::from_millis(110));
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 4, "every attempt has an id of its own");
    assert_eq!(world.opened, 4, "and a port of its own");
    let (reason, detail) = world.result().unwrap_err();
    assert_eq!(reason, Reason::DnsTimeout);
    let expected = "no DNS server answered for web.example in time (asked 192.0.2.54:53)";
    assert_eq!(detail, expected);
}

#[test]
fn the_search_goes_on_after_silence() {
    let second = || {
        let config = servers(&[ONE]).attempts(1).search(&["a.example"]);
        let mut world = World::new(config);
        world.run_v4("web.example");
        world.expect("A web.example. @192.0.2.53:53");
        world.advance(6 * SECOND);
        let asked = world.expect("A web.example.a.example. @192.0.2.53:53");
        (world, asked)
    };
    let (mut world, asked) = second();
    world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
    let (mut world, asked) = second();
    world.datagram(&asked, &asked.code(ResponseCode::NXDomain));
    assert_eq!(world.reason(), Reason::DnsTimeout, "the first may exist");
}

#[test]
fn servers_may_only_be_asked_by_tcp() {
    let conf = "nameserver 192.0.2.53\noptions use-vc\n";
    let mut world = World::new(ResolverConfig::system(conf, ""));
    world.run_v4("web.example");
    let asked = world.expect("A web.example. @192.0.2.53:53");
    assert_eq!(asked.transport, Transport::Tcp);
    let reply = framed(&asked.addresses(&["192.0.2.1"], 60));
    world.tell(&asked, Input::Data(asked.conn, &reply));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
    assert_eq!(world.stats().tcp_fallbacks, 0, "it was no fallback");
}

#[test]
fn a_late_answer_of_a_server_that_was_given_up_is_ignored() {
    let mut world = World::new(servers(&[ONE, TWO]));
    world.run_v4("web.example");
    let late = world.expect("A web.example. @192.0.2.53:53");
    world.advance(6 * SECOND);
    let asked = world.expect("A web.example. @192.0.2.54:53");
    world.datagram(&late, &late.addresses(&["192.0.2.66"], 60));
    assert!(world.reports.is_empty());
    world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
}

#[test]
fn lies_do_not_end_the_wait() {
    let mut world = one();
    world.run_v4("web.example");
    let asked = world.expect("A web.example. @192.0.2.53:53");
    let good = asked.addresses(&["192.0.2.66"], 60);
    let mut wrong = good.clone();
    wrong.metadata.id ^= 1;
    world.datagram(&asked, &wrong);
    let mut wrong = good.clone();
    wrong.queries[0].name = name("bank.example");
    world.datagram(&asked, &wrong);
    let mut wrong = good.clone();
    wrong.queries[0].query_type = RecordType::AAAA;
    world.datagram(&asked, &wrong);
    let mut wrong = good.clone();
    wrong.metadata.message_type = MessageType::Query;
    world.datagram(&asked, &wrong);
    world.tell(&asked, Input::Data(asked.conn, b"nonsense"));
    world.tell(&asked, Input::Data(asked.conn, b""));
    assert!(world.reports.is_empty() && world.asked.is_empty());
    world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
}

#[test]
fn nothing_but_lies_is_malformed() {
    let mut world = World::new(servers(&[ONE]).attempts(1));
    world.run_v4("web.example");
    let asked = world.expect("A web.example. @192.0.2.53:53");
    let mut wrong = asked.addresses(&["192.0.2.66"], 60);
    wrong.metadata.id ^= 1;
    world.datagram(&asked, &wrong);
    world.advance(6 * SECOND);
    assert_eq!(world.reason(), Reason::DnsMalformed);
}

#[test]
fn a_broken_answer_is_malformed_and_the_next_server_is_asked() {
    let mut world = World::new(servers(&[ONE, TWO]).attempts(1));
    world.run_v4("web.example");
    for server in [ONE, TWO] {
        let asked = world.expect(&format!("A web.example. @{server}"));
        let bytes = asked.addresses(&["192.0.2.1"], 60).to_vec().unwrap();
        world.tell(&asked, Input::Data(asked.conn, &bytes[..bytes.len() - 1]));
    }
    assert_eq!(world.reason(), Reason::DnsMalformed);
}

#[test]
fn a_server_that_cannot_be_reached_is_passed_over() {
    let mut world = World::new(servers(&[ONE, TWO]).attempts(1));
    world.run_v4("web.example");
    let asked = world.expect("A web.example. @192.0.2.53:53");
    world.closed(&asked, Closed::Refused);
    let asked = world.expect("A web.example. @192.0.2.54:53");
    world.closed(&asked, Closed::Unreachable);
    assert_eq!(world.reason(), Reason::DnsServerFailure);
}

#[test]
fn a_failure_of_ours_is_unknown_and_not_remembered() {
    let mut world = one();
    world.run_v4("web.example");
    let asked = world.expect("A web.example. @192.0.2.53:53");
    world.closed(&asked, Closed::Local(Reason::NoDescriptors));
    let (_, outcome, ..) = world.reports.pop().unwrap();
    assert_eq!(outcome, Outcome::Unknown(Reason::NoDescriptors));
    world.run_v4("web.example");
    world.answer_all(|asked| asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
}

#[test]
fn a_truncated_answer_is_asked_for_by_tcp_and_may_come_in_pieces() {
    let mut world = one();
    world.run("web.example");
    let a = world.expect("A web.example. @192.0.2.53:53");
    let aaaa = world.expect("AAAA web.example. @192.0.2.53:53");
    let mut truncated = a.reply();
    truncated.metadata.truncation = true;
    world.datagram(&a, &truncated);
    let addresses = ["192.0.2.1", "2001:db8::1"];
    world.datagram(&aaaa, &aaaa.addresses(&addresses, 60));
    let a = world.expect("A web.example. @192.0.2.53:53");
    assert_eq!(a.transport, Transport::Tcp);
    assert_eq!(world.open.len(), 1, "the UDP socket is closed");
    // A stray message first, then the answer, one byte at a time.
    let mut stray = a.addresses(&["192.0.2.66"], 60);
    stray.metadata.id ^= 1;
    let mut bytes = framed(&stray);
    bytes.extend(framed(&a.addresses(&addresses, 60)));
    for byte in bytes {
        assert!(world.reports.is_empty());
        world.tell(&a, Input::Data(a.conn, &[byte]));
    }
    assert_eq!(world.result().unwrap(), "2001:db8::1");
    assert_eq!(world.stats().tcp_fallbacks, 1);
    assert!(world.open.is_empty());
}

#[test]
fn both_questions_may_be_answered_in_one_piece_of_a_stream() {
    let mut world = one();
    world.run("web.example");
    for _ in 0..2 {
        let asked = world.asked.pop_front().unwrap();
        let mut truncated = asked.reply();
        truncated.metadata.truncation = true;
        world.datagram(&asked, &truncated);
    }
    let a = world.expect("A web.example. @192.0.2.53:53");
    let aaaa = world.expect("AAAA web.example. @192.0.2.53:53");
    let mut bytes = framed(&aaaa.addresses(&["2001:db8::1"], 60));
    bytes.extend(framed(&a.addresses(&["192.0.2.1"], 60)));
    world.tell(&a, Input::Data(a.conn, &bytes));
    assert_eq!(world.result().unwrap(), "2001:db8::1");
}

#[test]
fn a_stream_without_addresses_that_was_cut_says_nothing() {
    let mut world = World::new(servers(&[ONE]).attempts(1));
    world.run_v4("web.example");
    let asked = world.expect("A web.example. @192.0.2.53:53");
    let mut truncated = asked.reply();
    truncated.metadata.truncation = true;
    world.datagram(&asked, &truncated);
    let asked = world.expect("A web.example. @192.0.2.53:53");
    truncated.metadata.id = asked.message.id;
    world.tell(&asked, Input::Data(asked.conn, &framed(&truncated)));
    assert_eq!(world.reason(), Reason::DnsMalformed);
}

#[test]
fn a_server_that_truncates_and_has_no_tcp_is_passed_over() {
    let mut world = World::new(servers(&[ONE, TWO]).attempts(1));
    world.no_tcp = true;
    world.run_v4("web.example");
    let asked = world.expect("A web.example. @192.0.2.53:53");
    let mut truncated = asked.reply();
    truncated.metadata.truncation = true;
    world.datagram(&asked, &truncated);
    assert!(world.asked.is_empty());
    world.advance(6 * SECOND);
    let asked = world.expect("A web.example. @192.0.2.54:53");
    world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
    assert_eq!(world.opened, 3);
}

#[test]
fn one_truncated_and_one_lost_answer_are_both_asked_for_by_tcp() {
    let mut world = one();
    world.run("web.example");
    let a = world.expect("A web.example. @192.0.2.53:53");
    world.expect("AAAA web.example. @192.0.2.53:53");
    let mut truncated = a.reply();
    truncated.metadata.truncation = true;
    world.datagram(&a, &truncated);
    world.advance(6 * SECOND);
    let a = world.expect("A web.example. @192.0.2.53:53");
    let aaaa = world.expect("AAAA web.example. @192.0.2.53:53");
    assert_eq!(
        (a.transport, aaaa.transport),
        (Transport::Tcp, Transport::Tcp)
    );
}

#[test]
fn a_stream_that_ends_early_is_a_failure_of_its_server() {
    let mut world = World::new(servers(&[ONE, TWO]).attempts(1));
    world.run_v4("web.example");
    let asked = world.expect("A web.example. @192.0.2.53:53");
    let mut truncated = asked.reply();
    truncated.metadata.truncation = true;
    world.datagram(&asked, &truncated);
    let asked = world.expect("A web.example. @192.0.2.53:53");
    let bytes = framed(&asked.addresses(&["192.0.2.1"], 60));
    world.tell(&asked, Input::Data(asked.conn, &bytes[..9]));
    world.closed(&asked, Closed::End);
    let asked = world.expect("A web.example. @192.0.2.54:53");
    assert_eq!(asked.transport, Transport::Udp);
    world.datagram(&asked, &asked.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
}

#[test]
fn a_server_without_edns_is_asked_without() {
    let mut world = one();
    world.run_v4("web.example");
    let asked = world.expect("A web.example. @192.0.2.53:53");
    assert!(asked.message.edns.is_some());
    world.datagram(&asked, &asked.code(ResponseCode::FormErr));
    let plain = world.expect("A web.example. @192.0.2.53:53");
    assert!(plain.message.edns.is_none());
    assert_eq!(plain.conn, asked.conn);
    world.datagram(&plain, &plain.addresses(&["192.0.2.1"], 60));
    assert_eq!(world.result().unwrap(), "192.0.2.1");
}

proptest! {
    /// Whatever servers do: a look-up ends, its run reports once, nothing is
    /// left open, and the same name can be looked up again.
    #[test]
    fn every_look_up_ends(
        deeds in prop::collection::vec((0..14_u8, any::<(u8, u8)>()), 0..60),
        both in any::<bool>(),
        no_tcp in any::<bool>(),
    ) {
        let config = servers(&[ONE, TWO]).search(&["a.example", "b.example"]);
        let mut world = World::new(config);
        world.no_tcp = no_tcp;
        if both { world.run("web") } else { world.run_v4("web") };
        for (deed, (at, with)) in deeds {
            let Some(asked) = world.asked.pop_front() else {
                break;
            };
            let mut reply = asked.addresses(&["192.0.2.1", "2001:db8::1"], 60);
            match deed {
                0 => world.advance(6 * SECOND),
                1 => reply.metadata.response_code = ResponseCode::ServFail,
                2 => reply.metadata.response_code = ResponseCode::FormErr,
                3 | 4 => reply.metadata.response_code = ResponseCode::NXDomain,
                5 => reply.answers.clear(),
                6 | 7 => reply.metadata.truncation = true,
                8 => reply.metadata.id ^= 1,
                9 => world.closed(&asked, Closed::Refused),
                _ => {}
            }
            let mut bytes = match asked.transport {
                Transport::Udp => reply.to_vec().unwrap(),
                Transport::Tcp => framed(&reply),
            };
            if deed >= 11 {
                let length = bytes.len();
                bytes[usize::from(at) % length] = with;
            }
            let cut = if deed == 10 { bytes.len() - 1 } else { bytes.len() };
            world.tell(&asked, Input::Data(asked.conn, &bytes[..cut]));
        }
        world.advance(99 * SECOND);
        prop_assert_eq!(world.reports.len(), 1);
        world.advance(301 * SECOND);
        prop_assert!(world.open.is_empty());
        prop_assert_eq!(world.stats().lookups_in_flight, 0);
        prop_assert!(world.opened <= 32);
        world.asked.clear();
        world.reports.clear();
        world.run_v4("web");
        world.answer_all(|asked| asked.addresses(&["192.0.2.1"], 60));
        prop_assert_eq!(world.result().unwrap(), "192.0.2.1");
    }
}
