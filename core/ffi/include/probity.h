// probity: health checks for programs in C, and in whatever can call C.
//
// This file is made by cbindgen from core/ffi; do not edit it.
//
// TWO HALVES
//
// With the functions `probity_engine_...` the host owns sockets and clock: it
// tells the engine what has happened, does what the engine asks, and sleeps until
// something happens or a time-out has come:
//
//     for (;;) {
//         tell every event that is ready      (probity_engine_opened, _data, _closed, ...)
//         probity_engine_step                 time-outs, outputs, and when to call again
//         do what the outputs ask, in order; while the time is 0 there are more: step again
//         if there were outputs               look for events that are ready
//         else                                sleep until then, or until there is an event
//     }
//
// probity_engine_handle_timeout, _output and _next_timeout do the same in three calls,
// an output at a time.
//
// A host that reads from sockets asks probity_engine_is_behind before each read.
//
// TLS is either's: with PROBITY_TLS_LIBRARY (probity_engine_config) the host carries
// ciphertext and knows nothing of it; else it is told what to secure, and how
// (PROBITY_OUTPUT_SECURE), and carries plain text.
//
// With the functions `probity_driver_...` threads of the library do all that.
//
// Programs are compiled and linked with `pkg-config --cflags --libs probity`, as C99 or
// C++11 or later.
//
// CONVENTIONS
//
// Results. Every function that can fail returns a `probity_result`; outputs are
// written on success only, unless the function says otherwise. Functions that take a
// `probity_buffer *error` say in it what was expected and what was found where the result
// does not say it all, and leave it empty where it does; NULL, or one that cannot be
// written to, means that nobody wants to know.
//
// Handles are numbers in a struct. A handle that was never given out, was freed
// or is in use by another call gets a result, never undefined behaviour. Each is
// freed by the function of its name that ends in `_free`; freeing twice is a
// PROBITY_RESULT_BAD_HANDLE.
//
// Structs that cross this border begin with their size in bytes, set by the
// caller before the call, also for structs that the library fills in. Zeros mean
// "as usual" in what the caller fills in. A program that was built for an older
// version of a struct works with a newer library, and the other way round, as long
// as what the older side does not know is zeros. Write `sizeof`: a size below that
// of the first version, above 4,096, or no multiple of what the struct is aligned to, is a
// PROBITY_RESULT_BAD_SIZE. The numbers of
// results and the first sizes of structs are never changed within an ABI version.
//
// Texts are UTF-8 with a length and without a zero byte at the end. NULL with
// length 0 is the empty text. A text or a row of bytes that is said to be longer than
// 1 GiB is a PROBITY_RESULT_BAD_POINTER, unread.
//
// What is lent (texts, bytes and structs that the library points to) is the
// library's, and good until the moment that the function says. What is given is
// looked at during the call, and copied if it is needed longer.
//
// Threads. Every function may be called from any thread, and from a callback of
// the library, where those that would wait for others are refused. An engine is used by one call at a time: another one at the same
// moment gets PROBITY_RESULT_IN_USE and does nothing. A driver is used by any number.
// No function may be called from a signal handler.
//
// Stacks. A thread that calls the library needs 512 KiB of stack: the handshakes of TLS
// and the deepest expressions in CEL that are accepted take most of that. (To be parsed these
// take more, and get it: on a thread of the library, which is gone when
// probity_config_parse returns.)
//
// Callbacks return. An exception of C++ or a longjmp that leaves one is undefined: it would
// pass through what the library was doing, which is not put in order.
//
// fork(2). Handles are for the process that made them. In the child of one that has any, no
// function may be called: locks may be held there by threads that it has not, and it has no
// threads of a driver. A child that only calls exec is no matter, and neither is a fork
// before the first handle is made. Sockets, pipes and descriptors of the library are closed
// by exec.
//
// Times are nanoseconds (uint64_t): moments since an origin of the host's choice,
// on a clock that never goes back, and durations.
//
// The library itself has no state of the process but the table of its handles: no logger, no
// signal handlers. What it has to say about itself goes to the log callback of an engine or a
// driver. What it is made of keeps more until the process ends: where it does TLS, what was
// read of the system's roots and of modules for that, and a table of names in certificates;
// once a module has an expression in CEL, the tables and caches of the parser of that (a few
// hundred KiB, which grow a little with expressions that are new to it). A leak check that
// counts what is "possibly lost" names both, with 1.3 KB and 42 KB; nothing of that is lost.
// For a thread is kept whether it is a driver's, in how many callbacks it is, and what
// Rust's standard library, locks and regular expressions keep of it.
//
// Memory. Where there is none left, the process is aborted, as Rust's allocator does.


#ifndef PROBITY_H
#define PROBITY_H

#include <stddef.h>
#include <stdint.h>

// No file is read for it, and no variable of the environment: not those that modules refer
// to (certificates, passwords), so that runs of a module that names one are unknown,
// `local_file`, and not /etc/services, so that ports have numbers or the few names that
// every machine knows (`http`). Where TLS is the library's it reads the system's roots all
// the same.
#define PROBITY_FILES_NONE 0

// They are read while the configuration is parsed; /etc/services once, when the first
// target of a job names its port.
#define PROBITY_FILES_SYSTEM 1

// Whether a target is up: unknown at first, then as the thresholds say.
#define PROBITY_KIND_PLAIN 0

// Whether a container must be restarted, as the kubelet decides it.
#define PROBITY_KIND_LIVENESS 1

// Whether a container may get traffic, likewise.
#define PROBITY_KIND_READINESS 2

// Whether a container has started, likewise.
#define PROBITY_KIND_STARTUP 3

// The engine asks DNS servers itself, over connections that the host opens.
#define PROBITY_NAMES_ENGINE 0

// The host resolves names: `PROBITY_OUTPUT_RESOLVE`.
#define PROBITY_NAMES_HOST 1

// The host does TLS: `PROBITY_OUTPUT_SECURE`.
#define PROBITY_TLS_HOST 0

// The library does: the host carries the bytes as they are. There is then no
// `PROBITY_OUTPUT_SECURE`; `PROBITY_OUTPUT_SEND` has ciphertext, and ciphertext is
// what `probity_engine_data` is given. Certificates are judged by the clock of the
// system. Not in the Wasm build: `PROBITY_RESULT_UNSUPPORTED`.
#define PROBITY_TLS_LIBRARY 1

// The peer closed the connection in order.
#define PROBITY_CLOSED_END 0

// The peer reset it (ECONNRESET, EPIPE).
#define PROBITY_CLOSED_RESET 1

// Nobody listens (ECONNREFUSED).
#define PROBITY_CLOSED_REFUSED 2

// No route (EHOSTUNREACH, ENETUNREACH).
#define PROBITY_CLOSED_UNREACHABLE 3

// The kernel gave up retransmitting (ETIMEDOUT).
#define PROBITY_CLOSED_TIMED_OUT 4

// The TLS layer of the host failed: `reason` is one of `tls_*`.
#define PROBITY_CLOSED_TLS 5

// Another error of the system, said in `detail`.
#define PROBITY_CLOSED_OTHER 6

// The host could not do it: `reason` is `no_descriptors`, `no_source_port`,
// `no_memory`, `local_denied` or `local_tls`. The run ends as unknown.
#define PROBITY_CLOSED_LOCAL 7

// An error of the system while connecting, reading or writing: `reason` is its number
// (`errno`, or what `SO_ERROR` was), and the library says which of the others it is, as
// its own threads do: EMFILE is the host's fault and no failure of the target, and EBADF,
// ENOTSOCK, EFAULT, EISCONN and ENOTCONN are a mistake of the host's, with which the run ends as unknown,
// `internal`. EINPROGRESS, EALREADY, EAGAIN and EINTR end no connection: they are a
// `PROBITY_RESULT_BAD_ARGUMENT`, the connection stays open, and the engine's log says
// more. In Wasm, where no system is known, and in builds without threads:
// `PROBITY_RESULT_UNSUPPORTED`.
#define PROBITY_CLOSED_ERRNO 8

// Something does not work until somebody does something about it.
#define PROBITY_LOG_ERROR 1

// Something was not done that should have been: a target refused, a run that could
// not be made, notices lost.
#define PROBITY_LOG_WARNING 2

// What a person would like to find later: started, stopped.
#define PROBITY_LOG_INFO 3

