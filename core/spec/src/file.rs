//! The file: modules and jobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use probity_engine::check::{KINDS, Module, ModuleConfig, UNSUPPORTED};
use probity_engine::config::{Cause, ConfigError, Files, Recorded, TimeLimit};

use crate::de::from_node;
use crate::defaults;
use crate::error::{Error, Errors, LoadError, Mistake, Position, join, segment};
use crate::job::{Job, repeated};
use crate::label::{self, Labels};
use crate::node::{Entry, Node, Value};
use crate::suggest;
use crate::written::Written;
use crate::yaml;

/// What is at the top of a file.
const KEYS: &[&str] = &["modules", "jobs"];

/// What follows for a module that asks for what cannot be spoken.
const REJECTED: &str = "the module is rejected and cannot be probed, the others of the file serve";
/// What is to be done about it, for who asks for such a probe.
const MEND: &str = "change that and load the file again, or ask for another module";

/// A valid configuration file: a superset of blackbox_exporter's.
#[derive(Clone, Debug)]
pub struct File {
    modules: Modules,
    jobs: Vec<Job>,
    warnings: Vec<Error>,
}

impl File {
    /// Reads the file `path` by way of `files` and parses it.
    ///
    /// # Errors
    /// If it cannot be read, is not UTF-8, or as [`File::parse`] does.
    pub fn load(path: &str, files: &dyn Files) -> Result<Self, LoadError> {
        let content = files
            .read(path)
            .map_err(|error| LoadError::Unread(Errors::unread(path, &error)))?;
        utf8(path, &content)
            .and_then(|text| Self::parse(path, text, files))
            .map_err(LoadError::Wrong)
    }

    /// Parses the text of the file that the user calls `name`. What modules
    /// refer to (certificates, keys) is read by way of `files`.
    ///
    /// Without the key `modules` the modules of [`DEFAULT`](defaults::DEFAULT)
    /// are there; with it only those that it lists, as in blackbox_exporter.
    ///
    /// # Errors
    /// Every mistake that can be found without guessing what was meant: at
    /// least the first one of each module and of each job.
    pub fn parse(name: &str, text: &str, files: &dyn Files) -> Result<Self, Errors> {
        let (root, mut mistakes) = yaml::parse(text);
        let Some(root) = root else {
            return Err(Errors::new(name, mistakes));
        };
        let entries = match &root.value {
            Value::Mapping(entries) => entries.as_slice(),
            _ if root.is_null() => &[],
            _ => {
                let expected = format!("expected a mapping with {}", KEYS.join(" and "));
                // Of a text nothing is shown: somebody may have named his key.
                let found = match root.value {
                    Value::Sequence(_) => "a list",
                    _ => "a text",
                };
                let message = format!("{expected}, found {found}");
                mistakes.push(Mistake::new("", message).at(root.position));
                return Err(Errors::new(name, mistakes));
            }
        };
        for Entry { key, .. } in entries {
            if !KEYS.contains(&key.text.as_ref().as_ref()) {
                let message = suggest::no_field(&key.text, KEYS);
                mistakes.push(Mistake::new("", message).at(key.position));
            }
        }
        let mut warnings = Vec::new();
        let modules = match root.get("modules") {
            Some(node) if node.is_null() => Modules::default(),
            Some(node) => Modules::read(name, node, files, &mut mistakes, &mut warnings),
            None => Modules::defaults(name, files, &mut mistakes),
        };
        let jobs = match root.get("jobs").filter(|node| !node.is_null()) {
            Some(node) => read_jobs(
                node,
                &modules,
                files.has_services(),
                &mut mistakes,
                &mut warnings,
            ),
            None => Vec::new(),
        };
        if !mistakes.is_empty() {
            return Err(Errors::new(name, mistakes));
        }
        Ok(Self {
            modules,
            jobs,
            warnings: warnings
                .into_iter()
                .map(|warning| warning.in_file(name))
                .collect(),
        })
    }

    /// What is legal in the file and yet not what it seems to be, such as a
    /// module whose certificate cannot be read now.
    pub fn warnings(&self) -> &[Error] {
        &self.warnings
    }

    /// Compiles the module `name` again, whose files have changed, for itself
    /// and for its jobs. Returns what is not as it seems to be in them, as
    /// [`File::warnings`] does.
    ///
    /// # Errors
    /// Why it cannot be used with what its files hold now; its runs are
    /// unknown then. For what would be a mistake in the file, were it read now
    /// ([`Cause::Mistake`]), the module stays what it was.
    pub fn refresh(&mut self, name: &str, files: &dyn Files) -> Result<Vec<String>, ConfigError> {
        let Some(named) = self.modules.valid.get_mut(name) else {
            return Ok(Vec::new());
        };
        let result = named.compile(files, None);
        for job in &mut self.jobs {
            if job.module_name == name
                && let Some(module) = &named.module
            {
                job.module = module.clone();
            }
        }
        result
    }

