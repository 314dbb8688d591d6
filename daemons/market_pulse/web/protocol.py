"""The live channel's messages. Pure.

A reader sends `Subscribe` and `Unsubscribe`. He is sent a `Snapshot`, after which his chart is as it was just now, or,
if what he has missed is still in the ring, `Resumed`; then each bar as a `Live`. Whoever comes back gives the stream
and the sequence that he was told last, and has no hole, whether the daemon was restarted meanwhile or not.
"""

from collections.abc import Iterable

import msgspec

from market_pulse import contract
from market_pulse.contract import Interval
from market_pulse.web.bars import Series, ShownBar
from market_pulse.web.ring import Entry

MOST_FRAME_BYTES = 16 * 1024
MOST_SUBSCRIPTIONS = 64
MOST_BARS = 2000
# Of one connection, before it is closed: a program that goes on and on is not one that was mistyped.
MOST_BAD_FRAMES = 20


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", tag_field="type"):
    """Send me a series: its newest bars, or what came after a sequence of a stream, and then what comes."""

    symbol: str
    interval: str
    bars: int = 500
    stream: str | None = None
    after: int | None = None

    @property
    def series(self) -> Series:
        """What it is about."""
        return Series(self.symbol, self.interval)


class Unsubscribe(msgspec.Struct, frozen=True, tag="unsubscribe", tag_field="type"):
    """Send me no more of a series."""

    symbol: str
    interval: str

    @property
    def series(self) -> Series:
        """What it is about."""
        return Series(self.symbol, self.interval)


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="type"):
    """Are you there? A browser is not told of the connection's own pings."""


class Pong(msgspec.Struct, frozen=True, tag="pong", tag_field="type"):
    """Yes."""


class Snapshot(msgspec.Struct, frozen=True, tag="snapshot", tag_field="type"):
    """The newest bars of a series, oldest first; everything up to `sequence` is in them.

    `complete` is False while the database is so far behind that bars may be missing: then ask again in some seconds.
    """

    symbol: str
    interval: str
    stream: str
    sequence: int
    complete: bool
    bars: list[ShownBar]


class Resumed(msgspec.Struct, frozen=True, tag="resumed", tag_field="type"):
    """What came of a series since the sequence that the reader gave, oldest first, revisions included."""

    symbol: str
    interval: str
    stream: str
    sequence: int
    bars: list[ShownBar]


class Live(msgspec.Struct, frozen=True, tag="bar", tag_field="type"):
    """One bar that has come, new or revised."""

    symbol: str
    interval: str
    stream: str
    sequence: int
    bar: ShownBar


class Problem(msgspec.Struct, frozen=True, tag="problem", tag_field="type"):
    """A frame that was not understood, or a wish that is not granted, and why.

    `is_passing` where the same wish may be granted later: then ask again in some seconds.
    """

    reason: str
    is_passing: bool = False


class FrameError(ValueError):
    """The frame is not a request; the message says what would be one."""


_decoder = msgspec.json.Decoder(Subscribe | Unsubscribe | Ping)
_INTERVALS = frozenset(Interval)


def encode(message: Snapshot | Resumed | Live | Pong | Problem) -> str:
    """Return a message as it is sent."""
    return msgspec.json.encode(message).decode()


def decode(frame: str | bytes) -> Subscribe | Unsubscribe | Ping:
    """Return the request in a frame.

    Raises:
        FrameError: there is none.
    """
    try:
        request: Subscribe | Unsubscribe | Ping = _decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise FrameError(f"not a request such as subscribe: {error}") from None
    if isinstance(request, Ping):
        return request
    if not contract.SYMBOL.fullmatch(request.symbol):
        raise FrameError(f"symbol must look like {contract.SYMBOL.pattern}")
    if request.interval not in _INTERVALS:
        raise FrameError(f"interval must be one of {', '.join(Interval)}")
    if isinstance(request, Subscribe):
        if not 0 < request.bars <= MOST_BARS:
            raise FrameError(f"bars must be from 1 to {MOST_BARS}")
        if (request.after is None) != (request.stream is None):
            raise FrameError("after and stream belong together")
    return request


def live(entry: Entry, stream: str) -> Live:
    """Return the message about one entry of the ring."""
    return Live(entry.series.symbol, entry.series.interval, stream, entry.sequence, entry.bar)


def merged(stored: Iterable[ShownBar], told: Iterable[ShownBar], most: int) -> list[ShownBar]:
    """Return the newest bars of both, oldest first; of the same bar what was fetched last stands."""
    bars = {bar.bar_time: bar for bar in stored}
    for bar in told:
        known = bars.get(bar.bar_time)
        if known is None or bar.fetched_at >= known.fetched_at:
            bars[bar.bar_time] = bar
    return [bars[time] for time in sorted(bars)][-most:]
