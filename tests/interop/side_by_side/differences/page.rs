//! The list as a page for those who move from the other exporter.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use super::{KINDS, Listed};

/// Where the page is.
const PATH: &str = "interop/DIFFERENCES.md";

const HEAD: &str = "\
# What differs from blackbox_exporter 0.28, and why

Every difference that a suite (`side_by_side` beside this page) sees and that is meant:
it asks both programs the same, and fails where they differ in what is not here, and
where something here no longer occurs. The page is made from the list that the suite
uses; what no case of it shows is said in the README. (Differences from 0.23 that are not
those from 0.28 stand in `side_by_side/differences/older.rs`.)

`*` stands for anything, `-` for nothing: a series or line that only one has.
";

/// A field with its two values, and the cases that show them.
type Row = ([&'static str; 3], Vec<&'static str>);

/// The page for what is listed.
fn text() -> String {
    let mut page = HEAD.to_owned();
    for (title, listed) in KINDS {
        let _ = write!(page, "\n## {title}\n");
        for (reason, rows) in by_reason(listed) {
            let _ = write!(
                page,
                "\n**{reason}**\n\n| what | blackbox_exporter | probity | in cases |\n| --- | --- | --- | --- |\n"
            );
            for ([field, upstream, ours], cases) in rows {
                let cases: Vec<String> = cases.into_iter().map(code).collect();
                let _ = writeln!(
                    page,
                    "| {} | {} | {} | {} |",
                    code(field),
                    code(upstream),
                    code(ours),
                    cases.join(", ")
                );
            }
        }
    }
    page
}

/// What differs for one reason, in the order of the list.
fn by_reason(listed: &'static [Listed]) -> Vec<(&'static str, Vec<Row>)> {
    let mut order: Vec<&str> = Vec::new();
    let mut found: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
    for one in listed {
        if !order.contains(&one.reason) {
            order.push(one.reason);
        }
        let rows = found.entry(one.reason).or_default();
        let row = [one.field, one.upstream, one.ours];
        match rows.iter_mut().find(|(known, _)| *known == row) {
            Some((_, cases)) => cases.push(one.case),
            None => rows.push((row, vec![one.case])),
        }
    }
    let rows = |reason| (reason, found.remove(reason).unwrap_or_default());
    order.into_iter().map(rows).collect()
}

/// A text as it is, in a cell of a table.
fn code(text: &str) -> String {
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    let text = text.replace('\n', "\\n").replace('|', "\\|");
    // What has a backtick itself needs two around it.
    match text.contains('`') {
        true => format!("`` {text} ``"),
        false => format!("`{text}`"),
    }
}

/// `PROBITY_WRITE_DIFFERENCES=1` writes it.
pub(crate) fn is_up_to_date() -> Result<(), String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PATH);
    let text = text();
    if env::var_os("PROBITY_WRITE_DIFFERENCES").is_some() {
        fs::write(&path, &text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    match fs::read_to_string(&path) {
        Ok(there) if there == text => Ok(()),
        _ => Err(format!(
            "tests/{PATH} is not what the list says: run PROBITY_WRITE_DIFFERENCES=1 \
             cargo test --workspace --test interop -- side_by_side::page"
        )),
    }
}
