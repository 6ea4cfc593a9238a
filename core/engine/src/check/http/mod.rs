//! `http`: a request is answered as it should be. HTTP/1.1, or HTTP/2 where
//! the TLS handshake chose it; one connection for each request.
//!
//! ```text
//!          connected (and secured)       head complete       body complete
//! Dialing ------------------------> Asked ------------> Asked ------------> judged
//!    ^                               |  `-- 1xx: the next head follows
//!    `------------ redirect ---------'
//! ```
//! A request that an HTTP/2 server says it did not process is sent again, on another
//! connection to the same address: at once, and from the second time on after a pause
//! (`Refused`).
//!
//! A redirect that is refused is judged without its body. Whatever arrives
//! after the body is not looked at.
//!
//! What is checked, in which order, and which series exist when, is
//! blackbox_exporter's. Differences, all on purpose:
//! - a redirect to the target's own host keeps the credentials, however the
//!   redirect is written (what the module says of `Host`, TLS server name and IP
//!   protocol goes along with a relative one, or to the very address, as for Go);
//! - credentials that were dropped on the way are not taken up again, and
//!   those of an `https` target are dropped by a redirect to `http`;
//! - cookies belong to the hosts of the URLs and not to addresses, and
//!   `Referer` shows those URLs.

mod answer;
mod assertion;
mod auth;
mod backlog;
mod body;
mod claims;
mod config;
mod cookie;
mod date;
mod decode;
mod judge;
mod matching;
mod oauth2;
mod place;
mod protocol;
mod request;
mod response;
mod size;
mod token;
mod url;
mod version;

#[cfg(test)]
mod tests;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

pub use auth::{Authorization, BasicAuth};
pub(crate) use auth::{Credentials, basic_credentials};
pub use claims::Claim;
pub use config::{Config, HeaderMatch, HttpHeader, Module};
pub use oauth2::OAuth2;
pub(crate) use request::{USER_AGENT, check_added, is_token};
pub use size::ByteSize;
pub(crate) use url::{decode, go_takes_host, is_scheme, split_host_port};

use self::answer::Answer;
use self::judge::Fault;
use self::place::{Hop, Place};
use self::protocol::{Http1, Http2, Protocol};
use self::request::Request;
use self::response::Head;
use self::token::Fetch;
use self::url::{Url, UrlError};
use super::cx::Cx;
use super::dial::{self, Dial, Found, Route};
use super::excerpt::Excerpt;
use super::{Check, Kind, TargetError, TargetParams};
use crate::config::{ConfigError, Files, Secret};
use crate::fact::Fact;
use crate::h2::RequestHead;
use crate::id::Conn;
use crate::io::{Families, Input};
use crate::limits::MAX_BACKLOG_BYTES;
use crate::outcome::{Outcome, Phase, Reason};
use crate::tls::TlsOptions;

/// Redirects that one run follows.
const MAX_REDIRECTS: u8 = 10;

const CONTENT_LENGTH: usize = dial::FREE;
const BODY_LENGTH: usize = dial::FREE + 1;
const REDIRECTS: usize = dial::FREE + 2;
const SSL: usize = dial::FREE + 3;
const STATUS_CODE: usize = dial::FREE + 4;
const VERSION: usize = dial::FREE + 5;
const REGEX_FAILED: usize = dial::FREE + 6;
const CEL_FAILED: usize = dial::FREE + 7;
const LAST_MODIFIED: usize = dial::FREE + 8;

const _: () = assert!(LAST_MODIFIED < crate::fact::SLOTS);

const fn duration(phase: Phase) -> Fact {
    Fact::phase(
        "probe_http_duration_seconds",
        "Duration of http request by phase, summed over all redirects",
        phase,
    )
}

/// One target of an `http` module. It is shown without credentials.
#[derive(Clone, PartialEq)]
pub struct Spec {
    module: Arc<Module>,
    url: Url,
    /// The value of Host, if it is not that of the URL.
    host: Option<Box<str>>,
    /// Name to verify, if it is not the host of the URL.
    server_name: Option<Box<str>>,
    request: Box<[u8]>,
    /// The head of the same in HTTP/2, if the handshake may choose it.
    h2: Option<RequestHead>,
}

impl fmt::Debug for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spec")
            .field("module", &self.module)
            .field("url", &self.url)
            .field("host", &self.host)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// A run of the `http` check.
#[derive(Debug)]
pub(crate) struct Http {
    state: State,
    /// The value of Authorization that was fetched.
    token: Option<Box<Secret>>,
    /// Where a redirect led; `None` while the run is at its target.
    hop: Option<Box<Hop>>,
    /// Requests sent, each counted once.
    requests: u8,
    /// How many of them were sent again.
    repeats: u8,
}

