//! The real blackbox_exporter and this program, side by side: the same file,
//! the same flags, the same requests, the same servers, and every difference
//! either mended or on one list with its reason.
//!
//! `cargo test -p probity-tests --test interop -- side_by_side::http` runs a
//! group; a failing case prints what differs. `PROBITY_SIDE_BY_SIDE=FILE` also
//! writes all differences of all cases that ran to a file, listed or not.
//! `rows.rs` says which cases stand for which of upstream's own tests.

mod assertion;
mod case;
mod cases;
mod certificates;
mod differences;
mod dns;
mod names;
mod peers;
mod program;
mod relay;
mod retries;
mod rows;
mod server;
mod view;
mod world;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};

use self::case::{Ask, Case};
use self::differences::Listed;
use self::retries::{Retries, TRIES};
use self::view::{BELOW_NONE, Fields, is_short};
use self::world::World;
use crate::neighbours;

/// The real one.
const UPSTREAM: &str = "prometheus-blackbox-exporter";

/// A release to compare with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Release {
    /// The measure: 0.28, of Debian's unstable suite.
    Current,
    /// The lesser one: 0.23, of the stable suite, which can be had everywhere.
    Older,
}

/// Groups of cases that are asked of the older release as well.
const ASKED_OF_OLDER: &[&str] = &[
    "bodies",
    "certificates",
    "framing",
    "headers",
    "http",
    "names",
    "regexps",
    "tcp",
];

/// The cases, and what they have shown so far.
struct Suite {
    release: Release,
    upstream: PathBuf,
    cases: Vec<Case>,
    world: OnceLock<World>,
    retries: Retries,
    outcomes: Vec<OnceLock<Outcome>>,
}

/// What a case has shown.
struct Outcome {
    differences: Vec<Difference>,
    /// Both programs refuse the file or the module, or do not start.
    both_refuse: bool,
    /// The case is about a field that the older release has not.
    too_new: bool,
}

/// One field that the two programs show differently; `None` if one has none.
#[derive(Clone, Debug)]
struct Difference {
    field: String,
    upstream: Option<String>,
    ours: Option<String>,
}

pub(crate) fn trials() -> Vec<Trial> {
    let cases = cases::all();
    let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    let (current, older) = (Release::Current, Release::Older);
    let mut trials = of_release(current, neighbours::unpacked(UPSTREAM), cases);
    trials.extend(of_release(
        older,
        neighbours::installed(UPSTREAM),
        cases::all(),
    ));
    trials.push(Trial::test("side_by_side::rows_are_covered", || {
        rows::are_covered();
        Ok(())
    }));
    trials.push(Trial::test("side_by_side::page_is_up_to_date", || {
        differences::is_up_to_date().map_err(Failed::from)
    }));
    trials
}

fn of_release(release: Release, upstream: Option<PathBuf>, mut cases: Vec<Case>) -> Vec<Trial> {
    let prefix = match release {
        Release::Current => "side_by_side",
        Release::Older => "side_by_side_with_0.23",
    };
    let Some(upstream) = upstream else {
        let program = match release {
            Release::Current => "blackbox_exporter-0.28",
            Release::Older => UPSTREAM,
        };
        return vec![neighbours::trial_at(
            format!("{prefix}::all"),
            program,
            None,
            |_| (),
        )];
    };
    if release == Release::Older {
        cases.retain(|case| {
            let group = case.name.split("::").next();
            group.is_some_and(|group| ASKED_OF_OLDER.contains(&group))
        });
    }
    let suite = Arc::new(Suite {
        release,
        upstream,
        world: OnceLock::new(),
        retries: Retries::default(),
        outcomes: cases.iter().map(|_| OnceLock::new()).collect(),
        cases,
    });
    let mut trials: Vec<Trial> = (0..suite.cases.len())
        .map(|index| {
            let suite = Arc::clone(&suite);
            let name = format!("{prefix}::{}", suite.cases[index].name);
            Trial::ignorable_test(name, move || suite.judge(index))
        })
        .collect();
    let again = Arc::clone(&suite);
    trials.push(Trial::test(
        format!("{prefix}::few_are_asked_again"),
        move || again.few_are_asked_again(),
    ));
    trials.push(Trial::test(
        format!("{prefix}::every_listed_difference_occurs"),
        move || suite.every_listed_difference_occurs(),
    ));
    trials
}

