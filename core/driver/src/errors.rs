//! What errors of the system mean to the engine.

use std::io;

use probity_engine::{Closed, Reason};
use rustix::io::Errno;

/// Translates an error of connecting, reading or writing, as the driver does it: for
/// agents whose sockets are their own.
///
/// What is this machine's fault becomes [`Closed::Local`] and is never billed to the
/// target. `EADDRNOTAVAIL` is what `connect` says when no source port is
/// free, and what `bind` says when the source address is not ours.
pub fn closed(error: &io::Error) -> Closed {
    let Some(errno) = Errno::from_io_error(error) else {
        return Closed::Other(error.to_string().into());
    };
    match errno {
        Errno::CONNREFUSED => Closed::Refused,
        // EAFNOSUPPORT: this machine has no IPv6 at all.
        Errno::NETUNREACH
        | Errno::HOSTUNREACH
        | Errno::NETDOWN
        | Errno::HOSTDOWN
        | Errno::AFNOSUPPORT => Closed::Unreachable,
        Errno::TIMEDOUT => Closed::TimedOut,
        Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => Closed::Reset,
        Errno::MFILE | Errno::NFILE => Closed::Local(Reason::NoDescriptors),
        Errno::ADDRNOTAVAIL | Errno::ADDRINUSE => Closed::Local(Reason::NoSourcePort),
        // ENOSPC: the limit of watched descriptors (epoll_ctl).
        Errno::NOBUFS | Errno::NOMEM | Errno::NOSPC => Closed::Local(Reason::NoMemory),
        Errno::PERM | Errno::ACCESS => Closed::Local(Reason::LocalDenied),
        _ => Closed::Other(error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: Errno) -> Closed {
        closed(&errno.into())
    }

    #[test]
    fn errors_are_billed_to_whom_they_belong() {
        assert_eq!(of(Errno::CONNREFUSED), Closed::Refused);
        assert_eq!(of(Errno::HOSTUNREACH), Closed::Unreachable);
        assert_eq!(of(Errno::AFNOSUPPORT), Closed::Unreachable);
        assert_eq!(of(Errno::TIMEDOUT), Closed::TimedOut);
        assert_eq!(of(Errno::PIPE), Closed::Reset);
        for (errno, reason) in [
            (Errno::MFILE, Reason::NoDescriptors),
            (Errno::NFILE, Reason::NoDescriptors),
            (Errno::ADDRNOTAVAIL, Reason::NoSourcePort),
            (Errno::ADDRINUSE, Reason::NoSourcePort),
            (Errno::NOBUFS, Reason::NoMemory),
            (Errno::PERM, Reason::LocalDenied),
        ] {
            assert_eq!(of(errno), Closed::Local(reason), "{errno}");
        }
    }

    #[test]
    fn other_errors_keep_their_words() {
        let Closed::Other(words) = of(Errno::INVAL) else {
            panic!("EINVAL says nothing about either side");
        };
        assert!(words.contains("Invalid argument"), "{words}");
        let custom = io::Error::other("strange");
        assert_eq!(closed(&custom), Closed::Other("strange".into()));
    }
}