// Resolve `name`, of a family that `families` allows, and answer with
// `probity_engine_resolved` or `probity_engine_unresolved`. Only if the engine
// was made to leave names to its host.
#define PROBITY_OUTPUT_RESOLVE 1

// Open a connection to `address` by `transport`, from `source` if that has a
// family, without waiting; answer with `probity_engine_opened` or
// `probity_engine_closed`. From elsewhere it would be another check: a host that cannot
// choose where it comes from answers `PROBITY_CLOSED_LOCAL`, `no_source_port`.
#define PROBITY_OUTPUT_OPEN 2

// Perform a TLS handshake on an open connection, for the server name `name` and as
// `tls` says, and answer with `probity_engine_secured` or `probity_engine_closed`;
// from then on what is sent and received is plain text for TLS to carry. A
// connection that is secured already gets a second layer inside. Only if TLS was
// left to the host.
#define PROBITY_OUTPUT_SECURE 3

// Send `bytes`, all of them, in order. What the socket does not take at once the
// host keeps and sends on; with the library's TLS these are at most some 49 KiB of
// a long request, and the rest is in the outputs that follow.
#define PROBITY_OUTPUT_SEND 4

// Close the connection and forget it.
#define PROBITY_OUTPUT_CLOSE 5

// The run is over: `report`. It is the last output of a run.
#define PROBITY_OUTPUT_REPORT 6

// Answer with `probity_engine_flushed` as soon as the system has taken all that was
// to be sent on the connection before, and not the host alone; at once if it has.
// Where it cannot be sent any more the connection has not ended in order: that is
// `PROBITY_CLOSED_RESET`.
#define PROBITY_OUTPUT_FLUSH 7

// `transport`: a stream.
#define PROBITY_TRANSPORT_TCP 0

// `transport`: connected datagrams.
#define PROBITY_TRANSPORT_UDP 1

// `families`: IPv6, else IPv4.
#define PROBITY_FAMILIES_PREFER_V6 0

// `families`: IPv4, else IPv6.
#define PROBITY_FAMILIES_PREFER_V4 1

// `families`: IPv6 alone.
#define PROBITY_FAMILIES_ONLY_V6 2

// `families`: IPv4 alone.
#define PROBITY_FAMILIES_ONLY_V4 3

// The target did all that was asked.
#define PROBITY_OUTCOME_SUCCESS 0

// Counts as success, but somebody should know why.
#define PROBITY_OUTCOME_WARNING 1

// The target's fault.
#define PROBITY_OUTCOME_FAILURE 2

// The prober could not look. Never counts against the target.
#define PROBITY_OUTCOME_UNKNOWN 3

// Name resolution; index into `probity_report.phases`.
#define PROBITY_PHASE_RESOLVE 0

// Until the transport connection is established.
#define PROBITY_PHASE_CONNECT 1

// The TLS handshake.
#define PROBITY_PHASE_TLS 2

// From a usable connection to the first byte of the answer.
#define PROBITY_PHASE_PROCESSING 3

// From the first byte of the answer to its end.
#define PROBITY_PHASE_TRANSFER 4

// Unknown yet, or `probity_report.transition`: none.
#define PROBITY_HEALTH_UNKNOWN 0

// Up.
#define PROBITY_HEALTH_UP 1

// Down.
#define PROBITY_HEALTH_DOWN 2

// A phase that was not completed.
#define PROBITY_NOT_COMPLETED UINT64_MAX

// TLS 1.2, by the number that is sent.
#define PROBITY_TLS_1_2 771

// TLS 1.3, likewise.
#define PROBITY_TLS_1_3 772

// The version of this ABI: programs that were built for one of the same
// number work with it. It rises when a function or field changes its meaning or
// goes, not when one is added.
#define PROBITY_ABI_VERSION 1

// What a call came to. Numbers are never given another meaning; new ones may be
// added.
enum probity_result
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    // Done.
    PROBITY_RESULT_OK = 0,
    // There is nothing to give: no output, no notice, no such result yet. Not
    // an error.
    PROBITY_RESULT_NOTHING = 1,
    // Targets were added, and nothing will ever happen: none is due before
    // `probity_engine_begin` or `probity_driver_begin`. Not an error for who is still
    // starting. Outputs are written as with `PROBITY_RESULT_OK`.
    PROBITY_RESULT_NOT_BEGUN = 2,
    // A pointer that has to point to something is NULL or not aligned, or has a length of
    // more than a gibibyte, which nothing has that this library is given.
    PROBITY_RESULT_BAD_POINTER = -1,
    // The handle was never given out, was freed, or is of another kind.
    PROBITY_RESULT_BAD_HANDLE = -2,
    // Another thread is using what the handle stands for, or this call was made
    // from a callback of such a use. Nothing was done.
    PROBITY_RESULT_IN_USE = -3,
    // The size that a struct begins with is smaller than its first version, no multiple of
    // its alignment, beyond 4,096 bytes, or larger than what this version knows, and what is
    // beyond is not zero.
    PROBITY_RESULT_BAD_SIZE = -4,
    // A number is outside its range, a text is not UTF-8, or two arguments
    // contradict each other.
    PROBITY_RESULT_BAD_ARGUMENT = -5,
    // The configuration has a mistake; the error text says where and what.
    PROBITY_RESULT_BAD_CONFIG = -6,
    // The file has no module of this name that can be used: there is none, or it is of a
    // prober that this version has not.
    PROBITY_RESULT_NO_MODULE = -7,
    // A bound of the engine is reached: no room for another target or run.
    PROBITY_RESULT_FULL = -8,
    // No target has this id.
    PROBITY_RESULT_NO_TARGET = -9,
    // The driver has stopped, or is too busy to take the request now.
    PROBITY_RESULT_UNAVAILABLE = -10,
    // The system refused a resource: a thread, a descriptor, randomness.
    PROBITY_RESULT_SYSTEM = -11,
    // A defect of this library: a call has panicked, which any may. What it was working on
    // cannot be used any more, only freed.
    PROBITY_RESULT_PANICKED = -12,
    // This build of the library does not have what is asked for: a Wasm module has no
    // TLS, and knows no errno.
    PROBITY_RESULT_UNSUPPORTED = -13,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum probity_result probity_result;
#else
typedef int32_t probity_result;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A text in UTF-8, not ended by a zero byte. NULL with length 0 is the empty
// text.
typedef struct probity_text {
    // The first byte.
    const char *data;
    // Bytes.
    size_t length;
} probity_text;

// A parsed configuration: modules, jobs and targets. Immutable; may be used for
// any number of engines and drivers, and freed while these still use its
// targets.
typedef struct probity_config {
    // Never 0 for a handle that was given out.
    uint64_t bits;
} probity_config;

// Room of the caller for text that the library writes.
//
// A function writes as much as fits with a zero byte at its end, cut between
// characters, and sets `length` to the bytes of the whole text without that
// zero: if `length >= capacity`, something is missing. Data NULL with capacity 0
// only asks for the length. Where a buffer may be given to be told of an error,
// NULL instead of the buffer means that nobody wants to know; `length` is not
// touched if there is no error.
typedef struct probity_buffer {
    // The first byte.
    char *data;
    // Bytes that there is room for, the zero at the end included.
    size_t capacity;
    // Set by the library.
    size_t length;
} probity_buffer;

// A target of the configuration's jobs.
typedef struct probity_config_entry {
    // Bytes of this struct, set by the caller.
    size_t size;
    // By which the target is known to engines and drivers; stable across
    // restarts, derived from job, target and labels.
    uint64_t id;
    // Its job.
    struct probity_text job;
    // The target as it is written.
    struct probity_text target;
    // Its labels, `job` and `instance` among them, as Prometheus writes them:
    // `a="b",c="d"`.
    struct probity_text labels;
} probity_config_entry;

// A result of a scheduled run that is not a plain success, or that has changed
// a target's health.
typedef struct probity_notice {
    // Bytes of this struct.
    size_t size;
    // Whose.
    uint64_t target;
    // The verdict on the run, `PROBITY_OUTCOME_...`.
    uint32_t outcome;
    // Why, see `probity_reason_name`; 0 for a plain success.
    uint32_t reason;
    // The phase in which the run ended, `PROBITY_PHASE_...`.
    uint32_t phase;
    // The health that this result has brought about, `PROBITY_HEALTH_...`;
    // `PROBITY_HEALTH_UNKNOWN` if it has changed nothing.
    uint32_t transition;
    // Runs that it stands for.
    uint64_t runs;
    // When the run ended, in nanoseconds of the driver's clock.
    uint64_t at;
    // One sentence; lent for the duration of the callback, empty where it is
    // given in a buffer.
    struct probity_text detail;
} probity_notice;

