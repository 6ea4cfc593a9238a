//! What the host tells the engine.

use std::net::IpAddr;
use std::sync::Arc;

use ::probity_engine::tls::{ChainInfo, TlsFailure, TlsInfo};
use ::probity_engine::{Closed, Conn, Input, Reason, ResolveError, RunId};

use crate::boundary::{self, Said, Sized_};
use crate::engine::{ENGINES, Host, probity_engine};
use crate::log::PROBITY_LOG_WARNING;
use crate::result::{Result, probity_result};
use crate::types::{probity_address, probity_bytes, probity_text, probity_tls_info};
use crate::version::reason_from;

/// The peer closed the connection in order.
pub const PROBITY_CLOSED_END: u32 = 0;
/// The peer reset it (ECONNRESET, EPIPE).
pub const PROBITY_CLOSED_RESET: u32 = 1;
/// Nobody listens (ECONNREFUSED).
pub const PROBITY_CLOSED_REFUSED: u32 = 2;
/// No route (EHOSTUNREACH, ENETUNREACH).
pub const PROBITY_CLOSED_UNREACHABLE: u32 = 3;
/// The kernel gave up retransmitting (ETIMEDOUT).
pub const PROBITY_CLOSED_TIMED_OUT: u32 = 4;
/// The TLS layer of the host failed: `reason` is one of `tls_*`.
pub const PROBITY_CLOSED_TLS: u32 = 5;
/// Another error of the system, said in `detail`.
pub const PROBITY_CLOSED_OTHER: u32 = 6;
/// The host could not do it: `reason` is `no_descriptors`, `no_source_port`,
/// `no_memory`, `local_denied` or `local_tls`. The run ends as unknown.
pub const PROBITY_CLOSED_LOCAL: u32 = 7;
/// An error of the system while connecting, reading or writing: `reason` is its number
/// (`errno`, or what `SO_ERROR` was), and the library says which of the others it is, as
/// its own threads do: EMFILE is the host's fault and no failure of the target, and EBADF,
/// ENOTSOCK, EFAULT, EISCONN and ENOTCONN are a mistake of the host's, with which the run ends as unknown,
/// `internal`. EINPROGRESS, EALREADY, EAGAIN and EINTR end no connection: they are a
/// `PROBITY_RESULT_BAD_ARGUMENT`, the connection stays open, and the engine's log says
/// more. In Wasm, where no system is known, and in builds without threads:
/// `PROBITY_RESULT_UNSUPPORTED`.
pub const PROBITY_CLOSED_ERRNO: u32 = 8;

/// How a connection has ended. Begin with zeros and the size.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct probity_closed {
    /// Bytes of this struct.
    pub size: usize,
    /// `PROBITY_CLOSED_...`.
    pub why: u32,
    /// For `PROBITY_CLOSED_TLS` and `PROBITY_CLOSED_LOCAL`, see
    /// `probity_reason_number`; for `PROBITY_CLOSED_ERRNO` the number of the error.
    pub reason: u32,
    /// For `PROBITY_CLOSED_TLS` and `PROBITY_CLOSED_OTHER`: one sentence.
    pub detail: probity_text,
    /// For `PROBITY_CLOSED_TLS`: what was learnt before it failed, or NULL.
    pub tls: *const probity_tls_info,
}

// SAFETY: numbers and pointers, which are looked at only by `boundary`.
unsafe impl Sized_ for probity_closed {
    const FIRST: usize = size_of::<Self>();
}

/// Tells the addresses of a name (`PROBITY_OUTPUT_RESOLVE`), at least one; ports are ignored.
/// They are only looked at during the call.
///
/// Of this and all functions that tell the engine something: what names a run
/// that is over or a connection that is not open is ignored, and any number of
/// them may be called before the outputs are looked at. `now` is the reading of
/// the host's clock nearest to the event, in nanoseconds. Threads: any, one at a
/// time for each engine.
///
/// Results: `PROBITY_RESULT_OK` (also for a run that is over, and where names are the
/// engine's); `PROBITY_RESULT_BAD_ARGUMENT` (`length` is 0, or a family is neither 4 nor 6);
/// `PROBITY_RESULT_BAD_POINTER` (`addresses`); `PROBITY_RESULT_BAD_HANDLE`;
/// `PROBITY_RESULT_IN_USE` (another call with the engine).
///
/// # Safety
/// `addresses` must point to `length` addresses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_resolved(
    engine: probity_engine,
    run: u64,
    addresses: *const probity_address,
    length: usize,
    now: u64,
) -> probity_result {
    boundary::guard(|| {
        // SAFETY: the caller's promise.
        let addresses = unsafe { boundary::slice(addresses, length) }?;
        let found: Result<Vec<IpAddr>> = addresses.iter().map(probity_address::ip).collect();
        let found = found?;
        if found.is_empty() {
            return Err(probity_result::BadArgument);
        }
        tell(engine, run, Input::Resolved(Ok(&found)), now)
    })
}

