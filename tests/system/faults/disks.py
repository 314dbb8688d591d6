"""Faults of a lab host's disks; what lasts is undone when its block ends, whatever happens in it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from system.faults.injections import stopped
from system.host import Host


def fail_a_sync(host: Host, pid: int, meanwhile: str) -> None:
    """Have the next write that a process waits for on the disk fail, and run a command that makes it wait for one."""
    host.run("command -v strace >/dev/null || apt-get install -q -y strace", timeout=300)
    calls = "fsync,fdatasync"
    host.run(
        f"timeout 60 strace --follow-forks --attach={pid} --trace={calls} --inject={calls}:error=EIO:when=1 "
        f"--output=/run/fault-strace & sleep 1; {meanwhile}; wait",
        check=False,
    )
    said = host.run("cat /run/fault-strace && rm /run/fault-strace")
    assert "EIO" in said, f"no write failed: {said[-500:]}"


@dataclass(frozen=True)
class SmallDisk:
    """A disk of its own under a unit's state."""

    host: Host
    path: str

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Take all the room there is left."""
        self.host.run(f"fallocate --length $(df --output=avail --block-size=1 {self.path} | tail -1) {self.path}/fill")
        try:
            yield
        finally:
            self.host.run(f"rm {self.path}/fill")

    @contextlib.contextmanager
    def read_only(self, unit: str) -> Iterator[None]:
        """Let nobody write; a unit that writes there is started anew, for Linux waits for the files it has open."""
        self.host.run(f"systemctl stop {unit} && mount -o remount,ro {self.path} && systemctl --no-block start {unit}")
        try:
            yield
        finally:
            self.host.run(f"mount -o remount,rw {self.path}")


@contextlib.contextmanager
def small_disk(host: Host, unit: str, path: str, megabytes: int) -> Iterator[SmallDisk]:
    """Give a unit's state a small disk while the block lasts; the unit is restarted before and after."""
    kept = "/run/market-pulse-fault-disk"
    host.run(f"mkdir {kept}")
    with stopped(host, unit):
        # Private, or what is mounted over the one would be mounted over the other.
        host.run(f"mount --bind {path} {kept} && mount --make-private {kept}")
        host.run(f"mount -t tmpfs -o size={megabytes}m tmpfs {path} && cp -a {kept}/. {path}/")
    try:
        yield SmallDisk(host, path)
    finally:
        with stopped(host, unit):
            host.run(f"find {kept} -mindepth 1 -delete && cp -a {path}/. {kept}/ && umount {path} && umount {kept}")
            host.run(f"rmdir {kept}")


@contextlib.contextmanager
def full_journal(host: Host) -> Iterator[None]:
    """Leave systemd's journal no room; what it has written before is kept aside."""
    path = "/var/log/journal"
    host.run(f"mkdir -p {path} && mount -t tmpfs -o size=4m tmpfs {path}")
    host.run(f"systemctl restart systemd-journald && (cat /dev/zero >{path}/fill 2>/dev/null || true)")
    try:
        yield
    finally:
        host.run(f"umount --lazy {path} && systemctl restart systemd-journald")
