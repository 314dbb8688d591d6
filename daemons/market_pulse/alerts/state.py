"""What the alerts remember between two runs, as one JSON file."""

import logging
import os
from pathlib import Path

import msgspec

from market_pulse import log
from market_pulse.alerts.decision import State

NAME = "alerts.json"
_log = logging.getLogger(__name__)


class Memory:
    """The file on the disk, and, while that takes no writes, one in memory: a full disk is what is to be told of."""

    def __init__(self, disk: Path, until_boot: Path) -> None:
        """Remember in a folder, or as long as it cannot be written in one that is lost with the next boot."""
        self._disk = disk / NAME
        self._until_boot = until_boot / f"newer-{NAME}"

    def load(self) -> State:
        """Return what the last run knew; a file that cannot be read is said, and everything is told anew."""
        # It is there only where the last run could not write to the disk.
        path = self._until_boot if self._until_boot.exists() else self._disk
        try:
            return msgspec.json.decode(path.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except msgspec.MsgspecError as error:
            # To fall silent would be worse than to tell twice.
            log.event(_log, logging.WARNING, "state is not ours, begun anew", path=path, reason=error)
            return State()

    def save(self, state: State) -> bool:
        """Remember, and return whether it is on the disk.

        Raises:
            OSError: it cannot be written at all; what was told since the last time is then told again.
        """
        try:
            _replace(self._disk, state)
        except OSError as error:
            log.event(_log, logging.ERROR, "remembered until the next boot alone", path=self._disk, reason=error)
            _replace(self._until_boot, state)
            return False
        self._until_boot.unlink(missing_ok=True)
        return True


def _replace(path: Path, state: State) -> None:
    """Replace a file at once, so that a reader after any crash finds the old state or the new one."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
