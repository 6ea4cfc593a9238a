//! The options: the fields of `prober: http` that make sense where the connection is
//! the host's.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use probity_engine::check::http::{
    self, Authorization, BasicAuth, ByteSize, HeaderMatch, HttpHeader,
};
use probity_engine::check::{CheckSpec, Module, ModuleConfig, TargetParams};
use probity_engine::config::{Bytes, NoFiles, Pattern, Secret};
use serde::Deserialize;

/// Bytes of the path of a request. That of a URL is bounded by nothing else.
const MAX_PATH_BYTES: usize = 8 * 1024;

/// Declares the options beside `path`, each of the type that the engine has for it,
/// and hands them over.
macro_rules! options {
    ($($name:ident: $type:ty,)+) => {
        /// The options of this check. All but `path` are those of `prober: http`, and
        /// read by the same code.
        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Config {
            /// What is asked for, with the query: `/` if it is empty.
            path: String,
            $($name: $type,)+
        }

        impl Config {
            fn section(&self) -> http::Config {
                http::Config {
                    $($name: self.$name.clone(),)+
                    // Where a redirect points takes another connection.
                    follow_redirects: false,
                    ..http::Config::default()
                }
            }
        }
    };
}

options! {
    valid_status_codes: Vec<i64>,
    valid_http_versions: Vec<String>,
    fail_if_ssl: bool,
    fail_if_not_ssl: bool,
    method: String,
    headers: BTreeMap<String, Bytes>,
    http_headers: BTreeMap<String, HttpHeader>,
    fail_if_body_matches_regexp: Vec<Pattern>,
    fail_if_body_not_matches_regexp: Vec<Pattern>,
    fail_if_header_matches: Vec<HeaderMatch>,
    fail_if_header_not_matches: Vec<HeaderMatch>,
    body: Bytes,
    compression: String,
    body_size_limit: ByteSize,
    basic_auth: Option<BasicAuth>,
    authorization: Option<Authorization>,
    bearer_token: Secret,
}

impl Config {
    /// Compiles the options.
    ///
    /// # Errors
    /// One sentence that names the field.
    pub(crate) fn module(&self) -> Result<Module, String> {
        let wrong = |what: &str| Err(format!("path: expected {what}, found {:?}", self.path));
        if !self.path.is_empty() && !self.path.starts_with('/') {
            return wrong("a path that begins with /");
        }
        if self.path.contains('#') {
            return wrong("a path without a fragment, which is not sent");
        }
        if self.path.len() > MAX_PATH_BYTES {
            let found = self.path.len();
            return Err(format!(
                "path: expected at most {MAX_PATH_BYTES} bytes, found {found}"
            ));
        }
        let module = ModuleConfig {
            prober: "http".into(),
            http: Some(self.section()),
            ..ModuleConfig::default()
        };
        let module = module.compile(&NoFiles).map_err(|error| {
            let error = error.to_string();
            error.strip_prefix("http.").unwrap_or(&error).to_string()
        })?;
        // Of any host: what is left to be wrong is the path.
        let any = self.spec(&module, &Ipv4Addr::LOCALHOST.to_string(), 80, false);
        any.map_err(|why| format!("path: {why}"))?;
        Ok(module)
    }

    /// What is asked of a host.
    ///
    /// # Errors
    /// Why nothing can be asked of it.
    pub(crate) fn spec(
        &self,
        module: &Module,
        host: &str,
        port: u16,
        secured: bool,
    ) -> Result<CheckSpec, String> {
        let (scheme, usual) = if secured {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let mut url = match host.parse() {
            Ok(IpAddr::V6(address)) => format!("{scheme}://[{address}]"),
            _ => format!("{scheme}://{host}"),
        };
        if port != usual {
            url.push_str(&format!(":{port}"));
        }
        url.push_str(&self.path);
        let spec = module.target(&url, TargetParams::default());
        spec.map_err(|error| error.to_string())
    }
}