    /// Modules in the order of their names.
    pub fn modules(&self) -> impl Iterator<Item = (&str, &NamedModule)> {
        self.modules
            .valid
            .iter()
            .map(|(name, module)| (name.as_str(), module))
    }

    /// A module by its name.
    pub fn module(&self, name: &str) -> Option<&NamedModule> {
        self.modules.get(name)
    }

    /// Jobs in the order of the file.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }
}

/// A module of the file.
#[derive(Clone, Debug)]
pub struct NamedModule {
    config: ModuleConfig,
    module: Option<Module>,
    files: Vec<String>,
    place: Place,
    /// Why there is no check for it, if a field asks for one that there is not.
    rejection: Option<String>,
}

/// Where a module stands.
#[derive(Clone, Debug)]
struct Place {
    file: Arc<str>,
    /// `modules.web`
    path: String,
    position: Position,
    /// The field that kept it from being used when the file was read, and where
    /// that stands: the text is gone when other files are read again.
    field: Option<(String, Position)>,
}

impl Place {
    /// A mistake in the module, with its place.
    fn of(&self, error: &ConfigError) -> Error {
        let known = self.field.iter().find(|(field, _)| *field == error.field);
        let position = known.map_or(self.position, |(_, position)| *position);
        Mistake::new(&*error.field, &*error.message)
            .at(position)
            .within(&self.path)
            .in_file(&self.file)
    }
}

impl NamedModule {
    /// The module as it was written.
    pub fn config(&self) -> &ModuleConfig {
        &self.config
    }

    /// The module, ready to be applied to targets; `None` if it is of a kind
    /// that has no check in this version or on this host, or of none at all.
    pub fn module(&self) -> Option<&Module> {
        self.module.as_ref()
    }

    /// The paths of what was read for the module, or would have been, had it
    /// been there. When one of these changes, it is time for
    /// [`File::refresh`].
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The same as [`NamedModule::unsupported`] for who does not have the file
    /// before their eyes: also where it says so, and what to do.
    pub fn rejection(&self) -> Option<String> {
        self.rejection.clone().or_else(|| self.unsupported())
    }

    /// Why the module cannot be applied to targets, if it cannot.
    pub fn unsupported(&self) -> Option<String> {
        let prober = &self.config.prober;
        match &self.module {
            Some(_) => None,
            None if UNSUPPORTED.contains(&prober.as_str()) => Some(format!(
                "the prober {prober:?} of blackbox_exporter is not supported by this version, which has {}",
                suggest::list(KINDS)
            )),
            None if KINDS.contains(&prober.as_str()) => Some(format!(
                "checks of the prober {prober:?} cannot be run here"
            )),
            None => Some(format!("Unknown prober {prober:?}")),
        }
    }

    /// Compiles what is written, with the files as they are now. `node` is where
    /// it is written, while that is there. Returns warnings about the files.
    fn compile(
        &mut self,
        files: &dyn Files,
        node: Option<&Node<'_>>,
    ) -> Result<Vec<String>, ConfigError> {
        let recorded = Recorded::new(files);
        let result = self.config.compile(&recorded);
        let warnings = recorded.warnings();
        self.files = recorded.paths();
        if let (None, Err(error)) = (node, &result)
            && error.cause == Cause::Mistake
        {
            // What would not have been loaded is not put in the place of what was.
            return result.map(|_| warnings);
        }
        self.rejection = None;
        self.module = match &result {
            Ok(module) => Some(module.clone()),
            Err(error) => {
                if let Some(node) = node {
                    let position = node.locate(&error.field);
                    self.place.field = Some((error.field.clone(), position));
                }
                let why = self.place.of(error);
                let rejected = || format!("the module is rejected: {why}; {MEND}");
                match error.cause {
                    // In upstream's words, when it is asked for.
                    Cause::Unsupported if self.config.prober.is_empty() => None,
                    Cause::Unsupported => {
                        self.rejection = Some(rejected());
                        None
                    }
                    Cause::Unspoken => self.config.unready(error.cause, rejected()),
                    Cause::Mistake | Cause::Unready => {
                        self.config.unready(error.cause, why.to_string())
                    }
                }
            }
        };
        result.map(|_| warnings)
    }

    /// Longest time that one run may take; none or 0 is no limit.
    pub fn timeout(&self) -> Option<Duration> {
        self.config.timeout.and_then(TimeLimit::limit)
    }
}

