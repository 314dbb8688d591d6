"""What a host must have for the pipeline to go on, and what is said before it lacks it. Pure; nothing here looks."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from market_pulse.cli.finding import Finding, Level

# As shares of a file system, of its bytes and of its inodes alike.
_FULL_SOON = 0.70
_FULL = 0.85
# The kernel kills what is largest when nothing is left, and that is a part of the pipeline.
_LEAST_MEMORY_BYTES = 256 * 1024**2
_MOST_CLOCK_STEP_SECONDS = 5.0
_CERTIFICATE_SOON = timedelta(days=30)
_GIBIBYTE = 1024**3


@dataclass(frozen=True)
class FileSystem:
    """One file system, by a directory on it; what is available is what a service may still take.

    `used_inodes` and `available_inodes` are 0 where a file system counts none.
    """

    path: str
    used_bytes: int
    available_bytes: int
    used_inodes: int
    available_inodes: int

    @property
    def bytes_share(self) -> float:
        """Return the used share, 0 to 1, as df computes it."""
        return _share(self.used_bytes, self.available_bytes)

    @property
    def inodes_share(self) -> float:
        """Return the used share of the inodes, 0 to 1."""
        return _share(self.used_inodes, self.available_inodes)


@dataclass(frozen=True)
class Certificate:
    """A certificate that a part of this host shows to others, or trusts."""

    path: str
    ends_at: datetime


@dataclass(frozen=True)
class Host:
    """What was seen of this host.

    `clock_synchronised` is None in a container, whose clock is that of the host around it. `clock_step_seconds` is how
    far the clock was set since the producer started, and None where none has.
    """

    file_systems: tuple[FileSystem, ...]
    memory_available_bytes: int
    clock_synchronised: bool | None
    clock_step_seconds: float | None
    certificates: tuple[Certificate, ...]


def findings(host: Host, now: datetime) -> Iterator[Finding]:
    """Say what this host lacks, or soon will."""
    for file_system in host.file_systems:
        yield from _room(file_system)
    if host.memory_available_bytes < _LEAST_MEMORY_BYTES:
        mebibytes = host.memory_available_bytes // 1024**2
        yield _finding(Level.ATTENTION, f"only {mebibytes} MiB of memory are available", "memory")
    if host.clock_synchronised is False:
        yield _finding(Level.ATTENTION, "the clock is not synchronised with any other: see timedatectl", "clock")
    if host.clock_step_seconds is not None and abs(host.clock_step_seconds) > _MOST_CLOCK_STEP_SECONDS:
        yield _finding(
            Level.ATTENTION,
            f"the clock was set by {host.clock_step_seconds:+.0f} s since the producer started; once it is right: "
            "systemctl restart market-pulse-producer",
            "clock step",
        )
    for certificate in host.certificates:
        yield from _validity(certificate, now)


def _room(file_system: FileSystem) -> Iterator[Finding]:
    gibibytes = f"{file_system.available_bytes / _GIBIBYTE:.1f} GiB"
    for key, what, share, left in (
        ("disk", "the disk", file_system.bytes_share, gibibytes),
        ("inodes", "the inodes", file_system.inodes_share, str(file_system.available_inodes)),
    ):
        if share >= _FULL_SOON:
            level = Level.DOWN if share >= _FULL else Level.ATTENTION
            sentence = f"{share:.0%} of {what} under {file_system.path} is used, {left} are left"
            yield _finding(level, sentence, f"{key} {file_system.path}")


def _validity(certificate: Certificate, now: datetime) -> Iterator[Finding]:
    left = certificate.ends_at - now
    if left > _CERTIFICATE_SOON:
        return
    level, verb = (Level.DOWN, "ended") if left <= timedelta(0) else (Level.ATTENTION, "ends")
    yield _finding(
        level,
        f"{certificate.path} {verb} on {certificate.ends_at:%Y-%m-%d}; on the control machine: "
        "ansible-playbook -i inventories/NAME secrets.yml site.yml",
        f"certificate {certificate.path}",
    )


def _finding(level: Level, sentence: str, key: str) -> Finding:
    return Finding(level, sentence, key, of_host=True)


def _share(used: int, available: int) -> float:
    return used / (used + available) if used + available else 0.0
