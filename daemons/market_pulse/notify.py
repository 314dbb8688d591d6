"""What a daemon tells systemd: ready, alive, stopping, and a sentence about itself.

``READY`` goes out after the first real success, ``WATCHDOG`` only from the daemon's own loop and only on progress.
"""

import os
import time
from typing import Protocol

import sdnotify

_MICROSECONDS = 1_000_000
_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class Notifier(Protocol):
    """The messages of sd_notify(3) that this project sends."""

    @property
    def watchdog_seconds(self) -> float | None:
        """Return the unit's WatchdogSec, within which `watchdog` has to be called again, or None if it has none."""

    def ready(self, status: str) -> None:
        """Tell systemd that the unit serves, and what it is doing."""

    def watchdog(self) -> None:
        """Tell systemd that the unit made progress."""

    def status(self, text: str) -> None:
        """Set the sentence that ``systemctl status`` shows."""

    def reloading(self) -> None:
        """Tell systemd that the unit reads its configuration again; `ready` ends that."""

    def stopping(self) -> None:
        """Tell systemd that the unit is on its way out."""

    def extend_start(self, seconds: float) -> None:
        """Ask systemd to wait for READY at least this much longer, counted from now."""


class SystemdNotifier:
    """Speaks to the socket in ``NOTIFY_SOCKET``; an error while sending is raised, so that it cannot go unseen."""

    def __init__(self, watchdog_seconds: float | None) -> None:
        """Connect to the socket.

        Raises:
            OSError: nobody listens there.
        """
        self.watchdog_seconds = watchdog_seconds
        self._systemd = sdnotify.SystemdNotifier(debug=True)

    def ready(self, status: str) -> None:
        """Send READY=1 with the first STATUS."""
        self._send(f"READY=1\nSTATUS={_sentence(status)}")

    def watchdog(self) -> None:
        """Send WATCHDOG=1."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Send STATUS."""
        self._send(f"STATUS={_sentence(text)}")

    def reloading(self) -> None:
        """Send RELOADING=1 with the instant that systemd orders it by."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Send STOPPING=1."""
        self._send("STOPPING=1")

    def extend_start(self, seconds: float) -> None:
        """Send EXTEND_TIMEOUT_USEC."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * _MICROSECONDS)}")

    def close(self) -> None:
        """Close the socket."""
        self._systemd.socket.close()

    def _send(self, message: str) -> None:
        self._systemd.notify(message)


class NullNotifier:
    """Stands in where no service manager listens, so that callers never ask."""

    watchdog_seconds: float | None = None

    def ready(self, status: str) -> None:
        """Say nothing."""

    def watchdog(self) -> None:
        """Say nothing."""

    def status(self, text: str) -> None:
        """Say nothing."""

    def reloading(self) -> None:
        """Say nothing."""

    def stopping(self) -> None:
        """Say nothing."""

    def extend_start(self, seconds: float) -> None:
        """Say nothing."""


def from_environment() -> Notifier:
    """Return the notifier for this process, and take its variables out of the environment: children are not the unit.

    Raises:
        OSError: ``NOTIFY_SOCKET`` names a socket where nobody listens.
    """
    interval = os.environ.get("WATCHDOG_USEC")
    listening = "NOTIFY_SOCKET" in os.environ
    try:
        return SystemdNotifier(int(interval) / _MICROSECONDS if interval else None) if listening else NullNotifier()
    finally:
        for name in _VARIABLES:
            os.environ.pop(name, None)


def _sentence(text: str) -> str:
    """Return one line of ASCII: sdnotify sends latin-1, systemd drops a status that is not UTF-8."""
    return " ".join(text.split()).encode("ascii", "replace").decode("ascii")