/// Tells that a name has no address. `reason` is the number of one of `dns_*`, or of what the
/// host lacks: `no_descriptors`, `no_source_port`, `no_memory`, `local_denied`, `local_tls`.
/// `now` is in nanoseconds of the host's clock. Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK` (also for a run that is over, and where names are the
/// engine's); `PROBITY_RESULT_BAD_ARGUMENT` (`reason` is none of these);
/// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_unresolved(
    engine: probity_engine,
    run: u64,
    reason: u32,
    now: u64,
) -> probity_result {
    boundary::guard(|| {
        let reason = reason_from(reason).ok_or(probity_result::BadArgument)?;
        if !reason.name().starts_with("dns_") && !is_local(reason) {
            return Err(probity_result::BadArgument);
        }
        let error = ResolveError {
            reason,
            server: None,
            trouble: None,
        };
        tell(engine, run, Input::Resolved(Err(error)), now)
    })
}

/// Tells that a connection (`PROBITY_OUTPUT_OPEN`) is established; for datagrams, that the
/// socket exists. `now` is in nanoseconds of the host's clock. Threads: any, one at a time for
/// each engine.
///
/// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
/// open); `PROBITY_RESULT_BAD_ARGUMENT` (`conn` is above 255); `PROBITY_RESULT_BAD_HANDLE`;
/// `PROBITY_RESULT_IN_USE` (another call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_opened(
    engine: probity_engine,
    run: u64,
    conn: u32,
    now: u64,
) -> probity_result {
    boundary::guard(move || tell(engine, run, Input::Opened(number(conn)?), now))
}

/// Tells that a handshake (`PROBITY_OUTPUT_SECURE`) is complete and the certificate accepted.
/// Only where the host does TLS. `info` is copied. `now` is in nanoseconds of the host's
/// clock. Threads: any, one at a time for each engine.
///
/// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
/// open); `PROBITY_RESULT_BAD_ARGUMENT` (TLS is the library's, a version is not known, of
/// which the engine's log says more, a text is not UTF-8, or `conn` is above 255);
/// `PROBITY_RESULT_BAD_POINTER` (`info` or a text in it); `PROBITY_RESULT_BAD_SIZE` (of
/// `info`); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the
/// engine).
///
/// # Safety
/// `info` must point to as many bytes as its size says, its texts must have
/// their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_secured(
    engine: probity_engine,
    run: u64,
    conn: u32,
    info: *const probity_tls_info,
    now: u64,
) -> probity_result {
    boundary::guard(|| {
        // SAFETY: the caller's promise.
        let info = understood(engine, unsafe { tls_info(info) })?;
        let conn = number(conn)?;
        ENGINES.with(engine.bits, |host| {
            host.leave_tls_to_the_library()?;
            host.tell(run, Input::Secured(conn, &info), now);
            Ok(())
        })
    })
}

/// Tells that the system has taken all that was to be sent on a connection
/// (`PROBITY_OUTPUT_FLUSH`). `now` is in nanoseconds of the host's clock. Threads: any, one at
/// a time for each engine.
///
/// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
/// open); `PROBITY_RESULT_BAD_ARGUMENT` (`conn` is above 255); `PROBITY_RESULT_BAD_HANDLE`;
/// `PROBITY_RESULT_IN_USE` (another call with the engine).
#[unsafe(no_mangle)]
pub extern "C" fn probity_engine_flushed(
    engine: probity_engine,
    run: u64,
    conn: u32,
    now: u64,
) -> probity_result {
    boundary::guard(move || tell(engine, run, Input::Flushed(number(conn)?), now))
}

/// Tells what was received: bytes of a stream in pieces of any size, or one datagram. They are
/// only looked at during the call. Where TLS is the library's they are the socket's, else
/// plain text. `now` is in nanoseconds of the host's clock. Threads: any, one at a time for
/// each engine.
///
/// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
/// open); `PROBITY_RESULT_BAD_ARGUMENT` (`conn` is above 255); `PROBITY_RESULT_BAD_POINTER`
/// (`bytes`); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the
/// engine).
///
/// # Safety
/// `bytes` must have their length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_data(
    engine: probity_engine,
    run: u64,
    conn: u32,
    bytes: probity_bytes,
    now: u64,
) -> probity_result {
    boundary::guard(move || {
        // SAFETY: the caller's promise.
        let bytes = unsafe { boundary::slice(bytes.data, bytes.length) }?;
        let (run, conn) = (RunId::from_bits(run), number(conn)?);
        ENGINES.with(engine.bits, |host| {
            let now = host.at(now);
            let Host { engine, tls, .. } = host;
            let tell = |input: Input<'_>| engine.handle_input(run, input, now);
            let taken = tls
                .as_mut()
                .is_some_and(|tls| tls.received(run, conn, bytes, tell));
            if !taken {
                engine.handle_input(run, Input::Data(conn, bytes), now);
            }
            Ok(())
        })
    })
}