#[derive(Debug)]
enum State {
    /// Looking up a target for which a token is needed.
    LookingUp,
    /// Getting the token. Where the target is is known.
    Fetching(Box<Fetch>, Found),
    /// Resolving, connecting, securing.
    Dialing(Dial),
    /// The request was sent, the response is being read.
    Asked(Conn, Protocol),
    /// The peer did not process the request. It will be sent again when woken.
    Refused,
}

impl Kind for Http {
    const FACTS: &'static [Fact] = &[
        dial::FACTS[0],
        dial::FACTS[1],
        dial::FACTS[2],
        duration(Phase::Connect),
        duration(Phase::Processing),
        duration(Phase::Resolve),
        duration(Phase::Tls),
        duration(Phase::Transfer),
        Fact::plain(
            "probe_http_content_length",
            "Length of http content response",
            CONTENT_LENGTH,
        ),
        Fact::plain(
            "probe_http_uncompressed_body_length",
            "Length of uncompressed response body",
            BODY_LENGTH,
        ),
        Fact::plain("probe_http_redirects", "The number of redirects", REDIRECTS),
        Fact::plain(
            "probe_http_ssl",
            "Indicates if SSL was used for the final redirect",
            SSL,
        ),
        Fact::plain(
            "probe_http_status_code",
            "Response HTTP status code",
            STATUS_CODE,
        ),
        Fact::plain(
            "probe_http_version",
            "Returns the version of HTTP of the probe response",
            VERSION,
        ),
        Fact::plain(
            "probe_failed_due_to_regex",
            "Indicates if probe failed due to regex",
            REGEX_FAILED,
        ),
        Fact::plain(
            "probe_failed_due_to_cel",
            "Indicates if probe failed due to CEL expression not matching",
            CEL_FAILED,
        ),
        Fact::plain(
            "probe_http_last_modified_timestamp_seconds",
            "Returns the Last-Modified HTTP response header in unixtime",
            LAST_MODIFIED,
        ),
    ];

    type Config = Config;
    type Module = Module;
    type Spec = Spec;

    fn module(config: &Config, files: &dyn Files) -> Result<Module, ConfigError> {
        Module::new(config, files)
    }

    fn warnings(config: &Config) -> Vec<ConfigError> {
        config.warnings()
    }

    fn always(module: &Module) -> Range<usize> {
        match module.matches_json() {
            true => CONTENT_LENGTH..CEL_FAILED + 1,
            false => CONTENT_LENGTH..CEL_FAILED,
        }
    }

    /// A URL, without which `http://` is meant.
    fn target(
        module: &Arc<Module>,
        target: &str,
        params: TargetParams<'_>,
    ) -> Result<Spec, TargetError> {
        // First, as in blackbox_exporter: what contradicts itself is asked of no target.
        let host = config::host_header(module, params.hostname).map_err(TargetError::Params)?;
        let url = Url::target(target).map_err(|error| {
            // What stands before an @ may be a password.
            let shown = target.rsplit('@').next().unwrap_or_default();
            let message = format!("expected an http or https URL, found {shown:?}: {error}");
            match error {
                UrlError::Zone => TargetError::Unspoken(message),
                _ => TargetError::Target(message),
            }
        })?;
        let of_host = host.as_deref().map(url::host_of);
        let of_host = of_host.filter(|name| !name.is_empty());
        let configured = module.server_name.clone();
        let server_name = configured.or_else(|| of_host.map(Into::into));
        let request = Request {
            module,
            url: &url,
            host: host.as_deref(),
            bare: false,
            trusted: true,
            token: None,
            carried: None,
        };
        let may_be_h2 = url.secure && module.tls.alpn.iter().any(|name| &**name == protocol::H2);
        Ok(Spec {
            request: request.render().into(),
            h2: may_be_h2.then(|| request.h2_head().into_kept()),
            module: Arc::clone(module),
            url,
            host,
            server_name,
        })
    }

    fn lookup<'a>(module: &Module, target: &'a str) -> Option<(&'a str, Families)> {
        if module.skip_resolve && module.proxies.is_some() {
            return None;
        }
        Some((url::host_to_look_up(target)?, module.families))
    }

    fn tls(module: &Module) -> Option<&Arc<TlsOptions>> {
        Some(&module.tls)
    }

    fn module_of(spec: &Spec) -> &Arc<Module> {
        &spec.module
    }

    fn request(spec: &Spec) -> &[u8] {
        &spec.request
    }

    fn body(module: &Module) -> Option<&Arc<[u8]>> {
        Some(module.body.content())
    }
}

