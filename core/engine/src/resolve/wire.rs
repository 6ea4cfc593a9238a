//! DNS messages: one question out, one judgement of what came back.
//!
//! The header and the question are checked before anything else is decoded,
//! so that a stray or forged datagram costs little and never ends the wait.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};

use crate::io::{Family, ServerTrouble};

/// Bytes of a UDP answer that we offer to take (RFC 9715 section 3.2, and the
/// DNS flag day of 2020: it is not fragmented anywhere).
const EDNS_BYTES: u16 = 1232;
/// Addresses of one family that are kept; the rest of the answer is dropped.
pub(super) const MAX_ADDRESSES: usize = 16;
/// Aliases that are followed within one answer. Name servers give up after a dozen or
/// so: this is to bound the work for a message that is full of records.
const MAX_ALIASES: usize = 64;
/// Bytes of a header (RFC 1035 section 4.1.1).
const HEADER_BYTES: usize = 12;

/// What is asked: the addresses of a name in one family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub(super) name: &'a Name,
    pub(super) family: Family,
}

impl Question<'_> {
    const fn record_type(self) -> RecordType {
        match self.family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        }
    }
}

/// What a message turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Not an answer to this question: forged, late, or nonsense.
    Stray,
    /// An answer to this question that cannot be understood.
    Malformed,
    /// The answer was too long for a datagram.
    Truncated,
    /// FORMERR: the server may not know EDNS (RFC 6891 section 7).
    FormatError,
    /// The server will not or cannot answer: SERVFAIL, REFUSED, NOTIMP, or a
    /// referral to other servers.
    Failed(ServerTrouble),
    /// The server knows.
    Known(Found),
}

/// What a server knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// At least one, at most [`MAX_ADDRESSES`], in order of the answer; the
    /// lowest TTL of the records that led to them.
    Addresses(Vec<IpAddr>, Duration),
    /// The name exists, but not with this type (RFC 2308 section 2.2). The
    /// negative TTL, if the server gave one.
    NoData(Option<Duration>),
    /// The name does not exist (RFC 2308 section 2.1).
    NxDomain(Option<Duration>),
}

/// An absolute name from its text, which has no trailing dot.
pub(super) fn name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// Renders a query. `None` if it cannot be expressed.
pub(super) fn encode(question: Question<'_>, id: u16, edns: bool) -> Option<Vec<u8>> {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    let query = Query::query(question.name.clone(), question.record_type());
    message.add_query(query);
    if edns {
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_BYTES);
        message.set_edns(edns);
    }
    message.to_vec().ok()
}

/// A message as TCP carries it: two bytes of length before it (RFC 1035
/// section 4.2.2).
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    // Ours are far shorter than 64 KiB.
    let mut bytes = (message.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    bytes
}

/// Takes messages out of what comes by TCP. Holds what has come of an
/// incomplete one: less than 64 KiB.
#[derive(Debug, Default)]
pub(super) struct Stream(Vec<u8>);

impl Stream {
    /// Calls `take` with every message that `bytes` completes.
    pub(super) fn feed(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        self.0.extend_from_slice(bytes);
        let mut rest = &self.0[..];
        while let Some((message, after)) = first_message(rest) {
            take(message);
            rest = after;
        }
        let used = self.0.len() - rest.len();
        self.0.drain(..used);
    }
}

