//! Targets that cannot be probed, which is a result like any other.

use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt;

use super::TargetError;
use super::cx::{Cx, Resolution};
use super::dial;
use crate::io::{Families, Input};
use crate::outcome::{Outcome, Phase, Reason};

/// Why a target cannot be probed, and what can be found out nevertheless.
#[derive(Clone, Debug, PartialEq)]
pub struct Unusable {
    why: Box<str>,
    outcome: Outcome,
    /// What can be looked up, and what will do.
    lookup: Option<(Box<str>, Families)>,
}

impl Unusable {
    pub(super) fn new(why: &TargetError, lookup: Option<(&str, Families)>) -> Self {
        let outcome = match why {
            TargetError::Unspoken(_) => Outcome::Unknown(Reason::Unspoken),
            TargetError::Target(_) | TargetError::Params(_) => {
                Outcome::Failure(Reason::TargetInvalid)
            }
        };
        Self {
            why: why.to_string().into(),
            outcome,
            lookup: lookup.map(|(host, families)| (host.into(), families)),
        }
    }

    /// Handles an event of a run: looks up what can be, then ends it.
    pub(super) fn on(&self, input: &Input<'_>, cx: &mut Cx<'_>) {
        let answer = match (&self.lookup, input) {
            (Some((host, _)), Input::Start) if host.is_empty() => Some(None),
            (Some((host, families)), Input::Start) => match cx.resolve(host, *families) {
                Resolution::Literal(address) => Some(families.choose(&[address])),
                Resolution::Known(answer) => Some(answer.ok().and_then(|it| families.choose(&it))),
                Resolution::Pending => return,
            },
            (Some((_, families)), Input::Resolved(answer)) => {
                let addresses = answer.as_ref().ok();
                Some(addresses.and_then(|addresses| families.choose(addresses)))
            }
            _ => None,
        };
        if let Some(address) = answer {
            cx.end_phase();
            dial::note_lookup(address, cx);
            if address.is_some() {
                // As far as blackbox_exporter gets before it notices.
                cx.begin(Phase::Connect);
            }
        }
        cx.finish(self.outcome, format_args!("{self}"));
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}
