//! Whether a response is what was asked for. The steps and their order are
//! those of blackbox_exporter: status, headers, body, version, TLS.

use alloc::format;
use core::fmt;

use super::config::{Matcher, Module};
use super::decode::Coding;
use super::response::{Head, unfolded};
use super::version::Version;
use super::{CEL_FAILED, MAX_REDIRECTS, REGEX_FAILED};
use crate::check::Cx;
use crate::config::{Automaton, Cel, NoAnswer};
use crate::outcome::Reason;

/// What is wrong with a response. Small, so that it can wait until the body
/// has been read; the words are found at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its status code is not accepted.
    Status(u16),
    /// Nor is it, and it is one redirect too many.
    RedirectLimit(u16),
    /// A header is missing.
    HeaderMissing(List, u16),
    /// A header matches, or does not.
    Header(List, u16),
    /// The body cannot be decoded: nobody knows how.
    Coding,
    /// The body matches, or does not.
    Body(List, u16),
    /// There is no body to match: the redirect was refused.
    BodyUnread,
    /// Its version is not accepted.
    Version(Version),
    /// It came over TLS.
    Secured,
    /// It did not.
    Plain,
}

/// Which list of expressions; the position in it follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Those that must not match.
    Forbidden,
    /// Those that must.
    Required,
}

/// Judges a status code.
pub(super) fn status(module: &Module, status: u16) -> Option<Fault> {
    let accepted = match &*module.statuses {
        [] => (200..300).contains(&status),
        statuses => statuses.contains(&i64::from(status)),
    };
    (!accepted).then_some(Fault::Status(status))
}

/// Judges the headers: every value is looked at.
pub(super) fn headers(module: &Module, head: &Head<'_, '_>) -> Option<Fault> {
    let lists = [
        (List::Forbidden, &module.header_forbidden),
        (List::Required, &module.header_required),
    ];
    for (list, matchers) in lists {
        for (index, matcher) in (0_u16..).zip(&**matchers) {
            let hidden = is_hidden(&matcher.header, head);
            let values = head.values(&matcher.header).filter(|_| !hidden);
            let mut values = values.peekable();
            if values.peek().is_none() {
                if !matcher.allow_missing {
                    return Some(Fault::HeaderMissing(list, index));
                }
                continue;
            }
            let found = values.any(|value| matcher.pattern.is_match(&unfolded(value)));
            if found == (list == List::Forbidden) {
                return Some(Fault::Header(list, index));
            }
        }
    }
    None
}

/// Whether Go takes a field of this name off a response before anybody sees it.
fn is_hidden(name: &str, head: &Head<'_, '_>) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("Connection") {
        let mut options = head
            .values(name)
            .flat_map(|value| value.split(|byte| *byte == b','));
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    } else if is("Content-Length") || is("Trailer") {
        head.version.has_chunks() && head.value("Transfer-Encoding").is_some()
    } else {
        is("Transfer-Encoding")
    }
}

/// Judges whether the body can be decoded as it is asked for.
pub(super) fn coding(module: &Module) -> Option<Fault> {
    (module.coding == Coding::Unsupported).then_some(Fault::Coding)
}

/// Judges the JSON of the body: what is wrong with it, or why that cannot be said.
pub(super) fn json(module: &Module, body: &[u8]) -> Result<(), NoAnswer> {
    let lists = [
        (List::Forbidden, &module.cel_forbidden),
        (List::Required, &module.cel_required),
    ];
    // Read once, however many look at it.
    let mut read = None;
    for (list, cel) in lists {
        let Some(Cel(expression)) = cel else {
            continue;
        };
        let body = match read.take() {
            Some(body) => Ok(body),
            None => expression.read(body),
        };
        let holds = body.and_then(|body| expression.holds(&**read.insert(body)));
        match holds {
            Ok(holds) if holds == (list == List::Forbidden) => {
                let words = format!("body {} {:?}", list.verb(), expression.source());
                return Err(NoAnswer::Failed(words));
            }
            Ok(_) => {}
            Err(NoAnswer::Failed(why)) => {
                let words = format!("{why} (in {:?})", expression.source());
                return Err(NoAnswer::Failed(words));
            }
            Err(NoAnswer::Beyond(why)) => {
                let words = format!("{why} (in {:?})", expression.source());
                return Err(NoAnswer::Beyond(words));
            }
        }
    }
    Ok(())
}

