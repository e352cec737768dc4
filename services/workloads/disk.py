"""The file that `read` reads: real, private to the process, and without a name, so that nothing can leave it behind.

It grows to what is asked for. It lies in /var/tmp where that can be written, since /tmp is often memory, where a cold
read would not be one. Every eight bytes hold their own index, so the last word read proves how far a read went.
"""

import os
import sys
import tempfile
import threading
from array import array

from services.workloads import seek
from services.workloads.lazy import Lazy

CHUNK_BYTES = 256 * 1024  # what one request holds in memory, however much it reads
WORD_BYTES = 8


class _File:
    def __init__(self) -> None:
        place = "/var/tmp" if os.access("/var/tmp", os.W_OK) else None
        self._file = tempfile.TemporaryFile(dir=place, buffering=0)  # noqa: SIM115 - open as long as the process
        self._growing = threading.Lock()
        self.number = self._file.fileno()
        self.size = 0

    def grow(self, size: int) -> None:
        with self._growing:
            while self.size < size:
                first = self.size // WORD_BYTES
                os.pwrite(self.number, array("Q", range(first, first + CHUNK_BYTES // WORD_BYTES)), self.size)
                self.size += CHUNK_BYTES
            os.fdatasync(self.number)  # only clean pages can be dropped from the page cache

    def close(self) -> None:
        self._file.close()


_file = Lazy(_File, close=_File.close)


def read(kb: int, cold: bool, ms: int = 0) -> dict[str, int]:
    """Read the first `kb` KiB, from the disk itself when `cold`, after `ms` of a slow one; the index of the last word,
    -1 for nothing.
    """
    if ms:
        seek.seek(ms)
    file, wanted = _file.get(), kb * 1024
    if file.size < wanted:
        file.grow(wanted)
    if cold:
        os.posix_fadvise(file.number, 0, file.size, os.POSIX_FADV_DONTNEED)
    chunk, length = bytearray(min(CHUNK_BYTES, wanted)), 0
    for at in range(0, wanted, CHUNK_BYTES):
        length = min(CHUNK_BYTES, wanted - at)
        if os.preadv(file.number, [memoryview(chunk)[:length]], at) != length:
            raise OSError(f"the file that read reads ends before byte {at + length}")
    last_word = int.from_bytes(chunk[length - WORD_BYTES : length], sys.byteorder) if wanted else -1
    return {"kb": kb, "ms": ms, "last_word": last_word}
