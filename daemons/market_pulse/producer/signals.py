"""SIGTERM and SIGINT as a flag that also ends a wait."""

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Self


class StopFlag:
    """Set by the first SIGTERM or SIGINT while the block lasts; for the main thread."""

    def __init__(self) -> None:
        """Make a flag that is not set."""
        self.is_set = False

    def __enter__(self) -> Self:
        """Take the signals over."""
        # A byte in a socket ends a wait that begins just after the handler has run; an Event could deadlock with it.
        self._wake, self._woken = socket.socketpair()
        for end in (self._wake, self._woken):
            end.settimeout(0)
        self._previous_fd = signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._previous = {number: signal.signal(number, self._handle) for number in (signal.SIGTERM, signal.SIGINT)}
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

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`, or until a signal comes."""
        if not self.is_set:
            select.select([self._woken], [], [], max(0.0, seconds))

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.is_set = True
