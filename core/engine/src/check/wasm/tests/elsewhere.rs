//! Scripts, which are called elsewhere and answer later.

use super::*;

fn script() -> Config {
    Config {
        class: "script".into(),
        ..config()
    }
}

/// Says `hi`, and is up when its peer has said `bye`.
fn polite() -> Arc<Scripted> {
    Scripted::new(|event, _, sink| match event {
        Event::Connected => {
            sink.push(Action::Send(b"hi"))?;
            sink.push(Action::Mark("hello"))
        }
        Event::Data(said) if said.ends_with(b"bye") => {
            sink.push(Action::Mark("ask"))?;
            up(sink)
        }
        _ => Ok(()),
    })
}

#[test]
fn a_script_is_never_called_by_whoever_drives_the_engine_and_the_wait_is_ours() {
    let guest = polite();
    let mut lab = Lab::new(script(), &guest);
    lab.connect();
    assert_eq!(guest.told(), [""; 0], "nobody has called it");
    let run = lab.run.unwrap();
    assert!(lab.engine.is_behind(run), "its peer is not read meanwhile");
    lab.back_after(MS * 300);
    assert_eq!((&*lab.sent, guest.told().len()), (&b"hi"[..], 1));
    assert!(!lab.engine.is_behind(run));
    lab.says("bye");
    assert!(lab.seen.is_none());
    let seen = lab.back_after(MS * 200).end();
    assert_eq!(seen.outcome, Outcome::Success, "{}", seen.detail);
    // A millisecond to connect, and one to answer.
    assert_eq!(seen.total, MS * 2);
    assert_eq!(seen.phases.get(Phase::Processing), Some(MS));
    let marks: Vec<f64> = seen.samples.iter().map(|sample| sample.value).collect();
    assert_eq!(marks, [0.0, 0.001]);
}

#[test]
fn what_happens_while_a_script_is_called_it_is_told_afterwards_and_in_order() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&told);
    let guest = Scripted::new(move |event, now, sink| {
        noted.lock().unwrap().push(format!("{event:?} {now:?}"));
        match event {
            Event::Connected => sink.push(Action::SetTimer(7, MS * 5)),
            Event::Closed(_) => up(sink),
            _ => Ok(()),
        }
    });
    let mut lab = Lab::new(script(), &guest);
    lab.connect().says("a").says("b");
    lab.back_after(MS);
    // Its timer comes while it is told what was said, and its peer goes.
    lab.says("c").wait(MS * 10);
    lab.after(MS, Input::Closed(CONN, Closed::End));
    assert_eq!(told.lock().unwrap().len(), 1);
    for _ in 0..4 {
        lab.back_after(MS);
    }
    assert_eq!(lab.end().outcome, Outcome::Success);
    let told = told.lock().unwrap();
    let whats: Vec<&str> = told
        .iter()
        .filter_map(|it| it.rsplit_once(' '))
        .map(|it| it.0)
        .collect();
    assert_eq!(
        whats,
        [
            "Connected",
            "Data([97, 98])",
            "Data([99])",
            "Timer(7)",
            "Closed(End)"
        ],
    );
}

#[test]
fn an_answer_that_comes_after_the_end_is_dropped() {
    let guest = polite();
    let mut lab = Lab::new(script(), &guest);
    lab.connect();
    let seen = lab.outlast();
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::Overload));
    assert_eq!(seen.detail, "the prober was too busy to run its check");
    // The slot has another run by now.
    lab.connect();
    lab.back_after(MS);
    assert_eq!(
        (guest.told().len(), lab.sent.len()),
        (1, 0),
        "it was the old one"
    );
    lab.back_after(MS);
    assert_eq!(lab.sent, b"hi");
    lab.says("bye").back_after(MS);
    assert_eq!(lab.end().outcome, Outcome::Success);
}

#[test]
fn errands_of_runs_that_are_over_are_not_given_out() {
    let guest = polite();
    let mut lab = Lab::new(script(), &guest);
    let spec = lab.start().run.unwrap();
    lab.engine.handle_input(spec, Input::Opened(CONN), lab.now);
    lab.engine.cancel(spec, lab.now);
    assert!(lab.engine.poll_errand().is_none());
    lab.look();
    assert_eq!(lab.end().outcome, Outcome::Unknown(Reason::Cancelled));
}

#[test]
fn an_errand_that_cannot_be_done_says_nothing_of_the_target() {
    let guest = polite();
    let mut lab = Lab::new(script(), &guest);
    lab.connect();
    let (run, _) = lab.errands.pop_front().unwrap();
    lab.engine
        .handle_errand(run, Err(Reason::Overload), lab.now);
    lab.look();
    let seen = lab.end();
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::Overload));
    assert_eq!(seen.detail, "the prober could not run its check: overload");
    assert_eq!(lab.engine.in_flight(), 0);
}

#[test]
fn a_target_is_timed_out_only_if_it_had_its_time() {
    // An eighth of the five seconds is more than half a second.
    for (took, outcome) in [
        (MS * 100, Outcome::Failure(Reason::TimeoutProcessing)),
        (MS * 700, Outcome::Unknown(Reason::Overload)),
    ] {
        let mut lab = Lab::new(script(), &polite());
        lab.connect().back_after(took);
        assert_eq!(lab.outlast().outcome, outcome, "{took:?}");
    }
}

