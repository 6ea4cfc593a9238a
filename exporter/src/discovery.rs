//! file_sd's files: watching where they are, and reading what they say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{self, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use probity_engine::config::Files as _;
use probity_spec::{FilePattern, FileSd, Job, SystemFiles};
use tokio::sync::Notify;

/// Watches the directories of discovery files.
#[derive(Debug)]
pub struct Discovery {
    /// Told when files may have changed.
    pub changed: Arc<Notify>,
    /// `None` where the system cannot watch: the interval remains.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    wanted: Arc<Mutex<Wanted>>,
    /// What was wrong when it last looked: said once, not at every look. A log
    /// that is written into a watched directory would feed itself.
    complaints: BTreeSet<Complaint>,
}

/// What is watched for: in the directories of discovery files others may write
/// too, and their writes are none of our business.
#[derive(Debug, Default)]
struct Wanted {
    patterns: Vec<FilePattern>,
    /// With their whole paths, by which the watcher calls them.
    directories: BTreeSet<PathBuf>,
}

impl Wanted {
    /// Whether an event may have changed what discovery finds.
    fn concerns(&self, event: &notify::Event) -> bool {
        // Reading is not a change, and we read ourselves.
        !event.kind.is_access()
            && (event.need_rescan()
                || event.paths.is_empty()
                || event.paths.iter().any(|path| self.names(path)))
    }

    fn names(&self, path: &Path) -> bool {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return true;
        };
        // Kubernetes changes the files of a volume at once, by the link
        // `..data` through which they are seen.
        name.starts_with("..")
            || self.directories.contains(path)
            || self.patterns.iter().any(|pattern| pattern.has_name(name))
    }
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// There is no file yet, which may be meant.
    Missing,
    /// Nobody can know which files there are.
    Unlisted,
    /// A mistake in a file that was good before.
    Kept,
    /// A mistake in a file that never was.
    Unused,
}

impl Kind {
    /// Whether targets may be missed for it.
    fn is_failure(self) -> bool {
        self != Self::Missing
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::Missing => "Found no discovery file",
            Self::Unlisted => "Cannot list files",
            Self::Kept => "Cannot use discovery file, keeping its last good content",
            Self::Unused => "Cannot use discovery file, its targets are missing until it is mended",
        }
    }
}

/// Something that is wrong with a job's discovery.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// What.
    pub kind: Kind,
    job: String,
    /// The file or the pattern.
    files: String,
    why: String,
}

impl Complaint {
    /// Writes it to the log.
    pub fn log(&self) {
        let Self {
            kind,
            job,
            files,
            why,
        } = self;
        let what = kind.sentence();
        if matches!(kind, Kind::Kept | Kind::Unused) {
            tracing::error!(job, files, err = why, "{what}");
        } else {
            tracing::warn!(job, files, err = why, "{what}");
        }
    }
}

/// What one look at all discovery files found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Whether any group is not what it was.
    pub changed: bool,
    /// Files that cannot be used and patterns that cannot be listed, counted
    /// for each job that has them.
    pub failing: u64,
}

