//! `/`: what a person sees first.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use probity_driver::{FleetQuery, Row};

use super::api::health;
use crate::app::{App, Running};
use crate::events::{Event, Place};
use crate::history::Record;

/// Events on the page.
const EVENTS: usize = 20;

#[derive(Default)]
struct Count {
    up: usize,
    down: usize,
    unknown: usize,
}

pub(super) async fn page(State(app): State<Arc<App>>) -> Response {
    let running = app.running();
    // Nobody closes it; without a place there would only be no bound.
    let _place = app.looks.acquire().await;
    let rows = app.bridge.fleet(FleetQuery::default()).await;
    let mut html = head("");
    write_form(&mut html, &running);
    html.push_str("<h2>Fleet</h2>\n");
    match rows {
        Err(unavailable) => {
            // Writing to a string cannot fail.
            let _ = writeln!(html, "<p>No figures: {unavailable}.</p>");
        }
        Ok(fleet) => write_jobs(&mut html, &running, &fleet.rows),
    }
    let probes = app.history().latest_first();
    write_probes(&mut html, &probes);
    let events = app.events().page(None, Place::Latest(0), EVENTS);
    write_events(&mut html, &events.events);
    html.push_str("</body></html>\n");
    finished(html)
}

/// The page for paths that do not exist: health checks ask for those often,
/// and no copy of the fleet should be made for each. `rest` is the path under
/// the prefix.
pub(super) fn without_fleet(app: &App, rest: &str) -> Response {
    let mut html = head(rest);
    html.push_str("<p>The fleet is <a href=\"./\">on the first page</a>.</p>\n");
    let probes = app.history().latest_first();
    write_probes(&mut html, &probes);
    html.push_str("</body></html>\n");
    finished(html)
}

/// The beginning of a page at the path `rest`. All links are relative to the
/// first page, wherever a reverse proxy has it.
fn head(rest: &str) -> String {
    let up = "../".repeat(rest.matches('/').count());
    HEAD.replace(BASE, if up.is_empty() { "./" } else { &up })
}

/// A form for `/probe` with the modules that can be used.
fn write_form(html: &mut String, running: &Running) {
    let modules = running.file.modules();
    let usable = modules.filter(|(_, module)| module.module().is_some());
    html.push_str(FORM);
    for (name, _) in usable {
        let selected = if name == DEFAULT_MODULE {
            " selected"
        } else {
            ""
        };
        // Writing to a string cannot fail.
        let _ = write!(html, "<option{selected}>{}</option>", escape(name));
    }
    html.push_str(FORM_END);
}

fn finished(html: String) -> Response {
    // The page itself says that it is UTF-8.
    ([(header::CONTENT_TYPE, "text/html")], html).into_response()
}

/// What was asked for at `/probe`, the latest first.
fn write_probes(html: &mut String, records: &[Arc<Record>]) {
    html.push_str("<h2>Recent Probes</h2>\n<table><tr><th>Module</th><th>Target</th><th>Result</th><th>Debug</th></tr>\n");
    for record in records {
        let probed = &record.probed;
        let (module, target) = (escape(&probed.module), escape(&probed.target));
        let result = match probed.result() {
            "Success" => "Success".to_owned(),
            other => format!("<strong>{other}</strong>"),
        };
        let id = record.id;
        // Writing to a string cannot fail.
        let _ = writeln!(
            html,
            "<tr><td>{module}</td><td>{target}</td><td>{result}</td><td><a href=\"logs?id={id}\">Logs</a></td></tr>"
        );
    }
    html.push_str("</table>\n");
}

