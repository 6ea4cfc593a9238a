//! Places for clients: how many there are, who has one, and who loses it to
//! somebody else.
//!
//! Whoever asks for nothing gives his place to who comes. When there is nobody who
//! does, some more are let as far as the doorstep, where all is answered but what may
//! take long: nobody waits without being told why.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

/// Shortest time for which somebody who has come asks for nothing before his place is
/// given to somebody else: a request may be on its way.
const ARRIVAL: Duration = Duration::from_secs(1);
/// The same of somebody who was answered, who knows the way.
const IDLE: Duration = Duration::from_millis(250);
/// How long it is waited for a place before the next look at who could go.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// For how long all must have been busy before who comes is let no further than the
/// doorstep: those who wait are as many as come in that time.
const PATIENCE: Duration = Duration::from_secs(1);
/// The same where somebody was idle now and then, but nobody who came has found a place
/// at once.
const MOST_PATIENCE: Duration = Duration::from_secs(3);
/// Clients on the doorstep at once, on top of those who have a place.
pub const DOORSTEP: usize = 32;

/// Places of clients.
#[derive(Debug)]
pub struct Places {
    inside: Room,
    doorstep: Room,
    crowd: Mutex<Option<Crowd>>,
}

/// Those who come and find no place.
#[derive(Clone, Copy, Debug)]
struct Crowd {
    /// Since when there is always somebody who waits.
    since: Instant,
    /// Since when nobody who has a place was idle.
    busy_since: Instant,
    /// When that was last looked at.
    seen: Instant,
}

/// Places of one kind.
#[derive(Debug)]
struct Room {
    side: Side,
    free: Arc<Semaphore>,
    lobby: Arc<Lobby>,
}

/// How far somebody is let.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Inside,
    Doorstep,
}

