//! `probity wasm test`: plays transcripts to a check as it will be run.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use probity_check_transcript as transcript;
use probity_engine::RunId;
use probity_engine::guest::{
    self, Action, Close, Context, Event, Finding, Limits, Plugin, Rules, Session, Sink, Verdict,
};
use probity_engine::tls::{ChainInfo, TlsInfo};

use super::{Test, inspect};

/// Plays every case, in all cuts, and says how many there were.
///
/// # Errors
/// Why they cannot be played, in one sentence.
pub(super) fn main(args: &Test) -> Result<u8, String> {
    let (plugin, _) = inspect::load(&args.file, args.class)?;
    let name = args.transcript.display();
    let text =
        std::fs::read_to_string(&args.transcript).map_err(|error| format!("{name}: {error}"))?;
    let cases = transcript::parse(&text).map_err(|error| format!("{name}: {error}"))?;
    let mut subject = Subject(plugin);
    let (mut times, mut failed) = (0, 0);
    for case in &cases {
        match transcript::play(case, &mut subject) {
            Ok(played) => times += played,
            Err(failure) => {
                println!("{name}: {failure}");
                failed += 1;
            }
        }
    }
    let cases = cases.len();
    println!(
        "{name}: {} of {cases} cases passed, played {times} times",
        cases - failed
    );
    Ok(u8::from(failed > 0))
}

/// A check that cases are played to.
struct Subject(Arc<dyn Plugin>);

/// One run of it.
struct Run {
    session: Box<dyn Session>,
    rules: Rules,
}

impl transcript::Subject for Subject {
    type Run = Run;

    fn validate(&mut self, config: &str) -> Result<(), String> {
        self.0.validate(config)
    }

    fn open(&mut self, config: &str, secured: bool) -> Result<Run, String> {
        let tls = tls();
        let session = self.0.open(&Context {
            run: RunId::from_bits(0),
            host: "target.example",
            address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            port: 4242,
            config,
            timeout: Duration::from_secs(5),
            seed: 7,
            tls: secured.then_some(&tls),
        });
        Ok(Run {
            session: session.map_err(|fault| format!("the check {fault}"))?,
            rules: Rules::new(Limits::DEFAULT, secured),
        })
    }

    fn on(
        &mut self,
        run: &mut Run,
        now: Duration,
        event: transcript::Event<'_>,
    ) -> Result<Vec<transcript::Action>, String> {
        let tls = tls();
        let event = match event {
            transcript::Event::Connected => Event::Connected,
            transcript::Event::Data(bytes) => Event::Data(bytes),
            transcript::Event::Secured if !run.rules.is_securing() => {
                return Err("the transcript secures what did not ask for it".into());
            }
            transcript::Event::Secured => Event::Secured(&tls),
            transcript::Event::Timer(id) => Event::Timer(id),
            transcript::Event::Closed(close) => Event::Closed(match close {
                transcript::Close::End => Close::End,
                transcript::Close::Reset => Close::Reset,
                transcript::Close::Lost => Close::Lost,
            }),
        };
        let mut actions = Vec::new();
        let Run { session, rules } = run;
        for event in pieces(event) {
            let noted = rules.on_event(&event);
            let told = noted.and_then(|()| {
                let mut take = |action: Action<'_>| {
                    rules.on_action(&action, self.0.description(), now)?;
                    actions.push(said(action));
                    Ok(())
                };
                session.on_event(now, event, &mut Sink::new(&mut take))
            });
            told.map_err(|fault| format!("the check {fault}"))?;
            if let Some(transcript::Action::Done(_)) = actions.last() {
                break;
            }
        }
        Ok(actions)
    }
}

/// As the engine does, data is handed over in pieces of bounded length.
fn pieces(event: Event<'_>) -> Vec<Event<'_>> {
    match event {
        Event::Data(data) => data
            .chunks(guest::MAX_PIECE_BYTES)
            .map(Event::Data)
            .collect(),
        other => vec![other],
    }
}

fn said(action: Action<'_>) -> transcript::Action {
    match action {
        Action::Send(bytes) => transcript::Action::Send(bytes.into()),
        Action::StartTls => transcript::Action::StartTls,
        Action::SetTimer(id, after) => transcript::Action::SetTimer(id, after),
        Action::Mark(phase) => transcript::Action::Mark(phase.into()),
        Action::Sample {
            metric,
            value,
            labels,
        } => transcript::Action::Sample {
            metric: metric.into(),
            value,
            labels: labels.iter().map(|label| (*label).into()).collect(),
        },
        Action::Log(line) => transcript::Action::Log(line.into()),
        Action::Done(verdict) => transcript::Action::Done(match verdict {
            Verdict::Up => transcript::Verdict::Up,
            Verdict::Degraded(finding, why) => {
                transcript::Verdict::Degraded(reason(finding), why.into())
            }
            Verdict::Down(finding, why) => transcript::Verdict::Down(reason(finding), why.into()),
            Verdict::Unknown(why) => transcript::Verdict::Unknown(why.into()),
        }),
    }
}

const fn reason(finding: Finding) -> transcript::Reason {
    match finding {
        Finding::Unexpected => transcript::Reason::Unexpected,
        Finding::Malformed => transcript::Reason::Malformed,
        Finding::Denied => transcript::Reason::Denied,
        Finding::NotReady => transcript::Reason::NotReady,
        Finding::ServerError => transcript::Reason::ServerError,
        Finding::Closed => transcript::Reason::Closed,
        Finding::TooMuch => transcript::Reason::TooMuch,
        Finding::TooSlow => transcript::Reason::TooSlow,
    }
}

/// The handshake of the SDK's test kit.
fn tls() -> TlsInfo {
    TlsInfo {
        version: "TLS 1.3",
        cipher: "TLS13_AES_256_GCM_SHA384",
        alpn: None,
        chain: Some(Box::new(ChainInfo {
            earliest_expiry: 1_800_000_000,
            chain_expiry: None,
            fingerprint_sha256: String::new(),
            subject: String::new(),
            issuer: String::new(),
            subject_alternative: String::new(),
            serial: String::new(),
        })),
    }
}
