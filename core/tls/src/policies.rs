//! Certificate policies, as far as a chain can fail for them.
//!
//! Whoever probes asks for no policy, so all that counts is whether a CA on the
//! way requires that there be one which every certificate below it has
//! (RFC 5280 section 6.1, as RFC 9618 simplified it, with `any-policy` as the
//! user's set). Go asks this of every chain (`policiesValid` of crypto/x509); webpki
//! knows nothing of policies. Who asks for none needs no graph of them, but the set
//! of those that are still valid.

use std::collections::{HashMap, HashSet};

use crate::certificate::Certificate;
use crate::rejection::Rejection;

/// anyPolicy (RFC 5280 section 4.2.1.4).
const ANY: &[u8] = &[0x55, 0x1d, 0x20, 0];

/// What a certificate says about policies; each one is the content of an OID.
#[derive(Debug, Default)]
pub(crate) struct Policies<'a> {
    /// What it was issued under.
    pub(crate) own: HashSet<&'a [u8]>,
    /// Policies of its issuer, and those of its own that are to count as each.
    pub(crate) mapped: HashMap<&'a [u8], Vec<&'a [u8]>>,
    /// After how many certificates more there must be a valid policy.
    pub(crate) require_explicit: Option<u32>,
    /// After how many more nothing is mapped.
    pub(crate) inhibit_mapping: Option<u32>,
    /// After how many more anyPolicy is one as any other.
    pub(crate) inhibit_any: Option<u32>,
}

/// Checks a chain without its root: `between`, nearest to the leaf first, and
/// `leaf`.
pub(crate) fn check(between: &[&Certificate<'_>], leaf: &Certificate<'_>) -> Result<(), Rejection> {
    let between = between.iter().rev().copied();
    let chain: Vec<_> = between.chain([leaf]).collect();
    let policies = chain.iter().map(|cert| {
        let policies = cert.policies().unwrap_or_default();
        (policies, cert.is_self_issued())
    });
    if are_valid(&policies.collect::<Vec<_>>()) {
        return Ok(());
    }
    Err(Rejection::invalid(format!(
        "certificate chain has no policy that all of its certificates have, and one of its CAs requires that (RFC 5280 section 6.1): {}",
        leaf.label()
    )))
}

/// `chain` is what each certificate says, the root's next first, and whether it
/// is self-issued. The letters are those of RFC 5280 sections 6.1.2 to 6.1.5.
fn are_valid(chain: &[(Policies<'_>, bool)]) -> bool {
    let after_all = chain.len() + 1;
    let (mut explicit, mut mapping, mut any) = (after_all, after_all, after_all);
    // What the next certificate may have.
    let mut expected = HashSet::from([ANY]);
    for (index, (policies, is_self_issued)) in chain.iter().enumerate() {
        let is_last = index + 1 == chain.len();
        // (d), (e)
        let mut valid: HashSet<&[u8]> = policies
            .own
            .iter()
            .copied()
            .filter(|own| *own != ANY && (expected.contains(ANY) || expected.contains(own)))
            .collect();
        if policies.own.contains(ANY) && (any > 0 || (!is_last && *is_self_issued)) {
            valid.extend(expected);
        }
        // (f)
        if explicit == 0 && valid.is_empty() {
            return false;
        }
        expected = valid;
        let least = |left: usize, bound: Option<u32>| match bound {
            Some(bound) => left.min(usize::try_from(bound).unwrap_or(usize::MAX)),
            None => left,
        };
        if is_last {
            // 6.1.5 (a), (b)
            explicit = explicit.saturating_sub(1);
            if policies.require_explicit == Some(0) {
                explicit = 0;
            }
            continue;
        }
        // (a), (b)
        let Some(next) = map(&expected, &policies.mapped, mapping > 0) else {
            return false;
        };
        expected = next;
        // (h)
        if !is_self_issued {
            for left in [&mut explicit, &mut mapping, &mut any] {
                *left = left.saturating_sub(1);
            }
        }
        // (i), (j)
        explicit = least(explicit, policies.require_explicit);
        mapping = least(mapping, policies.inhibit_mapping);
        any = least(any, policies.inhibit_any);
    }
    // 6.1.5 (g)
    explicit > 0 || !expected.is_empty()
}

/// What may follow certificates with the policies `valid`; `None` if anyPolicy is
/// mapped, which nobody may.
fn map<'a>(
    valid: &HashSet<&'a [u8]>,
    mapped: &HashMap<&'a [u8], Vec<&'a [u8]>>,
    may_map: bool,
) -> Option<HashSet<&'a [u8]>> {
    let mut next = valid.clone();
    for from in mapped.keys() {
        next.remove(from);
    }
    for (from, to) in mapped {
        if *from == ANY || to.contains(&ANY) {
            return None;
        }
        if may_map && (valid.contains(from) || valid.contains(ANY)) {
            next.extend(to);
        }
    }
    Some(next)
}
