//! A DNS server that follows a script and remembers what it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Bytes of the header of a message (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
/// Seconds that an answer may be kept.
const TTL: u32 = 60;

/// What is said of a name. Of those that no case knows: that they do not exist.
#[derive(Clone, Debug)]
pub(crate) enum Say {
    /// These addresses; that there are none of the family that is not among them.
    Addresses(&'static [&'static str]),
    /// So many of 127.0.0.1, 127.0.0.2, ...
    Many(u8),
    /// It is another name for this one, of which the server says the rest.
    Alias(String),
    /// The same, and the records are in the wrong order.
    AliasLast(String),
    /// The addresses of this other name, without the alias that leads to it.
    OfAnother(&'static str, &'static [&'static str]),
    /// It does not exist.
    NotFound,
    /// This code and no records.
    Code(ResponseCode),
    /// FORMERR to who asks with EDNS; the answer to others.
    WithoutEdns(Box<Self>),
    /// Neither records, nor authority over the name, nor a wish to ask others.
    Referral,
    /// Nothing.
    Silence,
    /// Bytes that are no message.
    Garbage,
    /// The answer of which the second half is missing.
    Cut(Box<Self>),
    /// Over UDP that the answer is too long; over TCP the answer.
    Truncated(Box<Self>),
    /// The same, and over UDP as much as there was room for.
    TruncatedPart(Box<Self>, Box<Self>),
    /// That the answer is too long, over UDP and with the answer over TCP.
    TruncatedAlways(Box<Self>),
    /// That the answer is too long, over UDP; over TCP it hangs up.
    TruncatedThenHangup,
    /// The answer, after so long.
    Late(Duration, Box<Self>),
    /// One thing of A, another of AAAA.
    ByType(Box<Self>, Box<Self>),
    /// At first one thing, later another.
    First(Box<Self>, Box<Self>),
    /// First lies with other addresses: with another id, to another question.
    AfterLies(Box<Self>),
    /// The answer, and the question in capitals.
    Shouted(Box<Self>),
}

impl Say {
    pub(crate) fn alias(name: &str) -> Self {
        Self::Alias(name.to_owned())
    }

    /// With the names filled in.
    pub(crate) fn filled(&self, fill: &dyn Fn(&str) -> String) -> Self {
        let inner = |say: &Self| Box::new(say.filled(fill));
        match self {
            Self::Alias(name) => Self::Alias(fill(name)),
            Self::AliasLast(name) => Self::AliasLast(fill(name)),
            Self::WithoutEdns(say) => Self::WithoutEdns(inner(say)),
            Self::Cut(say) => Self::Cut(inner(say)),
            Self::Truncated(say) => Self::Truncated(inner(say)),
            Self::TruncatedPart(one, other) => Self::TruncatedPart(inner(one), inner(other)),
            Self::TruncatedAlways(say) => Self::TruncatedAlways(inner(say)),
            Self::Late(after, say) => Self::Late(*after, inner(say)),
            Self::ByType(one, other) => Self::ByType(inner(one), inner(other)),
            Self::First(one, other) => Self::First(inner(one), inner(other)),
            Self::AfterLies(say) => Self::AfterLies(inner(say)),
            Self::Shouted(say) => Self::Shouted(inner(say)),
            other => other.clone(),
        }
    }
}

/// A question, as it came.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked {
    /// In lower case, without the last dot.
    pub(crate) name: String,
    /// Its type: `A`, `AAAA`.
    pub(crate) kind: String,
    /// Or by TCP.
    pub(crate) datagram: bool,
}

