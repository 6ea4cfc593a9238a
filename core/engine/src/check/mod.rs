//! Checks: one protocol each, as a state machine.
//!
//! A check is told what happens ([`Input`]) and asks for what it wants through
//! `Cx`. It owns no clock, no socket and no deadline: the engine ends the run
//! when its time is over, in whichever phase it is.
//!
//! To add a kind: write one file that implements `Kind` and `Check`, and
//! add a line to the list at the end of this one. Of the kinds at the end of
//! that list only the sections are read so far. (What a kind is the first to need is
//! more: for checks in Wasm the words of their interface came, `guest`, with reasons of
//! their own, and errands, for whoever has work that takes long.)

pub(crate) mod cx;
pub(crate) mod dial;
pub mod dns;
pub(crate) mod excerpt;
pub mod grpc;
pub mod http;
pub mod icmp;
pub(crate) mod race;
pub mod tcp;
pub(crate) mod tunnel;
pub mod unix;
mod unusable;
pub mod wasm;
pub mod websocket;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use cx::Cx;
pub use unusable::Unusable;

use crate::config::{Cause, ConfigError, Files, TimeLimit};
use crate::fact::Fact;
use crate::io::{Families, Input};
use crate::outcome::{Outcome, Reason};
use crate::tls::TlsOptions;

/// What a kind of check is called, how people configure it, and what it
/// reports. Configuration goes through three forms: as written
/// ([`Kind::Config`]), valid and shared by all targets of a module
/// ([`Kind::Module`]), and ready for one target ([`Kind::Spec`]).
pub(crate) trait Kind {
    /// The series that a run may yield. Facts of one metric stand together.
    const FACTS: &'static [Fact];

    /// The module's section of the file.
    type Config: DeserializeOwned + Serialize + Default;
    /// The section, found valid: files read, expressions compiled.
    type Module: PartialEq;
    /// One target of the module.
    type Spec: PartialEq;

    /// Checks a section. `files` reads what it refers to.
    fn module(config: &Self::Config, files: &dyn Files) -> Result<Self::Module, ConfigError>;

    /// What is legal in a section and not what it seems to be.
    fn warnings(_: &Self::Config) -> Vec<ConfigError> {
        Vec::new()
    }

    /// Those slots of the facts that every run of a module has: 0 until they
    /// are known.
    fn always(_: &Self::Module) -> Range<usize> {
        0..0
    }

    /// Applies a module to a target as people write it (`host:port`, a URL).
    fn target(
        module: &Arc<Self::Module>,
        target: &str,
        params: TargetParams<'_>,
    ) -> Result<Self::Spec, TargetError>;

    /// What can be looked up of a target that [`Kind::target`] refuses:
    /// blackbox_exporter does so before it finds out.
    fn lookup<'a>(_: &Self::Module, _target: &'a str) -> Option<(&'a str, Families)> {
        None
    }

    /// How connections of this module are secured, if they ever are.
    fn tls(module: &Self::Module) -> Option<&Arc<TlsOptions>>;

    /// The module of a target.
    fn module_of(spec: &Self::Spec) -> &Arc<Self::Module>;

    /// Bytes that are the same in every run of the target, rendered once; see
    /// [`Cx::send_request`].
    fn request(spec: &Self::Spec) -> &[u8];

    /// Bytes that are the same for all targets of a module; see
    /// [`Cx::send_body`].
    fn body(_: &Self::Module) -> Option<&Arc<[u8]>> {
        None
    }
}

/// The section of a kind that this version has no check for: it is read and
/// checked, so that a file with it can be used for the rest.
pub(crate) trait Section: DeserializeOwned + Serialize + Default {
    /// Checks the section.
    fn validate(&self) -> Result<(), ConfigError>;
}

/// The state of one run.
pub(crate) trait Check: Sized {
    /// See [`Kind::Spec`].
    type Spec;

    /// The state before [`Input::Start`].
    fn new() -> Self;

