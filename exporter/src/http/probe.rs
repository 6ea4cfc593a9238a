//! `/probe`: one fresh run on the same engine, answered as blackbox_exporter
//! answers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use probity_driver::Once;
use probity_engine::check::TargetParams;
use probity_engine::threshold::{self, Kind};
use probity_engine::{GroupId, Schedule, Spec};

use super::query::{self, Params};
use super::{Wanted, page, plain};
use crate::app::App;
use crate::cli::log::PROBES;
use crate::exposition::{self, Encoder};
use crate::history::Probed;
use crate::render;

/// What Prometheus allows a scrape when it does not say: blackbox_exporter's
/// default.
const DEFAULT_SCRAPE_TIMEOUT: f64 = 120.0;
/// Most that is believed of what Prometheus allows. Places for single runs are
/// few, and one that is taken by a silent target is free again only then.
const LONGEST_SCRAPE_TIMEOUT: f64 = 600.0;
/// Single runs are nobody's job: what is counted for this group is not shown.
const AD_HOC: GroupId = GroupId(u32::MAX);
const TIMEOUT_HEADER: &str = "x-prometheus-scrape-timeout-seconds";

pub(super) async fn run(
    State(app): State<Arc<App>>,
    query: Params,
    headers: HeaderMap,
) -> Response {
    match answer(&app, &query, &headers).await {
        Ok(response) => response,
        Err((status, sentence)) => plain(status, sentence + "\n"),
    }
}

type Refusal = (StatusCode, String);

