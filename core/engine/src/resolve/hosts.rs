//! The hosts file: hosts(5).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::config::relative;

/// A hosts file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hosts(BTreeMap<Box<str>, Arc<[IpAddr]>>);

impl Hosts {
    /// Reads an address and its names from each line, in any case; ignores
    /// comments, and lines without a valid address.
    pub(super) fn parse(text: &str) -> Self {
        let mut hosts = BTreeMap::<Box<str>, Vec<IpAddr>>::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or(line);
            let mut words = line.split_ascii_whitespace();
            let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else {
                continue;
            };
            for name in words {
                let name = relative(name).to_ascii_lowercase();
                let addresses = hosts.entry(name.into()).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        let shared = hosts.into_iter().map(|(name, it)| (name, it.into()));
        Self(shared.collect())
    }

    /// The addresses of a name in lower case and without trailing dot.
    pub(super) fn get(&self, name: &str) -> Option<&Arc<[IpAddr]>> {
        self.0.get(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_several_names_and_addresses() {
        let hosts = Hosts::parse(
            "# comment\n127.0.0.1 localhost\n::1 localhost ip6-localhost\n\
             192.0.2.7\tWeb.Example web # trailing names\n2001:db8::7 web\n192.0.2.7 web\n\
             nonsense web\nfe80::1%lo0 web\n192.0.2.9\n",
        );
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let get = |name| hosts.get(name).map(|addresses| &**addresses);
        assert_eq!(get("localhost"), Some(&[ip("127.0.0.1"), ip("::1")][..]));
        assert_eq!(get("web"), Some(&[ip("192.0.2.7"), ip("2001:db8::7")][..]));
        assert_eq!(get("web.example"), Some(&[ip("192.0.2.7")][..]));
        assert_eq!(get("trailing"), None);
    }
}