    /// Handles one event. Never called again after [`Cx::finish`].
    fn on(&mut self, spec: &Self::Spec, input: Input<'_>, cx: &mut Cx<'_>);

    /// The time of the run is over: ends it if something is known to be wrong
    /// already, whatever would have followed.
    fn condemn(&self, _: &Self::Spec, _: &mut Cx<'_>) {}

    /// Its time is over, and nothing else: sets what facts follow from that. The
    /// verdict is the engine's, unless it knows a better one.
    fn on_expiry(&mut self, _: &Self::Spec, _: &mut Cx<'_>) {}

    /// Whether an answer has begun well and has not been read to its end: a
    /// run that ends so has learnt nothing, as the kubelet sees it.
    fn is_cut_off(&self) -> bool {
        false
    }

    /// What it does with what it was given, if it waits for its next turn to go on
    /// with that.
    fn behind_with(&self) -> Option<&'static str> {
        None
    }

    /// Whether it hears of a connection that we could not make
    /// ([`Closed::Local`](crate::Closed::Local)), because another may do as well.
    /// Else that is the end of the run.
    fn has_another_way(&self) -> bool {
        false
    }

    /// Writes what the run is waiting for, after what the engine says when its
    /// time is over: `: ...`, or nothing.
    fn waits_for(&self, _: &Self::Spec, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// What a single target or request may add to its module.
#[derive(Clone, Copy, Debug, Default)]
pub struct TargetParams<'a> {
    /// The `hostname` parameter of `/probe`: the Host header of `http`, the
    /// TLS server name of `tcp`.
    pub hostname: Option<&'a str>,
    /// TCP ports by the names that the host has for them beside those that every
    /// machine knows. The engine reads no services(5).
    pub ports: Option<fn(&str) -> Option<u16>>,
}

/// A target that cannot be probed by its module: what was expected and what
/// was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// The target is not of the form that the module needs. Where targets come
    /// one by one that is a failed probe like any other: see
    /// [`Module::attempt`].
    Target(String),
    /// The target is right, and is what this version cannot speak to: nobody has seen it
    /// fail.
    Unspoken(String),
    /// A parameter contradicts the module, or is malformed.
    Params(String),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Target(message) | Self::Unspoken(message) | Self::Params(message) => {
                f.write_str(message)
            }
        }
    }
}

impl core::error::Error for TargetError {}

