"""Tells everything again from the archive, by the producer's own decisions on an empty memory.

What comes out is what the producer queued: the same bars with the same request ids, times and values, and the same
records of answers, as long as the archive reaches back to the producer's first answer. Missing are only the records of
requests that were never sent, for those are not archived.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from market_pulse.producer.archive import Archived
from market_pulse.producer.outbox import Message, Outbox
from market_pulse.producer.store import Store
from market_pulse.producer.telling import Teller
from market_pulse.sessions import Sessions

# Nothing waits here for longer than one entry takes.
_ROOM = 1


def rebuild(entries: Iterable[Archived], sessions: Sessions) -> Iterator[Message]:
    """Yield what entries of the archive tell, in the order in which it was told, in its form on the wire.

    `sessions` are those of the exchange whose bars these are; memory is that of one entry and of the newest bars.
    """
    memory = Store(Path(":memory:"))
    try:
        outbox = Outbox(memory, _ROOM)
        teller = Teller(outbox, sessions)
        for entry in entries:
            teller.tell(entry, None)
            told = outbox.oldest(outbox.waiting)
            yield from told
            outbox.remove([message.id for message in told])
    finally:
        memory.close()
