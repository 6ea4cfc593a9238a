//! `probity wasm inspect`: what a check says about itself.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use probity_engine::config::Files as _;
use probity_engine::fact::MetricKind;
use probity_engine::guest::{Class, Plugin, Refusal, Source};
use probity_spec::SystemFiles;

use crate::cli::waterfall::printable;
use crate::guests;

/// Loads a check and prints what it is.
///
/// # Errors
/// Why it cannot be loaded, in one sentence.
pub(super) fn main(path: &Path, class: Class) -> Result<u8, String> {
    let (plugin, bytes) = load(path, class)?;
    print!("{}", describe(&*plugin, bytes));
    Ok(0)
}

/// Loads a check that keeps to the rules, and says how large its file is.
///
/// # Errors
/// Why it cannot be loaded, in one sentence.
pub(super) fn load(path: &Path, class: Class) -> Result<(Arc<dyn Plugin>, usize), String> {
    let name = path.display().to_string();
    let bytes = SystemFiles.read(&name)?;
    let source = Source {
        path: &name,
        bytes: &bytes,
        pin: None,
        class,
        limits: class.usual(),
        runs_per_instance: 1,
        sessions_per_instance: 1,
    };
    let plugin = guests::load(&source).map_err(|why| match why {
        Refusal::Unusable(why) => format!("{name}: {why}"),
        Refusal::Digest(_) => format!("{name}: is another file"),
    })?;
    let checked = plugin.description().check();
    checked.map_err(|why| format!("{name}: its description breaks a rule: {why}"))?;
    Ok((plugin, bytes.len()))
}

/// Help texts may be anything: no control characters.
fn describe(plugin: &dyn Plugin, bytes: usize) -> String {
    let description = plugin.description();
    let digest: String = plugin
        .digest()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect();
    let (name, version) = (
        printable(&description.name),
        printable(&description.version),
    );
    let mut text = format!("{name} {version}\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  file         {bytes} bytes");
    let _ = writeln!(text, "  sha256       {digest}");
    if let Some(port) = description.default_port {
        let _ = writeln!(text, "  port         {port}");
    }
    for phase in &description.phases {
        let _ = writeln!(text, "  phase        {}", printable(phase));
    }
    for metric in &description.metrics {
        let kind = match metric.kind {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
        };
        let labels = match &*metric.labels {
            [] => String::new(),
            labels => format!("{{{}}}", labels.join(",")),
        };
        let series = format!("{}{labels}", metric.name);
        let (series, help) = (printable(&series), printable(&metric.help));
        let _ = writeln!(text, "  {kind:<12} {series}: {help}");
    }
    if !description.config_schema.is_empty() {
        let schema = printable(&description.config_schema);
        let _ = writeln!(text, "  config       {schema}");
    }
    text
}
