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
use probity_engine::{GroupId, Outcome, Schedule, Spec};

use super::{Query, Wanted, param, plain};
use crate::app::App;
use crate::exposition::{self, Encoder, Format};
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

pub(super) async fn run(State(app): State<Arc<App>>, query: Query, headers: HeaderMap) -> Response {
    match answer(&app, &query, &headers).await {
        Ok(response) => response,
        Err((status, sentence)) => plain(status, sentence + "\n"),
    }
}

type Refusal = (StatusCode, String);

async fn answer(app: &App, query: &Query, headers: &HeaderMap) -> Result<Response, Refusal> {
    let bad = |sentence: String| (StatusCode::BAD_REQUEST, sentence);
    let running = app.running();
    let name = param(query, "module").filter(|name| !name.is_empty());
    let name = name.unwrap_or("http_2xx");
    let Some(module) = running.module(name) else {
        app.unknown_modules.fetch_add(1, Ordering::Relaxed);
        return Err(bad(format!("Unknown module {name:?}")));
    };
    let announced = headers.get(TIMEOUT_HEADER).map(|it| it.to_str());
    let timeout = timeout(
        module.timeout,
        announced.map(|it| it.unwrap_or("?")),
        app.timeout_offset,
    )
    .map_err(|sentence| (StatusCode::INTERNAL_SERVER_ERROR, sentence))?;
    let target = param(query, "target").filter(|target| !target.is_empty());
    let target = target.ok_or_else(|| bad("Target parameter is missing".into()))?;
    let params = TargetParams {
        hostname: param(query, "hostname").filter(|name| !name.is_empty()),
    };
    let check = module
        .module
        .target(target, params)
        .map_err(|error| bad(format!("Module {name:?} cannot probe this target: {error}")))?;

    let debug = param(query, "debug") == Some("true");
    let once = Once {
        spec: Arc::new(Spec {
            check,
            // A single run has no schedule and no health.
            schedule: Schedule::new(Duration::from_secs(60), timeout, Duration::ZERO)
                .map_err(|error| bad(error.to_string()))?,
            threshold: threshold::Config::new(Kind::Plain, 1, 1)
                .map_err(|error| bad(error.to_string()))?,
            group: AD_HOC,
        }),
        timeout,
        trace: debug,
    };
    let unavailable = |sentence: String| (StatusCode::SERVICE_UNAVAILABLE, sentence);
    let report = app
        .bridge
        .run_once(once)
        .await
        .map_err(|error| unavailable(error.to_string()))?;

    if debug {
        let config = running.module_text(name);
        let config = config.unwrap_or_else(|error| format!("# {error}\n"));
        let text = render::probe::debug(&report, name, target, &config, app.bridge.handle());
        return Ok(plain(StatusCode::OK, text));
    }
    // Not the target's failure: Prometheus shall see that it does not know.
    if let Outcome::Unknown(reason) = report.outcome {
        let sentence = format!("The probe could not be made ({reason}): {}", report.detail);
        return Err(unavailable(sentence));
    }
    let wanted = Wanted::by(headers, Format::PROBE);
    let body = exposition::Body::new(wanted.encoding, Vec::new());
    let mut encoder = Encoder::new(wanted.format, body);
    let encoded = render::probe::write(&mut encoder, &report)
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
        Some(text) => text.parse::<f64>().map_err(|_| {
            format!(
                "Failed to parse timeout from Prometheus header: strconv.ParseFloat: parsing {text:?}: invalid syntax"
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
        module
    } else {
        Duration::try_from_secs_f64(most).unwrap_or(Schedule::LONGEST)
    };
    Ok(chosen.clamp(Schedule::SHORTEST, Schedule::LONGEST))
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
        ] {
            let module = (module > 0.0).then(|| Duration::from_secs_f64(module));
            let timeout = timeout(module, Some(announced), offset).unwrap();
            assert_eq!(
                timeout.as_secs_f64(),
                expected,
                "{module:?} {announced} {offset}"
            );
        }
        assert!(
            timeout(None, Some("soon"), 0.5)
                .unwrap_err()
                .contains("\"soon\"")
        );
    }
}