impl Discovery {
    /// A watcher of nothing yet.
    pub fn start() -> Self {
        let changed = Arc::new(Notify::new());
        let wanted = Arc::<Mutex<Wanted>>::default();
        let (tell, watched_for) = (Arc::clone(&changed), Arc::clone(&wanted));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let wanted = watched_for.lock().unwrap_or_else(PoisonError::into_inner);
            // An error may have hidden one that concerns us.
            if event.is_ok_and(|event| !wanted.concerns(&event)) {
                return;
            }
            tell.notify_one();
        });
        let watcher = watcher
            .inspect_err(|error| tracing::warn!(err = %error, "Cannot watch for changes of files"))
            .ok();
        Self {
            changed,
            watcher,
            watched: BTreeSet::new(),
            wanted,
            complaints: BTreeSet::new(),
        }
    }

    /// Reads the files of these jobs into what was found before. Relative
    /// paths begin at `base`. Blocks on the disk.
    pub fn look(
        &mut self,
        base: &Path,
        jobs: &[Job],
        found: &mut BTreeMap<String, FileSd>,
    ) -> Look {
        // First, so that no change in between is missed.
        self.watch(base, jobs);
        let mut complaints = BTreeSet::new();
        let changed = discover(base, jobs, found, &mut complaints);
        for complaint in complaints.difference(&self.complaints) {
            complaint.log();
        }
        self.complaints = complaints;
        let failing = self.complaints.iter().filter(|it| it.kind.is_failure());
        Look {
            changed,
            failing: failing.count() as u64,
        }
    }

    /// Watches the directories of these jobs' files, and no others. Also those
    /// that are watched already: one that was deleted and made anew is another
    /// directory of the same name.
    fn watch(&mut self, base: &Path, jobs: &[Job]) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let patterns = jobs
            .iter()
            .flat_map(Job::files)
            .flat_map(|source| &source.patterns);
        let wanted: BTreeSet<PathBuf> = patterns.clone().map(|it| it.directory(base)).collect();
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = Wanted {
            patterns: patterns.cloned().collect(),
            directories: wanted
                .iter()
                .filter_map(|it| path::absolute(it).ok())
                .collect(),
        };
        for gone in self.watched.difference(&wanted) {
            // It may have been deleted: then it is not watched any more.
            let _ = watcher.unwatch(gone);
        }
        for directory in &wanted {
            let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) else {
                continue;
            };
            // One that does not exist is tried again whenever files are read.
            if !self.watched.contains(directory) {
                // The rest of what it says is the path, once more.
                let why = match &error.kind {
                    notify::ErrorKind::PathNotFound => "there is no such directory".to_owned(),
                    notify::ErrorKind::Io(error) => error.to_string(),
                    kind => format!("{kind:?}"),
                };
                tracing::warn!(directory = %directory.display(), err = why, "Cannot watch directory");
            }
        }
        self.watched = wanted;
    }
}