impl Suite {
    /// The program that a case needs and that cannot be had, and why.
    fn missing(&self, index: usize) -> Option<(&'static str, String)> {
        let case = &self.cases[index];
        if case.names.is_some()
            && let Some(why) = names::missing()
        {
            return Some((names::UNSHARE, why.to_owned()));
        }
        let (Ask::Requests(requests) | Ask::Together(requests)) = &case.ask else {
            return None;
        };
        let targets = requests
            .iter()
            .filter_map(|request| request.target.as_deref());
        let program = targets.filter_map(peers::missing_for).next()?;
        Some((program, format!("{program} is not installed")))
    }

    fn outcome(&self, index: usize) -> &Outcome {
        let world = self
            .world
            .get_or_init(|| World::start(&self.upstream, &self.cases));
        let case = &self.cases[index];
        self.outcomes[index].get_or_init(|| {
            let begun = Instant::now();
            let mut tries = 0;
            loop {
                let [upstream, ours] = world.compare(index, case);
                let differences = differences(&upstream, &ours);
                tries += 1;
                let open: Vec<&Difference> = (differences.iter())
                    .filter(|it| !self.is_listed(&case.name, it))
                    .collect();
                if !open.is_empty() && tries < TRIES {
                    let again = world.reference(index, case);
                    let unsteady = self::differences(&upstream, &again);
                    if retries::are_excused(&open, &unsteady) {
                        self.retries.note(&case.name, &open);
                        continue;
                    }
                }
                self.report(&case.name, begun.elapsed(), &differences);
                return Outcome {
                    differences,
                    both_refuse: refuses(&upstream) && refuses(&ours),
                    too_new: self.release == Release::Older
                        && upstream
                            .get("module")
                            .is_some_and(|said| matches("field * not found", said)),
                };
            }
        })
    }

    fn judge(&self, index: usize) -> Result<Completion, Failed> {
        if let Some((program, why)) = self.missing(index) {
            return match neighbours::is_required(program) {
                true => Err(Failed::from(why)),
                false => Ok(Completion::ignored_with(why)),
            };
        }
        let case = &self.cases[index];
        let (name, refused) = (&case.name, cases::is_refusal(&case.name));
        let outcome = self.outcome(index);
        if outcome.too_new {
            return Ok(Completion::ignored_with("its fields came after 0.23"));
        }
        if outcome.both_refuse && !refused {
            return Err("both programs refuse this: it compares nothing else".into());
        }
        let differences = outcome.differences.iter();
        let unlisted: Vec<&Difference> = differences
            .filter(|difference| !self.is_listed(name, difference))
            .collect();
        if !unlisted.is_empty() {
            return Err(Failed::from(shown(&unlisted)));
        }
        if refused && !outcome.both_refuse {
            return Err("meant to be refused by both programs, and is not".into());
        }
        Ok(Completion::Completed)
    }

    fn few_are_asked_again(&self) -> Result<(), Failed> {
        for index in self.runnable() {
            self.outcome(index);
        }
        self.retries.are_few().map_err(Failed::from)
    }

    fn runnable(&self) -> Vec<usize> {
        (0..self.cases.len())
            .filter(|index| self.missing(*index).is_none())
            .collect()
    }

    fn every_listed_difference_occurs(&self) -> Result<(), Failed> {
        let mut idle = String::new();
        let runnable = self.runnable();
        // The older release is not the measure of what is listed for the other.
        let listed: Vec<&Listed> = match self.release {
            Release::Current => differences::all().collect(),
            Release::Older => differences::older().collect(),
        };
        for listed in listed {
            let occurs = runnable.iter().any(|&index| {
                let name = &self.cases[index].name;
                matches(listed.case, name)
                    && self
                        .outcome(index)
                        .differences
                        .iter()
                        .any(|difference| covers(listed, name, difference))
            });
            if !occurs {
                let Listed {
                    case,
                    field,
                    reason,
                    ..
                } = listed;
                let _ = write!(idle, "\n  {case}: {field} ({reason}): no longer occurs");
            }
        }
        if idle.is_empty() {
            Ok(())
        } else {
            Err(Failed::from(idle))
        }
    }

    fn is_listed(&self, case: &str, difference: &Difference) -> bool {
        let covers = |listed| covers(listed, case, difference);
        differences::all().any(covers)
            || self.release == Release::Older && differences::older().any(covers)
    }