macro_rules! checks {
    (
        $($(#[doc = $doc:literal])+ $name:ident => $variant:ident,)+
        ;
        $($(#[doc = $section_doc:literal])+ $section:ident,)+
    ) => {
        /// A module as it is written in `modules:` of the file.
        ///
        /// As in blackbox_exporter every section is checked, also those that
        /// the module's prober does not use.
        #[derive(Clone, Debug, Default, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct ModuleConfig {
            /// Which check: the name of a section.
            #[serde(default)]
            pub prober: String,
            /// Longest time that one run may take.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub timeout: Option<TimeLimit>,
            $(
                $(#[doc = $doc])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $name: Option<$name::Config>,
            )+
            $(
                $(#[doc = $section_doc])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $section: Option<$section::Config>,
            )+
        }

        /// A valid module, cheap to clone.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum Module {
            $($(#[doc = $doc])+ $variant(Arc<$name::Module>),)+
            /// A module whose files cannot be used as they are, or that asks for
            /// what cannot be spoken.
            Unready(Unready),
        }

        /// A check of one target.
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum CheckSpec {
            $($(#[doc = $doc])+ $variant($name::Spec),)+
            /// A target that its module cannot probe: every run fails, or is
            /// unknown if that is not the target's fault, and says why.
            Unusable(Module, Unusable),
        }

        /// The state of one run of any kind.
        #[derive(Debug)]
        pub(crate) enum AnyCheck { $($variant($name::$variant),)+ Unusable }

        /// The names of all kinds that can be probed, as `prober:` has them.
        pub const KINDS: &[&str] = &[$(stringify!($name),)+];

        /// The names of the kinds that have a section, but no check yet.
        pub const UNSUPPORTED: &[&str] = &[$(stringify!($section),)+];

        /// The series that runs of each kind may yield, in the order of [`KINDS`].
        pub const TABLES: &[&[Fact]] = &[$(<$name::$variant as Kind>::FACTS,)+];

        impl ModuleConfig {
            /// Checks every section and compiles the one that `prober` names.
            /// The files of the others are of no interest.
            ///
            /// # Errors
            /// The first mistake, with the path of its field; if there is none,
            /// why the module that is meant cannot be had, by its [`Cause`].
            pub fn compile(&self, files: &dyn Files) -> Result<Module, ConfigError> {
                let mut module = None;
                $(
                    let is_meant = self.prober == stringify!($name);
                    let default = Default::default();
                    let default = is_meant.then_some(&default);
                    if let Some(config) = self.$name.as_ref().or(default) {
                        let compiled = <$name::$variant as Kind>::module(config, files)
                            .map(|compiled| Module::$variant(Arc::new(compiled)))
                            .map_err(|error| error.within(stringify!($name)));
                        match compiled {
                            Err(error) if error.cause == Cause::Mistake => return Err(error),
                            other if is_meant => module = Some(other),
                            _ => {}
                        }
                    }
                )+
                $(
                    if let Some(config) = &self.$section {
                        let checked = Section::validate(config);
                        checked.map_err(|error| error.within(stringify!($section)))?;
                    }
                )+
                module.unwrap_or_else(|| Err(self.without_check()))
            }

            /// What is legal in the module and not what it seems to be.
            pub fn warnings(&self) -> Vec<ConfigError> {
                let mut warnings = Vec::new();
                if self.timeout.is_some_and(TimeLimit::is_negative) {
                    let message = "a timeout below 0 limits nothing, as 0 does";
                    warnings.push(ConfigError::new("timeout", message));
                }
                $(
                    if let Some(config) = &self.$name {
                        let found = <$name::$variant as Kind>::warnings(config).into_iter();
                        warnings.extend(found.map(|warning| warning.within(stringify!($name))));
                    }
                )+
                warnings
            }
        }

        impl Module {
            /// The name of the kind: `http`, `tcp`.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($name),)+
                    Self::Unready(unready) => KINDS[unready.kind],
                }
            }

            /// The series that runs of this module may yield.
            pub const fn facts(&self) -> &'static [Fact] {
                match self {
                    $(Self::$variant(_) => <$name::$variant as Kind>::FACTS,)+
                    Self::Unready(unready) => TABLES[unready.kind],
                }
            }

            /// How connections are secured, if they ever are.
            pub fn tls(&self) -> Option<&Arc<TlsOptions>> {
                match self {
                    $(Self::$variant(module) => <$name::$variant as Kind>::tls(module),)+
                    Self::Unready(_) => None,
                }
            }

            /// Applies the module to a target as people write it.
            ///
            /// # Errors
            /// If the target is not of the form that the module needs.
            pub fn target(
                &self,
                target: &str,
                params: TargetParams<'_>,
            ) -> Result<CheckSpec, TargetError> {
                match self {
                    $(Self::$variant(module) =>
                        <$name::$variant as Kind>::target(module, target, params)
                            .map(CheckSpec::$variant),)+
                    Self::Unready(unready) => {
                        let why = TargetError::Unspoken(unready.why.as_ref().into());
                        Ok(self.unusable(&why))
                    }
                }
            }

            /// The same where targets come one by one: one that is not of the
            /// form that the module needs is a check that fails with
            /// [`Reason::TargetInvalid`] once it has looked up what can be, as
            /// blackbox_exporter does; one that cannot be spoken to is not known.
            ///
            /// # Errors
            /// If a parameter contradicts the module, or is malformed.
            pub fn attempt(
                &self,
                target: &str,
                params: TargetParams<'_>,
            ) -> Result<CheckSpec, String> {
                let error = match self.target(target, params) {
                    Ok(check) => return Ok(check),
                    Err(TargetError::Params(why)) => return Err(why),
                    Err(error) => error,
                };
                let lookup = match self {
                    $(Self::$variant(module) =>
                        <$name::$variant as Kind>::lookup(module, target),)+
                    Self::Unready(_) => None,
                };
                let unusable = Unusable::new(&error, lookup);
                Ok(CheckSpec::Unusable(self.clone(), unusable))
            }

            /// A check that fails with [`Reason::TargetInvalid`] before it does anything,
            /// or is not known if its target cannot be spoken to.
            pub fn unusable(&self, why: &TargetError) -> CheckSpec {
                CheckSpec::Unusable(self.clone(), Unusable::new(why, None))
            }

            /// See [`Kind::always`].
            fn always(&self) -> Range<usize> {
                match self {
                    $(Self::$variant(module) => <$name::$variant as Kind>::always(module),)+
                    Self::Unready(_) => 0..0,
                }
            }
        }

        impl CheckSpec {
            /// The name of the kind: `http`, `tcp`.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($name),)+
                    Self::Unusable(module, _) => module.kind(),
                }
            }

            /// The series that runs of this check may yield.
            pub const fn facts(&self) -> &'static [Fact] {
                match self {
                    $(Self::$variant(_) => <$name::$variant as Kind>::FACTS,)+
                    Self::Unusable(module, _) => module.facts(),
                }
            }

            /// How its connections are secured, if they ever are.
            pub fn tls(&self) -> Option<&Arc<TlsOptions>> {
                match self {
                    $(Self::$variant(spec) => {
                        <$name::$variant as Kind>::tls(<$name::$variant as Kind>::module_of(spec))
                    })+
                    Self::Unusable(module, _) => module.tls(),
                }
            }

            pub(crate) fn request(&self) -> &[u8] {
                match self {
                    $(Self::$variant(spec) => <$name::$variant as Kind>::request(spec),)+
                    Self::Unusable(..) => &[],
                }
            }

            pub(crate) fn body(&self) -> Option<&Arc<[u8]>> {
                match self {
                    $(Self::$variant(spec) => {
                        <$name::$variant as Kind>::body(<$name::$variant as Kind>::module_of(spec))
                    })+
                    Self::Unusable(..) => None,
                }
            }

            /// The state of a run that has not begun.
            pub(crate) fn start(&self) -> AnyCheck {
                match self {
                    $(Self::$variant(_) => AnyCheck::$variant(Check::new()),)+
                    Self::Unusable(..) => AnyCheck::Unusable,
                }
            }

            /// See [`Kind::always`].
            fn always(&self) -> Range<usize> {
                match self {
                    $(Self::$variant(spec) => {
                        <$name::$variant as Kind>::always(<$name::$variant as Kind>::module_of(spec))
                    })+
                    Self::Unusable(module, _) => module.always(),
                }
            }
        }

        impl AnyCheck {
            /// Passes an event to the check.
            pub(crate) fn on(&mut self, spec: &CheckSpec, input: Input<'_>, cx: &mut Cx<'_>) {
                if let Input::Start = input {
                    spec.always().for_each(|slot| cx.set(slot, 0.0));
                }
                match (self, spec) {
                    $((Self::$variant(check), CheckSpec::$variant(spec)) => check.on(spec, input, cx),)+
                    (Self::Unusable, CheckSpec::Unusable(Module::Unready(unready), unusable)) => {
                        let outcome = Outcome::Unknown(unready.reason);
                        cx.finish(outcome, format_args!("{unusable}"));
                    }
                    (Self::Unusable, CheckSpec::Unusable(_, unusable)) => unusable.on(&input, cx),
                    _ => debug_assert!(false, "a run's state is made from its own spec"),
                }
            }

            /// See [`Check::condemn`].
            pub(crate) fn condemn(&self, spec: &CheckSpec, cx: &mut Cx<'_>) {
                match (self, spec) {
                    $((Self::$variant(check), CheckSpec::$variant(spec)) => {
                        check.condemn(spec, cx);
                    })+
                    _ => {}
                }
            }

            /// See [`Check::on_expiry`].
            pub(crate) fn on_expiry(&mut self, spec: &CheckSpec, cx: &mut Cx<'_>) {
                // Runs of every kind begin with one.
                dial::expire_lookup(cx);
                match (self, spec) {
                    $((Self::$variant(check), CheckSpec::$variant(spec)) => {
                        check.on_expiry(spec, cx);
                    })+
                    _ => {}
                }
            }

            /// See [`Check::waits_for`].
            pub(crate) fn waits_for(
                &self,
                spec: &CheckSpec,
                f: &mut fmt::Formatter<'_>,
            ) -> fmt::Result {
                match (self, spec) {
                    $((Self::$variant(check), CheckSpec::$variant(spec)) => {
                        check.waits_for(spec, f)
                    })+
                    _ => Ok(()),
                }
            }

            /// See [`Check::is_cut_off`].
            pub(crate) fn is_cut_off(&self) -> bool {
                match self {
                    $(Self::$variant(check) => check.is_cut_off(),)+
                    Self::Unusable => false,
                }
            }

            /// See [`Check::has_another_way`].
            pub(crate) fn has_another_way(&self) -> bool {
                match self {
                    $(Self::$variant(check) => check.has_another_way(),)+
                    Self::Unusable => false,
                }
            }

            /// See [`Check::behind_with`].
            pub(crate) fn behind_with(&self) -> Option<&'static str> {
                match self {
                    $(Self::$variant(check) => check.behind_with(),)+
                    Self::Unusable => None,
                }
            }
        }
    };
}

/// A module that is right, but refers to files that cannot be used as they
/// are, or asks for what cannot be spoken. Its runs are unknown, for
/// [`Reason::LocalFile`] or [`Reason::Unspoken`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unready {
    /// Position in [`KINDS`].
    kind: usize,
    why: Arc<str>,
    reason: Reason,
}

