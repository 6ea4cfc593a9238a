//! Servers that answer after known times, at rising load: what we say of them.

use std::time::Duration;

use crate::Plan;
use crate::engine::{driver, results, specs, stats};
use crate::farm::{DELAYS, Farm};
use crate::report::{Bar, Report};

pub(crate) fn measure(plan: &Plan, farm: &Farm, report: &mut Report) -> Result<(), String> {
    let rates: &[u32] = if plan.quick {
        &[200]
    } else {
        &[1_000, 5_000, 10_000]
    };
    for rate in rates {
        for (index, delay) in DELAYS.iter().enumerate() {
            let place = &farm.places.delayed[index..=index];
            let interval = Duration::from_secs(1);
            let changes = specs(r#"{"prober":"http"}"#, place, *rate, interval, interval)?;
            let handle = driver(changes)?;
            handle.begin().map_err(|error| error.to_string())?;
            std::thread::sleep(interval + plan.round);
            let stats = stats(&handle)?;
            handle.shutdown(Duration::ZERO);
            let runs = results(&stats);
            let Some((_, group)) = stats.groups.first() else {
                return Err("nothing has ended".into());
            };
            let error = |quantile| {
                let found = group.total.hdr.value_at_quantile(quantile);
                found.abs_diff(*delay) as f64
            };
            let name = format!("truth: {rate}/s, {} ms", *delay as f64 / 1e3);
            let judged = *rate >= 10_000;
            let bar = |most| if judged { Bar::AtMost(most) } else { Bar::None };
            report.add(
                format!("{name}: latency error, median"),
                error(0.5),
                "us",
                bar(100.0),
            );
            report.add(
                format!("{name}: latency error, p99"),
                error(0.99),
                "us",
                bar(1_000.0),
            );
            report.add(
                format!("{name}: healthy targets called down"),
                runs[2] as f64,
                "",
                Bar::AtMost(0.0),
            );
            let lag = stats.engine.start_lag.quantile(0.99).unwrap_or(0.0) * 1e3;
            report.add(format!("{name}: start lag, p99"), lag, "ms", bar(2.0));
        }
    }
    Ok(())
}
