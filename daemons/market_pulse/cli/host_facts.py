"""Looks at this host: its file systems, memory, clock and certificates."""

import os
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from market_pulse.cli.host import Certificate, FileSystem, Host

# Where the pipeline writes; each part's state may have a file system of its own.
_WRITTEN = (
    "var/lib/market-pulse",
    "var/lib/market-pulse/*",
    "var/lib/pgbackrest",
    "var/lib/postgresql",
    "var/lib/postgresql/*/*",
    "var/log",
)
_CERTIFICATES = ("etc/market-pulse/**/*.crt", "etc/postgresql/*/*/server.crt")
_MEMORY = Path("/proc/meminfo")
_DEADLINE_SECONDS = 5
_MICROSECONDS = 1_000_000


def look() -> Host:
    """Return what this host has.

    Raises:
        OSError: a file cannot be read, or a program is not there.
        subprocess.SubprocessError: a program does not answer as it should.
        ValueError: what was read is not understood.
    """
    return Host(
        file_systems=tuple(file_systems(_found(_WRITTEN))),
        memory_available_bytes=memory_available(_MEMORY.read_text(encoding="ascii")),
        clock_synchronised=_clock_synchronised(),
        clock_step_seconds=_clock_step_seconds(),
        certificates=tuple(certificate(path) for path in _found(_CERTIFICATES)),
    )


def file_systems(paths: Iterable[Path]) -> Iterator[FileSystem]:
    """Yield each file system once, by the first of the paths that is on it."""
    seen = set()
    for path in paths:
        if (device := path.stat().st_dev) not in seen:
            seen.add(device)
            figures = os.statvfs(path)
            yield FileSystem(
                path=str(path),
                used_bytes=(figures.f_blocks - figures.f_bfree) * figures.f_frsize,
                available_bytes=figures.f_bavail * figures.f_frsize,
                used_inodes=figures.f_files - figures.f_ffree,
                available_inodes=figures.f_favail,
            )


def memory_available(meminfo: str) -> int:
    """Return how many bytes may be taken without swapping, as ``/proc/meminfo`` estimates it."""
    (line,) = [line for line in meminfo.splitlines() if line.startswith("MemAvailable:")]
    return int(line.split()[1]) * 1024


def certificate(path: Path) -> Certificate:
    """Read a certificate's end."""
    return Certificate(str(path), x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc)


def clock_step_seconds(shown: str, wall: float, monotonic: float) -> float | None:
    """Return by how much the wall clock has left the one that nobody sets since a unit started; None if it has not.

    `shown` is what systemd prints of the start by both clocks; `wall` and `monotonic` are the same two, now.
    """
    properties = dict(line.split("=", 1) for line in shown.splitlines())
    started_at = properties["ExecMainStartTimestamp"]
    if not started_at:
        return None
    started = datetime.strptime(started_at, "%a %Y-%m-%d %H:%M:%S.%f UTC").replace(tzinfo=UTC).timestamp()
    passed = monotonic - int(properties["ExecMainStartTimestampMonotonic"]) / _MICROSECONDS
    return wall - started - passed


def _clock_step_seconds() -> float | None:
    names = "ExecMainStartTimestamp,ExecMainStartTimestampMonotonic"
    shown = _printed(
        ["systemctl", "show", "--timestamp=us+utc", f"--property={names}", "market-pulse-producer.service"]
    )
    return clock_step_seconds(shown, time.time(), time.monotonic())


def _clock_synchronised() -> bool | None:
    # Its exit code is 1 where there is no container.
    around = subprocess.run(
        ["systemd-detect-virt", "--container", "--quiet"],  # noqa: S607 - found as an operator finds it
        timeout=_DEADLINE_SECONDS,
        check=False,
    )
    if around.returncode == 0:
        return None
    return _printed(["timedatectl", "show", "--property=NTPSynchronized", "--value"]).strip() == "yes"


def _printed(command: Sequence[str]) -> str:
    return subprocess.run(  # noqa: S603 - constants only
        command, check=True, capture_output=True, text=True, timeout=_DEADLINE_SECONDS
    ).stdout


def _found(patterns: Iterable[str]) -> list[Path]:
    return [path for pattern in patterns for path in sorted(Path("/").glob(pattern))]
