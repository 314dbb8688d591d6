"""What is said of a unit, and the words of the sentence."""

from typing import NamedTuple

_SECONDS_ARE_TOLD_BELOW = 120
_MINUTES_ARE_TOLD_BELOW = 2 * 3600


class Verdict(NamedTuple):
    """Whether the unit makes progress, and the sentence that ``systemctl status`` shows."""

    healthy: bool
    sentence: str


def well(sentence: str) -> Verdict:
    """Return the verdict of a unit that a restart would not mend."""
    return Verdict(healthy=True, sentence=sentence)


def ill(sentence: str) -> Verdict:
    """Return the verdict of a unit that a restart may mend."""
    return Verdict(healthy=False, sentence=sentence)


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 bar`` or ``2 bars``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def span(seconds: float) -> str:
    """Return a span in the unit in which it is told."""
    if seconds < _SECONDS_ARE_TOLD_BELOW:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < _MINUTES_ARE_TOLD_BELOW else f"{seconds / 3600:.0f} h"
