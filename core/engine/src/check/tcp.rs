//! `tcp`: a connection can be made and, if asked for, secured.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::cx::Cx;
use super::dial::{self, Destination, Dial};
use super::{Check, Kind, TargetError, TargetParams};
use crate::config::{self, ConfigError, Files, TlsConfig, is_default};
use crate::fact::Fact;
use crate::io::{Families, Input};
use crate::tls::{TlsOptions, TlsParams};

/// The `tcp` section of a module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `ip4` or `ip6` (the default).
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_ip_protocol: String,
    /// Whether the other protocol will do.
    pub ip_protocol_fallback: bool,
    /// Source address of connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ip_address: Option<IpAddr>,
    /// Whether to perform a TLS handshake on the connection.
    #[serde(skip_serializing_if = "is_default")]
    pub tls: bool,
    /// How.
    #[serde(skip_serializing_if = "is_default")]
    pub tls_config: TlsConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            preferred_ip_protocol: String::new(),
            ip_protocol_fallback: true,
            source_ip_address: None,
            tls: false,
            tls_config: TlsConfig::default(),
        }
    }
}

/// A valid `tcp` section.
#[derive(Debug, PartialEq)]
pub struct Module {
    families: Families,
    source: Option<IpAddr>,
    tls: Option<Arc<TlsOptions>>,
    server_name: Box<str>,
}

/// One target of a `tcp` module.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    module: Arc<Module>,
    host: Box<str>,
    port: u16,
    /// Name to verify, if it is not the host.
    server_name: Option<Box<str>>,
}

/// A run of the `tcp` check.
#[derive(Debug)]
pub(crate) struct Tcp {
    dial: Dial,
}

impl Kind for Tcp {
    const FACTS: &'static [Fact] = &dial::FACTS;

    type Config = Config;
    type Module = Module;
    type Spec = Spec;

    fn module(config: &Config, files: &dyn Files) -> Result<Module, ConfigError> {
        let options = config
            .tls_config
            .options(&[], files)
            .map_err(|error| error.within("tls_config"))?;
        Ok(Module {
            families: config::families(&config.preferred_ip_protocol, config.ip_protocol_fallback),
            source: config.source_ip_address,
            tls: config.tls.then_some(options),
            server_name: config.tls_config.server_name.as_str().into(),
        })
    }

    fn warnings(config: &Config) -> Vec<ConfigError> {
        let tls = config.tls_config.warnings().into_iter();
        tls.map(|warning| warning.within("tls_config")).collect()
    }

    /// `host:port`, an IPv6 address in brackets.
    fn target(
        module: &Arc<Module>,
        target: &str,
        params: TargetParams<'_>,
    ) -> Result<Spec, TargetError> {
        let (host, port) = split_host_port(target)?;
        let configured = Some(&*module.server_name).filter(|name| !name.is_empty());
        Ok(Spec {
            module: Arc::clone(module),
            host: host.into(),
            port,
            server_name: configured.or(params.hostname).map(Into::into),
        })
    }

    fn tls(module: &Module) -> Option<&Arc<TlsOptions>> {
        module.tls.as_ref()
    }

    fn module_of(spec: &Spec) -> &Arc<Module> {
        &spec.module
    }

    fn request(_: &Spec) -> &[u8] {
        &[]
    }
}

impl Spec {
    fn destination(&self) -> Destination<'_> {
        Destination {
            host: &self.host,
            port: self.port,
            families: self.module.families,
            source: self.module.source,
            via: None,
            secure: self.module.tls.as_ref().map(|options| TlsParams {
                server_name: self.server_name.as_deref().unwrap_or(&self.host),
                options,
            }),
        }
    }
}

impl Check for Tcp {
    type Spec = Spec;

    fn new() -> Self {
        Self { dial: Dial::Idle }
    }

    /// What the peer sends or does once the connection is usable is not our
    /// business: closing at once is still a success, as in the kubelet.
    fn on(&mut self, spec: &Spec, input: Input<'_>, cx: &mut Cx<'_>) {
        if let Input::Start = input {
            self.dial.start(spec.destination(), cx);
        } else if self.dial.on(spec.destination(), &input, cx).is_some() {
            cx.finish(crate::Outcome::Success, format_args!(""));
        }
    }
}

/// Splits `host:port` as Go's `net.SplitHostPort` does; the port is mandatory
/// and numeric.
pub(crate) fn split_host_port(target: &str) -> Result<(&str, u16), TargetError> {
    let wrong = |found: &str| {
        TargetError::Target(format!(
            "expected host:port (an IPv6 address in brackets), found {target:?}: {found}"
        ))
    };
    let (host, port) = match target.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| wrong("no ]"))?;
            let port = after.strip_prefix(':').ok_or_else(|| wrong("no port"))?;
            (host, port)
        }
        None => {
            let (host, port) = target.rsplit_once(':').ok_or_else(|| wrong("no port"))?;
            if host.contains(':') {
                return Err(wrong("too many colons"));
            }
            (host, port)
        }
    };
    if host.is_empty() {
        return Err(wrong("no host"));
    }
    match port.parse() {
        Ok(port) if port > 0 => Ok((host, port)),
        _ => Err(wrong("the port is not a number from 1 to 65535")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_host_and_port() {
        assert_eq!(split_host_port("a.example:80").unwrap(), ("a.example", 80));
        assert_eq!(
            split_host_port("10.0.0.7:8080").unwrap(),
            ("10.0.0.7", 8080)
        );
        assert_eq!(split_host_port("[::1]:443").unwrap(), ("::1", 443));
        for target in [
            "", "a", "a:", ":80", "::1:80", "[::1]", "[::1:80", "a:0", "a:65536", "a:http",
        ] {
            assert!(split_host_port(target).is_err(), "{target}");
        }
    }
}
