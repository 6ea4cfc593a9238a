//! What a wrong name was probably meant to be.

use crate::error::excerpt;

/// Says that `found` is no `what`, which it should have been, and what is.
pub(crate) fn unknown(what: &str, found: &str, known: &[&str]) -> String {
    let shown = shown(found);
    format!("unknown {what} {shown}{}", instead(found, known))
}

/// Says of a key that nothing is called so, in the words of yaml.v3.
pub(crate) fn no_field(found: &str, known: &[&str]) -> String {
    let shown = shown(found);
    let shown = shown.trim_matches('`');
    format!("field {shown} not found{}", instead(found, known))
}

/// Whether that is what `message` says.
pub(crate) fn is_no_field(message: &str) -> bool {
    message.starts_with("field ") && message.contains(" not found, ")
}

/// Says of a prober that there is none, in the words of blackbox_exporter.
pub(crate) fn no_prober(found: &str, known: &[&str]) -> String {
    let shown = shown(found);
    let shown = shown.trim_matches(['`', '"']);
    format!("prober '{shown}' is not valid{}", instead(found, known))
}

fn shown(found: &str) -> String {
    if found.len() <= 64 && !found.contains(char::is_control) {
        format!("`{found}`")
    } else {
        excerpt(found)
    }
}

/// What may have been meant.
fn instead(found: &str, known: &[&str]) -> String {
    match nearest(found, known) {
        Some(name) => format!(", did you mean `{name}`?"),
        None if known.is_empty() => ", there are none".to_owned(),
        None => format!(", expected one of {}", list(known)),
    }
}

/// Names as a list for a sentence.
pub(crate) fn list(names: &[&str]) -> String {
    names.join(", ")
}

/// The name that takes the fewest edits, if they are few for its length.
fn nearest<'k>(found: &str, known: &[&'k str]) -> Option<&'k str> {
    if found.len() > 64 {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace(['_', '-'], "");
    let wanted = plain(found);
    known
        .iter()
        .map(|name| (distance(&wanted, &plain(name)), *name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a`
/// into `b` (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = &["interval", "timeout", "initial_delay", "job_name"];
        for (found, name) in [
            ("intervall", Some("interval")),
            ("itnerval", Some("interval")),
            ("timeOut", Some("timeout")),
            ("initialDelay", Some("initial_delay")),
            ("jobname", Some("job_name")),
            ("x", None),
            ("relabel_configs", None),
        ] {
            assert_eq!(nearest(found, known), name, "{found}");
        }
    }
}
