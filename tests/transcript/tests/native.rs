//! What the transcripts of the engine itself hold: enough to be worth comparing.

use std::collections::BTreeSet;

use probity_transcript::{Native, Script, json, play, scripts};

fn transcripts() -> Vec<String> {
    let scripts = scripts();
    let play = |script: &Script| play(&mut Native::new(script), script);
    scripts.iter().map(play).collect()
}

#[test]
fn a_script_that_was_json_gives_the_same_transcript() {
    let again: Vec<Script> = serde_json::from_str(&json()).expect("it was just written");
    assert_eq!(again, scripts());
    let again: Vec<String> = again
        .iter()
        .map(|script| play(&mut Native::new(script), script))
        .collect();
    assert!(
        again == transcripts(),
        "the engine is determined by its inputs"
    );
}

#[test]
fn the_scripts_show_most_of_what_an_engine_can_say() {
    let transcripts = transcripts();
    let words: BTreeSet<&str> = transcripts
        .iter()
        .flat_map(|it| it.split_ascii_whitespace())
        .collect();
    let expected = "resolve open secure send close report tcp add run remove trigger refused: \
        outcome=success outcome=failure outcome=unknown \
        transition=up transition=down transition=unknown health=up health=down \
        prefer_v6 prefer_v4 only_v6 phase=resolve phase=connect phase=tls phase=processing \
        phase=transfer reason=dns_not_found reason=dns_timeout reason=dns_no_address \
        reason=no_descriptors reason=no_source_port reason=local_denied reason=connect_refused \
        reason=connect_timeout reason=connect_unreachable reason=connect_failed \
        reason=connect_reset reason=peer_closed reason=peer_reset reason=tls_not_tls \
        reason=tls_certificate_expired reason=http_status reason=http_malformed \
        reason=http_redirect_invalid reason=http_redirect_limit reason=header_mismatch \
        reason=body_mismatch reason=json_mismatch reason=body_limit reason=body_encoding \
        reason=body_truncated reason=expect_mismatch reason=timeout_resolve reason=timeout_tls \
        reason=timeout_processing reason=timeout_transfer reason=overload \
        reason=overload_destination reason=cancelled reason=shutdown";
    let missing: Vec<&str> = expected
        .split_ascii_whitespace()
        .filter(|word| !words.contains(word))
        .collect();
    assert!(missing.is_empty(), "not in any transcript: {missing:?}");
    let reports = transcripts.iter().map(|it| it.matches(" report ").count());
    let reports: usize = reports.sum();
    assert!(reports > 2_000, "{reports}");
}