/// A running server.
pub(crate) struct Dns {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    zones: Mutex<BTreeMap<String, Say>>,
    /// By the label of the case.
    asked: Mutex<BTreeMap<String, Vec<Asked>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Dns {
    /// Listens for UDP and TCP.
    pub(crate) fn start(address: SocketAddr) -> Self {
        let udp = UdpSocket::bind(address).expect("port 53 of an address of its own");
        let tcp = TcpListener::bind(address).expect("port 53 of an address of its own");
        let shared = Arc::new(Shared::default());
        let (ours, udp) = (Arc::clone(&shared), Arc::new(udp));
        std::thread::spawn(move || {
            let mut buffer = [0; 4_096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                if ours.stopped.load(Ordering::Acquire) {
                    return;
                }
                let udp = Arc::clone(&udp);
                // Who asked may have gone.
                ours.answer(&buffer[..length], true, move |reply| {
                    let _ = udp.send_to(&reply, from);
                });
            }
        });
        let ours = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                if ours.stopped.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let ours = Arc::clone(&ours);
                std::thread::spawn(move || ours.converse(stream));
            }
        });
        Self { address, shared }
    }

    /// Knows the names of a case.
    pub(crate) fn know(&self, label: &str, zone: Vec<(String, Say)>) {
        let mut zones = lock(&self.shared.zones);
        for (name, say) in zone {
            let known = zones.insert(name.clone(), say);
            assert!(known.is_none(), "two cases say what {name} is");
        }
        lock(&self.shared.asked).insert(label.to_owned(), Vec::new());
    }

    /// What was asked about names with this label since the last time.
    pub(crate) fn asked(&self, label: &str) -> BTreeSet<Asked> {
        let mut asked = lock(&self.shared.asked);
        let of_case = asked.get_mut(label).map(std::mem::take);
        of_case.unwrap_or_default().into_iter().collect()
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // Wakes both threads, so that they see it.
        let _ = TcpStream::connect(self.address);
        if let Ok(socket) = UdpSocket::bind("127.0.0.1:0") {
            let _ = socket.send_to(&[0], self.address);
        }
    }
}

/// What was asked, ready to be answered.
struct Question {
    id: u16,
    /// As it came.
    query: Query,
    asked: Asked,
    edns: bool,
    /// How often the same was asked before.
    before: usize,
}

impl Shared {
    /// Answers the questions that come by TCP.
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        loop {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query)?;
            let back = stream.try_clone()?;
            let is_answered = self.answer(&query, false, move |reply| {
                let mut message = (reply.len() as u16).to_be_bytes().to_vec();
                message.extend(reply);
                let _ = (&back).write_all(&message);
            });
            if !is_answered {
                return Ok(());
            }
        }
    }

    /// Notes a question and sends what there is to say; whether the connection
    /// stays.
    fn answer(
        &self,
        message: &[u8],
        datagram: bool,
        send: impl Fn(Vec<u8>) + Send + 'static,
    ) -> bool {
        let Some(question) = self.read(message, datagram) else {
            return false;
        };
        let say = lock(&self.zones).get(&question.asked.name).cloned();
        let (after, replies) = self.replies(&question, &say.unwrap_or(Say::NotFound));
        let stays = datagram || !matches!(&replies, Replies::Hangup);
        let Replies::These(replies) = replies else {
            return stays;
        };
        let all = move || replies.into_iter().for_each(&send);
        if after.is_zero() {
            all();
        } else {
            // Others do not wait.
            std::thread::spawn(move || {
                std::thread::sleep(after);
                all();
            });
        }
        stays
    }

    fn read(&self, message: &[u8], datagram: bool) -> Option<Question> {
        let message = Message::from_vec(message).ok()?;
        let query = message.queries.first()?.clone();
        let name = query.name.to_ascii().to_ascii_lowercase();
        let asked = Asked {
            name: name.trim_end_matches('.').to_owned(),
            kind: query.query_type.to_string(),
            datagram,
        };
        let mut log = lock(&self.asked);
        let mut before = 0;
        for (label, log) in log.iter_mut() {
            if asked.name.split('.').any(|part| part == label) {
                before = log.iter().filter(|other| **other == asked).count();
                log.push(asked.clone());
            }
        }
        Some(Question {
            id: message.metadata.id,
            query,
            asked,
            edns: message.edns.is_some(),
            before,
        })
    }

    /// What is sent, and after how long.
    fn replies(&self, question: &Question, say: &Say) -> (Duration, Replies) {
        let these = |replies: Vec<Vec<u8>>| (Duration::ZERO, Replies::These(replies));
        let at_once = |reply: &Message| these(vec![bytes(reply)]);
        let over_datagram = question.asked.datagram;
        match say {
            Say::Silence => (Duration::ZERO, Replies::None),
            Say::TruncatedThenHangup if !over_datagram => (Duration::ZERO, Replies::Hangup),
            Say::Garbage => these(vec![b"this is no message of DNS".to_vec()]),
            Say::Late(after, say) => (*after, self.replies(question, say).1),
            Say::ByType(one, other) => {
                let is_a = question.query.query_type == RecordType::A;
                self.replies(question, if is_a { one } else { other })
            }
            Say::First(first, later) => {
                let say = if question.before == 0 { first } else { later };
                self.replies(question, say)
            }
            Say::TruncatedThenHangup => at_once(&cut(response(question))),
            Say::Truncated(_) if over_datagram => at_once(&cut(response(question))),
            Say::TruncatedPart(part, _) if over_datagram => {
                at_once(&cut(self.reply(question, part)))
            }
            Say::TruncatedAlways(say) => at_once(&cut(self.reply(question, say))),
            Say::Truncated(say) | Say::TruncatedPart(_, say) => self.replies(question, say),
            Say::WithoutEdns(_) if question.edns => {
                at_once(&self.reply(question, &Say::Code(ResponseCode::FormErr)))
            }
            Say::WithoutEdns(say) => self.replies(question, say),
            Say::Cut(say) => {
                let mut bytes = bytes(&self.reply(question, say));
                bytes.truncate(bytes.len() - 7);
                these(vec![bytes])
            }
            Say::AfterLies(say) => {
                let lie = self.reply(question, &Say::Addresses(&["127.0.0.9", "fd00::9"]));
                let (mut id, mut other) = (bytes(&lie), bytes(&lie));
                id[1] ^= 1;
                // The first letter of the name that was asked for.
                other[HEADER + 1] ^= 2;
                these(vec![id, other, bytes(&self.reply(question, say))])
            }
            Say::Shouted(say) => {
                let name = question.query.name.to_ascii().to_ascii_uppercase();
                let query = Query::query(host(&name), question.query.query_type);
                let asked = question.asked.clone();
                at_once(&self.reply(
                    &Question {
                        query,
                        asked,
                        ..*question
                    },
                    say,
                ))
            }
            say => at_once(&self.reply(question, say)),
        }
    }

    /// The records; aliases are followed.
    fn reply(&self, question: &Question, say: &Say) -> Message {
        let zones = lock(&self.zones);
        let mut reply = response(question);
        let mut owner = question.query.name.clone();
        let (mut say, mut last) = (say, false);
        // As many as a loop of aliases may have.
        for _ in 0..40 {
            let (Say::Alias(name) | Say::AliasLast(name)) = say else {
                tell(&mut reply, owner, say);
                break;
            };
            last |= matches!(say, Say::AliasLast(_));
            let data = RData::CNAME(CNAME(host(name)));
            reply.add_answer(Record::from_rdata(owner, TTL, data));
            owner = host(name);
            say = zones.get(name).unwrap_or(&Say::NotFound);
        }
        if last {
            reply.answers.reverse();
        }
        reply
    }
}