impl Check for Http {
    type Spec = Spec;

    fn new() -> Self {
        Self {
            state: State::Dialing(Dial::Idle),
            token: None,
            hop: None,
            requests: 0,
            repeats: 0,
        }
    }

    fn on(&mut self, spec: &Spec, input: Input<'_>, cx: &mut Cx<'_>) {
        let place = Place {
            spec,
            hop: self.hop.as_deref(),
        };
        match (&mut self.state, input) {
            (State::Dialing(_), Input::Start) if spec.module.tokens.is_some() => {
                self.state = State::LookingUp;
                let found = place.destination().look_up(cx);
                self.fetch(spec, found, cx);
            }
            (State::LookingUp, Input::Resolved(answer)) => {
                let found = place.destination().on_looked_up(answer, cx);
                self.fetch(spec, found, cx);
            }
            (State::Fetching(fetch, found), input) => {
                let Some(source) = &spec.module.tokens else {
                    return;
                };
                if let Some(token) = fetch.on(source, input, cx) {
                    self.token = Some(Box::new(token));
                    let mut dial = Dial::Idle;
                    dial.reach(place.destination(), found.clone(), cx);
                    self.state = State::Dialing(dial);
                }
            }
            (State::Dialing(dial), Input::Start) => dial.start(place.destination(), cx),
            (State::Dialing(dial), input) => {
                if let Some(conn) = dial.on(place.destination(), &input, cx) {
                    self.ask(spec, conn, cx);
                }
            }
            (State::Asked(conn, protocol), Input::Data(from, data)) if *conn == from => {
                let conn = *conn;
                match protocol.answer_mut().and_then(Answer::backlog) {
                    None => self.read(spec, conn, data, cx),
                    Some(backlog) => {
                        backlog.bytes.extend_from_slice(data);
                        if backlog.len() > MAX_BACKLOG_BYTES {
                            cx.without_bound(|cx| self.catch_up(spec, cx));
                        }
                    }
                }
            }
            (State::Asked(conn, protocol), Input::Closed(closed, why)) if *conn == closed => {
                protocol.on_closed(place, why, cx);
            }
            (State::Asked(..), Input::Woken) => self.catch_up(spec, cx),
            (State::Refused, Input::Woken) => self.ask_again(spec, cx),
            // News of a connection that was closed before a redirect.
            _ => {}
        }
    }

    fn condemn(&self, spec: &Spec, cx: &mut Cx<'_>) {
        let hop = self.hop.as_deref();
        if let Some(answer) = self.answer() {
            answer.condemn(Place { spec, hop }, cx);
        }
    }

    fn on_expiry(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        if let Some(answer) = self.answer() {
            answer.on_expiry(&spec.module, cx);
        }
    }

    fn is_cut_off(&self) -> bool {
        self.answer().is_some_and(Answer::is_cut_off)
    }

    fn behind_with(&self) -> Option<&'static str> {
        self.answer().and_then(Answer::behind_with)
    }

    fn has_another_way(&self) -> bool {
        match &self.state {
            State::Fetching(fetch, _) => fetch.has_another_way(),
            State::Dialing(dial) => dial.has_another_way(),
            State::LookingUp | State::Asked(..) | State::Refused => false,
        }
    }

    fn waits_for(&self, _: &Spec, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.answer() {
            Some(answer) => answer.waits_for(f),
            None => Ok(()),
        }
    }
}

impl Http {
    /// Sets out for a token, if the target was found.
    fn fetch(&mut self, spec: &Spec, found: Option<Found>, cx: &mut Cx<'_>) {
        if let (Some(found), Some(source)) = (found, &spec.module.tokens) {
            self.state = State::Fetching(Box::new(Fetch::start(source, cx)), found);
        }
    }

    fn answer(&self) -> Option<&Answer> {
        match &self.state {
            State::Asked(_, protocol) => protocol.answer(),
            State::LookingUp | State::Fetching(..) | State::Dialing(_) | State::Refused => None,
        }
    }

    /// Reads what came on the connection.
    fn read(&mut self, spec: &Spec, conn: Conn, data: &[u8], cx: &mut Cx<'_>) {
        let place = Place {
            spec,
            hop: self.hop.as_deref(),
        };
        if self.answer().is_some_and(Answer::is_complete) {
            return;
        }
        match &mut self.state {
            State::Asked(_, Protocol::H1(Http1::Head(_))) => self.on_head(spec, conn, data, cx),
            State::Asked(_, Protocol::H1(Http1::Body(answer))) => answer.on_data(place, data, cx),
            State::Asked(_, Protocol::H2(_)) => self.on_frames(spec, conn, data, cx),
            State::LookingUp | State::Fetching(..) | State::Dialing(_) | State::Refused => {}
        }
    }