/// Reads all discovery files; whether anything changed.
pub fn discover(
    base: &Path,
    jobs: &[Job],
    found: &mut BTreeMap<String, FileSd>,
    complaints: &mut BTreeSet<Complaint>,
) -> bool {
    let mut changed = false;
    for job in jobs.iter().filter(|job| !job.files().is_empty()) {
        let known = found.entry(job.name().to_owned()).or_default();
        let mut complain = |kind, files: String, why: String| {
            let job = job.name().to_owned();
            complaints.insert(Complaint {
                kind,
                job,
                files,
                why,
            });
        };
        let mut present = BTreeSet::new();
        let mut listed = true;
        for pattern in job.files().iter().flat_map(|source| &source.patterns) {
            match pattern.expand(base) {
                Ok(paths) if paths.is_empty() => {
                    let why = "there is no such file".to_owned();
                    complain(Kind::Missing, pattern.to_string(), why);
                }
                Ok(paths) => present.extend(paths),
                Err(error) => {
                    listed = false;
                    complain(Kind::Unlisted, pattern.to_string(), error);
                }
            }
        }
        for path in &present {
            let name = path.display().to_string();
            let content = SystemFiles.read(&name);
            let content = content.as_deref().map_err(String::as_str);
            match known.update(path, content) {
                Ok(update) => changed |= update,
                Err(errors) => {
                    let kind = match known.has(path) {
                        true => Kind::Kept,
                        false => Kind::Unused,
                    };
                    complain(kind, name, errors.to_string());
                }
            }
        }
        // What could not be listed is not known to be gone: a process that is
        // out of descriptors for a moment must not forget its fleet.
        if listed {
            changed |= known.retain(|path| present.contains(path));
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use probity_spec::File;
    use std::fs;

    const FILE: &str = "\
jobs:
  - job_name: j
    module: tcp_connect
    file_sd_configs: [{files: [a.json, '*.yml']}]
";

    fn targets(found: &BTreeMap<String, FileSd>) -> Vec<&str> {
        let groups = found.values().flat_map(FileSd::files);
        let groups = groups.flat_map(|(_, groups)| groups);
        groups
            .flat_map(|it| &it.targets)
            .map(|target| &**target)
            .collect()
    }

    #[test]
    fn files_come_turn_bad_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::parse("t", FILE, &SystemFiles).unwrap();
        let (mut found, mut complaints) = (BTreeMap::new(), BTreeSet::new());
        let mut look = |complaints: &mut BTreeSet<Complaint>| {
            complaints.clear();
            let changed = discover(folder.path(), file.jobs(), &mut found, complaints);
            (changed, targets(&found).join(" "))
        };
        let path = |name: &str| folder.path().join(name);
        assert_eq!(look(&mut complaints), (false, String::new()));
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        fs::write(path("a.json"), r#"[{"targets": ["a:1"]}]"#).unwrap();
        fs::write(path("b.yml"), "- targets: ['b:1']").unwrap();
        assert_eq!(look(&mut complaints), (true, "a:1 b:1".into()));
        assert!(complaints.is_empty(), "{complaints:?}");
        fs::write(path("a.json"), "[{").unwrap();
        fs::write(path("c.yml"), "nonsense").unwrap();
        assert_eq!(look(&mut complaints), (false, "a:1 b:1".into()));
        let kinds: Vec<Kind> = complaints.iter().map(|it| it.kind).collect();
        assert_eq!(kinds, [Kind::Kept, Kind::Unused]);
        fs::remove_file(path("c.yml")).unwrap();
        assert_eq!(look(&mut complaints), (false, "a:1 b:1".into()));
        let first = complaints.clone();
        assert_eq!(look(&mut complaints), (false, "a:1 b:1".into()));
        assert_eq!((complaints.len(), &complaints), (1, &first));
        // Both kinds of patterns lose what is deleted.
        fs::remove_file(path("a.json")).unwrap();
        fs::remove_file(path("b.yml")).unwrap();
        assert_eq!(look(&mut complaints), (true, String::new()));
    }

    #[test]
    fn a_directory_that_is_made_anew_is_watched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("targets");
        let file = File::parse("t", FILE, &SystemFiles).unwrap();
        let mut discovery = Discovery::start();
        let mut found = BTreeMap::new();
        for _ in 0..2 {
            fs::create_dir(&base).unwrap();
            discovery.look(&base, file.jobs(), &mut found);
            fs::write(base.join("a.json"), "[]").unwrap();
            told(&discovery);
            fs::remove_dir_all(&base).unwrap();
            told(&discovery);
            // The deletion has several steps, and the watcher its own pace.
            std::thread::sleep(std::time::Duration::from_millis(300));
            let changed = Arc::clone(&discovery.changed);
            wait(std::time::Duration::from_millis(50), changed);
        }
    }

    #[test]
    fn only_what_may_be_a_discovery_file_is_told_of() {
        use notify::event::{AccessKind, CreateKind, EventKind, Flag, RemoveKind};
        let wanted = Wanted {
            patterns: vec![FilePattern::parse("t/*.json").unwrap()],
            directories: BTreeSet::from(["/x/t".into()]),
        };
        let written = EventKind::Create(CreateKind::Any);
        let read = EventKind::Access(AccessKind::Any);
        let gone = EventKind::Remove(RemoveKind::Any);
        for (kind, path, expected) in [
            (written, "/x/t/a.json", true),
            (read, "/x/t/a.json", false),
            (written, "/x/t/a.json.tmp", false),
            (written, "/x/t/probity.log", false),
            (written, "/x/t/..data", true),
            (gone, "/x/t", true),
            (gone, "/x/u", false),
        ] {
            let event = notify::Event::new(kind).add_path(path.into());
            assert_eq!(wanted.concerns(&event), expected, "{event:?}");
        }
        let overflow = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert!(wanted.concerns(&overflow));
    }

    fn told(discovery: &Discovery) {
        let changed = Arc::clone(&discovery.changed);
        assert!(wait(std::time::Duration::from_secs(20), changed));
    }

    fn wait(limit: std::time::Duration, changed: Arc<Notify>) -> bool {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime
            .block_on(async { tokio::time::timeout(limit, changed.notified()).await })
            .is_ok()
    }
}