impl ModuleConfig {
    /// The module to go on with while [`ModuleConfig::compile`] fails for a
    /// reason that is none to refuse the rest; `None` if this is no kind that can be probed.
    /// `why` is what its runs say.
    pub fn unready(&self, cause: Cause, why: impl Into<Arc<str>>) -> Option<Module> {
        let kind = KINDS.iter().position(|kind| *kind == self.prober)?;
        let reason = match cause {
            Cause::Unspoken => Reason::Unspoken,
            Cause::Mistake | Cause::Unready | Cause::Unsupported => Reason::LocalFile,
        };
        let why = why.into();
        Some(Module::Unready(Unready { kind, why, reason }))
    }

    /// Why there is no check by the name that `prober` gives.
    fn without_check(&self) -> ConfigError {
        let known = KINDS.join(", ");
        if UNSUPPORTED.contains(&&*self.prober) {
            let message = format!(
                "the prober {:?} of blackbox_exporter is not supported by this version: expected one of {known}",
                self.prober
            );
            return ConfigError::unsupported("prober", message);
        }
        if self.prober.is_empty() {
            // As upstream: such modules are what others are made from by merge keys.
            let message = format!("expected one of {known}, found none");
            return ConfigError::unsupported("prober", message);
        }
        let message = format!(
            "prober '{}' is not valid: expected one of {known}",
            self.prober
        );
        ConfigError::new("prober", message)
    }
}

checks! {
    /// HTTP requests.
    http => Http,
    /// TCP connections, secured or not.
    tcp => Tcp,
    /// Checks that are loaded as WebAssembly.
    wasm => Wasm,
    ;
    /// ICMP echo requests.
    icmp,
    /// DNS queries.
    dns,
    /// gRPC's health check.
    grpc,
    /// Connections to sockets of the file system.
    unix,
    /// WebSocket connections.
    websocket,
}
