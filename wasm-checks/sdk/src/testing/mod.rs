//! Tests of a check without probity, in plain `cargo test`.
//!
//! A [`Run`] is told what happens, and says what the check did. It holds the
//! check to what probity holds it to, and panics where probity would say
//! `wasm_protocol`.
//!
//! [`cut_everywhere`] tries one script in all pieces, [`replay`] a file of
//! [transcripts](probity_check_transcript), which `probity wasm test` plays to the
//! module as well.

extern crate std;

mod replay;
mod rules;

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use self::rules::Rules;
use crate::{
    Action, Check, Close, Context, Event, Outcome, Sample, Target, TlsInfo, config, handle,
};

pub use probity_check_transcript as transcript;
pub use replay::replay;

/// One run of a check.
#[derive(Debug)]
pub struct Run<C> {
    check: C,
    now: Duration,
    rules: Rules,
    sent: Vec<u8>,
    samples: Vec<Sample>,
    marks: Vec<String>,
    timers: Vec<(u32, Duration)>,
    outcome: Option<Outcome>,
}

impl<C: Check> Run<C> {
    /// Opens a run with a configuration, as JSON text.
    ///
    /// # Panics
    /// If the configuration is refused. See [`refusal`].
    pub fn open(config: &str) -> Self {
        Self::open_in(&context(config, None))
    }

    /// Opens a run in a context of your own.
    ///
    /// # Panics
    /// If the configuration is refused, or the description breaks a rule.
    pub fn open_in(context: &Context) -> Self {
        let config = accepted::<C>(&context.config).unwrap_or_else(|why| panic!("{why}"));
        let rules = Rules::of(C::describe()).unwrap_or_else(|why| panic!("{why}"));
        Self {
            check: C::open(config, context),
            now: Duration::ZERO,
            rules,
            sent: Vec::new(),
            samples: Vec::new(),
            marks: Vec::new(),
            timers: Vec::new(),
            outcome: None,
        }
    }

    /// Sets the clock: so long after the start.
    pub fn at(&mut self, now: Duration) -> &mut Self {
        self.now = now.max(self.now);
        self
    }

    /// The connection is up.
    pub fn connected(&mut self) -> &mut Self {
        self.on(Event::Connected)
    }

    /// The peer sends. Nothing happens if it sends nothing.
    pub fn data(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        match bytes.as_ref() {
            [] => self,
            bytes => self.on(Event::Data(bytes.into())),
        }
    }

    /// The handshake that the check asked for is complete.
    pub fn secured(&mut self) -> &mut Self {
        self.on(Event::Secured(tls()))
    }

    /// The time of a timer has come.
    pub fn timer(&mut self, id: u32) -> &mut Self {
        self.timers.retain(|(other, _)| *other != id);
        self.on(Event::Timer(id))
    }

    /// The connection is over.
    pub fn closed(&mut self, close: Close) -> &mut Self {
        self.on(Event::Closed(close))
    }

    /// Anything happens. After the verdict nothing does any more.
    ///
    /// # Panics
    /// If the check does what it may not.
    pub fn on(&mut self, event: Event) -> &mut Self {
        if let Err(why) = self.step(event) {
            panic!("the check broke its contract: {why}");
        }
        self
    }

    pub(crate) fn step(&mut self, event: Event) -> Result<Vec<Action>, String> {
        if self.outcome.is_some() {
            return Ok(Vec::new());
        }
        let nanoseconds = u64::try_from(self.now.as_nanos()).unwrap_or(u64::MAX);
        let actions = handle(&mut self.check, nanoseconds, &event);
        self.rules.check(&event, &actions)?;
        for action in actions.clone() {
            match action {
                Action::Send(bytes) => self.sent.extend(bytes),
                Action::SetTimer(timer) => {
                    let due = self.now + Duration::from_millis(timer.after_ms.max(1).into());
                    self.timers.retain(|(id, _)| *id != timer.id);
                    self.timers.push((timer.id, due));
                }
                Action::Mark(phase) => self.marks.push(phase),
                Action::Sample(sample) => self.samples.push(sample),
                Action::Done(outcome) => self.outcome = Some(outcome),
                Action::StartTls | Action::Log(_) => {}
            }
        }
        Ok(actions)
    }

    /// What the check has sent since this was last asked.
    pub fn sent(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.sent)
    }

    /// The verdict, if there is one.
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// The numbers that it reported.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// The phases that it ended.
    pub fn marks(&self) -> &[String] {
        &self.marks
    }

    /// The timers that are set, and when they come.
    pub fn timers(&self) -> &[(u32, Duration)] {
        &self.timers
    }

    /// Whether it has asked for TLS and waits for [`Run::secured`].
    pub const fn is_securing(&self) -> bool {
        self.rules.is_securing()
    }
}

/// Why a configuration is refused, if it is.
pub fn refusal<C: Check>(config: &str) -> Option<String> {
    accepted::<C>(config).err()
}

fn accepted<C: Check>(config: &str) -> Result<C::Config, String> {
    let config = config::parse::<C::Config>(config)?;
    C::validate(&config).map(|()| config)
}

/// The context of [`Run::open`], to be changed for [`Run::open_in`].
pub fn context(config: &str, tls: Option<TlsInfo>) -> Context {
    Context {
        target: Target {
            host: "target.example".into(),
            address: "192.0.2.1".into(),
            port: 4242,
        },
        config: config.into(),
        timeout_ms: 5_000,
        unix_ms: 1_750_000_000_000,
        seed: 7,
        tls,
    }
}

/// A handshake like many.
pub fn tls() -> TlsInfo {
    TlsInfo {
        version: "TLS 1.3".into(),
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        alpn: None,
        not_after: Some(1_800_000_000),
    }
}

/// Plays what a peer says, in one piece, in two pieces of all sizes and byte by
/// byte: the verdict must always be the same. When the check asks for TLS, the
/// handshake succeeds at once, and the rest comes after it.
///
/// # Panics
/// If it is another one, or none.
pub fn cut_everywhere<C: Check>(config: &str, script: impl AsRef<[u8]>, verdict: &Outcome) {
    let script = script.as_ref();
    for cut in 0..=script.len() {
        let (first, second) = script.split_at(cut);
        assert_verdict(&played::<C>(config, &[first, second]), verdict, cut);
    }
    let bytes: Vec<&[u8]> = script.chunks(1).collect();
    assert_verdict(&played::<C>(config, &bytes), verdict, "every byte");
}

fn played<C: Check>(config: &str, pieces: &[&[u8]]) -> Option<Outcome> {
    let mut run = Run::<C>::open(config);
    run.connected();
    for piece in pieces {
        run.data(piece);
        if run.is_securing() {
            run.secured();
        }
    }
    run.outcome().cloned()
}

fn assert_verdict(found: &Option<Outcome>, verdict: &Outcome, cut: impl core::fmt::Display) {
    assert!(
        found.as_ref() == Some(verdict),
        "cut at {cut}: expected {verdict:?}, found {found:?}"
    );
}
