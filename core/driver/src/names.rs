//! How names are resolved, and the two files that say so.

use std::borrow::Cow;
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

/// The name of this machine, or nothing if it cannot be read: see
/// [`ResolverConfig::host_name`].
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname");
    name.unwrap_or_default().trim_end().into()
}

/// The zones of name servers (`fe80::1%eth0`, as routers tell them) as numbers of
/// interfaces, which only the system knows. It is asked each time: an interface may come
/// later. One that is not there stays as it is.
fn with_numbers(resolv_conf: &str, interface: impl Fn(&str) -> Option<u32>) -> Cow<'_, str> {
    if !resolv_conf.contains('%') {
        return resolv_conf.into();
    }
    let lines = resolv_conf
        .lines()
        .map(|line| with_number(line, &interface).unwrap_or_else(|| line.into()));
    lines.collect::<Vec<String>>().join("\n").into()
}

fn with_number(line: &str, interface: impl Fn(&str) -> Option<u32>) -> Option<String> {
    let mut words = line.split_ascii_whitespace();
    let server = words.next().filter(|word| *word == "nameserver");
    let (address, zone) = server.and(words.next())?.split_once('%')?;
    Some(format!("nameserver {address}%{}", interface(zone)?))
}

/// The number of an interface by its name.
#[cfg(target_os = "linux")]
fn interface(name: &str) -> Option<u32> {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    netdevice::name_to_index(any, name).ok()
}

#[cfg(not(target_os = "linux"))]
fn interface(_: &str) -> Option<u32> {
    None
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

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stamp {
    Absent,
    File(SystemTime, u64, u64),
    /// A pipe or the like: what it has said once it does not say again.
    Other,
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() => {
                Ok(Self::File(found.modified()?, found.len(), number(&found)))
            }
            Ok(_) => Ok(Self::Other),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::Absent),
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

/// One of the files, and what was read of it last.
#[derive(Clone, Debug)]
struct Followed {
    path: PathBuf,
    /// `None` as long as it could not be read.
    seen: Option<Stamp>,
    text: String,
}

impl Followed {
    /// A machine whose file cannot be read is one without.
    fn new(path: PathBuf) -> Self {
        // Before it is read: what changes meanwhile is seen the next time.
        let seen = Stamp::of(&path).ok();
        let read = text(&path).ok();
        Self {
            seen: seen.filter(|_| read.is_some()),
            text: read.unwrap_or_default(),
            path,
        }
    }

    /// Reads it if it is another one. As long as it cannot be read, what was read last
    /// counts.
    fn look(&mut self) -> io::Result<()> {
        let found = Stamp::of(&self.path)?;
        if self.seen != Some(found) && found != Stamp::Other {
            self.text = text(&self.path)?;
            self.seen = Some(found);
        }
        Ok(())
    }
}

/// Follows the files, each by itself. One for each worker.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    resolv_conf: Followed,
    hosts: Followed,
    /// What they said last.
    said: ResolverConfig,
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
                    resolv_conf: Followed::new(files.resolv_conf),
                    hosts: Followed::new(files.hosts),
                    said: ResolverConfig::default(),
                    next: now + PAUSE,
                };
                follower.said = follower.says();
                (follower.said.clone(), Some(follower))
            }
        }
    }
}

impl Follower {
    /// Where they have no domain, the machine's own counts.
    fn says(&self) -> ResolverConfig {
        let resolv_conf = with_numbers(&self.resolv_conf.text, interface);
        ResolverConfig::system(&resolv_conf, &self.hosts.text).host_name(&host_name())
    }

    /// What the files say, if it is time to look and that has changed.
    pub(crate) fn look(&mut self, now: Instant) -> Option<ResolverConfig> {
        if now < self.next {
            return None;
        }
        self.next = now + PAUSE;
        for file in [&mut self.resolv_conf, &mut self.hosts] {
            // One that cannot be read keeps nobody from the other.
            let _ = file.look();
        }
        let says = self.says();
        (says != self.said).then(|| {
            self.said = says.clone();
            says
        })
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

        // What cannot be read leaves things as they are, and the other one is followed.
        fs::remove_file(&files.hosts).expect("ours");
        fs::create_dir(&files.hosts).expect("ours");
        assert_eq!(follower.look(at(25_000)), None);
        fs::write(&files.resolv_conf, conf("192.0.2.33")).expect("ours");
        let other = says(&conf("192.0.2.33"), "192.0.2.9 web");
        assert_eq!(follower.look(at(30_000)), other);
        fs::remove_dir(&files.hosts).expect("ours");
        assert_eq!(follower.look(at(35_000)), says(&conf("192.0.2.33"), ""));
        fs::remove_dir_all(&folder).expect("ours");
    }

    /// Whose permissions change later keeps its other marks.
    #[test]
    fn what_could_not_be_read_at_the_start_is_tried_again() {
        let path = std::env::temp_dir().join(format!("probity-late-{}", std::process::id()));
        fs::write(&path, "192.0.2.9 web\n").expect("ours");
        let unread = Followed {
            seen: None,
            text: String::new(),
            path: path.clone(),
        };
        let mut followed = unread;
        followed.look().expect("it can be read now");
        assert_eq!(followed.text, "192.0.2.9 web\n");
        fs::remove_file(&path).expect("ours");
        // A folder can be looked at, and not be read.
        assert_eq!(Followed::new(std::env::temp_dir()).seen, None);
    }

    #[test]
    fn name_servers_have_zones() {
        let known = |name: &str| (name == "eth0").then_some(7);
        let text = "search a%eth0.example\nnameserver fe80::1%eth0 # by eth0\nnameserver fe80::1%no\n\
                    nameserver fe80::1%2\nnameserver 192.0.2.1";
        assert_eq!(
            with_numbers(text, known),
            "search a%eth0.example\nnameserver fe80::1%7\nnameserver fe80::1%no\n\
             nameserver fe80::1%2\nnameserver 192.0.2.1"
        );
        assert_eq!(with_numbers("nameserver ::1\n", known), "nameserver ::1\n");
        #[cfg(target_os = "linux")]
        assert!(interface("lo").is_some_and(|number| number > 0));
        assert_eq!(interface("no such interface"), None);
    }

    #[test]
    fn what_is_given_stays() {
        let given = ResolverConfig::with_servers(&["192.0.2.1:53".parse().expect("an address")]);
        let (first, follower) = Names::from(given.clone()).begin(at(0));
        assert_eq!(first, given);
        assert!(follower.is_none());
    }
}
