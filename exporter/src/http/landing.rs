//! `/`: what a person sees first.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;
use probity_driver::FleetQuery;

use super::api::health;
use crate::app::App;

/// Events on the page.
const EVENTS: usize = 20;

#[derive(Default)]
struct Count {
    up: usize,
    down: usize,
    unknown: usize,
}

pub(super) async fn page(State(app): State<Arc<App>>) -> Html<String> {
    let running = app.running();
    let rows = app.bridge.fleet(FleetQuery::default()).await;
    let rows = rows.map(|fleet| fleet.rows).unwrap_or_default();
    let mut html = String::from(HEAD);
    html.push_str("<h2>Fleet</h2>\n");
    let names = running.job_names();
    if names.is_empty() {
        html.push_str("<p>No jobs are configured: <code>/probe</code> works, <code>/fleet</code> is empty.</p>\n");
    } else {
        html.push_str("<table><tr><th>Job</th><th>Targets</th><th>Up</th><th>Down</th><th>Unknown</th></tr>\n");
        let mut counts = std::collections::BTreeMap::<&str, Count>::new();
        for (entry, row) in running.index.join(&rows) {
            let count = counts.entry(running.job_name(entry)).or_default();
            match health(row) {
                "up" => count.up += 1,
                "down" => count.down += 1,
                _ => count.unknown += 1,
            }
        }
        for (job, Count { up, down, unknown }) in counts {
            let job = escape(job);
            let total = up + down + unknown;
            let class = if down > 0 { " class=\"bad\"" } else { "" };
            // Writing to a string cannot fail.
            let _ = writeln!(
                html,
                "<tr><td>{job}</td><td>{total}</td><td>{up}</td><td{class}>{down}</td><td>{unknown}</td></tr>"
            );
        }
        html.push_str("</table>\n");
    }
    html.push_str("<h2>Events</h2>\n");
    let events = app.events();
    if events.is_empty() {
        html.push_str("<p>Nothing has happened.</p>\n");
    } else {
        html.push_str("<table><tr><th>Type</th><th>Reason</th><th>Job</th><th>Target</th><th>Message</th><th>Seen</th></tr>\n");
        for event in events.iter().take(EVENTS) {
            let cells = [
                event.severity,
                event.reason,
                &event.job,
                &event.instance,
                &event.message,
                if event.repeated.is_empty() {
                    "once"
                } else {
                    &event.repeated
                },
            ];
            html.push_str("<tr>");
            for cell in cells {
                let _ = write!(html, "<td>{}</td>", escape(cell));
            }
            html.push_str("</tr>\n");
        }
        html.push_str("</table>\n");
    }
    html.push_str("</body></html>\n");
    Html(html)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>probity</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
.bad { color: #d33; font-weight: bold; }
</style></head><body>
<h1>probity</h1>
<p><a href="probe?target=http://localhost:9115/-/healthy&amp;module=http_2xx">Probe this exporter</a>
(<a href="probe?target=http://localhost:9115/-/healthy&amp;module=http_2xx&amp;debug=true">and say how</a>) &middot;
<a href="metrics">metrics</a> &middot;
<a href="fleet">fleet</a> &middot;
<a href="api/v1/targets">targets</a> &middot;
<a href="api/v1/events">events</a> &middot;
<a href="config">config</a></p>
"#;

#[cfg(test)]
mod tests {
    #[test]
    fn what_peers_say_is_escaped() {
        assert_eq!(
            super::escape("<b a='1'>\"&\"</b>"),
            "&lt;b a=&#39;1&#39;&gt;&quot;&amp;&quot;&lt;/b&gt;"
        );
    }
}
