//! Sockets against a peer on the loopback that reads, does not, or leaves.

use std::net::TcpListener;
use std::net::TcpStream as Peer;

use super::*;
use crate::limits::EVENTS;

fn net() -> Net {
    let poll = Poll::new().expect("an epoll");
    Net::new(poll, Arc::new(Clock::new()))
}

/// A connection, and its other end.
fn pair() -> (Net, Key, Peer) {
    let mut net = net();
    let (key, peer) = connection(&mut net, 0);
    (net, key, peer)
}

/// The only connection of a run, and its other end.
fn connection(net: &mut Net, run: u64) -> (Key, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let (run, conn) = (RunId::from_bits(run), Conn(0));
    let endpoint = Endpoint {
        transport: Transport::Tcp,
        to: listener.local_addr().expect("its address"),
        from: None,
    };
    net.open(run, conn, endpoint);
    let (peer, _) = listener.accept().expect("a connection");
    let key = net.sockets.find(run, conn).expect("it is open");
    let mut events = Events::with_capacity(8);
    while let Connect::Pending = net.connected(key, false) {
        net.wait(&mut events, None);
    }
    (key, peer)
}

/// What reading to the end yields: all bytes, and how it ends.
fn drain(net: &mut Net, key: Key) -> (Vec<u8>, Got) {
    let (mut all, mut buffer) = (Vec::new(), [0; 64]);
    loop {
        match net.read(key, &mut buffer) {
            Got::Bytes(len, _) => all.extend_from_slice(&buffer[..len]),
            other => return (all, other),
        }
    }
}

/// Writes until the kernel says that it is of no use.
fn write_until_broken(net: &mut Net, key: Key) {
    while net.sockets.get_mut(key).expect("open").broken.is_none() {
        net.write(key, b"more");
        std::thread::yield_now();
    }
    assert_eq!(net.next_revisit(), Some(key), "no event may tell");
}

/// Begins to connect, and waits for the first event, or for a tenth of a second.
fn first_event(net: &mut Net, run: u64, to: SocketAddr) -> (Key, Events) {
    let (run, conn) = (RunId::from_bits(run), Conn(0));
    let endpoint = Endpoint {
        transport: Transport::Tcp,
        to,
        from: None,
    };
    net.open(run, conn, endpoint);
    let key = net.sockets.find(run, conn).expect("it is open");
    let mut events = Events::with_capacity(8);
    net.wait(&mut events, Some(Duration::from_millis(100)));
    (key, events)
}

#[cfg(target_os = "linux")]
#[test]
fn an_event_says_by_itself_that_a_connection_is_up_and_never_that_of_another() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let place = listener.local_addr().expect("its address");
    let mut net = net();
    let (key, events) = first_event(&mut net, 0, place);
    assert!(events.iter().all(is_up) && !events.is_empty(), "{events:?}");
    assert!(matches!(net.connected(key, true), Connect::Done(..)));
    net.write(key, b"to somebody");
    assert!(net.sockets.get_mut(key).expect("open").broken.is_none());
    // One that has sent its last word before we look is up nevertheless.
    let (mut peer, _) = listener.accept().expect("a connection");
    peer.write_all(b"and gone").expect("sent");
    drop((peer, listener));
    let (other, events) = first_event(&mut net, 1, place);
    let mut refused = events.iter().filter(|it| it.token() == other.into());
    assert!(refused.next().is_some_and(|it| !is_up(it)), "{events:?}");
}

/// A socket that nobody has connected is what a system that wakes for nothing would
/// show.
#[cfg(target_os = "linux")]
#[test]
fn no_event_says_that_a_connection_is_up_which_is_not() {
    let mut net = net();
    let idle = socket2::Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None);
    let mut idle = TcpStream::from_std(idle.expect("a socket").into());
    let registry = net.poll.registry();
    let both = Interest::READABLE | Interest::WRITABLE;
    registry
        .register(&mut idle, mio::Token(7), both)
        .expect("room");
    let mut events = Events::with_capacity(8);
    net.wait(&mut events, Some(Duration::from_millis(100)));
    assert!(events.iter().any(Event::is_writable), "{events:?}");
    assert!(!events.iter().any(is_up), "{events:?}");
    drop(idle);
    // A listener whose queue is full answers nobody.
    let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .expect("an address");
    listener.listen(0).expect("it listens");
    let place = listener
        .local_addr()
        .expect("its address")
        .as_socket()
        .expect("of IP");
    let mut pending = 0;
    for run in 0..4 {
        let (key, events) = first_event(&mut net, run, place);
        let mut own = events.iter().filter(|it| it.token() == key.into());
        let up = own.any(is_up);
        assert_eq!(
            up,
            matches!(net.connected(key, false), Connect::Done(..)),
            "{events:?}"
        );
        pending += u32::from(!up);
    }
    assert!(pending > 0, "the queue has room for four");
}

