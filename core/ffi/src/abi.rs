//! `abi.txt` lists what programs were compiled with: the numbers of results, and
//! the sizes of the first versions of structs where pointers have 64 bits. Lines
//! are added to it, and none is changed unless [`PROBITY_ABI_VERSION`] is.

use std::collections::{BTreeMap, BTreeSet};

use crate::boundary::Sized_;
use crate::version::PROBITY_ABI_VERSION;

/// What is listed: its name and its number.
fn listed(kind: &str) -> BTreeMap<String, i64> {
    let lines = include_str!("../abi.txt").lines();
    let words = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lines = words.filter(|words| words.first() == Some(&kind));
    lines
        .map(|words| {
            let number = words[2].parse().expect("a number");
            (words[1].to_owned(), number)
        })
        .collect()
}

#[test]
fn the_list_is_of_this_version() {
    assert_eq!(listed("abi")["version"], i64::from(PROBITY_ABI_VERSION));
}

#[test]
fn numbers_of_results_are_never_reused() {
    let all = crate::result::TEXTS.iter();
    let found: BTreeMap<_, _> = all
        .map(|(result, _)| (format!("{result:?}"), *result as i64))
        .collect();
    let listed = listed("result");
    assert_eq!(found, listed, "compare abi.txt");
    let numbers: BTreeSet<_> = listed.values().collect();
    assert_eq!(numbers.len(), listed.len(), "each its own");
}

#[cfg(target_pointer_width = "64")]
#[test]
fn structs_only_grow() {
    fn look<T: Sized_>(found: &mut BTreeMap<String, i64>) {
        let name = std::any::type_name::<T>().rsplit("::").next();
        let name = name.expect("a path has an end");
        assert!(T::FIRST <= size_of::<T>(), "{name}");
        found.insert(name.to_owned(), T::FIRST as i64);
    }
    let mut found = BTreeMap::new();
    look::<crate::config::probity_config_entry>(&mut found);
    look::<crate::config::probity_target>(&mut found);
    look::<crate::engine::probity_engine_config>(&mut found);
    look::<crate::engine::probity_engine_stats>(&mut found);
    look::<crate::input::probity_closed>(&mut found);
    look::<crate::log::probity_log>(&mut found);
    look::<crate::output::probity_output>(&mut found);
    look::<crate::report::probity_report>(&mut found);
    look::<crate::report::probity_target_state>(&mut found);
    look::<crate::secure::probity_tls_request>(&mut found);
    look::<crate::types::probity_tls_info>(&mut found);
    #[cfg(feature = "driver")]
    look::<crate::driver::probity_driver_config>(&mut found);
    #[cfg(feature = "driver")]
    look::<crate::notices::probity_notice>(&mut found);
    let mut listed = listed("struct");
    if cfg!(not(feature = "driver")) {
        listed.retain(|name, _| found.contains_key(name));
    }
    assert_eq!(found, listed, "compare abi.txt");
}
