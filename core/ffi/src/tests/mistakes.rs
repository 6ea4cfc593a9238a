//! What hosts forget or mistake, and what they forbid.

use super::log::{Heard, engine_with};
use super::*;

/// Calls with room for words about an error.
pub(super) fn saying(
    call: impl FnOnce(&mut probity_buffer) -> probity_result,
) -> (probity_result, String) {
    let mut room = [0; 600];
    let mut error = probity_buffer {
        data: room.as_mut_ptr(),
        capacity: room.len(),
        length: 0,
    };
    let result = call(&mut error);
    let said = room.iter().map(|c| *c as u8).take_while(|c| *c != 0);
    let said = String::from_utf8(said.collect()).expect("errors are UTF-8");
    (result, said)
}

fn parsed(text: &str, files: u32) -> (probity_result, probity_config, String) {
    let mut config = probity_config { bits: 0 };
    let (name, text) = (lend_text("f.yml"), lend_text(text));
    let (result, said) = saying(|error| {
        // SAFETY: all places are of this function.
        unsafe { probity_config_parse(name, text, files, &mut config, error) }
    });
    (result, config, said)
}

/// As Linux counts them: EINTR, EAGAIN, EALREADY, EINPROGRESS.
#[cfg(feature = "driver")]
#[test]
fn an_error_that_ends_nothing_is_a_mistake_of_the_host_and_changes_nothing() {
    let (heard, config) = (Heard::default(), modules());
    let (made, engine) = engine_with(&heard, |_| ());
    assert_eq!(made, Ok);
    let run = ran(engine, config);
    for (errno, says) in [
        (4, "has ended the connection, found"),
        (11, "(os error 11)"),
        (114, "(os error 114)"),
        (115, "(os error 115)"),
        (0, "a number of errno, found 0"),
        (u32::MAX, "a number of errno, found 4294967295"),
    ] {
        let closed = probity_closed {
            why: PROBITY_CLOSED_ERRNO,
            reason: errno,
            ..zeroed()
        };
        // SAFETY: a struct of this function.
        let told = unsafe { probity_engine_closed(engine, run, 0, &closed, 0) };
        assert_eq!(told, BadArgument, "{errno}");
        let lines = heard.lines();
        let line = lines.last().expect("it says why");
        assert!(line.contains(says), "{line}");
    }
    assert_eq!(output(engine).0, Nothing, "the run has not ended");
    assert_eq!(probity_engine_opened(engine, run, 0, 0), Ok);
    assert_eq!(output(engine).1.kind, PROBITY_OUTPUT_SEND);
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

/// When the host should come again, by the two functions that say it.
fn next(engine: probity_engine) -> [(probity_result, u64); 2] {
    let (mut at, mut after, mut length) = (0, 0, usize::MAX);
    let mut room = [zeroed::<probity_output>()];
    let first = room.as_mut_ptr();
    // SAFETY: places of this function.
    let (asked, stepped) = unsafe {
        (
            probity_engine_next_timeout(engine, &mut at),
            probity_engine_step(engine, 0, first, 1, &mut length, &mut after),
        )
    };
    assert_eq!(length, 0);
    [(asked, at), (stepped, after)]
}

#[test]
fn who_has_forgotten_to_begin_is_told_so_where_he_would_wait_for_ever() {
    let (config, engine) = (modules(), engine());
    let nothing = [(Nothing, u64::MAX), (Ok, u64::MAX)];
    assert_eq!(next(engine), nothing, "there are no targets");
    let (added, id, _) = add(engine, &target(config, "http://192.0.2.7/"));
    assert_eq!(added, Ok);
    assert_eq!(next(engine), [(NotBegun, u64::MAX); 2]);
    assert_eq!(probity_engine_trigger(engine, id, 0), NotBegun);
    assert_eq!(probity_engine_trigger(engine, id + 1, 0), NoTarget);
    // Who runs checks by themselves meanwhile has something to wait for.
    let run = ran(engine, config);
    let [(asked, at), (stepped, after)] = next(engine);
    assert_eq!((asked, stepped), (Ok, Ok));
    assert!(at == after && at < u64::MAX, "the end of its time");
    assert_eq!(probity_engine_cancel(engine, run, 0), Ok);
    while output(engine).0 == Ok {}
    assert_eq!(next(engine), [(NotBegun, u64::MAX); 2]);
    assert_eq!(probity_engine_begin(engine, 0), Ok);
    let [(asked, at), (stepped, after)] = next(engine);
    assert_eq!((asked, stepped), (Ok, Ok));
    assert!(at == after && at < u64::MAX, "the target's first run");
    assert_eq!(probity_engine_trigger(engine, id, 0), Ok);
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
}

/// The name of a port that this machine has in its file, and every machine has not.
fn service() -> Option<String> {
    let text = std::fs::read("/etc/services").unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let known = lines.find_map(|mut words| {
        let (name, port) = (words.next()?, words.next()?);
        (port == "5432/tcp").then(|| name.to_owned())
    });
    if known.is_none() {
        eprintln!("/etc/services has no name for 5432/tcp: not tested");
    }
    known
}

#[test]
fn where_files_are_forbidden_ports_have_no_names_of_this_machine() {
    let Some(name) = service() else { return };
    let text = format!(
        "modules: {{banner: {{prober: tcp}}}}\n\
         jobs: [{{job_name: j, module: banner, static_configs: [{{targets: ['127.0.0.1:{name}']}}]}}]"
    );
    let (result, config, said) = parsed(&text, PROBITY_FILES_SYSTEM);
    assert_eq!(result, Ok, "{said}");
    assert_eq!(probity_config_free(config), Ok);
    let (result, _, said) = parsed(&text, PROBITY_FILES_NONE);
    assert_eq!(result, BadConfig);
    assert!(
        said.starts_with("f.yml:2:") && said.contains(&name),
        "{said}"
    );
}

#[test]
fn a_module_of_a_prober_that_there_is_not_leaves_the_others_of_its_file() {
    let text = "modules:\n  guest: {prober: wasm, wasm: {path: /nowhere/check.wasm}}\n  \
        ping: {prober: icmp}\n  http_2xx: {prober: http}\n";
    for files in [PROBITY_FILES_NONE, PROBITY_FILES_SYSTEM] {
        let (result, config, said) = parsed(text, files);
        assert_eq!(result, Ok, "{said}");
        let engine = engine();
        let wanted = target(config, "http://192.0.2.7/");
        assert_eq!(add(engine, &wanted).0, Ok);
        for (name, why) in [
            ("guest", "checks in Wasm cannot be run here"),
            ("ping", "\"icmp\" of blackbox_exporter is not supported"),
        ] {
            let module = lend_text(name);
            let (wanted, mut run) = (probity_target { module, ..wanted }, 0);
            assert_eq!(add(engine, &wanted).0, NoModule, "{name}");
            let (result, said) = saying(|error| {
                // SAFETY: all places are of this function.
                unsafe { probity_engine_run(engine, &wanted, 0, &mut run, error) }
            });
            assert_eq!(result, NoModule, "{name}");
            assert!(said.contains(why) && said.contains("f.yml:"), "{said}");
        }
        assert_eq!(probity_engine_free(engine), Ok);
        assert_eq!(probity_config_free(config), Ok);
    }
}

/// What the header asks for. With less the process would end here.
const STACK: usize = 512 << 10;

/// Runs a check whose expression is as deep as it may be; gives its report's outcome.
fn check_deeply() -> u32 {
    let deep = format!("1{} == body", " + 1".repeat(510));
    let text = format!(
        "modules: {{http_2xx: {{prober: http, http: {{fail_if_body_json_not_matches_cel: '{deep}'}}}}}}"
    );
    let (result, config, said) = parsed(&text, PROBITY_FILES_NONE);
    assert_eq!(result, Ok, "{said}");
    let engine = engine();
    let run = ran(engine, config);
    assert_eq!(probity_engine_opened(engine, run, 0, 0), Ok);
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n511";
    let bytes = probity_bytes {
        data: answer.as_ptr(),
        length: answer.len(),
    };
    // SAFETY: bytes of this function.
    let told = unsafe { probity_engine_data(engine, run, 0, bytes, 0) };
    assert_eq!((told, probity_engine_handle_timeout(engine, 0)), (Ok, Ok));
    let outcome = loop {
        let (result, asked) = output(engine);
        assert_eq!(result, Ok, "it ends with a report");
        if asked.kind == PROBITY_OUTPUT_REPORT {
            // SAFETY: lent until the next call.
            break unsafe { (*asked.report).outcome };
        }
    };
    assert_eq!(probity_engine_free(engine), Ok);
    assert_eq!(probity_config_free(config), Ok);
    outcome
}

#[test]
fn a_thread_needs_no_more_stack_than_the_header_says() {
    let thread = thread::Builder::new().stack_size(STACK);
    let thread = thread.spawn(check_deeply).expect("a thread");
    let outcome = thread.join().expect("it ends");
    assert_eq!(outcome, PROBITY_OUTCOME_SUCCESS);
}
