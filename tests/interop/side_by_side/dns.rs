//! A DNS server that follows a script and remembers what it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Bytes of the header of a message (RFC 1035 section 4.1.1).
const HEADER: usize = 12;
/// Types of records.
const A: u16 = 1;
const CNAME: u16 = 5;
const SOA: u16 = 6;
const OPT: u16 = 41;
const AAAA: u16 = 28;
/// Codes of answers.
const NO_ERROR: u8 = 0;
pub(crate) const FORMAT_ERROR: u8 = 1;
pub(crate) const SERVER_FAILURE: u8 = 2;
const NAME_ERROR: u8 = 3;
pub(crate) const NOT_IMPLEMENTED: u8 = 4;
pub(crate) const REFUSED: u8 = 5;
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
    Code(u8),
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
    /// `A`, `AAAA` or a number.
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
struct Query {
    id: [u8; 2],
    /// As it came: its name, type and class.
    question: Vec<u8>,
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
        let Some(query) = self.read(message, datagram) else {
            return false;
        };
        let say = lock(&self.zones).get(&query.asked.name).cloned();
        let (after, replies) = self.replies(&query, &say.unwrap_or(Say::NotFound));
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

    fn read(&self, message: &[u8], datagram: bool) -> Option<Query> {
        let mut labels = Vec::new();
        let mut at = HEADER;
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            let label = message.get(at..at + length)?;
            labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
            at += length;
        }
        let question = message.get(HEADER..at + 4)?.to_vec();
        let kind = match u16::from_be_bytes([message[at], message[at + 1]]) {
            A => "A".to_owned(),
            AAAA => "AAAA".to_owned(),
            other => other.to_string(),
        };
        // The only record that a question of a client has.
        let edns = message.get(at + 5..at + 7) == Some(&OPT.to_be_bytes());
        let asked = Asked {
            name: labels.join("."),
            kind,
            datagram,
        };
        let mut log = lock(&self.asked);
        let mut before = 0;
        for (label, log) in log.iter_mut() {
            if labels.contains(label) {
                before = log.iter().filter(|other| **other == asked).count();
                log.push(asked.clone());
            }
        }
        Some(Query {
            id: [message[0], message[1]],
            question,
            asked,
            edns,
            before,
        })
    }

    /// What is sent, and after how long.
    fn replies(&self, query: &Query, say: &Say) -> (Duration, Replies) {
        let at_once = |reply: Reply| (Duration::ZERO, Replies::These(vec![reply.bytes(query)]));
        let truncated = Reply {
            truncated: true,
            ..Reply::default()
        };
        match say {
            Say::Silence => (Duration::ZERO, Replies::None),
            Say::TruncatedThenHangup if !query.asked.datagram => (Duration::ZERO, Replies::Hangup),
            Say::TruncatedThenHangup => at_once(truncated),
            Say::Garbage => (
                Duration::ZERO,
                Replies::These(vec![b"this is no message of DNS".to_vec()]),
            ),
            Say::Late(after, say) => (*after, self.replies(query, say).1),
            Say::ByType(one, other) => {
                let say = if query.asked.kind == "A" { one } else { other };
                self.replies(query, say)
            }
            Say::First(first, later) => {
                let say = if query.before == 0 { first } else { later };
                self.replies(query, say)
            }
            Say::Truncated(_) if query.asked.datagram => at_once(truncated),
            Say::TruncatedPart(part, _) if query.asked.datagram => {
                let mut reply = self.reply(query, part);
                reply.truncated = true;
                at_once(reply)
            }
            Say::TruncatedAlways(say) => {
                let mut reply = self.reply(query, say);
                reply.truncated = true;
                at_once(reply)
            }
            Say::Truncated(say) | Say::TruncatedPart(_, say) => self.replies(query, say),
            Say::WithoutEdns(_) if query.edns => at_once(Reply::code(FORMAT_ERROR)),
            Say::WithoutEdns(say) => self.replies(query, say),
            Say::Cut(say) => {
                let mut bytes = self.reply(query, say).bytes(query);
                bytes.truncate(bytes.len() - 7);
                (Duration::ZERO, Replies::These(vec![bytes]))
            }
            Say::AfterLies(say) => {
                let lie = self.reply(query, &Say::Addresses(&["127.0.0.9", "fd00::9"]));
                let (mut id, mut other) = (lie.bytes(query), lie.bytes(query));
                id[1] ^= 1;
                // The first letter of the name that was asked for.
                other[HEADER + 1] ^= 2;
                let truth = self.reply(query, say).bytes(query);
                (Duration::ZERO, Replies::These(vec![id, other, truth]))
            }
            Say::Shouted(say) => {
                let mut bytes = self.reply(query, say).bytes(query);
                bytes[HEADER..HEADER + query.question.len() - 4].make_ascii_uppercase();
                (Duration::ZERO, Replies::These(vec![bytes]))
            }
            say => at_once(self.reply(query, say)),
        }
    }

    /// The records; aliases are followed.
    fn reply(&self, query: &Query, say: &Say) -> Reply {
        let mut reply = Reply::default();
        let addresses = |reply: &mut Reply, name: &[u8], of: &mut dyn Iterator<Item = IpAddr>| {
            for address in of {
                let (kind, data) = match address {
                    IpAddr::V4(address) => ("A", address.octets().to_vec()),
                    IpAddr::V6(address) => ("AAAA", address.octets().to_vec()),
                };
                if kind == query.asked.kind {
                    let kind = if kind == "A" { A } else { AAAA };
                    reply.records.push(record(name, kind, &data));
                }
            }
        };
        let parsed = |texts: &'static [&str]| texts.iter().map(|text| text.parse().expect("one"));
        // The name of the question.
        let asked: &[u8] = &[0xc0, HEADER as u8];
        match say {
            Say::Addresses(texts) => addresses(&mut reply, asked, &mut parsed(texts)),
            Say::OfAnother(name, texts) => {
                addresses(&mut reply, &wire(name), &mut parsed(texts));
            }
            Say::Many(count) => {
                let mut all = (1..=*count).map(|last| IpAddr::from([127, 0, 0, last]));
                addresses(&mut reply, asked, &mut all);
            }
            Say::Alias(_) | Say::AliasLast(_) => self.follow(query, say, &mut reply),
            Say::NotFound => reply.code = NAME_ERROR,
            Say::Code(code) => reply.code = *code,
            Say::Referral => reply.is_lame = true,
            other => panic!("{other:?} cannot be a part of another answer"),
        }
        reply
    }

    fn follow(&self, query: &Query, say: &Say, reply: &mut Reply) {
        let zones = lock(&self.zones);
        let mut say = say;
        let mut owner = query.question[..query.question.len() - 4].to_vec();
        let mut last = false;
        // As many as a loop of aliases may have.
        for _ in 0..40 {
            match say {
                Say::Alias(name) | Say::AliasLast(name) => {
                    last = last || matches!(say, Say::AliasLast(_));
                    reply.records.push(record(&owner, CNAME, &wire(name)));
                    owner = wire(name);
                    say = zones.get(name).unwrap_or(&Say::NotFound);
                }
                Say::Addresses(texts) => {
                    for text in *texts {
                        let address: IpAddr = text.parse().expect("an address");
                        match address {
                            IpAddr::V4(it) if query.asked.kind == "A" => {
                                reply.records.push(record(&owner, A, &it.octets()));
                            }
                            IpAddr::V6(it) if query.asked.kind == "AAAA" => {
                                reply.records.push(record(&owner, AAAA, &it.octets()));
                            }
                            _ => {}
                        }
                    }
                    break;
                }
                Say::NotFound => {
                    reply.code = NAME_ERROR;
                    break;
                }
                other => panic!("{other:?} cannot be at the end of an alias"),
            }
        }
        if last {
            reply.records.reverse();
        }
    }
}

