"""What a daemon did last, as a file in its runtime directory for `market-pulse status` and the supervisor."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from market_pulse.errors import StateError

NAME = "progress.json"
_READABLE_BY_ALL = 0o644


def write(path: Path, facts: Mapping[str, JsonValue]) -> None:
    """Replace the file at once: a reader sees the old facts or the new ones, never a part."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(facts), encoding="utf-8")
    fresh.chmod(_READABLE_BY_ALL)
    fresh.replace(path)


def read(path: Path) -> dict[str, JsonValue] | None:
    """Return the facts, or None if the daemon has not written any yet.

    Raises:
        StateError: the file holds something else.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StateError(f"{path} is not the JSON that a daemon writes: {error}") from error
    if not isinstance(facts, dict):
        raise StateError(f"{path} holds {type(facts).__name__}; a daemon writes a JSON object")
    return facts
