//! Where a request of a run goes and what it carries: at the target, and after
//! redirects.

use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::time::Duration;

use super::Spec;
use super::cookie::Jar;
use super::request::Request;
use super::response::Head;
use super::url::{self, Url, UrlError};
use crate::check::dial::{Addresses, Destination, Via};
use crate::tls::TlsParams;

/// A request that a redirect asked for.
#[derive(Debug)]
pub(super) struct Hop {
    pub(super) url: Url,
    carried: Carried,
    /// Whether the configured Host goes along: an absolute `Location` names
    /// the host itself (as for Go).
    keeps_host: bool,
    /// See [`Request::bare`].
    bare: bool,
    /// See [`Request::trusted`].
    trusted: bool,
    /// How long the handshakes before it took.
    pub(super) handshakes: Duration,
}

/// What a redirect adds to the next request.
#[derive(Debug)]
pub(super) struct Carried {
    /// The page that redirected, unless it must not be known there.
    pub(super) referer: Option<Box<str>>,
    /// The cookies of all hops so far.
    pub(super) jar: Jar,
}

/// Where the current request goes, whether by a redirect or not.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) spec: &'a Spec,
    pub(super) hop: Option<&'a Hop>,
}

impl<'a> Place<'a> {
    pub(super) fn url(self) -> &'a Url {
        self.hop.map_or(&self.spec.url, |hop| &hop.url)
    }

    /// Whether what the module says of its target's address and certificate goes for
    /// the next one. An absolute `Location` is dialled by its own name: for
    /// blackbox_exporter it names somebody else, unless it has the very address.
    fn is_own_host(self) -> bool {
        self.hop.is_none_or(|hop| {
            let own = &self.spec.url;
            let is_there = hop.url.is_same_host(own) && url::is_address(&own.host);
            hop.keeps_host || is_there
        })
    }

    fn keeps_host(self) -> bool {
        self.hop.is_none_or(|hop| hop.keeps_host)
    }

    /// Whether TLS can only be that with a proxy.
    pub(super) fn is_secured_by_proxy_alone(self) -> bool {
        !self.url().secure && self.spec.module.proxies.is_some()
    }

    pub(super) fn destination(self) -> Destination<'a> {
        let (spec, url) = (self.spec, self.url());
        let own = self.is_own_host();
        let name = match self.keeps_host() {
            true => spec.server_name.as_deref(),
            false => spec.module.server_name.as_deref(),
        };
        let name = name.filter(|_| own);
        Destination {
            host: &url.host,
            port: url.port(),
            // The protocol was asked for with the target in mind; elsewhere
            // the other one will do.
            addresses: match own {
                true => Addresses::One(spec.module.families),
                false => Addresses::Every(spec.module.families.preferred),
            },
            source: spec.module.source,
            via: spec.module.proxies.as_deref().map(|proxies| Via {
                proxies,
                // Whoever answers a redirect elsewhere is not looked up here.
                by_name: spec.module.skip_resolve || !own,
            }),
            secure: url.secure.then_some(TlsParams {
                server_name: name.unwrap_or(&url.host),
                options: &spec.module.tls,
            }),
        }
    }

    pub(super) fn request(self) -> Request<'a> {
        Request {
            module: &self.spec.module,
            url: self.url(),
            host: self.spec.host.as_deref().filter(|_| self.keeps_host()),
            bare: self.hop.is_some_and(|hop| hop.bare),
            trusted: self.hop.is_none_or(|hop| hop.trusted),
            token: None,
            carried: self.hop.map(|hop| &hop.carried),
        }
    }

    /// The next request, or why there is none.
    pub(super) fn redirected(self, head: &Head<'_, '_>, location: &[u8]) -> Result<Hop, UrlError> {
        let request = self.request();
        let mut url = request.url.join(location)?;
        let trusted = request.trusted && url.may_see_secrets_of(&self.spec.url);
        if trusted && url.userinfo.is_none() && url.is_same_host(&self.spec.url) {
            url.userinfo.clone_from(&self.spec.url.userinfo);
        }
        let mut jar = self
            .hop
            .map_or_else(Jar::default, |hop| hop.carried.jar.clone());
        jar.take(head, request.url);
        // What https shows is not told in the clear, nor is a user or password
        // (a URL is shown without them). Another https host is told the path
        // and the query, as by Go.
        let told = url.secure || !request.url.secure;
        Ok(Hop {
            carried: Carried {
                referer: told.then(|| request.url.to_string().into()),
                jar,
            },
            keeps_host: self.keeps_host()
                && !url::has_scheme(location)
                && url.is_same_host(&self.spec.url),
            trusted,
            handshakes: Duration::ZERO,
            // RFC 9110 section 15.4: 307 and 308 repeat the request; after
            // the others every client in use asks with GET.
            bare: request.bare || !matches!(head.status, 307 | 308),
            url,
        })
    }
}