enum Replies {
    None,
    Hangup,
    These(Vec<Vec<u8>>),
}

/// A message before it is one.
#[derive(Default)]
struct Reply {
    code: u8,
    truncated: bool,
    is_lame: bool,
    records: Vec<Vec<u8>>,
}

impl Reply {
    fn code(code: u8) -> Self {
        Self {
            code,
            ..Self::default()
        }
    }

    /// As an answer to a query. Where there are no records, it says for how long.
    fn bytes(&self, query: &Query) -> Vec<u8> {
        let is_negative = self.records.is_empty() && !self.is_lame && !self.truncated;
        let has_soa = is_negative && matches!(self.code, NO_ERROR | NAME_ERROR);
        let mut bytes = query.id.to_vec();
        // A response to who wished recursion, which is available.
        bytes.push(0x81 | if self.truncated { 2 } else { 0 });
        bytes.push(self.code | if self.is_lame { 0 } else { 0x80 });
        bytes.extend([0, 1]);
        bytes.extend((self.records.len() as u16).to_be_bytes());
        bytes.extend([0, u8::from(has_soa), 0, 0]);
        bytes.extend(&query.question);
        bytes.extend(self.records.concat());
        if has_soa {
            let mut data = [wire("ns.test"), wire("admin.test")].concat();
            for number in [1, 1, 1, 1, TTL] {
                data.extend(number.to_be_bytes());
            }
            bytes.extend(record(&wire("test"), SOA, &data));
        }
        bytes
    }
}

/// A name as it is in a message.
fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

fn record(owner: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend(kind.to_be_bytes());
    // Of the Internet.
    bytes.extend([0, 1]);
    bytes.extend(TTL.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}