/// Splits the first complete message off a stream.
fn first_message(stream: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = stream.split_first_chunk::<2>()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

/// Judges a message that may answer the query `id`. Addresses that came in a stream
/// are taken as they are, also if the server says that there are more (as glibc and Go
/// do); if there are none, nothing is known.
pub(super) fn decode(bytes: &[u8], question: Question<'_>, id: u16, in_stream: bool) -> Reply {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Reply::Stray;
    };
    let is_response = header[2] & 0x80 != 0;
    let op_code = header[2] >> 3 & 0x0f;
    if u16::from_be_bytes([header[0], header[1]]) != id || !is_response || op_code != 0 {
        return Reply::Stray;
    }
    let code = ResponseCode::from(0, header[3] & 0x0f);
    let is_cut = header[2] & 0x02 != 0;
    match u16::from_be_bytes([header[4], header[5]]) {
        1 => match echoes(&bytes[HEADER_BYTES..], question) {
            Some(true) => {}
            Some(false) => return Reply::Stray,
            None => return Reply::Malformed,
        },
        // Servers that do not understand a query may leave it out.
        0 if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) => {}
        _ => return Reply::Stray,
    }
    match code {
        ResponseCode::FormErr => Reply::FormatError,
        ResponseCode::NoError | ResponseCode::NXDomain if is_cut && !in_stream => Reply::Truncated,
        ResponseCode::NoError | ResponseCode::NXDomain => match Message::from_vec(bytes) {
            Ok(message) => match judge(&message, question) {
                Reply::Known(Found::NoData(_)) if is_cut => Reply::Malformed,
                reply => reply,
            },
            Err(_) => Reply::Malformed,
        },
        code => Reply::Failed(trouble(code)),
    }
}

const fn trouble(code: ResponseCode) -> ServerTrouble {
    match code {
        ResponseCode::FormErr => ServerTrouble::FormErr,
        ResponseCode::ServFail => ServerTrouble::ServFail,
        ResponseCode::NotImp => ServerTrouble::NotImp,
        ResponseCode::Refused => ServerTrouble::Refused,
        ResponseCode::NotAuth => ServerTrouble::NotAuth,
        _ => ServerTrouble::OtherCode,
    }
}

/// Whether a question section is the one that we sent. `None` if it cannot be
/// read. A question is the first name of a message: it needs no compression,
/// and so can be read without what comes before it.
fn echoes(section: &[u8], question: Question<'_>) -> Option<bool> {
    let query = Query::read(&mut BinDecoder::new(section)).ok()?;
    Some(
        query.name().eq_ignore_root(question.name)
            && query.query_type() == question.record_type()
            && query.query_class() == DNSClass::IN,
    )
}

fn judge(message: &Message, question: Question<'_>) -> Reply {
    let found = match (message.response_code, follow(&message.answers, question)) {
        (_, None) => return Reply::Malformed,
        (ResponseCode::NoError, Some((addresses, ttl))) if !addresses.is_empty() => {
            Found::Addresses(addresses, ttl)
        }
        (ResponseCode::NoError, _) if is_referral(message) => {
            return Reply::Failed(ServerTrouble::Referral);
        }
        (ResponseCode::NoError, _) => Found::NoData(negative_ttl(message)),
        (ResponseCode::NXDomain, _) => Found::NxDomain(negative_ttl(message)),
        // An extended code (RFC 6891 section 6.1.3).
        (code, _) => return Reply::Failed(trouble(code)),
    };
    Reply::Known(found)
}

/// Go's "lame referral": a server that neither knows nor asks others, and
/// only points elsewhere.
fn is_referral(message: &Message) -> bool {
    message.answers.is_empty() && !message.authoritative && !message.recursion_available
}

/// Follows aliases from the question to its addresses, in whatever order the
/// records are. `None` if the aliases do not end.
fn follow(answers: &[Record], question: Question<'_>) -> Option<(Vec<IpAddr>, Duration)> {
    let mut owner = question.name;
    let mut lowest = Duration::MAX;
    for _ in 0..=MAX_ALIASES {
        let mut addresses = Vec::new();
        let mut alias = None;
        let owned = answers
            .iter()
            .filter(|record| record.dns_class == DNSClass::IN && record.name.eq_ignore_root(owner));
        for record in owned {
            match &record.data {
                RData::A(a) if question.family == Family::V4 => addresses.push(IpAddr::V4(a.0)),
                RData::AAAA(a) if question.family == Family::V6 => addresses.push(IpAddr::V6(a.0)),
                RData::CNAME(target) => alias = Some(&target.0),
                _ => continue,
            }
            lowest = lowest.min(ttl(record.ttl));
        }
        match alias {
            Some(target) if addresses.is_empty() => owner = target,
            _ => {
                addresses.truncate(MAX_ADDRESSES);
                return Some((addresses, lowest));
            }
        }
    }
    None
}