// Called on a thread of the library, for one notice after another. It may call functions of
// the library as a report's may, and must not wait.
typedef void (*probity_notice_callback)(void *context, const struct probity_notice *notice);

// A line for the host's log. It is lent, with all that it points to, for the
// duration of the callback.
typedef struct probity_log {
    // Bytes of this struct.
    size_t size;
    // `PROBITY_LOG_...`; the smaller, the more urgent.
    uint32_t level;
    // Zero.
    uint32_t reserved;
    // The part of the library that says it: `engine`, `tls` or `driver`. Constant.
    struct probity_text part;
    // The target that it is about; 0: none.
    uint64_t target;
    // One sentence, without a line feed at its end and without secrets.
    struct probity_text message;
} probity_log;

// Called with what the library has to say about itself; results of runs are in
// reports and notices. It must not wait.
//
// An engine calls it during the calls of its host, on their thread. A driver calls
// it on the thread that calls a function, during that call, and on a thread of the
// library: it may be called by several threads at once. From within it functions
// with the handle that it is about do nothing and give `PROBITY_RESULT_IN_USE`, if
// nothing else is wrong; only freeing an engine works, from the end of the call that
// is under way. Other handles may be used, but no driver rendered or freed.
typedef void (*probity_log_callback)(void *context, const struct probity_log *log);

// What a driver is started with. Begin with zeros and the size.
typedef struct probity_driver_config {
    // Bytes of this struct.
    size_t size;
    // Worker threads, at most 1,024; 0: one for each core that the process may use.
    uint32_t workers;
    // Scheduled runs in flight at once; 0: as many as the limit of descriptors
    // allows. That limit (RLIMIT_NOFILE) is raised to the hard one in any case: a host
    // that uses select(2) sets that one, too.
    uint32_t in_flight;
    // Descriptors that are left to the host; 0: 256.
    uint32_t reserve;
    // Connections per second towards one address; 0: no limit.
    uint32_t starts_per_destination;
    // Connections that may go out at once before that rate applies; 0: 100.
    uint32_t burst_per_destination;
    // Zero.
    uint32_t reserved;
    // Called for every notice, on a thread of the library; NULL: they are kept
    // for `probity_driver_notice`.
    probity_notice_callback on_notice;
    // Handed to `on_notice`.
    void *context;
    // Called with what the driver has to say about itself; NULL: nobody wants to
    // know.
    probity_log_callback on_log;
    // Handed to `on_log`.
    void *log_context;
} probity_driver_config;

// Worker threads that probe. May be used by any number of threads at once.
typedef struct probity_driver {
    // Never 0 for a handle that was given out.
    uint64_t bits;
} probity_driver;

// One target in the caller's own words: the common cases without a file. Begin
// with zeros and `size = sizeof(probity_target)`; zeros and empty texts mean
// what is said of each field. Times are nanoseconds.
typedef struct probity_target {
    // Bytes of this struct.
    size_t size;
    // The configuration that has the module.
    struct probity_config config;
    // The name of the module, such as `http_2xx`. Required.
    struct probity_text module;
    // What to probe: a URL, or `host:port`. Required.
    struct probity_text target;
    // The Host header of `http`, the TLS server name of `tcp`; empty: from the
    // target.
    struct probity_text hostname;
    // By which it will be known; must be the same after a restart, because it
    // decides when within the interval the target is probed. 0: derived from
    // module and target.
    uint64_t id;
    // Time between two runs, from 1 ms to 366 days; 0: a minute.
    uint64_t interval;
    // Time that a run may take, from 1 ms to 366 days; 0: the module's, else 10 s, and no more
    // than the interval. If it is longer than that, as it may be, the next run starts
    // when the one before has ended.
    uint64_t timeout;
    // Time after it is added in which no run starts, at most 366 days; 0: none.
    uint64_t initial_delay;
    // Successes in a row that make it up; 0: 1.
    uint32_t success_threshold;
    // Failures in a row that make it down; 0: 3.
    uint32_t failure_threshold;
    // What is decided about, `PROBITY_KIND_...`.
    uint32_t kind;
    // Number of the group that it is counted with.
    uint32_t group;
} probity_target;

// An IP address with a port.
typedef struct probity_address {
    // 4 or 6; 0 is no address.
    uint8_t family;
    // Zero.
    uint8_t reserved;
    // The port, in the host's byte order.
    uint16_t port;
    // The address in network byte order; of IPv4 the first four bytes.
    uint8_t ip[16];
} probity_address;

// What a TLS handshake has shown. Begin with `size = sizeof(...)`; zeros and
// empty texts mean "not known".
typedef struct probity_tls_info {
    // Bytes of this struct.
    size_t size;
    // `TLS 1.2` or `TLS 1.3` (or 1.0, or 1.1); as OpenSSL's SSL_get_version writes them
    // they are understood too. Another one is a `PROBITY_RESULT_BAD_ARGUMENT`, of which the
    // engine's log says more.
    struct probity_text version;
    // IANA name of the cipher suite, `TLS_AES_128_GCM_SHA256`: what OpenSSL's
    // SSL_CIPHER_standard_name gives. One that is out of use is as good as none.
    struct probity_text cipher;
    // Protocol that the server chose by ALPN, `h2` or `http/1.1`.
    struct probity_text alpn;
    // Smallest NotAfter of the certificates that the server sent, in seconds
    // of Unix time; 0 if it sent none.
    int64_t earliest_expiry;
    // Largest, over all verified chains, of the smallest NotAfter in the chain,
    // root included; 0 if nothing was verified.
    int64_t chain_expiry;
    // SHA-256 of the server's certificate in lower-case hex.
    struct probity_text fingerprint_sha256;
    // Its subject, as RFC 2253 writes it.
    struct probity_text subject;
    // Its issuer, likewise.
    struct probity_text issuer;
    // Its DNS names, separated by commas.
    struct probity_text subject_alternative;
    // Its serial number in lower-case hex.
    struct probity_text serial;
} probity_tls_info;

// A number that a check has found out.
typedef struct probity_fact {
    // The name of the series, `probe_http_status_code`.
    struct probity_text name;
    // The name of a label beside the target's own; empty: none.
    struct probity_text label;
    // Its value.
    struct probity_text label_value;
    // The number.
    double value;
} probity_fact;

// The result of one run. All that it points to is lent until the next call with
// the engine, or for the duration of the callback that got it.
typedef struct probity_report {
    // Bytes of this struct.
    size_t size;
    // Whose run it was; 0 for one that was asked for by itself.
    uint64_t target;
    // The verdict on this one run, `PROBITY_OUTCOME_...`.
    uint32_t outcome;
    // Why, see `probity_reason_name`; 0 for a plain success.
    uint32_t reason;
    // One sentence for a person; empty for a plain success.
    struct probity_text detail;
    // The phase in which the run ended, `PROBITY_PHASE_...`.
    uint32_t phase;
    // The health that this result has brought about, `PROBITY_HEALTH_...`;
    // `PROBITY_HEALTH_UNKNOWN` if it has changed nothing.
    uint32_t transition;
    // Runs that the report stands for: 1, or as many as came due before the
    // prober looked again, all of them missed.
    uint64_t runs;
    // When the run should have started, in nanoseconds of the host's clock.
    uint64_t due;
    // When it did.
    uint64_t started;
    // When it ended.
    uint64_t finished;
    // How long the target took, in nanoseconds, without the time for which the
    // prober itself held the run back.
    uint64_t total;
    // How long each phase took, by `PROBITY_PHASE_...`, in nanoseconds;
    // `PROBITY_NOT_COMPLETED` if it was not completed.
    uint64_t phases[5];
    // The last address that the run connected to; family 0 for none.
    struct probity_address address;
    // The last handshake, complete or not; NULL for none.
    const struct probity_tls_info *tls;
    // Numbers that the check has found out.
    const struct probity_fact *facts;
    // How many.
    size_t facts_length;
} probity_report;

