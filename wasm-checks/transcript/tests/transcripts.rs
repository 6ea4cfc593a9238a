//! What can be written, what cannot, and that a check which does otherwise is
//! noticed.

use std::time::Duration;

use probity_check_transcript::{
    Action, Case, Event, Failure, Reason, StepKind, Subject, Verdict, parse, play,
};

fn only(text: &str) -> Case {
    let mut cases = parse(text).expect("it can be read");
    assert_eq!(cases.len(), 1);
    cases.remove(0)
}

fn bytes(line: &str) -> Vec<u8> {
    let case = only(&format!("case a\n< {line}\nwaits"));
    match case.steps.into_iter().next().map(|step| step.kind) {
        Some(StepKind::Data(bytes)) => bytes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bytes_are_strings_hex_and_repetitions() {
    assert_eq!(
        bytes(r#""a\r\n\t\0\\\"\x7fé""#),
        "a\r\n\t\0\\\"\x7fé".as_bytes()
    );
    assert_eq!(bytes("00 ff 0A"), [0, 255, 10]);
    assert_eq!(bytes("00ff"), [0, 255]);
    assert_eq!(bytes(r#""ab"*3 07*2 "c""#), b"ababab\x07\x07c");
    assert_eq!(bytes("\"# no comment\""), b"# no comment");
}

#[test]
fn mistakes_name_their_line() {
    let error = |text: &str| parse(text).expect_err("it is wrong").to_string();
    let wrong = |line: &str| error(&format!("# first\ncase a\n{line}\nup\n"));
    assert_eq!(error(""), "line 1: there is no `case NAME`");
    assert_eq!(error("up"), "line 1: expected `case NAME`, found `up`");
    assert_eq!(error("case"), "line 1: expected a name after `case`");
    assert!(error("case a\n> 00\ncase b\nup").starts_with("line 1: the case `a` has no end"));
    assert_eq!(
        error("case a\nup\nup"),
        "line 3: `up` after the end of the case"
    );
    assert_eq!(wrong("< \"a"), "line 3: a string that does not end");
    assert_eq!(wrong("<"), "line 3: expected bytes");
    assert_eq!(wrong("< \"\""), "line 3: expected bytes");
    assert!(wrong("< 0").starts_with("line 3: expected a string or two hexadecimal"));
    assert!(wrong("< é").starts_with("line 3: expected a string or two hexadecimal"));
    assert_eq!(wrong("< 00*x"), "line 3: expected a number after `*`");
    assert_eq!(wrong("< 00*99999999"), "line 3: more than 4194304 bytes");
    assert_eq!(
        wrong("< 00*4000000*9"),
        "line 3: expected a string or two hexadecimal digits, found `*9`"
    );
    assert!(wrong(r#"< "\q""#).contains(r"\x7f"));
    assert_eq!(
        wrong(r#"< "\xé""#),
        "line 3: expected two hexadecimal digits after `\\x`"
    );
    assert_eq!(
        wrong("says hello"),
        "line 3: `says` is nothing that a line begins with"
    );
    assert_eq!(wrong("timer x"), "line 3: expected a number, found `x`");
    assert_eq!(
        wrong("start-tls now"),
        "line 3: expected the end of the line, found `now`"
    );
    assert_eq!(
        wrong("sample a b"),
        "line 3: expected a number after the metric"
    );
    assert!(wrong("down broken").starts_with("line 3: expected one of unexpected, malformed"));
    assert_eq!(
        wrong("> 00\ntls"),
        "line 4: `tls` stands before all that happens"
    );
}

/// Answers lines with themselves, and is up at an empty one.
struct Echo {
    /// Loses what is not in the same piece as the end of its line.
    forgets: bool,
}

impl Subject for Echo {
    type Run = Vec<u8>;

    fn validate(&mut self, config: &str) -> Result<(), String> {
        match config {
            "{}" => Ok(()),
            other => Err(format!("what is {other}?")),
        }
    }

    fn open(&mut self, _: &str, _: bool) -> Result<Vec<u8>, String> {
        Ok(Vec::new())
    }

    fn on(
        &mut self,
        held: &mut Vec<u8>,
        now: Duration,
        event: Event<'_>,
    ) -> Result<Vec<Action>, String> {
        let mut actions = Vec::new();
        match event {
            Event::Data(bytes) => held.extend_from_slice(bytes),
            Event::Timer(id) => actions.push(Action::Log(format!("timer {id} at {now:?}"))),
            Event::Closed(_) => {
                actions.push(Action::Done(Verdict::Down(Reason::Closed, "gone".into())));
            }
            Event::Connected => actions.push(Action::Send(b"hello".to_vec())),
            Event::Secured => return Err("not asked for".into()),
        }
        while let Some(end) = held.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = held.drain(..=end).collect();
            if line == b"\n" {
                actions.push(Action::Done(Verdict::Up));
                break;
            }
            actions.push(Action::Mark("line".into()));
            actions.push(Action::Send(line));
        }
        if self.forgets {
            held.clear();
        }
        Ok(actions)
    }
}

fn played(text: &str) -> Result<usize, Failure> {
    play(
        &only(&format!("case a\n{text}")),
        &mut Echo { forgets: false },
    )
}

#[test]
fn a_case_is_played_in_all_cuts() {
    let text = "> \"hello\"\n< \"ab\\n\"\nmark line\n> \"ab\\n\"\n< \"\\n\"\nup";
    // Whole, byte by byte, and two cuts of the longest piece.
    assert_eq!(played(text), Ok(4));
    assert_eq!(
        played("> \"hello\"\nat 20\ntimer 3\nlog \"3 at 20ms\"\nclosed end\ndown closed \"go\""),
        Ok(2)
    );
    assert_eq!(played("config []\nrejected \"what is\""), Ok(1));
    // What comes after the verdict in the same piece is not seen.
    assert_eq!(played("> \"hello\"\n< \"\\nx\"\nup"), Ok(3));
    // What is sent may be written in pieces.
    assert_eq!(played("> \"hel\"\n> \"lo\"\nwaits"), Ok(2));
}

#[test]
fn what_differs_is_said() {
    let wrong = |text: &str| played(text).expect_err("it differs").to_string();
    assert_eq!(
        wrong("waits"),
        "line 1: a, whole: not expected: `> \"hello\"`"
    );
    assert_eq!(
        wrong("> 00\nwaits"),
        r#"line 2: a, whole: expected `> "\x00"`, found `> "hello"`"#
    );
    let waits = wrong("> \"hello\"\n< \"\\n\"\nwaits");
    assert_eq!(waits, "line 3: a, whole: not expected: `up`");
    let marks = wrong("> \"hello\"\n< \"a\\n\"\nmark lines\n> \"a\\n\"\nwaits");
    assert_eq!(
        marks,
        "line 4: a, whole: expected `mark lines`, found `mark line`, `> \"a\\n\"`"
    );
    assert_eq!(
        wrong("> \"hello\"\nup"),
        "line 3: a, whole: expected `up`, found nothing"
    );
    let late = wrong("> \"hello\"\n< \"\\n\"\nclosed end\nup");
    assert_eq!(late, "line 3: a, whole: not expected: `up`");
    let late = wrong("> \"hello\"\nclosed end\ndown closed \"come\"");
    assert_eq!(
        late,
        r#"line 4: a, whole: expected `down closed "come"`, found `down closed "gone"`"#
    );
    assert_eq!(
        wrong("> \"hello\"\nsecured\nwaits"),
        "line 3: a, whole: not asked for"
    );
    let config = wrong("config []\nup");
    assert_eq!(
        config,
        "line 1: a, before the run: the configuration is refused: what is []?"
    );
    let config = wrong("rejected \"what\"");
    assert!(config.contains("but it is taken"), "{config}");
}

#[test]
fn a_check_that_needs_whole_messages_is_found() {
    let case = only("case a\n> \"hello\"\n< \"ab\\n\"\n> \"ab\\n\"\nwaits");
    let failure = play(&case, &mut Echo { forgets: true }).expect_err("it loses bytes");
    assert_eq!(failure.cut, "byte by byte");
}

#[test]
fn what_is_written_can_be_read() {
    let actions = [
        Action::Send((0..=255).collect()),
        Action::StartTls,
        Action::SetTimer(3, Duration::from_millis(250)),
        Action::Mark("ping".into()),
        Action::Sample {
            metric: "role".into(),
            value: -1.5,
            labels: vec!["a \"b\" \\ \n é".into(), String::new()],
        },
        Action::Log("é\"".into()),
        Action::Done(Verdict::Degraded(Reason::TooSlow, "it \\ takes".into())),
    ];
    for action in actions {
        let case = only(&format!("case a\n{action}\nwaits").replace(
            "\nwaits",
            match action {
                Action::Done(_) => "",
                _ => "\nwaits",
            },
        ));
        assert_eq!(case.steps[0].kind, StepKind::Does(action));
    }
    let events = [
        Event::Data(b"a\r\n\0\xff"),
        Event::Secured,
        Event::Timer(7),
        Event::Closed(probity_check_transcript::Close::Lost),
    ];
    for event in events {
        let case = only(&format!("case a\n{event}\nwaits"));
        let read = match &case.steps[0].kind {
            StepKind::Data(bytes) => Event::Data(bytes),
            StepKind::Secured => Event::Secured,
            StepKind::Timer(id) => Event::Timer(*id),
            StepKind::Closed(close) => Event::Closed(*close),
            other => panic!("{other:?}"),
        };
        assert_eq!(read, event);
    }
}