/// The lower of the SOA's TTL and its MINIMUM field (RFC 2308 section 5).
fn negative_ttl(message: &Message) -> Option<Duration> {
    message.authorities.iter().find_map(|record| {
        let RData::SOA(soa) = &record.data else {
            return None;
        };
        Some(ttl(record.ttl).min(ttl(soa.minimum)))
    })
}

/// Seconds; with the highest bit set they count as 0 (RFC 2181 section 8).
const fn ttl(seconds: u32) -> Duration {
    if seconds > i32::MAX as u32 {
        Duration::ZERO
    } else {
        Duration::from_secs(seconds as u64)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;
    use core::net::Ipv4Addr;

    use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
    use proptest::prelude::*;

    use super::*;

    const ID: u16 = 0x1234;

    fn question(name: &Name) -> Question<'_> {
        Question {
            name,
            family: Family::V4,
        }
    }

    fn host(text: &str) -> Name {
        name(text).unwrap()
    }

    fn a(owner: &str, ttl: u32, last: u8) -> Record {
        Record::from_rdata(host(owner), ttl, RData::A(A::new(192, 0, 2, last)))
    }

    fn cname(owner: &str, ttl: u32, target: &str) -> Record {
        Record::from_rdata(host(owner), ttl, RData::CNAME(CNAME(host(target))))
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        let soa = SOA::new(
            host("ns.example"),
            host("admin.example"),
            1,
            1,
            1,
            1,
            minimum,
        );
        Record::from_rdata(host("example"), ttl, RData::SOA(soa))
    }

    /// A complete answer to `web.example A`.
    fn response(answers: Vec<Record>) -> Message {
        let mut message = Message::response(ID, OpCode::Query);
        message.metadata.recursion_available = true;
        message.add_query(Query::query(host("web.example"), RecordType::A));
        message.answers = answers;
        message
    }

    fn judged(message: &Message) -> Reply {
        decode(
            &message.to_vec().unwrap(),
            question(&host("web.example")),
            ID,
            false,
        )
    }

    fn addresses(last: &[u8], ttl: u64) -> Reply {
        let addresses = last.iter().map(|n| Ipv4Addr::new(192, 0, 2, *n).into());
        Reply::Known(Found::Addresses(
            addresses.collect(),
            Duration::from_secs(ttl),
        ))
    }

    #[test]
    fn a_query_asks_for_recursion_and_offers_edns() {
        let name = host("web.example");
        let bytes = encode(question(&name), ID, true).unwrap();
        let message = Message::from_vec(&bytes).unwrap();
        assert_eq!(message.id, ID);
        assert!(message.recursion_desired);
        assert_eq!(message.queries, [Query::query(name.clone(), RecordType::A)]);
        assert_eq!(message.max_payload(), 1232);
        let bytes = encode(question(&name), ID, false).unwrap();
        assert_eq!(Message::from_vec(&bytes).unwrap().edns, None);
    }

    #[test]
    fn addresses_keep_the_order_of_the_answer() {
        let answers = vec![a("web.example", 60, 2), a("WEB.example", 40, 1)];
        assert_eq!(judged(&response(answers)), addresses(&[2, 1], 40));
    }

    #[test]
    fn records_of_other_names_and_types_are_not_addresses() {
        let v6 = RData::AAAA(AAAA("2001:db8::1".parse().unwrap()));
        let answers = vec![
            a("other.example", 60, 9),
            Record::from_rdata(host("web.example"), 60, v6),
            a("web.example", 60, 1),
        ];
        assert_eq!(judged(&response(answers)), addresses(&[1], 60));
    }

    #[test]
    fn aliases_are_followed_in_any_order_for_the_lowest_ttl() {
        let answers = vec![
            a("c.example", 90, 1),
            cname("b.example", 20, "c.example"),
            cname("web.example", 60, "b.example"),
        ];
        assert_eq!(judged(&response(answers)), addresses(&[1], 20));
    }

    #[test]
    fn aliases_that_do_not_end_are_malformed() {
        let answers = vec![
            cname("web.example", 60, "b.example"),
            cname("b.example", 60, "web.example"),
        ];
        assert_eq!(judged(&response(answers)), Reply::Malformed);
        assert_eq!(judged(&response(chain(MAX_ALIASES + 1))), Reply::Malformed);
        let found = judged(&response(chain(MAX_ALIASES)));
        assert!(
            matches!(found, Reply::Known(Found::Addresses(..))),
            "{found:?}"
        );
    }

    /// An address behind so many aliases.
    fn chain(aliases: usize) -> Vec<Record> {
        let next = |n: usize| cname(&format!("{n}.example"), 60, &format!("{}.example", n + 1));
        let mut answers = vec![cname("web.example", 60, "1.example")];
        answers.extend((1..aliases).map(next));
        answers.push(a(&format!("{aliases}.example"), 60, 1));
        answers
    }

    #[test]
    fn an_alias_without_addresses_is_no_data() {
        let answers = vec![cname("web.example", 60, "b.example")];
        assert_eq!(
            judged(&response(answers)),
            Reply::Known(Found::NoData(None))
        );
    }

    #[test]
    fn many_addresses_are_cut() {
        let answers = (0..40).map(|n| a("web.example", 60, n)).collect();
        let kept: Vec<u8> = (0..16).collect();
        assert_eq!(judged(&response(answers)), addresses(&kept, 60));
    }

    #[test]
    fn the_negative_ttl_is_the_lower_of_two() {
        for (ttl, minimum, expected) in [(300, 60, 60), (30, 60, 30), (u32::MAX, 60, 0)] {
            let mut message = response(vec![]);
            message.add_authority(soa(ttl, minimum));
            let ttl = Some(Duration::from_secs(expected));
            assert_eq!(judged(&message), Reply::Known(Found::NoData(ttl)));
            message.metadata.response_code = ResponseCode::NXDomain;
            assert_eq!(judged(&message), Reply::Known(Found::NxDomain(ttl)));
        }
    }

    #[test]
    fn what_does_not_echo_the_question_is_stray() {
        let name = host("web.example");
        let good = response(vec![a("web.example", 60, 1)]);
        let stray = |change: &dyn Fn(&mut Message)| {
            let mut message = good.clone();
            change(&mut message);
            judged(&message) == Reply::Stray
        };
        assert!(stray(&|m| m.metadata.id ^= 1));
        assert!(stray(&|m| m.metadata.message_type = MessageType::Query));
        assert!(stray(&|m| m.metadata.op_code = OpCode::Notify));
        assert!(stray(&|m| m.queries[0].name = host("bank.example")));
        assert!(stray(&|m| m.queries[0].query_type = RecordType::AAAA));
        assert!(stray(&|m| m.queries[0].query_class = DNSClass::CH));
        assert!(stray(&|m| m.queries.clear()));
        assert!(stray(&|m| m.queries.push(m.queries[0].clone())));
        assert!(!stray(&|m| m.queries[0].name = host("WEB.Example")));
        assert_eq!(decode(b"", question(&name), ID, false), Reply::Stray);
        assert_eq!(
            decode(&[0x12, 0x34, 0x80], question(&name), ID, false),
            Reply::Stray
        );
    }

    #[test]
    fn response_codes_tell_failures_apart() {
        let code = |code| {
            let mut message = response(vec![]);
            message.metadata.response_code = code;
            let with_question = judged(&message);
            message.queries.clear();
            (with_question, judged(&message))
        };
        for (failed, trouble) in [
            (ResponseCode::ServFail, ServerTrouble::ServFail),
            (ResponseCode::Refused, ServerTrouble::Refused),
            (ResponseCode::NotImp, ServerTrouble::NotImp),
        ] {
            assert_eq!(
                code(failed),
                (Reply::Failed(trouble), Reply::Failed(trouble))
            );
        }
        let format_error = (Reply::FormatError, Reply::FormatError);
        assert_eq!(code(ResponseCode::FormErr), format_error);
        assert_eq!(code(ResponseCode::NXDomain).1, Reply::Stray);
    }

    #[test]
    fn an_extended_code_is_a_failure() {
        let mut message = response(vec![]);
        message.metadata.response_code = ResponseCode::BADVERS;
        message.set_edns(Edns::new());
        assert!(matches!(judged(&message), Reply::Failed(_)));
    }

    #[test]
    fn a_referral_is_a_failure() {
        let mut message = response(vec![]);
        message.metadata.recursion_available = false;
        let referral = Reply::Failed(ServerTrouble::Referral);
        assert_eq!(judged(&message), referral);
        message.metadata.authoritative = true;
        assert_eq!(judged(&message), Reply::Known(Found::NoData(None)));
    }

    #[test]
    fn truncation_is_seen_before_the_rest_is_read() {
        let mut message = response(vec![a("web.example", 60, 1)]);
        message.metadata.truncation = true;
        let bytes = message.to_vec().unwrap();
        let cut = &bytes[..bytes.len() - 3];
        assert_eq!(
            decode(cut, question(&host("web.example")), ID, false),
            Reply::Truncated
        );
        let whole = decode(&bytes, question(&host("web.example")), ID, true);
        assert_eq!(whole, addresses(&[1], 60), "there is no longer way to ask");
    }

    #[test]
    fn a_broken_record_is_malformed() {
        let bytes = response(vec![a("web.example", 60, 1)]).to_vec().unwrap();
        for end in HEADER_BYTES..bytes.len() {
            let reply = decode(&bytes[..end], question(&host("web.example")), ID, false);
            assert_eq!(reply, Reply::Malformed, "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn a_stream_yields_its_messages_however_it_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..9),
            size in 1..700_usize,
        ) {
            let sent: Vec<u8> = messages.iter().flat_map(|it| framed(it)).collect();
            let mut stream = Stream::default();
            let mut received = Vec::new();
            for piece in sent.chunks(size) {
                stream.feed(piece, |message| received.push(message.to_vec()));
                prop_assert!(stream.0.len() < 302, "only an incomplete message is held");
            }
            prop_assert!(stream.0.is_empty());
            prop_assert_eq!(received, messages);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            decode(&bytes, question(&host("web.example")), ID, false);
        }

        /// Behind a header and question that pass, so that the decoder of
        /// records is reached.
        #[test]
        fn no_records_make_it_panic(
            counts in prop::array::uniform6(prop::sample::select(vec![0_u8, 1, 2, 255])),
            records in prop::collection::vec(
                prop_oneof![any::<u8>(), prop::sample::select(vec![0_u8, 1, 5, 6, 12, 28, 41, 0xc0])],
                0..200,
            ),
            code in 0..16_u8,
        ) {
            let mut bytes = response(vec![]).to_vec().unwrap();
            bytes[3] = 0x80 | code;
            bytes[6..12].copy_from_slice(&counts);
            bytes.extend(records);
            decode(&bytes, question(&host("web.example")), ID, false);
        }

        #[test]
        fn no_corruption_makes_it_panic(at in 0..200_usize, with in any::<u8>(), cut in 0..200_usize) {
            let mut message = response(vec![
                cname("web.example", 60, "b.example"),
                a("b.example", 60, 1),
            ]);
            message.add_authority(soa(60, 60)).set_edns(Edns::new());
            let mut bytes = message.to_vec().unwrap();
            let length = bytes.len();
            bytes[at % length] = with;
            bytes.truncate(length - cut % length);
            decode(&bytes, question(&host("web.example")), ID, false);
        }
    }
}
