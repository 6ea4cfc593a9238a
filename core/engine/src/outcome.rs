//! The vocabulary of results: what happened, whose fault it is, and in which
//! phase.

use core::fmt;
use core::time::Duration;

use crate::time::nanos;

/// The result of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The target did all that was asked.
    Success,
    /// Counts as success, but somebody should know why.
    Warning(Reason),
    /// The target's fault.
    Failure(Reason),
    /// We could not look. Never counted against the target.
    Unknown(Reason),
}

impl Outcome {
    /// `success`, `warning`, `failure` or `unknown`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Warning(_) => "warning",
            Self::Failure(_) => "failure",
            Self::Unknown(_) => "unknown",
        }
    }

    /// Position in arrays that hold one value for each kind of outcome.
    pub const fn index(self) -> usize {
        match self {
            Self::Success => 0,
            Self::Warning(_) => 1,
            Self::Failure(_) => 2,
            Self::Unknown(_) => 3,
        }
    }

    /// Names by [`Outcome::index`].
    pub const NAMES: [&'static str; 4] = ["success", "warning", "failure", "unknown"];

    /// Why, unless it is a plain success.
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Success => None,
            Self::Warning(reason) | Self::Failure(reason) | Self::Unknown(reason) => Some(reason),
        }
    }

    /// Whether this counts as success: `probe_success 1`.
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Success | Self::Warning(_))
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a run did not simply succeed: a closed list with stable names,
        /// fit to be the bounded `reason` label of a metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum Reason { $($(#[doc = $doc])+ $variant,)+ }

        impl Reason {
            /// Every reason, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable snake_case name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

reasons! {
    /// The target is not of the form that its module needs.
    TargetInvalid = "target_invalid",
    /// The name does not exist (RFC 1035 RCODE 3, in every search domain).
    DnsNotFound = "dns_not_found",
    /// The name exists but has no address of an acceptable family.
    DnsNoAddress = "dns_no_address",
    /// Every DNS server refused, failed (SERVFAIL, REFUSED) or was unreachable.
    DnsServerFailure = "dns_server_failure",
    /// No DNS server answered within its timeout and attempts.
    DnsTimeout = "dns_timeout",
    /// Every DNS answer was malformed or answered another question.
    DnsMalformed = "dns_malformed",
    /// The target refused the connection.
    ConnectRefused = "connect_refused",
    /// No connection before the deadline, or the kernel gave up.
    ConnectTimeout = "connect_timeout",
    /// No route to the host or network.
    ConnectUnreachable = "connect_unreachable",
    /// The connection was reset while it was being made.
    ConnectReset = "connect_reset",
    /// Another error while connecting.
    ConnectFailed = "connect_failed",
    /// The peer closed the connection before it had answered.
    PeerClosed = "peer_closed",
    /// The peer reset an established connection.
    PeerReset = "peer_reset",
    /// The handshake failed for a reason not listed below.
    TlsHandshake = "tls_handshake",
    /// The peer does not speak TLS on this port.
    TlsNotTls = "tls_not_tls",
    /// The peer ended the handshake with an alert.
    TlsAlert = "tls_alert",
    /// No common protocol version or cipher suite.
    TlsIncompatible = "tls_incompatible",
    /// A certificate has expired.
    TlsCertificateExpired = "tls_certificate_expired",
    /// A certificate is not valid yet.
    TlsCertificateNotYetValid = "tls_certificate_not_yet_valid",
    /// The chain does not lead to a trusted root (self-signed included).
    TlsUnknownIssuer = "tls_unknown_issuer",
    /// The certificate is for another name.
    TlsNameMismatch = "tls_name_mismatch",
    /// The certificate is unusable for another reason.
    TlsCertificateInvalid = "tls_certificate_invalid",
    /// The name of the proxy could not be resolved.
    ProxyDns = "proxy_dns",
    /// No connection to the proxy could be made.
    ProxyConnect = "proxy_connect",
    /// The connection to the proxy could not be secured.
    ProxyTls = "proxy_tls",
    /// The proxy wants other credentials.
    ProxyAuth = "proxy_auth",
    /// The proxy did not connect us to the target.
    ProxyRefused = "proxy_refused",
    /// The proxy closed the connection before the target was reached.
    ProxyClosed = "proxy_closed",
    /// The proxy does not speak its protocol.
    ProxyMalformed = "proxy_malformed",
    /// The OAuth2 token endpoint could not be reached.
    Oauth2Unreachable = "oauth2_unreachable",
    /// The OAuth2 token endpoint gave no token.
    Oauth2Refused = "oauth2_refused",
    /// The answer of the OAuth2 token endpoint cannot be read.
    Oauth2Malformed = "oauth2_malformed",
    /// The response is not HTTP, or violates its framing.
    HttpMalformed = "http_malformed",
    /// The response head is larger than the cap.
    HttpHeaderLimit = "http_header_limit",
    /// The status code is not in the accepted list.
    HttpStatus = "http_status",
    /// The protocol version is not in the accepted list.
    HttpVersion = "http_version",
    /// More redirects than allowed.
    HttpRedirectLimit = "http_redirect_limit",
    /// A redirect to something that is not an http or https URL.
    HttpRedirectInvalid = "http_redirect_invalid",
    /// The final response came over TLS, or not, against what was asked.
    HttpSsl = "http_ssl",
    /// A header matched, or failed to match, a regular expression.
    HeaderMismatch = "header_mismatch",
    /// The body matched, or failed to match, a regular expression.
    BodyMismatch = "body_mismatch",
    /// A CEL expression held of the body, or did not, or has no answer.
    JsonMismatch = "json_mismatch",
    /// The body is larger than the cap.
    BodyLimit = "body_limit",
    /// The body is not coded as `compression` says.
    BodyEncoding = "body_encoding",
    /// The connection ended before the announced end of the body.
    BodyTruncated = "body_truncated",
    /// What the peer sent is not what a dialogue expected.
    ExpectMismatch = "expect_mismatch",
    /// The peer sent, or made us send, more than a dialogue may hold.
    AnswerLimit = "answer_limit",
    /// What the peer sent is not the protocol that a check in Wasm speaks.
    Malformed = "malformed",
    /// The peer wants other credentials than a check in Wasm has.
    Denied = "denied",
    /// The peer says that it cannot serve yet, or any more.
    NotReady = "not_ready",
    /// The peer reports an error of its own.
    ServerError = "server_error",
    /// The peer did not answer within a time that a check in Wasm set.
    TooSlow = "too_slow",
    /// The deadline passed while the name was being resolved.
    TimeoutResolve = "timeout_resolve",
    /// The deadline passed before the proxy had connected us to the target.
    TimeoutProxy = "timeout_proxy",
    /// The deadline passed while a token was fetched.
    TimeoutOauth2 = "timeout_oauth2",
    /// The deadline passed during the TLS handshake.
    TimeoutTls = "timeout_tls",
    /// The deadline passed while waiting for the first byte of the answer.
    TimeoutProcessing = "timeout_processing",
    /// The deadline passed while the answer was arriving.
    TimeoutTransfer = "timeout_transfer",
    /// The run waited for a free slot until its own timeout had passed.
    Overload = "overload",
    /// The cap on starts per second towards one address delayed the run too long.
    OverloadDestination = "overload_destination",
    /// The process or the system is out of file descriptors.
    NoDescriptors = "no_descriptors",
    /// No free source port (or the source address is not ours).
    NoSourcePort = "no_source_port",
    /// The kernel has no memory for another socket.
    NoMemory = "no_memory",
    /// Local policy (a firewall, a sandbox) forbids the connection.
    LocalDenied = "local_denied",
    /// The prober cannot use its own TLS configuration.
    LocalTls = "local_tls",
    /// A file that the module refers to (a certificate, a password) cannot be
    /// used as it is.
    LocalFile = "local_file",
    /// The module asks for what this version cannot speak: HTTP/3, or versions
    /// of TLS of which there are none left.
    Unspoken = "unspoken",
    /// The answer is beyond a bound of this prober: larger, or more work to judge,
    /// than it takes upon itself.
    LocalBound = "local_bound",
    /// A check in Wasm could not find out, and says that the target is not why.
    WasmUndecided = "wasm_undecided",
    /// A check in Wasm used up its fuel.
    WasmFuel = "wasm_fuel",
    /// A check in Wasm wanted more memory than it may have.
    WasmMemory = "wasm_memory",
    /// A check in Wasm gave up by itself.
    WasmPanic = "wasm_panic",
    /// A check in Wasm did what WebAssembly forbids: memory that is not its own.
    WasmTrap = "wasm_trap",
    /// A check in Wasm nested its calls too deep.
    WasmStack = "wasm_stack",
    /// A check in Wasm asked for more, or for something else, than it may.
    WasmProtocol = "wasm_protocol",
    /// There was no room for another instance of a check in Wasm in time.
    WasmCapacity = "wasm_capacity",
    /// No instance of a check in Wasm can be made.
    WasmLoad = "wasm_load",
    /// A check in Wasm broke several times in a row and is left alone for a while.
    WasmBackoff = "wasm_backoff",
    /// The prober was shutting down.
    Shutdown = "shutdown",
    /// The target was removed or changed during the run.
    Cancelled = "cancelled",
    /// A defect of the prober.
    Internal = "internal",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The parts of a run, in the order in which they happen. A redirect goes
/// through them again and the durations add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Name resolution.
    Resolve,
    /// Until the transport connection is established: that to a proxy, if there is one
    /// and the target is to be secured, and else until the proxy can be asked. Looking
    /// up the name of a proxy, and having a tunnel dug by it, is in no phase.
    Connect,
    /// The TLS handshake.
    Tls,
    /// From a usable connection to the first byte of the answer.
    Processing,
    /// From the first byte of the answer to its end.
    Transfer,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 5] = [
        Self::Resolve,
        Self::Connect,
        Self::Tls,
        Self::Processing,
        Self::Transfer,
    ];

    /// The value of the `phase` label, as blackbox_exporter has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Processing => "processing",
            Self::Transfer => "transfer",
        }
    }

    /// The reason of a run whose deadline passes during this phase.
    pub const fn timeout(self) -> Reason {
        match self {
            Self::Resolve => Reason::TimeoutResolve,
            Self::Connect => Reason::ConnectTimeout,
            Self::Tls => Reason::TimeoutTls,
            Self::Processing => Reason::TimeoutProcessing,
            Self::Transfer => Reason::TimeoutTransfer,
        }
    }
}