#[test]
fn a_reset_that_a_write_meets_is_not_taken_for_an_end() {
    let (mut net, key, mut peer) = pair();
    peer.write_all(b"half").expect("sent");
    socket2::SockRef::from(&peer)
        .set_linger(Some(Duration::ZERO))
        .expect("a reset instead of a FIN");
    drop(peer);
    write_until_broken(&mut net, key);
    let (_, got) = drain(&mut net, key);
    assert!(matches!(got, Got::Over(Closed::Reset)), "{got:?}");
}

#[test]
fn nothing_that_is_written_waits_for_an_acknowledgement() {
    let nodelay = |net: &mut Net, key| match &net.sockets.get_mut(key).expect("open").io {
        Io::Stream(stream, _) => stream.nodelay().expect("an option"),
        Io::Datagrams(_) => panic!("a stream was opened"),
    };
    let (mut net, key, _peer) = pair();
    net.write(key, b"a request");
    assert!(!nodelay(&mut net, key), "one system call less");
    net.write(key, b"another");
    assert!(nodelay(&mut net, key));
    let (mut net, key, _peer) = pair();
    net.write(key, &[b'x'; 10_000]);
    assert!(nodelay(&mut net, key), "the last segment is short");
}

#[test]
fn closed_sockets_do_not_wait_to_be_looked_at_again() {
    let (mut net, kept, _peer) = pair();
    net.look_again(kept);
    for run in 1..100 {
        let from = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let (run, conn) = (RunId::from_bits(run), Conn(0));
        let endpoint = Endpoint {
            transport: Transport::Udp,
            to: from.local_addr().expect("its address"),
            from: None,
        };
        net.open(run, conn, endpoint);
        let key = net.sockets.find(run, conn).expect("it is open");
        net.look_again(key);
        net.close(run, conn);
        assert!(net.revisits() <= 4, "{}", net.revisits());
    }
    assert_eq!(net.next_revisit(), Some(kept), "in its turn");
    assert_eq!(net.next_revisit(), None, "and nothing but open ones");
}

/// What a worker does in one.
fn turn(net: &mut Net, keys: &[Key], events: &mut Events) {
    let patience = net.has_work().then_some(Duration::ZERO);
    net.wait(events, patience);
    for event in &*events {
        let key = Key::from(event.token());
        assert!(keys.contains(&key));
        if event.is_writable() {
            net.goes_on(key);
        }
    }
    net.send_on();
}

/// How much of the body of each has gone, in TLS or without.
fn gone(net: &mut Net, keys: &[Key]) -> Vec<usize> {
    let gone = |key: &Key| net.sockets.get_mut(*key).expect("open").queue[0].sent;
    keys.iter().map(gone).collect()
}

