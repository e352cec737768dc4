"""POSIX locks: the kernel lets go of one however its owner ends, and shows the owner to whoever asks."""

import fcntl
import os
import struct

_FLOCK = "hhqqi4x"  # struct flock of 64-bit Linux: type, whence, start, length, pid


def owner(file: int, start: int = 0, length: int = 0) -> int | None:
    """The process that holds a lock on these bytes (length 0: on all that follow), None when no other process does.

    Asking does not take the lock. The kernel does not report a process's own locks to itself.
    """
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else int(pid)
