"""What the alerts remember between two runs, as one JSON file."""

import logging
import os
from pathlib import Path

import msgspec

from market_pulse import log
from market_pulse.alerts.decision import State

NAME = "alerts.json"
_log = logging.getLogger(__name__)


def load(path: Path) -> State:
    """Return what the last run knew; a file that cannot be read is said, and everything is told anew."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return State()
    except msgspec.MsgspecError as error:
        # To fall silent would be worse than to tell twice.
        log.event(_log, logging.WARNING, "state is not ours, begun anew", path=path, reason=error)
        return State()


def save(path: Path, state: State) -> None:
    """Replace the file at once, so that a reader after any crash finds the old state or the new one.

    Raises:
        OSError: it cannot be written; what was told since the last time is then told again.
    """
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
