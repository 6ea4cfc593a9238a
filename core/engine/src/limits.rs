//! Every bound of the engine, in one place.

use core::time::Duration;

/// Connections that one run may hold open at once.
pub const MAX_OPEN: usize = 4;

/// Connections that one run may open in total: one for each request of a
/// chain of redirects and for those of a token, and further ones for names with
/// several addresses. A name look-up may use as many sockets.
pub const MAX_OPENED: u8 = 64;

/// Bytes of an HTTP response head (status line and headers of one response,
/// 1xx responses counted on their own). With HTTP/2 it bounds the compressed
/// head, and the list as RFC 9113 section 6.5.2 counts it, each on its own; one
/// field, while it is read, may be 8/5 of that (the Huffman code). With a frame
/// of 16 KiB and a table of 4 KiB one connection holds at most 256 KiB.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Header fields of one HTTP response.
pub const MAX_HEADERS: usize = 256;

/// Frames of one HTTP/2 connection that carry nothing of a response: SETTINGS,
/// PING, WINDOW_UPDATE that let next to nothing of the request out, CONTINUATION,
/// empty DATA and unknown ones, and interim responses. Most of them are answered, so
/// that this bounds what we send too.
pub const MAX_H2_CONTROL_FRAMES: u32 = 10_000;

/// Times that one run asks again, on another connection, what an HTTP/2 server says
/// that it did not process (RFC 9113 section 8.7). With the pauses between them they
/// last for about 12 s.
pub const MAX_REPEATS: u8 = 16;

/// Bytes of the cookies that redirects set in one run, their names, domains and
/// paths included. Further ones are not kept.
pub const MAX_COOKIE_BYTES: usize = 16 * 1024;

/// Bytes of a file that a configuration refers to: what a host reads for
/// [`Files::read`](crate::config::Files::read), or compiles as a check in Wasm.
pub const MAX_FILE_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of the body of a request, from the configuration or a file. What a peer
/// does not take at once a host can [share](crate::Bytes::Shared) instead of
/// copying; with HTTP/2 it is lent in frames of 16 KiB at most, each header as a
/// piece of its own.
pub const MAX_REQUEST_BODY_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of the body of a request that each target keeps with its head, to be
/// sent at once. A larger one is kept once, with the module.
pub const MAX_OWN_BODY_BYTES: usize = 512;

/// Bytes of an HTTP body that are held for matching when a module sets no
/// `body_size_limit`. A larger body is unknown (`local_bound`) if something has to
/// be matched against it, and else counted only.
pub const MAX_MATCHED_BODY_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of an HTTP body that CEL expressions look at. What is larger is unknown
/// (`local_bound`), unless the module's `body_size_limit` fails it before. How long
/// they look is for who evaluates them to bound.
pub const MAX_JSON_BODY_BYTES: usize = 2 * 1024 * 1024;

/// Bytes that a compressed HTTP body may decode to when a module sets no
/// `body_size_limit`: a few bytes may stand for gigabytes. A larger body is unknown
/// (`local_bound`).
pub const MAX_DECODED_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// Bytes that all runs together decode between two calls of
/// [`Engine::handle_timeout`](crate::Engine::handle_timeout): about a
/// millisecond's worth, so that no body keeps the others waiting. Bytes that
/// are read count too, as many times as what they may cost without yielding
/// anything; and so do those that a pattern goes through in a body, with what the
/// states cost that it makes for them ([`Search`](crate::config::Search)).
pub const DECODED_PER_TURN: usize = 256 * 1024;

/// Decoded bytes as which the signature of an assertion counts: all that a turn
/// has, because it takes about a millisecond (a key of 2048 bits) to several
/// (4096). So between two calls there is one at most; runs that want another are
/// held back, in order.
pub const SIGNATURE_WORK: usize = DECODED_PER_TURN;

/// Fuel of a check in Wasm that counts as a byte of [`DECODED_PER_TURN`]: a turn has as
/// much as an event may take by default
/// ([`Limits::DEFAULT`](crate::guest::Limits::DEFAULT)), which is 0.1 to 0.8 ms of usual
/// code. Between two calls guests take that and one event more, whatever their
/// number; the others are told in later turns, in order.
pub const FUEL_PER_BYTE: u64 = 8;