/// The order of the checks is part of the promise: a request that is wrong in
/// two ways is told of the same one as by blackbox_exporter.
async fn answer(app: &App, query: &Params, headers: &HeaderMap) -> Result<Response, Refusal> {
    let bad = |sentence: String| (StatusCode::BAD_REQUEST, sentence);
    let name = query.given("module").unwrap_or("http_2xx");
    let unknown = || {
        app.unknown_modules.fetch_add(1, Ordering::Relaxed);
        bad(format!("Unknown module {name:?}"))
    };
    let running = app.running();
    let module = running.module(name).ok_or_else(unknown)?;
    let announced = headers.get(TIMEOUT_HEADER);
    let announced = announced.map(|it| String::from_utf8_lossy(it.as_bytes()));
    let timeout = timeout(module.timeout, announced.as_deref(), app.timeout_offset)
        .map_err(|sentence| (StatusCode::INTERNAL_SERVER_ERROR, sentence))?;
    // Looking at its files is part of the probe, and takes a small part.
    let (running, waited) = app.running_with(name, timeout / 10).await;
    let module = running.module(name).ok_or_else(unknown)?;
    let left = timeout.saturating_sub(waited);
    let target = query.given("target");
    let target = target.ok_or_else(|| bad("Target parameter is missing".into()))?;
    // Once more, as blackbox_exporter does since people encode twice.
    let target = query::unescape(target).unwrap_or_else(|| target.to_owned());
    let refused = |why: String| {
        // Who scrapes does not see the answer's text.
        tracing::warn!(target: PROBES, module = name, target, err = %why, "Probe refused");
        bad(why)
    };
    let checked = module.module.map_err(refused)?;
    let params = TargetParams {
        hostname: query.given("hostname"),
        ..probity_spec::system_params()
    };
    let check = checked.attempt(&target, params).map_err(bad)?;

    let allowed = left.clamp(Schedule::SHORTEST, Schedule::LONGEST);
    let once = Once {
        spec: Arc::new(Spec {
            check,
            // A single run has no schedule and no health.
            schedule: Schedule::new(Duration::from_secs(60), allowed, Duration::ZERO)
                .map_err(|error| bad(error.to_string()))?,
            threshold: threshold::Config::new(Kind::Plain, 1, 1)
                .map_err(|error| bad(error.to_string()))?,
            group: AD_HOC,
        }),
        timeout: left,
        // For /logs, should anybody ask.
        trace: true,
    };
    let unavailable = |sentence: String| (StatusCode::SERVICE_UNAVAILABLE, sentence);
    // A client that goes away drops this, which ends the run.
    let report = app.bridge.run_once(once).await;
    let report = report
        .map_err(|error| unavailable(format!("The probe could not be made (overload): {error}")))?;
    let record = app.probed(Probed {
        module: name.into(),
        target: target.into(),
        timeout,
        report: report.into(),
        config: running.module_text(name, params.hostname),
    });
    let probed = &record.probed;
    // Not the target's failure: Prometheus shall see that it does not know.
    let not_made = render::probe::not_made(probed.report.outcome, &probed.report.detail);
    if query.get("debug") == Some("true") {
        let handle = app.bridge.handle();
        let level = app.journal.level();
        let mut page = page(render::probe::debug(probed, level, |at| {
            handle.unix_time(at)
        }));
        if not_made.is_some() {
            *page.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        return Ok(page);
    }
    if let Some(sentence) = not_made {
        return Err(unavailable(sentence));
    }
    let wanted = Wanted::of_probe(headers);
    let body = exposition::Body::new(wanted.encoding, Vec::new());
    let mut encoder = Encoder::new(wanted.format, body);
    let encoded = render::probe::write(&mut encoder, probed)
        .and_then(|()| encoder.finish())
        .and_then(exposition::Body::finish)
        .map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(wanted.response(encoded.into()))
}

/// How long the run may take: blackbox_exporter's rule (`getTimeout`). The
/// offset is only taken off what Prometheus allows, and a module's own timeout
/// can only shorten that.
fn timeout(
    module: Option<Duration>,
    announced: Option<&str>,
    offset: f64,
) -> Result<Duration, String> {
    let allowed = match announced.filter(|text| !text.is_empty()) {
        None => 0.0,
        Some(text) => scrape_timeout(text).map_err(|why| {
            format!(
                "Failed to parse timeout from Prometheus header: strconv.ParseFloat: parsing {text:?}: {why}"
            )
        })?,
    };
    let allowed = if allowed == 0.0 {
        DEFAULT_SCRAPE_TIMEOUT
    } else {
        // Also what is infinite or not a number.
        allowed.min(LONGEST_SCRAPE_TIMEOUT)
    };
    let most = allowed - offset;
    let module = module.unwrap_or_default();
    let chosen = if (module > Duration::ZERO && module.as_secs_f64() < most) || most < 0.0 {
        // Without a limit of the module's own this is 0, and the run over at once.
        module
    } else {
        Duration::try_from_secs_f64(most).unwrap_or(Schedule::LONGEST)
    };
    Ok(chosen.min(Schedule::LONGEST))
}

/// As Go's `strconv.ParseFloat`, but for hexadecimal numbers.
fn scrape_timeout(text: &str) -> Result<f64, &'static str> {
    let value: f64 = text.parse().map_err(|_| "invalid syntax")?;
    // Infinity is only what is spelled so.
    if value.is_infinite() && text.contains(|c: char| c.is_ascii_digit()) {
        return Err("value out of range");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_follow_blackbox_exporter() {
        for (module, announced, offset, expected) in [
            (0.0, "15", 0.5, 14.5),
            (0.0, "15", 0.0, 15.0),
            (20.0, "15", 0.5, 14.5),
            (20.0, "15", 0.0, 15.0),
            (5.0, "15", 0.0, 5.0),
            (5.0, "15", 0.5, 5.0),
            (10.0, "", 0.5, 10.0),
            (10.0, "10", 0.5, 9.5),
            (9.5, "", 0.5, 9.5),
            (9.5, "", 1.0, 9.5),
            (0.0, "", 0.5, 119.5),
            (0.0, "", 0.0, 120.0),
            (0.0, "86400", 0.5, 599.5),
            (0.0, "inf", 0.0, 600.0),
            (0.0, "NaN", 0.0, 600.0),
            (3.0, "NaN", 0.0, 3.0),
            (0.0, "0.3", 0.5, 0.0),
            (2.0, "0.3", 0.5, 2.0),
            (0.0, "0.5", 0.5, 0.0),
            (0.0, "-1", 0.5, 0.0),
            (0.0, "0", 0.5, 119.5),
            (0.0, "+1e1", 0.0, 10.0),
        ] {
            let module = (module > 0.0).then(|| Duration::from_secs_f64(module));
            let timeout = timeout(module, Some(announced), offset).unwrap();
            assert_eq!(
                timeout.as_secs_f64(),
                expected,
                "{module:?} {announced} {offset}"
            );
        }
        for (wrong, why) in [
            ("soon", "invalid syntax"),
            (" 1", "invalid syntax"),
            ("1e999", "value out of range"),
        ] {
            let sentence = timeout(None, Some(wrong), 0.5).unwrap_err();
            let expected = format!("strconv.ParseFloat: parsing {wrong:?}: {why}");
            assert!(sentence.ends_with(&expected), "{sentence}");
        }
    }
}
