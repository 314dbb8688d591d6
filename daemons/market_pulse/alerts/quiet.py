"""The time of the day in which an operator is woken for what is down alone."""

import re
from dataclasses import dataclass
from datetime import datetime, time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_WORDS = re.compile(r"(\d\d:\d\d)-(\d\d:\d\d) (\S+)")
EXAMPLE = "22:00-07:00 Europe/Berlin"


@dataclass(frozen=True)
class QuietHours:
    """From `start` until before `end`, by the clocks of `zone`; it may span midnight."""

    start: time
    end: time
    zone: ZoneInfo

    @classmethod
    def read(cls, text: str) -> "QuietHours":
        """Read a text such as ``22:00-07:00 Europe/Berlin``.

        Raises:
            ValueError: it is something else.
        """
        words = _WORDS.fullmatch(text)
        if not words:
            raise ValueError(f"{text!r} must look like {EXAMPLE}")
        try:
            return cls(time.fromisoformat(words[1]), time.fromisoformat(words[2]), ZoneInfo(words[3]))
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{text!r} has a time of the day or a time zone that does not exist") from None

    def holds(self, now: datetime) -> bool:
        """Tell whether it is quiet now."""
        local = now.astimezone(self.zone).time()
        if self.start <= self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end