/// The modules of a file by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modules {
    valid: BTreeMap<String, NamedModule>,
    /// Those with mistakes, so that jobs are not told that they do not exist.
    refused: BTreeSet<String>,
}

impl Modules {
    fn read(
        file: &str,
        node: &Node<'_>,
        files: &dyn Files,
        mistakes: &mut Vec<Mistake>,
        warnings: &mut Vec<Mistake>,
    ) -> Self {
        let mut modules = Self::default();
        let Some(entries) = node.entries() else {
            let message = format!(
                "expected a mapping of names to modules, found {}",
                node.describe()
            );
            mistakes.push(Mistake::new("modules", message).at(node.position));
            return modules;
        };
        let file: Arc<str> = file.into();
        for Entry { key, value } in entries {
            let name = key.text.to_string();
            let path = join("modules", &segment(&name));
            let place = Place {
                file: Arc::clone(&file),
                path: path.clone(),
                position: value.position,
                field: None,
            };
            let module = read_module(value, place, files);
            if name.is_empty() {
                let message = "nobody can ask for a module without a name";
                warnings.push(Mistake::new(path.clone(), message).at(key.position));
            }
            match module {
                Ok((module, found)) => {
                    warnings.extend(found.into_iter().map(|warning| warning.within(&path)));
                    modules.valid.insert(name, module);
                }
                Err(mistake) => {
                    mistakes.push(mistake.within(&path));
                    modules.refused.insert(name);
                }
            }
        }
        modules
    }

    fn defaults(file: &str, files: &dyn Files, mistakes: &mut Vec<Mistake>) -> Self {
        let (root, wrong) = yaml::parse(defaults::DEFAULT);
        mistakes.extend(wrong);
        let root = root.as_deref();
        root.and_then(|root| root.get("modules"))
            .map_or_else(Self::default, |node| {
                Self::read(file, node, files, mistakes, &mut Vec::new())
            })
    }

    pub(crate) fn get(&self, name: &str) -> Option<&NamedModule> {
        self.valid.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.valid.keys().chain(&self.refused).map(String::as_str)
    }

    pub(crate) fn was_refused(&self, name: &str) -> bool {
        self.refused.contains(name)
    }
}

/// A module, and what is to be said about it. Paths are relative to it.
fn read_module(
    node: &Node<'_>,
    place: Place,
    files: &dyn Files,
) -> Result<(NamedModule, Vec<Mistake>), Mistake> {
    let mut named = NamedModule {
        config: ModuleConfig::default(),
        module: None,
        files: Vec::new(),
        place,
        rejection: None,
    };
    if node.is_null() {
        // A module without anything is legal, as in blackbox_exporter, and of
        // no use.
        return Ok((named, Vec::new()));
    }
    if node.entries().is_none() {
        let message = format!("expected a module, found {}", node.describe());
        return Err(Mistake::new("", message).at(node.position));
    }
    if let Some(mistake) = unknown_prober(node) {
        // The section of an unknown prober is unknown too, and that would be
        // the less helpful thing to say. Any other misspelt key is what to say
        // first: it may be that of the prober.
        let name = node.get("prober").and_then(Node::text);
        let has_section = name.is_some_and(|name| node.get(name).is_some());
        return Err(match from_node::<ModuleConfig>(node) {
            Err(earlier) if !has_section && suggest::is_no_field(&earlier.message) => earlier,
            _ => mistake,
        });
    }
    named.config = from_node(node)?;
    let place = |ConfigError { field, message, .. }: ConfigError| {
        let position = node.locate(&field);
        Mistake::new(field, message).at(position)
    };
    let mut warnings: Vec<Mistake> = named.config.warnings().into_iter().map(place).collect();
    match named.compile(files, Some(node)) {
        Ok(found) => {
            let found = found.into_iter();
            warnings.extend(found.map(|it| Mistake::new("", it).at(node.position)));
        }
        Err(error) => match error.cause {
            Cause::Mistake => return Err(place(error)),
            Cause::Unready => warnings.push(place(error)),
            Cause::Unspoken | Cause::Unsupported => {
                let message = format!("{}; {REJECTED}", error.message);
                warnings.push(place(ConfigError { message, ..error }));
            }
        },
    }
    Ok((named, warnings))
}

