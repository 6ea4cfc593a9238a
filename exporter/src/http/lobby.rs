//! Places for clients: how many there are, who has one, and who loses it to
//! somebody else.
//!
//! Whoever asks for nothing gives his place to who comes. When all are taken by
//! requests under way, some more are let as far as the doorstep, where all is
//! answered but what may take long: nobody waits without being told why.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Shortest time for which somebody asked for nothing before his place is given to
/// somebody else: a request may be on its way.
const IDLE: Duration = Duration::from_secs(1);
/// How long it is waited for a place before the next look at who could go.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// For how long nobody who came has found a place at once before who comes is let no
/// further than the doorstep: those who wait are as many as come in that time.
const PATIENCE: Duration = Duration::from_secs(1);
/// Clients on the doorstep at once, on top of those who have a place.
pub const DOORSTEP: usize = 32;

/// Places of clients.
#[derive(Debug)]
pub struct Places {
    inside: Room,
    doorstep: Room,
    /// Since when nobody who came has found a place at once.
    full_since: Mutex<Option<Instant>>,
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

    /// One that is free before it is time to look again.
    async fn wait(&self) -> Option<Place> {
        let permit = Arc::clone(&self.free).acquire_owned();
        let permit = tokio::time::timeout(LOOK_AGAIN, permit).await;
        // Nobody closes it.
        permit.ok()?.ok().map(|permit| self.place(permit))
    }
}

impl Places {
    /// Places for so many connections at once.
    pub fn new(connections: usize) -> Self {
        Self {
            inside: Room::new(Side::Inside, connections),
            doorstep: Room::new(Side::Doorstep, DOORSTEP),
            full_since: Mutex::new(None),
        }
    }

    /// A place for somebody who has come. Who comes later waits in the system's
    /// queue.
    pub(super) async fn find(&self) -> Place {
        if let Some(place) = self.inside.take() {
            *self.full_since() = None;
            return place;
        }
        loop {
            if !self.inside.lobby.send_one_away() && self.is_full_for(PATIENCE) {
                if let Some(place) = self.doorstep.take() {
                    return place;
                }
                self.doorstep.lobby.send_one_away();
            }
            if let Some(place) = self.inside.wait().await {
                return place;
            }
        }
    }

    fn full_since(&self) -> MutexGuard<'_, Option<Instant>> {
        let full_since = self.full_since.lock();
        full_since.unwrap_or_else(PoisonError::into_inner)
    }

    fn is_full_for(&self, time: Duration) -> bool {
        let mut since = self.full_since();
        since.get_or_insert_with(Instant::now).elapsed() >= time
    }
}

/// Those who have a place and ask for nothing, by how long.
#[derive(Debug, Default)]
struct Lobby {
    /// Since when, and how each is told to go. Numbers grow with time.
    idle: Mutex<BTreeMap<u64, (Instant, watch::Sender<bool>)>>,
    next: AtomicU64,
}

impl Lobby {
    fn idle(&self) -> MutexGuard<'_, BTreeMap<u64, (Instant, watch::Sender<bool>)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends away who has been idle longest, if that is long enough: somebody else
    /// wants the place. Tells whether there was anybody.
    fn send_one_away(&self) -> bool {
        let mut idle = self.idle();
        match idle.first_entry() {
            Some(first) if first.get().0.elapsed() >= IDLE => {
                first.remove().1.send_replace(true);
                true
            }
            _ => false,
        }
    }
}

/// Somebody who has a place.
#[derive(Debug)]
pub(super) struct Guest {
    lobby: Arc<Lobby>,
    /// Tells that the place is wanted.
    away: watch::Sender<bool>,
    /// The number in the lobby, while it is idle.
    number: Mutex<Option<u64>>,
    /// How many requests are being answered; a change of it is a sign of life.
    pub(super) under_way: watch::Sender<usize>,
}

impl Guest {
    pub(super) fn enter(place: &Place) -> Self {
        let guest = Self {
            lobby: Arc::clone(&place.lobby),
            away: watch::Sender::new(false),
            number: Mutex::new(None),
            under_way: watch::Sender::new(0),
        };
        guest.rest();
        guest
    }

    fn number(&self) -> MutexGuard<'_, Option<u64>> {
        self.number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It asks for nothing from now on.
    fn rest(&self) {
        let next = self.lobby.next.fetch_add(1, Ordering::Relaxed);
        *self.number() = Some(next);
        let now = Instant::now();
        self.lobby.idle().insert(next, (now, self.away.clone()));
    }

    /// It is not idle, or not there any more.
    fn rise(&self) {
        if let Some(number) = self.number().take() {
            self.lobby.idle().remove(&number);
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
                self.0.rest();
            }
        });
    }
}
