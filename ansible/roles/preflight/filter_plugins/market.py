"""What is wrong with which bars an inventory asks for, and where they come from; sentences as in preflight.py."""

import difflib
import posixpath
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[4] / "daemons"))

from market_pulse.contract import SYMBOL, Interval
from market_pulse.sources.base import LABELLED_BY_START_SINCE

SOURCES = ("simulator", "alphavantage", "replay")
PLANS = ("free", "delayed", "premium")
# Of the producer's host; its sandbox hides them from it.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - nothing is written there

Variables = Mapping[str, Any]


def market_problems(variables: Variables, exchange: str) -> list[str]:
    """Return what is wrong with symbols, source, clock and exchange.

    Args:
        variables: the values of the variables that have a value without a vault; None for those without any.
        exchange: the project's own, which needs no looking up.
    """
    return [
        *symbol_problems(variables["market_pulse_symbols"]),
        *choice_problems(variables),
        *clock_problems(variables),
        *exchange_problems(variables["market_pulse_exchange"], exchange),
        *replay_problems(variables),
    ]


def symbol_problems(symbols: object) -> Iterator[str]:
    """Yield what keeps `market_pulse_symbols` from being a list of different tickers."""
    name, example = "market_pulse_symbols", "a list of tickers such as [AAPL, IBM]"
    if symbols is None:
        yield f"{name} is missing: the inventory must give {example}"
    elif not isinstance(symbols, list):
        yield f"{name} is {symbols!r}: it must be {example}, even for a single one"
    elif not symbols:
        yield f"{name} is empty: it must be {example}"
    else:
        for position, symbol in enumerate(symbols, 1):
            if not isinstance(symbol, str):
                yield (
                    f"{name}, item {position}, is {symbol!r} and not text: YAML reads ON, YES, NO, TRUE and numbers as "
                    'values of its own, so quote it, as in "ON"'
                )
            elif not SYMBOL.fullmatch(symbol):
                yield f"{name}, item {position}, is {symbol!r}: a ticker matches {SYMBOL.pattern}"
        for symbol, times in Counter(map(str, symbols)).items():
            if times > 1:
                yield f"{name} has {symbol} {times} times: name each ticker once"


def choice_problems(variables: Variables) -> Iterator[str]:
    """Yield values outside a closed set, and pairs of values that exclude each other."""
    intervals = [interval.value for interval in Interval]
    for name, known in (
        ("market_pulse_source", SOURCES),
        ("market_pulse_vendor_plan", PLANS),
        ("market_pulse_interval", intervals),
    ):
        if variables[name] not in known:
            yield f"{name} is {variables[name]!r}: it must be one of {', '.join(known)}"
    interval = variables["market_pulse_interval"]
    if variables["market_pulse_vendor_plan"] == "free" and interval in intervals and interval != Interval.DAILY:
        yield (
            f"market_pulse_interval is {interval!r}, and the free plan serves daily bars alone: make it daily, or "
            "market_pulse_vendor_plan premium"
        )


def clock_problems(variables: Variables) -> Iterator[str]:
    """Yield what is wrong with the market's clock."""
    speed, source = variables["market_pulse_clock_speed"], variables["market_pulse_source"]
    if isinstance(speed, bool) or not isinstance(speed, int | float) or speed <= 0:
        yield f"market_pulse_clock_speed is {speed!r}: it must be a number above 0; 1 is real time"
    elif speed != 1 and source != "simulator":
        yield f"market_pulse_clock_speed is {speed}: it must be 1 with market_pulse_source {source}, a real market"
    start = variables["market_pulse_clock_market_start"]
    try:
        instant = datetime.fromisoformat(str(start))
    except ValueError:
        instant = datetime.min  # noqa: DTZ901 - stands for no instant, as any time without an offset does
    if instant.tzinfo is None:
        yield f"market_pulse_clock_market_start is {start!r}: it must be an instant such as 2026-01-05T14:30:00Z"
    elif instant < LABELLED_BY_START_SINCE:
        first = f"{LABELLED_BY_START_SINCE:%Y-%m-%d}"
        yield f"market_pulse_clock_market_start is {start!r}: it must be {first} or later, the simulator's first year"


def exchange_problems(exchange: object, default: str) -> Iterator[str]:
    """Yield an exchange whose calendar nobody has."""
    if exchange == default:
        return
    # It brings pandas, a second that only those pay who take another exchange.
    import exchange_calendars  # noqa: PLC0415

    known = exchange_calendars.get_calendar_names()
    if exchange not in known:
        meant = difflib.get_close_matches(str(exchange), known, n=1)
        yield (
            f"market_pulse_exchange is {exchange!r}: it must be a code such as {default}"
            + (f", did you mean {meant[0]}?" if meant else "")
        )


def replay_problems(variables: Variables) -> Iterator[str]:
    """Yield a folder of recorded answers that the producer could not read."""
    folder = variables["producer_replay_folder"]
    if variables["market_pulse_source"] != "replay":
        return
    if not isinstance(folder, str) or not folder.startswith("/"):
        yield (
            f"producer_replay_folder is {folder!r}: with market_pulse_source replay it must be the absolute path of a "
            "folder on the producer's host"
        )
    elif any(f"{posixpath.normpath(folder)}/".startswith(f"{hidden}/") for hidden in HIDDEN):
        yield (
            f"producer_replay_folder is {folder!r}: the producer's sandbox hides {', '.join(HIDDEN)}; take a folder "
            "elsewhere, such as /srv/market-pulse/replay"
        )


class FilterModule:
    """Ansible's way to find a filter."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """Return the filters by name."""
        return {"preflight_market_problems": market_problems}