#[test]
fn the_deadline_of_a_run_of_the_schedule_moves_by_what_its_calls_take() {
    let guest = polite();
    let mut lab = Lab::new(script(), &guest);
    let schedule = Schedule::new(SECOND * 10, SECOND, Duration::ZERO).unwrap();
    let spec = Arc::new(crate::Spec {
        check: lab.check.clone(),
        schedule,
        threshold: threshold::Config::new(threshold::Kind::Plain, 1, 1).unwrap(),
        group: GroupId(0),
    });
    lab.engine
        .upsert(crate::TargetId(1), spec, lab.now)
        .unwrap();
    lab.engine.begin(lab.now);
    while lab.opened.is_none() {
        lab.wait(MS);
    }
    lab.run = lab.opened;
    lab.after(MS, Input::Opened(CONN)).back_after(MS * 900);
    // It has said nothing for longer than its time, nine tenths of which were ours.
    lab.wait(MS * 900);
    assert!(lab.seen.is_none());
    lab.says("bye").back_after(MS * 50);
    let seen = lab.end();
    assert_eq!(seen.outcome, Outcome::Success, "{}", seen.detail);
    // It began between two milliseconds.
    assert!(seen.total.abs_diff(MS * 902) < MS, "{:?}", seen.total);
}

#[test]
fn a_timer_for_all_the_time_of_a_script_comes_while_it_can_still_be_heard() {
    let guest = Scripted::new(|event, _, sink| match event {
        // What it is told of, see below.
        Event::Connected => sink.push(Action::SetTimer(1, MS * 4_899)),
        Event::Timer(1) => {
            let verdict = Verdict::Down(Finding::TooSlow, "said nothing");
            sink.push(Action::Done(verdict))
        }
        _ => Ok(()),
    });
    let mut lab = Lab::new(script(), &guest);
    lab.connect().back_after(Duration::ZERO);
    assert_eq!(guest.told(), ["192.0.2.7 192.0.2.7 4242 {} 4.899s None"]);
    lab.wait(MS * 4_898);
    assert!(lab.errands.is_empty());
    let seen = lab.wait(MS * 3).back_after(MS * 50).end();
    assert_eq!(seen.outcome, Outcome::Failure(Reason::TooSlow));
}

#[test]
fn a_script_is_held_to_the_rules_and_its_faults_say_nothing_of_the_target() {
    let many = Scripted::new(|_, _, sink| {
        (0..=MAX_ACTIONS).try_for_each(|_| sink.push(Action::Log("again")))
    });
    let seen = Lab::new(script(), &many).connect().back_after(MS).end();
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::WasmProtocol));
    let endless = Scripted::new(|_, _, _| Err(Fault::new(FaultKind::Fuel, "used up its fuel")));
    let mut lab = Lab::new(script(), &endless);
    for _ in 0..FAULTS_IN_A_ROW {
        let seen = lab.connect().back_after(MS).end();
        assert_eq!(seen.outcome, Outcome::Unknown(Reason::WasmFuel));
    }
    let seen = lab.start().end();
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::WasmBackoff));
}

#[test]
fn what_was_said_before_a_handshake_that_a_script_asks_for_is_nobodys() {
    let guest = Scripted::new(|event, _, sink| match event {
        Event::Data(b"start") => sink.push(Action::StartTls),
        Event::Data(b"bye") => up(sink),
        Event::Data(_) => Err(Fault::new(FaultKind::Panic, "heard what it should not")),
        _ => Ok(()),
    });
    let mut lab = Lab::new(script(), &guest);
    lab.connect().back_after(MS);
    lab.says("start").says("planted").back_after(MS);
    assert_eq!(lab.names, ["192.0.2.7"]);
    lab.after(MS, Input::Secured(CONN, &info())).back_after(MS);
    let seen = lab.says("bye").back_after(MS).end();
    assert_eq!(seen.outcome, Outcome::Success, "{}", seen.detail);
}

#[test]
fn a_script_waits_for_room_and_nobody_is_called_meanwhile() {
    let guest = polite();
    guest.room.store(0, Ordering::Relaxed);
    let mut lab = Lab::new(script(), &guest);
    lab.connect().wait(SECOND);
    assert!(
        lab.errands.is_empty(),
        "there is no room: nothing to be called for"
    );
    guest.room.store(1, Ordering::Relaxed);
    lab.wait(MS * 20);
    // It is gone again by the time that it is called.
    guest.room.store(0, Ordering::Relaxed);
    lab.back_after(MS);
    guest.room.store(1, Ordering::Relaxed);
    lab.wait(MS * 20).back_after(MS);
    let seen = lab.says("bye").back_after(MS).end();
    assert_eq!(seen.outcome, Outcome::Success, "{}", seen.detail);
    assert_eq!(seen.total, MS * 2);
}

#[test]
fn a_peer_that_says_too_much_meanwhile_ends_the_run() {
    let mut lab = Lab::new(script(), &polite());
    lab.connect().back_after(MS);
    let much = "x".repeat(300 << 10);
    for _ in 0..4 {
        lab.says(&much);
    }
    let seen = lab.end();
    assert_eq!(seen.outcome, Outcome::Unknown(Reason::WasmProtocol));
    assert!(seen.detail.contains("1048576 bytes"), "{}", seen.detail);
}
