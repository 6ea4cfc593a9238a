//! Who may ask: names and bcrypt hashes of passwords.
//!
//! One hash is worked out at a time, on a blocking thread, and its result
//! remembered: a scrape should not cost fifty milliseconds of CPU. Names that
//! do not exist take as long as those that do.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::alphabet::BCRYPT;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, STANDARD};
use probity_engine::config::{ConfigError, Secret};
use ring::digest;
use tokio::sync::Semaphore;

/// Results of either kind that are remembered.
const REMEMBERED: usize = 100;
/// Requests that may wait for a hash.
const WAITING: usize = 64;
/// Largest cost that is taken: 2^16 rounds are some seconds.
const MAX_COST: u32 = 16;
/// What bcrypt reads of a password, with the NUL at its end.
const MAX_PASSWORD: usize = 72;

/// The last bits of a salt are not used, and some programs leave them set.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&BCRYPT, NO_PAD.with_decode_allow_trailing_bits(true));

/// The users of one version of the file.
#[derive(Debug, Default)]
pub(super) struct Users {
    hashes: BTreeMap<String, Hash>,
}

/// What has been worked out, over all versions.
#[derive(Debug)]
pub(super) struct Checks {
    waiting: Arc<Semaphore>,
    working: Arc<Semaphore>,
    known: Arc<Mutex<Known>>,
}

/// Digests of a name, its hash and a password. The wrong ones have a place of
/// their own, so that guessing does not push out the right ones.
#[derive(Debug, Default)]
struct Known {
    right: HashSet<[u8; 32]>,
    wrong: HashSet<[u8; 32]>,
}

impl Known {
    fn insert(&mut self, key: [u8; 32], right: bool) {
        let results = if right {
            &mut self.right
        } else {
            &mut self.wrong
        };
        if results.len() >= REMEMBERED {
            results.clear();
        }
        results.insert(key);
    }
}

/// A hash as `htpasswd -B` writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hash {
    cost: u32,
    salt: [u8; 16],
    /// What has to come out; `None` is of no password.
    digest: Option<[u8; 23]>,
}

/// What is made of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Known,
    Unknown,
    /// Too many wait to be looked at.
    Busy,
}

impl Hash {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let expected = "expected a bcrypt hash ($2y$cost$...)";
        let mut parts = text.split('$');
        let (Some(""), Some("2a" | "2b" | "2y"), Some(cost), Some(rest), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(expected);
        };
        let cost: u32 = cost.parse().map_err(|_| expected)?;
        if !(4..=MAX_COST).contains(&cost) {
            return Err("expected a bcrypt hash with a cost from 4 to 16");
        }
        let (salt, digest) = rest.split_at_checked(22).ok_or(expected)?;
        let decode = |text: &str| BASE64.decode(text).map_err(|_| expected);
        Ok(Self {
            cost,
            salt: decode(salt)?.try_into().map_err(|_| expected)?,
            digest: Some(decode(digest)?.try_into().map_err(|_| expected)?),
        })
    }

    /// Takes the same time whatever the answer.
    fn is_of(&self, password: &[u8]) -> bool {
        let mut password = password.to_vec();
        password.push(0);
        password.truncate(MAX_PASSWORD);
        let found = bcrypt::bcrypt(self.cost, self.salt, &password);
        // All of it, however early it differs.
        let differs = found.iter().zip(self.digest.unwrap_or_default());
        let same = differs.fold(0, |all, (a, b)| all | (a ^ b)) == 0;
        same & self.digest.is_some()
    }
}

impl Users {
    pub(super) fn parse(written: BTreeMap<String, Secret>) -> Result<Self, ConfigError> {
        let parse = |(name, hash): (String, Secret)| match Hash::parse(hash.reveal()) {
            Ok(hash) => Ok((name, hash)),
            Err(why) => Err(ConfigError::new(&name, why)),
        };
        let hashes = written.into_iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { hashes })
    }

    fn costliest(&self) -> u32 {
        let costs = self.hashes.values().map(|hash| hash.cost);
        costs.max().unwrap_or(10)
    }

    /// Whether anybody may ask.
    pub(super) fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(WAITING)),
            working: Arc::new(Semaphore::new(1)),
            known: Arc::default(),
        }
    }
}