/// Judges how the response came: in which version, over TLS or not.
pub(super) fn transport(module: &Module, version: Version, secured: bool) -> Option<Fault> {
    if !module.versions.is_empty() && module.versions.iter().all(|name| !version.is_named(name)) {
        Some(Fault::Version(version))
    } else if module.fail_if_ssl && secured {
        Some(Fault::Secured)
    } else if module.fail_if_not_ssl && !secured {
        Some(Fault::Plain)
    } else {
        None
    }
}

/// The body was to be matched and cannot be read: whoever would have looked at
/// it first has failed.
pub(super) fn unread(module: &Module, cx: &mut Cx<'_>) {
    cx.set(
        match module.matches_text() {
            true => REGEX_FAILED,
            false => CEL_FAILED,
        },
        1.0,
    );
}

impl Fault {
    /// Ends the run with this verdict.
    pub(super) fn report(self, module: &Module, cx: &mut Cx<'_>) {
        let reason = match self {
            Self::Status(_) => Reason::HttpStatus,
            Self::RedirectLimit(_) => Reason::HttpRedirectLimit,
            Self::HeaderMissing(..) | Self::Header(..) => Reason::HeaderMismatch,
            Self::Body(..) | Self::BodyUnread => Reason::BodyMismatch,
            Self::Coding => Reason::BodyEncoding,
            Self::Version(_) => Reason::HttpVersion,
            Self::Secured | Self::Plain => Reason::HttpSsl,
        };
        match self {
            Self::BodyUnread => unread(module, cx),
            Self::HeaderMissing(..) | Self::Header(..) | Self::Body(..) => {
                cx.set(REGEX_FAILED, 1.0);
            }
            _ => {}
        }
        let fault = self;
        cx.fail(reason, format_args!("{}", Sentence { fault, module }));
    }
}

/// A fault in words.
struct Sentence<'a> {
    fault: Fault,
    module: &'a Module,
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let module = self.module;
        match self.fault {
            Fault::Status(status) => {
                write!(f, "status {status}, expected ")?;
                match &*module.statuses {
                    [] => f.write_str("2xx"),
                    statuses => OneOf(statuses).fmt(f),
                }
            }
            Fault::RedirectLimit(status) => write!(
                f,
                "status {status} after {MAX_REDIRECTS} redirects, and no more are followed"
            ),
            Fault::HeaderMissing(list, index) => match self.matcher(list, index) {
                Some(matcher) => write!(f, "header {} is missing", matcher.header),
                None => Ok(()),
            },
            Fault::Header(list, index) => match self.matcher(list, index) {
                Some(Matcher {
                    header, pattern, ..
                }) => {
                    write!(f, "header {header} {} {pattern:?}", list.verb())
                }
                None => Ok(()),
            },
            Fault::Coding => f.write_str(
                "unsupported compression algorithm: expected gzip, deflate, br or identity",
            ),
            Fault::Body(list, index) => match list.patterns(module).get(usize::from(index)) {
                Some(pattern) => write!(f, "body {} {pattern:?}", list.verb()),
                None => Ok(()),
            },
            Fault::BodyUnread => {
                f.write_str("the body of a redirect that is not followed is not read")
            }
            Fault::Version(version) => {
                write!(f, "version {version}, expected ")?;
                OneOf(&module.versions).fmt(f)
            }
            Fault::Secured => f.write_str("the final response came over TLS, expected plain HTTP"),
            Fault::Plain => f.write_str("the final response came over plain HTTP, expected TLS"),
        }
    }
}

