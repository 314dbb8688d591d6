"""The newest records of the topic, so that a reader who comes back is told what he missed. Pure.

A record's sequence is its offset: it means the same after a restart of the daemon, and to another daemon. Everything
before the positions at which a ring begins is in the database; so a snapshot that the database took, and what the ring
holds from the snapshot's positions on, have no hole between them.
"""

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from market_pulse.web.bars import Series, ShownBar


@dataclass(frozen=True, slots=True)
class Entry:
    """A bar of the topic, with its place in it."""

    series: Series
    partition: int
    sequence: int
    bar: ShownBar


class Ring:
    """At most so many entries; the oldest of all leave first. `stream` names the log that the sequences count."""

    def __init__(self, stream: str, stored: Mapping[int, int], most: int) -> None:
        """Begin empty, for a reader of the topic who begins at the next offsets that are not stored."""
        self.stream = stream
        self._most = most
        # Everything of the partition at these offsets or later that has come is here.
        self._complete_from = dict(stored)
        self._order: deque[Entry] = deque()
        self._entries: dict[Series, deque[Entry]] = defaultdict(deque)
        self._head = {partition: offset - 1 for partition, offset in stored.items()}

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self._order)

    def add(self, entry: Entry) -> None:
        """Take the next entry of its partition, and let the oldest go if there are too many."""
        self._order.append(entry)
        self._entries[entry.series].append(entry)
        self._head[entry.partition] = max(self._head[entry.partition], entry.sequence)
        if len(self._order) > self._most:
            oldest = self._order.popleft()
            self._entries[oldest.series].popleft()
            if not self._entries[oldest.series]:
                del self._entries[oldest.series]
            self._complete_from[oldest.partition] = oldest.sequence + 1

    def passed(self, partition: int, offset: int) -> None:
        """Note that everything before an offset has come, be it a bar or not."""
        self._head[partition] = max(self._head[partition], offset - 1)

    def head(self, partition: int) -> int:
        """Return the last offset that has come."""
        return self._head[partition]

    def entries(self, series: Series) -> list[Entry]:
        """Return what there is of a series, oldest first."""
        return list(self._entries.get(series, ()))

    @property
    def partitions(self) -> int:
        """Return how many partitions the topic has."""
        return len(self._head)

    def after(self, series: Series, partition: int, sequence: int) -> list[Entry] | None:
        """Return what has come of a series after a sequence; None if a part of that is not here any more.

        A sequence from ahead of this ring comes from another daemon that has read further: nothing of what it does not
        know is missing here.
        """
        if sequence + 1 < self._complete_from[partition]:
            return None
        return [entry for entry in self.entries(series) if entry.sequence > sequence]

    def joins(self, partition: int, next_offset: int) -> bool:
        """Tell whether there is no hole between what is stored of a partition, below an offset, and the ring."""
        return next_offset >= self._complete_from[partition]
