"""Who is sent what: readers with queues that are bounded, so that one who does not read costs nobody anything.

All of it happens on the event loop, so nothing here needs a lock.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable

from market_pulse.web import protocol
from market_pulse.web.bars import Series
from market_pulse.web.ring import Entry, Ring

MOST_READERS = 200
MOST_WAITING = 2000


class CutOffError(Exception):
    """The reader is sent no more; the message says why."""


class Reader:
    """One connection: the series that it wants, and what waits to be sent to it."""

    def __init__(self) -> None:
        """Begin with nothing wanted."""
        self.series: set[Series] = set()
        # Held by who sends to it: a series begins with its answer, and what came meanwhile is behind that.
        self.turn = asyncio.Lock()
        self._waiting: asyncio.Queue[Entry] = asyncio.Queue(MOST_WAITING)
        self._is_cut = False

    def offer(self, entry: Entry) -> None:
        """Let an entry wait for the reader; where too many do, he is cut off, for to leave one out would be a hole."""
        if self._is_cut:
            return
        try:
            self._waiting.put_nowait(entry)
        except asyncio.QueueFull:
            self._is_cut = True

    async def next(self) -> Entry:
        """Return the next entry for this reader, when it has come.

        Raises:
            CutOffError: he does not read as fast as bars come.
        """
        if self._is_cut:
            raise CutOffError(f"slow reader: {MOST_WAITING} bars waited; connect again, and resume")
        return await self._waiting.get()


class Hub:
    """The ring, and the readers of what comes next."""

    def __init__(self) -> None:
        """Begin without a ring: Kafka has not answered yet."""
        self.ring: Ring | None = None
        self.received = 0
        self._readers: set[Reader] = set()
        self._by_series: dict[Series, set[Reader]] = defaultdict(set)

    @property
    def readers(self) -> int:
        """Return how many connections there are."""
        return len(self._readers)

    def begin(self, ring: Ring) -> None:
        """Take over the ring of a topic whose reading begins."""
        self.ring = ring

    def publish(self, entries: Iterable[Entry], passed: Iterable[tuple[int, int]]) -> None:
        """Take what has come, and offer it to whom it is for; `passed` are offsets that have come, by partition."""
        if self.ring is None:
            raise RuntimeError("nothing can come before the ring has begun")
        for entry in entries:
            self.received += 1
            self.ring.add(entry)
            for reader in self._by_series.get(entry.series, ()):
                reader.offer(entry)
        for partition, offset in passed:
            self.ring.passed(partition, offset)

    def enter(self, reader: Reader) -> None:
        """Let a reader in.

        Raises:
            CutOffError: there are too many.
        """
        if len(self._readers) >= MOST_READERS:
            raise CutOffError(f"{MOST_READERS} readers are connected, and no more may be; try again later")
        self._readers.add(reader)

    def leave(self, reader: Reader) -> None:
        """Forget a reader."""
        for series in list(reader.series):
            self.unsubscribe(reader, series)
        self._readers.discard(reader)

    def subscribe(self, reader: Reader, series: Series) -> None:
        """Offer a reader what comes of a series from now on.

        Raises:
            CutOffError: he wants too many.
        """
        if series not in reader.series and len(reader.series) >= protocol.MOST_SUBSCRIPTIONS:
            raise CutOffError(f"a connection may have {protocol.MOST_SUBSCRIPTIONS} subscriptions, and no more")
        reader.series.add(series)
        self._by_series[series].add(reader)

    def unsubscribe(self, reader: Reader, series: Series) -> None:
        """Offer him no more of it; what waits already still comes."""
        reader.series.discard(series)
        self._by_series[series].discard(reader)
        if not self._by_series[series]:
            del self._by_series[series]