/// What is wrong with the prober of a module, if it is a text that no prober has as
/// its name.
fn unknown_prober(node: &Node<'_>) -> Option<Mistake> {
    let prober = node.get("prober")?;
    let (name, position) = match &prober.value {
        Value::Scalar(_) => (prober.text().unwrap_or_default(), prober.position),
        // That it should be a text is said where it is read.
        Value::Mapping(_) | Value::Sequence(_) => return None,
    };
    // That there is none, where it is compiled.
    if name.is_empty() {
        return None;
    }
    let known = [KINDS, UNSUPPORTED].concat();
    let mistake = || Mistake::new("prober", suggest::no_prober(name, &known)).at(position);
    (!known.contains(&name)).then(mistake)
}

fn read_jobs(
    node: &Node<'_>,
    modules: &Modules,
    has_services: bool,
    mistakes: &mut Vec<Mistake>,
    warnings: &mut Vec<Mistake>,
) -> Vec<Job> {
    let Value::Sequence(items) = &node.value else {
        let message = format!("expected a list of jobs, found {}", node.describe());
        mistakes.push(Mistake::new("jobs", message).at(node.position));
        return Vec::new();
    };
    let place = |mistake: Mistake, index: usize| {
        let position = items[index].locate(&mistake.path);
        mistake.at(position).within(&format!("jobs[{index}]"))
    };
    let names = items.iter().map(|item| {
        item.get("job_name")
            .and_then(Node::text)
            .unwrap_or_default()
    });
    for (index, first) in repeated(names) {
        let Some(name) = items[index].get("job_name").and_then(Node::text) else {
            continue;
        };
        let message =
            format!("expected a unique name, found {name:?}, which is that of jobs[{first}]");
        mistakes.push(place(Mistake::new("job_name", message), index));
    }
    let mut jobs: Vec<(usize, Job)> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let job = from_node::<Written>(item)
            .map_err(|mistake| vec![mistake])
            .and_then(|written| Job::build(written, modules, has_services));
        match job {
            Ok(job) => jobs.push((index, job)),
            Err(found) => mistakes.extend(found.into_iter().map(|mistake| place(mistake, index))),
        }
    }
    for Twin { index, path, of } in indistinguishable(&jobs) {
        let twin = |message: String| place(Mistake::new(path.clone(), message), index);
        match of {
            Of::Itself(first) => warnings.push(twin(format!(
                "the target is that of {first} with the same labels: it is probed once"
            ))),
            Of::Other(other, found) => mistakes.push(twin(format!(
                "the labels are those of the target {found:?} of jobs[{other}]: their series could not be told apart"
            ))),
        }
    }
    jobs.into_iter().map(|(_, job)| job).collect()
}

/// A target that stands in the file with the same labels as one before it.
struct Twin<'j> {
    /// The job.
    index: usize,
    /// Where it stands in the job.
    path: String,
    of: Of<'j>,
}

/// What the one before it is.
enum Of<'j> {
    /// The same target of the same job, at this path: one target, as in
    /// Prometheus, and yet hardly what was meant.
    Itself(String),
    /// Another, of the job of this number: their series could not be told
    /// apart.
    Other(usize, &'j str),
}

fn indistinguishable(jobs: &[(usize, Job)]) -> Vec<Twin<'_>> {
    // The first of each: its job, its group and number there, its target.
    let mut seen: HashMap<Labels, (usize, (usize, usize), &str)> = HashMap::new();
    let path = |(group, target)| format!("static_configs[{group}].targets[{target}]");
    let mut twins = Vec::new();
    for (index, job) in jobs {
        for (group_index, group) in job.groups.iter().enumerate() {
            let shared = label::of_group(&group.labels, &job.name);
            for (target_index, target) in group.targets.iter().enumerate() {
                let labels = shared.of_target(target);
                let at = (group_index, target_index);
                let of = match seen.get(&labels) {
                    None => {
                        seen.insert(labels, (*index, at, &**target));
                        continue;
                    }
                    Some((other, first, found)) if (other, found) == (index, &&**target) => {
                        Of::Itself(path(*first))
                    }
                    Some((other, _, found)) => Of::Other(*other, found),
                };
                let (index, path) = (*index, path(at));
                twins.push(Twin { index, path, of });
            }
        }
    }
    twins
}

/// The content of the file `name` as text.
pub(crate) fn utf8<'c>(name: &str, content: &'c [u8]) -> Result<&'c str, Errors> {
    std::str::from_utf8(content).map_err(|error| {
        let good = &content[..error.valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        let start = good
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |newline| newline + 1);
        let column = 1 + String::from_utf8_lossy(&good[start..]).chars().count();
        let found = content
            .get(error.valid_up_to())
            .copied()
            .unwrap_or_default();
        let message = format!("expected UTF-8, found the byte {found:#04x}");
        Errors::new(
            name,
            vec![Mistake::new("", message).at(Position { line, column })],
        )
    })
}
