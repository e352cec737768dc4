"""The certificate of upstream's TLS port, made once by an authority of the lab's own that signs nothing else."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from waitlab.runtime.local import state

SERVER = "upstream.pem"  # key and certificate, for upstream alone
AUTHORITY = "upstream-ca.pem"  # what `fetch` trusts on that port
LIFETIME = timedelta(days=365)


def ensure(folder: Path) -> None:
    """Make both files in `folder` unless they are there and will hold for another day."""
    if (folder / SERVER).exists() and (folder / AUTHORITY).exists() and _age(folder / SERVER) < LIFETIME - timedelta(1):
        return
    import trustme  # noqa: PLC0415  cryptography costs 0.2 s, and is needed once a year

    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost", "upstream", not_after=datetime.now(UTC) + LIFETIME)
    state.replace(folder / AUTHORITY, authority.cert_pem.bytes().decode(), 0o644)
    state.replace(folder / SERVER, issued.private_key_and_cert_chain_pem.bytes().decode())


def _age(file: Path) -> timedelta:
    return datetime.now(UTC) - datetime.fromtimestamp(file.stat().st_mtime, UTC)
