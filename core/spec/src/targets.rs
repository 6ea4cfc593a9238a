//! Jobs and their groups to the list of everything that is probed.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use probity_engine::{GroupId, Spec, TargetId};

use crate::discovery::FileSd;
use crate::groups::Group;
use crate::identity;
use crate::job::Job;
use crate::label::{self, Labels};
use crate::services;

/// One target of one job. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Target {
    /// Derived from the job's name, the target and its labels; see
    /// [`identity::target_id`].
    pub id: TargetId,
    /// Index of the job in the list that the fleet was built from.
    pub job: usize,
    /// The target as people wrote it.
    pub name: Arc<str>,
    /// Its labels, `job` and `instance` among them, sorted by name.
    pub labels: Labels,
    /// What the engine is to do with it.
    pub spec: Arc<Spec>,
}

impl Target {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name)
    }
}

/// The numbers by which the engine knows jobs: a name keeps its number until it
/// is forgotten, and no number is given twice, so that what was counted for one
/// job is never shown as another's.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    ids: BTreeMap<Box<str>, GroupId>,
    /// Numbers that were given.
    given: u32,
}

impl Groups {
    /// The number of the job called `name`, a new one if it has none yet.
    pub fn id(&mut self, name: &str) -> GroupId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = GroupId(self.given);
        self.given = self.given.saturating_add(1);
        self.ids.insert(name.into(), id);
        id
    }

    /// Forgets all jobs but these, and returns the numbers that they had.
    pub fn retain(&mut self, jobs: &[Job]) -> Vec<GroupId> {
        let mut gone = Vec::new();
        self.ids.retain(|name, id| {
            let stays = jobs.iter().any(|job| *job.name() == **name);
            if !stays {
                gone.push(*id);
            }
            stays
        });
        gone
    }

    /// The number of the job called `name`, if it has one.
    pub fn get(&self, name: &str) -> Option<GroupId> {
        self.ids.get(name).copied()
    }
}

/// A target that is left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The name of its job.
    pub job: String,
    /// The target as people wrote it.
    pub target: String,
    /// One sentence without its subject.
    pub why: String,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "job {:?}: target {:?} {}",
            self.job, self.target, self.why
        )
    }
}

/// Everything that is probed.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    /// In the order of the jobs; within a job first those of the file itself,
    /// then those of other files in the order of their paths.
    pub targets: Vec<Target>,
    /// Targets of other files that could not be taken in. (Those of the file
    /// itself are mistakes of the file.)
    pub dropped: Vec<Dropped>,
}

impl Fleet {
    /// Applies every job to its own groups and to those that were discovered
    /// for it, by the name of the job.
    ///
    /// The same target with the same labels twice in a job is one target, as
    /// in Prometheus. Of two different targets with the same labels the
    /// second one is dropped: their series could not be told apart. A target
    /// that the module of its job cannot probe is a check that fails with
    /// `target_invalid`: one bad line of a file takes nothing else with it.
    pub fn build(jobs: &[Job], discovered: &BTreeMap<String, FileSd>, groups: &mut Groups) -> Self {
        let mut builder = Builder::default();
        for (index, job) in jobs.iter().enumerate() {
            let id = groups.id(job.name());
            for group in job.groups() {
                builder.group(index, job, id, group);
            }
            for (_, found) in discovered
                .get(job.name())
                .into_iter()
                .flat_map(FileSd::files)
            {
                for group in found {
                    builder.group(index, job, id, group);
                }
            }
        }
        builder.fleet
    }
}

#[derive(Default)]
struct Builder {
    fleet: Fleet,
    by_id: HashMap<TargetId, usize>,
    labels: HashSet<Labels>,
}

impl Builder {
    fn group(&mut self, index: usize, job: &Job, id: GroupId, group: &Group) {
        let shared = label::of_group(&group.labels, &job.name);
        for name in &group.targets {
            let labels = shared.of_target(name);
            if let Err(why) = self.target(index, job, id, name, labels) {
                let (job, target) = (job.name().to_owned(), name.to_string());
                self.fleet.dropped.push(Dropped { job, target, why });
            }
        }
    }

    fn target(
        &mut self,
        index: usize,
        job: &Job,
        group: GroupId,
        name: &Arc<str>,
        labels: Labels,
    ) -> Result<(), String> {
        let id = identity::target_id(job.name(), name, &labels);
        if let Some(other) = self
            .by_id
            .get(&id)
            .and_then(|index| self.fleet.targets.get(*index))
        {
            if other.job == index && other.name == *name && other.labels == labels {
                return Ok(());
            }
            return Err(format!(
                "has the same identity as {:?} by an accident of hashing: change a label",
                other.name
            ));
        }
        if self.labels.contains(&labels) {
            return Err(
                "has the labels of another target, their series could not be told apart".into(),
            );
        }
        let check = job
            .module()
            .target(name, services::params(job.has_services));
        let check = check.unwrap_or_else(|error| job.module().unusable(&error));
        let spec = Arc::new(Spec {
            check,
            schedule: job.schedule(),
            threshold: job.threshold(),
            group,
        });
        self.by_id.insert(id, self.fleet.targets.len());
        self.labels.insert(Labels::clone(&labels));
        self.fleet.targets.push(Target {
            id,
            job: index,
            name: Arc::clone(name),
            labels,
            spec,
        });
        Ok(())
    }
}
