//! Transcripts, played to a check as Rust.

use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::time::Duration;

use probity_check_transcript as transcript;
use transcript::{Subject, Verdict};

use super::{Run, context, refusal, tls};
use crate::{Action, Check, Close, Event, Outcome, Reason};

/// Plays all cases of a [transcript](probity_check_transcript), each in all cuts.
///
/// ```ignore
/// replay::<Redis>(include_str!("../transcript.txt"));
/// ```
///
/// # Panics
/// If the text is no transcript, or at the first case that goes otherwise.
pub fn replay<C: Check>(text: &str) {
    let cases = transcript::parse(text).unwrap_or_else(|error| panic!("{error}"));
    for case in cases {
        if let Err(failure) = transcript::play(&case, &mut Native::<C>(PhantomData)) {
            panic!("{failure}");
        }
    }
}

struct Native<C>(PhantomData<C>);

impl<C: Check> Subject for Native<C> {
    type Run = Run<C>;

    fn validate(&mut self, config: &str) -> Result<(), String> {
        refusal::<C>(config).map_or(Ok(()), Err)
    }

    fn open(&mut self, config: &str, secured: bool) -> Result<Run<C>, String> {
        Ok(Run::open_in(&context(config, secured.then(tls))))
    }

    fn on(
        &mut self,
        run: &mut Run<C>,
        now: Duration,
        event: transcript::Event<'_>,
    ) -> Result<Vec<transcript::Action>, String> {
        let event = match event {
            transcript::Event::Connected => Event::Connected,
            transcript::Event::Data(bytes) => Event::Data(bytes.into()),
            transcript::Event::Secured => Event::Secured(tls()),
            transcript::Event::Timer(id) => Event::Timer(id),
            transcript::Event::Closed(close) => Event::Closed(match close {
                transcript::Close::End => Close::End,
                transcript::Close::Reset => Close::Reset,
                transcript::Close::Lost => Close::Lost,
            }),
        };
        let actions = run.at(now).step(event)?;
        Ok(actions.into_iter().map(said).collect())
    }
}

fn said(action: Action) -> transcript::Action {
    match action {
        Action::Send(bytes) => transcript::Action::Send(bytes),
        Action::StartTls => transcript::Action::StartTls,
        Action::SetTimer(timer) => {
            let after = Duration::from_millis(timer.after_ms.max(1).into());
            transcript::Action::SetTimer(timer.id, after)
        }
        Action::Mark(phase) => transcript::Action::Mark(phase),
        Action::Sample(sample) => transcript::Action::Sample {
            metric: sample.metric,
            value: sample.value,
            labels: sample.labels,
        },
        Action::Log(line) => transcript::Action::Log(line),
        Action::Done(outcome) => transcript::Action::Done(match outcome {
            Outcome::Up => Verdict::Up,
            Outcome::Degraded(finding) => Verdict::Degraded(reason(finding.reason), finding.detail),
            Outcome::Down(finding) => Verdict::Down(reason(finding.reason), finding.detail),
            Outcome::Unknown(detail) => Verdict::Unknown(detail),
        }),
    }
}

const fn reason(reason: Reason) -> transcript::Reason {
    match reason {
        Reason::Unexpected => transcript::Reason::Unexpected,
        Reason::Malformed => transcript::Reason::Malformed,
        Reason::Denied => transcript::Reason::Denied,
        Reason::NotReady => transcript::Reason::NotReady,
        Reason::ServerError => transcript::Reason::ServerError,
        Reason::Closed => transcript::Reason::Closed,
        Reason::TooMuch => transcript::Reason::TooMuch,
        Reason::TooSlow => transcript::Reason::TooSlow,
    }
}