    /// Goes on with what was too much for one turn, and with what came since.
    fn catch_up(&mut self, spec: &Spec, cx: &mut Cx<'_>) {
        let hop = self.hop.as_deref();
        let place = Place { spec, hop };
        let State::Asked(conn, protocol) = &mut self.state else {
            return;
        };
        let conn = *conn;
        let answer = protocol.answer_mut();
        let Some(backlog) = answer.and_then(|answer| answer.catch_up(place, cx)) else {
            return;
        };
        self.read(spec, conn, &backlog.bytes, cx);
        let hop = self.hop.as_deref();
        if let (Some(why), State::Asked(_, protocol)) = (backlog.closed, &mut self.state)
            && !cx.is_finished()
        {
            protocol.on_closed(Place { spec, hop }, why, cx);
        }
    }

    /// Sends the request on a connection that is ready for it.
    fn ask(&mut self, spec: &Spec, conn: Conn, cx: &mut Cx<'_>) {
        let hop = self.hop.as_deref();
        let request = Request {
            token: self.token.as_deref(),
            ..Place { spec, hop }.request()
        };
        let route = match &self.state {
            State::Dialing(dial) => dial.route(),
            _ => Route::Through,
        };
        let is_h2 = protocol::is_h2(cx.core.tls.as_deref());
        if !request.has_host() && (is_h2 || matches!(route, Route::Forwarded(_))) {
            let way = if is_h2 {
                "in HTTP/2"
            } else {
                "by way of a proxy"
            };
            return cx.fail(
                Reason::TargetInvalid,
                format_args!("headers.Host: no host that can be asked for {way}"),
            );
        }
        cx.trace(format_args!("sending {} {}", request.method(), request.url));
        self.requests += 1;
        if is_h2 {
            let mut out = Vec::new();
            let body = request.body();
            let mut exchange = match &spec.h2 {
                Some(head) if hop.is_none() && self.token.is_none() => {
                    Http2::begin(head, body, &mut out)
                }
                _ => Http2::begin(&request.h2_head(), body, &mut out),
            };
            cx.send(conn, &out);
            exchange.send_body(conn, cx);
            self.state = State::Asked(conn, Protocol::H2(Box::new(exchange)));
            return;
        }
        match (route, hop) {
            (Route::Forwarded(proxy), _) => cx.send(conn, &request.forwarded(&proxy)),
            (Route::Through, None) if self.token.is_none() => cx.send_request(conn),
            (Route::Through, _) => cx.send(conn, &request.render()),
        }
        if request.is_followed_by_body() {
            cx.send_body(conn);
            if !request.end().is_empty() {
                cx.send(conn, request.end());
            }
        }
        self.state = State::Asked(conn, Protocol::H1(Http1::default()));
    }

    /// HTTP/1: reads heads until there is a final one.
    fn on_head(&mut self, spec: &Spec, conn: Conn, data: &[u8], cx: &mut Cx<'_>) {
        let State::Asked(_, Protocol::H1(Http1::Head(heads))) = &mut self.state else {
            return;
        };
        if data.is_empty() {
            return;
        }
        if cx.core.phase == Phase::Processing {
            cx.begin(Phase::Transfer);
        }
        let bytes = heads.gather(data);
        match (self.read_heads(spec, conn, &bytes, cx), &mut self.state) {
            (Some(at), State::Asked(_, Protocol::H1(Http1::Head(heads)))) => {
                heads.keep(bytes, at, || cx.take_buffer());
            }
            _ => {
                if let Cow::Owned(buffer) = bytes {
                    cx.give_buffer(buffer);
                }
            }
        }
    }

