"""Fixed CPU work with a result that proves it was done. A round is about 1 ms of CPU on the reference machine.

The reference machine is one 2.6 GHz server core running CPython 3.11. Work is fixed, time is not: a slower core takes
longer for the same result. `loop` holds the GIL; `hash` and `zlib` work on buffers so large that CPython releases it.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from functools import cache

LOOP_STEPS = 6_000
HASH_BYTES = 640 * 1024
ZLIB_BYTES = 32 * 1024


def _loop(seed: int) -> int:
    for _ in range(LOOP_STEPS):
        seed = (seed * 1_103_515_245 + 12_345) & 0x7FFF_FFFF
    return seed


def _hash(seed: int) -> int:
    # blake2b and not sha256: some processors have instructions for sha256 and would need a fraction of the time.
    digest = hashlib.blake2b(_buffer(HASH_BYTES), digest_size=4, salt=seed.to_bytes(4, "big"))
    return int.from_bytes(digest.digest(), "big") & 0x7FFF_FFFF


def _zlib(seed: int) -> int:
    packed = zlib.compress(_buffer(ZLIB_BYTES), 6)
    return zlib.crc32(packed, seed) & 0x7FFF_FFFF


@cache
def _buffer(size: int) -> bytes:
    """Text that compresses as prose does; the same in every process."""
    words = (b"%d waits %d " % (number * 2_654_435_761 % 9_973, number) for number in range(size // 8))
    return b"".join(words)[:size]


KINDS: dict[str, Callable[[int], int]] = {"loop": _loop, "hash": _hash, "zlib": _zlib}


def steps(rounds: int, kind: str) -> Iterator[int]:
    """Yield after each round; the last value is the result."""
    one, value = KINDS[kind], 1
    for _ in range(rounds):
        value = one(value)
        yield value


def burn(rounds: int, kind: str) -> int:
    """The result of `rounds` rounds: the same on every machine."""
    value = 1
    for value in steps(rounds, kind):  # noqa: B007
        pass
    return value
