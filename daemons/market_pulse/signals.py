"""SIGTERM, SIGINT and, where a daemon can reload, SIGHUP as flags that also end a wait."""

import contextlib
import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Self

_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """What the process was told while the block lasts; for the main thread."""

    def __init__(self, *, can_reload: bool = False) -> None:
        """Begin with nothing told; SIGHUP is taken over only where somebody asks for it by `take_reload`."""
        self.stopping = False
        self._can_reload = can_reload
        self._reload = False

    def __enter__(self) -> Self:
        """Take the signals over."""
        # A byte in a socket ends a wait that begins just after the handler has run; an Event could deadlock with it.
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.settimeout(0)
        self._previous_fd = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._stop) for number in _STOPPING}
        if self._can_reload:
            self._previous[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._read_again)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._wake.close()
        self._woken.close()

    def take_reload(self) -> bool:
        """Return whether SIGHUP has come since the last time."""
        asked, self._reload = self._reload, False
        return asked

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`, or until a signal comes."""
        if not self.stopping and not self._reload:
            select.select([self._woken], [], [], max(0.0, seconds))
        # A signal whose byte goes here has set its flag before, and that is looked at after every wait.
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def _read_again(self, _number: int, _frame: FrameType | None) -> None:
        self._reload = True