impl Sentence<'_> {
    fn matcher(&self, list: List, index: u16) -> Option<&Matcher> {
        let matchers = match list {
            List::Forbidden => &self.module.header_forbidden,
            List::Required => &self.module.header_required,
        };
        matchers.get(usize::from(index))
    }
}

impl List {
    const fn verb(self) -> &'static str {
        match self {
            Self::Forbidden => "matches",
            Self::Required => "does not match",
        }
    }

    /// The expressions for the body.
    pub(super) fn patterns(self, module: &Module) -> &[Automaton] {
        match self {
            Self::Forbidden => &module.body_forbidden,
            Self::Required => &module.body_required,
        }
    }

    /// The field that they are written in.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Forbidden => "fail_if_body_matches_regexp",
            Self::Required => "fail_if_body_not_matches_regexp",
        }
    }
}

/// `200` or `one of 200, 404`.
struct OneOf<'a, T>(&'a [T]);

impl<T: fmt::Display> fmt::Display for OneOf<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() > 1 {
            f.write_str("one of ")?;
        }
        for (index, item) in self.0.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{item}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::http::config::{Config, HeaderMatch};
    use crate::check::http::response::Raw;
    use crate::config::{Expression, NoFiles, Pattern};
    use alloc::boxed::Box;
    use alloc::string::String;
    use alloc::string::ToString as _;
    use alloc::sync::Arc;
    use alloc::vec;
    use core::any::Any;
    use core::sync::atomic::{AtomicUsize, Ordering};

    const HTTP_10: Version = Version::Written { major: 1, minor: 0 };
    const HTTP_11: Version = Version::Written { major: 1, minor: 1 };

    fn module(change: impl FnOnce(&mut Config)) -> Module {
        let mut config = Config::default();
        change(&mut config);
        Module::new(&config, &NoFiles).unwrap()
    }

    fn said(module: &Module, fault: Option<Fault>) -> Option<String> {
        fault.map(|fault| Sentence { fault, module }.to_string())
    }

    /// TestHTTPStatusCodes of blackbox_exporter.
    #[test]
    fn accepted_status_codes() {
        let default = module(|_| {});
        let listed = module(|config| config.valid_status_codes = vec![200, 404]);
        for code in [200, 201, 299] {
            assert_eq!(status(&default, code), None);
        }
        for code in [101, 300, 404] {
            assert_eq!(status(&default, code), Some(Fault::Status(code)));
        }
        assert_eq!(status(&listed, 404), None);
        let fault = status(&listed, 201);
        assert_eq!(
            said(&listed, fault).unwrap(),
            "status 201, expected one of 200, 404"
        );
        let fault = status(&default, 503);
        assert_eq!(said(&default, fault).unwrap(), "status 503, expected 2xx");
    }

    fn header_fault(
        required: bool,
        pattern: &str,
        allow_missing: bool,
        values: &[&str],
    ) -> Option<String> {
        let matcher = HeaderMatch {
            header: "content-type".into(),
            regexp: Some(Pattern::new(pattern).unwrap()),
            allow_missing,
        };
        let module = module(|config| match required {
            true => config.fail_if_header_not_matches = vec![matcher],
            false => config.fail_if_header_matches = vec![matcher],
        });
        let lines: String = values
            .iter()
            .map(|value| format!("Content-Type: {value}\r\n"))
            .collect();
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        let mut fields = Head::fields();
        let raw = Raw::new(text.as_bytes()).unwrap();
        let head = Head::parse(&raw, &mut fields).unwrap();
        said(&module, headers(&module, &head))
    }

    #[test]
    fn fields_about_the_connection_are_hidden_as_by_go() {
        for (fields, name, hidden) in [
            (
                "HTTP/1.1 200 OK\r\nConnection: keep-alive",
                "connection",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nConnection: x, Close",
                "Connection",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1",
                "Content-Length",
                false,
            ),
            ("HTTP/1.1 200 OK\r\nTrailer: X", "Trailer", false),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
                "content-length",
                true,
            ),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked",
                "Content-Length",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked",
                "Trailer",
                true,
            ),
            (
                "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked",
                "transfer-encoding",
                true,
            ),
        ] {
            let text = format!("{fields}\r\n\r\n");
            let mut room = Head::fields();
            let raw = Raw::new(text.as_bytes()).unwrap();
            let head = Head::parse(&raw, &mut room).unwrap();
            assert_eq!(is_hidden(name, &head), hidden, "{fields}: {name}");
        }
    }

    #[test]
    fn a_status_that_no_response_has_may_be_listed() {
        let odd = module(|config| config.valid_status_codes = vec![-1, 9991]);
        let fault = status(&odd, 200);
        assert_eq!(
            said(&odd, fault).unwrap(),
            "status 200, expected one of -1, 9991"
        );
    }

    /// TestFailIfHeaderMatchesRegexp and TestFailIfHeaderNotMatchesRegexp.
    #[test]
    fn headers_that_must_or_must_not_match() {
        let (js, bin) = ("text/javascript", "application/octet-stream");
        for (required, pattern, allow_missing, values, ok) in [
            (false, js, false, &[js][..], false),
            (false, js, false, &[bin], true),
            (false, ".*", false, &[""], false),
            (false, ".*", false, &[], false),
            (false, ".*", true, &[""], false),
            (false, ".*", true, &[], true),
            (false, js, false, &[bin, js], false),
            (true, js, false, &[js], true),
            (true, js, false, &[bin], false),
            (true, ".*", false, &[""], true),
            (true, ".*", false, &[], false),
            (true, ".*", true, &[], true),
            (true, js, false, &[bin, js], true),
        ] {
            let fault = header_fault(required, pattern, allow_missing, values);
            assert_eq!(
                fault.is_none(),
                ok,
                "{required} {pattern} {allow_missing} {values:?}"
            );
        }
        assert_eq!(
            header_fault(true, "x", false, &[]).unwrap(),
            "header content-type is missing"
        );
        assert_eq!(
            header_fault(true, "x+", false, &["y"]).unwrap(),
            r#"header content-type does not match "x+""#
        );
    }

    /// Says yes, and counts how often a body was read.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Expression for Counting {
        fn source(&self) -> &str {
            "true"
        }

        fn read(&self, _: &[u8]) -> Result<Box<dyn Any>, NoAnswer> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(7))
        }

        fn holds(&self, body: &dyn Any) -> Result<bool, NoAnswer> {
            Ok(body.downcast_ref() == Some(&7))
        }
    }

    #[test]
    fn json_is_read_once_for_all_expressions() {
        let counting = Arc::new(Counting::default());
        let mut module = module(|_| {});
        module.cel_required = Some(Cel(counting.clone()));
        module.cel_forbidden = Some(Cel(counting.clone()));
        let failed = NoAnswer::Failed("body matches \"true\"".into());
        assert_eq!(json(&module, b""), Err(failed));
        assert_eq!(counting.0.load(Ordering::Relaxed), 1);
        module.cel_forbidden = None;
        assert_eq!(json(&module, b""), Ok(()));
        assert_eq!(counting.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn version_and_security_are_judged_last() {
        let versions = module(|config| {
            config.valid_http_versions = vec!["HTTP/1.1".into(), "HTTP/2.0".into()]
        });
        assert_eq!(transport(&versions, HTTP_11, false), None);
        let fault = transport(&versions, HTTP_10, false);
        assert_eq!(
            said(&versions, fault).unwrap(),
            "version HTTP/1.0, expected one of HTTP/1.1, HTTP/2.0"
        );
        let plain = module(|config| config.fail_if_ssl = true);
        assert_eq!(transport(&plain, HTTP_11, true), Some(Fault::Secured));
        assert_eq!(transport(&plain, HTTP_11, false), None);
        let secure = module(|config| config.fail_if_not_ssl = true);
        assert_eq!(transport(&secure, HTTP_11, false), Some(Fault::Plain));
        assert_eq!(transport(&secure, HTTP_11, true), None);
    }
}
