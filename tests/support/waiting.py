"""Waiting for a condition with a deadline: the only way in which a test waits."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")

# Slow machines stretch every deadline by one factor.
PATIENCE = float(os.environ.get("MARKET_PULSE_PATIENCE", "1"))


def eventually(question: Callable[[], Answer], *, within: float, what: str, every: float = 0.5) -> Answer:
    """Return the first truthy answer to `question`.

    Args:
        question: asked again and again; an `AssertionError` counts as "not yet".
        within: the deadline in seconds, stretched by `PATIENCE`.
        what: what is awaited, for the failure message.
        every: seconds between two questions.

    Raises:
        AssertionError: the deadline passed; the message holds the last answer.
    """
    deadline = time.monotonic() + within * PATIENCE
    while True:
        try:
            last: object = question()
            if last:
                return last  # type: ignore[return-value]
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within * PATIENCE:.0f} s: {what}; last answer: {last!r}")
        time.sleep(every)