enum Replies {
    None,
    Hangup,
    These(Vec<Vec<u8>>),
}

/// An answer to who wished recursion, which is available.
fn response(question: &Question) -> Message {
    let mut message = Message::response(question.id, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    message.add_query(question.query.clone());
    message
}

/// The same, and that there is more.
fn cut(mut message: Message) -> Message {
    message.metadata.truncation = true;
    message.authorities.clear();
    message
}

/// Says of `owner` what is not an alias. Where there are no records, it says for how
/// long.
fn tell(reply: &mut Message, owner: Name, say: &Say) {
    let parsed = |texts: &'static [&str]| texts.iter().map(|text| text.parse().expect("one"));
    match say {
        Say::Addresses(texts) => addresses(reply, &owner, parsed(texts)),
        Say::OfAnother(name, texts) => addresses(reply, &host(name), parsed(texts)),
        Say::Many(count) => {
            let all = (1..=*count).map(|last| IpAddr::from([127, 0, 0, last]));
            addresses(reply, &owner, all);
        }
        Say::NotFound => reply.metadata.response_code = ResponseCode::NXDomain,
        Say::Code(code) => {
            reply.metadata.response_code = *code;
            return;
        }
        Say::Referral => {
            reply.metadata.recursion_available = false;
            return;
        }
        other => panic!("{other:?} cannot be a part of another answer"),
    }
    if reply.answers.is_empty() {
        let data = SOA::new(host("ns.test"), host("admin.test"), 1, 1, 1, 1, TTL);
        let soa = Record::from_rdata(host("test"), TTL, RData::SOA(data));
        reply.add_authority(soa);
    }
}

/// Those of the type that was asked for.
fn addresses(reply: &mut Message, owner: &Name, of: impl Iterator<Item = IpAddr>) {
    let kind = reply.queries[0].query_type;
    for address in of {
        let data = match address {
            IpAddr::V4(address) => RData::A(A(address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(address)),
        };
        if data.record_type() == kind {
            reply.add_answer(Record::from_rdata(owner.clone(), TTL, data));
        }
    }
}

fn bytes(message: &Message) -> Vec<u8> {
    message.to_vec().expect("names of cases can be encoded")
}

/// A name, absolute.
fn host(name: &str) -> Name {
    let mut name = Name::from_ascii(name).expect("a name");
    name.set_fqdn(true);
    name
}