// Called once with the report of a run, on a thread of the library. It may call any function
// of the library (render, and free of another driver, are refused), and must not wait. The report is lent for the
// duration of the call.
typedef void (*probity_report_callback)(void *context, const struct probity_report *report);

// What is known of a target. Begin with `size = sizeof(...)` where you make it.
typedef struct probity_target_state {
    // Bytes of this struct.
    size_t size;
    // Its id.
    uint64_t id;
    // Its health after thresholds, `PROBITY_HEALTH_...`.
    uint32_t health;
    // The group that it is counted with.
    uint32_t group;
    // The verdict on its last run, `PROBITY_OUTCOME_...`; means nothing while
    // `finished` is 0.
    uint32_t outcome;
    // Why, see `probity_reason_name`; 0 for a plain success.
    uint32_t reason;
    // One sentence about the last run, lent until the next call with the engine,
    // or for the duration of the callback that got it.
    struct probity_text detail;
    // When the last run ended, in nanoseconds of the clock; 0: none has.
    uint64_t finished;
    // How long the target took, in nanoseconds.
    uint64_t total;
    // When its next run is due, in nanoseconds of the clock.
    uint64_t next;
    // Results so far, by `PROBITY_OUTCOME_...`.
    uint64_t results[4];
} probity_target_state;

// Called for one target after another, sorted by id, on a thread of the library,
// and then once with NULL. It may call functions of the library as a report's may; checks do not
// wait for it.
typedef void (*probity_state_callback)(void *context, const struct probity_target_state *state);

// Bytes. NULL with length 0 is none.
typedef struct probity_bytes {
    // The first byte.
    const uint8_t *data;
    // How many.
    size_t length;
} probity_bytes;

// What an engine is made with. Begin with zeros and the size; numbers of 0 mean
// the usual bound.
typedef struct probity_engine_config {
    // Bytes of this struct.
    size_t size;
    // 32 bytes of randomness, secret and different for every engine, unless a
    // run is to be replayed. Required: an engine has no source of its own.
    struct probity_bytes seed;
    // Targets registered at once; 0: 2,000,000.
    uint32_t targets;
    // Scheduled runs in flight at once; 0: 4,096. Each may have up to four
    // connections, most have one.
    uint32_t in_flight;
    // Runs in flight at once that were asked for by themselves; 0: 1,024.
    uint32_t once_in_flight;
    // Look-ups of names in flight at once; 0: 1,024.
    uint32_t lookups;
    // Names in the cache; 0: 65,536.
    uint32_t cached_names;
    // Connections per second towards one address; 0: no limit.
    uint32_t starts_per_destination;
    // Connections that may go out at once before that rate applies; 0: 100.
    uint32_t burst_per_destination;
    // `PROBITY_NAMES_...`.
    uint32_t names;
    // The text of resolv.conf(5), for `PROBITY_NAMES_ENGINE`; empty: servers at
    // 127.0.0.1 and ::1, as in an empty file. The library reads no files for it.
    struct probity_text resolv_conf;
    // The text of hosts(5), for `PROBITY_NAMES_ENGINE`; empty: no names, but that
    // `localhost` is ::1 and 127.0.0.1.
    struct probity_text hosts;
    // `PROBITY_TLS_HOST` or `PROBITY_TLS_LIBRARY`.
    uint32_t tls;
    // Zero.
    uint32_t reserved;
    // Called with what the engine has to say about itself, during calls of the
    // host and on their thread; NULL: nobody wants to know.
    probity_log_callback on_log;
    // Handed to `on_log`.
    void *log_context;
} probity_engine_config;

// An engine. For one thread at a time; others get `PROBITY_RESULT_IN_USE`.
typedef struct probity_engine {
    // Never 0 for a handle that was given out.
    uint64_t bits;
} probity_engine;

// How a connection is to be secured, where the host does TLS. All that it points
// to is lent until the next call with the engine.
typedef struct probity_tls_request {
    // Bytes of this struct.
    size_t size;
    // A number of all fields but `server_name`: while it is the same they are, so
    // that a host may keep by it what it has made of them. Not 0, and never used
    // for other contents by the same engine.
    uint64_t options;
    // The name to verify and, if it is a DNS name and no address, to send (SNI).
    struct probity_text server_name;
    // Protocols to offer by ALPN, in order of preference.
    const struct probity_bytes *alpn;
    // How many; 0: no ALPN.
    size_t alpn_length;
    // 1: any certificate is accepted, though still shown. 0: it is verified.
    uint32_t skip_verify;
    // Lowest version to offer, `PROBITY_TLS_...`.
    uint32_t min_version;
    // Highest version to offer, `PROBITY_TLS_...`.
    uint32_t max_version;
    // Zero.
    uint32_t reserved;
    // Certificates in PEM to trust instead of the system's; none: the system's.
    struct probity_bytes ca;
    // The client's certificate chain in PEM, its own first; none: it shows none.
    struct probity_bytes certificate;
    // The private key of that in PEM: a secret.
    struct probity_bytes key;
} probity_tls_request;

// One thing that the engine asks. Begin with `size = sizeof(probity_output)`.
// All that it points to is lent until the next call with the engine, or as
// `probity_engine_step` says.
typedef struct probity_output {
    // Bytes of this struct, set by the caller.
    size_t size;
    // What: `PROBITY_OUTPUT_...`. Fields that it does not speak of are zero.
    uint32_t kind;
    // The connection: numbered from 0 within a run, below 64, never reused in it.
    uint32_t conn;
    // The run. The lower 32 bits are the number of its slot, which later runs use again:
    // a host may index an array with it that grows. They are below the bounds of the
    // engine for runs and look-ups together, and beyond that only by as many as runs were
    // over whose reports waited to be read.
    uint64_t run;
    // `PROBITY_TRANSPORT_...`.
    uint32_t transport;
    // `PROBITY_FAMILIES_...`.
    uint32_t families;
    // Where to connect.
    struct probity_address address;
    // Where to connect from, the port chosen by the system; family 0: anywhere.
    struct probity_address source;
    // What to resolve, or the server name.
    struct probity_text name;
    // What to send.
    struct probity_bytes bytes;
    // What the run has found out.
    const struct probity_report *report;
    // How to secure the connection.
    const struct probity_tls_request *tls;
} probity_output;

// Counters and gauges of an engine. Begin with `size = sizeof(...)`.
typedef struct probity_engine_stats {
    // Bytes of this struct, set by the caller.
    size_t size;
    // Finished runs, by `PROBITY_OUTCOME_...`.
    uint64_t runs[4];
    // Registered targets.
    uint64_t targets;
    // Targets of which nothing was learnt for two intervals and a timeout.
    uint64_t overdue;
    // Runs in flight.
    uint64_t in_flight;
    // Targets that are due and wait for room.
    uint64_t queued;
    // The 99th percentile of how late runs have started, in nanoseconds.
    uint64_t start_lag_p99;
} probity_engine_stats;

// How a connection has ended. Begin with zeros and the size.
typedef struct probity_closed {
    // Bytes of this struct.
    size_t size;
    // `PROBITY_CLOSED_...`.
    uint32_t why;
    // For `PROBITY_CLOSED_TLS` and `PROBITY_CLOSED_LOCAL`, see
    // `probity_reason_number`; for `PROBITY_CLOSED_ERRNO` the number of the error.
    uint32_t reason;
    // For `PROBITY_CLOSED_TLS` and `PROBITY_CLOSED_OTHER`: one sentence.
    struct probity_text detail;
    // For `PROBITY_CLOSED_TLS`: what was learnt before it failed, or NULL.
    const struct probity_tls_info *tls;
} probity_closed;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Parses a configuration: the file of the exporter, in YAML or JSON. `name` is
// what errors call it. The empty text stands for the built-in modules
// (`http_2xx`, `tcp_connect`, ...) and no jobs. Targets are those of
// `static_configs`; `file_sd_configs` are for the host to follow.
//
// A module of a prober that this library has not (`icmp`, `dns`, `wasm`, ...) is left out:
// what names it later gets `PROBITY_RESULT_NO_MODULE`, and a job of this file that does is
// a mistake.
//
// `files` is one of `PROBITY_FILES_...`.
//
// Ownership: the handle is the caller's, to be freed by `probity_config_free`; texts are
// copied. Threads: any, also at the same moment; it waits for the files that it reads.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_CONFIG` (`error` has a line for each
// mistake: file, line, column, field, what was expected and what was found; a thread that the
// system does not give for an expression in CEL is one, too); `PROBITY_RESULT_BAD_ARGUMENT`
// (`files` is none of these, or a text is not UTF-8); `PROBITY_RESULT_BAD_POINTER` (`config`
// or a text); `PROBITY_RESULT_FULL` (there are 4,294,967,295 configurations).
//
// # Safety
// Texts must have their lengths; `config` and `error` may be written.
probity_result probity_config_parse(struct probity_text name,
                                    struct probity_text text,
                                    uint32_t files,
                                    struct probity_config *config,
                                    struct probity_buffer *error);

