"""What is wrong, and how badly: what `market-pulse status` finds and the alerts tell."""

import enum
from dataclasses import dataclass


class Level(enum.IntEnum):
    """How well the pipeline is; the value is the exit code."""

    WELL = 0
    ATTENTION = 1
    DOWN = 2


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    `key` names the thing, and stays while figures in the sentence change; what is `of_host` other hosts cannot tell.
    """

    level: Level
    sentence: str
    key: str
    of_host: bool = False
