//! The tests of blackbox_exporter 0.28 for its configuration, its handler, its
//! history and the probers `http` and `tcp`, and what here covers each: the next
//! release's tests are compared with this list.
//!
//! A name with `::` is a pattern of cases in this suite, which ask the real one
//! too; the others are tests that the project has besides, as `file: function`.

use std::path::Path;

use super::{cases, matches};

/// Test, and what covers it.
const ROWS: &[(&str, &[&str])] = &[
    // config
    (
        "TestLoadConfig",
        &[
            "config::*_good",
            "core/spec/tests/good_files.rs: a_plain_blackbox_file_loads_and_has_its_own_modules_only",
        ],
    ),
    (
        "TestLoadBadConfigs",
        &[
            "config::file_*",
            "config::http_*",
            "core/spec/tests/known_words.rs: of_modules",
        ],
    ),
    (
        "TestHideConfigSecrets",
        &[
            "surface::config",
            "tests/e2e/serve.rs: config_hides_secrets",
        ],
    ),
    (
        "TestNewCELProgram",
        &[
            "config::http_cel_good",
            "config::http_cel_bad",
            "config::http_cel_empty",
        ],
    ),
    (
        "TestWebsocketProbeUnmarshal",
        &["core/spec/tests/sections.rs: websocket_has_the_http_client_of_prometheus"],
    ),
    (
        "TestGenerateChecksum",
        &[
            "tests/e2e/reload.rs: a_changed_file_is_found_without_being_told",
            "tests/e2e/reload.rs: a_file_that_is_gone_is_told_and_is_found_again",
        ],
    ),
    ("TestIsEncodingAcceptable", &["config::http_encoding_*"]),
    // main
    (
        "TestComputeExternalURL",
        &[
            "surface::external_*",
            "surface::start_url_*",
            "exporter/src/http/base.rs: urls_in_quotes_and_no_urls_are_refused",
        ],
    ),
    // handler
    (
        "TestPrometheusTimeoutHTTP",
        &[
            "handler::timeout_of_scrape",
            "tests/e2e/web.rs: scrape_timeouts_are_believed",
        ],
    ),
    (
        "TestPrometheusConfigSecretsHidden",
        &["surface::config", "handler::debug_bearer"],
    ),
    (
        "TestDebugOutputSecretsHidden",
        &[
            "handler::debug_bearer",
            "handler::debug_basic_auth",
            "handler::debug_oauth2",
        ],
    ),
    (
        "TestDebugOutputScrapeLoggerLevels",
        &["handler::debug_plain", "handler::debug_logs_debug_level"],
    ),
    (
        "TestHostnameParam",
        &["handler::hostname", "handler::host_twice"],
    ),
    (
        "TestTCPHostnameParam",
        &["handler::debug_tcp_hostname", "tcp::hostname_*"],
    ),
    ("TestURLDecoding", &["handler::decoded_*"]),
    (
        "TestTimeoutIsSetCorrectly",
        &[
            "handler::timeout_*",
            "exporter/src/http/probe.rs: timeouts_follow_blackbox_exporter",
        ],
    ),
    // history
    (
        "TestHistoryGetByTargetAndModule",
        &["exporter/src/history.rs: entries_are_found_by_id_and_by_target"],
    ),
    (
        "TestHistoryKeepsLatestResults",
        &["surface::history_keeps_latest"],
    ),
    (
        "TestHistoryPreservesExpiredFailedResults",
        &["surface::history_preserves_failures*"],
    ),
    (
        "TestHistoryGetById",
        &[
            "surface::history_keeps_latest",
            "exporter/src/history.rs: entries_are_found_by_id_and_by_target",
        ],
    ),
    (
        "TestHistoryGetByTarget",
        &[
            "surface::history_*",
            "exporter/src/history.rs: entries_are_found_by_id_and_by_target",
        ],
    ),
    // http
    ("TestHTTPStatusCodes", &["http::status_*"]),
    (
        "TestValidHTTPVersion",
        &["http::version_*", "config::http_version_3_*"],
    ),
    (
        "TestContentLength",
        &[
            "bodies::compression_none_*",
            "bodies::compression_identity",
            "bodies::compression_bad_status",
            "http::status_404_where_unset",
        ],
    ),
    (
        "TestHandlingOfCompressionSetting",
        &["bodies::compression_*"],
    ),
    (
        "TestMaxResponseLength",
        &["bodies::limit_short*", "bodies::limit_long*"],
    ),
    ("TestRedirectFollowed", &["redirects::302_get"]),
    (
        "TestRedirectNotFollowed",
        &["redirects::not_followed_allowed"],
    ),
    (
        "TestRedirectionLimit",
        &[
            "redirects::endless",
            "core/engine/src/check/http/tests/redirects.rs: the_eleventh_redirect_is_refused_and_judged",
        ],
    ),
    ("TestPost", &["http::method_post"]),
    ("TestBasicAuth", &["headers::send_basic_auth"]),
    ("TestBearerToken", &["headers::send_bearer_token"]),
    ("TestFailIfNotSSL", &["http::fail_if_not_ssl_plain"]),
    (
        "TestFailIfNotSSLLogMsg",
        &[
            "http::fail_if_not_ssl_*",
            "core/engine/src/check/http/tests.rs: only_an_answer_can_lack_tls",
        ],
    ),
    (
        "TestFailIfBodyMatchesCEL",
        &[
            "cel::fail_if_*",
            "core/cel/tests/probe.rs: a_body_that_must_not_match",
        ],
    ),
    (
        "TestFailIfBodyNotMatchesCEL",
        &[
            "cel::fail_unless_*",
            "core/cel/tests/probe.rs: a_body_that_must_match",
        ],
    ),
    ("TestFailIfBodyMatchesRegexp", &["bodies::fail_if_*"]),
    ("TestFailIfBodyNotMatchesRegexp", &["bodies::fail_unless_*"]),
    ("TestFailIfHeaderMatchesRegexp", &["headers::fail_if_*"]),
    (
        "TestFailIfHeaderNotMatchesRegexp",
        &["headers::fail_unless_*"],
    ),
    (
        "TestHTTPHeaders",
        &[
            "headers::send_host",
            "headers::send_user_agent",
            "headers::send_several",
        ],
    ),
    ("TestFailIfSelfSignedCA", &["certificates::itself*"]),
    (
        "TestSucceedIfSelfSignedCA",
        &["certificates::itself_skipped"],
    ),
    (
        "TestTLSConfigIsIgnoredForPlainHTTP",
        &["certificates::skip_for_plain_http"],
    ),
    (
        "TestHTTPUsesTargetAsTLSServerName",
        &[
            "certificates::name_of_name_only",
            "certificates::own-authority_as_own_root",
            "tests/e2e/probers.rs: the_name_that_a_certificate_is_verified_for",
        ],
    ),
    // In place of a public host: a root that the system trusts.
    (
        "TestRedirectToTLSHostWorks",
        &[
            "redirects::to_https_with_system_root",
            "redirects::to_https_with_root",
        ],
    ),
    (
        "TestHTTPPhases",
        &["redirects::within_https", "certificates::*"],
    ),
    ("TestCookieJar", &["redirects::cookie_plain"]),
    (
        "TestSkipResolvePhase",
        &[
            "proxies::skip_without_proxy",
            "proxies::http_skip",
            "proxies::connect_named_skip",
            "proxies::environment_name_skip",
            "proxies::environment_https_name_skip",
        ],
    ),
    (
        "TestBody",
        &["http::method_post", "http::method_put_of_a_file"],
    ),
    (
        "TestHTTPParsingScheme",
        &[
            "http::target_no_scheme",
            "http::target_other_scheme",
            "http::target_scheme_*",
        ],
    ),
    // HTTP/3 is not spoken: such a module answers 503 and says so.
    (
        "TestValidHTTPVersionsQUIC",
        &[
            "http::http3_any_version",
            "http::http3_version_3",
            "config::http_http3_and_version_1",
            "config::http_http3_and_version_2",
            "config::http_http3_and_version_1_and_2",
        ],
    ),
    (
        "TestHTTP3ProbeQUIC",
        &[
            "http::http3_version_3",
            "core/spec/tests/good_files.rs: what_can_never_succeed_loads_with_a_warning",
        ],
    ),
    (
        "TestHTTP3ProbeQUICMixedCaseHTTPScheme",
        &["http::http3_mixed_case"],
    ),
    // tcp
    ("TestTCPConnection", &["tcp::target_plain"]),
    ("TestTCPConnectionFails", &["tcp::target_port_only"]),
    (
        "TestTCPConnectionWithTLS",
        &[
            "tcp::tls*",
            "tests/e2e/probers.rs: the_name_that_a_certificate_is_verified_for",
        ],
    ),
    (
        "TestTCPConnectionWithTLSAndVerifiedCertificateChain",
        &[
            "tcp::tls_two_roots",
            "tests/e2e/probers.rs: the_ends_of_a_chain_with_two_roots",
        ],
    ),
    (
        "TestTCPConnectionQueryResponseStartTLS",
        &["tcp::starttls*"],
    ),
    (
        "TestTCPConnectionQueryResponseIRC",
        &["tcp::irc", "tcp::irc_error"],
    ),
    (
        "TestTCPConnectionQueryResponseMatching",
        &["tcp::labels", "tcp::expand_*"],
    ),
    ("TestTCPConnectionQueryResponseByteMode", &["tcp::bytes"]),
    (
        "TestTCPConnectionQueryResponseByteModeFail",
        &["tcp::bytes_other"],
    ),
    (
        "TestTCPConnectionProtocol",
        &[
            "tcp::ip4_only",
            "tcp::ip6_only",
            "tests/e2e/probers.rs: one_address_is_tried_in_the_family_that_is_wanted",
        ],
    ),
    (
        "TestPrometheusTimeoutTCP",
        &[
            "tcp::expect_nothing_matches",
            "tcp::expect_wrong_then_silence",
        ],
    ),
    ("TestProbeExpectInfo", &["tcp::labels_around"]),
];

/// Nothing that the list names is gone.
pub(crate) fn are_covered() {
    let cases = cases::all();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let is_there = |name: &str| match name.split_once(": ") {
        None => cases.iter().any(|case| matches(name, &case.name)),
        Some((file, function)) => std::fs::read_to_string(root.join(file))
            .is_ok_and(|text| text.contains(&format!("fn {function}("))),
    };
    let gone: Vec<&str> = ROWS
        .iter()
        .flat_map(|(_, names)| names.iter().copied())
        .filter(|name| !is_there(name))
        .collect();
    assert!(gone.is_empty(), "nothing of these names: {gone:#?}");
}