// Frees a configuration. Engines and drivers keep what they took from it; texts that it lent
// are gone. Threads: any, also while calls of others use it.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`.
probity_result probity_config_free(struct probity_config config);

// Tells how many targets the jobs of a configuration have. Threads: any, also at the same
// moment.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_BAD_POINTER`
// (`count`).
//
// # Safety
// `count` may be written.
probity_result probity_config_targets(struct probity_config config, size_t *count);

// Tells which target has a place in the list, from 0. Texts are lent until the configuration
// is freed. Threads: any, also at the same moment.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (`index` is beyond the end);
// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_BAD_POINTER` (`entry`);
// `PROBITY_RESULT_BAD_SIZE` (of `entry`).
//
// # Safety
// `entry` may be written, as many bytes as its size says.
probity_result probity_config_target(struct probity_config config,
                                     size_t index,
                                     struct probity_config_entry *entry);

// Starts the workers. No target is due before `probity_driver_begin`. Names are
// resolved as `/etc/resolv.conf` and `/etc/hosts` say, which are looked at again every
// five seconds.
//
// Ownership: the handle is the caller's, to be freed by `probity_driver_free`; `config` is
// copied. Threads: any, also at the same moment.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_SYSTEM` (it has refused a thread, a
// descriptor or randomness: `error` says which); `PROBITY_RESULT_BAD_ARGUMENT` (more than
// 1,024 workers, or `reserved` is not 0); `PROBITY_RESULT_BAD_POINTER` (`config` or
// `driver`); `PROBITY_RESULT_BAD_SIZE` (of `config`); `PROBITY_RESULT_FULL` (there are
// 4,294,967,295 drivers).
//
// # Safety
// `config` must point to as many bytes as its size says; `context` and `log_context`
// may be used on other threads until the driver is freed; `driver` may be written.
probity_result probity_driver_start(const struct probity_driver_config *config,
                                    struct probity_driver *driver,
                                    struct probity_buffer *error);

// Ends a driver and frees it: runs in flight are reported as `shutdown` to those who wait for
// them. When it returns no callback is being called, nor will be, unless it was called from a
// callback of this driver: it waits for those that are, notices that were not delivered yet
// included, and for calls of other threads with this driver. Threads: any, also in a callback
// of this driver (but its log's), and not in one of another handle: two that wait for each other would wait for
// ever.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE` (also while another thread frees
// it); `PROBITY_RESULT_IN_USE` (from its log callback, or a callback of another handle: nothing
// was done).
probity_result probity_driver_free(struct probity_driver driver);

// Ends a driver in order: no new runs; those in flight finish, or are reported as `shutdown`
// when `grace` nanoseconds are over. Returns when the workers have ended; from a callback of
// a run or a copy of any driver, at once. A second call can only make the time shorter. The
// handle is still to be freed. Threads: any, also at the same moment.
//
// Results: `PROBITY_RESULT_OK` (also if it has stopped before); `PROBITY_RESULT_BAD_HANDLE`;
// `PROBITY_RESULT_IN_USE` (from its log callback: nothing was done).
probity_result probity_driver_shutdown(struct probity_driver driver, uint64_t grace);

// Ends start-up: from now on targets are due, those that were added before spread over their
// intervals from here. Waits while a worker has 1,024 requests to take already, but not in a
// callback of a run or a copy. Threads: any, also at the same moment.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (the driver has stopped);
// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from its log callback).
probity_result probity_driver_begin(struct probity_driver driver);

// Tells the time of the driver's clock, in nanoseconds since it was started: that of notices,
// reports and states. Threads: any, also at the same moment.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from
// its log callback); `PROBITY_RESULT_BAD_POINTER` (`now`).
//
// # Safety
// `now` may be written.
probity_result probity_driver_now(struct probity_driver driver, uint64_t *now);

// Makes the targets of a configuration's jobs those of the driver, in place of the ones of
// the last call. Targets that have not changed keep their state, schedule and histogram;
// those of `probity_driver_add` are left alone. Returns before the workers have made the
// changes: a target beyond the 2,000,000 that a worker has room for gets a notice: unknown,
// `overload`. The configuration may be freed afterwards. Waits while a worker has 1,024
// requests to take already, but not in a callback of a run or a copy. Threads: any, one at a
// time for each driver.
//
// What is compared is the last call's list: a target of it that was removed by its id comes
// back when its entry changes, and one that was added by itself with the id of an entry is
// that entry's.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (the driver has stopped: then
// nothing is changed that anybody would see); `PROBITY_RESULT_IN_USE` (while another thread
// applies, or a callback does meanwhile, and from its log callback: nothing was done);
// `PROBITY_RESULT_BAD_HANDLE` (the driver or the configuration).
probity_result probity_driver_apply(struct probity_driver driver, struct probity_config config);

// Adds a target, or changes the one of the same id, which keeps its state. `id` (NULL: nobody
// wants to know) is set to the id by which it is known. `error` says what is wrong with the
// target. Texts are copied, and the configuration may be freed afterwards. Returns before the
// worker has done it: a target beyond the 2,000,000 that a worker has room for gets a notice:
// unknown, `overload`. Waits while a worker has 1,024 requests to take already, but not in a
// callback of a run or a copy. Threads: any, also at the same moment. Threads that change one
// target at the same time are not told apart: which of them is the last for its runs may not
// be so for the labels with which it is rendered.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_ARGUMENT` (a field of the target is not
// valid, or a text not UTF-8); `PROBITY_RESULT_NO_MODULE` (`error` says which there are, or
// why it cannot be used); `PROBITY_RESULT_UNAVAILABLE` (the driver has stopped);
// `PROBITY_RESULT_BAD_HANDLE` (the driver or `target.config`); `PROBITY_RESULT_IN_USE` (from
// its log callback); `PROBITY_RESULT_BAD_POINTER` (`target`, a text in it, or an `id` that is
// not aligned); `PROBITY_RESULT_BAD_SIZE` (of `target`).
//
// # Safety
// `target` must point to as many bytes as its size says; `id` and `error` may be
// NULL or written.
probity_result probity_driver_add(struct probity_driver driver,
                                  const struct probity_target *target,
                                  uint64_t *id,
                                  struct probity_buffer *error);

// Forgets a target. A run in flight ends as `cancelled`. Returns before the worker has done
// it. Waits while a worker has 1,024 requests to take already, but not in a callback of a run
// or a copy. Threads: any, also at the same moment.
//
// Results: `PROBITY_RESULT_OK` (also if no target has this id); `PROBITY_RESULT_UNAVAILABLE`
// (the driver has stopped); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from its
// log callback).
probity_result probity_driver_remove(struct probity_driver driver, uint64_t id);

