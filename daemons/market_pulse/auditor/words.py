"""How a bar is written in a sentence."""

from datetime import datetime


def bar(symbol: str, interval: str, moment: datetime) -> str:
    """Return a bar's symbol and start."""
    return f"{symbol} {bar_time(interval, moment)}"


def bar_time(interval: str, moment: datetime) -> str:
    """Return a bar's start: to the day, if it is of a day."""
    return f"{moment:%Y-%m-%d}" if interval == "daily" else f"{moment:%Y-%m-%d %H:%M}"