/// Tells that a connection has ended or could not be made. The host has released what it held
/// for it, and tells nothing of it afterwards. Where a send has failed, what has arrived is to
/// be read and told first: a peer may answer, and close, before it has read all. When there is
/// nothing more to be read the error is told, and not when the peer closes, which it may never
/// do. Where TLS is the library's it sees for itself what the end of the stream means. What
/// `closed` says is copied. `now` is in nanoseconds of the host's clock. Threads: any, one at
/// a time for each engine.
///
/// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
/// open); `PROBITY_RESULT_BAD_ARGUMENT` (`why` is none of its values, or `reason` of those
/// that go with it; `PROBITY_CLOSED_TLS` where TLS is the library's; a version is not known; a
/// text is not UTF-8; `conn` is above 255; of an errno and a version the engine's log says
/// more); `PROBITY_RESULT_UNSUPPORTED` (`PROBITY_CLOSED_ERRNO` in Wasm, and in builds without
/// threads); `PROBITY_RESULT_BAD_POINTER` (`closed`, `closed.tls`, or a text in them);
/// `PROBITY_RESULT_BAD_SIZE` (of `closed` or `closed.tls`); `PROBITY_RESULT_BAD_HANDLE`;
/// `PROBITY_RESULT_IN_USE` (another call with the engine).
///
/// # Safety
/// `closed` must point to as many bytes as its size says, its texts must have
/// their lengths.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn probity_engine_closed(
    engine: probity_engine,
    run: u64,
    conn: u32,
    closed: *const probity_closed,
    now: u64,
) -> probity_result {
    boundary::guard(|| {
        // SAFETY: the caller's promise.
        let closed = understood(engine, unsafe { why(closed) })?;
        let conn = number(conn)?;
        ENGINES.with(engine.bits, |host| {
            if let Closed::Tls(_) = closed {
                host.leave_tls_to_the_library()?;
            }
            let closed = match &mut host.tls {
                None => Some(closed),
                Some(tls) => tls.closed(RunId::from_bits(run), conn, closed),
            };
            if let Some(closed) = closed {
                host.tell(run, Input::Closed(conn, closed), now);
            }
            Ok(())
        })
    })
}

#[inline]
fn tell(engine: probity_engine, run: u64, input: Input<'_>, now: u64) -> Result<()> {
    ENGINES.with(engine.bits, |host| {
        host.tell(run, input, now);
        Ok(())
    })
}

impl Host {
    fn tell(&mut self, run: u64, input: Input<'_>, now: u64) {
        let now = self.at(now);
        self.engine.handle_input(RunId::from_bits(run), input, now);
    }

    /// A host that was not asked for TLS knows nothing of it.
    fn leave_tls_to_the_library(&self) -> Result<()> {
        match self.tls {
            None => Ok(()),
            Some(_) => Err(probity_result::BadArgument),
        }
    }
}

/// Connections are numbered in a byte; no other number was ever given out.
fn number(conn: u32) -> Result<Conn> {
    let conn = u8::try_from(conn).map_err(|_| probity_result::BadArgument)?;
    Ok(Conn(conn))
}

/// # Safety
/// As for [`probity_engine_closed`].
unsafe fn why(closed: *const probity_closed) -> Understood<Closed> {
    // SAFETY: the caller's promise.
    let (it, detail) = unsafe {
        let it = boundary::read_sized(closed)?;
        (it, boundary::text(it.detail)?)
    };
    let reason = || reason_from(it.reason).ok_or(probity_result::BadArgument);
    Ok(match it.why {
        PROBITY_CLOSED_END => Closed::End,
        PROBITY_CLOSED_RESET => Closed::Reset,
        PROBITY_CLOSED_REFUSED => Closed::Refused,
        PROBITY_CLOSED_UNREACHABLE => Closed::Unreachable,
        PROBITY_CLOSED_TIMED_OUT => Closed::TimedOut,
        PROBITY_CLOSED_TLS => {
            let info = match it.tls.is_null() {
                true => None,
                // SAFETY: the caller's promise.
                false => Some(unsafe { tls_info(it.tls) }?),
            };
            let reason = reason()?;
            if !reason.name().starts_with("tls_") {
                return Err(probity_result::BadArgument.into());
            }
            Closed::Tls(Box::new(TlsFailure {
                reason,
                detail: detail.into(),
                info,
            }))
        }
        PROBITY_CLOSED_OTHER => Closed::Other(detail.into()),
        PROBITY_CLOSED_LOCAL => match reason()? {
            reason if is_local(reason) => Closed::Local(reason),
            _ => return Err(probity_result::BadArgument.into()),
        },
        PROBITY_CLOSED_ERRNO => by_errno(it.reason)?,
        _ => return Err(probity_result::BadArgument.into()),
    })
}

