"""Hosts in network namespaces of this machine: each with an address, a cable that can be bad, and a firewall."""

import contextlib
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

__all__ = ["Host", "Network", "NetworkForbidden"]

_LINK = Path(__file__).with_name("link.py")


class NetworkForbidden(Exception):
    """Why there can be no namespaces here."""


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkForbidden(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
    return done.stdout


class Host:
    """One namespace; programs in it are started with `command`."""

    def __init__(self, name: str, address: str, folder: Path) -> None:
        self.name, self.address = name, address
        self._control = folder / f"{name}.link"
        self.clear()

    @property
    def control(self) -> Path:
        """The file that says how bad the cable is."""
        return self._control

    def command(self, *words: str) -> list[str]:
        """A command line that runs in this host's network."""
        return ["nsenter", f"--net=/var/run/netns/{self.name}", "--", *words]

    def make_bad(self, *, delay: float, loss: float) -> None:
        """What the host sends takes so many seconds more; this share of all its frames is lost."""
        part = self._control.with_suffix(".part")
        part.write_text(f"{delay} {loss}")
        part.replace(self._control)

    def cut(self, *chains: str) -> None:
        """Drop all that comes (INPUT) or goes (OUTPUT)."""
        for chain in chains:
            run(
                *self.command(
                    "iptables", "-A", chain, "-i" if chain == "INPUT" else "-o", "eth0", "-j", "DROP"
                )
            )

    def heal(self) -> None:
        """Cable and firewall are as at first."""
        run(*self.command("iptables", "-F"))
        self.clear()

    def clear(self) -> None:
        self.make_bad(delay=0.0, loss=0.0)


class Network:
    """Makes the namespaces and a bridge between them, and removes them; use it with `with`.

    Args:
        folder: for small files.
        count: how many hosts.

    Raises:
        NetworkForbidden: the kernel, or who runs this, may not.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._mark = secrets.token_hex(2)
        self._bridge = f"h9b{self._mark}"
        net = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"
        self.address = f"{net}.1"
        self.hosts = [Host(f"h9{self._mark}{n}", f"{net}.{11 + n}", folder) for n in range(count)]
        self._links: list[subprocess.Popen[Any]] = []

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise NetworkForbidden("only root makes network namespaces")
        if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
            raise NetworkForbidden("/dev/net/tun is not there")
        try:
            self._make()
        except (OSError, NetworkForbidden) as error:
            self.close()
            raise NetworkForbidden(str(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self) -> None:
        run("ip", "link", "add", self._bridge, "type", "bridge")
        run("ip", "addr", "add", f"{self.address}/24", "dev", self._bridge)
        run("ip", "link", "set", self._bridge, "up")
        for number, host in enumerate(self.hosts):
            run("ip", "netns", "add", host.name)
            near, far = f"h9n{self._mark}{number}", f"h9f{self._mark}{number}"
            link = subprocess.Popen(
                [sys.executable, str(_LINK), near, far, host.name, str(host.control)],
                stdout=subprocess.PIPE,
                text=True,
            )
            self._links.append(link)
            if link.stdout is None or link.stdout.readline() != "up\n":
                raise NetworkForbidden("no TAP device can be made")
            run("ip", "link", "set", near, "master", self._bridge, "up")
            run(*host.command("ip", "link", "set", "lo", "up"))
            run(*host.command("ip", "addr", "add", f"{host.address}/24", "dev", "eth0"))
            run(*host.command("ip", "link", "set", "eth0", "up"))

    def close(self) -> None:
        """Remove everything; what was never made is no matter."""
        for link in self._links:
            link.kill()
            link.wait()
            if link.stdout is not None:
                link.stdout.close()
        self._links.clear()
        for host in self.hosts:
            with contextlib.suppress(NetworkForbidden):
                run("ip", "netns", "del", host.name)
        with contextlib.suppress(NetworkForbidden):
            run("ip", "link", "del", self._bridge)
