//! The floor: connect, send, read, close, straight on epoll, and nothing else.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::cpu::{Since, Used};

/// Longest time without any event.
const PATIENCE: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// What each connection is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exchange<'a> {
    /// Connected is enough.
    Connect,
    /// This is sent, and read until the peer closes.
    Request(&'a [u8]),
}

/// Runs for `round` with so many connections at once: how many were completed,
/// and what that took.
pub(crate) fn run(
    round: Duration,
    in_flight: u32,
    places: &[SocketAddrV4],
    exchange: Exchange<'_>,
) -> io::Result<(u64, Used)> {
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    let mut conns: Vec<Option<OwnedFd>> = (0..in_flight).map(|_| None).collect();
    let mut next = 0;
    for slot in 0..conns.len() {
        open(&poll, &mut conns, slot, places, &mut next)?;
    }
    let mut events = Vec::with_capacity(1_024);
    let mut buffer = [0; 4_096];
    let mut done = 0;
    let since = Since::now();
    let end = Instant::now() + round;
    while Instant::now() < end {
        events.clear();
        let room = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&poll, room, Some(&PATIENCE)) {
            Err(Errno::INTR) => continue,
            Ok(0) => return Err(io::Error::other("the servers do not answer the bare loop")),
            other => other?,
        };
        for event in &events {
            let slot = event.data.u64() as usize;
            let (Some(fd), flags) = (&conns[slot], event.flags) else {
                continue;
            };
            if flags.contains(EventFlags::ERR) {
                return Err(io::Error::other("a connection of the bare loop failed"));
            }
            match exchange {
                Exchange::Connect if flags.contains(EventFlags::OUT) => {}
                Exchange::Request(request) => {
                    if flags.contains(EventFlags::IN) {
                        // The answer and its end come together, or the end is a
                        // read of its own, as for the engine.
                        match rustix::io::read(fd, &mut buffer) {
                            Ok(_) => {}
                            Err(Errno::AGAIN) => continue,
                            Err(error) => return Err(error.into()),
                        }
                    } else {
                        rustix::io::write(fd, request)?;
                        continue;
                    }
                }
                Exchange::Connect => continue,
            }
            done += 1;
            conns[slot] = None;
            open(&poll, &mut conns, slot, places, &mut next)?;
        }
    }
    Ok((done, since.used()))
}

fn open(
    poll: &OwnedFd,
    conns: &mut [Option<OwnedFd>],
    slot: usize,
    places: &[SocketAddrV4],
    next: &mut usize,
) -> io::Result<()> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    let place = places[*next % places.len()];
    *next += 1;
    match connect(&fd, &place) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let wanted = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
    epoll::add(poll, &fd, EventData::new_u64(slot as u64), wanted)?;
    conns[slot] = Some(fd);
    Ok(())
}
