"""Another computer on the lab's network: a network namespace with an address of its own and this machine's programs."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_AS_ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]
# Connects to every port there is, a thousand at a time; what is refused answers at once.
_SCAN = """
import asyncio, json, sys

async def is_open(port, places):
    async with places:
        try:
            _, writer = await asyncio.wait_for(asyncio.open_connection(sys.argv[1], port), 5)
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

async def main():
    places, ports = asyncio.Semaphore(1000), range(1, 65536)
    found = await asyncio.gather(*(is_open(port, places) for port in ports))
    print(json.dumps([port for port, is_one in zip(ports, found) if is_one]))

asyncio.run(main())
"""


@dataclass(frozen=True)
class Neighbour:
    """One computer, by the name of its network namespace."""

    name: str

    def run(self, *command: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a program there, with a few variables more; whether it succeeds is the caller's to judge."""
        variables = [f"{name}={value}" for name, value in environment.items()]
        return subprocess.run(
            [*_AS_ROOT, "ip", "netns", "exec", self.name, "env", *variables, *command],
            capture_output=True,
            text=True,
            input=stdin if stdin is not None else "",
            timeout=300,
            check=False,
        )

    def open_ports(self, address: str) -> set[int]:
        """Return every TCP port of a host that lets this computer in."""
        done = self.run(sys.executable, "-", address, stdin=_SCAN)
        assert done.returncode == 0, done.stderr
        return set(json.loads(done.stdout))


@contextlib.contextmanager
def neighbour(name: str, address: str, bridge: str) -> Iterator[Neighbour]:
    """Put a computer with this address, such as ``10.77.2.40/24``, on a bridge until the block ends."""
    # The kernel takes 15 characters.
    near = f"{name}-x"[:15]
    _ip("netns", "add", name)
    try:
        _ip("link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", near, "master", bridge, "up")
        for words in (["address", "add", address, "dev", "eth0"], ["link", "set", "eth0", "up"]):
            _ip("-netns", name, *words)
        yield Neighbour(name)
    finally:
        _ip("netns", "delete", name)


def _ip(*words: str) -> None:
    done = subprocess.run([*_AS_ROOT, "ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