#[test]
fn large_bodies_share_a_turn_and_go_on_in_order() {
    const BODIES: usize = 32;
    let mut net = net();
    let ends = (0..BODIES as u64).map(|run| connection(&mut net, run));
    let (keys, peers): (Vec<_>, Vec<_>) = ends.unzip();
    for key in &keys {
        if let Io::Stream(stream, _) = &net.sockets.get_mut(*key).expect("open").io {
            let room = socket2::SockRef::from(stream).set_send_buffer_size(4 * PIECE);
            room.expect("an option");
        }
    }
    let body = Arc::from(vec![b'x'; 2 << 20]);
    for run in 0..BODIES as u64 {
        let (run, conn) = (RunId::from_bits(run), Conn(0));
        net.send(run, conn, Bytes::whole(&body));
    }
    assert_eq!(gone(&mut net, &keys), [0; BODIES], "none goes first");
    // The kernel has room for two pieces of each though nobody reads.
    let (rounds, mut before) = (2, 0);
    for _ in 0..(rounds * BODIES * PIECE).div_ceil(SENT_PER_TURN) {
        net.send_on();
        let gone = gone(&mut net, &keys);
        let sum = gone.iter().sum();
        assert!((1..SENT_PER_TURN + PIECE).contains(&(sum - before)));
        let (least, most) = (gone.iter().min(), gone.iter().max());
        assert!(most <= least.map(|least| least + PIECE).as_ref());
        before = sum;
    }
    assert!(before >= rounds * BODIES * PIECE);
    // It ends when the kernel has no more room, and nobody spins.
    while net.has_work() {
        net.send_on();
    }
    assert!(gone(&mut net, &keys).iter().all(|gone| *gone < body.len()));
    let readers = peers.into_iter().map(|mut peer| {
        std::thread::spawn(move || io::copy(&mut peer, &mut io::sink()).expect("all of it"))
    });
    let readers: Vec<_> = readers.collect();
    let mut events = Events::with_capacity(EVENTS);
    let is_busy =
        |net: &mut Net, key: &Key| net.sockets.get_mut(*key).is_some_and(|it| it.has_unsent());
    while keys.iter().any(|key| is_busy(&mut net, key)) {
        turn(&mut net, &keys, &mut events);
    }
    drop(net);
    for reader in readers {
        assert_eq!(reader.join().expect("a reader"), body.len() as u64);
    }
}

#[test]
fn a_dialogue_waits_for_nobody() {
    let mut net = net();
    let (_, _large) = connection(&mut net, 0);
    let (dialogue, mut told) = connection(&mut net, 1);
    let conn = Conn(0);
    let body = Arc::from(vec![b'x'; 64 << 20]);
    net.send(RunId::from_bits(0), conn, Bytes::whole(&body));
    // Another is before it, and the turn is used up.
    net.allowance = 0;
    let long = vec![b'y'; 2 * PIECE];
    net.send(RunId::from_bits(1), conn, Bytes::Lent(&long));
    let socket = net.sockets.get_mut(dialogue).expect("open");
    assert!(!socket.has_unsent());
    // What comes next does not overtake it.
    net.close(RunId::from_bits(1), conn);
    let mut came = Vec::new();
    told.read_to_end(&mut came).expect("an orderly end");
    assert!(came == long, "{} of {} bytes", came.len(), long.len());
    net.close(RunId::from_bits(0), conn);
    net.send_on();
    assert!(!net.has_work(), "nobody is left in line");
}

#[test]
fn somebody_goes_on_however_busy_the_others_are() {
    let (mut net, key, _peer) = pair();
    let (run, conn) = (RunId::from_bits(0), Conn(0));
    let body = Arc::from(vec![b'x'; 3 * PIECE]);
    net.send(run, conn, Bytes::whole(&body));
    net.allowance = 0;
    net.send_on();
    assert_eq!(gone(&mut net, &[key]), [PIECE]);
    assert_eq!(net.allowance, SENT_PER_TURN, "the next turn is another");
    assert!(net.has_work());
}

/// Time in the line is ours, time without room in the kernel is the peer's.
#[test]
fn the_line_says_how_long_who_stood_in_it() {
    let (mut net, key, _peer) = pair();
    let (run, conn) = (RunId::from_bits(0), Conn(0));
    let body = Arc::from(vec![b'x'; MUCH]);
    net.send(run, conn, Bytes::whole(&body));
    let wait = Duration::from_millis(20);
    std::thread::sleep(wait);
    net.send_on();
    let lines = mem::take(&mut net.lines);
    let [(_, Line::Since(since)), (_, Line::Until(until)), ..] = lines[..] else {
        panic!("{lines:?}");
    };
    assert!(until - since >= wait);
    assert!(lines.iter().all(|(whose, _)| *whose == run));
    while net.has_work() {
        net.send_on();
    }
    let socket = net.sockets.get_mut(key).expect("open");
    assert!(socket.has_unsent(), "nobody reads");
    let last = net.lines.last().map(|(_, line)| *line);
    assert!(matches!(last, Some(Line::Until(_))), "{last:?}");
}