// Runs one check outside any schedule; `target.id`, the initial delay and thresholds are
// ignored (but refused where they are not valid), and of the interval only counts that a
// timeout of 0 is no longer than it. `error` says what is wrong with the target. Texts are
// copied, and the configuration may be freed afterwards. `done` is called exactly once if
// this returns `PROBITY_RESULT_OK`, perhaps before it does, and never otherwise. The call
// never waits. Threads: any, also at the same moment.
//
// A request waits in the inbox of a worker, which has room for 1,024, until the worker takes
// it. A burst of thousands that comes faster than that fills all inboxes: then this gives
// `PROBITY_RESULT_UNAVAILABLE`, and may be tried again in a moment. A request that a worker
// takes while too many such runs are in flight gets its report at once, with outcome unknown
// and reason `overload`: there is room for 16 to 1,024, by the limit of descriptors, and for
// as many more as `in_flight` exceeds the targets, an equal share of which is each worker's.
// The reason is `shutdown` if the driver ends first.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (all inboxes are full, or the
// driver has stopped, which is for good, and said in its log); `PROBITY_RESULT_BAD_ARGUMENT`
// (a field of the target is not valid, or a text not UTF-8); `PROBITY_RESULT_NO_MODULE`
// (`error` says which there are, or why it cannot be used); `PROBITY_RESULT_BAD_HANDLE` (the
// driver or `target.config`); `PROBITY_RESULT_IN_USE` (from its log callback);
// `PROBITY_RESULT_BAD_POINTER` (`done`, `target`, or a text in it); `PROBITY_RESULT_BAD_SIZE`
// (of `target`).
//
// # Safety
// `target` must point to as many bytes as its size says; `context` may be used on
// another thread until `done` has returned; `error` may be NULL or written.
probity_result probity_driver_run(struct probity_driver driver,
                                  const struct probity_target *target,
                                  probity_report_callback done,
                                  void *context,
                                  struct probity_buffer *error);

// Gives the descriptor that is readable while there are notices, for the host's poll, select
// or epoll. It is the library's: not to be read, written or closed, and gone with the driver.
// Threads: any, also at the same moment.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (the driver was started with a
// callback); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from its log callback);
// `PROBITY_RESULT_BAD_POINTER` (`descriptor`).
//
// # Safety
// `descriptor` may be written.
probity_result probity_driver_descriptor(struct probity_driver driver, int32_t *descriptor);

// Takes the oldest notice. Never waits. Its sentence is written to `detail` (NULL: nobody
// wants to know). At most 65,536 wait; later ones are lost and counted. Threads: any, also at
// the same moment: each notice is given once.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (there is none; always, if the
// driver was started with a callback); `PROBITY_RESULT_NOT_BEGUN` (there will be none,
// because `probity_driver_begin` was not called though there are targets);
// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from its log callback);
// `PROBITY_RESULT_BAD_POINTER` (`notice`, or a `detail` that is not aligned or has no data);
// `PROBITY_RESULT_BAD_SIZE` (of `notice`).
//
// # Safety
// `notice` may be written, as many bytes as its size says; `detail` may be NULL
// or written.
probity_result probity_driver_notice(struct probity_driver driver,
                                     struct probity_notice *notice,
                                     struct probity_buffer *detail);

// Tells how many notices were lost since the start, because nobody took them, or `on_notice`
// took too long. Threads: any, also at the same moment.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (from
// its log callback); `PROBITY_RESULT_BAD_POINTER` (`lost`).
//
// # Safety
// `lost` may be written.
probity_result probity_driver_lost(struct probity_driver driver, uint64_t *lost);

// Copies the state of all targets, in parts between the workers' turns, and hands it to
// `each`, with what it points to lent for the duration of the call. If the driver ends
// meanwhile these are the targets that were copied before. Never waits. Threads: any, also at
// the same moment.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (256 copies are under way, those
// of `probity_driver_render` among them, a worker has 1,024 requests to take already, or the
// driver has stopped: then `each` is not called); `PROBITY_RESULT_BAD_HANDLE`;
// `PROBITY_RESULT_IN_USE` (from its log callback); `PROBITY_RESULT_BAD_POINTER` (`each`).
//
// # Safety
// `context` may be used on another thread until `each` was called with NULL.
probity_result probity_driver_fleet(struct probity_driver driver,
                                    probity_state_callback each,
                                    void *context);

// Writes the series of all targets to `text`, in Prometheus' text format 0.0.4: those of
// blackbox_exporter, `probity_target_up` and `probity_results_total`. If `text.length >=
// text.capacity` something is missing: call it again with more room. Waits for the workers;
// if the driver ends meanwhile, the text has the targets that were copied before. Threads:
// any, also at the same moment; not from a callback, in which it might wait for ever.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_UNAVAILABLE` (as for `probity_driver_fleet`);
// `PROBITY_RESULT_IN_USE` (from a callback: nothing was done); `PROBITY_RESULT_BAD_HANDLE`;
// `PROBITY_RESULT_BAD_POINTER` (`text` or its data).
//
// # Safety
// `text` may be written.
probity_result probity_driver_render(struct probity_driver driver, struct probity_buffer *text);

// Makes an engine without targets. `now` is the first reading of the host's
// clock: nanoseconds since an origin of its choice, monotonic. No target is due
// before `probity_engine_begin`.
//
// Ownership: the handle is the caller's, to be freed by `probity_engine_free`; the seed and
// texts are copied. Threads: any, also at the same moment.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_ARGUMENT` (the seed has not 32 bytes, a
// text is not UTF-8, or `names`, `tls` or `reserved` is none of its values);
// `PROBITY_RESULT_BAD_POINTER` (`config`, what it points to, or `engine`);
// `PROBITY_RESULT_BAD_SIZE` (of `config`); `PROBITY_RESULT_UNSUPPORTED`
// (`PROBITY_TLS_LIBRARY` in a build without TLS; the log is told, too); `PROBITY_RESULT_FULL`
// (there are 4,294,967,295 engines).
//
// # Safety
// `config` must point to as many bytes as its size says, and what it points to
// must have its length; `log_context` may be used in every call with the engine;
// `engine` may be written.
probity_result probity_engine_new(const struct probity_engine_config *config,
                                  uint64_t now,
                                  struct probity_engine *engine);

// Frees an engine with its targets and runs, which are not reported. Threads:
// any, and from a log callback; a call that is using it goes on, and gives
// `PROBITY_RESULT_BAD_HANDLE` where it would have succeeded: what it has written points
// to what is gone.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`.
probity_result probity_engine_free(struct probity_engine engine);

// Ends start-up: from now on targets are due; those that were added before are spread over
// their intervals from here. `now` is in nanoseconds of the host's clock, and one before the
// latest counts as that, as everywhere but in `probity_engine_stats_of`. Threads: any, one at
// a time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
// call with the engine).
probity_result probity_engine_begin(struct probity_engine engine, uint64_t now);

// Makes the targets of a configuration's jobs those of the engine, in place of the ones of
// the last call. Targets that have not changed keep their state, schedule and histogram;
// those of `probity_engine_add` are left alone. The configuration may be freed afterwards.
// `now` is in nanoseconds of the host's clock. Threads: any, one at a time for each engine.
//
// What is compared is the last call's list: a target of it that was removed by its id comes
// back when its entry changes, and one that was added by itself with the id of an entry is
// that entry's.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_FULL` (there is no room for all of them:
// those that there was room for are there, and the next call tries the others again);
// `PROBITY_RESULT_BAD_HANDLE` (the engine or the configuration); `PROBITY_RESULT_IN_USE`
// (another call with the engine).
probity_result probity_engine_apply(struct probity_engine engine,
                                    struct probity_config config,
                                    uint64_t now);

// Adds a target, or changes the one of the same id, which keeps its state. `id`
// (NULL: nobody wants to know) is set to the id by which it is known. The first
// run comes within an interval, at a moment that derives from the id.
//
// `error` says what is wrong with the target. Texts are copied, and the configuration may be
// freed afterwards. `now` is in nanoseconds of the host's clock. Threads: any, one at a time
// for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_ARGUMENT` (a field of the target is not
// valid, or a text not UTF-8); `PROBITY_RESULT_NO_MODULE` (`error` says which there are, or
// why it cannot be used); `PROBITY_RESULT_FULL` (as many targets as
// `probity_engine_config.targets` says are there, and none has this id);
// `PROBITY_RESULT_BAD_HANDLE` (the engine or `target.config`); `PROBITY_RESULT_IN_USE`
// (another call with the engine); `PROBITY_RESULT_BAD_POINTER` (`target`, a text in it, or an
// `id` that is not aligned); `PROBITY_RESULT_BAD_SIZE` (of `target`).
//
// # Safety
// `target` must point to as many bytes as its size says; `id` and `error` may
// be NULL or written.
probity_result probity_engine_add(struct probity_engine engine,
                                  const struct probity_target *target,
                                  uint64_t now,
                                  uint64_t *id,
                                  struct probity_buffer *error);