/// [`Phases`] without how long they took: a bit for each that was completed, from bit 8
/// for each that was begun, and from bit 16 for the one of which a part counts. In one
/// word, so that two of them are compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PhasesShape(pub(crate) u32);

impl PhasesShape {
    const fn bit(self, from: u32, phase: Phase) -> bool {
        self.0 & (1 << (from + phase as u32)) != 0
    }

    /// Whether there is a duration, as for [`Phases::get_or_partial`].
    pub(crate) const fn has(self, phase: Phase) -> bool {
        self.bit(0, phase) || self.bit(16, phase)
    }

    /// As for [`Phases::counts_as_none`].
    pub(crate) const fn counts_as_none(self, phase: Phase) -> bool {
        counts_as_none((self.0 >> 8) as u8, phase)
    }
}

/// Whether a phase of which there is no duration counts as one of no time, with a bit
/// for each that was begun.
#[inline(always)]
const fn counts_as_none(begun: u8, phase: Phase) -> bool {
    let reached = begun & (1 << phase as u8) != 0;
    // A name that a proxy looks up is not resolved by us.
    begun & (1 << Phase::Connect as u8) != 0 && (reached || !matches!(phase, Phase::Resolve))
}

/// How long each phase took, and which phases were completed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phases {
    nanos: [u64; 5],
    unfinished: u64,
    done: u8,
    begun: u8,
    /// The phase of which a part counts, too.
    partial: Option<Phase>,
}

