//! What errors of the system mean to the engine.

use std::io;

use probity_engine::{Closed, Reason};
use rustix::io::Errno;

/// Translates an error of connecting, reading or writing, as the driver does it: for
/// agents whose sockets are their own.
///
/// What is this machine's fault becomes [`Closed::Local`] and is never billed to the
/// target. `EADDRNOTAVAIL` is what `connect` says when no source port is
/// free, and what `bind` says when the source address is not ours. An error that only a
/// defect of this program can have, such as `EBADF`, is of [`Reason::Internal`], and so is
/// one that [is no end](is_pending) of a connection.
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
        Errno::BADF | Errno::NOTSOCK | Errno::FAULT | Errno::ISCONN | Errno::NOTCONN => {
            Closed::Local(Reason::Internal)
        }
        _ if is_pending(error) => Closed::Local(Reason::Internal),
        _ => Closed::Other(error.to_string().into()),
    }
}

/// Whether an error says that nothing has ended: the socket is to be asked again, or
/// waited for (`EINPROGRESS`, `EALREADY`, `EAGAIN`, `EINTR`).
pub fn is_pending(error: &io::Error) -> bool {
    let pending = [Errno::INPROGRESS, Errno::ALREADY, Errno::AGAIN, Errno::INTR];
    Errno::from_io_error(error).is_some_and(|errno| pending.contains(&errno))
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
            (Errno::BADF, Reason::Internal),
            (Errno::NOTSOCK, Reason::Internal),
            (Errno::FAULT, Reason::Internal),
            (Errno::ISCONN, Reason::Internal),
            (Errno::NOTCONN, Reason::Internal),
        ] {
            assert_eq!(of(errno), Closed::Local(reason), "{errno}");
            assert!(!is_pending(&errno.into()), "{errno}");
        }
        for errno in [Errno::INPROGRESS, Errno::ALREADY, Errno::AGAIN, Errno::INTR] {
            assert_eq!(of(errno), Closed::Local(Reason::Internal), "{errno}");
            assert!(is_pending(&errno.into()), "{errno}");
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
