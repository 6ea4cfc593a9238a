//! What the page says of reasons is what the code says of them.

use probity_engine::Reason;

const PAGE: &str = include_str!("../README.md");
const CODE: &str = include_str!("../src/outcome.rs");

/// The rows that the code makes: a name, and its documentation in one line.
fn rows() -> Vec<String> {
    let (_, list) = CODE.split_once("reasons! {\n").expect("the list");
    let (mut rows, mut documentation) = (Vec::new(), Vec::new());
    for line in list.lines().map(str::trim).take_while(|line| *line != "}") {
        if let Some(words) = line.strip_prefix("///") {
            documentation.push(words.trim());
        } else {
            let name = line.split('"').nth(1).expect("a name");
            rows.push(format!("| `{name}` | {} |", documentation.join(" ")));
            documentation.clear();
        }
    }
    rows
}

#[test]
fn the_page_lists_every_reason_in_its_own_words() {
    let rows = rows();
    assert_eq!(rows.len(), Reason::ALL.len());
    let listed = PAGE.lines().filter(|line| line.starts_with("| `"));
    let listed: Vec<_> = listed.skip_while(|line| *line != rows[0]).collect();
    assert_eq!(listed, rows);
}