impl Phases {
    /// Nothing begun yet.
    pub(crate) const fn new() -> Self {
        Self {
            nanos: [0; 5],
            unfinished: 0,
            done: 0,
            begun: 0,
            partial: None,
        }
    }

    /// Time spent in `phase`, or `None` if it was never completed.
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        (self.done & (1 << phase as u8) != 0)
            .then(|| Duration::from_nanos(self.nanos[phase as usize]))
    }

    /// Time spent in `phase` in nanoseconds, or `None` if it was never completed.
    pub fn nanos(&self, phase: Phase) -> Option<u64> {
        (self.done & (1 << phase as u8) != 0).then(|| self.nanos[phase as usize])
    }

    /// Time spent in the phase in which the run ended before it was completed;
    /// zero if none was under way. What the run spent with others than its target
    /// is in no phase.
    pub const fn unfinished(&self) -> Duration {
        Duration::from_nanos(self.unfinished)
    }

    /// Time spent in `phase` if it was completed, or if it was cut off and is one of
    /// those that blackbox_exporter shows nevertheless: its `transfer` ends when it
    /// has stopped reading the final answer, for whatever reason, and `resolve` when
    /// no address was found in time.
    pub fn get_or_partial(&self, phase: Phase) -> Option<Duration> {
        match self.get(phase) {
            None if self.partial == Some(phase) => Some(self.unfinished()),
            completed => completed,
        }
    }

    /// Completed phases with their durations, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Phase, Duration)> + '_ {
        Phase::ALL
            .into_iter()
            .filter_map(|phase| Some((phase, self.get(phase)?)))
    }

    /// Whether `phase` was begun, completed or not.
    pub const fn reached(&self, phase: Phase) -> bool {
        self.begun & (1 << phase as u8) != 0
    }

    /// Seconds spent in the phase of that number, or in the part of it that counts; 0
    /// if neither is there.
    #[inline(always)]
    pub(crate) fn seconds(&self, phase: usize) -> f64 {
        let phase = Phase::ALL.get(phase);
        let spent = phase.and_then(|phase| self.get_or_partial(*phase));
        spent.map_or(0.0, |spent| spent.as_secs_f64())
    }

    /// Whether `phase`, of which there is no duration, counts as one of no time.
    #[inline(always)]
    pub(crate) const fn counts_as_none(&self, phase: Phase) -> bool {
        counts_as_none(self.begun, phase)
    }

    /// All that says of which phases there is a duration.
    #[inline(always)]
    pub(crate) fn shape(&self) -> PhasesShape {
        let partial = self.partial.map_or(0, |phase| 1 << phase as u32);
        PhasesShape(partial << 16 | u32::from(self.begun) << 8 | u32::from(self.done))
    }

    /// Records that the run ended `spent` after a phase had begun.
    pub(crate) fn cut(&mut self, spent: Duration) {
        self.unfinished = nanos(spent);
    }

    /// Records that of `phase`, which is under way and the run's last, a part
    /// counts, too.
    pub(crate) const fn count_partial(&mut self, phase: Phase) {
        self.partial = Some(phase);
    }

    /// Records that `phase` was begun.
    pub(crate) const fn begin(&mut self, phase: Phase) {
        self.begun |= 1 << phase as u8;
    }

    /// Records that `phase` does not take place, unless it has before.
    pub(crate) const fn skip(&mut self, phase: Phase) {
        self.begun &= self.done | !(1 << phase as u8);
    }

    /// Records that all time in `phase` beyond `kept`, and `more`, was spent on the
    /// way to a connection.
    pub(crate) fn count_as_connect(&mut self, phase: Phase, kept: Duration, more: Duration) {
        let total = &mut self.nanos[phase as usize];
        let moved = total.saturating_sub(nanos(kept));
        *total -= moved;
        self.add(Phase::Connect, Duration::from_nanos(moved) + more);
    }

    /// Records that `phase` was completed once more and took `spent`.
    pub(crate) fn add(&mut self, phase: Phase, spent: Duration) {
        self.done |= 1 << phase as u8;
        let total = &mut self.nanos[phase as usize];
        *total = total.saturating_add(nanos(spent));
    }
}
