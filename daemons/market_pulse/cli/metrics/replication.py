"""Figures of the database's standbys: whether they follow, and how far they are behind."""

from collections.abc import Callable, Iterable, Iterator

from market_pulse.cli.facts import Facts
from market_pulse.cli.metrics.metric import Metric, Sample
from market_pulse.cli.replication import Slot, Standby


def _standbys(read: Callable[[Standby], float | None]) -> Callable[[Facts], Iterable[Sample]]:
    """Return a metric's samples: what is read of each standby of which it is known."""

    def samples(facts: Facts) -> Iterator[Sample]:
        for standby in facts.replication.standbys if facts.replication else ():
            if (figure := read(standby)) is not None:
                yield (standby.host,), figure

    return samples


def _slots(read: Callable[[Slot], bool]) -> Callable[[Facts], Iterable[Sample]]:
    return lambda facts: (((slot.name,), read(slot)) for slot in (facts.replication.slots if facts.replication else ()))


METRICS = (
    Metric(
        "database_primary",
        "1 for the host of the database that takes writes; two of them are one too many.",
        ("host",),
        ("replication.primary", "replication.standbys.is_primary"),
        lambda facts: (
            ((host,), 1)
            for host in (
                [facts.replication.primary, *(s.host for s in facts.replication.standbys if s.is_primary)]
                if facts.replication
                else ()
            )
        ),
    ),
    Metric(
        "standby_up",
        "1 for a standby that answers as one.",
        ("host",),
        ("replication.standbys.host", "replication.standbys.problem"),
        _standbys(lambda standby: standby.problem is None and not standby.is_primary),
    ),
    Metric(
        "standby_behind_bytes",
        "How much WAL of the primary's a standby has not replayed.",
        ("host",),
        ("replication.standbys.behind_bytes",),
        _standbys(lambda standby: standby.behind_bytes),
    ),
    Metric(
        "standby_behind_seconds",
        "How long ago what it replayed last was committed; 0 while it has replayed all.",
        ("host",),
        ("replication.standbys.behind_seconds",),
        _standbys(lambda standby: standby.behind_seconds),
    ),
    Metric(
        "standby_slot_active",
        "1 while a standby streams by its slot.",
        ("slot",),
        ("replication.slots.name", "replication.slots.is_active"),
        _slots(lambda slot: slot.is_active),
    ),
    Metric(
        "standby_slot_lost",
        "1 once WAL is gone that its standby needs.",
        ("slot",),
        ("replication.slots.is_lost",),
        _slots(lambda slot: slot.is_lost),
    ),
)