impl Checks {
    /// Judges the value of an `Authorization` header.
    pub(super) async fn check(&self, users: &Users, header: Option<&[u8]>) -> Verdict {
        let Some((name, password)) = header.and_then(credentials) else {
            return Verdict::Unknown;
        };
        // As much work for a name that does not exist as for any that does.
        let hash = users.hashes.get(&name).cloned().unwrap_or_else(|| Hash {
            cost: users.costliest(),
            salt: [0; 16],
            digest: None,
        });
        let key = key(&name, &hash, &password);
        if let Some(verdict) = self.remembered(&key) {
            return verdict;
        }
        let Ok(place) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return Verdict::Busy;
        };
        let Ok(turn) = Arc::clone(&self.working).acquire_owned().await else {
            // Nobody closes it.
            return Verdict::Busy;
        };
        // Whoever was before us may have asked the same.
        if let Some(verdict) = self.remembered(&key) {
            return verdict;
        }
        let known = Arc::clone(&self.known);
        // A client that leaves does not end the work: it keeps its place and
        // its turn until that is done.
        let worked = tokio::task::spawn_blocking(move || {
            let right = hash.is_of(&password);
            known
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(key, right);
            drop((turn, place));
            right
        });
        match worked.await {
            Ok(true) => Verdict::Known,
            _ => Verdict::Unknown,
        }
    }

    fn remembered(&self, key: &[u8; 32]) -> Option<Verdict> {
        let known = self.known();
        if known.right.contains(key) {
            return Some(Verdict::Known);
        }
        known.wrong.contains(key).then_some(Verdict::Unknown)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Name and password of RFC 7617.
fn credentials(header: &[u8]) -> Option<(String, Arc<[u8]>)> {
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = STANDARD.decode(encoded).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let name = String::from_utf8_lossy(&decoded[..colon]).into_owned();
    Some((name, decoded[colon + 1..].into()))
}

fn key(name: &str, hash: &Hash, password: &[u8]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(name.len() as u64).to_le_bytes());
    context.update(name.as_bytes());
    context.update(&hash.cost.to_le_bytes());
    context.update(&hash.salt);
    context.update(&hash.digest.unwrap_or_default());
    context.update(password);
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(password: &str) -> String {
        let salt = [7; 16];
        let mut bytes = password.as_bytes().to_vec();
        bytes.push(0);
        bytes.truncate(MAX_PASSWORD);
        let digest = bcrypt::bcrypt(4, salt, &bytes);
        format!(
            "$2y$04${}{}",
            BASE64.encode(salt),
            BASE64.encode(&digest[..23])
        )
    }

    fn users(pairs: &[(&str, &str)]) -> Users {
        let pairs = pairs.iter();
        let pairs = pairs.map(|(name, hash)| ((*name).into(), Secret::new(*hash)));
        Users::parse(pairs.collect()).unwrap()
    }

    #[test]
    fn hashes_are_read_strictly() {
        // Written by another program; its password is "open".
        let other = "$2y$04$ZzM5Zkr/b0ZNvNFmRJ0GT.7wu3sq0FroAirJFcG3g1rvRg1FDIz6O";
        assert!(Hash::parse(other).unwrap().is_of(b"open"));
        assert!(!Hash::parse(other).unwrap().is_of(b"shut"));
        assert!(Hash::parse(&hashed("open")).unwrap().is_of(b"open"));
        let long = "x".repeat(100);
        assert!(
            Hash::parse(&hashed(&long))
                .unwrap()
                .is_of(&long.as_bytes()[..80])
        );
        for wrong in [
            "",
            "open",
            "$1$04$abc",
            "$2y$04$short",
            "$2y$31$BGbHBGbHBGbHBGbHBGbHBOdummydummydummydummydummydummyd",
            "$2y$x$BGbHBGbHBGbHBGbHBGbHBOdummydummydummydummydummydummyd",
        ] {
            assert!(Hash::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_leaves_does_not_make_room_for_more_work() {
        let users = users(&[("a", &hashed("open"))]);
        let checks = Checks::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .unwrap();
        runtime.block_on(async {
            // The only thread that could work is taken.
            let (go, gone) = std::sync::mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || gone.recv());
            let header = format!("Basic {}", STANDARD.encode("a:open"));
            {
                let check = checks.check(&users, Some(header.as_bytes()));
                let mut check = std::pin::pin!(check);
                let polled = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(check.as_mut().poll(cx).is_pending())
                });
                assert!(polled.await, "it waits for its turn on that thread");
            }
            assert_eq!(
                checks.working.available_permits(),
                0,
                "and is at work still"
            );
            assert_eq!(checks.waiting.available_permits(), WAITING - 1);
            drop(go);
            let _ = busy.await;
            let turn = checks.working.acquire().await;
            assert!(turn.is_ok(), "until it is done");
            assert_eq!(checks.known().right.len(), 1);
        });
    }

    #[test]
    fn only_the_right_password_of_a_user_opens() {
        let users = users(&[("a", &hashed("open")), ("b", &hashed(""))]);
        let checks = Checks::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        let verdict =
            |header: &str| runtime.block_on(checks.check(&users, Some(header.as_bytes())));
        for _ in 0..2 {
            assert_eq!(verdict(&basic("a:open")), Verdict::Known);
            assert_eq!(verdict(&basic("b:")), Verdict::Known);
            for wrong in ["a:shut", "a:", "b:open", "c:open", ":", "a"] {
                assert_eq!(verdict(&basic(wrong)), Verdict::Unknown, "{wrong}");
            }
        }
        for wrong in ["Basic !", "Bearer x", "", "Basic"] {
            assert_eq!(verdict(wrong), Verdict::Unknown, "{wrong}");
        }
        assert_eq!(
            runtime.block_on(checks.check(&users, None)),
            Verdict::Unknown
        );
        for guess in 0..3 * REMEMBERED {
            verdict(&basic(&format!("c:{guess}")));
        }
        let known = checks.known();
        assert!(known.wrong.len() <= REMEMBERED && known.right.len() == 2);
    }
}