/// Bytes of a connection that a run holds while it is
/// [behind](crate::Engine::is_behind). What a host gives on top makes the run
/// catch up at once, for as long as that takes.
pub const MAX_BACKLOG_BYTES: usize = 256 * 1024;

/// Bytes that are read of the answer of an OAuth2 token endpoint, its head aside, as
/// by Go: what is beyond is left.
pub const MAX_TOKEN_ANSWER_BYTES: usize = 1024 * 1024;

/// Bytes of a proxy's answer to CONNECT, interim responses included.
pub const MAX_PROXY_HEAD_BYTES: usize = 8 * 1024;

/// Bytes of one line that frames a chunk (RFC 9112 section 7.1), extensions
/// included.
pub const MAX_CHUNK_LINE_BYTES: usize = 4 * 1024;

/// Bytes of one line of a `tcp` dialogue with its end, as in Go's
/// `bufio.Scanner`, and of what `expect_bytes` may ask for.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Bytes that a `tcp` dialogue reads in search of a line that matches. What
/// does not match is not held.
pub const MAX_DIALOGUE_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes that one `tcp` dialogue sends, all its messages together and expanded.
pub const MAX_SENT_BYTES: usize = 256 * 1024;

/// Bytes of the value of a label of `probe_expect_info`: every target keeps those
/// of its last run. What is beyond is cut off.
pub const MAX_INFO_VALUE_BYTES: usize = 1024;

/// The same of all values of a run together.
pub const MAX_INFO_BYTES: usize = 16 * 1024;

/// Bytes of the sentence that explains a result.
pub const MAX_DETAIL_BYTES: usize = 512;

/// Steps that one traced run remembers.
pub const MAX_TRACE_STEPS: usize = 256;
/// Longest text of one such step; what is beyond is cut off.
pub const MAX_STEP_BYTES: usize = 1_024;

/// Largest capacity, in bytes, of the buffer that a slot keeps for its next run.
pub const POOLED_BUFFER_BYTES: usize = 16 * 1024;

/// The same of the buffer for what a peer said: the head of a response that did
/// not arrive at once, or a body that is matched.
pub const POOLED_ANSWER_BYTES: usize = 4 * 1024;

/// Scheduled runs that one call of `handle_timeout` starts of those that come due.
/// Small, so that starting a burst never keeps the driver from reading its sockets.
/// Runs that have waited for room are started on top, one for each that has ended.
pub const STARTS_PER_TURN: usize = 64;

/// Bounds that depend on the machine and on the user's wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Targets registered at once.
    pub targets: u32,
    /// Scheduled runs in flight at once, name look-ups not counted.
    pub in_flight: u32,
    /// Runs asked for with `run_once` in flight at once, on top of
    /// [`Limits::in_flight`]; they may also have what targets cannot use of that.
    pub once_in_flight: u32,
    /// Name look-ups in flight at once, on top of the runs that wait for them. Each
    /// has one socket, and none of those runs has one.
    pub lookups: u32,
    /// Names in the resolver's cache.
    pub cached_names: u32,
    /// Connections per second towards one destination address; 0 is no limit.
    pub starts_per_destination: u32,
    /// Connections that may go out at once before the rate applies.
    pub burst_per_destination: u32,
}

impl Limits {
    /// Runs at once, name look-ups included. A run that is over keeps its
    /// [slot](crate::RunId::slot) until its report was read, so that slots are
    /// below this and the largest number of reports that ever waited to be
    /// read.
    pub const fn slots(&self) -> u32 {
        self.in_flight
            .saturating_add(self.once_in_flight)
            .saturating_add(self.lookups)
    }

    /// Time between two connections to one destination at the full rate.
    pub(crate) fn destination_interval(&self) -> Option<Duration> {
        (self.starts_per_destination > 0)
            .then(|| Duration::from_nanos(1_000_000_000 / u64::from(self.starts_per_destination)))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            targets: 2_000_000,
            in_flight: 4_096,
            once_in_flight: 1_024,
            lookups: 1_024,
            cached_names: 65_536,
            starts_per_destination: 0,
            burst_per_destination: 100,
        }
    }
}
