//! How names are resolved, and the two files that say so.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use probity_engine::Instant;
use probity_engine::resolve::ResolverConfig;

/// How a driver's engines resolve names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// As this says, as long as the driver runs.
    Fixed(ResolverConfig),
    /// As these files say. They are looked at again every five seconds in which there
    /// is something to do, as Go's resolver does; a change counts for look-ups that
    /// begin after that, and what is remembered is forgotten.
    Files(NameFiles),
}

impl Default for Names {
    /// `/etc/resolv.conf` and `/etc/hosts`.
    fn default() -> Self {
        Self::Files(NameFiles::default())
    }
}

impl From<ResolverConfig> for Names {
    fn from(fixed: ResolverConfig) -> Self {
        Self::Fixed(fixed)
    }
}

/// resolv.conf(5) and hosts(5). One that is not there is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameFiles {
    /// DNS servers and search domains.
    pub resolv_conf: PathBuf,
    /// Names that are not looked up.
    pub hosts: PathBuf,
}

impl Default for NameFiles {
    fn default() -> Self {
        Self {
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
        }
    }
}

impl NameFiles {
    /// What they say now; where there is no domain, the machine's own counts.
    ///
    /// # Errors
    /// If one is there and cannot be read.
    pub fn read(&self) -> io::Result<ResolverConfig> {
        let (resolv_conf, hosts) = (text(&self.resolv_conf)?, text(&self.hosts)?);
        Ok(ResolverConfig::system(&resolv_conf, &hosts).host_name(&host_name()))
    }
}

/// The name of this machine, or nothing if it cannot be read: see
/// [`ResolverConfig::host_name`].
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim_end().into()
}

fn text(path: &Path) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Time between two looks at the files.
const PAUSE: Duration = Duration::from_secs(5);

/// What tells one state of a file from another; `None` if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp(Option<(SystemTime, u64, u64)>);

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) => Ok(Self(Some((found.modified()?, found.len(), number(&found))))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self(None)),
            Err(error) => Err(error),
        }
    }
}

/// A file that was put in the place of another one has another number.
fn number(found: &Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::ino(found);
    #[cfg(not(unix))]
    return 0;
}

/// Follows the files. One for each worker.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    files: NameFiles,
    /// Of what was read last.
    seen: Option<[Stamp; 2]>,
    /// When to look next.
    next: Instant,
}

impl Names {
    /// What they are at the start, and who looks whether they change.
    pub(crate) fn begin(self, now: Instant) -> (ResolverConfig, Option<Follower>) {
        match self {
            Self::Fixed(fixed) => (fixed, None),
            Self::Files(files) => {
                let mut follower = Follower {
                    files,
                    seen: None,
                    next: now,
                };
                let first = follower.look(now);
                // A machine whose files cannot be read is one without.
                (first.unwrap_or_default(), Some(follower))
            }
        }
    }
}

impl Follower {
    /// What the files say, if it is time to look and they have changed. As long as one
    /// cannot be read, what was read last counts.
    pub(crate) fn look(&mut self, now: Instant) -> Option<ResolverConfig> {
        if now < self.next {
            return None;
        }
        self.next = now + PAUSE;
        let NameFiles { resolv_conf, hosts } = &self.files;
        // Before they are read: what changes meanwhile is seen the next time.
        let found = [Stamp::of(resolv_conf).ok()?, Stamp::of(hosts).ok()?];
        if self.seen == Some(found) {
            return None;
        }
        let read = self.files.read().ok()?;
        self.seen = Some(found);
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn conf(server: &str) -> String {
        format!("nameserver {server}\n")
    }

    #[test]
    fn files_are_followed_every_five_seconds() {
        let folder = std::env::temp_dir().join(format!("probity-names-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder of our own");
        let files = NameFiles {
            resolv_conf: folder.join("resolv.conf"),
            hosts: folder.join("hosts"),
        };
        let says = |resolv_conf: &str, hosts: &str| {
            Some(ResolverConfig::system(resolv_conf, hosts).host_name(&host_name()))
        };
        let (first, follower) = Names::Files(files.clone()).begin(at(0));
        assert_eq!(Some(first), says("", ""), "neither is there");
        let mut follower = follower.expect("there are files to follow");
        assert_eq!(follower.look(at(5_000)), None);

        fs::write(&files.resolv_conf, conf("192.0.2.1")).expect("ours");
        assert_eq!(follower.look(at(9_999)), None, "it is not time yet");
        assert_eq!(follower.look(at(10_000)), says(&conf("192.0.2.1"), ""));
        assert_eq!(follower.look(at(15_000)), None, "nothing has changed");

        // Another file in its place, which is as long.
        let other = folder.join("other");
        fs::write(&other, conf("192.0.2.2")).expect("ours");
        fs::rename(&other, &files.resolv_conf).expect("ours");
        fs::write(&files.hosts, "192.0.2.9 web\n").expect("ours");
        let both = says(&conf("192.0.2.2"), "192.0.2.9 web");
        assert_eq!(follower.look(at(20_000)), both);

        // What cannot be read leaves things as they are, and is tried again.
        fs::remove_file(&files.hosts).expect("ours");
        fs::create_dir(&files.hosts).expect("ours");
        assert_eq!(follower.look(at(25_000)), None);
        fs::remove_dir(&files.hosts).expect("ours");
        assert_eq!(follower.look(at(30_000)), says(&conf("192.0.2.2"), ""));
        fs::remove_dir_all(&folder).expect("ours");
    }

    #[test]
    fn what_is_given_stays() {
        let given = ResolverConfig::with_servers(&["192.0.2.1:53".parse().expect("an address")]);
        let (first, follower) = Names::from(given.clone()).begin(at(0));
        assert_eq!(first, given);
        assert!(follower.is_none());
    }
}