#[test]
fn a_body_waits_where_it_is_until_the_kernel_takes_it() {
    let (mut net, key, mut peer) = pair();
    let (run, conn) = (RunId::from_bits(0), Conn(0));
    let body: Arc<[u8]> = (0..24 << 20).map(|at: u32| (at >> 8) as u8).collect();
    net.send(run, conn, Bytes::Lent(b"head"));
    net.send(run, conn, Bytes::whole(&body));
    net.send(run, conn, Bytes::Lent(b"end"));
    while net.has_work() {
        net.send_on();
    }
    let socket = net.sockets.get_mut(key).expect("open");
    assert!(socket.has_unsent(), "nobody reads");
    assert!(socket.unsent.capacity() <= PIECE);
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        peer.read_to_end(&mut all).expect("all of it");
        all
    });
    let mut events = Events::with_capacity(8);
    while net.sockets.get_mut(key).expect("open").has_unsent() {
        turn(&mut net, &[key], &mut events);
        let socket = net.sockets.get_mut(key).expect("open");
        assert!(socket.unsent.capacity() <= PIECE);
    }
    net.close(run, conn);
    let all = reader.join().expect("a reader");
    assert_eq!(all.len(), body.len() + 7);
    assert!(all == [b"head", &body[..], b"end"].concat(), "in order");
    assert_eq!(Arc::strong_count(&body), 1, "given back");
}

#[test]
fn an_end_stays_one_though_more_was_written() {
    let (mut net, key, mut peer) = pair();
    peer.write_all(b"all of it").expect("sent");
    drop(peer);
    write_until_broken(&mut net, key);
    let (bytes, got) = drain(&mut net, key);
    assert_eq!(bytes, b"all of it");
    assert!(matches!(got, Got::End), "{got:?}");
}

/// More than the kernel takes for somebody who does not read.
const MUCH: usize = 16 << 20;

#[test]
fn a_flush_is_over_when_the_kernel_has_taken_everything() {
    let (mut net, key, mut peer) = pair();
    let (run, conn) = (RunId::from_bits(0), Conn(0));
    net.send(run, conn, Bytes::Lent(b"few"));
    assert!(net.flush(run, conn), "there is room");
    peer.write_all(b"an answer").expect("sent");
    net.send(run, conn, Bytes::Lent(&vec![b'x'; MUCH]));
    assert!(!net.flush(run, conn));
    let reader = std::thread::spawn(move || {
        let mut all = vec![0; MUCH + 3];
        peer.read_exact(&mut all).expect("all of it");
        peer
    });
    let mut events = Events::with_capacity(8);
    while net.told.is_empty() {
        let (bytes, got) = drain(&mut net, key);
        assert!(bytes.is_empty(), "what is read may be the end");
        assert!(matches!(got, Got::Nothing), "{got:?}");
        turn(&mut net, &[key], &mut events);
    }
    let (_, told) = net.told.pop_front().expect("something");
    assert!(matches!(told, Told::Flushed(it) if it == conn), "{told:?}");
    assert!(!net.sockets.get_mut(key).expect("open").has_unsent());
    assert_eq!(net.next_revisit(), Some(key), "no event may tell");
    assert_eq!(drain(&mut net, key).0, b"an answer");
    drop(reader.join().expect("a reader"));
}

#[test]
fn who_leaves_before_a_flush_is_over_has_not_ended_in_order() {
    let (mut net, key, peer) = pair();
    let (run, conn) = (RunId::from_bits(0), Conn(0));
    net.send(run, conn, Bytes::Lent(&vec![b'x'; MUCH]));
    assert!(!net.flush(run, conn));
    drop(peer);
    let mut events = Events::with_capacity(8);
    let end = loop {
        turn(&mut net, &[key], &mut events);
        match drain(&mut net, key) {
            (_, Got::Nothing) => {}
            (_, got) => break got,
        }
    };
    assert!(matches!(end, Got::Over(Closed::Reset)), "{end:?}");
    assert!(net.told.is_empty());
}
