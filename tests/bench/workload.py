"""The bars that a way has to carry, always the same for a kind, a number and a round; pure.

A thousand symbols are told minute by minute. Each partition ends with a bar of its own, by which it is known to be
done.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from market_pulse.contract import VERSION, Bar, encode

PARTITIONS = 6
# A prime, so that the kinds of records, which recur by the thousand, are spread over all symbols.
SYMBOLS = 1_009
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
_DELAY = timedelta(seconds=70)
# Of a thousand records: those before each limit.
_POISON, _REVISED, _DUPLICATE = 1, 11, 101
# How much earlier the bar was told that is told again.
_BACK = 1_500


class Kind(enum.StrEnum):
    """What the records of a round are to the table."""

    FRESH = "fresh"
    AGAIN = "again"
    MIXED = "mixed"


class Sent(NamedTuple):
    """One record as it is produced; `bar` is None where it is no bar, and `is_new` tells whether it makes a row."""

    partition: int
    key: bytes
    value: bytes
    bar: Bar | None
    is_new: bool


@dataclass(frozen=True)
class Load:
    """One round: so many records of a kind, and the bars that end it, one in each of a topic's partitions."""

    kind: Kind
    records: int
    round: int
    partitions: int = PARTITIONS

    @property
    def ends_at(self) -> datetime:
        """Return the time of the bars that end it, which no other round has."""
        return FIRST - timedelta(days=2) + timedelta(minutes=self.round)

    def sent(self) -> Iterator[Sent]:
        """Return the records in the order in which they are produced."""
        for number in range(self.records):
            yield self._record(number)
        for partition, symbol in enumerate(_end_symbols(self.partitions)):
            yield _sent(partition, _bar(symbol, self.ends_at, self.round), is_new=True)

    def bars(self) -> Iterator[tuple[int, Bar]]:
        """Return the partition and the content of each record that is a bar."""
        return ((sent.partition, sent.bar) for sent in self.sent() if sent.bar is not None)

    @property
    def new_rows(self) -> int:
        """Return how many bars are told for the first time, in a table without them, those at the end included."""
        counted = sum(_is_new(self.kind, number) for number in range(self.records))
        return counted + self.partitions

    @property
    def revised_rows(self) -> int:
        """Return how many bars are told with other values afterwards."""
        return sum(
            not _is_new(self.kind, number) and _POISON <= number % 1_000 < _REVISED for number in range(self.records)
        )

    def _record(self, number: int) -> Sent:
        if _is_new(self.kind, number):
            return self._numbered(number, is_new=True)
        slot = number % 1_000
        if slot < _POISON:
            symbol, _ = _place(number)
            return Sent(self._partition(number), symbol.encode(), b"no bar %d" % number, None, is_new=False)
        return self._numbered(number - _BACK, revised=slot < _REVISED)

    def _partition(self, number: int) -> int:
        return number % SYMBOLS % self.partitions

    def _numbered(self, number: int, *, revised: bool = False, is_new: bool = False) -> Sent:
        return _sent(self._partition(number), _bar(*_place(number), number, revised=revised), is_new=is_new)


@dataclass(frozen=True)
class Feed:
    """A part of a feed that has no end, in which so many symbols are told in turn, minute by minute.

    `first` and `count` are in minutes; `rate` is in bars a second, and 0 where all are sent at once.
    """

    topic: str
    symbols: int
    rate: int
    first: int
    count: int

    @property
    def names(self) -> list[str]:
        """Return the symbols."""
        return [_name(symbol) for symbol in range(self.symbols)]

    def sent(self) -> Iterator[Sent]:
        """Return the records in the order in which they are produced."""
        for minute in range(self.first, self.first + self.count):
            for symbol, name in enumerate(self.names):
                bar = _bar(name, FIRST + timedelta(minutes=minute), minute * self.symbols + symbol)
                yield _sent(symbol % PARTITIONS, bar, is_new=True)

    def numbers(self, symbol: str, after: datetime, until: datetime) -> Iterator[int]:
        """Return which of the records are a symbol's bars after a time, until another."""
        first = (after - FIRST) // timedelta(minutes=1) + 1 - self.first
        last = (until - FIRST) // timedelta(minutes=1) - self.first
        return (minute * self.symbols + int(symbol[1:]) for minute in range(first, last + 1))


def is_ended(table: str, partitions: int) -> str:
    """Return the statement that counts which partitions have ended in a table, given the time of the load's end."""
    symbols = ", ".join(f"('{symbol}')" for symbol in _end_symbols(partitions))
    return (
        f"SELECT count(*) FROM (VALUES {symbols}) AS ending (symbol) INNER JOIN {table} AS bar"
        " ON bar.symbol = ending.symbol AND bar.interval = '1min' AND bar.bar_time = %s"
    )


def _end_symbols(partitions: int) -> list[str]:
    return [f"END{partition}" for partition in range(partitions)]


def _is_new(kind: Kind, number: int) -> bool:
    return kind is not Kind.MIXED or number < _BACK or number % 1_000 >= _DUPLICATE


def _place(number: int) -> tuple[str, datetime]:
    minute, symbol = divmod(number, SYMBOLS)
    return _name(symbol), FIRST + timedelta(minutes=minute)


def _name(symbol: int) -> str:
    return f"S{symbol:04}"


def _sent(partition: int, bar: Bar, *, is_new: bool) -> Sent:
    return Sent(partition, bar.symbol.encode(), encode(bar), bar, is_new)


def _bar(symbol: str, at: datetime, number: int, *, revised: bool = False) -> Bar:
    cents = 100_000 + number * 7_919 % 90_000
    return Bar(
        v=VERSION,
        source="simulator",
        request_id=f"{number // SYMBOLS * SYMBOLS + revised:032x}",
        symbol=symbol,
        interval="1min",
        bar_time=at,
        open=_price(cents),
        high=_price(cents + 250),
        low=_price(cents - 250),
        close=_price(cents + (200 if revised else 100)),
        volume=str(100 + number % 100_000),
        is_final=True,
        fetched_at=at + _DELAY * (2 if revised else 1),
    )


def _price(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02}00"
