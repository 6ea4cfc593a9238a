//! DNS servers that speak the real wire format.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::{Event, Reaction, Then};
use crate::payload::Payload;
use crate::rng::Rng;

/// What a server says about one name.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Its addresses, for this many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// It is another name for this one, which the zone also has.
    Alias(String, u32),
    /// It does not exist; remembered for this many seconds.
    NotFound(u32),
    /// It exists and has no address.
    NoData(u32),
    /// SERVFAIL.
    Failure,
    /// Nothing.
    Silence,
    /// Over UDP only that the answer is too long; over TCP the answer.
    Truncated(Box<Self>),
    /// First an answer with another id, then one to another question, both
    /// with the address of somebody else; then the answer.
    AfterLies(IpAddr, Box<Self>),
    /// The answer, later.
    Late(Duration, Box<Self>),
    /// Bytes that are no DNS message.
    Garbage,
}

/// Names, in lower case and without trailing dot, and what is said about them.
/// Other names do not exist.
#[derive(Clone, Debug, Default)]
pub struct Zone(BTreeMap<String, Answer>);

impl Zone {
    /// A server for these names.
    pub fn new<'a>(names: impl IntoIterator<Item = (&'a str, Answer)>) -> Self {
        Self(
            names
                .into_iter()
                .map(|(name, answer)| (name.into(), answer))
                .collect(),
        )
    }

    /// As a server.
    pub fn serve(self) -> super::Behaviour {
        super::Behaviour::Dns(self.into())
    }

    fn get(&self, name: &str) -> &Answer {
        const UNKNOWN: &Answer = &Answer::NotFound(1);
        self.0.get(name).unwrap_or(UNKNOWN)
    }
}

/// One socket towards a server.
#[derive(Debug)]
pub(crate) struct Server {
    zone: Arc<Zone>,
    datagram: bool,
    /// What came over TCP and is not a whole message yet.
    partial: Vec<u8>,
}

/// Aliases that a server follows for its client.
const MAX_ALIASES: usize = 8;

impl Server {
    pub(crate) const fn new(zone: Arc<Zone>) -> Self {
        Self {
            zone,
            datagram: true,
            partial: Vec::new(),
        }
    }

    pub(crate) fn on(&mut self, event: Event<'_>, rng: &mut Rng, reaction: &mut Reaction) {
        match event {
            Event::Accepted { datagram } => self.datagram = datagram,
            Event::Data(bytes) if self.datagram => self.answer(bytes, rng, reaction),
            Event::Data(bytes) => {
                // A length of two bytes before each message (RFC 1035 4.2.2).
                self.partial.extend_from_slice(bytes);
                while let [high, low, rest @ ..] = &self.partial[..]
                    && let length = usize::from(u16::from_be_bytes([*high, *low]))
                    && rest.len() >= length
                {
                    let query = rest[..length].to_vec();
                    self.partial.drain(..2 + length);
                    self.answer(&query, rng, reaction);
                }
            }
            Event::Secured | Event::Woken | Event::Reached(_) => {}
        }
    }

    fn answer(&self, bytes: &[u8], rng: &mut Rng, reaction: &mut Reaction) {
        let Ok(query) = Message::from_vec(bytes) else {
            reaction.then = Then::Close;
            return;
        };
        let Some(question) = query.queries.first() else {
            return;
        };
        let name = question.name.to_ascii().to_ascii_lowercase();
        let answer = self.zone.get(name.trim_end_matches('.'));
        self.say(answer, Duration::ZERO, query.id, question, rng, reaction);
    }

    fn say(
        &self,
        answer: &Answer,
        after: Duration,
        id: u16,
        question: &Query,
        rng: &mut Rng,
        reaction: &mut Reaction,
    ) {
        match answer {
            Answer::Silence => {}
            Answer::Garbage => {
                let bytes = (0..40).map(|_| rng.u64() as u8).collect();
                reaction.sends.push((self.framed(bytes), after));
            }
            Answer::Late(by, answer) => self.say(answer, after + *by, id, question, rng, reaction),
            Answer::Truncated(answer) => {
                if self.datagram {
                    let mut message = reply(id, question.clone());
                    message.metadata.truncation = true;
                    self.send(&message, after, reaction);
                } else {
                    self.say(answer, after, id, question, rng, reaction);
                }
            }
            Answer::AfterLies(address, answer) => {
                let name = question.name.clone();
                let mut lie = reply(id.wrapping_add(1), question.clone());
                lie.add_answer(record(&name, 60, *address));
                self.send(&lie, after, reaction);
                let other = host("liar.example");
                let mut lie = reply(id, Query::query(other.clone(), question.query_type));
                lie.add_answer(record(&other, 60, *address));
                self.send(&lie, after + Duration::from_micros(10), reaction);
                let after = after + Duration::from_millis(1);
                self.say(answer, after, id, question, rng, reaction);
            }
            Answer::Failure => {
                let mut message = reply(id, question.clone());
                message.metadata.response_code = ResponseCode::ServFail;
                self.send(&message, after, reaction);
            }
            Answer::NotFound(_) | Answer::NoData(_) | Answer::Addresses(..) | Answer::Alias(..) => {
                let message = self.resolve(answer, id, question);
                self.send(&message, after, reaction);
            }
        }
    }

    /// The records, aliases followed.
    fn resolve<'a>(&'a self, mut answer: &'a Answer, id: u16, question: &Query) -> Message {
        let mut message = reply(id, question.clone());
        let mut name = question.name.clone();
        for _ in 0..MAX_ALIASES {
            match answer {
                Answer::Alias(target, ttl) => {
                    let canonical = host(target);
                    let data = RData::CNAME(CNAME(canonical.clone()));
                    message.add_answer(Record::from_rdata(name, *ttl, data));
                    name = canonical;
                    answer = self.zone.get(target);
                }
                Answer::Addresses(addresses, ttl) => {
                    let v4 = question.query_type == RecordType::A;
                    let wanted = addresses.iter().filter(|address| address.is_ipv4() == v4);
                    for address in wanted {
                        message.add_answer(record(&name, *ttl, *address));
                    }
                    if !addresses.iter().any(|address| address.is_ipv4() == v4) {
                        message.add_authority(soa(*ttl));
                    }
                    break;
                }
                Answer::NotFound(ttl) => {
                    message.metadata.response_code = ResponseCode::NXDomain;
                    message.add_authority(soa(*ttl));
                    break;
                }
                Answer::NoData(ttl) => {
                    message.add_authority(soa(*ttl));
                    break;
                }
                _ => break,
            }
        }
        message
    }

    fn send(&self, message: &Message, after: Duration, reaction: &mut Reaction) {
        // Names in a zone are short and valid, so that they can be encoded.
        let bytes = message.to_vec().unwrap_or_default();
        reaction.sends.push((self.framed(bytes), after));
    }

    fn framed(&self, bytes: Vec<u8>) -> Payload {
        if self.datagram {
            return bytes.into();
        }
        let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
        framed.extend(bytes);
        framed.into()
    }
}

fn reply(id: u16, question: Query) -> Message {
    let mut message = Message::response(id, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.add_query(question);
    message
}

fn record(name: &Name, ttl: u32, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(name.clone(), ttl, data)
}

fn soa(ttl: u32) -> Record {
    let data = SOA::new(host("ns.example"), host("admin.example"), 1, 1, 1, 1, ttl);
    Record::from_rdata(host("example"), ttl, RData::SOA(data))
}

/// A name of a zone, absolute.
fn host(name: &str) -> Name {
    let mut name = Name::from_ascii(name).unwrap_or_default();
    name.set_fqdn(true);
    name
}