/// Whose fault an error of the system is.
#[cfg(feature = "driver")]
fn by_errno(number: u32) -> Understood<Closed> {
    if !matches!(i32::try_from(number), Ok(1..)) {
        return Err(Said(
            probity_result::BadArgument,
            format!("probity_closed.reason: expected a number of errno, found {number}"),
        ));
    }
    let error = std::io::Error::from_raw_os_error(number.cast_signed());
    if ::probity_driver::is_pending(&error) {
        return Err(Said(
            probity_result::BadArgument,
            format!(
                "probity_closed.reason: expected an error that has ended the connection, found \
                 \"{error}\": wait until the socket is ready and go on"
            ),
        ));
    }
    Ok(::probity_driver::closed(&error))
}

#[cfg(not(feature = "driver"))]
fn by_errno(_: u32) -> Understood<Closed> {
    Err(probity_result::Unsupported.into())
}

/// What the host tells, or what is wrong with it in words.
type Understood<T> = std::result::Result<T, Said>;

/// The result alone does not say what was not understood: the engine's log does.
fn understood<T>(engine: probity_engine, told: Understood<T>) -> Result<T> {
    told.map_err(|Said(result, text)| {
        if !text.is_empty() {
            // In a call that has failed already nothing comes of it if this does.
            let _ = ENGINES.with(engine.bits, |host| {
                host.log.say(PROBITY_LOG_WARNING, "engine", 0, || text);
                Ok(())
            });
        }
        result
    })
}

/// # Safety
/// `info` must be NULL or point to as many bytes as its size says, its texts
/// must have their lengths.
unsafe fn tls_info(info: *const probity_tls_info) -> Understood<Arc<TlsInfo>> {
    // SAFETY: the caller's promise.
    unsafe {
        let it = boundary::read_sized(info)?;
        let text = |text| boundary::text(text);
        let chain = ChainInfo {
            earliest_expiry: it.earliest_expiry,
            chain_expiry: (it.chain_expiry != 0).then_some(it.chain_expiry),
            fingerprint_sha256: text(it.fingerprint_sha256)?.into(),
            subject: text(it.subject)?.into(),
            issuer: text(it.issuer)?.into(),
            subject_alternative: text(it.subject_alternative)?.into(),
            serial: text(it.serial)?.into(),
        };
        let alpn = text(it.alpn)?;
        Ok(Arc::new(TlsInfo {
            version: version(text(it.version)?)?,
            cipher: cipher(text(it.cipher)?),
            alpn: (!alpn.is_empty()).then(|| alpn.as_bytes().into()),
            chain: (it.earliest_expiry != 0).then(|| Box::new(chain)),
        }))
    }
}

/// The constant for a version, as blackbox_exporter writes it. The engine keeps no
/// other: a label of a metric must be one of few.
fn version(text: &str) -> Understood<&'static str> {
    match text {
        "" => Ok(""),
        "TLS 1.0" | "TLSv1" => Ok("TLS 1.0"),
        "TLS 1.1" | "TLSv1.1" => Ok("TLS 1.1"),
        "TLS 1.2" | "TLSv1.2" => Ok("TLS 1.2"),
        "TLS 1.3" | "TLSv1.3" => Ok("TLS 1.3"),
        other => Err(Said(
            probity_result::BadArgument,
            format!(
                "probity_tls_info.version: expected \"TLS 1.2\", \"TLS 1.3\" or the like, found {other:?}"
            ),
        )),
    }
}

/// The constant for a cipher suite, for the same reason: the empty one for a suite that is
/// none of those.
fn cipher(text: &str) -> &'static str {
    let found = CIPHERS.iter().find(|known| **known == text);
    found.copied().unwrap_or("")
}

/// IANA's names of the suites that are in use.
const CIPHERS: &[&str] = &[
    "",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
];

/// Whether this is what a host may lack, which is no fault of a target.
const fn is_local(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NoDescriptors
            | Reason::NoSourcePort
            | Reason::NoMemory
            | Reason::LocalDenied
            | Reason::LocalTls
    )
}