fn write_jobs(html: &mut String, running: &Running, rows: &[Row]) {
    if running.jobs.is_empty() {
        html.push_str("<p>No jobs are configured: <code>/probe</code> works, <code>/fleet</code> is empty.</p>\n");
    } else {
        html.push_str("<table><tr><th>Job</th><th>Targets</th><th>Up</th><th>Down</th><th>Unknown</th></tr>\n");
        // A job whose targets are still to be discovered is there too.
        let names = running.jobs.iter().map(|(name, _)| name.as_str());
        let mut counts: BTreeMap<&str, Count> = names.map(|it| (it, Count::default())).collect();
        for (entry, row) in running.index.join(rows) {
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
}

fn write_events(html: &mut String, events: &[Event]) {
    html.push_str("<h2>Events</h2>\n");
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
}

pub(super) fn escape(text: &str) -> String {
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

/// What stands in [`HEAD`] for the way to the first page.
const BASE: &str = "{base}";

/// What `/probe` takes if it is not told.
const DEFAULT_MODULE: &str = "http_2xx";

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><base href="{base}"><title>probity</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #8884; overflow-wrap: anywhere; }
.bad { color: #d33; font-weight: bold; }
</style></head><body>
<h1>probity</h1>
<p><a href="metrics">metrics</a> &middot;
<a href="fleet">fleet</a> &middot;
<a href="api/v1/targets">targets</a> &middot;
<a href="api/v1/events">events</a> &middot;
<a href="config">config</a></p>
"#;

const FORM: &str = r#"<form action="probe">
<label>Target <input name="target" required size="40" placeholder="https://a.example/ or host:port"></label>
<label>Module <select name="module">"#;

const FORM_END: &str = r#"</select></label>
<label><input type="checkbox" name="debug" value="true" checked> say how</label>
<button>Probe</button></form>
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Texts;
    use crate::history::History;
    use crate::render::bench;
    use crate::render::fleet::{Index, JobView};
    use probity_engine::GroupId;
    use probity_spec::{DEFAULT, File, SystemFiles};

    fn running(text: &str, job: &str) -> Running {
        let view = JobView {
            name: job.into(),
            ..JobView::default()
        };
        Running {
            file: File::parse("t", text, &SystemFiles).unwrap(),
            stamps: crate::files::Stamps::default(),
            index: Index::new(vec![view], Vec::new()),
            jobs: vec![(job.into(), GroupId(0))],
            texts: Texts::default(),
        }
    }

    #[test]
    fn the_form_has_the_modules_that_can_be_used() {
        let text = "modules: {'a<b': {prober: tcp}, far: {prober: icmp}, http_2xx: {prober: http}}";
        let mut html = String::new();
        write_form(&mut html, &running(text, "web"));
        let options = "<option>a&lt;b</option><option selected>http_2xx</option></select>";
        assert!(html.contains(options), "{html}");
    }

    #[test]
    fn links_lead_to_the_first_page_from_everywhere() {
        for (rest, base) in [("", "./"), ("nosuch", "./"), ("a/b/c", "../../")] {
            let html = head(rest);
            let base = format!("<base href=\"{base}\">");
            assert!(html.contains(&base) && !html.contains("href=\"/"), "{html}");
        }
    }

    #[test]
    fn a_job_without_targets_is_listed() {
        let mut running = running(DEFAULT, "<i>");
        let mut html = String::new();
        write_jobs(&mut html, &running, &[]);
        let row = "<tr><td>&lt;i&gt;</td><td>0</td><td>0</td><td>0</td><td>0</td></tr>";
        assert!(html.contains(row), "{html}");
        running.jobs.clear();
        html.clear();
        write_jobs(&mut html, &running, &[]);
        assert!(html.contains("No jobs are configured"), "{html}");
    }

    #[test]
    fn probes_are_listed_with_the_latest_first() {
        let mut history = History::new(2);
        for target in ["<b>", "c"] {
            let mut probed = bench::probed(bench::tcp(&[]));
            probed.target = target.into();
            history.add(probed);
        }
        let mut html = String::new();
        write_probes(&mut html, &history.latest_first());
        let row = |target, id| {
            format!(
                "<tr><td>tcp</td><td>{target}</td><td><strong>Failure</strong></td><td><a href=\"logs?id={id}\">Logs</a></td></tr>\n"
            )
        };
        let rows = format!("{}{}", row("c", 1), row("&lt;b&gt;", 0));
        assert!(html.contains(&rows), "{html}");
    }

    #[test]
    fn what_peers_say_is_escaped() {
        assert_eq!(
            escape("<b a='1'>\"&\"</b>"),
            "&lt;b a=&#39;1&#39;&gt;&quot;&amp;&quot;&lt;/b&gt;"
        );
    }
}