// Forgets a target. A run in flight is reported as `cancelled`. `now` is in nanoseconds of
// the host's clock. Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NO_TARGET` (none has this id);
// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine).
probity_result probity_engine_remove(struct probity_engine engine, uint64_t id, uint64_t now);

// Starts one run outside any schedule; `target.id`, the initial delay and thresholds are
// ignored (but refused where they are not valid), and of the interval only counts that a
// timeout of 0 is no longer than it. `error` says what is wrong with the target. Texts are
// copied, and the configuration may be freed afterwards. `run` is set to its number; its
// report has target 0. `now` is in nanoseconds of the host's clock. Threads: any, one at a
// time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_ARGUMENT` (a field of the target is not
// valid, or a text not UTF-8); `PROBITY_RESULT_NO_MODULE` (`error` says which there are, or
// why it cannot be used); `PROBITY_RESULT_FULL` (as many such runs are in flight as
// `probity_engine_config.once_in_flight` says, and as many more as its `in_flight` exceeds
// the targets); `PROBITY_RESULT_BAD_HANDLE` (the engine or `target.config`);
// `PROBITY_RESULT_IN_USE` (another call with the engine); `PROBITY_RESULT_BAD_POINTER`
// (`target`, a text in it, or `run`); `PROBITY_RESULT_BAD_SIZE` (of `target`).
//
// # Safety
// As for `probity_engine_add`; `run` may be written.
probity_result probity_engine_run(struct probity_engine engine,
                                  const struct probity_target *target,
                                  uint64_t now,
                                  uint64_t *run,
                                  struct probity_buffer *error);

// Ends a run early; it is reported as `cancelled`. One that is over is left alone. `now` is
// in nanoseconds of the host's clock. Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK` (also for one that is over, or never was);
// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine).
probity_result probity_engine_cancel(struct probity_engine engine, uint64_t run, uint64_t now);

// Makes a target due now, and counts its interval from here. One that is in flight is due
// again when that run is over. `now` is in nanoseconds of the host's clock. Threads: any, one
// at a time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NO_TARGET` (none has this id);
// `PROBITY_RESULT_NOT_BEGUN` (before `probity_engine_begin`, and after `probity_engine_drain`
// or `probity_engine_shutdown`: nothing was done); `PROBITY_RESULT_BAD_HANDLE`;
// `PROBITY_RESULT_IN_USE` (another call with the engine).
probity_result probity_engine_trigger(struct probity_engine engine, uint64_t id, uint64_t now);

// Expires what is late and starts what is due. To be called when the time of
// `probity_engine_next_timeout` has come, after all events that are ready were told. At most
// 64 runs that come due are started by one call, and on top those that have waited for room;
// if more are due the next time-out says so. They all begin at `now`: what the host takes to
// open the connections of some of them is in the latencies of the others. `now` is in
// nanoseconds of the host's clock.
// Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
// call with the engine).
probity_result probity_engine_handle_timeout(struct probity_engine engine, uint64_t now);

// Tells when `probity_engine_handle_timeout` should be called next, in nanoseconds of the
// host's clock; it may be past. Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (only an event can change anything:
// `at` is `UINT64_MAX`); `PROBITY_RESULT_NOT_BEGUN` (`at` likewise: no output waits, there
// are targets, no run is in flight, and `probity_engine_begin` was not called, or
// `probity_engine_drain` or `probity_engine_shutdown` was since);
// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine);
// `PROBITY_RESULT_BAD_POINTER` (`at`).
//
// # Safety
// `at` may be written.
probity_result probity_engine_next_timeout(struct probity_engine engine, uint64_t *at);

// Tells whether a run has still to work on what it was given. A host leaves further data of
// such a run in the socket until `probity_engine_handle_timeout` was called, and then asks
// again; one that is given more than 256 KiB all the same works it off within that call, for
// as long as it takes. Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK` (it is behind); `PROBITY_RESULT_NOTHING` (it is not, or is
// over); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine).
probity_result probity_engine_is_behind(struct probity_engine engine, uint64_t run);

// Does in one call what a turn of a host's loop needs: gives the outputs that there
// are, in order and up to `capacity` (16, where structs are of another size than in this
// version). If these are all, none of them is lent until the next call alone, the time has
// come for it at `now`, and the last call left none for want of room, it then does once what
// `probity_engine_handle_timeout` does, and gives what comes of that. Where all were given
// and the time has come all the same, `next` is not after `now`, and the next call begins
// with that. It tells when it should be called next, as `probity_engine_next_timeout` does.
//
// `outputs` is an array. The size of its first struct, set by the caller, is that of all of
// them; `capacity` is 1 or more, and 16 to 64 are plenty. `length` is set to how many there
// are, which may be 0. `next` is set to 0 if there are more to come (carry these out, and
// call it again), to the time at which something is due, in nanoseconds of the host's clock,
// or to `UINT64_MAX` if only an event can change anything. Events that are told after this
// call may have new outputs: a host calls it after it has told some, and when `next` has
// come, all events first that are ready then: what has not been told by the time of its
// deadline was not there in time. `now` is in nanoseconds of the host's clock. Threads: any,
// one at a time for each engine.
//
// Outputs are to be carried out in order, and before anything is told but what comes
// of carrying them out, such as a connection that fails at once. So long is lent what
// they point to: until the first call with the engine that is made when all of them
// have been carried out or, for an output that is the last, because of it.
//
// Results: `PROBITY_RESULT_OK` (also with `length` 0); `PROBITY_RESULT_NOT_BEGUN` (`length`
// is 0 and `next` `UINT64_MAX`: there are targets, no run is in flight, and
// `probity_engine_begin` was not called, or `probity_engine_drain` or
// `probity_engine_shutdown` was since); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE`
// (another call with the engine); `PROBITY_RESULT_BAD_ARGUMENT` (`capacity` is 0);
// `PROBITY_RESULT_BAD_POINTER` (`outputs`, `length` or `next`, or an array of more than 1
// GiB); `PROBITY_RESULT_BAD_SIZE` (of the first of `outputs`).
//
// # Safety
// `outputs` may be written, `capacity` structs of as many bytes as the first one
// says; so may `length` and `next`.
probity_result probity_engine_step(struct probity_engine engine,
                                   uint64_t now,
                                   struct probity_output *outputs,
                                   size_t capacity,
                                   size_t *length,
                                   uint64_t *next);

// Gives the next thing that the engine asks, in order. What it points to is lent until the
// next call with this engine. Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NOTHING` (there is no more);
// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine);
// `PROBITY_RESULT_BAD_POINTER` (`output`); `PROBITY_RESULT_BAD_SIZE` (of `output`).
//
// # Safety
// `output` may be written, as many bytes as its size says.
probity_result probity_engine_output(struct probity_engine engine, struct probity_output *output);

// Tells what is known of a target. Its sentence is lent until the next call with this engine.
// Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_NO_TARGET` (none has this id);
// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine);
// `PROBITY_RESULT_BAD_POINTER` (`state`); `PROBITY_RESULT_BAD_SIZE` (of `state`).
//
// # Safety
// `state` may be written, as many bytes as its size says.
probity_result probity_engine_target(struct probity_engine engine,
                                     uint64_t id,
                                     struct probity_target_state *state);

// Tells what the engine has done and holds. Looks at every target. `now` is in nanoseconds of
// the host's clock. Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
// call with the engine); `PROBITY_RESULT_BAD_POINTER` (`stats`); `PROBITY_RESULT_BAD_SIZE`
// (of `stats`).
//
// # Safety
// `stats` may be written, as many bytes as its size says.
probity_result probity_engine_stats_of(struct probity_engine engine,
                                       uint64_t now,
                                       struct probity_engine_stats *stats);

// Schedules no more runs; those in flight go on, and those that wait for room are reported as
// `shutdown`. `now` is in nanoseconds of the host's clock. Threads: any, one at a time for
// each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
// call with the engine).
probity_result probity_engine_drain(struct probity_engine engine, uint64_t now);

// Schedules no more runs and reports those in flight as `shutdown`; what is left to do is
// asked by `probity_engine_step` or `probity_engine_output`. The handle is still to be freed.
// `now` is in nanoseconds of the host's clock. Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK`; `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another
// call with the engine).
probity_result probity_engine_shutdown(struct probity_engine engine, uint64_t now);