    fn report(&self, case: &str, took: Duration, differences: &[Difference]) {
        let Some(path) = std::env::var_os("PROBITY_SIDE_BY_SIDE") else {
            return;
        };
        let mut text = format!("took\t{case}\t{took:?}\n");
        for difference in differences {
            let Difference {
                field,
                upstream,
                ours,
            } = difference;
            let mark = match self.is_listed(case, difference) {
                true => "listed",
                false => "open",
            };
            let _ = writeln!(text, "{mark}\t{case}\t{field}\t{upstream:?}\t{ours:?}");
        }
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        // All of a case at once: other cases run beside it.
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.expect("a report");
    }
}

/// Differences for a person.
fn shown(differences: &[&Difference]) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
    let mut text = String::new();
    for Difference {
        field,
        upstream,
        ours,
    } in differences
    {
        let (upstream, ours) = (value(upstream), value(ours));
        let _ = write!(
            text,
            "\n  {field}\n    upstream: {upstream}\n    ours:     {ours}"
        );
    }
    text
}

/// Whether a program does not take what the case gives it.
fn refuses(fields: &Fields) -> bool {
    fields.contains_key("module")
        || fields.contains_key("process")
        || fields.get("exit").is_some_and(|code| code != "0")
}

fn differences(upstream: &Fields, ours: &Fields) -> Vec<Difference> {
    let difference = |field: &str, upstream, ours| Difference {
        field: field.to_owned(),
        upstream,
        ours,
    };
    let of = |field| (upstream.get(field).cloned(), ours.get(field).cloned());
    // Where one has not looked there is nothing else to compare.
    if let (one, other) = of("module")
        && one.is_some() != other.is_some()
    {
        return vec![difference("module", one, other)];
    }
    if let (Some(one), Some(other)) = of("status")
        && one != other
    {
        // Whether the other one has seen the target succeed is what matters most.
        let with_body = |fields: &Fields, status: String| {
            let success = fields.get("series probe_success");
            match (fields.get("body"), success) {
                (Some(body), _) => format!("{status}: {body}"),
                (None, Some(success)) => format!("{status}: probe_success {success}"),
                (None, None) => status,
            }
        };
        let one = with_body(upstream, one);
        let other = with_body(ours, other);
        return vec![difference("status", Some(one), Some(other))];
    }
    let names: BTreeSet<&String> = upstream.keys().chain(ours.keys()).collect();
    names
        .into_iter()
        .filter(|name| !same(name, upstream.get(*name), ours.get(*name)))
        .map(|name| difference(name, upstream.get(name).cloned(), ours.get(name).cloned()))
        .collect()
}

fn same(field: &str, upstream: Option<&String>, ours: Option<&String>) -> bool {
    match (upstream, ours) {
        // Ours says where, and more; the sentence itself has to be in it.
        (Some(upstream), Some(ours)) if field == "sentence" || field == "module" => {
            ours.contains(upstream.as_str())
        }
        // Ours must be one all the same.
        (Some(upstream), Some(ours)) if upstream == BELOW_NONE => ours == "a time" || ours == "0",
        // An address that stands in the target takes no time to look up, and a body
        // that comes with its head none to read: Go has measured something all the
        // same. Where that has measured nothing there was nothing.
        (Some(upstream), Some(ours)) if is_short(field) => {
            upstream == ours || (upstream == "a time" && ours == "0")
        }
        // That one lacks the family is told by its series: of each that has series there
        // is both.
        (None, Some(_)) | (Some(_), None) => {
            let field = field.rsplit(": ").next().unwrap_or(field);
            field.starts_with("help ") || field.starts_with("type ")
        }
        _ => upstream == ours,
    }
}

fn covers(listed: &Listed, case: &str, difference: &Difference) -> bool {
    let value = |pattern: &str, value: &Option<String>| match value {
        None => pattern == "-",
        Some(value) => matches(pattern, value),
    };
    matches(listed.case, case)
        && matches(listed.field, &difference.field)
        && value(listed.upstream, &difference.upstream)
        && value(listed.ours, &difference.ours)
}

/// Whether a text fits a pattern in which `*` is anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut rest) = text.strip_prefix(head) else {
        return false;
    };
    loop {
        if matches(tail, rest) {
            return true;
        }
        let mut chars = rest.chars();
        if chars.next().is_none() {
            return false;
        }
        rest = chars.as_str();
    }
}