    /// Reads heads up to the final one, and what follows that. Returns where
    /// one begins that is not complete.
    fn read_heads(
        &mut self,
        spec: &Spec,
        conn: Conn,
        bytes: &[u8],
        cx: &mut Cx<'_>,
    ) -> Option<usize> {
        let mut at = 0;
        loop {
            let State::Asked(_, Protocol::H1(Http1::Head(heads))) = &mut self.state else {
                return None;
            };
            let raw = match heads.next(&bytes[at..]) {
                Ok(Some(raw)) => raw,
                Ok(None) => return Some(at),
                Err(error) => {
                    cx.fail(error.reason(), format_args!("{error}"));
                    return None;
                }
            };
            let mut fields = Head::fields();
            let head = match Head::parse(&raw, &mut fields) {
                Ok(head) => head,
                Err(error) => {
                    cx.fail(error.reason(), format_args!("{error}"));
                    return None;
                }
            };
            at += raw.len();
            cx.trace(format_args!("received status {}", head.status));
            if head.is_interim() {
                continue;
            }
            if let Some(mut answer) = self.answered(spec, conn, &head, cx) {
                let hop = self.hop.as_deref();
                answer.on_data(Place { spec, hop }, &bytes[at..], cx);
                self.state = State::Asked(conn, Protocol::H1(Http1::Body(answer)));
            }
            return None;
        }
    }

    /// Follows or judges a response; gives what reads its body, if that is
    /// wanted.
    fn answered(
        &mut self,
        spec: &Spec,
        conn: Conn,
        head: &Head<'_, '_>,
        cx: &mut Cx<'_>,
    ) -> Option<Answer> {
        let place = Place {
            spec,
            hop: self.hop.as_deref(),
        };
        let module = &*spec.module;
        let announced = match body::announced(head, module.is_head()) {
            Ok(announced) => announced,
            Err(error) => {
                cx.fail(error.reason(), format_args!("{error}"));
                return None;
            }
        };
        let redirect = redirect(head).filter(|_| place.request().can_follow(head.status));
        let mut limited = false;
        if let Some(location) = redirect {
            let hop = place.redirected(head, location);
            // What is no text of a URL is not counted as a redirect, as by Go.
            if !matches!(hop, Err(UrlError::Text(_))) {
                cx.set(REDIRECTS, f64::from(self.requests));
            }
            limited = self.requests > MAX_REDIRECTS;
            if module.follow_redirects && !limited {
                match hop {
                    Ok(hop) => self.follow(spec, conn, hop, cx),
                    Err(error) => invalid_redirect(location, &error, cx),
                }
                return None;
            }
        }
        let secured = place.url().secure;
        answer::note(head, announced.length, secured, cx);
        let mut fault = judge::status(module, head.status);
        if let (Some(Fault::Status(status)), true) = (fault, limited && module.follow_redirects) {
            fault = Some(Fault::RedirectLimit(status));
        }
        let fault = fault
            .or_else(|| judge::headers(module, head))
            .or_else(|| judge::coding(module));
        let (framing, matched) = (announced.framing, module.matches_body());
        let mut answer = Answer::new(framing, fault, head.version, matched, module.coding);
        if answer.is_matched() {
            answer.hold_in(cx.take_buffer());
        }
        if redirect.is_some() {
            answer.refuse(place, cx);
            return None;
        }
        Some(answer)
    }

    /// Goes where a redirect points.
    fn follow(&mut self, spec: &Spec, conn: Conn, mut hop: Hop, cx: &mut Cx<'_>) {
        cx.note(format_args!("redirected to {}", hop.url));
        // Only what the final response needs to arrive is `transfer`.
        cx.abandon_phase();
        cx.close(conn);
        // What the handshake of this hop showed is not about the final
        // response.
        cx.core.tls = None;
        hop.handshakes = cx.core.phases.get(Phase::Tls).unwrap_or_default();
        let hop = &**self.hop.insert(Box::new(hop));
        let mut dial = Dial::Idle;
        cx.begin(Phase::Resolve);
        dial.start(
            Place {
                spec,
                hop: Some(hop),
            }
            .destination(),
            cx,
        );
        self.state = State::Dialing(dial);
    }
}

/// The target of a redirect. Without `Location` a 3xx is a final response.
fn redirect<'b>(head: &Head<'_, 'b>) -> Option<&'b [u8]> {
    matches!(head.status, 301..=303 | 307 | 308)
        .then(|| head.value("Location"))?
        .filter(|location| !location.is_empty())
}

fn invalid_redirect(location: &[u8], error: &UrlError, cx: &mut Cx<'_>) {
    let shown = Excerpt(location);
    match error {
        UrlError::Scheme(_) => cx.fail(
            Reason::HttpRedirectInvalid,
            format_args!("redirect to {shown} is not http or https"),
        ),
        UrlError::Zone => cx.finish(
            Outcome::Unknown(Reason::Unspoken),
            format_args!("{error}, and the redirect's location has one: {shown}"),
        ),
        UrlError::Malformed(what) | UrlError::Text(what) => cx.fail(
            Reason::HttpRedirectInvalid,
            format_args!("redirect to {shown} is not a URL: {what}"),
        ),
    }
}