/// What somebody who came has found; let go when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) side: Side,
    lobby: Arc<Lobby>,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    fn new(side: Side, places: usize) -> Self {
        Self {
            side,
            free: Arc::new(Semaphore::new(places)),
            lobby: Arc::default(),
        }
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        Place {
            side: self.side,
            lobby: Arc::clone(&self.lobby),
            _permit: permit,
        }
    }

    /// A place that is free.
    fn take(&self) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned();
        permit.ok().map(|permit| self.place(permit))
    }

    /// The next one that is free.
    async fn wait(&self) -> Place {
        match Arc::clone(&self.free).acquire_owned().await {
            Ok(permit) => self.place(permit),
            // Nobody closes it.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Places {
    /// Places for so many connections at once.
    pub fn new(connections: usize) -> Self {
        Self {
            inside: Room::new(Side::Inside, connections),
            doorstep: Room::new(Side::Doorstep, DOORSTEP),
            crowd: Mutex::new(None),
        }
    }

    /// A place for somebody who has come. Who comes later waits in the system's
    /// queue.
    pub(super) async fn find(&self) -> Place {
        if let Some(place) = self.inside.take() {
            *self.crowd() = None;
            return place;
        }
        loop {
            let idle = self.inside.lobby.send_one_away();
            let found = if self.is_too_much(idle) {
                if let Some(place) = self.doorstep.take() {
                    return place;
                }
                self.doorstep.lobby.send_one_away();
                let either = async {
                    tokio::select! {
                        biased;
                        place = self.inside.wait() => place,
                        place = self.doorstep.wait() => place,
                    }
                };
                tokio::time::timeout(LOOK_AGAIN, either).await
            } else {
                tokio::time::timeout(LOOK_AGAIN, self.inside.wait()).await
            };
            if let Ok(place) = found {
                return place;
            }
        }
    }

    fn crowd(&self) -> MutexGuard<'_, Option<Crowd>> {
        self.crowd.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether who waits is to be told so; `idle` tells whether somebody who has a place
    /// asks for nothing.
    fn is_too_much(&self, idle: bool) -> bool {
        let now = Instant::now();
        let mut crowd = self.crowd();
        // Who comes is looked after one by one, without a gap while there are more.
        let before = crowd.filter(|crowd| now - crowd.seen <= 2 * LOOK_AGAIN);
        let Crowd {
            since, busy_since, ..
        } = before.unwrap_or(Crowd {
            since: now,
            busy_since: now,
            seen: now,
        });
        let busy_since = if idle { now } else { busy_since };
        *crowd = Some(Crowd {
            since,
            busy_since,
            seen: now,
        });
        now - busy_since >= PATIENCE || now - since >= MOST_PATIENCE
    }
}

/// When somebody's place may be given to somebody else, and a number of his own.
type Turn = (Instant, u64);

/// Those who have a place and ask for nothing, by when they may be sent away.
#[derive(Debug, Default)]
struct Lobby {
    /// How each is told to go.
    idle: Mutex<BTreeMap<Turn, watch::Sender<bool>>>,
    next: AtomicU64,
}

impl Lobby {
    fn idle(&self) -> MutexGuard<'_, BTreeMap<Turn, watch::Sender<bool>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends away whose time has come first, if it has come: somebody else wants the
    /// place. Tells whether anybody was idle, for however short.
    fn send_one_away(&self) -> bool {
        let mut idle = self.idle();
        let Some(first) = idle.first_entry() else {
            return false;
        };
        let (at, _) = *first.key();
        if at <= Instant::now() {
            first.remove().send_replace(true);
        }
        true
    }
}

/// Somebody who has a place.
#[derive(Debug)]
pub(super) struct Guest {
    lobby: Arc<Lobby>,
    /// Tells that the place is wanted.
    away: watch::Sender<bool>,
    /// Its place in the lobby, while it is idle.
    turn: Mutex<Option<Turn>>,
    /// How many requests are being answered; a change of it is a sign of life.
    pub(super) under_way: watch::Sender<usize>,
}

impl Guest {
    pub(super) fn enter(place: &Place) -> Self {
        let guest = Self {
            lobby: Arc::clone(&place.lobby),
            away: watch::Sender::new(false),
            turn: Mutex::new(None),
            under_way: watch::Sender::new(0),
        };
        guest.rest(match place.side {
            Side::Inside => ARRIVAL,
            // Many wait there, and nobody for long.
            Side::Doorstep => IDLE,
        });
        guest
    }

    fn turn(&self) -> MutexGuard<'_, Option<Turn>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It asks for nothing from now on, and may do so for `time` in any case.
    fn rest(&self, time: Duration) {
        let number = self.lobby.next.fetch_add(1, Ordering::Relaxed);
        let turn = (Instant::now() + time, number);
        *self.turn() = Some(turn);
        self.lobby.idle().insert(turn, self.away.clone());
    }

    /// It is not idle, or not there any more.
    fn rise(&self) {
        if let Some(turn) = self.turn().take() {
            self.lobby.idle().remove(&turn);
        }
    }

    /// The router, with a note of how many requests it answers.
    pub(super) fn served_by(
        self: Arc<Self>,
        router: Router,
    ) -> impl hyper::service::Service<
        hyper::Request<Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future = impl Future<Output = Result<axum::response::Response, std::convert::Infallible>> + Send,
    > + use<> {
        let service = TowerToHyperService::new(router);
        service_fn(move |asked: hyper::Request<Incoming>| {
            let request = Request::begin(&self);
            let answer = service.call(asked);
            async move {
                let _request = request;
                answer.await
            }
        })
    }

    /// Ends when the place is wanted for somebody else.
    pub(super) async fn is_sent_away(&self) {
        let _ = self.away.subscribe().wait_for(|away| *away).await;
    }

    /// Ends when the place is wanted and nothing was ever asked.
    pub(super) async fn is_useless(&self) {
        let mut busy = self.under_way.subscribe();
        tokio::select! {
            biased;
            // An error would mean that it is gone.
            _ = busy.changed() => std::future::pending().await,
            () = self.is_sent_away() => {}
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.rise();
    }
}

/// A request that is being answered; over when it is dropped.
struct Request(Arc<Guest>);

impl Request {
    fn begin(guest: &Arc<Guest>) -> Self {
        // Within, so that no other request ends meanwhile.
        guest.under_way.send_modify(|count| {
            guest.rise();
            *count += 1;
        });
        Self(Arc::clone(guest))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| {
            *count -= 1;
            if *count == 0 {
                self.0.rest(IDLE);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places that are all taken, by so many guests.
    async fn taken(count: usize) -> (Arc<Places>, Vec<(Place, Arc<Guest>)>) {
        let places = Arc::new(Places::new(count));
        let mut guests = Vec::new();
        for _ in 0..count {
            let place = places.find().await;
            let guest = Arc::new(Guest::enter(&place));
            guests.push((place, guest));
        }
        (places, guests)
    }

    /// Goes when it is sent away.
    fn obey((place, guest): (Place, Arc<Guest>)) {
        tokio::spawn(async move {
            guest.is_sent_away().await;
            drop(place);
        });
    }

    /// Runs a test on a clock of its own, which goes on when everybody waits.
    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.unwrap().block_on(test);
    }

    async fn after(seconds: f64) {
        tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
    }

    async fn waited(places: &Places) -> (Side, f64) {
        let begun = Instant::now();
        let place = places.find().await;
        (place.side, begun.elapsed().as_secs_f64())
    }

    #[test]
    fn who_comes_while_all_are_busy_is_let_to_the_doorstep_after_a_second() {
        run(async {
            let (places, guests) = taken(2).await;
            let busy: Vec<_> = guests.iter().map(|(_, it)| Request::begin(it)).collect();
            let (side, time) = waited(&places).await;
            assert_eq!(side, Side::Doorstep);
            assert!((1.0..1.2).contains(&time), "{time}");
            // And so is, at once, who comes right after it.
            assert_eq!(waited(&places).await, (Side::Doorstep, 0.0));
            // Not somebody who comes later: others may have come and gone meanwhile.
            after(5.0).await;
            let (side, time) = waited(&places).await;
            assert!(side == Side::Doorstep && time >= 1.0, "{side:?} {time}");
            drop(busy);
        });
    }

    #[test]
    fn who_was_answered_gives_his_place_though_all_were_busy_a_moment_ago() {
        run(async {
            let (places, guests) = taken(3).await;
            let busy: Vec<_> = guests.iter().map(|(_, it)| Request::begin(it)).collect();
            guests.into_iter().for_each(obey);
            tokio::spawn(async {
                after(0.9).await;
                drop(busy);
            });
            let (side, time) = waited(&places).await;
            assert_eq!(side, Side::Inside);
            assert!((0.9 + 0.25..1.4).contains(&time), "{time}");
        });
    }

    #[test]
    fn who_has_just_come_keeps_his_place_for_a_second() {
        run(async {
            let (places, guests) = taken(3).await;
            guests.into_iter().for_each(obey);
            let (side, time) = waited(&places).await;
            assert_eq!(side, Side::Inside);
            assert!((1.0..1.2).contains(&time), "{time}");
        });
    }

    /// Clients that ask again and again keep their places, but nobody waits for ever.
    #[test]
    fn nobody_waits_for_ever_beside_clients_that_hardly_rest() {
        run(async {
            let (places, guests) = taken(2).await;
            for (_, guest) in &guests {
                let guest = Arc::clone(guest);
                tokio::spawn(async move {
                    loop {
                        let request = Request::begin(&guest);
                        after(0.3).await;
                        drop(request);
                        after(0.15).await;
                    }
                });
            }
            let (side, time) = waited(&places).await;
            assert_eq!(side, Side::Doorstep);
            assert!((1.0..3.2).contains(&time), "{time}");
        });
    }

    #[test]
    fn a_doorstep_full_of_the_silent_lets_others_in() {
        run(async {
            let (places, guests) = taken(1).await;
            let _busy = Request::begin(&guests[0].1);
            for _ in 0..DOORSTEP {
                let place = places.find().await;
                assert_eq!(place.side, Side::Doorstep);
                let guest = Arc::new(Guest::enter(&place));
                obey((place, guest));
            }
            let begun = Instant::now();
            for _ in 0..3 * DOORSTEP {
                let place = places.find().await;
                let guest = Arc::new(Guest::enter(&place));
                obey((place, guest));
            }
            let time = begun.elapsed().as_secs_f64();
            assert!(time < 1.5, "{time}");
        });
    }
}