// Tells the addresses of a name (`PROBITY_OUTPUT_RESOLVE`), at least one; ports are ignored.
// They are only looked at during the call.
//
// Of this and all functions that tell the engine something: what names a run
// that is over or a connection that is not open is ignored, and any number of
// them may be called before the outputs are looked at. `now` is the reading of
// the host's clock nearest to the event, in nanoseconds. Threads: any, one at a
// time for each engine.
//
// Results: `PROBITY_RESULT_OK` (also for a run that is over, and where names are the
// engine's); `PROBITY_RESULT_BAD_ARGUMENT` (`length` is 0, or a family is neither 4 nor 6);
// `PROBITY_RESULT_BAD_POINTER` (`addresses`); `PROBITY_RESULT_BAD_HANDLE`;
// `PROBITY_RESULT_IN_USE` (another call with the engine).
//
// # Safety
// `addresses` must point to `length` addresses.
probity_result probity_engine_resolved(struct probity_engine engine,
                                       uint64_t run,
                                       const struct probity_address *addresses,
                                       size_t length,
                                       uint64_t now);

// Tells that a name has no address. `reason` is the number of one of `dns_*`, or of what the
// host lacks: `no_descriptors`, `no_source_port`, `no_memory`, `local_denied`, `local_tls`.
// `now` is in nanoseconds of the host's clock. Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK` (also for a run that is over, and where names are the
// engine's); `PROBITY_RESULT_BAD_ARGUMENT` (`reason` is none of these);
// `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the engine).
probity_result probity_engine_unresolved(struct probity_engine engine,
                                         uint64_t run,
                                         uint32_t reason,
                                         uint64_t now);

// Tells that a connection (`PROBITY_OUTPUT_OPEN`) is established; for datagrams, that the
// socket exists. `now` is in nanoseconds of the host's clock. Threads: any, one at a time for
// each engine.
//
// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
// open); `PROBITY_RESULT_BAD_ARGUMENT` (`conn` is above 255); `PROBITY_RESULT_BAD_HANDLE`;
// `PROBITY_RESULT_IN_USE` (another call with the engine).
probity_result probity_engine_opened(struct probity_engine engine,
                                     uint64_t run,
                                     uint32_t conn,
                                     uint64_t now);

// Tells that a handshake (`PROBITY_OUTPUT_SECURE`) is complete and the certificate accepted.
// Only where the host does TLS. `info` is copied. `now` is in nanoseconds of the host's
// clock. Threads: any, one at a time for each engine.
//
// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
// open); `PROBITY_RESULT_BAD_ARGUMENT` (TLS is the library's, a version is not known, of
// which the engine's log says more, a text is not UTF-8, or `conn` is above 255);
// `PROBITY_RESULT_BAD_POINTER` (`info` or a text in it); `PROBITY_RESULT_BAD_SIZE` (of
// `info`); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the
// engine).
//
// # Safety
// `info` must point to as many bytes as its size says, its texts must have
// their lengths.
probity_result probity_engine_secured(struct probity_engine engine,
                                      uint64_t run,
                                      uint32_t conn,
                                      const struct probity_tls_info *info,
                                      uint64_t now);

// Tells that the system has taken all that was to be sent on a connection
// (`PROBITY_OUTPUT_FLUSH`). `now` is in nanoseconds of the host's clock. Threads: any, one at
// a time for each engine.
//
// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
// open); `PROBITY_RESULT_BAD_ARGUMENT` (`conn` is above 255); `PROBITY_RESULT_BAD_HANDLE`;
// `PROBITY_RESULT_IN_USE` (another call with the engine).
probity_result probity_engine_flushed(struct probity_engine engine,
                                      uint64_t run,
                                      uint32_t conn,
                                      uint64_t now);

// Tells what was received: bytes of a stream in pieces of any size, or one datagram. They are
// only looked at during the call. Where TLS is the library's they are the socket's, else
// plain text. `now` is in nanoseconds of the host's clock. Threads: any, one at a time for
// each engine.
//
// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
// open); `PROBITY_RESULT_BAD_ARGUMENT` (`conn` is above 255); `PROBITY_RESULT_BAD_POINTER`
// (`bytes`); `PROBITY_RESULT_BAD_HANDLE`; `PROBITY_RESULT_IN_USE` (another call with the
// engine).
//
// # Safety
// `bytes` must have their length.
probity_result probity_engine_data(struct probity_engine engine,
                                   uint64_t run,
                                   uint32_t conn,
                                   struct probity_bytes bytes,
                                   uint64_t now);

// Tells that a connection has ended or could not be made. The host has released what it held
// for it, and tells nothing of it afterwards. Where a send has failed, what has arrived is to
// be read and told first: a peer may answer, and close, before it has read all. When there is
// nothing more to be read the error is told, and not when the peer closes, which it may never
// do. Where TLS is the library's it sees for itself what the end of the stream means. What
// `closed` says is copied. `now` is in nanoseconds of the host's clock. Threads: any, one at
// a time for each engine.
//
// Results: `PROBITY_RESULT_OK` (also for a run that is over or a connection that is not
// open); `PROBITY_RESULT_BAD_ARGUMENT` (`why` is none of its values, or `reason` of those
// that go with it; `PROBITY_CLOSED_TLS` where TLS is the library's; a version is not known; a
// text is not UTF-8; `conn` is above 255; of an errno and a version the engine's log says
// more); `PROBITY_RESULT_UNSUPPORTED` (`PROBITY_CLOSED_ERRNO` in Wasm, and in builds without
// threads); `PROBITY_RESULT_BAD_POINTER` (`closed`, `closed.tls`, or a text in them);
// `PROBITY_RESULT_BAD_SIZE` (of `closed` or `closed.tls`); `PROBITY_RESULT_BAD_HANDLE`;
// `PROBITY_RESULT_IN_USE` (another call with the engine).
//
// # Safety
// `closed` must point to as many bytes as its size says, its texts must have
// their lengths.
probity_result probity_engine_closed(struct probity_engine engine,
                                     uint64_t run,
                                     uint32_t conn,
                                     const struct probity_closed *closed,
                                     uint64_t now);

#if defined(__wasm__)
// Gives `size` bytes of zeros in the module's memory, which are the host's until it gives
// them back by `probity_deallocate`. Only in the Wasm build. Threads: the module has one.
//
// Results: the address, a multiple of 16; NULL if there is no room, or for size 0.
uint8_t *probity_allocate(size_t size);
#endif

#if defined(__wasm__)
// Takes back what `probity_allocate` gave for that `size`. NULL is legal. Only in the Wasm
// build, where nobody can keep a host from harming itself. Threads: the module has one.
//
// Results: none. It cannot fail.
//
// # Safety
// `data` must be NULL or come from `probity_allocate(size)`, and not be given
// back yet.
void probity_deallocate(uint8_t *data, size_t size);
#endif

// Says in words what a result is. The text is constant and lives for ever. Threads: any.
//
// Results: the text; the empty one for a number that is no result.
struct probity_text probity_result_text(int32_t result);

// The ABI version of the library that was loaded, to be compared with
// `PROBITY_ABI_VERSION` of the header. Threads: any.
//
// Results: the number, 1 or more. It cannot fail.
uint32_t probity_abi_version(void);

// The version of the library in words, `0.1.0`. The text is constant and lives for ever.
// Threads: any.
//
// Results: the text. It cannot fail.
struct probity_text probity_version(void);

// The stable name of a reason (`probity_report.reason`), fit to be the label of a metric:
// `connect_refused`, `timeout_transfer`. The numbers of reasons may change with the version
// of the library, the names do not. core/engine/README.md lists them. The text is constant
// and lives for ever. Threads: any.
//
// Results: the name; the empty text for 0, which is no reason, and for numbers that are none.
struct probity_text probity_reason_name(uint32_t reason);

// The number of the reason that has this name. It is only looked at during the call. Threads:
// any.
//
// Results: the number, 1 or more; 0 if no reason has that name, or `name` cannot be read.
//
// # Safety
// `name` must point to as many bytes as it says.
uint32_t probity_reason_number(struct probity_text name);

// The name of a phase (`PROBITY_PHASE_...`): `resolve`, `connect`, `tls`, `processing`,
// `transfer`. The text is constant and lives for ever. Threads: any.
//
// Results: the name; the empty text for other numbers.
struct probity_text probity_phase_name(uint32_t phase);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PROBITY_H */
